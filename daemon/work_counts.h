/* SPDX-License-Identifier: MIT */
/* What the station has done since the start: counted where it happens, read by whoever tells. */
#pragma once

#include <stdint.h>

/* Up to 16 ms a class is one millisecond, then an eighth of a power of two, up to 2^20 ms. */
enum { HANDSHAKE_CLASSES = 16 + 16 * 8 };

/* All accounts together: for the history of the last day. */
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

/* ---- the submission listener: for metrics and status ---- */

/* Why a client of it, or a message, was refused. */
enum submission_refusal {
        REFUSED_PERMISSION, /* who it is may not send */
        REFUSED_BUSY,       /* too many of them */
        REFUSED_PROTOCOL,   /* what it sent ended the session */
        REFUSED_SIGNIN,
        REFUSED_MESSAGE, /* too large, not legal, no room */
        REFUSED_SLOW,
        SUBMISSION_REFUSALS
};

struct submission_counts {
        unsigned sockets; /* sockets that are listened at */
        unsigned clients; /* there now */
        uint64_t connections, accepted, refused[SUBMISSION_REFUSALS];
};
extern struct submission_counts submission_counts;
const char *submission_refusal_name(enum submission_refusal refusal);
