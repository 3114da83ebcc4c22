/* SPDX-License-Identifier: MIT */
/*
 * A session with a mail server from name lookup to READY: puts together wire/connection, tls/channel with its
 * verdict, and a protocol's chat. Nothing but capability discovery and STARTTLS leaves before the verdict is good.
 * Used by sender, receiver and probe alike.
 *
 * Callbacks run on the loop; link_close() may be called in any of them.
 */
#pragma once

#include "common/properties.h"
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
        /* The end, once. CAUSE_NONE: orderly. `challenge_id` "" or the entry that waits. The link is freed by
         * link_close(), which the callee must call. */
        void (*ended)(void *ctx, const struct cause *why, const char *challenge_id);
};

/* Fills in the plan of an account; texts are borrowed from it. */
void link_plan_of(const struct property_values *values, struct link_plan *plan);

/* Starts, or waits for a free place under MaxSessions and MaxSessionsPerHost. The chat is owned from here on. */
struct link *link_open(const struct link_plan *plan, struct chat *chat, const struct link_user *user,
                       void *ctx) must_use;
struct chat *link_chat(struct link *link);
/* After work was given to the chat outside of a callback from it: sends, arms the wait, reacts. */
void link_pump(struct link *link);
/* No bytes are taken in while paused. */
void link_pause(struct link *link, bool paused);
/* Says good-bye from READY; `ended` follows. */
void link_quit(struct link *link);
/* Lets go of it; no callback after this. NULL is fine. */
void link_close(struct link *link);

/* Facts for `account test`. */
struct connection_times link_times(const struct link *link);
const char *link_address(const struct link *link);
bool link_tls_info(const struct link *link, struct channel_info *out); /* false: no TLS */
const struct tls_facts *link_facts(const struct link *link);           /* NULL: no TLS */
/* True when others wait for a place at this host: do not sit on it. */
bool link_contended(const struct link *link);

/* True when the session leaves by the address that the machine would use now. */
bool link_still_routed(const struct link *link);

/* After trust changed: true when the session may go on; false when the exemption or anchor it rests on has gone. */
bool link_still_trusted(const struct link *link);

/* True when what is trusted changed while this session was being made: a failure then says nothing of the server. */
bool link_trust_moved(const struct link *link);
