/* SPDX-License-Identifier: MIT */
/*
 * What happens, told as it happens: publish and subscribe within the daemon; the source of `monitor`. The
 * latest events are kept so that a subscriber that was away for a moment can go on from its cursor.
 */
#pragma once

#include "common/cause.h"

#include <jansson.h>
#include <time.h>

struct subscription;

/* Every kind of event there is; its name and what it carries: event_forms in events.c. */
enum event_kind {
        EVENT_NONE,
        EVENT_MAIL_RECEIVED,
        EVENT_MAIL_LEFT,
        EVENT_MAIL_MISSING,
        EVENT_MAIL_MISSING_OVER,
        EVENT_MAIL_MISSED,
        EVENT_MAIL_HANDED_BACK,
        EVENT_MAIL_DELETED,
        EVENT_MAIL_QUEUED,
        EVENT_MAIL_SENT,
        EVENT_MAIL_DEFERRED,
        EVENT_MAIL_FAILED,
        EVENT_MAIL_GATHERED,
        EVENT_QUEUE_CHANGED,
        EVENT_ACCOUNT_STATUS,
        EVENT_ACCOUNT_FOLDER,
        EVENT_ACCOUNT_ADDED,
        EVENT_ACCOUNT_CHANGED,
        EVENT_ACCOUNT_DELETED,
        EVENT_ACCOUNT_WAITING,
        EVENT_ACCOUNT_SIGNIN_WEAKER,
        EVENT_CHALLENGE_RAISED,
        EVENT_CHALLENGE_ENDED,
        EVENT_CHALLENGE_FLOOD,
        EVENT_ALLOWED_APPROVED,
        EVENT_ALLOWED_REJECTED,
        EVENT_ALLOWED_UNAPPROVED,
        EVENT_ALLOWED_DELETED,
        EVENT_ALLOWED_NEEDLESS,
        EVENT_ALLOWED_EXPIRED,
        EVENT_ALLOWED_ENDS,
        EVENT_CERTIFICATE_EXPIRES,
        EVENT_TRUST_IMPORTED,
        EVENT_TRUST_DELETED,
        EVENT_TRUST_RELOADED,
        EVENT_KEY_IMPORTED,
        EVENT_KEY_DELETED,
        EVENT_SUBSCRIBER_MISSED,
        EVENT_STATION_RELOADED,
        EVENT_STATION_ENDING,
        EVENT_HEARTBEAT_SENT,
        EVENT_HEARTBEAT_ARRIVED,
        EVENT_HEARTBEAT_MISSING,
        EVENT_AUDIT_RECORDED,
        EVENT_KINDS,
};

void events_open(void);
void events_close(void);

/* An event as programs see it. `data` is taken over (NULL = {}); `account` may be NULL. */
json_t *event_new(enum event_kind kind, const char *cursor, time_t time, const char *account, json_t *data,
                  const char *text) must_use;
/* The text of mail.received; the caller frees. */
char *event_received_text(const char *account, const char *subject) must_use;

/* `data` is taken over (NULL = {}); `account` may be NULL. */
void event_emit(enum event_kind kind, const char *account, json_t *data, const char *format, ...)
        printf_like(4, 5);

/* What an event is made of when somebody looks at it: of most of those that come in thousands nobody does. */
struct event_recipe {
        json_t *(*data)(const void *of);
        char *(*text)(const void *of); /* to be freed */
};
/* The same as event_emit, by a recipe. `of` is one block of memory, taken over and freed at some
 * time. */
void event_emit_of(enum event_kind kind, const char *account, const struct event_recipe *recipe, void *of);

/* What a subscriber hears; borrowed. */
struct event;
enum event_kind event_kind(const struct event *event);
const char *event_name(const struct event *event);
/* NULL: it is about none. */
const char *event_account(const struct event *event);
/* As event_new gives it, made at the first call; borrowed. */
json_t *event_json(struct event *event);

/* Hears every event from now on, after those since `cursor` (NULL: none; one too old to be known: all that
 * are kept). */
struct subscription *events_subscribe(const char *cursor, void (*hear)(void *ctx, struct event *event),
                                      void *ctx);
void events_unsubscribe(struct subscription *subscription);
