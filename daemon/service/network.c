/* SPDX-License-Identifier: MIT */
/* What the station does when network, clock or power of the machine changed; noticed by daemon/netmon. */
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/quota.h"
#include "daemon/accounts/round.h"
#include "daemon/backoff.h"
#include "daemon/incoming/receiver.h"
#include "daemon/loop.h"
#include "daemon/outgoing/sender.h"
#include "daemon/service/heartbeat.h"
#include "daemon/service/service.h"
#include "daemon/tls/clock_doubt.h"

#include <stdlib.h>

/* Seconds. After a longer sleep servers and NAT have forgotten the connections. */
enum { LONG_SLEEP = 60, LONG_STEP = 60 };

/* ---- the way to the servers ---- */

static size_t visited; /* since no round was under way */

/* Thousands of accounts do not connect in one instant: each a little after the one before. */
static void tell_changed(const struct account *account, bool sessions_are_stale)
{
        if (account->sender)
                sender_network_changed(account->sender, sessions_are_stale);
        if (account->receiver)
                receiver_network_changed(account->receiver, sessions_are_stale, backoff_stagger_ms(visited));
        visited++;
}

static void look_again(struct account *account)
{
        tell_changed(account, false);
}

static void connect_again(struct account *account)
{
        tell_changed(account, true);
}

/* Apart, for a session that was made after the one event is not stale by it because of the other. */
static struct accounts_round look_round = { .visit = look_again }, stale_round = { .visit = connect_again };

static void begin(struct accounts_round *round)
{
        if (!accounts_round_goes_on(&look_round) && !accounts_round_goes_on(&stale_round))
                visited = 0;
        accounts_round_begin(round);
}

void service_network_changed(void)
{
        log_about(NULL, LOG_INFO, NULL,
                  "addresses or routes changed: accounts that were down are tried at once");
        begin(&look_round);
}

void service_woke(int64_t seconds)
{
        log_about(NULL, LOG_INFO, NULL, "the machine slept for %lld s", (long long)seconds);
        heartbeats_clock_was_set(seconds); /* nothing could arrive meanwhile */
        begin(seconds >= LONG_SLEEP ? &stale_round : &look_round);
}

/* ---- the clock ---- */

static struct {
        bool back, far; /* one of the steps that the round is for */
} stepped;

static void try_by_clock(struct account *account)
{
        if (account->cause->code && !account->unreadable && stepped.far) {
                account_tell_changed(account); /* it may have failed by that clock, and waits by it */
                return;
        }
        if (account->sender)
                sender_check_soon(account->sender);
        if (account->sender && stepped.back)
                sender_due_now(account->sender); /* times to try again would lie too far ahead */
        else if (account->sender)
                sender_kick(account->sender);
}

static struct accounts_round clock_round = { .visit = try_by_clock };

/* Timers run by the monotonic clock and need nothing; what is kept as a time of day does: that is set right
 * at once and for all, for what is noted from now on is by the new clock. */
void service_clock_was_set(int64_t seconds)
{
        log_about(NULL, LOG_NOTICE, NULL, "the clock was set %lld s %s", (long long)llabs(seconds),
                  seconds < 0 ? "back" : "forward");
        clock_doubt_was_set();
        for (struct account *account = accounts_first(); account; account = account->next) {
                account_clock_was_set(account, seconds);
                quota_clock_was_set(account, seconds);
        }
        if (!accounts_round_goes_on(&clock_round))
                stepped.back = stepped.far = false;
        stepped.back = stepped.back || seconds < 0;
        stepped.far = stepped.far || llabs(seconds) >= LONG_STEP;
        accounts_round_begin(&clock_round);
        heartbeats_clock_was_set(seconds);
        service_look_at_time();
}

void service_network_stop(void)
{
        accounts_round_stop(&look_round);
        accounts_round_stop(&stale_round);
        accounts_round_stop(&clock_round);
}
