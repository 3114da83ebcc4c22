/* SPDX-License-Identifier: MIT */
/*
 * An outgoing account as a whole, in virtual time: runner, messages and SMTP engine as they are, with a state
 * folder of its own, against a server that is played here. Back-off, limits, periods, clocks that are set,
 * networks and trust that change, tokens, disks that fail, and ends.
 */
#include "scripted_smtp.h"

#include "daemon/accounts/quota.h"
#include "daemon/store/kept.h"

static int64_t began;

/* Lets time pass second by second, and notes when sessions are begun. */
static void watch(int64_t seconds)
{
        for (int64_t i = 0; i < seconds; i++) {
                unsigned before = net.opened;
                pass(1);
                if (net.opened != before && server.sessions < SESSIONS_NOTED)
                        server.begun[server.sessions++] = (loop_now() - began) / 1000;
        }
}

static void open_all(void)
{
        memset(&server, 0, sizeof server);
        memset(&submissions, 0, sizeof submissions);
        runner_open(KIND_OUTGOING);
        set_text_property(PROP_FROM, "bob@example.net");
        set_number_property(PROP_CHECK_RATE, 0);
        sender = account->sender = sender_new(account, 0);
        began = loop_now();
        settle();
}

static void close_all(void)
{
        account->sender = NULL;
        sender_free(take(sender));
        settle();
        runner_close();
}

/* ---- tests
 * ----------------------------------------------------------------------------------------------------- */

START_TEST(mail_goes_and_the_session_is_kept_a_moment)
{
        submit(3);
        pass(1);
        check_queue(QUEUE_SENT, 3);
        check_status(ACCOUNT_OK);
        ck_assert_uint_eq(net.opened, 1);
        ck_assert_uint_eq(net.open, 1);
        pass(8);
        ck_assert_uint_eq(net.open, 1);
        submit(1); /* it is used again, and kept anew */
        pass(8);
        ck_assert_uint_eq(net.open, 1);
        pass(4);
        ck_assert_uint_eq(net.open, 0);
        ck_assert_uint_eq(server.quits, 1);
        ck_assert_uint_eq(net.opened, 1);
        ck_assert_int_eq(quota_sent_today(account), 4);
}
END_TEST

/* Each has its first part in memory from the claim on: of large ones few are claimed ahead. */
START_TEST(large_mail_is_claimed_as_it_goes)
{
        static char text[300000];

        memset(text, 'x', sizeof text - 1);
        for (size_t i = 0; i + 1 < sizeof text; i += 64)
                text[i] = '\n';
        submissions.text = text;
        net.far_ms = 20;
        set_number_property(PROP_MAX_CONNECTIONS, 2);
        submit(60);
        ck_assert_uint_gt(in_state(QUEUE_SENDING), 0);
        ck_assert_uint_le(in_state(QUEUE_SENDING), 36);
        pass(60);
        check_queue(QUEUE_SENT, 60);
}
END_TEST

START_TEST(mail_is_claimed_by_the_commit_that_takes_it)
{
        submit(1);
        ck_assert_uint_eq(submissions.claimed, 0);
        submissions.are_told = true;
        submit(1);
        ck_assert_uint_eq(submissions.claimed, 1);
        check_queue(QUEUE_SENT, 2);
        net.fails = CAUSE_CONNECT; /* nothing is claimed while the account rests */
        pass(20);
        submit(1);
        check_queue(QUEUE_DEFERRED, 1);
        submit(1);
        ck_assert_uint_eq(submissions.claimed, 0);
        net.fails = CAUSE_NONE;
        pass(100);
        check_queue(QUEUE_SENT, 4);
}
END_TEST

START_TEST(a_server_that_is_down_is_tried_less_and_less_often)
{
        /* the shortest of each spread, a fifth less: 48, 96, 192, ... 2880 s; for a day */
        static const int64_t pauses[] = { 48, 96, 192, 384, 768, 1536, 2880, 2880, 2880 };

        net.fails = CAUSE_CONNECT;
        submit(1);
        watch(24 * 3600);
        check_status(ACCOUNT_DOWN);
        check_queue(QUEUE_DEFERRED, 1);
        for (size_t i = 0; i < count_of(pauses); i++)
                ck_assert_int_eq(server.begun[i] - (i ? server.begun[i - 1] : 0), pauses[i]);
        ck_assert_uint_lt(server.sessions, 40);
        net.fails = CAUSE_NONE;
        pass(3600);
        check_queue(QUEUE_SENT, 1);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(a_person_or_another_network_ends_the_pause)
{
        net.fails = CAUSE_CONNECT;
        submit(1);
        pass(1000);
        unsigned before = net.opened;
        sender_network_changed(sender, false);
        settle();
        ck_assert_uint_eq(net.opened, before + 1);
        watch(60); /* and pauses are short again */
        ck_assert_uint_eq(net.opened, before + 2);
        net.fails = CAUSE_NONE;
        pass(1);
        check_queue(QUEUE_DEFERRED, 1);
        sender_due_now(sender);
        sender_try_now(sender);
        settle();
        check_queue(QUEUE_SENT, 1);
}
END_TEST

START_TEST(a_session_whose_way_has_gone_ends_after_its_mail)
{
        submit(1);
        net.first->unrouted = true;
        sender_network_changed(sender, false);
        settle();
        pass(1);
        ck_assert_uint_eq(net.open, 0);
        submit(1);
        ck_assert_uint_eq(net.opened, 2);
        sender_network_changed(sender, false); /* its way is there */
        settle();
        ck_assert_uint_eq(net.open, 1);
        sender_network_changed(sender, true);
        settle();
        pass(1);
        ck_assert_uint_eq(net.open, 0);
        check_queue(QUEUE_SENT, 2);
}
END_TEST

START_TEST(no_more_sessions_than_max_connections)
{
        set_number_property(PROP_MAX_CONNECTIONS, 3);
        submit(100);
        pass(2);
        check_queue(QUEUE_SENT, 100);
        ck_assert_uint_eq(net.open_most, 3);
        net_contends(); /* nobody sits idle on a place that others want */
        pass(1);
        ck_assert_uint_eq(net.open, 0);
        submit(1);
        pass(1);
        ck_assert_uint_eq(net.open, 0);
        check_queue(QUEUE_SENT, 101);
}
END_TEST

START_TEST(a_server_far_away_gets_many_sessions)
{
        static const unsigned most[] = { 20, 64 };

        net.far_ms = 20;
        set_number_property(PROP_MAX_CONNECTIONS, most[_i]);
        submit(1000);
        pass(60);
        check_queue(QUEUE_SENT, 1000);
        ck_assert_uint_eq(net.open_most, most[_i]);
}
END_TEST

START_TEST(a_near_one_is_kept_busy_by_few)
{
        submit(1000);
        pass(1);
        check_queue(QUEUE_SENT, 1000);
        ck_assert_uint_le(net.open_most, 4);
}
END_TEST

START_TEST(what_it_bears_is_remembered)
{
        net.far_ms = 20;
        server.lets_in = 10;
        submit(1000);
        pass(60);
        check_queue(QUEUE_SENT, 1000);
        check_status(ACCOUNT_OK);
        ck_assert_int_eq(sender_rests_ms(sender), -1);
        unsigned before = server.turned_away;
        ck_assert_uint_gt(before, 0);
        ck_assert_uint_lt(before, 20);
        submit(300);
        pass(60);
        check_queue(QUEUE_SENT, 1300);
        ck_assert_uint_le(server.turned_away, before + 2);
}
END_TEST

START_TEST(one_session_is_enough_where_no_further_one_is_let_in)
{
        net.far_ms = 20;
        server.lets_in = 1;
        submit(200);
        pass(30);
        check_queue(QUEUE_SENT, 200);
        check_status(ACCOUNT_OK);
        ck_assert_uint_lt(server.turned_away, 8);
}
END_TEST

START_TEST(sessions_that_break_together_are_one_failure)
{
        net.far_ms = 20;
        submit(1000);
        pass_ms(1000);
        ck_assert_uint_eq(net.open, 20);
        net.silent = true;
        net_breaks(NULL, CAUSE_TIMEOUT);
        settle();
        check_status(ACCOUNT_DOWN);
        ck_assert_int_gt(sender_rests_ms(sender), 0);
        ck_assert_int_le(sender_rests_ms(sender), 72 * 1000);
}
END_TEST

START_TEST(sessions_closed_together_after_their_work_are_no_failure)
{
        net.far_ms = 20;
        submit(200);
        pass(5);
        check_queue(QUEUE_SENT, 200);
        ck_assert_uint_gt(net.open, 2);
        for (struct session *one = net.first; one; one = one->next)
                server_closes(one);
        settle();
        check_status(ACCOUNT_OK);
        ck_assert_int_eq(sender_rests_ms(sender), -1);
        submit(1);
        pass(1);
        check_queue(QUEUE_SENT, 201);
}
END_TEST

/* What is on its way behind the first one comes back each time, and is not put off for that. */
START_TEST(a_server_that_takes_one_message_in_a_session_keeps_none_waiting)
{
        server.one_message = true;
        net.far_ms = 20;
        set_number_property(PROP_MAX_CONNECTIONS, 4);
        submit(100);
        pass(30);
        check_queue(QUEUE_SENT, 100);
        check_status(ACCOUNT_OK);
        ck_assert_uint_le(net.opened, 104);
}
END_TEST

START_TEST(a_server_that_asks_for_less_gets_less)
{
        set_number_property(PROP_MAX_CONNECTIONS, 4);
        server.dot = "451 4.7.1 too many messages, slow down";
        submit(40);
        pass(2);
        char *words = sender_pace(sender);
        ck_assert_ptr_nonnull(words);
        free(words);
        watch(3600);
        ck_assert(sender_is_throttled(sender));
        server.dot = NULL;
        pass(3 * 3600);
        check_queue(QUEUE_SENT, 40);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(a_busy_server_is_left_alone)
{
        server.greeting = "421 4.3.2 too busy";
        submit(1);
        watch(600);
        check_status(ACCOUNT_DOWN);
        ck_assert_uint_le(server.sessions, 6);
        check_queue(QUEUE_DEFERRED, 1);
}
END_TEST

START_TEST(the_daily_limit_ends_at_midnight)
{
        set_number_property(PROP_MAX_SENDABLE_PER_DAY, 2);
        submit(3);
        pass(3600);
        check_queue(QUEUE_SENT, 2);
        check_queue(QUEUE_QUEUED, 1);
        pass(quota_until_midnight(loop_wall()) - 60);
        check_queue(QUEUE_SENT, 2);
        pass(120);
        check_queue(QUEUE_SENT, 3);
}
END_TEST

START_TEST(mail_waits_for_the_period_of_poll_rate)
{
        set_number_property(PROP_POLL_RATE, 600);
        sender_start_over(sender, 0);
        settle();
        pass(1);
        submit(1);
        int64_t left = sender_period_ms(sender);
        ck_assert_int_gt(left, 0);
        pass_ms(left - 1000);
        check_queue(QUEUE_QUEUED, 1);
        pass(2);
        check_queue(QUEUE_SENT, 1);
        pass(300);
        submit(1);
        check_queue(QUEUE_QUEUED, 1);
        pass(301);
        check_queue(QUEUE_SENT, 2);
        submit(1);
        sender_try_now(sender);
        settle();
        check_queue(QUEUE_SENT, 3);
}
END_TEST

START_TEST(mail_comes_due_though_the_clock_was_set_back)
{
        server.rcpt = "450 4.2.0 later";
        submit(1);
        check_queue(QUEUE_DEFERRED, 1);
        server.rcpt = NULL;
        step_clock(-10 * 24 * 3600); /* and nobody says so */
        sender_kick(sender);
        settle();
        pass(1);
        check_queue(QUEUE_SENT, 1);
}
END_TEST

START_TEST(what_waits_for_trust_does_not_age)
{
        net.fails = CAUSE_CHALLENGE;
        net.challenge_id = "abc";
        submit(1);
        check_status(ACCOUNT_CHALLENGE);
        ck_assert_str_eq(account->challenge_id, "abc");
        check_queue(QUEUE_QUEUED, 1); /* as if it had never been tried */
        watch(3 * 24 * 3600);
        ck_assert_uint_gt(server.sessions, 48);
        ck_assert_uint_lt(server.sessions, 96);
        check_queue(QUEUE_QUEUED, 1);
        net.fails = CAUSE_NONE;
        account_start_over(account);
        sender_start_over(sender, 0);
        settle();
        pass(1);
        check_queue(QUEUE_SENT, 1);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(a_session_that_is_trusted_no_more_ends_at_once)
{
        net.silent = true;
        submit(1);
        ck_assert_uint_eq(net.open, 1);
        net.first->untrusted = true;
        net.silent = false;
        sender_check_trust(sender);
        settle();
        pass(90); /* what was on its way goes by another */
        check_queue(QUEUE_SENT, 1);
        ck_assert_uint_eq(net.opened, 2);
}
END_TEST

START_TEST(a_session_that_another_may_be_better_than_finishes_and_goes)
{
        submit(1);
        check_queue(QUEUE_SENT, 1);
        ck_assert_uint_eq(net.opened, 1);
        net.first->may_verify = true; /* it is kept for the next message */
        sender_check_trust(sender);
        settle();
        submit(1);
        pass(1);
        check_queue(QUEUE_SENT, 2);
        ck_assert_uint_eq(net.opened, 2);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(a_session_made_while_trust_changed_says_nothing)
{
        server.greeting = "";
        submit(1);
        net.first->trust_moved = true;
        server.greeting = NULL;
        net_breaks(NULL, CAUSE_CLOSED);
        settle();
        ck_assert_uint_eq(net.opened, 2); /* at once */
        check_queue(QUEUE_SENT, 1);
        check_status(ACCOUNT_OK);
        ck_assert_int_eq(kept_number("box", KEPT_LAST_POLL_FAILURE), 0);
}
END_TEST

START_TEST(what_the_server_closes_after_its_work_is_no_failure)
{
        submit(1);
        server_closes(net.first);
        settle();
        check_status(ACCOUNT_OK);
        ck_assert_uint_eq(net.open, 0);
        ck_assert_int_eq(sender_rests_ms(sender), -1);
        server.closes_at_dot = true; /* again, with mail in it */
        submit(1);
        check_queue(QUEUE_AMBIGUOUS, 1);
        check_status(ACCOUNT_OK);
        server.closes_at_dot = false;
        pass(120);
        check_queue(QUEUE_SENT, 2);
}
END_TEST

START_TEST(a_withdrawn_token_is_fetched_anew)
{
        use_tokens();
        submit(1);
        ck_assert_uint_eq(questions, 1);
        ck_assert_uint_eq(net.opened, 0);
        answer_token("one", 3600, CAUSE_NONE);
        check_queue(QUEUE_SENT, 1);
        pass(20);
        submit(1); /* the same one */
        ck_assert_uint_eq(questions, 1);
        pass(20);
        server.auth = "535 5.7.8 token revoked";
        submit(1);
        ck_assert_uint_eq(questions, 2); /* it was good before */
        ck_assert_int_ne(account->status, ACCOUNT_FAULT);
        answer_token("two", 3600, CAUSE_NONE); /* and this one never was */
        settle();
        ck_assert_uint_eq(questions, 2);
        ck_assert_int_ne(account->status, ACCOUNT_OK);
        server.auth = NULL;
        pass(2 * 3600);
        if (asked)
                answer_token("three", 3600, CAUSE_NONE);
        pass(3600);
        check_queue(QUEUE_SENT, 3);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(a_token_ends_by_time)
{
        use_tokens();
        submit(1);
        answer_token("one", 3600, CAUSE_NONE);
        pass(3600);
        submit(1);
        ck_assert_uint_eq(questions, 2);
        answer_token(NULL, 0, CAUSE_CONNECT);
        check_status(ACCOUNT_DOWN);
        pass(60);
        answer_token("two", 3600, CAUSE_NONE);
        check_queue(QUEUE_SENT, 2);
        check_status(ACCOUNT_OK);
}
END_TEST

/* `due`: the mail could go by its time; else it is to be made due first, which is written as well. */
static void fail_by_disk(bool due)
{
        struct answered_poll answer = { 0 };

        net.fails = due ? CAUSE_CHALLENGE : CAUSE_CONNECT;
        net.challenge_id = "abc";
        submit(1);
        pass(20);
        net.fails = CAUSE_NONE;
        disk_takes_writes(false);
        sender_poll(sender, poll_answered, &answer);
        settle();
        bool rests = sender_rests_ms(sender) > 0;
        disk_takes_writes(true);
        ck_assert_uint_eq(answer.times, 1);
        ck_assert_int_eq(answer.result.cause.code, CAUSE_STORAGE);
        ck_assert(rests);
        pass(300);
        check_queue(QUEUE_SENT, 1);
        check_status(ACCOUNT_OK);
}

START_TEST(a_disk_that_takes_no_writes_stops_it_until_it_does)
{
        fail_by_disk(_i == 1);
}
END_TEST

/* A session that comes about shows nothing while no mail can be claimed. */
START_TEST(the_server_does_not_speak_for_the_disk)
{
        enum account_status begun, status;
        bool said_ok = false;

        set_number_property(PROP_CHECK_RATE, 3600);
        net.fails = CAUSE_CHALLENGE;
        net.challenge_id = "abc";
        submit(1);
        pass(20);
        net.fails = CAUSE_NONE;
        disk_takes_writes(false);
        sender_try_now(sender);
        settle();
        begun = account->status;
        for (int i = 0; i < 200; i++) {
                pass(1);
                said_ok |= account->status == ACCOUNT_OK;
        }
        sender_tested(sender, &(struct cause){ 0 }, "");
        status = account->status;
        disk_takes_writes(true);
        ck_assert_uint_gt(net.opened, 1);
        ck_assert_int_eq(begun, ACCOUNT_FAULT);
        ck_assert(!said_ok && status != ACCOUNT_OK);
        pass(300);
        check_queue(QUEUE_SENT, 1);
        check_status(ACCOUNT_OK);
}
END_TEST

static void count_sent(void *ctx, struct event *event)
{
        unsigned *count = ctx;

        *count += event_kind(event) == EVENT_MAIL_SENT;
}

/* Where a server takes few recipients at once, what became of the first ones is written while the others are
 * on their way: it is told when it is on disk, as the rest is. */
START_TEST(what_is_not_on_disk_is_not_told)
{
        unsigned told = 0, told_early;
        struct subscription *subscription = events_subscribe(NULL, count_sent, &told);

        server.one_recipient = true;
        net.far_ms = 1000;
        submit_to(2, 1);
        for (int i = 0; i < 60 && !server.messages; i++)
                pass(1);
        disk_takes_writes(false);
        for (int i = 0; i < 60 && server.messages < 2; i++)
                pass(1);
        pass(2);
        told_early = told;
        disk_takes_writes(true);
        pass(10);
        events_unsubscribe(subscription);
        ck_assert_uint_eq(server.messages, 2);
        ck_assert_uint_eq(told_early, 0);
        ck_assert_uint_eq(told, 2);
        check_queue(QUEUE_SENT, 1);
}
END_TEST

/* The answer about a disk that failed comes when nobody is there any more. */
START_TEST(it_may_be_freed_while_a_claim_fails)
{
        net.fails = CAUSE_CHALLENGE;
        net.challenge_id = "abc";
        submit(1); /* due, but the account rests */
        disk_takes_writes(false);
        sender_try_now(sender);
        account->sender = NULL;
        sender_free(take(sender));
        settle();
        disk_takes_writes(true);
        ck_assert_uint_eq(account->users, 1);
}
END_TEST

START_TEST(it_may_be_freed_at_any_moment)
{
        submit(20);
        net.silent = true;
        submit(20);
        account->sender = NULL;
        sender_free(take(sender));
        settle();
        ck_assert_uint_eq(net.open, 0);
        check_queue(QUEUE_SENDING, 0);
}
END_TEST

START_TEST(changed_properties_are_for_new_sessions)
{
        net.silent = true;
        submit(1);
        ck_assert_uint_eq(net.opened, 1);
        account->generation++;
        net.silent = false;
        sender_start_over(sender, 0);
        settle();
        pass(1);
        ck_assert_uint_eq(net.opened, 2); /* the first had not come about */
        check_queue(QUEUE_SENT, 1);
        account->generation++;
        sender_start_over(sender, 0);
        settle();
        submit(1);
        pass(1);
        check_queue(QUEUE_SENT, 2);
        ck_assert_uint_eq(net.opened, 3);
}
END_TEST

START_TEST(a_poll_is_answered_when_all_is_done)
{
        struct answered_poll answer = { 0 };

        sender_poll(sender, poll_answered, &answer);
        settle();
        ck_assert_uint_eq(answer.times, 1); /* nothing waits: a session shows whether it works */
        ck_assert_int_eq(answer.result.cause.code, CAUSE_NONE);
        ck_assert_uint_eq(net.opened, 1);
        net.fails = CAUSE_CONNECT;
        pass(20);
        submit(2);
        answer.times = 0;
        sender_poll(sender, poll_answered, &answer);
        settle();
        ck_assert_uint_eq(answer.times, 1);
        ck_assert_int_eq(answer.result.cause.code, CAUSE_CONNECT);
        net.fails = CAUSE_NONE;
        server.rcpt = "550 5.1.1 nobody";
        sender_poll(sender, poll_answered, &answer);
        settle();
        ck_assert_uint_eq(answer.times, 2);
        ck_assert_uint_eq(answer.result.failed, 2);
        set_number_property(PROP_ENABLED, 0);
        sender_poll(sender, poll_answered, &answer);
        ck_assert_uint_eq(answer.times, 3);
        ck_assert_int_eq(answer.result.cause.code, CAUSE_DISABLED);
}
END_TEST

START_TEST(an_idle_account_is_checked)
{
        set_number_property(PROP_CHECK_RATE, 3600);
        sender_start_over(sender, 0);
        settle();
        pass(3);
        ck_assert_uint_eq(net.opened, 1);
        check_status(ACCOUNT_OK);
        watch(24 * 3600);
        ck_assert_uint_ge(net.opened, 24);
        ck_assert_uint_le(net.opened, 28);
        net.fails = CAUSE_AUTHENTICATION;
        pass(4000);
        ck_assert_int_ne(account->status, ACCOUNT_OK);
        unsigned before = net.opened;
        struct cause good = { 0 };
        net.fails = CAUSE_NONE;
        sender_tested(sender, &good, ""); /* `account test` has found that it works */
        settle();
        check_status(ACCOUNT_OK);
        pass(3600);
        ck_assert_uint_le(net.opened, before + 2);
}
END_TEST

START_TEST(a_notice_tells_of_mail_that_failed)
{
        set_text_property(PROP_NOTIFY_FAILED, "ops@example.net");
        server.dot = "554 5.6.0 not this one";
        submit(1);
        check_queue(QUEUE_FAILED,
                    2); /* the notice went at once, was refused as well, and makes none of its own */
        server.dot = NULL;
        pass(24 * 3600);
        check_queue(QUEUE_FAILED, 2);
}
END_TEST

START_TEST(winding_down_waits_for_what_is_in_flight)
{
        submit(1);
        pass(1);
        net.silent = true;
        submit(1);
        ck_assert(sender_busy(sender));
        sender_wind_down(sender);
        settle();
        ck_assert(sender_busy(sender));
        net.silent = false;
        submit(1); /* comes too late */
        script_touch(net.first);
        settle();
        pass(1);
        ck_assert(!sender_busy(sender));
        check_queue(QUEUE_SENT, 2);
        check_queue(QUEUE_QUEUED, 1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("sender");
        TCase *cases = tcase_create("sender");

        tcase_set_timeout(cases, 60);
        tcase_add_checked_fixture(cases, open_all, close_all);
        tcase_add_test(cases, mail_goes_and_the_session_is_kept_a_moment);
        tcase_add_test(cases, large_mail_is_claimed_as_it_goes);
        tcase_add_test(cases, mail_is_claimed_by_the_commit_that_takes_it);
        tcase_add_test(cases, a_server_that_is_down_is_tried_less_and_less_often);
        tcase_add_test(cases, a_person_or_another_network_ends_the_pause);
        tcase_add_test(cases, a_session_whose_way_has_gone_ends_after_its_mail);
        tcase_add_test(cases, no_more_sessions_than_max_connections);
        tcase_add_loop_test(cases, a_server_far_away_gets_many_sessions, 0, 2);
        tcase_add_test(cases, a_near_one_is_kept_busy_by_few);
        tcase_add_test(cases, what_it_bears_is_remembered);
        tcase_add_test(cases, one_session_is_enough_where_no_further_one_is_let_in);
        tcase_add_test(cases, sessions_that_break_together_are_one_failure);
        tcase_add_test(cases, sessions_closed_together_after_their_work_are_no_failure);
        tcase_add_test(cases, a_server_that_takes_one_message_in_a_session_keeps_none_waiting);
        tcase_add_test(cases, a_server_that_asks_for_less_gets_less);
        tcase_add_test(cases, a_busy_server_is_left_alone);
        tcase_add_test(cases, the_daily_limit_ends_at_midnight);
        tcase_add_test(cases, mail_waits_for_the_period_of_poll_rate);
        tcase_add_test(cases, mail_comes_due_though_the_clock_was_set_back);
        tcase_add_test(cases, what_waits_for_trust_does_not_age);
        tcase_add_test(cases, a_session_that_is_trusted_no_more_ends_at_once);
        tcase_add_test(cases, a_session_that_another_may_be_better_than_finishes_and_goes);
        tcase_add_test(cases, a_session_made_while_trust_changed_says_nothing);
        tcase_add_test(cases, what_the_server_closes_after_its_work_is_no_failure);
        tcase_add_test(cases, a_withdrawn_token_is_fetched_anew);
        tcase_add_test(cases, a_token_ends_by_time);
        tcase_add_loop_test(cases, a_disk_that_takes_no_writes_stops_it_until_it_does, 0, 2);
        tcase_add_test(cases, the_server_does_not_speak_for_the_disk);
        tcase_add_test(cases, what_is_not_on_disk_is_not_told);
        tcase_add_test(cases, it_may_be_freed_while_a_claim_fails);
        tcase_add_test(cases, it_may_be_freed_at_any_moment);
        tcase_add_test(cases, changed_properties_are_for_new_sessions);
        tcase_add_test(cases, a_poll_is_answered_when_all_is_done);
        tcase_add_test(cases, an_idle_account_is_checked);
        tcase_add_test(cases, a_notice_tells_of_mail_that_failed);
        tcase_add_test(cases, winding_down_waits_for_what_is_in_flight);
        suite_add_tcase(suite, cases);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
