/* SPDX-License-Identifier: MIT */
/* Servers that do not let anybody wait, and for how long that is remembered. */
#include "daemon/incoming/poll_schedule.c"

#include <check.h>

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
        Suite *suite = suite_create("waits");
        TCase *all = tcase_create("all");

        tcase_add_test(all, three_short_sessions_end_the_waiting);
        tcase_add_test(all, what_is_well_forgives);
        tcase_add_test(all, announcements_of_nothing_meet_growing_pauses);
        tcase_add_test(all, refused_idle_is_tried_again_now_and_then);
        suite_add_tcase(suite, all);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
