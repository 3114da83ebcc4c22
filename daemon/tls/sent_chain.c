/* SPDX-License-Identifier: MIT */
/*
 * Certificates that servers send, each in memory once. OpenSSL keeps what was sent with each session,
 * decoded: 4 KiB a certificate, and thousands of sessions are with the same few servers. So before a chain is
 * verified, each of its certificates that is to the byte one of the last KEPT gives way to that one. Nothing
 * is known of one by that: each chain is verified and judged anew, by the same bytes.
 */
#include "daemon/tls/sent_chain.h"

#include "daemon/tls/x509.h"

enum {
        KEPT = 64,
        LARGE = 8 * 1024 /* bytes of DER: such are each session's own, so that a server cannot fill memory */
};

static struct held {
        X509 *x509; /* NULL: unused */
        uint8_t digest[32];
        uint64_t used; /* the order of use */
} kept[KEPT];
static uint64_t uses;

/* Its place, or that of the one not used for longest. */
static struct held *place_of(const uint8_t digest[32])
{
        struct held *oldest = &kept[0];

        for (size_t i = 0; i < KEPT; i++) {
                if (kept[i].x509 && memcmp(kept[i].digest, digest, sizeof kept[i].digest) == 0)
                        return &kept[i];
                if (kept[i].used < oldest->used)
                        oldest = &kept[i];
        }
        return oldest;
}

/* The chain has a reference of each of its own; place `at` gets the one that is kept. */
static void share(STACK_OF(X509) * chain, int at)
{
        X509 *sent = sk_X509_value(chain, at);
        uint8_t digest[32];

        if (i2d_X509(sent, NULL) > LARGE)
                return;
        x509_digest(sent, digest);
        struct held *place = place_of(digest);
        place->used = ++uses;
        if (place->x509 && memcmp(place->digest, digest, sizeof digest) == 0) {
                if (place->x509 != sent && X509_up_ref(place->x509) == 1) {
                        (void)sk_X509_set(chain, at, place->x509);
                        X509_free(sent);
                }
                return;
        }
        X509_free(place->x509);
        place->x509 = X509_up_ref(sent) == 1 ? sent : NULL;
        memcpy(place->digest, digest, sizeof digest);
}

/* The chain is the session's, and what the verification looks at, as long as both are the same object; where
 * they are not, each session keeps its own. */
int sent_chain_verify(X509_STORE_CTX *verification, unused_arg void *unused)
{
        const SSL *ssl = X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx());
        STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
        int count = chain && X509_STORE_CTX_get0_untrusted(verification) == chain ? sk_X509_num(chain) : 0;

        if (count && X509_STORE_CTX_get0_cert(verification) == sk_X509_value(chain, 0)) {
                for (int i = 0; i < count; i++)
                        share(chain, i);
                X509_STORE_CTX_set_cert(verification, sk_X509_value(chain, 0));
        }
        return X509_verify_cert(verification) == 1;
}

void sent_chain_forget(void)
{
        for (size_t i = 0; i < KEPT; i++) {
                X509_free(kept[i].x509);
                kept[i] = (struct held){ 0 };
        }
        uses = 0;
}
