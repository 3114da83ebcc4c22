# SPDX-License-Identifier: MIT
"""senderPolicy: what a provider that owns one sender is given, and that nothing but the header changes by it."""

import email
import email.utils
import random

import pytest

from test_local_names import CRON, LETTER
from test_queue import outgoing, submit
from waiting import until

OWN = "sender@example.test"


def body_of(content):
    return content.partition(b"\r\n\r\n")[2]


def test_cron_through_a_provider(new_station, sink):
    """Envelope and From are the account's; who it was is in the name and in Reply-To."""
    station = new_station({"Service.LocalRecipients": "ops@example.test"}).start()
    outgoing(station, sink, senderPolicy="account")
    station.ctl("sendmail", *CRON, stdin=LETTER)
    sink.wait_for(1)
    got, = sink.accepted
    message = email.message_from_bytes(got.content)
    assert got.sender == OWN and email.utils.parseaddr(message["From"])[1] == OWN
    assert "root@" in message["From"] and "Cron Daemon" in message["From"]
    assert message["Reply-To"].startswith("root@") and message["To"] == "ops@example.test"
    assert len(message.get_all("From")) == 1 and message["Message-ID"] and message["Date"]


@pytest.mark.parametrize("size", (10, 300_000, 3_000_000))
def test_only_the_header_changes(new_station, sink, size):
    """By DATA and BDAT alike; SIZE= is what is sent, and the queue keeps what was handed in."""
    station = new_station().start()
    outgoing(station, sink, senderPolicy="account")
    body = b"\r\n".join(bytes(random.Random(size + i).choices(b"abc .\t=", k=70)) for i in range(max(size // 72, 1))) + b"\r\n"
    content = b"From: Alice <alice@x.example>\r\nSubject: s\r\nMessage-ID: <1@x>\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\n\r\n" + body
    queued = station.send("a", "box@example.test", content)
    station.wait_message(queued)
    got, = sink.accepted
    assert body_of(got.content) == body
    assert got.content.startswith(b"From: Alice <sender@example.test>\r\nReply-To: Alice <alice@x.example>\r\nSubject: s\r\n")
    assert station.json("queue", "show", queued)["size"] == len(content)


def test_the_account_that_sends_decides(new_station, sink):
    """Held, given to another account, released: as that one says. A null sender stays one."""
    station = new_station({"Service.DefaultAccount": "a"}).start()
    outgoing(station, sink, senderPolicy="account")
    outgoing(station, sink, "b")
    station.ctl("account", "set", "b", "from=other@example.test")
    content = b"From: alice@x.example\r\nMessage-ID: <1@x>\r\nDate: Mon, 5 Jan 2026 10:00:00 +0000\r\n\r\nx\r\n"
    with station.client() as client:
        queued = submit(client, "a", content, hold=True, **{"from": "alice@x.example"})
        client.call("RerouteMessages", ids=[queued], account="b")
        client.call("ReleaseMessages", ids=[queued])
        sink.wait_for(1)
        assert sink.accepted[0].sender == "alice@x.example" and b"alice@x.example" in sink.accepted[0].content.partition(b"\r\n\r\n")[0]
        submit(client, "a", b"From: alice@x.example\r\n\r\nx\r\n", **{"from": ""})
        sink.wait_for(2)
        assert sink.accepted[1].sender == "" and b"<sender@example.test>" in sink.accepted[1].content


def test_a_signature_is_told_of(new_station, sink):
    station = new_station().start()
    outgoing(station, sink, senderPolicy="account")
    station.send("a", "box@example.test", b"DKIM-Signature: v=1; b=x\r\nFrom: a@x.example\r\n\r\nx\r\n")
    sink.wait_for(1)
    until(lambda: "is signed (DKIM)" in station.log())
    station.send("a", "box@example.test", b"DKIM-Signature: v=1; b=x\r\nFrom: sender@example.test\r\n\r\nx\r\n")
    sink.wait_for(2)
    assert station.log().count("is signed (DKIM)") == 1


def test_a_policy_needs_an_address(station):
    refused = station.ctl("account", "add", "outgoing", "x", "hostname=h.example", "senderPolicy=account", code=1)
    assert "from is needed with senderPolicy account" in refused.err
    station.ctl("account", "add", "outgoing", "x", "hostname=h.example", "senderPolicy=account", "account=me@h.example", "enabled=false")


def test_a_header_too_large_for_it_fails_and_is_told(new_station, sink):
    station = new_station().start()
    outgoing(station, sink, senderPolicy="account")
    many = b"".join(b"X-Field: " + b"x" * 900 + b"\r\n" for _ in range(400))
    queued = station.send("a", "box@example.test", many + b"From: a@x.example\r\n\r\nx\r\n")
    until(lambda: station.json("queue", "show", queued)["state"] == "failed")
    assert "senderPolicy" in station.json("queue", "show", queued)["recipients"][0]["reply"]
