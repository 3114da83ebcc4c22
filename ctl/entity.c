/* SPDX-License-Identifier: MIT */
/* The structure of a message; see entity.h. */
#include "ctl/entity.h"

#include <strings.h>

/* ---- Content-Type ---- */

static bool is_token_byte(char c)
{
        return c > ' ' && c < 127 && !strchr("()<>@,;:\\\"/[]?=", c);
}

/* Blanks, line ends and comments. */
static const char *skip_blank(const char *at, const char *end)
{
        size_t depth = 0;
        for (; at < end; at++) {
                if (*at == '(')
                        depth++;
                else if (depth && *at == '\\' && at + 1 < end)
                        at++;
                else if (depth && *at == ')')
                        depth--;
                else if (!depth && !strchr(" \t\r\n", *at))
                        break;
        }
        return at;
}

static const char *skip_token(const char *at, const char *end)
{
        while (at < end && is_token_byte(*at))
                at++;
        return at;
}

/* A parameter's value: a quoted string, or all up to a blank or semicolon, since many are not quoted that
 * should be. */
static const char *skip_value(const char *at, const char *end)
{
        if (at < end && *at == '"') {
                for (at++; at < end && *at != '"'; at++)
                        if (*at == '\\' && at + 1 < end)
                                at++;
                return at < end ? at + 1 : end;
        }
        while (at < end && !strchr(" \t\r\n;", *at))
                at++;
        return at;
}

/* "type" and "subtype"; false when the value does not begin so. *rest: where the parameters begin. */
static bool read_type(const struct draft_field *field, struct span *type, struct span *subtype,
                      const char **rest)
{
        const char *end = field->value + field->value_len, *at = skip_blank(field->value, end);
        const char *stop = skip_token(at, end);
        *type = (struct span){ at, (size_t)(stop - at) };
        at = skip_blank(stop, end);
        if (!type->len || at == end || *at != '/')
                return false;
        at = skip_blank(at + 1, end);
        stop = skip_token(at, end);
        *subtype = (struct span){ at, (size_t)(stop - at) };
        *rest = skip_blank(stop, end);
        return subtype->len && (*rest == end || **rest == ';');
}

const char *entity_parameter(const struct draft_field *type, const char *name, size_t *len)
{
        struct span main, sub;
        if (!type->name)
                return NULL;
        const char *at, *end = type->value + type->value_len;
        if (!read_type(type, &main, &sub, &at)) /* of Content-Disposition too, whose value is one word */
                at = memchr(type->value, ';', type->value_len);
        if (!at)
                return NULL;
        while (at < end) {
                at = skip_blank(at + (*at == ';'), end);
                const char *word = at;
                at = skip_token(at, end);
                size_t word_len = (size_t)(at - word);
                at = skip_blank(at, end);
                if (at < end && *at == '=') {
                        const char *value = skip_blank(at + 1, end);
                        at = skip_value(value, end);
                        *len = (size_t)(at - value);
                        if (strlen(name) == word_len && !strncasecmp(word, name, word_len))
                                return value;
                }
                while (at < end && *at != ';')
                        at++;
        }
        return NULL;
}

static bool is_word(struct span word, const char *text)
{
        return strlen(text) == word.len && !strncasecmp(word.at, text, word.len);
}

/* The boundary with its two hyphens; false when there is none of 1 to 70 characters (RFC 2046 section 5.1.1).
 */
static bool read_boundary(struct entity *entity)
{
        size_t len = 0, used = 2;
        const char *value = entity_parameter(&entity->type, "boundary", &len);
        bool quoted = value && len && value[0] == '"';
        memcpy(entity->boundary, "--", 3);
        for (size_t i = quoted; value && i < len; i++) {
                if (quoted && value[i] == '"')
                        break;
                i += quoted && value[i] == '\\' && i + 1 < len;
                if (used + 1 == sizeof(entity->boundary))
                        return false;
                if (value[i] != '\r' && value[i] != '\n')
                        entity->boundary[used++] = value[i];
        }
        while (used > 2 && entity->boundary[used - 1] == ' ')
                used--;
        entity->boundary[used] = 0;
        return used > 2;
}

/* ---- pieces of a multipart ---- */

/* Length of the boundary line at the front with its line end; 0 when it is none. */
static size_t boundary_line(const struct entity *entity, const char *at, const char *end, bool *last)
{
        const char *from = at;
        size_t len = strlen(entity->boundary);
        if ((size_t)(end - at) < len || memcmp(at, entity->boundary, len) != 0)
                return 0;
        at += len;
        *last = end - at >= 2 && at[0] == '-' && at[1] == '-';
        at += *last ? 2 : 0;
        while (at < end && (*at == ' ' || *at == '\t' || *at == '\r'))
                at++;
        if (at < end && *at != '\n')
                return 0;
        return (size_t)(at - from) + (at < end);
}

/* The next boundary at or after `from`, with the line end before it; NULL when none comes. */
static const char *find_boundary(const struct entity *entity, size_t from, size_t *len, bool *last)
{
        const char *begin = entity->body.at, *end = begin + entity->body.len;
        for (const char *at = begin + from; at < end;) {
                size_t line = boundary_line(entity, at, end, last);
                if (line) {
                        const char *front = at;
                        if (front > begin + from)
                                front -= front - 1 > begin + from && front[-2] == '\r' ? 2 : 1;
                        *len = line + (size_t)(at - front);
                        return front;
                }
                const char *lf = memchr(at, '\n', (size_t)(end - at));
                at = lf ? lf + 1 : end;
        }
        return NULL;
}

bool entity_next_piece(const struct entity *entity, struct entity_piece *piece)
{
        const char *begin = entity->body.at;
        size_t all = entity->body.len, len = 0;
        bool last = false;
        if (piece->over)
                return false;
        if (piece->last) {
                piece->kind = PIECE_AFTER;
                piece->bytes = (struct span){ begin + piece->next, all - piece->next };
                piece->over = true;
                return true;
        }
        const char *found = find_boundary(entity, piece->next, &len, &last);
        size_t until = found ? (size_t)(found - begin) : all;
        bool text_due = piece->kind != PIECE_BOUNDARY && !piece->within;
        if (text_due || piece->kind == PIECE_BOUNDARY) {
                piece->kind = piece->within ? PIECE_PART : PIECE_BEFORE;
                piece->bytes = (struct span){ begin + piece->next, until - piece->next };
                piece->next = until;
                piece->over = !found;
                piece->within = true;
                return true;
        }
        piece->kind = PIECE_BOUNDARY;
        piece->bytes = (struct span){ found, len };
        piece->last = last;
        piece->next = until + len;
        return true;
}

/* ---- an entity ---- */

/* Text in a charset whose line ends and signs are not bytes of ASCII. */
static bool is_wide(const struct entity *entity)
{
        static const char *const names[] = { "utf-16", "utf-32", "utf16", "utf32", "ucs-", "iso-10646" };
        size_t len = 0;
        const char *charset = entity_parameter(&entity->type, "charset", &len);
        size_t quote = charset && len && charset[0] == '"';
        if (!charset || len < 4 + quote)
                return false;
        for (size_t i = 0; i < count_of(names); i++)
                if (!strncasecmp(charset + quote, names[i], strlen(names[i])))
                        return true;
        return false;
}

static void read_multipart(struct entity *entity, struct span sub)
{
        size_t len = 0;
        bool ignored;
        entity->sealed = is_word(sub, "signed") || is_word(sub, "encrypted");
        entity->digest = is_word(sub, "digest");
        entity->alternative = is_word(sub, "alternative");
        entity->mixed = is_word(sub, "mixed") || entity->digest;
        entity->type_valid = read_boundary(entity) && find_boundary(entity, 0, &len, &ignored);
        entity->kind = entity->type_valid ? ENTITY_MULTIPART : ENTITY_TEXT;
}

static void read_kind(struct entity *entity, enum entity_default without)
{
        struct span type = { 0 }, sub = { 0 };
        const char *rest;
        if (!entity->type.name) {
                entity->type_valid = true;
                entity->kind = without == DEFAULT_MESSAGE ? ENTITY_MESSAGE : ENTITY_TEXT;
                return;
        }
        entity->type_valid = read_type(&entity->type, &type, &sub, &rest);
        entity->kind = ENTITY_TEXT;
        if (!entity->type_valid)
                return;
        if (is_word(type, "multipart")) {
                read_multipart(entity, sub);
        } else if (is_word(type, "message")) {
                bool whole = is_word(sub, "rfc822") || is_word(sub, "global");
                bool plain = entity->transfer != TRANSFER_QUOTED && entity->transfer != TRANSFER_BASE64;
                entity->kind = !plain ? ENTITY_LEAF : whole ? ENTITY_MESSAGE : ENTITY_BOUND;
        } else if (!is_word(type, "text") || is_wide(entity)) {
                entity->kind = ENTITY_LEAF;
        }
}

void entity_read(struct span bytes, enum entity_default without, unsigned depth, struct entity *out)
{
        struct draft_field field;
        size_t at = 0;
        scoped(scoped_free) char *transfer = NULL;
        *out = (struct entity){ 0 };
        while (draft_next(bytes.at, bytes.len, &at, &field)) {
                if (draft_field_is(&field, "Content-Type") && !out->type.name)
                        out->type = field;
                else if (draft_field_is(&field, "Content-Transfer-Encoding") && !transfer)
                        transfer = draft_value(&field);
        }
        size_t blank =
                draft_is_blank(bytes.at + at, bytes.len - at) ? draft_line(bytes.at + at, bytes.len - at) : 0;
        out->head = (struct span){ bytes.at, at };
        out->blank = (struct span){ bytes.at + at, blank };
        out->body = (struct span){ bytes.at + at + blank, bytes.len - at - blank };
        out->transfer = transfer_named(transfer);
        read_kind(out, without);
        if (depth >= LIMIT_ENTITIES && (out->kind == ENTITY_MULTIPART || out->kind == ENTITY_MESSAGE))
                out->kind = ENTITY_BOUND;
}
