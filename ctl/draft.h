/* SPDX-License-Identifier: MIT */
/*
 * A message as programs hand it in, looked at as text: where its header ends, what SMTP could not carry as it
 * is, whom it names; and made into one by RFC 5322. No MIME here (that is mime.h); fields of a header only,
 * by RFC 5322 section 2.2.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

#include <jansson.h>

/* One field, unfolding left to draft_value. Not NUL-ended. */
struct draft_field {
        const char *name, *value; /* value: after the colon, with its folds and without the last line end */
        size_t name_len, value_len;
};
/* Length of the first line with its end, which is LF, and the CR before it where there is one. */
size_t draft_line(const char *bytes, size_t len);
/* The field at *at (start with 0) and on to the next; false at the end of the header: *at is then where the
 * blank line, or the first line that is no field, begins. */
bool draft_next(const char *bytes, size_t len, size_t *at, struct draft_field *out);
bool draft_field_is(const struct draft_field *field, const char *name);
/* The bytes begin with an empty line. */
bool draft_is_blank(const char *bytes, size_t len);
/* The value on one line, without blanks around it; the caller frees. */
char *draft_value(const struct draft_field *field) must_use;
/* The first field with that name as draft_value; NULL when there is none. */
char *draft_find(const char *bytes, size_t len, const char *name) must_use;

/* True when the bytes begin with a header: fields up to a blank line or the end, one of them a known one. */
bool draft_has_header(const char *bytes, size_t len);

struct draft_info {
        size_t body;      /* where the body begins, after the blank line */
        bool blank_line;  /* there is one between header and body */
        size_t long_line; /* number of the first line over 998 bytes; 0 = none */
        size_t nul_line;  /* number of the first line with a NUL; 0 = none */
        size_t cr_line;   /* number of the first line with a CR that is not its end; 0 = none */
        bool header_eight_bit, body_eight_bit;
        bool binary; /* the word is somewhere: a part may be declared so, and have line ends that are none */
};
void draft_look(const char *bytes, size_t len, struct draft_info *out);
/* Whether anything is there that SMTP might not carry as it is; ctl/encode.h looks closer. */
bool draft_needs_encoding(const struct draft_info *info);

/* The addresses of To, Cc and Bcc, or of their Resent- forms where there are any, as mailboxes_add
 * (common/mailboxes.h). */
void draft_recipients(const char *bytes, size_t len, json_t *into, struct causes *bad);

/* Makes a message of what was handed in: what stands before its header goes (a byte order mark, the line of
 * an mbox), the blank line behind it comes, a From that names nobody goes. Local names become addresses in
 * the daemon. -1 when the text is full. */
int draft_mend(struct buf *text, struct cause *cause) must_use;
/* Only what stands before the header, and the line ends of a text that has CR for them. */
void draft_mend_front(struct buf *text);
