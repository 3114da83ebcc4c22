# SPDX-License-Identifier: MIT
"""Exim: a TLS 1.3 handshake is never taken for clear text, what it offers and cannot do, groups of recipients."""

import concurrent.futures

import pytest

import channels
import exim as exim_module
import letters
import users


@pytest.fixture(scope="module")
def exim(base, certificates):
    if not users.IS_ROOT:
        pytest.skip("the name of Exim's user is compiled in: its mount namespace needs root")
    server = exim_module.Exim(base, certificates.leaf("system", "127.0.0.1"))
    yield server
    server.stop()


@pytest.fixture
def outgoing(station, exim):
    station.add("outgoing", "a", **channels.properties("smtp", "starttls", "127.0.0.1", exim.port, "canary-user"))


def test_handshakes(station, outgoing):
    with concurrent.futures.ThreadPoolExecutor(6) as many:
        codes = list(many.map(lambda _: station.ctl("account", "test", "a", code=None).code, range(120)))
    assert codes == [0] * 120 and "plain text" not in station.log()


def test_cram_md5_without_a_secret(station, outgoing):
    assert station.wait_message(station.send("a", "box@x.example"))["state"] == "sent"
    assert station.log().count("offers CRAM-MD5 to sign in and refuses it; signed in by PLAIN") == 1


def test_groups_of_recipients(station, outgoing, exim):
    addresses = [f"box{number}@x.example" for number in range(25)]
    queued = station.json("send", "--account", "a", *(word for address in addresses for word in ("--to", address)), "-",
                          stdin=letters.letter("box"))["id"]
    message = station.wait_message(queued)
    assert {recipient["state"] for recipient in message["recipients"]} == {"sent"}
    assert not any(event["event"] == "mail.deferred" for event in station.monitor.events)


def test_each_recipient_by_itself(station, outgoing):
    queued = station.json("send", "--account", "a", "--to", "nobody@x.example", "--to", "later@x.example", "--to", "good@x.example",
                          "-", stdin=letters.letter("box"))["id"]
    station.wait_event("mail.deferred", account="a")
    assert [one["state"] for one in station.message(queued)["recipients"]] == ["failed", "deferred", "sent"]


def test_texts_arrive(station, outgoing, exim):
    for body in (b"a lone \r here\n", "Grüße\n.\n..\n.x\n".encode(), b"x" * 3000 + b"\n"):
        queued = station.send("a", "box@x.example", b"Subject: t\nTo: box@x.example\n\n" + body)
        assert station.wait_message(queued)["state"] == "sent"
    found = exim.bodies()
    assert any(b"a lone =0D here" in body for body in found)
    assert any("Grüße\n.\n..\n.x\n".encode() in body or b"Gr=C3=BC=C3=9Fe" in body or b"R3LDvMOfZQ" in body for body in found)
    assert "rejected after DATA" not in exim.log() and "syntax" not in exim.log(), exim.log()
