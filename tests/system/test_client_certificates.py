# SPDX-License-Identifier: MIT
"""Servers that demand a client certificate: a real Dovecot and a real Postfix with an authority of their own for
clients. Without one the account says what is missing; with one mail goes both ways; one of another authority is
refused."""

import os

import pytest

import channels
import dovecot as dovecot_module
import letters
import pki
import postfix as postfix_module
import users
from waiting import until

DOVECOT = """
ssl_ca = <{path}
ssl_require_crl = no
ssl_verify_client_cert = yes
auth_ssl_require_client_cert = yes
"""
POSTFIX = """
smtpd_tls_security_level = encrypt
smtpd_tls_CAfile = {path}
smtpd_tls_ask_ccert = yes
smtpd_tls_req_ccert = yes
smtpd_tls_received_header = yes
"""


@pytest.fixture(scope="module")
def clients():
    return pki.authority("Client root")


@pytest.fixture(scope="module")
def strict_folder(base, clients):
    folder = os.path.join(base, "strict")
    os.mkdir(folder, 0o755)
    with open(os.path.join(folder, "clients.pem"), "wb") as out:
        out.write(clients.pem)
    return folder


@pytest.fixture(scope="module")
def strict_dovecot(strict_folder, certificates):
    server = dovecot_module.Dovecot(strict_folder, certificates, kinds=["system"],
                                    settings=DOVECOT.format(path=os.path.join(strict_folder, "clients.pem")))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def strict_postfix(strict_folder, certificates, dovecot):
    if not users.IS_ROOT:
        pytest.skip("Postfix's master needs root")
    server = postfix_module.Postfix(strict_folder, certificates, dovecot, kinds=["system"],
                                    settings=POSTFIX.format(path=os.path.join(strict_folder, "clients.pem")))
    yield server
    server.stop()


def client(authority):
    return pki.leaf(authority, ["client.example"], purpose=pki.ExtendedKeyUsageOID.CLIENT_AUTH)


def give(station, name, certificate):
    station.ctl("trust", "key", "import", name, "-", stdin=certificate.key_pem + certificate.pem)


def lacks_one(cause, said):
    assert said in cause["text"]
    assert cause["remedy"].startswith("the server asks for a client certificate and this account has none: "
                                      "emailsecctl trust key import KEY FILE")


@pytest.mark.parametrize("transport, security", channels.SIX[2:])
def test_dovecot_demands_a_certificate(station, strict_dovecot, clients, box, transport, security):
    letters.deliver(strict_dovecot.lmtp, box, letters.letter("one"))
    station.add("incoming", "in", **channels.properties(
        transport, security, strict_dovecot.host(), strict_dovecot.port(transport, security), box))
    lacks_one(station.wait_status("in", "fault")["cause"], "present valid SSL certificate")
    give(station, "plant", client(clients))
    station.ctl("account", "set", "in", "clientCertificate=plant")
    station.wait_status("in", "ok")
    until(lambda: len(station.inbox("in")) == 1)


def test_a_certificate_of_another_authority_is_refused(station, strict_dovecot, certificates, box):
    give(station, "plant", client(certificates.system))
    station.add("incoming", "in", **channels.properties(
        "imap", "ssl", strict_dovecot.host(), strict_dovecot.port("imap", "ssl"), box, clientCertificate="plant"))
    cause = station.wait_status("in", "fault")["cause"]
    assert "present valid SSL certificate" in cause["text"] and "trust key import" not in cause["remedy"]
    assert station.inbox("in") == []


@pytest.mark.parametrize("security", ("ssl", "starttls"))
def test_postfix_demands_a_certificate(station, strict_postfix, dovecot, clients, box, security):
    station.add("outgoing", "out", **channels.properties(
        "smtp", security, strict_postfix.host(), strict_postfix.port("smtp", security), "plant"))
    queued = station.send("out", letters.address(box))
    lacks_one(station.wait_status("out", "down")["cause"], "No client certificate presented")
    give(station, "plant", client(clients))
    station.ctl("account", "set", "out", "clientCertificate=plant")
    station.ctl("queue", "retry", queued, code=None)    # what was corrected is tried by itself: it may be sent already
    assert station.wait_message(queued)["state"] == "sent"
    (_, text), = until(lambda: dovecot.messages(box))
    assert b'(Client CN "client.example", Issuer "Client root" (verified OK))' in b" ".join(text.split())
