/* SPDX-License-Identifier: MIT */
/*
 * A message body on its way into SMTP. Two forms: for DATA (dots stuffed, whatever is not
 * CRLF made CRLF, ended by one CRLF.CRLF) and for BDAT (exact bytes; what is not CRLF is
 * refused, since the count has been promised). What comes in may be cut anywhere.
 */
#pragma once

#include "common/buf.h"

struct body {
        uint64_t count;  /* bytes of the message so far, line ends as CRLF, no stuffing */
        bool line_start; /* the next byte begins a line */
        bool after_cr;   /* stuffed: CRLF was written for a CR, its LF may follow; exact: LF must */
};

void body_init(struct body *body);

/* Bytes that `len` bytes of body take at most. */
static inline size_t body_room(size_t len)
{
        return 2 * len;
}

/* Appends a piece for DATA; 0, or -1 when `out` has not body_room(len) bytes left. */
int body_stuff(struct body *body, struct buf *out, const uint8_t *bytes, size_t len) must_use;
/* The end of DATA: CRLF where the last line has none, and the dot. */
int body_dot(struct body *body, struct buf *out) must_use;

/* Appends a piece for BDAT; -1 when it holds a bare CR or LF, or `out` is full. */
int body_exact(struct body *body, struct buf *out, const uint8_t *bytes, size_t len) must_use;
/* True when the body may end here: not between CR and LF. */
static inline bool body_exact_complete(const struct body *body)
{
        return !body->after_cr;
}
