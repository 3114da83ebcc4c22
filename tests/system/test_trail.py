# SPDX-License-Identifier: MIT
"""The audit trail: every change says who made it, and what was before."""

import base64
import os
import re
import subprocess
import threading

import pytest

import letters
import users
import varlink
from test_oauth import sender, tokens  # noqa: F401 (fixtures)
from test_watchdog import hanging  # noqa: F401 (fixture)
from station import FLAVOUR, ROOT

ME = os.geteuid()
WHO = f"(uid {ME})"


def table():
    """{method: (permission, changes)} of the daemon's table."""
    with open(os.path.join(ROOT, "daemon", "control", "methods.c")) as source:
        rows = re.findall(r'\{ (SERVICE|TRUST) "(\w+)", (PERMIT_\w+), (.*?), on_\w+,', source.read())
    return {name: (permission, "METHOD_CHANGES" in rest) for _, name, permission, rest in rows}


def trail(station, action, **fields):
    event = station.wait_event("audit.recorded", action=action, **fields)
    assert event["data"]["uid"] == str(ME) and WHO in event["data"]["who"] and f"by {event['data']['who']}" in event["text"]
    assert event["text"] in station.log()
    return event


def call(station, method, **parameters):
    service = method if "." in method else next(
        prefix + method for prefix in (varlink.SERVICE, varlink.TRUST) if method in METHODS_OF[prefix])
    with station.client() as client:
        return client.call(service, **parameters)


def interface(name):
    with open(os.path.join(ROOT, "common", name)) as source:
        return re.findall(r"^method (\w+)", source.read(), re.M)


METHODS_OF = {varlink.SERVICE: interface("io.emailsec.EmailService.varlink"),
              varlink.TRUST: interface("io.emailsec.Trust.varlink")}


class World:
    """A station with something of everything that can be changed."""

    def __init__(self, station, new_sink, certificates):
        self.station, self.certificates = station, certificates
        self.root = certificates.leaf("user", "127.0.0.1")
        self.sink = sink = new_sink(self.root, True, True)
        station.add("outgoing", "a", hostname="127.0.0.1", port=9, useSsl=False, **{"from": "a@example.test"})
        station.add("outgoing", "c", hostname=sink.host, port=sink.port, account="user", **{"from": "a@example.test"})

    def queued(self):
        self.station.ctl("account", "disable", "a")
        return self.station.send("a", "box@example.test")

    def challenge(self):
        self.station.send("c", "box@example.test")
        self.station.wait_status("c", "challenge")
        return self.station.json("challenge", "list")[0]["id"]

    def fingerprint(self):
        return self.root.fingerprint


def add_account(world):
    call(world.station, "AddAccount", name="n", kind="outgoing", properties={"hostname": "h.example", "port": 2525})
    event = trail(world.station, "account.added", account="n")
    assert 'hostname "h.example", port 2525' in event["text"]


def set_account(world):
    call(world.station, "SetAccount", name="a", properties={"port": 10, "from": "b@example.test"})
    event = trail(world.station, "account.changed", account="a")
    assert 'port 9 -> 10, from "a@example.test" -> "b@example.test"' in event["text"]
    assert {"property": "port", "from": 9, "to": 10} in event["data"]["differences"]
    for enabled in (False, True):
        call(world.station, "SetAccount", name="a", properties={"enabled": enabled})
        trail(world.station, "account.enabled" if enabled else "account.disabled", account="a")


def delete_account(world):
    world.queued()
    call(world.station, "DeleteAccount", name="a", force=True)
    event = trail(world.station, "account.deleted", account="a", unsent=1)
    assert event["text"].endswith(": with 1 message that had not been sent")


def set_password(world):
    call(world.station, "SetPassword", name="a", password="hunter2hunter2")
    event = trail(world.station, "secret.set", account="a", secret="password", credential=None)
    assert "password of account a was set" in event["text"] and "hunter2" not in world.station.log()
    call(world.station, "SetPassword", name="a", credential="mail")
    assert "credential mail" in trail(world.station, "secret.set", account="a", credential="mail")["text"]
    call(world.station, "SetPassword", name="a", clear=True)
    trail(world.station, "secret.cleared", account="a")


def apply(world):
    accounts = [{"name": "a", "kind": "outgoing", "properties": {"hostname": "other.example"}},
                {"name": "n", "kind": "outgoing", "properties": {"hostname": "h.example"}}]
    call(world.station, "Apply", accounts=accounts, dryRun=True)
    call(world.station, "Apply", accounts=accounts)
    changed = trail(world.station, "account.changed", account="a")
    assert 'hostname "127.0.0.1" -> "other.example"' in changed["text"]
    trail(world.station, "account.added", account="n")
    call(world.station, "Apply", accounts=accounts)     # nothing is different now
    assert world.station.log().count("account n was added by") == 1


def of_queue(method, action, **more):
    def one(world):
        queued = world.queued()
        if method == "ReleaseMessages":
            call(world.station, "HoldMessages", ids=[queued])
        call(world.station, method, ids=[queued], **more)
        event = trail(world.station, action, account="c" if more else "a", count=1)
        assert event["text"].startswith("1 message of account ") and event["text"].endswith(": " + queued)
    return one


def flush_queue(world):
    call(world.station, "FlushQueue", name="a")
    trail(world.station, "queue.flushed", account="a", count=0)


def forget_subscriber(world):
    with world.station.client() as client:
        next(client.stream("Monitor", subscriber="plc"))
    call(world.station, "ForgetSubscriber", name="plc")
    assert "subscriber plc" in trail(world.station, "subscriber.forgotten")["text"]


def reload(world):
    call(world.station, "Reload")
    trail(world.station, "station.reloaded")


def approve(world):
    one = world.challenge()
    call(world.station, "Approve", id=one, fingerprint=world.fingerprint(), reason="seen at the plant")
    event = trail(world.station, "allowed.approved", id=one)
    assert event["text"].endswith(": pins the certificate; reason: seen at the plant")


def reject(world):
    one = world.challenge()
    call(world.station, "Reject", id=one)
    trail(world.station, "allowed.rejected", id=one)


def unapprove(world):
    one = world.challenge()
    call(world.station, "Approve", id=one, fingerprint=world.fingerprint())
    call(world.station, "Unapprove", id=one)
    trail(world.station, "allowed.unapproved", id=one)


def delete_allowed_host(world):
    one = world.challenge()
    call(world.station, "DeleteAllowedHost", id=one)
    assert trail(world.station, "allowed.deleted", id=one)["text"].endswith(": it was pending")
    assert WHO in world.station.wait_event("allowed.deleted", id=one)["data"]["decidedBy"]


def prune(world):
    one = world.challenge()
    call(world.station, "Approve", id=one, fingerprint=world.fingerprint())
    world.station.wait_status("c", "ok")
    pem = base64.b64encode(world.certificates.user.pem).decode()
    call(world.station, "ImportAnchors", certificates=pem)
    world.sink.cut_all()
    world.station.send("c", "box@example.test")
    world.station.wait_event("allowed.needless")
    call(world.station, "Prune")
    assert trail(world.station, "allowed.pruned", count=1)["text"].endswith(": " + one)
    assert WHO in world.station.wait_event("allowed.deleted", id=one)["data"]["decidedBy"]


def import_anchors(world):
    pem = base64.b64encode(world.certificates.user.pem).decode()
    call(world.station, "ImportAnchors", certificates=pem)
    trail(world.station, "trust.imported")
    call(world.station, "ImportAnchors", certificates=pem)      # it is there already
    assert world.station.log().count("was imported into the User Trust Store by") == 1


def delete_anchor(world):
    import_anchors(world)
    anchor, = world.station.json("trust", "list")
    call(world.station, "DeleteAnchor", fingerprint=anchor["fingerprintSha256"])
    trail(world.station, "trust.deleted")


def import_key(world):
    key = base64.b64encode(world.root.pem + world.root.key_pem).decode()
    call(world.station, "ImportKey", name="k", key=key)
    assert "client certificate k" in trail(world.station, "key.imported")["text"]


def delete_key(world):
    import_key(world)
    call(world.station, "DeleteKey", name="k")
    trail(world.station, "key.deleted")


def add_device(world):
    call(world.station, "AddDevice", name="press", account="a", **{"from": "press@example.test"})
    assert "device press, account a, sender press@example.test was added" in trail(world.station, "device.added")["text"]


def set_device_password(world):
    add_device(world)
    call(world.station, "SetDevicePassword", name="press", password="correct horse")
    for account in ("a", "c"):
        trail(world.station, "secret.set", account=account)
    assert "the password of device press was set" in trail(world.station, "secret.set")["text"]
    assert "horse" not in world.station.log()


def delete_device(world):
    add_device(world)
    call(world.station, "DeleteDevice", name="press")
    trail(world.station, "device.deleted")


def backup(world):
    path = os.path.join(world.station.folder, "backup.tar")
    world.station.ctl("backup", path, "--secrets")
    assert ": with the secrets; " in trail(world.station, "station.backedUp", secrets=True)["text"]


CHANGES = {
    "Backup": backup,
    "AddAccount": add_account, "SetAccount": set_account, "DeleteAccount": delete_account, "SetPassword": set_password,
    "Apply": apply, "FlushQueue": flush_queue, "ForgetSubscriber": forget_subscriber, "Reload": reload,
    "RetryMessages": of_queue("RetryMessages", "queue.retried"), "HoldMessages": of_queue("HoldMessages", "queue.held"),
    "ReleaseMessages": of_queue("ReleaseMessages", "queue.released"),
    "DeleteMessages": of_queue("DeleteMessages", "queue.deleted"),
    "RerouteMessages": of_queue("RerouteMessages", "queue.rerouted", account="c"),
    "Approve": approve, "Reject": reject, "Unapprove": unapprove, "DeleteAllowedHost": delete_allowed_host, "Prune": prune,
    "ImportAnchors": import_anchors, "DeleteAnchor": delete_anchor, "ImportKey": import_key, "DeleteKey": delete_key,
    "AddDevice": add_device, "SetDevicePassword": set_device_password, "DeleteDevice": delete_device,
}
# Needs a server of its own: below, in test_inbox.py and test_odd_mailboxes.py.
ELSEWHERE = {"AuthorizeAccount", "ForgetMissing", "DeleteInboxMessages", "MarkInboxMessages"}
# What an administrator may ask for and that changes nothing.
ASKS = {"Poll", "TestAccount", "ListFolders", "SendHeartbeat", "Probe", "FetchAutoconfig"}


def test_every_change_is_in_the_table():
    """A method that only administrators may call changes something, or is known not to; and what changes is tried here."""
    rows = table()
    assert len(rows) > 40
    assert {name for name, (permission, changes) in rows.items() if permission == "PERMIT_ADMIN" and not changes} == ASKS
    assert {name for name, (_, changes) in rows.items() if changes} == set(CHANGES) | ELSEWHERE


@pytest.mark.parametrize("method", sorted(name for name, (_, changes) in table().items()
                                          if changes and name not in ELSEWHERE))
def test_change_is_recorded(station, new_sink, certificates, method):
    CHANGES[method](World(station, new_sink, certificates))
    assert not re.search(r"method \S+ was called by", station.log())     # each says what it did


def test_authorizing_is_recorded(station, tokens, sender):  # noqa: F811
    server = tokens()
    sender(server, "device")
    server.agreed.set()
    station.ctl("account", "authorize", "a")
    trail(station, "account.authorized", account="a")


@pytest.mark.skipif(FLAVOUR != "plain", reason="a library is preloaded, which sanitizers do not like")
def test_authorizing_is_recorded_when_nobody_waits_any_more(station, hanging, tokens, sender):  # noqa: F811
    """Whoever asked goes while the token is on its way to the disk."""
    folder = users.private_folder(station.folder, "hang")
    station.extra_environment = {"LD_PRELOAD": hanging, "HANG": folder}
    station.restart()
    server = tokens()
    sender(server, "device")
    client = varlink.Client(station.socket)
    next(client.stream("AuthorizeAccount", name="a"))
    answered = threading.Event()
    over = server.servers[0].shutdown_request
    server.servers[0].shutdown_request = lambda request: (over(request), server.good and answered.set())
    disk = os.path.join(folder, "disk")
    open(disk, "w").close()
    server.agreed.set()
    assert answered.wait(60)
    for _ in range(3):                          # meanwhile the answer is read
        station.call("GetStatus")
    client.close()
    station.call("GetStatus")
    os.unlink(disk)
    trail(station, "account.authorized", account="a")


def test_nothing_changed_is_no_change(station):
    station.add("outgoing", "a", None, hostname="127.0.0.1", port=9, useSsl=False)
    before = station.log().count(" by ")
    call(station, "SetAccount", name="a", properties={"port": 9})
    call(station, "Prune")
    call(station, "RetryMessages", ids=[])
    with pytest.raises(varlink.VarlinkError):
        call(station, "SetAccount", name="a", properties={"port": 99999})
    assert station.log().count(" by ") == before


def test_log_level_does_not_keep_it_back(new_station):
    station = new_station({"Service.LogLevel": "err"}).start()
    station.add("outgoing", "a", None, hostname="127.0.0.1", port=9, useSsl=False)
    for _ in range(6):      # nor that it is the same words again and again
        station.ctl("reload")
    log = station.log()
    assert "account a was added by" in log and log.count("were read again by") == 6


def test_the_last_change_is_kept(station):
    assert station.call("GetStatus")["status"]["lastChange"] is None
    station.add("outgoing", "a", hostname="127.0.0.1", port=9, useSsl=False)
    for _ in range(2):
        last = station.call("GetStatus")["status"]["lastChange"]
        assert (last["action"], last["uid"], last["account"]) == ("secret.set", str(ME), "a")
        assert f"password of account a was set by {last['who']}" in station.ctl("status").out
        station.restart()


def test_a_signal_is_told_as_such(station):
    station.process.send_signal(1)
    assert "by a signal (SIGHUP)" in station.wait_event("audit.recorded", action="station.reloaded")["text"]


@pytest.mark.skipif(not users.IS_ROOT, reason="needs root: sets the login uid of a process")
def test_who_is_behind_a_root(station):
    """As a root that alice has become by sudo: the kernel's login uid stays hers."""
    enter = ["sh", "-c", 'echo 1 > /proc/self/loginuid && exec "$@"', "sh", station.programs["emailsecctl"], "--socket",
             station.socket, "reload"]
    done = subprocess.run(enter, capture_output=True, text=True)
    if "loginuid" in done.stderr:
        pytest.skip("this kernel lets nobody set the login uid")
    assert done.returncode == 0, done
    event = station.wait_event("audit.recorded", action="station.reloaded")
    assert event["data"]["loginUid"] == "1"
    assert "by root (uid 0), logged in as daemon (uid 1)" in event["text"]


def test_the_tool_filters_it(station, folder):
    """`log --audit` asks journalctl for the field."""
    fake = os.path.join(folder, "journalctl")
    with open(fake, "w") as out:
        out.write('#!/bin/sh\necho "$@"\n')
    os.chmod(fake, 0o755)
    said = station.ctl("log", "--audit", "a", env={"PATH": f"{folder}:/usr/bin:/bin"}).out.split()
    assert "EMAILSEC_AUDIT=1" in said and "ACCOUNT=a" in said
    assert letters.PASSWORD not in station.log()
