"""Comments and papers name what is there: files, functions and structs that have gone or were renamed are found."""
import glob
import os
import re

from test_habits import TOP

FOLDERS = ("common", "ctl", "daemon", "tests")
# Of libraries and the system; NAME stands for any.
FOREIGN = {"sysexits.h", "ssl.h", "fuzz_NAME.c", "test_NAME.c"}


def texts():
    """{path: text} of all C and of the papers beside it."""
    paths = [path for folder in FOLDERS for end in "ch" for path in glob.glob(f"{TOP}/{folder}/**/*.{end}", recursive=True)]
    paths += glob.glob(f"{TOP}/*.md") + [f"{TOP}/Makefile"]
    return {os.path.relpath(path, TOP): open(path, errors="replace").read() for path in paths}


def test_comments_name_what_is_there():
    all_texts = texts()
    files = {os.path.basename(path) for path in all_texts} | FOREIGN
    code, said = set(), []
    for path, text in all_texts.items():
        is_c = path.endswith((".c", ".h"))
        said.append((path, " ".join(re.findall(r"/\*.*?\*/", text, re.S)) if is_c else text))
        if is_c:
            code.update(re.findall(r"\w+", re.sub(r"/\*.*?\*/", " ", text, flags=re.S)))
    stale = []
    for path, text in said:
        stale += [f"{path}: {name}" for name in re.findall(r"(?<![\w/.-])((?:\w+/)*\w+\.[ch])\b", text)
                  if os.path.basename(name) not in files]
        stale += [f"{path}: {name}()" for name in re.findall(r"\b([a-z]+_[a-z_0-9]+)\(\)", text) if name not in code]
        stale += [f"{path}: struct {name}" for name in re.findall(r"\bstruct ([a-z_]+)\b", text) if name not in code]
    assert not stale, "named, and not there:\n" + "\n".join(sorted(set(stale)))
