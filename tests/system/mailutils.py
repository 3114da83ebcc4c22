# SPDX-License-Identifier: MIT
"""GNU mailutils' IMAP server from unpacked packages, one process a connection, with TLS in front of it. It offers every
mechanism of GNU SASL and can do PLAIN and LOGIN."""

import os
import socket
import subprocess
import threading

import letters
import pki
import unpacked

DOMAIN = "boxes.example"
SETTINGS = """logging {{ facility mail; syslog no; }}
auth {{ authentication generic:system:virtdomain; authorization virtdomain; }}
virtdomain {{ passwd-dir "{folder}/users"; }}
mailbox {{ mail-spool "{folder}/mail"; }}
"""


class Mailutils:
    def __init__(self, parent, certificate, user="ann"):
        self.root = unpacked.folder("mailutils", "usr/sbin/imap4d")
        self.folder = os.path.join(parent, "mailutils")
        self.user = f"{user}@{DOMAIN}"
        for name in ("", "users", "mail"):
            os.mkdir(os.path.join(self.folder, name))
        with open(os.path.join(self.folder, "imap4d.conf"), "w") as out:
            out.write(SETTINGS.format(folder=self.folder))
        with open(os.path.join(self.folder, "users", DOMAIN), "w") as out:
            secret = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input=letters.PASSWORD, text=True, check=True,
                                    stdout=subprocess.PIPE).stdout.strip()
            out.write(f"{user}:{secret}:{os.getuid()}:{os.getgid()}:{user}:{self.folder}/mail:/bin/sh:\n")
        self.tls = pki.server_context(certificate, self.folder)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer):
        try:
            with self.tls.wrap_socket(peer, server_side=True) as client:
                ours, theirs = socket.socketpair()
                with theirs:
                    process = subprocess.Popen(
                        [os.path.join(self.root, "usr/sbin/imap4d"), "--no-site-config", "--config-file",
                         os.path.join(self.folder, "imap4d.conf"), "--inetd"], stdin=theirs, stdout=theirs,
                        stderr=subprocess.DEVNULL,
                        env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": unpacked.library_path(self.root)})
                threading.Thread(target=self._pump, args=(ours, client), daemon=True).start()
                self._pump(client, ours)
                ours.shutdown(socket.SHUT_RDWR)
                process.wait(10)
        except OSError:
            pass

    @staticmethod
    def _pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass

    def stop(self):
        self.socket.close()
