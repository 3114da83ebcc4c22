/* SPDX-License-Identifier: MIT */
/*
 * Files with a client certificate, opened by OpenSSL. Like the MIME part a shared object of its own
 * (emailsec-pem.so), loaded when a key is imported: libcrypto would double the time of every start. Plain
 * bytes go across this line.
 */
#pragma once

#include <stddef.h>

#define PEM_OBJECT       "emailsec-pem.so"
#define PEM_ENTRY        "emailsec_pem"
#define PEM_PART_VERSION 1

enum pem_result {
        PEM_MADE,          /* *out is PEM: the certificate, its issuers, the key in plain */
        PEM_AS_IS,         /* nothing here was encrypted, and it is no PKCS#12 */
        PEM_UNASKED,       /* ask() gave none */
        PEM_WRONG,         /* the passphrase, or the bytes */
        PEM_LEGACY_PKCS12, /* encrypted by what only OpenSSL's legacy provider has */
        PEM_LEGACY_KEY,    /* the same of PEM */
        PEM_UNWRITABLE,    /* a key that PEM has no form for */
};

struct pem_functions {
        int version; /* PEM_PART_VERSION of who made it */
        /* `ask` gives the passphrase, which stays the caller's, or NULL; it is called only where there is
         * one, and may be more than once. `out` is for wipe(). */
        enum pem_result (*open)(const void *bytes, size_t len, const char *(*ask)(void *ctx), void *ctx,
                                char **out, size_t *out_len);
        void (*wipe)(char *out, size_t len); /* and frees */
};
typedef const struct pem_functions *pem_entry(void);
pem_entry emailsec_pem;
