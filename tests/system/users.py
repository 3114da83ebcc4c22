# SPDX-License-Identifier: MIT
"""Who runs what. As root, the daemon and Dovecot run as an unprivileged user, as they would in earnest; as an
ordinary user everything runs as that user."""

import os
import pwd
import shutil
import tempfile

IS_ROOT = os.geteuid() == 0
DAEMON_UID = 65534 if IS_ROOT else os.geteuid()   # nobody
DAEMON_GID = 65534 if IS_ROOT else os.getegid()
# What is started ends with who started it, whatever happens to the tests.
MORTAL = ["setpriv", "--pdeathsig", "TERM"]
STRANGER_UID = 65533                              # a local user with no rights at the daemon


def as_daemon():
    """Arguments of subprocess.Popen for what shall not run as root."""
    return {"user": DAEMON_UID, "group": DAEMON_GID, "extra_groups": []} if IS_ROOT else {}


def as_stranger():
    return {"user": STRANGER_UID, "group": STRANGER_UID, "extra_groups": []}


def name_of(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def give(path):
    """Hands a file or folder to the user of the daemon."""
    if IS_ROOT:
        os.chown(path, DAEMON_UID, DAEMON_GID)
    return path


def private_folder(parent, name):
    """A folder of that user."""
    path = os.path.join(parent, name)
    os.mkdir(path, 0o700)
    return give(path)


def base_folder():
    """A short path (socket names are at most 107 bytes) that every user may pass through."""
    path = tempfile.mkdtemp(prefix="es-", dir="/tmp")
    os.chmod(path, 0o711)
    return path


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
