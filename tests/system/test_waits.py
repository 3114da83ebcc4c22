# SPDX-License-Identifier: MIT
"""Whatever waits says for what and until when, in each place alike: status, queue, journal, event, metric, answers of the
tool; and what a person corrects is tried at once."""

import datetime

import pytest

import channels
import letters
import ports
from test_clock import when
from test_queue import outgoing, submit, submit_many
from waiting import until


def metric(station, name):
    """{labels: value} of one family."""
    rows = {}
    for line in station.ctl("metrics").out.splitlines():
        if line.startswith(f"emailsec_{name}{{") or line.startswith(f"emailsec_{name} "):
            labels, value = line[len("emailsec_") + len(name):].rsplit(" ", 1)
            rows[labels] = float(value)
    return rows


def reason(station, queued):
    return (station.message(queued)["waitingFor"] or {}).get("reason")


def test_the_daily_limit_is_told_everywhere(station, sink):
    outgoing(station, sink, maxSendablePerDay=3)
    for _ in range(3):
        station.wait_message(station.send("a", "box@example.test"))
    waiting = [station.send("a", "box@example.test") for _ in range(2)]
    station.wait_event("account.waiting", account="a", reason="dailyLimit")
    until(lambda: station.account("a")["waitingFor"]["messages"] == 2)
    told = station.account("a")["waitingFor"]
    midnight = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    assert told["text"] == "3 of 3 sent today (maxSendablePerDay)" and told["reason"] == "dailyLimit"
    assert when(told["until"]) == (midnight + datetime.timedelta(days=1)).timestamp()
    words = "3 of 3 sent today (maxSendablePerDay); 2 messages wait until 00:00"
    status = station.json("status")
    assert any(words in advice and "maxSendablePerDay=NUMBER" in advice for advice in status["advice"])
    assert "To do:" in station.ctl("status").out
    for message in station.json("queue", "list") + [station.message(waiting[0])]:
        assert message["waitingFor"]["reason"] == "dailyLimit" and message["nextAttempt"] == told["until"]
        assert message["cause"] == told["text"] and message["state"] == "queued"
    assert f"{midnight + datetime.timedelta(days=1):%Y-%m-%d} 00:00" in station.ctl("queue", "list").out
    assert words in station.ctl("account", "poll", "a").out and "nothing was sent" in station.ctl("account", "poll", "a").out
    retried = station.ctl("queue", "retry", waiting[0]).out
    assert "3 of 3 sent today" in retried and "tried now" not in retried
    assert "3 of 3 sent today" in station.ctl("queue", "flush", "a").out
    assert metric(station, "waiting_messages") == {'{account="a",reason="dailyLimit"}': 2}
    assert metric(station, "waiting_until_timestamp_seconds")['{account="a",reason="dailyLimit"}'] == when(told["until"])
    assert station.log().count("3 of 3 sent today") == 1, "the journal tells once when it begins"
    station.ctl("account", "set", "a", "maxSendablePerDay=5")
    for queued in waiting:
        assert station.wait_message(queued)["state"] == "sent"
    station.wait_event("account.waiting", account="a", reason=None)
    assert station.account("a")["waitingFor"] is None and not metric(station, "waiting_messages")


def test_held_means_one_thing(station, sink):
    """A person holds a message, or nobody does: state, list, count, --state and release agree."""
    outgoing(station, sink)
    with station.client() as client:
        held = submit(client, "a", letters.letter("box"), hold=True)
    station.ctl("account", "disable", "a")
    stopped = station.send("a", "box@example.test")
    states = {message["id"]: (message["state"], message["waitingFor"]["reason"]) for message in station.json("queue", "list")}
    assert states == {held: ("held", "operator"), stopped: ("queued", "account")}
    assert station.json("status")["queue"]["held"] == 1
    assert [message["id"] for message in station.json("queue", "list", "--state", "held")] == [held]
    assert "when released" in station.ctl("queue", "list").out
    assert "cannot be released" in station.ctl("queue", "release", stopped, code=1).said
    assert "released, waits: the account is disabled" in station.ctl("queue", "release", held).out
    assert station.json("queue", "list", "--state", "held") == []
    waited = station.wait_message(stopped)
    assert (waited["state"], waited["waitingFor"]["reason"], waited["expires"]) == ("queued", "account", None)


def test_mail_of_a_disabled_account_stands_in_to_do(station, sink):
    outgoing(station, sink)
    station.ctl("account", "disable", "a")
    assert not any("disabled" in advice for advice in station.json("status")["advice"])
    queued = station.send("a", "box@example.test")
    station.wait_event("account.waiting", account="a", reason="account")
    shown = station.ctl("status").out
    assert "a: the account is disabled; 1 message waits: emailsecctl account enable a" in " ".join(shown.split())
    assert "waits: the account is disabled" in station.ctl("queue", "retry", queued).out
    listed = station.ctl("queue", "list").out
    assert "when mended" in listed and "is disabled" in listed
    station.ctl("account", "enable", "a")
    assert station.wait_message(queued)["state"] == "sent"


def corrections(station, sink, port):
    """What a person may correct about an account that is down: each is followed by a try at once."""
    return {
        "set": lambda: station.ctl("account", "set", "a", f"port={sink.port}"),
        "again": lambda: (station.ctl("account", "disable", "a"), station.ctl("account", "enable", "a")),
        "password": lambda: station.ctl("account", "password", "a", stdin=letters.PASSWORD + "\n"),
        "reload": lambda: station.ctl("reload"),
        "retry": lambda: station.ctl("queue", "flush", "a"),
    }


@pytest.mark.parametrize("how", ("set", "again", "password", "reload", "retry"))
def test_what_is_corrected_is_tried_at_once(station, new_sink, how):
    port = ports.take()
    station.ctl("account", "add", "outgoing", "a", "hostname=127.0.0.1", f"port={port}", "useSsl=false", "from=a@example.test")
    queued = [station.send("a", "box@example.test") for _ in range(2)]
    station.wait_status("a", "down")
    until(lambda: reason(station, queued[0]) == "backoff")
    message, account = station.message(queued[0]), station.account("a")
    assert message["nextAttempt"] and message["cause"] and account["waitingFor"]["reason"] == "backoff"
    assert when(account["waitingFor"]["until"]) > datetime.datetime.now().timestamp()
    assert metric(station, "waiting_messages") == {'{account="a",reason="backoff"}': 2}
    sink = new_sink(port=port) if how != "set" else new_sink()
    corrections(station, sink, port)[how]()
    for one in queued:
        assert station.wait_message(one)["state"] == "sent"


def test_what_a_decision_is_awaited_for(station, new_sink, certificates):
    sink = new_sink(certificates.leaf("self-signed", "127.0.0.1"), True, True)
    station.add("outgoing", "a", **channels.properties("smtp", "ssl", "127.0.0.1", sink.port, "user"))
    queued = station.send("a", "box@example.test")
    station.wait_status("a", "challenge")
    until(lambda: reason(station, queued))
    message = station.message(queued)
    assert (message["state"], message["waitingFor"]["reason"]) == ("queued", "trust") and message["cause"]
    assert when(message["nextAttempt"]) == when(message["waitingFor"]["until"])
    assert station.account("a")["waitingFor"]["reason"] == "trust"


def test_a_rhythm_has_its_next_time(station, sink):
    outgoing(station, sink, pollRate=3600)
    queued, = submit_many(station, "a", 1)
    until(lambda: station.account("a")["waitingFor"])
    told = station.account("a")["waitingFor"]
    assert told["reason"] == "pollRate" and told["until"] and "3600 s" in told["text"]
    message, = station.json("queue", "list")
    assert message["waitingFor"]["reason"] == "pollRate" and message["nextAttempt"] == message["waitingFor"]["until"]
    assert station.ctl("queue", "retry", message["id"]).out == f"{message['id']}: tried now\n"
    assert station.wait_message(message["id"])["state"] == "sent"


@pytest.mark.parametrize("step, reply", (
    ("rcpt", "450 4.7.1 <box@example.test>: Recipient address rejected: Greylisted"),
    ("data", "451 4.7.1 Greylisting in action, please come back later"),
    ("dot", "450 4.7.1 greylisted, try again in 300 seconds")))
def test_one_greylisted_recipient_is_no_throttling(station, sink, step, reply):
    outgoing(station, sink, maxConnections=1)
    sink.rule(step, reply)
    queued = station.send("a", "box@example.test")
    station.wait_event("mail.deferred", account="a")
    until(lambda: reason(station, queued) == "backoff")
    assert "reylist" in station.message(queued)["waitingFor"]["text"]
    assert not station.account("a")["waitingFor"]
    assert not any("asked" in advice for advice in station.json("status")["advice"])


def test_a_server_that_asks_for_less_is_waited_for(station, sink):
    outgoing(station, sink, maxConnections=1)
    sink.rule("mail", "450 4.7.0 too much mail, slow down")
    queued = station.send("a", "box@example.test")
    station.wait_event("account.waiting", account="a", reason="throttle")
    assert station.account("a")["waitingFor"]["until"]
    until(lambda: reason(station, queued))
    assert any("asked for less mail" in advice for advice in station.json("status")["advice"])


def test_the_age_of_the_oldest_message(interposed, sink):
    station = interposed.station.start()
    outgoing(station, sink)
    assert metric(station, "queue_oldest_seconds") == {'{account="a"}': 0}
    sink.rule("rcpt", "451 4.2.0 later")
    first = station.send("a", "box@example.test")
    station.wait_event("mail.deferred", account="a")
    interposed.pass_time(1000)
    assert metric(station, "queue_oldest_seconds")['{account="a"}'] >= 1000
    station.restart()
    until(lambda: metric(station, "queue_oldest_seconds")['{account="a"}'] >= 1000)
    sink.clear_rules()
    station.ctl("queue", "retry", first)
    assert station.wait_message(first)["state"] == "sent"
    assert metric(station, "queue_oldest_seconds") == {'{account="a"}': 0}
