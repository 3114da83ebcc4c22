/* SPDX-License-Identifier: MIT */
/* What a receiver decides: when it comes back, and how it waits where a server lets nobody wait. */
#include "daemon/incoming/receiver_rules.c"

#include <check.h>

/* ---- when to renew, and when to come back ---- */

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

/* ---- servers that do not let anybody wait ---- */

enum { SECOND = 1000, HOUR = 3600 * SECOND };

START_TEST(three_short_sessions_end_the_waiting)
{
        struct waits waits = { 0 };

        for (int64_t i = 1; i < WAITS_LOST_MOST; i++) {
                poll_idle_ended(&waits, WAIT_LOST, 5 * SECOND, i);
                ck_assert(poll_idle_may_idle(&waits, i) && !poll_idle_apart(&waits, i));
        }
        ck_assert_int_eq(poll_idle_new_session(&waits, 1000), 2000);
        poll_idle_ended(&waits, WAIT_LOST, 5 * SECOND, 10);
        ck_assert(!poll_idle_may_idle(&waits, 10) && poll_idle_apart(&waits, 10));
        ck_assert(!poll_idle_may_idle(&waits, 9 + HOUR) && poll_idle_may_idle(&waits, 10 + HOUR) &&
                  !poll_idle_apart(&waits, 10 + HOUR));
        poll_idle_ended(&waits, WAIT_LOST, 5 * SECOND, 10 + HOUR); /* one try only */
        ck_assert(poll_idle_apart(&waits, 9 + 3 * HOUR) && !poll_idle_apart(&waits, 10 + 3 * HOUR));
        for (int i = 0; i < 40; i++)
                poll_idle_ended(&waits, WAIT_LOST, 0, 0);
        ck_assert(poll_idle_apart(&waits, 24 * HOUR - 1) && !poll_idle_apart(&waits, 24 * HOUR));
}
END_TEST

START_TEST(what_is_well_forgives)
{
        static const struct {
                enum waits_end end;
                int64_t lasted;
        } well[] = { { WAIT_LOST, WAITS_SHORT_MS },
                     { WAIT_NEWS, 1 },
                     { WAIT_OURS, 1 },
                     { WAIT_NOTHING, WAITS_SHORT_MS } };

        for (size_t i = 0; i < count_of(well); i++) {
                struct waits waits = { 0 };
                poll_idle_ended(&waits, WAIT_LOST, 1, 0);
                poll_idle_ended(&waits, WAIT_LOST, 1, 0);
                poll_idle_ended(&waits, well[i].end, well[i].lasted, 0);
                poll_idle_ended(&waits, WAIT_LOST, 1, 0);
                poll_idle_ended(&waits, WAIT_LOST, 1, 0);
                ck_assert(!poll_idle_apart(&waits, 0));
        }
}
END_TEST

START_TEST(announcements_of_nothing_meet_growing_pauses)
{
        struct waits waits = { 0 };
        int64_t last = 0, all = 0;

        for (unsigned i = 0; i < 100; i++) {
                poll_idle_ended(&waits, WAIT_NOTHING, 1, 0);
                ck_assert_int_ge(poll_idle_pause(&waits), last);
                last = poll_idle_pause(&waits);
                all += last;
                if (i < WAITS_NOTHING_MOST)
                        ck_assert_int_eq(last, 0);
        }
        ck_assert_int_eq(last, WAITS_PAUSE_MOST_MS);
        ck_assert_int_gt(all, 90 * WAITS_PAUSE_MOST_MS);
        poll_idle_ended(&waits, WAIT_OURS, 1, 0);
        ck_assert_int_eq(poll_idle_pause(&waits), WAITS_PAUSE_MOST_MS);
        poll_idle_ended(&waits, WAIT_NEWS, 1, 0);
        ck_assert_int_eq(poll_idle_pause(&waits), 0);
}
END_TEST

START_TEST(refused_idle_is_tried_again_now_and_then)
{
        struct waits waits = { 0 };

        poll_idle_refused(&waits, 5);
        ck_assert(!poll_idle_may_idle(&waits, 5) && !poll_idle_apart(&waits, 5) &&
                  poll_idle_may_idle(&waits, 5 + HOUR));
        poll_idle_refused(&waits, 5 + HOUR);
        ck_assert(!poll_idle_may_idle(&waits, 4 + 3 * HOUR) && poll_idle_may_idle(&waits, 5 + 3 * HOUR));
        poll_idle_ended(&waits, WAIT_OURS, WAITS_SHORT_MS, 5 + 2 * HOUR); /* a rest, not IDLE */
        ck_assert(!poll_idle_may_idle(&waits, 4 + 3 * HOUR));
        poll_idle_ended(&waits, WAIT_OURS, WAITS_SHORT_MS, 5 + 3 * HOUR);
        poll_idle_refused(&waits, 0);
        ck_assert(poll_idle_may_idle(&waits, HOUR));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("receiver_rules");
        TCase *times = tcase_create("times"), *waits = tcase_create("waits");

        tcase_add_test(times, idle_is_renewed_within_29_minutes);
        tcase_add_test(times, renewals_are_spread);
        tcase_add_test(times, lost_sessions_come_back_spread);
        tcase_add_test(waits, three_short_sessions_end_the_waiting);
        tcase_add_test(waits, what_is_well_forgives);
        tcase_add_test(waits, announcements_of_nothing_meet_growing_pauses);
        tcase_add_test(waits, refused_idle_is_tried_again_now_and_then);
        suite_add_tcase(suite, times);
        suite_add_tcase(suite, waits);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
