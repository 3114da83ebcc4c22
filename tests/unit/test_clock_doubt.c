/* SPDX-License-Identifier: MIT */
/* Whose clock is wrong where a certificate fails by its dates. */
#include "daemon/tls/clock_doubt.h"

#include <check.h>
#include <stdlib.h>

enum { DAY = 86400, LATER = 1900000000 }; /* a time after the build */

static char words[64];

static const char *doubt(time_t now, time_t server, time_t verified, const char *host)
{
        clock_doubt(now, 1000, server, verified, host, 25, words, sizeof words);
        return words;
}

START_TEST(times_in_greetings)
{
        ck_assert_int_eq(clock_doubt_time_in("220 mx ESMTP Sendmail 8.17; Sun, 29 Nov 2026 20:00:00 +0100"), 1795978800);
        ck_assert_int_eq(clock_doubt_time_in("220 mx ESMTP Exim 4.96 Sun, 29 Nov 2026 19:00:00 +0000"), 1795978800);
        ck_assert_int_eq(clock_doubt_time_in("220 mx.example ESMTP Postfix (Debian/GNU)"), 0);
        ck_assert_int_eq(clock_doubt_time_in("220 mx29 Nov 2026"), 0);
        ck_assert_int_eq(clock_doubt_time_in(""), 0);
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

START_TEST(one_server_alone_is_to_blame_itself)
{
        clock_doubt_failed("a", 25, 1000);
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
        tcase_add_test(tc, one_server_alone_is_to_blame_itself);
        suite_add_tcase(suite, tc);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
