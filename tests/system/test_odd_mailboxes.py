# SPDX-License-Identifier: MIT
"""Mailboxes of servers that do not go by the book: what is there is received once, and what is wrong is told."""

import os
import re
import socket
import threading
import time

import pytest

import channels
import letters
from boxes import IMAP_WORDS, Message, Relay
from waiting import until

LETTERS = [b"From: a@example.org\r\nSubject: number %d\r\n\r\ntext %d\r\n" % (n, n) for n in range(8)]


def incoming(station, box, **more):
    station.add("incoming", "a", **channels.properties(box.transport, "plain", box.host, box.port, "box",
                                                       **{"push": False, "pollRate": 3600, **more}))


def poll(station, **more):
    return station.ctl("account", "poll", "a", **more)


def received(station):
    return station.account("a")["numberReceived"]


@pytest.mark.parametrize("uidvalidity", (0, "", "x", 2**32, 2**64 - 1), ids=str)
def test_uidvalidity_of_any_kind(station, new_box, uidvalidity):
    box = new_box(contents=LETTERS[:3])
    box.uidvalidity = uidvalidity
    incoming(station, box)
    poll(station)
    poll(station)
    assert received(station) == 3 and len(station.inbox("a")) == 3
    if uidvalidity in (0, "", "x"):
        assert "gives no UIDVALIDITY for folder INBOX" in station.log()


def test_without_uidvalidity_numbers_may_begin_anew(station, new_box):
    """Known by content: only what is new is delivered."""
    box = new_box(contents=LETTERS[:4])
    box.uidvalidity = 0
    incoming(station, box)
    poll(station)
    assert received(station) == 4
    with box.lock:
        box.messages = [Message(number + 1, content) for number, content in enumerate((LETTERS[3], LETTERS[5]))]
        box.last_uid = 2
    poll(station)
    poll(station)
    assert received(station) == 5 and len(station.inbox("a")) == 5


def test_a_note_without_a_date_is_known_again(station, new_box):
    """That of a message which is too large, and has none."""
    box = new_box(contents=[LETTERS[0] + b"x" * 70000 + b"\r\n"])
    incoming(station, box, maxMessageSize=65536)
    poll(station)
    note, = station.inbox("a")
    with open(note, "rb") as source:
        assert b"\nDate:" not in source.read().split(b"\n\n")[0]
    with box.lock:
        box.uidvalidity += 1
        box.messages[0].uid = box.last_uid = 20
    seen = int(time.time())
    until(lambda: int(time.time()) > seen + 1)      # a date that was made up would be another
    poll(station)
    assert "comparing by content" in station.log() and len(station.inbox("a")) == 1


def test_one_missing_folder_stops_no_other(station, new_box):
    box = new_box(contents=LETTERS[:2])
    box.failing = {'SELECT "Gone"': "NO [NONEXISTENT] Unknown Mailbox", 'SELECT "Odd"': "BAD what"}
    incoming(station, box, folder="INBOX,Gone,Odd,Other")
    poll(station)
    assert received(station) == 4  # the box shows the same in each folder: other UIDs of another folder
    assert station.account("a")["status"] == "ok"
    told = station.ctl("status").out
    assert "folder Gone: " in told and "Unknown Mailbox" in told and "folder Odd: " in told
    assert station.wait_event("account.folder")["data"]["folder"] in ("Gone", "Odd")
    poll(station)
    assert len(box.said('SELECT "Gone"')) >= 2 and station.log().count("folder Gone cannot be opened") == 1
    box.failing = {}
    poll(station)
    assert "folder Gone can be opened again" in station.log() and "folder Gone" not in station.ctl("status").out
    assert received(station) == 8


def test_the_first_folder_missing_stops_no_other(station, new_box):
    box = new_box(contents=LETTERS[:2])
    box.failing = {'SELECT "INBOX"': "NO [NOPERM] not for you"}
    incoming(station, box, folder="INBOX,Other", push=True, pollRate=1)
    station.wait_event("mail.received")
    until(lambda: len(box.said('SELECT "Other"')) >= 3, 20)
    assert station.account("a")["status"] == "ok" and not box.said("IDLE") and received(station) == 2


def test_the_only_folder_missing_is_told(station, new_box):
    box = new_box(contents=LETTERS[:2])
    box.failing = {"SELECT": "NO [NONEXISTENT] Unknown Mailbox"}
    incoming(station, box, folder="Gone")
    said = poll(station, code=1)
    assert "to open the folder" in said.err and "emailsecctl account folders a" in said.err
    assert station.account("a")["status"] == "fault"


def test_a_folder_refused_for_the_moment_is_tried_again_soon(station, new_box):
    box = new_box(contents=LETTERS[:2])
    box.failing = {"SELECT": "BAD User is authenticated but not connected."}
    incoming(station, box, pollRate=1)
    station.wait_status("a", "down")
    box.failing = {}
    station.wait_event("mail.received", 20)


def test_inbox_in_any_case_is_one_mailbox(station, new_box):
    box = new_box(contents=LETTERS[:3])
    incoming(station, box, folder="inbox")
    poll(station)
    assert received(station) == 3
    for name in ("INBOX", " Inbox , INBOX,", "iNBOX"):
        station.ctl("account", "set", "a", f"folder={name}")
        assert station.account("a")["folder"] == "INBOX"
        poll(station)
    assert received(station) == 3 and set(box.said("SELECT")) == {'SELECT "INBOX"'}


def test_lists_of_folders(station, new_box):
    box = new_box()
    incoming(station, box, folder="INBOX,,  Alarms , INBOX, Alarms,")
    assert station.account("a")["folder"] == "INBOX,Alarms"
    refused = station.ctl("account", "set", "a", "folder= , ,", code=1)
    assert "folder" in refused.err
    many = [f"Plant/Line {number}/Alarms of the last shift" for number in range(200)]
    station.ctl("account", "set", "a", "folder=" + ", ".join(many))
    poll(station)
    assert {f'SELECT "{name}"' for name in many} <= set(box.said("SELECT"))


@pytest.mark.parametrize("listed", (True, False), ids=("in the whole list", "in no list"))
def test_what_is_denied_and_counted_has_not_gone(station, new_box, listed):
    """A server that for a while says nothing of a message that it counts: told, and received when it hands it out."""
    box = new_box(contents=LETTERS[:3])
    box.denies = lambda uid, words: uid == 2 and (":*" not in words or (not listed and box.said("UID FETCH 2 ")))
    incoming(station, box)
    poll(station, code=None)
    missing = station.wait_event("mail.missing")
    assert missing["data"]["uid"] == 2 and received(station) == 2
    assert "UID 2" in station.ctl("inbox", "missing", "a").out
    box.denies = lambda uid, words: False
    poll(station)
    assert station.wait_event("mail.missingOver")["data"]["came"] is True
    assert received(station) == 3


def test_what_is_denied_and_deleted_has_gone(station, new_box):
    box = new_box(contents=LETTERS[:3])
    box.denies = lambda uid, words: uid == 2 and ":*" not in words
    incoming(station, box)
    poll(station, code=None)
    station.wait_event("mail.missing")
    with box.lock:
        box.messages = [message for message in box.messages if message.uid != 2]
    poll(station)
    assert station.wait_event("mail.missingOver")["data"]["came"] is False
    assert received(station) == 2 and station.json("inbox", "missing", "a") == []


# ---- waiting for mail ----


def quiet(box, seconds, most):
    """At most so many sign-ins from now on."""
    before = box.connections
    time.sleep(seconds)
    assert box.connections - before <= most, box.asked[-20:]


def warned(station, words):
    until(lambda: words in station.ctl("status").out, 15, lambda: station.ctl("status").out)


def ends_at_once(talk):
    talk.say("+ idling\r\n")


def ends_before_it_begins(_talk):
    pass


def storms(talk):
    """Each time one more, and nothing is there."""
    talk.box.announced = getattr(talk.box, "announced", 100) + 1
    talk.say(f"+ idling\r\n* {talk.box.announced} EXISTS\r\n")
    assert talk.line() == "DONE"


def says_bye(talk):
    talk.say("+ idling\r\n* BYE enough\r\n")
    raise OSError


def closes(talk):
    talk.say("+ idling\r\n")
    talk.peer.settimeout(0.3)
    talk.line()


@pytest.mark.parametrize("answer", ("BAD command unknown", "NO not here"))
def test_refused_idle_becomes_polling(station, new_box, answer):
    box = new_box(contents=LETTERS[:1])
    box.failing = {"IDLE": answer}
    incoming(station, box, push=True, pollRate=1)
    for letter in LETTERS[1:3]:
        station.wait_event("mail.received")
        box.add(letter)
    station.wait_event("mail.received")
    warned(station, "offers IDLE but refuses it")
    assert station.account("a")["status"] == "ok" and box.connections == 1 and len(box.said("IDLE")) == 1
    assert station.log().count("offers IDLE but refuses it") == 1
    station.ctl("account", "set", "a", "pollRate=2")  # a change forgets what was learned
    until(lambda: len(box.said("IDLE")) == 2, 10)


@pytest.mark.parametrize("idles", (ends_at_once, ends_before_it_begins, storms))
def test_idle_for_nothing_meets_growing_pauses(station, new_box, idles):
    box = new_box()
    box.idles = idles
    incoming(station, box, push=True)
    warned(station, "pauses between polls grow")
    seen = len(box.said("IDLE"))
    assert seen < 10
    time.sleep(3)
    assert len(box.said("IDLE")) - seen <= 3 and box.connections == 1
    box.add(LETTERS[0])
    station.wait_event("mail.received", 20)
    assert station.account("a")["status"] == "ok" and station.log().count("pauses between polls grow") == 1


@pytest.mark.parametrize("idles", (says_bye, closes))
def test_sessions_that_may_not_wait_become_polling(station, new_box, idles):
    box = new_box()
    box.idles = idles
    incoming(station, box, push=True)
    warned(station, "each poll has a session of its own")
    assert box.connections <= 4
    quiet(box, 3, 0)
    box.add(LETTERS[0])
    poll(station)
    assert received(station) == 1 and station.account("a")["status"] == "ok"
    assert station.log().count("each poll has a session of its own") == 1
    quiet(box, 2, 0)


def test_polls_go_on_where_sessions_may_not_wait(station, new_box):
    box = new_box()
    box.idles = says_bye
    incoming(station, box, push=True, pollRate=1)
    warned(station, "each poll has a session of its own")
    box.add(LETTERS[0])
    station.wait_event("mail.received", 10)
    quiet(box, 3, 4)


def test_kept_sessions_without_idle_that_are_closed(station, new_box):
    """A proxy that closes whatever is silent."""
    box = new_box(words=IMAP_WORDS.replace("IDLE ", ""))
    relay = Relay(box.host, box.port)
    relay.transport = "imap"
    relay.silence = 0.5
    incoming(station, relay, pollRate=600)
    warned(station, "each poll has a session of its own")
    assert box.connections <= 4
    quiet(box, 3, 0)
    relay.stop()


# ---- which folders there are ----


def test_folders_are_listed(station, new_box):
    box = new_box()
    box.folders = ['(\\HasNoChildren) "/" INBOX', '(\\Noselect \\HasChildren) "/" "Plant"', '() "." "Plant.Entw&APw-rfe"',
                   '(\\Sent) NIL "a \\"b\\" &- c"', '() "/" {5}\r\nx"y z', '() "/" "&bad"', "NIL NIL &2D3eAA-"]
    incoming(station, box, folder="inbox,Plant.Entwürfe")
    found = station.call("io.emailsec.EmailService.ListFolders", name="a")["folders"]
    assert [one["name"] for one in found] == ["INBOX", "Plant", "Plant.Entwürfe", 'a "b" & c', 'x"y z', "&bad", "😀"]
    assert [one["name"] for one in found if not one["selectable"]] == ["Plant"]
    assert [one["name"] for one in found if one["fetched"]] == ["INBOX", "Plant.Entwürfe"]
    shown = station.ctl("account", "folders", "a").out
    assert "Plant.Entwürfe" in shown and "INBOX" in shown
    box.failing = {"LIST": "NO not today"}
    assert "to list the folders: not today" in station.ctl("account", "folders", "a", code=1).err


def test_folders_of_what_has_none(station, new_box):
    box = new_box("pop3")
    incoming(station, box)
    assert "only IMAP has folders" in station.ctl("account", "folders", "a", code=1).err


def test_patterns_of_folders(station, new_box):
    box = new_box(contents=LETTERS[:1])
    box.folders = ['() "/" "Plant/A"', '() "/" INBOX', '(\\Noselect) "/" Plant', '() "/" "Plant/A"', '() "/" "a,b"',
                   '() "/" "Entw&APw-rfe"']
    incoming(station, box, folder="*, Named")
    poll(station)
    assert set(box.said("LIST")) == {'LIST "" "*"'}
    assert [line.split(" ", 1)[1] for line in box.said("SELECT")][:4] == ['"Plant/A"', '"Entw&APw-rfe"', '"Named"', '"INBOX"']
    assert received(station) == 4
    box.folders = []
    station.ctl("account", "set", "a", "folder=Gone/%")
    assert "none fits the property folder" in poll(station, code=1).err


def test_what_a_person_must_be_shown(station, new_box):
    box = new_box()
    box.failing = {"SELECT": "OK [ALERT] Mailbox is at 98% of quota \x1b[2J" + "x" * 5000}
    incoming(station, box)
    poll(station)
    poll(station)
    assert station.log().count("the server says: Mailbox is at 98% of quota") == 1
    assert "the server says: Mailbox is at 98% of quota" in station.ctl("status").out
    assert "\x1b[2J" not in station.log() and "x" * 400 not in station.log()


# ---- mailboxes without end ----


class Endless:
    """An IMAP server that lists `count` messages, of which only the last one is not deleted."""

    transport = "imap"

    def __init__(self, count):
        self.count, self.asked = count, []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._server.getsockname()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        peer, _ = self._server.accept()
        peer.sendall(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] x\r\n")
        for line in peer.makefile("rb"):
            tag, words = line.decode().rstrip().split(" ", 1)
            self.asked.append(words)
            begin = re.match(r"UID FETCH (\d+):\* \(UID FLAGS", words)
            if words.startswith("CAPABILITY"):
                peer.sendall(b"* CAPABILITY IMAP4rev1\r\n")
            if words.startswith("SELECT"):
                peer.sendall(f"* {self.count} EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n".encode())
            for at in range(int(begin[1]), self.count + 1, 10000) if begin else ():
                peer.sendall("".join(f"* {n} FETCH (UID {n} FLAGS ({'' if n == self.count else chr(92) + 'Deleted'})"
                                     f" RFC822.SIZE {len(LETTERS[0])})\r\n"
                                     for n in range(at, min(at + 10000, self.count + 1))).encode())
            if "BODY.PEEK" in words:
                peer.sendall(b"* %d FETCH (UID %d BODY[] {%d}\r\n%s)\r\n" % (self.count, self.count, len(LETTERS[0]),
                                                                            LETTERS[0]))
            peer.sendall(f"{tag} OK done\r\n".encode())


def peak(station):
    with open(f"/proc/{station.process.pid}/status", encoding="ascii") as facts:
        return int(re.search(r"VmHWM:\s+(\d+)", facts.read())[1]) / 1024


def test_a_large_mailbox_is_held_in_parts(station):
    box = Endless(400000)
    before = peak(station)
    incoming(station, box)      # looks by itself, once
    until(lambda: received(station) == 1, 120)
    assert sum(words.startswith("UID FETCH") and "FLAGS" in words for words in box.asked) == 4
    if os.environ.get("FLAVOUR") != "asan":
        assert peak(station) - before < 48


def test_a_list_with_less_than_there_is(station, new_box):
    """What the list leaves out is searched for; what is nowhere to be found is told."""
    box = new_box(contents=LETTERS[:4])
    box.list_odd = {2: ""}
    incoming(station, box)
    until(lambda: received(station) == 4)
    assert "does not list" not in station.ctl("status").out
    other = new_box(contents=LETTERS[:4])
    other.list_odd = {2: "", 4: ""}
    other.edits = [(rb"(\* SEARCH).*\r", rb"\1 1 2 3\r")]
    station.ctl("account", "delete", "a")
    incoming(station, other)
    until(lambda: received(station) == 3)
    until(lambda: "does not list 1 of its messages" in station.ctl("status").out)
    assert "more messages in folder INBOX than it lists, by 1" in station.log()


@pytest.mark.parametrize("said", (b"* 0 EXISTS\r", b"* OK it is open\r"))
def test_a_mailbox_that_seems_to_be_empty(station, new_box, said):
    """Nothing is dealt with of which nothing is known: where the number is not said, it is looked at."""
    box = new_box(contents=LETTERS[:3])
    box.edits = [(rb"\* \d+ EXISTS\r", said)]
    incoming(station, box)
    poll(station)
    assert received(station) == (0 if b"EXISTS" in said else 3)
    box.edits = []
    station.ctl("account", "disable", "a")      # a session of its own
    station.ctl("account", "enable", "a")
    until(lambda: received(station) == 3)
    assert station.account("a")["numberReceived"] == 3


def test_more_messages_than_are_held_at_once(station, new_box):
    """POP3: the list comes anew, a window at a time; one UIDL may be that of several."""
    many = 66000
    box = new_box("pop3", contents=LETTERS[:1] * many)
    incoming(station, box, fetch="new")
    until(lambda: len(box.said("QUIT")) == 1, 60)
    assert received(station) == 0 and len(box.said("UIDL")) == 1
    for letter in LETTERS[1:5]:
        box.add(letter)
    box.uidls = {5: "id-4", many + 3: "id-3", many + 4: "same", many + 2: "same"}     # 5 has gone, in a way
    poll(station, timeout=120)
    assert len(box.said("UIDL")) == 3
    bodies = sorted(letters.whole(open(path, "rb").read())[-8:-2] for path in station.inbox("a"))
    # nothing is known of what was passed over, so that the double of one is passed over as well
    assert [letter[-8:-2] for letter in (LETTERS[1], LETTERS[2], LETTERS[4])] == [body for body in bodies if body != LETTERS[0][-8:-2]]
    before = len(box.said("RETR"))
    poll(station, timeout=120)
    assert len(box.said("RETR")) == before


def answer(talk, message, uid=None, content=None):
    content = message.content if content is None else content
    talk.say(f"* {talk.view.index(message) + 1} FETCH (UID {uid or message.uid} BODY[] {{{len(content)}}}\r\n")
    talk.send(content)
    talk.say(")\r\n")


def beside(what):
    """That is said ahead of a message that is asked for."""
    def odd(talk, message):
        talk.say(what)
        answer(talk, message)
    return odd


def answered_twice(talk, message):
    answer(talk, message)
    answer(talk, message)


def answered_for_another(talk, message):
    answer(talk, message, uid=99999, content=b"Subject: nobody asked\r\n\r\n")
    answer(talk, message)


def test_answers_that_nobody_asked_for(station, new_box):
    """Said amid a fetch: each message is here once all the same, none besides, and nothing is deleted that is not here."""
    sent = [b"Subject: %d\r\n\r\nbody\r\n" % number for number in range(300)]
    box = new_box(contents=sent)
    box.odd = {3: answered_twice, 9: answered_for_another, 31: beside("* 1 FETCH (UID 0 BODY[] {3}\r\nabc)\r\n"),
               40: beside("* 1 FETCH (UID 99999999999999999999 BODY[] {3}\r\nabc)\r\n"), 77: beside("* 3 EXISTS\r\n* 0 EXISTS\r\n"),
               100: beside("* OK [UIDVALIDITY 4711] anew\r\n"), 120: beside("* OK [UIDVALIDITY 0] x\r\n* OK [UIDNEXT 0] x\r\n"),
               150: beside("* 150 FETCH (UID 150 FLAGS (\\Deleted \\Seen))\r\n"), 200: beside("* 200 EXPUNGE\r\n")}
    incoming(station, box, deliveryPolicy="delete")
    poll(station, timeout=60)
    box.odd.clear()
    poll(station, timeout=60)
    assert station.received("a") == sorted(sent)
    assert not box.messages
