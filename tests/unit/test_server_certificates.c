/* SPDX-License-Identifier: MIT */
/* The memory of servers' certificates: what is remembered, warned of once for each day of the setting, listed
 * in order, forgotten when no account names the server, and found again on disk. */
#include "daemon/accounts/accounts.h"
#include "daemon/settings.h"
#include "daemon/store/replace_file.h"

#include <check.h>

static struct account *users;
static unsigned walks; /* over all accounts */
static struct settings settings;

static struct account *seam_first(void)
{
        walks++;
        return users;
}
/* Writes at once: the clocks stand still in these tests. */
static void seam_replace(const char *path, const void *bytes, size_t len,
                         void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct cause cause = { 0 };

        ck_assert_int_eq(replace_file(path, bytes, len, &cause), 0);
        done(ctx, &cause);
}
#define accounts_first     seam_first
#define replace_file_later seam_replace
#include "daemon/session/server_certificates.c"

#include "daemon/store/disk.h"
#include "state_folder.h"

#include <stdatomic.h>

enum { NOON = 1742727600 };

static unsigned warnings;
static char warning[300];

static void hear_line(int priority, const char *message_id, const char *text)
{
        (void)priority;
        if (!same_text(message_id, MSG_CERT_EXPIRES))
                return;
        warnings++;
        (void)snprintf(warning, sizeof warning, "%s", text);
}

static void set_text(struct property_values *values, enum property_id id, const char *text)
{
        prop_put_text(values, id, text);
}

static void use(const char *name, const char *host, uint16_t port)
{
        struct property_values values;

        properties_defaults(&values, KIND_OUTGOING);
        set_text(&values, PROP_NAME, name);
        set_text(&values, PROP_HOSTNAME, host);
        values.of[PROP_PORT].number = port;
        struct account *account = account_new(&values);
        properties_done(&values);
        account->next = users;
        users = account;
        index_add(account);
}

static void unuse_all(void)
{
        while (users) {
                struct account *next = users->next;
                index_remove(users);
                account_free(users);
                users = next;
        }
}

static void open_all(void)
{
        folder_open();
        loop_freeze(1000, NOON);
        warnings = 0;
        settings.expiry_warnings = copy_text("30,7,1");
        settings_put_current(&settings);
        events_open();
        journal_capture(hear_line);
        certificates_open(state_folder);
}

static void close_all(void)
{
        certificates_close();
        unuse_all();
        journal_capture(NULL);
        events_close();
        free(take(settings.expiry_warnings));
        folder_close();
}

/* A certificate told apart by one byte of its digest. */
static struct certificate leaf(uint8_t which, double days)
{
        return (struct certificate){
                .subject = (char *)(uintptr_t)"CN=panel",
                .issuer = (char *)(uintptr_t)"CN=root",
                .not_after = NOON + (time_t)(days * A_DAY),
                .sha256 = { which },
        };
}

static void show(const char *host, uint16_t port, uint8_t which, double days, const char *verified_by)
{
        struct certificate one = leaf(which, days);

        certificates_note(host, port, &one, verified_by);
}

static char *ports_listed(void)
{
        json_t *list = certificates_list(), *row;
        char *text = copy_text("");
        size_t i;

        json_array_foreach(list, i, row) {
                char *more = text_of("%s%d/%d ", text, (int)json_integer_value(json_object_get(row, "port")),
                                     (int)json_integer_value(json_object_get(row, "daysLeft")));
                free(text);
                text = more;
        }
        json_decref(list);
        return text;
}

START_TEST(warns_once_for_each_day_of_the_setting)
{
        static const struct {
                double passed; /* days since the beginning */
                unsigned warnings;
        } steps[] = { { 0, 0 },  { 9.4, 0 }, { 10.1, 1 }, { 11, 1 },
                      { 33, 2 }, { 34, 2 },  { 39.1, 3 }, { 39.9, 3 } };

        use("a", "one.example", 465);
        show("one.example", 465, 1, 40.5, "system");
        for (size_t i = 0; i < count_of(steps); i++) {
                loop_freeze(1000, NOON + (time_t)(steps[i].passed * A_DAY));
                certificates_check();
                ck_assert_msg(warnings == steps[i].warnings, "day %.1f: %u warnings", steps[i].passed,
                              warnings);
        }
        ck_assert_ptr_nonnull(strstr(warning, "ends in 1 day, at"));
}
END_TEST

static void count_ending(void *count, const char *sentence)
{
        ck_assert_ptr_nonnull(strstr(sentence, "one.example"));
        ++*(unsigned *)count;
}

/* It is told with each status: thousands of accounts are walked over where there is something to tell. */
START_TEST(those_that_end_are_told_of_at_little_cost)
{
        unsigned told = 0;

        use("a", "one.example", 465);
        show("one.example", 465, 1, 40.5, "system");
        show("other.example", 465, 2, 40.5, "system"); /* which nobody uses */
        walks = 0;
        certificates_ending(count_ending, &told);
        ck_assert_uint_eq(told, 0);
        ck_assert_uint_eq(walks, 0);
        loop_freeze(1000, NOON + 39 * A_DAY);
        certificates_ending(count_ending, &told);
        ck_assert_uint_eq(told, 1);
        ck_assert_uint_eq(walks, 1);
        certificates_ending(count_ending, &told);
        certificates_check();
        ck_assert_uint_eq(walks, 1); /* no account has changed since */
        unuse_all();
        certificates_ending(count_ending, &told);
        ck_assert_uint_eq(told, 2);
        ck_assert_uint_eq(walks, 2);
}
END_TEST

static atomic_uint saves;

static int count_rename(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
        if (strcmp(to, "certificates.json") == 0)
                atomic_fetch_add(&saves, 1);
        return disk_real_calls()->rename(from_folder, from, to_folder, to, flags);
}

static void await_save(void)
{
        while (certificate_memory.saving)
                loop_turn();
}

/* All are written with each save: thousands of new ones in a row, or the same ones seen again each day, make
 * few of these. */
START_TEST(many_are_saved_seldom)
{
        enum { MANY = 200 };
        struct disk_calls calls = *disk_real_calls();

        calls.rename = count_rename;
        disk_use(&calls);
        use("a", "one.example", 1);
        saves = 0;
        for (uint16_t port = 1; port <= MANY; port++)
                show("one.example", port, 1, 100, "system");
        await_save();
        ck_assert_uint_le(atomic_load(&saves),
                          2); /* the first is tried twice: there is nothing to be swapped */
        atomic_store(&saves, 0);
        loop_advance(MANY * REST_MS);
        await_save();
        ck_assert_uint_eq(atomic_load(&saves), 1);
        loop_freeze(loop_now() + MANY * REST_MS, NOON + A_DAY);
        for (uint16_t port = 1; port <= MANY; port++)
                show("one.example", port, 1, 100, "system");
        loop_advance(MANY * REST_MS);
        await_save();
        ck_assert_uint_eq(atomic_load(&saves), 1);
        certificates_check();
        await_save();
        ck_assert_uint_eq(atomic_load(&saves), 2);
        disk_use(NULL);
}
END_TEST

START_TEST(a_new_certificate_is_warned_of_anew)
{
        show("one.example", 465, 1, 5, "system");
        ck_assert_uint_eq(warnings, 1);
        show("one.example", 465, 1, 5, "system");
        ck_assert_uint_eq(warnings, 1);
        show("one.example", 465, 2, 5, "system");
        ck_assert_uint_eq(warnings, 2);
        show("one.example", 465, 3, 300, "system");
        ck_assert_uint_eq(warnings, 2);
}
END_TEST

START_TEST(known_until_it_changes_or_a_day_has_passed)
{
        char fingerprint[65];
        struct certificate one = leaf(1, 300);

        hex_print(one.sha256, 32, fingerprint);
        ck_assert(!certificates_known("one.example", 465, fingerprint, "system"));
        certificates_note("one.example", 465, &one, "system");
        ck_assert(certificates_known("one.example", 465, fingerprint, "system"));
        ck_assert(!certificates_known("one.example", 465, fingerprint, "allowedHost"));
        ck_assert(!certificates_known("one.example", 587, fingerprint, "system"));
        ck_assert(!certificates_known("two.example", 465, fingerprint, "system"));
        ck_assert(!certificates_known("one.example", 465, "00", "system"));
        loop_freeze(1000, NOON + A_DAY);
        ck_assert(!certificates_known("one.example", 465, fingerprint, "system"));
}
END_TEST

START_TEST(the_list_is_in_order_of_their_end_and_names_accounts)
{
        use("b", "one.example", 1);
        use("a", "one.example", 1);
        show("one.example", 1, 1, 20.5, "user");
        show("one.example", 2, 2, -0.5, "");
        show("one.example", 3, 3, 0.5, "anything");
        scoped(scoped_free) char *order = ports_listed();
        ck_assert_str_eq(order, "2/-1 3/0 1/20 ");
        json_t *list = certificates_list();
        const json_t *row = json_array_get(list, 2);
        ck_assert_str_eq(json_string_value(json_object_get(row, "verifiedBy")), "user");
        ck_assert_str_eq(json_string_value(json_object_get(row, "subject")), "CN=panel");
        ck_assert_uint_eq(json_array_size(json_object_get(row, "accounts")), 2);
        for (size_t i = 0; i < 2; i++)
                ck_assert(json_is_null(json_object_get(json_array_get(list, i), "verifiedBy")));
        json_decref(list);
}
END_TEST

START_TEST(a_server_that_no_account_names_is_forgotten)
{
        use("a", "one.example", 1);
        show("one.example", 1, 1, 100, "system");
        show("one.example", 2, 1, 100, "system");
        certificates_check();
        scoped(scoped_free) char *left = ports_listed();
        ck_assert_str_eq(left, "1/100 ");
}
END_TEST

START_TEST(what_is_on_disk_is_found_again)
{
        show("one.example", 1, 1, 5.5, "user");
        show("one.example", 2, 2, 100, "");
        json_t *before = certificates_list();
        certificates_flush();
        certificates_close();
        certificates_open(state_folder);
        json_t *after = certificates_list();
        ck_assert(json_equal(before, after));
        json_decref(before);
        json_decref(after);
        show("one.example", 1, 1, 5.5, "user");
        ck_assert_uint_eq(warnings, 1); /* given before, and not again */
}
END_TEST

/* A row as written before it told of names, and files that are none: never an end of the program. */
START_TEST(other_files)
{
        static const struct {
                const char *text;
                size_t rows;
        } files[] = {
                { "{\"certificates\":[{\"host\":\"h\",\"port\":1,\"fingerprintSha256\":\"ab\",\"notAfter\":"
                  "\"2030-01-01T00:00:00Z\",\"lastSeen\":\"2025-01-01T00:00:00Z\",\"warned\":0}]}",
                  1 },
                { "{\"certificates\":[{\"host\":\"h\",\"port\":70000,\"fingerprintSha256\":\"ab\","
                  "\"notAfter\":"
                  "\"2030-01-01T00:00:00Z\",\"lastSeen\":\"2025-01-01T00:00:00Z\",\"warned\":0}]}",
                  0 },
                { "{\"certificates\":[{\"host\":\"h\"}]}", 0 },
                { "{\"certificates\":7}", 0 },
                { "[]", 0 },
                { "", 0 },
                { "{\"certificates\":", 0 },
        };

        certificates_close();
        for (size_t i = 0; i < count_of(files); i++) {
                folder_write("certificates.json", files[i].text, strlen(files[i].text));
                certificates_open(state_folder);
                json_t *list = certificates_list();
                ck_assert_msg(json_array_size(list) == files[i].rows, "file %zu", i);
                json_decref(list);
                certificates_close();
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("certificates");
        TCase *all = tcase_create("memory");

        tcase_add_checked_fixture(all, open_all, close_all);
        tcase_add_test(all, warns_once_for_each_day_of_the_setting);
        tcase_add_test(all, those_that_end_are_told_of_at_little_cost);
        tcase_add_test(all, many_are_saved_seldom);
        tcase_add_test(all, a_new_certificate_is_warned_of_anew);
        tcase_add_test(all, known_until_it_changes_or_a_day_has_passed);
        tcase_add_test(all, the_list_is_in_order_of_their_end_and_names_accounts);
        tcase_add_test(all, a_server_that_no_account_names_is_forgotten);
        tcase_add_test(all, what_is_on_disk_is_found_again);
        tcase_add_test(all, other_files);
        suite_add_tcase(suite, all);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? 0 : 1;
}
