#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""po.LANG.js, which Cockpit loads for its user's language, from po/LANG.po: po2js.py de.po >../po.de.js. It is kept in
the tree, so that the page needs no build; a test holds the two against each other."""

import json
import re
import sys


def entries(text):
    """[(msgid, [msgstr, ...])] of a PO file, its head among them as the one of ""."""
    found, field = [], None
    for line in text.splitlines():
        match = re.match(r'(msgid|msgid_plural|msgstr(?:\[\d\])?)\s+(".*")$', line)
        if match:
            field, words = match[1], json.loads(match[2])
            if field == "msgid":
                found.append((words, []))
            elif field != "msgid_plural":
                found[-1][1].append(words)
        elif line.startswith('"'):
            if field == "msgid":
                found[-1] = (found[-1][0] + json.loads(line), [])
            elif field != "msgid_plural":
                found[-1][1][-1] += json.loads(line)
    return found


def script(text):
    rows = entries(text)
    head = dict(line.split(": ", 1) for line in rows[0][1][0].splitlines())
    plural = re.search(r"plural=([^;]*);", head["Plural-Forms"])[1].strip()
    assert re.fullmatch(r"[n0-9()<>=!&|?:% ]+", plural), plural
    out = ["/* SPDX-License-Identifier: MIT */", "/* Made from po/%s.po by po/po2js.py. */" % head["Language"], "cockpit.locale({",
           '    "": {', '        "plural-forms": n => %s,' % plural, '        "language": "%s",' % head["Language"],
           '        "language-direction": "ltr"', "    },"]
    out += ["    %s: %s," % (json.dumps(one, ensure_ascii=False), json.dumps([None, *words], ensure_ascii=False)) for one, words in rows[1:]]
    return "\n".join([*out, "});", ""])


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as source:
        sys.stdout.write(script(source.read()))
