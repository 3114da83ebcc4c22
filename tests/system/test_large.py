# SPDX-License-Identifier: MIT
"""The bodies of large messages lie in files beside the database: what was accepted comes whole and once, what was refused
leaves nothing, at whatever call the daemon is killed or the disk full; and a backup has them in it."""

import errno
import os

import pytest

import interpose
import letters
import varlink
from test_backup import backup, members, restore
from test_queue import outgoing, submit
from waiting import until

CALLS = ("open", "write", "pwrite", "fsync", "fdatasync", "unlink")
SIZE = 300000


def large(message_id=None):
    return letters.letter("box", message_id=message_id or letters.new_message_id(), body=("x" * 70 + "\n") * (SIZE // 71))


def files(station):
    return os.listdir(os.path.join(station.state, "bodies"))


def queue(station):
    return {one["id"] for one in station.json("queue", "list")}


def arrived_whole(station, sink, accepted):
    """All of them, each once and to the last line; then no file is left."""
    station.ctl("account", "set", "a", "enabled=true")
    until(lambda: set(sink.counts()) >= accepted, 30, station.log)
    until(lambda: station.account("a")["queueSize"] == 0, 20)
    assert set(sink.counts()) == accepted and max(sink.counts().values()) == 1
    assert all(one.content.count(b"x" * 70) == SIZE // 71 for one in sink.accepted)
    until(lambda: not files(station), 5, lambda: files(station))


def counted(interposed, change):
    interposed.fail(*CALLS, times=0)
    change()
    return {call: interposed.seen(call) for call in CALLS}


@pytest.mark.parametrize("how", ("killed", "full"))
def test_at_each_disk_call(interposed, sink, how):
    station = interposed.station.start()
    outgoing(station, sink, enabled=False)
    wrong, accepted = [], {}

    def hand_in():
        message_id = letters.new_message_id()
        with varlink.Client(station.socket, timeout=10) as client:
            accepted[message_id] = None
            accepted[message_id] = submit(client, "a", large(message_id))

    def delete():
        message_id, queued = next((one, queued) for one, queued in accepted.items() if queued)
        accepted[message_id] = None
        with varlink.Client(station.socket, timeout=10) as client:
            client.call("DeleteMessages", ids=[queued])

    for change in (hand_in, delete):
        for call, count in counted(interposed, change).items():
            for number in range(min(count, 4)):
                if change is delete:
                    hand_in()
                before = queue(station)
                interposed.fail(call, error=interpose.KILL if how == "killed" else errno.ENOSPC, skip=number,
                                times=1 if how == "killed" else -1)
                try:
                    change()
                    said = "answered"
                except varlink.VarlinkError:
                    said = "refused"
                except (OSError, varlink.Closed):
                    said = "not answered"
                interposed.heal()
                station.kill()
                station.start()
                now, there = queue(station), len(files(station))
                changed = now != before
                if (said == "answered" and not changed) or (said == "refused" and changed) or there != len(now):
                    wrong.append(f"{change.__name__}, {call} {number}: {said}, {before} and now {now}, {there} files")
                # what was not answered is found by its id
                ids = {one["id"]: one["messageId"] for one in station.json("queue", "list")}
                accepted = {ids[one]: one for one in now}
    assert not wrong, "\n".join(wrong)
    assert accepted
    arrived_whole(station, sink, set(accepted))


def test_a_backup_has_them_in_it(new_station, sink, folder):
    station, other = new_station(), new_station(name="other")
    station.start()
    outgoing(station, sink, enabled=False)
    accepted = {letters.new_message_id() for _ in range(3)}
    with station.client() as client:
        for message_id in accepted:
            submit(client, "a", large(message_id))
    assert len(files(station)) == 3
    path = backup(station, folder, "--secrets")
    assert not any(name.startswith("bodies") for name in members(path))
    station.stop()
    restore(other, path)
    other.start()
    assert not files(other) and len(queue(other)) == 3
    arrived_whole(other, sink, accepted)
