/* SPDX-License-Identifier: MIT */
/*
 * Session tickets, one a key. The key is a digest of every input of the decision together with the trust
 * generation, so that a session never resumes a decision that would not be taken again (security rule 7,
 * S15); the verdict and the time until which it holds are kept beside the session, because a resumed
 * handshake shows no certificate to judge.
 */
#pragma once

#include "daemon/tls/judge.h"

#include <openssl/ssl.h>

struct ticket_inputs {
        const char *account, *host, *alpn, *client_certificate; /* NULL as "" */
        uint16_t port;
        int min_version;
        bool legacy_renegotiation;
        uint64_t generation;
};
void tickets_key(const struct ticket_inputs *inputs, uint8_t out[32]);

struct ticket_verdict {
        enum verdict_kind kind;
        char allowed_id[13];
        uint32_t errors;
        uint8_t anchor[32]; /* where the chain ended; zero when nowhere */
        time_t until;       /* the decision does not hold from here on */
};
/* The session of that key with its verdict; the caller frees (SSL_SESSION_free). NULL: none that holds at
 * `now`. */
SSL_SESSION *tickets_get(const uint8_t key[32], time_t now, struct ticket_verdict *out) must_use;
/* Keeps a session in place of an older one of that key; takes a reference of its own. Bounded: the one not
 * used for longest goes. */
void tickets_put(const uint8_t key[32], SSL_SESSION *session, const struct ticket_verdict *verdict);
void tickets_drop_all(void);
size_t tickets_count(void);
