/* SPDX-License-Identifier: MIT */
/* Escaping of control bytes for terminal and journal, UTF-8 aware; see printable.h. */
#include "common/printable.h"

#include "common/buf.h"

#include <stdio.h>
#include <wchar.h>

size_t utf8_character(const char *bytes, size_t len, uint32_t *out_point)
{
        /* `least`: the lowest character of that length (RFC 3629 section 3). A longer form of a
         * lower one is a fault, and so are surrogates and what lies beyond U+10FFFF. */
        static const struct {
                uint8_t mask, value;
                uint8_t len;
                uint32_t least;
        } forms[] = {
                { 0x80, 0x00, 1, 0 },
                { 0xe0, 0xc0, 2, 0x80 },
                { 0xf0, 0xe0, 3, 0x800 },
                { 0xf8, 0xf0, 4, 0x10000 },
        };

        if (len == 0)
                return 0;
        uint8_t first = (uint8_t)bytes[0];
        for (size_t i = 0; i < count_of(forms); i++) {
                if ((first & forms[i].mask) != forms[i].value)
                        continue;
                if (len < forms[i].len)
                        return 0;
                uint32_t point = first & (uint8_t)~forms[i].mask;
                for (size_t k = 1; k < forms[i].len; k++) {
                        uint8_t next = (uint8_t)bytes[k];
                        if ((next & 0xc0) != 0x80)
                                return 0;
                        point = point << 6 | (next & 0x3f);
                }
                if (point < forms[i].least || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
                        return 0;
                *out_point = point;
                return forms[i].len;
        }
        return 0;
}

bool utf8_valid(const char *bytes, size_t len)
{
        uint32_t point;

        while (len) {
                size_t step = utf8_character(bytes, len, &point);
                if (!step)
                        return false;
                bytes += step;
                len -= step;
        }
        return true;
}

bool is_treacherous(uint32_t point)
{
        /* Control characters (C0, C1), the soft hyphen, marks that turn the direction of a line or
         * have no width, separators of lines, the byte order mark, annotations and tags: what a
         * reader does not see, and a terminal may obey. */
        static const struct {
                uint32_t first, last;
        } ranges[] = {
                { 0, 0x1f },        { 0x7f, 0x9f },     { 0xad, 0xad },       { 0x61c, 0x61c },
                { 0x180e, 0x180e }, { 0x200b, 0x200f }, { 0x2028, 0x202e },   { 0x2060, 0x206f },
                { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f },
        };

        for (size_t i = 0; i < count_of(ranges); i++)
                if (point >= ranges[i].first && point <= ranges[i].last)
                        return true;
        return false;
}

/* The next piece of output for the front of the input; returns bytes used. */
static size_t escape_next(const char *bytes, size_t len, const char *keep, char piece[16])
{
        uint32_t point = 0;
        size_t used = utf8_character(bytes, len, &point);

        if (used == 0) {
                (void)snprintf(piece, 16, "\\x%02x", (uint8_t)bytes[0]);
                return 1;
        }
        if (is_treacherous(point) && !(point && point < 0x80 && strchr(keep, (int)point))) {
                (void)snprintf(piece, 16, point < 0x80 ? "\\x%02x" : "\\u{%x}", point);
                return used;
        }
        memcpy(piece, bytes, used);
        piece[used] = '\0';
        return used;
}

/* How many characters at the front stand for themselves: nearly all that ever comes here. */
static size_t plain_run(const char *bytes, size_t len)
{
        size_t run = 0;

        while (run < len && bytes[run] >= 0x20 && bytes[run] < 0x7f)
                run++;
        return run;
}

/* Whole pieces only: neither an escape nor a character is cut. What is cut ends in dots. */
size_t printable_copy(char *to, size_t size, const char *bytes, size_t len)
{
        static const char dots[] = "...";
        size_t out = 0, safe = 0; /* safe: where the dots could still go */
        char piece[16];

        if (size == 0)
                return 0;
        if (len && size > sizeof dots) { /* as far as the dots have room behind it */
                out = safe = plain_run(bytes, len < size - sizeof dots ? len : size - sizeof dots);
                memcpy(to, bytes, out);
                bytes += out;
                len -= out;
        }
        while (len) {
                size_t used = escape_next(bytes, len, "", piece);
                size_t add = strlen(piece);
                if (out + add + 1 > size) {
                        if (size >= sizeof dots) {
                                memcpy(to + safe, dots, sizeof dots);
                                return safe + sizeof dots - 1;
                        }
                        break;
                }
                memcpy(to + out, piece, add);
                out += add;
                if (out + sizeof dots <= size)
                        safe = out;
                bytes += used;
                len -= used;
        }
        to[out] = '\0';
        return out;
}

static char *escaped(const char *text, const char *keep)
{
        if (!text)
                return NULL;
        size_t len = strlen(text);
        /* More than any character takes once it is escaped: the limit is never met. */
        struct buf out = BUF_WITH_MAX(len * 12 + 1);
        char piece[16];
        while (len) {
                size_t run = plain_run(text, len), used = run;
                if (!run)
                        used = escape_next(text, len, keep, piece);
                if ((run ? buf_append(&out, text, run) : buf_append_text(&out, piece)) < 0)
                        abort();
                text += used;
                len -= used;
        }
        return buf_take_text(&out);
}

char *printable_text(const char *text)
{
        return escaped(text, "");
}

char *printable_lines(const char *text)
{
        return escaped(text, "\n\t");
}

size_t printable_width(const char *text)
{
        size_t width = 0, len = strlen(text);
        uint32_t point = 0;

        while (len) {
                size_t used = utf8_character(text, len, &point);
                int columns = used ? wcwidth((wchar_t)point) : 1;
                width += columns > 0 ? (size_t)columns : 0;
                text += used ? used : 1;
                len -= used ? used : 1;
        }
        return width;
}
