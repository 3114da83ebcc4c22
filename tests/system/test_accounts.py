# SPDX-License-Identifier: MIT
"""Accounts: added, changed, secured, deleted, listed, exported, applied; kept over a restart; never half changed."""

import json
import os
import stat

import pytest

import channels
import letters
import varlink
from waiting import until

OUTGOING_DEFAULTS = {
    "enabled": True, "transport": "smtp", "useSsl": True, "useStartTls": False, "minTlsVersion": "1.2",
    "account": "", "passwordSource": "none", "authentication": "auto", "allowPlaintextAuthentication": False,
    "connectionTimeout": 30, "debug": False, "pollRate": 0, "maxConnections": 20, "maxQueueSize": 100000,
    "maxSendablePerDay": 0, "allowDisabledQueuing": True, "queueLifetime": 5 * 86400,
    "queueSize": 0, "numberSent": 0, "numberSentToday": 0, "numberDiscarded": 0}
INCOMING_DEFAULTS = {
    "enabled": True, "useSsl": True, "useStartTls": False, "minTlsVersion": "1.2", "authentication": "auto",
    "pollRate": 60, "push": True, "folder": "INBOX", "deliveryPolicy": "markAsRead", "fetch": "all",
    "maxMessageSize": 50 * 1024 * 1024, "numberReceived": 0}


def names(station):
    return [account["name"] for account in station.json("account", "list")]


def refused(station, method, **parameters):
    with pytest.raises(varlink.VarlinkError) as caught:
        station.call(method, **parameters)
    return caught.value


def bad_properties(error):
    return sorted(problem["property"] for problem in error.parameters["problems"])


def test_add_and_show(station):
    station.ctl("account", "add", "outgoing", "plant", "hostname=mail.example.test", "enabled=false")
    shown = station.json("account", "show", "plant")
    assert (shown["name"], shown["kind"]) == ("plant", "outgoing")
    sheet = shown["properties"]
    assert {key: sheet[key] for key in OUTGOING_DEFAULTS} == {**OUTGOING_DEFAULTS, "enabled": False}
    assert sheet["hostname"] == "mail.example.test"
    assert sheet["port"] == "auto"
    assert sheet["status"] == "disabled"
    assert shown["warnings"] == []
    text = station.ctl("account", "show", "plant").out
    assert "mail.example.test" in text and "useStartTls" in text


@pytest.mark.parametrize("transport", ("imap", "pop3"))
def test_add_incoming(station, transport):
    station.ctl("account", "add", "incoming", "box", "hostname=mail.example.test", f"transport={transport}",
                "enabled=no")
    sheet = station.account("box")
    expected = {key: value for key, value in INCOMING_DEFAULTS.items() if key in sheet or key != "folder"}
    assert {key: sheet[key] for key in expected} == {**expected, "enabled": False}
    assert sheet["transport"] == transport
    assert "maxQueueSize" not in sheet


def test_list_is_in_order(station):
    for name in ("b2", "a1", "c.3"):
        station.ctl("account", "add", "outgoing", name, "hostname=localhost", "enabled=false")
    assert names(station) == ["a1", "b2", "c.3"]
    text = station.ctl("account", "list").out
    assert [line.split()[0] for line in text.splitlines() if line.split()[0] in ("a1", "b2", "c.3")] == \
        ["a1", "b2", "c.3"]


def test_every_bad_property_is_named_at_once(station):
    bad = {"hostname": "two words", "port": 70000, "useSsl": "maybe", "colour": "red", "minTlsVersion": "3",
           "maxConnections": 65, "folder": "INBOX", "status": "ok"}
    error = refused(station, "AddAccount", name="bad", kind="outgoing", properties=bad)
    assert error.short == "InvalidProperty"
    assert bad_properties(error) == sorted(bad)
    for problem in error.parameters["problems"]:
        assert problem["text"]
    assert names(station) == []
    said = station.ctl("account", "add", "outgoing", "bad", *(f"{k}={v}" for k, v in bad.items()), code=1).err
    assert all(name in said for name in bad), said
    assert names(station) == []


def test_a_misspelt_property_is_recognised(station):
    error = refused(station, "AddAccount", name="a", kind="outgoing",
                    properties={"hostname": "localhost", "useSSL": True})
    problem, = error.parameters["problems"]
    assert "useSsl" in problem["text"] + problem["remedy"]


@pytest.mark.parametrize("words", (
    {"host": "hostname", "user": "account", "password": "account password a", "tls": "account secure a", "ssl": "account secure a",
     "starttls": "account secure a", "username": "account", "email": "from", "sender": "from", "protocol": "transport"},
    {"timeout": "connectionTimeout", "mailbox": "folder", "interval": "pollRate", "retention": "deliveryPolicy",
     "verify": "challenge list", "certificate": "trust import", "limit": "maxSendablePerDay", "hostnam": "hostname",
     "default": "DefaultAccount", "Host": "hostname"},
    {"tls_starttls": "account secure a", "SSLType": "account secure a", "passwordeval": "account password a", "PassCmd": "account password a",
     "tls_trust_file": "trust import", "tls_fingerprint": "challenge list", "AuthMechs": "authentication", "envelope-from": "from",
     "smtp_server": "hostname", "client_secret": "--secret oauthClientSecret", "mda": "deliverTo", "nokeep": "deliveryPolicy=delete",
     "maildomain": "Hostname=", "push": "incoming", "proto": "transport", "maxsize": "maxMessageSize"}))
def test_a_word_of_other_programs_gets_the_one_that_is_meant(station, words):
    station.add("outgoing", "a", hostname="localhost", enabled=False)
    told = {}
    for word in words:
        problem, = refused(station, "SetAccount", name="a", properties={word: "x"}).parameters["problems"]
        told[word] = problem["remedy"]
    assert {word: remedy for word, remedy in told.items() if words[word] not in remedy} == {}


def test_set_changes_all_or_nothing(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false")
    before = station.account("a")
    error = refused(station, "SetAccount", name="a",
                    properties={"hostname": "other.example", "maxConnections": 0, "pollRate": -1})
    assert bad_properties(error) == ["maxConnections", "pollRate"]
    assert station.account("a") == before
    station.ctl("account", "set", "a", "hostname=other.example", "maxConnections=2")
    after = station.account("a")
    assert (after["hostname"], after["maxConnections"]) == ("other.example", 2)


@pytest.mark.parametrize("name", ("", ".hidden", "-dash", "a/b", "..", "a b", "ä", "x" * 65, "a\n", "a\0b"), ids=range(10))
def test_bad_names(station, name):
    error = refused(station, "AddAccount", name=name, kind="outgoing", properties={"hostname": "localhost"})
    assert error.short == "InvalidProperty" and bad_properties(error) == ["name"]
    assert os.listdir(os.path.join(station.state, "accounts")) == []


def test_a_nul_in_a_value(station):
    """It is the value that is bad, wherever it stands, and nothing of it counts as a shorter one."""
    for parameters, name in (({"properties": {"hostname": "localhost\0x"}}, "hostname"),
                             ({"properties": {"hostname": "localhost", "from": "\0"}}, "from")):
        error = refused(station, "AddAccount", name="a", kind="outgoing", **parameters)
        assert error.short == "InvalidProperty" and bad_properties(error) == [name]
    assert refused(station, "GetAccount", name="\0").short == "InvalidProperty"
    with station.client() as client:
        with pytest.raises(varlink.VarlinkError) as caught:
            client.call(varlink.TRUST + "Approve", id="\0", fingerprint="00")
    assert caught.value.name == varlink.TRUST + "InvalidProperty"
    assert os.listdir(os.path.join(station.state, "accounts")) == []


def test_a_name_is_taken_once(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false")
    assert refused(station, "AddAccount", name="a", kind="outgoing",
                   properties={"hostname": "localhost"}).short == "Exists"


def test_name_and_kind_never_change(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false")
    for properties in ({"name": "b"}, {"kind": "incoming"}):
        assert refused(station, "SetAccount", name="a", properties=properties).short == "InvalidProperty"


def test_hostname_and_transport_are_required(station):
    error = refused(station, "AddAccount", name="a", kind="incoming", properties={})
    assert bad_properties(error) == ["hostname", "transport"]


def test_both_switches_are_refused(station):
    error = refused(station, "AddAccount", name="a", kind="outgoing",
                    properties={"hostname": "localhost", "useSsl": True, "useStartTls": True})
    assert error.short == "InvalidProperty"
    assert "useStartTls" in str(error.parameters) and "useSsl" in str(error.parameters)
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false")
    assert refused(station, "SetAccount", name="a", properties={"useStartTls": True}).short == "InvalidProperty"
    assert station.account("a")["useStartTls"] is False


@pytest.mark.parametrize("transport, security", channels.NINE)
def test_port_required(station, transport, security):
    """A change of the switches while the port is a number must say the port; the refusal names the table's."""
    start = "plain" if security != "plain" else "ssl"
    kind = channels.kind_of(transport)
    properties = {"hostname": "localhost", "enabled": False, "port": 2525, **channels.SWITCHES[start]}
    if kind == "incoming":
        properties["transport"] = transport
    station.call("AddAccount", name="a", kind=kind, properties=properties)
    error = refused(station, "SetAccount", name="a", properties=channels.SWITCHES[security])
    assert error.short == "PortRequired"
    assert str(channels.PORT_TABLE[transport, security]) in str(error.parameters)
    assert station.account("a")["useSsl"] is channels.SWITCHES[start]["useSsl"]
    station.call("SetAccount", name="a", properties={**channels.SWITCHES[security], "port": "auto"})
    assert station.account("a")["port"] == "auto"
    # with auto the switches move freely
    station.call("SetAccount", name="a", properties=channels.SWITCHES[start])


def test_port_required_exit_and_words(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "port=2525", "enabled=false")
    result = station.ctl("account", "set", "a", "useSsl=false", "useStartTls=true", code=1)
    assert "587" in result.err


@pytest.mark.parametrize("word, security", (("ssl", "ssl"), ("starttls", "starttls"), ("none", "plain")))
def test_secure(station, word, security):
    station.ctl("account", "add", "incoming", "a", "hostname=localhost", "transport=imap", "port=1143",
                "useSsl=false", "enabled=false")
    station.ctl("account", "secure", "a", word)
    sheet = station.account("a")
    assert {key: sheet[key] for key in channels.SWITCHES[security]} == channels.SWITCHES[security]
    assert sheet["port"] == "auto"
    station.ctl("account", "secure", "a", word, "--port", "2143")
    assert station.account("a")["port"] == 2143


def test_unusual_port_is_accepted_with_a_warning(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "port=2465", "enabled=false")
    warning, = station.json("account", "show", "a")["warnings"]
    assert "2465" in warning and "465" in warning
    station.ctl("account", "set", "a", "port=465")
    assert station.json("account", "show", "a")["warnings"] == []


def test_no_tls_is_a_warning(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "useSsl=false", "enabled=false",
                "allowPlaintextAuthentication=true")
    assert len(station.json("account", "show", "a")["warnings"]) >= 2


def test_ssl_3_is_refused(station):
    error = refused(station, "AddAccount", name="a", kind="outgoing",
                    properties={"hostname": "localhost", "minTlsVersion": "ssl3"})
    assert bad_properties(error) == ["minTlsVersion"]


def test_delete(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false")
    station.ctl("account", "password", "a", stdin="secret\n")
    station.ctl("account", "delete", "a")
    assert names(station) == []
    assert os.listdir(os.path.join(station.state, "accounts")) == []
    assert os.listdir(os.path.join(station.state, "secrets")) == []
    assert "a" in station.ctl("account", "show", "a", code=1).err
    station.wait_event("account.deleted", account="a")


def test_unsent_mail_is_not_deleted_by_the_way(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false",
                "from=sender@example.test")
    station.send("a", "someone@example.test")
    assert refused(station, "DeleteAccount", name="a").short == "WrongState"
    assert names(station) == ["a"]
    station.call("DeleteAccount", name="a", force=True)
    assert names(station) == []


def test_enable_and_disable(station, sink):
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "from=sender@example.test")
    station.ctl("account", "disable", "a")
    assert station.account("a")["status"] == "disabled"
    queued = station.send("a", "someone@example.test")
    station.ctl("account", "enable", "a")
    assert station.wait_message(queued)["state"] == "sent"
    assert station.account("a")["status"] == "ok"


def test_restart_keeps_everything(station):
    station.ctl("account", "add", "outgoing", "out", "hostname=mail.example.test", "enabled=false",
                "maxConnections=2", "account=user", "from=plant@example.test")
    station.ctl("account", "add", "incoming", "in", "hostname=mail.example.test", "transport=pop3",
                "enabled=false", "deliveryPolicy=delete", "port=auto")
    station.ctl("account", "password", "out", stdin="secret\n")
    before = station.json("account", "list")
    sheets = [station.account(name) for name in ("out", "in")]
    assert sheets[0]["passwordSource"] == "stored"
    station.restart()
    assert station.json("account", "list") == before
    assert [station.account(name) for name in ("out", "in")] == sheets


def test_files_are_private_and_readable_json(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false")
    station.ctl("account", "password", "a", stdin=letters.PASSWORD + "\n")
    for part in ("accounts/a.json", "secrets/a"):
        assert stat.S_IMODE(os.stat(os.path.join(station.state, part)).st_mode) == 0o600, part
    with open(os.path.join(station.state, "accounts/a.json")) as source:
        text = source.read()
    assert json.loads(text)["properties"]["hostname"] == "localhost"
    assert letters.PASSWORD not in text


def test_the_password_never_comes_back(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false")
    station.ctl("account", "password", "a", stdin=letters.PASSWORD + "\n")
    for result in (station.ctl("--json", "account", "show", "a"), station.ctl("account", "export"),
                   station.ctl("--json", "status")):
        assert letters.PASSWORD not in result.said
    station.ctl("account", "password", "a", "--clear")
    assert station.account("a")["passwordSource"] == "none"


def test_password_by_credential(station, folder):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false")
    station.ctl("account", "password", "a", "--credential", "plant-mail")
    assert station.account("a")["passwordSource"] == "credential:plant-mail"
    station.restart()
    assert station.account("a")["passwordSource"] == "credential:plant-mail"


def test_export_and_apply(station, folder):
    station.ctl("account", "add", "outgoing", "out", "hostname=mail.example.test", "enabled=false")
    station.ctl("account", "add", "incoming", "in", "hostname=mail.example.test", "transport=imap", "enabled=false")
    exported = json.loads(station.ctl("account", "export").out)
    assert sorted(account["name"] for account in exported["accounts"]) == ["in", "out"]

    # the same again changes nothing
    path = os.path.join(folder, "accounts.json")
    with open(path, "w") as out:
        json.dump(exported, out)
    station.ctl("account", "apply", path)
    assert json.loads(station.ctl("account", "export").out) == exported

    # on a station without accounts it makes them
    for name in ("in", "out"):
        station.ctl("account", "delete", name)
    station.ctl("account", "apply", "--dry-run", path)
    assert names(station) == []
    said = station.ctl("account", "apply", "-", stdin=json.dumps(exported)).out
    assert "out" in said and "in" in said
    assert json.loads(station.ctl("account", "export").out) == exported


def test_apply_changes_the_security_at_the_same_port(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=mail.example", "port=2525", "useSsl=false", "enabled=false")
    exported = json.loads(station.ctl("account", "export", "a").out)
    accounts = exported["accounts"] if isinstance(exported, dict) else exported
    accounts[0].get("properties", accounts[0])["useSsl"] = True
    station.ctl("account", "apply", "-", stdin=json.dumps(exported))
    sheet = station.account("a")
    assert sheet["useSsl"] is True and sheet["port"] == 2525


def test_apply_is_all_or_nothing(station):
    station.ctl("account", "add", "outgoing", "out", "hostname=mail.example.test", "enabled=false")
    exported = json.loads(station.ctl("account", "export").out)
    bad = [{"name": "new", "kind": "outgoing", "properties": {"hostname": "localhost"}},
           {"name": "worse", "kind": "outgoing", "properties": {"hostname": "localhost", "port": 0.5}}]
    station.ctl("account", "apply", "-", stdin=json.dumps(bad), code=1)
    station.ctl("account", "apply", "-", stdin="{ not json", code=None)
    assert json.loads(station.ctl("account", "export").out) == exported


def test_apply_of_a_client_that_leaves(station):
    """What was asked for is done, and told, whoever waits for the answer; more accounts than one turn of the loop takes."""
    wanted = [f"n{number:02}" for number in range(70)]
    with station.client() as client:
        client.send(varlink.SERVICE + "Apply", {"accounts": [
            {"name": name, "kind": "outgoing", "properties": {"hostname": "h.example", "enabled": False}} for name in wanted]})
    for name in wanted[0], wanted[-1]:
        station.wait_event("audit.recorded", account=name, action="account.added")
    assert sorted(names(station)) == wanted
    with station.client() as client:
        changes = client.call("Apply", accounts=station.json("account", "export")["accounts"], dryRun=True)["changes"]
    assert [(change["account"], change["change"]) for change in changes] == [(name, "none") for name in wanted]


# What its answer says, and whether it was, or will be, done.
ENDS_OF_AN_APPLY = {"makes it so when it starts again": True, "nothing was changed": False, "the daemon is ending": False,
                    "has ended before this was answered": None}


@pytest.mark.parametrize("files", (0, 1, 100))
def test_an_apply_that_the_end_cuts_off_is_answered(station, files):
    """Wherever it is cut: who asked hears what became of it, and with what to do next; the next start has all of it or nothing."""
    wanted = [f"n{number:03}" for number in range(400)]
    folder = os.path.join(station.state, "accounts")
    with station.client() as client:
        client.send(varlink.SERVICE + "Apply", {"accounts": [
            {"name": name, "kind": "outgoing", "properties": {"hostname": "h.example", "enabled": False}} for name in wanted]})
        until(lambda: len(os.listdir(folder)) >= files, 20)
        station.stop()
        try:
            got = client.receive()
        except varlink.Closed:      # it had ended before it read that
            assert files == 0
            got = None
    done = got is not None
    if got and "error" in got:
        cause = got["parameters"]["cause"]
        assert cause["remedy"], got
        done = [done for words, done in ENDS_OF_AN_APPLY.items() if words in cause["text"]][0]
    station.start()
    assert names(station) in ([wanted] if done else [[]] if done is not None else [wanted, []])


def test_changes_are_events(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false")
    station.wait_event("account.added", account="a")
    station.ctl("account", "set", "a", "maxConnections=3")
    station.wait_event("account.changed", account="a")


def test_a_second_outgoing_account_takes_the_default_away(new_station):
    """Told when it is added and in To do, by sendmail with what mends it; over when it is mended."""
    station = new_station().start()
    first = station.ctl("account", "add", "outgoing", "a", "hostname=a.example", "enabled=false")
    assert "names no account" not in first.said
    second = station.ctl("account", "add", "outgoing", "b", "hostname=b.example", "enabled=false")
    assert "mail that names no account (sendmail, cron) is refused" in second.err and "DefaultAccount=NAME" in second.err
    assert "names no account" not in station.ctl("account", "add", "incoming", "c", "transport=imap", "hostname=c.example",
                                                 "enabled=false").said
    assert "is refused, since there are several outgoing accounts (a, b)" in station.ctl("status").out
    refused = station.ctl("sendmail", "x@y.example", code=78)
    assert "several outgoing accounts (a, b)" in refused.err and "DefaultAccount=a" in refused.err
    station.write_config({"Service.DefaultAccount": "b"})
    station.ctl("reload")
    assert "names no account" not in station.ctl("status").out
    station.ctl("sendmail", "-f", "me@a.example", "x@y.example", stdin=b"Subject: x\n\nx\n")
    assert station.json("queue", "list")[0]["account"] == "b"


def test_a_look_at_a_certificate_says_how_it_is_accepted(station, new_sink, certificates):
    """A probe, which records none, says how a challenge comes; where one is, it is named."""
    sink = new_sink(certificates.leaf("self-signed", "127.0.0.1"), True, True)
    probe = ("probe", f"{sink.host}:{sink.port}", "--security", "ssl")
    said = station.ctl(*probe, code=1).out
    assert "a person must decide" in said and "once an account has met it emailsecctl challenge list" in said
    assert station.json("challenge", "list") == []
    station.add("outgoing", "a", **channels.properties("smtp", "ssl", sink.host, sink.port, "user"))
    station.send("a", letters.address("box"))
    station.wait_status("a", "challenge")
    challenge = station.json("challenge", "list")[0]["id"]
    for look in (probe, ("account", "test", "a")):
        assert f"emailsecctl challenge show {challenge}" in station.ctl(*look, code=1).out
