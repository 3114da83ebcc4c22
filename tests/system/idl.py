# SPDX-License-Identifier: MIT
"""The contract of the socket as data: parses the .varlink files, tells how a value departs from its type, and makes
values of a type. An independent reader: the daemon's own tables are held against it."""

import glob
import os
import re

COMMON = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "common")
_TOKEN = re.compile(r"\s*(->|\[\]|[?(),:]|[A-Za-z][A-Za-z0-9_.]*)")
BASIC = {"string": str, "int": int, "bool": bool, "object": object, "float": float}


class Type:
    """kind: basic, named, list, optional, enum or struct; `of` is what that needs."""

    def __init__(self, kind, of):
        self.kind, self.of = kind, of

    def __repr__(self):
        return f"{self.kind} {self.of!r}"


class Method:
    def __init__(self, name, takes, gives):
        self.name, self.takes, self.gives = name, takes, gives


class Interface:
    """types and methods by their short names; errors and events (of comments "# event NAME TYPE"): {name: type}."""

    def __init__(self, text):
        self._words, self.events = [], {}
        for name, data in re.findall(r"^# event (\S+) ([^(\n]+$|\([^)]*\))", text, re.M):
            self._split(data.replace("#", ""))
            self.events[name] = self._type()
        self._split(re.sub(r"#[^\n]*", "", text))
        self.types, self.methods, self.errors = {}, {}, {}
        assert self._take() == "interface"
        self.name = self._take()
        while self._words:
            what, name = self._take(), self._take()
            if what == "type":
                self.types[name] = self._type()
            elif what == "error":
                self.errors[name] = self._type()
            else:
                assert what == "method", what
                takes = self._type()
                assert self._take() == "->"
                self.methods[name] = Method(f"{self.name}.{name}", takes, self._type())

    def _split(self, text):
        at, text = 0, text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            assert match, f"not Varlink: {text[at:at + 40]!r}"
            self._words.append(match[1])
            at = match.end()

    def _take(self):
        return self._words.pop(0)

    def _type(self):
        word = self._take()
        if word == "?":
            return Type("optional", self._type())
        if word == "[]":
            return Type("list", self._type())
        if word != "(":
            return Type("basic", word) if word in BASIC else Type("named", word)
        fields, words = {}, []
        while self._words[0] != ")":
            name = self._take()
            if self._words[0] == ":":
                self._take()
                fields[name] = self._type()
            else:
                words.append(name)
            if self._words[0] == ",":
                self._take()
        self._take()
        return Type("enum", words) if words else Type("struct", fields)

    def problems(self, wanted, value, place="", home=None):
        """How a value departs from a type: sentences, none when it fits. What comes is noted in `delivered`, by the type
        (`home`) that declares it."""
        if wanted.kind == "optional":
            return [] if value is None else self.problems(wanted.of, value, place, home)
        home = home or place
        if wanted.kind == "named":
            return self.problems(self.types[wanted.of], value, place, f"{self.name}.{wanted.of}")
        if wanted.kind == "list":
            if not isinstance(value, list):
                return [f"{place}: no list but {value!r:.60}"]
            return [what for row, one in enumerate(value)
                    for what in self.problems(wanted.of, one, f"{place}[{row}]", home)]
        delivered.add(home)
        if wanted.kind == "enum":
            delivered.add(f"{home} {value}")
            return [] if value in wanted.of else [f"{place}: {value!r:.60} is none of {wanted.of}"]
        if wanted.kind == "struct":
            if not isinstance(value, dict):
                return [f"{place}: no object but {value!r:.60}"]
            found = [f"{place}.{name}: not declared" for name in value if name not in wanted.of]
            for name, kind in wanted.of.items():
                if name in value:
                    found += self.problems(kind, value[name], f"{place}.{name}", f"{home}.{name}")
                    if value[name] is not None:
                        delivered.add(f"{home}.{name}")
                elif kind.kind != "optional":
                    found.append(f"{place}.{name}: missing")
            return found
        if wanted.of == "object":
            return [] if value is not None else [f"{place}: null"]
        fits = isinstance(value, BASIC[wanted.of]) and not (wanted.of == "int" and isinstance(value, bool))
        return [] if fits else [f"{place}: {value!r:.60} is no {wanted.of}"]


# What has come in replies, errors and events of this process: "io.emailsec.Trust.Decision.by", and words of enums after it.
delivered = set()


def declared():
    """All that may come, in the form of `delivered`."""
    found = set()

    def add(interface, kind, home):
        while kind.kind in ("optional", "list"):
            kind = kind.of
        if kind.kind == "named":
            return
        found.add(home)
        if kind.kind == "enum":
            found.update(f"{home} {word}" for word in kind.of)
        if kind.kind == "struct":
            for name, inner in kind.of.items():
                found.add(f"{home}.{name}")
                add(interface, inner, f"{home}.{name}")

    for one in interfaces().values():
        groups = [(f"{one.name}.{name}", kind) for name, kind in [*one.types.items(), *one.errors.items()]]
        groups += [(f"{one.name}.{name}", method.gives) for name, method in one.methods.items()]
        groups += [(f"event {name}", kind) for name, kind in one.events.items()]
        for home, kind in groups:
            add(one, kind, home)
        found.update(f"event {name}" for name in one.events)
    return found


def interfaces():
    """{full name: Interface} of all the descriptions."""
    found = {}
    for path in sorted(glob.glob(os.path.join(COMMON, "*.varlink"))):
        with open(path) as source:
            one = Interface(source.read())
            found[one.name] = one
    return found


def method(full_name):
    """(interface, method) by its full name, or None."""
    name, _, short = full_name.rpartition(".")
    interface = interfaces().get(name)
    found = interface and interface.methods.get(short)
    return (interface, found) if found else None
