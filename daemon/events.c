/* SPDX-License-Identifier: MIT */
/* Publish and subscribe of what happens; see events.h. */
#include "daemon/events.h"

#include "common/json_fields.h"
#include "common/times.h"
#include "daemon/loop.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { EVENTS_KEPT = 1000 };

struct subscription {
        void (*hear)(void *ctx, json_t *event);
        void *ctx;
        bool gone; /* unsubscribed while an event was being told */
        struct subscription *next;
};

static struct {
        char *kept[EVENTS_KEPT]; /* ring: the JSON text of event number n, a quarter of its object's size,
                                    lies at n % EVENTS_KEPT */
        uint64_t next;           /* number of the next event */
        uint64_t epoch;          /* tells this run of the daemon from others in a cursor */
        struct subscription *subscriptions;
        unsigned telling;
} events;

void events_open(void)
{
        events.epoch = (uint64_t)loop_wall();
        events.next = 0;
}

static void sweep_gone(void)
{
        struct subscription **at = &events.subscriptions;

        while (*at) {
                struct subscription *one = *at;
                if (one->gone) {
                        *at = one->next;
                        free(one);
                } else {
                        at = &one->next;
                }
        }
}

void events_close(void)
{
        for (struct subscription *one = events.subscriptions; one; one = one->next)
                one->gone = true;
        sweep_gone();
        for (size_t i = 0; i < EVENTS_KEPT; i++) {
                free(take(events.kept[i]));
        }
        events.next = 0;
}

static void keep(const json_t *event)
{
        char **slot = &events.kept[events.next % EVENTS_KEPT];

        free(*slot);
        *slot = json_dumps(event, JSON_COMPACT);
        if (!*slot)
                abort();
        events.next++;
}

json_t *event_new(const char *name, const char *cursor, time_t time, const char *account, json_t *data,
                  const char *text)
{
        json_t *event = json_object();
        char when[32];

        time_rfc3339(time, when);
        json_put_text(event, "cursor", cursor);
        json_put_text(event, "time", when);
        json_put_text(event, "event", name);
        json_put_text(event, "account", account);
        json_put_text(event, "text", text);
        json_put(event, "data", data ? data : json_object());
        return event;
}

char *event_received_text(const char *account, const char *subject)
{
        return text_of("%s received a message: %s", account, subject ? subject : "(no subject)");
}

void event_emit(const char *name, const char *account, json_t *data, const char *format, ...)
{
        char *text = NULL, cursor[48];

        va_list args;
        va_start(args, format);
        if (vasprintf(&text, format, args) < 0)
                abort();
        va_end(args);
        (void)snprintf(cursor, sizeof cursor, "%" PRIx64 ".%" PRIu64, events.epoch, events.next);
        json_t *event = event_new(name, cursor, loop_wall(), account, data, text);
        free(text);
        keep(event);

        events.telling++;
        for (struct subscription *one = events.subscriptions; one; one = one->next)
                if (!one->gone)
                        one->hear(one->ctx, event);
        json_decref(event);
        if (--events.telling == 0)
                sweep_gone();
}

/* The number after the cursor; the oldest kept one when the cursor is of another run or too old. */
static uint64_t number_after(const char *cursor)
{
        uint64_t epoch = 0, number = 0;
        uint64_t oldest = events.next > EVENTS_KEPT ? events.next - EVENTS_KEPT : 0;

        if (sscanf(cursor, "%" SCNx64 ".%" SCNu64, &epoch, &number) != 2 || epoch != events.epoch ||
            number >= events.next || number + 1 < oldest)
                return oldest;
        return number + 1;
}

static void tell_kept(const struct subscription *one, uint64_t number)
{
        json_t *event = json_loads(events.kept[number % EVENTS_KEPT], 0, NULL);

        if (!event)
                abort();
        one->hear(one->ctx, event);
        json_decref(event);
}

struct subscription *events_subscribe(const char *cursor, void (*hear)(void *ctx, json_t *event), void *ctx)
{
        struct subscription *one = new_object(struct subscription);

        *one = (struct subscription){ .hear = hear, .ctx = ctx, .next = events.subscriptions };
        events.subscriptions = one;
        if (cursor)
                for (uint64_t n = number_after(cursor); n < events.next && !one->gone; n++)
                        tell_kept(one, n);
        return one;
}

void events_unsubscribe(struct subscription *subscription)
{
        if (!subscription)
                return;
        subscription->gone = true;
        if (!events.telling)
                sweep_gone();
}
