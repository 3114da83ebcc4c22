# SPDX-License-Identifier: MIT
"""Certificates made at test time: two authorities (one of the system's trust store, one of the plant that a person
imports) and leaves with at most one defect each. Everything is made when first asked for and kept for the session."""

import datetime
import functools
import hashlib
import ipaddress
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def _now():
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test plant"),
                      x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host):
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class Certificate:
    """A certificate with its key and what a server sends after it."""

    def __init__(self, certificate, key, chain=()):
        self.x509, self.key, self.chain = certificate, key, list(chain)

    @property
    def pem(self):
        return self.x509.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self):
        return self.x509.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self):
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption())

    @property
    def chain_pem(self):
        return self.pem + b"".join(one.pem for one in self.chain)

    @property
    def fingerprint(self):
        """SHA-256 of the certificate, hex."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def key_fingerprint(self):
        return hashlib.sha256(self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()

    def write(self, path):
        """Key, certificate and chain in one file, as Postfix and Dovecot take it."""
        with open(path + ".new", "wb") as out:
            out.write(self.key_pem + self.chain_pem)
        os.replace(path + ".new", path)
        return path


def _key(weak=False):
    return rsa.generate_private_key(65537, 1024) if weak else ec.generate_private_key(ec.SECP256R1())


def authority(name, issuer=None, key=None, serial=None):
    """A CA: a root, or below `issuer`."""
    key = key or _key()
    builder = (x509.CertificateBuilder().subject_name(_name(name))
               .issuer_name(issuer.x509.subject if issuer else _name(name))
               .public_key(key.public_key()).serial_number(serial or x509.random_serial_number())
               .not_valid_before(_now() - 30 * DAY).not_valid_after(_now() + 3650 * DAY)
               .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
               .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))
    made = builder.sign(issuer.key if issuer else key, hashes.SHA256())
    return Certificate(made, key)


def leaf(issuer, hosts, *, common_name=None, first=-30 * DAY, last=365 * DAY, chain=(), weak=False,
         digest=None, purpose=ExtendedKeyUsageOID.SERVER_AUTH, key=None):
    """A server's certificate; issuer None: self-signed."""
    key = key or _key(weak)
    subject = _name(common_name or (hosts[0] if hosts else "server"))
    builder = (x509.CertificateBuilder().subject_name(subject)
               .issuer_name(issuer.x509.subject if issuer else subject)
               .public_key(key.public_key()).serial_number(x509.random_serial_number())
               .not_valid_before(_now() + first).not_valid_after(_now() + last)
               .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
               .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False))
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(h) for h in hosts]), False)
    made = builder.sign(issuer.key if issuer else key, digest or hashes.SHA256())
    return Certificate(made, key, chain)


# What a leaf can be, one defect each; every row is served by every server on an address of its own.
KINDS = ("system", "user", "self-signed", "wrong-name", "expired", "not-yet-valid", "intermediate",
         "missing-intermediate", "cn-only", "client-only", "two-defects", "weak-key", "sha1")
# Those that a server with today's defaults does not even load: served by our own servers only.
UNSERVABLE = ("weak-key", "sha1")
ADDRESSES = {kind: f"127.0.0.{number}" for number, kind in enumerate(KINDS, 1)}


class Pki:
    @functools.cached_property
    def system(self):
        return authority("System root")

    @functools.cached_property
    def user(self):
        return authority("Plant root")

    @functools.cached_property
    def intermediate(self):
        return authority("Plant issuing", self.system)

    @functools.lru_cache(maxsize=None)
    def leaf(self, kind, host=None):
        """The leaf of that kind for its address, or for `host`. "system" is good for localhost too."""
        host = host or ADDRESSES[kind]
        hosts = [host, "localhost"] if kind == "system" and host == ADDRESSES[kind] else [host]
        make = {
            "system": lambda: leaf(self.system, hosts),
            "user": lambda: leaf(self.user, hosts),
            "self-signed": lambda: leaf(None, hosts),
            "wrong-name": lambda: leaf(self.system, ["elsewhere.example"]),
            "expired": lambda: leaf(self.system, hosts, last=-DAY),
            "not-yet-valid": lambda: leaf(self.system, hosts, first=DAY),
            "intermediate": lambda: leaf(self.intermediate, hosts, chain=[self.intermediate]),
            "missing-intermediate": lambda: leaf(self.intermediate, hosts),
            "cn-only": lambda: leaf(self.system, [], common_name=host),
            "client-only": lambda: leaf(self.system, hosts, purpose=ExtendedKeyUsageOID.CLIENT_AUTH),
            "two-defects": lambda: leaf(None, ["elsewhere.example"], last=-DAY),
            "weak-key": lambda: leaf(self.system, hosts, weak=True),
            "sha1": lambda: leaf(self.system, hosts, digest=hashes.SHA1()),
        }
        return make[kind]()


def server_context(certificate, folder):
    """TLS for our own servers, which shall be able to serve bad certificates too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    path = os.path.join(folder, certificate.fingerprint[:16] + ".pem")
    context.load_cert_chain(certificate.write(path))
    return context
