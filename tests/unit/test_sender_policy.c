/* SPDX-License-Identifier: MIT */
/* Headers that get the account's own sender: every form of From, what goes and what stays. */
#include "daemon/outgoing/sender_policy.c"

#include <check.h>

#define OWN "plant@site.example"

static const struct {
        const char *header, *out; /* NULL: it stays as it is */
} cases[] = {
        { "From: plant@site.example\r\nTo: a@b\r\n", NULL },
        { "From: Plant <PLANT@site.example>\r\n", NULL },
        { "Subject: s\r\nFrom: root@h.example (Cron Daemon)\r\nTo: a@b\r\n",
          "Subject: s\r\nFrom: \"root@h.example (Cron Daemon)\" <" OWN
          ">\r\nReply-To: root@h.example (Cron Daemon)\r\nTo: a@b\r\n" },
        { "From: root@h.example\r\n", "From: \"root@h.example\" <" OWN ">\r\nReply-To: root@h.example\r\n" },
        { "From: Alice A. <alice@x.example>\r\n",
          "From: Alice A. <" OWN ">\r\nReply-To: Alice A. <alice@x.example>\r\n" },
        { "From: \"A, B\" <a@x.example>\r\n",
          "From: \"A, B\" <" OWN ">\r\nReply-To: \"A, B\" <a@x.example>\r\n" },
        { "from : =?utf-8?q?J=C3=BC?=\r\n =?utf-8?q?rgen?= <j@x.example>\r\nX: y\r\n",
          "From: =?utf-8?q?J=C3=BC?= =?utf-8?q?rgen?= <" OWN
          ">\r\nReply-To: =?utf-8?q?J=C3=BC?=\r\n =?utf-8?q?rgen?= <j@x.example>\r\nX: y\r\n" },
        { "From: a@x.example\r\nReply-To: b@x.example\r\n",
          "From: \"a@x.example\" <" OWN ">\r\nReply-To: b@x.example\r\n" },
        { "Reply-To: b@x.example\r\nFrom: Al <a@x.example>\r\n",
          "Reply-To: b@x.example\r\nFrom: Al \"(a@x.example)\" <" OWN ">\r\n" },
        { "From: a@b.example <a@b.example>\r\n",
          "From: \"a@b.example\" <" OWN ">\r\nReply-To: a@b.example <a@b.example>\r\n" },
        { "From: a@x.example, b@y.example\r\n",
          "From: \"a@x.example, b@y.example\" <" OWN ">\r\nReply-To: a@x.example, b@y.example\r\n" },
        { "From: a@x.example, plant@site.example\r\n", "From: \"a@x.example, plant@site.example\" <" OWN
                                                       ">\r\nReply-To: a@x.example, plant@site.example\r\n" },
        { "Sender: s@x.example\r\n more\r\nFrom: plant@site.example\r\nResent-Sender: r@x\r\n",
          "From: \"plant@site.example\" <" OWN
          ">\r\nReply-To: plant@site.example\r\nResent-Sender: r@x\r\n" },
        { "From: say \"hi <a@x.example>\r\n",
          "From: \"say \\\"hi <a@x.example>\" <" OWN ">\r\nReply-To: say \"hi <a@x.example>\r\n" },
        { "Subject: none\r\n", "Subject: none\r\nFrom: <" OWN ">\r\n" },
        { "From:\r\nSubject: none\r\n", "From: <" OWN ">\r\nSubject: none\r\n" },
        { "From: a@x.example\r\nFrom: b@x.example\r\n",
          "From: \"a@x.example\" <" OWN ">\r\nReply-To: a@x.example\r\n" },
        { "From:a@x.example\r\n", "From: \"a@x.example\" <" OWN ">\r\nReply-To: a@x.example\r\n" },
        { "From: caf\xc3\xa9 <a@x.example>\r\n",
          "From: caf\xc3\xa9 <" OWN ">\r\nReply-To: caf\xc3\xa9 <a@x.example>\r\n" },
        { "X-From: a@x\r\nNot-From: b\r\nFrom: a@x.example\r\n no: field\r\n",
          "X-From: a@x\r\nNot-From: b\r\nFrom: \"a@x.example no: field\" <" OWN
          ">\r\nReply-To: a@x.example\r\n no: field\r\n" },
};

START_TEST(headers)
{
        static const char body[] = "\r\nFrom: body@x.example\r\n\r\nmore\r\n";
        scoped(scoped_free) char *message = text_of("%s%s", cases[_i].header, body);
        scoped(sender_policy_done) struct sender_policy policy;
        struct cause cause = { 0 };

        ck_assert_int_eq(sender_policy_apply(message, strlen(message), OWN, &policy, &cause), 0);
        if (!cases[_i].out) {
                ck_assert_uint_eq(policy.header.len, 0);
                return;
        }
        ck_assert_uint_eq(policy.header_len, strlen(cases[_i].header));
        scoped(scoped_free) char *made =
                copy_bytes((const char *)buf_bytes(&policy.header), policy.header.len);
        ck_assert_str_eq(made, cases[_i].out);
        /* Once more: it is its own, and stays. */
        scoped(scoped_free) char *again = text_of("%s%s", made, body);
        scoped(sender_policy_done) struct sender_policy second;
        ck_assert_int_eq(sender_policy_apply(again, strlen(again), OWN, &second, &cause), 0);
        ck_assert_uint_eq(second.header.len, 0);
}
END_TEST

START_TEST(a_header_that_is_not_all_there)
{
        scoped(sender_policy_done) struct sender_policy policy;
        struct cause cause = { 0 };

        ck_assert_int_eq(sender_policy_apply("From: a@b\r\n", 11, OWN, &policy, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_UNSENDABLE);
}
END_TEST

START_TEST(signatures_are_seen)
{
        static const char message[] = "DKIM-Signature: v=1;\r\n b=x\r\nFrom: a@b.example\r\n\r\n";
        scoped(sender_policy_done) struct sender_policy policy;

        ck_assert_int_eq(sender_policy_apply(message, sizeof message - 1, OWN, &policy, NULL), 0);
        ck_assert(policy.was_signed && policy.header.len);
}
END_TEST

/* Lines stay within what SMTP carries. */
START_TEST(long_names)
{
        for (size_t len = 800; len < 990; len++) {
                scoped(scoped_free) char *name = new_zeroed(len + 1, 1);
                memset(name, 'x', len);
                scoped(scoped_free) char *message = text_of("From: %s\r\n <a@x.example>\r\n\r\n", name);
                scoped(sender_policy_done) struct sender_policy policy;
                ck_assert_int_eq(sender_policy_apply(message, strlen(message), OWN, &policy, NULL), 0);
                const char *at = (const char *)buf_bytes(&policy.header), *end = at + policy.header.len;
                for (const char *stop; at < end; at = stop + 2) {
                        stop = memmem(at, (size_t)(end - at), "\r\n", 2);
                        ck_assert_ptr_nonnull(stop);
                        ck_assert_uint_le((size_t)(stop - at), LIMIT_SMTP_LINE);
                }
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("sender_policy");
        TCase *tests = tcase_create("sender_policy");

        tcase_add_loop_test(tests, headers, 0, (int)count_of(cases));
        tcase_add_test(tests, a_header_that_is_not_all_there);
        tcase_add_test(tests, signatures_are_seen);
        tcase_add_test(tests, long_names);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
