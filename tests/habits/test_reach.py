"""Every source file is reached by a unit or fuzz program directly (which includes it, or names one of its global symbols), or
says here what runs it: the program that does so through the front of its module, or the system tests where it needs real
processes around it."""
import glob
import os
import re
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join("build", os.environ.get("FLAVOUR", "plain"))

# Parts of a module that has one front: the unit program that runs them through it.
THROUGH = {
    "esmtp": ["common/esmtp/content.c", "common/esmtp/envelope.c", "common/esmtp/reply.c"],
    "ctl_send": ["ctl/entity.c", "ctl/transfer.c"],
    "ctl_show": ["ctl/fields.c"],
    "imap_session": ["daemon/imap/responses.c", "daemon/imap/signin.c"],
    "imap_fetch": ["daemon/imap/fetch_items.c", "daemon/imap/list.c"],
    "pop3_session": ["daemon/pop3/command.c", "daemon/pop3/signin.c"],
    "pop3_retrieve": ["daemon/pop3/list.c"],
    "smtp_session": ["daemon/smtp/signin.c"],
    "smtp_mail": ["daemon/smtp/envelope.c", "daemon/smtp/hearing_more.c", "daemon/smtp/outcome.c", "daemon/smtp/upload.c"],
    "receiver": ["daemon/imap/folders.c", "daemon/incoming/fetching.c", "daemon/incoming/fetching_batches.c", "daemon/incoming/fetching_new.c",
                 "daemon/incoming/fetching_store.c", "daemon/incoming/fetching_uidls.c", "daemon/incoming/hand_on.c",
                 "daemon/incoming/lmtp_delivery.c", "daemon/incoming/oversize_notice.c",
                 "daemon/incoming/receiver_poll.c", "daemon/incoming/receiver_session.c", "daemon/session/signin.c"],
    "sender": ["daemon/store/queue_notice.c", "daemon/outgoing/sending.c", "daemon/runner/runner.c"],
    "service_time": ["daemon/service/own_message.c"],
    "accounts": ["daemon/accounts/account_file.c", "daemon/accounts/sorted.c", "daemon/turns.c"],
    "session": ["daemon/session/session_talk.c"],
    "connection": ["daemon/wire/pump.c"],
    "channel": ["daemon/tls/channel_wire.c", "daemon/tls/collect.c", "daemon/tls/handshake.c", "daemon/tls/sent_chain.c"],
    "trust": ["daemon/tls/trust_bundle.c", "daemon/tls/trust_stores.c"],
    "maildir": ["daemon/store/box.c", "daemon/store/delivery_commit.c", "daemon/store/delivery_content.c",
                "daemon/store/delivery_spares.c", "daemon/store/delivery_write.c", "daemon/store/inbox_lf.c",
                "daemon/store/maildir_set.c"],
    "queue_table": ["daemon/store/owner_rows.c", "daemon/store/reserve_place.c", "daemon/store/client_file.c", "daemon/store/queue_flood.c", "daemon/store/digest.c"],
    "subscriber_table": ["daemon/store/subscriber_rows.c"],
    "smtpd_client": ["daemon/smtpd/client_end.c"],
    "varlink_server": ["daemon/control/usernames.c"],
}

# What has no sense without a daemon, a server, a terminal or a service manager around it: why, and the system tests.
BY_SYSTEM = {
    ("a command of the tool: reads its options, calls the socket, prints", "test_ctl test_people test_queue test_trust test_setup"): [
        "ctl/ask.c", "ctl/certificate.c", "ctl/cmd_account.c", "ctl/cmd_audit.c", "ctl/cmd_backup.c",
        "ctl/cmd_challenge.c", "ctl/cmd_device.c", "ctl/cmd_inbox.c", "ctl/cmd_key.c", "ctl/cmd_queue.c",
        "ctl/cmd_send.c", "ctl/cmd_setup.c", "ctl/cmd_status.c", "ctl/cmd_test.c", "ctl/cmd_trust.c",
        "ctl/cmd_watch.c", "ctl/complete.c", "ctl/fleet.c", "ctl/fleet_answer.c", "ctl/fleet_run.c", "ctl/fleet_view.c", "ctl/find_servers.c", "ctl/live.c",
        "ctl/status_view.c", "ctl/unit.c"],
    ("another program's face of the tool", "test_programs"): [
        "ctl/sendmail.c", "ctl/sendmail_queue.c", "ctl/sendmail_smtp.c"],
    ("loads a part of the tool, or is one", "test_parts test_client_certificates"): [
        "ctl/part_load.c", "ctl/pem.c"],
    ("a socket method: reads what it takes, calls the service, replies", "test_socket test_rights test_trail test_accounts"): [
        "daemon/control/on_account.c", "daemon/control/on_servers.c",
        "daemon/control/on_events.c", "daemon/control/on_inbox.c", "daemon/control/on_mail.c", "daemon/control/on_secrets.c",
        "daemon/control/on_queue.c", "daemon/control/on_status.c", "daemon/control/on_trust.c"],
    ("processes beside the daemon that close descriptors", "test_closers test_fuse test_budgets"): ["daemon/store/closers.c"],
    ("the SMTP door: sockets, devices and what they hand in", "test_devices"): [
        "daemon/accounts/devices.c", "daemon/smtpd/spool.c",
        "daemon/smtpd/client_signin.c", "daemon/smtpd/client_requests.c"],
    ("the process itself: its memory and its service manager", "test_service test_watchdog"): [
        "daemon/manager.c", "daemon/memory.c"],
    ("TLS on a real connection", "test_channel test_tls_cuts test_oauth"): [
        "daemon/session/session_tls.c", "daemon/tls/jws.c"],
    ("the machine's own routes", "test_network"): ["daemon/wire/route.c"],
    ("programs, other mailboxes and those who are told", "test_exec test_inbox test_subscribers test_odd_mailboxes"): [
        "daemon/incoming/exec_delivery.c", "daemon/incoming/folder_listing.c", "daemon/incoming/retention.c",
        "daemon/incoming/subscribers.c"],
    ("fetches a file of the server's provider by HTTPS", "test_setup"): ["daemon/service/autoconfig.c"],
    ("what other users and mail programs see of received mail", "test_inbox"): [
        "daemon/store/inbox_mark.c", "daemon/store/maildir_rights.c"],
    ("a whole state folder, there and back", "test_backup"): [
        "daemon/service/restore.c", "daemon/store/backup.c", "daemon/store/database_copy.c"],
}


def paths(pattern):
    return [os.path.relpath(p, TOP) for p in glob.glob(os.path.join(TOP, pattern), recursive=True)]


def sources():
    return sorted(p for folder in ("common", "daemon", "ctl") for p in paths(folder + "/**/*.c")
                  if p not in ("daemon/main.c", "ctl/main.c"))


def program_text():
    """What unit and fuzz programs are made of."""
    text = ""
    for path in paths("tests/unit/*.[ch]") + paths("tests/fuzz/*.[ch]"):
        with open(os.path.join(TOP, path), encoding="utf-8", errors="replace") as file:
            text += file.read()
    return text


def symbols(files):
    """The global symbols that each file defines."""
    objects = {f"{BUILD}/{path[:-2]}.o": path for path in files}
    there = [o for o in objects if os.path.exists(os.path.join(TOP, o))]
    told = subprocess.run(["nm", "-A", "--defined-only", "-g", *there], cwd=TOP, capture_output=True, text=True, check=True)
    found = {path: set() for path in files}
    for line in told.stdout.splitlines():
        name, rest = line.split(":", 1)
        found[objects[name]].add(rest.split()[-1])
    return found


def unreached():
    text = program_text()
    included = set(re.findall(r'#include "((?:common|daemon|ctl)/[^"]+\.c)"', text))
    code = re.sub(r"^\s*#include[^\n]*", "", re.sub(r"/\*.*?\*/", "", text, flags=re.S), flags=re.M)
    words = set(re.findall(r"\w+", code))
    return {path for path, names in symbols(sources()).items() if path not in included and not names & words}


def listed():
    return [path for files in [*THROUGH.values(), *BY_SYSTEM.values()] for path in files]


def test_every_file_is_reached_or_says_by_what():
    assert sorted(unreached() - set(listed())) == []


def test_the_lists_name_no_more_than_they_must():
    assert sorted(set(listed()) - unreached()) == []
    assert len(listed()) == len(set(listed()))


def test_what_the_lists_name_is_there():
    with open(os.path.join(TOP, "Makefile"), encoding="utf-8") as file:
        programs = set(re.findall(r"\w+", " ".join(re.findall(r"^UNIT_\w+\s*:=(.*)$", file.read(), flags=re.M))))
    assert set(THROUGH) - programs == set()
    tests = {name for _, names in BY_SYSTEM for name in names.split()}
    assert [name for name in tests if not os.path.exists(os.path.join(TOP, "tests/system", name + ".py"))] == []
