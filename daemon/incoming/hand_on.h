/* SPDX-License-Identifier: MIT */
/*
 * Received mail that is handed on (deliverTo) instead of staying in the Maildir: the other end of a delivery
 * with `give` (store/maildir.h), whoever it is that takes it. Loop.
 */
#pragma once

#include "daemon/accounts/account.h"

struct delivery;
struct given;
struct hand_on;

/* One way to hand on. An object of it is called by hand_on.c alone, as below. */
struct hand_on_way {
        void *(*begin)(struct account *account); /* NULL: it is not this way */
        void (*give)(void *way, struct delivery *delivery, const struct given *given);
        void (*rest)(void *way); /* or NULL */
        void (*stop)(void *way);
        void (*free)(void *way);
};
extern const struct hand_on_way hand_on_lmtp, hand_on_exec;

/* NULL where the account's mail stays in its Maildir. The account is borrowed. */
struct hand_on *hand_on_new(struct account *account) must_use;
/* struct delivery_target.give, with a struct hand_on as its context. */
void hand_on_give(void *hand_on, struct delivery *delivery, const struct given *given);
/* Nothing more will come for now: what is kept open is ended in order. NULL is fine. */
void hand_on_rest(struct hand_on *hand_on);
/* What is on its way and what still comes is put off. NULL is fine. */
void hand_on_stop(struct hand_on *hand_on);
/* No delivery knows it any more. NULL is fine. */
void hand_on_free(struct hand_on *hand_on);

/* The one who was to take a message refused it for good: it is in the inbox here. Told to the journal, as an
 * event and as a warning of the account. `who` takes ("the socket /run/x"), `key` and `what` are the event's.
 */
void hand_on_refused(const struct account *account, const char *who, const char *key, const char *what,
                     const char *reply);
