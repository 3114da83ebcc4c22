# SPDX-License-Identifier: MIT
"""Servers that send without end what carries nothing, before and after their certificate is judged, and servers that
only dribble: the deadline comes, the account says so, and everybody else is served meanwhile."""

import os
import shutil
import socket
import subprocess
import threading

import pytest

import channels
import letters
from waiting import until

RAW = {
    "hello-requests": bytes((22, 3, 3, 0, 4, 0, 0, 0, 0)),
    "empty-fragments": bytes((22, 3, 3, 0, 0)),
    "warning-alerts": bytes((21, 3, 3, 0, 2, 1, 90)),
    "change-cipher-spec": bytes((20, 3, 3, 0, 1, 1)),
    "half-a-record": bytes((22, 3, 3, 64, 0)) + bytes(4),
    "a-long-server-hello": bytes((22, 3, 3, 64, 0, 2, 0, 255, 255)) + bytes(16380),
}


class Flood:
    """Listens; says `first` once, then `again` as fast as it is taken, or every `pause` seconds."""

    def __init__(self, first, again, pause=None):
        self.first, self.again, self.pause = first, again, pause
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sessions = 0
        self.over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.sessions += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        with peer:
            try:
                peer.sendall(self.first)
                piece = self.again if self.pause else self.again * (65536 // len(self.again) + 1)
                while not self.over.wait(self.pause or 0):
                    peer.sendall(piece)
            except OSError:
                pass

    def stop(self):
        self.over.set()
        self.listener.close()


@pytest.fixture
def flood():
    made = []

    def make(*args, **options):
        made.append(Flood(*args, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="module")
def flooder(base):
    """The program that floods inside TLS."""
    if not shutil.which("cc"):
        pytest.skip("needs a compiler")
    path = os.path.join(base, "flood")
    subprocess.run(["cc", "-D_GNU_SOURCE", "-O1", "-o", path, os.path.join(os.path.dirname(__file__), "flood.c"),
                    "-lssl", "-lcrypto", "-lpthread"], check=True)
    return path


def others_are_served(station, sink, count=10):
    """An honest account beside it: its messages go, and commands are answered, while the flood is on."""
    for number in range(count):
        station.send("honest", f"box{number}@example.test", letters.letter(f"box{number}"))
        station.call("GetStatus")
    sink.wait_for(count)


def honest(station, sink):
    station.add("outgoing", "honest", **channels.properties("smtp", "plain", "127.0.0.1", sink.port, ""))


def ends(station, *codes):
    sheet = station.wait_status("a", "fault", "down")
    assert sheet["cause"]["code"] in codes, sheet
    return sheet


@pytest.mark.parametrize("what", sorted(RAW))
def test_a_flood_before_the_certificate(station, sink, flood, what):
    server = flood(b"", RAW[what])
    honest(station, sink)
    station.add("incoming", "a", **channels.properties("imap", "ssl", "127.0.0.1", server.port, "u", connectionTimeout=3))
    others_are_served(station, sink)
    ends(station, "TlsHandshake", "Timeout", "TlsMismatch")
    assert station.running()


@pytest.mark.parametrize("mode", ("key-update", "key-update-asked", "tickets", "tickets-and-a-byte"))
def test_a_flood_after_the_certificate(station, sink, flooder, certificates, folder, mode):
    path = certificates.leaf("system", "127.0.0.1").write(os.path.join(folder, "flood.pem"))
    server = subprocess.Popen([flooder, path, mode], stdout=subprocess.PIPE)
    try:
        port = int(server.stdout.readline())
        honest(station, sink)
        station.add("incoming", "a", **channels.properties("imap", "ssl", "127.0.0.1", port, "u",
                                                           connectionTimeout=10 if mode == "tickets-and-a-byte" else 60))
        others_are_served(station, sink)
        sheet = ends(station, "TlsHandshake", "Timeout")
        if mode != "tickets-and-a-byte":
            assert "without end" in sheet["cause"]["text"], sheet
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


LINES = {
    "imap": (b"* OK hello\r\n", b"* \r\n"),
    "imap-data": (b"* OK hello\r\n", b"* 1 EXISTS\r\n"),
    "pop3": (b"+OK hello\r\n", b"+\r\n"),
    "pop3-capa": (b"+OK hello\r\n+OK\r\n", b"x\r\n"),
    "smtp": (b"220 hello\r\n", b"250-\r\n"),
}


@pytest.mark.parametrize("what", sorted(LINES))
def test_a_flood_of_lines(station, sink, flood, what):
    transport = what.split("-")[0]
    server = flood(*LINES[what])
    honest(station, sink)
    station.add(channels.kind_of(transport), "a", **channels.properties(
        transport, "plain", "127.0.0.1", server.port, "u", connectionTimeout=3))
    if transport == "smtp":
        station.send("a", "box@example.test", letters.letter("box"))
    others_are_served(station, sink)
    sheet = station.wait_status("a", "down", "fault", timeout=12)
    assert sheet["cause"]["code"] in ("Timeout", "ProtocolViolation", "Injection", "ConnectionLost", "AuthenticationRefused"), sheet


NOISE = b"* OK " + b"n" * 600 + b"\r\n"

DRIBBLES = {
    # transport: what is said first, what is said again
    "imap-greeting": ("imap", b"", b"* " + b"n" * 20),
    "imap-noise": ("imap", b"* OK hello\r\n", NOISE),
    "pop3-no-end": ("pop3", b"", b"n" * 600),
    "smtp-no-end": ("smtp", b"", b"220-" + b"n" * 600 + b"\r\n"),
    "smtp-ehlo": ("smtp", b"220 hello\r\n", b"250-" + b"n" * 600 + b"\r\n"),
}


@pytest.mark.parametrize("what", sorted(DRIBBLES))
def test_a_dribble_gains_no_time(station, flood, what):
    transport, first, again = DRIBBLES[what]
    server = flood(first, again, pause=0.3)
    station.add(channels.kind_of(transport), "a", **channels.properties(
        transport, "plain", "127.0.0.1", server.port, "u", connectionTimeout=3))
    if transport == "smtp":
        station.send("a", "box@example.test", letters.letter("box"))
    sheet = station.wait_status("a", "down", "fault", timeout=12)
    assert sheet["cause"]["code"] == "Timeout", sheet


def test_an_honest_server_may_be_slow(station):
    """A message of 40 KiB at 8 KiB a second, with a time-out of 3 s."""
    body = b"Subject: slow\r\n\r\n" + (b"x" * 70 + b"\r\n") * 570
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(peer, line):
        tag, word = line.split()[0], b" ".join(line.split()[1:3]).upper()
        said = {b"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n", b"EXAMINE INBOX": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT 2] n\r\n"}
        if word == b"UID FETCH" and b"BODY" in line.upper():
            head = b"* 1 FETCH (UID 1 BODY[] {%d}\r\n" % len(body)
            whole = head + body + b")\r\n"
            for at in range(0, len(whole), 2048):
                peer.sendall(whole[at:at + 2048])
                threading.Event().wait(0.25)
        elif word == b"UID FETCH":
            peer.sendall(b"* 1 FETCH (UID 1 FLAGS () RFC822.SIZE %d)\r\n" % len(body))
        else:
            peer.sendall(said.get(word, said[b"EXAMINE INBOX"] if word.startswith(b"SELECT") else b""))
        peer.sendall(tag + b" OK done\r\n")

    def serve():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with peer, peer.makefile("rb") as lines:
                peer.sendall(b"* OK hello\r\n")
                try:
                    for line in lines:
                        answer(peer, line)
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()
    station.add("incoming", "a", **channels.properties(
        "imap", "plain", "127.0.0.1", listener.getsockname()[1], "u", connectionTimeout=3, fetch="all"))
    until(lambda: len(station.inbox("a")) == 1, 30)
    listener.close()
