/* SPDX-License-Identifier: MIT */
/*
 * A message as it comes from a client: in memory while it is small, else in an unnamed file of the spool
 * folder, written by threads. Nothing here is waited for: while bytes are written the owner takes no more
 * from its client.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

struct spool;

enum { SPOOL_MEMORY = 32 * 1024 }; /* a larger message goes to a file */

void spools_open(const char *state_directory);
/* What is being written is waited for a moment only. */
void spools_close(void);
/* How long, in ms, threads have made no progress. */
int64_t spools_stuck_for(void);

/* `written` on the loop whenever spool_is_busy() ends. */
struct spool *spool_new(void (*written)(void *ctx), void *ctx) must_use;
/* The file of what is being written goes when that is over. NULL is fine. */
void spool_free(struct spool *spool);
void spool_add(struct spool *spool, const uint8_t *bytes, size_t len);
/* Begins to write where there is enough of it, or, at the `end`, what is left. */
void spool_write(struct spool *spool, bool end);
bool spool_is_busy(const struct spool *spool);
/* Why it could not be written, or NULL. */
const struct cause *spool_fault(const struct spool *spool);
/* Not while it is busy: *fd, the caller's, or -1 and the bytes, which the caller frees. */
void spool_take(struct spool *spool, int *fd, uint8_t **bytes, size_t *len);
