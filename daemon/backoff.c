/* SPDX-License-Identifier: MIT */
/* Pauses that double, and the spreading of accounts; see backoff.h. */
#include "daemon/backoff.h"

enum {
        LONGEST_DELAY = 3600, /* seconds */
        EACH_MS = 4,          /* 250 accounts a second, */
        STAGGER_MOST_MS = 30 * 1000,
};

static int64_t spread(int64_t delay, uint32_t random)
{
        int64_t fifth = delay / 5;

        return fifth ? delay - fifth + (int64_t)(random % (uint32_t)(2 * fifth + 1)) : delay;
}

int64_t backoff_pause(int64_t first, int64_t longest, unsigned steps, uint32_t random)
{
        int64_t pause = first;

        while (steps-- && pause < longest)
                pause *= 2;
        return spread(pause < longest ? pause : longest, random);
}

int64_t backoff_delay(int64_t base, unsigned failures, uint32_t random)
{
        return backoff_pause(base, LONGEST_DELAY, failures, random);
}

bool backoff_too_far(time_t due, time_t now)
{
        return due > now && due - now > LONGEST_DELAY + LONGEST_DELAY / 5;
}

uint32_t backoff_stagger_ms(size_t accounts)
{
        return accounts < STAGGER_MOST_MS / EACH_MS ? (uint32_t)accounts * EACH_MS : STAGGER_MOST_MS;
}
