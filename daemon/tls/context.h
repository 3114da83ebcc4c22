/* SPDX-License-Identifier: MIT */
/*
 * One SSL_CTX for each class of accounts (lowest TLS version), shared by all of them, and the one certificate
 * store they verify against, replaced as a whole when trust changes.
 */
#pragma once

#include "common/cause.h"

#include <openssl/ssl.h>

/* A new SSL for that lowest version (10, 11, 12, 13), with protocol versions, ciphers, security level and
 * store set; NULL with a cause. `new_session` is told of every session ticket. */
SSL *context_ssl(int min_version, int (*new_session)(SSL *ssl, SSL_SESSION *session), struct cause *cause)
        must_use;
/* A new SSL for the server's side: TLS 1.2 and 1.3, no session is resumed. NULL with a cause. */
SSL *context_server_ssl(struct cause *cause) must_use;
/* The store for every handshake from now on (a reference is taken); NULL: none, nothing verifies. */
void context_use_store(X509_STORE *store);
void context_close(void);
/* What is offered from that version on: "TLS 1.2 and 1.3". */
const char *context_offer(int min_version);
