# SPDX-License-Identifier: MIT
"""The clock is set a day forward or back while mail waits, with the daemon running or not; the daemon is stopped for a
while as by a debugger. Mail gets no older by it, is not put off by it, and counts of the day are those of the day."""

import datetime
import signal
import subprocess
import time

import pytest

import channels
import ports
import station as station_module
import users
from test_durability import Flow, doubles_are_told
from test_queue import outgoing, submit_many
from waiting import until

DAY = 86400


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@pytest.fixture
def clock(interposed):
    interposed.watch_clock()
    return interposed


def one_deferred(station, sink, **more):
    outgoing(station, sink, **more)
    sink.rule("rcpt", "451 4.2.0 later", times=1)
    queued = station.send("a", "box@example.test")
    station.wait_event("mail.deferred", account="a")
    return queued


@pytest.mark.parametrize("running", (True, False), ids=("running", "not running"))
@pytest.mark.parametrize("days", (1, -1, -400))
def test_a_deferred_message(clock, sink, days, running):
    """It goes at once, where its time has come or would be far away, and neither expires nor fails."""
    station = clock.station.start()
    queued = one_deferred(station, sink, queueLifetime=12 * 3600 if running else 5 * DAY)
    if not running:
        station.stop()
    clock.set_clock(days * DAY)
    if not running:
        station.start()
    assert station.wait_message(queued)["state"] == "sent"
    assert sink.counts()[sink.accepted[0].message_id] == 1
    if running:
        assert "the clock was set 86400 s" in station.log() or abs(days) != 1


def test_a_clock_that_goes_and_comes_back(clock, sink):
    """As by a bad time server: a day forward and back, and the other way. Lifetimes and times to try again stand."""
    station = clock.station.start()
    sink.rule("rcpt", "451 4.2.0 later")
    queued = one_deferred(station, sink, queueLifetime=3600)
    for _ in range(2):
        for seconds in (DAY, 0, -DAY, 0):
            clock.set_clock(seconds)

    def waits():
        """A moment it may be shown with a time by the old clock: while it is under way."""
        message = station.message(queued)
        assert message["state"] != "failed", message
        again = message["nextAttempt"]
        return message["state"] == "deferred" and again and when(again) - when(message["submitted"]) < 2 * 3600

    until(waits)
    sink.clear_rules()
    station.ctl("queue", "flush", "a")
    assert station.wait_message(queued)["state"] == "sent"


def test_when_a_message_ends_is_shown(clock, sink):
    """By the clock as it is set now; what stood still meanwhile ends later by so much."""
    station = clock.station.start()
    sink.rule("rcpt", "451 4.2.0 later")
    queued = one_deferred(station, sink, queueLifetime=DAY)
    first = when(station.message(queued)["expires"])
    assert abs(first - when(station.message(queued)["submitted"]) - DAY) <= 2

    def shown(later):
        """Once it is no longer under way; a second more or less by rounding."""
        def is_so():
            expires = station.message(queued)["expires"]
            return expires and abs(when(expires) - first - later) <= 2
        until(is_so)

    for seconds in (-400 * DAY, 5 * DAY, 0):
        clock.set_clock(seconds)
        shown(seconds)
    station.ctl("account", "disable", "a")
    until(lambda: station.message(queued)["expires"] is None)
    clock.pass_time(7200)
    station.ctl("account", "enable", "a")

    def is_put_off():
        """Two hours, and what the commands took."""
        expires = station.message(queued)["expires"]
        return expires and 0 <= when(expires) - first - 7200 <= 300
    until(is_put_off)


def before_midnight(seconds):
    """How far the clock must be set for it to be that long before midnight (UTC, as the daemon has it here)."""
    return DAY - seconds - int(time.time()) % DAY


@pytest.mark.parametrize("running", (True, False), ids=("running", "not running"))
def test_the_limit_of_a_day(clock, sink, running):
    """A clock that is set begins no new day; midnight does."""
    station = clock.station.start()

    def set_clock(seconds):
        if not running:
            station.stop()
        clock.set_clock(seconds)
        if not running:
            station.start()

    outgoing(station, sink, maxSendablePerDay=2)
    waiting = [station.send("a", "box@example.test") for _ in range(3)]
    sink.wait_for(2)
    until(lambda: station.account("a")["numberSentToday"] == 2)
    # forward while nobody watched may be a day that has passed
    for seconds in (-DAY, 0, DAY, -400 * DAY) if running else (-DAY, -400 * DAY):
        set_clock(seconds)
        assert station.account("a")["numberSentToday"] == 2
        station.ctl("queue", "flush", "a")
    assert sorted(station.message(one)["state"] for one in waiting) == ["queued", "sent", "sent"]
    assert len(sink.accepted) == 2
    clock.set_clock(before_midnight(2))
    sink.wait_for(3)
    until(lambda: (station.account("a")["numberSentToday"], station.account("a")["numberSent"]) == (1, 3))
    station.restart()
    assert station.account("a")["numberSentToday"] == 1


def test_urgent_mail_goes_first_at_midnight(clock, sink):
    """What waits for the next day: alarms before reports, whatever came first."""
    station = clock.station.start()
    outgoing(station, sink, maxSendablePerDay=2)
    for _ in range(2):
        station.wait_message(station.send("a", "today@example.test"))
    normal = [station.send("a", f"normal{i}@example.test") for i in range(3)]
    urgent = [station.send("a", f"urgent{i}@example.test", None, "--priority", "urgent") for i in range(2)]
    assert {station.message(one)["state"] for one in normal + urgent} == {"queued"}
    clock.set_clock(before_midnight(2))
    sink.wait_for(4)
    assert sorted(one.recipients[0] for one in sink.accepted[2:]) == [f"urgent{i}@example.test" for i in range(2)]
    until(lambda: {station.message(one)["state"] for one in urgent} == {"sent"})
    assert station.account("a")["numberSentToday"] == 2
    assert {station.message(one)["state"] for one in normal} == {"queued"} and len(sink.accepted) == 4


@pytest.mark.parametrize("trouble", ("refuses", "has no address"))
def test_a_dead_server_is_not_hammered(interposed, new_sink, trouble):
    """Hours go by, with new mail all the while: it is tried ever more rarely, then hourly; the mail of others goes on;
    once the server is there again the mail goes by itself."""
    station, well, port = interposed.station, new_sink(), ports.take()
    interposed.count_connects(port if trouble == "refuses" else -1)
    interposed.hide_names(trouble == "has no address")
    station.start()
    before = interposed.tries()         # its own name
    outgoing(station, well, "well")
    station.ctl("account", "add", "outgoing", "dead", "hostname=localhost", f"port={port}", "useSsl=false",
                "from=sender@example.test")

    def failed():
        return station.account("dead")["lastPollFailure"]

    waiting = submit_many(station, "dead", 3)
    assert station.wait_status("dead", "down")["cause"]["code"] == ("Connect" if trouble == "refuses" else "NameLookup")
    tried = interposed.tries()
    each = tried - before
    assert 1 <= each <= 2               # addresses of localhost
    for failures in range(9):
        last, pause = failed(), min(60 * 2 ** failures, 3600)
        interposed.pass_time(int(pause * 0.8) - 5)
        waiting += submit_many(station, "dead", 3)
        assert station.wait_message(station.send("well", "box@example.test"))["state"] == "sent"
        assert interposed.tries() == tried, f"before {pause} s less a fifth had gone by"
        interposed.pass_time(int(pause * 0.4) + 10)
        until(lambda: failed() != last)
        tried += each
        assert interposed.tries() == tried
    assert station.account("dead")["queueSize"] == len(waiting)
    interposed.hide_names(False)
    sink = new_sink(port=port)
    interposed.pass_time(3600 * 6 // 5 + 5)
    sink.wait_for(len(waiting))
    assert sink.counts() == {one: 1 for one in waiting}
    until(lambda: station.account("dead")["status"] not in ("down", "connecting"))


def test_an_exemption_ends_with_the_clock(clock, new_sink, certificates):
    """--for counts by the wall clock: past it the account stops and its mail waits; nothing goes on trust of yesterday."""
    sink = new_sink(certificates.leaf("self-signed"), True)
    station = clock.station.start()
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}",
                "from=sender@example.test")
    first = station.send("a", "box@example.test")
    station.wait_status("a", "challenge")
    challenge, = station.json("challenge", "list")
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint", challenge["certificate"]["fingerprintSha256"],
                "--for", "12h")
    assert station.wait_message(first)["state"] == "sent"
    clock.set_clock(DAY)
    second = station.send("a", "box@example.test")
    station.wait_status("a", "challenge")
    assert station.message(second)["state"] in ("held", "queued")
    assert len(sink.accepted) == 1


@pytest.mark.parametrize("running", (True, False), ids=("running", "not running"))
def test_an_exemption_ends_for_a_session_in_progress(clock, dovecot, certificates, box, running):
    """Its time passes while a session idles on it, or while nobody is there; a clock that goes back revives nothing."""
    station = clock.station.start()
    station.add("incoming", "in", **channels.properties(
        "imap", "ssl", dovecot.host("self-signed"), dovecot.port("imap", "ssl", "self-signed"), box))
    station.wait_status("in", "challenge")
    challenge, = station.json("challenge", "list")
    end = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 2 * DAY))
    station.ctl("challenge", "accept", challenge["id"], "--until", end, "--fingerprint",
                challenge["certificate"]["fingerprintSha256"])
    station.wait_status("in", "ok")

    def set_clock(seconds):
        if not running:
            station.stop()
        clock.set_clock(seconds)
        if not running:
            station.start()

    set_clock(DAY)
    station.ctl("account", "poll", "in")
    assert station.wait_status("in", "ok")["tls"]["verifiedBy"] == "allowedHost"
    set_clock(3 * DAY)
    station.wait_status("in", "challenge")
    set_clock(0)
    station.ctl("account", "poll", "in", code=1)
    assert station.account("in")["status"] == "challenge"
    entry, = station.json("challenge", "list")
    assert entry["id"] == challenge["id"] and [step["what"] for step in entry["history"]][-1] == "expired"


@pytest.mark.parametrize("transport", ("smtp", "imap"))
def test_a_machine_without_a_clock_at_its_start(clock, new_sink, dovecot, certificates, box, transport):
    """It begins long before its certificates do; once the clock is set everything is tried anew, and nothing is left of it."""
    station = clock.station
    clock.set_clock(-400 * DAY)
    station.start()
    if transport == "smtp":
        sink = new_sink(certificates.leaf("system", "127.0.0.1"), True)
        station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "from=a@example.test")
        queued = station.send("a", "box@example.test")
    else:
        station.add("incoming", "a", **channels.properties("imap", "ssl", dovecot.host("system"),
                                                           dovecot.port("imap", "ssl", "system"), box))
    sheet = station.wait_status("a", "challenge")
    assert "is not valid before" in sheet["faultCause"] and "this machine's clock says" in sheet["faultCause"]
    assert "before emailsecd was built" in sheet["faultCause"]
    assert sheet["cause"]["remedy"].startswith("look at this machine's clock first: timedatectl")
    shown = station.ctl("challenge", "show", sheet["challenge"]).out
    assert "timedatectl" in shown
    clock.set_clock(0)
    station.wait_status("a", "ok")
    if transport == "smtp":
        assert station.wait_message(queued)["state"] == "sent"
    status = station.json("status")
    assert status["challenges"] == 0 and station.json("challenge", "list") == []
    station.wait_event("challenge.ended")


def test_a_clock_far_from_that_of_the_server(clock, new_sink, certificates):
    """Years ahead all certificates have ended: a server that says its time in its greeting shows whose clock it is."""
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), False)
    now = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
    sink.rule("greeting", f"220 sink.example ESMTP ready at {now}")
    station = clock.station
    clock.set_clock(900 * DAY)
    station.start()
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "useStartTls=true", "from=a@example.test")
    queued = station.send("a", "box@example.test")
    sheet = station.wait_status("a", "challenge")
    assert "expired at" in sheet["faultCause"] and "this machine's clock says" in sheet["faultCause"]
    assert "timedatectl" in sheet["cause"]["remedy"]
    clock.set_clock(0)
    assert station.wait_message(queued)["state"] == "sent"


def test_others_are_witnesses_of_the_time(clock, new_sink, dovecot, certificates, box):
    """Where the failing server says nothing before TLS: the greeting of another one; or mail that was taken in just now."""
    station = clock.station
    clock.set_clock(900 * DAY)
    station.start()
    plain, ending = new_sink(), new_sink(certificates.leaf("system", "127.0.0.1"), True)
    now = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
    plain.rule("greeting", f"220 sink.example ESMTP ready at {now}")
    for name, sink in (("plain", plain), ("tls", ending)):
        station.ctl("account", "add", "outgoing", name, f"hostname={sink.host}", f"port={sink.port}", "from=a@example.test",
                    f"useSsl={str(sink is ending).lower()}")
    assert station.wait_message(station.send("plain", "box@example.test"))["state"] == "sent"
    station.send("tls", "box@example.test")
    sheet = station.wait_status("tls", "challenge")
    assert "that of 127.0.0.1 " + time.strftime("%Y-%m-%d", time.gmtime()) in sheet["faultCause"]
    assert sheet["cause"]["remedy"].startswith("look at this machine's clock first: timedatectl")


def test_an_expired_certificate_is_the_servers_where_the_clock_is_right(station, new_sink, certificates):
    sink = new_sink(certificates.leaf("expired", "127.0.0.1"), True)
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "from=a@example.test")
    station.send("a", "box@example.test")
    sheet = station.wait_status("a", "challenge")
    assert "expired" in sheet["faultCause"] and "clock" not in sheet["faultCause"]
    assert "renew" in sheet["cause"]["remedy"] and "timedatectl" not in sheet["cause"]["remedy"]


def test_what_waits_when_the_clock_is_set_is_tried(clock, new_sink):
    """An account that is down, too: its back-off began by another clock."""
    port = ports.take()
    station = clock.station.start()
    station.ctl("account", "add", "outgoing", "a", "hostname=127.0.0.1", f"port={port}", "useSsl=false", "from=a@example.test")
    queued = station.send("a", "box@example.test")
    station.wait_status("a", "down")
    new_sink(port=port)
    clock.set_clock(DAY)
    assert station.wait_message(queued)["state"] == "sent"


def test_the_daemon_stands_still_for_a_while(station, sink):
    """Stopped as by a debugger or a full machine, longer than its time limits: nothing is lost, nothing comes twice."""
    outgoing(station, sink, connectionTimeout=1)
    flow = Flow(station, "a", "box", 120)
    try:
        for accepted in (20, 60):
            until(lambda: len(flow.accepted) >= accepted, 30)
            station.process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            until(lambda: time.monotonic() > began + 1.5)       # its limits count by the time, not by an event
            station.process.send_signal(signal.SIGCONT)
        until(lambda: not flow._more(), 30)
    finally:
        station.process.send_signal(signal.SIGCONT)
        flow.end()
    sink.wait(lambda s: set(flow.accepted) <= set(s.counts()), 30)
    assert not doubles_are_told(station, flow, sink.counts())


@pytest.fixture
def boot_clock():
    """Puts a station on a machine that was started at another time: CLOCK_BOOTTIME in a time namespace."""
    holders = []

    def shift(station, seconds):
        holder = subprocess.Popen(["unshare", "--time", "--boottime", str(seconds), "--fork", "--kill-child", "sh", "-c",
                                   "echo $$; exec cat"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        holders.append(holder)
        pid = holder.stdout.readline().strip()
        if not pid:
            pytest.skip("no time namespace can be made here")
        inner = station.command()
        station.command = lambda: ["nsenter", "-t", pid, "-T", *inner]

    yield shift
    for holder in holders:
        holder.stdin.close()
        holder.wait()


@pytest.mark.skipif(not users.IS_ROOT, reason="time namespaces need root")
@pytest.mark.parametrize("started", ("just now", "long ago"))
def test_another_boot(new_station, sink, boot_clock, monkeypatch, started):
    """What is kept on disk counts by no clock that begins anew with each boot: after one, mail is neither late nor old."""
    station = new_station()
    as_user = ["setpriv", f"--reuid={users.DAEMON_UID}", f"--regid={users.DAEMON_GID}", "--clear-groups"]
    inner = station.command()
    monkeypatch.setattr(station_module.users, "as_daemon", lambda: {})
    station.command = lambda: [*as_user, *inner]
    queued = one_deferred(station.start(), sink, queueLifetime=3600)
    before = station.message(queued)["nextAttempt"]
    station.stop()
    boot_clock(station, 400 * DAY if started == "long ago" else 60 - int(time.clock_gettime(time.CLOCK_BOOTTIME)))
    station.start()
    after = station.message(queued)["nextAttempt"]
    assert station.message(queued)["state"] == "deferred" and abs(when(after) - when(before)) <= 2
    station.ctl("queue", "flush", "a")
    assert station.wait_message(queued)["state"] == "sent"
    assert "the clock was set" not in station.log() and "the machine slept" not in station.log()
