# SPDX-License-Identifier: MIT
"""The submission listener: programs of this machine hand in mail by SMTP; accepted means on disk; nobody relays."""

import os
import re
import signal
import smtplib
import socket
import subprocess

import pytest

import station as station_module
import users
from as_user import run_as
from doors import Doors, Talk
from test_watchdog import hanging  # noqa: F401
from waiting import FLAVOUR, until

MESSAGE = "From: plant@example.test\r\nTo: box@example.test\r\nSubject: hello\r\n\r\nbody\r\n"


def outgoing(station, sink, name="a", **more):
    """An account in clear text at a sink."""
    station.ctl("account", "add", "outgoing", name, f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "from=sender@example.test", *(f"{key}={str(value).lower()}" for key, value in more.items()))


@pytest.fixture
def open_doors(new_station, sink):
    """A station with an account at the sink and these doors."""
    def make(*names, settings=None, start=True):
        station = new_station(settings)
        doors = Doors(station, *names)
        if start:
            station.start()
            outgoing(station, sink)
        return station, doors
    return make


def test_a_message(open_doors, sink):
    station, doors = open_doors("smtp", "smtp6")
    for name in ("smtp", "smtp6"):
        with doors.talk(name) as talk:
            assert re.match(r"station\.example ESMTP", talk.greeting[1])
            code, text = talk.message(MESSAGE + "..dot\r\n")
            assert code == 250
            queue_id = re.search(r"queued as (\S+)", text)[1]
            assert talk.code("QUIT") == 221 and talk.ended()
        message = station.wait_message(queue_id)
        assert message["state"] == "sent" and message["from"] == "plant@example.test"
        uid = os.geteuid()
        assert message["submittedBy"] == f"{users.name_of(uid)} (uid {uid})"
    got = sink.accepted[-1]
    assert got.sender == "plant@example.test" and got.recipients == ["box@example.test"]
    text = got.content.decode()
    assert re.match(r"Received: from client\.example \(\[IPv6:::1\]\)\r\n\tby station\.example with ESMTP;\r\n\t", text)
    assert text.endswith("\r\n\r\nbody\r\n.dot\r\n") and "Message-ID: <" in text and "Date: " in text


def test_by_smtplib(open_doors, sink):
    station, doors = open_doors()
    with smtplib.SMTP("127.0.0.1", doors.port, "client.example") as client:
        client.ehlo()
        assert {"pipelining", "8bitmime", "smtputf8", "enhancedstatuscodes", "dsn", "chunking", "size"} <= set(client.esmtp_features)
        assert "starttls" not in client.esmtp_features and "auth" not in client.esmtp_features
        client.sendmail("plant@example.test", ["box@example.test", "other@example.test"],
                        "Subject: x\nBcc: secret@example.test\n\n.dot\nline\n",
                        mail_options=["RET=HDRS", "ENVID=x+2By"], rcpt_options=["NOTIFY=FAILURE"])
    sink.wait_for(1)
    got = sink.accepted[0]
    assert got.recipients == ["box@example.test", "other@example.test"]
    assert b"secret" not in got.content and b"\r\n.dot\r\nline\r\n" in got.content


def test_what_was_asked_about_reports_is_kept(open_doors, sink):
    station, doors = open_doors()
    station.ctl("account", "disable", "a")
    with doors.talk() as talk:
        assert talk.code("EHLO x") == 250
        assert talk.code("MAIL FROM:<plant@example.test> RET=HDRS ENVID=x+2By SIZE=10") == 250
        assert talk.code("RCPT TO:<box@example.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;old+2Bbox@example.test") == 250
        assert talk.code("DATA") == 354
        queue_id = re.search(r"queued as (\S+)", talk.say("Subject: x\r\n\r\nx\r\n.")[1])[1]
    message = station.message(queue_id)
    assert (message["ret"], message["envelopeId"], message["recipients"][0]["notify"]) == ("HDRS", "x+y", "SUCCESS,FAILURE")
    assert message["recipients"][0]["original"] == "rfc822;old+box@example.test"


def test_chunks_and_large_messages(open_doors, sink):
    station, doors = open_doors()
    line = "0123456789abcdef" * 4 + "\r\n"
    large = MESSAGE + line * 30000                      # 2 MB: over the memory that a message has
    with doors.talk() as talk:
        assert talk.message(large)[0] == 250
        assert talk.envelope() == [250, 250, 250]
        half = len(large) // 2
        talk.send(f"BDAT {half}\r\n{large[:half]}BDAT {len(large) - half} LAST\r\n{large[half:]}")
        assert talk.reply()[0] == 250 and talk.reply()[0] == 250
    sink.wait_for(2)
    for got in sink.accepted:
        assert got.content.decode().endswith(large.split("\r\n\r\n", 1)[1])


def test_too_large(open_doors):
    station, doors = open_doors(settings={"Service.MaxMessageSize": "100K"})
    with doors.talk() as talk:
        assert talk.code("EHLO x") == 250
        assert talk.code("MAIL FROM:<plant@example.test> SIZE=102401") == 552
        assert talk.message(MESSAGE + ("x" * 78 + "\r\n") * 1400)[0] == 552
        code, text = talk.message(MESSAGE + "x" * 999 + "\r\n")
        assert code == 554 and "999 bytes" in text
        assert talk.message(MESSAGE)[0] == 250


def test_without_an_account(new_station):
    station = new_station()
    doors = Doors(station)
    station.start()
    with doors.talk() as talk:
        assert talk.code("EHLO x") == 250
        code, text = talk.say("MAIL FROM:<plant@example.test>")
        assert code == 451 and "account" in text


def test_local_names(open_doors, sink):
    station, doors = open_doors(settings={"Service.LocalRecipients": "people@example.test", "Service.AliasFile": ""})
    with doors.talk() as talk:
        assert talk.message("From: root\r\nTo: root\r\n\r\nx\r\n", "root", "root")[0] == 250
    sink.wait_for(1)
    assert sink.accepted[0].recipients == ["people@example.test"]
    assert sink.accepted[0].sender == "root@station.example"


@pytest.mark.skipif(not users.IS_ROOT, reason="needs root: runs clients as other users")
def test_who_may(open_doors):
    station, doors = open_doors(settings={"Control.AllowSubmit": "daemon"})

    def mail(say):
        with doors.talk() as talk:
            talk.say("EHLO x")
            say(str(talk.say("MAIL FROM:<plant@example.test>")).encode())

    assert b"550" in run_as(54321, mail) and b"may not submit" in run_as(54321, mail)
    assert b"250" in run_as(1, mail)
    assert b"250" in run_as(users.DAEMON_UID, mail)
    assert "was refused: this user may not submit mail" in station.log()


@pytest.mark.skipif(not users.IS_ROOT, reason="needs root: runs clients as other users")
def test_who_it_was_is_recorded(open_doors):
    station, doors = open_doors()
    station.ctl("account", "disable", "a")

    def mail(say):
        with doors.talk() as talk:
            say(talk.message(MESSAGE)[1].encode())

    queue_id = re.search(rb"queued as (\S+)", run_as(1, mail))[1].decode()
    assert station.message(queue_id)["submittedBy"] == "daemon (uid 1)"


@pytest.mark.skipif(not users.IS_ROOT, reason="needs root: leaves no process behind a connection")
def test_a_connection_without_an_owner_is_nobody_s(open_doors):
    """One that was closed before it was looked at: the kernel says uid 0 of its socket."""
    station, doors = open_doors()
    os.kill(station.process.pid, 19)    # SIGSTOP: it looks later
    left = socket.create_connection(("127.0.0.1", doors.port))
    left.sendall(b"EHLO x\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<box@example.test>\r\nDATA\r\n")
    left.close()
    os.kill(station.process.pid, 18)
    with doors.talk() as talk:
        assert talk.message(MESSAGE)[0] == 250
    until(lambda: "who you are could not be told" in station.log() or "ahead of its go-ahead" in station.log())
    assert len(station.json("queue", "list", "--state", "queued")) <= 1


def test_restart_and_kill_lose_nothing(open_doors, sink):
    station, doors = open_doors()
    sink.rule("rcpt", "451 4.2.0 later")
    with doors.talk() as talk:
        for i in range(20):
            assert talk.message(MESSAGE.replace("hello", f"number {i}"))[0] == 250
    station.kill()
    station.start()
    assert len(station.json("queue", "list")) == 20


def test_the_end_waits_for_a_message(open_doors):
    station, doors = open_doors()
    station.ctl("account", "disable", "a")
    with doors.talk() as idle, doors.talk() as talk:
        assert talk.envelope() == [250] * 3 and talk.code("DATA") == 354
        os.kill(station.process.pid, 15)
        code, _ = idle.reply()
        assert code == 421 and idle.ended()
        talk.send("Subject: x\r\n\r\nx\r\n.\r\n")
        assert talk.reply()[0] == 250
        assert talk.reply()[0] == 421 and talk.ended()
    station.process.wait(60)
    station.process = None
    station.start()
    assert len(station.json("queue", "list")) == 1


@pytest.mark.skipif(FLAVOUR != "plain", reason="a library is preloaded, which sanitizers do not like")
def test_the_end_on_a_slow_disk(new_station, sink, hanging):  # noqa: F811
    """Whose message the store has is told what became of it, also when that takes longer than the time of the end: who
    hears nothing hands it in once more. Whoever is in the midst of one is told as well."""
    station = new_station()
    doors = Doors(station)
    folder = users.private_folder(station.folder, "hang")
    station.extra_environment = {"LD_PRELOAD": hanging, "HANG": folder}
    station.start()
    outgoing(station, sink)
    station.ctl("account", "disable", "a")
    disk = os.path.join(folder, "disk")
    with doors.talk() as talk, doors.talk() as other:
        for one in talk, other:
            assert one.envelope() == [250] * 3 and one.code("DATA") == 354
        open(disk, "w").close()
        talk.send("Subject: x\r\n\r\nx\r\n.\r\nRSET\r\n")
        other.send("Subject: y\r\n")
        until(lambda: os.path.exists(disk + ".hangs"), 10)
        os.kill(station.process.pid, signal.SIGTERM)
        until(lambda: not os.path.exists(station.socket), 20)       # by now the store is being closed
        talk.send("NOOP\r\n")                                     # unread at the end: this takes no answer from it
        os.unlink(disk)
        code, text = talk.reply()
        assert code == 250 and talk.reply()[0] == 421 and talk.ended()
        assert other.reply()[0] == 421 and other.ended()
    assert station.process.wait(60) == 0
    station.process = None
    station.start()
    assert [message["id"] for message in station.json("queue", "list")] == [re.search(r"queued as (\S+)", text)[1]]


def test_a_daemon_that_does_not_start_says_so(open_doors):
    """Who waits at the socket is told, and does not have it started again and again."""
    station, doors = open_doors(start=False)
    with socket.create_connection(("127.0.0.1", doors.port), timeout=20) as waiting:
        done = subprocess.run([*station.command(), "--set", "Service.NoSuchKey=1"], pass_fds=station.pass_fds, capture_output=True,
                              env=station_module.clean_environment(), timeout=20, **users.as_daemon())
        assert done.returncode == 78
        assert Talk(waiting).greeting[0] == 421


def test_status_tells(open_doors):
    station, doors = open_doors()
    with doors.talk() as talk:
        assert talk.message(MESSAGE)[0] == 250
        assert station.call("GetStatus")["status"]["submission"] == {"sockets": 1, "clients": 1, "accepted": 1, "refused": 0}
        assert "submission by SMTP: 1 client there, 1 accepted, 0 refused" in station.ctl("status", code=None).out


# ---- sendmail -bs

def dialogue(station, text, code=0, **more):
    done = station.ctl("sendmail", "-bs", stdin=text, code=code, **more)
    return [line[:3] for line in done.out.splitlines() if line[3:4] == " "], done


@pytest.mark.parametrize("end", ("\r\n", "\n"))
def test_smtp_on_standard_input(station, sink, end):
    outgoing(station, sink)
    lines = ["EHLO x", "MAIL FROM:<me@example.test> RET=HDRS", "RCPT TO:<box@example.test> NOTIFY=FAILURE",
             "RCPT TO:<other@example.test>", "DATA", "Subject: x", "", "..dot", "äöü " + 1200 * "x", ".",
             "MAIL FROM:<>", "RCPT TO:<box@example.test>", "DATA", "x", ".", "QUIT", ""]
    codes, done = dialogue(station, end.join(lines))
    assert codes == ["220", "250", "250", "250", "250", "354", "250", "250", "250", "354", "250", "221"]
    sink.wait_for(2)
    first = next(got for got in sink.accepted if got.sender)
    assert first.recipients == ["box@example.test", "other@example.test"] and first.sender == "me@example.test"
    assert re.search(rb"\r\n(\.|=2E)dot\r\n", first.content) and b"quoted-printable" in first.content
    assert any(got.sender == "" for got in sink.accepted)


def test_smtp_on_standard_input_refused(station, sink):
    outgoing(station, sink)
    codes, _ = dialogue(station, "EHLO x\nMAIL FROM:<me@example.test>\nRCPT TO:<nosuchlocal>\nDATA\nx\n.\nNOOP\n")
    assert codes == ["220", "250", "250", "250", "354", "550", "250"]
    codes, _ = dialogue(station, "EHLO x\r\nMAIL FROM:<me@example.test>\r\nRCPT TO:<a@example.test>\r\nDATA\r\nx\n.\nQUIT\r\n", code=76)
    assert codes[-1] == "521"
    station.stop()
    codes, _ = dialogue(station, "EHLO x\nMAIL FROM:<me@example.test>\nRCPT TO:<a@example.test>\nDATA\nx\n.\n")
    assert codes[-1] == "451"
