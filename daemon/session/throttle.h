/* SPDX-License-Identifier: MIT */
/*
 * How much a server is given once it asked for less, pure: half the sessions each time, with one left a
 * pause, each twice the one before; taken back step by step while messages go. The clock and the random
 * number are the caller's.
 */
#pragma once

#include "common/cleanup.h"

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
