/* SPDX-License-Identifier: MIT */
/*
 * When an outgoing account is at work: periods, pauses, polls, its end; see sender.h. Its sessions are
 * sender_session.c's, the mail they are given sender_work.c's, one message on its way sending.c's.
 */
#include "daemon/accounts/fault_grace.h"
#include "daemon/backoff.h"
#include "daemon/loop.h"
#include "daemon/outgoing/queue_policy.h"
#include "daemon/outgoing/sender_state.h"
#include "daemon/random.h"
#include "daemon/session/token.h"
#include "daemon/store/seen_table.h"

#include <stdio.h>

enum { FAULT_RETRY = 3600 };

void sender_finish_polls(struct sender *sender, const struct cause *cause)
{
        while (sender->polls) {
                struct poll *poll = sender->polls;
                sender->polls = poll->next;
                if (cause)
                        poll->result.cause = *cause;
                poll->done(poll->ctx, &poll->result);
                free(poll);
        }
}

void sender_arm(struct sender *sender, int64_t ms)
{
        timer_set(sender->timer, ms > 0 ? ms : 0);
}

void sender_failed(struct sender *sender, const struct cause *cause, const char *challenge_id)
{
        const char *name = sender->account->name;
        struct cause why = *cause;
        int64_t doubted = doubt_cause(name, (int64_t)loop_wall(), &why);
        bool passes = cause_class(&why) == CLASS_DOWN || why.code == CAUSE_STORAGE; /* a disk has room again */
        int64_t delay = doubted ? doubted :
                        passes  ? backoff_delay(60, sender->failures, random_number()) :
                                                          backoff_delay(FAULT_RETRY, 0, random_number());

        sender->failures++;
        sender->not_before = loop_now() + delay * 1000;
        sender->throttled = false;
        sender_give_back(sender, &why, loop_wall() + (time_t)delay);
        fact_set_number(name, "lastPollFailure", (int64_t)loop_wall());
        fact_set_text(name, "lastPollFailureCause", why.text);
        account_is_ill(sender->account, &why, challenge_id);
        sender_checked(sender);
        sender_arm(sender, delay * 1000);
        sender_finish_polls(sender, &why);
}

void sender_slow_down(struct sender *sender)
{
        int64_t pause = pace_down(&sender->pace, loop_now(), sender_session_count(sender), random_number());

        if (!pause)
                return;
        sender->not_before = loop_now() + pause * 1000;
        sender->throttled = true;
        sender_give_back(sender, NULL, 0);
        sender_arm(sender, pause * 1000);
        account_tell_status(sender->account);
}

int64_t sender_rests_ms(const struct sender *sender)
{
        int64_t left = sender->not_before - loop_now();

        return left > 0 ? left : -1;
}

bool sender_is_throttled(const struct sender *sender)
{
        return sender->throttled && sender->pace.pauses > 0;
}

bool sender_is_sending(const struct sender *sender)
{
        return sender->in_flight > 0;
}

int64_t sender_period_ms(const struct sender *sender)
{
        bool closed = prop_number(&sender->account->values, PROP_POLL_RATE) > 0 && !sender->period_open && !sender->polls;

        return closed ? timer_left(sender->timer) : -1;
}

char *sender_pace(const struct sender *sender)
{
        unsigned most = (unsigned)prop_number(&sender->account->values, PROP_MAX_CONNECTIONS);
        int64_t left = sender->not_before - loop_now();

        if (sender->pace.pauses && left > 0)
                return text_of("the server asked for less mail: one session, and a pause of %lld more seconds",
                               (long long)((left + 999) / 1000));
        if (sender->pace.pauses || sender->pace.sessions < most)
                return text_of("the server asked for less mail: %u of %u sessions for now", sender->pace.sessions,
                               most);
        return NULL;
}

void sender_try_now(struct sender *sender)
{
        sender->not_before = 0;
        sender->period_open = true; /* where pollRate has them */
        sender_kick(sender);
}

/* A pause is over, a period begins, a message comes due, a day begins. */
static void on_time(void *ctx)
{
        struct sender *sender = ctx;
        int64_t rate = prop_number(&sender->account->values, PROP_POLL_RATE);

        if (rate > 0) {
                sender->period_open = true;
                sender_arm(sender, rate * 1000);
        }
        sender_kick(sender);
}

struct sender *sender_new(struct account *account, uint32_t spread_ms)
{
        struct sender *sender = new_object(struct sender);
        int64_t rate = prop_number(&account->values, PROP_POLL_RATE);

        sender->account = account_hold(account);
        sender->pool_end = &sender->pool;
        pace_reset(&sender->pace);
        sender->timer = timer_new(on_time, sender);
        sender->check = timer_new(sender_check_due, sender);
        if (spread_ms)
                sender_check_soon(sender);
        else
                sender_plan_check(sender);
        /* at a start thousands of accounts do not begin in one instant */
        sender_arm(sender, rate > 0 ? (int64_t)(random_number() % (uint32_t)(rate * 1000 < 60000 ? rate * 1000 : 60000)) : 0);
        return sender;
}

static void dued(void *ctx, size_t count, const struct cause *cause)
{
        struct sender *sender = ctx;

        (void)count;
        (void)cause; /* a disk that fails here fails the claim too, which tells */
        if (--sender->callbacks == 0 && sender->freed)
                sender_free(sender);
        else if (!sender->freed)
                sender_kick(sender);
}

void sender_due_now(struct sender *sender)
{
        sender->empty = false;
        sender->callbacks++;
        queue_due_now(sender->account->name, dued, sender);
}

void sender_start_over(struct sender *sender)
{
        sender->not_before = 0;
        sender->failures = 0;
        pace_reset(&sender->pace);
        sender->ways_since = 0;
        sender->checking = false;
        sender_retire_all(sender);
        sender_plan_check(sender);
        if (account_enabled(sender->account))
                sender_due_now(sender); /* its mail waits for what has been corrected just now */
        else
                sender_give_back(sender, NULL, 0);
        sender_arm(sender, 0);
}

void sender_poll(struct sender *sender, void (*done)(void *ctx, const struct poll_result *result), void *ctx)
{
        struct poll_result result = { 0 };

        if (!account_enabled(sender->account)) {
                cause_set(&result.cause, CAUSE_DISABLED, "account %s is disabled", sender->account->name);
                cause_remedy(&result.cause, "emailsecctl account enable %s", sender->account->name);
                done(ctx, &result);
                return;
        }
        struct poll *poll = new_object(struct poll);
        *poll = (struct poll){ .done = done, .ctx = ctx, .next = sender->polls };
        sender->polls = poll;
        sender->not_before = 0;
        sender->checking = true; /* where nothing waits, too, the answer says whether the account works */
        sender_due_now(sender);
}

void sender_network_changed(struct sender *sender, bool stale)
{
        for (struct session *session = sender->sessions, *next; session; session = next) {
                next = session->next;
                if (!stale && link_still_routed(session->link))
                        continue;
                session->retiring = true;
                if (session->ready)
                        sender_session_tend(session);
                else
                        sender_session_free(session);
        }
        if (sender->account->status != ACCOUNT_DOWN) {
                sender_kick(sender);
                return;
        }
        sender->not_before = 0;
        sender->failures = 0;
        sender_due_now(sender);
}

void sender_wind_down(struct sender *sender)
{
        sender->winding_down = true;
        sender_give_back(sender, NULL, 0);
        timer_stop(sender->timer);
        timer_stop(sender->check);
        sender_retire_all(sender);
}

bool sender_busy(const struct sender *sender)
{
        return sender->sessions || sender->in_flight || sender->claiming;
}

void sender_free(struct sender *sender)
{
        struct cause cause;

        if (!sender)
                return;
        sender->freed = true;
        token_wait_cancel(take(sender->token));
        cause_set(&cause, CAUSE_CLOSED, "the account or the daemon was stopped");
        while (sender->sessions) {
                if (sender->sessions->ready)
                        smtp_mail_lost(link_chat(sender->sessions->link), &cause);
                sender_session_free(sender->sessions);
        }
        sender_give_back(sender, NULL, 0);
        cause_set(&cause, CAUSE_CANCELLED, "the account was removed or the daemon ends");
        sender_finish_polls(sender, &cause);
        timer_free(take(sender->timer));
        timer_free(take(sender->check));
        if (sender->callbacks)
                return; /* the last answer comes back here */
        account_release(sender->account);
        free(sender);
}
