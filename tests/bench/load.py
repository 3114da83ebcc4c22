# SPDX-License-Identifier: MIT
"""What benchmarks of sending have in common: clients that hand mail in, a process for each message, the sink, and what
the processes of one's own cost."""

import ctypes
import os
import selectors
import socket
import subprocess
import time

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


def submit(peer, dialogue, count, clients):
    """Messages a second that `clients` connections hand in, each waiting for its answer. A step of the dialogue is what
    is said, or that and the path of a file whose descriptor goes along, and what is answered."""
    selector, begun, finished = selectors.DefaultSelector(), 0, 0
    family, address = peer.address()
    start = time.monotonic()

    def step(key, number):
        nonlocal begun
        if number == len(dialogue):
            number = peer.first_of_message
        if number == peer.first_of_message:
            if begun == count:
                selector.unregister(key["socket"])
                key["socket"].close()
                return
            begun += 1
        key["step"], key["answer"] = number, b""
        words = dialogue[number][0]
        if isinstance(words, tuple):
            handed = os.open(words[1], os.O_RDONLY)
            socket.send_fds(key["socket"], [words[0]], [handed])
            os.close(handed)
        elif words:
            key["socket"].sendall(words)

    for _ in range(clients):
        connection = socket.socket(family)
        connection.connect(address)
        key = {"socket": connection}
        selector.register(connection, selectors.EVENT_READ, key)
        step(key, 0)
    while selector.get_map():
        for ready, _ in selector.select(30):
            key = ready.data
            got = key["socket"].recv(65536)
            assert got, "the server hung up"
            key["answer"] += got
            if peer.done(dialogue[key["step"]][1], key["answer"]):
                finished += key["step"] == len(dialogue) - 1
                step(key, key["step"] + 1)
    assert finished == count
    return count / (time.monotonic() - start)


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
