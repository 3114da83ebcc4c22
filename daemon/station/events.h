/* SPDX-License-Identifier: MIT */
/*
 * What happens, told as it happens: publish and subscribe within the daemon; the source of `monitor`. The latest
 * events are kept so that a subscriber that was away for a moment can go on from its cursor.
 */
#pragma once

#include "common/cause.h"

#include <jansson.h>

struct subscription;

void events_open(void);
void events_close(void);

/* `data` is taken over (NULL = {}); `account` may be NULL. */
void event_emit(const char *name, const char *account, json_t *data, const char *format, ...)
        printf_like(4, 5);

/* Hears every event from now on, after those since `cursor` (NULL: none; one too old to be known: all that are
 * kept). `event` is borrowed. */
struct subscription *events_subscribe(const char *cursor, void (*hear)(void *ctx, json_t *event), void *ctx);
void events_unsubscribe(struct subscription *subscription);
