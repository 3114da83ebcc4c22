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

/* 0..63, or -1. */
static int value_of(char c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters to one, two or three bytes (their number is returned); `last` may be padded. */
static int decode_four(const char text[4], bool last, uint8_t out[3])
{
        int pad = last && text[3] == '=' ? (text[2] == '=' ? 2 : 1) : 0;
        uint32_t bits = 0;

        for (int i = 0; i < 4; i++) {
                int value = i < 4 - pad ? value_of(text[i]) : 0;
                if (value < 0)
                        return -1;
                bits = bits << 6 | (uint32_t)value;
        }
        if (bits & ((1u << (8 * pad)) - 1))
                return -1; /* bits under the padding: a second spelling of the same bytes */
        out[0] = (uint8_t)(bits >> 16);
        out[1] = (uint8_t)(bits >> 8);
        out[2] = (uint8_t)bits;
        return 3 - pad;
}

int base64_decode(const char *text, size_t len, uint8_t **out, size_t *out_len)
{
        if (len % 4)
                return -1;
        size_t room = len / 4 * 3, used = 0;
        uint8_t *bytes = new_zeroed(room + 1, 1);
        for (size_t i = 0; i < len; i += 4) {
                int got = decode_four(text + i, i + 4 == len, bytes + used);
                if (got < 0) {
                        explicit_bzero(bytes, room);
                        free(bytes);
                        return -1;
                }
                used += (size_t)got;
        }
        *out = bytes;
        *out_len = used;
        return 0;
}
