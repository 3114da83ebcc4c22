# SPDX-License-Identifier: MIT
"""make install, installcheck, uninstall, dist and deb, and what is put in place: units, alert rules, dashboard."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

import letters
import station as station_module
from station import BUILD, FLAVOUR, ROOT

VERSION = re.search(r"^VERSION := (\S+)", open(f"{ROOT}/Makefile").read(), re.M).group(1)


def make(*words, **environment):
    done = subprocess.run(["make", "-s", f"FLAVOUR={FLAVOUR}", f"BUILD={BUILD}", *words], cwd=ROOT, capture_output=True,
                          text=True, timeout=900, env={**os.environ, **environment})
    assert done.returncode == 0, f"make {' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def files_under(folder):
    return {os.path.relpath(os.path.join(place, name), folder) for place, _, names in os.walk(folder) for name in names}


@pytest.fixture
def stage(folder):
    make("install", f"DESTDIR={folder}/stage")
    return os.path.join(folder, "stage")


def test_install_check_uninstall(stage):
    make("installcheck", f"DESTDIR={stage}")
    os.makedirs(os.path.join(stage, "var/lib/emailsecd"))
    with open(os.path.join(stage, "var/lib/emailsecd/station.db"), "w") as out:
        out.write("state")
    config = os.path.join(stage, "etc/emailsecd/emailsecd.conf")
    with open(config, "a") as out:
        out.write("# mine\n")
    make("install", f"DESTDIR={stage}")
    assert "# mine" in open(config).read(), "installing again overwrote the settings"
    make("uninstall", f"DESTDIR={stage}")
    assert files_under(stage) == {"etc/emailsecd/emailsecd.conf", "var/lib/emailsecd/station.db"}


@pytest.mark.skipif(FLAVOUR != "plain", reason="builds the tool with other directories")
def test_other_directories_and_the_mime_part(folder):
    """With a prefix of its own, the tool finds its part for MIME in pkglibdir, and the unit names its programs."""
    prefix = os.path.join(folder, "opt")
    build = os.path.join(folder, "build")
    words = [f"BUILD={build}", f"prefix={prefix}", f"sysconfdir={prefix}/etc", f"systemdsystemunitdir={prefix}/units",
             f"sysusersdir={prefix}/sysusers", f"tmpfilesdir={prefix}/tmpfiles", f"catalogdir={prefix}/catalog"]
    shutil.copytree(BUILD, build, ignore=shutil.ignore_patterns("tests", "fuzz", "found"))
    make("install", *words)
    letter = os.path.join(folder, "letter")
    with open(letter, "wb") as out:
        out.write(letters.letter("box"))
    done = subprocess.run([f"{prefix}/bin/emailsecctl", "--socket", f"{folder}/none", "send", "--to", "b@example.test",
                           "-s", "x", "--attach", letter, "-"], input=b"text", capture_output=True,
                          env=station_module.clean_environment())
    assert b"MIME part cannot be loaded" not in done.stderr, done.stderr
    os.rename(f"{prefix}/lib/emailsecd/emailsec-mime.so", f"{folder}/away.so")
    done = subprocess.run([f"{prefix}/bin/emailsecctl", "--socket", f"{folder}/none", "send", "--to", "b@example.test",
                           "-s", "x", "--attach", letter, "-"], input=b"text", capture_output=True,
                          env=station_module.clean_environment())
    assert b"MIME part cannot be loaded" in done.stderr, done.stderr
    assert f"ExecStart={prefix}/sbin/emailsecd" in open(f"{prefix}/units/emailsecd.service").read()


@pytest.mark.skipif(not os.path.isdir(os.path.join(ROOT, ".git")) or not shutil.which("git"), reason="no git here")
def test_dist_is_the_same_twice():
    def once():
        make("dist")
        [name] = [name for name in os.listdir(f"{ROOT}/build") if name.endswith(".tar.gz")]
        with open(f"{ROOT}/build/{name}", "rb") as source:
            return hashlib.sha256(source.read()).hexdigest()

    assert once() == once()


def test_the_package_has_the_version_of_the_tree():
    assert open(f"{ROOT}/conf/debian/changelog").readline().split()[:2] == ["emailsecd", f"({VERSION})"]
    assert open(f"{ROOT}/NEWS").readline().split() == ["emailsecd", VERSION]


def test_maintainer_scripts_go_by_policy():
    """Units are stopped as an administrator's policy-rc.d has it, which systemctl does not ask."""
    folder = os.path.join(ROOT, "conf", "debian")
    scripts = [name for name in os.listdir(folder) if name.endswith(("inst", "rm"))]
    assert len(scripts) >= 4
    for name in scripts:
        with open(os.path.join(folder, name)) as file:
            assert not re.search(r"^[^#]*\bsystemctl\b", file.read(), re.M), name


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("dpkg-buildpackage") or not shutil.which("dh"), reason="debhelper is not installed")
def test_packages_are_clean_and_the_same_twice(folder):
    signal.alarm(0)     # two builds, one with the unit tests
    seen = []
    for name, options in (("one", "nocheck"), ("two", "")):
        log = make("deb", f"DEB={folder}/{name}", DEB_BUILD_OPTIONS=options)
        packages = sorted(one for one in os.listdir(f"{folder}/{name}") if one.endswith(".deb"))
        assert [one.split("_")[0] for one in packages if "dbgsym" not in one] == \
            ["cockpit-emailsec", "emailsec-mta", "emailsecctl", "emailsecd"]
        seen.append({one: hashlib.sha256(open(f"{folder}/{name}/{one}", "rb").read()).hexdigest() for one in packages})
    assert seen[0] == seen[1]
    if shutil.which("blhc"):
        with open(f"{folder}/log", "w") as out:
            out.write(log)
        done = subprocess.run(["blhc", "--all", f"{folder}/log"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]
    if shutil.which("hardening-check"):
        # The mark of CET is the linker's, and only where the C library's start files have it too (Debian 12's have not).
        built = [f"{folder}/two/emailsecd-{VERSION}/debian/{path}" for path in
                 ("emailsecd/usr/sbin/emailsecd", "emailsecctl/usr/bin/emailsecctl")]
        done = subprocess.run(["hardening-check", "--nocfprotection", *built], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    if shutil.which("lintian"):
        [changes] = [one for one in os.listdir(f"{folder}/two") if one.endswith(".changes")]
        done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", changes], cwd=f"{folder}/two",
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


# ---- units

def exposure(unit, most):
    """What systemd-analyze counts for it, no more than `most` tenths in all."""
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={most}", "--no-pager",
                           "--json=short", unit], capture_output=True, text=True)
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze knows no --offline")
    assert done.returncode == 0, done.stdout + done.stderr
    return {row["name"].split("=")[0] for row in json.loads(done.stdout) if not row["set"] and row["exposure"]}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_sandbox_is_as_tight_as_the_unit_says(stage):
    unit = os.path.join(stage, "lib/systemd/system/emailsecd.service")
    counted = exposure(unit, 14)
    told = " ".join(line for line in open(unit) if line.startswith("# "))
    assert [name for name in counted if name.split("/")[0] not in told] == [], "not explained in the unit"
    # with the example for stations that root alone manages
    os.mkdir(unit + ".d")
    shutil.copy(os.path.join(stage, "usr/share/doc/emailsecd/examples/root-only.conf"), unit + ".d")
    assert exposure(unit, 10) == counted - {"PrivateUsers", "ProtectProc"}


# ---- numbers

def metrics_of(text):
    """A strict reader of OpenMetrics: {sample name: [(labels, value)]}, {family: type}."""
    assert text.endswith("# EOF\n") and text.count("# EOF") == 1
    families, samples, current, seen = {}, {}, None, set()
    suffixes = {"counter": ("_total", "_created"), "summary": ("_count", "_sum", ""), "gauge": ("",)}
    for line in text[:-len("# EOF\n")].splitlines():
        meta = re.fullmatch(r"# (TYPE|HELP) ([a-z_:][a-z0-9_:]*) (.+)", line)
        if meta:
            kind, name, rest = meta.groups()
            if kind == "TYPE":
                assert name not in families, f"{name} is interleaved"
                assert rest in suffixes, f"{name}: {rest} is not in both formats"
                families[name], current = rest, name
            assert name == current
            continue
        sample = re.fullmatch(r'([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9]+(?:\.[0-9]+)?)', line)
        assert sample, f"no sample: {line!r}"
        name, labels, value = sample.groups()
        assert current and name in [current + suffix for suffix in suffixes[families[current]]], f"{name} in {current}"
        assert (name, labels) not in seen, f"twice: {line}"
        seen.add((name, labels))
        pairs = dict(re.findall(r'([a-z_]+)="([^"]*)"', labels or ""))
        assert families[current] != "counter" or float(value) >= 0
        samples.setdefault(name, []).append((pairs, float(value)))
    return samples, families


def test_numbers_are_openmetrics(station, new_sink, certificates):
    sink = new_sink(certificates.leaf("system", "127.0.0.1"), True)
    station.ctl("account", "add", "outgoing", "a", f"hostname={sink.host}", f"port={sink.port}", "from=a@example.test")
    station.ctl("account", "add", "incoming", "b", "transport=imap", "hostname=localhost", "enabled=false")
    assert station.wait_message(station.send("a", "box@example.test"))["state"] == "sent"
    samples, families = metrics_of(station.ctl("metrics").out)
    about_a = {name: value for name, rows in samples.items() for labels, value in rows if labels.get("account") == "a"}
    assert about_a["emailsec_account_up"] == 1 and about_a["emailsec_sent_messages_total"] == 1
    assert about_a["emailsec_tls_handshake_seconds_count"] == 1 and about_a["emailsec_tls_handshake_seconds_sum"] >= 0
    assert about_a["emailsec_deferred_messages_total"] == 0 and "emailsec_loop_lag_seconds" in samples
    assert sum(value for labels, value in samples["emailsec_account_status"]) == 2   # each account has one
    assert all(name.startswith("emailsec_") for name in families)
    # what the examples ask for is there
    station.ctl("account", "set", "a", "heartbeat=box@example.test")
    samples, families = metrics_of(station.ctl("metrics").out)
    there = set(samples) | set(families)    # some have a sample only while there is something to count
    for name in ("emailsec-alerts.yml", "emailsec-dashboard.json"):
        text = open(os.path.join(ROOT, "conf", name)).read()
        asked = set(re.findall(r"\bemailsec_[a-z_]+", text))
        assert asked and asked <= there, f"{name}: {asked - there}"


@pytest.fixture
def numbers(new_station, new_sink, certificates):
    """The numbers of a station with something of everything: mail sent, deferred, failed, held and waiting, a challenge,
    an exemption in time, a heartbeat, an account that is disabled."""
    station = new_station().start()
    good, exempt = new_sink(certificates.leaf("system", "127.0.0.1"), True), certificates.leaf("self-signed", "127.0.0.1")
    odd = new_sink(exempt, True)
    station.add("outgoing", "good", hostname=good.host, port=good.port, heartbeat="box@example.test", maxSendablePerDay=9,
                **{"from": "a@example.test"})
    station.add("outgoing", "odd", hostname=odd.host, port=odd.port, **{"from": "a@example.test"})
    station.add("incoming", "off", transport="imap", hostname="localhost", enabled=False)
    assert station.wait_message(station.send("good", "box@example.test"))["state"] == "sent"
    good.rule("rcpt", "450 4.2.1 later")
    station.send("good", "box@example.test")
    station.wait_event("mail.deferred")
    station.send("odd", "box@example.test")
    station.wait_status("odd", "challenge")
    waiting = station.ctl("metrics", "--prometheus").out
    entry, = station.json("challenge", "list")
    station.ctl("challenge", "accept", entry["id"], "--fingerprint", exempt.fingerprint, "--for", "30d")
    station.wait_status("odd", "ok")
    return station, waiting


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (package prometheus)")
def test_promtool_finds_nothing_wrong(numbers):
    """Prometheus' own judgement of the text and of the example rules."""
    station, waiting = numbers
    for text in (waiting, station.ctl("metrics", "--prometheus").out):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), text
    done = subprocess.run(["promtool", "check", "rules", os.path.join(ROOT, "conf", "emailsec-alerts.yml")],
                          capture_output=True, text=True)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr


def test_other_readers_of_numbers_agree(numbers):
    """The reference reader of OpenMetrics, where it is installed, gets the same from both forms."""
    reader = pytest.importorskip("prometheus_client.openmetrics.parser", reason="python3-prometheus-client is not installed")
    older = pytest.importorskip("prometheus_client.parser")
    station, _ = numbers
    read = [{sample.name: sample.value for family in families for sample in family.samples}
            for families in (reader.text_string_to_metric_families(station.ctl("metrics").out),
                             older.text_string_to_metric_families(station.ctl("metrics", "--prometheus").out))]
    assert set(read[0]) == set(read[1]) and len(read[0]) > 20
    assert read[0]["emailsec_exemption_end_timestamp_seconds"] > 0


def test_the_older_format_keeps_help_and_type(station):
    """What node_exporter reads (text format 0.0.4): each sample under the name that its help and type stand under."""
    station.ctl("account", "add", "outgoing", "a", "hostname=localhost", "enabled=false", "from=a@example.test")
    lines = station.ctl("metrics", "--prometheus").out.splitlines()
    helped, typed, samples = set(), {}, set()
    for line in lines:
        if line.startswith("# HELP "):
            helped.add(line.split()[2])
        elif line.startswith("# TYPE "):
            typed[line.split()[2]] = line.split()[3]
        else:
            assert not line.startswith("#"), line
            samples.add(re.match(r"[a-z_]+", line)[0])
    suffixed = {name + end for name, kind in typed.items() if kind == "summary" for end in ("_count", "_sum")}
    assert helped == set(typed) and samples - set(typed) - suffixed == set()
    assert typed["emailsec_sent_messages_total"] == "counter"
    now = {name for name in metrics_of(station.ctl("metrics").out)[0]}
    assert samples == now


OF_ACCOUNTS = {     # what there is for an account of each kind, once it has worked
    "outgoing": ("account_up", "account_status", "last_success_timestamp_seconds", "queue_messages", "sent_messages_total",
                 "deferred_messages_total", "failed_messages_total", "tls_handshake_seconds_count",
                 "tls_handshake_seconds_sum", "tls_resumed_handshakes_total", "certificate_not_after_timestamp_seconds"),
    "incoming": ("account_up", "account_status", "received_messages_total"),
}


def test_every_number_is_there_and_right(new_station, new_sink, certificates):
    """One of each: sent, deferred, failed, a challenge; the others of the list are there."""
    station = new_station().start()
    good, bad = (new_sink(certificates.leaf(kind, "127.0.0.1"), True) for kind in ("system", "self-signed"))
    for name, sink in (("a", good), ("odd", bad)):
        station.ctl("account", "add", "outgoing", name, f"hostname={sink.host}", f"port={sink.port}", "from=a@example.test")
    station.ctl("account", "add", "incoming", "b", "transport=imap", "hostname=localhost", "enabled=false")
    began = time.time()
    assert station.wait_message(station.send("a", "box@example.test"))["state"] == "sent"
    for reply in ("451 4.2.0 later", "550 5.1.1 nobody"):
        good.rule("rcpt", reply, times=1)
        queued = station.send("a", "box@example.test")
        station.wait_event("mail.deferred" if reply[0] == "4" else "mail.failed", account="a")
    assert station.message(queued)["state"] == "failed"
    station.send("odd", "box@example.test")
    station.wait_status("odd", "challenge")
    samples, _ = metrics_of(station.ctl("metrics").out)

    def of(account, name, **labels):
        found = [value for seen, value in samples["emailsec_" + name] if {"account": account, **labels}.items() <= seen.items()]
        assert found, f"{name} of {account}"
        return found[0]

    for account, kind in (("a", "outgoing"), ("b", "incoming")):
        for name in OF_ACCOUNTS[kind]:
            of(account, name)
    assert [of("a", f"{name}_messages_total") for name in ("sent", "deferred", "failed")] == [1, 1, 1]
    assert of("a", "last_success_timestamp_seconds") >= int(began)
    assert of("a", "certificate_not_after_timestamp_seconds") > began
    assert (of("a", "account_up"), of("odd", "account_up"), of("odd", "account_status", status="challenge")) == (1, 0, 1)
    assert of("a", "queue_messages", state="failed") == 1
    alone = {name: samples["emailsec_" + name][0][1] for name in ("challenges", "exemptions", "loop_lag_seconds")}
    assert (alone["challenges"], alone["exemptions"]) == (1, 0)


def test_the_examples_are_well_formed():
    dashboard = json.load(open(os.path.join(ROOT, "conf", "emailsec-dashboard.json")))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) > 8
    yaml = pytest.importorskip("yaml")
    rules = yaml.safe_load(open(os.path.join(ROOT, "conf", "emailsec-alerts.yml")))["groups"][0]["rules"]
    assert all({"alert", "expr", "for", "labels", "annotations"} <= set(rule) for rule in rules) and len(rules) > 5
