/* SPDX-License-Identifier: MIT */
/* Offers to named subscribers within a delivery's commit; writer thread. */
#pragma once

#include "daemon/store/database.h"

/* The subscribers that want mail of an account. */
struct wanting {
        char **names;
        size_t count;
        int64_t seq; /* of the last offer */
};
int subscriber_wanting_find(struct database *db, const char *account, struct wanting *wanting,
                            struct cause *cause) must_use;
/* One event for each of them. `data`: JSON text. */
int subscriber_wanting_offer(struct database *db, struct wanting *wanting, time_t now, const char *account,
                             const char *data, struct cause *cause) must_use;
/* After the last one: keeps the count of events and drops what is too much. */
int subscriber_wanting_end(struct database *db, struct wanting *wanting, time_t now, struct cause *cause)
        must_use;
void subscriber_wanting_free(struct wanting *wanting);

/* Drops a subscriber's offers that are older than `before` or over the limit, and counts them as missed. */
int subscriber_offers_trim(struct database *db, const char *subscriber, time_t before, time_t now,
                           struct cause *cause) must_use;
