# SPDX-License-Identifier: MIT
"""SMTP, IMAP and POP3, each by useSsl, useStartTls and neither, against Postfix and Dovecot, with every kind of
certificate: what verifies passes, what a person may accept is a challenge and passes when accepted, the rest is a
fault; and nothing is said to a server that was not judged good."""

import os

import pytest

import channels
import fake
import letters
import pki
from waiting import until

HEALABLE = ("self-signed", "user", "wrong-name", "expired", "not-yet-valid", "missing-intermediate", "cn-only",
            "two-defects")
PROBLEMS = {"self-signed": {"selfSigned"}, "user": {"unknownIssuer"}, "wrong-name": {"wrongName"},
            "expired": {"expired"}, "not-yet-valid": {"notYetValid"}, "missing-intermediate": {"unknownIssuer"},
            "cn-only": {"wrongName"}, "two-defects": {"selfSigned", "wrongName", "expired"}}


class Channel:
    """One account of one combination at the real servers, and a letter that goes through it."""

    def __init__(self, station, transport, security, kind, box, post, dovecot, host=None):
        self.station, self.transport, self.box, self.dovecot = station, transport, box, dovecot
        server = post if transport == "smtp" else dovecot
        self.host, self.port = host or server.host(kind), server.port(transport, security, kind)
        self.message_id = letters.new_message_id()
        message = letters.letter(box, message_id=self.message_id)
        if transport != "smtp":
            dovecot.deliver(box, message)
        station.add(channels.kind_of(transport), "a",
                    **channels.properties(transport, security, self.host, self.port, box))
        if transport == "smtp":
            self.queued = station.send("a", letters.address(box), message)

    def arrived(self):
        """Waits until the letter is at the other end."""
        if self.transport == "smtp":
            assert self.station.wait_message(self.queued)["state"] == "sent"
            place = os.path.join(self.dovecot.folder, "mail", self.box)
        else:
            self.station.wait_event("mail.received", account="a")
            place = os.path.join(self.station.state, "mail", "a")
        until(lambda: letters.message_ids(letters.maildir(place)) == [self.message_id],
              say=lambda: f"in {place}: {letters.maildir(place)}")
        return self.station.wait_status("a", "ok")


@pytest.fixture
def channel(station, box, post, dovecot):
    def make(transport, security, kind, host=None):
        return Channel(station, transport, security, kind, box, post, dovecot, host)
    return make


@pytest.mark.parametrize("transport, security", channels.NINE)
def test_signed_by_the_system_root(channel, transport, security):
    sheet = channel(transport, security, "system").arrived()
    if security == "plain":
        assert not sheet.get("tls")
    else:
        assert sheet["tls"]["verifiedBy"] == "system"
        assert sheet["tls"]["version"] in ("TLSv1.3", "1.3")
        assert sheet["tls"]["cipher"]


@pytest.mark.parametrize("transport, security", channels.SIX)
def test_name_by_resolver_and_intermediate(channel, transport, security):
    """localhost has more than one address; the server's certificate names it."""
    sheet = channel(transport, security, "system", "localhost").arrived()
    assert sheet["tls"]["verifiedBy"] == "system"


@pytest.mark.parametrize("transport, security", channels.SIX)
def test_chain_with_an_intermediate(channel, certificates, transport, security):
    sheet = channel(transport, security, "intermediate").arrived()
    assert sheet["tls"]["verifiedBy"] == "system"
    assert sheet["tls"]["fingerprintSha256"].replace(":", "").lower() == \
        certificates.leaf("intermediate").fingerprint


@pytest.mark.parametrize("transport, security", channels.SIX)
def test_signed_by_an_imported_root(station, channel, certificates, transport, security):
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)
    sheet = channel(transport, security, "user").arrived()
    assert sheet["tls"]["verifiedBy"] == "user"
    assert station.json("challenge", "list") == []


@pytest.mark.parametrize("kind", HEALABLE)
@pytest.mark.parametrize("transport, security", channels.SIX)
def test_challenge_accept_pass(station, channel, certificates, transport, security, kind):
    one = channel(transport, security, kind)
    station.wait_status("a", "challenge")
    challenge, = station.json("challenge", "list")
    leaf = certificates.leaf(kind)
    assert (challenge["host"], challenge["port"]) == (one.host, one.port)
    assert challenge["state"] == "pending" and challenge["class"] == "new"
    assert challenge["accounts"] == ["a"]
    assert {error["code"] for error in challenge["errors"]} == PROBLEMS[kind]
    assert challenge["certificate"]["fingerprintSha256"].replace(":", "").lower() == leaf.fingerprint
    assert challenge["certificate"]["publicKeySha256"].replace(":", "").lower() == leaf.key_fingerprint

    # not without the fingerprint, nor with another
    station.ctl("challenge", "accept", challenge["id"], code=None)
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint", "00" * 32, code=1)
    assert len(station.json("challenge", "list")) == 1

    station.ctl("challenge", "accept", challenge["id"], "--fingerprint", leaf.fingerprint)
    sheet = one.arrived()
    assert sheet["tls"]["verifiedBy"] == "allowedHost"
    assert station.json("challenge", "list") == []


@pytest.mark.parametrize("transport, security", channels.SIX)
def test_wrong_purpose_is_a_fault(station, channel, transport, security):
    channel(transport, security, "client-only")
    sheet = station.wait_status("a", "fault")
    assert cause_code(sheet) == "Certificate"
    assert station.json("challenge", "list") == []


def cause_code(sheet):
    return sheet["cause"]["code"]


# ---- servers that mean harm

FAULTS = {"stripped": {"StartTlsMissing"}, "refused": {"StartTlsRefused"}, "close-starttls": {"StartTlsRefused"},
          "injected": {"Injection"},
          "premature": {"Injection", "ProtocolViolation"}, "go-ahead-garbage": {"TlsHandshake", "TlsMismatch"},
          "garbage": {"ProtocolViolation"}, "endless-line": {"ProtocolViolation"},
          "endless-lines": {"ProtocolViolation"}}
# Either the bytes are there when the go-ahead is read, or they come where the handshake should.
FAULTS["injected-later"] = {"Injection", "TlsHandshake", "TlsMismatch"}
DOWNS = {"busy": {"ServerBusy", "AuthenticationUnavailable"}, "hang": {"Timeout"}, "silent": {"Timeout"}, "close-greeting": {"ConnectionLost"},
         "close-connect": {"ConnectionLost"}, "close-ask": {"ConnectionLost"},
         "close-go-ahead": {"ConnectionLost", "TlsHandshake"},
         "reset-greeting": {"ConnectionLost", "Connect"}, "reset-starttls": {"ConnectionLost"}, "truncated": {"ConnectionLost"}}


def harmed(station, server, transport, security, **more):
    """The account's sheet after it met that server."""
    station.add(channels.kind_of(transport), "a", **channels.properties(
        transport, security, server.host, server.port, "canary-user", **{"connectionTimeout": 30, **more}))
    if transport == "smtp":
        station.send("a", "canary-box@example.test", letters.letter("canary-box", body="canary-text\n"))
    return station.wait_status("a", "fault", "down", "challenge")


@pytest.mark.parametrize("mode", sorted(FAULTS))
@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_starttls_attacked(station, new_fake, certificates, transport, mode):
    server = new_fake(transport, mode, certificates.leaf("system"))
    sheet = harmed(station, server, transport, "starttls")
    server.wait_session()
    assert server.leaks() == []
    assert sheet["status"] == "fault", sheet
    assert cause_code(sheet) in FAULTS[mode]
    if transport == "smtp":
        message, = station.json("queue", "list")
        assert message["state"] in ("held", "queued", "deferred"), message


@pytest.mark.parametrize("mode", sorted(DOWNS))
@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_cut_off_is_down_and_says_nothing(station, new_fake, certificates, transport, mode):
    server = new_fake(transport, mode, certificates.leaf("system"))
    sheet = harmed(station, server, transport, "starttls", **({"connectionTimeout": 1} if "Timeout" in DOWNS[mode] else {}))
    server.wait_session()
    assert server.leaks() == []
    assert sheet["status"] == "down" or mode == "close-go-ahead", sheet
    assert cause_code(sheet) in DOWNS[mode]


def test_preauth_under_starttls(station, new_fake, certificates):
    server = new_fake("imap", "preauth", certificates.leaf("system"))
    sheet = harmed(station, server, "imap", "starttls")
    assert cause_code(sheet) == "Preauth"
    assert server.leaks() == []


@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_plain_text_on_a_tls_port(station, new_fake, transport):
    server = new_fake(transport, "hang")
    sheet = harmed(station, server, transport, "ssl")
    server.wait_session()
    assert sheet["status"] == "fault" and cause_code(sheet) == "TlsMismatch"
    assert server.leaks() == []


@pytest.mark.parametrize("security", ("starttls", "plain"))
@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_tls_on_a_plain_port(station, new_fake, certificates, transport, security):
    server = new_fake(transport, "good", certificates.leaf("system"), implicit_tls=True)
    sheet = harmed(station, server, transport, security, connectionTimeout=1)   # both wait for the other to begin
    assert cause_code(sheet) in ("TlsMismatch", "Timeout")
    assert f"emailsecctl account secure {sheet['name']} ssl" in sheet["cause"]["remedy"]
    assert server.leaks() == []


@pytest.mark.parametrize("kind", pki.UNSERVABLE)
@pytest.mark.parametrize("transport, security", channels.SIX)
def test_weak_certificates_are_faults(station, new_fake, certificates, transport, security, kind):
    server = new_fake(transport, "good", certificates.leaf(kind, "127.0.0.1"), implicit_tls=security == "ssl")
    sheet = harmed(station, server, transport, security)
    assert sheet["status"] == "fault" and cause_code(sheet) == "Certificate", sheet
    assert fake.leaks(bytes(server.clear + server.encrypted)) == []


@pytest.mark.parametrize("transport, security", channels.SIX)
def test_nothing_is_said_to_an_unjudged_server(station, new_fake, certificates, transport, security):
    """A challenge ends the session before any credential, inside TLS too."""
    server = new_fake(transport, "good", certificates.leaf("self-signed", "127.0.0.1"),
                      implicit_tls=security == "ssl")
    sheet = harmed(station, server, transport, security)
    server.wait_session()
    assert sheet["status"] == "challenge"
    assert server.encrypted == b""
    assert server.leaks() == []


@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_no_plaintext_login_outside_tls(station, new_fake, transport):
    """PLAIN and LOGIN are all it offers: without allowPlaintextAuthentication that is a fault."""
    server = new_fake(transport, "good")
    sheet = harmed(station, server, transport, "plain", allowPlaintextAuthentication=False)
    server.wait_session()
    assert sheet["status"] == "fault" and cause_code(sheet) in ("PlaintextLogin", "NoMechanism")
    assert server.leaks() == []
