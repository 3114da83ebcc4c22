/* SPDX-License-Identifier: MIT */
/* What the submission listener has done since the start, for metrics and status: counted by it, read by
 * whoever tells. */
#pragma once

#include <stdint.h>

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
