/* SPDX-License-Identifier: MIT */
/*
 * What the service shows of all its accounts: status and its line, the audit, metrics, what becomes a fault
 * before long, who uses which server, the trail of changes.
 */
#include "daemon/service/status.c"

#include "account_made.h"
#include "pki.h"
#include "state_folder.h"
#include "virtual_time.h"

#include "common/names.h"
#include "daemon/accounts/accounts_parts.h"
#include "daemon/accounts/index.h"
#include "daemon/events.h"
#include "daemon/service/heartbeat_parts.h"
#include "daemon/service/metrics.h"
#include "daemon/service/server_users.h"
#include "daemon/tls/x509.h"

#include <regex.h>

enum { NOON = 1742727600 };

static struct settings settings;
static unsigned ends_told;

static void hear_line(unused_arg int priority, unused_arg const char *message_id, unused_arg const char *text)
{
}

static void hear_event(unused_arg void *ctx, struct event *event)
{
        ends_told += event_kind(event) == EVENT_ALLOWED_ENDS;
}

static void setup(void)
{
        struct cause cause = { 0 };

        ends_told = 0;
        folder_open();
        loop_freeze(1000000, NOON);
        journal_capture(hear_line);
        settings_defaults(&settings);
        settings_put_current(&settings);
        events_open();
        (void)events_subscribe(NULL, hear_event, NULL);
        ck_assert_msg(allowed_open(state_folder, &cause) == 0, "%s", cause.text);
        settle();
}

static void teardown(void)
{
        accounts_close();
        secrets_close();
        allowed_close();
        journal_capture(NULL);
        events_close();
        settle();
        folder_close();
        settings_done(&settings);
}

static struct account *there_is(const char *name, enum account_kind kind)
{
        struct account *account = make(name, kind, true);

        accounts_insert(account);
        return account;
}

/* All pieces together. What was under way, `work`, is ended. */
static json_t *whole(bool (*next)(void *work, struct json_writer *out), void (*end)(void *work), void *work,
                     const char *member)
{
        struct buf text;
        struct json_writer out = { .to = &text };
        bool more = true;

        buf_init(&text, 1 << 20);
        while (more)
                more = next(work, &out);
        end(work);
        ck_assert(!out.failed);
        json_t *parameters = json_loadb((const char *)buf_bytes(&text), text.len, 0, NULL);
        json_t *value = json_incref(json_object_get(parameters, member));
        ck_assert_ptr_nonnull(value);
        json_decref(parameters);
        buf_free(&text);
        return value;
}

static json_t *status_of(const char *name, size_t most)
{
        struct cause cause = { 0 };
        struct status_work *work = service_status_begin(name, most, &cause);

        ck_assert_msg(work != NULL, "%s", cause.text);
        return whole(service_status_next, service_status_end, work, "status");
}

/* Whether one of these has the words in its text: sentences, causes or findings. */
static bool has(const json_t *list, const char *words)
{
        size_t index;
        json_t *one;

        json_array_foreach((json_t *)list, index, one) {
                const char *text = json_is_string(one) ? json_string_value(one)
                                                       : json_string_value(json_object_get(one, "text"));
                if (text && strstr(text, words))
                        return true;
        }
        return false;
}

static bool advises(const char *account, const char *words)
{
        json_t *status = status_of(account, 100);
        bool found = has(json_object_get(status, "advice"), words);

        json_decref(status);
        return found;
}

/* ---- status ---- */

START_TEST(a_station_without_accounts_says_how_to_begin)
{
        char *line = service_line();

        ck_assert(advises(NULL, "there is no account yet"));
        ck_assert_str_eq(line, "0 accounts; 0 in the queue, 0 failed; 0 challenges waiting");
        free(line);
}
END_TEST

static void miss_heartbeat(struct account *account)
{
        index_remove(account);
        prop_put_text(&account->values, PROP_HEARTBEAT, "alarm@example.com");
        index_add(account);
        kept_set_number(account->name, KEPT_HEARTBEAT_STATE, HEARTBEAT_MISSING);
}

START_TEST(those_that_are_ill_are_listed_before_the_others)
{
        static const char *const names[] = { "a", "b", "c", "d", "e" };
        char order[64] = "";
        size_t index;
        json_t *one;

        for (size_t i = 0; i < count_of(names); i++)
                (void)there_is(names[i], KIND_OUTGOING);
        fall_ill(account_named("c"), CAUSE_AUTHENTICATION, NULL);
        fall_ill(account_named("e"), CAUSE_CHALLENGE, "abc");
        json_t *status = status_of(NULL, 3);
        json_array_foreach(json_object_get(status, "accounts"), index, one)
                (void)strcat(order, json_string_value(json_object_get(one, "name")));
        ck_assert_str_eq(order, "cea");
        const json_t *totals = json_object_get(status, "totals");
        ck_assert_int_eq(json_integer_value(json_object_get(totals, "connecting")), 3);
        ck_assert_int_eq(json_integer_value(json_object_get(totals, "fault")), 1);
        ck_assert_int_eq(json_integer_value(json_object_get(totals, "challenge")), 1);
        json_decref(status);
        order[0] = '\0';
        status = status_of(NULL, 5); /* there is room for all: in order of name */
        json_array_foreach(json_object_get(status, "accounts"), index, one)
                (void)strcat(order, json_string_value(json_object_get(one, "name")));
        ck_assert_str_eq(order, "abcde");
        json_decref(status);
        miss_heartbeat(account_named("d"));
        fall_ill(account_named("b"), CAUSE_CONNECT, NULL);
        order[0] = '\0';
        status = status_of(NULL, 4);
        json_array_foreach(json_object_get(status, "accounts"), index, one)
                (void)strcat(order, json_string_value(json_object_get(one, "name")));
        ck_assert_str_eq(order, "cedb");
        ck_assert_int_eq(json_integer_value(json_object_get(status, "heartbeatsMissing")), 1);
        json_decref(status);
        char *line = service_line();
        ck_assert_ptr_nonnull(strstr(line, "5 accounts (3 not working);"));
        free(line);
}
END_TEST

START_TEST(advice_names_what_to_do)
{
        (void)there_is("in", KIND_INCOMING);
        struct account *out = there_is("out", KIND_OUTGOING);

        fall_ill(account_named("in"), CAUSE_AUTHENTICATION, NULL);
        ck_assert(advises("in", "emailsecctl account password in"));
        ck_assert(!advises("out", "emailsecctl account password in"));
        fall_ill(out, CAUSE_CHALLENGE, "abc");
        ck_assert(advises("out", "emailsecctl challenge show abc"));
        ck_assert(advises(NULL, "emailsecctl challenge show abc"));
        out->values.of[PROP_MAX_PER_RECIPIENT].number = 20;
        kept_set_number("out", KEPT_LAST_FLOOD, NOON - 60);
        kept_set_text("out", KEPT_FLOOD_RECIPIENT, "ann@example.com");
        ck_assert(advises("out", "more than 20 messages an hour come for ann@example.com"));
        kept_set_number("out", KEPT_LAST_FLOOD, NOON - 3600);
        ck_assert(!advises("out", "messages an hour"));
}
END_TEST

START_TEST(no_account_of_that_name)
{
        struct cause cause = { 0 };

        ck_assert_ptr_null(service_status_begin("nobody", 10, &cause));
        ck_assert_int_eq(cause.code, CAUSE_NOT_FOUND);
}
END_TEST

/* ---- audit ---- */

static const char *verdict_of(const json_t *findings, const char *check)
{
        size_t index;
        json_t *one;

        json_array_foreach((json_t *)findings, index, one)
                if (same_text(json_string_value(json_object_get(one, "check")), check))
                        return json_string_value(json_object_get(one, "verdict"));
        return "";
}

static void check_audit(const char *check, const char *verdict)
{
        json_t *findings = whole(service_audit_next, service_audit_end, service_audit_begin(), "findings");

        ck_assert_msg(same_text(verdict_of(findings, check), verdict), "%s: %s, not %s", check,
                      verdict_of(findings, check), verdict);
        json_decref(findings);
}

START_TEST(the_audit_finds_what_is_weak)
{
        struct account *box = there_is("box", KIND_OUTGOING);
        box->values.of[PROP_USE_SSL].number = 1;
        box->values.of[PROP_USE_STARTTLS].number = 0;
        prop_put_text(&box->values, PROP_ACCOUNT, "ann");
        check_audit("tls", "ok");
        check_audit("login", "ok");
        check_audit("secret", "ok");
        check_audit("debug", "ok");
        check_audit("identity", ""); /* nothing was seen of it */
        box->values.of[PROP_DEBUG].number = 1;
        check_audit("debug", "alert");
        box->values.of[PROP_ALLOW_LEGACY_RENEGOTIATION].number = 1;
        check_audit("renegotiation", "warning");
        box->values.of[PROP_USE_SSL].number = 0;
        check_audit("tls", "alert");
        check_audit("renegotiation", "");
        box->values.of[PROP_ALLOW_PLAINTEXT].number = 1;
        check_audit("login", "alert");
        box->values.of[PROP_ENABLED].number = 0;
        check_audit("login", ""); /* nobody signs in by it */
        free(settings.allow_from);
        settings.allow_from = copy_text("192.0.2.0/24");
        check_audit("allowFrom", "alert");
}
END_TEST

static const struct {
        int days;
        const char *by, *identity, *expiry;
} seen[] = {
        { 400, "system", "ok", "ok" },
        { 20, "system", "ok", "warning" },
        { -1, "allowedHost", "warning", "alert" },
};

START_TEST(the_audit_judges_what_was_seen)
{
        struct account *box = there_is("box", KIND_OUTGOING);

        box->tls = new_object(struct channel_info);
        box->tls->not_after = NOON + seen[_i].days * 86400;
        box->tls->verified_by = seen[_i].by;
        check_audit("identity", seen[_i].identity);
        check_audit("expiry", seen[_i].expiry);
}
END_TEST

START_TEST(an_account_that_cannot_be_read_is_found)
{
        struct cause cause = { 0 };

        cause_set(&cause, CAUSE_STORAGE, "the file is damaged");
        account_cannot_be_read(there_is("box", KIND_OUTGOING), &cause);
        check_audit("file", "alert");
        check_audit("tls", "");
}
END_TEST

/* ---- metrics ---- */

/* As OpenMetrics wants it: a family's lines stand together, after its TYPE and HELP, and none comes twice. */
static void check_metrics(char *text)
{
        regex_t sample;
        char family[100] = "";
        scoped(scoped_free) char *families = copy_text(" ");

        ck_assert_int_eq(regcomp(&sample,
                                 "^emailsec_[a-z_]+(\\{[a-z]+=\"[^\"]*\"(,[a-z]+=\"[^\"]*\")*\\})? "
                                 "-?[0-9]+(\\.[0-9]+)?$",
                                 REG_EXTENDED | REG_NOSUB),
                         0);
        char *rest = NULL, *line = strtok_r(text, "\n", &rest);
        for (; line && strcmp(line, "# EOF") != 0; line = strtok_r(NULL, "\n", &rest)) {
                if (strncmp(line, "# TYPE ", 7) == 0) {
                        ck_assert_int_eq(sscanf(line + 7, "%99s", family), 1);
                        scoped(scoped_free) char *before = families, *word = text_of(" %s ", family);
                        ck_assert_msg(strstr(before, word) == NULL, "twice: %s", family);
                        families = text_of("%s%s ", before, family);
                } else if (strncmp(line, "# HELP ", 7) == 0) {
                        ck_assert_msg(strncmp(line + 7, family, strlen(family)) == 0, "%s", line);
                } else {
                        ck_assert_msg(strncmp(line, family, strlen(family)) == 0, "%s in %s", line, family);
                        ck_assert_msg(regexec(&sample, line, 0, NULL, 0) == 0, "%s", line);
                }
        }
        ck_assert_ptr_nonnull(line);
        ck_assert_ptr_null(strtok_r(NULL, "\n", &rest));
        regfree(&sample);
}

static char *metrics_text(void)
{
        struct buf text = BUF_WITH_MAX(MIB);
        struct metrics_work *work = metrics_begin();

        while (metrics_next(work, &text))
                continue;
        metrics_end(work);
        return buf_take_text(&text);
}

static bool has_sample(const char *line)
{
        scoped(scoped_free) char *text = metrics_text(), *whole = text_of("\n%s\n", line);

        return strstr(text, whole) != NULL;
}

START_TEST(metrics_are_well_formed)
{
        struct account *out = there_is("out", KIND_OUTGOING);

        (void)there_is("in", KIND_INCOMING);
        out->tls = new_object(struct channel_info);
        out->handshake_ms = 1500;
        prop_put_text(&out->values, PROP_HEARTBEAT, "alarm@example.com");
        submission_counts.sockets = 1;
        scoped(scoped_free) char *text = metrics_text();
        submission_counts.sockets = 0;
        check_metrics(text);
}
END_TEST

START_TEST(metrics_tell_what_is_so)
{
        struct account *out = there_is("out", KIND_OUTGOING);

        kept_set_number("out", KEPT_NUMBER_SENT, 17);
        fall_ill(out, CAUSE_CONNECT, NULL);
        ck_assert(has_sample("emailsec_account_up{account=\"out\",direction=\"outgoing\"} 0"));
        ck_assert(has_sample("emailsec_account_status{account=\"out\",status=\"down\"} 1"));
        ck_assert(has_sample("emailsec_account_status{account=\"out\",status=\"ok\"} 0"));
        ck_assert(has_sample("emailsec_sent_messages_total{account=\"out\"} 17"));
        account_has_worked(out);
        ck_assert(has_sample("emailsec_account_up{account=\"out\",direction=\"outgoing\"} 1"));
        ck_assert(has_sample("emailsec_station_faults 0"));
        ck_assert(!has_sample("emailsec_submission_clients 0")); /* nobody listens */
}
END_TEST

/* ---- what ends soon ---- */

static void decided(unused_arg void *ctx, const struct cause *cause, unused_arg json_t *entry)
{
        ck_assert_msg(!cause_happened(cause), "%s", cause->text);
}

static void approve_until(time_t until)
{
        struct pki pki = pki_make(&(struct pki_spec){ .cn = "mail.example.net",
                                                      .san = "DNS:mail.example.net",
                                                      .from_days = -3650,
                                                      .to_days = 36500 });
        struct certificate leaf;
        struct verdict verdict = { .kind = VERDICT_CHALLENGE };
        char digits[65];

        certificate_from_x509(pki.x509, &leaf);
        struct tls_evidence evidence = {
                .host = "mail.example.net", .port = 465, .chain = &leaf, .chain_count = 1, .error_count = 1
        };
        allowed_record(&evidence, "out", &verdict);
        hex_print(leaf.sha256, 32, digits);
        struct allowed_decision decision = { .id = verdict.allowed_id,
                                             .what = DECIDE_APPROVE,
                                             .fingerprint = digits,
                                             .until = until,
                                             .who = "root (uid 0)" };
        allowed_decide(&decision, decided, NULL);
        settle();
        certificate_done(&leaf);
        pki_free(&pki);
}

static bool comes_soon(const char *words)
{
        json_t *soon = soon_causes();
        bool found = has(soon, words);

        json_decref(soon);
        return found;
}

START_TEST(an_exemption_ends_soon)
{
        free(settings.expiry_warnings);
        settings.expiry_warnings = copy_text("14, 3, 1");
        approve_until(NOON + 20 * 86400);
        ck_assert(!comes_soon("the exemption"));
        soon_check();
        ck_assert_uint_eq(ends_told, 0);
        step_clock(10 * 86400);
        ck_assert(comes_soon("the exemption for mail.example.net:465 ends in 10 days"));
        soon_check();
        soon_check();
        ck_assert_uint_eq(ends_told, 1); /* once for each of those days */
        step_clock(8 * 86400);
        soon_check();
        ck_assert_uint_eq(ends_told, 2);
        step_clock(1 * 86400 + 3600);
        ck_assert(comes_soon("ends within a day"));
}
END_TEST

START_TEST(a_disk_is_nearly_down_to_its_reserve)
{
        reserve_set(0);
        settle(); /* the look */
        ck_assert(!comes_soon("the disk of the state folder"));
        reserve_set((int64_t)(reserve_room().free / 4 * 3));
        settle();
        ck_assert(comes_soon("the disk of the state folder"));
        reserve_set(0);
}
END_TEST

/* ---- who uses which server ---- */

static void use_tls(struct account *account, bool tls)
{
        index_remove(account);
        account->values.of[PROP_USE_SSL].number = tls;
        account->values.of[PROP_USE_STARTTLS].number = 0;
        index_add(account);
}

START_TEST(servers_have_users)
{
        struct account *out = there_is("out", KIND_OUTGOING);
        struct cause cause = { 0 };

        use_tls(out, true);
        ck_assert(server_users_of("mail.example.net", 465));
        ck_assert(!server_users_of("mail.example.net", 993));
        ck_assert(!server_users_of("other.example.net", 465));
        use_tls(out, false); /* it looks at no certificate */
        ck_assert(!server_users_of("mail.example.net", 465));
        cause_set(&cause, CAUSE_STORAGE, "the file is damaged");
        index_remove(out);
        account_cannot_be_read(out, &cause);
        index_add(out);
        ck_assert(server_users_of("other.example.net", 465)); /* it may be its server */
}
END_TEST

/* ---- the trail ---- */

START_TEST(the_last_change_is_shown)
{
        static const struct actor actor = { .uid = "0", .login_uid = "1000", .who = "root (uid 0)" };

        json_t *status = status_of(NULL, 10);
        ck_assert(json_is_null(json_object_get(status, "lastChange")));
        json_decref(status);
        audit_trail_record(&actor, &(struct trail){ .action = TRAIL_ACCOUNT_CHANGED,
                                                    .about = { .account = "out" },
                                                    .object = "account out",
                                                    .details = "port 25 -> 465" });
        status = status_of(NULL, 10);
        const json_t *last = json_object_get(status, "lastChange");
        ck_assert_str_eq(json_string_value(json_object_get(last, "action")), "account.changed");
        ck_assert_str_eq(json_string_value(json_object_get(last, "text")),
                         "account out was changed by root (uid 0): port 25 -> 465");
        json_decref(status);
}
END_TEST

START_TEST(a_change_is_told_in_bounded_words)
{
        json_t *differences = json_array(), *ids = json_array();

        for (int i = 0; i < 100; i++) {
                (void)json_array_append_new(differences, json_pack("{s:s, s:i, s:i}", "property", "port",
                                                                   "from", i, "to", i + 1));
                (void)json_array_append_new(ids, json_string("abc"));
        }
        scoped(scoped_free) char *words = audit_trail_differences(differences), *named = audit_trail_ids(ids);
        ck_assert_int_eq(strncmp(words, "port 0 -> 1, port 1 -> 2, ", 26), 0);
        ck_assert_ptr_nonnull(strstr(words, " and 76 more"));
        ck_assert_ptr_nonnull(strstr(named, "abc, abc and 80 more"));
        json_decref(differences);
        json_decref(ids);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("service_view");
        TCase *cases = tcase_create("service_view");

        tcase_add_checked_fixture(cases, setup, teardown);
        tcase_add_test(cases, a_station_without_accounts_says_how_to_begin);
        tcase_add_test(cases, those_that_are_ill_are_listed_before_the_others);
        tcase_add_test(cases, advice_names_what_to_do);
        tcase_add_test(cases, no_account_of_that_name);
        tcase_add_test(cases, the_audit_finds_what_is_weak);
        tcase_add_loop_test(cases, the_audit_judges_what_was_seen, 0, (int)count_of(seen));
        tcase_add_test(cases, an_account_that_cannot_be_read_is_found);
        tcase_add_test(cases, metrics_are_well_formed);
        tcase_add_test(cases, metrics_tell_what_is_so);
        tcase_add_test(cases, an_exemption_ends_soon);
        tcase_add_test(cases, a_disk_is_nearly_down_to_its_reserve);
        tcase_add_test(cases, servers_have_users);
        tcase_add_test(cases, the_last_change_is_shown);
        tcase_add_test(cases, a_change_is_told_in_bounded_words);
        suite_add_tcase(suite, cases);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
