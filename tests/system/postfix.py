# SPDX-License-Identifier: MIT
"""A private Postfix (its master needs root): submission in clear, by STARTTLS and by TLS from the first byte, login
by the private Dovecot, delivery into it by LMTP. Each kind of certificate has an address of its own, as in
dovecot.py."""

import grp
import os
import pwd
import signal
import subprocess

import letters
import pki
import ports
from waiting import answers, serves, until

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {daemons}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = postfix.{domain}
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {domain}
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access inline:{{ {{refused@{domain} = REJECT}} }}
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}
smtpd_sasl_security_options = noanonymous
smtpd_tls_security_level = may
smtpd_tls_auth_only = no
smtpd_tls_session_cache_database =
smtpd_tls_loglevel = 1
message_size_limit = 60000000
virtual_mailbox_limit = 0
mailbox_size_limit = 0
in_flow_delay = 0
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
"""

MASTER = """
postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""

QUEUE = ("active bounce corrupt defer deferred flush hold incoming private saved trace", "public maildrop")


class Postfix:
    def __init__(self, parent, certificates, dovecot, kinds=None, settings=""):
        """`settings`: more lines of its main.cf."""
        self.settings = settings
        self.folder = os.path.join(parent, "postfix")
        self.kinds = kinds or dovecot.kinds
        self.ports = {"plain": ports.take(), "ssl": ports.take()}
        self.ports["starttls"] = self.ports["plain"]
        self.process = None
        self._folders()
        for kind in self.kinds:
            certificates.leaf(kind).write(self._certificate(kind))
        self._configure(dovecot)
        self.start()

    def _certificate(self, kind):
        return os.path.join(self.folder, kind + ".pem")

    def _folders(self):
        owner = pwd.getpwnam("postfix")
        drop = grp.getgrnam("postdrop").gr_gid
        os.mkdir(self.folder, 0o755)
        for name in ("queue", "queue/pid", "data"):
            os.mkdir(os.path.join(self.folder, name), 0o755)
        os.chown(os.path.join(self.folder, "data"), owner.pw_uid, owner.pw_gid)
        for names, group, mode in ((QUEUE[0], -1, 0o700), (QUEUE[1], drop, 0o730)):
            for name in names.split():
                path = os.path.join(self.folder, "queue", name)
                os.mkdir(path, mode)
                os.chown(path, owner.pw_uid, group)
        os.chmod(os.path.join(self.folder, "queue", "public"), 0o710)

    def _configure(self, dovecot):
        daemons = subprocess.run(["postconf", "-d", "-h", "daemon_directory"], check=True,
                                 capture_output=True, text=True).stdout.strip()
        self.master = os.path.join(daemons, "master")
        with open(os.path.join(self.folder, "main.cf"), "w") as out:
            out.write(MAIN.format(folder=self.folder, daemons=daemons, domain=letters.DOMAIN,
                                  lmtp=dovecot.lmtp, auth=dovecot.auth_socket) + self.settings)
        services = ""
        for kind in self.kinds:
            for security, wrapper in (("plain", "no"), ("ssl", "yes")):
                services += (f"{pki.ADDRESSES[kind]}:{self.ports[security]} inet n - n - - smtpd\n"
                             f"  -o smtpd_tls_chain_files={self._certificate(kind)}\n"
                             f"  -o smtpd_tls_wrappermode={wrapper}\n")
        with open(os.path.join(self.folder, "master.cf"), "w") as out:
            out.write(MASTER + services)

    def start(self):
        environment = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
                       "MAIL_CONFIG": self.folder}
        # -d: stays in the foreground and leaves the system's own Postfix alone. The shell ends it when we close
        # the pipe or are gone: Postfix changes its user, and so forgets users.MORTAL.
        self.process = subprocess.Popen(
            ["sh", "-c", 'setsid "$@" </dev/null & read -r _; kill $!; wait $!', "sh",
             self.master, "-d", "-c", self.folder],
            stdin=subprocess.PIPE, stdout=open(os.path.join(self.folder, "out"), "ab"), stderr=subprocess.STDOUT,
            env=environment)
        before = self._deaths()
        try:
            until(lambda: self._deaths() > before or answers(self.host(), self.ports["plain"]), 20)
            assert self._deaths() == before
        except BaseException as error:
            self.stop()
            raise AssertionError("Postfix does not start:\n" + self.log()) if isinstance(error, AssertionError) \
                else error

    def _deaths(self):
        return self.log().count("fatal:")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(60)

    def kill(self):
        """kill -9 of all its processes: they are a group, setsid() made it."""
        with open(os.path.join(self.folder, "queue/pid/master.pid")) as source:
            group = os.getpgid(int(source.read()))
        assert group != os.getpgrp()
        os.killpg(group, signal.SIGKILL)
        self.stop()

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
        assert transport == "smtp"
        return self.ports[security]

    def use(self, certificate, kind=None):
        """Serves another certificate from now on at the address of `kind`; who is connected is cut off."""
        kind = kind or self.kinds[0]
        certificate.write(self._certificate(kind))
        self.stop()
        self.start()
        until(lambda: serves(self.host(kind), self.port("smtp", "ssl"), certificate.der),
              say="Postfix does not serve the new certificate")
