# SPDX-License-Identifier: MIT
"""Mailboxes of servers that do not go by the book: what is there is received once, and what is wrong is told."""

import pytest

import channels
from boxes import IMAP_WORDS, Mailbox, Message

LETTERS = [b"From: a@example.org\r\nSubject: number %d\r\n\r\ntext %d\r\n" % (n, n) for n in range(8)]


@pytest.fixture
def new_box():
    made = []

    def make(*args, **options):
        made.append(Mailbox(*args, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def incoming(station, box, **more):
    station.add("incoming", "a", **channels.properties(box.transport, "plain", box.host, box.port, "box",
                                                       **{"push": False, "pollRate": 3600, **more}))


def poll(station, **more):
    return station.ctl("account", "poll", "a", **more)


def received(station):
    return station.account("a")["numberReceived"]


@pytest.mark.parametrize("uidvalidity", (0, "", "x", 2**32, 2**64 - 1), ids=str)
def test_uidvalidity_of_any_kind(station, new_box, uidvalidity):
    box = new_box(contents=LETTERS[:3])
    box.uidvalidity = uidvalidity
    incoming(station, box)
    poll(station)
    poll(station)
    assert received(station) == 3 and len(station.inbox("a")) == 3
    if uidvalidity in (0, "", "x"):
        assert "gives no UIDVALIDITY for folder INBOX" in station.log()


def test_without_uidvalidity_numbers_may_begin_anew(station, new_box):
    """Known by content: only what is new is delivered."""
    box = new_box(contents=LETTERS[:4])
    box.uidvalidity = 0
    incoming(station, box)
    poll(station)
    assert received(station) == 4
    with box.lock:
        box.messages = [Message(number + 1, content) for number, content in enumerate((LETTERS[3], LETTERS[5]))]
    poll(station)
    poll(station)
    assert received(station) == 5 and len(station.inbox("a")) == 5
