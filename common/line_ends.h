/* SPDX-License-Identifier: MIT */
/*
 * Line ends of received messages. On the wire they are CRLF, which is the canonical form: sizes and digests
 * are of it. A Maildir holds LF, as every program writes it. Each CRLF becomes LF and nothing else is
 * touched, so that the way back (each LF becomes CRLF) gives the same bytes, whatever they are; but for
 * messages that have a LF without its CR. Those stay as they came, and a mark says so. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the bytes of a file are to those of the message. Part of the database: values stay. */
enum line_ends {
        LINE_ENDS_UNKNOWN = 0, /* somebody else wrote the file, or a version before there was LF */
        LINE_ENDS_LF = 1,      /* LF stands for CRLF */
        LINE_ENDS_AS_CAME = 2, /* the same bytes: there are LF without CR among them */
};

/*
 * Shortens a piece of a message in place; its new length. Where the last byte is a CR it is held back: *cr is
 * true then, and the next piece has to begin with its LF (else the caller writes the CR and sets *cr to false
 * before). A LF without CR ends it: *taken is how many bytes of the piece were looked at, fewer than `len`
 * only then.
 */
size_t line_ends_shorten(uint8_t *bytes, size_t len, bool *cr, size_t *taken);
/* The way back: `out` has room for 2 * len. How many it wrote. */
size_t line_ends_lengthen(const uint8_t *bytes, size_t len, uint8_t *out);
