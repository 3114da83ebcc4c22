/* SPDX-License-Identifier: MIT */
/*
 * The user key store: client certificates with their keys, files keys/NAME.pem in the state directory
 * (certificate, its issuers if any, private key). Read with the trust stores; keys stay in memory as OpenSSL
 * objects only.
 */
#pragma once

#include "common/cause.h"

#include <jansson.h>
#include <openssl/ssl.h>

/* Reads all; one that cannot be read is a fault of the accounts that name it, not of the others. */
void keys_open(const char *state_directory);
void keys_close(void);
/* Whether one of them, or their folder, could not be read from the disk: that may pass. */
bool keys_unread(void);
/* Puts the certificate of that name into a session; -1 with CAUSE_SECRET. */
int keys_use(SSL *ssl, const char *name, struct cause *cause) must_use;

/* The same name may be that of a credential of the service manager ($CREDENTIALS_DIRECTORY), for keys_use()
 * where the store has none: read now, in place of the one read before; NULL: none. May block shortly (start,
 * reload). */
void keys_credential(const char *name);

/* The private key of that name, borrowed until keys change; NULL with CAUSE_SECRET. */
EVP_PKEY *keys_private(const char *name, struct cause *cause) must_use;

/* [{name, certificate, issuers, fault}], without the keys; certificate null and fault a text where the file
 * cannot be used. */
json_t *keys_list(void) must_use;
/* Stores PEM (certificate, its issuers if any, private key without a passphrase) under that name, in place of
 * one of that name; it is used from the next session on. `bytes` are copied, the copies wiped. `done` on the
 * loop, or before the return when refused: the cause is never NULL, the object of keys_list borrowed for the
 * call. */
void keys_import(const char *name, const uint8_t *bytes, size_t len,
                 void (*done)(void *ctx, const struct cause *cause, json_t *key), void *ctx);
void keys_delete(const char *name, void (*done)(void *ctx, const struct cause *cause, json_t *key),
                 void *ctx);
