/* SPDX-License-Identifier: MIT */
/* What runners make of the end of a session, case by case, and when they try again: tables of facts and
 * outcomes. */
#include "daemon/incoming/receiver_rules.h"
#include "daemon/outgoing/sender_rules.h"

#include <check.h>

/* ---- outgoing: cause, signed in, trust moved, token; retiring, made anew, failing before
 * ------------------------- */

static const struct {
        const char *name;
        enum cause_code why;
        bool ready, trust_moved;
        enum token_end token;
        bool retiring, anew, failing;
        enum sender_outcome outcome;
        bool slows_down;
} sender_cases[] = {
        { "in order", CAUSE_NONE, true, false, TOKEN_UNTOUCHED, false, false, false, SENDER_GOES_ON, false },
        { "in order, though others failed", CAUSE_NONE, true, false, TOKEN_UNTOUCHED, false, false, true,
          SENDER_GOES_ON, false },
        { "made anew in another way", CAUSE_CLOSED, true, false, TOKEN_UNTOUCHED, false, true, true,
          SENDER_GOES_ON, false },
        { "anew before it was ready", CAUSE_PROTOCOL, false, false, TOKEN_UNTOUCHED, false, true, false,
          SENDER_GOES_ON, false },
        { "trust changed meanwhile", CAUSE_CLOSED, false, true, TOKEN_UNTOUCHED, false, false, true,
          SENDER_GOES_ON, false },
        { "trust changed, it was ready", CAUSE_CLOSED, true, true, TOKEN_UNTOUCHED, false, false, true,
          SENDER_FAILS, false },
        { "trust changed, a certificate is judged", CAUSE_CHALLENGE, false, true, TOKEN_UNTOUCHED, false,
          false, false, SENDER_FAILS, false },
        { "trust changed, it timed out", CAUSE_TIMEOUT, false, true, TOKEN_UNTOUCHED, false, false, false,
          SENDER_FAILS, false },
        { "the token was withdrawn", CAUSE_AUTHENTICATION, false, false, TOKEN_WITHDRAWN, false, false, true,
          SENDER_GOES_ON, false },
        { "the token was never good", CAUSE_AUTHENTICATION, false, false, TOKEN_REFUSED, false, false, false,
          SENDER_FAILS, false },
        { "the password is wrong", CAUSE_AUTHENTICATION, false, false, TOKEN_UNTOUCHED, false, false, false,
          SENDER_FAILS, false },
        { "closed by the server after its work", CAUSE_CLOSED, true, false, TOKEN_UNTOUCHED, false, false,
          false, SENDER_GOES_ON_WARILY, false },
        { "the same again", CAUSE_CLOSED, true, false, TOKEN_UNTOUCHED, false, false, true, SENDER_FAILS,
          false },
        { "closed before it was ready", CAUSE_CLOSED, false, false, TOKEN_UNTOUCHED, false, false, false,
          SENDER_FAILS, false },
        { "the server is busy after its work", CAUSE_SERVER_BUSY, true, false, TOKEN_UNTOUCHED, false, false,
          false, SENDER_GOES_ON_WARILY, true },
        { "the server is busy from the first", CAUSE_SERVER_BUSY, false, false, TOKEN_UNTOUCHED, false, false,
          false, SENDER_FAILS, true },
        { "busy, and made anew", CAUSE_SERVER_BUSY, true, false, TOKEN_UNTOUCHED, false, true, false,
          SENDER_GOES_ON, true },
        { "it was to end, and was closed", CAUSE_CLOSED, true, false, TOKEN_UNTOUCHED, true, false, true,
          SENDER_GOES_ON_WARILY, false },
        { "it was to end, and timed out", CAUSE_TIMEOUT, true, false, TOKEN_UNTOUCHED, true, false, false,
          SENDER_GOES_ON_WARILY, false },
        { "it was to end, and broke the protocol", CAUSE_PROTOCOL, true, false, TOKEN_UNTOUCHED, true, false,
          false, SENDER_FAILS, false },
        { "timed out in its work", CAUSE_TIMEOUT, true, false, TOKEN_UNTOUCHED, false, false, false,
          SENDER_FAILS, false },
        { "unreachable", CAUSE_CONNECT, false, false, TOKEN_UNTOUCHED, false, false, false, SENDER_FAILS,
          false },
        { "no such host", CAUSE_RESOLVE, false, false, TOKEN_UNTOUCHED, false, false, true, SENDER_FAILS,
          false },
        { "a challenge", CAUSE_CHALLENGE, false, false, TOKEN_UNTOUCHED, false, false, false, SENDER_FAILS,
          false },
        { "rejected by a person", CAUSE_REJECTED, false, false, TOKEN_UNTOUCHED, false, false, false,
          SENDER_FAILS, false },
};

START_TEST(what_a_sender_makes_of_it)
{
        struct sender_session_end end = {
                .session = { .why = { .code = sender_cases[_i].why },
                             .ready = sender_cases[_i].ready,
                             .trust_moved = sender_cases[_i].trust_moved,
                             .token = sender_cases[_i].token },
                .retiring = sender_cases[_i].retiring,
                .anew = sender_cases[_i].anew,
                .failing = sender_cases[_i].failing,
        };

        ck_assert_msg(sender_outcome(&end) == sender_cases[_i].outcome, "%s: %d", sender_cases[_i].name,
                      (int)sender_outcome(&end));
        ck_assert_msg(sender_end_slows_down(&end) == sender_cases[_i].slows_down, "%s",
                      sender_cases[_i].name);
}
END_TEST

/* An answer to QUIT that does not come is nobody's failure. */
START_TEST(a_good_bye_is_no_failure)
{
        static const enum cause_code ways[] = { CAUSE_TIMEOUT, CAUSE_CLOSED, CAUSE_PROTOCOL };

        for (size_t i = 0; i < count_of(ways); i++) {
                struct sender_session_end end = { .session = { .why = { .code = ways[i] }, .ready = true },
                                                  .retiring = true,
                                                  .quitting = true };
                ck_assert_int_eq(sender_outcome(&end), SENDER_GOES_ON);
        }
}
END_TEST

/* ---- outgoing: the end of one session of several ---- */

static const struct {
        const char *name;
        struct sender_session_end facts;
        enum sender_outcome outcome;
        bool slows_down, one_too_many;
} several_cases[] = {
        { "busy", { .session.why.code = CAUSE_SERVER_BUSY, .others = true }, SENDER_GOES_ON, false, true },
        { "turned away", { .session.why.code = CAUSE_CONNECT, .others = true }, SENDER_GOES_ON, false, true },
        { "not answered",
          { .session.why.code = CAUSE_TIMEOUT, .others = true, .failing = true },
          SENDER_GOES_ON,
          false,
          true },
        { "a wrong password",
          { .session.why.code = CAUSE_AUTHENTICATION, .others = true },
          SENDER_FAILS,
          false,
          false },
        { "made anew",
          { .session.why.code = CAUSE_CLOSED, .others = true, .anew = true },
          SENDER_GOES_ON,
          false,
          false },
        { "busy after its work",
          { .session = { .why.code = CAUSE_SERVER_BUSY, .ready = true }, .others = true },
          SENDER_GOES_ON_WARILY,
          true,
          false },
        { "timed out in its work",
          { .session = { .why.code = CAUSE_TIMEOUT, .ready = true }, .others = true },
          SENDER_FAILS,
          false,
          false },
        { "timed out with one that was told",
          { .session = { .why.code = CAUSE_TIMEOUT, .ready = true }, .told = true },
          SENDER_GOES_ON,
          false,
          false },
};

START_TEST(what_a_sender_makes_of_one_of_several)
{
        const struct sender_session_end *facts = &several_cases[_i].facts;

        ck_assert_msg(sender_outcome(facts) == several_cases[_i].outcome, "%s", several_cases[_i].name);
        ck_assert_msg(sender_end_slows_down(facts) == several_cases[_i].slows_down, "%s",
                      several_cases[_i].name);
        ck_assert_msg(sender_end_is_one_too_many(facts) == several_cases[_i].one_too_many, "%s",
                      several_cases[_i].name);
}
END_TEST

/* ---- incoming: phase, cause, trust moved, token, deletions that wait for QUIT
 * ------------------------------------- */

static const struct {
        const char *name;
        enum receiver_phase phase;
        enum cause_code why;
        bool trust_moved;
        enum token_end token;
        bool quit_counts;
        enum receiver_outcome outcome;
} receiver_cases[] = {
        { "QUIT was answered", QUITTING, CAUSE_NONE, false, TOKEN_UNTOUCHED, true, RECEIVER_POLL_OVER },
        { "QUIT was answered, nothing hangs on it", QUITTING, CAUSE_NONE, false, TOKEN_UNTOUCHED, false,
          RECEIVER_POLL_OVER },
        { "QUIT was not, nothing hangs on it", QUITTING, CAUSE_TIMEOUT, false, TOKEN_UNTOUCHED, false,
          RECEIVER_POLL_OVER },
        { "QUIT was not, and something does", QUITTING, CAUSE_CLOSED, false, TOKEN_UNTOUCHED, true,
          RECEIVER_POLL_BROKE },
        { "trust changed meanwhile", CONNECTING, CAUSE_CLOSED, true, TOKEN_UNTOUCHED, false, RECEIVER_AGAIN },
        { "trust changed, it stood", POLLING, CAUSE_CLOSED, true, TOKEN_UNTOUCHED, false,
          RECEIVER_POLL_BROKE },
        { "trust changed, a certificate is judged", CONNECTING, CAUSE_CHALLENGE, true, TOKEN_UNTOUCHED, false,
          RECEIVER_POLL_BROKE },
        { "the token was withdrawn", CONNECTING, CAUSE_AUTHENTICATION, false, TOKEN_WITHDRAWN, false,
          RECEIVER_AGAIN },
        { "the token was never good", CONNECTING, CAUSE_AUTHENTICATION, false, TOKEN_REFUSED, false,
          RECEIVER_POLL_BROKE },
        { "the password is wrong", CONNECTING, CAUSE_AUTHENTICATION, false, TOKEN_UNTOUCHED, false,
          RECEIVER_POLL_BROKE },
        { "closed in IDLE", IDLING, CAUSE_NONE, false, TOKEN_UNTOUCHED, false, RECEIVER_WAIT_LOST },
        { "closed in IDLE as trust changed", IDLING, CAUSE_CLOSED, true, TOKEN_UNTOUCHED, false,
          RECEIVER_WAIT_LOST },
        { "lost at rest", RESTING, CAUSE_TIMEOUT, false, TOKEN_UNTOUCHED, false, RECEIVER_WAIT_LOST },
        { "lost while waking", WAKING, CAUSE_CONNECT, false, TOKEN_UNTOUCHED, false, RECEIVER_WAIT_LOST },
        { "the server ends it for being busy", IDLING, CAUSE_SERVER_BUSY, false, TOKEN_UNTOUCHED, false,
          RECEIVER_WAIT_LOST },
        { "nonsense in IDLE", IDLING, CAUSE_PROTOCOL, false, TOKEN_UNTOUCHED, false, RECEIVER_POLL_BROKE },
        { "closed in its work", POLLING, CAUSE_NONE, false, TOKEN_UNTOUCHED, false, RECEIVER_POLL_BROKE },
        { "closed before its work", CONNECTING, CAUSE_NONE, false, TOKEN_UNTOUCHED, false,
          RECEIVER_POLL_BROKE },
        { "unreachable", CONNECTING, CAUSE_CONNECT, false, TOKEN_UNTOUCHED, false, RECEIVER_POLL_BROKE },
};

START_TEST(what_a_receiver_makes_of_it)
{
        struct receiver_session_end end = {
                .session = { .why = { .code = receiver_cases[_i].why },
                             .ready = receiver_cases[_i].phase != CONNECTING,
                             .trust_moved = receiver_cases[_i].trust_moved,
                             .token = receiver_cases[_i].token },
                .phase = receiver_cases[_i].phase,
                .quit_counts = receiver_cases[_i].quit_counts,
        };

        ck_assert_msg(receiver_outcome(&end) == receiver_cases[_i].outcome, "%s: %d", receiver_cases[_i].name,
                      (int)receiver_outcome(&end));
}
END_TEST

static const struct {
        enum fetching_end end;
        enum cause_code why;
        enum receiver_poll_outcome outcome;
} poll_cases[] = {
        { FETCHING_BROKE, CAUSE_CLOSED, POLL_FAILED },
        { FETCHING_BROKE, CAUSE_PROTOCOL, POLL_FAILED },
        { FETCHING_BROKE_OVER, CAUSE_CLOSED, POLL_FAILED },
        { FETCHING_BROKE_OVER, CAUSE_PROTOCOL, POLL_FAILED_BRIEFLY },
        { FETCHING_AS_GOOD, CAUSE_CLOSED, POLL_AS_GOOD_AS_OVER },
        { FETCHING_AS_GOOD, CAUSE_PROTOCOL, POLL_AS_GOOD_AS_OVER },
};

START_TEST(what_a_broken_look_is)
{
        struct cause why = { .code = poll_cases[_i].why };

        ck_assert_int_eq(receiver_poll_outcome(poll_cases[_i].end, &why), poll_cases[_i].outcome);
}
END_TEST

/* ---- when it is tried again
 * --------------------------------------------------------------------------------------- */

static const struct retry_rules outgoing = { .first = 60, .most = INT64_MAX, .most_disk = INT64_MAX };
static const struct retry_rules incoming = { .first = 5, .repeated = 1, .most = 900, .most_disk = 60 };

static const struct {
        const struct retry_rules *rules;
        enum cause_code why;
        unsigned failures;
        int64_t least, most; /* seconds, with the least and the greatest of random numbers */
} retries[] = {
        { &outgoing, CAUSE_CONNECT, 0, 48, 72 },
        { &outgoing, CAUSE_CONNECT, 1, 96, 144 },
        { &outgoing, CAUSE_CONNECT, 5, 1536, 2304 },
        { &outgoing, CAUSE_CONNECT, 6, 2880, 4320 },
        { &outgoing, CAUSE_CONNECT, 4000000000u, 2880, 4320 },
        { &outgoing, CAUSE_STORAGE, 0, 48, 72 },
        { &outgoing, CAUSE_AUTHENTICATION, 0, 2880, 4320 },
        { &outgoing, CAUSE_CHALLENGE, 7, 2880, 4320 },
        { &incoming, CAUSE_CLOSED, 0, 4, 6 },
        { &incoming, CAUSE_CLOSED, 1, 4, 6 },
        { &incoming, CAUSE_CLOSED, 2, 8, 12 },
        { &incoming, CAUSE_CLOSED, 8, 512, 768 },
        { &incoming, CAUSE_CLOSED, 9, 900, 900 },
        { &incoming, CAUSE_CLOSED, 4000000000u, 900, 900 },
        { &incoming, CAUSE_STORAGE, 0, 4, 6 },
        { &incoming, CAUSE_STORAGE, 20, 60, 60 },
        { &incoming, CAUSE_CERTIFICATE, 3, 2880, 4320 },
};

START_TEST(when_it_is_tried_again)
{
        struct cause why = { .code = retries[_i].why };
        int64_t least = INT64_MAX, most = 0;

        for (uint32_t random = 0; random < 5000; random++) {
                int64_t delay = retry_delay(retries[_i].rules, &why, retries[_i].failures, random);
                least = delay < least ? delay : least;
                most = delay > most ? delay : most;
        }
        ck_assert_int_le(least - 1, retries[_i].least);
        ck_assert_int_ge(least + 1, retries[_i].least);
        ck_assert_int_eq(most, retries[_i].most);
}
END_TEST

static const struct {
        time_t due, now;
        int64_t midnight, ms;
} wakes[] = {
        { 1000, 990, 3600, 10000 },
        { 1000, 1000, 3600, 500 },
        { 1000, 5000, 3600, 500 },
        { 9000, 1000, 3600, 3600000 },
};

START_TEST(when_a_queue_is_looked_at_again)
{
        ck_assert_int_eq(sender_wake_ms(wakes[_i].due, wakes[_i].now, wakes[_i].midnight), wakes[_i].ms);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("outcome");
        TCase *cases = tcase_create("outcome");

        tcase_add_loop_test(cases, what_a_sender_makes_of_it, 0, (int)count_of(sender_cases));
        tcase_add_test(cases, a_good_bye_is_no_failure);
        tcase_add_loop_test(cases, what_a_sender_makes_of_one_of_several, 0, count_of(several_cases));
        tcase_add_loop_test(cases, what_a_receiver_makes_of_it, 0, (int)count_of(receiver_cases));
        tcase_add_loop_test(cases, what_a_broken_look_is, 0, (int)count_of(poll_cases));
        tcase_add_loop_test(cases, when_it_is_tried_again, 0, (int)count_of(retries));
        tcase_add_loop_test(cases, when_a_queue_is_looked_at_again, 0, (int)count_of(wakes));
        suite_add_tcase(suite, cases);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
