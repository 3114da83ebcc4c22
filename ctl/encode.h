/* SPDX-License-Identifier: MIT */
/*
 * A message that SMTP could not carry as it is, encoded anew: header fields, and the parts that need it, in
 * their place; everything else is copied byte for byte. Nothing is lost: what was made is read again and
 * compared with what came, and what cannot be carried without a loss is refused with its line.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

/* What becomes of 8-bit characters in the body. ENCODED: they are encoded, since nobody knows here whether
 * the server has 8BITMIME; where that cannot be (in what is signed) they stay, and the server decides. 7BIT:
 * that is refused. 8BITMIME: they stay as they are. */
enum encode_body { BODY_ENCODED, BODY_7BIT, BODY_8BITMIME };

/* Appends the message to `out`, with the MIME fields that it needs then. -1 with a cause (UNSENDABLE naming
 * the line, TOO_LARGE). */
int encode_draft(const char *bytes, size_t len, enum encode_body body, struct buf *out, struct cause *cause)
        must_use;

/* True when both messages say the same: leaf by leaf, decoded, byte for byte but for LF and CRLF in text, and
 * what stands before and behind the parts of a multipart. */
bool encode_proves(const char *before, size_t before_len, const char *after, size_t after_len);
