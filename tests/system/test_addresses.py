# SPDX-License-Identifier: MIT
"""A host with two addresses, of which the first does not serve, in every way it can: the second is used within the same
attempt (RFC 5321 section 5.1), and first the next time. What a certificate is judged to be is no such way."""

import pytest

import channels
import letters
import users
from waiting import until

FIRST, SECOND, NAME = "127.0.0.2", "127.0.0.3", "pool.test"

pytestmark = pytest.mark.skipif(not users.IS_ROOT, reason="names of its own need a mount namespace, and that needs root")

BEFORE_TLS = ("close-connect", "close-greeting", "reset-greeting", "silent", "hang", "busy", "garbage")
IN_TLS = ("close-go-ahead", "go-ahead-garbage")
WAYS = [(transport, security, mode) for transport, security in channels.SIX
        for mode in BEFORE_TLS + (IN_TLS if security == "starttls" else ())]


@pytest.fixture
def pool(new_station, certificates):
    station = new_station()
    station.names = {NAME: (FIRST, SECOND)}
    station.start()
    return station


def meet(station, transport, security, port):
    station.add(channels.kind_of(transport), "a", **channels.properties(
        transport, security, NAME, port, "canary-user", connectionTimeout=4))
    if transport == "smtp":
        station.send("a", "canary-box@example.test", letters.letter("canary-box"))


@pytest.mark.parametrize("transport, security, mode", WAYS)
def test_the_second_address(pool, new_fake, certificates, transport, security, mode):
    ssl = security == "ssl"
    bad = new_fake(transport, mode, certificates.leaf("system", NAME), implicit_tls=ssl, host=FIRST)
    good = new_fake(transport, "good", certificates.leaf("system", NAME), implicit_tls=ssl, host=SECOND, port=bad.port)
    meet(pool, transport, security, bad.port)
    until(lambda: good.encrypted, 15, "the second address was not used")
    if mode != "reset-greeting":        # which may come so early that there was no connection
        assert f"{FIRST} does not serve" in pool.log()


@pytest.mark.parametrize("transport, security", channels.SIX)
def test_a_certificate_is_no_reason(pool, new_fake, certificates, transport, security):
    """That of the first is not trusted: a challenge, and nobody else is asked."""
    ssl = security == "ssl"
    bad = new_fake(transport, "good", certificates.leaf("self-signed", NAME), implicit_tls=ssl, host=FIRST)
    good = new_fake(transport, "good", certificates.leaf("system", NAME), implicit_tls=ssl, host=SECOND, port=bad.port)
    meet(pool, transport, security, bad.port)
    pool.wait_status("a", "challenge")
    assert not good.clear and not good.encrypted
