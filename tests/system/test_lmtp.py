# SPDX-License-Identifier: MIT
"""deliverTo=lmtp:PATH: received mail to a local socket, once as far as LMTP allows, and never lost."""

import contextlib
import os
import random
import socket
import threading
from collections import Counter

import pytest

import channels
import letters
import station as station_module
import users
from waiting import until

BOTH = ("imap", "pop3")
DROP = object()


class Lmtp:
    """A server at a Unix socket. `rule(what, number)` gives a reply in place of the usual one, or DROP; `what` is
    greeting, LHLO, MAIL, RCPT, DATA, end (of a message) or taken (it is, and the reply to it comes next)."""

    def __init__(self, path):
        self.path, self.rule = path, lambda what, number: None
        self.taken, self.recipients, self.asked, self.senders = [], [], Counter(), []
        self.server = None
        self.changed = threading.Condition()

    def __enter__(self):
        return self.open()

    def __exit__(self, *_):
        self.close()

    def open(self):
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(self.path)
        os.chmod(self.path, 0o666)
        self.server.listen(8)
        threading.Thread(target=self._accept, args=(self.server,), daemon=True).start()
        return self

    def close(self):
        if self.server:
            self.server.shutdown(socket.SHUT_RDWR)
            self.server.close()
            os.unlink(self.path)
            self.server = None

    def _accept(self, server):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = server.accept()
                threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _reply(self, peer, what, usual):
        with self.changed:
            self.asked[what] += 1
            reply = self.rule(what, self.asked[what])
        if reply is DROP:
            raise ConnectionError
        reply = usual if reply is None else reply
        peer.sendall(reply if isinstance(reply, bytes) else (reply + "\r\n").encode())
        return str(reply[:1]) in ("2", "3")

    def _talk(self, peer):
        with peer, contextlib.suppress(OSError), peer.makefile("rb") as lines:
            self._reply(peer, "greeting", "220 here")
            accepted = False
            for line in lines:
                word = line.split(b" ")[0].strip().upper().decode()
                if word == "QUIT":
                    peer.sendall(b"221 bye\r\n")
                    return
                if word == "LHLO":
                    self._reply(peer, word, "250-here\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 8BITMIME")
                elif word == "DATA" and not accepted:
                    peer.sendall(b"503 5.5.1 no valid recipients\r\n")
                elif word == "DATA":
                    if self._reply(peer, word, "354 go on"):
                        self._take(peer, lines)
                else:
                    {"RCPT": self.recipients, "MAIL": self.senders}.get(word, []).append(line.strip())
                    accepted = self._reply(peer, word, "250 yes") and word == "RCPT"

    def _take(self, peer, lines):
        parts = []
        for line in lines:
            if line == b".\r\n":
                break
            parts.append(line[1:] if line.startswith(b".") else line)
        else:
            return
        message = b"".join(parts)
        with self.changed:
            self.asked["end"] += 1
            reply = self.rule("end", self.asked["end"])
            if reply is None or reply is DROP:
                self.taken.append(message)
                self.changed.notify_all()
        if reply is DROP:
            raise ConnectionError
        if reply:
            peer.sendall((reply + "\r\n").encode())
        else:
            self._reply(peer, "taken", "250 taken")


@pytest.fixture
def lmtp(station):
    with Lmtp(os.path.join(station.folder, "lmtp")) as server:
        yield server


def incoming(station, dovecot, transport, box, path, **more):
    station.add("incoming", "a", **channels.properties(
        transport, "ssl", dovecot.host(), dovecot.port(transport, "ssl"), box, deliverTo=f"lmtp:{path}",
        deliverToAddress="panel@example.test", **more))


def fill(dovecot, box, count, **more):
    ids = [letters.new_message_id() for _ in range(count)]
    dovecot.deliver(box, *(letters.letter(box, message_id=one, **more) for one in ids))
    return sorted(ids)


def ids_of(messages):
    return sorted(line.split(b": ", 1)[1].decode() for message in messages for line in message.split(b"\r\n")
                  if line.startswith(b"Message-ID: "))


def poll(station, code=0):
    return station.ctl("account", "poll", "a", code=code, timeout=60)


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("policy", ("markAsRead", "delete"))
def test_into_real_dovecot(station, dovecot, box, transport, policy):
    """From one mailbox into another, byte for byte behind the fields that the LMTP server adds."""
    bodies = ("", "one line\n", ".\n..\n.leading\n", "ünïcode\n", "no end of line", "many\n" * 200000)
    for body in bodies:
        dovecot.deliver(box, letters.letter(box, body=body))
    there = [content for _, content in dovecot.messages(box)]
    other = f"{box}x"
    station.add("incoming", "a", **channels.properties(
        transport, "ssl", dovecot.host(), dovecot.port(transport, "ssl"), box, deliveryPolicy=policy,
        deliverTo=f"lmtp:{dovecot.lmtp_socket}", deliverToAddress=letters.address(other)))
    poll(station)
    here = [content for _, content in dovecot.messages(other)]
    assert len(here) == len(bodies)
    for content in there:
        assert sum(one.endswith(content) for one in here) == 1
    assert station.inbox("a") == [] and station.account("a")["numberReceived"] == len(bodies)
    poll(station)
    station.restart()
    poll(station)
    assert len(dovecot.messages(other)) == len(bodies)
    assert os.listdir(os.path.join(station.state, "mail", "a", "tmp")) == []
    if policy == "delete":
        until(lambda: dovecot.messages(box) == [])


@pytest.mark.parametrize("transport", BOTH)
def test_handed_on_once_with_its_event(station, dovecot, box, lmtp, transport):
    expected = fill(dovecot, box, 20)
    incoming(station, dovecot, transport, box, lmtp.path)
    poll(station)
    assert ids_of(lmtp.taken) == expected
    assert set(lmtp.recipients) == {b"RCPT TO:<panel@example.test>"} and set(lmtp.senders) <= {
        b"MAIL FROM:<>", b"MAIL FROM:<> BODY=8BITMIME"}
    data = station.wait_event("mail.received", account="a")["data"]
    assert data["file"] is None and data["path"] is None and data["id"] and data["messageId"] in expected
    assert lmtp.asked["greeting"] == 1      # one session for all


def test_a_named_subscriber_hears_of_it(station, dovecot, box, lmtp):
    incoming(station, dovecot, "imap", box, lmtp.path)
    with station.client() as client:
        stream = client.stream("Monitor", subscriber="panel")
        assert next(stream)["event"] is None
        expected = fill(dovecot, box, 3)
        poll(station)
        assert sorted(next(stream)["event"]["data"]["messageId"] for _ in expected) == expected


@pytest.mark.parametrize("transport", BOTH)
def test_a_note_of_what_was_too_large_is_handed_on(station, dovecot, box, lmtp, transport):
    """It goes where the message would have gone, once; the event is mail.left, not mail.received."""
    fill(dovecot, box, 1, body="0123456789\n" * 2000, subject="the large one")
    incoming(station, dovecot, transport, box, lmtp.path, maxMessageSize=10000)
    poll(station)
    event = station.wait_event("mail.left")
    assert "file" not in event["data"] or event["data"]["file"] is None
    poll(station)
    station.kill()
    station.start()
    poll(station)
    note, = lmtp.taken
    assert b"X-EmailSec-Left: " in note and b"the large one" in note and not station.inbox("a")
    assert station.account("a")["numberReceived"] == 0 and len(dovecot.messages(box)) == 1
    station.ctl("account", "set", "a", "maxMessageSize=1M")
    poll(station)
    assert len(lmtp.taken) == 2 and len(lmtp.taken[1]) > 20000


@pytest.mark.parametrize("what", ("greeting", "LHLO", "MAIL", "RCPT", "DATA", "end"))
def test_what_is_put_off_waits_at_the_server(station, dovecot, box, lmtp, what):
    """4yz at any place: the account is down, nothing is lost, and what was taken before is not given again."""
    expected = fill(dovecot, box, 5)
    lmtp.rule = lambda where, number: "452 not now" if where == what and number >= (1 if what in ("greeting", "LHLO") else 3) \
        else None
    incoming(station, dovecot, "imap", box, lmtp.path, deliveryPolicy="delete", push=False, pollRate=3600)
    failed = poll(station, code=1)
    assert "452 not now" in failed.err
    assert station.wait_status("a", "down")
    before = len(lmtp.taken)
    assert before == (0 if what in ("greeting", "LHLO") else 2)
    assert station.account("a")["numberReceived"] == before
    lmtp.rule = lambda where, number: None
    until(lambda: station.ctl("account", "poll", "a", code=None).code == 0)
    assert ids_of(lmtp.taken) == expected
    until(lambda: dovecot.messages(box) == [])
    assert station.account("a")["status"] == "ok"


@pytest.mark.parametrize("what", ("MAIL", "RCPT", "DATA", "end"))
def test_what_is_refused_is_in_the_inbox(station, dovecot, box, lmtp, what):
    expected = fill(dovecot, box, 4)
    lmtp.rule = lambda where, number: "550 5.7.1 not that one" if (where, number) == (what, 2) else None
    incoming(station, dovecot, "imap", box, lmtp.path)
    poll(station)
    assert len(lmtp.taken) == 3 and len(station.inbox("a")) == 1
    assert sorted(ids_of(lmtp.taken) + letters.message_ids(station.inbox("a"))) == expected
    assert "not that one" in station.wait_event("mail.handedBack", account="a")["data"]["reply"]
    listed, = station.call("ListInbox", name="a")["messages"]
    assert listed["path"] == station.inbox("a")[0]
    assert any("inbox list a" in warning for warning in station.call("GetAccount", name="a")["account"]["warnings"])
    poll(station)
    assert len(lmtp.taken) == 3 and len(station.inbox("a")) == 1


def test_no_socket(station, dovecot, box):
    expected = fill(dovecot, box, 3)
    path = os.path.join(station.folder, "lmtp")
    incoming(station, dovecot, "imap", box, path)
    failed = poll(station, code=1)
    assert path in failed.err and "write to the socket" in failed.err
    assert station.wait_status("a", "down") and station.inbox("a") == []
    with Lmtp(path) as server:
        until(lambda: len(server.taken) == 3, 30 * station_module.PATIENCE)      # by itself
        assert ids_of(server.taken) == expected
        station.wait_status("a", "ok")


@pytest.mark.skipif(not users.IS_ROOT, reason="needs root: a socket of another user")
def test_a_socket_that_may_not_be_written(station, dovecot, box, lmtp):
    os.chmod(lmtp.path, 0o600)
    fill(dovecot, box, 1)
    incoming(station, dovecot, "imap", box, lmtp.path)
    assert "Permission denied" in poll(station, code=1).err


@pytest.mark.parametrize("reply", (b"hello\r\n", b"250 " + b"x" * 100000 + b"\r\n", b"250-\r\n" * 2000, b"\0\0\r\n",
                                   b"354 go\r\n", b"* OK IMAP\r\n"), ids=("words", "long", "lines", "nul", "354", "imap"))
@pytest.mark.parametrize("what", ("greeting", "LHLO", "RCPT", "taken"))
def test_a_socket_that_speaks_nonsense(station, dovecot, box, lmtp, what, reply):
    """The account says so, the mail stays at the server, and the next session goes well."""
    expected = fill(dovecot, box, 1)
    lmtp.rule = lambda where, number: reply if (where, number) == (what, 1) else None
    incoming(station, dovecot, "imap", box, lmtp.path, connectionTimeout=1)
    until(lambda: "account a is down" in station.log())     # by the first session, which may begin by itself
    until(lambda: station.ctl("account", "poll", "a", code=None).code == 0)
    assert set(ids_of(lmtp.taken)) == set(expected) and station.inbox("a") == []


def test_cut_before_the_answer_it_comes_twice(station, dovecot, box, lmtp):
    """What LMTP cannot tell: the same message again, and only that one."""
    expected = fill(dovecot, box, 4)
    lmtp.rule = lambda where, number: DROP if (where, number) == ("end", 2) else None
    incoming(station, dovecot, "imap", box, lmtp.path)
    until(lambda: "account a is down" in station.log())
    until(lambda: station.ctl("account", "poll", "a", code=None).code == 0)
    assert sorted(set(ids_of(lmtp.taken))) == expected and len(lmtp.taken) == 5


@pytest.mark.parametrize("what", ("MAIL", "RCPT", "DATA"))
def test_a_session_that_was_closed_between_messages(station, dovecot, box, lmtp, what):
    """The next message goes by a new one, once; the account is never down."""
    expected = fill(dovecot, box, 5)
    lmtp.rule = lambda where, number: DROP if (where, number) == (what, 3) else None
    incoming(station, dovecot, "imap", box, lmtp.path)
    poll(station)
    assert ids_of(lmtp.taken) == expected and lmtp.asked["greeting"] == 2
    assert "is down" not in station.log()


def test_a_socket_with_no_room(station, dovecot, box):
    """So many connect at once that its program has not taken them all yet: that is waited for, up to a limit."""
    expected = fill(dovecot, box, 2)
    path = os.path.join(station.folder, "lmtp")
    with contextlib.ExitStack() as stack:
        server = Lmtp(path)
        server.server = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        server.server.bind(path)
        os.chmod(path, 0o666)
        server.server.listen(0)
        with pytest.raises(BlockingIOError):
            while True:
                one = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                one.setblocking(False)
                one.connect(path)
        incoming(station, dovecot, "imap", box, path, connectionTimeout=1)
        assert "takes no more connections" in poll(station, code=1).err
        station.ctl("account", "set", "a", "connectionTimeout=30")
        until(lambda: os.listdir(os.path.join(station.state, "mail", "a", "tmp")))
        told = station.log().count("is down")
        threading.Thread(target=server._accept, args=(server.server,), daemon=True).start()
        poll(station)
        assert ids_of(server.taken) == expected and station.log().count("is down") == told
        server.close()


def test_large_messages_in_little_memory(station, dovecot, box, lmtp):
    dovecot.deliver(box, *(letters.letter(box, body=f"{number} {'x' * 500}\n" * 80000) for number in range(2)))
    incoming(station, dovecot, "imap", box, lmtp.path)
    poll(station)
    assert sorted(map(len, lmtp.taken)) == sorted(len(content) for _, content in dovecot.messages(box))
    with open(f"/proc/{station.process.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert station_module.FLAVOUR != "plain" or peak < 80 * 1024, f"{peak} KiB"


@pytest.mark.parametrize("count, kills", (pytest.param(150, 4, id="short"),
                                          pytest.param(3000, 20, id="long", marks=pytest.mark.slow)))
@pytest.mark.parametrize("transport", BOTH)
def test_killed_while_handing_on(station, dovecot, box, lmtp, transport, count, kills):
    """Each kill may repeat the one message that was taken and not yet recorded; nothing is lost."""
    expected = fill(dovecot, box, count)
    chance = random.Random(transport)
    incoming(station, dovecot, transport, box, lmtp.path)
    for taken in sorted(chance.sample(range(1, count), kills)):
        until(lambda: len(lmtp.taken) >= taken, 60)
        station.kill()
        station.start()
    until(lambda: station.ctl("account", "poll", "a", code=None, timeout=60).code == 0 and
          len(set(ids_of(lmtp.taken))) == count, 120)
    assert sorted(set(ids_of(lmtp.taken))) == expected
    assert len(lmtp.taken) <= count + kills
    assert station.inbox("a") == []


def test_the_daemon_ends_while_the_socket_hangs(station, dovecot, box, lmtp):
    expected = fill(dovecot, box, 2)
    gate = threading.Event()
    lmtp.rule = lambda where, number: gate.wait(20) and None if (where, number) == ("MAIL", 1) else None
    incoming(station, dovecot, "imap", box, lmtp.path)
    until(lambda: lmtp.asked["MAIL"])
    station.ctl("account", "disable", "a")
    station.ctl("account", "enable", "a")
    station.stop(within=10)
    gate.set()
    station.start()
    poll(station)
    assert sorted(set(ids_of(lmtp.taken))) == expected


def test_properties(station):
    common = ("account", "add", "incoming", "a", "transport=imap", "hostname=localhost", "enabled=false")
    for bad in ("lmtp:relative", "lmtp:", "lmtp:/" + "x" * 108, "smtp:/run/x", "", "/run/x"):
        assert "deliverTo" in station.ctl(*common, f"deliverTo={bad}", "deliverToAddress=a@b.example", code=1).err
    assert "deliverToAddress" in station.ctl(*common, "deliverTo=lmtp:/run/x", code=1).err
    station.ctl(*common, "deliverTo=lmtp:/run/x", "deliverToAddress=a@b.example")
    station.ctl("account", "set", "a", "deliverTo=maildir")
