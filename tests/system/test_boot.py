# SPDX-License-Identifier: MIT
"""The packages on a booted machine: systemd, journald, name service, Postfix and Dovecot as they come with Debian."""

import glob
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

import letters
import machine as machine_module
from station import ROOT
from waiting import until

pytestmark = pytest.mark.slow
HOST = "mail.localhost"     # by nss-resolve alone: it stands in no file, and there is no name server

DOVECOT = """
ssl = required
ssl_cert = </etc/mail.pem
ssl_key = </etc/mail.key
mail_location = maildir:/srv/mail/%n
first_valid_uid = 1
auth_username_format = %n
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home=/srv/mail/%n
}}
service auth {{
  unix_listener /var/spool/postfix/private/dovecot-auth {{
    mode = 0666
  }}
}}
service lmtp {{
  unix_listener /var/spool/postfix/private/dovecot-lmtp {{
    mode = 0666
  }}
}}
"""
POSTFIX = ("virtual_mailbox_domains=example.test", "virtual_transport=lmtp:unix:private/dovecot-lmtp", "mydestination=",
           "smtpd_tls_cert_file=/etc/mail.pem", "smtpd_tls_key_file=/etc/mail.key", "smtpd_sasl_type=dovecot",
           "smtpd_sasl_path=private/dovecot-auth", "smtpd_sasl_auth_enable=yes", "inet_interfaces=loopback-only")


@pytest.fixture(scope="module")
def packages():
    why = machine_module.why_not()
    if why:
        pytest.skip(why)
    built = os.environ.get("EMAILSEC_DEB")      # a folder of packages that are there already
    folder = built or os.path.join(ROOT, "build", f"deb-{os.getpid()}")
    signal.alarm(0)     # what is made once may take longer than a test
    if not built:
        done = subprocess.run(["make", "deb", f"DEB={folder}"], cwd=ROOT, capture_output=True, text=True, timeout=900,
                              env={**os.environ, "DEB_BUILD_OPTIONS": "nocheck"})
        assert done.returncode == 0, done.stderr[-3000:]
    yield sorted(path for path in glob.glob(f"{folder}/*.deb") if "dbgsym" not in path)
    if not built:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def machine(base, packages, certificates):
    lower, why = machine_module.tree()
    if not lower:
        pytest.skip(why)
    folder = os.path.join(base, "machine")
    os.mkdir(folder)
    signal.alarm(0)     # what is made once may take longer than a test
    made = machine_module.Machine(folder, lower)
    try:
        certificate = certificates.leaf("system", HOST)
        made.write("/etc/mail.pem", certificate.chain_pem.decode())
        made.write("/etc/mail.key", certificate.key_pem.decode(), 0o600)
        made.write("/usr/local/share/ca-certificates/test.crt", certificates.system.pem.decode())
        made.run("update-ca-certificates")
        made.run("install", "-d", "-o", "mail", "-g", "mail", "/srv/mail")
        made.write("/etc/dovecot/local.conf", DOVECOT.format(password=letters.PASSWORD))
        made.run("postconf", "-e", *POSTFIX)
        made.run("postconf", "-M", "smtps/inet=smtps inet n - n - - smtpd -o smtpd_tls_wrappermode=yes")
        made.run("systemctl", "restart", "dovecot", "postfix")
        made.write("/etc/emailsecd/station.password", letters.PASSWORD + "\n", 0o600)
        made.write("/etc/systemd/system/emailsecd.service.d/credentials.conf",
                   "[Service]\nLoadCredential=station:/etc/emailsecd/station.password\n")
        made.run("mkdir", "/root/mta", "/root/page")      # would take Postfix's place; would need Cockpit
        for path in packages:
            name = os.path.basename(path)
            aside = {"emailsec-mta": "mta/", "cockpit-emailsec": "page/"}.get(name.split("_")[0], "")
            made.copy(path, "/root/" + aside + name)
        made.run("sh", "-c", "dpkg -i /root/*.deb")
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def accounts(machine):
    """One each way, signing in with the credential."""
    machine.run("emailsecctl", "account", "add", "outgoing", "out", f"hostname={HOST}", "account=station",
                "from=station@example.test")
    machine.run("emailsecctl", "account", "add", "incoming", "in", "transport=imap", f"hostname={HOST}",
                "account=box", "push=true")
    for name in ("out", "in"):
        machine.run("emailsecctl", "account", "password", name, "--credential", "station")


def send(machine, *more):
    out = machine.say("emailsecctl", "--json", "send", "--account", "out", "--to", "box@example.test", *more, "-",
                      stdin=letters.letter("box").decode())
    return re.search(r'"id": *"([^"]+)"', out).group(1)


def state(machine, queue_id):
    return re.search(r'"state": *"(\w+)"', machine.say("emailsecctl", "--json", "queue", "show", queue_id)).group(1)


def main_pid(machine):
    return int(machine.property("emailsecd", "MainPID"))


def test_installed_and_running(machine):
    assert machine.say("systemctl", "is-active", "emailsecd.service", "emailsecd.socket").split() == ["active"] * 2
    assert machine.say("systemctl", "is-enabled", "emailsecd.service", "emailsecd.socket").split() == ["enabled"] * 2
    assert "0 in the queue" in machine.property("emailsecd", "StatusText")
    assert machine.say("stat", "-c", "%U %a", "/var/lib/emailsecd") == "emailsec 710"
    assert machine.say("systemctl", "is-active", "emailsec-metrics.timer", check=False) == "inactive"


def test_the_socket_starts_it(machine):
    machine.run("systemctl", "stop", "emailsecd.service")
    assert main_pid(machine) == 0
    machine.run("emailsecctl", "status")
    assert main_pid(machine) != 0


def test_the_sandbox_is_on(machine):
    pid = main_pid(machine)
    status = machine.say("cat", f"/proc/{pid}/status")
    assert re.search(r"^CapEff:\s+0+$", status, re.M) and re.search(r"^CapBnd:\s+0+$", status, re.M)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M) and re.search(r"^Seccomp:\s+2$", status, re.M)
    uids = re.search(r"^Uid:(.*)$", status, re.M).group(1).split()
    assert set(uids) == {machine.say("id", "-u", "emailsec")}


def test_mail_goes_out_and_comes_in(machine, accounts):
    """By the credential's password, the system's trust store and nss-resolve."""
    queued = send(machine)
    until(lambda: state(machine, queued) == "sent", 30, lambda: machine.say("emailsecctl", "status", check=False))
    until(lambda: "a letter" in machine.say("emailsecctl", "inbox", "list", "in"), 30)
    sheet = machine.say("emailsecctl", "account", "test", "out")
    assert "TLSv1.3" in sheet
    assert letters.PASSWORD not in machine.say("journalctl", "--no-pager", "-u", "emailsecd")


def test_who_may_what(machine):
    """The peer's user is seen through the sandbox."""
    machine.run("useradd", "-m", "stranger")
    machine.run("useradd", "-m", "-G", "emailsec", "reader")
    machine.run("useradd", "-m", "-G", "emailsec-admin", "keeper")
    assert machine.run("runuser", "-u", "stranger", "--", "emailsecctl", "status", check=False).returncode != 0
    machine.run("runuser", "-u", "reader", "--", "emailsecctl", "status")
    assert machine.run("runuser", "-u", "reader", "--", "emailsecctl", "reload", check=False).returncode != 0


@pytest.fixture
def drop_in(machine):
    """Runs the service with more lines in its unit; without them afterwards."""
    path = "/etc/systemd/system/emailsecd.service.d/test.conf"

    def put(*lines):
        machine.write(path, "\n".join(("[Service]", *lines, "")))
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "emailsecd")

    yield put
    machine.run("rm", "-f", path)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "emailsecd")


def test_why_not_private_users(machine, drop_in):
    """What the unit says of PrivateUsers=: in a user namespace of its own the daemon takes an administrator for nobody."""
    keeper = ("runuser", "-u", "keeper", "--", "emailsecctl", "reload")
    drop_in()
    machine.run(*keeper)
    drop_in("PrivateUsers=yes")
    machine.run("emailsecctl", "status")
    refused = machine.run(*keeper, check=False)
    assert refused.returncode != 0


def test_root_alone(machine, accounts, drop_in):
    """The example for stations that root alone manages, put in place by the commands in it: all works for root and the
    daemon's own group may read, nobody else is anybody, and the exposure is 1.0."""
    path = "/usr/share/doc/emailsecd/examples/root-only.conf"
    commands = re.findall(r"^#    +(.+)$", machine.say("cat", path), re.M)
    assert [line.split()[0] for line in commands if not line.startswith("/")] == ["install", "systemctl"]
    inbox = ("emailsecctl", "inbox", "list", "in")
    try:
        machine.run("sh", "-ec", "\n".join(commands))
        assert machine.property("emailsecd", "PrivateUsers") == "yes"
        machine.run("systemd-analyze", "security", "--threshold=10", "emailsecd")
        before, pid = len(machine.say(*inbox).splitlines()), main_pid(machine)
        queued = send(machine)
        until(lambda: state(machine, queued) == "sent", 30, lambda: machine.say("emailsecctl", "status", check=False))
        until(lambda: len(machine.say(*inbox).splitlines()) > before, 30)
        machine.run("systemctl", "reload", "emailsecd")
        assert main_pid(machine) == pid

        def may(user, *command):
            return machine.run("runuser", "-u", user, "--", "emailsecctl", *command, check=False,
                               stdin=letters.letter("box").decode()).returncode == 0

        for user, reads in (("stranger", False), ("reader", True), ("keeper", False)):
            assert (may(user, "status"), may(user, "reload")) == (reads, False), user
        assert may("stranger", "send", "--to", "box@example.test", "-")
        machine.write("/etc/emailsecd/emailsecd.conf.d/submit.conf", "[Control]\nAllowSubmit=\n")
        machine.run("systemctl", "reload", "emailsecd")
        assert not may("stranger", "send", "--to", "box@example.test", "-")
        assert may("reader", "send", "--to", "box@example.test", "-")
    finally:
        machine.run("rm", "-f", "/etc/systemd/system/emailsecd.service.d/root-only.conf",
                    "/etc/emailsecd/emailsecd.conf.d/submit.conf")


def test_credentials_of_every_kind(machine, accounts, drop_in):
    """A file, a folder (each file of it as NAME_FILE), one encrypted for this machine: the right password signs in, and
    one that is not there is named."""
    machine.write("/etc/emailsecd/several/box", letters.PASSWORD + "\n", 0o600)
    machine.run("sh", "-c", "systemd-creds --with-key=host encrypt --name=sealed /etc/emailsecd/station.password /etc/sealed")
    assert letters.PASSWORD not in machine.say("cat", "/etc/sealed")
    drop_in("LoadCredential=several:/etc/emailsecd/several", "LoadCredentialEncrypted=sealed:/etc/sealed",
            f"SetCredential=emailsecd.text:{letters.PASSWORD}")
    for name in ("several_box", "sealed", "emailsecd.text", "station"):
        machine.run("emailsecctl", "account", "password", "out", "--credential", name)
        assert "TLSv1.3" in machine.say("emailsecctl", "account", "test", "out"), name
        queued = send(machine)
        until(lambda: state(machine, queued) == "sent", 30, lambda: machine.say("emailsecctl", "status", check=False))
    warned = machine.run("emailsecctl", "account", "password", "out", "--credential", "none")
    assert "credential none" in warned.stderr and "several_box" in warned.stderr and "LoadCredential=none:" in warned.stderr
    told = machine.run("emailsecctl", "account", "test", "out", check=False)
    machine.run("emailsecctl", "account", "password", "out", "--credential", "station")
    assert "none" in told.stdout + told.stderr and told.returncode != 0
    # each lies where the daemon alone reads, and on no disk
    folder = "/run/credentials/emailsecd.service"
    assert machine.run("runuser", "-u", "mail", "--", "ls", folder, check=False).returncode != 0
    assert machine.say("stat", "-f", "-c", "%T", folder) in ("ramfs", "tmpfs")


def imap_sessions(machine):
    """The daemon's ends of its IMAP sessions."""
    listed = machine.say("ss", "-Htn", "state", "established", "dport", "=", ":993")
    return sorted(line.split()[2] for line in listed.splitlines())


def test_reload_waits_and_drops_no_session(machine, accounts):
    until(lambda: imap_sessions(machine), 20)
    before, pid = imap_sessions(machine), main_pid(machine)
    machine.write("/etc/emailsecd/emailsecd.conf.d/name.conf", "[Service]\nHostname=named.example\n")
    machine.run("systemctl", "reload", "emailsecd")
    assert json.loads(machine.say("emailsecctl", "--json", "status"))["hostname"] == "named.example", "it did not wait"
    assert (imap_sessions(machine), main_pid(machine)) == (before, pid)


def test_a_wrong_setting_fails_the_reload(machine):
    machine.write("/etc/emailsecd/emailsecd.conf.d/wrong.conf", "[Service]\nNoSuchKey=1\n")
    assert machine.run("systemctl", "reload", "emailsecd", check=False).returncode != 0
    assert machine.say("systemctl", "is-active", "emailsecd") == "active"
    machine.run("rm", "/etc/emailsecd/emailsecd.conf.d/wrong.conf")
    machine.run("systemctl", "reload", "emailsecd")


def test_the_watchdog_ends_what_hangs(machine, accounts):
    """Stopped, it is killed and started again; the queue is still there and goes."""
    machine.write("/etc/systemd/system/emailsecd.service.d/watchdog.conf", "[Service]\nWatchdogSec=2\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "emailsecd")
    machine.run("systemctl", "stop", "postfix")
    queued = send(machine)
    pid = main_pid(machine)
    machine.run("sh", "-c", f"kill -STOP {pid}")
    until(lambda: main_pid(machine) not in (0, pid), 40, "it was not started again")
    assert machine.journal("-u", "emailsecd", "--grep", "Watchdog timeout")
    machine.run("systemctl", "start", "postfix")
    machine.run("emailsecctl", "account", "poll", "out", check=False)     # it had been down: not by time, but now
    until(lambda: state(machine, queued) == "sent", 30)


def test_the_journal_has_fields_and_remedies(machine, accounts, certificates):
    """What was written on the way, as JSON, against the catalog; a challenge among it."""
    other = certificates.leaf("self-signed", HOST)
    machine.write("/etc/other.pem", other.chain_pem.decode())
    machine.write("/etc/other.key", other.key_pem.decode(), 0o600)
    machine.run("postconf", "-M", "2465/inet=2465 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes "
                "-o smtpd_tls_cert_file=/etc/other.pem -o smtpd_tls_key_file=/etc/other.key")
    machine.run("postfix", "reload")
    machine.run("emailsecctl", "account", "add", "outgoing", "odd", f"hostname={HOST}", "port=2465",
                "from=station@example.test")
    machine.run("emailsecctl", "send", "--account", "odd", "--to", "box@example.test", "-",
                stdin=letters.letter("box").decode())
    until(lambda: "challenge" in machine.say("emailsecctl", "--json", "account", "show", "odd"), 20)
    entries = until(lambda: machine.journal("-u", "emailsecd", "SYSLOG_IDENTIFIER=emailsecd"), 5)
    known = dict(re.findall(r'#define (MSG_\w+)\s+"([0-9a-f]{32})"',
                            open(os.path.join(ROOT, "daemon", "messages.h")).read()))
    seen = {}
    for entry in entries:
        if entry.get("MESSAGE_ID") in known.values():
            seen.setdefault(entry["MESSAGE_ID"], entry)
    for name in ("MSG_STARTED", "MSG_RELOADED", "MSG_RELOAD_REFUSED", "MSG_ACCOUNT_UP", "MSG_SENT", "MSG_RECEIVED",
                 "MSG_CHALLENGE"):
        assert known[name] in seen, name
    challenge = seen[known["MSG_CHALLENGE"]]
    assert (challenge["HOST"], challenge["PORT"], challenge["PRIORITY"]) == (HOST, "2465", "4")
    assert challenge["CERT_SHA256"].replace(":", "").lower() == other.fingerprint.replace(":", "").lower()
    assert challenge["REMEDY"] == f"emailsecctl challenge show {challenge['CHALLENGE_ID']}"
    assert seen[known["MSG_ACCOUNT_UP"]].get("TLS_VERSION", "").startswith("TLSv1.")
    sent = seen[known["MSG_SENT"]]
    assert (sent["ACCOUNT"], sent["DIRECTION"], sent["REPLY_CODE"]) == ("out", "outgoing", "250") and sent["QUEUE_ID"]
    listed = machine.say("journalctl", "--list-catalog", "--no-pager")
    assert [name for name, value in known.items() if value not in listed] == []
    told = machine.say("journalctl", "-x", "--no-pager", "-u", "emailsecd", f"MESSAGE_ID={known['MSG_CHALLENGE']}")
    assert f"emailsecctl challenge accept {challenge['CHALLENGE_ID']}" in told


def test_numbers_for_node_exporter(machine):
    machine.run("install", "-d", "-o", "nobody", "/var/lib/prometheus/node-exporter")
    machine.run("systemctl", "start", "emailsec-metrics.timer", "emailsec-metrics.service")
    path = "/var/lib/prometheus/node-exporter/emailsec.prom"
    kept = re.findall(r"^# TYPE emailsec_sent_messages_total counter$|^# HELP emailsec_sent_messages_total ", machine.say("cat", path), re.M)
    assert len(kept) == 2, "node_exporter would lose help and type"
    assert machine.say("stat", "-c", "%a", path) == "644"
    machine.run("systemctl", "stop", "emailsec-metrics.timer", "emailsecd.service", "emailsecd.socket")
    assert machine.run("systemctl", "start", "emailsec-metrics.service", check=False).returncode != 0
    assert machine.run("test", "-e", path, check=False).returncode != 0, "old numbers stayed"
    machine.run("systemctl", "reset-failed")
    machine.run("systemctl", "start", "emailsecd.socket", "emailsecd.service")


# ---- orders and states of the units

def reachable(machine):
    assert machine.run("emailsecctl", "status", check=False).returncode in (0, 1)
    assert machine.say("systemctl", "is-active", "emailsecd.service", "emailsecd.socket").split() == ["active"] * 2


@pytest.mark.parametrize("commands", (
    "systemctl restart emailsecd.socket",
    "systemctl restart emailsecd.service",
    "systemctl restart emailsecd.socket emailsecd.service",
    "systemctl restart emailsecd.service emailsecd.socket",
    "systemctl stop emailsecd.socket; systemctl start emailsecd.socket",
    "systemctl stop emailsecd.socket; systemctl start emailsecd.service",
    "systemctl stop emailsecd.service emailsecd.socket; systemctl start emailsecd.service",
    "systemctl stop emailsecd.service; systemctl restart emailsecd.socket",
    "systemctl stop emailsecd.service; dpkg --force-confold -i /root/*.deb",
    "systemctl stop emailsecd.service emailsecd.socket; dpkg --force-confold -i /root/*.deb",
    "systemctl stop emailsecd.socket; dpkg --force-confold -i /root/*.deb",
    "dpkg --force-confold -i /root/*.deb",
    "rm /run/emailsecd/io.emailsec; systemctl restart emailsecd.socket",
    "systemctl kill -s KILL emailsecd.service",
), ids=lambda text: re.sub(r"systemctl |dpkg.*|emailsecd\.|[^a-z ]", "", text).strip().replace(" ", "-"))
def test_every_order_ends_reachable(machine, commands):
    for _ in range(3):
        machine.run("sh", "-ec", commands)
        reachable(machine)


@pytest.fixture
def spoilt(machine):
    """Something is put in the way of the start; it is taken away in the end whatever happens."""
    undo = []
    yield lambda spoil, mend: (machine.run("sh", "-ec", spoil), undo.append(mend))
    for mend in undo:
        machine.run("sh", "-c", mend)
    machine.run("systemctl", "restart", "emailsecd")


@pytest.mark.parametrize("spoil, mend", (
    ("echo 'NoSuchKey=1' >/etc/emailsecd/emailsecd.conf.d/wrong.conf", "rm -f /etc/emailsecd/emailsecd.conf.d/wrong.conf"),
    ("mv /usr/sbin/emailsecd /usr/sbin/away", "test ! -e /usr/sbin/away || mv /usr/sbin/away /usr/sbin/emailsecd"),
    ("mv /var/lib/emailsecd/station.db /var/lib/emailsecd/away", "cd /var/lib/emailsecd; test ! -e away || mv away station.db"),
    ("cd /var/lib/emailsecd; cp -p station.db away; printf '\\0\\0\\377\\377' | dd of=station.db bs=1 seek=60 conv=notrunc status=none",
     "cd /var/lib/emailsecd; test ! -e away || mv away station.db"),
    ("printf '[Service]\\nReadOnlyPaths=/var/lib/emailsecd\\n' >/etc/systemd/system/emailsecd.service.d/spoilt.conf; "
     "systemctl daemon-reload", "rm -f /etc/systemd/system/emailsecd.service.d/spoilt.conf; systemctl daemon-reload"),
), ids=("settings", "program", "database", "newer", "read-only"))
def test_a_start_that_fails_is_told_and_heals(machine, spoilt, accounts, spoil, mend):
    """The tool tells it from one that is not there, sendmail has its caller try again, and no start is the last."""
    machine.run("systemctl", "stop", "emailsecd")
    spoilt(spoil, mend)
    machine.run("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do systemctl restart emailsecd; done", check=False)
    for _ in range(3):
        told = machine.run("emailsecctl", "status", check=False)
        assert told.returncode == 3, told.stderr
        assert "emailsecd does not start" in told.stderr and "journalctl -u emailsecd -n 20" in told.stderr
        sent = machine.run("emailsecctl", "sendmail", "box@example.test", check=False, stdin="Subject: x\n\nx\n")
        assert sent.returncode == 75, sent.stderr
    machine.run("sh", "-ec", mend)
    until(lambda: machine.say("systemctl", "is-active", "emailsecd", check=False) == "active", 30, "it gave up")
    reachable(machine)


def test_backup_and_restore(machine, accounts):
    """Out of the sandbox into a file of root's, and back as the daemon's user; the service starts with what was there."""
    queued = send(machine, "--hold")
    machine.run("emailsecctl", "backup", "/root/station.tar", "--secrets")
    assert machine.say("stat", "-c", "%U %a", "/root/station.tar") == "root 600"
    machine.run("sh", "-ec", "mkdir /tmp/look; cd /tmp/look; tar -xf /root/station.tar; sha256sum --quiet -c SHA256SUMS")
    refused = machine.run("emailsecctl", "restore", "/root/station.tar", check=False)
    assert refused.returncode == 1 and "systemctl stop emailsecd.socket emailsecd.service" in refused.stderr
    machine.run("emailsecctl", "account", "delete", "in")
    machine.run("systemctl", "stop", "emailsecd.socket", "emailsecd.service")
    told = machine.say("emailsecctl", "restore", "/root/station.tar", "--force")
    assert re.search(r"\d accounts", told) and "systemctl start emailsecd" in told
    assert machine.say("find", "/var/lib/emailsecd", "!", "-user", "emailsec") == ""
    machine.run("systemctl", "start", "emailsecd")
    reachable(machine)
    assert state(machine, queued) == "held"
    machine.run("emailsecctl", "queue", "release", queued)
    until(lambda: state(machine, queued) == "sent", 30, lambda: machine.say("emailsecctl", "status", check=False))
    machine.run("sh", "-c", "rm -rf /var/lib/emailsecd/replaced-*")


def test_one_that_is_stopped_is_told_as_that(machine):
    machine.run("systemctl", "stop", "emailsecd.service", "emailsecd.socket")
    told = machine.run("emailsecctl", "status", check=False)
    machine.run("systemctl", "start", "emailsecd")
    assert told.returncode == 3 and "is not started" in told.stderr and "systemctl start emailsecd" in told.stderr
    reachable(machine)


def test_one_that_is_masked_is_told_as_that(machine):
    machine.run("systemctl", "stop", "emailsecd.service", "emailsecd.socket")
    machine.run("systemctl", "mask", "emailsecd.service")
    told = machine.run("emailsecctl", "status", check=False)
    machine.run("sh", "-ec", re.search(r"what to do: (systemctl .*)", told.stderr)[1])
    assert told.returncode == 3 and "emailsecd is masked" in told.stderr
    reachable(machine)


def test_one_that_was_killed_is_waited_for(machine):
    machine.run("systemctl", "kill", "-s", "KILL", "emailsecd.service")
    assert machine.run("emailsecctl", "status").stderr == ""
    reachable(machine)


def test_the_users_number_may_change(machine, accounts):
    """As when a machine is set up anew around its disk: what the daemon keeps becomes its own again."""
    def listed():   # without what changes by itself: the status, by which the rows are in order
        return sorted(row.split()[:2] for row in machine.say("emailsecctl", "account", "list").splitlines())

    before = listed()
    machine.run("systemctl", "stop", "emailsecd.service", "emailsecd.socket")
    old = machine.say("id", "-u", "emailsec")
    machine.run("usermod", "-u", "4321", "emailsec")
    machine.run("systemctl", "start", "emailsecd.service")
    reachable(machine)
    assert machine.say("find", "/var/lib/emailsecd", "-uid", old) == ""
    assert listed() == before


def test_by_hand_root_makes_no_files_of_its_own(machine):
    machine.run("systemctl", "stop", "emailsecd.service", "emailsecd.socket")
    done = machine.run("timeout", "5", "/usr/sbin/emailsecd", check=False)
    others = machine.say("find", "/var/lib/emailsecd", "!", "-user", "emailsec")
    machine.run("systemctl", "start", "emailsecd")
    assert done.returncode == 1 and "belongs to user emailsec" in done.stderr and "runuser -u emailsec" in done.stderr
    assert others == ""


DIALOGUE = r"""
exec 3<>/dev/tcp/127.0.0.1/2525
say() { printf '%s\r\n' "$1" >&3; }
hear() { IFS= read -r line <&3; printf '%s\n' "$line"; while [ "${line:3:1}" = - ]; do IFS= read -r line <&3; done; }
hear; say 'EHLO x'; hear; say 'MAIL FROM:<probe@example.test>'; hear; say 'RCPT TO:<box@example.test>'; hear; say DATA; hear
say 'Subject: by smtp'; say ''; say x; say .; hear; say QUIT; hear
"""


def test_submission_socket(machine, accounts):
    """Off at first; enabled and restarted it takes mail from any user of the machine, who is recorded. Postfix has port 25."""
    assert machine.say("systemctl", "is-enabled", "emailsec-smtp.socket", check=False) == "disabled"
    machine.write("/etc/systemd/system/emailsec-smtp.socket.d/port.conf",
                  "[Socket]\nListenStream=\nListenStream=127.0.0.1:2525\nListenStream=[::1]:2525\n")
    machine.write("/etc/emailsecd/emailsecd.conf.d/default.conf", "[Service]\nDefaultAccount=out\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", "emailsec-smtp.socket")
    machine.run("systemctl", "restart", "emailsecd")
    reachable(machine)
    assert machine.say("systemctl", "is-active", "emailsec-smtp.socket", "emailsecd.service").split() == ["active"] * 2
    out = machine.say("runuser", "-u", "nobody", "--", "bash", "-c", DIALOGUE)
    queue_id = re.search(r"queued as (\S+)", out).group(1)
    assert '"submittedBy": "nobody (uid 65534)"' in re.sub(r'":\s*"', '": "', machine.say("emailsecctl", "--json", "queue", "show", queue_id))
    until(lambda: state(machine, queue_id) == "sent", 20)
    machine.run("systemctl", "disable", "--now", "emailsec-smtp.socket")
    machine.run("systemctl", "restart", "emailsecd")
    reachable(machine)
    assert machine.run("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/2525", check=False).returncode != 0


def test_upgrade_keeps_and_purge_removes(machine, accounts):
    """Last: the machine has no station after it."""
    machine.run("systemctl", "enable", "--now", "emailsec-metrics.timer")
    machine.run("sh", "-c", "echo '# mine' >>/etc/emailsecd/emailsecd.conf")
    machine.run("sh", "-c", "dpkg --force-confold -i /root/*.deb")
    reachable(machine)
    assert machine.say("systemctl", "is-active", "emailsec-metrics.timer") == "active"
    assert "# mine" in machine.say("cat", "/etc/emailsecd/emailsecd.conf")
    assert "out" in machine.say("emailsecctl", "account", "list")
    machine.run("systemctl", "start", "emailsec-metrics.service", check=False)
    # a listener that was switched on does not outlive its service
    machine.write("/etc/systemd/system/emailsec-smtp.socket.d/port.conf", "[Socket]\nListenStream=\nListenStream=127.0.0.1:2525\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", "emailsec-smtp.socket")
    machine.run("systemctl", "restart", "emailsecd")
    assert machine.say("systemctl", "is-active", "emailsec-smtp.socket") == "active"
    machine.run("dpkg", "-r", "emailsecd")
    assert machine.run("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/2525", check=False).returncode != 0
    assert machine.run("test", "-e", "/var/lib/emailsecd/station.db", check=False).returncode == 0
    assert "emailsec" not in machine.say("systemctl", "list-units", "--all", "--failed", "--no-legend", "--plain")
    machine.run("dpkg", "-P", "emailsecd", "emailsecctl")
    for path in ("/var/lib/emailsecd", "/etc/emailsecd", "/usr/sbin/emailsecd", "/run/emailsecd",
                 "/etc/systemd/system/emailsecd.service.d", "/var/lib/prometheus/node-exporter/emailsec.prom"):
        assert machine.run("test", "-e", path, check=False).returncode != 0, path
    left = machine.say("systemctl", "list-units", "--all", "--no-legend", "--plain", "emailsec*")
    assert left == "", left


def test_sendmail_is_offered_on_request_only(machine, packages):
    machine.run("sh", "-c", "dpkg --purge postfix; dpkg -i /root/*.deb")
    with open(os.path.join(ROOT, "README.md")) as readme:
        offer = re.search(r"sudo (update-alternatives (?:.*\\\n)*.*\n)", readme.read()).group(1)
    names = ("/usr/sbin/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases")
    for name in names:
        assert machine.run("test", "-L", name, check=False).returncode != 0, f"{name} was taken unasked"
    machine.run("sh", "-ec", offer)
    machine.run("emailsecctl", "account", "add", "outgoing", "out", "hostname=127.0.0.1", "from=station@example.test")
    machine.run("/usr/sbin/sendmail", "-t", stdin="To: box@example.test\nSubject: by sendmail\n\nhello\n")
    assert "box@example.test" in machine.say("/usr/bin/mailq")
    machine.run("/usr/bin/newaliases")
    machine.run("dpkg", "-P", "emailsecd", "emailsecctl")
    for name in names:
        assert machine.run("test", "-L", name, check=False).returncode != 0, f"{name} outlived the tool"


def test_mail_transport_agent(machine, packages):
    """emailsec-mta has the names; what depends on a mail transport agent is content with it, and no other comes beside it."""
    machine.run("sh", "-c", "dpkg --purge postfix; dpkg -i /root/*.deb /root/mta/*.deb")
    for name in ("/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases"):
        assert machine.say("readlink", "-f", name) == "/usr/bin/emailsecctl"
    machine.run("emailsecctl", "account", "add", "outgoing", "out", "hostname=127.0.0.1", "from=station@example.test", check=False)
    machine.run("emailsecctl", "account", "disable", "out")
    machine.run("/usr/lib/sendmail", "-t", stdin="To: box@example.test\nSubject: by sendmail\n\nhello\n")
    assert "box@example.test" in machine.say("mailq")
    machine.write("/root/client/DEBIAN/control", "Package: client\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.test>\n"
                  "Depends: default-mta | mail-transport-agent\nDescription: as bsd-mailx depends\n")
    machine.write("/root/other/DEBIAN/control", "Package: other\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.test>\n"
                  "Provides: mail-transport-agent\nConflicts: mail-transport-agent\nDescription: another one\n")
    for name in ("client", "other"):
        machine.run("dpkg-deb", "-b", f"/root/{name}", f"/root/{name}.package")
    machine.run("dpkg", "-i", "/root/client.package")
    assert machine.run("dpkg", "-i", "/root/other.package", check=False).returncode != 0
    machine.run("dpkg", "-P", "client", "other", check=False)
    machine.run("dpkg", "-P", "emailsec-mta", "emailsecd", "emailsecctl")
    assert machine.run("test", "-L", "/usr/sbin/sendmail", check=False).returncode != 0
