/* SPDX-License-Identifier: MIT */
/* Reading one complete IMAP response; see cursor.h. Nothing recurses: lists are counted. */
#include "daemon/imap/cursor.h"

#include <strings.h>

/* What ends an atom for a reader that is to bear with servers: fewer than the atom-specials of RFC 3501, 9,
 * so that a flag or a mailbox with an odd byte is still read whole. */
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

/* With `brackets` what stands in [] belongs to the word, blanks and parentheses too: BODY[HEADER.FIELDS
 * (DATE)] is one name (RFC 3501, 7.4.2). A bracket that is never closed is a byte like others. */
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

/* Digits up to the end of the word, at most `max`; else nothing is consumed. No digit is read that would
 * overflow, and no sign or blank is taken, as strtoull() would. */
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

/* The text keeps its backslashes: it is a view into the response, and who needs it plain unescapes a copy. */
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

/* "{12}" and the line end behind it; "{12+}" is the non-synchronizing form (RFC 7888), which servers have
 * no use for and some send. A bare LF is accepted for CRLF. */
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

/* The whole literal has to be in the response: its reader counted the bytes before. "~" introduces a
 * literal8, which may hold NUL (RFC 3516, 4.4). */
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

/* An nstring, or an atom in its place. A quote or a brace that begins no string is read as a word: what is
 * malformed costs one field and not the response. */
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

/* One value of any kind, lists with all that is in them. The depth is a counter, so that a server cannot
 * fill the stack; each turn consumes at least one byte or ends. A list that is not closed ends with the
 * response. */
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
