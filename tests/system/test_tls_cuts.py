# SPDX-License-Identifier: MIT
"""The TCP stream under TLS ends after each byte of ciphertext, in either direction, by FIN or RST: handshake, greeting,
login, message, answer, fetch. Nothing hangs, nothing is said to be sent that is not, nothing comes in twice or in part,
and once the way is free all goes on. Every byte in the slow form, a stride otherwise. (test_cuts.py ends what is said
inside.)"""

import asyncio
import base64
import socket
import struct
import threading

import pytest

import boxes
import channels
import letters
import pki
from waiting import until

BATCH = 240         # accounts of one station
STRIDES = [pytest.param(61, id="stride"), pytest.param(1, id="every byte", marks=pytest.mark.slow)]
LETTER = "Subject: cut\r\nMessage-ID: <{}@example.test>\r\n\r\n" + "canary-text\r\n" * 20
STATES = [f"--state={state}" for state in ("queued", "sending", "deferred", "held", "ambiguous", "sent", "failed")]
FETCHED = LETTER.format("fetched").encode()


class Way:
    """One port: its first connection ends after `cut` bytes of one direction, later ones wait until it is free."""

    def __init__(self, direction, cut, reset):
        self.direction, self.cut, self.reset = direction, cut, reset
        self.work = None
        self.passed, self.was_cut = {"up": 0, "down": 0}, False
        self.connections, self.over, self.free = 0, threading.Event(), None


class Ways:
    """All ways to one server, in a thread."""

    def __init__(self, target):
        self.target, self.made, self.servers = target, [], []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def way(self, direction=None, cut=None, reset=False):
        async def listen():
            way.free = asyncio.Event()
            server = await asyncio.start_server(lambda *ends: self._carry(way, *ends), "127.0.0.1", 0)
            self.servers.append(server)
            way.port = server.sockets[0].getsockname()[1]
        way = Way(direction, cut, reset)
        self._do(listen())
        self.made.append(way)
        return way

    def free(self):
        async def set_all():
            for way in self.made:
                way.free.set()
        self._do(set_all())

    def stop(self):
        async def end():
            for server in self.servers:
                server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _carry(self, way, reader, writer):
        way.connections += 1
        first = way.connections == 1
        if not first:
            await way.free.wait()
        behind, to_server = await asyncio.open_connection(*self.target)
        ends = (to_server, writer)
        try:
            await asyncio.gather(self._pass(way, first, "up", reader, to_server, ends),
                                 self._pass(way, first, "down", behind, writer, ends))
        finally:
            for end in ends:
                end.close()
            if first:
                way.over.set()

    async def _pass(self, way, first, direction, source, target, ends):
        left = way.cut if first and direction == way.direction else None
        try:
            while left != 0 and (got := await source.read(65536)):
                if first and way.was_cut:
                    continue            # what comes after the end goes nowhere
                got = got[:left]
                target.write(got)
                await target.drain()
                if first:
                    way.passed[direction] += len(got)
                left = left if left is None else left - len(got)
            if left == 0:
                way.was_cut = True
                for end in ends:
                    self._end(end, way.reset)
            elif not (first and way.was_cut):
                target.write_eof()
        except OSError:
            for end in ends:
                self._end(end, False)

    @staticmethod
    def _end(end, reset):
        if reset:
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()
        elif not end.is_closing():
            end.write_eof()


class Smtp:
    transport = "smtp"

    def __init__(self, new_sink, certificate):
        self.sink = new_sink(certificate, True, True)
        self.target = (self.sink.host, self.sink.port)

    def begin(self, client, name):
        client.call("Submit", account=name, recipients=["box@example.test"],
                    message=base64.b64encode(LETTER.format(name).encode()).decode())

    def times(self, name):
        return self.sink.counts()[f"<{name}@example.test>"]

    def settled(self, station):
        states = {message["account"]: message for message in station.json("queue", "list", *STATES)}
        return states if not {m["state"] for m in states.values()} & {"queued", "sending"} else None

    def check_first(self, station, accounts):
        states = until(lambda: self.settled(station), 40)
        for name, way in accounts.items():
            state, times = states[name]["state"], self.times(name)
            assert (state, times) in (("sent", 1), ("deferred", 0), ("ambiguous", 0), ("ambiguous", 1)), \
                (way.direction, way.cut, way.passed, states[name])
            assert way.was_cut or state == "sent"

    def check_end(self, station, accounts):
        """The rest goes out, once each; what may have been sent waits for its time, and is told."""
        before = self.settled(station)
        for name, message in before.items():
            if message["state"] == "deferred":
                station.call("RetryMessages", ids=[message["id"]])
        states = until(lambda: (s := self.settled(station)) and
                       "deferred" not in {m["state"] for m in s.values()} and s, 40)
        for name in accounts:
            if before[name]["state"] != "ambiguous":
                assert (states[name]["state"], self.times(name)) == ("sent", 1), (name, states[name])


class Imap:
    transport = "imap"

    def __init__(self, folder, certificate):
        self.box = boxes.Mailbox("imap", contents=[FETCHED], tls=pki.server_context(certificate, folder))
        self.target = (self.box.host, self.box.port)

    def begin(self, client, name):
        pass

    def whole(self, station, name):
        files = station.inbox(name)
        for path in files:
            with open(path, "rb") as source:
                assert letters.whole(source.read()).endswith(FETCHED), (name, path)
        return len(files)

    def check_first(self, station, accounts):
        for name, way in accounts.items():
            assert self.whole(station, name) in ((0, 1) if way.was_cut else (1,))

    def check_end(self, station, accounts):
        for name in accounts:
            station.call("Poll", name=name, wait=False)
        until(lambda: all(self.whole(station, name) for name in accounts), 40)
        for name in accounts:
            station.wait_status(name, "ok")
            assert self.whole(station, name) == 1


@pytest.fixture
def servers(new_sink, certificates, folder):
    """Makes the server of a transport, with the ways to it."""
    made = []

    def make(transport):
        while made:                     # a batch takes thousands of descriptors
            made.pop().stop()
        certificate = certificates.leaf("system", "127.0.0.1")
        server = Smtp(new_sink, certificate) if transport == "smtp" else Imap(folder, certificate)
        ways = Ways(server.target)
        made.extend([server.sink if transport == "smtp" else server.box, ways])
        return server, ways

    yield make
    while made:
        made.pop().stop()


def run(new_station, server, ways):
    """An account for each way, all at once, until their first connections are over."""
    station = new_station({"Limits.MaxSessionsPerHost": 1000, "Service.LogLevel": "notice"}).start()
    accounts = {f"a{number}": way for number, way in enumerate(ways)}
    with station.client() as client:
        for name, way in accounts.items():
            properties = channels.properties(server.transport, "ssl", "127.0.0.1", way.port, "user", enabled=False,
                                             connectionTimeout=30, authentication="plain")
            if server.transport == "imap":
                properties["push"] = False
            client.call("AddAccount", name=name, kind=channels.kind_of(server.transport), properties=properties)
            client.call("SetPassword", name=name, password=letters.PASSWORD)
            client.call("SetAccount", name=name, properties={"enabled": True})
            server.begin(client, name)
    for name, way in accounts.items():
        if way.cut is None:
            station.wait_status(name, "ok")
            server.check_first(station, accounts)
            way.work = dict(way.passed)         # without the good-bye, which comes when the session has idled
            station.call("SetAccount", name=name, properties={"enabled": False})
        assert way.over.wait(120), (way.direction, way.cut, way.passed, station.account(name))
    return station, accounts


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("reset", (False, True), ids=("FIN", "RST"))
@pytest.mark.parametrize("direction", ("down", "up"))
@pytest.mark.parametrize("transport", ("smtp", "imap"))
def test_the_stream_ends_within_the_ciphertext(new_station, servers, transport, direction, reset, stride):
    server, ways = servers(transport)
    station, _ = run(new_station, server, [ways.way()])
    total = ways.made[0].work[direction]
    assert total > 500
    station.stop()
    cuts = list(range(0, total, stride))
    for begin in range(0, len(cuts), BATCH):
        server, ways = servers(transport)
        station, accounts = run(new_station, server, [ways.way(direction, cut, reset) for cut in cuts[begin:begin + BATCH]])
        server.check_first(station, accounts)
        for name, way in accounts.items():
            sheet = station.wait_status(name, "down", "ok")
            assert sheet["status"] == "ok" or sheet["cause"]["code"] in ("ConnectionLost", "Connect"), (way.cut, sheet)
            assert way.passed["down"] or sheet["status"] == "down", (way.cut, sheet)
        assert sum(way.was_cut for way in ways.made) > 0.9 * len(ways.made)
        ways.free()
        server.check_end(station, accounts)
        station.stop()
