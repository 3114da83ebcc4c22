/* SPDX-License-Identifier: MIT */
/*
 * Queue policy, pure: what a server's word means for a recipient, when to try again, what the daily limit leaves.
 * Disk is store/queue_table's, the wire is outgoing/sender's.
 */
#pragma once

#include "daemon/smtp/mail.h"
#include "daemon/store/queue_table.h"

/* Seconds to wait before attempt number `failures` + 1: 60 doubled up to 3600, plus or minus a fifth by `random`
 * (any 32-bit number), so that many messages do not come back in one instant. */
int64_t outbox_delay(unsigned failures, uint32_t random);
/* The same for an account whose server cannot be reached or is in fault; `base` seconds first. */
int64_t outbox_account_delay(int64_t base, unsigned failures, uint32_t random);

/* Seconds of pause number `steps` + 1 after a server asked for less: `first` doubled up to `longest`, spread alike. */
int64_t outbox_pause(int64_t first, int64_t longest, unsigned steps, uint32_t random);

/* True when a message is due later than any wait is long: the clock was set back while nobody watched. */
bool outbox_too_far(time_t due, time_t now);

struct outbox_verdict {
        enum queue_state state;
        time_t next_attempt;      /* DEFERRED, AMBIGUOUS */
        const char *reply;        /* borrowed from the arguments */
        enum cause_code cause;
};
/* What becomes of one recipient. `session_cause`: the session broke (NULL: it did not). attempts: before this one. */
struct outbox_verdict outbox_judge(const struct smtp_recipient *recipient, const struct cause *session_cause,
                                   unsigned attempts, time_t now, uint32_t random);

/* How many messages may go until midnight: UINT64_MAX without a limit. */
uint64_t outbox_left_today(int64_t max_per_day, int64_t sent_today);
/* The day as a number that changes at local midnight, and the seconds until it does. */
int64_t outbox_day(time_t now);
int64_t outbox_until_midnight(time_t now);
