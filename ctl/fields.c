/* SPDX-License-Identifier: MIT */
/* Fields of a header written so that SMTP carries them; see fields.h. */
#include "ctl/fields.h"

#include "common/limits.h"
#include "common/mailboxes.h"
#include "common/names.h"
#include "common/printable.h"

#include <stdio.h>

enum { LINE_WANTED = 78, WORD_MAX = 75 /* RFC 2047 section 2 */ };

/* Text that is being made; `full` once something did not fit. */
struct made {
        struct buf text;
        bool full;
};

static void add(struct made *made, const char *bytes, size_t len)
{
        made->full = buf_append(&made->text, bytes, len) || made->full;
}

static void add_text(struct made *made, const char *text)
{
        add(made, text, strlen(text));
}

static printf_like(2, 3) void addf(struct made *made, const char *format, ...)
{
        va_list args;
        va_start(args, format);
        made->full = buf_vappendf(&made->text, format, args) || made->full;
        va_end(args);
}

static void made_free(struct made *made)
{
        buf_free(&made->text);
}

static bool has_eight_bit(const char *text, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (text[i] & 0x80)
                        return true;
        return false;
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t';
}

/* ---- encoded words ---- */

const char *text_charset(const char *text, size_t len)
{
        /* Bytes that windows-1252 has no character for. */
        static const char undefined[] = "\x81\x8d\x8f\x90\x9d";
        bool high = false, low = false;

        if (!has_eight_bit(text, len))
                return "us-ascii";
        if (utf8_valid(text, len))
                return "utf-8";
        /* No text has C1 control characters: bytes of 0x80 to 0x9f speak for windows-1252. */
        for (size_t i = 0; i < len; i++) {
                low = low || (text[i] && strchr(undefined, text[i]));
                high = high || ((unsigned char)text[i] >= 0x80 && (unsigned char)text[i] < 0xa0);
        }
        return high && !low ? "windows-1252" : "iso-8859-1";
}

/* Safe in a phrase, a comment and plain text (RFC 2047 section 5). */
static bool is_word_byte(unsigned char c)
{
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               (c && strchr("!*+-/", c));
}

/* All of the text as encoded words with single blanks between them, which readers take away again. */
static void append_words(struct made *out, const char *text, size_t len)
{
        const char *charset = text_charset(text, len);
        bool utf8 = same_text(charset, "utf-8");
        /* 7: what stands around charset and text, "=?", "?q?" and "?=". */
        size_t used = 0, full = WORD_MAX - strlen(charset) - 7;

        for (size_t at = 0; at < len;) {
                uint32_t point;
                size_t step = utf8 ? utf8_character(text + at, len - at, &point) : 1;
                /* A character is never split over two words (RFC 2047 section 5). */
                char piece[16] = "";
                size_t width = 0;
                for (size_t i = at; i < at + step; i++) {
                        unsigned char c = (unsigned char)text[i];
                        bool plain = is_word_byte(c) || c == ' ';
                        width += (size_t)snprintf(piece + width, sizeof piece - width, plain ? "%c" : "=%02X",
                                                  c == ' ' ? '_' : c);
                }
                if (at && used + width > full)
                        add_text(out, "?= ");
                if (!at || used + width > full) {
                        addf(out, "=?%s?q?", charset);
                        used = 0;
                }
                add_text(out, piece);
                used += width;
                at += step;
        }
        add_text(out, "?=");
}

/* Whether readers would take the word for an encoded one: written anew with others, it would be decoded
 * twice. */
static bool is_encoded_word(const char *word, size_t len)
{
        return len > 6 && word[0] == '=' && word[1] == '?' && word[len - 2] == '?' && word[len - 1] == '=';
}

/* A word that no line could hold is made into several by encoding it. */
static bool word_needs(const char *word, size_t len)
{
        return has_eight_bit(word, len) || len > LIMIT_SMTP_LINE / 2;
}

/* The run of words at `at` that need it, with the blanks between them: where it ends; `at` when there is
 * none. */
static size_t run_end(const char *text, size_t len, size_t at)
{
        size_t until = at;

        while (at < len) {
                size_t stop = at;
                while (stop < len && !is_blank(text[stop]))
                        stop++;
                if (!word_needs(text + at, stop - at))
                        break;
                until = stop;
                for (at = stop; at < len && is_blank(text[at]);)
                        at++;
        }
        return until;
}

/* Text in which words that need it are encoded. Beside an encoded word that was there before, the blank
 * between the two is encoded as well: readers take away the one that they see. */
static void append_text(struct made *out, const char *text, size_t len)
{
        bool beside = false;

        for (size_t at = 0; at < len;) {
                size_t to = at;
                while (to < len && is_blank(text[to]))
                        to++;
                size_t until = run_end(text, len, to);
                add(out, text + at, to - at);
                if (until > to) {
                        size_t next = until;
                        while (next < len && is_blank(text[next]))
                                next++;
                        size_t word = next;
                        while (word < len && !is_blank(text[word]))
                                word++;
                        bool before_word = is_encoded_word(text + next, word - next);
                        size_t from = beside ? at : to;
                        append_words(out, text + from, (before_word ? next : until) - from);
                        if (before_word)
                                add(out, " ", 1);
                        at = before_word ? next : until;
                        beside = false;
                        continue;
                }
                at = to;
                while (to < len && !is_blank(text[to]))
                        to++;
                beside = is_encoded_word(text + at, to - at);
                add(out, text + at, to - at);
                at = to;
        }
}

/* ---- lists of addresses ---- */

/* Past a quoted string or comment. */
static size_t enclosed_length(const char *text, size_t len)
{
        size_t depth = 0;
        bool quoted = text[0] == '"';

        for (size_t i = 0; i < len; i++) {
                if (text[i] == '\\' && depth)
                        i++;
                else if (depth && text[i] == (quoted ? '"' : ')') && --depth == 0)
                        return i + 1;
                else if (text[i] == (quoted ? '"' : '(') && !(quoted && depth))
                        depth++;
        }
        return len;
}

/* What is between the first character and the last, the backslashes taken out. The caller frees. */
static char *without_quotes(const char *text, size_t len, size_t *out_len)
{
        char *out = new_zeroed(len + 1, 1);

        *out_len = 0;
        for (size_t i = 1; i + 1 < len; i++) {
                i += text[i] == '\\' && i + 2 < len;
                out[(*out_len)++] = text[i];
        }
        return out;
}

/* A display name, a group's name, comments: quoted strings and comments whole, other words one by one. */
static void append_phrase(struct made *out, const char *text, size_t len)
{
        for (size_t at = 0; at < len;) {
                size_t to = at;
                if (text[at] != '"' && text[at] != '(') {
                        while (to < len && text[to] != '"' && text[to] != '(')
                                to++;
                        append_text(out, text + at, to - at);
                        at = to;
                        continue;
                }
                to = at + enclosed_length(text + at, len - at);
                if (!has_eight_bit(text + at, to - at)) {
                        add(out, text + at, to - at);
                } else {
                        size_t inner_len;
                        scoped(scoped_free) char *inner = without_quotes(text + at, to - at, &inner_len);
                        add_text(out, text[at] == '(' ? "(" : "");
                        append_words(out, inner, inner_len);
                        add_text(out, text[at] == '(' ? ")" : "");
                }
                at = to;
        }
}

/* An address with its domain in ASCII; the part before the @ has no other form. */
static void append_address(struct made *out, const char *text, size_t len)
{
        scoped(scoped_free) char *address = copy_bytes(text, len);
        scoped(scoped_free) char *wire = address_on_wire(address);

        add_text(out, wire);
}

static void append_item(struct made *out, const char *item, size_t len)
{
        size_t at = 0, address_len = 0;

        if (!mailbox_find(item, len, &at, &address_len)) {
                append_phrase(out, item, len);
                return;
        }
        append_phrase(out, item, at && item[at - 1] == '<' ? at - 1 : at);
        if (at && item[at - 1] == '<') {
                bool apart = at < 2 || is_blank(item[at - 2]);
                add_text(out, apart ? "<" : " <");
        }
        append_address(out, item + at, address_len);
        append_phrase(out, item + at + address_len, len - at - address_len);
}

static void append_addresses(struct made *out, const char *list)
{
        while (*list) {
                size_t len = mailbox_item(list);
                bool group_name = list[len] == ':';
                if (group_name)
                        append_phrase(out, list, len);
                else
                        append_item(out, list, len);
                list += len;
                if (*list) {
                        add(out, list++, 1);
                        /* A place to fold at. */
                        if (*list && !is_blank(*list))
                                add(out, " ", 1);
                }
        }
}

char *field_ascii_addresses(const char *value)
{
        scoped(made_free) struct made out = { .text = BUF_WITH_MAX((size_t)64 * LIMIT_HEADER) };

        append_addresses(&out, value);
        return out.full ? copy_text(value) : buf_take_text(&out.text);
}

/* ---- parameters ---- */

/* name="text" as name*=charset''text with %XX (RFC 2231 section 4). */
static void append_parameter(struct made *out, const char *name, size_t name_len, const char *value,
                             size_t len)
{
        size_t inner_len = len;
        scoped(scoped_free) char *inner =
                len > 1 && value[0] == '"' ? without_quotes(value, len, &inner_len) : copy_bytes(value, len);

        add(out, name, name_len);
        addf(out, "*=%s''", text_charset(inner, inner_len));
        for (size_t i = 0; i < inner_len; i++) {
                unsigned char c = (unsigned char)inner[i];
                addf(out, (is_word_byte(c) && !strchr("*+/", c)) || c == '.' || c == '_' ? "%c" : "%%%02X",
                     c);
        }
}

static void append_parameters(struct made *out, const char *text)
{
        size_t first = strcspn(text, ";");

        append_phrase(out, text, first);
        for (text += first; *text;) {
                size_t name = 1 + strspn(text + 1, " \t"), name_len = strcspn(text + name, "=; \t"), len;
                const char *value = text + name + name_len;
                bool named = *value == '=';
                value += named;
                if (named && *value == '"')
                        len = enclosed_length(value, strlen(value));
                else
                        len = strcspn(value, ";");
                add(out, text, name);
                if (named && has_eight_bit(value, len)) {
                        append_parameter(out, text + name, name_len, value, len);
                } else {
                        add(out, text + name, (size_t)(value - text) - name);
                        append_phrase(out, value, len);
                }
                text = value + len;
                size_t rest = strcspn(text, ";");
                append_phrase(out, text, rest);
                text += rest;
        }
}

/* ---- lines ---- */

/* The value in lines, broken at blanks: behind the field's name, and as the line so wanted wherever that can
 * be. */
static void append_folded(struct made *out, size_t column, const char *value)
{
        while (*value) {
                size_t blanks = strspn(value, " \t"), word = strcspn(value + blanks, " \t");
                if (blanks && word && column + blanks + word > LINE_WANTED && column > 1) {
                        add(out, "\n", 1);
                        column = 0;
                }
                add(out, value, blanks + word);
                column += blanks + word;
                value += blanks + word;
        }
        add(out, "\n", 1);
}

/* Whether what stands there can go as it is; CR is no part of any line but before its LF. */
static bool is_carried(const char *at, const char *end)
{
        while (at < end) {
                size_t line = draft_line(at, (size_t)(end - at)), bare = line;
                bare -= bare && at[bare - 1] == '\n';
                bare -= bare && at[bare - 1] == '\r';
                if (bare > LIMIT_SMTP_LINE || memchr(at, '\r', bare) || has_eight_bit(at, bare))
                        return false;
                at += line;
        }
        return true;
}

static void append_value(struct made *out, const struct draft_field *field, const char *value)
{
        if (field_has_addresses(field->name, field->name_len))
                append_addresses(out, value);
        else if (draft_field_is(field, "Content-Type") || draft_field_is(field, "Content-Disposition"))
                append_parameters(out, value);
        else
                append_text(out, value, strlen(value));
}

int field_write(const struct draft_field *field, const char *end, struct buf *out, struct cause *cause)
{
        scoped(made_free) struct made made = { .text = BUF_WITH_MAX((size_t)64 * LIMIT_HEADER) };
        scoped(made_free) struct made lines = { .text = BUF_WITH_MAX((size_t)64 * LIMIT_HEADER) };
        size_t raw = (size_t)(end - field->name);

        if (memchr(field->name, 0, raw))
                return cause_set(cause, CAUSE_UNSENDABLE, "has a NUL byte");
        if (is_carried(field->name, end)) {
                if (buf_append(out, field->name, raw))
                        return cause_set(cause, CAUSE_TOO_LARGE, "the message is larger than 1 GiB");
                return 0;
        }
        if (raw > LIMIT_HEADER)
                return cause_set(cause, CAUSE_UNSENDABLE, "is larger than %d bytes", LIMIT_HEADER);
        scoped(scoped_free) char *value = draft_value(field);
        if (strchr(value, '\r'))
                return cause_set(cause, CAUSE_UNSENDABLE, "has a carriage return that is no end of a line");
        append_value(&made, field, value);
        scoped(scoped_free) char *text = buf_take_text(&made.text);
        add(&lines, field->name, field->name_len);
        add_text(&lines, ": ");
        append_folded(&lines, field->name_len + 2, text);
        const char *bytes = (const char *)buf_bytes(&lines.text);
        if (made.full || lines.full)
                return cause_set(cause, CAUSE_UNSENDABLE, "is larger than %d bytes", 64 * LIMIT_HEADER);
        for (size_t at = 0; at < lines.text.len;) {
                size_t line = draft_line(bytes + at, lines.text.len - at);
                if (line > LIMIT_SMTP_LINE + 1)
                        return cause_set(cause, CAUSE_UNSENDABLE,
                                         "is longer than %d bytes and cannot be folded", LIMIT_SMTP_LINE);
                at += line;
        }
        if (buf_append(out, bytes, lines.text.len))
                return cause_set(cause, CAUSE_TOO_LARGE, "the message is larger than 1 GiB");
        return 0;
}
