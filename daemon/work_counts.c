/* SPDX-License-Identifier: MIT */
/* Counters of the station's work and of its submission listener; see work_counts.h. */
#include "daemon/work_counts.h"

enum { EXACT_MS = 16, EXACT_BITS = 4, PARTS = 8, PART_BITS = 3 };

struct work_counts work_counts;

static unsigned class_of(uint64_t ms)
{
        if (ms < EXACT_MS)
                return (unsigned)ms;
        unsigned power = 63 - (unsigned)__builtin_clzll(ms);
        unsigned part = (unsigned)(ms >> (power - PART_BITS)) & (PARTS - 1);
        unsigned found = EXACT_MS + (power - EXACT_BITS) * PARTS + part;
        return found < HANDSHAKE_CLASSES ? found : HANDSHAKE_CLASSES - 1;
}

void work_count_handshake(int64_t ms)
{
        work_counts.handshakes[class_of(ms > 0 ? (uint64_t)ms : 0)]++;
}

uint32_t work_handshake_ms(unsigned handshake_class)
{
        if (handshake_class < EXACT_MS)
                return handshake_class;
        unsigned power = EXACT_BITS + (handshake_class - EXACT_MS) / PARTS;
        unsigned part = (handshake_class - EXACT_MS) % PARTS, width = 1u << (power - PART_BITS);
        return (PARTS + part) * width + width / 2;
}

/* ---- the submission listener ---- */

struct submission_counts submission_counts;

const char *submission_refusal_name(enum submission_refusal refusal)
{
        static const char *const names[SUBMISSION_REFUSALS] = {
                [REFUSED_PERMISSION] = "permission", [REFUSED_BUSY] = "busy",
                [REFUSED_PROTOCOL] = "protocol",     [REFUSED_SIGNIN] = "signin",
                [REFUSED_MESSAGE] = "message",       [REFUSED_SLOW] = "slow",
        };

        return names[refusal];
}
