# SPDX-License-Identifier: MIT
"""An OAuth 2.0 token endpoint of our own, over TLS: all four grants, rotation, and answers as a test wants them. Beside it
in clear text what Dovecot asks whether a token is good (RFC 7662)."""

import http.server
import json
import secrets
import threading
import urllib.parse

import pki

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


class _Https(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler, context):
        super().__init__(("127.0.0.1", 0), handler)
        self.context = context

    def finish_request(self, request, address):
        try:
            request.settimeout(30)
            with self.context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, address)
        except OSError:
            pass    # its client did not trust it, or went


class TokenServer:
    def __init__(self, folder, certificate, user, client_id="station", client_secret=None, life=3600, rotate=False):
        self.user, self.client_id, self.client_secret, self.life, self.rotate = user, client_id, client_secret, life, rotate
        self.good, self.refresh = set(), {"first-refresh-token"}
        self.requests, self.answers = [], []    # forms that came; (status, headers, body) in place of the next answers
        self.agreed, self.asked = threading.Event(), threading.Event()
        self.gate = threading.Event()           # answers wait for it
        self.gate.set()
        self.key = None                         # the public key of assertions
        self.lock = threading.Lock()
        self.servers = [_Https(self._handler(self._token), pki.server_context(certificate, folder)),
                        http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler(self._introspect))]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self.port, self.introspection_port = (server.server_address[1] for server in self.servers)

    def stop(self):
        self.gate.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def serve(self, certificate, folder):
        self.servers[0].context = pki.server_context(certificate, folder)

    def properties(self, grant, **more):
        place = f"https://127.0.0.1:{self.port}"
        return {"authentication": "xoauth2", "oauthProvider": "custom", "oauthGrant": grant, "oauthClientId": self.client_id,
                "oauthTokenEndpoint": f"{place}/token", "oauthDeviceEndpoint": f"{place}/device", **more}

    def withdraw(self):
        """No access token given so far is good any more."""
        with self.lock:
            self.good.clear()

    def grants(self):
        return [form["grant_type"] for form in self.requests if "grant_type" in form]

    def _handler(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                status, headers, body = answer(self.path, form)
                self.close_connection = True
                if isinstance(body, bytes) and status == 0:
                    self.wfile.write(body)
                    return
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": len(body), **headers}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body)

        return Handler

    def _introspect(self, path, form):
        with self.lock:
            good = form.get("token") in self.good
        return 200, {}, {"active": good, "email": self.user, "username": self.user}

    def _give(self, refresh=None):
        access = "access." + secrets.token_urlsafe(24)
        self.good.add(access)
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": self.life}
        return 200, {}, {**answer, **({"refresh_token": refresh} if refresh else {})}

    def _new_refresh(self):
        self.refresh.clear()    # the one before is void from now on
        self.refresh.add("refresh." + secrets.token_urlsafe(24))
        return next(iter(self.refresh))

    def _token(self, path, form):
        self.requests.append({"path": path, **form})
        self.asked.set()
        self.gate.wait(60)
        with self.lock:
            if self.answers:
                return self.answers.pop(0)
            if path == "/device":
                return 200, {}, {"device_code": "a-device-code", "user_code": "WXYZ-1234", "interval": 1, "expires_in": 600,
                                 "verification_uri": "https://login.example/device"}
            grant = form.get("grant_type")
            if grant != JWT_BEARER and form.get("client_id") != self.client_id:
                return 401, {}, {"error": "invalid_client"}
            if grant != JWT_BEARER and form.get("client_secret") != self.client_secret:
                return 401, {}, {"error": "invalid_client", "error_description": "the secret is wrong"}
            if grant == "refresh_token":
                if form.get("refresh_token") not in self.refresh:
                    return 400, {}, {"error": "invalid_grant"}
                return self._give(self._new_refresh() if self.rotate else None)
            if grant == DEVICE_CODE:
                if form.get("device_code") != "a-device-code":
                    return 400, {}, {"error": "invalid_grant"}
                return self._give(self._new_refresh()) if self.agreed.is_set() else (400, {}, {"error": "authorization_pending"})
            if grant == JWT_BEARER:
                return self._give() if self.key and self.key(form["assertion"]) else (400, {}, {"error": "invalid_grant"})
            if grant == "client_credentials":
                return self._give()
            return 400, {}, {"error": "unsupported_grant_type"}
