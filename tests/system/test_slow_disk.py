# SPDX-License-Identifier: MIT
"""Mail comes faster than the disk takes it: the server waits, what is held in memory is bounded, and it goes on."""

import fcntl
import struct
import termios
import time

import channels
import interpose
from waiting import until

MIB = 1 << 20
COUNT, LETTER = 20000, b"Subject: small\r\n\r\n%08d\r\n"


def incoming(station, box, **more):
    station.add("incoming", "a", **channels.properties(box.transport, "plain", box.host, box.port, "box",
                                                       **{"push": False, **more}))


def unread(peer):
    """Bytes that were sent on that connection and not read at its other end."""
    host, port = peer.getpeername()
    end = "%02X%02X%02X%02X" % tuple(int(part) for part in reversed(host.split("."))) + f":{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        row = next((line.split() for line in table if line.split()[1] == end), None)
    sent, = struct.unpack("i", fcntl.ioctl(peer, termios.TIOCOUTQ, b"\0" * 4))
    return sent + int(row[4].split(":")[1], 16) if row else 0


def test_a_message_that_is_dropped_while_the_disk_is_behind(interposed, new_box):
    """What made the server wait is no longer wanted: the session goes on all the same."""
    station = interposed.station.start()
    box = new_box("pop3", contents=[b"Subject: large\r\n\r\nlarge\r\n"])
    box.announce[1] = 2 * MIB + MIB // 2
    line = b"x" * 1022 + b"\r\n"
    ended = []

    def floods(talk, _message):
        interposed.fail("write", error=interpose.HOLD)
        talk.say(b"+OK\r\n")
        talk.send(line * 4094)
        until(lambda: not unread(talk.peer), 20)
        # in one read: more than may wait for the disk, then more than maxMessageSize, then the end
        talk.send(line * 4 + (b".." + line) * 12 + b".\r\n")
        until(lambda: not unread(talk.peer), 20)
        interposed.heal()
        while talk.line() != "QUIT":
            talk.say("+OK\r\n")
        talk.say("+OK\r\n")
        until(lambda: not unread(talk.peer), 10)
        ended.append(True)
        talk.hang_up()

    box.odd[1] = floods
    incoming(station, box, maxMessageSize=4 * MIB + 8192)
    until(lambda: ended, 20, station.log)       # the answer to QUIT is read


def is_still(box, seen, seconds=1):
    """Nothing was asked for in that time: a machine that is too slow to ask finds no fault."""
    if not seen or seen[-1][0] != box.body_bytes:
        seen.append((box.body_bytes, time.monotonic()))
    return time.monotonic() - seen[-1][1] > seconds


def test_small_messages_of_which_nothing_is_recorded(interposed, new_box):
    """Each costs memory until then, however small it is."""
    station = interposed.station.start()
    box = new_box(contents=[LETTER % number for number in range(COUNT)])
    incoming(station, box, enabled=False)
    interposed.fail("syncfs", error=interpose.HOLD, match="/mail/a/tmp")
    station.ctl("account", "set", "a", "enabled=true")
    until(lambda: interposed.seen("syncfs"), 30, station.log)
    seen = []
    until(lambda: is_still(box, seen), 60)
    asked = box.body_bytes // len(LETTER % 0)
    interposed.heal()
    until(lambda: len(station.inbox("a")) == COUNT, 60)
    # a batch that is committed, one that is full, one that fills, and what was on its way
    assert asked < COUNT // 2, asked
