#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A stateful fuzzer of the control socket, made from the .varlink files: every method with right and wrong types,
descriptors of every sort, pipelining, half-closing, not reading, going away at each reply; several users at once.
The daemon must live, answer its administrator, keep its contract in each reply, and be as before at the end.

    socket_fuzz.py [--seconds 120] [--seed N] [--users 6]

What one user does follows from the seed and the number of the user alone."""

import argparse
import base64
import contextlib
import grp
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import tempfile
import time
import traceback

from world import ADMIN_GROUP, READ_GROUP, World, varlink

import idl
import station as station_module
import users

LETTER = b"From: a@example.test\r\nTo: b@example.test\r\nSubject: x\r\n\r\nbody\r\n"
NAMES = ["out", "dead", "unknown", "imap", "pop3", "new", "other", "", "a/b", "../x", "x" * 300, "ü", "out\0", "\n"]
PROPERTIES = {"hostname": ["127.0.0.1", "host.invalid", "", "x" * 300, 7], "port": [1, 25, 0, 70000, "auto", None],
              "useSsl": [True, False, "yes"], "useStartTls": [True, False], "account": ["me", ""],
              "transport": ["imap", "pop3", "smtp", "x"], "pollRate": [0, 1, 60, -1, 1 << 62], "enabled": [True, False],
              "folder": ["INBOX", "a,b", ",,", "*"], "maxMessageSize": [0, 1, 1 << 40], "nothing": [1],
              "from": ["a@b.example", "a b", ""], "maxConnections": [1, 64, 65], "push": [True, False]}
# Words that mean something in a parameter of that name.
WORDS = {
    "name": NAMES, "account": NAMES, "kind": ["outgoing", "incoming", "x"], "transport": ["smtp", "imap", "pop3", "x"],
    "security": ["ssl", "starttls", "none", "x"], "host": ["127.0.0.1", "host.invalid", "", "[::1]"],
    "recipients": [["b@example.test"], [], ["b@example.test"] * 50, ["no address"], [""], ["a@b", "c@d", "\r\nRCPT"]],
    "from": [None, "", "a@example.test", "x", "a@b\r\n"], "priority": ["urgent", "normal", "low", "x"],
    "message": [base64.b64encode(LETTER).decode(), "", "!!!", base64.b64encode(b"x" * 3000).decode()],
    "descriptor": [0, 1, -1, 1 << 40], "states": [["queued"], ["sent", "failed"], ["x"], []],
    "limit": [1, 0, -1, 1000000], "after": ["", "x", "zzzz"], "fingerprint": ["00" * 32, "", "x"],
    "pins": ["certificate", "key", "x"], "until": ["2031-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "x"],
    "certificates": ["", "AAAA", base64.b64encode(os.urandom(900)).decode()], "secret": ["password", "x"],
    "credential": ["nosuch", "a/b"], "interface": ["io.emailsec.Trust", "io.emailsec.EmailService", "x"],
    "subscriber": ["s1", "s2", ""], "cursor": ["0.0", "1.1", "x", ""], "since": ["0.0", "1.1", "x"],
    "events": [["mail."], [], ["x"] * 50, ["account.status"]], "notify": [["never"], ["failure", "delay"], ["x"]],
    "ret": ["full", "hdrs", "x"], "accounts": [[], ["out"], ["nosuch"], [{"name": "new", "kind": "outgoing"}], [7]],
}
ODD = [None, True, False, 0, -1, 1 << 62, -(1 << 63), 1.5, 1e300, "", "x", "\0", "\u202e", "x" * 5000, [], {}, [[]],
       [None], {"a": {"b": [1]}}, [0] * 500, "\ud800"]


ANSWERS = {"None": "reply", "False": "reply", "True": "none"}     # by the flag `oneway`


class Maker:
    """Makes calls. Ids that the daemon named are used again."""

    def __init__(self, rng):
        self.rng, self.ids = rng, ["x", "0" * 12, "127.0.0.1:1"]
        self.methods = [(one, method) for one in idl.interfaces().values() for method in one.methods.values()]

    def learn(self, value):
        """Remembers ids in a reply."""
        if isinstance(value, dict):
            for name, one in value.items():
                if name in ("id", "cursor", "fingerprintSha256") and isinstance(one, str):
                    self.ids = self.ids[-60:] + [one]
                else:
                    self.learn(one)
        elif isinstance(value, list):
            for one in value[:20]:
                self.learn(one)

    def value(self, interface, kind, name, depth=0):
        rng = self.rng
        if rng.random() < 0.06:
            return rng.choice(ODD)
        if kind.kind == "optional":
            return None if rng.random() < 0.3 else self.value(interface, kind.of, name, depth)
        if name in ("id", "ids") and rng.random() < 0.9:
            one = rng.choice(self.ids)
            return one if name == "id" else [rng.choice(self.ids) for _ in range(rng.choice((0, 1, 1, 3, 200)))]
        if name == "properties":
            return {key: rng.choice(PROPERTIES[key]) for key in rng.sample(sorted(PROPERTIES), rng.randrange(6))}
        if name in WORDS and rng.random() < 0.9:
            return rng.choice(WORDS[name])
        if kind.kind == "list":
            return [self.value(interface, kind.of, name, depth + 1) for _ in range(rng.choice((0, 1, 2, 40)))]
        if kind.kind == "named" and depth < 4:
            return self.value(interface, interface.types[kind.of], name, depth + 1)
        if kind.kind == "struct":
            return {field: self.value(interface, of, field, depth + 1) for field, of in kind.of.items()}
        if kind.kind == "enum":
            return rng.choice(kind.of)
        return {"string": rng.choice(("x", "", *self.ids)), "int": rng.choice((0, 1, -1, 99999)),
                "bool": rng.random() < 0.5, "object": {}}.get(kind.of, "x")

    def call(self):
        """(interface, method, what becomes of it: "reply", "none" or "?", frame as bytes)"""
        rng = self.rng
        interface, method = rng.choice(self.methods)
        parameters = {name: self.value(interface, kind, name) for name, kind in method.takes.of.items()
                      if kind.kind != "optional" or rng.random() < 0.6}
        if rng.random() < 0.05:
            parameters["no" * rng.randrange(1, 9)] = rng.choice(ODD)
        call = {"method": method.name, "parameters": parameters}
        if rng.random() < 0.4:
            call["more"] = rng.choice((True, True, True, False, 1, "yes", None))
        if rng.random() < 0.08:
            call["oneway"] = rng.choice((True, False, 1, None))
        if rng.random() < 0.02:
            call["upgrade"] = rng.choice((True, False))
        if rng.random() < 0.03:
            call["method"] = rng.choice(("", "x", "io.emailsec.", "org.varlink.service.GetInfo", 7, method.name + "x"))
        becomes = "?" if call["method"] != method.name else ANSWERS.get(str(call.get("oneway")), "?")
        text = json.dumps(call).encode()
        if rng.random() < 0.03:
            text, becomes = self.broken(text), "?"
        return interface, method, becomes, text + b"\0"

    def broken(self, text):
        rng, at = self.rng, self.rng.randrange(len(text))
        return rng.choice((
            text[:at], text[at:], text[:at] + bytes([rng.randrange(1, 256)]) + text[at + 1:], b"", b"{}", b"[]", b"null",
            b'{"method":' * 2000, b"[" * 100000, b'{"method":"x","parameters":{' + b'"%d":1,' * 3000,
            b'{"parameters":{' + b",".join(b'"%x":0' % n for n in range(20000)) + b'},"method":"x"}',
            b"\xff\xfe" * 100, b'{"method":"' + b"x" * 70000 + b'"}', os.urandom(50).replace(b"\0", b"")))


def descriptors(rng):
    """(list to send, list to close)"""
    made = []
    for _ in range(rng.choice((0, 0, 1, 1, 2, 9))):
        kind = rng.choice(("memfd", "sparse", "pipe", "full-pipe", "socket", "folder", "null", "zero", "path", "file", "eventfd"))
        if kind in ("memfd", "sparse"):
            fd = os.memfd_create("x")
            os.write(fd, LETTER)
            if kind == "sparse":
                os.ftruncate(fd, rng.choice((1 << 24, 1 << 40, (1 << 62))))
            os.lseek(fd, rng.choice((0, 0, 5)), os.SEEK_SET)
            made.append(fd)
        elif kind in ("pipe", "full-pipe"):
            ends = os.pipe()
            if kind == "full-pipe":
                os.write(ends[1], LETTER)
            made += ends
        elif kind == "socket":
            made += [one.detach() for one in socket.socketpair()]
        elif kind == "eventfd":
            made.append(os.eventfd(0))
        else:
            path = {"folder": "/tmp", "null": "/dev/null", "zero": "/dev/zero", "path": "/etc/hostname", "file": "/etc/passwd"}
            made.append(os.open(path[kind], os.O_PATH if kind == "path" else os.O_RDONLY))
    return made[:12], made


class User:
    """One local user: connection after connection, each with a way of its own."""

    def __init__(self, path, seed, number, until):
        self.path, self.until = path, until
        self.rng = random.Random(f"{seed}/{number}")
        self.maker = Maker(self.rng)
        self.calls = self.replies = 0
        self.problems = {}

    def run(self):
        ways = (self.talk, self.talk, self.talk, self.pipeline, self.deaf, self.half, self.vanish, self.crowd, self.unfinished)
        while time.time() < self.until:
            try:
                self.rng.choice(ways)()
            except (varlink.Closed, OSError, UnicodeEncodeError):
                pass
        return {"calls": self.calls, "replies": self.replies, "problems": self.problems}

    def client(self):
        return varlink.Client(self.path, 5)

    def send(self, client):
        interface, method, becomes, frame = self.maker.call()
        fds, made = descriptors(self.rng) if "descriptor" in method.takes.of or self.rng.random() < 0.03 else ([], [])
        try:
            if self.rng.random() < 0.05 and len(frame) > 2:     # in pieces
                at = self.rng.randrange(1, len(frame))
                client.send_raw(frame[:at], fds)
                client.send_raw(frame[at:])
            else:
                client.send_raw(frame, fds)
        finally:
            for fd in made:
                os.close(fd)
        self.calls += 1
        return interface, method, becomes

    def check(self, interface, method, got):
        """A reply against the contract."""
        self.replies += 1
        self.maker.learn(got.get("parameters"))
        if "error" in got:
            where, _, short = got["error"].rpartition(".")
            errors = interface.errors if where == interface.name else {}
            if where != "org.varlink.service" and short not in errors and where == interface.name:
                self.tell(f"{method.name}: error {short} is not declared")
            elif where == interface.name:
                for what in interface.problems(errors[short], got.get("parameters", {})):
                    self.tell(f"{method.name}: {short}: {what}")
        else:
            for what in interface.problems(method.gives, got.get("parameters", {})):
                self.tell(f"{method.name}: {what}")

    def tell(self, what):
        if len(self.problems) < 40:
            self.problems[what[:200]] = self.problems.get(what[:200], 0) + 1

    def drain(self, client):
        for fd in client.fds:
            os.close(fd)
        client.fds.clear()

    def talk(self):
        """Calls one after the other; a stream is left after a few replies."""
        with self.client() as client:
            for _ in range(self.rng.randrange(1, 30)):
                interface, method, becomes = self.send(client)
                if becomes == "none":
                    continue
                for _ in range(self.rng.choice((1, 1, 2, 8))):
                    client.socket.settimeout(self.rng.choice((0.02, 0.2, 0.2, 2)))
                    try:
                        got = client.receive()
                    except socket.timeout:
                        return
                    finally:
                        self.drain(client)
                    if becomes == "reply":
                        self.check(interface, method, got)
                    if not got.get("continues"):
                        break
                else:
                    return      # a stream goes on
                if becomes == "?":
                    return      # whether that was all nobody can say

    def pipeline(self):
        with self.client() as client:
            client.socket.settimeout(0.5)
            for _ in range(self.rng.randrange(2, 200)):
                self.send(client)
            for _ in range(self.rng.randrange(0, 100)):
                client.receive()
                self.drain(client)

    def deaf(self):
        """Asks for much and reads nothing."""
        with self.client() as client:
            client.socket.settimeout(0.2)
            for _ in range(self.rng.randrange(2, 2000)):
                if self.rng.random() < 0.5:
                    client.send("org.varlink.service.GetInterfaceDescription", {"interface": "io.emailsec.EmailService"})
                elif self.rng.random() < 0.2:
                    client.send("io.emailsec.EmailService.Monitor", {"since": "0.0"}, more=True)
                else:
                    self.send(client)
            select.select([client.socket], [], [], 0.1)

    def half(self):
        with self.client() as client:
            client.socket.settimeout(1)
            for _ in range(self.rng.randrange(1, 4)):
                self.send(client)
            client.socket.shutdown(self.rng.choice((socket.SHUT_WR, socket.SHUT_RD)))
            while True:
                client.receive()
                self.drain(client)

    def vanish(self):
        """Goes away at once, with a reset where the kernel has one, at some reply of what waits."""
        with self.client() as client:
            client.socket.settimeout(0.3)
            name = self.rng.choice(("out", "dead", "unknown", "imap", "pop3"))
            method, parameters, more = self.rng.choice((
                ("TestAccount", {"name": name}, True), ("Probe", {"host": "127.0.0.1", "port": 1}, True),
                ("Poll", {"name": name, "wait": True}, False), ("Monitor", {"since": "0.0"}, True),
                ("Monitor", {"subscriber": self.rng.choice("abcdefgh")}, True),
                ("WaitMessage", {"id": self.rng.choice(self.maker.ids)}, True), ("AuthorizeAccount", {"name": name}, True),
                ("Submit", {"from": "a@example.test", "recipients": ["b@example.test"], "message": base64.b64encode(LETTER).decode()}, False)))
            client.send("io.emailsec.EmailService." + method, parameters, more=more)
            self.calls += 1
            for _ in range(self.rng.randrange(0, 6)):
                client.receive()

    def crowd(self):
        """Many connections that say nothing, or half of something."""
        clients = []
        try:
            for _ in range(self.rng.choice((3, 50, 300))):
                clients.append(varlink.Client(self.path, 0.2))
                if self.rng.random() < 0.3:
                    clients[-1].send_raw(b'{"method":"' + b"x" * self.rng.choice((0, 100, 60000)))
        finally:
            for one in clients:
                one.close()

    def unfinished(self):
        with self.client() as client:
            client.socket.settimeout(0.2)
            method = self.rng.choice(self.maker.methods)[1].name.encode()
            client.send_raw(b'{"method":"' + method + b'","parameters":{"x":"')
            for _ in range(self.rng.randrange(1, 40)):
                client.send_raw(b"y" * 100000)


def as_user(uid, gid, groups, run):
    """Runs it as that user in a process of its own; (pid, reading end of its report)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, os.fdopen(reader)
    code = 1
    try:
        os.close(reader)
        if users.IS_ROOT:
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        with os.fdopen(writer, "w") as out:
            json.dump(run(), out)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def crowd_of(count):
    """(uid, gid, groups): an administrator, a reader, and people without rights."""
    if not users.IS_ROOT:
        return [(os.geteuid(), os.getegid(), [])] * count
    reader, manager = (grp.getgrnam(name).gr_gid for name in (READ_GROUP, ADMIN_GROUP))
    known = [(0, 0, []), (54323, manager, []), (54322, reader, [])]
    return (known + [(54400 + number, 54400 + number, []) for number in range(count)])[:count]


def gather(crowd):
    """Waits for them: (calls, replies, {problem: times})."""
    calls = replies = 0
    problems = {}
    while crowd:
        pid, report = crowd[0]
        said = report.read()
        _, status = os.waitpid(pid, 0)
        del crowd[0]
        assert status == 0, "a user of the fuzzer failed; see above"
        said = json.loads(said)
        calls, replies = calls + said["calls"], replies + said["replies"]
        for what, times in said["problems"].items():
            problems[what] = problems.get(what, 0) + times
    return calls, replies, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--users", type=int, default=6)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"socket_fuzz: seed {seed}, {options.seconds:g} s, {options.users} users", flush=True)
    with World() as world:
        station = world.station
        station.ctl("status", code=None)
        before, slowest = world.descriptors(), 0.0
        until = time.time() + options.seconds
        crowd = [as_user(*who, lambda number=number: User(station.socket, seed, number, until).run())
                 for number, who in enumerate(crowd_of(options.users))]
        try:
            while time.time() < until:
                world.alive()
                slowest = max(slowest, world.answers())
                select.select([], [], [], 0.2)
            calls, replies, problems = gather(crowd)
        finally:
            for pid, _ in crowd:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        world.alive()
        world.settles(world.descriptors, before + 8)
        print(f"socket_fuzz: {calls} calls, {replies} replies held against the contract; the administrator waited at most "
              f"{slowest:.2f} s; {world.resident():.0f} MiB at the end")
        for what, times in sorted(problems.items()):
            print(f"  {times} x {what}")
        assert not problems, "replies that are not as declared"


if __name__ == "__main__":
    main()
