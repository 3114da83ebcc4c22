/* SPDX-License-Identifier: MIT */
/* The authorities of the simulation and what they sign; see certs.h. */
#include "tests/simulator/certs.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { DAY = 86400, SHORT_DAYS = 4, SHORT_ONES = 12 };

struct authority {
        X509 *x509;
        EVP_PKEY *key;
        char *pem;
};
static struct authority root, plant;
static struct cert *all, **end = &all;
static long serial;

static void must(bool good, const char *what)
{
        if (good)
                return;
        (void)fprintf(stderr, "simulator: no %s\n", what);
        abort();
}

static void extend(X509 *x509, X509 *issuer, int nid, const char *value)
{
        X509V3_CTX ctx;
        X509V3_set_ctx_nodb(&ctx);
        X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);

        must(extension && X509_add_ext(x509, extension, -1) == 1, "extension");
        X509_EXTENSION_free(extension);
}

/* NULL as issuer: itself. */
static X509 *make(const char *cn, EVP_PKEY *key, const struct authority *issuer, time_t from, time_t to)
{
        X509 *x509 = X509_new();
        X509_NAME *name = X509_get_subject_name(x509);

        must(key != NULL, "key");
        X509_set_version(x509, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
        must(ASN1_TIME_set(X509_getm_notBefore(x509), from) && ASN1_TIME_set(X509_getm_notAfter(x509), to),
             "date");
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
        X509_set_issuer_name(x509, issuer ? X509_get_subject_name(issuer->x509) : name);
        X509_set_pubkey(x509, key);
        return x509;
}

static void sign(X509 *x509, EVP_PKEY *key)
{
        must(X509_sign(x509, key, EVP_sha256()) > 0, "signature");
}

static char *pem_of(X509 *x509)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *bytes = NULL;

        must(PEM_write_bio_X509(bio, x509) == 1, "PEM");
        long len = BIO_get_mem_data(bio, &bytes);
        char *text = copy_bytes(bytes, (size_t)len);
        BIO_free(bio);
        return text;
}

static struct authority authority_make(const char *cn, time_t wall)
{
        struct authority made = { .key = EVP_EC_gen("P-256") };

        made.x509 = make(cn, made.key, NULL, wall - 400L * DAY, wall + 20000L * DAY);
        extend(made.x509, made.x509, NID_basic_constraints, "critical,CA:TRUE");
        extend(made.x509, made.x509, NID_key_usage, "critical,keyCertSign,cRLSign");
        sign(made.x509, made.key);
        made.pem = pem_of(made.x509);
        return made;
}

void certs_open(time_t wall)
{
        root = authority_make("Simulated Root", wall);
        plant = authority_make("Plant CA", wall);
}

const char *certs_root_pem(void)
{
        return root.pem;
}

const char *certs_plant_pem(void)
{
        return plant.pem;
}

const char *cert_kind_name(enum cert_kind kind)
{
        static const char *const names[CERT_KINDS] = {
                [CERT_GOOD] = "good",
                [CERT_SHORT] = "short-lived",
                [CERT_PLANT] = "of the plant's CA",
                [CERT_SELF] = "self-signed",
                [CERT_EXPIRED] = "expired",
                [CERT_WRONG_NAME] = "of another host",
        };

        return names[kind];
}

static const struct authority *issuer_of(enum cert_kind kind)
{
        return kind == CERT_SELF ? NULL : kind == CERT_PLANT ? &plant : &root;
}

static void show(struct cert *cert, X509 *x509, EVP_PKEY *key)
{
        uint8_t digest[32];
        unsigned len = sizeof digest;

        must(X509_digest(x509, EVP_sha256(), digest, &len) == 1, "digest");
        for (size_t i = 0; i < len; i++)
                (void)snprintf(cert->fingerprint + 2 * i, 3, "%02x", digest[i]);
        cert->context = SSL_CTX_new(TLS_server_method());
        must(cert->context && SSL_CTX_use_certificate(cert->context, x509) == 1 &&
                     SSL_CTX_use_PrivateKey(cert->context, key) == 1,
             "context");
        (void)SSL_CTX_set_session_id_context(cert->context, digest, 16);
        (void)SSL_CTX_set_options(cert->context, SSL_OP_NO_RENEGOTIATION);
        (void)SSL_CTX_set_num_tickets(cert->context, 1); /* the station keeps the last one */
        SSL_CTX_set_mode(cert->context, SSL_MODE_RELEASE_BUFFERS);
}

static void cert_make(enum cert_kind kind, const char *host, time_t from, time_t to)
{
        struct cert *cert = new_object(struct cert);
        const struct authority *issuer = issuer_of(kind);
        EVP_PKEY *key = EVP_EC_gen("P-256");
        char name[96];

        cert->kind = kind;
        (void)snprintf(cert->host, sizeof cert->host, "%s", host);
        cert->from = from;
        cert->to = to;
        (void)snprintf(name, sizeof name, "DNS:%s", kind == CERT_WRONG_NAME ? "other.example" : host);
        X509 *x509 = make(name + strlen("DNS:"), key, issuer, from, to);
        extend(x509, issuer ? issuer->x509 : x509, NID_basic_constraints, "CA:FALSE");
        extend(x509, issuer ? issuer->x509 : x509, NID_subject_alt_name, name);
        sign(x509, issuer ? issuer->key : key);
        show(cert, x509, key);
        X509_free(x509);
        EVP_PKEY_free(key);
        *end = cert;
        end = &cert->next;
}

void certs_make(const char *host, time_t wall)
{
        static const enum cert_kind kinds[] = { CERT_GOOD,  CERT_GOOD,    CERT_GOOD,
                                                CERT_PLANT, CERT_PLANT,   CERT_SELF,
                                                CERT_SELF,  CERT_EXPIRED, CERT_WRONG_NAME };

        for (size_t i = 0; i < count_of(kinds); i++)
                cert_make(kinds[i], host, wall - 10L * DAY,
                          kinds[i] == CERT_EXPIRED ? wall - DAY : wall + 4000L * DAY);
        for (int i = 1; i <= SHORT_ONES; i++)
                cert_make(CERT_SHORT, host, wall - 10L * DAY, wall + SHORT_DAYS * i * DAY);
}

static bool suits(const struct cert *cert, const char *host, enum cert_kind kind, time_t wall)
{
        return cert->kind == kind && same_text(cert->host, host) &&
               (kind != CERT_SHORT || cert->to > wall + DAY);
}

const struct cert *cert_of(const char *host, enum cert_kind kind, unsigned turn, time_t wall)
{
        const struct cert *found[SHORT_ONES + 3];
        unsigned count = 0;

        for (const struct cert *cert = all; cert; cert = cert->next)
                if (suits(cert, host, kind, wall))
                        found[count++] = cert;
        if (!count) /* the last of the short-lived ones has ended */
                return cert_of(host, CERT_GOOD, turn, wall);
        return found[kind == CERT_SHORT ? 0 : turn % count];
}
