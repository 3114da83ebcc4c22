# SPDX-License-Identifier: MIT
"""A strict SMTP server that counts what it accepts by Message-ID. By rule it defers, rejects, hangs or cuts at any
step; whatever a client does against RFC 5321 is written down in `violations`. It can ask for TLS and a login and
hand accepted mail on, and so stands in for Postfix where that cannot run."""

import base64
import collections
import email
import hashlib
import hmac
import re
import secrets
import socket
import socketserver
import struct
import threading
import traceback

import letters
import pki
import waiting

MAIL = re.compile(rb"MAIL FROM:<([^<>\s]*)>((?: [!-~]+)*)", re.I)
RCPT = re.compile(rb"RCPT TO:<([^<>\s]+)>((?: [!-~]+)*)", re.I)

Accepted = collections.namedtuple("Accepted", "message_id sender recipients content")


class _Rule:
    def __init__(self, step, action, times, match):
        self.step, self.action, self.times, self.match = step, action, times, match


class _Cut(Exception):
    """The connection ends here."""


class Sink:
    """rule(step, action): step is greeting, ehlo, starttls, auth, mail, rcpt, data or dot; action is a reply
    ("451 4.3.0 later"), a function of the session and the line (False: as usual), "cut" (reset), "close", "hang" (until release()), or "cut-after" for dot: the message
    counts, its reply is lost."""

    def __init__(self, folder, certificate=None, implicit_tls=False, login=False, mechanisms="PLAIN LOGIN CRAM-MD5",
                 deliver=None, host="127.0.0.1", port=0,
                 extensions=("PIPELINING", "8BITMIME", "SIZE 60000000", "ENHANCEDSTATUSCODES")):
        self.tls = pki.server_context(certificate, folder) if certificate else None
        self.implicit_tls, self.login, self.mechanisms = implicit_tls, login, mechanisms
        self.deliver, self.extensions = deliver, extensions
        self.accepted, self.violations, self.connections = [], [], 0
        self.envelopes = []     # MAIL and RCPT lines as they came
        self.most_recipients = None     # in one transaction
        self.careless = False   # takes DATA by a rule ("354") without recipients too
        self.tokens = None      # the TokenServer that says which are good
        self.iterations, self.offered, self.proved = 4096, threading.Event(), threading.Event()     # of SCRAM
        self._rules = []
        self._changed = threading.Condition()
        self._released = threading.Event()
        self._open = set()
        sink = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                _Session(sink, self.request).run()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, request, client_address):
                sink.violate("the sink itself failed", detail=traceback.format_exc())

        self._server = Server((host, port), Handler)
        self.host, self.port = self._server.server_address
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self.cut_all()

    def cut_all(self):
        """Ends every connection at once, as a crashed server does."""
        with self._changed:
            sessions = list(self._open)
        for session in sessions:
            try:
                session.peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def rule(self, step, action, times=None, match=b""):
        """The next `times` commands of that step that hold `match` get `action`; None: always."""
        with self._changed:
            self._rules.append(_Rule(step, action, times, match))

    def clear_rules(self):
        with self._changed:
            self._rules.clear()

    def release(self):
        """What hangs goes on."""
        self._released.set()

    def action(self, step, line):
        with self._changed:
            for rule in self._rules:
                if rule.step == step and rule.match in line and rule.times != 0:
                    if rule.times:
                        rule.times -= 1
                    return rule.action
        return None

    def violate(self, what, detail=""):
        with self._changed:
            self.violations.append(f"{what} {detail!r}"[:2000])

    def accept(self, sender, recipients, content):
        message = email.message_from_bytes(content.split(b"\r\n\r\n", 1)[0] + b"\r\n\r\n")
        with self._changed:
            self.accepted.append(Accepted(message["Message-ID"], sender, recipients, content))
            self._changed.notify_all()

    def connected(self, session):
        with self._changed:
            self.connections += 1
            self._open.add(session)
            self._changed.notify_all()

    def envelope(self, line):
        with self._changed:
            self.envelopes.append(line.decode())
            self._changed.notify_all()

    def gone(self, session):
        with self._changed:
            self._open.discard(session)

    def wait(self, enough, timeout=15):
        """Waits until enough(self) is true."""
        with self._changed:
            assert self._changed.wait_for(lambda: enough(self), timeout * waiting.GENEROUS), \
                f"the sink has {len(self.accepted)} messages and saw {self.connections} connections"

    def wait_for(self, count, timeout=30):
        self.wait(lambda sink: len(sink.accepted) >= count, timeout)

    def counts(self):
        """{Message-ID: times accepted}"""
        with self._changed:
            return collections.Counter(one.message_id for one in self.accepted)


class _Session:
    def __init__(self, sink, peer):
        self.sink, self.peer, self.encrypted = sink, peer, False
        self.user = self.sender = None
        self.recipients, self.eight_bit = [], False
        self.greeted = False
        self.reader = None

    def run(self):
        self.sink.connected(self)
        try:
            self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.sink.implicit_tls:
                self._start_tls()
            self.reader = self.peer.makefile("rb")
            if not self._ruled("greeting", b""):
                self._say("220 sink.example ESMTP")
            while self._command(self._line()):
                pass
        except (_Cut, OSError):
            pass
        finally:
            self.sink.gone(self)
            try:
                self.peer.close()
            except OSError:
                pass

    def _start_tls(self):
        self.peer = self.sink.tls.wrap_socket(self.peer, server_side=True)
        self.encrypted = True
        self.reader = self.peer.makefile("rb")

    def _say(self, text):
        self.peer.sendall(text.encode() + b"\r\n")

    def _line(self, limit=2048):
        line = self.reader.readline(limit + 1)
        if not line.endswith(b"\n") and len(line) <= limit:
            raise _Cut      # the client has gone, perhaps in the middle of a line
        if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
            self.sink.violate("a line that does not end in CRLF, or is too long", line)
        return line[:-2]

    def _ruled(self, step, line):
        """Does what a rule says; True when that was the answer."""
        action = self.sink.action(step, line)
        if callable(action):
            return action(self, line) is not False
        if action == "cut":
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise _Cut
        if action == "close":
            raise _Cut
        if action == "hang":
            self.sink._released.wait()
            raise _Cut
        if action and action != "cut-after":
            self._say(action)
            if action.startswith("421"):
                raise _Cut
        return action

    def _command(self, line):
        verb = line.split(b" ")[0].upper()
        method = getattr(self, "_on_" + verb.decode("ascii", "replace").lower(), None)
        if not method:
            self.sink.violate("unknown command", line)
            self._say("500 5.5.1 unknown")
            return True
        return method(line) is not False

    def _on_ehlo(self, line):
        if not self._ruled("ehlo", line):
            words = list(self.sink.extensions)
            if self.sink.tls and not self.encrypted:
                words.append("STARTTLS")
            if self.sink.login:
                words.append("AUTH " + self.sink.mechanisms)
            lines = ["sink.example"] + words
            self.peer.sendall(b"".join(f"250{'-' if i + 1 < len(lines) else ' '}{w}\r\n".encode()
                                       for i, w in enumerate(lines)))
            self.greeted, self.sender = True, None

    def _on_helo(self, line):
        if not self._ruled("helo", line):
            self._say("250 sink.example")
            self.greeted = True

    def _on_starttls(self, line):
        if self._ruled("starttls", line):
            return
        self._say("220 2.0.0 go")
        self._start_tls()
        self.greeted, self.user = False, None

    def _on_noop(self, line):
        self._say("250 2.0.0 ok")

    def _on_rset(self, line):
        self.sender, self.recipients = None, []
        self._say("250 2.0.0 ok")

    def _on_quit(self, line):
        if not self._ruled("quit", line):
            self._say("221 2.0.0 bye")
        return False

    def _ask(self, words):
        self._say("334 " + base64.b64encode(words).decode())
        return base64.b64decode(self._line(16384))

    def _on_auth(self, line):
        if self._ruled("auth", line):
            return
        words = line.split(b" ")
        mechanism = words[1].upper().decode()
        first = base64.b64decode(words[2]) if len(words) > 2 and words[2] != b"=" else None
        if mechanism not in self.sink.mechanisms.split():
            self._say("504 5.5.4 no such mechanism")
            return
        good = getattr(self, "_auth_" + mechanism.lower().replace("-", "_"))(first)
        self._say("235 2.7.0 welcome" if good else "535 5.7.8 authentication failed")

    def _auth_plain(self, first):
        if first is None:
            first = self._ask(b"")
        _, self.user, password = first.split(b"\0")
        return password.decode() == letters.PASSWORD

    def _auth_xoauth2(self, first):
        fields = first.split(b"\1")
        self.user = fields[0].removeprefix(b"user=")
        good = fields[1].removeprefix(b"auth=Bearer ").decode() in self.sink.tokens.good
        if not good:
            self._ask(b'{"status":"401"}')
        return good

    def _auth_oauthbearer(self, first):
        fields = first.split(b"\1")
        self.user = fields[0]
        good = fields[3].removeprefix(b"auth=Bearer ").decode() in self.sink.tokens.good
        if not good:
            self._ask(b'{"status":"invalid_token"}')
        return good

    def _auth_login(self, first):
        self.user = first or self._ask(b"Username:")
        return self._ask(b"Password:").decode() == letters.PASSWORD

    def _auth_cram_md5(self, first):
        challenge = f"<{secrets.token_hex(8)}@sink.example>".encode()
        self.user, digest = self._ask(challenge).rsplit(b" ", 1)
        return hmac.new(letters.PASSWORD.encode(), challenge, "md5").hexdigest().encode() == digest

    def _auth_scram_sha_256(self, first):
        bare = first.split(b",", 2)[2]
        fields = dict(part.split(b"=", 1) for part in bare.split(b","))
        salt, self.user = secrets.token_bytes(16), fields[b"n"]
        offer = b"r=" + fields[b"r"] + b"sink,s=" + base64.b64encode(salt) + b",i=%d" % self.sink.iterations
        self.sink.offered.set()
        without, proof = self._ask(offer).rsplit(b",p=", 1)
        self.sink.proved.set()
        salted = hashlib.pbkdf2_hmac("sha256", letters.PASSWORD.encode(), salt, self.sink.iterations)
        said = b",".join((bare, offer, without))
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), said, "sha256")
        self._ask(b"v=" + base64.b64encode(hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), said, "sha256")))
        return base64.b64decode(proof) == bytes(a ^ b for a, b in zip(key, signature))

    def _on_mail(self, line):
        self.sink.envelope(line)
        match = MAIL.fullmatch(line)
        if not match or not self.greeted or self.sender is not None:
            self.sink.violate("MAIL out of order or ill-formed", line)
        if self.sink.login and not self.user:
            self._say("530 5.7.0 authentication required")
        elif not self._ruled("mail", line):
            self.sender, self.recipients = match[1].decode(), []
            self.eight_bit = b"BODY=8BITMIME" in match[2].upper()
            self._say("250 2.1.0 ok")

    def _on_rcpt(self, line):
        self.sink.envelope(line)
        match = RCPT.fullmatch(line)
        if not match:
            self.sink.violate("RCPT ill-formed", line)
        if self.sender is None:
            self._say("503 5.5.1 MAIL first")
        elif self.sink.most_recipients and len(self.recipients) >= self.sink.most_recipients:
            self._say("452 4.5.3 Error: too many recipients")
        elif not self._ruled("rcpt", line):
            self.recipients.append(match[1].decode())
            self._say("250 2.1.5 ok")

    def _on_data(self, line):
        ruled = self._ruled("data", line) if self.recipients or self.sink.careless else None
        if not self.recipients and not ruled:
            self._say("554 5.5.1 no valid recipients")
        if ruled != "354" and (ruled or not self.recipients):
            self.sender = None
            return
        if not ruled:
            self._say("354 go on")
        content = self._content()
        sender, recipients = self.sender, self.recipients
        self.sender, self.recipients = None, []
        ruled = self._ruled("dot", content)
        if ruled and ruled != "cut-after":
            return
        if self.sink.deliver:
            self.sink.deliver(sender, recipients, content)
        self.sink.accept(sender, recipients, content)
        if ruled == "cut-after":
            raise _Cut
        self._say("250 2.0.0 taken")

    def _content(self):
        content = bytearray()
        while True:
            line = self.reader.readline(1002)
            if not line.endswith(b"\n") and len(line) < 1002:
                raise _Cut
            if line == b".\r\n":
                break
            line = line[1:] if line.startswith(b".") else line
            if not line.endswith(b"\r\n") or b"\r" in line[:-2] or len(line) > 1000:
                self.sink.violate("bare CR or LF, or a line over 998 bytes", line[:120])
            content += line
        if not self.eight_bit and any(byte > 127 for byte in content):
            self.sink.violate("8-bit content without BODY=8BITMIME")
        if b"\0" in content:
            self.sink.violate("NUL in the content")
        return bytes(content)


class SinkPost:
    """Sinks in the place of Postfix: every kind of certificate, three securities, delivering into Dovecot."""

    def __init__(self, folder, certificates, dovecot):
        def deliver(sender, recipients, content):
            for recipient in recipients:
                letters.deliver(dovecot.lmtp, recipient.split("@")[0], content)

        self.kinds = dovecot.kinds
        self.sinks = {}
        for kind in self.kinds:
            certificate = certificates.leaf(kind)
            for security in ("plain", "ssl"):
                self.sinks[kind, security] = Sink(folder, certificate, security == "ssl", True, deliver=deliver,
                                                  host=pki.ADDRESSES[kind])
                self.sinks[kind, security].rule("rcpt", "554 5.7.1 Recipient address rejected", match=b"<refused@")
        self.folder = folder

    def stop(self):
        for one in self.sinks.values():
            one.stop()

    def host(self, kind=None):
        return pki.ADDRESSES[kind or self.kinds[0]]

    def port(self, transport, security, kind=None):
        return self.sinks[kind or self.kinds[0], "ssl" if security == "ssl" else "plain"].port

    def use(self, certificate, kind=None):
        """Serves another certificate from now on at the address of `kind`; who is connected is cut off."""
        for security in ("plain", "ssl"):
            one = self.sinks[kind or self.kinds[0], security]
            one.tls = pki.server_context(certificate, self.folder)
            one.cut_all()
