#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Hostile servers, each with several accounts, beside an honest account: how quick does the honest one stay, what does
the attack cost in memory and descriptors, and does all of it come back when the accounts are gone. Each attack is a
generator of what the server says; what the client says is read and thrown away, or answered by its tag.

    hostile_servers.py [--seconds 4] [--accounts 8] [--only WORD]
"""

import argparse
import contextlib
import itertools
import multiprocessing
import os
import random
import re
import socket
import struct
import sys
import threading
import time

from world import World, letters, pki, station_module, waiting

HELLO = {"imap": b"* OK [CAPABILITY IMAP4rev1 IDLE UIDPLUS ESEARCH] hello\r\n", "pop3": b"+OK hello\r\n", "smtp": b"220 hello\r\n",
         "lmtp": b"220 hello\r\n"}
CAPA = b"+OK\r\nUSER\r\nUIDL\r\nTOP\r\nPIPELINING\r\n.\r\n"
EHLO = b"250-me\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 60000000\r\n"


class Talk:
    """One connection of a hostile server."""

    def __init__(self, peer, protocol):
        self.peer, self.protocol, self.pending = peer, protocol, b""
        self.rng = random.Random(7)

    def line(self):
        while b"\n" not in self.pending:
            got = self.peer.recv(65536)
            if not got:
                raise OSError
            self.pending += got
        line, self.pending = self.pending.split(b"\n", 1)
        return line.rstrip(b"\r")

    def say(self, what):
        self.peer.sendall(what)

    def forever(self, *what):
        """Until the client has had enough."""
        piece = b"".join(what)
        piece *= max(1, 16384 // len(piece))
        while True:
            self.say(piece)

    def hello(self):
        self.say(HELLO[self.protocol])

    def imap(self, until=b"", exists=3):
        """An honest session up to the command that begins so: returns its tag and words."""
        self.hello()
        while True:
            tag, _, words = self.line().partition(b" ")
            if until and words.upper().startswith(until):
                return tag, words
            if words.upper().startswith((b"SELECT", b"EXAMINE")):
                self.say(b"* %d EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT %d] x\r\n" % (exists, exists + 1))
            elif words.upper().startswith(b"UID FETCH") and b"BODY" not in words.upper():
                self.say(b"".join(b"* %d FETCH (UID %d FLAGS () RFC822.SIZE 60)\r\n" % (n, n) for n in range(1, exists + 1)))
            elif words.upper().startswith(b"CAPABILITY"):
                self.say(b"* CAPABILITY IMAP4rev1 IDLE UIDPLUS\r\n")
            elif words.upper().startswith(b"IDLE"):
                self.say(b"+ idling\r\n")
                self.line()
            self.say(tag + b" OK done\r\n")

    def pop3(self, until, count=3):
        self.hello()
        while True:
            words = self.line().upper()
            if words.startswith(until):
                return words
            self.say(CAPA if words.startswith(b"CAPA") else b"+OK %d 100\r\n" % count if words.startswith(b"STAT") else
                     b"+OK\r\n" + b"".join(b"%d 60\r\n" % (n + 1) for n in range(count)) + b".\r\n"
                     if words.startswith((b"LIST", b"UIDL")) else b"+OK\r\n")

    def smtp(self, until):
        self.hello()
        while True:
            words = self.line().upper()
            if words.startswith(until):
                return words
            self.say(EHLO if words.startswith((b"EHLO", b"LHLO")) else b"354 go\r\n" if words.startswith(b"DATA") else b"250 ok\r\n")


# ---- attacks: (protocols, what)

def flood_of_nothing(talk):
    talk.forever(b"x")


def flood_of_empty_lines(talk):
    talk.hello()
    talk.forever(b"\r\n")


def flood_of_nuls(talk):
    talk.hello()
    talk.forever(b"\0" * 1024)


def reset_at_once(talk):
    talk.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_closed(talk):
    talk.hello()
    talk.peer.shutdown(socket.SHUT_WR)
    with contextlib.suppress(OSError):
        while talk.peer.recv(65536):
            pass


def silent(talk):
    while talk.peer.recv(65536):
        pass


def drip(talk):
    for byte in itertools.cycle(HELLO[talk.protocol][:-2]):
        talk.say(bytes((byte,)))
        time.sleep(0.02)


def imap_storm(*responses):
    def attack(talk):
        tag, _ = talk.imap(b"SELECT")
        talk.say(b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n")
        talk.forever(*responses)
    return attack


def imap_idle_storm(*responses):
    def attack(talk):
        talk.imap(b"IDLE", exists=0)
        talk.say(b"+ idling\r\n")
        talk.forever(*responses)
    return attack


def imap_list(entries):
    def attack(talk):
        tag, _ = talk.imap(b"UID FETCH", exists=4000000)
        for batch in entries():
            talk.say(batch)
        talk.say(tag + b" OK done\r\n")
        talk.forever(b"* OK more\r\n")
    return attack


def four_millions():
    for start in range(1, 4000000, 1000):
        yield b"".join(b"* %d FETCH (UID %d FLAGS () RFC822.SIZE 60)\r\n" % (n, n) for n in range(start, start + 1000))


def downwards():
    for start in range(4000000, 1000, -1000):
        yield b"".join(b"* %d FETCH (UID %d FLAGS () RFC822.SIZE 60)\r\n" % (n, n) for n in range(start, start - 1000, -1))


def one_again_and_again():
    for _ in range(2000):
        yield b"* 1 FETCH (UID 1 FLAGS () RFC822.SIZE 60)\r\n" * 1000


def imap_body(what):
    def attack(talk):
        tag, _ = talk.imap(b"UID FETCH 1")
        while True:
            talk.say(what(tag))
    return attack


def imap_expunge_in_fetch(talk):
    """Each message goes while it is read, and the box is numbered anew for each session."""
    validity = talk.rng.randrange(1 << 31)
    talk.hello()
    while True:
        tag, _, words = talk.line().partition(b" ")
        words = words.upper()
        if words.startswith((b"SELECT", b"EXAMINE")):
            talk.say(b"* 3 EXISTS\r\n* OK [UIDVALIDITY %d] x\r\n* OK [UIDNEXT 4] x\r\n" % int(time.time() * 1000 % (1 << 31)))
        elif words.startswith(b"UID FETCH") and b"BODY" in words:
            talk.say(b"* 1 FETCH (UID 1 BODY[] {60}\r\nSubject: x\r\n* 1 EXPUNGE\r\n" + b"x" * 35 + b")\r\n* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n"
                     b"* OK [UIDVALIDITY %d] x\r\n* 5 EXISTS\r\n" % validity)
        elif words.startswith(b"UID FETCH"):
            talk.say(b"".join(b"* %d FETCH (UID %d FLAGS () RFC822.SIZE 60)\r\n" % (n, n) for n in (1, 2, 3)))
        talk.say(tag + b" OK done\r\n")


def imap_search(answer):
    def attack(talk):
        tag, _ = talk.imap(b"UID FETCH")
        talk.say(tag + b" NO not so\r\n")
        tag = talk.line().split(b" ")[0]
        talk.say(answer(tag))
        talk.forever(b"* OK more\r\n")
    return attack


def imap_byes(talk):
    talk.imap(b"SELECT")
    talk.say(b"* BYE go away\r\n")


def imap_alerts(talk):
    talk.hello()
    number = itertools.count()
    while True:
        talk.say(b"".join(b"* OK [ALERT] please read this, number %d\r\n" % next(number) for _ in range(100)))


def pop3_after(command, *what):
    def attack(talk):
        talk.pop3(command)
        talk.say(b"+OK\r\n")
        talk.forever(*what)
    return attack


def pop3_numbers(talk):
    """High numbers only, and the same UIDL for all."""
    talk.pop3(b"LIST", 4000000)
    talk.say(b"+OK\r\n" + b"4000000 4294967295\r\n" * 10 + b".\r\n+OK\r\n")
    for start in range(1, 4000000, 1000):
        talk.say(b"".join(b"%d same\r\n" % (n,) for n in range(start, start + 1000)))
    talk.say(b".\r\n")
    silent(talk)


def pop3_ahead(talk):
    """All answers before any question."""
    talk.say(HELLO["pop3"] + CAPA + b"+OK 1 1\r\n+OK\r\n1 1\r\n.\r\n+OK\r\n1 x\r\n.\r\n+OK\r\nSubject: x\r\n\r\n.\r\n")
    silent(talk)


def smtp_after(command, *what):
    def attack(talk):
        talk.smtp(command)
        talk.forever(*what)
    return attack


def smtp_ahead(talk):
    talk.say(HELLO["smtp"] + EHLO + b"250 a\r\n250 b\r\n354 c\r\n250 d\r\n" * 1000)
    silent(talk)


def smtp_pieces(talk):
    """Each reply a byte at a time, cut within."""
    talk.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    cut = talk.rng.randrange(300) if False else int(time.time() * 1000) % 120
    for byte in (HELLO["smtp"] + EHLO + b"250 a\r\n250 b\r\n354 c\r\n250 d\r\n")[:cut]:
        talk.say(bytes((byte,)))


def starttls_and_more(talk):
    """The go-ahead for TLS and what an attacker puts behind it, in one piece."""
    if talk.protocol == "imap":
        talk.say(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] x\r\n")
        tag = talk.line().split(b" ")[0]
        talk.say(tag + b" OK go\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n")
    elif talk.protocol == "pop3":
        talk.hello()
        talk.line()
        talk.say(b"+OK\r\nSTLS\r\n.\r\n")
        talk.line()
        talk.say(b"+OK go\r\n+OK\r\n")
    else:
        talk.hello()
        talk.line()
        talk.say(b"250-me\r\n250 STARTTLS\r\n")
        talk.line()
        talk.say(b"220 go\r\n250 me\r\n")
    silent(talk)


ALL = ("imap", "pop3", "smtp")
ATTACKS = {
    "nothing": (ALL, flood_of_nothing), "empty lines": (ALL, flood_of_empty_lines), "NULs": (ALL, flood_of_nuls),
    "reset": (ALL, reset_at_once), "half-closed": (ALL, half_closed), "silent": (ALL, silent), "drip": (ALL, drip),
    "STARTTLS and more": (ALL, starttls_and_more),
    "EXISTS": (("imap",), imap_storm(b"* 4000000 EXISTS\r\n* 1 EXISTS\r\n")),
    "EXPUNGE": (("imap",), imap_storm(b"* 1 EXPUNGE\r\n")),
    "flags": (("imap",), imap_storm(b"* 1 FETCH (FLAGS (\\Seen))\r\n")),
    "deep": (("imap",), imap_storm(b"* 1 FETCH " + b"(" * 5000)),
    "literals": (("imap",), imap_storm(b"* 1 FETCH (BODY[] {4294967296}\r\n" + b"x" * 5000)),
    "literal beyond": (("imap",), imap_storm(b"* 1 FETCH (BODY[] {99999999999999999999}\r\n")),
    "go on": (("imap",), imap_storm(b"+ go on\r\n")),
    "IDLE EXISTS": (("imap",), imap_idle_storm(b"* 1 EXISTS\r\n* 0 EXISTS\r\n")),
    "IDLE EXPUNGE": (("imap",), imap_idle_storm(b"* 5 EXISTS\r\n" + b"* 1 EXPUNGE\r\n" * 5)),
    "4 millions": (("imap",), imap_list(four_millions)), "4 millions downwards": (("imap",), imap_list(downwards)),
    "one again and again": (("imap",), imap_list(one_again_and_again)),
    "bodies unasked": (("imap",), imap_body(lambda tag: b"* 9 FETCH (UID 9 BODY[] {50000}\r\n" + b"x" * 50000 + b")\r\n")),
    "bodies twice": (("imap",), imap_body(lambda tag: b"* 1 FETCH (UID 1 BODY[] {60}\r\n" + b"x" * 60 + b")\r\n")),
    "larger than said": (("imap",), imap_body(lambda tag: b"* 1 FETCH (UID 1 BODY[] {2000000000}\r\n" + b"x" * 65536)),
    "goes while it is read": (("imap",), imap_expunge_in_fetch),
    "SEARCH of all": (("imap",), imap_search(lambda tag: b"* ESEARCH (TAG \"" + tag + b"\") UID ALL 1:4294967295\r\n" + tag + b" OK\r\n")),
    "SEARCH again": (("imap",), imap_search(lambda tag: b"* SEARCH 1 2 3\r\n" * 100000 + tag + b" OK\r\n")),
    "BYE": (("imap",), imap_byes), "ALERT": (("imap",), imap_alerts),
    "LIST": (("pop3",), pop3_after(b"LIST", b"1 1\r\n")), "long UIDL": (("pop3",), pop3_after(b"UIDL", b"1 " + b"x" * 10000 + b"\r\n")),
    "RETR": (("pop3",), pop3_after(b"RETR", b"x" * 70 + b"\r\n")), "RETR without a line end": (("pop3",), pop3_after(b"RETR", b"x")),
    "CAPA": (("pop3",), pop3_after(b"CAPA", b"X-WORD\r\n")), "numbers": (("pop3",), pop3_numbers), "ahead": (("pop3",), pop3_ahead),
    "EHLO": (("smtp",), smtp_after(b"EHLO", b"250-X-WORD\r\n")), "354": (("smtp",), smtp_after(b"MAIL", b"354 go\r\n")),
    "RCPT lines": (("smtp",), smtp_after(b"RCPT", b"250-more\r\n")), "early": (("smtp",), smtp_after(b"DATA", b"250 taken\r\n")),
    "all ahead": (("smtp",), smtp_ahead), "pieces": (("smtp",), smtp_pieces),
}


class Hostile:
    """In a process of its own: it is not to take time from the honest one."""

    def __init__(self, protocol, attack):
        self.protocol, self.attack = protocol, attack
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.count = multiprocessing.get_context("fork").Value("i", 0)
        self.process = multiprocessing.get_context("fork").Process(target=self.serve, daemon=True)
        self.process.start()
        self.listener.close()

    @property
    def sessions(self):
        return self.count.value

    def serve(self):
        os.nice(5)
        while True:
            peer, _ = self.listener.accept()
            self.count.value += 1
            threading.Thread(target=self.talk, args=(peer,), daemon=True).start()

    def talk(self, peer):
        with contextlib.suppress(OSError, ValueError):
            self.attack(Talk(peer, self.protocol))
        peer.close()

    def stop(self):
        self.process.kill()
        self.process.join()


def honest_latency(world):
    """Seconds from a submission to its arrival."""
    before = len(world.sink.accepted)
    began = time.monotonic()
    world.station.call("Submit", account="out", **{"from": "a@example.test"}, recipients=["b@example.test"],
                       message=world.letter)
    waiting.until(lambda: len(world.sink.accepted) > before, 30 * station_module.PATIENCE)
    return time.monotonic() - began


def try_one(world, name, protocol, attack, options):
    server = Hostile(protocol, attack)
    names = [f"bad{number}" for number in range(options.accounts)]
    plain = {"useSsl": False, "hostname": "127.0.0.1", "connectionTimeout": 2, "port": server.port}
    if attack is starttls_and_more:
        plain["useStartTls"] = True
    before, fds = world.resident(), world.descriptors()
    for one in names:
        if protocol == "smtp":
            world.station.add("outgoing", one, None, **plain)
            world.station.call("Submit", account=one, **{"from": "a@example.test"}, recipients=["b@example.test"], message=world.letter)
        else:
            world.station.add("incoming", one, None, transport=protocol, pollRate=2, **plain)
    until, times, most, answer = time.monotonic() + options.seconds, [], 0, 0
    while time.monotonic() < until:
        times.append(honest_latency(world))
        answer = max(answer, world.answers())
        most = max(most, world.resident())
        time.sleep(0.05)
    states = sorted({str(world.station.account(one)["state"]) for one in names if world.station.account(one)}) \
        if "state" in world.station.account(names[0]) else []
    for one in names:
        world.station.call("DeleteAccount", name=one, force=True)
    server.stop()
    world.settles(world.descriptors, fds + 2)
    world.alive()
    times.sort()
    print(f"{name:24} {protocol:5} {server.sessions:5} sessions; honest {times[len(times) // 2] * 1000:6.1f} ms, worst "
          f"{times[-1] * 1000:7.1f}; socket worst {answer * 1000:6.1f}; memory {before:6.1f} +{most - before:6.1f} "
          f"{world.resident() - before:+6.1f} MiB; {' '.join(states)}", flush=True)
    return times[len(times) // 2], most - before


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--accounts", type=int, default=8)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    import base64
    with World(accounts=False) as world:
        world.letter = base64.b64encode(letters.crlf(letters.letter("x"))).decode()
        world.station.add("outgoing", "out", None, useSsl=False, hostname="127.0.0.1", port=world.sink.port)
        honest_latency(world)
        quiet = sorted(honest_latency(world) for _ in range(30))
        print(f"quiet: honest {quiet[15] * 1000:.1f} ms, worst {quiet[-1] * 1000:.1f}; {world.resident():.1f} MiB", flush=True)
        for name, (protocols, attack) in ATTACKS.items():
            for protocol in protocols:
                if re.search(options.only, f"{name} {protocol}"):
                    try_one(world, name, protocol, attack, options)
        print("\n".join(sorted({line for line in world.station.log().splitlines() if "Sanitizer" in line})))


if __name__ == "__main__":
    sys.exit(main())
