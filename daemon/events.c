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

/*
 * THE table of events: the name, and the data beside it as the contract has it (after "# event NAME" in
 * common/io.emailsec.EmailService.varlink, which a test holds against this). Everybody else says the kind.
 */
static const struct event_form {
        const char *name, *data;
} event_forms[EVENT_KINDS] = {
        [EVENT_MAIL_RECEIVED] = { "mail.received", "InboxMessage" },
        [EVENT_MAIL_LEFT] = { "mail.left", "(file: ?string, size: int, uid: int, folder: string)" },
        [EVENT_MAIL_MISSING] = { "mail.missing",
                                 "(folder: string, uid: ?int, uidl: ?string, size: ?int, cause: string)" },
        [EVENT_MAIL_MISSING_OVER] = { "mail.missingOver",
                                      "(folder: string, uid: ?int, uidl: ?string, size: ?int, came: bool)" },
        [EVENT_MAIL_MISSED] = { "mail.missed", "(missed: int, since: ?string)" },
        [EVENT_MAIL_HANDED_BACK] = { "mail.handedBack",
                                     "(socket: ?string, command: ?string, reply: string)" },
        [EVENT_MAIL_DELETED] = { "mail.deleted", "(count: int)" },
        [EVENT_MAIL_QUEUED] = { "mail.queued", "(id: string, submittedBy: string, recipients: int)" },
        [EVENT_MAIL_SENT] = { "mail.sent", "MailOutcome" },
        [EVENT_MAIL_DEFERRED] = { "mail.deferred", "MailOutcome" },
        [EVENT_MAIL_FAILED] = { "mail.failed", "MailOutcome" },
        [EVENT_MAIL_GATHERED] = { "mail.gathered", "(id: string, recipient: string, ids: []string)" },
        [EVENT_QUEUE_CHANGED] = { "queue.changed", "(id: ?string, messages: ?int)" },
        [EVENT_ACCOUNT_STATUS] = { "account.status", "(status: string, cause: ?Cause, challenge: ?string)" },
        [EVENT_ACCOUNT_FOLDER] = { "account.folder", "(folder: string, cause: ?Cause)" },
        [EVENT_ACCOUNT_ADDED] = { "account.added", "()" },
        [EVENT_ACCOUNT_CHANGED] = { "account.changed", "()" },
        [EVENT_ACCOUNT_DELETED] = { "account.deleted", "()" },
        [EVENT_ACCOUNT_WAITING] = { "account.waiting",
                                    "(reason: ?string, until: ?string, text: ?string, messages: ?int)" },
        [EVENT_ACCOUNT_SIGNIN_WEAKER] = { "account.signinWeaker", "()" },
        [EVENT_CHALLENGE_RAISED] = { "challenge.raised", "HostDecision" },
        [EVENT_CHALLENGE_ENDED] = { "challenge.ended", "HostDecision" },
        [EVENT_CHALLENGE_FLOOD] = { "challenge.flood", "HostDecision" },
        [EVENT_ALLOWED_APPROVED] = { "allowed.approved", "HostDecision" },
        [EVENT_ALLOWED_REJECTED] = { "allowed.rejected", "HostDecision" },
        [EVENT_ALLOWED_UNAPPROVED] = { "allowed.unapproved", "HostDecision" },
        [EVENT_ALLOWED_DELETED] = { "allowed.deleted", "HostDecision" },
        [EVENT_ALLOWED_NEEDLESS] = { "allowed.needless", "HostDecision" },
        [EVENT_ALLOWED_EXPIRED] = { "allowed.expired", "HostDecision" },
        [EVENT_ALLOWED_ENDS] = { "allowed.ends", "(id: string, host: string, port: int, expires: string)" },
        [EVENT_CERTIFICATE_EXPIRES] = { "certificate.expires", "(host: string, port: int, fingerprintSha256: "
                                                               "string, notAfter: string)" },
        [EVENT_TRUST_IMPORTED] = { "trust.imported", "(fingerprintSha256: string, subject: string)" },
        [EVENT_TRUST_DELETED] = { "trust.deleted", "(fingerprintSha256: string, subject: string)" },
        [EVENT_TRUST_RELOADED] = { "trust.reloaded", "()" },
        [EVENT_KEY_IMPORTED] = { "key.imported", "(name: string, fingerprintSha256: ?string)" },
        [EVENT_KEY_DELETED] = { "key.deleted", "(name: string, fingerprintSha256: ?string)" },
        [EVENT_SUBSCRIBER_MISSED] = { "subscriber.missed", "(name: string)" },
        [EVENT_STATION_RELOADED] = { "station.reloaded", "()" },
        [EVENT_STATION_ENDING] = { "station.ending", "()" },
        [EVENT_HEARTBEAT_SENT] = { "heartbeat.sent", "(to: string, id: string, sent: string)" },
        [EVENT_HEARTBEAT_ARRIVED] = { "heartbeat.arrived", "(to: string, id: string, sent: string, incoming: "
                                                           "string, seconds: int)" },
        [EVENT_HEARTBEAT_MISSING] = { "heartbeat.missing",
                                      "(to: string, id: ?string, sent: ?string, cause: Cause)" },
        [EVENT_AUDIT_RECORDED] = { "audit.recorded", "(action: string, who: string, uid: ?string, loginUid: "
                                                     "?string, differences: ?[]object, unsent: ?int, secret: "
                                                     "?string, credential: ?string, count: ?int, id: "
                                                     "?string, host: ?string, port: ?int, secrets: ?bool)" },
};

struct event {
        enum event_kind kind;
        const char *account; /* of who emits, then of `json`; by a recipe: `own` */
        char *own;
        uint64_t number;
        time_t time;
        const struct event_recipe *recipe; /* NULL: `text` or `json` is there */
        void *of;
        char *text; /* the JSON text: a quarter of its object's size */
        json_t *json;
};

/* The newest stands first, so one that is made while an event is told does not hear that event. */
struct subscription {
        void (*hear)(void *ctx, struct event *event);
        void *ctx;
        bool gone; /* unsubscribed while an event was being told */
        struct subscription *next;
};

static struct {
        struct event *kept[EVENTS_KEPT]; /* ring: event number n lies at n % EVENTS_KEPT */
        uint64_t next;                   /* number of the next event */
        uint64_t epoch;                  /* tells this run of the daemon from others in a cursor */
        struct subscription *subscriptions;
        unsigned telling;
} events;

/* A cursor of an earlier run has another epoch; its subscriber is given all that is kept. */
void events_open(void)
{
        events.epoch = (uint64_t)loop_wall();
        events.next = 0;
}

/* Only while nothing is told: tell() stands on an element of the list. */
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

static void event_free(struct event *event)
{
        if (!event)
                return;
        free(event->own);
        free(event->of);
        free(event->text);
        json_decref(event->json);
        free(event);
}

void events_close(void)
{
        for (struct subscription *one = events.subscriptions; one; one = one->next)
                one->gone = true;
        sweep_gone();
        for (size_t i = 0; i < EVENTS_KEPT; i++) {
                event_free(take(events.kept[i]));
        }
        events.next = 0;
}

json_t *event_new(enum event_kind kind, const char *cursor, time_t time, const char *account, json_t *data,
                  const char *text)
{
        json_t *event = json_object();
        char when[32];

        time_rfc3339(time, when);
        json_put_text(event, "cursor", cursor);
        json_put_text(event, "time", when);
        json_put_text(event, "event", event_forms[kind].name);
        json_put_text(event, "account", account);
        json_put_text(event, "text", text);
        json_put(event, "data", data ? data : json_object());
        return event;
}

char *event_received_text(const char *account, const char *subject)
{
        return text_of("%s received a message: %s", account, subject ? subject : "(no subject)");
}

/* A cursor is the epoch in hexadecimal, a dot and the number; to programs it is opaque. */
static json_t *made(const struct event *event, json_t *data, const char *text)
{
        char cursor[48];

        (void)snprintf(cursor, sizeof cursor, "%" PRIx64 ".%" PRIu64, events.epoch, event->number);
        return event_new(event->kind, cursor, event->time, event->account, data, text);
}

enum event_kind event_kind(const struct event *event)
{
        return event->kind;
}

const char *event_name(const struct event *event)
{
        return event_forms[event->kind].name;
}

const char *event_account(const struct event *event)
{
        return event->account;
}

/* What is parsed here was written by event_emit(), so a failure is want of memory. */
json_t *event_json(struct event *event)
{
        if (event->json)
                return event->json;
        if (event->text) {
                /* The account is borrowed from the object, and gone with it: see told(). */
                event->json = json_loads(event->text, 0, NULL);
                event->account = json_string_value(json_object_get(event->json, "account"));
        } else {
                scoped(scoped_free) char *text = event->recipe->text(event->of);
                event->json = made(event, event->recipe->data(event->of), text);
        }
        if (!event->json)
                abort();
        return event->json;
}

/* What is not kept is borrowed, or easily made again. */
static void told(struct event *event)
{
        json_decref(take(event->json));
        if (event->text)
                event->account = NULL;
}

/* On the loop. Subscribers may emit, subscribe and unsubscribe in `hear`; `telling` counts how deep that
 * goes. */
static void tell(struct event *event)
{
        events.telling++;
        for (struct subscription *one = events.subscriptions; one; one = one->next)
                if (!one->gone)
                        one->hear(one->ctx, event);
        if (--events.telling == 0)
                sweep_gone();
        told(event);
}

/* A subscriber may emit another one meanwhile. */
static void tell_and_keep(struct event *event)
{
        struct event **slot = &events.kept[event->number % EVENTS_KEPT];

        tell(event);
        event_free(*slot);
        *slot = event;
}

static struct event *next_event(enum event_kind kind, const char *account)
{
        struct event *event = new_object(struct event);

        *event = (struct event){
                .kind = kind, .account = account, .number = events.next++, .time = loop_wall()
        };
        return event;
}

void event_emit(enum event_kind kind, const char *account, json_t *data, const char *format, ...)
{
        struct event *event = next_event(kind, account);
        va_list args;

        va_start(args, format);
        scoped(scoped_free) char *text = text_of_list(format, args);
        va_end(args);
        /* The object is there for those who hear it now; for later ones the text is kept. */
        event->json = made(event, data, text);
        event->text = json_dumps(event->json, JSON_COMPACT);
        if (!event->text)
                abort();
        tell_and_keep(event);
}

void event_emit_of(enum event_kind kind, const char *account, const struct event_recipe *recipe, void *of)
{
        struct event *event = next_event(kind, NULL);

        /* The caller's name may be gone when the recipe is used at a later time. */
        event->account = event->own = copy_text(account);
        event->recipe = recipe;
        event->of = of;
        tell_and_keep(event);
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
        struct event *event = events.kept[number % EVENTS_KEPT];

        if (!event || event->number != number) /* it is being told */
                return;
        /* Kept events have no object; it is made for this one subscriber and dropped again. */
        (void)event_json(event); /* has its account */
        one->hear(one->ctx, event);
        told(event);
}

struct subscription *events_subscribe(const char *cursor, void (*hear)(void *ctx, struct event *event),
                                      void *ctx)
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
