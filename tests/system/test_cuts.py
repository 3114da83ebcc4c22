# SPDX-License-Identifier: MIT
"""Cut at every byte (rules 2, 3, 6; S4, S7, S13): the server's side of a STARTTLS conversation ends after each byte of
its part in clear, and a conversation under TLS ends after each byte without close_notify. One station, an account for
each cut, all at once. The servers' logs prove that nothing of worth left before TLS stood and the verdict was good."""

import base64
import re
import selectors
import socket
import struct
import threading

import pytest

import channels
import fake
import letters
import pki
from waiting import until

LETTER = b"Subject: cut\r\nMessage-ID: <cut@example.test>\r\n\r\ncanary-text\r\n"
# Verb -> answer; {tag} of IMAP is put in. What is not there is answered by "".
ANSWERS = {
    "smtp": {"greeting": "220 cut.example ESMTP\r\n", "EHLO": "250-cut.example\r\n{tls}250 AUTH PLAIN\r\n",
             "STARTTLS": "220 go\r\n", "AUTH": "235 yes\r\n", "MAIL": "250 ok\r\n", "RCPT": "250 ok\r\n",
             "DATA": "354 go on\r\n", ".": "250 2.0.0 taken\r\n", "QUIT": "221 bye\r\n", "": "250 ok\r\n"},
    "imap": {"greeting": "* OK [CAPABILITY IMAP4rev1 {tls}] cut\r\n", "STARTTLS": "{tag} OK go\r\n",
             "CAPABILITY": "* CAPABILITY IMAP4rev1 {tls}\r\n{tag} OK\r\n", "LOGIN": "{tag} OK in\r\n",
             "SELECT": "* FLAGS (\\Seen)\r\n* 0 EXISTS\r\n* OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT 1] n\r\n"
                       "{tag} OK [READ-WRITE] open\r\n", "UID": "* SEARCH\r\n{tag} OK\r\n",
             "LOGOUT": "* BYE\r\n{tag} OK\r\n", "": "{tag} OK\r\n"},
    "pop3": {"greeting": "+OK cut\r\n", "CAPA": "+OK\r\nUSER\r\nUIDL\r\n{tls}.\r\n", "STLS": "+OK go\r\n",
             "UIDL": "+OK\r\n1 one\r\n.\r\n", "LIST": "+OK\r\n1 %d\r\n.\r\n" % len(LETTER),
             "STAT": "+OK 1 %d\r\n" % len(LETTER), "RETR": "+OK\r\n" + LETTER.decode() + ".\r\n", "": "+OK\r\n"},
}
TLS_WORD = {"smtp": "250-STARTTLS\r\n", "imap": "STARTTLS", "pop3": "STLS\r\n"}
GO = {"smtp": "STARTTLS", "imap": "STARTTLS", "pop3": "STLS"}
# What ends the short conversation: after this answer all is done.
LAST = {"smtp": ".", "imap": "LOGOUT", "pop3": "QUIT"}
# All that may be said before TLS.
BEFORE_TLS = {"smtp": rb"(EHLO [^\r\n]+\r\n(STARTTLS\r\n)?)?",
              "imap": rb"(\S+ CAPABILITY\r\n)?(\S+ STARTTLS\r\n)?", "pop3": rb"(CAPA\r\n(STLS\r\n)?)?"}


class End(Exception):
    pass


class Place:
    """One port of one cut: what was said there, and how much of ours went out."""

    def __init__(self, clear, under_tls, reset):
        self.left = {False: clear, True: under_tls}     # bytes still to be sent; None: no cut
        self.sent = {False: 0, True: 0}
        self.reset = reset
        self.clear, self.encrypted, self.sessions = bytearray(), bytearray(), 0
        self.marks = {}                                 # (under TLS, verb): bytes sent when its answer was complete
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]


class Servers:
    """All ports of one transport, each connection a thread of its own."""

    def __init__(self, transport, security, context):
        self.transport, self.security, self.context = transport, security, context
        self.places, self.lock = [], threading.Condition()
        self.selector = selectors.DefaultSelector()
        self.waker, wake = socket.socketpair()
        self.selector.register(wake, selectors.EVENT_READ)

    def place(self, clear=None, under_tls=None, reset=False):
        one = Place(clear, under_tls, reset)
        self.selector.register(one.listener, selectors.EVENT_READ, one)
        self.places.append(one)
        return one

    def start(self):
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self.waker.close()
        for one in self.places:
            one.listener.close()

    def _accept(self):
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    return
                try:
                    raw = key.data.listener.accept()[0]
                except OSError:
                    return
                threading.Thread(target=self._serve, args=(key.data, raw), daemon=True).start()

    def _serve(self, place, raw):
        talk = Talk(self, place, raw)
        try:
            raw.settimeout(30)
            talk.run()
        except (End, OSError):
            pass
        talk.end()
        with self.lock:
            place.sessions += 1
            self.lock.notify_all()

    def wait_all(self, timeout):
        with self.lock:
            assert self.lock.wait_for(lambda: all(one.sessions for one in self.places), timeout), \
                [one.port for one in self.places if not one.sessions]


class Talk:
    def __init__(self, servers, place, raw):
        self.servers, self.place, self.raw, self.peer = servers, place, raw, raw
        self.answers = ANSWERS[servers.transport]
        self.tls, self.pending, self.tag = False, b"", ""

    def run(self):
        if self.servers.security == "ssl":
            self.begin_tls()
        self.say("greeting")
        while True:
            verb = self.verb(self.line())
            self.say(verb)
            if verb == GO[self.servers.transport]:
                self.begin_tls()
            elif verb == "DATA":
                while self.line() != b".":
                    pass
                verb = "."
                self.say(verb)
            if verb == LAST[self.servers.transport]:
                raise End

    def begin_tls(self):
        self.peer = self.servers.context.wrap_socket(self.raw, server_side=True)
        self.raw, self.tls, self.pending = self.peer, True, b""

    def verb(self, line):
        if self.servers.transport == "imap":
            tag, line = (line.split(b" ", 1) + [b""])[:2]
            self.tag = tag.decode()
        return line.split(b" ")[0].upper().decode("latin-1")

    def say(self, verb):
        word = "" if self.tls else TLS_WORD[self.servers.transport]
        text = self.answers.get(verb, self.answers[""]).replace("{tls}", word).replace("{tag}", self.tag).encode()
        left = self.place.left[self.tls]
        part = text if left is None else text[:left]
        self.peer.sendall(part)
        self.place.sent[self.tls] += len(part)
        if left is not None:
            self.place.left[self.tls] -= len(part)
            if self.place.left[self.tls] == 0:
                raise End
        self.place.marks.setdefault((self.tls, verb), self.place.sent[self.tls])

    def line(self):
        while b"\n" not in self.pending:
            got = self.peer.recv(65536)
            if not got:
                raise End
            (self.place.encrypted if self.tls else self.place.clear).extend(got)
            self.pending += got
        line, self.pending = self.pending.split(b"\n", 1)
        return line.rstrip(b"\r")

    def end(self):
        """Under TLS without close_notify. In clear it is heard what the client says after our end."""
        plain = socket.socket(fileno=self.raw.detach())
        try:
            if self.place.reset:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif not self.tls:
                plain.shutdown(socket.SHUT_WR)
                plain.settimeout(2)
                while got := plain.recv(65536):
                    self.place.clear.extend(got)
        except OSError:
            pass
        finally:
            plain.close()


@pytest.fixture
def run(new_station, certificates, folder):
    """Lets an account meet each place, and waits for the end of those sessions."""
    started = []

    def add(client, servers, name, place):
        transport = servers.transport
        properties = channels.properties(transport, servers.security, "127.0.0.1", place.port, "canary-user", enabled=False,
                                         connectionTimeout=20, authentication="plain" if transport == "smtp" else "login")
        if transport == "imap":
            properties["push"] = False
        client.call("AddAccount", name=name, kind=channels.kind_of(transport), properties=properties)
        client.call("SetPassword", name=name, password=letters.PASSWORD)
        client.call("SetAccount", name=name, properties={"enabled": True})
        if transport == "smtp":
            client.call("Submit", account=name, recipients=["canary-box@example.test"],
                        message=base64.b64encode(LETTER).decode())

    def go(servers):
        started.append(servers)
        servers.start()
        station = new_station({"Limits.MaxSessionsPerHost": 1000, "Service.LogLevel": "notice"}).start()
        with station.client() as client:
            for number, place in enumerate(servers.places):
                add(client, servers, f"a{number}", place)
        servers.wait_all(60)
        return station

    yield go
    for servers in started:
        servers.stop()


def sheets_of(station, servers, *statuses):
    """Each place with the sheet of its account, once that has one of these statuses."""
    for number, place in enumerate(servers.places):
        yield place, station.wait_status(f"a{number}", *statuses)


@pytest.fixture
def new_servers(certificates, folder):
    context = pki.server_context(certificates.leaf("system", "127.0.0.1"), folder)

    def make(transport, security):
        return Servers(transport, security, context)
    return make


def uncut(run, new_servers, transport, security):
    """How much the server said in a conversation that nobody cut: {(under TLS, verb): bytes up to that answer's end}."""
    servers = new_servers(transport, security)
    place = servers.place()
    run(servers)
    assert (True, LAST[transport]) in place.marks, place.marks
    return place.marks


# ---- the part in clear

def cut_in_clear(run, new_servers, transport, reset=False):
    marks = uncut(run, new_servers, transport, "starttls")
    go_ahead = marks[False, GO[transport]]
    servers = new_servers(transport, "starttls")
    for cut in range(1, go_ahead):
        servers.place(clear=cut, reset=reset)
    station = run(servers)
    for place, sheet in sheets_of(station, servers, "down", "fault"):
        assert fake.leaks(bytes(place.clear)) == [], place.clear
        assert re.fullmatch(BEFORE_TLS[transport], bytes(place.clear)), place.clear
        assert place.encrypted == b"" and place.sent[True] == 0
        seen = (sheet["status"], sheet["cause"]["code"])
        assert seen in (("down", "ConnectionLost"), ("fault", "StartTlsRefused")) or (reset and seen == ("down", "Connect")), \
            (place.sent, sheet)


@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_starttls_cut_at_every_byte(run, new_servers, transport):
    cut_in_clear(run, new_servers, transport)


@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_starttls_reset_at_every_byte(run, new_servers, transport):
    cut_in_clear(run, new_servers, transport, reset=True)


# ---- the part under TLS

def cut_under_tls(run, new_servers, transport, security):
    marks = uncut(run, new_servers, transport, security)
    total = marks[True, LAST[transport]]
    if transport != "smtp":         # what answers the good-bye changes nothing any more
        total = max(place for (tls, _), place in marks.items() if tls and place < total)
    servers = new_servers(transport, security)
    for cut in range(1, total):
        servers.place(under_tls=cut)
    station = run(servers)
    if transport == "smtp":
        until(lambda: {message["state"] for message in station.json("queue", "list")} <= {"deferred", "ambiguous"}, 30)
    for place, sheet in sheets_of(station, servers, "down", "fault", *(["ok"] if transport == "smtp" else [])):
        assert fake.leaks(bytes(place.clear)) == []
        if transport == "smtp":     # a session that stood was well; its message has not been sent all the same
            assert sheet["numberSent"] == 0 and sheet["queueSize"] == 1, (place.sent, sheet)
        if sheet["status"] != "ok":
            assert (sheet["status"], sheet["cause"]["code"]) == ("down", "ConnectionLost"), (place.sent, sheet)
        for path in station.inbox(sheet["name"]):
            with open(path, "rb") as source:
                assert letters.whole(source.read()).endswith(LETTER)


@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_tls_cut_at_every_byte(run, new_servers, transport):
    cut_under_tls(run, new_servers, transport, "ssl")


@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_tls_after_starttls_cut_at_every_byte(run, new_servers, transport):
    cut_under_tls(run, new_servers, transport, "starttls")
