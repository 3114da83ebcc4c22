/* SPDX-License-Identifier: MIT */
/*
 * Security rule 10. The answer counts when it is about this certificate, in date, and signed by the
 * certificate's issuer or by a responder that this issuer itself has appointed. Where the issuer is not known
 * nothing can be checked, and the chain has an error already.
 */
#include "daemon/tls/staple.h"

#include "common/times.h"
#include "daemon/tls/collect.h"
#include "daemon/tls/x509.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

enum {
        TLS_FEATURE_STATUS_REQUEST = 5, /* RFC 7633 */
        CLOCK_SLACK = 300,              /* seconds that the responder's clock may be ahead */
        NO_NEXT_UPDATE_AGE = 7 * 86400, /* an answer without nextUpdate is good for this long */
        PARTS_MOST = 256,               /* of an answer that are looked at; one is usual */
};

static bool must_staple(const X509 *leaf)
{
        TLS_FEATURE *features = X509_get_ext_d2i(leaf, NID_tlsfeature, NULL, NULL);
        bool found = false;

        for (int i = 0; features && i < sk_ASN1_INTEGER_num(features); i++)
                if (ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == TLS_FEATURE_STATUS_REQUEST)
                        found = true;
        TLS_FEATURE_free(features);
        return found;
}

/* Signed by `issuer` or by someone it appointed: a store with that one anchor asks exactly this. */
static bool signed_for(OCSP_BASICRESP *answer, X509 *issuer)
{
        X509_STORE *store = X509_STORE_new();
        STACK_OF(X509) *certificates = sk_X509_new_null();

        if (!store || !certificates || X509_STORE_add_cert(store, issuer) != 1 ||
            sk_X509_push(certificates, issuer) < 1)
                abort();
        bool good = OCSP_basic_verify(answer, certificates, store, OCSP_PARTIAL_CHAIN) == 1;
        sk_X509_free(certificates);
        X509_STORE_free(store);
        ERR_clear_error();
        return good;
}

static bool in_date(const ASN1_GENERALIZEDTIME *this_update, const ASN1_GENERALIZEDTIME *next_update,
                    time_t now)
{
        time_t from = asn1_time(this_update), until = asn1_time(next_update);

        if (from == 0 || from > now + CLOCK_SLACK)
                return false;
        return now <= (next_update ? until : from + NO_NEXT_UPDATE_AGE) + CLOCK_SLACK;
}

static const char *refuse(struct tls_evidence *evidence, const char *result, const char *why)
{
        tls_evidence_add(evidence, PROBLEM_STAPLE, 0, 0, "the stapled OCSP answer %s", why);
        return result;
}

/* True when that part of the answer is about the leaf: its id made by the digest that the responder chose
 * (RFC 6960 section 4.1.1: SHA-1 or another). */
static bool is_about(const OCSP_SINGLERESP *single, const X509 *leaf, const X509 *issuer)
{
        OCSP_CERTID *theirs = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
        ASN1_OBJECT *digest = NULL;

        if (OCSP_id_get0_info(NULL, &digest, NULL, NULL, theirs) != 1)
                return false;
        const EVP_MD *md = EVP_get_digestbyobj(digest);
        OCSP_CERTID *ours = md ? OCSP_cert_to_id(md, leaf, issuer) : NULL;
        bool same = ours && OCSP_id_cmp(ours, theirs) == 0;
        OCSP_CERTID_free(ours);
        return same;
}

/* The part about the leaf; one that says revoked before all others. NULL: none is. */
static OCSP_SINGLERESP *part_about(OCSP_BASICRESP *answer, const X509 *leaf, const X509 *issuer)
{
        OCSP_SINGLERESP *found = NULL;
        int count = OCSP_resp_count(answer);

        for (int i = 0; i < count && i < PARTS_MOST; i++) {
                OCSP_SINGLERESP *single = OCSP_resp_get0(answer, i);
                bool revoked =
                        OCSP_single_get0_status(single, NULL, NULL, NULL, NULL) == V_OCSP_CERTSTATUS_REVOKED;
                if ((!found || revoked) && is_about(single, leaf, issuer))
                        found = single;
        }
        return found;
}

/* What a well-formed answer says about the leaf. */
static const char *read_status(OCSP_BASICRESP *answer, X509 *leaf, X509 *issuer, time_t now,
                               struct tls_evidence *evidence)
{
        ASN1_GENERALIZEDTIME *revoked = NULL, *this_update = NULL, *next_update = NULL;
        OCSP_SINGLERESP *part = part_about(answer, leaf, issuer);
        int status = part ? OCSP_single_get0_status(part, NULL, &revoked, &this_update, &next_update) : -1;

        if (!part)
                return refuse(evidence, "invalid", "is about another certificate");
        if (!in_date(this_update, next_update, now))
                return refuse(evidence, "stale", "is out of date");
        if (status == V_OCSP_CERTSTATUS_REVOKED) {
                char when[32];
                time_rfc3339(asn1_time(revoked), when);
                tls_evidence_add(evidence, PROBLEM_REVOKED, 0, 0,
                                 "its issuer has revoked the certificate at %s (stapled OCSP)", when);
                return "revoked";
        }
        if (status != V_OCSP_CERTSTATUS_GOOD)
                return refuse(evidence, "invalid", "does not know the certificate");
        return "good";
}

static const char *check_answer(OCSP_RESPONSE *response, X509 *leaf, X509 *issuer, time_t now,
                                struct tls_evidence *evidence)
{
        if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
                return refuse(evidence, "invalid", "is an error of the responder");
        OCSP_BASICRESP *answer = OCSP_response_get1_basic(response);
        if (!answer)
                return refuse(evidence, "invalid", "is malformed");
        const char *result = signed_for(answer, issuer) ? read_status(answer, leaf, issuer, now, evidence)
                                                        : refuse(evidence, "invalid",
                                                                 "is not signed by the certificate's issuer");
        OCSP_BASICRESP_free(answer);
        return result;
}

const char *staple_check(const SSL *ssl, time_t now, struct tls_evidence *evidence)
{
        STACK_OF(X509) *verified = SSL_get0_verified_chain(ssl);
        X509 *leaf = SSL_get0_peer_certificate(ssl);
        const uint8_t *bytes = NULL;
        long len = SSL_get_tlsext_status_ocsp_resp((SSL *)(uintptr_t)ssl, &bytes);

        if (!leaf)
                return "none";
        if (len <= 0 || !bytes) {
                if (must_staple(leaf))
                        tls_evidence_add(
                                evidence, PROBLEM_STAPLE, 0, 0,
                                "the certificate demands a stapled OCSP answer and the server sent none");
                return "none";
        }
        if (!verified || sk_X509_num(verified) < 2)
                return "unchecked";
        OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &bytes, len);
        const char *result = response
                                     ? check_answer(response, leaf, sk_X509_value(verified, 1), now, evidence)
                                     : refuse(evidence, "invalid", "is malformed");
        OCSP_RESPONSE_free(response);
        ERR_clear_error();
        return result;
}
