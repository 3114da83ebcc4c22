# SPDX-License-Identifier: MIT
"""Public reports of what servers did to other programs that send mail, each made real. tests/field/README.md says whose they
are and what came of them."""

import os
import select
import subprocess
import time

import pytest

import channels
import letters
import station as station_module
import users
from waiting import until

TO = "box@example.test"


def outgoing(station, sink, security="plain", name="a", password=None, **more):
    found = channels.properties("smtp", security, "127.0.0.1", sink.port, "canary-user", **more)
    if not password:
        del found["account"]
    station.add("outgoing", name, password=password, **found)


def ehlo(*words):
    """EHLO is answered with these words and no other."""
    def answer(session, _line):
        lines = ["sink.example", *words]
        for number, word in enumerate(lines):
            session._say(f"250{' ' if number + 1 == len(lines) else '-'}{word}")
        session.greeted = True
    return answer


def silence_first(session, _line):
    """Nobody may speak before the greeting, which comes late and in pieces."""
    if select.select([session.peer], [], [], 0.5)[0]:
        session.sink.violate("spoke before the greeting")
    for part in ("220-coney.example ESMTP Exim\r\n220-We do not auth", "orize the use of this system\r\n220", " and/or bulk e-mail.\r\n"):
        session.peer.sendall(part.encode())
        time.sleep(0.1)


def in_pieces(session, _line):
    for part in ("250-fake\r\n250-PIPELI", "NING\r\n250-8BITMIME\r\n250", " SIZE\r", "\n"):
        session.peer.sendall(part.encode())
        time.sleep(0.05)
    session.greeted = True


def takes(reply):
    """MAIL or RCPT is taken, in these words."""
    def answer(session, line):
        session._say(reply)
        if line.startswith(b"MAIL"):
            session.sender, session.recipients, session.eight_bit = "sender", [], True
        else:
            session.recipients.append("recipient")
    return answer


def ehlo_once(session, line):
    """One behind AUTH would forget the user."""
    if session.user:
        session.sink.violate("EHLO behind AUTH")
    return ehlo("AUTH PLAIN")(session, line)


def many(reply):
    """A reply of several lines."""
    code, lines = reply.split(" ", 1)
    lines = lines.split("|")
    return "\r\n".join(f"{code}{' ' if number + 1 == len(lines) else '-'}{line}" for number, line in enumerate(lines))


# ---- it goes, at once or when the server is well again

GOES = {    # name: (options of the sink, rules, security, whether there is a password)
    "greeting late and in pieces": ({}, [("greeting", silence_first)], "plain", False),
    "greeting without ESMTP": ({}, [("greeting", "220 ready")], "plain", False),
    "greeting of an ASA": ({}, [("greeting", "220 **********************************")], "plain", False),
    "greeting bare": ({}, [("greeting", "220")], "plain", False),
    "EHLO of odd words": ({}, [("ehlo", ehlo("pipelining ", "\t8bitmime", "", "SIZE", "X=Y", "XEXCH250", "Ok"))], "plain", False),
    "EHLO without a name": ({}, [("ehlo", lambda s, line: setattr(s, "greeted", True) or s._say("250"))], "plain", False),
    "EHLO in pieces": ({}, [("ehlo", in_pieces)], "plain", False),
    "SIZE 0": ({}, [("ehlo", ehlo("SIZE 0"))], "plain", False),
    "SIZE of too many digits": ({}, [("ehlo", ehlo("SIZE 99999999999999999999999"))], "plain", False),
    "SIZE in words": ({}, [("ehlo", ehlo("SIZE unlimited"))], "plain", False),
    "251 and 252": ({}, [("rcpt", takes("251 forwarded"), 1), ("rcpt", takes("252 cannot verify"))], "plain", False),
    "250 and a tab": ({}, [("rcpt", takes("250\tok"))], "plain", False),
    "200": ({}, [("mail", takes("200 ok"))], "plain", False),
    "lines of two codes": ({}, [("mail", takes("250-a\r\n251 b"))], "plain", False),
    "an empty line before the reply": ({}, [("mail", takes("\r\n250 ok"))], "plain", False),
    "words without end": ({}, [("mail", takes("250 " + "x" * 60000))], "plain", False),
    "354 without a word": ({}, [("data", "354")], "plain", False),
    "EHLO unknown": ({}, [("ehlo", "500 5.5.1 Command unrecognized")], "plain", False),
    "greeting 250": ({}, [("greeting", "250 2.0.0 Ok: queued as B4C8112124D", 1)], "plain", False),
    "HELO refused at RCPT": ({}, [("rcpt", "554 5.7.1 <station.example>: Helo command rejected: Access denied", 1)], "plain", False),
    "AUTH offered, no account": ({}, [("ehlo", ehlo("AUTH LOGIN PLAIN", "8BITMIME"))], "plain", False),
    "AUTH without a word, no account": ({}, [("ehlo", ehlo("SIZE", "AUTH", "X-EXPS NTLM"))], "plain", False),
    "QUIT unknown": ({}, [("quit", "500 5.5.1 Invalid command")], "plain", False),
    "STARTTLS offered, not wanted": ({"tls": True}, [("starttls", "454 4.7.0 TLS not available due to local problem")],
                                     "plain", False),
    "AUTH behind STARTTLS only": ({"tls": True, "login": True},
                                  [("ehlo", lambda s, line: not s.encrypted and ehlo("STARTTLS")(s, line))],
                                  "starttls", True),
    "EHLO once": ({"tls": True, "login": True, "implicit_tls": True}, [("ehlo", ehlo_once)], "ssl", True),
    "mechanisms of Exchange": ({"tls": True, "login": True, "implicit_tls": True, "mechanisms": "GSSAPI NTLM LOGIN"}, [], "ssl", True),
    "LOGIN with nothing behind it": ({"tls": True, "login": True, "implicit_tls": True, "mechanisms": "LOGIN"},
                                     [("auth", lambda s, line: line != b"AUTH LOGIN" and s._say("535 5.7.8 failed"))], "ssl", True),
    "AUTH=LOGIN": ({"tls": True, "login": True, "implicit_tls": True}, [("ehlo", ehlo("AUTH=LOGIN PLAIN"))], "ssl", True),
    "AUTH= and AUTH": ({"tls": True, "login": True, "implicit_tls": True}, [("ehlo", ehlo("AUTH=LOGIN", "AUTH PLAIN"))], "ssl", True),
}


@pytest.mark.parametrize("name", GOES)
def test_goes(station, new_sink, certificates, name):
    options, rules, security, password = GOES[name]
    options = dict(options)
    certificate = certificates.leaf("system", "127.0.0.1") if options.pop("tls", False) else None
    sink = new_sink(certificate, **options)
    for rule in rules:
        sink.rule(*rule)
    outgoing(station, sink, security, password=letters.PASSWORD if password else None)
    assert station.wait_message(station.send("a", TO))["state"] == "sent"
    assert station.account("a")["status"] == "ok" and len(sink.accepted) == 1


WAITS = {   # name: (rules, options, security, what is said of it)
    "greeting 451": ([("greeting", "451 Request action aborted on MFE proxy, SMTP server is not available.")], {}, "plain", "MFE proxy"),
    "greeting 554 of several lines": ([("greeting", many("554 gmx.net Nemesis ESMTP Service not available|No SMTP service|"
                                                         "IP address is block listed.|see https://x.example"))], {}, "plain", "block listed"),
    "EHLO 421": ([("ehlo", many("421 4.7.0 Try again later, closing connection. (EHLO)|4.7.0 see the help"))], {}, "plain",
                 "Try again later"),
    "greeting 421": ([("greeting", "421 user-PC You talk too soon")], {}, "plain", "talk too soon"),
    "TLS not available": ([("starttls", "454 4.7.0 TLS not available due to local problem")], {"tls": True}, "starttls",
                          "local problem"),
    "450 4.1.2": ([("rcpt", "450 4.1.2 <box@example.test>: Recipient address rejected: Domain not found")], {}, "plain", "Domain not found"),
    "not authenticated": ([("mail", "530 5.7.1 Client was not authenticated")], {}, "plain", "not authenticated"),
    "432 4.3.2": ([("dot", "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.example/x [Hostname=OS0.outlook.example]")],
                  {}, "plain", "connections limit"),
    "432, sender threads": ([("mail", "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded [Hostname=DM5]")], {}, "plain",
                            "thread limit"),
    "554 5.2.0, quota of the day": ([("dot", "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to "
                                      "process message due to a permanent exception with message")], {}, "plain", "QuotaExceeded"),
    "421 to DATA": ([("data", "421 4.4.2 timeout, closing")], {}, "plain", "421 4.4.2"),
    "451 behind the message": ([("dot", "451 Timeout - closing connection")], {}, "plain", "Timeout - closing"),
    "ends behind MAIL": ([("mail", "close")], {}, "plain", ""),
}


@pytest.mark.parametrize("name", WAITS)
def test_waits(station, new_sink, certificates, name):
    rules, options, security, said = WAITS[name]
    sink = new_sink(certificates.leaf("system", "127.0.0.1") if options.get("tls") else None)
    for rule in rules:
        sink.rule(*rule)
    outgoing(station, sink, security)
    queued = station.send("a", TO)

    def told():
        return said in str(station.message(queued)) + str(station.account("a")) + station.log() and sink.connections
    until(told, 10, lambda: str(station.message(queued)) + str(station.account("a")))
    assert station.message(queued)["state"] != "failed" and not sink.accepted
    sink.clear_rules()
    station.ctl("queue", "retry", queued)
    assert station.wait_message(queued)["state"] == "sent"
    assert len(sink.accepted) == 1


SIGN_IN = {     # answer to AUTH: (status, what is said, what is advised, what is not)
    "454 4.7.0 Too many login attempts, please try again later. 4-20020a - gsmtp":
        ("down", "Too many login attempts", "", "password"),
    "421 4.7.0 Try again later, closing connection.": ("down", "Try again later", "", "password"),
    "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.example/x":
        ("fault", "disabled for the Tenant", "turn this protocol", "check the property"),
    "534 5.7.9 Application-specific password required. Learn more at https://support.example":
        ("fault", "specific password", "password", "turn this protocol"),
}


@pytest.mark.parametrize("reply", SIGN_IN)
def test_sign_in(station, new_sink, certificates, reply):
    status, said, advised, unadvised = SIGN_IN[reply]
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), implicit_tls=True, login=True, mechanisms="PLAIN")
    sink.rule("auth", reply)
    outgoing(station, sink, "ssl", password=letters.PASSWORD)
    queued = station.send("a", TO)
    sheet = station.wait_status("a", status)
    assert said in sheet["cause"]["text"], sheet["cause"]
    assert advised in sheet["cause"]["remedy"] and unadvised not in sheet["cause"]["remedy"], sheet["cause"]
    assert station.message(queued)["state"] != "failed"
    sink.clear_rules()
    station.ctl("queue", "retry", queued)
    assert station.wait_message(queued)["state"] == "sent"


def test_one_sign_in_for_many(station, new_sink, certificates):
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), implicit_tls=True, login=True)
    outgoing(station, sink, "ssl", password=letters.PASSWORD, maxConnections=1)
    for _ in range(20):
        station.send("a", TO)
    sink.wait_for(20)
    assert sink.connections <= 2


def test_354_for_nobody(station, new_sink):
    """A server that refuses all recipients and takes DATA all the same gets nothing, and nothing was sent."""
    sink = new_sink()
    sink.careless = True
    sink.rule("rcpt", "550 5.1.1 nobody")
    sink.rule("data", "354")
    outgoing(station, sink)
    message = station.wait_message(station.send("a", TO))
    assert message["state"] == "failed" and "5.1.1" in message["recipients"][0]["reply"]
    assert all(len(one.content) == 0 for one in sink.accepted)
    sink.clear_rules()
    assert station.wait_message(station.send("a", TO))["state"] == "sent"


@pytest.mark.skipif(not users.IS_ROOT, reason="a name of its own needs a mount namespace, and that needs root")
@pytest.mark.parametrize("security", ("ssl", "starttls"))
@pytest.mark.parametrize("host", ("mail.plant.example", "mail.plant.example."))
def test_the_server_hears_whom_it_is_asked_for(new_station, new_sink, certificates, security, host):
    """By SNI, without a dot at the end."""
    sink = new_sink(certificates.leaf("system", "mail.plant.example"), implicit_tls=security == "ssl")
    heard = []
    sink.tls.sni_callback = lambda _socket, name, _context: heard.append(name)
    station = new_station()
    station.names = {"mail.plant.example": "127.0.0.1"}
    station.start()
    outgoing(station, sink, security)
    station.ctl("account", "set", "a", f"hostname={host}")
    assert station.wait_message(station.send("a", TO))["state"] == "sent"
    assert set(heard) == {"mail.plant.example"}


# ---- it does not go, and the sentence says why

def test_tls_at_once_where_it_is_not_spoken(station, sink):
    outgoing(station, sink, "ssl")
    station.send("a", TO)
    sheet = station.wait_status("a", "down", "fault")
    assert "starttls" in str(sheet["cause"]).lower(), sheet["cause"]
    station.ctl("account", "disable", "a")
    until(lambda: "emailsec_sessions 0" in station.ctl("metrics").out)
    sink.violations.clear()     # what it heard of TLS


def test_a_name_that_is_not_found(station, sink):
    """It may be found later: the mail waits."""
    outgoing(station, sink)
    station.ctl("account", "set", "a", "hostname=nosuch.invalid")
    queued = station.send("a", TO)
    until(lambda: station.message(queued)["state"] == "deferred", 20)
    assert "nosuch.invalid" in str(station.account("a")["cause"])
    station.ctl("account", "set", "a", "hostname=127.0.0.1")
    assert station.wait_message(queued)["state"] == "sent"


def test_a_long_refusal_is_kept_whole(station, sink):
    sink.rule("dot", many("550 5.7.26 Unauthenticated email from example.jp is not accepted due to domain's|"
                          "5.7.26 DMARC policy. Please contact the administrator of example.jp domain if|"
                          "5.7.26 this was a legitimate mail. To learn about the DMARC initiative, go|5.7.26 to|"
                          "5.7.26  https://support.example/mail/?p=DmarcRejection 98e67 - gsmtp"))
    outgoing(station, sink)
    message = station.wait_message(station.send("a", TO))
    assert message["state"] == "failed"
    reply = message["recipients"][0]["reply"]
    assert "DMARC policy" in reply and "?p=DmarcRejection" in reply


def test_a_login_that_says_235_and_means_no(station, new_sink, certificates):
    """235 is success, whatever the words; the server's next answer holds the mail, it is not lost."""
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), implicit_tls=True, login=True)
    sink.rule("auth", "235 auth failure")
    outgoing(station, sink, "ssl", password=letters.PASSWORD)
    queued = station.send("a", TO)
    sheet = station.wait_status("a", "fault", "down")
    assert "authentication required" in str(sheet["cause"]), sheet["cause"]
    sink.clear_rules()
    station.ctl("queue", "retry", queued)
    assert station.wait_message(queued)["state"] == "sent"


def test_auth_without_a_mechanism(station, new_sink, certificates):
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), implicit_tls=True)
    sink.rule("ehlo", ehlo("AUTH"))
    outgoing(station, sink, "ssl", password=letters.PASSWORD)
    station.send("a", TO)
    sheet = station.wait_status("a", "fault", "down")
    assert "sign in" in str(sheet["cause"]) or "mechanism" in str(sheet["cause"]), sheet["cause"]


# ---- what programs hand to sendmail

PATCH = (b"From 0a0ae3e955aed0f3e3d29882fb3d3cb575e0009b Mon Sep 17 00:00:00 2001\nMessage-ID: <p@x.example>\n"
         b"From: dev@x.example\nTo: list@x.example\nSubject: [PATCH] a\n\nbody\nFrom here on\n")
MANY = [f"person+{number}@x.example" for number in range(60)]
HANDED = {      # name: (arguments, input, recipients, what must be in what goes, what must not)
    "-t, and an argument": (["-t", "box@x.example"], b"Subject: t\n\nx\n", ["box@x.example"], [b"Subject: t"], []),
    "-t, and the same argument": (["-t", "box@x.example"], b"To: box@x.example\nSubject: t\n\nx\n", ["box@x.example"], [], []),
    "a patch": (["-i", "list@x.example"], PATCH, ["list@x.example"], [b"Subject: [PATCH] a", b"\r\nFrom here on\r\n"],
                [b"From 0a0ae", b"No Subject"]),
    "a patch, -t": (["-t"], PATCH, ["list@x.example"], [b"Message-ID: <p@x.example>"], [b"From 0a0ae"]),
    "many, some twice": (["-t"], f"To: {', '.join(MANY + MANY[:9])}\nCc: {MANY[0]}\nSubject: t\n\nx\n".encode(), MANY, [], []),
    "an address in an address": (["-t"], b"To: xx@x.example <xx@x.example>\nSubject: t\n\nx\n", ["xx@x.example"], [], []),
    "Bcc and nobody": (["-t"], b"From: a@b.example\nBcc: box@x.example\nTo: undisclosed-recipients:;\nSubject: t\n\nx\n", ["box@x.example"],
                       [b"undisclosed-recipients:;"], [b"box@x", b"Bcc"]),
    "a group": (["-t"], b"To: You:one@x.example,\"Last, First\" <two@x.example>;\nSubject: t\n\nx\n", ["one@x.example", "two@x.example"],
                [], []),
    "a line of a log": (["box@x.example"], b"Subject: cron\n\n" + b"error " * 1000 + b"end\n", ["box@x.example"], [], []),
    "no empty line": (["box@x.example"], b"Subject: t\nTo: box@x.example\n", ["box@x.example"], [b"Subject: t"], []),
    "only text": (["box@x.example"], b"disk full\n", ["box@x.example"], [b"disk full"], []),
    "DSN words": (["-Nsuccess,delay,failure", "-f", "me@x.example", "--", "box@x.example"], b"Subject: t\n\nx\n", ["box@x.example"], [], []),
    "line feed at the end missing": (["box@x.example"], b"Subject: t\n\nlast words", ["box@x.example"], [b"\r\nlast words\r\n"], []),
    "CR LF CR": (["box@x.example"], b"Subject: t\r\n\r\nx\r\r\ny\r\n", ["box@x.example"], [], []),
}


@pytest.mark.parametrize("name", HANDED)
def test_handed_in(station, sink, name):
    arguments, text, recipients, there, not_there = HANDED[name]
    outgoing(station, sink)
    station.ctl("sendmail", *arguments, stdin=text)
    sink.wait_for(1)
    got = sink.accepted[0]
    assert sorted(got.recipients) == sorted(recipients) and len(sink.accepted) == 1
    for word in there:
        assert word in got.content, got.content[:2000]
    for word in not_there:
        assert word not in got.content, got.content[:2000]
    assert b"\r\n\r\n" in got.content


def test_handed_in_to_root(new_station, sink):
    """A name without a domain has the same address in the envelope and in the header."""
    station = new_station({"Service.LocalRecipients": "root@example.test"}).start()
    outgoing(station, sink)
    station.ctl("sendmail", "-t", stdin=b"From: root (Cron Daemon)\nTo: root\nSubject: t\n\nx\n")
    sink.wait_for(1)
    assert sink.accepted[0].recipients == ["root@example.test"]
    assert b"To: root@example.test\r\n" in sink.accepted[0].content
    assert b"From: root@station.example (Cron Daemon)\r\n" in sink.accepted[0].content


@pytest.mark.parametrize("arguments, text", ((["-i"], b"Subject: t\n\nx\n"), (["-t"], b"Subject: t\n\nx\n"),
                                             (["-t"], b"To: undisclosed-recipients:;\n\nx\n")))
def test_handed_in_for_nobody(station, sink, arguments, text):
    """Refused with a sentence that helps, never taken and dropped."""
    outgoing(station, sink)
    refused = station.ctl("sendmail", *arguments, stdin=text, code=None)
    assert refused.code in (64, 65) and "recipient" in refused.err and station.json("queue", "list") == []


# What programs run it in: the text of a shell, `$0` being sendmail.
SURROUNDINGS = {
    "no environment": 'exec env -i EMAILSEC_SOCKET="$EMAILSEC_SOCKET" "$0" -t',
    "a language that is not there": 'LC_ALL=xx_YY.UTF-8 TZ=:/nowhere exec "$0" -t',
    "nothing to write to": 'exec "$0" -t >&- 2>&-',
    "a full disk to write to": 'exec "$0" -t >/dev/full 2>/dev/full',
    "a folder that is gone": 'cd "$(mktemp -d)" && rmdir "$PWD" && exec "$0" -t',
    "few files": 'ulimit -n 16; ulimit -v 400000; exec "$0" -t',
    "umask 777": 'umask 777; exec "$0" -t',
    "SIGPIPE ignored": 'trap "" PIPE; exec "$0" -t',
    "no terminal": 'exec setsid "$0" -t',
    "a user without a name": 'exec setpriv --reuid=54321 --regid=54321 --clear-groups -- "$0" -FCron -f root -t',
    "no network": 'exec unshare -n "$0" -t',
    "no /proc": "exec unshare -m sh -c 'mount -t tmpfs none /proc; exec \"$0\" -t' \"$0\"",
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_handed_in_from_anywhere(station, sink, folder, name):
    if not users.IS_ROOT and name in ("a user without a name", "no network", "no /proc"):
        pytest.skip("needs root")
    if station_module.FLAVOUR != "plain" and name in ("few files", "no /proc"):
        pytest.skip("a sanitizer needs more")
    outgoing(station, sink)
    link = os.path.join(folder, "sendmail")
    os.symlink(station.programs["emailsecctl"], link)
    done = subprocess.run(["sh", "-c", SURROUNDINGS[name], link], input=b"To: box@x.example\nSubject: t\n\nx\n", capture_output=True,
                          timeout=30, env=station_module.clean_environment(EMAILSEC_SOCKET=station.socket))
    assert done.returncode == 0, done
    sink.wait_for(1)
    assert sink.accepted[0].recipients == ["box@x.example"]


# ---- passwords

@pytest.mark.parametrize("mechanism", ("plain", "login", "cram-md5", "scram-sha-256"))
@pytest.mark.parametrize("password", ('a"b\\c', " b l a n k ", "pä$$wörd€", "{5}%s#;'", "=?utf-8?Q?x?=", "x" * 200), ids=("quotes", "blanks",
                         "words", "signs", "encoded", "long"))
def test_passwords(station, new_sink, certificates, monkeypatch, mechanism, password):
    monkeypatch.setattr(letters, "PASSWORD", password)
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), implicit_tls=True, login=True, mechanisms=mechanism.upper())
    outgoing(station, sink, "ssl", password=password)
    assert station.wait_message(station.send("a", TO))["state"] == "sent"
