/* SPDX-License-Identifier: MIT */
/* What the parts of the queue share: a message's row, how it follows from its recipients, its id. All inside
 * a transaction of the writer. */
#pragma once

#include "common/limits.h"
#include "daemon/store/database.h"
#include "daemon/store/jobs.h"
#include "daemon/store/queue_counts.h"
#include "daemon/store/queue_table.h"

#include <assert.h>

/* enum queue_state as SQL has it. */
#define SQL_QUEUED    "0"
#define SQL_SENDING   "1"
#define SQL_DEFERRED  "2"
#define SQL_HELD      "3"
#define SQL_AMBIGUOUS "4"
#define SQL_FAILED    "5"
#define SQL_SENT      "6"
static_assert(QUEUE_QUEUED == 0 && QUEUE_SENDING == 1 && QUEUE_DEFERRED == 2 && QUEUE_HELD == 3 &&
                      QUEUE_AMBIGUOUS == 4 && QUEUE_FAILED == 5 && QUEUE_SENT == 6 && QUEUE_STATES == 7,
              "states of the queue are on disk");
/* Recipients that wait for a time of their own, and messages that are on their way at all. */
#define SQL_WAITS_FOR_TIME "(" SQL_DEFERRED ", " SQL_AMBIGUOUS ")"
#define SQL_IS_UNDER_WAY   "(" SQL_QUEUED ", " SQL_SENDING ", " SQL_DEFERRED ", " SQL_AMBIGUOUS ")"

#define CLOCK_NEVER INT64_MAX   /* message.expires_clock: held or failed, does not age */
#define CLOCK_FRESH INT64_C(-1) /* a full lifetime, from the next queue_expire on */

struct message_row {
        uint64_t seq;
        char account[LIMIT_ACCOUNT_NAME + 1];
        enum queue_state state;
        bool claimed;
        int64_t size;
        int64_t attempts;
};

/* 1 = read, 0 = there is none, -1 cause. */
int queue_row_read(struct database *db, uint64_t seq, struct message_row *row, struct cause *cause) must_use;
/* Makes state, due, claimed, finished and the counts what the recipients say. A message sent to all loses
 * its body. `row` is as it was before, but for `claimed`, which is taken as given; `finished` is the time
 * recorded should it be finished now. */
int queue_row_follow(struct database *db, struct message_row *row, int64_t finished, struct cause *cause)
        must_use;
/* Removes the message with all that belongs to it. */
int queue_row_delete(struct database *db, const struct message_row *row, struct cause *cause) must_use;
/* A message of the station itself to one recipient: a notice, a digest. */
struct queue_own {
        const char *account, *from, *to, *message_id; /* from: "" the null sender */
        int64_t lifetime, now;
        bool eight_bit, header_utf8;
        const struct buf *text;
};
/* Puts it into the queue, to begin its lifetime there. maxQueueSize does not count for it: what it is about
 * waited there. */
int queue_row_insert_own(struct database *db, const struct queue_own *own, uint64_t *seq, struct cause *cause)
        must_use;
/* One line of history; the oldest go when there are very many. Texts may be NULL. */
int queue_history_add(struct database *db, uint64_t seq, int64_t time, const char *host, const char *tls,
                      const char *result, struct cause *cause) must_use;

/* Before the loop: what was being sent when the daemon died is queued again. */
int queue_recover(struct database *db, struct cause *cause) must_use;

/*
 * Ids of queued messages: seven base32 digits (no i, l, o, u) made from the sequence number by a
 * multiplication that can be undone, lowest digit first, so that neighbours differ from the
 * first character on; and three that tell this database from others.
 */

#define QUEUE_ID_DIGITS 7
#define QUEUE_ID_SUFFIX 3

/* Reads the database's own suffix, or makes it; before the loop. */
int queue_ids_load(struct database *db, struct cause *cause) must_use;
void queue_id_of(uint64_t seq, char id[QUEUE_ID_SIZE]);
/* The message whose id begins with `id`. -1 with CAUSE_NOT_FOUND or CAUSE_AMBIGUOUS. */
int queue_id_find(struct database *db, const char *id, uint64_t *out_seq, struct cause *cause) must_use;
