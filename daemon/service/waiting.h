/* SPDX-License-Identifier: MIT */
/*
 * What an account or a message waits for, and until when: one answer, worked out from how things stand, for
 * status, queue, journal, event and metric alike.
 */
#pragma once

#include "daemon/accounts/account.h"

enum waiting_reason {
        WAITING_FOR_NOTHING,
        WAITING_FOR_DAILY_LIMIT, /* maxSendablePerDay: midnight */
        WAITING_FOR_BACKOFF,     /* the next try after a failure that passes by itself */
        WAITING_FOR_ACCOUNT,     /* it is disabled, or a person must mend it */
        WAITING_FOR_TRUST,       /* a decision about a certificate, or a trust store */
        WAITING_FOR_THROTTLE,    /* the server asked for less mail */
        WAITING_FOR_DISK,        /* this station's */
        WAITING_FOR_PLACE,       /* under MaxSessions or MaxSessionsPerHost */
        WAITING_FOR_POLL_RATE,   /* the account's rhythm */
        WAITING_FOR_OPERATOR,    /* a person holds the message */
        WAITING_REASONS
};

enum { PLACE_TOLD_MS = 30000 }; /* a wait for a place is not told of before */

struct waiting {
        enum waiting_reason reason;
        time_t until;      /* wall clock; 0: nobody knows */
        uint64_t messages; /* of an outgoing account's queue, that wait for it */
        int64_t since_ms;  /* of a place: how long already */
        char text[sizeof((struct cause *)0)->text];
};

/* The word of the interface; NULL for nothing. */
const char *waiting_name(enum waiting_reason reason);
void waiting_of(const struct account *account, struct waiting *out);
/* What holds its mail although a person has it tried now: false where nothing does. */
bool waiting_all_the_same(const struct account *account, struct waiting *out);
/* A sentence with the number of messages and the time; the caller frees. */
char *waiting_words(const struct waiting *waiting) must_use;
/* {reason, until, text, messages}, null for nothing. */
json_t *waiting_json(const struct waiting *waiting) must_use;
/* Completes a message of the queue as it is shown: waitingFor, and with it cause, nextAttempt and expires. A
 * stop of its account writes nothing: that is told only here. True when it waits for what only a person can
 * end. */
bool waiting_show(json_t *message);
/* How things stand with the account's mail may have changed: journal and event tell when a wait begins, and
 * the event when it is over. */
void waiting_look(struct account *account);
void waiting_close(void);
