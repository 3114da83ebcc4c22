/* SPDX-License-Identifier: MIT */
/* Queue policy: what a server's word means. */
#include "daemon/outgoing/sender_outcome.c"

#include <check.h>

static const struct {
        enum smtp_outcome outcome;
        enum cause_code session; /* CAUSE_NONE: the session is fine */
        enum queue_state state;
        bool later;
} verdicts[] = {
        { OUTCOME_SENT, CAUSE_NONE, QUEUE_SENT, false },
        { OUTCOME_SENT, CAUSE_CLOSED, QUEUE_SENT, false },
        { OUTCOME_REFUSED, CAUSE_NONE, QUEUE_FAILED, false },
        { OUTCOME_DEFERRED, CAUSE_NONE, QUEUE_DEFERRED, true },
        { OUTCOME_AMBIGUOUS, CAUSE_CLOSED, QUEUE_AMBIGUOUS, true },
        { OUTCOME_NONE, CAUSE_CLOSED, QUEUE_DEFERRED, true },
        { OUTCOME_NONE, CAUSE_SERVER_BUSY, QUEUE_DEFERRED, true },
        { OUTCOME_NONE, CAUSE_NONE, QUEUE_DEFERRED, true },
        /* what stops the account never touches the message */
        { OUTCOME_NONE, CAUSE_AUTHENTICATION, QUEUE_QUEUED, false },
        { OUTCOME_NONE, CAUSE_CHALLENGE, QUEUE_QUEUED, false },
        { OUTCOME_NONE, CAUSE_CERTIFICATE, QUEUE_QUEUED, false },
        { OUTCOME_NONE, CAUSE_NO_STARTTLS, QUEUE_QUEUED, false },
};

START_TEST(a_servers_word_decides)
{
        struct smtp_recipient recipient = { .outcome = verdicts[_i].outcome,
                                            .reply = "words",
                                            .cause = CAUSE_REFUSED };
        struct cause session;
        cause_set(&session, verdicts[_i].session, "session words");
        struct outbox_verdict verdict =
                sender_judge(&recipient, verdicts[_i].session ? &session : NULL, 0, 1000, 0);

        ck_assert_int_eq(verdict.state, verdicts[_i].state);
        ck_assert_int_eq(verdict.next_attempt > 1000, verdicts[_i].later);
        if (verdict.state == QUEUE_AMBIGUOUS)
                ck_assert_str_eq(verdict.reply, "session words");
        if (verdict.state == QUEUE_FAILED)
                ck_assert_str_eq(verdict.reply, "words");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("queue_policy");
        TCase *tests = tcase_create("queue_policy");

        tcase_add_loop_test(tests, a_servers_word_decides, 0, count_of(verdicts));
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
