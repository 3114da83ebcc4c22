# SPDX-License-Identifier: MIT
"""A private Dovecot, run as an ordinary user: IMAP, POP3, both by TLS from the first byte as well, LMTP, and the
authentication service for Postfix. Each kind of certificate is served on an address of its own (pki.ADDRESSES), so
that one instance serves every case. Any user name exists; there is one password."""

import grp
import os
import signal
import subprocess

import letters
import pki
import ports
import users
from plain_client import Mailboxes
from processes import end_children
from waiting import accepts, answers, serves, until

CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/run
instance_name = private
log_path = {folder}/log
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
protocols = imap pop3 lmtp
verbose_proctitle = yes
listen = {listen}
mail_location = {layout}:{folder}/mail/%n
mail_fsync = never
first_valid_uid = 1
mail_max_userip_connections = 0
postmaster_address = postmaster@{domain}
hostname = dovecot.{domain}
ssl = yes
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = no
auth_mechanisms = {mechanisms}
auth_username_format = %n
auth_failure_delay = 0
default_vsz_limit = 0
passdb {{
  driver = static
  args = password={{PLAIN}}{password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%n
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  chroot =
  process_min_avail = 1
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  process_min_avail = 1
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service lmtp {{
  unix_listener lmtp-socket {{
    mode = 0666
  }}
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service imap-urlauth-login {{
  chroot =
}}
service imap-hibernate {{
  chroot =
}}
service ipc {{
  chroot =
}}
service dns-client {{
  chroot =
}}
service director {{
  chroot =
}}
service auth {{
  unix_listener postfix {{
    mode = 0666
  }}
}}
"""


class Dovecot(Mailboxes):
    def __init__(self, parent, certificates, mechanisms="plain login cram-md5 scram-sha-1 scram-sha-256",
                 kinds=None, layout="maildir", settings=""):
        """`certificates`: a pki.Pki; `kinds`: those to serve; `layout`: of the mailboxes, or mdbox; `settings`: more
        lines of its configuration."""
        self.layout, self.settings = layout, settings
        self.folder = os.path.join(parent, "dovecot" if layout == "maildir" else layout)
        os.mkdir(self.folder, 0o755)
        users.give(self.folder)
        self.kinds = kinds or [kind for kind in pki.KINDS if kind not in pki.UNSERVABLE]
        self.ports = {(transport, security): ports.take()
                      for transport in ("imap", "pop3") for security in ("plain", "ssl")}
        self.ports.update({(t, "starttls"): self.ports[t, "plain"] for t in ("imap", "pop3")})
        self.lmtp = ports.take()
        self.lmtp_socket = os.path.join(self.folder, "run", "lmtp-socket")
        self.auth_socket = os.path.join(self.folder, "run", "postfix")
        self.process = None
        for kind in self.kinds:
            self._write(kind, certificates.leaf(kind))
        self._configure(mechanisms)
        self.start()

    def _write(self, kind, certificate):
        users.give(certificate.write(os.path.join(self.folder, kind + ".pem")))

    def _configure(self, mechanisms):
        text = CONFIG.format(
            folder=self.folder, layout=self.layout, user=users.name_of(users.DAEMON_UID), group=self._group(),
            uid=users.DAEMON_UID, gid=users.DAEMON_GID, domain=letters.DOMAIN, password=letters.PASSWORD,
            mechanisms=mechanisms, listen=", ".join(pki.ADDRESSES[kind] for kind in self.kinds),
            imap=self.ports["imap", "plain"], imaps=self.ports["imap", "ssl"],
            pop3=self.ports["pop3", "plain"], pop3s=self.ports["pop3", "ssl"], lmtp=self.lmtp)
        first = os.path.join(self.folder, self.kinds[0] + ".pem")
        text += f"ssl_cert = <{first}\nssl_key = <{first}\n{self.settings}\n"
        for kind in self.kinds[1:]:
            path = os.path.join(self.folder, kind + ".pem")
            text += f"local {pki.ADDRESSES[kind]} {{\n  ssl_cert = <{path}\n  ssl_key = <{path}\n}}\n"
        self.config = os.path.join(self.folder, "dovecot.conf")
        with open(self.config, "w") as out:
            out.write(text)

    @staticmethod
    def _group():
        return grp.getgrgid(users.DAEMON_GID).gr_name

    def start(self):
        self.process = subprocess.Popen(
            users.MORTAL + ["/usr/sbin/dovecot", "-F", "-c", self.config], stdin=subprocess.DEVNULL,
            stdout=open(os.path.join(self.folder, "out"), "ab"), stderr=subprocess.STDOUT,
            cwd=self.folder, **users.as_daemon())
        try:
            until(self._stands, 20)
        except BaseException as error:
            self.stop()
            raise AssertionError("Dovecot does not start:\n" + self.log()) if isinstance(error, AssertionError) \
                else error

    def _stands(self):
        assert self.process.poll() is None
        return answers(self.host(), self.ports["imap", "plain"]) and \
            answers(self.host(), self.ports["pop3", "plain"]) and accepts("127.0.0.1", self.lmtp)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self):
        """The master ends at once; so do its children when they notice."""
        self.process.kill()
        self.process.wait()

    def log(self):
        text = ""
        for name in ("out", "log"):
            path = os.path.join(self.folder, name)
            if os.path.exists(path):
                with open(path, errors="replace") as source:
                    text += source.read()
        return text

    def host(self, kind=None):
        return pki.ADDRESSES[kind or self.kinds[0]]

    def port(self, transport, security, kind=None):
        return self.ports[transport, security]

    def use(self, certificate, kind=None):
        """Serves another certificate from now on at the address of `kind`; who is connected is cut off."""
        kind = kind or self.kinds[0]
        self._write(kind, certificate)
        self.process.send_signal(signal.SIGHUP)
        end_children(self.process.pid, "imap-login", "pop3-login", "imap", "pop3")
        for transport in ("imap", "pop3"):
            until(lambda: serves(self.host(kind), self.port(transport, "ssl"), certificate.der),
                  say="Dovecot does not serve the new certificate")

    def deliver(self, box, *messages):
        letters.deliver(self.lmtp, box, *messages)

    def make(self, box):
        """It comes to be when someone signs in."""
        self.imap(box).logout()

    def lend(self, box, maildir):
        """Shows another's Maildir as that mailbox."""
        folder = os.path.join(self.folder, "mail")
        if not os.path.isdir(folder):
            users.private_folder(self.folder, "mail")
        os.symlink(maildir, os.path.join(folder, box))

    def place(self, box, messages):
        """Puts messages into the mailbox, into a Maildir as they are; how many were taken."""
        if self.layout != "maildir":
            return self.append(box, messages)
        self.make(box)
        folder = os.path.join(self.folder, "mail", box)
        owner = os.stat(folder)
        for number, message in enumerate(messages):
            path = os.path.join(folder, "new", f"{1700000000 + number}.M{number}P1.test")
            with open(path, "wb") as out:
                out.write(message)
            os.chown(path, owner.st_uid, owner.st_gid)
        return len(messages)
