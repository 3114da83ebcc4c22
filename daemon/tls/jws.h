/* SPDX-License-Identifier: MIT */
/* Signatures in the form of JWS (RFC 7515, RFC 7518 section 3) with a key of the user key store. */
#pragma once

#include "common/cause.h"

#include <openssl/evp.h>

/* What that key signs with: RS256, or ES256 for a key on P-256. NULL with CAUSE_SECRET for other keys. */
const char *jws_algorithm(const EVP_PKEY *key, struct cause *cause) must_use;
/* The signature over `text` by jws_algorithm(); the caller frees. -1 with CAUSE_SECRET. */
int jws_sign(EVP_PKEY *key, const char *text, uint8_t **out, size_t *out_len, struct cause *cause) must_use;
