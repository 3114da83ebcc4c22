# SPDX-License-Identifier: MIT
"""The faults in tests/simulator/mutants/ can still be put back: a patch that does not apply proves nothing any more."""
import glob
import os
import subprocess

import pytest

from test_habits import TOP

PATCHES = sorted(glob.glob(f"{TOP}/tests/simulator/mutants/*.patch"))


def test_there_are_mutants():
    assert len(PATCHES) >= 12


@pytest.mark.parametrize("patch", PATCHES, ids=os.path.basename)
def test_mutant_applies(patch):
    done = subprocess.run(["patch", "-p1", "--dry-run", "--force", "--fuzz=0", "-d", TOP, "-i", patch], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
