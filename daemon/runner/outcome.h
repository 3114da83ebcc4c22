/* SPDX-License-Identifier: MIT */
/*
 * What the end of a session says, whichever way mail goes, and when an account that has failed is tried
 * again; pure. What a sender and a receiver make of an end is in outgoing/sender_rules.h and
 * incoming/receiver_rules.h.
 */
#pragma once

#include "common/cause.h"

/* What an end says of the account's OAuth token. */
enum token_end {
        TOKEN_UNTOUCHED, /* the sign-in was not refused, or uses no token */
        TOKEN_WITHDRAWN, /* it was good before: another one is fetched */
        TOKEN_REFUSED,   /* it never was: another one would fare no better */
};

/* The facts about the end of a session. */
struct session_end {
        struct cause why; /* CAUSE_NONE: in order */
        bool ready;       /* it had signed in */
        bool trust_moved; /* what is trusted changed while it was being made */
        enum token_end token;
};

/* True when it says nothing of the account: another session is begun at once. */
bool session_end_is_void(const struct session_end *end);

enum { RETRY_FAULT = 3600 }; /* seconds: what only a person can mend is looked at by the hour */

/* Seconds between tries of an account whose server or disk is in trouble. */
struct retry_rules {
        int64_t first;           /* after the first failure, and doubled with each, */
        unsigned repeated;       /* but for so many; */
        int64_t most, most_disk; /* at most this; where it is the disk of this machine */
};

/* Seconds until the next try after a failure; `failures` in a row came before it. */
int64_t retry_delay(const struct retry_rules *rules, const struct cause *why, unsigned failures,
                    uint32_t random) must_use;
