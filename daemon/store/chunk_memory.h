/* SPDX-License-Identifier: MIT */
/*
 * Memory for chunks of bodies: what one message leaves is what the next one is read into. Without this each
 * chunk is of pages that the system has just cleared, and that go back to it when the chunk is sent. Any
 * thread.
 */
#pragma once

#include "common/cleanup.h"

/* Of so many bytes; more than BODY_CHUNK has a chunk of a damaged database alone. Never NULL. */
uint8_t *chunk_memory_new(size_t len) must_use;
/* Takes it back; whatever is on the heap may be given. NULL is fine. */
void chunk_memory_free(uint8_t *chunk);
/* For `scoped`. */
void chunk_memory_done(uint8_t **chunk);
/* At rest: nothing is kept. */
void chunk_memory_give_back(void);
