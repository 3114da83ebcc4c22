# SPDX-License-Identifier: MIT
"""OpenSMTPD's listener, as shipped but for what a bench needs. It cannot be installed beside Postfix: it is unpacked in $PEERS
(make bench-peers). Its folders, its users and its place for sockets are compiled in: it sees ours there, in a mount namespace
of its own, and takes 127.0.0.1's name from /etc/hosts. What it takes lies in its queue, the part that sends is paused."""

import contextlib
import ctypes
import os
import socket
import subprocess
import tempfile

import ports
import users
from outgoing_peers import PEERS, package_version
from waiting import answers, until

PIDFD_GETFD = 438       # system call: the C library has no function for it
USERS = (("opensmtpd", 60901), ("opensmtpq", 60902))
SETTINGS = """
smtp limit max-mails 1000000
listen on 127.0.0.1 port {port} hostname opensmtpd.example
action "out" relay host "smtp://127.0.0.1:9"
match from any for any action "out"
"""
MOUNTS = """
set -e
for place in etc var/lib var/spool; do mount -t overlay overlay -o "lowerdir=$1/over/$place:/$place" "/$place"; done
mount --bind "$1/spool" /var/spool/smtpd
mount --bind "$1/run" /run
exec "$2" -d -P mta
"""


def write_through(folder):
    """Whether what is written below it, names included, is on disk before the call returns."""
    return subprocess.run(["chattr", "+SD", folder], stderr=subprocess.DEVNULL).returncode == 0


class OpenSmtpd:
    """It never syncs a file or a folder: its 250 is a promise of memory."""
    name, package, through = "OpenSMTPD", "opensmtpd", False

    @classmethod
    def version(cls):
        return package_version(cls.package) if os.path.isdir(os.path.join(PEERS, cls.package)) else None

    def __init__(self, folder, certificates):
        self.folder, self.port = os.path.join(folder, self.package), ports.take()
        for name in ("", "spool", "run", "over/etc", "over/var/lib/opensmtpd/empty", "over/var/spool/smtpd"):
            os.makedirs(os.path.join(self.folder, name), 0o711)
        for name, line in (("passwd", "{0}:x:{1}:{1}::/:/usr/sbin/nologin\n"), ("group", "{0}:x:{1}:\n")):
            with open(os.path.join("/etc", name)) as source:
                self._write(name, source.read() + "".join(line.format(*user) for user in USERS))
        self._write("resolv.conf", "lookup file\n")
        self._write("smtpd.conf", SETTINGS.format(port=self.port))
        if self.through:
            assert write_through(os.path.join(self.folder, "spool"))
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                [*users.MORTAL, "unshare", "--mount", "sh", "-c", MOUNTS, "sh", self.folder,
                 os.path.join(PEERS, self.package, "usr/sbin/smtpd")], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: answers("127.0.0.1", self.port), 20, self.log)
        self._lengthen_backlog()

    def _write(self, name, text):
        path = os.path.join(self.folder, "over/etc", name)
        with open(path, "w") as out:
            out.write(text)
        os.chmod(path, 0o644)

    def log(self):
        with open(os.path.join(self.folder, "log")) as source:
            return source.read()

    def _lengthen_backlog(self):
        """It listens with room for 5 who wait; more knock again a second later, and that would be all that is measured."""
        lists = "/proc/{0}/task/{0}/children".format(self.process.pid)
        with open(lists) as source:
            pids = [self.process.pid, *map(int, source.read().split())]
        assert any([self._listen_longer(pid) for pid in pids]), self.log()

    def _listen_longer(self, pid):
        """Whether this process has the listener."""
        process, found = os.pidfd_open(pid), False
        for number in map(int, os.listdir(f"/proc/{pid}/fd")):
            fd = ctypes.CDLL(None).syscall(PIDFD_GETFD, process, number, 0)
            if fd < 0:
                continue
            try:
                with contextlib.closing(socket.socket(fileno=fd)) as one:
                    if one.family == socket.AF_INET and one.getsockname()[1] == self.port and \
                            one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        one.listen(4096)
                        found = True
            except OSError:
                os.close(fd)        # no socket
        os.close(process)
        return found

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


class WrittenThrough(OpenSmtpd):
    """The same made durable by the file system, where that can."""
    name, through = "through", True

    @classmethod
    def version(cls):
        with tempfile.TemporaryDirectory(prefix="es-", dir="/tmp") as folder:
            return super().version() if write_through(folder) else None
