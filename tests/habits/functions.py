"""How long and how branched every function of the sources is: `python3 tests/habits/functions.py` prints the outliers and
fails where one is not in ACCEPTED, or where something in ACCEPTED is an outlier no longer. `--all` prints every function."""
import os
import re
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LINES_MOST = 50      # from the line of its name to its closing brace
BRANCHES_MOST = 15   # if, for, while, ?:, && and ||, and each case that has statements of its own

# "file function": why it may be longer or more branched than that.
ACCEPTED = {
}

BRANCH = re.compile(r"\b(?:if|for|while)\b|&&|\|\||\?")
CASE = re.compile(r"\b(?:case\b[^:;{}]*|default\s*):")
# Macros that loop.
LOOP = re.compile(r"\bjson_(?:array|object)_foreach(?:_safe)?\b")
KEYWORDS = {"if", "for", "while", "switch", "return", "sizeof", "do", "else"}


def blank(match):
    """As many lines as before, and nothing on them."""
    return "\n" * match.group().count("\n") or " "


def bare(text):
    """The code without comments, texts and preprocessor lines; its lines keep their numbers."""
    tokens = r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    text = re.sub(tokens, lambda m: blank(m) if m.group().startswith("/") else '""' if m.group()[0] == '"' else "0", text,
                  flags=re.S)
    return re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", blank, text, flags=re.M)


def closing(text, opening):
    """Where the brace or parenthesis that opens there is closed."""
    begins, depth = text[opening], 0
    for found in re.compile(r"[{}]" if begins == "{" else r"[()]").finditer(text, opening):
        depth += 1 if found.group() == begins else -1
        if depth == 0:
            return found.start()
    raise ValueError("unbalanced " + begins)


def branches(body):
    cases = [body[m.end():].lstrip() for m in CASE.finditer(body)]
    own = sum(1 for rest in cases if not CASE.match(rest))  # those that fall into the next one at once are one with it
    return len(BRANCH.findall(body)) + len(LOOP.findall(body)) + max(own - 1, 0)


def functions(path):
    """(name, first line, lines, branches) of each function that a file defines."""
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        text = bare(file.read())
    opens, at = re.compile(r"[{(]"), 0
    while found := opens.search(text, at):
        at = found.start()
        if text[at] == "{":  # the outside of functions: types, tables
            at = closing(text, at) + 1
            continue
        name = re.search(r"(\w+)\s*$", text[max(0, at - 100):at])
        end = closing(text, at)
        body = re.compile(r"[\s\w]*").match(text, end + 1).end()  # past attributes without parentheses
        if not name or name.group(1) in KEYWORDS or body >= len(text) or text[body] != "{":
            at = end + 1
            continue
        last = closing(text, body)
        first = text.count("\n", 0, at) + 1
        yield name.group(1), first, text.count("\n", 0, last) + 2 - first, branches(text[body:last])
        at = last + 1


def sources():
    for folder in ("common", "daemon", "ctl"):
        for place, _, names in os.walk(os.path.join(TOP, folder)):
            for name in names:
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(place, name), TOP)


def measured():
    return [(path, *function) for path in sorted(sources()) for function in functions(path)]


def outliers(all_of_them):
    return [one for one in all_of_them if one[3] > LINES_MOST or one[4] > BRANCHES_MOST]


def faults(all_of_them):
    """What is to be mended: sentences."""
    told = []
    found = {f"{path} {name}" for path, name, *_ in outliers(all_of_them)}
    for path, name, line, lines, count in outliers(all_of_them):
        if f"{path} {name}" not in ACCEPTED:
            told.append(f"{path}:{line}: {name} has {lines} lines and {count} branches (most: {LINES_MOST}, {BRANCHES_MOST})")
    told += [f"{name} is accepted in tests/habits/functions.py and is no outlier" for name in sorted(set(ACCEPTED) - found)]
    return told


def main():
    all_of_them = measured()
    if "--all" in sys.argv:
        for path, name, line, lines, count in all_of_them:
            print(lines, count, f"{path}:{line}", name)
        return 0
    for path, name, line, lines, count in outliers(all_of_them):
        print(f"{path}:{line}: {name}: {lines} lines, {count} branches: {ACCEPTED.get(f'{path} {name}', 'no reason given')}")
    told = faults(all_of_them)
    for one in told:
        print(one, file=sys.stderr)
    lengths, counts = sorted(one[3] for one in all_of_them), sorted(one[4] for one in all_of_them)
    at = len(all_of_them) * 9 // 10
    print(f"{len(all_of_them)} functions: nine of ten have at most {lengths[at]} lines and {counts[at]} branches; "
          f"the longest {lengths[-1]}, the most branched {counts[-1]}")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
