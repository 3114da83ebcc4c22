# SPDX-License-Identifier: MIT
"""The daemon as a service: readiness, status line, watchdog, reload, orderly end, socket activation, installation."""

import fcntl
import glob
import os
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
    deadline = time.monotonic() + 10
    while True:
        line = station.notify.wait("STATUS=", station.process)["STATUS"]
        if "challenge" in line or "certificate" in line:
            break
        assert time.monotonic() < deadline, line


def test_the_watchdog_is_fed(new_station):
    station = new_station()
    station.extra_environment = {"WATCHDOG_USEC": "400000"}
    station.start()
    for _ in range(3):
        station.notify.wait("WATCHDOG=1", station.process, timeout=2)


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
