# SPDX-License-Identifier: MIT
"""Functions of a test that other local users run, each in a process of its own."""

import os
import signal
import traceback


class AsUser:
    """with AsUser(uid, function, *args): it has called `ready()` (its first argument) and goes on until the end of the
    block, where it is killed unless it has ended by itself."""

    def __init__(self, uid, function, *args, gid=None, groups=()):
        here, there = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(here)
            self._run(there, uid, uid if gid is None else gid, groups, function, args)
        os.close(there)
        self.pipe = os.fdopen(here, "rb")

    @staticmethod
    def _run(there, uid, gid, groups, function, args):
        status = 1
        try:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            os.setgroups(list(groups))
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            function(lambda words=b"": os.write(there, words + b"\n"), *args)
            status = 0
        except BaseException:  # nothing of the tests may go on here
            traceback.print_exc()
        finally:
            os._exit(status)

    def __enter__(self):
        self.said = self.pipe.readline().strip()
        return self

    def __exit__(self, *_):
        self.pipe.close()
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self.pid, 0)

    def result(self):
        """All it says, at its end."""
        words = self.pipe.read()
        self.pipe.close()
        _, status = os.waitpid(self.pid, 0)
        assert status == 0, f"ended with {status}"
        return words.strip()


def run_as(uid, function, *args, gid=None, groups=()):
    """Runs it to its end; what it said."""
    return AsUser(uid, function, *args, gid=gid, groups=groups).result()
