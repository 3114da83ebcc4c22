# SPDX-License-Identifier: MIT
"""The disk under a running daemon fails, fills up, loses what was not synced. A submission is answered with an error
or its message is safe, never neither; nothing crashes; the station says what is wrong, and goes on when it is over."""

import contextlib
import errno
import os
import sqlite3

import pytest

import letters
from test_durability import Flow, doubles_are_told, pour_and_kill
from test_queue import outgoing, submit
from waiting import until

SLOW = pytest.mark.slow


def all_arrive(station, flow, sink, timeout=40):
    def arrived():
        if set(flow.accepted) <= set(sink.counts()):
            return True
        station.ctl("queue", "flush", "a", code=None)
        return False

    until(arrived, timeout, lambda: f"{len(set(flow.accepted) - set(sink.counts()))} missing")
    until(lambda: station.account("a")["queueSize"] == 0, 20)
    assert not flow.strangers(sink.counts())
    return doubles_are_told(station, flow, sink.counts())


# ---- power

@pytest.mark.parametrize("count,cuts", (pytest.param(120, 4, id="short"), pytest.param(1500, 100, id="long", marks=SLOW)))
def test_power_cut_at_random_moments(interposed, sink, count, cuts):
    """What kill -9 does not show: that the answer comes after the disk has it."""
    station = interposed.station
    interposed.follow_disk()
    station.start()
    outgoing(station, sink)
    station.kill = interposed.cut_power
    pour_and_kill(station, "a", "box", count, cuts, sink.counts)


# ---- calls that fail

FAULTS = {
    "sync of the log": (("fdatasync",), errno.EIO, "-wal"),
    "sync of the database": (("fdatasync",), errno.EIO, "station.db"),
    "write to the log": (("pwrite", "write"), errno.EIO, "-wal"),
    "no room for the log": (("pwrite", "write"), errno.ENOSPC, "-wal"),
    "write to the database": (("pwrite", "write"), errno.EIO, "station.db"),
    "no room anywhere": (("pwrite", "write", "open", "ftruncate"), errno.ENOSPC, ""),
    "over quota": (("pwrite", "write"), errno.EDQUOT, ""),
    "read-only": (("pwrite", "write", "open", "ftruncate", "rename", "fsync", "fdatasync"), errno.EROFS, ""),
    "no more files": (("open",), errno.EMFILE, ""),
    "everything": (("pwrite", "write", "open", "ftruncate", "rename", "fsync", "fdatasync"), errno.EIO, ""),
}


# The others take as long, and are near to one of these.
QUICK = ("sync of the log-cut", "sync of the database-cut", "no room anywhere-stays", "everything-stays")


@pytest.mark.parametrize("fault,power", [
    pytest.param(fault, power, id=f"{fault}-{power}", marks=[] if f"{fault}-{power}" in QUICK else SLOW)
    for fault in FAULTS for power in ("stays", "cut")])
def test_calls_fail_for_a_while(interposed, sink, fault, power):
    """In the middle of a flow of messages, then they succeed again. With the power cut after that, what a sync that
    failed has lost must not have been promised by the next one that succeeded."""
    calls, error, match = FAULTS[fault]
    station = interposed.station
    interposed.follow_disk()
    station.start()
    outgoing(station, sink)
    # 150 KiB each: the log is brought into the database now and then, and messages go through the spool
    flow = Flow(station, "a", "box", 150, body=("x" * 70 + "\n") * 2100)
    try:
        for accepted in (10, 60, 110):
            until(lambda: len(flow.accepted) >= accepted or flow.errors, 30)
            before = flow.refused
            interposed.fail(*calls, error=error, match=match)
            until(lambda: flow.refused > before + 2 or not flow._more() or len(flow.accepted) >= accepted + 30, 30)
            assert station.running() and station.json("queue", "list") is not None
            interposed.heal()
            until(lambda: len(flow.accepted) >= accepted + 20 or not flow._more(), 30)
            if power == "cut":
                flow.up.clear()
                interposed.cut_power()
                station.start()
                flow.up.set()
        until(lambda: not flow._more(), 30)
    finally:
        interposed.heal()
        flow.end()
    doubles = all_arrive(station, flow, sink)
    if power == "stays":
        assert not doubles, "results that could not be written are kept in memory"
    assert "-wal" not in match or flow.refused
    print(f"{fault}: {len(flow.accepted)} accepted, {flow.refused} refusals, {len(doubles)} twice and told")


@pytest.mark.parametrize("call", ("open", "write", "fsync", "rename"))
def test_an_account_that_cannot_be_written(interposed, call):
    """The command fails with the cause; what stood before stands, in the daemon and on disk; then it works."""
    station = interposed.station.start()
    station.ctl("account", "add", "outgoing", "a", "hostname=a.example", "useSsl=false", "from=a@example.test")
    interposed.fail(call)
    for words in (("set", "a", "hostname=b.example"),
                  ("add", "outgoing", "b", "hostname=b.example", "from=a@example.test")):
        said = station.ctl("account", *words, code=1).err
        assert "cannot" in said and os.strerror(errno.EIO) in said, said
    assert station.account("a")["hostname"] == "a.example"
    interposed.heal()
    station.kill()
    station.start()
    assert [one["name"] for one in station.json("account", "list")] == ["a"]
    assert station.account("a")["hostname"] == "a.example"
    station.ctl("account", "set", "a", "hostname=c.example")
    assert station.account("a")["hostname"] == "c.example"


def test_a_checkpoint_that_a_reader_held_back(interposed, sink):
    """SQLite takes what it copied from the log into the database under a reader for done, without a sync. The sync
    that fails later loses those pages; the next one succeeds, and the log is begun anew: only the log had them."""
    station = interposed.station
    interposed.follow_disk()
    station.start()
    outgoing(station, sink)
    queued = {}
    with station.client() as client:
        def submit_large():
            message_id = letters.new_message_id()
            content = letters.letter("box", message_id=message_id, body=("x" * 70 + "\n") * 14000)
            queued[message_id] = submit(client, "a", content, hold=True)

        def grow():
            path = os.path.join(station.state, "station.db-wal")
            before = os.path.getsize(path)
            submit_large()
            return os.path.getsize(path) > before

        for _ in range(6):
            submit_large()
        database = os.path.join(station.state, "station.db")
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as reader:
            small = os.path.getsize(database)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM message").fetchone()
            until(lambda: submit_large() or os.path.getsize(database) > small, 30)
        interposed.fail("fdatasync", match="station.db", times=1)
        until(lambda: submit_large() or interposed.left("fdatasync") == 0, 30)
        until(lambda: "cannot write to disk" in station.log())
        until(lambda: "takes writes again" in station.log())
        until(lambda: not grow(), 30)     # the log was begun anew
    interposed.cut_power()
    station.start()
    station.ctl("queue", "release", *queued.values())
    until(lambda: set(queued) <= set(sink.counts()), 30, lambda: station.json("queue", "list"))
