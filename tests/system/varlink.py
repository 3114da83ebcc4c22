# SPDX-License-Identifier: MIT
"""A Varlink client as small as can be: JSON objects, each ended by a NUL byte, descriptors beside them. Every reply, error
and event that comes is held against the .varlink files."""

import array
import collections
import functools
import json
import socket

import idl
import waiting

SERVICE = "io.emailsec.EmailService."
TRUST = "io.emailsec.Trust."


class VarlinkError(Exception):
    def __init__(self, name, parameters):
        self.name, self.parameters = name, parameters or {}
        self.short = name.rsplit(".", 1)[-1]
        self.cause = self.parameters.get("cause", {})
        super().__init__(f"{name}: {self.parameters}")


class Closed(Exception):
    """The daemon ended the connection."""


_interfaces = functools.lru_cache(idl.interfaces)


def contract_problems(method, got):
    """How a reply to the method departs from the description of its interface."""
    interface, _, name = method.rpartition(".")
    described = _interfaces().get(interface)
    if "error" in got:
        interface, _, name = got["error"].rpartition(".")
        described = _interfaces().get(interface)
        if not described:
            return [] if interface == "org.varlink.service" else [f"{got['error']}: of no interface"]
        if name not in described.errors:
            return [f"{got['error']}: not declared"]
        return described.problems(described.errors[name], got.get("parameters", {}), got["error"])
    if not described or name not in described.methods:
        return []
    parameters = got.get("parameters", {})
    problems = described.problems(described.methods[name].gives, parameters, method)
    if name == "Monitor" and parameters.get("event"):
        problems += event_problems(described, parameters["event"])
    return problems


def event_problems(described, event):
    """How an event's data departs from what stands beside its name."""
    name = event.get("event")
    if name not in described.events:
        return [f"event {name}: not declared"]
    idl.delivered.add(f"event {name}")
    return described.problems(described.events[name], event.get("data"), f"event {name}")


class Client:
    def __init__(self, path, timeout=20 * waiting.GENEROUS):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)      # waits where many others connect; with a timeout it would be refused then
        self.socket.settimeout(timeout)
        self.pending = b""
        self.fds = []
        self.asked = collections.deque()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, method, parameters=None, fds=(), **flags):
        call = {"method": method, "parameters": parameters or {}, **flags}
        if flags.get("oneway") is not True:
            self.asked.append(method)
        self.send_raw(json.dumps(call).encode() + b"\0", fds)

    def send_raw(self, data, fds=()):
        if fds:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            sent = self.socket.sendmsg([data], rights)
            data = data[sent:]
        self.socket.sendall(data)

    def receive(self):
        """The next object, errors not raised."""
        while b"\0" not in self.pending:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(4 * 16))
            except ConnectionError as error:
                raise Closed(str(error)) from error
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    self.fds += array.array("i", content[:len(content) // 4 * 4])
            if not data:
                raise Closed("end of the stream")
            self.pending += data
        frame, self.pending = self.pending.split(b"\0", 1)
        got = json.loads(frame)
        method = "" if not self.asked else self.asked[0] if got.get("continues") else self.asked.popleft()
        if method or "error" in got:       # what was sent raw may have been no call
            problems = contract_problems(method, got)
            assert not problems, problems
        return got

    def answer(self):
        got = self.receive()
        if "error" in got:
            raise VarlinkError(got["error"], got.get("parameters"))
        return got.get("parameters", {})

    def call(self, method, **parameters):
        """One call, its parameters back; VarlinkError when refused. A short name is of the EmailService."""
        self.send(method if "." in method else SERVICE + method, parameters)
        return self.answer()

    def stream(self, method, **parameters):
        """Yields what a call with `more` answers."""
        self.send(method if "." in method else SERVICE + method, parameters, more=True)
        while True:
            got = self.receive()
            if "error" in got:
                raise VarlinkError(got["error"], got.get("parameters"))
            yield got.get("parameters", {})
            if not got.get("continues"):
                return
