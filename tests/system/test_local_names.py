# SPDX-License-Identifier: MIT
"""Mail to local names (cron's to root): aliases, LocalRecipients=, header and envelope alike, refused with what helps; and by
which account mail goes that names none."""

import email
import email.utils
import os
import stat

import pytest

import letters
import users
import varlink
from doors import Doors
from test_queue import outgoing, submit
from waiting import until

CRON = ["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"]
LETTER = (b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@plc-7> backup\nMIME-Version: 1.0\n"
          b"Content-Type: text/plain; charset=UTF-8\nX-Cron-Env: <SHELL=/bin/sh>\n\nbackup failed\nTo: root\n")


def write_aliases(station, text):
    fresh = station.alias_file + ".new"
    with open(fresh, "w") as out:
        out.write(text)
    os.chmod(fresh, 0o644)
    os.rename(fresh, station.alias_file)


def advice(station):
    return [line for line in station.json("status")["advice"] if "local name" in line or "aliases" in line]


def addresses(message, field):
    return [address for _, address in email.utils.getaddresses([message[field]])]


def test_cron_without_anything_is_refused(station, sink):
    """To do and audit say so before, and the refusal says what helps; nothing is queued."""
    outgoing(station, sink)
    assert any("cron's mail to root is refused" in line and "LocalRecipients=ADDRESS" in line for line in advice(station))
    finding, = (f for f in station.call("Audit")["findings"] if f["check"] == "localNames")
    assert finding["verdict"] == "warning" and "cron's mail to root is refused" in finding["text"]
    refused = station.ctl("sendmail", *CRON, stdin=LETTER, code=65)
    assert "root is a local name without an address" in refused.err and "set LocalRecipients=ADDRESS" in refused.err
    assert station.alias_file in refused.err
    assert station.json("queue", "list") == []


def test_local_recipients(new_station, sink):
    station = new_station({"Service.LocalRecipients": "ops@example.test"}).start()
    outgoing(station, sink)
    assert advice(station) == []
    station.ctl("sendmail", *CRON, stdin=LETTER)
    sink.wait_for(1)
    got, = sink.accepted
    message = email.message_from_bytes(got.content)
    assert got.recipients == ["ops@example.test"] and addresses(message, "To") == ["ops@example.test"]
    domain = got.sender.removeprefix("root@")
    assert "." in domain and message["From"] == f"root@{domain} (Cron Daemon)"
    assert got.content.endswith(b"\r\n\r\nbackup failed\r\nTo: root\r\n") and message["X-Cron-Env"] == "<SHELL=/bin/sh>"
    finding, = (f for f in station.call("Audit")["findings"] if f["check"] == "localNames")
    assert finding["verdict"] == "ok"


def test_aliases(station, sink):
    """Names, lists, names of names; read again when the file has changed, and gone."""
    outgoing(station, sink)
    write_aliases(station, "root: alice, bob\nalice: Alice <alice@example.test>\nbob:\n  bob@example.test,\n  alice\n")
    assert advice(station) == []
    station.ctl("sendmail", *CRON, stdin=LETTER)
    sink.wait_for(1)
    message = email.message_from_bytes(sink.accepted[0].content)
    assert sink.accepted[0].recipients == ["alice@example.test", "bob@example.test"]
    assert set(addresses(message, "To")) == {"alice@example.test", "bob@example.test"}
    write_aliases(station, "root: carol@example.test\n")
    station.ctl("sendmail", "root@localhost", stdin=b"To: Root <root@localhost>\nSubject: x\n\nx\n")
    sink.wait_for(2)
    assert sink.accepted[1].recipients == ["carol@example.test"]
    assert email.message_from_bytes(sink.accepted[1].content)["To"] == "Root <carol@example.test>"
    os.unlink(station.alias_file)
    station.ctl("sendmail", "root", stdin=LETTER, code=65)
    assert advice(station)


@pytest.mark.parametrize("items, words", [
    ("|/usr/bin/page -x", "goes to a command, which emailsecd does not run"), ("/var/mail/root", "goes to a file"),
    (":include:/etc/list", "includes a list"), ("root", "no alias"), ("a, b", "no alias")])
def test_what_is_not_followed_is_told(station, sink, items, words):
    outgoing(station, sink)
    write_aliases(station, f"root: {items}\n")
    assert any(words in line for line in advice(station))
    assert words in station.ctl("sendmail", "root", stdin=LETTER, code=65).err


def test_an_alias_file_that_cannot_be_read(station, sink):
    outgoing(station, sink)
    os.mkfifo(station.alias_file)
    assert any("cannot be read" in line for line in advice(station))
    os.unlink(station.alias_file)
    write_aliases(station, "root: a@example.test\n")
    os.chmod(station.alias_file, stat.S_IRUSR)
    if users.IS_ROOT and users.DAEMON_UID:
        assert any("Permission denied" in line for line in advice(station))


def test_one_bad_name_keeps_nobody_from_the_alarm(station, sink):
    """sendmail: the others get it, and it is told; a client of the socket that does not ask for that is refused."""
    outgoing(station, sink)
    done = station.ctl("sendmail", "root", "ops@example.test", stdin=b"To: root, ops@example.test\nSubject: x\n\nx\n")
    assert "root is a local name" in done.err and "the other recipients get the message" in done.err
    sink.wait_for(1)
    assert sink.accepted[0].recipients == ["ops@example.test"]
    assert addresses(email.message_from_bytes(sink.accepted[0].content), "To")[1] == "ops@example.test"
    with station.client() as client, pytest.raises(varlink.VarlinkError) as refused:
        submit(client, "a", letters.letter("box"), ["root", "ops@example.test"])
    assert "root is a local name" in str(refused.value.parameters)
    until(lambda: station.json("queue", "list") == [])
    assert len(sink.accepted) == 1


def test_local_names_by_send_and_by_the_socket(new_station, sink):
    """The doors have one mechanism."""
    station = new_station({"Service.LocalRecipients": "ops@example.test"}).start()
    outgoing(station, sink)
    station.ctl("send", "--to", "root", "--cc", "Joe <joe>", "--from", "plant", "-s", "x", stdin=b"x\n")
    with station.client() as client:
        submit(client, "a", b"From: plant\r\nTo: root,\r\n joe\r\n\r\nx\r\n", ["root", "joe", "root"], **{"from": "plant"})
    sink.wait_for(2)
    for got in sink.accepted:
        message = email.message_from_bytes(got.content)
        assert got.recipients == ["ops@example.test"]
        assert set(addresses(message, "To")) == {"ops@example.test"}
        assert got.sender.startswith("plant@") and addresses(message, "From") == [got.sender]


def test_the_account_is_chosen_by_the_sender(new_station, sink):
    station = new_station().start()
    for name, more in (("a", {}), ("b", {})):
        station.ctl("account", "add", "outgoing", name, f"hostname={sink.host}", f"port={sink.port}", "useSsl=false",
                    f"from={name}@example.test")
    assert station.json("status")["defaultAccount"] is None

    def queued():
        return {m["id"]: m["account"] for m in station.call("ListQueue", states=["queued", "sending", "sent", "deferred"])["messages"]}

    def goes_by(*words, stdin=b"To: x@y.example\n\nx\n", code=0):
        before = queued()
        done = station.ctl("sendmail", "-t", *words, stdin=stdin, code=code)
        if code:
            return done
        account, = (account for message, account in queued().items() if message not in before)
        return account

    assert goes_by("-f", "b@example.test") == "b" and goes_by("-f", "A@example.test") == "a"
    assert goes_by(stdin=b"From: B <b@example.test>\nTo: x@y.example\n\nx\n") == "b"
    refused = goes_by("-f", "c@example.test", code=78)
    assert "several outgoing accounts (a, b)" in refused.err
    station.ctl("account", "set", "b", "sendsFor=example.org, c@example.test")
    assert goes_by("-f", "c@example.test") == "b" and goes_by("-f", "anybody@example.org") == "b"
    station.write_config({"Service.DefaultAccount": "a"})
    station.ctl("reload")
    status = station.json("status")
    assert status["defaultAccount"] == "a"
    assert {account["name"]: account["default"] for account in status["accounts"]} == {"a": True, "b": False}
    assert goes_by("-f", "d@example.test") == "a" and goes_by("-f", "anybody@example.org") == "b"
    assert goes_by("-f", "b@example.test") == "a"
    assert "default" in station.ctl("status").out
    station.ctl("account", "set", "b", "sendsFor=x y", code=1)


def test_an_ordinary_user_may_use_the_account_of_its_sender(new_station, sink):
    """And no other: the same words for one that is not there."""
    if not users.IS_ROOT:
        pytest.skip("only root can be somebody else")
    station = new_station({"Service.DefaultAccount": "a"}).start()
    outgoing(station, sink)
    outgoing(station, sink, "b", sendsFor="example.org")
    outgoing(station, sink, "c")
    done = station.ctl("send", "--account", "b", "--from", "x@example.org", "--to", "y@z.example", "-s", "x", stdin=b"x\n", user=users.as_stranger())
    assert done.code == 0
    for name in ("b", "c", "nosuch"):
        assert "may submit mail to the default account only" in station.ctl(
            "send", "--account", name, "--from", "x@example.net", "--to", "y@z.example", "-s", "x", stdin=b"x\n", code=4,
            user=users.as_stranger()).err
    until(lambda: len(sink.accepted) == 1)


def test_local_names_by_smtp(new_station, sink):
    """The listener knows the same names, as the file says them at that moment; one that stands for nobody is refused at RCPT."""
    station = new_station()
    doors = Doors(station, "smtp")
    station.start()
    outgoing(station, sink)
    with doors.talk() as talk:
        assert talk.code("EHLO x") == 250
        assert talk.code("MAIL FROM:<plant@example.test>") == 250
        code, text = talk.say("RCPT TO:<root@localhost>")
        assert code == 250, text    # an address like any other, while nothing is known of it
        assert talk.code("RSET") == 250
        write_aliases(station, "root: alice, bob@example.test\nalice: alice@example.test\npipe: |x\n")
        assert talk.code("MAIL FROM:<plant@example.test>") == 250
        assert talk.code("RCPT TO:<root@localhost>") == 250
        assert talk.code("DATA") == 354
        assert talk.say("From: plant\r\nTo: root@localhost\r\nCc: root\r\n\r\nx\r\n.")[0] == 250
    sink.wait_for(1)
    got, = sink.accepted
    message = email.message_from_bytes(got.content)
    assert got.recipients == ["alice@example.test", "bob@example.test"]
    assert addresses(message, "To") == addresses(message, "Cc") == ["alice@example.test", "bob@example.test"]
    assert message["From"].startswith("plant@")
