#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make bench-outgoing`: durable submission, draining a full queue over TLS, a process for each message, and the time
from submission to delivery, each for emailsecd and a tuned Postfix in one run on one machine and one sink. Prints
figures and ratios; fails nothing. Arguments: how many messages (default 3000)."""

import base64
import json
import os
import platform
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.dont_write_bytecode = True

import letters                                      # noqa: E402  (the path comes first)
import pki                                          # noqa: E402
import ports                                        # noqa: E402
import postfix                                      # noqa: E402
import users                                        # noqa: E402
import varlink                                      # noqa: E402
from station import BUILD, Station, clean_environment, program    # noqa: E402
from waiting import until                           # noqa: E402

CLIENTS = 32
LETTER = letters.letter("box", body=("x" * 70 + "\n") * 54)     # 4 KiB with its header

RELAY = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = postfix.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
in_flow_delay = 0
relayhost = [127.0.0.1]:{sink}
smtp_tls_wrappermode = yes
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = localhost
smtp_tls_CAfile = {folder}/root.pem
smtp_tls_session_cache_database = btree:{folder}/data/smtp_scache
smtp_tls_connection_reuse = yes
smtp_connection_cache_on_demand = yes
default_destination_concurrency_limit = 20
initial_destination_concurrency = 20
default_destination_recipient_limit = 50
"""


class Sink:
    def __init__(self, folder, certificate):
        chain = os.path.join(folder, "sink.pem")
        certificate.write(chain)
        self.process = subprocess.Popen([os.path.join(BUILD, "bench", "fast_sink"), chain], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def look(self):
        """(messages, connections, seconds of the monotonic clock at the last message)"""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        messages, connections, last = map(int, self.process.stdout.readline().split())
        return messages, connections, last / 1e9

    def wait(self, count):
        until(lambda: self.look()[0] >= count, 180, lambda: f"the sink has {self.look()[0]} of {count}")
        return self.look()[2]

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


class Relay(postfix.Postfix):
    """A tuned Postfix that sends everything to the sink."""
    name = "Postfix"

    def __init__(self, folder, certificates, sink):
        self.folder, self.process, self.sink = os.path.join(folder, "relay"), None, sink
        self.inlet = ports.take()
        self.ports = {"plain": self.inlet}
        self._folders()
        with open(os.path.join(self.folder, "root.pem"), "wb") as out:
            out.write(certificates.system.pem)
        daemons = subprocess.run(["postconf", "-d", "-h", "daemon_directory"], check=True, capture_output=True,
                                 text=True).stdout.strip()
        self.master = os.path.join(daemons, "master")
        self._write(daemons, True)
        with open(os.path.join(self.folder, "master.cf"), "w") as out:
            out.write(postfix.MASTER + f"127.0.0.1:{self.inlet} inet n - n - - smtpd\n"
                      "pickup unix n - n 60 1 pickup\ntlsproxy unix - - n - 0 tlsproxy\n")
        self.daemons = daemons
        self.start()

    def host(self, kind=None):
        return "127.0.0.1"

    def _write(self, daemons, stopped):
        with open(os.path.join(self.folder, "main.cf"), "w") as out:
            out.write(RELAY.format(folder=self.folder, daemons=daemons, sink=self.sink.port))
            if stopped:
                out.write("defer_transports = smtp\n")

    def cpu(self):
        """Not told: its processes come and go."""

    def run(self, *command):
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "MAIL_CONFIG": self.folder})

    def _unsettled(self):
        """Files that are not in the deferred queue yet."""
        return any(os.listdir(os.path.join(self.folder, "queue", part)) for part in ("maildrop", "incoming", "active"))

    def prepare(self):
        """Everything lies in the deferred queue, and the next run takes it."""
        until(lambda: not self._unsettled(), 120, "Postfix does not put its queue aside")
        self._write(self.daemons, False)
        self.stop()
        self.start()

    def go(self):
        self.run("postqueue", "-c", self.folder, "-f")

    def address(self):
        return socket.AF_INET, ("127.0.0.1", self.inlet)

    dialogue = ((None, b"220 "), (b"EHLO bench\r\n", b"250 "),
                (b"MAIL FROM:<a@example.test>\r\nRCPT TO:<box@example.test>\r\nDATA\r\n", b"354 "),
                (letters.crlf(LETTER) + b".\r\n", b"250 "))
    first_of_message = 2

    def done(self, step, answer):
        return answer.endswith(b"\n") and answer[:answer.rfind(b"\n")].split(b"\n")[-1].startswith(
            self.dialogue[step][1])

    def sendmail(self):
        return ["/usr/sbin/sendmail", "-C", self.folder, "-f", "a@example.test", "box@example.test"], \
            {**os.environ, "MAIL_CONFIG": self.folder}


class Ours:
    name = "emailsecd"

    def __init__(self, folder, certificates, sink):
        self.station = Station(folder, {name: program(name) for name in ("emailsecd", "emailsecctl")},
                               certificates.system.pem, {"Service.LogLevel": "info"})
        self.station.start()
        self.station.monitor.stop()
        threading.Thread(target=self._hear_notices, daemon=True).start()
        self.station.ctl("account", "add", "outgoing", "a", "hostname=localhost", f"port={sink.port}",
                         "from=a@example.test", "enabled=false")
        call = {"method": varlink.SERVICE + "Submit",
                "parameters": {"account": "a", "from": "a@example.test", "recipients": ["box@example.test"],
                               "message": base64.b64encode(LETTER).decode()}}
        self.dialogue = ((json.dumps(call).encode() + b"\0", b"\0"),)

    first_of_message = 0

    def _hear_notices(self):
        """The service manager's part: who does not read makes the daemon wait."""
        try:
            while self.station.notify.socket.recv(65536):
                pass
        except OSError:
            pass

    def prepare(self):
        """It waits as it is."""

    def go(self):
        self.station.ctl("account", "enable", "a")

    def address(self):
        return socket.AF_UNIX, self.station.socket

    def done(self, step, answer):
        assert b'"error"' not in answer, answer
        return answer.endswith(b"\0")

    def sendmail(self):
        return [program("emailsecctl"), "sendmail", "-f", "a@example.test", "box@example.test"], \
            clean_environment(EMAILSEC_SOCKET=self.station.socket)

    def cpu(self):
        with open(f"/proc/{self.station.process.pid}/stat") as source:
            return sum(map(int, source.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.station.end()


def submit(server, count, clients=CLIENTS):
    """Messages a second that `clients` connections hand in, each waiting for its answer."""
    selector, begun, finished = selectors.DefaultSelector(), 0, 0
    family, address = server.address()
    start = time.monotonic()

    def step(key, number):
        nonlocal begun
        if number == len(server.dialogue):
            number = server.first_of_message
        if number == server.first_of_message:
            if begun == count:
                selector.unregister(key["socket"])
                key["socket"].close()
                return
            begun += 1
        key["step"], key["answer"] = number, b""
        words = server.dialogue[number][0]
        if words:
            key["socket"].sendall(words)

    for _ in range(clients):
        peer = socket.socket(family)
        peer.connect(address)
        key = {"socket": peer}
        selector.register(peer, selectors.EVENT_READ, key)
        step(key, 0)
    while selector.get_map():
        for ready, _ in selector.select(30):
            key = ready.data
            got = key["socket"].recv(65536)
            assert got, "the server hung up"
            key["answer"] += got
            if server.done(key["step"], key["answer"]):
                finished += key["step"] == len(server.dialogue) - 1
                step(key, key["step"] + 1)
    assert finished == count
    return count / (time.monotonic() - start)


def processes(server, count, at_once):
    """Messages a second with a process for each."""
    command, environment = server.sendmail()
    start, running, left = time.monotonic(), [], count
    while left or running:
        while left and len(running) < at_once:
            child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE)
            child.stdin.write(LETTER)
            child.stdin.close()
            running.append(child)
            left -= 1
        assert running.pop(0).wait() == 0
    return count / (time.monotonic() - start)


def latencies(server, sink, count):
    """Milliseconds from the start of a submission to the sink's answer, sorted."""
    found = []
    for _ in range(count):
        before, start = sink.look()[0], time.monotonic()
        submit(server, 1, 1)
        found.append((sink.wait(before + 1) - start) * 1000)
    return sorted(found)


def measure(server, sink, count):
    few = max(count // 10, 40)
    figures = {"bulk submission, 4 KiB, 32 clients [1/s]": submit(server, count),
               "process for each message, alone [1/s]": processes(server, few, 1),
               "process for each message, 8 at once [1/s]": processes(server, few * 2, 8)}
    waiting, before = count + few * 3, sink.look()[0]
    server.prepare()
    busy, start = server.cpu(), time.monotonic()
    server.go()
    took = sink.wait(before + waiting) - start
    figures["drain over TLS [1/s]"] = waiting / took
    if busy is not None:
        figures["CPU of a drained message [ms]"] = (server.cpu() - busy) / waiting * 1000
    times = latencies(server, sink, 100)
    figures["submission to delivery, p50 [ms]"] = statistics.median(times)
    figures["submission to delivery, p99 [ms]"] = times[98]
    return figures


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    version = subprocess.run(["postconf", "-d", "-h", "mail_version"], capture_output=True, text=True).stdout.strip()
    ours = subprocess.run([program("emailsecd"), "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    print(f"{ours}; Postfix {version}; {platform.platform()}, {os.cpu_count()} CPUs, {memory} MiB, "
          f"load {os.getloadavg()[0]:.1f}")


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    if not users.IS_ROOT:
        sys.exit("bench-outgoing: Postfix can only be started by root")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    folder, certificates, figures = users.base_folder(), pki.Pki(), {}
    sink = Sink(folder, certificates.leaf("system"))
    machine()
    try:
        for make in (Ours, Relay):
            print(f"measuring {make.name} ...", file=sys.stderr, flush=True)
            server = make(folder, certificates, sink)
            try:
                figures[server.name] = measure(server, sink, count)
            finally:
                server.stop()
    finally:
        sink.stop()
        users.remove(folder)
    print(f"{'':45}{'emailsecd':>10}{'Postfix':>10}{'ratio':>8}")
    for what, ours in figures["emailsecd"].items():
        theirs = figures["Postfix"].get(what)
        print(f"{what:45}{ours:10.2f}" + (f"{theirs:10.2f}{ours / theirs:8.2f}" if theirs else ""))


if __name__ == "__main__":
    main()
