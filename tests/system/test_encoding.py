# SPDX-License-Identifier: MIT
"""What the tool makes of messages that SMTP could not carry, read by another reader: Python's. Thousands of random ones, each
from a seed: whole, broken, nested, with bytes of every kind. What is encoded says what it said, to the byte; what cannot be is
refused with its line."""

import base64
import binascii
import email
import email.header
import email.policy
import fcntl
import os
import quopri
import random
import re
import subprocess

import pytest

import station as station_module

PROGRAM = os.path.join("tests", "encode")


class Encoder:
    """The filter of encode.c, kept running."""

    def __init__(self, path, *arguments):
        self.process = subprocess.Popen([path, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, message):
        """(True, message) or (False, sentence)"""
        self.process.stdin.write(b"%d\n" % len(message) + message)
        self.process.stdin.flush()
        word, length = self.process.stdout.readline().split()
        return word == b"ok", self.process.stdout.read(int(length))

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0
        self.process.stdout.close()


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    path = os.path.join(station_module.BUILD, PROGRAM)
    with open(os.path.join(station_module.ROOT, "Makefile")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            subprocess.run(["make", "-s", f"FLAVOUR={station_module.FLAVOUR}", f"BUILD={station_module.BUILD}", path],
                           cwd=station_module.ROOT, check=True)
    made = {name: Encoder(path, *([name] if name else [])) for name in ("", "7bit", "8bitmime")}
    yield made
    for one in made.values():
        one.close()


# ---- another reader

def lines_only(text):
    return text.replace(b"\r\n", b"\n")


def raw_payload(part):
    payload = part._payload     # get_payload() guesses at charsets
    return (payload or "").encode("ascii", "surrogateescape")


def decoded(part):
    """A leaf's bytes: base64 that is none, and encodings nobody knows, as they stand."""
    raw = raw_payload(part)
    encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
    if encoding == "base64":
        try:
            return base64.b64decode(re.sub(rb"[ \t\r\n]", b"", raw), validate=True)
        except ValueError:
            return raw
    if encoding == "quoted-printable":
        return binascii.a2b_qp(lines_only(raw).replace(b"\n", b"\r\n"))     # a CR may stand at the end of a line, as =0D
    return raw


def pieces(message):
    """All that a reader can get out of a message but its fields: texts before, in and behind the parts, in order."""
    if message.is_multipart() and message.get_content_maintype() == "multipart":
        found = [(message.preamble or "").encode("ascii", "surrogateescape")]
        for part in message.get_payload():
            found += pieces(part)
        return found + [(message.epilogue or "").encode("ascii", "surrogateescape")]
    if message.is_multipart():
        return [piece for part in message.get_payload() for piece in pieces(part)]
    return [decoded(message)]


def said(message):
    found = [lines_only(piece).strip(b"\r\n") for piece in pieces(email.message_from_bytes(message))]
    return [piece for piece in found if piece.strip(b" \t\r\n")]


def words(value):
    """What a field says, blanks aside."""
    text = "".join(part if isinstance(part, str) else part.decode(charset or "ascii", "surrogateescape")
                   for part, charset in email.header.decode_header(value))
    return re.sub(r"\s", "", text)


def carried(message):
    """What SMTP takes: lines of 998 bytes at most, no NUL, no CR or LF alone once line ends are CRLF."""
    assert b"\0" not in message
    assert b"\r" not in message.replace(b"\r\n", b"\n"), message
    assert max(map(len, lines_only(message).split(b"\n"))) <= 998


# ---- random messages

TEXTS = (b"plain words", "Grüße über alles".encode(), "Grüße".encode("latin1"), b"\x93quoted\x94 \x80", "Все горит".encode(),
         "部品 95°C".encode(), b"=20 is no space", b"ends in =", b"=C3=A4", b"=ZZ", b"From here", b".", b"..", b"--", b"-- ",
         b"--x", b"trailing  ", b"tab\t", b" leading", b"", b"", b"a NUL \0 here", b"a CR \r here", b"\r", b"x" * 997,
         b"y" * 999, b"z " * 800, "ü".encode() * 600, b"QUJD", b"Subject: no field", b"\x1b[31m", bytes(range(128, 256)))
TYPES = (b"text/plain", b"text/plain; charset=utf-8", b"text/plain; charset=us-ascii", b'text/html; charset="iso-8859-1"', b"text/html",
         b"text/plain; charset=utf-16", b"application/json", b"application/octet-stream; name=\"a.bin\"", b"image/png", b"", b"text",
         b"/x", b"text/plain;", b"text/plain; charset=", b"text/x-log; charset=x-nope (a comment)", b"TEXT/PLAIN; CHARSET=UTF-8")
TRANSFERS = (None, None, None, b"7bit", b"8bit", b"8BIT", b"binary", b"quoted-printable", b"base64", b"x-uuencode", b"utf-8", b"8-bit")


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.count = 0

    def lines(self, most=6):
        text = b"\n".join(self.random.choice(TEXTS) for _ in range(self.random.randrange(most)))
        return text.lstrip(b" \t")      # Python drops a continuation line that continues nothing

    def chance(self, percent):
        return self.random.randrange(100) < percent

    def head(self, kind, transfer=None):
        fields = []
        if kind is not None:
            fields.append(b"Content-Type: " + kind)
        if transfer is not None:
            fields.append(b"Content-Transfer-Encoding: " + transfer)
        if self.chance(5):
            fields.append(b"Content-Type: " + self.random.choice(TYPES))
        if self.chance(10):
            fields.append("Content-Description: Kessel über 95".encode())
        return b"".join(field + b"\n" for field in fields)

    def leaf(self):
        transfer = self.random.choice(TRANSFERS)
        body = self.lines()
        if transfer == b"base64" and self.chance(80):
            body = base64.b64encode(body) if self.chance(50) else base64.encodebytes(body)
        elif transfer == b"quoted-printable" and self.chance(80):
            body = quopri.encodestring(body.replace(b"\r", b"")) if self.chance(50) else body
        kind = self.random.choice(TYPES) if self.chance(85) else None
        return self.head(kind, transfer) + b"\n" + body

    def multipart(self, depth):
        self.count += 1
        boundary = self.random.choice((b"b%d", b"=_%d_x", b"in ner %d", b"--%d")) % self.count
        named = boundary if self.chance(90) else b"never"
        kind = self.random.choice((b"mixed", b"mixed", b"alternative", b"related", b"report", b"digest"))
        parameter = b'; boundary="%s"' % named if self.chance(95) else b""
        parts = [self.entity(depth + 1) for _ in range(self.random.randrange(1, 4))]
        before = self.lines(3) if self.chance(20) else b""
        behind = self.lines(3) if self.chance(20) else b""
        body = before + b"".join(b"\n--" + boundary + b"\n" + part for part in parts)
        if self.chance(90):
            body += b"\n--" + boundary + b"--\n" + behind
        return self.head(b"multipart/" + kind + parameter, self.random.choice((None, None, b"8bit", b"7bit"))) + b"\n" + body

    def entity(self, depth):
        if depth < 4 and self.chance(35):
            return self.multipart(depth)
        if depth < 4 and self.chance(7):
            return b"Content-Type: message/rfc822\n\nSubject: inner\n" + self.entity(depth + 1)
        return self.leaf()

    def message(self):
        fields = b"From: a@b.example\nTo: " + self.random.choice((b"c@d.example", "Jürgen <c@d.example>".encode(), b"root")) + b"\n"
        fields += b"Subject: " + self.random.choice((b"t", "Grüße".encode(), b"w " * 700, "Wörter ".encode() * 200)) + b"\n"
        whole = fields + b"MIME-Version: 1.0\n" + self.entity(0)
        return whole.replace(b"\n", b"\r\n") if self.chance(20) else whole


@pytest.mark.parametrize("block", range(8))
def test_random_messages_say_what_they_said(encoders, block):
    encoded = 0
    for number in range(block * 500, (block + 1) * 500):
        maker = Maker(number)
        message = maker.message()
        mode = maker.random.choice(("", "", "7bit", "8bitmime"))
        fine, made = encoders[mode](message)
        if not fine:
            assert b"line " in made or b"without losing" in made, (number, made)
            continue
        encoded += 1
        carried(made)
        if mode == "7bit":
            assert max(made) < 128, number
        before, after = said(message), said(made)
        assert before == after, (number, message, made)
        old, new = email.message_from_bytes(message), email.message_from_bytes(made)
        assert words(email.message_from_bytes(message, policy=email.policy.SMTP)["Subject"] or "") == \
            words(email.message_from_bytes(made, policy=email.policy.SMTP)["Subject"] or ""), number
        assert new["From"] == old["From"]
    assert encoded > 400
