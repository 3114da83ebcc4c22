/* SPDX-License-Identifier: MIT */
/*
 * Whether this machine's clock is likely to be the wrong one where a certificate fails by its dates: a
 * machine without a battery begins in 1970 or at the day it was built. A hint for people, never a reason to
 * trust.
 */
#pragma once

#include "common/cleanup.h"

#include <stdint.h>
#include <time.h>

/* A server's certificate verified, dates and all, or failed by its dates. */
void clock_doubt_verified(void);
void clock_doubt_failed(const char *host, uint16_t port, int64_t now_ms);
/* Somebody says that it is that time, unproven, in a greeting or an HTTP Date; or that it is no earlier
 * (`at_least`), by when mail was taken in there. The last of each kind is a witness for a day. `who`: as it
 * stands before the time in the end of a sentence about this machine's clock; now_ms: loop_now(). */
void clock_doubt_said(time_t said, bool at_least, const char *who, int64_t now_ms);
/* Some server has failed by its dates lately: what others say of the time is worth asking for. */
bool clock_doubt_wanted(int64_t now_ms);
/* The clock was set: what other servers' certificates looked like before says nothing. */
void clock_doubt_was_set(void);

/* Why it is in doubt, as the end of a sentence; "" when it is not. `server`: what the server says is the
 * time, 0: nothing; `verified`: the latest time at which this station verified a server. */
void clock_doubt(time_t now, int64_t now_ms, time_t server, time_t verified, const char *host, uint16_t port,
                 char *out, size_t size);
