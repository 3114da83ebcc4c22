#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make bench-submission`: durable submission by SMTP, 250 after it is on disk, of smtp-source's clients: to the submission
listener and to Postfix's, both with nothing to send on to, in one run on one machine; and what idle clients cost. Prints
medians of some rounds and ratios; fails nothing. Arguments: how many messages (default 2000), how many rounds (3)."""

import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.dont_write_bytecode = True

import outgoing_peers as peers                      # noqa: E402  (the path comes first)
import pki                                          # noqa: E402
import users                                        # noqa: E402
from doors import Doors                             # noqa: E402
from station import Station, program               # noqa: E402

IDLE = 1000
SIZE = 4096
WAYS = [(f"{clients} connections, {what} [1/s]", clients, words) for clients in (8, 64)
        for what, words in (("one for all messages", ["-d"]), ("one for each message", []))]
MEMORY = f"memory of {IDLE} idle clients [MiB]"


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

    def memory(self):
        with open(f"/proc/{self.station.process.pid}/smaps_rollup") as rollup:
            return int(re.search(r"^Pss:\s+(\d+)", rollup.read(), re.M)[1]) / 1024


class Relay(peers.Relay):
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


def idle(listener):
    before, clients = listener.memory(), []
    for _ in range(IDLE):
        clients.append(socket.create_connection(("127.0.0.1", listener.port)))
        clients[-1].sendall(b"EHLO idle\r\n")
        clients[-1].recv(1000)
    grown = listener.memory() - before
    for one in clients:
        one.close()
    return grown


def measure(make, certificates, count):
    folder = users.base_folder()
    peer = make(folder, certificates)
    try:
        found = {what: submit(peer.port, count, clients, words) for what, clients, words in WAYS}
        if make is Listener:
            found[MEMORY] = idle(peer)
        return found
    finally:
        peer.stop()
        users.remove(folder)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    if not users.IS_ROOT:
        sys.exit("bench-submission: Postfix needs root")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    certificates, makes = pki.Pki(), (Listener, Relay)
    figures = {make: [] for make in makes}
    for number in range(rounds):
        for make in makes:
            print(f"round {number + 1} of {rounds}: {make.name}", file=sys.stderr, flush=True)
            figures[make].append(measure(make, certificates, count))
    print(f"{'':50}{'emailsecd':>11}{'Postfix':>11}{'ratio':>8}")
    for what, *_ in WAYS:
        ours, theirs = (statistics.median(one[what] for one in figures[make]) for make in makes)
        print(f"{what:50}{ours:11.0f}{theirs:11.0f}{ours / theirs:8.1f}")
    print(f"{MEMORY:50}{statistics.median(one[MEMORY] for one in figures[Listener]):11.2f}")


if __name__ == "__main__":
    main()
