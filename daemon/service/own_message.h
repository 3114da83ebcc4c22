/* SPDX-License-Identifier: MIT */
/* Messages that the station itself sends through one of its accounts: heartbeats, notices of faults. */
#pragma once

#include "daemon/accounts/account.h"

struct own_letter {
        const char *to, *subject;
        const char *message_id; /* with <>; NULL: any */
        const char *body;       /* lines */
        const char *what;       /* "heartbeat": for submittedBy */
        int64_t lifetime;       /* seconds in the queue; no longer than the account's */
};
/* Puts it into the account's queue and has it sent; all is copied. `done` on the loop, later: the queue id,
 * or the cause. What is no ASCII in it becomes "?": every server takes it. -1 with a cause where the account
 * takes no mail, or has no address to send from; then `done` is not called. */
int own_letter_send(struct account *account, const struct own_letter *letter,
                    void (*done)(void *ctx, const char *id, const struct cause *cause), void *ctx,
                    struct cause *cause) must_use;
