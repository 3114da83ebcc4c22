/* SPDX-License-Identifier: MIT */
/*
 * What the files of a session share: session.c (its beginning and end), session_line.c (who waits for a
 * place), session_tls.c (who is there), session_talk.c (what is said in it, what is kept of its sign-in) and
 * session_plan.c (its plan; looking at one).
 */
#pragma once

#include "daemon/heap.h"
#include "daemon/loop.h"
#include "daemon/session/session.h"
#include "daemon/session/session_limits.h"

struct session {
        handle_id self; /* dropped by session_close(): nothing that was put off reaches it any more */
        struct session_plan plan;      /* texts owned */
        struct engine *engine;         /* NULL once closed */
        struct connection *connection; /* NULL while waiting for a place, and once over or closed */
        struct channel *channel;       /* NULL: no TLS (yet); belongs to the connection */
        enum verdict_kind verdict;     /* of the channel, once info is there */
        char allowed_id[13];           /* the entry that it rests on, else "" */
        struct channel_info info;
        uint64_t generation;           /* of trust, when it was judged */
        struct connection_times times; /* once it is over */
        const struct session_user *user;
        void *ctx;
        struct how_ended *end; /* it is over: what `ended` is told */
        int64_t since;         /* when the first address was begun with */
        char *before; /* of the address tried before, why it does not serve; NULL: this is the first */
        bool counted; /* holds a place */
        bool talking; /* the engine has begun */
        bool heard;   /* the server has said something */
        bool was_ready, paused;
        bool quitting;                   /* good-bye was said, and its answer is awaited */
        bool touched;                    /* session_flush() is on its way */
        bool moved, drained;             /* since the last flush: bytes were handled; all was sent */
        bool armed;                      /* a deadline is set, */
        unsigned armed_waits;            /* for this wait of the engine, */
        uint64_t armed_progress;         /* when it had progressed so far */
        struct calculating *calculating; /* for the engine; NULL: nothing is */
        struct host *host;
        struct {
                struct heap_item ready; /* by the order of opening; in no heap: it may not begin yet */
                struct session *previous, *next; /* in the row of its server; */
        } in_line;                               /* while it rests, in that of those that do so there, */
        struct session *previous, *next;         /* and among all that do */
        bool rests;
};

/* ---- session.c ---- */

/* It is over, for this reason: `ended` is told of it on the loop's next turn. Once. */
void session_end_with(struct session *session, const struct cause *why, const char *challenge_id);
/* The session failed: goes on with the next address of the host when this one has not served at all, else it
 * is over. */
void session_lose(struct session *session, const struct cause *why);
/* Seconds that the present address has for its handshake, and for its greeting. */
unsigned session_share(const struct session *session);

/* ---- session_line.c ---- */

/* It waits for a place from now on; no more. */
void session_line_join(struct session *session);
void session_line_leave(struct session *session);
/* There may be more places at that server than before. */
void session_line_look(struct host *host);
/* The one that a free place is for, out of the line: it takes the place now. NULL: nobody waits for one that
 * is free. */
struct session *session_line_next(void);
/* True when somebody waits for a place that this session's would be one of. */
bool session_line_waits(const struct session *session);
/* One that rests on a place that this one, which waits, could have; NULL: none does. */
struct session *session_line_resting(const struct session *waiting);

/* ---- session_plan.c ---- */

struct subject session_subject(const struct session *session);

/* ---- session_tls.c ---- */

/* TLS on the connection as it stands. */
void session_begin_tls(struct session *session, bool implicit);
/* The handshake is done: the channel is judged, and the engine goes on, or the session is over. */
void session_secured(struct session *session);

/* ---- session_talk.c ---- */

/* The engine's owner is the session from now on. */
void session_use_engine(struct session *session, struct engine *engine);
/* The line stands as the plan wants it: the engine begins, or goes on after STARTTLS. */
void session_talk(struct session *session, const struct engine_channel *channel);
void session_received(struct session *session, const uint8_t *bytes, size_t len);
void session_drained(struct session *session);
/* There is something to look at: done once, on the loop's next turn, however often it is said. */
void session_touch(struct session *session);
/* Nothing is read while the engine cannot take it. */
void session_hold_reading(const struct session *session);

/* Nobody waits any more for what session->engine->calculation wanted. */
void session_forget_calculation(struct session *session);

/* Signed in: keeps by what, for the next time, and tells what was odd in it. */
void session_note_signin(const struct session *session);
/* The session failed: what that means for what is kept; and a refusal stands for the end that followed it. */
void session_explain_signin(const struct session *session, struct cause *cause);
