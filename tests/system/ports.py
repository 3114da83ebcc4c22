# SPDX-License-Identifier: MIT
"""Free ports for servers that cannot take port 0 (Postfix, Dovecot). A process owns a block of ports as long as it
lives: the lock is an abstract socket, which has the same scope as the ports (the network namespace) and vanishes
with its owner, so that parallel workers, other test runs and other users never meet. The blocks lie below the
range from which the kernel takes ports for connections."""

import socket

FIRST, BLOCKS, SIZE = 12000, 200, 100
_locks = []
_next = _end = 0


def _take_block():
    global _next, _end
    for block in range(BLOCKS):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0emailsec-test-ports-{block}")
        except OSError:
            lock.close()
            continue
        _locks.append(lock)
        _next, _end = FIRST + block * SIZE, FIRST + (block + 1) * SIZE
        return
    raise RuntimeError("no free block of ports")


def _is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def take():
    """A port on which nothing listens, given out once."""
    global _next
    while True:
        if _next == _end:
            _take_block()
        port, _next = _next, _next + 1
        if _is_free(port):
            return port
