# SPDX-License-Identifier: MIT
"""A private Exim (GnuTLS) from unpacked packages that takes mail by STARTTLS and keeps it in its queue. The name of its user is
compiled in, so it sees a list of users of its own in a mount namespace. Needs root."""

import contextlib
import glob
import os
import shlex
import subprocess

import letters
import ports
import unpacked
import users
from waiting import answers, until

UID = 59999
SETTINGS = """primary_hostname = mail.example
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
pid_file_path = {folder}/spool/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
tls_advertise_hosts = *
tls_certificate = {folder}/server.pem
tls_privatekey = {folder}/server.pem
keep_environment =
queue_only = true
recipients_max = 10
smtp_accept_max = 100
acl_smtp_rcpt = rcpt
acl_smtp_data = data
begin acl
rcpt:
  deny local_parts = nobody
       message = 5.1.1 no such user
  defer local_parts = later
       message = 4.2.1 greylisted
  accept
data:
  accept
begin authenticators
cram:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = fail
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{canary-user}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
"""


class Exim:
    def __init__(self, parent, certificate):
        self.root = unpacked.folder("exim", "usr/sbin/exim4")
        self.folder = os.path.join(parent, "exim")
        self.port = ports.take()
        os.mkdir(self.folder, 0o755)
        os.mkdir(os.path.join(self.folder, "spool"), 0o755)
        os.chown(os.path.join(self.folder, "spool"), UID, UID)
        self._write("exim.conf", SETTINGS.format(folder=self.folder, port=self.port, password=letters.PASSWORD))
        self._write("server.pem", (certificate.key_pem + certificate.pem).decode())
        for name, line in (("passwd", f"Debian-exim:x:{UID}:{UID}::/:/bin/false\n"), ("group", f"Debian-exim:x:{UID}:\n")):
            with open(os.path.join("/etc", name)) as source:
                self._write(name, source.read() + line)
        where, program = shlex.quote(self.folder), shlex.quote(os.path.join(self.root, "usr/sbin/exim4"))
        self.process = subprocess.Popen(
            [*users.MORTAL, "unshare", "--mount", "sh", "-c", f"mount --bind {where}/passwd /etc/passwd && mount --bind {where}/group "
             f"/etc/group && exec {program} -C {where}/exim.conf -bdf"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        until(lambda: answers("127.0.0.1", self.port), 20, self.log)

    def _write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as out:
            out.write(text)
        os.chmod(os.path.join(self.folder, name), 0o644)

    def log(self):
        found = ""
        for path in glob.glob(os.path.join(self.folder, "spool", "[mpr]*log")):
            with open(path) if os.path.isfile(path) else contextlib.nullcontext(()) as source:
                found += "".join(source)
        return found

    def bodies(self):
        """Of all messages in its queue."""
        found = []
        for path in glob.glob(os.path.join(self.folder, "spool", "input", "*-D")):
            with open(path, "rb") as source:
                found.append(source.read().split(b"\n", 1)[1])
        return found

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
