/* SPDX-License-Identifier: MIT */
/*
 * The socket method that submits mail; and WaitMessage, whose answer comes when a message is sent, failed, or
 * waits for a person; with `more` its states on the way come too.
 */
#include "common/dsn.h"
#include "common/limits.h"
#include "daemon/accounts/accounts.h"
#include "daemon/control/methods.h"
#include "daemon/control/usernames.h"
#include "daemon/events.h"
#include "daemon/loop.h"
#include "daemon/outgoing/sender.h"
#include "daemon/outgoing/submit.h"
#include "daemon/service/waiting.h"
#include "daemon/store/queue_table.h"

/* ---- Submit ---- */

struct submitted {
        const struct parameters *said;
        char returns[DSN_RETURN_SIZE];     /* `ret` as it is kept */
        char (*notifies)[DSN_NOTIFY_SIZE]; /* `notify` as it is kept; "" where an item is empty */
};

/* An answer means that the message is on disk, synced: the client may forget it. */
static void was_submitted(void *ctx, const struct submit_answer *answer, const struct causes *problems)
{
        struct call *call = ctx;

        if (!answer) {
                call_fail_problems(call, problems);
                return;
        }
        json_t *reply = json_object();
        json_put_text(reply, "id", answer->id);
        json_put_text(reply, "account", answer->account);
        json_put(reply, "duplicate", json_boolean(answer->duplicate));
        if (json_array_size(answer->refused))
                json_put(reply, "refused", json_deep_copy(answer->refused));
        call_reply(call, reply);
}

/* The client has gone. What is committed already stays: the same key finds it when the client asks again. */
static void give_up(void *work)
{
        submit_give_up(work);
}

/* Exactly one of descriptor and base64 is to be given. */
static void check_words(const struct submitted *in, struct causes *problems)
{
        if (in->said->priority && strcmp(in->said->priority, "normal") != 0 &&
            strcmp(in->said->priority, "urgent") != 0)
                cause_about(causes_add(problems), CAUSE_INVALID, "priority", "\"%s\" is not normal or urgent",
                            in->said->priority);
        if (in->said->said[PARAMETER_DESCRIPTOR] == (in->said->message != NULL))
                cause_about(causes_add(problems), CAUSE_INVALID, "message",
                            "give the message either as descriptor or as base64");
}

/* What is asked about delivery reports, into its kept form. */
static void check_reports(struct submitted *in, struct causes *problems)
{
        struct cause cause = { 0 };
        size_t index, count = json_array_size(in->said->notify);
        json_t *words;

        if (in->said->ret && dsn_return(in->said->ret, in->returns, &cause) < 0)
                cause_about(causes_add(problems), CAUSE_INVALID, "ret", "%s", cause.text);
        if (in->said->envelope_id && dsn_envelope_id(in->said->envelope_id, &cause) < 0)
                cause_about(causes_add(problems), CAUSE_INVALID, "envelopeId", "%s", cause.text);
        if (!in->said->notify)
                return;
        if (count != 1 && count != json_array_size(in->said->recipients)) {
                cause_about(causes_add(problems), CAUSE_INVALID, "notify",
                            "%zu items: there must be one for all recipients, or one for each", count);
                return;
        }
        in->notifies = new_zeroed(count, sizeof *in->notifies);
        json_array_foreach(in->said->notify, index, words) {
                const char *text = json_string_value(words);
                if (text[0] && dsn_notify(text, in->notifies[index], &cause) < 0 && problems->count < 20)
                        cause_about(causes_add(problems), CAUSE_INVALID, "notify", "%s", cause.text);
        }
}

/* ORCPT of each recipient (RFC 3461, 4.2), "" where there is none. Twenty problems are enough to be told. */
static void check_originals(const struct submitted *in, struct causes *problems)
{
        size_t index, count = json_array_size(in->said->originals);
        struct cause cause = { 0 };
        json_t *original;

        if (in->said->originals && count != json_array_size(in->said->recipients))
                cause_about(causes_add(problems), CAUSE_INVALID, "originals",
                            "%zu items: there must be one for each recipient", count);
        json_array_foreach(in->said->originals, index, original) {
                const char *text = json_string_value(original);
                if (text[0] && dsn_original(text, &cause) < 0 && problems->count < 20)
                        cause_about(causes_add(problems), CAUSE_INVALID, "originals", "%s", cause.text);
        }
}

/* One item stands for all recipients. NULL: nothing is asked, and the server's own rule holds (RFC 3461,
 * 4.1). */
static const char *notify_of(const struct submitted *in, size_t recipient)
{
        const char *words =
                !in->notifies ? "" : in->notifies[json_array_size(in->said->notify) == 1 ? 0 : recipient];

        return words[0] ? words : NULL;
}

static void submit(struct call *call, const struct submitted *in, int fd, uint8_t *bytes, size_t len,
                   const struct causes *problems)
{
        const struct parameters *said = in->said;
        const struct peer *peer = call_peer(call);
        size_t count = json_array_size(said->recipients);
        scoped(scoped_free) const char **recipients = new_zeroed(count + 1, sizeof *recipients);
        scoped(scoped_free) const char **notify = new_zeroed(count + 1, sizeof *notify);
        scoped(scoped_free) const char **originals = new_zeroed(count + 1, sizeof *originals);

        for (size_t i = 0; i < count; i++) {
                recipients[i] = json_string_value(json_array_get(said->recipients, i));
                notify[i] = notify_of(in, i);
                const char *original = json_string_value(json_array_get(said->originals, i));
                originals[i] = original && original[0] ? original : NULL;
        }
        struct submit_order order = {
                .account = said->account,
                .any_account = permit(peer, PERMIT_ADMIN),
                .from = said->from,
                .author = said->author,
                .recipients = recipients,
                .notify = notify,
                .originals = originals,
                .recipient_count = count,
                .partial = said->partial,
                .ret = in->returns[0] ? in->returns : NULL,
                .envelope_id = said->envelope_id,
                .key = said->key,
                .urgent = same_text(said->priority, "urgent"),
                .held = said->hold,
                .who = call_who(call),
                .owner = peer->uid,
                .in_charge = permit(peer, PERMIT_ADMIN),
                .fd = fd,
                .bytes = bytes,
                .len = len,
                .problems = problems,
        };
        bool waited_for = !call_is_oneway(call); /* else nobody needs to stay for it */
        struct submitting *submitting = submit_mail(&order, was_submitted, call);
        if (submitting && waited_for)
                call_on_cancel(call, give_up, submitting);
}

void on_submit(struct call *call)
{
        struct submitted in = { .said = call_parameters(call) };
        struct causes problems = { 0 };
        uint8_t *bytes = NULL;
        size_t len = 0;
        bool described = in.said->said[PARAMETER_DESCRIPTOR];

        check_words(&in, &problems);
        check_reports(&in, &problems);
        check_originals(&in, &problems);
        if (in.said->message && base64_decode(in.said->message, strlen(in.said->message), &bytes, &len) < 0)
                cause_about(causes_add(&problems), CAUSE_INVALID, "message", "is not base64");
        int fd = described ? call_take_fd(call, (size_t)in.said->descriptor) : -1;
        if (described && fd < 0)
                cause_about(causes_add(&problems), CAUSE_INVALID, "descriptor",
                            "no descriptor of that number came along");
        submit(call, &in, fd, bytes, len, &problems);
        causes_free(&problems);
        free(in.notifies);
}

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
