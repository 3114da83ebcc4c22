# SPDX-License-Identifier: MIT
"""The mail servers that people run: what each protocol of each of them has is here byte for byte, once, and their copy
is treated as the policy says."""

import re
from collections import Counter

import pytest

import channels
import courier
import cyrus
import dovecot as dovecot_module
import letters
import users
from waiting import until

BOTH = ("imap", "pop3")


@pytest.fixture(scope="session")
def mdbox(base, certificates):
    server = dovecot_module.Dovecot(base, certificates, kinds=["system"], layout="mdbox")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def the_courier(base, certificates):
    if not users.IS_ROOT:
        pytest.skip("Courier's paths are compiled in: its mount namespace needs root")
    server = courier.Courier(base, certificates)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def the_cyrus(base, certificates):
    server = cyrus.Cyrus(base, certificates)
    yield server
    server.stop()


@pytest.fixture(params=("dovecot", "mdbox", "the_courier", "the_cyrus"), ids=("dovecot", "mdbox", "courier", "cyrus"))
def server(request, box):
    """One of them, with a new mailbox."""
    found = request.getfixturevalue(request.param)
    found.make(box)
    return found


def incoming(station, server, transport, box, **more):
    station.add("incoming", "a", **channels.properties(
        transport, "ssl", server.host(), server.port(transport, "ssl"), server.user(box), **more))


def poll(station):
    station.ctl("account", "poll", "a", timeout=60)


def contents(station):
    found = []
    for path in station.inbox("a"):
        with open(path, "rb") as source:
            found.append(letters.whole(source.read()))
    return Counter(found)


def as_sent(transport, content):
    """By POP3 the last line always has an end (RFC 1939 section 3)."""
    return content + b"\r\n" if transport == "pop3" and not content.endswith(b"\n") else content


def some(box, count):
    return [letters.crlf(letters.letter(box, subject=f"number {number}")) for number in range(count)]


@pytest.mark.parametrize("transport", BOTH)
def test_odd_messages_byte_for_byte(station, server, box, transport):
    taken = server.place(box, letters.odd())
    assert taken >= 20
    there = Counter(as_sent(transport, content) for content in server.copies(transport, box))
    assert sum(there.values()) == taken
    incoming(station, server, transport, box)
    poll(station)
    here = contents(station)
    assert sum(here.values()) == taken
    assert here == there


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("policy", ("markAsRead", "markAsUnread", "delete"))
def test_delivery_policies(station, server, box, transport, policy):
    server.place(box, some(box, 3))
    incoming(station, server, transport, box, deliveryPolicy=policy)
    poll(station)
    first = contents(station)
    assert sum(first.values()) == 3

    def seen():
        return [b"\\Seen" in flags for flags, _ in server.messages(box)]

    if transport == "pop3" and policy != "delete":      # the server decides whether RETR marks
        assert len(seen()) == 3
    else:
        wanted = {"delete": [], "markAsRead": [True] * 3, "markAsUnread": [False] * 3}[policy]
        until(lambda: seen() == wanted, 10, lambda: f"{seen()} instead of {wanted}")
    poll(station)
    assert contents(station) == first


@pytest.mark.parametrize("transport", BOTH)
def test_only_what_is_new(station, server, box, transport):
    """After a restart, and where the mailbox has shrunk meanwhile."""
    server.append(box, some(box, 3))
    incoming(station, server, transport, box, fetch="new", deliveryPolicy="markAsUnread")
    poll(station)
    assert not contents(station)
    client = server.imap(box)
    client.store("2", "+FLAGS", "\\Deleted")
    client.expunge()
    client.logout()
    new = [letters.crlf(letters.letter(box, subject="new", body=f"{number}\n")) for number in range(2)]
    server.append(box, new)
    station.restart()
    poll(station)
    poll(station)
    assert contents(station) == Counter(new)


def test_folders_with_any_name(station, server, box):
    """In modified UTF-7 by one client, as they are by the other: in UTF-8, where the server has that enabled."""
    names = {"Entwürfe": "Entw&APw-rfe", "日本語": "&ZeVnLIqe-", "A&B": "A&-B"}
    client = server.imap(box)
    found = re.match(rb'\(\("([^"]*)"', client.namespace()[1][0])
    prefix = found[1].decode() if found else ""
    messages = dict(zip(names, some(box, len(names))))
    for name, coded in names.items():
        assert client.create(f'"{prefix}{coded}"')[0] == "OK"
        assert client.append(f'"{prefix}{coded}"', None, None, messages[name])[0] == "OK"
    client.logout()
    incoming(station, server, "imap", box, folder=",".join(prefix + name for name in names))
    poll(station)
    assert contents(station) == Counter(messages.values())
    assert {station.wait_event("mail.received")["data"]["folder"] for _ in names} == {prefix + name for name in names}


def test_unread_only(station, server, box):
    messages = some(box, 4)
    server.append(box, messages)
    client = server.imap(box)
    client.store("2:3", "+FLAGS", "\\Seen")
    client.logout()
    incoming(station, server, "imap", box, fetch="unread")
    poll(station)
    assert contents(station) == Counter([messages[0], messages[3]])


def test_deletes_only_what_it_took(station, server, box):
    server.append(box, some(box, 1))
    client = server.imap(box)
    client.store("1", "+FLAGS", "\\Deleted \\Flagged")
    incoming(station, server, "imap", box, fetch="new", deliveryPolicy="delete")
    poll(station)
    new = [letters.crlf(letters.letter(box, subject="new"))]
    server.append(box, new)
    poll(station)
    assert contents(station) == Counter(new)
    until(lambda: len(server.messages(box)) == 1, 10)
    assert b"\\Flagged" in server.messages(box)[0][0]
    client.logout()


def test_pushed(station, server, box):
    """By IDLE; each server's own delay is its own."""
    incoming(station, server, "imap", box, pollRate=3600)
    station.wait_status("a", "ok")
    for message in some(box, 2):
        server.append(box, [message])
        station.wait_event("mail.received", 30, account="a")
    assert contents(station) == Counter(server.copies("imap", box))


@pytest.mark.parametrize("other", ("mdbox", "the_courier", "the_cyrus"))
@pytest.mark.parametrize("transport", BOTH)
def test_a_mailbox_moves_to_another_server(station, dovecot, box, transport, other, request):
    """With its mail, which gets other numbers there: nothing comes again, and what is new comes."""
    server = request.getfixturevalue(other)
    messages = some(box, 40)
    dovecot.place(box, messages)
    incoming(station, dovecot, transport, box, push=False, pollRate=3600)
    poll(station)
    assert contents(station) == Counter(messages)
    server.make(box)
    new = [letters.crlf(letters.letter(box, subject="new", body=f"{number}\n")) for number in range(2)]
    server.append(box, messages[::-1] + new)
    there = channels.properties(transport, "ssl", server.host(), server.port(transport, "ssl"), server.user(box))
    station.ctl("account", "set", "a", *(f"{name}={there[name]}" for name in ("hostname", "port", "account", "useSsl")))
    poll(station)
    poll(station)
    assert contents(station) == Counter(messages + new)
    station.restart()
    poll(station)
    assert contents(station) == Counter(messages + new)
