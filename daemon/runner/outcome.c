/* SPDX-License-Identifier: MIT */
/* What the end of a session says; see outcome.h. */
#include "daemon/runner/outcome.h"

#include "daemon/backoff.h"

bool session_end_is_void(const struct session_end *end)
{
        if (end->token != TOKEN_UNTOUCHED)
                return end->token == TOKEN_WITHDRAWN;
        return !end->ready && end->why.code == CAUSE_CLOSED && end->trust_moved;
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
