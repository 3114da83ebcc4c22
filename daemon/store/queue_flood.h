/* SPDX-License-Identifier: MIT */
/*
 * maxPerRecipient: not more than so many messages an hour go out to one recipient by themselves; what comes
 * beyond that waits for a digest, one message with all of them (store/digest). The first digest leaves a
 * minute after the first one that waits, the next ones an hour after one another. Urgent messages are not
 * counted and do not wait. A digest is queued by the transaction that ends what it carries: a crash neither
 * loses nor doubles it. All inside a transaction of the writer, but for queue_flood_tell.
 */
#pragma once

#include "daemon/store/queue_rows.h"

struct flood {
        struct flood_rules rules;                              /* texts owned */
        struct flood_told {                                    /* for the journal */
                char id[QUEUE_ID_SIZE], digest[QUEUE_ID_SIZE]; /* digest: "" where it only waits now */
                char *address;
        } *told;
        size_t told_count;
        size_t gathered; /* messages that went into a digest */
        bool again;      /* there is more to claim at once */
};

void queue_flood_begin(struct flood *flood,
                       const struct flood_rules *rules); /* NULL, or most 0: nothing is limited */
void queue_flood_done(struct flood *flood);
/* The transaction was lost and is done once more: forgets what was found, keeps the rules. */
void queue_flood_restart(struct flood *flood);
/* Takes those recipients out of a message that is about to be sent which may not be now. */
int queue_flood_gate(struct flood *flood, struct database *db, const char *account,
                     struct queued_message *message, time_t now, struct cause *cause) must_use;
/* On the loop, once it is on disk: journal, events, counters. */
void queue_flood_tell(const struct flood *flood, const char *account);
