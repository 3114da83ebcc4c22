# SPDX-License-Identifier: MIT
"""A Varlink server with scripted answers, for tests of emailsecctl alone.

    with FakeDaemon(folder, {"io.emailsec.EmailService.GetStatus": {"status": {...}}}) as daemon:
        run("emailsecctl", "--socket", daemon.path, "status")
    daemon.calls[0]["parameters"]

An answer is a dict (the parameters of the reply), a list of dicts (a stream), a generator of them (one that goes on), Error(name, **parameters), or a function
of (parameters, files) that gives one of these; WithFile(dict, bytes) sends a file along, HANG_UP closes.
"""
import array
import json
import os
import socket
import tempfile
import threading
import types

EMAIL = "io.emailsec.EmailService."
TRUST = "io.emailsec.Trust."
HANG_UP = object()


class Error:
    def __init__(self, name, text="it went wrong", remedy="mend it", problems=None, code=None):
        self.name = name
        word = code or name.rsplit(".", 1)[-1]
        self.parameters = {"cause": {"code": word, "text": text, "remedy": remedy, "retries": False, "property": ""}}
        if problems is not None:
            self.parameters["problems"] = problems


class WithFile:
    def __init__(self, parameters, content):
        self.parameters = parameters
        self.content = content


class FakeDaemon:
    def __init__(self, folder, answers):
        self.path = os.path.join(str(folder), "socket")
        self.answers = answers
        self.calls = []
        self.files = []
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(self.path)
        self.server.listen(16)
        self.thread = threading.Thread(target=self.accept, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        pending = b""
        files = []
        with client:
            while True:
                try:
                    data, ancillary, _, _ = client.recvmsg(65536, socket.CMSG_SPACE(16))
                except OSError:
                    return
                for level, kind, payload in ancillary:
                    if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                        fds = array.array("i")
                        fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                        files.extend(fds)
                if not data:
                    return
                pending += data
                while b"\0" in pending:
                    frame, pending = pending.split(b"\0", 1)
                    contents = [self.read(fd) for fd in files]
                    files = []
                    if self.answer(client, json.loads(frame), contents) is HANG_UP:
                        return

    @staticmethod
    def read(fd):
        with os.fdopen(fd, "rb") as file:
            return file.read()

    def answer(self, client, call, files):
        self.calls.append(call)
        self.files.extend(files)
        answer = self.answers.get(call["method"], Error("org.varlink.service.MethodNotFound"))
        if callable(answer):
            answer = answer(call.get("parameters", {}), files)
        if answer is HANG_UP:
            return HANG_UP
        if isinstance(answer, Error):
            self.send(client, {"error": answer.name, "parameters": answer.parameters})
        elif isinstance(answer, WithFile):
            with tempfile.TemporaryFile() as file:
                file.write(answer.content)
                file.seek(0)
                frame = json.dumps({"parameters": answer.parameters}).encode() + b"\0"
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file.fileno()]))
                client.sendmsg([frame], [rights])
        elif isinstance(answer, types.GeneratorType):
            for one in answer:
                self.send(client, {"parameters": one, "continues": True})
        elif isinstance(answer, list):
            for i, one in enumerate(answer):
                self.send(client, {"parameters": one, "continues": i + 1 < len(answer)})
        else:
            self.send(client, {"parameters": answer})
        return None

    @staticmethod
    def send(client, reply):
        client.sendall(json.dumps(reply).encode() + b"\0")
