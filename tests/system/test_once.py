# SPDX-License-Identifier: MIT
"""Every message exactly once and byte for byte, whatever is killed and whatever the server does to its numbers."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
from collections import Counter

import pytest

import channels
import letters
from processes import end_children
from waiting import until

BOTH = ("imap", "pop3")
LONG = pytest.param(10000, 20, id="long", marks=pytest.mark.slow)


def incoming(station, dovecot, transport, box, **more):
    station.add("incoming", "a", **channels.properties(
        transport, "ssl", dovecot.host(), dovecot.port(transport, "ssl"), box, **more))


def contents(station):
    found = []
    for path in station.inbox("a"):
        with open(path, "rb") as source:
            found.append(letters.whole(source.read()))
    return found


def fill(dovecot, box, count):
    """That many distinct messages of 1 to 8 KiB; what the server must give of them."""
    messages = [letters.crlf(letters.letter(box, subject=f"number {number}", body=f"{number} text\n" * (100 + number % 500)))
                for number in range(count)]
    dovecot.place(box, messages)
    return messages


def check_once(station, messages):
    found, wanted = Counter(contents(station)), Counter(messages)
    assert found == wanted, f"{len(wanted - found)} missing, {len(found - wanted)} too many or altered"


def kill_at(station, dovecot, transport, files, victim):
    until(lambda: len(station.inbox("a")) >= files or not station.running(), 60)
    if victim == "server":
        end_children(dovecot.process.pid, transport, how=signal.SIGKILL)
        station.ctl("account", "poll", "a", code=None, timeout=60)
    else:
        station.kill()
        station.start()


@pytest.mark.parametrize("count, kills", (pytest.param(600, 4, id="short"), LONG))
@pytest.mark.parametrize("policy", ("markAsRead", "markAsUnread", "delete"))
@pytest.mark.parametrize("transport", BOTH)
def test_killed_on_either_side(station, dovecot, box, transport, policy, count, kills):
    messages = fill(dovecot, box, count)
    chance = random.Random(f"{transport} {policy}")
    incoming(station, dovecot, transport, box, deliveryPolicy=policy)
    for turn, files in enumerate(sorted(chance.sample(range(count), kills))):
        kill_at(station, dovecot, transport, files, ("daemon", "server")[turn % 2])
    until(lambda: station.ctl("account", "poll", "a", code=None, timeout=60).code == 0 and
          len(station.inbox("a")) >= count, 60)
    check_once(station, messages)
    station.restart()
    station.ctl("account", "poll", "a", timeout=60)
    check_once(station, messages)
    if policy == "delete":
        until(lambda: not dovecot.messages(box), 30)
    tmp = os.path.join(station.state, "mail", "a", "tmp")
    until(lambda: not os.listdir(tmp), 10, lambda: f"left in tmp: {os.listdir(tmp)}")


def renumber(dovecot, box):
    """The server forgets its numbers, as when a mailbox was rebuilt from a backup."""
    end_sessions(dovecot, box)
    folder = os.path.join(dovecot.folder, "mail", box)
    for name in os.listdir(folder):
        if name.startswith("dovecot"):
            path = os.path.join(folder, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    # a Maildir's UIDVALIDITY comes from the clock, in seconds: this makes it another one
    with open(os.path.join(folder, "dovecot-uidlist"), "w") as out:
        out.write(f"3 V{random.randrange(10 ** 9)} N1\n")
    os.chmod(out.name, 0o666)


def end_sessions(dovecot, box):
    end_children(dovecot.process.pid, "imap", how=signal.SIGKILL, titled=f"[{box} ")


def batches_of_other_numbers(path, count):
    """Some of the comparison is on disk."""
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as database:
        return database.execute("SELECT count(*) FROM seen").fetchone()[0] > count


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("killed", (False, True))
def test_numbered_anew(station, dovecot, box, transport, killed):
    """Other UIDs, and so other UIDLs: what is here is known by its content."""
    count = 700
    messages = fill(dovecot, box, count)
    incoming(station, dovecot, transport, box, push=False)
    station.ctl("account", "poll", "a", timeout=60)
    station.stop()
    renumber(dovecot, box)
    dovecot.deliver(box, letters.letter(box, message_id="<fresh@example.test>"))
    station.start()
    if killed:      # after some batches of the comparison; the next start must go on comparing
        database = os.path.join(station.state, "station.db")
        until(lambda: batches_of_other_numbers(database, count), 20)
        station.kill()
        station.start()
    station.ctl("account", "poll", "a", timeout=60)
    station.ctl("account", "poll", "a", timeout=60)
    found = Counter(contents(station))
    assert not Counter(messages) - found
    fresh, = (found - Counter(messages)).elements()
    assert b"<fresh@example.test>" in fresh
    assert {"imap": "numbered anew", "pop3": "other UIDLs than before"}[transport] in station.log()


@pytest.mark.parametrize("transport", BOTH)
def test_a_large_message_behind_a_full_batch(station, dovecot, box, transport):
    """The commit of a batch ends while the next message is still coming in: it is not torn out of its batch."""
    messages = fill(dovecot, box, 250)
    large = [letters.crlf(letters.letter(box, subject=f"large {number}", body="0123456789 abcdef\n" * 1500000))
             for number in range(2)]
    folder = os.path.join(dovecot.folder, "mail", box)
    owner = os.stat(folder)
    for number, message in enumerate(large):
        path = os.path.join(folder, "new", f"{1800000000 + number}.M{number}P1.test")
        with open(path, "wb") as out:
            out.write(message)
        os.chown(path, owner.st_uid, owner.st_gid)
    incoming(station, dovecot, transport, box)
    station.ctl("account", "poll", "a")
    check_once(station, messages + large)


def numbered(*numbers):
    return [f"Subject: number {number}\r\n\r\n{number}\r\n".encode() for number in numbers]


@pytest.mark.parametrize("policy", ("markAsRead", "delete"))
def test_a_server_that_gives_one_uidl_to_several(station, new_box, policy):
    """To other messages, to the same one twice, to another one after some time: what differs is here, once."""
    box = new_box("pop3", contents=numbered(1, 2, 3, 3, 4))
    box.uidls = {1: "twin", 2: "twin", 3: "same", 4: "same"}
    station.add("incoming", "a", **channels.properties("pop3", "plain", box.host, box.port, "user", deliveryPolicy=policy))

    def looks(*expected):
        for _ in range(2):
            station.ctl("account", "poll", "a")
            assert Counter(contents(station)) == Counter(numbered(*expected))
        assert policy == "markAsRead" or not box.messages

    looks(1, 2, 3, 4)
    fetched = len([words for words in box.asked if words.startswith("RETR")])
    station.kill()
    station.start()
    looks(1, 2, 3, 4)
    assert len([words for words in box.asked if words.startswith("RETR")]) == fetched
    box.uidls[6] = "twin"
    with box.lock:
        if policy == "delete":
            box.messages = []
    box.add(numbered(5)[0])
    box.messages[-1].uid = 6
    looks(1, 2, 3, 4, 5)
    box.messages = [message for message in box.messages if box.uidls.get(message.uid) != "twin"]
    looks(1, 2, 3, 4, 5)
    box.add(numbered(6)[0])
    box.messages[-1].uid = 6
    looks(1, 2, 3, 4, 5, 6)


def test_a_mailbox_that_is_empty_for_a_while(station, new_box):
    """Its server has lost sight of its messages: when they are there again, they are known."""
    box = new_box("pop3", contents=numbered(1, 2, 3))
    station.add("incoming", "a", **channels.properties("pop3", "plain", box.host, box.port, "user"))
    station.ctl("account", "poll", "a")
    with box.lock:
        kept, box.messages = box.messages, []
    station.ctl("account", "poll", "a")
    with box.lock:
        box.messages = kept
    box.add(numbered(4)[0])
    for _ in range(2):
        station.ctl("account", "poll", "a")
        assert Counter(contents(station)) == Counter(numbered(1, 2, 3, 4))


def deleting(station, box, **more):
    station.add("incoming", "a", **channels.properties("pop3", "plain", box.host, box.port, "user",
                                                       **{"deliveryPolicy": "delete", **more}))


def polls(station, *expected):
    """Twice: what a poll did to the mailbox is listed by the next one."""
    for _ in range(2):
        station.ctl("account", "poll", "a", code=None)
        assert Counter(contents(station)) == Counter(expected)


LEFT_THERE = {     # why a message that is here is at the server still, though the policy deletes
    "not as announced": ({"announce": {1: 9000, 2: 9000}}, {}),
    "another policy before": ({}, {"deliveryPolicy": "markAsUnread"}),
}


def test_the_same_alarm_after_a_quit_without_an_answer(station, new_box):
    """The first may have been deleted, as it was here: the second is another one."""
    one, = numbered(1)
    box = new_box("pop3", contents=[one])
    box.failing = {"QUIT": "-ERR not now"}
    deleting(station, box)
    polls(station, one)
    with box.lock:
        box.messages = []
    box.add(one)
    polls(station, one, one)


@pytest.mark.parametrize("why", LEFT_THERE)
def test_left_there_and_numbered_anew(station, new_box, why):
    """It is known by its content under its new UIDL: each for one, and for no other one that looks the same."""
    one, two = numbered(1, 2)
    box = new_box("pop3", contents=[one, two])
    trouble, properties = LEFT_THERE[why]
    vars(box).update(trouble)
    deleting(station, box, **properties)
    polls(station, one, two)
    assert len(box.messages) == 2
    station.ctl("account", "set", "a", "deliveryPolicy=delete")
    box.uidls = {1: "anew-1", 2: "anew-2"}
    polls(station, one, two)
    assert "other UIDLs than before" in station.log()
    box.uidls = {}                      # moved once more, and two alarms come that look like the first
    box.add(one)
    box.add(one)
    vars(box).update({name: {} for name in trouble})
    polls(station, one, one, one, two)
    until(lambda: station.ctl("account", "poll", "a").code == 0 and not box.messages, 10)
    box.add(one)
    polls(station, one, one, one, one, two)


def test_too_large_and_numbered_anew(station, new_box):
    """Of what is left there as too large one note tells."""
    box = new_box("pop3", contents=[numbered(1)[0] + 3000 * b"x\r\n"])
    deleting(station, box, maxMessageSize=2000)
    station.ctl("account", "poll", "a")
    note, = contents(station)
    box.uidls = {1: "anew"}
    polls(station, note)
    assert len(box.messages) == 1


def test_left_there_and_out_of_sight_for_a_while(station, new_box):
    """Under its own UIDL again."""
    one, two = numbered(1, 2)
    box = new_box("pop3", contents=[one])
    box.announce = {1: 9000}
    deleting(station, box)
    polls(station, one)
    with box.lock:
        kept, box.messages = box.messages, []
    polls(station, one)
    with box.lock:
        box.messages = kept
    box.add(two)
    polls(station, one, two)
    assert [message.uid for message in box.messages] == [1]


def test_the_same_alarm_again(station, new_box):
    """Byte for byte, while the one before goes from the list: what was deleted there does not stand for others."""
    one, = numbered(1)
    box = new_box("pop3", contents=[one])
    deleting(station, box)
    for count in range(1, 4):
        station.ctl("account", "poll", "a")
        assert contents(station) == count * [one]
        box.add(one)


def test_as_announced_after_all_and_not_deleted(station, new_box):
    """It came as something else first: the server is told until it answers, as of any other."""
    one, = numbered(1)
    box = new_box("pop3", contents=[one])
    box.announce = {1: 9000}
    deleting(station, box)
    polls(station, one)
    box.announce, box.failing = {}, {"QUIT": "-ERR not now"}
    polls(station, one)
    assert box.said("DELE") and len(box.messages) == 1
    box.failing = {}
    polls(station, one)
    assert not box.messages


@pytest.mark.parametrize("policy", ("markAsRead", "delete"))
@pytest.mark.parametrize("transport", BOTH)
def test_two_daemons_at_one_mailbox(new_station, dovecot, box, transport, policy):
    """None has anything twice. With the policy that deletes, what one has not the other has; else both have all."""
    stations = [new_station().start(), new_station().start()]
    for station in stations:
        incoming(station, dovecot, transport, box, deliveryPolicy=policy, pollRate=1, push=transport == "imap")
    messages = []
    for _ in range(6):
        new = [letters.new_message_id() for _ in range(30)]
        dovecot.deliver(box, *(letters.letter(box, message_id=one, body="text\n" * 200) for one in new))
        messages += new
        for station in stations:
            station.ctl("account", "poll", "a", code=None, timeout=60)      # a POP3 mailbox may be in use
    wanted = Counter(messages)

    def all_here():
        found = [Counter(letters.message_ids(station.inbox("a"))) for station in stations]
        assert not any(one - wanted for one in found)       # nothing twice
        return not wanted - (found[0] | found[1]) if policy == "delete" else found == [wanted, wanted]

    until(all_here, 30)
    if policy == "delete":
        until(lambda: not dovecot.messages(box), 30)
    for station in stations:
        station.wait_status("a", "ok")


def test_a_second_daemon_on_one_state_folder(station):
    """It refuses, names the first one and touches nothing; the first one works on."""
    code, said = station.start_refused()
    assert code not in (0, -signal.SIGSEGV, -signal.SIGABRT)
    assert f"another emailsecd (pid {station.process.pid}) uses this state folder: {station.state}" in said
    assert "--state-directory" in said
    assert station.call("GetStatus") and station.running()
