# SPDX-License-Identifier: MIT
"""Processes below a server that a test started."""

import contextlib
import os
import signal


def _parent_and_name(pid):
    with open(f"/proc/{pid}/stat") as source:
        text = source.read()
    name, rest = text[text.index("(") + 1:].rsplit(")", 1)
    return int(rest.split()[1]), name


def children(parent, *names):
    """Its direct children of those names: [(pid, what ps shows)]."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            its_parent, name = _parent_and_name(pid)
            if its_parent == parent and name in names:
                with open(f"/proc/{pid}/cmdline", errors="replace") as source:
                    found.append((int(pid), source.read().replace("\0", " ")))
        except (OSError, ValueError):
            pass    # it ended meanwhile
    return found


def end(pids, how=signal.SIGTERM):
    """Ends those of them that have not ended meanwhile."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)


def end_children(parent, *names, how=signal.SIGTERM, titled=""):
    """Ends its direct children of those names, of them those whose title has that: their clients are cut off, the
    parent makes new ones."""
    end((pid for pid, title in children(parent, *names) if titled in title), how)
