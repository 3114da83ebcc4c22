/* SPDX-License-Identifier: MIT */
/* What a sender makes of the end of one of its sessions, and when it looks at its queue again; pure. */
#pragma once

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

/*
 * Queue policy, pure: what a server's word means for a recipient, and when it is tried again.
 * Disk is store/queue_table's, the wire is outgoing/sender's.
 */
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
