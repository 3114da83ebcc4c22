# SPDX-License-Identifier: MIT
"""One emailsecd with a private state folder and socket, and the tool to talk to it. Readiness comes by
NOTIFY_SOCKET, what happens by the Monitor stream: nothing here sleeps."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

import letters
import users
import varlink
from waiting import FLAVOUR, GENEROUS, PATIENCE

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("EMAILSEC_BUILD", os.path.join(ROOT, "build", FLAVOUR))

# LeakSanitizer itself has crashed at the end of a program, which says nothing about that.
TRACER_FAILED = re.compile(r"Tracer caught signal 11.*LeakSanitizer has encountered a fatal error", re.S)
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|UndefinedBehavior")


def program(name, folder=None):
    """Path of a built program, in a place that every user can reach."""
    path = os.path.join(BUILD, name)
    if not folder:
        return path
    copy = os.path.join(folder, name)
    if not os.path.exists(copy):
        shutil.copy(path, copy)
        os.chmod(copy, 0o755)
    return copy


def clean_environment(**more):
    """No systemd, no settings of whoever runs the tests."""
    env = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC",
           "ASAN_OPTIONS": "exitcode=99:detect_leaks=1:abort_on_error=0",
           "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
           "TSAN_OPTIONS": "exitcode=99:halt_on_error=1"}
    env.update(more)
    return env


class Result:
    """What a run of the tool came to."""

    def __init__(self, args, done):
        self.args, self.code = args, done.returncode
        self.out, self.err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def said(self):
        return self.out + self.err

    def __repr__(self):
        return f"emailsecctl {' '.join(self.args)}\nexit {self.code}\n{self.out}{self.err}"


class Notifications:
    """The service manager's end of sd_notify."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.path.exists(path):
            os.unlink(path)
        self.socket.bind(path)
        os.chmod(path, 0o666)
        self.seen = []

    def close(self):
        self.socket.close()

    def forget(self):
        """What a daemon of before said last is not heard for the next one's."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.socket.recv(65536, socket.MSG_DONTWAIT)

    def wait(self, start, process=None, timeout=10 * GENEROUS):
        """The next message with a line that begins with `start`, as a dictionary of its lines."""
        deadline = time.monotonic() + timeout
        watch = [self.socket]
        pidfd = os.pidfd_open(process.pid) if process else None
        if pidfd is not None:
            watch.append(pidfd)
        try:
            while True:
                ready, _, _ = select.select(watch, [], [], max(0, deadline - time.monotonic()))
                if self.socket in ready:
                    lines = self.socket.recv(65536).decode().splitlines()
                    self.seen += lines
                    if any(line.startswith(start) for line in lines):
                        return dict(line.split("=", 1) for line in lines if "=" in line)
                elif ready:
                    raise AssertionError(f"ended with {process.wait()} before {start}")
                else:
                    raise AssertionError(f"no {start} within {timeout} s; seen: {self.seen}")
        finally:
            if pidfd is not None:
                os.close(pidfd)


def stacks(pid):
    """What each thread of a process is at, where gdb is; else what the kernel says of it."""
    try:
        return subprocess.run(["gdb", "-batch", "-nx", "-p", str(pid), "-ex", "thread apply all backtrace 30"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60).stdout[-12000:]
    except (OSError, subprocess.TimeoutExpired):
        pass
    said = []
    for thread in sorted(os.listdir(f"/proc/{pid}/task")):
        for name in ("comm", "stat", "wchan", "syscall"):
            try:
                with open(f"/proc/{pid}/task/{thread}/{name}", encoding="utf-8", errors="replace") as file:
                    said.append(f"{thread} {name}: {file.read().strip()}")
            except OSError as error:
                said.append(f"{thread} {name}: {error}")
    return "\n".join(said)


class Station:
    def __init__(self, parent, programs, system_trust=None, settings=None, name="station"):
        """`system_trust`: PEM bytes for --system-trust; settings: {"Section.Key": value}."""
        self.folder = os.path.join(parent, name)
        os.mkdir(self.folder, 0o755)
        users.give(self.folder)
        self.state = users.private_folder(self.folder, "state")
        self.programs = programs
        self.socket = os.path.join(self.folder, "io.emailsec")
        self.log_path = os.path.join(self.folder, "log")
        self.config = os.path.join(self.folder, "emailsecd.conf")
        self.trust = os.path.join(self.folder, "system.pem")
        with open(self.trust, "wb") as out:
            out.write(system_trust or b"")
        self.alias_file = os.path.join(self.folder, "aliases")
        self.write_config(settings or {})
        self.notify = Notifications(os.path.join(self.folder, "notify"))
        self.process = None
        self.monitor = None
        self.faults = []           # events that were not as described
        self.extra_environment = {}
        self.extra_arguments = []
        self.pass_fds = ()
        self.resolver = None   # a file in the place of /etc/resolv.conf, as root
        self.names = {}        # host names that only this station knows, as root: {name: address, or several in a tuple}

    # ---- running it

    def write_config(self, settings):
        """`settings`: {"Section.Key": value}, on top of what every test needs."""
        rows = {"Service.Hostname": "station.example", "Service.LogTarget": "stderr", "Service.LogLevel": "debug",
                "Service.AliasFile": self.alias_file, **settings}
        text = ""
        for section in sorted({key.split(".")[0] for key in rows}):
            text += f"[{section}]\n"
            text += "".join(f"{key.split('.')[1]}={value}\n" for key, value in rows.items()
                            if key.startswith(section + "."))
        with open(self.config, "w") as out:
            out.write(text)

    def command(self):
        command = [self.programs["emailsecd"], "--config", self.config, "--state-directory", self.state,
                   "--socket", self.socket]
        if os.path.getsize(self.trust):
            command += ["--system-trust", self.trust]
        return self._with_names(command + self.extra_arguments)

    def _with_names(self, command):
        """In a mount namespace with a hosts file of its own, then as the daemon's user."""
        if not self.names and not self.resolver:
            return command
        if self.resolver:
            return ["unshare", "--mount", "--", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', self.resolver,
                    "setpriv", f"--reuid={users.DAEMON_UID}", f"--regid={users.DAEMON_GID}", "--clear-groups", "--", *command]
        hosts = os.path.join(self.folder, "hosts")
        with open(hosts, "w") as out:
            out.write("127.0.0.1 localhost\n" + "".join(
                f"{address} {name}\n" for name, addresses in self.names.items()
                for address in ((addresses,) if isinstance(addresses, str) else addresses)))
        os.chmod(hosts, 0o644)
        return ["unshare", "--mount", "--", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts,
                "setpriv", f"--reuid={users.DAEMON_UID}", f"--regid={users.DAEMON_GID}", "--clear-groups", "--",
                *command]

    def _user(self):
        return {} if self.names or self.resolver else users.as_daemon()

    def environment(self):
        return clean_environment(NOTIFY_SOCKET=self.notify.path, **self.extra_environment)

    def launch(self):
        """Starts it and waits for READY=1, whether it serves or waits for room."""
        self.notify.forget()
        self.process = subprocess.Popen(users.MORTAL + self.command(), env=self.environment(), cwd="/", stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=open(self.log_path, "ab"),
                                        pass_fds=self.pass_fds, **self._user())
        try:
            self.notify.wait("READY=1", self.process)
        except AssertionError as error:
            raise AssertionError(f"emailsecd does not start: {error}\n{self.log()[-4000:]}") from None

    def start(self):
        self.launch()
        self.monitor = Monitor(self.socket)
        return self

    def start_refused(self):
        """Runs it where it must refuse: (exit status, what it said)."""
        done = subprocess.run(self.command(), env=clean_environment(), cwd="/", stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20 * GENEROUS,
                              **users.as_daemon())
        said = done.stdout.decode("utf-8", "replace")
        assert not SANITIZER.search(said), said
        return done.returncode, said

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, within=5):
        """Orderly end; True to its promise of 5 seconds, with some grace for a machine that is busy with other things."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(2 * within * PATIENCE)
            except subprocess.TimeoutExpired:
                found = stacks(self.process.pid)
                self.process.kill()
                self.process.wait()
                raise AssertionError(
                    f"emailsecd did not end within {within} s\n{found}\n{self.log()[-3000:]}") from None
            assert code == 0, f"emailsecd ended with {code}\n{self.log()[-6000:]}"
        self._gone()

    def kill_process(self):
        self.process.kill()
        self.process.wait()
        self._gone()

    def kill(self):
        """kill -9. A test may put something worse in its place."""
        self.kill_process()

    def restart(self):
        self.stop()
        return self.start()

    def _gone(self):
        if self.monitor:
            self.monitor.stop()
            self.faults += [str(self.monitor.fault)] if self.monitor.fault else []
            self.monitor = None

    def end(self):
        """At the end of a test: it must still have been well."""
        try:
            if self.process:
                code = self.process.poll()
                assert code in (None, 0, -signal.SIGKILL), f"emailsecd died ({code})\n{self.log()[-6000:]}"
                self.stop()
            found = SANITIZER.search(self.log())
            assert not found, self.log()[max(0, found.start() - 500):][:8000]
            assert letters.PASSWORD not in self.log(), "the password is in the log"
            assert not self.faults, self.faults
        finally:
            if self.running():
                self.process.kill()
                self.process.wait()
            self._gone()
            self.notify.close()

    def log(self):
        try:
            with open(self.log_path, errors="replace") as source:
                return source.read()
        except FileNotFoundError:
            return ""

    # ---- talking to it

    def ctl(self, *args, code=0, stdin=None, user=None, timeout=30, env=None):
        """Runs emailsecctl; another exit status than `code` fails the test (None: any will do)."""
        command = [self.programs["emailsecctl"], "--socket", self.socket, *map(str, args)]
        if isinstance(stdin, str):
            stdin = stdin.encode()
        done = subprocess.run(command, input=stdin if stdin is not None else b"", capture_output=True,
                              timeout=timeout * GENEROUS, cwd="/", env=clean_environment(**(env or {})),
                              **(user or {}))
        result = Result(args, done)
        if TRACER_FAILED.search(result.err):    # all that the tool had to do was done
            result.err, result.code = "", code if code is not None else result.code
        assert not SANITIZER.search(result.err), result
        assert code is None or result.code == code, \
            f"{result}(expected exit {code})\n--- log\n{self.log()[-3000:]}"
        return result

    def json(self, *args, **options):
        return self.ctl("--json", *args, **options).json

    def client(self):
        return varlink.Client(self.socket)

    def call(self, method, **parameters):
        with self.client() as client:
            return client.call(method, **parameters)

    # ---- what tests do all the time

    def add(self, kind, name, password=letters.PASSWORD, **properties):
        """Adds an account with a password. Python's True becomes the tool's true."""
        words = [f"{key}={str(value).lower() if isinstance(value, bool) else value}"
                 for key, value in properties.items()]
        self.ctl("account", "add", kind, name, *words)
        if password is not None:
            self.ctl("account", "password", name, stdin=password + "\n")

    def account(self, name):
        """The property sheet."""
        return self.call("GetAccount", name=name)["account"]["properties"]

    def send(self, account, to, message=None, *more):
        """Submits a message by the tool; the queue id."""
        return self.json("send", "--account", account, "--to", to, *more, "-",
                         stdin=message or letters.letter(to.split("@")[0]))["id"]

    def message(self, queue_id):
        return self.call("GetMessage", id=queue_id)["message"]

    def wait_message(self, queue_id):
        """The message once it is sent, failed or held."""
        return self.call("WaitMessage", id=queue_id)["message"]

    def wait_event(self, name, timeout=15, **fields):
        """Takes the first event of that name (or beginning, "mail.") whose fields or data fit."""
        return self.monitor.take(name, timeout * GENEROUS, fields)

    def wait_status(self, name, *statuses, timeout=15):
        """The property sheet once the account's status is one of these."""
        deadline = time.monotonic() + timeout * GENEROUS
        while True:
            seen = self.monitor.count()
            sheet = self.account(name)
            if sheet["status"] in statuses:
                return sheet
            left = deadline - time.monotonic()
            assert left > 0, f"{name} is {sheet['status']} ({sheet.get('faultCause')}), not {statuses}\n" \
                             f"{self.log()[-3000:]}"
            self.monitor.wait_more(seen, min(left, 0.5))

    def inbox(self, name):
        """The received files of an account."""
        return letters.maildir(os.path.join(self.state, "mail", name))

    def received(self, name):
        """The received messages of an account as they came, by what the station says of their files."""
        found = []
        for message in self.call("ListInbox", name=name)["messages"]:
            with open(message["path"], "rb") as source:
                content = source.read()
            found.append(content.replace(b"\n", b"\r\n") if message["lineEnds"] == "lf" else content)
        return sorted(found)


class Monitor:
    """Collects every event of a running station."""

    def __init__(self, path):
        self.events, self.total, self.fault = [], 0, None
        self.changed = threading.Condition()
        self.client = varlink.Client(path, timeout=None)
        self.stream = self.client.stream("Monitor")
        next(self.stream)      # the stream stands
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self):
        try:
            for answer in self.stream:
                if answer.get("event"):
                    with self.changed:
                        self.events.append(answer["event"])
                        self.total += 1
                        self.changed.notify_all()
        except (OSError, varlink.Closed, varlink.VarlinkError, ValueError):
            pass
        except AssertionError as fault:      # not as described: told at the end of the test
            self.fault = fault

    def stop(self):
        try:
            self.client.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.client.close()

    def count(self):
        with self.changed:
            return self.total

    def wait_more(self, seen, timeout):
        with self.changed:
            self.changed.wait_for(lambda: self.total > seen, timeout)

    def take(self, name, timeout, fields):
        def fits(event):
            return (event["event"] == name or name.endswith(".") and event["event"].startswith(name)) and \
                all(event.get(key, event.get("data", {}).get(key)) == value for key, value in fields.items())

        def find():
            return next((event for event in self.events if fits(event)), None)

        with self.changed:
            found = self.changed.wait_for(find, timeout)
            assert found, f"no event {name} {fields}; there were: " + \
                ", ".join(f"{event['event']} {event.get('account') or ''}" for event in self.events[-30:])
            self.events.remove(found)
            return found
