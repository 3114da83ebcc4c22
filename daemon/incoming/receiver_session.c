/* SPDX-License-Identifier: MIT */
/* The session of a receiver: begun, lost, given up, and when it is tried again. */
#include "daemon/incoming/receiver_state.h"

#include "daemon/accounts/accounts.h"
#include "daemon/accounts/fault_grace.h"
#include "daemon/accounts/secrets.h"
#include "daemon/backoff.h"
#include "daemon/imap/session.h"
#include "daemon/incoming/poll_schedule.h"
#include "daemon/outgoing/queue_policy.h"
#include "daemon/pop3/session.h"
#include "daemon/random.h"
#include "daemon/session/token.h"

#include <stdio.h>

enum {
        FAULT_RETRY = 3600,
        RETRY_FIRST = 5,             /* a server that is down is tried again after 5 s, then less often, */
        RETRY_MOST = 15 * 60,        /* up to this; */
        RETRY_MOST_DISK = 60,        /* a disk here that takes no mail up to this: it may have room again */
};

bool receiver_is_pop3(const struct receiver *receiver)
{
        return prop_is(&receiver->account->values, WORD_POP3);
}

const struct mailbox_class *receiver_tools(const struct receiver *receiver)
{
        return receiver_is_pop3(receiver) ? &pop3_mailbox : &imap_mailbox;
}

void receiver_finish_polls(struct receiver *receiver, const struct cause *cause)
{
        struct poll_result result = { .received = receiver->received, .left = receiver->left };

        receiver->received = receiver->left = 0;
        if (cause)
                result.cause = *cause;
        while (receiver->polls) {
                struct poll *poll = receiver->polls;
                receiver->polls = poll->next;
                poll->done(poll->ctx, &result);
                free(poll);
        }
}

void receiver_drop_session(struct receiver *receiver)
{
        fetching_free(take(receiver->fetching));
        token_wait_cancel(take(receiver->token));
        if (receiver->link)
                link_close(take(receiver->link));
        secret_signin_done(&receiver->signin);
        free(take(receiver->folders));
        free(take(receiver->names));
        receiver->folder_open = false;
        receiver->phase = WAITING;
}

void receiver_wait(struct receiver *receiver, int64_t seconds)
{
        if (!receiver->winding_down && account_enabled(receiver->account))
                timer_set(receiver->timer, seconds * 1000);
}

int64_t receiver_poll_rate(const struct receiver *receiver)
{
        return prop_number(&receiver->account->values, PROP_POLL_RATE);
}

int64_t receiver_next_look(const struct receiver *receiver)
{
        int64_t rate = receiver_poll_rate(receiver);

        return receiver->next_try && receiver->next_try < rate ? receiver->next_try : rate;
}

static int64_t retry_delay(const struct receiver *receiver, const struct cause *why)
{
        bool disk = why->code == CAUSE_STORAGE;
        int64_t rate = receiver_poll_rate(receiver), most = disk ? RETRY_MOST_DISK : RETRY_MOST;
        unsigned before = receiver->failures ? receiver->failures - 1 : 0;

        if (cause_class(why) != CLASS_DOWN && !disk)
                return backoff_delay(FAULT_RETRY, 0, random_number());
        int64_t delay = backoff_delay(rate < RETRY_FIRST ? rate : RETRY_FIRST, before, random_number());
        return delay < most ? delay : most;
}

void receiver_failed(struct receiver *receiver, const struct cause *cause, const char *challenge_id)
{
        struct cause why = *cause;
        char id[13];

        (void)snprintf(id, sizeof id, "%s", challenge_id);
        cause_of_account(&why, receiver->account->name);
        receiver_drop_session(receiver);
        fact_set_number(receiver->account->name, "lastPollFailure", (int64_t)loop_wall());
        fact_set_text(receiver->account->name, "lastPollFailureCause", why.text);
        int64_t doubted = doubt_cause(receiver->account->name, (int64_t)loop_wall(), &why);
        account_is_ill(receiver->account, &why, id);
        account_was_checked(receiver->account);
        receiver_wait(receiver, doubted ? doubted : retry_delay(receiver, &why));
        receiver->failures++;
        receiver_finish_polls(receiver, &why);
}

/* ---- session ---- */

static void session_ready(void *ctx)
{
        struct receiver *receiver = ctx;

        receiver->whole = true;
        token_proved(receiver->account->name);
        if (!receiver_ask_folders(receiver))
                receiver_begin_look(receiver);
}

static void session_reached(void *ctx, enum link_mark mark, const struct verdict *verdict)
{
        struct receiver *receiver = ctx;

        (void)verdict;
        link_tell_account(receiver->link, mark, receiver->account);
}

/* The session that waited has gone, the mailbox has been looked at: the next one begins soon, or at the next look where
 * sessions are not let wait. */
static void wait_lost(struct receiver *receiver, const struct cause *cause)
{
        receiver_wait_ended(receiver, WAIT_LOST, cause);
        receiver_drop_session(receiver);
        if (receiver->winding_down || !account_enabled(receiver->account))
                return;
        if (waits_apart(&receiver->waits, loop_now()))
                receiver_wait(receiver, receiver_poll_rate(receiver));
        else
                timer_set(receiver->timer, waits_new_session(&receiver->waits, rhythm_again_ms(accounts_count(), random_number())));
}

static void session_ended(void *ctx, const struct cause *why, const char *challenge_id)
{
        struct receiver *receiver = ctx;
        bool quitting = receiver->phase == QUITTING;
        bool needs_answer = receiver->fetching && fetching_needs_quit(receiver->fetching);
        struct cause cause = *why;

        if (quitting && (cause.code == CAUSE_NONE || !needs_answer)) {
                if (receiver->fetching)
                        fetching_quit_answered(receiver->fetching, cause.code == CAUSE_NONE);
                bool again = receiver->again;
                receiver_drop_session(receiver);
                if (!again)
                        receiver_finish_polls(receiver, NULL);
                receiver->again = false;
                receiver_wait(receiver, again ? 0 : receiver_next_look(receiver));
                return;
        }
        bool again = receiver->phase == CONNECTING && cause.code == CAUSE_CLOSED && link_trust_moved(receiver->link);
        if (cause.code == CAUSE_AUTHENTICATION && token_used(&receiver->account->values))
                again = token_refused(receiver->account->name);
        if (again) {
                receiver_drop_session(receiver);
                receiver_wait(receiver, 0);
                return;
        }
        if (cause.code == CAUSE_NONE)
                cause_set(&cause, CAUSE_CLOSED, "%s closed the connection",
                          prop_text(&receiver->account->values, PROP_HOSTNAME));
        /* a kept session may be closed by the server at any time */
        bool was_resting = receiver->phase == RESTING || receiver->phase == IDLING || receiver->phase == WAKING;
        if (was_resting && cause_class(&cause) == CLASS_DOWN) {
                wait_lost(receiver, &cause);
                return;
        }
        if (receiver->fetching && fetching_moved_on(receiver->fetching))
                receiver->failures = 0; /* however short its sessions, the mailbox gets done */
        enum fetching_end end = receiver->fetching ? fetching_broke(receiver->fetching, &cause) : FETCHING_BROKE;
        if (end == FETCHING_AS_GOOD) { /* all but one message was had: no fault of the account's */
                receiver_drop_session(receiver);
                account_is_well(receiver->account);
                receiver_finish_polls(receiver, NULL);
                receiver_wait(receiver, RETRY_FIRST);
                return;
        }
        if (end == FETCHING_BROKE_OVER && cause_class(&cause) != CLASS_DOWN)
                cause.code = CAUSE_SERVER_BUSY; /* the others can be had soon */
        receiver_failed(receiver, &cause, challenge_id);
}

/* The looks hear of messages; of folders, before there is a look, the receiver itself. */
static const struct mailbox_user *mailbox_user(void)
{
        static struct mailbox_user user;

        user = fetching_mailbox_user;
        user.alert = receiver_alerted;
        user.folder = receiver_folder_found;
        user.folders_listed = receiver_folders_found;
        return &user;
}

static struct chat *new_chat(void *ctx)
{
        struct receiver *receiver = ctx;
        const struct property_values *values = &receiver->account->values;
        bool starttls = prop_bool(values, PROP_USE_STARTTLS);

        if (receiver_is_pop3(receiver)) {
                struct pop3_config config = { receiver->signin, starttls, &fetching_mailbox_user, &receiver->fetching };
                return pop3_session_new(&config);
        }
        struct imap_config config = { receiver->signin, starttls, mailbox_user(), &receiver->fetching };
        return imap_session_new(&config);
}

static const struct link_user link_user = {
        .again = new_chat,
        .reached = session_reached,
        .ready = session_ready,
        .ended = session_ended,
};

static void token_is_there(void *ctx, const struct cause *cause, const char *challenge_id)
{
        struct receiver *receiver = ctx;

        receiver->token = NULL;
        if (cause->code)
                receiver_failed(receiver, cause, challenge_id);
        else
                receiver_connect(receiver);
}

void receiver_connect(struct receiver *receiver)
{
        const struct property_values *values = &receiver->account->values;
        struct cause cause = { 0 };
        struct link_plan plan;

        timer_stop(receiver->timer);
        if (receiver->winding_down || !account_enabled(receiver->account))
                return;
        if (token_due(values)) {
                receiver->phase = CONNECTING;
                receiver->token = token_await(values, true, token_is_there, receiver);
                return;
        }
        if (secret_signin(values, &receiver->signin, &cause) < 0) {
                receiver_failed(receiver, &cause, "");
                return;
        }
        receiver->phase = CONNECTING;
        receiver_take_folders(receiver, copy_text(prop_text(values, PROP_FOLDER)));
        link_plan_of(values, &plan);
        receiver->link = link_open(&plan, new_chat(receiver), &link_user, receiver);
}
