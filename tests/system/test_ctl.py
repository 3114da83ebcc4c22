# SPDX-License-Identifier: MIT
"""emailsecctl against a scripted daemon: exit statuses, words, JSON, questions, what it sends.

Runs by itself: /usr/bin/python3 -m pytest tests/system/test_ctl.py; $BUILD names the build folder.
"""
import email
import email.policy
import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import termios
import threading

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_daemon import EMAIL, HANG_UP, TRUST, Error, FakeDaemon, WithFile  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(ROOT, os.environ.get("BUILD", "build/plain"), "emailsecctl")
SHA = "ab" * 32
COLONS = ":".join(["AB"] * 32)
CERTIFICATE = {"subject": "CN=mail.example", "issuer": "CN=Some CA", "serial": "01",
               "subjectAltNames": ["DNS:mail.example"], "notBefore": "2026-01-01T00:00:00Z",
               "notAfter": "2027-01-01T00:00:00Z", "fingerprintSha256": SHA, "publicKeySha256": "cd" * 32,
               "keyAlgorithm": "RSA", "keySize": 2048, "signatureAlgorithm": "sha256"}
ENTRY = {"id": "12ab34cd56ef7890", "host": "mail.example", "port": 465, "state": "pending", "class": "changed",
         "accounts": ["alarms"], "created": "2026-11-23T10:00:00Z", "decided": None, "decidedBy": None, "reason": None,
         "expires": None, "lastSeen": None, "pins": "certificate", "replaces": "00ff",
         "errors": [{"code": "unknownIssuer", "depth": 0, "text": "its issuer is not known here",
                     "remedy": "import the issuer"}], "needless": False, "certificate": CERTIFICATE, "chain": []}
OLD_ENTRY = dict(ENTRY, id="00ff00ff", state="approved",
                 certificate=dict(CERTIFICATE, serial="00", fingerprintSha256="ee" * 32))
ACCOUNT = {"name": "alarms", "kind": "outgoing", "warnings": ["port 25 is unusual"],
           "properties": {"name": "alarms", "kind": "outgoing", "transport": "smtp", "hostname": "mail.example",
                          "port": "auto", "useSsl": True, "useStartTls": False, "status": "ok", "queueSize": 3,
                          "passwordSource": "stored"}}


def environment(**more):
    env = {k: v for k, v in os.environ.items() if k not in ("EMAILSEC_SOCKET", "COLUMNS", "PAGER", "NO_COLOR")}
    env.update({"LC_ALL": "C.UTF-8", "TZ": "UTC", "TERM": "dumb"})
    env.update(more)
    return env


def run(*args, data=b"", **more):
    done = subprocess.run([TOOL, *args], input=data, capture_output=True, timeout=60, env=environment(**more),
                          check=False)
    done.out = done.stdout.decode()
    done.err = done.stderr.decode()
    return done


@pytest.fixture
def station(tmp_path):
    """Starts a daemon with these answers; gives a function that runs the tool against it."""
    daemons = []

    def start(**answers):
        table = {}
        for method, answer in answers.items():
            trust = method in ("ListAllowedHosts", "GetAllowedHost", "Approve", "Reject", "Unapprove", "Prune",
                               "DeleteAllowedHost", "ListAnchors", "GetAnchor", "ImportAnchors", "DeleteAnchor")
            table[(TRUST if trust else EMAIL) + method] = answer
        daemon = FakeDaemon(tmp_path, table)
        daemon.__enter__()
        daemons.append(daemon)
        daemon.run = lambda *args, **more: run("--socket", daemon.path, *args, **more)
        return daemon

    yield start
    for daemon in daemons:
        daemon.__exit__()


def on_terminal(args, answers=(), size=None, env=None):
    """Runs the tool on a pty; answers: (what to wait for, what to type). Gives status and all output."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(TOOL, [TOOL, *args], env or environment())
    output = b""
    waiting = list(answers)
    seen = 0
    while True:
        ready, _, _ = select.select([fd], [], [], 30)
        assert ready, output
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        output += data
        if waiting and waiting[0][0].encode() in output[seen:]:
            seen = len(output)
            os.write(fd, waiting.pop(0)[1].encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    assert not waiting, output
    return os.waitstatus_to_exitcode(status), output.decode()


# ---- usage ----

@pytest.mark.parametrize("args, words", [
    (["acount", "list"], "did you mean 'account'"),
    (["account", "lst"], "did you mean 'account list'"),
    (["account"], "needs a second word"),
    (["test", "alarms"], "did you mean 'account test'"),
    (["tls"], "did you mean 'account secure'"),
    (["account", "rm"], "did you mean 'account delete'"),
    (["status", "--problem"], "did you mean --problems"),
    (["send", "--user", "a"], "did you mean --account"),
    (["queue", "list", "a", "--account", "b"], "two accounts"),
    (["log", "-n", "many"], "no number of lines"),
    (["help", "acount"], "did you mean 'account'"),
    (["status", "--watch"], "for a terminal"),
    (["account", "show"], "needs NAME"),
    (["account", "show", "a", "b"], "unexpected argument: b"),
    (["account", "set", "a", "nonsense"], "is not PROPERTY=VALUE"),
    (["account", "secure", "a", "tls"], "ssl|starttls|none"),
    (["status", "--colour"], "no option --colour"),
    (["queue", "list", "--account"], "needs a value"),
    (["challenge", "accept", "x"], "--fingerprint is required"),
    (["challenge", "accept", "x", "--fingerprint", "abcd"], "16 or more"),
    (["challenge", "accept", "x", "--fingerprint", SHA, "--for", "1d", "--until", "2027-01-01"], "exclude each other"),
    (["challenge", "accept", "x", "--fingerprint", SHA, "--for", "soon"], "--for"),
    (["challenge", "accept", "x", "--fingerprint", SHA, "--for", "9999999w"], "longer than dates go"),
    (["challenge", "accept", "x", "--fingerprint", SHA, "--for", "9223372036854775807"], "longer than dates go"),
    (["challenge", "accept", "x", "--fingerprint", SHA, "--until", "1970-01-01"], "in the past"),
    (["challenge", "accept", "x", "--fingerprint", SHA, "--until", "2027-02-30"], "is not a date"),
    (["challenge", "accept", "x", "--fingerprint", SHA, "--until", "tomorrow"], "is not a date"),
    (["challenge", "accept", "x", "--fingerprint", SHA, "--until", "9999-12-31T23:00:00-02:00"], "year 9999"),
    (["account", "password", "a", "--credential", "x", "--clear"], "exclude each other"),
    (["probe", "host:99999"], ""),
    (["log", "../etc"], "not the name of an account"),
    (["send", "--to", "a@b.example", "-s", "two\nlines"], "one line"),
    (["send", "--to", "a@b.example", "--header", "nothing"], "NAME: TEXT"),
])
def test_usage(args, words):
    done = run(*args)
    assert done.returncode == 2, done
    assert words in done.err
    assert "what to do:" in done.err
    assert done.out == ""


def test_help_goes_out_and_fits():
    done = run("--help")
    assert done.returncode == 0 and done.err == ""
    assert run("-h").out == done.out
    assert max(map(len, done.out.splitlines())) <= 80
    assert "account add" in done.out and "complete" not in done.out
    for args in (["account", "--help"], ["account", "add", "--help"], ["send", "-h"]):
        assert run(*args).returncode == 0
    assert run("--version").out.startswith("emailsecctl ")


def test_help_of_a_command():
    for words in (["account", "add"], ["status"], ["account"], ["trust", "key"], ["help"]):
        assert run("help", *words).out == run(*words, "--help").out != ""
    assert run("help").out == run("--help").out


def commands_in_help():
    return re.findall(r"^  ([a-z]+(?: [a-z-]+)?)(?= |$)", run("--help").out.split("Options:")[0], re.M)


def test_manual_names_every_command_and_option():
    """The manual page and the table of commands say the same."""
    with open(os.path.join(ROOT, "man", "emailsecctl.1"), encoding="utf-8") as file:
        manual = file.read()
    told = set(re.findall(r"^\.It Ic (.+?)(?: Oo| Ar| Op| Cm|$)", manual, re.M))
    table = {c for c in commands_in_help()}
    assert table == told
    for command in table:
        if command == "sendmail":
            continue
        for option in re.findall(r"--([a-z-]+)", run(*command.split(), "--help").out.split("COMMAND")[0]):
            assert f"Fl -{option}" in manual.replace("\\-", "-"), (command, option)


# ---- no daemon ----

def test_no_socket(tmp_path):
    done = run("--socket", str(tmp_path / "none"), "status")
    assert done.returncode == 3
    assert "there is no socket" in done.err and "what to do" in done.err


def test_nobody_listens(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    done = run("--socket", path, "status")
    assert done.returncode == 3 and "nobody listens" in done.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_socket_not_permitted(station):
    daemon = station()
    os.chmod(daemon.path, 0)
    done = daemon.run("status")
    assert done.returncode == 3 and "you may not open" in done.err


def test_daemon_hangs_up(station):
    done = station(GetStatus=lambda *unused: HANG_UP).run("status")
    assert done.returncode == 3 and "closed the connection" in done.err


def test_socket_from_environment(station):
    daemon = station(ListAccounts={"accounts": []})
    assert run("--json", "account", "list", EMAILSEC_SOCKET=daemon.path).out == "[]\n"


# ---- errors of the daemon ----

@pytest.mark.parametrize("name, status", [("NotFound", 1), ("PermissionDenied", 4), ("Busy", 1), ("Failed", 1)])
def test_refused(station, name, status):
    code = "AuthenticationRefused" if name == "Failed" else None
    done = station(GetAccount=Error(EMAIL + name, code=code)).run("account", "show", "x")
    assert done.returncode == status
    assert done.err == "emailsecctl: it went wrong\n  what to do: mend it\n"


def test_every_problem_is_told(station):
    problems = [{"property": "port", "code": "InvalidProperty", "text": "70000 is no port", "remedy": "1 to 65535"},
                {"property": "hostname", "code": "InvalidProperty", "text": "bad name", "remedy": "a name"}]
    daemon = station(AddAccount=Error(EMAIL + "InvalidProperty", problems=problems))
    done = daemon.run("account", "add", "outgoing", "a", "port=70000", "hostname=!")
    assert done.returncode == 1
    assert done.err.splitlines() == ["emailsecctl: port: 70000 is no port", "  what to do: 1 to 65535",
                                     "emailsecctl: hostname: bad name", "  what to do: a name"]


def test_text_from_outside_is_harmless(station):
    done = station(GetAccount=Error(EMAIL + "NotFound", text="\033[31mred\nline")).run("account", "show", "x")
    assert "\033" not in done.err and len(done.err.splitlines()) == 2


def test_unknown_method(station):
    done = station().run("status")
    assert done.returncode == 1 and "same version" in done.err


# ---- accounts ----

def test_account_values_are_typed(station):
    daemon = station(SetAccount={"account": ACCOUNT})
    done = daemon.run("account", "set", "alarms", "useSsl=true", "port=465", "account=007", "hostname=a=b",
                      "pollRate=5m")
    assert done.returncode == 0
    assert done.err == "warning: port 25 is unusual\n"
    assert daemon.calls[0]["parameters"] == {"name": "alarms", "properties": {
        "useSsl": True, "port": 465, "account": "007", "hostname": "a=b", "pollRate": "5m"}}


@pytest.mark.parametrize("how, ssl, starttls, options, port", [
    ("ssl", True, False, [], "auto"), ("starttls", False, True, ["--port", "2525"], 2525),
    ("none", False, False, ["--port=auto"], "auto")])
def test_account_secure(station, how, ssl, starttls, options, port):
    daemon = station(SetAccount={"account": ACCOUNT})
    assert daemon.run("account", "secure", "alarms", how, *options).returncode == 0
    assert daemon.calls[0]["parameters"]["properties"] == {"useSsl": ssl, "useStartTls": starttls, "port": port}


def test_account_show(station):
    daemon = station(GetAccount={"account": ACCOUNT})
    done = daemon.run("account", "show", "alarms")
    assert re.search(r"hostname +mail\.example", done.out) and "port 25 is unusual" in done.out
    assert json.loads(daemon.run("--json", "account", "show", "alarms").out) == ACCOUNT


def test_account_list_is_a_table(station):
    daemon = station(ListAccounts={"accounts": [ACCOUNT]})
    lines = daemon.run("account", "list").out.splitlines()
    assert lines[0].split() == ["NAME", "KIND", "TRANSPORT", "HOSTNAME", "PORT", "STATUS"]
    assert lines[1].split() == ["alarms", "outgoing", "smtp", "mail.example", "auto", "ok"]
    assert len(daemon.run("account", "list", "--no-legend").out.splitlines()) == 1
    assert json.loads(daemon.run("account", "list", "--json").out) == [ACCOUNT]


def test_account_list_has_the_worst_first(station):
    """As a table; as JSON in the daemon's order. On a terminal with totals."""
    accounts = [dict(ACCOUNT, name=status, properties=dict(ACCOUNT["properties"], status=status))
                for status in ("ok", "disabled", "fault", "down", "challenge")]
    daemon = station(ListAccounts={"accounts": accounts})
    lines = daemon.run("account", "list", "--no-legend").out.splitlines()
    assert [line.split()[0] for line in lines] == ["challenge", "fault", "down", "ok", "disabled"]
    assert [a["name"] for a in json.loads(daemon.run("account", "list", "--json").out)][0] == "ok"
    _, output = on_terminal(["--socket", daemon.path, "--no-pager", "account", "list"])
    assert "5 accounts: 1 works, 1 disabled, 1 down, 1 fault, 1 challenge" in output


def test_password_from_pipe(station):
    daemon = station(SetPassword={})
    assert daemon.run("account", "password", "alarms", data=b"s3cret word\r\nmore\n").returncode == 0
    assert daemon.calls[0]["parameters"] == {"name": "alarms", "password": "s3cret word"}


@pytest.mark.parametrize("data", [b"", b"\n", b"x" * 70000, b"\xff\xfe\n"])
def test_bad_password_from_pipe(station, data):
    daemon = station(SetPassword={})
    done = daemon.run("account", "password", "alarms", data=data)
    assert done.returncode == 1 and daemon.calls == []


def test_password_is_asked_without_echo(station):
    daemon = station(SetPassword={})
    status, output = on_terminal(["--socket", daemon.path, "account", "password", "alarms"],
                                 [("Password of alarms: ", "s3cret")])
    assert status == 0 and "s3cret" not in output
    assert daemon.calls[0]["parameters"]["password"] == "s3cret"


def test_password_is_not_asked(station):
    daemon = station(SetPassword={})
    status, output = on_terminal(["--socket", daemon.path, "--no-ask-password", "account", "password", "alarms"])
    assert status == 1 and "--no-ask-password" in output and daemon.calls == []


@pytest.mark.parametrize("args, sent", [(["--clear"], {"clear": True}), (["--credential", "c"], {"credential": "c"})])
def test_password_otherwise(station, args, sent):
    daemon = station(SetPassword={})
    assert daemon.run("account", "password", "alarms", *args).returncode == 0
    assert daemon.calls[0]["parameters"] == {"name": "alarms", **sent}


def test_poll(station):
    daemon = station(Poll={"text": "2 sent", "sent": 2, "received": 0, "left": 0, "failed": 0})
    assert daemon.run("account", "poll", "alarms").out == "2 sent\n"
    assert daemon.calls[0]["parameters"] == {"name": "alarms", "wait": True}
    daemon.run("account", "poll", "alarms", "--no-wait")
    assert daemon.calls[1]["parameters"]["wait"] is False


STEPS = [{"step": {"step": "resolve", "result": "ok", "milliseconds": 12, "text": "192.0.2.7", "cause": None}},
         {"step": {"step": "connect", "result": "failed", "milliseconds": 3, "text": "refused",
                   "cause": {"code": "Connect", "text": "refused", "remedy": "start it", "retries": True,
                             "property": None}}}]


@pytest.mark.parametrize("locale, ok, failed", [("C.UTF-8", "\u2713", "\u2717"), ("C", "ok", "XX")])
def test_steps(station, locale, ok, failed):
    daemon = station(TestAccount=STEPS, Probe=STEPS[:1])
    done = daemon.run("account", "test", "alarms", LC_ALL=locale)
    assert done.returncode == 1
    lines = done.out.splitlines()
    assert re.match(ok + r" resolve +12 ms  192\.0\.2\.7$", lines[0])
    assert lines[1].startswith(failed) and lines[2].strip() == "what to do: start it"
    assert daemon.run("probe", "mail.example:465", "--security", "ssl").returncode == 0
    assert daemon.calls[-1]["parameters"] == {"host": "mail.example", "port": 465, "security": "ssl"}
    assert len(json.loads(daemon.run("account", "test", "alarms", "--json").out)) == 2


def test_audit_alert(station):
    finding = {"account": "a", "check": "tls", "verdict": "alert", "text": "no TLS", "remedy": "secure it"}
    assert station(Audit={"findings": [finding]}).run("audit").returncode == 1


def test_export_and_apply(station, tmp_path):
    daemon = station(ListAccounts={"accounts": [ACCOUNT]},
                     Apply={"changes": [{"account": "alarms", "change": "set", "text": "change alarms",
                                         "properties": {"port": 465}}]})
    exported = json.loads(daemon.run("account", "export").out)
    assert exported == {"accounts": [{"name": "alarms", "kind": "outgoing", "transport": "smtp", "port": "auto",
                                      "hostname": "mail.example", "useSsl": True, "useStartTls": False}]}
    assert daemon.run("account", "export", "nobody").returncode == 1
    for document in (exported, exported["accounts"], [ACCOUNT]):
        done = daemon.run("account", "apply", "-", "--dry-run", data=json.dumps(document).encode())
        assert done.returncode == 0 and "change alarms" in done.out and "465" in done.out
        assert daemon.calls[-1]["parameters"] == {"accounts": exported["accounts"], "dryRun": True}
    done = daemon.run("account", "apply", "-", data=b'{"accounts": [')
    assert done.returncode == 1 and "line 1" in done.err
    assert daemon.run("account", "apply", str(tmp_path / "none")).returncode == 1


# ---- challenges ----

def test_challenge_show(station):
    daemon = station(GetAllowedHost={"entry": ENTRY, "replaced": OLD_ENTRY})
    out = daemon.run("challenge", "show", "12ab").out
    assert out.index("emailsecctl trust import FILE") < out.index("What failed")
    assert COLONS[:47] in out and "its issuer is not known here" in out and "import the issuer" in out
    assert re.search(r"- serial +00", out) and re.search(r"\+ serial +01", out)
    assert "- issuer" not in out
    assert json.loads(daemon.run("challenge", "show", "12ab", "--json").out) == ENTRY
    short = ENTRY["id"][:12]
    assert f"challenge accept {short} --fingerprint" in out and f"challenge reject {short}" in out and "operator tells you" in out


def test_regression_is_plain(station):
    daemon = station(GetAllowedHost={"entry": dict(ENTRY, **{"class": "regression"}), "replaced": None})
    assert "This is what an attack looks like" in daemon.run("challenge", "show", "12ab").out


def test_challenge_list(station):
    daemon = station(ListAllowedHosts={"entries": [ENTRY]})
    out = daemon.run("challenge", "list").out
    assert daemon.calls[0]["parameters"] == {"state": "pending"}
    assert out.splitlines()[1].split()[:3] == ["12ab34cd56ef", "mail.example", "465"]


def test_accept_by_option(station):
    daemon = station(Approve={"entry": dict(ENTRY, state="approved")})
    done = daemon.run("challenge", "accept", "mail.example:465", "--fingerprint", COLONS[:47], "--until", "2027-01-31",
                      "--reason", "seen it", "--key")
    assert done.returncode == 0 and done.out == "mail.example:465: approved\n"
    assert daemon.calls[0]["parameters"] == {"id": "mail.example:465", "fingerprint": COLONS[:47], "pins": "key",
                                             "until": "2027-01-31T00:00:00Z", "reason": "seen it"}


def test_accept_on_a_terminal(station):
    daemon = station(GetAllowedHost={"entry": ENTRY, "replaced": None}, Approve={"entry": ENTRY})
    status, output = on_terminal(["--socket", daemon.path, "challenge", "accept", "12ab"],
                                 [("or more): ", "yes"), ("or more): ", SHA[:16])])
    assert status == 0 and "not enough" in output and "CN=Some CA" in output
    assert daemon.calls[-1]["parameters"] == {"id": ENTRY["id"], "fingerprint": SHA[:16], "errors": ["unknownIssuer"]}


def test_accept_on_a_terminal_what_is_no_longer_so(station):
    daemon = station(GetAllowedHost={"entry": ENTRY, "replaced": None},
                     Approve=Error(TRUST + "WrongState", "it has errors that were not seen: expired",
                                   "show it again: emailsecctl challenge show 12ab34cd56ef"))
    status, output = on_terminal(["--socket", daemon.path, "challenge", "accept", "12ab"], [("or more): ", SHA[:16])])
    assert status == 1 and "not seen: expired" in output and "challenge show 12ab34cd56ef" in output


def test_accept_nothing(station):
    daemon = station(GetAllowedHost={"entry": ENTRY, "replaced": None})
    status, output = on_terminal(["--socket", daemon.path, "challenge", "accept", "12ab"], [("or more): ", "")])
    assert status == 1 and "nothing was approved" in output


@pytest.mark.parametrize("words, method", [(["challenge", "reject", "x"], "Reject"),
                                           (["allowed", "unapprove", "x"], "Unapprove"),
                                           (["allowed", "delete", "x"], "DeleteAllowedHost")])
def test_other_decisions(station, words, method):
    daemon = station(**{method: {"entry": ENTRY}})
    assert daemon.run(*words).returncode == 0
    assert daemon.calls[0] == {"method": TRUST + method, "parameters": {"id": "x"}}


def test_prune(station):
    assert station(Prune={"ids": ["12ab34cd56ef7890"]}).run("allowed", "prune").out == "12ab34cd56ef: deleted\n"


# ---- trust ----

def test_trust_import(station, tmp_path):
    results = [{"fingerprintSha256": SHA, "subject": "CN=Root", "result": "imported", "text": "new"}]
    daemon = station(ImportAnchors={"results": results})
    file = tmp_path / "root.der"
    file.write_bytes(b"\x30\x82\x00")
    done = daemon.run("trust", "import", str(file), "-", data=b"pem")
    assert done.returncode == 0 and "CN=Root" in done.out
    assert [c["parameters"]["certificates"] for c in daemon.calls] == ["MIIA", "cGVt"]
    results[0]["result"] = "refused"
    assert daemon.run("trust", "import", str(file)).returncode == 1
    assert daemon.run("trust", "import", str(tmp_path / "none")).returncode == 1
    assert daemon.run("trust", "import", "-", data=b"").returncode == 1


def test_trust_import_names_a_bad_file_and_goes_on(station, tmp_path):
    def imported(parameters, _):
        if parameters["certificates"] == "YmFk":
            return Error(EMAIL + "InvalidProperty", "there is no certificate in it")
        return {"results": [{"fingerprintSha256": SHA, "subject": "CN=Root", "result": "imported", "text": "new"}]}

    daemon = station(ImportAnchors=imported)
    bad, good = tmp_path / "bad.pem", tmp_path / "good.pem"
    bad.write_bytes(b"bad")
    good.write_bytes(b"good")
    done = daemon.run("trust", "import", str(tmp_path / "none.pem"), str(bad), str(good))
    assert done.returncode == 1 and "CN=Root" in done.out
    assert "bad.pem: there is no certificate in it" in done.err and "none.pem: No such file" in done.err
    assert "good.pem" not in done.err and "state folder" not in done.err


def test_a_text_in_place_of_a_file(station):
    done = station().run("send", "--to", "a@b.example", "hello world")
    assert done.returncode == 1
    assert "hello world: No such file" in done.err and "by standard input" in done.err and "state folder" not in done.err


def test_tls_is_told_in_words(station):
    tls = {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "verifiedBy": "allowedHost",
           "fingerprintSha256": SHA, "notAfter": "2031-01-01T00:00:00Z"}
    account = {**ACCOUNT, "properties": {**ACCOUNT["properties"], "tls": tls}}
    out = station(GetAccount={"account": account}).run("account", "show", "alarms").out
    assert re.search(r"tls +TLSv1.3, TLS_AES_256_GCM_SHA384, verified by an exemption, certificate until .*2031", out)


def test_help_tells_values_and_defaults():
    out = " ".join(run("account", "add", "--help").out.split())
    assert "(1..65535 | auto; else auto)" in out and "incoming only" in out and "required" in out
    assert max(map(len, run("account", "add", "--help").out.splitlines())) <= 110


# ---- sending ----

SUBMITTED = {"id": "Q1", "account": "alarms", "duplicate": False}


def test_send_text(station):
    daemon = station(Submit=SUBMITTED)
    done = daemon.run("send", "--account", "alarms", "--to", "A <a@b.example>", "--cc", "c@d.example", "--bcc",
                      "x@y.example", "-s", "Hello", "--header", "X-A: b", "--priority", "urgent", "--key", "k", "--hold",
                      data=b"text\n")
    assert (done.returncode, done.out) == (0, "Q1\n")
    assert daemon.calls[0]["parameters"] == {
        "account": "alarms", "key": "k", "priority": "urgent", "hold": True, "descriptor": 0, "partial": True,
        "recipients": ["a@b.example", "c@d.example", "x@y.example"]}
    assert daemon.files[0] == b"To: A <a@b.example>\nCc: c@d.example\nSubject: Hello\nX-A: b\n\ntext\n"


def test_send_text_in_utf8_with_attachment(station, tmp_path):
    daemon = station(Submit=SUBMITTED)
    file = tmp_path / "r\u00e9port.bin"
    file.write_bytes(bytes(range(256)))
    done = daemon.run("send", "--to", "a@b.example", "--from", "J\u00fcrgen <j@k.example>", "-s", "\u00dcberlauf",
                      "--attach", str(file), data="Gr\u00fc\u00dfe\n".encode())
    assert done.returncode == 0, done.err
    message = email.message_from_bytes(daemon.files[0], policy=email.policy.default)
    assert daemon.files[0].isascii() and message["Subject"] == "\u00dcberlauf"
    assert message["From"] == "J\u00fcrgen <j@k.example>"
    assert message.get_body().get_content().replace("\r", "") == "Gr\u00fc\u00dfe\n"
    attachment = next(message.iter_attachments())
    assert attachment.get_filename() == "r\u00e9port.bin" and attachment.get_content() == bytes(range(256))
    assert daemon.calls[0]["parameters"]["from"] == "j@k.example"


@pytest.mark.parametrize("name, content, kind, charset", (
    ("a.txt", b"plain\n", "text/plain", "us-ascii"),
    ("a.txt", ("\u00fc" * 70000).encode(), "text/plain", "utf-8"),
    ("a.txt", ("x" + "\u20ac" * 70000).encode(), "text/plain", "utf-8"),
    ("a.txt", b"line\n" * 20000 + b"\xfc", "text/plain", None),
    ("a.txt", "\u00fc".encode()[:1], "text/plain", None),
    ("a.txt", b"line\n" * 20000 + b"\0", "application/octet-stream", None)), ids=range(6))
def test_send_attached_text(station, tmp_path, name, content, kind, charset):
    """What looks like text by its first bytes, and by its name, is one as far as all of it is; byte for byte it goes."""
    daemon = station(Submit=SUBMITTED)
    (tmp_path / name).write_bytes(content)
    daemon.run("send", "--to", "a@b.example", "-s", "x", "--attach", str(tmp_path / name), data=b"x")
    attachment = next(email.message_from_bytes(daemon.files[0], policy=email.policy.default).iter_attachments())
    assert attachment.get_payload(decode=True) == content
    assert (attachment.get_content_type(), attachment.get_param("charset")) == (kind, charset)


@pytest.mark.parametrize("attached", (False, True))
def test_send_writes_addresses(station, tmp_path, attached):
    """Local names are the daemon's to make whole, with an attachment as without; what is no address is told of, and the others get it."""
    daemon = station(Submit=SUBMITTED)
    file = tmp_path / "a.bin"
    file.write_bytes(b"\0")
    done = daemon.run("send", "--to", "root", "--to", "J\u00fcrgen <u@b\u00fccher.example>, two words", "--cc", "a..b@c.example",
                      "--from", "plant", "-s", "x", *(["--attach", str(file)] if attached else []), data=b"a\rb\n")
    assert done.returncode == 0 and "'two words'" in done.err, done.err
    parameters, message = daemon.calls[0]["parameters"], email.message_from_bytes(daemon.files[0], policy=email.policy.default)
    assert parameters["from"] == "plant" and parameters["recipients"] == ["root", "u@b\u00fccher.example", "a..b@c.example"]
    assert message["From"] == "plant" and daemon.files[0].isascii()
    to = str(message["To"])
    assert to.startswith("root,") and "J\u00fcrgen <u@xn--bcher-kva.example>" in to
    text = message.get_body() or message
    assert text.get_payload(decode=True).replace(b"\r\n", b"\n").rstrip(b"\n") == b"a\rb"


def test_send_large_attachments(station, tmp_path):
    """Several, 34 MiB once encoded: they never lie in the tool's memory."""
    daemon = station(Submit=SUBMITTED)
    contents = [os.urandom(20 * 2**20), os.urandom(5 * 2**20), b"piped"]
    files = [tmp_path / "one.bin", tmp_path / "two.bin"]
    for file, content in zip(files, contents):
        file.write_bytes(content)
    script = ("import resource, subprocess, sys\nstatus = subprocess.run(sys.argv[1:]).returncode\n"
              "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\nsys.exit(status)\n")
    done = subprocess.run([sys.executable, "-c", script, TOOL, "send", "--to", "a@b.example", "-s", "large", "--attach",
                           files[0], "--attach", files[1], "--attach", "/dev/fd/0", "/dev/null"], input=contents[2],
                          capture_output=True, env=environment(EMAILSEC_SOCKET=daemon.path), check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    message = email.message_from_bytes(daemon.files[0], policy=email.policy.default)
    assert [part.get_payload(decode=True) for part in message.iter_attachments()] == contents
    if "asan" not in TOOL:
        assert int(done.stdout.split()[-1]) < 16 * 1024, "KiB of memory"


def test_send_whole_message(station, tmp_path):
    daemon = station(Submit=SUBMITTED)
    message = b"From: a@b.example\r\nTo: c@d.example\r\nSubject: s\r\n\r\nbody\r\n.\r\nend\r\n"
    file = tmp_path / "message.eml"
    file.write_bytes(message)
    assert daemon.run("send", str(file)).returncode == 0
    assert daemon.files[0] == message
    assert daemon.calls[0]["parameters"]["recipients"] == ["c@d.example"]
    assert daemon.run("send", "--to", "x@y.example", "--from", "", data=message).returncode == 0
    assert daemon.calls[1]["parameters"]["recipients"] == ["x@y.example"]
    assert daemon.calls[1]["parameters"]["from"] == ""


def test_send_header(station, tmp_path):
    """In a whole message, in one that MIME makes; and nothing else comes in by it."""
    daemon = station(Submit=SUBMITTED)
    extra = ["--header", "X-A: b", "--header", "X-C: d"]
    assert daemon.run("send", *extra, data=b"To: c@d.example\nSubject: s\n\nbody\n").returncode == 0
    assert daemon.files[0] == b"X-A: b\nX-C: d\nTo: c@d.example\nSubject: s\n\nbody\n"
    (tmp_path / "file").write_bytes(b"attached")
    assert daemon.run("send", *extra, "--to", "c@d.example", "--attach", str(tmp_path / "file"), data=b"x").returncode == 0
    made = email.message_from_bytes(daemon.files[1])
    assert (made["X-A"], made["X-C"], made.is_multipart()) == ("b", "d", True)
    for bad in ("X-A: b\nBcc: e@f.example", ": b", "X A: b", ""):
        assert daemon.run("send", "--to", "c@d.example", "--header", bad, data=b"x").returncode == 2, bad
    assert len(daemon.calls) == 2


def test_send_refuses(station, tmp_path):
    daemon = station(Submit=SUBMITTED)
    assert daemon.run("send", "-s", "x", data=b"text").returncode == 1
    assert daemon.run("send", "--to", "a@b@c", "-s", "x", data=b"text").returncode == 1
    assert daemon.run("send", "--to", "a@b.example", str(tmp_path / "none")).returncode == 1
    assert daemon.run("send", "--to", "a@b.example", "--attach", str(tmp_path / "none")).returncode == 1
    signed = b"Subject: s\nContent-Type: multipart/signed; boundary=b\n\n" + b"x" * 1000 + b"\n"
    done = daemon.run("send", "--to", "a@b.example", data=signed)
    assert done.returncode == 1 and "line 4" in done.err
    assert daemon.calls == []


@pytest.mark.parametrize("state, status", [("sent", 0), ("failed", 1), ("held", 1)])
def test_send_waits(station, state, status):
    message = {"id": "Q1", "state": state, "cause": "refused there"}
    daemon = station(Submit=SUBMITTED, WaitMessage={"message": message})
    done = daemon.run("send", "--to", "a@b.example", "-s", "x", "--wait", data=b"text")
    assert done.returncode == status and done.out == "Q1\n"
    assert ("refused there" in done.err) == bool(status)


# ---- the sendmail form ----

@pytest.fixture
def sendmail(station, tmp_path):
    link = tmp_path / "sendmail"
    link.symlink_to(TOOL)

    def call(*args, data=b"Subject: s\n\nbody\n", answer=None):
        daemon = station(Submit=answer or SUBMITTED) if not call.daemon else call.daemon
        call.daemon = daemon
        return subprocess.run([str(link), *args], input=data, capture_output=True, timeout=60, check=False,
                              env=environment(EMAILSEC_SOCKET=daemon.path))
    call.daemon = None
    return call


@pytest.mark.parametrize("args, data, recipients, sender", [
    (["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "a@b.example"], b"Subject: cron\n\nout\n", ["a@b.example"], None),
    (["-t"], b"To: a@b.example\nBcc: c@d.example\n\nx\n", ["a@b.example", "c@d.example"], None),
    (["-oi", "-t", "-f", "root@h.example"], b"To: a@b.example\n\nx\n", ["a@b.example"], "root@h.example"),
    (["-oem", "-oi", "-fme@h.example", "--", "a@b.example", "c@d.example"], b"Subject: mutt\n\nx\n",
     ["a@b.example", "c@d.example"], "me@h.example"),
    (["-i", "-f", "<>", "a@b.example"], b"Subject: null\n\nx\n", ["a@b.example"], ""),
    (["-ti", "-N", "failure", "-R", "hdrs", "-V", "id", "-O", "X=y", "-v"], b"To: a@b.example\n\nx\n",
     ["a@b.example"], None),
    # options are options wherever they stand
    (["a@b.example", "-f", "me@h.example"], b"\nx", ["a@b.example"], "me@h.example"),
    (["a@b.example", "-i", "c@d.example", "-odb"], b"\nx", ["a@b.example", "c@d.example"], None),
    (["a@b.example", "-t"], b"To: c@d.example\n\nx", ["a@b.example", "c@d.example"], None),
    (["-f", "me@h.example", "--", "a@b.example", "c@d.example"], b"\nx", ["a@b.example", "c@d.example"], "me@h.example"),
    (["-oMr", "HTTP", "-oi", "a@b.example"], b"\nx", ["a@b.example"], None),
    (["-o", "m", "-oem", "-od", "-o7", "-oQ/tmp", "a@b.example"], b"\nx", ["a@b.example"], None),
    (["-G", "-U", "-n", "-m", "-x", "-bm", "-Am", "-XV", "-h", "5", "-L", "tag", "a@b.example"], b"\nx", ["a@b.example"], None),
    (["-r", "Joe <me@h.example>", "a@b.example,c@d.example", "e@f.example g@h.example"], b"\nx",
     ["a@b.example", "c@d.example", "e@f.example", "g@h.example"], "me@h.example"),
    # one that is none is no reason to keep it from the others
    (["-t"], b"To: ops@c.example, broken@, boss@c.example\n\nx\n", ["ops@c.example", "boss@c.example"], None),
    (["a@b.example", "two words here"], b"\nx", ["a@b.example"], None),
    (["a..b@docomo.example", ".c@d.example", "e.@f.example"], b"\nx",
     ["a..b@docomo.example", ".c@d.example", "e.@f.example"], None),
])
def test_sendmail_forms(sendmail, args, data, recipients, sender):
    done = sendmail(*args, data=data)
    assert done.returncode == 0, done.stderr
    parameters = sendmail.daemon.calls[0]["parameters"]
    assert parameters["recipients"] == recipients and parameters.get("from") == sender
    assert sendmail.daemon.files[0] == data


@pytest.mark.parametrize("front", (b"\xef\xbb\xbf", b"From me Mon Jan  1 00:00:00 2024\n", b">From me\n", b""))
def test_sendmail_reads_over_what_stands_before_a_header(sendmail, front):
    letter = b"To: a@b.example\nSubject: t\n\nx\n"
    assert sendmail("-t", data=front + letter).returncode == 0
    assert sendmail("-t", data=letter.replace(b"\n", b"\r")).returncode == 0
    assert sendmail.daemon.files == [letter, letter]
    assert [call["parameters"]["recipients"] for call in sendmail.daemon.calls] == [["a@b.example"]] * 2


def test_sendmail_dots(sendmail):
    assert sendmail("a@b.example", data=b"Subject: s\n\none\n.\ntwo\n").returncode == 0
    assert sendmail("-i", "a@b.example", data=b"Subject: s\n\none\n.\ntwo\n").returncode == 0
    assert sendmail.daemon.files == [b"Subject: s\n\none\n", b"Subject: s\n\none\n.\ntwo\n"]


def test_sendmail_completes(sendmail):
    sendmail("a@b.example", data=b"only text\n")
    sendmail("-F", "The \"Box\"", "-f", "box@h.example", "a@b.example", data=b"Subject: s\n\nx\n")
    sendmail("root", data=b"Subject: s\n\nx\n")
    assert sendmail.daemon.files[0] == b"\nonly text\n"
    assert sendmail.daemon.files[1].startswith(b'From: "The \\"Box\\"" <box@h.example>\nSubject: s\n')
    assert sendmail.daemon.calls[2]["parameters"]["recipients"] == ["root"]


def test_sendmail_leaves_local_names_to_the_daemon(sendmail):
    """What cron hands in; the other doors hand them to the daemon as well, which knows what they stand for."""
    letter = b"From: root (Cron Daemon)\nTo: root\nCc: Joe <joe>, \"A, B\" <a@b.example>\n\nx\n"
    done = sendmail("-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root", data=letter)
    assert done.returncode == 0 and not done.stderr
    parameters = sendmail.daemon.calls[0]["parameters"]
    assert parameters["from"] == "root" and parameters["recipients"] == ["root", "joe", "a@b.example"]
    assert parameters["partial"] is True and sendmail.daemon.files == [letter]


def test_sendmail_tells_of_recipients_that_the_daemon_left_out(sendmail):
    answer = dict(SUBMITTED, refused=[{"address": "root", "text": "root is a local name\x1b[1m"}])
    done = sendmail("root", "a@b.example", data=b"x\n", answer=answer)
    assert done.returncode == 0
    assert done.stderr == b"sendmail: root is a local name\\x1b[1m; the other recipients get the message\n"


def test_the_author_is_told_where_no_sender_is_given(sendmail):
    sendmail("a@b.example", data=b"From: \"X, Y\" <x@y.example>\n\nx\n")
    sendmail("-f", "z@y.example", "a@b.example", data=b"From: x@y.example\n\nx\n")
    assert [call["parameters"].get("author") for call in sendmail.daemon.calls] == ["x@y.example", None]


def test_a_bad_recipient_is_told_of(sendmail):
    done = sendmail("ops@c.example", "broken@", "x\x1by", "boss@c.example")
    assert done.returncode == 0
    assert b"'broken@'" in done.stderr and b"'x\\x1by'" in done.stderr and b"the other recipients" in done.stderr
    done = sendmail("broken@")
    assert done.returncode == 65 and b"broken@" in done.stderr
    assert len(sendmail.daemon.calls) == 1


def test_too_many_recipients_are_refused(sendmail):
    """Not cut to what is allowed: nobody would know who has not got it."""
    many = [f"u{n}@b.example" for n in range(1002)]
    for done in (sendmail(*many), sendmail("-t", data=b"To: " + ",\n ".join(many).encode() + b"\n\nx\n"),
                 sendmail("broken@", " ".join(many))):
        assert done.returncode == 65 and b"more than 1000 recipients" in done.stderr and b"the other" not in done.stderr, done
    assert not sendmail.daemon.calls
    assert sendmail(*many[:1000], *many[:10]).returncode == 0
    assert len(sendmail.daemon.calls[0]["parameters"]["recipients"]) == 1000


def test_sendmail_encodes(sendmail):
    assert sendmail("a@b.example", data=b"Subject: s\n\n" + b"x" * 5000 + b"\n\0\n").returncode == 0
    sent = sendmail.daemon.files[0]
    assert max(map(len, sent.split(b"\n"))) <= 998 and b"\0" not in sent and b"quoted-printable" in sent


@pytest.mark.parametrize("args, data, status", [
    (["-t"], b"Subject: nobody\n\nx\n", 64), ([], b"x", 64), (["-Z", "a@b.example"], b"x", 64), (["-bs"], b"", 0), (["-bs"], b"GET / HTTP/1.0\r\n", 76), (["-bd"], b"", 64),
    (["-f"], b"", 64), (["a@b@c"], b"x", 65), (["-bi"], b"", 0)])
def test_sendmail_statuses(sendmail, args, data, status):
    assert sendmail(*args, data=data).returncode == status


@pytest.mark.parametrize("error, status", [
    ("PermissionDenied", 77), ("NotFound", 78), ("QueueFull", 75), ("Storage", 75), ("TooLarge", 65), ("Disabled", 69)])
def test_sendmail_refused(sendmail, error, status):
    assert sendmail("a@b.example", answer=Error(EMAIL + error)).returncode == status


def test_sendmail_without_daemon(tmp_path):
    assert run("sendmail", "a@b.example", data=b"x", EMAILSEC_SOCKET=str(tmp_path / "none")).returncode == 75


def test_sendmail_queue(station):
    daemon = station(ListQueue={"messages": [], "next": None}, ListAccounts={"accounts": [ACCOUNT]},
                     FlushQueue={"count": 0})
    assert run("sendmail", "-bp", EMAILSEC_SOCKET=daemon.path).out == "Mail queue is empty\n"
    assert run("sendmail", "-q15m", EMAILSEC_SOCKET=daemon.path).returncode == 0
    assert daemon.calls[-1]["parameters"] == {"name": "alarms"}


def test_mailq(station, tmp_path):
    """In the form of Postfix, which monitoring programs read; over several pages."""
    bounce = dict(message(2), state="failed", **{"from": ""})
    bounce["recipients"] = [dict(bounce["recipients"][0], reply="550 n\033o", state="failed"),
                            dict(bounce["recipients"][0], address="gone@y.example", state="sent")]
    pages = {None: ([message(1), bounce], "Q2"), "Q2": ([dict(message(3), state="held")], None)}

    def page(parameters, _):
        messages, after = pages[parameters.get("after")]
        return {"messages": messages, "next": after}

    daemon = station(ListQueue=page)
    (tmp_path / "mailq").symlink_to(TOOL)
    done = subprocess.run([tmp_path / "mailq"], capture_output=True, timeout=60, check=True, text=True,
                          env=environment(EMAILSEC_SOCKET=daemon.path))
    blocks = done.stdout.split("\n\n")
    assert len(blocks) == 4 and blocks[3] == "-- 6 Kbytes in 3 Requests.\n"
    head, first, reason, recipient = blocks[0].splitlines()
    assert head.startswith("-") and "Queue ID" in head
    assert first.split() == ["Q1", "2048", "Mon", "Nov", "23", "10:00:00", "a@b.example"]
    assert reason.strip() == "(451 later)" and len(reason) == 78 and recipient.strip() == "x@y.example"
    assert first.index("a@b") == recipient.index("x@y")
    assert blocks[1].startswith("Q2               # ") and "MAILER-DAEMON" in blocks[1]
    assert "(550 n\\x1bo)" in blocks[1] and "gone@" not in blocks[1]
    assert blocks[2].startswith("Q3               ! ")
    daemon.answers[EMAIL + "ListQueue"] = Error(EMAIL + "PermissionDenied")
    assert run("sendmail", "-bp", EMAILSEC_SOCKET=daemon.path).returncode == 77


def test_newaliases(tmp_path):
    (tmp_path / "newaliases").symlink_to(TOOL)
    subprocess.run([tmp_path / "newaliases"], timeout=60, check=True, env=environment(EMAILSEC_SOCKET="/nothing"))


# ---- queue, inbox, watching ----

def message(number):
    return {"id": f"Q{number}", "account": "alarms", "state": "deferred", "priority": "normal", "from": "a@b.example",
            "size": 2048, "messageId": "<1@h>", "submitted": "2026-11-23T10:00:00Z", "submittedBy": "root",
            "expires": None, "nextAttempt": None, "attempts": 1, "cause": "Deferred",
            "recipients": [{"address": "x@y.example", "state": "deferred", "reply": "451 later", "enhancedCode": None,
                            "cause": None, "time": None}], "history": []}


def test_queue_pages(station):
    pages = {None: ([message(1), message(2)], "Q2"), "Q2": ([message(3)], None)}

    def page(parameters, _):
        messages, after = pages[parameters.get("after")]
        return {"messages": messages, "next": after}

    daemon = station(ListQueue=page)
    assert [m["id"] for m in json.loads(daemon.run("queue", "list", "--json").out)] == ["Q1", "Q2", "Q3"]
    lines = daemon.run("queue", "list", "--account", "alarms", "--state", "deferred").out.splitlines()
    assert len(lines) == 4 and "2.0 KiB" in lines[1]
    assert daemon.calls[-1]["parameters"]["states"] == ["deferred"]
    assert daemon.run("queue", "list", "alarms").returncode == 0
    assert daemon.calls[-1]["parameters"]["account"] == "alarms"


def test_queue_show_and_change(station):
    daemon = station(GetMessage={"message": message(1)}, RetryMessages={"ids": ["Q1"]}, FlushQueue={"count": 4, "messages": 5})
    assert "451 later" in daemon.run("queue", "show", "Q").out
    assert daemon.run("queue", "retry", "Q1").out == "Q1: tried now\n"
    assert daemon.run("queue", "flush", "alarms").out == "alarms: 5 tried now\n"


MAIL = ("From: =?utf-8?q?J=C3=BCrgen?= <j@b.example>\nSubject: =?utf-8?b?w5w=?=\nMIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n"
        "Gr=FC=DFe =1B[31m\n").encode()
INBOX = {"id": "m1", "file": "m1", "folder": "INBOX", "uid": "7", "size": len(MAIL), "received": "2026-11-23T10:00:00Z",
         "from": "=?utf-8?q?J=C3=BCrgen?= <j@b.example>", "subject": "=?utf-8?b?w5w=?=", "date": None,
         "messageId": None}


def test_inbox(station):
    answer = WithFile({"message": INBOX, "descriptor": 0}, MAIL)
    daemon = station(ListInbox={"messages": [INBOX]}, OpenInboxMessage=answer)
    assert "J\u00fcrgen" in daemon.run("inbox", "list", "in").out
    shown = daemon.run("inbox", "show", "in", "m1").out
    assert "From: J\u00fcrgen <j@b.example>\n" in shown and "Subject: \u00dc\n" in shown
    assert "Gr\u00fc\u00dfe \\x1b[31m\n" in shown
    assert daemon.run("inbox", "show", "in", "m1", "--raw").stdout == MAIL
    assert json.loads(daemon.run("inbox", "show", "in", "m1", "--json").out)["subject"] == "\u00dc"


def test_monitor(station):
    event = {"cursor": "1", "time": "2026-11-23T10:00:00Z", "event": "mail.sent", "account": "alarms", "text": "gone",
             "data": {}}
    daemon = station(Monitor=[{"event": None}, {"event": event}, {"event": event}])
    out = daemon.run("monitor", "--json", "--event", "mail.", "--account", "alarms", "--since", "0").out
    assert [json.loads(line) for line in out.splitlines()] == [event, event]
    assert daemon.calls[0]["more"] is True
    assert daemon.calls[0]["parameters"] == {"events": ["mail."], "accounts": ["alarms"], "since": "0"}
    assert "mail.sent" in daemon.run("monitor").out


STATUS = {"version": "0.1.0", "hostname": "box.example", "started": "2026-11-23T10:00:00Z", "challenges": 1,
          "exemptions": 2, "needless": 1, "faults": [], "queue": {"queued": 2, "deferred": 1, "failed": 1},
          "advice": ["look at it"],
          "accounts": [{"name": "alarms", "kind": "outgoing", "transport": "smtp", "hostname": "mail.example",
                        "status": "challenge", "challenge": "12ab", "queue": {"queued": 2},
                        "cause": {"code": "Challenge", "text": "a certificate waits", "remedy": "see", "retries": False}}]}


def test_status(station):
    daemon = station(GetStatus={"status": STATUS})
    out = daemon.run("status").out
    assert "waits for a decision" in out and "what to do: emailsecctl challenge show 12ab" in out
    assert "queue: 3 waiting" in out and "1 no longer needed: emailsecctl allowed prune" in out and "look at it" in out
    assert json.loads(daemon.run("status", "--json").out) == STATUS
    assert "alarms" in daemon.run("status", "alarms").out
    assert daemon.calls[-1]["parameters"] == {"account": "alarms"}


def test_a_bare_call_shows_the_status(station, tmp_path):
    daemon = station(GetStatus={"status": STATUS})
    assert (daemon.run().out, daemon.run().returncode) == (daemon.run("status").out, 0)
    assert json.loads(daemon.run("--json").out) == STATUS
    done = run("--socket", str(tmp_path / "none"))
    assert done.returncode == 2 and "a command is missing" in done.err and "emailsecctl --help" in done.err
    assert station_denies(daemon).run().returncode == 4


def station_denies(daemon):
    daemon.answers[EMAIL + "GetStatus"] = Error(EMAIL + "PermissionDenied")
    return daemon


def fleet(**ill):
    """42 accounts; ill: {status: (how many, text of the cause, remedy)}, NAME in these is the account's."""
    accounts = [{"name": f"plant{n:02}", "kind": "outgoing", "transport": "smtp", "hostname": "mail.example", "status": "ok"}
                for n in range(42)]
    left = list(reversed(accounts))
    for status, (count, text, remedy) in ill.items():
        for account in (left.pop() for _ in range(count)):
            name = account["name"]
            account.update(status=status, cause={"code": "Connect", "text": text.replace("NAME", name), "retries": True,
                                                 "remedy": remedy.replace("NAME", name)})
    return dict(STATUS, accounts=accounts, challenges=0, needless=0,
                advice=[f"{a['name']}: port 25 is unusual; emailsecctl account secure {a['name']} ssl" for a in accounts])


def test_status_of_many_is_one_screen(station):
    """Totals, worst first, a fault of one server once for all its accounts, the same advice once."""
    status = fleet(down=(3, "could not connect to mail.example", "wait"),
                   fault=(2, "no password is stored for account NAME", "emailsecctl account password NAME"))
    daemon = station(GetStatus={"status": status})
    out = daemon.run("status").out
    assert "42 accounts: 37 work, 3 down, 2 fault" in out
    assert len(out.splitlines()) <= 24
    assert out.count("could not connect") == out.count("no password is stored for account NAME") == 1
    assert out.count("is unusual") == 1 and "account secure NAME ssl" in out
    assert out.index("fault") < out.index("down", out.index("42 accounts") + 50) < out.index("ok  ")
    assert all(a["name"] in out for a in status["accounts"])
    problems = daemon.run("status", "--problems").out
    assert "ok  " not in problems and "plant00" in problems and "queue:" not in problems
    daemon.answers[EMAIL + "GetStatus"] = {"status": dict(fleet(), advice=[])}
    assert "Nothing is wrong." in daemon.run("status", "--problems").out


@pytest.mark.parametrize("change, status, word", [
    ({}, 0, "OK"), ({"queue": {"queued": 2, "failed": 1}}, 1, "WARNING"), ({"down": (2, "gone", "wait")}, 1, "WARNING"),
    ({"fault": (1, "a | b\nc", "x")}, 2, "CRITICAL"), ({"challenges": 1}, 2, "CRITICAL"), ({"accounts": []}, 1, "WARNING"),
    ({"faults": [{"code": "Storage", "text": "the disk is gone", "remedy": "x"}]}, 2, "CRITICAL"),
    ({"soon": [{"code": "Certificate", "text": "it ends in 3 days", "remedy": "x"}]}, 1, "WARNING"),
    ({"sheet": {"heartbeatState": "missing"}}, 2, "CRITICAL"),
    ({"sheet": {"heartbeatState": "missing", "status": "disabled"}}, 0, "OK"),
    ({"sheet": {"waitingFor": {"reason": "dailyLimit", "messages": 2, "text": "9 of 9 sent today"}}}, 1, "WARNING"),
    ({"sheet": {"waitingFor": {"reason": "account", "messages": 1, "text": "is disabled"}, "status": "disabled"}}, 1, "WARNING"),
    ({"sheet": {"waitingFor": {"reason": "pollRate", "messages": 1, "text": "every 60 s"}}}, 0, "OK")])
def test_status_for_monitoring(station, change, status, word):
    """One line, its exit status, performance data as the plug-ins' guidelines have them."""
    ill = {key: value for key, value in change.items() if key in ("down", "fault")}
    apart = (*ill, "queue", "sheet")
    answer = dict(fleet(**ill), queue={"queued": 3}, **{key: change[key] for key in change if key not in apart})
    for sheet in answer["accounts"][:1]:
        sheet.update(change.get("sheet", {}))
    answer["queue"] = change.get("queue", answer["queue"])
    done = station(GetStatus={"status": answer}).run("status", "--check")
    assert done.returncode == status and done.err == ""
    line, end = done.out.split("\n")
    text, numbers = line.split(" | ")
    assert text.startswith(f"EMAILSEC {word} - ") and end == ""
    assert all(re.fullmatch(r"[a-z]+=\d+;[\d.]*;[\d.]*;[\d.]*", one) for one in numbers.split(" "))
    assert f"accounts={len(answer['accounts'])};;" in numbers and "queue=" in numbers


def test_status_for_monitoring_counts_what_is_not_listed(station):
    answer = dict(fleet(down=(2, "gone", "wait")), heartbeatsMissing=3, mailKept=4,
                  totals={"ok": 9000, "disabled": 0, "connecting": 0, "down": 700, "fault": 0, "challenge": 0})
    done = station(GetStatus={"status": answer}).run("status", "--check")
    assert "9700 accounts: 9000 work, 700 down" in done.out
    assert all(f" {one};" in done.out for one in ("accounts=9700", "down=700", "heartbeat=3", "waiting=4", "fault=0"))


def test_status_for_monitoring_without_a_daemon(tmp_path):
    done = run("--socket", str(tmp_path / "none"), "status", "--check")
    assert done.returncode == 3 and done.out.startswith("EMAILSEC UNKNOWN - no daemon") and done.err == ""


def test_several_names(station):
    """Each in turn, also behind one that failed; in JSON an array."""
    def changed(parameters, _):
        return Error(EMAIL + "NotFound") if parameters["name"] == "b" else {"account": dict(ACCOUNT, name=parameters["name"])}

    daemon = station(SetAccount=changed, TestAccount=STEPS[:1], Poll={"text": "2 sent"}, Reject={"entry": ENTRY},
                     DeleteAllowedHost={"entry": ENTRY}, GetStatus={"status": STATUS})
    done = daemon.run("account", "disable", "a", "b", "c")
    assert done.returncode == 1 and "a: disabled" in done.out and "c: disabled" in done.out and "it went wrong" in done.err
    assert [a["name"] for a in json.loads(daemon.run("account", "enable", "a", "c", "--json").out)] == ["a", "c"]
    out = daemon.run("account", "test", "a", "c").out
    assert out.index("a\n") < out.index("c\n") and out.count("192.0.2.7") == 2
    assert [t["account"] for t in json.loads(daemon.run("account", "test", "a", "c", "--json").out)] == ["a", "c"]
    assert daemon.run("account", "poll", "a", "c").out == "a: 2 sent\nc: 2 sent\n"
    assert len(json.loads(daemon.run("challenge", "reject", "x", "y", "--json").out)) == 2
    assert daemon.run("allowed", "delete", "x", "y").out.count("deleted") == 2
    assert len(json.loads(daemon.run("status", "a", "c", "--json").out)) == 2


def test_audit_of_problems(station):
    findings = [{"account": n, "check": "tls", "verdict": v, "text": "t", "remedy": None}
                for n, v in (("a", "ok"), ("b", "warning"), ("c", "alert"))]
    daemon = station(Audit={"findings": findings})
    assert [f["account"] for f in json.loads(daemon.run("audit", "--json").out)] == ["c", "b", "a"]
    done = daemon.run("audit", "--problems")
    assert done.returncode == 1 and [line.split()[0] for line in done.out.splitlines()[1:]] == ["c", "b"]


def test_audit_of_many_is_one_screen(station):
    """On a terminal what several have in common is told once; for programs each has its row."""
    findings = []
    for n in range(42):
        name = f"plant{n:02}"
        rows = [("secret", "warning", "the password lies in a file", f"emailsecctl account password {name} --credential ID"),
                ("expiry", "warning", "the certificate of mail.example is valid for 3 days", "have it renewed"),
                ("tls", "ok", "encrypted", None), ("debug", "ok", "no protocol trace", None)]
        if n < 2:
            rows.append(("login", "alert", "the password may go in clear", f"emailsecctl account secure {name} ssl"))
        findings += [{"account": name, "check": c, "verdict": v, "text": t, "remedy": r} for c, v, t, r in rows]
    daemon = station(Audit={"findings": findings})
    args = ["--socket", daemon.path, "--no-pager", "audit"]
    code, output = on_terminal([*args, "--problems"], env=environment(COLUMNS="80"))
    lines = output.splitlines()
    assert code == 1 and len(lines) <= 24 and max(map(len, lines)) <= 80, output
    said = " ".join(output.split())
    assert said.startswith("alert 2 accounts: plant00, plant01 login: the password may go in clear")
    assert "emailsecctl account secure NAME ssl" in said and said.count("the certificate of mail.example") == 1
    assert "warning 42 accounts: plant00" in said and said.count("the password lies in a file") == 1
    code, output = on_terminal(args, env=environment(COLUMNS="80"))
    assert "tls: encrypted (42 accounts: plant00" in " ".join(output.split()) and "and 30 more" in output
    assert len(output.splitlines()) <= 40, output
    assert len(daemon.run("audit").out.splitlines()) == len(findings) + 1
    assert len(json.loads(daemon.run("audit", "--problems", "--json").out)) == 86


def test_a_status_of_which_not_all_is_listed(station):
    account = {"name": "a", "kind": "outgoing", "status": "down", "transport": "smtp", "hostname": "h.example",
               "cause": {"code": "Connect", "text": "no way", "remedy": "see"}}
    daemon = station(GetStatus={"status": {
        "version": "1", "hostname": "h", "started": "2026-11-23T10:00:00Z", "accounts": [account], "queue": {}, "faults": [],
        "totals": {"ok": 9000, "disabled": 0, "connecting": 0, "down": 700, "fault": 0, "challenge": 0}, "advice": []}})
    out = daemon.run("status").out
    assert "9700 accounts: 9000 work, 700 down" in out and "and 9699 more accounts: emailsecctl account list" in out
    assert daemon.calls[-1]["parameters"] == {"limit": 100}
    daemon.run("status", "--json")
    assert daemon.calls[-1]["parameters"] == {}


def test_metrics_and_reload(station):
    daemon = station(GetMetrics={"text": "# EOF\n"}, Reload={"text": "read again", "warnings": ["a file is odd"]})
    assert daemon.run("metrics").out == "# EOF\n"
    done = daemon.run("reload")
    assert done.out == "read again\n" and done.err == "warning: a file is odd\n"


def test_log_calls_journalctl(tmp_path):
    journalctl = tmp_path / "journalctl"
    journalctl.write_text('#!/bin/sh\necho "$@"\n')
    journalctl.chmod(0o755)
    assert run("log", "-f", "alarms", PATH=str(tmp_path)).out == "--unit emailsecd --follow ACCOUNT=alarms\n"
    assert run("log", "-n", "20", PATH=str(tmp_path)).out == "--unit emailsecd --lines=20\n"
    done = run("log", PATH=str(tmp_path / "none"))
    assert done.returncode == 1 and "journalctl" in done.err


def test_other_host_by_ssh(tmp_path):
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\nfor a in "$@"; do echo "$a"; done\n')
    ssh.chmod(0o755)
    out = run("-H", "me@box", "account", "set", "a", "from=it's; rm -rf /", PATH=str(tmp_path)).out
    assert out.splitlines() == ["--", "me@box", "emailsecctl", "'account'", "'set'", "'a'",
                                "'from=it'\\''s; rm -rf /'"]
    assert run("--host=-oProxyCommand=x", "status", PATH=str(tmp_path)).returncode == 2


# ---- on a terminal ----

def test_table_is_cut_to_the_terminal(station):
    long = dict(ACCOUNT, properties=dict(ACCOUNT["properties"], hostname="h" * 200 + ".example"))
    daemon = station(ListAccounts={"accounts": [long]})
    args = ["--socket", daemon.path, "--no-pager", "account", "list"]
    status, output = on_terminal(args, env=environment(COLUMNS="80"))
    assert status == 0 and max(len(line) for line in output.splitlines()) <= 80 and "\u2026" in output
    status, output = on_terminal(args, env=environment(COLUMNS="80", TERM="xterm"))
    assert "\033[" in output
    status, output = on_terminal(args, env=environment(COLUMNS="80", TERM="xterm", NO_COLOR="1"))
    assert "\033[" not in output
    assert "h" * 200 in daemon.run("account", "list").out


def test_queue_on_a_narrow_terminal(station):
    """Two lines a message, nothing of it cut; where there is room for the table, the table."""
    long = dict(message(1), cause="no password is stored for account alarms")
    daemon = station(ListQueue={"messages": [long], "next": None})
    args = ["--socket", daemon.path, "--no-pager", "queue", "list"]
    _, output = on_terminal(args, env=environment(COLUMNS="80"))
    lines = output.splitlines()
    assert len(lines) == 3 and max(map(len, lines)) <= 80 and "\u2026" not in output
    assert "2026-11-23 10:00" in lines[1] and lines[2] == "    x@y.example: no password is stored for account alarms"
    _, output = on_terminal(args, env=environment(COLUMNS="200"))
    assert len(output.splitlines()) == 2 and "RECIPIENTS" in output


class Live:
    """The tool on a terminal, with what it drew last."""

    def __init__(self, args, **more):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(TOOL, [TOOL, *args], environment(**{"TERM": "xterm", **more}))
        self.output = ""

    def wait(self, words):
        seen = len(self.output)
        while words not in self.output[seen:]:
            ready, _, _ = select.select([self.fd], [], [], 30)
            assert ready, self.output
            self.output += os.read(self.fd, 65536).decode()

    def end(self, key):
        modes = termios.tcgetattr(self.fd)[3]
        os.write(self.fd, key)
        while True:
            try:
                self.output += os.read(self.fd, 65536).decode()
            except OSError:
                break
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status), modes


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_live_screens(station, key):
    """Drawn anew with an event; the terminal is left as it was."""
    go, over = threading.Event(), threading.Event()
    shown = {"status": dict(STATUS, hostname="before.example")}

    def events(_parameters, _files):
        yield {"event": None}
        go.wait(60)
        yield {"event": {"event": "account.status"}}
        over.wait(60)

    daemon = station(GetStatus=lambda *unused: shown, Monitor=events)
    live = Live(["--socket", daemon.path, "status", "--watch"])
    live.wait("before.example")
    shown["status"] = dict(STATUS, hostname="after.example")
    go.set()
    live.wait("after.example")
    status, modes = live.end(key)
    over.set()
    assert status == 0 and not modes & (termios.ICANON | termios.ECHO)
    assert live.output.startswith("\033[?1049h") and live.output.rstrip().endswith("\033[?1049l")


def test_json_is_pretty_on_a_terminal(station):
    daemon = station(GetAccount={"account": ACCOUNT})
    _, output = on_terminal(["--socket", daemon.path, "--json", "account", "show", "alarms"])
    assert len(output.splitlines()) > 5
    assert len(daemon.run("--json", "account", "show", "alarms").out.splitlines()) == 1


def test_pager(station):
    daemon = station(ListAccounts={"accounts": [ACCOUNT]})
    args = ["--socket", daemon.path, "account", "list"]
    _, output = on_terminal(args, env=environment(PAGER="sed s/alarms/paged/"))
    assert "paged" in output


def test_prose_is_wrapped_on_a_terminal_only(station):
    warning = "a sentence of many words " * 12 + "ends"
    account = {**ACCOUNT, "warnings": [{"text": warning}] if isinstance(ACCOUNT["warnings"][0], dict) else [warning]}
    daemon = station(GetAccount={"account": account})
    args = ["--socket", daemon.path, "account", "show", "alarms"]
    _, output = on_terminal(args, env=environment(COLUMNS="80"))
    assert max(map(len, output.splitlines())) <= 80 and "".join(warning.split()) in "".join(output.split())
    assert warning in daemon.run("account", "show", "alarms").out


def test_failures_are_wrapped_on_a_terminal(tmp_path):
    path = str(tmp_path / ("long" * 12))
    _, output = on_terminal(["--socket", path, "status"], env=environment(COLUMNS="80"))
    lines = output.splitlines()
    assert lines[0].startswith("emailsecctl: no daemon") and any(line.startswith("  what to do: ") for line in lines)
    assert all(len(line) <= 80 or path in line for line in lines) and len(lines) > 2
    assert len(run("--socket", path, "status").err.splitlines()) == 2


def test_no_pager_of_its_own_on_a_dumb_terminal(station, tmp_path):
    less = tmp_path / "less"
    less.write_text("#!/bin/sh\nsed s/alarms/paged/\n")
    less.chmod(0o755)
    daemon = station(ListAccounts={"accounts": [ACCOUNT]})
    args = ["--socket", daemon.path, "account", "list"]
    for terminal, paged in (("dumb", False), ("xterm", True)):
        _, output = on_terminal(args, env=environment(TERM=terminal, PATH=f"{tmp_path}:{os.environ['PATH']}"))
        assert ("paged" in output) == paged


# ---- completion ----

def complete(*words, **more):
    return [line.split("\t")[0] for line in run("complete", "--", *words, **more).out.splitlines()]


def test_completion(station):
    daemon = station(ListAccounts={"accounts": [ACCOUNT]}, ListAllowedHosts={"entries": [ENTRY]})
    env = {"EMAILSEC_SOCKET": daemon.path}
    assert complete("acc") == ["account"]
    assert complete("account", "se") == ["set", "secure"]
    assert complete("account", "show", "", **env) == ["alarms"]
    assert complete("account", "set", "alarms", "useS") == ["useSsl=", "useStartTls="]
    assert complete("account", "set", "alarms", "useSsl=") == ["useSsl=true", "useSsl=false"]
    assert complete("account", "secure", "alarms", "s") == ["ssl", "starttls"]
    assert complete("challenge", "accept", "", **env) == [ENTRY["id"]]
    assert complete("challenge", "accept", "--f") == ["--fingerprint", "--for"]
    assert complete("send", "--account", "", **env) == ["alarms"]
    assert complete("inbox", "list", "", **env) == []  # of incoming accounts
    assert complete("queue", "list", "", **env) == ["alarms"]
    assert complete("account", "test", "alarms", "", **env) == ["alarms"]  # several
    assert complete("account", "add", "incoming", "x", "transport=") == ["transport=imap", "transport=pop3"]
    assert complete("account", "add", "outgoing", "x", "transport=") == ["transport=smtp"]
    assert complete("account", "add", "outgoing", "x", "fol") == []
    assert complete("account", "secure", "alarms", "ssl", "--port", "") == ["auto"]
    assert complete("queue", "list", "--state", "sen") == ["sending", "sent"]
    assert complete("help", "account", "se") == ["set", "secure"]
    assert complete("help", "qu") == ["queue"]
    assert complete("account", "add", "in") == ["incoming"]
    assert complete("trust", "import", "") == [":files"]
    assert complete("send", "--attach", "") == [":files"]
    assert complete("status", "", EMAILSEC_SOCKET="/nonexistent") == []
    assert "complete" not in complete("")


def test_bash_completion(station):
    script = ("source " + os.path.join(ROOT, "conf", "emailsecctl.bash") + "; "
              "COMP_WORDS=(emailsecctl account sec); COMP_CWORD=2; _emailsecctl; echo \"${COMPREPLY[@]}\"; "
              "COMP_WORDS=(emailsecctl account set a useSsl = t); COMP_CWORD=6; _emailsecctl; echo \"${COMPREPLY[@]}\"")
    path = os.path.dirname(TOOL) + ":" + os.environ["PATH"]
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=False,
                          env=environment(PATH=path))
    assert done.stdout == "secure\ntrue\n", done
