/* SPDX-License-Identifier: MIT */
/* A round over all accounts; see round.h. */
#include "daemon/accounts/round.h"

#include "daemon/loop.h"

static bool visit_some(void *ctx)
{
        struct accounts_round *round = ctx;
        struct account *account = accounts_walk_on(&round->walk), *next;

        for (int i = 0; account && i < ROUND_ON_END; i++, account = next) {
                next = account->next;
                accounts_walk_did(&round->walk, account);
                round->visit(account);
        }
        if (!account && round->again) {
                round->again = false;
                round->walk = (struct accounts_walk){ 0 };
        } else if (!account) {
                accounts_round_stop(round);
        }
        return accounts_round_goes_on(round);
}

void accounts_round_begin(struct accounts_round *round)
{
        if (accounts_round_goes_on(round)) {
                round->again = true;
                return;
        }
        round->walk = (struct accounts_walk){ 0 };
        round->turns.some = visit_some;
        round->turns.ctx = round;
        turns_begin(&round->turns);
}

void accounts_round_stop(struct accounts_round *round)
{
        turns_stop(&round->turns);
        round->again = false;
}

bool accounts_round_goes_on(const struct accounts_round *round)
{
        return round->turns.timer != NULL;
}
