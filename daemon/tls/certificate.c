/* SPDX-License-Identifier: MIT */
/*
 * X509 to plain data: names as printable text (bytes of a peer: escaped, counted, never NUL-ended by trust),
 * dates, digests, DER; and PEM both ways. Decides nothing.
 */
#include "daemon/tls/certificate.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "common/printable.h"
#include "common/times.h"
#include "daemon/sha256.h"
#include "daemon/tls/x509.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

void certificate_done(struct certificate *certificate)
{
        if (!certificate)
                return;
        free(certificate->subject);
        free(certificate->issuer);
        free(certificate->serial);
        for (char **name = certificate->alt_names; name && *name; name++)
                free(*name);
        free(certificate->alt_names);
        free(certificate->der);
        *certificate = (struct certificate){ 0 };
}

/* The bytes written to a memory BIO, escaped. */
static char *bio_printable(BIO *bio)
{
        char *bytes = NULL;
        long len = BIO_get_mem_data(bio, &bytes);
        /* More than printable_copy() makes of any byte (\xNN, and \u{NNNN} of several). */
        size_t room = (size_t)len * 12 + 1;
        char *text = new_zeroed(room, 1);

        printable_copy(text, room, bytes, (size_t)len);
        return text;
}

/* Fails without memory only, and then as every allocation here does. */
static BIO *new_bio(void)
{
        BIO *bio = BIO_new(BIO_s_mem());
        if (!bio)
                abort();
        return bio;
}

/* RFC 2253 order, the UTF-8 of the peer kept: printable_copy() escapes what is not to be shown. */
static char *name_text(const X509_NAME *name)
{
        BIO *bio = new_bio();

        (void)X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
        char *text = bio_printable(bio);
        BIO_free(bio);
        return text;
}

/* The common name where there is one, else the whole name; cut to what fits. */
void x509_short_name(const X509_NAME *name, char out[80])
{
        int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
        unsigned char *utf8 = NULL;
        int len =
                at < 0 ? -1
                       : ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));

        if (len >= 0) {
                printable_copy(out, 80, (const char *)utf8, (size_t)len);
        } else {
                char *whole = name_text(name);
                printable_copy(out, 80, whole, strlen(whole));
                free(whole);
        }
        OPENSSL_free(utf8);
}

/* 0 for a date that cannot be read: for showing alone, validity is judged by OpenSSL. */
time_t asn1_time(const ASN1_TIME *time)
{
        struct tm tm;

        return time && ASN1_TIME_to_tm(time, &tm) == 1 ? timegm(&tm) : 0;
}

/* Hexadecimal: up to 20 octets (RFC 5280, 4.1.2.2), which no integer of ours holds, and some CAs exceed
 * that. */
static char *serial_text(const X509 *x509)
{
        BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509), NULL);
        char *hex = number ? BN_bn2hex(number) : NULL;
        char *text = copy_text(hex ? hex : "");

        OPENSSL_free(hex);
        BN_free(number);
        return text;
}

/* "KIND:text" of peer bytes. */
static char *labelled(const char *label, const ASN1_STRING *string)
{
        size_t len = (size_t)ASN1_STRING_length(string), room = len * 12 + 1;
        char *text = new_zeroed(room, 1);

        printable_copy(text, room, (const char *)ASN1_STRING_get0_data(string), len);
        char *result = text_of("%s:%s", label, text);
        free(text);
        return result;
}

/* Network byte order, 4 or 16 octets (RFC 5280, 4.2.1.6); any other length is shown as bytes. */
static char *address_name(const ASN1_STRING *string)
{
        char text[INET6_ADDRSTRLEN] = "";
        int len = ASN1_STRING_length(string);

        if (len == 4 || len == 16)
                (void)inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(string), text,
                                sizeof text);
        return text[0] ? text_of("IP:%s", text) : labelled("IP", string);
}

static char *general_name(const GENERAL_NAME *name)
{
        int type = 0;
        const void *value = GENERAL_NAME_get0_value(name, &type);

        switch (type) {
        case GEN_DNS:
                return labelled("DNS", value);
        case GEN_IPADD:
                return address_name(value);
        case GEN_EMAIL:
                return labelled("email", value);
        case GEN_URI:
                return labelled("URI", value);
        default: /* OpenSSL's numbers, not an enum of ours */
                return copy_text("other");
        }
}

/* NULL at the end. Without the extension, or with one that cannot be decoded, the list is empty. */
static char **alt_names(const X509 *x509)
{
        GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
        int count = names ? sk_GENERAL_NAME_num(names) : 0;
        char **list = new_zeroed((size_t)count + 1, sizeof *list);

        for (int i = 0; i < count; i++)
                list[i] = general_name(sk_GENERAL_NAME_value(names, i));
        GENERAL_NAMES_free(names);
        return list;
}

/* The digest is of the SubjectPublicKeyInfo, which survives a renewal with the same key: what pins=key
 * compares. A key of an algorithm that OpenSSL does not know still has one. */
static void read_key(X509 *x509, struct certificate *out)
{
        EVP_PKEY *key = X509_get0_pubkey(x509);
        const char *name = key ? EVP_PKEY_get0_type_name(key) : NULL;
        uint8_t *der = NULL;
        int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &der);

        name = name ? name : "unknown";
        printable_copy(out->key_algorithm, sizeof out->key_algorithm, name, strlen(name));
        out->key_size = key ? EVP_PKEY_get_bits(key) : 0;
        if (len > 0)
                sha256_of(der, (size_t)len, out->key_sha256);
        OPENSSL_free(der);
}

static void read_signature_algorithm(const X509 *x509, struct certificate *out)
{
        const X509_ALGOR *algorithm = NULL;
        char text[128] = "";

        X509_get0_signature(NULL, &algorithm, x509);
        if (algorithm)
                (void)OBJ_obj2txt(text, sizeof text, algorithm->algorithm, 0);
        printable_copy(out->signature_algorithm, sizeof out->signature_algorithm, text, strlen(text));
}

void x509_digest(X509 *x509, uint8_t out[32])
{
        memset(out, 0, 32);
        if (X509_digest(x509, sha256_algorithm(), out, NULL) != 1)
                abort(); /* SHA-256 of bytes in memory */
}

/* All is copied: `x509` may be freed by its session the next moment, while `out` lives on in lists and in
 * JSON. */
void certificate_from_x509(X509 *x509, struct certificate *out)
{
        uint8_t *der = NULL;
        int len = i2d_X509(x509, &der);
        int ca = X509_check_ca(x509);

        *out = (struct certificate){
                .subject = name_text(X509_get_subject_name(x509)),
                .issuer = name_text(X509_get_issuer_name(x509)),
                .serial = serial_text(x509),
                .alt_names = alt_names(x509),
                .not_before = asn1_time(X509_get0_notBefore(x509)),
                .not_after = asn1_time(X509_get0_notAfter(x509)),
                .is_ca = ca == 1 || ca == 3, /* CA:TRUE, or a self-signed one from before extensions */
                .self_signed = X509_self_signed(x509, 0) == 1,
        };
        if (len > 0) {
                out->der = (uint8_t *)copy_bytes((const char *)der, (size_t)len);
                out->der_len = (size_t)len;
        }
        OPENSSL_free(der);
        x509_digest(x509, out->sha256);
        read_key(x509, out);
        read_signature_algorithm(x509, out);
}

int certificate_from_der(const uint8_t *der, size_t len, struct certificate *out, struct cause *cause)
{
        *out = (struct certificate){ 0 };
        if (len > LIMIT_CERTIFICATE)
                return cause_set(cause, CAUSE_TOO_LARGE, "a certificate of %zu bytes", len);
        const uint8_t *at = der;
        X509 *x509 = d2i_X509(NULL, &at, (long)len);
        /* Bytes behind the certificate are refused: they would be in the digest of one reader and not in
         * that of another. */
        if (!x509 || at != der + len) {
                X509_free(x509);
                return cause_set(cause, CAUSE_CERTIFICATE, "not a certificate, or a malformed one");
        }
        certificate_from_x509(x509, out);
        X509_free(x509);
        return 0;
}

/* From the DER again: one way to fill in the fields, and no list of fields to copy that may miss one. */
void certificate_copy(struct certificate *to, const struct certificate *from)
{
        if (certificate_from_der(from->der, from->der_len, to, NULL) < 0)
                *to = (struct certificate){ 0 };
}

char *certificate_pem(const struct certificate *certificate)
{
        BIO *bio = new_bio();
        char *bytes = NULL;

        if (PEM_write_bio(bio, PEM_STRING_X509, "", certificate->der, (long)certificate->der_len) <= 0)
                abort();
        long len = BIO_get_mem_data(bio, &bytes);
        char *text = copy_bytes(bytes, (size_t)len);
        BIO_free(bio);
        return text;
}

/* The three labels that OpenSSL writes for certificates; of a TRUSTED one the trust settings that follow
 * the DER are not read. */
bool pem_is_certificate(const char *name)
{
        return strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0 ||
               strcmp(name, PEM_STRING_X509_TRUSTED) == 0;
}

/* Text between the blocks is passed over (RFC 7468, 2). `each` ends the loop with anything but 0, which is
 * returned then; the bytes are OpenSSL's and wiped after each block. */
int pem_each(const void *bytes, size_t len,
             int (*each)(void *ctx, const char *name, const uint8_t *der, size_t der_len,
                         struct cause *cause),
             void *ctx, struct cause *cause)
{
        BIO *bio = BIO_new_mem_buf(bytes, (int)len);
        int result = 0;

        while (bio && result == 0) {
                char *name = NULL, *header = NULL;
                uint8_t *der = NULL;
                long der_len = 0;
                ERR_clear_error();
                if (PEM_read_bio(bio, &name, &header, &der, &der_len) != 1) {
                        bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
                        ERR_clear_error();
                        if (!end)
                                result = cause_set(cause, CAUSE_INVALID, "damaged PEM text");
                        break;
                }
                result = each(ctx, name, der, (size_t)der_len, cause);
                OPENSSL_free(name);
                OPENSSL_free(header);
                OPENSSL_clear_free(der, (size_t)der_len); /* it may have been a key */
        }
        BIO_free(bio);
        return result;
}

/* 1 ends pem_each(): what follows the first certificate is not looked at. */
static int take_first(void *ctx, const char *name, const uint8_t *der, size_t der_len, struct cause *cause)
{
        if (!pem_is_certificate(name))
                return cause_set(cause, CAUSE_INVALID, "a PEM block of another kind than CERTIFICATE");
        return certificate_from_der(der, der_len, ctx, cause) < 0 ? -1 : 1;
}

int certificate_from_pem(const char *text, struct certificate *out, struct cause *cause)
{
        *out = (struct certificate){ 0 };
        int found = pem_each(text, strlen(text), take_first, out, cause);
        if (found == 0)
                return cause_set(cause, CAUSE_INVALID, "no PEM certificate in it");
        return found < 0 ? -1 : 0;
}

json_t *certificate_json(const struct certificate *certificate)
{
        json_t *object = json_object(), *names = json_array();
        char text[65];
        char when[32];

        json_put_text(object, "subject", certificate->subject);
        json_put_text(object, "issuer", certificate->issuer);
        json_put_text(object, "serial", certificate->serial);
        for (char **name = certificate->alt_names; name && *name; name++)
                if (json_array_append_new(names, json_string(*name)) < 0)
                        abort();
        json_put(object, "subjectAltNames", names);
        time_rfc3339(certificate->not_before, when);
        json_put_text(object, "notBefore", when);
        time_rfc3339(certificate->not_after, when);
        json_put_text(object, "notAfter", when);
        hex_print(certificate->sha256, 32, text);
        json_put_text(object, "fingerprintSha256", text);
        hex_print(certificate->key_sha256, 32, text);
        json_put_text(object, "publicKeySha256", text);
        json_put_text(object, "keyAlgorithm", certificate->key_algorithm);
        json_put(object, "keySize", json_integer(certificate->key_size));
        json_put_text(object, "signatureAlgorithm", certificate->signature_algorithm);
        char *pem = certificate_pem(certificate);
        json_put_text(object, "pem", pem);
        free(pem);
        return object;
}
