# SPDX-License-Identifier: MIT
"""The servers of these tests, by the clients of Python's library: when another test fails, it is not their fault."""

import base64
import imaplib
import poplib
import smtplib
import ssl

import pytest

import channels
import fake
import letters
import ports
import sink as sink_module
from waiting import serves, until


def anyone():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def smtp(host, port, security):
    client = smtplib.SMTP_SSL(host, port, context=anyone()) if security == "ssl" else smtplib.SMTP(host, port)
    if security == "starttls":
        client.starttls(context=anyone())
    return client


def peer_of(client, security):
    return None if security == "plain" else client.sock.getpeercert(binary_form=True)


@pytest.mark.parametrize("security", channels.SECURITIES)
def test_submission(post, dovecot, certificates, box, security):
    for kind in dovecot.kinds:
        client = smtp(post.host(kind), post.port("smtp", security, kind), security)
        assert peer_of(client, security) in (None, certificates.leaf(kind).der)
        client.login("plant", letters.PASSWORD)
        client.sendmail(letters.address("sender"), [letters.address(box)], letters.crlf(letters.letter(box)))
        client.quit()
    until(lambda: len(dovecot.messages(box)) == len(dovecot.kinds))


@pytest.mark.parametrize("security", channels.SECURITIES)
def test_mailboxes(dovecot, certificates, box, security):
    dovecot.deliver(box, letters.letter(box))
    for kind in dovecot.kinds:
        host, der = dovecot.host(kind), certificates.leaf(kind).der
        port = dovecot.port("imap", security)
        client = imaplib.IMAP4_SSL(host, port, ssl_context=anyone()) if security == "ssl" else \
            imaplib.IMAP4(host, port)
        if security == "starttls":
            client.starttls(ssl_context=anyone())
        assert peer_of(client, security) in (None, der)
        client.login(box, letters.PASSWORD)
        assert client.select()[1] == [b"1"]
        client.logout()
        port = dovecot.port("pop3", security)
        client = poplib.POP3_SSL(host, port, context=anyone()) if security == "ssl" else poplib.POP3(host, port)
        if security == "starttls":
            client.stls(context=anyone())
        assert peer_of(client, security) in (None, der)
        client.user(box)
        client.pass_(letters.PASSWORD)
        assert client.stat()[0] == 1
        client.quit()


def test_a_wrong_password_is_refused(post, dovecot, box):
    with pytest.raises(smtplib.SMTPAuthenticationError):
        smtp(post.host(), post.port("smtp", "ssl"), "ssl").login(box, "wrong")
    with pytest.raises(imaplib.IMAP4.error):
        imaplib.IMAP4_SSL(dovecot.host(), dovecot.port("imap", "ssl"), ssl_context=anyone()).login(box, "wrong")


def test_certificates_can_be_switched(post, dovecot, certificates):
    kind = "not-yet-valid"
    renewed = certificates.leaf("user", dovecot.host(kind))
    try:
        post.use(renewed, kind)
        dovecot.use(renewed, kind)
        assert serves(dovecot.host(), dovecot.port("imap", "ssl"), certificates.leaf("system").der)
    finally:
        post.use(certificates.leaf(kind), kind)
        dovecot.use(certificates.leaf(kind), kind)


def test_the_sink_counts_and_follows_rules(new_sink):
    sink = new_sink()
    sink.rule("rcpt", "451 4.3.0 later", times=1)
    client = smtplib.SMTP(sink.host, sink.port)
    content = letters.crlf(letters.letter("box", body=".dots\n..\n"))
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        client.sendmail("a@b", ["c@d"], content)
    client.sendmail("a@b", ["c@d"], content)
    assert [one.content for one in sink.accepted] == [content]
    sink.rule("dot", "cut-after")
    with pytest.raises(smtplib.SMTPServerDisconnected):
        client.sendmail("a@b", ["c@d"], content)
    assert list(sink.counts().values()) == [2]


@pytest.mark.parametrize("content", (b"lone\nline feed\r\n", b"x" * 999 + b"\r\n", b"\xfc\r\n"),
                         ids=("bare LF", "long line", "8-bit"))
def test_the_sink_is_strict(folder, content):
    sink = sink_module.Sink(folder)
    client = smtplib.SMTP(sink.host, sink.port)
    client.ehlo()
    client.sendmail("a@b", ["c@d"], content)
    client.quit()
    sink.stop()
    assert sink.violations


def test_leaks_are_found():
    secret = letters.PASSWORD.encode()
    for said in (secret, base64.b64encode(secret), base64.b64encode(b"\0canary-user\0" + secret),
                 b"AUTH PLAIN " + base64.b64encode(b"xy\0" + secret) + b"\r\n"):
        assert "password" in fake.leaks(b"EHLO x\r\n" + said)
    assert fake.leaks(b"RCPT TO:<canary-box@example.test>\r\n") == ["address"]
    assert fake.leaks(b"EHLO station.example\r\nSTARTTLS\r\n") == []


def test_a_fake_hears_what_a_credulous_client_says(new_fake, certificates):
    server = new_fake("smtp", "stripped", certificates.leaf("system"))
    client = smtplib.SMTP(server.host, server.port)
    with pytest.raises(smtplib.SMTPException):
        client.login("canary-user", letters.PASSWORD)
    client.close()
    server.wait_session()
    assert "password" in server.leaks()


def test_ports_are_given_once():
    taken = [ports.take() for _ in range(150)]
    assert len(set(taken)) == 150
