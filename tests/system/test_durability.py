# SPDX-License-Identifier: MIT
"""Accepted means safe: the daemon killed at random moments, the server killed, the disk full or read-only. What was
accepted arrives; it arrives twice only where the server's last word was on its way, and then the queue says so."""

import collections
import contextlib
import email
import glob
import itertools
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import threading

import pytest

import letters
import postfix
import station as station_module
import users
import varlink
from test_queue import outgoing, submit
from test_receive import fill, incoming
from waiting import until


class Flow:
    """Clients that submit until `count` messages were accepted, whatever becomes of the daemon meanwhile."""

    def __init__(self, station, account, box, count, clients=2, body="Line one.\n"):
        self.station, self.account, self.box, self.count, self.body = station, account, box, count, body
        self.accepted, self.lock = {}, threading.Lock()     # Message-ID: queue id
        self.unanswered = set()                             # given up at the end: may have been accepted
        self.refused, self.errors = 0, []                   # by a disk in trouble; in another way
        self.up = threading.Event()
        self.up.set()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._pour) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _more(self):
        return not self.over.is_set() and len(self.accepted) < self.count

    def _pour(self):
        left = self._submit_all()
        if left:
            self.unanswered.add(left)

    def _submit_all(self):
        """The Message-ID of what was submitted last and not answered, if any."""
        message_id = None
        while self._more():
            self.up.wait(0.2)
            try:
                with self.station.client() as client:
                    while self._more():
                        # what was not answered is submitted again under the same key
                        message_id = message_id or letters.new_message_id()
                        letter = letters.letter(self.box, body=self.body, message_id=message_id)
                        queued = submit(client, self.account, letter, [letters.address(self.box)], key=message_id)
                        with self.lock:
                            self.accepted[message_id] = queued
                        message_id = None
            except varlink.VarlinkError as error:
                if error.cause.get("code") != "Storage":
                    self.errors.append(error)
                    return None
                self.refused += 1       # and submitted again, under the same key
                self.over.wait(0.02)
            except (OSError, varlink.Closed):
                continue
        return message_id

    def strangers(self, counts):
        """What came and was never submitted to the end."""
        return set(counts) - set(self.accepted) - self.unanswered

    def kill_daemon(self, moment, seen):
        """kill -9 once `seen()` has reached `moment`, and a new start."""
        until(lambda: seen() >= moment, 60)
        self.up.clear()
        self.station.kill()
        self.station.start()
        self.up.set()

    def end(self):
        self.over.set()
        self.up.set()
        for thread in self.threads:
            thread.join()
        assert not self.errors, self.errors


def doubles_are_told(station, flow, counts):
    """Each that came twice is listed as one that may have; no message came more often than it was told."""
    doubles = [one for one, times in counts.items() if times > 1 and one in flow.accepted]
    for message_id in doubles:
        message = station.message(flow.accepted[message_id])
        told = [attempt["result"] for attempt in message["history"] if "may" in attempt["result"]]
        assert counts[message_id] <= 1 + len(told), message
    return doubles


def pour_and_kill(station, account, box, count, kills, counted):
    """`counted`: Counter of the Message-IDs that arrived. Each second kill waits for as many accepted messages, the
    others for as many that arrived, so that some hit the submissions and some the sessions."""
    flow = Flow(station, account, box, count)
    moments = sorted(random.Random(count).sample(range(1, count - count // 10), kills))
    seen = itertools.cycle((lambda: len(flow.accepted), lambda: len(counted())))
    try:
        for moment in moments:
            flow.kill_daemon(moment, next(seen))
        until(lambda: not flow._more(), 120)
    finally:
        flow.end()
    until(lambda: set(flow.accepted) <= set(counted()), 60,
          lambda: f"{len(set(flow.accepted) - set(counted()))} of {len(flow.accepted)} are missing")
    until(lambda: station.account(account)["queueSize"] == 0, 20)
    assert not flow.strangers(counted()), "something came that was never accepted"
    doubles = doubles_are_told(station, flow, counted())
    print(f"{kills} kills: {len(flow.accepted)} accepted, {sum(counted().values())} delivered, "
          f"{len(doubles)} twice and told")


SIZES = [pytest.param(160, 5, id="short"), pytest.param(2000, 200, id="long", marks=pytest.mark.slow)]


@pytest.mark.parametrize("count,kills", SIZES)
def test_killed_at_random_moments(station, sink, count, kills):
    outgoing(station, sink)
    pour_and_kill(station, "a", "box", count, kills, sink.counts)


@pytest.mark.parametrize("count,kills", SIZES)
def test_killed_while_a_real_server_takes_mail(station, post, dovecot, box, count, kills):
    station.add("outgoing", "a", hostname=post.host(), port=post.port("smtp", "ssl"), account=box,
                **{"from": "sender@example.test"})

    def counted():
        return collections.Counter(email.message_from_bytes(content)["Message-ID"]
                                   for _, content in dovecot.messages(box))

    pour_and_kill(station, "a", box, count, kills, counted)


@pytest.mark.skipif(not users.IS_ROOT, reason="Postfix can only be started by root")
@pytest.mark.parametrize("count,kills", [pytest.param(200, 2, id="short"),
                                         pytest.param(1000, 10, id="long", marks=pytest.mark.slow)])
def test_a_real_server_is_killed_while_it_takes_mail(station, certificates, dovecot, folder, box, count, kills):
    post = postfix.Postfix(folder, certificates, dovecot)
    station.add("outgoing", "a", hostname=post.host(), port=post.port("smtp", "ssl"), account=box,
                **{"from": "sender@example.test"})

    def arrived():
        """(Message-ID, Postfix's own id): what it delivers twice by itself after a kill counts once."""
        mails = [email.message_from_bytes(content) for _, content in dovecot.messages(box)]
        own = re.compile(r"\(Postfix\)\s+with\s+\S+\s+id\s+(\w+)")
        return {(mail["Message-ID"], own.search(str(mail))[1]) for mail in mails}

    def counts():
        return collections.Counter(message_id for message_id, _ in arrived())

    flow = Flow(station, "a", box, count)
    try:
        for kill in range(kills):
            until(lambda: len(arrived()) >= (kill + 1) * count // (kills + 2), 60)
            post.kill()
            before = len(flow.accepted)
            until(lambda: len(flow.accepted) > before or not flow._more())
            post.start()
            station.ctl("queue", "flush", "a")
        until(lambda: not flow._more(), 60)
        flow.end()
        station.ctl("queue", "flush", "a")
        until(lambda: station.account("a")["queueSize"] == 0, 30)
        until(lambda: set(flow.accepted) <= set(counts()), 60,
              lambda: f"{len(set(flow.accepted) - set(counts()))} of {len(flow.accepted)} are missing")
    finally:
        flow.end()
        post.stop()
    assert not flow.strangers(counts()), "something came that was never accepted"
    doubles = doubles_are_told(station, flow, counts())
    print(f"{kills} kills: {len(flow.accepted)} accepted, {len(arrived())} delivered, {len(doubles)} twice and told")


@pytest.mark.parametrize("count,kills", [pytest.param(120, 4, id="short"),
                                         pytest.param(1500, 60, id="long", marks=pytest.mark.slow)])
def test_the_server_goes_away_in_the_middle(station, sink, count, kills):
    """Every connection reset again and again, and the account goes on by itself."""
    outgoing(station, sink)
    flow = Flow(station, "a", "box", count)
    try:
        for kill in range(kills):
            until(lambda: len(sink.accepted) >= (kill + 1) * count // (kills + 1) or not flow._more(), 30)
            sink.cut_all()
            station.ctl("queue", "flush", "a")
        until(lambda: not flow._more(), 60)
    finally:
        flow.end()

    def arrived():
        if set(flow.accepted) <= set(sink.counts()):
            return True
        station.ctl("queue", "flush", "a")
        return False

    until(arrived, 60)
    doubles_are_told(station, flow, sink.counts())


@pytest.mark.parametrize("step", ("mail", "rcpt", "data", "dot"))
@pytest.mark.parametrize("action", ("421 4.3.2 shutting down", "cut"))
def test_cut_at_each_point_among_many(station, sink, step, action):
    """Pipelined neighbours of the one that is cut off come once each."""
    sink.rule(step, action, 3)
    outgoing(station, sink)
    flow = Flow(station, "a", "box", 40)
    until(lambda: not flow._more(), 20)
    flow.end()

    def arrived():
        station.ctl("queue", "flush", "a")
        return set(flow.accepted) <= set(sink.counts())

    until(arrived, 30)
    if action != "cut":
        assert max(sink.counts().values()) == 1, "a message that was refused counts once"
    doubles_are_told(station, flow, sink.counts())


def limit_files(station, size):
    """No file of the daemon may grow beyond `size` bytes, as on a full disk."""
    subprocess.run(["prlimit", "--pid", str(station.process.pid), f"--fsize={size}:unlimited"], check=True,
                   **users.as_daemon())


def test_a_full_disk_refuses_and_keeps(station, sink):
    outgoing(station, sink, enabled=False)
    message_id = letters.new_message_id()
    station.send("a", "box@example.test", letters.letter("box", message_id=message_id))
    limit_files(station, 64 * 1024)
    accepted = [message_id]
    with station.client() as client:
        with pytest.raises(varlink.VarlinkError) as refused:
            for _ in range(400):
                one = letters.new_message_id()
                submit(client, "a", letters.letter("box", body="x" * 60 + "\n" * 4000, message_id=one))
                accepted.append(one)
    assert refused.value.cause["code"] == "Storage", refused.value
    assert station.running() and station.json("queue", "list")
    station.kill()
    station.start()
    station.ctl("account", "enable", "a")
    sink.wait(lambda s: set(accepted) <= set(s.counts()), 30)
    assert set(sink.counts()) == set(accepted)


def test_mail_is_sent_while_the_disk_is_full(station, sink):
    """Results that cannot be written are kept in memory; once there is room they are, and nothing goes twice."""
    outgoing(station, sink)
    sink.rule("greeting", "hang", 1)
    flow = Flow(station, "a", "box", 30)
    until(lambda: not flow._more(), 20)
    flow.end()
    limit_files(station, 4096)
    sink.release()
    sink.cut_all()
    with pytest.raises(varlink.VarlinkError):
        with station.client() as client:
            for _ in range(400):
                submit(client, "a", letters.letter("box", body="x" * 60 + "\n" * 4000))
    limit_files(station, "unlimited")

    def arrived():
        station.ctl("queue", "flush", "a", code=None)
        return set(flow.accepted) <= set(sink.counts())

    until(arrived, 40)
    assert max(sink.counts().values()) == 1
    until(lambda: station.account("a")["queueSize"] == 0, 20)


@pytest.mark.skipif(not users.IS_ROOT, reason="mounts a tmpfs: needs root")
@pytest.mark.parametrize("read_only", (False, True))
def test_a_file_system_that_is_full_or_read_only(new_station, sink, read_only):
    station = new_station()
    options = f"size=6m,mode=700,uid={users.DAEMON_UID}"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", station.state], capture_output=True)
    if made.returncode:
        pytest.skip("may not mount: " + made.stderr.decode().strip())
    try:
        station.start()
        outgoing(station, sink, enabled=False)
        accepted = []
        with station.client() as client:
            for _ in range(5):
                accepted.append(letters.new_message_id())
                submit(client, "a", letters.letter("box", message_id=accepted[-1]))
            if read_only:
                # files that stand open keep a file system from becoming read-only: the daemon comes back to one
                station.stop()
                subprocess.run(["mount", "-o", "remount,ro", station.state], check=True)
                code, said = station.start_refused()
                assert code not in (0, -signal.SIGSEGV, -signal.SIGABRT) and "read-only" in said.lower(), said
                subprocess.run(["mount", "-o", "remount,rw", station.state], check=True)
                station.start()
            else:
                with pytest.raises(varlink.VarlinkError) as refused:
                    for _ in range(400):
                        one = letters.new_message_id()
                        submit(client, "a", letters.letter("box", body="x" * 60 + "\n" * 40000, message_id=one))
                        accepted.append(one)
                assert refused.value.cause["code"] == "Storage", refused.value
                subprocess.run(["mount", "-o", "remount,size=60m", station.state], check=True)
        until(lambda: station.ctl("account", "enable", "a", code=None).code == 0, 10)
        sink.wait(lambda s: set(accepted) <= set(s.counts()), 40)
        assert sink.counts() == {one: 1 for one in accepted}
    finally:
        station.end()
        subprocess.run(["umount", "-l", station.state], check=True)


def test_a_database_that_another_locks(station, sink):
    """Somebody who writes to the database by hand delays, and breaks nothing."""
    outgoing(station, sink)
    other = sqlite3.connect(os.path.join(station.state, "station.db"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    flow = Flow(station, "a", "box", 3, clients=1)
    station.ctl("status")
    other.execute("ROLLBACK")
    other.close()
    until(lambda: not flow._more(), 30)
    flow.end()
    sink.wait(lambda s: set(flow.accepted) <= set(s.counts()), 30)


DAMAGES = {
    "body": 5000,                       # in its file, from there on
    "later piece of a body": 300000,
    "file of a body": None,             # it is not there any more
    "recipients": "DELETE FROM recipient WHERE seq = ?",
    "size": "UPDATE message SET size = -1 WHERE seq = ?",
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_message_that_was_changed_on_disk(station, sink, what):
    """It is set aside and told, to a person too; nothing of it is taken for a message, and the others are sent."""
    outgoing(station, sink, enabled=False, notifyFailed="postmaster@example.test")
    large = letters.letter("box", body="Line one.\n" * 60000)
    with station.client() as client:
        ids = [submit(client, "a", letter) for letter in (letters.letter("box"), large, letters.letter("box"))]
    station.stop()
    body, = (os.path.join(station.state, "bodies", name) for name in os.listdir(os.path.join(station.state, "bodies")))
    if DAMAGES[what] is None:
        os.unlink(body)
    elif isinstance(DAMAGES[what], int):
        with open(body, "r+b") as file:
            file.seek(DAMAGES[what])
            file.write(b"two")
    else:
        with contextlib.closing(sqlite3.connect(os.path.join(station.state, "station.db"))) as db, db:
            assert db.execute(DAMAGES[what], (2,)).rowcount > 0
    station.start()
    station.ctl("account", "set", "a", "enabled=true")

    def set_aside():
        station.ctl("queue", "flush", "a", code=None)
        return f"{ids[1]} is damaged and was set aside" in station.log()

    until(set_aside, 20)
    named = what != "recipients"        # a notice names recipients: where none is left there is nothing to say it of
    until(lambda: len(sink.accepted) == 2 + named)
    notices = [one for one in sink.accepted if not one.sender]
    assert [one.recipients for one in notices] == [["postmaster@example.test"]] * named
    assert all(ids[1].encode() in one.content for one in notices)
    assert station.message(ids[1])["state"] == "failed"
    assert "please report it" not in station.log()
    until(lambda: all(station.message(ids[i])["state"] == "sent" for i in (0, 2)))


def test_a_database_of_a_newer_version(station, sink):
    """It is refused by a sentence with its remedy, and nothing in the state folder is another than before."""
    outgoing(station, sink)
    queued = station.send("a", "box@example.test", None, "--hold")
    station.kill()
    path = os.path.join(station.state, "station.db")

    def raised(by):
        with contextlib.closing(sqlite3.connect(path)) as db:
            version, = db.execute("PRAGMA user_version").fetchone()
            db.execute(f"PRAGMA user_version = {version + by}")
        for name in glob.glob(path + "*"):
            users.give(name)

    def contents():
        files = [os.path.join(folder, name) for folder, _, names in os.walk(station.state) for name in names]
        return {file: open(file, "rb").read() for file in files if os.path.basename(file) not in ("lock", "reserve")
                and not file.endswith(("-shm", "-wal"))}

    raised(1000)
    before = contents()
    for _ in range(2):
        code, said = station.start_refused()
        assert code == 1 and "station.db was written by a newer emailsecd (schema 10" in said, said
        assert "what to do: install the newer emailsecd again" in said
        assert contents() == before
    raised(-1000)
    station.start()
    station.ctl("queue", "release", queued)
    sink.wait_for(1)


@pytest.mark.parametrize("how", ("missing", "not readable"))
def test_a_folder_of_bodies_that_is_lost(station, sink, how):
    """A fault of the station, which a person hears of; its messages wait, the others go, and what comes goes."""
    outgoing(station, sink, enabled=False, notifyFailed="postmaster@example.test")
    large = letters.letter("box", body="Line one.\n" * 60000)
    folder, away = (os.path.join(station.state, name) for name in ("bodies", "away"))
    with station.client() as client:
        lost = [submit(client, "a", large) for _ in range(2)]
        ids = [submit(client, "a", letters.letter("box"))]
    station.stop()
    if how == "missing":
        os.rename(folder, away)
    else:
        os.chmod(folder, 0)
    station.start()
    try:
        fault, = station.call("GetStatus")["status"]["faults"]
        assert "the bodies of 2 messages is missing" in fault["text"] and f"put {folder} back" in fault["remedy"], fault
        assert "emailsecctl queue delete ID" in station.ctl("status").out
        assert station.ctl("status", "--check", code=None).code == 2
        assert not os.path.exists(folder) or how != "missing"
        with station.client() as client:
            ids.append(submit(client, "a", large))
        station.ctl("account", "set", "a", "enabled=true")
        for number in ids:
            assert station.wait_message(number)["state"] == "sent"
        waits = station.message(lost[0])
        assert waits["state"] == "queued" and waits["waitingFor"]["reason"] == "disk", waits
        station.ctl("queue", "retry", lost[0])
        station.ctl("queue", "flush", "a")
    finally:
        if how == "missing":
            os.rename(away, folder)
        else:
            os.chmod(folder, 0o700)
    for number in lost:
        assert station.wait_message(number)["state"] == "sent"
    assert len(sink.accepted) == 4 and station.call("GetStatus")["status"]["faults"] == []
    assert "the bodies of messages can be read again" in station.log() and "damaged" not in station.log()


# ---- a database that was lost

def lose(station, how):
    path = os.path.join(station.state, "station.db")
    for name in (path + "-wal", path + "-shm"):
        if os.path.exists(name):
            os.unlink(name)
    if how == "missing":
        os.unlink(path)
    elif how == "empty":
        os.truncate(path, 0)
    else:       # a database, of nothing
        os.unlink(path)
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA user_version = 0")
            database.execute("CREATE TABLE one (a)")
            database.execute("DROP TABLE one")
        users.give(path)


@pytest.mark.parametrize("how", ("missing", "empty", "without a table"))
def test_a_lost_database_is_no_new_one(new_station, sink, how):
    """Beside accounts it is a fault, until somebody says that it shall be begun anew."""
    station = new_station().start()
    outgoing(station, sink, enabled=False)
    station.send("a", "box@example.test")
    station.stop()
    lose(station, how)
    for _ in range(2):
        code, said = station.start_refused()
        assert code == 65 and "station.db is missing or empty, and there is 1 account" in said, said
        assert "--accept-new-database" in said
    assert how != "missing" or not os.path.exists(os.path.join(station.state, "station.db"))
    station.extra_arguments = ["--accept-new-database"]
    station.start()
    assert "mail that waited to be sent is lost" in station.log()
    assert station.json("queue", "list") == []
    assert "being removed" not in station.log()     # nothing was there
    station.ctl("account", "set", "a", "enabled=true")
    station.send("a", "box@example.test")
    until(lambda: sum(sink.counts().values()) == 1, 20)
    station.stop()
    station.extra_arguments = []
    station.start()
    assert [one["name"] for one in station.json("account", "list")] == ["a"]


@pytest.mark.parametrize("how", ("removed", "replaced"))
def test_a_database_that_goes_while_it_is_used(new_station, sink, how):
    """What would be gone with the next start is not accepted; put back, it is as before."""
    station = new_station().start()
    outgoing(station, sink, enabled=False)
    first = station.send("a", "box@example.test")
    path, aside = (os.path.join(station.state, name) for name in ("station.db", "aside.db"))
    os.rename(path, aside)
    if how == "replaced":
        shutil.copy(aside, path)
        users.give(path)
    with station.client() as client, pytest.raises(varlink.VarlinkError) as refused:
        submit(client, "a", letters.letter("box"))
    assert refused.value.short == "Storage" and "removed or replaced" in refused.value.cause["text"]
    assert any("removed or replaced" in one["text"] for one in station.call("GetStatus")["status"]["faults"])
    os.rename(aside, path)
    until(lambda: not station.call("GetStatus")["status"]["faults"], 10)
    second = station.send("a", "box@example.test")
    os.rename(path, aside)
    station.stop()
    os.rename(aside, path)
    station.start()
    assert {one["id"] for one in station.json("queue", "list")} == {first, second}


@pytest.mark.parametrize("transport", ("imap", "pop3"))
def test_a_new_database_brings_no_mail_twice(new_station, dovecot, box, transport):
    """The files of the Maildir tell what was fetched, also those that a mail reader has moved."""
    station = new_station().start()
    expected = fill(dovecot, box, 5)
    incoming(station, dovecot, transport, box, push=False)
    station.ctl("account", "poll", "a")
    path = station.inbox("a")[0]
    os.rename(path, path.replace("/new/", "/cur/") + ":2,S")
    station.stop()
    lose(station, "missing")
    station.extra_arguments = ["--accept-new-database"]
    station.start()
    expected += fill(dovecot, box, 1)
    station.ctl("account", "poll", "a")
    assert letters.message_ids(station.inbox("a")) == sorted(expected)
    assert len(station.json("inbox", "list", "a")) == 6
    station.stop()
    station.extra_arguments = []
    station.start()
    station.ctl("account", "poll", "a")
    assert letters.message_ids(station.inbox("a")) == sorted(expected)


def test_a_folder_without_accounts_is_new(new_station):
    station = new_station().start()
    station.stop()
    lose(station, "missing")
    station.start()


@pytest.mark.skipif(not shutil.which("sqlite3"), reason="sqlite3 is not installed")
def test_recovery_as_the_manual_has_it(new_station, sink):
    """A page of the database is overwritten; what can be read goes on."""
    station = new_station().start()
    outgoing(station, sink, enabled=False)
    for _ in range(50):
        station.send("a", "box@example.test", letters.letter("box", body="x" * 60 + "\n" + "y" * 70))
    station.stop()
    path = os.path.join(station.state, "station.db")
    with contextlib.closing(sqlite3.connect(path)) as database:
        root, = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'history'").fetchone()
        size, = database.execute("PRAGMA page_size").fetchone()
    with open(path, "r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    with open(os.path.join(station_module.ROOT, "man", "emailsecd.8")) as manual:
        commands = re.search(r"\.Sh RECOVERY.*?\.Bd[^\n]*\n(.*?)\.Ed", manual.read(), re.S).group(1)
    subprocess.run(["sh", "-ec", commands.replace("\\e", "\\")], cwd=station.state, check=True)
    users.give(path)
    station.start()
    assert len(station.json("queue", "list")) == 50
    station.ctl("account", "set", "a", "enabled=true")
    until(lambda: sum(sink.counts().values()) == 50, 30)
