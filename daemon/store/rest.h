/* SPDX-License-Identifier: MIT */
/*
 * What a station holds that has nothing to do: when there was work, and then none for a moment, the caches of
 * the database are dropped unless they are small, and the memory of chunks; and what is free in the heaps of
 * all threads goes back to the system.
 */
#pragma once

#include "daemon/loop.h"

/* `run` gives a job to the writer's thread, on which `give_back` drops the caches; false: not all of them, a
 * read goes on. */
void rest_open(void (*run)(struct job *job), bool (*give_back)(void));
void rest_close(void);
/* Loop: there is work, which takes memory for a while: something is asked of the store, where nearly all of
 * it leaves its trace, or at the control socket. */
void rest_put_off(void);
