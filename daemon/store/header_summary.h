/* SPDX-License-Identifier: MIT */
/* The few header fields that the event, the journal and the inbox tell of a received message. Pure. */
#pragma once

#include "common/limits.h"

#include <stddef.h>

#define HEADER_SUMMARY_READ (16 * KIB) /* bytes of the message that are looked at */
#define HEADER_SUMMARY_SIZE 256        /* bytes of a value, escapes included */

struct header_summary {
        char *from, *subject, *date, *message_id; /* raw but unfolded and printable, cut; NULL when missing */
};
/* Reads them from the beginning of a message; the first of each name counts. The caller frees. */
void header_summary_read(const char *bytes, size_t len, struct header_summary *summary);
void header_summary_free(struct header_summary *summary);
