# SPDX-License-Identifier: MIT
"""Servers that offer what they cannot do: the next way that is as safe, told once, remembered, and never many tries."""

import re

import pytest

import channels
import cyrus
import letters
import mailutils

BROKEN = "offers {} to sign in and refuses it"


def account(station, sink, password=letters.PASSWORD, **more):
    station.add("outgoing", "a", password=password, **channels.properties(
        "smtp", "ssl", "127.0.0.1", sink.port, "canary-user", debug=True, **more))


def tries(station):
    """The AUTH commands of all sessions, without what was said in them."""
    return re.findall(r"> (AUTH [A-Z0-9-]+)", station.log())


def draft_goes(station, sink, count):
    station.send("a", "box@example.test", letters.letter(f"letter-{count}"))
    sink.wait_for(count)


# What the server offers, its answer to the AUTH lines that begin so, and what is tried until the mail goes.
ODD = [
    ("CRAM-MD5 PLAIN", {b"AUTH CRAM": "535 5.7.8 authentication failed"}, ["AUTH CRAM-MD5", "AUTH PLAIN"], "CRAM-MD5"),
    ("CRAM-MD5 LOGIN", {b"AUTH CRAM": "504 5.7.4 unrecognized"}, ["AUTH CRAM-MD5", "AUTH LOGIN"], "CRAM-MD5"),
    ("SCRAM-SHA-256 PLAIN", {b"AUTH SCRAM": "535 5.7.8 no secret in database"}, ["AUTH SCRAM-SHA-256"] * 2 + ["AUTH PLAIN"],
     "SCRAM-SHA-256"),
    ("PLAIN LOGIN", {b"AUTH PLAIN ": "501 5.5.4 syntax error"}, ["AUTH PLAIN", "AUTH PLAIN"], None),
    ("PLAIN LOGIN", {b"AUTH PLAIN": "504 5.5.4 no"}, ["AUTH PLAIN", "AUTH PLAIN", "AUTH LOGIN"], "PLAIN"),
]


@pytest.mark.parametrize("offered, answers, tried, broken", ODD)
def test_a_second_way(station, new_sink, certificates, offered, answers, tried, broken):
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), implicit_tls=True, login=True, mechanisms=offered)
    for begin, answer in answers.items():
        sink.rule("auth", answer, match=begin)
    account(station, sink)
    draft_goes(station, sink, 1)
    assert tries(station) == tried
    assert station.account("a")["status"] == "ok"
    if broken:
        assert station.log().count(BROKEN.format(broken)) == 1
        # what is known to be broken there is not tried again, after a restart either, and not told again
        station.restart()
        draft_goes(station, sink, 2)
        assert tries(station)[len(tried):] in ([tried[-1]], [tried[-1]] * 2)
        assert station.log().count(BROKEN.format(broken)) == 1


@pytest.mark.parametrize("offered, tried", [
    ("CRAM-MD5 PLAIN LOGIN", ["AUTH CRAM-MD5", "AUTH PLAIN"]),
    ("PLAIN LOGIN", ["AUTH PLAIN"]),
])
def test_a_wrong_password_is_tried_seldom(station, new_sink, certificates, offered, tried):
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), implicit_tls=True, login=True, mechanisms=offered)
    account(station, sink, password="another word", maxConnections=1)
    station.send("a", "box@example.test", letters.letter("letter"))
    sheet = station.wait_status("a", "fault")
    assert sheet["cause"]["code"] == "AuthenticationRefused", sheet
    assert tries(station) == tried


def test_a_server_proven_by_scram_gets_no_password(station, new_sink, certificates):
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), implicit_tls=True, login=True,
                    mechanisms="SCRAM-SHA-256 CRAM-MD5 PLAIN")
    account(station, sink)
    draft_goes(station, sink, 1)
    assert tries(station) == ["AUTH SCRAM-SHA-256"]
    sink.rule("auth", "535 5.7.8 no", match=b"AUTH SCRAM")
    sink.rule("auth", "535 5.7.8 no", match=b"AUTH CRAM")
    station.restart()
    station.send("a", "box@example.test", letters.letter("letter-2"))
    station.wait_status("a", "fault", "down")
    assert "AUTH PLAIN" not in tries(station)


def test_a_mechanism_that_is_set_is_kept_to(station, new_sink, certificates):
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), implicit_tls=True, login=True, mechanisms="CRAM-MD5 PLAIN")
    sink.rule("auth", "535 5.7.8 no", match=b"AUTH CRAM")
    account(station, sink, authentication="cram-md5")
    station.send("a", "box@example.test", letters.letter("letter"))
    sheet = station.wait_status("a", "fault")
    assert tries(station) == ["AUTH CRAM-MD5"]
    assert "authentication=plain" in sheet["cause"]["remedy"], sheet


@pytest.fixture(scope="module")
def boastful(base, certificates):
    """Cyrus with all mechanisms of its library, and secrets for none of them but PLAIN and LOGIN."""
    server = cyrus.Cyrus(base, certificates, name="boastful",
                         mechanisms="SCRAM-SHA-256 SCRAM-SHA-1 DIGEST-MD5 CRAM-MD5 NTLM PLAIN LOGIN")
    yield server
    server.stop()


@pytest.mark.parametrize("transport", ("imap", "pop3"))
def test_cyrus_offers_more_than_it_can_do(station, boastful, box, transport):
    boastful.make(box)
    boastful.place(box, [letters.crlf(letters.letter(box))])
    station.add("incoming", "a", **channels.properties(
        transport, "ssl", boastful.host(), boastful.port(transport, "ssl"), boastful.user(box), debug=True))
    station.ctl("account", "poll", "a", timeout=60)
    assert len(station.inbox("a")) == 1
    assert station.account("a")["status"] == "ok"
    said = station.log()
    assert "offers SCRAM-SHA-256" in said and "signed in by PLAIN" in said, said


def test_mailutils_offers_more_than_it_can_do(station, certificates, folder):
    """It knows no password in a form that SCRAM could be done with, and no binding of TLS 1.3."""
    server = mailutils.Mailutils(folder, certificates.leaf("system", "127.0.0.1"))
    try:
        station.add("incoming", "a", **channels.properties("imap", "ssl", "127.0.0.1", server.port, server.user))
        station.ctl("account", "poll", "a", timeout=60)
        assert station.account("a")["status"] == "ok"
        said = station.log()
        assert re.search(r"offers .*SCRAM-SHA-256 .*refuses it; signed in by PLAIN", said), said
    finally:
        server.stop()
