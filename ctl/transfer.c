/* SPDX-License-Identifier: MIT */
/* Quoted-printable and base64 of parts; see transfer.h. */
#include "ctl/transfer.h"

#include "common/json_fields.h"

#include <strings.h>

enum { QUOTED_LINE = 76, BASE64_LINE_BYTES = 57 };

enum transfer transfer_named(const char *value)
{
        static const char *const names[] = {
                [TRANSFER_SEVEN] = "7bit",    [TRANSFER_EIGHT] = "8bit",
                [TRANSFER_BINARY] = "binary", [TRANSFER_QUOTED] = "quoted-printable",
                [TRANSFER_BASE64] = "base64",
        };
        size_t len = value ? strcspn(value, " \t;(") : 0;

        for (size_t i = 0; value && i < count_of(names); i++)
                if (strlen(names[i]) == len && !strncasecmp(names[i], value, len))
                        return (enum transfer)i;
        return value ? TRANSFER_UNKNOWN : TRANSFER_SEVEN;
}

/* ---- quoted-printable ---- */

/* Length of the line end at the front: 0, 1 (LF) or 2 (CRLF). */
static size_t line_end(const char *at, const char *end)
{
        if (at < end && *at == '\n')
                return 1;
        return end - at >= 2 && at[0] == '\r' && at[1] == '\n' ? 2 : 0;
}

/* Whether a byte must be written as =XX. `column`: where it would stand. */
static bool is_escaped(const char *at, const char *end, size_t column)
{
        unsigned char c = (unsigned char)*at;

        if (c == ' ' || c == '\t')
                return at + 1 == end || line_end(at + 1, end);
        if (c < ' ' || c > '~' || c == '=')
                return true;
        return column == 0 && (c == '.' || (c == '-' && end - at > 1 && at[1] == '-') ||
                               (c == 'F' && end - at > 4 && !memcmp(at, "From ", 5)));
}

int quoted_encode(const char *bytes, size_t len, struct buf *out)
{
        static const char hex[] = "0123456789ABCDEF";
        const char *end = bytes + len;
        size_t column = 0;
        int failed = 0;

        for (const char *at = bytes; at < end && !failed;) {
                size_t eol = line_end(at, end);
                if (eol) {
                        failed = buf_append(out, "\n", 1);
                        column = 0;
                        at += eol;
                        continue;
                }
                bool last = at + 1 == end || line_end(at + 1, end);
                size_t width = is_escaped(at, end, column) ? 3 : 1;
                if (column + width > QUOTED_LINE - (last ? 0 : 1)) {
                        failed = buf_append(out, "=\n", 2);
                        column = 0;
                        width = is_escaped(at, end, column) ? 3 : 1;
                }
                unsigned char c = (unsigned char)*at++;
                const char escape[3] = { '=', hex[c >> 4], hex[c & 15] };
                failed = failed || buf_append(out, width == 3 ? escape : at - 1, width);
                column += width;
        }
        return failed ? -1 : 0;
}

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)(c & ~32);
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A soft line break after a "=": its length with blanks before the line end, 0 when there is none. */
static size_t soft_break(const char *at, const char *end)
{
        const char *from = at;

        while (at < end && (*at == ' ' || *at == '\t'))
                at++;
        if (at == end)
                return (size_t)(at - from);
        size_t eol = line_end(at, end);
        return eol ? (size_t)(at - from) + eol : 0;
}

/* Line ends come out as CRLF, so that a CR that was written as =0D is not taken for a part of one. */
static char *quoted_decode(const char *bytes, size_t len, size_t *out_len)
{
        const char *end = bytes + len;
        char *out = new_zeroed(2 * len + 1, 1), *to = out;

        for (const char *at = bytes; at < end;) {
                char c = *at++;
                if (c == '\n' && (at == bytes + 1 || at[-2] != '\r'))
                        *to++ = '\r';
                if (c != '=') {
                        *to++ = c;
                        continue;
                }
                int high = end - at >= 2 ? hex_value(at[0]) : -1, low = high >= 0 ? hex_value(at[1]) : -1;
                size_t soft = low >= 0 ? 0 : soft_break(at, end);
                if (low >= 0)
                        *to++ = (char)(high << 4 | low);
                else if (!soft && at < end)
                        *to++ = c;
                at += low >= 0 ? 2 : soft;
        }
        *out_len = (size_t)(to - out);
        return out;
}

/* ---- base64 ---- */

int base64_lines(const char *bytes, size_t len, struct buf *out)
{
        for (size_t at = 0; at < len; at += BASE64_LINE_BYTES) {
                size_t piece = len - at < BASE64_LINE_BYTES ? len - at : BASE64_LINE_BYTES;
                scoped(scoped_free) char *line = base64_encode(bytes + at, piece);
                if ((at && buf_append(out, "\n", 1)) || buf_append_text(out, line))
                        return -1;
        }
        return 0;
}

/* The bytes, or NULL when it is no base64. */
static char *base64_read(const char *bytes, size_t len, size_t *out_len)
{
        scoped(scoped_free) char *digits = new_zeroed(len + 1, 1);
        uint8_t *out = NULL;
        size_t count = 0;

        for (size_t i = 0; i < len; i++)
                if (!bytes[i] || !strchr(" \t\r\n", bytes[i]))
                        digits[count++] = bytes[i];
        return base64_decode(digits, count, &out, out_len) ? NULL : (char *)out;
}

bool base64_is(const char *bytes, size_t len)
{
        size_t out_len;
        scoped(scoped_free) char *out = base64_read(bytes, len, &out_len);

        return out != NULL;
}

char *transfer_decode(enum transfer transfer, const char *bytes, size_t len, size_t *out_len)
{
        char *out = NULL;

        if (transfer == TRANSFER_QUOTED)
                return quoted_decode(bytes, len, out_len);
        if (transfer == TRANSFER_BASE64)
                out = base64_read(bytes, len, out_len);
        if (!out) {
                *out_len = len;
                out = copy_bytes(bytes, len);
        }
        return out;
}
