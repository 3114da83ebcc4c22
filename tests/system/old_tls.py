# SPDX-License-Identifier: MIT
"""A TLS 1.2 server that does not know secure renegotiation (RFC 5746), which OpenSSL cannot be made into: GnuTLS by
ctypes. It greets as an SMTP server within TLS, and answers EHLO and QUIT."""

import ctypes
import ctypes.util
import socket
import threading

SERVER, CERTIFICATE_CREDENTIALS, PEM = 1 << 0, 1, 1
PRIORITY = b"NORMAL:-VERS-ALL:+VERS-TLS1.2:%DISABLE_SAFE_RENEGOTIATION"


def library():
    name = ctypes.util.find_library("gnutls")
    return ctypes.CDLL(name) if name else None


class OldServer:
    def __init__(self, certificate, folder):
        self.tls = library()
        path = certificate.write(f"{folder}/old.pem").encode()
        self.credentials = ctypes.c_void_p()
        self.tls.gnutls_certificate_allocate_credentials(ctypes.byref(self.credentials))
        assert self.tls.gnutls_certificate_set_x509_key_file(self.credentials, path, path, PEM) >= 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.heard = bytearray()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(peer,), daemon=True).start()

    def _talk(self, peer):
        session = ctypes.c_void_p()
        self.tls.gnutls_init(ctypes.byref(session), SERVER)
        self.tls.gnutls_priority_set_direct(session, PRIORITY, None)
        self.tls.gnutls_credentials_set(session, CERTIFICATE_CREDENTIALS, self.credentials)
        self.tls.gnutls_transport_set_int2(session, peer.fileno(), peer.fileno())
        if self.tls.gnutls_handshake(session) == 0:
            self._say(session, b"220 old.example\r\n")
            room = ctypes.create_string_buffer(4096)
            while (got := self.tls.gnutls_record_recv(session, room, 4096)) > 0:
                self.heard += room.raw[:got]
                self._say(session, b"221 bye\r\n" if room.raw.startswith(b"QUIT") else b"250 old.example\r\n")
        self.tls.gnutls_deinit(session)
        peer.close()

    def _say(self, session, words):
        self.tls.gnutls_record_send(session, words, len(words))

    def stop(self):
        self.socket.close()
