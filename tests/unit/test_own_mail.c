/* SPDX-License-Identifier: MIT */
/* By which words a heartbeat is known again, and for how long. */
#include "daemon/store/own_mail.h"

#include <check.h>
#include <stdlib.h>

#define FIRST  "0123456789abcdefghjkmnpqrstvwxyz"
#define SECOND "zyxwvtsrqpnmkjhgfedcba9876543210"
#define THIRD  "00000000000000000000000000000001"

static void expect(const char *message_id, const char *subject, const char *account, bool newest)
{
        bool last = false;
        char *found = own_mail_of(message_id, subject, &last);

        ck_assert_int_eq(own_mail_is(message_id, subject), account != NULL);
        if (account) {
                ck_assert_ptr_nonnull(found);
                ck_assert_str_eq(found, account);
                ck_assert_int_eq(last, newest);
        } else {
                ck_assert_ptr_null(found);
        }
        free(found);
}

START_TEST(known_by_the_last_two_words)
{
        expect("<heartbeat." FIRST "@h>", NULL, NULL, false);
        own_mail_expect("a", FIRST);
        own_mail_expect("b", THIRD);
        expect("<heartbeat." FIRST "@h>", NULL, "a", true);
        expect("<given@server>", "Heartbeat of a on h (" FIRST ")", "a", true);
        expect("<given@server>", "Heartbeat of a on h", NULL, false);
        expect(NULL, NULL, NULL, false);
        expect("", "", NULL, false);
        own_mail_expect("a", SECOND);
        own_mail_expect("a", SECOND); /* read again: it is still the same one */
        expect("<" FIRST ">", NULL, "a", false);
        expect("<" SECOND ">", NULL, "a", true);
        own_mail_expect("a", FIRST "");
        own_mail_expect("a", SECOND);
        own_mail_expect("a", "11111111111111111111111111111111");
        expect("<" FIRST ">", NULL, NULL, false);
        own_mail_forget("a");
        own_mail_forget("a");
        expect("<" SECOND ">", NULL, NULL, false);
        expect("<" THIRD ">", NULL, "b", true);
        own_mail_close();
        expect("<" THIRD ">", NULL, NULL, false);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("own_mail");
        TCase *tests = tcase_create("own_mail");
        SRunner *runner = srunner_create(suite);

        tcase_add_test(tests, known_by_the_last_two_words);
        suite_add_tcase(suite, tests);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
