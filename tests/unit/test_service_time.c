/* SPDX-License-Identifier: MIT */
/*
 * What the service does by time and by what happens around it, in virtual time over a sender as it is: what
 * mail waits for, networks, sleep and clocks that change, heartbeats, a person's agreement at an OAuth
 * provider.
 */
#include "daemon/service/authorize.h"
#include "daemon/service/heartbeat.c"
#include "daemon/service/service.h"
#include "daemon/service/waiting.h"
#include "daemon/store/kept.h"

#include "scripted_smtp.h"

#include "daemon/accounts/accounts_parts.h"
#include "daemon/accounts/quota.h"
#include "daemon/outgoing/sender_state.h"

static unsigned started_over;

static void start_over(struct account *of)
{
        started_over++;
        account_start_over(of);
        if (of->sender)
                sender_start_over(of->sender, 0);
}

static unsigned told;

static void status_told(unused_arg struct account *of)
{
        told++;
}

static const struct account_observer observer = { .changed = start_over, .status = status_told };

static void open_all(void)
{
        memset(&server, 0, sizeof server);
        told = 0;
        runner_open(KIND_OUTGOING);
        set_text_property(PROP_FROM, "bob@example.net");
        set_number_property(PROP_CHECK_RATE, 0);
        accounts_insert(account);
        account_observe(&observer);
        heartbeats_open();
        sender = account->sender = sender_new(account, 0);
        settle();
}

static void close_all(void)
{
        heartbeats_close();
        account_observe(NULL);
        account->sender = NULL;
        sender_free(take(sender));
        settle();
        accounts_take_out(account);
        secrets_close();
        runner_close();
}

/* ---- what mail waits for
 * --------------------------------------------------------------------------------------- */

static void check_waiting(enum waiting_reason reason, int64_t least, int64_t most, uint64_t messages)
{
        struct waiting waiting;

        waiting_of(account, &waiting);
        ck_assert_msg(waiting.reason == reason, "%s, not %s: %s", waiting_name(waiting.reason),
                      waiting_name(reason), waiting.text);
        if (!reason)
                return;
        ck_assert_uint_eq(waiting.messages, messages);
        ck_assert_int_ge((int64_t)waiting.until - (most ? loop_wall() : 0), least);
        ck_assert_int_le((int64_t)waiting.until - (most ? loop_wall() : 0), most);
        char *words = waiting_words(&waiting);
        ck_assert_ptr_nonnull(strstr(words, waiting.text));
        free(words);
}

START_TEST(it_waits_for_nothing)
{
        check_waiting(WAITING_FOR_NOTHING, 0, 0, 0);
        submit(1);
        check_waiting(WAITING_FOR_NOTHING, 0, 0, 0);
}
END_TEST

START_TEST(it_waits_for_the_next_try)
{
        net.fails = CAUSE_CONNECT;
        submit(2);
        check_waiting(WAITING_FOR_BACKOFF, 47, 49, 2);
        pass(30);
        check_waiting(WAITING_FOR_BACKOFF, 17, 19, 2);
        net.fails = CAUSE_NONE;
        pass(30);
        check_waiting(WAITING_FOR_NOTHING, 0, 0, 0);
}
END_TEST

static const struct {
        enum cause_code code;
        enum waiting_reason reason;
} stops[] = {
        { CAUSE_CHALLENGE, WAITING_FOR_TRUST },        { CAUSE_REJECTED, WAITING_FOR_TRUST },
        { CAUSE_CERTIFICATE, WAITING_FOR_TRUST },      { CAUSE_TRUST_STORE, WAITING_FOR_TRUST },
        { CAUSE_AUTHENTICATION, WAITING_FOR_ACCOUNT }, { CAUSE_SECRET, WAITING_FOR_ACCOUNT },
        { CAUSE_STORAGE, WAITING_FOR_DISK },
};

START_TEST(it_waits_for_what_stops_the_account)
{
        net.fails = stops[_i].code;
        net.challenge_id = "abc";
        submit(1);
        check_waiting(stops[_i].reason, 1, 4320, 1);
}
END_TEST

START_TEST(it_waits_for_midnight)
{
        set_number_property(PROP_MAX_SENDABLE_PER_DAY, 1);
        submit(2);
        int64_t midnight = quota_until_midnight(loop_wall());
        check_waiting(WAITING_FOR_DAILY_LIMIT, midnight, midnight, 1);
}
END_TEST

START_TEST(it_waits_for_the_server_to_have_enough)
{
        server.dot = "451 4.7.1 too many messages, slow down";
        submit(3);
        pass(2);
        check_waiting(WAITING_FOR_THROTTLE, 1, 700, 3);
}
END_TEST

START_TEST(it_waits_for_the_period)
{
        set_number_property(PROP_POLL_RATE, 600);
        sender_start_over(sender, 0);
        pass(2);
        submit(1);
        check_waiting(WAITING_FOR_POLL_RATE, 590, 600, 1);
}
END_TEST

START_TEST(it_waits_for_somebody_to_enable_it)
{
        set_number_property(PROP_ENABLED, 0);
        start_over(account);
        submit(1);
        check_waiting(WAITING_FOR_ACCOUNT, 0, 0, 1);
}
END_TEST

/* ---- what happens around
 * ---------------------------------------------------------------------------------------- */

START_TEST(another_network_is_tried_at_once)
{
        net.fails = CAUSE_CONNECT;
        submit(1);
        pass(400);
        net.fails = CAUSE_NONE;
        service_network_changed();
        settle();
        pass(1);
        check_queue(QUEUE_SENT, 1);
}
END_TEST

START_TEST(after_a_long_sleep_sessions_are_stale)
{
        submit(1);
        service_woke(30);
        pass(1);
        ck_assert_uint_eq(net.open, 1);
        service_woke(3600);
        pass(1);
        ck_assert_uint_eq(net.open, 0);
}
END_TEST

START_TEST(a_clock_that_is_set_delays_nothing)
{
        server.rcpt = "450 4.2.0 later";
        submit(1);
        int64_t age = account_clock(account);
        step_clock(-3 * 24 * 3600);
        service_clock_was_set(-3 * 24 * 3600);
        ck_assert_int_eq(account_clock(account), age); /* mail gets no younger by it */
        server.rcpt = NULL;
        pass(60);
        check_queue(QUEUE_SENT, 1);
        step_clock(3 * 24 * 3600);
        service_clock_was_set(3 * 24 * 3600);
        ck_assert_int_eq(account_clock(account), age + 60);
}
END_TEST

START_TEST(what_failed_by_a_wrong_clock_is_tried_again)
{
        net.fails = CAUSE_CERTIFICATE; /* "not yet valid" */
        submit(1);
        check_status(ACCOUNT_FAULT);
        net.fails = CAUSE_NONE;
        service_clock_was_set(10); /* no more than an adjustment */
        pass(1);
        check_status(ACCOUNT_FAULT);
        step_clock(400 * 24 * 3600);
        service_clock_was_set(400 * 24 * 3600);
        pass(1);
        check_status(ACCOUNT_OK);
        check_queue(QUEUE_SENT, 1);
}
END_TEST

/* ---- many
 * ------------------------------------------------------------------------------------------------------- */

enum { MANY = 150, ON_TURN = 64, FAR = 400 * 24 * 3600 };
static struct account *many[MANY];

static void there_are_many(bool sending)
{
        struct cause cause;

        (void)cause_set(&cause, CAUSE_CONNECT, "nobody answers");
        for (size_t i = 0; i < MANY; i++) {
                struct property_values values;
                scoped(scoped_free) char *name = text_of("n%03zu", i);
                properties_defaults(&values, KIND_OUTGOING);
                prop_put_text(&values, PROP_NAME, name);
                prop_put_text(&values, PROP_HOSTNAME, "mail.example.net");
                values.of[PROP_CHECK_RATE].number = 0;
                many[i] = account_hold(account_new(&values));
                properties_done(&values);
                accounts_insert(many[i]);
                if (sending)
                        many[i]->sender = sender_new(many[i], 0);
                settle();
                if (sending)
                        sender_failed(many[i]->sender, &cause, NULL);
                else
                        account_report_failure(many[i], &cause, NULL);
        }
        settle();
}

static void they_go(void)
{
        for (size_t i = 0; i < MANY; i++) {
                sender_free(take(many[i]->sender));
                settle();
                accounts_take_out(many[i]);
                many[i]->deleted = true;
                account_release(many[i]);
        }
}

static size_t resting(void)
{
        size_t count = 0;

        for (size_t i = 0; i < MANY; i++)
                count += many[i]->sender && sender_rests_ms(many[i]->sender) >= 0;
        return count;
}

/* Set right at once are the clocks of all; tried anew is some of them in each turn, and one that goes
 * meanwhile is not. */
START_TEST(many_are_tried_by_a_new_clock_in_turns)
{
        there_are_many(false);
        started_over = 0;
        step_clock(FAR);
        service_clock_was_set(FAR);
        ck_assert_uint_le(started_over, ON_TURN);
        for (size_t i = 0; i < MANY; i++)
                ck_assert_int_eq(kept_number(many[i]->name, KEPT_PAUSED_SECONDS), FAR);
        accounts_take_out(many[MANY - 1]);
        for (unsigned before = 0; started_over < MANY - 1;) {
                before = started_over;
                pass_ms(1);
                ck_assert_uint_gt(started_over, before);
                ck_assert_uint_le(started_over - before, ON_TURN);
        }
        pass(1);
        ck_assert_uint_eq(started_over, MANY - 1);
        they_go();
}
END_TEST

START_TEST(many_are_tried_by_another_way_in_turns)
{
        there_are_many(true);
        ck_assert_uint_eq(resting(), MANY);
        service_network_changed();
        ck_assert_uint_ge(resting(), MANY - ON_TURN);
        for (size_t before = 0; resting();) {
                before = resting();
                pass_ms(1);
                ck_assert_uint_lt(resting(), before);
                ck_assert_uint_le(before - resting(), ON_TURN);
        }
        they_go();
}
END_TEST

/* ---- heartbeats
 * ------------------------------------------------------------------------------------------------- */

static void heart_beats_for(int64_t minutes)
{
        for (; minutes; minutes--) {
                heartbeat_look(account);
                pass(60);
        }
}

static bool arrives(const char *token)
{
        char *id = text_of("<heartbeat.%s@station>", token),
             *subject = text_of("Heartbeat of box on station (%s)", token);
        bool ours = heartbeat_received("in", id, subject);

        free(id);
        free(subject);
        return ours;
}

START_TEST(a_heart_beats)
{
        set_text_property(PROP_HEARTBEAT, "alarm@example.com");
        set_number_property(PROP_HEARTBEAT_RATE, 3600);
        ck_assert_str_eq(heartbeat_state(account), "none");
        heart_beats_for(1);
        ck_assert_str_eq(heartbeat_state(account), "sent");
        check_queue(QUEUE_SENT, 1);
        char *token = copy_text(kept_text("box", KEPT_HEARTBEAT_TOKEN));
        ck_assert(arrives(token));
        ck_assert_str_eq(heartbeat_state(account), "arrived");
        ck_assert(!arrives("0000000000000000")); /* somebody else's */
        heart_beats_for(58);
        check_queue(QUEUE_SENT, 1);
        heart_beats_for(5);
        check_queue(QUEUE_SENT, 2);
        ck_assert(arrives(token)); /* a late copy of the first shows nothing of the second */
        ck_assert_str_eq(heartbeat_state(account), "sent");
        free(token);
}
END_TEST

START_TEST(a_heart_misses_a_beat)
{
        set_text_property(PROP_HEARTBEAT, "alarm@example.com");
        set_number_property(PROP_HEARTBEAT_RATE, 3600);
        server.rcpt = "450 4.2.0 later";
        heart_beats_for(29);
        ck_assert_str_eq(heartbeat_state(account), "queued");
        ck_assert_ptr_null(heartbeat_warning(account));
        heart_beats_for(3);
        ck_assert_str_eq(heartbeat_state(account), "missing");
        char *warning = heartbeat_warning(account);
        ck_assert_ptr_nonnull(strstr(warning, "alarm@example.com"));
        free(warning);
        server.rcpt = NULL;
        heart_beats_for(90); /* the next ones go, and nobody here receives them */
        ck_assert_str_eq(heartbeat_state(account), "sent");
}
END_TEST

/* ---- somebody waits for a heartbeat ---- */

static char heard_steps[256];

static void hear_step(unused_arg void *ctx, json_t *step)
{
        size_t used = strlen(heard_steps);

        (void)snprintf(heard_steps + used, sizeof heard_steps - used, "%s %s; ",
                       json_string_value(json_object_get(step, "step")),
                       json_string_value(json_object_get(step, "result")));
}

static void hear_last(void *ctx, json_t *step)
{
        hear_step(ctx, step);
        (void)strcat(heard_steps, "end");
}

static const struct heartbeat_user waits = { .step = hear_step, .done = hear_last };

static struct heartbeat_watch *ask_for_a_heartbeat(void)
{
        struct heartbeat_watch *watch = NULL;
        struct cause cause = { 0 };

        heard_steps[0] = '\0';
        set_text_property(PROP_HEARTBEAT, "alarm@example.com");
        ck_assert_msg(heartbeat_ask(account, &waits, NULL, &watch, &cause) == 0, "%s", cause.text);
        pass(1);
        return watch;
}

START_TEST(somebody_waits_for_a_heartbeat)
{
        (void)ask_for_a_heartbeat();
        /* no incoming account is here that could receive it */
        ck_assert_str_eq(heard_steps, "queued ok; sent ok; arrived skipped; end");
        server.rcpt = "450 4.2.0 later";
        (void)ask_for_a_heartbeat();
        ck_assert_str_eq(heard_steps, "queued ok; ");
        char *token = copy_text(kept_text("box", KEPT_HEARTBEAT_TOKEN));
        ck_assert(arrives(token)); /* another way than this station's */
        pass(1);
        ck_assert_str_eq(heard_steps, "queued ok; arrived ok; end");
        free(token);
}
END_TEST

START_TEST(nobody_waits_for_ever)
{
        server.rcpt = "450 4.2.0 later";
        (void)ask_for_a_heartbeat();
        pass(298);
        ck_assert_str_eq(heard_steps, "queued ok; ");
        pass(2);
        ck_assert_str_eq(heard_steps, "queued ok; sent failed; end");
        heartbeat_cancel(ask_for_a_heartbeat());
        pass(600);
        ck_assert_str_eq(heard_steps, "queued ok; ");
}
END_TEST

START_TEST(no_heartbeat_can_be_asked_for)
{
        struct heartbeat_watch *watch = NULL;
        struct cause cause = { 0 };

        ck_assert_int_eq(heartbeat_ask(account, &waits, NULL, &watch, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_INVALID);
        set_text_property(PROP_HEARTBEAT, "alarm@example.com");
        set_number_property(PROP_ENABLED, 0);
        start_over(account);
        ck_assert_int_eq(heartbeat_ask(account, &waits, NULL, &watch, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_DISABLED);
}
END_TEST

/* ---- a person agrees
 * --------------------------------------------------------------------------------------------- */

static unsigned steps, ends;
static char last_result[16], last_cause[40];

static void on_step(unused_arg void *ctx, unused_arg json_t *step)
{
        steps++;
}

static void on_done(unused_arg void *ctx, json_t *last)
{
        const char *cause = json_string_value(json_object_get(json_object_get(last, "cause"), "code"));

        ends++;
        (void)snprintf(last_result, sizeof last_result, "%s",
                       json_string_value(json_object_get(last, "result")));
        (void)snprintf(last_cause, sizeof last_cause, "%s", cause ? cause : "");
}

static const struct authorize_user person = { .step = on_step, .done = on_done };
static const struct actor actor = { .uid = "0", .login_uid = "0", .who = "root (uid 0)" };
static const struct grant_answer code = { .device_code = (char *)(uintptr_t)"device",
                                          .user_code = (char *)(uintptr_t)"ABCD",
                                          .verification_uri = (char *)(uintptr_t)"https://x.example.net/",
                                          .interval = 5,
                                          .expires_in = 900 };
static const struct grant_answer nothing = { 0 };

static struct authorize *ask_for_a_code(void)
{
        struct authorize *authorize = NULL;
        struct cause cause = { 0 };
        char *secrets = folder_path("secrets");

        (void)mkdir(secrets, 0700);
        free(secrets);
        steps = ends = 0;
        use_tokens();
        set_text_property(PROP_OAUTH_GRANT, "device");
        ck_assert_msg(authorize_begin(account, &actor, &person, NULL, &authorize, &cause) == 0, "%s",
                      cause.text);
        answer_grant(GRANT_GIVEN, &code, CAUSE_NONE);
        ck_assert_uint_eq(steps, 1);
        ck_assert_ptr_null(asked); /* not before the interval has passed */
        return authorize;
}

/* The endpoint is asked after so many seconds, and not a second before. */
static void asked_after(int64_t seconds)
{
        pass(seconds - 1);
        ck_assert_ptr_null(asked);
        pass(1);
        ck_assert_ptr_nonnull(asked);
}

START_TEST(somebody_agrees)
{
        (void)ask_for_a_code();
        asked_after(5);
        answer_grant(GRANT_PENDING, &nothing, CAUSE_NONE);
        asked_after(5);
        answer_grant(GRANT_SLOW_DOWN, &nothing, CAUSE_NONE);
        asked_after(10);
        answer_grant(GRANT_REFUSED, &nothing, CAUSE_CONNECT); /* the network is away: less often */
        asked_after(20);
        struct grant_answer given = { .access_token = (char *)(uintptr_t)"a",
                                      .refresh_token = (char *)(uintptr_t)"r" };
        answer_grant(GRANT_GIVEN, &given, CAUSE_NONE);
        pass(1);
        ck_assert_uint_eq(ends, 1);
        ck_assert_str_eq(last_result, "ok");
        struct cause cause = { 0 };
        ck_assert_str_eq(secret_get("box", "oauthRefreshToken", &cause), "r");
}
END_TEST

START_TEST(nobody_agrees)
{
        (void)ask_for_a_code();
        for (int i = 0; i < 179; i++) {
                asked_after(5);
                answer_grant(GRANT_PENDING, &nothing, CAUSE_NONE);
        }
        ck_assert_uint_eq(ends, 0);
        pass(10);
        ck_assert_uint_eq(ends, 1);
        ck_assert_str_eq(last_result, "failed");
        ck_assert_str_eq(last_cause, "Timeout");
}
END_TEST

START_TEST(somebody_refuses_or_nobody_waits)
{
        (void)ask_for_a_code();
        asked_after(5);
        answer_grant(GRANT_REFUSED, &nothing, CAUSE_AUTHENTICATION);
        ck_assert_uint_eq(ends, 1);
        ck_assert_str_eq(last_result, "failed");
        struct authorize *authorize = ask_for_a_code();
        asked_after(5);
        authorize_cancel(authorize);
        pass(3600);
        ck_assert_ptr_null(asked);
        ck_assert_uint_eq(ends, 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("service_time");
        TCase *cases = tcase_create("service_time");

        tcase_set_timeout(cases, 60);
        tcase_add_checked_fixture(cases, open_all, close_all);
        tcase_add_test(cases, it_waits_for_nothing);
        tcase_add_test(cases, it_waits_for_the_next_try);
        tcase_add_loop_test(cases, it_waits_for_what_stops_the_account, 0, (int)count_of(stops));
        tcase_add_test(cases, it_waits_for_midnight);
        tcase_add_test(cases, it_waits_for_the_server_to_have_enough);
        tcase_add_test(cases, it_waits_for_the_period);
        tcase_add_test(cases, it_waits_for_somebody_to_enable_it);
        tcase_add_test(cases, another_network_is_tried_at_once);
        tcase_add_test(cases, after_a_long_sleep_sessions_are_stale);
        tcase_add_test(cases, a_clock_that_is_set_delays_nothing);
        tcase_add_test(cases, what_failed_by_a_wrong_clock_is_tried_again);
        tcase_add_test(cases, many_are_tried_by_a_new_clock_in_turns);
        tcase_add_test(cases, many_are_tried_by_another_way_in_turns);
        tcase_add_test(cases, a_heart_beats);
        tcase_add_test(cases, a_heart_misses_a_beat);
        tcase_add_test(cases, somebody_waits_for_a_heartbeat);
        tcase_add_test(cases, nobody_waits_for_ever);
        tcase_add_test(cases, no_heartbeat_can_be_asked_for);
        tcase_add_test(cases, somebody_agrees);
        tcase_add_test(cases, nobody_agrees);
        tcase_add_test(cases, somebody_refuses_or_nobody_waits);
        suite_add_tcase(suite, cases);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
