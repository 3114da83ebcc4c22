#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""First fetch of a mailbox over TLS, beside mbsync, fetchmail, getmail6 and mpop, from one private Dovecot in one run:
messages a second, CPU a message and the ratio to ours, on a RAM disk and on a real one; then a look that finds nothing
new. COUNT, SIZE and RUNS in the environment; peers that are not installed are left out (apt-get install isync
fetchmail getmail6 mpop)."""

import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "system"))

import channels     # noqa: E402
import dovecot as dovecot_module     # noqa: E402
import letters      # noqa: E402
import pki          # noqa: E402
import station as station_module     # noqa: E402
import users        # noqa: E402

COUNT = int(os.environ.get("COUNT", "10000"))
SIZE = int(os.environ.get("SIZE", "4096"))
RUNS = int(os.environ.get("RUNS", "1"))
DISKS = {"RAM disk": "/dev/shm", "real disk": "/var/tmp"}
TICK = os.sysconf("SC_CLK_TCK")
BOX = "bench"


def folder_on(disk):
    path = tempfile.mkdtemp(prefix="es-bench-", dir=DISKS[disk])
    os.chmod(path, 0o755)
    return path


def version(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0][:70] if lines else "?"


def fill(server):
    """COUNT messages straight into the server's Maildir."""
    server.imap(BOX).logout()
    folder = os.path.join(server.folder, "mail", BOX)
    owner = os.stat(folder)
    for number in range(COUNT):
        message = letters.crlf(letters.letter(BOX, subject=f"number {number}", body="x" * 70 + "\n"))
        message += (b"y" * 76 + b"\r\n") * ((SIZE - len(message)) // 78)
        path = os.path.join(folder, "new", f"{1700000000 + number}.M{number}P1.bench")
        with open(path, "wb") as out:
            out.write(message)
        os.chown(path, owner.st_uid, owner.st_gid)
    client = server.imap(BOX)       # Dovecot has its index before anyone is measured
    client.fetch(f"1:{COUNT}", "(UID FLAGS RFC822.SIZE)")
    client.logout()


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


PEERS = {
    "imap": {"mbsync": lambda *a: mbsync(*a, "no"), "mbsync FSync": lambda *a: mbsync(*a, "yes"),
             "fetchmail": lambda *a: fetchmail(*a, "imap"), "getmail": lambda *a: getmail(*a, "imap")},
    "pop3": {"mpop": mpop, "fetchmail": lambda *a: fetchmail(*a, "pop3"), "getmail": lambda *a: getmail(*a, "pop3")},
}


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
            if arrived(place) < COUNT:
                raise RuntimeError(f"{command[0]}: {arrived(place)} messages: {done.stdout[-300:]}{done.stderr[-300:]}")
        return found
    finally:
        users.remove(folder)


def cpu_of(pid):
    with open(f"/proc/{pid}/stat") as source:
        fields = source.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def run_ours(transport, disk, server, certificates):
    folder = folder_on(disk)
    programs = {name: station_module.program(name, folder) for name in ("emailsecd", "emailsecctl")}
    station = station_module.Station(folder, programs, certificates.system.pem, {"Service.LogLevel": "notice"})
    try:
        station.start()
        station.add("incoming", "a", enabled=False, deliveryPolicy="markAsUnread", push=False, **{
            key: value for key, value in channels.properties(
                transport, "ssl", server.host(), server.port(transport, "ssl"), BOX).items()})
        station.monitor.stop()
        found = []
        for words in (("enable", "a"), None):
            before, since = cpu_of(station.process.pid), time.monotonic()
            if words:
                station.ctl("account", *words)
            station.ctl("account", "poll", "a", timeout=900)
            found.append((time.monotonic() - since, cpu_of(station.process.pid) - before))
            count = len(station.inbox("a"))
            assert count == COUNT, count
        return found
    finally:
        station.end()
        users.remove(folder)


def forget_flags(server):
    """Each finds the mailbox as it was at first: fetchmail takes nothing that another has marked as read."""
    client = server.imap(BOX)
    client.store(f"1:{COUNT}", "FLAGS.SILENT", "()")
    client.logout()


def once(server, run):
    forget_flags(server)
    return run()


def middle(runs, index):
    return (statistics.median(run[index][0] for run in runs), statistics.median(run[index][1] for run in runs))


def compare(transport, disk, server, certificates, trust):
    print(f"\n{transport}s, {COUNT} messages of {SIZE} bytes, {disk}")
    print(f"  {'':14} {'messages/s':>10} {'CPU ms each':>12} {'ours is':>9}   {'nothing new: ms':>15} {'CPU ms':>7}")
    rows = {"emailsecd": lambda: run_ours(transport, disk, server, certificates)}
    for name, make in PEERS[transport].items():
        if shutil.which(name.split()[0]):
            rows[name] = lambda make=make: run_peer(make, disk, server, trust)
    ours = None
    for name, run in rows.items():
        try:
            runs = [once(server, run) for _ in range(RUNS)]
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            print(f"  {name:14} failed: {error}")
            continue
        (seconds, cpu), (again, again_cpu) = middle(runs, 0), middle(runs, 1)
        ours = ours or seconds
        print(f"  {name:14} {COUNT / seconds:10.0f} {cpu * 1000 / COUNT:12.3f} {seconds / ours:8.2f}x"
              f"   {again * 1000:15.0f} {again_cpu * 1000:7.0f}", flush=True)


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
    server = dovecot_module.Dovecot(base, certificates, kinds=["system"])
    try:
        fill(server)
        for transport in ("imap", "pop3"):
            for disk in DISKS:
                compare(transport, disk, server, certificates, trust)
    finally:
        server.stop()
        users.remove(base)


if __name__ == "__main__":
    main()
