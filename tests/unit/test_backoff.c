/* SPDX-License-Identifier: MIT */
/* Pauses that double, and accounts that are spread. */
#include "daemon/backoff.c"

#include <check.h>

START_TEST(delays_grow_to_an_hour_and_are_spread)
{
        static const int64_t middle[] = { 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600 };

        for (unsigned failures = 0; failures < count_of(middle); failures++) {
                int64_t fifth = middle[failures] / 5;
                for (uint32_t random = 0; random < 5000; random += 7) {
                        int64_t delay = backoff_delay(60, failures, random);
                        ck_assert_int_ge(delay, middle[failures] - fifth);
                        ck_assert_int_le(delay, middle[failures] + fifth);
                }
                ck_assert_int_ne(backoff_delay(60, failures, 1), backoff_delay(60, failures, 12));
        }
        ck_assert_int_le(backoff_delay(60, 4000000000u, 0), 3600);
        ck_assert_int_eq(backoff_delay(1, 0, 9), 1);
        ck_assert(!backoff_too_far(1000, 2000) && !backoff_too_far(2000 + 3600 + 720, 2000));
        ck_assert(backoff_too_far(2000 + 3600 + 721, 2000));
}
END_TEST

START_TEST(accounts_are_spread_over_half_a_minute_at_most)
{
        ck_assert_uint_eq(backoff_stagger_ms(0), 0);
        ck_assert_uint_eq(backoff_stagger_ms(1), 4);
        ck_assert_uint_eq(backoff_stagger_ms(7499), 29996);
        ck_assert_uint_eq(backoff_stagger_ms(7500), 30000);
        ck_assert_uint_eq(backoff_stagger_ms(SIZE_MAX), 30000);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("backoff");
        TCase *tests = tcase_create("backoff");

        tcase_add_test(tests, delays_grow_to_an_hour_and_are_spread);
        tcase_add_test(tests, accounts_are_spread_over_half_a_minute_at_most);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
