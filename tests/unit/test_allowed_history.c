/* SPDX-License-Identifier: MIT */
/* The history of an entry: bounded with its first step kept, copied whole, written and read again, refused
 * when it is not what was written. */
#include "daemon/tls/allowed_history.c"

#include <check.h>

enum { WALL = 1790000000 };

static struct decided decided;

static void setup(void)
{
        memset(&decided, 0, sizeof decided);
}

static void teardown(void)
{
        allowed_history_done(&decided);
        ck_assert_ptr_null(decided.past);
}

static void add(enum past_what what, time_t time, const char *by, const char *reason, time_t expires)
{
        struct past step = { .what = what,
                             .time = time,
                             .expires = expires,
                             .by = (char *)(uintptr_t)by,
                             .reason = (char *)(uintptr_t)reason };

        allowed_history_add(&decided, &step);
}

START_TEST(the_first_and_the_newest_stay)
{
        for (int i = 0; i < 3 * LIMIT_HISTORY; i++)
                add(i % 2 ? PAST_UNAPPROVED : PAST_APPROVED, WALL + i, "root", NULL, 0);
        ck_assert_uint_eq(decided.past_count, LIMIT_HISTORY);
        ck_assert_int_eq(decided.past[0].time, WALL);
        for (int i = 1; i < LIMIT_HISTORY; i++)
                ck_assert_int_eq(decided.past[i].time, WALL + 2 * LIMIT_HISTORY + i);
}
END_TEST

START_TEST(a_copy_is_its_own)
{
        struct decided copy;

        add(PAST_APPROVED, WALL, "root (uid 0)", "seen it", WALL + 60);
        allowed_history_copy(&copy, &decided);
        allowed_history_done(&decided);
        ck_assert_uint_eq(copy.past_count, 1);
        ck_assert_str_eq(copy.past[0].by, "root (uid 0)");
        ck_assert_str_eq(copy.past[0].reason, "seen it");
        ck_assert_int_eq(copy.past[0].expires, WALL + 60);
        allowed_history_done(&copy);
}
END_TEST

START_TEST(what_is_written_is_read)
{
        struct decided again = { 0 };
        struct cause cause = { 0 };

        add(PAST_APPROVED, WALL, "root", "the new plant", WALL + 60);
        add(PAST_EXPIRED, WALL + 60, NULL, NULL, 0);
        add(PAST_REJECTED, WALL + 70, "ann", NULL, 0);
        add(PAST_UNAPPROVED, WALL + 80, "ann", "", 0);
        json_t *list = allowed_history_json(&decided);
        ck_assert_msg(allowed_history_from_file(&again, list, &cause) == 0, "%s", cause.text);
        json_t *same = allowed_history_json(&again);
        ck_assert(json_equal(list, same));
        ck_assert_uint_eq(json_array_size(same), 4);
        ck_assert_str_eq(json_string_value(json_object_get(json_array_get(same, 1), "what")), "expired");
        ck_assert(json_is_null(json_object_get(json_array_get(same, 1), "by")));
        json_decref(list);
        json_decref(same);
        allowed_history_done(&again);
}
END_TEST

static const char *const damaged[] = {
        "[{\"what\": \"blessed\", \"time\": \"2026-01-01T00:00:00Z\"}]",
        "[{\"what\": \"approved\", \"time\": \"soon\"}]",
        "[{\"what\": \"approved\", \"time\": \"2026-01-01T00:00:00Z\", \"expires\": \"\"}]",
        "[{\"what\": \"approved\"}]",
        "[{\"time\": \"2026-01-01T00:00:00Z\"}]",
        "[{\"what\": 1, \"time\": \"2026-01-01T00:00:00Z\"}]",
        "[\"approved\"]",
        "[null]",
        "[{\"what\": \"approved\", \"time\": \"2026-01-01T00:00:00Z\"}, 7]",
};

START_TEST(damage_is_told)
{
        struct cause cause = { 0 };
        json_t *list = json_loads(damaged[_i], 0, NULL);

        ck_assert_ptr_nonnull(list);
        ck_assert_int_eq(allowed_history_from_file(&decided, list, &cause), -1);
        ck_assert_msg(cause.text[0], "%s", damaged[_i]);
        json_decref(list);
}
END_TEST

START_TEST(a_long_list_of_a_file_is_bounded)
{
        struct cause cause = { 0 };
        json_t *list = json_array();

        for (int i = 0; i < 1000; i++)
                ck_assert_int_eq(json_array_append_new(list, json_pack("{ssss}", "what", "approved", "time",
                                                                       "2026-01-01T00:00:00Z")),
                                 0);
        ck_assert_int_eq(allowed_history_from_file(&decided, list, &cause), 0);
        ck_assert_uint_eq(decided.past_count, LIMIT_HISTORY);
        json_decref(list);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("allowed_history");
        TCase *tests = tcase_create("history");

        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, the_first_and_the_newest_stay);
        tcase_add_test(tests, a_copy_is_its_own);
        tcase_add_test(tests, what_is_written_is_read);
        tcase_add_loop_test(tests, damage_is_told, 0, count_of(damaged));
        tcase_add_test(tests, a_long_list_of_a_file_is_bounded);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
