/* SPDX-License-Identifier: MIT */
/* When an incoming session is renewed, and when a lost one is begun again; pure. Random parts spread the
 * accounts. */
#pragma once

#include "common/cleanup.h"

/* Milliseconds after which IDLE is renewed and the mailbox looked at: IDLE tells of the first folder only,
 * the others are looked at by `poll_rate` (seconds). One folder alone is checked ten times less often, should
 * a server say nothing; but within the 29 minutes of RFC 2177, and before a server ends the session for
 * inactivity. */
int64_t poll_schedule_idle_ms(int64_t poll_rate, bool several_folders, uint32_t random) must_use;

/* Milliseconds after which a session that its server has ended is begun again. `accounts` may have been ended
 * with it: they do not all come back in one instant. */
int64_t poll_schedule_again_ms(size_t accounts, uint32_t random) must_use;
