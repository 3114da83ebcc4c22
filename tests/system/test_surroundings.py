# SPDX-License-Identifier: MIT
"""The network comes and goes, in a network namespace of the test's own."""

import shutil
import subprocess

import pytest

import station as station_module
import users
from waiting import until

pytestmark = pytest.mark.skipif(not users.IS_ROOT or not shutil.which("nsenter") or not shutil.which("ip"),
                                reason="network namespaces need root and iproute2")


@pytest.fixture
def network():
    """A namespace with nothing but a loopback; runs ip(8) in it."""
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up && echo up && exec cat"], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if holder.stdout.readline() != "up\n":
        holder.wait()
        pytest.skip("no network namespace can be made here")

    def ip(*words):
        subprocess.run(["nsenter", "-t", str(holder.pid), "-n", "ip", *words], check=True)

    ip.pid = holder.pid
    yield ip
    holder.stdin.close()
    holder.wait()


@pytest.fixture
def station(new_station, network, monkeypatch):
    """In that namespace."""
    station = new_station()
    inner = station.command()
    monkeypatch.setattr(station_module.users, "as_daemon", lambda: {})
    station.command = lambda: ["nsenter", "-t", str(network.pid), "-n", "setpriv", f"--reuid={users.DAEMON_UID}",
                               f"--regid={users.DAEMON_GID}", "--clear-groups", *inner]
    return station.start()


def test_what_was_down_is_tried_when_the_network_comes(station, network):
    """Unreachable at first; when an address appears, the next attempt comes at once and not after a minute."""
    station.ctl("account", "add", "outgoing", "out", "hostname=10.77.0.1", "useSsl=false", "from=a@example.test")
    station.ctl("account", "add", "incoming", "in", "transport=imap", "hostname=10.77.0.1", "useSsl=false",
                "account=u", "allowPlaintextAuthentication=true")
    station.ctl("account", "password", "in", stdin="x\n")
    queued = station.send("out", "box@example.test")
    for name in ("out", "in"):
        assert "refused" not in station.wait_status(name, "down")["faultCause"]
    network("addr", "add", "10.77.0.1/32", "dev", "lo")
    # nobody listens there: another cause shows that it was tried
    for name in ("out", "in"):
        until(lambda: "refused" in station.account(name)["faultCause"], 15, f"{name} was not tried")
    assert station.message(queued)["state"] != "failed"
    assert "addresses or routes changed" in station.log()


def test_links_and_addresses_that_change(station, network):
    """Each change is heard of once: a link set down and up, a cable pulled and put in, another address."""
    def heard():
        return station.log().count("addresses or routes changed")

    def change(*words):
        before = heard()
        network(*words)
        until(lambda: heard() > before, 15, f"ip {' '.join(words)} was not noticed")
        assert heard() == before + 1

    network("link", "add", "near", "type", "veth", "peer", "name", "far")
    for name in ("near", "far"):    # IPv6 takes a while to be ready, each time
        network("link", "set", name, "addrgenmode", "none")
    network("link", "set", "far", "up")
    change("addr", "add", "10.78.0.1/24", "dev", "near")
    change("link", "set", "near", "up")
    change("link", "set", "near", "down")
    change("link", "set", "near", "up")
    change("link", "set", "far", "down")
    change("link", "set", "far", "up")
    change("addr", "add", "10.78.0.2/24", "dev", "near")
    change("addr", "del", "10.78.0.2/24", "dev", "near")
