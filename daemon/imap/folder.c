/* SPDX-License-Identifier: MIT */
/*
 * Folder names between quotes; see folder.h. Modified UTF-7: printable ASCII stands for itself, the rest is UTF-16 in
 * a base64 of its own between & and -.
 */
#include "daemon/imap/folder.h"

#include "common/buf.h"
#include "common/limits.h"
#include "common/printable.h"

/* Bits on their way into base64. */
struct shift {
        struct buf *out;
        uint32_t bits;
        unsigned count;
        bool failed;
};

static void put(struct shift *shift, char c)
{
        if (buf_append(shift->out, &c, 1) != 0)
                shift->failed = true;
}

static void put_bits(struct shift *shift, uint32_t value, unsigned count)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

        shift->bits = shift->bits << count | value;
        shift->count += count;
        while (shift->count >= 6) {
                shift->count -= 6;
                put(shift, digits[shift->bits >> shift->count & 63]);
        }
        shift->bits &= (1u << shift->count) - 1;
}

static void put_utf16(struct shift *shift, uint32_t point)
{
        if (point >= 0x10000) {
                put_bits(shift, 0xd800 + ((point - 0x10000) >> 10), 16);
                point = 0xdc00 + ((point - 0x10000) & 0x3ff);
        }
        put_bits(shift, point, 16);
}

static void end_shift(struct shift *shift)
{
        if (shift->count)
                put_bits(shift, 0, 6 - shift->count);
        put(shift, '-');
}

static void put_plain(struct shift *shift, char c)
{
        if (c == '"' || c == '\\')
                put(shift, '\\');
        put(shift, c);
        if (c == '&')
                put(shift, '-');
}

/* As it is, between the quotes. */
static void put_utf8(struct shift *shift, const char *name)
{
        size_t left = strlen(name);

        while (left && !shift->failed) {
                uint32_t point;
                size_t len = utf8_character(name, left, &point);
                if (!len || point < 0x20 || point == 0x7f) {
                        shift->failed = true;
                        return;
                }
                if (*name == '"' || *name == '\\')
                        put(shift, '\\');
                for (size_t i = 0; i < len; i++)
                        put(shift, name[i]);
                name += len;
                left -= len;
        }
}

static void put_utf7(struct shift *shift, const char *name)
{
        size_t left = strlen(name);
        bool shifted = false;

        while (left && !shift->failed) {
                uint32_t point;
                size_t len = utf8_character(name, left, &point);
                bool plain = point >= 0x20 && point <= 0x7e;
                if (!len) {
                        shift->failed = true;
                        break;
                }
                if (plain && shifted)
                        end_shift(shift);
                if (!plain && !shifted)
                        put(shift, '&');
                shifted = !plain;
                if (plain)
                        put_plain(shift, *name);
                else
                        put_utf16(shift, point);
                name += len;
                left -= len;
        }
        if (shifted)
                end_shift(shift);
}

char *imap_folder_quoted(const char *name, bool utf8)
{
        struct buf out = BUF_WITH_MAX(LIMIT_LINE);
        struct shift shift = { .out = &out };

        put(&shift, '"');
        (utf8 ? put_utf8 : put_utf7)(&shift, name);
        put(&shift, '"');
        if (!shift.failed)
                return buf_take_text(&out);
        buf_free(&out);
        return NULL;
}
