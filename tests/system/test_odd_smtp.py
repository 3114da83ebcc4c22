# SPDX-License-Identifier: MIT
"""SMTP servers that refuse the way of asking, the account for a while, or oddly what they took before: as data, what
they answer and what must come of it. None of it loses a message or calls for a person who can do nothing."""

import pytest

import letters
import ports
from waiting import until

EXTENSIONS = ("PIPELINING", "8BITMIME", "SIZE 60000000", "ENHANCEDSTATUSCODES", "DSN")


def outgoing(station, sink, name="a", **more):
    station.ctl("account", "add", "outgoing", name, f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "from=sender@example.test", *(f"{key}={value}" for key, value in more.items()))


def deferrals(station):
    return [event for event in station.monitor.events if event["event"] == "mail.deferred"]


# what is refused: (step, reply, how often, in what); what the account's journal says of it
WAYS = {
    "our name in EHLO": ([("ehlo", "504 5.5.2 need fully-qualified hostname", None, b"station.example")], "does not take our name"),
    "our name, by 550": ([("ehlo", "550 5.5.0 invalid EHLO", None, b"station.example")], "does not take our name"),
    "EHLO": ([("ehlo", "502 5.5.1 what", None, b"EHLO")], ""),
    "our name, at RCPT": ([("rcpt", "504 5.5.2 <station.example>: Helo command rejected: need a full name", 1, b"")],
                          "does not take our name"),
    "SIZE": ([("mail", "555 5.5.4 Unsupported option: SIZE", None, b"SIZE=")], "parameters of MAIL"),
    "SIZE, by 501": ([("mail", "501 Syntax error in parameters", None, b"SIZE=")], "parameters of MAIL"),
    "NOTIFY": ([("rcpt", "555 5.5.4 RCPT TO parameters not recognized", None, b"NOTIFY=")], "parameters of RCPT"),
    "both": ([("mail", "501 x", None, b"SIZE="), ("rcpt", "504 x", None, b"NOTIFY=")], "parameters of RCPT"),
    "RCPT behind MAIL": ([("rcpt", "503 5.5.1 need MAIL", 1, b"")], "one command at a time"),
    "MAIL, it has lost its state": ([("mail", "503 5.5.1 polite people say HELO first", 1, b"")], "one command at a time"),
    "a go-ahead for RCPT": ([("rcpt", "354 go on", 1, b"")], "out of step"),
}


@pytest.mark.parametrize("what", WAYS)
def test_it_goes_in_another_way(station, new_sink, what):
    sink = new_sink(extensions=EXTENSIONS)
    rules, news = WAYS[what]
    for rule in rules:
        sink.rule(*rule)
    outgoing(station, sink)
    for _ in range(2):      # the second one knows the way
        queued = station.send("a", "box@example.test", None, "--notify", "failure")
        assert station.wait_message(queued)["state"] == "sent"
    assert len(sink.accepted) == 2 and not deferrals(station)
    assert station.account("a")["status"] == "ok"
    assert news in station.log()


PASSING = {
    "limit of the day": ("mail", "550 5.4.5 Daily user sending limit exceeded", "down"),
    "limit, when it is sent": ("dot", "550 5.4.5 Daily user sending limit exceeded", "down"),
    "locked account": ("mail", "550 5.7.0 account disabled", "down"),
    "try later": ("dot", "554 5.7.0 message refused, please try again later", "ok"),
}


@pytest.mark.parametrize("what", PASSING)
def test_what_passes_waits(station, sink, what):
    step, reply, status = PASSING[what]
    sink.rule(step, reply)
    outgoing(station, sink)
    queued = station.send("a", "box@example.test")
    until(lambda: station.message(queued)["state"] == "deferred")
    if status == "down":
        station.wait_status("a", "down")
        assert reply[:9] in station.account("a")["faultCause"]
    sink.clear_rules()
    station.ctl("queue", "retry", queued)
    assert station.wait_message(queued)["state"] == "sent"
    assert len(sink.accepted) == 1


@pytest.mark.parametrize("step, reply", (("mail", "550 5.7.1 no"), ("rcpt", "554 5.7.1 Relay access denied")))
def test_what_went_well_before_is_not_given_up_at_once(station, sink, step, reply):
    outgoing(station, sink)
    sink.rule(step, reply, times=1)
    assert station.wait_message(station.send("a", "box@example.test"))["state"] == "failed"    # it never went
    assert station.wait_message(station.send("a", "box@example.test"))["state"] == "sent"
    sink.rule(step, reply, times=1)
    queued = station.send("a", "box@example.test")
    station.wait_event("mail.deferred", account="a")
    station.ctl("queue", "retry", queued)
    assert station.wait_message(queued)["state"] == "sent"
    sink.rule("rcpt", "550 5.1.1 no such user", times=1)
    assert station.wait_message(station.send("a", "box@example.test"))["state"] == "failed"


def test_recipients_beyond_a_limit_follow_at_once(station, sink):
    count, most = 35, 10
    addresses = [f"box{n}@example.test" for n in range(count)]
    sink.most_recipients = most
    outgoing(station, sink)
    queued = station.json("send", "--account", "a", *(word for address in addresses for word in ("--to", address)), "-",
                          stdin=letters.letter("box"))["id"]
    message = station.wait_message(queued)
    assert message["state"] == "sent" and {r["state"] for r in message["recipients"]} == {"sent"}
    assert sorted(to for one in sink.accepted for to in one.recipients) == sorted(addresses)
    assert len(sink.accepted) == 4 and not deferrals(station)
    assert station.log().count("takes 10 recipients at once") == 1


def test_a_group_that_was_taken_is_not_sent_again(station, sink):
    """kill -9 between the groups."""
    addresses = [f"box{n}@example.test" for n in range(30)]
    sink.most_recipients = 10
    sink.rule("rcpt", "hang", times=1, match=b"box20@")
    outgoing(station, sink)
    queued = station.json("send", "--account", "a", *(word for address in addresses for word in ("--to", address)), "-",
                          stdin=letters.letter("box"))["id"]
    sink.wait_for(2)
    until(lambda: [r["state"] for r in station.message(queued)["recipients"]].count("sent") == 20)
    station.kill()
    sink.release()
    station.start()
    assert station.wait_message(queued)["state"] == "sent"
    assert sorted(to for one in sink.accepted for to in one.recipients) == sorted(addresses)


def test_one_recipient_that_cannot_be_reached_by_this_server(station, sink):
    """No SMTPUTF8: it is refused alone, and a domain of U-labels needs none."""
    outgoing(station, sink)
    with station.client() as client:
        queued = client.call("Submit", account="a", message="U3ViamVjdDogeAoKeAo=",
                             recipients=["box@example.test", "jörg@example.test", "box@bücher.example", "a..b@example.test"])["id"]
    message = station.wait_message(queued)
    assert [r["state"] for r in message["recipients"]] == ["sent", "failed", "sent", "sent"]
    assert "SMTPUTF8" in message["recipients"][1]["reply"]
    assert sink.accepted[0].recipients == ["box@example.test", "box@xn--bcher-kva.example", "a..b@example.test"]


def test_a_corrected_account_sends_at_once(station, sink):
    outgoing(station, sink)
    station.ctl("account", "set", "a", f"port={ports.take()}")
    queued = station.send("a", "box@example.test")
    station.wait_status("a", "down")
    until(lambda: station.message(queued)["state"] == "deferred")
    station.ctl("account", "set", "a", f"port={sink.port}")
    assert station.wait_message(queued)["state"] == "sent"


def test_an_idle_session_keeps_nobody_waiting(new_station, sink):
    """MaxSessionsPerHost=1: the second account's mail goes at once, the first one's session is kept for 10 s otherwise."""
    station = new_station()
    station.extra_arguments = ["--set", "Limits.MaxSessionsPerHost=1"]
    station.start()
    outgoing(station, sink)
    outgoing(station, sink, "b")
    assert station.wait_message(station.send("a", "box@example.test"))["state"] == "sent"
    queued = station.send("b", "box@example.test")
    sink.wait_for(2, timeout=5)
    assert station.wait_message(queued)["state"] == "sent"


def test_what_is_too_large_leaves_no_session_behind(new_station, new_sink):
    sink = new_sink(extensions=("PIPELINING", "SIZE 2000"))
    station = new_station()
    station.extra_arguments = ["--set", "Limits.MaxSessionsPerHost=1"]
    station.start()
    outgoing(station, sink)
    outgoing(station, sink, "b")
    large = letters.letter("box", body="line of text\n" * 300)
    assert station.wait_message(station.send("a", "box@example.test", large))["state"] == "failed"
    station.send("b", "box@example.test")
    sink.wait_for(1, timeout=5)
    assert station.wait_message(station.send("a", "box@example.test"))["state"] == "sent"
    sink.extensions = ("PIPELINING", "SIZE 60000000")   # the operator has raised it: a kept session does not know
    assert station.wait_message(station.send("a", "box@example.test", large))["state"] == "sent"


def test_a_shortened_wait(station, sink):
    outgoing(station, sink, commandTimeout=1)
    sink.rule("rcpt", "hang", times=1)
    queued = station.send("a", "box@example.test")
    station.wait_event("mail.deferred", account="a")
    assert "1 s" in station.message(queued)["recipients"][0]["reply"]
    sink.release()


@pytest.mark.parametrize("name", ("localhost", "plc7", "my_host.example", "localhost.localdomain"))
def test_a_name_that_servers_refuse_is_not_taken(new_station, name):
    station = new_station()
    station.extra_arguments = ["--set", f"Service.Hostname={name}"]
    code, said = station.start_refused()
    assert code == 78 and f"{name} is not this machine's full name" in said


def test_waiting_looks_through_a_fault_of_before(station, sink):
    """A message that is being tried again waits for nobody, whatever the account's status still is."""
    outgoing(station, sink)
    sink.rule("mail", "530 5.7.0 sign in", times=1)
    queued = station.send("a", "box@example.test")
    station.wait_status("a", "fault")
    assert station.wait_message(queued)["waitingFor"]["reason"] == "account"
    sink.rule("greeting", "hang", times=1)
    station.ctl("queue", "retry", queued)
    sink.wait(lambda seen: seen.connections == 2)
    with station.client() as client:
        states = client.stream("WaitMessage", id=queued)
        assert next(states)["message"]["state"] == "sending"
    assert station.account("a")["status"] == "fault"
    sink.release()
