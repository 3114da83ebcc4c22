/* SPDX-License-Identifier: MIT */
/*
 * Handles: numbers that stand for objects which may go away. Whoever answers later (a job of a worker, a call
 * put off, a client that is told) keeps the handle of the one it answers to, not its address, and asks at
 * that moment whether it is still there. Nobody has to find and clear pointers when an object goes; a number
 * is never given twice. Loop thread only, but for carrying the number about.
 */
#pragma once

#include "common/cleanup.h"

#include <stdint.h>

typedef uint64_t handle_id;

enum { HANDLE_NONE = 0 };

/* A handle for the object, until handle_drop(): at the latest when the object is freed, and before, as soon
 * as nothing may reach it any more. An object may have several, one for each thing that may end by itself. */
handle_id handle_new(void *object) must_use;
/* The object, or NULL: dropped, or HANDLE_NONE. */
void *handle_object(handle_id handle);
/* Nobody finds the object by it any more; *handle becomes HANDLE_NONE, for which nothing is done. */
void handle_drop(handle_id *handle);
