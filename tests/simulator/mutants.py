#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Proof that the simulator finds faults: each patch in mutants/ puts one back, in a copy of the tree; histories are run until
one fails. Prints for each how much of one processor's time that took, and what was seen.

  mutants.py [NAME...] [--within SECONDS] [--hours H] [--jobs N]

Exit status 1: one was not found, does not apply or does not build."""

import argparse
import concurrent.futures
import glob
import os
import shutil
import subprocess
import sys
import threading

import simulate

TOP = simulate.TOP
FLAVOUR = os.environ.get("FLAVOUR", "plain")
TREE = os.path.join(TOP, "build/mutants", FLAVOUR)
PROGRAM = os.path.join(TREE, "build", FLAVOUR, "tests/simulate")


def prepare():
    """A copy of the sources with all that is built, so that a mutant is one file to compile."""
    shutil.rmtree(TREE, ignore_errors=True)
    names = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, stdout=subprocess.PIPE, check=True).stdout.split(b"\0")
    for name in (one.decode() for one in names if one):
        if name.startswith(("common/", "daemon/", "ctl/", "tests/simulator/", "conf/", "Makefile", "man/")):
            os.makedirs(os.path.dirname(os.path.join(TREE, name)), exist_ok=True)
            shutil.copy2(os.path.join(TOP, name), os.path.join(TREE, name))
    shutil.copytree(os.path.join(TOP, "build", FLAVOUR), os.path.join(TREE, "build", FLAVOUR), symlinks=True,
                    ignore=shutil.ignore_patterns("fuzz", "bench"))


def make():
    return subprocess.run(["make", f"FLAVOUR={FLAVOUR}", f"build/{FLAVOUR}/tests/simulate"], cwd=TREE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)


def patch(path, *options):
    done = subprocess.run(["patch", "-p1", "-s", "--force", *options, "-i", path], cwd=TREE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    return done.returncode == 0


class Search:
    """Histories by their seeds, until one fails or they have had so many seconds of a processor."""

    def __init__(self, within, hours):
        self.within, self.hours, self.spent, self.seen, self.lock = within, hours, 0.0, None, threading.Lock()

    def over(self):
        return self.seen is not None or self.spent >= self.within

    def one(self, seed):
        if self.over():
            return
        history = simulate.History(seed, self.hours, features=False, program=PROGRAM)
        with self.lock:
            self.spent += history.processor
            if not history.well and self.seen is None:
                self.seen = f"seed {seed}: {history.what}"

    def run(self, jobs):
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            list(pool.map(self.one, range(1, 1000)))


def proven(path, given):
    name = os.path.basename(path).removesuffix(".patch")
    if not patch(path):
        print(f"{name}: does not apply")
        return False
    try:
        built = make()
        if built.returncode != 0:
            print(f"{name}: does not build\n{built.stdout.decode()[-2000:]}")
            return False
        search = Search(given.within, given.hours)
        search.run(given.jobs)
    finally:
        patch(path, "-R")
    said = f"found after {search.spent:.0f} s: {search.seen}" if search.seen else f"NOT FOUND in {search.spent:.0f} s"
    print(f"{name}: {said}", flush=True)
    return search.seen is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--within", type=int, default=120, help="seconds of a processor")
    parser.add_argument("--hours", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    given = parser.parse_args()
    patches = sorted(glob.glob(os.path.join(TOP, "tests/simulator/mutants/*.patch")))
    wanted = [path for path in patches if not given.names or os.path.basename(path).removesuffix(".patch") in given.names]
    prepare()
    results = [proven(path, given) for path in wanted]
    print(f"{sum(results)} of {len(results)} found")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
