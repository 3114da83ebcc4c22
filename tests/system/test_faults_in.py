# SPDX-License-Identifier: MIT
"""The disk fails, fills up or goes read-only while mail is fetched: nothing is lost, nothing comes twice, the server
is told of nothing that is not safe here, the account says what is wrong, and goes on by itself when it is over."""

import errno
import os
import subprocess
from collections import Counter

import pytest

import channels
import letters
import station as station_module
import users
from test_lmtp import DROP, Lmtp, ids_of
from waiting import until

BOTH = ("imap", "pop3")
SLOW = pytest.mark.slow
COUNT = 300         # more than a batch
MAILFILE = ".emailsecd"

FAULTS = {
    "making files": (("open",), errno.EMFILE, "/tmp", "cannot "),
    "writing files": (("write",), errno.EIO, MAILFILE, "cannot write a received message"),
    "no room for files": (("write",), errno.ENOSPC, MAILFILE, "cannot write a received message"),
    "syncing files": (("syncfs", "fdatasync"), errno.EIO, {"syncfs": "/tmp", "fdatasync": MAILFILE},
                      "cannot sync a received message"),
    "placing files": (("rename",), errno.EIO, "/new", "cannot put a received message into place"),
    "over quota": (("rename",), errno.EDQUOT, "/new", "cannot put a received message into place"),
    "syncing the folder": (("fsync",), errno.EIO, "/new", "cannot sync the Maildir"),
    "the log of the database": (("pwrite", "write"), errno.EIO, "-wal", ""),
    "syncing the log": (("fdatasync",), errno.EIO, "-wal", ""),
    "read-only": (("open", "write", "pwrite", "fsync", "fdatasync", "rename", "ftruncate", "syncfs"), errno.EROFS, "", ""),
}
# The others take as long, and are near to one of these.
QUICK = ((20, "no room for files"), (1, "syncing files"), (20, "placing files"), (1, "syncing the folder"),
         (1, "the log of the database"), (0, "read-only"))


def incoming(station, dovecot, transport, box, **more):
    station.add("incoming", "a", **channels.properties(
        transport, "ssl", dovecot.host(), dovecot.port(transport, "ssl"), box,
        **{"push": False, "pollRate": 1, "deliveryPolicy": "delete", **more}))


def contents(paths):
    found = []
    for path in paths:
        with open(path, "rb") as source:
            found.append(letters.whole(source.read()))
    return Counter(found)


def fill(dovecot, box, count, lines=5):
    messages = [letters.crlf(letters.letter(box, subject=f"number {number}", body=f"{number} text\n" * lines))
                for number in range(count)]
    dovecot.place(box, messages)
    return Counter(messages)


def fill_lmtp(dovecot, box, count):
    ids = [letters.new_message_id() for _ in range(count)]
    dovecot.deliver(box, *(letters.letter(box, message_id=one) for one in ids))
    return sorted(ids)


def at_server(dovecot, box):
    return Counter(content for _, content in dovecot.messages(box))


def sound(station, dovecot, box, messages):
    """Nothing is lost: what is not at the server any more is here."""
    there, here = at_server(dovecot, box), contents(station.inbox("a"))
    assert not messages - (there | here) and not here - messages


def all_here(station, dovecot, box, messages):
    """By itself: nobody asks for a look."""
    until(lambda: at_server(dovecot, box) == Counter(), 30 * station_module.PATIENCE, lambda: station.account("a"))
    assert contents(station.inbox("a")) == messages
    station.wait_status("a", "ok")
    tmp = os.path.join(station.state, "mail", "a", "tmp")
    until(lambda: os.listdir(tmp) == [], 10, lambda: os.listdir(tmp))
    assert station.account("a")["numberReceived"] == messages.total()


@pytest.mark.parametrize("transport,skip,fault", [
    pytest.param(transport, skip, fault, id=f"{fault}-{skip}-{transport}", marks=[] if (skip, fault) in QUICK else SLOW)
    for transport in BOTH for skip in (0, 1, 20) for fault in FAULTS])
def test_the_disk_fails_while_mail_is_fetched(interposed, dovecot, box, transport, skip, fault):
    calls, error, match, words = FAULTS[fault]
    station = interposed.station.start()
    messages = fill(dovecot, box, COUNT)
    incoming(station, dovecot, transport, box, enabled=False)
    interposed.fail(*calls, error=error, match=match, skip=skip)
    if station.ctl("account", "enable", "a", code=None).code:   # that cannot be written either
        interposed.heal()
        station.ctl("account", "enable", "a")
        interposed.fail(*calls, error=error, match=match)
    until(lambda: station.account("a")["status"] == "fault" or skip and at_server(dovecot, box) == Counter(), 20)
    account = station.account("a")
    if account["status"] != "fault":        # so many calls are not made
        assert skip == 20
        pytest.skip("the station needs fewer of these calls")
    assert words in account["faultCause"] and (not words or os.strerror(error) in account["faultCause"])
    assert words in station.ctl("account", "poll", "a", code=1).err
    sound(station, dovecot, box, messages)
    if skip == 0:
        assert at_server(dovecot, box) == messages and account["numberReceived"] == 0
    assert station.running() and "needs a person" in station.log()
    interposed.heal()
    all_here(station, dovecot, box, messages)


@pytest.mark.skipif(not users.IS_ROOT, reason="mounts a tmpfs: needs root")
@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize("count, lines", ((1500, 100), (40, 30000)), ids=("many", "large"))
def test_a_file_system_that_is_full(new_station, dovecot, box, transport, count, lines):
    """Of 6 MiB, the database in it; then it is made larger."""
    station = new_station()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=6m,mode=700,uid={users.DAEMON_UID}", "none", station.state],
                          capture_output=True)
    if made.returncode:
        pytest.skip("may not mount: " + made.stderr.decode().strip())
    try:
        station.start()
        messages = fill(dovecot, box, count, lines)
        incoming(station, dovecot, transport, box)
        account = station.wait_status("a", "fault")
        assert os.strerror(errno.ENOSPC) in account["faultCause"] or "full" in account["faultCause"] or \
            "DiskReserve" in account["faultCause"] or "does not fit" in account["faultCause"]
        sound(station, dovecot, box, messages)
        subprocess.run(["mount", "-o", "remount,size=200m", station.state], check=True)
        all_here(station, dovecot, box, messages)
    finally:
        station.end()
        subprocess.run(["umount", "-l", station.state], check=True)


@pytest.mark.parametrize("fault", ("no room for files", "syncing the log"))
def test_the_disk_fails_while_mail_is_handed_on(interposed, dovecot, box, fault):
    """What the socket took and the disk here did not note comes once more, not once more with each try."""
    calls, error, match, words = FAULTS[fault]
    station = interposed.station.start()
    expected = fill_lmtp(dovecot, box, 10)
    with Lmtp(os.path.join(station.folder, "lmtp")) as server:
        server.rule = lambda what, number: what == "RCPT" and number == 4 and interposed.fail(
            *calls, error=error, match=match) or None
        if fault == "no room for files":
            interposed.fail(*calls, error=error, match=match)
        incoming(station, dovecot, "imap", box, deliverTo=f"lmtp:{server.path}", deliverToAddress="panel@example.test")
        assert words in station.wait_status("a", "fault")["faultCause"]
        for _ in range(5):
            assert words in station.ctl("account", "poll", "a", code=1).err
        # what the socket took and the disk noted is done with, what it only took is at the server still
        taken = 4 if fault == "syncing the log" else 0
        assert len(server.taken) == taken and len(dovecot.messages(box)) == 10 - max(0, taken - 1)
        server.rule = lambda what, number: None
        interposed.heal()
        until(lambda: station.ctl("account", "poll", "a", code=None).code == 0, 20)
        assert dovecot.messages(box) == [] and sorted(set(ids_of(server.taken))) == expected
        assert len(server.taken) == (11 if fault == "syncing the log" else 10)
        station.wait_status("a", "ok")


@pytest.mark.parametrize("what", ("greeting", "LHLO", "MAIL", "RCPT", "DATA", "end", "taken"))
@pytest.mark.parametrize("transport", BOTH)
def test_the_socket_dies(station, dovecot, box, transport, what):
    """Cut at each place, then refusing connections, then gone, then there again: the account is down meanwhile."""
    expected = fill_lmtp(dovecot, box, 6)
    server = Lmtp(os.path.join(station.folder, "lmtp")).open()
    first = 1 if what in ("greeting", "LHLO") else 3
    server.rule = lambda where, number: DROP if where == what and number >= first else None
    try:
        incoming(station, dovecot, transport, box, deliverTo=f"lmtp:{server.path}", deliverToAddress="panel@example.test")
        assert server.path in station.wait_status("a", "down")["faultCause"]
        server.close()
        assert server.path in station.ctl("account", "poll", "a", code=1).err
        assert station.account("a")["status"] == "down" and not station.inbox("a")
        # those before the cut were taken, and may have gone from the server: POP3 deletes at the end of a good session
        assert len(dovecot.messages(box)) == (6 if transport == "pop3" else 6 - (first - 1))
        server.rule = lambda where, number: None
        server.open()
        until(lambda: dovecot.messages(box) == [], 30)
        assert sorted(set(ids_of(server.taken))) == expected
        doubles = len(server.taken) - len(expected)
        assert doubles == 0 or what in ("end", "taken") and doubles <= server.asked[what] - first, doubles
        station.wait_status("a", "ok")
    finally:
        server.close()
