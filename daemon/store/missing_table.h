/* SPDX-License-Identifier: MIT */
/*
 * Messages that a server lists and did not hand out: refused, empty, not what was announced, or a session
 * broke over them. A row holds each from the first vain try until the message is here, or has gone from the
 * server. A row that is not `told` is a suspicion: one session broke while its message was awaited; nobody
 * hears of those.
 */
#pragma once

#include "daemon/store/store.h"
#include "daemon/wire/mailbox.h"

#include <assert.h>
#include <jansson.h>
#include <time.h>

/* Kept in the database, so the numbers never change. */
enum missing_state { MISSING_SUSPECTED = 0, MISSING_TOLD = 1, MISSING_GIVEN_UP = 2 };
static_assert(MISSING_SUSPECTED == 0 && MISSING_TOLD == 1 && MISSING_GIVEN_UP == 2,
              "states of missing mail are on disk");

enum { MISSING_TEXT_SIZE = 320 };

struct missing {
        struct mailbox_entry entry; /* uid or uidl, size */
        time_t first, next;         /* first vain try; when it is tried again */
        unsigned tries;
        enum missing_state state;
        bool fresh;                   /* out of missing_note: told by this try */
        char text[MISSING_TEXT_SIZE]; /* why, of the last try */
};

/* Seconds from the try number `tries` to the next one. */
int64_t missing_pause(unsigned tries);
/* Whether it is to be asked for again now. A time that lies farther ahead than its pause is one of a clock
 * that has been set back since, and counts as come. */
bool missing_is_due(const struct missing *message, time_t now);

/* One more vain try of each: makes the rows, or sets what is known of them. A suspicion becomes certain by
 * the second try. *messages of the answer: as the rows are now. */
void missing_note(const char *account, const char *folder, uint64_t uidvalidity,
                  const struct missing *messages, size_t count,
                  void (*done)(void *ctx, const struct missing *messages, size_t count,
                               const struct cause *cause),
                  void *ctx);
/* A try begins: it is counted before the message is asked for, so that one over which the session breaks, or
 * this program, is not asked for again at once. */
void missing_begin(const char *account, const char *folder, uint64_t uidvalidity,
                   const struct mailbox_entry *entry, void (*done)(void *ctx, const struct cause *cause),
                   void *ctx);
/* They have come or gone. */
void missing_end(const char *account, const char *folder, uint64_t uidvalidity,
                 const struct mailbox_entry *entries, size_t count);

/* For people: the told ones of an account, [{id, folder, size, since, tries, next, cause}]. */
void missing_list(const char *account, void (*done)(void *ctx, json_t *messages, const struct cause *cause),
                  void *ctx);
/* The one of that id, or all told ones (""), are given up: never asked for again. `count`: how many. */
void missing_forget(const char *account, const char *id,
                    void (*done)(void *ctx, size_t count, const struct cause *cause), void *ctx);
