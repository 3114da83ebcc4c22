# SPDX-License-Identifier: MIT
"""The daemon as a service: readiness, status line, watchdog, reload, orderly end, socket activation, installation."""

import fcntl
import glob
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import time

import pytest

import letters
import station as station_module
import users
from station import ROOT


def outgoing(station, sink, name="a", *more):
    station.ctl("account", "add", "outgoing", name, f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "from=a@example.test", *more)


def test_ready_comes_with_a_status(station):
    assert "READY=1" in station.notify.seen
    assert any(line.startswith("STATUS=") and len(line) > len("STATUS=") for line in station.notify.seen)


def test_the_status_line_tells_what_is_wrong(station, new_sink, certificates):
    sink = new_sink(certificates.leaf("self-signed", "127.0.0.1"), True)
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}",
                "from=a@example.test")
    station.send("a", "box@example.test")
    station.wait_status("a", "challenge")
    deadline = time.monotonic() + 30
    while True:
        line = station.notify.wait("STATUS=", station.process)["STATUS"]
        if "challenge" in line or "certificate" in line:
            break
        assert time.monotonic() < deadline, line


def test_a_status_line_is_told_when_it_changes(interposed, sink):
    """What is read again every few seconds, since it cannot be read, says nothing new."""
    station = interposed.station
    station.start()
    with open(station.trust, "wb") as out:
        out.write(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    station.wait_event("trust.reloaded")
    for _ in range(6):
        interposed.pass_time(6)
        station.json("status")
    outgoing(station, sink)
    while "1 account" not in station.notify.wait("STATUS=", station.process)["STATUS"]:
        pass
    told = [line for line in station.notify.seen if line.startswith("STATUS=")]
    assert all(before != after for before, after in zip(told, told[1:])), told


def test_the_watchdog_is_fed(new_station):
    station = new_station()
    station.extra_environment = {"WATCHDOG_USEC": "400000"}
    station.start()
    for _ in range(3):
        station.notify.wait("WATCHDOG=1", station.process)


def test_no_watchdog_is_fed_unasked(station):
    station.ctl("status")
    assert "WATCHDOG=1" not in station.notify.seen


def test_reload_by_signal(station):
    station.notify.seen.clear()
    before = time.monotonic_ns() // 1000
    station.process.send_signal(signal.SIGHUP)
    message = station.notify.wait("RELOADING=1", station.process)
    assert before <= int(message["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    station.notify.wait("READY=1", station.process)
    station.wait_event("station.reloaded")


def test_a_storm_of_signals_is_one_reload(station):
    """And then one a second."""
    for _ in range(2):
        for _ in range(1000):
            station.process.send_signal(signal.SIGHUP)
        station.wait_event("audit.recorded", action="station.reloaded")
    assert station.log().count("by a signal (SIGHUP)") <= 3
    lag = re.search(r"emailsec_loop_lag_seconds ([\d.]+)", station.call("GetMetrics")["text"])
    assert float(lag[1]) < 0.5



def test_reload_takes_new_settings_and_ends_no_session(station, sink):
    outgoing(station, sink)
    assert station.wait_message(station.send("a", "box@example.test"))["state"] == "sent"
    station.write_config({"Service.MaxMessageSize": "2000"})
    station.ctl("reload")
    result = station.ctl("send", "--account", "a", "--to", "b@example.test", "-", code=1,
                         stdin=letters.letter("b", body="line\n" * 500))
    assert result.err
    assert station.wait_message(station.send("a", "box@example.test"))["state"] == "sent"


def test_orderly_end_with_nothing_lost(station, sink):
    """SIGTERM while mail flows to a server that does not answer: within 5 s, and everything still there."""
    sink.rule("dot", "hang")
    outgoing(station, sink)
    ids = [station.send("a", "box@example.test") for _ in range(5)]
    sink.wait(lambda s: s.connections >= 1)
    station.stop(within=5)
    sink.clear_rules()
    sink.release()
    assert "STOPPING=1" in drained(station.notify)
    station.start()
    for one in ids:
        station.ctl("queue", "retry", one, code=None)
    assert [station.wait_message(one)["state"] for one in ids] == ["sent"] * 5


def drained(notify):
    notify.socket.settimeout(0)
    try:
        while True:
            notify.seen += notify.socket.recv(65536).decode().splitlines()
    except BlockingIOError:
        pass
    finally:
        notify.socket.settimeout(None)
    return notify.seen


def test_a_service_manager_that_does_not_read_holds_nothing_up(station, sink):
    """The notify socket is full: the daemon answers, sends, and ends all the same."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        filler.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                filler.sendto(b"STATUS=full", station.notify.path)
        outgoing(station, sink)
        for _ in range(3):
            assert station.wait_message(station.send("a", "box@example.test"))["state"] == "sent"
            assert station.json("status")["accounts"]
        station.process.send_signal(signal.SIGTERM)
        assert station.process.wait(5 * station_module.PATIENCE) == 0


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT))
def test_end_by_signal(station, number):
    station.process.send_signal(number)
    assert station.process.wait(5 * station_module.PATIENCE) == 0
    assert not os.path.exists(station.socket)


def test_credentials(new_station, new_sink, certificates, folder):
    """A password by LoadCredential=, read again on reload."""
    station = new_station()
    sink = new_sink(certificates.leaf("system"), True, True)
    place = users.private_folder(folder, "credentials")
    path = os.path.join(place, "mail-password")

    def write(text):
        with open(path, "w") as out:
            out.write(text)
        os.chmod(users.give(path), 0o400)

    write("wrong")
    station.extra_environment = {"CREDENTIALS_DIRECTORY": place}
    station.start()
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "account=user",
                "from=a@example.test")
    station.ctl("account", "password", "a", "--credential", "mail-password")
    queued = station.send("a", "box@example.test")
    station.wait_status("a", "fault")
    os.unlink(path)
    write(letters.PASSWORD)
    station.ctl("reload")
    assert station.wait_message(queued)["state"] == "sent"


def test_folders_from_the_environment(new_station):
    """As systemd gives them; nothing on the command line."""
    station = new_station()
    station.extra_environment = {"STATE_DIRECTORY": station.state, "RUNTIME_DIRECTORY": station.folder}
    station.command = lambda: [station.programs["emailsecd"], "--config", station.config,
                               "--system-trust", station.trust]
    station.start()
    assert station.ctl("status").code == 0
    assert os.path.isdir(os.path.join(station.state, "accounts"))


def test_settings_on_the_command_line(new_station):
    station = new_station()
    station.extra_arguments = ["--set", "Service.Hostname=named.example"]
    station.start()
    assert station.json("status")["hostname"] == "named.example"


def test_drop_ins_are_read_in_order(new_station):
    station = new_station()
    os.mkdir(station.config + ".d")
    for name, value in (("20-b.conf", "second.example"), ("10-a.conf", "first.example"), ("30-c.txt", "third")):
        with open(os.path.join(station.config + ".d", name), "w") as out:
            out.write(f"[Service]\nHostname={value}\n")
    station.start()
    assert station.json("status")["hostname"] == "second.example"


def test_socket_activation(new_station):
    """LISTEN_FDS: the socket is there before the daemon, calls wait for it, and it stays when the daemon ends."""
    station = new_station()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(station.socket)
    os.chmod(station.socket, 0o666)
    listener.listen(16)
    command = station.command()
    # a shell, so that LISTEN_PID is the pid of what it executes
    station.command = lambda: ["/bin/bash", "-c", f"exec 3<&{listener.fileno()} {listener.fileno()}<&-; "
                               'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"', *command]
    station.pass_fds = (listener.fileno(),)
    with station.client() as early:
        early.send("org.varlink.service.GetInfo")
        station.start()
        assert "vendor" in early.answer()
    station.ctl("status")
    station.stop()
    assert os.path.exists(station.socket), "the socket belongs to the service manager"
    listener.close()


SAYS = {    # what the service manager says of the unit: what the tool says where it finds no daemon, or loses it
    "failing": ("LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code", "emailsecd does not start",
                "journalctl -u emailsecd -n 20"),
    "killed": ("LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=signal", "has ended and is started again",
               "journalctl -u emailsecd -n 20"),
    "masked": ("LoadState=masked\nActiveState=inactive\nSubState=dead", "emailsecd is masked", "systemctl unmask emailsecd.service"),
    "failed": ("LoadState=loaded\nActiveState=failed\nSubState=failed", "emailsecd does not start",
               "journalctl -u emailsecd -n 20"),
    "stopped": ("LoadState=loaded\nActiveState=inactive\nSubState=dead", "is not started", "systemctl start emailsecd"),
    "running": ("LoadState=loaded\nActiveState=active\nSubState=running", "no daemon", "systemctl restart emailsecd.socket"),
    "absent": ("LoadState=not-found\nActiveState=inactive\nSubState=dead", "no daemon", "install the package emailsecd"),
    "unknown": ("", "no daemon", "systemctl restart emailsecd.socket"),
}
AT_THE_SOCKET = {   # what is at the standard socket
    "nothing": "pass",
    "nobody": "s.bind(path)",
    "silence": "s.bind(path); s.listen(); s.settimeout(60)",
    "hung-up": "s.bind(path); s.listen(); threading.Thread(target=lambda: s.accept()[0].close()).start()",
}


@pytest.mark.skipif(not users.IS_ROOT, reason="puts something in the place of the standard socket")
@pytest.mark.parametrize("there", AT_THE_SOCKET)
@pytest.mark.parametrize("state", SAYS)
def test_what_the_service_manager_knows(programs, folder, state, there):
    """Not there, not started, does not start, hung up: four things, each with its remedy; exit 3, and 75 of sendmail."""
    says, words, remedy = SAYS[state]
    if there == "silence" and state not in ("failing", "failed"):
        pytest.skip("an answer may come")
    if there == "hung-up" and state not in ("failing", "failed", "stopped", "killed", "masked"):
        words, remedy = "closed the connection before it answered", None
    with open(os.path.join(folder, "systemctl"), "w") as out:
        out.write(f"#!/bin/sh\necho '{says}'\n")
    os.chmod(out.name, 0o755)
    for command, code in ((["status"], 3), (["sendmail", "box@example.test"], 75)):
        script = ("import os, socket, subprocess, sys, threading\n"
                  "path = '/run/emailsecd/io.emailsec'\nos.mkdir('/run/emailsecd')\n"
                  f"s = socket.socket(socket.AF_UNIX)\n{AT_THE_SOCKET[there]}\n"
                  "sys.exit(subprocess.run(sys.argv[1:], input=b'Subject: x\\n\\nx\\n').returncode)\n")
        done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"',
                               "sh", "python3", "-c", script, programs["emailsecctl"], *command], capture_output=True, text=True,
                              timeout=60, env=station_module.clean_environment(PATH=f"{folder}:/usr/bin:/bin"))
        assert done.returncode == code, done.stderr
        assert words in done.stderr and (remedy is None or remedy in done.stderr), done.stderr


def test_who_waits_for_a_start_that_fails_is_told(new_station):
    """At a socket that was passed on: the call is answered, not left to have the service started again and again."""
    station = new_station()
    with open(station.config, "a") as out:
        out.write("[Service]\nNoSuchKey=1\n")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(station.socket)
    os.chmod(station.socket, 0o666)
    listener.listen(16)
    tool = subprocess.Popen([station.programs["emailsecctl"], "--socket", station.socket, "status"], stderr=subprocess.PIPE,
                            env=station_module.clean_environment(), text=True)
    idle = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    idle.connect(station.socket)
    poller = select.poll()
    poller.register(listener, select.POLLIN)
    assert poller.poll(10000)
    command = station.command()
    station.command = lambda: ["/bin/bash", "-c", f"exec 3<&{listener.fileno()} {listener.fileno()}<&-; "
                               'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"', *command]
    station.pass_fds = (listener.fileno(),)
    with pytest.raises(AssertionError):
        station.start()
    while tool.poll() is None and not poller.poll(100):
        pass
    if tool.poll() is None:     # it had come too late for the first one
        with pytest.raises(AssertionError):
            station.start()
    said = tool.communicate(timeout=60)[1]
    assert tool.returncode == 3 and "emailsecd does not start" in said and "journalctl -u emailsecd -n 20" in said
    assert any(line.startswith("STATUS=does not start: ") for line in station.notify.seen)
    station.process = None      # it has ended, as it should
    idle.close()
    listener.close()


@pytest.mark.skipif(not users.IS_ROOT, reason="root by hand")
def test_root_leaves_nothing_in_the_folder_of_another_user(new_station):
    station = new_station()
    before = set(os.listdir(station.state)) if os.path.isdir(station.state) else None
    if before is None:
        users.give(os.path.dirname(users.private_folder(os.path.dirname(station.state), os.path.basename(station.state)) + "/x"))
    done = subprocess.run(station.command(), capture_output=True, text=True, env=station_module.clean_environment(), timeout=20)
    assert done.returncode == 1 and "belongs to user" in done.stderr and "runuser -u" in done.stderr, done.stderr
    assert not os.listdir(station.state)


def test_a_wrong_password_of_a_credential_names_the_credential(new_station, new_sink, certificates, folder):
    station = new_station()
    sink = new_sink(certificates.leaf("system"), True, True)
    place = users.private_folder(folder, "credentials")
    with open(os.path.join(place, "folder_mail"), "w") as out:
        out.write("wrong")
    os.chmod(users.give(out.name), 0o400)
    station.extra_environment = {"CREDENTIALS_DIRECTORY": place}
    station.start()
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "account=user",
                "from=a@example.test")
    warned = station.ctl("account", "password", "a", "--credential", "folder")
    assert "credential folder" in warned.err and "folder_mail" in warned.err and "LoadCredential=folder:" in warned.err
    assert not station.ctl("account", "password", "a", "--credential", "folder_mail").err
    station.send("a", "box@example.test")
    station.wait_status("a", "fault")
    told = station.ctl("account", "test", "a", code=None).said + json.dumps(station.account("a"))
    assert "credential folder_mail" in told and "systemctl restart emailsecd" in told
    assert "emailsecctl account password a" not in told


def test_the_process_is_not_dumpable(station):
    """Core dumps and ptrace would show passwords."""
    # the files of a process that is not dumpable belong to root
    assert os.stat(f"/proc/{station.process.pid}/mem").st_uid == 0
    if not users.IS_ROOT:
        with pytest.raises(PermissionError):
            open(f"/proc/{station.process.pid}/environ").read()


def test_nothing_secret_on_the_command_line(station):
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false")
    station.ctl("account", "password", "a", letters.PASSWORD, code=2)
    assert station.account("a")["passwordSource"] == "none"


# ---- what is installed

@pytest.fixture(scope="session")
def installed(base, programs):
    target = os.path.join(base, "installed")
    with open(os.path.join(ROOT, "Makefile")) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)    # one worker at a time, should there be something to build
        done = subprocess.run(["make", "-s", "install", f"DESTDIR={target}", f"FLAVOUR={station_module.FLAVOUR}"],
                              cwd=ROOT, capture_output=True, text=True, timeout=300)
    if "No rule to make target 'install'" in done.stderr:
        pytest.skip("make install is not there yet")
    assert done.returncode == 0, done.stderr
    return target


def test_make_install_places_everything(installed):
    def there(pattern):
        return glob.glob(os.path.join(installed, pattern), recursive=True)

    for pattern in ("usr/sbin/emailsecd", "usr/bin/emailsecctl", "**/emailsecd.service", "**/emailsecd.socket",
                    "etc/emailsecd/emailsecd.conf", "usr/lib/sysusers.d/*", "**/man/man8/emailsecd.8*",
                    "**/man/man1/emailsecctl.1*", "**/man/man5/emailsecd.conf.5*", "**/catalog/*.catalog"):
        assert there(pattern), pattern
    for folder, _, files in os.walk(installed):
        for name in files:
            with open(os.path.join(folder, name), "rb") as source:
                assert installed.encode() not in source.read(), f"{name} names DESTDIR"


def test_installed_programs_run(installed):
    for name in ("usr/sbin/emailsecd", "usr/bin/emailsecctl"):
        done = subprocess.run([os.path.join(installed, name), "--version"], capture_output=True, text=True,
                              env=station_module.clean_environment())
        assert done.returncode == 0 and done.stdout


def test_the_installed_settings_are_valid(installed):
    done = subprocess.run([os.path.join(installed, "usr/sbin/emailsecd"), "--check-config", "--config",
                           os.path.join(installed, "etc/emailsecd/emailsecd.conf")], capture_output=True, text=True,
                          env=station_module.clean_environment())
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_units_are_sound(installed, base):
    units = glob.glob(os.path.join(installed, "**/emailsecd.service"), recursive=True) + \
        glob.glob(os.path.join(installed, "**/emailsecd.socket"), recursive=True)
    # the units name /usr/sbin/emailsecd: here they get programs that exist
    place = os.path.join(base, "units")
    os.makedirs(place, exist_ok=True)
    for unit in units:
        with open(unit) as source:
            text = source.read().replace("/usr/sbin/emailsecd", os.path.join(installed, "usr/sbin/emailsecd")) \
                .replace("/usr/bin/emailsecctl", os.path.join(installed, "usr/bin/emailsecctl"))
        with open(os.path.join(place, os.path.basename(unit)), "w") as out:
            out.write(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
                           *(os.path.join(place, os.path.basename(unit)) for unit in units)],
                          capture_output=True, text=True, timeout=60)
    problems = [line for line in done.stderr.splitlines() if "emailsecd" in line]
    assert not problems, "\n".join(problems)
