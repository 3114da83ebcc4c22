# SPDX-License-Identifier: MIT
"""The test's end of interpose.c: makes the system calls of one daemon fail, cuts its power, sets its clock."""

import errno
import fcntl
import mmap
import os
import shutil
import struct
import subprocess

import station as station_module
import users
from waiting import until

CALLS = ("open", "write", "pwrite", "fsync", "fdatasync", "rename", "ftruncate", "unlink", "read",
         "syncfs")
KILL = -1      # as an error: the daemon is killed at the call
HOLD = -2      # the call waits until heal(), and goes well then
HEAD, FAULT = struct.Struct("=qiiqiiii"), struct.Struct("=iiii32s")
LIBRARY = os.path.join(station_module.BUILD, "tests", "interpose.so")


def library(folder):
    """Built where it is missing, one worker at a time; a copy that every user can read."""
    with open(os.path.join(station_module.ROOT, "Makefile")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(LIBRARY):
            subprocess.run(["make", "-s", f"FLAVOUR={station_module.FLAVOUR}", f"BUILD={station_module.BUILD}", LIBRARY],
                           cwd=station_module.ROOT, check=True)
    return station_module.program(os.path.join("tests", "interpose.so"), folder)


class Interposed:
    """Around one station, before it is started."""

    def __init__(self, station):
        self.station = station
        os.makedirs(os.path.join(station.folder, "tests"), exist_ok=True)
        control, self.fifo = (os.path.join(station.folder, name) for name in ("control", "clock"))
        with open(control, "wb") as out:
            out.write(bytes(HEAD.size + len(CALLS) * FAULT.size))
        os.mkfifo(self.fifo, 0o666)
        for path in (control, self.fifo):
            users.give(path)
        with open(control, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)
        station.extra_environment.update(INTERPOSE_CONTROL=control, INTERPOSE_BELOW=station.state + "/",
                                         LD_PRELOAD=library(station.folder))
        if station_module.FLAVOUR != "plain":
            options = station_module.clean_environment()["ASAN_OPTIONS"]
            station.extra_environment["ASAN_OPTIONS"] = options + ":verify_asan_link_order=0"

    # ---- faults

    def _place(self, call):
        return HEAD.size + CALLS.index(call) * FAULT.size

    def fail(self, *calls, error=errno.EIO, times=-1, skip=0, match=""):
        """The next `times` of these calls (-1: all), after `skip` more, on files whose path ends with `match`, or
        with that of the call."""
        for call in calls:
            end = match.get(call, "") if isinstance(match, dict) else match
            struct.pack_into("=i", self.memory, self._place(call) + 4, 0)       # none while this is written
            FAULT.pack_into(self.memory, self._place(call), skip, 0, error, 0, end.encode())
            struct.pack_into("=i", self.memory, self._place(call) + 4, times)

    def heal(self):
        for call in CALLS:
            struct.pack_into("=i", self.memory, self._place(call) + 4, 0)

    def seen(self, call):
        """How many of these calls there were since fail()."""
        return struct.unpack_from("=i", self.memory, self._place(call) + 12)[0]

    def left(self, call):
        """How many calls are still to fail."""
        return struct.unpack_from("=i", self.memory, self._place(call) + 4)[0]

    # ---- the disk

    def follow_disk(self):
        struct.pack_into("=i", self.memory, 8, 1)

    def cut_power(self):
        """The daemon is gone, and of its database what had been synced is left."""
        self.station.kill_process()
        for name in ("station.db", "station.db-wal"):
            path = os.path.join(self.station.state, name)
            if os.path.exists(path + ".disk"):
                shutil.copyfile(path + ".disk", path)
                os.unlink(path + ".disk")
            elif os.path.exists(path):
                os.unlink(path)
        if os.path.exists(os.path.join(self.station.state, "station.db-shm")):
            os.unlink(os.path.join(self.station.state, "station.db-shm"))

    # ---- the clock

    def watch_clock(self):
        """Before the start: the daemon shall hear of set_clock()."""
        self.station.extra_environment["INTERPOSE_CLOCK"] = self.fifo

    def sleep(self, seconds):
        """The machine was suspended that long, and is awake again when this returns."""
        told = self.station.log().count("the machine slept")
        before, = struct.unpack_from("=q", self.memory, 0)
        struct.pack_into("=i", self.memory, 12, struct.unpack_from("=i", self.memory, 12)[0] + seconds)
        struct.pack_into("=q", self.memory, 0, before + seconds)
        with open(self.fifo, "wb", buffering=0) as out:
            out.write(struct.pack("=Q", 1))
        until(lambda: self.station.log().count("the machine slept") > told)

    def pass_time(self, seconds):
        """For the daemon that many seconds go by at once, on every clock; what has come due then is begun when this
        returns."""
        struct.pack_into("=q", self.memory, 16, struct.unpack_from("=q", self.memory, 16)[0] + seconds)
        for _ in range(2):
            self.station.call("GetStatus")

    def set_clock(self, seconds):
        """The daemon's wall clock is that far from the right time. A running one is told, as by the kernel, and has
        heard it when this returns."""
        told = self.station.log().count("the clock was set")
        before, = struct.unpack_from("=q", self.memory, 0)
        struct.pack_into("=q", self.memory, 0, seconds)
        if self.station.running() and before != seconds:
            with open(self.fifo, "wb", buffering=0) as out:
                out.write(struct.pack("=Q", 1))
            until(lambda: self.station.log().count("the clock was set") > told)
            self.station.call("GetStatus")      # the turn in which it acts on that is over

    # ---- the network

    def count_connects(self, port):
        struct.pack_into("=i", self.memory, 24, port)

    def hide_names(self, hidden):
        """No host name is found; numbers are."""
        struct.pack_into("=i", self.memory, 32, int(hidden))

    def tries(self):
        """Connections to the port of count_connects(), and lookups while names were hidden."""
        return struct.unpack_from("=i", self.memory, 28)[0] + struct.unpack_from("=i", self.memory, 36)[0]
