"""Rules of the tree that a compiler does not see: layers, tables against contracts and documents, banned calls."""
import glob
import os
import re
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, "build", os.environ.get("FLAVOUR", "plain"))

BELOW = {"common", "daemon", "daemon/wire", "daemon/store", "daemon/tls"}
PROTOCOLS = {"daemon/sasl", "daemon/smtp", "daemon/imap", "daemon/pop3"}
ROOMS = {"daemon/accounts", "daemon/session", "daemon/runner", "daemon/outgoing", "daemon/incoming"}
# Each folder may include headers of itself and of these.
LAYERS = {
    "common": set(),
    "common/esmtp": {"common"},
    "daemon": {"common"},
    "daemon/store": {"common", "daemon", "daemon/wire"},  # wire/mailbox.h: the entry of a message
    "daemon/wire": {"common", "daemon"},
    "daemon/tls": {"common", "daemon", "daemon/wire", "daemon/store"},
    "daemon/sasl": {"common", "daemon", "daemon/wire"},
    "daemon/smtp": {"common", "daemon", "daemon/wire", "daemon/sasl"},
    "daemon/imap": {"common", "daemon", "daemon/wire", "daemon/sasl"},
    "daemon/pop3": {"common", "daemon", "daemon/wire", "daemon/sasl"},
    "daemon/accounts": BELOW | {"daemon/sasl"},
    "daemon/session": BELOW | {"daemon/sasl", "daemon/accounts"},
    "daemon/runner": BELOW | {"daemon/sasl", "daemon/accounts", "daemon/session"},
    "daemon/outgoing": BELOW | {"daemon/sasl", "daemon/smtp", "daemon/accounts", "daemon/session", "daemon/runner"},
    "daemon/incoming": BELOW | {*PROTOCOLS, "daemon/accounts", "daemon/session", "daemon/runner"},
    "daemon/service": BELOW | {*PROTOCOLS, *ROOMS},
    "daemon/control": {"common", "daemon", "daemon/store", "daemon/tls", "daemon/service", *ROOMS},
    "daemon/smtpd": BELOW | {"common/esmtp", "daemon/sasl", "daemon/service", "daemon/control", *ROOMS},
    "daemon/deliver": {"common"},  # a program of its own
    "ctl": {"common", "common/esmtp"},
}


def sources():
    for folder in ("common", "daemon", "ctl"):
        for path in sorted(glob.glob(os.path.join(TOP, folder, "**", "*.[ch]"), recursive=True)):
            yield os.path.relpath(path, TOP)


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        return file.read()


def code(path):
    """The file without comments and texts."""
    text = re.sub(r"/\*.*?\*/", "", read(path), flags=re.S)
    return re.sub(r'"(\\.|[^"\\])*"', '""', text)


def test_layers():
    wrong = []
    for path in sources():
        if path == "daemon/main.c":
            continue
        folder = os.path.dirname(path)
        for include in re.findall(r'#include "([^"]+)"', read(path)):
            other = os.path.dirname(include)
            if other and other != folder and other not in LAYERS[folder]:
                wrong.append(f"{path} includes {include}")
    assert not wrong


@pytest.mark.parametrize("pattern, allowed", [
    (r"#include <event2?/", r"daemon/(loop|timers|calls|workers)[^/]*\.c$|daemon/wire/|daemon/control/|daemon/loop"),
    (r"#include <openssl/ssl\.h>", r"daemon/tls/"),
    (r"#include <sqlite3\.h>", r"daemon/(store/|memory\.c)"),       # whose allocation is set there
    (r"#include <gsasl\.h>", r"daemon/sasl/"),
    (r"#include <gmime/", r"ctl/"),
])
def test_library_has_its_place(pattern, allowed):
    assert [p for p in sources() if re.search(pattern, read(p)) and not re.match(allowed, p)] == []


@pytest.mark.parametrize("name", ["strcpy", "strcat", "sprintf", "vsprintf", "gets", "strtok", "atoi", "atol", "system",
                                  "popen", "tmpnam", "mktemp", "alloca", "usleep", "sleep"])
def test_banned_function(name):
    assert [p for p in sources() if re.search(r"(?<![\w.>])%s\s*\(" % name, code(p))] == []


def test_every_file_has_licence_and_charter():
    wrong = []
    for path in sources():
        lines = read(path).splitlines()
        if lines[0] != "/* SPDX-License-Identifier: MIT */" or not lines[1].startswith("/*"):
            wrong.append(path)
    assert not wrong


def test_headers_compile_alone():
    flags = subprocess.run(["pkg-config", "--cflags", "jansson", "gmime-3.0", "libevent_core", "openssl", "sqlite3", "libgsasl"],
                           capture_output=True, text=True, check=True).stdout.split()
    wrong = []
    for path in sources():
        if path.endswith(".h"):
            run = subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-I" + TOP, "-I" + BUILD, *flags, "-xc", "-"],
                                 input=f'#include "{path}"\n', capture_output=True, text=True)
            if run.returncode:
                wrong.append((path, run.stderr.splitlines()[:2]))
    assert not wrong


def varlink_methods():
    names = set()
    for path in glob.glob(os.path.join(TOP, "common", "*.varlink")):
        text = open(path, encoding="utf-8").read()
        interface = re.search(r"^interface (\S+)", text, flags=re.M).group(1)
        names |= {f"{interface}.{m}" for m in re.findall(r"^method (\w+)", text, flags=re.M)}
    return names


def test_methods_are_the_contract():
    text = read("daemon/control/methods.c")
    prefix = dict(re.findall(r'#define (\w+)\s+"([\w.]+)"', text))
    table = {prefix[p] + m for p, m in re.findall(r'\{ (\w+) "(\w+)",', text)}
    table = {name for name in table if not name.startswith("org.varlink.")}
    assert table == varlink_methods()


def test_rights_are_those_written_down():
    """The table against the copy that the tests have of it: a changed right is changed twice, or by mistake."""
    rows = re.findall(r'\{ (SERVICE|TRUST|VARLINK) "(\w+)", PERMIT_(\w+),', read("daemon/control/methods.c"))
    copy = re.search(r"^RIGHTS = \{(.*?)^\}", read("tests/system/test_rights.py"), re.M | re.S)[1]
    written = {name: right for right, names in re.findall(r'(NONE|SUBMIT|READ|ADMIN): ((?:\s*"[^"]*")+)', copy)
               for name in re.sub(r'["\n]', " ", names).split()}
    assert {name: right for _, name, right in rows} == written


def test_errors_are_in_the_contract():
    own = re.search(r"static const enum cause_code own\[\] = \{(.*?)\};", read("daemon/control/call.c"), flags=re.S).group(1)
    names = dict(re.findall(r'\[(CAUSE_\w+)\] = \{ "(\w+)"', read("common/cause.c")))
    text = read("common/io.emailsec.EmailService.varlink") + read("common/io.emailsec.Trust.varlink")
    assert [names[c] for c in re.findall(r"CAUSE_\w+", own) if f"error {names[c]} " not in text] == []


def events():
    """The table of events: {word of its kind: (name, data)}."""
    rows = re.search(r"event_forms\[EVENT_KINDS\] = \{(.*?)\n\};", read("daemon/events.c"), re.S)[1]
    return {word: (name, "".join(re.findall(r'"([^"]*)"', data)))
            for word, name, data in re.findall(r'\[(EVENT_\w+)\] = \{ "([\w.]+)",((?:\s*"[^"]*")+) \}', rows)}


def test_events_are_the_contract():
    """The table against the description, name and data. That each comes, with all that it may have, is held against the
    description by the system tests (tests/system/conftest.py)."""
    described = re.findall(r"^# event (\S+) ([^(\n]+$|\([^)]*\))", read("common/io.emailsec.EmailService.varlink"), re.M)
    described = {name: re.sub(r"\s+", " ", data.replace("#", "")) for name, data in described}
    assert dict(events().values()) == described
    words = re.search(r"enum event_kind \{(.*?)\}", read("daemon/events.h"), re.S)[1]
    assert set(re.findall(r"EVENT_\w+", words)) - {"EVENT_NONE", "EVENT_KINDS"} == set(events())
    named = {"EVENT_" + re.sub(r"([A-Z])", r"_\1", name).replace(".", "_").upper() for name in described}
    assert named == set(events())  # a word is its name


def test_events_are_emitted_and_named_nowhere_else():
    places = {p: read(p) for p in sources() if p.startswith("daemon/") and p not in ("daemon/events.c", "daemon/events.h")}
    names = "|".join(re.escape(name) for name, _ in events().values())
    assert [p for p, text in places.items() if re.search(rf'"(?:{names})"', text)
            and "audit_trail" not in p] == []  # it has the names of actions, some of which are events as well
    everywhere = "".join(places.values())
    assert [word for word in events() if not re.search(rf"\b{word}\b", everywhere)] == []


def test_every_event_is_in_the_man_page():
    page = read("man/emailsecctl.1")
    listed = re.findall(r"^\.It Li (\S+\.\S+)$", page.split(".Sh EVENTS")[1].split(".Sh ")[0], re.M)
    assert sorted(listed) == sorted(name for name, _ in events().values())  # in both directions


def test_catalog_is_complete():
    ids = dict(re.findall(r'#define (MSG_\w+)\s+"([0-9a-f]{32})"', read("daemon/messages.h")))
    assert len(set(ids.values())) == len(ids)
    entries = re.findall(r"^-- ([0-9a-f]{32})$", read("systemd/emailsecd.catalog"), flags=re.M)
    assert sorted(entries) == sorted(ids.values())
    used = "".join(read(p) for p in sources() if p != "daemon/messages.h")
    assert [name for name in ids if not re.search(r"\b%s\b" % name, used)] == []


def test_the_catalog_names_what_there_is():
    """Commands of the tool as its help has them, and fields that the journal knows."""
    text = read("systemd/emailsecd.catalog")
    commands = re.findall(r"emailsecctl ((?:[a-z]+ ?)+)", text)
    known = re.findall(r"^  ([a-z]+(?: [a-z]+)?)", ctl("--help").stdout, flags=re.M)
    assert len(commands) > 30
    assert [c for c in commands if c.strip() not in known] == []
    fields = set(re.findall(r"@(\w+)@", text))
    assert fields and [f for f in fields if f'"{f}"' not in read("daemon/journal.c")] == []


def test_every_property_is_in_the_man_page():
    names = re.findall(r'^\s*\[PROP_\w+\] = \{\s*(?:\.name = )?"(\w+)"', read("common/properties.c"), flags=re.M)
    assert len(names) > 40
    page = set(re.findall(r"^\.It Ic (\w+)$", read("man/emailsec-accounts.5"), flags=re.M))
    assert page == set(names)  # in both directions


def test_every_setting_is_in_the_man_page_and_the_sample():
    help_text = read("daemon/settings.c")
    keys = set(re.findall(r'"(\w+)",\s*"([A-Z]\w+)"', help_text))
    keys = {key for section, key in keys if section in ("Service", "Trust", "Control", "Submission", "Limits")}
    assert len(keys) > 12
    page, sample = read("man/emailsecd.conf.5"), read("conf/emailsecd.conf")
    assert set(re.findall(r"^\.It Ic (\w+)$", page, flags=re.M)) == keys  # in both directions
    assert set(re.findall(r"^#?([A-Z]\w+)=", sample, flags=re.M)) == keys


def ctl(*args):
    return subprocess.run([os.path.join(BUILD, "emailsecctl"), *args], capture_output=True, text=True)


def test_help_is_in_the_man_page():
    page = read("man/emailsecctl.1").replace("\\-", "-")
    words = set()
    for line in ctl("--help").stdout.splitlines():
        found = re.match(r"  ([a-z]+(?: [a-z]+)?)\b", line)
        if found:
            words.add(found.group(1))
    missing = [w for w in words if not re.search(r"\b%s\b" % re.sub(" ", r"[\\s\"]+(?:Cm )?", w), page)]
    assert words and not missing


@pytest.mark.parametrize("program, options", [("emailsecctl", ["--help"]), ("emailsecd", ["--help"])])
def test_help_fits(program, options):
    run = subprocess.run([os.path.join(BUILD, program), *options], capture_output=True, text=True)
    assert run.returncode == 0 and run.stderr == ""
    assert [line for line in run.stdout.splitlines() if len(line) > 100] == []


def test_man_pages_are_clean():
    pages = sorted(glob.glob(os.path.join(TOP, "man", "*.[1-9]")))
    assert len(pages) >= 3
    run = subprocess.run(["mandoc", "-Tlint", "-Wwarning", *pages], capture_output=True, text=True)
    assert run.stdout == ""


def test_units_are_accepted(tmp_path):
    for unit in ("emailsecd.service", "emailsecd.socket", "emailsec-smtp.socket", "emailsec-metrics.service", "emailsec-metrics.timer"):
        text = read("systemd/" + unit).replace("@sbindir@/emailsecd", "/bin/true").replace("@bindir@/emailsecctl", "/bin/true")
        (tmp_path / unit).write_text(text)
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())], capture_output=True, text=True)
    assert "emailsec" not in run.stderr, run.stderr


def test_promises_name_tests_that_exist():
    """SECURITY.md: files between backquotes with the tests in each of them after; every rule names one."""
    text = read("SECURITY.md").split("## What is promised")[1].split("## What is not promised")[0]
    folders = {"u": "tests/unit", "s": "tests/system"}
    pattern = r"((?:`[us]/[\w.]+`,?\s+)*`[us]/[\w.]+`)(?: \([^)]*\))?(?:\s+(\w+(?:,\s+\w+)*))?"
    missing, tests = [], 0
    for files, names in re.findall(pattern, text):
        for folder, name in re.findall(r"`([us])/([\w.]+)`", files):
            path = f"{folders[folder]}/{name}"
            if not os.path.exists(os.path.join(TOP, path)):
                missing.append(path)
                continue
            for test in re.findall(r"\w+", names):
                tests += 1
                begin = r"START_TEST\(" if folder == "u" else "^def "
                if not re.search(begin + re.escape(test) + r"\b", read(path), re.M):
                    missing.append(f"{path}: {test}")
                elif folder == "u" and not re.search(r"tcase_add_\w*test\([^;]*\b%s\b" % test, read(path)):
                    missing.append(f"{path}: {test} is never run")
    assert (missing, tests > 80) == ([], True)
    rules = re.findall(r"^\| (\d+[ab]?) \|.*\|(.*)\|$", text, re.M)
    assert [rule for rule, cell in rules if not re.search(r"`[us]/", cell)] == [] and len(rules) > 24


# ---- names

# Folder, and what its global symbols begin with besides the names of its headers, or parts of those.
PREFIXES = {
    "common": "address base64 folder duration fingerprint host mailbox problems prop port sender size text utf8",
    "ctl": "attachment attachments each run text trust sheet submission json base64 quoted parameter parameters tell listing date digest words size",
    "daemon": "aliases listen retry submission watch timer timers workers calls",
    "daemon/accounts": "changes apply",
    "daemon/control": "audit call interface parameter parameters share on serve interface peer parse steps",
    "daemon/incoming": "poll stream streams",
    "daemon/outgoing": "sessions throttle",
    "daemon/sasl": "line signin",
    "daemon/service": "station trail",
    "daemon/session": "certificates session",
    "daemon/smtpd": "notices smtpd address",
    "daemon/store": "db unrecorded schema subscribers subscriber writer",
    "daemon/tls": "asn1 pem verdict",
    "daemon/wire": "address addresses plain pump trouble",
}
# Words of everyday use, and those that stand for a whole program or library part.
PLAIN_NAMES = """
account_name_valid answer_best arg_pattern_next cause_of_account close_fd
copy_bytes copy_text delivered_message emailsec_mime emailsec_pem base64url_encode expiry_warning_due
field_has_addresses free_secret general_options help_all help_command help_group hex_print is_treacherous log_about main
make_folder names_add names_take nearest_offer new_memory new_resized new_zeroed 
queued_message_free read_file read_secret remove_file remove_tree same_text scoped_close scoped_free
scoped_free_secret scoped_json secret_bare secret_is_clean secret_of_person secret_repeated 
shell_quoted tint_of token_digits 
""".split()
# Structs of the same name that mean different things; each is of one file.
SAME_TAGS = """
asked attempt change chosen deletion facts field form handing kind look place reading row setting settle steps sweep trouble
unit
""".split()


def c_files():
    return [path for path in sources() if path.endswith(".c")]


def test_global_symbols_say_where_they_are():
    """Each begins with its header's or folder's name, or with a word that stands for it here."""
    wrong, seen = [], 0
    for path in c_files():
        built = os.path.join(BUILD, path[:-2] + ".o")
        if not os.path.exists(built):
            continue
        folder = os.path.dirname(path)
        stems = {os.path.basename(one)[:-2] for one in glob.glob(os.path.join(TOP, folder, "*.h"))} | {os.path.basename(folder)}
        begins = {stem.split("_")[0] for stem in stems} | {stem.split("_")[0].rstrip("s") for stem in stems}
        begins |= {re.sub("ies$", "y", stem.split("_")[0]) for stem in stems} | set(PREFIXES.get(folder, "").split())
        begins |= {stem.split("_")[0] + "s" for stem in stems}
        listing = subprocess.run(["nm", "-g", "--defined-only", built], capture_output=True, text=True, check=True).stdout
        for name in re.findall(r"^\w+ [TDBRV] (\w+)$", listing, re.M):
            seen += 1
            if name.split("_")[0] not in begins and name not in PLAIN_NAMES:
                wrong.append(f"{path}: {name}")
    assert (wrong, seen > 1000) == ([], True)


def test_a_struct_tag_has_one_meaning():
    """Of the structs, enums and unions of all programs."""
    places = {}
    for path in sources():
        for tag in re.findall(r"^(?:static )?(?:const )?(?:struct|enum|union) (\w+) \{", read(path), re.M):
            places.setdefault(tag, set()).add(path)
    several = {tag: sorted(paths) for tag, paths in places.items() if len(paths) > 1}
    assert {tag: paths for tag, paths in several.items() if tag not in SAME_TAGS} == {}
    assert [tag for tag, paths in several.items() if any(path.endswith(".h") for path in paths)] == []


def test_a_property_is_read_as_what_it_is():
    """Texts and numbers of an account lie in one place each: the type of the row says which it is, and no compiler knows that."""
    types = dict(re.findall(r"\[(PROP_\w+)\] = \{ \.name = \"\w+\", \.type = (TYPE_\w+)", read("common/properties.c")))
    numbers = {name for name, kind in types.items() if kind in ("TYPE_BOOL", "TYPE_INT", "TYPE_PORT")}
    wrong, seen = [], 0
    for path in [*sources(), *glob.glob("tests/unit/*.[ch]", root_dir=TOP)]:
        text = read(path)
        for how, word in [*re.findall(r"\b(prop_text|prop_bool|prop_number)\([^;()]*?(?:\([^()]*\)[^;()]*?)?, *(PROP_\w+)\)", text),
                          *[(how, word) for word, how in re.findall(r"\bof\[(PROP_\w+)\]\.(text|number)", text)]]:
            seen += 1
            if how.endswith("text") == (word in numbers):
                wrong.append(f"{path}: {how} of {word}")
    assert (wrong, len(types) > 70, seen > 200) == ([], True, True)
