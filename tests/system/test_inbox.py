# SPDX-License-Identifier: MIT
"""The inbox: pages, deleting by hand and by keepReceived, mail readers that change the Maildir meanwhile."""

import contextlib
import email.message
import email.policy
import os
import sqlite3
import urllib.parse

import pytest

import channels
import users
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
    until(lambda: ids(station) == whole[-2:])       # files go first
    fill(dovecot, box, 3)
    poll(station)
    until(lambda: len(station.inbox("a")) == 2)
    until(lambda: "received messages were deleted (keepReceived is 2)" in station.log())
    station.ctl("account", "set", "a", "keepReceived=never", code=1)
    station.ctl("account", "set", "a", "keepReceived=")
    fill(dovecot, box, 2)
    poll(station)
    until(lambda: len(ids(station)) == 4)


# ---- marks, filters, attachments

def flags(station):
    return {message["id"]: message["file"].rpartition(":2,")[2] if ":2," in message["file"] else ""
            for message in station.call("ListInbox", name="a")["messages"]}


def test_marked_by_flags(station, dovecot, box):
    """As mail readers do it: the flag S, in cur; other flags stay, in their order."""
    received(station, dovecot, box, 4)
    first, second, third, fourth = ids(station)
    at = {message["id"]: message["path"] for message in station.json("inbox", "list", "a")}
    assert not any(message["seen"] for message in station.json("inbox", "list", "a"))
    os.rename(at[second], at[second].replace("/new/", "/cur/") + ":2,FT")
    assert "2 messages marked as seen" in station.ctl("inbox", "mark", "a", "seen", first, second).out
    assert flags(station) == {first: "S", second: "FST", third: "", fourth: ""}
    assert [message["seen"] for message in station.json("inbox", "list", "a")] == [True, True, False, False]
    event = station.wait_event("audit.recorded", action="inbox.marked", account="a")
    assert "2 received messages" in event["text"]
    assert "0 messages" in station.ctl("inbox", "mark", "a", "seen", first[:8]).out
    assert station.json("inbox", "mark", "a", "unseen", first, second, third)["count"] == 2
    assert flags(station) == {first: "", second: "FT", third: "", fourth: ""}
    station.ctl("inbox", "mark", "a", "seen", fourth, "ffffffffffff", code=1)      # all or none
    assert flags(station)[fourth] == ""
    for bad in (("seen",), ("read", first), ("seen", first, "--unseen")):
        station.ctl("inbox", "mark", "a", *bad, code=2)
    station.restart()
    assert flags(station)[second] == "FT" and len(station.inbox("a")) == 4
    assert "NEW" in station.ctl("inbox", "list", "a").out


def test_filters(station, new_box):
    contents = [b"From: =?utf-8?q?J=C3=B6rg?= <joerg@plant.example>\r\nSubject: =?utf-8?b?VMO8ciBvZmZlbg==?=\r\n\r\n1\r\n",
                b"From: pump@plant.example\r\nSubject: Pump 7 ALARM\r\n\r\n2\r\n", b"Subject: no from\r\n\r\n3\r\n",
                b"From: pump@plant.example\r\nSubject: all well\r\n\r\n4\r\n"]
    box = new_box("imap", contents=contents)
    station.add("incoming", "a", **channels.properties("imap", "plain", box.host, box.port, "box", push=False))
    poll(station)

    def subjects(*options):
        found = station.json("inbox", "list", "a", *options)
        return [next(number for number, content in enumerate(contents, 1) if content.endswith(b"%d\r\n" % number) and
                     message["subject"].encode() in content) for message in found]

    assert subjects("--from", "j\u00f6rg") == [1] and subjects("--from", "PLANT.example") == [1, 2, 4]
    assert subjects("--subject", "alarm") == [2] and subjects("-s", "T\u00fcr") == [1]
    assert subjects("--from", "pump", "--subject", "well") == [4] and subjects("--from", "nobody") == []
    assert subjects("--since", "1h") == [1, 2, 3, 4] and subjects("--before", "1h") == []
    assert subjects("--since", "2100-01-01") == [] and subjects("--before", "2100-01-01", "--limit", "2") == [3, 4]
    station.ctl("inbox", "list", "a", "--since", "yesterday-ish", code=2)
    station.ctl("inbox", "mark", "a", "seen", "--from", "pump")
    assert subjects("--unseen") == [1, 3]
    assert station.json("inbox", "delete", "a", "--subject", "alarm")["count"] == 1
    assert subjects() == [1, 3, 4]
    station.ctl("inbox", "delete", "a", "--subject", "x", "--older-than", "1d", code=2)
    station.ctl("inbox", "delete", "a", code=2)


HOSTILE = ("../../etc/passwd", "/etc/shadow", "..\\..\\evil.exe", "-rf", ".bashrc", "", "..", "a\u202egpj.exe", "x" * 400 + ".pdf",
           "report.pdf", "report.pdf", "tab\there", "~root", "a/", "nul\x00l", "\u00fc.txt")


def test_attachments_are_saved_safely(station, new_box, folder):
    message = email.message.EmailMessage()
    message["Subject"], message["From"] = "hostile", "a@example.test"
    message.set_content("text\n")
    bodies = [bytes(range(256)) * 3 + b"\r\n\n\r%d" % number for number in range(len(HOSTILE))]
    for name, body in zip(HOSTILE, bodies):
        message.add_attachment(body, maintype="application", subtype="octet-stream", filename="x")
        part = list(message.iter_attachments())[-1]
        part.replace_header("Content-Disposition", "attachment; filename*=utf-8''" + urllib.parse.quote(name, safe=""))
    box = new_box("imap", contents=[message.as_bytes(policy=email.policy.SMTP)])
    station.add("incoming", "a", **channels.properties("imap", "plain", box.host, box.port, "box", push=False))
    poll(station)
    one, = ids(station)
    into = os.path.join(folder, "into")
    os.mkdir(into)
    with open(os.path.join(into, "report.pdf"), "w") as out:
        out.write("was here")
    os.symlink(os.path.join(folder, "outside"), os.path.join(into, "passwd"))
    saved = station.json("inbox", "save-attachments", "a", one, "--to", into)
    assert len(saved) == len(HOSTILE)
    assert len(os.listdir(into)) == len(HOSTILE) + 2 and set(os.listdir(folder)) >= {"into"}
    assert not os.path.exists(os.path.join(folder, "outside"))
    for row, body in zip(saved, bodies):
        assert os.path.dirname(row["path"]) == into
        name = os.path.basename(row["path"])
        assert name[0] not in ".-~" and len(name.encode()) < 200 and name.isprintable() and not set(name) & set("/\\:")
        with open(row["path"], "rb") as source:
            assert source.read() == body
    with open(os.path.join(into, "report.pdf")) as source:
        assert source.read() == "was here"
    names = [os.path.basename(row["path"]) for row in saved]
    assert names[:3] == ["passwd-2", "shadow", "evil.exe"] and names[9:11] == ["report-2.pdf", "report-3.pdf"]
    again = station.ctl("inbox", "save-attachments", "a", one, "--to", into)
    assert len(os.listdir(into)) == 2 * len(HOSTILE) + 2 and "report-4.pdf" in again.out
    station.ctl("inbox", "save-attachments", "a", one, "--to", os.path.join(into, "nowhere"), code=1)


def test_attachments_byte_for_byte(station, new_box, folder):
    """A binary part keeps its line ends, whatever the Maildir has; what is sent as lines gets those of this system."""
    head = b"Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    binary = b"\0a\r\nb\rc\r\r\n\xff"
    parts = [(b"binary", binary, binary), (b"8bit", b"one\r\ntwo", b"one\ntwo"), (b"base64", b"DQoNCg==", b"\r\n\r\n")]
    content = head + b"".join(
        b"--b\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: %s\r\nContent-Disposition: attachment; filename=%s\r\n\r\n%s\r\n"
        % (encoding, encoding, body) for encoding, body, _ in parts) + b"--b--\r\n"
    for number, message in enumerate((content, content.replace(b"--b--\r\n", b"--b--\nbare\r\n"))):
        box = new_box("imap", contents=[message])
        station.add("incoming", f"a{number}", **channels.properties("imap", "plain", box.host, box.port, "box", push=False))
        station.ctl("account", "poll", f"a{number}")
        listed, = station.call("ListInbox", name=f"a{number}")["messages"]
        assert listed["lineEnds"] == ("lf", "asReceived")[number]
        into = os.path.join(folder, f"into{number}")
        os.mkdir(into)
        station.ctl("inbox", "save-attachments", f"a{number}", listed["id"], "--to", into)
        for encoding, _, wanted in parts:
            with open(os.path.join(into, encoding.decode()), "rb") as source:
                assert source.read() == wanted, (number, encoding)


def start_with_much_received(station, rows, state):
    """An account that has received so much; its database."""
    station.add("incoming", "a", hostname="127.0.0.1", port=9, useSsl=False, transport="imap", enabled=False)
    station.stop()
    path = os.path.join(station.state, "station.db")
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("INSERT OR REPLACE INTO place (account, folder) VALUES ('a', 'INBOX')")
        place, = db.execute("SELECT number FROM place WHERE account = 'a'").fetchone()
        db.executemany("INSERT INTO seen (place, uidvalidity, uid, uidl, generation, told, size) VALUES (?, 7, ?, '', 0, 1, 9)",
                       ((place, uid) for uid in range(1, rows + 1)))
        db.execute("UPDATE owner SET state = ? WHERE name = 'a'", (state,))
        db.commit()
    for name in os.listdir(station.state):
        users.give(os.path.join(station.state, name))
    station.start()
    return path


def test_what_a_deleted_account_had_received_goes_after_the_start(station):
    """Killed in the middle of its deletion: the start does not wait for a million rows."""
    path = start_with_much_received(station, 20000, state=2)
    assert station.call("ListAccounts")["accounts"] == []
    with contextlib.closing(sqlite3.connect(path)) as db:
        until(lambda: db.execute("SELECT count(*) FROM seen").fetchone() == (0,), 60)
        until(lambda: db.execute("SELECT count(*) FROM owner").fetchone() == (0,), 20)
    until(lambda: "account a was being deleted when the daemon ended" in station.log())


def test_nobody_waits_for_what_a_deleted_account_had_received(station):
    """Records of received mail, which nobody sees any more, go behind the answer; one of that name comes after them."""
    rows = 200000
    path = start_with_much_received(station, rows, state=1)
    station.call("DeleteAccount", name="a")
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as db:
        left, = db.execute("SELECT count(*) FROM seen").fetchone()
        assert 0 < left < rows
        station.add("incoming", "a", hostname="127.0.0.1", port=9, useSsl=False, transport="imap", enabled=False)
        assert db.execute("SELECT count(*) FROM seen").fetchone() == (0,)
