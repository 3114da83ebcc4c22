/* SPDX-License-Identifier: MIT */
/*
 * Mail about accounts that need a person, in virtual time: what is gathered, what is told again and when, who
 * carries it, and what happens where nobody can.
 */
#include "daemon/service/fault_mail.c"

#include "scripted_smtp.h"

#include "daemon/accounts/accounts_parts.h"
#include "daemon/service/heartbeat_parts.h"

static struct account *plant, *till; /* incoming accounts that things happen to */
static unsigned warnings;            /* lines about nobody having been told */

static void hear_line(int priority, const char *message_id, unused_arg const char *text)
{
        warnings += priority == LOG_WARNING && same_text(message_id, MSG_FAULT_UNTOLD);
}

static struct account *incoming(const char *name)
{
        scoped(scoped_free) char *host = text_of("%s.example.net", name);
        struct property_values values;

        properties_defaults(&values, KIND_INCOMING);
        prop_put_text(&values, PROP_NAME, name);
        prop_put_text(&values, PROP_HOSTNAME, host);
        struct account *made = account_hold(account_new(&values));
        properties_done(&values);
        accounts_insert(made);
        return made;
}

static void dissolve(struct account *one)
{
        accounts_take_out(one);
        one->deleted = true;
        account_release(one);
}

static void open_all(void)
{
        memset(&server, 0, sizeof server);
        warnings = 0;
        runner_open(KIND_OUTGOING);
        settings.notify_faults = copy_text("it@example.com");
        set_text_property(PROP_FROM, "bob@example.net");
        set_number_property(PROP_CHECK_RATE, 0);
        accounts_insert(account);
        plant = incoming("plant");
        till = incoming("till");
        journal_capture(hear_line);
        fault_mail_open();
        sender = account->sender = sender_new(account, 0);
        settle();
}

static void close_all(void)
{
        fault_mail_close();
        journal_capture(NULL);
        account->sender = NULL;
        sender_free(take(sender));
        settle();
        dissolve(take(till));
        if (plant)
                dissolve(take(plant));
        accounts_take_out(account);
        secrets_close();
        runner_close();
}

static void fails(struct account *one, enum cause_code code)
{
        struct cause cause = { 0 };

        cause_set(&cause, code, "%s is not well", one->name);
        account_report_failure(one, &cause, code == CAUSE_CHALLENGE ? "abc" : NULL);
}

/* So many mails came to the server in all, and the last one has this in it. */
static void check_mails(unsigned count, const char *words)
{
        ck_assert_uint_eq(server.messages, count);
        if (words)
                ck_assert_msg(strstr(server.content, words) != NULL, "no \"%s\" in %s", words,
                              server.content);
}

/* ---- what is told ---- */

START_TEST(what_comes_together_is_one_mail)
{
        fails(plant, CAUSE_AUTHENTICATION);
        pass(120);
        fails(till, CAUSE_CHALLENGE);
        pass(50);
        check_mails(0, NULL); /* three minutes from the first */
        pass(20);
        check_mails(1, "2 accounts need a person");
        check_mails(1, "plant is not well");
        check_mails(1, "what to do: emailsecctl challenge show abc");
        check_mails(1, "To: <it@example.com>");
        pass(3600);
        check_mails(1, NULL);
}
END_TEST

START_TEST(that_it_is_over_is_told_where_the_beginning_was)
{
        fails(plant, CAUSE_AUTHENTICATION);
        fails(till, CAUSE_AUTHENTICATION);
        account_has_worked(till); /* before anybody was told: nothing */
        pass(200);
        check_mails(1, "account plant needs a person");
        account_has_worked(plant);
        pass(200);
        check_mails(2, "account plant works again");
        account_has_worked(till);
        pass(200);
        check_mails(2, NULL);
}
END_TEST

START_TEST(what_heals_by_itself_is_not_told)
{
        fails(plant, CAUSE_CONNECT);
        pass(400);
        check_mails(0, NULL);
}
END_TEST

START_TEST(one_cause_is_told_once_a_day)
{
        fails(plant, CAUSE_AUTHENTICATION);
        pass(200);
        account_has_worked(plant);
        pass(200);
        check_mails(2, "works again");
        fails(plant, CAUSE_AUTHENTICATION);
        pass(200);
        check_mails(2, NULL);
        fails(plant, CAUSE_SECRET); /* another one is news */
        pass(200);
        check_mails(3, "needs a person");
        pass(DAY);
        account_has_worked(plant);
        pass(200);
        fails(plant, CAUSE_AUTHENTICATION);
        pass(200);
        check_mails(5, "needs a person");
}
END_TEST

START_TEST(whoever_disables_or_deletes_it_knows)
{
        fails(plant, CAUSE_AUTHENTICATION);
        fails(till, CAUSE_AUTHENTICATION);
        till->values.of[PROP_ENABLED].number = 0;
        account_start_over(till);
        dissolve(take(plant));
        pass(400);
        check_mails(0, NULL);
        ck_assert_uint_eq(warnings, 0);
}
END_TEST

START_TEST(a_start_tells_what_is_still_so)
{
        fails(plant, CAUSE_AUTHENTICATION);
        fault_mail_close(); /* untold */
        fault_mail_open();
        pass(200);
        check_mails(1, "plant is not well");
        fault_mail_close(); /* told, and on disk */
        fault_mail_open();
        pass(400);
        check_mails(1, NULL);
}
END_TEST

START_TEST(a_heartbeat_that_is_missing_is_told)
{
        set_text_property(PROP_HEARTBEAT, "alarm@example.com");
        kept_set_number("box", KEPT_LAST_HEARTBEAT, loop_wall());
        kept_set_number("box", KEPT_HEARTBEAT_STATE, HEARTBEAT_MISSING);
        event_emit(EVENT_HEARTBEAT_MISSING, "box", NULL, "missing");
        pass(200);
        check_mails(0, NULL); /* the account told of does not carry it, and there is no other */
        ck_assert_uint_eq(warnings, 1);
        event_emit(EVENT_HEARTBEAT_ARRIVED, "box", NULL, "arrived");
        pass(1000);
        check_mails(0, NULL); /* nobody was told that it had been missing */
}
END_TEST

/* ---- who carries it ---- */

START_TEST(the_account_told_of_carries_no_mail)
{
        fails(plant, CAUSE_AUTHENTICATION);
        fails(account, CAUSE_AUTHENTICATION);
        pass(200);
        check_mails(0, NULL);
        ck_assert_uint_eq(warnings, 1);
        pass(3600);
        ck_assert_uint_eq(warnings, 1); /* once */
        account_has_worked(account);
        pass(600);
        check_mails(1, "plant is not well");
        fails(plant, CAUSE_SECRET);
        fails(account, CAUSE_AUTHENTICATION);
        pass(700);
        ck_assert_uint_eq(warnings, 2); /* somebody could be told meanwhile */
}
END_TEST

START_TEST(a_disk_that_takes_nothing_delays_it)
{
        fails(plant, CAUSE_AUTHENTICATION);
        pass(170);
        disk_takes_writes(false);
        pass(20);
        bool warned = warnings == 1, untold = server.messages == 0;
        disk_takes_writes(true);
        ck_assert(warned && untold);
        pass(900);
        check_mails(1, "plant is not well");
}
END_TEST

START_TEST(a_day_has_so_many_mails)
{
        pass(quota_until_midnight(loop_wall())); /* of the place where the test runs */
        for (unsigned i = 0; i < MAILS_A_DAY + 5; i++) {
                kept_set_fault_told("plant", cause_kind(CAUSE_AUTHENTICATION)->name,
                                    0); /* else the cause's own day */
                account_has_worked(plant);
                fails(plant, CAUSE_AUTHENTICATION);
                pass(400);
        }
        check_mails(MAILS_A_DAY, NULL);
        ck_assert_uint_eq(warnings, 1);
        pass(DAY);
        check_mails(MAILS_A_DAY + 1, "plant is not well");
}
END_TEST

START_TEST(nobody_is_to_be_told)
{
        free(take(settings.notify_faults));
        fails(plant, CAUSE_AUTHENTICATION);
        fault_mail_look();
        pass(400);
        check_mails(0, NULL);
        ck_assert_uint_eq(warnings, 0);
}
END_TEST

START_TEST(a_mail_has_so_many_rows)
{
        struct account *many[ROWS_MOST + 10];

        for (size_t i = 0; i < count_of(many); i++) {
                char name[16];
                (void)snprintf(name, sizeof name, "m%zu", i);
                many[i] = incoming(name);
                fails(many[i], CAUSE_AUTHENTICATION);
        }
        pass(200);
        check_mails(1, "60 accounts need a person");
        ck_assert_ptr_nonnull(strstr(server.content, "From: \"Mail station"));
        for (size_t i = 0; i < count_of(many); i++)
                dissolve(many[i]);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("fault_mail");
        TCase *cases = tcase_create("fault_mail");

        tcase_add_checked_fixture(cases, open_all, close_all);
        tcase_add_test(cases, what_comes_together_is_one_mail);
        tcase_add_test(cases, that_it_is_over_is_told_where_the_beginning_was);
        tcase_add_test(cases, what_heals_by_itself_is_not_told);
        tcase_add_test(cases, one_cause_is_told_once_a_day);
        tcase_add_test(cases, whoever_disables_or_deletes_it_knows);
        tcase_add_test(cases, a_start_tells_what_is_still_so);
        tcase_add_test(cases, a_heartbeat_that_is_missing_is_told);
        tcase_add_test(cases, the_account_told_of_carries_no_mail);
        tcase_add_test(cases, a_disk_that_takes_nothing_delays_it);
        tcase_add_test(cases, a_day_has_so_many_mails);
        tcase_add_test(cases, nobody_is_to_be_told);
        tcase_add_test(cases, a_mail_has_so_many_rows);
        suite_add_tcase(suite, cases);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
