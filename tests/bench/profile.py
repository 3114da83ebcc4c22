#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make profile WHAT=receive-imap`: where the daemon's instructions go, by message. By valgrind's callgrind, whose counts
are the same on a busy machine: the work is done twice, with COUNT messages and with a quarter of them, and what is shown
is the difference, so that start and sign-in are not in it. Where the processor counts for us (`perf stat -e
instructions`), by perf besides, which sees the kernel too. How to read it: README.md beside this."""

import os
import re
import subprocess
import sys
import time

os.environ.setdefault("FLAVOUR", "callgrind")       # everything takes longer
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.dont_write_bytecode = True

import incoming                     # noqa: E402  (the path comes first)
import load                         # noqa: E402
import outgoing_peers as peers      # noqa: E402
import pki                          # noqa: E402
import station as station_module    # noqa: E402
import users                        # noqa: E402

COUNT = int(os.environ.get("COUNT", "1000"))
ROWS = int(os.environ.get("ROWS", "60"))


class Profiled(station_module.Station):
    """A station under a profiler, which writes to `out`."""
    out, tool = "", "callgrind"

    def command(self):
        if self.tool == "perf":
            return super().command()
        return ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={self.out}", *super().command()]

    def start(self):
        super().start()
        if self.tool == "perf":
            self.perf = subprocess.Popen(["perf", "record", "-q", "-F", "2000", "-g", "-o", self.out, "-p", str(self.process.pid)],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def stop(self, within=30):
        super().stop(within)
        if self.tool == "perf":
            self.perf.wait()


def receive(transport):
    def work(base, certificates, count):
        incoming.Load.count, incoming.Load.size = count, 4096
        server = incoming.FastSource(base, certificates)
        try:
            incoming.run_ours(transport, "RAM disk", server, certificates, {})
        finally:
            server.stop()
    return work


def send(drains):
    def work(base, certificates, count):
        sink = load.Sink(base, certificates.leaf("system"))
        folder = users.private_folder(base, f"station{count}")
        peer = peers.Ours(folder, certificates, sink)
        try:
            load.submit(peer, peer.dialogue, count, 8)
            if drains:
                peer.prepare(sink.port)
                peer.go()
                sink.wait(count)
        finally:
            peer.stop()
            sink.stop()
            users.remove(folder)
    return work


WORK = {"receive-imap": receive("imap"), "receive-pop3": receive("pop3"), "submit": send(False), "send": send(True)}


def run(what, tool, count, to):
    """Does the work with so many messages; what the profiler wrote is at `to`."""
    base, certificates = users.base_folder(), pki.Pki()
    os.chmod(base, 0o777)           # the profiler writes as the daemon's user
    Profiled.out, Profiled.tool = os.path.join(base, "profile"), tool
    try:
        WORK[what](base, certificates, count)
        subprocess.run(["cp", Profiled.out, to], check=True)
    finally:
        users.remove(base)


def instructions(path, inclusive):
    """{function: instructions}, and those of all."""
    text = subprocess.run(["callgrind_annotate", "--threshold=100", "--auto=no", f"--inclusive={'yes' if inclusive else 'no'}", path],
                          capture_output=True, text=True, check=True).stdout
    rows = {}
    for line in text.splitlines():
        row = re.match(r"\s*([\d,]+) \([ \d.]+%\)\s+(.*)$", line)
        if row:
            name = re.sub(r" \[.*/([^/\]]+)\]$", r" [\1]", row.group(2))    # the object without its path
            name = re.sub(r"^(?:\S*/)?((?:daemon|common)/\S+:\S+).*$", r"\1", name)
            rows[name] = max(rows.get(name, 0), int(row.group(1).replace(",", "")))
    return rows, rows.pop("PROGRAM TOTALS", 0)


def show(large, small, messages):
    (with_calls, total), (less, start) = instructions(large, True), instructions(small, True)
    alone, alone_less = instructions(large, False)[0], instructions(small, False)[0]
    print(f"  {(total - start) / messages:10.0f}  instructions a message\n")
    print(f"  {'with calls':>10}  {'alone':>8}")
    each = {name: (count - less.get(name, 0)) / messages for name, count in with_calls.items()}
    for name in sorted(each, key=each.get, reverse=True)[:ROWS]:
        print(f"  {each[name]:10.0f}  {(alone.get(name, 0) - alone_less.get(name, 0)) / messages:8.0f}  {name[:110]}")


def counters_there():
    done = subprocess.run(["perf", "stat", "-e", "instructions", "true"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and "not supported" not in done.stderr


def main():
    what, folder = sys.argv[1], sys.argv[2]
    if what not in WORK:
        sys.exit(f"profile: WHAT is one of {', '.join(WORK)}")
    os.makedirs(folder, exist_ok=True)
    station_module.Station = peers.Station = Profiled
    few, paths = COUNT // 4, {}
    for count in (few, COUNT):
        paths[count] = os.path.join(folder, f"{what}.{count}.callgrind")
        since = time.monotonic()
        run(what, "callgrind", count, paths[count])
        print(f"{what}: {count} messages under callgrind, {time.monotonic() - since:.0f} s", file=sys.stderr, flush=True)
    print(f"{what}, messages of 4 KiB; {paths[COUNT]} less {paths[few]}")
    show(paths[COUNT], paths[few], COUNT - few)
    try:
        counted = counters_there()
    except FileNotFoundError:
        counted = False
    if counted:
        path = os.path.join(folder, f"{what}.perf")
        run(what, "perf", 10 * COUNT, path)
        print(f"\nby perf, with the kernel ({path}):")
        subprocess.run(f"perf report -i {path} --no-children --sort comm,dso,symbol -g none --stdio 2>/dev/null"
                       " | grep -v '^#' | grep . | head -n 60", shell=True, check=False)


if __name__ == "__main__":
    main()
