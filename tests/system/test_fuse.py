# SPDX-License-Identifier: MIT
"""Files of a FUSE file system whose server says nothing more: who reads or merely closes one waits in the kernel, and no signal
helps. Whatever call such a descriptor comes with, nobody else waits, and the daemon ends when it is to."""

import array
import base64
import contextlib
import ctypes
import json
import os
import socket

import pytest

import letters
import silent_fuse
import users
import varlink
from as_user import AsUser

pytestmark = pytest.mark.skipif(not users.IS_ROOT, reason="mounts a file system")


@pytest.fixture(params=(False, True), ids=("read hangs", "close hangs"))
def letter(station, request):
    """A descriptor of it. From now on no program may be started: it would close what it inherits."""
    station.add("outgoing", "a", None, hostname="127.0.0.1", port=9, useSsl=False, enabled=False, **{"from": "a@example.test"})
    folder = os.path.join(station.folder, "fuse")
    os.mkdir(folder)
    try:
        mounted = silent_fuse.SilentFuse(folder, answers_read=request.param)
    except OSError as error:
        pytest.skip(f"no FUSE here: {error}")
    try:
        fd = os.open(os.path.join(folder, "letter"), os.O_RDONLY)
        yield fd
    finally:
        mounted.stop()
        with contextlib.suppress(OSError):      # its server has gone
            os.close(fd)


def send(station, frame, *fds):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(station.socket)
    client.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
    return client


def call(method, **parameters):
    return json.dumps({"method": varlink.SERVICE + method, "parameters": parameters}).encode() + b"\0"


def works(station):
    with station.client() as client:
        client.call("Submit", account="a", recipients=["b@example.test"], message=base64.b64encode(letters.letter("b")).decode(),
                    hold=True)


@pytest.mark.parametrize("frame", (
    call("Submit", account="a", recipients=["b@example.test"], descriptor=0),
    call("Submit", account="a", recipients=[], descriptor=0), call("Submit", account="none", recipients=["b@example.test"],
                                                                   descriptor=0),
    call("GetStatus"), call("NoSuch"), b"{}\0", b'{"method":"', b"no JSON\0"))
def test_nobody_waits_for_its_server(station, letter, frame):
    for count in (1, 4, 8):
        send(station, frame, *[letter] * count).close()
        works(station)
    answer = send(station, frame, letter)
    if frame.startswith(b'{"method": ') and b"Submit" in frame and b"none" not in frame and b"[]" not in frame:
        assert b"FUSE" in answer.recv(4096)
    works(station)
    station.stop()


def test_many_hang(station, letter):
    """More than are waited for: those of the people in charge are still taken."""
    for _ in range(6):
        send(station, call("GetStatus"), *[letter] * 4).close()
        works(station)
    good = os.memfd_create("letter")
    os.write(good, letters.letter("b"))
    answer = send(station, call("Submit", account="a", recipients=["b@example.test"], descriptor=0), good).recv(4096)
    assert b'"id"' in answer, answer
    station.stop()


CLONE_NEWNS, MS_PRIVATE_ALL = 0x20000, 0x44000


def hand_in(ready, path, folder, frame):
    """Mounts it where the daemon does not see it, as any user can in a namespace of his own, and has a client hand in its file.
    The client hangs at its end, as the daemon must not, until this process is killed."""
    libc = ctypes.CDLL(None)
    assert libc.unshare(CLONE_NEWNS) == 0 and libc.mount(b"none", b"/", None, MS_PRIVATE_ALL, None) == 0
    try:
        mounted = silent_fuse.SilentFuse(folder)
    except OSError:
        ready(b"no FUSE here")
        return
    if os.fork() == 0:
        os.close(mounted.fd)        # who holds it serves
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        client.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                  array.array("i", [os.open(os.path.join(folder, "letter"), os.O_RDONLY)]))])
        client.settimeout(60)
        try:
            ready(client.recv(4096).replace(b"\n", b""))
        except TimeoutError:
            ready(b"no answer")
        os._exit(0)
    mounted.thread.join()


@pytest.fixture
def unseen(station):
    station.add("outgoing", "a", None, hostname="127.0.0.1", port=9, useSsl=False, enabled=False, **{"from": "a@example.test"})
    folder = os.path.join(station.folder, "unseen")
    os.mkdir(folder)
    with AsUser(0, hand_in, station.socket, folder, call("Submit", account="a", recipients=["b@example.test"], descriptor=0)) as client:
        if client.said == b"no FUSE here":
            pytest.skip("no FUSE here")
        yield client.said


def test_one_that_the_daemon_does_not_see(station, unseen):
    """Nothing tells of such a file what serves it: it is not asked to find out."""
    assert b"not mounted here" in unseen
    works(station)
    station.stop()


def test_a_daemon_that_is_killed_begins_anew(station, unseen):
    """Who closes the file has the daemon's descriptors in common with it, and outlives it."""
    with station.client() as client:
        client.call("org.varlink.service.GetInfo")
        station.kill()
        with pytest.raises(varlink.Closed):
            client.receive()
    station.start()
    works(station)
