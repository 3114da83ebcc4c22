/* SPDX-License-Identifier: MIT */
/* Whose clock is wrong where a certificate fails by its dates. */
#include "common/times.h"
#include "daemon/tls/clock_doubt.h"

#include <check.h>
#include <stdlib.h>

enum { DAY = 86400, LATER = 1900000000 }; /* a time after the build */

static char words[112];

static const char *doubt(time_t now, time_t server, time_t verified, const char *host)
{
        clock_doubt(now, 1000, server, verified, host, 25, words, sizeof words);
        return words;
}

START_TEST(times_in_greetings)
{
        ck_assert_int_eq(time_in_words("220 mx ESMTP Sendmail 8.17; Sun, 29 Nov 2026 20:00:00 +0100"),
                         1795978800);
        ck_assert_int_eq(time_in_words("220 mx ESMTP Exim 4.96 Sun, 29 Nov 2026 19:00:00 +0000"), 1795978800);
        ck_assert_int_eq(time_in_words("220 mx.example ESMTP Postfix (Debian/GNU)"), 0);
        ck_assert_int_eq(time_in_words("220 mx29 Nov 2026"), 0);
        ck_assert_int_eq(time_in_words(""), 0);
}
END_TEST

START_TEST(reasons)
{
        ck_assert_str_eq(doubt(LATER, 0, 0, "a"), "");
        ck_assert_str_eq(doubt(LATER, LATER + 3600, LATER - 3600, "a"), "");
        ck_assert_str_eq(doubt(3600, 0, 0, "a"), "before emailsecd was built");
        ck_assert_ptr_nonnull(strstr(doubt(LATER, 0, LATER + 2 * DAY, "a"), "verified here"));
        ck_assert_ptr_nonnull(strstr(doubt(LATER, LATER - 2 * DAY, 0, "a"), "the server's"));
        ck_assert_ptr_nonnull(strstr(doubt(LATER, LATER + 2 * DAY, 0, "a"), "the server's"));
}
END_TEST

START_TEST(forms_of_dates)
{
        ck_assert_int_eq(time_in_words("Sun, 29 Nov 2026 19:00:00 GMT"), 1795978800);
        ck_assert_int_eq(time_in_words("29-Nov-2026 20:00:00 +0100"), 1795978800);
        ck_assert_int_eq(time_in_words("Sunday, 29-Nov-26 19:00:00 GMT"), 0);
        ck_assert_int_eq(time_in_words("29 Nov 2026 19:00:00"), 0);
}
END_TEST

/* What others said counts on from then; a message only shows that it is no earlier. */
START_TEST(witnesses)
{
        clock_doubt_said(0, false, "that of x", 1000);
        ck_assert_str_eq(doubt(LATER, 0, 0, "a"), "");
        clock_doubt_said(LATER + 3600, false, "that of x", 1000);
        clock_doubt_said(LATER - 9 * DAY, true, "and mail was taken in at", 1000);
        ck_assert_str_eq(doubt(LATER, 0, 0, "a"), "");
        clock_doubt_said(LATER + 2 * DAY, true, "and mail was taken in at", 1000);
        ck_assert_ptr_nonnull(strstr(doubt(LATER, 0, 0, "a"), "and mail was taken in at 20"));
        clock_doubt_said(LATER - 2 * DAY, false, "that of x", 1000);
        ck_assert_ptr_nonnull(strstr(doubt(LATER, 0, 0, "a"), "that of x 20"));
        clock_doubt(LATER, 1000 + 25 * 3600 * 1000LL, 0, 0, "a", 25, words, sizeof words);
        ck_assert_str_eq(words, "");
        clock_doubt_said(LATER - 2 * DAY, false, "that of x", 1000);
        ck_assert_ptr_nonnull(strstr(doubt(LATER, LATER + 2 * DAY, 0, "a"), "the server's"));
}
END_TEST

START_TEST(one_server_alone_is_to_blame_itself)
{
        ck_assert(!clock_doubt_wanted(1000));
        clock_doubt_failed("a", 25, 1000);
        ck_assert(clock_doubt_wanted(2000) && !clock_doubt_wanted(1000 + 3 * 3600 * 1000));
        ck_assert_str_eq(doubt(LATER, 0, 0, "a"), "");
        clock_doubt_failed("a", 25, 1000);
        clock_doubt_failed("b", 25, 1000);
        ck_assert_ptr_nonnull(strstr(doubt(LATER, 0, 0, "a"), "other servers"));
        ck_assert_ptr_nonnull(strstr(doubt(LATER, 0, 0, "b"), "other servers"));
        clock_doubt_verified();
        ck_assert_str_eq(doubt(LATER, 0, 0, "a"), "");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("clock_doubt");
        TCase *tc = tcase_create("all");

        tcase_add_test(tc, times_in_greetings);
        tcase_add_test(tc, reasons);
        tcase_add_test(tc, forms_of_dates);
        tcase_add_test(tc, witnesses);
        tcase_add_test(tc, one_server_alone_is_to_blame_itself);
        suite_add_tcase(suite, tc);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
