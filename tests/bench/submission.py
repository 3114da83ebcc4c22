#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make bench-submission`: durable submission by SMTP, 250 after it is on disk, of smtp-source's clients: to the submission
listener, to Postfix's and to OpenSMTPD's, all with nothing to send on to, in one run on one machine; and what idle clients
cost. OpenSMTPD itself syncs nothing: it is measured so, and with a spool that the file system writes through. Prints medians
of some rounds, and how many times as good as the best of the others; fails nothing. Arguments: how many messages (default
2000), how many rounds (3)."""

import os
import resource
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.dont_write_bytecode = True

import load                                         # noqa: E402  (the path comes first)
import opensmtpd                                    # noqa: E402
import outgoing_peers as peers                      # noqa: E402
import pki                                          # noqa: E402
import users                                        # noqa: E402
from doors import Doors                             # noqa: E402
from station import Station, program               # noqa: E402

IDLE = 1000
SIZE = 4096
WAYS = [(f"{clients} connections, {what} [1/s]", clients, words) for clients in (8, 64)
        for what, words in (("one for all messages", ["-d"]), ("one for each message", []))]
MEMORY = f"PSS with {IDLE} idle clients [MiB]"
EACH = "PSS of each idle client [KiB]"
LESS_IS_BETTER = (MEMORY, EACH)


class NoSink:
    port = 9


class Listener(peers.Ours):
    def __init__(self, folder, certificates):
        self.station = Station(folder, {name: program(name) for name in ("emailsecd", "emailsecctl")},
                               certificates.system.pem, {"Service.LogLevel": "info"})
        doors = Doors(self.station)
        self.station.start()
        self.station.monitor.stop()
        peers.threading.Thread(target=self._hear_notices, daemon=True).start()
        self.station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "port=9", "from=a@example.test",
                         "enabled=false")
        self.port = doors.port


class Relay(peers.Relay):
    clients = "0"           # as many as come: as shipped it serves 100 at once

    def __init__(self, folder, certificates):
        super().__init__(folder, certificates, NoSink)
        self.port = self.inlet

    def _write(self, stopped):
        self.port = 9
        super()._write(True)


def submit(port, count, clients, words):
    begun = time.monotonic()
    subprocess.run(["smtp-source", "-m", str(count), "-s", str(clients), "-l", str(SIZE), *words, "-f", "a@example.test",
                    "-t", "box@example.test", f"127.0.0.1:{port}"], check=True, stdout=subprocess.DEVNULL)
    return count / (time.monotonic() - begun)


def idle(port):
    """MiB when they are all there, and KiB that each has brought."""
    before, clients = load.pss(), []
    for _ in range(IDLE):
        clients.append(socket.create_connection(("127.0.0.1", port), 60))
        for said, awaited in ((b"", b"220"), (b"EHLO idle\r\n", b"250")):
            clients[-1].sendall(said)
            answer = clients[-1].recv(1000)
            assert answer.startswith(awaited), answer
    after = load.pss()
    for one in clients:
        one.close()
    return {MEMORY: after, EACH: (after - before) * 1024 / IDLE}


def alone(make, certificates, work):
    """What `work` finds with one that was just started."""
    folder = users.base_folder()
    peer = make(folder, certificates)
    try:
        return work(peer.port)
    finally:
        peer.stop()
        users.remove(folder)


def measure(make, certificates, count):
    return alone(make, certificates, lambda port: {what: submit(port, count, clients, words)
                                                   for what, clients, words in WAYS}) | alone(make, certificates, idle)


def table(makes, figures):
    print(f"\n{'':50}" + "".join(f"{make.name:>11}" for make in makes) + f"{'ratio':>9}{'durable':>9}")
    for what in (*(way[0] for way in WAYS), MEMORY, EACH):
        found = {make: statistics.median(one[what] for one in figures[make]) for make in makes}
        line = f"{what:50}" + "".join(f"{found[make]:11.{1 if what in LESS_IS_BETTER else 0}f}" for make in makes)
        for others in (makes[1:], [make for make in makes[1:] if make is not opensmtpd.OpenSmtpd]):
            ours, theirs = found[Listener], [found[make] for make in others]
            line += f"{min(theirs) / ours if what in LESS_IS_BETTER else ours / max(theirs):9.1f}"
        print(line)
    if opensmtpd.OpenSmtpd in makes:
        print("OpenSMTPD syncs nothing; through: the file system writes its spool through. ratio: to the best of the others;\n"
              "durable: to the best of those that keep what they took when the power fails.")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    if not users.IS_ROOT:
        sys.exit("bench-submission: Postfix and private mounts need root")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    load.settle_here()
    versions = {make: make.version() for make in (Listener, Relay, opensmtpd.OpenSmtpd, opensmtpd.WrittenThrough)}
    print(", ".join(dict.fromkeys(filter(None, versions.values()))))
    missing = [make.name for make in versions if not versions[make]]
    if missing:
        print(f"not there: {', '.join(missing)} (make bench-peers; a file system that can write through)")
    makes = [make for make in versions if versions[make]]
    certificates, figures = pki.Pki(), {make: [] for make in makes}
    for number in range(rounds):
        for make in makes:
            print(f"round {number + 1} of {rounds}: {make.name}", file=sys.stderr, flush=True)
            figures[make].append(measure(make, certificates, count))
    table(makes, figures)


if __name__ == "__main__":
    main()
