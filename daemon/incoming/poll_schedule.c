/* SPDX-License-Identifier: MIT */
/* When to renew and when to come back; see poll_schedule.h. */
#include "daemon/incoming/poll_schedule.h"

#include "daemon/backoff.h"

enum {
        IDLE_MOST = 25 * 60, /* seconds */
        IDLE_PER_POLL = 10,
        AGAIN_MS = 1000,
};

int64_t poll_schedule_idle_ms(int64_t poll_rate, bool several_folders, uint32_t random)
{
        int64_t most = several_folders ? poll_rate : poll_rate * IDLE_PER_POLL;

        if (most > IDLE_MOST)
                most = IDLE_MOST;
        most *= 1000;
        return most / 2 + (int64_t)(random % (uint32_t)(most / 2 + 1));
}

int64_t poll_schedule_again_ms(size_t accounts, uint32_t random)
{
        return AGAIN_MS + (int64_t)(random % (backoff_stagger_ms(accounts) + 1));
}
