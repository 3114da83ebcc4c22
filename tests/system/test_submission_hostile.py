# SPDX-License-Identifier: MIT
"""Hostile clients of the submission listener: what can be read in two ways, what comes too early, too much and too slowly."""

import contextlib
import os
import random
import re
import socket

import pytest

import station as station_module
import users
from doors import Doors, Talk
from test_submission import MESSAGE, outgoing
from waiting import until

EVIL = "MAIL FROM:<evil@example.test>\r\nRCPT TO:<victim@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"


@pytest.fixture
def doors(new_station, sink):
    station = new_station()
    made = Doors(station)
    station.start()
    outgoing(station, sink)
    made.sink = sink
    return made


def read_all(talk):
    said = []
    while (answer := talk.reply()) is not None:
        said.append(answer[0])
    return said


# The ends of data that some servers take and others do not: SEC Consult's of December 2023, and those found since.
ENDS = ["\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n.\n", "\r\n.\r\r\n", "\n\n.\r\n", "\r\r\n.\r\n", "\n.\r\r\n", "\r\n\r.\r\n", "\n\r.\r\n",
        "\r\n\0.\r\n", "\r\n.\0\r\n", "\0\r\n.\n", "\r\n\n.\n", "\x0b.\r\n", "\x85.\r\n", "\u2028.\r\n", "\r\n .\r\n", "\r\n.\t\r\n"]
# Those that are text and nothing else: no server ends there.
TEXT = {"\r\n\0.\r\n", "\r\n.\0\r\n", "\x0b.\r\n", "\x85.\r\n", "\u2028.\r\n", "\r\n .\r\n", "\r\n.\t\r\n"}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: repr(end))
def test_smuggling(doors, end):
    with doors.talk() as talk:
        assert talk.envelope() == [250] * 3 and talk.code("DATA") == 354
        talk.send(("Subject: x\r\n\r\nouter" + end + EVIL).encode("utf-8", "surrogateescape"))
        if end in TEXT:
            assert talk.reply()[0] in (250, 554)        # one message, or none, for a NUL in it
            assert talk.code("QUIT") == 221
        else:
            assert read_all(talk) == [521]
    assert not [m for m in doors.station.call("ListQueue", states=["queued", "sent", "deferred"])["messages"]
                if "victim@example.test" in str(m)]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\r\n", "\n\r", "\0\r\n"])
def test_line_ends_of_commands(doors, end):
    with doors.talk() as talk:
        talk.send("EHLO x" + end + "MAIL FROM:<a@example.test>\r\n")
        assert read_all(talk) == [521]
    assert "was ended" in doors.station.log()


def test_pipelining(doors):
    with doors.talk() as talk:
        talk.send("EHLO x\r\nMAIL FROM:<plant@example.test>\r\nRCPT TO:<box@example.test>\r\nRCPT TO:<other@example.test>\r\nDATA\r\n")
        assert [talk.reply()[0] for _ in range(5)] == [250, 250, 250, 250, 354]
        talk.send("Subject: x\r\n\r\nx\r\n.\r\nNOOP\r\nQUIT\r\n")
        assert [talk.reply()[0] for _ in range(3)] == [250, 250, 221]
    with doors.talk() as talk:
        talk.send("EHLO x\r\nMAIL FROM:<plant@example.test>\r\nRCPT TO:<box@example.test>\r\nDATA\r\nSubject: early\r\n")
        assert read_all(talk) == [250, 250, 250, 521]
    with doors.talk() as talk:      # nobody to send to: the message is no commands
        talk.send("EHLO x\r\nMAIL FROM:<plant@example.test>\r\nRCPT TO:<bad\r\nDATA\r\n" + "QUIT\r\n.\r\n")
        assert read_all(talk)[-1] == 521


@pytest.mark.parametrize("words", [
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nEHLO x\r\n" + EVIL, "\x16\x03\x01\x02\x00\x01\r\n",
    "EHLO " + "x" * 5000 + "\r\n", "x" * 100000, "\0" * 5000, "\r\n" * 100, "MAIL FROM:<" + "a" * 4000, "BDAT 99999999999999999999\r\n",
    "BDAT -1\r\n", "\xff\xfe\xfd\r\n" * 50, "LHLO x\r\n", "Subject: x\r\n"], ids=lambda words: repr(words[:12]))
def test_other_protocols_and_garbage(doors, words):
    with doors.talk() as talk:
        with contextlib.suppress(OSError):
            talk.send(words.encode("latin-1"))
            talk.socket.shutdown(socket.SHUT_WR)
        said = read_all(talk)
        assert 250 not in said and 354 not in said, said
    with doors.talk() as talk:
        assert talk.message(MESSAGE)[0] == 250


def test_header_injection(doors):
    """Nothing that a client says gets into the header but by its message."""
    for hello in ("x\tInjected: 1", "x Injected: 1", "<x>", "a,b", "x(y)", "\xe4"):
        with doors.talk() as talk:
            talk.send(f"EHLO {hello}\r\n".encode("latin-1"))
            if talk.reply()[0] != 250:
                continue
            assert talk.code("MAIL FROM:<plant@example.test>") == 250 and talk.code("RCPT TO:<box@example.test>") == 250
            assert talk.code("DATA") == 354 and talk.say(" folded first\r\n\r\nx\r\n.")[0] == 250
    for bad in ("<a@example.test>\tX: y", "<a@example.test\x0bX: y>", "<\"a\x7f\"@example.test>", "<a@b@c>", "<a@[1.2.3.4>"):
        with doors.talk() as talk:
            assert talk.code("EHLO x") == 250
            assert talk.code(f"MAIL FROM:{bad}") in (501, 553, 555)
    doors.sink.wait_for(2)
    for got in doors.sink.accepted:
        header = got.content.split(b"\r\n\r\n")[0]
        assert header.startswith(b"Received: from unknown ([127.0.0.1])\r\n\tby station.example with ESMTP;") and b"Injected" not in header


def test_too_many_errors_and_recipients(doors):
    with doors.talk() as talk:
        talk.send("WHAT\r\n" * 30)
        said = read_all(talk)
        assert said == [500] * 10 + [421]
    with doors.talk() as talk:
        talk.send("EHLO x\r\n" + "NOOP\r\n" * 400)
        assert read_all(talk)[-1] == 421
    with doors.talk() as talk:
        assert talk.envelope() == [250] * 3
        talk.send("RCPT TO:<box@example.test>\r\n" * 1100)
        said = [talk.reply()[0] for _ in range(1100)]
        assert said.count(250) == 999 and set(said[999:]) == {452}


def test_one_who_never_reads(doors):
    """Replies that nobody takes hold no memory without end, and nobody else waits."""
    with doors.talk() as talk:
        talk.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        talk.socket.settimeout(2)
        sent = 0
        with contextlib.suppress(OSError):
            for _ in range(2000):
                sent += talk.socket.send(b"EHLO x\r\n" * 1000)
        with doors.talk() as other:
            assert other.message(MESSAGE)[0] == 250


def test_a_message_without_end(new_station, sink):
    station = new_station({"Service.MaxMessageSize": "100K"})
    doors = Doors(station)
    station.start()
    outgoing(station, sink)
    with doors.talk() as talk:
        assert talk.envelope() == [250] * 3 and talk.code("DATA") == 354
        with contextlib.suppress(OSError):
            for _ in range(2000):
                talk.send("x" * 70 + "\r\n" + ("y" * 998 + "\r\n") * 10)
        assert talk.reply() in (None, (521, "5.3.4 station.example: a message without end"))
    assert os.listdir(os.path.join(station.state, "spool")) == []


def test_cut_off_anywhere(doors):
    """Whatever is cut off at whatever byte leaves no message that was not whole, and no client behind."""
    script = ("EHLO x\r\nMAIL FROM:<plant@example.test>\r\nRCPT TO:<box@example.test>\r\n", "DATA\r\n", "Subject: x\r\n\r\nx\r\n.\r\n")
    doors.station.ctl("account", "disable", "a")
    whole = "".join(script)
    waits = (0, len(script[0]) + len(script[1]))
    for cut in range(1, len(whole), 3):
        with doors.talk() as talk:
            talk.send(whole[:min(cut, waits[1])])
            if cut > waits[1]:
                while talk.reply()[0] != 354:
                    pass
                talk.send(whole[waits[1]:cut])
    until(lambda: "emailsec_submission_clients 0\n" in doors.station.call("GetMetrics")["text"])
    assert doors.station.call("ListQueue")["messages"] == []


@pytest.mark.parametrize("words, codes", [
    ("NOOP\r\nRSET\r\nQUIT\r\n", [250, 250, 221]), ("NOOP\r\n", [250]), ("BDAT 5\r\nabcdeQUIT\r\n", [503, 221]),
    ("BDAT x\r\n", [521]), ("MAIL FROM:<plant@example.test>\r\nSTARTTLS\r\nEHLO x\r\n", [250, 502, 250]),
    ("MAIL FROM:<plant@example.test>\r\nRCPT TO:<box@example.test>\r\nBDAT 14 LAST\r\nSubject: x\r\n\r\nQUIT\r\n", [250, 250, 250, 221])],
    ids=lambda value: repr(value)[:20])
def test_half_closed(doors, words, codes):
    """Who says all at once and closes its sending half hears every answer."""
    for _ in range(5):
        with doors.talk() as talk:
            talk.send("EHLO x\r\n" + words)
            talk.socket.shutdown(socket.SHUT_WR)
            assert read_all(talk) == [250, *codes]


def test_random_clients(doors):
    """Words in any order, any portions: the daemon lives and nothing is accepted but whole messages."""
    seed = int(os.environ.get("EMAILSEC_SEED", "1"))
    words = ["EHLO x\r\n", "HELO x\r\n", "MAIL FROM:<plant@example.test>\r\n", "RCPT TO:<box@example.test>\r\n", "DATA\r\n", "x\r\n.\r\n",
             "BDAT 3\r\nab\r", "BDAT 3 LAST\r\n\nb\n", "RSET\r\n", "NOOP\r\n", "QUIT\r\n", "AUTH PLAIN AGEAYg==\r\n", "STARTTLS\r\n", "\r\n",
             ".\r\n", "\n", "\0", "MAIL FROM:<> SIZE=99999999999\r\n", "VRFY x\r\n"]
    rng = random.Random(seed)
    for _ in range(150):
        with doors.talk() as talk, contextlib.suppress(OSError):
            for _ in range(rng.randrange(1, 12)):
                talk.send(rng.choice(words))
                if rng.random() < 0.5:
                    talk.socket.settimeout(0.02)
                    with contextlib.suppress(TimeoutError):
                        talk.reply()
    with doors.talk() as talk:
        assert talk.message(MESSAGE)[0] == 250, seed


@pytest.mark.skipif(station_module.FLAVOUR != "plain", reason="sanitizers have memory of their own")
@pytest.mark.skipif(not users.IS_ROOT, reason="as an ordinary user all places are the daemon's own user's")
def test_idle_clients_cost_little(doors):
    """1,000 that do nothing."""
    def memory():
        with open(f"/proc/{doors.station.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])

    with doors.talk() as talk:
        assert talk.message(MESSAGE)[0] == 250
    before = memory()
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(doors.talk()).code("EHLO x")
        assert "emailsec_submission_clients 1000\n" in doors.station.call("GetMetrics")["text"]
        grown = memory() - before
        assert grown < 8 * 1024, f"{grown} KiB"
        with doors.talk() as talk:
            assert talk.message(MESSAGE)[0] == 250
    until(lambda: "emailsec_submission_clients 0\n" in doors.station.call("GetMetrics")["text"])
