/* SPDX-License-Identifier: MIT */
/* What the files of tls/ share about OpenSSL's X509; not for other subsystems, which see struct certificate.
 */
#pragma once

#include "daemon/tls/certificate.h"

#include <openssl/x509.h>

/* Never fails: what cannot be read (a malformed date, an unknown key) is empty or 0. */
void certificate_from_x509(X509 *x509, struct certificate *out);
/* SHA-256 of the DER. */
void x509_digest(X509 *x509, uint8_t out[32]);
/* What a person would call it: the common name, else the whole name; printable, at most 80 bytes. */
void x509_short_name(const X509_NAME *name, char out[80]);
time_t asn1_time(const ASN1_TIME *time); /* 0 when malformed */

/* Calls `each` for every PEM block of the text until it returns non-zero, which is then the result; 0 at the
 * end, -1 (cause) for a block that is not PEM. `name` is the word after BEGIN. */
int pem_each(const void *bytes, size_t len,
             int (*each)(void *ctx, const char *name, const uint8_t *der, size_t der_len,
                         struct cause *cause),
             void *ctx, struct cause *cause) must_use;
/* True for the PEM words of a certificate. */
bool pem_is_certificate(const char *name);
