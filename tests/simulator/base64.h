/* SPDX-License-Identifier: MIT */
/* Base64 for the simulated world, of its own: what the daemon's does wrong must not come right here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Returns how many bytes it is; never more than `size`, the rest is dropped. */
static inline size_t base64_read(const char *text, char *to, size_t size)
{
        unsigned held = 0, bits = 0;
        size_t len = 0;

        for (const char *at; *text && (at = strchr(base64_digits, *text)) && len < size; text++) {
                held = (held << 6 | (unsigned)(at - base64_digits)) & 0xffff;
                bits += 6;
                if (bits >= 8) {
                        bits -= 8;
                        to[len++] = (char)(held >> bits & 0xff);
                }
        }
        return len;
}

/* What PLAIN sends (RFC 4616): *user and *password lie in `plain`. False: it is none. */
enum { PLAIN_MOST = 256 };
static inline bool base64_read_plain(const char *text, char plain[PLAIN_MOST], const char **user,
                                     const char **password)
{
        size_t len = base64_read(text, plain, PLAIN_MOST - 1);

        plain[len] = '\0';
        *user = plain + strlen(plain) + 1;
        if (*user >= plain + len)
                return false;
        *password = *user + strlen(*user) + 1;
        return *password <= plain + len;
}

/* The caller frees. */
static inline char *base64_written(const char *bytes, size_t len)
{
        char *text = calloc(1, len / 3 * 4 + 8), *to = text;

        for (size_t i = 0; text && i < len; i += 3) {
                unsigned v = (unsigned)(unsigned char)bytes[i] << 16;
                v |= i + 1 < len ? (unsigned)(unsigned char)bytes[i + 1] << 8 : 0;
                v |= i + 2 < len ? (unsigned)(unsigned char)bytes[i + 2] : 0;
                *to++ = base64_digits[v >> 18 & 63];
                *to++ = base64_digits[v >> 12 & 63];
                *to++ = i + 1 < len ? base64_digits[v >> 6 & 63] : '=';
                *to++ = i + 2 < len ? base64_digits[v & 63] : '=';
        }
        return text;
}
