# SPDX-License-Identifier: MIT
"""maxPerRecipient: a plant that goes mad. What is beyond the hour's messages arrives in digests, each once, also when the
station is killed meanwhile; status, queue, journal, event and metric tell of it."""

import email
import email.policy
import os
import pwd

import pytest

import letters
from test_queue import outgoing, submit
from waiting import until


@pytest.fixture
def clock(interposed):
    interposed.watch_clock()
    return interposed


def alarm(number, text="it burns"):
    return f"From: plant@x.example\r\nSubject: alarm {number}\r\nMessage-ID: <{number}@x.example>\r\n\r\n{text} {number}\r\n".encode()


def ids_in(content):
    """Message-IDs of a message, or of those that a digest carries."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    if message.get_content_type() != "multipart/mixed":
        return [message["Message-ID"]]
    return [part.get_content()["Message-ID"] for part in message.iter_attachments()]


def test_a_flood_arrives_in_a_digest(clock, sink):
    station = clock.station.start()
    outgoing(station, sink, maxPerRecipient=3)
    with station.client() as client:
        queued = [submit(client, "a", alarm(n)) for n in range(10)]
        submit(client, "a", alarm(10), ["other@example.test"])
        submit(client, "a", alarm(11), priority="urgent")
    sink.wait_for(5)
    until(lambda: len([m for m in station.json("queue", "list") if m["state"] == "deferred"]) == 7)
    waiting = station.json("queue", "show", queued[5])
    assert "waits for a digest" in waiting["recipients"][0]["reply"] and waiting["nextAttempt"]
    assert any("maxPerRecipient" in line and "box@example.test" in line for line in station.json("status")["advice"])
    assert "it waits for a digest" in station.log()
    clock.set_clock(61)
    sink.wait_for(6)
    digest = sink.accepted[-1]
    assert digest.recipients == ["box@example.test"] and digest.sender == "sender@example.test"
    message = email.message_from_bytes(digest.content, policy=email.policy.default)
    text = message.get_body().get_content()
    assert message["Subject"].startswith("7 messages of") and message["To"] == "box@example.test"
    assert "alarm 5" in text and "it burns 5" in text and pwd.getpwuid(os.getuid()).pw_name in text and queued[5] in text
    arrived = [one for got in sink.accepted for one in ids_in(got.content)]
    assert sorted(arrived) == sorted(f"<{n}@x.example>" for n in range(12))
    carried = [part.get_content() for part in message.iter_attachments()]
    assert all(one.get_content().startswith("it burns") for one in carried)
    event = station.wait_event("mail.gathered", account="a")
    assert sorted(event["data"]["ids"]) == sorted(queued[3:]) and event["data"]["recipient"] == "box@example.test"
    shown = station.json("queue", "show", queued[5])
    assert shown["state"] == "sent" and event["data"]["id"] in shown["recipients"][0]["reply"]
    assert f"{queued[5]}: gathered into the digest {event['data']['id']}" in station.log()
    account = station.account("a")
    assert account["numberGathered"] == 7 and account["lastGathered"]
    assert 'emailsec_gathered_messages_total{account="a"} 7' in station.ctl("metrics").out
    until(lambda: station.json("queue", "list") == [])


def test_killed_between_nothing_is_lost_or_doubled(clock, sink):
    """The digest and the end of what it carries are one transaction."""
    station = clock.station.start()
    outgoing(station, sink, maxPerRecipient=2)
    with station.client() as client:
        for n in range(8):
            submit(client, "a", alarm(n))
    sink.wait_for(2)
    until(lambda: len([m for m in station.json("queue", "list") if m["state"] == "deferred"]) == 6)
    station.kill()
    station.start()
    sink.rule("mail", "451 4.3.0 later", times=1)
    clock.set_clock(61)
    until(lambda: "gathered into the digest" in station.log())
    station.kill()
    station.start()
    until(lambda: station.ctl("queue", "flush", "a") and len(sink.accepted) == 3)
    arrived = [one for got in sink.accepted for one in ids_in(got.content)]
    assert sorted(arrived) == sorted(f"<{n}@x.example>" for n in range(8))


def test_without_a_limit_nothing_is_gathered(station, sink):
    outgoing(station, sink)
    with station.client() as client:
        for n in range(30):
            submit(client, "a", alarm(n))
    sink.wait_for(30)
    assert "digest" not in station.log()


def test_eight_bit_and_multipart_messages_in_a_digest(clock, sink):
    """What is in it is byte for byte what was handed in."""
    station = clock.station.start()
    outgoing(station, sink, maxPerRecipient=1)
    contents = [b"From: a@x.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
                b"Subject: heat\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\nMessage-ID: <%d@x>\r\n\r\n.\r\n..dots\r\nGr\xc3\xbc\xc3\x9fe %d\r\n" % (n, n)
                for n in range(4)]
    with station.client() as client:
        for content in contents:
            submit(client, "a", content)
    sink.wait_for(1)
    until(lambda: len([m for m in station.json("queue", "list") if m["state"] == "deferred"]) == 3)
    clock.set_clock(61)
    sink.wait_for(2)
    assert all(content in sink.accepted[1].content for content in contents[1:])
    text = email.message_from_bytes(sink.accepted[1].content, policy=email.policy.default).get_body().get_content()
    assert "Gr\u00fc\u00dfe 2" in text
