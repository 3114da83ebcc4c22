# SPDX-License-Identifier: MIT
"""TLS records by hand: a server whose handshake is OpenSSL's, and every record behind it is made here, legal or not. Stands
in for the `tls` of our own servers (sink.py, boxes.py)."""

import hashlib
import hmac
import io
import os
import re
import ssl
import socket
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import pki

CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
HELLO_REQUEST, SERVER_HELLO, TICKET, CERTIFICATE_REQUEST, FINISHED, KEY_UPDATE = 0, 2, 4, 13, 20, 24
CLEAR = {   # what stands ahead of TLS where it is begun by a word
    "imap": (b"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] x\r\n", b"STARTTLS", b"{tag} OK go\r\n", b"{tag} OK done\r\n",
             b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n"),
    "pop3": (b"+OK x\r\n", b"STLS", b"+OK go\r\n", b"", b"+OK\r\nSTLS\r\nUIDL\r\nUSER\r\n.\r\n"),
}


def message(kind, body=b""):
    """A handshake message."""
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def ticket(size=200, lifetime=7200, nonce=b"\1", extensions=b""):
    """NewSessionTicket of TLS 1.3."""
    return message(TICKET, struct.pack("!IIB", lifetime, 7, len(nonce)) + nonce + struct.pack("!H", size) + os.urandom(size)
                   + struct.pack("!H", len(extensions)) + extensions)


class Side:
    """The keys of one direction."""

    def __init__(self, secret, digest, key_bytes):
        self.secret, self.digest, self.key_bytes = secret, digest, key_bytes
        self.derive()

    def expand(self, label, length):
        label = b"tls13 " + label
        info = struct.pack("!HB", length, len(label)) + label + b"\0"
        return hmac.new(self.secret, info + b"\1", self.digest).digest()[:length]

    def derive(self):
        self.key, self.iv, self.number = AESGCM(self.expand(b"key", self.key_bytes)), self.expand(b"iv", 12), 0

    def update(self):
        self.secret = self.expand(b"traffic upd", self.digest().digest_size)
        self.derive()

    def nonce(self):
        return bytes(a ^ b for a, b in zip(self.iv, self.number.to_bytes(12, "big")))


class OldSide:
    """The same of TLS 1.2; record 0 was Finished."""

    def __init__(self, key, salt):
        self.key, self.salt, self.number = AESGCM(key), salt, 1


class Records:
    """`noise(peer)` is called ahead of all that is said inside TLS; `size`: bytes of a record; `end`: what comes at the end."""

    def __init__(self, certificate, folder, version=13, begun_by=None):
        self.context = pki.server_context(certificate, folder)
        self.context.minimum_version = self.context.maximum_version = \
            ssl.TLSVersion.TLSv1_3 if version == 13 else ssl.TLSVersion.TLSv1_2
        self.context.num_tickets = 0
        self.context.options |= ssl.OP_NO_TICKET
        if version == 12:
            self.context.set_ciphers("ECDHE+AESGCM@SECLEVEL=0")
        self.keys = os.path.join(folder, f"keys-{id(self)}")
        self.context.keylog_filename = self.keys
        self.version, self.begun_by = version, begun_by
        self.noise, self.size, self.end = None, 16384, lambda peer: peer.alert(0)

    def wrap_socket(self, raw, server_side=True):
        assert server_side
        if self.begun_by:
            begin(raw, *CLEAR[self.begun_by])
        peer = Peer(self, raw)
        peer.swallows = bool(self.begun_by)
        return peer

    @staticmethod
    def once(at, noise):
        """Ahead of what is said as number `at` in a session."""
        def made(peer):
            peer.said += 1
            if peer.said == at:
                noise(peer)
        return made

    def secret(self, name, random):
        with open(self.keys) as file:
            found = re.findall(rf"{name} {random.hex()} ([0-9a-f]+)", file.read())
        return bytes.fromhex(found[-1])


def begin(raw, greeting, word, go, done, capabilities):
    raw.sendall(greeting)
    said = b""
    while True:
        while b"\n" not in said:
            got = raw.recv(4096)
            if not got:
                raise OSError("gone")
            said += got
        line, _, said = said.partition(b"\n")
        tag = line.split(b" ")[0]
        if word in line:
            raw.sendall(go.replace(b"{tag}", tag))
            return
        raw.sendall(capabilities + done.replace(b"{tag}", tag))


class Reader(io.RawIOBase):
    """Of a peer, which outlives it."""

    def __init__(self, peer):
        super().__init__()
        self.peer = peer

    def readable(self):
        return True

    def readinto(self, buffer):
        got = self.peer.recv(len(buffer))
        buffer[:len(got)] = got
        return len(got)


class Peer:
    """As a socket."""

    def __init__(self, records, raw):
        self.records, self.raw, self.version = records, raw, records.version
        self.waiting, self.swallows, self.over, self.said = b"", False, False, 0
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = records.context.wrap_bio(incoming, outgoing, server_side=True)
        self.come, hello, answer, done = b"", b"", b"", False
        while not done:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            out = outgoing.read()
            answer = answer or out
            self.raw.sendall(out)
            if not done:
                incoming.write(record := self.record())
                hello = hello or record
        self.keys(tls.cipher(), hello[11:43], answer[11:43])

    def keys(self, cipher, client, server):
        bytes_of_key = 32 if "256" in cipher[0].split("GCM")[0] else 16
        digest = hashlib.sha384 if "SHA384" in cipher[0] else hashlib.sha256
        if self.version == 13:
            self.theirs, self.ours = (Side(self.records.secret(f"{name}_TRAFFIC_SECRET_0", client), digest, bytes_of_key)
                                      for name in ("CLIENT", "SERVER"))
            return
        seed, block = b"key expansion" + server + client, b""
        master = self.records.secret("CLIENT_RANDOM", client)
        step = seed
        while len(block) < 2 * bytes_of_key + 8:
            step = hmac.new(master, step, digest).digest()
            block += hmac.new(master, step + seed, digest).digest()
        salts = block[2 * bytes_of_key:]
        self.theirs = OldSide(block[:bytes_of_key], salts[:4])
        self.ours = OldSide(block[bytes_of_key:2 * bytes_of_key], salts[4:8])

    # ---- one record

    def record(self):
        """A time-out in the midst of one loses nothing."""
        while len(self.come) < 5 or len(self.come) < 5 + int.from_bytes(self.come[3:5], "big"):
            more = self.raw.recv(65536)
            if not more:
                raise OSError("gone")
            self.come += more
        whole = 5 + int.from_bytes(self.come[3:5], "big")
        record, self.come = self.come[:whole], self.come[whole:]
        return record

    def seal(self, kind, content, padding=0):
        side = self.ours
        if self.version == 13:
            inner = content + (bytes() if kind is None else bytes([kind])) + bytes(padding)
            head = struct.pack("!BHH", DATA, 0x303, len(inner) + 16)
            sealed = side.key.encrypt(side.nonce(), inner, head)
        else:
            explicit = side.number.to_bytes(8, "big")
            about = explicit + struct.pack("!BHH", kind, 0x303, len(content))
            sealed = explicit + side.key.encrypt(side.salt + explicit, content, about)
            head = struct.pack("!BHH", kind, 0x303, len(sealed))
        side.number += 1
        return head + sealed

    def put(self, *records):
        self.raw.sendall(b"".join(records))

    def say(self, kind, content, **more):
        self.put(self.seal(kind, content, **more))

    def alert(self, number, level=None):
        """By default at the level of its kind."""
        self.say(ALERT, bytes([level or (1 if number in (0, 90, 100) else 2), number]))

    def update_key(self, asks=False):
        self.say(HANDSHAKE, message(KEY_UPDATE, bytes([asks])))
        self.ours.update()

    def open(self, record):
        side = self.theirs
        if self.version == 13:
            inner = side.key.decrypt(side.nonce(), record[5:], record[:5]).rstrip(b"\0")
            kind, content = inner[-1], inner[:-1]
        else:
            kind, sealed = record[0], record[13:]
            about = side.number.to_bytes(8, "big") + struct.pack("!BHH", kind, 0x303, len(sealed) - 16)
            content = side.key.decrypt(side.salt + record[5:13], sealed, about)
        side.number += 1
        return kind, content

    # ---- as a socket

    def sendall(self, content):
        if self.swallows:   # a greeting was said in clear
            self.swallows = False
            return
        if self.records.noise:
            self.records.noise(self)
        size = self.records.size
        self.put(*(self.seal(DATA, content[at:at + size]) for at in range(0, len(content), size)))

    def recv(self, size):
        while not self.waiting:
            if self.over:
                return b""
            try:
                kind, content = self.open(self.record())
            except (OSError, InvalidTag) as error:
                if isinstance(error, TimeoutError):
                    raise
                return b""
            if kind == DATA:
                self.waiting = content
            elif kind == ALERT:
                self.over = content[0] == 2 or content[1] == 0
            elif kind == HANDSHAKE and content[0] == KEY_UPDATE:
                self.theirs.update()
        got, self.waiting = self.waiting[:size], self.waiting[size:]
        return got

    def makefile(self, *_):
        return io.BufferedReader(Reader(self))

    def setsockopt(self, *what):
        self.raw.setsockopt(*what)

    def settimeout(self, seconds):
        self.raw.settimeout(seconds)

    def shutdown(self, how):
        if how == socket.SHUT_WR and self.records.end:
            self.records.end(self)
        self.raw.shutdown(how)

    def close(self):
        try:
            if self.records.end:
                self.records.end(self)
        except OSError:
            pass
        self.raw.close()
