# SPDX-License-Identifier: MIT
"""What is said to an IMAP server, by a server that writes it down: what it offers is used, and nothing else."""

import re

import pytest

import channels
from boxes import IMAP_WORDS
from waiting import until

LETTER = b"From: a@example.org\r\nSubject: one\r\n\r\ntext\r\n"


def incoming(station, box, **more):
    station.add("incoming", "a", **channels.properties("imap", "plain", box.host, box.port, "box", **more))


def poll(station):
    station.ctl("account", "poll", "a")


def test_enable_and_id_where_they_are_offered(station, new_box):
    box = new_box(words=IMAP_WORDS + " ENABLE ID UTF8=ACCEPT CONDSTORE MOVE", contents=[LETTER])
    incoming(station, box, folder="日本語", push=False)
    station.wait_event("mail.received")
    assert len(station.inbox("a")) == 1
    assert box.said("ENABLE") == ["ENABLE UTF8=ACCEPT"]
    named, = box.said("ID ")
    assert re.fullmatch(r'ID \("name" "emailsecd" "version" "[0-9.]+"\)', named)
    assert box.said("SELECT") == ['SELECT "日本語"']


def test_a_server_that_has_neither_hears_of_neither(station, new_box):
    box = new_box(contents=[LETTER])
    incoming(station, box, folder="日本語", push=False)
    station.wait_event("mail.received")
    assert len(station.inbox("a")) == 1
    assert not box.said("ENABLE") and not box.said("ID ")
    assert box.said("SELECT") == ['SELECT "&ZeVnLIqe-"']


def test_uidnext_saves_the_listing(station, new_box):
    """Nothing new: opening a folder says so. On a kept session it is asked for, as a server may say nothing."""
    box = new_box(contents=[LETTER])
    incoming(station, box, push=False)
    station.wait_event("mail.received")
    until(lambda: box.said("LOGOUT"))
    assert len(box.said("UID FETCH 1:* (UID FLAGS")) == 1
    poll(station)
    assert len(box.said("SELECT")) == 2 and not box.said("UID FETCH 2:* (UID FLAGS")
    box.add(LETTER)
    poll(station)
    assert len(box.said("UID FETCH 2:* (UID FLAGS")) == 1 and len(station.inbox("a")) == 2
    station.ctl("account", "set", "a", "pollRate=600")
    poll(station)
    poll(station)
    assert 1 <= len(box.said("NOOP")) == len(box.said("UID FETCH 3:* (UID FLAGS"))


def test_uidnext_does_not_hide_what_was_too_large(station, new_box):
    box = new_box(contents=[LETTER + b"x" * 5000])
    incoming(station, box, push=False, maxMessageSize=4096)
    poll(station)
    station.wait_event("mail.left")
    assert station.account("a")["numberReceived"] == 0
    station.ctl("account", "set", "a", "maxMessageSize=1M")
    poll(station)
    assert station.account("a")["numberReceived"] == 1


def wait_idle(box, times=1):
    until(lambda: len(box.said("IDLE")) >= times, 15)


@pytest.mark.slow
def test_the_mailbox_is_looked_at_with_each_renewal(station, new_box):
    """Of a server that never says that mail has come it is found by then."""
    box = new_box()
    box.mute = True
    incoming(station, box, pollRate=1)
    for times in (1, 2):
        wait_idle(box, times)
        box.add(LETTER)
        station.wait_event("mail.received", 15)
    assert box.connections == 1 and len(box.said("SELECT")) == 1


def test_renewals_with_several_folders(station, new_box):
    box = new_box()
    incoming(station, box, pollRate=1, folder="INBOX,Other")
    wait_idle(box, 3)
    assert len(box.said('SELECT "Other"')) >= 3 and box.connections == 1


def test_a_session_from_before_the_machine_slept_is_left(interposed, new_box):
    """Its server is silent and would be for a minute: nobody waits for that."""
    interposed.watch_clock()
    station = interposed.station.start()
    box = new_box()
    incoming(station, box, connectionTimeout=60)
    wait_idle(box)
    box.dead = True
    interposed.sleep(3600)
    until(lambda: box.connections == 2, 15)
    box.dead = False
    box.add(LETTER)
    station.wait_event("mail.received")


def test_each_is_marked_once_where_more_is_there_than_is_asked_for_in_one_go(station, new_box):
    """The server is told of what is here already beside the next ones, and of the others when all are here."""
    box = new_box(contents=[LETTER.replace(b"text", b"%d" % number) for number in range(2100)])
    incoming(station, box, push=False)
    until(lambda: len(station.inbox("a")) == 2100, 60)
    until(lambda: box.said("LOGOUT"), 60)
    marked = []
    for line in box.said("UID STORE"):
        for part in line.split()[2].split(","):
            first, _, last = part.partition(":")
            marked += range(int(first), int(last or first) + 1)
    assert sorted(marked) == list(range(1, 2101))
