/* SPDX-License-Identifier: MIT */
/*
 * Client certificates: parsed once, shared by reference with every session that uses them. What is imported
 * is checked before it is written, and counts once it is on disk. A private key never leaves this file but
 * into OpenSSL.
 */
#include "daemon/tls/keys.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "daemon/store/replace_file.h"
#include "daemon/tls/trust.h"
#include "daemon/tls/x509.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <unistd.h>

struct client_key {
        char *name;
        X509 *certificate;
        STACK_OF(X509) * issuers;
        EVP_PKEY *key;
        struct cause fault; /* CAUSE_NONE: usable */
        struct client_key *next;
};
/* Those of the folder, in no order; a faulty one is in the list with its fault, so that it can be shown. */
static struct client_key *keys;
static struct client_key *credential; /* or NULL */
static char *folder;                  /* NULL: closed */
static struct cause unread;           /* why the folder, or one of the files, could not be read at all */

/* OpenSSL counts references: a session that uses the key keeps it alive, and it is wiped with the last of
 * them. */
static void key_free(struct client_key *key)
{
        if (!key)
                return;
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
        free(take(folder));
        cause_clear(&unread);
}

/* Then a name that is missing may be one that could not be read: no such account is told to import it. */
bool keys_unread(void)
{
        return unread.code != CAUSE_NONE;
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
                if (!key->key && strncmp(name, "ENCRYPTED", strlen("ENCRYPTED")) == 0) {
                        cause_set(cause, CAUSE_SECRET, "the private key in it has a passphrase");
                        cause_remedy(cause, "emailsecctl trust key import %s FILE", key->name);
                        return -1;
                }
                if (!key->key)
                        return cause_set(cause, CAUSE_SECRET,
                                         "the private key in it is malformed, or has a passphrase");
        }
        return 0;
}

/* `name` need not end with a NUL. */
static struct client_key *key_new(const char *name, size_t len)
{
        struct client_key *key = new_object(struct client_key);

        key->name = copy_bytes(name, len);
        key->issuers = sk_X509_new_null();
        if (!key->issuers)
                abort();
        return key;
}

/* Says so of a PKCS#12 file, which holds the right things in another form. */
static int refuse_pkcs12(const void *bytes, size_t len, const struct client_key *key, struct cause *cause)
{
        const uint8_t *at = bytes;
        PKCS12 *file = d2i_PKCS12(NULL, &at, (long)len);

        PKCS12_free(file);
        ERR_clear_error();
        if (!file)
                return 0;
        cause_set(cause, CAUSE_SECRET, "it is PKCS#12, not PEM");
        cause_remedy(cause, "emailsecctl trust key import %s FILE", key->name);
        return -1;
}

/* The certificate's dates are not looked at: whether it is still good is the server's to judge, and one
 * that has expired here may be good there. */
static int check_key(const struct client_key *key, struct cause *cause)
{
        if (!key->certificate && !key->key)
                return cause_set(cause, CAUSE_SECRET,
                                 "there is neither a certificate nor a private key in it");
        if (!key->certificate)
                return cause_set(cause, CAUSE_SECRET, "there is a private key in it and no certificate");
        if (!key->key)
                return cause_set(cause, CAUSE_SECRET, "there is a certificate in it and no private key");
        if (X509_check_private_key(key->certificate, key->key) != 1)
                return cause_set(cause, CAUSE_SECRET,
                                 "the private key in it is not that of its first certificate");
        return 0;
}

/* PKCS#12 is looked for first: read as PEM it would be text without a block. The error queue of OpenSSL is
 * left empty, or the next TLS call of any session would find an old error in it. */
static int parse_key(const void *bytes, size_t len, struct client_key *key, struct cause *cause)
{
        int result = refuse_pkcs12(bytes, len, key, cause);

        if (result == 0)
                result = pem_each(bytes, len, take_block, key, cause);
        if (result == 0)
                result = check_key(key, cause);
        ERR_clear_error();
        return result;
}

/* On the loop, at start and when the folder is read again; the files are small (LIMIT_SECRET). What was
 * read is wiped. */
static int read_key(const char *path, struct client_key *key)
{
        struct buf bytes;

        int found = read_file(path, LIMIT_SECRET, &bytes, &key->fault);
        if (found == 0)
                return cause_set(&key->fault, CAUSE_SECRET, "it has gone");
        if (found < 0) {
                unread = key->fault;
                cause_set(&key->fault, CAUSE_SECRET, "%s", unread.text);
                cause_remedy(&key->fault,
                             "repair the file, which is read again every few seconds; or import it again: "
                             "emailsecctl trust key import %s FILE",
                             key->name);
                return -1;
        }
        int result = parse_key(buf_bytes(&bytes), bytes.len, key, &key->fault);
        buf_wipe(&bytes);
        return result;
}

static void add_key(const char *file, size_t name_len)
{
        struct client_key *key = key_new(file, name_len);
        char *path = text_of("%s/%s", folder, file);

        if (read_key(path, key) < 0)
                cause_prefix(&key->fault, "client certificate %s: ", key->name);
        free(path);
        key->next = keys;
        keys = key;
}

/* A folder that is missing has no keys; one that cannot be read is a fault, for it may have some. */
void keys_open(const char *state_directory)
{
        struct dirent *entry;

        keys_close();
        folder = text_of("%s/keys", state_directory);
        DIR *list = opendir(folder);
        if (!list && errno != ENOENT)
                cause_errno(&unread, errno, "cannot read %s", folder);
        while (list && (errno = 0, entry = readdir(list)) != NULL) {
                size_t len = strlen(entry->d_name);
                if (entry->d_name[0] != '.' && len > 4 && strcmp(entry->d_name + len - 4, ".pem") == 0)
                        add_key(entry->d_name, len - 4);
        }
        if (list && errno)
                cause_errno(&unread, errno, "cannot read %s", folder);
        if (list)
                (void)closedir(list);
}

static struct client_key *find_key(const char *name)
{
        struct client_key *key = keys;

        while (key && strcmp(key->name, name) != 0)
                key = key->next;
        return key;
}

/* A certificate that systemd passes (LoadCredential=), for the submission listener and for accounts that
 * name it. Read anew at each reload; NULL forgets it. */
void keys_credential(const char *name)
{
        const char *place = getenv("CREDENTIALS_DIRECTORY");

        key_free(take(credential));
        if (!name || !place)
                return;
        scoped(scoped_free) char *path = text_of("%s/%s", place, name);
        if (access(path, F_OK) < 0)
                return;
        credential = key_new(name, strlen(name));
        if (read_key(path, credential) < 0)
                cause_prefix(&credential->fault, "credential %s: ", name);
}

/* NULL with a cause when there is none, or one that cannot be used. */
static const struct client_key *usable_key(const char *name, struct cause *cause)
{
        const struct client_key *key = find_key(name);

        if (!key && credential && strcmp(credential->name, name) == 0)
                key = credential;
        if (!key && keys_unread()) {
                cause_about(cause, CAUSE_SECRET, "clientCertificate", "%s", unread.text);
                cause_remedy(cause, "repair it; it is read again every few seconds");
                return NULL;
        }
        if (!key) {
                cause_about(cause, CAUSE_SECRET, "clientCertificate", "there is no client certificate \"%s\"",
                            name);
                cause_remedy(cause, "emailsecctl trust key import %s FILE", name);
                return NULL;
        }
        if (key->fault.code != CAUSE_NONE) {
                if (cause)
                        *cause = key->fault;
                return NULL;
        }
        return key;
}

/* Borrowed: valid until the next change of the keys. */
EVP_PKEY *keys_private(const char *name, struct cause *cause)
{
        const struct client_key *key = usable_key(name, cause);

        return key ? key->key : NULL;
}

/* OpenSSL takes references of its own. It refuses a key that is below the security level of the connection.
 */
int keys_use(SSL *ssl, const char *name, struct cause *cause)
{
        const struct client_key *key = usable_key(name, cause);

        if (!key)
                return -1;
        if (SSL_use_cert_and_key(ssl, key->certificate, key->key, key->issuers, 1) != 1)
                return cause_about(cause, CAUSE_SECRET, "clientCertificate",
                                   "the client certificate \"%s\" is too weak for this account's TLS level",
                                   name);
        return 0;
}

/* ---- looking and changing ---------------------------------------------------------------------- */

/* Never the private key, nor anything derived from it. */
static json_t *key_json(const struct client_key *key)
{
        json_t *object = json_object();
        bool good = key->fault.code == CAUSE_NONE;

        json_put_text(object, "name", key->name);
        json_put_text(object, "fault", good ? NULL : key->fault.text);
        json_put(object, "issuers", json_integer(sk_X509_num(key->issuers)));
        if (!good) {
                json_put(object, "certificate", json_null());
                return object;
        }
        struct certificate certificate;
        certificate_from_x509(key->certificate, &certificate);
        json_put(object, "certificate", certificate_json(&certificate));
        certificate_done(&certificate);
        return object;
}

json_t *keys_list(void)
{
        json_t *list = json_array();

        for (const struct client_key *key = keys; key; key = key->next)
                if (json_array_append_new(list, key_json(key)) < 0)
                        abort();
        return list;
}

struct key_change {
        struct client_key *key; /* the new one, or the one as it was before its end */
        bool remove;
        void (*done)(void *ctx, const struct cause *cause, json_t *key);
        void *ctx;
};

/* The caller owns what it gets; NULL: there is none of that name. */
static struct client_key *unlink_key(const char *name)
{
        struct client_key **at = &keys;

        while (*at && strcmp((*at)->name, name) != 0)
                at = &(*at)->next;
        struct client_key *found = *at;
        if (found)
                *at = found->next;
        return found;
}

/* On the loop, once the file is on disk or could not be written; the list changes in the first case only.
 * Sessions that rest on the old key are looked at again (trust_changed). */
static void key_changed(void *ctx, const struct cause *cause)
{
        struct key_change *change = ctx;
        const struct cause none = { 0 };
        json_t *shown = key_json(change->key);

        cause = cause ? cause : &none;
        if (cause->code == CAUSE_NONE && folder) {
                key_free(unlink_key(change->key->name));
                if (!change->remove) {
                        change->key->next = keys;
                        keys = take(change->key);
                }
                trust_changed("a client certificate was changed");
        }
        change->done(change->ctx, cause_or_null(cause), cause_happened(cause) ? NULL : shown);
        json_decref(shown);
        key_free(change->key);
        free(change);
}

/* No bytes: the file is removed. The bytes are copied before this returns; `key` is the change's. */
static void change_later(struct client_key *key, const void *bytes, size_t len,
                         void (*done)(void *ctx, const struct cause *cause, json_t *key), void *ctx)
{
        struct key_change *change = new_object(struct key_change);
        scoped(scoped_free) char *path = text_of("%s/%s.pem", folder, key->name);

        *change = (struct key_change){ .key = key, .remove = bytes == NULL, .done = done, .ctx = ctx };
        replace_file_later(path, bytes, len, key_changed, change);
}

/* Replaces one of the same name, in one rename: after a kill -9 the file is the old one or the new one. */
void keys_import(const char *name, const uint8_t *bytes, size_t len,
                 void (*done)(void *ctx, const struct cause *cause, json_t *key), void *ctx)
{
        struct cause cause = { 0 };

        if (!account_name_valid(name)) {
                cause_about(&cause, CAUSE_INVALID, "name", "\"%.80s\" is no name for a client certificate",
                            name);
        } else if (len > LIMIT_SECRET) {
                cause_set(&cause, CAUSE_TOO_LARGE, "a client certificate takes %d bytes at most",
                          LIMIT_SECRET);
        } else if (make_folder(folder, 0700, &cause) == 0) {
                struct client_key *key = key_new(name, strlen(name));
                if (parse_key(bytes, len, key, &cause) == 0) {
                        change_later(key, bytes, len, done, ctx);
                        return;
                }
                key_free(key);
                cause.code = CAUSE_INVALID;
                if (!cause.remedy[0])
                        cause_remedy(&cause,
                                     "give one PEM file with the certificate, its issuers if there are any, "
                                     "and the private key without a passphrase");
        }
        done(ctx, &cause, NULL);
}

/* What is told in the end is a copy: the key itself may be replaced while the disk is at work. */
void keys_delete(const char *name, void (*done)(void *ctx, const struct cause *cause, json_t *key), void *ctx)
{
        const struct client_key *known = find_key(name);
        struct cause cause = { 0 };

        if (!known) {
                (void)cause_missing(&cause, MISSING_KEY, "name", name);
                done(ctx, &cause, NULL);
                return;
        }
        struct client_key *copy = key_new(name, strlen(name));
        copy->fault = known->fault;
        if (known->certificate && X509_up_ref(known->certificate) == 1)
                copy->certificate = known->certificate;
        change_later(copy, NULL, 0, done, ctx);
}
