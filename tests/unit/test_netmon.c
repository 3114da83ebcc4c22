/* SPDX-License-Identifier: MIT */
/* The clock being set and the machine waking up, by clocks of the test's own; addresses and routes are told
 * by the kernel in the system test. */
#include <time.h>

static struct timespec clocks[16];
static int test_clock(clockid_t clock, struct timespec *out);
#define clock_gettime test_clock
#include "daemon/netmon.c"
#undef clock_gettime

#include <check.h>

static int64_t told_clock, told_woke;

static int test_clock(clockid_t clock, struct timespec *out)
{
        *out = clocks[clock];
        return 0;
}

static void on_set(int64_t seconds)
{
        told_clock = seconds;
}

static void on_woke(int64_t seconds)
{
        told_woke = seconds;
}

static void pass(long wall, long boot, long running)
{
        clocks[CLOCK_REALTIME].tv_sec += wall;
        clocks[CLOCK_BOOTTIME].tv_sec += boot;
        clocks[CLOCK_MONOTONIC].tv_sec += running;
        told_clock = told_woke = 0;
        look_at_clock(true);
}

START_TEST(clock_and_sleep_are_told_apart)
{
        me.user = (struct netmon_user){ .clock = on_set, .woke = on_woke };
        clocks[CLOCK_REALTIME].tv_sec = 1800000000;
        look_at_clock(false);
        pass(100, 100, 100);
        ck_assert(told_clock == 0 && told_woke == 0);
        pass(-3600, 0, 0);
        ck_assert(told_clock == -3600 && told_woke == 0);
        pass(7205, 5, 5);
        ck_assert(told_clock == 7200 && told_woke == 0);
        pass(1, 0, 0); /* an adjustment */
        ck_assert(told_clock == 0 && told_woke == 0);
        pass(600, 600, 0); /* asleep: the clock went on */
        ck_assert(told_clock == 0 && told_woke == 600);
        pass(5, 5, 0);
        ck_assert(told_clock == 0 && told_woke == 0);
}
END_TEST

START_TEST(the_kernel_is_asked)
{
        struct cause cause = { 0 };
        struct netmon_user user = { .clock = on_set, .woke = on_woke };

        ck_assert_int_eq(loop_open(&cause), 0);
        ck_assert_int_eq(netmon_open(&user, &cause), 0);
        for (int i = 0; i < 1000 && !me.asked_before; i++)
                loop_turn(); /* the kernel answers at once, part by part */
        ck_assert(me.asked_before && !me.asking);
        netmon_close();
        netmon_close();
        loop_close();
}
END_TEST

START_TEST(bad_attributes_do_no_harm)
{
        uint8_t bytes[12] = { 0 };
        struct rtattr *attribute = (struct rtattr *)(void *)bytes;

        for (unsigned len = 0; len < 64; len++) {
                attribute->rta_len = (unsigned short)len;
                attribute->rta_type = IFA_ADDRESS;
                for (size_t left = 0; left <= sizeof bytes; left++)
                        (void)mix_attributes(1, attribute, left, WANTED(IFA_ADDRESS));
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("netmon");
        TCase *cases = tcase_create("netmon");

        tcase_add_test(cases, clock_and_sleep_are_told_apart);
        tcase_add_test(cases, the_kernel_is_asked);
        tcase_add_test(cases, bad_attributes_do_no_harm);
        suite_add_tcase(suite, cases);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
