#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""First fetch of a mailbox over TLS, beside mbsync, fetchmail, getmail6 and mpop, from one server in one run: messages a
second, CPU a message and the ratio to ours, on a RAM disk and on a real one; then a look that finds nothing new. Then large
messages: LARGE (100) of 1 MiB, and one of HUGE MiB (1,024) with the daemon's peak of memory above that at rest; and what a
look with nothing new costs on a connection that is kept. A reader that throws everything away is the limit, to a disk
one that writes it (fast_reader.c). The servers are
a private Dovecot, which is what takes most of the time where both share two processors, and fast_source.c, which costs next
to nothing and keeps nothing on a disk. In the environment: COUNT, SIZE and RUNS; SERVERS ("dovecot fast"), ROWS ("small
large huge"), DISKS ("RAM real") and PEERS_OF ("mbsync mpop", else all), which of these; LARGE_DISK ("RAM disk") for the large ones. Peers
that are not installed are left out (apt-get install isync fetchmail getmail6 mpop)."""

import atexit
import os
import platform
import re
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "system"))

import channels     # noqa: E402
import dovecot as dovecot_module     # noqa: E402
import letters      # noqa: E402
import load         # noqa: E402
import plain_client     # noqa: E402
import pki          # noqa: E402
import station as station_module     # noqa: E402
import users        # noqa: E402

HUGE = int(os.environ.get("HUGE", "1024"))
LARGE = int(os.environ.get("LARGE", "100"))
RUNS = int(os.environ.get("RUNS", "1"))
ROWS = os.environ.get("ROWS", "small large huge").split()
SERVERS = os.environ.get("SERVERS", "dovecot fast").split()
LARGE_DISK = os.environ.get("LARGE_DISK", "real disk")
DISKS = {"RAM disk": "/dev/shm", "real disk": "/var/tmp"}
SMALL_DISKS = [f"{word} disk" for word in os.environ.get("DISKS", "RAM real").split()]
CHOSEN = os.environ.get("PEERS_OF", "").split()
TICK = os.sysconf("SC_CLK_TCK")
BOX = "bench"
MIB = 1024 * 1024


class Load:
    """What lies in the mailbox."""
    count = int(os.environ.get("COUNT", "10000"))
    size = int(os.environ.get("SIZE", "4096"))


def folder_on(disk):
    path = tempfile.mkdtemp(prefix="es-bench-", dir=DISKS[disk])
    os.chmod(path, 0o755)
    atexit.register(users.remove, path)     # not earlier: see README.md of ext4
    return path


def clear(folder, disk):
    if disk == "RAM disk":
        users.remove(folder)


def version(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0][:70] if lines else "?"


def fill(server):
    """As many messages as wanted straight into the server's Maildir."""
    server.imap(BOX).logout()
    folder = os.path.join(server.folder, "mail", BOX)
    owner = os.stat(folder)
    for number in range(Load.count):
        message = letters.crlf(letters.letter(BOX, subject=f"number {number}", body="x" * 70 + "\n"))
        message += (b"y" * 76 + b"\r\n") * ((Load.size - len(message)) // 78)
        path = os.path.join(folder, "new", f"{1700000000 + number}.M{number}P1.bench")
        with open(path, "wb") as out:
            out.write(message)
        os.chown(path, owner.st_uid, owner.st_gid)
    client = server.imap(BOX)       # Dovecot has its index before anyone is measured
    client.fetch(f"1:{Load.count}", "(UID FLAGS RFC822.SIZE)")
    client.logout()


class FastSource(plain_client.Mailboxes):
    """The server of fast_source.c, which has all messages from its start."""

    def __init__(self, folder, certificates):
        chain = os.path.join(folder, "source.pem")
        certificates.leaf("system").write(chain)
        self.process = subprocess.Popen(
            [load.helper("fast_source"), chain, self.host(), str(Load.count), str(Load.size)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ports = dict(zip(("imap", "pop3"), map(int, self.process.stdout.readline().split())))

    @staticmethod
    def host():
        return pki.ADDRESSES["system"]

    def port(self, transport, _security):
        return self.ports[transport]

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def serve(name, folder, certificates):
    """A server with the mailbox full."""
    if name == "fast":
        return FastSource(folder, certificates)
    server = dovecot_module.Dovecot(folder, certificates, kinds=["system"])
    fill(server)
    return server


# ---- the peers: each writes its configuration into `folder` and names the command and where the mail goes

def configure(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as out:
        out.write(text)
    os.chmod(path, 0o600)
    return path


def mbsync(folder, server, trust, sync):
    rc = configure(folder, "mbsyncrc", f"""FSync {sync}
IMAPStore far
Host {server.host()}
Port {server.port('imap', 'ssl')}
User {BOX}
Pass {letters.PASSWORD}
SSLType IMAPS
CertificateFile {trust}

MaildirStore near
Path {folder}/
Inbox {folder}/Inbox

Channel all
Far :far:
Near :near:
Patterns INBOX
Sync PullNew
Create Near
Expunge None
SyncState *
""")
    return ["mbsync", "-q", "-c", rc, "all"], os.path.join(folder, "Inbox", "new")


def getmail(folder, server, trust, transport):
    for part in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(folder, "box", part))
    rc = configure(folder, "getmailrc", f"""[retriever]
type = Simple{transport.upper()}SSLRetriever
server = {server.host()}
port = {server.port(transport, 'ssl')}
username = {BOX}
password = {letters.PASSWORD}
ca_certs = {trust}
[destination]
type = Maildir
path = {folder}/box/
[options]
read_all = false
delete = false
verbose = 0
""")
    return ["getmail", "--getmaildir", folder, "--rcfile", rc], os.path.join(folder, "box", "new")


def fetchmail(folder, server, _trust, transport):
    """Into one file: without a process for each message, which is its fastest. It takes no IP address for a name in a
    certificate, so it does not verify."""
    rc = configure(folder, "fetchmailrc", f"""set no syslog
set idfile "{folder}/ids"
set pidfile "{folder}/pid"
poll {server.host()} protocol {transport} port {server.port(transport, 'ssl')} {'uidl' if transport == 'pop3' else ''}
  user "{BOX}" password "{letters.PASSWORD}" is {users.name_of(users.DAEMON_UID)} here
  ssl no sslcertck keep bsmtp "{folder}/out"
""")
    return ["fetchmail", "--silent", "-f", rc], os.path.join(folder, "out")


def mpop(folder, server, trust):
    for part in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(folder, "box", part))
    rc = configure(folder, "mpoprc", f"""account default
host {server.host()}
port {server.port('pop3', 'ssl')}
user {BOX}
password {letters.PASSWORD}
tls on
tls_starttls off
tls_trust_file {trust}
delivery maildir {folder}/box
keep on
uidls_file {folder}/uidls
""")
    return ["mpop", "-q", "-C", rc], os.path.join(folder, "box", "new")


def written(folder, server, trust, transport):
    """fast_reader.c: the limit of a fetch to a disk."""
    box = os.path.join(folder, "box")
    for name in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(box, name))
    return [load.helper("fast_reader"), server.host(), str(server.port(transport, "ssl")), trust, transport, BOX,
            letters.PASSWORD, box, str(Load.count)], os.path.join(box, "new")


PEERS = {
    "imap": {"mbsync": lambda *a: mbsync(*a, "no"), "mbsync FSync": lambda *a: mbsync(*a, "yes"),
             "fetchmail": lambda *a: fetchmail(*a, "imap"), "getmail": lambda *a: getmail(*a, "imap"),
             "written away": lambda *a: written(*a, "imap")},
    "pop3": {"mpop": mpop, "fetchmail": lambda *a: fetchmail(*a, "pop3"), "getmail": lambda *a: getmail(*a, "pop3"),
             "written away": lambda *a: written(*a, "pop3")},
}


# ---- the limit: a reader that throws away what comes

def signed_in(server, transport, *commands):
    raw = socket.create_connection((server.host(), server.port(transport, "ssl")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context.wrap_socket(raw)
    tls.recv(4096)
    for command in commands:
        tls.sendall(command.encode() + b"\r\n")
        tls.recv(4096)
    return tls


def throw_away(server, transport):
    """(seconds, CPU seconds) of asking for everything in one go and reading until the server closes."""
    before, since = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    if transport == "imap":
        tls = signed_in(server, transport, f"a LOGIN {BOX} {letters.PASSWORD}", "b EXAMINE INBOX")
        tls.sendall(b"c FETCH 1:* BODY.PEEK[]\r\nd LOGOUT\r\n")
    else:
        tls = signed_in(server, transport, f"USER {BOX}", f"PASS {letters.PASSWORD}")
        tls.sendall(b"".join(b"RETR %d\r\n" % (n + 1) for n in range(Load.count)) + b"QUIT\r\n")
    room, got = bytearray(256 * 1024), 0
    with tls:
        while moved := tls.recv_into(room):
            got += moved
    if got < Load.count * (Load.size - 200):
        raise RuntimeError(f"the reader got {got} bytes")
    after = resource.getrusage(resource.RUSAGE_SELF)
    return [(time.monotonic() - since, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)]


def arrived(place):
    if os.path.isdir(place):
        return len(os.listdir(place))
    if not os.path.exists(place):
        return 0
    with open(place, "rb") as source:
        return sum(line == b".\r\n" or line == b".\n" for line in source)


def run_peer(make, disk, server, trust):
    """(seconds, CPU seconds) of the first fetch, and of a look after it."""
    folder = folder_on(disk)
    try:
        command, place = make(folder, server, trust)
        for here, folders, files in os.walk(folder):
            for name in [".", *folders, *files]:
                users.give(os.path.join(here, name))
        found = []
        for _ in range(2):
            before, since = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900,
                                  env={**os.environ, "HOME": folder}, cwd=folder, **users.as_daemon())
            seconds = time.monotonic() - since
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            found.append((seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
            if arrived(place) < Load.count:
                raise RuntimeError(f"{command[0]}: {arrived(place)} messages: {done.stdout[-300:]}{done.stderr[-300:]}")
        return found
    finally:
        clear(folder, disk)


def cpu_of(pid):
    with open(f"/proc/{pid}/stat") as source:
        fields = source.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid, row):
    with open(f"/proc/{pid}/status") as source:
        return next(int(line.split()[1]) for line in source if line.startswith(row + ":")) / 1024


def looks_kept(station, port):
    """Milliseconds, CPU milliseconds and bytes both ways of a look on a connection that idles, of 20."""
    def moved():
        shown = subprocess.run(["ss", "-tiHn", f"dport = :{port}"], capture_output=True, text=True, check=True).stdout
        return sum(int(number) for number in re.findall(r"bytes_(?:sent|received):(\d+)", shown))
    station.ctl("account", "set", "a", "push=true")
    station.ctl("account", "poll", "a", timeout=900)
    bytes_before, before, since = moved(), cpu_of(station.process.pid), time.monotonic()
    for _ in range(20):
        station.ctl("account", "poll", "a")
    seconds = time.monotonic() - since
    return seconds * 50, (cpu_of(station.process.pid) - before) * 50, (moved() - bytes_before) / 20


def run_ours(transport, disk, server, certificates, notes, policy="markAsUnread"):
    folder = folder_on(disk)
    programs = {name: station_module.program(name, folder) for name in ("emailsecd", "emailsecctl")}
    station = station_module.Station(folder, programs, certificates.system.pem, {"Service.LogLevel": "notice"})
    try:
        station.start()
        station.add("incoming", "a", enabled=False, deliveryPolicy=policy, push=False,
                    maxMessageSize=2 * Load.count * Load.size, **{
            key: value for key, value in channels.properties(
                transport, "ssl", server.host(), server.port(transport, "ssl"), BOX).items()})
        station.monitor.stop()
        found, at_rest = [], memory(station.process.pid, "VmRSS")
        for words in (("enable", "a"), None):
            before, since = cpu_of(station.process.pid), time.monotonic()
            if words:
                station.ctl("account", *words)
            station.ctl("account", "poll", "a", timeout=900)
            found.append((time.monotonic() - since, cpu_of(station.process.pid) - before))
            count = len(station.inbox("a"))
            assert count == Load.count, count
        notes["memory"] = f"peak of memory {memory(station.process.pid, 'VmHWM') - at_rest:.1f} MiB above that at rest"
        if transport == "imap" and shutil.which("ss"):
            notes["kept"] = "a look on a kept connection: {:.1f} ms, {:.2f} ms CPU, {:.0f} bytes".format(
                *looks_kept(station, server.port(transport, "ssl")))
        return found
    finally:
        station.end()
        clear(folder, disk)


def forget_flags(server):
    """Each finds the mailbox as it was at first: fetchmail takes nothing that another has marked as read."""
    client = server.imap(BOX)
    client.store(f"1:{Load.count}", "FLAGS.SILENT", "()")
    client.logout()


def once(server, run):
    forget_flags(server)
    return run()


def middle(runs, index):
    return (statistics.median(run[index][0] for run in runs), statistics.median(run[index][1] for run in runs))


def compare(transport, disk, server, certificates, trust, peers=True):
    print(f"\n{transport}s, {Load.count} messages of {Load.size} bytes, {type(server).__name__}, {disk}")
    print(f"  {'':14} {'messages/s':>10} {'CPU ms each':>12} {'ours is':>9}   {'nothing new: ms':>15} {'CPU ms':>7}")
    notes = {}
    rows = {"emailsecd": lambda: run_ours(transport, disk, server, certificates, notes),
            "thrown away": lambda: throw_away(server, transport)}
    if transport == "imap" and Load.count > 1:
        rows["and marks read"] = lambda: run_ours(transport, disk, server, certificates, {}, "markAsRead")
    for name, make in PEERS[transport].items() if peers else ():
        first = name.split()[0]
        if (first == "written" or shutil.which(first)) and (not CHOSEN or first in CHOSEN):
            rows[name] = lambda make=make: run_peer(make, disk, server, trust)
    ours = None
    for name, run in rows.items():
        try:
            runs = [once(server, run) for _ in range(RUNS)]
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"  {name:14} failed: {error}")
            continue
        seconds, cpu = middle(runs, 0)
        again, again_cpu = middle(runs, 1) if len(runs[0]) > 1 else (float("nan"), float("nan"))
        ours = ours or seconds
        print(f"  {name:14} {Load.count / seconds:10.{0 if Load.count > 1 else 2}f} {cpu * 1000 / Load.count:12.3f} {seconds / ours:8.2f}x"
              f"   {again * 1000:15.0f} {again_cpu * 1000:7.0f}".replace("nan", "  -"), flush=True)
    for note in notes.values():
        print(f"  {'':14} {note}", flush=True)


def measure(folder, name, disks, certificates, trust, peers):
    os.mkdir(folder, 0o755)
    server = serve(name, folder, certificates)
    try:
        for transport in ("imap", "pop3"):
            for disk in disks:
                compare(transport, disk, server, certificates, trust, peers)
    finally:
        server.stop()
        users.remove(folder)


def main():
    base = users.base_folder()
    certificates = pki.Pki()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}")
    for command in (("dovecot", "--version"), ("mbsync", "--version"), ("fetchmail", "--version"),
                    ("getmail", "--version"), ("mpop", "--version")):
        if shutil.which(command[0]):
            print(f"  {command[0]}: {version(*command)}")
    trust = os.path.join(base, "trust.pem")
    with open(trust, "wb") as out:
        out.write(certificates.system.pem)
    os.chmod(trust, 0o644)
    try:
        rows = {"small": (Load.count, Load.size, SMALL_DISKS, True), "large": (LARGE, MIB, [LARGE_DISK], True),
                "huge": (1, HUGE * MIB, [LARGE_DISK], False)}
        for count, size, disks, peers in (rows[row] for row in ROWS):
            Load.count, Load.size = count, size
            for server in SERVERS:
                measure(os.path.join(base, f"{server}-{size}"), server, disks, certificates, trust, peers)
    finally:
        users.remove(base)


if __name__ == "__main__":
    main()
