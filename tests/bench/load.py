# SPDX-License-Identifier: MIT
"""What benchmarks of sending have in common: clients that hand mail in, a process for each message, the sink, and what
the processes of one's own cost."""

import ctypes
import os
import subprocess
import typing

from station import BUILD
from waiting import until

SUBREAPER, NEW_MOUNTS = 36, 0x20000     # PR_SET_CHILD_SUBREAPER, CLONE_NEWNS


def helper(name):
    return os.path.join(BUILD, "bench", name)


class Sink:
    """The server that takes everything, as Postfix offers CHUNKING. `far`: the port where it is 20 ms away;
    `far_plain`: where it does not offer it besides."""

    def __init__(self, folder, certificate):
        chain = os.path.join(folder, "sink.pem")
        certificate.write(chain)
        self.processes = []
        self.port = self._start("fast_sink", chain)
        plain = self._start("fast_sink", chain, "plain")
        self.servers = self.processes[:]
        self.far, self.far_plain = self._start("slow_wire", self.port, 10), self._start("slow_wire", plain, 10)

    def _start(self, name, *words):
        process = subprocess.Popen([helper(name), *map(str, words)], text=True, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        self.processes.append(process)
        return int(process.stdout.readline())

    def look(self):
        """(messages, seconds of the monotonic clock at the last message)"""
        messages, latest = 0, 0
        for process in self.servers:
            process.stdin.write("\n")
            process.stdin.flush()
            count, _, last = map(int, process.stdout.readline().split())
            messages, latest = messages + count, max(latest, last)
        return messages, latest / 1e9

    def wait(self, count, seconds=300):
        until(lambda: self.look()[0] >= count, seconds, lambda: f"the sink has {self.look()[0]} of {count}")
        return self.look()[1]

    def stop(self):
        for process in reversed(self.processes):
            process.stdin.close()
            process.wait()


class Submitted(typing.NamedTuple):
    begun: float        # seconds of the monotonic clock
    rate: float         # messages a second
    p50: float          # milliseconds until a message is answered
    p99: float


def submit(peer, dialogue, count, clients):
    """So many connections hand messages in, each waiting for its answers (clients.c). A step of the dialogue is what is
    said, or that and the path of a file whose descriptor goes along, and how the last line of its answer begins; "":
    it is a reply of Varlink."""
    steps = [(*(said if isinstance(said, tuple) else (said, "")), answer) for said, answer in dialogue]
    done = subprocess.run([helper("clients"), str(peer.address()), str(count), str(clients), str(peer.first_of_message),
                           *(str(word) for said, file, answer in steps for word in (len(said), file, answer))],
                          input=b"".join(said for said, _, _ in steps), stdout=subprocess.PIPE, check=True)
    begun, seconds, p50, p99 = map(float, done.stdout.split())
    return Submitted(begun, count / seconds, p50, p99)


def processes(peer, count, at_once, letter):
    """Messages a second with a process for each; `letter`: path of the message."""
    command, environment = peer.sendmail()
    done = subprocess.run([helper("spawn_each"), str(count), str(at_once), letter, *command], env=environment,
                          stdout=subprocess.PIPE, check=True, text=True)
    return count / float(done.stdout)


# ---- a place of one's own, and what it costs ----

def settle_here():
    """Mounts are private from here on, and orphans of our processes stay below us."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(SUBREAPER, 1, 0, 0, 0) == 0 and libc.unshare(NEW_MOUNTS) == 0
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def _descendants():
    """[(pid, fields of stat after the name)]"""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as source:
                found[int(pid)] = source.read().rsplit(")", 1)[1].split()
        except OSError:
            pass
    ours = {os.getpid()}
    while True:
        more = {pid for pid, fields in found.items() if int(fields[1]) in ours} - ours
        if not more:
            return [(pid, found[pid]) for pid in ours - {os.getpid()}]
        ours |= more


def cpu_seconds():
    """What our processes have used, those that are gone included."""
    ticks = sum(sum(map(int, fields[11:15])) for _, fields in _descendants())
    with open("/proc/self/stat") as source:
        ticks += sum(map(int, source.read().rsplit(")", 1)[1].split()[13:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def pss():
    """Proportional memory of our processes, MiB."""
    total = 0
    for pid, _ in _descendants():
        try:
            with open(f"/proc/{pid}/smaps_rollup") as source:
                total += sum(int(line.split()[1]) for line in source if line.startswith("Pss:"))
        except OSError:
            pass
    return total / 1024
