/* SPDX-License-Identifier: MIT */
/* Pauses that double, the spreading of accounts, and when one that has failed is tried again; see backoff.h.
 */
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

int64_t retry_delay(const struct retry_rules *rules, const struct cause *why, unsigned failures,
                    uint32_t random)
{
        bool disk = why->code == CAUSE_STORAGE;
        int64_t most = disk ? rules->most_disk : rules->most;

        if (cause_class(why) != CLASS_DOWN && !disk) /* a disk has room again by itself */
                return backoff_delay(RETRY_FAULT, 0, random);
        int64_t delay = backoff_delay(rules->first,
                                      failures > rules->repeated ? failures - rules->repeated : 0, random);
        return delay < most ? delay : most;
}
