/* SPDX-License-Identifier: MIT */
/*
 * Reading the trust stores from disk. What a person configured or imported must be read whole: a file that
 * cannot be read is a fault that condemns every verdict (S40), never a shorter list. OpenSSL's default places
 * belong to the distribution: what cannot be read there is passed over and counted.
 */
#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "daemon/sha256.h"
#include "daemon/store/replace_file.h"
#include "daemon/tls/trust_parts.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- sets ---------------------------------------------------------------------------------- */

void trust_anchors_done(struct anchors *anchors)
{
        for (size_t i = 0; i < anchors->count; i++)
                X509_free(anchors->items[i].x509);
        free(anchors->items);
        *anchors = (struct anchors){ 0 };
}

const struct anchor *trust_anchors_find(const struct anchors *anchors, const uint8_t sha256[32])
{
        for (size_t i = 0; i < anchors->count; i++)
                if (memcmp(anchors->items[i].sha256, sha256, 32) == 0)
                        return &anchors->items[i];
        return NULL;
}

void trust_anchors_add(struct anchors *anchors, X509 *x509)
{
        uint8_t sha256[32];

        x509_digest(x509, sha256);
        if (trust_anchors_find(anchors, sha256)) {
                X509_free(x509);
                return;
        }
        anchors->items = new_resized(anchors->items, anchors->count + 1, sizeof *anchors->items);
        struct anchor *anchor = &anchors->items[anchors->count++];
        anchor->x509 = x509;
        memcpy(anchor->sha256, sha256, 32);
}

void trust_anchors_remove(struct anchors *anchors, const uint8_t sha256[32])
{
        const struct anchor *found = trust_anchors_find(anchors, sha256);

        if (!found)
                return;
        size_t at = (size_t)(found - anchors->items);
        X509_free(anchors->items[at].x509);
        anchors->count--;
        memmove(&anchors->items[at], &anchors->items[at + 1], (anchors->count - at) * sizeof *anchors->items);
}

/* ---- files --------------------------------------------------------------------------------- */

/* What has nothing to do with the file: another time it can be read. */
static bool passes(int error)
{
        return error == EMFILE || error == ENFILE || error == ENOMEM || error == EIO || error == EINTR;
}

/* Reads a regular file, through symbolic links (a system store is full of them). *out_passes is set where it
 * fails for now only. */
static int read_linked(const char *path, struct buf *out, bool *out_passes, struct cause *cause)
{
        scoped(scoped_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat st;

        buf_init(out, LIMIT_TRUST_FILE);
        if (fd < 0 || fstat(fd, &st) < 0) {
                *out_passes = passes(errno);
                return cause_errno(cause, errno, "%s", path);
        }
        if (!S_ISREG(st.st_mode) || st.st_size > LIMIT_TRUST_FILE)
                return cause_set(cause, CAUSE_STORAGE, "%s: not a file, or larger than any trust store",
                                 path);
        for (;;) {
                uint8_t *room = buf_room(out, 16 * KIB);
                ssize_t len = room ? read(fd, room, 16 * KIB) : 0;
                if (len < 0) {
                        int number = errno;
                        *out_passes = passes(number);
                        buf_free(out);
                        return cause_errno(cause, number, "%s", path);
                }
                if (len == 0)
                        return 0;
                buf_grown(out, (size_t)len);
        }
}

struct reading {
        struct trust_stores *stores;
        const struct trust_stores *before;
        bool strict;  /* what cannot be read is a fault; else only where that passes */
        bool passes;  /* the last that could not be read may be read another time */
        size_t found; /* certificates and lists seen in this file */
};

static int take_certificate(struct reading *r, X509 *x509, struct cause *cause)
{
        if (x509) {
                r->found++;
                trust_anchors_add(&r->stores->system, x509);
                return 0;
        }
        ERR_clear_error();
        if (r->strict)
                return cause_set(cause, CAUSE_TRUST_STORE, "a certificate in it is malformed");
        r->stores->skipped++;
        return 0;
}

/* Nothing was said of it beside the certificate: what it is trusted for, a name. */
static bool is_plain(X509 *x509)
{
        return !X509_get0_trust_objects(x509) && !X509_get0_reject_objects(x509) &&
               !X509_alias_get0(x509, NULL);
}

/* The certificate of these bytes where it is there by now, or was before: to take one apart costs more than
 * all else that is done with it, and a bundle and the folder beside it have the same ones. NULL: it is not.
 */
static X509 *known(const struct reading *r, const uint8_t *der, size_t len)
{
        uint8_t sha256[SHA256_SIZE];

        sha256_of(der, len, sha256);
        const struct anchor *anchor = trust_anchors_find(&r->stores->system, sha256);
        if (!anchor)
                anchor = trust_anchors_find(&r->before->system, sha256);
        if (!anchor || !is_plain(anchor->x509))
                return NULL;
        (void)X509_up_ref(anchor->x509);
        return anchor->x509;
}

static X509 *parse(const struct reading *r, const char *name, const uint8_t *der, size_t len)
{
        if (strcmp(name, PEM_STRING_X509_TRUSTED) == 0)
                return d2i_X509_AUX(NULL, &der, (long)len);
        X509 *x509 = known(r, der, len);
        return x509 ? x509 : d2i_X509(NULL, &der, (long)len);
}

static int take_system_block(void *ctx, const char *name, const uint8_t *der, size_t der_len,
                             struct cause *cause)
{
        if (!pem_is_certificate(name))
                return 0;
        return take_certificate(ctx, parse(ctx, name, der, der_len), cause);
}

static int take_list(struct reading *r, X509_CRL *list, struct cause *cause)
{
        if (!list) {
                ERR_clear_error();
                return cause_set(cause, CAUSE_TRUST_STORE, "a revocation list in it is malformed");
        }
        r->found++;
        if (sk_X509_CRL_push(r->stores->revocation_lists, list) < 1)
                abort();
        return 0;
}

static int take_list_block(void *ctx, const char *name, const uint8_t *der, size_t der_len,
                           struct cause *cause)
{
        const uint8_t *at = der;

        return strcmp(name, PEM_STRING_X509_CRL) != 0
                       ? 0
                       : take_list(ctx, d2i_X509_CRL(NULL, &at, (long)der_len), cause);
}

/* One file, PEM or DER. */
static int read_any(struct reading *r, const char *path, bool lists, struct cause *cause)
{
        struct buf bytes;

        r->found = 0;
        r->passes = false;
        if (read_linked(path, &bytes, &r->passes, cause) < 0)
                return -1;
        const uint8_t *at = buf_bytes(&bytes);
        int result;
        if (bytes.len && memmem(at, bytes.len, "-----BEGIN", 10))
                result = pem_each(at, bytes.len, lists ? take_list_block : take_system_block, r, cause);
        else if (lists)
                result = take_list(r, bytes.len ? d2i_X509_CRL(NULL, &at, (long)bytes.len) : NULL, cause);
        else
                result = take_certificate(r, bytes.len ? d2i_X509(NULL, &at, (long)bytes.len) : NULL, cause);
        buf_free(&bytes);
        if (result < 0)
                cause_prefix(cause, "%s: ", path);
        return result;
}

/* The first fault is the one that is told. */
static void fault(struct trust_stores *stores, const char *what, const struct cause *why)
{
        if (stores->fault.code == CAUSE_NONE)
                cause_set(&stores->fault, CAUSE_TRUST_STORE, "%s cannot be read: %s", what, why->text);
}

/* ---- the System Trust Store ------------------------------------------------------------------ */

static bool has_ending(const char *name, const char *ending)
{
        size_t len = strlen(name), tail = strlen(ending);

        return len > tail && strcmp(name + len - tail, ending) == 0;
}

/* "9d66eef0.0": how OpenSSL finds certificates in a folder. */
static bool is_hash_name(const char *name)
{
        size_t digits = strspn(name, "0123456789abcdef");

        return digits == 8 && name[8] == '.' && isdigit((unsigned char)name[9]);
}

static bool is_certificate_name(const char *name)
{
        return name[0] != '.' &&
               (has_ending(name, ".pem") || has_ending(name, ".crt") || has_ending(name, ".cer"));
}

static bool is_list_name(const char *name)
{
        return name[0] != '.';
}

/* Reads the files of a folder whose names fit; how many there were. -1: the folder cannot be read. */
static int read_folder(struct reading *r, const char *folder, bool (*fits)(const char *name), bool lists,
                       const char *what)
{
        DIR *list = opendir(folder);
        struct cause cause = { 0 };
        struct dirent *entry;
        int count = 0;

        if (!list) {
                int error = errno;
                cause_errno(&cause, error, "%s", folder);
                if (!r->strict && passes(error))
                        fault(r->stores, what, &cause);
                errno = error;
                return -1;
        }
        while ((errno = 0, entry = readdir(list)) != NULL) {
                if (!fits(entry->d_name))
                        continue;
                char *path = text_of("%s/%s", folder, entry->d_name);
                cause_clear(&cause);
                count++;
                if (read_any(r, path, lists, &cause) < 0) {
                        if (r->strict || r->passes)
                                fault(r->stores, what, &cause);
                        else
                                r->stores->skipped++;
                }
                free(path);
        }
        if (errno) {
                cause_errno(&cause, errno, "%s", folder);
                fault(r->stores, what, &cause);
        }
        (void)closedir(list);
        return count;
}

/* A folder with hashed names is read as OpenSSL reads it; in another one each certificate file counts. */
static int read_certificate_folder(struct reading *r, const char *folder)
{
        int count = read_folder(r, folder, is_hash_name, false, "the System Trust Store");

        return count ? count : read_folder(r, folder, is_certificate_name, false, "the System Trust Store");
}

static void read_configured(const struct trust_stores *before, struct trust_stores *stores, const char *path)
{
        struct reading r = { .stores = stores, .before = before, .strict = true };
        struct cause cause = { 0 };
        struct stat st;
        int result = 0;

        if (stat(path, &st) < 0)
                result = cause_errno(&cause, errno, "%s", path);
        else if (!S_ISDIR(st.st_mode))
                result = read_any(&r, path, false, &cause);
        else if (read_certificate_folder(&r, path) < 0)
                result = cause_errno(&cause, errno, "%s", path);
        if (result == 0 && stores->system.count == 0)
                result = cause_set(&cause, CAUSE_TRUST_STORE, "%s: it holds no certificate", path);
        if (result < 0)
                fault(stores, "the System Trust Store", &cause);
}

static const char *place(const char *variable, const char *fallback)
{
        const char *value = getenv(variable);

        return value && *value ? value : fallback;
}

static void read_default_places(const struct trust_stores *before, struct trust_stores *stores)
{
        struct reading r = { .stores = stores, .before = before, .strict = false };
        struct cause cause = { 0 };
        char *folders = copy_text(place(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()));
        char *rest = folders, *folder;

        if (read_any(&r, place(X509_get_default_cert_file_env(), X509_get_default_cert_file()), false,
                     &cause) < 0 &&
            r.passes)
                fault(stores, "the System Trust Store", &cause);
        while ((folder = strsep(&rest, ":")) != NULL)
                if (*folder)
                        (void)read_certificate_folder(&r, folder);
        free(folders);
}

static void read_revocation_lists(struct trust_stores *stores, const char *folder)
{
        struct reading r = { .stores = stores, .strict = true };
        struct cause cause = { 0 };

        if (read_folder(&r, folder, is_list_name, true, "the folder of revocation lists") < 0) {
                cause_errno(&cause, errno, "%s", folder);
                fault(stores, "the folder of revocation lists", &cause);
        }
}

/* ---- the User Trust Store -------------------------------------------------------------------- */

static int take_user_text(struct trust_stores *stores, const char *path, const char *name, const char *text,
                          struct cause *cause)
{
        struct certificate certificate;
        char digest[65];

        int result = certificate_from_pem(text, &certificate, cause);
        if (result < 0) {
                cause_prefix(cause, "%s: ", path);
                return -1;
        }
        hex_print(certificate.sha256, 32, digest);
        if (strncmp(digest, name, 64) != 0 || strlen(name) != 64 + strlen(".pem")) {
                result = cause_set(cause, CAUSE_STORAGE,
                                   "%s: its name is not the SHA-256 of the certificate in it", path);
        } else {
                const uint8_t *at = certificate.der;
                trust_anchors_add(&stores->user, d2i_X509(NULL, &at, (long)certificate.der_len));
        }
        certificate_done(&certificate);
        return result;
}

static int read_user_file(struct trust_stores *stores, const char *path, const char *name,
                          struct cause *cause)
{
        struct buf bytes;

        if (read_file(path, LIMIT_TRUST_FILE, &bytes, cause) <= 0)
                return cause && cause->code ? -1 : cause_set(cause, CAUSE_STORAGE, "%s: it has gone", path);
        scoped(scoped_free) char *text = buf_take_text(&bytes);
        return take_user_text(stores, path, name, text, cause);
}

static int take_pending(struct trust_stores *stores, const char *path, const json_t *files,
                        struct cause *cause)
{
        size_t index;
        json_t *file;

        if (!json_is_array(files))
                return cause_set(cause, CAUSE_STORAGE, "%s: it is damaged", path);
        json_array_foreach((json_t *)files, index, file) {
                const char *name = json_string_value(json_object_get(file, "name"));
                const char *text = json_string_value(json_object_get(file, "text"));
                if (!name || !text)
                        return cause_set(cause, CAUSE_STORAGE, "%s: it is damaged", path);
                if (take_user_text(stores, path, name, text, cause) < 0)
                        return -1;
        }
        return 0;
}

/* What an import of several certificates has decided, see trust_bundle.c. */
static void read_pending(struct trust_stores *stores, const char *folder)
{
        scoped(scoped_free) char *path = text_of("%s/" TRUST_PENDING, folder);
        struct cause cause = { 0 };
        struct buf bytes;

        int result = read_file(path, LIMIT_TRUST_FILE, &bytes, &cause);
        if (result > 0) {
                json_t *decision = json_loadb((const char *)buf_bytes(&bytes), bytes.len, 0, NULL);
                json_t *files = json_object_get(decision, "files");
                result = take_pending(stores, path, files, &cause);
                if (result == 0)
                        stores->pending = json_incref(files);
                json_decref(decision);
        }
        buf_free(&bytes);
        if (result < 0) {
                stores->pending_unread = true;
                fault(stores, "the User Trust Store", &cause);
                cause_remedy(&stores->fault, "put the file, which an import has left, back from a backup; it "
                                             "is read again every few "
                                             "seconds; or remove it and import again");
        }
}

static void read_user_store(struct trust_stores *stores, const char *state_directory)
{
        char *folder = text_of("%s/trust", state_directory);
        struct cause cause = { 0 };
        DIR *list = make_folder(folder, 0700, &cause) < 0 ? NULL : opendir(folder);
        struct dirent *entry;

        if (!list) {
                if (cause.code == CAUSE_NONE)
                        cause_errno(&cause, errno, "%s", folder);
                fault(stores, "the User Trust Store", &cause);
        }
        read_pending(stores, folder); /* before the files, which are all there when it goes */
        while (list && (errno = 0, entry = readdir(list)) != NULL) {
                if (entry->d_name[0] == '.' || !has_ending(entry->d_name, ".pem"))
                        continue;
                char *path = text_of("%s/%s", folder, entry->d_name);
                cause_clear(&cause);
                if (read_user_file(stores, path, entry->d_name, &cause) < 0)
                        fault(stores, "the User Trust Store", &cause);
                free(path);
        }
        if (list && errno) {
                cause_errno(&cause, errno, "%s", folder);
                fault(stores, "the User Trust Store", &cause);
        }
        if (list)
                (void)closedir(list);
        free(folder);
}

void trust_stores_done(struct trust_stores *stores)
{
        trust_anchors_done(&stores->system);
        trust_anchors_done(&stores->user);
        sk_X509_CRL_pop_free(stores->revocation_lists, X509_CRL_free);
        json_decref(stores->pending);
        *stores = (struct trust_stores){ 0 };
}

int trust_stores_read(const struct trust_settings *settings, const struct trust_stores *before,
                      struct trust_stores *stores)
{
        *stores = (struct trust_stores){ .revocation_lists = sk_X509_CRL_new_null() };
        if (!stores->revocation_lists)
                abort();
        read_user_store(stores, settings->state_directory);
        if (settings->system_store && settings->system_store[0])
                read_configured(before, stores, settings->system_store);
        else
                read_default_places(before, stores);
        if (settings->revocation_lists && settings->revocation_lists[0])
                read_revocation_lists(stores, settings->revocation_lists);
        return stores->fault.code == CAUSE_NONE ? 0 : -1;
}
