# SPDX-License-Identifier: MIT
"""Signing in by OAuth 2.0: every grant, tokens at their end or withdrawn, refresh tokens that change, endpoints nobody
vouches for and endpoints that misbehave; nothing of it readable anywhere."""

import base64
import json
import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

import channels
import dovecot as dovecot_module
import letters
import pki
from token_server import DEVICE_CODE, JWT_BEARER, TokenServer
from waiting import until


@pytest.fixture
def tokens(certificates, folder, box):
    made = []

    def make(kind="system", **options):
        made.append(TokenServer(folder, certificates.leaf(kind, "127.0.0.1"), box, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def sender(station, new_sink, certificates):
    """An outgoing account `a` at a strict server that takes the tokens of that endpoint."""
    def make(tokens, grant, mechanism="xoauth2", **more):
        sink = new_sink(certificates.leaf("system", "127.0.0.1"), True, True, mechanisms=mechanism.upper())
        sink.tokens = tokens
        station.add("outgoing", "a", None, **channels.properties(
            "smtp", "ssl", "127.0.0.1", sink.port, "user",
            **{**tokens.properties(grant), "authentication": mechanism, **more}))
        return sink
    return make


def store(station, kind, value):
    station.ctl("account", "password", "a", "--secret", kind, stdin=value + "\n")


def send_through(station):
    queued = station.send("a", letters.address("box"))
    assert station.wait_message(queued)["state"] == "sent"
    return queued


# ---- grants

@pytest.mark.parametrize("mechanism", ("xoauth2", "oauthbearer"))
def test_refresh_token(station, tokens, sender, mechanism):
    server = tokens(client_secret="a secret & more=")
    sender(server, "refreshToken", mechanism)
    store(station, "oauthClientSecret", server.client_secret)
    store(station, "oauthRefreshToken", "first-refresh-token")
    send_through(station)
    send_through(station)
    assert server.grants() == ["refresh_token"], "one token does for both"
    assert station.account("a")["status"] == "ok"


def test_client_credentials(station, tokens, sender):
    server = tokens(client_secret="hush")
    sender(server, "clientCredentials", oauthScope="mail.send mail.more")
    store(station, "oauthClientSecret", "hush")
    send_through(station)
    assert server.requests[0]["scope"] == "mail.send mail.more"


@pytest.mark.parametrize("curve", (False, True), ids=("rsa", "p256"))
def test_assertion(station, tokens, sender, certificates, folder, curve):
    server = tokens()
    key = pki.leaf(certificates.system, ["client.example"]) if not curve else None
    if curve:
        pair = ec.generate_private_key(ec.SECP256R1())
        key = pki.leaf(certificates.system, ["client.example"], key=pair)
    path = key.write(os.path.join(folder, "client.pem"))
    station.ctl("trust", "key", "import", "signer", path)
    public = x509.load_pem_x509_certificate(key.pem.encode() if isinstance(key.pem, str) else key.pem).public_key()

    def good(assertion):
        head, claims, signature = assertion.split(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        said = f"{head}.{claims}".encode()
        if isinstance(public, ec.EllipticCurvePublicKey):
            der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
            public.verify(der, said, ec.ECDSA(hashes.SHA256()))
        else:
            public.verify(raw, said, padding.PKCS1v15(), hashes.SHA256())
        found = json.loads(base64.urlsafe_b64decode(claims + "=="))
        assert found["iss"] == "station" and found["sub"] == "user" and found["exp"] > found["iat"]
        return found["aud"] == f"https://127.0.0.1:{server.port}/token"

    server.key = good
    sender(server, "jwtBearer", clientCertificate="signer")
    send_through(station)
    assert server.grants() == [JWT_BEARER]


@pytest.mark.parametrize("slow_down", (False, pytest.param(True, marks=pytest.mark.slow)))
def test_device(station, tokens, sender, slow_down):
    """A person is shown what to do, agrees in a browser, and the mail that waited goes."""
    server = tokens()
    sender(server, "device")
    queued = station.send("a", letters.address("box"))
    cause = station.wait_status("a", "fault")["cause"]
    assert cause["code"] == "Secret" and cause["remedy"] == "emailsecctl account authorize a"
    with station.client() as client:
        steps = client.stream("AuthorizeAccount", name="a")
        first = next(steps)["step"]
        assert first["result"] == "ok" and "WXYZ-1234" in first["text"]
        assert first["details"]["verificationUri"] == "https://login.example/device"
        until(lambda: DEVICE_CODE in server.grants())
        if slow_down:
            server.answers.append((400, {}, {"error": "slow_down"}))
        server.agreed.set()
        assert next(steps)["step"]["result"] == "ok"
    assert station.wait_message(queued)["state"] == "sent"
    assert server.grants()[-1] == "refresh_token"


def test_device_by_the_tool(station, tokens, sender):
    server = tokens()
    sender(server, "device")
    server.agreed.set()
    told = station.ctl("account", "authorize", "a")
    assert "WXYZ-1234" in told.out and "its refresh token is stored" in told.out
    server.answers += [(200, {}, {"device_code": "d", "user_code": "u", "verification_uri": "v", "interval": 1}),
                       (400, {}, {"error": "access_denied"})]
    told = station.ctl("account", "authorize", "a", code=1)
    assert "somebody said no" in told.out
    send_through(station)       # what was agreed to before still holds


def test_authorize_wants_the_device_grant(station, tokens, sender):
    sender(tokens(), "refreshToken")
    assert "oauthGrant device" in station.ctl("account", "authorize", "a", code=1).err
    assert "no account" in station.ctl("account", "authorize", "b", code=1).err


@pytest.mark.parametrize("transport", ("imap", "pop3"))
@pytest.mark.parametrize("mechanism", ("xoauth2", "oauthbearer"))
def test_a_real_server(station, tokens, certificates, folder, box, transport, mechanism):
    """Dovecot asks the provider whether the token is good."""
    server = tokens()
    args = os.path.join(folder, "oauth2.conf.ext")
    with open(args, "w") as out:
        out.write(f"introspection_url = http://127.0.0.1:{server.introspection_port}/\nintrospection_mode = post\n"
                  "username_attribute = username\nactive_attribute = active\nactive_value = true\n")
    os.chmod(args, 0o644)
    settings = f"passdb {{\n driver = oauth2\n mechanisms = xoauth2 oauthbearer\n args = {args}\n}}\n"
    imap = dovecot_module.Dovecot(folder, certificates, "plain xoauth2 oauthbearer", ["system"], settings=settings)
    try:
        imap.deliver(box, letters.letter(box))
        station.add("incoming", "a", None, **channels.properties(
            transport, "ssl", pki.ADDRESSES["system"], imap.ports[transport, "ssl"], box,
            **{**server.properties("refreshToken"), "authentication": mechanism}))
        store(station, "oauthRefreshToken", "first-refresh-token")
        station.wait_event("mail.received", account="a")
        server.withdraw()
        imap.deliver(box, letters.letter(box))
        station.ctl("account", "disable", "a")
        station.ctl("account", "enable", "a")
        until(lambda: len(station.inbox("a")) == 2)
    finally:
        imap.stop()


# ---- the life of a token

def test_one_that_was_withdrawn_is_replaced(station, tokens, sender):
    server = tokens()
    sink = sender(server, "refreshToken")
    store(station, "oauthRefreshToken", "first-refresh-token")
    send_through(station)
    server.withdraw()
    sink.cut_all()
    send_through(station)
    assert server.grants() == ["refresh_token"] * 2


def test_a_fresh_one_that_is_refused_is_a_fault(station, tokens, sender):
    server = tokens()
    sink = sender(server, "refreshToken")
    sink.tokens = tokens()      # takes those of another provider
    store(station, "oauthRefreshToken", "first-refresh-token")
    station.send("a", letters.address("box"))
    assert station.wait_status("a", "fault")["cause"]["code"] == "AuthenticationRefused"
    assert len(server.grants()) == 1, "a second would fare no better"


def test_one_at_its_end_is_replaced_before(station, tokens, sender):
    server = tokens(life=1)
    sink = sender(server, "refreshToken")
    store(station, "oauthRefreshToken", "first-refresh-token")
    send_through(station)

    def again():
        sink.cut_all()
        send_through(station)
        return len(server.grants()) > 1
    until(again)


def test_a_new_refresh_token_is_safe_before_it_is_used(station, tokens, sender):
    """The provider voids the old one with each answer; the daemon is killed and started again and again."""
    server = tokens(rotate=True)
    sender(server, "refreshToken")
    store(station, "oauthRefreshToken", "first-refresh-token")
    for turn in range(3):
        queued = send_through(station)
        station.kill()
        station.start()
        assert station.message(queued)["state"] == "sent"
    assert len(server.grants()) == 3
    assert len({form["refresh_token"] for form in server.requests}) == 3


def test_sessions_share_the_question(station, tokens, sender):
    server = tokens()
    sender(server, "refreshToken", maxConnections=4)
    server.gate.clear()
    store(station, "oauthRefreshToken", "first-refresh-token")
    ids = [station.send("a", letters.address("box")) for _ in range(8)]
    assert server.asked.wait(60)
    station.ctl("account", "poll", "a", "--no-wait")
    server.gate.set()
    assert {station.wait_message(one)["state"] for one in ids} == {"sent"}
    assert len(server.grants()) == 1


def test_an_account_that_changes_while_it_waits(station, tokens, sender):
    server = tokens()
    sender(server, "refreshToken")
    server.gate.clear()
    store(station, "oauthRefreshToken", "first-refresh-token")
    queued = station.send("a", letters.address("box"))
    assert server.asked.wait(60)
    station.ctl("account", "set", "a", "replyTo=other@example.test")
    server.gate.set()
    assert station.wait_message(queued)["state"] == "sent"
    server.gate.clear()
    server.asked.clear()
    station.ctl("account", "set", "a", "replyTo=")
    station.send("a", letters.address("box"))
    assert server.asked.wait(60)
    station.ctl("account", "delete", "a", "--force")
    server.gate.set()
    assert station.json("account", "list") == []


# ---- refusals

REFUSALS = {
    "invalid_grant": (400, "fault", "AuthenticationRefused", "account password a --secret oauthRefreshToken"),
    "invalid_client": (401, "fault", "AuthenticationRefused", "oauthClientSecret"),
    "invalid_scope": (400, "fault", "AuthenticationRefused", "oauthScope"),
    "temporarily_unavailable": (503, "down", "AuthenticationUnavailable", "by itself"),
    "something_else": (400, "fault", "AuthenticationRefused", "endpoints"),
}


@pytest.mark.parametrize("error", REFUSALS)
def test_refusals(station, tokens, sender, error):
    status, state, code, remedy = REFUSALS[error]
    server = tokens()
    sender(server, "refreshToken")
    server.answers.append((status, {}, {"error": error, "error_description": "not first-refresh-token"}))
    store(station, "oauthRefreshToken", "first-refresh-token")
    queued = station.send("a", letters.address("box"))
    cause = station.wait_status("a", state)["cause"]
    assert cause["code"] == code and remedy in cause["remedy"] and error in cause["text"]
    assert "first-refresh-token" not in json.dumps(cause)
    station.ctl("account", "poll", "a")
    assert station.wait_message(queued)["state"] == "sent", "the refresh token is still there"


HOSTILE = {
    "redirect": ((302, {"Location": "https://elsewhere.example/"}, b""), "fault", "elsewhere.example"),
    "no http": ((0, {}, b"220 mail.example ESMTP\r\n"), "fault", "does not speak HTTP"),
    "no json": ((200, {}, b"<html>"), "fault", "no JSON"),
    "a token with a line end": ((200, {}, {"access_token": "a\r\nb"}), "fault", "no token has"),
    "no token": ((200, {}, {"token_type": "Bearer"}), "fault", "no access token"),
    "cut": ((0, {}, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access"), "down", "cut off"),
    "endless header": ((0, {}, b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000), "fault", "has no end"),
    "long": ((0, {}, b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 200000), "fault", "longer than"),
    "odd length": ((0, {}, b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), "fault", "no sense"),
    "compressed": ((200, {"Content-Encoding": "gzip"}, b"xxxx"), "fault", "not asked for"),
    "busy": ((429, {"Retry-After": "7"}, b"slow down"), "down", "429"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_an_endpoint_that_misbehaves(station, tokens, sender, case):
    answer, state, words = HOSTILE[case]
    server = tokens()
    sender(server, "refreshToken")
    server.answers.append(answer)
    store(station, "oauthRefreshToken", "first-refresh-token")
    queued = station.send("a", letters.address("box"))
    sheet = station.wait_status("a", state)
    assert words in sheet["cause"]["text"], sheet["cause"]
    station.ctl("account", "poll", "a")
    assert station.wait_message(queued)["state"] == "sent"


def test_chunks_and_an_interim_answer(station, tokens, sender):
    server = tokens()
    sender(server, "refreshToken")
    server.good.add("chunked-token")
    server.answers.append((0, {}, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n9;x=y\r\n{\"access_\r\n1B\r\ntoken\": \"chunked-token\", \"e\r\n"
                           b"11\r\nxpires_in\": \"60\"}\r\n0\r\nTrailer: x\r\n\r\n"))
    store(station, "oauthRefreshToken", "first-refresh-token")
    send_through(station)
    assert len(server.requests) == 1


def test_an_endpoint_nobody_vouches_for_is_a_challenge(station, tokens, sender):
    """The account is held as by its mail server's own certificate, and no secret was told."""
    server = tokens("self-signed")
    sender(server, "refreshToken")
    store(station, "oauthRefreshToken", "first-refresh-token")
    queued = station.send("a", letters.address("box"))
    station.wait_status("a", "challenge")
    challenge, = station.json("challenge", "list")
    assert challenge["port"] == server.port and challenge["accounts"] == ["a"]
    assert server.requests == []
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint", challenge["certificate"]["fingerprintSha256"])
    assert station.wait_message(queued)["state"] == "sent"


def test_each_step_is_tested(station, tokens, sender):
    server = tokens()
    sender(server, "refreshToken")
    failed = station.ctl("account", "test", "a", code=1)
    assert "--secret oauthRefreshToken" in failed.out
    store(station, "oauthRefreshToken", "first-refresh-token")
    steps = {step["step"]: step["result"] for step in station.json("account", "test", "a")}
    assert steps["token"] == "ok" and steps["login"] == "ok"
    assert list(steps)[0] == "token"


def test_no_token_is_told(station, tokens, sender, folder):
    """Not in the journal with every trace on, not in status, sheets, events or exports."""
    server = tokens(client_secret="canary-secret", rotate=True)
    sender(server, "refreshToken", debug=True)
    store(station, "oauthClientSecret", "canary-secret")
    server.refresh.add("canary-refresh")
    store(station, "oauthRefreshToken", "canary-refresh")
    send_through(station)
    told = station.log() + json.dumps(station.json("status")) + json.dumps(station.json("account", "show", "a")) + \
        json.dumps(station.json("account", "export")) + json.dumps(station.json("account", "test", "a"))
    secrets = ["canary-secret", "canary-refresh", *server.refresh, *server.good]
    for secret in secrets:
        coded = base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]
        assert secret not in told and coded not in told
    assert "POST /token HTTP/1.1" in told, "the trace was on"


def test_audit(station, tokens, sender):
    """What lies in the state folder is named, with what can be done where something can."""
    sender(tokens(client_secret="hush"), "refreshToken")
    store(station, "oauthClientSecret", "hush")
    store(station, "oauthRefreshToken", "first-refresh-token")
    findings = [one for one in station.json("audit", code=None) if one["check"] in ("login", "secret")]
    assert [one["verdict"] for one in findings] == ["warning", "warning", "ok"]     # the worst first
    assert "OAuth" in findings[2]["text"] and "--secret oauthClientSecret --credential" in findings[0]["remedy"]
    assert "refresh token" in findings[1]["text"] and not findings[1]["remedy"]
