/* SPDX-License-Identifier: MIT */
/* Client certificates: parsed once, shared by reference with every session that uses them. */
#include "daemon/tls/keys.h"

#include "common/limits.h"
#include "daemon/store/replace_file.h"
#include "daemon/tls/x509.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

struct client_key {
        char *name;
        X509 *certificate;
        STACK_OF(X509) * issuers;
        EVP_PKEY *key;
        struct cause fault; /* CAUSE_NONE: usable */
        struct client_key *next;
};
static struct client_key *keys;

static void key_free(struct client_key *key)
{
        free(key->name);
        X509_free(key->certificate);
        sk_X509_pop_free(key->issuers, X509_free);
        EVP_PKEY_free(key->key);
        free(key);
}

void keys_close(void)
{
        while (keys) {
                struct client_key *next = keys->next;
                key_free(keys);
                keys = next;
        }
}

/* One PEM block: the first certificate is the client's own, further ones its issuers. */
static int take_block(void *ctx, const char *name, const uint8_t *der, size_t der_len, struct cause *cause)
{
        struct client_key *key = ctx;
        const uint8_t *at = der;

        if (pem_is_certificate(name)) {
                X509 *x509 = d2i_X509(NULL, &at, (long)der_len);
                if (!x509)
                        return cause_set(cause, CAUSE_SECRET, "a certificate in it is malformed");
                if (!key->certificate)
                        key->certificate = x509;
                else if (sk_X509_push(key->issuers, x509) < 1)
                        abort();
        } else if (!key->key && strstr(name, "PRIVATE KEY")) {
                key->key = d2i_AutoPrivateKey(NULL, &at, (long)der_len);
                if (!key->key)
                        return cause_set(cause, CAUSE_SECRET,
                                         "the private key in it is encrypted or malformed");
        }
        return 0;
}

static int read_key(const char *path, struct client_key *key)
{
        struct buf bytes;

        if (read_file(path, LIMIT_SECRET, &bytes, &key->fault) <= 0)
                return -1;
        int result = pem_each(buf_bytes(&bytes), bytes.len, take_block, key, &key->fault);
        buf_wipe(&bytes);
        if (result < 0)
                return -1;
        if (!key->certificate || !key->key || X509_check_private_key(key->certificate, key->key) != 1)
                return cause_set(&key->fault, CAUSE_SECRET,
                                 "it does not hold a certificate with its private key");
        return 0;
}

static void add_key(const char *folder, const char *file, size_t name_len)
{
        struct client_key *key = new_object(struct client_key);
        char *path = text_of("%s/%s", folder, file);

        key->name = copy_bytes(file, name_len);
        key->issuers = sk_X509_new_null();
        if (!key->issuers)
                abort();
        if (read_key(path, key) < 0)
                cause_prefix(&key->fault, "client certificate %s: ", key->name);
        free(path);
        key->next = keys;
        keys = key;
}

void keys_open(const char *state_directory)
{
        char *folder = text_of("%s/keys", state_directory);
        DIR *list = opendir(folder);
        struct dirent *entry;

        keys_close();
        while (list && (entry = readdir(list)) != NULL) {
                size_t len = strlen(entry->d_name);
                if (entry->d_name[0] != '.' && len > 4 && strcmp(entry->d_name + len - 4, ".pem") == 0)
                        add_key(folder, entry->d_name, len - 4);
        }
        if (list)
                (void)closedir(list);
        free(folder);
}

int keys_use(SSL *ssl, const char *name, struct cause *cause)
{
        const struct client_key *key = keys;

        while (key && strcmp(key->name, name) != 0)
                key = key->next;
        if (!key) {
                cause_about(cause, CAUSE_SECRET, "clientCertificate", "there is no client certificate \"%s\"",
                            name);
                cause_remedy(cause,
                             "put certificate and key as PEM into keys/NAME.pem of the state folder, then: "
                             "emailsecctl reload");
                return -1;
        }
        if (key->fault.code != CAUSE_NONE) {
                if (cause)
                        *cause = key->fault;
                return -1;
        }
        if (SSL_use_cert_and_key(ssl, key->certificate, key->key, key->issuers, 1) != 1)
                return cause_about(cause, CAUSE_SECRET, "clientCertificate",
                                   "the client certificate \"%s\" is too weak for this account's TLS level",
                                   name);
        return 0;
}
