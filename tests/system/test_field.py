# SPDX-License-Identifier: MIT
"""Public reports of what servers did to other mail programs, each made real: mailboxes. tests/field/README.md says whose
they are and what came of them."""

import pytest

import channels
import letters
from boxes import Mailbox
from waiting import until

LETTERS = [letters.crlf(letters.letter("box", subject=f"number {number}", body=f"text {number}\n" * 20)) for number in range(3)]
LF = [content.replace(b"\r\n", b"\n") for content in LETTERS]
DOTS = [b"a\r\n.\r\n..\r\n", b".\r\n", b"Subject: d\r\n\r\n. \r\n.x\r\n\r\n.\r\n"]
SHORT = [b"a\r\n", b"Subject: s\r\n\r\n", b"\r\n"]


@pytest.fixture
def new_box():
    made = []

    def make(transport, words=None, contents=LETTERS, **options):
        made.append(Mailbox(transport, words=words, contents=contents))
        for name, value in options.items():
            assert hasattr(made[-1], name), name
            setattr(made[-1], name, value)
        return made[-1]

    yield make
    for one in made:
        one.stop()


def incoming(station, box, **more):
    station.add("incoming", "a", **channels.properties(box.transport, "plain", box.host, box.port, "box",
                                                       **{"push": False, "connectionTimeout": 3, **more}))


def poll(station, code=0):
    return station.ctl("account", "poll", "a", code=code)


def here(station):
    return station.received("a")


def once(idles):
    """The first IDLE goes that way, the later ones as they should."""
    def first(talk):
        talk.box.idles = None
        return idles(talk)
    return first


def uid_last(talk, message):
    talk.say(f"* {message.uid} FETCH (BODY[] {{{len(message.content)}}}\r\n")
    talk.say_body(message.content)
    talk.say(f" \t  UID {message.uid})\r\n")


def bye(talk):
    talk.say("+ idling\r\n* BYE IMAP server shutting down\r\n")
    raise OSError


# ---- everything is received, once, to the byte, and the account is well

FETCHED = {
    "imap": {
        "items behind the literal": {"edits": [(rb"^\)\r\n$", rb" FLAGS (\\Seen) RFC822.SIZE 7)\r\n")]},
        "items behind the parenthesis": {"edits": [(rb"^\)\r\n$", rb")\r\n FLAGS (\\Seen) RFC822.SIZE 7)\r\n")]},
        "UID behind the literal": {"odd": dict.fromkeys((1, 2, 3), uid_last)},
        "blank before the parenthesis": {"edits": [(rb"^\)\r\n$", rb" )\r\n"), (rb"(RFC822.SIZE \d+)\)", rb"\1 )")]},
        "an empty line behind the literal": {"edits": [(rb"^\)\r\n$", rb"\r\n)\r\n")]},
        "several literals": {"edits": [(rb"BODY\[\] \{", b"X-ENVELOPE {9}\r\na)\r\n* 1 \" X-NOTE \"q\" BODY[] {")]},
        "empty and short": {"contents": SHORT},
        "in small pieces": {"pieces": 7},
        "byte by byte": {"pieces": 1, "contents": LETTERS[:1]},
        "codes without text": {"edits": [(rb"\] x\r\n", rb"]\r\n"), (rb" OK done\r\n", rb" OK\r\n")]},
        "codes without an end": {"edits": [(rb"^(\* \d+ EXISTS)", rb"* OK [PERMANENTFLAGS (\\Seen \\*) Flags permitted.\r\n\1")]},
        "flags in quotes": {"edits": [(rb"^(\* \d+ EXISTS)", rb'* FLAGS ("\\\\Deleted" \\Answered \\Seen)\r\n\1'),
                                      (rb"FLAGS \(\)", rb'FLAGS ("\\\\Seen" $label1)')]},
        "flags with brackets and blanks": {"edits": [
            (rb"^(\* \d+ EXISTS)", rb"* FLAGS (OIB-[Gmail]/All Mail)\r\n* OK [PERMANENTFLAGS (OIB-[Gmail]/All Mail \\*)] x\r\n\1"),
            (rb"FLAGS \(\)", rb"FLAGS (OIB-[Gmail]/All Mail)")]},
        "flags with control bytes": {"edits": [(rb"^(\* \d+ EXISTS)", b"* FLAGS (\\\\Seen $F \x80\x80\x85\x04 Junk)\r\n\\1"),
                                               (rb"FLAGS \(\)", b"FLAGS (\\\\Seen \x04Junk \x80)")]},
        "MODSEQ -1": {"edits": [(rb"FLAGS \(\)", rb"FLAGS () MODSEQ (-1)")]},
        "untagged BAD": {"edits": [(rb"^(\* \d+ EXISTS)", rb"* BAD malformed command\r\n\1"),
                                   (rb"^(\* CAPABILITY)", rb"* BAD malformed command\r\n\1")]},
        "untagged NO": {"edits": [(rb"^(\* \d+ EXISTS)", rb"* NO Mailbox name is not valid mUTF-7\r\n\1")]},
        "UIDVALIDITY of milliseconds": {"uidvalidity": 1666390893348},
        "UIDVALIDITY 0": {"uidvalidity": 0},
        "no UIDNEXT": {"edits": [(rb"\* OK \[UIDNEXT \d+\] x\r\n", b"")]},
        "UIDNEXT 0": {"edits": [(rb"\[UIDNEXT \d+\]", b"[UIDNEXT 0]")]},
        "UIDs that do not ascend": {"reorder": [5, 9, 2]},
        "ID refused": {"failing": {"ID": "BAD malformed command"}},
        "blanks everywhere": {"edits": [(rb"^\* (\d+) FETCH \(", rb"*  \1  FETCH  ( "), (rb" UID ", b"  UID  "),
                                       (rb"^\* (\d+) EXISTS", rb"*  \1  EXISTS ")]},
        "no blank before the parenthesis": {"edits": [(rb"FETCH \(", b"FETCH(")]},
        "UIDs in quotes": {"edits": [(rb"\(UID (\d+) ", rb'(UID "\1" ')]},
        "list of nothing": {"edits": [(rb"^\* \d+ FETCH \(UID \d+ FLAGS.*\r\n", b"* STATUS x ()\r\n")]},
        "literal of 8 bits": {"edits": [(rb"BODY\[\] \{", b"BODY[] ~{")]},
        "literal with a plus": {"edits": [(rb"BODY\[\] \{(\d+)\}", rb"BODY[] {\1+}")]},
        "RFC822": {"edits": [(rb"BODY\[\] ", b"RFC822 ")]},
        "a part from 0": {"edits": [(rb"BODY\[\] ", b"BODY[]<0> ")]},
        "an empty line before the end": {"edits": [(rb"^(\w+ OK)", b"\r\n\\1")]},
        "news amid": {"edits": [(rb"^(\* \d+ FETCH \(UID \d+ BODY)", rb"* 1 FETCH (FLAGS (\\Seen))\r\n* 3 EXISTS\r\n* 0 RECENT\r\n\1")]},
        "line feeds alone": {"edits": [(rb"\r\n", b"\n")]},
        "labels with a literal": {"edits": [(rb"\(UID (\d+) FLAGS", b'(X-GM-LABELS ("\\\\Inbox" [x] a]b {3}\r\nabc) UID \\1 FLAGS')]},
        "capabilities twice": {"edits": [(rb"^\* CAPABILITY", rb"* CAPABILITY X\r\n* CAPABILITY")]},
        "greeting bare": {"edits": [(rb"^\* OK \[CAPABILITY [^\]]*\] hello", rb"* ok imap")]},
        "sizes of -1": {"edits": [(rb"RFC822.SIZE \d+", rb"RFC822.SIZE -1")]},
        "no sizes": {"edits": [(rb" RFC822.SIZE \d+", rb"")]},
        "UIDNEXT too small": {"edits": [(rb"\[UIDNEXT \d+\]", rb"[UIDNEXT 2]")]},
        "words of other charsets": {"edits": [(rb" done\r\n", b" f\xfcr Sie \xff\r\n")]},
        "words without end": {"edits": [(rb" done\r\n", b" " + b"x" * 200000 + b"\r\n")]},
        "lower case": {"edits": [(rb" FETCH \(UID (\d+) ", rb" fetch (uid \1 "), (rb" BODY\[\] ", rb" body[] "),
                                 (rb"\* (\d+) EXISTS", rb"* \1 exists"), (rb"\[UIDVALIDITY", b"[uidvalidity")]},
    },
    "pop3": {
        "empty and short": {"contents": SHORT},
        "in small pieces": {"pieces": 7},
        "line feeds only": {"contents": LF},
        "line feeds only, in pieces": {"contents": LF, "pieces": 3},
        "line feeds only, byte by byte": {"contents": LF, "pieces": 1},
        "dots": {"contents": DOTS, "pieces": 2},
        "words behind each answer": {"edits": [(rb"^\+OK\r\n", b"+OK 3 messages (1234 octets)\r\n")]},
        "no PIPELINING, UIDL or TOP named": {"words": "USER"},
        "CAPA refused": {"failing": {"CAPA": "-ERR Unknown command"}},
        "list without sizes": {"failing": {"LIST": "+OK\r\n."}},
        "STAT in words": {"failing": {"STAT": "+OK you have 3 messages"}},
        "ids in brackets": {"edits": [(rb"(?m)^(\d) (id-\d)", rb"\1 <\2>")]},
        "numbers with zeros": {"edits": [(rb"(?m)^(\d) (id-\d)", rb"00\1 \2")]},
        "numbers behind a blank": {"edits": [(rb"(?m)^(\d) (id-\d)", rb" \1 \2")]},
        "the same id twice": {"uidls": {1: "x", 2: "x", 3: "y"}},
        "ok in lower case": {"edits": [(rb"^\+OK", b"+ok")]},
        "SASL without a mechanism": {"words": "USER UIDL SASL"},
        "STAT one short": {"failing": {"STAT": "+OK 2 100"}},
    },
}


@pytest.mark.parametrize("transport, name", [(transport, name) for transport, rows in FETCHED.items() for name in rows])
def test_fetched(station, new_box, transport, name):
    row = dict(FETCHED[transport][name])
    order = row.pop("reorder", None)
    box = new_box(transport, **row)
    for message, uid in zip(box.messages, order or ()):
        message.uid = uid
    incoming(station, box)
    poll(station)
    poll(station)
    assert here(station) == sorted(message.content for message in box.messages)
    assert station.account("a")["status"] == "ok" and station.account("a")["missing"] == 0


@pytest.mark.parametrize("row, count", (({"failing": {"UIDL": "+OK\r\n."}}, 0), ({"failing": {"UIDL": "+OK\r\n1 id-1\r\n."}}, 1),
                                        ({"edits": [(rb"(?m)^(\d) (id-\d)", rb"\1: \2")]}, 0)))
def test_messages_without_ids_are_told(station, new_box, row, count):
    box = new_box("pop3", **row)
    incoming(station, box)
    poll(station)
    assert len(here(station)) == count
    assert f"no unique id (UIDL) for {3 - count} of its messages" in station.ctl("status").out


# ---- what is refused for a time comes when the time is over, and is told as what it is

REFUSED = {     # (options of the box, code of the poll, what is said of it)
    "imap": {
        "no number above the last": ({"failing": {"UID FETCH 4:*": "BAD Sequence set is invalid!"}}, None, ""),
        "login, without IDLE": ({"words": "IMAP4rev1 AUTH=PLAIN", "failing": {"AUTHENTICATE": "NO no", "LOGIN": "NO Invalid login"}},
                                1, "Invalid login"),
        "BAD to the login": ({"failing": {"AUTHENTICATE": "BAD Command Argument Error. 12", "LOGIN": "BAD no"}}, 1, "refused the sign-in"),
    },
    "pop3": {
        "UIDL": ({"failing": {"UIDL": "-ERR Command not understood"}}, 1, "Command not understood"),
        "UIDL, busy": ({"failing": {"UIDL": "-ERR [IN-USE] another session"}}, 1, "another session"),
        "UIDL, cut": ({"edits": [(rb"(?s)^(\+OK\r\n1 id-1\r\n2 i).*", rb"\1")], "cut_after": "UIDL"}, 1, ""),
        "PASS, an empty line": ({"edits": [(rb"^\+OK\r\n$", b"\r\n")]}, 1, ""),
    },
}


@pytest.mark.parametrize("transport, name", [(transport, name) for transport, rows in REFUSED.items() for name in rows])
def test_refused_for_a_time(station, new_box, transport, name):
    row, code, said = REFUSED[transport][name]
    box = new_box(transport, **row)
    incoming(station, box)
    assert said in poll(station, code=code).said
    if code:
        assert station.account("a")["status"] in ("down", "fault") and here(station) == []
    box.failing, box.edits, box.cut_after = {}, [], None
    poll(station)
    poll(station)
    assert here(station) == sorted(LETTERS) and station.account("a")["status"] == "ok"


def test_nothing_is_opened_before_the_client_is_named(station, new_box):
    """ID stands between the sign-in and SELECT."""
    box = new_box("imap", words="IMAP4rev1 ID SASL-IR AUTH=PLAIN", failing={"SELECT": "NO SELECT Unsafe Login. Please contact x for help"})
    box.on_id = lambda: box.failing.clear()
    incoming(station, box)
    poll(station)
    assert here(station) == sorted(LETTERS)


@pytest.mark.parametrize("command", ("SELECT", "UID FETCH", "AUTHENTICATE"))
def test_bye_in_place_of_an_answer(station, new_box, command):
    """A token that has expired, a session too many: passing, and the next session goes well."""
    box = new_box("imap", failing={command: "OK x"}, edits=[(rb"^\S+ OK x\r\n", b"* BYE Session invalidated - AccessTokenExpired\r\n")])
    incoming(station, box)
    said = poll(station, code=1).err
    assert "AccessTokenExpired" in said and station.account("a")["status"] == "down"
    box.failing, box.edits = {}, []
    poll(station)
    assert here(station) == sorted(LETTERS)


def test_what_cannot_be_read_has_not_gone(station, new_box):
    """Neither the messages nor the answer to which of them are still there can be read: told as missing, never passed over."""
    box = new_box("imap", edits=[(rb"UID (\d+)", rb"UID =\1=")])
    incoming(station, box)
    poll(station, code=None)
    poll(station, code=None)
    assert here(station) == [] and station.account("a")["missing"] == 3
    box.edits = []
    poll(station)
    assert here(station) == sorted(LETTERS) and station.account("a")["missing"] == 0


def test_a_bare_word_is_no_message(station, new_box):
    """A literal whose line ends wrongly: what is not the message is never kept in its place."""
    box = new_box("imap", edits=[(rb"(BODY\[\] \{\d+\})\r\n", rb"\1\r\r\n")])
    incoming(station, box)
    poll(station, code=None)
    assert here(station) == []
    box.edits = []
    poll(station)
    assert here(station) == sorted(LETTERS)


def test_an_empty_mailbox_that_refuses_every_number(station, new_box):
    box = new_box("imap", contents=(), failing={"UID FETCH": "BAD Sequence set is invalid!"})
    incoming(station, box)
    poll(station)
    assert station.account("a")["status"] == "ok"
    box.failing = {}
    box.add(LETTERS[0])
    poll(station)
    assert here(station) == [LETTERS[0]]


@pytest.mark.parametrize("transport, failing", (("imap", {"UID EXPUNGE": "NO not now"}), ("imap", {"UID STORE": "NO [NOPERM] no"}),
                                                ("pop3", {"DELE": "-ERR locked"}), ("pop3", {"DELE 2": "-ERR locked"}),
                                                ("pop3", {"QUIT": "-ERR [SYS/TEMP] not removed"})))
def test_what_cannot_be_deleted_is_not_received_again(station, new_box, transport, failing):
    box = new_box(transport, failing=failing)
    incoming(station, box, deliveryPolicy="delete")
    for _ in range(3):
        poll(station, code=None)
    assert here(station) == sorted(LETTERS) and len(box.messages) == (0 if "DELE 2" in failing else 3)
    assert "the server refused to" in station.log()
    box.failing = {}
    poll(station)
    until(lambda: box.messages == [])
    assert here(station) == sorted(LETTERS)


def test_dele_answered_by_an_empty_line(station, new_box):
    box = new_box("pop3", failing={"DELE 2": " "}, edits=[(rb"^ \r\n$", b"\r\n")])
    incoming(station, box, deliveryPolicy="delete")
    poll(station, code=None)
    poll(station, code=None)
    box.failing = {}
    poll(station)
    until(lambda: box.messages == [])
    assert here(station) == sorted(LETTERS)


def test_bye_while_idling_is_no_end(station, new_box):
    box = new_box("imap", contents=(), idles=once(bye))
    incoming(station, box, push=True)
    until(lambda: len(box.said("IDLE")) == 2)
    box.add(LETTERS[0])
    station.wait_event("mail.received")
    assert station.account("a")["status"] == "ok"


def early(talk):
    talk.update()
    talk.say("+ idling\r\n")
    assert talk.line() == "DONE"


def test_news_before_the_idling_begins(station, new_box):
    """EXISTS between IDLE and the go-ahead counts."""
    box = new_box("imap", contents=())

    def first(talk):
        box.add(LETTERS[0])
        early(talk)
    box.idles = once(first)
    incoming(station, box, push=True)
    station.wait_event("mail.received")


def test_an_smtp_server_at_the_port(station, sink):
    station.add("incoming", "a", **channels.properties("imap", "plain", sink.host, sink.port, "box", push=False))
    said = poll(station, code=1).err
    assert "SMTP" in said and "check" in said
    sink.violations.clear()     # what it heard of IMAP


# ---- what is shown of odd messages

def nested(depth):
    head = b"".join(b'Content-Type: multipart/mixed; boundary="n%d"\r\n\r\n--n%d\r\n' % (n, n) for n in range(depth))
    return head + b"Content-Type: text/plain\r\n\r\nat the bottom\r\n" + b"".join(b"\r\n--n%d--\r\n" % n for n in reversed(range(depth)))


PARTS = (b"--b1\r\nContent-Type: text/plain\r\n\r\nthe first part\r\n--b1\r\nContent-Type: application/pdf; name=a.pdf\r\n"
         b"Content-Transfer-Encoding: base64\r\n\r\nQUJD\r\n--b1--\r\n")
DELIVERY = (b"--b1\r\n\r\nfailure notice\r\n--b1\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n"
            b"Final-Recipient: rfc822; y@x\r\n--b1\r\nContent-Type: message/rfc822\r\n\r\nSubject: lost\r\n\r\nthe lost one\r\n--b1--\r\n")
SHOWN = {   # name: (message, what must be seen of it)
    "line of a blank in the header": (b"From: s@x.example\r\nContent-Type: multipart/mixed;\r\n boundary=b1\r\n \r\nSubject: t\r\n\r\n" + PARTS,
                                      ["the first part", "a.pdf"]),
    "two fields in one line": (b'Subject: t\r\nContent-Type: text/plain; charset = "iso-8859-1" Content-Transfer-Encoding: 8bit\r\n\r\n'
                               b"gr\xfcn ist es\r\n", ["grün ist es"]),
    "begins with a continuation": (b" <someone@domain.example>\r\nTo: other@domain.example\r\nSubject: no From\r\n\r\nbody text\r\n",
                                   ["no From", "body text"]),
    "a field without a colon": (b"Header1: 1\r\nHeader2\r\nSubject: behind it\r\n\r\nbody text\r\n", ["behind it", "body text"]),
    "bytes in the header": (b"X-Failed-Recipients: x@y.example\r\n\x93\xff\x00\x01\xfe\r\nSubject: bounce\r\n\r\nbody text\r\n", ["body text"]),
    "a title as first line": (b"Microsoft Mail Internet Headers Version 2.0\r\nSubject: titled\r\n\r\nbody text\r\n", ["titled", "body text"]),
    "mbox line": (b"From someone Mon Sep 17 00:00:00 2001\r\nSubject: of an mbox\r\n\r\nbody text\r\n", ["of an mbox", "body text"]),
    "subject of broken characters": ("Subject: =?utf-8?Q?Re:_=F0=9F=A7=A6CTCO_26=F0=9F=A7?= =?utf-8?Q?=A6What=E2=80?=\r\n\r\nbody text\r\n".encode(),
                                     ["CTCO 26", "What", "body text"]),
    "subject raw and encoded": ("Subject: Kévin =?UTF-8?B?S8Opdmlu?=\r\n\r\nbody text\r\n".encode(), ["Kévin Kévin"]),
    "charset 1252": (b"Subject: t\r\nContent-Type: text/plain; charset=1252\r\n\r\n\x93gr\xfcn\x94\r\n", ["gr"]),
    "charset gb2312, broken": (b"Subject: t\r\nContent-Type: text/plain; charset=gb2312\r\n\r\nbefore \x83\xff behind\r\n", ["before", "behind"]),
    "From of nobody": (b'From: <""@syma.example>\r\nTo: <>\r\nSubject: spam\r\n\r\nbody text\r\n', ["spam", "body text"]),
    "From without an address": (b"From: Scanner\r\nSubject: scan\r\n\r\nbody text\r\n", ["Scanner", "scan"]),
    "address word, encoded twice": ('From: "=?UTF-8?B?Kévin?=" <k@x.example>\r\nSubject: t\r\n\r\nbody text\r\n'.encode(), ["Kévin", "k@x.example"]),
    "backslash at the end": (b'From: "Jetzt\\" <a@x.example>\r\nSubject: subject with a \\\r\n\r\nbody text\r\n',
                             ["subject with a \\", "body text"]),
    "deep": (b"Subject: deep\r\nMIME-Version: 1.0\r\n" + nested(400), ["deep"]),
    "empty multipart": (b"Subject: empty\r\nContent-Type: multipart/alternative; boundary=b1\r\n\r\n--b1--\r\n", ["empty"]),
    "delivery status": (b"Subject: failure\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b1\r\n\r\n" + DELIVERY,
                        ["failure notice"]),
    "nothing": (b"\r\n", []),
}


def test_shown(station, new_box):
    box = new_box("imap", contents=[message for message, _ in SHOWN.values()])
    incoming(station, box)
    poll(station)
    listed = {message["file"]: message["id"] for message in station.json("inbox", "list", "a")}
    wrong = {}
    assert len(listed) == len(SHOWN)
    station.ctl("inbox", "list", "a")
    for path in station.inbox("a"):
        with open(path, "rb") as source:
            content = letters.whole(source.read())
        name = next(name for name, (message, _) in SHOWN.items() if message == content)
        shown = station.ctl("inbox", "show", "a", next(one for file, one in listed.items() if path.endswith(file)), code=None)
        missing = [word for word in SHOWN[name][1] if word not in shown.out]
        if shown.code or missing:
            wrong[name] = (shown.code, missing, shown.said[-600:])
    assert not wrong, "\n".join(map(str, wrong.items()))
