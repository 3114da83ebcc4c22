"""Commands that are written down somewhere, held against the tool: examples, documents, remedies, help, completion."""
import glob
import json
import os
import re
import shlex
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(TOP, "build", os.environ.get("FLAVOUR", "plain"), "emailsecctl")


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        return file.read()


def tool(*words, data=""):
    """No daemon, and no journalctl or ssh: nothing but the command line is judged."""
    env = {"LC_ALL": "C.UTF-8", "EMAILSEC_SOCKET": "/nonexistent", "PATH": "/nonexistent"}
    return subprocess.run([TOOL, *words], input=data, capture_output=True, text=True, env=env, timeout=30, check=False)


def command_lines(text):
    """What stands behind "emailsecctl" and can be typed as it is; up to what the shell ends a command by."""
    for found in re.findall(r"(?<![\w/.-])emailsecctl ([^\n]*)", text.replace("\\\n", " ")):
        yield re.split(r"\s*(?:[;|`]|#|\s-- |<)", found, maxsplit=1)[0].strip().rstrip(".,:)`\"'")


def accepted(line):
    """Exit status of the tool for it: 2, or 64 of sendmail, where it is no command line."""
    line = re.sub(r"\{\{[^}]*\}\}", "alarms", line)
    line = line.replace("ssl|starttls|none", "ssl").replace("ssl|starttls", "ssl").replace("...", "")
    if re.match(r"(challenge|allowed) (accept|approve) ", line) and "--fingerprint" not in line:
        line += " --fingerprint " + "ab" * 32  # asked for on a terminal
    done = tool(*shlex.split(line), data="x\n")
    return done.returncode not in (2, 64), done


@pytest.mark.parametrize("path", ["conf/emailsec-alerts.yml", "conf/emailsec-dashboard.json", "conf/root-only.conf"])
def test_example_commands_run(path):
    text = read(path)
    if path.endswith(".json"):
        text = "\n".join(str(value) for value in texts_in(json.loads(text)))
    for line in command_lines(text.replace('"\n', "\n")):
        well, done = accepted(line)
        assert well, (line, done.stderr)


def texts_in(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from texts_in(one)
    elif isinstance(value, str):
        yield value


def test_the_alerts_have_commands():
    lines = list(command_lines(read("conf/emailsec-alerts.yml")))
    assert len(lines) >= 6 and any(line.startswith("queue list ") for line in lines)


def test_commands_of_the_readme_run():
    """In its blocks; where the words in capitals stand for something they stand for a word."""
    blocks = re.findall(r"^ {4}((?:.*\\\n)*.*)$", read("README.md"), re.M)
    lines = [line for block in blocks for line in command_lines(block)]
    assert len(lines) > 10
    for line in lines:
        well, done = accepted(re.sub(r"\[(--port) N\]", r"\1 465", line))
        assert well, (line, done.stderr)


@pytest.mark.parametrize("path", sorted(os.path.relpath(p, TOP) for p in glob.glob(os.path.join(TOP, "man", "*.[1-9]"))))
def test_commands_of_the_manual_run(path):
    """In its literal blocks."""
    blocks = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", read(path), re.M | re.S)
    for line in (line for block in blocks for line in command_lines(block.replace("\\e\n", " ").replace("\\-", "-"))):
        well, done = accepted(line)
        assert well, (line, done.stderr)


def table():
    """{words: (what follows them, [options with dashes])} as help has it."""
    rows = {}
    for line in tool("--help").stdout.split("\nOptions:")[0].splitlines():
        found = re.match(r"  ([a-z]+(?: [a-z-]+)?)(?: ((?:\[?[A-Z(]|[a-z]+\|)\S*.*?|\.\.\.))?(?:  |$)", line)
        if found and found[1] != "sendmail":
            help_text = tool(*found[1].split(), "--help").stdout.split("Options of every command")[0]
            rows[found[1]] = (found[2] or "", set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", help_text, re.M)))
    return rows


def manual_rows():
    """The same of emailsecctl(1): {words: [options]}, an option belonging to the command above it."""
    rows, current = {}, None
    for line in read("man/emailsecctl.1").replace("\\-", "-").splitlines():
        command = re.match(r"\.It Ic ([a-z]+(?: [a-z-]+)?)(?: (?:Oo|Ar|Op|Cm|Fl)|$)", line)
        if command:
            current = rows.setdefault(command[1], set())
        elif line.startswith(".It Fl") and current is not None:
            current |= {"-" + name for name in re.findall(r"Fl (-[a-z-]+)", line)}
        elif line.startswith(".Sh "):
            current = None
    return rows


def test_help_manual_and_completion_agree():
    """In both directions: a command, or an option of one, is in all three or in none."""
    commands, manual = table(), manual_rows()
    assert len(commands) > 45
    assert set(commands) == set(manual) - {"sendmail"}
    general = {word.split("\t")[0] for word in tool("complete", "--", "--").stdout.splitlines()}
    groups = {}
    for words, (_, options) in commands.items():
        offered = {line.split("\t")[0] for line in tool("complete", "--", *words.split(), "--").stdout.splitlines()}
        assert offered - general == options, words
        shared = options if words == "allowed approve" else manual[words]  # "with the options of challenge accept"
        inline = set() if words != "challenge reject" else {"--reason"}
        assert options == shared | inline, words
        first, _, second = words.partition(" ")
        groups.setdefault(first, set()).add(second)
    assert {line.split("\t")[0] for line in tool("complete", "--", "").stdout.splitlines()} == set(groups) | {"sendmail"}
    for first, seconds in groups.items():
        if seconds != {""}:
            assert {line.split("\t")[0] for line in tool("complete", "--", first, "").stdout.splitlines()} == seconds


# About the program, no command of it.
PROSE = {"again", "again; the library %s must be there", "talks to", "--help"}


def c_texts(path):
    """The texts of a C file, those that follow each other joined."""
    text = re.sub(r"/\*.*?\*/", "", read(path), flags=re.S)
    for run in re.findall(r'"(?:\\.|[^"\\])*"(?:\s*"(?:\\.|[^"\\])*")*', text):
        yield "".join(re.findall(r'"((?:\\.|[^"\\])*)"', run)).replace("\\n", " ")


def test_commands_in_what_is_told_are_there():
    """Of every remedy, warning and sentence of the sources: the command, and each of its options."""
    commands, wrong, seen = table(), [], 0
    general = set(re.findall(r"--[a-z-]+", tool("--help").stdout.split("\nOptions:")[1]))
    for path in sorted(glob.glob(os.path.join(TOP, "**", "*.c"), recursive=True)):
        path = os.path.relpath(path, TOP)
        if not path.startswith(("common/", "daemon/", "ctl/")):
            continue
        for text in c_texts(path):
            for rest in re.findall(r"emailsecctl ([a-z][^;]*)", text):
                words = rest.split()
                two, one = " ".join(words[:2]).rstrip(".,:)'`"), words[0].rstrip(".,:)'`")
                command = two if two in commands else one
                seen += 1
                if command in ("sendmail", "account,") or rest in PROSE:
                    continue
                if command not in commands:
                    if not (command == "account" and "queue, challenge" in rest):
                        wrong.append((path, rest))
                    continue
                own = re.split(r"[,)]| \| |: |emailsecctl", rest)[0]
                wrong += [(path, rest, option) for option in re.findall(r"--[a-z-]+", own)
                          if option not in commands[command][1] | general]
    assert wrong == [] and seen > 60


def test_properties_and_settings_in_what_is_told_are_there():
    """Of the same sentences: what is set by a command is a property, what stands in emailsecd.conf a setting."""
    properties = set(re.findall(r'\.name = "(\w+)"', read("common/properties.c")))
    settings = set(re.findall(r'\{ \{ "\w+", "(\w+)",', read("daemon/settings.c")))
    assert len(properties) > 60 and len(settings) > 20
    seen = [0, 0]
    for path in sorted(glob.glob(os.path.join(TOP, "**", "*.c"), recursive=True)):
        path = os.path.relpath(path, TOP)
        if not path.startswith(("common/", "daemon/", "ctl/")):
            continue
        for text in c_texts(path):
            for name in re.findall(r"(?:account set [A-Z%]\S* |the property )([a-z]\w+)(?:=|\b)(?!%)", text):
                seen[0] += 1
                assert name in properties or name == "sheet", (path, name, text)
            for name in re.findall(r"\b([A-Z]\w+)=(?: in (?:\[\w+\] of )?emailsecd\.conf)", text):
                seen[1] += 1
                assert name in settings, (path, text)
    assert seen[0] > 20 and seen[1] > 5, seen


def test_words_of_others_lead_to_commands_that_are_there():
    """Each row of the table of other programs' words: what is offered can be typed."""
    commands, text = table(), read("ctl/meant.c")
    rows = re.findall(r'\{ "([a-z0-9-]+)", "([a-z]*|\*)", "([^"]+)" \}', text)
    assert len(rows) > 200 and len({row[:2] for row in rows}) == len(rows), "twice"
    general = set(re.findall(r"--[a-z-]+", tool("--help").stdout.split("\nOptions:")[1]))
    for word, group, meant in rows:
        if group == "*":
            assert any(words.endswith(" " + meant) for words in commands), word
            continue
        for one in meant.split("' or '"):
            words = f"{group} {one}" if group else one
            name, *options = words.split(" --")
            if words.startswith("systemctl ") or words in general or words == "help":
                continue
            assert name in commands or name == "sendmail", (word, words)
            assert all("--" + option in commands[name][1] for option in options), (word, words)
        first = f"{group} {word}" if group else word
        assert first not in commands, f"{first} is a command here"


def test_the_page_of_faults_names_tests_that_exist():
    """In both directions: each row has its test, each test of faults is on the page."""
    page, tests = read("tests/field/people.md"), read("tests/system/test_people.py")
    rows = re.findall(r"^\|.*\| (?:`accounts:` )?(\w+) \|$", page, re.M)
    there = set(re.findall(r"^def test_(\w+)", tests, re.M))
    assert set(rows) - there - {"test"} == {"a_look_at_a_certificate_says_how_it_is_accepted"}
    assert there - set(rows) == {"a_slip_at_the_command_line", "a_name_that_is_none"}
    for name in re.findall(r"\(`(\w+)`(?:, `(\w+)`)?\)", page):
        assert all(os.path.exists(os.path.join(TOP, "tests/system", f"test_{one}.py")) for one in name if one), name
