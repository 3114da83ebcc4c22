/* SPDX-License-Identifier: MIT */
/*
 * Bodies for DATA and BDAT. The end of a message must be said by us alone: no bare CR or
 * LF leaves (S32, SMTP smuggling), and dots are stuffed after line ends are made right.
 * Whole spans are copied; only line ends are looked at.
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

/* True when every line end in the piece is CRLF. */
static bool is_exact(struct body *body, const uint8_t *bytes, size_t len)
{
        const uint8_t *end = bytes + len, *at = bytes, *lf = NULL;

        if (body->after_cr && *at != '\n')
                return false;
        at += body->after_cr;
        body->after_cr = false;
        while (at < end) {
                at = line_break(at, end, &lf);
                if (at == end)
                        break;
                if (*at == '\n' || (at + 1 < end && at[1] != '\n'))
                        return false;
                body->after_cr = at + 1 == end;
                at += body->after_cr ? 1 : 2;
        }
        return true;
}

int body_exact(struct body *body, struct buf *out, const uint8_t *bytes, size_t len)
{
        if (!len)
                return 0;
        return is_exact(body, bytes, len) ? put(body, out, bytes, len) : -1;
}
