/* SPDX-License-Identifier: MIT */
/* Words for what goes wrong on a TLS connection: from OpenSSL's error queue and the first bytes heard to a
 * cause. */
#pragma once

#include "common/cause.h"

#include <openssl/ssl.h>

struct handshake_evidence {
        const char *host;
        uint16_t port;
        int min_version;
        bool implicit;        /* TLS from the first byte */
        const uint8_t *first; /* the first bytes from the peer, if any were seen */
        size_t first_len;
};

/* True when the first bytes are no TLS record: the peer talks in plain text. */
bool handshake_heard_plain_text(const struct handshake_evidence *evidence);
/* Sets CAUSE_TLS_MISMATCH for that case. */
void handshake_plain_text(const struct handshake_evidence *evidence, struct cause *cause);
/* The handshake failed with SSL_get_error() == `error`; `number` is errno as it was then. Empties the queue.
 */
void handshake_failed(const struct handshake_evidence *evidence, const SSL *ssl, int error, int number,
                      struct cause *cause);
/* The same for reading and writing afterwards. */
void channel_failed(const SSL *ssl, int error, int number, struct cause *cause);
/* The server sends records without end that bring nothing. */
void channel_flooded(struct cause *cause);
/* True when the queue holds the alert no_application_protocol. */
bool handshake_refused_alpn(void);
