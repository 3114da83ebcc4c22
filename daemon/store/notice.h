/* SPDX-License-Identifier: MIT */
/*
 * The text of a notice to the postmaster: a multipart/report (RFC 6522) with words for people, a
 * message/delivery-status (RFC 3464) and the header of the message that failed. Pure: facts in, bytes out,
 * 7-bit whatever the facts hold. store/queue_notice puts it into the queue.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

#include <time.h>

struct notice_recipient {
        const char *address;
        const char *reply;    /* the server's words or ours; may be NULL */
        const char *enhanced; /* "5.1.1", or NULL */
        enum cause_code cause;
        const char *original; /* as dsn_original() has it, or NULL */
};
struct notice {
        const char *to, *from;                         /* addresses of its own header */
        const char *hostname;                          /* this station */
        const char *server;                            /* the account's server */
        const char *account, *id;                      /* of the message that failed */
        const char *token;                             /* random: Message-ID and boundary */
        const char *sender, *message_id, *envelope_id; /* of that message; the last may be NULL */
        time_t submitted, last_attempt, now;           /* last_attempt 0: there was none */
        const struct notice_recipient *recipients;     /* those that failed */
        size_t recipient_count;
        const uint8_t *header; /* the message as far as it is at hand: its header is taken; NULL: it is not */
        size_t header_len;
};

/* Quoted-printable (RFC 2045 section 6.7) of whole lines. -1: `out` is full. */
int notice_append_quoted(struct buf *out, const uint8_t *bytes, size_t len) must_use;
/* Appends the notice, line ends CRLF. -1: `out` is full. `message_id` gets the notice's own, for the caller
 * to free. */
int notice_write(const struct notice *notice, struct buf *out, char **message_id) must_use;
