/* SPDX-License-Identifier: MIT */
/* What worked for long is tried again a few times before it is called a fault. */
#include "daemon/accounts/fault_grace.c"

#include "state_folder.h"

enum { NOON = 1742727600 };

static struct cause refused(void)
{
        struct cause cause;

        cause_set(&cause, CAUSE_AUTHENTICATION, "the server refused the sign-in");
        return cause;
}

static void worked_for(int64_t seconds)
{
        fault_grace_worked("a", NOON - seconds);
        fault_grace_worked("a", NOON);
}

START_TEST(few_tries_with_growing_pauses)
{
        int64_t now = NOON + 600;

        worked_for(8 * DAY);
        for (size_t i = 0; i < count_of(pauses); i++) {
                struct cause cause = refused();
                int64_t pause = fault_grace_cause("a", now, &cause);
                ck_assert_int_eq(pause, pauses[i]);
                ck_assert_int_eq(cause_class(&cause), CLASS_DOWN);
                ck_assert_ptr_nonnull(strstr(cause.text, "the server refused the sign-in; "));
                ck_assert_ptr_nonnull(strstr(cause_remedy_of(&cause), "account password NAME"));
                /* a second session that fails, or somebody who polls: no try more, no pause more */
                cause = refused();
                ck_assert_int_eq(fault_grace_cause("a", now + 10, &cause), pauses[i] - 10);
                now += pause;
        }
        struct cause cause = refused();
        ck_assert_int_eq(fault_grace_cause("a", now, &cause), 0);
        ck_assert_int_eq(cause.code, CAUSE_AUTHENTICATION);
        ck_assert_int_eq(fault_grace_cause("a", now + 3600, &cause), 0);
        fault_grace_worked("a", now + 7200); /* it was right to try */
        ck_assert_int_eq(fault_grace_cause("a", now + 7300, &cause), pauses[0]);
}
END_TEST

START_TEST(what_is_new_or_old_counts_at_once)
{
        struct cause cause = refused();

        ck_assert_int_eq(fault_grace_cause("a", NOON, &cause), 0);
        worked_for(DAY - 1);
        ck_assert_int_eq(fault_grace_cause("a", NOON, &cause), 0);
        worked_for(0);
        ck_assert_int_eq(fault_grace_cause("a", NOON + LATELY + 1, &cause), 0);
        fault_grace_forget("a");
        worked_for(2 * DAY);
        ck_assert_int_gt(fault_grace_cause("a", NOON, &cause), 0);
        fault_grace_forget("a"); /* another password */
        cause = refused();
        ck_assert_int_eq(fault_grace_cause("a", NOON + 1, &cause), 0);
}
END_TEST

START_TEST(clear_causes_are_not_doubted)
{
        static const enum cause_code clear[] = { CAUSE_CERTIFICATE, CAUSE_CHALLENGE,
                                                 CAUSE_NO_STARTTLS, CAUSE_SERVER_SIGNATURE,
                                                 CAUSE_SECRET,      CAUSE_PLAINTEXT_LOGIN,
                                                 CAUSE_CONNECT };
        struct cause cause;

        worked_for(2 * DAY);
        for (size_t i = 0; i < count_of(clear); i++) {
                cause_set(&cause, clear[i], "x");
                ck_assert_int_eq(fault_grace_cause("a", NOON, &cause), 0);
                ck_assert_int_eq(cause.code, clear[i]);
        }
        cause = refused();
        cause_remedy(&cause, "make an app password");
        ck_assert_int_eq(fault_grace_cause("a", NOON, &cause), 0);
}
END_TEST

/* An odd answer is doubted from the first day; and sessions that come about while it comes again do not end
 * the count. */
START_TEST(odd_answers_come_to_an_end)
{
        struct cause cause;
        int64_t now = NOON;

        cause_set(&cause, CAUSE_PROTOCOL, "a stray line");
        ck_assert_int_eq(fault_grace_cause("a", now, &cause), 0);
        for (size_t i = 0; i < count_of(pauses); i++) {
                fault_grace_worked("a", now);
                cause_set(&cause, CAUSE_PROTOCOL, "a stray line");
                ck_assert_int_eq(fault_grace_cause("a", now + 1, &cause), pauses[i]);
                ck_assert_int_eq(cause.code, CAUSE_SERVER_BUSY);
                now += 1 + pauses[i];
        }
        fault_grace_worked("a", now);
        cause_set(&cause, CAUSE_PROTOCOL, "a stray line");
        ck_assert_int_eq(fault_grace_cause("a", now + 1, &cause), 0);
        now += DAY;
        fault_grace_worked("a", now); /* good for a day */
        ck_assert_int_eq(fault_grace_cause("a", now + 1, &cause), pauses[0]);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("doubt");
        TCase *tc = tcase_create("all");

        tcase_add_checked_fixture(tc, folder_open, folder_close);
        tcase_add_test(tc, few_tries_with_growing_pauses);
        tcase_add_test(tc, what_is_new_or_old_counts_at_once);
        tcase_add_test(tc, clear_causes_are_not_doubted);
        tcase_add_test(tc, odd_answers_come_to_an_end);
        suite_add_tcase(suite, tc);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
