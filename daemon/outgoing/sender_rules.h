/* SPDX-License-Identifier: MIT */
/*
 * What a sender decides, pure: what it makes of the end of one of its sessions, what a server's word means
 * for a recipient, when the queue is looked at again, how many sessions are worth having, how much a server
 * is given that asked for less.
 */
#pragma once

#include "common/cleanup.h"
#include "daemon/runner/outcome.h"
#include "daemon/smtp/mail.h"
#include "daemon/store/queue_table.h"

#include <time.h>

struct sender_session_end {
        struct session_end session;
        bool retiring; /* it was to end anyway */
        bool quitting; /* good-bye was said, with nothing under way: however the server took it */
        bool anew; /* the engine ended it to go another way, with what was undecided: smtp_session_anew() */
        bool failing; /* sessions before it have failed, and none has sent since */
        bool others;  /* are signed in and go on */
        bool told;    /* the account has failed since it was begun: this is the same failure */
};

enum sender_outcome {
        SENDER_GOES_ON,        /* with another session, where there is mail */
        SENDER_GOES_ON_WARILY, /* the same once: should the next session fail as well, so has the account */
        SENDER_FAILS,          /* the account cannot go on for this cause */
};
enum sender_outcome sender_outcome(const struct sender_session_end *end) must_use;
/* True when the server did not let it in as one more: others go on, and are enough. */
bool sender_end_is_one_too_many(const struct sender_session_end *end) must_use;
/* True when the end asks for less mail. */
bool sender_end_slows_down(const struct sender_session_end *end) must_use;

/* Milliseconds until what is due at `next_due` can be claimed: no later than midnight, when a day's limit
 * ends; and a little at least. */
int64_t sender_wake_ms(time_t next_due, time_t now, int64_t seconds_until_midnight) must_use;

/* ---- what a server's word means for a recipient, and when it is tried again ---- */

struct outbox_verdict {
        enum queue_state state;
        time_t next_attempt; /* DEFERRED, AMBIGUOUS */
        const char *reply;   /* borrowed from the arguments */
        enum cause_code cause;
};
/* What becomes of one recipient. `session_cause`: the session broke (NULL: it did not). attempts: before this
 * one. */
struct outbox_verdict sender_judge(const struct smtp_recipient *recipient, const struct cause *session_cause,
                                   unsigned attempts, time_t now, uint32_t random);

/* ---- how many sessions an account has with its server ---- */

/* RFC 2920 lets a session take one message in each round trip where the server has no CHUNKING: to a server
 * far away, or a slow one, many sessions side by side are what makes mail fast. They grow with what waits and
 * with how long the server takes for a message, each session that works bringing some more; a near server is
 * kept busy by a few. */
struct sending_load {
        unsigned most;    /* maxConnections */
        unsigned allowed; /* by the server, as far as it has said: pace.sessions */
        unsigned places;  /* sessions more that may begin with this server */
        unsigned have;    /* sessions, those that are being made among them */
        unsigned ready;
        unsigned proven;    /* so many were ready at once before */
        size_t waiting;     /* messages that no session has */
        uint64_t mean_size; /* of these, bytes */
        size_t ahead;       /* messages that a session takes without awaiting an answer */
        int64_t message_us; /* microseconds a session is busy with a message, */
        size_t timed;       /* the mean of so many; 0: not known yet */
        int64_t silent_us;  /* no session has got further for so long */
        int64_t setup_us;   /* a session took to become ready; -1: none was yet */
};

/* How many sessions are to be begun now. */
unsigned sessions_to_open(const struct sending_load *load) must_use;

/* A mean that follows: of `count` values before, then `value` came. */
int64_t sessions_mean(int64_t mean, size_t count, int64_t value) must_use;

/* ---- how much a server is given once it asked for less ---- */

/* Half the sessions each time, with one left a pause, each twice the one before; taken back step by step
 * while messages go. The clock and the random number are the caller's. */
enum { PACE_SESSIONS_MOST = 64 };

struct pace {
        unsigned sessions; /* allowed at once */
        unsigned pauses;   /* steps beyond one session: each doubles the pause */
        int64_t slowed_at; /* ms of the last step down; 0: none */
        unsigned calm;     /* messages sent well since then */
        unsigned refused;  /* times that it had not let one more in */
};

/* Nothing is known against the server. */
void throttle_reset(struct pace *pace);
/* It asked for less, with `running` sessions open: seconds of a pause, or 0 when fewer sessions will do or
 * this is the same wish heard again (those within a second of `now`, ms, are one). */
int64_t throttle_down(struct pace *pace, int64_t now, unsigned running, uint32_t random) must_use;
/* It did not let one session more in, while `running` ones work: fewer are tried, and the next one more each
 * time after twice as many messages. */
void throttle_refused(struct pace *pace, int64_t now, unsigned running);
/* A message went. */
void throttle_well(struct pace *pace);
