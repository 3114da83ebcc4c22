# SPDX-License-Identifier: MIT
"""Faults as a person meets them: what the screen says is enough to mend them. Each is staged, its words are looked for,
and what they say is done, as it is said; tests/field/people.md is the page about it. EMAILSEC_SCREENS=FILE keeps the
screens."""

import json
import os
import re
import time

import pytest

import letters
import users
from waiting import until

TO = "box@example.test"


class Person:
    """Somebody at the tool: what was typed and what came is kept."""

    def __init__(self, station, title):
        self.station, self.title, self.typed = station, title, []
        self.begun, self.told = time.monotonic(), None

    def __call__(self, line, stdin=None, code=None, **options):
        result = self.station.ctl(*line.split(), stdin=stdin, code=code, **options)
        self.typed.append(f"$ emailsecctl {line}\n{result.said}")
        return result

    def sees(self, line, *words, **options):
        """All of the words are on the screen, in whatever lines."""
        said = " ".join(self(line, **options).said.split())
        assert [word for word in words if word not in said] == [], said
        self.told = self.told or time.monotonic() - self.begun
        return said

    def keep(self):
        over = time.monotonic() - self.begun
        if os.environ.get("EMAILSEC_SCREENS"):
            with open(os.environ["EMAILSEC_SCREENS"], "a", encoding="utf-8") as out:
                out.write(f"==== {self.title}: told after {self.told or over:.1f} s, over after {over:.1f} s, "
                          f"{len(self.typed)} commands\n" + "\n".join(self.typed) + "\n")


@pytest.fixture
def person(station, request):
    one = Person(station, request.node.name)
    yield one
    one.keep()


class Mail:
    """An account that sends to a server of the test, and its first message."""

    def __init__(self, person, sink, security="ssl", **properties):
        self.person, self.station, self.sink = person, person.station, sink
        switches = {"ssl": {"useSsl": True}, "starttls": {"useSsl": False, "useStartTls": True},
                    "none": {"useSsl": False, "allowPlaintextAuthentication": True}}[security]
        self.station.add("outgoing", "office", **{"hostname": sink.host, "port": sink.port, "account": "user",
                                                  "from": "me@example.test", "connectionTimeout": 3, **switches, **properties})

    def send(self):
        self.queued = self.person("send --account office --to " + TO + " -s Hello -", stdin="It works.\n", code=0).out.strip()
        return self.queued

    def becomes(self, *statuses):
        self.send()
        self.station.wait_status("office", *statuses)

    def goes(self):
        until(lambda: self.station.message(self.queued)["state"] == "sent")


@pytest.fixture
def good(new_sink, certificates):
    """A server with a certificate that is trusted."""
    def make(implicit_tls=True, kind="system", **options):
        return new_sink(certificates.leaf(kind, "127.0.0.1"), implicit_tls, **{"login": True, **options})
    return make


# ---- the way to the server ----

def test_wrong_port(person, good, new_sink):
    gone = new_sink()
    gone.stop()
    mail = Mail(person, good(), port=gone.port)
    mail.becomes("down")
    person.sees("status", f"nothing listens on port {gone.port} there", "check it against useSsl and useStartTls")
    person(f"account set office port={mail.sink.port}", code=0)
    mail.goes()


def test_a_name_without_an_address(person, good):
    mail = Mail(person, good(), hostname="nowhere.invalid")
    mail.becomes("down")
    person.sees("status", "the name nowhere.invalid has no address", "check the property hostname", "getent ahosts nowhere.invalid")
    person(f"account set office hostname={mail.sink.host}", code=0)
    mail.goes()


def test_a_server_that_never_answers(person, good):
    sink = good()
    sink.rule("greeting", "hang")
    mail = Mail(person, sink, connectionTimeout=1)
    mail.becomes("down")
    person.sees("status", "timed out after 1 s", "check that the server answers", "connectionTimeout may be too short")
    sink.clear_rules()
    sink.release()
    person("account set office connectionTimeout=5", code=0)
    mail.goes()


def test_another_kind_of_server(person, good):
    """IMAP asked of a server for SMTP."""
    sink = good()
    person.station.add("incoming", "orders", transport="imap", hostname=sink.host, port=sink.port, account="user", pollRate=3600)
    person.station.wait_status("orders", "fault", "down")
    person.sees("status", "orders", "what to do:", "hostname and port")


def test_busy_passes_by_itself(person, good):
    sink = good()
    sink.rule("greeting", "421 4.3.2 come back later", times=1)
    mail = Mail(person, sink)
    mail.becomes("down", "ok")
    person.sees("queue list", mail.queued)
    person("queue retry " + mail.queued)
    mail.goes()


# ---- TLS ----

def test_starttls_at_a_port_with_tls_from_the_first_byte(person, good):
    mail = Mail(person, good(implicit_tls=True), "starttls", connectionTimeout=1)
    mail.becomes("down", "fault")
    person.sees("status", f"emailsecctl account secure office ssl --port {mail.sink.port}")
    person(f"account secure office ssl --port {mail.sink.port}", code=0)
    mail.goes()


def test_tls_from_the_first_byte_at_a_port_with_starttls(person, good):
    mail = Mail(person, good(implicit_tls=False), "ssl")
    mail.becomes("down", "fault")
    person.sees("status", "this server wants useStartTls here", "emailsecctl account secure office ssl|starttls")
    person(f"account secure office starttls --port {mail.sink.port}", code=0)
    mail.goes()
    mail.sink.violations.clear()  # TLS where it wants words


def test_no_starttls_is_offered(person, new_sink):
    mail = Mail(person, new_sink(), "starttls")
    mail.becomes("fault")
    person.sees("status", "STARTTLS", "emailsecctl account secure office ssl", "someone on the way may be taking it out")


def test_a_self_signed_certificate(person, good, certificates):
    mail = Mail(person, good(kind="self-signed"))
    mail.becomes("challenge")
    command = re.search(r"emailsecctl (challenge show \w+)", person.sees("status", "waits for a decision"))[1]
    shown = person.sees(command, "To decide", "the server's operator tells you", "openssl x509")
    accept = re.search(r"emailsecctl (challenge accept \w+)", shown)[1]
    person(f"{accept} --fingerprint {certificates.leaf('self-signed', '127.0.0.1').fingerprint}", code=0)
    mail.goes()


def test_an_unknown_issuer(person, good, certificates, folder):
    mail = Mail(person, good(kind="user"))
    mail.becomes("challenge")
    person.sees("challenge list", "127.0.0.1")
    shown = person.sees("challenge show " + person.station.json("challenge", "list")[0]["id"], "emailsecctl trust import FILE")
    assert shown.index("trust import FILE") < shown.index("challenge accept")
    root = os.path.join(folder, "root.pem")
    with open(root, "wb") as out:
        out.write(certificates.user.pem)
    person("trust import " + root, code=0)
    mail.goes()
    until(lambda: person.station.json("status")["challenges"] == 0)
    person.sees("status", "office", "works")


def test_a_certificate_for_another_name(person, good):
    mail = Mail(person, good(kind="wrong-name"))
    mail.becomes("challenge")
    person.sees("status", "what to do:", "emailsecctl challenge show")
    person.sees("challenge show " + person.station.json("challenge", "list")[0]["id"], "hostname")


def test_an_expired_certificate(person, good):
    mail = Mail(person, good(kind="expired"))
    mail.becomes("challenge", "fault")
    person.sees("account test office", "expired", "what to do:", code=1)


def test_a_fingerprint_mistyped(person, good):
    mail = Mail(person, good(kind="self-signed"))
    mail.becomes("challenge")
    entry = person.station.json("challenge", "list")[0]
    challenge = entry["id"]
    other = "b" if entry["certificate"]["fingerprintSha256"][0] in "aA" else "a"
    person.sees(f"challenge accept {challenge} --fingerprint {other * 64}", "digit 1 differs", f"emailsecctl challenge show {challenge[:12]}", code=1)
    person.sees(f"challenge accept {challenge} --fingerprint yes", "16 or more", code=2)


def test_a_certificate_rejected_by_mistake(person, good, certificates):
    mail = Mail(person, good(kind="self-signed"))
    mail.becomes("challenge")
    challenge = person.station.json("challenge", "list")[0]["id"]
    person("challenge reject " + challenge, code=0)
    person.station.wait_status("office", "fault")
    said = person.sees("status", "rejected", "if that was a mistake: emailsecctl allowed show")
    entry = re.search(r"emailsecctl allowed show (\w+)", said)[1]
    person(f"allowed approve {entry} --fingerprint {certificates.leaf('self-signed', '127.0.0.1').fingerprint}", code=0)
    mail.goes()


def test_a_key_in_place_of_a_certificate(person, certificates, folder):
    path = os.path.join(folder, "key.pem")
    with open(path, "wb") as out:
        out.write(certificates.leaf("system", "127.0.0.1").key_pem)
    person.sees("trust import " + path, "key.pem", "what to do: give the certificate alone", code=1)
    person.sees("trust import /nonexistent.pem", "nonexistent.pem", "what to do:", code=1)


# ---- signing in ----

def test_no_password(person, good):
    mail = Mail(person, good(), password=None)
    mail.becomes("fault")
    person.sees("status", "no password is stored", "what to do: emailsecctl account password office")
    person("account password office", stdin=letters.PASSWORD + "\n", code=0)
    mail.goes()


def test_an_account_that_was_added_only(person, good):
    Mail(person, good(), password=None)
    person.sees("status", "office: no password is stored: emailsecctl account password office")
    person.sees("status office", "127.0.0.1 port", "useSsl")
    person("account password office", stdin=letters.PASSWORD + "\n", code=0)
    assert "no password is stored" not in person("status").said


def test_a_wrong_password(person, good):
    mail = Mail(person, good(), password="wrong-one")
    mail.becomes("fault")
    person.sees("status", "what to do:", "emailsecctl account password office")
    person("account password office", stdin=letters.PASSWORD + "\n", code=0)
    mail.goes()


def test_no_user_name(person, good):
    mail = Mail(person, good(), account="")
    mail.becomes("fault")
    person.sees("status", "set the property account", "emailsecctl account password office")
    person("account set office account=user", code=0)
    person("account password office", stdin=letters.PASSWORD + "\n", code=0)
    mail.goes()


def test_signing_in_without_tls(person, new_sink):
    mail = Mail(person, new_sink(login=True), "none", allowPlaintextAuthentication=False, authentication="plain")
    mail.becomes("fault")
    person.sees("status", "emailsecctl account secure office ssl|starttls")


def test_a_mechanism_that_is_not_offered(person, good):
    mail = Mail(person, good(mechanisms="PLAIN LOGIN"), authentication="cram-md5")
    mail.becomes("fault")
    said = person.sees("status", "emailsecctl account set office authentication=")
    person("account set office authentication=auto", code=0)
    assert "plain" in said
    mail.goes()


def test_a_credential_that_is_not_there(person, good):
    mail = Mail(person, good(), password=None)
    person("account password office --credential nosuch")
    mail.becomes("fault")
    person.sees("status", "nosuch", "LoadCredential=nosuch:")


# ---- mail ----

def test_a_recipient_that_is_refused(person, good):
    sink = good()
    sink.rule("rcpt", "550 5.1.1 no such user here", times=1)
    mail = Mail(person, sink)
    mail.send()
    until(lambda: person.station.message(mail.queued)["state"] == "failed")
    person.sees("status", "1 message has failed: emailsecctl queue list --state failed")
    person.sees("queue list --state failed", mail.queued, "no such user here")
    person.sees("queue show " + mail.queued, "no such user here", TO)
    person("queue delete " + mail.queued, code=0)
    assert "has failed" not in person("status").said


def test_greylisting_is_no_fault(person, good):
    sink = good()
    sink.rule("rcpt", "451 4.7.1 greylisted, come back", times=1)
    mail = Mail(person, sink)
    mail.send()
    until(lambda: person.station.message(mail.queued)["state"] == "deferred")
    person.sees("queue show " + mail.queued, "greylisted", "next attempt")
    assert "fault" not in person("status").out
    person("queue retry " + mail.queued)
    mail.goes()


def test_the_daily_limit(person, good):
    mail = Mail(person, good(), maxSendablePerDay=1)
    mail.send()
    mail.goes()
    mail.send()
    said = ""

    def told():
        nonlocal said
        said = " ".join(person.station.ctl("status").out.split())
        return "maxSendablePerDay" in said
    until(told)
    person.sees("status", "1 of 1 sent today (maxSendablePerDay)", "account set office maxSendablePerDay=")
    person.sees("queue list", mail.queued, "maxSendablePerDay")
    person("account set office maxSendablePerDay=10", code=0)
    mail.goes()


def test_a_disabled_account_with_mail(person, good):
    mail = Mail(person, good(), enabled=False)
    mail.send()
    person.sees("status", "emailsecctl account enable office")
    person("account enable office", code=0)
    mail.goes()


def test_a_full_queue(person, good):
    mail = Mail(person, good(), enabled=False, maxQueueSize=1)
    mail.send()
    person.sees(f"send --account office --to {TO} -s Hello -", "maxQueueSize", "emailsecctl status", stdin="x\n", code=1)
    person("account set office maxQueueSize=100", code=0)
    mail.send()


def test_a_message_that_is_held(person, good):
    mail = Mail(person, good())
    mail.queued = person(f"send --account office --to {TO} -s Hello --hold -", stdin="x\n", code=0).out.strip()
    person.sees("queue list", "held", "when released")
    person.sees("status", "1 waiting, 1 of them held")
    person("queue release " + mail.queued, code=0)
    mail.goes()


def test_a_second_account_and_sendmail(person, good):
    mail = Mail(person, good())
    said = person.sees("account add outgoing second hostname=mail.example enabled=false", "(sendmail, cron) is refused")
    assert "DefaultAccount=NAME" in said
    person.sees("sendmail " + TO, "DefaultAccount=office", stdin="Subject: x\n\nx\n", code=78)
    person.station.write_config({"Service.DefaultAccount": "office"})
    person("reload", code=0)
    person(f"sendmail -f me@example.test {TO}", stdin="Subject: x\n\nx\n", code=0)
    until(lambda: len(mail.sink.accepted) == 1)


def test_deleting_an_account_with_mail(person, good):
    mail = Mail(person, good(), enabled=False)
    mail.send()
    person.sees("account delete office", "is not sent: 1", "emailsecctl queue list office", "--force", code=1)


def test_a_sender_that_is_missing(person, good):
    Mail(person, good(), **{"from": ""})
    person.sees(f"send --account office --to {TO} -s Hello -", "--from ADDRESS", "emailsecctl account set office from=ADDRESS", stdin="x\n", code=1)


# ---- at the command line ----

@pytest.mark.parametrize("line, words, code", (
    ("acount list", ("did you mean 'account'",), 2),
    ("test office", ("did you mean 'account test'",), 2),
    ("account rm office", ("did you mean 'account delete'",), 2),
    ("tls office", ("did you mean 'account secure'",), 2),
    ("account add outgoing office host=mail.example", ("hostname",), 1),
    ("account add outgoing office hostname=mail.example user=me", ("did you mean account",), 1),
    ("account add outgoing office hostname=mail.example password=x", ("emailsecctl account password",), 1),
    ("account add outgoing office hostname=mail.example useStartTls=true", ("say useSsl=false too",), 1),
    ("account add outgoing office hostname=mail.example port=465 pollRat=5", ("did you mean pollRate",), 1),
    ("account add incoming orders hostname=mail.example", ("transport is missing", "say transport=imap or transport=pop3"), 1),
    ("account add outgoing office hostname=mail.example port=70000 pollRat=5 useStartTls=true",
     ("did you mean pollRate", "port must be", "say useSsl=false too"), 1),
    ("account add outgoing office hostname=mail.example useSsl=maybe useStartTls=true", ("useSsl",), 1),
    ("account show offcie", ("there is no account", "emailsecctl account list"), 1),
    ("queue show nosuch", ("queue",), 1),
    ("queue list --state broken", ("no state of a message", "say one of: queued, ", "failed"), 1),
    ("trust import /etc", ("/etc: reading the input: Is a directory",), 1),
    ("send --to someone@example.test hello", ("No such file", "- for standard input"), 1),
    ("status --colour", ("there is no option --colour",), 2),
), ids=lambda value: value if isinstance(value, str) else "")
def test_a_slip_at_the_command_line(person, line, words, code):
    person.sees(line, *words, "what to do:", code=code)


def test_somebody_without_the_right(person):
    if not users.IS_ROOT:
        pytest.skip("only root can become somebody else")
    person.sees("status", "root or as a member of the group", code=4, user=users.as_stranger())


# ---- the daemon ----

def test_no_account_yet(person):
    said = person.sees("status", "there is no account yet: emailsecctl account add outgoing NAME hostname=HOST", code=0)
    assert "submission by SMTP" not in said  # nothing listens
    person.sees("", "there is no account yet", code=0)


def test_the_daemon_is_not_there(person):
    person.station.stop()
    person.sees("status", "no daemon", "start that station", code=3)
    person.sees("status --check", "EMAILSEC UNKNOWN", code=3)
    person.sees("sendmail " + TO, "no daemon", stdin="x\n", code=75)
    person.station.start()
    person("status", code=0)


def test_a_slip_in_the_settings(person):
    person.station.write_config({"Service.Debug": "yes"})
    person.sees("reload", "there is no key Debug", "did you mean LogLevel=debug?")
    person.station.stop()
    code, said = person.station.start_refused()
    assert code and "did you mean LogLevel=debug?" in said
    person.station.write_config({})
    person.station.start()


def test_a_damaged_account_file(person, good):
    Mail(person, good(), enabled=False)
    person.station.stop()
    path = os.path.join(person.station.state, "accounts", "office.json")
    with open(path, encoding="utf-8") as file:
        whole = file.read()
    with open(path, "w", encoding="utf-8") as out:
        out.write(whole[:20])
    person.station.start()
    person.sees("status", "office.json is damaged", "repair the file", "or delete the account and add it again")
    with open(path, "w", encoding="utf-8") as out:
        out.write(whole)
    person("reload", code=0)
    assert "damaged" not in person("status").out


def test_a_database_that_is_gone(person, good):
    Mail(person, good(), enabled=False)
    person.station.stop()
    os.unlink(os.path.join(person.station.state, "station.db"))
    code, said = person.station.start_refused()
    assert code == 65 and "--accept-new-database" in said and "RECOVERY" in said
    person.typed.append(said)


def test_a_folder_that_is_not_there(person, dovecot, box):
    kind = "system"
    person.station.add("incoming", "orders", transport="imap", hostname=dovecot.host(kind),
                       port=dovecot.port("imap", "ssl", kind), account=box, folder="Nosuch", pollRate=3600)
    person.station.wait_status("orders", "fault")
    person.sees("status", "Nosuch", "emailsecctl account folders orders")
    person.sees("account folders orders", "INBOX")
    person("account set orders folder=INBOX", code=0)
    person.station.wait_status("orders", "ok")


def test_a_socket_for_mail_that_is_not_there(person, dovecot, box):
    person.sees(f"account add incoming orders transport=imap hostname={dovecot.host('system')} deliverTo=lmtp:/nonexistent/lmtp",
                "deliverToAddress", "what to do:", code=1)


def test_several_accounts_and_one_fault(person, new_sink):
    gone = new_sink()
    gone.stop()
    for number in range(15):
        person.station.add("outgoing", f"plant{number:02}", hostname="127.0.0.1", port=gone.port, account="user",
                           **{"from": "me@example.test"})
        person.station.send(f"plant{number:02}", TO)
    for number in range(15):
        person.station.wait_status(f"plant{number:02}", "down")
    said = person.sees("status --problems", "15 accounts: 15 down", "15 accounts: plant00")
    assert said.count("nothing listens") == 1
    numbers = person.sees("status --check", "EMAILSEC WARNING", "down=15", code=1)
    assert "|" in numbers
    assert json.loads(person("status --json").out)


@pytest.mark.parametrize("line, remedy", (
    ("queue show nope", "emailsecctl queue list"), ("queue delete nope", "emailsecctl queue list"), ("queue list nope", "emailsecctl account list"),
    ("queue flush nope", "emailsecctl account list"), ("challenge show nope", "emailsecctl allowed list"),
    ("trust show abababababababab", "emailsecctl trust list"), ("inbox list nope", "emailsecctl account list"),
    ("inbox show orders 1", "emailsecctl inbox list orders"), ("inbox list office", "name an incoming account"),
    ("send --account orders --to a@b.example -", "name an outgoing account"), ("account show nope", "emailsecctl account list"),
    ("subscriber forget nope", "emailsecctl subscriber list"), ("trust key delete nope", "emailsecctl trust key list")))
def test_a_name_that_is_none(person, line, remedy):
    """Each says what there is instead, and by which command."""
    person.station.add("outgoing", "office", hostname="localhost", enabled=False)
    person.station.add("incoming", "orders", transport="imap", hostname="localhost", enabled=False)
    said = person.sees(line, "what to do:", remedy, code=1, stdin="x\n")
    assert "account, queue, challenge" not in said
