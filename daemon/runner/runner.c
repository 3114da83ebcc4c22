/* SPDX-License-Identifier: MIT */
/*
 * What senders and receivers do alike; see runner.h.
 *
 * A sender or receiver embeds a struct runner as its base and gives it a class of callbacks. The runner
 * owns the timer, the wait for a token and the polls that somebody waits for; it holds the account, so
 * that the account outlives it. All of it lives on the loop's thread, and nothing here is on disk: after
 * kill -9 the account starts as CONNECTING, and who waited for a poll has lost its connection.
 */
#include "daemon/runner/runner.h"

#include "daemon/accounts/fault_grace.h"
#include "daemon/accounts/secrets.h"
#include "daemon/loop.h"
#include "daemon/random.h"
#include "daemon/session/session.h"
#include "daemon/session/signin.h"
#include "daemon/session/token.h"
#include "daemon/store/kept.h"

struct runner_poll {
        runner_polled *done;
        void *ctx;
        struct poll_result result;
        struct runner_poll *next;
};

static void on_time(void *ctx)
{
        struct runner *runner = ctx;

        runner->class->due(runner);
}

void runner_init(struct runner *runner, const struct runner_class *class, struct account *account)
{
        *runner = (struct runner){ .class = class, .account = account_hold(account) };
        runner->timer = timer_new(on_time, runner);
}

/* First half of the end: no callback comes after it, every poll is answered. The object stays while disk
 * jobs may come back to it; runner_done() is the second half. */
void runner_stop(struct runner *runner)
{
        struct poll_result result = { 0 };

        runner_forget_token(runner);
        cause_set(&result.cause, CAUSE_CANCELLED, "the account was removed or the daemon ends");
        runner_answer_polls(runner, &result);
        timer_free(take(runner->timer));
}

void runner_done(struct runner *runner)
{
        account_release(runner->account);
}

bool runner_may_run(const struct runner *runner)
{
        return !runner->winding_down && account_enabled(runner->account);
}

/* ---- polls ---- */

/* True: `done` comes exactly once, later. False: it has been called already, and the caller may have been
 * freed by it. */
bool runner_poll(struct runner *runner, runner_polled *done, void *ctx)
{
        const char *name = runner->account->name;
        struct poll_result result = { 0 };

        if (!account_enabled(runner->account)) {
                cause_set(&result.cause, CAUSE_DISABLED, "account %s is disabled", name);
                cause_remedy(&result.cause, "emailsecctl account enable %s", name);
                done(ctx, &result);
                return false;
        }
        struct runner_poll *poll = new_object(struct runner_poll);
        *poll = (struct runner_poll){ .done = done, .ctx = ctx, .next = runner->polls };
        runner->polls = poll;
        return true;
}

/* What is sent while several wait counts for each of them. */
void runner_count(struct runner *runner, uint64_t sent, uint64_t failed)
{
        for (struct runner_poll *poll = runner->polls; poll; poll = poll->next) {
                poll->result.sent += sent;
                poll->result.failed += failed;
        }
}

/* Each is taken out before it is called: its answer may ask for the next poll. */
void runner_answer_polls(struct runner *runner, const struct poll_result *result)
{
        while (runner->polls) {
                struct runner_poll *poll = runner->polls;
                struct poll_result whole = *result;
                runner->polls = poll->next;
                whole.sent += poll->result.sent;
                whole.failed += poll->result.failed;
                poll->done(poll->ctx, &whole);
                free(poll);
        }
}

/* ---- sessions ---- */

static void on_token(void *ctx, const struct cause *cause, const char *challenge_id)
{
        struct runner *runner = ctx;

        runner->token = NULL;
        if (cause->code)
                runner->class->failed(runner, cause, challenge_id);
        else
                runner->class->token_came(runner);
}

/* One wait for a token at a time, however many sessions are asked for meanwhile: the runner opens them when
 * it has come. */
enum runner_signin runner_sign_in(struct runner *runner, struct signin *out)
{
        const struct property_values *values = &runner->account->values;
        struct cause cause = { 0 };

        if (token_due(values)) {
                if (!runner->token)
                        runner->token = token_await(values, true, on_token, runner);
                return RUNNER_WAITS;
        }
        if (signin_of(values, out, &cause) == 0)
                return RUNNER_SIGNS_IN;
        runner->class->failed(runner, &cause, "");
        return RUNNER_CANNOT;
}

void runner_forget_token(struct runner *runner)
{
        token_wait_cancel(take(runner->token));
}

/* A token that is refused is withdrawn once, so that the next session asks for a new one; a second refusal
 * in a row is the account's own failure. token_refused() tells the two apart. */
void runner_session_end(const struct runner *runner, const struct session *session, const struct cause *why,
                        bool ready, struct session_end *out)
{
        const struct account *account = runner->account;

        *out = (struct session_end){ .why = *why,
                                     .ready = ready,
                                     .trust_moved = session_trust_moved(session) };
        if (why->code == CAUSE_AUTHENTICATION && prop_fetches_tokens(&account->values))
                out->token = token_refused(account->name) ? TOKEN_WITHDRAWN : TOKEN_REFUSED;
}

/* ---- failures ---- */

/* Counts the failure: asked once per failure, and before anybody is told of it. A fault that may be passing
 * (fault_grace.h) waits for as long as its doubt lasts; everything else backs off by how many came in a row.
 */
void runner_assess(struct runner *runner, const struct cause *cause, const struct retry_rules *rules,
                   struct runner_failure *out)
{
        const char *name = runner->account->name;

        out->why = *cause;
        cause_of_account(&out->why, name);
        int64_t doubted = fault_grace_cause(name, (int64_t)loop_wall(), &out->why);
        out->delay = doubted ? doubted : retry_delay(rules, &out->why, runner->failures, random_number());
        runner->failures++;
}

void runner_tell_failure(const struct runner *runner, const struct runner_failure *failure,
                         const char *challenge_id)
{
        const char *name = runner->account->name;

        kept_set_number(name, KEPT_LAST_POLL_FAILURE, (int64_t)loop_wall());
        kept_set_text(name, KEPT_LAST_POLL_FAILURE_CAUSE, failure->why.text);
        account_report_failure(runner->account, &failure->why, challenge_id);
        account_was_checked(runner->account);
}
