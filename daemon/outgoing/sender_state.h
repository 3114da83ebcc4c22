/* SPDX-License-Identifier: MIT */
/* What the files behind sender.h share: the runner of one outgoing account and its sessions. */
#pragma once

#include "daemon/outgoing/sender.h"
#include "daemon/outgoing/sender_rules.h"
#include "daemon/outgoing/sending.h"
#include "daemon/session/session.h"
#include "daemon/smtp/session.h"

struct sender_session {
        struct sender *sender;
        struct session *session;
        struct signin signin;
        char *hello, *domain;
        bool used;           /* it was given mail: what it knows of the server may be old */
        unsigned generation; /* of the account's properties */
        bool ready, retiring, quitting;
        bool failing;   /* the account was, when it was begun */
        unsigned falls; /* the sender's, then */
        int64_t since;  /* loop_now(): it was begun; from then on, its last message was done */
        struct timer *idle;
        struct sender_session *next;
};

struct sender {
        struct runner
                runner; /* first; its timer: a pause is over, a period begins, mail comes due, a day begins */
        struct sender_session *sessions;
        struct sending *pool, **pool_end; /* claimed, not given to a session */
        size_t pool_count, in_flight;
        uint64_t pool_bytes;               /* sizes of these */
        size_t pool_held;                  /* of these, in memory */
        bool claiming, claim_again, empty; /* empty: the last claim brought nothing */
        struct pace pace;                  /* what the server lets us do */
        unsigned proven;                   /* so many sessions were ready at once */
        int64_t message_us, setup_us;      /* means, as in struct sending_load, */
        size_t timed, made;                /* of so many messages and sessions */
        bool disk_failed;                  /* the last claim: whatever the server says, it does not work */
        unsigned falls;                    /* how often the account has failed */
        struct smtp_ways ways;             /* and how; learnt in sessions, forgotten after a day */
        int64_t ways_since;                /* loop_now() */
        int64_t not_before;                /* loop_now() before which nothing is tried */
        bool throttled;                    /* because the server asked for less mail */
        bool period_open;                  /* pollRate > 0: the queue is being emptied */
        struct timer *check;               /* when a session without mail shows that the account works */
        bool checking;                     /* one is wanted, or under way */
        unsigned callbacks;                /* store answers under way: it cannot be freed before */
        bool freed;
};

/* ---- sender.c ---- */
/* At the head of each answer of the store: false when nobody wants it any more, and the sender may be gone.
 */
bool sender_answered(struct sender *sender) must_use;
/* Something is to be done in `ms`. */
void sender_arm(struct sender *sender, int64_t ms);
/* The account cannot send: how long to leave it alone, and what becomes of the claimed mail. */
void sender_failed(struct sender *sender, const struct cause *cause, const char *challenge_id);
/* The server says we are too much: fewer sessions, or a pause. */
void sender_slow_down(struct sender *sender);
/* The server bears fewer sessions than it did: no more than the pace allows count as proven, also once it
 * allows more again, so that those are added one by one. */
void sender_doubt_proven(struct sender *sender);

/* When the account is checked next, by how it is now. */
void sender_plan_check(struct sender *sender);
/* The timer's. */
void sender_check_due(void *ctx);
/* Opens the session that a check wants, unless there is one. */
void sender_go_on_checking(struct sender *sender);
/* A session came about, or did not: that was the check. */
void sender_checked(struct sender *sender);
/* A session is ready: the account works, unless its mail cannot be claimed. */
void sender_reaches(const struct sender *sender);
/* What a claim, or what was written ahead of it, says of the disk. */
void sender_heard_of_disk(struct sender *sender, const struct cause *cause);

/* ---- sender_work.c ---- */
/* Mail that was claimed and cannot go now. A DOWN cause defers it with the words; others leave it untouched.
 */
void sender_give_back(struct sender *sender, const struct cause *cause, time_t again);
/* Tells what was learnt of the server. */
void sender_tell_news(struct sender *sender);
/* Gives what is claimed to sessions with room, opens more of them, claims more. */
void sender_hand_out(struct sender *sender);

/* ---- sender_session.c ---- */
unsigned sender_session_count(const struct sender *sender);
unsigned sender_ready_count(const struct sender *sender);
void sender_open_session(struct sender *sender);
/* After work was done: what is idle and not wanted says good-bye, the rest is kept a moment. */
void sender_session_tend(struct sender_session *session);
void sender_session_free(struct sender_session *session);
/* Every session ends after what is in flight. */
void sender_retire_all(struct sender *sender);
