#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What accounts that idle over TLS cost: PSS and CPU of one daemon with 10 of them and with ACCOUNTS (1,000). The
server is a process of this bench that knows as much IMAP as that takes. SECONDS: how long the CPU is watched."""

import multiprocessing
import os
import platform
import resource
import selectors
import socket
import ssl
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "system"))

import channels     # noqa: E402
import letters      # noqa: E402
import pki          # noqa: E402
import station as station_module     # noqa: E402
import users        # noqa: E402
from waiting import until    # noqa: E402

ACCOUNTS = int(os.environ.get("ACCOUNTS", "1000"))
SECONDS = int(os.environ.get("SECONDS", "30"))
TICK = os.sysconf("SC_CLK_TCK")
HOST = "127.0.0.1"


class Session:
    """One client of the little server: it signs anyone in to an empty folder."""

    def __init__(self, raw, context, idling):
        self.tls = context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        self.tls.setblocking(False)
        self.greeted, self.tag, self.rest, self.idling = False, "", b"", idling

    def step(self):
        """False when it is over."""
        try:
            if not self.greeted:
                self.tls.do_handshake()
                self.tls.sendall(b"* OK [CAPABILITY IMAP4rev1 IDLE SASL-IR AUTH=PLAIN UIDPLUS] here\r\n")
                self.greeted = True
            data = self.tls.recv(4096)
            if not data:
                return False
            self.rest += data
            while b"\n" in self.rest:
                line, self.rest = self.rest.split(b"\n", 1)
                self.answer(line.strip().decode())
        except ssl.SSLWantReadError:
            return True
        except (OSError, ssl.SSLError):
            return False
        return True

    def answer(self, line):
        if line == "DONE":
            self.tls.sendall(f"{self.tag} OK done\r\n".encode())
            with self.idling.get_lock():
                self.idling.value -= 1
            return
        self.tag, word = line.split(" ")[:2]
        if word == "IDLE":
            self.tls.sendall(b"+ idling\r\n")
            with self.idling.get_lock():
                self.idling.value += 1
            return
        said = {"CAPABILITY": "* CAPABILITY IMAP4rev1 IDLE SASL-IR AUTH=PLAIN UIDPLUS\r\n",
                "SELECT": "* 0 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT 1] x\r\n"}.get(word, "")
        self.tls.sendall(f"{said}{self.tag} OK {word}\r\n".encode())


def serve(listener, pem, idling):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    chooser = selectors.DefaultSelector()
    listener.setblocking(False)
    chooser.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, _ in chooser.select():
            if key.data is None:
                raw, _ = listener.accept()
                session = Session(raw, context, idling)
                chooser.register(session.tls, selectors.EVENT_READ, session)
            elif not key.data.step():
                chooser.unregister(key.fileobj)
                key.fileobj.close()


def pss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as source:
        return next(int(line.split()[1]) for line in source if line.startswith("Pss:"))


def cpu(pid):
    with open(f"/proc/{pid}/schedstat") as source:
        main = int(source.read().split()[0])
    for task in os.listdir(f"/proc/{pid}/task"):
        if task != str(pid):
            with open(f"/proc/{pid}/task/{task}/schedstat") as source:
                main += int(source.read().split()[0])
    return main / 1e9


def measure(count, folder, certificates, port, idling):
    os.mkdir(folder, 0o755)
    programs = {name: station_module.program(name, folder) for name in ("emailsecd", "emailsecctl")}
    station = station_module.Station(folder, programs, certificates.system.pem,
                                     {"Service.LogLevel": "warning", "Limits.MaxSessions": 20000,
                                      "Limits.MaxSessionsPerHost": 20000})
    station.start()
    try:
        started = time.monotonic()
        accounts = [{"kind": "incoming", "name": f"a{number}", **{key: value for key, value in channels.properties(
            "imap", "ssl", HOST, port, f"box{number}", pollRate=60).items()}} for number in range(count)]
        station.monitor.stop()
        with station.client() as client:
            for account in accounts:
                name, kind = account.pop("name"), account.pop("kind")
                client.call("AddAccount", name=name, kind=kind, properties=account)
                client.call("SetPassword", name=name, password=letters.PASSWORD)
        until(lambda: idling.value >= count, 120, lambda: f"{idling.value} of {count} idle")
        up = time.monotonic() - started
        time.sleep(2)
        before = cpu(station.process.pid)
        time.sleep(SECONDS)
        used = cpu(station.process.pid) - before
        kib = pss(station.process.pid)      # at the end: what it took to get there is given back by then
        print(f"  {count:6} accounts: {kib / 1024:7.1f} MiB PSS, {used / SECONDS * 100:6.3f} % of a core,"
              f" all idle {up:.1f} s after the first was added", flush=True)
        return kib
    finally:
        station.kill()
        station.end()
        with idling.get_lock():
            idling.value = 0


def main():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    base = tempfile.mkdtemp(prefix="es-idle-", dir="/dev/shm")     # the disk is not what is measured
    os.chmod(base, 0o755)
    certificates = pki.Pki()
    pem = os.path.join(base, "server.pem")
    certificates.leaf("system").write(pem)
    listener = socket.create_server((HOST, 0), backlog=4096)
    idling = multiprocessing.Value("i", 0)
    server = multiprocessing.Process(target=serve, args=(listener, pem, idling), daemon=True)
    server.start()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}")
    print(f"IMAP IDLE over TLS, watched for {SECONDS} s")
    try:
        found = [measure(count, os.path.join(base, f"n{count}"), certificates, listener.getsockname()[1], idling)
                 for count in (10, ACCOUNTS)]
        print(f"  each further account: {(found[1] - found[0]) / (ACCOUNTS - 10):.1f} KiB")
    finally:
        server.terminate()
        server.join()
        users.remove(base)


if __name__ == "__main__":
    main()
