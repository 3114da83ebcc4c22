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

void events_open(void);
void events_close(void);

/* An event as programs see it. `data` is taken over (NULL = {}); `account` may be NULL. */
json_t *event_new(const char *name, const char *cursor, time_t time, const char *account, json_t *data,
                  const char *text) must_use;
/* The text of mail.received; the caller frees. */
char *event_received_text(const char *account, const char *subject) must_use;

/* `data` is taken over (NULL = {}); `account` may be NULL. */
void event_emit(const char *name, const char *account, json_t *data, const char *format, ...)
        printf_like(4, 5);

/* What an event is made of when somebody looks at it: of most of those that come in thousands nobody does. */
struct event_recipe {
        json_t *(*data)(const void *of);
        char *(*text)(const void *of); /* to be freed */
};
/* The same as event_emit, by a recipe. `of` is one block of memory, taken over and freed at some time; `name`
 * lives as long as the process. */
void event_emit_of(const char *name, const char *account, const struct event_recipe *recipe, void *of);

/* What a subscriber hears; borrowed. */
struct event;
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
