/* SPDX-License-Identifier: MIT */
/* The daily limit and the day. */
#include "daemon/accounts/quota.c"

#include <check.h>

START_TEST(the_daily_limit)
{
        ck_assert_uint_eq(quota_left(0, 1000000), UINT64_MAX);
        ck_assert_uint_eq(quota_left(100, 0), 100);
        ck_assert_uint_eq(quota_left(100, 99), 1);
        ck_assert_uint_eq(quota_left(100, 100), 0);
        ck_assert_uint_eq(quota_left(100, 500), 0);
}
END_TEST

START_TEST(the_day_ends_at_local_midnight)
{
        setenv("TZ", "Europe/Berlin", 1);
        tzset();
        time_t noon = 1742727600; /* 2025-03-23 12:00 +01:00 */
        ck_assert_int_eq(quota_day(noon), 20250323);
        ck_assert_int_eq(quota_until_midnight(noon), 12 * 3600);
        time_t before_dst = 1743289200; /* 2025-03-30 00:00 +01:00: a day of 23 hours */
        ck_assert_int_eq(quota_day(before_dst), 20250330);
        ck_assert_int_eq(quota_until_midnight(before_dst), 23 * 3600);
        ck_assert_int_eq(quota_day(before_dst + 23 * 3600), 20250331);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("quota");
        TCase *tests = tcase_create("quota");

        tcase_add_test(tests, the_daily_limit);
        tcase_add_test(tests, the_day_ends_at_local_midnight);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
