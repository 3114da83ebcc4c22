/* SPDX-License-Identifier: MIT */
/*
 * Checks of an outgoing account: a session without mail is connected, judged, signed in and ended, so that
 * what status says of the account is known to be so. Any session that comes about in between does as well.
 */
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/secrets.h"
#include "daemon/loop.h"
#include "daemon/outgoing/sender_state.h"
#include "daemon/random.h"

enum {
        SETTLE_MS = 2000, /* who adds an account sets its password next: one check for both */
        EACH_MS = 50,     /* at a start, or after a change of trust: so much room for each account, */
        SPREAD_MOST_MS = 15 * 60 * 1000, /* and for all of them together at most */
        SOONER_MS = 1000,
};

static bool may_check(const struct sender *sender)
{
        const struct property_values *values = &sender->runner.account->values;

        return prop_number(values, PROP_CHECK_RATE) > 0 && runner_may_run(&sender->runner) &&
               !sender->freed && !secret_is_missing(values);
}

static int64_t spread_ms(int64_t most)
{
        return most > 0 ? (int64_t)(random_number() % (uint32_t)(most + 1)) : 0;
}

static int64_t delay_ms(const struct sender *sender)
{
        int64_t rate = prop_number(&sender->runner.account->values, PROP_CHECK_RATE),
                rests = sender_rests_ms(sender);

        if (sender->runner.account->status ==
            ACCOUNT_OK) /* in milliseconds a month would not fit into what is drawn */
                return (rate * 9 / 10 + spread_ms(rate / 5)) * 1000;
        if (sender->runner.account->status != ACCOUNT_CONNECTING)
                return (rests > 0 ? rests : 0) + spread_ms(SOONER_MS);
        return SETTLE_MS;
}

void sender_plan_check(struct sender *sender)
{
        if (may_check(sender))
                timer_set(sender->check, delay_ms(sender));
        else
                timer_stop(sender->check);
}

void sender_check_soon(struct sender *sender)
{
        int64_t most = (int64_t)accounts_count() * EACH_MS;

        if (may_check(sender))
                timer_set(sender->check,
                          SETTLE_MS + spread_ms(most < SPREAD_MOST_MS ? most : SPREAD_MOST_MS));
}

void sender_check_due(void *ctx)
{
        struct sender *sender = ctx;

        if (!may_check(sender))
                return;
        if (sender_rests_ms(sender) >= 0) {
                timer_set(sender->check, sender_rests_ms(sender) + spread_ms(SOONER_MS));
                return;
        }
        sender->checking = true;
        sender_kick(sender);
}

void sender_go_on_checking(struct sender *sender)
{
        if (sender->checking && !sender->sessions && !sender->runner.token && sender_may_try(sender))
                sender_open_session(sender);
}

void sender_checked(struct sender *sender)
{
        sender->checking = false;
        account_was_checked(sender->runner.account);
        sender_plan_check(sender);
}

void sender_reaches(const struct sender *sender)
{
        if (!sender->disk_failed)
                account_has_worked(sender->runner.account);
}

void sender_heard_of_disk(struct sender *sender, const struct cause *cause)
{
        bool failed = cause_happened(cause), mended = sender->disk_failed && !failed;

        sender->disk_failed = failed;
        if (failed)
                sender_failed(sender, cause, "");
        else if (mended && sender_ready_count(sender))
                sender_reaches(sender);
}

void sender_tested(struct sender *sender, const struct cause *why, const char *challenge_id)
{
        bool was_ill = sender->runner.account->cause->code != CAUSE_NONE;

        if (sender->runner.winding_down || !account_enabled(sender->runner.account))
                return;
        if (why->code) {
                sender_failed(sender, why, challenge_id);
                return;
        }
        sender_reaches(sender);
        if (was_ill)
                sender_start_over(sender);
        sender_checked(sender);
}
