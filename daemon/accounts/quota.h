/* SPDX-License-Identifier: MIT */
/*
 * How many messages an account has sent since local midnight, kept in its facts over restarts, and what its
 * maxSendablePerDay leaves.
 */
#pragma once

#include "daemon/accounts/account.h"

int64_t quota_sent_today(const struct account *account);
void quota_count_sent(const struct account *account, int64_t messages);
/* The clock was set by so many seconds (0: perhaps back, while nobody watched). That begins no new day: what
 * was sent stays counted until the next midnight. */
void quota_clock_was_set(const struct account *account, int64_t seconds);

/* ---- pure ---- */

/* How many messages may go until midnight: UINT64_MAX without a limit. */
uint64_t quota_left(int64_t max_per_day, int64_t sent_today);
/* The day as a number that changes at local midnight, and the seconds until it does. */
int64_t quota_day(time_t now);
int64_t quota_until_midnight(time_t now);
