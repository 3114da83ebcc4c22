/* SPDX-License-Identifier: MIT */
/*
 * The user key store: client certificates with their keys, files keys/NAME.pem in the state directory
 * (certificate, its issuers if any, private key). Read with the trust stores; keys stay in memory as OpenSSL
 * objects only.
 */
#pragma once

#include "common/cause.h"

#include <openssl/ssl.h>

/* Reads all; one that cannot be read is a fault of the accounts that name it, not of the others. */
void keys_open(const char *state_directory);
void keys_close(void);
/* Puts the certificate of that name into a session; -1 with CAUSE_SECRET. */
int keys_use(SSL *ssl, const char *name, struct cause *cause) must_use;
