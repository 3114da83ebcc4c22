/* SPDX-License-Identifier: MIT */
/*
 * A session with a mail server from name lookup to READY: puts together wire/connection, tls/channel with its
 * verdict, and a protocol's chat. Nothing but capability discovery and STARTTLS leaves before the verdict is good.
 * Used by sender, receiver and probe alike.
 *
 * Callbacks run on the loop, and never from inside a call of the user's: neither one of these functions, nor one of the
 * chat's. What a chat has to say is sent on the loop's next turn, whoever called it. link_close() may be called in any
 * callback.
 */
#pragma once

#include "daemon/accounts/account.h"
#include "daemon/handle.h"
#include "daemon/tls/channel.h"
#include "daemon/wire/connection.h"

struct link;

struct link_plan {                  /* borrowed texts are copied */
        const char *account;        /* name, for the journal and session tickets; "" for probes */
        const char *direction;      /* "outgoing", "incoming" */
        const char *host;           /* or the absolute path of a local socket, which needs no place */
        uint16_t port;
        bool ssl, starttls;
        int min_tls;                /* 10, 11, 12, 13 */
        bool legacy_renegotiation;
        const char *alpn;           /* or NULL */
        const char *client_certificate; /* or NULL */
        unsigned timeout_seconds;
        bool debug;                 /* trace to the journal */
        bool auto_signin;           /* the mechanism is ours to choose */
        bool record;                /* a challenge is recorded */
};

enum link_mark { LINK_CONNECTED, LINK_SECURED, LINK_READY };

struct link_user {
        /* A milestone; SECURED comes with the verdict, good or not. May be NULL. */
        void (*reached)(void *ctx, enum link_mark mark, const struct verdict *verdict);
        /* The chat is CHAT_READY for the first time. */
        void (*ready)(void *ctx);
        /* Bytes were handled or sent: there may be room for more work. May be NULL. */
        void (*progress)(void *ctx);
        /* Another chat like the one that link_open() was given, for another address of the host. NULL: the session is
         * not to be tried there. */
        struct chat *(*again)(void *ctx);
        /* Somebody waits for a place: see link_contended(); not in here link_close(). May be NULL. */
        void (*wanted)(void *ctx);
        /* The end, once. CAUSE_NONE: orderly. `challenge_id` "" or the entry that waits. The link is freed by
         * link_close(), which the callee must call. */
        void (*ended)(void *ctx, const struct cause *why, const char *challenge_id);
};

/* Fills in the plan of an account; texts are borrowed from it. */
void link_plan_of(const struct property_values *values, struct link_plan *plan);

/* Starts, or waits for a free place under MaxSessions and MaxSessionsPerHost. The chat is owned from here on. An address
 * of the host that breaks off before it has answered anything, or in its TLS handshake, gives way to the next. */
struct link *link_open(const struct link_plan *plan, struct chat *chat, const struct link_user *user,
                       void *ctx) must_use;
/* Never NULL before link_close(). Another one after the link has gone on to another address. */
struct chat *link_chat(struct link *link);
/* For who answers later: handle_object() gives the link, or NULL once it is closed. */
handle_id link_handle(const struct link *link);
/* No bytes are taken in while paused. */
void link_pause(struct link *link, bool paused);
/* Says good-bye from READY; `ended` follows. */
void link_quit(struct link *link);
/* Lets go of it; no callback after this. NULL is fine. */
void link_close(struct link *link);

/* A session of the account came this far: what its channel is, and what the handshake cost, is noted there. */
void link_tell_account(const struct link *link, enum link_mark mark, struct account *account);

/* Facts for `account test`. */
struct connection_times link_times(const struct link *link);
const char *link_address(const struct link *link);
const char *link_before(const struct link *link); /* why another address was left for this one; NULL: none was */
bool link_tls_info(const struct link *link, struct channel_info *out); /* false: no TLS */
const struct tls_facts *link_facts(const struct link *link);           /* NULL: no TLS */
/* True when others wait for a place at this host: do not sit on it. */
bool link_contended(const struct link *link);
/* Places have become free: those that wait for one are looked at, soon. */
void links_start_waiting(void);
/* Milliseconds that it has waited for a place under MaxSessions or MaxSessionsPerHost, -1: it has one; and which of the two
 * is full, as a sentence that the caller frees. */
int64_t link_waits_ms(const struct link *link);
char *link_waits_words(const struct link *link) must_use;

/* True when the session leaves by the address that the machine would use now. */
bool link_still_routed(const struct link *link);

/* After trust changed: true when the session may go on; false when the exemption or anchor it rests on has gone. */
bool link_still_trusted(const struct link *link);

/* True when what is trusted changed while this session was being made: a failure then says nothing of the server. */
bool link_trust_moved(const struct link *link);
