# SPDX-License-Identifier: MIT
"""Messages of more than a part of the spool, whose session breaks while a part is being read: by a reset, an end, or 421
and the end, at any byte; and an account that is changed or disabled meanwhile. The station lives, every message waits, and
goes once the server behaves."""

import contextlib
import random
import socket
import struct
import threading

import pytest

import channels
import letters
from varlink import VarlinkError
from waiting import until

PART = 256 * 1024
MESSAGES = 4
BODY = ("0123456789" * 7 + "\n") * (4 * PART // 71)


class Breaker:
    """Takes DATA and breaks it off so many bytes later; with `well` set it takes all."""

    def __init__(self, how, dice):
        self.how, self.dice, self.well, self.broken, self.taken = how, dice, False, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        with peer, peer.makefile("rb") as lines:
            try:
                self._talk(peer, lines)
            except OSError:
                pass

    def _talk(self, peer, lines):
        peer.sendall(b"220 x\r\n")
        for line in lines:
            verb = line[:4].upper()
            if verb == b"EHLO":
                peer.sendall(b"250-x\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
            elif verb == b"DATA":
                peer.sendall(b"354 go\r\n")
                if not self._content(peer, lines):
                    return
            elif verb == b"QUIT":
                peer.sendall(b"221 bye\r\n")
                return
            else:
                peer.sendall(b"250 ok\r\n")

    def _content(self, peer, lines):
        left = self.dice.choice((PART, 2 * PART, 3 * PART)) + self.dice.randrange(-70000, 70000)
        for line in lines:
            left -= len(line)
            if line == b".\r\n":
                self.taken += 1
                peer.sendall(b"250 ok\r\n")
                return True
            if left <= 0 and not self.well:
                break
        self.broken += 1
        if self.how == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self.how == "421":
            peer.sendall(b"421 4.3.2 bye\r\n")
        return False


@pytest.mark.parametrize("how", ("reset", "end", "421"))
@pytest.mark.parametrize("also", ("nothing", "changes"))
def test_broken_while_a_part_is_read(station, how, also):
    seed = random.randrange(2**32)
    print("seed", seed)
    dice = random.Random(seed)
    server = Breaker(how, dice)
    station.add("outgoing", "a", **channels.properties("smtp", "plain", "127.0.0.1", server.port, "", maxConnections=4))
    ids = [station.send("a", "box@example.test", letters.letter("big", body=BODY)) for _ in range(MESSAGES)]

    def retry():
        for one in ids:
            with contextlib.suppress(VarlinkError):    # it is sent
                station.call("RetryMessages", ids=[one])

    def again():
        retry()
        if also == "changes" and dice.randrange(3) == 0:
            station.call("SetAccount", name="a", properties={"maxConnections": dice.randrange(1, 6)})
        return server.broken >= 20

    until(again, 40, "it was not broken often enough")
    assert station.running()
    assert [station.message(one)["state"] for one in ids].count("sent") == 0
    server.well = True
    until(lambda: retry() or server.taken >= MESSAGES, 40)
    for one in ids:
        assert station.wait_message(one)["state"] == "sent"
    server.listener.close()
