/* SPDX-License-Identifier: MIT */
/*
 * Folder names between quotes; see folder.h. Modified UTF-7: printable ASCII stands for itself, the rest is
 * UTF-16 in a base64 of its own between & and -.
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

/* ---- the way back ---- */

static int digit_value(char c)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";
        const char *at = c ? strchr(digits, c) : NULL;

        return at ? (int)(at - digits) : -1;
}

static size_t write_utf8(uint32_t point, char text[4])
{
        static const uint8_t leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
        size_t len = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

        for (size_t i = len - 1; i > 0; i--, point >>= 6)
                text[i] = (char)(0x80 | (point & 0x3f));
        text[0] = (char)(leads[len] | point);
        return len;
}

/* One unit of UTF-16; half a character waits in *high. False: it is none that can stand there. */
static bool take_unit(struct buf *out, uint32_t unit, uint32_t *high)
{
        char text[4];

        if (!*high && unit >= 0xd800 && unit < 0xdc00) {
                *high = unit;
                return true;
        }
        bool low = unit >= 0xdc00 && unit < 0xe000;
        if (low != (*high != 0))
                return false;
        uint32_t point = low ? 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00) : unit;
        *high = 0;
        size_t len = write_utf8(point, text);
        return point >= 0x20 && point != 0x7f && buf_append(out, text, len) == 0;
}

/* What stands between & and -. */
static bool take_shift(struct buf *out, const char *at, const char *end)
{
        uint32_t bits = 0, high = 0;
        unsigned count = 0;

        for (; at < end; at++) {
                int value = digit_value(*at);
                if (value < 0)
                        return false;
                bits = bits << 6 | (uint32_t)value;
                count += 6;
                if (count >= 16) {
                        count -= 16;
                        if (!take_unit(out, bits >> count & 0xffff, &high))
                                return false;
                        bits &= (1u << count) - 1;
                }
        }
        return !high && !bits && count < 6;
}

static bool decode(struct buf *out, const char *at, const char *end)
{
        while (at < end) {
                if (*at != '&') {
                        if (*at < 0x20 || *at > 0x7e || buf_append(out, at, 1) != 0)
                                return false;
                        at++;
                        continue;
                }
                const char *dash = memchr(at, '-', (size_t)(end - at));
                if (!dash || (dash == at + 1 ? buf_append(out, "&", 1) != 0 : !take_shift(out, at + 1, dash)))
                        return false;
                at = dash + 1;
        }
        return true;
}

char *imap_folder_plain(const char *bytes, size_t len, bool utf8)
{
        struct buf out = BUF_WITH_MAX(LIMIT_LINE);

        if (!utf8 && decode(&out, bytes, bytes + len))
                return buf_take_text(&out);
        buf_free(&out);
        return utf8_valid(bytes, len) && !memchr(bytes, '\0', len) ? copy_bytes(bytes, len) : NULL;
}
