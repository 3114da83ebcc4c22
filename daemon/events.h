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

/* Hears every event from now on, after those since `cursor` (NULL: none; one too old to be known: all that
 * are kept). `event` is borrowed. */
struct subscription *events_subscribe(const char *cursor, void (*hear)(void *ctx, json_t *event), void *ctx);
void events_unsubscribe(struct subscription *subscription);
