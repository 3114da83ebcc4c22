# SPDX-License-Identifier: MIT
"""What servers do that no standard foresees, as data: what is answered, and what must come of it."""

import pytest

import channels
import letters
from boxes import Answer, Cut
from waiting import until

BOTH = ("imap", "pop3")


def letter(number, lines=1):
    return letters.crlf(letters.letter("box", subject=f"number {number}", body=f"{number} text\n" * lines))


def incoming(station, box, **more):
    station.add("incoming", "a", **channels.properties(box.transport, "plain", box.host, box.port, "box",
                                                       **{"push": False, **more}))


def here(station):
    return station.received("a")


# ---- sessions that break

@pytest.mark.parametrize("transport", BOTH)
def test_short_sessions_finish_a_mailbox(station, new_box, transport):
    """Each session ends after 60 messages, fewer than a batch: what came whole is kept, and nothing is fetched twice."""
    contents = [letter(number, 20) for number in range(300)]
    box = new_box(transport, contents=contents)
    box.cuts = [60 * len(contents[0]) + 100] * 20
    incoming(station, box, pollRate=1)
    until(lambda: len(station.inbox("a")) == 300, 50, lambda: f"{len(station.inbox('a'))} of 300 are here")
    assert here(station) == sorted(contents)
    assert box.body_bytes < 1.2 * sum(len(content) for content in contents)
    assert box.connections < 9


# ---- one message that cannot be had

def says(answer):
    def odd(talk, message):
        raise Answer(answer)
    return odd


def sends(text):
    """IMAP: `text` in place of the response; %d is the UID, %s the literal of the message."""
    def odd(talk, message):
        literal = f"{{{len(message.content)}}}\r\n".encode() + message.content
        talk.say(text.encode().replace(b"%d", str(message.uid).encode()).replace(b"%s", literal))
    return odd


def cuts(talk, message):
    raise Cut


def cuts_within(talk, message):
    talk.say(f"* 3 FETCH (UID {message.uid} BODY[] {{{len(message.content)}}}\r\n" if talk.box.transport == "imap"
             else "+OK\r\n")
    talk.say(message.content[:100])
    raise Cut


def hangs(talk, message):
    while talk.peer.recv(65536):
        pass
    raise OSError


# What the server does when it is asked for message 3 of 5; the others must be here, and this one be told.
ODD_MESSAGE = {
    "imap": {
        "NO": says("NO [UNAVAILABLE] Server error while fetching messages"),    # Yahoo
        "NO without a code": says("NO Message is corrupt"),
        "NO SERVERBUG": says("NO [SERVERBUG] Internal error occurred. Refer to server log"),    # Dovecot
        "NO EXPUNGEISSUED": says("NO [EXPUNGEISSUED] Some of the requested messages no longer exist"),
        "NO CORRUPTION": says("NO [CORRUPTION] mailbox damaged"),
        "NO LIMIT": says("NO [LIMIT] too large for you"),
        "BAD": says("BAD Command Error. 12"),                                   # Exchange
        "BAD internal": says("BAD [CLIENTBUG] UID FETCH Wrong arguments"),      # Courier
        "NO throttled": says("NO Request is throttled. Suggested Backoff Time: 92415 milliseconds"),
        "OK without data": says("OK FETCH completed"),                          # Exchange, Microsoft 365
        "OK with a remark": says("OK [ALERT] Some messages could not be FETCHed (Failure)"),    # Gmail
        "nothing of it": lambda talk, message: None,
        "NIL": sends("* 3 FETCH (UID %d BODY[] NIL)\r\n"),
        "no item": sends("* 3 FETCH (UID %d FLAGS (\\Seen))\r\n"),
        "under another UID": sends("* 3 FETCH (UID 77 BODY[] %s)\r\n"),
        "under another UID behind it": sends("* 3 FETCH (BODY[] %s UID 77)\r\n"),
        "a UID that is none": sends("* 3 FETCH (UID x BODY[] %s)\r\n"),
        "an unreadable item": sends("* 3 FETCH (UID %d ENVELOPE (\"a\"b\" NIL BODY[]\r\n"),
        "a part of it": sends("* 3 FETCH (UID %d BODY[]<7> %s)\r\n"),
        "BYE": sends("* BYE Internal error\r\n"),
        "a line of 2 MiB": sends("* 3 FETCH (UID %d X " + 2097152 * "x" + "\r\n"),
        "a NUL": sends("* 3 FETCH (UID %d X \0 BODY[] NIL)\r\n"),
        "a literal beyond bounds": sends("* 3 FETCH (UID %d BODY[] {99999999999999999999999}\r\n"),
        "an endless literal": sends("* 3 FETCH (UID %d BODY[] {1000000000000000}\r\nabc"),
        "an endless literal of another": sends("* 3 FETCH (UID 99 BODY[] {1000000000000000}\r\nabc"),
        "a cut": cuts, "a cut within": cuts_within, "silence": hangs,
    },
    "pop3": {
        "-ERR": says("-ERR Can't get the letter xt[301], try again later"),
        "-ERR bare": says("-ERR"),
        "SYS/TEMP": says("-ERR [SYS/TEMP] cannot read message"),
        "SYS/PERM": says("-ERR [SYS/PERM] message is corrupted"),
        "IN-USE": says("-ERR [IN-USE] locked"),
        "LOGIN-DELAY": says("-ERR [LOGIN-DELAY] wait"),
        "AUTH": says("-ERR [AUTH] no"),
        "no such message": says("-ERR There's no message 3."),                  # Dovecot
        "internal": says("-ERR Server Unavailable. 14"),                        # Exchange
        "an answer of no protocol": says("500 what"),
        "a cut": cuts, "a cut within": cuts_within, "silence": hangs,
    },
}
ODD_ROWS = [(transport, name) for transport, rows in ODD_MESSAGE.items() for name in rows]


@pytest.mark.parametrize("transport,name", ODD_ROWS)
def test_one_message_stops_no_other_and_is_not_forgotten(station, new_box, transport, name):
    contents = [letter(number) for number in range(5)]
    box = new_box(transport, contents=contents)
    box.odd[3] = ODD_MESSAGE[transport][name]
    incoming(station, box, connectionTimeout=2, deliveryPolicy="delete", pollRate=1)
    event = station.wait_event("mail.missing", 30)
    assert event["data"]["uid" if transport == "imap" else "uidl"] == (3 if transport == "imap" else "id-3")
    others = contents[:2] + contents[3:]
    until(lambda: here(station) == sorted(others), 20, lambda: here(station))
    until(lambda: [message.uid for message in box.messages] == [3], 20)
    assert ("UID 3" if transport == "imap" else "UIDL id-3") in station.log()
    until(lambda: station.account("a")["status"] == "ok", 20, lambda: station.account("a"))
    assert station.account("a")["missing"] == 1
    row, = station.call("ListMissing", name="a")["messages"]
    assert row["id"] == ("3" if transport == "imap" else "id-3") and row["cause"] and row["tries"] >= 1
    # what comes later is received, and when the server has thought better of it, this one too
    later = letter(6)
    box.add(later)
    until(lambda: here(station) == sorted(others + [later]), 20)
    del box.odd[3]
    station.ctl("account", "poll", "a")
    assert station.wait_event("mail.missingOver")["data"]["came"] is True
    assert here(station) == sorted(contents + [later])
    until(lambda: box.messages == [], 20)


@pytest.mark.parametrize("transport", BOTH)
def test_a_missing_message_that_is_deleted_at_the_server(station, new_box, transport):
    box = new_box(transport, contents=[letter(number) for number in range(5)])
    box.odd[3] = ODD_MESSAGE[transport]["NO" if transport == "imap" else "-ERR"]
    incoming(station, box)
    station.wait_event("mail.missing")
    until(lambda: len(here(station)) == 4)
    station.stop()
    with box.lock:      # before it looks by itself: a poll joins a look that has begun
        box.messages = [message for message in box.messages if message.uid != 3]
    station.start()
    station.ctl("account", "poll", "a")
    until(lambda: "is no longer at the server" in station.log())
    assert len(here(station)) == 4


# ---- sizes

SIZES = {   # announced, sent, what is here; told: it is taken for missing all the same
    "nothing of 178": (178, b"", [b""], True),
    "half of it": (2000, 1000 * b"x", [1000 * b"x"], True),
    "tenfold": (1000, 10000 * b"x", [10000 * b"x"], True),
    "line feeds counted": (1000, 500 * b"\r\n", [500 * b"\r\n"], False),
    "CRLF counted, line feeds sent": (1000, 500 * b"\n", [500 * b"\n"], False),
    "a tenth more": (10000, 11000 * b"x", [11000 * b"x"], False),
    "nothing of nothing": (0, b"", [b""], False),
    "something of nothing": (0, b"abc", [b"abc"], False),
    "over the limit": (100, 3000000 * b"x", [], True),
    "far over the limit": (100, 60000000 * b"x", [], True),
}


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("name", SIZES)
def test_what_came_is_compared_with_what_was_announced(station, new_box, transport, name):
    announced, sent, kept, told = SIZES[name]
    if transport == "pop3" and sent and not sent.endswith(b"\n"):
        sent, kept = sent + b"\r\n", [one + b"\r\n" for one in kept]
    first, second, third = (letter(number) for number in range(3))
    box = new_box(transport, contents=[first, sent, third])
    box.announce = {2: announced}
    incoming(station, box, deliveryPolicy="delete", maxMessageSize=1000000, pollRate=1)
    expected = sorted([first, third] + kept)
    until(lambda: here(station) == expected, 20, lambda: [len(one) for one in here(station)])
    if told:
        station.wait_event("mail.missing", 20)
    until(lambda: [message.uid for message in box.messages] == ([2] if told else []), 20)
    assert here(station) == expected
    if told:    # the true message comes in the end, and is deleted then
        box.messages[0].content, box.announce = second, {}
        station.ctl("account", "poll", "a")
        assert here(station) == sorted(expected + [second])
        until(lambda: box.messages == [], 20)


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("announced", (1 << 45, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 10 ** 30))
def test_a_size_that_no_disk_has_room_for(station, new_box, transport, announced):
    """The others come, and a note tells of it; what is no size at all says nothing of the message."""
    contents = [letter(number) for number in range(3)]
    box = new_box(transport, contents=contents)
    box.announce = {2: announced}
    incoming(station, box)
    expected = sorted(contents if announced >= (1 << 63 if transport == "imap" else 1 << 64) else [contents[0], contents[2]])
    until(lambda: [one for one in here(station) if b"X-EmailSec-Left: " not in one] == expected, 20, lambda: here(station))
    until(lambda: len(here(station)) == 3, 20, lambda: here(station))
    station.wait_status("a", "ok")


ODD_HEADERS = {
    "imap": {"a cut": cuts, "nothing": lambda talk, message: None, "silence": hangs, "BAD": says("BAD what"),
             "NO": says("NO [SERVERBUG] x"), "NIL": sends("* 2 FETCH (UID %d BODY[HEADER.FIELDS (DATE FROM SUBJECT)] NIL)\r\n"),
             "no end": lambda talk, message: [talk.say(b"* 2 FETCH (X " + 65536 * b"x") for _ in range(1000)]},
    "pop3": {"a cut": cuts, "-ERR": says("-ERR what"), "silence": hangs,
             "no end": lambda talk, message: [talk.say(b"+OK\r\n")] + [talk.say(1000 * b"X: y\r\n") for _ in range(1000)]},
}


@pytest.mark.parametrize("transport, name", [(one, name) for one in BOTH for name in ODD_HEADERS[one]])
def test_a_header_that_cannot_be_had_stops_nobody(station, new_box, transport, name):
    """That of a message which is left at the server: the others come, and the note goes without it."""
    contents = [letter(number, 300 if number == 1 else 1) for number in range(3)]
    box = new_box(transport, contents=contents)
    box.head_odd = {2: ODD_HEADERS[transport][name]}
    incoming(station, box, maxMessageSize=1000, connectionTimeout=2, pollRate=1)
    until(lambda: [one for one in here(station) if b"X-EmailSec-Left: " not in one] == sorted([contents[0], contents[2]]),
          60, lambda: station.account("a"))
    until(lambda: len(here(station)) == 3, 60)
    station.wait_status("a", "ok")
    assert station.log().count("was left at the server") == 1


# ---- lists

LISTS = {
    "imap": {
        "no size": "* 2 FETCH (UID 2 FLAGS ())\r\n", "size NIL": "* 2 FETCH (UID 2 FLAGS () RFC822.SIZE NIL)\r\n",
        "no UID": "* 2 FETCH (FLAGS () RFC822.SIZE 200)\r\n", "UID 0": "* 2 FETCH (UID 0 FLAGS () RFC822.SIZE 200)\r\n",
        "two UIDs": "* 2 FETCH (UID 2 UID 3 FLAGS () RFC822.SIZE 200)\r\n",
        "no parenthesis": "* 2 FETCH UID 2 FLAGS () RFC822.SIZE 200\r\n",
    },
}


@pytest.mark.parametrize("name", LISTS["imap"])
def test_an_entry_of_a_list_that_cannot_be_read(station, new_box, name):
    contents = [letter(number) for number in range(3)]
    box = new_box("imap", contents=contents)
    box.list_odd = {2: LISTS["imap"][name]}
    incoming(station, box)
    until(lambda: here(station) == sorted(contents), 20, lambda: here(station))


@pytest.mark.parametrize("transport", BOTH)
def test_what_is_missing_is_shown_and_may_be_forgotten(station, new_box, transport):
    box = new_box(transport, contents=[letter(number) for number in range(5)])
    refuse = ODD_MESSAGE[transport]["NO" if transport == "imap" else "-ERR"]
    box.odd = {2: refuse, 4: refuse}
    incoming(station, box)
    until(lambda: station.account("a")["missing"] == 2)
    ids = ("2", "4") if transport == "imap" else ("id-2", "id-4")
    shown = station.ctl("inbox", "missing", "a").out
    assert all(one in shown for one in ids)
    assert "2 messages cannot be had from the server" in station.ctl("status").out
    asked = "UID FETCH 2 (UID BODY" if transport == "imap" else "RETR 2"
    station.ctl("inbox", "missing", "a", "--forget", ids[0])
    assert station.wait_event("audit.recorded", action="missing.forgotten", account="a")["text"].startswith(
        "1 missing message of account a given up ")
    before = len(box.said(asked))
    station.ctl("account", "poll", "a")
    assert len(box.said(asked)) == before
    assert station.account("a")["missing"] == 1
    station.ctl("inbox", "missing", "a", "--forget", "77", code=1)
    recorded = station.log().count("missing message of account a given up ")
    station.ctl("inbox", "missing", "a", "--forget", "all")
    assert station.log().count("missing message of account a given up ") == recorded + 1 == 2    # not what was not there
    assert station.json("inbox", "missing", "a") == []
    assert station.account("a")["missing"] == 0


@pytest.mark.parametrize("transport", BOTH)
def test_a_server_in_trouble_makes_no_flood_of_missing_messages(station, new_box, transport):
    """It refuses all: that is about the server. When it is well again, all are received."""
    contents = [letter(number) for number in range(60)]
    box = new_box(transport, contents=contents)
    box.odd = {number + 1: ODD_MESSAGE[transport]["NO" if transport == "imap" else "-ERR"] for number in range(60)}
    incoming(station, box, pollRate=1)
    until(lambda: station.account("a")["status"] == "down", 20, lambda: station.account("a"))
    assert "cannot be had" not in station.log()
    box.odd = {}
    until(lambda: here(station) == sorted(contents), 30, lambda: len(here(station)))
    assert station.account("a")["missing"] == 0


@pytest.mark.parametrize("line", ("2 \r\n", "2\r\n", "", "x id-2\r\n"))
def test_a_message_without_a_uidl(station, new_box, line):
    contents = [letter(number) for number in range(3)]
    box = new_box("pop3", contents=contents)
    box.list_odd = {2: line}
    incoming(station, box, pollRate=1)
    until(lambda: here(station) == sorted([contents[0], contents[2]]), 20)
    until(lambda: "no unique id (UIDL) for 1 of its messages" in station.ctl("status").out)
    box.list_odd = {}
    until(lambda: here(station) == sorted(contents), 20)
    until(lambda: "no unique id" not in station.ctl("status").out)
