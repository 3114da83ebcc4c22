# SPDX-License-Identifier: MIT
"""Delivery reports: what a submitter asks of the servers (RFC 3461)."""

import base64
import os
import subprocess

import pytest

import letters
import station as station_module
import varlink

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
    sink.wait(lambda s: s.envelopes)
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
    assert len(sink.accepted) == 1 and station.json("queue", "list") == []


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
