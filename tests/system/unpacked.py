# SPDX-License-Identifier: MIT
"""Mail servers whose packages cannot stand beside Dovecot's: unpacked by `make servers` into a folder of their own."""

import os

import pytest

import station

FOLDER = os.environ.get("EMAILSEC_SERVERS", os.path.join(station.ROOT, "build", "servers"))
LIBRARIES = "usr/lib/x86_64-linux-gnu", "usr/lib", "usr/lib/courier-authlib"


def folder(name, program):
    """Where that server was unpacked; skips the test when it was not."""
    found = os.path.join(FOLDER, name)
    if not os.path.exists(os.path.join(found, program)):
        pytest.skip(f"{name} is not unpacked in {FOLDER} (make servers)")
    return found


def library_path(found):
    return ":".join(os.path.join(found, part) for part in LIBRARIES)
