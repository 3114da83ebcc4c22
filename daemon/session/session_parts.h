/* SPDX-License-Identifier: MIT */
/*
 * What the files of a session share: session.c (its beginning and end), session_tls.c (who is there), session_talk.c
 * (what is said in it), session_signin.c (what is kept of a sign-in), session_compute.c (what its chat must have worked
 * out) and session_plan.c (its plan; looking at one).
 */
#pragma once

#include "daemon/loop.h"
#include "daemon/session/session.h"
#include "daemon/session/session_limits.h"

struct link {
        handle_id self;                 /* dropped by link_close(): nothing that was put off reaches it any more */
        struct link_plan plan;          /* texts owned */
        struct chat *chat;              /* NULL once closed */
        struct connection *connection;  /* NULL while waiting for a place, and once over or closed */
        struct channel *channel;        /* NULL: no TLS (yet); belongs to the connection */
        enum verdict_kind verdict;      /* of the channel, once info is there */
        char allowed_id[13];            /* the entry that it rests on, else "" */
        struct channel_info info;
        uint64_t generation;            /* of trust, when it was judged */
        struct connection_times times;  /* once it is over */
        const struct link_user *user;
        void *ctx;
        struct link_end *end;           /* it is over: what `ended` is told */
        int64_t since;                  /* when the first address was begun with */
        char *before;                   /* of the address tried before, why it does not serve; NULL: this is the first */
        bool counted;                   /* holds a place */
        bool talking;                   /* the chat has begun */
        bool heard;                     /* the server has said something */
        bool was_ready, paused;
        bool touched;                   /* link_flush() is on its way */
        bool moved, drained;            /* since the last flush: bytes were handled; all was sent */
        bool armed;                     /* a deadline is set, */
        unsigned armed_waits;           /* for this wait of the chat, */
        uint64_t armed_progress;        /* when it had progressed so far */
        struct calculating *calculating; /* for the chat; NULL: nothing is */
        struct host *host;
        struct link *previous, *next;   /* in the list of all */
};

/* ---- session.c ---- */

struct subject link_subject(const struct link *link);
/* It is over, for this reason: `ended` is told of it on the loop's next turn. Once. */
void link_end_with(struct link *link, const struct cause *why, const char *challenge_id);
/* The session failed: goes on with the next address of the host when this one has not served at all, else it is over. */
void link_lose(struct link *link, const struct cause *why);
/* Seconds that the present address has for its handshake, and for its greeting. */
unsigned link_share(const struct link *link);

/* ---- session_tls.c ---- */

/* TLS on the connection as it stands. */
void link_begin_tls(struct link *link, bool implicit);
/* The handshake is done: the channel is judged, and the chat goes on, or the session is over. */
void link_secured(struct link *link);

/* ---- session_talk.c ---- */

/* The chat's owner is the link from now on. */
void link_use_chat(struct link *link, struct chat *chat);
/* The line stands as the plan wants it: the chat begins, or goes on after STARTTLS. */
void link_talk(struct link *link, const struct chat_channel *channel);
void link_received(struct link *link, const uint8_t *bytes, size_t len);
void link_drained(struct link *link);
/* There is something to look at: done once, on the loop's next turn, however often it is said. */
void link_touch(struct link *link);
/* Nothing is read while the chat cannot take it. */
void link_hold_reading(const struct link *link);

/* ---- session_signin.c ---- */

/* Signed in: keeps by what, for the next time, and tells what was odd in it. */
void link_note_signin(const struct link *link);
/* The session failed: what that means for what is kept; and a refusal stands for the end that followed it. */
void link_explain_signin(const struct link *link, struct cause *cause);

/* ---- session_compute.c ---- */

/* Begins what link->chat->calculation wants; link_calculated() is called from the loop when it is done. */
void link_calculate(struct link *link);
void link_calculated(struct link *link, const struct calculation *calculation);
/* Nobody waits for it any more. */
void link_forget_calculation(struct link *link);
