# SPDX-License-Identifier: MIT
"""A mailbox server in memory, IMAP or POP3, in clear text or by TLS at once, that does what a test asks of it: offers
these extensions, cuts the connection after so many bytes of messages; and writes down what it was asked and how much
it sent. And a relay in front of a real server that delays or cuts."""

import collections
import re
import socket
import socketserver
import threading
import time

IMAP_WORDS = "IMAP4rev1 IDLE UIDPLUS SASL-IR AUTH=PLAIN"
POP3_WORDS = "USER PIPELINING UIDL TOP RESP-CODES"


class Cut(Exception):
    """The connection ends here."""


class Answer(Exception):
    """In place of a message: this is the whole answer (IMAP: the tagged one, without its tag)."""


class Message:
    def __init__(self, uid, content, flags=()):
        self.uid, self.content, self.flags = uid, content, set(flags)


class Mailbox:
    def __init__(self, transport="imap", words=None, contents=(), host="127.0.0.1", tls=None):
        self.transport = transport
        self.words = words if words is not None else {"imap": IMAP_WORDS, "pop3": POP3_WORDS}[transport]
        self.messages = [Message(number + 1, content) for number, content in enumerate(contents)]
        self.uidvalidity = 7
        self.last_uid = len(self.messages)
        self.announce = {}             # {uid: size}: another size than the true one
        self.uidls = {}                # {uid: UIDL}: another than the usual one
        self.cuts = []                 # one connection each: after so many bytes of messages
        self.hold_at = None            # falls silent after so many bytes of messages, while this is set
        self.body_bytes = 0            # of messages sent, all connections
        self.asked = []                # commands without tag and secrets
        self.failing = {}              # {beginning of a command: tagged answer without the tag}
        self.folders = []              # what LIST says of each
        self.odd = {}                  # {uid: function(talk, message)}: says it in a way of its own, or raises
        self.head_odd = {}             # the same, when it is asked for its header alone
        self.list_odd = {}             # {uid: text in place of the entry of a list}; IMAP: of the whole response
        self.denies = lambda uid, words: False  # IMAP: says nothing of this message to that FETCH
        self.edits = []                # [(regular expression, what it becomes)]: in all that is said, bodies aside
        self.cut_after = None          # POP3: the beginning of a command behind whose answer the connection ends
        self.pieces = None             # so many bytes at once
        self.mute = False              # says nothing of new mail while idling
        self.on_id = lambda: None      # called when the client has named itself
        self.idles = None              # in place of IDLE: called with the connection, which it ends or goes on with
        self.dead = False              # hears nothing more while idling, and says nothing
        self.connections = 0
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        box = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    peer = tls.wrap_socket(self.request, server_side=True) if tls else self.request
                except OSError:
                    return
                {"imap": _Imap, "pop3": _Pop3}[box.transport](box, peer).run()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            block_on_close = False

        self._server = Server((host, 0), Handler)
        self.host, self.port = self._server.server_address
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def add(self, content):
        with self.changed:
            self.last_uid = max([self.last_uid] + [message.uid for message in self.messages]) + 1
            self.messages.append(Message(self.last_uid, content))
            self.changed.notify_all()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def said(self, beginning):
        with self.lock:
            return [line for line in self.asked if line.startswith(beginning)]


class _Talk:
    def __init__(self, box, peer):
        self.box, self.peer, self.pending = box, peer, b""
        with box.lock:
            box.connections += 1
            self.left = box.cuts.pop(0) if box.cuts else None

    def run(self):
        try:
            self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.talk()
        except Cut:
            self.hang_up()
        except OSError:
            pass
        finally:
            self.peer.close()

    def hang_up(self):
        """What was said arrives: with unread commands a close would reset the connection, and throw it away."""
        try:
            self.peer.shutdown(socket.SHUT_WR)
            while self.peer.recv(65536):
                pass
        except OSError:
            pass

    def line(self):
        while b"\n" not in self.pending:
            got = self.peer.recv(65536)
            if not got:
                raise OSError
            self.pending += got
        line, self.pending = self.pending.split(b"\n", 1)
        return line.rstrip(b"\r").decode(errors="replace")

    def note(self, words):
        with self.box.lock:
            self.box.asked.append(re.sub(r"(AUTHENTICATE \S+|LOGIN|PASS|AUTH \S+) .*", r"\1", words))

    def say(self, text):
        text = text.encode() if isinstance(text, str) else text
        for pattern, becomes in self.box.edits:
            text = re.sub(pattern, becomes, text)
        self.send(text)

    def send(self, text):
        for start in range(0, len(text), self.box.pieces or max(len(text), 1)):
            self.peer.sendall(text[start:start + (self.box.pieces or len(text))])

    def say_body(self, content):
        if self.box.hold_at is not None and self.box.body_bytes + len(content) > self.box.hold_at:
            part = content[:self.box.hold_at - self.box.body_bytes]
            self.box.body_bytes += len(part)
            self.say(part)
            while self.peer.recv(65536):
                pass
            raise OSError
        if self.left is not None and len(content) >= self.left:
            with self.box.lock:
                self.box.body_bytes += self.left
            self.say(content[:self.left])
            raise Cut
        if self.left is not None:
            self.left -= len(content)
        with self.box.lock:
            self.box.body_bytes += len(content)
        self.send(content)


class _Imap(_Talk):
    def talk(self):
        self.say(f"* OK [CAPABILITY {self.box.words}] hello\r\n")
        self.view = []
        while True:
            tag, words = self.line().split(" ", 1)
            self.note(words)
            answer = next((answer for begin, answer in self.box.failing.items() if words.startswith(begin)), None)
            try:
                answer = answer or self.command(tag, words)
            except Answer as instead:
                answer = str(instead)
            self.say(f"{tag} {answer or 'OK done'}\r\n")
            if words.startswith("LOGOUT"):
                return

    def command(self, tag, words):
        verb = words.split(" ")[0].upper()
        uid = words.split(" ")[1].upper() if verb == "UID" else ""
        if verb == "CAPABILITY":
            self.say(f"* CAPABILITY {self.box.words}\r\n")
        elif verb == "AUTHENTICATE":
            return f"OK [CAPABILITY {self.box.words}] welcome"
        elif verb in ("SELECT", "EXAMINE"):
            self.update()
            self.say(f"* {len(self.view)} EXISTS\r\n* OK [UIDVALIDITY {self.box.uidvalidity}] x\r\n"
                     f"* OK [UIDNEXT {self.next_uid()}] x\r\n")
            return "OK [READ-WRITE] open"
        elif verb == "NOOP":
            self.update()
        elif verb == "ENABLE":
            self.say(f"* ENABLED {words[7:]}\r\n")
        elif verb == "ID":
            self.say('* ID ("name" "box")\r\n')
            self.box.on_id()
        elif verb == "LIST":
            self.say("".join(f"* LIST {folder}\r\n" for folder in self.box.folders))
        elif verb == "IDLE":
            return self.idle()
        elif uid == "SEARCH":
            found = self.of(words.split(" ")[3])
            self.say(f"* SEARCH {' '.join(str(message.uid) for message in found)}\r\n")
        elif uid == "FETCH":
            self.fetch(words)
        elif uid == "STORE":
            for message in self.of(words.split(" ")[2]):
                message.flags |= set(re.findall(r"\\\w+", words))
        elif uid == "EXPUNGE":
            with self.box.lock:
                gone = [message for message in self.of(words.split(" ")[2]) if "\\Deleted" in message.flags]
                self.box.messages = [message for message in self.box.messages if message not in gone]
            self.update()
        return None

    def next_uid(self):
        return max([self.box.last_uid] + [message.uid for message in self.box.messages]) + 1

    def update(self):
        with self.box.lock:
            now = list(self.box.messages)
        for message in [message for message in self.view if message not in now]:
            self.say(f"* {self.view.index(message) + 1} EXPUNGE\r\n")
            self.view.remove(message)
        if len(now) != len(self.view):
            self.view = now
            self.say(f"* {len(now)} EXISTS\r\n")

    def of(self, numbers):
        found = []
        for part in numbers.split(","):
            first, _, last = part.partition(":")
            last = self.next_uid() if last == "*" else int(last or first)
            found += [message for message in self.view if int(first) <= message.uid <= last]
        return found

    def idle(self):
        if self.box.idles:
            return self.box.idles(self)
        self.say("+ idling\r\n")
        self.peer.settimeout(0.05)
        while b"\n" not in self.pending:
            try:
                got = self.peer.recv(65536)
                if not got:
                    raise OSError
                self.pending += got
            except TimeoutError:
                if not self.box.mute:
                    self.update()
            while self.box.dead:
                time.sleep(0.05)
        self.peer.settimeout(None)
        assert self.line() == "DONE"

    def fetch(self, words):
        part = re.search(r"BODY\.PEEK\[\]<(\d+)\.(\d+)>", words)
        fields = re.search(r"BODY\.PEEK(\[HEADER\.FIELDS \([^)]*\)\])", words)
        for message in self.of(words.split(" ")[2]):
            if self.box.denies(message.uid, words):
                continue
            size = self.box.announce.get(message.uid, len(message.content))
            begin = f"* {self.view.index(message) + 1} FETCH (UID {message.uid} "
            if message.uid in self.box.odd and "BODY.PEEK[]" in words:
                self.box.odd[message.uid](self, message)
            elif message.uid in self.box.list_odd and "RFC822.SIZE" in words:
                self.say(self.box.list_odd[message.uid])
            elif message.uid in self.box.head_odd and fields:
                self.box.head_odd[message.uid](self, message)
            elif part:
                first, most = int(part[1]), int(part[2])
                content = message.content[first:first + most]
                self.say(f"{begin}BODY[]<{first}> {{{len(content)}}}\r\n")
                self.say_body(content)
                self.say(")\r\n")
            elif fields:
                content = message.content.split(b"\r\n\r\n")[0] + b"\r\n\r\n"
                self.say(f"{begin}BODY{fields[1]} {{{len(content)}}}\r\n")
                self.say(content + b")\r\n")
            elif "BODY.PEEK[]" in words:
                self.say(f"{begin}BODY[] {{{len(message.content)}}}\r\n")
                self.say_body(message.content)
                self.say(")\r\n")
            else:
                self.say(f"{begin}FLAGS ({' '.join(message.flags)}) RFC822.SIZE {size})\r\n")


class _Pop3(_Talk):
    def talk(self):
        self.say("+OK hello\r\n")
        with self.box.lock:
            self.view = list(self.box.messages)
        self.gone = set()
        while True:
            words = self.line()
            self.note(words)
            answer = next((answer for begin, answer in self.box.failing.items() if words.startswith(begin)), None)
            self.say((answer or self.command(words) or "+OK") + "\r\n")
            if self.box.cut_after and words.startswith(self.box.cut_after):
                raise Cut
            if words.startswith("QUIT"):
                return

    def command(self, words):
        verb, _, rest = words.partition(" ")
        number = int(rest.split(" ")[0]) if rest[:1].isdigit() else 0
        if verb == "CAPA":
            return "+OK\r\n" + "".join(word + "\r\n" for word in self.box.words.split(" ")) + "."
        if verb == "STAT":
            return f"+OK {len(self.view)} 0"
        if verb == "UIDL" and self.box.list_odd:
            return "+OK\r\n" + "".join(self.box.list_odd.get(message.uid, f"{row + 1} id-{message.uid}\r\n")
                                       for row, message in enumerate(self.view)) + "."
        if verb in ("LIST", "UIDL"):
            rows = [self.box.announce.get(message.uid, len(message.content)) if verb == "LIST" else
                    self.box.uidls.get(message.uid, f"id-{message.uid}") for message in self.view]
            return "+OK\r\n" + "".join(f"{row + 1} {what}\r\n" for row, what in enumerate(rows)) + "."
        if verb == "RETR" and self.view[number - 1].uid in self.box.odd:
            try:
                self.box.odd[self.view[number - 1].uid](self, self.view[number - 1])
            except Answer as instead:
                return str(instead)
            return "."
        if verb == "RETR":
            self.say("+OK\r\n")
            self.say_body(re.sub(rb"(?m)^\.", b"..", self.view[number - 1].content))
            return "."
        if verb == "TOP" and self.view[number - 1].uid in self.box.head_odd:
            try:
                self.box.head_odd[self.view[number - 1].uid](self, self.view[number - 1])
            except Answer as instead:
                return str(instead)
            return "."
        if verb == "TOP":
            return "+OK\r\n" + self.view[number - 1].content.split(b"\r\n\r\n")[0].decode() + "\r\n\r\n."
        if verb == "DELE":
            self.gone.add(number - 1)
        if verb == "QUIT":
            with self.box.lock:
                self.box.messages = [message for message in self.box.messages
                                     if message not in [self.view[number] for number in self.gone]]
        return None


class Relay:
    """Passes bytes on, each `delay` seconds later; `cuts`: one connection each, after so many bytes from the server."""

    def __init__(self, host, port, delay=0.0, cuts=()):
        self.target, self.delay, self.cuts = (host, port), delay, list(cuts)
        self.received = 0              # bytes that the server sent, all connections
        self.sent = 0
        self.silence = None            # seconds after which a connection on which nothing is said is closed
        self.lock = threading.Lock()
        relay = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                relay.handle(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.host, self.port = self._server.server_address
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def handle(self, client):
        with self.lock:
            left = self.cuts.pop(0) if self.cuts else None
        with socket.create_connection(self.target) as server:
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.silence:
                server.settimeout(self.silence)
            up = threading.Thread(target=self.pass_on, args=(client, server, None, "sent"), daemon=True)
            up.start()
            self.pass_on(server, client, left, "received")

    def pass_on(self, source, target, left, count):
        """Bytes wait in a queue until they are due, so that the delay costs no bandwidth."""
        queue, more = collections.deque(), threading.Condition()

        def send():
            while True:
                with more:
                    more.wait_for(lambda: queue)
                    due, got = queue.popleft()
                time.sleep(max(0.0, due - time.monotonic()))
                try:
                    if not got:
                        target.shutdown(socket.SHUT_WR)
                        return
                    target.sendall(got)
                except OSError:
                    return

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        try:
            while got := source.recv(262144):
                cut = left is not None and len(got) >= left
                got = got[:left] if cut else got
                with self.lock:
                    setattr(self, count, getattr(self, count) + len(got))
                with more:
                    queue.append((time.monotonic() + self.delay, got))
                    more.notify()
                if cut:
                    break
                if left is not None:
                    left -= len(got)
        except OSError:
            pass
        with more:
            queue.append((time.monotonic() + self.delay, b""))
            more.notify()
        sender.join()
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
