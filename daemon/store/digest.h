/* SPDX-License-Identifier: MIT */
/*
 * The text of a digest: many messages to one recipient as one multipart/mixed (RFC 2046), a list with the
 * time, the subject, the submitter and the beginning of each for people, then each whole as a message/rfc822.
 * Pure: facts in, bytes out. store/queue_flood puts it into the queue.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

#include <time.h>

struct digest_item {
        const char *id; /* in the queue */
        const char *submitted_by;
        time_t submitted;
        const uint8_t *bytes; /* all of it, line ends CRLF */
        size_t len;
};
struct digest {
        const char *to, *from; /* addresses of its header */
        const char *hostname, *account;
        const char *token; /* random: Message-ID and boundary */
        int64_t most;      /* maxPerRecipient */
        time_t now;
        const struct digest_item *items;
        size_t count;
        bool eight_bit; /* one of them has bytes over 127 */
};

/* Appends it. -1: `out` is full. `message_id` gets its own, for the caller to free. */
int digest_write(const struct digest *digest, struct buf *out, char **message_id) must_use;
