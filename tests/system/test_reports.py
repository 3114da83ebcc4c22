# SPDX-License-Identifier: MIT
"""Delivery reports: what a submitter asks of the servers (RFC 3461), notices of what failed (RFC 3464)."""

import base64
import email
import os
import re
import subprocess
import time

import pytest

import letters
import station as station_module
import varlink
import waiting

DSN = ("PIPELINING", "8BITMIME", "SIZE 60000000", "ENHANCEDSTATUSCODES", "DSN")
SENDER = "sender@example.test"


def outgoing(station, sink, name="a", **more):
    station.ctl("account", "add", "outgoing", name, f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                f"from={SENDER}", *(f"{key}={value}" for key, value in more.items()))


def submit(station, recipients, message=None, **more):
    with station.client() as client:
        return client.call("Submit", account="a", recipients=list(recipients),
                           message=base64.b64encode(message or letters.letter("box")).decode(), **more)["id"]


@pytest.fixture
def sendmail(station):
    """The tool by the name sendmail, at this station."""
    link = os.path.join(station.folder, "sendmail")
    os.symlink(station.programs["emailsecctl"], link)

    def run(*args, data=b"Subject: s\n\nx\n"):
        return subprocess.run([link, *args], input=data, capture_output=True, timeout=20,
                              env=station_module.clean_environment(EMAILSEC_SOCKET=station.socket))

    return run


# ---- asking ----

def test_wishes_reach_a_server_that_reports(station, new_sink):
    sink = new_sink(extensions=DSN)
    outgoing(station, sink)
    queued = submit(station, ["a@x.example", "b+c@x.example", "c@x.example"],
                    notify=["never", "delay, Failure", ""], ret="hdrs", envelopeId="day 7+1=8")
    message = station.wait_message(queued)
    mail, *rcpt = sink.envelopes
    assert mail.endswith(" RET=HDRS ENVID=day+207+2B1+3D8")
    assert rcpt == ["RCPT TO:<a@x.example> NOTIFY=NEVER ORCPT=rfc822;a@x.example",
                    "RCPT TO:<b+c@x.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;b+2Bc@x.example",
                    "RCPT TO:<c@x.example>"]
    assert (message["ret"], message["envelopeId"]) == ("HDRS", "day 7+1=8")
    assert [r["notify"] for r in message["recipients"]] == ["NEVER", "FAILURE,DELAY", None]


ORIGINAL = "rfc822;old+1@x.example"


def test_original_recipients_reach_a_server_that_reports(station, new_sink, sendmail):
    """By the socket and by sendmail -bs, also without NOTIFY, over a kill; where the server does not report, not."""
    sink = new_sink(extensions=DSN)
    sink.rule("mail", "451 4.3.0 later")
    outgoing(station, sink)
    queued = submit(station, ["a@x.example", "b@x.example"], originals=[ORIGINAL, ""])
    done = sendmail("-bs", data=b"EHLO x\r\nMAIL FROM:<sender@example.test>\r\nRCPT TO:<c@x.example> "
                                b"ORCPT=rfc822;old+2B2@x.example\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
    assert b"queued as" in done.stdout, done
    ids = [queued, re.search(rb"queued as (\S+)", done.stdout)[1].decode()]
    waiting.until(lambda: all(station.message(one)["state"] == "deferred" for one in ids), 30)
    station.kill()
    sink.clear_rules()
    station.start()
    station.ctl("queue", "retry", *ids, code=None)
    for one in ids:
        station.wait_message(one)
    assert {"RCPT TO:<a@x.example> ORCPT=rfc822;old+2B1@x.example", "RCPT TO:<b@x.example>",
            "RCPT TO:<c@x.example> ORCPT=rfc822;old+2B2@x.example"} <= set(sink.envelopes)
    assert [one["original"] for one in station.message(queued)["recipients"]] == [ORIGINAL, None]
    plain = new_sink()
    outgoing(station, plain, "plain")
    station.wait_message(station.call("Submit", account="plain", recipients=["a@x.example"], originals=[ORIGINAL],
                                      message=base64.b64encode(letters.letter("box")).decode())["id"])
    assert plain.envelopes[1] == "RCPT TO:<a@x.example>"


def test_wishes_stay_at_home_where_nothing_reports(station, sink):
    outgoing(station, sink)
    station.wait_message(submit(station, ["a@x.example"], notify=["success"], ret="full", envelopeId="e"))
    assert sink.envelopes[1] == "RCPT TO:<a@x.example>"
    assert "RET" not in sink.envelopes[0] and "ENVID" not in sink.envelopes[0]


def test_wishes_survive_a_kill(station, new_sink):
    sink = new_sink(extensions=DSN)
    sink.rule("mail", "451 4.3.0 later")
    outgoing(station, sink)
    queued = submit(station, ["a@x.example"], notify=["success"], ret="full", envelopeId="e")
    station.wait_event("mail.deferred", account="a")
    station.kill()
    sink.clear_rules()
    sink.envelopes.clear()
    station.start()
    station.ctl("queue", "retry", queued)
    station.wait_message(queued)
    assert sink.envelopes[0].endswith(" RET=FULL ENVID=e")
    assert sink.envelopes[1].endswith(" NOTIFY=SUCCESS ORCPT=rfc822;a@x.example")


@pytest.mark.parametrize("field, more", [
    ("notify", {"notify": ["sometimes"]}),
    ("notify", {"notify": ["never,failure"]}),
    ("notify", {"notify": ["never", "never", "never"]}),
    ("notify", {"notify": []}),
    ("ret", {"ret": "some"}),
    ("envelopeId", {"envelopeId": "x" * 101}),
    ("envelopeId", {"envelopeId": "caf\u00e9"}),
    ("envelopeId", {"envelopeId": ""}),
    ("originals", {"originals": ["rfc822;a@x.example"]}),
    ("originals", {"originals": ["rfc822;a\r\nb@x.example", "x"]}),
])
def test_bad_wishes_are_named(station, sink, field, more):
    outgoing(station, sink)
    with pytest.raises(varlink.VarlinkError) as refused:
        submit(station, ["a@x.example", "b@x.example"], **more)
    assert field in str(refused.value)
    assert station.json("queue", "list") == []


def test_send_asks(station, new_sink):
    sink = new_sink(extensions=DSN)
    outgoing(station, sink)
    station.ctl("send", "--to", "a@x.example", "--notify", "failure,delay", "--return", "full", "--envelope-id", "N1",
                "--wait", stdin="Subject: s\n\nx\n")
    assert sink.envelopes[0].endswith(" RET=FULL ENVID=N1")
    assert " NOTIFY=FAILURE,DELAY " in sink.envelopes[1]
    for option, value in (("--notify", "often"), ("--return", "half"), ("--envelope-id", "x" * 101)):
        assert option in station.ctl("send", "--to", "a@x.example", option, value, stdin="x", code=2).said


def test_sendmail_asks(station, sendmail, new_sink):
    sink = new_sink(extensions=DSN)
    outgoing(station, sink)
    done = sendmail("-N", "failure,delay", "-R", "hdrs", "-VN2", "-f", SENDER, "a@x.example")
    assert done.returncode == 0, done.stderr
    sink.wait_for(1)
    assert sink.envelopes[0].endswith(" RET=HDRS ENVID=N2")
    assert " NOTIFY=FAILURE,DELAY " in sink.envelopes[1]
    for option, value in (("-N", "often"), ("-R", "half"), ("-V", "x" * 101), ("-B", "9BIT")):
        done = sendmail(option, value, "a@x.example")
        assert done.returncode == 64 and f"{option}:".encode() in done.stderr
    waiting.until(lambda: station.json("queue", "list") == [], say="the message is not done")
    assert len(sink.accepted) == 1


def test_sendmail_body_type(station, sendmail, new_sink):
    """7BIT gets through a server that takes nothing else; 8BITMIME leaves the bytes alone."""
    sink = new_sink(extensions=("PIPELINING", "8BITMIME"))
    old = new_sink(extensions=("PIPELINING",))
    outgoing(station, sink)
    declared = ("Subject: s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
                "Content-Transfer-Encoding: 8bit\n\ncaf\u00e9\n").encode()
    assert sendmail("-B8BITMIME", "a@x.example", data=declared).returncode == 0
    assert sendmail("-B", "8bitmime", "a@x.example", data="Subject: s\n\ncaf\u00e9\n".encode()).returncode == 0
    assert sendmail("a@x.example", data="Subject: s\n\ncaf\u00e9\n".encode()).returncode == 0
    sink.wait_for(3)
    contents = [one.content for one in sink.accepted]
    assert [("caf\u00e9".encode() in content, content.isascii()) for content in contents] == [
        (True, False), (True, False), (False, True)]
    station.ctl("account", "set", "a", f"port={old.port}")
    assert sendmail("-B", "7BIT", "a@x.example", data=declared).returncode == 0
    old.wait_for(1)
    assert old.accepted[0].content.isascii() and b"quoted-printable" in old.accepted[0].content


# ---- notices ----

POSTMASTER = "postmaster@example.test"


def reports_of(content):
    """The per-message fields and those of each recipient of a notice."""
    message = email.message_from_bytes(content)
    assert message.get_content_type() == "multipart/report" and not message.defects
    assert message.get_param("report-type") == "delivery-status"
    words, status, header = message.get_payload()
    assert (words.get_content_type(), status.get_content_type(), header.get_content_type()) == (
        "text/plain", "message/delivery-status", "text/rfc822-headers")
    first, *recipients = status.get_payload()
    return message, first, recipients, header.get_payload(decode=True)


def test_notice_of_a_refused_recipient(station, sink):
    """One of three is fine, two are refused: one notice, about those two."""
    outgoing(station, sink, notifyFailed=POSTMASTER)
    sink.rule("rcpt", "550 5.1.1 nobody here", match=b"bad")
    message_id = letters.new_message_id()
    queued = submit(station, ["bad@x.example", "good@x.example", "bad2@x.example"],
                    letters.letter("box", message_id=message_id), envelopeId="day 7", originals=[ORIGINAL, "", ""])
    assert station.wait_message(queued)["state"] == "failed"
    sink.wait_for(2)
    notice = next(one for one in sink.accepted if one.sender == "")
    assert notice.recipients == [POSTMASTER] and notice.content.isascii()
    message, first, recipients, header = reports_of(notice.content)
    assert message["Auto-Submitted"] == "auto-generated" and message["References"] == message_id
    assert first["Original-Envelope-Id"] == "day 7" and first["Reporting-MTA"] == "dns; station.example"
    assert [r["Original-Recipient"] for r in recipients] == [ORIGINAL, None]
    assert [r["Final-Recipient"] for r in recipients] == ["rfc822;bad@x.example", "rfc822;bad2@x.example"]
    for one in recipients:
        assert (one["Action"], one["Status"]) == ("failed", "5.1.1")
        assert one["Diagnostic-Code"] == "smtp; 550 5.1.1 nobody here" and one["Last-Attempt-Date"]
        assert one["Remote-MTA"] == "dns; [127.0.0.1]"
    assert message_id.encode() in header and b"Line one" not in header
    station.wait_event("mail.sent", account="a", recipient=POSTMASTER)
    assert [one["id"] for one in station.json("queue", "list")] == [queued]


def test_real_server_refuses_one_of_two(station, post, dovecot, box):
    """Postfix says no to one recipient at RCPT; the other has its mail, and the postmaster a notice, in Dovecot."""
    postmaster, good = box, f"{box}-good"
    station.add("outgoing", "a", hostname=post.host(), port=post.port("smtp", "ssl"),
                account=letters.address(box), notifyFailed=letters.address(postmaster), **{"from": SENDER})
    queued = submit(station, [letters.address("refused"), letters.address(good)])
    message = station.wait_message(queued)
    assert [one["state"] for one in message["recipients"]] == ["failed", "sent"]
    waiting.until(lambda: dovecot.messages(good) and dovecot.messages(postmaster), 30)
    (_, notice), = dovecot.messages(postmaster)
    _, _, (one,), _ = reports_of(notice)
    assert (one["Final-Recipient"], one["Status"]) == (f"rfc822;{letters.address('refused')}", "5.7.1")
    assert one["Diagnostic-Code"].startswith("smtp; 554 5.7.1 ")


def test_notice_when_the_lifetime_is_over(station, sink):
    outgoing(station, sink, notifyFailed=POSTMASTER, queueLifetime=1)
    sink.rule("rcpt", "450 4.2.2 mailbox full", match=b"full")
    queued = submit(station, ["full@x.example"])
    station.wait_event("mail.deferred", account="a")
    station.call("SetAccount", name="a", properties={"queueLifetime": 3600})     # of the notice
    over = time.time() + 2
    waiting.until(lambda: time.time() > over)
    station.restart()                                   # lifetimes are looked at once a minute, and at the start
    sink.wait_for(1)
    _, _, (one,), _ = reports_of(sink.accepted[0].content)
    assert (one["Status"], one["Diagnostic-Code"]) == ("4.4.7", "smtp; 450 4.2.2 mailbox full")
    assert station.message(queued)["recipients"][0]["cause"] == "Expired"


def test_no_notice_without_an_address_or_a_sender(station, sink):
    sink.rule("rcpt", "550 5.1.1 nobody", match=b"bad")
    outgoing(station, sink)
    station.wait_message(submit(station, ["bad@x.example"]))
    station.ctl("account", "set", "a", f"notifyFailed={POSTMASTER}")
    station.wait_message(submit(station, ["bad@x.example"], **{"from": ""}))
    station.wait_message(submit(station, ["good@x.example"]))
    assert [one.recipients for one in sink.accepted] == [["good@x.example"]]
    assert len(station.json("queue", "list")) == 2


def test_a_notice_that_fails_causes_none(station, sink):
    sink.rule("rcpt", "550 5.1.1 nobody")
    outgoing(station, sink, notifyFailed=POSTMASTER)
    queued = submit(station, ["bad@x.example"])
    station.wait_event("mail.failed", account="a", id=queued)
    station.wait_event("mail.failed", account="a", recipient=POSTMASTER)
    station.ctl("account", "poll", "a")
    listed = station.json("queue", "list")
    assert [(one["from"], one["state"]) for one in listed] == [(SENDER, "failed"), ("", "failed")]


def test_a_second_failure_is_told_again(station, sink):
    """A message that was retried and failed anew is a new failure; the others of it are not told twice."""
    sink.rule("rcpt", "550 5.1.1 nobody", match=b"bad")
    outgoing(station, sink, notifyFailed=POSTMASTER)
    queued = submit(station, ["bad@x.example"])
    sink.wait_for(1)
    station.ctl("queue", "retry", queued)
    sink.wait_for(2)
    assert [one.recipients for one in sink.accepted] == [[POSTMASTER]] * 2


def test_a_kill_neither_loses_nor_doubles_a_notice(station, sink):
    """Killed at the refusal, again and again: at the end there is one notice for each message that failed."""
    sink.rule("rcpt", "550 5.1.1 nobody", match=b"bad")
    outgoing(station, sink, notifyFailed=POSTMASTER)
    station.ctl("account", "disable", "a")
    queued = [submit(station, [f"bad{number}@x.example"]) for number in range(20)]
    station.ctl("account", "enable", "a")
    for round_number in range(5):
        seen = len(sink.envelopes)
        sink.wait(lambda s, more=seen + round_number: len(s.envelopes) > more or len(s.envelopes) >= 40)
        station.kill()
        station.start()
    for one in queued:
        assert station.wait_message(one)["state"] == "failed"
    station.ctl("account", "poll", "a")
    states = ["queued", "sending", "deferred", "held", "ambiguous", "failed", "sent"]
    everything = station.call("ListQueue", states=states)["messages"]
    assert sorted(one["from"] for one in everything) == [""] * 20 + [SENDER] * 20
    about = [email.message_from_bytes(one.content)["References"] for one in sink.accepted]
    assert set(about) == {one["messageId"] for one in everything if one["from"]}
