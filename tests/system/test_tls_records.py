# SPDX-License-Identifier: MIT
"""What a server does with TLS once the handshake stands: what is legal is borne, whatever else ends the session in words of
its own, and soon; no mail is lost or doubled by it."""

import os
import struct

import pytest

import channels
import letters
from records import ALERT, CCS, CERTIFICATE_REQUEST, DATA, FINISHED, HANDSHAKE, HELLO_REQUEST, KEY_UPDATE, SERVER_HELLO, Records, message, ticket
from waiting import until


def says(kind, content, times=1, **more):
    return lambda peer: peer.put(*(peer.seal(kind, content, **more) for _ in range(times)))


def tickets(times=1, piece=16384, **more):
    def noise(peer):
        for _ in range(times):
            made = ticket(**more)
            peer.put(*(peer.seal(HANDSHAKE, made[at:at + piece]) for at in range(0, len(made), piece)))
    return noise


def key_updates(times, asks=False):
    def noise(peer):
        for _ in range(times):
            peer.update_key(asks)
    return noise


def within_a_message(peer):
    made = ticket()
    peer.put(peer.seal(HANDSHAKE, made[:50]), peer.seal(DATA, b"x"), peer.seal(HANDSHAKE, made[50:]))


def damaged(peer):
    record = bytearray(peer.seal(DATA, b"hello"))
    record[-1] ^= 1
    peer.put(bytes(record))


def in_clear(record):
    return lambda peer: peer.put(record)


def closes(peer):
    peer.alert(0)


# Ahead of each thing that is said.
LEGAL = {
    13: {"key updates": key_updates(3), "key updates that ask": key_updates(3, True), "tickets": tickets(20),
         "huge tickets": tickets(3, size=60000), "a ticket in bytes": tickets(piece=1, size=30), "a ticket of no life": tickets(lifetime=0),
         "a ticket for ever": tickets(lifetime=0xffffffff), "a long nonce": tickets(nonce=b"x" * 255),
         "a ticket for early data": tickets(extensions=struct.pack("!HHI", 42, 4, 0xffffffff)),
         "a ticket with an unknown extension": tickets(extensions=struct.pack("!HH", 0x7777, 4) + b"abcd"),
         "empty records": says(DATA, b"", 5), "padding": says(DATA, b"", padding=16000), "a warning": says(ALERT, b"\x01\x5a")},
    12: {"hello requests": says(HANDSHAKE, message(HELLO_REQUEST), 3), "empty records": says(DATA, b"", 5), "a warning": says(ALERT, b"\x01\x70")},
}
# Once, in the midst of the session.
BAD = {
    13: {"key updates without end": key_updates(2000), "key updates that ask, without end": key_updates(2000, True),
         "tickets without end": tickets(2000), "empty records without end": says(DATA, b"", 2000), "warnings": says(ALERT, b"\x01\x5a", 200),
         "an unknown key update": says(HANDSHAKE, message(KEY_UPDATE, b"\2")), "a long key update": says(HANDSHAKE, message(KEY_UPDATE, b"\0\0")),
         "a key update with more": says(HANDSHAKE, message(KEY_UPDATE, b"\0") + ticket()),
         "a certificate request": says(HANDSHAKE, message(CERTIFICATE_REQUEST, b"\1x\0\x08\0\x0d\0\4\0\2\4\3")),
         "a hello request": says(HANDSHAKE, message(HELLO_REQUEST)), "Finished": says(HANDSHAKE, message(FINISHED, bytes(48))),
         "an endless message": says(HANDSHAKE, b"\4\xff\xff\xff" + b"x" * 100), "data within a message": within_a_message,
         "an empty ticket": tickets(size=0), "no type": says(None, b"", padding=10), "an alert in clear": in_clear(b"\x15\3\3\0\2\2\x28"),
         "data in clear": in_clear(b"\x17\3\3\0\5hello"), "a CCS": in_clear(b"\x14\3\3\0\1\1"), "an alert of an unknown kind": says(ALERT, b"\2\xff")},
    12: {"hello requests without end": says(HANDSHAKE, message(HELLO_REQUEST), 2000), "warnings": says(ALERT, b"\x01\x70", 200),
         "a ticket": says(HANDSHAKE, ticket()), "a CCS": says(CCS, b"\1")},
}
for rows in BAD.values():
    rows.update({"ServerHello": says(HANDSHAKE, message(SERVER_HELLO, os.urandom(60))), "damage": damaged, "a close": closes,
                 "too large a record": says(DATA, b"x" * 17000), "plain text": in_clear(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
                 "an alert": says(ALERT, b"\2\x28")})
# What the account's settings have nothing to do with.
PASSING = {"damage", "too large a record", "plain text", "data in clear", "a long key update", "a hello request", "a close"}


class Outgoing:
    def __init__(self, station, sink, records):
        self.station, self.server = station, sink
        sink.tls = records

    def anew(self):
        """The next message begins a session."""
        self.server.cut_all()

    def go(self):
        """Whether a message went through."""
        queued = self.station.send("a", letters.address("box"))
        until(lambda: self.station.message(queued)["state"] not in ("queued", "sending") or self.ill())
        return self.station.message(queued)["state"] == "sent"

    def ill(self):
        return self.station.account("a")["status"] in ("fault", "down")

    def catch_up(self):
        waiting = [one["id"] for one in self.station.json("queue", "list") if one["state"] != "sent"]
        if waiting:
            self.station.call("RetryMessages", ids=waiting)
            until(lambda: all(self.station.message(one)["state"] == "sent" for one in waiting))

    def check_all(self):
        assert set(self.server.counts().values()) == {1}


class Incoming:
    def __init__(self, station, box):
        self.station, self.server = station, box
        self.looks = 0

    def whole(self):
        return len(self.station.inbox("a")) == len(self.server.messages)

    def anew(self):
        self.station.call("SetAccount", name="a", properties={"enabled": False})

    def go(self):
        self.looks += 1
        self.server.add(letters.crlf(letters.letter("box", subject=f"number {self.looks}")))
        self.station.call("SetAccount", name="a", properties={"enabled": True})
        until(lambda: self.whole() or self.ill())
        return self.whole()

    def ill(self):
        return self.station.account("a")["status"] in ("fault", "down")

    def catch_up(self):
        def look():
            return self.whole() or (self.station.call("Poll", name="a", wait=False) and False)
        until(look)

    def check_all(self):
        assert self.station.received("a") == sorted(one.content for one in self.server.messages)


@pytest.fixture
def made(station, new_sink, new_box, certificates, folder):
    def make(transport, security, version):
        certificate = certificates.leaf("system", "127.0.0.1")
        records = Records(certificate, folder, version, None if security == "ssl" or transport == "smtp" else transport)
        if transport == "smtp":
            end = Outgoing(station, new_sink(certificate, security == "ssl", True), records)
        else:
            end = Incoming(station, new_box(transport, tls=records))
        more = {} if transport == "smtp" else {"push": False}
        station.add(channels.kind_of(transport), "a", **channels.properties(
            transport, security, "127.0.0.1", end.server.port, "user", connectionTimeout=10, authentication="plain", **more))
        return end, records
    return make


ROWS = [pytest.param(*pair, version, marks=() if quick else pytest.mark.slow)
        for pair in channels.SIX for version in (13, 12)
        for quick in [(pair, version) in ((("smtp", "ssl"), 13), (("imap", "starttls"), 13), (("pop3", "ssl"), 12))]]


@pytest.mark.parametrize("transport, security, version", ROWS)
def test_behind_the_handshake(station, made, transport, security, version):
    end, records = made(transport, security, version)
    assert end.go()
    for name, noise in LEGAL[version].items():
        end.anew()
        records.noise = noise
        assert end.go(), (name, station.account("a"))
    for name, noise in BAD[version].items():
        end.anew()
        records.noise = records.once(3, noise)
        through = end.go()
        sheet = station.account("a")
        assert not through and sheet["cause"], (name, sheet)
        if name in PASSING:
            assert "settings" not in sheet["cause"]["remedy"] and sheet["cause"]["code"] not in ("TlsMismatch", "TlsHandshake"), (name, sheet)
        records.noise = None
        end.catch_up()
        until(lambda: not end.ill())
    end.check_all()
