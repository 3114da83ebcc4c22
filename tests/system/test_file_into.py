# SPDX-License-Identifier: MIT
"""fileInto: received mail in folders of the Maildir, by sender, subject and header."""

import contextlib
import mailbox
import os
import shutil

import pytest

import letters
import users
from test_backup import restore
from test_exec import Deliver
from test_maildir import GROUP, incoming, mode, poll, read
from waiting import until

RULES = 'sender alarms@ Alarms; subject "pump 7" Pumps/Seven; header X-Priority:1 Urgent; sender boss INBOX'


def message(number, sender="a@example.test", subject="none", header="X-None: 0"):
    return (f"From: {sender}\r\nTo: b@example.test\r\nSubject: {subject}\r\n{header}\r\nMessage-ID: <{number}@example.test>\r\n\r\n"
            f"{number}\r\n").encode()


CONTENTS = [message(0), message(1, "ALARMS@plant.example"), message(2, subject="the\r\n Pump 7 stands"),
            message(3, header="x-priority: 1 (Highest)"), message(4, "alarms@x", "pump 7", "X-Priority: 1"), message(5, "boss@x")]
PLACES = {"": {0, 5}, ".Alarms": {1, 4}, ".Pumps.Seven": {2}, ".Urgent": {3}}


def numbers(folder):
    return {int(read(path).decode().split()[-1]) for path in letters.maildir(folder)}


def check(station, places=None):
    mail = os.path.join(station.state, "mail", "a")
    for place, wanted in (places or PLACES).items():
        assert numbers(os.path.join(mail, place)) == wanted, place


def listed(station):
    return {int(one["messageId"].strip("<").split("@")[0]): one for one in station.call("ListInbox", name="a")["messages"]}


def test_filed(station, new_box):
    """The first rule decides; lists, opening, marking and deleting know where each is."""
    incoming(station, new_box("imap", contents=CONTENTS), fileInto=RULES)
    poll(station)
    check(station)
    at = listed(station)
    assert {number: one["filedInto"] for number, one in at.items()} == {
        0: None, 1: "Alarms", 2: "Pumps/Seven", 3: "Urgent", 4: "Alarms", 5: None}
    assert all(os.path.exists(one["path"]) for one in at.values())
    assert all(at[number]["id"] == station.wait_event("mail.received", account="a", id=at[number]["id"])["data"]["id"] for number in at)
    assert "2" in station.ctl("inbox", "show", "a", at[2]["id"]).out
    station.ctl("inbox", "mark", "a", "seen", at[1]["id"], at[0]["id"], at[2]["id"])
    assert {number for number, one in listed(station).items() if one["seen"]} == {0, 1, 2}
    assert station.json("inbox", "delete", "a", at[1]["id"], at[3]["id"], at[5]["id"])["count"] == 3
    poll(station)
    station.restart()
    poll(station)
    check(station, {"": {0}, ".Alarms": {4}, ".Pumps.Seven": {2}, ".Urgent": set()})
    assert station.call("ListInbox", name="a")["total"] == 3
    assert os.listdir(os.path.join(station.state, "mail", "a", "tmp")) == []
    station.ctl("account", "set", "a", "keepReceived=1")
    until(lambda: station.call("ListInbox", name="a")["total"] == 1)


def test_changed_rules_concern_what_comes(station, new_box):
    box = new_box("imap", contents=CONTENTS[:3])
    incoming(station, box, fileInto=RULES)
    poll(station)
    station.ctl("account", "set", "a", "fileInto=sender a Other")
    for content in CONTENTS[3:]:
        box.add(content)
    poll(station)
    check(station, {"": {0, 5}, ".Alarms": {1}, ".Pumps.Seven": {2}, ".Other": {3, 4}})
    station.ctl("account", "set", "a", "fileInto=")
    assert len(listed(station)) == 6


def test_once_whatever_happens(station, new_box):
    """Kills amidst; each message is once in all folders together."""
    contents = [message(number, "alarms@x" if number % 3 else "b@x") for number in range(300)]
    incoming(station, new_box("imap", contents=contents), fileInto=RULES, pollRate=1)
    mail = os.path.join(station.state, "mail", "a")
    for wanted in (1, 100, 200):
        until(lambda: len(letters.maildir(mail)) + len(letters.maildir(f"{mail}/.Alarms")) >= wanted, 30)
        station.kill()
        station.start()
    until(lambda: station.call("ListInbox", name="a")["total"] == 300, 30)
    assert numbers(mail) == {number for number in range(300) if number % 3 == 0}
    assert len(letters.maildir(f"{mail}/.Alarms")) == 200 and len(numbers(f"{mail}/.Alarms")) == 200


def test_what_mail_readers_do_in_folders(station, new_box):
    """Files moved, flagged, added, folders removed and made: the inbox follows."""
    incoming(station, new_box("imap", contents=CONTENTS), fileInto=RULES)
    poll(station)
    at = listed(station)
    place = mailbox.Maildir(os.path.join(station.state, "mail", "a"), factory=None, create=False)
    assert sorted(place.list_folders()) == ["Alarms", "Pumps.Seven", "Urgent"]
    alarms = place.get_folder("Alarms")
    for key, one in alarms.items():
        one.set_subdir("cur")
        one.set_flags("FS")
        alarms[key] = one
    other = place.add_folder("Other")
    other.add(b"Subject: added by hand\n\nx\n")
    # What root has put there the daemon cannot read: the rest is listed.
    assert len(station.call("ListInbox", name="a")["messages"]) == (6 if os.getuid() == 0 else 7)
    for path, _, names in os.walk(other._path):
        for name in ("", *names):
            users.give(os.path.join(path, name))
    shutil.rmtree(os.path.join(station.state, "mail", "a", ".Urgent"))
    messages = station.call("ListInbox", name="a")["messages"]
    assert len(messages) == 6 and {one["filedInto"] for one in messages} == {None, "Alarms", "Pumps/Seven", "Other"}
    by_id = {one["id"]: one for one in messages}
    assert by_id[at[1]["id"]]["seen"] and by_id[at[1]["id"]]["file"].endswith(":2,FS")
    added, = [one for one in messages if one["filedInto"] == "Other"]
    assert "added by hand" in station.ctl("inbox", "show", "a", added["id"]).out
    station.ctl("inbox", "show", "a", at[3]["id"], code=1)
    station.ctl("inbox", "delete", "a", added["id"])
    assert len(other) == 0


def test_dovecot_has_the_folders(station, new_box, dovecot, box):
    incoming(station, new_box("imap", contents=CONTENTS), fileInto=RULES)
    poll(station)
    dovecot.lend(box, os.path.join(station.state, "mail", "a"))
    with contextlib.closing(dovecot.imap(box)) as imap:
        names = b" ".join(imap.list()[1]).decode()
        assert "Alarms" in names and "Pumps" in names and "Seven" in names
        assert imap.select("Alarms")[1] == [b"2"]
        assert {imap.fetch(number, "(BODY[])")[1][0][1] for number in ("1", "2")} == {CONTENTS[1], CONTENTS[4]}


@pytest.mark.skipif(not users.IS_ROOT, reason="needs users of its own")
def test_rights_of_folders(new_station, new_box):
    station = new_station({"Control.ReadGroup": GROUP}).start()
    incoming(station, new_box("imap", contents=CONTENTS), fileInto=RULES)
    poll(station)
    mail = os.path.join(station.state, "mail", "a")
    until(lambda: mode(os.path.dirname(mail)) == 0o2750)
    for folder in (".Alarms", ".Alarms/new", ".Alarms/cur", ".Pumps.Seven"):
        assert mode(os.path.join(mail, folder)) == 0o2750
    assert all(mode(path) == 0o640 for path in letters.maildir(os.path.join(mail, ".Alarms")))


def test_what_comes_back_is_filed(station, new_box):
    one = Deliver(station)
    try:
        incoming(station, new_box("imap", contents=CONTENTS), fileInto=RULES, deliverTo="exec:exit 1")
        poll(station)
        check(station)
        assert len(listed(station)) == 6
    finally:
        one.close()


def test_backup_and_restore(station, new_box, folder):
    incoming(station, new_box("imap", contents=CONTENTS), fileInto=RULES)
    poll(station)
    archive = os.path.join(folder, "b.tar")
    station.ctl("backup", archive)
    station.stop()
    shutil.rmtree(os.path.join(station.state, "mail", "a", ".Alarms"))
    restore(station, archive, "--force")
    station.start()
    check(station)
    assert len(listed(station)) == 6


@pytest.mark.parametrize("rules, words", (
    ("from a A", 'rule 1 of fileInto: the first word is sender, subject or header, and not "from"'),
    ("sender a A; subject b", "rule 2 of fileInto: it has fewer than three words"),
    ("sender a ../x", "rule 1 of fileInto: a folder has a name of letters"),
    ('subject "a A', "a quotation mark is not closed"), ("header X A", "NAME:TEXT")))
def test_bad_rules(station, new_box, rules, words):
    station.add("incoming", "a", transport="imap", hostname="127.0.0.1", port=9)
    refused = station.ctl("account", "set", "a", f"fileInto={rules}", code=1)
    assert words in refused.err and "three words a rule" in refused.err
