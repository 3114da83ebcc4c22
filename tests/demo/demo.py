#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make demo`: the procedure 'securing email' from the first command to the last, on a private Postfix and Dovecot
with fresh certificates, once with useSsl and once with useStartTls; then an alarm of a device that speaks plain SMTP, and
what its acknowledgement sets off (alarm.py). Each step is printed as the command a person types and what it answers; one
that does not happen ends the demo with an exit status that is not 0. Everything lies in one temporary folder; at the
end nothing runs and nothing is left."""

import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.dont_write_bytecode = True

import alarm                                        # noqa: E402  (the path comes first)
import letters                                      # noqa: E402
import pki                                          # noqa: E402
import users                                        # noqa: E402
from dovecot import Dovecot                         # noqa: E402
from postfix import Postfix                         # noqa: E402
from sink import SinkPost                           # noqa: E402
from station import BUILD, Station, clean_environment, program    # noqa: E402
from telling import COMMAND, LOUD, QUIET, heading, remark, say, title     # noqa: E402
from waiting import until                           # noqa: E402

HOST = "localhost"
OUT, IN = "alarms", "operator"        # the accounts
WORDS = {"ssl": "useSsl: TLS from the first byte", "starttls": "useStartTls: TLS after STARTTLS"}


class FreshCertificates:
    """What the servers show: first a self-signed certificate, later one of the plant's own CA."""

    def __init__(self):
        self.root = pki.authority("Demo plant CA")
        self.self_signed = pki.leaf(None, [HOST, "127.0.0.1"])
        self.signed = pki.leaf(self.root, [HOST, "127.0.0.1"])

    def leaf(self, kind):
        return self.self_signed


class Demo:
    def __init__(self, folder):
        self.folder = folder
        self.open = []          # what must be ended, in order
        self.programs = {}
        bin_folder = os.path.join(folder, "bin")
        os.mkdir(bin_folder, 0o755)
        for name in ("emailsecd", "emailsecctl", "emailsec-mime.so", "emailsec-deliver"):
            if not os.path.exists(program(name)):
                sys.exit(f"{name} is not in {BUILD}: run `make` first")
            self.programs[name] = program(name, bin_folder)
        self.station = None

    def close(self):
        while self.open:
            self.open.pop().stop()
        users.remove(self.folder)

    # ---- a command and its answer

    def tell(self, text, style=""):
        """Paths in the temporary folder without it."""
        say(text.replace(self.folder + "/", ""), style)

    def run(self, *words, stdin=None, shown=None, expect=0):
        """Runs emailsecctl; prints the command as typed and what it says."""
        typed = " ".join(word if re.fullmatch(r"[\w@%+=:,./-]+", word) else f"'{word}'" for word in words)
        self.tell(f"$ {shown or 'emailsecctl ' + typed}", COMMAND)
        done = subprocess.run([self.programs["emailsecctl"], *words], input=stdin or b"", capture_output=True,
                              env=clean_environment(EMAILSEC_SOCKET=self.station.socket), timeout=30)
        said = (done.stdout + done.stderr).decode("utf-8", "replace").rstrip()
        if said:
            self.tell(said)
        if done.returncode != expect:
            say(self.station.log()[-3000:])
            raise SystemExit(f"that should have ended with {expect}, not {done.returncode}")
        return said

    def send(self, subject):
        text = f"A message from the demo: {subject}.\n"
        return self.run("send", "--account", OUT, "--to", letters.address(self.box), "-s", subject, "-",
                 stdin=text.encode(), shown=f"echo '{text.strip()}' | emailsecctl send --account {OUT} "
                 f"--to {letters.address(self.box)} -s '{subject}' -")

    def received(self, count):
        """Polls until that many messages have come: Postfix and Dovecot need a moment of their own."""
        until(lambda: len(letters.maildir(os.path.join(self.dovecot.folder, "mail", self.box))) >= count, 20,
              "the message did not reach the mailbox")
        self.run("account", "poll", IN)
        until(lambda: len(self.station.inbox(IN)) >= count, 10, "nothing was received")

    # ---- the servers

    def start_servers(self):
        self.certificates = FreshCertificates()
        self.dovecot = Dovecot(self.folder, self.certificates, kinds=["system"])
        self.open.append(self.dovecot)
        if users.IS_ROOT:
            self.post = Postfix(self.folder, self.certificates, self.dovecot)
        else:
            remark("Postfix can only be started by root: an SMTP server of our own stands in for it")
            self.post = SinkPost(self.folder, self.certificates, self.dovecot)
        self.open.append(self.post)
        name = "Postfix" if users.IS_ROOT else "SMTP"
        for security in ("ssl", "starttls"):
            remark(f"{name} at {HOST}:{self.post.port('smtp', security)}, Dovecot (IMAP) at "
                   f"{HOST}:{self.dovecot.port('imap', security)} for {WORDS[security]}")
        remark("both show a fresh self-signed certificate")

    def serve(self, certificate):
        for server in (self.post, self.dovecot):
            server.use(certificate)

    # ---- the story

    def story(self, security):
        title(WORDS[security])
        self.box = f"operator-{security}"
        heading("a station of its own")
        self.station = Station(self.folder, self.programs, self.certificates_of_nobody(),
                               {"Service.LogLevel": "info"}, name=security)
        say("$ emailsecd --config emailsecd.conf --state-directory state --socket io.emailsec &", COMMAND)
        self.open.append(self.station)
        self.station.start()
        self.run("status")

        heading("an outgoing and an incoming account")
        switches = ["useSsl=true"] if security == "ssl" else ["useSsl=false", "useStartTls=true"]
        for kind, name, server, transport, more in (
                ("outgoing", OUT, self.post, "smtp", [f"from={letters.address('plant')}"]),
                ("incoming", IN, self.dovecot, "imap", ["transport=imap"])):
            self.run("account", "add", kind, name, *more, f"hostname={HOST}",
                     f"port={server.port(transport, security)}", *switches, f"account={self.box}")
            self.run("account", "password", name, stdin=letters.PASSWORD.encode() + b"\n",
                     shown=f"emailsecctl account password {name} < password-file")

        heading("a message: the certificate is unknown, so a person is asked before anything is said")
        queued = self.send("first")
        for name in (OUT, IN):
            self.station.wait_status(name, "challenge")
        self.run("queue", "list")
        self.run("challenge", "list")

        heading("what to compare, and the answer: the fingerprint")
        challenges = self.station.json("challenge", "list")
        self.run("challenge", "show", challenges[0]["id"])
        remark("the fingerprint as the server's operator reads it to us from the file:")
        say(f"# {self.certificates.self_signed.fingerprint}", QUIET)
        for challenge in challenges:
            self.run("challenge", "accept", challenge["id"], "--fingerprint",
                     self.certificates.self_signed.fingerprint)

        heading("the message goes by itself, and comes in")
        self.station.wait_event("mail.sent", account=OUT)
        self.run("queue", "show", queued)
        self.received(1)
        self.run("inbox", "list", IN)
        newest = self.station.json("inbox", "list", IN)[-1]
        say(f"$ ls state/mail/{IN}/new", COMMAND)
        for path in self.station.inbox(IN):
            say(os.path.basename(path))
        self.run("inbox", "show", IN, newest["id"])

        heading("the lasting cure: the plant's CA is imported, the servers get certificates of it")
        self.import_root()
        self.run("trust", "list")
        self.serve(self.certificates.signed)
        remark("the servers show the new certificate from now on")
        self.send("second")
        self.station.wait_event("mail.sent", account=OUT)
        self.received(2)

        heading("the exemptions are no longer needed, and go")
        until(lambda: self.station.json("status")["needless"] == 2, 10, "the exemptions are not marked needless")
        self.run("allowed", "list")
        self.run("allowed", "prune")
        self.send("third")
        self.station.wait_event("mail.sent", account=OUT)
        self.received(3)

        heading("how it stands")
        self.run("status")
        self.run("account", "test", OUT)

        heading("the journal tells the story")
        self.end_station()

    def import_root(self):
        root = os.path.join(self.station.folder, "plant-ca.pem")
        with open(root, "wb") as out:
            out.write(self.certificates.root.pem)
        self.run("trust", "import", root, shown="emailsecctl trust import plant-ca.pem")

    def end_station(self):
        """It is the last in `open`."""
        self.open.pop().stop()
        for line in self.station.log().splitlines():
            self.tell(re.sub(r"^<\d>", "", line), QUIET)
        self.station.end()

    @staticmethod
    def certificates_of_nobody():
        """A System Trust Store that knows neither: its one CA signs nothing here."""
        return pki.authority("Some public CA").pem

    def play(self):
        """False where the second story had to be left out."""
        say("Securing email: the whole procedure on real servers", LOUD)
        heading("the servers")
        self.start_servers()
        for security in ("ssl", "starttls"):
            self.story(security)
            self.serve(self.certificates.self_signed)
        return alarm.Story(self).tell()


def main():
    def ended(number, _frame):
        raise SystemExit(128 + number)

    endings = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    for number in endings:
        signal.signal(number, ended)
    started = time.monotonic()
    folder = users.base_folder()
    try:
        demo = Demo(folder)
        try:
            whole = demo.play()
        finally:
            for number in endings:
                signal.signal(number, signal.SIG_IGN)    # nothing interrupts the clean-up
            demo.close()
    finally:
        users.remove(folder)
    say("" if whole else "\nThe second story was left out, as said above.")
    say(f"Done in {time.monotonic() - started:.0f} seconds. Nothing is running, nothing is left behind.", LOUD)


if __name__ == "__main__":
    main()
