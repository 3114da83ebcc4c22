/* SPDX-License-Identifier: MIT */
/* IMAP responses out of a stream of bytes; see parse.h. Knows no session and keeps no message. */
#include "daemon/imap/parse.h"

#include "common/limits.h"

#include <strings.h>

enum { KEEP_HELD = 4 * KIB }; /* more memory than this is given back after a response */

void imap_parser_init(struct imap_parser *parser)
{
        *parser = (struct imap_parser){ .state = PARSE_LINE };
        buf_init(&parser->held, LIMIT_REPLY);
}

void imap_parser_done(struct imap_parser *parser)
{
        buf_wipe(&parser->held);
}

bool imap_parser_empty(const struct imap_parser *parser)
{
        return parser->state == PARSE_LINE && !parser->tail && (parser->spent || parser->held.len == 0);
}

static enum imap_event bad(struct cause *cause, const char *why)
{
        cause_set(cause, CAUSE_PROTOCOL, "the server sent %s", why);
        return IMAP_BAD;
}

/* True when literals can stand in this response: not in one whose end is words for people. */
static bool has_values(const char *text, size_t len)
{
        static const char *const spoken[] = { "OK", "NO", "BAD", "BYE", "PREAUTH" };
        struct imap_cursor cursor = imap_cursor(text, len);
        struct imap_text word;

        if (!imap_take(&cursor, '*') || !imap_blanks(&cursor) || !imap_word(&cursor, &word))
                return false;
        for (size_t i = 0; i < count_of(spoken); i++)
                if (imap_is(&word, spoken[i]))
                        return false;
        return true;
}

/* "<17>" or "<17.1024>", of which only the beginning says where the part is. */
static bool reads_origin(const char *at, const char *end, uint64_t *out_origin)
{
        const char *dot = memchr(at, '.', (size_t)(end - at));
        struct imap_cursor cursor = { at + 1, dot ? dot : end - 1 };

        if (end - at < 3 || *at != '<' || end[-1] != '>')
                return false;
        for (const char *rest = dot ? dot + 1 : end - 1; rest < end - 1; rest++)
                if (*rest < '0' || *rest > '9')
                        return false;
        return imap_number(&cursor, UINT64_MAX, out_origin) && cursor.at == cursor.end;
}

bool imap_names_message(const struct imap_text *name, bool *out_is_part, uint64_t *out_origin)
{
        static const char *const names[] = { "BODY[]", "BODY.PEEK[]", "RFC822", "RFC822.PEEK" };

        *out_is_part = false;
        *out_origin = 0;
        for (size_t i = 0; i < count_of(names); i++) {
                size_t len = strlen(names[i]);
                if (name->len < len || strncasecmp(name->bytes, names[i], len) != 0)
                        continue;
                if (name->len == len)
                        return true;
                *out_is_part = reads_origin(name->bytes + len, name->bytes + name->len, out_origin);
                if (*out_is_part)
                        return true;
        }
        return false;
}

/* True when the text ends in a message's name, and perhaps a blank. */
static bool ends_in_body_name(const char *text, size_t len)
{
        size_t end = len - (len && text[len - 1] == ' '), at = end;
        uint64_t origin;
        bool is_part;

        while (at && text[at - 1] != ' ' && text[at - 1] != '(' && text[at - 1] != ')')
                at--;
        struct imap_text name = { text + at, end - at, IMAP_ATOM };
        return imap_names_message(&name, &is_part, &origin);
}

/* True when the text up to a literal says that it is a message's body: "* 12 FETCH (UID 7 BODY[] ". */
static bool begins_body(const char *text, size_t len, bool tail)
{
        struct imap_cursor cursor = imap_cursor(text, len);
        struct imap_text word;
        uint64_t number;

        if (!ends_in_body_name(text, len))
                return false;
        if (tail)
                return true;
        return imap_take(&cursor, '*') && imap_blanks(&cursor) && imap_number(&cursor, UINT32_MAX, &number) &&
               imap_blanks(&cursor) && imap_word(&cursor, &word) && imap_is(&word, "FETCH");
}

/* Where "{n}" begins that ends the line [from, len), and its size in *out_size; `len` when there is none. */
static size_t literal_at(const char *text, size_t from, size_t len, uint64_t *out_size, bool *out_overflow)
{
        size_t at = len;

        *out_overflow = false;
        if (len < from + 4 || text[len - 1] != '\n')
                return len;
        size_t brace = len - (text[len - 2] == '\r' ? 3 : 2);
        if (text[brace] != '}')
                return len;
        for (at = brace; at > from && text[at] != '{'; at--)
                if (at < brace && (text[at] < '0' || text[at] > '9') && !(at == brace - 1 && text[at] == '+'))
                        return len;
        struct imap_cursor cursor = { text + at, text + len };
        if (imap_literal_size(&cursor, out_size))
                return at;
        *out_overflow = text[at] == '{' && text[at + 1] >= '0' && text[at + 1] <= '9';
        return len;
}

/* Brings one more line, or what there is of it, into view: its end as an offset into *out_text, which is
 * either `held` or the input itself; 0: not there yet and all input is held; -1: too long. */
static ssize_t find_line(struct imap_parser *parser, struct imap_input *input, size_t from,
                         const char **out_text)
{
        if (!parser->held.len) {
                const uint8_t *end =
                        from < input->len ? memchr(input->bytes + from, '\n', input->len - from) : NULL;
                *out_text = (const char *)input->bytes;
                if (end)
                        return end + 1 - input->bytes <= LIMIT_REPLY ? end + 1 - input->bytes : -1;
                parser->line = from;
                if (input->len && buf_append(&parser->held, input->bytes, input->len) != 0)
                        return -1;
                input->len = 0;
                return 0;
        }
        const uint8_t *end = input->len ? memchr(input->bytes, '\n', input->len) : NULL;
        size_t len = end ? (size_t)(end + 1 - input->bytes) : input->len;
        if (len && buf_append(&parser->held, input->bytes, len) != 0)
                return -1;
        input->bytes += len;
        input->len -= len;
        *out_text = (const char *)buf_bytes(&parser->held);
        return end ? (ssize_t)parser->held.len : 0;
}

/* Hands out the text up to `end`, of which `len` bytes are said. */
static void hand_out(struct imap_parser *parser, struct imap_input *input, const char *text, size_t len,
                     size_t end, struct imap_item *out)
{
        *out = (struct imap_item){ .text = text, .len = len, .tail = parser->tail };
        parser->line = 0;
        if (parser->held.len) {
                parser->spent = true;
        } else {
                input->bytes += end;
                input->len -= end;
        }
}

static size_t without_line_end(const char *text, size_t end)
{
        end--;
        return end && text[end - 1] == '\r' ? end - 1 : end;
}

/* A literal of `size` bytes follows at `end` and belongs to the text: where its end is in view, or 0 when it
 * has to be waited for. -1: the response is too long. */
static ssize_t take_literal(struct imap_parser *parser, struct imap_input *input, size_t end, uint64_t size)
{
        if (size > LIMIT_REPLY || end + size > LIMIT_REPLY)
                return -1;
        if (!parser->held.len) {
                if (input->len >= end + size)
                        return (ssize_t)(end + size);
                if (buf_append(&parser->held, input->bytes, input->len) != 0)
                        return -1;
                parser->left = size - (input->len - end);
                input->len = 0;
        } else {
                parser->left = size;
        }
        parser->state = PARSE_LITERAL;
        return 0;
}

static enum imap_event parse_line(struct imap_parser *parser, struct imap_input *input, struct imap_item *out,
                                  struct cause *cause)
{
        size_t from = parser->held.len ? parser->line : 0;

        while (parser->state == PARSE_LINE) {
                const char *text;
                bool overflow;
                uint64_t size = 0;
                ssize_t line = find_line(parser, input, from, &text);

                if (line < 0)
                        return bad(cause, "a response over the limit of 1 MiB");
                if (line == 0)
                        return IMAP_MORE;
                size_t end = (size_t)line;
                if (memchr(text + from, '\0', end - from))
                        return bad(cause, "a NUL byte outside a message");
                size_t at = literal_at(text, from, end, &size, &overflow);
                bool values = (at < end || overflow) && (parser->tail || has_values(text, end));
                if (values && overflow)
                        return bad(cause, "a literal whose size is out of all bounds");
                if (!values) {
                        hand_out(parser, input, text, without_line_end(text, end), end, out);
                        parser->tail = false;
                        return IMAP_RESPONSE;
                }
                if (begins_body(text, at - (at && text[at - 1] == '~'), parser->tail)) {
                        hand_out(parser, input, text, at - (at && text[at - 1] == '~'), end, out);
                        out->size = parser->left = size;
                        parser->state = PARSE_BODY;
                        parser->tail = true;
                        return IMAP_BODY;
                }
                line = take_literal(parser, input, end, size);
                if (line < 0)
                        return bad(cause, "a response over the limit of 1 MiB");
                from = (size_t)line;
        }
        return IMAP_MORE; /* the literal comes next */
}

static bool parse_literal(struct imap_parser *parser, struct imap_input *input)
{
        size_t len = parser->left < input->len ? (size_t)parser->left : input->len;

        /* take_literal has seen to it that it fits */
        if (len && buf_append(&parser->held, input->bytes, len) != 0)
                return false;
        input->bytes += len;
        input->len -= len;
        parser->left -= len;
        if (parser->left)
                return false;
        parser->line = parser->held.len;
        parser->state = PARSE_LINE;
        return true;
}

static bool parse_body(struct imap_parser *parser, struct imap_input *input, struct imap_item *out)
{
        size_t len = parser->left < input->len ? (size_t)parser->left : input->len;

        if (!parser->left) {
                parser->state = PARSE_LINE;
                return false;
        }
        *out = (struct imap_item){ .text = (const char *)input->bytes, .len = len };
        input->bytes += len;
        input->len -= len;
        parser->left -= len;
        return true;
}

enum imap_event imap_parser_next(struct imap_parser *parser, struct imap_input *input,
                                 struct imap_item *out_item, struct cause *cause)
{
        if (parser->spent) {
                parser->spent = false;
                if (parser->held.size > KEEP_HELD)
                        buf_free(&parser->held);
                else
                        buf_clear(&parser->held);
        }
        while (input->len || parser->state == PARSE_BODY) {
                enum imap_event event = IMAP_MORE;

                switch (parser->state) {
                case PARSE_LINE:
                        event = parse_line(parser, input, out_item, cause);
                        break;
                case PARSE_LITERAL:
                        (void)parse_literal(parser, input);
                        break;
                case PARSE_BODY:
                        if (parser->left && !input->len)
                                return IMAP_MORE;
                        event = parse_body(parser, input, out_item) ? IMAP_PIECE : IMAP_MORE;
                        break;
                }
                if (event != IMAP_MORE)
                        return event;
        }
        return IMAP_MORE;
}
