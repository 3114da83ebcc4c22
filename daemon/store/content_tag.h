/* SPDX-License-Identifier: MIT */
/*
 * The tag of content: 16 bytes by which a message, or a piece of a body, is known again. It is AES-128-GMAC
 * (NIST SP 800-38D, of nothing but associated data) under a key that is random, made once and kept in the
 * database, in `meta`; five times as fast as the SHA-256 that was here before. Any thread.
 *
 * The nonce is always the same. For a MAC whose tags others see that would be its end: two of them give the
 * key of the hash away. Here it is used as a universal hash: tags and key lie in the database, which has mode
 * 0600, and in its backups, and are shown to nobody; what others learn is at most whether two contents were
 * held to be the same. Contents of up to n blocks of 16 bytes, chosen by whoever does not know the key, then
 * have the same tag with a probability of at most (n + 2) / 2^128: for two messages of 1 GiB less than
 * 2^-101, and 2^-93 where 15 bytes of the tag are compared (fetched_rows.c). For bytes that have changed on
 * the disk it is the same. Who can read the key can read the mail as well, and may put into the state folder
 * what they like: against them no digest helps that lies beside what it is of.
 *
 * A copy of the database (a backup) has the key in it: its tags count wherever it is put. What is compared
 * with a tag of this database is therefore always a tag that was made with it: files of a Maildir are read
 * (delivery_unrecorded.h). A database that is begun anew has another key, and no tag.
 *
 * What earlier versions have left is SHA-256, told apart by its length.
 */
#pragma once

#include "daemon/store/database.h"

#include <openssl/evp.h>

enum { CONTENT_TAG_SIZE = 16 };

/* Ahead of all else, and of other threads: takes the key from the database; one that has lost it gets
 * another. */
int content_tag_load(struct database *db, struct cause *cause) must_use;
void content_tag_unload(void);
/* The same without a database, for tests. */
void content_tag_key(const uint8_t key[CONTENT_TAG_SIZE]);

void content_tag_of(const void *bytes, size_t len, uint8_t tag[CONTENT_TAG_SIZE]);
/* Whether that is what it was made of: a tag, or the SHA-256 of an earlier version. */
bool content_tag_fits(const void *bytes, size_t len, const uint8_t *told, size_t told_len) must_use;

/* Of content that comes in pieces. Begins one, anew where *context has another; takes a context where it is
 * NULL. */
void content_tag_begin(EVP_CIPHER_CTX **context);
void content_tag_add(EVP_CIPHER_CTX *context, const void *bytes, size_t len);
/* Before the next one content_tag_begin() is called again. */
void content_tag_end(EVP_CIPHER_CTX *context, uint8_t tag[CONTENT_TAG_SIZE]);
/* For `scoped`: gives the context back. */
void content_tag_free(EVP_CIPHER_CTX **context);
