/* SPDX-License-Identifier: MIT */
/*
 * From OpenSSL's verification to evidence. The callback appends (code, depth, certificate) and never decides;
 * after the handshake the errors are put into words and the chain into plain certificates.
 */
#pragma once

#include "daemon/tls/judge.h"

#include <openssl/ssl.h>

enum { COLLECTED_MAX = 32 };

struct collection {
        size_t count;
        bool overflow; /* there were more: fails closed as PROBLEM_OTHER */
        struct collected {
                int code; /* X509_V_ERR_* */
                int depth;
                X509 *x509; /* a reference; NULL when the error is about no certificate */
        } items[COLLECTED_MAX];
};

/* Appends the present error of the verification; *collection is made with the first one (good chains cost
 * nothing). */
void collect(struct collection **collection, X509_STORE_CTX *verification);
void collect_free(struct collection *collection);

/* The chain as sent, [0] the leaf, at most LIMIT_CHAIN; the caller ends it with collect_chain_free. */
struct certificate *collect_chain_of(const SSL *ssl, size_t *out_count);
void collect_chain_free(struct certificate *chain, size_t count);

/* The errors of `evidence` (whose host and chain are set), one a problem and certificate. */
void collect_errors(const struct collection *collection, struct tls_evidence *evidence);

/* Appends an error; in place of the last when the list is full, so that nothing is forgotten in silence. */
void tls_evidence_add(struct tls_evidence *evidence, enum tls_problem problem, int depth, int code,
                      const char *format, ...) printf_like(5, 6);
/* Puts what is known to mend the last error added in place of its problem's own remedy. */
void tls_evidence_remedy(struct tls_evidence *evidence, const char *format, ...) printf_like(2, 3);
/* The problem that an X509_V_ERR_* code stands for; unknown codes are PROBLEM_OTHER, codes that say nothing
 * against the peer TLS_PROBLEMS. */
enum tls_problem tls_problem_of_code(int code);
