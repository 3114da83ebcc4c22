/* SPDX-License-Identifier: MIT */
/* The log's file as SQLite sees it: the same bytes, whatever is held; on disk once synced; failures are told.
 */
#include "daemon/store/log_writes.c"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MODEL = 512 * KIB, STEPS = 3000 };

static char path[256], log_path[264];
static sqlite3_file *file;

static void open_log(void)
{
        const char *base = getenv("TMPDIR");
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL;

        (void)snprintf(path, sizeof path, "%s/db.XXXXXX", base ? base : "/tmp");
        int fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        close(fd);
        (void)snprintf(log_path, sizeof log_path, "%s-wal", path);
        sqlite3_vfs *vfs = sqlite3_vfs_find(log_writes_vfs());
        ck_assert_ptr_nonnull(vfs);
        file = new_zeroed(1, (size_t)vfs->szOsFile);
        ck_assert_int_eq(vfs->xOpen(vfs, log_path, file, flags, NULL), SQLITE_OK);
}

static void close_log(void)
{
        if (file->pMethods)
                ck_assert_int_eq(file->pMethods->xClose(file), SQLITE_OK);
        free(take(file));
        (void)unlink(path);
        (void)unlink(log_path);
}

static int put(const void *bytes, size_t len, size_t at)
{
        return file->pMethods->xWrite(file, bytes, (int)len, (sqlite3_int64)at);
}

static off_t size_on_disk(void)
{
        struct stat st;

        ck_assert_int_eq(stat(log_path, &st), 0);
        return st.st_size;
}

/* Of what another connection sees. */
static void expect_on_disk(const uint8_t *model, size_t size)
{
        uint8_t *there = new_zeroed(1, MODEL);
        int fd = open(log_path, O_RDONLY);

        ck_assert_int_eq(pread(fd, there, MODEL, 0), (ssize_t)size);
        ck_assert_int_eq(memcmp(there, model, size), 0);
        close(fd);
        free(there);
}

static struct {
        uint8_t bytes[MODEL];
        size_t size, at; /* at: behind what was written last */
} model;

static void write_some(void)
{
        static const size_t lengths[] = { 24, 4096, 32, 1, HELD_MOST, HELD_MOST + 1, 24, 4096 };
        static uint8_t bytes[HELD_MOST + 1];
        size_t len = lengths[(size_t)rand() % count_of(lengths)];
        bool goes_on = rand() % 8 && model.at + len <= MODEL;
        size_t at = goes_on ? model.at : (size_t)rand() % (model.size + 1);

        if (at + len > MODEL)
                at = 0;
        memset(bytes, rand(), len);
        bytes[len - 1] = (uint8_t)rand();
        memcpy(model.bytes + at, bytes, len);
        model.at = at + len;
        model.size = model.at > model.size ? model.at : model.size;
        ck_assert_int_eq(put(bytes, len, at), SQLITE_OK);
}

static void read_some(void)
{
        static uint8_t bytes[5000];
        size_t at = (size_t)rand() % (model.size + 1), left = model.size - at;
        size_t len = left < sizeof bytes ? left : sizeof bytes;

        if (!len)
                return;
        ck_assert_int_eq(file->pMethods->xRead(file, bytes, (int)len, (sqlite3_int64)at), SQLITE_OK);
        ck_assert_int_eq(memcmp(bytes, model.bytes + at, len), 0);
}

START_TEST(it_is_the_same_file)
{
        sqlite3_int64 size;

        srand(1);
        for (int step = 0; step < STEPS; step++) {
                int what = rand() % 100;
                if (what < 90) {
                        write_some();
                } else if (what < 94) {
                        read_some();
                } else if (what < 96) {
                        ck_assert_int_eq(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL), SQLITE_OK);
                        expect_on_disk(model.bytes, model.size);
                } else if (what < 98) {
                        ck_assert_int_eq(file->pMethods->xFileSize(file, &size), SQLITE_OK);
                        ck_assert_uint_eq((size_t)size, model.size);
                } else {
                        model.size = model.size / 2;
                        memset(model.bytes + model.size, 0, MODEL - model.size);
                        ck_assert_int_eq(file->pMethods->xTruncate(file, (sqlite3_int64)model.size),
                                         SQLITE_OK);
                }
        }
        ck_assert_int_eq(file->pMethods->xClose(file), SQLITE_OK);
        file->pMethods = NULL;
        expect_on_disk(model.bytes, model.size);
}
END_TEST

START_TEST(a_commit_is_one_write)
{
        uint8_t page[4096] = { 1 };
        off_t at = 0;

        for (int i = 0; i < 10; i++) {
                ck_assert_int_eq(put(page, 24, (size_t)at), SQLITE_OK);
                ck_assert_int_eq(put(page, sizeof page, (size_t)at + 24), SQLITE_OK);
                at += 24 + 4096;
                ck_assert_int_eq(size_on_disk(), 0);
        }
        ck_assert_int_eq(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL), SQLITE_OK);
        ck_assert_int_eq(size_on_disk(), at);
}
END_TEST

/* The disk is full: whoever waits for the sync is told, and what was not written does not come later. */
START_TEST(a_write_that_was_put_off_fails_in_the_sync)
{
        struct rlimit limit = { .rlim_cur = 5000, .rlim_max = RLIM_INFINITY };
        uint8_t page[4096] = { 1 };

        (void)signal(SIGXFSZ, SIG_IGN);
        ck_assert_int_eq(put(page, sizeof page, 0), SQLITE_OK);
        ck_assert_int_eq(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL), SQLITE_OK);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        for (size_t at = 8192; at < 4 * 8192; at += 4096)
                ck_assert_int_eq(put(page, sizeof page, at), SQLITE_OK);
        ck_assert_int_ne(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL), SQLITE_OK);
        limit.rlim_cur = RLIM_INFINITY;
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        ck_assert_int_eq(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL), SQLITE_OK);
        ck_assert_int_eq(size_on_disk(), 4096);
}
END_TEST

int main(void)
{
        TCase *tests = tcase_create("log_writes");
        tcase_add_checked_fixture(tests, open_log, close_log);
        tcase_add_test(tests, it_is_the_same_file);
        tcase_add_test(tests, a_commit_is_one_write);
        tcase_add_test(tests, a_write_that_was_put_off_fails_in_the_sync);
        Suite *suite = suite_create("log_writes");
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
