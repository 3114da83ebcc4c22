# SPDX-License-Identifier: MIT
"""Every kind of certificate, one defect each, against every transport: the verdict, its errors, the sentence a person
reads and its remedy. OpenSSL's own verification is asked as well and must agree wherever the question is the same."""

import dataclasses
import functools
import ipaddress
import os
import re
import subprocess
import tempfile

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

import channels
import letters
import pki
import users

HOST = "mail.case.example"
IDN = "bücher.example"
DAY = pki.DAY


def make(name, issuer=None, *, names=(HOST,), first=-10 * DAY, last=300 * DAY, ca=False, path_length=None, key=None,
         digest=None, purpose=ExtendedKeyUsageOID.SERVER_AUTH, chain=(), more=(), usage=None):
    """A certificate with what a case wants different. issuer None: self-signed."""
    key = key or pki._key()
    subject = pki._name(name)
    builder = (x509.CertificateBuilder().subject_name(subject)
               .issuer_name(issuer.x509.subject if issuer else subject).public_key(key.public_key())
               .serial_number(x509.random_serial_number())
               .not_valid_before(pki._now() + first).not_valid_after(pki._now() + last)
               .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))
    if ca and usage is None:
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    if usage:
        builder = builder.add_extension(usage, critical=True)
    if purpose and not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if names and not ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([pki._general_name(n) for n in names]), False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical)
    return pki.Certificate(builder.sign(issuer.key if issuer else key, digest or hashes.SHA256()), key, chain)


class World:
    """The anchors: a system root, an imported one, and one nobody knows."""

    def __init__(self):
        self.system = make("System root", ca=True)
        self.user = make("Plant root", ca=True)
        self.stranger = make("Stranger root", ca=True)
        self.issuing = make("Issuing 1", self.system, ca=True)
        self.old_root = make("System root", ca=True, key=self.system.key, first=-900 * DAY, last=-DAY)


@pytest.fixture(scope="module")
def world():
    return World()


def cross_signed(w):
    key = pki._key()
    return make(HOST, make("Other root", ca=True, key=key), chain=[make("Other root", w.system, ca=True, key=key)])


def wrong_order(w):
    second = make("Second level", w.issuing, ca=True)
    return make(HOST, second, chain=[w.issuing, make("In no chain", w.stranger, ca=True), second, w.issuing])


def path_length(w):
    first = make("One level only", w.system, ca=True, path_length=0)
    second = make("One too many", first, ca=True)
    return make(HOST, second, chain=[second, first])


def name_constraints(w):
    only = x509.NameConstraints([x509.DNSName("plant.example")], None)
    ca = make("Plant names only", w.system, ca=True, more=[(only, True)])
    return make(HOST, ca, chain=[ca])


def leaf_as_issuer(w):
    leaf = make("A leaf", w.system, names=["leaf.example"])
    return make(HOST, leaf, chain=[leaf])


def weak_rsa():
    return rsa.generate_private_key(65537, 1024)


def unknown_root_not_sent(w):
    ca = make("Stranger issuing", w.stranger, ca=True)
    return make(HOST, ca, chain=[ca])


ISSUER_PLACE = [(x509.AuthorityInformationAccess([x509.AccessDescription(
    AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://ca.example/issuing.cer"))]), False)]
MUST_STAPLE = [(x509.TLSFeature([x509.TLSFeatureType.status_request]), False)]


@dataclasses.dataclass
class Case:
    name: str
    certificate: object                 # World -> Certificate
    verdict: str                        # system, user, challenge, fault
    errors: set = dataclasses.field(default_factory=set)
    sentence: str = ""                  # in the cause
    remedy: str = ""                    # at its beginning
    host: str = HOST
    looser: bool = False                # OpenSSL's tools accept it: a common name alone, a part of a label, no staple
    staple: str = ""
    revoked: str = ""                   # a revocation list: "leaf" or "nobody" is on it
    system: object = None               # World -> further anchors of the System Trust Store


IMPORT = r"import the issuer: emailsecctl trust import FILE"
ANEW = "have the certificate issued anew with this host name as subject alternative name"
CASES = [
    Case("good", lambda w: make(HOST, w.system), "system"),
    Case("good-user", lambda w: make(HOST, w.user), "user"),
    Case("good-intermediate", lambda w: make(HOST, w.issuing, chain=[w.issuing]), "system"),
    Case("root-sent-too", lambda w: make(HOST, w.issuing, chain=[w.issuing, w.system]), "system"),
    Case("self-signed", lambda w: make(HOST), "challenge", {"selfSigned"}, r"is self-signed and in no trust store",
         r"give the server a certificate of your own CA and import that CA"),
    Case("unknown-issuer", lambda w: make(HOST, w.stranger, chain=[w.stranger]), "challenge", {"unknownIssuer"},
         r'issuer "Stranger root" is in no trust store', IMPORT),
    Case("missing-intermediate", lambda w: make(HOST, w.issuing), "challenge", {"unknownIssuer"},
         r'issuer "Issuing 1" is in no trust store and was not sent: either the server forgot this intermediate, or that '
         r'is a root', r'have the server send the intermediate "Issuing 1", if it is one; or ' + IMPORT),
    Case("missing-intermediate-of-a-public-ca", lambda w: make(HOST, w.issuing, more=ISSUER_PLACE), "challenge",
         {"unknownIssuer"}, r'issuer "Issuing 1" is in no trust store and was not sent by the server, which most likely '
         r'forgot this intermediate', r'have the server send the intermediate "Issuing 1"; or ' + IMPORT),
    Case("another-intermediate-sent", lambda w: make(HOST, w.issuing, chain=[make("Issuing 2", w.system, ca=True)]),
         "challenge", {"unknownIssuer"}, r'issuer "Issuing 1" .* the server forgot this intermediate',
         r'have the server send the intermediate "Issuing 1"'),
    Case("unknown-root-not-sent", unknown_root_not_sent, "challenge", {"unknownIssuer"},
         r'issuer "Stranger root" is in no trust store and was not sent by the server$', IMPORT),
    Case("expired", lambda w: make(HOST, w.system, last=-DAY), "challenge", {"expired"},
         r'certificate "mail.case.example" expired at \d{4}-', r"have the server's operator renew"),
    Case("expired-issuer", lambda w: (lambda ca: make(HOST, ca, chain=[ca]))(
        make("Old issuer", w.system, ca=True, last=-DAY)), "challenge", {"expired"},
         r'certificate "Old issuer" expired at \d{4}-', r"have the server's operator renew"),
    Case("not-yet-valid", lambda w: make(HOST, w.system, first=DAY), "challenge", {"notYetValid"},
         r'is not valid before \d{4}-', r"check the clocks"),
    Case("wrong-name", lambda w: make(HOST, w.system, names=["elsewhere.example"]), "challenge", {"wrongName"},
         r'the certificate is for elsewhere\.example, not for "mail\.case\.example"',
         r"the certificate says elsewhere\.example: set hostname to that if it is the server meant"),
    Case("wrong-names", lambda w: make(HOST, w.system, names=["*.plant.example", *(f"{n}.example" for n in "abcd")]),
         "challenge", {"wrongName"}, r"is for \*\.plant\.example, a\.example, b\.example and 2 more, not for",
         r"the certificate says a\.example: "),
    Case("cn-only", lambda w: make(HOST, w.system, names=[]), "challenge", {"wrongName"},
         r"names no host \(a common name alone does not count\)", ANEW, looser=True),
    Case("wildcard", lambda w: make(HOST, w.system, names=["*.case.example"]), "system"),
    Case("wildcard-too-deep", lambda w: make(HOST, w.system, names=["*.example"]), "challenge", {"wrongName"},
         r"is for \*\.example, not for", ANEW),
    Case("wildcard-partial", lambda w: make(HOST, w.system, names=["ma*.case.example"]), "challenge", {"wrongName"},
         r"is for ma\*\.case\.example, not for", ANEW, looser=True),
    Case("wildcard-not-left", lambda w: make(HOST, w.system, names=["mail.*.example"]), "challenge", {"wrongName"},
         r"not for", ANEW),
    Case("address", lambda w: make("x", w.system, names=["127.0.0.1"]), "system", host="127.0.0.1"),
    Case("address-as-name", lambda w: make("x", w.system, names=[], more=[
        (x509.SubjectAlternativeName([x509.DNSName("127.0.0.1")]), False)]), "challenge", {"wrongName"},
         r'not for "127\.0\.0\.1"', ANEW, host="127.0.0.1"),
    Case("address-in-cn", lambda w: make("127.0.0.1", w.system, names=[]), "challenge", {"wrongName"},
         r"names no IP address", ANEW, host="127.0.0.1"),
    Case("name-for-an-address", lambda w: make(HOST, w.system), "challenge", {"wrongName"},
         r'is for mail\.case\.example, not for "127\.0\.0\.1"', r"the certificate says mail\.case\.example",
         host="127.0.0.1"),
    Case("idn", lambda w: make("x", w.system, names=["xn--bcher-kva.example"]), "system", host=IDN),
    Case("idn-wrong", lambda w: make("x", w.system, names=["bucher.example"]), "challenge", {"wrongName"},
         r"is for bucher\.example", r"the certificate says bucher\.example", host=IDN),
    Case("nul-in-name", lambda w: make("x", w.system, names=[HOST + "\0.evil.example"]), "challenge", {"wrongName"},
         r"not for", ANEW),
    Case("client-only", lambda w: make(HOST, w.system, purpose=ExtendedKeyUsageOID.CLIENT_AUTH), "fault", {"purpose"},
         r"is not made for a TLS server", r"the server's operator must install a certificate made for a TLS server"),
    Case("ca-as-leaf", lambda w: make(HOST, w.system, ca=True, more=[
        (x509.SubjectAlternativeName([x509.DNSName(HOST)]), False)]), "fault", {"purpose"},
         r"is not made for a TLS server", r"the server's operator must install"),
    Case("leaf-as-issuer", leaf_as_issuer, "fault", {"purpose"}, r'certificate "A leaf" ',
         r"the server's operator must install"),
    Case("path-length", path_length, "fault", {"purpose"}, r'"One level only" has more issuers below it',
         r"the server's operator must install"),
    Case("name-constraints", name_constraints, "fault", {"purpose"}, r"carries a name that its issuer may not give",
         r"the server's operator must install"),
    Case("rsa-1024", lambda w: make(HOST, w.system, key=weak_rsa()), "fault", {"weak"},
         r"has an RSA key of 1024 bits, which is too short", r"the server's operator must install"),
    Case("sha1", lambda w: make(HOST, w.system, digest=hashes.SHA1()), "fault", {"weak"},
         r"is signed with .*[sS][hH][aA]-?1.*, which is too weak", r"the server's operator must install"),
    Case("md5", lambda w: (lambda ca: make(HOST, ca, chain=[ca], digest=hashes.MD5()))(
        make("RSA issuer", w.system, ca=True, key=rsa.generate_private_key(65537, 2048))), "fault", {"weak"},
         r"is signed with .*[mM][dD]5.*, which is too weak", r"the server's operator must install"),
    Case("three-defects", lambda w: make("x", names=["elsewhere.example"], last=-DAY), "challenge",
         {"selfSigned", "wrongName", "expired"}, r"self-signed.*expired|expired.*self-signed", r"give the server"),
    Case("cross-signed", cross_signed, "system"),
    Case("wrong-order", wrong_order, "system"),
    Case("trailing-dot", lambda w: make(HOST, w.system), "system", host=HOST + "."),
    Case("expired-root-sent", lambda w: make(HOST, w.issuing, chain=[w.issuing, w.old_root]), "system"),
    Case("expired-root-beside", lambda w: make(HOST, w.issuing, chain=[w.issuing]), "system",
         system=lambda w: [w.old_root]),
    Case("staple-good", lambda w: make(HOST, w.system), "system", staple="good"),
    Case("staple-revoked", lambda w: make(HOST, w.system), "fault", {"revoked"}, r"has revoked the certificate",
         r"do not trust this server", staple="revoked"),
    Case("staple-stale", lambda w: make(HOST, w.system), "fault", {"staple"}, r"is out of date",
         r"the server's operator must repair OCSP stapling", staple="stale"),
    Case("staple-of-another", lambda w: make(HOST, w.system), "fault", {"staple"}, r"is about another certificate",
         r"the server's operator must repair", staple="another"),
    Case("must-staple-without", lambda w: make(HOST, w.system, more=MUST_STAPLE), "fault", {"staple"},
         r"demands a stapled OCSP answer and the server sent none", r"the server's operator must repair", looser=True),
    Case("must-staple", lambda w: make(HOST, w.system, more=MUST_STAPLE), "system", staple="good"),
    Case("list-good", lambda w: make(HOST, w.system), "system", revoked="nobody"),
    Case("list-revoked", lambda w: make(HOST, w.system), "fault", {"revoked"}, r"has been revoked by its issuer",
         r"do not trust this server", revoked="leaf"),
]


# ---- what a case needs beside its certificate

def staple(case, certificate, world):
    """A DER response of the issuer."""
    now = pki._now()
    about = certificate if case.staple != "another" else make("another", world.system)
    revoked = case.staple == "revoked"
    first, last = (now - 9 * DAY, now - 2 * DAY) if case.staple == "stale" else (now - DAY, now + DAY)
    answer = (ocsp.OCSPResponseBuilder()
              .add_response(about.x509, world.system.x509, hashes.SHA1(),
                            ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD, first, last,
                            now - 3 * DAY if revoked else None, None)
              .responder_id(ocsp.OCSPResponderEncoding.NAME, world.system.x509))
    return answer.sign(world.system.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def revocation_list(case, certificate, issuer):
    now = pki._now()
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.x509.subject) \
        .last_update(now - DAY).next_update(now + DAY)
    if case.revoked == "leaf":
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(certificate.x509.serial_number)
            .revocation_date(now - DAY).build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class StapleServer:
    """`openssl s_server`, the one TLS server at hand that staples a given answer; it serves one client at a time."""

    def __init__(self, folder, certificate, answer):
        # its own files: another one may be reading those of the last while this one starts
        here = tempfile.mkdtemp(prefix="staple-", dir=folder)
        pem, der = os.path.join(here, "stapled.pem"), os.path.join(here, "staple.der")
        certificate.write(pem)
        with open(der, "wb") as out:
            out.write(answer)
        self.process = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", pem, "-key", pem,
                                         "-status_file", der], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        while True:
            line = self.process.stdout.readline().decode()
            assert line, "s_server does not start"
            found = re.match(r"ACCEPT 127\.0\.0\.1:(\d+)", line)
            if found:
                self.address = ("127.0.0.1", int(found[1]))
                return

    def stop(self):
        self.process.kill()
        self.process.communicate()


def write(path, content):
    with open(path, "wb") as out:
        out.write(content)
    os.chmod(path, 0o644)
    return path


def openssl_agrees(folder, case, certificate, world):
    """Whether `openssl verify` finds the chain good."""
    anchors = [world.system, world.user, *(case.system(world) if case.system else [])]
    command = ["openssl", "verify", "-purpose", "sslserver", "-auth_level", "2", "-no-CApath", "-no-CAstore",
               "-CAfile", write(os.path.join(folder, "v-anchors.pem"), b"".join(one.pem for one in anchors))]
    try:
        command += ["-verify_ip", str(ipaddress.ip_address(case.host))]
    except ValueError:
        command += ["-verify_hostname", case.host.encode("idna").decode().rstrip(".")]
    if certificate.chain:
        command += ["-untrusted", write(os.path.join(folder, "v-chain.pem"), b"".join(c.pem for c in certificate.chain))]
    if case.revoked:
        command += ["-crl_check", "-CRLfile",
                    write(os.path.join(folder, "v-list.pem"), revocation_list(case, certificate, world.system))]
    leaf = write(os.path.join(folder, "v-leaf.pem"), certificate.pem)
    if subprocess.run([*command, leaf], capture_output=True, timeout=20).returncode != 0:
        return False
    return not case.staple or openssl_likes_staple(folder, leaf, staple(case, certificate, world), world)


def openssl_likes_staple(folder, leaf, answer, world):
    """Whether `openssl ocsp` reads in the answer that the certificate is good today."""
    issuer = write(os.path.join(folder, "v-issuer.pem"), world.system.pem)
    said = subprocess.run(["openssl", "ocsp", "-respin", write(os.path.join(folder, "v-staple.der"), answer),
                           "-issuer", issuer, "-cert", leaf, "-CAfile", issuer], capture_output=True, text=True, timeout=20)
    return said.returncode == 0 and f"{leaf}: good" in said.stdout and "times invalid" not in said.stderr


# ---- the table

@functools.lru_cache(maxsize=None)
def _made(name, world):
    return next(case for case in CASES if case.name == name).certificate(world)


@pytest.fixture
def try_case(new_station, new_fake, folder, world):
    opened = []

    def run(case, transport, security):
        certificate = _made(case.name, world)
        if not users.IS_ROOT and case.host != "127.0.0.1":
            pytest.skip("names of its own need a mount namespace, and that needs root")
        settings = {}
        if case.revoked:
            lists = os.path.join(folder, "lists")
            os.mkdir(lists, 0o755)
            write(os.path.join(lists, "list.pem"), revocation_list(case, certificate, world.system))
            settings["Trust.RevocationLists"] = lists
        anchors = [world.system, *(case.system(world) if case.system else [])]
        station = new_station(settings, system_trust=b"".join(one.pem for one in anchors))
        station.names = {} if case.host == "127.0.0.1" else {
            name: "127.0.0.1" for name in (HOST, "xn--bcher-kva.example")}
        station.start()
        station.ctl("trust", "import", "-", stdin=world.user.pem)
        options = {"implicit_tls": security == "ssl"}
        if case.staple:
            answer = staple(case, certificate, world)

            def behind():
                opened.append(StapleServer(folder, certificate, answer))
                return opened[-1].address

            server = new_fake(transport, "good", behind=behind, **options)
        else:
            server = new_fake(transport, "good", certificate, **options)
        look_at(case, station, server, transport, security, certificate)

    yield run
    for one in opened:
        one.stop()


def look_at(case, station, server, transport, security, certificate):
    station.add(channels.kind_of(transport), "a", **channels.properties(
        transport, security, case.host, server.port, "canary-user", connectionTimeout=10 if case.staple else 60))    # s_server does not greet
    if transport == "smtp":
        station.send("a", "canary-box@example.test", letters.letter("canary-box", body="canary-text\n"))
    steps = {step["step"]: step for step in station.ctl("--json", "account", "test", "a", code=None).json}
    assert "certificate" in steps, steps
    details = steps["certificate"]["details"]
    assert {error["code"] for error in details["errors"]} == case.errors, steps["certificate"]
    assert details["chain"][0]["fingerprintSha256"].replace(":", "").lower() == certificate.fingerprint
    if case.verdict in ("system", "user"):
        assert details["verifiedBy"] == case.verdict
        assert steps["certificate"]["result"] == "ok"
        assert station.json("challenge", "list") == []
    else:
        unhealthy(case, station, server, steps["certificate"]["cause"])
    assert server.leaks() == []


def unhealthy(case, station, server, told):
    """The account says the same as its test did; nothing was said to the server."""
    sheet = station.wait_status("a", case.verdict)
    assert sheet["cause"]["code"] == told["code"] == ("Challenge" if case.verdict == "challenge" else "Certificate")
    for cause in (told, sheet["cause"]):
        assert re.search(case.sentence, cause["text"]), cause
        assert re.match(case.remedy, cause["remedy"]), cause
    entries = station.json("challenge", "list")
    if case.verdict == "challenge":
        assert {error["code"] for error in entries[0]["errors"]} == case.errors and len(entries) == 1
        assert f"challenge show {entries[0]['id']}" in sheet["cause"]["remedy"]
    else:
        assert entries == []
    assert bytes(server.encrypted) == b""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case(try_case, case):
    try_case(case, "smtp", "ssl")


@pytest.mark.parametrize("transport, security", channels.SIX[1:])
@pytest.mark.parametrize("name", ("good", "missing-intermediate", "staple-revoked"))
def test_a_few_everywhere(try_case, name, transport, security):
    try_case(next(case for case in CASES if case.name == name), transport, security)


@pytest.mark.slow
@pytest.mark.parametrize("transport, security", channels.SIX[1:])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_everywhere(try_case, case, transport, security):
    try_case(case, transport, security)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_openssl_agrees(folder, world, case):
    """It finds good what we do, and besides that what it is known to be looser about."""
    good = openssl_agrees(folder, case, _made(case.name, world), world)
    assert good == (case.looser or case.verdict in ("system", "user"))
