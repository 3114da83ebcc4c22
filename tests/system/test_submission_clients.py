# SPDX-License-Identifier: MIT
"""The submission listener and the programs that people have: each hands in a message on this machine, and those that can,
signed in inside TLS. What is not installed is skipped."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import urllib.request

import pytest

import pki
import station as station_module
from doors import Doors
from test_devices import PASSWORD, add_device, write
from test_submission import outgoing
from waiting import accepts, until


def needs(*programs):
    missing = [name for name in programs if not (os.path.exists(name) if "/" in name else shutil.which(name))]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {' '.join(missing)}")


class Place:
    def __init__(self, station, doors, sink, root_path, folder):
        self.station, self.doors, self.sink, self.root, self.folder = station, doors, sink, root_path, folder

    def run(self, *command, data=b"", code=0, **more):
        env = station_module.clean_environment(HOME=self.folder, SSL_CERT_FILE=self.root, NODE_EXTRA_CA_CERTS=self.root,
                                               NODE_PATH="/usr/share/nodejs", **more)
        done = subprocess.run(list(map(str, command)), input=data, capture_output=True, timeout=60, cwd=self.folder, env=env)
        assert code is None or done.returncode == code, (done, self.station.log()[-2000:])
        return done

    def got(self, count, *words):
        """The message that was sent on last; with these words."""
        self.sink.wait_for(count)
        got = self.sink.accepted[-1]
        assert got.recipients == ["box@example.test"] and got.sender == "plant@example.test", got
        assert [word for word in words if word.encode() not in got.content] == [], got.content
        return got


@pytest.fixture
def place(new_station, sink, folder):
    root = pki.authority("Plant root")
    station = new_station({"Submission.Certificate": "front"})
    doors = Doors(station, "smtp", "smtps")
    station.start()
    outgoing(station, sink)
    leaf = pki.leaf(root, ["127.0.0.1", "localhost"])
    station.ctl("trust", "key", "import", "front", write(os.path.join(folder, "front.pem"), leaf.key_pem + leaf.chain_pem))
    add_device(station)
    root_path = write(os.path.join(folder, "root.pem"), root.pem)
    os.chmod(root_path, 0o644)
    return Place(station, doors, sink, root_path, folder)


MAIL = b"From: plant@example.test\nTo: box@example.test\nSubject: from a client\n\nline\n.dot\n"


@needs("swaks")
def test_swaks(place):
    common = ["swaks", "--server", "127.0.0.1", "--from", "plant@example.test", "--to", "box@example.test", "--ehlo", "client.example",
              "--header", "Subject: by swaks"]
    place.run(*common, "--port", place.doors.port)
    place.got(1, "Subject: by swaks", "with ESMTP;")
    for i, mechanism in enumerate(("PLAIN", "LOGIN")):
        place.run(*common, "--port", place.doors.port, "--tls", "--auth", mechanism, "--auth-user", "press", "--auth-password", PASSWORD)
        place.got(2 + 2 * i, "with ESMTPSA;")
        place.run(*common, "--port", place.doors.ports["smtps"], "--tls-on-connect", "--auth", mechanism, "--auth-user", "press",
                  "--auth-password", PASSWORD)
        place.got(3 + 2 * i, "with ESMTPSA;")
    assert place.run(*common, "--port", place.doors.port, "--tls", "--auth", "PLAIN", "--auth-user", "press", "--auth-password", "no",
                     code=None).returncode != 0


@needs("swaks")
def test_swaks_pipelines(place):
    place.run("swaks", "--server", "127.0.0.1", "--port", place.doors.port, "--from", "plant@example.test", "--to", "box@example.test",
              "--pipeline")
    place.got(1)


@needs("curl")
def test_curl(place):
    mail = write(os.path.join(place.folder, "mail"), MAIL.replace(b"\n", b"\r\n"))
    ends = ["--mail-from", "plant@example.test", "--mail-rcpt", "box@example.test", "--upload-file", mail, "--silent", "--show-error"]
    place.run("curl", f"smtp://127.0.0.1:{place.doors.port}/client.example", *ends)
    place.got(1, "\r\n.dot\r\n")
    place.run("curl", "--cacert", place.root, f"smtps://127.0.0.1:{place.doors.ports['smtps']}/client.example", "--user",
              f"press:{PASSWORD}", *ends)
    place.got(2, "with ESMTPSA;")
    place.run("curl", "--cacert", place.root, "--ssl-reqd", "--login-options", "AUTH=LOGIN",
              f"smtp://localhost:{place.doors.port}/client.example", "--user", f"press:{PASSWORD}", *ends)
    place.got(3, "with ESMTPSA;")


@needs("msmtp")
@pytest.mark.parametrize("how", ("plain", "starttls", "tls", "scram"))
def test_msmtp(place, how):
    words = [f"--port={place.doors.ports['smtps'] if how == 'tls' else place.doors.port}", "--host=127.0.0.1",
             "--from=plant@example.test", "--domain=client.example"]
    if how != "plain":
        words += ["--tls=on", f"--tls-trust-file={place.root}", f"--tls-starttls={'off' if how == 'tls' else 'on'}", "--user=press",
                  f"--passwordeval=echo '{PASSWORD}'", f"--auth={'scram-sha-256' if how == 'scram' else 'plain'}"]
    done = place.run("msmtp", "--file=/dev/null", *words, "box@example.test", data=MAIL, code=None)
    if how == "scram" and b"not supported" in done.stderr.lower():
        pytest.skip("this msmtp was built without GNU SASL")
    assert done.returncode == 0, done
    place.got(1, "Subject: from a client", "\r\n.dot\r\n")


@needs("sendemail")
def test_sendemail(place):
    place.run("sendemail", "-f", "plant@example.test", "-t", "box@example.test", "-u", "by sendemail", "-m", "text", "-s",
              f"127.0.0.1:{place.doors.port}", "-o", "tls=no")
    place.got(1, "by sendemail")


@needs("mutt")
def test_mutt(place):
    write(os.path.join(place.folder, ".muttrc"), f'set smtp_url="smtp://127.0.0.1:{place.doors.port}/"\nset ssl_starttls=no\nset ssl_force_tls=no\n'
          'set from="plant@example.test"\nset use_envelope_from=yes\nset copy=no\n'.encode())
    place.run("mutt", "-s", "by mutt", "box@example.test", data=b"text\n")
    place.got(1, "by mutt")


@needs("s-nail")
def test_s_nail(place):
    place.run("s-nail", "-:/", "-Sv15-compat", f"-Smta=smtp://127.0.0.1:{place.doors.port}", "-Ssmtp-auth=none", "-Ssmtp-config=-all,helo",
              "-r", "plant@example.test", "-s", "by s-nail", "box@example.test", data=b"text\n")
    place.got(1, "by s-nail")


@needs("perl")
def test_perl(place):
    script = f"""use Net::SMTP; my $s = Net::SMTP->new('127.0.0.1', Port => {place.doors.port}, Hello => 'client.example') or die $@;
        $s->mail('plant@example.test') && $s->to('box@example.test') && $s->data("Subject: by perl\\n\\n.dot\\n") && $s->quit or die;"""
    place.run("perl", "-e", script)
    place.got(1, "by perl", "\r\n.dot\r\n")


@needs("node", "/usr/share/nodejs/nodemailer")
def test_nodemailer(place):
    script = """const n = require('nodemailer');
        const ways = [{port: %d, ignoreTLS: true}, {port: %d, requireTLS: true, auth: {user: 'press', pass: '%s'}},
                      {port: %d, secure: true, auth: {user: 'press', pass: '%s'}}];
        (async () => { for (const way of ways)
            await n.createTransport({host: 'localhost', ...way}).sendMail({from: 'plant@example.test', to: 'box@example.test',
                subject: 'by nodemailer', text: '.dot\\nline'}); })().catch(e => { console.error(e); process.exit(1); });
        """ % (place.doors.port, place.doors.port, PASSWORD, place.doors.ports["smtps"], PASSWORD)
    place.run("node", "-e", script)
    place.got(3, "by nodemailer")
    assert [b"ESMTPSA" in got.content for got in place.sink.accepted] == [False, True, True]


JAVA = """
import java.util.Properties;
import javax.mail.*;
import javax.mail.internet.*;
public class Mail {
    public static void main(String[] args) throws Exception {
        Properties p = new Properties();
        p.put("mail.smtp.host", "127.0.0.1");
        p.put("mail.smtp.port", args[0]);
        p.put("mail.smtp.localhost", "client.example");
        p.put("mail.smtp.from", "plant@example.test");
        MimeMessage m = new MimeMessage(Session.getInstance(p));
        m.setFrom("plant@example.test");
        m.setRecipients(Message.RecipientType.TO, "box@example.test");
        m.setSubject("by java");
        m.setText("text");
        Transport.send(m);
    }
}
"""


@needs("java", "javac", "/usr/share/java/javax.mail.jar")
def test_java(place):
    write(os.path.join(place.folder, "Mail.java"), JAVA.encode())
    jars = ":".join(path for path in ("/usr/share/java/javax.mail.jar", "/usr/share/java/javax.activation.jar",
                                      "/usr/share/java/activation.jar") if os.path.exists(path))
    place.run("java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", jars, "Mail.java", place.doors.port)
    place.got(1, "by java")


@needs("prometheus-alertmanager")
def test_alertmanager(place):
    """Its mailer is net/smtp of Go."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    config = write(os.path.join(place.folder, "alertmanager.yml"), f"""
global:
  smtp_smarthost: 127.0.0.1:{place.doors.port}
  smtp_from: plant@example.test
  smtp_hello: client.example
  smtp_require_tls: true
  smtp_auth_username: press
  smtp_auth_password: {PASSWORD}
route: {{receiver: people, group_wait: 0s}}
receivers:
- name: people
  email_configs:
  - {{to: box@example.test, tls_config: {{ca_file: {place.root}}}}}
""".encode())
    server = subprocess.Popen(["prometheus-alertmanager", f"--config.file={config}", f"--storage.path={place.folder}/data",
                               f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=station_module.clean_environment())
    try:
        until(lambda: accepts("127.0.0.1", port), 20)
        alert = json.dumps([{"labels": {"alertname": "PumpStopped"}}]).encode()
        until(lambda: _post(f"http://127.0.0.1:{port}/api/v2/alerts", alert), 20)
        place.got(1, "PumpStopped", "SMTPSA;")
    finally:
        server.terminate()
        server.wait()


def _post(url, data):
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5) as answer:
        return answer.status == 200
    return False


@needs("smtp-source")
def test_load(place):
    """Of Postfix: 500 messages over 20 connections; none is lost."""
    place.station.ctl("account", "disable", "a")
    place.run("smtp-source", "-m", "500", "-s", "20", "-l", "4000", "-f", "plant@example.test", "-t", "box@example.test",
              f"127.0.0.1:{place.doors.port}")
    count, after = 0, None
    while True:
        page = place.station.call("ListQueue", after=after)
        count += len(page["messages"])
        after = page["next"]
        if after is None:
            break
    assert count == 500
