# SPDX-License-Identifier: MIT
"""Waiting for what offers no event: other people's servers, files they write."""

import os
import socket
import ssl
import time

FLAVOUR = os.environ.get("FLAVOUR", "plain")
# Everything takes longer under a sanitizer.
PATIENCE = 1 if FLAVOUR == "plain" else 4
# A wait ends when what is awaited comes: how long it may take at most is a limit for a machine that is busy with
# other things, which must never fail a test.
GENEROUS = 3 * PATIENCE


def until(what, timeout=10.0, say="it did not happen"):
    """Calls what() until it returns something true, and returns that. On a quiet machine it takes a part of `timeout`
    (seconds)."""
    timeout *= GENEROUS
    deadline = time.monotonic() + timeout
    while True:
        got = what()
        if got:
            return got
        if time.monotonic() > deadline:
            raise AssertionError(f"{say() if callable(say) else say} (waited {timeout:g} s)")
        time.sleep(0.01)


def answers(host, port):
    """True when a server greets there."""
    try:
        with socket.create_connection((host, port), 2) as peer:
            return bool(peer.recv(1))
    except OSError:
        return False


def accepts(host, port):
    try:
        socket.create_connection((host, port), 2).close()
        return True
    except OSError:
        return False


def certificate_at(host, port):
    """The certificate (DER) that a TLS server presents just now, or None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), 2) as plain:
            with context.wrap_socket(plain) as peer:
                return peer.getpeercert(binary_form=True)
    except OSError:
        return None


def serves(host, port, certificate):
    """True when that certificate is presented, several times in a row: after a reload the processes of before may
    take one more connection."""
    return all(certificate_at(host, port) == certificate for _ in range(3))
