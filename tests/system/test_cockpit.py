# SPDX-License-Identifier: MIT
"""The page for Cockpit, by clicks and keys in Chromium, against a real cockpit-ws, Postfix and Dovecot. Pictures of each
part are kept in build/cockpit."""

import grp
import os
import pwd

import pytest

import cockpit
import letters
import pki
from cockpit import NARROW, WIDE
from waiting import until

pytestmark = pytest.mark.skipif(bool(cockpit.lacks()), reason=cockpit.lacks() or "-")
slow = pytest.mark.slow
READERS = "games"       # a group of every Debian with nobody in it
READER, STRANGER = "sys", "man"     # users of every Debian: a session's user needs a name
PARTS = ("overview", "accounts", "certificates", "queue", "inbox", "log")


@pytest.fixture
def open_page(folder):
    """open_page(station, ...) gives a browser at the station's page, which any user may reach."""
    made = []

    def make(station, uid=0, groups=(), **options):
        web = cockpit.Web(folder, station, uid, groups)
        made.append(web)
        made.append(cockpit.Browser(web, **options))
        return made[-1]

    yield make
    for one in reversed(made):
        one.stop()


class Servers:
    """The worker's Postfix and Dovecot, which show a self-signed certificate first and one of a plant's CA later."""

    def __init__(self, post, dovecot):
        self.post, self.dovecot = post, dovecot
        self.root = pki.authority("Plant of this test")
        names = ["localhost", "127.0.0.1"]
        self.self_signed, self.signed = pki.leaf(None, names), pki.leaf(self.root, names)
        self.use(self.self_signed)

    def use(self, certificate):
        for one in (self.post, self.dovecot):
            one.use(certificate)


@pytest.fixture
def servers(post, dovecot, certificates):
    made = Servers(post, dovecot)
    yield made
    made.use(certificates.leaf("system"))


def add_accounts(station, servers, box):
    station.add("outgoing", "alarms", hostname="localhost", port=servers.post.port("smtp", "ssl"), account=box,
                **{"from": letters.address("plant")})
    station.add("incoming", "operator", transport="imap", hostname="localhost", port=servers.dovecot.port("imap", "ssl"), account=box)
    for name in ("alarms", "operator"):
        station.wait_status(name, "challenge")


def decide_by_fingerprint(page, host, fingerprint):
    """The challenge dialog of that server, from the list to the approval: no bare yes, no wrong fingerprint."""
    page.go("certificates")
    page.click(f"Decide about {host}")
    page.see("What is wrong with it", "self-signed", "1. The better remedy", "2. Or compare, and approve", css="dialog")
    field = page.labelled("SHA-256 fingerprint, as the server's operator tells it")
    assert field.get_attribute("value") == ""
    field.send_keys("yes")
    page.click("Approve")
    page.see("That is no fingerprint", css="dialog")
    field.clear()
    field.send_keys("AB:CD:" + ":".join(["00"] * 30))
    page.click("Approve")
    until(lambda: "That is no fingerprint" not in page.text("dialog") and page.all("dialog .es-invalid"), 10, "a wrong fingerprint is not refused at its field")
    field.clear()
    field.send_keys("sha256 Fingerprint=" + ":".join(fingerprint.upper()[at:at + 2] for at in range(0, 64, 2)))
    page.click("Approve")
    page.dialog_closed()


def send(station, servers, box, subject):
    """A message to oneself, until it lies in the mailbox at the server."""
    before = len(letters.maildir(os.path.join(servers.dovecot.folder, "mail", box)))
    queued = station.send("alarms", letters.address(box), letters.letter(box, subject))
    return lambda: until(lambda: len(letters.maildir(os.path.join(servers.dovecot.folder, "mail", box))) > before, cockpit.PATIENCE,
                         lambda: f"not delivered: {station.message(queued)}\n{servers.post.log()[-3000:]}")


def test_opens(station, open_page):
    """The page stands within its own strict policy, and follows what happens without being asked."""
    page = open_page(station)
    page.see("Mail station", "station.example", "there is no account yet")
    station.ctl("account", "add", "outgoing", "plant", "hostname=127.0.0.1", "port=1", "useSsl=false", "enabled=false")
    page.see("plant", "disabled")
    page.go("accounts")
    page.see("plant", css="table")
    assert page.trouble() == []


@slow
def test_securing_email(new_station, open_page, servers, box, folder):
    """'Securing email' by clicks alone: challenge, fingerprint, mail, import of the CA, exemptions pruned."""
    station = new_station().start()
    add_accounts(station, servers, box)
    page = open_page(station)
    page.see("decision needed", "alarms", "operator", "Decide")
    page.shot("1-challenge-overview")
    delivered = send(station, servers, box, "first alarm")

    for account in ("alarms", "operator"):
        port = station.account(account)["port"]
        decide_by_fingerprint(page, f"localhost:{port}", servers.self_signed.fingerprint)
        station.wait_status(account, "ok")
    page.see("No certificate waits for a decision.", "approved", "exemption")
    page.shot("2-approved")
    delivered()

    page.go("accounts", "operator")
    page.click("Try now")
    page.go("inbox", "operator")
    page.see("first alarm")
    page.click("first alarm")
    page.see("Line one.", css="dialog")
    assert "Attachments" not in page.text("dialog")
    page.shot("3-letter")
    page.click("Close", within=".es-dialog-foot")

    root = os.path.join(folder, "plant-ca.pem")
    with open(root, "wb") as out:
        out.write(servers.root.pem)
    page.go("certificates")
    page.click("Import a certificate")
    page.labelled("File with certificates").send_keys(root)
    page.click("Import")
    page.dialog_closed()
    page.see("Plant of this test")

    servers.use(servers.signed)
    delivered = send(station, servers, box, "second alarm")
    for account in ("alarms", "operator"):      # either may have met a server that was being started anew, and waits
        page.go("accounts", account)
        page.see(account, css="h2")
        page.click("Try now")
    delivered()
    page.go("certificates")
    page.see("no longer needed", "Prune 2 that are no longer needed")
    page.shot("4-needless")
    page.click("Prune 2 that are no longer needed")
    page.see("There are no exemptions")
    page.go("overview")
    page.see("Nothing is wrong.")
    page.shot("5-well")
    assert station.call("GetStatus")["status"]["exemptions"] == 0
    assert page.trouble() == []


@slow
def test_errors_at_their_fields(station, open_page):
    """The sheet: the exclusive choice moves the port, all problems are shown at once, each at its field, and defaults are
    marked."""
    station.add("outgoing", "plant", hostname="127.0.0.1", port=465, enabled=False)
    page = open_page(station)
    page.go("accounts", "plant")
    page.see("useSsl", "useStartTls", "default")
    assert page.labelled("port").get_attribute("value") == "465"
    page.press(page.all("#property-security-starttls")[0])
    assert page.labelled("port").get_attribute("value") == "587"
    for label, text in (("hostname", "no host!"), ("pollRate", "-5"), ("from", "not an address"), ("connectionTimeout", "soon")):
        page.fill(label, text)
    page.click("Save")
    page.see("Nothing was changed: 4 problems.")
    for label in ("hostname", "pollRate", "from", "connectionTimeout"):
        control = page.labelled(label)
        assert control.get_attribute("aria-invalid") == "true", label
        described = control.get_attribute("aria-describedby").split()[-1]
        assert len(page.text(f"#{described}")) > 10, label
    assert page.script("return document.activeElement.id") == "property-hostname"
    page.shot("errors")
    page.resize(NARROW)
    page.shot("errors")
    page.resize(WIDE)
    assert station.account("plant")["useSsl"] is True
    for label, text in (("hostname", "127.0.0.2"), ("pollRate", "15m"), ("from", "plant@example.test"), ("connectionTimeout", "20")):
        page.fill(label, text)
    page.click("Save")
    page.see("Saved.")
    sheet = station.account("plant")
    assert (sheet["useSsl"], sheet["useStartTls"], sheet["port"], sheet["pollRate"]) == (False, True, 587, 900)
    assert not page.all("[aria-invalid=true]")
    assert page.trouble() == []


@slow
def test_changed_certificate_beside_the_old(new_station, open_page, servers, box):
    """A certificate that took the place of an approved one is shown beside it, what differs is marked; rejected here."""
    station = new_station().start()
    add_accounts(station, servers, box)
    port = station.account("alarms")["port"]
    page = open_page(station)
    decide_by_fingerprint(page, f"localhost:{port}", servers.self_signed.fingerprint)
    station.wait_status("alarms", "ok")
    servers.use(pki.leaf(None, ["localhost", "elsewhere.example"]))
    station.send("alarms", letters.address(box))
    station.wait_status("alarms", "challenge")
    page.click(f"Decide about localhost:{port}")
    page.see("This server showed another certificate before", "The certificate before and now", "elsewhere.example", css="dialog")
    differs = [one.text.split(chr(10))[0] for one in page.all("dialog .es-differs th")]
    assert "SHA-256 fingerprint" in " ".join(differs) and "Names" in " ".join(differs), differs
    assert "Key\n" not in differs
    page.shot("changed")
    page.resize(NARROW)
    page.shot("changed")
    assert not page.overflow()
    page.resize(WIDE)
    page.click("Reject")
    page.dialog_closed()
    page.see("rejected")
    assert station.account("alarms")["status"] == "fault"


@slow
def test_comes_back(station, open_page):
    """A daemon that ends and starts again: the page says that it is not there, and goes on by itself."""
    station.add("outgoing", "plant", hostname="127.0.0.1", port=1, enabled=False)
    page = open_page(station)
    page.see("plant", "disabled")
    station.stop()
    page.see("not connected", "The mail station")
    station.start()
    page.not_see("not connected")
    station.ctl("account", "delete", "plant")
    page.see("there is no account yet")


@slow
def test_account_is_added_and_deleted(station, open_page):
    """A new account with what is missing told at its fields, its password, and its end."""
    page = open_page(station)
    page.go("accounts")
    page.click("Add an account")
    page.see("New account", "maxConnections")
    page.click("Add")
    page.see("Nothing was changed")
    assert page.all("#property-name[aria-invalid]") or page.all("#property-hostname[aria-invalid]")
    page.fill("Name", "plant")
    page.fill("hostname", "127.0.0.1")
    page.fill("from", "plant@example.test")
    page.press(page.labelled("enabled"))
    page.click("Add")
    page.see("Password of plant", css="dialog")
    page.fill("Password", letters.PASSWORD)
    page.click("Save")
    page.dialog_closed()
    page.see("stored")
    assert letters.PASSWORD not in page.script("return document.documentElement.outerHTML")
    page.click("Delete")
    page.see("Delete the account plant?", css="dialog")
    page.click("Delete", within="form")
    page.see("There is no account yet.")
    assert page.trouble() == []


@slow
def test_reader_looks_only(new_station, open_page):
    """A reader's rights: everything is shown, nothing can be changed, and the page says so."""
    station = new_station({"Control.ReadGroup": READERS}).start()
    os.chmod(station.socket, 0o666)
    station.add("outgoing", "plant", hostname="127.0.0.1", port=1, enabled=False, **{"from": letters.address("plant")})
    queued = station.send("plant", letters.address("box"))
    os.chmod(station.folder, 0o755)
    page = open_page(station, uid=pwd.getpwnam(READER).pw_uid, groups=[grp.getgrnam(READERS).gr_gid])
    page.see("read only", "You may look, not change", "plant")
    page.go("accounts", "plant")
    page.see("hostname")
    assert all(not one.is_enabled() for one in page.all("[id^=property-]:not(fieldset):not(p)"))
    page.go("queue")
    page.see(queued)
    for text in ("Delete", "Retry", "Save", "Add an account", "Import a certificate", "Prune"):
        for part in ("accounts", "queue", "certificates"):
            page.go(part)
            page.see("Mail station")
            assert text not in [one.text for one in page.all("button")], (text, part)
    page.shot("reader")
    assert page.trouble() == []


@slow
def test_stranger_is_told(new_station, open_page):
    """Who may not even look is told what to do."""
    station = new_station().start()
    os.chmod(station.socket, 0o666)
    page = open_page(station, uid=pwd.getpwnam(STRANGER).pw_uid)
    page.see("emailsec")
    assert page.all("[role=alert]")


@slow
def test_queue_by_keys(station, open_page):
    """The queue by the keyboard alone: chosen, held, released, deleted."""
    from selenium.webdriver.common.keys import Keys
    station.add("outgoing", "plant", hostname="127.0.0.1", port=1, enabled=False, **{"from": letters.address("plant")})
    ids = [station.send("plant", letters.address("box")) for _ in range(2)]
    page = open_page(station)
    page.go("queue")
    page.see(*ids)

    def tab_to(what):
        for _ in range(80):
            page.keys(Keys.TAB)
            if page.script("const one = document.activeElement; return one.getAttribute('aria-label') || one.textContent.trim()") == what:
                return
        raise AssertionError(f"Tab does not come to {what}")

    tab_to(f"Choose {ids[0]}")
    page.keys(Keys.SPACE)
    tab_to("Hold")
    page.keys(Keys.ENTER)
    until(lambda: station.message(ids[0])["state"] == "held", 10)
    tab_to("Choose all")
    page.keys(Keys.ENTER)
    tab_to("Delete")
    page.keys(Keys.ENTER)
    page.see("Delete 2 messages?", css="dialog")
    page.keys(Keys.ESCAPE)
    page.dialog_closed()
    assert page.script("return document.activeElement.textContent") == "Delete"      # the focus comes back
    page.keys(Keys.ENTER)
    page.see("Delete 2 messages?", css="dialog")
    tab_to("Delete")
    page.keys(Keys.ENTER)
    page.see("No message is here.")


HEARD = """window.asked = [];
const was = cockpit.channel;
cockpit.channel = options => {
    const channel = was(options);
    const send = channel.send;
    channel.send = bytes => {
        window.asked.push(JSON.parse(new TextDecoder().decode(bytes).slice(0, -1)).method.split(".").pop());
        return send(bytes);
    };
    return channel;
};"""


@slow
def test_queue_by_its_address(station, open_page):
    """What is shown of the queue is what the address says, whatever was chosen before and whatever happens; what a person
    ticks or seeks asks the daemon nothing."""
    for name in ("plant", "spare"):
        station.add("outgoing", name, hostname="127.0.0.1", port=1, enabled=False, **{"from": letters.address("plant")})
    ids = {name: station.send(name, letters.address("box")) for name in ("plant", "spare")}
    page = open_page(station)
    page.go("queue", "failed")
    page.see("No message is here.")
    state = page.labelled("State")
    assert state.get_attribute("value") == "failed"
    page.script("arguments[0].focus(); arguments[0].value = ''; arguments[0].dispatchEvent(new Event('change'))", state)
    page.see(*ids.values())
    assert page.script("return [cockpit.location.href, document.activeElement.id]") == ["/queue", "queue-state"]
    station.ctl("queue", "hold", ids["plant"])      # an event of the queue
    page.see("held", css="table")
    assert page.labelled("State").get_attribute("value") == ""
    page.script("cockpit.location.go(['queue', 'queued'], {account: 'spare'})")
    until(lambda: ids["plant"] not in page.text() and ids["spare"] in page.text(), cockpit.PATIENCE)
    assert page.labelled("Account").get_attribute("value") == "spare"
    page.script(HEARD)
    page.click(f"Choose {ids['spare']}", css="input")
    until(lambda: page.named("Hold").is_enabled(), cockpit.PATIENCE)
    page.fill("Search", "nowhere")
    page.see("No message is here.")
    assert page.script("return window.asked") == []
    page.go("queue")
    page.see(*ids.values())
    assert page.labelled("State").get_attribute("value") == "" and page.labelled("Account").get_attribute("value") == ""
    assert page.trouble() == []


@slow
def test_certificates_are_read_where_they_are_shown(station, open_page):
    page = open_page(station)
    page.see("there is no account yet")
    page.script(HEARD)
    station.add("outgoing", "plant", hostname="127.0.0.1", port=1, enabled=False)
    page.see("plant", "disabled")
    assert "GetStatus" in page.script("return window.asked")
    assert [one for one in page.script("return window.asked") if one.startswith("List")] == []
    page.go("certificates")
    page.see("No account has met a server yet.", "No certificate waits for a decision.")
    assert {"ListAllowedHosts", "ListServerCertificates"} <= set(page.script("return window.asked"))


@slow
def test_peer_text_is_text(station, open_page, dovecot, box):
    """What a stranger writes is shown as it is written: no markup of it comes into the page."""
    evil = "<img src=x onerror=document.title='taken'><b>bold</b>"
    dovecot.deliver(box, letters.letter(box, f"{evil} subject", f"{evil}\n\u202efdp.exe\n"))
    station.add("incoming", "operator", transport="imap", hostname="localhost", port=dovecot.port("imap", "ssl"), account=box)
    station.wait_event("mail.received", account="operator")
    page = open_page(station)
    page.go("inbox", "operator")
    page.see(f"{evil} subject")
    page.click(f"{evil} subject")
    page.see(evil, css="dialog pre")
    page.see("\\u{202E}fdp.exe", css="dialog pre")
    assert not page.all("dialog img, dialog b, table img, table b")
    assert page.script("return document.title") == "Inbox – Mail station"


@slow
def test_steps_as_they_come(station, open_page, post, box):
    """The test of an account and the probe of a server show each step."""
    station.add("outgoing", "alarms", hostname="localhost", port=post.port("smtp", "ssl"), account=box)
    page = open_page(station)
    page.go("accounts", "alarms")
    page.click("Test")
    page.see("find the server's address", "connect", "sign in", "finished", css="dialog")
    page.shot("test")
    page.keys("\ue00c")
    page.dialog_closed()
    page.go("accounts")
    page.click("Probe a server")
    page.fill("Host", "localhost")
    page.fill("Port", str(post.port("smtp", "starttls")))
    page.script("arguments[0].value = 'starttls'", page.labelled("Security"))
    page.click("Probe")
    page.see("find the server's address", "TLS", "finished", css="dialog")
    assert page.trouble() == []


@slow
def test_log_and_language(station, open_page):
    """The journal line by line as it comes; the page in German."""
    station.add("outgoing", "plant", hostname="127.0.0.1", port=1, enabled=False)
    page = open_page(station, language="de")
    page.see("Mailstation", "Übersicht", "Zertifikate")
    page.go("log")
    page.web.write_journal("account plant: <b>the first line</b>")
    page.see("account plant: <b>the first line</b>", css=".es-log")
    page.web.write_journal("a fault", 3)
    page.see("a fault", css=".es-log-bad")
    page.shot("german")
    page.resize(NARROW)
    for path in (*((part,) for part in PARTS), ("accounts", "plant")):
        page.go(*path)
        page.see("Mailstation")
        until(lambda: "Wird gelesen" not in page.text(), 10)
        assert page.overflow() == [], path
    page.see("Eigenschaften", "der Server, und der Name")
    page.shot("german")
    assert page.trouble() == []


@slow
@pytest.mark.skipif(not cockpit.installed_axe(), reason="needs axe-core in build/cockpit (make deps-cockpit)")
@pytest.mark.parametrize("style", ("light", "dark"))
def test_reaches_everybody(new_station, open_page, servers, box, style):
    """At 360 and 1920 pixels, light and dark: nothing sticks out, axe-core finds nothing, and there is a picture of it."""
    station = new_station().start()
    add_accounts(station, servers, box)
    station.add("outgoing", "spare", hostname="mail.invalid", account="x")
    station.send("alarms", letters.address(box), letters.letter(box, "waits for a decision"))
    challenge = station.json("challenge", "list")[0]
    page = open_page(station, style=style)
    found = {}

    def judge(name):
        for size in (NARROW, WIDE):
            page.resize(size)
            page.shot(name)
            found[f"{name} {size[0]}"] = page.overflow() + page.axe()

    for part in PARTS:
        page.go(part)
        page.see("Mail station")
        until(lambda: "Reading" not in page.text(), 10)
        judge(part)
    for path in (("accounts", "alarms"), ("accounts", "+")):
        page.go(*path)
        page.see("hostname", "maxConnections")
        judge("-".join(path).replace("+", "new"))
    page.go("certificates")
    page.click(f"Decide about {challenge['host']}:{challenge['port']}")
    page.see("1. The better remedy")
    judge("challenge")
    for path, name, text in ((("certificates",), "Import a certificate", "PKCS#7"), (("accounts",), "Probe a server", "Transport"),
                             (("accounts", "spare"), "Password", "credential"), (("accounts", "spare"), "Delete", "Its settings")):
        page.keys("\ue00c")
        page.dialog_closed()
        page.go(*path)
        page.click(name)
        page.see(text, css="dialog")
        judge(f"dialog-{name.split()[0].lower()}")
    assert not {name: what for name, what in found.items() if what}
    assert page.trouble() == []
