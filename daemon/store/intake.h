/* SPDX-License-Identifier: MIT */
/*
 * What happens to a submitted message where it enters (mail.md, "The message itself"): a push
 * filter, bytes in, bytes out, no I/O. Line ends become CRLF (bare LF too), Bcc is
 * taken out, Date, Message-ID, From and Reply-To are put in where missing, a message
 * without header gets one. NUL, CR that is no end of a line, lines over 998 bytes are refused with the line's
 * number. A header is looked at line by line only, and fields of addresses field by field, for local names in
 * them (daemon/local_names.h); MIME is never parsed.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

struct local_names;
struct intake_rules {
        const char *hostname;      /* Message-ID domain */
        const char *from;          /* From: where missing */
        const char *reply_to;      /* Reply-To: where missing, or NULL */
        const char *trace;         /* put before all else: a field with its line ends, or NULL */
        const char *id;            /* left part of the Message-ID: a random token */
        time_t now;                /* Date: where missing */
        uint64_t max_size;         /* of the result */
        struct local_names *names; /* what local names in the header stand for; NULL: they stay. Held again
                                      where it is kept */
};
struct intake;
struct intake *intake_new(const struct intake_rules *rules) must_use; /* rules copied */
/* Appends what is ready to `out`. -1 with a cause (UNSENDABLE naming the line, TOO_LARGE). */
int intake_feed(struct intake *intake, const uint8_t *bytes, size_t len, struct buf *out, struct cause *cause)
        must_use;
int intake_end(struct intake *intake, struct buf *out, struct cause *cause) must_use;

struct intake_facts {
        char *message_id; /* with <>; owned by the intake */
        uint64_t size;    /* bytes out */
        bool eight_bit;   /* bytes over 127 in the body or header */
        bool header_utf8; /* bytes over 127 in the header: needs SMTPUTF8 */
};
const struct intake_facts *intake_facts(const struct intake *intake);
void intake_free(struct intake *intake);
