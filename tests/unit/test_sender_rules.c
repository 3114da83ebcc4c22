/* SPDX-License-Identifier: MIT */
/* What a sender decides: tables of replies and loads, and a server that asks for less by a given clock. */
#include "daemon/outgoing/sender_rules.c"

#include <check.h>
#include <limits.h>

/* ---- what a server's word means for a recipient ---- */

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

/* ---- how many sessions are worth having ---- */

/* What is left out in a load is usual. */
enum { MS = 1000 };
#define NO_PLACE UINT_MAX

static const struct {
        const char *name;
        struct sending_load load;
        unsigned begun;
} cases[] = {
#define LOAD(...) { __VA_ARGS__ }
#define FAR       .timed = 100, .message_us = 20 * MS, .setup_us = 60 * MS
#define NEAR      .timed = 100, .message_us = 300, .setup_us = 3 * MS
        { "nothing waits", LOAD(.waiting = 0), 0 },
        { "the first one goes alone", LOAD(.waiting = 5000), 1 },
        { "also where there were more before", LOAD(FAR, .waiting = 5000, .proven = 20), 1 },
        { "it waits for a place where there is none", LOAD(.waiting = 1, .places = NO_PLACE), 1 },
        { "nothing more before it is ready", LOAD(.waiting = 5000, .have = 1, .proven = 20), 0 },
        { "ready, and slow to be made: far",
          LOAD(.setup_us = 60 * MS, .waiting = 5000, .have = 1, .ready = 1), 3 },
        { "the same, and one session is enough for a hundred",
          LOAD(.setup_us = 60 * MS, .ahead = 100, .waiting = 5000, .have = 4, .ready = 4), 0 },
        { "whatever the first one took",
          LOAD(.setup_us = 60 * MS, .message_us = 20 * MS, .timed = 1, .ahead = 100, .waiting = 5000,
               .have = 4, .ready = 4),
          0 },
        { "ready at once: near", LOAD(.setup_us = 3 * MS, .waiting = 5000, .have = 1, .ready = 1), 3 },
        { "each that works brings some", LOAD(FAR, .waiting = 5000, .have = 4, .ready = 4), 12 },
        { "up to the default", LOAD(FAR, .waiting = 5000, .have = 16, .ready = 16), 4 },
        { "and no further", LOAD(FAR, .waiting = 5000, .have = 20, .ready = 20), 0 },
        { "while some are made others are", LOAD(FAR, .waiting = 5000, .have = 4, .ready = 2), 4 },
        { "what was there before comes at once",
          LOAD(FAR, .waiting = 5000, .have = 1, .ready = 1, .proven = 20), 19 },
        { "as far as it is worth it", LOAD(FAR, .waiting = 30, .have = 1, .ready = 1, .proven = 20), 4 },
        { "few messages are one session's", LOAD(FAR, .waiting = 6, .have = 1, .ready = 1), 0 },
        { "more are not", LOAD(FAR, .waiting = 7, .have = 1, .ready = 1), 1 },
        { "a slow server is worth a session for each two",
          LOAD(.timed = 100, .message_us = 900 * MS, .setup_us = 60 * MS, .waiting = 7, .have = 1,
               .ready = 1),
          3 },
        { "a near one has four", LOAD(NEAR, .waiting = 5000, .have = 4, .ready = 4), 0 },
        { "of these, those that are worth it", LOAD(NEAR, .waiting = 9, .have = 1, .ready = 1), 1 },
        { "one that hangs is not near",
          LOAD(NEAR, .silent_us = 500 * MS, .waiting = 40, .have = 4, .ready = 4), 12 },
        { "64 are 64", LOAD(.most = 64, FAR, .waiting = 5000, .have = 21, .ready = 21), 43 },
        { "one is one", LOAD(.most = 1, FAR, .waiting = 5000, .have = 1, .ready = 1), 0 },
        { "as the server bears", LOAD(.allowed = 5, FAR, .waiting = 5000, .have = 4, .ready = 4), 1 },
        { "fewer than there are", LOAD(.allowed = 2, FAR, .waiting = 5000, .have = 4, .ready = 4), 0 },
        { "as there are places", LOAD(.places = 2, FAR, .waiting = 5000, .have = 4, .ready = 4), 2 },
        { "none", LOAD(.places = NO_PLACE, FAR, .waiting = 5000, .have = 4, .ready = 4), 0 },
        { "large ones fill the wire", LOAD(FAR, .mean_size = MIB, .waiting = 5000, .have = 4, .ready = 4),
          0 },
        { "very large ones, too", LOAD(FAR, .mean_size = 50 * MIB, .waiting = 50, .have = 1, .ready = 1), 3 },
        { "middling ones less", LOAD(FAR, .mean_size = 512 * KIB, .waiting = 5000, .have = 4, .ready = 4),
          4 },
};

START_TEST(so_many_are_begun)
{
        struct sending_load load = cases[_i].load;

        load.most = load.most ? load.most : 20;
        load.allowed = load.allowed ? load.allowed : 64;
        load.places = load.places == NO_PLACE ? 0 : load.places ? load.places : 64;
        load.mean_size = load.mean_size ? load.mean_size : 4 * KIB;
        unsigned begun = sessions_to_open(&load);
        ck_assert_msg(begun == cases[_i].begun, "%s: %u", cases[_i].name, begun);
}
END_TEST

START_TEST(a_mean_follows)
{
        int64_t mean = sessions_mean(0, 0, 40);

        ck_assert_int_eq(mean, 40);
        for (int i = 0; i < 100; i++)
                mean = sessions_mean(mean, 1, 20000);
        ck_assert_int_gt(mean, 19900);
        for (int i = 0; i < 100; i++) /* a hundred at once, in one round trip: near */
                mean = sessions_mean(mean, 1, i ? 0 : 20000);
        ck_assert_int_lt(mean, 100);
}
END_TEST

/* ---- slowing down for a server, and the way back ---- */

static struct pace pace;
static int64_t now;

/* A wish that is no repetition; the middle of the spread pause. */
static int64_t down(unsigned running)
{
        now += 10000;
        return throttle_down(&pace, now, running, 1);
}

static void fresh(void)
{
        now = 1;
        throttle_reset(&pace);
}

START_TEST(sessions_are_halved_first)
{
        ck_assert_int_eq(down(8), 0);
        ck_assert_uint_eq(pace.sessions, 4);
        ck_assert_int_eq(down(4), 0);
        ck_assert_uint_eq(pace.sessions, 2);
        ck_assert_int_eq(down(2), 0);
        ck_assert_uint_eq(pace.sessions, 1);
        ck_assert_int_gt(down(1), 0);
        ck_assert_uint_eq(pace.sessions, 1);
}
END_TEST

START_TEST(pauses_double_up_to_ten_minutes)
{
        static const int64_t middle[] = { 5, 10, 20, 40, 80, 160, 320, 600, 600, 600 };

        for (size_t i = 0; i < count_of(middle); i++) {
                int64_t pause = down(1);
                ck_assert_int_ge(pause, middle[i] - middle[i] / 5);
                ck_assert_int_le(pause, middle[i] + middle[i] / 5);
        }
        pace.pauses = 4000000000u;
        ck_assert_int_le(down(1), 720);
}
END_TEST

START_TEST(wishes_that_come_together_are_one)
{
        ck_assert_int_gt(down(1), 0);
        ck_assert_int_eq(throttle_down(&pace, now, 1, 0), 0);
        ck_assert_int_eq(throttle_down(&pace, now + 999, 1, 0), 0);
        ck_assert_uint_eq(pace.pauses, 1);
        ck_assert_int_gt(throttle_down(&pace, now + 1000, 1, 0), 0);
        ck_assert_uint_eq(pace.pauses, 2);
}
END_TEST

static void go_well(unsigned messages)
{
        while (messages--)
                throttle_well(&pace);
}

START_TEST(steps_are_taken_back_one_by_one)
{
        for (int i = 0; i < 3; i++)
                (void)!down(1);
        ck_assert_uint_eq(pace.pauses, 3);
        go_well(49);
        ck_assert_uint_eq(pace.pauses, 3);
        go_well(1);
        ck_assert_uint_eq(pace.pauses, 2);
        go_well(100);
        ck_assert_uint_eq(pace.pauses, 0);
        ck_assert_uint_eq(pace.sessions, 1);
        go_well(50);
        ck_assert_uint_eq(pace.sessions, 2);
        go_well(49);
        ck_assert_int_eq(down(2), 0); /* a new wish: the calm begins anew */
        ck_assert_uint_eq(pace.sessions, 1);
        go_well(1);
        ck_assert_uint_eq(pace.sessions, 1);
        go_well(100000);
        ck_assert_uint_eq(pace.sessions, PACE_SESSIONS_MOST);
}
END_TEST

START_TEST(one_more_that_is_refused_is_tried_again_less_and_less_often)
{
        now += 10000;
        throttle_refused(&pace, now, 10);
        throttle_refused(&pace, now, 10); /* those that come together are one */
        ck_assert_uint_eq(pace.sessions, 5);
        ck_assert_uint_eq(pace.pauses, 0);
        go_well(99);
        ck_assert_uint_eq(pace.sessions, 5);
        go_well(1);
        ck_assert_uint_eq(pace.sessions, 6);
        for (int i = 0; i < 20; i++) {
                now += 10000;
                throttle_refused(&pace, now, 1); /* one goes on, without a pause */
                ck_assert_uint_eq(pace.sessions, 1);
                ck_assert_uint_eq(pace.pauses, 0);
        }
        now += 10000;
        throttle_reset(&pace);
        throttle_refused(&pace, now, 4);
        throttle_refused(&pace, now,
                         1); /* three have ended meanwhile: none is tried in their place at once */
        ck_assert_uint_eq(pace.sessions, 1);
        for (int i = 0; i < 5; i++)
                throttle_refused(&pace, now += 10000, 1);
        go_well(3199);
        ck_assert_uint_eq(pace.sessions, 1);
        go_well(1);
        ck_assert_uint_eq(pace.sessions, 2);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("sender_rules");
        TCase *words = tcase_create("words"), *loads = tcase_create("loads"),
              *slower = tcase_create("slower");

        tcase_add_loop_test(words, a_servers_word_decides, 0, count_of(verdicts));
        tcase_add_loop_test(loads, so_many_are_begun, 0, count_of(cases));
        tcase_add_test(loads, a_mean_follows);
        tcase_add_checked_fixture(slower, fresh, NULL);
        tcase_add_test(slower, sessions_are_halved_first);
        tcase_add_test(slower, pauses_double_up_to_ten_minutes);
        tcase_add_test(slower, wishes_that_come_together_are_one);
        tcase_add_test(slower, steps_are_taken_back_one_by_one);
        tcase_add_test(slower, one_more_that_is_refused_is_tried_again_less_and_less_often);
        suite_add_tcase(suite, words);
        suite_add_tcase(suite, loads);
        suite_add_tcase(suite, slower);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
