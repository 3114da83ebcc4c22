"""The page for Cockpit, held against the contracts that it uses: the socket, its translations, its own rules."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from test_habits import TOP, read

sys.path[:0] = [os.path.join(TOP, "tests", "system"), os.path.join(TOP, "ctl", "cockpit", "po")]
import idl      # noqa: E402  (the path comes first)
import po2js    # noqa: E402

PAGE = os.path.join("ctl", "cockpit")
SCRIPTS = sorted(os.path.basename(path) for path in glob.glob(os.path.join(TOP, PAGE, "*.js")))
OWN = [name for name in SCRIPTS if not name.startswith("po.")]
LITERAL = r'"((?:[^"\\]|\\.)*)"'


def source(name):
    return read(os.path.join(PAGE, name))


def code(name):
    """Without comments; texts stay."""
    return re.sub(r"/\*.*?\*/", "", source(name), flags=re.S)


def closing(text, at):
    """Where the bracket at `at` is closed."""
    depth, quote = 0, ""
    while True:
        one = text[at]
        if quote:
            if one == "\\":
                at += 1
            elif one == quote:
                quote = ""
        elif one in "\"'`":
            quote = one
        elif one in "([{":
            depth += 1
        elif one in ")]}":
            depth -= 1
            if depth == 0:
                return at
        at += 1


def keys(text):
    """The names that an object literal "{ a, b: c, ... }" has at its first level."""
    found, at, start = [], 1, 1
    parts = []
    while at < len(text) - 1:
        if text[at] in "([{":
            at = closing(text, at)
        elif text[at] == ",":
            parts.append(text[start:at])
            start = at + 1
        at += 1
    parts.append(text[start:len(text) - 1])
    for part in parts:
        if part.strip():
            found.append(re.match(r"\s*(\w+)", part)[1])
    return found


def calls():
    """(file, full name of the method, names of its parameters), of every call of the page."""
    for name in OWN:
        text = code(name)
        for found in re.finditer(r"\b(service|trust|serviceStream)\(\s*\"(\w+)\"\s*(,?)", text):
            interface = "io.emailsec.Trust" if found[1] == "trust" else "io.emailsec.EmailService"
            given = re.match(r"\s*\{", text[found.end():])
            at = found.end() + given.end() - 1 if given else None
            yield name, f"{interface}.{found[2]}", keys(text[at:closing(text, at) + 1]) if given else None, found[1]


def test_every_call_is_in_the_contract():
    wrong, seen = [], 0
    for name, method, given, how in calls():
        seen += 1
        known = idl.method(method)
        if not known:
            wrong.append(f"{name}: there is no {method}")
            continue
        takes = known[1].takes.of
        if given is None:
            wrong.append(f"{name}: {method} has no literal parameters")
            continue
        wrong += [f"{name}: {method} takes no {one}" for one in given if one not in takes]
        wrong += [f"{name}: {method} needs {one}" for one, kind in takes.items() if kind.kind != "optional" and one not in given]
    assert not wrong
    assert seen > 30


def test_every_event_is_in_the_contract():
    events = {event for interface in idl.interfaces().values() for event in interface.events}
    rooms = {event.split(".")[0] for event in events}
    for name in OWN:
        for word in re.findall(r'"([a-z]+\.[a-zA-Z]*)"', code(name)):
            if word.split(".")[0] in rooms:
                assert any(event.startswith(word) for event in events), f"{name}: no event begins with {word}"


def test_every_remedy_is_told_by_somebody():
    """A row of remedies.js stands for a command that the daemon's sentences name."""
    told = "".join(re.sub(r'"\s*"', "", read(os.path.relpath(path, TOP)))
                   for folder in ("common", "daemon") for path in glob.glob(os.path.join(TOP, folder, "**", "*.c"), recursive=True))
    rows = re.findall(r"command: /(.*)/,", code("remedies.js"))
    assert len(rows) > 10
    told = told.replace("challenge show %s", "challenge show 0123abcd")
    assert [row for row in rows if not re.search(row, told)] == []


@pytest.mark.parametrize("name", OWN)
def test_peer_text_stays_text(name):
    """No way from a text to markup, code or style."""
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|"
                      r"\beval\b|new Function|javascript:|\bstyle:|\.style(?:\.|\s*=)", code(name)) == []


def test_the_policy_is_strict():
    page = source("index.html")
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page) == []
    policy = re.search(r'"content-security-policy": "([^"]*)"', source("manifest.json"))[1]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "style-src 'self';" in policy
    assert "unsafe" not in policy and "*" not in policy


def strings():
    """{text: file} of what is shown and can be translated."""
    found = {}
    for name in OWN:
        text = code(name)
        found.update({one: name for one in re.findall(r"\b_\(\s*" + LITERAL, text)})
        found.update({one: name for one in re.findall(r"\bngettext\(\s*" + LITERAL, text)})
        computed = [one for one in re.findall(r"\b_\(\s*([^\"\s][^)]*)\)", text) if not re.match(r"(group\.title|property\.help|one\.help)$", one)]
        assert computed == [], f"{name}: not found by who translates"
    label = re.search(r'"label": "([^"]*)"', source("manifest.json"))[1]
    return {**found, label: "manifest.json"}


@pytest.mark.parametrize("language", sorted(os.path.basename(path)[:-3] for path in glob.glob(os.path.join(TOP, PAGE, "po", "*.po"))))
def test_translation_is_whole(language):
    text = source(f"po/{language}.po")
    rows = dict(po2js.entries(text))
    del rows[""]
    assert [f"{name}: {one}" for one, name in strings().items() if not all(rows.get(one, [""]))] == []
    for one, words in rows.items():
        for word in words:
            assert sorted(set(re.findall(r"\$\d", one))) == sorted(set(re.findall(r"\$\d", word))), one
    assert po2js.script(text) == source(f"po.{language}.js"), f"po/po2js.py po/{language}.po >po.{language}.js"


@pytest.mark.parametrize("name", OWN)
def test_file_has_its_charter_and_size(name):
    text = source(name)
    assert re.match(r"/\* SPDX-License-Identifier: MIT \*/\n/\* [A-Z]", text), "no charter"
    assert text.count("\n") <= 300
    assert [line for line in text.splitlines() if len(line) > 120 and not re.search(r'"[^"]{60,}"', line)] == []


@pytest.mark.parametrize("name", OWN)
def test_imports_are_there(name):
    for names, other in re.findall(r'import \{([^}]*)\} from "\./([\w.]+)"', code(name)):
        for one in re.findall(r"\w+", names):
            assert re.search(r"export (?:async )?(?:function|class|const) " + one + r"\b", source(other)), f"{other} has no {one}"


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_scripts_parse():
    for name in OWN:
        done = subprocess.run(["node", "--check", "--input-type=module"], input=source(name), capture_output=True, text=True)
        assert done.returncode == 0, f"{name}: {done.stderr}"


# The browser, as far as buttons need it; each line is what a click on the buttons of a remedy leads to.
CLICKS = """
globalThis.cockpit = { gettext: text => text, format: text => text, location: { go: path => gone.push(path) } };
globalThis.Node = class {};
globalThis.document = { createTextNode: text => text,
    createElement: () => Object.assign(new Node(), { append() {}, setAttribute() {} }) };
const { remedyButtons } = await import("./remedies.js"), { station } = await import("./station.js");
let gone = [];
station.status = { accounts: JSON.parse(process.argv[2]).map(name => ({ name })) };
for (const [text, name] of JSON.parse(process.argv[3])) {
    gone = [];
    remedyButtons(text, name).forEach(node => node.onclick());
    console.log(JSON.stringify(gone));
}
"""
SET = "emailsecctl account set "


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_a_remedy_acts_on_the_account_that_it_names(tmp_path):
    for name in OWN:
        shutil.copy(os.path.join(TOP, PAGE, name), tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "clicks.js").write_text(CLICKS)
    cases = [(SET + "NAME from=ADDRESS", "a", "a"), ("do it: " + SET + "NAME, then wait", "a", "a"), (SET + "NAME", None, None),
             (SET + "b from=ADDRESS", "a", "b"), (SET + "b; then wait", None, "b"), (SET + "c.", "a", "c."),
             (SET + "gone from=ADDRESS", "a", None), (SET + "gone.", "a", None), (SET + "d.", "a", None), (SET + "new x=y", "new", "new")]
    done = subprocess.run(["node", "clicks.js", json.dumps(["a", "b", "c.", "d", "d.", "NAMES"]), json.dumps([case[:2] for case in cases])],
                          cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[["accounts", to]] if to else [] for _, _, to in cases]
