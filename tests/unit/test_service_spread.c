/* SPDX-License-Identifier: MIT */
/* Accounts that come, or begin anew, many at once: their sessions do not begin in one moment. */
#include "daemon/service/service.c"

#include "scripted_smtp.h"

#include "daemon/accounts/accounts_parts.h"

enum { MANY = 400, SLICE_MS = 100 };
static struct account *many[MANY];

static void open_all(void)
{
        memset(&server, 0, sizeof server);
        memset(&station, 0, sizeof station);
        runner_open(KIND_OUTGOING);
        heartbeats_open();
        station.started = true;
}

static void close_all(void)
{
        heartbeats_close();
        settle();
        secrets_close();
        runner_close();
}

static void make(enum account_kind kind)
{
        for (size_t i = 0; i < MANY; i++) {
                struct property_values values;
                scoped(scoped_free) char *name = text_of("n%03zu", i);
                properties_defaults(&values, kind);
                prop_put_text(&values, PROP_NAME, name);
                prop_put_text(&values, PROP_HOSTNAME, "mail.example.net");
                prop_put_text(&values, PROP_ACCOUNT, "");
                many[i] = account_hold(account_new(&values));
                properties_done(&values);
                accounts_insert(many[i]);
        }
}

static void end(void)
{
        for (size_t i = 0; i < MANY; i++) {
                accounts_take_out(many[i]);
                account_removed(many[i]);
                settle();
                account_release(many[i]);
        }
}

/* All of them, one behind the other as an apply does it; then so many seconds go by, in which each begins one
 * session. */
static void expect_spread(void (*happens)(struct account *one), int64_t seconds)
{
        unsigned before = net.opened, most = 0;

        for (size_t i = 0; i < MANY; i++) {
                drawn = (uint32_t)i * 2654435761u;
                happens(many[i]);
        }
        for (int64_t ms = 0; ms < seconds * 1000; ms += SLICE_MS) {
                unsigned until_now = net.opened;
                pass_ms(SLICE_MS);
                if (net.opened - until_now > most)
                        most = net.opened - until_now;
        }
        ck_assert_uint_eq(net.opened - before, MANY);
        ck_assert_msg(most < MANY / 2, "%u of %d began in one moment", most, MANY);
}

START_TEST(receivers_that_come_or_change)
{
        server.greeting = ""; /* it stays at that */
        make(KIND_INCOMING);
        expect_spread(account_added, 2);
        expect_spread(account_changed, 2);
        end();
}
END_TEST

/* Their sessions are checks: they have no mail. */
START_TEST(senders_that_come_or_change)
{
        make(KIND_OUTGOING);
        expect_spread(account_added, 25);
        expect_spread(account_changed, 25);
        end();
}
END_TEST

/* What waits for one decision about a certificate is let go by it, all at once. */
START_TEST(receivers_that_waited_for_a_decision)
{
        net.fails = CAUSE_CHALLENGE;
        net.challenge_id = "abc";
        make(KIND_INCOMING);
        expect_spread(account_added, 2);
        net.fails = CAUSE_NONE;
        server.greeting = "";
        expect_spread(recheck_trust_of, 2);
        end();
}
END_TEST

/* A person who changes one waits for nothing. */
START_TEST(one_that_changes_begins_at_once)
{
        server.greeting = "";
        make(KIND_INCOMING);
        expect_spread(account_added, 2);
        unsigned before = net.opened;
        drawn = UINT32_MAX;
        account_changed(many[7]);
        pass_ms(1);
        ck_assert_uint_eq(net.opened, before + 1);
        end();
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("service_spread");
        TCase *cases = tcase_create("service_spread");

        tcase_set_timeout(cases, 60);
        tcase_add_checked_fixture(cases, open_all, close_all);
        tcase_add_test(cases, receivers_that_come_or_change);
        tcase_add_test(cases, senders_that_come_or_change);
        tcase_add_test(cases, receivers_that_waited_for_a_decision);
        tcase_add_test(cases, one_that_changes_begins_at_once);
        suite_add_tcase(suite, cases);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
