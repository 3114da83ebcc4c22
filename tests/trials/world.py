# SPDX-License-Identifier: MIT
"""A station to be tried hard, outside of pytest: the daemon, an SMTP server and mailboxes that answer, servers that do
not, accounts for all of them, and what must hold whatever is done to it."""

import contextlib
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "system"))

import boxes
import letters
import pki
import sink
import station as station_module
import users
import varlink
import waiting

READ_GROUP, ADMIN_GROUP = "games", "audio"      # groups of every Debian with nobody in them
PROGRAMS = ("emailsecd", "emailsecctl", "emailsec-mime.so", "emailsec-pem.so")


class World:
    """`with World() as world:`; ends with an AssertionError when the daemon died, leaked, or a sanitizer spoke."""

    def __init__(self, settings=None, accounts=True):
        self.base = users.base_folder()
        binaries = os.path.join(self.base, "bin")
        os.mkdir(binaries, 0o755)
        self.programs = {name: station_module.program(name, binaries) for name in PROGRAMS}
        self.certificates = pki.Pki()
        rows = {"Service.LogLevel": "info", **(settings or {})}
        if users.IS_ROOT:
            rows.update({"Control.ReadGroup": READ_GROUP, "Control.AdminGroup": ADMIN_GROUP})
        self.station = station_module.Station(self.base, self.programs, self.certificates.system.pem, rows)
        self.stack, self.accounts = contextlib.ExitStack(), accounts

    def __enter__(self):
        self.sink = self.new_sink()
        self.secret_sink = self.new_sink(certificate=self.certificates.leaf("self-signed", "127.0.0.1"), implicit_tls=True,
                                         login=True)
        tls = pki.server_context(self.certificates.leaf("system", "127.0.0.1"), self.base)
        self.boxes = {transport: boxes.Mailbox(transport, contents=[letters.crlf(letters.letter("x")) for _ in range(5)], tls=tls)
                      for transport in ("imap", "pop3")}
        for box in self.boxes.values():
            self.stack.callback(box.stop)
        self.station.start()
        if self.accounts:
            self.add_accounts()
        return self

    def new_sink(self, **options):
        made = sink.Sink(self.base, **options)
        self.stack.callback(made.stop)
        return made

    def add_accounts(self):
        plain = {"useSsl": False, "hostname": "127.0.0.1"}
        self.station.add("outgoing", "out", None, port=self.sink.port, **plain)
        self.station.add("outgoing", "dead", None, port=1, **plain)
        self.station.add("outgoing", "unknown", hostname="127.0.0.1", port=self.secret_sink.port, account="me")
        for transport, box in self.boxes.items():
            self.station.add("incoming", transport, hostname="127.0.0.1", transport=transport, port=box.port, account="me")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.station.process.pid}/fd"))

    def resident(self):
        """MiB."""
        with open(f"/proc/{self.station.process.pid}/status") as source:
            return next(int(line.split()[1]) for line in source if line.startswith("VmRSS")) / 1024

    def answers(self, within=30):
        """Seconds until the daemon answers its administrator."""
        began = time.monotonic()

        def asked():
            try:
                with varlink.Client(self.station.socket, within) as client:
                    client.call("org.varlink.service.GetInfo")
                return True
            except (BlockingIOError, varlink.Closed):     # the queue of those who connect is full; no place
                return False

        waiting.until(asked, within, f"the administrator got no answer within {within} s")
        return time.monotonic() - began

    def settles(self, what, most, within=20):
        waiting.until(lambda: what() <= most, within * station_module.PATIENCE,
                      lambda: f"{what.__name__}: {what()} and not {most} as before")

    def alive(self):
        code = self.station.process.poll()
        assert code is None, f"emailsecd ended with {code}\n{self.station.log()[-8000:]}"

    def __exit__(self, kind, error, trace):
        try:
            self.station.end()
        except AssertionError as problem:
            if kind is None:
                raise
            print(problem, file=sys.stderr)
        finally:
            self.stack.close()
            if kind is None:
                users.remove(self.base)
            else:
                print(f"what is left of it: {self.base}", file=sys.stderr)
