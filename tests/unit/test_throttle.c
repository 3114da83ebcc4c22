/* SPDX-License-Identifier: MIT */
/* Slowing down for a server by a given clock, and the way back. */
#include "daemon/session/throttle.c"

#include <check.h>

static struct pace pace;
static int64_t now;

/* A wish that is no repetition; the middle of the spread pause. */
static int64_t down(unsigned running)
{
        now += 10000;
        return throttle_down(&pace, now, running, 1);
}

static void fresh(void)
{
        now = 1;
        throttle_reset(&pace);
}

START_TEST(sessions_are_halved_first)
{
        ck_assert_int_eq(down(8), 0);
        ck_assert_uint_eq(pace.sessions, 4);
        ck_assert_int_eq(down(4), 0);
        ck_assert_uint_eq(pace.sessions, 2);
        ck_assert_int_eq(down(2), 0);
        ck_assert_uint_eq(pace.sessions, 1);
        ck_assert_int_gt(down(1), 0);
        ck_assert_uint_eq(pace.sessions, 1);
}
END_TEST

START_TEST(pauses_double_up_to_ten_minutes)
{
        static const int64_t middle[] = { 5, 10, 20, 40, 80, 160, 320, 600, 600, 600 };

        for (size_t i = 0; i < count_of(middle); i++) {
                int64_t pause = down(1);
                ck_assert_int_ge(pause, middle[i] - middle[i] / 5);
                ck_assert_int_le(pause, middle[i] + middle[i] / 5);
        }
        pace.pauses = 4000000000u;
        ck_assert_int_le(down(1), 720);
}
END_TEST

START_TEST(wishes_that_come_together_are_one)
{
        ck_assert_int_gt(down(1), 0);
        ck_assert_int_eq(throttle_down(&pace, now, 1, 0), 0);
        ck_assert_int_eq(throttle_down(&pace, now + 999, 1, 0), 0);
        ck_assert_uint_eq(pace.pauses, 1);
        ck_assert_int_gt(throttle_down(&pace, now + 1000, 1, 0), 0);
        ck_assert_uint_eq(pace.pauses, 2);
}
END_TEST

static void go_well(unsigned messages)
{
        while (messages--)
                throttle_well(&pace);
}

START_TEST(steps_are_taken_back_one_by_one)
{
        for (int i = 0; i < 3; i++)
                (void)!down(1);
        ck_assert_uint_eq(pace.pauses, 3);
        go_well(49);
        ck_assert_uint_eq(pace.pauses, 3);
        go_well(1);
        ck_assert_uint_eq(pace.pauses, 2);
        go_well(100);
        ck_assert_uint_eq(pace.pauses, 0);
        ck_assert_uint_eq(pace.sessions, 1);
        go_well(50);
        ck_assert_uint_eq(pace.sessions, 2);
        go_well(49);
        ck_assert_int_eq(down(2), 0); /* a new wish: the calm begins anew */
        ck_assert_uint_eq(pace.sessions, 1);
        go_well(1);
        ck_assert_uint_eq(pace.sessions, 1);
        go_well(100000);
        ck_assert_uint_eq(pace.sessions, PACE_SESSIONS_MOST);
}
END_TEST

START_TEST(one_more_that_is_refused_is_tried_again_less_and_less_often)
{
        now += 10000;
        throttle_refused(&pace, now, 10);
        throttle_refused(&pace, now, 10); /* those that come together are one */
        ck_assert_uint_eq(pace.sessions, 5);
        ck_assert_uint_eq(pace.pauses, 0);
        go_well(99);
        ck_assert_uint_eq(pace.sessions, 5);
        go_well(1);
        ck_assert_uint_eq(pace.sessions, 6);
        for (int i = 0; i < 20; i++) {
                now += 10000;
                throttle_refused(&pace, now, 1); /* one goes on, without a pause */
                ck_assert_uint_eq(pace.sessions, 1);
                ck_assert_uint_eq(pace.pauses, 0);
        }
        now += 10000;
        throttle_reset(&pace);
        throttle_refused(&pace, now, 4);
        throttle_refused(&pace, now,
                         1); /* three have ended meanwhile: none is tried in their place at once */
        ck_assert_uint_eq(pace.sessions, 1);
        for (int i = 0; i < 5; i++)
                throttle_refused(&pace, now += 10000, 1);
        go_well(3199);
        ck_assert_uint_eq(pace.sessions, 1);
        go_well(1);
        ck_assert_uint_eq(pace.sessions, 2);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("pace");
        TCase *tc = tcase_create("all");

        tcase_add_checked_fixture(tc, fresh, NULL);
        tcase_add_test(tc, sessions_are_halved_first);
        tcase_add_test(tc, pauses_double_up_to_ten_minutes);
        tcase_add_test(tc, wishes_that_come_together_are_one);
        tcase_add_test(tc, steps_are_taken_back_one_by_one);
        tcase_add_test(tc, one_more_that_is_refused_is_tried_again_less_and_less_often);
        suite_add_tcase(suite, tc);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
