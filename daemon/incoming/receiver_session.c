/* SPDX-License-Identifier: MIT */
/* The session of a receiver: begun, lost, given up, and when it is tried again. */
#include "daemon/incoming/receiver_state.h"

#include "daemon/accounts/accounts.h"
#include "daemon/accounts/secrets.h"
#include "daemon/imap/session.h"
#include "daemon/incoming/receiver_rules.h"
#include "daemon/pop3/session.h"
#include "daemon/random.h"
#include "daemon/session/signin.h"
#include "daemon/session/token.h"
#include "daemon/tls/clock_doubt.h"

#include <stdio.h>

enum {
        RETRY_FIRST = 5,      /* a server that is down is tried again after 5 s, then less often, */
        RETRY_MOST = 15 * 60, /* up to this; */
        RETRY_MOST_DISK = 60, /* a disk here that takes no mail up to this: it may have room again */
};

bool receiver_is_pop3(const struct receiver *receiver)
{
        return prop_is(&receiver->runner.account->values, WORD_POP3);
}

const struct mailbox_ops *receiver_ops(const struct receiver *receiver)
{
        return receiver_is_pop3(receiver) ? &pop3_mailbox : &imap_mailbox;
}

/* The numbers are taken here, so that a poll that follows begins at 0. */
void receiver_answer_polls(struct receiver *receiver, const struct cause *cause)
{
        struct poll_result result = { .received = receiver->received, .left = receiver->left };

        receiver->received = receiver->left = 0;
        if (cause)
                result.cause = *cause;
        runner_answer_polls(&receiver->runner, &result);
}

/* The fetching first: it may still want the engine of the session. Safe in any phase, and twice. */
void receiver_drop_session(struct receiver *receiver)
{
        fetching_free(take(receiver->fetching));
        runner_forget_token(&receiver->runner);
        if (receiver->session)
                session_close(take(receiver->session));
        signin_done(&receiver->signin);
        free(take(receiver->folders));
        free(take(receiver->names));
        receiver->folder_open = false;
        receiver->phase = WAITING;
}

void receiver_wait(struct receiver *receiver, int64_t seconds)
{
        if (runner_may_run(&receiver->runner))
                timer_set(receiver->runner.timer, seconds * 1000);
}

int64_t receiver_poll_rate(const struct receiver *receiver)
{
        return prop_number(&receiver->runner.account->values, PROP_POLL_RATE);
}

int64_t receiver_next_poll(const struct receiver *receiver)
{
        int64_t rate = receiver_poll_rate(receiver);

        return receiver->next_try && receiver->next_try < rate ? receiver->next_try : rate;
}

/* `challenge_id` may be memory of the session that is closed here: it is copied before. */
void receiver_failed(struct receiver *receiver, const struct cause *cause, const char *challenge_id)
{
        int64_t rate = receiver_poll_rate(receiver);
        struct retry_rules rules = { .first = rate < RETRY_FIRST ? rate : RETRY_FIRST,
                                     .repeated = 1,
                                     .most = RETRY_MOST,
                                     .most_disk = RETRY_MOST_DISK };
        struct runner_failure failure;
        char id[13];

        (void)snprintf(id, sizeof id, "%s", challenge_id);
        runner_assess(&receiver->runner, cause, &rules, &failure);
        receiver_drop_session(receiver);
        runner_tell_failure(&receiver->runner, &failure, id);
        receiver_wait(receiver, failure.delay);
        receiver_answer_polls(receiver, &failure.why);
}

/* ---- session ---- */

/* Once a session. Folders by name are there at once; patterns are asked for first (RFC 3501, 6.3.8). */
static void session_ready(void *ctx)
{
        struct receiver *receiver = ctx;

        receiver->whole = true;
        token_proved(receiver->runner.account->name);
        if (!receiver_ask_folders(receiver))
                receiver_begin_poll(receiver);
}

static void session_reached(void *ctx, enum session_mark mark, const struct verdict *verdict)
{
        struct receiver *receiver = ctx;

        (void)verdict;
        session_tell_account(receiver->session, mark, receiver->runner.account);
}

/* The session that waited has gone, the mailbox has been looked at: the next one begins soon, or at the next
 * look where sessions are not let wait. */
static void wait_lost(struct receiver *receiver, const struct cause *cause)
{
        receiver_wait_ended(receiver, WAIT_LOST, cause);
        receiver_drop_session(receiver);
        if (!runner_may_run(&receiver->runner))
                return;
        if (poll_idle_apart(&receiver->waits, loop_now()))
                receiver_wait(receiver, receiver_poll_rate(receiver));
        else
                timer_set(receiver->runner.timer,
                          poll_idle_new_session(&receiver->waits,
                                                poll_schedule_again_ms(accounts_count(), random_number())));
}

/* The good-bye was answered, or did not need to be. */
static void poll_is_over(struct receiver *receiver, bool answered)
{
        bool again = receiver->again;

        if (receiver->fetching)
                fetching_quit_answered(receiver->fetching, answered);
        receiver_drop_session(receiver);
        if (!again)
                receiver_answer_polls(receiver, NULL);
        receiver->again = false;
        receiver_wait(receiver, again ? 0 : receiver_next_poll(receiver));
}

/* A poll that fetched something counts as progress, whatever ended it: a server that cuts sessions short is
 * not backed off from while its mailbox empties. */
static void poll_broke(struct receiver *receiver, const struct cause *why, const char *challenge_id)
{
        struct fetching *fetching = receiver->fetching;
        struct cause cause = *why;

        if (fetching && fetching_moved_on(fetching))
                receiver->runner.failures = 0; /* however short its sessions, the mailbox gets done */
        switch (receiver_poll_outcome(fetching ? fetching_broke(fetching, &cause) : FETCHING_BROKE, &cause)) {
        case POLL_AS_GOOD_AS_OVER:
                receiver_drop_session(receiver);
                account_has_worked(receiver->runner.account);
                receiver_answer_polls(receiver, NULL);
                receiver_wait(receiver, RETRY_FIRST);
                break;
        case POLL_FAILED_BRIEFLY:
                cause.code = CAUSE_SERVER_BUSY;
                receiver_failed(receiver, &cause, challenge_id);
                break;
        case POLL_FAILED:
                receiver_failed(receiver, &cause, challenge_id);
                break;
        }
}

/* Facts first, while the session is there; each way out of here drops it. */
static void session_ended(void *ctx, const struct cause *why, const char *challenge_id)
{
        struct receiver *receiver = ctx;
        struct receiver_session_end end = {
                .phase = receiver->phase,
                .quit_counts = receiver->fetching && fetching_needs_quit(receiver->fetching),
        };
        struct cause cause = *why;

        runner_session_end(&receiver->runner, receiver->session, why, receiver->phase != CONNECTING,
                           &end.session);
        if (cause.code == CAUSE_NONE)
                cause_set(&cause, CAUSE_CLOSED, "%s closed the connection",
                          prop_text(&receiver->runner.account->values, PROP_HOSTNAME));
        switch (receiver_outcome(&end)) {
        case RECEIVER_POLL_OVER:
                poll_is_over(receiver, why->code == CAUSE_NONE);
                break;
        case RECEIVER_AGAIN:
                receiver_drop_session(receiver);
                receiver_wait(receiver, 0);
                break;
        case RECEIVER_WAIT_LOST:
                wait_lost(receiver, &cause);
                break;
        case RECEIVER_POLL_BROKE:
                poll_broke(receiver, &cause, challenge_id);
                break;
        }
}

static bool wants_dates(unused_arg void *ctx)
{
        return clock_doubt_wanted(loop_now());
}

/* When mail was taken in there it is no earlier than that here. */
static void dated(unused_arg void *ctx, time_t taken_in)
{
        clock_doubt_said(taken_in, true, "and mail was taken in elsewhere at", loop_now());
}

/* The polls hear of messages; of folders, before there is a poll, the receiver itself. One for all
 * receivers, and made anew each time: it holds no state. */
static const struct mailbox_user *mailbox_user(void)
{
        static struct mailbox_user user;

        user = fetching_mailbox_user;
        user.changed = receiver_idle_changed;
        user.woken = receiver_idle_woken;
        user.idle_refused = receiver_idle_not_taken;
        user.alert = receiver_alerted;
        user.wants_dates = wants_dates;
        user.dated = dated;
        user.folder = receiver_folder_found;
        user.folders_listed = receiver_folders_found;
        return &user;
}

static struct engine *new_engine(void *ctx)
{
        struct receiver *receiver = ctx;
        const struct property_values *values = &receiver->runner.account->values;
        bool starttls = prop_bool(values, PROP_USE_STARTTLS);

        if (receiver_is_pop3(receiver)) {
                struct pop3_config config = { receiver->signin, starttls, &fetching_mailbox_user,
                                              &receiver->fetching };
                return pop3_session_new(&config);
        }
        struct imap_config config = { receiver->signin, starttls, mailbox_user(), &receiver->fetching };
        return imap_session_new(&config);
}

static const struct session_user session_user = {
        .again = new_engine,
        .reached = session_reached,
        .ready = session_ready,
        .ended = session_ended,
};

/* In CONNECTING while a token is waited for: runner_sign_in() then goes on by token_came(). Where no secret
 * is there it has told the failure, and the receiver is WAITING again. */
void receiver_connect(struct receiver *receiver)
{
        const struct property_values *values = &receiver->runner.account->values;
        struct session_plan plan;

        timer_stop(receiver->runner.timer);
        if (!runner_may_run(&receiver->runner))
                return;
        receiver->phase = CONNECTING;
        if (runner_sign_in(&receiver->runner, &receiver->signin) != RUNNER_SIGNS_IN)
                return;
        receiver_take_folders(receiver, copy_text(prop_text(values, PROP_FOLDER)));
        session_plan_of(values, &plan);
        receiver->session = session_open(&plan, new_engine(receiver), &session_user, receiver);
}
