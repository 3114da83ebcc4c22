/* SPDX-License-Identifier: MIT */
/*
 * Looking at a server step by step, over scripted sessions: which steps are told and how each ends, what
 * counts for the account, and who may stop it when.
 */
#include "daemon/service/probe.c"

#include "scripted_smtp.h"

static struct {
        char steps[1024];  /* "resolve ok; connect ok; ..." */
        char remedy[1024]; /* of the last cause */
        char words[1024];  /* of the last step */
        unsigned done;
        bool good;
        struct probe *stop; /* to be cancelled in the next step */
} told;

static void on_step(unused_arg void *ctx, json_t *step)
{
        size_t used = strlen(told.steps);
        const char *remedy = json_string_value(json_object_get(json_object_get(step, "cause"), "remedy"));
        const char *words = json_string_value(json_object_get(step, "text"));

        (void)snprintf(told.steps + used, sizeof told.steps - used, "%s %s; ",
                       json_string_value(json_object_get(step, "step")),
                       json_string_value(json_object_get(step, "result")));
        if (remedy)
                (void)snprintf(told.remedy, sizeof told.remedy, "%s", remedy);
        (void)snprintf(told.words, sizeof told.words, "%s", words ? words : "");
        ck_assert_int_ge(json_integer_value(json_object_get(step, "milliseconds")), 0);
        if (told.stop)
                probe_cancel(take(told.stop));
}

static void on_done(unused_arg void *ctx, bool good)
{
        told.done++;
        told.good = good;
}

static const struct probe_user person = { on_step, on_done };

static void open_all(void)
{
        memset(&server, 0, sizeof server);
        memset(&told, 0, sizeof told);
        runner_open(KIND_OUTGOING);
        set_text_property(PROP_FROM, "bob@example.net");
        set_number_property(PROP_CHECK_RATE, 0);
        sender = account->sender = sender_new(account, 0);
        settle();
}

static void close_all(void)
{
        account->sender = NULL;
        sender_free(take(sender));
        settle();
        secrets_close();
        runner_close();
}

static void look_at_account(void)
{
        memset(&told, 0, sizeof told);
        (void)probe_account(account, &person, NULL);
        pass(1);
}

static void check_told(const char *steps, bool good)
{
        ck_assert_str_eq(told.steps, steps);
        ck_assert_uint_eq(told.done, 1);
        ck_assert_int_eq(told.good, good);
        ck_assert_uint_eq(net.open, 0);
}

static const struct verdict trusted = { .kind = VERDICT_SYSTEM }, exempt = { .kind = VERDICT_ALLOWED };

/* ---- an account ---- */

START_TEST(all_goes_well)
{
        net.verdict = &trusted;
        look_at_account();
        check_told("resolve ok; connect ok; tls ok; certificate ok; login skipped; capabilities ok; ", true);
        ck_assert_ptr_nonnull(strstr(told.words, "ENHANCEDSTATUSCODES"));
        check_status(ACCOUNT_OK);
        net.verdict = &exempt;
        look_at_account();
        check_told("resolve ok; connect ok; tls ok; certificate warning; login skipped; capabilities ok; ",
                   true);
}
END_TEST

START_TEST(in_clear_there_is_nothing_to_verify)
{
        set_number_property(PROP_USE_SSL, 0);
        set_number_property(PROP_USE_STARTTLS, 0);
        look_at_account();
        check_told(
                "resolve ok; connect ok; tls warning; certificate skipped; login skipped; capabilities ok; ",
                true);
}
END_TEST

static const struct {
        enum cause_code code;
        int64_t lookup_ms;
        const char *steps;
        enum account_status status;
} ends[] = {
        { CAUSE_RESOLVE, -1, "resolve failed; ", ACCOUNT_DOWN },
        { CAUSE_TIMEOUT, -1, "resolve failed; ", ACCOUNT_DOWN },
        { CAUSE_CONNECT, 5, "resolve ok; connect failed; ", ACCOUNT_DOWN },
        { CAUSE_TIMEOUT, 5, "resolve ok; connect failed; ", ACCOUNT_DOWN },
        { CAUSE_SECRET, 5, "resolve ok; connect failed; ", ACCOUNT_FAULT },
};

START_TEST(the_step_that_failed_is_named)
{
        net.fails = ends[_i].code;
        net.lookup_ms = ends[_i].lookup_ms;
        look_at_account();
        check_told(ends[_i].steps, false);
        check_status(ends[_i].status);
}
END_TEST

START_TEST(a_server_that_does_not_come_to_tls)
{
        server.greeting = "554 5.3.2 no service";
        look_at_account();
        check_told("resolve ok; connect ok; tls failed; ", false);
}
END_TEST

START_TEST(a_server_that_says_no_after_it)
{
        net.verdict = &trusted;
        server.greeting = "554 5.3.2 no service";
        look_at_account();
        check_told("resolve ok; connect ok; tls ok; certificate ok; login failed; ", false);
}
END_TEST

/* A bad certificate is told as that step, and nothing follows it. */
START_TEST(a_certificate_waits_for_a_decision)
{
        struct verdict doubted = { .kind = VERDICT_CHALLENGE };

        cause_set(&doubted.cause, CAUSE_CHALLENGE, "the issuer is not known");
        cause_remedy(&doubted.cause, "import it");
        net.verdict = &doubted;
        net.challenge_id = "abc";
        look_at_account();
        check_told("resolve ok; connect ok; tls ok; certificate failed; ", false);
        ck_assert_ptr_nonnull(strstr(told.remedy, "import it"));
        ck_assert_ptr_nonnull(strstr(told.remedy, "emailsecctl account poll box"));
        check_status(ACCOUNT_CHALLENGE);
}
END_TEST

START_TEST(a_password_is_missing)
{
        set_text_property(PROP_ACCOUNT, "ann");
        set_text_property(PROP_AUTHENTICATION, "plain");
        look_at_account();
        check_told("login failed; ", false);
        check_status(ACCOUNT_FAULT);
        ck_assert_uint_eq(net.opened, 0);
}
END_TEST

START_TEST(a_token_comes_first)
{
        net.verdict = &trusted;
        use_tokens();
        look_at_account();
        ck_assert_uint_eq(told.done, 0);
        answer_token("t", 3600, CAUSE_NONE);
        pass(1);
        check_told("token ok; resolve ok; connect ok; tls ok; certificate ok; login ok; capabilities ok; ",
                   true);
}
END_TEST

START_TEST(no_token_comes)
{
        use_tokens();
        look_at_account();
        answer_token(NULL, 0, CAUSE_AUTHENTICATION);
        pass(1);
        check_told("token failed; ", false);
        check_status(ACCOUNT_FAULT);
}
END_TEST

/* What was found of an account as it was says nothing of it as it is. */
START_TEST(a_changed_account_is_not_judged_by_it)
{
        net.fails = CAUSE_CONNECT;
        net.lookup_ms = 5;
        (void)probe_account(account, &person, NULL);
        account->generation++;
        pass(1);
        check_told("resolve ok; connect failed; ", false);
        check_status(ACCOUNT_CONNECTING);
}
END_TEST

/* ---- whoever asked has gone ---- */

START_TEST(it_is_stopped_before_it_began)
{
        probe_cancel(probe_account(account, &person, NULL));
        pass(60);
        ck_assert_str_eq(told.steps, "");
        ck_assert_uint_eq(told.done, 0);
}
END_TEST

START_TEST(it_is_stopped_while_it_tells)
{
        net.verdict = &trusted;
        told.stop = probe_account(account, &person, NULL);
        pass(60);
        ck_assert_str_eq(told.steps, "resolve ok; ");
        ck_assert_uint_eq(told.done, 0);
        ck_assert_uint_eq(net.open, 0);
}
END_TEST

START_TEST(it_is_stopped_while_it_waits)
{
        struct probe *probe = probe_account(account, &person, NULL);

        net.silent = true;
        pass(5);
        ck_assert_uint_eq(net.open, 1);
        probe_cancel(probe);
        pass(1);
        ck_assert_uint_eq(net.open, 0);
        use_tokens();
        probe = probe_account(account, &person, NULL);
        pass(1);
        ck_assert_ptr_nonnull(asked);
        probe_cancel(probe);
        pass(1);
        ck_assert_uint_eq(told.done, 0);
}
END_TEST

START_TEST(a_server_that_says_nothing)
{
        net.silent = true;
        look_at_account();
        ck_assert_uint_eq(told.done, 0);
        pass(300);
        check_told("resolve ok; connect ok; tls failed; ", false);
}
END_TEST

/* ---- a server without an account ---- */

static void plays_imap(struct session *session, const char *line)
{
        int tag = (int)strcspn(line, " ");

        if (strcmp(line + tag, " LOGOUT") == 0)
                server_says(session, "* BYE\r\n");
        server_says(session, "* CAPABILITY IMAP4rev1 IDLE\r\n%.*s OK done\r\n", tag, line);
}

static void plays_pop3(struct session *session, const char *line)
{
        server_says(session, strcmp(line, "CAPA") == 0 ? "+OK\r\nUIDL\r\nTOP\r\n.\r\n" : "+OK\r\n");
}

static const struct {
        const char *transport, *greeting, *offers;
        void (*plays)(struct session *session, const char *line);
} servers[] = {
        { "smtp", "220 mail.example.net hello", "ENHANCEDSTATUSCODES", NULL },
        { "imap", "* OK hello", "IDLE", plays_imap },
        { "pop3", "+OK hello", "UIDL", plays_pop3 },
};

START_TEST(a_server_alone)
{
        net.verdict = &trusted;
        server.greeting = servers[_i].greeting;
        server.plays = servers[_i].plays;
        (void)probe_server("mail.example.org", 0, servers[_i].transport, "ssl", &person, NULL);
        pass(1);
        check_told("resolve ok; connect ok; tls ok; certificate ok; login skipped; capabilities ok; ", true);
        ck_assert_msg(strstr(told.words, servers[_i].offers) != NULL, "%s", told.words);
        check_status(ACCOUNT_CONNECTING);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("probe");
        TCase *cases = tcase_create("probe");

        tcase_add_checked_fixture(cases, open_all, close_all);
        tcase_add_test(cases, all_goes_well);
        tcase_add_test(cases, in_clear_there_is_nothing_to_verify);
        tcase_add_loop_test(cases, the_step_that_failed_is_named, 0, (int)count_of(ends));
        tcase_add_test(cases, a_server_that_does_not_come_to_tls);
        tcase_add_test(cases, a_server_that_says_no_after_it);
        tcase_add_test(cases, a_certificate_waits_for_a_decision);
        tcase_add_test(cases, a_password_is_missing);
        tcase_add_test(cases, a_token_comes_first);
        tcase_add_test(cases, no_token_comes);
        tcase_add_test(cases, a_changed_account_is_not_judged_by_it);
        tcase_add_test(cases, it_is_stopped_before_it_began);
        tcase_add_test(cases, it_is_stopped_while_it_tells);
        tcase_add_test(cases, it_is_stopped_while_it_waits);
        tcase_add_test(cases, a_server_that_says_nothing);
        tcase_add_loop_test(cases, a_server_alone, 0, (int)count_of(servers));
        suite_add_tcase(suite, cases);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
