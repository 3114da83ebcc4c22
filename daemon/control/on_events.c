/* SPDX-License-Identifier: MIT */
/* Socket methods about events: Monitor, and the named subscribers of received mail. */
#include "common/names.h"
#include "daemon/control/call.h"
#include "daemon/control/methods.h"
#include "daemon/events.h"
#include "daemon/incoming/subscribers.h"

#include <errno.h>

/* ---- events as they happen ---- */

struct monitor {
        struct call *call;
        struct subscription *subscription;
        json_t *events, *accounts; /* borrowed from the call's parameters; NULL: all */
};

/* `beginning`: a word stands for all names that begin with it, so that "account." hears of every event of
 * accounts. An event without an account is no match for a list of accounts. */
static bool wanted(const json_t *list, const char *name, bool beginning)
{
        size_t index;
        json_t *item;

        if (!list)
                return true;
        json_array_foreach((json_t *)list, index, item) {
                const char *word = json_string_value(item);
                if (name &&
                    (strcmp(word, name) == 0 || (beginning && strncmp(name, word, strlen(word)) == 0)))
                        return true;
        }
        return false;
}

/* The JSON of an event is made once and shared by all who hear it. */
static void hear(void *ctx, struct event *event)
{
        struct monitor *monitor = ctx;

        if (!wanted(monitor->events, event_name(event), true) ||
            !wanted(monitor->accounts, event_account(event), false))
                return;
        json_t *reply = json_object();
        json_put(reply, "event", json_incref(event_json(event)));
        call_reply_part(monitor->call, reply);
}

/* Called when the client goes, in any way: a monitor has no other end. */
static void stop_monitor(void *work)
{
        struct monitor *monitor = work;

        events_unsubscribe(monitor->subscription);
        free(monitor);
}

/* The first reply of a stream has no event. */
static void tell_standing(struct call *call)
{
        json_t *first = json_object();

        json_put(first, "event", json_null());
        call_reply_part(call, first);
}

/* ---- a named subscriber ---- */

struct subscribed {
        struct call *call;
        struct stream *stream;
};

static void stream_began(void *ctx)
{
        const struct subscribed *subscribed = ctx;

        tell_standing(subscribed->call);
}

static void stream_heard(void *ctx, json_t *event)
{
        const struct subscribed *subscribed = ctx;
        json_t *reply = json_object();

        json_put(reply, "event", json_incref(event));
        call_reply_part(subscribed->call, reply);
}

/* The stream is gone when this is called, and closes nothing any more. */
static void stream_ended(void *ctx, const struct cause *why)
{
        struct subscribed *subscribed = ctx;

        call_fail(subscribed->call, why);
        free(subscribed);
}

static const struct stream_user stream_user = { stream_began, stream_heard, stream_ended };

static void stop_stream(void *work)
{
        struct subscribed *subscribed = work;

        stream_close(subscribed->stream);
        free(subscribed);
}

static struct subscriber_asker asker_of(const struct call *call)
{
        const struct peer *peer = call_peer(call);

        return (struct subscriber_asker){ .uid = peer->uid, .admin = permit(peer, PERMIT_ADMIN) };
}

/* ---- the methods ---- */

/* Answers the call with all that is wrong. A named subscriber has its place on disk, so what would choose
 * another place contradicts it. */
static bool refused(struct call *call, const struct parameters *in)
{
        struct causes problems = { 0 };

        if (in->subscriber && !account_name_valid(in->subscriber))
                cause_about(causes_add(&problems), CAUSE_INVALID, "subscriber",
                            "\"%s\" is no name: letters, digits, . _ - and at most 64 of them",
                            in->subscriber);
        if (in->subscriber && in->events)
                cause_about(causes_add(&problems), CAUSE_INVALID, "events",
                            "a named subscriber hears of received mail only");
        if (in->subscriber && in->since)
                cause_about(causes_add(&problems), CAUSE_INVALID, "since",
                            "a named subscriber goes on after what it has acknowledged");
        if (problems.count)
                call_fail_problems(call, &problems);
        bool bad = problems.count > 0;
        causes_free(&problems);
        return bad;
}

static void monitor_named(struct call *call, const struct parameters *in)
{
        struct subscribed *subscribed = new_object(struct subscribed);
        struct subscriber_asker asker = asker_of(call);

        subscribed->call = call;
        call_on_cancel(call, stop_stream, subscribed);
        subscribed->stream = stream_open(in->subscriber, &asker, in->accounts, &stream_user, subscribed);
}

void on_monitor(struct call *call)
{
        const struct parameters *in = call_parameters(call);

        if (refused(call, in))
                return;
        if (in->subscriber) {
                monitor_named(call, in);
                return;
        }
        struct monitor *monitor = new_object(struct monitor);
        *monitor = (struct monitor){ .call = call, .events = in->events, .accounts = in->accounts };
        tell_standing(call);
        call_on_cancel(call, stop_monitor, monitor);
        monitor->subscription = events_subscribe(in->since, hear, monitor);
}

/* A call about one subscriber that is answered when it is on disk. */
struct settling {
        struct call *call;
        char *name;
        int64_t seq;
        void (*settled)(const struct settling *settling);
};

static void settled(void *ctx, const struct cause *cause)
{
        struct settling *settling = ctx;

        if (cause_happened(cause)) {
                call_fail(settling->call, cause);
        } else {
                settling->settled(settling);
                call_reply(settling->call, NULL);
        }
        free(settling->name);
        free(settling);
}

static struct settling *settling_new(struct call *call, const char *name,
                                     void (*when_settled)(const struct settling *settling))
{
        struct settling *settling = new_object(struct settling);

        *settling = (struct settling){ .call = call, .name = copy_text(name), .settled = when_settled };
        return settling;
}

/* Only now, from disk on, may the stream send more: what is acknowledged is never sent again, also after a
 * kill -9. */
static void tell_acknowledged(const struct settling *settling)
{
        streams_acknowledged(settling->name, settling->seq);
}

/* A cursor is a number as the event had it: no sign, no blank, no leading zero. */
void on_acknowledge(struct call *call)
{
        const struct parameters *in = call_parameters(call);
        struct subscriber_asker asker = asker_of(call);
        struct cause cause;
        char *end;

        errno = 0;
        long long seq = strtoll(in->cursor, &end, 10);
        if (in->cursor[0] < '1' || in->cursor[0] > '9' || *end || errno) {
                cause_about(&cause, CAUSE_INVALID, "cursor",
                            "\"%s\" is no cursor of a named subscriber's event", in->cursor);
                call_fail(call, &cause);
                return;
        }
        struct settling *settling = settling_new(call, in->subscriber, tell_acknowledged);
        settling->seq = seq;
        subscriber_acknowledge(in->subscriber, &asker, seq, settled, settling);
}

/* The store knows the subscribers, and this process who is connected. */
static void listed(void *ctx, json_t *subscribers, const struct cause *cause)
{
        struct call *call = ctx;

        if (cause_happened(cause)) {
                call_fail(call, cause);
                return;
        }
        json_t *reply = json_object();
        size_t index;
        json_t *one;
        json_array_foreach(subscribers, index, one)
                json_put(one, "connected",
                         json_boolean(stream_is_open(json_string_value(json_object_get(one, "name")))));
        json_put(reply, "subscribers", json_incref(subscribers));
        call_reply(call, reply);
}

void on_list_subscribers(struct call *call)
{
        subscribers_list(listed, call);
}

static void tell_forgotten(const struct settling *settling)
{
        scoped(scoped_free) char *object = text_of("subscriber %s", settling->name);

        streams_forgotten(settling->name);
        audit(settling->call, &(struct trail){ .action = TRAIL_SUBSCRIBER_FORGOTTEN, .object = object });
}

void on_forget_subscriber(struct call *call)
{
        const char *name = call_parameters(call)->name;
        struct subscriber_asker asker = asker_of(call);

        subscriber_forget(name, &asker, settled, settling_new(call, name, tell_forgotten));
}
