/* SPDX-License-Identifier: MIT */
/* Small whole files: replaced, removed, read back; what a failing disk leaves behind. */
#include "daemon/store/replace_file.c"

#include "daemon/store/backup_parts.h"
#include "daemon/store/replace_files.h"
#include "store_folder.h"

#include <sys/file.h>

static char *in_folder(const char *name)
{
        return text_of("%s/%s", folder, name);
}

static void check_content(const char *path, const char *want)
{
        struct buf content;
        struct cause cause = { 0 };

        ck_assert_msg(read_file(path, 1000, &content, &cause) == (want ? 1 : 0), "%s", cause.text);
        char *text = buf_take_text(&content);
        ck_assert_str_eq(text, want ? want : "");
        free(text);
        buf_free(&content);
}

START_TEST(replace_read_remove)
{
        char *path = in_folder("file"), *inside = in_folder("sub"), *missing = in_folder("no/where");
        struct cause cause = { 0 };
        struct stat st;

        check_content(path, NULL);
        ck_assert_int_eq(replace_file(path, "one", 3, &cause), 0);
        check_content(path, "one");
        ck_assert_int_eq(replace_file(path, "", 0, &cause), 0);
        check_content(path, "");
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
        ck_assert_int_eq(remove_file(path, &cause), 0);
        ck_assert_int_eq(remove_file(path, &cause), 0);
        check_content(path, NULL);
        ck_assert_int_eq(remove_file(missing, &cause), 0);
        ck_assert_int_eq(replace_file(missing, "x", 1, &cause), -1);
        ck_assert_int_eq((int)cause.code, CAUSE_STORAGE);
        ck_assert_int_eq(make_folder(inside, 0700, &cause), 0);
        ck_assert_int_eq(make_folder(inside, 0700, &cause), 0);
        ck_assert_int_eq(stat(inside, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0700);
        free(path);
        free(inside);
        free(missing);
}
END_TEST

/* A folder in the place of a file is not replaced; removed, it is out of the way, and what is in it stays. */
START_TEST(folder_in_its_place)
{
        char *path = in_folder("file"), *temporary = in_folder(".file.new"),
             *inside = in_folder("file/inside");
        char *aside = in_folder(".file.folder/inside"), *beyond = in_folder("plain/file");
        struct cause cause = { 0 };

        ck_assert_int_eq(mkdir(path, 0700), 0);
        ck_assert_int_eq(replace_file(inside, "x", 1, &cause), 0);
        ck_assert_int_eq(replace_file(path, "one", 3, &cause), -1);
        check_content(inside, "x");
        check_content(temporary, NULL);
        ck_assert_int_eq(remove_file(path, &cause), 0);
        check_content(path, NULL);
        check_content(aside, "x");
        ck_assert_int_eq(mkdir(path, 0700), 0);
        ck_assert_int_eq(remove_file(path, &cause), 0);
        check_content(path, NULL);
        ck_assert_int_eq(replace_file(beyond, "", 0, &cause), -1);
        free(beyond);
        beyond = in_folder(".file.folder/inside/file"); /* whose folder is none */
        ck_assert_int_eq(remove_file(beyond, &cause), 0);
        free(beyond);
        free(aside);
        ck_assert_int_eq(mkdir(temporary, 0700), 0);
        ck_assert_int_eq(replace_file(path, "one", 3, &cause), -1);
        ck_assert_ptr_nonnull(strstr(cause.text, ".file.new"));
        check_content(path, NULL);
        ck_assert_int_eq(rmdir(temporary), 0);
        ck_assert_int_eq(replace_file(path, "one", 3, &cause), 0);
        free(inside);
        free(temporary);
        free(path);
}
END_TEST

START_TEST(what_is_not_read)
{
        char *path = in_folder("file"), *link = in_folder("link");
        struct buf content;
        struct cause cause = { 0 };

        ck_assert_int_eq(replace_file(path, "12345", 5, &cause), 0);
        ck_assert_int_eq(read_file(path, 4, &content, &cause), -1);
        ck_assert_int_eq(read_file(path, 5, &content, &cause), 1);
        buf_free(&content);
        ck_assert_int_eq(symlink(path, link), 0);
        ck_assert_int_eq(read_file(link, 100, &content, &cause), -1);
        ck_assert_int_eq(read_file(folder, 100, &content, &cause), -1);
        /* A link in the place of the temporary file is not followed. */
        char *temporary = in_folder(".link2.new"), *target = in_folder("link2");
        ck_assert_int_eq(symlink(path, temporary), 0);
        ck_assert_int_eq(replace_file(target, "new", 3, &cause), 0);
        check_content(path, "12345");
        free(path);
        free(link);
        free(temporary);
        free(target);
}
END_TEST

/* ---- a disk that fails ---- */

static int failing; /* which call: 0 write, 1 sync, 2 rename, 3 sync of the folder */
static int syncs;

static ssize_t bad_write(int fd, const void *bytes, size_t len)
{
        if (failing == 0) {
                errno = ENOSPC;
                return -1;
        }
        return disk_real_calls()->write(fd, bytes, len ? 1 : 0); /* short writes */
}

static int bad_sync(int fd)
{
        syncs++;
        if ((failing == 1 && syncs == 1) || (failing == 3 && syncs == 2)) {
                errno = EIO;
                return -1;
        }
        return disk_real_calls()->sync(fd);
}

static int bad_rename(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
        if (failing == 2) {
                errno = EROFS;
                return -1;
        }
        return disk_real_calls()->rename(from_folder, from, to_folder, to, flags);
}

START_TEST(disk_fails)
{
        struct disk_calls calls = *disk_real_calls();
        char *path = in_folder("file"), *temporary = in_folder(".file.new");
        struct cause cause = { 0 };

        ck_assert_int_eq(replace_file(path, "old", 3, &cause), 0);
        calls.write = bad_write;
        calls.sync = bad_sync;
        calls.rename = bad_rename;
        failing = _i;
        disk_use(&calls);
        ck_assert_int_eq(replace_file(path, "newer", 5, &cause), -1);
        disk_use(NULL);
        ck_assert_int_eq((int)cause.code, CAUSE_STORAGE);
        check_content(path, "old"); /* what failed has not been done */
        ck_assert_int_eq(access(temporary, F_OK), -1);
        free(path);
        free(temporary);
}
END_TEST

/* ---- later ---- */

static int order, done_order[8];

static void later_came(void *ctx, const struct cause *cause)
{
        ck_assert_ptr_null(cause);
        done_order[order++] = (int)(intptr_t)ctx;
        if (order == 6)
                loop_end();
}

START_TEST(calls_for_one_path_keep_their_order)
{
        char *one = in_folder("one"), *two = in_folder("two");

        replace_file_later(one, "1", 1, later_came, (void *)1);
        replace_file_later(one, NULL, 0, later_came, (void *)2);
        replace_file_later(two, "2", 1, later_came, (void *)3);
        replace_file_later(one, "3", 1, later_came, (void *)4);
        replace_file_later(two, NULL, 0, later_came, (void *)5);
        replace_file_later(one, "4", 1, later_came, (void *)6);
        loop_run();
        check_content(one, "4");
        check_content(two, NULL);
        for (int i = 0, last_one = 0, last_two = 0; i < 6; i++) {
                int *last = done_order[i] == 3 || done_order[i] == 5 ? &last_two : &last_one;
                ck_assert_int_lt(*last, done_order[i]);
                *last = done_order[i];
        }
        free(one);
        free(two);
}
END_TEST

START_TEST(closing_finishes_what_was_asked)
{
        char *one = in_folder("one");

        for (int i = 0; i < 4; i++)
                replace_file_later(one, "abcd", (size_t)i + 1, NULL, NULL);
        reclose();
        check_content(one, "abcd");
        reopen();
        free(one);
}
END_TEST

/* ---- many at once ---- */

enum { MANY = 100, FEW = 15 };

static atomic_int all_is, all_synced, each_synced, each_fails_at;

static int sync_all_is(unused_arg int fd)
{
        atomic_fetch_add(&all_synced, 1);
        errno = EIO;
        return atomic_load(&all_is);
}

static int sync_of_each(int fd)
{
        if (atomic_fetch_add(&each_synced, 1) + 1 == atomic_load(&each_fails_at)) {
                errno = EIO;
                return -1;
        }
        return disk_real_calls()->sync(fd);
}

static struct cause many_cause;

static void many_came(unused_arg void *ctx, const struct cause *cause)
{
        cause_clear(&many_cause);
        if (cause)
                many_cause = *cause;
        loop_end();
}

/* By the pools, or at once as at the start. */
static void replace_many(const struct file_text *files, size_t count, bool later)
{
        atomic_store(&all_synced, 0);
        atomic_store(&each_synced, 0);
        cause_clear(&many_cause);
        if (later) {
                replace_files_later(folder, files, count, many_came, NULL);
                loop_run();
        } else {
                int result = replace_files(folder, files, count, &many_cause);
                ck_assert_int_eq(result, many_cause.code ? -1 : 0);
        }
}

static void check_many(struct file_text *files, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                char *path = in_folder(files[i].name);
                check_content(path, files[i].text);
                free(path);
                free(files[i].name);
        }
}

/* By one call where that can be had; else each file, and then the folder. What fails says so, and is done
 * again from the first. */
START_TEST(many_files_are_synced_at_once)
{
        static const struct {
                size_t count;
                int all_is, each_fails_at; /* the first time */
                int all, each;             /* calls of the last time */
        } cases[] = {
                { MANY, 1, 0, 1, 0 },  { MANY, 0, 0, 1, MANY + 1 },        { FEW, 1, 0, 0, FEW + 1 },
                { MANY, -1, 0, 1, 0 }, { MANY, 0, 70, 1, MANY + 1 },       { FEW, 1, FEW + 1, 0, FEW + 1 },
                { 0, 1, 0, 0, 1 },     { MANY, 0, MANY + 1, 1, MANY + 1 },
        };
        size_t index = (size_t)_i / 2, count = cases[index].count;
        bool later = _i % 2, fails = cases[index].all_is < 0 || cases[index].each_fails_at;
        struct disk_calls calls = *disk_real_calls();
        struct file_text files[MANY];

        for (size_t i = 0; i < count; i++)
                files[i] = (struct file_text){ .name = text_of("f%zu", i), .text = i % 2 ? "odd" : "even" };
        calls.sync_all = sync_all_is;
        calls.sync = sync_of_each;
        atomic_store(&all_is, cases[index].all_is);
        atomic_store(&each_fails_at, cases[index].each_fails_at);
        disk_use(&calls);
        replace_many(files, count, later);
        ck_assert_int_eq((int)many_cause.code, fails ? CAUSE_STORAGE : CAUSE_NONE);
        if (fails) {
                reclose(); /* after a failure the one call is not made for a while */
                reopen();
                atomic_store(&each_fails_at, 0);
                replace_many(files, count, later);
                ck_assert_int_eq((int)many_cause.code, CAUSE_NONE);
        }
        disk_use(NULL);
        if (cases[index].all_is < 0) {
                ck_assert_int_eq(atomic_load(&all_synced), 0);
                ck_assert_int_eq(atomic_load(&each_synced), MANY + 1);
        } else {
                ck_assert_int_eq(atomic_load(&all_synced), cases[index].all);
                ck_assert_int_eq(atomic_load(&each_synced), cases[index].each);
        }
        check_many(files, count);
}
END_TEST

/* A folder in the place of one is nobody's to replace. */
START_TEST(one_of_many_cannot_be_written)
{
        struct file_text files[] = { { (char *)(uintptr_t)"one", "1" }, { (char *)(uintptr_t)"two", "2" } };
        char *two = in_folder("two"), *temporary = in_folder(".two.new");

        ck_assert_int_eq(mkdir(two, 0700), 0);
        replace_many(files, count_of(files), _i);
        ck_assert_int_eq((int)many_cause.code, CAUSE_STORAGE);
        ck_assert_int_eq(rmdir(two), 0);
        replace_many(files, count_of(files), _i);
        ck_assert_int_eq((int)many_cause.code, CAUSE_NONE);
        check_content(two, "2");
        ck_assert_int_eq(access(temporary, F_OK), -1);
        free(two);
        free(temporary);
}
END_TEST

/* ---- the state folder ---- */

START_TEST(second_daemon)
{
        struct cause cause = { 0 };
        char *path = in_folder("lock"), *want = text_of("(pid %d)", (int)getpid());
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct buf content;

        reclose();
        int other = open(path, O_RDWR);
        ck_assert_int_eq(fcntl(other, F_OFD_SETLK, &whole), 0);
        ck_assert_int_eq(loop_open(NULL), 0);
        ck_assert_int_eq(store_open(folder, &cause), -1);
        ck_assert_int_eq((int)cause.code, CAUSE_STATE);
        ck_assert_msg(strstr(cause.text, want) != NULL, "%s", cause.text);
        close(other);
        /* Its file was removed: a new one of that name is free, the folder is not. */
        other = open(folder, O_RDONLY | O_DIRECTORY);
        ck_assert_int_eq(flock(other, LOCK_EX), 0);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(store_open(folder, &cause), -1);
        ck_assert_int_eq((int)cause.code, CAUSE_STATE);
        close(other);
        loop_close();
        reopen();
        ck_assert_int_eq(read_file(path, 100, &content, &cause), 1);
        buf_free(&content);
        free(path);
        free(want);
}
END_TEST

START_TEST(folder_that_cannot_be_used)
{
        struct cause cause = { 0 };
        char *file = in_folder("file"), *inside = in_folder("file/state"), *nowhere = in_folder("a/b/c");

        reclose();
        ck_assert_int_eq(replace_file(file, "x", 1, &cause), 0);
        ck_assert_int_eq(loop_open(NULL), 0);
        const char *const bad[] = { file, inside, nowhere, "/proc/no-such-folder" };
        for (size_t i = 0; i < count_of(bad); i++) {
                cause_clear(&cause);
                ck_assert_int_eq(store_open(bad[i], &cause), -1);
                ck_assert_int_eq((int)cause.code, CAUSE_STORAGE);
                ck_assert_msg(strstr(cause.text, bad[i]) != NULL, "%s", cause.text);
        }
        if (geteuid() != 0) {
                ck_assert_int_eq(chmod(folder, 0500), 0);
                ck_assert_int_eq(store_open(folder, &cause), -1);
                ck_assert_ptr_nonnull(strstr(cause.text, "cannot be written"));
                ck_assert_int_eq(chmod(folder, 0700), 0);
        }
        loop_close();
        reopen();
        free(file);
        free(inside);
        free(nowhere);
}
END_TEST

/* It may be the one who waits for the answer. */
START_TEST(a_reader_that_takes_nothing_ends_a_backup)
{
        atomic_bool cancelled = false;
        struct cause cause = { 0 };
        struct archive archive;
        char bytes[4096] = "";
        int ends[2];

        ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        while (write(ends[1], bytes, sizeof bytes) > 0)
                ;
        backup_archive_open(&archive, folder, &(struct backup_order){ .fd = ends[1] }, &cancelled);
        archive.patience = 20;
        ck_assert_int_eq(backup_archive_write(&archive, -1, &cause), -1);
        ck_assert_int_eq((int)cause.code, CAUSE_TIMEOUT);
        ck_assert_ptr_nonnull(strstr(cause.text, "took nothing"));
        backup_archive_free(&archive);
        close(ends[0]);
}
END_TEST

int main(void)
{
        TCase *tests = tcase_create("files");
        tcase_add_checked_fixture(tests, store_up, store_down);
        tcase_add_test(tests, replace_read_remove);
        tcase_add_test(tests, folder_in_its_place);
        tcase_add_test(tests, what_is_not_read);
        tcase_add_loop_test(tests, disk_fails, 0, 4);
        tcase_add_test(tests, calls_for_one_path_keep_their_order);
        tcase_add_test(tests, closing_finishes_what_was_asked);
        tcase_add_loop_test(tests, many_files_are_synced_at_once, 0, 16);
        tcase_add_loop_test(tests, one_of_many_cannot_be_written, 0, 2);
        tcase_add_test(tests, second_daemon);
        tcase_add_test(tests, a_reader_that_takes_nothing_ends_a_backup);
        tcase_add_test(tests, folder_that_cannot_be_used);
        Suite *suite = suite_create("replace_file");
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
