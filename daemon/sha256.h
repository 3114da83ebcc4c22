/* SPDX-License-Identifier: MIT */
/*
 * SHA-256 as it is used for each message: of bytes that are there, or that come in pieces. OpenSSL looks for
 * an algorithm that is named by EVP_sha256() anew at each use, which takes longer than the digest of a name.
 * It fails for want of memory only, which ends the process as in new_object.
 */
#pragma once

#include "common/cleanup.h"

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum { SHA256_SIZE = 32 };

/* Looked for once; ends the process where OpenSSL has none. Any thread. */
const EVP_MD *sha256_algorithm(void);

void sha256_of(const void *bytes, size_t len, uint8_t digest[SHA256_SIZE]);

/* Begins one, anew where *context has another; makes the context where it is NULL. */
static inline void sha256_begin(EVP_MD_CTX **context)
{
        if (!*context)
                *context = EVP_MD_CTX_new();
        if (!*context || EVP_DigestInit_ex(*context, sha256_algorithm(), NULL) != 1)
                abort();
}

static inline void sha256_add(EVP_MD_CTX *context, const void *bytes, size_t len)
{
        if (EVP_DigestUpdate(context, bytes, len) != 1)
                abort();
}

/* Before the next one sha256_begin() is called again. */
static inline void sha256_end(EVP_MD_CTX *context, uint8_t digest[SHA256_SIZE])
{
        if (EVP_DigestFinal_ex(context, digest, NULL) != 1)
                abort();
}

/* For scoped(sha256_free). */
static inline void sha256_free(EVP_MD_CTX **context)
{
        EVP_MD_CTX_free(take(*context));
}
