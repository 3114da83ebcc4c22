/* SPDX-License-Identifier: MIT */
/*
 * Fields of a header as SMTP carries them: lines of at most 998 bytes of ASCII (RFC 5322 section 2.1.1),
 * other text in encoded words (RFC 2047) and parameters (RFC 2231), domains as A-labels. What a field says is
 * the same before and after.
 */
#pragma once

#include "common/buf.h"
#include "ctl/draft.h"

/* Appends the field, which ends at `end`, as it is or written anew. -1 with a cause without the number of its
 * line when it cannot be carried, or when `out` is full. */
int field_write(const struct draft_field *field, const char *end, struct buf *out, struct cause *cause)
        must_use;
/* The value of a list of addresses in ASCII, but for a part before an @ that has no such form. The caller
 * frees. */
char *field_ascii_addresses(const char *value) must_use;
/* The charset that bytes are in by the look of them: us-ascii, utf-8, else one that has a character for each
 * byte. */
const char *text_charset(const char *text, size_t len);
