/* SPDX-License-Identifier: MIT */
/*
 * IMAP responses out of a stream of bytes (RFC 9051 section 9). The parser is pushed
 * bytes in any portions and cuts them into responses. One that lies whole in the bytes
 * given is handed out in place, without a copy. The literal of a message (imap_names_message) in a
 * FETCH response is never held: it comes out piece by piece. All other literals stay in the
 * text of their response, which LIMIT_REPLY bounds. Every byte is looked at once,
 * however small the portions are. imap/cursor.h then reads a response.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"
#include "daemon/imap/cursor.h"

/* What is not yet read of the bytes that arrived. */
struct imap_input {
        const uint8_t *bytes;
        size_t len;
};

enum imap_event {
        IMAP_MORE,     /* everything was taken; more is needed */
        IMAP_RESPONSE, /* a whole response, or with `tail` the rest of one after its body */
        IMAP_BODY,     /* a response up to and without the body of `size` bytes that follows in pieces */
        IMAP_PIECE,    /* bytes of the body */
        IMAP_BAD,      /* cause says why; the stream is lost */
};

struct imap_item {
        const char *text; /* without the final line end; valid until the next call */
        size_t len;
        uint64_t size;
        bool tail;
};

struct imap_parser {
        struct buf held; /* a response that did not come in one portion */
        size_t line;     /* where in it its last line begins, after a literal */
        uint64_t left;   /* bytes of a literal still to come */
        enum { PARSE_LINE, PARSE_LITERAL, PARSE_BODY } state;
        bool tail;  /* a body came before in this response */
        bool spent; /* `held` was handed out: to be emptied */
};

void imap_parser_init(struct imap_parser *parser);
void imap_parser_done(struct imap_parser *parser);
/* Takes from the front of `input` up to the next event. */
enum imap_event imap_parser_next(struct imap_parser *parser, struct imap_input *input,
                                 struct imap_item *out_item, struct cause *cause) must_use;
/* True for a name of the whole message, or of the part that begins at *out_origin, as servers write it:
 * BODY[], BODY.PEEK[], RFC822; BODY[]<17>, BODY[]<17.1024>. */
bool imap_names_message(const struct imap_text *name, bool *out_is_part, uint64_t *out_origin);
/* True when nothing of a response is held and no literal is open. */
bool imap_parser_empty(const struct imap_parser *parser);
