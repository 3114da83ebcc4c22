/* SPDX-License-Identifier: MIT */
/* Socket methods about the queue. */
#include "common/limits.h"
#include "daemon/accounts/accounts.h"
#include "daemon/control/call.h"
#include "daemon/control/methods.h"
#include "daemon/events.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/outgoing/sender.h"
#include "daemon/service/waiting.h"
#include "daemon/store/queue_table.h"

#include <errno.h>

/* `messages` belongs to the store; what a message waits for is known here alone and is added before it is
 * shown. */
static void queue_listed(void *ctx, json_t *messages, uint64_t next, const struct cause *cause)
{
        struct call *call = ctx;
        size_t index;
        json_t *message;

        if (cause_happened(cause)) {
                call_fail(call, cause);
                return;
        }
        json_t *reply = json_object();
        json_array_foreach(messages, index, message)
                (void)waiting_show(message);
        json_put(reply, "messages", json_incref(messages));
        scoped(scoped_free) char *place = next ? text_of("%llu", (unsigned long long)next) : NULL;
        json_put_text(reply, "next", place);
        call_reply(call, reply);
}

/* The remedy is made from the table of names, so that it cannot miss a state. */
static int no_state(const char *name, struct cause *cause)
{
        char *words = copy_text(queue_state_name((enum queue_state)0));

        for (int state = 1; state < QUEUE_STATES; state++) {
                char *longer = text_of("%s, %s", words, queue_state_name((enum queue_state)state));
                free(words);
                words = longer;
        }
        (void)cause_about(cause, CAUSE_INVALID, "states", "\"%s\" is no state of a message", name);
        cause_remedy(cause, "say one of: %s", words);
        free(words);
        return -1;
}

static int state_bits(const json_t *names, unsigned *out, struct cause *cause)
{
        size_t index;
        json_t *name;

        json_array_foreach((json_t *)names, index, name) {
                int state = 0;
                while (state < QUEUE_STATES &&
                       strcmp(queue_state_name((enum queue_state)state), json_string_value(name)) != 0)
                        state++;
                if (state == QUEUE_STATES)
                        return no_state(json_string_value(name), cause);
                *out |= 1u << state;
        }
        return 0;
}

void on_list_queue(struct call *call)
{
        const struct parameters *in = call_parameters(call);
        unsigned states = 0;
        struct cause cause = { 0 };
        char *end = NULL;

        errno = 0;
        /* A place is an opaque text to clients, since a JSON number does not hold 64 bits everywhere. */
        unsigned long long after = in->after ? strtoull(in->after, &end, 10) : 0;
        if (in->account && !account_named(in->account))
                (void)cause_missing(&cause, MISSING_ACCOUNT, "account", in->account);
        else if (in->after && (errno || !end || *end || end == in->after))
                cause_about(&cause, CAUSE_INVALID, "after", "\"%s\" is no place in the list", in->after);
        else
                (void)state_bits(in->states, &states, &cause);
        if (cause.code)
                call_fail(call, &cause);
        else
                queue_list(in->account, states, after, (size_t)in->queue_limit, queue_listed, call);
}

static void message_shown(void *ctx, json_t *message, const struct cause *cause)
{
        struct call *call = ctx;

        if (cause_happened(cause)) {
                call_fail(call, cause);
                return;
        }
        json_t *reply = json_object();
        (void)waiting_show(message);
        json_put(reply, "message", json_incref(message));
        call_reply(call, reply);
}

void on_get_message(struct call *call)
{
        queue_get(call_parameters(call)->id, message_shown, call);
}

/* ---- changes ---- */

struct changing {
        struct call *call;
        const char *words; /* for the journal */
        enum audit_trail_action action;
        bool now;   /* a person wants it tried: an account that is down does not wait its time out */
        bool tells; /* the answer names those that wait all the same */
};

/* One record for all of them: how many, and which the first ones are. */
static void audit_changed(const struct changing *changing, const json_t *changed)
{
        size_t index, count = json_array_size(changed);
        const char *account = json_string_value(json_object_get(json_array_get(changed, 0), "account"));
        json_t *one, *data = json_object(), *ids = json_array();

        json_array_foreach((json_t *)changed, index, one) {
                const char *id = json_string_value(json_object_get(one, "id"));
                if (!same_text(account, json_string_value(json_object_get(one, "account"))))
                        account = NULL;
                (void)json_array_append_new(ids, json_string(id));
        }
        scoped(scoped_free) char *object = text_of("%zu message%s%s%s", count, count == 1 ? "" : "s",
                                                   account ? " of account " : "", account ? account : "");
        scoped(scoped_free) char *details = audit_trail_ids(ids);
        json_put(data, "count", json_integer((json_int_t)count));
        if (count)
                audit(changing->call, &(struct trail){ .action = changing->action,
                                                       .about = { .account = account },
                                                       .object = object,
                                                       .details = details,
                                                       .data = json_incref(data) });
        else
                audit_nothing(changing->call);
        json_decref(ids);
        json_decref(data);
}

/* Where a person's word does not help: a disabled account, a day's number that is full. */
static void add_waiting(json_t *list, const char *id, const struct account *account)
{
        struct waiting waiting;

        if (!waiting_all_the_same(account, &waiting))
                return;
        waiting.messages = 1;
        json_t *one = json_object();
        json_put_text(one, "id", id);
        json_put(one, "waitingFor", waiting_json(&waiting));
        (void)json_array_append_new(list, one);
}

/* After the commit: what is in `changed` is so on disk. An account may have been deleted meanwhile; then
 * its messages are told and nobody is woken. */
static void queue_changed(void *ctx, json_t *changed, const struct cause *cause)
{
        struct changing *changing = ctx;
        json_t *ids = json_array(), *waiting = json_array(), *one;
        size_t index;

        if (cause_happened(cause)) {
                json_decref(ids);
                json_decref(waiting);
                call_fail(changing->call, cause);
                free(changing);
                return;
        }
        audit_changed(changing, changed);
        json_array_foreach(changed, index, one) {
                const char *id = json_string_value(json_object_get(one, "id"));
                const char *name = json_string_value(json_object_get(one, "account"));
                struct account *account = account_named(name);
                struct subject subject = { .account = name, .queue_id = id };
                log_about(&subject, LOG_INFO, NULL, "%s: %s by %s", id, changing->words,
                          call_actor(changing->call));
                json_t *data = json_object();
                json_put_text(data, "id", id);
                event_emit(EVENT_QUEUE_CHANGED, name, data, "%s: %s", id, changing->words);
                if (account && account->sender && changing->now)
                        sender_try_now(account->sender);
                else if (account && account->sender)
                        sender_kick(account->sender);
                if (changing->tells)
                        add_waiting(waiting, id, account);
                (void)json_array_append_new(ids, json_string(id));
        }
        json_t *reply = json_object();
        json_put(reply, "ids", ids);
        if (changing->tells)
                json_put(reply, "waiting", waiting);
        else
                json_decref(waiting);
        call_reply(changing->call, reply);
        free(changing);
        manager_status_changed();
}

/* max_queue: of QUEUE_REROUTE, how many may wait at the account that the call names. */
static void begin_change(struct call *call, enum queue_change what, const char *words, size_t max_queue)
{
        static const enum audit_trail_action actions[] = {
                [QUEUE_RETRY] = TRAIL_QUEUE_RETRIED,    [QUEUE_HOLD] = TRAIL_QUEUE_HELD,
                [QUEUE_RELEASE] = TRAIL_QUEUE_RELEASED, [QUEUE_DELETE] = TRAIL_QUEUE_DELETED,
                [QUEUE_REROUTE] = TRAIL_QUEUE_REROUTED,
        };
        const struct parameters *in = call_parameters(call);
        size_t count = json_array_size(in->ids);
        const char **ids = new_zeroed(count, sizeof *ids);
        struct changing *changing = new_object(struct changing);

        for (size_t i = 0; i < count; i++)
                ids[i] = json_string_value(json_array_get(in->ids, i));
        *changing = (struct changing){
                .call = call,
                .words = words,
                .now = what == QUEUE_RETRY || what == QUEUE_RELEASE,
                .action = actions[what],
                .tells = what == QUEUE_RETRY || what == QUEUE_RELEASE || what == QUEUE_REROUTE,
        };
        queue_change(what, ids, count, in->account, max_queue, queue_changed, changing);
        free(ids);
}

void on_retry_messages(struct call *call)
{
        begin_change(call, QUEUE_RETRY, "tried again", 0);
}

void on_hold_messages(struct call *call)
{
        begin_change(call, QUEUE_HOLD, "held", 0);
}

void on_release_messages(struct call *call)
{
        begin_change(call, QUEUE_RELEASE, "released", 0);
}

void on_delete_messages(struct call *call)
{
        begin_change(call, QUEUE_DELETE, "deleted", 0);
}

/* Whether the account takes mail is asked before anything is moved; whether there is room for all of them
 * is the store's to say, in the transaction that moves them. */
void on_reroute_messages(struct call *call)
{
        const char *name = call_parameters(call)->account;
        const struct account *account = account_named(name);
        size_t max_queue = 0;
        struct cause cause = { 0 };

        if (!account)
                (void)cause_missing(&cause, MISSING_ACCOUNT, "account", name);
        else if (account_takes_mail(account, &cause) == 0)
                max_queue = (size_t)prop_number(&account->values, PROP_MAX_QUEUE_SIZE);
        if (cause.code)
                call_fail(call, &cause);
        else
                begin_change(call, QUEUE_REROUTE, "moved to another account", max_queue);
}

/* ---- flush ---- */

struct flushing {
        struct call *call;
        char *account;
};

/* Also with a count of 0: the account starts over all the same, because somebody asked for it. */
static void audit_flushed(const struct flushing *flushing, size_t count)
{
        scoped(scoped_free) char *object =
                text_of("%zu message%s of account %s", count, count == 1 ? "" : "s", flushing->account);
        json_t *data = json_object();

        json_put(data, "count", json_integer((json_int_t)count));
        audit(flushing->call, &(struct trail){ .action = TRAIL_QUEUE_FLUSHED,
                                               .about = { .account = flushing->account },
                                               .object = object,
                                               .data = data });
}

/* `count` are those that were made due; `messages` are all that wait at the account, also those that were
 * due already. The account may have gone while the store was at work. */
static void flushed(void *ctx, size_t count, const struct cause *cause)
{
        struct flushing *flushing = ctx;
        struct account *account = account_named(flushing->account);

        if (cause_happened(cause)) {
                call_fail(flushing->call, cause);
        } else {
                json_t *reply = json_object();
                json_put(reply, "count", json_integer((json_int_t)count));
                audit_flushed(flushing, count);
                if (account && account->sender) {
                        struct waiting waiting;
                        struct queue_counts counts = queue_counts(account->name);
                        uint64_t messages = counts.messages[QUEUE_QUEUED] + counts.messages[QUEUE_SENDING] +
                                            counts.messages[QUEUE_DEFERRED] +
                                            counts.messages[QUEUE_AMBIGUOUS];
                        if (!sender_waits_for_place(account->sender)) /* it would lose its turn */
                                sender_start_over(account->sender, 0);
                        bool waits = waiting_all_the_same(account, &waiting);
                        json_put(reply, "messages", json_integer((json_int_t)messages));
                        json_put(reply, "waitingFor", waits ? waiting_json(&waiting) : json_null());
                }
                call_reply(flushing->call, reply);
        }
        free(flushing->account);
        free(flushing);
}

void on_flush_queue(struct call *call)
{
        const char *name = call_parameters(call)->name;
        const struct account *account = account_named(name);
        struct cause cause;

        if (!account || !account->sender) {
                (void)cause_missing(&cause, MISSING_OUTGOING, "name", name);
                call_fail(call, &cause);
                return;
        }
        struct flushing *flushing = new_object(struct flushing);
        *flushing = (struct flushing){ .call = call, .account = copy_text(name) };
        queue_due_now(name, flushed, flushing);
}
