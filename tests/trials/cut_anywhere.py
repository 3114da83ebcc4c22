#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Breaks what is under way at random moments: every connection to a server goes through a relay that resets, closes,
stalls, lies or cuts at a random byte; the mailboxes change while they are read; clients go away at each reply; accounts, passwords, trust and settings change
meanwhile; now and then the daemon is killed and started again. Then the world turns honest, and everything accepted
must have been sent, everything in the mailboxes received, once.

    cut_anywhere.py [--seconds 180] [--seed N] [--no-kill]
"""

import argparse
import base64
import collections
import contextlib
import ctypes
import os
import random
import socket
import sys
import threading
import time
import traceback

from world import World, letters, station_module, varlink, waiting

PATIENCE = station_module.PATIENCE


def reset(one):
    """At once, as connect(2) to no address does it: a close waits for the thread that reads from it at this moment, and
    the peer would hear nothing for as long."""
    ctypes.CDLL(None).connect(one.fileno(), bytes(16), 16)


class Breaker:
    """A relay in front of one server. While `bad`, each connection meets a fate drawn for it."""

    FATES = ("pass", "pass", "reset", "close", "stall", "garbage", "421", "slow")

    def __init__(self, host, port, rng, sealed):
        self.target, self.rng, self.bad = (host, port), rng, True
        self.sealed = sealed        # within TLS
        self.met = collections.Counter()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self):
        self.listener.close()

    def _serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            rng = random.Random(self.rng.random())
            fate = rng.choice(self.FATES) if self.bad else "pass"
            self.met[fate] += 1
            threading.Thread(target=self._relay, args=(client, fate, rng), daemon=True).start()

    def _relay(self, client, fate, rng):
        try:
            server = socket.create_connection(self.target, 5)
        except OSError:
            client.close()
            return
        # Where in the stream: mostly early, at times deep inside a large message.
        at = rng.choice((rng.randrange(1, 400), rng.randrange(1, 8000), rng.randrange(1, 6 << 20)))
        way = rng.choice(("up", "down"))
        for one in (client, server):
            one.settimeout(None)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other = threading.Thread(target=self._pass, args=(client, server, fate if way == "up" else "pass", at, rng), daemon=True)
        other.start()
        self._pass(server, client, fate if way == "down" else "pass", at, rng, down=True)
        other.join()
        client.close()
        server.close()

    def _pass(self, source, target, fate, at, rng, down=False):
        with contextlib.suppress(OSError):
            seen = 0
            while got := source.recv(rng.choice((7, 1460, 65536)) if fate == "slow" and seen < 20000 else 65536):
                if fate not in ("pass", "slow") and seen + len(got) >= at:
                    target.sendall(got[:at - seen])
                    self._strike(fate, source, target, rng, down)
                    return
                target.sendall(got)
                seen += len(got)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _strike(self, fate, source, target, rng, down):
        if fate == "stall":
            deadline = time.monotonic() + rng.choice((0.5, 3, 8))
            while self.bad and time.monotonic() < deadline:
                time.sleep(0.05)
        elif fate == "garbage" and (down or self.sealed):      # else a server would take it for the message
            target.sendall(os.urandom(rng.randrange(1, 3000)))
        elif fate == "421" and down:
            target.sendall(b"421 4.3.2 go away\r\n")
        for one in (source, target):
            if fate == "reset":
                reset(one)
            else:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)


class Trial:
    def __init__(self, world, seed, until, kills):
        self.world, self.station, self.until, self.kills = world, world.station, until, kills
        self.seed = seed
        self.accepted = {}                  # Message-ID: content as submitted
        self.maybe = set()                  # submitted, but the answer was not waited for
        self.lock = threading.Lock()
        self.running = threading.Event()    # the daemon runs
        self.running.set()
        self.counts = collections.Counter()
        self.failures = []

    def rng(self, name):
        return random.Random(f"{self.seed}/{name}")

    def actor(self, name, step):
        """Runs step(rng) again and again until time is up, in a thread of its own."""
        rng = self.rng(name)

        def run():
            while time.monotonic() < self.until and not self.failures:
                self.running.wait()
                try:
                    step(rng)
                    self.counts[name] += 1
                except (varlink.Closed, varlink.VarlinkError, OSError):
                    self.counts[name + " (refused or cut)"] += 1
                    time.sleep(0.02)
                except Exception:
                    self.failures.append(f"{name}: {traceback.format_exc()}")
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    # ---- what they do

    def client(self):
        return varlink.Client(self.station.socket, 20 * PATIENCE)

    def submit(self, rng):
        size = rng.choice((1, 100, 3000, 60000, 300000, 1 << 20, 4 << 20))
        message_id = f"<{rng.getrandbits(64):x}.{time.monotonic_ns()}@example.test>"
        line = bytes(rng.choice(b"abcdefgh.") for _ in range(70)) + b"\r\n"
        body = (line * (size // len(line) + 1))[:size - 2] + b"\r\n"
        content = letters.crlf(letters.letter("x", body="", message_id=message_id)) + body
        parameters = {"account": rng.choice(("plain", "secure")), "from": "a@example.test", "recipients": ["b@example.test"]}
        with self.lock:
            self.maybe.add(message_id)
        fd = os.memfd_create("letter")
        try:
            with os.fdopen(os.dup(fd), "wb") as out:
                out.write(content)
            os.lseek(fd, 0, os.SEEK_SET)
            with self.client() as client:
                if size < 50000 and rng.random() < 0.5:
                    client.send("io.emailsec.EmailService.Submit", {**parameters, "message": base64.b64encode(content).decode()})
                else:
                    client.send("io.emailsec.EmailService.Submit", {**parameters, "descriptor": 0}, [fd])
                if rng.random() < 0.15:
                    return
                client.answer()
                with self.lock:
                    self.accepted[message_id] = content
        finally:
            os.close(fd)
        self.wait_while(lambda: len(self.world.sinks[0].accepted) + len(self.world.sinks[1].accepted) + 60 < len(self.accepted))

    def wait_while(self, what):
        while what() and time.monotonic() < self.until:
            time.sleep(0.05)

    def deliver(self, rng):
        box = rng.choice(list(self.world.boxes.values()))
        body = "x" * 70 + "\n"
        box.add(letters.crlf(letters.letter("x", body=body * rng.choice((1, 100, 3000, 20000)))))
        time.sleep(rng.choice((0.01, 0.1)))
        self.wait_while(lambda: self.unread_count() > 200)

    def shift(self, rng):
        """The mailbox changes while it is read: messages go, all are numbered anew, the server says what nobody asked for."""
        transport, box = rng.choice(list(self.world.boxes.items()))
        what = rng.choice(("expunge", "expunge", "expunge", "number anew", "chatter", "quiet"))
        with box.changed:
            if what == "expunge" and len(box.messages) > 5:
                del box.messages[rng.randrange(len(box.messages))]
            elif what == "number anew" and transport == "imap":
                box.uidvalidity += 1
                box.messages = [type(one)(number + 1, one.content) for number, one in enumerate(box.messages)]
                box.last_uid = len(box.messages)
            elif what == "number anew":
                box.uidls = {one.uid: f"{rng.getrandbits(40):x}-{one.uid}" for one in box.messages}
            elif what == "chatter" and transport == "imap":
                said = rng.choice((b"* 999 EXISTS\r\n", b"* 1 EXPUNGE\r\n* 2 EXPUNGE\r\n", b"* 1 FETCH (FLAGS (\\\\Seen))\r\n" * 50,
                                   b"* OK [ALERT] do read this\r\n", b"\r\n" * 20, b"* 2 EXISTS\r\n* 0 RECENT\r\n"))
                box.edits = [(rb"\A(?=[A-Za-z0-9]+ OK)", said)]
            elif what == "quiet":
                box.edits = []
            box.changed.notify_all()
        self.counts[what] += 1
        time.sleep(rng.choice((0.1, 0.5, 2)))

    def vanish(self, rng):
        name = rng.choice(("plain", "secure", "imap", "pop3", "challenged"))
        method, parameters = rng.choice((("TestAccount", {"name": name}), ("Poll", {"name": name, "wait": True}),
                                         ("Monitor", {"since": "0.0"}), ("Monitor", {"subscriber": rng.choice("ab")}),
                                         ("Probe", {"host": "127.0.0.1", "port": self.world.breakers[1].port}),
                                         ("FlushQueue", {"name": name}), ("GetStatus", {}), ("ListQueue", {})))
        with self.client() as client:
            client.send("io.emailsec.EmailService." + method, parameters, more=method not in ("Poll", "FlushQueue", "GetStatus", "ListQueue"))
            client.socket.settimeout(rng.choice((0.01, 0.1, 1, 4)))
            for _ in range(rng.randrange(0, 6)):
                client.receive()

    def change(self, rng):
        name = rng.choice(("plain", "secure", "imap", "pop3"))
        outgoing = name in ("plain", "secure")
        call = rng.choice((
            lambda: self.station.call("SetAccount", name=name, properties={"enabled": False}),
            lambda: self.station.call("SetAccount", name=name, properties={"enabled": True}),
            lambda: self.station.call("SetAccount", name=name, properties={"maxConnections": rng.randrange(1, 9)} if outgoing
                                      else {"push": rng.random() < 0.7, "pollRate": rng.randrange(1, 20)}),
            lambda: self.station.call("SetAccount", name=name, properties={"debug": False}),
            lambda: self.station.call("SetPassword", name=name, password=letters.PASSWORD),
            lambda: self.station.call("Reload"),
            lambda: self.station.call("io.emailsec.Trust.ImportAnchors", certificates=self.world.anchor),
            lambda: self.station.call("io.emailsec.Trust.DeleteAnchor", fingerprint=self.world.certificates.user.fingerprint),
            lambda: self.decide(rng),
            lambda: self.station.call("SetAccount", name="plain", properties={"enabled": True}),
            lambda: self.hold(rng)))
        call()
        time.sleep(rng.choice((0, 0.05, 0.3)))

    def decide(self, rng):
        entries = self.station.call("io.emailsec.Trust.ListAllowedHosts")["entries"]
        if not entries:
            return
        entry = rng.choice(entries)
        how = rng.choice(("Approve", "Reject", "Unapprove", "DeleteAllowedHost"))
        more = {"fingerprint": entry["certificate"]["fingerprintSha256"]} if how == "Approve" else {}
        self.station.call("io.emailsec.Trust." + how, id=entry["id"], **more)

    def hold(self, rng):
        messages = self.station.call("ListQueue", limit=20)["messages"]
        if messages:
            ids = [rng.choice(messages)["id"]]
            self.station.call(rng.choice(("HoldMessages", "RetryMessages")), ids=ids)
            self.station.call("ReleaseMessages", ids=ids)

    def kill(self):
        """By the main thread: a daemon ends with the thread that started it."""
        self.running.clear()
        try:
            self.station.kill_process()
            self.station.start()
            self.counts["kill"] += 1
        finally:
            self.running.set()

    # ---- the end

    def honest(self):
        """The world turns honest: what was promised must come true."""
        for breaker in self.world.breakers:
            breaker.bad = False
        for box in self.world.boxes.values():
            box.edits = []
        for name in ("plain", "secure", "imap", "pop3"):
            self.station.call("SetAccount", name=name, properties={"enabled": True})
        held = self.station.call("ListQueue", states=["held"])["messages"]
        if held:
            with contextlib.suppress(varlink.VarlinkError):
                self.station.call("ReleaseMessages", ids=[one["id"] for one in held])

        def done():
            for name in ("plain", "secure"):
                self.station.call("FlushQueue", name=name)
                with contextlib.suppress(varlink.VarlinkError):
                    self.station.call("Poll", name=name, wait=False)
            for name in ("imap", "pop3"):
                with contextlib.suppress(varlink.VarlinkError):
                    self.station.call("Poll", name=name, wait=False)
            return not self.unsent() and not self.unread() and not self.queued()
        waiting.until(done, 60 * PATIENCE, lambda: f"not sent: {self.unsent()}; not received: {self.unread()}; "
                                                   f"in the queue: {self.queued()}")
        self.compare()

    def unread_count(self):
        """About how many messages are still to be received; cheap."""
        return sum(len(box.messages) - len(self.station.inbox(name)) for name, box in self.world.boxes.items())

    def queued(self):
        return [(one["id"], one["state"], one.get("cause")) for one in self.station.call("ListQueue")["messages"]][:5]

    def sent(self):
        return [one for sink in self.world.sinks for one in sink.accepted]

    def unsent(self):
        return sorted(set(self.accepted) - {one.message_id for one in self.sent()})[:5]

    def unread(self):
        missing = {}
        for name, box in self.world.boxes.items():
            have = set(letters.message_ids(self.station.inbox(name)))
            with box.lock:
                wanted = {line.split(b": ", 1)[1].decode() for message in box.messages
                          for line in message.content.split(b"\r\n\r\n")[0].split(b"\r\n") if line.startswith(b"Message-ID")}
            if wanted - have:
                missing[name] = len(wanted - have)
        return missing

    def compare(self):
        for one in self.sent():
            assert one.message_id in self.maybe, f"sent and never submitted: {one.message_id}"
            if one.message_id in self.accepted:
                assert one.content == self.accepted[one.message_id], f"{one.message_id} is not what was accepted"
        for name in self.world.boxes:
            ids = letters.message_ids(self.station.inbox(name))
            twice = [one for one, times in collections.Counter(ids).items() if times > 1]
            assert not twice, f"{name}: received twice: {twice[:5]}"
        assert not any(sink.violations for sink in self.world.sinks), [sink.violations[:3] for sink in self.world.sinks]


def prepare(world, stack, seed):
    """Relays in front of the servers, accounts that use them."""
    rng = random.Random(f"{seed}/relays")
    good = world.certificates.leaf("system", "127.0.0.1")
    extensions = ("PIPELINING", "8BITMIME", "SIZE 60000000", "ENHANCEDSTATUSCODES")
    sinks = world.sinks = [world.new_sink(extensions=extensions), world.new_sink(certificate=good, implicit_tls=True, login=True,
                                                                                  extensions=extensions)]
    world.breakers = [Breaker("127.0.0.1", one.port, rng, one is not sinks[0])
                      for one in (*sinks, *world.boxes.values(), world.secret_sink)]
    for one in world.breakers:
        stack.callback(one.stop)
    world.anchor = base64.b64encode(world.certificates.user.pem).decode()
    plain = {"useSsl": False, "hostname": "127.0.0.1", "connectionTimeout": 3}
    add = world.station.add
    add("outgoing", "plain", None, port=world.breakers[0].port, **plain)
    add("outgoing", "secure", hostname="127.0.0.1", port=world.breakers[1].port, account="me", connectionTimeout=3)
    for breaker, transport in zip(world.breakers[2:], ("imap", "pop3")):
        add("incoming", transport, letters.PASSWORD, transport=transport, hostname="127.0.0.1", port=breaker.port, account="me",
            pollRate=2, connectionTimeout=3)
    add("outgoing", "challenged", hostname="127.0.0.1", port=world.breakers[4].port, account="me")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--no-kill", action="store_true")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"cut_anywhere: seed {seed}, {options.seconds:g} s", flush=True)
    with World(accounts=False) as world, contextlib.ExitStack() as stack:
        prepare(world, stack, seed)
        trial = Trial(world, seed, time.monotonic() + options.seconds, not options.no_kill)
        actors = [trial.actor("submit", trial.submit), trial.actor("submit 2", trial.submit), trial.actor("deliver", trial.deliver),
                  trial.actor("shift", trial.shift), trial.actor("vanish", trial.vanish), trial.actor("change", trial.change)]
        rng = trial.rng("kill")
        next_kill = time.monotonic() + rng.uniform(4, 15)
        while any(one.is_alive() for one in actors):
            world.alive()
            if trial.kills and time.monotonic() > next_kill and not trial.failures:
                trial.kill()
                next_kill = time.monotonic() + rng.uniform(4, 15)
            time.sleep(0.2)
        assert not trial.failures, "\n".join(trial.failures)
        world.alive()
        trial.honest()
        met = sum((one.met for one in world.breakers), collections.Counter())
        print(f"cut_anywhere: {len(trial.accepted)} accepted and sent, {sum(len(box.messages) for box in world.boxes.values())} "
              f"received; connections: {dict(met)}; {dict(trial.counts)}")


if __name__ == "__main__":
    sys.exit(main())
