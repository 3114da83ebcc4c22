/* SPDX-License-Identifier: MIT */
/* Queue policy: retry times, what a server's word means, the day. */
#include "daemon/outgoing/queue_policy.c"

#include <check.h>

START_TEST(delays_grow_to_an_hour_and_are_spread)
{
        static const int64_t middle[] = { 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600 };

        for (unsigned failures = 0; failures < count_of(middle); failures++) {
                int64_t fifth = middle[failures] / 5;
                for (uint32_t random = 0; random < 5000; random += 7) {
                        int64_t delay = outbox_delay(failures, random);
                        ck_assert_int_ge(delay, middle[failures] - fifth);
                        ck_assert_int_le(delay, middle[failures] + fifth);
                }
                ck_assert_int_ne(outbox_delay(failures, 1), outbox_delay(failures, 12));
        }
        ck_assert_int_le(outbox_delay(4000000000u, 0), 3600);
        ck_assert_int_eq(outbox_account_delay(1, 0, 9), 1);
        ck_assert(!outbox_too_far(1000, 2000) && !outbox_too_far(2000 + 3600 + 720, 2000));
        ck_assert(outbox_too_far(2000 + 3600 + 721, 2000));
}
END_TEST

static const struct {
        enum smtp_outcome outcome;
        enum cause_code session; /* CAUSE_NONE: the session is fine */
        enum queue_state state;
        bool later;
} verdicts[] = {
        { OUTCOME_SENT, CAUSE_NONE, QUEUE_SENT, false },
        { OUTCOME_SENT, CAUSE_CLOSED, QUEUE_SENT, false },
        { OUTCOME_REFUSED, CAUSE_NONE, QUEUE_FAILED, false },
        { OUTCOME_DEFERRED, CAUSE_NONE, QUEUE_DEFERRED, true },
        { OUTCOME_AMBIGUOUS, CAUSE_CLOSED, QUEUE_AMBIGUOUS, true },
        { OUTCOME_NONE, CAUSE_CLOSED, QUEUE_DEFERRED, true },
        { OUTCOME_NONE, CAUSE_SERVER_BUSY, QUEUE_DEFERRED, true },
        { OUTCOME_NONE, CAUSE_NONE, QUEUE_DEFERRED, true },
        /* what stops the account never touches the message */
        { OUTCOME_NONE, CAUSE_AUTHENTICATION, QUEUE_QUEUED, false },
        { OUTCOME_NONE, CAUSE_CHALLENGE, QUEUE_QUEUED, false },
        { OUTCOME_NONE, CAUSE_CERTIFICATE, QUEUE_QUEUED, false },
        { OUTCOME_NONE, CAUSE_NO_STARTTLS, QUEUE_QUEUED, false },
};

START_TEST(a_servers_word_decides)
{
        struct smtp_recipient recipient = { .outcome = verdicts[_i].outcome, .reply = "words", .cause = CAUSE_REFUSED };
        struct cause session;
        cause_set(&session, verdicts[_i].session, "session words");
        struct outbox_verdict verdict =
                outbox_judge(&recipient, verdicts[_i].session ? &session : NULL, 0, 1000, 0);

        ck_assert_int_eq(verdict.state, verdicts[_i].state);
        ck_assert_int_eq(verdict.next_attempt > 1000, verdicts[_i].later);
        if (verdict.state == QUEUE_AMBIGUOUS)
                ck_assert_str_eq(verdict.reply, "session words");
        if (verdict.state == QUEUE_FAILED)
                ck_assert_str_eq(verdict.reply, "words");
}
END_TEST

START_TEST(the_daily_limit)
{
        ck_assert_uint_eq(outbox_left_today(0, 1000000), UINT64_MAX);
        ck_assert_uint_eq(outbox_left_today(100, 0), 100);
        ck_assert_uint_eq(outbox_left_today(100, 99), 1);
        ck_assert_uint_eq(outbox_left_today(100, 100), 0);
        ck_assert_uint_eq(outbox_left_today(100, 500), 0);
}
END_TEST

START_TEST(the_day_ends_at_local_midnight)
{
        setenv("TZ", "Europe/Berlin", 1);
        tzset();
        time_t noon = 1742727600; /* 2025-03-23 12:00 +01:00 */
        ck_assert_int_eq(outbox_day(noon), 20250323);
        ck_assert_int_eq(outbox_until_midnight(noon), 12 * 3600);
        time_t before_dst = 1743289200; /* 2025-03-30 00:00 +01:00: a day of 23 hours */
        ck_assert_int_eq(outbox_day(before_dst), 20250330);
        ck_assert_int_eq(outbox_until_midnight(before_dst), 23 * 3600);
        ck_assert_int_eq(outbox_day(before_dst + 23 * 3600), 20250331);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("outbox");
        TCase *tests = tcase_create("outbox");

        tcase_add_test(tests, delays_grow_to_an_hour_and_are_spread);
        tcase_add_loop_test(tests, a_servers_word_decides, 0, count_of(verdicts));
        tcase_add_test(tests, the_daily_limit);
        tcase_add_test(tests, the_day_ends_at_local_midnight);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
