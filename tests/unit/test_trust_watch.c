/* SPDX-License-Identifier: MIT */
/* Watching the stores on disk: folders, single files, links, the places OpenSSL knows by itself; what
 * concerns nobody; once for many changes; watched anew by who is told. */
#include "common/buf.h"
#include "daemon/loop.h"

/* Quiet comes sooner here. */
static void seam_timer_set(struct timer *timer, int64_t ms)
{
        timer_set(timer, ms / 10);
}
#define timer_set seam_timer_set
#include "daemon/tls/trust_watch.c"
#undef timer_set

#include "state_folder.h"

static unsigned changes;
static char *store;

static void on_change(void *ctx)
{
        (void)ctx;
        changes++;
        loop_end();
}

static void setup(void)
{
        folder_open();
        store = folder_path("store");
        ck_assert_int_eq(mkdir(store, 0700), 0);
        changes = 0;
}

static void teardown(void)
{
        trust_watch_close();
        free(store);
        folder_close();
}

static void watch_store(const char *place, const char *lists)
{
        trust_watch(&(struct trust_settings){ .state_directory = state_folder,
                                              .system_store = place,
                                              .revocation_lists = lists },
                    on_change, NULL);
}

static void await_change(unsigned count)
{
        run_until_end();
        ck_assert_uint_eq(changes, count);
}

START_TEST(many_changes_of_a_folder_are_told_once)
{
        watch_store(store, NULL);
        for (int i = 0; i < 40; i++) {
                scoped(scoped_free) char *name = text_of("store/%d.pem", i);
                folder_write(name, "x", 1);
        }
        await_change(1);
        scoped(scoped_free) char *one = folder_path("store/7.pem");
        ck_assert_int_eq(unlink(one), 0);
        await_change(2);
}
END_TEST

START_TEST(a_file_is_told_when_it_is_replaced)
{
        scoped(scoped_free) char *file = folder_path("store/ca.pem"), *fresh = folder_path("fresh");

        folder_write("store/ca.pem", "old", 3);
        folder_write("fresh", "new", 3);
        watch_store(file, NULL);
        ck_assert_int_eq(rename(fresh, file), 0);
        await_change(1);
        ck_assert_int_eq(unlink(file), 0);
        await_change(2);
        folder_write("store/ca.pem", "back", 4);
        await_change(3);
}
END_TEST

START_TEST(a_file_that_a_link_stands_for)
{
        scoped(scoped_free) char *link = folder_path("ca.pem"), *file = folder_path("store/real.pem");

        folder_write("store/real.pem", "old", 3);
        ck_assert_int_eq(symlink(file, link), 0);
        watch_store(link, NULL);
        ck_assert_uint_eq(watcher.count, 2);
        folder_write("store/real.pem", "new", 3);
        await_change(1);
        ck_assert_int_eq(unlink(link), 0);
        await_change(2);
}
END_TEST

static bool is_heard(int number, uint32_t mask, const char *name)
{
        _Alignas(struct inotify_event) char bytes[sizeof(struct inotify_event) + 64] = { 0 };
        struct inotify_event *event = (struct inotify_event *)(void *)bytes;

        event->wd = number;
        event->mask = mask;
        event->len = name ? 64 : 0;
        if (name)
                memcpy(bytes + sizeof *event, name, strlen(name));
        return concerns(event);
}

START_TEST(what_concerns_nobody)
{
        scoped(scoped_free) char *file = folder_path("store/ca.pem");

        folder_write("store/ca.pem", "x", 1);
        watch_store(file, NULL);
        int number = watcher.places[0].number;
        ck_assert(is_heard(number, IN_CLOSE_WRITE, "ca.pem"));
        ck_assert(!is_heard(number, IN_CLOSE_WRITE, "ca.pem.new"));
        ck_assert(!is_heard(number, IN_CLOSE_WRITE, "ca"));
        ck_assert(!is_heard(number, IN_ATTRIB, NULL));
        ck_assert(!is_heard(number + 1, IN_CLOSE_WRITE, "ca.pem"));
        ck_assert(is_heard(number, IN_DELETE_SELF, NULL));
        ck_assert(is_heard(-1, IN_Q_OVERFLOW, NULL)); /* what was lost may have been ours */
}
END_TEST

START_TEST(places_that_are_not_there)
{
        scoped(scoped_free) char *missing = folder_path("none/at/all"),
                                 *later = folder_path("store/later.pem");

        watch_store(missing, "");
        ck_assert_uint_eq(watcher.count, 0);
        watch_store(later, missing);
        ck_assert_uint_eq(watcher.count, 1);
        folder_write("store/later.pem", "x", 1);
        await_change(1);
}
END_TEST

START_TEST(revocation_lists_too)
{
        scoped(scoped_free) char *lists = folder_path("lists");

        ck_assert_int_eq(mkdir(lists, 0700), 0);
        watch_store(store, lists);
        folder_write("lists/one.crl", "x", 1);
        await_change(1);
}
END_TEST

START_TEST(the_places_of_openssl)
{
        scoped(scoped_free) char *file = folder_path("cert.pem");
        struct buf list = BUF_WITH_MAX(65536);

        for (int i = 0; i < 2 * PLACES_MOST; i++) {
                scoped(scoped_free) char *name = text_of("%s/%d", store, i);
                ck_assert_int_eq(mkdir(name, 0700), 0);
                ck_assert_int_eq(buf_appendf(&list, "%s%s", i ? ":" : "", name), 0);
        }
        scoped(scoped_free) char *folders = buf_take_text(&list);
        ck_assert_int_eq(setenv(X509_get_default_cert_file_env(), file, 1), 0);
        ck_assert_int_eq(setenv(X509_get_default_cert_dir_env(), folders, 1), 0);
        watch_store(NULL, NULL);
        ck_assert_uint_eq(watcher.count, PLACES_MOST);
        folder_write("store/3/new.pem", "x", 1);
        await_change(1);
        folder_write("cert.pem", "x", 1);
        await_change(2);
        (void)unsetenv(X509_get_default_cert_file_env());
        (void)unsetenv(X509_get_default_cert_dir_env());
        buf_free(&list);
}
END_TEST

static void on_change_again(void *ctx)
{
        (void)ctx;
        changes++;
        trust_watch(&(struct trust_settings){ .system_store = store }, on_change, NULL);
        loop_end();
}

START_TEST(who_is_told_watches_anew)
{
        trust_watch(&(struct trust_settings){ .system_store = store }, on_change_again, NULL);
        folder_write("store/one", "x", 1);
        await_change(1);
        folder_write("store/two", "x", 1);
        await_change(2);
}
END_TEST

START_TEST(closed_in_the_middle)
{
        watch_store(store, NULL);
        folder_write("store/one", "x", 1);
        on_quiet(NULL); /* told on the next turn */
        trust_watch_close();
        loop_turn();
        ck_assert_uint_eq(changes, 0);
        trust_watch_close();
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("trust_watch");
        TCase *tests = tcase_create("watch");

        tcase_set_timeout(tests, 60);
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, many_changes_of_a_folder_are_told_once);
        tcase_add_test(tests, a_file_is_told_when_it_is_replaced);
        tcase_add_test(tests, a_file_that_a_link_stands_for);
        tcase_add_test(tests, what_concerns_nobody);
        tcase_add_test(tests, places_that_are_not_there);
        tcase_add_test(tests, revocation_lists_too);
        tcase_add_test(tests, the_places_of_openssl);
        tcase_add_test(tests, who_is_told_watches_anew);
        tcase_add_test(tests, closed_in_the_middle);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
