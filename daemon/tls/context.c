/* SPDX-License-Identifier: MIT */
/*
 * SSL_CTX by class of account (security rule 5): TLS 1.2 and 1.3, security level 2; lower only for the class
 * of accounts whose minTlsVersion says so, and then level 0. Never NULL, anonymous, export suites,
 * compression or renegotiation. Nothing here is per account: 10,000 of them share four contexts and one
 * store.
 */
#include "daemon/tls/context.h"

#include "common/limits.h"
#include "daemon/tls/sent_chain.h"

static const struct version_class {
        int min_version, protocol, level;
        const char *offer;
} classes[] = {
        { 10, TLS1_VERSION, 0, "TLS 1.0 to 1.3" },
        { 11, TLS1_1_VERSION, 0, "TLS 1.1 to 1.3" },
        { 12, TLS1_2_VERSION, 2, "TLS 1.2 and 1.3" },
        { 13, TLS1_3_VERSION, 2, "TLS 1.3" },
};
static SSL_CTX *contexts[count_of(classes)];
static SSL_CTX *server_context;
static X509_STORE *present_store;

/* An unknown version gets the strictest class. */
static size_t class_of(int min_version)
{
        size_t i = 0;

        while (i + 1 < count_of(classes) && classes[i].min_version != min_version)
                i++;
        return i;
}

const char *context_offer(int min_version)
{
        return classes[class_of(min_version)].offer;
}

/* What both sides have in common; NULL when OpenSSL has none of it. */
static SSL_CTX *context_of(const struct version_class *class, const SSL_METHOD *method)
{
        SSL_CTX *context = SSL_CTX_new(method);

        if (!context)
                return NULL;
        SSL_CTX_set_security_level(context, class->level);
        (void)SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT |
                                                     SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION);
        (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
        (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_max_cert_list(context, LIMIT_CERTIFICATE);
        if (SSL_CTX_set_min_proto_version(context, class->protocol) != 1 ||
            SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
            SSL_CTX_set_cipher_list(context,
                                    class->level ? "DEFAULT:!aNULL:!eNULL:!PSK:!SRP:!EXP:@SECLEVEL=2"
                                                 : "DEFAULT:!aNULL:!eNULL:!PSK:!SRP:!EXP:@SECLEVEL=0") != 1 ||
            SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:"
                                              "TLS_AES_128_GCM_SHA256") != 1) {
                SSL_CTX_free(context);
                return NULL;
        }
        return context;
}

static SSL_CTX *context_new(const struct version_class *class,
                            int (*new_session)(SSL *ssl, SSL_SESSION *session))
{
        SSL_CTX *context = context_of(class, TLS_client_method());

        if (!context)
                return NULL;
        SSL_CTX_set_verify_depth(context, LIMIT_CHAIN);
        SSL_CTX_set_cert_verify_callback(context, sent_chain_verify, NULL);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, new_session);
        if (present_store)
                SSL_CTX_set1_cert_store(context, present_store);
        return context;
}

/* Clients show no certificate. A session that is resumed would outlive a certificate that was taken away. */
static SSL_CTX *server_context_new(void)
{
        SSL_CTX *context = context_of(&classes[class_of(12)], TLS_server_method());

        if (!context)
                return NULL;
        (void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        if (SSL_CTX_set_num_tickets(context, 0) == 1)
                return context;
        SSL_CTX_free(context);
        return NULL;
}

SSL *context_server_ssl(struct cause *cause)
{
        if (!server_context)
                server_context = server_context_new();
        SSL *ssl = server_context ? SSL_new(server_context) : NULL;
        if (!ssl)
                cause_set(cause, CAUSE_INTERNAL, "OpenSSL cannot make a TLS session");
        return ssl;
}

SSL *context_ssl(int min_version, int (*new_session)(SSL *ssl, SSL_SESSION *session), struct cause *cause)
{
        size_t class = class_of(min_version);

        if (!contexts[class])
                contexts[class] = context_new(&classes[class], new_session);
        SSL *ssl = contexts[class] ? SSL_new(contexts[class]) : NULL;
        if (!ssl)
                cause_set(cause, CAUSE_INTERNAL, "OpenSSL cannot make a TLS session (%s)",
                          classes[class].offer);
        return ssl;
}

void context_use_store(X509_STORE *store)
{
        X509_STORE *fresh = store ? store : X509_STORE_new();

        if (!fresh)
                abort();
        if (store && X509_STORE_up_ref(store) != 1)
                abort();
        X509_STORE_free(present_store);
        present_store = fresh;
        for (size_t i = 0; i < count_of(contexts); i++)
                if (contexts[i])
                        SSL_CTX_set1_cert_store(contexts[i], present_store);
}

void context_close(void)
{
        for (size_t i = 0; i < count_of(contexts); i++) {
                SSL_CTX_free(contexts[i]);
                contexts[i] = NULL;
        }
        SSL_CTX_free(server_context);
        server_context = NULL;
        X509_STORE_free(present_store);
        present_store = NULL;
        sent_chain_forget();
}
