/* SPDX-License-Identifier: MIT */
/* Tags of content: what they are (a vector of the specification of GCM, and GHASH written out bit by bit), in
 * pieces and by many threads, and their key, which lives as long as the database. */
#include "daemon/store/content_tag.h"

#include "daemon/journal.h"
#include "daemon/sha256.h"
#include "store_folder.h"

#include <pthread.h>

enum { MOST = 5000 };

static const uint8_t key[CONTENT_TAG_SIZE] = { 0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c,
                                               0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08 };
static uint8_t text[MOST];

static void up(void)
{
        for (size_t i = 0; i < sizeof text; i++)
                text[i] = (uint8_t)(i * i + i / 7);
        content_tag_key(key);
}

/* ---- what it is ---- */

static void encrypt(const uint8_t with[16], const uint8_t block[16], uint8_t out[16])
{
        EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
        int len;

        ck_assert_int_eq(EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), NULL, with, NULL), 1);
        ck_assert_int_eq(EVP_EncryptUpdate(context, out, &len, block, 16), 1);
        EVP_CIPHER_CTX_free(context);
}

/* x = (x + block) * h in GF(2^128), SP 800-38D section 6.3. */
static void hash_block(uint8_t x[16], const uint8_t block[16], const uint8_t h[16])
{
        uint8_t z[16] = { 0 }, v[16];

        memcpy(v, h, 16);
        for (size_t i = 0; i < 16; i++)
                x[i] ^= block[i];
        for (size_t bit = 0; bit < 128; bit++) {
                bool set = x[bit / 8] >> (7 - bit % 8) & 1, low = v[15] & 1;
                for (size_t i = 0; i < 16 && set; i++)
                        z[i] ^= v[i];
                for (size_t i = 15; i > 0; i--)
                        v[i] = (uint8_t)(v[i] >> 1 | v[i - 1] << 7);
                v[0] = (uint8_t)(v[0] >> 1 ^ (low ? 0xe1 : 0));
        }
        memcpy(x, z, 16);
}

static void tag_by_hand(const uint8_t *bytes, size_t len, uint8_t tag[16])
{
        static const uint8_t zero[16];
        uint8_t h[16], mask[16], x[16] = { 0 }, counter[16] = { [15] = 1 }, lengths[16] = { 0 };

        encrypt(key, zero, h);
        encrypt(key, counter, mask);
        for (size_t at = 0; at < len; at += 16) {
                uint8_t block[16] = { 0 };
                memcpy(block, bytes + at, len - at < 16 ? len - at : 16);
                hash_block(x, block, h);
        }
        for (size_t i = 0; i < 8; i++)
                lengths[i] = (uint8_t)((uint64_t)len * 8 >> (56 - 8 * i));
        hash_block(x, lengths, h);
        for (size_t i = 0; i < 16; i++)
                tag[i] = x[i] ^ mask[i];
}

/* Test case 1 of the specification of GCM has this nonce, and no data. */
START_TEST(vector)
{
        static const uint8_t none[CONTENT_TAG_SIZE],
                want[] = { 0x58, 0xe2, 0xfc, 0xce, 0xfa, 0x7e, 0x30, 0x61,
                           0x36, 0x7f, 0x1d, 0x57, 0xa4, 0xe7, 0x45, 0x5a };
        uint8_t tag[CONTENT_TAG_SIZE];

        content_tag_key(none);
        content_tag_of("", 0, tag);
        ck_assert_mem_eq(tag, want, sizeof want);
}
END_TEST

START_TEST(each_length)
{
        uint8_t tag[CONTENT_TAG_SIZE], want[CONTENT_TAG_SIZE];

        for (size_t len = 0; len <= MOST; len += len < 300 ? 1 : 331) {
                content_tag_of(text, len, tag);
                tag_by_hand(text, len, want);
                ck_assert_mem_eq(tag, want, sizeof want);
        }
}
END_TEST

/* One context for all of them. */
START_TEST(in_pieces)
{
        scoped(content_tag_free) EVP_CIPHER_CTX *context = NULL;
        uint8_t tag[CONTENT_TAG_SIZE], want[CONTENT_TAG_SIZE];

        for (size_t step = 1; step < 2 * MOST; step += step < 70 ? 1 : 997) {
                size_t len = MOST - step % 23;
                content_tag_begin(&context);
                content_tag_add(context, text, 0);
                for (size_t at = 0; at < len; at += step)
                        content_tag_add(context, text + at, len - at < step ? len - at : step);
                content_tag_end(context, tag);
                content_tag_of(text, len, want);
                ck_assert_mem_eq(tag, want, sizeof want);
        }
        content_tag_begin(&context); /* begun and given up */
        content_tag_add(context, text, 17);
        content_tag_begin(&context);
        content_tag_end(context, tag);
        content_tag_of("", 0, want);
        ck_assert_mem_eq(tag, want, sizeof want);
}
END_TEST

START_TEST(large)
{
        enum { SIZE = 5 * 1024 * 1024 + 3 };
        scoped(scoped_free) uint8_t *bytes = new_zeroed(1, SIZE);
        scoped(content_tag_free) EVP_CIPHER_CTX *context = NULL;
        uint8_t tag[CONTENT_TAG_SIZE], want[CONTENT_TAG_SIZE];

        bytes[SIZE - 1] = 1;
        content_tag_of(bytes, SIZE, tag);
        content_tag_begin(&context);
        for (size_t at = 0, some = 77777; at < SIZE; at += some)
                content_tag_add(context, bytes + at, SIZE - at < some ? SIZE - at : some);
        content_tag_end(context, want);
        ck_assert_mem_eq(tag, want, sizeof want);
}
END_TEST

static void *make_many(void *wrong)
{
        uint8_t tag[CONTENT_TAG_SIZE], want[CONTENT_TAG_SIZE];

        tag_by_hand(text, 1000, want);
        for (int i = 0; i < 2000; i++) {
                content_tag_of(text, 1000, tag);
                if (memcmp(tag, want, sizeof want) != 0)
                        *(bool *)wrong = true;
        }
        return NULL;
}

START_TEST(by_many_threads)
{
        pthread_t threads[20];
        bool wrong[count_of(threads)] = { false };

        for (size_t i = 0; i < count_of(threads); i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, make_many, &wrong[i]), 0);
        for (size_t i = 0; i < count_of(threads); i++) {
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
                ck_assert(!wrong[i]);
        }
}
END_TEST

START_TEST(fits_by_its_length)
{
        uint8_t tag[CONTENT_TAG_SIZE], digest[SHA256_SIZE];

        content_tag_of(text, MOST, tag);
        sha256_of(text, MOST, digest);
        ck_assert(content_tag_fits(text, MOST, tag, sizeof tag));
        ck_assert(content_tag_fits(text, MOST, digest, sizeof digest));
        ck_assert(!content_tag_fits(text, MOST - 1, tag, sizeof tag));
        ck_assert(!content_tag_fits(text, MOST - 1, digest, sizeof digest));
        ck_assert(!content_tag_fits(text, MOST, digest, sizeof tag));
        ck_assert(!content_tag_fits(text, MOST, tag, sizeof tag - 1));
        ck_assert(!content_tag_fits(text, MOST, tag, 0));
        for (size_t i = 0; i < MOST; i += 13) {
                text[i] ^= 4;
                ck_assert(!content_tag_fits(text, MOST, tag, sizeof tag));
                text[i] ^= 4;
        }
}
END_TEST

/* ---- its key ---- */

static unsigned logged;

static void on_logged(int priority, const char *message_id, const char *said)
{
        (void)message_id;
        logged += priority == LOG_ERR && strstr(said, "lost the key");
}

static void with_database(const char *sql)
{
        scoped(scoped_free) char *path = text_of("%s/station.db", folder);
        sqlite3 *handle;

        ck_assert_int_eq(sqlite3_open(path, &handle), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(handle);
}

/* Of the one text by the key of the database that is open. */
static void tag_here(uint8_t tag[CONTENT_TAG_SIZE])
{
        reclose();
        content_tag_key(key); /* whatever is left of the last one */
        reopen();
        content_tag_of(text, MOST, tag);
}

START_TEST(the_key_is_that_of_the_database)
{
        uint8_t first[CONTENT_TAG_SIZE], again[CONTENT_TAG_SIZE], other[CONTENT_TAG_SIZE];

        logged = 0;
        journal_capture(on_logged);
        tag_here(first);
        tag_here(again);
        ck_assert_mem_eq(first, again, sizeof first);
        reclose();
        with_database("UPDATE meta SET value = randomblob(16) WHERE name = 'contentKey'");
        reopen();
        tag_here(other);
        ck_assert_mem_ne(first, other, sizeof first);
        ck_assert_uint_eq(logged, 0);
        static const char *const losses[] = {
                "DELETE FROM meta WHERE name = 'contentKey'",
                "UPDATE meta SET value = randomblob(15) WHERE name = 'contentKey'",
                "UPDATE meta SET value = '0123456789abcdef' WHERE name = 'contentKey'",
                "UPDATE meta SET value = 7 WHERE name = 'contentKey'",
        };
        for (unsigned i = 0; i < count_of(losses); i++) {
                reclose();
                with_database(losses[i]);
                reopen();
                ck_assert_uint_eq(logged, i + 1);
                tag_here(first);
                ck_assert_mem_ne(first, other, sizeof first);
                tag_here(again);
                ck_assert_mem_eq(first, again, sizeof first);
                memcpy(other, first, sizeof first);
        }
        ck_assert_uint_eq(logged, count_of(losses));
        journal_capture(NULL);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("content_tag");
        TCase *tags = tcase_create("tags"), *keys = tcase_create("keys");

        tcase_add_checked_fixture(tags, up, content_tag_unload);
        tcase_add_test(tags, vector);
        tcase_add_test(tags, each_length);
        tcase_add_test(tags, in_pieces);
        tcase_add_test(tags, large);
        tcase_add_test(tags, by_many_threads);
        tcase_add_test(tags, fits_by_its_length);
        tcase_add_checked_fixture(keys, store_up, store_down);
        tcase_add_test(keys, the_key_is_that_of_the_database);
        suite_add_tcase(suite, tags);
        suite_add_tcase(suite, keys);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
