# SPDX-License-Identifier: MIT
"""Backup of a running station, and restoring: whole under load, proven, refused where it would do harm."""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import tarfile
import threading

import pytest

import letters
import station as station_module
import users
from waiting import until


def outgoing(station, name="a", *more):
    station.ctl("account", "add", "outgoing", name, "hostname=127.0.0.1", "port=9", "account=user",
                "from=a@example.test", *more)
    station.ctl("account", "password", name, stdin=letters.PASSWORD + "\n")


def backup(station, folder, *more):
    path = os.path.join(folder, "backup.tar")
    station.ctl("backup", path, *more)
    return path


def members(path):
    with tarfile.open(path) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive.getmembers()}


def restore(station, path, *more, code=0):
    """As the station's user, with the daemon stopped."""
    with open(path, "rb") as archive:
        done = subprocess.run([station.programs["emailsecd"], "--config", station.config, "--state-directory", station.state,
                               "--restore", *more], stdin=archive, capture_output=True, text=True, timeout=60, cwd="/",
                              env=station_module.clean_environment(), **users.as_daemon())
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def queued(station):
    return {one["id"] for one in station.json("queue", "list")}


def test_the_archive_is_plain_and_proves_itself(station, folder):
    outgoing(station)
    station.send("a", "box@example.test")
    path = backup(station, folder)
    found = members(path)
    names = list(found)
    assert names[0] == "emailsec-backup.json" and names[-1] == "SHA256SUMS"
    about = json.loads(found["emailsec-backup.json"])
    assert about["format"] == 1 and about["version"] and about["secrets"] is False and about["mail"] is True
    sums = dict(reversed(line.split("  ", 1)) for line in found["SHA256SUMS"].decode().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in found.items() if name != "SHA256SUMS"}
    assert "accounts/a.json" in found and not any(name.startswith(("secrets", "keys", "lock", "spool")) for name in found)
    assert letters.PASSWORD.encode() not in open(path, "rb").read()
    assert os.stat(path).st_mode & 0o777 == 0o600 and not os.path.exists(path + ".part")
    found = members(backup(station, folder, "--secrets"))
    assert letters.PASSWORD.encode() in found["secrets/a"]


def test_credentials_are_named_without_secrets(station, folder):
    outgoing(station)
    station.ctl("account", "password", "a", "--credential", "plant-mail")
    assert b"plant-mail" in members(backup(station, folder))["secrets/a"]


def test_to_standard_output(station):
    outgoing(station)
    done = subprocess.run([station.programs["emailsecctl"], "--socket", station.socket, "backup", "-"], capture_output=True,
                          env=station_module.clean_environment(), timeout=60)
    assert done.returncode == 0
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert archive.getnames()[-1] == "SHA256SUMS"


def test_under_load_nothing_that_was_accepted_is_missing(new_station, folder):
    """Mail is handed in all the while: what was accepted before the command is in the archive, whole."""
    station, other = new_station(), new_station(name="other")
    station.start()
    outgoing(station)
    accepted, stop, failed = [], threading.Event(), []

    def load():
        while not stop.is_set():
            try:
                accepted.append(station.send("a", "box@example.test", letters.letter("box", body="line of a body\n" * 200)))
            except AssertionError as error:
                failed.append(error)
                return

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(accepted) > 20 or failed, 30)
        for _ in range(3):
            before = set(accepted)
            path = backup(station, folder, "--secrets")
            later = len(accepted)
            until(lambda: len(accepted) > later or failed, 30)     # it went on
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed
    told = restore(other, path)
    assert "1 account" in told
    check = sqlite3.connect(os.path.join(other.state, "station.db"))
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()
    other.start()
    there = queued(other)
    assert before <= there <= set(accepted) and before
    one = sorted(before)[0]
    assert other.message(one)["state"] in ("queued", "deferred", "sending")
    assert other.account("a")["passwordSource"] == "stored"


def test_accounts_that_change_meanwhile_fit_the_queue(new_station, folder):
    """No message in an archive is of an account that is not in it."""
    station = new_station().start()
    outgoing(station)
    stop = threading.Event()

    def change():
        number = 0
        while not stop.is_set():
            number += 1
            outgoing(station, f"n{number}", "enabled=false")
            station.send(f"n{number}", "box@example.test")

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for number in range(4):
            done = station.ctl("backup", os.path.join(folder, f"{number}.tar"), code=None)
            if done.code != 0:
                assert "changed again and again" in done.err
                continue
            found = members(os.path.join(folder, f"{number}.tar"))
            path = os.path.join(folder, "look.db")
            with open(path, "wb") as out:
                out.write(found["station.db"])
            database = sqlite3.connect(path)
            of = {row[0] for row in database.execute("SELECT DISTINCT account FROM message")}
            database.close()
            assert of <= {name[len("accounts/"):-len(".json")] for name in found if name.startswith("accounts/")}
    finally:
        stop.set()
        thread.join()


def test_restored_it_says_what_is_missing_and_works(new_station, folder):
    station, other = new_station().start(), new_station(name="other")
    outgoing(station)
    outgoing(station, "b", "enabled=false")
    sent = station.send("a", "box@example.test")
    path = backup(station, folder)
    told = restore(other, path)
    for words in ("2 accounts", "1 message in the queue", "emailsecctl account password a", "emailsecctl account password b",
                  "systemctl start emailsecd", "emailsecd"):
        assert words in told
    other.start()
    assert queued(other) == {sent}
    assert other.account("a")["passwordSource"] == "none"


def test_what_is_there_is_not_overwritten(new_station, folder):
    station = new_station().start()
    outgoing(station)
    path = backup(station, folder, "--secrets")
    assert "stop it first" in restore(station, path, code=1), "beside a station that runs"
    outgoing(station, "later")
    station.stop()
    assert "--force" in restore(station, path, code=1)
    assert os.path.exists(os.path.join(station.state, "accounts", "later.json"))
    told = restore(station, path, "--force")
    [aside] = [name for name in os.listdir(station.state) if name.startswith("replaced-")]
    assert aside in told and os.path.exists(os.path.join(station.state, aside, "accounts", "later.json"))
    station.start()
    assert [one["name"] for one in station.json("account", "list")] == ["a"]
    assert not [name for name in members(backup(station, folder)) if name.startswith("replaced-")]


def test_received_mail_is_in_it_whatever_a_mail_program_does(new_station, folder):
    """Files are moved from new to cur, and their flags change, all the while: each is there once, or by both names."""
    station = new_station().start()
    station.ctl("account", "add", "incoming", "in", "transport=imap", "hostname=localhost", "enabled=false")
    box = os.path.join(station.state, "mail", "in")
    for name in ("", "new", "cur", "tmp"):
        os.makedirs(os.path.join(box, name), 0o700, exist_ok=True)
        users.give(os.path.join(box, name))
    users.give(os.path.dirname(box))
    for number in range(300):
        with open(os.path.join(box, "new", f"m{number}"), "w") as out:
            out.write(f"Subject: {number}\n\n" + "text\n" * 500)
        users.give(out.name)
    stop = threading.Event()

    def read_mail():
        flags = 0
        while not stop.is_set():
            flags += 1
            for place in ("new", "cur"):
                for name in sorted(os.listdir(os.path.join(box, place))):
                    base = name.split(":")[0]
                    os.rename(os.path.join(box, place, name), os.path.join(box, "cur", f"{base}:2,{'FRST'[flags % 4]}"))

    thread = threading.Thread(target=read_mail)
    thread.start()
    try:
        found = members(backup(station, folder))
    finally:
        stop.set()
        thread.join()
    there = {name.split("/")[-1].split(":")[0] for name in found if name.startswith("mail/in/")}
    assert there == {f"m{number}" for number in range(300)}
    assert not any(name.startswith("mail") for name in members(backup(station, folder, "--no-mail")))


@pytest.mark.parametrize("what", ("cut", "bit", "sums", "link", "outside", "other"))
def test_a_bad_archive_restores_nothing(new_station, folder, what):
    station, other = new_station().start(), new_station(name="other")
    outgoing(station)
    path = backup(station, folder, "--secrets")
    data = bytearray(open(path, "rb").read())
    bad = os.path.join(folder, "bad.tar")
    if what == "cut":
        data = data[:len(data) // 2]
    elif what == "bit":
        at = data.index(b"SQLite format 3") + 5000
        data[at] ^= 1
    if what in ("cut", "bit"):
        with open(bad, "wb") as out:
            out.write(data)
    else:
        with tarfile.open(path) as old, tarfile.open(bad, "w", format=tarfile.USTAR_FORMAT) as new:
            for one in old.getmembers():
                content = old.extractfile(one)
                if what == "sums" and one.name == "SHA256SUMS":
                    continue
                if what == "other" and one.name == "emailsec-backup.json":
                    continue
                if one.name == "accounts/a.json" and what == "link":
                    one.type, one.linkname, one.size, content = tarfile.SYMTYPE, "/etc/passwd", 0, None
                if one.name == "accounts/a.json" and what == "outside":
                    one.name = "accounts/../../outside"
                new.addfile(one, content)
    told = restore(other, bad, code=1)
    assert "what to do" in told
    if what == "bit":
        assert "station.db in the archive is not what was backed up" in told
    left = set(os.listdir(other.state)) if os.path.isdir(other.state) else set()
    assert left <= {"lock"}, left
    assert not os.path.exists(os.path.join(os.path.dirname(other.state), "outside"))
    other.start()


def test_a_restore_that_was_cut_off_starts_no_station(new_station, folder):
    station = new_station().start()
    outgoing(station)
    path = backup(station, folder, "--secrets")
    station.stop()
    os.mkdir(os.path.join(station.state, "restoring"), 0o700)
    users.give(os.path.join(station.state, "restoring"))
    assert "restore was cut off" in station.start_refused()[1]
    restore(station, path, "--force")
    station.start()


def test_a_reader_that_stops_holds_nothing_up(new_station):
    """The pipe is full and nobody reads: mail is taken, a second backup is refused, and the end comes."""
    station = new_station().start()
    outgoing(station)
    station.send("a", "box@example.test", letters.letter("box", body="line of a body\n" * 20000))
    read, write = os.pipe()
    waiting = subprocess.Popen([station.programs["emailsecctl"], "--socket", station.socket, "backup", "-"], stdout=write,
                               env=station_module.clean_environment())
    os.close(write)
    assert len(os.read(read, 512)) == 512
    until(lambda: "another backup" in station.ctl("backup", "/dev/null.d/none", "-q", code=None).err or
          "another backup" in station.ctl("backup", os.path.join(station.folder, "two.tar"), code=None).err, 10)
    station.send("a", "box@example.test")
    station.stop(within=5)
    os.close(read)
    waiting.wait(60)


@pytest.mark.skipif(not users.IS_ROOT, reason="root restores for another user")
def test_by_the_tool_as_root_the_files_stay_the_users(new_station, folder):
    station, other = new_station().start(), new_station(name="other")
    outgoing(station)
    path = backup(station, folder, "--secrets")
    place = os.path.join(folder, "place")
    os.mkdir(place, 0o700)
    shutil.chown(place, "nobody")
    os.chmod(folder, 0o755)
    done = subprocess.run([station.programs["emailsecctl"], "restore", path, "--state-directory", place], capture_output=True,
                          text=True, env=station_module.clean_environment(), timeout=60)
    if done.returncode and "cannot" in done.stderr:
        pytest.skip("the folders above are not for others")
    assert done.returncode == 0, done.stderr
    assert {os.stat(os.path.join(where, name)).st_uid for where, folders, files in os.walk(place)
            for name in folders + files} == {os.stat(place).st_uid}
