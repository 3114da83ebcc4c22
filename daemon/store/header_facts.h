/* SPDX-License-Identifier: MIT */
/* The few header fields that the event, the journal and the inbox tell of a received message. Pure. */
#pragma once

#include "common/limits.h"

#include <stddef.h>

#define HEADER_FACTS_READ (16 * KIB) /* bytes of the message that are looked at */
#define HEADER_FACT_SIZE  256        /* bytes of a value, escapes included */

struct header_facts {
        char *from, *subject, *date, *message_id; /* raw but unfolded and printable, cut; NULL when missing */
};
/* Reads them from the beginning of a message; the first of each name counts. The caller frees. */
void header_facts_read(const char *bytes, size_t len, struct header_facts *facts);
void header_facts_free(struct header_facts *facts);
