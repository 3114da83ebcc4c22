/* SPDX-License-Identifier: MIT */
/*
 * What the end of a session says, whichever way mail goes; pure. What a sender and a receiver make of it is
 * in outgoing/sender_rules.h and incoming/receiver_rules.h.
 */
#pragma once

#include "daemon/backoff.h"

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
static inline bool session_end_is_void(const struct session_end *end)
{
        if (end->token != TOKEN_UNTOUCHED)
                return end->token == TOKEN_WITHDRAWN;
        return !end->ready && end->why.code == CAUSE_CLOSED && end->trust_moved;
}
