/* SPDX-License-Identifier: MIT */
/* Dates, durations and sizes, in and out. */
#include "common/times.c"

#include <check.h>

static const struct {
        const char *text;
        int64_t time; /* -1: refused */
} dates[] = {
        { "2026-11-23T18:51:00Z", 1795459860 },
        { "2026-11-23t18:51:00z", 1795459860 },
        { "2026-11-23 18:51:00Z", 1795459860 },
        { "2026-11-23T19:51:00+01:00", 1795459860 },
        { "2026-11-23T13:21:00-05:30", 1795459860 },
        { "2026-11-23T18:51:00.123456Z", 1795459860 },
        { "2026-11-23", 1795392000 },
        { "2024-02-29", 1709164800 },
        { "1970-01-02", 86400 },
        { "2016-12-31T23:59:60Z", 1483228800 },
        { "9999-12-31T23:59:59Z", 253402300799 },
        { "", -1 },
        { "2026-02-29", -1 },
        { "9999-12-31T23:59:59Z", TIME_LAST },
        { "9999-12-31T23:59:59-00:01", -1 },
        { "2026-13-01", -1 },
        { "2026-00-01", -1 },
        { "2026-1-1", -1 },
        { "2026-11-23T18:51", -1 },
        { "2026-11-23T18:51:00", -1 },
        { "2026-11-23T24:00:00Z", -1 },
        { "2026-11-23T18:51:00.Z", -1 },
        { "2026-11-23T18:51:00+1:00", -1 },
        { "2026-11-23T18:51:00+01:60", -1 },
        { "2026-11-23T18:51:00Zx", -1 },
        { "2026-11-23x", -1 },
        { " 2026-11-23", -1 },
        { "+026-11-23", -1 },
        { "30d", -1 },
};

START_TEST(dates_in)
{
        struct cause cause = { 0 };
        time_t time = 12345;

        if (dates[_i].time < 0) {
                ck_assert_int_eq(time_parse(dates[_i].text, &time, &cause), -1);
                ck_assert_int_eq((int)cause.code, CAUSE_INVALID);
                ck_assert_int_eq(time, 12345);
        } else {
                ck_assert_int_eq(time_parse(dates[_i].text, &time, &cause), 0);
                ck_assert_int_eq(time, dates[_i].time);
        }
}
END_TEST

START_TEST(dates_out)
{
        char text[48];

        time_rfc3339(1795459860, text);
        ck_assert_str_eq(text, "2026-11-23T18:51:00Z");
        time_rfc3339(0, text);
        ck_assert_str_eq(text, "");
        ck_assert_int_eq(setenv("TZ", "UTC0", 1), 0);
        tzset();
        time_rfc5322(1795459860, text);
        ck_assert_str_eq(text, "Mon, 23 Nov 2026 18:51:00 +0000");
        ck_assert_int_eq(setenv("TZ", "XYZ3:30", 1), 0);
        tzset();
        time_rfc5322(1795459860, text);
        ck_assert_str_eq(text, "Mon, 23 Nov 2026 15:21:00 -0330");
        ck_assert_int_eq(setenv("TZ", "XYZ-5:45", 1), 0);
        tzset();
        time_rfc5322(1795392000 - 3 * 86400, text);
        ck_assert_str_eq(text, "Fri, 20 Nov 2026 05:45:00 +0545");
}
END_TEST

static const struct {
        const char *text;
        int64_t seconds;
} durations[] = {
        { "0", 0 },
        { "90", 90 },
        { "90s", 90 },
        { "15m", 900 },
        { "15min", 900 },
        { "12h", 43200 },
        { "30d", 2592000 },
        { "2w", 1209600 },
        { "", -1 },
        { "m", -1 },
        { "-1", -1 },
        { "+1", -1 },
        { "1 d", -1 },
        { "1.5h", -1 },
        { "1y", -1 },
        { "1D", -1 },
        { "0x10", -1 },
        { "9223372036854775807", INT64_MAX },
        { "9223372036854775808", -1 },
        { "99999999999999999999999", -1 },
        { "9223372036854775807w", -1 },
};

START_TEST(durations_in)
{
        struct cause cause = { 0 };
        int64_t seconds = -7;
        int result = duration_parse(durations[_i].text, &seconds, &cause);

        ck_assert_int_eq(result, durations[_i].seconds < 0 ? -1 : 0);
        ck_assert_int_eq(seconds, durations[_i].seconds < 0 ? -7 : durations[_i].seconds);
}
END_TEST

START_TEST(durations_out)
{
        static const struct {
                int64_t seconds;
                const char *text;
        } cases[] = {
                { 0, "0 s" },         { 45, "45 s" },      { 119, "119 s" }, { 120, "2 min" },
                { 720, "12 min" },    { 7199, "119 min" }, { 10800, "3 h" }, { 172799, "47 h" },
                { 432000, "5 days" }, { -5, "-5 s" },
        };
        char text[32];

        for (size_t i = 0; i < count_of(cases); i++) {
                duration_text(cases[i].seconds, text);
                ck_assert_str_eq(text, cases[i].text);
        }
}
END_TEST

START_TEST(exact_forms_are_read_again)
{
        static const struct {
                int64_t amount;
                const char *duration, *size;
        } cases[] = {
                { 0, "0s", "0" },           { 90, "90s", "90" },     { 7200, "2h", "7200" },
                { 604800, "7d", "604800" }, { 1024, "1024s", "1K" }, { 52428800, "52428800s", "50M" },
        };

        for (size_t i = 0; i < count_of(cases); i++) {
                char duration[32], size[32];
                int64_t seconds = -1;
                uint64_t bytes = 1;
                duration_exact(cases[i].amount, duration);
                size_exact((uint64_t)cases[i].amount, size);
                ck_assert_str_eq(duration, cases[i].duration);
                ck_assert_str_eq(size, cases[i].size);
                ck_assert(duration_parse(duration, &seconds, NULL) == 0 && seconds == cases[i].amount);
                ck_assert(size_parse(size, &bytes, NULL) == 0 && bytes == (uint64_t)cases[i].amount);
        }
}
END_TEST

START_TEST(sizes_in)
{
        static const struct {
                const char *text;
                uint64_t bytes;
                int result;
        } cases[] = {
                { "0", 0, 0 },
                { "4096", 4096, 0 },
                { "64K", 65536, 0 },
                { "50M", 50 * 1048576, 0 },
                { "50MiB", 50 * 1048576, 0 },
                { "10G", UINT64_C(10) << 30, 0 },
                { "2T", UINT64_C(2) << 40, 0 },
                { "18446744073709551615", UINT64_MAX, 0 },
                { "18446744073709551616", 0, -1 },
                { "16777216T", 0, -1 },
                { "", 0, -1 },
                { "K", 0, -1 },
                { "10 G", 0, -1 },
                { "10g", 0, -1 },
                { "-1", 0, -1 },
                { "1.5G", 0, -1 },
        };

        for (size_t i = 0; i < count_of(cases); i++) {
                uint64_t bytes = 0;
                ck_assert_int_eq(size_parse(cases[i].text, &bytes, NULL), cases[i].result);
                if (cases[i].result == 0)
                        ck_assert_uint_eq(bytes, cases[i].bytes);
        }
}
END_TEST

START_TEST(sizes_out)
{
        static const struct {
                uint64_t bytes;
                const char *text;
        } cases[] = {
                { 0, "0 B" },
                { 1023, "1023 B" },
                { 1024, "1.0 KiB" },
                { 4096, "4.0 KiB" },
                { 1536, "1.5 KiB" },
                { 1048575, "1.0 MiB" },
                { 52428800, "50.0 MiB" },
                { UINT64_C(10) << 30, "10.0 GiB" },
                { UINT64_MAX, "16.0 EiB" },
        };
        char text[32];

        for (size_t i = 0; i < count_of(cases); i++) {
                size_text(cases[i].bytes, text);
                ck_assert_str_eq(text, cases[i].text);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("times");
        TCase *tc = tcase_create("times");

        tcase_add_loop_test(tc, dates_in, 0, (int)count_of(dates));
        tcase_add_test(tc, dates_out);
        tcase_add_loop_test(tc, durations_in, 0, (int)count_of(durations));
        tcase_add_test(tc, durations_out);
        tcase_add_test(tc, exact_forms_are_read_again);
        tcase_add_test(tc, sizes_in);
        tcase_add_test(tc, sizes_out);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
