# SPDX-License-Identifier: MIT
"""The channel under attack: what the two ends speak before there is trust. The hostile server's log proves in each
case that no credential, address or message was said to it."""

import random
import re
import socket
import ssl
import subprocess
import warnings

import pytest

import channels
import fake as fake_module
import letters
import old_tls
import pki


def met(station, server, transport, security, **more):
    """The account's sheet after it met that server."""
    station.add(channels.kind_of(transport), "a", **channels.properties(
        transport, security, "127.0.0.1", server.port, "canary-user", **{"connectionTimeout": 3, **more}))
    if transport == "smtp":
        station.send("a", "canary-box@example.test", letters.letter("canary-box", body="canary-text\n"))
    return station.wait_status("a", "fault", "down", "challenge")


def silent(server):
    """Nothing of worth was said, neither before nor under TLS."""
    assert fake_module.leaks(bytes(server.clear + server.encrypted)) == []


def context(certificates, folder, first, last, ciphers="ALL:@SECLEVEL=0"):
    made = pki.server_context(certificates.leaf("system", "127.0.0.1"), folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.set_ciphers(ciphers)
        made.minimum_version, made.maximum_version = first, last
    return made


# ---- versions and suites

OLD = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1}


@pytest.mark.parametrize("version", sorted(OLD))
@pytest.mark.parametrize("transport, security", channels.SIX)
def test_old_tls_is_refused_unless_the_floor_is_lowered(station, new_fake, certificates, folder, transport, security, version):
    server = new_fake(transport, "good", certificates.leaf("system", "127.0.0.1"), implicit_tls=security == "ssl")
    server.tls = context(certificates, folder, OLD[version], OLD[version])
    sheet = met(station, server, transport, security)
    assert (sheet["status"], sheet["cause"]["code"]) == ("fault", "TlsVersion"), sheet
    assert "TLS 1.2 and 1.3" in sheet["cause"]["text"]
    silent(server)
    station.ctl("account", "set", "a", f"minTlsVersion={version}")
    steps = {step["step"]: step for step in station.ctl("--json", "account", "test", "a", code=None).json}
    assert steps["tls"]["details"]["version"] == {"1.0": "TLSv1", "1.1": "TLSv1.1"}[version], steps
    assert steps["certificate"]["details"]["verifiedBy"] == "system"


@pytest.mark.parametrize("suites", ("aNULL", "eNULL:!aNULL", "EXPORT:LOW:RC4:3DES"))
@pytest.mark.parametrize("floor", ("1.2", "1.0"))
def test_suites_that_protect_nothing(station, new_fake, certificates, folder, suites, floor):
    server = new_fake("imap", "good", certificates.leaf("system", "127.0.0.1"), implicit_tls=True)
    try:
        server.tls = context(certificates, folder, OLD["1.0"], ssl.TLSVersion.TLSv1_2, suites + ":@SECLEVEL=0")
    except ssl.SSLError:
        pytest.skip("this OpenSSL does not even have them")
    sheet = met(station, server, "imap", "ssl", minTlsVersion=floor)
    assert (sheet["status"], sheet["cause"]["code"]) == ("fault", "TlsVersion"), sheet
    silent(server)


@pytest.mark.skipif(not old_tls.library(), reason="there is no GnuTLS to make such a server of")
def test_server_without_secure_renegotiation(station, certificates, folder):
    """Let in where the account says so, with a warning."""
    server = old_tls.OldServer(certificates.leaf("system", "127.0.0.1"), folder)
    try:
        properties = channels.properties("smtp", "ssl", "127.0.0.1", server.port, "", connectionTimeout=3)
        station.add("outgoing", "a", **properties)
        steps = {step["step"]: step for step in station.ctl("--json", "account", "test", "a", code=None).json}
        assert "RFC 5746" in str(steps["tls"]), steps
        assert "allowLegacyRenegotiation=true" in str(steps["tls"])
        assert server.heard == b""
        station.ctl("account", "set", "a", "allowLegacyRenegotiation=true")
        steps = {step["step"]: step for step in station.ctl("--json", "account", "test", "a").json}
        assert steps["tls"]["details"]["version"] == "TLSv1.2"
        assert steps["certificate"]["details"]["verifiedBy"] == "system"
        assert "allowLegacyRenegotiation" in str(station.json("account", "show", "a")["warnings"])
        assert "renegotiation" in station.ctl("audit", code=None).said
    finally:
        server.stop()


def test_renegotiation_is_refused(station, new_fake, certificates, folder):
    """The server asks for a new handshake where the client waits for the greeting."""
    path = certificates.leaf("system", "127.0.0.1").write(f"{folder}/r.pem")
    started = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", path, "-key", path, "-tls1_2"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        port = None
        while not port:
            found = re.match(rb"ACCEPT 127\.0\.0\.1:(\d+)", started.stdout.readline())
            port = found and int(found[1])
        station.add("incoming", "a", **channels.properties("imap", "ssl", "127.0.0.1", port, "canary-user",
                                                           connectionTimeout=3))
        said = b""
        while b"CIPHER is" not in said:
            said += started.stdout.readline()
        started.stdin.write(b"r\n")
        started.stdin.flush()
        sheet = station.wait_status("a", "down", "fault")
        assert sheet["cause"]["code"] in ("Timeout", "TlsHandshake", "ConnectionLost"), sheet
    finally:
        started.kill()
        said += started.communicate()[0]
    assert fake_module.leaks(said) == [] and b"canary" not in said
    assert said.count(b"CIPHER is") == 1, "there was a second handshake"


@pytest.mark.parametrize("key", (False, True), ids=("no-key", "key"))
def test_authentication_after_the_handshake_is_not_offered(station, certificates, folder, key):
    """S17: TLS 1.3 would let a server ask for a certificate in the middle of the session."""
    made = context(certificates, folder, ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
    made.load_verify_locations(cadata=certificates.system.pem.decode())
    made.verify_mode, made.post_handshake_auth = ssl.CERT_OPTIONAL, True
    more = {}
    if key:
        client = pki.leaf(certificates.system, ["client.example"], purpose=pki.ExtendedKeyUsageOID.CLIENT_AUTH)
        station.ctl("trust", "key", "import", "plant", "-", stdin=client.key_pem + client.pem)
        more["clientCertificate"] = "plant"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        station.add("incoming", "a", **channels.properties("imap", "ssl", "127.0.0.1", listener.getsockname()[1],
                                                           "canary-user", **more))
        accepted, _ = listener.accept()
        with made.wrap_socket(accepted, server_side=True) as server:
            with pytest.raises(ssl.SSLError, match="extension not received"):
                server.verify_client_post_handshake()


# ---- bytes beyond the go-ahead, in one piece or many

def pieces(text, seed):
    """The text cut at random places, at every place at last."""
    cut = random.Random(seed)
    places = sorted(cut.sample(range(1, len(text)), min(len(text) - 1, cut.randrange(1, 9))))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)])]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_injection_split_in_every_way(station, new_fake, certificates, monkeypatch, transport, seed):
    """Complete lines or a fragment, before the handshake, in segments of any size."""
    extra = (fake_module.INJECTED[transport], "x", "\r\n", fake_module.INJECTED[transport][:-1],
             fake_module.PREMATURE[transport], "\x00")[seed]
    say = fake_module._Talk._say

    def split(talk, what):
        if what is fake_module.GO_AHEAD and talk.peer is talk.raw:
            for piece in pieces(what[transport].format(tag=talk.tag) + extra, seed):
                talk.raw.sendall(piece.encode())
        else:
            say(talk, what)

    monkeypatch.setattr(fake_module._Talk, "_say", split)
    server = new_fake(transport, "good", certificates.leaf("system", "127.0.0.1"))
    sheet = met(station, server, transport, "starttls")
    server.wait_session()
    assert sheet["status"] == "fault" and sheet["cause"]["code"] in ("Injection", "TlsHandshake", "TlsMismatch"), sheet
    silent(server)


# ---- what was learned in clear is forgotten

@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_capabilities_from_before_tls_are_forgotten(station, new_fake, certificates, monkeypatch, transport):
    """A mechanism that was offered in clear only is not used."""
    monkeypatch.setitem(fake_module.CAPABILITIES, transport, {
        "smtp": "250-fake.example\r\n{tls}250 AUTH {mechanisms}\r\n",
        "imap": "* CAPABILITY IMAP4rev1 {caps} {imap_mechanisms}\r\n{tag} OK done\r\n",
        "pop3": "+OK\r\nUIDL\r\nSASL {mechanisms}\r\n{tls}.\r\n"}[transport])
    say = fake_module._Talk._say

    def only_in_clear(talk, what):
        if what is not fake_module.CAPABILITIES:
            say(talk, what)
            return
        clear = talk.peer is talk.raw
        text = what[transport].replace("{mechanisms}", "PLAIN" if clear else "GSSAPI") \
            .replace("{imap_mechanisms}", "AUTH=PLAIN" if clear else "AUTH=GSSAPI LOGINDISABLED")
        if not clear:
            text = text.replace("{caps}", "")
        say(talk, text)

    monkeypatch.setattr(fake_module._Talk, "_say", only_in_clear)
    server = new_fake(transport, "good", certificates.leaf("system", "127.0.0.1"))
    sheet = met(station, server, transport, "starttls")
    assert (sheet["status"], sheet["cause"]["code"]) == ("fault", "NoMechanism"), sheet
    silent(server)


# ---- the end of TCP in the middle of a TLS session

@pytest.mark.parametrize("cut", (0, 1, 7, 13, 36))
@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_truncation_is_never_an_end(station, new_fake, certificates, monkeypatch, transport, cut):
    """The greeting and all else come to a sudden end after `cut` bytes, without close_notify."""
    greeting = fake_module.GREETING[transport].format(caps="IDLE")

    def stop(talk):
        talk.peer.sendall(greeting[:cut].encode())
        if cut >= len(greeting) and transport != "imap":
            talk._line()
            answer = fake_module.CAPABILITIES[transport].format(caps="", tls="", tag=talk.tag)
            talk.peer.sendall(answer[:cut - len(greeting)].encode())
        fake_module.socket.socket(fileno=talk.peer.detach()).close()
        raise fake_module._End

    monkeypatch.setattr(fake_module._Talk, "_greet", stop)
    server = new_fake(transport, "good", certificates.leaf("system", "127.0.0.1"), implicit_tls=True)
    sheet = met(station, server, transport, "ssl")
    assert (sheet["status"], sheet["cause"]["code"]) == ("down", "ConnectionLost"), sheet
    silent(server)
