/* SPDX-License-Identifier: MIT */
/* What the station does when network, clock or power of the machine changed; noticed by daemon/netmon. */
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/quota.h"
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

/* Thousands of accounts do not connect in one instant: each a little after the one before. */
static void look_again(bool sessions_are_stale)
{
        size_t before = 0;

        for (struct account *account = accounts_first(); account; account = account->next) {
                if (account->sender)
                        sender_network_changed(account->sender, sessions_are_stale);
                if (account->receiver)
                        receiver_network_changed(account->receiver, sessions_are_stale,
                                                 backoff_stagger_ms(before));
                before++;
        }
}

void service_network_changed(void)
{
        log_about(NULL, LOG_INFO, NULL,
                  "addresses or routes changed: accounts that were down are tried at once");
        look_again(false);
}

void service_woke(int64_t seconds)
{
        log_about(NULL, LOG_INFO, NULL, "the machine slept for %lld s", (long long)seconds);
        heartbeats_clock_was_set(seconds); /* nothing could arrive meanwhile */
        look_again(seconds >= LONG_SLEEP);
}

/* Timers run by the monotonic clock and need nothing; what is kept as a time of day does. */
void service_clock_was_set(int64_t seconds)
{
        log_about(NULL, LOG_NOTICE, NULL, "the clock was set %lld s %s", (long long)llabs(seconds),
                  seconds < 0 ? "back" : "forward");
        clock_doubt_was_set();
        for (struct account *account = accounts_first(); account; account = account->next) {
                account_clock_was_set(account, seconds);
                quota_clock_was_set(account, seconds);
                if (account->cause->code && !account->unreadable && llabs(seconds) >= LONG_STEP) {
                        account_tell_changed(account); /* it may have failed by that clock, and waits by it */
                        continue;
                }
                if (account->sender)
                        sender_check_soon(account->sender);
                if (account->sender && seconds < 0)
                        sender_due_now(account->sender); /* times to try again would lie too far ahead */
                else if (account->sender)
                        sender_kick(account->sender);
        }
        heartbeats_clock_was_set(seconds);
        service_look_at_time();
}
