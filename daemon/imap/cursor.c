/* SPDX-License-Identifier: MIT */
/* Reading one complete IMAP response; see cursor.h. Nothing recurses: lists are counted. */
#include "daemon/imap/cursor.h"

#include <strings.h>

static bool ends_word(char c)
{
        return c == ' ' || c == '(' || c == ')' || c == '\r' || c == '\n';
}

bool imap_take(struct imap_cursor *cursor, char c)
{
        if (cursor->at == cursor->end || *cursor->at != c)
                return false;
        cursor->at++;
        return true;
}

bool imap_blanks(struct imap_cursor *cursor)
{
        bool any = false;

        while (imap_take(cursor, ' '))
                any = true;
        return any;
}

bool imap_is(const struct imap_text *text, const char *word)
{
        return strlen(word) == text->len && strncasecmp(text->bytes, word, text->len) == 0;
}

static bool word(struct imap_cursor *cursor, bool brackets, struct imap_text *out)
{
        const char *at = cursor->at;

        while (at < cursor->end && !ends_word(*at)) {
                const char *close =
                        brackets && *at == '[' ? memchr(at, ']', (size_t)(cursor->end - at)) : NULL;
                at = close ? close + 1 : at + 1;
        }
        *out = (struct imap_text){ cursor->at, (size_t)(at - cursor->at), IMAP_ATOM };
        cursor->at = at;
        return out->len > 0;
}

bool imap_word(struct imap_cursor *cursor, struct imap_text *out)
{
        return word(cursor, false, out);
}

bool imap_item_name(struct imap_cursor *cursor, struct imap_text *out)
{
        return word(cursor, true, out);
}

bool imap_number(struct imap_cursor *cursor, uint64_t max, uint64_t *out)
{
        const char *at = cursor->at;
        uint64_t number = 0;

        for (; at < cursor->end && *at >= '0' && *at <= '9'; at++) {
                uint64_t digit = (uint64_t)(*at - '0');
                if (number > (max - digit) / 10 || digit > max)
                        return false;
                number = number * 10 + digit;
        }
        if (at == cursor->at || (at < cursor->end && !ends_word(*at) && *at != ']'))
                return false;
        cursor->at = at;
        *out = number;
        return true;
}

static bool quoted(struct imap_cursor *cursor, struct imap_text *out)
{
        const char *at = cursor->at + 1;

        while (at < cursor->end && *at != '"')
                at += *at == '\\' ? 2 : 1;
        if (at >= cursor->end)
                return false;
        *out = (struct imap_text){ cursor->at + 1, (size_t)(at - cursor->at) - 1, IMAP_QUOTED };
        cursor->at = at + 1;
        return true;
}

bool imap_literal_size(struct imap_cursor *cursor, uint64_t *out)
{
        const char *at = cursor->at;
        uint64_t size = 0;

        if (at == cursor->end || *at++ != '{' || at == cursor->end || *at < '0' || *at > '9')
                return false;
        for (; at < cursor->end && *at >= '0' && *at <= '9'; at++)
                if (__builtin_mul_overflow(size, 10u, &size) ||
                    __builtin_add_overflow(size, (uint64_t)(*at - '0'), &size))
                        return false;
        struct imap_cursor rest = { at, cursor->end };
        (void)imap_take(&rest, '+');
        if (!imap_take(&rest, '}'))
                return false;
        (void)imap_take(&rest, '\r');
        if (!imap_take(&rest, '\n'))
                return false;
        *cursor = rest;
        *out = size;
        return true;
}

static bool literal(struct imap_cursor *cursor, struct imap_text *out)
{
        struct imap_cursor at = *cursor;
        uint64_t size;

        (void)imap_take(&at, '~');
        if (!imap_literal_size(&at, &size) || size > (uint64_t)(at.end - at.at))
                return false;
        *out = (struct imap_text){ at.at, (size_t)size, IMAP_LITERAL };
        cursor->at = at.at + size;
        return true;
}

bool imap_string(struct imap_cursor *cursor, struct imap_text *out)
{
        if (cursor->at == cursor->end)
                return false;
        if (*cursor->at == '"' && quoted(cursor, out))
                return true;
        if ((*cursor->at == '{' || *cursor->at == '~') && literal(cursor, out))
                return true;
        if (!imap_item_name(cursor, out)) /* where a name is missing its value a name may stand */
                return false;
        if (imap_is(out, "NIL"))
                out->form = IMAP_NIL;
        return true;
}

bool imap_skip(struct imap_cursor *cursor)
{
        struct imap_text ignored;
        size_t depth = 0;

        do {
                (void)imap_blanks(cursor);
                if (imap_take(cursor, '(')) {
                        depth++;
                } else if (depth && imap_take(cursor, ')')) {
                        depth--;
                } else if (!imap_string(cursor, &ignored)) {
                        if (!depth)
                                return false;
                        if (cursor->at == cursor->end)
                                return true;
                        cursor->at++; /* a line end that is none of a literal */
                }
        } while (depth);
        return true;
}
