# SPDX-License-Identifier: MIT
"""The disk under a running daemon fails, fills up, loses what was not synced. A submission is answered with an error
or its message is safe, never neither; nothing crashes; the station says what is wrong, and goes on when it is over."""

import base64
import contextlib
import errno
import os
import re
import shutil
import sqlite3
import subprocess

import pytest

import channels
import interpose
import letters
import pki
import users
import varlink
from test_durability import Flow, doubles_are_told, pour_and_kill
from test_queue import outgoing, submit
from waiting import until

SLOW = pytest.mark.slow


def all_arrive(station, flow, sink, timeout=40):
    def arrived():
        if set(flow.accepted) <= set(sink.counts()):
            return True
        station.ctl("queue", "flush", "a", code=None)
        return False

    until(arrived, timeout, lambda: f"{len(set(flow.accepted) - set(sink.counts()))} missing")
    until(lambda: station.account("a")["queueSize"] == 0, 20)
    assert not flow.strangers(sink.counts())
    return doubles_are_told(station, flow, sink.counts())


# ---- power

@pytest.mark.parametrize("count,cuts", (pytest.param(120, 4, id="short"), pytest.param(1500, 100, id="long", marks=SLOW)))
def test_power_cut_at_random_moments(interposed, sink, count, cuts):
    """What kill -9 does not show: that the answer comes after the disk has it."""
    station = interposed.station
    interposed.follow_disk()
    station.start()
    outgoing(station, sink)
    station.kill = interposed.cut_power
    pour_and_kill(station, "a", "box", count, cuts, sink.counts)


# ---- calls that fail

FAULTS = {
    "sync of the log": (("fdatasync",), errno.EIO, "-wal"),
    "sync of the database": (("fdatasync",), errno.EIO, "station.db"),
    "write to the log": (("pwrite", "write"), errno.EIO, "-wal"),
    "no room for the log": (("pwrite", "write"), errno.ENOSPC, "-wal"),
    "write to the database": (("pwrite", "write"), errno.EIO, "station.db"),
    "no room anywhere": (("pwrite", "write", "open", "ftruncate"), errno.ENOSPC, ""),
    "over quota": (("pwrite", "write"), errno.EDQUOT, ""),
    "read-only": (("pwrite", "write", "open", "ftruncate", "rename", "fsync", "fdatasync"), errno.EROFS, ""),
    "no more files": (("open",), errno.EMFILE, ""),
    "everything": (("pwrite", "write", "open", "ftruncate", "rename", "fsync", "fdatasync"), errno.EIO, ""),
}


# The others take as long, and are near to one of these.
QUICK = ("sync of the log-cut", "sync of the database-cut", "no room anywhere-stays", "everything-stays")


@pytest.mark.parametrize("fault,power", [
    pytest.param(fault, power, id=f"{fault}-{power}", marks=[] if f"{fault}-{power}" in QUICK else SLOW)
    for fault in FAULTS for power in ("stays", "cut")])
def test_calls_fail_for_a_while(interposed, sink, fault, power):
    """In the middle of a flow of messages, then they succeed again. With the power cut after that, what a sync that
    failed has lost must not have been promised by the next one that succeeded."""
    calls, error, match = FAULTS[fault]
    station = interposed.station
    interposed.follow_disk()
    station.start()
    outgoing(station, sink)
    # 150 KiB each: the log is brought into the database now and then, and messages go through the spool
    flow = Flow(station, "a", "box", 150, body=("x" * 70 + "\n") * 2100)
    try:
        for accepted in (10, 60, 110):
            until(lambda: len(flow.accepted) >= accepted or flow.errors, 30)
            before = flow.refused
            interposed.fail(*calls, error=error, match=match)
            until(lambda: flow.refused > before + 2 or not flow._more() or len(flow.accepted) >= accepted + 30, 30)
            assert station.running() and station.json("queue", "list") is not None
            interposed.heal()
            until(lambda: len(flow.accepted) >= accepted + 20 or not flow._more(), 30)
            if power == "cut":
                flow.up.clear()
                interposed.cut_power()
                station.start()
                flow.up.set()
        until(lambda: not flow._more(), 30)
    finally:
        interposed.heal()
        flow.end()
    doubles = all_arrive(station, flow, sink)
    if power == "stays":
        assert not doubles, "results that could not be written are kept in memory"
    assert "-wal" not in match or flow.refused
    print(f"{fault}: {len(flow.accepted)} accepted, {flow.refused} refusals, {len(doubles)} twice and told")


@pytest.mark.parametrize("call", ("open", "write", "fsync", "rename"))
def test_an_account_that_cannot_be_written(interposed, call):
    """The command fails with the cause; what stood before stands, in the daemon and on disk; then it works."""
    station = interposed.station.start()
    station.ctl("account", "add", "outgoing", "a", "hostname=a.example", "useSsl=false", "from=a@example.test")
    interposed.fail(call)
    for words in (("set", "a", "hostname=b.example"),
                  ("add", "outgoing", "b", "hostname=b.example", "from=a@example.test")):
        said = station.ctl("account", *words, code=1).err
        assert "cannot" in said and os.strerror(errno.EIO) in said, said
    assert station.account("a")["hostname"] == "a.example"
    interposed.heal()
    station.kill()
    station.start()
    assert [one["name"] for one in station.json("account", "list")] == ["a"]
    assert station.account("a")["hostname"] == "a.example"
    station.ctl("account", "set", "a", "hostname=c.example")
    assert station.account("a")["hostname"] == "c.example"


# ---- reading

UNREAD = {"an anchor": (lambda certificates: certificates.user.fingerprint[-20:] + ".pem", "TrustStore"),
          "the allowed hosts": (lambda _: "allowed-hosts.json", "TrustStore"),
          "a secret": (lambda _: "secrets/c", "Secret"), "a key": (lambda _: "keys/plant.pem", "Secret"),
          "an account": (lambda _: "accounts/c.json", None)}


@pytest.mark.parametrize("what", UNREAD)
@pytest.mark.parametrize("error", (errno.EMFILE, errno.EIO), ids=("EMFILE", "EIO"))
def test_what_cannot_be_read_is_read_again(interposed, new_sink, certificates, folder, what, error):
    """No server is believed and no password given while something is missing; by itself, when it is there, mail goes."""
    match, code = UNREAD[what][0](certificates), UNREAD[what][1]
    sink = new_sink(certificates.leaf("user", "127.0.0.1"), True, True)
    station = interposed.station.start()
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)
    key = certificates.leaf("client-only", "client")
    station.ctl("trust", "key", "import", "plant", "-", stdin=key.key_pem + key.chain_pem)
    station.add("outgoing", "c", **channels.properties("smtp", "ssl", sink.host, sink.port, "user"), clientCertificate="plant",
                enabled=False, allowDisabledQueuing=True)
    mine = station.send("c", "box@example.test")
    other = new_sink(certificates.leaf("self-signed", "127.0.0.1"), True, True)
    station.add("outgoing", "o", **channels.properties("smtp", "ssl", other.host, other.port, "user"))
    station.send("o", "box@example.test")
    station.wait_status("o", "challenge")
    station.stop()
    interposed.fail("read", error=error, match=match)
    station.start()
    station.call("SetAccount", name="c", properties={"enabled": True}) if code else None
    cause = station.wait_status("c", "fault")["cause"]
    assert code is None or cause["code"] == code, cause
    assert os.strerror(error) in cause["text"], cause
    assert "again every few seconds" in cause["remedy"], cause
    assert not sink.accepted
    interposed.heal()
    if code is None:
        until(lambda: station.account("c")["status"] == "disabled", 20)
        station.call("SetAccount", name="c", properties={"enabled": True})
    until(lambda: station.message(mine)["state"] == "sent", 20)
    assert len(sink.accepted) == 1
    assert "can be read again" in station.log() or code is None


@pytest.mark.parametrize("error", (errno.EMFILE, errno.EIO), ids=("EMFILE", "EIO"))
def test_a_reload_that_cannot_read(interposed, new_sink, certificates, error):
    sink = new_sink(certificates.leaf("user", "127.0.0.1"), True, True)
    station = interposed.station.start()
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)
    station.add("outgoing", "a", **channels.properties("smtp", "ssl", sink.host, sink.port, "user"))
    interposed.fail("read", error=error, match=".pem")
    station.ctl("reload", code=None)
    assert any("again every few seconds" in one["remedy"] for one in station.call("GetStatus")["status"]["faults"])
    queued = station.send("a", "box@example.test")
    assert station.wait_status("a", "fault")["cause"]["code"] == "TrustStore"
    interposed.heal()
    until(lambda: station.message(queued)["state"] == "sent", 20)
    assert not station.call("GetStatus")["status"]["faults"]


def test_the_reserve_of_the_disk(new_station, sink):
    """With less than it free only urgent mail is taken, and the status says why; then all is again."""
    station = new_station(settings={"Service.DiskReserve": "1024T"}).start()
    outgoing(station, sink)
    with station.client() as client:
        with pytest.raises(varlink.VarlinkError) as refused:
            submit(client, "a", letters.letter("box"))
        assert refused.value.short == "Storage" and "DiskReserve" in refused.value.cause["text"]
        assert "make room" in refused.value.cause["remedy"]
        submit(client, "a", letters.letter("box"), priority="urgent")
    until(lambda: sum(sink.counts().values()) == 1, 20)
    until(lambda: any("DiskReserve" in one["text"] for one in station.call("GetStatus")["status"]["faults"]), 10)
    assert "emailsec_disk_reserve_bytes 1125899906842624" in station.call("GetMetrics")["text"]
    station.write_config({"Service.DiskReserve": "0"})
    station.ctl("reload")
    station.send("a", "box@example.test")


@pytest.mark.skipif(not users.IS_ROOT, reason="mounts a small disk")
def test_a_full_disk_is_sent_empty(new_station, sink):
    """Urgent mail fills the disk to the last block. What is there is sent and recorded, each message once."""
    station = new_station(settings={"Service.DiskReserve": "1M"})
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=72m,uid={users.DAEMON_UID},mode=700", "tmpfs", station.state],
                             check=False)
    if mounted.returncode:
        pytest.skip("mount is not allowed")
    try:
        station.start()
        outgoing(station, sink, maxQueueSize=100000)
        until(lambda: os.path.exists(os.path.join(station.state, "reserve")), 10)
        accepted, body = {}, ("x" * 70 + "\n") * 1400
        with station.client() as client:
            with pytest.raises(varlink.VarlinkError) as refused:
                for _ in range(900):
                    message_id = letters.new_message_id()
                    accepted[message_id] = submit(client, "a", letters.letter("box", message_id=message_id, body=body),
                                                  priority="urgent", hold=True)
            assert refused.value.short == "Storage", refused.value
            with contextlib.suppress(OSError), open(os.path.join(station.state, "filler"), "wb", buffering=0) as filler:
                while filler.write(bytes(4096)):                         # what is left goes to somebody else
                    pass
            client.call("ReleaseMessages", ids=list(accepted.values()))
        until(lambda: set(sink.counts()) >= set(accepted), 60)
        until(lambda: station.account("a")["queueSize"] == 0, 30)
        assert max(sink.counts().values()) == 1
        station.stop()
    finally:
        if station.running():
            station.kill()
        subprocess.run(["umount", "-l", station.state], check=True)


# ---- changes of accounts, at each call

def b_in_state(station):
    """What there is of account b and those that apply adds: on disk, and as the daemon tells it."""
    secrets = os.path.join(station.state, "secrets")
    return {
        "accounts": {one["name"]: one["properties"]["hostname"] for one in station.call("ListAccounts")["accounts"]},
        "files": sorted(name for name in os.listdir(os.path.join(station.state, "accounts")) if name[0] != "."),
        "secrets": {name: open(os.path.join(secrets, name)).read() for name in os.listdir(secrets) if name[0] != "."},
        "queue": [one["account"] for one in station.call("ListQueue")["messages"]],
    }


CHANGES = {
    "delete": ("DeleteAccount", {"name": "b", "force": True}),
    "add": ("AddAccount", {"name": "n", "kind": "outgoing",
                           "properties": {"hostname": "n.example", "enabled": False, "from": "n@example.test"}}),
    "password": ("SetPassword", {"name": "b", "password": "another"}),
    "apply": ("Apply", {"accounts": [{"name": "b", "hostname": "new.example"}] + [
        {"name": name, "kind": "outgoing", "properties": {"hostname": "new.example", "enabled": False}}
        for name in ("x", "y")]}),
}


@pytest.fixture
def with_b(interposed, tmp_path):
    """A station with account b, its password and a message; returns a function that makes it so again."""
    station = interposed.station.start()
    station.add("outgoing", "b", password="the-old-one", hostname="old.example", enabled=False,
                **{"from": "b@example.test"})
    station.send("b", "box@example.test")
    station.stop()
    shutil.copytree(station.state, tmp_path / "state")

    def again():
        if station.running():
            station.kill()
        shutil.rmtree(station.state)
        shutil.copytree(tmp_path / "state", station.state)
        for folder, _, files in os.walk(station.state):
            for name in [folder, *(os.path.join(folder, file) for file in files)]:
                users.give(name)
        interposed.heal()
        station.start()

    return again


@pytest.mark.parametrize("how", ("killed", "fails", "fails from there on"))
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_accounts_at_each_disk_call(interposed, with_b, name, how):
    """Old or new, whole: new once it was answered, old once it was refused, in the daemon and after a kill -9."""
    station, (method, given) = interposed.station, CHANGES[name]
    with_b()
    old = b_in_state(station)
    interposed.fail("write", "pwrite", "fsync", "fdatasync", "rename", "unlink", times=0)
    station.call(method, **given)
    counts = {call: interposed.seen(call) for call in ("write", "pwrite", "fsync", "fdatasync", "rename", "unlink")}
    new = b_in_state(station)
    assert new != old
    wrong = []
    for call, count in counts.items():
        for number in range(min(count, 4)):
            with_b()
            interposed.fail(call, error=interpose.KILL if how == "killed" else errno.EIO, skip=number,
                            times=-1 if how == "fails from there on" else 1)
            try:
                with varlink.Client(station.socket, timeout=1 if how == "fails from there on" else 5) as client:
                    client.call(method, **given)
                right = [new]
            except varlink.VarlinkError:
                right = [old]
            except (OSError, varlink.Closed):
                right = [old, new]
            if how == "fails" and b_in_state(station) not in right:
                wrong.append(f"{call} {number} in the daemon: {b_in_state(station)}")
            interposed.heal()
            station.kill()
            station.start()
            if b_in_state(station) not in right:
                wrong.append(f"{call} {number} after the start: {b_in_state(station)}")
    assert not wrong, f"old {old}, new {new}: " + "\n".join(wrong)


@pytest.mark.parametrize("how", ("killed", "fails", "fails from there on"))
def test_an_import_of_three_at_each_disk_call(interposed, with_b, how):
    """All or none: all once it was answered, none once it was refused, in the daemon and after a kill -9."""
    station = interposed.station
    bundle = [pki.authority(f"Issuer {number}") for number in range(3)]
    given = {"certificates": base64.b64encode(b"".join(one.pem for one in bundle)).decode()}

    def anchors():
        return sorted(one["fingerprintSha256"] for one in station.call(varlink.TRUST + "ListAnchors")["anchors"]
                      if one["store"] == "user")

    calls, new = ("write", "fsync", "rename", "unlink"), sorted(one.fingerprint for one in bundle)
    with_b()
    interposed.fail(*calls, times=0)
    station.call(varlink.TRUST + "ImportAnchors", **given)
    counts = {call: interposed.seen(call) for call in calls}
    assert anchors() == new and counts["fsync"] >= 6, counts
    wrong, seen = [], set()
    for call, count in counts.items():
        for number in range(count):
            with_b()
            interposed.fail(call, error=interpose.KILL if how == "killed" else errno.EIO, skip=number,
                            times=-1 if how == "fails from there on" else 1)
            try:
                with varlink.Client(station.socket, timeout=1 if how == "fails from there on" else 5) as client:
                    client.call(varlink.TRUST + "ImportAnchors", **given)
                right = [new]
            except varlink.VarlinkError:
                right = [[]]
            except (OSError, varlink.Closed):
                right = [[], new]
            if how == "fails" and anchors() not in right:
                wrong.append(f"{call} {number} in the daemon: {anchors()}")
            interposed.heal()
            station.kill()
            station.start()
            seen.add(len(anchors()))
            if anchors() not in right:
                wrong.append(f"{call} {number} after the start: {anchors()}")
            if how != "killed" or not anchors():
                continue
            station.call(varlink.TRUST + "DeleteAnchor", fingerprint=new[0])
            station.restart()
            if anchors() != new[1:]:
                wrong.append(f"{call} {number} after a deletion: {anchors()}")
    assert not wrong, "\n".join(wrong)
    assert seen == {0, 3}


@pytest.mark.parametrize("calls", (("fdatasync",), ("fdatasync", "fsync")), ids=("data", "all"))
def test_a_deleted_account_stays_deleted(interposed, calls):
    """What could not be written of it before, and is tried again, does not bring it back."""
    station = interposed.station.start()
    for name in ("b", "c"):
        station.add("outgoing", name, hostname=f"{name}.example", enabled=False, **{"from": "a@example.test"})
    station.send("b", "box@example.test")
    station.restart()
    interposed.fail(*calls, times=1)
    with contextlib.suppress(varlink.VarlinkError):
        station.call("DeleteAccount", name="b", force=True)
    interposed.heal()
    gone = "b" not in [one["name"] for one in station.json("account", "list")]
    station.restart()
    assert [one["name"] for one in station.json("account", "list")] == (["c"] if gone else ["b", "c"])


def test_an_account_added_anew_inherits_nothing(interposed, sink):
    """Killed at any call of its deletion: once its name is another's, nothing of it is."""
    station = interposed.station.start()
    station.add("outgoing", "b", password="the-old-one", hostname="old.example", enabled=False,
                **{"from": "b@example.test"})
    station.send("b", "box@example.test")
    for number in range(40):
        interposed.fail("rename", "unlink", "fsync", "fdatasync", error=interpose.KILL, skip=number // 4)
        try:
            with varlink.Client(station.socket, timeout=5) as client:
                client.call("DeleteAccount", name="b", force=True)
        except (OSError, varlink.Closed):
            pass
        interposed.heal()
        station.kill()
        station.start()
        if [one["name"] for one in station.json("account", "list")]:
            continue
        assert not [name for name in os.listdir(os.path.join(station.state, "secrets")) if name[0] != "."]
        outgoing(station, sink, "b")
        assert station.account("b")["numberSent"] == 0 and not station.call("ListQueue")["messages"]
        assert not sink.counts()
        station.ctl("account", "delete", "b")
        station.add("outgoing", "b", password="the-old-one", hostname="old.example", enabled=False,
                    **{"from": "b@example.test"})
        station.send("b", "box@example.test")


def test_who_waits_for_a_message_of_a_deleted_account(station):
    station.add("outgoing", "b", password=None, hostname="127.0.0.1", port=9, useSsl=False, **{"from": "b@example.test"})
    queued = station.send("b", "box@example.test")
    with station.client() as waits:
        waits.send(varlink.SERVICE + "WaitMessage", {"id": queued})
        station.call("DeleteAccount", name="b", force=True)
        with pytest.raises(varlink.VarlinkError) as gone:
            waits.answer()
    assert gone.value.short == "NotFound"
    assert re.search(r"account b was deleted by \S.*: with 1 message that had not been sent", station.log())


def test_a_checkpoint_that_a_reader_held_back(interposed, sink):
    """SQLite takes what it copied from the log into the database under a reader for done, without a sync. The sync
    that fails later loses those pages; the next one succeeds, and the log is begun anew: only the log had them."""
    station = interposed.station
    interposed.follow_disk()
    station.start()
    outgoing(station, sink)
    queued = {}
    with station.client() as client:
        def submit_large():
            message_id = letters.new_message_id()
            content = letters.letter("box", message_id=message_id, body=("x" * 70 + "\n") * 14000)
            queued[message_id] = submit(client, "a", content, hold=True)

        def grow():
            path = os.path.join(station.state, "station.db-wal")
            before = os.path.getsize(path)
            submit_large()
            return os.path.getsize(path) > before

        for _ in range(6):
            submit_large()
        database = os.path.join(station.state, "station.db")
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as reader:
            small = os.path.getsize(database)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM message").fetchone()
            until(lambda: submit_large() or os.path.getsize(database) > small, 30)
        interposed.fail("fdatasync", match="station.db", times=1)
        until(lambda: submit_large() or interposed.left("fdatasync") == 0, 30)
        until(lambda: "cannot write to disk" in station.log())
        until(lambda: "takes writes again" in station.log())
        until(lambda: not grow(), 30)     # the log was begun anew
    interposed.cut_power()
    station.start()
    station.ctl("queue", "release", *queued.values())
    until(lambda: set(queued) <= set(sink.counts()), 30, lambda: station.json("queue", "list"))
