# SPDX-License-Identifier: MIT
"""Messages to send, and Maildirs to find them in."""

import email
import os
import re
import smtplib
import uuid

DOMAIN = "example.test"
PASSWORD = "Kanarienvogel_7x9q"     # never seen outside TLS, never in a log: tests look for it


def address(box):
    return f"{box}@{DOMAIN}"


def letter(to, subject="a letter", body="Line one.\n", message_id=None):
    """A whole message as bytes with LF."""
    message_id = message_id or new_message_id()
    return (f"From: {address('sender')}\nTo: {address(to)}\nSubject: {subject}\n"
            f"Date: Mon, 05 Jan 2026 10:00:00 +0000\nMessage-ID: {message_id}\n\n{body}").encode()


def new_message_id():
    return f"<{uuid.uuid4()}@{DOMAIN}>"


def crlf(message):
    return message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def deliver(lmtp_port, box, *messages):
    """Puts messages into a mailbox of the private Dovecot."""
    with smtplib.LMTP("127.0.0.1", lmtp_port) as server:
        for message in messages:
            server.sendmail(address("sender"), [address(box)], crlf(message))


def maildir(folder):
    """The files of a Maildir's new and cur, in order of name."""
    found = []
    for part in ("new", "cur"):
        place = os.path.join(folder, part)
        if os.path.isdir(place):
            found += [os.path.join(place, name) for name in sorted(os.listdir(place))]
    return found


def whole(content):
    """The message that a received file holds: LF stands for CRLF, unless the message has a LF without its CR, which is kept
    byte for byte."""
    if b"\r\n" not in content:
        return content.replace(b"\n", b"\r\n")
    assert re.search(rb"(?<!\r)\n", content), "CRLF in a Maildir, and no reason for it"
    return content


def message_ids(files):
    """The Message-IDs of these files, doubles included, sorted."""
    ids = []
    for path in files:
        try:
            with open(path, "rb") as source:
                ids.append(email.message_from_binary_file(source)["Message-ID"])
        except FileNotFoundError:
            pass    # moved from new to cur meanwhile
    return sorted(ids)


_HEAD = b"From: a@example.test\r\nTo: b@example.test\r\nSubject: %d\r\n\r\n"
_BODIES = (
    b"", b".\r\n", b"..\r\n.\r\n...\r\n", b"\r\n.\r\n\r\n.\r\n", b"no end of line", b"ends in a dot\r\n.",
    bytes(range(0x80, 0x100)) + b"\r\n", b"\xff\xfe\xc0\x80\r\n", b"x" * 998 + b"\r\n", b"y" * 20000 + b"\r\n",
    b"\r\n" * 5000, b"From here\r\n>From there\r\n", b"tab\tand \x1b[31m bell\x07\r\n", b"--\r\n--\r\n",
    b"a)\r\n* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n", b"+OK\r\n-ERR\r\n", b"{5}\r\nabcde\r\n", b'"quoted \\ "\r\n',
    b"a lone \r carriage\r\n", b"a lone \n line feed\r\n", b"a NUL \0 in it\r\n",
    (b"z" * 76 + b"\r\n") * 67000)      # 5 MiB
_WHOLE = (
    b"no header at all\r\n", b"\r\nan empty header\r\n", b"Subject: only a header\r\n", b"X" * 3000 + b"\r\n",
    "Subject: Wärme ✓\r\nFrom: Jörg <jörg@münchen.example>\r\n\r\nGrüße\r\n".encode(),
    b"Subject: \xfcnencoded latin\r\n\r\n\xfc\r\n",
    b"Received: from there\r\n" * 3000 + b"X-Long: " + b"w" * 30000 + b"\r\n\r\na huge header\r\n",
    b"Subject: folded\r\n\tand\r\n again\r\n\r\n \r\n\t\r\n")


def odd():
    """Messages in which something goes wrong with readers that do not count bytes."""
    return [_HEAD % number + body for number, body in enumerate(_BODIES)] + list(_WHOLE)
