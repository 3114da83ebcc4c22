/* SPDX-License-Identifier: MIT */
/*
 * The last day of the station, minute by minute: what was sent and received, how long the queue was, how long
 * TLS handshakes took. In memory, of fixed size; written at an orderly end to the file `history` of the state
 * folder and read at the next start.
 */
#pragma once

#include "common/cleanup.h"

#include <jansson.h>

enum { HISTORY_MINUTES = 24 * 60 };

/* Blocks shortly: reads the file. `directory` NULL: it is kept in memory alone. */
void history_open(const char *directory);
/* Gives it to the disk's threads: before store_close(), which waits for them. */
void history_close(void);
/* [{time, sent, received, deferred, failed, queue, handshakes, handshakeP50, handshakeP95}], oldest first, at
 * most that many; the last is the minute under way. */
json_t *history_json(size_t minutes) must_use;
