/* SPDX-License-Identifier: MIT */
/*
 * Messages and bytes per account and state. The writer thread keeps a copy that includes
 * what the open transaction has done, for limits; the loop keeps one of what is committed.
 * Both begin with the table `counts`, which each transaction keeps in step.
 */
#pragma once

#include "daemon/store/database.h"
#include "daemon/store/queue_table.h"

struct count_changes;

/* ---- before the loop ---- */
int queue_counts_load(struct database *db, struct cause *cause) must_use;
void queue_counts_free(void);

/* ---- writer thread, inside a transaction ---- */
/* Messages of the account that wait: neither failed nor sent. */
uint64_t queue_waiting_inside(const char *account);
/* `messages` more (or fewer) of this account in this state, of `bytes` together. */
void queue_counts_add(const char *account, enum queue_state state, int64_t messages, int64_t bytes);
/* As the transaction stands; account NULL = the station. */
struct queue_counts queue_counts_inside(const char *account);
/* How many changes the transaction has; undo takes back those after a mark. */
size_t queue_counts_mark(void);
void queue_counts_undo(size_t mark);
/* Writes the rows that changed: last thing before COMMIT. */
int queue_counts_save(struct database *db, struct cause *cause) must_use;
/* After COMMIT: the changes, to be handed to the loop. NULL when there are none. */
struct count_changes *queue_counts_take(void) must_use;

/* ---- loop ---- */
/* What a look at the disk found. */
void queue_oldest_set(const char *account, time_t oldest);
/* Applies and frees; NULL is fine. */
void queue_counts_apply(struct count_changes *changes);
