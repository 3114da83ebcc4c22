# SPDX-License-Identifier: MIT
"""What stops the watchdog from being fed, and what does not: calls that hang, by a preloaded library, and a thread that is
dead, by ptrace. The notify socket is the test's own."""

import contextlib
import ctypes
import grp
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
from waiting import until

PERIOD = 0.4          # seconds of WATCHDOG_USEC; the disk may hang for twice as long
LETTER = letters.letter("b", body="line\n" * 5000)       # read by a thread: a small one in a sealed memfd is not

pytestmark = pytest.mark.skipif(station_module.FLAVOUR != "plain" or not shutil.which("cc"),
                                reason="preloads a library: not under a sanitizer, and needs a compiler")


@pytest.fixture(scope="module")
def hanging(base):
    """The library."""
    path = os.path.join(base, "hang.so")
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", path,
                    os.path.join(os.path.dirname(__file__), "hang.c")], check=True)
    os.chmod(path, 0o755)
    return path


@pytest.fixture
def station(new_station, hanging):
    station = new_station()
    folder = users.private_folder(station.folder, "hang")
    station.extra_environment = {"WATCHDOG_USEC": str(int(PERIOD * 1e6)), "LD_PRELOAD": hanging, "HANG": folder}
    station.start()

    @contextlib.contextmanager
    def hang(what):
        path = os.path.join(folder, what)
        with open(path, "w"):
            pass
        try:
            yield lambda: until(lambda: os.path.exists(path + ".hangs"), 10, f"{what}: nobody came by")
        finally:
            os.unlink(path)

    station.hang = hang
    return station


def is_fed(station, seconds):
    """Whether the watchdog is fed at least once a period for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            station.notify.wait("WATCHDOG=1", station.process, timeout=2 * PERIOD)
        except AssertionError:
            assert station.running()
            return False
    return True


def wait_unfed(station):
    """Until a whole period passed without food."""
    deadline = time.monotonic() + 20
    while is_fed(station, PERIOD):
        assert time.monotonic() < deadline, "the watchdog is fed on"


def hand_in(station):
    """Hands in a message and does not wait for the answer."""
    process = subprocess.Popen([station.programs["emailsecctl"], "--socket", station.socket, "send", "--account", "a",
                                "--to", "b@example.test", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=station_module.clean_environment())
    process.stdin.write(LETTER)
    process.stdin.close()
    return process


def account(station, **properties):
    words = {"hostname": "127.0.0.1", "port": "9", "useSsl": "false", "from": "a@example.test", **properties}
    station.ctl("account", "add", "outgoing", "a", *(f"{name}={value}" for name, value in words.items()))


def test_a_disk_that_hangs_stops_it(station):
    account(station)
    assert is_fed(station, 3 * PERIOD)
    with station.hang("disk") as reached:
        process = hand_in(station)
        reached()
        wait_unfed(station)
        assert station.json("status")["accounts"], "the loop goes on"
        assert "has not answered" in station.log() and "<2>" in station.log()
    assert process.wait(60) == 0
    until(lambda: is_fed(station, 3 * PERIOD), 10, "it is well again and not fed")


def test_a_client_whose_file_hangs_does_not(station):
    """As many as there are threads, and others in line behind them."""
    account(station)
    with station.hang("client") as reached:
        processes = [hand_in(station) for _ in range(4)]
        reached()
        assert is_fed(station, 5 * PERIOD)
    assert [process.wait(60) for process in processes] == [0] * 4


@pytest.mark.skipif(not users.IS_ROOT, reason="takes root to be another user")
def test_a_client_whose_files_hang_stops_nobody_else(station):
    """Many of them; others are served, and the end waits for none."""
    account(station, enabled="false")
    stranger = users.as_stranger()
    with station.hang(f"client-{users.STRANGER_UID}") as reached:
        hanging = [subprocess.Popen([station.programs["emailsecctl"], "--socket", station.socket, "send", "--to",
                                     "b@example.test", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL, env=station_module.clean_environment(), **stranger)
                   for _ in range(8)]
        for process in hanging:
            process.stdin.write(LETTER)
            process.stdin.close()
        reached()
        for _ in range(3):
            assert hand_in(station).wait(60) == 0
        assert is_fed(station, 3 * PERIOD)
        station.stop()
        assert all(process.wait(60) != 0 for process in hanging)
    assert len(station.start().json("queue", "list")) == 3


def test_a_service_manager_that_does_not_read_keeps_no_end_waiting(station):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as crowd, contextlib.suppress(BlockingIOError):
        while True:
            crowd.sendto(b"STATUS=full", socket.MSG_DONTWAIT, station.notify.path)
    account(station, enabled="false")
    for number in range(30):        # meanwhile words gather
        station.ctl("account", "set", "a", f"port={number + 1}")
    station.stop()


def test_names_that_hang_do_not(station):
    account(station, hostname="somewhere.example", port="25")
    with station.hang("names") as reached:
        station.send("a", "box@example.test")
        reached()
        assert is_fed(station, 5 * PERIOD)


@pytest.mark.skipif(not users.IS_ROOT, reason="takes root to be another user")
def test_users_whose_names_hang_are_served(station):
    """More of them than there are threads to ask for names; what they may do is known without. The end waits for none."""
    account(station, enabled="false")
    stranger = users.as_stranger()
    with station.hang("users") as reached:
        for _ in range(8):
            station.ctl("sendmail", "b@example.test", stdin=letters.letter("b"), user=stranger)
        reached()
        station.ctl("status", user=stranger, code=4)
        assert is_fed(station, 3 * PERIOD)
        station.stop()
    assert "are recorded by their uid" in station.log()


@pytest.mark.skipif(not users.IS_ROOT, reason="takes root to be another user")
def test_groups_that_hang_give_nobody_anything(station):
    """A directory of users that does not answer at a reload: who was in a group waits for it, and nobody else does."""
    member = {**users.as_stranger(), "extra_groups": [grp.getgrnam("games").gr_gid]}
    station.write_config({"Control.AdminGroup": "games"})
    station.ctl("reload")
    station.ctl("status", user=member)
    with station.hang("groups") as reached:
        station.ctl("reload")
        reached()
        station.ctl("status", user=member, code=4)
        station.ctl("status")
        assert "does not tell who is in the groups" in station.log()
        assert is_fed(station, 3 * PERIOD)
    until(lambda: station.ctl("status", user=member, code=None).code == 0, 10, "the groups are told, and not heard")


PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 17, 0x4206, 0x4207, 0x40000000


@contextlib.contextmanager
def dead_thread(pid, name):
    """Stops one thread alone."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    [thread] = [int(one) for one in os.listdir(f"/proc/{pid}/task")
                if open(f"/proc/{pid}/task/{one}/comm").read().strip() == name]
    if ptrace(PTRACE_SEIZE, thread, None, None) < 0:
        pytest.skip(f"ptrace: {os.strerror(ctypes.get_errno())}")
    try:
        assert ptrace(PTRACE_INTERRUPT, thread, None, None) == 0
        os.waitpid(thread, WALL)
        yield
    finally:
        ptrace(PTRACE_DETACH, thread, None, None)


@pytest.mark.skipif(not users.IS_ROOT, reason="ptrace needs root")
def test_jobs_behind_a_dead_thread_stop_it(station):
    """The writer waits for work and does not wake up: no job is in progress, and none begins."""
    account(station, enabled="false")
    station.send("a", "box@example.test")
    with dead_thread(station.process.pid, "store-writer"):
        assert is_fed(station, 3 * PERIOD), "nothing waits for it yet"
        process = hand_in(station)
        wait_unfed(station)
    assert process.wait(60) == 0
    until(lambda: is_fed(station, 3 * PERIOD), 10, "it is well again and not fed")


def test_a_loop_that_hangs_stops_it(station):
    station.process.send_signal(signal.SIGSTOP)
    try:
        wait_unfed(station)
    finally:
        station.process.send_signal(signal.SIGCONT)
    until(lambda: is_fed(station, 3 * PERIOD), 10, "it goes on and is not fed")
