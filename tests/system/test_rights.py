# SPDX-License-Identifier: MIT
"""Who may call what: each method by each class of user, with AllowSubmit= open and closed. What is right stands here once
more, so that a changed right fails."""

import grp
import json
import os

import pytest

import idl
import users
import varlink
from as_user import run_as

pytestmark = pytest.mark.skipif(not users.IS_ROOT, reason="needs root: runs clients as other users")

NONE, SUBMIT, READ, ADMIN = range(4)
RIGHTS = {
    "io.emailsec.EmailService": {
        SUBMIT: "Submit WaitMessage",
        READ: "GetStatus ListAccounts GetAccount Audit ListQueue GetMessage ListInbox OpenInboxMessage ListMissing Monitor "
              "Acknowledge ListSubscribers ForgetSubscriber GetMetrics ListDevices "
              "GetHistory DescribeProperties",
        ADMIN: "AddAccount SetAccount DeleteAccount SetPassword Poll TestAccount ListFolders SendHeartbeat AuthorizeAccount Probe "
               "FetchAutoconfig "
               "Apply RetryMessages HoldMessages ReleaseMessages DeleteMessages RerouteMessages FlushQueue ForgetMissing "
               "DeleteInboxMessages MarkInboxMessages AddDevice SetDevicePassword DeleteDevice Backup Reload",
    },
    "io.emailsec.Trust": {
        READ: "ListAllowedHosts GetAllowedHost ListAnchors GetAnchor ListServerCertificates ListKeys",
        ADMIN: "Approve Reject Unapprove DeleteAllowedHost Prune ImportAnchors DeleteAnchor ImportKey DeleteKey",
    },
    "org.varlink.service": {NONE: "GetInfo GetInterfaceDescription"},
}
READERS, ADMINS = "games", "audio"      # groups of every Debian with nobody in them
NEEDED = {f"{interface}.{name}": right for interface, rows in RIGHTS.items() for right, names in rows.items()
          for name in names.split()}


def classes(submit):
    """{class: (uid, groups, what it may)}"""
    gid = {name: grp.getgrnam(name).gr_gid for name in (READERS, ADMINS)}
    stranger = SUBMIT if submit == "all" else NONE
    return {
        "stranger": (54321, [], stranger),
        "named": (1, [], SUBMIT),           # daemon, a user of every Debian
        "reader": (54322, [gid[READERS]], READ),
        "manager": (54323, [gid[ADMINS]], ADMIN),
        "both": (54324, [gid[READERS], gid[ADMINS]], ADMIN),
        "the daemon's own": (users.DAEMON_UID, [], ADMIN),
        "root": (0, [], ADMIN),
    }


def ask_all(say, path):
    """Each with a parameter that no method has: who may call it is told that, and nothing happens."""
    answers = {}
    for method in NEEDED:
        with varlink.Client(path) as client:
            client.send(method, {"noSuchParameter": 1}, more=True)
            answers[method] = client.receive().get("error", "")
    say(json.dumps(answers).encode())


@pytest.mark.parametrize("submit", ("all", "daemon", "root"))
def test_rights(new_station, submit):
    station = new_station({"Control.ReadGroup": READERS, "Control.AdminGroup": ADMINS, "Control.AllowSubmit": submit}).start()
    os.chmod(station.socket, 0o666)
    wrong = []
    for name, (uid, groups, has) in classes(submit).items():
        if name == "named" and submit == "root":
            has = NONE
        answers = json.loads(run_as(uid, ask_all, station.socket, groups=groups))
        for method, error in answers.items():
            denied = error.endswith(".PermissionDenied")
            if denied != (NEEDED[method] > has):
                wrong.append(f"{method} by {name}: {error}")
            if not denied and not error.endswith((".InvalidParameter", ".InvalidProperty")):
                wrong.append(f"{method} by {name} takes what it does not know: {error}")
    assert not wrong


def test_every_method_has_its_rights_here():
    described = {method.name for interface in idl.interfaces().values() for method in interface.methods.values()}
    assert described == {name for name in NEEDED if not name.startswith("org.varlink.")}
