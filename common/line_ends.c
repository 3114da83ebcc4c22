/* SPDX-License-Identifier: MIT */
/* CRLF to LF and back; see line_ends.h. Only line ends are looked for; what is between them is moved as a
 * whole. */
#include "common/line_ends.h"

#include <string.h>

size_t line_ends_shorten(uint8_t *bytes, size_t len, bool *cr, size_t *taken)
{
        uint8_t *out = bytes;
        const uint8_t *from = bytes, *at = bytes + (*cr && len), *end = bytes + len, *lf;

        *cr = *cr && !len;
        while (at < end && (lf = memchr(at, '\n', (size_t)(end - at)))) {
                if (lf == bytes || lf[-1] != '\r') {
                        end = lf;
                        break;
                }
                size_t line = (size_t)(lf - 1 - from);
                memmove(out, from, line);
                out += line;
                *out++ = '\n';
                from = at = lf + 1;
        }
        *taken = (size_t)(end - bytes);
        size_t rest = (size_t)(end - from);
        if (rest && *taken == len && end[-1] == '\r') {
                *cr = true;
                rest--;
        }
        memmove(out, from, rest);
        return (size_t)(out - bytes) + rest;
}

size_t line_ends_lengthen(const uint8_t *bytes, size_t len, uint8_t *out)
{
        const uint8_t *at = bytes, *end = bytes + len, *lf;
        uint8_t *to = out;

        while (at < end && (lf = memchr(at, '\n', (size_t)(end - at)))) {
                size_t line = (size_t)(lf - at);
                memcpy(to, at, line);
                to += line;
                *to++ = '\r';
                *to++ = '\n';
                at = lf + 1;
        }
        if (at < end)
                memcpy(to, at, (size_t)(end - at));
        return (size_t)(to - out) + (size_t)(end - at);
}
