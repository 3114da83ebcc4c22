# SPDX-License-Identifier: MIT
"""What people, programs and disks get wrong: a clear sentence, a non-zero exit, nothing lost, never silently empty."""

import json
import os
import shutil
import socket
import subprocess

import pytest

import channels
import letters
import station as station_module
import users
import varlink
from waiting import until


def still_well(station):
    assert station.call("GetStatus")["status"]["version"]


def run(program, *args, **more):
    done = subprocess.run([program, *args], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL,
                          env=station_module.clean_environment(), **more)
    assert not station_module.SANITIZER.search(done.stderr), done.stderr
    return done


# ---- the command line

def test_usage_is_exit_2(station):
    for args in (("nonsense",), ("account",), ("account", "frobnicate"), ("account", "show"), ("--nonsense",),
                 ("account", "add", "sideways", "a"), ("account", "add", "outgoing", "a", "no-equals-sign"),
                 ("queue", "retry"), ("account", "secure", "a", "tls")):
        result = station.ctl(*args, code=2)
        assert result.err and not result.out, result


def test_no_daemon_is_exit_3(programs, folder):
    done = run(programs["emailsecctl"], "--socket", os.path.join(folder, "nothing"), "status")
    assert done.returncode == 3
    assert "nothing" in done.stderr


@pytest.mark.parametrize("name", ("emailsecd", "emailsecctl"))
def test_help_and_version(programs, name):
    for option in ("--help", "--version"):
        done = run(programs[name], option)
        assert done.returncode == 0 and done.stdout and not done.stderr
    assert run(programs[name], "-h").stdout == run(programs[name], "--help").stdout
    done = run(programs[name], "--no-such-option")
    assert done.returncode not in (0, 3, 4) and done.stderr and not done.stdout


# ---- settings

@pytest.mark.parametrize("text, word", (("[Service]\nColour=red\n", "Colour"), ("[Nonsense]\nA=b\n", "Nonsense"),
                                        ("[Service]\nMaxMessageSize=large\n", "MaxMessageSize"),
                                        ("LogLevel=info\n", "LogLevel"), ("[Service\n", "1")))
def test_bad_settings_refuse_the_start(new_station, text, word):
    station = new_station()
    with open(station.config, "w") as out:
        out.write(text)
    code, said = station.start_refused()
    assert code not in (0, None) and code > 0
    assert station.config in said and word in said
    done = run(station.programs["emailsecd"], "--config", station.config, "--check-config")
    assert done.returncode > 0 and station.config in done.stderr + done.stdout


def test_a_reload_with_bad_settings_keeps_the_old(station):
    with open(station.config, "a") as out:
        out.write("[Service]\nColour=red\n")
    result = station.ctl("reload", code=1)
    assert "Colour" in result.err
    still_well(station)


def test_a_missing_settings_file_is_told(new_station):
    station = new_station()
    os.unlink(station.config)
    code, said = station.start_refused()
    assert code > 0 and station.config in said


# ---- the state folder

def test_a_state_folder_that_is_not_writable(new_station):
    station = new_station()
    os.chmod(station.state, 0o500)
    if users.IS_ROOT:
        os.chown(station.state, 0, 0)
        os.chmod(station.state, 0o755)
    code, said = station.start_refused()
    assert code > 0 and station.state in said


def test_a_state_folder_that_is_a_file(new_station):
    station = new_station()
    os.rmdir(station.state)
    with open(station.state, "w"):
        pass
    code, said = station.start_refused()
    assert code > 0 and station.state in said
    os.unlink(station.state)


def test_a_second_daemon_on_the_same_folder(new_station):
    first = new_station().start()
    second = new_station()
    os.rmdir(second.state)
    second.state = first.state
    code, said = second.start_refused()
    assert code > 0 and first.state in said
    still_well(first)
    first.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false")


def test_a_second_daemon_on_the_same_socket(new_station):
    first = new_station().start()
    second = new_station()
    second.socket = first.socket
    code, said = second.start_refused()
    assert code > 0 and first.socket in said
    still_well(first)


def test_a_socket_left_by_a_killed_daemon_is_taken_over(station):
    station.kill()
    assert os.path.exists(station.socket)
    station.start()
    still_well(station)


# ---- files in it that cannot be read: a fault, never silently empty

DAMAGES = {"truncated": lambda path: os.truncate(path, max(1, os.path.getsize(path) // 2)),
           "garbage": lambda path: open(path, "wb").write(os.urandom(300)),
           "empty": lambda path: os.truncate(path, 0),
           "unreadable": lambda path: os.chmod(path, 0)}


def damage(path, how):
    DAMAGES[how](path)
    return open(path, "rb").read() if how != "unreadable" or users.IS_ROOT else None


@pytest.mark.parametrize("how", sorted(DAMAGES))
def test_an_unreadable_account(station, how, sink):
    for name in ("bad", "good"):
        station.ctl("account", "add", "outgoing", name, f"hostname={sink.host}", f"port={sink.port}",
                    "useSsl=false", "from=a@example.test")
    station.stop()
    path = os.path.join(station.state, "accounts", "bad.json")
    before = damage(path, how)
    station.start()
    sheet = station.account("bad")
    assert sheet["status"] == "fault"
    assert sheet["cause"]["text"] and "bad" in sheet["cause"]["text"]
    assert sorted(one["name"] for one in station.json("account", "list")) == ["bad", "good"]
    assert station.wait_message(station.send("good", "box@example.test"))["state"] == "sent"
    station.stop()
    if before is not None:
        assert open(path, "rb").read() == before     # kept as it is, for a person


@pytest.mark.parametrize("what", ("a file", "the folder"))
@pytest.mark.parametrize("then", ("put back", "deleted"))
def test_a_lost_account_file(station, sink, what, then):
    """Nobody deleted the account: it is in fault, its mail and its secret stay, and it goes on once the file is back."""
    station.add("outgoing", "a", hostname=sink.host, port=sink.port, useSsl=False, enabled=False, allowDisabledQueuing=True,
                **{"from": "a@example.test"})
    queued = station.send("a", "box@example.test")
    station.stop()
    folder = os.path.join(station.state, "accounts")
    shutil.copytree(folder, folder + ".kept", copy_function=shutil.copy2)
    if what == "a file":
        os.unlink(os.path.join(folder, "a.json"))
    else:
        shutil.rmtree(folder)
    station.start()
    sheet = station.account("a")
    assert sheet["status"] == "fault" and "a.json has gone" in sheet["cause"]["text"]
    assert "put the file back" in sheet["cause"]["remedy"]
    assert station.message(queued)["account"] == "a"
    secret = os.path.join(station.state, "secrets", "a")
    assert os.path.exists(secret)
    if then == "deleted":
        station.call("DeleteAccount", name="a", force=True)
        assert not os.path.exists(secret) and not station.json("queue", "list")
        station.restart()
        assert not station.json("account", "list")
        return
    shutil.copy2(os.path.join(folder + ".kept", "a.json"), folder)
    users.give(os.path.join(folder, "a.json"))
    until(lambda: station.account("a")["status"] == "disabled", 20)
    station.call("SetAccount", name="a", properties={"enabled": True})
    assert station.wait_message(queued)["state"] == "sent"
    assert station.account("a")["passwordSource"] == "stored"


def test_what_was_there_at_the_last_start(station, new_sink, certificates):
    """A missing file is an empty list; that it was not always missing is told once."""
    sink = new_sink(certificates.leaf("self-signed", "127.0.0.1"), True, True)
    for anchor in (certificates.user, certificates.intermediate):
        station.ctl("trust", "import", "-", stdin=anchor.pem)
    station.add("outgoing", "a", **channels.properties("smtp", "ssl", sink.host, sink.port, "user"))
    station.send("a", "box@example.test")
    station.wait_status("a", "challenge")
    station.ctl("trust", "delete", certificates.intermediate.fingerprint)
    station.restart()
    assert "at the last start" not in station.log()
    station.stop()
    os.unlink(os.path.join(station.state, "allowed-hosts.json"))
    os.unlink(os.path.join(station.state, "trust", certificates.user.fingerprint + ".pem"))
    station.start()
    assert "1 certificate of the User Trust Store was there at the last start and has gone" in station.log()
    assert "allowed-hosts.json was there at the last start and has gone" in station.log()
    told = station.log().count("at the last start")
    station.restart()
    assert station.log().count("at the last start") == told


def test_unreadable_secrets_are_told(station):
    station.add("outgoing", "a", hostname="a.example", enabled=False)
    station.stop()
    damage(os.path.join(station.state, "secrets", "a"), "garbage")
    station.start()
    assert "the secrets of account a cannot be read" in station.log()


ODD = {"fifo": os.mkfifo, "folder": os.mkdir, "link": lambda path: os.symlink("/nowhere/x", path),
       "device": lambda path: os.symlink("/dev/full", path)}


@pytest.mark.parametrize("what", ODD)
def test_an_odd_thing_named_reserve(station, sink, what):
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "from=a@example.test")
    station.stop()
    path = os.path.join(station.state, "reserve")
    if os.path.lexists(path):
        os.unlink(path)
    ODD[what](path)
    station.start()
    assert station.wait_message(station.send("a", "box@example.test"))["state"] == "sent"
    station.call("GetStatus")
    station.stop()


@pytest.mark.parametrize("name", ("accounts/a.json", "secrets/a", "secrets"))
@pytest.mark.parametrize("what", ("folder", "full folder", "file", "fifo", "loop"))
def test_an_account_is_deleted_whatever_is_in_the_place_of_its_files(station, name, what):
    """The call is answered, and the account does not come back."""
    station.add("outgoing", "a", hostname="127.0.0.1", port=9, useSsl=False, enabled=False)
    path = os.path.join(station.state, name)
    shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    if what == "file":
        open(path, "w").close()
    elif what == "fifo":
        os.mkfifo(path)
    elif what == "loop":
        os.symlink(path, path)
    else:
        os.mkdir(path)
        if what == "full folder":
            os.mkdir(os.path.join(path, "inside"))
    os.chown(path, users.DAEMON_UID, users.DAEMON_GID, follow_symlinks=False)
    station.call("DeleteAccount", name="a", force=True)
    assert station.json("account", "list") == []
    station.stop()
    if name == "secrets" and not os.path.isdir(path):
        os.unlink(path)
    station.start()
    assert station.json("account", "list") == []


@pytest.mark.parametrize("how", ("truncated", "garbage", "unreadable"))
def test_unreadable_allowed_hosts_fail_closed(station, new_sink, certificates, how):
    sink = new_sink(certificates.leaf("self-signed", "127.0.0.1"), True, True)
    station.add("outgoing", "a", **channels.properties("smtp", "ssl", sink.host, sink.port, "user"))
    station.send("a", "box@example.test")
    station.wait_status("a", "challenge")
    challenge, = station.json("challenge", "list")
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint",
                challenge["certificate"]["fingerprintSha256"])
    sink.wait_for(1)
    station.stop()
    path = os.path.join(station.state, "allowed-hosts.json")
    before = damage(path, how)
    station.start()
    queued = station.send("a", "box@example.test")
    sheet = station.wait_status("a", "fault")
    assert sheet["cause"]["code"] == "TrustStore" and "allowed-hosts.json" in sheet["cause"]["text"]
    assert station.message(queued)["state"] != "sent"
    assert station.call("GetStatus")["status"]["faults"]
    station.stop()
    if before is not None:
        assert open(path, "rb").read() == before
    assert len(sink.accepted) == 1


@pytest.mark.parametrize("where", ("user", "system"))
@pytest.mark.parametrize("how", ("truncated", "garbage", "unreadable"))
def test_an_unreadable_trust_store_fails_closed(new_station, new_sink, certificates, how, where):
    """Even a server that the rest of the stores would verify: what is missing might matter."""
    station = new_station().start()
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), True, True)
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)
    station.add("outgoing", "a", **channels.properties("smtp", "ssl", sink.host, sink.port, "user"))
    station.stop()
    path = station.trust
    if where == "user":
        path = os.path.join(station.state, "trust", certificates.user.fingerprint + ".pem")
    damage(path, how)
    if how == "unreadable" and where == "system" and users.IS_ROOT:
        os.chown(path, 0, 0)
    station.start()
    station.send("a", "box@example.test")
    sheet = station.wait_status("a", "fault")
    assert sheet["cause"]["code"] == "TrustStore", sheet["cause"]
    assert os.path.basename(path) in sheet["cause"]["text"]
    assert sink.accepted == []


def test_a_missing_secret_is_a_fault(station, sink, new_sink, certificates):
    sink = new_sink(certificates.leaf("system"), True, True)
    station.add("outgoing", "a", **channels.properties("smtp", "ssl", sink.host, sink.port, "user"))
    station.stop()
    os.unlink(os.path.join(station.state, "secrets", "a"))
    station.start()
    station.send("a", "box@example.test")
    assert station.wait_status("a", "fault")["cause"]["code"] == "Secret"


def test_a_damaged_database_is_never_thrown_away(station, sink):
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "enabled=false", "from=a@example.test")
    station.send("a", "box@example.test")
    station.stop()
    path = os.path.join(station.state, "station.db")
    shutil.copy(path, path + ".kept")
    with open(path, "r+b") as file:
        file.write(os.urandom(4096))
    damaged = open(path, "rb").read()
    code, said = station.start_refused()
    assert code > 0 and "station.db" in said
    assert open(path, "rb").read() == damaged
    shutil.copy(path + ".kept", path)
    users.give(path)
    station.start()
    assert len(station.json("queue", "list")) == 1


# ---- the socket

def test_garbage_on_the_socket(station):
    """1 MiB without an end of a frame, and as frames of their own."""
    for content in (os.urandom(1 << 20).replace(b"\0", b"x"), os.urandom(1 << 20), b"{" * (1 << 20) + b"\0",
                    b"[" * 100000 + b"\0", b"\0" * 65536, b"{}\0", b"null\0", b'{"method":1}\0', b'{"method":""}\0',
                    b'{"method":"io.emailsec.EmailService.GetStatus","parameters":[]}\0',
                    b'{"method":"a","method":"b"}\0', b'{"method":"\xff\xfe"}\0'):
        with station.client() as client:
            try:
                client.send_raw(content)
                client.socket.shutdown(socket.SHUT_WR)
                while client.socket.recv(65536):
                    pass
            except OSError:
                pass
        still_well(station)


def test_half_a_request(station):
    request = json.dumps({"method": varlink.SERVICE + "GetStatus", "parameters": {}}).encode() + b"\0"
    for cut in range(1, len(request)):
        with station.client() as client:
            client.send_raw(request[:cut])
    still_well(station)


def test_a_request_byte_by_byte(station):
    request = json.dumps({"method": varlink.SERVICE + "GetStatus", "parameters": {}}).encode() + b"\0"
    with station.client() as client:
        for byte in request * 2:
            client.send_raw(bytes([byte]))
        for _ in range(2):
            assert client.answer()["status"]["version"]


def test_unknown_methods_and_parameters(station):
    with station.client() as client:
        for method, name in (("io.emailsec.EmailService.Nothing", "MethodNotFound"),
                             ("io.example.Other.Method", "InterfaceNotFound")):
            with pytest.raises(varlink.VarlinkError) as caught:
                client.call(method)
            assert caught.value.name == "org.varlink.service." + name
        for parameters in ({"name": 5}, {}, {"nam": "a"}):
            client.send(varlink.SERVICE + "GetAccount", parameters)
            answer = client.receive()
            assert "error" in answer, parameters
        assert client.call("GetStatus")["status"]


def test_bad_submissions(station, sink):
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "from=a@example.test")
    good = {"account": "a", "recipients": ["b@example.test"], "message": "U3ViamVjdDogeAoKeAo="}
    for change in ({"recipients": []}, {"message": "!!!"}, {"message": None}, {"descriptor": 0},
                   {"account": "none"}, {"recipients": ["b@example.test"] * 1001}, {"key": "x" * 129},
                   {"from": "a@b\r\nRCPT TO:<c@d>"}, {"priority": "soon"}):
        with pytest.raises(varlink.VarlinkError) as caught:
            station.call("Submit", **{**good, **change})
        assert caught.value.name, change
    assert station.json("queue", "list") == []


def test_a_message_over_the_limit(new_station, sink):
    station = new_station({"Service.MaxMessageSize": "100K"}).start()
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                "from=a@example.test")
    result = station.ctl("send", "--account", "a", "--to", "b@example.test", "-", code=1,
                         stdin=letters.letter("b", body="line\n" * 50000))
    assert result.err
    assert station.json("queue", "list") == []


def by_shell(station, redirection, *args):
    """The tool with its standard descriptors as the shell is told."""
    return subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", station.programs["emailsecctl"], "--socket", station.socket,
                           *args], input=b"", capture_output=True, text=False, timeout=30, cwd="/",
                          env=station_module.clean_environment())


@pytest.mark.parametrize("args", (("account", "export"), ("--json", "status"), ("metrics",), ("status",), ("--version",),
                                  ("account", "show", "a")))
def test_output_that_is_not_written_is_told(station, args):
    station.ctl("account", "add", "outgoing", "a", "hostname=127.0.0.1", "enabled=false", "from=a@b.example")
    done = by_shell(station, ">/dev/full", *args)
    assert done.returncode == 1 and b"output could be written" in done.stderr, done


def test_closed_standard_descriptors_are_nothing_else(station):
    """A message is not read from the control socket, and an archive not written to it."""
    station.ctl("account", "add", "outgoing", "a", "hostname=127.0.0.1", "enabled=false", "from=a@b.example")
    for args in (("send", "--to", "b@c.example", "-"), ("sendmail", "b@c.example"), ("account", "apply", "-"),
                 ("account", "password", "a"), ("trust", "import", "-")):
        done = by_shell(station, "<&-", *args)
        assert done.returncode not in (0, None) and done.stderr, (args, done)
    assert station.json("queue", "list") == []
    done = by_shell(station, ">&-", "backup", "-")
    assert done.returncode == 1 and b"descriptor" in done.stderr, done
    assert by_shell(station, "", "backup", "-").stdout.startswith(b"emailsec-backup.json")
    assert by_shell(station, "<&- >&- 2>&-", "account", "set", "a", "port=26").returncode == 0
    assert station.account("a")["port"] == 26


# ---- what a person or a program names


@pytest.mark.parametrize("words", ("--hosts FILE status", "--hosts FILE --group g status", "account apply FILE", "trust import FILE",
                                   "--hosts FILE account apply FILE", "send --to b@example.com FILE", "trust key import k FILE",
                                   "send --to b@example.com --subject s --attach FILE", "restore FILE"))
def test_a_device_that_never_ends_is_no_file(station, words):
    for device in ("/dev/zero", "/dev/urandom"):
        said = station.ctl(*words.replace("FILE", device).split(), code=None)
        assert said.code != 0 and "device that never ends" in said.err, said


def test_hosts_without_end_are_bounded(station):
    said = station.ctl("--hosts", "-", "status", stdin=b"# comment\n" * 2000000, code=None)
    assert said.code != 0 and "larger than 16.0 MiB" in said.err, said


@pytest.mark.parametrize("words", (["sendmail", "b@example.com\r\nBcc: c@example.com"], ["sendmail", "b@example.com\n"],
                                   ["sendmail", "-f", "a@example.com\nX: y", "b@example.com"],
                                   ["send", "--to", "b@example.com\r\nBcc: c@example.com"]), ids=range(4))
def test_a_line_end_in_an_address_begins_no_field(station, words):
    station.ctl("account", "add", "outgoing", "a", "hostname=127.0.0.1", "enabled=false", "from=a@b.example")
    said = station.ctl(*words, stdin=letters.letter("box"), code=None)
    assert said.code != 0 and ("--to" if words[0] == "send" else "command line" if len(words) == 2 else "-f") in said.err, said
    assert station.json("queue", "list") == []
    if words[0] == "sendmail" and len(words) == 2:  # the others get it, as with any that is none
        station.ctl(*words, "d@example.com", stdin=letters.letter("box"))
        one, = station.json("queue", "list")
        assert "d@example.com" in str(one) and "c@example.com" not in str(one)
