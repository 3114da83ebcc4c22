# SPDX-License-Identifier: MIT
"""Heartbeats: sent on a schedule, their round trip measured, told when they are missing, and no mail to subscribers."""

import re
import threading

import pytest

import channels
import letters
from test_queue import outgoing
from waiting import until

DAY = 86400


def incoming(station, dovecot, box, name="in", **more):
    station.add("incoming", name, **channels.properties("imap", "ssl", dovecot.host(), dovecot.port("imap", "ssl"), box,
                                                        **more))


def deliver(dovecot, box, sent):
    """What the sink took, as the real server of that mailbox would have it."""
    dovecot.deliver(box, sent.content)


def metric(station, name):
    found = re.search(rf'^emailsec_{name}{{account="a"}} (\S+)$', station.call("GetMetrics")["text"], re.M)
    return found and int(found[1])


def heartbeat_of(account, sink):
    return [one for one in sink.accepted if b"Subject: Heartbeat of " + account.encode() in one.content]


def test_the_round_trip(station, sink, dovecot, box):
    """By hand: queued, sent, received by an account that nobody has named; the event and the numbers say so."""
    incoming(station, dovecot, box)
    station.wait_status("in", "ok")
    outgoing(station, sink)
    results = []
    assert "heartbeat=ADDRESS" in station.ctl("account", "heartbeat", "a", code=1).err
    station.ctl("account", "set", "a", "heartbeat=" + letters.address(box), "enabled=false")
    assert "enable a" in station.ctl("account", "heartbeat", "a", code=1).err
    station.ctl("account", "enable", "a")
    asked = threading.Thread(target=lambda: results.append(station.ctl("account", "heartbeat", "a", timeout=60)))
    asked.start()
    sent = sink.wait_for(1)
    station.wait_event("heartbeat.sent", account="a")
    deliver(dovecot, box, sink.accepted[0])
    asked.join()
    assert sent is not False and re.search(r"queued .*\n.*sent .*the server has taken it\n.*arrived .*received by account in", results[0].out)
    event = station.wait_event("heartbeat.arrived", account="a", incoming="in")
    sheet = station.account("a")
    assert sheet["heartbeatState"] == "arrived" and sheet["lastHeartbeatSeconds"] == event["data"]["seconds"]
    assert sheet["lastHeartbeatArrived"] and metric(station, "heartbeat_missing") == 0
    assert metric(station, "heartbeat_arrived_timestamp_seconds") > 0
    assert "lastHeartbeatArrived" in station.ctl("status", "a").out
    content = sink.accepted[0].content.decode()
    assert "Auto-Submitted: auto-generated" in content and len(station.inbox("in")) == 1


def test_it_is_no_mail_to_subscribers(station, sink, dovecot, box):
    incoming(station, dovecot, box)
    station.wait_status("in", "ok")
    outgoing(station, sink, heartbeat=letters.address(box))
    with station.client() as client:
        stream = client.stream("Monitor", subscriber="plc")
        assert next(stream)["event"] is None
        with station.client() as beat:
            steps = beat.stream("SendHeartbeat", name="a")
            assert next(steps)["step"]["step"] == "queued" and next(steps)["step"]["step"] == "sent"
            mine = letters.new_message_id()
            # another program's server may give it another Message-ID: the Subject tells
            changed = re.sub(rb"(?mi)^Message-ID: .*\r$", b"Message-ID: <other@example.test>\r", sink.accepted[-1].content)
            assert changed != sink.accepted[-1].content
            dovecot.deliver(box, changed, letters.letter(box, message_id=mine))
            assert next(steps)["step"]["result"] == "ok"
        assert next(stream)["event"]["data"]["messageId"] == mine
    assert station.wait_event("mail.received")["data"]["messageId"] == mine
    until(lambda: len(station.inbox("in")) == 2)


def test_a_stranger_cannot_pass_for_one(station, sink, dovecot, box):
    incoming(station, dovecot, box)
    outgoing(station, sink, heartbeat=letters.address(box))
    mine = f"<heartbeat.{'0' * 32}@station.example>"
    dovecot.deliver(box, letters.letter(box, message_id=mine))
    station.ctl("account", "poll", "in")
    assert station.wait_event("mail.received")["data"]["messageId"] == mine
    assert station.account("a")["heartbeatState"] != "arrived"


def test_on_schedule_missing_and_back(interposed, sink, dovecot, box):
    """One a rate; what an account here should receive and does not is told, once, until another one arrives."""
    station = interposed.station.start()
    incoming(station, dovecot, box, account=letters.address(box), pollRate=60)
    outgoing(station, sink)
    station.ctl("account", "set", "a", "heartbeat=" + letters.address(box), "heartbeatRate=3600")
    interposed.pass_time(61)
    sink.wait_for(1)
    station.wait_event("heartbeat.sent", account="a")
    assert station.account("a")["heartbeatState"] == "sent"
    interposed.pass_time(2500)
    event = station.wait_event("heartbeat.missing", account="a")
    assert "was sent and has not arrived" in event["text"] and event["data"]["cause"]["remedy"] == "emailsecctl account heartbeat a"
    assert metric(station, "heartbeat_missing") == 1
    status = station.ctl("status").out
    assert re.search(r"a: the heartbeat of \S+ to \S+ is missing: alarms may not arrive either", status)
    audit = [one for one in station.call("Audit")["findings"] if one["check"] == "heartbeat"]
    assert [one["verdict"] for one in audit] == ["alert"]
    station.restart()
    assert station.account("a")["heartbeatState"] == "missing"
    for count in (2, 3):        # the next ones go all the same
        interposed.pass_time(3601)
        sink.wait_for(count)
        station.wait_event("heartbeat.sent", account="a")
    assert station.log().count("was sent and has not arrived") == 1
    deliver(dovecot, box, sink.accepted[-1])
    interposed.pass_time(61)
    station.ctl("account", "poll", "in")
    station.wait_event("heartbeat.arrived", account="a")
    assert "the one before was missing" in station.log()
    assert "is missing" not in station.ctl("status").out and metric(station, "heartbeat_missing") == 0


def test_without_who_receives_it_sent_is_enough(interposed, sink):
    station = interposed.station.start()
    outgoing(station, sink, heartbeat="watch@example.test")
    assert "there is no incoming account here that could receive it" in station.ctl("account", "heartbeat", "a").out
    station.wait_event("heartbeat.sent", account="a")
    interposed.pass_time(DAY)
    station.wait_event("heartbeat.sent", account="a")
    assert len(sink.accepted) == 2
    interposed.pass_time(7200)
    assert station.account("a")["heartbeatState"] == "sent" and "heartbeat.missing" not in station.log()


def test_one_that_is_refused_is_missing(station, sink):
    sink.rule("rcpt", "550 5.1.1 no such user", times=1)
    outgoing(station, sink, heartbeat="nobody@example.test")
    told = station.ctl("account", "heartbeat", "a", code=1)
    assert "was refused" in told.out
    assert station.account("a")["heartbeatState"] == "missing"
    assert "the server has taken it" in station.ctl("account", "heartbeat", "a").out
    assert station.account("a")["heartbeatState"] == "sent"


@pytest.mark.parametrize("seconds", (DAY, -DAY))
def test_a_clock_that_is_set_makes_none_late(interposed, sink, dovecot, box, seconds):
    interposed.watch_clock()
    station = interposed.station.start()
    incoming(station, dovecot, box, account=letters.address(box))
    outgoing(station, sink, heartbeat=letters.address(box))
    with station.client() as client:
        steps = client.stream("SendHeartbeat", name="a")
        assert [next(steps)["step"]["step"] for _ in range(2)] == ["queued", "sent"]
    sent = len(sink.accepted)       # two, where a minute had passed before
    interposed.set_clock(seconds)
    until(lambda: "the clock was set" in station.log())
    station.call("GetStatus")
    assert station.account("a")["heartbeatState"] == "sent" and len(sink.accepted) == sent
