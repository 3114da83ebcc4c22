/* SPDX-License-Identifier: MIT */
/*
 * Streams of named subscribers and the station's view of all of them; see subscribers.h.
 *
 * A stream reads offers from disk and never holds mail events of its own: what is told and not acknowledged
 * stays on disk, so that a stream can break at any point and the next one of that name begins behind the last
 * acknowledgement. At most LIMIT_UNACKNOWLEDGED are told ahead; acknowledging makes room. Loop only; a stream
 * that was closed lives until its last answer from the disk has come (`answers`).
 */
#include "daemon/incoming/subscribers.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/events.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"

#include <inttypes.h>
#include <stdio.h>

struct stream {
        char *name;
        const struct stream_user *user;
        void *ctx;
        bool opened, reading, more; /* more: something may lie behind `last` */
        bool closed;                /* freed when its last answer has come */
        unsigned answers;
        int64_t last; /* event told last */
        int64_t told[LIMIT_UNACKNOWLEDGED];
        size_t told_count; /* of them not acknowledged, in order */
        struct stream *next;
};

static struct {
        struct stream *streams;
        struct subscription *events; /* mail.received says that there is something to read */
        json_t *known;               /* as the disk had them last */
        bool looking, again;
} subscribers;

static void free_stream(void *ctx)
{
        struct stream *stream = ctx;

        free(stream->name);
        free(stream);
}

static void unlink_stream(const struct stream *stream)
{
        for (struct stream **at = &subscribers.streams; *at; at = &(*at)->next)
                if (*at == stream) {
                        *at = stream->next;
                        return;
                }
}

void stream_close(struct stream *stream)
{
        if (!stream || stream->closed)
                return;
        stream->closed = true;
        unlink_stream(stream);
        if (!stream->answers)
                loop_later(free_stream, stream);
}

static void end_stream(struct stream *stream, const struct cause *why)
{
        if (stream->closed)
                return;
        stream_close(stream);
        stream->user->ended(stream->ctx, why);
}

/* At the end of each answer: true when the stream is still wanted. */
static bool answered(struct stream *stream)
{
        stream->answers--;
        if (stream->closed && !stream->answers)
                loop_later(free_stream, stream);
        return !stream->closed;
}

static struct stream *stream_named(const char *name)
{
        for (struct stream *stream = subscribers.streams; stream; stream = stream->next)
                if (strcmp(stream->name, name) == 0)
                        return stream;
        return NULL;
}

/* ---- telling ---- */

static json_t *event_of(const json_t *offer)
{
        const char *account = json_string_value(json_object_get(offer, "account"));
        json_t *data = json_object_get(offer, "data");
        const char *subject = json_string_value(json_object_get(data, "subject"));
        char cursor[24];

        (void)snprintf(cursor, sizeof cursor, "%" JSON_INTEGER_FORMAT,
                       json_integer_value(json_object_get(offer, "seq")));
        scoped(scoped_free) char *text =
                account ? event_received_text(account, subject)
                        : text_of("%" JSON_INTEGER_FORMAT
                                  " events were dropped, since they were not acknowledged in time: "
                                  "look through the inboxes",
                                  json_integer_value(json_object_get(data, "missed")));
        return event_new(account ? EVENT_MAIL_RECEIVED : EVENT_MAIL_MISSED, cursor,
                         (time_t)json_integer_value(json_object_get(offer, "time")), account,
                         json_incref(data), text);
}

static void read_on(struct stream *stream);

/* The user may close the stream in hear(): looked at before each one. */
static void offers_read(void *ctx, json_t *offers, const struct cause *cause)
{
        struct stream *stream = ctx;
        size_t index;
        json_t *offer;

        stream->reading = false;
        if (cause_happened(cause))
                end_stream(stream, cause);
        json_array_foreach(offers, index, offer) {
                if (stream->closed || stream->told_count == LIMIT_UNACKNOWLEDGED)
                        break;
                stream->last = json_integer_value(json_object_get(offer, "seq"));
                stream->told[stream->told_count++] = stream->last;
                json_t *event = event_of(offer);
                stream->user->hear(stream->ctx, event);
                json_decref(event);
        }
        if (answered(stream) && stream->more)
                read_on(stream);
}

/* `more` remembers that there may be something, while a read is under way or too much is unacknowledged. */
static void read_on(struct stream *stream)
{
        stream->more = true;
        if (!stream->opened || stream->reading || stream->told_count == LIMIT_UNACKNOWLEDGED)
                return;
        stream->more = false;
        stream->reading = true;
        stream->answers++;
        subscriber_offers(stream->name, stream->last, LIMIT_UNACKNOWLEDGED - stream->told_count, offers_read,
                          stream);
}

/* ---- all of them, as the disk has them ---- */

static json_int_t number_in(const json_t *object, const char *name)
{
        return json_integer_value(json_object_get(object, name));
}

static const char *name_in(const json_t *object)
{
        return json_string_value(json_object_get(object, "name"));
}

static const json_t *known_named(const char *name)
{
        size_t index;
        json_t *one;

        json_array_foreach(subscribers.known, index, one)
                if (strcmp(name_in(one), name) == 0)
                        return one;
        return NULL;
}

/* Told once, when it begins; status tells it for as long as it lasts. */
static void tell_missed(const json_t *one)
{
        const json_t *before = known_named(name_in(one));
        json_int_t missed = number_in(one, "missed");
        struct cause cause = { 0 };
        struct subject subject = { .cause = &cause };

        if (!missed || (before && number_in(before, "missed")))
                return;
        cause_set(&cause, CAUSE_STATE, "the subscriber %s does not acknowledge its events", name_in(one));
        cause_remedy(&cause, "start the program, or: emailsecctl subscriber forget %s", name_in(one));
        log_about(&subject, LOG_WARNING, MSG_SUBSCRIBER_MISSED,
                  "%s: the oldest were dropped (at most %d are kept, for %d days); the mail itself is in the "
                  "inboxes",
                  cause.text, LIMIT_OFFERED, LIMIT_OFFERED_DAYS);
        json_t *data = json_object();
        json_put_text(data, "name", name_in(one));
        event_emit(EVENT_SUBSCRIBER_MISSED, NULL, data, "%s: the oldest were dropped", cause.text);
}

static void look(void);

static void looked(void *ctx unused_arg, json_t *known, const struct cause *cause)
{
        size_t index;
        json_t *one;

        subscribers.looking = false;
        if (!cause_happened(cause)) {
                json_array_foreach(known, index, one)
                        tell_missed(one);
                json_decref(subscribers.known);
                subscribers.known = json_incref(known);
        }
        if (subscribers.again)
                look();
}

static void look(void)
{
        subscribers.again = subscribers.looking;
        if (subscribers.looking)
                return;
        subscribers.looking = true;
        subscribers_list(looked, NULL);
}

static void wrote(void *ctx unused_arg, const struct cause *cause unused_arg)
{
        look(); /* a failure is told by the store */
}

void subscribers_look_at_time(void)
{
        subscribers_sweep(wrote, NULL);
}

static void hear_event(void *ctx unused_arg, struct event *event)
{
        if (event_kind(event) != EVENT_MAIL_RECEIVED)
                return;
        for (struct stream *stream = subscribers.streams; stream; stream = stream->next)
                read_on(stream);
        if (json_array_size(subscribers.known))
                look();
}

void subscribers_open(void)
{
        subscribers.events = events_subscribe(NULL, hear_event, NULL);
        look();
}

void subscribers_close(void)
{
        events_unsubscribe(take(subscribers.events));
        json_decref(take(subscribers.known));
        subscribers.looking = subscribers.again = false;
}

/* One that is connected, or has nothing waiting, is no trouble. */
static char *trouble_of(const json_t *one)
{
        json_int_t missed = number_in(one, "missed"), pending = number_in(one, "pending");

        if (missed)
                return text_of("the subscriber %s missed %lld events, which were dropped unacknowledged",
                               name_in(one), (long long)missed);
        if (pending > LIMIT_OFFERED / 2 && !stream_named(name_in(one)))
                return text_of("%lld events wait for the subscriber %s, which was last seen %s; at %d the "
                               "oldest are dropped",
                               (long long)pending, name_in(one),
                               json_string_value(json_object_get(one, "seen")), LIMIT_OFFERED);
        return NULL;
}

void subscribers_advise(void (*advise)(void *ctx, const char *sentence), void *ctx)
{
        size_t index;
        json_t *one;

        json_array_foreach(subscribers.known, index, one) {
                scoped(scoped_free) char *trouble = trouble_of(one);
                scoped(scoped_free) char *sentence =
                        trouble ? text_of("%s: start its program, or: emailsecctl subscriber forget %s",
                                          trouble, name_in(one))
                                : NULL;
                if (sentence)
                        advise(ctx, sentence);
        }
}

/* ---- streams ---- */

static void opened(void *ctx, const struct cause *cause)
{
        struct stream *stream = ctx;

        look();
        if (cause_happened(cause)) {
                end_stream(stream, cause);
        } else if (!stream->closed) {
                stream->opened = true;
                stream->user->began(stream->ctx);
        }
        if (answered(stream))
                read_on(stream);
}

static void refuse_second(void *ctx)
{
        struct stream *stream = ctx;
        struct cause cause;

        cause_set(&cause, CAUSE_BUSY, "the subscriber %s is connected already", stream->name);
        cause_remedy(&cause, "end the other program, or choose another name");
        end_stream(stream, &cause);
        (void)answered(stream);
}

struct stream *stream_open(const char *name, const struct subscriber_asker *asker, const json_t *accounts,
                           const struct stream_user *user, void *ctx)
{
        struct stream *stream = new_object(struct stream);

        *stream = (struct stream){ .name = copy_text(name), .user = user, .ctx = ctx, .answers = 1 };
        if (stream_named(name)) {
                loop_later(refuse_second, stream);
                return stream;
        }
        stream->next = subscribers.streams;
        subscribers.streams = stream;
        subscriber_open(name, asker, accounts, opened, stream);
        return stream;
}

bool stream_is_open(const char *name)
{
        return stream_named(name) != NULL;
}

void streams_acknowledged(const char *name, int64_t seq)
{
        struct stream *stream = stream_named(name);
        size_t done = 0;

        look();
        if (!stream)
                return;
        while (done < stream->told_count && stream->told[done] <= seq)
                done++;
        stream->told_count -= done;
        memmove(stream->told, stream->told + done, stream->told_count * sizeof *stream->told);
        if (done)
                read_on(stream);
}

void streams_forgotten(const char *name)
{
        struct stream *stream = stream_named(name);
        struct cause cause;

        look();
        if (!stream)
                return;
        cause_set(&cause, CAUSE_NOT_FOUND, "the subscriber %s was forgotten", name);
        end_stream(stream, &cause);
}
