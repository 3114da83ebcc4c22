#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Fails the n-th call of each kind in each operation, or kills the daemon before or after it; then nothing may have
crashed, what is there is the old state or the new one, whole, the new one when that was answered and the old one when it
was refused, in memory and after the next start; nothing accepted is lost, nothing received twice.

    torture.py [--seconds 120] [--seed N] [--only OPERATION] [--point KIND,ACTION,N,ERROR,STICKY]

Without --seconds every point is tried; with it, as many as there is time for, drawn by the seed."""

import argparse
import base64
import errno
import itertools
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from world import World, letters, pki, station_module, users, varlink, waiting

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = ("disk", "open", "write", "pwrite", "sync", "rename", "unlink", "truncate", "mkdir", "read", "mmap", "connect",
         "accept", "thread", "malloc")
ACTIONS = ("fail", "before", "after")
SERVICE, TRUST = varlink.SERVICE, varlink.TRUST
# What differs between two looks at the same state.
PASSING = set("""created decided lastSeen time status faultCause lastPollSuccess lastPollFailure lastPollFailureCause history warnings
    submitted expires nextAttempt attempts cause tls text numberSent numberSentToday queueSize numberDiscarded lastDiscard
    lastDiscardCause numberReceived lastReceived needless numberDeferred loginMechanism challenge heldBy waitingFor lastChecked
    missing identity started""".split())
NOT_ANSWERED, REFUSED, ANSWERED = "not answered", "refused", "answered"


def lasting(value):
    if isinstance(value, dict):
        return {key: lasting(one) for key, one in value.items() if key not in PASSING}
    return [lasting(one) for one in value] if isinstance(value, list) else value


class Plan:
    """struct plan of nth_call.c."""

    def __init__(self, folder, below):
        path = os.path.join(folder, "plan")
        with open(path, "wb") as out:
            out.write(bytes(4096))
        users.give(path)
        os.chmod(path, 0o666)
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)
        library = os.path.join(folder, "nth_call.so")
        subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O1", "-fPIC", "-shared", "-o", library,
                        os.path.join(HERE, "nth_call.c")], check=True)
        os.chmod(library, 0o755)
        self.environment = {"LD_PRELOAD": library, "NTH_CALL": path, "NTH_BELOW": below + "/"}

    def arm(self, kind, action="fail", nth=1 << 30, error=errno.EIO, sticky=False):
        self.memory[:] = bytes(4096)
        struct.pack_into("=6i", self.memory, 0, 0, KINDS.index(kind), nth, ACTIONS.index(action), error, int(sticky))
        struct.pack_into("=i", self.memory, 0, 1)

    def disarm(self):
        struct.pack_into("=i", self.memory, 0, 0)

    def struck(self):
        return struct.unpack_from("=i", self.memory, 24)[0]

    def counts(self):
        return dict(zip(KINDS, struct.unpack_from(f"={len(KINDS)}i", self.memory, 28)))


class Torture:
    def __init__(self, world):
        self.world, self.station = world, world.station
        self.kept = self.station.state + ".kept"
        self.wrong, self.tried = [], 0
        self.prepare()

    # ---- the state to begin from

    def prepare(self):
        station, world = self.station, self.world
        station.stop()
        self.plan = Plan(station.folder, station.state)
        station.extra_environment.update(self.plan.environment)
        station.start()
        off = {"enabled": False, "useSsl": False, "hostname": "127.0.0.1"}
        station.add("outgoing", "b", "old-password", port=1, account="me", **off)
        station.add("outgoing", "s", None, port=world.sink.port, **off)
        station.add("outgoing", "c", hostname="127.0.0.1", port=world.secret_sink.port, account="me")
        station.add("incoming", "in", transport="imap", hostname="127.0.0.1", port=world.boxes["imap"].port, account="me",
                    pollRate=3600, push=False, enabled=False)
        self.sent_ids = [self.submit(name, f"<{name}{number}@example.test>", size)
                         for name, number, size in (("b", 1, 10), ("s", 1, 10), ("s", 2, 10), ("s", 3, 600000), ("b", 2, 600000))]
        self.mine, self.mine_large = self.sent_ids[0], self.sent_ids[-1]
        station.wait_status("c", "fault", "challenge", "down") if self.submit("c", "<c@example.test>") else None
        self.entry = waiting.until(lambda: self.entries(), 20)[0]
        station.call("SetAccount", name="c", properties={"enabled": False})
        station.call(TRUST + "ImportAnchors", certificates=self.text(world.certificates.user.pem))
        station.stop()
        shutil.copytree(station.state, self.kept, copy_function=shutil.copy2)
        self.own(self.kept)
        self.fresh()
        self.old = self.state()
        station.stop()

    def entries(self):
        return self.station.call(TRUST + "ListAllowedHosts")["entries"]

    @staticmethod
    def text(content):
        return base64.b64encode(content).decode()

    def letter(self, message_id, size=10):
        return self.text(letters.crlf(letters.letter("x", body="x" * 60 + "\n", message_id=message_id)) + b"y" * 70 + (b"\r\n" + b"y" * 70) * (size // 72))

    def submit(self, account, message_id, size=10, **more):
        return self.station.call("Submit", account=account, **{"from": "a@example.test"}, recipients=["r@example.test"],
                                 message=self.letter(message_id, size), **more)["id"]

    def own(self, path):
        for folder, _, files in os.walk(path):
            for name in [folder] + [os.path.join(folder, one) for one in files]:
                users.give(name)

    def fresh(self, start=True):
        self.plan.disarm()
        shutil.rmtree(self.station.state)
        shutil.copytree(self.kept, self.station.state, copy_function=shutil.copy2)
        self.own(self.station.state)
        os.chmod(self.station.state, 0o700)
        with self.world.sink._changed:
            self.world.sink.accepted.clear()
        if start:
            self.station.start()

    def state(self):
        """What there is, as lines that can be compared."""
        ask = self.station.call
        queue = [[one["account"], one["size"], one["state"]] for one in ask("ListQueue")["messages"] if one["account"] in ("b", "n")]
        secrets = {}
        folder = os.path.join(self.station.state, "secrets")
        for name in os.listdir(folder):
            if not name.startswith("."):
                with open(os.path.join(folder, name), errors="replace") as source:
                    secrets[name] = source.read()
        return repr((lasting(ask("ListAccounts")["accounts"]), lasting(self.entries()), sorted(map(repr, lasting(ask(TRUST + "ListAnchors")["anchors"]))),
                     lasting(ask(TRUST + "ListKeys")["keys"]), sorted(queue), sorted(secrets.values())))

    def strays(self):
        """Files of bodies that no message has, after a start."""
        large = sum(one["size"] >= 1 << 18 for one in self.station.call(SERVICE + "ListQueue")["messages"])
        there = len(os.listdir(os.path.join(self.station.state, "bodies")))
        return None if there == large else f"{there} files of bodies and {large} large messages"

    def state_again(self):
        """The state of a daemon in which a call has failed: what it could not read it reads again every few seconds."""
        def read():
            try:
                return self.state()
            except varlink.VarlinkError as error:
                if not error.cause.get("retries"):
                    raise
                return None
        return waiting.until(read, 20)

    # ---- the operations

    def changes(self):
        world, off = self.world, {"hostname": "z.example", "enabled": False}
        accounts = [{"name": "b", "kind": "outgoing", "properties": off}, {"name": "z1", "kind": "outgoing", "properties": off},
                    {"name": "z2", "kind": "incoming", "properties": {**off, "transport": "imap"}}]
        key, other = world.certificates.leaf("client-only", "client"), pki.authority("Other root")
        fingerprint = self.entry["certificate"]["fingerprintSha256"]
        return {
            "set": (SERVICE + "SetAccount", {"name": "b", "properties": {"hostname": "new.example", "port": 2, "connectionTimeout": 77}}),
            "add": (SERVICE + "AddAccount", {"name": "n", "kind": "outgoing", "properties": off}),
            "delete": (SERVICE + "DeleteAccount", {"name": "b", "force": True}),
            "password": (SERVICE + "SetPassword", {"name": "b", "password": "new-password"}),
            "clear": (SERVICE + "SetPassword", {"name": "b", "clear": True}),
            "apply": (SERVICE + "Apply", {"accounts": accounts}),
            "apply-many": (SERVICE + "Apply", {"accounts": [{**accounts[n % 3], "name": f"z{n}"} for n in range(18)]}),
            "approve": (TRUST + "Approve", {"id": self.entry["id"], "fingerprint": fingerprint}),
            "reject": (TRUST + "Reject", {"id": self.entry["id"], "reason": "no"}),
            "forget": (TRUST + "DeleteAllowedHost", {"id": self.entry["id"]}),
            "import": (TRUST + "ImportAnchors", {"certificates": self.text(world.certificates.intermediate.pem + other.pem)}),
            "unimport": (TRUST + "DeleteAnchor", {"fingerprint": world.certificates.user.fingerprint}),
            "key": (TRUST + "ImportKey", {"name": "k", "key": self.text(key.key_pem + key.chain_pem)}),
            "submit": (SERVICE + "Submit", {"account": "b", "from": "a@example.test", "recipients": ["r@example.test"], "message": self.letter("<n@example.test>"), "key": "k1"}),
            "submit-big": (SERVICE + "Submit", {"account": "b", "from": "a@example.test", "recipients": ["r@example.test"], "message": self.letter("<n@example.test>", 700000), "key": "k1"}),
            "queue-delete": (SERVICE + "DeleteMessages", {"ids": [self.mine]}),
            "queue-delete-big": (SERVICE + "DeleteMessages", {"ids": [self.mine_large]}),
            "queue-hold": (SERVICE + "HoldMessages", {"ids": [self.mine]}),
            "reload": (SERVICE + "Reload", {}),
        }

    def call(self, method, parameters):
        try:
            with varlink.Client(self.station.socket, 15) as client:
                client.call(method, **parameters)
            return ANSWERED
        except varlink.VarlinkError:
            return REFUSED
        except (OSError, varlink.Closed):
            return NOT_ANSWERED

    def change(self, name):
        """A function (point or None) -> None for one of the changes, and how many calls of each kind it makes."""
        method, parameters = self.changes()[name]
        self.fresh()
        self.plan.arm("disk")
        assert self.call(method, parameters) == ANSWERED, name
        select_pause()
        counts = self.plan.counts()
        self.plan.disarm()
        new = {self.state()}
        self.station.restart()
        new.add(self.state())
        self.station.stop()

        def kind(now):
            return "new" if now in new else "old" if now == self.old else "neither old nor new"

        def run(point):
            self.fresh()
            self.plan.arm(*point)
            said = self.call(method, parameters)
            select_pause()
            self.plan.disarm()
            right = {NOT_ANSWERED: ("old", "new"), REFUSED: ("old",), ANSWERED: ("new",)}[said]
            if new == {self.old}:
                right = ("new",)
            if self.survived(point):
                now = kind(self.state_again())
                if now not in right and said != NOT_ANSWERED:
                    return f"{said}, and in the daemon it is {now}"
                self.station.stop()
            self.station.start()
            now, strays = kind(self.state()), self.strays()
            self.station.stop()
            return strays or (None if now in right else f"{said}, and after the next start it is {now}")
        return run, counts

    def send(self):
        """The queue of account s is sent."""
        def run(point):
            self.fresh()
            self.plan.arm(*point)
            self.call(SERVICE + "SetAccount", {"name": "s", "properties": {"enabled": True}})
            try:
                waiting.until(lambda: self.dead() or len(self.world.sink.accepted) >= 3, 2)
            except AssertionError:
                pass
            select_pause()
            self.plan.disarm()
            if self.survived(point):
                self.station.stop()
            self.station.start()
            self.call(SERVICE + "SetAccount", {"name": "s", "properties": {"enabled": True}})
            self.call(SERVICE + "FlushQueue", {"name": "s"})
            counts = {f"<s{number}@example.test>" for number in (1, 2, 3)}
            try:
                waiting.until(lambda: counts <= set(self.world.sink.counts()), 20)
            except AssertionError:
                self.station.stop()
                return f"lost: {counts - set(self.world.sink.counts())}"
            try:
                waiting.until(lambda: not self.strays(), 20)
            except AssertionError:
                return self.strays()
            finally:
                self.station.stop()
            return None
        return run, self.counts_of(run)

    def receive(self):
        def poll():
            return self.call(SERVICE + "Poll", {"name": "in", "wait": True})

        def run(point):
            self.fresh()
            self.plan.arm(*point)
            self.call(SERVICE + "SetAccount", {"name": "in", "properties": {"enabled": True}})
            poll()
            self.plan.disarm()
            if self.survived(point):
                self.station.stop()
            self.station.start()
            self.call(SERVICE + "SetAccount", {"name": "in", "properties": {"enabled": True}})
            wanted = sorted(line.split(b": ", 1)[1].decode() for message in self.world.boxes["imap"].messages
                            for line in message.content.split(b"\r\n") if line.startswith(b"Message-ID"))

            def got():
                poll()
                return letters.message_ids(self.station.inbox("in")) == wanted
            try:
                waiting.until(got, 20)
            except AssertionError:
                return f"received {letters.message_ids(self.station.inbox('in'))} and not {wanted}"
            finally:
                self.station.stop()
            return None
        return run, self.counts_of(run)

    def restart(self):
        def run(point):
            self.fresh(start=False)
            self.plan.arm(*point)
            try:
                self.station.start()
            except (AssertionError, varlink.Closed, varlink.VarlinkError, OSError):
                select_pause()      # it ends, or a single connection or call was refused
            self.plan.disarm()
            if self.survived(point, starting=True):
                self.station.stop()
            self.station.start()
            now = self.state()
            self.station.stop()
            return None if now == self.old else "after the next start it is not as it was"
        return run, self.counts_of(run)

    def counts_of(self, run):
        assert run(("disk",)) is None
        return self.plan.counts()

    # ---- one point

    def dead(self):
        return not self.station.running()

    def survived(self, point, starting=False):
        """False when the daemon ended by what the point wants; a crash is an error. A start may be refused."""
        if point[0] not in ("malloc", "thread") and (len(point) < 2 or point[1] == "fail"):
            code = self.station.process.poll()
        else:
            try:
                code = self.station.process.wait(0.05)
            except subprocess.TimeoutExpired:
                code = None
        if code is None:
            return True
        self.station._gone()
        in_library = point[0] == "malloc" and "libc.so.6(getaddrinfo" in self.station.log()[-2500:]   # glibc's own fault
        if not allowed_end(code, point) and not (starting and (code > 0 or in_library)):
            raise AssertionError(f"the daemon ended with {code}: {self.station.log()[-2500:]!r}")
        return False

    def ended_late(self, point):
        """It was ended by what the point wants, when nobody looked any more. What is on disk is looked at by others."""
        if point[0] not in ("malloc", "thread") and point[1] == "fail":
            return False
        try:
            code = self.station.process.wait(2)
        except (subprocess.TimeoutExpired, AttributeError):
            return False
        self.station._gone()
        return allowed_end(code, point) and code != 0

    def attempt(self, name, run, point):
        self.tried += 1
        try:
            problem = run(point)
        except (AssertionError, varlink.Closed, varlink.VarlinkError, OSError, ValueError) as error:
            problem = None if self.ended_late(point) else f"{type(error).__name__}: {error}"
        if problem:
            words = ",".join(str(int(one) if isinstance(one, bool) else one) for one in point)
            self.wrong.append(f"--only {name} --point {words}: {problem[:4000]}")
            print(f"  WRONG {self.wrong[-1]}", flush=True)
            if self.station.running():
                self.station.process.kill()
                self.station.process.wait()
            self.station._gone()


def allowed_end(code, point):
    if point[0] in ("malloc", "thread"):     # the policy of cleanup.h and workers.c
        return code in (-signal.SIGABRT, -signal.SIGKILL) or code > 0
    return code == -signal.SIGKILL and point[1:2] != ("fail",)


def select_pause():
    """For what the daemon does after its answer."""
    time.sleep(0.03)


def points(counts):
    """Every point of an operation that makes so many calls."""
    for kind in KINDS[1:]:
        errors = {"write": (errno.ENOSPC, errno.EIO), "pwrite": (errno.ENOSPC, errno.EIO), "open": (errno.EMFILE, errno.ENOSPC),
                  "thread": (errno.EAGAIN,), "malloc": (errno.ENOMEM,), "connect": (errno.ENETUNREACH,),
                  "accept": (errno.EMFILE,)}.get(kind, (errno.EIO,))
        for nth, error, sticky in itertools.product(range(counts[kind]), errors, (False, True)):
            if not (sticky and kind in ("malloc", "accept")):
                yield kind, "fail", nth, error, sticky
    for nth, action in itertools.product(range(counts["disk"] + 1), ("before", "after")):
        yield "disk", action, nth, errno.EIO, False


def by_turns(some, rng):
    """In an order in which each kind of call comes soon."""
    rng.shuffle(some)
    rows = {}
    for point in some:
        rows.setdefault(point[:2], []).append(point)
    return [point for row in itertools.zip_longest(*rows.values()) for point in row if point]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default=None)
    parser.add_argument("--point", default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    rng = random.Random(seed)
    began = time.monotonic()
    print(f"torture: seed {seed}" + (f", {options.seconds:g} s" if options.seconds else ""), flush=True)
    with World(accounts=False) as world:
        torture = Torture(world)
        names = [*torture.changes(), "send", "receive", "restart"]
        rng.shuffle(names)
        names = [options.only] if options.only else names
        if options.point:
            kind, action, nth, error, sticky = options.point.split(",")
            run, _ = getattr(torture, names[0])() if names[0] in ("send", "receive", "restart") else torture.change(names[0])
            torture.attempt(names[0], run, (kind, action, int(nth), int(error), sticky == "1"))
            names = []
        all_points = 0
        for row, name in enumerate(names):
            run, counts = getattr(torture, name)() if name in ("send", "receive", "restart") else torture.change(name)
            mine = list(points(counts))
            all_points += len(mine)
            mine = by_turns(mine, rng)
            share = began + options.seconds * (row + 1) / len(names) if options.seconds else None
            tried = torture.tried
            for point in mine:
                if share and time.monotonic() > share:
                    break
                torture.attempt(name, run, point)
            print(f"torture: {name}: {torture.tried - tried} of {len(mine)} points", flush=True)
        print(f"torture: {torture.tried} of {all_points} points, {len(torture.wrong)} wrong")
        return 1 if torture.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
