# SPDX-License-Identifier: MIT
"""Who is measured: emailsecd and the others, all made to send everything to one sink over verified TLS. Each can hold
what is handed in, and then send it to a port. Nullmailer and dma cannot be installed beside Postfix: they are unpacked
in $PEERS (make bench-peers) and see their folders at the usual places in our private mounts."""

import base64
import json
import os
import pwd
import shutil
import stat
import subprocess
import threading

import letters
import ports
import postfix
import users
import varlink
from station import BUILD, Station, clean_environment, program
from waiting import until

PEERS = os.environ.get("PEERS", "")
LETTER = letters.letter("box", body=("x" * 70 + "\n") * 54)     # 4 KiB with its header
BIG = letters.letter("box", body=("x" * 76 + "\n") * 13614)     # 1 MiB
ENVELOPE = ["-f", "a@example.test", "box@example.test"]


def version_of(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()[0]


def package_version(name):
    """Of a package that was unpacked."""
    found = [file.split("_")[1] for file in os.listdir(PEERS) if file.startswith(name + "_")]
    return f"{name} {found[0].replace('%3a', ':')}" if found else name


class Ours:
    name = "emailsecd"
    keeps = True            # has a queue
    stays = True            # a daemon: its processes can be looked at
    sessions = 20           # with the server at once, at most: what maxConnections is as shipped
    first_of_message = 0

    @staticmethod
    def version():
        return version_of(program("emailsecd"), "--version")

    def __init__(self, folder, certificates, sink):
        self.station = Station(folder, {name: program(name) for name in ("emailsecd", "emailsecctl")},
                               certificates.system.pem, {"Service.LogLevel": "info"})
        self.station.start()
        self.station.monitor.stop()
        threading.Thread(target=self._hear_notices, daemon=True).start()
        self.station.ctl("account", "add", "outgoing", "a", "hostname=localhost", f"port={sink.port}",
                         "from=a@example.test", "enabled=false")
        self.dialogue = ((self._call(message=base64.b64encode(LETTER).decode()), ""),)

    @staticmethod
    def _call(**message):
        return json.dumps({"method": varlink.SERVICE + "Submit",
                           "parameters": {"account": "a", "from": "a@example.test", "recipients": ["box@example.test"],
                                          **message}}).encode() + b"\0"

    def dialogue_of_file(self, path):
        return (((self._call(descriptor=0), path), ""),)

    def _hear_notices(self):
        """The service manager's part: who does not read makes the daemon wait."""
        try:
            while self.station.notify.socket.recv(65536):
                pass
        except OSError:
            pass

    def hold(self):
        self.station.ctl("account", "disable", "a")

    def prepare(self, port):
        self.station.ctl("account", "set", "a", f"port={port}")

    def go(self):
        self.station.ctl("account", "enable", "a")

    def address(self):
        return self.station.socket

    def sendmail(self):
        return [program("emailsecctl"), "sendmail", *ENVELOPE], clean_environment(EMAILSEC_SOCKET=self.station.socket)

    def stop(self):
        self.station.end()


RELAY = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = postfix.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
smtpd_client_connection_count_limit = 0
relayhost = [127.0.0.1]:{port}
smtp_tls_wrappermode = yes
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = localhost
smtp_tls_CAfile = {folder}/root.pem
smtp_tls_session_cache_database = btree:{folder}/data/smtp_scache
"""
TUNED = """
in_flow_delay = 0
smtp_tls_connection_reuse = yes
smtp_connection_cache_on_demand = yes
default_destination_concurrency_limit = 20
initial_destination_concurrency = 20
default_destination_recipient_limit = 50
"""


class Relay(postfix.Postfix):
    """Postfix as shipped, told of its relay only."""
    name, tuning, keeps, stays, first_of_message = "Postfix", "", True, True, 2
    sessions = 20           # default_destination_concurrency_limit
    clients = "-"           # processes of its listener, at most

    @staticmethod
    def version():
        return "Postfix " + version_of("postconf", "-d", "-h", "mail_version")

    def __init__(self, folder, certificates, sink):
        self.folder, self.process = os.path.join(folder, "relay"), None
        self.inlet = ports.take()
        self.ports = {"plain": self.inlet}
        self._folders()
        with open(os.path.join(self.folder, "root.pem"), "wb") as out:
            out.write(certificates.system.pem)
        self.daemons = version_of("postconf", "-d", "-h", "daemon_directory")
        self.master, self.port = os.path.join(self.daemons, "master"), sink.port
        self._write(True)
        with open(os.path.join(self.folder, "master.cf"), "w") as out:
            out.write(postfix.MASTER + f"127.0.0.1:{self.inlet} inet n - n - {self.clients} smtpd\n"
                      "pickup unix n - n 60 1 pickup\ntlsproxy unix - - n - 0 tlsproxy\n")
        self.start()

    def host(self, kind=None):
        return "127.0.0.1"

    def _write(self, stopped):
        with open(os.path.join(self.folder, "main.cf"), "w") as out:
            out.write(RELAY.format(folder=self.folder, daemons=self.daemons, port=self.port) + self.tuning)
            if stopped:
                out.write("defer_transports = smtp\n")

    def _again(self, stopped):
        self._write(stopped)
        self.stop()
        self.start()

    def hold(self):
        self._again(True)

    def _unsettled(self):
        """Files that are not in the deferred queue yet."""
        return any(os.listdir(os.path.join(self.folder, "queue", part)) for part in ("maildrop", "incoming", "active"))

    def prepare(self, port):
        """Everything lies in the deferred queue, and the next run takes it."""
        until(lambda: not self._unsettled(), 120, "Postfix does not put its queue aside")
        self.port = port
        self._again(False)

    def go(self):
        subprocess.run(["postqueue", "-c", self.folder, "-f"], check=True, capture_output=True)

    def address(self):
        return self.inlet

    envelope = ((b"", "220 "), (b"EHLO bench\r\n", "250 "),
                (b"MAIL FROM:<a@example.test>\r\nRCPT TO:<box@example.test>\r\nDATA\r\n", "354 "))
    dialogue = (*envelope, (letters.crlf(LETTER) + b".\r\n", "250 "))

    def dialogue_of_file(self, path):
        with open(path, "rb") as file:
            return (*self.envelope, (letters.crlf(file.read()) + b".\r\n", "250 "))

    def sendmail(self):
        return ["/usr/sbin/sendmail", "-C", self.folder, *ENVELOPE], {**os.environ, "MAIL_CONFIG": self.folder}


class TunedRelay(Relay):
    name, tuning = "tuned", TUNED


class Unpacked:
    """A package in a folder of its own, its files laid over ours."""
    keeps, stays, dialogue = True, True, None

    def __init__(self, folder, certificates, sink):
        self.folder, self.port = os.path.join(folder, self.package), sink.port
        tree = os.path.join(PEERS, self.package)
        os.mkdir(self.folder, 0o755)
        self.root = os.path.join(self.folder, "root.pem")
        with open(self.root, "wb") as out:
            out.write(certificates.system.pem)
        # what is mounted over must be there
        for place in (f"etc/{self.package}", f"var/spool/{self.package}"):
            os.makedirs(os.path.join(tree, place), exist_ok=True)
        for place in ("/usr", "/etc", "/var/spool"):
            subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={tree}{place}:{place}", place], check=True)
        self.settings, self.spool = os.path.join(self.folder, "etc"), os.path.join(self.folder, "spool")
        for own, place in ((self.settings, f"/etc/{self.package}"), (self.spool, f"/var/spool/{self.package}")):
            os.mkdir(own, 0o755)
            subprocess.run(["mount", "--bind", own, place], check=True)
        self.settle()

    @classmethod
    def version(cls):
        return package_version(cls.package) if os.path.isdir(os.path.join(PEERS, cls.package)) else None

    def write(self, name, text):
        path = os.path.join(self.settings, name)
        with open(path, "w") as out:
            out.write(text)

    def prepare(self, port):
        self.port = port


class Nullmailer(Unpacked):
    name = package = "nullmailer"

    def settle(self):
        mail = pwd.getpwnam("mail")
        os.chown(self.spool, mail.pw_uid, mail.pw_gid)
        for name in ("queue", "tmp", "failed"):
            os.mkdir(os.path.join(self.spool, name), 0o700)
            os.chown(os.path.join(self.spool, name), mail.pw_uid, mail.pw_gid)
        trigger = os.path.join(self.spool, "trigger")
        os.mknod(trigger, 0o622 | stat.S_IFIFO)
        os.chmod(trigger, 0o622)
        os.chown(trigger, mail.pw_uid, mail.pw_gid)
        self.process = None

    def hold(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
        self.process = None

    def go(self):
        self.write("remotes", f"localhost smtp --port={self.port} --ssl --x509cafile={self.root}\n")
        mail = pwd.getpwnam("mail")
        self.process = subprocess.Popen(["/usr/sbin/nullmailer-send"], user=mail.pw_uid, group=mail.pw_gid, extra_groups=[],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def sendmail(self):
        return ["/usr/sbin/sendmail", *ENVELOPE], clean_environment()

    stop = hold


class Dma(Unpacked):
    """A process for each message, gone without a trace of what it used."""
    name = package = "dma"
    stays = False
    text = "SMARTHOST localhost\nPORT {port}\nSECURETRANSFER\nMAILNAME bench.example.test\n"

    def settle(self):
        mail = pwd.getpwnam("mail")
        os.chown(self.spool, 0, mail.pw_gid)
        os.chmod(self.spool, 0o2775)
        self.hold()

    def hold(self):
        self.write("dma.conf", self.text.format(port=self.port) + "DEFER\n")

    def go(self):
        self.write("dma.conf", self.text.format(port=self.port))
        subprocess.run(["/usr/sbin/dma", "-q1"], check=True, capture_output=True)

    def sendmail(self):
        return ["/usr/sbin/dma", *ENVELOPE], clean_environment()

    def stop(self):
        """Its processes end with their message."""


class Msmtp:
    name, keeps, stays, dialogue = "msmtp", False, False, None

    @staticmethod
    def version():
        return version_of("msmtp", "--version") if shutil.which("msmtp") else None

    def __init__(self, folder, certificates, sink):
        self.rc = os.path.join(folder, "msmtprc")
        root = os.path.join(folder, "msmtp.pem")
        with open(root, "wb") as out:
            out.write(certificates.system.pem)
        with open(self.rc, "w") as out:
            out.write(f"account default\nhost localhost\nport {sink.port}\ntls on\ntls_starttls off\n"
                      f"tls_trust_file {root}\nfrom a@example.test\n")
        os.chmod(self.rc, 0o600)

    def sendmail(self):
        return [shutil.which("msmtp"), "-C", self.rc, *ENVELOPE], clean_environment()

    def stop(self):
        """Nothing runs."""


class Writer:
    """The limit: a program without a queue, which has the message in memory (fast_writer.c). It only drains."""
    name, keeps, stays = "writer", False, False
    connections = 1

    @classmethod
    def version(cls):
        return f"an OpenSSL writer without a queue, {cls.connections} connection{'s' * (cls.connections > 1)}"

    def __init__(self, folder, certificates, sink):
        self.root, self.letter = os.path.join(folder, "writer.pem"), os.path.join(folder, "writer.eml")
        with open(self.root, "wb") as out:
            out.write(certificates.system.pem)

    def hand_in(self, count, content):
        self.count = count
        with open(self.letter, "wb") as out:
            out.write(letters.crlf(content))

    def prepare(self, port):
        self.port = port

    def go(self):
        self.process = subprocess.Popen([os.path.join(BUILD, "bench", "fast_writer"), str(self.port), self.root,
                                         str(self.connections), str(self.count), self.letter])

    def hold(self):
        assert self.process.wait() == 0

    def stop(self):
        """It has ended."""


class WideWriter(Writer):
    """With as many as an account of ours has with a near server."""
    name, connections = "writers", 4


class Wide(Ours):
    """To be asked for by its name: what more sessions are worth far away."""
    name, sessions = "wide", 64

    def __init__(self, folder, certificates, sink):
        super().__init__(folder, certificates, sink)
        self.station.ctl("account", "set", "a", f"maxConnections={self.sessions}")


ALL = (Ours, Writer, Relay, TunedRelay, Nullmailer, Dma, Msmtp)
BY_NAME = (Wide, WideWriter)
