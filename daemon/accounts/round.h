/* SPDX-License-Identifier: MIT */
/*
 * A round over all accounts that is not made in one turn of the loop: the first ones are visited at once, the
 * others some in each turn that follows. Accounts that come meanwhile are visited or not by their names; each
 * at most once.
 */
#pragma once

#include "daemon/accounts/accounts.h"
#include "daemon/turns.h"

enum { ROUND_ON_END = 64 }; /* accounts visited in one turn */

struct accounts_round {
        void (*visit)(struct account *account); /* the account may be gone afterwards */
        struct accounts_walk walk;
        struct turns turns;
        bool again;
};

/* From the first account on; where one is under way, once that has come to its end. */
void accounts_round_begin(struct accounts_round *round);
/* Ends one that is under way. */
void accounts_round_stop(struct accounts_round *round);
bool accounts_round_goes_on(const struct accounts_round *round);
