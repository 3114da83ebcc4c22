/* SPDX-License-Identifier: MIT */
/*
 * Named subscribers that are connected: each hears its mail.received events from the disk
 * (store/subscriber_table), in order, at most LIMIT_UNACKNOWLEDGED ahead of what it has acknowledged. What
 * was not acknowledged is told again to the next stream of that name. Also what status and journal tell of
 * those that do not come.
 */
#pragma once

#include "daemon/store/subscriber_table.h"

struct stream;

struct stream_user {
        /* The subscriber is on disk: nothing is missed from here on. */
        void (*began)(void *ctx);
        /* `event` is borrowed. */
        void (*hear)(void *ctx, json_t *event);
        /* The end, once, of a stream that was not closed. */
        void (*ended)(void *ctx, const struct cause *why);
};

/* `accounts`: names, borrowed, or NULL. One stream a name at a time: a second one ends at once (CAUSE_BUSY).
 * Callbacks come later, on the loop; any of them may close the stream. */
struct stream *stream_open(const char *name, const struct subscriber_asker *asker, const json_t *accounts,
                           const struct stream_user *user, void *ctx) must_use;
void stream_close(struct stream *stream);
bool stream_is_open(const char *name);

/* Told by who wrote it: the subscriber has acknowledged up to `seq`; it was forgotten. */
void streams_acknowledged(const char *name, int64_t seq);
void streams_forgotten(const char *name);

void subscribers_open(void);
void subscribers_close(void);
/* What time brings: drops what is too old. */
void subscribers_look_at_time(void);
/* Sentences about those that do not come, for status. */
void subscribers_advise(void (*advise)(void *ctx, const char *sentence), void *ctx);
