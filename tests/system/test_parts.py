# SPDX-License-Identifier: MIT
"""Large messages by IMAP: in parts, byte for byte, gone on with after a cut, in bounded memory."""

import os
import random

import pytest

import channels
import letters
from boxes import Relay
from station import PATIENCE
from waiting import until

MIB = 1 << 20


def large(size, seed=1):
    lines = random.Random(seed)
    text = b"From: a@example.org\r\nSubject: large\r\n\r\n" + b"".join(
        b"%064x\r\n" % lines.getrandbits(256) for _ in range(size // 66))
    return text + b"end"


@pytest.fixture
def new_relay():
    made = []

    def make(*args, **options):
        made.append(Relay(*args, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def incoming(station, server, box="box", **more):
    transport = getattr(server, "transport", "imap")
    station.add("incoming", "a", **channels.properties(transport, "plain", server.host, server.port, box,
                                                       **{"push": False, **more}))


def halves(station):
    folder = os.path.join(station.state, "mail", "a", "tmp")
    return [name for name in os.listdir(folder) if name[0] in "LC"] if os.path.isdir(folder) else []


def check(station, content):
    files = station.inbox("a")
    assert len(files) == 1
    with open(files[0], "rb") as source:
        assert letters.whole(source.read()) == content
    assert not halves(station)


def poll_until_well(station):
    until(lambda: station.ctl("account", "poll", "a", code=None).code == 0, 30)


def test_gone_on_with_after_every_cut(station, new_box):
    content = large(5 * MIB)
    box = new_box(contents=[content])
    box.cuts = [1, 70_000, MIB - 100_000, MIB, MIB + 17, 900_000, 1_500_000]
    cuts = len(box.cuts)
    incoming(station, box)
    poll_until_well(station)
    assert not box.cuts and box.connections >= cuts
    check(station, content)
    # nothing that came was asked for again
    assert len(content) <= box.body_bytes <= len(content) + 65536


def test_gone_on_with_after_kills(station, new_box):
    content = large(12 * MIB)
    box = new_box(contents=[content])
    box.hold_at = 7 * MIB
    incoming(station, box)
    until(lambda: any(int(name.split(".")[1]) >= 6 * MIB for name in halves(station)), 20)
    station.kill()
    sent, box.hold_at = box.body_bytes, None
    station.start()
    poll_until_well(station)
    check(station, content)
    assert box.body_bytes - sent <= len(content) - 6 * MIB


@pytest.mark.parametrize("size", (0, MIB + 1, 3 * MIB))
def test_the_size_a_server_gives_is_only_a_hint(station, new_box, size):
    content = large(2 * MIB)
    box = new_box(contents=[content, b"Subject: small\r\n\r\nsmall\r\n"])
    box.announce[1] = size
    incoming(station, box, maxMessageSize=1 << 40)
    poll_until_well(station)
    found = sorted(os.path.getsize(path) for path in station.inbox("a"))
    assert found == sorted(len(message.content.replace(b"\r\n", b"\n")) for message in box.messages)


def test_a_size_no_disk_has_room_for_keeps_no_other_message_back(station, new_box):
    """What is said to be larger than the disk is not asked for, and listed with why; the others come."""
    box = new_box(contents=[large(2 * MIB), b"Subject: small\r\n\r\nsmall\r\n"])
    box.announce[1] = 1 << 39
    incoming(station, box, maxMessageSize=1 << 40)
    until(lambda: len(station.inbox("a")) == 1, 30)
    missing, = until(lambda: station.json("inbox", "missing", "a"), 30)
    assert "512.0 GiB does not fit" in str(missing)
    assert box.body_bytes < MIB


def test_another_message_is_not_gone_on_with(station, new_box):
    """The folder is numbered anew while half a message is here."""
    first, second = large(3 * MIB, 1), large(3 * MIB, 2)
    box = new_box(contents=[first])
    box.cuts = [MIB + 5]
    incoming(station, box)
    until(lambda: box.body_bytes == MIB + 5)
    with box.lock:
        box.uidvalidity, box.messages[0].content = 8, second
    poll_until_well(station)
    files = station.inbox("a")
    assert len(files) == 1
    with open(files[0], "rb") as source:
        assert letters.whole(source.read()) == second


def test_a_message_that_goes_amidst(station, new_box):
    box = new_box(contents=[large(3 * MIB), b"Subject: stays\r\n\r\nx\r\n"])
    box.cuts = [MIB + 5]
    incoming(station, box)
    until(lambda: box.body_bytes == MIB + 5)
    with box.lock:
        del box.messages[0]
    poll_until_well(station)
    assert len(station.inbox("a")) == 1
    assert station.account("a")["numberReceived"] == 1


def test_dovecot_cut_and_killed(station, dovecot, box, new_relay):
    dovecot.deliver(box, letters.letter(box, body="0123456789abcdef\n" * (5 * MIB // 18)))
    content = dovecot.messages(box)[0][1]
    relay = new_relay(dovecot.host(), dovecot.port("imap", "plain"), cuts=[100_000, 1_900_000, MIB, 1_000_000])
    incoming(station, relay, box)
    until(lambda: station.ctl("account", "poll", "a", code=None) and len(relay.cuts) == 1, 20)
    station.kill()
    station.start()
    poll_until_well(station)
    files = station.inbox("a")
    assert len(files) == 1
    with open(files[0], "rb") as source:
        assert letters.whole(source.read()) == content
    assert relay.received < len(content) + 4 * MIB


@pytest.mark.parametrize("words", ("USER UIDL TOP", "USER PIPELINING UIDL"), ids=("top", "no-top"))
def test_too_large_over_pop3(station, new_box, words):
    """Without TOP the note has no Subject to tell; either way it comes once, and no RETR is said."""
    box = new_box("pop3", words=words, contents=[large(MIB), b"Subject: small\r\n\r\nx\r\n"])
    incoming(station, box, maxMessageSize="64K", deliveryPolicy="delete")
    for _ in range(3):
        poll_until_well(station)
    assert len(station.inbox("a")) == 2 and len(box.messages) == 1
    note, = [text for text in map(lambda path: open(path, "rb").read(), station.inbox("a")) if b"X-EmailSec-Left" in text]
    assert (b"large\nDate" in note) == ("TOP" in words)
    assert box.said("RETR") == ["RETR 2"]
    assert len(box.said("TOP")) == ("TOP" in words)


def test_no_expunge_without_uidplus(station, new_box):
    """What others flagged as deleted stays, what is ours is flagged; it is said once."""
    box = new_box(words="IMAP4rev1 AUTH=PLAIN SASL-IR", contents=[b"Subject: ours\r\n\r\nx\r\n"] * 2)
    box.messages[1].flags.add("\\Deleted")
    incoming(station, box, deliveryPolicy="delete")
    poll_until_well(station)
    box.add(b"Subject: more\r\n\r\ny\r\n")
    poll_until_well(station)
    until(lambda: all("\\Deleted" in message.flags for message in box.messages))
    assert len(box.messages) == 3 and not [line for line in box.asked if "EXPUNGE" in line or "CLOSE" in line]
    assert any("UIDPLUS" in text for text in station.call("GetAccount", name="a")["account"]["warnings"])
    assert station.log().count("no UIDPLUS") == 1


def resident(station):
    with open(f"/proc/{station.process.pid}/status") as source:
        rows = dict(line.split(":", 1) for line in source)
    return int(rows["VmHWM"].split()[0]) // 1024


@pytest.mark.slow
def test_memory_of_a_gigabyte(station, new_box):
    block = large(MIB)[:MIB - 2] + b"\r\n"
    box = new_box(contents=[b"Subject: huge\r\n\r\n" + block * 1024])
    incoming(station, box, maxMessageSize=2 << 30, enabled=False)
    before = resident(station)
    station.ctl("account", "enable", "a")
    station.ctl("account", "poll", "a", timeout=300)
    content = box.messages[0].content
    assert os.path.getsize(station.inbox("a")[0]) == len(content) - content.count(b"\r\n")
    print(f"{resident(station) - before} MiB above idle for 1 GiB")
    assert resident(station) - before <= 16 * PATIENCE
