# SPDX-License-Identifier: MIT
"""What the .varlink files declare and no other test asks for by itself: that it is held against them, and comes at all, is
for varlink.py and conftest.py to see."""

import base64
import json
import os

import pytest

import letters
import pki
import users
import varlink
from test_inbox import received
from waiting import until

SERVICE, TRUST = varlink.SERVICE, varlink.TRUST


def trust(station, method, **parameters):
    return station.call(TRUST + method, **parameters)


def refused(station, error, method, **parameters):
    with pytest.raises(varlink.VarlinkError) as told:
        station.call(method if "." in method else SERVICE + method, **parameters)
    assert told.value.short == error, told.value
    return told.value


def test_received_mail(station, dovecot, box):
    received(station, dovecot, box, 3)
    station.wait_event("mail.received")
    messages = station.call("ListInbox", name="a")["messages"]
    with station.client() as client:
        opened = client.call("OpenInboxMessage", name="a", id=messages[0]["id"])
        assert opened["message"]["id"] == messages[0]["id"] and opened["descriptor"] == 0
        with os.fdopen(client.fds[0], "rb") as file:
            assert b"Subject" in file.read()
    assert station.call("MarkInboxMessages", name="a", ids=[messages[0]["id"]], seen=True)["count"] == 1
    assert station.call("DeleteInboxMessages", name="a", ids=[messages[0]["id"]])["count"] == 1
    station.wait_event("mail.deleted", count=1)
    assert station.call("ListMissing", name="a")["messages"] == []
    assert station.call("ForgetMissing", name="a")["count"] == 0


def test_the_queue(station, sink):
    station.add("outgoing", "a", hostname=sink.host, port=sink.port, useSsl=False, enabled=False, **{"from": "a@example.test"})
    message = base64.b64encode(letters.letter("box")).decode()
    queued = [station.call("Submit", account="a", recipients=["box@example.test"], message=message)["id"] for _ in range(33)]
    partly = station.call("Submit", account="a", recipients=["box@example.test", "no address"], message=message, partial=True)
    assert partly["refused"][0]["address"] == "no address"
    assert station.call("GetStatus")["status"]["defaultAccount"] == "a"
    page = station.call("ListQueue", limit=2)
    assert page["next"] and len(page["messages"]) == 2
    assert station.call("FlushQueue", name="a")["waitingFor"]["reason"] == "account"
    waiting, = station.call("RetryMessages", ids=queued[:1])["waiting"]
    assert waiting["waitingFor"]["reason"] == "account"
    refused(station, "AmbiguousId", "GetMessage", id=queued[0][0])      # the last one's begins alike


def test_what_can_be_told(station):
    """All of the table, as the accounts have it that were added with it."""
    told = station.call("DescribeProperties")
    assert [group["name"] for group in told["groups"]][:2] == ["account", "server"]
    for kind, transport in (("outgoing", "smtp"), ("incoming", "imap")):
        station.add(kind, kind, password=None, transport=transport, hostname="mail.example", enabled=False)
        sheet = station.account(kind)
        for row in told[kind]:
            assert row["name"] in sheet and row["group"] in [group["name"] for group in told["groups"]]
            given = row["name"] in ("enabled", "transport") or row["required"] or row["access"] == "read"
            assert given or sheet[row["name"]] == row["default"], row
    rows = {row["name"]: row for row in told["outgoing"]}
    assert rows["useSsl"]["excludes"] == "useStartTls" and rows["connectionTimeout"]["unit"] == "seconds"
    assert {"transport": "smtp", "none": 25, "starttls": 587, "ssl": 465} in told["ports"]
    assert "password" in [secret["name"] for secret in told["secrets"]]
    settings = {row["key"]: row for row in told["settings"]}
    assert settings["StateDirectory"]["value"] == station.state and settings["StateDirectory"]["changed"]
    assert not settings["KeepSent"]["changed"] and settings["KeepSent"]["value"] == "7d"
    listed = station.json("property", "list", "service")
    assert [row["key"] for row in listed] == list(settings)


def test_accounts_in_pages(station):
    for name in ("c", "a", "d", "b", "e"):
        station.add("outgoing", name, password=None, hostname="127.0.0.1", port=1, useSsl=False, enabled=name in "cd",
                    checkRate=60)
    assert [one["name"] for one in station.call("ListAccounts")["accounts"]] == list("abcde")
    pages, after = [], None
    while True:
        page = station.call("ListAccounts", limit=2, **({"after": after} if after else {}))
        pages.append([one["name"] for one in page["accounts"]])
        after = page["next"]
        if not after:
            break
    assert pages == [["a", "b"], ["c", "d"], ["e"]]
    assert [one["name"] for one in station.call("ListAccounts", after="bb", limit=1)["accounts"]] == ["c"]
    for name in "cd":
        station.ctl("account", "poll", name, code=None)
        station.wait_status(name, "down")
    status = station.call("GetStatus", limit=3)["status"]
    assert [one["name"] for one in status["accounts"]] == ["c", "d", "a"]
    assert status["totals"] == {"ok": 0, "disabled": 3, "connecting": 0, "down": 2, "fault": 0, "challenge": 0}
    assert [one["name"] for one in station.call("GetStatus")["status"]["accounts"]] == list("abcde")
    assert station.call("GetStatus", account="a")["status"]["totals"]["disabled"] == 1


def make_accounts(station, count):
    """Disabled ones, as files that are there at the start."""
    for n in range(count):
        path = os.path.join(station.state, "accounts", f"a{n:03}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"version": 1, "name": f"a{n:03}", "kind": "outgoing",
                       "properties": {"hostname": "mail.example", "enabled": False}}, file)
        users.give(path)


def test_a_long_answer_is_written_as_its_client_reads(new_station):
    """Others are answered meanwhile, what has gone by then is not in it, and one who leaves takes it along."""
    station = new_station().start()
    station.stop()
    make_accounts(station, 900)     # much more text than a socket and the daemon hold for a client
    station.start()
    with station.client() as slow, station.client() as gone:
        slow.send(SERVICE + "GetStatus", {})
        gone.send(SERVICE + "Audit", {})
        gone.send(SERVICE + "ListAccounts", {})
        assert station.call("GetStatus", account="a003")["status"]["totals"]["disabled"] == 1
        gone.close()
        station.call("DeleteAccount", name="a898")
        status = slow.answer()["status"]
        names = [one["name"] for one in status["accounts"]]
        assert names == [f"a{n:03}" for n in range(900) if n != 898] and status["totals"]["disabled"] == 899
        assert list(status)[0] == "version" and status["advice"]
    listed = station.call("ListAccounts")
    assert [one["name"] for one in listed["accounts"]] == names and listed["next"] is None
    assert station.json("account", "list") == listed["accounts"]
    assert [one["name"] for one in station.json("status")["accounts"]] == names
    few = station.call("GetStatus", limit=2)["status"]
    assert [one["name"] for one in few["accounts"]] == names[:2]
    assert "accounts=899;;" in station.ctl("status", "--check", code=None).out


def test_the_worst_is_listed_first_where_not_all_are(new_station):
    station = new_station().start()
    for name in ("a", "b", "c"):
        station.add("outgoing", name, password=None, hostname="127.0.0.1", port=1, useSsl=False, enabled=name == "c",
                    allowDisabledQueuing=True, **{"from": "plant@example.test"})
    station.send("b", "box@example.test")
    station.ctl("account", "poll", "c", code=None)
    station.wait_status("c", "down")
    station.stop()
    path = os.path.join(station.state, "accounts", "z.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write("{")
    users.give(path)
    station.start()
    station.ctl("account", "poll", "c", code=None)
    station.wait_status("c", "down")
    status = station.call("GetStatus", limit=3)["status"]
    assert [one["name"] for one in status["accounts"]] == ["z", "c", "b"]
    assert (status["mailKept"], status["heartbeatsMissing"]) == (1, 0)
    assert "waiting=1;" in station.ctl("status", "--check", code=2).out


def test_the_last_day(new_station, new_sink, certificates):
    station = new_station().start()
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), True, True)
    station.add("outgoing", "a", hostname=sink.host, port=sink.port, account="user", **{"from": "a@example.test"})
    station.send("a", "box@example.test")
    station.wait_event("mail.sent")
    *_, now = station.call("GetHistory", minutes=1)["samples"]
    assert now["sent"] == 1 and now["handshakes"] >= 1 and now["handshakeP50"] <= now["handshakeP95"]
    station.restart()
    samples = station.call("GetHistory")["samples"]
    times = [sample["time"] for sample in samples]
    assert sum(sample["sent"] for sample in samples) == 1 and times == sorted(set(times))
    assert len(station.json("activity", "--minutes", "1")) == 1


def test_a_backup(station, folder):
    path = os.path.join(folder, "backup.tar")
    with open(path, "wb") as archive, station.client() as client:
        client.send(SERVICE + "Backup", {"descriptor": 0, "mail": False}, fds=[archive.fileno()])
        made = client.answer()
    assert made["files"] > 0 and os.path.getsize(path) >= made["bytes"] > 0


@pytest.mark.skipif(not users.IS_ROOT, reason="needs root: asks as another user")
def test_who_may_not(new_station):
    station = new_station({"Control.AllowSubmit": "all"}).start()
    os.chmod(station.socket, 0o666)
    for method in (SERVICE + "GetStatus", TRUST + "ListAnchors"):
        os.seteuid(54321)
        try:
            client = varlink.Client(station.socket)
        finally:
            os.seteuid(0)
        with client, pytest.raises(varlink.VarlinkError) as told:
            client.call(method)
        assert told.value.short == "PermissionDenied"


def test_no_call_at_all(station):
    with station.client() as client:
        client.send_raw(b"[1]\0")
        assert client.receive()["error"] == SERVICE + "InvalidCall"


def test_too_large(station):
    with station.client() as client:
        client.send(SERVICE + "GetStatus", {"account": "x" * 70000})
        assert client.receive()["error"] == SERVICE + "TooLarge"
    with station.client() as client:
        client.send(TRUST + "Reject", {"id": "x" * 70000})
        assert client.receive()["error"] == TRUST + "TooLarge"


def test_a_disk_that_fails(interposed, certificates):
    station = interposed.station.start()
    pem = base64.b64encode(certificates.user.pem).decode()
    interposed.fail("fsync", "fdatasync", "rename")
    refused(station, "Storage", TRUST + "ImportAnchors", certificates=pem)
    refused(station, "Storage", "AddAccount", name="n", kind="outgoing", properties={"hostname": "h.example"})
    interposed.heal()


def test_the_end_is_told(station):
    with station.client() as client:
        stream = client.stream("Monitor")
        next(stream)
        station.stop()
        assert any(answer["event"]["event"] == "station.ending" for answer in until_closed(stream))


def until_closed(stream):
    try:
        yield from stream
    except (varlink.Closed, varlink.VarlinkError):
        return


def test_trust(new_station, new_sink, certificates, folder):
    """An exemption in time, another certificate there, errors."""
    station = new_station().start()
    first = certificates.leaf("user", "127.0.0.1")
    sink = new_sink(first, True, True)
    station.add("outgoing", "c", hostname=sink.host, port=sink.port, account="user", **{"from": "a@example.test"})
    station.send("c", "box@example.test")
    station.wait_status("c", "challenge")
    entry, = trust(station, "ListAllowedHosts")["entries"]
    assert trust(station, "GetAllowedHost", id=entry["id"])["entry"]["id"] == entry["id"]
    refused(station, "FingerprintMismatch", TRUST + "Approve", id=entry["id"], fingerprint="ab" * 32)
    refused(station, "NotFound", TRUST + "GetAllowedHost", id="00ff00ff")
    refused(station, "NotFound", TRUST + "GetAnchor", fingerprint="ab" * 32)
    refused(station, "WrongState", TRUST + "Unapprove", id=entry["id"])
    approved = trust(station, "Approve", id=entry["id"], fingerprint=first.fingerprint, until="2099-01-01T00:00:00Z",
                     reason="seen at the plant")["entry"]
    assert approved["expires"] == "2099-01-01T00:00:00Z" and approved["history"][-1]["expires"]
    station.wait_status("c", "ok")
    with station.client() as client:
        results = {answer["step"]["step"]: answer["step"]["result"] for answer in client.stream("TestAccount", name="c")}
    assert results["certificate"] == "warning"
    shown, = trust(station, "ListServerCertificates")["certificates"]
    assert shown["verifiedBy"] == "allowedHost"
    sink.tls = pki.server_context(certificates.leaf("self-signed", "127.0.0.1"), folder)
    sink.cut_all()
    station.send("c", "box@example.test")
    station.wait_status("c", "challenge")
    changed = next(one for one in trust(station, "ListAllowedHosts", state="pending")["entries"])
    assert changed["replaces"] == entry["id"]
    assert trust(station, "GetAllowedHost", id=changed["id"])["replaced"]["id"] == entry["id"]
    pem = base64.b64encode(certificates.user.pem).decode()
    trust(station, "ImportAnchors", certificates=pem)
    assert {one["store"] for one in trust(station, "ListAnchors", system=True)["anchors"]} == {"system"}
    user, = trust(station, "ListAnchors")["anchors"]
    assert trust(station, "GetAnchor", fingerprint=user["fingerprintSha256"])["anchor"]["store"] == "user"
    sink.tls = pki.server_context(certificates.leaf("wrong-name", "127.0.0.1"), folder)
    sink.cut_all()
    station.ctl("account", "test", "c", code=None)
    refused(station, "AmbiguousId", TRUST + "GetAllowedHost", id=f"{sink.host}:{sink.port}")
    station.ctl("account", "delete", "c", "--force")
    until(lambda: "unused" in {one["needlessBecause"] for one in trust(station, "ListAllowedHosts")["entries"]})


def test_keys(station, certificates):
    client = pki.leaf(certificates.system, ["client.example"])
    trust(station, "ImportKey", name="plant", key=base64.b64encode(client.pem + client.key_pem).decode())
    with open(os.path.join(station.state, "keys", "plant.pem"), "w") as file:
        file.write("no key\n")
    station.restart()
    assert trust(station, "ListKeys")["keys"][0]["fault"]
