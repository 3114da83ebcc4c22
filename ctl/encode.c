/* SPDX-License-Identifier: MIT */
/* A message encoded anew in its place; see encode.h. */
#include "ctl/encode.h"

#include "common/limits.h"
#include "ctl/entity.h"
#include "ctl/fields.h"

#include <stdio.h>

/* What one run works with; all of it is the caller's. */
struct encoding {
        const char *all; /* the message; lines are counted from here */
        enum encode_body body;
        struct buf *out;
        struct cause *cause;
};

/* ---- what stands in the way ---- */

/* Where the first of each stands; NULL = none. */
struct flaws {
        const char *long_line, *nul, *cr, *eight;
};

/* Lines end with LF or CR LF, which do not count (RFC 5322 section 2.1.1). Of each flaw the first
 * place is kept, for the sentence that names its line. */
static void find_flaws(struct span text, struct flaws *out)
{
        const char *at = text.at, *end = text.at + text.len;
        *out = (struct flaws){ 0 };
        while (at < end) {
                size_t line = draft_line(at, (size_t)(end - at)), bare = line;
                bare -= bare && at[bare - 1] == '\n';
                bare -= bare < line && bare && at[bare - 1] == '\r';
                if (bare > LIMIT_SMTP_LINE && !out->long_line)
                        out->long_line = at;
                if (!out->nul)
                        out->nul = memchr(at, 0, bare);
                if (!out->cr)
                        out->cr = memchr(at, '\r', bare);
                for (size_t i = 0; !out->eight && i < bare; i++)
                        out->eight = at[i] & 0x80 ? at + i : NULL;
                at += line;
        }
}

/* What no server takes as it is: 8BITMIME (RFC 6152) lets the high bit through, and nothing else. */
static bool is_hard(const struct flaws *flaws)
{
        return flaws->long_line || flaws->nul || flaws->cr;
}

/* Whether a leaf must be encoded. */
static bool needs(const struct encoding *e, const struct flaws *flaws)
{
        return is_hard(flaws) || (flaws->eight && e->body != BODY_8BITMIME);
}

/* Whether bytes that have no encoding stand in the way; declared 8-bit ones are for the server to decide on.
 */
static bool is_in_the_way(const struct encoding *e, const struct flaws *flaws, enum transfer transfer)
{
        bool declared = transfer == TRANSFER_EIGHT || transfer == TRANSFER_BINARY;
        bool as_it_is = e->body == BODY_8BITMIME || (e->body == BODY_ENCODED && declared);
        return is_hard(flaws) || (flaws->eight && !as_it_is);
}

/* Counted from 1 over the whole message, as an editor does. */
static size_t line_of(const struct encoding *e, const char *place)
{
        size_t number = 1;
        for (const char *at = e->all; (at = memchr(at, '\n', (size_t)(place - at)));)
                number++, at++;
        return number;
}

/* Tells the place of the gravest flaw. Always -1. */
static int refuse(const struct encoding *e, const struct flaws *flaws, const char *why, const char *remedy)
{
        const char *place = flaws->nul         ? flaws->nul
                            : flaws->long_line ? flaws->long_line
                            : flaws->cr        ? flaws->cr
                                               : flaws->eight;
        (void)cause_set(e->cause, CAUSE_UNSENDABLE, "line %zu %s, and %s", line_of(e, place),
                        flaws->nul         ? "has a NUL byte"
                        : flaws->long_line ? "is longer than 998 bytes"
                        : flaws->cr        ? "has a carriage return that is no end of a line"
                                           : "has 8-bit characters",
                        why);
        cause_remedy(e->cause, "%s", remedy);
        return -1;
}

/* A signature covers the bytes as they are (RFC 1847 section 2.1): another encoding would break it. */
static int refuse_sealed(const struct encoding *e, const struct flaws *flaws)
{
        return refuse(e, flaws,
                      "the message is signed or encrypted: it cannot be encoded anew without breaking that",
                      "sign a message whose parts are encoded as quoted-printable or base64");
}

/* ---- writing ---- */

static int put(const struct encoding *e, const char *bytes, size_t len)
{
        if (buf_append(e->out, bytes, len))
                return cause_set(e->cause, CAUSE_TOO_LARGE,
                                 "the message is larger than 1 GiB once it is encoded");
        return 0;
}

static int put_span(const struct encoding *e, struct span span)
{
        return put(e, span.at, span.len);
}

static int put_text(const struct encoding *e, const char *text)
{
        return put(e, text, strlen(text));
}

/* What a leaf becomes. */
struct form {
        bool text;           /* its bytes are lines */
        bool replace_type;   /* what it says of its type does not hold */
        const char *charset; /* of a text; NULL: as the type has it */
        enum transfer transfer;
        char *bytes; /* decoded; owned */
        size_t len;
};

static void form_free(struct form *form)
{
        free(form->bytes);
}

/* Quoted-printable while most of it can be read so; NUL and CR do not count: they are few or the rest is odd
 * as well. */
static enum transfer transfer_for(const char *bytes, size_t len)
{
        size_t odd = 0;
        for (size_t i = 0; i < len; i++) {
                unsigned char c = (unsigned char)bytes[i];
                odd += c > 126 || (c < 32 && c != '\n' && c != '\r' && c != '\t');
        }
        return odd > len / 2 ? TRANSFER_BASE64 : TRANSFER_QUOTED;
}

/* Text with CR LF line ends: what base64 of a text holds (RFC 2045 section 6.8). NULL when it is too large.
 */
static char *with_crlf(const char *text, size_t len, size_t *out_len)
{
        size_t lines = 0, used = 0;
        for (size_t i = 0; i < len; i++)
                lines += text[i] == '\n';
        char *out = new_zeroed(len + lines + 1, 1);
        for (size_t i = 0; i < len; i++) {
                if (text[i] == '\n' && (!i || text[i - 1] != '\r'))
                        out[used++] = '\r';
                out[used++] = text[i];
        }
        *out_len = used;
        return out;
}

static int put_body(const struct encoding *e, const struct form *form)
{
        int failed;
        if (form->transfer == TRANSFER_QUOTED) {
                failed = quoted_encode(form->bytes, form->len, e->out);
        } else if (form->text) {
                size_t len;
                scoped(scoped_free) char *lines = with_crlf(form->bytes, form->len, &len);
                failed = base64_lines(lines, len, e->out);
        } else {
                failed = base64_lines(form->bytes, form->len, e->out);
        }
        return failed ? cause_set(e->cause, CAUSE_TOO_LARGE,
                                  "the message is larger than 1 GiB once it is encoded")
                      : 0;
}

static int put_transfer(const struct encoding *e, const struct form *form)
{
        return put_text(e, form->transfer == TRANSFER_BASE64 ? "Content-Transfer-Encoding: base64\n"
                           : form->transfer == TRANSFER_EIGHT
                                   ? "Content-Transfer-Encoding: 8bit\n"
                                   : "Content-Transfer-Encoding: quoted-printable\n");
}

/* A parameter may follow as it is. */
static bool ends_in_semicolon(const struct draft_field *field)
{
        size_t len = field->value_len;

        while (len && strchr(" \t\r\n", field->value[len - 1]))
                len--;
        return len && field->value[len - 1] == ';';
}

/* The type with the charset that the text is in. */
static int put_type(const struct encoding *e, const struct form *form, const struct draft_field *field,
                    const char *end)
{
        size_t len = 0;
        const char *value = entity_parameter(field, "charset", &len);
        scoped(buf_free) struct buf type = BUF_WITH_MAX(LIMIT_HEADER);
        size_t front = value ? (size_t)(value - field->value) : field->value_len;
        const char *between = value ? "" : ends_in_semicolon(field) ? " charset=" : "; charset=";
        if (!form->charset)
                return field_write(field, end, e->out, e->cause);
        if (buf_append(&type, field->name, field->name_len) || buf_append_text(&type, ":") ||
            buf_append(&type, field->value, front) || buf_append_text(&type, between) ||
            buf_append_text(&type, form->charset) ||
            (value && buf_append(&type, value + len, field->value_len - front - len)) ||
            buf_append_text(&type, "\n"))
                return cause_set(e->cause, CAUSE_UNSENDABLE, "is larger than %d bytes", LIMIT_HEADER);
        /* Put together, it is read as a field again, so that folding and checks are those of
         * field_write(). */
        struct draft_field whole;
        size_t at = 0;
        const char *bytes = (const char *)buf_bytes(&type);
        return draft_next(bytes, type.len, &at, &whole) ? field_write(&whole, bytes + at, e->out, e->cause)
                                                        : -1;
}

/* A field whose place another takes, or that is one too many: kept under a name that nobody goes by. */
static int put_renamed(const struct encoding *e, const struct draft_field *field, const char *end)
{
        scoped(buf_free) struct buf text = BUF_WITH_MAX(LIMIT_HEADER);
        struct draft_field whole;
        size_t at = 0;
        if (buf_append_text(&text, "X-Original-") ||
            buf_append(&text, field->name, (size_t)(end - field->name)))
                return cause_set(e->cause, CAUSE_UNSENDABLE, "is larger than %d bytes", LIMIT_HEADER);
        const char *bytes = (const char *)buf_bytes(&text);
        return draft_next(bytes, text.len, &at, &whole) ? field_write(&whole, bytes + at, e->out, e->cause)
                                                        : -1;
}

/* ---- header ---- */

struct head {
        bool version, type, transfer; /* written already */
};

/* Of each field the first counts; a further one, or one that does not hold, is renamed. A multipart
 * is never encoded as a whole (RFC 2045 section 6.4): where its field says so, its parts speak for
 * themselves. */
static int put_field(const struct encoding *e, const struct entity *entity, const struct form *form,
                     const struct draft_field *field, const char *end, struct head *head)
{
        if (draft_field_is(field, "MIME-Version"))
                head->version = true;
        if (draft_field_is(field, "Content-Type")) {
                bool first = field->name == entity->type.name, replaced = first && form && form->replace_type;
                if (first && !replaced) {
                        head->type = true;
                        return form ? put_type(e, form, field, end)
                                    : field_write(field, end, e->out, e->cause);
                }
                return put_renamed(e, field, end);
        }
        if (draft_field_is(field, "Content-Transfer-Encoding")) {
                bool first = !head->transfer;
                bool coded = entity->transfer >= TRANSFER_QUOTED, whole = entity->kind == ENTITY_MULTIPART;
                if (!first || (!form && whole && coded))
                        return put_renamed(e, field, end);
                head->transfer = true;
                if (!form)
                        return field_write(field, end, e->out, e->cause);
                if (put_transfer(e, form))
                        return -1;
                return entity->transfer == TRANSFER_UNKNOWN ? put_renamed(e, field, end) : 0;
        }
        return field_write(field, end, e->out, e->cause);
}

/* The fields that `form` needs and the header did not have. */
static int put_missing(const struct encoding *e, const struct form *form, const struct head *head, bool top)
{
        if (top && !head->version && put_text(e, "MIME-Version: 1.0\n"))
                return -1;
        if (form->charset && !head->type &&
            (put_text(e, "Content-Type: text/plain; charset=") || put_text(e, form->charset) ||
             put_text(e, "\n")))
                return -1;
        return head->transfer ? 0 : put_transfer(e, form);
}

/* The fields, and those that `form` needs; NULL: the body stays as it is. */
static int put_head(const struct encoding *e, const struct entity *entity, const struct form *form, bool top)
{
        struct draft_field field;
        struct head head = { 0 };
        size_t at = 0;
        const char *bytes = entity->head.at;
        while (draft_next(bytes, entity->head.len, &at, &field)) {
                if (!put_field(e, entity, form, &field, bytes + at, &head))
                        continue;
                scoped(scoped_free) char *why = copy_text(e->cause ? e->cause->text : "");
                return cause_set(e->cause, CAUSE_UNSENDABLE, "line %zu of the message's header %s",
                                 line_of(e, field.name), why);
        }
        /* A header may end without a line end where nothing follows it. */
        if (entity->head.len && bytes[entity->head.len - 1] != '\n' && put_text(e, "\n"))
                return -1;
        return form ? put_missing(e, form, &head, top) : 0;
}

/* The line between header and body (RFC 5322 section 2.1). A message that has none gets one only
 * where what follows it needs one. */
static int put_blank(const struct encoding *e, const struct entity *entity, bool needed)
{
        if (entity->blank.len || needed)
                return put_text(e, "\n");
        return 0;
}

/* ---- leaves ---- */

/* Replaces a charset that is missing, and a us-ascii that the bytes belie. Any other name stands:
 * it is the author's word on bytes that prove nothing. */
static void choose_charset(const struct entity *entity, struct form *form)
{
        size_t len = 0;
        const char *named = form->replace_type ? NULL : entity_parameter(&entity->type, "charset", &len);
        const char *seen = text_charset(form->bytes, form->len);
        size_t quote = named && len && named[0] == '"';
        bool ascii = named && len >= 8 + quote && !strncasecmp(named + quote, "us-ascii", 8);
        if (!named || (ascii && !same_text(seen, "us-ascii")))
                form->charset = seen;
}

/* A part of a message that is to be put together elsewhere (RFC 2046 section 5.2.2): it may be eight bit, and
 * no more. */
static int put_bound(const struct encoding *e, const struct entity *entity, const struct flaws *flaws,
                     bool top)
{
        struct form form = { .replace_type = !entity->type_valid, .transfer = TRANSFER_EIGHT };
        if (is_hard(flaws))
                return refuse(e, flaws, "it is in a part that may not be encoded (RFC 2046)",
                              "send a message whose parts have short lines of text");
        return put_head(e, entity, &form, top) || put_blank(e, entity, true) || put_span(e, entity->body) ? -1
                                                                                                          : 0;
}

/* The bytes of the body, and how they are to be written. */
static void decode_body(const struct entity *entity, struct form *form)
{
        bool base64 = entity->transfer == TRANSFER_BASE64 && base64_is(entity->body.at, entity->body.len);
        enum transfer from = base64                                ? TRANSFER_BASE64
                             : entity->transfer == TRANSFER_QUOTED ? TRANSFER_QUOTED
                                                                   : TRANSFER_SEVEN;
        form->bytes = transfer_decode(from, entity->body.at, entity->body.len, &form->len);
        if (from != TRANSFER_SEVEN)
                form->transfer = from;
        else if (!form->text)
                form->transfer = TRANSFER_BASE64;
        else if (entity->transfer == TRANSFER_EIGHT)
                form->transfer =
                        TRANSFER_QUOTED; /* its words are not hidden where their sender showed them */
        else
                form->transfer = transfer_for(form->bytes, form->len);
        if (base64)
                form->text = false; /* its bytes are what they are, line ends too */
}

static int put_leaf(const struct encoding *e, const struct entity *entity, bool top)
{
        struct flaws flaws;
        find_flaws(entity->body, &flaws);
        /* binary needs BINARYMIME (RFC 3030), which is not used: such a leaf is encoded whatever
         * its bytes are. */
        bool binary = entity->kind == ENTITY_LEAF && entity->transfer == TRANSFER_BINARY;
        bool flawed =
                entity->kind == ENTITY_BOUND ? is_in_the_way(e, &flaws, entity->transfer) : needs(e, &flaws);
        if (!flawed && !(binary && entity->body.len))
                return put_head(e, entity, NULL, top) || put_blank(e, entity, false) ||
                                       put_span(e, entity->body)
                               ? -1
                               : 0;
        if (entity->sealed)
                return refuse_sealed(e, &flaws);
        if (entity->kind == ENTITY_BOUND)
                return put_bound(e, entity, &flaws, top);
        scoped(form_free) struct form form = { .text = entity->kind == ENTITY_TEXT,
                                               .replace_type = !entity->type_valid };
        decode_body(entity, &form);
        if (entity->kind == ENTITY_TEXT)
                choose_charset(entity, &form);
        return put_head(e, entity, &form, top) || put_blank(e, entity, true) || put_body(e, &form) ? -1 : 0;
}

/* ---- multiparts ---- */

/* Text before and behind the parts is for nobody, and nothing says how it could be encoded. In a
 * multipart/mixed it becomes a part, at its place. */
static int put_margin(const struct encoding *e, const struct entity *entity, struct span margin)
{
        scoped(form_free) struct form form = { .text = true };
        struct flaws flaws;
        find_flaws(margin, &flaws);
        form.bytes = copy_bytes(margin.at, margin.len);
        form.len = margin.len;
        form.transfer = transfer_for(margin.at, margin.len);
        form.charset = text_charset(margin.at, margin.len);
        if (!entity->mixed)
                return refuse(
                        e, &flaws,
                        "it stands before or behind the parts of the message, where nothing can be encoded",
                        "leave out that text, or make it a part");
        if (put_text(e, entity->boundary) || put_text(e, "\nContent-Type: text/plain; charset=") ||
            put_text(e, form.charset) || put_text(e, "\n") || put_transfer(e, &form) ||
            put_text(e, "Content-Disposition: inline\n\n"))
                return -1;
        return put_body(e, &form);
}

static bool margin_needs(const struct encoding *e, const struct entity *entity, struct span margin)
{
        struct flaws flaws;
        find_flaws(margin, &flaws);
        return is_in_the_way(e, &flaws, entity->transfer);
}

static int put_entity(const struct encoding *e, struct span bytes, enum entity_default without,
                      unsigned depth);

/* A multipart as it is written, piece by piece. */
struct parts {
        const struct entity *entity;
        struct span behind; /* the last margin, where it becomes a part before the end; else empty */
        bool open;          /* a boundary may follow as it stands in the message */
};

static int put_boundary(const struct encoding *e, struct parts *parts, const struct entity_piece *piece)
{
        if (piece->last && parts->behind.len) {
                if (put_text(e, "\n") || put_margin(e, parts->entity, parts->behind))
                        return -1;
                parts->open = false;
        }
        /* The line end before a boundary is part of it (RFC 2046 section 5.1.1): one that stood in
         * the margin has gone with it. */
        if (!parts->open && piece->bytes.at[0] == '-' && put_text(e, "\n"))
                return -1;
        parts->open = true;
        return put_span(e, piece->bytes);
}

static int put_piece(const struct encoding *e, struct parts *parts, const struct entity_piece *piece,
                     unsigned depth)
{
        switch (piece->kind) {
        case PIECE_BEFORE:
                if (!margin_needs(e, parts->entity, piece->bytes))
                        return put_span(e, piece->bytes);
                parts->open = false;
                return put_margin(e, parts->entity, piece->bytes);
        case PIECE_BOUNDARY:
                return put_boundary(e, parts, piece);
        case PIECE_PART:
                return put_entity(e, piece->bytes, parts->entity->digest ? DEFAULT_MESSAGE : DEFAULT_TEXT,
                                  depth + 1);
        case PIECE_AFTER:
                return parts->behind.len ? 0 : put_span(e, piece->bytes);
        }
        return 0;
}

static int put_parts(const struct encoding *e, const struct entity *entity, unsigned depth)
{
        struct parts parts = { .entity = entity, .open = true };
        for (struct entity_piece piece = { 0 };
             entity_next_piece(entity, &piece);) /* what is behind comes before the end */
                if (piece.kind == PIECE_AFTER)
                        parts.behind = piece.bytes;
        if (parts.behind.len && !margin_needs(e, entity, parts.behind))
                parts.behind = (struct span){ 0 };
        for (struct entity_piece piece = { 0 }; entity_next_piece(entity, &piece);)
                if (put_piece(e, &parts, &piece, depth))
                        return -1;
        return 0;
}

static int put_entity(const struct encoding *e, struct span bytes, enum entity_default without,
                      unsigned depth)
{
        struct entity entity;
        struct flaws flaws;
        entity_read(bytes, without, depth, &entity);
        if (entity.kind != ENTITY_MULTIPART && entity.kind != ENTITY_MESSAGE)
                return put_leaf(e, &entity, depth == 0);
        if (put_head(e, &entity, NULL, depth == 0) || put_blank(e, &entity, true))
                return -1;
        /* A message within may not be encoded as a whole (RFC 2046 section 5.2.1): what it holds
         * is. */
        if (entity.kind == ENTITY_MESSAGE)
                return put_entity(e, entity.body, DEFAULT_TEXT, depth + 1);
        if (!entity.sealed)
                return put_parts(e, &entity, depth);
        find_flaws(entity.body, &flaws);
        if (is_hard(&flaws) || (flaws.eight && e->body == BODY_7BIT))
                return refuse_sealed(e, &flaws);
        return put_span(e, entity.body);
}

int encode_draft(const char *bytes, size_t len, enum encode_body body, struct buf *out, struct cause *cause)
{
        struct encoding e = { .all = bytes, .body = body, .out = out, .cause = cause };
        if (put_entity(&e, (struct span){ bytes, len }, DEFAULT_TEXT, 0))
                return -1;
        /* The result is read again and compared: a message whose structure was misread is refused,
         * never altered. */
        if (encode_proves(bytes, len, (const char *)buf_bytes(out), out->len))
                return 0;
        (void)cause_set(cause, CAUSE_UNSENDABLE,
                        "the message cannot be encoded without losing a part of it: its structure is "
                        "not clear");
        cause_remedy(cause, "send a message whose parts are encoded as quoted-printable or base64");
        return -1;
}
