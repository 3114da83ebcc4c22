# SPDX-License-Identifier: MIT
"""The inbox: pages, deleting by hand and by keepReceived, mail readers that change the Maildir meanwhile."""

import os

import pytest

import varlink
from test_receive import fill, incoming, poll
from waiting import until


def received(station, dovecot, box, count, transport="imap", **more):
    fill(dovecot, box, count)
    incoming(station, dovecot, transport, box, push=False, **more)
    poll(station)


def ids(station):
    return [message["id"] for message in station.json("inbox", "list", "a", "--all")]


def test_pages(station, dovecot, box):
    received(station, dovecot, box, 7)
    whole = ids(station)
    assert len(set(whole)) == 7
    seen, after = [], None
    while True:
        reply = station.call("ListInbox", name="a", limit=3, **({"after": after} if after else {}))
        assert reply["total"] == 7
        seen = [message["id"] for message in reply["messages"]] + seen
        after = reply.get("next")
        if not after:
            break
    assert seen == whole
    newest = station.ctl("inbox", "list", "a", "--limit", "2", "--json")
    assert [message["id"] for message in newest.json] == whole[-2:]
    assert "2 of 7 messages" in newest.err and "--all" in newest.err
    assert "of 7" not in station.ctl("inbox", "list", "a").err
    station.ctl("inbox", "list", "a", "--limit", "none", code=2)
    for bad in ({"limit": 0}, {"limit": 10001}, {"after": "x"}):
        with varlink.Client(station.socket) as client:
            client.send("io.emailsec.EmailService.ListInbox", {"name": "a", **bad})
            assert client.receive()["error"].endswith((".InvalidParameter", ".InvalidProperty"))


def test_a_mail_reader_moves_and_deletes(station, dovecot, box):
    received(station, dovecot, box, 3)
    first, second, third = ids(station)
    at = {message["id"]: message["path"] for message in station.json("inbox", "list", "a")}
    os.rename(at[first], at[first].replace("/new/", "/cur/") + ":2,S")
    os.unlink(at[second])
    assert station.ctl("inbox", "show", "a", first, "--raw").out
    station.ctl("inbox", "show", "a", second, code=1)
    assert ids(station) == [first, third]


@pytest.mark.parametrize("transport", ("imap", "pop3"))
def test_deleted_is_not_fetched_again(station, dovecot, box, transport):
    received(station, dovecot, box, 3, transport)
    first, second, third = ids(station)
    station.ctl("inbox", "delete", "a", first, "ffffffffffff", code=1)
    assert len(ids(station)) == 3
    station.ctl("inbox", "delete", "a", first[:8], second)
    assert station.wait_event("audit.recorded", action="inbox.deleted", account="a")["data"]["who"]
    poll(station)
    station.restart()
    poll(station)
    assert ids(station) == [third]
    assert "2 received messages of account a deleted" in station.log()
    station.ctl("inbox", "delete", "a", code=2)
    assert station.json("inbox", "delete", "a", "--older-than", "1d")["count"] == 0
    until(lambda: station.json("inbox", "delete", "a", "--older-than", "0s")["count"] == 1)
    assert ids(station) == [] and poll(station) and ids(station) == []


def test_keep_received(station, dovecot, box):
    received(station, dovecot, box, 5)
    whole = ids(station)
    station.ctl("account", "set", "a", "keepReceived=2")
    until(lambda: len(station.inbox("a")) == 2)
    assert ids(station) == whole[-2:]
    fill(dovecot, box, 3)
    poll(station)
    until(lambda: len(station.inbox("a")) == 2)
    until(lambda: "received messages were deleted (keepReceived is 2)" in station.log())
    station.ctl("account", "set", "a", "keepReceived=never", code=1)
    station.ctl("account", "set", "a", "keepReceived=")
    fill(dovecot, box, 2)
    poll(station)
    assert len(ids(station)) == 4
