/* SPDX-License-Identifier: MIT */
/*
 * Which accounts of the set a word leads to: who sends for an address, whose server it is, who has a
 * heartbeat. To ask costs the same with ten accounts and with ten thousand. On the loop.
 */
#pragma once

#include "daemon/accounts/account.h"

enum index_kind {
        INDEX_SENDS_FOR,  /* outgoing: addresses and domains of sendsFor, */
        INDEX_OWN,        /* and its own address */
        INDEX_SERVER,     /* its server by TLS: host and port; */
        INDEX_TOKENS,     /* servers that give it tokens */
        INDEX_KEY,        /* the client certificate it shows */
        INDEX_RECEIVES,   /* incoming and enabled: the name it signs in by, which may be empty */
        INDEX_HEARTBEAT,  /* outgoing, with a heartbeat: "" */
        INDEX_UNREADABLE, /* its file could not be read, and it has no other word: "" */
        INDEX_KINDS
};

/* By whoever keeps the set: the account has come, or its values are others; it goes, or its values are about
 * to change. */
void index_add(struct account *account);
void index_remove(const struct account *account);
void index_close(void);
/* Is another number after each of these. */
unsigned index_changes(void);

/* Of those with this word, in whatever case (port 0 where the kind has none), the first by name that is
 * behind `name`; "": of all. NULL: there is none. */
struct account *index_next(enum index_kind kind, const char *word, uint16_t port, const char *name);
/* How many there are under any word, and one of them, in order. */
size_t index_count(enum index_kind kind);
struct account *index_item(enum index_kind kind, size_t number);

/* The account whose sendsFor has the address by itself, else by its domain; the first by name of several.
 * NULL: none has. `sender`: as on the wire. */
struct account *index_sender(const char *sender);
/* The first by name whose own address it is; NULL: none. */
struct account *index_own(const char *sender);
