# SPDX-License-Identifier: MIT
"""Incoming mail by IMAP and POP3 into a Maildir: each message once, the server's copy treated as the policy says."""

import contextlib
import os
import shutil
import sqlite3
import threading

import pytest

import channels
import letters
from waiting import until

BOTH = ("imap", "pop3")


def incoming(station, dovecot, transport, box, name="a", **more):
    station.add("incoming", name, **channels.properties(
        transport, "ssl", dovecot.host(), dovecot.port(transport, "ssl"), box, **more))


def fill(dovecot, box, count, **more):
    """Message-IDs of that many new messages on the server, sorted."""
    ids = [letters.new_message_id() for _ in range(count)]
    dovecot.deliver(box, *(letters.letter(box, message_id=one, **more) for one in ids))
    return sorted(ids)


def have(station, name="a"):
    return letters.message_ids(station.inbox(name))


def poll(station, name="a"):
    return station.ctl("account", "poll", name)


@pytest.mark.parametrize("transport", BOTH)
def test_received_as_the_server_has_it(station, dovecot, box, transport):
    bodies = ("", "one line\n", ".\n", "..\n.leading\n", "no end of line", "ünïcode\n", "x" * 990 + "\n",
              "many\n" * 50000, "From me to you\n", "--\n\n\n\n")
    for body in bodies:
        dovecot.deliver(box, letters.letter(box, body=body))
    incoming(station, dovecot, transport, box)
    poll(station)
    found = []
    for path in station.inbox("a"):
        with open(path, "rb") as source:
            found.append(letters.whole(source.read()))
    assert sorted(found) == sorted(content for _, content in dovecot.messages(box))
    assert station.account("a")["numberReceived"] == len(bodies)


@pytest.mark.parametrize("transport", BOTH)
def test_nothing_is_fetched_twice(station, dovecot, box, transport):
    expected = fill(dovecot, box, 5)
    incoming(station, dovecot, transport, box)
    poll(station)
    assert have(station) == expected
    poll(station)
    # a mail reader has taken one to cur and deleted another
    first, second = station.inbox("a")[:2]
    shutil.move(first, os.path.join(station.state, "mail", "a", "cur", os.path.basename(first) + ":2,S"))
    deleted = letters.message_ids([second])
    os.unlink(second)
    station.restart()
    poll(station)
    assert have(station) == sorted(set(expected) - set(deleted))
    more = fill(dovecot, box, 2)
    poll(station)
    assert have(station) == sorted(set(expected) - set(deleted) | set(more))


@pytest.mark.parametrize("transport", BOTH)
def test_a_poll_is_answered_with_numbers(station, dovecot, box, transport):
    incoming(station, dovecot, transport, box, maxMessageSize=100000, push=False, pollRate=3600)
    poll(station)
    assert station.ctl("account", "poll", "a").out == "there was nothing new\n"
    fill(dovecot, box, 2)
    fill(dovecot, box, 1, body="0123456789\n" * 20000)
    answer = station.call("Poll", name="a")
    assert (answer["received"], answer["left"], answer["sent"], answer["failed"]) == (2, 1, 0, 0)
    assert answer["text"] == "received 2 messages, 1 left at the server as too large"
    assert station.ctl("account", "poll", "a").out == "there was nothing new\n"


@pytest.mark.parametrize("transport", BOTH)
def test_a_poll_is_answered_when_all_is_on_disk(station, dovecot, box, transport):
    fill(dovecot, box, 1)
    incoming(station, dovecot, transport, box, push=False, pollRate=3600)
    for _ in range(5):
        poll(station)
        station.kill()
        with contextlib.closing(sqlite3.connect(os.path.join(station.state, "station.db"))) as database:
            facts = {name for name, in database.execute("SELECT name FROM fact WHERE account = 'a'")}
            assert {"numberReceived", "lastPollSuccess"} <= facts
            database.execute("DELETE FROM fact WHERE name = 'lastPollSuccess'")
            database.commit()
        station.start()


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("policy", ("markAsRead", "markAsUnread", "delete"))
def test_delivery_policies(station, dovecot, box, transport, policy):
    expected = fill(dovecot, box, 3)
    incoming(station, dovecot, transport, box, deliveryPolicy=policy)
    poll(station)
    assert have(station) == expected
    # the server is told after the message is safe here, so a moment later
    if policy == "delete":
        until(lambda: dovecot.messages(box) == [])
    else:
        seen = [b"\\Seen" in flags for flags, _ in dovecot.messages(box)]
        if transport == "imap" and policy == "markAsRead":
            until(lambda: [b"\\Seen" in flags for flags, _ in dovecot.messages(box)] == [True] * 3)
        else:
            assert len(seen) == 3
        if transport == "imap" and policy == "markAsUnread":
            assert seen == [False] * 3
    poll(station)
    assert have(station) == expected


def test_imap_deletes_only_what_it_took(station, dovecot, box):
    """Another reader's \\Deleted messages are not expunged by the way."""
    fill(dovecot, box, 1)
    client = dovecot.imap(box)
    client.store("1", "+FLAGS", "\\Deleted \\Flagged")
    incoming(station, dovecot, "imap", box, deliveryPolicy="delete", fetch="new")
    poll(station)
    taken = fill(dovecot, box, 2)
    poll(station)
    assert have(station) == taken
    until(lambda: len(dovecot.messages(box)) == 1)
    flags, _ = dovecot.messages(box)[0]
    assert b"\\Flagged" in flags
    client.logout()


@pytest.mark.parametrize("transport", BOTH)
def test_fetch_new_leaves_what_was_there(station, dovecot, box, transport):
    fill(dovecot, box, 3)
    incoming(station, dovecot, transport, box, fetch="new")
    poll(station)
    assert have(station) == []
    expected = fill(dovecot, box, 2)
    poll(station)
    assert have(station) == expected


def test_fetch_unread(station, dovecot, box):
    fill(dovecot, box, 2)
    client = dovecot.imap(box)
    client.store("1:2", "+FLAGS", "\\Seen")
    client.logout()
    expected = fill(dovecot, box, 2)
    incoming(station, dovecot, "imap", box, fetch="unread")
    poll(station)
    assert have(station) == expected


@pytest.mark.parametrize("transport", BOTH)
def test_polling(station, dovecot, box, transport):
    incoming(station, dovecot, transport, box, pollRate=1, push="false")
    station.wait_status("a", "ok")
    expected = fill(dovecot, box, 2)
    for _ in expected:
        event = station.wait_event("mail.received", account="a")
        assert any(event["data"]["file"] in path for path in station.inbox("a"))
    assert have(station) == expected


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("policy", ("markAsRead", "delete"))
def test_kill_in_the_middle(station, dovecot, box, transport, policy):
    expected = fill(dovecot, box, 120)
    incoming(station, dovecot, transport, box, deliveryPolicy=policy, enabled=False)
    station.ctl("account", "enable", "a")
    until(lambda: station.inbox("a"), 15)
    station.kill()
    station.start()
    poll(station)
    assert have(station) == expected
    station.restart()
    poll(station)
    assert have(station) == expected
    if policy == "delete":
        until(lambda: dovecot.messages(box) == [])


def test_kill_many_times(station, dovecot, box):
    """Every kill at another moment: after the nth file."""
    expected = fill(dovecot, box, 60)
    incoming(station, dovecot, "imap", box)
    for wanted in (1, 3, 10, 25, 40):
        until(lambda: len(station.inbox("a")) >= wanted, 15)
        station.kill()
        station.start()
    poll(station)
    assert have(station) == expected


def notes(station):
    found = []
    for path in station.inbox("a"):
        with open(path, "rb") as source:
            text = source.read()
        found += [text] if b"X-EmailSec-Left: " in text else []
    return found


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("policy", ("delete", "markAsUnread"))
def test_too_large_is_left_and_told_once(station, dovecot, box, transport, policy):
    large = fill(dovecot, box, 1, body="0123456789\n" * 20000, subject="the large one")
    expected = fill(dovecot, box, 1)
    incoming(station, dovecot, transport, box, maxMessageSize=100000, deliveryPolicy=policy)
    poll(station)
    event = station.wait_event("mail.left")
    assert any(path.endswith(event["data"]["file"]) for path in station.inbox("a"))
    if policy == "delete":
        until(lambda: len(dovecot.messages(box)) == 1)
        assert len(dovecot.messages(box)[0][1]) > 100000
    poll(station)
    station.kill()
    station.start()
    poll(station)
    note, = notes(station)
    assert b"the large one" in note.split(b"\r\n\r\n")[0] and b"From: " in note
    assert len(station.inbox("a")) == 2 and station.account("a")["numberReceived"] == 1
    # with the limit raised it comes, once
    station.ctl("account", "set", "a", "maxMessageSize=1M")
    poll(station)
    poll(station)
    assert len(station.inbox("a")) == 3
    note, = notes(station)
    assert letters.message_ids(path for path in station.inbox("a") if not path.endswith(event["data"]["file"])) \
        == sorted(large + expected)
    if policy == "delete":
        until(lambda: dovecot.messages(box) == [])


@pytest.mark.parametrize("transport", BOTH)
def test_wrong_password_is_a_fault(station, dovecot, box, transport):
    incoming(station, dovecot, transport, box)
    station.ctl("account", "password", "a", stdin="wrong\n")
    result = station.ctl("account", "poll", "a", code=1)
    assert result.err
    sheet = station.wait_status("a", "fault")
    assert sheet["cause"]["code"] == "AuthenticationRefused"
    fill(dovecot, box, 1)
    station.ctl("account", "password", "a", stdin=letters.PASSWORD + "\n")
    station.wait_event("mail.received", account="a")
    station.wait_status("a", "ok")


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("mechanism", ("plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256"))
def test_mechanisms(station, dovecot, box, transport, mechanism):
    expected = fill(dovecot, box, 1)
    incoming(station, dovecot, transport, box, authentication=mechanism)
    poll(station)
    assert have(station) == expected


def test_a_missing_folder_is_a_fault(station, dovecot, box):
    incoming(station, dovecot, "imap", box, folder="Nowhere")
    station.ctl("account", "poll", "a", code=1)
    assert station.wait_status("a", "fault")["cause"]["code"] == "Mailbox"


def test_another_folder(station, dovecot, box):
    client = dovecot.imap(box)
    client.create("Alarms")
    ids = [letters.new_message_id() for _ in range(2)]
    for one in ids:
        client.append("Alarms", None, None, letters.crlf(letters.letter(box, message_id=one)))
    client.logout()
    incoming(station, dovecot, "imap", box, folder="Alarms")
    poll(station)
    assert have(station) == sorted(ids)


def test_folders_with_any_name(station, dovecot, box):
    """Over the wire they are in modified UTF-7; here everything shows them as they are."""
    names = {"Entwürfe": "Entw&APw-rfe", "日本語/受信": "&ZeVnLIqe-/&U9dP4Q-", "A&B \"quoted\"": 'A&-B \\"quoted\\"'}
    client = dovecot.imap(box)
    expected = {}
    for name, coded in names.items():
        folder = coded.replace("/", client.list()[1][0].split(b'"')[1].decode())
        assert client.create(f'"{folder}"')[0] == "OK"
        expected[name] = letters.new_message_id()
        client.append(f'"{folder}"', None, None, letters.crlf(letters.letter(box, message_id=expected[name])))
    separator = client.list()[1][0].split(b'"')[1].decode()
    client.logout()
    incoming(station, dovecot, "imap", box, folder=",".join(names).replace("/", separator))
    poll(station)
    poll(station)
    assert have(station) == sorted(expected.values())
    found = {}
    for _ in names:
        data = station.wait_event("mail.received")["data"]
        found[data["folder"].replace(separator, "/")] = data["messageId"]
    assert found == expected


@pytest.mark.parametrize("transport", BOTH)
def test_inbox_list_and_show(station, dovecot, box, transport):
    dovecot.deliver(box, letters.letter(box, subject="=?utf-8?q?W=C3=A4rme?=", body="the text\n"))
    incoming(station, dovecot, transport, box)
    poll(station)
    message, = station.json("inbox", "list", "a")
    assert message["file"] in station.inbox("a")[0] and message["size"] > 0
    assert "Wärme" in station.ctl("inbox", "list", "a").out
    shown = station.ctl("inbox", "show", "a", message["id"]).out
    assert "the text" in shown and "Wärme" in shown
    station.ctl("inbox", "show", "a", "nothing", code=1)


def test_control_bytes_never_reach_a_terminal(station, dovecot, box):
    dovecot.deliver(box, letters.letter(box, subject="evil \x1b]0;title\x07 \x1b[2J", body="body \x1b[31m\n"))
    incoming(station, dovecot, "imap", box)
    poll(station)
    message, = station.json("inbox", "list", "a")
    for result in (station.ctl("inbox", "list", "a"), station.ctl("inbox", "show", "a", message["id"])):
        assert "\x1b" not in result.out and "\x07" not in result.out


def test_a_hung_server_stops_nobody_else(station, dovecot, box, new_fake):
    hung = new_fake("imap", "hang")
    station.add("incoming", "hung", **channels.properties("imap", "plain", hung.host, hung.port, "user",
                                                          connectionTimeout=30))
    expected = fill(dovecot, box, 3)
    incoming(station, dovecot, "imap", box)
    poll(station)
    assert have(station) == expected
    assert station.account("hung")["status"] in ("connecting", "down")


def test_two_accounts_at_one_mailbox_both_have_all(station, dovecot, box):
    expected = fill(dovecot, box, 20)
    for name, transport in (("a", "imap"), ("b", "pop3")):
        incoming(station, dovecot, transport, box, name)
    polls = [threading.Thread(target=poll, args=(station, name)) for name in ("a", "b")]
    for one in polls:
        one.start()
    for one in polls:
        one.join()
    assert have(station, "a") == expected and have(station, "b") == expected


@pytest.mark.parametrize("transport", BOTH)
def test_programs_are_told_where_a_message_lies(station, dovecot, box, transport):
    """The event and the inbox name the same message by id and absolute path; the path follows a mail reader."""
    expected = fill(dovecot, box, 1, subject="Pump 7")
    incoming(station, dovecot, transport, box)
    data = station.wait_event("mail.received", account="a")["data"]
    assert data["subject"] == "Pump 7" and data["path"] == os.path.join(station.state, "mail", "a", "new", data["file"])
    assert letters.message_ids([data["path"]]) == expected
    listed, = station.call("ListInbox", name="a")["messages"]
    assert listed == data
    seen = os.path.join(station.state, "mail", "a", "cur", data["file"] + ":2,S")
    os.rename(data["path"], seen)
    listed, = station.call("ListInbox", name="a")["messages"]
    assert (listed["id"], listed["path"]) == (data["id"], seen)
