# SPDX-License-Identifier: MIT
"""A Debian machine of its own: systemd and journald as PID 1 of a container, with no network but its loopback. The
installed tree is made once (mmdebstrap, the mirror that apt knows here) and kept; each machine is an overlay on it.
It works where systemd itself is not PID 1: in a private mount namespace a fresh cgroup2 takes the place of the old
tree, and nspawn asks no machined for anything."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess

import users
from station import ROOT
from waiting import until

TOOLS = ("mmdebstrap", "systemd-nspawn", "unshare", "nsenter", "dpkg-buildpackage", "dh")
PACKAGES = ("systemd", "systemd-sysv", "dbus", "systemd-resolved", "libnss-resolve", "iproute2", "ca-certificates",
            "openssl", "postfix", "dovecot-core", "dovecot-imapd", "dovecot-lmtpd", "libevent-core-2.1-7",
            "libevent-extra-2.1-7", "libevent-pthreads-2.1-7", "libjansson4", "libsqlite3-0", "libgsasl18",
            "libidn2-0", "libgmime-3.0-0")
CACHE = os.environ.get("EMAILSEC_BOOT_CACHE", os.path.join(ROOT, "build", "machine"))
BOOT = """
umount /sys/fs/cgroup 2>/dev/null || umount -l /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup &&
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root" &&
exec systemd-nspawn -q --boot --register=no --keep-unit --private-network --machine=station -D "$2/root" --console=pipe
"""


def why_not():
    """Why no machine can be had here, or None."""
    if not users.IS_ROOT:
        return "a machine can be booted by root only"
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        return f"not installed: {', '.join(missing)}"
    probe = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c",
                            "umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup"],
                           capture_output=True, text=True)
    return f"no cgroup2 in a mount namespace: {probe.stderr.strip()}" if probe.returncode else None


def tree():
    """The installed system, made at the first call; (path, None) or (None, why it cannot be made)."""
    name = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    path = os.path.join(CACHE, f"tree-{name}")
    if os.path.isdir(path):
        return path, None
    os.makedirs(CACHE, exist_ok=True)
    sources = [one for one in ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list") if os.path.exists(one)]
    done = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root",
                           "--include=" + ",".join(PACKAGES), "bookworm", path + ".new", *sources[:1]],
                          capture_output=True, text=True, timeout=900)
    if done.returncode:
        subprocess.run(["rm", "-rf", "--one-file-system", path + ".new"], check=False)
        return None, f"mmdebstrap: {done.stderr.strip()[-300:]}"
    os.rename(path + ".new", path)
    return path, None


class Machine:
    def __init__(self, folder, lower):
        self.folder = folder
        for name in ("upper", "work", "root"):
            os.mkdir(os.path.join(folder, name))
        self.console = os.path.join(folder, "console")
        self.process = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", BOOT, "boot", lower, folder],
                                        stdin=subprocess.DEVNULL, stdout=open(self.console, "wb"),
                                        stderr=subprocess.STDOUT, start_new_session=True)
        self.leader = None
        try:
            self.leader = until(self._find_leader, 20, self._said)
            until(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip() in
                  ("running", "degraded"), 60, self._said)
        except BaseException:
            self.end()
            raise

    def _said(self):
        with open(self.console, errors="replace") as source:
            return "the machine did not boot: " + source.read()[-2000:]

    def _find_leader(self):
        """PID 1 of the machine, seen from here: the child of nspawn."""
        assert self.process.poll() is None, self._said()
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as source:
            children = source.read().split()
        for pid in children:
            with contextlib.suppress(OSError):      # it may have gone meanwhile
                with open(f"/proc/{pid}/comm") as source:
                    if source.read().strip() == "systemd":
                        return int(pid)
        return None

    def run(self, *command, stdin=None, check=True, timeout=60):
        done = subprocess.run(["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "--", "env", "-i",
                               "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8",
                               "DEBIAN_FRONTEND=noninteractive", *command],
                              input=stdin, capture_output=True, text=True, timeout=timeout, cwd="/")
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def say(self, *command, **options):
        return self.run(*command, **options).stdout.strip()

    def write(self, path, text, mode=0o644):
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && umask 077 && cat >"$1" && chmod "$2" "$1"', "sh", path,
                 f"{mode:o}", stdin=text)

    def copy(self, source, path):
        """A file from here, bytes as they are."""
        with open(source, "rb") as data:
            subprocess.run(["nsenter", "-t", str(self.leader), "-m", "--", "/bin/dd", f"of={path}", "status=none"],
                           stdin=data, check=True, cwd="/")

    def property(self, unit, name):
        return self.say("systemctl", "show", "-P", name, unit)

    def journal(self, *matches):
        text = self.say("journalctl", "-o", "json", "--no-pager", *matches)
        return [json.loads(line) for line in text.splitlines()]

    def end(self):
        if self.leader and self.process.poll() is None:
            self.run("systemctl", "poweroff", "--force", "--force", check=False)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        subprocess.run(["rm", "-rf", "--one-file-system", self.folder], check=False)
