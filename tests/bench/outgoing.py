#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make bench-outgoing`: durable submission, a process for each message, draining a full queue over TLS (small, large,
to a server 20 ms away), the time from submission to delivery, CPU and memory, each for emailsecd and for those it is
compared with, in one run on one machine and one sink. Prints medians of some rounds and ratios; fails nothing.
Arguments: how many messages (default 2000), how many rounds (3), names of peers (all; `wide` is emailsecd with 64
sessions, `writer` the limit of draining, `writers` the same with four connections; `bulk` among them: alone what it is to
hand mail in by connections)."""

import json
import os
import platform
import resource
import statistics
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.dont_write_bytecode = True

import load                                         # noqa: E402  (the path comes first)
import outgoing_peers as peers                      # noqa: E402
import pki                                          # noqa: E402
import users                                        # noqa: E402

CLIENTS, FEW_CLIENTS = 32, 8
BULK = f"bulk submission, 4 KiB, {CLIENTS} clients [1/s]"
BULK_FEW = f"bulk submission, 4 KiB, {FEW_CLIENTS} clients [1/s]"
BULK_P50, BULK_P99, BULK_FEW_P50, BULK_FEW_P99 = (f"answered there, {clients} clients, {part} [ms]"
                                                  for clients in (CLIENTS, FEW_CLIENTS) for part in ("p50", "p99"))
BULK_BIG = f"bulk submission, 1 MiB, {FEW_CLIENTS} clients [1/s]"
ALONE = "process for each message, alone [1/s]"
AT_ONCE = "process for each message, 8 at once [1/s]"
DRAIN = "drain over TLS, 4 KiB [1/s]"
CPU = "CPU of a drained message [ms]"
DRAIN_BIG = "drain over TLS, 100 x 1 MiB [1/s]"
DRAIN_FAR = "drain to a server 20 ms away [1/s]"
DRAIN_FAR_PLAIN = "the same, server without CHUNKING [1/s]"
P50 = "submission to delivery, p50 [ms]"
P99 = "submission to delivery, p99 [ms]"
MEMORY = "memory at rest, PSS [MiB]"
LESS_IS_BETTER = (BULK_P50, BULK_P99, BULK_FEW_P50, BULK_FEW_P99, CPU, P50, P99, MEMORY)
BULK_ONLY = "bulk"


class Round:
    """One peer, measured once."""

    def __init__(self, peer, sink, folder, count):
        self.peer, self.sink, self.count, self.figures = peer, sink, count, {}
        self.small, self.big = (self._file(folder, name, content) for name, content in
                                (("small", peers.LETTER), ("big", peers.BIG)))

    @staticmethod
    def _file(folder, name, content):
        path = os.path.join(folder, name)
        with open(path, "wb") as out:
            out.write(content)
        return path

    def fill(self, count):
        if self.peer.dialogue:
            load.submit(self.peer, self.peer.dialogue, count, CLIENTS)
        else:
            load.processes(self.peer, count, 8, self.small)

    def drain(self, waiting, port):
        """Messages a second, and the CPU of each in ms."""
        before = self.sink.look()[0]
        self.peer.prepare(port)
        busy, start = load.cpu_seconds(), time.monotonic()
        self.peer.go()
        took = self.sink.wait(before + waiting) - start
        return waiting / took, (load.cpu_seconds() - busy) / waiting * 1000

    def latencies(self, count):
        """Milliseconds from the start of a submission to the sink's answer, sorted."""
        found = []
        for _ in range(count):
            before, start = self.sink.look()[0], time.monotonic()
            if self.peer.dialogue:
                start = load.submit(self.peer, self.peer.dialogue, 1, 1).begun
            else:
                load.processes(self.peer, 1, 1, self.small)
            found.append((self.sink.wait(before + 1) - start) * 1000)
        return sorted(found)

    def bulk(self):
        for clients, rate, p50, p99 in ((CLIENTS, BULK, BULK_P50, BULK_P99),
                                        (FEW_CLIENTS, BULK_FEW, BULK_FEW_P50, BULK_FEW_P99)):
            done = load.submit(self.peer, self.peer.dialogue, self.count, clients)
            self.figures |= {rate: done.rate, p50: done.p50, p99: done.p99}
        return self.figures

    def handing_in(self):
        few = max(self.count // 10, 40)
        waiting = few * 3
        if self.peer.dialogue:
            self.bulk()
            waiting += self.count * 2
        self.figures[ALONE] = load.processes(self.peer, few, 1, self.small)
        self.figures[AT_ONCE] = load.processes(self.peer, few * 2, 8, self.small)
        return waiting

    def draining(self, waiting):
        self.figures[DRAIN], cpu = self.drain(waiting, self.sink.port)
        if self.peer.stays:
            self.figures[CPU] = cpu
        self.peer.hold()
        if self.peer.dialogue:
            self.figures[BULK_BIG] = load.submit(self.peer, self.peer.dialogue_of_file(self.big), 100, FEW_CLIENTS).rate
        else:
            load.processes(self.peer, 100, 4, self.big)
        self.figures[DRAIN_BIG], _ = self.drain(100, self.sink.port)
        self.peer.hold()
        far = self.count if self.peer.dialogue else max(self.count // 10, 40)
        self.fill(far)
        self.figures[DRAIN_FAR], _ = self.drain(far, self.sink.far)
        self.peer.hold()
        self.fill(far)
        self.figures[DRAIN_FAR_PLAIN], _ = self.drain(far, self.sink.far_plain)

    def resting(self):
        """A peer that has nothing to do, and then one message at a time."""
        if self.peer.keeps:
            self.peer.prepare(self.sink.port)
            self.peer.go()
        times = self.latencies(100)
        self.figures[P50], self.figures[P99] = statistics.median(times), times[98]
        if self.peer.keeps:
            if self.peer.stays:
                self.figures[MEMORY] = load.pss()
            self.peer.hold()

    def bare(self):
        """What draining costs where nothing is kept: as many messages as others have waiting."""
        few = max(self.count // 10, 40)
        for what, count, content, port in ((DRAIN, self.count * 2, peers.LETTER, self.sink.port),
                                           (DRAIN_BIG, 100, peers.BIG, self.sink.port),
                                           (DRAIN_FAR, self.count, peers.LETTER, self.sink.far),
                                           (DRAIN_FAR_PLAIN, few, peers.LETTER, self.sink.far_plain)):
            self.peer.hand_in(count, content)
            self.figures[what], cpu = self.drain(count, port)
            self.peer.hold()
            if what == DRAIN:
                self.figures[CPU] = cpu
        return self.figures

    def measure(self, bulk_only):
        if bulk_only:
            return self.bulk()
        if not hasattr(self.peer, "sendmail"):
            return self.bare()
        self.resting()
        waiting = self.handing_in()
        if self.peer.keeps:
            self.draining(waiting)
        return self.figures


def measure_apart(make, certificates, sink, count, bulk_only):
    """One round in a process with mounts of its own: what belongs to the peer ends with it."""
    inlet, outlet = os.pipe()
    child = os.fork()
    if not child:
        status, folder = 1, users.base_folder()
        try:
            load.settle_here()
            peer = make(folder, certificates, sink)
            try:
                figures = Round(peer, sink, folder, count).measure(bulk_only)
                os.write(outlet, json.dumps(figures).encode())
                status = 0
            finally:
                peer.stop()
        except BaseException:
            traceback.print_exc()
        finally:
            os.chdir("/")
            users.remove(folder)
            os._exit(status)
    os.close(outlet)
    with os.fdopen(inlet, "rb") as source:
        text = source.read()
    os.waitpid(child, 0)
    return json.loads(text or "{}")


def told_of_sessions(wanted):
    """Far away, what is sent in a second goes with how many sessions there are."""
    counts = [f"{make.name} {make.sessions}" for make in wanted if hasattr(make, "sessions")]
    if counts:
        print(f"sessions with the server at once, at most: {', '.join(counts)}")


def machine(found, missing):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    print(", ".join(found))
    if missing:
        print(f"not there: {', '.join(missing)} (make bench-peers, apt install)")
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, {memory} MiB, load {os.getloadavg()[0]:.1f}")


def table(names, figures):
    width = 11
    print(f"\n{'':45}" + "".join(f"{name:>{width}}" for name in names))
    for what in (BULK, BULK_P50, BULK_P99, BULK_FEW, BULK_FEW_P50, BULK_FEW_P99, BULK_BIG, ALONE, AT_ONCE, DRAIN, DRAIN_BIG, DRAIN_FAR, DRAIN_FAR_PLAIN,
                 CPU, P50, P99, MEMORY):
        rows = {name: figures[name].get(what) for name in names}
        if not any(rows.values()):
            continue
        print(f"{what:45}" + "".join(f"{'-':>{width}}" if rows[name] is None
                                     else f"{rows[name]:{width}.{3 if what == CPU else 2}f}" for name in names))
        ours = rows.get("emailsecd")
        if ours:
            ratios = {name: value / ours if what in LESS_IS_BETTER else ours / value
                      for name, value in rows.items() if value}
            print(f"{'  times as good as':45}" + "".join(f"{ratios[name]:{width}.1f}" if name in ratios
                                                         else f"{'':{width}}" for name in names))


def medians(rounds):
    return {what: statistics.median(one[what] for one in rounds if what in one)
            for what in {what for one in rounds for what in one}}


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    bulk_only, asked = BULK_ONLY in sys.argv[3:], [name for name in sys.argv[3:] if name != BULK_ONLY]
    wanted = [make for make in (*peers.ALL, *peers.BY_NAME) if make.name in (asked or [peer.name for peer in peers.ALL])
              and (not bulk_only or hasattr(make, "first_of_message"))]
    if not users.IS_ROOT:
        sys.exit("bench-outgoing: Postfix and private mounts need root")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    versions = {make: make.version() for make in wanted}
    machine(dict.fromkeys(filter(None, versions.values())), [make.name for make in wanted if not versions[make]])
    wanted = [make for make in wanted if versions[make]]
    told_of_sessions(wanted)
    folder, certificates = users.base_folder(), pki.Pki()
    sink, figures = load.Sink(folder, certificates.leaf("system")), {make.name: [] for make in wanted}
    try:
        for number in range(rounds):
            for make in wanted:
                print(f"round {number + 1} of {rounds}: {make.name}", file=sys.stderr, flush=True)
                figures[make.name].append(measure_apart(make, certificates, sink, count, bulk_only))
    finally:
        sink.stop()
        users.remove(folder)
    table([make.name for make in wanted], {name: medians(found) for name, found in figures.items()})


if __name__ == "__main__":
    main()
