/* SPDX-License-Identifier: MIT */
/* Random words: they are drawn ahead, and no part of what was drawn is used twice. */
#include "common/cleanup.h"
#include "daemon/random.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 2000, LENGTH = 16 };

static int by_text(const void *a, const void *b)
{
        return strcmp(a, b);
}

START_TEST(tokens_are_of_their_alphabet)
{
        for (size_t count = 0; count <= 64; count++) {
                char token[65 + 1];
                memset(token, '!', sizeof token);
                random_token(token, count);
                ck_assert_uint_eq(strspn(token, token_digits), count);
                ck_assert_uint_eq(strlen(token), count);
                ck_assert_int_eq(token[count + 1], '!');
        }
}
END_TEST

/* Of a length that what is drawn at once is no multiple of, among others. */
START_TEST(no_token_comes_twice)
{
        static char tokens[TOKENS][LENGTH + 1];
        char between[8];

        for (size_t i = 0; i < TOKENS; i++) {
                random_token(tokens[i], LENGTH);
                random_token(between, i % sizeof between);
        }
        qsort(tokens, TOKENS, sizeof tokens[0], by_text);
        for (size_t i = 1; i < TOKENS; i++)
                ck_assert_str_ne(tokens[i - 1], tokens[i]);
}
END_TEST

/* Each character of the alphabet stands at each place now and then. */
START_TEST(all_characters_come)
{
        bool seen[LENGTH][128] = { 0 };

        for (size_t i = 0; i < TOKENS; i++) {
                char token[LENGTH + 1];
                random_token(token, LENGTH);
                for (size_t at = 0; at < LENGTH; at++)
                        seen[at][(unsigned char)token[at]] = true;
        }
        for (size_t at = 0; at < LENGTH; at++)
                for (const char *digit = token_digits; *digit; digit++)
                        ck_assert_msg(seen[at][(unsigned char)*digit], "%c at %zu", *digit, at);
}
END_TEST

START_TEST(a_part_of_a_spread)
{
        ck_assert_int_eq(random_within(0), 0);
        ck_assert_int_eq(random_within(1), 0);
        for (int i = 0; i < 1000; i++) {
                int64_t part = random_within(7);
                ck_assert(part >= 0 && part < 7);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("random");
        TCase *all = tcase_create("all");
        SRunner *runner = srunner_create(suite);

        tcase_add_test(all, tokens_are_of_their_alphabet);
        tcase_add_test(all, no_token_comes_twice);
        tcase_add_test(all, all_characters_come);
        tcase_add_test(all, a_part_of_a_spread);
        suite_add_tcase(suite, all);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
