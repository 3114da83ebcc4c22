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


def test_what_was_down_is_tried_when_the_network_comes(new_station, network, monkeypatch):
    """Unreachable at first; when an address appears, the next attempt comes at once and not after a minute."""
    station = new_station()
    inner = station.command()
    monkeypatch.setattr(station_module.users, "as_daemon", lambda: {})
    station.command = lambda: ["nsenter", "-t", str(network.pid), "-n", "setpriv", f"--reuid={users.DAEMON_UID}",
                               f"--regid={users.DAEMON_GID}", "--clear-groups", *inner]
    station.start()
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
