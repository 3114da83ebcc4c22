/* SPDX-License-Identifier: MIT */
/*
 * The structure of a message by RFC 2045 and 2046, as ranges of its own bytes: nothing is copied or changed.
 * What is not as the standards want it is taken as readers take it: a type that is none is text, a multipart
 * whose boundary is missing or never comes is one leaf, the first of two fields of a name counts.
 */
#pragma once

#include "ctl/draft.h"
#include "ctl/transfer.h"

#define LIMIT_ENTITIES 64 /* entities within entities; what lies deeper is one leaf */

struct span {
        const char *at;
        size_t len;
};

enum entity_kind {
        ENTITY_TEXT,      /* lines of text */
        ENTITY_LEAF,      /* any other bytes */
        ENTITY_MULTIPART, /* with a boundary, and at least one line that is it */
        ENTITY_MESSAGE,   /* message/rfc822, message/global: an entity in an entity, not encoded */
        ENTITY_BOUND,     /* message/partial and its like, which may not be encoded (RFC 2046 section 5.2) */
};
/* What an entity without a type is: in multipart/digest that is a message. */
enum entity_default { DEFAULT_TEXT, DEFAULT_MESSAGE };

struct entity {
        struct span head;  /* the fields, without the blank line */
        struct span blank; /* the blank line; empty where there is none */
        struct span body;  /* in a multipart: without the line end that belongs to the next boundary */
        enum entity_kind kind;
        enum transfer transfer;
        struct draft_field type; /* the Content-Type that counts; name NULL: none */
        bool type_valid;         /* it is one by RFC 2045 section 5.1, and what it says holds */
        bool sealed;             /* signed or encrypted: a changed byte would break it */
        bool mixed;              /* a multipart in which a part more does no harm */
        bool digest, alternative;
        char boundary[80]; /* with "--" before it */
};
void entity_read(struct span bytes, enum entity_default without, unsigned depth, struct entity *out);

/* The value of a parameter of a Content-Type or Content-Disposition as it stands there, quotes included; NULL
 * when there is none. */
const char *entity_parameter(const struct draft_field *type, const char *name, size_t *len);

/* The pieces of a multipart's body in their order; begin with { 0 }. */
enum piece_kind { PIECE_BEFORE, PIECE_BOUNDARY, PIECE_PART, PIECE_AFTER };
struct entity_piece {
        enum piece_kind kind;
        struct span bytes; /* of a boundary: with the line end before it; together the pieces are the body */
        bool last;         /* of a boundary: the closing one */
        size_t next;       /* where the next piece begins */
        bool within, over;
};
bool entity_next_piece(const struct entity *entity, struct entity_piece *piece);
