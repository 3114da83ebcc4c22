# SPDX-License-Identifier: MIT
"""A small disk of its own for a station's state folder."""

import contextlib
import os
import subprocess

import pytest

import users


def _run(*command):
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"{' '.join(command)}: {done.stderr.decode(errors='replace')[:200]}")


@contextlib.contextmanager
def mounted(station, megabytes, inodes=None):
    """At the state folder: tmpfs, or ext4 with so many inodes (of which the file system itself takes 11)."""
    image = os.path.join(station.folder, "image")
    if inodes is None:
        _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,uid={users.DAEMON_UID},gid={users.DAEMON_GID},mode=700", "tmpfs",
             station.state)
    else:
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        _run("mkfs.ext4", "-q", "-N", str(inodes), "-m", "0", "-O", "^has_journal", image)
        _run("mount", "-o", "loop", image, station.state)
        os.rmdir(os.path.join(station.state, "lost+found"))
        os.chmod(station.state, 0o700)
        users.give(station.state)
    try:
        yield
        if station.running():
            station.stop()
    finally:
        if station.running():
            station.kill()
        subprocess.run(["umount", "-l", station.state], check=True)


def free(station):
    disk = os.statvfs(station.state)
    return disk.f_bavail * disk.f_frsize


def fill(station, leave=0):
    """Somebody else's file takes all but so many bytes."""
    path = os.path.join(station.state, "filler")
    with contextlib.suppress(OSError), open(path, "ab", buffering=0) as filler:
        while free(station) > leave:
            filler.write(bytes(min(65536, max(4096, (free(station) - leave) // 4096 * 4096))))
    if not leave:
        with contextlib.suppress(OSError), open(path, "ab", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
    return path
