/* SPDX-License-Identifier: MIT */
/*
 * Content-Transfer-Encoding (RFC 2045 section 6): how the bytes of a part are written, read and chosen. Lines
 * that are made end with LF.
 */
#pragma once

#include "common/buf.h"

enum transfer {
        TRANSFER_SEVEN, /* 7bit, or none named */
        TRANSFER_EIGHT,
        TRANSFER_BINARY,
        TRANSFER_QUOTED,
        TRANSFER_BASE64,
        TRANSFER_UNKNOWN /* the bytes are taken as they stand (section 6.4) */
};
/* Of a field's value; NULL is TRANSFER_SEVEN. */
enum transfer transfer_named(const char *value);

/* Writes text: LF and CRLF are line ends, everything else comes back byte for byte. No line could be taken
 * for the boundary of a multipart or the beginning of a message in an mbox. -1 when `out` is full. */
int quoted_encode(const char *bytes, size_t len, struct buf *out) must_use;
/* Lines of 76 characters, the last one without an end; -1 when `out` is full. */
int base64_lines(const char *bytes, size_t len, struct buf *out) must_use;

/* What a part's bytes say, as a reader of good will takes them: base64 that is none, and quoted-printable's
 * wrong sequences, are what stands there; quoted-printable's line ends come out as CRLF. The caller frees. */
char *transfer_decode(enum transfer transfer, const char *bytes, size_t len, size_t *out_len) must_use;
/* True when the bytes are base64 and nothing but line ends and blanks. */
bool base64_is(const char *bytes, size_t len);
