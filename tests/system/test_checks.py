# SPDX-License-Identifier: MIT
"""The word that status has for an account is earned: idle outgoing accounts are looked at by themselves, what `account
test` and `poll` find counts, and a word that nothing has shown for long is not kept."""

import pytest

import channels
import letters
import pki
import ports
from test_queue import outgoing
from test_waits import metric
from waiting import until

DAY = 86400


def login(station, sink, name="a", password=letters.PASSWORD, **more):
    station.add("outgoing", name, password, **channels.properties("smtp", "plain", sink.host, sink.port, "user", **more))


@pytest.fixture
def server(new_sink):
    return new_sink(None, False, True)


def up(station, name="a"):
    return {labels: value for labels, value in metric(station, "account_up").items() if f'"{name}"' in labels}.popitem()[1]


def test_an_account_that_is_added_is_looked_at(station, server):
    login(station, server)
    assert station.account("a")["status"] == "connecting" and station.account("a")["statusText"] == "not used yet"
    assert "not used yet" in station.ctl("status").out and up(station) == 0
    sheet = station.wait_status("a", "ok")
    assert sheet["lastChecked"] and sheet["lastPollSuccess"] and "last worked" in sheet["statusText"] and up(station) == 1
    until(lambda: not server._open, say="the check says good-bye")
    assert server.connections == 1 and not server.accepted
    station.restart()
    assert "last worked" in station.account("a")["statusText"]
    station.wait_status("a", "ok")
    assert server.connections == 2


def test_never_is_never(station, sink):
    outgoing(station, sink, checkRate=0)
    outgoing(station, sink, "b")
    station.wait_status("b", "ok")
    assert station.account("a")["status"] == "connecting" and sink.connections == 1
    station.ctl("account", "poll", "a")
    assert station.account("a")["status"] == "ok"


def test_without_its_password_it_waits_in_peace(station, server):
    """Between adding it and setting its password nothing calls for a person."""
    station.ctl("account", "add", "outgoing", "a", f"hostname={server.host}", f"port={server.port}", "useSsl=false",
                "allowPlaintextAuthentication=true", "account=user", "from=a@example.test")
    station.ctl("account", "add", "incoming", "i", f"hostname={server.host}", f"port={ports.take()}", "useSsl=false",
                "allowPlaintextAuthentication=true", "account=user", "transport=imap")
    station.wait_status("i", "fault")
    outgoing(station, server, "b")
    station.wait_status("b", "ok", "fault", "down")
    assert station.account("a")["status"] == "connecting" and "no password" in station.account("a")["statusText"]
    assert "<3>" not in station.log() and "waits for its password" in station.log()
    station.ctl("account", "password", "a", stdin=letters.PASSWORD + "\n")
    station.wait_status("a", "ok")


@pytest.mark.parametrize("how", ("password", "away"))
def test_what_has_changed_at_the_server_is_seen(interposed, server, how):
    """Idle for a day: what the provider has changed stands in status, and its end too."""
    station = interposed.station.start()
    login(station, server)
    station.wait_status("a", "ok")
    server.rule("auth", "535 5.7.8 wrong password") if how == "password" else server.rule("greeting", "cut")
    interposed.pass_time(int(1.2 * DAY))
    sheet = station.wait_status("a", "fault", "down")
    assert sheet["cause"] and sheet["waitingFor"]["until"] and up(station) == 0
    station.wait_event("account.status", account="a", status=sheet["status"])
    server.clear_rules()
    interposed.pass_time(2 * 3600)      # without any mail, as at its back-off
    station.wait_status("a", "ok")


def test_a_word_is_not_kept_for_ever(interposed, sink):
    station = interposed.station.start()
    outgoing(station, sink, checkRate=0)
    station.wait_message(station.send("a", "box@example.test"))
    assert station.wait_status("a", "ok")["statusText"].startswith("last worked")
    interposed.pass_time(3 * DAY)
    sheet = station.wait_status("a", "connecting")
    assert sheet["statusText"] == "last worked 3 days ago" and up(station) == 0
    assert "last worked 3 days ago" in station.ctl("status").out


def test_account_test_feeds_the_status(station, server):
    login(station, server, checkRate=0)
    station.ctl("account", "test", "a")
    assert station.wait_status("a", "ok")["lastChecked"]
    server.rule("auth", "535 5.7.8 wrong password")
    station.ctl("account", "test", "a", code=None)
    station.wait_status("a", "fault")
    station.wait_event("account.status", account="a", status="fault")
    queued = station.send("a", "box@example.test")
    server.clear_rules()
    station.ctl("account", "test", "a")
    station.wait_status("a", "ok")
    assert station.wait_message(queued)["state"] == "sent"


def test_account_test_of_a_disabled_account_changes_nothing(station, server):
    login(station, server)
    station.ctl("account", "disable", "a")
    station.ctl("account", "test", "a")
    assert station.account("a")["status"] == "disabled"


def test_poll_of_an_idle_account_looks(station, server):
    login(station, server, checkRate=0)
    station.ctl("account", "poll", "a")
    assert station.account("a")["status"] == "ok" and server.connections == 1
    server.rule("auth", "535 5.7.8 wrong password")
    until(lambda: not server._open)
    assert "wrong password" in station.ctl("account", "poll", "a", code=None).said
    assert station.account("a")["status"] == "fault"


def test_a_renewed_certificate_is_seen_by_a_test(station, new_sink, certificates, folder):
    soon = pki.leaf(certificates.user, ["127.0.0.1"], last=20 * pki.DAY)
    sink = new_sink(soon, True, True)
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)
    station.add("outgoing", "a", **channels.properties("smtp", "ssl", "127.0.0.1", sink.port, "user", checkRate=0))
    station.ctl("account", "test", "a")
    assert any("certificate" in advice and "renew" in advice for advice in station.json("status")["advice"])
    sink.tls = pki.server_context(certificates.leaf("user", "127.0.0.1"), folder)
    station.ctl("account", "test", "a")
    assert not any("renew" in advice for advice in station.json("status")["advice"])


def test_what_a_test_leaves_to_a_person_can_be_decided(station, new_sink, certificates):
    """`account test` and idle accounts raise the challenge that they speak of, and import of the root ends it."""
    sink = new_sink(certificates.leaf("user", "127.0.0.1"), True, True)
    station.add("outgoing", "a", **channels.properties("smtp", "ssl", "127.0.0.1", sink.port, "user"))
    station.ctl("account", "test", "a", code=None)
    assert len(station.json("challenge", "list")) == 1
    station.wait_status("a", "challenge")
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)
    station.wait_status("a", "ok")
    assert station.json("status")["challenges"] == 0


def test_trust_that_goes_is_noticed_without_mail(station, new_sink, certificates):
    sink = new_sink(certificates.leaf("user", "127.0.0.1"), True, True)
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)
    station.add("outgoing", "a", **channels.properties("smtp", "ssl", "127.0.0.1", sink.port, "user"))
    station.wait_status("a", "ok")
    station.ctl("trust", "delete", station.json("trust", "list")[0]["fingerprintSha256"])
    station.wait_status("a", "challenge")


def test_many_accounts_do_not_come_at_once(station, new_sink):
    """Each is checked, and a server never sees more of them at a time than MaxSessionsPerHost."""
    sink = new_sink()
    for number in range(12):
        outgoing(station, sink, f"a{number}")
    for number in range(12):
        station.wait_status(f"a{number}", "ok", timeout=20)
    assert sink.connections == 12
