/* SPDX-License-Identifier: MIT */
/* What a FETCH response says about one message (RFC 9051 section 7.5.2). */
#pragma once

#include "daemon/imap/state.h"

struct imap_fetch_items {
        uint32_t uid;  /* 0: not said */
        bool has_size; /* a number was said */
        bool has_flags, seen, deleted;
        uint64_t size;
        time_t date; /* INTERNALDATE: when it was taken in there; 0: not said */
        bool has_body;
        bool is_part; /* BODY[]<origin> */
        uint64_t origin;
        bool has_head;
        struct imap_text head; /* BODY[HEADER.FIELDS ...] */
        struct imap_text body; /* a body that was no streamed literal: quoted, or NIL */
};

/* Reads name and value pairs up to the closing parenthesis, which may be missing; `open`: up to the end of
 * the text, behind which a body follows. Adds to what *items says already. What nobody needs is read over
 * however it looks; false: the UID is none, or the body contradicts itself. */
bool imap_fetch_items(struct imap_cursor *cursor, bool open, struct imap_fetch_items *items) must_use;

/* True for OK, and for a NO that only says that some messages have gone meanwhile (RFC 5530, RFC 2180). */
bool imap_served(const struct imap_reply *reply);

/* A message of the listing (list.c). */
void imap_list_entry(struct imap_session *session, const struct imap_fetch_items *items);
