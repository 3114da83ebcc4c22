/* SPDX-License-Identifier: MIT */
/*
 * A received message as a person reads it: its fields decoded, its text in UTF-8, a list of what else is in
 * it. What is broken is shown as it stands: a type that is none is text, a multipart without its boundary too
 * (RFC 2045 section 5.2), a character that cannot be read is U+FFFD, and what was guessed is said.
 */
#pragma once

#include "common/cause.h"
#include "ctl/transfer.h"

struct attachment {
        char *name; /* NULL = it has none */
        char *type;
        size_t size; /* decoded */
        char *bytes; /* them, where they are kept */
        enum transfer transfer;
};
struct view {
        char *from, *to, *cc, *date, *subject; /* NULL = no such field */
        char *text;                            /* NULL = there is none */
        bool html;                             /* the text is HTML: there is no plain one */
        bool cut;                              /* there is more than is shown */
        char *remark;                          /* what was guessed about the text; NULL = nothing */
        struct attachment *attachments;
        size_t attachment_count;
};
/* `decode` (of a field's text with encoded words; the result is freed) may be NULL: they stay as they are. */
/* `keep`: the bytes of attachments. */
void view_read(const char *bytes, size_t len, char *(*decode)(const char *text), bool keep, struct view *out);
void view_done(struct view *view);

/* Bytes in that charset ("" or NULL: none is named) as UTF-8. *remark: what had to be guessed, NULL when
 * nothing; both are the caller's. */
char *view_text(const char *bytes, size_t len, const char *charset, char **remark) must_use;
