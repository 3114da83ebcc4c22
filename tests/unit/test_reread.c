/* SPDX-License-Identifier: MIT */
/*
 * What the disk did not give, in virtual time over real files: each is read again until it can be, told once
 * when it is, and none holds up another. And files whose absence means that nothing was ever decided: that
 * they have gone is told.
 */
#include "daemon/service/reread.c"

#include "pki.h"
#include "state_folder.h"
#include "virtual_time.h"

#include "daemon/settings.h"

enum { MORNING = 1742720400 };

static struct settings settings;
static struct pki ca;
static char *pem;
static unsigned reloads, lost, changes; /* events told; lines of lost files; accounts that start over */

static void hear_event(unused_arg void *ctx, struct event *event)
{
        reloads += event_kind(event) == EVENT_TRUST_RELOADED;
}

static void hear_line(int priority, const char *message_id, const char *text)
{
        lost += priority == LOG_WARNING && same_text(message_id, MSG_TRUST_FAULT) &&
                strstr(text, "at the last start") != NULL;
}

static void begins(unused_arg struct account *account)
{
}

static void starts_over(unused_arg struct account *account)
{
        changes++;
}

/* One that can be read takes the place of one that could not, which goes. */
static void goes(struct account *account)
{
        account_hold(account);
        account->deleted = true;
        account_release(account);
}

static const struct account_observer observer = { begins, starts_over, goes, begins };

static void put(const char *name, const char *text)
{
        folder_write(name, text, strlen(text));
}

static void remove_file(const char *name)
{
        char *path = folder_path(name);

        ck_assert_int_eq(unlink(path), 0);
        free(path);
}

/* Reads all as a start does; what cannot be read is a fault of its own. */
static void start_all(void)
{
        struct trust_settings trust;
        struct cause cause = { 0 };

        service_trust_settings(&trust);
        (void)trust_open(&trust, &cause);
        (void)allowed_open(state_folder, &cause);
        ck_assert_msg(accounts_open(&cause) == 0, "%s", cause.text);
        reread_tell_lost();
        reread_watch();
        settle();
}

static void end_all(void)
{
        reread_close();
        accounts_close();
        secrets_close();
        allowed_close();
        trust_close();
}

static void setup(void)
{
        reloads = lost = changes = 0;
        folder_open();
        loop_freeze(1000000, MORNING);
        journal_capture(hear_line);
        events_open();
        (void)events_subscribe(NULL, hear_event, NULL);
        settings_defaults(&settings);
        free(settings.state_directory);
        free(settings.system_trust_store);
        settings.state_directory = copy_text(state_folder);
        settings.system_trust_store = folder_path("system.pem");
        settings_put_current(&settings);
        account_observe(&observer);
        ca = pki_make(&(struct pki_spec){ .cn = "Root", .ca = true });
        pem = pki_pem(&ca);
        put("system.pem", pem);
        start_all();
}

static void teardown(void)
{
        account_observe(NULL);
        end_all();
        free(take(pem));
        pki_free(&ca);
        journal_capture(NULL);
        events_close();
        settle();
        folder_close();
        settings_done(&settings);
}

static void start_again(void)
{
        settle();
        end_all();
        start_all();
}

/* ---- what cannot be read ---- */

START_TEST(what_is_well_is_left_alone)
{
        pass(5);
        ck_assert_int_eq(timers_next_due() > loop_now() + 60 * 1000, true);
        ck_assert_uint_eq(reloads, 0);
}
END_TEST

START_TEST(a_trust_store_comes_back)
{
        remove_file("system.pem");
        start_again();
        ck_assert_ptr_nonnull(trust_fault());
        uint64_t generation = trust_generation();
        pass(60);
        ck_assert_ptr_nonnull(trust_fault());
        ck_assert_uint_eq(reloads, 0);
        put("system.pem", pem);
        pass(5);
        ck_assert_ptr_null(trust_fault());
        ck_assert_uint_ne(trust_generation(), generation); /* no decision of before is continued */
        ck_assert_uint_eq(reloads, 1);
        pass(60);
        ck_assert_uint_eq(reloads, 1);
}
END_TEST

START_TEST(the_allowed_hosts_come_back)
{
        put("allowed-hosts.json", "{");
        start_again();
        ck_assert_ptr_nonnull(allowed_fault());
        pass(20);
        ck_assert_uint_eq(reloads, 0);
        remove_file("allowed-hosts.json");
        pass(5);
        ck_assert_ptr_null(allowed_fault());
        ck_assert_uint_eq(reloads, 1);
}
END_TEST

static void added(unused_arg void *ctx, unused_arg struct account *account,
                  unused_arg const struct account_changed *what, const struct causes *problems)
{
        ck_assert_uint_eq(problems->count, 0);
}

static void add_account(void)
{
        json_t *given = json_pack("{s:s}", "hostname", "mail.example.net");

        accounts_add("plant", "outgoing", given, added, NULL);
        settle();
        json_decref(given);
        ck_assert_ptr_nonnull(account_named("plant"));
}

static char *file_text(const char *name)
{
        char *path = folder_path(name), text[4096];
        FILE *file = fopen(path, "r");

        ck_assert_ptr_nonnull(file);
        size_t len = fread(text, 1, sizeof text, file);
        ck_assert_int_eq(fclose(file), 0);
        free(path);
        return copy_bytes(text, len);
}

START_TEST(an_account_comes_back)
{
        add_account();
        char *text = file_text("accounts/plant.json");
        put("accounts/plant.json", "{");
        start_again();
        ck_assert(account_named("plant")->unreadable);
        pass(20);
        ck_assert(account_named("plant")->unreadable);
        put("accounts/plant.json", text);
        pass(5);
        ck_assert(!account_named("plant")->unreadable);
        free(text);
}
END_TEST

/* Whatever else is damaged: each is tried by itself. */
START_TEST(secrets_come_back_beside_a_store_that_does_not)
{
        struct cause cause = { 0 };

        add_account();
        put("secrets/plant", "{");
        remove_file("system.pem");
        start_again();
        ck_assert_ptr_null(secret_get("plant", "password", &cause));
        pass(20);
        ck_assert_uint_eq(changes, 0);
        remove_file("secrets/plant");
        pass(5);
        ck_assert_uint_eq(changes, 1);
        ck_assert_ptr_nonnull(trust_fault());
        put("system.pem", pem);
        pass(5);
        ck_assert_ptr_null(trust_fault());
        ck_assert_uint_eq(changes, 1);
}
END_TEST

/* ---- what has gone ---- */

static void imported(unused_arg void *ctx, const struct cause *cause, unused_arg json_t *results)
{
        ck_assert(!cause_happened(cause));
}

static void remove_anchors(void)
{
        char *folder = folder_path("trust");

        (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        ck_assert_int_eq(mkdir(folder, 0700), 0);
        free(folder);
}

START_TEST(anchors_that_have_gone_are_told_once)
{
        struct pki plant = pki_make(&(struct pki_spec){ .cn = "Plant", .ca = true });
        char *text = pki_pem(&plant);

        trust_import((const uint8_t *)text, strlen(text), "root (uid 0)", imported, NULL);
        settle();
        free(text);
        pki_free(&plant);
        ck_assert_uint_eq(trust_imported(), 1);
        reread_note();
        start_again();
        ck_assert_uint_eq(lost, 0);
        remove_anchors();
        start_again();
        ck_assert_uint_eq(lost, 1);
        start_again();
        ck_assert_uint_eq(lost, 1);
}
END_TEST

START_TEST(decisions_that_have_gone_are_told_once)
{
        put("allowed-hosts.json", "{\"version\":1,\"entries\":[],\"verified\":[]}");
        start_again();
        ck_assert_ptr_null(allowed_fault());
        remove_file("allowed-hosts.json");
        start_again();
        ck_assert_uint_eq(lost, 1);
        start_again();
        ck_assert_uint_eq(lost, 1);
}
END_TEST

/* What cannot be read has not gone: the note of it stays, and what is gone when it can be is told then. */
START_TEST(what_cannot_be_read_has_not_gone)
{
        put("allowed-hosts.json", "{\"version\":1,\"entries\":[],\"verified\":[]}");
        start_again();
        put("allowed-hosts.json", "{");
        start_again();
        ck_assert_uint_eq(lost, 0);
        remove_file("allowed-hosts.json");
        start_again();
        ck_assert_uint_eq(lost, 1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("reread");
        TCase *cases = tcase_create("reread");

        tcase_add_checked_fixture(cases, setup, teardown);
        tcase_add_test(cases, what_is_well_is_left_alone);
        tcase_add_test(cases, a_trust_store_comes_back);
        tcase_add_test(cases, the_allowed_hosts_come_back);
        tcase_add_test(cases, an_account_comes_back);
        tcase_add_test(cases, secrets_come_back_beside_a_store_that_does_not);
        tcase_add_test(cases, anchors_that_have_gone_are_told_once);
        tcase_add_test(cases, decisions_that_have_gone_are_told_once);
        tcase_add_test(cases, what_cannot_be_read_has_not_gone);
        suite_add_tcase(suite, cases);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
