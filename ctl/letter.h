/* SPDX-License-Identifier: MIT */
/*
 * A message looked at as text, before it is handed over: where its header ends, what SMTP could not carry as
 * it is, whom it names. No MIME here (that is mime.h); fields of a header only, by RFC 5322 section 2.2.
 */
#pragma once

#include "common/cause.h"

#include <jansson.h>

/* One field, unfolding left to letter_value. Not NUL-ended. */
struct letter_field {
        const char *name, *value; /* value: after the colon, with its folds and without the last line end */
        size_t name_len, value_len;
};
/* Length of the first line with its end, which is CRLF, LF or a bare CR, as the station has it. */
size_t letter_line(const char *bytes, size_t len);
/* The field at *at (start with 0) and on to the next; false at the end of the header: *at is then where the
 * blank line, or the first line that is no field, begins. */
bool letter_next(const char *bytes, size_t len, size_t *at, struct letter_field *out);
bool letter_field_is(const struct letter_field *field, const char *name);
/* The value on one line, without blanks around it; the caller frees. */
char *letter_value(const struct letter_field *field) must_use;
/* The first field with that name as letter_value; NULL when there is none. */
char *letter_find(const char *bytes, size_t len, const char *name) must_use;

/* True when the bytes begin with a header: fields up to a blank line or the end, one of them a known one. */
bool letter_has_header(const char *bytes, size_t len);

struct letter_facts {
        size_t body;      /* where the body begins, after the blank line */
        bool blank_line;  /* there is one between header and body */
        size_t long_line; /* number of the first line over 998 bytes; 0 = none */
        size_t nul_line;  /* number of the first line with a NUL; 0 = none */
        bool header_bad;  /* one of those two is in the header */
        bool header_eight_bit, body_eight_bit;
        bool declared; /* the body's 8-bit bytes are declared: Content-Transfer-Encoding: 8bit */
        bool sealed;   /* signed or encrypted: a changed byte would break it */
};
void letter_look(const char *bytes, size_t len, struct letter_facts *out);
/* What cannot go as it is and may be encoded anew; false also for sealed ones. */
bool letter_needs_encoding(const struct letter_facts *facts);
/* Refuses what nothing can help: -1 with a cause that names the line. */
int letter_check_sealed(const struct letter_facts *facts, struct cause *cause) must_use;

/* Adds the addresses of a list ("A <a@b>, c@d, Group: e@f;") to `into`, an array of texts; those without a
 * domain get `domain`. -1 with a cause for one that is no address. */
int letter_addresses(const char *list, const char *domain, json_t *into, struct cause *cause) must_use;
/* The addresses of To, Cc and Bcc, or of their Resent- forms where there are any. */
int letter_recipients(const char *bytes, size_t len, const char *domain, json_t *into,
                      struct cause *cause) must_use;
/* The domain for addresses without one: /etc/mailname, else the machine's full name. The caller frees. */
char *letter_domain(void) must_use;
