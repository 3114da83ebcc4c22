/* SPDX-License-Identifier: MIT */
/* How a method follows something that is under way with an account and its server: its reply is the steps,
 * one after the other. */
#pragma once

#include "daemon/accounts/account.h"
#include "daemon/control/call.h"

/* Who follows it: the context that `steps_told` and `steps_over` are given. */
struct steps;

struct steps_kind {
        /* Begins it, with `steps` as the context of its callbacks; *work is what `cancel` ends. -1 with a
         * cause. */
        int (*begin)(struct account *account, struct steps *steps, void **work, struct cause *cause);
        /* Nobody waits any more. */
        void (*cancel)(void *work);
        /* The last step is about to be replied. May be NULL. */
        void (*over)(struct call *call, const json_t *last);
};

/* Begins it for the account of the parameter `name`, or fails the call. */
void steps_begin(struct call *call, const struct steps_kind *kind);
struct call *steps_call(const struct steps *steps);
/* Callbacks for who does it: a step, and the last one. Steps are borrowed. */
void steps_told(void *ctx, json_t *step);
void steps_over(void *ctx, json_t *last);
/* {step}: the reply. */
json_t *steps_reply(json_t *step) must_use;
