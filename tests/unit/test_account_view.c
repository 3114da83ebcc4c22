/* SPDX-License-Identifier: MIT */
/* How an account is shown: every property, what was learnt, warnings; and that what is shown can be applied.
 */
#include "daemon/service/account_view.c"
#include "daemon/store/kept.h"

#include "daemon/accounts/accounts.h"
#include "daemon/events.h"
#include "daemon/settings.h"

#include "account_made.h"
#include "state_folder.h"

enum { NOON = 1742727600 };

static struct settings settings;

static void hear_line(int priority, const char *message_id, const char *text)
{
        (void)priority;
        (void)message_id;
        (void)text;
}

static void open_all(void)
{
        folder_open();
        loop_freeze(1000, NOON);
        journal_capture(hear_line);
        settings_put_current(&settings);
        events_open();
}

static void close_all(void)
{
        accounts_close();
        events_close();
        journal_capture(NULL);
        folder_close();
}

START_TEST(a_read_only_property_is_worked_out_or_kept)
{
        struct account *account = make("plant", KIND_OUTGOING, true);

        for (int id = 0; id < PROPERTIES; id++) {
                if (properties[id].access != ACCESS_READ)
                        continue;
                json_t *value = worked_out_json(account, (enum property_id)id);
                ck_assert_msg((value != NULL) != (kept_named(properties[id].name) < KEPT_VALUES), "%s",
                              properties[id].name);
                json_decref(value);
        }
        account_free(account);
}
END_TEST

START_TEST(every_property_is_shown)
{
        static const enum account_kind kinds[] = { KIND_OUTGOING, KIND_INCOMING };

        for (size_t k = 0; k < count_of(kinds); k++) {
                struct account *account = make("plant", kinds[k], true);
                json_t *all = account_json(account);
                for (size_t id = 0; id < PROPERTIES; id++)
                        ck_assert_msg((json_object_get(all, properties[id].name) != NULL) ==
                                              ((properties[id].kinds & (unsigned)kinds[k]) != 0),
                                      "%s", properties[id].name);
                ck_assert_str_eq(json_string_value(json_object_get(all, "status")), "connecting");
                ck_assert_str_eq(json_string_value(json_object_get(all, "passwordSource")), "none");
                ck_assert(json_is_null(json_object_get(all, "tls")));
                ck_assert(json_is_null(json_object_get(all, "cause")));
                ck_assert(json_is_null(json_object_get(all, "faultCause")));
                ck_assert(json_is_null(json_object_get(all, "lastPollSuccess")));
                ck_assert_ptr_null(json_object_get(all, "challenge"));
                json_decref(all);
                account_free(account);
        }
}
END_TEST

START_TEST(what_was_learnt_is_shown)
{
        struct account *account = make("plant", KIND_OUTGOING, true);
        struct channel_info info = { .version = "TLSv1.3",
                                     .cipher = "TLS_AES_256_GCM_SHA384",
                                     .not_after = NOON,
                                     .verified_by = "system" };

        (void)snprintf(info.fingerprint, sizeof info.fingerprint, "abcd");
        account_put_tls(account, &info, 7);
        kept_set_number("plant", KEPT_NUMBER_SENT, 42);
        kept_set_number("plant", KEPT_LAST_POLL_SUCCESS, NOON);
        kept_set_text("plant", KEPT_LAST_POLL_FAILURE_CAUSE, "the server is away");
        quota_count_sent(account, 3);
        fall_ill(account, CAUSE_CHALLENGE, "0123456789ab");
        json_t *all = account_json(account), *tls = json_object_get(all, "tls");

        ck_assert_str_eq(json_string_value(json_object_get(tls, "version")), "TLSv1.3");
        ck_assert_str_eq(json_string_value(json_object_get(tls, "verifiedBy")), "system");
        ck_assert_int_eq(json_integer_value(json_object_get(all, "numberSent")), 42);
        ck_assert_int_eq(json_integer_value(json_object_get(all, "numberSentToday")), 3);
        ck_assert_int_eq(json_integer_value(json_object_get(all, "queueSize")), 0);
        ck_assert_str_eq(json_string_value(json_object_get(all, "lastPollSuccess")), "2025-03-23T11:00:00Z");
        ck_assert_str_eq(json_string_value(json_object_get(all, "lastPollFailureCause")),
                         "the server is away");
        ck_assert_str_eq(json_string_value(json_object_get(all, "faultCause")), "words");
        ck_assert_str_eq(json_string_value(json_object_get(all, "challenge")), "0123456789ab");
        ck_assert_str_eq(json_string_value(json_object_get(json_object_get(all, "cause"), "code")),
                         "Challenge");
        json_decref(all);
        account_put_tls(account, NULL, 0);
        all = account_json(account);
        ck_assert(json_is_null(json_object_get(all, "tls")));
        json_decref(all);
        account_free(account);
}
END_TEST

static bool warned(const struct account *account, const char *words)
{
        json_t *warnings = account_warnings(account), *one;
        size_t index;
        bool found = false;

        json_array_foreach(warnings, index, one)
                found |= strstr(json_string_value(one), words) != NULL;
        json_decref(warnings);
        return found;
}

START_TEST(an_exemption_is_a_warning)
{
        struct account *account = make("plant", KIND_OUTGOING, true);
        struct channel_info info = { .verified_by = "allowedHost" };

        ck_assert(!warned(account, "by exemption"));
        account_put_tls(account, &info, 7);
        ck_assert(warned(account, "by exemption"));
        info.verified_by = "user";
        account_put_tls(account, &info, 7);
        ck_assert(!warned(account, "by exemption"));
        account->values.of[PROP_USE_SSL].number = false;
        ck_assert(warned(account, "no TLS"));
        account->unreadable = true;
        ck_assert(!warned(account, "no TLS"));
        account_free(account);
}
END_TEST

struct answer {
        bool come;
        char changes[200];
};

static void applied(void *ctx, json_t *changes, const struct causes *problems)
{
        struct answer *answer = ctx;
        size_t index;
        json_t *one;

        ck_assert_uint_eq(problems->count, 0);
        json_array_foreach(changes, index, one) {
                size_t len = strlen(answer->changes);
                (void)snprintf(answer->changes + len, sizeof answer->changes - len, "%s:%s ",
                               json_string_value(json_object_get(one, "account")),
                               json_string_value(json_object_get(one, "change")));
        }
        answer->come = true;
        loop_end();
}

static void not_counted(void *ctx, const char *name, bool is_new, const json_t *differences)
{
        (void)ctx;
        (void)name;
        (void)is_new;
        (void)differences;
}

static void apply(json_t *accounts, const char *changes)
{
        static const struct apply_user user = { not_counted, applied };
        struct answer answer = { 0 };

        accounts_apply(accounts, false, &user, &answer);
        if (!answer.come)
                run_until_end();
        ck_assert_str_eq(answer.changes, changes);
}

START_TEST(what_is_shown_can_be_applied)
{
        json_t *document =
                json_loads("[{\"name\": \"plant\", \"kind\": \"outgoing\", \"hostname\": \"h.example\","
                           "  \"maxConnections\": 9},"
                           " {\"name\": \"in\", \"kind\": \"incoming\", \"transport\": \"pop3\","
                           "  \"hostname\": \"h.example\"}]",
                           0, NULL);
        struct cause cause = { 0 };

        ck_assert_int_eq(accounts_open(&cause), 0);
        apply(document, "plant:add in:add ");
        json_decref(document);
        json_t *list = json_array();
        for (const struct account *account = accounts_first(); account; account = account->next) {
                json_t *all = account_json(account);
                json_put(all, "warnings", account_warnings(account));
                (void)json_array_append_new(list, all);
        }
        apply(list, "in:none plant:none ");
        json_decref(list);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("account_view");
        TCase *tests = tcase_create("account_view");

        tcase_add_checked_fixture(tests, open_all, close_all);
        tcase_add_test(tests, a_read_only_property_is_worked_out_or_kept);
        tcase_add_test(tests, every_property_is_shown);
        tcase_add_test(tests, what_was_learnt_is_shown);
        tcase_add_test(tests, an_exemption_is_a_warning);
        tcase_add_test(tests, what_is_shown_can_be_applied);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
