/* SPDX-License-Identifier: MIT */
/* What the verification finds, kept while it runs: each error once, and the chain as it was sent. */
#include "daemon/tls/collect.h"

#include "common/limits.h"
#include "daemon/tls/x509.h"

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
