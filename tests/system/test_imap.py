# SPDX-License-Identifier: MIT
"""What is said to an IMAP server, by a server that writes it down: what it offers is used, and nothing else."""

import re

import pytest

import channels
from boxes import IMAP_WORDS, Mailbox

LETTER = b"From: a@example.org\r\nSubject: one\r\n\r\ntext\r\n"


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
    station.add("incoming", "a", **channels.properties("imap", "plain", box.host, box.port, "box", **more))


def poll(station):
    station.ctl("account", "poll", "a")


def test_enable_and_id_where_they_are_offered(station, new_box):
    box = new_box(words=IMAP_WORDS + " ENABLE ID UTF8=ACCEPT CONDSTORE MOVE", contents=[LETTER])
    incoming(station, box, folder="日本語", push=False)
    poll(station)
    assert len(station.inbox("a")) == 1
    assert box.said("ENABLE") == ["ENABLE UTF8=ACCEPT"]
    named, = box.said("ID ")
    assert re.fullmatch(r'ID \("name" "emailsecd" "version" "[0-9.]+"\)', named)
    assert box.said("SELECT") == ['SELECT "日本語"']


def test_a_server_that_has_neither_hears_of_neither(station, new_box):
    box = new_box(contents=[LETTER])
    incoming(station, box, folder="日本語", push=False)
    poll(station)
    assert len(station.inbox("a")) == 1
    assert not box.said("ENABLE") and not box.said("ID ")
    assert box.said("SELECT") == ['SELECT "&ZeVnLIqe-"']
