# SPDX-License-Identifier: MIT
"""Named subscribers of received mail: told everything, also what came while they or the daemon were down."""

import contextlib
import grp
import json
import os
import random
import select
import sqlite3
import subprocess

import pytest

import channels
import letters
import station as station_module
import users
import varlink
from waiting import until

needs_root = pytest.mark.skipif(not users.IS_ROOT, reason="needs root: runs clients as other users")


def incoming(station, dovecot, box, name="a", **more):
    station.add("incoming", name, **channels.properties("imap", "ssl", dovecot.host(), dovecot.port("imap", "ssl"), box,
                                                        **more))


def fill(dovecot, box, count, **more):
    ids = [letters.new_message_id() for _ in range(count)]
    dovecot.deliver(box, *(letters.letter(box, message_id=one, **more) for one in ids))
    return sorted(ids)


def poll(station, name="a"):
    station.ctl("account", "poll", name)


class Subscriber:
    def __init__(self, station, name, **parameters):
        self.station, self.name = station, name
        self.client = station.client()
        self.stream = self.client.stream("Monitor", subscriber=name, **parameters)
        assert next(self.stream)["event"] is None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def take(self, count=1):
        return [next(self.stream)["event"] for _ in range(count)]

    def is_quiet(self):
        return not self.client.pending and not select.select([self.client.socket], [], [], 0.2)[0]

    def acknowledge(self, event):
        self.station.call("Acknowledge", subscriber=self.name, cursor=event["cursor"])


def ids_of(events):
    return sorted(event["data"]["messageId"] for event in events)


def listed(station, name):
    found, = [one for one in station.call("ListSubscribers")["subscribers"] if one["name"] == name]
    return found


def refused(station, method, **parameters):
    with pytest.raises(varlink.VarlinkError) as caught:
        station.call(method, **parameters)
    return caught.value.short


def test_nothing_is_missed(station, dovecot, box):
    """Down program, restarted daemon, killed daemon: what was not acknowledged is told again, with the same cursor."""
    incoming(station, dovecot, box)
    poll(station)
    with Subscriber(station, "panel") as panel:
        first = fill(dovecot, box, 2)
        poll(station)
        told = panel.take(2)
        assert ids_of(told) == first
        assert told[0]["event"] == "mail.received" and told[0]["account"] == "a" and told[0]["text"]
        panel.acknowledge(told[0])
    later = fill(dovecot, box, 3)
    poll(station)
    station.kill()
    station.start()
    assert listed(station, "panel")["pending"] == 4
    with Subscriber(station, "panel") as panel:
        again = panel.take(4)
        assert again[0] == told[1]
        assert ids_of(again[1:]) == later
        panel.acknowledge(again[3])
        assert panel.is_quiet()
    station.restart()
    with Subscriber(station, "panel") as panel:
        assert panel.is_quiet()
        assert listed(station, "panel")["connected"] and listed(station, "panel")["pending"] == 0
        live = fill(dovecot, box, 1)
        poll(station)
        assert ids_of(panel.take()) == live


def test_a_note_is_no_message(station, dovecot, box):
    """Of a message that was too large a named subscriber hears when it comes, not when it is left at the server."""
    large, = fill(dovecot, box, 1, body="0123456789\n" * 2000)
    small, = fill(dovecot, box, 1)
    with Subscriber(station, "panel") as panel:
        incoming(station, dovecot, box, maxMessageSize=10000)
        event, = panel.take()
        assert event["data"]["messageId"] == small
        panel.acknowledge(event)
        station.wait_event("mail.left")
        assert panel.is_quiet() and len(station.inbox("a")) == 2
        station.ctl("account", "set", "a", "maxMessageSize=1M")
        poll(station)
        event, = panel.take()
        assert event["data"]["messageId"] == large
        panel.acknowledge(event)


def test_subscribers_are_independent(station, dovecot, box):
    incoming(station, dovecot, box, "a")
    incoming(station, dovecot, box, "b")
    poll(station, "a")
    poll(station, "b")
    with Subscriber(station, "all"), Subscriber(station, "only-b", accounts=["b"]):
        pass
    fill(dovecot, box, 2)
    poll(station, "a")
    poll(station, "b")
    with Subscriber(station, "all") as everything, Subscriber(station, "only-b") as one:
        events = everything.take(4)
        assert sorted(event["account"] for event in events) == ["a", "a", "b", "b"]
        assert one.take(2) == [event for event in events if event["account"] == "b"]
        everything.acknowledge(events[3])
        assert (listed(station, "all")["pending"], listed(station, "only-b")["pending"]) == (0, 2)
        station.call("ForgetSubscriber", name="only-b")
        with pytest.raises(varlink.VarlinkError) as ended:
            one.take()
        assert ended.value.short == "NotFound"
    assert [one["name"] for one in station.call("ListSubscribers")["subscribers"]] == ["all"]
    assert refused(station, "ForgetSubscriber", name="only-b") == "NotFound"
    assert refused(station, "Acknowledge", subscriber="only-b", cursor="1") == "NotFound"


def test_at_most_a_hundred_are_told_ahead(station, dovecot, box):
    incoming(station, dovecot, box)
    poll(station)
    with Subscriber(station, "slow") as slow:
        expected = fill(dovecot, box, 130)
        poll(station)
        events = slow.take(100)
        assert slow.is_quiet()
        slow.acknowledge(events[19])
        events += slow.take(20)
        assert slow.is_quiet()
        slow.acknowledge(events[-1])
        events += slow.take(10)
        assert ids_of(events) == expected
        assert [int(event["cursor"]) for event in events] == sorted({int(event["cursor"]) for event in events})


def test_what_is_refused(station):
    with Subscriber(station, "panel"):
        with station.client() as client, pytest.raises(varlink.VarlinkError) as second:
            next(client.stream("Monitor", subscriber="panel"))
        assert second.value.short == "Busy"
    for parameters in ({"events": ["mail."]}, {"since": "1.1"}, {"subscriber": "../x"}, {"subscriber": ""}):
        with station.client() as client, pytest.raises(varlink.VarlinkError) as bad:
            next(client.stream("Monitor", **{"subscriber": "panel", **parameters}))
        assert bad.value.short == "InvalidProperty"
    for cursor in ("", "x", "-1", "0", "1.5", "7", "99999999999999999999"):
        assert refused(station, "Acknowledge", subscriber="panel", cursor=cursor) == "InvalidProperty"
    with contextlib.ExitStack() as stack:
        for number in range(31):
            stack.enter_context(Subscriber(station, f"s{number}"))
        with pytest.raises(varlink.VarlinkError) as full:
            Subscriber(station, "one-too-many")
        assert full.value.short == "WrongState" and "subscriber forget" in full.value.cause["remedy"]
    until(lambda: not any(one["connected"] for one in station.call("ListSubscribers")["subscribers"]))


@needs_root
def test_a_subscriber_belongs_to_its_user(new_station):
    station = new_station({"Control.ReadGroup": "games"}).start()
    reader = {**users.as_stranger(), "extra_groups": [grp.getgrnam("games").gr_gid]}
    with Subscriber(station, "roots"):
        pass
    assert station.ctl("monitor", "--name", "roots", user=reader, code=4).err
    assert station.ctl("subscriber", "forget", "roots", user=reader, code=4).err
    assert station.ctl("monitor", "--name", "own", user=users.as_stranger(), code=4).err
    with subprocess.Popen([station.programs["emailsecctl"], "--socket", station.socket, "monitor", "--name", "own"],
                          env=station_module.clean_environment(), **reader) as process:
        until(lambda: [one for one in station.call("ListSubscribers")["subscribers"] if one["name"] == "own"])
        process.terminate()
    assert listed(station, "own")["uid"] == users.STRANGER_UID
    station.ctl("subscriber", "forget", "own", user=reader)


def keep_old(station, subscriber, count, age):
    """Puts events that were never acknowledged into the state of a station that is down."""
    database = sqlite3.connect(os.path.join(station.state, "station.db"))
    with database:
        database.executemany("INSERT INTO offer VALUES (?, ?, unixepoch() - ?, 'a', '{}')",
                             ((subscriber, seq, age) for seq in range(1, count + 1)))
        database.execute("UPDATE subscriber SET pending = ? WHERE name = ?", (count, subscriber))
        database.execute("INSERT OR REPLACE INTO meta VALUES ('offerSeq', ?)", (count,))
    database.close()
    for name in os.listdir(station.state):
        users.give(os.path.join(station.state, name))


@pytest.mark.parametrize("count, age, dropped", ((10000, 0, 1), (40, 31 * 86400, 40)))
def test_what_never_comes_is_bounded_and_told(station, dovecot, box, count, age, dropped):
    incoming(station, dovecot, box)
    poll(station)
    with Subscriber(station, "gone"):
        pass
    station.stop()
    keep_old(station, "gone", count, age)
    station.start()
    expected = fill(dovecot, box, 1)
    poll(station)
    until(lambda: listed(station, "gone")["missed"] == dropped)
    assert listed(station, "gone")["pending"] == count + 1 - dropped
    assert any("subscriber forget gone" in advice for advice in station.call("GetStatus")["status"]["advice"])
    assert "the subscriber gone does not acknowledge its events" in station.log()
    with Subscriber(station, "gone") as gone:
        missed, = gone.take()
        assert missed["event"] == "mail.missed" and missed["data"]["missed"] == dropped and missed["data"]["since"]
        gone.acknowledge(missed)
        assert listed(station, "gone")["missed"] == 0
        if count == dropped:
            assert ids_of(gone.take()) == expected
    until(lambda: not any("gone" in advice and "missed" in advice
                          for advice in station.call("GetStatus")["status"]["advice"]))


def test_a_command_for_each_message(station, dovecot, box, tmp_path):
    """monitor --exec: acknowledged when the command went well, told again when not."""
    incoming(station, dovecot, box)
    poll(station)
    with Subscriber(station, "plc"):
        pass
    expected = fill(dovecot, box, 3)
    poll(station)
    out, gate = tmp_path / "out", tmp_path / "gate"
    command = f'test -e {gate} || exit 3; cat >{out}.$EMAILSEC_ID; printf "%s\\n" "$EMAILSEC_EVENT" >>{out}'
    failed = station.ctl("monitor", "--name", "plc", "--exec", command, code=1)
    assert "failed with 3" in failed.err and "--name plc" in failed.err
    assert listed(station, "plc")["pending"] == 3
    gate.touch()
    with subprocess.Popen([station.programs["emailsecctl"], "--socket", station.socket, "--json", "monitor", "--name", "plc",
                           "--exec", command], env=station_module.clean_environment(), stdout=subprocess.DEVNULL) as process:
        until(lambda: listed(station, "plc")["pending"] == 0)
        process.terminate()
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert ids_of(events) == expected
    assert letters.message_ids([f"{out}.{event['data']['id']}" for event in events]) == expected
    assert station.ctl("monitor", "--exec", "true", code=2).err
    assert "plc" in station.ctl("subscriber", "list").out
    station.ctl("subscriber", "forget", "plc")
    assert station.json("subscriber", "list") == []


@pytest.mark.parametrize("count, kills", (pytest.param(400, 3, id="short"),
                                          pytest.param(4000, 12, id="long", marks=pytest.mark.slow)))
def test_as_many_events_as_messages_whatever_is_killed(station, dovecot, box, count, kills):
    """The daemon is killed while it fetches: each message has one event, and no event is without its message."""
    incoming(station, dovecot, box, enabled=False)
    with Subscriber(station, "ledger"):
        pass
    dovecot.deliver(box, *(letters.letter(box) for _ in range(count)))
    chance = random.Random(7)
    station.ctl("account", "enable", "a")
    for files in sorted(chance.sample(range(1, count), kills)):
        until(lambda: len(station.inbox("a")) >= files, 30 * station_module.PATIENCE)
        station.kill()
        station.start()
    poll(station)
    assert len(station.inbox("a")) == count
    told = []
    with Subscriber(station, "ledger") as ledger:
        while len(told) < count:
            event, = ledger.take()
            told.append(event)
            if len(told) % 50 == 0:
                ledger.acknowledge(event)
        ledger.acknowledge(told[-1])
        assert ledger.is_quiet()
    assert sorted(event["data"]["path"] for event in told) == sorted(station.inbox("a"))
