# SPDX-License-Identifier: MIT
"""A private Courier (IMAP and POP3 over TLS) from unpacked packages. Its paths are compiled in, so it sees them laid
over the system's in a mount namespace; with its process namespace it ends as one. Needs root."""

import os
import shlex
import subprocess

import letters
import pki
import ports
import unpacked
import users
from plain_client import Mailboxes
from waiting import certificate_at, until

KIND = "system"
SERVE = """set -e
mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr
mount -t overlay overlay -o lowerdir={root}/etc:/etc /etc
mount --bind {folder}/etc /etc/courier
mount -t tmpfs tmpfs /run
mkdir -m 755 -p /run/courier/authdaemon
mount -t proc proc /proc
set -a
. /etc/courier/authdaemonrc
/usr/lib/courier/courier-authlib/authdaemond &
. /etc/courier/imapd
. /etc/courier/imapd-ssl
TLS_CERTFILE={folder}/server.pem
TLS_DHPARAMS=
TLS_CACHEFILE=
IMAP_TLS=1
IMAP_ULIMITD=
IMAP_IDLE_TIMEOUT=1
/usr/sbin/couriertcpd -address={address} -maxprocs=100 -maxperip=100 -nodnslookup -noidentlookup {imap} \
    /usr/bin/couriertls -server -tcpd /usr/lib/courier/courier/imaplogin /usr/bin/imapd Maildir &
. /etc/courier/pop3d
. /etc/courier/pop3d-ssl
TLS_CERTFILE={folder}/server.pem
TLS_DHPARAMS=
TLS_CACHEFILE=
POP3_TLS=1
/usr/sbin/couriertcpd -address={address} -maxprocs=100 -maxperip=100 -nodnslookup -noidentlookup {pop3} \
    /usr/bin/couriertls -server -tcpd /usr/lib/courier/courier/courierpop3login \
    /usr/lib/courier/courier/courierpop3d Maildir &
wait
"""


class Courier(Mailboxes):
    def __init__(self, parent, certificates):
        self.root = unpacked.folder("courier", "usr/lib/courier/courier/imaplogin")
        self.folder = os.path.join(parent, "courier")
        self.ports = {"imap": ports.take(), "pop3": ports.take()}
        os.mkdir(self.folder, 0o755)
        os.mkdir(os.path.join(self.folder, "etc"), 0o755)
        users.give(users.private_folder(self.folder, "mail"))
        for name in ("authdaemonrc", "imapd", "imapd-ssl", "pop3d", "pop3d-ssl"):
            with open(os.path.join(self.root, "etc", "courier", name)) as source:
                with open(os.path.join(self.folder, "etc", name), "w") as out:
                    out.write(source.read().replace("authpam", "authuserdb"))
        self.certificate = certificates.leaf(KIND)
        users.give(self.certificate.write(os.path.join(self.folder, "server.pem")))
        self.boxes, self.process = set(), None
        self.secret = subprocess.run(["openssl", "passwd", "-6", letters.PASSWORD], check=True, capture_output=True,
                                     text=True).stdout.strip()
        self._write_users()
        self.start()

    def _environment(self):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": unpacked.library_path(self.root)}

    def _write_users(self):
        path = os.path.join(self.folder, "etc", "userdb")
        with open(path, "w") as out:
            for box in self.boxes:
                home = os.path.join(self.folder, "mail", box)
                out.write(f"{box}\tuid={users.DAEMON_UID}|gid={users.DAEMON_GID}|home={home}|mail={home}/Maildir"
                          f"|systempw={self.secret}\n")
        os.chmod(path, 0o600)
        # makeuserdb knows its helper by the compiled-in path
        script = f"mount -t overlay overlay -o lowerdir={shlex.quote(self.root)}/usr:/usr /usr && makeuserdb -f \"$0\""
        subprocess.run(["unshare", "--mount", "sh", "-c", script, path], check=True, env=self._environment())

    def start(self):
        text = SERVE.format(root=self.root, folder=self.folder, address=self.host(), **self.ports)
        self.process = subprocess.Popen(
            users.MORTAL + ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "sh", "-c", text],
            stdin=subprocess.DEVNULL, stdout=open(os.path.join(self.folder, "out"), "ab"), stderr=subprocess.STDOUT,
            cwd="/", env=self._environment())
        try:
            for port in self.ports.values():
                until(lambda: certificate_at(self.host(), port) == self.certificate.der, 10)
        except AssertionError:
            self.stop()
            raise AssertionError("Courier does not start:\n" + self.log()) from None

    def stop(self):
        self.process.kill()
        self.process.wait()

    def log(self):
        with open(os.path.join(self.folder, "out"), errors="replace") as source:
            return source.read()

    def host(self):
        return pki.ADDRESSES[KIND]

    def port(self, transport, _security):
        return self.ports[transport]

    def make(self, box):
        """A mailbox comes to be."""
        maildir = os.path.join(self.folder, "mail", box, "Maildir")
        for path in (os.path.dirname(maildir), maildir, *(f"{maildir}/{part}" for part in ("tmp", "new", "cur"))):
            os.mkdir(path, 0o700)
            users.give(path)
        self.boxes.add(box)
        self._write_users()

    def place(self, box, messages):
        """Puts messages into the mailbox with the line ends of a Maildir; how many."""
        for number, message in enumerate(messages):
            path = os.path.join(self.folder, "mail", box, "Maildir", "new", f"{1700000000 + number}.M{number}P1.test")
            with open(path, "wb") as out:
                out.write(message.replace(b"\r\n", b"\n"))
            users.give(path)
        return len(messages)
