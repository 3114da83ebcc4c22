/* SPDX-License-Identifier: MIT */
/*
 * When to connect, poll, idle and end for one incoming account; see receiver.h. The session is
 * receiver_session.c's, the looks are receiver_poll.c's, and what is done within a look at a folder is
 * fetching.c's.
 *
 * The phases (receiver_rules.h) and what moves on from each:
 *
 *   WAITING     no session; the timer connects
 *   CONNECTING  also while a token is waited for; ready or failed
 *   POLLING     folder after folder, each by one struct fetching
 *   RESTING     the session is open and says nothing; the timer polls
 *   IDLING      RFC 2177; the server or the timer wakes it
 *   WAKING      DONE was said; the poll begins when the server has answered
 *   QUITTING    the good-bye was said, by which POP3 deletes what was marked (RFC 1939, 6)
 *
 * One session an account and one poll at a time. Nothing of this is on disk: what was fetched is known by
 * the store alone, so a daemon that was killed begins at WAITING and fetches what is not recorded.
 */
#include "daemon/incoming/receiver_state.h"

#include "daemon/random.h"

/* Goes on to a look at all folders where the receiver only waits. False: it is at work. */
static bool poll_now(struct receiver *receiver)
{
        switch (receiver->phase) {
        case WAITING:
                receiver_connect(receiver);
                return true;
        case RESTING:
                receiver_wait_ended(receiver, WAIT_OURS, NULL);
                receiver->whole = true;
                receiver_begin_poll(receiver);
                return true;
        case IDLING:
                receiver->whole = true;
                receiver_wake(receiver);
                return true;
        case CONNECTING:
        case POLLING:
        case WAKING:
        case QUITTING:
                break;
        }
        return false;
}

static struct receiver *receiver_of(struct runner *runner)
{
        return container_of(runner, struct receiver, runner);
}

static void on_time(struct runner *runner)
{
        (void)poll_now(receiver_of(runner));
}

static void token_came(struct runner *runner)
{
        receiver_connect(receiver_of(runner));
}

static void cannot_sign_in(struct runner *runner, const struct cause *cause, const char *challenge_id)
{
        receiver_failed(receiver_of(runner), cause, challenge_id);
}

static const struct runner_class runner_class = { .due = on_time,
                                                  .token_came = token_came,
                                                  .failed = cannot_sign_in };

/* ---- from outside ---- */

struct receiver *receiver_new(struct account *account, uint32_t spread_ms)
{
        struct receiver *receiver = new_object(struct receiver);

        runner_init(&receiver->runner, &runner_class, account);
        if (account_enabled(account))
                timer_set(receiver->runner.timer, random_within(spread_ms));
        return receiver;
}

/* Values, a secret or a decision are others. The session is dropped without a good-bye: what a fetching has
 * stored whole is recorded all the same (fetching_free), what it has not told the server is found as untold
 * at the next poll. */
void receiver_start_over(struct receiver *receiver, uint32_t spread_ms)
{
        receiver_drop_session(receiver);
        receiver_forget_folders(receiver);
        receiver_forget_waits(receiver);
        receiver->runner.failures = 0;
        timer_stop(receiver->runner.timer);
        if (runner_may_run(&receiver->runner))
                timer_set(receiver->runner.timer, random_within(spread_ms));
}

int64_t receiver_rests_ms(const struct receiver *receiver)
{
        bool rests = receiver->phase == WAITING || receiver->phase == RESTING;

        return rests ? timer_left(receiver->runner.timer) : -1;
}

const struct session *receiver_waits_for_place(const struct receiver *receiver)
{
        return receiver->session && session_waits_ms(receiver->session) >= 0 ? receiver->session : NULL;
}

/* A probe has seen the server just now. Only news starts over: a probe that agrees with what is known must
 * not disturb a session that works. */
void receiver_tested(struct receiver *receiver, const struct cause *why)
{
        bool thought_ill = receiver->runner.account->cause->code != CAUSE_NONE;

        if (!runner_may_run(&receiver->runner))
                return;
        account_was_checked(receiver->runner.account);
        if (thought_ill != (why->code != CAUSE_NONE))
                receiver_start_over(receiver, 0);
}

/* At once, in the middle of a message too: bytes of a server that is no longer trusted are not stored. A
 * session that another might be better than is let finish its poll. */
void receiver_check_trust(struct receiver *receiver)
{
        bool waits = receiver->phase == IDLING || receiver->phase == RESTING;

        if (!receiver->session)
                return;
        if (!session_still_trusted(receiver->session) || (waits && session_may_verify(receiver->session))) {
                receiver_drop_session(receiver);
                receiver_wait(receiver, 0);
        }
}

/* A poll under way is left alone: it ends by its own deadline, or well. `delay` spreads thousands of
 * accounts over some seconds. */
void receiver_network_changed(struct receiver *receiver, bool stale, int64_t delay)
{
        bool resting = receiver->phase == RESTING || receiver->phase == IDLING || receiver->phase == WAKING ||
                       receiver->phase == CONNECTING;
        bool lost = resting && receiver->session && (stale || !session_still_routed(receiver->session));
        bool down = receiver->phase == WAITING && receiver->runner.account->status == ACCOUNT_DOWN;

        if (!runner_may_run(&receiver->runner) || !(lost || down))
                return;
        receiver_drop_session(receiver);
        receiver->runner.failures = 0;
        timer_set(receiver->runner.timer, delay);
}

void receiver_poll(struct receiver *receiver, runner_polled *done, void *ctx)
{
        if (!runner_poll(&receiver->runner, done, ctx))
                return;
        if (poll_now(receiver))
                return;
        if (receiver->phase == CONNECTING || receiver->phase == WAKING)
                receiver->whole = true; /* the poll to come answers */
        else
                receiver->again = true; /* what came after this poll began counts too */
}

void receiver_wind_down(struct receiver *receiver)
{
        receiver->runner.winding_down = true;
        timer_stop(receiver->runner.timer);
        /* nothing is on its way: thousands of good-byes would only hold up the end */
        if (receiver->phase == IDLING || receiver->phase == RESTING || receiver->phase == WAKING ||
            receiver->phase == CONNECTING)
                receiver_drop_session(receiver);
}

/* A commit under way counts: its files are in the Maildir and their record is not yet. */
bool receiver_busy(const struct receiver *receiver)
{
        return receiver->session || receiver->runner.token ||
               (receiver->fetching && fetching_committing(receiver->fetching));
}

/* A fetching that still commits outlives it (fetching_let_end) and tells nobody. */
void receiver_free(struct receiver *receiver)
{
        if (!receiver)
                return;
        receiver_drop_session(receiver);
        runner_stop(&receiver->runner);
        receiver_forget_folders(receiver);
        receiver_forget_waits(receiver);
        runner_done(&receiver->runner);
        free(receiver);
}
