/* SPDX-License-Identifier: MIT */
/* Counters of the submission listener; see submission_counts.h. */
#include "daemon/submission_counts.h"

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
