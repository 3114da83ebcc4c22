/* SPDX-License-Identifier: MIT */
/* The table of errors is whole, and a cause is filled in, cut and escaped as promised. */
#include "common/cause.c"

#include <check.h>

START_TEST(every_code_has_a_row)
{
        const struct cause_kind *kind = cause_kind((enum cause_code)_i);

        ck_assert_ptr_nonnull(kind->name);
        ck_assert_ptr_nonnull(kind->remedy);
        ck_assert_int_eq((int)cause_named(kind->name), _i); /* so names are unique, too */
        if (_i == CAUSE_NONE)
                return;
        ck_assert_int_gt((int)strlen(kind->remedy), 0);
        ck_assert_int_ge(kind->exit_status, 1);
        ck_assert_int_le(kind->exit_status, 4);
}
END_TEST

START_TEST(unknown_codes_and_names)
{
        ck_assert_int_eq((int)cause_named("NoSuchThing"), CAUSE_NONE);
        ck_assert_ptr_eq(cause_kind(CAUSE_CODES), cause_kind(CAUSE_INTERNAL));
}
END_TEST

START_TEST(words_are_set_and_escaped)
{
        struct cause cause = { 0 };

        ck_assert_int_eq(cause_set(&cause, CAUSE_REFUSED, "server: %s", "550 no\x1b[2J\r\nway\xff"), -1);
        ck_assert_str_eq(cause.text, "server: 550 no\\x1b[2J\\x0d\\x0away\\xff");
        ck_assert_str_eq(cause_remedy_of(&cause), cause_kind(CAUSE_REFUSED)->remedy);
        cause_remedy(&cause, "do %d", 7);
        ck_assert_str_eq(cause_remedy_of(&cause), "do 7");
        ck_assert_int_eq(cause_about(&cause, CAUSE_INVALID, "port", "bad"), -1);
        ck_assert_str_eq(cause.property, "port");
        ck_assert_str_eq(cause.remedy, "");
        cause_prefix(&cause, "file:%d: ", 3);
        ck_assert_str_eq(cause.text, "file:3: bad");
        cause_clear(&cause);
        ck_assert_int_eq((int)cause.code, CAUSE_NONE);
}
END_TEST

START_TEST(may_quote_itself)
{
        struct cause cause = { 0 };

        cause_set(&cause, CAUSE_CLOSED, "closed");
        cause_set(&cause, CAUSE_TLS, "handshake: %s", cause.text);
        ck_assert_str_eq(cause.text, "handshake: closed");
        cause_about(&cause, CAUSE_INVALID, "x", "again: %s", cause.text);
        ck_assert_str_eq(cause.text, "again: handshake: closed");
}
END_TEST

START_TEST(long_words_are_cut_at_a_character)
{
        struct cause cause = { 0 };
        char *words = new_zeroed(2001, 1);

        for (size_t i = 0; i < 2000; i += 2)
                memcpy(words + i, "\xc3\xa4", 2);
        cause_set(&cause, CAUSE_INTERNAL, "%s", words);
        size_t len = strlen(cause.text);
        ck_assert_uint_lt(len, sizeof cause.text);
        ck_assert_str_eq(cause.text + len - 3, "...");
        ck_assert(utf8_valid(cause.text, len));
        cause_errno(&cause, ENOSPC, "%s", words);
        ck_assert_ptr_nonnull(strstr(cause.text, strerror(ENOSPC)));
        free(words);
}
END_TEST

/* What is to be set is named in full: a property as such, or by its command. */
START_TEST(remedies_name_things_in_full)
{
        static const char *const names[] = { "useSsl", "useStartTls", "minTlsVersion", "maxConnections" };

        for (int code = CAUSE_NONE + 1; code < CAUSE_CODES; code++) {
                const char *remedy = cause_kind((enum cause_code)code)->remedy;
                for (size_t i = 0; i < count_of(names); i++) {
                        const char *at = strstr(remedy, names[i]);
                        if (at && !strstr(remedy, "emailsecctl account") && !strstr(remedy, "propert"))
                                ck_abort_msg("%s: %s", cause_kind((enum cause_code)code)->name, remedy);
                }
        }
}
END_TEST

START_TEST(errno_has_remedies)
{
        struct cause cause = { 0 };

        ck_assert_int_eq(cause_errno(&cause, ENOSPC, "queue"), -1);
        ck_assert_int_eq((int)cause.code, CAUSE_STORAGE);
        ck_assert_ptr_nonnull(strstr(cause.remedy, "make room"));
        cause_errno(&cause, EROFS, "queue");
        ck_assert_ptr_nonnull(strstr(cause.remedy, "writable"));
        static const struct {
                int error;
                const char *remedy;
        } others[] = {
                { ENOENT, "whether it is there" },
                { EACCES, "rights" },
                { EIO, "disk" },
                { EMFILE, "limit" },
        };
        for (size_t i = 0; i < count_of(others); i++) {
                cause_errno(&cause, others[i].error, "queue");
                ck_assert_ptr_nonnull(strstr(cause.remedy, others[i].remedy));
                ck_assert_ptr_null(
                        strstr(cause.remedy, "state folder")); /* the tool's files are nowhere near it */
        }
        cause_errno(&cause, EXDEV, "queue");
        ck_assert_str_eq(cause.remedy, "");
}
END_TEST

START_TEST(no_cause_is_fine)
{
        ck_assert_int_eq(cause_set(NULL, CAUSE_TLS, "x"), -1);
        ck_assert_int_eq(cause_about(NULL, CAUSE_TLS, "p", "x"), -1);
        ck_assert_int_eq(cause_errno(NULL, EIO, "x"), -1);
        cause_remedy(NULL, "x");
        cause_prefix(NULL, "x");
        cause_clear(NULL);
}
END_TEST

START_TEST(kept_is_what_happened_and_else_nothing)
{
        const struct cause *kept = &cause_none;
        struct cause why;

        cause_set(&why, CAUSE_TLS, "no");
        cause_keep(&kept, &why);
        ck_assert_ptr_ne(kept, &why);
        ck_assert_str_eq(kept->text, "no");
        cause_keep(&kept, kept); /* itself */
        ck_assert_int_eq(kept->code, CAUSE_TLS);
        ck_assert_str_eq(kept->text, "no");
        cause_clear(&why);
        cause_keep(&kept, &why);
        ck_assert_ptr_eq(kept, &cause_none);
        cause_keep(&kept, NULL);
        ck_assert_ptr_eq(kept, &cause_none);
}
END_TEST

/* Of a server that is down: all its accounts keep the same. */
START_TEST(the_same_is_kept_once)
{
        enum { ACCOUNTS = 100 };
        const struct cause *kept[ACCOUNTS], *other = &cause_none;
        struct cause why;

        for (size_t i = 0; i < ACCOUNTS; i++) {
                kept[i] = &cause_none;
                cause_set(&why, CAUSE_CONNECT, "could not connect to %s", "mail.example");
                cause_keep(&kept[i], &why);
                ck_assert_ptr_eq(kept[i], kept[0]);
        }
        cause_remedy(&why, "another remedy");
        cause_keep(&other, &why);
        ck_assert_ptr_ne(other, kept[0]);
        for (int i = 0; i < 100; i++) { /* others have the place of the first in between */
                cause_set(&why, CAUSE_TLS, "%d", i);
                cause_keep(&other, &why);
        }
        for (size_t i = 1; i < ACCOUNTS; i++)
                cause_keep(&kept[i], NULL);
        ck_assert_str_eq(kept[0]->text, "could not connect to mail.example");
        cause_keep(&kept[1], kept[0]);
        cause_keep(&kept[0], NULL);
        ck_assert_str_eq(kept[1]->text, "could not connect to mail.example");
        cause_keep(&kept[1], NULL);
        cause_keep(&other, NULL);
}
END_TEST

START_TEST(problems_are_bounded)
{
        struct causes problems = { 0 };

        for (int i = 0; i < 100000; i++)
                cause_set(causes_add(&problems), CAUSE_INVALID, "%d", i);
        ck_assert_uint_eq(problems.count, LIMIT_PROBLEMS);
        ck_assert_str_eq(problems.items[0].text, "0");
        ck_assert_str_eq(problems.items[LIMIT_PROBLEMS - 1].text, "99999");
        causes_free(&problems);
        ck_assert_ptr_null(problems.items);
}
END_TEST

START_TEST(the_remedy_of_an_account_names_it)
{
        static const struct {
                const char *remedy, *told;
        } cases[] = {
                { "first this: emailsecctl account secure NAME ssl|starttls",
                  "first this: emailsecctl account secure plant ssl|starttls" },
                { "emailsecctl account password NAME", "emailsecctl account password plant" },
                { "run x NAME; then look", "run x plant; then look" },
                { "set NAMES right", "set NAMES right" },
                { "nothing to name", "nothing to name" },
        };
        struct cause cause;

        for (size_t i = 0; i < count_of(cases); i++) {
                cause_set(&cause, CAUSE_SECRET, "words");
                cause_remedy(&cause, "%s", cases[i].remedy);
                cause_for_account(&cause, "plant");
                ck_assert_str_eq(cause.remedy, cases[i].told);
        }
        cause_set(&cause, CAUSE_SECRET, "words");
        cause_for_account(&cause, "plant"); /* the kind's own */
        ck_assert_str_eq(cause.remedy, "emailsecctl account password plant");
        cause_set(&cause, CAUSE_SECRET, "words");
        cause_for_account(&cause, "");
        ck_assert_str_eq(cause.remedy, "emailsecctl account password NAME");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("cause");
        TCase *tc = tcase_create("cause");

        tcase_add_loop_test(tc, every_code_has_a_row, 0, CAUSE_CODES);
        tcase_add_test(tc, unknown_codes_and_names);
        tcase_add_test(tc, the_remedy_of_an_account_names_it);
        tcase_add_test(tc, words_are_set_and_escaped);
        tcase_add_test(tc, may_quote_itself);
        tcase_add_test(tc, long_words_are_cut_at_a_character);
        tcase_add_test(tc, remedies_name_things_in_full);
        tcase_add_test(tc, errno_has_remedies);
        tcase_add_test(tc, no_cause_is_fine);
        tcase_add_test(tc, kept_is_what_happened_and_else_nothing);
        tcase_add_test(tc, the_same_is_kept_once);
        tcase_add_test(tc, problems_are_bounded);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
