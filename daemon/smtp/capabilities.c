/* SPDX-License-Identifier: MIT */
/* The keywords of EHLO that matter here, by a table; all others are only shown. */
#include "daemon/smtp/capabilities.h"

#include "common/limits.h"
#include "common/printable.h"
#include "daemon/smtp/reply.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

enum { MECHANISM_NAME = 20 }; /* RFC 4422 section 3.1 */

/* RFC 5321 has blanks only; some servers line their words up. */
static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

static bool mechanism_char(char c)
{
        return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* Adds each mechanism name of "PLAIN LOGIN"; what is none, or does not fit, is left out. */
static void take_auth(struct smtp_capabilities *can, const char *words, size_t len)
{
        size_t used = strlen(can->auth);

        for (size_t at = 0; at < len;) {
                size_t word = 0;
                while (at + word < len && mechanism_char(words[at + word]))
                        word++;
                bool whole = at + word == len || is_blank(words[at + word]);
                if (word && word <= MECHANISM_NAME && whole && used + word + 2 <= sizeof can->auth) {
                        if (used)
                                can->auth[used++] = ' ';
                        for (size_t i = 0; i < word; i++)
                                can->auth[used++] = (char)toupper((unsigned char)words[at + i]);
                        can->auth[used] = '\0';
                }
                while (at < len && !is_blank(words[at]))
                        at++;
                while (at < len && is_blank(words[at]))
                        at++;
        }
}

/* A number that is none or does not fit means no fixed limit: the server decides. */
static void take_size(struct smtp_capabilities *can, const char *words, size_t len)
{
        uint64_t size = 0;

        can->size_known = true;
        for (size_t i = 0; i < len; i++) {
                if (words[i] < '0' || words[i] > '9' || size > (UINT64_MAX - 9) / 10)
                        return;
                size = size * 10 + (uint64_t)(words[i] - '0');
        }
        can->max_size = size;
}

static const struct {
        const char *keyword;
        size_t flag; /* offset of a bool, or of can->ehlo (true anyway) where `read` does the work */
        void (*read)(struct smtp_capabilities *can, const char *words, size_t len);
} keywords[] = {
        { "STARTTLS", offsetof(struct smtp_capabilities, starttls), NULL },
        { "PIPELINING", offsetof(struct smtp_capabilities, pipelining), NULL },
        { "8BITMIME", offsetof(struct smtp_capabilities, eight_bit), NULL },
        { "SMTPUTF8", offsetof(struct smtp_capabilities, smtputf8), NULL },
        { "CHUNKING", offsetof(struct smtp_capabilities, chunking), NULL },
        { "DSN", offsetof(struct smtp_capabilities, dsn), NULL },
        { "ENHANCEDSTATUSCODES", offsetof(struct smtp_capabilities, enhanced), NULL },
        { "SIZE", offsetof(struct smtp_capabilities, ehlo), take_size },
        { "AUTH", offsetof(struct smtp_capabilities, ehlo), take_auth },
};

static void take_line(struct smtp_capabilities *can, const char *line, size_t len)
{
        size_t word = 0;

        /* "AUTH=LOGIN" is an old form of some servers. */
        while (word < len && !is_blank(line[word]) && line[word] != '=')
                word++;
        size_t rest = word < len ? word + 1 : len;
        for (size_t i = 0; i < count_of(keywords); i++) {
                if (strlen(keywords[i].keyword) != word || strncasecmp(keywords[i].keyword, line, word) != 0)
                        continue;
                *(bool *)((char *)can + keywords[i].flag) = true;
                if (keywords[i].read)
                        keywords[i].read(can, line + rest, len - rest);
        }
}

static void show_line(struct smtp_capabilities *can, const char *line, size_t len)
{
        size_t used = strlen(can->text);
        char shown[128];

        size_t count = printable_copy(shown, sizeof shown, line, len);
        if (used + count + 3 > sizeof can->text)
                return;
        (void)snprintf(can->text + used, sizeof can->text - used, "%s%s", used ? ", " : "", shown);
}

void smtp_capabilities_read(struct smtp_capabilities *can, const struct reply *reply)
{
        const char *at = (const char *)buf_bytes(&reply->text);
        const char *end = at ? at + reply->text.len : at;
        size_t lines = 0;

        *can = (struct smtp_capabilities){ .ehlo = true };
        while (at < end && lines <= LIMIT_CAPABILITIES) {
                const char *stop = memchr(at, '\n', (size_t)(end - at));
                size_t len = (size_t)((stop ? stop : end) - at);
                if (lines++ > 0) { /* the first is the server's name */
                        take_line(can, at, len);
                        show_line(can, at, len);
                }
                at += len + (stop != NULL);
        }
}
