# SPDX-License-Identifier: MIT
"""The control socket: introspection, streams, who may what, limits."""

import grp
import json
import os
import re
import select
import socket
import subprocess

import pytest

import as_user
import letters
import station as station_module
import users
import varlink
from waiting import until

INTERFACES = ("io.emailsec.EmailService", "io.emailsec.Trust")
needs_root = pytest.mark.skipif(not users.IS_ROOT, reason="needs root: runs clients as other users")


def test_get_info(station):
    info = station.call("org.varlink.service.GetInfo")
    assert {"vendor", "product", "version", "url", "interfaces"} <= set(info)
    assert {*INTERFACES, "org.varlink.service"} <= set(info["interfaces"])


@pytest.mark.parametrize("interface", INTERFACES)
def test_interface_descriptions_are_the_files(station, interface):
    text = station.call("org.varlink.service.GetInterfaceDescription", interface=interface)["description"]
    with open(os.path.join(station_module.ROOT, "common", interface + ".varlink")) as source:
        assert text == source.read()
    with pytest.raises(varlink.VarlinkError) as caught:
        station.call("org.varlink.service.GetInterfaceDescription", interface="io.example.Nothing")
    assert caught.value.short in ("InterfaceNotFound", "InvalidParameter")


@pytest.mark.parametrize("interface", INTERFACES)
def test_every_method_described_is_there(station, interface):
    text = station.call("org.varlink.service.GetInterfaceDescription", interface=interface)["description"]
    with station.client() as client:
        for method in re.findall(r"^method (\w+)", text, re.M):
            client.send(f"{interface}.{method}", {"no-such-parameter": 1}, more=True)
            error = client.receive().get("error", "")
            assert not error.endswith(("MethodNotFound", "MethodNotImplemented")), method
            client.close()
            client.__init__(station.socket)


def test_calls_are_answered_in_order(station):
    with station.client() as client:
        for _ in range(50):
            client.send("org.varlink.service.GetInfo")
            client.send(varlink.SERVICE + "ListAccounts")
        for _ in range(50):
            assert "vendor" in client.answer()
            assert "accounts" in client.answer()


def test_oneway_is_not_answered(station):
    with station.client() as client:
        client.send(varlink.SERVICE + "ListAccounts", oneway=True)
        client.send("org.varlink.service.GetInfo")
        assert "vendor" in client.answer()


def test_monitor_needs_more(station):
    with pytest.raises(varlink.VarlinkError) as caught:
        station.call("Monitor")
    assert caught.value.name == "org.varlink.service.ExpectedMore"


def test_monitor_stream(station):
    with station.client() as client:
        stream = client.stream("Monitor", events=["account."], accounts=["a"])
        assert next(stream).get("event") is None
        station.ctl("account", "add", "outgoing", "b", "hostname=localhost", "enabled=false")
        station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false")
        event = next(stream)["event"]
        assert (event["event"], event["account"]) == ("account.added", "a")
        assert event["text"] and event["time"] and event["cursor"]
    # from a cursor: what came after it
    station.ctl("account", "set", "a", "maxConnections=3")
    with station.client() as client:
        stream = client.stream("Monitor", events=["account."], since=event["cursor"])
        assert next(stream).get("event") is None
        assert next(stream)["event"]["event"] == "account.changed"


def test_monitor_by_the_tool(station):
    process = subprocess.Popen(
        [station.programs["emailsecctl"], "--socket", station.socket, "--json", "monitor"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=station_module.clean_environment())
    try:
        # the tool tells nothing when its stream stands: repeat until the first line comes
        for number in range(200):
            station.ctl("account", "add", "outgoing", f"a{number}", "hostname=localhost", "enabled=false")
            if select.select([process.stdout], [], [], 0.05)[0]:
                break
        assert "account.added" in process.stdout.readline()
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def test_a_client_that_never_reads_is_dropped_alone(station):
    """Its replies are bounded; the daemon and the others go on."""
    with station.client() as client:
        client.socket.settimeout(5)
        try:
            for _ in range(20000):
                client.send("org.varlink.service.GetInterfaceDescription", {"interface": INTERFACES[0]})
        except OSError:
            pass
        assert station.call("GetStatus")["status"]


def test_many_clients(station):
    """More than the limit of one user: refused or closed, not hung; the others live, and there is room again."""
    clients = []
    try:
        for _ in range(300):
            try:
                clients.append(station.client())
            except OSError:
                break
        assert clients[0].call("GetStatus")["status"]
    finally:
        for client in clients:
            client.close()
    def room():
        try:
            return station.call("GetStatus")
        except (OSError, varlink.Closed, varlink.VarlinkError):
            return None
    until(room)


def test_a_client_that_goes_away_cancels_its_call(station, sink):
    sink.rule("greeting", "hang")
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "from=a@example.test")
    queued = station.send("a", "b@example.test")
    with station.client() as client:
        client.send(varlink.SERVICE + "WaitMessage", {"id": queued})
    with station.client() as client:
        client.send(varlink.SERVICE + "WaitMessage", {"id": queued}, more=True)
        assert client.answer()["message"]["state"] in ("queued", "sending")
    with station.client() as client:
        client.send(varlink.SERVICE + "WaitMessage", {"id": queued}, more=True)
    with station.client() as client:
        client.send(varlink.SERVICE + "Poll", {"name": "a", "wait": True})
    assert station.call("GetStatus")["status"]


@needs_root
def test_any_local_user_can_only_submit(station, sink, certificates):
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "from=a@example.test")
    stranger = users.as_stranger()
    station.ctl("sendmail", "box@example.test", stdin=letters.letter("box"), user=stranger)
    sink.wait_for(1)
    for args in (("status",), ("account", "list"), ("account", "show", "a"), ("queue", "list"), ("challenge", "list"),
                 ("allowed", "list"), ("trust", "list"), ("inbox", "list", "a"), ("monitor",), ("reload",),
                 ("account", "set", "a", "port=26"), ("account", "delete", "a"), ("account", "poll", "a"),
                 ("trust", "import", "-")):
        result = station.ctl(*args, code=4, user=stranger, stdin=certificates.user.pem)
        assert result.err, args
    assert station.account("a")["port"] == sink.port


@needs_root
def test_submission_can_be_narrowed(new_station, sink):
    station = new_station({"Control.AllowSubmit": "root"}).start()
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "from=a@example.test")
    result = station.ctl("sendmail", "box@example.test", stdin=letters.letter("box"), user=users.as_stranger(),
                         code=None)
    assert result.code in (4, 77) and station.json("queue", "list") == []
    station.ctl("sendmail", "box@example.test", stdin=letters.letter("box"))
    sink.wait_for(1)


@needs_root
def test_nobody_else_may_submit(new_station, sink):
    """AllowSubmit= leaves readers and admins."""
    station = new_station({"Control.AllowSubmit": "", "Control.ReadGroup": "games"}).start()
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "from=a@example.test")
    reader = {**users.as_stranger(), "extra_groups": [grp.getgrnam("games").gr_gid]}
    assert station.ctl("sendmail", "box@example.test", stdin=letters.letter("box"), user=users.as_stranger(),
                       code=None).code == 77
    station.ctl("sendmail", "box@example.test", stdin=letters.letter("box"), user=reader)
    sink.wait_for(1)


@needs_root
@pytest.mark.parametrize("role, may_change", (("ReadGroup", False), ("AdminGroup", True)))
def test_groups(new_station, role, may_change):
    station = new_station({f"Control.{role}": "games"}).start()
    member = {**users.as_stranger(), "extra_groups": [grp.getgrnam("games").gr_gid]}
    station.ctl("status", user=member)
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false", user=member,
                code=0 if may_change else 4)


@needs_root
def test_the_daemons_own_user_may_all(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false", user=users.as_daemon())


LETTER = {"from": "a@example.test", "recipients": ["b@example.test"], "message": "U3ViamVjdDogeAoKeQo="}


@pytest.fixture
def down(station):
    """Its outgoing account a reaches nobody: mail is deferred."""
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "port=1", "useSsl=false", "from=a@example.test")
    return station


def ask_half_closed(say, path, method, parameters):
    with varlink.Client(path) as client:
        client.send(method, parameters)
        client.socket.shutdown(socket.SHUT_WR)
        say(json.dumps(client.answer()).encode())


@needs_root
@pytest.mark.parametrize("method", ("ListAccounts", "ListQueue", "Submit", "ListSubscribers", "Audit"))
def test_who_has_ended_its_side_is_answered(down, method):
    got = as_user.run_as(0, ask_half_closed, down.socket, varlink.SERVICE + method, LETTER if method == "Submit" else {})
    assert json.loads(got)
    if method == "Submit":
        assert re.search("accepted from root .uid 0. for a", down.log())


def submit_and_go(say, path, oneway):
    with varlink.Client(path) as client:
        client.send(varlink.SERVICE + "Submit", LETTER, oneway=oneway)
    say()


@needs_root
@pytest.mark.parametrize("oneway", (False, True))
def test_who_goes_at_once_is_named(down, oneway):
    as_user.run_as(54321, submit_and_go, down.socket, oneway)
    if oneway:      # else it may have been given up
        until(lambda: "accepted from uid 54321 for a" in down.log())
        assert down.call("ListQueue")["messages"][0]["submittedBy"] == "uid 54321"
    assert "accepted from  for" not in down.log()


def test_waiting_ends_with_the_account(down):
    queued = down.send("a", "b@example.test")
    with down.client() as client:
        client.send(varlink.SERVICE + "WaitMessage", {"id": queued}, more=True)
        assert client.answer()["message"]["state"] in ("queued", "sending", "deferred")
        down.ctl("account", "delete", "a", "--force")
        while True:
            got = client.receive()
            if not got.get("continues"):
                break
        assert got.get("error", "").endswith(".NotFound") or got["parameters"]["message"]["state"] == "failed"


def ask_what_there_is(say, path, calls):
    answers = []
    for method, parameters in calls:
        with varlink.Client(path) as client:
            client.send(varlink.SERVICE + method, parameters)
            answers.append(client.receive())
    say(json.dumps(answers).encode())


@needs_root
def test_strangers_are_not_told_what_there_is(new_station):
    """Neither which messages nor which accounts."""
    down = new_station({"Service.DefaultAccount": "a"}).start()
    for name in ("a", "other"):
        down.ctl("account", "add", "outgoing", name, "hostname=localhost", "port=1", "useSsl=false", "from=a@example.test")
    queued = down.send("a", "b@example.test")
    calls = [("WaitMessage", {"id": queued}), ("WaitMessage", {"id": queued[:1]}), ("WaitMessage", {"id": "zzzzzzzzzz"}),
             ("WaitMessage", {"id": ""})]
    answers = json.loads(as_user.run_as(54321, ask_what_there_is, down.socket, calls))
    assert all(answer == answers[0] for answer in answers), answers
    assert answers[0]["error"].endswith(".PermissionDenied")
    calls = [("Submit", {**LETTER, "account": "other"}), ("Submit", {**LETTER, "account": "no-such"})]
    answers = json.loads(as_user.run_as(54321, ask_what_there_is, down.socket, calls))
    assert answers[0] == answers[1] and answers[0]["error"].endswith(".PermissionDenied"), answers
