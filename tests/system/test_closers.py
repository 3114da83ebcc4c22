# SPDX-License-Identifier: MIT
"""Descriptors whose close may wait are closed by a few processes beside the daemon, which end by themselves and with it."""

import contextlib
import os
import socket
import struct
import threading
import time

from waiting import until

CLOSERS = 16
FRAME = b'{"method":"org.varlink.service.GetInfo"}\0'


def children(pid):
    """Of a daemon that may have ended."""
    found = set()
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as source:
                found.update(source.read().split())
    return found


def hand_in(station, count):
    """As many sockets, four with each call; the other ends of them, which read nothing more when they are closed."""
    ends = []
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(station.socket)
        for _ in range(count // 4):
            pairs = [socket.socketpair() for _ in range(4)]
            socket.send_fds(client, [FRAME], [theirs.fileno() for theirs, _ in pairs])
            for theirs, ours in pairs:
                theirs.close()
                ours.settimeout(20)
                ends.append(ours)
            while not client.recv(65536).endswith(b"\0"):
                pass
    return ends


def test_a_few_processes_close_many(station):
    seen, over = set(), threading.Event()

    def watch():
        while not over.is_set():
            seen.update(children(station.process.pid))
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for end in hand_in(station, 400):
            with end:
                assert end.recv(1) == b""
    finally:
        over.set()
        watcher.join()
    assert 0 < len(seen) <= 2 * CLOSERS, "each of them is used again"
    until(lambda: not children(station.process.pid), 20)


def test_they_end_with_the_daemon(station):
    """What they have in common with it is the lock of the state folder as well."""
    for end in hand_in(station, 8):
        with end:
            assert end.recv(1) == b""
    closers = until(lambda: children(station.process.pid))
    station.kill()
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in closers), 20)
    station.start()


def lingering():
    """A connection whose close waits for its peer, which reads nothing; the other end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    ours.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            ours.send(bytes(1 << 16))
    return ours, theirs


def test_what_waits_for_those_that_hang(station):
    """Nobody says anything more: what is behind them is closed all the same, and no process is left."""
    hanging = [lingering() for _ in range(CLOSERS + 4)]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(station.socket)
        for start in range(0, len(hanging), 4):
            some = [ours for ours, _ in hanging[start:start + 4]]
            socket.send_fds(client, [FRAME[:1]], [ours.fileno() for ours in some])
            for ours in some:
                ours.close()        # while it is on its way: the daemon's is the last one
            client.sendall(FRAME[1:])
            while not client.recv(65536).endswith(b"\0"):
                pass
    for end in hand_in(station, 8):
        with end:
            end.settimeout(15)
            assert end.recv(1) == b""
    until(lambda: not children(station.process.pid), 30)
    for _, theirs in hanging:
        theirs.close()
