/* SPDX-License-Identifier: MIT */
/*
 * SHA-256 as it is used for each message. OpenSSL looks for an algorithm that is named by EVP_sha256() anew
 * at each use, which takes longer than the digest of a name.
 */
#pragma once

#include <openssl/evp.h>
#include <stdint.h>

/* Looked for once; ends the process where OpenSSL has none. Any thread. */
const EVP_MD *sha256_algorithm(void);

void sha256_of(const void *bytes, size_t len, uint8_t digest[32]);
