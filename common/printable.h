/* SPDX-License-Identifier: MIT */
/*
 * Text from outside made safe for a terminal, a journal line and a sentence:
 * C0 and C1 controls, DEL, bidirectional and zero-width controls and invalid
 * UTF-8 become \xNN or \u{NNNN} (S34). A backslash stays as it is.
 */
#pragma once

#include "common/cleanup.h"

/* Copies `len` bytes escaped into `to` (always NUL-ended), cut at a whole
 * character when it does not fit, then ended by "...". Returns the length. */
size_t printable_copy(char *to, size_t size, const char *bytes, size_t len);

/* The same as a new string, uncut; the caller frees. NULL gives NULL. */
char *printable_text(const char *text) must_use;

/* As printable_text, but keeps \n and \t: for message bodies shown to a person. */
char *printable_lines(const char *text) must_use;

/* Length in bytes of the valid UTF-8 character at the front of `bytes`, its code
 * point in *out_point; 0 when there is none. */
size_t utf8_character(const char *bytes, size_t len, uint32_t *out_point);

/* True of characters that move, hide or reorder what a person reads. */
bool is_treacherous(uint32_t point);

/* True when all of it is valid UTF-8. */
bool utf8_valid(const char *bytes, size_t len);

/* Columns a printable text takes on a terminal (wide and combining characters counted). */
size_t printable_width(const char *text);
