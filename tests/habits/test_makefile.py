"""What make builds again: asked with -n, so nothing is."""
import os
import re
import subprocess

import pytest

from test_habits import BUILD, TOP

FLAVOUR = os.environ.get("FLAVOUR", "plain")
HEADER = "common/properties.h"


def would_build(*words):
    """The objects that would be compiled, as names under the build folder."""
    # not under the rule of a make that runs this
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    done = subprocess.run(["make", "-n", f"FLAVOUR={FLAVOUR}", *words, "all"], cwd=TOP, capture_output=True, text=True,
                          env=environment)
    assert done.returncode == 0, done.stderr
    return set(re.findall(r" -o \S*?((?:common|daemon|ctl)/\S+\.o) ", done.stdout))


def objects_that_read(header):
    """By the text of the sources and headers themselves."""
    readers, todo = {header}, [header]
    files = [os.path.join(place, name) for top in ("common", "daemon", "ctl") for place, _, names in os.walk(f"{TOP}/{top}")
             for name in names if name.endswith((".c", ".h"))]
    texts = {os.path.relpath(path, TOP): open(path).read() for path in files}
    while todo:
        wanted = todo.pop()
        for path, text in texts.items():
            if path not in readers and f'#include "{wanted}"' in text:
                readers.add(path)
                todo.append(path)
    return {path[:-2] + ".o" for path in readers if path.endswith(".c")}


@pytest.fixture(scope="module", autouse=True)
def built():
    if would_build():
        pytest.skip("something is not built")


def test_a_header_builds_all_that_read_it():
    readers = objects_that_read(HEADER)
    assert len(readers) > 10
    assert readers <= would_build("-W", HEADER)


@pytest.mark.parametrize("name", (BUILD, os.path.relpath(BUILD, TOP)))
def test_whatever_the_build_folder_is_called(name):
    """An object compiled under one name of the folder knows its headers under the other."""
    assert would_build(f"BUILD={name}") == set()
    assert objects_that_read(HEADER) <= would_build(f"BUILD={name}", "-W", HEADER)


@pytest.mark.parametrize("change", ("CFLAGS=-O0", "CPPFLAGS=-DX", "CC=other-cc", "LDFLAGS=-s", "VERSION=9"))
def test_other_flags_build_all(change):
    everything = would_build("-B")
    assert len(everything) > 100 and would_build(change) == everything


def test_another_place_for_the_parts():
    assert would_build("pkglibdir=/elsewhere") == {"ctl/part_load.o"}
