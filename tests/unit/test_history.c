/* SPDX-License-Identifier: MIT */
/* The last day, minute by minute, in virtual time: what is in a minute, how many are kept, what a restart
 * keeps. */
#include "daemon/service/history.c"

#include "store_folder.h"

enum { BEGIN = 1795459860 - 1795459860 % 60 };

static void up(void)
{
        store_up();
        loop_freeze(0, BEGIN);
        history_open(folder);
}

static void down(void)
{
        history_close();
        store_down();
}

static void again(int64_t seconds_later)
{
        history_close();
        reclose();
        reopen();
        loop_freeze(0, BEGIN + seconds_later);
        history_open(folder);
}

static json_int_t number(const json_t *samples, size_t index, const char *name)
{
        return json_integer_value(json_object_get(json_array_get(samples, index), name));
}

static const char *text(const json_t *samples, size_t index, const char *name)
{
        return json_string_value(json_object_get(json_array_get(samples, index), name));
}

START_TEST(a_minute_has_what_happened_in_it)
{
        work_counts.sent += 3;
        loop_advance(30 * 1000);
        work_counts.received += 2;
        for (int ms = 1; ms <= 100; ms++)
                work_count_handshake(ms);
        loop_advance(60 * 1000);
        work_counts.deferred++;
        work_counts.failed++;
        json_t *samples = history_json(HISTORY_MINUTES);
        ck_assert_uint_eq(json_array_size(samples), 2);
        ck_assert_int_eq(number(samples, 0, "sent"), 3);
        ck_assert_int_eq(number(samples, 0, "received"), 2);
        ck_assert_int_eq(number(samples, 0, "handshakes"), 100);
        /* within an eighth */
        ck_assert_int_le(llabs(number(samples, 0, "handshakeP50") - 50), 50 / 8);
        ck_assert_int_le(llabs(number(samples, 0, "handshakeP95") - 95), 95 / 8);
        ck_assert_str_eq(text(samples, 0, "time"), "2026-11-23T18:51:00Z");
        ck_assert_str_eq(text(samples, 1, "time"), "2026-11-23T18:52:00Z");
        ck_assert_int_eq(number(samples, 1, "sent"), 0);
        ck_assert_int_eq(number(samples, 1, "deferred"), 1);
        ck_assert_int_eq(number(samples, 1, "failed"), 1);
        ck_assert(json_is_null(json_object_get(json_array_get(samples, 1), "handshakeP50")));
        json_decref(samples);
}
END_TEST

/* The next one begins, and nothing is sent in it. */
static void check_minute_ends(int64_t sent)
{
        loop_advance(60 * 1000);
        json_t *samples = history_json(HISTORY_MINUTES);
        ck_assert_uint_eq(json_array_size(samples), 2);
        ck_assert_int_eq(number(samples, 0, "sent"), sent);
        ck_assert_int_eq(number(samples, 1, "sent"), 0);
        json_decref(samples);
}

START_TEST(a_minute_goes_on_when_its_timer_is_early)
{
        work_counts.sent += 3;
        loop_advance(30 * 1000);
        loop_freeze(30 * 1000, BEGIN + 20); /* set back */
        loop_advance(30 * 1000);
        json_t *samples = history_json(HISTORY_MINUTES);
        ck_assert_uint_eq(json_array_size(samples), 1);
        ck_assert_int_eq(number(samples, 0, "sent"), 3);
        json_decref(samples);
        check_minute_ends(3);
}
END_TEST

START_TEST(a_day_is_kept_and_no_more)
{
        for (int minute = 0; minute < 2 * HISTORY_MINUTES; minute++) {
                work_counts.sent += (uint64_t)minute;
                loop_advance(60 * 1000);
        }
        json_t *samples = history_json(HISTORY_MINUTES);
        ck_assert_uint_eq(json_array_size(samples), HISTORY_MINUTES);
        for (size_t i = 0; i + 1 < HISTORY_MINUTES; i++)
                ck_assert_int_eq(number(samples, i, "sent"), HISTORY_MINUTES + 1 + (json_int_t)i);
        json_decref(samples);
        samples = history_json(3);
        ck_assert_uint_eq(json_array_size(samples), 3);
        ck_assert_int_eq(number(samples, 1, "sent"), 2 * HISTORY_MINUTES - 1);
        json_decref(samples);
        samples = history_json(1);
        ck_assert_uint_eq(json_array_size(samples), 1);
        json_decref(samples);
}
END_TEST

START_TEST(a_restart_keeps_what_is_of_the_last_day)
{
        work_counts.sent += 7;
        loop_advance(90 * 1000);
        work_counts.sent += 1;
        again(600);
        json_t *samples = history_json(HISTORY_MINUTES);
        ck_assert_uint_eq(json_array_size(samples), 3);
        ck_assert_int_eq(number(samples, 0, "sent"), 7);
        ck_assert_int_eq(number(samples, 1, "sent"), 1);
        ck_assert_int_eq(number(samples, 2, "sent"), 0);
        json_decref(samples);
        again(24 * 3600 + 90);
        samples = history_json(HISTORY_MINUTES);
        ck_assert_uint_eq(json_array_size(samples), 3); /* the first has gone */
        ck_assert_int_eq(number(samples, 0, "sent"), 1);
        json_decref(samples);
        again(0); /* the clock was set back: what would be to come is left out */
        samples = history_json(HISTORY_MINUTES);
        ck_assert_uint_eq(json_array_size(samples), 1);
        json_decref(samples);
}
END_TEST

START_TEST(a_restart_within_a_minute_loses_nothing_of_it)
{
        work_counts.sent += 7;
        work_counts.handshakes[0] += 2;
        again(1);
        work_counts.sent += 1;
        again(2);
        json_t *samples = history_json(HISTORY_MINUTES);
        ck_assert_uint_eq(json_array_size(samples), 1);
        ck_assert_int_eq(number(samples, 0, "sent"), 8);
        ck_assert_int_eq(number(samples, 0, "handshakes"), 2);
        ck_assert(json_is_integer(json_object_get(json_array_get(samples, 0), "handshakeP50")));
        json_decref(samples);
        check_minute_ends(8);
}
END_TEST

/* As without a battery: the clock begins anywhere, and is set once the network is there. */
START_TEST(a_clock_that_is_set_makes_no_day_of_years)
{
        loop_freeze(0, 0);
        history_close();
        history_open(NULL);
        loop_advance(200 * 1000);
        loop_freeze(loop_now(), BEGIN);
        loop_advance(61 * 1000);
        loop_advance(60 * 1000);
        json_t *samples = history_json(HISTORY_MINUTES);
        ck_assert_uint_eq(json_array_size(samples), 3);
        ck_assert_str_eq(text(samples, 0, "time"), "2026-11-23T18:51:00Z");
        ck_assert_str_eq(text(samples, 2, "time"), "2026-11-23T18:53:00Z");
        json_decref(samples);
}
END_TEST

START_TEST(a_clock_that_is_set_back_leaves_them_in_order)
{
        for (int minute = 0; minute < 90; minute++)
                loop_advance(60 * 1000);
        loop_freeze(loop_now(), BEGIN + 30 * 60);
        for (int minute = 0; minute < 70; minute++)
                loop_advance(60 * 1000);
        json_t *samples = history_json(HISTORY_MINUTES);
        for (size_t i = 1; i < json_array_size(samples); i++)
                ck_assert_str_lt(text(samples, i - 1, "time"), text(samples, i, "time"));
        ck_assert_uint_eq(json_array_size(samples), 101);
        json_decref(samples);
}
END_TEST

START_TEST(a_file_of_something_else_is_nothing)
{
        static const char *const files[] = { "", "EMHIST0", "EMHIST01", "EMHIST01short",
                                             "EMHIST99................" };

        for (size_t i = 0; i < count_of(files); i++) {
                history_close();
                reclose();
                reopen();
                loop_freeze(0, BEGIN);
                scoped(scoped_free) char *path = text_of("%s/history", folder);
                FILE *file = fopen(path, "w");
                ck_assert_ptr_nonnull(file);
                ck_assert_int_ge(fputs(files[i], file), 0);
                ck_assert_int_eq(fclose(file), 0);
                history_open(folder);
                json_t *samples = history_json(HISTORY_MINUTES);
                ck_assert_uint_eq(json_array_size(samples), 1);
                json_decref(samples);
        }
}
END_TEST

START_TEST(classes_of_handshakes_cover_all_times)
{
        for (int64_t ms = 0; ms < 1 << 20; ms = ms < 100 ? ms + 1 : ms + ms / 50) {
                work_counts = (struct work_counts){ 0 };
                work_count_handshake(ms);
                unsigned found = 0;
                while (!work_counts.handshakes[found])
                        found++;
                ck_assert_int_le(llabs((int64_t)work_handshake_ms(found) - ms), ms / 8);
        }
        work_count_handshake(-5);
        work_count_handshake(INT64_MAX);
        ck_assert_uint_eq(work_counts.handshakes[0], 1);
        ck_assert_uint_ge(work_counts.handshakes[HANDSHAKE_CLASSES - 1], 1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("history");
        TCase *tests = tcase_create("history");

        tcase_add_checked_fixture(tests, up, down);
        tcase_add_test(tests, a_minute_has_what_happened_in_it);
        tcase_add_test(tests, a_minute_goes_on_when_its_timer_is_early);
        tcase_add_test(tests, a_day_is_kept_and_no_more);
        tcase_add_test(tests, a_restart_keeps_what_is_of_the_last_day);
        tcase_add_test(tests, a_restart_within_a_minute_loses_nothing_of_it);
        tcase_add_test(tests, a_clock_that_is_set_makes_no_day_of_years);
        tcase_add_test(tests, a_clock_that_is_set_back_leaves_them_in_order);
        tcase_add_test(tests, a_file_of_something_else_is_nothing);
        tcase_add_test(tests, classes_of_handshakes_cover_all_times);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
