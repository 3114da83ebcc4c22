# SPDX-License-Identifier: MIT
"""`setup ADDRESS` and `probe ADDRESS`: servers by DNS, by the domain's own file, by the usual names, with the real servers
behind them; on a terminal and by a script. Names are answered by a name server of our own."""

import http.server
import itertools
import json
import os
import pty
import select
import socket
import ssl
import struct
import subprocess
import threading

import pytest

import letters
import pki
import station as station_module
import users

pytestmark = pytest.mark.skipif(not users.IS_ROOT, reason="needs root: a name server and a web server on their ports")

_numbers = itertools.count(os.getpid() % 100 * 200 % 24000 + 1)


def own_address():
    """One of loopback that no other test has."""
    number = next(_numbers)
    return f"127.{60 + os.getpid() % 100}.{number // 250}.{number % 250 + 1}"


def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


class NameServer:
    """records: {(type, name): [data]}; SRV: (priority, weight, port, host), MX: (priority, host), A: address."""

    TYPES = {"A": 1, "MX": 15, "AAAA": 28, "SRV": 33}

    def __init__(self):
        self.address, self.records, self.asked = own_address(), {}, []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.address, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self):
        self._socket.close()

    def _data(self, kind, value):
        if kind == "A":
            return socket.inet_aton(value)
        if kind == "MX":
            return struct.pack(">H", value[0]) + encoded(value[1])
        return struct.pack(">HHH", *value[:3]) + encoded(value[3])

    def _serve(self):
        while True:
            try:
                query, peer = self._socket.recvfrom(4096)
            except OSError:
                return
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, number = ".".join(labels).lower(), struct.unpack(">H", query[at + 1:at + 3])[0]
            kind = next((k for k, n in self.TYPES.items() if n == number), None)
            self.asked.append((kind, name))
            answers = self.records.get((kind, name), [])
            known = answers or any(n == name for _, n in self.records)
            reply = query[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, len(answers), 0, 0) + query[12:at + 5]
            for value in answers:
                data = self._data(kind, value)
                reply += b"\xc0\x0c" + struct.pack(">HHIH", number, 1, 60, len(data)) + data
            self._socket.sendto(reply, peer)


class WebServer:
    def __init__(self, folder, certificate, text, status=200):
        self.address, self.paths = own_address(), []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                web.paths.append((self.headers["Host"], self.path))
                self.send_response(status)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        class Https(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args):
                pass

            def finish_request(self, request, address):
                try:
                    request.settimeout(20)
                    with context.wrap_socket(request, server_side=True) as secured:
                        super().finish_request(secured, address)
                except (OSError, ssl.SSLError):
                    pass

        context = pki.server_context(certificate, folder)
        self._server = Https((self.address, 443), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def world(new_station, folder, certificates):
    """A station whose names come from `dns`; ctl(...) runs the tool in the same world."""
    dns = NameServer()
    resolver = os.path.join(folder, "resolv.conf")
    with open(resolver, "w") as out:
        out.write(f"nameserver {dns.address}\noptions timeout:2 attempts:1\n")
    os.chmod(resolver, 0o644)
    station = new_station()
    station.resolver = resolver
    station.start()
    inside = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"',
              resolver, station.programs["emailsecctl"], "--socket", station.socket]

    def ctl(*args, stdin=b"", code=0):
        done = subprocess.run([*inside, *args], input=stdin, capture_output=True, timeout=120, cwd="/",
                              env=station_module.clean_environment())
        result = station_module.Result(args, done)
        assert code is None or result.code == code, f"{result}(expected {code})\n{station.log()[-3000:]}"
        return result

    def on_terminal(args, answers):
        pid, fd = pty.fork()
        if pid == 0:
            os.execvpe(inside[0], [*inside, *args], station_module.clean_environment(TERM="dumb"))
        output, waiting, seen = b"", list(answers), 0
        while select.select([fd], [], [], 60)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:
                break
            if not data:
                break
            output += data
            if waiting and waiting[0][0].encode() in output[seen:]:
                seen = len(output)
                os.write(fd, waiting.pop(0)[1].encode() + b"\n")
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(fd)
        assert not waiting, output
        return status, output.decode()

    station.world_dns, station.tool, station.on_terminal = dns, ctl, on_terminal
    yield station
    dns.stop()


def with_srv(world, post, dovecot, domain):
    world.world_dns.records.update({
        ("SRV", f"_submissions._tcp.{domain}"): [(20, 0, 1, "worse.example"), (10, 1, post.port("smtp", "ssl", "system"), "localhost")],
        ("SRV", f"_submission._tcp.{domain}"): [(10, 1, post.port("smtp", "starttls", "system"), "localhost")],
        ("SRV", f"_imaps._tcp.{domain}"): [(10, 1, dovecot.port("imap", "ssl"), "localhost")],
        ("SRV", f"_pop3s._tcp.{domain}"): [(10, 1, dovecot.port("pop3", "ssl"), "localhost")]})


def test_by_srv_on_a_terminal(world, post, dovecot, box):
    """Shows what it found and where, asks, adds, tests; then mail goes and comes."""
    with_srv(world, post, dovecot, letters.DOMAIN)
    status, said = world.on_terminal(["setup", letters.address(box), "--user", box],
                                     [("Add ", "y"), ("Password of", letters.PASSWORD)])
    assert status == 0, said
    assert "SRV records of" in said and "localhost port" in said and "TLS from the first byte" in said and letters.PASSWORD not in said
    label = letters.DOMAIN.split(".")[0]
    accounts = {a["name"]: a["properties"] for a in world.call("ListAccounts")["accounts"]}
    assert set(accounts) == {f"{label}-out", f"{label}-in"}
    assert all(a["enabled"] and a["useSsl"] and a["account"] == box for a in accounts.values())
    assert accounts[f"{label}-out"]["from"] == letters.address(box) and accounts[f"{label}-in"]["transport"] == "imap"
    world.tool("send", "--to", letters.address(box), "-s", "there and back", stdin=b"x\n")
    world.wait_event("mail.received", account=f"{label}-in")
    # once more: other names
    again = world.tool("--json", "setup", letters.address(box), "--user", box, "--yes", stdin=letters.PASSWORD.encode())
    assert {a["name"] for a in again.json["accounts"]} == {f"{label}-{box}-out", f"{label}-{box}-in"}
    assert all(a["works"] for a in again.json["accounts"])


def test_nothing_is_added_without_a_yes(world, post, dovecot, box):
    with_srv(world, post, dovecot, letters.DOMAIN)
    status, said = world.on_terminal(["setup", letters.address(box)], [("Add ", "n")])
    assert status == 1 and "Nothing was added" in said
    assert "--yes" in world.tool("setup", letters.address(box), stdin=b"secret", code=2).err
    assert world.call("ListAccounts")["accounts"] == []


def test_by_a_script_with_the_wrong_password(world, post, dovecot, box, folder):
    """Exit 1, both accounts are there and disabled, and it says what is left."""
    with_srv(world, post, dovecot, letters.DOMAIN)
    secret = os.path.join(folder, "secret")
    with open(secret, "w") as out:
        out.write("wrong\n")
    done = world.tool("setup", letters.address(box), "--user", box, "--yes", "--name", "mine", "--password-file", secret, code=1)
    assert "stays disabled until it works" in done.out and "emailsecctl account enable mine-out" in done.out
    accounts = {a["name"]: a["properties"]["enabled"] for a in world.call("ListAccounts")["accounts"]}
    assert accounts == {"mine-out": False, "mine-in": False}
    assert "already" in world.tool("setup", letters.address(box), "--yes", "--name", "mine", stdin=b"x", code=1).err


FILE = """<?xml version="1.0"?><clientConfig version="1.1"><emailProvider id="x">
<incomingServer type="imap"><hostname>localhost</hostname><port>{imap}</port><socketType>SSL</socketType><username>%EMAILLOCALPART%</username></incomingServer>
<outgoingServer type="smtp"><hostname>localhost</hostname><port>{smtp}</port><socketType>STARTTLS</socketType><username>%EMAILLOCALPART%</username></outgoingServer>
</emailProvider></clientConfig>"""


@pytest.mark.parametrize("place", ("autoconfig", "well-known"))
def test_by_the_file_of_the_domain(world, post, dovecot, certificates, box, folder, place):
    domain = letters.DOMAIN
    host = f"autoconfig.{domain}" if place == "autoconfig" else domain
    text = FILE.format(imap=dovecot.port("imap", "ssl"), smtp=post.port("smtp", "starttls", "system")).encode()
    web = WebServer(folder, certificates.leaf("system", host), text)
    world.world_dns.records[("A", host)] = [web.address]
    try:
        done = world.tool("setup", letters.address(box), "--yes", stdin=letters.PASSWORD.encode() + b"\n")
        found = world.call("FetchAutoconfig", domain=domain)
    finally:
        web.stop()
    assert found["url"].startswith(f"https://{host}/") and found["text"].encode() == text
    assert f"https://{host}/" in done.out and "TLS by STARTTLS" in done.out
    assert all(box not in path for _, path in web.paths), "nobody's address is told"
    accounts = [a["properties"] for a in world.call("ListAccounts")["accounts"]]
    assert len(accounts) == 2 and all(a["enabled"] and a["account"] == box for a in accounts)


@pytest.mark.parametrize("kind", ("user", "wrong-name", "expired"))
def test_a_file_from_a_server_that_nobody_vouches_for_is_not_taken(world, certificates, folder, kind):
    host = "autoconfig.plant.example"
    web = WebServer(folder, certificates.leaf(kind, host), FILE.format(imap=1, smtp=1).encode())
    world.world_dns.records[("A", host)] = [web.address]
    try:
        done = world.tool("setup", "me@plant.example", "--yes", stdin=b"x\n", code=1)
    finally:
        web.stop()
    assert web.paths == [] and "no server of me@plant.example was found" in done.err
    assert world.call("ListAccounts")["accounts"] == [] and world.call("GetStatus")["status"]["challenges"] == 0


def test_by_the_usual_names(world, certificates, new_sink):
    """Where nothing is told, what answers; and where only one side is found, that one is added."""
    address = own_address()
    sink = new_sink(certificates.leaf("system", "mail.plant.example"), implicit_tls=True, login=True, host=address, port=465)
    world.world_dns.records[("A", "mail.plant.example")] = [address]
    done = world.tool("probe", "me@plant.example", code=None)
    assert "mail.plant.example port 465, TLS from the first byte" in done.out and "no server was found" in done.out
    done = world.tool("--json", "setup", "me@plant.example", "--yes", "--only", "outgoing", "--user", "plant",
                      stdin=letters.PASSWORD.encode())
    assert done.json["outgoing"]["hostname"] == "mail.plant.example" and done.json["outgoing"]["source"].startswith("tried")
    assert done.json["incoming"] is None and [a["works"] for a in done.json["accounts"]] == [True]
    assert sink.violations == []


def test_providers_of_the_table(world):
    """Without a question to anybody; by MX for domains that a provider serves; no passwords where none are taken."""
    found = world.tool("setup", "somebody@gmail.com", "--yes", "--name", "g", stdin=b"x", code=None)
    assert "smtp.gmail.com port 465" in found.out and "app password" in found.out
    assert [n for k, n in world.world_dns.asked if n.endswith("gmail.com") and k in ("SRV", "MX")] == []
    world.world_dns.records[("MX", "corp.example")] = [(10, "corp-example.mail.protection.outlook.com")]
    refused = world.tool("setup", "me@corp.example", "--yes", code=2)
    assert "smtp.office365.com" in refused.out and "by OAuth" in refused.out and "--client-id" in refused.err


def test_what_is_no_address(world):
    assert "a@b@c" in world.tool("setup", "a@b@c", "--yes", code=2).err
    assert world.tool("setup", "nobody", "--yes", code=2).err
