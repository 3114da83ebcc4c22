/* SPDX-License-Identifier: MIT */
/*
 * Queue policy, pure: what a server's word means for a recipient, and when it is tried again.
 * Disk is store/queue_table's, the wire is outgoing/sender's.
 */
#pragma once

#include "daemon/smtp/mail.h"
#include "daemon/store/queue_table.h"

struct outbox_verdict {
        enum queue_state state;
        time_t next_attempt; /* DEFERRED, AMBIGUOUS */
        const char *reply;   /* borrowed from the arguments */
        enum cause_code cause;
};
/* What becomes of one recipient. `session_cause`: the session broke (NULL: it did not). attempts: before this
 * one. */
struct outbox_verdict queue_policy_judge(const struct smtp_recipient *recipient,
                                         const struct cause *session_cause, unsigned attempts, time_t now,
                                         uint32_t random);
