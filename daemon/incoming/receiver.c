/* SPDX-License-Identifier: MIT */
/*
 * When to connect, poll, idle and end for one incoming account; see receiver.h. The session is receiver_session.c's,
 * the looks are receiver_poll.c's, and what is done within a look at a folder is fetching.c's.
 */
#include "daemon/incoming/receiver_state.h"

#include "daemon/random.h"

/* Goes on to a look at all folders where the receiver only waits. False: it is at work. */
static bool look_now(struct receiver *receiver)
{
        switch (receiver->phase) {
        case WAITING:
                receiver_connect(receiver);
                return true;
        case RESTING:
                receiver_wait_ended(receiver, WAIT_OURS, NULL);
                receiver->whole = true;
                receiver_begin_look(receiver);
                return true;
        case IDLING:
                receiver->whole = true;
                receiver_wake(receiver);
                return true;
        case CONNECTING:
        case LOOKING:
        case WAKING:
        case QUITTING:
                break;
        }
        return false;
}

static void on_time(void *ctx)
{
        (void)look_now(ctx);
}

/* ---- from outside ---- */

struct receiver *receiver_new(struct account *account, uint32_t spread_ms)
{
        struct receiver *receiver = new_object(struct receiver);

        receiver->account = account_hold(account);
        receiver->timer = timer_new(on_time, receiver);
        if (account_enabled(account))
                timer_set(receiver->timer, spread_ms ? (int64_t)(random_number() % spread_ms) : 0);
        return receiver;
}

void receiver_start_over(struct receiver *receiver)
{
        receiver_drop_session(receiver);
        receiver_forget_folders(receiver);
        receiver_forget_waits(receiver);
        receiver->failures = 0;
        timer_stop(receiver->timer);
        receiver_wait(receiver, 0);
}

int64_t receiver_rests_ms(const struct receiver *receiver)
{
        bool rests = receiver->phase == WAITING || receiver->phase == RESTING;

        return rests ? timer_left(receiver->timer) : -1;
}

const struct link *receiver_waits_for_place(const struct receiver *receiver)
{
        return receiver->link && link_waits_ms(receiver->link) >= 0 ? receiver->link : NULL;
}

void receiver_tested(struct receiver *receiver, const struct cause *why)
{
        bool thought_ill = receiver->account->cause->code != CAUSE_NONE;

        if (receiver->winding_down || !account_enabled(receiver->account))
                return;
        account_was_checked(receiver->account);
        if (thought_ill != (why->code != CAUSE_NONE))
                receiver_start_over(receiver);
}

void receiver_check_trust(struct receiver *receiver)
{
        if (receiver->link && !link_still_trusted(receiver->link)) {
                receiver_drop_session(receiver);
                receiver_wait(receiver, 0);
        }
}

void receiver_network_changed(struct receiver *receiver, bool stale, int64_t delay)
{
        bool resting = receiver->phase == RESTING || receiver->phase == IDLING || receiver->phase == WAKING ||
                       receiver->phase == CONNECTING;
        bool lost = resting && receiver->link && (stale || !link_still_routed(receiver->link));
        bool down = receiver->phase == WAITING && receiver->account->status == ACCOUNT_DOWN;

        if (receiver->winding_down || !account_enabled(receiver->account) || !(lost || down))
                return;
        receiver_drop_session(receiver);
        receiver->failures = 0;
        timer_set(receiver->timer, delay);
}

void receiver_poll(struct receiver *receiver, void (*done)(void *ctx, const struct poll_result *result), void *ctx)
{
        struct poll_result result = { 0 };

        if (!account_enabled(receiver->account)) {
                cause_set(&result.cause, CAUSE_DISABLED, "account %s is disabled", receiver->account->name);
                cause_remedy(&result.cause, "emailsecctl account enable %s", receiver->account->name);
                done(ctx, &result);
                return;
        }
        struct poll *poll = new_object(struct poll);
        *poll = (struct poll){ .done = done, .ctx = ctx, .next = receiver->polls };
        receiver->polls = poll;
        if (look_now(receiver))
                return;
        if (receiver->phase == CONNECTING || receiver->phase == WAKING)
                receiver->whole = true; /* the look to come answers */
        else
                receiver->again = true; /* what came after this look began counts too */
}

void receiver_wind_down(struct receiver *receiver)
{
        receiver->winding_down = true;
        timer_stop(receiver->timer);
        /* nothing is on its way: thousands of good-byes would only hold up the end */
        if (receiver->phase == IDLING || receiver->phase == RESTING || receiver->phase == WAKING ||
            receiver->phase == CONNECTING)
                receiver_drop_session(receiver);
}

bool receiver_busy(const struct receiver *receiver)
{
        return receiver->link || receiver->token || (receiver->fetching && fetching_committing(receiver->fetching));
}

void receiver_free(struct receiver *receiver)
{
        struct cause cause;

        if (!receiver)
                return;
        receiver_drop_session(receiver);
        cause_set(&cause, CAUSE_CANCELLED, "the account was removed or the daemon ends");
        receiver_finish_polls(receiver, &cause);
        timer_free(receiver->timer);
        receiver_forget_folders(receiver);
        receiver_forget_waits(receiver);
        account_release(receiver->account);
        free(receiver);
}
