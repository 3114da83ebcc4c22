/* SPDX-License-Identifier: MIT */
/* A round over all accounts; see round.h. */
#include "daemon/accounts/round.h"

#include "daemon/loop.h"

static void visit_some(void *ctx)
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
        if (round->timer)
                timer_set_next_turn(round->timer);
}

void accounts_round_begin(struct accounts_round *round)
{
        if (round->timer) {
                round->again = true;
                return;
        }
        round->walk = (struct accounts_walk){ 0 };
        round->timer = timer_new(visit_some, round);
        visit_some(round);
}

void accounts_round_stop(struct accounts_round *round)
{
        timer_free(take(round->timer));
        round->again = false;
}
