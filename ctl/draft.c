/* SPDX-License-Identifier: MIT */
/* Header fields and lines of a message, and the address lists in them. */
#include "ctl/draft.h"

#include "common/limits.h"
#include "common/mailboxes.h"

#include <strings.h>

/* ---- fields ---- */

size_t draft_line(const char *bytes, size_t len)
{
        const char *lf = len ? memchr(bytes, '\n', len) : NULL;
        return lf ? (size_t)(lf - bytes) + 1 : len;
}

/* Length of the field name at the front (RFC 5322 3.6.8: printable without colon); 0 when there is none. */
static size_t name_length(const char *bytes, size_t len)
{
        size_t n = 0;
        while (n < len && bytes[n] > ' ' && bytes[n] < 127 && bytes[n] != ':')
                n++;
        /* Blanks before the colon are of the obsolete syntax (RFC 5322 section 4.5), and old
         * programs write them. */
        size_t colon = n;
        while (colon < len && (bytes[colon] == ' ' || bytes[colon] == '\t'))
                colon++;
        return n && colon < len && bytes[colon] == ':' ? n : 0;
}

bool draft_next(const char *bytes, size_t len, size_t *at, struct draft_field *out)
{
        size_t from = *at;
        size_t name = from < len ? name_length(bytes + from, len - from) : 0;
        if (!name)
                return false;
        size_t to = from + draft_line(bytes + from, len - from);
        /* Lines that begin with a blank go on with the field (RFC 5322 section 2.2.3). */
        while (to < len && (bytes[to] == ' ' || bytes[to] == '\t'))
                to += draft_line(bytes + to, len - to);
        const char *colon = memchr(bytes + from + name, ':', to - from - name);
        size_t end = to;
        while (end > from && (bytes[end - 1] == '\n' || bytes[end - 1] == '\r'))
                end--;
        const char *value = colon + 1;
        *out = (struct draft_field){ .name = bytes + from, .name_len = name, .value = value };
        out->value_len = bytes + end > value ? (size_t)(bytes + end - value) : 0;
        *at = to;
        return true;
}

bool draft_field_is(const struct draft_field *field, const char *name)
{
        return strlen(name) == field->name_len && !strncasecmp(field->name, name, field->name_len);
}

char *draft_value(const struct draft_field *field)
{
        char *out = new_zeroed(1, field->value_len + 1);
        size_t len = 0;
        for (size_t i = 0; i < field->value_len; i++) {
                char c = field->value[i];
                size_t eol = i;
                while (eol < field->value_len && field->value[eol] == '\r')
                        eol++;
                if (eol < field->value_len && field->value[eol] == '\n') {
                        i = eol; /* a fold, in a CR or more that some programs write */
                        continue;
                }
                if (c == '\0' || (len == 0 && (c == ' ' || c == '\t')))
                        continue;
                out[len++] = c;
        }
        while (len && (out[len - 1] == ' ' || out[len - 1] == '\t'))
                len--;
        out[len] = 0;
        return out;
}

char *draft_find(const char *bytes, size_t len, const char *name)
{
        struct draft_field field;
        for (size_t at = 0; draft_next(bytes, len, &at, &field);)
                if (draft_field_is(&field, name))
                        return draft_value(&field);
        return NULL;
}

/* By one of these a header is known: a text may begin with "Note: ...", too. */
static bool is_known_field(const struct draft_field *field)
{
        static const char *const known[] = { "From",       "To",           "Cc",           "Bcc",
                                             "Subject",    "Date",         "Message-ID",   "Sender",
                                             "Reply-To",   "MIME-Version", "Content-Type", "Received",
                                             "Return-Path" };
        for (size_t i = 0; i < count_of(known); i++)
                if (draft_field_is(field, known[i]))
                        return true;
        return false;
}

bool draft_is_blank(const char *bytes, size_t len)
{
        size_t n = 0;
        while (n < len && bytes[n] == '\r')
                n++;
        return n < len && bytes[n] == '\n';
}

bool draft_has_header(const char *bytes, size_t len)
{
        struct draft_field field;
        bool known = false;
        size_t at = 0;
        while (draft_next(bytes, len, &at, &field))
                known = known || is_known_field(&field);
        return known && (at == len || draft_is_blank(bytes + at, len - at));
}

/* ---- what SMTP can carry ---- */

static bool has_eight_bit(const char *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (bytes[i] & 0x80)
                        return true;
        return false;
}

static void look_at_lines(const char *bytes, size_t len, struct draft_info *out)
{
        size_t number = 0;
        for (size_t at = 0; at < len;) {
                size_t line = draft_line(bytes + at, len - at), bare = line;
                number++;
                bare -= bare && bytes[at + bare - 1] == '\n';
                bare -= bare < line && bare && bytes[at + bare - 1] == '\r';
                if (bare > LIMIT_SMTP_LINE && !out->long_line)
                        out->long_line = number;
                if (!out->nul_line && memchr(bytes + at, 0, bare))
                        out->nul_line = number;
                if (!out->cr_line && memchr(bytes + at, '\r', bare))
                        out->cr_line = number;
                at += line;
        }
}

void draft_look(const char *bytes, size_t len, struct draft_info *out)
{
        struct draft_field field;
        *out = (struct draft_info){ 0 };
        while (draft_next(bytes, len, &out->body, &field))
                ;
        out->header_eight_bit = has_eight_bit(bytes, out->body);
        out->blank_line = draft_is_blank(bytes + out->body, len - out->body);
        if (out->blank_line)
                out->body += draft_line(bytes + out->body, len - out->body);
        out->body_eight_bit = has_eight_bit(bytes + out->body, len - out->body);
        /* The word anywhere is enough for a closer look: encode_draft() finds out what it means
         * there. */
        out->binary = memmem(bytes, len, "binary", 6) || memmem(bytes, len, "BINARY", 6) ||
                      memmem(bytes, len, "Binary", 6);
        look_at_lines(bytes, len, out);
}

bool draft_needs_encoding(const struct draft_info *info)
{
        return info->long_line || info->nul_line || info->cr_line || info->header_eight_bit ||
               info->body_eight_bit || info->binary;
}

/* ---- recipients ---- */

static void add_fields(const char *bytes, size_t len, const char *const names[3], json_t *into,
                       struct causes *bad)
{
        struct draft_field field;
        for (size_t at = 0; draft_next(bytes, len, &at, &field);) {
                bool wanted = false;
                for (size_t i = 0; i < 3; i++)
                        wanted = wanted || draft_field_is(&field, names[i]);
                scoped(scoped_free) char *value = wanted ? draft_value(&field) : NULL;
                if (value)
                        mailboxes_add(value, into, bad);
        }
}

/* A message that is resent goes to the Resent fields; its To names those who had it before (RFC
 * 5322 section 3.6.6). */
void draft_recipients(const char *bytes, size_t len, json_t *into, struct causes *bad)
{
        static const char *const resent[3] = { "Resent-To", "Resent-Cc", "Resent-Bcc" };
        static const char *const usual[3] = { "To", "Cc", "Bcc" };
        size_t before = json_array_size(into), wrong = bad->count;
        add_fields(bytes, len, resent, into, bad);
        if (json_array_size(into) == before && bad->count == wrong)
                add_fields(bytes, len, usual, into, bad);
}
