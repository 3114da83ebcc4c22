"""Circles among the files as they are linked: worked out from the symbols of the built objects.

A file that calls one that calls it back cannot be read, tested or replaced alone. A few files may belong together like
that; more than CIRCLE_MOST are one file in pieces. A dispatch table names the functions of all files it leads to: it is
left out, with the reason it is one.
"""
import collections
import glob
import os
import subprocess
import sys

import pytest

from test_habits import BUILD, TOP

CIRCLE_MOST = 4

TABLES = {
    "daemon/control/methods": "METHODS: the handlers, which answer by the call that found them",
    "ctl/commands": "COMMANDS: what each does, whose help is read from it",
}
# Archives below each other; what is in none of them is main's alone.
PROGRAMS = {"emailsecd": ("common", "daemon"), "emailsecctl": ("common", "ctl")}


def calls(folders):
    """{file: {file: symbols}} of the objects of these folders whose source is there."""
    objects = [path for folder in folders for path in glob.glob(f"{BUILD}/{folder}/**/*.o", recursive=True)
               if os.path.exists(os.path.join(TOP, os.path.relpath(path, BUILD)[:-2] + ".c"))]
    told = subprocess.run(["nm", "-A", "-g", "--", *objects], capture_output=True, text=True, check=True).stdout
    defined, wanted = {}, collections.defaultdict(set)
    for line in told.splitlines():
        path, rest = line.split(":", 1)
        file, words = os.path.relpath(path, BUILD)[:-2], rest.split()
        if words[0] == "U":
            wanted[file].add(words[1])
        elif words[-2] not in "wv":
            defined[words[-1]] = file
    graph = {os.path.relpath(path, BUILD)[:-2]: collections.defaultdict(set) for path in objects}
    for file, symbols in wanted.items():
        for symbol in symbols:
            if defined.get(symbol, file) != file:
                graph[file][defined[symbol]].add(symbol)
    return graph


def circles(graph):
    """Tarjan's strongly connected components of more than one file."""
    number, low, stack, found = {}, {}, [], []

    def visit(file):
        number[file] = low[file] = len(number)
        stack.append(file)
        for other in graph[file]:
            if other not in graph:
                continue
            if other not in number:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], number[other])
        if low[file] == number[file]:
            at = stack.index(file)
            circle = sorted(stack[at:])
            del stack[at:]
            if len(circle) > 1:
                found.append(circle)

    sys.setrecursionlimit(10000)
    for file in graph:
        if file not in number:
            visit(file)
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_large_circle(program):
    graph = calls(PROGRAMS[program])
    if not graph:
        pytest.skip("nothing is built")
    for table in TABLES:
        graph.pop(table, None)
    large = {}
    for circle in circles(graph):
        if len(circle) > CIRCLE_MOST:
            large["  ".join(circle)] = [f"{file} -> {other}: {' '.join(sorted(symbols))}" for file in circle
                                        for other, symbols in graph[file].items() if other in circle]
    assert large == {}


def test_the_tables_are_there():
    assert [table for table in TABLES if not os.path.exists(os.path.join(TOP, table + ".c"))] == []


def test_what_a_circle_is():
    graph = {"a": {"b": {"f"}}, "b": {"c": {"g"}, "gone": {"x"}}, "c": {"a": {"h"}}, "d": {"a": {"f"}}}
    assert circles(graph) == [["a", "b", "c"]]
