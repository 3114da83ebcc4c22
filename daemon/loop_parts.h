/* SPDX-License-Identifier: MIT */
/* What loop.c, calls.c, timers.c and workers.c need of each other; nobody else includes this. */
#pragma once

#include "daemon/loop.h"

/* When the first timer is due, in ms of loop_now(); INT64_MAX when none is set. */
int64_t timers_next_due(void);
/* The place in the order of setting that the next timer set gets. */
uint64_t timers_next_order(void);
/* Fires the first timer that is due at `now` and was set before that place in the order; false when there is
 * none. */
bool timers_fire_one(int64_t now, uint64_t before);
/* Stops all; the objects stay with their owners. */
void timers_stop_all(void);

/* Frees the pools that nobody has freed. */
void workers_free_all(void);

/* The descriptor that is readable while posted calls wait; -1 = cannot (errno). */
int calls_open(void) must_use;
void calls_close(void);
/* True when something waits for calls_run_later(). */
bool calls_put_off(void);
/* Each runs what is there now; what that adds comes with the next call. */
void calls_run_later(void);
void calls_run_posted(void);
void calls_run_closing(void);
/* Both kinds until nothing is left, for loop_close(); needs the workers to be gone. */
void calls_run_rest(void);
