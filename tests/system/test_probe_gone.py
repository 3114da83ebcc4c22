# SPDX-License-Identifier: MIT
"""The client of a test or probe goes away at any of its steps, or before the first, reading or not: the station lives,
and tests the next one to its end."""

import pytest

import channels
from varlink import SERVICE, Closed

STEPS = 7


@pytest.mark.parametrize("kind", ("system", "self-signed"))
@pytest.mark.parametrize("transport, security", channels.SIX)
def test_gone_at_each_step(station, new_fake, certificates, transport, security, kind):
    server = new_fake(transport, "good", certificates.leaf(kind, "127.0.0.1"), implicit_tls=security == "ssl")
    station.add(channels.kind_of(transport), "a", **channels.properties(transport, security, "127.0.0.1", server.port, "u"))
    calls = (("TestAccount", {"name": "a"}),
             ("Probe", {"host": "127.0.0.1", "port": server.port, "transport": transport, "security": security}))
    for method, parameters in calls:
        for read in range(STEPS):
            client = station.client()
            client.send(SERVICE + method, parameters, more=True)
            try:
                for _ in range(read):
                    if not client.receive().get("continues"):
                        break
            except Closed:
                pass
            client.close()
        with station.client() as client:
            steps = [got["step"]["step"] for got in client.stream(method, **parameters)]
            assert "certificate" in steps, steps
    assert station.running()


def test_many_in_one_write(station, new_fake, certificates):
    """Pipelined, and the end of the stream behind them."""
    server = new_fake("imap", "good", certificates.leaf("self-signed", "127.0.0.1"), implicit_tls=True)
    for count in (1, 2, 10):
        client = station.client()
        for _ in range(count):
            client.send(SERVICE + "Probe", {"host": "127.0.0.1", "port": server.port, "transport": "imap", "security": "ssl"},
                        more=True)
        client.close()
    with station.client() as client:
        for got in client.stream("Probe", host="127.0.0.1", port=server.port, transport="imap", security="ssl"):
            assert got["step"]
    assert station.running()
