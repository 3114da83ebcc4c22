# SPDX-License-Identifier: MIT
"""Outgoing mail: accepted means safe; deferred, rejected, held, retried; kill -9; one hung server stops nobody."""

import base64
import concurrent.futures
import email
import os
import pty
import subprocess
import threading

import pytest

import fake_daemon
import letters
import ports
import station as station_module
import varlink
from waiting import until


def outgoing(station, sink, name="a", **more):
    """An account in clear text at a sink."""
    station.ctl("account", "add", "outgoing", name, f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "from=sender@example.test", *(f"{key}={str(value).lower()}" for key, value in more.items()))


def submit(client, account, message, recipients=("box@example.test",), **more):
    return client.call("Submit", account=account, recipients=list(recipients), message=base64
                       .b64encode(message).decode(), **more)["id"]


def submit_many(station, account, count):
    """Message-IDs of that many accepted submissions."""
    ids = []
    with station.client() as client:
        for _ in range(count):
            message_id = letters.new_message_id()
            submit(client, account, letters.letter("box", message_id=message_id))
            ids.append(message_id)
    return ids


def test_send(station, sink):
    outgoing(station, sink)
    message_id = letters.new_message_id()
    content = letters.letter("box", body=".leading dot\n..two\nend", message_id=message_id)
    queued = station.send("a", "box@example.test", content)
    message = station.wait_message(queued)
    assert message["state"] == "sent"
    assert [r["address"] for r in message["recipients"]] == ["box@example.test"]
    got, = sink.accepted
    assert (got.message_id, got.sender, got.recipients) == (message_id, "sender@example.test", ["box@example.test"])
    assert got.content.endswith(b"\r\n\r\n.leading dot\r\n..two\r\nend\r\n")
    assert station.account("a")["numberSent"] == 1
    handed_in = station.wait_event("mail.queued", account="a")
    assert handed_in["data"] == {"id": queued, "submittedBy": message["submittedBy"], "recipients": 1}
    assert handed_in["text"].startswith(f"{queued}: handed in by ")
    station.wait_event("mail.sent", account="a")
    assert station.json("queue", "list") == []
    assert station.json("queue", "show", queued)["state"] == "sent"


def test_send_makes_a_message_of_a_text(station, sink):
    outgoing(station, sink)
    result = station.ctl("send", "--account", "a", "--to", "box@example.test", "-s", "Grüße", "-",
                         stdin="Just a text with ümlauts.\n")
    assert result.out.strip()
    sink.wait_for(1)
    message = email.message_from_bytes(sink.accepted[0].content)
    assert message["To"] and message["Date"] and message["Message-ID"] and message["From"]
    assert email.header.decode_header(message["Subject"])[0][0].decode() == "Grüße"
    assert "ümlauts" in message.get_payload(decode=True).decode("utf-8")


def test_send_waits_when_asked(station, sink):
    outgoing(station, sink)
    station.ctl("send", "--account", "a", "--to", "box@example.test", "--wait", "-", stdin=letters.letter("box"))
    assert len(sink.accepted) == 1
    sink.rule("rcpt", "550 5.1.1 nobody here")
    result = station.ctl("send", "--account", "a", "--to", "box@example.test", "--wait", "-",
                         stdin=letters.letter("box"), code=1)
    assert "nobody here" in result.said


def on_terminal(*words, stdin=b""):
    """Runs the tool, its standard error a terminal. Two functions: what was told so far; (status, all of it)."""
    master, slave = pty.openpty()
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=slave,
                               env=station_module.clean_environment(TERM="dumb", LC_ALL="C.UTF-8"))
    os.close(slave)
    told = bytearray()

    def read():
        try:
            while piece := os.read(master, 4096):
                told.extend(piece)
        except OSError:     # the other end is closed
            os.close(master)

    reader = threading.Thread(target=read)
    reader.start()
    process.stdin.write(stdin)
    process.stdin.close()

    def end():
        process.wait(60)
        reader.join(60)
        return process.returncode, told.decode()

    return lambda: told.decode(), end


@pytest.mark.parametrize("outcome, code", (("sent", 0), ("failed", 1)))
def test_states_are_told_on_a_terminal(station, sink, outcome, code):
    outgoing(station, sink)
    sink.rule("rcpt", "451 4.2.1 the mailbox is full", times=1)
    told, end = on_terminal(station.programs["emailsecctl"], "--socket", station.socket, "send", "--account", "a", "--to",
                            "box@example.test", "--wait", stdin=letters.letter("box"))
    until(lambda: "deferred until 20" in told() and "4.2.1 the mailbox is full" in told(), say=told)
    if outcome == "failed":
        sink.rule("rcpt", "550 5.1.1 nobody here")
    station.ctl("queue", "flush", "a")
    status, text = end()
    assert status == code, text
    states = [line.split()[0] for line in text.replace("\r\x1b[K", "").splitlines()]
    assert states[0] in ("queued", "sending") and "deferred" in states, text
    if code:
        assert "is failed: 550 5.1.1 nobody here" in text
    else:
        assert states[-1] == "sent:", text


class SlowReader(fake_daemon.FakeDaemon):
    """Reads half of a message, and the rest once that was seen."""

    def read(self, fd):
        with open(fd, "rb", buffering=0) as file:
            half = file.read(os.fstat(fd).st_size // 2)
            self.seen("handing over: 50% of 4.0 MiB")
            return half + file.read()


@pytest.mark.parametrize("words", ((), ("--quiet",)), ids=("told", "quiet"))
def test_handing_over_a_large_message_is_shown(programs, folder, words):
    watched = threading.Event()     # the tool's terminal is set up
    letter = b"Subject: large\n\n".ljust(4 << 20, b"\n")

    def seen(text):
        watched.wait(60)
        if not words:
            until(lambda: text in told(), say=lambda: told())

    def submitted(_, files):
        seen("4.0 MiB handed over, being written to disk")
        return {"id": "Q1", "account": "a", "duplicate": False}

    with SlowReader(folder, {fake_daemon.EMAIL + "Submit": submitted}) as daemon:
        daemon.seen = seen
        told, end = on_terminal(programs["emailsecctl"], "--socket", daemon.path, "send",
                                "--to", "box@example.test", *words, stdin=letter)
        watched.set()
        status, text = end()
    assert status == 0 and len(daemon.files[0]) == len(letter)
    assert text.endswith("\r\x1b[K") if not words else not text


@pytest.mark.parametrize("word", ("--json", "--quiet"))
def test_states_are_told_to_people_only(station, sink, word):
    outgoing(station, sink)
    _, end = on_terminal(station.programs["emailsecctl"], "--socket", station.socket, "send", "--account", "a", "--to",
                         "box@example.test", "--wait", word, stdin=letters.letter("box"))
    assert end() == (0, "")


def test_what_is_missing_is_put_in_once(station, sink):
    outgoing(station, sink, replyTo="answers@example.test")
    station.send("a", "box@example.test", b"Subject: bare\nBcc: secret@example.test\n\ntext\n")
    sink.wait_for(1)
    message = email.message_from_bytes(sink.accepted[0].content)
    for name in ("Date", "Message-ID", "From"):
        assert len(message.get_all(name)) == 1
    assert message["Reply-To"] == "answers@example.test"
    assert message["Bcc"] is None


def test_sendmail_form(station, sink):
    outgoing(station, sink)
    text = b"To: one@example.test, Two <two@example.test>\nBcc: three@example.test\nSubject: s\n\nbody\n.\nnot the end\n"
    station.ctl("sendmail", "-t", "-i", "-f", "cron@example.test", stdin=text)
    sink.wait_for(1)
    got = sink.accepted[0]
    assert got.sender == "cron@example.test"
    assert sorted(got.recipients) == ["one@example.test", "three@example.test", "two@example.test"]
    assert b"three" not in got.content and got.content.endswith(b"\r\n.\r\nnot the end\r\n")


def test_sendmail_by_its_name(station, sink, folder):
    outgoing(station, sink)
    link = os.path.join(folder, "sendmail")
    os.symlink(station.programs["emailsecctl"], link)
    environment = station_module.clean_environment(EMAILSEC_SOCKET=station.socket)
    done = subprocess.run([link, "-oi", "box@example.test"], input=letters.letter("box"), env=environment,
                          capture_output=True, timeout=30)
    assert done.returncode == 0, done
    sink.wait_for(1)
    # no daemon: EX_TEMPFAIL, so that the caller tries again
    environment["EMAILSEC_SOCKET"] = os.path.join(folder, "nothing")
    done = subprocess.run([link, "box@example.test"], input=letters.letter("box"), env=environment,
                          capture_output=True, timeout=30)
    assert done.returncode == 75, done


def test_mailq_tells_why(station, sink, folder):
    outgoing(station, sink)
    link = os.path.join(folder, "mailq")
    os.symlink(station.programs["emailsecctl"], link)

    def mailq():
        environment = station_module.clean_environment(EMAILSEC_SOCKET=station.socket)
        return subprocess.run([link], env=environment, capture_output=True, timeout=30, check=True, text=True).stdout

    assert mailq() == "Mail queue is empty\n"
    sink.rule("rcpt", "451 4.2.1 full")
    queued = station.send("a", "box@example.test", letters.letter("box"))
    station.wait_event("mail.deferred", account="a")
    lines = mailq().splitlines()
    assert lines[1].split()[0] == queued and lines[1].endswith("sender@example.test")
    assert "4.2.1 full" in lines[2] and lines[3].split() == ["box@example.test"]
    assert lines[-1] == "-- 1 Kbytes in 1 Request."


@pytest.mark.parametrize("step", ("mail", "rcpt", "data", "dot"))
def test_deferred_then_sent(station, sink, step):
    outgoing(station, sink)
    sink.rule(step, "451 4.3.0 come back later", times=1)
    queued = station.send("a", "box@example.test")
    station.wait_event("mail.deferred", account="a")
    message = station.message(queued)
    recipient, = message["recipients"]
    assert message["state"] == "deferred" and message["nextAttempt"]
    assert "451" in recipient["reply"] and recipient["enhancedCode"] == "4.3.0"
    assert [one["id"] for one in station.json("queue", "list", "--account", "a")] == [queued]
    station.ctl("queue", "retry", queued)
    assert station.wait_message(queued)["state"] == "sent"
    assert len(sink.accepted) == 1
    assert station.message(queued)["attempts"] == 2


@pytest.mark.parametrize("step", ("mail", "rcpt", "data", "dot"))
def test_rejected_is_kept_as_failed(station, sink, step):
    outgoing(station, sink)
    sink.rule(step, "550 5.7.1 not wanted", times=1)
    queued = station.send("a", "box@example.test")
    assert station.wait_message(queued)["state"] == "failed"
    station.restart()
    message, = station.json("queue", "list")
    assert message["id"] == queued and message["state"] == "failed"
    shown = station.json("queue", "show", queued)
    assert "not wanted" in shown["recipients"][0]["reply"] and shown["recipients"][0]["enhancedCode"] == "5.7.1"
    assert shown["history"]
    station.ctl("queue", "retry", queued)
    assert station.wait_message(queued)["state"] == "sent"


def test_recipients_are_separate(station, sink):
    outgoing(station, sink)
    sink.rule("rcpt", "550 5.1.1 unknown", match=b"bad@")
    sink.rule("rcpt", "452 4.2.2 full", times=1, match=b"late@")
    with station.client() as client:
        queued = submit(client, "a", letters.letter("box"),
                        ("good@example.test", "bad@example.test", "late@example.test"))
    station.wait_event("mail.sent", account="a")
    station.wait_event("mail.failed", account="a")
    station.wait_event("mail.deferred", account="a")
    states = {r["address"].split("@")[0]: r["state"] for r in station.message(queued)["recipients"]}
    assert states == {"good": "sent", "bad": "failed", "late": "deferred"}
    station.ctl("queue", "retry", queued)
    sink.wait_for(2)
    assert [one.recipients for one in sink.accepted] == [["good@example.test"], ["late@example.test"]]


def test_a_lost_reply_is_ambiguous_and_told(station, sink):
    outgoing(station, sink)
    sink.rule("dot", "cut-after", times=1)
    message_id = letters.new_message_id()
    queued = station.send("a", "box@example.test", letters.letter("box", message_id=message_id))
    sink.wait_for(1)
    station.wait_event("mail.deferred", account="a")
    message = station.message(queued)
    assert message["recipients"][0]["state"] == "ambiguous"
    assert message["history"][-1]["result"].endswith("it may arrive twice")
    station.ctl("queue", "retry", queued)
    assert station.wait_message(queued)["state"] == "sent"
    assert sink.counts() == {message_id: 2}


@pytest.mark.parametrize("step, action", (("greeting", "421 4.3.2 busy"), ("ehlo", "cut"), ("mail", "close"),
                                          ("rcpt", "421 4.3.2 shutting down"), ("data", "cut"), ("dot", "cut")))
def test_disconnected_at_each_step(station, sink, step, action):
    outgoing(station, sink)
    sink.rule(step, action, times=1)
    queued = station.send("a", "box@example.test")
    if step in ("greeting", "ehlo"):
        station.wait_status("a", "down")
    else:
        station.wait_event("mail.deferred", account="a")
    station.ctl("queue", "flush", "a", code=None)
    station.ctl("account", "poll", "a", code=None)
    assert station.wait_message(queued)["state"] == "sent"
    assert len(sink.accepted) == 1


def test_the_same_key_is_the_same_message(station, sink):
    outgoing(station, sink)
    with station.client() as client:
        first = client.call("Submit", account="a", recipients=["box@example.test"], key="order-4711",
                            message="U3ViamVjdDogeAoKeAo=")
        again = client.call("Submit", account="a", recipients=["box@example.test"], key="order-4711",
                            message="U3ViamVjdDogeAoKeAo=")
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    assert first["id"] == again["id"]
    assert station.wait_message(first["id"])["state"] == "sent"
    station.restart()
    assert station.call("Submit", account="a", recipients=["box@example.test"], key="order-4711",
                        message="U3ViamVjdDogeAoKeAo=") == {**again, "duplicate": True}
    assert len(sink.accepted) == 1


def test_a_message_by_descriptor(station, sink, folder):
    outgoing(station, sink)
    content = letters.letter("box", body="line of a larger message\n" * 100000)
    with open(os.path.join(folder, "message"), "w+b") as file, station.client() as client:
        file.write(content)
        file.flush()
        file.seek(0)
        client.send(varlink.SERVICE + "Submit", {"account": "a", "recipients": ["box@example.test"],
                                                 "descriptor": 0}, fds=[file.fileno()])
        queued = client.answer()["id"]
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == len(content), "the offset tells how far it was read"
    assert station.wait_message(queued)["state"] == "sent"
    assert sink.accepted[0].content == letters.crlf(content)


def test_hold_and_release(station, sink):
    outgoing(station, sink)
    with station.client() as client:
        queued = submit(client, "a", letters.letter("box"), hold=True)
    assert station.message(queued)["state"] == "held"
    other = station.send("a", "box@example.test")
    assert station.wait_message(other)["state"] == "sent"
    assert len(sink.accepted) == 1
    station.ctl("queue", "release", queued)
    assert station.wait_message(queued)["state"] == "sent"
    sink.rule("rcpt", "451 4.3.0 later", times=1)
    queued = station.send("a", "box@example.test")
    station.wait_event("mail.deferred")
    station.ctl("queue", "hold", queued[:8])
    assert station.message(queued)["state"] == "held"
    station.ctl("queue", "delete", queued)
    station.ctl("queue", "show", queued, code=None)
    assert station.json("queue", "list") == []
    assert len(sink.accepted) == 2


def test_reroute(station, new_sink):
    """Failed and waiting mail goes out by another account; what is held stays held, what is sent stays sent."""
    wrong, right = new_sink(), new_sink()
    wrong.rule("mail", "550 5.7.1 not from you")
    outgoing(station, wrong, "wrong")
    outgoing(station, right, "right")
    failed, held = station.send("wrong", "box@example.test"), station.send("wrong", "kept@example.test", None, "--hold")
    assert station.wait_message(failed)["state"] == "failed"
    station.ctl("queue", "reroute", failed, code=2)
    station.ctl("queue", "reroute", failed, "--account", "nobody", code=1)
    station.ctl("queue", "reroute", failed, held, "--account", "right")
    assert station.wait_message(failed)["state"] == "sent"
    assert station.message(failed)["account"] == "right" and station.message(held)["state"] == "held"
    assert (station.account("wrong")["queueSize"], station.account("right")["queueSize"]) == (0, 1)
    station.ctl("queue", "reroute", failed, "--account", "wrong", code=1)
    station.ctl("queue", "release", held)
    right.wait_for(2)
    assert not wrong.accepted


def test_reroute_keeps_to_the_limits(station, new_sink):
    """All of them or none: maxQueueSize, and what disabled accounts take, count as for a submission."""
    sink = new_sink()
    outgoing(station, sink, "full")
    outgoing(station, sink, "small", maxQueueSize=2, enabled=False)
    outgoing(station, sink, "closed", enabled=False, allowDisabledQueuing=False)
    held = [station.send("full", "box@example.test", None, "--hold") for _ in range(3)]
    refused = station.ctl("queue", "reroute", *held, "--account", "small", code=1)
    assert "3 messages would wait, maxQueueSize is 2" in refused.said
    assert "allowDisabledQueuing" in station.ctl("queue", "reroute", held[0], "--account", "closed", code=1).said
    assert {station.message(one)["account"] for one in held} == {"full"}
    station.ctl("queue", "reroute", *held[:2], "--account", "small")
    station.ctl("queue", "reroute", held[0], "--account", "small")      # there already: nothing is added
    station.ctl("queue", "reroute", held[2], "--account", "small", code=1)
    assert [station.account(name)["queueSize"] for name in ("full", "small", "closed")] == [1, 2, 0]


def test_a_server_that_asks_for_less(station, new_sink):
    """One session, then a pause; status says so; a person's word or time ends it."""
    sink = new_sink()
    sink.rule("mail", "450 4.3.2 too much")
    outgoing(station, sink, maxConnections=1)
    queued = station.send("a", "box@example.test")
    station.wait_event("mail.deferred", account="a")
    warnings = station.call("GetAccount", name="a")["account"]["warnings"]
    assert any("asked for less" in one and "pause" in one for one in warnings), warnings
    assert "asked for less" in station.ctl("status", "a", code=None).said
    sink.clear_rules()
    station.ctl("queue", "flush", "a")
    assert station.wait_message(queued)["state"] == "sent"
    assert not any("asked" in one for one in station.call("GetAccount", name="a")["account"]["warnings"])


def test_urgent_mail_goes_first_when_the_day_has_room(station, sink):
    outgoing(station, sink, maxSendablePerDay=1)
    station.wait_message(station.send("a", "first@example.test"))
    normal = station.send("a", "normal@example.test")
    urgent = station.send("a", "urgent@example.test", None, "--priority", "urgent")
    assert [station.message(one)["state"] for one in (normal, urgent)] == ["queued", "queued"]
    station.ctl("account", "set", "a", "maxSendablePerDay=2")
    assert station.wait_message(urgent)["state"] == "sent"
    assert station.message(normal)["state"] == "queued" and len(sink.accepted) == 2


def test_mail_goes_once_a_period(interposed, sink):
    """pollRate: what is submitted waits for the period, and then all of it goes; a person need not wait. The check of an
    idle account takes nothing along."""
    station = interposed.station.start()
    outgoing(station, sink, pollRate=2000000, checkRate=3600)
    interposed.pass_time(61)        # the first period begins within a minute
    station.ctl("account", "poll", "a")
    looks = sink.connections
    submit_many(station, "a", 3)
    interposed.pass_time(5000)
    until(lambda: sink.connections > looks)
    until(lambda: "emailsec_sessions 0" in station.ctl("metrics").out)
    assert station.account("a")["queueSize"] == 3 and not sink.accepted
    station.ctl("account", "poll", "a")
    assert len(sink.accepted) == 3
    station.call("SetAccount", name="a", properties={"pollRate": 1})
    submit_many(station, "a", 3)
    sink.wait_for(6)
    waits = station.send("a", "box@example.test")
    assert station.wait_message(waits)["state"] == "sent"


def test_a_dead_server_is_left_alone(station, sink):
    """However much mail comes, what cannot be reached is tried once and then paused; a person's word ends the pause."""
    sink.rule("greeting", "cut")
    outgoing(station, sink)
    first = submit_many(station, "a", 30)
    station.wait_status("a", "down")
    tried = sink.connections
    second = submit_many(station, "a", 30)
    assert sink.connections == tried <= 2 and station.account("a")["queueSize"] == 60
    sink.clear_rules()
    station.ctl("account", "poll", "a")
    assert sink.counts() == {one: 1 for one in first + second}


def test_kill_with_queued_mail(station, sink):
    outgoing(station, sink, enabled=False)
    expected = submit_many(station, "a", 20)
    station.kill()
    station.start()
    assert station.account("a")["queueSize"] == 20
    station.ctl("account", "enable", "a")
    sink.wait_for(20)
    assert sink.counts() == {one: 1 for one in expected}


@pytest.mark.parametrize("after", (1, 17, 60))
def test_kill_in_the_middle(station, sink, after):
    """Nothing accepted is lost; doubles only where a final reply was on its way."""
    outgoing(station, sink)
    accepted, stop = [], threading.Event()

    def pour():
        try:
            with station.client() as client:
                while not stop.is_set() and len(accepted) < 150:
                    message_id = letters.new_message_id()
                    submit(client, "a", letters.letter("box", message_id=message_id))
                    accepted.append(message_id)
        except (OSError, varlink.Closed):
            pass

    workers = [threading.Thread(target=pour) for _ in range(2)]
    for worker in workers:
        worker.start()
    sink.wait_for(after)
    station.kill()
    stop.set()
    for worker in workers:
        worker.join()
    station.start()
    sink.wait(lambda s: set(accepted) <= set(s.counts()), 30)
    doubles = [one for one, count in sink.counts().items() if count > 1]
    assert len(doubles) <= 4
    assert max(sink.counts().values()) <= 2


def test_many_messages(station, new_sink):
    sink = new_sink()
    outgoing(station, sink)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda _: submit_many(station, "a", 150), range(4)))
    expected = sorted(sum(parts, []))
    sink.wait_for(600, 40)
    assert sorted(one.message_id for one in sink.accepted) == expected
    assert sink.connections < 60, "connections are not used again"
    until(lambda: station.account("a")["numberSent"] == 600)     # the last result may still be on its way


def test_a_hung_server_stops_nobody_else(station, new_sink):
    hung, well = new_sink(), new_sink()
    hung.rule("greeting", "hang")
    outgoing(station, hung, "hung", connectionTimeout=30)
    outgoing(station, well, "well")
    waiting = [station.send("hung", "box@example.test") for _ in range(3)]
    hung.wait(lambda s: s.connections >= 1)
    for _ in range(5):
        assert station.wait_message(station.send("well", "box@example.test"))["state"] == "sent"
    assert all(station.message(one)["state"] != "sent" for one in waiting)
    assert station.account("hung")["status"] in ("connecting", "down")


@pytest.mark.parametrize("command", (("account", "poll", "a"), ("queue", "retry", None)), ids=("poll", "retry"))
def test_a_server_that_was_away(station, folder, new_sink, command):
    class Away:
        host, port = "127.0.0.1", ports.take()

    outgoing(station, Away)
    queued = station.send("a", "box@example.test")
    sheet = station.wait_status("a", "down")
    assert sheet["cause"]["code"] == "Connect" and sheet["cause"]["retries"]
    sink = new_sink(port=Away.port)
    station.ctl(*(word or queued for word in command))
    assert station.wait_message(queued)["state"] == "sent"
    assert len(sink.accepted) == 1


@pytest.mark.parametrize("mechanism", ("PLAIN", "LOGIN", "CRAM-MD5"))
def test_a_refused_login_holds_the_mail(station, new_sink, certificates, mechanism):
    sink = new_sink(certificates.leaf("system"), True, True, mechanism)
    station.add("outgoing", "a", "wrong password", **{"hostname": sink.host, "port": sink.port,
                                                     "account": "user", "from": "sender@example.test"})
    queued = station.send("a", "box@example.test")
    sheet = station.wait_status("a", "fault")
    assert sheet["cause"]["code"] == "AuthenticationRefused"
    message = station.message(queued)
    assert message["state"] in ("held", "queued", "deferred")
    station.ctl("account", "password", "a", stdin=letters.PASSWORD + "\n")
    assert station.wait_message(queued)["state"] == "sent"
    station.wait_status("a", "ok")


def test_a_full_queue_refuses(station, sink):
    outgoing(station, sink, enabled=False, maxQueueSize=2)
    for _ in range(2):
        station.send("a", "box@example.test")
    with pytest.raises(varlink.VarlinkError) as caught, station.client() as client:
        submit(client, "a", letters.letter("box"))
    assert caught.value.short == "QueueFull"
    station.ctl("send", "--account", "a", "--to", "box@example.test", "-", stdin=letters.letter("box"), code=1)
    assert len(station.json("queue", "list")) == 2


def test_a_disabled_account_may_refuse(station, sink):
    outgoing(station, sink, enabled=False, allowDisabledQueuing=False)
    with pytest.raises(varlink.VarlinkError) as caught, station.client() as client:
        submit(client, "a", letters.letter("box"))
    assert caught.value.short == "Disabled"


@pytest.mark.parametrize("bad", ("", "no-at", "a b@example.test", "a@example.test\r\nDATA", "<a@b>", "a@" + "x" * 400),
                         ids=range(6))
def test_bad_addresses(station, sink, bad):
    outgoing(station, sink)
    with pytest.raises(varlink.VarlinkError) as caught, station.client() as client:
        submit(client, "a", letters.letter("box"), (bad,))
    assert caught.value.short == "InvalidProperty"
    assert station.json("queue", "list") == []


def test_what_smtp_cannot_carry_is_never_broken(station, sink):
    """Handed over raw: refused, or failed with a sentence; never sent as it is."""
    outgoing(station, sink)
    for body in (b"x" * 1200 + b"\n", b"a\0b\n"):
        try:
            with station.client() as client:
                queued = submit(client, "a", letters.letter("box") + body)
            assert station.wait_message(queued)["state"] == "failed"
        except varlink.VarlinkError as error:
            assert error.cause["text"]
    # by the tool: made fit to be carried
    station.ctl("sendmail", "box@example.test", stdin=b"Subject: long\n\n" + b"x" * 5000 + b"\n")
    sink.wait_for(1)
    message = email.message_from_bytes(sink.accepted[0].content)
    assert message.get_payload(decode=True).replace(b"\r\n", b"\n").rstrip() == b"x" * 5000


def test_bare_line_ends_are_made_whole(station, sink):
    """No SMTP smuggling: a dot between bare line ends never ends a message. LF is a line end; CR alone is none, and is
    refused where it is handed over raw."""
    outgoing(station, sink)
    with station.client() as client:
        submit(client, "a", b"Subject: x\r\n\r\none\n.\ntwo\r\n.\nthree\r\n.\r\nfour")
    sink.wait_for(1)
    assert sink.accepted[0].content.split(b"\r\n\r\n", 1)[1] == b"one\r\n.\r\ntwo\r\n.\r\nthree\r\n.\r\nfour\r\n"
    with pytest.raises(varlink.VarlinkError) as caught, station.client() as client:
        submit(client, "a", b"Subject: x\r\n\r\none\ntwo\r.\rthree\r\n")
    assert caught.value.cause["code"] == "Unsendable" and "line 4" in caught.value.cause["text"]


def test_the_default_account(new_station, sink):
    station = new_station({"Service.DefaultAccount": "b"}).start()
    for name in ("a", "b"):
        outgoing(station, sink, name, enabled=False)
    with station.client() as client:
        queued = submit(client, None, letters.letter("box"))
    assert station.message(queued)["account"] == "b"
