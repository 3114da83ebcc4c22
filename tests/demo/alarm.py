# SPDX-License-Identifier: MIT
"""The demo's second story: a device that can do neither TLS nor a login sends an alarm by SMTP from the network; it leaves
inside TLS; the acknowledgement comes back and runs a command. The network is a namespace of the demo's own, so the
addresses are real ones: nothing in it is loopback to the daemon."""

import os
import smtplib
import stat
import time

import letters
import netns
import plain_client
import users
from doors import Doors, Talk
from station import Station
from telling import COMMAND, heading, remark, say, title
from test_exec import Deliver
from waiting import until

HERE, DEVICE, STRANGER = "198.51.100.1", "198.51.100.7", "198.51.100.8"
OUT, IN = "alarms", "answers"         # the accounts
PRESS, OPERATOR = "press7", "operator-alarm"     # the mailboxes
SUBJECT = "Press 7: oil pressure low"
ALARM = (f"From: Press 7 <{letters.address(PRESS)}>", f"To: {letters.address(OPERATOR)}", f"Subject: {SUBJECT}", "",
         "2.1 bar, horn is on.")
SCRIPT = """#!/bin/sh
# The message is on standard input, what is known of it in the environment.
grep -qi '^acknowledged' || exit 0
echo "horn off: $EMAILSEC_FROM answered \\"$EMAILSEC_SUBJECT\\"" >>{log}
"""


class Unavailable(Exception):
    """No network of our own can be made here; says why."""


def own_network():
    if not users.IS_ROOT:
        raise Unavailable("only root can make a network namespace, and this is an ordinary user: run `sudo make demo`")
    if not netns.NEEDS:
        raise Unavailable("the program `ip` sets a network namespace up, and is not here: install iproute2")
    network = netns.Network(HERE, DEVICE, STRANGER)
    try:
        network.listen(HERE).close()
    except (OSError, IndexError):       # its process has ended and said why
        network.close()
        raise Unavailable("root as we are, no network namespace can be made here (a container without CAP_SYS_ADMIN?)") from None
    return network


class Closed:
    """What has close() among what has stop()."""

    def __init__(self, one):
        self.stop = one.close


class Story:
    def __init__(self, demo):
        """`demo`: its servers run; it ends what is put into its `open`."""
        self.demo, self.run = demo, demo.run
        self.horn = self.script = None

    def tell(self):
        """False where it cannot be told, which is said."""
        title("A device without TLS and without a login: an alarm, and its acknowledgement")
        self.demo.serve(self.demo.certificates.signed)      # before the network's process holds copies of what we have open
        try:
            self.network = own_network()
        except Unavailable as why:
            remark(f"This story is left out: {why}.")
            return False
        self.demo.open.append(Closed(self.network))
        self.open_the_door()
        self.accounts()
        self.strangers_stay_outside()
        self.alarm()
        self.acknowledgement()
        self.end()
        return True

    # ---- the station

    def open_the_door(self):
        heading("a station that listens for devices")
        demo = self.demo
        demo.station = self.station = Station(demo.folder, demo.programs, demo.certificates_of_nobody(),
                                              {"Service.LogLevel": "info", "Submission.AllowFrom": DEVICE}, name="alarm")
        remark(f"a network namespace: the station is {HERE}, press 7 is {DEVICE}")
        say("$ grep -A1 Submission emailsecd.conf", COMMAND)
        say(f"[Submission]\nAllowFrom={DEVICE}")
        doors = Doors(self.station, f"smtp@{HERE}", network=self.network)
        self.port = doors.port
        say(f"$ systemctl edit emailsec-smtp.socket     # ListenStream={HERE}:{self.port}", COMMAND)
        say("$ systemctl enable --now emailsec-smtp.socket emailsecd", COMMAND)
        remark("no service manager is used here: the demo hands over the socket as it would")
        demo.open.append(self.station)
        self.station.start()
        for fd, _ in doors.sockets:
            os.close(fd)        # the station's alone from here on
        self.run("audit", expect=1)

    def accounts(self):
        heading("an account that sends inside TLS, and one whose mail runs a command")
        demo = self.demo
        demo.import_root()
        self.run("account", "add", "outgoing", OUT, f"from={letters.address(PRESS)}", "hostname=localhost",
                 f"port={demo.post.port('smtp', 'ssl')}", "useSsl=true", f"account={PRESS}")
        self.write_script()
        self.run("account", "add", "incoming", IN, "transport=imap", "hostname=localhost",
                 f"port={demo.dovecot.port('imap', 'ssl')}", "useSsl=true", f"account={PRESS}", f"deliverTo=exec:{self.script}")
        say("$ systemctl enable --now emailsec-deliver.socket", COMMAND)
        demo.open.append(Closed(Deliver(self.station)))
        for name in (OUT, IN):
            self.run("account", "password", name, stdin=letters.PASSWORD.encode() + b"\n",
                     shown=f"emailsecctl account password {name} < password-file")
        self.run("account", "test", OUT)
        say("$ cat horn-off", COMMAND)
        with open(self.script) as source:
            demo.tell(source.read().rstrip())

    def write_script(self):
        self.horn = os.path.join(users.private_folder(self.demo.folder, "horn"), "log")
        self.script = os.path.join(self.demo.folder, "horn-off")
        with open(self.script, "w") as out:
            out.write(SCRIPT.format(log=self.horn))
            os.fchmod(out.fileno(), stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)

    # ---- the device

    def connect(self, source):
        say(f"{source}$ nc {HERE} {self.port}", COMMAND)
        talk = Talk(self.network.connect(source, HERE, self.port))
        talk.socket.settimeout(20)
        self.replied(talk.greeting, 220)
        return talk

    @staticmethod
    def replied(answer, expect):
        if answer is None:
            raise SystemExit("the station has closed the connection")
        code, text = answer
        lines = text.splitlines() or [""]
        for line in lines[:-1]:
            say(f"  < {code}-{line}")
        say(f"  < {code} {lines[-1]}")
        if code != expect:
            raise SystemExit(f"that should have been answered with {expect}, not {code}")

    def line(self, talk, line, expect):
        say(f"  > {line}", COMMAND)
        self.replied(talk.say(line), expect)

    def strangers_stay_outside(self):
        heading("who is not let in sends nothing: it is no open relay")
        with self.connect(STRANGER) as talk:
            self.line(talk, "EHLO stranger", 250)
            self.line(talk, f"MAIL FROM:<{letters.address(PRESS)}>", 530)
            self.line(talk, "QUIT", 221)

    def alarm(self):
        heading("the press sends its alarm, in clear and without a login: 250 means that it is on disk")
        with self.connect(DEVICE) as talk:
            self.line(talk, "EHLO press7", 250)
            self.line(talk, f"MAIL FROM:<{letters.address(PRESS)}>", 250)
            self.line(talk, f"RCPT TO:<{letters.address(OPERATOR)}>", 250)
            self.line(talk, "DATA", 354)
            for one in ALARM:
                say(f"  > {one}", COMMAND)
            talk.send("".join(f"{one}\r\n" for one in ALARM))
            self.line(talk, ".", 250)
            self.line(talk, "QUIT", 221)

        heading("it leaves by useSsl, and the operator has it")
        event = self.station.wait_event("mail.sent", account=OUT)
        shown = self.run("queue", "show", event["data"]["id"])
        if DEVICE not in shown:
            raise SystemExit(f"the queue does not say that {DEVICE} handed it in")
        if "TLSv1." not in shown:
            raise SystemExit("the queue does not say that it left inside TLS")
        self.received = self.await_mail(OPERATOR, SUBJECT)
        remark("in the operator's mailbox:")
        say(self.received.replace(b"\r\n", b"\n").decode().rstrip())

    def await_mail(self, box, subject):
        """The message of that subject once the server has it there."""
        def find():
            return next((one for one in self.demo.dovecot.copies("imap", box) if f"Subject: {subject}\r\n".encode() in one), None)
        return until(find, 20, f"the message did not reach {box}")

    # ---- the way back

    def acknowledgement(self):
        heading("the operator's mail program answers")
        answer = self.answer()
        remark(f"it submits at the operator's own server, inside TLS, signed in as {OPERATOR}:")
        say(answer.rstrip())
        with smtplib.SMTP_SSL("localhost", self.demo.post.port("smtp", "ssl"), "operator.example", timeout=20,
                              context=plain_client.anyone()) as client:
            client.login(OPERATOR, letters.PASSWORD)
            client.sendmail(letters.address(OPERATOR), [letters.address(PRESS)], answer)
        self.await_mail(PRESS, f"Re: {SUBJECT}")

        heading("it comes in and runs the command: the horn is off")
        self.run("account", "poll", IN)
        event = self.station.wait_event("mail.received", account=IN)
        if not os.path.exists(self.horn):
            raise SystemExit("the command was not run")
        say("$ cat horn/log", COMMAND)
        with open(self.horn) as source:
            said = source.read().rstrip()
        say(said)
        if said != f'horn off: {letters.address(OPERATOR)} answered "Re: {SUBJECT}"':
            raise SystemExit("the command was not told of the acknowledgement")
        remark(f"message {event['data']['id']}: handed to the command, nothing of it stays in the Maildir")
        self.run("inbox", "list", IN)

    def answer(self):
        names = [line for line in self.received.decode().split("\r\n\r\n")[0].split("\r\n")
                 if line.lower().startswith("message-id:")]
        if len(names) != 1:
            raise SystemExit("the alarm has left without a Message-ID")
        name = names[0].partition(":")[2].strip()
        return (f"From: {letters.address(OPERATOR)}\nTo: Press 7 <{letters.address(PRESS)}>\nSubject: Re: {SUBJECT}\n"
                f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S +0000', time.gmtime())}\n"
                f"Message-ID: {letters.new_message_id()}\nIn-Reply-To: {name}\n\nacknowledged, on my way\n")

    def end(self):
        heading("how it stands, and what the journal tells")
        self.run("status")
        self.demo.open.pop().stop()     # emailsec-deliver
        self.demo.end_station()
        self.demo.open.pop().stop()     # the network
