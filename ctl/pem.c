/* SPDX-License-Identifier: MIT */
/*
 * emailsec-pem.so: PKCS#12 and encrypted PEM into plain PEM. OpenSSL asks for a passphrase by a callback:
 * whether a PEM file has one is known by that alone. What was decrypted lives in OpenSSL's objects, which
 * wipe it, and in what is given back. Depends on nothing of ours but pem.h, so that any program can load the
 * object.
 */
#include "ctl/pem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct opening {
        const char *(*ask)(void *ctx);
        void *ctx;
        bool asked, given;
        bool unchecked; /* PKCS#12 that came without a checksum */
        EVP_PKEY *key;
        X509 *certificate;
        STACK_OF(X509) * issuers;
};

static const char *passphrase_of(struct opening *opening)
{
        const char *passphrase = opening->ask(opening->ctx);

        opening->asked = true;
        opening->given = passphrase != NULL;
        return passphrase;
}

static int give_passphrase(char *into, int size, int writing, void *ctx)
{
        const char *passphrase = passphrase_of(ctx);
        size_t len = passphrase ? strlen(passphrase) : 0;

        (void)writing;
        if (!passphrase || len > (size_t)size) /* longer than OpenSSL's own commands take */
                return -1;
        memcpy(into, passphrase, len);
        return (int)len;
}

/* Why it could not be decrypted. */
static enum pem_result undecrypted(const struct opening *opening, enum pem_result legacy)
{
        unsigned long error;
        bool unsupported = false;

        while ((error = ERR_get_error()) != 0)
                unsupported = unsupported || (ERR_GET_LIB(error) == ERR_LIB_EVP &&
                                              ERR_GET_REASON(error) == ERR_R_UNSUPPORTED);
        if (opening->asked && !opening->given)
                return PEM_UNASKED;
        return unsupported ? legacy : PEM_WRONG;
}

/* ---- the two forms ---- */

static bool parse_pkcs12(struct opening *opening, PKCS12 *file, const char *passphrase)
{
        /* OpenSSL 3.0 refuses a file without a checksum: it gets one that fits this passphrase. */
        if (opening->unchecked && PKCS12_set_mac(file, passphrase, -1, NULL, 0, 1, EVP_sha256()) != 1)
                return false;
        ERR_clear_error();
        return PKCS12_parse(file, passphrase, &opening->key, &opening->certificate, &opening->issuers) == 1;
}

/* A file without a passphrase has an empty one, or none: two things in PKCS#12. Its checksum tells, or
 * trying. */
static enum pem_result open_pkcs12(struct opening *opening, PKCS12 *file)
{
        const char *passphrase = NULL;

        opening->unchecked = PKCS12_mac_present(file) != 1;
        if (opening->unchecked && parse_pkcs12(opening, file, NULL))
                return PEM_MADE;
        bool has_one =
                opening->unchecked || (!PKCS12_verify_mac(file, NULL, 0) && !PKCS12_verify_mac(file, "", 0));
        if (has_one && !(passphrase = passphrase_of(opening)))
                return PEM_UNASKED;
        return parse_pkcs12(opening, file, passphrase) ? PEM_MADE : undecrypted(opening, PEM_LEGACY_PKCS12);
}

/* All certificates of the file, the first as the client's own. */
static void read_certificates(struct opening *opening, BIO *file)
{
        X509 *x509;

        opening->issuers = sk_X509_new_null();
        if (!opening->issuers)
                abort();
        while ((x509 = PEM_read_bio_X509_AUX(file, NULL, NULL, NULL)) != NULL) {
                if (!opening->certificate)
                        opening->certificate = x509;
                else if (sk_X509_push(opening->issuers, x509) < 1)
                        abort();
        }
}

static enum pem_result open_pem(struct opening *opening, const void *bytes, size_t len)
{
        BIO *file = BIO_new_mem_buf(bytes, (int)len);
        enum pem_result result = PEM_AS_IS;

        if (!file)
                abort();
        opening->key = PEM_read_bio_PrivateKey(file, NULL, give_passphrase, opening);
        if (!opening->key && opening->asked) {
                result = undecrypted(opening, PEM_LEGACY_KEY);
        } else if (opening->asked) {
                (void)BIO_reset(file);
                read_certificates(opening, file);
                result = PEM_MADE;
        }
        BIO_free(file);
        return result;
}

/* ---- out ---- */

static bool write_pem(const struct opening *opening, BIO *out)
{
        bool well = !opening->certificate || PEM_write_bio_X509(out, opening->certificate) == 1;

        for (int i = 0; well && i < sk_X509_num(opening->issuers); i++)
                well = PEM_write_bio_X509(out, sk_X509_value(opening->issuers, i)) == 1;
        return well && (!opening->key ||
                        PEM_write_bio_PKCS8PrivateKey(out, opening->key, NULL, NULL, 0, NULL, NULL) == 1);
}

static enum pem_result give_pem(const struct opening *opening, char **out, size_t *out_len)
{
        BIO *made = BIO_new(BIO_s_secmem()); /* wiped when it grows and when it goes */
        char *bytes = NULL;

        if (!made)
                abort();
        bool well = write_pem(opening, made);
        if (well) {
                *out_len = (size_t)BIO_get_mem_data(made, &bytes);
                *out = malloc(*out_len + 1);
                if (!*out)
                        abort();
                memcpy(*out, *out_len ? bytes : "", *out_len);
        }
        BIO_free(made);
        return well ? PEM_MADE : PEM_UNWRITABLE;
}

static enum pem_result pem_open(const void *bytes, size_t len, const char *(*ask)(void *ctx), void *ctx,
                                char **out, size_t *out_len)
{
        struct opening opening = { .ask = ask, .ctx = ctx };
        const unsigned char *at = bytes;
        if (len == 0 || len > INT_MAX)
                return PEM_AS_IS;
        PKCS12 *file = d2i_PKCS12(NULL, &at, (long)len);
        enum pem_result result = file ? open_pkcs12(&opening, file) : open_pem(&opening, bytes, len);

        if (result == PEM_MADE)
                result = give_pem(&opening, out, out_len);
        PKCS12_free(file);
        EVP_PKEY_free(opening.key);
        X509_free(opening.certificate);
        sk_X509_pop_free(opening.issuers, X509_free);
        ERR_clear_error();
        return result;
}

static void pem_wipe(char *out, size_t len)
{
        if (out)
                OPENSSL_cleanse(out, len);
        free(out);
}

__attribute__((visibility("default"))) const struct pem_functions *emailsec_pem(void)
{
        static const struct pem_functions functions = { PEM_PART_VERSION, pem_open, pem_wipe };

        return &functions;
}
