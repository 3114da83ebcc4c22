# SPDX-License-Identifier: MIT
"""Controllers have small disks. As one fills, fetching stops first, then submissions that are not urgent, then all; what was
accepted is sent and recorded to the last block and the last inode, across a kill too; and all goes on when there is room."""

import errno
import os

import pytest

import letters
import small_disk
import users
import varlink
from test_queue import outgoing, submit
from waiting import until

pytestmark = pytest.mark.skipif(not users.IS_ROOT, reason="mounts small disks")
SIZES = (8, 24, *(pytest.param(size, marks=pytest.mark.slow) for size in (16, 32, 64)))


def put(client, accepted, size, **more):
    """Hands in one message and keeps it in `accepted`; the refusal, if it was refused."""
    message_id = letters.new_message_id()
    body = ("x" * 70 + "\n") * (size // 71)
    try:
        accepted[message_id] = submit(client, "a", letters.letter("box", message_id=message_id, body=body), **more)
    except varlink.VarlinkError as refused:
        assert refused.short == "Storage", refused
        return refused
    return None


def release(station, accepted):
    with station.client() as client:
        for one in accepted.values():
            if client.call("GetMessage", id=one)["message"]["state"] == "held":
                client.call("ReleaseMessages", ids=[one])


def sent_empty(station, sink, accepted):
    until(lambda: set(sink.counts()) >= set(accepted), 60, station.log)
    until(lambda: station.account("a")["queueSize"] == 0, 30, lambda: station.log()[-3000:])
    assert set(sink.counts()) == set(accepted) and max(sink.counts().values()) == 1


def as_ever(station, sink, accepted, box):
    """Mail that is not urgent is taken and sent, and mail is fetched."""
    until(lambda: not station.call("GetStatus")["status"]["faults"], 20, lambda: station.call("GetStatus")["status"]["faults"])
    with station.client() as client:
        assert put(client, accepted, 20000) is None
    sent_empty(station, sink, accepted)
    before = len(station.inbox("in"))
    box.add(letters.crlf(letters.letter("box", subject="as ever")))
    station.ctl("account", "poll", "in")
    until(lambda: len(station.inbox("in")) > before, 20)


def receiver(station, box):
    station.add("incoming", "in", transport="imap", hostname=box.host, port=box.port, useSsl=False, account="box", pollRate=1,
                allowPlaintextAuthentication=True, push=False)


@pytest.mark.parametrize("megabytes", SIZES)
@pytest.mark.parametrize("killed", (False, True), ids=("goes on", "killed"))
def test_a_small_disk_that_somebody_fills(new_station, sink, new_box, megabytes, killed):
    station, box, accepted = new_station(), new_box("imap"), {}
    with small_disk.mounted(station, megabytes):
        station.start()
        outgoing(station, sink, maxQueueSize=100000)
        receiver(station, box)
        as_ever(station, sink, accepted, box)
        reserve = megabytes * (1 << 20) // 20
        with station.client() as client:
            small_disk.fill(station, reserve * 3 // 4)         # nothing is fetched any more
            box.add(letters.crlf(letters.letter("box", subject="too much")))
            station.ctl("account", "poll", "in", code=None)
            until(lambda: "DiskReserve" in (station.account("in").get("faultCause") or ""), 20, lambda: station.account("in"))
            until(lambda: any("nothing is fetched" in fault["text"] for fault in station.call("GetStatus")["status"]["faults"]), 5)
            assert len(station.inbox("in")) == 1
            assert put(client, accepted, 4000, hold=True) is None
            small_disk.fill(station, reserve // 4)             # only urgent mail is taken
            until(lambda: put(client, accepted, 4000, hold=True), 10)
            while not put(client, accepted, 4000, hold=True, priority="urgent"):
                pass                                           # to the last block
            small_disk.fill(station)
            assert put(client, accepted, 20000, hold=True, priority="urgent")
        if killed:
            station.kill()
            small_disk.fill(station)
            station.start()
        release(station, accepted)
        sent_empty(station, sink, accepted)
        os.unlink(os.path.join(station.state, "filler"))
        as_ever(station, sink, accepted, box)
        until(lambda: os.path.exists(os.path.join(station.state, "reserve")), 10)
        assert len(station.inbox("in")) >= 2


@pytest.mark.parametrize("megabytes", SIZES)
def test_a_small_disk_that_the_queue_fills(new_station, sink, new_box, megabytes):
    """Nobody makes room but the queue, by being sent."""
    station, box, accepted = new_station(), new_box("imap"), {}
    with small_disk.mounted(station, megabytes):
        station.start()
        outgoing(station, sink, maxQueueSize=100000)
        receiver(station, box)
        for priority in ("normal", "urgent"):
            with station.client() as client:
                while not put(client, accepted, megabytes * 2000, hold=True, priority=priority):
                    pass
        assert len(accepted) > 50
        try:
            release(station, accepted)
        except varlink.VarlinkError:
            import subprocess; print(subprocess.run(["ls","-la",station.state],capture_output=True).stdout.decode(), small_disk.free(station)); raise
        sent_empty(station, sink, accepted)
        as_ever(station, sink, accepted, box)


def test_what_does_not_fit_is_not_begun(new_station, sink, new_box):
    """A message larger than the disk has room for: refused, or left at the server, and the smaller ones go their way."""
    station, box, accepted = new_station(), new_box("imap"), {}
    with small_disk.mounted(station, 16):
        station.start()
        outgoing(station, sink)
        receiver(station, box)
        box.add(letters.crlf(letters.letter("box", subject="large", body=("x" * 70 + "\n") * 250000)))
        station.ctl("account", "poll", "in", code=None)
        until(lambda: "does not fit" in str(station.json("inbox", "missing", "in")), 20, lambda: station.account("in"))
        assert box.body_bytes < 1 << 20 and small_disk.free(station) > 8 << 20
        with station.client() as client:
            assert put(client, accepted, 20000) is None
        sent_empty(station, sink, accepted)


def test_a_disk_without_inodes(new_station, sink, new_box):
    """A file for each received message: the last ones are not theirs."""
    station, box, accepted = new_station(), new_box("imap"), {}
    with small_disk.mounted(station, 16, inodes=160):
        station.start()
        outgoing(station, sink)
        receiver(station, box)
        as_ever(station, sink, accepted, box)
        for number in range(200):
            box.add(letters.crlf(letters.letter("box", subject=f"number {number}")))
        station.ctl("account", "poll", "in", code=None)
        until(lambda: "more files" in (station.account("in").get("faultCause") or ""), 30, lambda: station.account("in"))
        assert os.statvfs(station.state).f_favail >= 4
        until(lambda: any("more files" in fault["text"] for fault in station.call("GetStatus")["status"]["faults"]), 5)
        with station.client() as client:
            assert put(client, accepted, 20000, priority="urgent") is None
        sent_empty(station, sink, accepted)
        station.restart()
        for path in station.inbox("in"):
            os.unlink(path)
        until(lambda: len(station.inbox("in")) > 50, 30)


@pytest.mark.parametrize("before", (False, True), ids=("never started", "started before"))
def test_a_start_on_a_full_disk_waits_for_room(new_station, sink, before):
    """Without what it takes to open the database, nor a place that is held: who comes is told, and it begins by itself."""
    station = new_station()
    with small_disk.mounted(station, 8):
        if before:
            station.start()
            outgoing(station, sink)
            station.stop()
            os.unlink(os.path.join(station.state, "reserve"))
        filler = small_disk.fill(station)
        station.launch()
        for _ in range(2):
            said = station.ctl("status", code=1)
            assert "what to do: make room" in said.err, said
        assert station.running() and "nothing is served yet, for want of room" in station.log()
        station.stop()
        station.launch()
        os.unlink(filler)
        until(lambda: station.ctl("status", code=None).code == 0, 20, station.log)
        assert ("a" in station.ctl("account", "list").out) == before


# Where there is a database already; of what is made first, opening it is enough to fail.
QUOTA_AT_START = {
    "the lock": ("open", "/lock"),
    "the database": ("open", "/station.db"),
    "its log": ("pwrite", "-wal"),
    "its index": ("pwrite", "-shm"),
    "a page": ("pwrite", "/station.db"),
}


@pytest.mark.parametrize("what", QUOTA_AT_START)
def test_a_start_over_quota_waits_for_room(interposed, what):
    """The disk itself has room: only what is refused tells."""
    call, match = QUOTA_AT_START[what]
    station = interposed.station
    interposed.fail(call, error=errno.EDQUOT, match=match)
    station.launch()
    said = station.ctl("status", code=1)
    assert "what to do: make room" in said.err, said
    assert station.running() and "nothing is served yet, for want of room" in station.log()
    interposed.heal()
    until(lambda: station.ctl("status", code=None).code == 0, 20, station.log)


def test_over_quota_is_full(interposed, sink):
    """What a quota refuses is not what ENOSPC says; the place that is held is let go for it all the same."""
    station = interposed.station.start()
    outgoing(station, sink)
    place = os.path.join(station.state, "reserve")
    until(lambda: os.path.exists(place), 10)
    first = os.stat(place).st_mtime_ns
    with station.client() as client:
        queued = submit(client, "a", letters.letter("box"), hold=True)
        interposed.fail("pwrite", error=errno.EDQUOT, match="-wal", times=1)
        client.call("ReleaseMessages", ids=[queued])
    assert station.wait_message(queued)["state"] == "sent"
    until(lambda: os.path.exists(place) and os.stat(place).st_mtime_ns > first, 10)
