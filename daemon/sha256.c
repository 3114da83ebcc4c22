/* SPDX-License-Identifier: MIT */
/* See sha256.h. */
#include "daemon/sha256.h"

#include <pthread.h>
#include <stdlib.h>

static EVP_MD *algorithm; /* for as long as the process lives */

static void fetch(void)
{
        algorithm = EVP_MD_fetch(NULL, "SHA2-256", NULL);
        if (!algorithm)
                abort();
}

const EVP_MD *sha256_algorithm(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        (void)pthread_once(&once, fetch);
        return algorithm;
}

void sha256_of(const void *bytes, size_t len, uint8_t digest[32])
{
        if (EVP_Digest(bytes, len, digest, NULL, sha256_algorithm(), NULL) != 1)
                abort(); /* of a few bytes it fails for want of memory only */
}
