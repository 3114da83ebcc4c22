/* SPDX-License-Identifier: MIT */
/* When to try again after a failure, and how many accounts are spread over time; pure. Random numbers are any
 * 32 bits. */
#pragma once

#include "common/cause.h"

#include <time.h>

/* Seconds of pause number `steps` + 1: `first` doubled with each step up to `longest`, plus or minus a fifth
 * by `random`, so that many do not come back in one instant. */
int64_t backoff_pause(int64_t first, int64_t longest, unsigned steps, uint32_t random);
/* Seconds until what has failed `failures` times before is tried again: `base` doubled up to an hour, spread
 * alike. */
int64_t backoff_delay(int64_t base, unsigned failures, uint32_t random);
/* True when something is due later than any of these waits is long: the clock was set back while nobody
 * watched. */
bool backoff_too_far(time_t due, time_t now);

/* Milliseconds over which so many accounts are spread that would begin in one instant: 4 ms each, at most 30
 * s. */
uint32_t backoff_stagger_ms(size_t accounts);

/* ---- an account that has failed ---- */

enum { RETRY_FAULT = 3600 }; /* seconds: what only a person can mend is looked at by the hour */

/* Seconds between tries of an account whose server or disk is in trouble. */
struct retry_rules {
        int64_t first;           /* after the first failure, and doubled with each, */
        unsigned repeated;       /* but for so many; */
        int64_t most, most_disk; /* at most this; where it is the disk of this machine */
};

/* Seconds until the next try after a failure; `failures` in a row came before it. */
int64_t retry_delay(const struct retry_rules *rules, const struct cause *why, unsigned failures,
                    uint32_t random) must_use;
