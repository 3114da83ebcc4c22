/* SPDX-License-Identifier: MIT */
/* The proof that a message encoded anew says what it said before; see encode.h. It reads both as any reader
 * would, and knows nothing of how the second was made. */
#include "ctl/encode.h"
#include "ctl/entity.h"

/* What a reader can get out of a message, in order. */
struct unit {
        struct span bytes;
        enum transfer transfer;
        bool text;
};
struct units {
        struct unit *items;
        size_t count, room;
};

static void units_free(struct units *units)
{
        free(units->items);
}

/* Blanks and line ends: nothing that anybody reads. */
static bool is_empty(struct span span)
{
        for (size_t i = 0; i < span.len; i++)
                if (!span.at[i] || !strchr(" \t\r\n", span.at[i]))
                        return false;
        return true;
}

static void add_unit(struct units *units, struct span bytes, enum transfer transfer, bool text)
{
        size_t len;
        scoped(scoped_free) char *short_one =
                bytes.len < 4096 ? transfer_decode(transfer, bytes.at, bytes.len, &len) : NULL;
        if (short_one ? is_empty((struct span){ short_one, len }) : is_empty(bytes))
                return;
        if (units->count == units->room) {
                units->room = units->room ? 2 * units->room : 16;
                units->items = new_resized(units->items, units->room, sizeof(*units->items));
        }
        units->items[units->count++] = (struct unit){ bytes, transfer, text };
}

static void read_units(struct units *units, struct span bytes, enum entity_default without, unsigned depth)
{
        struct entity entity;
        entity_read(bytes, without, depth, &entity);
        if (entity.kind == ENTITY_MESSAGE) {
                read_units(units, entity.body, DEFAULT_TEXT, depth + 1);
        } else if (entity.kind != ENTITY_MULTIPART) {
                add_unit(units, entity.body, entity.transfer, entity.kind != ENTITY_LEAF);
        } else {
                enum entity_default inner = entity.digest ? DEFAULT_MESSAGE : DEFAULT_TEXT;
                struct span behind = { 0 };
                for (struct entity_piece piece = { 0 }; entity_next_piece(&entity, &piece);) {
                        if (piece.kind == PIECE_PART)
                                read_units(units, piece.bytes, inner, depth + 1);
                        else if (piece.kind == PIECE_BEFORE)
                                add_unit(units, piece.bytes, TRANSFER_SEVEN, true);
                        else if (piece.kind == PIECE_AFTER)
                                behind = piece.bytes;
                }
                add_unit(units, behind, TRANSFER_SEVEN, true);
        }
}

/* Line ends as LF, in place; the last one, which a part's boundary takes, away. */
static size_t lines_only(char *text, size_t len)
{
        size_t used = 0;
        for (size_t i = 0; i < len; i++)
                if (text[i] != '\r' || i + 1 == len || text[i + 1] != '\n')
                        text[used++] = text[i];
        return used && text[used - 1] == '\n' ? used - 1 : used;
}

static bool same_unit(const struct unit *before, const struct unit *after)
{
        size_t a_len, b_len;
        if (before->transfer == after->transfer && before->bytes.len == after->bytes.len &&
            !memcmp(before->bytes.at, after->bytes.at, after->bytes.len))
                return true;
        scoped(scoped_free) char *a =
                transfer_decode(before->transfer, before->bytes.at, before->bytes.len, &a_len);
        scoped(scoped_free) char *b =
                transfer_decode(after->transfer, after->bytes.at, after->bytes.len, &b_len);
        if (before->text) {
                a_len = lines_only(a, a_len);
                b_len = lines_only(b, b_len);
        }
        return a_len == b_len && !memcmp(a, b, a_len);
}

bool encode_proves(const char *before, size_t before_len, const char *after, size_t after_len)
{
        scoped(units_free) struct units a = { 0 }, b = { 0 };
        read_units(&a, (struct span){ before, before_len }, DEFAULT_TEXT, 0);
        read_units(&b, (struct span){ after, after_len }, DEFAULT_TEXT, 0);
        if (a.count != b.count)
                return false;
        for (size_t i = 0; i < a.count; i++)
                if (!same_unit(&a.items[i], &b.items[i]))
                        return false;
        return true;
}
