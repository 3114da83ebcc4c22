# SPDX-License-Identifier: MIT
"""A private Cyrus (IMAP and POP3 over TLS) from unpacked packages, run as the daemon's user. Every user exists, with
one password; that is what the little saslauthd here says."""

import os
import signal
import socket
import struct
import subprocess
import threading

import letters
import pki
import ports
import unpacked
import users
from plain_client import Mailboxes
from waiting import certificate_at, until

KIND = "system"
SETTINGS = """configdirectory: {folder}/lib
partition-default: {folder}/mail
defaultpartition: default
cyrus_user: {user}
cyrus_group: {group}
proc_path: {folder}/lib/proc
mboxname_lockpath: {folder}/lib/lock
idlesocket: {folder}/idle
sasl_pwcheck_method: saslauthd
sasl_saslauthd_path: {folder}/mux
sasl_mech_list: {mechanisms}
allowplaintext: yes
autocreate_users: anyone
autocreate_quota: 0
tls_server_cert: {folder}/server.pem
tls_server_key: {folder}/server.pem
tls_session_timeout: 60
reject8bit: no
munge8bit: no
popminpoll: 0
imapidlepoll: 1
syslog_prefix: private
"""
SERVICES = """START {{
  recover cmd="{bin}/ctl_cyrusdb -C {folder}/imapd.conf -r"
  idled cmd="{bin}/idled -C {folder}/imapd.conf"
}}
SERVICES {{
  imaps cmd="{bin}/imapd -C {folder}/imapd.conf -s" listen="{address}:{imap}" prefork=1
  pop3s cmd="{bin}/pop3d -C {folder}/imapd.conf -s" listen="{address}:{pop3}" prefork=1
}}
EVENTS {{
}}
"""


def _read(peer, count):
    data = b""
    while len(data) < count:
        more = peer.recv(count - len(data))
        if not more:
            raise OSError("cut off")
        data += more
    return data


class Checker:
    """saslauthd's protocol: user, password, service, realm, each after its length; "OK" or "NO"."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        os.chmod(path, 0o666)
        self.socket.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            with peer:
                try:
                    asked = [_read(peer, struct.unpack(">H", _read(peer, 2))[0]) for _ in range(4)]
                    word = b"OK" if asked[1].decode() == letters.PASSWORD else b"NO"
                    peer.sendall(struct.pack(">H", len(word)) + word)
                except OSError:
                    pass

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Cyrus(Mailboxes):
    def __init__(self, parent, certificates, mechanisms="PLAIN LOGIN", name="cyrus"):
        self.root = unpacked.folder("cyrus", "usr/lib/cyrus/bin/master")
        self.folder = os.path.join(parent, name)
        self.mechanisms = mechanisms
        self.ports = {"imap": ports.take(), "pop3": ports.take()}
        os.mkdir(self.folder, 0o755)
        users.give(self.folder)
        for name in ("lib", "mail", "lib/socket", "lib/proc", "lib/lock", "lib/db"):
            users.private_folder(self.folder, name)
        self.certificate = certificates.leaf(KIND)
        users.give(self.certificate.write(os.path.join(self.folder, "server.pem")))
        self._configure()
        self.checker = Checker(os.path.join(self.folder, "mux"))
        self.process = None
        self.start()

    def _configure(self):
        import grp
        fields = {"folder": self.folder, "user": users.name_of(users.DAEMON_UID), "address": self.host(),
                  "mechanisms": self.mechanisms,
                  "group": grp.getgrgid(users.DAEMON_GID).gr_name,
                  "bin": os.path.join(self.root, "usr/lib/cyrus/bin"), **self.ports}
        for name, text in (("imapd.conf", SETTINGS), ("cyrus.conf", SERVICES)):
            with open(os.path.join(self.folder, name), "w") as out:
                out.write(text.format(**fields))

    def start(self):
        self.process = subprocess.Popen(
            users.MORTAL + [os.path.join(self.root, "usr/lib/cyrus/bin/master"), "-C",
                            os.path.join(self.folder, "imapd.conf"), "-M", os.path.join(self.folder, "cyrus.conf"),
                            "-p", os.path.join(self.folder, "lib", "pid")],
            stdin=subprocess.DEVNULL, stdout=open(os.path.join(self.folder, "out"), "ab"), stderr=subprocess.STDOUT,
            cwd=self.folder, start_new_session=True, **users.as_daemon(),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": unpacked.library_path(self.root),
                 "CYRUS_VERBOSE": "1"})
        try:
            for port in self.ports.values():
                until(lambda: certificate_at(self.host(), port) == self.certificate.der, 10)
        except AssertionError:
            self.stop()
            raise AssertionError("Cyrus does not start:\n" + self.log()) from None

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.checker.stop()

    def log(self):
        with open(os.path.join(self.folder, "out"), errors="replace") as source:
            return source.read()

    def host(self):
        return pki.ADDRESSES[KIND]

    def port(self, transport, _security):
        return self.ports[transport]

    def make(self, box):
        """It comes to be when someone signs in."""
        self.imap(box).logout()

    def place(self, box, messages):
        return self.append(box, messages)
