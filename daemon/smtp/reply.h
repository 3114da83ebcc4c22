/* SPDX-License-Identifier: MIT */
/*
 * SMTP replies (RFC 5321 section 4.2): a push parser of lines. Everything in a reply is
 * the peer's: bounded here, escaped where it is quoted (reply_words).
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

struct reply {
        unsigned code;     /* 200 to 599 */
        char enhanced[16]; /* "4.2.2" (RFC 2034), or "" */
        size_t lines;
        struct buf text; /* the lines without their codes, a line feed between; raw: not NUL-ended */
        bool complete;   /* the next line begins a new reply */
};

enum reply_result { REPLY_MORE, REPLY_DONE, REPLY_BAD };

void reply_init(struct reply *reply);
void reply_done(struct reply *reply);
/* Forgets a reply heard by half: after a handshake. */
void reply_reset(struct reply *reply);

/* Takes one line, CRLF taken off. BAD with a cause: no reply, or a bound passed. MORE with reply->complete:
 * nothing, an empty line between replies. */
enum reply_result reply_feed(struct reply *reply, const char *line, size_t len, struct cause *cause) must_use;

/* "550 5.1.1 User unknown": one printable line, cut at `size`. */
void reply_words(const struct reply *reply, char *to, size_t size);

/* Looks at the first bytes a server ever sent: -1 with a cause that says what answered
 * there when they are TLS or another protocol's; 0 when SMTP is possible. */
int reply_foreign(const uint8_t *bytes, size_t len, struct cause *cause) must_use;

static inline unsigned reply_class(const struct reply *reply)
{
        return reply->code / 100;
}
