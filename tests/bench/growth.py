#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make bench-growth`: what a start, a status, a look at one account, a change and a submission cost with 10 to 10,000
accounts, with 1,000 to 1,000,000 queued messages beside 10, and with the most of both. Wall time and the daemon's own CPU
time, each beside that of the smallest; what is flat says 1.0. Prints, and fails nothing. Arguments: the most accounts (10000),
the most messages (1000000), submissions for a rate (500)."""

import base64
import json
import os
import sqlite3
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
sys.dont_write_bytecode = True

import users                                        # noqa: E402  (the path comes first)
import varlink                                      # noqa: E402
from station import Station, program               # noqa: E402

MESSAGE = base64.b64encode(b"Subject: growth\r\n\r\n" + (b"x" * 70 + b"\r\n") * 14).decode()
FILLED = "a00000"   # disabled: what is queued there stays


def make_accounts(state, count):
    """One half sends, the other receives; none is at work, so that nothing but what is asked for costs anything."""
    for n in range(count):
        sends = n % 2 == 0
        properties = {"hostname": f"mail{n}.example", "enabled": False}
        properties |= {"from": f"box@d{n}.example", "maxQueueSize": 10000000} if sends else {"transport": "imap"}
        name = f"a{n:05}"
        path = os.path.join(state, "accounts", name + ".json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"version": 1, "name": name, "kind": "outgoing" if sends else "incoming", "properties": properties}, file)
        users.give(path)


class Measured:
    def __init__(self, folder, accounts):
        os.chmod(folder, 0o755)
        self.accounts = accounts
        self.station = Station(folder, {name: program(name) for name in ("emailsecd", "emailsecctl")}, b"",
                               {"Service.LogLevel": "err", "Limits.QueueSizeLimit": "100G", "Service.DiskReserve": "0"})
        self.station.start()        # makes the database
        self.station.stop()
        make_accounts(self.station.state, accounts)
        self.station.start()        # binds the new names, once
        self.station.stop()

    def cpu(self):
        with open(f"/proc/{self.station.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

    def fill(self, count):
        """So many messages are queued: copies of a first one, for all accounts that send. The station is stopped."""
        self.station.start()
        with self.station.client() as client:
            client.call(varlink.SERVICE + "Submit", account=FILLED, recipients=["box@example.test"], message=MESSAGE)
        self.station.stop()
        with sqlite3.connect(os.path.join(self.station.state, "station.db")) as database:
            def copy(table, key, made, more=()):
                names = [row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[1] not in (key, *dict(more))]
                first = f"SELECT * FROM {table} WHERE {key} = (SELECT max({key}) FROM {table})"
                database.execute(f"INSERT INTO {table} ({', '.join([key, *dict(more), *names])}) WITH RECURSIVE n(i) AS"
                                 f" (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {missing}) SELECT "
                                 + ", ".join([made, *dict(more).values(), *names]) + f" FROM n, ({first})")

            missing = count - database.execute("SELECT count(*) FROM message WHERE finished IS NULL").fetchone()[0]
            if missing > 0:
                copy("body", "place", "place + (i << 20)")      # the place of a chunk: its message's number, shifted
                copy("recipient", "seq", "seq + i")
                copy("message", "seq", "seq + i", {"account": f"printf('a%05d', 2 * (i % {self.accounts // 2}))"}.items())
            database.execute("DELETE FROM counts")
            database.execute("INSERT INTO counts SELECT account, state, count(*), sum(size) FROM message GROUP BY account, state")

    def times(self, submissions):
        """{what: (wall ms, CPU ms) of one}."""
        found = {}
        begun = time.monotonic()
        self.station.start()
        found["start to first answer"] = ((time.monotonic() - begun) * 1000, self.cpu())

        def measure(what, count, work):
            with self.station.client() as client:
                before, begun = self.cpu(), time.monotonic()
                for n in range(count):
                    work(client, n)
                found[what] = ((time.monotonic() - begun) * 1000 / count, (self.cpu() - before) / count)

        measure("one account", 200, lambda client, n: client.call(varlink.SERVICE + "GetAccount", name=FILLED))
        measure("status of one", 200, lambda client, n: client.call(varlink.SERVICE + "GetStatus", account=FILLED))
        measure("status as a screen", 20, lambda client, n: client.call(varlink.SERVICE + "GetStatus", limit=100))
        measure("status of all", 3, lambda client, n: client.call(varlink.SERVICE + "GetStatus"))
        measure("a page of the queue", 20, lambda client, n: client.call(varlink.SERVICE + "ListQueue", limit=100))
        measure("a change", 50, lambda client, n: client.call(varlink.SERVICE + "SetAccount", name=FILLED,
                                                              properties={"connectionTimeout": 20 + n}))
        measure("an apply, each account", 1, lambda client, n: client.call(varlink.SERVICE + "Apply", accounts=[
            {"name": f"a{one:05}", "connectionTimeout": 99} for one in range(self.accounts)]))
        found["an apply, each account"] = tuple(ms / self.accounts for ms in found["an apply, each account"])
        measure("a submission by sender", submissions, lambda client, n: client.call(
            varlink.SERVICE + "Submit", recipients=["box@example.test"], message=MESSAGE, **{"from": "box@d0.example"}))
        self.station.stop()
        return found


def powers(first, most):
    size = first
    while size <= most:
        yield size
        size *= 10


def print_curves(title, rows):
    """rows: {size: times}"""
    smallest = rows[min(rows)]
    print(f"\n{title}: wall ms / CPU ms of the daemon (CPU beside the first column's)")
    print(f"{'':24}" + "".join(f"{size:>24,}" for size in rows))
    for what in smallest:
        cells = []
        for times in rows.values():
            wall, cpu = times[what]
            beside = f"{cpu / smallest[what][1]:.1f}" if smallest[what][1] else "-"
            cells.append(f"{wall:.2f} / {cpu:.2f} ({beside})")
        print(f"{what:24}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


def main():
    most_accounts, most_messages, submissions = (int(word) for word in [*sys.argv[1:], *["10000", "1000000", "500"][len(sys.argv) - 1:]])
    rows = {}
    for accounts in powers(10, most_accounts):
        with tempfile.TemporaryDirectory(prefix="growth") as folder:
            rows[accounts] = Measured(folder, accounts).times(submissions)
    print_curves("accounts", rows)
    with tempfile.TemporaryDirectory(prefix="growth") as folder:
        measured, rows = Measured(folder, 10), {}
        for messages in powers(1000, most_messages):
            measured.fill(messages)
            rows[messages] = measured.times(submissions)
        print_curves("queued messages", rows)
    with tempfile.TemporaryDirectory(prefix="growth") as folder:
        measured = Measured(folder, most_accounts)
        measured.fill(most_messages)
        print_curves(f"{most_accounts:,} accounts, queued messages", {most_messages: measured.times(submissions)})


if __name__ == "__main__":
    main()
