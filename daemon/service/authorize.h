/* SPDX-License-Identifier: MIT */
/*
 * The device grant (RFC 8628) of one account: the provider gives a code, a person types it in at an address
 * in any browser and agrees, and the refresh token that comes then is stored. Told as steps, as those of a
 * probe.
 */
#pragma once

#include "daemon/accounts/account.h"
#include "daemon/service/audit_trail.h"

struct authorize;

struct authorize_user {
        void (*step)(void *ctx, json_t *step); /* borrowed; the first says what the person is to do */
        void (*done)(void *ctx,
                     json_t *last); /* the last step, borrowed; it is over and freed after the call */
};

/* -1 with a cause for an account without that grant. Never calls back before it returns. That the account was
 * authorized is in the audit trail as the actor's doing (copied). */
int authorize_begin(const struct account *account, const struct actor *actor,
                    const struct authorize_user *user, void *ctx, struct authorize **out, struct cause *cause)
        must_use;
/* No call any more. What a person has agreed to meanwhile is lost, unless it is on its way to the disk. */
void authorize_cancel(struct authorize *authorize);
