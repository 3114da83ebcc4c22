/* SPDX-License-Identifier: MIT */
/* Requests for delivery reports: the words, and what is refused. */
#include "common/dsn.c"

#include <check.h>

static const struct {
        const char *given, *kept; /* NULL: refused */
} notifies[] = {
        { "never", "NEVER" },
        { "Success", "SUCCESS" },
        { "delay,failure", "FAILURE,DELAY" },
        { "delay , FAILURE,\tsuccess ", "SUCCESS,FAILURE,DELAY" },
        { "", NULL },
        { " ", NULL },
        { "never,failure", NULL },
        { "failure,never", NULL },
        { "failure,failure", NULL },
        { "failure,", NULL },
        { ",failure", NULL },
        { "failure delay", NULL },
        { "failures", NULL },
        { "SUCCESS\r\nRSET", NULL },
};

START_TEST(when_a_report_is_wanted)
{
        char out[DSN_NOTIFY_SIZE];
        struct cause cause = { 0 };
        int result = dsn_notify(notifies[_i].given, out, &cause);

        ck_assert_int_eq(result, notifies[_i].kept ? 0 : -1);
        if (notifies[_i].kept)
                ck_assert_str_eq(out, notifies[_i].kept);
        else
                ck_assert_int_eq(cause.code, CAUSE_INVALID);
}
END_TEST

START_TEST(how_much_comes_back)
{
        char out[DSN_RETURN_SIZE];
        struct cause cause = { 0 };

        ck_assert_int_eq(dsn_return("full", out, &cause), 0);
        ck_assert_str_eq(out, "FULL");
        ck_assert_int_eq(dsn_return("Hdrs", out, &cause), 0);
        ck_assert_str_eq(out, "HDRS");
        ck_assert_int_eq(dsn_return("headers", out, &cause), -1);
        ck_assert_int_eq(dsn_return("", out, &cause), -1);
}
END_TEST

START_TEST(a_name_for_the_envelope)
{
        struct cause cause = { 0 };
        char longest[102];

        memset(longest, 'x', sizeof longest);
        longest[100] = '\0';
        ck_assert_int_eq(dsn_envelope_id("QQ314159", &cause), 0);
        ck_assert_int_eq(dsn_envelope_id("a b=c+d", &cause), 0);
        ck_assert_int_eq(dsn_envelope_id(longest, &cause), 0);
        longest[99] = '+'; /* three on the wire */
        ck_assert_int_eq(dsn_envelope_id(longest, &cause), -1);
        ck_assert_int_eq(dsn_envelope_id("", &cause), -1);
        ck_assert_int_eq(dsn_envelope_id("a\nb", &cause), -1);
        ck_assert_int_eq(dsn_envelope_id("caf\xc3\xa9", &cause), -1);
}
END_TEST

START_TEST(to_whom_it_went_at_first)
{
        struct cause cause = { 0 };
        char longest[502] = "rfc822;";

        memset(longest + 7, 'x', 493);
        longest[500] = '\0';
        ck_assert_int_eq(dsn_original("rfc822;a+b@c.example", &cause), 0);
        ck_assert_int_eq(dsn_original("X-local-1;j r=1", &cause), 0);
        ck_assert_int_eq(dsn_original(longest, &cause), 0);
        longest[499] = '+'; /* three on the wire */
        ck_assert_int_eq(dsn_original(longest, &cause), -1);
        static const char *const bad[] = { "",
                                           ";a@b",
                                           "a@b",
                                           "rfc822;",
                                           "rfc 822;a@b",
                                           "rfc822;a\r\nX: y",
                                           "rfc822;caf\xc3\xa9",
                                           "an-address-type-of-too-many-letters;a" };
        for (size_t i = 0; i < count_of(bad); i++)
                ck_assert_msg(dsn_original(bad[i], &cause) == -1, "%s", bad[i]);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("dsn");
        TCase *tc = tcase_create("all");

        tcase_add_loop_test(tc, when_a_report_is_wanted, 0, (int)count_of(notifies));
        tcase_add_test(tc, how_much_comes_back);
        tcase_add_test(tc, a_name_for_the_envelope);
        tcase_add_test(tc, to_whom_it_went_at_first);
        suite_add_tcase(suite, tc);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
