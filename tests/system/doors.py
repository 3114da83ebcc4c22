# SPDX-License-Identifier: MIT
"""A station with a submission listener: its sockets are passed on as the service manager does it."""

import fcntl
import socket

import station as station_module


class Doors:
    """Sockets for a station that was not started yet: one for each of `names`, at 127.0.0.1, or [::1] where the name ends
    in 6, or at an address after a @."""

    def __init__(self, station, *names, network=None):
        """`network`: of netns.py; the addresses are in it."""
        self.station, self.sockets, self.ports = station, [], {}
        for name in names or ("smtp",):
            word, _, host = name.partition("@")
            host = host or ("::1" if word.endswith("6") else "127.0.0.1")
            listener = network.listen(host) if network else self.listen(host)
            high = fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD, 100)
            self.ports[name] = listener.getsockname()[1]
            listener.close()
            self.sockets.append((high, word.rstrip("6")))
        self.port = self.ports[(names or ("smtp",))[0]]
        station.pass_fds = tuple(fd for fd, _ in self.sockets)
        plain = station.command
        station.command = lambda: self.command(plain())

    @staticmethod
    def listen(host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, 0))
        listener.listen(4096)
        return listener

    def command(self, command):
        moves = " ".join(f"{3 + i}<&{fd} {fd}<&-" for i, (fd, _) in enumerate(self.sockets))
        names = ":".join(name for _, name in self.sockets)
        return ["bash", "-c", f'exec {moves}; export LISTEN_PID=$$ LISTEN_FDS={len(self.sockets)} LISTEN_FDNAMES={names}; exec "$@"',
                "bash", *command]

    def talk(self, name=None, timeout=20):
        port = self.ports[name] if name else self.port
        host = "::1" if name and name.endswith("6") else "127.0.0.1"
        return Talk(socket.create_connection((host, port), timeout=timeout * station_module.GENEROUS))


class Talk:
    """A client of few words: nothing is made right on its way."""

    def __init__(self, connection, greeting=True):
        self.socket, self.rest = connection, b""
        self.greeting = self.reply() if greeting else None

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b"\n" not in self.rest:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return None
            self.rest += more
        line, _, self.rest = self.rest.partition(b"\n")
        return line.decode().rstrip("\r")

    def reply(self):
        """(code, text of all its lines); None at the end."""
        lines = []
        while True:
            line = self.line()
            if line is None:
                return None
            lines.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), "\n".join(lines)

    def say(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def code(self, line):
        answer = self.say(line)
        return answer and answer[0]

    def ended(self):
        """Nothing more comes; what came before is skipped."""
        while self.line() is not None:
            pass
        return True

    def envelope(self, sender="plant@example.test", *recipients):
        """EHLO, MAIL and RCPT: the codes."""
        codes = [self.code("EHLO client.example"), self.code(f"MAIL FROM:<{sender}>")]
        return codes + [self.code(f"RCPT TO:<{recipient}>") for recipient in recipients or ("box@example.test",)]

    def message(self, content, sender="plant@example.test", *recipients):
        """A whole one: the last reply."""
        assert self.envelope(sender, *recipients) == [250] * (2 + len(recipients or (1,)))
        assert self.code("DATA") == 354
        self.send(content + ("" if content.endswith("\r\n") else "\r\n") + ".\r\n")
        return self.reply()
