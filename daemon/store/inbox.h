/* SPDX-License-Identifier: MIT */
/*
 * The inbox of an account: what is in new/ and cur/ of its Maildir now, also files that were not put there by
 * us. Listed, opened and deleted by the rows of a table, so that it costs the same for ten messages and for a
 * million; a Maildir is read only after somebody else has changed it. Loop.
 */
#pragma once

#include "daemon/store/maildir.h"

/* Where a page ends: `next` of the page before. */
struct inbox_place {
        int64_t received, seq;
};
/* NULL: the newest messages. False: not one of ours. */
bool inbox_place(const char *text, struct inbox_place *place);

#define INBOX_PLACE_SIZE 48
struct inbox_page {
        json_t *messages;            /* [inbox_message_json()], newest last */
        int64_t total;               /* in the whole inbox */
        bool more;                   /* older ones are there */
        char next[INBOX_PLACE_SIZE]; /* of the oldest one */
};
/* The newest `limit` messages that are older than the place; fewer where they are large. */
void inbox_list(const char *account, const struct inbox_place *after, size_t limit,
                void (*done)(void *ctx, const struct inbox_page *page, const struct cause *cause), void *ctx);
/* Opens the file of a message (new/ or cur/, whatever its flags now) by a unique beginning of its id;
 * the fd is the callee's. */
void inbox_open(const char *account, const char *id,
                void (*done)(void *ctx, int fd, json_t *message, const struct cause *cause), void *ctx);

/*
 * Deleting: the file, then the row. What prevents that the message is fetched again stays. In steps, each of
 * which is on disk before the next one; `count` tells what has gone, also beside a cause.
 */
/* Those with these unique beginnings of ids; where one names none or several, nothing is deleted. */
void inbox_delete(const char *account, const char *const *ids, size_t id_count,
                  void (*done)(void *ctx, size_t count, const struct cause *cause), void *ctx);

/* Marks those as seen or not; `count`: of how many that was changed. Where an id names none or several,
 * nothing is. */
void inbox_mark(const char *account, const char *const *ids, size_t id_count, bool seen,
                void (*done)(void *ctx, size_t count, const struct cause *cause), void *ctx);
/* By the name of a file, flags included. */
bool inbox_is_seen(const char *file, bool in_cur);

struct inbox_keeping {
        int64_t before; /* those received before go; 0: none for their age */
        int64_t most;   /* and those beyond the newest so many; 0: none for their number */
        bool look;      /* also at what others put into the Maildir meanwhile */
};
/* Keeps what a named subscriber has not acknowledged. */
void inbox_keep(const char *account, const struct inbox_keeping *keeping,
                void (*done)(void *ctx, size_t count, const struct cause *cause), void *ctx);
