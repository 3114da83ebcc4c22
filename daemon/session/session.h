/* SPDX-License-Identifier: MIT */
/*
 * A session with a mail server from name lookup to READY: puts together wire/connection, tls/channel with its
 * verdict, and a protocol's engine. Nothing but capability discovery and STARTTLS leaves before the verdict
 * is good. Used by sender, receiver and probe alike.
 *
 * Callbacks run on the loop, and never from inside a call of the user's: neither one of these functions, nor
 * one of the engine's. What an engine has to say is sent on the loop's next turn, whoever called it.
 * session_close() may be called in any callback.
 */
#pragma once

#include "daemon/accounts/account.h"
#include "daemon/handle.h"
#include "daemon/tls/channel.h"
#include "daemon/wire/connection.h"

struct session;

struct session_plan {          /* borrowed texts are copied */
        const char *account;   /* name, for the journal and session tickets; "" for probes */
        const char *direction; /* "outgoing", "incoming" */
        const char *host;      /* or the absolute path of a local socket, which needs no place */
        uint16_t port;
        bool ssl, starttls;
        int min_tls; /* 10, 11, 12, 13 */
        bool legacy_renegotiation;
        const char *alpn;               /* or NULL */
        const char *client_certificate; /* or NULL */
        unsigned timeout_seconds;
        bool debug;       /* trace to the journal */
        bool auto_signin; /* the mechanism is ours to choose */
        bool record;      /* a challenge is recorded */
};

enum session_mark { SESSION_CONNECTED, SESSION_SECURED, SESSION_READY };

struct session_user {
        /* A milestone; SECURED comes with the verdict, good or not. May be NULL. */
        void (*reached)(void *ctx, enum session_mark mark, const struct verdict *verdict);
        /* The engine is ENGINE_READY for the first time. */
        void (*ready)(void *ctx);
        /* Bytes were handled or sent: there may be room for more work. May be NULL. */
        void (*progress)(void *ctx);
        /* Another engine like the one that session_open() was given, for another address of the host. NULL:
         * the session is not to be tried there. */
        struct engine *(*again)(void *ctx);
        /* It rests (session_rest), which is over by this: somebody waits for its place, and
         * session_contended() is true. Not in here session_close(). NULL: it never rests. */
        void (*wanted)(void *ctx);
        /* The end, once. CAUSE_NONE: orderly. `challenge_id` "" or the entry that waits. The session is freed
         * by session_close(), which the callee must call. */
        void (*ended)(void *ctx, const struct cause *why, const char *challenge_id);
};

/* Fills in the plan of an account; texts are borrowed from it. */
void session_plan_of(const struct property_values *values, struct session_plan *plan);

/* Starts, or waits for a free place under MaxSessions and MaxSessionsPerHost. The engine is owned from here
 * on. An address of the host that breaks off before it has answered anything, or in its TLS handshake, gives
 * way to the next. */
struct session *session_open(const struct session_plan *plan, struct engine *engine,
                             const struct session_user *user, void *ctx) must_use;
/* Never NULL before session_close(). Another one after the session has gone on to another address. */
struct engine *session_engine(struct session *session);
/* For who answers later: handle_object() gives the session, or NULL once it is closed. */
handle_id session_handle(const struct session *session);
/* No bytes are taken in while paused. */
void session_pause(struct session *session, bool paused);
/* Says good-bye from READY, once; `ended` follows when the server has answered, or its time is over. */
void session_quit(struct session *session);
/* Lets go of it; no callback after this. NULL is fine. */
void session_close(struct session *session);

/* A session of the account came this far: what its channel is, and what the handshake cost, is noted there.
 */
void session_tell_account(const struct session *session, enum session_mark mark, struct account *account);

/* Facts for `account test`. */
struct connection_times session_times(const struct session *session);
const char *session_address(const struct session *session);
const char *session_before(
        const struct session *session); /* why another address was left for this one; NULL: none was */
bool session_tls_info(const struct session *session, struct channel_info *out); /* false: no TLS */
const struct tls_evidence *session_evidence(const struct session *session);     /* NULL: no TLS */
/* It has nothing to do, or something again: while it rests, `wanted` tells that somebody waits for its place.
 */
void session_rest(struct session *session, bool rests);
/* True when others wait for a place at this host: do not sit on it. */
bool session_contended(const struct session *session);
/* Places have become free: those that wait for one are looked at, soon. */
void sessions_start_waiting(void);
/* Milliseconds that it has waited for a place under MaxSessions or MaxSessionsPerHost, -1: it has one; and
 * which of the two is full, as a sentence that the caller frees. */
int64_t session_waits_ms(const struct session *session);
char *session_waits_words(const struct session *session) must_use;

/* True when the session leaves by the address that the machine would use now. */
bool session_still_routed(const struct session *session);

/* After trust changed: true when the session may go on; false when the exemption or anchor it rests on has
 * gone. */
bool session_still_trusted(const struct session *session);
/* True when it rests on an exemption, and the anchors have changed since: a new one might verify without
 * help, which alone shows that the exemption is needed no more. */
bool session_may_verify(const struct session *session);

/* True when what is trusted changed while this session was being made: a failure then says nothing of the
 * server. */
bool session_trust_moved(const struct session *session);
