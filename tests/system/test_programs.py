# SPDX-License-Identifier: MIT
"""Programs of Debian that mail by sendmail, each run as it runs in earnest: cron, smartd's warning script, mdadm, the
two mailx, git send-email, mutt. Nothing is installed here; what is missing is skipped by name. Programs with the path
of sendmail compiled in see ours there in a mount namespace of their own."""

import email
import os
import shutil
import subprocess
import sys
import types

import pytest

import station as station_module
import users
from test_queue import outgoing

WITH_NAMESPACE = 'mount --bind "$0" /usr/sbin/sendmail && exec "$@"'


@pytest.fixture
def host(station, sink, folder):
    """A machine whose sendmail is ours: run(words) runs a program, `sendmail` is its path."""
    outgoing(station, sink)
    home = os.path.join(folder, "home")
    os.mkdir(home)
    bin_folder = os.path.join(folder, "bin")
    os.mkdir(bin_folder)
    name = os.path.join(bin_folder, "sendmail")
    os.symlink(station.programs["emailsecctl"], name)
    # Some callers clear the environment.
    script = os.path.join(folder, "sendmail-here")
    with open(script, "w") as out:
        out.write(f'#!/bin/sh\nprintf "%s\\n" "$*" >>"{folder}/calls"\n'
                  f'EMAILSEC_SOCKET={station.socket} exec {name} "$@"\n')
    os.chmod(script, 0o755)

    def run(words, stdin=b"", compiled_in=False, cwd=None, **environment):
        if compiled_in:
            words = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", WITH_NAMESPACE, script, *words]
        environment = station_module.clean_environment(HOME=home, EMAIL="me@example.test", TERM="dumb", **environment)
        done = subprocess.run(users.MORTAL + words, input=stdin, capture_output=True, cwd=cwd or home, timeout=30,
                              env=environment)
        assert done.returncode == 0, done
        return done

    return types.SimpleNamespace(run=run, sendmail=script, home=home, folder=folder, calls=os.path.join(folder, "calls"))


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def need_namespace():
    if not users.IS_ROOT:
        pytest.skip("only root can put another sendmail in its place")
    if not os.path.exists("/usr/sbin/sendmail"):
        pytest.skip("there is no /usr/sbin/sendmail to stand in for")


def arrived(sink, recipients, sender="sender@example.test"):
    """The one message, its envelope looked at."""
    sink.wait_for(1)
    got, = sink.accepted
    assert (sorted(got.recipients), got.sender) == (sorted(recipients), sender)
    return email.message_from_bytes(got.content)


def text_of(message):
    return message.get_payload(decode=True).decode(message.get_content_charset() or "ascii").replace("\r\n", "\n")


def test_cron(host, sink):
    need("cron", "unshare")
    need_namespace()
    tabs = os.path.join(host.folder, "crontabs")
    os.mkdir(tabs)
    with open(os.path.join(tabs, "root"), "w") as out:
        out.write("MAILTO=box@example.test,second@example.test\n"
                  "@reboot printf 'the disk is full\\n.\\nand this is not the end\\n'\n")
    os.chmod(os.path.join(tabs, "root"), 0o600)
    nothing = os.path.join(host.folder, "nothing")
    os.mkdir(nothing)
    # A cron that knows only this table and has just seen the machine start.
    script = ('mount --bind "$0" /var/spool/cron/crontabs && mount --bind "$1" /etc/cron.d && '
              "mount --bind /dev/null /etc/crontab && mount -t tmpfs none /run && exec cron -f")
    words = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", WITH_NAMESPACE, host.sendmail,
             "sh", "-c", script, tabs, nothing]
    cron = subprocess.Popen(users.MORTAL + words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, env=station_module.clean_environment())
    try:
        message = arrived(sink, ["box@example.test", "second@example.test"])
    finally:
        cron.terminate()
        cron.wait(60)
    assert message["Subject"].startswith("Cron <root@") and "disk is full" in message["Subject"]
    assert "Cron Daemon" in message["From"] and message["To"] == "box@example.test,second@example.test"
    assert message["X-Cron-Env"] and message["Date"] and message["Message-ID"]
    assert text_of(message) == "the disk is full\n.\nand this is not the end\n"
    with open(host.calls) as calls:
        assert calls.read().split()[:2] == ["-FCronDaemon", "-i"]


SMARTD = {"SMARTD_DEVICE": "/dev/sda", "SMARTD_DEVICESTRING": "/dev/sda", "SMARTD_DEVICETYPE": "ata",
          "SMARTD_DEVICEINFO": "A disk, S/N:1", "SMARTD_FAILTYPE": "EmailTest", "SMARTD_ADDRESS": "box@example.test",
          "SMARTD_MESSAGE": "TEST EMAIL from smartd for device: /dev/sda", "SMARTD_PREVCNT": "0",
          "SMARTD_TFIRST": "Mon Jan  5 10:00:00 2026 UTC", "SMARTD_TFIRSTEPOCH": "1767607200", "SMARTD_NEXTDAYS": "",
          "SMARTD_MAILER": "/usr/share/smartmontools/smartd-runner"}


def test_smartd(host, sink):
    """-M test: the script that smartd runs, Debian's runner, /usr/bin/mail, sendmail."""
    script = "/usr/share/smartmontools/smartd_warning.sh"
    if not os.path.exists(script):
        pytest.skip("smartmontools is not installed")
    need("mail", "unshare")
    need_namespace()
    host.run([script], compiled_in=True, **SMARTD)
    message = arrived(sink, ["box@example.test"])
    assert message["Subject"] == "SMART error (EmailTest) detected on host: " + os.uname().nodename
    assert message["To"] == "box@example.test" and message["From"]
    assert "TEST EMAIL from smartd for device: /dev/sda" in text_of(message)


def test_mdadm(host, sink):
    need("mdadm", "unshare")
    need_namespace()
    host.run(["mdadm", "--monitor", "--test", "--oneshot", "--mail=box@example.test", "--config=/dev/null", "/dev/md99"],
             compiled_in=True)
    message = arrived(sink, ["box@example.test"])
    assert message["Subject"] == f"TestMessage event on /dev/md99:{os.uname().nodename}"
    assert message["From"].startswith("mdadm monitoring <root@") and message["To"] == "box@example.test"
    assert "event had been detected on md device /dev/md99" in text_of(message)


def test_bsd_mailx(host, sink):
    need("bsd-mailx")
    rc = os.path.join(host.home, "mailrc")
    with open(rc, "w") as out:
        out.write(f"set sendmail={host.sendmail}\n")
    host.run(["bsd-mailx", "-s", "Grüße", "-c", "copy@example.test", "-b", "hidden@example.test", "-a", "X-Tag: one",
              "box@example.test"], "Zwölf\n".encode(), MAILRC=rc)
    message = arrived(sink, ["box@example.test", "copy@example.test", "hidden@example.test"])
    assert str(email.header.make_header(email.header.decode_header(message["Subject"]))) == "Grüße"
    assert (message["To"], message["Cc"], message["Bcc"]) == ("box@example.test", "copy@example.test", None)
    assert message["X-Tag"] == "one" and text_of(message) == "Zwölf\n"


@pytest.mark.parametrize("sender", (None, "me@example.test"))
def test_s_nail(host, sink, sender):
    need("s-nail")
    host.run(["s-nail", "-:/", "-Sv15-compat", f"-Smta={host.sendmail}", "-Sttycharset=utf-8", "-s", "Grüße",
              "-c", "copy@example.test", "-b", "hidden@example.test", *(["-r", sender] if sender else []),
              "box@example.test"], "Zwölf\n".encode())
    message = arrived(sink, ["box@example.test", "copy@example.test", "hidden@example.test"],
                      sender or "sender@example.test")
    assert str(email.header.make_header(email.header.decode_header(message["Subject"]))) == "Grüße"
    assert (message["To"], message["Cc"], message["Bcc"]) == ("box@example.test", "copy@example.test", None)
    assert text_of(message) == "Zwölf\n"


def test_mutt(host, sink):
    need("mutt")
    rc, attached = os.path.join(host.home, "muttrc"), os.path.join(host.home, "data.bin")
    with open(rc, "w") as out:
        out.write(f'set sendmail="{host.sendmail} -oem -oi"\nset use_envelope_from=yes\nset from="me@example.test"\n'
                  'set realname="A Person"\nset copy=no\nset charset=utf-8\n')
    with open(attached, "wb") as out:
        out.write(bytes(range(256)) * 8)
    host.run(["mutt", "-n", "-F", rc, "-s", "Grüße", "-c", "copy@example.test", "-b", "hidden@example.test", "-a",
              attached, "--", "box@example.test"], "Zwölf\n.\nEnde\n".encode())
    message = arrived(sink, ["box@example.test", "copy@example.test", "hidden@example.test"], "me@example.test")
    assert message["From"] == "A Person <me@example.test>" and message["Bcc"] is None
    text, data = message.get_payload()
    assert text_of(text) == "Zwölf\n.\nEnde\n"
    assert data.get_filename() == "data.bin" and data.get_payload(decode=True) == bytes(range(256)) * 8


def git(host, *words, **options):
    return host.run(["git", "-c", "user.name=A Person", "-c", "user.email=me@example.test", *words],
                    GIT_CONFIG_NOSYSTEM="1", **options)


def test_git_send_email(host, sink):
    need("git")
    if b"--dump-aliases" not in subprocess.run(["git", "send-email", "-h"], capture_output=True).stdout:
        pytest.skip("git-email is not installed, or libmailtools-perl")
    tree = os.path.join(host.home, "tree")
    git(host, "init", "-q", tree)
    with open(os.path.join(tree, "file"), "w") as out:
        out.write("Grüße\n")
    git(host, "add", "file", cwd=tree)
    git(host, "commit", "-q", "-m", "add Grüße", cwd=tree)
    git(host, "-c", f"sendemail.smtpServer={host.sendmail}", "send-email", "--root", "--quiet", "--confirm=never",
        "--envelope-sender=auto", "--to=box@example.test", "--cc=copy@example.test", "--bcc=hidden@example.test", "-1", cwd=tree)
    message = arrived(sink, ["box@example.test", "copy@example.test", "hidden@example.test", "me@example.test"],
                      "me@example.test")
    assert str(email.header.make_header(email.header.decode_header(message["Subject"]))) == "[PATCH] add Grüße"
    assert message["From"] == "A Person <me@example.test>" and message["Bcc"] is None
    assert "+Grüße\n" in text_of(message)


def test_python(host, sink):
    """What scripts do: a pipe to sendmail -t -oi."""
    message = b"From: me@example.test\nTo: box@example.test\nBcc: hidden@example.test\nSubject: s\n\none\n.\ntwo\n"
    host.run([sys.executable, "-c", "import subprocess, sys\n"
              "subprocess.run([sys.argv[1], '-t', '-oi'], input=sys.stdin.buffer.read(), check=True)", host.sendmail],
             message)
    got = arrived(sink, ["box@example.test", "hidden@example.test"])
    assert got["Bcc"] is None and text_of(got) == "one\n.\ntwo\n"
