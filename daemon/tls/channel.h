/* SPDX-License-Identifier: MIT */
/*
 * TLS over a connection: makes the SSL from the account's policy, is the connection's
 * transport, and after the handshake says who is there. The owner (session/session) puts
 * the transport in with connection_secure(), waits for `secured`, and asks
 * channel_verdict() before the first application byte.
 */
#pragma once

#include "daemon/tls/judge.h"
#include "daemon/wire/connection.h"
#include "daemon/wire/engine.h"

struct tls_policy {          /* borrowed texts, copied by channel_new */
        const char *account; /* name: key of session tickets; "" for probes: none kept */
        const char *host;    /* reference identity and SNI (not for IP literals) */
        uint16_t port;
        int min_version;           /* 10, 11, 12, 13 */
        bool legacy_renegotiation; /* the server need not know RFC 5746; nothing is renegotiated all the same
                                    */
        const char *alpn;          /* "imap", "pop3" or NULL */
        const char *client_certificate; /* name in the user key store, or NULL */
        bool implicit;                  /* TLS from the first byte: for the words of a failure */
        time_t server_time;             /* as the server said before, unproven; 0: it did not */
        bool record;                    /* a challenge is recorded in the Allowed Hosts (false: probe) */
};

struct channel;

/* NULL with a cause (a trust store poisons the verdict, not this). */
struct channel *channel_new(const struct tls_policy *policy, int fd, struct cause *cause) must_use;
/* The server's side, for a client that came here: shows the certificate of that name (keys.h). Its words of a
 * failure are about a server all the same. NULL with a cause. Nothing is judged: it has no verdict. */
struct channel *channel_accepting(const char *certificate, int fd, struct cause *cause) must_use;
/* Owned by the channel; the connection's free() of it frees the channel. */
struct transport *channel_transport(struct channel *channel);

/* After `secured`: judges, records (pending entry, lastSeen, needless). Once. */
void channel_verdict(struct channel *channel, struct verdict *out);

/* The words without a size live as long as the process, and so does what is all zero: there was no TLS. */
struct channel_info {
        const char *version, *cipher; /* "TLSv1.3", "TLS_AES_256_GCM_SHA384" */
        const char *group;            /* key exchange, or "" */
        const char *staple;           /* "good", "none", "revoked", ... */
        char fingerprint[65];         /* SHA-256 of the leaf, lower-case hex */
        char key_fingerprint[65];
        time_t not_after;        /* of the leaf */
        const char *verified_by; /* "system" | "user" | "allowedHost" | "" */
        bool resumed;
        bool asked_certificate; /* of us, and there was none to send */
};
void channel_info(const struct channel *channel, struct channel_info *out);
/* The server's own certificate as plain data; false when it showed none. certificate_done() is the caller's.
 */
bool channel_leaf(const struct channel *channel, struct certificate *out) must_use;
/* Facts with the chain, for `account test`; valid while the channel lives. */
const struct tls_evidence *channel_evidence(const struct channel *channel);
/* SHA-256 of the anchor that the verdict rests on, zero when none: for trust_anchor(), after a store has
 * changed. Costs nothing, unlike channel_evidence(), which makes the evidence again and keeps them. */
const uint8_t *channel_anchor(const struct channel *channel);
/* RFC 9266 tls-exporter, where the version has it. */
void channel_binding(struct channel *channel, struct engine_binding *out);
