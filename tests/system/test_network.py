# SPDX-License-Identifier: MIT
"""The way to the server is bad: packets lost, the link dropped in the middle of a message, the server killed and
started again. Server and daemon live in network namespaces of the test's own, joined by a pair of interfaces; packets
are lost by nftables, since not every kernel has netem."""

import os
import random
import shutil
import subprocess

import pytest

import ports
import station as station_module
import users
from test_durability import Flow, doubles_are_told
from test_queue import outgoing
from waiting import accepts, until

needs_namespaces = pytest.mark.skipif(
    not users.IS_ROOT or not all(map(shutil.which, ("nsenter", "ip", "nft"))),
    reason="network namespaces and lost packets need root, iproute2 and nftables")
SLOW = pytest.mark.slow
HERE, THERE = "10.78.0.1", "10.78.0.2"


class Link:
    """The namespace of the daemon. The server stays in the one of the tests, behind the other end."""

    def __init__(self, number):
        self.outer = f"es{os.getpid() % 100000}-{number}"
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up && echo up && exec cat"],
                                       text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.holder.stdout.readline() != "up\n":
            self.holder.wait()
            pytest.skip("no network namespace can be made here")
        self.server = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up && echo up && exec cat"],
                                       text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.server.stdout.readline()
        self.run(self.holder, "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1", "netns",
                 str(self.server.pid))
        for where, device, address in ((self.holder, "v0", HERE), (self.server, "v1", THERE)):
            self.run(where, "ip", "addr", "add", f"{address}/24", "dev", device)
            self.run(where, "ip", "link", "set", device, "up")

    @staticmethod
    def inside(where, *words):
        return ["nsenter", "-t", str(where.pid), "-n", *words]

    def run(self, where, *words):
        done = subprocess.run(self.inside(where, *words), capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"{' '.join(words)}: {done.stderr.strip()}")

    def lose(self, percent):
        """Of the packets that come, on both sides, so many of a hundred."""
        for where in (self.holder, self.server):
            self.run(where, "nft", "add table inet t; add chain inet t c { type filter hook input priority 0; }; "
                            f"flush chain inet t c; add rule inet t c numgen random mod 100 < {percent} drop")

    def heal(self):
        for where in (self.holder, self.server):
            self.run(where, "nft", "flush ruleset")

    def down(self):
        self.run(self.holder, "ip", "link", "set", "v0", "down")

    def up(self):
        self.run(self.holder, "ip", "link", "set", "v0", "up")

    def end(self):
        for one in (self.holder, self.server):
            one.stdin.close()
            one.wait()


@pytest.fixture
def link():
    made = Link(0)
    yield made
    made.end()


@pytest.fixture
def far(new_station, link, new_sink, monkeypatch):
    """(a station in its namespace, a sink in the other): a socket belongs to the namespace it was made in."""
    station = new_station()
    inner = station.command()
    monkeypatch.setattr(station_module.users, "as_daemon", lambda: {})
    station.command = lambda: link.inside(link.holder, "setpriv", f"--reuid={users.DAEMON_UID}",
                                          f"--regid={users.DAEMON_GID}", "--clear-groups", *inner)
    station.start()
    home, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(f"/proc/{link.server.pid}/ns/net", os.O_RDONLY)
    enter(there)
    try:
        sink = new_sink(host=THERE)
    finally:
        enter(home)
        os.close(home)
        os.close(there)
    return station, sink


def enter(namespace):
    """This thread alone."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, 0x40000000):
        pytest.skip("may not enter a network namespace")


def arrive(station, flow, sink, timeout=60):
    def arrived():
        if set(flow.accepted) <= set(sink.counts()):
            return True
        station.ctl("queue", "flush", "a", code=None)
        return False

    until(arrived, timeout, lambda: f"{len(set(flow.accepted) - set(sink.counts()))} missing")
    until(lambda: station.account("a")["queueSize"] == 0, 20)
    assert not flow.strangers(sink.counts())
    doubles = doubles_are_told(station, flow, sink.counts())
    print(f"{len(flow.accepted)} accepted, {len(sink.accepted)} delivered, {len(doubles)} twice and told")
    return doubles


@needs_namespaces
@pytest.mark.parametrize("count,percent", (pytest.param(60, 10, id="short"),
                                           pytest.param(600, 20, id="long", marks=SLOW)))
def test_packets_are_lost(link, far, count, percent):
    """TCP mends it: slow, but each message once."""
    station, sink = far
    outgoing(station, sink)
    link.lose(percent)
    flow = Flow(station, "a", "box", count)
    try:
        until(lambda: not flow._more(), 60)
    finally:
        flow.end()
    assert not arrive(station, flow, sink, 300) or count > 60


@needs_namespaces
@pytest.mark.parametrize("count,cuts", (pytest.param(30, 2, id="short"), pytest.param(300, 20, id="long", marks=SLOW)))
def test_the_link_drops_in_the_middle_of_a_message(link, far, count, cuts):
    """And comes back: what was under way goes on or goes again, and no person is needed."""
    station, sink = far
    outgoing(station, sink, connectionTimeout=2)
    flow = Flow(station, "a", "box", count, body=("x" * 70 + "\n") * 3000)
    moments = sorted(random.Random(count).sample(range(1, count * 9 // 10), cuts))
    try:
        for moment in moments:
            until(lambda: len(sink.accepted) >= moment, 60)
            link.down()
            before = len(flow.accepted)
            until(lambda: len(flow.accepted) > before + 1 or not flow._more(), 10)
            link.up()
            until(lambda: len(sink.accepted) > moment, 60, "nothing comes since the link is up again")
        until(lambda: not flow._more(), 60)
    finally:
        flow.end()
    arrive(station, flow, sink)


# ---- the server

@pytest.mark.parametrize("count,kills", (pytest.param(120, 4, id="short"), pytest.param(2000, 60, id="long", marks=SLOW)))
def test_the_server_is_killed_and_started_again(station, new_sink, count, kills):
    """At its port nobody listens for a while, and connections of before are reset."""
    port = ports.take()
    sinks = [new_sink(port=port)]
    outgoing(station, sinks[0])

    def counts():
        return sum((one.counts() for one in sinks), type(sinks[0].counts())())

    flow = Flow(station, "a", "box", count)
    moments = sorted(random.Random(count).sample(range(1, count * 9 // 10), kills))
    try:
        for moment in moments:
            until(lambda: sum(counts().values()) >= moment, 30)
            sinks[-1].stop()
            until(lambda: not accepts("127.0.0.1", port))
            sinks.append(new_sink(port=port))
            station.ctl("queue", "flush", "a")
        until(lambda: not flow._more(), 60)
    finally:
        flow.end()

    def arrived():
        if set(flow.accepted) <= set(counts()):
            return True
        station.ctl("queue", "flush", "a", code=None)
        return False

    until(arrived, 60)
    until(lambda: station.account("a")["queueSize"] == 0, 20)
    doubles = doubles_are_told(station, flow, counts())
    print(f"{kills} kills: {len(flow.accepted)} accepted, {sum(counts().values())} delivered, {len(doubles)} twice and told")
