# SPDX-License-Identifier: MIT
"""The Maildir as other programs have it: LF line ends, the rights of ReadGroup=, mutt, Dovecot and Python's mailbox."""

import contextlib
import mailbox
import os
import pty
import pwd
import re
import select
import shutil
import sqlite3
import stat
import subprocess
import time

import pytest

import channels
import letters
import station as station_module
import users
from waiting import until

GROUP = "nogroup"                   # of the daemon under test
MEMBER = pwd.getpwnam("games")      # a user of every Debian, here a member of that group


def incoming(station, box, name="a", **more):
    station.add("incoming", name, **channels.properties(box.transport, "plain", box.host, box.port, "box",
                                                        **{"push": False, **more}))


def poll(station, name="a"):
    station.ctl("account", "poll", name, timeout=60)


def read(path):
    with open(path, "rb") as source:
        return source.read()


def is_bare(message):
    return re.search(rb"(?<!\r)\n", message) is not None


def stored(message):
    return message if is_bare(message) else message.replace(b"\r\n", b"\n")


NASTY = [b"Subject: cr\r\n\r\na\rb\r\r\nc\r\r\r\n\r\n", b"Subject: end\r\n\r\nends in a CR\r", b"Subject: bare\r\n\r\na\nb\r\nc\r\n",
         b"Subject: nul\r\n\r\n\0\r\n\0\n\r\n" + bytes(range(256)) * 300, b"Subject: lf only\n\nbody\n",
         b"Subject: late\r\n\r\n" + b"x" * 70 + b"\r\n" * 3 + (b"y" * 76 + b"\r\n") * 40000 + b"bare\nline\r\n"]


def test_line_ends(station, new_box):
    """The file is what came with LF for CRLF, or what came; the mark says which, and no byte is lost."""
    sent = [message for message in letters.odd() + NASTY if message]
    box = new_box("imap", contents=sent)
    incoming(station, box, maxMessageSize=20 << 20)
    poll(station)
    files = {path: read(path) for path in station.inbox("a")}
    assert sorted(files.values()) == sorted(map(stored, sent))
    with station.client() as client:
        listed = client.call("ListInbox", name="a")["messages"]
    back = []
    for message in listed:
        content = files[message["path"]]
        whole = content.replace(b"\n", b"\r\n") if message["lineEnds"] == "lf" else content
        assert message["lineEnds"] == ("asReceived" if is_bare(whole) else "lf")
        assert len(whole) == message["size"]
        back.append(whole)
        raw = subprocess.run([station.programs["emailsecctl"], "--socket", station.socket, "inbox", "show", "a", message["id"], "--raw"], stdout=subprocess.PIPE, check=True)
        assert raw.stdout == content
    assert sorted(back) == sorted(sent)


def earlier(station, name="a"):
    """The Maildir and its rows as a version before LF left them."""
    for path in station.inbox(name):
        content = read(path)
        if not is_bare(content) or b"\r\n" not in content:
            with open(path, "wb") as out:
                out.write(content.replace(b"\n", b"\r\n"))
    with contextlib.closing(sqlite3.connect(os.path.join(station.state, "station.db"))) as database, database:
        database.execute("UPDATE inbox SET line_ends = 0")
        database.execute("INSERT OR REPLACE INTO meta (name, value) SELECT 'crlfTo', max(seq) FROM inbox")
        database.execute("DELETE FROM meta WHERE name = 'crlfAt'")


def is_migrated(station):
    with contextlib.closing(sqlite3.connect(f"file:{station.state}/station.db?mode=ro", uri=True)) as database:
        return not database.execute("SELECT 1 FROM meta WHERE name = 'crlfTo'").fetchall()


def test_mail_of_an_earlier_version(station, new_box):
    """It is made LF while the station works, with the same ids, a mail reader's flags and times; kills and restarts amidst."""
    sent = [letters.crlf(letters.letter("box", subject=f"number {number}", body="text\n" * (number % 40)))
            for number in range(600)]
    box = new_box("imap", contents=sent)
    incoming(station, box)
    poll(station)
    before = {message["id"]: message for message in station.call("ListInbox", name="a")["messages"]}
    station.stop()
    paths = station.inbox("a")
    for path in paths[::3]:
        shutil.move(path, path.replace("/new/", "/cur/") + ":2,S")
    earlier(station)
    for path in station.inbox("a"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert all(b"\r\n" in read(path) for path in station.inbox("a"))
    for number in range(3):
        station.start()
        until(lambda: any(b"\r\n" not in read(path) for path in station.inbox("a")), 20)
        station.kill()
        assert len(station.inbox("a")) == len(sent)
    station.start()
    poll(station)       # it works meanwhile
    opened_first = station.call("ListInbox", name="a", limit=1)["messages"]
    assert opened_first
    until(lambda: is_migrated(station), 60)
    assert sorted(letters.whole(read(path)) for path in station.inbox("a")) == sorted(sent)
    assert {os.stat(path).st_mtime for path in station.inbox("a")} == {1_700_000_000}
    after = {message["id"]: message for message in station.call("ListInbox", name="a")["messages"]}
    assert after.keys() == before.keys() and all(message["lineEnds"] == "lf" for message in after.values())
    assert all(after[one]["size"] == before[one]["size"] for one in after)
    assert sum(message["file"].endswith(":2,S") for message in after.values()) == len(paths[::3])
    station.restart()
    poll(station)
    assert len(station.inbox("a")) == len(sent)
    until(lambda: os.listdir(os.path.join(station.state, "mail", "a", "tmp")) == [], 10)   # what a kill left is swept


# ---- rights

def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def run_as_member(*command, **options):
    """As somebody who has nothing in common with the daemon but its group."""
    return subprocess.run(command, user=MEMBER.pw_uid, group=MEMBER.pw_gid, extra_groups=[users.DAEMON_GID],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", **options)


def check_rights(station, name="a"):
    mail = os.path.join(station.state, "mail")
    for folder in (mail, f"{mail}/{name}", *(f"{mail}/{name}/{part}" for part in ("tmp", "new", "cur"))):
        assert (mode(folder), os.stat(folder).st_gid) == (0o2750, users.DAEMON_GID), folder
    for path in station.inbox(name):
        assert (mode(path), os.stat(path).st_gid) == (0o640, users.DAEMON_GID), path


@pytest.mark.skipif(not users.IS_ROOT, reason="needs users of its own")
def test_rights(new_station, new_box):
    station = new_station({"Control.ReadGroup": GROUP}).start()
    box = new_box("imap", contents=[letters.crlf(letters.letter("box"))] * 3)
    incoming(station, box)
    poll(station)
    until(lambda: mode(os.path.join(station.state, "mail")) == 0o2750)
    check_rights(station)
    path = station.inbox("a")[0]
    assert run_as_member("cat", path).stdout == read(path)
    mail = os.path.join(station.state, "mail", "a")
    assert run_as_member("touch", f"{mail}/new/x").returncode and run_as_member("rm", path).returncode
    # the way to it, and nothing else
    assert run_as_member("ls", station.state).returncode
    for other in os.listdir(station.state):
        whole = os.path.join(station.state, other)
        if other != "mail":
            assert run_as_member("ls" if os.path.isdir(whole) else "cat", whole).returncode, other
    stranger = subprocess.run(["cat", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", **users.as_stranger())
    assert stranger.returncode


@pytest.mark.skipif(not users.IS_ROOT, reason="needs users of its own")
def test_rights_of_an_earlier_version(new_station, new_box):
    """What is there gets the rights; where there is no such group any more, nobody gets in."""
    station = new_station().start()      # no group `emailsec`
    incoming(station, new_box("imap", contents=[letters.crlf(letters.letter("box"))] * 3))
    poll(station)
    mail = os.path.join(station.state, "mail")
    assert mode(mail) == 0o700
    station.stop()
    for path in station.inbox("a"):
        os.chmod(path, 0o600)
    for part in ("tmp", "new", "cur", ""):
        os.chmod(f"{mail}/a/{part}", 0o700)
    station.write_config({"Control.ReadGroup": GROUP})
    station.start()
    until(lambda: mode(mail) == 0o2750)
    check_rights(station)
    station.write_config({"Control.ReadGroup": "no-such-group"})
    station.ctl("reload")
    until(lambda: mode(mail) == 0o700)


@pytest.mark.skipif(not users.IS_ROOT, reason="needs users of its own")
def test_a_group_that_the_daemon_is_not_in(new_station, new_box):
    station = new_station({"Control.ReadGroup": "mail"}).start()
    incoming(station, new_box("imap", contents=[letters.crlf(letters.letter("box"))]))
    poll(station)
    until(lambda: "ReadGroup=" in station.log())
    assert mode(os.path.join(station.state, "mail")) == 0o700
    assert "SupplementaryGroups=" in station.log()


# ---- other programs

class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, command, **options):
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, **options)
        os.close(theirs)
        self.said = b""

    def read_until_end(self, timeout=30):
        deadline = time.monotonic() + timeout * station_module.PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            if select.select([self.ours], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.said += os.read(self.ours, 65536)
        os.close(self.ours)
        if self.process.poll() is None:
            self.process.kill()
        return self.process.wait()


@pytest.mark.skipif(not users.IS_ROOT or not shutil.which("mutt"), reason="needs mutt, and users of its own")
def test_mutt_as_a_member_of_the_group(new_station, new_box, folder):
    """It reads all messages without a ^M, and changes nothing."""
    station = new_station({"Control.ReadGroup": GROUP}).start()
    sent = [letters.crlf(letters.letter("box", subject=f"number {number}", body="one\ntwo\n")) for number in range(4)]
    incoming(station, new_box("imap", contents=sent))
    poll(station)
    mail = os.path.join(station.state, "mail", "a")
    until(lambda: mode(os.path.dirname(mail)) == 0o2750)
    out = os.path.join(folder, "out")
    os.mkdir(out)
    os.chown(out, MEMBER.pw_uid, MEMBER.pw_gid)
    push = f"<jump>1<enter>{f'<pipe-message>cat>>{out}/all<enter><next-entry>' * 4}<exit>"
    mutt = Terminal(["mutt", "-n", "-R", "-F", "/dev/null", "-e", "set pipe_split=no wait_key=no pipe_decode=no", "-e",
                     f'push "{push}"', "-f", mail],
                    user=MEMBER.pw_uid, group=MEMBER.pw_gid, extra_groups=[users.DAEMON_GID], cwd="/",
                    env={"TERM": "xterm", "HOME": out, "PATH": os.environ["PATH"], "LC_ALL": "C"})
    assert mutt.read_until_end() == 0, mutt.said
    piped = read(f"{out}/all")
    assert b"\r" not in piped and all(f"Subject: number {number}\n".encode() in piped for number in range(4))
    assert len(station.inbox("a")) == 4 and all("/new/" in path for path in station.inbox("a"))


@pytest.mark.skipif(not users.IS_ROOT or not shutil.which("mutt"), reason="needs mutt, and users of its own")
def test_mutt_as_the_daemons_user(station, new_box, folder):
    """It marks and deletes; the inbox follows."""
    sent = [letters.crlf(letters.letter("box", subject=f"number {number}")) for number in range(3)]
    incoming(station, new_box("imap", contents=sent))
    poll(station)
    out = users.private_folder(folder, "home")
    push = "<jump>1<enter><display-message><exit><jump>2<enter><delete-message><sync-mailbox><exit>"
    mutt = Terminal(["mutt", "-n", "-F", "/dev/null", "-e", "set delete=yes mark_old=no sort=date-received", "-e", f'push "{push}"', "-f",
                     os.path.join(station.state, "mail", "a")], **users.as_daemon(), cwd="/",
                    env={"TERM": "xterm", "HOME": out, "PATH": os.environ["PATH"], "LC_ALL": "C"})
    assert mutt.read_until_end() == 0, mutt.said
    listed = station.call("ListInbox", name="a")
    assert listed["total"] == 2 and sum(":2,S" in message["file"] for message in listed["messages"]) == 1
    poll(station)
    assert len(station.inbox("a")) == 2


def test_pythons_mailbox(station, new_box):
    sent = [letters.crlf(letters.letter("box", subject=f"number {number}")) for number in range(3)]
    incoming(station, new_box("imap", contents=sent))
    poll(station)
    ids = {message["subject"]: message["id"] for message in station.call("ListInbox", name="a")["messages"]}
    place = mailbox.Maildir(os.path.join(station.state, "mail", "a"), factory=None, create=False)
    assert sorted(message["Subject"] for message in place) == [f"number {number}" for number in range(3)]
    for key, message in place.items():
        assert b"\r" not in place.get_bytes(key)
        if message["Subject"] == "number 1":
            message.set_subdir("cur")
            message.set_flags("RS")
            place[key] = message
    listed = station.call("ListInbox", name="a")["messages"]
    assert {message["subject"]: message["id"] for message in listed} == ids
    assert [message["file"].endswith(":2,RS") for message in listed if message["subject"] == "number 1"] == [True]


def test_dovecot(station, new_box, dovecot, box):
    """Its IMAP server over our Maildir gives what came, byte for byte, and its sizes."""
    sent = [message for message in letters.odd()[:14] if message and not is_bare(message) and b"\0" not in message]
    incoming(station, new_box("imap", contents=sent), maxMessageSize=20 << 20)
    poll(station)
    dovecot.lend(box, os.path.join(station.state, "mail", "a"))
    ids = {message["id"] for message in station.call("ListInbox", name="a")["messages"]}
    given = [content for _, content in dovecot.messages(box)]
    assert sorted(given) == sorted(sent)
    with contextlib.closing(dovecot.imap(box)) as imap:
        imap.select("INBOX")
        sizes = sorted(int(re.search(rb"RFC822.SIZE (\d+)", line).group(1))
                       for line in imap.fetch("1:*", "(RFC822.SIZE)")[1])
        assert sizes == sorted(map(len, sent))
        imap.store("1", "+FLAGS", "(\\Seen)")
    listed = station.call("ListInbox", name="a")["messages"]
    assert {message["id"] for message in listed} == ids and any(message["file"].endswith(":2,S") for message in listed)
    assert "Cached message size" not in dovecot.log()
