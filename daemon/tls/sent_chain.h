/* SPDX-License-Identifier: MIT */
/* Certificates that servers send, each in memory once: see sent_chain.c. */
#pragma once

#include <openssl/ssl.h>

/* For SSL_CTX_set_cert_verify_callback(): verifies as OpenSSL does, after the chain that was sent has been
 * made of what is here already. */
int sent_chain_verify(X509_STORE_CTX *verification, void *unused);
/* What no session has any more is freed. */
void sent_chain_forget(void);
