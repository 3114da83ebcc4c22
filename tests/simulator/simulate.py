#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Histories of the simulated station.

  simulate.py SEED             one history, with its log
  simulate.py --for TIME       fresh seeds on all processors for so long (30s, 10m, 8h); the first that fails is made
                               smaller: features that it fails without are switched off, hours that it does not need left out
  simulate.py --seeds A..B     those alone
  simulate.py --for 5m --commit     as --for, with seeds that follow from the commit: the same for everybody who runs it

Exit status 0: nothing happened that may not; 1: something did, and the command that shows it was printed."""

import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import time
import zlib

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(TOP, "build", os.environ.get("FLAVOUR", "plain"), "tests/simulate")
HOURS = 200
PATIENCE = 1200  # s for one history
SUMMARY = re.compile(r"^seed (\d+): (.*); ([\d.]+) simulated hours, .* ([\d.]+) s of the processor, hash (\w+)$", re.M)
FEATURE = re.compile(r"^feature (\S+) on$", re.M)


class History:
    """What a run came to."""

    def __init__(self, seed, hours=HOURS, without=(), log=False, features=True, program=PROGRAM):
        self.seed, self.hours, self.without = seed, hours, tuple(without)
        self.arguments = ["--seed", str(seed), "--hours", str(hours)]
        for name in self.without:
            self.arguments += ["--without", name]
        environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:exitcode=99",
                           UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1")
        command = [program, *self.arguments, *(["--features"] if features else []), *(["--log"] if log else [])]
        try:
            done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
            self.text, self.code = done.stdout.decode("utf-8", "replace"), done.returncode
        except subprocess.TimeoutExpired:
            self.text, self.code = f"seed {seed}: has not come to its end within {PATIENCE} s\n", -1
        told = SUMMARY.search(self.text)
        self.what = told[2] if told else "the simulator itself has failed"
        self.simulated = float(told[3]) if told else 0.0
        self.processor = float(told[4]) if told else 0.0
        self.hash = told[5] if told else None

    @property
    def well(self):
        return self.code == 0

    @property
    def kind(self):
        """The invariant's name, or the kind of crash: what a smaller history must fail with as well."""
        return self.what.split(":")[0]

    @property
    def features(self):
        return FEATURE.findall(self.text)

    def command(self):
        flavour = os.environ.get("FLAVOUR", "plain")
        return " ".join([f"build/{flavour}/tests/simulate", *self.arguments, "--log"])


def made_smaller(failed, until):
    """The same failure with as few features and hours as can be found by trying each once."""
    def still(history):
        return not history.well and history.kind == failed.kind

    for name in failed.features:
        if time.monotonic() > until:
            return failed
        tried = History(failed.seed, failed.hours, (*failed.without, name))
        if still(tried):
            failed = tried
    hours = failed.hours
    while hours > 1 and time.monotonic() < until:
        hours //= 2
        tried = History(failed.seed, hours, failed.without)
        if not still(tried):
            break
        failed = tried
    return failed


def tell(failed):
    print(f"\nseed {failed.seed}: {failed.what}", flush=True)
    smaller = made_smaller(failed, time.monotonic() + 300)
    print(f"made smaller: {smaller.what}")
    print(f"  with {' '.join(smaller.features) or 'no feature'}")
    print(f"  {smaller.command()}")
    lines = History(smaller.seed, smaller.hours, smaller.without, log=True, features=False).text.splitlines()
    print("\n".join(["the end of its log:", *lines[-40:]]))


def run(seeds, seconds, jobs, hours):
    """Takes seeds in their order until the time is over or one fails."""
    until, simulated, processor, count, failed = time.monotonic() + seconds, 0.0, 0.0, 0, None
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        under_way = set()
        for seed in seeds:
            if failed or time.monotonic() > until:
                break
            under_way.add(pool.submit(History, seed, hours))
            if len(under_way) < jobs:
                continue
            done, under_way = concurrent.futures.wait(under_way, return_when=concurrent.futures.FIRST_COMPLETED)
            for one in (future.result() for future in done):
                simulated, processor, count = simulated + one.simulated, processor + one.processor, count + 1
                failed = failed or (None if one.well else one)
        for one in (future.result() for future in under_way):
            simulated, processor, count = simulated + one.simulated, processor + one.processor, count + 1
            failed = failed or (None if one.well else one)
    speed = f", {simulated / (processor / 60):.0f} hours a minute of the processor" if processor else ""
    print(f"{count} histories, {simulated / 8766:.2f} simulated years{speed}", flush=True)
    if failed:
        tell(failed)
    return 1 if failed else 0


def seed_of_commit():
    """Other histories for each state of the sources, the same ones for the same state."""
    sum_ = 0
    for folder, _, names in sorted(os.walk(os.path.join(TOP, "daemon"))):
        for name in sorted(names):
            with open(os.path.join(folder, name), "rb") as source:
                sum_ = zlib.crc32(source.read(), sum_)
    return sum_ * 1000


def seconds_of(text):
    number, unit = re.fullmatch(r"(\d+)([smh]?)", text).groups()
    return int(number) * {"": 1, "s": 1, "m": 60, "h": 3600}[unit]


def counting(first):
    while True:
        yield first
        first += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", nargs="?", type=int)
    parser.add_argument("--for", dest="time", type=seconds_of)
    parser.add_argument("--seeds", help="A..B")
    parser.add_argument("--first", type=int, help="the first of the fresh seeds; else by the hour")
    parser.add_argument("--commit", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--hours", type=int, default=HOURS)
    given = parser.parse_args()
    if given.seed is not None:
        history = History(given.seed, given.hours, log=True, features=False)
        sys.stdout.write(history.text)
        return 0 if history.well else 1
    if given.seeds:
        first, last = (int(number) for number in given.seeds.split(".."))
        return run(range(first, last + 1), float("inf"), given.jobs, given.hours)
    first = seed_of_commit() if given.commit else given.first
    if first is None:
        first = int(time.time()) * 1000 % 1_000_000_000_000
    print(f"seeds from {first} on", flush=True)
    return run(counting(first), given.time or 60, given.jobs, given.hours)


if __name__ == "__main__":
    sys.exit(main())
