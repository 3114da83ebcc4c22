/* SPDX-License-Identifier: MIT */
/*
 * Reads one complete IMAP response from left to right: words, numbers, strings, lists
 * (RFC 9051 section 9). Each function takes what it names from the front; false leaves
 * the cursor somewhere inside. Servers' mistakes in values do no harm: a quote or brace that
 * nothing closes is a character of a word, and a list ends with the response at the latest.
 */
#pragma once

#include "common/cleanup.h"

struct imap_cursor {
        const char *at, *end;
};

enum imap_form { IMAP_ATOM, IMAP_QUOTED, IMAP_LITERAL, IMAP_NIL };

/* A value as it stands in the text: a quoted one still has its backslashes. */
struct imap_text {
        const char *bytes;
        size_t len;
        enum imap_form form;
};

static inline struct imap_cursor imap_cursor(const char *text, size_t len)
{
        return (struct imap_cursor){ text, text + len };
}
/* Takes the character `c` when it is next. */
bool imap_take(struct imap_cursor *cursor, char c);
/* Takes blanks; true when there was one. */
bool imap_blanks(struct imap_cursor *cursor);
/* A word: up to a blank, parenthesis or line end. */
bool imap_word(struct imap_cursor *cursor, struct imap_text *out) must_use;
/* The name of an item of FETCH: a word to which belongs what stands in brackets (BODY[HEADER.FIELDS (TO)]).
 */
bool imap_item_name(struct imap_cursor *cursor, struct imap_text *out) must_use;
/* A number that is at most `max`, ended by a delimiter. */
bool imap_number(struct imap_cursor *cursor, uint64_t max, uint64_t *out) must_use;
/* An atom, quoted string, literal or NIL. */
bool imap_string(struct imap_cursor *cursor, struct imap_text *out) must_use;
/* Any value, also a list. False at the end of the response and before a closing parenthesis only. */
bool imap_skip(struct imap_cursor *cursor);
/* "{5}" or "{5+}" and a line end are next: taken. */
bool imap_literal_size(struct imap_cursor *cursor, uint64_t *out) must_use;
/* Equal without regard to case. */
bool imap_is(const struct imap_text *text, const char *word);
