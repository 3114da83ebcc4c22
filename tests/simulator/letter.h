/* SPDX-License-Identifier: MIT */
/*
 * The messages of the simulation. A message is a number: its bytes follow from it alone, so that nobody has
 * to keep them and whoever holds some can tell which they should be. And mailboxes that hold such messages.
 */
#pragma once

#include "common/cleanup.h"

#include <time.h>

/* The message as it travels, with CRLF, a whole header and 7-bit text. The caller frees. */
char *letter_bytes(uint32_t number, size_t *len) must_use;
/* Which message these bytes claim to be, by their Message-ID; 0: none of ours. */
uint32_t letter_number(const char *bytes, size_t len);
/* Whether they are that message, byte for byte; `lf`: with LF where it has CRLF. */
bool letter_is(uint32_t number, const char *bytes, size_t len, bool lf);

struct letter_item { /* one message in a mailbox at a server */
        uint32_t number, uid;
        uint64_t uidl; /* written as 16 hex digits */
        size_t size;
        int64_t came, went; /* world_now(); went: where it is deleted or gone */
        bool seen, deleted, gone;
        bool unreadable; /* listed, and not handed out */
        bool poison;     /* and never will be */
};

struct letter_box {
        struct letter_item *items; /* in order of uid; those that are gone stay, for the ledger */
        size_t count;
        uint32_t uidvalidity, uidnext;
};

/* The items are the world's memory. */
struct letter_item *letter_box_add(struct letter_box *box, uint32_t number, int64_t now);
/* The item at that place among those that are there, from 1; NULL: none. */
struct letter_item *letter_box_at(const struct letter_box *box, size_t place);
size_t letter_box_there(const struct letter_box *box);
/* The client has deleted it. */
void letter_item_goes(struct letter_item *item, int64_t now);
/* Other uids (a new UIDVALIDITY), or other UIDLs, for the same messages. */
void letter_box_renumber(struct letter_box *box, bool uidls, uint64_t salt);
