# SPDX-License-Identifier: MIT
"""What goes over the wire, byte for byte: a corpus of odd messages, by the socket and by sendmail, to a strict server
that keeps what it was given, by DATA and by BDAT. What it must get is said here once more, from the rules alone: line
ends become CRLF, Bcc goes, what is missing comes, and what SMTP cannot carry is refused or encoded, never bent."""

import email
import email.policy
import os
import random
import re
import socketserver
import threading

import pytest

import varlink
from test_queue import outgoing, submit
from waiting import until

HEAD = b"From: a@example.test\nDate: Mon, 05 Jan 2026 10:00:00 +0000\nMessage-ID: <%04d@example.test>\nSubject: odd\n"


# ---- the server

class Receiver:
    """Takes everything, answers by the book, keeps content as it stood on the wire (dots taken out) by recipient."""

    def __init__(self, extensions):
        self.extensions = extensions
        self.got, self.parameters, self.problems = {}, {}, []
        self.changed = threading.Condition()
        receiver = self

        class Handler(socketserver.StreamRequestHandler):
            wbufsize = 0

            def handle(self):
                try:
                    receiver.converse(self.rfile, self.wfile)
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True
            block_on_close = False

        self.server = Server(("127.0.0.1", 0), Handler)
        self.host, self.port = self.server.server_address
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        assert not self.problems, self.problems[:5]

    def converse(self, lines, out):
        out.write(b"220 raw.example ESMTP\r\n")
        recipient, parameters, chunks = None, b"", []
        while True:
            line = lines.readline(4096)
            if not line:
                return
            verb = line[:4].upper()
            if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\n" in line[:-1] or b"\0" in line:
                self.problems.append(line)
            if verb == b"EHLO":
                out.write(b"".join(b"250-%s\r\n" % one.encode() for one in self.extensions) + b"250 HELP\r\n")
            elif verb == b"MAIL":
                parameters, chunks = line.upper(), []
                out.write(b"250 2.1.0 ok\r\n")
            elif verb == b"RCPT":
                recipient = line[line.index(b"<") + 1:line.index(b">")].decode()
                out.write(b"250 2.1.5 ok\r\n")
            elif verb == b"DATA":
                out.write(b"354 go on\r\n")
                self.keep(recipient, parameters, self.data(lines))
                out.write(b"250 2.0.0 kept\r\n")
            elif verb == b"BDAT":
                words = line.split()
                chunks.append(lines.read(int(words[1])))
                if len(words) > 2:
                    self.keep(recipient, parameters, b"".join(chunks))
                out.write(b"250 2.0.0 kept\r\n")
            elif verb == b"QUIT":
                out.write(b"221 2.0.0 bye\r\n")
                return
            else:
                if verb not in (b"RSET", b"NOOP"):
                    self.problems.append(line)
                out.write(b"250 2.0.0 ok\r\n")

    @staticmethod
    def data(lines):
        """LF alone ends a line for readline, and nothing but CRLF.CRLF the content."""
        content, before = [], b"\r\n"
        for line in iter(lines.readline, b""):
            fresh = before.endswith(b"\r\n")
            if fresh and line == b".\r\n":
                return b"".join(content)
            before = line
            content.append(line[1:] if fresh and line.startswith(b".") else line)
        raise OSError("cut off")

    def keep(self, recipient, parameters, content):
        with self.changed:
            if recipient in self.got:
                self.problems.append(b"twice: " + recipient.encode())
            self.got[recipient], self.parameters[recipient] = content, parameters
            self.changed.notify_all()

    def wait(self, recipients):
        with self.changed:
            assert self.changed.wait_for(lambda: set(recipients) <= set(self.got), 30), \
                f"missing: {set(recipients) - set(self.got)}"


@pytest.fixture
def new_receiver():
    made = []

    def make(*extensions):
        made.append(Receiver(extensions))
        return made[-1]

    yield make
    for one in made:
        one.stop()


# ---- the corpus

def at_offset(offset, odd):
    """A body of short lines in which `odd` begins at this byte of the message as it goes over the wire."""
    head = len(HEAD % 0) + HEAD.count(b"\n") + 2
    return b"\n" + b"0123456789abcd\n" * ((offset - head) // 16 - 1) + \
        b"y" * (16 + (offset - head) % 16) + odd + b"\nrest\n"


def corpus():
    """{name: message}"""
    def plain(body):
        return HEAD % 0 + b"\n" + body

    rng = random.Random(25)
    large = b"".join(b"." * rng.randrange(3) + b"x" * rng.randrange(90) + b"\r\n" for _ in range(1 << 12))
    odd = {
        "empty": b"",
        "one line end": b"\n",
        "one dot": b".",
        "no header": b"Just text, no header.\nmore\n",
        "no header, a dot first": b".\ntext\n",
        "a text with a colon": b"note: this is a field\nand this is not\n",
        "only a header": HEAD % 0,
        "only a header, cut": (HEAD % 0)[:-1],
        "a header and its end": HEAD % 0 + b"\n",
        "a bare subject": b"Subject: alone\n\nbody\n",
        "folded fields": b"Subject: one\n two\n\tthree\nX-Y: z\n\nbody\n",
        "blind copies": b"Bcc: x@example.test,\n y@example.test\nTo: a@example.test\nbcc : z@example.test\n"
                        b"Resent-Bcc: q@example.test\n\nBcc: in the text\n",
        "a dot": plain(b".\n"),
        "dots": plain(b".\n..\n...\n.x\n..x\n \n.\n"),
        "a dot at every line start": plain(b"." + b"\n.".join(b"%d" % n for n in range(500)) + b"\n"),
        "a dot last, no line end": plain(b"text\n."),
        "an end of data inside": plain(b"one\r\n.\r\nQUIT\r\nMAIL FROM:<x@y>\r\n"),
        "ends in a smuggler's ways": plain(b"a\n.\nb\n.\r\nd\r\n.\ne\n\n.\n\n"),
        "line ends mixed": plain(b"a\r\nb\nc\n\r\nf\n\n\r\n\ng"),
        "only line ends": plain(b"\n\r\n\r\n\n"),
        "no last line end": plain(b"the end"),
        "spaces": plain(b" \n\t\n trailing \t\n"),
        "control bytes": plain(bytes(set(range(1, 32)) - {10, 13}) + b"\x7f\n"),
        "lines of 997": plain(b"x" * 997 + b"\n"),
        "lines of 998": plain(b"x" * 998 + b"\n" + b"y" * 998),
        "998 dots": plain(b"." * 998 + b"\n"),
        "mbox": b"From someone Mon Jan  5 10:00:00 2026\n" + HEAD % 0 + b"\nFrom the text\n>From it\n",
        "From in the text": plain(b"From here\nFrom there\n"),
        "8-bit text": HEAD % 0 + b"MIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\n"
                                 b"Content-Transfer-Encoding: 8bit\n\n\xe4\xf6\xfc \xff\x80\n",
        "25 MiB": plain((large * (1 + (25 << 20) // len(large)))[:25 << 20]),
    }
    for delta in range(-2, 3):
        odd[f"a dot at a chunk's edge {delta}"] = HEAD % 0 + at_offset((256 << 10) + delta, b"\n.\n.")
        odd[f"a dot at a piece's edge {delta}"] = HEAD % 0 + at_offset((32 << 10) + delta, b"\n.\n.")
        for name, end in (("CRLF", b"\r\n"), ("LF", b"\n"), ("LFLF", b"\n\n")):
            # the reader's pieces are of 64 KiB of what was handed in
            body = HEAD % 0 + b"\n"
            body += b"z" * (-len(body) % 128) + b"\n" + b"z" * 63
            body += (b"\n" + b"z" * 63) * (((64 << 10) - len(body)) // 64)
            odd[f"{name} at the reader's edge {delta}"] = body[:(64 << 10) + delta] + b"w" * max(
                0, (64 << 10) + delta - len(body)) + end + b".\nrest\n"
    return {name: message.replace(b"<0000@", b"<%04d@" % (1000 + number), 1)
            for number, (name, message) in enumerate(odd.items())}


# What SMTP cannot carry as it is, and the line that is named.
UNSENDABLE = {
    "a NUL": (HEAD % 1 + b"\nfine\na\0b\n", "line 7"),
    "a line of 999": (HEAD % 2 + b"\n" + b"x" * 999 + b"\n", "line 6"),
    "a line of 999 dots": (HEAD % 3 + b"\n" + b"." * 999, "line 6"),
    "a line of 10000": (HEAD % 4 + b"\nfine\n\n" + b"word " * 2000 + b"\nend\n", "line 8"),
    "a line of 200000": (HEAD % 5 + b"\n" + b"x" * 200000 + b"\r\n", "line 6"),
    "NULs alone": (HEAD % 6 + b"\n" + b"\0" * 70000, "line 6"),
    "a CR": (HEAD % 8 + b"\nfine\na\rb\n", "line 7"),
    "a CR before a line end": (HEAD % 8 + b"\nfine\r\n\r\r\nb\r\n", "line 7"),
    "a CR last": (HEAD % 8 + b"\nfine\r", "line 6"),
    "a CR at the reader's edge": (HEAD % 8 + b"\n" + b"z" * (63 - len(HEAD % 8) % 64) + b"\n" +
                                  (b"y" * 63 + b"\n") * 1500 + b"\r.\rend\n", "line 1507"),
    "a smuggler's CRs": (HEAD % 8 + b"\na\r.\rb\n.\r.\n", "line 6"),
}
# Where no LF is, CR is what ends the lines.
CARRIAGE_RETURNS = {
    "carriage returns alone": b"From: a@example.test\rSubject: cr\r\rone\rtwo\r",
    "carriage returns alone, mbox": b"From a Mon Jan  5\rSubject: cr\r\rone\r" + (b"word " * 30 + b"\r") * 20 + b"two",
}
UTF8_HEADER = HEAD % 7 + "To: Jürgen <j@example.test>\n\ntext\n".encode()


# ---- the rules

def lines_of(message):
    """CRLF and LF end a line; what stands after the last one is a line as well."""
    lines = re.split(rb"\r\n|\n", message)
    return lines[:-1] if lines[-1] == b"" else lines


def expected(message, added):
    """(lines of the header that stay, names of those that come, the body). `added`: what an account puts in."""
    lines = lines_of(message)
    if lines and lines[0].startswith(b"From "):
        lines = lines[1:]
    header, dropping, names = [], False, set()
    while lines:
        field = re.match(rb"([!-9;-~]+)[ \t]*:", lines[0])
        if field:
            names.add(field[1].lower())
            dropping = field[1].lower() in (b"bcc", b"resent-bcc")
        elif not (names and lines[0][:1] in (b" ", b"\t")):
            break
        if not dropping:
            header.append(lines[0])
        lines = lines[1:]
    if lines and not lines[0]:
        lines = lines[1:]
    return header, [name for name in added if name.lower() not in names], b"".join(line + b"\r\n" for line in lines)


def check(name, message, got, added=(b"Date", b"Message-ID", b"From")):
    header, put_in, body = expected(message, added)
    top, _, rest = got.partition(b"\r\n\r\n")
    lines = top.split(b"\r\n")
    came = lines[len(header):]
    assert lines[:len(header)] == header, f"{name}: the header"
    assert sorted(line.split(b":")[0] for line in came) == sorted(put_in), f"{name}: {came}"
    assert rest == body, f"{name}: the body, {len(rest)} bytes for {len(body)}, from " \
        f"{next((i for i, (a, b) in enumerate(zip(rest, body)) if a != b), 'the end')}"


def text_of(content):
    """The decoded text, line ends and a missing last one aside."""
    message = email.message_from_bytes(content, policy=email.policy.SMTP)
    payload = message.get_payload(decode=True)      # CRLF within
    return b"\n".join(lines_of(payload)).rstrip(b"\n")


# ---- the tests

TRANSFERS = {"data": (), "bdat": ("CHUNKING",)}
COMMON = ("raw.example", "PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 60000000")


def by_socket(station, folder, message, recipient):
    """Small ones as text, larger ones as a descriptor."""
    with station.client() as client:
        if len(message) < 1 << 16:
            return submit(client, "a", message, [recipient])
        with open(os.path.join(folder, "message"), "w+b") as file:
            file.write(message)
            file.flush()
            client.send(varlink.SERVICE + "Submit", {"account": "a", "recipients": [recipient], "descriptor": 0},
                        fds=[file.fileno()])
            return client.answer()["id"]


def by_sendmail(station, _, message, recipient):
    """As 8BITMIME, which leaves the body alone."""
    station.ctl("sendmail", "-i", "-B8BITMIME", "-f", "sender@example.test", "--", recipient, stdin=message)


@pytest.mark.parametrize("transfer", TRANSFERS)
@pytest.mark.parametrize("hand_in", (by_socket, by_sendmail))
def test_byte_for_byte(station, new_receiver, folder, transfer, hand_in):
    receiver = new_receiver(*COMMON, *TRANSFERS[transfer])
    outgoing(station, receiver)
    messages = corpus()
    boxes = {f"b{number}@example.test": name for number, name in enumerate(messages)}
    for box, name in boxes.items():
        hand_in(station, folder, messages[name], box)
    receiver.wait(boxes)
    for box, name in boxes.items():
        check(name, messages[name], receiver.got[box])
        eight_bit = any(byte > 127 for byte in receiver.got[box][:1 << 16])
        assert (b" BODY=8BITMIME" in receiver.parameters[box]) == eight_bit, name
        assert b" SIZE=%d" % len(receiver.got[box]) in receiver.parameters[box], name


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_what_cannot_be_carried(station, new_receiver, folder, transfer):
    """By the socket refused with the line; by sendmail encoded, and the text comes out the same."""
    receiver = new_receiver(*COMMON, *TRANSFERS[transfer])
    outgoing(station, receiver)
    for number, (name, (message, line)) in enumerate(UNSENDABLE.items()):
        with pytest.raises(varlink.VarlinkError) as refused:
            by_socket(station, folder, message, "raw@example.test")
        assert refused.value.cause["code"] == "Unsendable" and line in refused.value.cause["text"], name
        box = f"b{number}@example.test"
        by_sendmail(station, folder, message, box)
        receiver.wait([box])
        got = receiver.got[box]
        assert max(map(len, got.split(b"\r\n"))) <= 998 and b"\0" not in got, name
        assert text_of(got) == b"\n".join(lines_of(message.partition(b"\n\n")[2])).rstrip(b"\n"), name
    for number, (name, message) in enumerate(CARRIAGE_RETURNS.items()):
        with pytest.raises(varlink.VarlinkError):
            by_socket(station, folder, message, "raw@example.test")
        box = f"cr{number}@example.test"
        by_sendmail(station, folder, message, box)
        receiver.wait([box])
        check(name, message.replace(b"\r", b"\n"), receiver.got[box])
    assert "raw@example.test" not in receiver.got
    until(lambda: station.json("queue", "list") == [])


def test_a_dot_ends_the_input_of_sendmail_unless_told(station, new_receiver):
    receiver = new_receiver(*COMMON)
    outgoing(station, receiver)
    message = HEAD % 0 + b"\nbefore\n..\n.\nafter\n"
    station.ctl("sendmail", "b0@example.test", stdin=message)
    station.ctl("sendmail", "-oi", "b1@example.test", stdin=message)
    receiver.wait(["b0@example.test", "b1@example.test"])
    check("ended", HEAD % 0 + b"\nbefore\n..\n", receiver.got["b0@example.test"])
    check("whole", message, receiver.got["b1@example.test"])


def test_eight_bits_go_where_they_are_taken(station, new_receiver, folder):
    """A header in UTF-8 goes by SMTPUTF8 as it is, or fails; a body goes by 8BITMIME, or fails; sendmail encodes."""
    able, unable = new_receiver(*COMMON), new_receiver("raw.example", "PIPELINING")
    outgoing(station, able)
    by_socket(station, folder, UTF8_HEADER, "b0@example.test")
    able.wait(["b0@example.test"])
    check("UTF-8", UTF8_HEADER, able.got["b0@example.test"])
    assert b" SMTPUTF8" in able.parameters["b0@example.test"]
    station.ctl("account", "set", "a", f"port={unable.port}")
    for message in (UTF8_HEADER, HEAD % 0 + "\nÄpfel\n".encode()):
        queued = by_socket(station, folder, message, "b1@example.test")
        failed = station.wait_message(queued)
        assert failed["state"] == "failed" and failed["recipients"][0]["reply"], failed
        station.ctl("queue", "delete", queued)
    declared = corpus()["8-bit text"]
    station.ctl("sendmail", "b3@example.test", stdin=declared)
    by_sendmail(station, folder, UTF8_HEADER, "b2@example.test")
    unable.wait(["b2@example.test", "b3@example.test"])
    got = unable.got["b3@example.test"]
    assert max(got) < 128 and b"quoted-printable" in got and text_of(got) == declared.partition(b"\n\n")[2].strip()
    got = unable.got["b2@example.test"]
    assert max(got) < 128
    assert "Jürgen" in str(email.message_from_bytes(got, policy=email.policy.SMTP)["To"])
    assert "b1@example.test" not in unable.got
