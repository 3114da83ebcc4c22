/* SPDX-License-Identifier: MIT */
/*
 * Ids of queued messages: seven base32 digits (no i, l, o, u) made from the sequence number by a
 * multiplication that can be undone, lowest digit first, so that neighbours differ from the
 * first character on; and three that tell this database from others.
 */
#pragma once

#include "daemon/store/database.h"
#include "daemon/store/queue_table.h"

#define QUEUE_ID_DIGITS 7
#define QUEUE_ID_SUFFIX 3

/* Reads the database's own suffix, or makes it; before the loop. */
int queue_ids_load(struct database *db, struct cause *cause) must_use;
void queue_id_of(uint64_t seq, char id[QUEUE_ID_SIZE]);
/* The message whose id begins with `id`. -1 with CAUSE_NOT_FOUND or CAUSE_AMBIGUOUS. */
int queue_id_find(struct database *db, const char *id, uint64_t *out_seq, struct cause *cause) must_use;
