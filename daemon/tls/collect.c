/* SPDX-License-Identifier: MIT */
/*
 * What the verification finds, kept while it runs: each error once, and the chain as it was sent. One table
 * says which problem each of OpenSSL's codes is and how it is put into words. A code that is not in the table
 * is PROBLEM_OTHER, which no exemption covers.
 */
#include "daemon/tls/collect.h"

#include "common/limits.h"
#include "common/names.h"
#include "common/printable.h"
#include "common/times.h"
#include "daemon/loop.h"
#include "daemon/tls/allowed_parts.h"
#include "daemon/tls/clock_doubt.h"
#include "daemon/tls/x509.h"

#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>

/* Called by OpenSSL for each error it finds; verification goes on all the same (verdict.c), so that a person
 * sees all that is wrong and not the first thing. More than there is room for is an error of its own, which
 * no exemption covers. */
void collect(struct collection **collection, X509_STORE_CTX *verification)
{
        if (!*collection)
                *collection = new_object(struct collection);
        struct collection *c = *collection;
        int code = X509_STORE_CTX_get_error(verification);
        int depth = X509_STORE_CTX_get_error_depth(verification);

        for (size_t i = 0; i < c->count; i++)
                if (c->items[i].code == code && c->items[i].depth == depth)
                        return;
        if (c->count == COLLECTED_MAX) {
                c->overflow = true;
                return;
        }
        X509 *x509 = X509_STORE_CTX_get_current_cert(verification);
        if (x509 && X509_up_ref(x509) != 1)
                x509 = NULL;
        c->items[c->count++] = (struct collected){ .code = code, .depth = depth, .x509 = x509 };
}

void collect_free(struct collection *collection)
{
        if (!collection)
                return;
        for (size_t i = 0; i < collection->count; i++)
                X509_free(collection->items[i].x509);
        free(collection);
}

struct certificate *collect_chain_of(const SSL *ssl, size_t *out_count)
{
        STACK_OF(X509) *sent = SSL_get_peer_cert_chain(ssl);
        int count = sent ? sk_X509_num(sent) : 0;

        if (count > LIMIT_CHAIN)
                count = LIMIT_CHAIN;
        struct certificate *chain = new_zeroed((size_t)count, sizeof *chain);
        for (int i = 0; i < count; i++)
                certificate_from_x509(sk_X509_value(sent, i), &chain[i]);
        *out_count = (size_t)count;
        return chain;
}

void collect_chain_free(struct certificate *chain, size_t count)
{
        for (size_t i = 0; chain && i < count; i++)
                certificate_done(&chain[i]);
        free(chain);
}

/* ---- the codes of OpenSSL ---- */

static bool has_problem(const struct tls_evidence *evidence, enum tls_problem problem)
{
        for (size_t i = 0; i < evidence->error_count; i++)
                if (evidence->errors[i].problem == problem)
                        return true;
        return false;
}

/* The words hold names of the certificate, which are the peer's text: made printable, and cut. */
printf_like(3, 0) static void put_words(char *to, size_t size, const char *format, va_list args)
{
        char *words = NULL;

        if (vasprintf(&words, format, args) < 0)
                abort();
        printable_copy(to, size, words, strlen(words));
        free(words);
}

/* When full, the last one stands for all that follow, as PROBLEM_OTHER. */
void tls_evidence_add(struct tls_evidence *evidence, enum tls_problem problem, int depth, int code,
                      const char *format, ...)
{
        bool full = evidence->error_count == count_of(evidence->errors);
        struct tls_error *error =
                &evidence->errors[full ? evidence->error_count - 1 : evidence->error_count++];
        va_list args;

        *error =
                (struct tls_error){ .problem = full ? PROBLEM_OTHER : problem, .depth = depth, .code = code };
        va_start(args, format);
        put_words(error->text, sizeof error->text, format, args);
        va_end(args);
        tls_evidence_remedy(evidence, "%s", tls_problem_remedy(error->problem));
}

void tls_evidence_remedy(struct tls_evidence *evidence, const char *format, ...)
{
        struct tls_error *error = &evidence->errors[evidence->error_count - 1];
        va_list args;

        va_start(args, format);
        put_words(error->remedy, sizeof error->remedy, format, args);
        va_end(args);
}

/* ---- words ------------------------------------------------------------------------------- */

static void name_of(const struct collected *item, bool issuer, char out[80])
{
        (void)snprintf(out, 80, "unnamed");
        if (item->x509)
                x509_short_name(issuer ? X509_get_issuer_name(item->x509) : X509_get_subject_name(item->x509),
                                out);
}

struct code_row;
typedef void words(const struct collected *item, const struct code_row *row, struct tls_evidence *evidence);

struct code_row {
        int code;
        enum tls_problem problem;
        words *put;
        const char *text; /* what follows the name of the certificate, for put_plain */
};

static void put_plain(const struct collected *item, const struct code_row *row, struct tls_evidence *evidence)
{
        char name[80];

        name_of(item, false, name);
        tls_evidence_add(evidence, row->problem, item->depth, item->code, "certificate \"%s\" %s", name,
                         row->text ? row->text : X509_verify_cert_error_string(item->code));
}

/* Whether the certificate says where its issuer's can be had, as those of public CAs do, whose roots sign no
 * server. */
static bool names_issuer_place(X509 *x509)
{
        AUTHORITY_INFO_ACCESS *places = x509 ? X509_get_ext_d2i(x509, NID_info_access, NULL, NULL) : NULL;
        bool found = false;

        for (int i = 0; places && i < sk_ACCESS_DESCRIPTION_num(places); i++)
                found = found ||
                        OBJ_obj2nid(sk_ACCESS_DESCRIPTION_value(places, i)->method) == NID_ad_ca_issuers;
        AUTHORITY_INFO_ACCESS_free(places);
        return found;
}

/* The issuer is unknown: said once, however many codes OpenSSL has for it. Above an intermediate it is a
 * root, which need not be sent; above the server's own certificate it may be an intermediate, which must be.
 */
static void put_issuer(const struct collected *item, const struct code_row *row,
                       struct tls_evidence *evidence)
{
        char name[80];
        bool likely = names_issuer_place(item->x509);

        if (has_problem(evidence, row->problem))
                return;
        name_of(item, true, name);
        tls_evidence_add(
                evidence, row->problem, item->depth, item->code, "issuer \"%s\" is in no trust store and %s",
                name,
                item->depth > 0 ? "was not sent by the server"
                : likely        ? "was not sent by the server, which most likely forgot this intermediate"
                         : "was not sent: either the server forgot this intermediate, or that is a root");
        if (item->depth == 0)
                tls_evidence_remedy(evidence,
                                    "have the server send the intermediate \"%.36s\"%s; or "
                                    "import the issuer: emailsecctl trust import FILE",
                                    name, likely ? "" : ", if it is one");
}

static void put_root(const struct collected *item, const struct code_row *row, struct tls_evidence *evidence)
{
        char name[80];

        name_of(item, false, name);
        tls_evidence_add(evidence, row->problem, item->depth, item->code,
                         "issuer \"%s\" is in no trust store", name);
}

static void put_self_signed(const struct collected *item, const struct code_row *row,
                            struct tls_evidence *evidence)
{
        char name[80];

        name_of(item, false, name);
        tls_evidence_add(evidence, row->problem, item->depth, item->code,
                         "certificate \"%s\" is self-signed and in no trust store", name);
}

/* The first of its names that could be configured instead. */
static void put_name_remedy(char *const *names, struct tls_evidence *evidence)
{
        for (; names && *names; names++) {
                bool usable = strncmp(*names, "DNS:", 4) == 0 || strncmp(*names, "IP:", 3) == 0;
                scoped(scoped_free) char *host = usable ? host_normal(strchr(*names, ':') + 1, NULL) : NULL;
                if (!host || strlen(host) > 48 || strchr(host, '*') || same_text(host, evidence->host))
                        continue;
                tls_evidence_remedy(
                        evidence,
                        "the certificate says %s: set hostname to that if it is the server meant, or have "
                        "it issued anew",
                        host);
                return;
        }
}

/* What the certificate says instead: up to three of its names. */
static void put_name(const struct collected *item, const struct code_row *row, struct tls_evidence *evidence)
{
        char names[140] = "";
        size_t told = 0, more = 0;
        char *const *list = evidence->chain_count ? evidence->chain[0].alt_names : NULL;

        for (; list && *list; list++) {
                size_t len = strlen(names);
                const char *value = strncmp(*list, "DNS:", 4) == 0 || strncmp(*list, "IP:", 3) == 0
                                            ? strchr(*list, ':') + 1
                                            : NULL;
                if (!value)
                        continue;
                if (told == 3 || len + strlen(value) + 3 > sizeof names)
                        more++;
                else
                        (void)snprintf(names + len, sizeof names - len, "%s%s", told++ ? ", " : "", value);
        }
        if (!told && !more)
                tls_evidence_add(
                        evidence, row->problem, item->depth, item->code,
                        "the certificate names no %s (a common name alone does not count), wanted \"%s\"",
                        item->code == X509_V_ERR_IP_ADDRESS_MISMATCH ? "IP address" : "host", evidence->host);
        else if (more)
                tls_evidence_add(evidence, row->problem, item->depth, item->code,
                                 "the certificate is for %s and %zu more, not for \"%s\"", names, more,
                                 evidence->host);
        else
                tls_evidence_add(evidence, row->problem, item->depth, item->code,
                                 "the certificate is for %s, not for \"%s\"", names, evidence->host);
        put_name_remedy(evidence->chain_count ? evidence->chain[0].alt_names : NULL, evidence);
}

static void put_date(const struct collected *item, const struct code_row *row, struct tls_evidence *evidence)
{
        char name[80], when[32] = "", now[32], doubt[112];
        bool over = row->problem == PROBLEM_EXPIRED;

        name_of(item, false, name);
        if (item->x509)
                time_rfc3339(
                        asn1_time(over ? X509_get0_notAfter(item->x509) : X509_get0_notBefore(item->x509)),
                        when);
        clock_doubt(loop_wall(), loop_now(), evidence->server_time, allowed_verified_latest(), evidence->host,
                    evidence->port, doubt, sizeof doubt);
        if (!doubt[0]) {
                tls_evidence_add(evidence, row->problem, item->depth, item->code, "certificate \"%s\" %s %s",
                                 name, over ? "expired at" : "is not valid before", when);
                return;
        }
        time_rfc3339(loop_wall(), now);
        tls_evidence_add(evidence, row->problem, item->depth, item->code,
                         "certificate \"%.40s\" %s %s; this machine's clock says %s, %s", name,
                         over ? "expired at" : "is not valid before", when, now, doubt);
        tls_evidence_remedy(
                evidence,
                "look at this machine's clock first: timedatectl (what failed by it is tried again "
                "when it is set); then: %s",
                over ? "renew it" : "see the server's clock");
}

static void put_weak(const struct collected *item, const struct code_row *row, struct tls_evidence *evidence)
{
        char name[80];
        struct certificate certificate = { 0 };

        name_of(item, false, name);
        if (item->x509)
                certificate_from_x509(item->x509, &certificate);
        if (item->code == X509_V_ERR_CA_MD_TOO_WEAK)
                tls_evidence_add(evidence, row->problem, item->depth, item->code,
                                 "certificate \"%s\" is signed with %s, which is too weak", name,
                                 certificate.signature_algorithm);
        else
                tls_evidence_add(evidence, row->problem, item->depth, item->code,
                                 "certificate \"%s\" has an %s key of %d bits, which is too short", name,
                                 certificate.key_algorithm, certificate.key_size);
        certificate_done(&certificate);
}

/* The revocation lists are the operator's own files: that there is none for an issuer says nothing. */
static void put_nothing(const struct collected *item, const struct code_row *row,
                        struct tls_evidence *evidence)
{
        (void)item;
        (void)row;
        (void)evidence;
}

static const struct code_row rows[] = {
        { X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, PROBLEM_SELF_SIGNED, put_self_signed, NULL },
        { X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, PROBLEM_UNKNOWN_ISSUER, put_root, NULL },
        { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, PROBLEM_UNKNOWN_ISSUER, put_issuer, NULL },
        { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, PROBLEM_UNKNOWN_ISSUER, put_issuer, NULL },
        { X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, PROBLEM_UNKNOWN_ISSUER, put_issuer, NULL },
        { X509_V_ERR_HOSTNAME_MISMATCH, PROBLEM_WRONG_NAME, put_name, NULL },
        { X509_V_ERR_IP_ADDRESS_MISMATCH, PROBLEM_WRONG_NAME, put_name, NULL },
        { X509_V_ERR_CERT_HAS_EXPIRED, PROBLEM_EXPIRED, put_date, NULL },
        { X509_V_ERR_CERT_NOT_YET_VALID, PROBLEM_NOT_YET_VALID, put_date, NULL },
        { X509_V_ERR_CERT_SIGNATURE_FAILURE, PROBLEM_SIGNATURE, put_plain,
          "does not carry its issuer's signature" },
        { X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE, PROBLEM_SIGNATURE, put_plain,
          "has a malformed signature" },
        { X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY, PROBLEM_SIGNATURE, put_plain,
          "has an issuer whose public key is malformed" },
        { X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD, PROBLEM_SIGNATURE, put_plain,
          "has a malformed first date" },
        { X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD, PROBLEM_SIGNATURE, put_plain,
          "has a malformed last date" },
        { X509_V_ERR_INVALID_EXTENSION, PROBLEM_SIGNATURE, put_plain, "has a malformed extension" },
        { X509_V_ERR_CERT_REVOKED, PROBLEM_REVOKED, put_plain, "has been revoked by its issuer" },
        { X509_V_ERR_EE_KEY_TOO_SMALL, PROBLEM_WEAK, put_weak, NULL },
        { X509_V_ERR_CA_KEY_TOO_SMALL, PROBLEM_WEAK, put_weak, NULL },
        { X509_V_ERR_CA_MD_TOO_WEAK, PROBLEM_WEAK, put_weak, NULL },
        { X509_V_ERR_INVALID_CA, PROBLEM_PURPOSE, put_plain, "is not one that may issue certificates" },
        { X509_V_ERR_INVALID_NON_CA, PROBLEM_PURPOSE, put_plain, "is an issuer's, not a server's" },
        { X509_V_ERR_KEYUSAGE_NO_CERTSIGN, PROBLEM_PURPOSE, put_plain, "may not sign other certificates" },
        { X509_V_ERR_PATH_LENGTH_EXCEEDED, PROBLEM_PURPOSE, put_plain,
          "has more issuers below it than it allows" },
        { X509_V_ERR_INVALID_PURPOSE, PROBLEM_PURPOSE, put_plain, "is not made for a TLS server" },
        { X509_V_ERR_PERMITTED_VIOLATION, PROBLEM_PURPOSE, put_plain,
          "carries a name that its issuer may not give" },
        { X509_V_ERR_EXCLUDED_VIOLATION, PROBLEM_PURPOSE, put_plain,
          "carries a name that its issuer may not give" },
        { X509_V_ERR_SUBTREE_MINMAX, PROBLEM_PURPOSE, put_plain,
          "has an issuer with name rules of an unknown kind" },
        { X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, PROBLEM_PURPOSE, put_plain,
          "has an issuer with name rules of an unknown kind" },
        { X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX, PROBLEM_PURPOSE, put_plain,
          "has an issuer with malformed name rules" },
        { X509_V_ERR_UNSUPPORTED_NAME_SYNTAX, PROBLEM_PURPOSE, put_plain, "carries a malformed name" },
        { X509_V_ERR_CERT_CHAIN_TOO_LONG, PROBLEM_PURPOSE, put_plain,
          "stands at the end of too long a chain" },
        { X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, PROBLEM_PURPOSE, put_plain,
          "has a critical extension that is not understood" },
        { X509_V_ERR_CERT_REJECTED, PROBLEM_OTHER, put_plain,
          "is marked as not trusted in the System Trust Store" },
        { X509_V_ERR_CRL_HAS_EXPIRED, PROBLEM_OTHER, put_plain,
          "cannot be checked: the revocation list of its issuer is out of date" },
        { X509_V_ERR_CRL_NOT_YET_VALID, PROBLEM_OTHER, put_plain,
          "cannot be checked: the revocation list of its issuer is not yet valid" },
        { X509_V_ERR_CRL_SIGNATURE_FAILURE, PROBLEM_OTHER, put_plain,
          "cannot be checked: the revocation list of its issuer has a broken signature" },
        { X509_V_ERR_UNABLE_TO_GET_CRL, TLS_PROBLEMS, put_nothing, NULL },
        { X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, TLS_PROBLEMS, put_nothing, NULL },
};
static const struct code_row other = { 0, PROBLEM_OTHER, put_plain, NULL };

static const struct code_row *row_of(int code)
{
        for (size_t i = 0; i < count_of(rows); i++)
                if (rows[i].code == code)
                        return &rows[i];
        return &other;
}

enum tls_problem tls_problem_of_code(int code)
{
        return row_of(code)->problem;
}

/* In the order in which they were found, from the server's certificate upwards or downwards: OpenSSL's, not
 * ours. */
void collect_errors(const struct collection *collection, struct tls_evidence *evidence)
{
        for (size_t i = 0; collection && i < collection->count; i++) {
                const struct collected *item = &collection->items[i];
                const struct code_row *row = row_of(item->code);
                row->put(item, row, evidence);
        }
        if (collection && collection->overflow)
                tls_evidence_add(evidence, PROBLEM_OTHER, 0, 0, "the chain has more errors than are listed");
}
