/* SPDX-License-Identifier: MIT */
/* A copy of station.db while it is in use, as of one moment: SQLite's online backup, by a connection of its
 * own. */
#pragma once

#include "common/cause.h"

#include <stdatomic.h>

/* Writes `target` anew, one file without a log, unless the disk had less than `leave` bytes free then. Looks
 * at both flags now and then: the one or the other ends it with CAUSE_CANCELLED. Blocks: a thread of its own.
 * On a cause there is no target. */
int database_copy(const char *path, const char *target, uint64_t leave, const atomic_bool *cancelled,
                  const atomic_bool *stop, struct cause *cause) must_use;
/* What a restored copy is: 0 when it is a sound database of emailsecd, of this schema or an earlier one.
 * Reads all of it. `messages`: in the queue. */
int database_check(const char *path, int64_t *messages, struct cause *cause) must_use;
