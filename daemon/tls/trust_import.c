/* SPDX-License-Identifier: MIT */
/*
 * Importing into the User Trust Store (security rule 17): takes PEM, DER and PKCS#7 apart, says of every
 * certificate what becomes of it, writes those that can be an anchor, and makes them effective once they are
 * on disk. Anything that holds a private key is refused as a whole.
 */
#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "common/printable.h"
#include "common/times.h"
#include "daemon/loop.h"
#include "daemon/store/replace_file.h"
#include "daemon/tls/trust_parts.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>
#include <stdio.h>

enum { IMPORT_MAX = 2000 }; /* certificates in one import */

struct import {
        STACK_OF(X509) * input;
        json_t *results;
        char *who;
        void (*done)(void *ctx, const struct cause *cause, json_t *results);
        void *ctx;
        struct import_file *files; /* to be written, all or none */
        /* Of `files`: those that choose() takes. */
        size_t count;
        struct cause failed;
};

struct import_file {
        X509 *x509;
        json_t *row; /* borrowed from results */
};

/* ---- taking the input apart -------------------------------------------------------------------- */

static int no_private_keys(struct cause *cause)
{
        cause_set(cause, CAUSE_INVALID,
                  "this holds a private key: nothing was imported, a trust store takes "
                  "certificates only");
        cause_remedy(cause, "give the certificate alone, and keep the key where only its server can read it");
        return -1;
}

/* Takes over `x509`, which may be NULL: then it could not be decoded. */
static int add_input(struct import *import, X509 *x509, struct cause *cause)
{
        if (!x509)
                return cause_set(cause, CAUSE_INVALID, "a certificate in it is malformed");
        if (sk_X509_num(import->input) >= IMPORT_MAX) {
                X509_free(x509);
                return cause_set(cause, CAUSE_TOO_LARGE, "more than %d certificates at once", IMPORT_MAX);
        }
        if (sk_X509_push(import->input, x509) < 1)
                abort();
        return 0;
}

/* Only the form that carries certificates (RFC 2315, 9.1, without signers); a signature on it proves
 * nothing here and is not looked at. */
static int add_pkcs7(struct import *import, const uint8_t *der, size_t len, struct cause *cause)
{
        PKCS7 *bundle = d2i_PKCS7(NULL, &der, (long)len);
        STACK_OF(X509) *list = NULL;
        int result = 0;

        if (bundle && PKCS7_type_is_signed(bundle) && bundle->d.sign)
                list = bundle->d.sign->cert;
        if (!list)
                result = cause_set(cause, CAUSE_INVALID,
                                   "neither PEM, DER nor PKCS#7 with certificates in it");
        if (!list)
                cause_remedy(cause, "name the file with the issuer's certificate: PEM, DER or PKCS#7");
        for (int i = 0; result == 0 && list && i < sk_X509_num(list); i++)
                result = add_input(import, X509_dup(sk_X509_value(list, i)), cause);
        PKCS7_free(bundle);
        return result;
}

/* Other blocks (CRLs, parameters) are passed over. */
static int take_block(void *ctx, const char *name, const uint8_t *der, size_t der_len, struct cause *cause)
{
        const uint8_t *at = der;

        if (strstr(name, "PRIVATE KEY"))
                return no_private_keys(cause);
        if (strcmp(name, PEM_STRING_PKCS7) == 0 || strcmp(name, PEM_STRING_PKCS7_SIGNED) == 0)
                return add_pkcs7(ctx, der, der_len, cause);
        if (!pem_is_certificate(name))
                return 0;
        return add_input(ctx, d2i_X509(NULL, &at, (long)der_len), cause);
}

/* Asked of binary input that is no certificate. PKCS#12 counts: it is made to hold a key. */
static bool is_private_key(const uint8_t *bytes, size_t len)
{
        const uint8_t *at = bytes;
        EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long)len);
        PKCS12 *safe = key ? NULL : (at = bytes, d2i_PKCS12(NULL, &at, (long)len));
        bool found = key || safe;

        EVP_PKEY_free(key);
        PKCS12_free(safe);
        return found;
}

/* By content, not by a file's name. -1: nothing of it is used. */
static int take_apart(struct import *import, const uint8_t *bytes, size_t len, struct cause *cause)
{
        const uint8_t *at = bytes;
        int result;

        if (len > LIMIT_TRUST_IMPORT)
                return cause_set(cause, CAUSE_TOO_LARGE, "an import takes %d bytes at most",
                                 LIMIT_TRUST_IMPORT);
        if (len == 0)
                return cause_set(cause, CAUSE_INVALID, "there is nothing to import: the input is empty");
        if (memmem(bytes, len, "-----BEGIN ", 11)) {
                result = pem_each(bytes, len, take_block, import, cause);
        } else {
                X509 *x509 = d2i_X509(NULL, &at, (long)len);
                if (x509)
                        result = add_input(import, x509, cause);
                else if (is_private_key(bytes, len))
                        result = no_private_keys(cause);
                else
                        result = add_pkcs7(import, bytes, len, cause);
        }
        ERR_clear_error();
        if (result == 0 && sk_X509_num(import->input) == 0)
                result = cause_set(cause, CAUSE_INVALID, "there is no certificate in it");
        return result;
}

/* ---- what becomes of each ---------------------------------------------------------------------- */

static void say(json_t *row, const char *result, const char *text)
{
        json_put_text(row, "result", result);
        json_put_text(row, "text", text);
}

/* At most IMPORT_MAX of them, once for each import. */
static bool listed_before(const struct import *import, const uint8_t sha256[32])
{
        uint8_t other[32];

        for (size_t i = 0; i < import->count; i++) {
                x509_digest(import->files[i].x509, other);
                if (memcmp(other, sha256, 32) == 0)
                        return true;
        }
        return false;
}

/* True when it is to be written. */
static bool choose(const struct import *import, X509 *x509, const struct certificate *certificate,
                   json_t *row)
{
        char words[160], when[32];

        if (trust_anchors_find(trust_anchors(true), certificate->sha256) ||
            listed_before(import, certificate->sha256)) {
                say(row, "present", "it is in the User Trust Store already");
        } else if (trust_anchors_find(trust_anchors(false), certificate->sha256)) {
                say(row, "present", "it is in the System Trust Store already");
        } else if (certificate->not_after <= loop_wall()) {
                time_rfc3339(certificate->not_after, when);
                (void)snprintf(words, sizeof words, "it expired at %s", when);
                say(row, "expired", words);
        } else if (certificate->is_ca) {
                say(row, "imported", "every certificate that it vouches for is trusted from now on");
                return true;
        } else if (X509_self_signed(x509, 1) == 1) {
                say(row, "imported",
                    "warning: this is no issuer but one server's own certificate; that server is "
                    "trusted until the certificate changes");
                return true;
        } else {
                say(row, "refused",
                    "it is neither an issuer's certificate (CA:TRUE) nor self-signed: import the "
                    "certificate of its issuer");
        }
        return false;
}

static void choose_all(struct import *import)
{
        int count = sk_X509_num(import->input);

        import->files = new_zeroed((size_t)count, sizeof(struct import_file));
        for (int i = 0; i < count; i++) {
                X509 *x509 = sk_X509_value(import->input, i);
                struct certificate certificate;
                char digest[65];
                json_t *row = json_object();

                certificate_from_x509(x509, &certificate);
                hex_print(certificate.sha256, 32, digest);
                json_put_text(row, "fingerprintSha256", digest);
                json_put_text(row, "subject", certificate.subject);
                if (choose(import, x509, &certificate, row))
                        import->files[import->count++] = (struct import_file){ .x509 = x509, .row = row };
                certificate_done(&certificate);
                if (json_array_append_new(import->results, row) < 0)
                        abort();
        }
}

/* ---- to disk, then to effect ------------------------------------------------------------------- */

static void import_free(struct import *import)
{
        free(import->files);
        sk_X509_pop_free(import->input, X509_free);
        json_decref(import->results);
        free(import->who);
        free(import);
}

static bool any_result(const struct import *import, const char *result)
{
        size_t i;
        json_t *row;

        json_array_foreach(import->results, i, row) {
                if (same_text(json_string_value(json_object_get(row, "result")), result))
                        return true;
        }
        return false;
}

/* Trust changes here, after the disk: a restart at any moment finds the anchors that were told as imported,
 * or none of them. */
static void finish(struct import *import)
{
        X509 **taken = new_zeroed(import->count, sizeof(X509 *));
        size_t count = cause_happened(&import->failed) ? 0 : import->count;
        struct cause cause = import->failed;

        for (size_t i = 0; i < count; i++) {
                taken[i] = import->files[i].x509;
                if (X509_up_ref(taken[i]) != 1)
                        abort();
        }
        char *why =
                text_of("%zu certificates were imported into the User Trust Store by %s", count, import->who);
        trust_take_user_anchors(taken, count, why);
        free(why);
        free(taken);
        if (cause_happened(&cause)) {
                cause_prefix(&cause, "nothing could be imported: ");
        } else if (count == 0 && !any_result(import, "present")) {
                json_t *first = json_array_get(import->results, 0);
                cause_set(&cause, CAUSE_INVALID, "nothing could be imported: %s",
                          json_string_value(json_object_get(first, "text")));
        }
        import->done(import->ctx, cause_or_null(&cause), import->results);
        import_free(import);
}

/* All or none: where the disk fails each row says so, and no anchor takes effect. */
static void written(void *ctx, const struct cause *cause)
{
        struct import *import = ctx;

        if (cause_happened(cause)) {
                import->failed = *cause;
                for (size_t i = 0; i < import->count; i++)
                        say(import->files[i].row, "refused", cause->text);
        }
        finish(import);
}

/* The file says who imported it and when; readers of PEM pass such lines over. */
static json_t *file_json(const struct import *import, X509 *x509)
{
        struct certificate certificate;
        json_t *file = json_object();
        char when[32];

        certificate_from_x509(x509, &certificate);
        scoped(scoped_free) char *name = trust_file_name(certificate.sha256);
        scoped(scoped_free) char *pem = certificate_pem(&certificate);
        time_rfc3339(loop_wall(), when);
        scoped(scoped_free) char *subject = printable_text(certificate.subject);
        scoped(scoped_free) char *who = printable_text(import->who);
        scoped(scoped_free) char *text = text_of("# %s\n# imported %s by %s\n%s", subject, when, who, pem);
        json_put_text(file, "name", name);
        json_put_text(file, "text", text);
        certificate_done(&certificate);
        return file;
}

static void write_one(const json_t *file, struct import *import)
{
        const char *text = json_string_value(json_object_get(file, "text"));
        scoped(scoped_free) char *path = trust_place(json_string_value(json_object_get(file, "name")));

        replace_file_later(path, text, strlen(text), written, import);
}

/* When no other change of the store is under way. Several certificates go to disk together
 * (trust_bundle.c), a single one by one rename. */
static void import_begin(void *ctx, const struct cause *refused)
{
        struct import *import = ctx;

        if (refused) {
                written(import, refused);
                return;
        }
        choose_all(import);
        json_t *files = json_array();
        for (size_t i = 0; i < import->count; i++)
                if (json_array_append_new(files, file_json(import, import->files[i].x509)) < 0)
                        abort();
        if (import->count > 1) {
                trust_bundle_write(files, written, import);
                return;
        }
        if (import->count == 1)
                write_one(json_array_get(files, 0), import);
        else
                finish(import);
        json_decref(files);
}

void trust_import(const uint8_t *bytes, size_t len, const char *who,
                  void (*done)(void *ctx, const struct cause *cause, json_t *results), void *ctx)
{
        struct import *import = new_object(struct import);
        struct cause cause = { 0 };

        *import = (struct import){ .input = sk_X509_new_null(),
                                   .results = json_array(),
                                   .done = done,
                                   .ctx = ctx,
                                   .who = copy_text(who) };
        if (!import->input || !import->results)
                abort();
        if (take_apart(import, bytes, len, &cause) < 0) {
                done(ctx, &cause, import->results);
                import_free(import);
                return;
        }
        trust_change_begin(import_begin, import);
}
