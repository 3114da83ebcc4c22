/* SPDX-License-Identifier: MIT */
/*
 * When an outgoing account is at work: periods, pauses, polls, checks, its end; see sender.h. Its sessions
 * are sender_session.c's, the mail they are given sender_work.c's, one message on its way sending.c's.
 */
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/secrets.h"
#include "daemon/loop.h"
#include "daemon/outgoing/sender_state.h"
#include "daemon/random.h"

/* ---- checks ---- */

/* A session without mail is connected, judged, signed in and ended, so that what status says of the account
 * is known to be so. Any session that comes about in between does as well. */

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

static int64_t delay_ms(const struct sender *sender)
{
        int64_t rate = prop_number(&sender->runner.account->values, PROP_CHECK_RATE),
                rests = sender_rests_ms(sender);

        if (sender->runner.account->status ==
            ACCOUNT_OK) /* in milliseconds a month would not fit into what is drawn */
                return (rate * 9 / 10 + random_within((uint32_t)(rate / 5) + 1)) * 1000;
        if (sender->runner.account->status != ACCOUNT_CONNECTING)
                return (rests > 0 ? rests : 0) + random_within(SOONER_MS + 1);
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
                          SETTLE_MS + random_within(
                                              (uint32_t)(most < SPREAD_MOST_MS ? most : SPREAD_MOST_MS) + 1));
}

void sender_check_due(void *ctx)
{
        struct sender *sender = ctx;

        if (!may_check(sender))
                return;
        if (sender_rests_ms(sender) >= 0) {
                timer_set(sender->check, sender_rests_ms(sender) + random_within(SOONER_MS + 1));
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
                sender_start_over(sender, 0);
        sender_checked(sender);
}

/* ---- work ---- */

void sender_arm(struct sender *sender, int64_t ms)
{
        timer_set(sender->runner.timer, ms > 0 ? ms : 0);
}

void sender_failed(struct sender *sender, const struct cause *cause, const char *challenge_id)
{
        static const struct retry_rules rules = { .first = 60, .most = INT64_MAX, .most_disk = INT64_MAX };
        struct runner_failure failure;

        sender->falls++;
        runner_assess(&sender->runner, cause, &rules, &failure);
        sender->not_before = loop_now() + failure.delay * 1000;
        sender->throttled = false;
        sender_give_back(sender, &failure.why, loop_wall() + (time_t)failure.delay);
        runner_tell_failure(&sender->runner, &failure, challenge_id);
        sender_checked(sender);
        sender_arm(sender, failure.delay * 1000);
        runner_answer_polls(&sender->runner, &(struct poll_result){ .cause = failure.why });
}

void sender_doubt_proven(struct sender *sender)
{
        if (sender->proven > sender->pace.sessions)
                sender->proven = sender->pace.sessions;
}

void sender_slow_down(struct sender *sender)
{
        int64_t pause = throttle_down(&sender->pace, loop_now(), sender_ready_count(sender), random_number());

        sender_doubt_proven(sender);
        if (!pause)
                return;
        sender->not_before = loop_now() + pause * 1000;
        sender->throttled = true;
        sender_give_back(sender, NULL, 0);
        sender_arm(sender, pause * 1000);
        account_tell_status(sender->runner.account);
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

/* Closed periods (pollRate > 0) hold mail back until the timer; a poll by a person opens one. */
int64_t sender_period_ms(const struct sender *sender)
{
        return sender_waits_for_period(sender) ? timer_left(sender->runner.timer) : -1;
}

char *sender_pace(const struct sender *sender)
{
        unsigned most = (unsigned)prop_number(&sender->runner.account->values, PROP_MAX_CONNECTIONS);
        int64_t left = sender->not_before - loop_now();

        if (sender->pace.pauses && left > 0)
                return text_of(
                        "the server asked for less mail: one session, and a pause of %lld more seconds",
                        (long long)((left + 999) / 1000));
        if (sender->pace.pauses || sender->pace.sessions < most)
                return text_of("the server asked for less mail: %u of %u sessions for now",
                               sender->pace.sessions, most);
        return NULL;
}

void sender_try_now(struct sender *sender)
{
        sender->not_before = 0;
        sender->period_open = true; /* where pollRate has them */
        sender_kick(sender);
}

/* A pause is over, a period begins, a message comes due, a day begins. */
static void on_time(struct runner *runner)
{
        struct sender *sender = container_of(runner, struct sender, runner);
        int64_t rate = prop_number(&sender->runner.account->values, PROP_POLL_RATE);

        if (rate > 0) {
                sender->period_open = true;
                sender_arm(sender, rate * 1000);
        }
        sender_kick(sender);
}

static void token_came(struct runner *runner)
{
        sender_kick(container_of(runner, struct sender, runner));
}

static void cannot_sign_in(struct runner *runner, const struct cause *cause, const char *challenge_id)
{
        sender_failed(container_of(runner, struct sender, runner), cause, challenge_id);
}

static const struct runner_class runner_class = { .due = on_time,
                                                  .token_came = token_came,
                                                  .failed = cannot_sign_in };

static void plan_first_check(struct sender *sender, uint32_t spread_ms)
{
        if (spread_ms)
                sender_check_soon(sender);
        else
                sender_plan_check(sender);
}

/* Nothing is known of the server. */
static void forget_pace(struct sender *sender)
{
        throttle_reset(&sender->pace);
        sender->proven = 0;
        sender->timed = sender->made = 0;
}

struct sender *sender_new(struct account *account, uint32_t spread_ms)
{
        struct sender *sender = new_object(struct sender);
        int64_t rate = prop_number(&account->values, PROP_POLL_RATE);

        runner_init(&sender->runner, &runner_class, account);
        sender->pool_end = &sender->pool;
        forget_pace(sender);
        sender->check = timer_new(sender_check_due, sender);
        plan_first_check(sender, spread_ms);
        /* at a start thousands of accounts do not begin in one instant */
        int64_t most = rate * 1000 < 60000 ? rate * 1000 : 60000;
        sender_arm(sender, random_within(most > 0 ? (uint32_t)most : 0));
        return sender;
}

/* Nobody knows it any more. Not before the store has given its last answer: `callbacks` is 0. */
static void release(struct sender *sender)
{
        runner_done(&sender->runner);
        free(sender);
}

bool sender_answered(struct sender *sender)
{
        bool wanted = !sender->freed;

        sender->callbacks--;
        if (!wanted && !sender->callbacks)
                release(sender);
        return wanted;
}

static void made_due(void *ctx, size_t count, const struct cause *cause)
{
        struct sender *sender = ctx;

        (void)count;
        if (!sender_answered(sender))
                return;
        if (cause_happened(cause)) /* what is not due now is not claimed either */
                sender_heard_of_disk(sender, cause);
        else
                sender_kick(sender);
}

/* On disk, by the writer: what waits for a later attempt is due, and claimed as if it had just come. */
void sender_due_now(struct sender *sender)
{
        sender->empty = false;
        sender->callbacks++;
        queue_due_now(sender->runner.account->name, made_due, sender);
}

/* Values, a secret or a decision are others: nothing learnt of the server holds, and no pause. A generation
 * was counted up before, so that sessions by the old values take no more mail. */
void sender_start_over(struct sender *sender, uint32_t spread_ms)
{
        sender->not_before = 0;
        sender->runner.failures = 0;
        forget_pace(sender);
        sender->ways_since = 0;
        sender->checking = false;
        sender_retire_all(sender);
        plan_first_check(sender, spread_ms);
        if (account_enabled(sender->runner.account))
                sender_due_now(sender); /* its mail waits for what has been corrected just now */
        else
                sender_give_back(sender, NULL, 0);
        sender_arm(sender, 0);
}

void sender_poll(struct sender *sender, runner_polled *done, void *ctx)
{
        if (!runner_poll(&sender->runner, done, ctx))
                return;
        sender->not_before = 0;
        sender->checking = true; /* where nothing waits, too, the answer says whether the account works */
        sender_due_now(sender);
}

/* `stale`: every session, since the machine slept for longer than servers keep one. Messages in flight are
 * waited for, under their deadlines. Only an account that is down has its back-off cut short: the others
 * wait for reasons that have nothing to do with the network. */
void sender_network_changed(struct sender *sender, bool stale)
{
        for (struct sender_session *session = sender->sessions, *next; session; session = next) {
                next = session->next;
                if (!stale && session_still_routed(session->session))
                        continue;
                session->retiring = true;
                if (session->ready)
                        sender_session_tend(session);
                else
                        sender_session_free(session);
        }
        if (sender->runner.account->status != ACCOUNT_DOWN) {
                sender_kick(sender);
                return;
        }
        sender->not_before = 0;
        sender->runner.failures = 0;
        sender_due_now(sender);
}

/* What is claimed goes back at once, what is in flight may end: service_end() waits for sender_busy() and,
 * after its limit, ends the rest by sender_free(). */
void sender_wind_down(struct sender *sender)
{
        sender->runner.winding_down = true;
        sender_give_back(sender, NULL, 0);
        timer_stop(sender->runner.timer);
        timer_stop(sender->check);
        sender_retire_all(sender);
}

bool sender_busy(const struct sender *sender)
{
        return sender->sessions || sender->in_flight || sender->claiming;
}

/* Whatever was in flight is told to be lost, which writes it as ambiguous or untouched before the store
 * closes. */
void sender_free(struct sender *sender)
{
        struct cause cause;

        if (!sender)
                return;
        sender->freed = true;
        cause_set(&cause, CAUSE_CLOSED, "the account or the daemon was stopped");
        while (sender->sessions) {
                if (sender->sessions->ready)
                        smtp_mail_lost(session_engine(sender->sessions->session), &cause);
                sender_session_free(sender->sessions);
        }
        sender_give_back(sender, NULL, 0);
        runner_stop(&sender->runner);
        timer_free(take(sender->check));
        if (!sender->callbacks) /* else the last answer comes back to sender_answered() */
                release(sender);
}
