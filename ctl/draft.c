/* SPDX-License-Identifier: MIT */
/* Header fields and lines of a message, the address lists in them, and what makes it whole. */
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

/* ---- a message made whole ---- */

static const char *bytes_of(const struct buf *text)
{
        return text->len ? (const char *)buf_bytes(text) : "";
}

static int too_large(struct cause *cause)
{
        return cause_set(cause, CAUSE_TOO_LARGE, "the message is larger than 1 GiB");
}

/* Where no LF is, CR is what ends the lines; elsewhere a CR alone is a byte like any other. */
static void end_lines_by_lf(struct buf *text)
{
        if (!text->len || memchr(buf_bytes(text), '\n', text->len))
                return;
        char *at = (char *)text->memory + text->start, *end = at + text->len;
        while ((at = memchr(at, '\r', (size_t)(end - at))))
                *at++ = '\n';
}

static bool begins_a_header(const char *bytes, size_t len)
{
        struct draft_field field;
        size_t at = 0;
        return draft_next(bytes, len, &at, &field);
}

/* "From someone Mon Jan  5 ..." before a header, as an mbox has it; a text may begin with that word as well.
 */
static size_t mbox_line(const char *bytes, size_t len)
{
        static const char *const days[] = { " Mon ", " Tue ", " Wed ", " Thu ", " Fri ", " Sat ", " Sun " };
        size_t quote = len && bytes[0] == '>', line = draft_line(bytes, len);
        if (len < quote + 5 || memcmp(bytes + quote, "From ", 5) != 0)
                return 0;
        const char *rest = bytes + line;
        if (draft_has_header(rest, len - line))
                return line;
        for (size_t i = 0; i < count_of(days); i++)
                if (memmem(bytes, line, days[i], 5) &&
                    (draft_is_blank(rest, len - line) || begins_a_header(rest, len - line)))
                        return line;
        return 0;
}

void draft_mend_front(struct buf *text)
{
        end_lines_by_lf(text);
        const char *bytes = bytes_of(text);
        if (text->len > 3 && !memcmp(bytes, "\xef\xbb\xbf", 3) &&
            (begins_a_header(bytes + 3, text->len - 3) || mbox_line(bytes + 3, text->len - 3)))
                buf_consume(text, 3);
        buf_consume(text, mbox_line(bytes_of(text), text->len));
}

/* A From, Sender or Reply-To without anybody in it. */
static bool names_nobody(const struct draft_field *field)
{
        if (!draft_field_is(field, "From") && !draft_field_is(field, "Sender") &&
            !draft_field_is(field, "Reply-To"))
                return false;
        scoped(scoped_free) char *value = draft_value(field);
        return !value[0];
}

static int drop_empty_fields(struct buf *text, struct cause *cause)
{
        scoped(buf_free) struct buf head = BUF_WITH_MAX(text->max);
        struct draft_field field;
        const char *bytes = bytes_of(text);
        size_t end = 0;
        bool any = false;
        for (size_t at = 0; draft_next(bytes, text->len, &at, &field); end = at) {
                bool dropped = names_nobody(&field);
                any = any || dropped;
                if (!dropped && buf_append(&head, bytes + end, at - end))
                        return too_large(cause);
        }
        if (!any)
                return 0;
        if (buf_append(&head, bytes + end, text->len - end))
                return too_large(cause);
        struct buf old = *text;
        *text = head;
        head = old;
        return 0;
}

/* Puts bytes in at a place. */
static int insert_at(struct buf *text, size_t at, const char *bytes, struct cause *cause)
{
        size_t more = strlen(bytes);
        if (!buf_room(text, more))
                return too_large(cause);
        uint8_t *from = text->memory + text->start + at;
        memmove(from + more, from, text->len - at);
        memcpy(from, bytes, more);
        buf_grown(text, more);
        return 0;
}

int draft_mend(struct buf *text, struct cause *cause)
{
        struct draft_field field;
        size_t at = 0;
        draft_mend_front(text);
        if (drop_empty_fields(text, cause))
                return -1;
        const char *bytes = bytes_of(text);
        while (draft_next(bytes, text->len, &at, &field))
                ;
        bool line_open = at && bytes[at - 1] != '\n';
        return draft_is_blank(bytes + at, text->len - at)
                       ? 0
                       : insert_at(text, at, line_open ? "\n\n" : "\n", cause);
}
