#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make bench-small`: one figure of each kind in some 20 seconds, for every build: the lines are kept, so that two builds
of one machine can be compared. Fails by no figure."""

import os
import platform
import resource
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.dont_write_bytecode = True

import incoming                     # noqa: E402  (the path comes first)
import load                         # noqa: E402
import outgoing_peers as peers      # noqa: E402
import pki                          # noqa: E402
import dovecot as dovecot_module    # noqa: E402
import users                        # noqa: E402

COUNT = int(os.environ.get("COUNT", "2000"))


kept = []


def say(text):
    print(text, flush=True)
    kept.append(text + "\n")


def line(name, value, unit, more=""):
    say(f"{name:34} {value:10.{0 if value > 100 else 3}f} {unit}{more}")


def receiving(base, certificates):
    incoming.Load.count, incoming.Load.size = COUNT, 4096
    server = dovecot_module.Dovecot(base, certificates, kinds=["system"])
    try:
        incoming.fill(server)
        for transport in ("imap", "pop3"):
            notes = {}
            incoming.forget_flags(server)
            (seconds, cpu), (again, _) = incoming.run_ours(transport, "RAM disk", server, certificates, notes)
            limit, _ = incoming.throw_away(server, transport)[0]
            line(f"receive by {transport}s", COUNT / seconds, "messages/s", f", {limit / seconds:.2f} of a reader alone")
            line(f"receive by {transport}s, CPU", cpu * 1000 / COUNT, "ms a message")
            line(f"look by {transport}s, nothing new", again * 1000, "ms")
            for note in notes.values():
                say(f"{'':34} {note}")
    finally:
        server.stop()


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as source:
        return next(int(row.split()[1]) for row in source if row.startswith("Pss:")) / 1024


def sending(base, certificates):
    sink = load.Sink(base, certificates.leaf("system"))
    peer = peers.Ours(users.private_folder(base, "out"), certificates, sink)
    try:
        line("submit, 8 connections, durable", load.submit(peer, peer.dialogue, COUNT, 8).rate, "messages/s")
        peer.prepare(sink.port)
        pid, since = peer.station.process.pid, time.monotonic()
        before = incoming.cpu_of(pid)
        peer.go()
        seconds = sink.wait(COUNT) - since
        line("send over TLS", COUNT / seconds, "messages/s")
        line("send over TLS, CPU", (incoming.cpu_of(pid) - before) * 1000 / COUNT, "ms a message")
        least, since = pss(pid), time.monotonic()
        while time.monotonic() - since < 6:     # it is at rest some seconds later
            time.sleep(0.5)
            least = min(least, pss(pid))
        line("memory at rest after that, PSS", least, "MiB")
    finally:
        peer.stop()
        sink.stop()


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    base, certificates = users.base_folder(), pki.Pki()
    say(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()},"
        f" load {os.getloadavg()[0]:.1f}; {COUNT} messages of 4 KiB")
    try:
        receiving(base, certificates)
        sending(base, certificates)
    finally:
        users.remove(base)
    with open(sys.argv[1], "w") as out:
        out.writelines(kept)


if __name__ == "__main__":
    main()
