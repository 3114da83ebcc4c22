/* SPDX-License-Identifier: MIT */
/* WaitMessage: the answer comes when a message is sent, failed, or waits for a person; with `more` its states
 * on the way come too. */
#include "daemon/accounts/accounts.h"
#include "daemon/control/methods.h"
#include "daemon/control/usernames.h"
#include "daemon/events.h"
#include "daemon/loop.h"
#include "daemon/outgoing/sender.h"
#include "daemon/service/waiting.h"
#include "daemon/store/queue_table.h"

/* That a session has taken a message is not an event: who wants to see it looks now and then. */
enum { LOOK_MS = 250 };

struct waiter {
        struct call *call; /* NULL: the client has gone */
        char *id;
        struct subscription *subscription;
        struct timer *timer;
        char *told;  /* with `more`: what was told last, as words_of() has it */
        bool theirs; /* who asks may know of the message */
        bool looking, look_again;
};

static void waiting_free(struct waiter *waiting)
{
        events_unsubscribe(waiting->subscription);
        timer_free(waiting->timer);
        free(waiting->told);
        free(waiting->id);
        free(waiting);
}

static void stop_waiting(void *work)
{
        struct waiter *waiting = work;

        waiting->call = NULL;
        if (!waiting->looking)
                waiting_free(waiting);
}

static bool is_final(const char *state)
{
        return strcmp(state, "sent") == 0 || strcmp(state, "failed") == 0 || strcmp(state, "held") == 0;
}

/* A message that only its account stops is on its way all the same while it is being sent, or is going to be
 * tried now: the account's fault is then one of before. */
static bool is_on_its_way(const json_t *message, const char *state)
{
        const char *name = json_string_value(json_object_get(message, "account"));
        const struct account *account = account_named(name ? name : "");

        if (is_final(state) || !account || !account_is_stopped(account))
                return false;
        return strcmp(state, "sending") == 0 || (account->sender && sender_may_try(account->sender));
}

/* What makes a message another one to who waits for it. */
static char *words_of(const json_t *message)
{
        const char *state = json_string_value(json_object_get(message, "state"));
        const char *next = json_string_value(json_object_get(message, "nextAttempt"));

        return text_of("%s %s", state ? state : "", next ? next : "");
}

/* A part of the answer for a state that is not the last. */
static void tell_state(struct waiter *waiting, json_t *message)
{
        scoped(scoped_free) char *words = words_of(message);

        if (!call_wants_more(waiting->call) || same_text(words, waiting->told))
                return;
        free(waiting->told);
        waiting->told = take(words);
        json_t *reply = json_object();
        json_put(reply, "message", json_incref(message));
        call_reply_part(waiting->call, reply);
}

static void look(struct waiter *waiting);

static void end_waiting(struct waiter *waiting, const struct cause *cause)
{
        call_fail(waiting->call, cause);
        waiting_free(waiting);
}

/* Who may not read the queue waits for messages of their own only, and is not told what other ids there are.
 */
static bool is_theirs(struct waiter *waiting, const json_t *message)
{
        const struct peer *peer = call_peer(waiting->call);
        const char *by = json_string_value(json_object_get(message, "submittedBy"));

        if (!waiting->theirs)
                waiting->theirs = permit(peer, PERMIT_READ) || (by && username_is_of(by, peer->uid));
        return waiting->theirs;
}

static bool account_is_gone(const json_t *message)
{
        const char *account = json_string_value(json_object_get(message, "account"));

        return !account || !account_named(account);
}

static void looked(void *ctx, json_t *message, const struct cause *cause)
{
        struct waiter *waiting = ctx;
        struct cause not_theirs;

        waiting->looking = false;
        if (!waiting->call) {
                waiting_free(waiting);
                return;
        }
        if (!is_theirs(waiting, message)) {
                cause_set(&not_theirs, CAUSE_PERMISSION, "%s did not submit this message",
                          call_who(waiting->call));
                end_waiting(waiting, &not_theirs);
                return;
        }
        if (cause_happened(cause)) {
                end_waiting(waiting, cause);
                return;
        }
        scoped(scoped_free) char *own = copy_text(json_string_value(json_object_get(message, "state")));
        bool passing = own && is_on_its_way(message, own);
        bool stopped = !passing && waiting_show(message);
        const char *state = json_string_value(json_object_get(message, "state"));
        if (state && (stopped || is_final(state))) {
                json_t *reply = json_object();
                json_put(reply, "message", json_incref(message));
                call_reply(waiting->call, reply);
                waiting_free(waiting);
                return;
        }
        tell_state(waiting, message);
        if (waiting->look_again)
                look(waiting);
        else if (passing || call_wants_more(waiting->call) ||
                 account_is_gone(message)) /* the message goes next */
                timer_set(waiting->timer, LOOK_MS);
}

static void look(struct waiter *waiting)
{
        waiting->looking = true;
        waiting->look_again = false;
        queue_get(waiting->id, looked, waiting);
}

static void look_now(void *ctx)
{
        struct waiter *waiting = ctx;

        if (waiting->looking)
                waiting->look_again = true;
        else
                look(waiting);
}

/* Anything told of this message or of an account is a reason to look. */
static bool may_concern(const struct waiter *waiting, struct event *event)
{
        enum event_kind kind = event_kind(event);

        if (kind == EVENT_ACCOUNT_STATUS || kind == EVENT_ACCOUNT_DELETED || kind == EVENT_QUEUE_CHANGED)
                return true;
        if (kind == EVENT_MAIL_RECEIVED)
                return false;
        const json_t *data = json_object_get(event_json(event), "data");
        return same_text(json_string_value(json_object_get(data, "id")), waiting->id);
}

static void hear(void *ctx, struct event *event)
{
        struct waiter *waiting = ctx;

        if (may_concern(waiting, event))
                look_now(waiting);
}

void on_wait_message(struct call *call)
{
        struct waiter *waiting = new_object(struct waiter);

        *waiting = (struct waiter){ .call = call, .id = copy_text(call_parameters(call)->id) };
        call_on_cancel(call, stop_waiting, waiting);
        waiting->subscription = events_subscribe(NULL, hear, waiting);
        waiting->timer = timer_new(look_now, waiting);
        look(waiting);
}
