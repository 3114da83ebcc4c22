/* SPDX-License-Identifier: MIT */
/* What the station has done since the start, all accounts together: counted where it happens, read by the
 * history of the last day. */
#pragma once

#include <stdint.h>

/* Up to 16 ms a class is one millisecond, then an eighth of a power of two, up to 2^20 ms. */
enum { HANDSHAKE_CLASSES = 16 + 16 * 8 };

struct work_counts {
        uint64_t received; /* messages */
        uint64_t sent;     /* messages */
        uint64_t deferred; /* recipients put off to a later attempt */
        uint64_t failed;   /* messages */
        uint64_t
                handshakes[HANDSHAKE_CLASSES]; /* TLS handshakes that were completed, by the time they took */
};
extern struct work_counts work_counts;

void work_count_handshake(int64_t ms);
/* Milliseconds: the middle of a class. */
uint32_t work_handshake_ms(unsigned handshake_class);
