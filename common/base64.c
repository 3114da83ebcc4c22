/* SPDX-License-Identifier: MIT */
/* Base64 of RFC 4648 section 4: with padding, without line ends, nothing lenient. Declared in json_fields.h.
 */
#include "common/json_fields.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *bytes, size_t len)
{
        const uint8_t *from = bytes;
        char *text = new_zeroed((len + 2) / 3 * 4 + 1, 1), *to = text;

        for (; len >= 3; len -= 3, from += 3) {
                *to++ = digits[from[0] >> 2];
                *to++ = digits[(from[0] & 3) << 4 | from[1] >> 4];
                *to++ = digits[(from[1] & 15) << 2 | from[2] >> 6];
                *to++ = digits[from[2] & 63];
        }
        if (len) {
                uint8_t second = len == 2 ? from[1] : 0;
                *to++ = digits[from[0] >> 2];
                *to++ = digits[(from[0] & 3) << 4 | second >> 4];
                *to++ = len == 2 ? digits[(second & 15) << 2] : '=';
                *to++ = '=';
        }
        return text;
}

/* By character: 64 and its 0..63; 0: none of the digits. */
static const uint8_t digit_values[256] = {
        0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
        0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
        0,   0,   0,   0,   0,   126, 0,   0,   0,   127, 116, 117, 118, 119, 120, 121, 122, 123, 124,
        125, 0,   0,   0,   0,   0,   0,   0,   64,  65,  66,  67,  68,  69,  70,  71,  72,  73,  74,
        75,  76,  77,  78,  79,  80,  81,  82,  83,  84,  85,  86,  87,  88,  89,  0,   0,   0,   0,
        0,   0,   90,  91,  92,  93,  94,  95,  96,  97,  98,  99,  100, 101, 102, 103, 104, 105, 106,
        107, 108, 109, 110, 111, 112, 113, 114, 115, 0,   0,   0,   0,   0,
};

/* Four digits to three bytes. False: they are not all digits. */
static bool decode_four(const char text[4], uint8_t out[3])
{
        unsigned a = digit_values[(uint8_t)text[0]], b = digit_values[(uint8_t)text[1]];
        unsigned c = digit_values[(uint8_t)text[2]], d = digit_values[(uint8_t)text[3]];

        out[0] = (uint8_t)(a << 2 | (b & 63) >> 4);
        out[1] = (uint8_t)(b << 4 | (c & 63) >> 2);
        out[2] = (uint8_t)(c << 6 | (d & 63));
        return (a & b & c & d & 64) != 0;
}

/* The last four, which may be padded. Returns how many bytes they are, or -1; bits under the padding would be
 * a second spelling of the same bytes. */
static int decode_last(const char text[4], uint8_t out[3])
{
        int pad = text[3] != '=' ? 0 : text[2] != '=' ? 1 : 2;
        char filled[4] = { text[0], text[1], pad == 2 ? 'A' : text[2], pad ? 'A' : text[3] };

        if (!decode_four(filled, out) || (pad == 1 && out[2]) || (pad == 2 && out[1]))
                return -1;
        return 3 - pad;
}

int base64_decode(const char *text, size_t len, uint8_t **out, size_t *out_len)
{
        if (len % 4)
                return -1;
        size_t room = len / 4 * 3;
        uint8_t *bytes = new_zeroed(room + 1, 1), *to = bytes;
        bool good = true;
        int last = 0;
        for (; len > 4; len -= 4, text += 4, to += 3)
                good = decode_four(text, to) && good;
        if (len)
                last = decode_last(text, to);
        if (!good || last < 0) {
                explicit_bzero(bytes, room);
                free(bytes);
                return -1;
        }
        *out = bytes;
        *out_len = (size_t)(to - bytes) + (size_t)last;
        return 0;
}
