/* SPDX-License-Identifier: MIT */
/* Certificates made at test time: a specification in, a certificate with its key out. One defect each. */
#pragma once

#include "common/cleanup.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <time.h>

struct pki {
        X509 *x509;
        EVP_PKEY *key;
};

struct pki_spec {
        const char *cn;
        const char *san;          /* "DNS:mail.example,IP:127.0.0.1" or NULL */
        const struct pki *issuer; /* NULL: self-signed */
        const EVP_PKEY *key;      /* NULL: a new EC key */
        bool ca;
        int rsa_bits;                         /* 0: EC P-256 */
        long from_days, to_days;              /* from now; both 0: -1 to 365 */
        const EVP_MD *digest;                 /* NULL: SHA-256 */
        const char *purpose;                  /* extendedKeyUsage, or NULL */
        const char *extra_name, *extra_value; /* one more extension, in OpenSSL's configuration words */
};

static inline EVP_PKEY *pki_key(int rsa_bits)
{
        EVP_PKEY *key = rsa_bits ? EVP_RSA_gen((unsigned)rsa_bits) : EVP_EC_gen("P-256");
        if (!key)
                abort();
        return key;
}

static inline void pki_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
        X509V3_CTX ctx;
        X509V3_set_ctx_nodb(&ctx);
        X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
        if (!extension || X509_add_ext(x509, extension, -1) != 1)
                abort();
        X509_EXTENSION_free(extension);
}

static inline struct pki pki_make(const struct pki_spec *spec)
{
        static long serial = 1000;
        struct pki made = { X509_new(), NULL };
        bool dated = spec->from_days || spec->to_days;

        if (spec->key) {
                made.key = (EVP_PKEY *)(uintptr_t)spec->key;
                EVP_PKEY_up_ref(made.key);
        } else {
                made.key = pki_key(spec->rsa_bits);
        }
        X509_set_version(made.x509, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(made.x509), ++serial);
        X509_gmtime_adj(X509_getm_notBefore(made.x509), (dated ? spec->from_days : -1) * 86400L);
        X509_gmtime_adj(X509_getm_notAfter(made.x509), (dated ? spec->to_days : 365) * 86400L);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(made.x509), "CN", MBSTRING_UTF8,
                                   (const unsigned char *)spec->cn, -1, -1, 0);
        X509 *issuer = spec->issuer ? spec->issuer->x509 : made.x509;
        X509_set_issuer_name(made.x509, X509_get_subject_name(issuer));
        X509_set_pubkey(made.x509, made.key);
        if (!spec->extra_name || strcmp(spec->extra_name, "basicConstraints") != 0)
                pki_extension(made.x509, issuer, NID_basic_constraints,
                              spec->ca ? "critical,CA:TRUE" : "CA:FALSE");
        if (spec->ca)
                pki_extension(made.x509, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
        if (spec->san)
                pki_extension(made.x509, issuer, NID_subject_alt_name, spec->san);
        if (spec->purpose)
                pki_extension(made.x509, issuer, NID_ext_key_usage, spec->purpose);
        if (spec->extra_name)
                pki_extension(made.x509, issuer, OBJ_sn2nid(spec->extra_name), spec->extra_value);
        if (X509_sign(made.x509, spec->issuer ? spec->issuer->key : made.key,
                      spec->digest ? spec->digest : EVP_sha256()) <= 0)
                abort();
        return made;
}

static inline void pki_free(struct pki *pki)
{
        X509_free(pki->x509);
        EVP_PKEY_free(pki->key);
        *pki = (struct pki){ 0 };
}

/* The caller frees. */
static inline char *pki_pem(const struct pki *pki)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *bytes = NULL;
        if (PEM_write_bio_X509(bio, pki->x509) != 1)
                abort();
        long len = BIO_get_mem_data(bio, &bytes);
        char *text = copy_bytes(bytes, (size_t)len);
        BIO_free(bio);
        return text;
}

static inline char *pki_key_pem(const struct pki *pki)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *bytes = NULL;
        if (PEM_write_bio_PrivateKey(bio, pki->key, NULL, NULL, 0, NULL, NULL) != 1)
                abort();
        long len = BIO_get_mem_data(bio, &bytes);
        char *text = copy_bytes(bytes, (size_t)len);
        BIO_free(bio);
        return text;
}

/* DER; the caller frees. */
static inline size_t pki_der(const struct pki *pki, uint8_t **out)
{
        uint8_t *der = NULL;
        int len = i2d_X509(pki->x509, &der);
        if (len <= 0)
                abort();
        *out = (uint8_t *)copy_bytes((const char *)der, (size_t)len);
        OPENSSL_free(der);
        return (size_t)len;
}
