# SPDX-License-Identifier: MIT
"""One command at many stations: a program named ssh stands in for each of them, as it is wherever one is hung, asks for a
password, is older, prints something at every login; and sshd itself, where it is installed."""

import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import station as station_module
from fake_daemon import EMAIL, TRUST, Error, FakeDaemon
from test_ctl import ENTRY, TOOL, environment, on_terminal, run
from waiting import until

# Options up to "--" and the host are for ssh; what follows is given to a shell over there.
SSH = r"""#!/bin/sh
while [ "$1" != -- ]; do shift; done
host=$2; shift 2; here=$(dirname "$0")
echo "$$ $host" >>"$here/started"
case $host in
hung*) (sleep 600 & wait) ;;
asks*) if read -r word 2>/dev/null </dev/tty; then echo '[]'; else
         echo "$host: Permission denied (publickey,password)." >&2; exit 255; fi ;;
unknown*) echo "Host key verification failed." >&2; exit 255 ;;
nowhere*) echo "ssh: Could not resolve hostname $host: Name or service not known" >&2; exit 255 ;;
off*) echo "ssh: connect to host $host port 22: No route to host" >&2; exit 255 ;;
cut*) printf '[{"na'; exit 255 ;;
bare*) echo "sh: 1: emailsecctl: not found" >&2; exit 127 ;;
older*) printf 'emailsecctl: unknown option --new\n  what to do: emailsecctl --help\n' >&2; exit 2 ;;
motd*) printf 'Welcome to %s\033[31m\n[]\n' "$host" ;;
object*) echo '{"some": "thing"}' ;;
flood*) yes | head -c 80000000 ;;
paints*) printf 'warning: \033[2J\n' >&2; cat "$here/$host" ;;
fails*) printf 'emailsecctl: \033[2J\n  what to do: \033[2J\n' >&2; exit 1 ;;
heavy*) head -c 60000000 /dev/zero | tr '\0' x ;;
dense*) printf '[0'; yes ,0 | head -n 4100000 | tr -d '\n'; echo ']' ;;
spews*) for _ in 1 2 3 4; do cat /dev/zero >&2 & done; wait ;;
busy*) echo "emailsecctl: busy" >&2; exit 125 ;;
shared*) sleep 600 & cat "$here/$host" ;;
*) if [ -S "$here/$host.socket" ]; then
     PATH="$(dirname "$TOOL"):$PATH" EMAILSEC_SOCKET="$here/$host.socket" exec sh -c "$*"
   fi
   cat "$here/$host" ;;
esac
"""


def status_of(*states, version="0.1.0", waiting=0, faults=()):
    accounts = [{"name": f"a{n}", "kind": "outgoing", "status": state, "queue": {"queued": waiting},
                 "cause": {"code": "Connect", "text": f"cannot reach mail{n}", "remedy": "see the network"}
                 if state in ("down", "fault", "challenge") else None} for n, state in enumerate(states)]
    return {"version": version, "hostname": "h", "started": "2026-11-23T10:00:00Z", "accounts": accounts, "advice": [],
            "queue": {"queued": waiting, "failed": 0}, "challenges": 0, "exemptions": 0, "needless": 0, "soon": [],
            "faults": list(faults), "submission": None, "lastChange": None, "defaultAccount": None}


class Fleet:
    def __init__(self, folder):
        self.folder, self.daemons = str(folder), []
        path = self.path("ssh")
        with open(path, "w") as file:
            file.write(SSH)
        os.chmod(path, 0o755)

    def path(self, name):
        return os.path.join(self.folder, name)

    def says(self, host, answer):
        with open(self.path(host), "w") as file:
            json.dump(answer, file)

    def daemon(self, host, **answers):
        """A station with its tool, behind this ssh."""
        table = {(TRUST if method == "ListAllowedHosts" else EMAIL) + method: answer for method, answer in answers.items()}
        os.mkdir(self.path(host + ".d"))
        daemon = FakeDaemon(self.path(host + ".d"), table)
        daemon.__enter__()
        self.daemons.append(daemon)
        os.symlink(daemon.path, self.path(host + ".socket"))
        return daemon

    def environment(self, **more):
        return {"PATH": f"{self.folder}:{os.environ['PATH']}", "TOOL": TOOL, **more}

    def run(self, *args, data=b""):
        return run(*args, data=data, **self.environment())

    def json(self, *args):
        done = self.run("--json", *args)
        return {one["station"]: one for one in json.loads(done.out)}, done.returncode, \
            [one["station"] for one in json.loads(done.out)]

    def left(self, but=None):
        """Processes of it that still run, but those with this word in their command line."""
        with open(self.path("started")) as file:
            groups = {int(line.split()[0]) for line in file}
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.getsid(int(pid)) in groups:
                    with open(f"/proc/{pid}/stat") as file, open(f"/proc/{pid}/cmdline") as words:
                        ended = file.read().rsplit(")", 1)[1].split()[0] == "Z"
                        found += [pid] if not ended and not (but and but in words.read()) else []
            except OSError:
                continue
        return found


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path)
    yield made
    for daemon in made.daemons:
        daemon.__exit__()


WRONG = {
    "asks": ("asks for a password", "ssh-copy-id asks"), "unknown": ("host key is not known", "ssh unknown"),
    "nowhere": ("no host of that name", "correct"), "off": ("no way there", "network"), "cut": ("did not get there", "ssh cut"),
    "bare": ("there is no emailsecctl", "apt install"), "older": ("does not take this command", "older"),
    "motd": ("is no answer: Welcome to motd", "at every login"), "object": ("is no answer", "at every login"),
    "busy": ("busy", "emailsecctl -H busy status"), "flood": ("too long", "emailsecctl -H flood"), "hung": ("did not answer in 3s", "--timeout"),
}


def test_whatever_is_wrong_with_one_is_told_and_holds_up_nobody(fleet):
    for host in ("well1", "shared1", "ill1"):
        fleet.says(host, status_of("ok"))
    fleet.says("ill1", status_of("ok", "down"))
    begun = time.monotonic()
    answers, code, order = fleet.json("-H", ",".join(["well1", *WRONG, "shared1", "ill1"]), "--timeout", "3s", "status")
    assert code == 3 and time.monotonic() - begun < 20
    for host, (sentence, remedy) in WRONG.items():
        assert sentence in answers[host]["error"]["text"], answers[host]
        assert remedy in answers[host]["error"]["remedy"], answers[host]
        assert answers[host]["result"] is None and answers[host]["exit"] != 0
    assert order == [*WRONG, "ill1", "well1", "shared1"]
    assert answers["well1"] == {"station": "well1", "exit": 0, "result": status_of("ok"), "error": None}
    # what "shared" left behind is its own, as a shared connection of ssh is; what was killed takes a moment to go
    until(lambda: fleet.left(but="sleep") == [])
    text = fleet.run("-H", ",".join(["well1", *WRONG, "ill1"]), "--timeout", "3s", "status")
    assert text.returncode == 3 and "14 stations: 1 well, 1 with trouble, 12 not reached" in text.out
    assert "\033" not in text.out and text.err == ""


def test_one_host_that_is_not_reached(fleet):
    """Beside the words of ssh there is what to do, and the exit status is that of several."""
    for host, words, remedy in (("nowhere", "Could not resolve hostname", "correct the name"), ("off", "No route to host", "the network"),
                                ("unknown", "verification failed", "comparing the fingerprint: ssh unknown"),
                                ("asks", "Permission denied", "ssh-copy-id asks"), ("cut", "", "to see each step: ssh -v cut true")):
        done = fleet.run("-H", host, "status")
        assert done.returncode == 3 and words in done.err and remedy in " ".join(done.err.split()), done
    fleet.daemon("a", ListAccounts={"accounts": []})
    assert fleet.run("-H", "a", "account", "list").returncode == 0
    done = fleet.run("-H", "a", "account", "lst")
    assert done.returncode == 2 and "ssh" not in done.err


def test_ssh_that_cannot_be_started(fleet, tmp_path):
    """Not installed, or not to be run: told of each host, with what the system says."""
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run("-H", "a,b", "status", PATH=str(empty))
    assert done.returncode == 3 and "ssh cannot be started: No such file or directory" in done.out
    assert "apt install openssh-client" in done.out
    os.chmod(fleet.path("ssh"), 0o644)
    done = run("-H", "a,b", "status", PATH=fleet.folder)
    assert done.returncode == 3 and "ssh cannot be started: Permission denied" in done.out
    assert "see who may run ssh" in done.out


def test_one_that_never_ceases_to_complain(fleet):
    fleet.says("well", status_of("ok"))
    begun = time.monotonic()
    answers, code, _ = fleet.json("-H", "spews,well", "--timeout", "1s", "status")
    assert code == 3 and time.monotonic() - begun < 20
    assert "did not answer in 1s" in answers["spews"]["error"]["text"] and answers["well"]["error"] is None
    until(lambda: fleet.left() == [])


def test_what_a_station_says_does_not_reach_the_terminal_as_it_is(fleet):
    fleet.says("paints", status_of("ok"))
    for words in (("status",), ("reload",)):
        done = fleet.run("-H", "paints,fails", *words)
        assert "warning: paints: \\x1b[2J" in done.err and "\033" not in done.err + done.out, done.err


def test_many_that_print_much_are_too_much_together(fleet):
    """Each for itself would do."""
    heavy = [f"heavy{n}" for n in range(7)]
    fleet.says("well1", status_of("ok"))
    fleet.says("well2", status_of("ok"))
    answers, code, _ = fleet.json("-H", ",".join(["well1", "dense", *heavy, "well2"]), "status")
    assert code == 1 and answers["well1"]["error"] is None and answers["well2"]["error"] is None
    told = [host for host, answer in answers.items() if answer["error"] and "too long together" in answer["error"]["text"]]
    assert "dense" in told and 3 <= len(told) - 1 < 7, answers.keys()
    assert all(f"emailsecctl -H {host}" in answers[host]["error"]["remedy"] for host in told)
    assert all("is no answer: xxx" in answers[host]["error"]["text"] for host in heavy if host not in told)


def test_status_of_stations_worst_first(fleet):
    fleet.says("a", status_of("ok", "ok", waiting=3))
    fleet.says("b", status_of("ok", "challenge", version="0.0.9"))
    fleet.says("c", status_of("connecting"))
    fleet.says("d", status_of("ok", faults=[{"text": "the disk is full", "remedy": "make room"}]))
    fleet.says("e", status_of())
    done = fleet.run("-H", "a,b", "-H", "c,d,e,a", "status")
    assert done.returncode == 0 and done.err == ""
    lines = [line.split() for line in done.out.splitlines()]
    assert [line[0] for line in lines[1:6]] == ["b", "d", "c", "a", "e"]
    assert lines[1][1] == "challenge" and "0.0.9" in lines[1] and "cannot reach mail1" in done.out
    assert "5 stations: 3 well, 2 with trouble, 0 not reached" in done.out
    fleet.says("new", status_of("dormant", "ok"))
    assert re.search(r"^new +ok ", fleet.run("-H", "a,new", "status").out, re.M)
    fleet.says("new", status_of("dormant"))  # a word of a later version, as it is
    assert re.search(r"^new +dormant ", fleet.run("-H", "a,new", "status").out, re.M)
    problems = fleet.run("-H", "a,b,c,d", "status", "--problems").out
    assert re.findall(r"^([a-z]) ", problems, re.M) == ["b", "d"]
    named = {"name": "x", "kind": "outgoing", "status": "down", "cause": {"text": "no way", "code": "Connect"}}
    fleet.says("one", named)
    assert "1 down" in fleet.run("-H", "one,one", "-H", "a", "status", "x").out


def test_the_bare_command_is_status(fleet):
    for host in "ab":
        fleet.daemon(host, GetStatus={"status": status_of("ok")})
    done = fleet.run("-H", "a,b")
    assert done.returncode == 0 and "2 stations: 2 well" in done.out


def test_two_hundred_at_once_and_at_most_so_many(fleet):
    names = [f"plant{n:03}" for n in range(200)]
    for n, name in enumerate(names):
        fleet.says(name, status_of("ok", "down" if n % 50 == 0 else "ok"))
    with open(fleet.path("plants"), "w") as file:
        file.write("# the plants\n[north]\n" + "\n".join(names[:100]) + "\n\n[south]  # the rest\n" + "\n".join(names[100:]))
    answers, code, order = fleet.json("--hosts", fleet.path("plants"), "status")
    assert code == 0 and len(answers) == 200 and order[:4] == names[::50]
    answers, _, _ = fleet.json("--hosts", fleet.path("plants"), "--group", "south", "--parallel", "1", "status")
    assert sorted(answers) == names[100:]
    code, output = on_terminal(["--hosts", fleet.path("plants"), "--no-pager", "status", "--problems"],
                               env=environment(**fleet.environment(COLUMNS="80", TERM="xterm")))
    assert code == 0 and "of 200 stations" in output, output
    assert len([line for line in output.splitlines() if "plant" in line and "of 200" not in line]) <= 8


def test_many_that_fail_alike_are_one_sentence(fleet):
    done = fleet.run("-H", ",".join([f"asks{n}" for n in range(30)] + ["nowhere"]), "challenge", "list")
    assert done.returncode == 3 and done.out == "" or "STATION" in done.out
    assert done.err.count("asks for a password") == 1 and "and 22 more" in done.err and "ssh-copy-id NAME" in done.err


def test_challenges_and_findings_of_all(fleet):
    other = dict(ENTRY, id="ffff0000ffff0000", **{"class": "regression"})
    fleet.daemon("a", ListAllowedHosts={"entries": [ENTRY]}, Audit={"findings": [
        {"account": "x", "check": "tls", "verdict": "alert", "text": "no TLS", "remedy": "emailsecctl account secure x ssl"}]})
    fleet.daemon("b", ListAllowedHosts={"entries": [other, dict(ENTRY, needless=True)]}, Audit={"findings": [
        {"account": "x", "check": "tls", "verdict": "ok", "text": "encrypted", "remedy": None}]})
    fleet.daemon("c", ListAllowedHosts=Error(TRUST + "PermissionDenied", "you may not", "ask root"),
                 Audit=Error(EMAIL + "PermissionDenied", "you may not", "ask root"))
    done = fleet.run("-H", "a,b,c", "challenge", "list")
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[:2] for row in rows[1:]] == [["b", "ffff0000ffff"], ["a", "12ab34cd56ef"]] and rows[0][0] == "STATION"
    assert done.returncode == 4 and done.err == "emailsecctl: c: you may not\n  what to do: ask root\n"
    done = fleet.run("-H", "a,b", "audit")
    rows = [line.split() for line in done.out.splitlines()]
    assert done.returncode == 1 and rows[1][:4] == ["a", "x", "tls", "alert"] and rows[2][:4] == ["b", "x", "tls", "ok"]
    assert fleet.run("-H", "b,b", "-H", "b,b", "--quiet", "audit").returncode == 0
    answers, code, order = fleet.json("-H", "b,a", "audit")
    assert code == 1 and order == ["a", "b"] and answers["a"]["error"] is None and answers["a"]["exit"] == 1


def test_every_other_command_shows_the_text_of_each(fleet):
    for host in "ab":
        fleet.daemon(host, ListAccounts={"accounts": []}, Reload={"text": f"read again at {host}", "warnings": ["odd"]})
    done = fleet.run("-H", "a,b,older", "reload")
    assert "== a ==\nread again at a\n" in done.out and "== b ==\nread again at b\n" in done.out
    assert "warning: a: odd" in done.err and "older: the tool there does not take" in done.err and done.returncode == 2
    for words in (("send", "-"), ("monitor",), ("account", "password", "x"), ("status", "--watch"), ("sendmail", "x@y.example"),
                  ("challenge", "accept", "12"), ("restore", "x"), ("log", "-f")):
        done = fleet.run("-H", "a,b", *words)
        assert done.returncode == 2 and "one host" in done.err, words


# ---- apply ----

def applied(parameters, unused_files=None):
    return {"changes": [{"account": one["name"], "change": "set", "properties": one, "differences": [],
                         "text": f"account {one['name']} is changed"} for one in parameters["accounts"]]}


def test_apply_gives_each_its_part(fleet):
    daemons = {host: fleet.daemon(host, Apply=applied) for host in ("a", "b", "c")}
    document = {"accounts": [{"name": "out", "kind": "outgoing", "hostname": "mail.example", "from": "all@example.com"}],
                "hosts": {"A": {"accounts": [{"name": "out", "from": "a@example.com"}]},
                          "b": {"accounts": [{"name": "in", "kind": "incoming", "transport": "imap", "hostname": "i.example"}]},
                          "c": {"accounts": []}}}
    fleet.says("document", document)
    # the same ssh, another name
    os.symlink(fleet.path("a.socket"), fleet.path("root@a.socket"))
    done = fleet.run("-q", "-H", "root@a,b,c", "account", "apply", fleet.path("document"), "--dry-run")
    assert done.returncode == 0 and done.err == "", done.err
    sent = {host: daemon.calls[0]["parameters"] for host, daemon in daemons.items()}
    common = document["accounts"][0]
    assert sent["a"] == {"accounts": [{**common, "from": "a@example.com"}], "dryRun": True}
    assert sent["b"]["accounts"] == [common, document["hosts"]["b"]["accounts"][0]] and sent["c"]["accounts"] == [common]
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[1][:4] == ["root@a", "0", "1", "0"] and rows[2][:4] == ["b", "0", "2", "0"]
    done = fleet.run("account", "apply", fleet.path("document"))
    assert done.returncode == 1 and "several stations" in done.err
    fleet.says("bad", {"accounts": [], "hosts": {"a": {"accounts": 7}}})
    done = fleet.run("-H", "a,b", "account", "apply", fleet.path("bad"))
    assert done.returncode == 1 and "the part of a holds no list" in done.err and not daemons["a"].calls[1:]


def test_apply_of_a_part_that_fits_no_host_applies_nothing(fleet):
    """A host that is misspelled would have the common accounts alone."""
    daemons = {host: fleet.daemon(host, Apply=applied) for host in ("a", "b")}
    part = {"accounts": [{"name": "out", "from": "x@example.com"}]}
    fleet.says("document", {"accounts": [{"name": "out", "kind": "outgoing"}],
                            "hosts": {"a": part, "bb": part, "c": part, "ill\033[1m": part}})
    with open(fleet.path("plants"), "w") as file:
        file.write("d\n[north]\na\nb\n[south]\nme@C\nno host\n")
    words = ("account", "apply", fleet.path("document"))
    for hosts, unmet in ((("-H", "a,b"), ["bb", "c", "ill"]), (("--hosts", fleet.path("plants"), "--group", "north"), ["bb", "ill"])):
        done = fleet.run("-q", *hosts, *words)
        assert done.returncode == 1 and done.out == "" and "nothing was applied" in done.err and "--partial" in done.err
        assert re.findall(r"the part of '(\w+)", done.err) == unmet and "\033" not in done.err
        assert not os.path.exists(fleet.path("started"))
    fleet.says("document", {"accounts": [{"name": "out", "kind": "outgoing"}], "hosts": {"a": part, "c": part}})
    for run_at in ((*hosts, *words), ("-H", "a,b", *words, "--partial"), ("-H", "a,b", words[0], words[1], "--partial", words[2])):
        done = fleet.run(*run_at)
        assert done.returncode == 0 and done.err == "", done.err
        assert daemons["a"].calls.pop()["parameters"]["accounts"][0]["from"] == "x@example.com"
        assert "from" not in daemons["b"].calls.pop()["parameters"]["accounts"][0]


def test_apply_at_more_stations_than_descriptors(fleet):
    fleet.says("document", {"accounts": []})
    hosts = [f"h{n}" for n in range(80)]
    for host in hosts:
        fleet.says(host, [])
    done = subprocess.run(["prlimit", "--nofile=48:4096", TOOL, "-H", ",".join(hosts), "--parallel", "2", "account", "apply",
                           fleet.path("document")], env=environment(**fleet.environment()), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_apply_that_one_refuses(fleet):
    fleet.daemon("a", Apply=applied)
    fleet.daemon("b", Apply=Error(EMAIL + "InvalidProperty", "bad", problems=[
        {"property": "port", "code": "InvalidProperty", "text": "port is 0", "remedy": "say port=auto"}]))
    done = fleet.run("-H", "a,b", "account", "apply", "-", data=b'[{"name": "x", "kind": "outgoing"}]')
    assert done.returncode == 1 and "b: port: port is 0" in done.err and "account x is changed" in done.out


# ---- which hosts ----

@pytest.mark.parametrize("content, words, told", [
    ("", (), "names no host"), ("# none\n", (), "names no host"), ("a b\n", (), "line 1: 'a b' is not a host"),
    ("a\n-oProxyCommand=x\n", (), "line 2"), ("[no end\na\n", (), "line 1"), ("[a]\nx\n", ("--group", "b"), "no group 'b'"),
    ("a$(x)\n", (), "is not a host"), ("a\0b\n", (), "not a line of text"),
    ("a\n", ("--parallel", "0"), "--parallel is a number"), ("a\n", ("--timeout", "x"), "not a duration"),
    ("a\n", ("--timeout", "0"), "--timeout is from"),
])
def test_files_that_are_none(fleet, content, words, told):
    with open(fleet.path("hosts"), "w") as file:
        file.write(content)
    done = fleet.run("--hosts", fleet.path("hosts"), *words, "status")
    assert done.returncode in (1, 2) and told in done.err, done.err
    assert not os.path.exists(fleet.path("started"))


def test_hosts_that_are_none(fleet):
    for words in (("-H", "a,,b"), ("-H", "a,-x"), ("-H", "a,root@-oProxyCommand=x"),
                  ("-H", "a,ssh://-x"), ("-H", ","), ("--hosts", "/nonexistent"), ("--group", "x", "-H", "a")):
        done = fleet.run(*words, "status")
        assert done.returncode in (1, 2) and not os.path.exists(fleet.path("started")), (words, done.err)
    fleet.says("a", status_of("ok"))
    assert fleet.run("--hosts", "-", "status", data=b"a\n a # again\n").returncode == 0


def test_an_end_by_signal_leaves_nothing(fleet):
    fleet.says("a", status_of("ok"))
    process = subprocess.Popen([TOOL, "-H", "hung1,hung2,a", "--timeout", "1h", "--json", "status"], stdout=subprocess.PIPE,
                               env=environment(**fleet.environment()))
    deadline = time.monotonic() + 30
    while not os.path.exists(fleet.path("started")) or len(open(fleet.path("started")).readlines()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and len(json.loads(out)) == 3
    until(lambda: fleet.left() == [])


# ---- sshd ----

def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.skipif(not shutil.which("sshd", path="/usr/sbin:/usr/bin") or os.getuid() != 0, reason="needs sshd, and root for it")
def test_by_ssh_itself(new_station, tmp_path):
    """One station asked twice by two names, a port without a server, and one whose key is not let in."""
    station = new_station().start()
    station.add("outgoing", "out", password=None, hostname="mail.example", enabled=False)
    folder, port, closed = str(tmp_path), free_port(), free_port()
    for name in ("host", "me", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/{name}"], check=True)
    shutil.copy(f"{folder}/me.pub", f"{folder}/authorized")
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    bin_folder = os.path.dirname(station.programs["emailsecctl"])
    with open(f"{folder}/sshd_config", "w") as file:
        file.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
                   "StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication yes\n"
                   f"SetEnv EMAILSEC_SOCKET={station.socket} PATH={bin_folder}:/usr/bin:/bin\n")
    with open(f"{folder}/host.pub") as file:
        key = " ".join(file.read().split()[:2])
    with open(f"{folder}/known", "w") as file:
        file.write(f"[127.0.0.1]:{port} {key}\n")
    with open(f"{folder}/config", "w") as file:
        file.write(f"Host *\n  UserKnownHostsFile {folder}/known\n  IdentitiesOnly yes\n  User {getpass.getuser()}\n"
                   f"  HostName 127.0.0.1\n  Port {port}\n"
                   f"Host stranger\n  IdentityFile {folder}/stranger\nHost one two\n  IdentityFile {folder}/me\n"
                   f"Host closed\n  Port {closed}\n")
    with open(f"{folder}/config") as file:
        text = file.read()
    with open(f"{folder}/config", "w") as file:     # the first value counts
        file.write(text.replace(f"Host closed\n  Port {closed}\n", "").replace("Host *", f"Host closed\n  Port {closed}\nHost *"))
    with open(f"{folder}/ssh", "w") as file:
        file.write(f"#!/bin/sh\nexec {shutil.which('ssh')} -F {folder}/config \"$@\"\n")
    os.chmod(f"{folder}/ssh", 0o755)
    sshd = subprocess.Popen([shutil.which("sshd", path="/usr/sbin:/usr/bin"), "-D", "-e", "-f", f"{folder}/sshd_config"],
                            stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        env = station_module.clean_environment(PATH=f"{folder}:{os.environ['PATH']}")
        done = subprocess.run([station.programs["emailsecctl"], "-H", "one,stranger,closed,two", "--json", "status"], env=env,
                              capture_output=True, timeout=120, check=False)
        answers = {one["station"]: one for one in json.loads(done.stdout)}
        assert done.returncode == 3, done
        for name in ("one", "two"):
            assert [account["name"] for account in answers[name]["result"]["accounts"]] == ["out"], answers[name]
        assert "asks for a password" in answers["stranger"]["error"]["text"], answers["stranger"]
        assert "no SSH server answers" in answers["closed"]["error"]["text"], answers["closed"]
        with open(f"{folder}/accounts.json", "w") as file:
            json.dump({"accounts": [], "hosts": {"one": {"accounts": [{"name": "out", "pollRate": 7}]}}}, file)
        done = subprocess.run([station.programs["emailsecctl"], "-H", "one,two", "account", "apply", f"{folder}/accounts.json"],
                              env=env, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0 and station.account("out")["pollRate"] == 7, done
    finally:
        sshd.terminate()
        sshd.wait()
