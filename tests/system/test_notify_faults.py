# SPDX-License-Identifier: MIT
"""NotifyFaults=: what needs a person is told by mail through another account, gathered, bounded, never in a loop."""

import json

import pytest

import channels
from test_queue import outgoing
from waiting import until

TO = "operator@example.test"
MINUTE = 60


@pytest.fixture
def told(interposed, sink):
    """A station with an account `b` that works, at a sink that gets the mail about the others."""
    interposed.station.write_config({"Service.NotifyFaults": TO, "Service.DefaultAccount": "b"})
    interposed.station.start()
    outgoing(interposed.station, sink, "b")
    interposed.station.send("b", "box@example.test")
    sink.wait_for(1)
    return interposed


def mails(sink):
    return [one.content.decode() for one in sink.accepted if one.recipients == [TO]]


def subject(content):
    return next(line[9:] for line in content.splitlines() if line.startswith("Subject: "))


def broken(station, new_sink, certificates, name="a"):
    """An account whose server presents what nobody vouches for."""
    other = new_sink(certificates.leaf("self-signed", "127.0.0.1"), True, True)
    station.add("outgoing", name, **channels.properties("smtp", "ssl", other.host, other.port, "user"))
    station.send(name, "box@example.test")
    station.wait_status(name, "challenge")
    return other


def test_told_once_and_when_it_is_over(told, sink, new_sink, certificates):
    station = told.station
    broken(station, new_sink, certificates)
    challenge = station.json("challenge", "list")[0]
    assert mails(sink) == []
    told.pass_time(4 * MINUTE)
    until(lambda: len(mails(sink)) == 1)
    mail, = mails(sink)
    assert subject(mail) == "station.example: account a needs a person"
    assert f"what to do: emailsecctl challenge show {challenge['id'][:12]}" in mail and "through account b." in mail
    assert "Auto-Submitted: auto-generated" in mail
    until(lambda: f"{TO} is told of 1 account by mail through account b" in station.log())
    station.restart()       # what was told stays told
    station.send("a", "box@example.test")
    station.wait_status("a", "challenge")
    told.pass_time(10 * MINUTE)
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint", challenge["certificate"]["fingerprintSha256"])
    station.wait_status("a", "ok")
    told.pass_time(4 * MINUTE)
    until(lambda: len(mails(sink)) == 2)
    assert subject(mails(sink)[1]) == "station.example: account a works again"
    # the same again within the day: nobody is told
    station.ctl("allowed", "unapprove", challenge["id"])
    station.send("a", "box@example.test")
    station.wait_status("a", "challenge")
    told.pass_time(10 * MINUTE)
    assert len(mails(sink)) == 2
    told.pass_time(24 * 3600)
    station.ctl("reload")
    until(lambda: told.pass_time(4 * MINUTE) or len(mails(sink)) == 3)     # the account tries again meanwhile


def test_several_in_one_mail(told, sink, new_sink, certificates):
    station = told.station
    for name in ("x", "y", "z"):
        broken(station, new_sink, certificates, name)
    told.pass_time(4 * MINUTE)
    until(lambda: len(mails(sink)) == 1)
    assert subject(mails(sink)[0]) == "station.example: 3 accounts need a person"
    assert all(f"\r\n  {name} (outgoing, 127.0.0.1)" in mails(sink)[0] for name in "xyz")


def test_what_healed_meanwhile_is_not_told(told, sink, new_sink, certificates):
    station = told.station
    broken(station, new_sink, certificates)
    one = station.json("challenge", "list")[0]
    station.ctl("challenge", "accept", one["id"], "--fingerprint", one["certificate"]["fingerprintSha256"])
    station.wait_status("a", "ok")
    told.pass_time(10 * MINUTE)
    station.call("GetStatus")
    assert mails(sink) == [] and "is told of" not in station.log()


def test_never_through_the_account_itself(interposed, new_sink, certificates):
    """The only account there is: the journal says that nobody can be told, once, and no mail is queued."""
    interposed.station.write_config({"Service.NotifyFaults": TO})
    station = interposed.station.start()
    broken(station, new_sink, certificates)
    for _ in range(3):
        interposed.pass_time(11 * MINUTE)
    assert station.log().count(f"{TO} is not told of what is wrong here: no other outgoing account works") == 1
    assert [one["account"] for one in station.json("queue", "list")] == ["a"]


def test_a_mail_that_is_refused_makes_no_other(told, sink, new_sink, certificates):
    station = told.station
    sink.rule("rcpt", "550 5.1.1 no such user", match=TO.encode())
    broken(station, new_sink, certificates)
    told.pass_time(4 * MINUTE)
    station.wait_event("mail.failed", account="b")
    for _ in range(5):
        told.pass_time(20 * MINUTE)
    failed = [one for one in station.json("queue", "list") if one["account"] == "b"]
    assert len(failed) == 1


def test_a_missing_heartbeat_is_told(told, sink, new_sink):
    station = told.station
    other = new_sink()
    other.rule("rcpt", "550 5.1.1 no such user", times=1)
    outgoing(station, other, "h", heartbeat="watch@example.test")
    station.ctl("account", "heartbeat", "h", code=1)
    told.pass_time(4 * MINUTE)
    until(lambda: len(mails(sink)) == 1)
    assert "account h needs a person" in subject(mails(sink)[0]) and "emailsecctl account heartbeat h" in mails(sink)[0]


def test_a_bad_address_is_refused(new_station):
    station = new_station({"Service.NotifyFaults": "no address"})
    code, said = station.start_refused()
    assert code == 78 and "NotifyFaults" in said


def test_very_many_are_told_in_one_mail(told, sink):
    """As when the provider is gone: the words of some, the number of all, and each of them counts as told."""
    station = told.station
    station.ctl("account", "apply", "-", stdin=json.dumps({"accounts": [
        {"name": f"plant{n:02}", "kind": "incoming", "transport": "imap", "hostname": "localhost", "account": "user"}
        for n in range(60)]}))
    until(lambda: [one["status"] for one in station.json("status")["accounts"]].count("fault") == 60)
    told.pass_time(4 * MINUTE)
    until(lambda: len(mails(sink)) == 1)
    mail, = mails(sink)
    assert subject(mail) == "station.example: 60 accounts need a person"
    assert mail.count("what to do: ") == 50 and "and 10 more: emailsecctl status --problems" in mail
    told.pass_time(30 * MINUTE)
    assert len(mails(sink)) == 1
