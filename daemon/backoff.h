/* SPDX-License-Identifier: MIT */
/* When to try again after a failure, and how many accounts are spread over time; pure. Random numbers are any
 * 32 bits. */
#pragma once

#include "common/cleanup.h"

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
