/* SPDX-License-Identifier: MIT */
/* What a peer sends cannot move, hide or reorder what a person reads. */
#include "common/printable.c"

#include <check.h>
#include <locale.h>

static const struct {
        const char *in, *out;
} escapes[] = {
        { "", "" },
        { "plain text", "plain text" },
        { "back\\slash", "back\\slash" },
        { "\x1b[31mred\x07", "\\x1b[31mred\\x07" },
        { "a\r\nb\tc\x7f", "a\\x0d\\x0ab\\x09c\\x7f" },
        { "gr\xc3\xbc\xc3\x9f dich \xe4\xb8\x96 \xf0\x9f\x98\x80",
          "gr\xc3\xbc\xc3\x9f dich \xe4\xb8\x96 \xf0\x9f\x98\x80" },
        { "\xc2\x9b"
          "31m",
          "\\u{9b}31m" }, /* CSI as one C1 control */
        { "a\xe2\x80\xae"
          "b",
          "a\\u{202e}b" }, /* right-to-left override */
        { "a\xe2\x80\x8b"
          "b\xef\xbb\xbf",
          "a\\u{200b}b\\u{feff}" },
        { "\xf3\xa0\x81\x81", "\\u{e0041}" },           /* a tag character */
        { "\xc0\xaf", "\\xc0\\xaf" },                   /* overlong */
        { "\xed\xa0\x80", "\\xed\\xa0\\x80" },          /* a surrogate */
        { "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" }, /* past the last code point */
        { "cut \xe4\xb8", "cut \\xe4\\xb8" },
        { "\xff\xfe", "\\xff\\xfe" },
};

START_TEST(escaped_as_expected)
{
        char *text = printable_text(escapes[_i].in);
        char copy[200];

        ck_assert_str_eq(text, escapes[_i].out);
        ck_assert_uint_eq(printable_copy(copy, sizeof copy, escapes[_i].in, strlen(escapes[_i].in)),
                          strlen(text));
        ck_assert_str_eq(copy, text);
        ck_assert(utf8_valid(text, strlen(text)));
        free(text);
}
END_TEST

START_TEST(cut_at_every_size)
{
        static const char in[] = "a\x1b\xc3\xa4z\xe2\x80\xae!";
        static const char whole[] = "a\\x1b\xc3\xa4z\\u{202e}!";
        char copy[sizeof whole + 8];

        for (size_t size = 1; size < sizeof copy; size++) {
                memset(copy, '#', sizeof copy);
                size_t len = printable_copy(copy, size, in, sizeof in - 1);
                ck_assert_uint_lt(len, size);
                ck_assert_uint_eq(strlen(copy), len);
                ck_assert_int_eq(copy[size], '#');
                ck_assert(utf8_valid(copy, len));
                if (size >= sizeof whole)
                        ck_assert_str_eq(copy, whole);
                else if (size >= 4)
                        ck_assert_str_eq(copy + len - 3, "...");
        }
        copy[0] = '#';
        ck_assert_uint_eq(printable_copy(copy, 0, in, sizeof in - 1), 0);
        ck_assert_int_eq(copy[0], '#');
}
END_TEST

START_TEST(bytes_with_nul)
{
        char copy[20];

        printable_copy(copy, sizeof copy, "a\0b", 3);
        ck_assert_str_eq(copy, "a\\x00b");
}
END_TEST

START_TEST(lines_keep_ends_and_tabs)
{
        char *text = printable_lines("one\n\ttwo\r\x1b");

        ck_assert_str_eq(text, "one\n\ttwo\\x0d\\x1b");
        free(text);
        ck_assert_ptr_null(printable_text(NULL));
}
END_TEST

START_TEST(columns)
{
        if (!setlocale(LC_CTYPE, "C.UTF-8"))
                return;
        ck_assert_uint_eq(printable_width("abc"), 3);
        ck_assert_uint_eq(printable_width("\xe4\xb8\x96"), 2);
        ck_assert_uint_eq(printable_width("e\xcc\x81"), 1);
        ck_assert_uint_eq(printable_width(""), 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("printable");
        TCase *tc = tcase_create("printable");

        tcase_add_loop_test(tc, escaped_as_expected, 0, (int)count_of(escapes));
        tcase_add_test(tc, cut_at_every_size);
        tcase_add_test(tc, bytes_with_nul);
        tcase_add_test(tc, lines_keep_ends_and_tabs);
        tcase_add_test(tc, columns);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
