/* SPDX-License-Identifier: MIT */
/* One account: what a cause makes of its status, who hears of it, the clock of its mail. */
#include "daemon/accounts/account.c"

#include "account_made.h"
#include "state_folder.h"

enum { NOON = 1742727600 };

static struct {
        unsigned events, lines;
        char event[160], line[400], message_id[40];
} heard;

static void hear_event(void *ctx, struct event *event)
{
        (void)ctx;
        heard.events++;
        (void)snprintf(
                heard.event, sizeof heard.event, "%s %s %s", event_name(event), event_account(event),
                json_string_value(json_object_get(json_object_get(event_json(event), "data"), "status")));
}

static void hear_line(int priority, const char *message_id, const char *text)
{
        (void)priority;
        heard.lines++;
        (void)snprintf(heard.line, sizeof heard.line, "%s", text);
        (void)snprintf(heard.message_id, sizeof heard.message_id, "%s", message_id ? message_id : "");
}

static void open_all(void)
{
        folder_open();
        loop_freeze(1000, NOON);
        memset(&heard, 0, sizeof heard);
        journal_capture(hear_line);
        events_open();
        (void)events_subscribe(NULL, hear_event, NULL);
}

static void close_all(void)
{
        events_close();
        journal_capture(NULL);
        folder_close();
}

static const struct {
        enum cause_code code;
        enum account_status status;
        const char *word;
        bool stopped;
} statuses[] = {
        { CAUSE_CONNECT, ACCOUNT_DOWN, "down", false },
        { CAUSE_RESOLVE, ACCOUNT_DOWN, "down", false },
        { CAUSE_SERVER_BUSY, ACCOUNT_DOWN, "down", false },
        { CAUSE_AUTHENTICATION, ACCOUNT_FAULT, "fault", true },
        { CAUSE_NO_STARTTLS, ACCOUNT_FAULT, "fault", true },
        { CAUSE_CERTIFICATE, ACCOUNT_FAULT, "fault", true },
        { CAUSE_CHALLENGE, ACCOUNT_CHALLENGE, "challenge", true },
        /* a class that says nothing of accounts must not leave one running that cannot */
        { CAUSE_REFUSED, ACCOUNT_FAULT, "fault", true },
};

START_TEST(a_cause_makes_the_status)
{
        struct account *account = make("plant", KIND_OUTGOING, true);

        ck_assert_int_eq(account->status, ACCOUNT_CONNECTING);
        fall_ill(account, statuses[_i].code, statuses[_i].code == CAUSE_CHALLENGE ? "0123456789ab" : NULL);
        ck_assert_int_eq(account->status, statuses[_i].status);
        ck_assert_str_eq(account_status_name(account->status), statuses[_i].word);
        ck_assert_int_eq(account_is_stopped(account), statuses[_i].stopped);
        ck_assert_int_eq(account->cause->code, statuses[_i].code);
        ck_assert_str_ne(account->cause->remedy, "");
        account_has_worked(account);
        ck_assert_int_eq(account->cause->code, CAUSE_NONE);
        ck_assert_str_eq(account->challenge_id, "");
        ck_assert(!account_is_stopped(account));
        account_free(account);
}
END_TEST

START_TEST(news_are_told_once)
{
        struct account *account = make("plant", KIND_OUTGOING, true);

        account_has_worked(account);
        ck_assert_uint_eq(heard.events, 1);
        ck_assert_str_eq(heard.event, "account.status plant ok");
        ck_assert_str_eq(heard.message_id, MSG_ACCOUNT_UP);
        ck_assert_str_eq(heard.line, "account plant works");
        account_has_worked(account);
        ck_assert_uint_eq(heard.events, 1);
        fall_ill(account, CAUSE_CONNECT, NULL);
        fall_ill(account, CAUSE_CONNECT, NULL);
        ck_assert_uint_eq(heard.events, 2);
        ck_assert_uint_eq(heard.lines, 2);
        ck_assert_str_eq(heard.message_id, MSG_ACCOUNT_DOWN);
        fall_ill(account, CAUSE_TIMEOUT, NULL); /* still down, for another reason */
        ck_assert_uint_eq(heard.events, 3);
        fall_ill(account, CAUSE_CHALLENGE, "0123456789ab");
        fall_ill(account, CAUSE_CHALLENGE, "0123456789ab");
        ck_assert_uint_eq(heard.events, 4);
        ck_assert_uint_eq(heard.lines, 3); /* the certificate's own line is the station's */
        fall_ill(account, CAUSE_CHALLENGE, "ba9876543210");
        ck_assert_uint_eq(heard.events, 5);
        fall_ill(account, CAUSE_AUTHENTICATION, NULL);
        ck_assert_str_eq(heard.message_id, MSG_ACCOUNT_FAULT);
        ck_assert_str_eq(account->challenge_id, "");
        account_has_worked(account);
        ck_assert_str_eq(heard.line, "account plant works again");
        account_free(account);
}
END_TEST

START_TEST(starting_over)
{
        struct account *account = make("plant", KIND_OUTGOING, true);

        fall_ill(account, CAUSE_AUTHENTICATION, NULL);
        account_start_over(account);
        ck_assert_int_eq(account->status, ACCOUNT_CONNECTING);
        ck_assert_int_eq(account->cause->code, CAUSE_NONE);
        account->values.of[PROP_ENABLED].number = false;
        account_start_over(account);
        ck_assert_int_eq(account->status, ACCOUNT_DISABLED);
        ck_assert_str_eq(heard.event, "account.status plant disabled");
        unsigned before = heard.events;
        account_start_over(account);
        ck_assert_uint_eq(heard.events, before);
        account->unreadable = true;
        account->status = ACCOUNT_FAULT;
        account->values.of[PROP_ENABLED].number = true;
        account_start_over(account);
        ck_assert_int_eq(account->status, ACCOUNT_FAULT);
        ck_assert(!account_enabled(account));
        account_free(account);
}
END_TEST

START_TEST(the_clock_stands_still_while_a_person_is_waited_for)
{
        struct account *account = make("plant", KIND_OUTGOING, true);
        int64_t at = account_clock(account);

        loop_advance(100 * 1000);
        ck_assert_int_eq(account_clock(account), at += 100); /* connecting */
        fall_ill(account, CAUSE_CONNECT, NULL);
        loop_advance(100 * 1000);
        ck_assert_int_eq(account_clock(account), at += 100); /* down */
        fall_ill(account, CAUSE_AUTHENTICATION, NULL);
        loop_advance(86400 * 1000);
        ck_assert_int_eq(account_clock(account), at);
        fall_ill(account, CAUSE_CHALLENGE, "0123456789ab"); /* from one stop to another */
        loop_advance(86400 * 1000);
        ck_assert_int_eq(account_clock(account), at);
        account_start_over(account); /* decided, but not known yet whether it runs */
        loop_advance(50 * 1000);
        ck_assert_int_eq(account_clock(account), at);
        account_has_worked(account);
        ck_assert_int_eq(account_clock(account), at);
        loop_advance(10 * 1000);
        ck_assert_int_eq(account_clock(account), at += 10);
        account->values.of[PROP_ENABLED].number = false;
        account_start_over(account);
        loop_advance(1000 * 1000);
        ck_assert_int_eq(account_clock(account), at);
        account_free(account);

        /* the daemon starts again: still disabled */
        account = make("plant", KIND_OUTGOING, false);
        loop_advance(1000 * 1000);
        ck_assert_int_eq(account_clock(account), at);
        account->values.of[PROP_ENABLED].number = true;
        account_start_over(account);
        fall_ill(account, CAUSE_CONNECT, NULL);
        loop_advance(7 * 1000);
        ck_assert_int_eq(account_clock(account), at + 7);
        account_free(account);
}
END_TEST

START_TEST(one_that_is_added_disabled_has_a_standing_clock)
{
        struct account *account = make("later", KIND_OUTGOING, false);
        int64_t at = account_clock(account);

        ck_assert_int_eq(account->status, ACCOUNT_DISABLED);
        loop_advance(86400 * 1000);
        ck_assert_int_eq(account_clock(account), at);
        account_free(account);
}
END_TEST

START_TEST(a_wall_clock_set_back_does_no_harm)
{
        struct account *account = make("plant", KIND_OUTGOING, true);

        fall_ill(account, CAUSE_AUTHENTICATION, NULL);
        loop_freeze(2000, NOON - 5000);
        ck_assert_int_eq(account_clock(account), NOON - 5000);
        account_has_worked(account);
        ck_assert_int_eq(account_clock(account), NOON - 5000);
        account_free(account);
}
END_TEST

START_TEST(the_journals_name_for_it)
{
        struct account *account = make("plant", KIND_INCOMING, true);

        prop_put_text(&account->values, PROP_TRANSPORT, "imap");
        struct subject subject = account_subject(account);
        ck_assert_str_eq(subject.account, "plant");
        ck_assert_str_eq(subject.direction, "incoming");
        ck_assert_str_eq(subject.host, "mail.example.net");
        ck_assert_uint_eq(subject.port, 993);
        account_free(account);
}
END_TEST

START_TEST(the_last_user_frees_a_deleted_one)
{
        struct account *account = make("plant", KIND_OUTGOING, true);

        ck_assert_ptr_eq(account_hold(account), account);
        account_release(account);
        ck_assert_str_eq(account->name, "plant"); /* in the set: nobody else's to free */
        account_hold(account);
        account_hold(account);
        account->deleted = true;
        account_release(account);
        ck_assert_str_eq(account->name, "plant");
        account_release(account);
        account_free(NULL);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("account");
        TCase *tests = tcase_create("account");

        tcase_add_checked_fixture(tests, open_all, close_all);
        tcase_add_loop_test(tests, a_cause_makes_the_status, 0, count_of(statuses));
        tcase_add_test(tests, news_are_told_once);
        tcase_add_test(tests, starting_over);
        tcase_add_test(tests, the_clock_stands_still_while_a_person_is_waited_for);
        tcase_add_test(tests, one_that_is_added_disabled_has_a_standing_clock);
        tcase_add_test(tests, a_wall_clock_set_back_does_no_harm);
        tcase_add_test(tests, the_journals_name_for_it);
        tcase_add_test(tests, the_last_user_frees_a_deleted_one);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
