# SPDX-License-Identifier: MIT
"""The procedure 'securing email' from the challenge to the pruned exemption, and every decision on the way."""

import os
import stat

import pytest

import channels
import letters
import pki
import varlink
from waiting import until


def plain(fingerprint):
    return fingerprint.replace(":", "").lower()


class Mail:
    """An incoming account at an own address of a private sink-like server whose certificate can be switched."""

    def __init__(self, station, sink, name="a", **more):
        self.station, self.sink, self.name = station, sink, name
        security = "ssl" if sink.implicit_tls else "starttls"
        station.add("outgoing", name, **channels.properties("smtp", security, sink.host, sink.port, "user", **more))

    def send(self):
        return self.station.send(self.name, letters.address("box"))

    def send_through(self):
        assert self.station.wait_message(self.send())["state"] == "sent"
        return self.station.wait_status(self.name, "ok")

    def challenged(self):
        """Sends into a challenge: (queue id, the challenge)."""
        queued = self.send()
        self.station.wait_status(self.name, "challenge")
        return queued, self.station.json("challenge", "list")[0]

    def serve(self, certificate):
        """The server has another certificate from now on."""
        self.sink.tls = pki.server_context(certificate, self.sink_folder)
        self.sink.cut_all()


@pytest.fixture
def mail(station, new_sink, certificates, folder):
    def make(kind="self-signed", implicit_tls=True, name="a", **more):
        sink = new_sink(certificates.leaf(kind, "127.0.0.1"), implicit_tls, True)
        one = Mail(station, sink, name, **more)
        one.sink_folder = folder
        return one
    return make


@pytest.mark.parametrize("security", ("ssl", "starttls"))
def test_the_whole_procedure_on_real_servers(station, base, certificates, dovecot, post, box, security):
    """Challenge, accept, mail both ways, import of the root, new certificates, needless, prune, mail again."""
    kind = "self-signed"
    station.add("outgoing", "out", **channels.properties(
        "smtp", security, post.host(kind), post.port("smtp", security, kind), "plant"))
    station.add("incoming", "in", **channels.properties(
        "imap", security, dovecot.host(kind), dovecot.port("imap", security, kind), box))
    queued = station.send("out", letters.address(box))
    for name in ("in", "out"):
        station.wait_status(name, "challenge")
    challenges = station.json("challenge", "list")
    assert sorted(entry["accounts"][0] for entry in challenges) == ["in", "out"]
    shown = station.ctl("challenge", "show", challenges[0]["id"]).out
    assert certificates.leaf(kind).fingerprint[:8] in plain(shown)
    for entry in challenges:
        station.ctl("challenge", "accept", entry["id"], "--fingerprint", certificates.leaf(kind).fingerprint)
    assert station.wait_message(queued)["state"] == "sent"
    station.wait_status("in", "ok")
    until(lambda: len(dovecot.messages(box)) == 1)
    station.ctl("account", "poll", "in")
    assert len(station.inbox("in")) == 1
    try:
        renewed = certificates.leaf("user", post.host(kind))
        station.ctl("trust", "import", "-", stdin=certificates.user.pem)
        post.use(renewed, kind)
        dovecot.use(renewed, kind)
        queued = station.send("out", letters.address(box))
        assert station.wait_message(queued)["state"] == "sent"
        until(lambda: len(dovecot.messages(box)) == 2)
        station.ctl("account", "poll", "in")
        assert len(station.inbox("in")) == 2
        assert [station.account(name)["tls"]["verifiedBy"] for name in ("in", "out")] == ["user", "user"]
        assert [entry["needless"] for entry in station.json("allowed", "list")] == [True, True]
        status = station.json("status")
        assert status["needless"] == 2
        station.ctl("allowed", "prune")
        assert station.json("allowed", "list") == []
        assert station.json("status")["needless"] == 0
        queued = station.send("out", letters.address(box))
        assert station.wait_message(queued)["state"] == "sent"
    finally:
        post.use(certificates.leaf(kind), kind)
        dovecot.use(certificates.leaf(kind), kind)


def test_a_challenge_holds_the_mail_and_stops_nobody_else(station, mail, sink):
    one = mail()
    queued, challenge = one.challenged()
    message = station.message(queued)
    assert message["state"] in ("held", "queued", "deferred") and not message["recipients"][0]["reply"]
    station.add("outgoing", "other", None, **{"hostname": sink.host, "port": sink.port, "useSsl": False,
                                              "from": "sender@example.test"})
    assert station.wait_message(station.send("other", letters.address("box")))["state"] == "sent"
    event = station.wait_event("challenge.raised")
    assert event["data"]["id"] == challenge["id"]
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint",
                challenge["certificate"]["fingerprintSha256"])
    assert station.wait_message(queued)["state"] == "sent"


def alarms(station):
    status = station.json("status")
    shown = station.ctl("metrics").out
    return (status["challenges"], len(station.json("challenge", "list")), int(shown.split("\nemailsec_challenges ")[1].split()[0]))


def test_a_challenge_ends_with_its_cause(station, mail, certificates):
    """The server shows another certificate, or its root is imported: nothing waits any more, and prune knows the rest."""
    one = mail()
    queued, challenge = one.challenged()
    assert alarms(station) == (1, 1, 1)
    one.serve(certificates.leaf("user", "127.0.0.1"))
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)
    assert station.wait_message(queued)["state"] == "sent"
    station.wait_event("challenge.ended", id=challenge["id"])
    assert alarms(station) == (0, 0, 0)
    assert station.notify.wait("STATUS=")["STATUS"] and station.json("status")["needless"] == 1
    assert "challenge needs nobody" in station.ctl("status").out
    assert station.json("allowed", "show", challenge["id"])["needlessBecause"] == "verified"
    assert station.json("allowed", "prune") is not None
    assert station.json("allowed", "list") == [] and station.json("status")["needless"] == 0


@pytest.mark.parametrize("how", ("delete", "port", "tls"))
def test_a_challenge_goes_with_its_account(station, mail, how):
    one = mail()
    _, challenge = one.challenged()
    if how == "delete":
        station.ctl("account", "delete", one.name, "--force")
    elif how == "port":
        station.ctl("account", "set", one.name, "port=1")
    else:
        station.ctl("account", "set", one.name, "useSsl=false", f"port={one.sink.port}", "allowPlaintextAuthentication=true")
    station.wait_event("challenge.ended", id=challenge["id"])
    assert alarms(station) == (0, 0, 0)
    station.restart()
    assert alarms(station) == (0, 0, 0)
    assert station.json("allowed", "show", challenge["id"])["needlessBecause"] == "unused"
    station.ctl("allowed", "prune")
    assert station.json("allowed", "list") == []


def test_the_same_certificate_raises_one_challenge(station, mail):
    one = mail()
    one.challenged()
    for _ in range(3):
        station.ctl("account", "poll", "a", code=1)
    assert len(station.json("challenge", "list")) == 1


def test_accept_by_place_short_id_and_16_digits(station, mail, certificates):
    one = mail()
    _, challenge = one.challenged()
    place = f"{challenge['host']}:{challenge['port']}"
    assert station.json("challenge", "show", place)["id"] == challenge["id"]
    assert station.json("challenge", "show", challenge["id"][:4])["id"] == challenge["id"]
    digits = certificates.leaf("self-signed", "127.0.0.1").fingerprint
    colons = ":".join(digits[i:i + 2] for i in range(0, 64, 2)).upper()
    station.ctl("challenge", "accept", place, "--fingerprint", digits[:15], code=None)
    assert len(station.json("challenge", "list")) == 1
    station.ctl("challenge", "accept", place, "--fingerprint", colons[:24])
    assert station.json("challenge", "list") == []


def test_the_wrong_fingerprint_approves_nothing(station, mail):
    _, challenge = mail().challenged()
    with pytest.raises(varlink.VarlinkError) as caught:
        station.call(varlink.TRUST + "Approve", id=challenge["id"], fingerprint="ab" * 32)
    assert caught.value.short == "FingerprintMismatch"
    assert station.json("challenge", "list")[0]["state"] == "pending"


def test_an_error_that_was_not_shown_is_not_approved(station, mail, certificates):
    one = mail()
    _, challenge = one.challenged()
    codes = [error["code"] for error in challenge["errors"]]
    digits = certificates.leaf("self-signed", "127.0.0.1").fingerprint
    before = station.json("challenge", "list")
    for seen in ([], ["weak"]):
        with pytest.raises(varlink.VarlinkError) as caught:
            station.call(varlink.TRUST + "Approve", id=challenge["id"], fingerprint=digits, errors=seen)
        cause = caught.value.parameters["cause"]
        assert caught.value.short == "WrongState" and all(code in cause["text"] for code in codes), cause
        assert f"emailsecctl challenge show {challenge['id']}" in cause["remedy"]
    assert station.json("challenge", "list") == before
    station.call(varlink.TRUST + "Approve", id=challenge["id"], fingerprint=digits, errors=codes)
    station.wait_status("a", "ok")


def test_reject_is_durable(station, mail):
    one = mail()
    queued, challenge = one.challenged()
    station.ctl("challenge", "reject", challenge["id"])
    station.wait_status("a", "fault")
    assert station.json("challenge", "list") == []
    station.restart()
    station.ctl("account", "poll", "a", code=1)
    sheet = station.wait_status("a", "fault")
    assert sheet["cause"]["code"] == "Rejected"
    assert station.json("challenge", "list") == []
    assert station.json("allowed", "list")[0]["state"] == "rejected"
    # a person can change their mind
    station.ctl("allowed", "delete", challenge["id"])
    station.ctl("account", "poll", "a", code=1)
    station.wait_status("a", "challenge")
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint",
                challenge["certificate"]["fingerprintSha256"])
    assert station.wait_message(queued)["state"] == "sent"


@pytest.mark.parametrize("word", ("unapprove", "delete"))
def test_an_approval_can_be_taken_back(station, mail, word):
    one = mail()
    _, challenge = one.challenged()
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint",
                challenge["certificate"]["fingerprintSha256"])
    one.send_through()
    station.ctl("allowed", word, challenge["id"])
    queued = one.send()
    station.wait_status("a", "challenge")
    assert station.message(queued)["state"] != "sent"
    assert len(one.sink.accepted) == 2


def test_an_approval_is_for_this_certificate_only(station, mail, certificates):
    one = mail()
    _, challenge = one.challenged()
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint",
                challenge["certificate"]["fingerprintSha256"])
    one.send_through()
    one.serve(certificates.leaf("two-defects", "127.0.0.1"))
    _, changed = one.challenged()
    assert changed["class"] == "changed"
    assert changed["replaces"] == challenge["id"]
    shown = station.ctl("challenge", "show", changed["id"]).out
    assert challenge["certificate"]["fingerprintSha256"][:8] in shown or challenge["id"] in shown


def test_an_approval_is_for_this_port_only(station, mail):
    one = mail()
    _, challenge = one.challenged()
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint",
                challenge["certificate"]["fingerprintSha256"])
    one.send_through()
    other = mail(name="b")
    assert other.sink.port != one.sink.port
    _, second = other.challenged()
    assert second["port"] == other.sink.port
    assert second["certificate"]["fingerprintSha256"] == challenge["certificate"]["fingerprintSha256"]


def test_a_pinned_key_survives_a_renewal(station, mail, certificates):
    one = mail()
    _, challenge = one.challenged()
    old = certificates.leaf("self-signed", "127.0.0.1")
    station.ctl("challenge", "accept", challenge["id"], "--key", "--fingerprint", old.key_fingerprint)
    one.send_through()
    one.serve(pki.leaf(None, ["127.0.0.1"], key=old.key, last=700 * pki.DAY))
    sheet = one.send_through()
    assert sheet["tls"]["verifiedBy"] == "allowedHost"


def test_an_exemption_in_time(station, mail):
    one = mail()
    _, challenge = one.challenged()
    station.ctl("challenge", "accept", challenge["id"], "--for", "2s", "--fingerprint",
                challenge["certificate"]["fingerprintSha256"])
    one.send_through()
    station.wait_event("allowed.", id=challenge["id"], timeout=10)
    until(lambda: [e["state"] for e in station.json("allowed", "list")] != ["approved"], 10,
          "the exemption did not end")
    one.send()
    station.wait_status("a", "challenge")
    # again, when the next look at the time is a minute away
    station.ctl("challenge", "accept", challenge["id"], "--for", "2s", "--fingerprint",
                challenge["certificate"]["fingerprintSha256"])
    until(lambda: [e["state"] for e in station.json("allowed", "list")] == ["pending"], 20,
          "the second exemption did not end")


def test_regression_is_told(station, mail, certificates):
    """This account has verified without help: a failure now looks like an attack, and says so."""
    one = mail("system")
    one.send_through()
    one.serve(certificates.leaf("self-signed", "127.0.0.1"))
    _, challenge = one.challenged()
    assert challenge["class"] == "regression"
    assert "attack" in station.ctl("challenge", "show", challenge["id"]).out.lower()


def test_challenges_of_one_place_are_bounded(station, mail):
    one = mail()
    one.challenged()
    for _ in range(10):
        one.serve(pki.leaf(None, ["127.0.0.1"]))
        station.ctl("account", "poll", "a", code=1)
    assert len(station.json("challenge", "list")) == 8


def test_decisions_survive_a_restart_and_name_who(station, mail):
    one = mail()
    _, challenge = one.challenged()
    station.ctl("challenge", "accept", challenge["id"], "--fingerprint",
                challenge["certificate"]["fingerprintSha256"])
    one.send_through()
    before, = station.json("allowed", "list")
    assert before["decided"] and str(os.geteuid()) in before["decidedBy"]
    path = os.path.join(station.state, "allowed-hosts.json")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    station.restart()
    one.send_through()
    after, = station.json("allowed", "list")
    for entry in before, after:
        entry.pop("lastSeen")
    assert after == before


# ---- anchors

def test_import_list_show_delete(station, certificates, folder):
    assert station.json("trust", "list") == []
    path = os.path.join(folder, "root.pem")
    with open(path, "wb") as out:
        out.write(certificates.user.pem)
    station.ctl("trust", "import", path)
    anchor, = station.json("trust", "list")
    assert plain(anchor["fingerprintSha256"]) == certificates.user.fingerprint
    assert anchor["store"] == "user"
    assert "Plant root" in station.ctl("trust", "show", certificates.user.fingerprint[:12]).out
    assert os.path.exists(os.path.join(station.state, "trust", certificates.user.fingerprint + ".pem"))
    system = station.json("trust", "list", "--system")
    assert [plain(one["fingerprintSha256"]) for one in system if one["store"] == "system"] == \
        [certificates.system.fingerprint]
    said = station.ctl("trust", "import", path).said
    assert "present" in said or "already" in said
    station.ctl("trust", "delete", certificates.user.fingerprint)
    assert station.json("trust", "list") == []
    station.ctl("trust", "show", certificates.user.fingerprint, code=1)


@pytest.mark.parametrize("form", ("pem", "der", "bundle"))
def test_import_forms(station, certificates, form):
    other = pki.authority("Another root")
    content = {"pem": certificates.user.pem, "der": certificates.user.der,
               "bundle": b"some words\n" + certificates.user.pem + b"\n" + other.pem}[form]
    station.ctl("trust", "import", "-", stdin=content)
    expected = {certificates.user.fingerprint} | ({other.fingerprint} if form == "bundle" else set())
    assert {plain(one["fingerprintSha256"]) for one in station.json("trust", "list")} == expected


def test_private_keys_and_rubbish_are_refused(station, certificates):
    for content in (certificates.user.key_pem, certificates.user.pem + certificates.user.key_pem, b"", b"rubbish",
                    b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", os.urandom(1000)):
        result = station.ctl("trust", "import", "-", stdin=content, code=1)
        assert result.err
    assert station.json("trust", "list") == []
    assert os.listdir(os.path.join(station.state, "trust")) == []


def test_what_cannot_be_an_anchor_is_refused(station, certificates):
    station.ctl("trust", "import", "-", stdin=certificates.leaf("system").pem, code=1)
    assert station.json("trust", "list") == []


def test_anchors_are_effective_at_once(station, mail, certificates):
    one = mail("user")
    queued, _ = one.challenged()
    station.ctl("trust", "import", "-", stdin=certificates.user.pem)
    assert station.wait_message(queued)["state"] == "sent"
    assert station.wait_status("a", "ok")["tls"]["verifiedBy"] == "user"
    station.ctl("trust", "delete", certificates.user.fingerprint)
    queued = one.send()
    station.wait_status("a", "challenge")
    assert station.message(queued)["state"] != "sent"


def test_system_trust_is_read_again_on_reload(station, mail, certificates):
    one = mail("user")
    queued, _ = one.challenged()
    with open(station.trust, "wb") as out:
        out.write(certificates.system.pem + certificates.user.pem)
    station.ctl("reload")
    assert station.wait_message(queued)["state"] == "sent"
    assert station.wait_status("a", "ok")["tls"]["verifiedBy"] == "system"
