# SPDX-License-Identifier: MIT
"""A hostile or broken mail server. It speaks just enough SMTP, IMAP or POP3 to be believed, misbehaves in one way
(a row of MODES), and keeps every byte it was sent: leaks() says whether a credential, an address or a message was
among them before TLS stood."""

import base64
import re
import select
import socket
import socketserver
import struct
import threading

import letters
import pki
import waiting

GREETING = {"smtp": "220 fake.example ESMTP\r\n", "imap": "* OK [CAPABILITY IMAP4rev1 {caps}] fake\r\n",
            "pop3": "+OK fake\r\n"}
CAPABILITIES = {"smtp": "250-fake.example\r\n{tls}250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n",
                "imap": "* CAPABILITY IMAP4rev1 {caps}\r\n{tag} OK done\r\n",
                "pop3": "+OK\r\nUSER\r\nUIDL\r\nSASL PLAIN LOGIN\r\n{tls}.\r\n"}
TLS_WORD = {"smtp": "250-STARTTLS\r\n", "pop3": "STLS\r\n", "imap": ""}
ASKS = {"smtp": (b"EHLO", b"HELO"), "imap": (b"CAPABILITY",), "pop3": (b"CAPA",)}
GO_AHEAD = {"smtp": "220 go\r\n", "imap": "{tag} OK go\r\n", "pop3": "+OK go\r\n"}
REFUSAL = {"smtp": "454 4.7.0 not now\r\n", "imap": "{tag} NO not now\r\n", "pop3": "-ERR not now\r\n"}
UNKNOWN = {"smtp": "500 what\r\n", "imap": "{tag} BAD what\r\n", "pop3": "-ERR what\r\n"}
INJECTED = {"smtp": "250 injected\r\n", "imap": "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", "pop3": "+OK injected\r\n"}
BUSY = {"smtp": "421 4.3.2 busy\r\n", "imap": "* BYE busy\r\n", "pop3": "-ERR [SYS/TEMP] busy\r\n"}
PREMATURE = {"smtp": "220 hi\r\n250-fake\r\n250 STARTTLS\r\n220 go\r\n",
             "imap": "* OK hi\r\nA1 OK go\r\na1 OK go\r\nA0001 OK go\r\n", "pop3": "+OK hi\r\n+OK\r\nSTLS\r\n.\r\n+OK go\r\n"}

MODES = (
    "good",            # TLS stands; then it closes orderly after the next capability answer
    "stripped",        # STARTTLS is not offered, and refused when asked all the same
    "refused",         # offered, refused
    "injected",        # bytes after the go-ahead in the same segment
    "injected-later",  # in a segment of their own, before TLS
    "preauth",         # IMAP: says that login is not needed
    "premature",       # answers before it was asked
    "go-ahead-garbage",  # plain text instead of a handshake after the go-ahead
    "busy",            # 421, BYE
    "hang",            # greets, then nothing
    "silent",          # not even a greeting
    "garbage",         # no protocol at all
    "endless-line",    # a greeting without end
    "endless-lines",   # a capability answer without end
    "truncated",       # under TLS: half an answer, then the end of TCP without close_notify
    "close-greeting", "close-connect", "close-ask", "close-starttls", "close-go-ahead",
    "reset-greeting", "reset-starttls",
)


class _End(Exception):
    pass


class Fake:
    def __init__(self, transport, mode, folder, certificate=None, implicit_tls=False, host="127.0.0.1",
                 behind=None, port=0):
        """behind: gives the address of a TLS server that takes the connection over where TLS begins."""
        assert mode in MODES
        self.transport, self.mode, self.implicit_tls = transport, mode, implicit_tls
        self.behind = behind
        self.tls = pki.server_context(certificate, folder) if certificate else behind
        self.clear, self.encrypted = bytearray(), bytearray()   # what clients said, before and under TLS
        self.sessions = 0                                       # that have come to their end
        self._stop = threading.Event()
        self._changed = threading.Condition()
        fake = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                _Talk(fake, self.request).run()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            block_on_close = False

        self._server = Server((host, port), Handler)
        self.host, self.port = self._server.server_address
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    def ended(self):
        with self._changed:
            self.sessions += 1
            self._changed.notify_all()

    def wait_session(self, timeout=10):
        """Waits for the end of a session, seen from here."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.sessions, timeout * waiting.GENEROUS), "no session came to its end"

    def leaks(self):
        """What should not have been sent: names of secrets found in clear text, whole or in base64."""
        return leaks(bytes(self.clear))


SECRETS = {"password": letters.PASSWORD.encode(), "user name": b"canary-user", "address": b"canary-box",
           "message": b"canary-text"}


def leaks(said):
    texts = [said]
    for word in re.findall(rb"[A-Za-z0-9+/]{4,}={0,2}", said):
        for cut in range(4):
            part = word[cut:]
            try:
                texts.append(base64.b64decode(part + b"=" * (-len(part) % 4)))
            except ValueError:
                pass
    return sorted(name for name, secret in SECRETS.items() if any(secret in text for text in texts))


class _Talk:
    def __init__(self, fake, peer):
        self.fake, self.raw, self.peer = fake, peer, peer
        self.transport, self.mode = fake.transport, fake.mode
        self.heard = fake.clear
        self.pending = b""
        self.tag = ""

    def run(self):
        try:
            self.raw.settimeout(60)
            self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.fake.implicit_tls:
                self._start_tls()
            self._greet()
            while True:
                self._answer(self._line())
        except (_End, OSError):
            pass
        finally:
            self._listen_on()
            try:
                self.peer.close()
            except OSError:
                pass
            self.fake.ended()

    def _listen_on(self):
        """What else the client has to say after our end of a clear conversation: it counts too."""
        if self.peer is not self.raw:
            return
        try:
            self.raw.shutdown(socket.SHUT_WR)
            self.raw.settimeout(0.5)
            while True:
                self._read()
        except (_End, OSError):
            pass

    def _say(self, table_or_text):
        text = table_or_text[self.transport] if isinstance(table_or_text, dict) else table_or_text
        offered = self.peer is self.raw and self.mode != "stripped" and self.fake.tls
        caps = ("STARTTLS LOGINDISABLED" if offered else "AUTH=PLAIN AUTH=LOGIN")
        self.peer.sendall(text.format(caps=caps, tag=self.tag, tls=TLS_WORD[self.transport] if offered else "")
                          .encode())

    def _read(self):
        got = self.peer.recv(65536)
        if not got:
            raise _End
        self.heard += got
        return got

    def _line(self):
        while b"\n" not in self.pending:
            self.pending += self._read()
        line, self.pending = self.pending.split(b"\n", 1)
        line = line.rstrip(b"\r")
        if self.transport == "imap" and b" " in line:
            tag, line = line.split(b" ", 1)
            self.tag = tag.decode("ascii", "replace")
        return line

    def _reset(self):
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.raw.close()
        raise _End

    def _hang(self):
        """Listens without a word."""
        while not self.fake._stop.is_set():
            self._read()

    def _hand_over(self):
        """The TLS server behind talks from here on, until either end is through."""
        with socket.create_connection(self.fake.behind()) as other:
            sides = {self.raw: other, other: self.raw}
            while not self.fake._stop.is_set():
                for side in select.select(list(sides), [], [], 0.2)[0]:
                    got = side.recv(65536)
                    if not got:
                        raise _End
                    sides[side].sendall(got)
        raise _End

    def _start_tls(self):
        if self.fake.behind:
            self._hand_over()
        self.peer = self.fake.tls.wrap_socket(self.raw, server_side=True)
        self.heard, self.pending = self.fake.encrypted, b""

    def _greet(self):
        mode = self.mode
        if mode == "close-connect":
            raise _End
        if mode == "silent":
            self._hang()
        if mode == "garbage":
            self._say("SSH-2.0-OpenSSH_9.2\r\n")
            self._hang()
        if mode == "endless-line":
            for _ in range(4096):
                self.peer.sendall(b"x" * 65536)
            raise _End
        if mode == "busy":
            self._say(BUSY)
            raise _End
        if mode == "preauth":
            self.peer.sendall(b"* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] welcome home\r\n")
            return
        self._say(PREMATURE if mode == "premature" else GREETING)
        if mode == "close-greeting":
            raise _End
        if mode == "reset-greeting":
            self._reset()
        if mode == "hang":
            self._hang()

    def _answer(self, line):
        verb = line.split(b" ")[0].upper()
        if verb in ASKS[self.transport]:
            self._on_ask()
        elif verb in (b"STARTTLS", b"STLS"):
            self._on_starttls()
        else:
            self._say(UNKNOWN)

    def _on_ask(self):
        if self.mode == "close-ask":
            raise _End
        if self.mode == "endless-lines":
            more = {"smtp": b"250-X\r\n", "imap": b"* CAPABILITY IMAP4rev1\r\n", "pop3": b"X\r\n"}[self.transport]
            self.peer.sendall(b"+OK\r\n" if self.transport == "pop3" else b"")
            for _ in range(20000):
                self.peer.sendall(more * 100)
            raise _End
        under_tls = self.peer is not self.raw
        if under_tls and self.mode == "truncated":
            self.peer.sendall({"smtp": b"250-fa", "imap": b"* CAPABI", "pop3": b"+OK\r\nUS"}[self.transport])
            self.raw = socket.socket(fileno=self.peer.detach())     # closes TCP, not TLS
            self.raw.close()
            raise _End
        self._say(CAPABILITIES)

    def _on_starttls(self):
        mode = self.mode
        if mode in ("refused", "stripped"):
            self._say(REFUSAL)
            return
        if mode == "close-starttls":
            raise _End
        if mode == "reset-starttls":
            self._reset()
        if mode == "injected":
            self._say(GO_AHEAD[self.transport] + INJECTED[self.transport])
        elif mode == "injected-later":
            self._say(GO_AHEAD)
            self._say(INJECTED)
        elif mode == "go-ahead-garbage":
            self._say(GO_AHEAD)
            self._read()
            self.peer.sendall(b"sorry, no TLS today, really not\r\n")
        else:
            self._say(GO_AHEAD)
        if mode == "close-go-ahead":
            raise _End
        self._start_tls()
