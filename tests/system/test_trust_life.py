# SPDX-License-Identifier: MIT
"""What follows from trust decisions in the course of time: exemptions that end, certificates that are about to, stores
that change on disk, client certificates, and what becomes of sessions in progress and of session tickets."""

import base64
import json
import os
import re
import ssl
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

import channels
import fake as fake_module
import letters
import pki
import users
import varlink
from test_ctl import on_terminal
from waiting import until


@pytest.fixture
def account(station, new_sink, certificates, folder):
    """An outgoing account with a server of its own whose certificate can be changed."""
    class One:
        def __init__(self, certificate, name="a", sink=None, **more):
            self.sink = sink or new_sink(certificate, True, True)
            self.name = name
            station.add("outgoing", name, **channels.properties("smtp", "ssl", "127.0.0.1", self.sink.port, "user", **more))

        def send(self):
            return station.send(self.name, letters.address("box"))

        def send_through(self):
            assert station.wait_message(self.send())["state"] == "sent"
            return station.wait_status(self.name, "ok")

        def challenged(self):
            queued = self.send()
            station.wait_status(self.name, "challenge")
            return queued, station.json("challenge", "list")[0]

        def serve(self, certificate):
            self.sink.tls = pki.server_context(certificate, folder)
            self.sink.cut_all()

    return One


def plain(fingerprint):
    return fingerprint.replace(":", "").lower()


def accept(station, challenge, *more):
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint", challenge["certificate"]["fingerprintSha256"],
                *more)


# ---- decisions

def test_every_decision_is_kept(station, account):
    one = account(pki.leaf(None, ["127.0.0.1"]))
    _, challenge = one.challenged()
    accept(station, challenge, "--reason", "compared by telephone")
    station.ctl("allowed", "unapprove", challenge["id"])
    station.ctl("challenge", "reject", challenge["id"], "--reason", "second thoughts")
    accept(station, challenge, "--for", "1d")
    station.restart()
    entry = station.json("allowed", "show", challenge["id"])
    assert [(step["what"], step["reason"]) for step in entry["history"]] == [
        ("approved", "compared by telephone"), ("unapproved", None), ("rejected", "second thoughts"), ("approved", None)]
    assert all(step["time"] and "uid" in step["by"] for step in entry["history"])
    assert entry["history"][-1]["expires"] == entry["expires"]
    shown = station.ctl("allowed", "show", challenge["id"]).out
    assert "second thoughts" in shown and "compared by telephone" in shown


def test_the_history_is_bounded(station, account):
    one = account(pki.leaf(None, ["127.0.0.1"]))
    _, challenge = one.challenged()
    for number in range(20):
        station.call(varlink.TRUST + "Reject", id=challenge["id"], reason=str(number))
    reasons = [step["reason"] for step in station.json("allowed", "show", challenge["id"])["history"]]
    assert len(reasons) == 16 and reasons[0] == "0" and reasons[-1] == "19"


def test_changed_is_shown_line_by_line(station, account):
    one = account(pki.leaf(None, ["127.0.0.1"], common_name="panel-1"))
    _, challenge = one.challenged()
    accept(station, challenge)
    one.send_through()
    one.serve(pki.leaf(None, ["127.0.0.1"], common_name="panel-2"))
    _, changed = one.challenged()
    shown = station.ctl("challenge", "show", changed["id"]).out
    assert "Compared with the one before" in shown
    for line in ("- subject", "+ subject", "- SHA-256", "+ SHA-256"):
        assert line in shown, shown
    assert "panel-1" in shown and "panel-2" in shown
    assert "- names" not in shown       # what is equal is left out


def test_two_accounts_share_the_entry(station, account):
    one = account(pki.leaf(None, ["127.0.0.1"]))
    other = account(None, "b", one.sink)
    one.challenged()
    other.send()
    station.wait_status("b", "challenge")
    challenge, = station.json("challenge", "list")
    until(lambda: sorted(station.json("challenge", "list")[0]["accounts"]) == ["a", "b"])
    accept(station, challenge)
    one.send_through()
    other.send_through()


# ---- sessions in progress

@pytest.fixture
def idle(station, dovecot, box):
    """An IMAP session that stays open (IDLE), resting on what the test says."""
    def make(kind):
        station.add("incoming", "in", **channels.properties(
            "imap", "ssl", dovecot.host(kind), dovecot.port("imap", "ssl", kind), box))
    return make


def resumed(station):
    text = station.ctl("metrics").out
    return sum(float(line.split()[-1]) for line in text.splitlines()
               if line.startswith("emailsec_tls_resumed_handshakes_total"))


@pytest.mark.parametrize("how", ("time", "unapprove", "delete", "reject"))
def test_the_end_of_an_exemption_ends_the_session(station, idle, how):
    idle("self-signed")
    station.wait_status("in", "challenge")
    challenge, = station.json("challenge", "list")
    accept(station, challenge, *(["--for", "2s"] if how == "time" else []))
    assert station.wait_status("in", "ok")["tls"]["verifiedBy"] == "allowedHost"
    before = resumed(station)
    if how == "reject":
        station.ctl("challenge", "reject", challenge["id"])
    elif how != "time":
        station.ctl("allowed", how, challenge["id"])
    sheet = station.wait_status("in", "fault" if how == "reject" else "challenge", timeout=8)
    assert sheet["cause"]["code"] == ("Rejected" if how == "reject" else "Challenge")
    assert resumed(station) == before


def test_an_end_that_cannot_be(station, account):
    """No date that is past, or none at all, becomes an approval, least of all one without end."""
    one = account(pki.leaf(None, ["127.0.0.1"]))
    queued, challenge = one.challenged()
    shown = challenge["certificate"]["fingerprintSha256"]
    for words, code in ((("--until", "2020-01-01"), 1), (("--until", "1969-12-31T23:59:59Z"), 1),
                        (("--until", "1970-01-01"), 2), (("--until", "1970-01-01T02:00:00+02:00"), 2),
                        (("--until", "2027-13-01"), 2), (("--until", ""), 2), (("--for", "0"), 1), (("--for", ""), 2),
                        (("--for", "-1d"), 2), (("--for", "99999999999999w"), 2)):
        refused = station.ctl("challenge", "accept", challenge["id"], "--fingerprint", shown, *words, code=None)
        assert refused.code == code and refused.err, (words, refused)
    for until_text in ("", "never", "1970-01-01", "1970-01-01T00:00:00Z", "2020-01-01", "9999-12-31T23:59:59-23:59"):
        with pytest.raises(varlink.VarlinkError):
            station.call(varlink.TRUST + "Approve", id=challenge["id"], fingerprint=shown, until=until_text)
    assert [entry["state"] for entry in station.json("challenge", "list")] == ["pending"]
    assert station.message(queued)["state"] != "sent"


@pytest.mark.parametrize("given, meant", (
    ("2031-01-31", "2031-01-31T00:00:00Z"), ("2031-01-31T12:00:00+02:00", "2031-01-31T10:00:00Z"),
    ("2031-01-31t23:30:00-01:00", "2031-02-01T00:30:00Z"), ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z")))
def test_an_end_is_the_same_in_every_time_zone(station, account, given, meant):
    """A date without a zone is UTC, wherever the person sits; and it is still that after a new start."""
    one = account(pki.leaf(None, ["127.0.0.1"]))
    queued, challenge = one.challenged()
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint", challenge["certificate"]["fingerprintSha256"],
                "--until", given, env={"TZ": "Pacific/Auckland"})
    assert station.wait_message(queued)["state"] == "sent"
    for _ in range(2):
        entry, = station.json("allowed", "list")
        assert (entry["state"], entry["expires"]) == ("approved", meant)
        station.restart()
    one.send_through()


def test_a_root_that_is_deleted_ends_its_sessions(station, idle, certificates):
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)
    idle("user")
    assert station.wait_status("in", "ok")["tls"]["verifiedBy"] == "user"
    station.ctl("trust", "delete", certificates.user.fingerprint)
    station.wait_status("in", "challenge", timeout=8)


def test_a_root_that_comes_renews_what_rests_on_an_exemption(station, idle, account, certificates):
    """Sessions that are kept would go on by exemption for hours, and the exemption would count as needed."""
    one = account(certificates.leaf("user", "127.0.0.1"))
    one.challenged()
    idle("user")
    station.wait_status("in", "challenge")
    for challenge in station.json("challenge", "list"):
        accept(station, challenge)
    one.send_through()
    for name in ("a", "in"):
        assert station.wait_status(name, "ok")["tls"]["verifiedBy"] == "allowedHost"
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)
    one.send_through()
    for name in ("a", "in"):
        until(lambda: station.account(name)["tls"]["verifiedBy"] == "user")
    until(lambda: [entry["needless"] for entry in station.json("allowed", "list")] == [True, True])
    station.ctl("allowed", "prune")
    assert station.json("allowed", "list") == []
    one.send_through()


def test_resumption_never_revives_a_decision(station, account):
    one = account(pki.leaf(None, ["127.0.0.1"]))
    _, challenge = one.challenged()
    accept(station, challenge)
    one.send_through()
    for word in ("disable", "enable"):      # ends the session in order
        station.ctl("account", word, "a")
    one.send_through()
    assert resumed(station) >= 1, "a session ticket is used where the decision stands"
    station.ctl("allowed", "unapprove", challenge["id"])
    one.sink.cut_all()
    before, accepted = resumed(station), len(one.sink.accepted)
    queued = one.send()
    station.wait_status("a", "challenge")
    assert station.message(queued)["state"] != "sent" and len(one.sink.accepted) == accepted
    assert resumed(station) == before


# ---- stores that change on disk

def rename_over(path, content):
    with open(path + ".new", "wb") as out:
        out.write(content)
    os.chmod(path + ".new", 0o644)
    os.replace(path + ".new", path)


def test_a_system_store_file_is_read_again(station, account, certificates):
    one = account(certificates.leaf("user", "127.0.0.1"))
    queued, _ = one.challenged()
    rename_over(station.trust, certificates.system.pem + certificates.user.pem)
    station.wait_event("trust.reloaded")
    assert station.wait_message(queued)["state"] == "sent"
    assert station.wait_status("a", "ok")["tls"]["verifiedBy"] == "system"
    rename_over(station.trust, certificates.system.pem)
    station.wait_event("trust.reloaded")
    one.send()
    station.wait_status("a", "challenge")


def test_a_system_store_folder_is_read_again(new_station, certificates, folder, new_sink):
    store = os.path.join(folder, "store")
    os.mkdir(store, 0o755)
    rename_over(os.path.join(store, "system.pem"), certificates.system.pem)
    station = new_station({"Trust.SystemTrustStore": store}, system_trust=b"").start()
    assert len(station.json("trust", "list", "--system")) == 1
    rename_over(os.path.join(store, "user.pem"), certificates.user.pem)
    station.wait_event("trust.reloaded")
    until(lambda: len(station.json("trust", "list", "--system")) == 2)


def test_a_store_that_breaks_fails_closed_and_heals(station, account, certificates):
    one = account(certificates.leaf("system", "127.0.0.1"))
    one.send_through()
    rename_over(station.trust, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    station.wait_event("trust.reloaded")
    one.sink.cut_all()
    queued = one.send()
    assert station.wait_status("a", "fault")["cause"]["code"] == "TrustStore"
    rename_over(station.trust, certificates.system.pem)
    station.wait_status("a", "ok")
    until(lambda: station.message(queued)["state"] == "sent")


# ---- certificates about to end

def test_warnings_before_a_certificate_ends(station, account, certificates):
    one = account(pki.leaf(certificates.system, ["127.0.0.1"], last=5.5 * pki.DAY))
    one.send_through()
    event = station.wait_event("certificate.expires")
    assert (event["data"]["host"], event["data"]["port"]) == ("127.0.0.1", one.sink.port)
    assert "ends in 5 days" in event["text"]
    assert any("ends in 5 days" in advice for advice in station.json("status")["advice"])
    check = station.ctl("status", "--check", code=1).out
    assert check.startswith("EMAILSEC WARNING - ") and "ends in 5 days" in check
    seen, = json.load(open(os.path.join(station.state, "certificates.json")))["certificates"]
    assert seen["port"] == one.sink.port and seen["notAfter"] and seen["lastSeen"]
    until(lambda: json.load(open(os.path.join(station.state, "certificates.json")))["certificates"][0]["warned"] == 7)
    station.restart()
    assert any("ends in 5 days" in advice for advice in station.json("status")["advice"])
    assert station.log().count("ends in 5 days, at") == 1, "a warning is given once"
    one.serve(pki.leaf(certificates.system, ["127.0.0.1"], last=300 * pki.DAY))
    one.send_through()
    assert not any("ends in" in advice for advice in station.json("status")["advice"])


def test_warnings_before_an_exemption_ends(station, account, certificates):
    """One with a date of its own, in time; with one that ends later nothing is told."""
    one = account(certificates.leaf("self-signed", "127.0.0.1"))
    one.challenged()
    entry, = station.json("challenge", "list")
    approve = ("allowed", "approve", entry["id"], "--fingerprint", certificates.leaf("self-signed", "127.0.0.1").fingerprint, "--for")
    station.ctl(*approve, "200d", code=0)
    one.send_through()
    assert station.ctl("status", "--check", code=0).out.startswith("EMAILSEC OK - ")
    station.ctl(*approve, "60h", code=0)
    event = station.wait_event("allowed.ends")
    assert (event["data"]["id"], event["data"]["port"]) == (entry["id"], one.sink.port)
    assert "ends in 2 days" in event["text"]
    check = station.ctl("status", "--check", code=1).out
    assert check.startswith("EMAILSEC WARNING - ") and "the exemption for 127.0.0.1" in check
    status = " ".join(station.ctl("status").out.split())
    assert "ends in 2 days" in status and f"emailsecctl allowed show {entry['id']}" in status
    assert f'emailsec_exemption_end_timestamp_seconds{{id="{entry["id"]}"' in station.ctl("metrics").out
    assert "emailsec_station_faults 0" in station.ctl("metrics").out


def test_the_certificates_of_all_servers_are_listed(station, account, certificates, folder):
    """What each server showed, the first to end first, whether it was accepted or not."""
    assert station.json("trust", "servers") == []
    ending = pki.leaf(certificates.system, ["127.0.0.1"], last=5.5 * pki.DAY, common_name="panel-1")
    lasting = pki.leaf(None, ["127.0.0.1"], last=99.5 * pki.DAY, common_name="panel-2")    # no day ends meanwhile
    one, other = account(ending), account(lasting, "b")
    account(None, "c", one.sink)
    one.send_through()
    other.challenged()
    first, second = station.json("trust", "servers")
    assert (first["host"], first["port"], first["accounts"]) == ("127.0.0.1", one.sink.port, ["a", "c"])
    assert first["subject"].startswith("CN=panel-1") and first["issuer"].startswith("CN=System root")
    assert plain(first["fingerprintSha256"]) == ending.fingerprint
    assert (first["daysLeft"], first["verifiedBy"]) == (5, "system")
    assert (second["port"], second["accounts"], second["verifiedBy"]) == (other.sink.port, ["b"], None)
    shown = station.ctl("trust", "servers", env={"COLUMNS": "200"}).out.splitlines()
    assert "VALID UNTIL" in shown[0] and "not accepted" in shown[2]
    kept = os.path.join(station.state, "certificates.json")
    until(lambda: os.path.exists(kept) and len(json.load(open(kept))["certificates"]) == 2)
    station.restart()
    again = station.json("trust", "servers")
    assert [{**row, "lastSeen": 0} for row in again] == [{**row, "lastSeen": 0} for row in (first, second)]
    accept(station, station.json("challenge", "list")[0])
    station.wait_status("b", "ok")
    until(lambda: station.json("trust", "servers")[1]["verifiedBy"] == "allowedHost")


# ---- importing from a server

def test_import_from_a_server(station, new_fake, certificates):
    chain = [certificates.user]
    leaf = pki.leaf(certificates.user, ["127.0.0.1"], chain=chain)
    server = new_fake("imap", "good", leaf, implicit_tls=True)
    place = f"127.0.0.1:{server.port}"
    look = ("trust", "import", "--from-server", place, "--transport", "imap", "--security", "ssl")
    assert "--fingerprint is required" in station.ctl(*look, code=2).err
    refused = station.ctl(*look, "--fingerprint", leaf.fingerprint, code=None)
    assert refused.code != 0 and station.json("trust", "list") == []
    result = station.ctl("--json", *look, "--fingerprint", certificates.user.fingerprint[:16]).json
    assert result[0]["result"] == "imported"
    assert [one["certificate"]["subject"] for one in station.json("trust", "list")][0].startswith("CN=Plant root")
    assert server.leaks() == []


def test_a_server_that_keeps_its_issuer_back(station, new_fake, certificates):
    server = new_fake("smtp", "good", pki.leaf(certificates.user, ["127.0.0.1"]))
    said = station.ctl("trust", "import", "--from-server", f"127.0.0.1:{server.port}", "--transport", "smtp",
                       "--security", "starttls", "--fingerprint", "ab" * 32, code=None)
    assert said.code != 0 and "Plant root" in said.err and "trust import FILE" in said.err
    assert station.json("trust", "list") == []


# ---- client certificates

def test_keys_are_stored_listed_and_deleted(station, certificates):
    client = pki.leaf(certificates.system, ["client.example"])
    station.ctl("trust", "key", "import", "plant", "-", stdin=client.pem + client.key_pem)
    key, = station.json("trust", "key", "list")
    assert key["name"] == "plant" and key["fault"] is None
    assert key["certificate"]["fingerprintSha256"].replace(":", "").lower() == client.fingerprint
    secret = client.key_pem.splitlines()[1].decode()
    assert secret not in station.ctl("--json", "trust", "key", "list").said and secret not in station.log()
    path = os.path.join(station.state, "keys", "plant.pem")
    assert os.stat(path).st_mode & 0o777 == 0o600
    station.restart()
    assert [one["name"] for one in station.json("trust", "key", "list")] == ["plant"]
    station.ctl("trust", "key", "delete", "plant")
    assert station.json("trust", "key", "list") == [] and not os.path.exists(path)
    station.ctl("trust", "key", "delete", "plant", code=None)


def test_keys_that_are_none_are_refused(station, certificates):
    client, other = pki.leaf(None, ["one.example"]), pki.leaf(None, ["other.example"])
    for name, content in (("a", client.pem), ("a", client.key_pem), ("a", client.pem + other.key_pem), ("a", b"rubbish"),
                          ("a", b""), ("../a", client.pem + client.key_pem), ("a", b"x" * 70000)):
        result = station.ctl("trust", "key", "import", name, "-", stdin=content, code=None)
        assert result.code != 0 and result.err
    assert station.json("trust", "key", "list") == []


def test_keys_that_do_not_fit_are_told_apart(station):
    """Each refusal says what is wrong, also to a program that has no tool to open the file with."""
    client, other = pki.leaf(None, ["one.example"]), pki.leaf(None, ["other.example"])

    def refused(content):
        result = station.ctl("trust", "key", "import", "plant", "-", stdin=content, code=None)
        assert result.code != 0 and station.json("trust", "key", "list") == []
        return result.err

    assert "no private key" in refused(client.pem)
    assert "no certificate" in refused(client.key_pem)
    assert "neither" in refused(b"words")
    assert "not that of its first certificate" in refused(client.pem + other.key_pem)
    phrase = serialization.BestAvailableEncryption(b"word")
    for said, content in (
            ("has a passphrase", client.pem + client.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, phrase)),
            ("is PKCS#12", pkcs12.serialize_key_and_certificates(b"plant", client.key, client.x509, None, phrase))):
        with pytest.raises(varlink.VarlinkError) as refusal:
            station.call(varlink.TRUST + "ImportKey", name="plant", key=base64.b64encode(content).decode())
        assert said in str(refusal.value) and "emailsecctl trust key import plant FILE" in str(refusal.value)


# What openssl makes of cert.pem, key.pem and root.pem, with the passphrase in use.
FORMS = {
    "p12": "openssl pkcs12 -export -in cert.pem -inkey key.pem -certfile root.pem -passout pass:{word}",
    "p12 without a checksum": "openssl pkcs12 -export -nomac -in cert.pem -inkey key.pem -certfile root.pem "
                              "-passout pass:{word}",
    "pem": "cat cert.pem root.pem; openssl pkcs8 -topk8 -in key.pem -passout pass:{word}",
    "pem, key first": "openssl pkcs8 -topk8 -in key.pem -passout pass:{word}; cat cert.pem root.pem",
    "pem of old": "cat cert.pem root.pem; openssl pkey -traditional -aes128 -in key.pem -passout pass:{word}",
}
LEGACY = {
    "p12": "openssl pkcs12 -export -legacy -in cert.pem -inkey key.pem -certfile root.pem -passout pass:{word}",
    "pem": "cat cert.pem root.pem; openssl pkcs8 -topk8 -v1 PBE-SHA1-RC2-40 -provider legacy -provider default "
           "-in key.pem -passout pass:{word}",
}
WORD = "canary wörd"


@pytest.fixture
def key_file(folder):
    root = pki.authority("Client root")
    client = pki.leaf(root, ["client.example"])
    for name, content in (("cert.pem", client.pem), ("key.pem", client.key_pem), ("root.pem", root.pem)):
        with open(os.path.join(folder, name), "wb") as out:
            out.write(content)

    def make(command, word=WORD):
        made = subprocess.run(["sh", "-c", command.replace("{word}", f"'{word}'")], cwd=folder, capture_output=True,
                              check=True, timeout=20).stdout
        path = os.path.join(folder, "given.p12")
        with open(path, "wb") as out:
            out.write(made)
        users.give(path)
        return path
    make.client = client
    return make


def is_stored(station, client):
    key, = station.json("trust", "key", "list")
    assert plain(key["certificate"]["fingerprintSha256"]) == client.fingerprint
    assert key["fault"] is None and key["issuers"] == 1
    with open(os.path.join(station.state, "keys", "plant.pem"), "rb") as stored:
        assert b"ENCRYPTED" not in stored.read()


@pytest.mark.parametrize("form", FORMS)
def test_a_key_with_a_passphrase(station, key_file, form):
    path = key_file(FORMS[form])
    for wrong in (b"", b"\n", b"wrong\n", b"x" * 2000 + b"\n"):
        refused = station.ctl("trust", "key", "import", "plant", path, stdin=wrong, code=1)
        assert path in refused.err and ("passphrase is wrong" in refused.err or "no line with the secret" in refused.err)
        assert station.json("trust", "key", "list") == []
    station.ctl("trust", "key", "import", "plant", path, stdin=WORD.encode() + b"\n")
    is_stored(station, key_file.client)
    assert "canary" not in station.log()


@pytest.mark.parametrize("form", FORMS)
def test_the_key_of_standard_input_cannot_be_asked_about(station, key_file, form):
    with open(key_file(FORMS[form]), "rb") as file:
        refused = station.ctl("trust", "key", "import", "plant", "-", stdin=file.read(), code=1)
    assert "standard input is the file itself" in refused.err
    assert "emailsecctl trust key import plant FILE" in refused.err
    assert station.json("trust", "key", "list") == []


def test_pkcs12_without_a_passphrase_is_not_asked_about(station, key_file):
    with open(key_file(FORMS["p12"], ""), "rb") as file:
        station.ctl("trust", "key", "import", "plant", "-", stdin=file.read())
    is_stored(station, key_file.client)


@pytest.mark.parametrize("form", LEGACY)
def test_a_key_in_legacy_encryption(station, key_file, form):
    """It is told apart from a wrong passphrase, and the command that is named works."""
    path = key_file(LEGACY[form])
    said = station.ctl("trust", "key", "import", "plant", path, stdin=WORD.encode() + b"\n", code=1).err
    assert "too old" in said and station.json("trust", "key", "list") == []
    command = re.search(r"what to do: (.*) \| emailsecctl trust key import plant -", said)[1]
    phrase = f"-passin 'pass:{WORD}'"
    command = re.sub(r"(pkcs12|pkey)", rf"\1 {phrase}", command).replace("FILE", path)
    made = subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=20).stdout
    station.ctl("trust", "key", "import", "plant", "-", stdin=made)
    is_stored(station, key_file.client)


def test_a_passphrase_on_the_terminal(station, key_file):
    path = key_file(FORMS["p12"])
    words = ["--socket", station.socket, "trust", "key", "import", "plant", path]
    status, said = on_terminal(words, [("Passphrase of " + path, WORD)])
    assert status == 0 and "canary" not in said, said
    is_stored(station, key_file.client)
    status, said = on_terminal(words + ["--no-ask-password"])
    assert status == 1 and "passphrase would have to be asked for" in " ".join(said.split())    # lines of a terminal


def test_a_damaged_key_file(station, key_file):
    """Cut short or changed anywhere it is refused, or what is stored is whole."""
    with open(key_file(FORMS["p12"]), "rb") as file:
        whole = file.read()
    path = key_file("true")
    for at in range(1, len(whole), len(whole) // 40):
        for content in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1:]):
            with open(path, "wb") as out:
                out.write(content)
            done = station.ctl("trust", "key", "import", "plant", path, stdin=WORD.encode() + b"\n", code=None)
            assert done.code in (0, 1) and (done.code == 0 or done.err), (at, done)
    for key in station.json("trust", "key", "list"):
        assert key["fault"] is None


def test_a_server_that_demands_a_certificate(station, account, certificates):
    """The account waits for its certificate, and goes on once it is there."""
    client = pki.leaf(certificates.system, ["client.example"], purpose=pki.ExtendedKeyUsageOID.CLIENT_AUTH)
    one = account(certificates.leaf("system", "127.0.0.1"), clientCertificate="plant")
    one.sink.tls.load_verify_locations(cadata=certificates.system.pem.decode())
    one.sink.tls.verify_mode = ssl.CERT_REQUIRED
    queued = one.send()
    sheet = station.wait_status("a", "fault")
    assert "trust key import plant" in sheet["cause"]["remedy"]
    station.ctl("trust", "key", "import", "plant", "-", stdin=client.key_pem + client.pem)
    station.wait_status("a", "ok")
    until(lambda: station.message(queued)["state"] == "sent")
    refused = station.ctl("trust", "key", "delete", "plant", code=None)
    assert refused.code != 0 and "account a uses" in refused.err


# ---- secrets

@pytest.mark.parametrize("form", ("plain", "base64", "message", "token"))
@pytest.mark.parametrize("transport", channels.TRANSPORTS)
def test_a_server_that_repeats_the_password(station, new_fake, certificates, monkeypatch, transport, form):
    echo = {"plain": letters.PASSWORD, "base64": base64.b64encode(letters.PASSWORD.encode()).decode(),
            "message": base64.b64encode(f"\0canary-user\0{letters.PASSWORD}".encode()).decode(),
            "token": base64.b64encode(
                f"user=canary-user\1auth=Bearer {letters.PASSWORD}\1\1".encode()).decode()}[form]
    monkeypatch.setitem(fake_module.UNKNOWN, transport, {
        "smtp": f"535-no\r\n535 {echo} is wrong\r\n", "imap": f"{{tag}} NO {echo} is wrong\r\n",
        "pop3": f"-ERR {echo} is wrong\r\n"}[transport])
    server = new_fake(transport, "good", certificates.leaf("system", "127.0.0.1"), implicit_tls=True)
    station.add(channels.kind_of(transport), "a", **channels.properties(
        transport, "ssl", "127.0.0.1", server.port, "canary-user", debug=True))
    if transport == "smtp":
        station.send("a", "canary-box@example.test")
    sheet = station.wait_status("a", "fault", "down")
    said = station.log() + json.dumps(sheet) + station.ctl("account", "test", "a", code=None).said
    assert echo not in said and letters.PASSWORD not in said
    assert "***" in station.log()


@pytest.mark.parametrize("code", ("451 4.3.0", "550 5.1.1", "421 4.3.2", "530 5.7.0", "220"))
@pytest.mark.parametrize("step", ("ehlo", "mail", "rcpt", "data", "dot"))
def test_a_server_that_repeats_the_password_later(station, account, certificates, step, code):
    """S38: whatever reply repeats it, no journal, history, event, status or file of ours does."""
    one = account(certificates.leaf("system", "127.0.0.1"))
    texts = (letters.PASSWORD, base64.b64encode(letters.PASSWORD.encode()).decode(),
             base64.b64encode(f"\0user\0{letters.PASSWORD}".encode()).decode())
    silent = (step, code) == ("ehlo", "220")    # the answer is still to come
    station.ctl("account", "set", "a", "debug=true", f"connectionTimeout={3 if silent else 30}")
    one.sink.rule(step, f"{code} {' '.join(texts)}")
    queued = one.send()
    until(lambda: station.message(queued)["attempts"] or station.account("a")["status"] in ("down", "fault"))
    said = station.log() + json.dumps(station.message(queued)) + json.dumps(station.account("a")) + \
        json.dumps(station.monitor.events) + station.ctl("account", "test", "a", code=None).said + \
        station.ctl("queue", "show", queued).said + station.ctl("status", code=None).said
    assert not [text for text in texts if text in said], said
    assert "***" in station.log()
    database = b"".join(open(os.path.join(station.state, name), "rb").read() for name in os.listdir(station.state)
                        if name.startswith("station.db"))
    assert not [text for text in texts if text.encode() in database]


def test_a_server_that_offers_the_password(station, account, certificates):
    one = account(certificates.leaf("system", "127.0.0.1"))
    one.sink.extensions = [*one.sink.extensions, f"XECHO {letters.PASSWORD}"]
    said = station.ctl("--json", "account", "test", "a").said
    assert letters.PASSWORD not in said + station.log() and "***" in said


# ---- looking at a server

def test_account_test_shows_everything(station, account, certificates):
    one = account(certificates.leaf("self-signed", "127.0.0.1"))
    _, challenge = one.challenged()
    result = station.ctl("account", "test", "a", code=1)
    for word in ("resolve", "connect", "tls", "certificate", " ms", "TLSv1.3", "X25519", "OCSP answer: none", "names: IP:127.0.0.1",
                 "valid: ", certificates.leaf("self-signed", "127.0.0.1").fingerprint, "is self-signed",
                 f"emailsecctl challenge show {challenge['id']}"):
        assert word.lower() in result.out.lower(), (word, result)


def test_audit_has_a_verdict_on_each(station, account, new_sink, certificates):
    """What is weak is told with the command that mends it; what has ended, be it by an hour, is an alert."""
    def findings(name, code):
        found = [one for one in station.ctl("--json", "audit", code=code).json if one["account"] == name]
        assert all(bool(one["remedy"]) == (one["verdict"] != "ok") for one in found), found
        return {one["check"]: (one["verdict"], one["remedy"]) for one in found}

    good = account(certificates.leaf("system", "127.0.0.1"))
    good.send_through()
    found = findings("a", 0)
    assert {check for check, (verdict, _) in found.items() if verdict != "ok"} == {"secret"}
    assert "emailsecctl account password a --credential" in found["secret"][1]
    one = account(pki.leaf(None, ["127.0.0.1"], last=-pki.DAY / 24), name="b", authentication="plain")
    _, challenge = one.challenged()
    accept(station, challenge)
    one.send_through()
    found = findings("b", 1)
    assert (found["identity"][0], found["expiry"][0], found["login"][0]) == ("warning", "alert", "warning")
    assert "trust import" in found["identity"][1] and "account set b authentication=auto" in found["login"][1]
    station.ctl("account", "set", "b", "debug=true", "minTlsVersion=1.0", "authentication=auto")
    found = findings("b", 1)
    assert (found["debug"][0], found["tlsVersion"][0], found["login"][0]) == ("alert", "alert", "ok")
    station.add("outgoing", "c", **channels.properties("smtp", "plain", "127.0.0.1", new_sink(login=True).port, "user"))
    found = findings("c", 1)
    assert (found["tls"][0], found["login"][0]) == ("alert", "alert") and "secure c ssl" in found["tls"][1]
    for command in (found["tls"][1], found["login"][1], findings("b", 1)["debug"][1], findings("b", 1)["tlsVersion"][1]):
        station.ctl(*command.split()[1:])       # each can be run as it stands
    for name in ("b", "c"):
        station.ctl("account", "disable", name)
    assert findings("b", 0) == {} == findings("c", 0)


def steps_of(station, name):
    return {step["step"]: step for step in station.ctl("--json", "account", "test", name, code=1).json}


def test_a_step_that_failed_has_its_time_and_its_command(station, new_fake, certificates):
    """Each failure stands at the step it belongs to, with how long that took and the command that mends it."""
    leaf = certificates.leaf("system", "127.0.0.1")

    def add(name, transport, security, host, port, **more):
        station.add(channels.kind_of(transport), name, **channels.properties(
            transport, security, host, port, "user", enabled=False, **{"connectionTimeout": 30, **more}))

    add("silent", "imap", "starttls", "127.0.0.1", new_fake("imap", "silent", leaf).port, connectionTimeout=1)
    add("refuses", "pop3", "ssl", "127.0.0.1", new_fake("pop3", "good", leaf, implicit_tls=True).port)
    add("closed", "smtp", "ssl", "127.0.0.1", 1)
    add("nameless", "smtp", "ssl", "no.such.name.invalid", 465)
    silent = steps_of(station, "silent")["tls"]
    assert silent["result"] == "failed" and silent["milliseconds"] >= 900
    assert "emailsecctl account secure silent ssl" in silent["cause"]["remedy"]
    refused = steps_of(station, "refuses")
    assert [refused[name]["result"] for name in ("resolve", "connect", "tls", "certificate", "login")] == ["ok"] * 4 + ["failed"]
    assert "emailsecctl account password refuses" in refused["login"]["cause"]["remedy"]
    closed = steps_of(station, "closed")
    assert (closed["resolve"]["result"], closed["connect"]["result"]) == ("ok", "failed")
    nameless = steps_of(station, "nameless")
    assert nameless["resolve"]["result"] == "failed" and "connect" not in nameless


def test_a_million_rounds_of_hashing_hold_up_nobody(station, account, certificates):
    """The server says how much is to be worked out for SCRAM; the control socket answers meanwhile."""
    one = account(certificates.leaf("system", "127.0.0.1"))
    one.sink.mechanisms, one.sink.iterations = "SCRAM-SHA-256", 1_000_000
    answers = []
    with station.client() as client:
        while not answers or (max(answers) < 100 and len(answers) < 5):
            one.sink.offered.clear()
            one.sink.proved.clear()
            one.sink.cut_all()
            queued = one.send()
            assert one.sink.offered.wait(60)
            answers.append(0)
            while not one.sink.proved.is_set():
                client.call("GetStatus")
                answers[-1] += 1
            assert station.wait_message(queued)["state"] == "sent"
    assert max(answers) >= 100, f"{answers} calls were answered while it was worked out"


def test_a_weaker_way_to_sign_in_is_reported(station, account, certificates):
    one = account(certificates.leaf("system", "127.0.0.1"))
    one.sink.mechanisms = "PLAIN SCRAM-SHA-256"
    one.send_through()
    one.sink.mechanisms = "PLAIN"
    one.sink.cut_all()
    one.send_through()
    event = station.wait_event("account.signinWeaker", account="a")
    assert "by SCRAM-SHA-256 before and by PLAIN now" in event["text"]
    station.restart()
    one.send_through()
    assert station.log().count("and by PLAIN now") == 1
