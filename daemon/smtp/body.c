/* SPDX-License-Identifier: MIT */
/*
 * Bodies for DATA and BDAT. The end of a message must be said by us alone: no bare CR or
 * LF leaves (S32, SMTP smuggling), and dots are stuffed after line ends are made right.
 * What is right goes as it is; else whole spans are copied, and only line ends are looked at.
 */
#include "daemon/smtp/body.h"

void body_init(struct body *body)
{
        *body = (struct body){ .line_start = true };
}

static int put(struct body *body, struct buf *out, const void *bytes, size_t len)
{
        body->count += len;
        return buf_append(out, bytes, len);
}

/* The first CR or LF in [at, end), or end. `lf` caches the next LF so that no byte is searched twice. */
static const uint8_t *line_break(const uint8_t *at, const uint8_t *end, const uint8_t **lf)
{
        if (!*lf || *lf < at) {
                *lf = memchr(at, '\n', (size_t)(end - at));
                if (!*lf)
                        *lf = end;
        }
        const uint8_t *cr = memchr(at, '\r', (size_t)(*lf - at));
        return cr ? cr : *lf;
}

enum { BLOCK = 1024 };

/* 0 when each of `count` bytes goes with the one behind it: CR before LF, and nothing else before LF or
 * behind CR. Without a branch: the compiler makes vectors of blocks. */
static inline uint8_t wrong_ends(const uint8_t *at, size_t count)
{
        uint8_t wrong = 0;

        for (size_t i = 0; i < count; i++)
                wrong |= (uint8_t)((at[i] == '\r') ^ (at[i + 1] == '\n'));
        return wrong;
}

/* 0 when no dot is behind an LF. */
static inline uint8_t dots(const uint8_t *at, size_t count)
{
        uint8_t found = 0;

        for (size_t i = 0; i < count; i++)
                found |= (uint8_t)((at[i] == '\n') & (at[i + 1] == '.'));
        return found;
}

/* True when, between the first byte and the last, line ends are CRLF and nothing else is CR or LF; `dotless`:
 * and no line begins with a dot. The last block is a whole one, too, and looks at some again: byte by byte,
 * what is left would take as long as all that is before it. */
static bool is_right(const uint8_t *at, size_t len, bool dotless)
{
        const uint8_t *last = len > BLOCK ? at + len - 1 - BLOCK : NULL;
        uint8_t wrong = 0;

        if (!last)
                return !wrong_ends(at, len - 1) && !(dotless && dots(at, len - 1));
        for (; at < last && !wrong; at += BLOCK)
                wrong = wrong_ends(at, BLOCK) | (dotless ? dots(at, BLOCK) : 0);
        return !wrong && !wrong_ends(last, BLOCK) && !(dotless && dots(last, BLOCK));
}

/* True for what goes as it is. */
static bool is_ready(const struct body *body, const uint8_t *bytes, size_t len)
{
        return !body->after_cr && bytes[0] != '\n' && !(body->line_start && bytes[0] == '.') &&
               bytes[len - 1] != '\r' && is_right(bytes, len, true);
}

static bool is_crlf(const uint8_t *at, const uint8_t *end)
{
        return *at == '\r' && at + 1 < end && at[1] == '\n';
}

int body_stuff(struct body *body, struct buf *out, const uint8_t *bytes, size_t len)
{
        const uint8_t *end = bytes + len, *span = bytes, *at = bytes, *lf = NULL;

        if (!len)
                return 0;
        if (!buf_room(out, body_room(len)))
                return -1;
        if (is_ready(body, bytes, len)) {
                body->line_start = bytes[len - 1] == '\n';
                return put(body, out, bytes, len);
        }
        if (body->after_cr && *at == '\n')
                span = ++at; /* its CRLF is written already */
        body->after_cr = false;
        while (at < end) {
                if (body->line_start && *at == '.') {
                        if (put(body, out, span, (size_t)(at - span)) || buf_append(out, ".", 1))
                                return -1;
                        span = at;
                }
                at = line_break(at, end, &lf);
                body->line_start = at < end;
                if (at == end)
                        break;
                if (is_crlf(at, end)) {
                        at += 2;
                        continue;
                }
                /* A CR at the end of the piece, or a bare CR or LF: CRLF in its place. */
                if (put(body, out, span, (size_t)(at - span)) || put(body, out, "\r\n", 2))
                        return -1;
                body->after_cr = *at == '\r' && at + 1 == end;
                span = ++at;
        }
        return put(body, out, span, (size_t)(end - span));
}

int body_dot(struct body *body, struct buf *out)
{
        return buf_append_text(out, body->line_start ? ".\r\n" : "\r\n.\r\n");
}

int body_exact(struct body *body, struct buf *out, const uint8_t *bytes, size_t len)
{
        if (!len)
                return 0;
        if ((bytes[0] == '\n') != body->after_cr || !is_right(bytes, len, false))
                return -1;
        body->after_cr = bytes[len - 1] == '\r';
        return put(body, out, bytes, len);
}
