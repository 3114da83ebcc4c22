/* SPDX-License-Identifier: MIT */
/* IDLE is renewed in time, and thousands of lost sessions do not come back in one instant. */
#include "daemon/incoming/poll_schedule.c"

#include <check.h>

enum { MINUTE_MS = 60 * 1000 };

START_TEST(idle_is_renewed_within_29_minutes)
{
        static const int64_t rates[] = { 1, 59, 60, 150, 600, 3600, 31 * 86400 };

        for (size_t i = 0; i < count_of(rates); i++) {
                for (uint64_t random = 0; random <= UINT32_MAX; random += 16777259) {
                        int64_t one = poll_schedule_idle_ms(rates[i], false, (uint32_t)random);
                        int64_t several = poll_schedule_idle_ms(rates[i], true, (uint32_t)random);
                        ck_assert_int_gt(one, 0);
                        ck_assert_int_le(one, 25 * MINUTE_MS);
                        ck_assert_int_le(one, rates[i] * 10 * 1000);
                        ck_assert_int_le(several, rates[i] * 1000);
                        ck_assert_int_le(several, 25 * MINUTE_MS);
                }
        }
}
END_TEST

START_TEST(renewals_are_spread)
{
        ck_assert_int_eq(poll_schedule_idle_ms(3600, false, 0), 25 * MINUTE_MS / 2);
        ck_assert_int_eq(poll_schedule_idle_ms(3600, false, 25 * MINUTE_MS / 2), 25 * MINUTE_MS);
        ck_assert_int_eq(poll_schedule_idle_ms(60, false, 0), 5 * MINUTE_MS);
        ck_assert_int_eq(poll_schedule_idle_ms(60, true, 0), MINUTE_MS / 2);
}
END_TEST

START_TEST(lost_sessions_come_back_spread)
{
        ck_assert_int_eq(poll_schedule_again_ms(1, 4), 1004);
        ck_assert_int_lt(poll_schedule_again_ms(10, UINT32_MAX), 1100);
        ck_assert_int_eq(poll_schedule_again_ms(1000, 4000), 5000);
        ck_assert_int_eq(poll_schedule_again_ms(1000, 4001), 1000);
        ck_assert_int_eq(poll_schedule_again_ms(SIZE_MAX, 30000), 31000);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("rhythm");
        TCase *all = tcase_create("all");

        tcase_add_test(all, idle_is_renewed_within_29_minutes);
        tcase_add_test(all, renewals_are_spread);
        tcase_add_test(all, lost_sessions_come_back_spread);
        suite_add_tcase(suite, all);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
