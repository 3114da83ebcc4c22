# SPDX-License-Identifier: MIT
"""Waiting for mail in IDLE at a real server: at once, again after every interruption, and in several folders."""

import os
import signal
import statistics
import time

import pytest

import channels
import letters
from processes import children, end
from waiting import until


def incoming(station, dovecot, box, name="a", **more):
    station.add("incoming", name, **channels.properties(
        "imap", "ssl", dovecot.host(), dovecot.port("imap", "ssl"), box, **more))


def idles(dovecot, box):
    """True when Dovecot has a session of this mailbox that idles (it writes that into its process title)."""
    return any(f"[{box} " in title and "IDLE" in title for _, title in children(dovecot.process.pid, "imap"))


def session_of(dovecot, box):
    return [pid for pid, title in children(dovecot.process.pid, "imap") if f"[{box} " in title]


def wait_idle(dovecot, box):
    until(lambda: idles(dovecot, box), 15, lambda: f"no IDLE of {box}: {children(dovecot.process.pid, 'imap')}")


def wait_received(station, timeout=15, name="a"):
    """The event, and that its file is there by then."""
    event = station.wait_event("mail.received", timeout, account=name)
    assert any(event["data"]["file"] in path for path in station.inbox(name))
    return event


def latencies(station, dovecot, box, count):
    """Seconds from the end of the delivery there to the event here, for each of `count` messages."""
    incoming(station, dovecot, box, pollRate=3600)
    wait_idle(dovecot, box)
    found = []
    for _ in range(count):
        dovecot.deliver(box, letters.letter(box))
        since = time.monotonic()
        wait_received(station)
        found.append(time.monotonic() - since)
        wait_idle(dovecot, box)
    print(f"\nnew mail to file, IDLE, {count} messages: p50 {statistics.median(found) * 1000:.0f} ms,"
          f" p99 {sorted(found)[min(count - 1, count * 99 // 100)] * 1000:.0f} ms")
    assert max(found) < 1.0 * (1 if count < 50 else 1.5) + 0.5
    assert statistics.median(found) < 1.0
    return found


def test_new_mail_is_here_within_a_second(station, dovecot, box):
    latencies(station, dovecot, box, 4)


@pytest.mark.slow
def test_latency_over_fifty_messages(station, dovecot, box):
    latencies(station, dovecot, box, 50)


def test_poll_wakes(station, dovecot, box):
    incoming(station, dovecot, box, pollRate=3600)
    wait_idle(dovecot, box)
    station.ctl("account", "poll", "a")
    wait_idle(dovecot, box)
    dovecot.deliver(box, letters.letter(box))
    wait_received(station)


def test_the_session_is_cut_while_idling(station, dovecot, box):
    incoming(station, dovecot, box, pollRate=3600)
    for how in (signal.SIGKILL, signal.SIGTERM):      # without a word, and with BYE
        wait_idle(dovecot, box)
        pid, = session_of(dovecot, box)
        os.kill(pid, how)
        dovecot.deliver(box, letters.letter(box))
        wait_received(station)
    assert station.account("a")["status"] == "ok"


def test_the_server_is_restarted_while_idling(station, certificates, folder, box):
    import dovecot as dovecot_module
    server = dovecot_module.Dovecot(folder, certificates, kinds=["system"])
    try:
        incoming(station, server, box, pollRate=3600)
        wait_idle(server, box)
        below = children(server.process.pid, "imap", "imap-login")
        server.kill()
        end(pid for pid, _ in below)
        station.wait_status("a", "down", "connecting")
        server.start()
        server.deliver(box, letters.letter(box))
        wait_received(station, 30)
        wait_idle(server, box)
    finally:
        server.stop()


def test_a_session_that_is_dead_is_noticed(station, dovecot, box):
    """The server neither answers nor closes: the fall-back check finds it out."""
    incoming(station, dovecot, box, pollRate=1, connectionTimeout=2)
    wait_idle(dovecot, box)
    pid, = session_of(dovecot, box)
    os.kill(pid, signal.SIGSTOP)
    try:
        dovecot.deliver(box, letters.letter(box))
        wait_received(station, 30)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_idle_on_the_first_of_several_folders(station, dovecot, box):
    client = dovecot.imap(box)
    client.create("Alarms")
    client.create("Logs")
    incoming(station, dovecot, box, folder="INBOX,Alarms,Logs", pollRate=2)
    wait_idle(dovecot, box)
    for folder in ("Logs", "INBOX", "Alarms"):
        client.append(folder, None, None, letters.crlf(letters.letter(box)))
        assert wait_received(station)["data"]["folder"] == folder
    client.logout()
    assert len(station.inbox("a")) == 3


def test_mail_of_the_time_away(station, dovecot, box):
    """What came between two sessions is fetched when the next begins."""
    incoming(station, dovecot, box)
    wait_idle(dovecot, box)
    station.stop()
    dovecot.deliver(box, *(letters.letter(box) for _ in range(3)))
    station.start()
    for _ in range(3):
        wait_received(station)
    assert len(station.inbox("a")) == 3
