/* SPDX-License-Identifier: MIT */
/*
 * AES-128-GMAC by OpenSSL, its key, and contexts that have been made ready with it; see content_tag.h.
 * To make a context takes as long as the tag of a small message: those that were used are kept. OpenSSL fails
 * for want of memory only, which ends the process as in new_object.
 */
#include "daemon/store/content_tag.h"

#include "common/cleanup.h"
#include "daemon/journal.h"
#include "daemon/messages.h"
#include "daemon/sha256.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
        KEPT_MOST = 16,           /* about 1 KiB each */
        PIECE_MOST = 1024 * 1024, /* OpenSSL takes an int */
};

static const uint8_t nonce[12]; /* always this */

static struct {
        pthread_mutex_t lock;
        uint8_t key[CONTENT_TAG_SIZE];
        EVP_CIPHER *algorithm; /* for as long as the process lives */
        EVP_CIPHER_CTX *kept[KEPT_MOST];
        size_t count;
} tags = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- contexts ---- */

static void must(int result)
{
        if (result != 1)
                abort();
}

static EVP_CIPHER_CTX *context_new(void)
{
        EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

        if (!context)
                abort();
        must(EVP_EncryptInit_ex2(context, tags.algorithm, tags.key, nonce, NULL));
        return context;
}

static EVP_CIPHER_CTX *context_take(void)
{
        pthread_mutex_lock(&tags.lock);
        EVP_CIPHER_CTX *context = tags.count ? tags.kept[--tags.count] : NULL;
        pthread_mutex_unlock(&tags.lock);
        return context ? context : context_new();
}

void content_tag_free(EVP_CIPHER_CTX **context)
{
        EVP_CIPHER_CTX *mine = take(*context);

        if (!mine)
                return;
        pthread_mutex_lock(&tags.lock);
        if (tags.count < KEPT_MOST)
                tags.kept[tags.count++] = take(mine);
        pthread_mutex_unlock(&tags.lock);
        EVP_CIPHER_CTX_free(mine);
}

/* ---- a tag ---- */

void content_tag_begin(EVP_CIPHER_CTX **context)
{
        if (!*context)
                *context = context_take();
        must(EVP_EncryptInit_ex2(*context, NULL, NULL, nonce, NULL));
}

void content_tag_add(EVP_CIPHER_CTX *context, const void *bytes, size_t len)
{
        int taken;

        for (size_t at = 0, some; at < len; at += some) {
                some = len - at < PIECE_MOST ? len - at : PIECE_MOST;
                must(EVP_EncryptUpdate(context, NULL, &taken, (const uint8_t *)bytes + at, (int)some));
        }
}

void content_tag_end(EVP_CIPHER_CTX *context, uint8_t tag[CONTENT_TAG_SIZE])
{
        OSSL_PARAM result[] = { OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag,
                                                                  CONTENT_TAG_SIZE),
                                OSSL_PARAM_construct_end() };
        uint8_t nothing[CONTENT_TAG_SIZE];
        int len;

        must(EVP_EncryptFinal_ex(context, nothing, &len));
        must(EVP_CIPHER_CTX_get_params(context, result));
}

void content_tag_of(const void *bytes, size_t len, uint8_t tag[CONTENT_TAG_SIZE])
{
        scoped(content_tag_free) EVP_CIPHER_CTX *context = NULL;

        content_tag_begin(&context);
        content_tag_add(context, bytes, len);
        content_tag_end(context, tag);
}

bool content_tag_fits(const void *bytes, size_t len, const uint8_t *told, size_t told_len)
{
        uint8_t made[SHA256_SIZE];

        if (told_len == CONTENT_TAG_SIZE)
                content_tag_of(bytes, len, made);
        else if (told_len == SHA256_SIZE)
                sha256_of(bytes, len, made);
        else
                return false;
        return memcmp(made, told, told_len) == 0;
}

/* ---- the key ---- */

void content_tag_unload(void)
{
        while (tags.count)
                EVP_CIPHER_CTX_free(tags.kept[--tags.count]);
}

void content_tag_key(const uint8_t key[CONTENT_TAG_SIZE])
{
        content_tag_unload(); /* those that are kept have the key that was */
        if (!tags.algorithm)
                tags.algorithm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
        if (!tags.algorithm)
                abort();
        memcpy(tags.key, key, sizeof tags.key);
}

/* 1 = there is one. */
static int read_key(struct database *db, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT value FROM meta WHERE name = 'contentKey' AND typeof(value) = 'blob'"
                         " AND length(value) = 16",
                         NULL, 0);
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more > 0)
                content_tag_key(sqlite3_column_blob(rows, 0));
        return more;
}

/* The schema has put it there. Without it nothing that is in the database can be compared any more, and what
 * comes must be. */
int content_tag_load(struct database *db, struct cause *cause)
{
        int there = read_key(db, cause);

        if (there)
                return there < 0 ? -1 : 0;
        log_about(NULL, LOG_ERR, MSG_DISK_FAULT,
                  "the database has lost the key of its tags of content, and gets another: messages in the "
                  "queue count as damaged");
        if (db_run(db, cause,
                   "INSERT OR REPLACE INTO meta (name, value) VALUES ('contentKey', randomblob(16))", NULL,
                   0) < 0)
                return -1;
        there = read_key(db, cause);
        return there > 0 ? 0 : cause_set(cause, CAUSE_STORAGE, "the database keeps no key");
}
