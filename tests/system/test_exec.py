# SPDX-License-Identifier: MIT
"""deliverTo=exec:COMMAND: each message to a command that emailsec-deliver runs, once as far as that can be told, and never
lost. The socket is served as a service manager would: a process for each connection, with it as standard input."""

import contextlib
import itertools
import json
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

import letters
import station as station_module
import users
from test_maildir import incoming
from waiting import until


class Deliver:
    """emailsec-deliver.socket, with Accept=yes."""

    def __init__(self, station):
        self.path = os.path.join(station.folder, "deliver")
        self.program, self.out = station.programs["emailsec-deliver"], os.path.join(station.folder, "deliver.log")
        self.processes, self.most, self.lock = [], 0, threading.Lock()
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(self.path)
        os.chmod(self.path, 0o666)
        self.server.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.server.accept()
                with self.lock, peer, open(self.out, "ab") as out:
                    self.processes.append(subprocess.Popen([self.program], stdin=peer, stdout=out, stderr=out, cwd="/",
                                                           env={"PATH": os.environ["PATH"]}, **users.as_daemon()))
                    self.most = max(self.most, sum(one.poll() is None for one in self.processes))

    def log(self):
        with open(self.out, errors="replace") as source:
            return source.read()

    def close(self):
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        for one in self.processes:
            if one.poll() is None:
                one.kill()
            one.wait()


@pytest.fixture
def deliver(station):
    one = Deliver(station)
    yield one
    one.close()


@pytest.fixture
def out(folder):
    return users.private_folder(folder, "out")


def fill(new_box, count, **more):
    contents = [letters.crlf(letters.letter("box", subject=f"number {number}", body=f"line {number}\n.\nlast\n", **more))
                for number in range(count)]
    return new_box("imap", contents=contents), contents


def poll(station, code=0, name="a"):
    return station.ctl("account", "poll", name, code=code, timeout=60)


def files(folder):
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if not name.startswith(".")]


def read(path):
    with open(path, "rb") as source:
        return source.read()


SAVE = "cat >{out}/.$$ && mv {out}/.$$ {out}/$$-$EMAILSEC_ID"


def test_each_message_to_the_command(station, deliver, new_box, out):
    """On its standard input with LF, what is known of it in the environment; nothing is left in the Maildir."""
    box, contents = fill(new_box, 5)
    incoming(station, box, deliverTo=f"exec:{SAVE.format(out=out)}; env >{out}/.env")
    poll(station)
    assert sorted(map(read, files(out))) == sorted(content.replace(b"\r\n", b"\n") for content in contents)
    environment = dict(line.split("=", 1) for line in read(f"{out}/.env").decode().splitlines())
    assert environment["EMAILSEC_ACCOUNT"] == "a" and environment["EMAILSEC_FOLDER"] == "INBOX"
    assert environment["EMAILSEC_UID"] == "5" and environment["EMAILSEC_SUBJECT"] == "number 4"
    assert environment["EMAILSEC_SIZE"] == str(len(contents[4])) and environment["EMAILSEC_FROM"] == "sender@example.test"
    assert not [name for name in environment if name.startswith(("LISTEN_", "NOTIFY_"))]
    assert station.inbox("a") == [] and station.account("a")["numberReceived"] == 5
    data = station.wait_event("mail.received", account="a")["data"]
    assert data["path"] is None and data["id"] in "".join(files(out))
    poll(station)
    station.restart()
    poll(station)
    assert len(files(out)) == 5
    assert os.listdir(os.path.join(station.state, "mail", "a", "tmp")) == []


def test_odd_messages(station, deliver, new_box, out):
    """A message with a LF of its own comes as it came; nothing in a header is anything but text to a shell."""
    nasty = [b"Subject: $(touch %s/owned) `id`; \"'\\\r\nFrom: \x1b[31m|rm\r\n\r\nx\r\n" % out.encode(),
             b"Subject: bare\r\n\r\na\nb\r\n", b"Subject: nul\r\n\r\n\0\xff\r\n"]
    box = new_box("imap", contents=nasty)
    incoming(station, box, deliverTo=f"exec:{SAVE.format(out=out)}; printf '%s\\n' \"$EMAILSEC_SUBJECT\" >>{out}/.subjects")
    poll(station)
    assert sorted(map(read, files(out))) == sorted([nasty[0].replace(b"\r\n", b"\n"), nasty[1], nasty[2].replace(b"\r\n", b"\n")])
    assert not os.path.exists(f"{out}/owned") and b"$(touch" in read(f"{out}/.subjects")


def test_tempfail_waits_at_the_server(station, deliver, new_box, out):
    """75: the account is down, nothing is lost, and what was taken before is not given again."""
    box, contents = fill(new_box, 4)
    incoming(station, box, deliveryPolicy="delete", pollRate=3600,
             deliverTo=f"exec:case $EMAILSEC_SUBJECT in *3) test -e {out}/.open || {{ echo try later >&2; exit 75; }};; esac; " +
             SAVE.format(out=out))
    failed = poll(station, code=1)
    assert "75" in failed.err and "try later" in failed.err and "waits at the server" in failed.err
    sheet = station.wait_status("a", "down")
    assert "puts mail off" in sheet["faultCause"] and len(files(out)) == 3
    assert station.account("a")["numberReceived"] == 3
    with open(f"{out}/.open", "w"):
        pass
    until(lambda: station.ctl("account", "poll", "a", code=None).code == 0)
    assert len(files(out)) == 4 and station.account("a")["status"] == "ok"
    until(lambda: box.messages == [])


def test_pauses_grow(station, deliver, new_box, out):
    """By itself, later and later."""
    box, _ = fill(new_box, 1)
    incoming(station, box, pollRate=1, deliverTo=f"exec:date +%s.%N >>{out}/times; exit 75")
    until(lambda: os.path.exists(f"{out}/times") and len(read(f"{out}/times").split()) >= 5, 90)
    times = list(map(float, read(f"{out}/times").split()))
    assert times[4] - times[3] > 2 * (times[1] - times[0])


@pytest.mark.parametrize("command, how", (
    ("echo first >&2; printf 'no such pump \\033[31m\\n' >&2; exit 1", r"exit status 1: no such pump \x1b[31m"),
    ("kill -SEGV $$", "signal 11"), ("exit 65", "exit status 65"),
    ("echo on stdout; exit 3", "exit status 3: on stdout"),
    ("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 9", "exit status 9: " + 300 * "x")))
def test_what_fails_is_in_the_inbox(station, deliver, new_box, out, command, how):
    """Told with the last line, escaped and cut; the messages behind it go on."""
    box, contents = fill(new_box, 3)
    incoming(station, box, deliverTo=f"exec:case $EMAILSEC_SUBJECT in *1) {command};; esac; {SAVE.format(out=out)}")
    poll(station)
    assert len(files(out)) == 2
    assert [letters.whole(read(path)) for path in station.inbox("a")] == [contents[1]]
    event = station.wait_event("mail.handedBack", account="a")
    assert how in event["data"]["reply"] and len(event["data"]["reply"]) < 500 and event["data"]["command"].startswith("case ")
    assert "the command of deliverTo refused a message" in station.log() and "\033" not in station.log()
    warnings = station.call("GetAccount", name="a")["account"]["warnings"]
    assert any("refused by deliverTo" in warning for warning in warnings)
    assert any("a command is run for each received message" in warning for warning in warnings)
    row, = [row for row in station.json("audit", code=None) if row["check"] == "command"]
    assert row["verdict"] == "warning" and command[:30] in row["text"]
    poll(station)
    assert len(files(out)) == 2 and len(station.inbox("a")) == 1


@pytest.mark.parametrize("command", ("/no/such/program", "/etc/passwd"), ids=("127", "126"))
def test_a_command_that_cannot_be_run_is_a_fault(station, deliver, new_box, out, command):
    """The mail waits for whoever mends it, and goes then."""
    box, _ = fill(new_box, 2)
    incoming(station, box, deliverTo=f"exec:{command}", deliveryPolicy="delete")
    poll(station, code=1)
    sheet = station.wait_status("a", "fault")
    assert sheet["cause"]["code"] == "Command" and "cannot be run" in sheet["faultCause"] and command in sheet["faultCause"]
    assert len(box.messages) == 2 and station.inbox("a") == []
    station.ctl("account", "set", "a", f"deliverTo=exec:{SAVE.format(out=out)}")
    until(lambda: len(files(out)) == 2)
    station.wait_status("a", "ok")


def test_a_command_that_hangs(station, deliver, new_box, out):
    """It and what it has started are ended; the mail waits."""
    box, _ = fill(new_box, 1)
    incoming(station, box, deliverTimeout=1, pollRate=3600,
             deliverTo=f"exec:test -e {out}/.open || {{ echo waiting; sleep 1000 & echo $! >{out}/.pid; wait; }}; {SAVE.format(out=out)}")
    failed = poll(station, code=1)
    assert "did not end within 1 s" in failed.err and "waiting" in failed.err and "deliverTimeout" in failed.err
    pid = int(read(f"{out}/.pid"))
    until(lambda: not os.path.exists(f"/proc/{pid}") or " Z " in read(f"/proc/{pid}/stat").decode())
    assert station.wait_status("a", "down") and files(out) == [] and station.inbox("a") == []
    with open(f"{out}/.open", "w"):
        pass
    until(lambda: station.ctl("account", "poll", "a", code=None).code == 0)
    assert len(files(out)) == 1


def test_without_the_helper(station, new_box, out):
    """What to do is said; once it is there all goes."""
    box, _ = fill(new_box, 2)
    incoming(station, box, deliverTo=f"exec:{SAVE.format(out=out)}")
    failed = poll(station, code=1)
    assert "emailsec-deliver" in failed.err and "systemctl enable --now emailsec-deliver.socket" in failed.err
    assert station.wait_status("a", "down")
    one = Deliver(station)
    try:
        until(lambda: station.ctl("account", "poll", "a", code=None).code == 0)
        assert len(files(out)) == 2
    finally:
        one.close()


def test_a_helper_that_dies_or_babbles(station, new_box, out):
    """Cut off before its answer, nonsense, no end: the mail waits."""
    box, _ = fill(new_box, 1)
    path = os.path.join(station.folder, "deliver")
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    os.chmod(path, 0o666)
    server.listen(8)
    answers = [b"", b"{}\0", b"nonsense\0", b'{"status": 0}', b"x" * 100000, b'{"status"\0: 0}\0', b"\0"]

    def serve():
        with contextlib.suppress(OSError):      # closed
            for one in itertools.chain(answers, itertools.repeat(b"")):     # the station looks once by itself, too
                peer, _ = server.accept()
                with peer, contextlib.suppress(OSError):
                    peer.recv(65536)
                    peer.sendall(one)
    threading.Thread(target=serve, daemon=True).start()
    incoming(station, box, deliverTo="exec:true", pollRate=3600, enabled=False)
    station.ctl("account", "enable", "a")
    for _ in answers:
        station.ctl("account", "poll", "a", code=None)
    server.close()
    assert station.inbox("a") == [] and station.account("a")["numberReceived"] == 0
    assert station.account("a")["status"] == "down"


def test_at_most_eight_at_once(station, deliver, new_box, out):
    """Of all accounts together; the others wait in line."""
    boxes = [fill(new_box, 2)[0] for _ in range(14)]
    for number, box in enumerate(boxes):
        incoming(station, box, name=f"a{number}", deliverTo=f"exec:sleep 0.3; {SAVE.format(out=out)}")
    until(lambda: len(files(out)) == 28, 60)
    # Those that have answered may be ending while the next begin; sanitizers look for leaks then.
    assert 2 <= deliver.most <= (9 if station_module.FLAVOUR == "plain" else 14)
    until(lambda: all(station.account(f"a{number}")["numberReceived"] == 2 for number in range(14)), 20)


def test_killed_while_handing_on(station, deliver, new_box, out):
    """Each kill may repeat the one message whose command was not recorded; nothing is lost."""
    box, contents = fill(new_box, 40)
    chance = random.Random(3)
    incoming(station, box, deliverTo=f"exec:{SAVE.format(out=out)}")
    kills = sorted(chance.sample(range(1, 40), 4))
    for taken in kills:
        until(lambda: len(files(out)) >= taken, 60)
        station.kill()
        station.start()
    until(lambda: station.ctl("account", "poll", "a", code=None, timeout=60).code == 0, 60)
    found = list(map(read, files(out)))
    assert set(found) == {content.replace(b"\r\n", b"\n") for content in contents}
    assert len(found) <= 40 + len(kills) and station.inbox("a") == []


def test_the_station_ends_while_a_command_runs(station, deliver, new_box, out):
    """In time; the command is ended with it, and the message given again."""
    box, _ = fill(new_box, 1)
    incoming(station, box, deliverTo=f"exec:test -e {out}/.open || {{ echo $$ >{out}/.pid; exec sleep 1000; }}; {SAVE.format(out=out)}")
    until(lambda: os.path.exists(f"{out}/.pid") and read(f"{out}/.pid"))
    station.stop()
    pid = int(read(f"{out}/.pid"))
    until(lambda: not os.path.exists(f"/proc/{pid}"), 15)
    with open(f"{out}/.open", "w"):
        pass
    station.start()
    until(lambda: len(files(out)) == 1)


def test_deleting_the_account_ends_it(station, deliver, new_box, out):
    box, _ = fill(new_box, 1)
    incoming(station, box, deliverTo=f"exec:echo $$ >{out}/.pid; exec sleep 1000")
    until(lambda: os.path.exists(f"{out}/.pid") and read(f"{out}/.pid"))
    station.ctl("account", "delete", "a")
    pid = int(read(f"{out}/.pid"))
    until(lambda: not os.path.exists(f"/proc/{pid}"), 15)


@pytest.mark.parametrize("value, word", (("exec:", "names no command"), ("exec:  ", "names no command"), ("exec", "exec: and a command"),
                                         ("exec:" + "x" * 1000, "")))
def test_bad_values(station, new_box, value, word):
    station.add("incoming", "a", transport="imap", hostname="127.0.0.1", port=9)
    assert word in station.ctl("account", "set", "a", f"deliverTo={value}", code=1).err
    station.ctl("account", "set", "a", "deliverTimeout=0", code=1)


def test_who_set_it_is_recorded(station):
    station.add("incoming", "a", transport="imap", hostname="127.0.0.1", port=9)
    station.ctl("account", "set", "a", "deliverTo=exec:/usr/local/bin/panel --quick")
    event = station.wait_event("audit.recorded", action="account.changed", account="a")
    assert "exec:/usr/local/bin/panel --quick" in json.dumps(event["data"]) and event["data"]["who"]


# ---- the helper alone

def test_the_helper_takes_only_calls(station, folder):
    """Whatever else comes, it ends, runs nothing, and soon."""
    program = station.programs["emailsec-deliver"]
    whole = json.dumps({"command": f"touch {folder}/ran", "timeout": 5, "environment": {}}).encode()
    for sent, with_fd in ((b"", True), (whole, True), (b"{}\0", True), (b"[1]\0", True), (b"\xff\0", True), (whole + b"\0", False),
                          (whole.replace(b"5", b"0") + b"\0", True), (b"x" * 70000 + b"\0", True)):
        ours, theirs = socket.socketpair()
        with ours, theirs, open("/dev/null", "rb") as message:
            process = subprocess.Popen([program], stdin=theirs, stderr=subprocess.PIPE)
            theirs.close()
            with contextlib.suppress(OSError):
                if sent and with_fd:
                    socket.send_fds(ours, [sent[:60000]], [message.fileno()])
                    ours.sendall(sent[60000:])
                elif sent:
                    ours.sendall(sent)
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_WR)
            assert process.wait(20 * station_module.PATIENCE) != 0
            process.stderr.close()
    assert not os.path.exists(os.path.join(folder, "ran"))


def test_the_helper_waits_for_nobody_behind(station, folder):
    """A process that the command leaves behind keeps neither the answer back nor itself alive."""
    ours, theirs = socket.socketpair()
    with ours, open("/dev/null", "rb") as message:
        process = subprocess.Popen([station.programs["emailsec-deliver"]], stdin=theirs)
        theirs.close()
        call = {"command": f"sleep 500 & echo $! >{folder}/pid; echo done", "timeout": 60, "environment": {}}
        started = time.monotonic()
        socket.send_fds(ours, [json.dumps(call).encode() + b"\0"], [message.fileno()])
        answer = b""
        while part := ours.recv(4096):
            answer += part
        assert json.loads(answer.rstrip(b"\0")) == {"status": 0, "lastLine": "done"}
        assert process.wait(60) == 0 and time.monotonic() - started < 30
    pid = int(read(f"{folder}/pid"))
    until(lambda: not os.path.exists(f"/proc/{pid}") or " Z " in read(f"/proc/{pid}/stat").decode())


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="no systemd")
def test_under_socket_activation(station, new_box, out):
    """As the units have it, by systemd's own program for that."""
    path = os.path.join(station.folder, "deliver")
    process = subprocess.Popen(["systemd-socket-activate", "--accept", "--inetd", "-l", path, station.programs["emailsec-deliver"]],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **users.as_daemon())
    try:
        until(lambda: os.path.exists(path))
        box, _ = fill(new_box, 3)
        incoming(station, box, deliverTo=f"exec:{SAVE.format(out=out)}")
        until(lambda: len(files(out)) == 3, 20)
        station.wait_status("a", "ok")
    finally:
        process.terminate()
        process.wait()


def test_the_units_agree():
    """Where the socket is, and that it is the daemon's alone."""
    units = os.path.join(station_module.ROOT, "systemd")
    text = read(os.path.join(units, "emailsec-deliver.socket")).decode()
    header = read(os.path.join(station_module.ROOT, "common", "deliver.h")).decode()
    name = re.search(r'DELIVER_SOCKET\s+"(\w+)"', header).group(1)
    assert f"ListenStream=/run/emailsecd/{name}\n" in text and "SocketMode=0600" in text and "Accept=yes" in text
    assert "DynamicUser=yes" in read(os.path.join(units, "emailsec-deliver@.service")).decode()
