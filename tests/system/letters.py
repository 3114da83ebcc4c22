# SPDX-License-Identifier: MIT
"""Messages to send, and Maildirs to find them in."""

import email
import os
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
