# SPDX-License-Identifier: MIT
"""Devices: who submits from the network signs in inside TLS, or comes from an address that is let in; nobody else sends."""

import base64
import contextlib
import json
import os
import re
import shutil
import smtplib
import socket
import ssl
import stat
import subprocess
import time

import pytest

import netns
import pki
import station as station_module
import users
from doors import Doors, Talk
from test_submission import MESSAGE, outgoing
from waiting import until

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def root():
    return pki.authority("Plant root")


def write(path, content):
    with open(path, "wb") as out:
        out.write(content)
    return path


@pytest.fixture
def tls_station(new_station, sink, root, folder):
    """A station that shows a certificate for TLS, with doors of both kinds."""
    station = new_station({"Submission.Certificate": "front"})
    doors = Doors(station, "smtp", "smtps")
    station.start()
    outgoing(station, sink)
    pem = write(os.path.join(folder, "front.pem"), (leaf := pki.leaf(root, ["127.0.0.1"])).key_pem + leaf.chain_pem)
    station.ctl("trust", "key", "import", "front", pem)
    return station, doors


def context(root):
    made = ssl.create_default_context(cadata=root.pem.decode())
    return made


def add_device(station, name="press", *options, password=PASSWORD):
    assert f"emailsecctl device password {name}" in station.ctl("device", "add", name, *options).out
    station.ctl("device", "password", name, stdin=password + "\n")


def sent(station):
    """The one message that was sent, once that is on disk."""
    return until(lambda: station.call("ListQueue", states=["sent"])["messages"])[0]


def smtp(doors, root, door="smtp"):
    if door == "smtps":
        return smtplib.SMTP_SSL("127.0.0.1", doors.ports["smtps"], "client.example", context=context(root), timeout=20)
    client = smtplib.SMTP("127.0.0.1", doors.port, "client.example", timeout=20)
    client.starttls(context=context(root))
    return client


@pytest.mark.parametrize("door", ("smtp", "smtps"))
@pytest.mark.parametrize("mechanism", ("PLAIN", "LOGIN"))
def test_signs_in(tls_station, root, sink, door, mechanism):
    station, doors = tls_station
    add_device(station)
    with smtp(doors, root, door) as client:
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["SCRAM-SHA-256", "PLAIN", "LOGIN"]
        assert "starttls" not in client.esmtp_features
        client.esmtp_features["auth"] = mechanism
        client.login("press", PASSWORD)
        client.sendmail("press@example.test", ["box@example.test"], "Subject: x\n\nx\n")
    sink.wait_for(1)
    assert b"with ESMTPSA;" in sink.accepted[0].content
    assert sent(station)["submittedBy"] == "device press"
    device, = station.call("ListDevices")["devices"]
    assert device["name"] == "press" and device["password"] is True and device["signedIn"]


def scram(talk, user, password):
    """The client's side, by hand; the codes."""
    import hashlib
    import hmac

    def mac(key, text):
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    bare = f"n={user},r=abcdef"
    code, text = talk.say("AUTH SCRAM-SHA-256 " + base64.b64encode(("n,," + bare).encode()).decode())
    if code != 334:
        return [code]
    challenge = base64.b64decode(text).decode()
    parts = dict(part.split("=", 1) for part in challenge.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
    final = f"c=biws,r={parts['r']}"
    signed = f"{bare},{challenge},{final}"
    key = mac(salted, "Client Key")
    proof = bytes(a ^ b for a, b in zip(key, mac(hashlib.sha256(key).digest(), signed)))
    code, text = talk.say(base64.b64encode(f"{final},p={base64.b64encode(proof).decode()}".encode()).decode())
    if code != 334:
        return [334, code]
    assert base64.b64decode(text).decode() == "v=" + base64.b64encode(mac(mac(salted, "Server Key"), signed)).decode()
    return [334, 334, talk.say("")[0]]


def secure_talk(doors, root):
    raw = socket.create_connection(("127.0.0.1", doors.ports["smtps"]), timeout=20)
    talk = Talk(context(root).wrap_socket(raw, server_hostname="127.0.0.1"))
    assert talk.code("EHLO x") == 250
    return talk


def test_scram(tls_station, root):
    station, doors = tls_station
    add_device(station)
    with secure_talk(doors, root) as talk:
        assert scram(talk, "press", PASSWORD) == [334, 334, 235]
        assert talk.envelope() == [250] * 3
    with secure_talk(doors, root) as talk:
        assert scram(talk, "press", "wrong") == [334, 535]
        assert scram(talk, "nosuch", PASSWORD) == [334, 535]     # nobody tells which
        assert scram(talk, "press", PASSWORD) == [334, 334, 235]


def test_a_wrong_password(tls_station, root):
    station, doors = tls_station
    add_device(station)
    with smtp(doors, root, "smtps") as client:
        client.ehlo()
        for user, password in (("press", "wrong"), ("nosuch", PASSWORD)):
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.esmtp_features["auth"] = "PLAIN"
                client.login(user, password)
        code, _ = client.docmd("AUTH PLAIN " + base64.b64encode(b"press\0nobody\0x").decode())
        assert code == 535
        with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
            client.docmd("NOOP")
            client.docmd("NOOP")
    assert "could not sign in as press" in station.log() and PASSWORD not in station.log()
    text = station.call("GetMetrics")["text"]
    assert 'emailsec_submission_refused_total{reason="signin"} 3' in text


def test_no_password_goes_in_clear(tls_station):
    station, doors = tls_station
    add_device(station)
    with doors.talk() as talk:
        code, text = talk.say("EHLO x")
        assert "STARTTLS" in text and "AUTH" not in text
        assert talk.code("AUTH PLAIN " + base64.b64encode(f"\0press\0{PASSWORD}".encode()).decode()) == 538


def test_starttls_leftovers(tls_station, root):
    station, doors = tls_station
    with doors.talk() as talk:
        assert talk.code("EHLO x") == 250
        talk.send("STARTTLS\r\nMAIL FROM:<evil@example.test>\r\n")
        assert talk.reply()[0] == 521 and talk.ended()
    with doors.talk() as talk:      # what was said before TLS counts no more
        assert talk.envelope() == [250] * 3 and talk.code("RSET") == 250
        assert talk.code("STARTTLS") == 220
        inside = Talk(context(root).wrap_socket(talk.socket, server_hostname="127.0.0.1"), greeting=False)
        assert inside.code("MAIL FROM:<a@example.test>") == 503
        assert inside.envelope() == [250] * 3
    with doors.talk() as talk:      # plain text in place of the handshake
        assert talk.code("EHLO x") == 250 and talk.code("STARTTLS") == 220
        talk.send("MAIL FROM:<a@example.test>\r\n")
        assert talk.ended() or True
    assert station.running()


@pytest.mark.parametrize("door", ("smtp", "smtps"))
def test_the_end_in_a_handshake(tls_station, door):
    """Nothing is said in clear to who expects TLS, and nothing is waited for."""
    station, doors = tls_station
    with socket.create_connection(("127.0.0.1", doors.ports[door]), timeout=20) as raw:
        if door == "smtp":
            talk = Talk(raw)
            assert talk.code("EHLO x") == 250 and talk.code("STARTTLS") == 220
        until(lambda: "emailsec_submission_clients 1\n" in station.call("GetMetrics")["text"])
        begun = time.monotonic()
        station.stop()
        assert raw.recv(100) == b"" and time.monotonic() - begun < 3 * station_module.PATIENCE


def test_a_renewed_certificate_is_shown_at_once(tls_station, root, folder):
    station, doors = tls_station

    def shown():
        raw = socket.create_connection(("127.0.0.1", doors.ports["smtps"]), timeout=20)
        with context(root).wrap_socket(raw, server_hostname="127.0.0.1") as inside:
            return inside.getpeercert(binary_form=True)

    before = shown()
    fresh = pki.leaf(root, ["127.0.0.1"])
    station.ctl("trust", "key", "import", "front", write(os.path.join(folder, "new.pem"), fresh.key_pem + fresh.chain_pem))
    assert before != fresh.der and shown() == fresh.der


def test_a_certificate_by_credential(new_station, root, folder):
    credentials = users.private_folder(folder, "credentials")
    leaf = pki.leaf(root, ["127.0.0.1"])
    users.give(write(os.path.join(credentials, "front"), leaf.key_pem + leaf.chain_pem))
    station = new_station({"Submission.Certificate": "front"})
    station.extra_environment["CREDENTIALS_DIRECTORY"] = credentials
    doors = Doors(station, "smtps")
    station.start()
    with secure_talk(doors, root) as talk:
        assert talk.code("NOOP") == 250
    leaf = pki.leaf(root, ["127.0.0.1"])
    users.give(write(os.path.join(credentials, "front"), leaf.key_pem + leaf.chain_pem))
    station.ctl("reload")
    raw = socket.create_connection(("127.0.0.1", doors.port), timeout=20)
    with context(root).wrap_socket(raw, server_hostname="127.0.0.1") as inside:
        assert inside.getpeercert(binary_form=True) == leaf.der


def test_what_a_device_may(tls_station, root, new_sink):
    station, doors = tls_station
    other = new_sink()
    outgoing(station, other, "other")
    add_device(station, "bound", "--account", "other", "--from", "bound@example.test")
    with smtp(doors, root, "smtps") as client:
        client.login("bound", PASSWORD)
        assert client.mail("else@example.test")[0] == 553
        client.sendmail("bound@example.test", ["box@example.test"], "Subject: x\n\nx\n")
        other.wait_for(1)
        station.ctl("device", "delete", "bound")
        assert client.mail("bound@example.test")[0] == 535


def test_the_file_holds_no_password(tls_station, root, folder):
    station, doors = tls_station
    add_device(station)
    path = os.path.join(station.state, "devices", "press.json")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    text = open(path).read()
    assert PASSWORD not in text and base64.b64encode(PASSWORD.encode()).decode() not in text
    assert json.loads(text)["password"]["mechanism"] == "SCRAM-SHA-256"
    station.restart()
    with secure_talk(doors, root) as talk:
        assert scram(talk, "press", PASSWORD)[-1] == 235
    archive = os.path.join(folder, "backup.tar")
    for secrets in (False, True):
        station.ctl("backup", archive, *(["--secrets"] if secrets else []))
        out = subprocess.run(["tar", "-xOf", archive, "devices/press.json"], capture_output=True)
        assert ("storedKey" in out.stdout.decode()) == secrets and out.returncode == 0
        os.unlink(archive)


def test_bad_devices(station):
    for name in ("a b", "../x", "x" * 65, ".x"):
        assert "is no name for a device" in station.ctl("device", "add", name, code=1).said
    station.ctl("device", "add", "press")
    assert station.ctl("device", "add", "press", code=1).said
    assert "no outgoing account" in station.ctl("device", "add", "b", "--account", "none", code=1).said
    station.ctl("device", "add", "c", "--from", "nowhere", code=1)
    station.ctl("device", "password", "nosuch", stdin="x\n", code=1)
    station.ctl("device", "delete", "nosuch", code=1)
    assert [one["name"] for one in station.json("device", "list")] == ["press"]
    with open(os.path.join(station.state, "devices", "press.json"), "w") as out:
        out.write("{")
    station.restart()
    assert station.call("ListDevices")["devices"][0]["fault"] and station.json("device", "list")[0]["fault"]
    station.ctl("device", "password", "press", stdin=PASSWORD + "\n")
    station.restart()
    assert not station.json("device", "list")[0]["fault"] and station.json("device", "list")[0]["password"]


@pytest.mark.skipif(station_module.FLAVOUR != "plain" or not shutil.which("cc"), reason="preloads a library, and needs a compiler")
def test_a_name_that_is_told_late(new_station, sink, root, folder, base):
    """It is given up after a moment, in the middle of a session inside TLS: nothing else is resumed by it."""
    library, flag = os.path.join(base, "hang-names.so"), os.path.join(folder, "hang")
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, os.path.join(os.path.dirname(__file__), "hang.c")], check=True)
    os.chmod(library, 0o755)
    os.mkdir(flag, 0o777)
    os.chmod(flag, 0o777)
    station = new_station({"Submission.Certificate": "front"})
    doors = Doors(station, "smtp")
    station.extra_environment = {"LD_PRELOAD": library, "HANG": flag}
    station.start()
    outgoing(station, sink)
    leaf = pki.leaf(root, ["127.0.0.1"])
    station.ctl("trust", "key", "import", "front", write(os.path.join(folder, "front.pem"), leaf.key_pem + leaf.chain_pem))
    open(os.path.join(flag, "users"), "w").close()
    try:
        with doors.talk() as talk:
            assert talk.code("EHLO x") == 250 and talk.code("STARTTLS") == 220
            until(lambda: "are recorded by their uid" in station.log(), 20)     # while the handshake is waited for
            inside = Talk(context(root).wrap_socket(talk.socket, server_hostname="127.0.0.1"), greeting=False)
            assert inside.envelope() == [250] * 3 and inside.code("NOOP") == 250
    finally:
        os.unlink(os.path.join(flag, "users"))


# ---- from the network

HERE, DEVICE, STRANGER = "198.51.100.1", "198.51.100.7", "198.51.100.8"
needs_network = pytest.mark.skipif(not users.IS_ROOT or not netns.NEEDS, reason="needs root and ip: makes a network of its own")


@pytest.fixture
def network():
    made = netns.Network(HERE, DEVICE, STRANGER)
    yield made
    made.close()


@needs_network
def test_never_an_open_relay(new_station, sink, network):
    station = new_station({"Submission.AllowFrom": DEVICE})
    doors = Doors(station, f"smtp@{HERE}", network=network)
    station.start()
    outgoing(station, sink)
    with Talk(network.connect(STRANGER, HERE, doors.port)) as talk:
        assert talk.code("EHLO x") == 250
        code, text = talk.say("MAIL FROM:<a@example.test>")
        assert code == 530 and "sign in first" in text
        assert talk.code("RCPT TO:<box@example.test>") == 503
    with Talk(network.connect(HERE, HERE, doors.port)) as talk:     # this machine's own address is no loopback
        assert talk.code("EHLO x") == 250 and talk.code("MAIL FROM:<a@example.test>") == 530
    with Talk(network.connect(DEVICE, HERE, doors.port)) as talk:
        assert talk.message(MESSAGE)[0] == 250
    sink.wait_for(1)
    assert sent(station)["submittedBy"] == DEVICE
    audit = station.ctl("--json", "audit", code=None).json
    assert any(row["check"] == "allowFrom" and row["verdict"] == "alert" and DEVICE in row["text"] for row in audit)
    station.write_config({"Submission.AllowFrom": ""})
    station.ctl("reload")
    with Talk(network.connect(DEVICE, HERE, doors.port)) as talk:
        assert talk.code("EHLO x") == 250 and talk.code("MAIL FROM:<a@example.test>") == 530


@needs_network
def test_places_of_an_address(new_station, sink, network):
    station = new_station({"Submission.AllowFrom": DEVICE})
    doors = Doors(station, f"smtp@{HERE}", network=network)
    station.start()
    outgoing(station, sink)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Talk(network.connect(STRANGER, HERE, doors.port))) for _ in range(64)]
        with Talk(network.connect(STRANGER, HERE, doors.port)) as talk:
            assert talk.greeting[0] == 220
            assert crowd[0].reply()[0] == 421 and crowd[0].ended() and crowd[1].code("NOOP") == 250
        with Talk(network.connect(DEVICE, HERE, doors.port)) as talk:
            assert talk.message(MESSAGE)[0] == 250
    assert 'emailsec_submission_refused_total{reason="busy"} 1' in station.call("GetMetrics")["text"]


@needs_network
def test_strangers_make_room(new_station, sink, network, root, folder):
    """Those of the network who do not sign in go first, however busy they are; who comes with a password gets in."""
    station = new_station({"Submission.Certificate": "front"})
    doors = Doors(station, f"smtps@{HERE}", network=network)
    station.start()
    outgoing(station, sink)
    pem = write(os.path.join(folder, "front.pem"), (leaf := pki.leaf(root, [HERE])).key_pem + leaf.chain_pem)
    station.ctl("trust", "key", "import", "front", pem)
    add_device(station)

    def come():
        made = context(root)
        talk = Talk(made.wrap_socket(network.connect(DEVICE, HERE, doors.port), server_hostname=HERE))
        assert talk.code("EHLO x") == 250
        return talk

    with contextlib.ExitStack() as stack:
        signed_in = stack.enter_context(come())
        assert scram(signed_in, "press", PASSWORD)[-1] == 235
        crowd = [stack.enter_context(come()) for _ in range(63)]
        late = stack.enter_context(come())
        assert scram(late, "press", PASSWORD)[-1] == 235
        assert crowd[0].reply()[0] == 421
        assert signed_in.envelope() == [250] * 3
        sleepers = [stack.enter_context(network.connect(DEVICE, HERE, doors.port)) for _ in range(80)]  # no word of TLS
        assert scram(stack.enter_context(come()), "press", PASSWORD)[-1] == 235
        assert sleepers and late.code("NOOP") == 250


def test_who_may_is_asked_again_after_a_reload(new_station, sink):
    station = new_station()
    doors = Doors(station)
    station.start()
    outgoing(station, sink)
    with doors.talk() as idle, doors.talk() as busy:
        assert busy.envelope() == [250] * 3
        station.write_config({"Control.AllowSubmit": "root"})
        station.ctl("reload")
        assert idle.reply()[0] == 421 and idle.ended()
        assert busy.code("DATA") == 354 and busy.say("Subject: x\r\n\r\nx\r\n.")[0] == 250
        assert busy.reply()[0] == 421
