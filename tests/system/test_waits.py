# SPDX-License-Identifier: MIT
"""Whatever waits says for what and until when, in each place alike: status, queue, journal, event, metric, answers of the
tool; and what a person corrects is tried at once."""

import datetime
import os

import pytest

import channels
import letters
import ports
from test_clock import when
from test_queue import outgoing, submit, submit_many
from waiting import until

LONG = 2000000   # seconds


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
    assert f"emailsecctl queue release {held}" in station.ctl("queue", "retry", held, code=1).said
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
    until(lambda: metric(station, "waiting_messages") == {'{account="a",reason="backoff"}': 2})
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


def in_a_long_period(interposed, sink):
    """The first one begins within a minute; a poll is answered when its mail is gone."""
    outgoing(interposed.station, sink, pollRate=LONG)
    interposed.pass_time(61)
    interposed.station.ctl("account", "poll", "a")


def test_a_rhythm_has_its_next_time(interposed, sink):
    station = interposed.station.start()
    in_a_long_period(interposed, sink)
    queued, = submit_many(station, "a", 1)
    until(lambda: station.account("a")["waitingFor"])
    told = station.account("a")["waitingFor"]
    assert told["reason"] == "pollRate" and told["until"] and f"{LONG} s" in told["text"]
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


# ---- each reason, in each place ----

class Wait:
    """A station whose account "a" is made to wait, and what was done to it."""

    def __init__(self, interposed, new_sink, certificates):
        self.interposed, self.new_sink, self.certificates = interposed, new_sink, certificates
        self.station = interposed.station.start()

    def mail(self):
        return self.station.send("a", "box@example.test")

    def secured(self, kind):
        sink = self.new_sink(self.certificates.leaf(kind, "127.0.0.1"), True, True)
        self.station.add("outgoing", "a", **channels.properties("smtp", "ssl", "127.0.0.1", sink.port, "user"))
        return sink


def by_the_daily_limit(wait):
    outgoing(wait.station, wait.new_sink(), maxSendablePerDay=1)
    assert wait.station.wait_message(wait.mail())["state"] == "sent"
    return wait.mail()


def by_backoff(wait):
    sink = wait.new_sink()
    sink.stop()
    outgoing(wait.station, sink)
    return wait.mail()


def by_a_disabled_account(wait):
    outgoing(wait.station, wait.new_sink(), enabled=False)
    return wait.mail()


def by_a_fault(wait):
    outgoing(wait.station, wait.new_sink(), useStartTls=True)
    return wait.mail()


def by_a_challenge(wait):
    wait.secured("self-signed")
    return wait.mail()


def by_a_rejection(wait):
    wait.secured("self-signed")
    queued = wait.mail()
    wait.station.wait_status("a", "challenge")
    wait.station.ctl("challenge", "reject", wait.station.json("challenge", "list")[0]["id"])
    wait.station.wait_status("a", "fault")
    assert "the last try failed" not in wait.station.log(), "what a decision starts over waits for nothing"
    return queued


def by_a_trust_store(wait):
    wait.secured("system")
    with open(wait.station.trust, "wb") as out:
        out.write(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    wait.station.wait_event("trust.reloaded")
    return wait.mail()


def by_throttling(wait):
    sink = wait.new_sink()
    outgoing(wait.station, sink, maxConnections=1)
    sink.rule("mail", "450 4.7.0 too much mail, slow down")
    return wait.mail()


def by_a_disk(wait):
    """It takes the message, and then nothing any more."""
    outgoing(wait.station, wait.new_sink(), enabled=False)
    queued = wait.mail()
    wait.interposed.fail("write", "pwrite", match="station.db-wal")
    wait.station.ctl("account", "enable", "a")
    return queued


def by_a_rhythm(wait):
    in_a_long_period(wait.interposed, wait.new_sink())
    return wait.mail()


def by_a_place(wait):
    """Another account is at the only one."""
    wait.interposed.pass_time(2)        # the station's first look at all accounts is over; the next comes in a minute
    slow = wait.new_sink()
    slow.rule("greeting", "hang")
    outgoing(wait.station, slow, "b", connectionTimeout=3600)
    wait.station.send("b", "box@example.test")
    until(lambda: "emailsec_sessions 1" in wait.station.ctl("metrics").out)
    outgoing(wait.station, wait.new_sink())
    queued = wait.mail()
    until(lambda: wait.station.account("a")["waitingFor"])

    wait.interposed.pass_time(31)       # of no shorter wait for a place
    until(lambda: "MaxSessions allows are taken" in wait.station.log())
    return queued


WAITS = {   # how it comes about: (reason, words, whether it says until when, status of the account)
    by_the_daily_limit: ("dailyLimit", "1 of 1 sent today", True, "ok"),
    by_backoff: ("backoff", "could not connect", True, "down"),
    by_a_disabled_account: ("account", "is disabled", False, "disabled"),
    by_a_fault: ("account", "STARTTLS", True, "fault"),
    by_a_challenge: ("trust", "in no trust store", True, "challenge"),
    by_a_rejection: ("trust", "rejected", True, "fault"),
    by_a_trust_store: ("trust", "cannot be read", True, "fault"),
    by_throttling: ("throttle", "asked for less mail", True, None),
    by_a_disk: ("disk", "station.db", True, "fault"),
    by_a_rhythm: ("pollRate", f"every {LONG} s", True, None),
    by_a_place: ("place", "all 1 sessions that MaxSessions allows are taken", False, None),
}


@pytest.fixture
def wait(interposed, new_sink, certificates, request):
    if request.node.callspec.params["how"] is by_a_place:
        interposed.station.write_config({"Limits.MaxSessions": 1})
    return Wait(interposed, new_sink, certificates)


@pytest.mark.parametrize("how", WAITS, ids=lambda how: how.__name__)
def test_each_wait_is_told_alike(wait, how):
    """Sheet and status of the account, the message and its list, metric, event and journal name the same reason."""
    reason_, words, timed, status = WAITS[how]
    station, queued = wait.station, how(wait)
    event = station.wait_event("account.waiting", account="a", reason=reason_, timeout=75)
    sheet = until(lambda: station.account("a") if (station.account("a")["waitingFor"] or {}).get("reason") == reason_ else None)
    told = sheet["waitingFor"]
    assert status in (None, sheet["status"])
    assert words in told["text"] and told["messages"] == 1 and bool(told["until"]) == timed
    # once for each reason: that a person must decide was told of, and that one has is the account's status
    assert ("must decide" if how is by_a_rejection else words) in event["text"]
    listed = station.ctl("queue", "list").out
    for message in [one for one in station.json("queue", "list") if one["account"] == "a"] + [station.message(queued)]:
        if reason_ == "throttle" and message["waitingFor"]["reason"] == "backoff":
            assert when(message["nextAttempt"]) > when(told["until"]), "its own wait is the longer one"
            words = "slow down"
            continue
        assert message["waitingFor"]["reason"] == reason_ and words in message["cause"] and words in message["waitingFor"]["text"]
        assert bool(message["nextAttempt"]) == timed
        if timed:
            assert when(message["nextAttempt"]) == when(message["waitingFor"]["until"])
    assert words in " ".join(listed.split())
    labels = f'{{account="a",reason="{reason_}"}}'
    assert metric(station, "waiting_messages")[labels] == 1
    assert (labels in metric(station, "waiting_until_timestamp_seconds")) == timed
    assert any("a: " in line and words in line for line in station.log().splitlines())
    wait.interposed.heal()
    answered = station.ctl("queue", "flush", "a").out
    if reason_ == "disk":
        until(lambda: station.message(queued)["state"] == "sent")
    assert "1 tried now" in answered or words in answered, answered
    assert words in answered or reason_ not in ("dailyLimit", "place")
    assert words in answered or status != "disabled"


def test_an_incoming_account_says_that_it_waits_for_a_place(interposed, new_sink):
    interposed.station.write_config({"Limits.MaxSessionsPerHost": 1})
    station, slow = interposed.station.start(), new_sink()
    slow.rule("greeting", "hang")
    outgoing(station, slow, "b", connectionTimeout=3600)
    station.send("b", "box@example.test")
    until(lambda: "emailsec_sessions 1" in station.ctl("metrics").out)
    station.add("incoming", "in", transport="imap", hostname="127.0.0.1", port=slow.port, useSsl=False, account="user",
                allowPlaintextAuthentication=True)
    station.ctl("account", "password", "in", stdin="secret\n")
    told = until(lambda: station.account("in")["waitingFor"])
    assert told["reason"] == "place" and "all 1 sessions with 127.0.0.1 that MaxSessionsPerHost allows" in told["text"]


def test_a_place_that_is_raised_is_taken_at_once(interposed, new_sink, certificates):
    interposed.station.write_config({"Limits.MaxSessions": 1})
    wait = Wait(interposed, new_sink, certificates)
    queued = by_a_place(wait)
    advice = " ".join(wait.station.ctl("status").out.split())
    assert "MaxSessions allows are taken; 1 message waits: raise it in emailsecd.conf, then: emailsecctl reload" in advice
    wait.station.wait_event("account.waiting", account="a", reason="place")
    wait.station.write_config({"Limits.MaxSessions": 9})
    wait.station.ctl("reload")
    assert wait.station.wait_message(queued)["state"] == "sent"
    wait.station.wait_event("account.waiting", account="a", reason=None)


# ---- what a person does about trust ----

def accept(station, certificates):
    entry, = station.json("challenge", "list")
    station.ctl("challenge", "accept", entry["id"], "--fingerprint", certificates.leaf("self-signed", "127.0.0.1").fingerprint)


def reject_and_approve(station, certificates):
    entry, = station.json("challenge", "list")
    station.ctl("challenge", "reject", entry["id"])
    station.wait_status("a", "fault")
    station.ctl("allowed", "approve", entry["id"], "--fingerprint", certificates.leaf("self-signed", "127.0.0.1").fingerprint)


def import_its_issuer(station, certificates):
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)


def mend_the_store(station, certificates):
    with open(station.trust + ".new", "wb") as out:
        out.write(certificates.system.pem)
    os.rename(station.trust + ".new", station.trust)


def trust_nobody(station, _certificates):
    station.ctl("account", "set", "a", "useSsl=false", "allowPlaintextAuthentication=true", "port=" + str(station.plain.port))


@pytest.mark.parametrize("kind, correct", (("self-signed", accept), ("self-signed", reject_and_approve), ("user", import_its_issuer),
                                           ("system", mend_the_store), ("self-signed", trust_nobody)))
def test_what_is_decided_is_followed_at_once(station, new_sink, certificates, kind, correct):
    wait = new_sink(certificates.leaf(kind, "127.0.0.1"), True, True)
    station.plain = new_sink(login=True)
    if kind == "system":
        with open(station.trust, "wb") as out:
            out.write(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        station.wait_event("trust.reloaded")
    station.add("outgoing", "a", **channels.properties("smtp", "ssl", "127.0.0.1", wait.port, "user"))
    queued = station.send("a", "box@example.test")
    station.wait_status("a", "challenge", "fault")
    until(lambda: reason(station, queued) == "trust")
    correct(station, certificates)
    until(lambda: station.message(queued)["state"] == "sent")
    station.wait_event("account.waiting", account="a", reason=None)
