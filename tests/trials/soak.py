#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the trials one after the other, two at a time, each with a fresh seed, until the time is over; ends with the first
that fails and the command that repeats it.

    soak.py TIME            for so long: 90, 30m, 8h
    soak.py --once          each once, as long as CI has time for; the seed is the commit's, so that a change is tried in
                            the same way again

The daemons are those of FLAVOUR; torture needs the plain one and is left out of others."""

import os
import random
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FLAVOUR = os.environ.get("FLAVOUR", "plain")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# name: seconds of a round, seconds in CI by flavour (none: not there)
TRIALS = {"cut_anywhere": (180, {"asan": 180, "tsan": 45}), "socket_fuzz": (120, {"asan": 120}),
          "torture": (300, {"plain": 120})}
AT_ONCE = 2


def seconds_of(text):
    return float(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else float(text)


def seed_of_commit():
    """A number that is the commit's, or any where there is none."""
    said = subprocess.run(["git", "-C", HERE, "rev-parse", "--short=8", "HEAD"], capture_output=True, text=True, check=False)
    return int(said.stdout.strip()[:8], 16) if said.returncode == 0 else None


class Round:
    def __init__(self, name, seconds, seed=None):
        seed = seed if seed is not None else random.SystemRandom().randrange(1 << 32)
        self.command = [sys.executable, os.path.join(HERE, name + ".py"), "--seconds", f"{seconds:g}", "--seed", str(seed)]
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, stdout=self.output, stderr=subprocess.STDOUT)

    def ended(self):
        return self.process.poll() is not None

    def tell(self):
        """What it said; False when it failed."""
        self.output.seek(0)
        said = self.output.read().decode(errors="replace")
        good = self.process.returncode == 0
        print(said if len(said) < 20000 else said[:4000] + "\n[...]\n" + said[-14000:], end="", flush=True)
        if not good:
            print(f"FAILED ({self.process.returncode}). Again: FLAVOUR={FLAVOUR} {' '.join(self.command)}", flush=True)
        return good


def rounds(until):
    """Those of CI, or for ever in turn until the time is over."""
    if until is None:
        yield from ((name, row[1][FLAVOUR], seed_of_commit()) for name, row in TRIALS.items() if FLAVOUR in row[1])
        return
    while time.monotonic() < until:
        for name, row in TRIALS.items():
            left = until - time.monotonic()
            if left > 0 and (FLAVOUR == "plain" or name != "torture"):
                yield name, min(row[0], max(10, left))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    until = None if sys.argv[1] == "--once" else time.monotonic() + seconds_of(sys.argv[1])
    waiting, running, done, good = rounds(until), [], 0, True
    following = next(waiting, None)
    try:
        while running or (following and good):
            if following and good and len(running) < AT_ONCE:
                running.append(Round(*following))
                following = next(waiting, None)
                continue
            for one in [one for one in running if one.ended()]:
                running.remove(one)
                good = one.tell() and good
                done += 1
            time.sleep(0.2)
    finally:
        for one in running:
            one.process.terminate()
    print(f"soak: {done} rounds, {'all well' if good else 'one failed'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
