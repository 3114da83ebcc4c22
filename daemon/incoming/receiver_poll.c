/* SPDX-License-Identifier: MIT */
/*
 * A look at the folders of a session that stands, one after the other, and what comes after: IDLE, a rest, or
 * the end of the session.
 */
#include "daemon/incoming/receiver_state.h"

#include "daemon/incoming/poll_schedule.h"
#include "daemon/incoming/retention.h"
#include "daemon/random.h"

enum {
        KEEP_OPEN_BELOW = 600, /* pollRate up to which an IMAP session is kept between polls */
};

static bool several_folders(const struct receiver *receiver)
{
        return receiver->folders + strlen(receiver->folders) < receiver->folders_end;
}

static void idle(struct receiver *receiver)
{
        int64_t left = receiver->whole_due - loop_now();

        receiver->phase = IDLING;
        receiver->waiting_since = loop_now();
        receiver_ops(receiver)->idle(session_engine(receiver->session));
        if (receiver->next_try && left > receiver->next_try * 1000)
                left = receiver->next_try * 1000;
        timer_set(receiver->runner.timer, left > 0 ? left : 0);
}

static void rest(struct receiver *receiver)
{
        int64_t rate = receiver_poll_rate(receiver), pause = poll_idle_pause(&receiver->waits);
        bool idles = receiver->fetching && fetching_can_idle(receiver->fetching) &&
                     prop_bool(&receiver->runner.account->values, PROP_PUSH) &&
                     poll_idle_may_idle(&receiver->waits, loop_now());
        bool apart = poll_idle_apart(&receiver->waits, loop_now());

        if (receiver->again && !receiver_is_pop3(receiver)) {
                receiver->whole = true;
                receiver_begin_poll(receiver);
        } else if (receiver_is_pop3(receiver) || receiver->runner.winding_down ||
                   session_contended(receiver->session) || apart || (!idles && rate > KEEP_OPEN_BELOW)) {
                receiver->phase = QUITTING;
                session_quit(receiver->session);
        } else if (idles && !pause) {
                idle(receiver);
        } else {
                receiver->phase = RESTING;
                receiver->waiting_since = loop_now();
                int64_t wait = receiver_next_poll(receiver) * 1000;
                timer_set(receiver->runner.timer, idles && pause < wait ? pause : wait);
        }
}

static void poll_done(struct receiver *receiver)
{
        receiver->runner.failures = 0;
        if (receiver->wait_end == WAIT_NOTHING)
                receiver_wait_ended(receiver, receiver->received || receiver->left ? WAIT_NEWS : WAIT_NOTHING,
                                    NULL);
        receiver->wait_end = WAIT_OURS;
        account_has_worked(receiver->runner.account);
        account_was_checked(receiver->runner.account);
        if (!receiver_is_pop3(receiver) && !receiver->again) /* POP3 is through when QUIT was answered */
                receiver_answer_polls(receiver, NULL);
        rest(receiver);
}

/* The first folder comes last, so that it is the open one when IDLE begins. */
static const char *next_folder(const struct receiver *receiver)
{
        const char *end = receiver->folder + strlen(receiver->folder);

        if (receiver->folder == receiver->folders)
                return NULL;
        return end < receiver->folders_end ? end + 1 : receiver->folders;
}

static void begin_folder(struct receiver *receiver);

static void fetching_done(void *ctx, const struct fetching_result *result)
{
        struct receiver *receiver = ctx;

        receiver->received += result->received;
        if (result->received)
                retention_look(receiver->runner.account, false);
        receiver->left += result->left;
        if (result->next_try && (!receiver->next_try || result->next_try < receiver->next_try))
                receiver->next_try = result->next_try;
        bool refused = result->refused.code != CAUSE_NONE;
        struct cause cause = refused ? result->refused : result->cause;
        if (!refused && cause.code != CAUSE_NONE) {
                receiver_failed(receiver, &cause, "");
                return;
        }
        if (refused && several_folders(receiver)) {
                receiver_folder_refused(receiver, &cause);
        } else if (!refused) {
                receiver_folder_opened(receiver);
                receiver->opened++;
        }
        const char *next = next_folder(receiver);
        if (next) {
                receiver->folder = next;
                begin_folder(receiver);
                return;
        }
        receiver->folder_open = !refused;
        if (receiver->opened || receiver->partial)
                poll_done(receiver);
        else
                receiver_failed(receiver, &cause, "");
}

static void end_idle(struct receiver *receiver)
{
        receiver->phase = WAKING;
        receiver_ops(receiver)->wake(session_engine(receiver->session));
}

void receiver_wake(struct receiver *receiver)
{
        if (receiver->phase != IDLING)
                return;
        receiver_wait_ended(receiver, WAIT_OURS, NULL);
        end_idle(receiver);
}

/* What it was worth the poll will show. */
static void idle_changed(void *ctx)
{
        struct receiver *receiver = ctx;

        if (receiver->phase != IDLING)
                return;
        receiver->wait_end = WAIT_NOTHING;
        end_idle(receiver);
}

static void idle_woken(void *ctx)
{
        struct receiver *receiver = ctx;

        if (receiver->phase == IDLING) /* the server has ended it */
                receiver->wait_end = WAIT_NOTHING;
        receiver->whole |= loop_now() >= receiver->whole_due;
        if (receiver->runner.winding_down)
                rest(receiver);
        else
                receiver_begin_poll(receiver);
}

static void idle_refused(void *ctx, const struct cause *cause)
{
        struct receiver *receiver = ctx;

        bool wanted = receiver->phase == WAKING; /* somebody asked for a poll meanwhile */

        receiver_idle_refused(receiver, cause);
        if (wanted && !receiver->runner.winding_down)
                receiver_begin_poll(receiver);
        else
                rest(receiver);
}

static void begin_folder(struct receiver *receiver)
{
        fetching_free(take(receiver->fetching));
        receiver->fetching = fetching_new(receiver->runner.account, receiver->session, receiver_ops(receiver),
                                          receiver->folder, fetching_done, receiver);
        if (receiver->runner.polls)
                fetching_try_all(receiver->fetching);
        fetching_on_idle(receiver->fetching, idle_changed, idle_woken, idle_refused);
        fetching_begin(receiver->fetching, receiver->folder_open);
}

void receiver_begin_poll(struct receiver *receiver)
{
        bool others = receiver->whole && several_folders(receiver);

        if (receiver->whole)
                receiver->whole_due =
                        loop_now() + poll_schedule_idle_ms(receiver_poll_rate(receiver),
                                                           several_folders(receiver), random_number());
        receiver->again = receiver->whole = false;
        receiver->next_try = 0;
        receiver->opened = 0;
        receiver->partial = !others && several_folders(receiver);
        receiver->phase = POLLING;
        timer_stop(receiver->runner.timer);
        receiver->folder = receiver->folders;
        if (others) {
                receiver->folder += strlen(receiver->folders) + 1;
                receiver->folder_open = false;
        }
        begin_folder(receiver);
}
