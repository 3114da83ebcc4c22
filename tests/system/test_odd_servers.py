# SPDX-License-Identifier: MIT
"""What servers do that no standard foresees, as data: what is answered, and what must come of it."""

import pytest

import channels
import letters
from boxes import Mailbox
from waiting import until

BOTH = ("imap", "pop3")


def letter(number, lines=1):
    return letters.crlf(letters.letter("box", subject=f"number {number}", body=f"{number} text\n" * lines))


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
                                                       **{"push": False, **more}))


def here(station):
    found = []
    for path in station.inbox("a"):
        with open(path, "rb") as source:
            found.append(source.read())
    return sorted(found)


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
