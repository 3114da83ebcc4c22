/* SPDX-License-Identifier: MIT */
/* Offers to named subscribers: in the commit of their message or not at all, acknowledged, bounded, of one
 * user. */
#include "daemon/store/subscriber_table.c"

#include "common/limits.h"
#include "daemon/store/maildir.h"
#include "store_folder.h"

/* ---- helpers ---- */

static const struct subscriber_asker alice = { .uid = 1000 }, bob = { .uid = 1001 },
                                     admin = { .uid = 0, .admin = true };

static void with_database(const char *sql)
{
        char *path = text_of("%s/station.db", folder);
        sqlite3 *handle;

        ck_assert_int_eq(sqlite3_open(path, &handle), SQLITE_OK);
        sqlite3_busy_timeout(handle, 5000);
        ck_assert_msg(sqlite3_exec(handle, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(handle));
        sqlite3_close(handle);
        free(path);
}

static struct answer open_it(const char *name, const struct subscriber_asker *asker, const json_t *accounts)
{
        struct answer answer = { 0 };

        subscriber_open(name, asker, accounts, answered, &answer);
        wait_for(&answer);
        return answer;
}

static struct answer acknowledge(const char *name, const struct subscriber_asker *asker, int64_t seq)
{
        struct answer answer = { 0 };

        subscriber_acknowledge(name, asker, seq, answered, &answer);
        wait_for(&answer);
        return answer;
}

static json_t *result;
static void got_result(void *ctx, json_t *found, const struct cause *cause)
{
        result = json_incref(found);
        answered(ctx, cause);
}

/* The events after `seq`; the test's own until the next call. */
static const json_t *offers(const char *name, int64_t seq)
{
        struct answer answer = { 0 };

        json_decref(take(result));
        subscriber_offers(name, seq, 100, got_result, &answer);
        wait_well(&answer);
        return result;
}

static int64_t of_subscriber(const char *name, const char *field)
{
        struct answer answer = { 0 };
        size_t index;
        json_t *one;

        json_decref(take(result));
        subscribers_list(got_result, &answer);
        wait_well(&answer);
        json_array_foreach(result, index, one)
                if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0)
                        return json_integer_value(json_object_get(one, field));
        ck_abort_msg("no subscriber %s", name);
}

static void on_committed(void *ctx, const struct delivered *messages unused_arg, size_t count unused_arg,
                         const struct cause *cause)
{
        answered(ctx, cause);
}

/* One batch of `count` messages with UIDs from `first` on. */
static struct answer deliver(const char *account, uint32_t first, size_t count)
{
        struct delivery_target target = { .account = account, .folder = "INBOX", .uidvalidity = 7 };
        struct delivery *delivery = delivery_new(&target);
        struct answer answer = { 0 };

        for (uint32_t uid = first; uid < first + count; uid++) {
                struct mailbox_entry entry = { .uid = uid };
                char text[64];
                (void)snprintf(text, sizeof text, "Subject: %u\r\n\r\n", uid);
                ck_assert_int_eq(delivery_begin(delivery, &entry, NULL), 0);
                ck_assert_int_eq(delivery_piece(delivery, (const uint8_t *)text, strlen(text), NULL), 0);
                ck_assert_int_eq(delivery_end(delivery, NULL), 0);
        }
        delivery_commit(delivery, first + (uint32_t)count - 1, on_committed, &answer);
        wait_for(&answer);
        return answer;
}

static const char *subject_of(const json_t *list, size_t index)
{
        return json_string_value(
                json_object_get(json_object_get(json_array_get(list, index), "data"), "subject"));
}

static int64_t seq_of(const json_t *list, size_t index)
{
        return json_integer_value(json_object_get(json_array_get(list, index), "seq"));
}

/* ---- tests ---- */

START_TEST(one_event_a_message)
{
        ck_assert(!deliver("in", 1, 1).failed); /* before there was anyone */
        ck_assert(!open_it("panel", &alice, NULL).failed);
        ck_assert(!deliver("in", 2, 2).failed);
        ck_assert(!deliver("in", 2, 2).failed); /* fetched again: known */
        const json_t *list = offers("panel", 0);
        ck_assert_uint_eq(json_array_size(list), 2);
        ck_assert_str_eq(subject_of(list, 0), "2");
        ck_assert_str_eq(subject_of(list, 1), "3");
        int64_t first = seq_of(list, 0), second = seq_of(list, 1);
        ck_assert_int_lt(first, second);
        ck_assert_uint_eq(json_array_size(offers("panel", first)), 1);
        ck_assert(!acknowledge("panel", &alice, first).failed);
        ck_assert(!acknowledge("panel", &alice, first).failed);
        ck_assert_int_eq(of_subscriber("panel", "pending"), 1);
        reclose();
        reopen();
        list = offers("panel", 0);
        ck_assert_uint_eq(json_array_size(list), 1);
        ck_assert_int_eq(seq_of(list, 0), second);
        ck_assert(!acknowledge("panel", &alice, second).failed);
        ck_assert_int_eq(of_subscriber("panel", "pending"), 0);
        /* Numbers are never used twice: a late acknowledgement takes nothing of what comes now. */
        ck_assert(!deliver("in", 4, 1).failed);
        ck_assert(!acknowledge("panel", &alice, second).failed);
        ck_assert_int_eq(of_subscriber("panel", "pending"), 1);
}
END_TEST

START_TEST(only_the_accounts_wanted)
{
        json_t *accounts = json_pack("[s, s]", "b", "c");

        ck_assert(!open_it("panel", &alice, accounts).failed);
        ck_assert(!open_it("panel", &alice, NULL).failed); /* leaves them */
        ck_assert(!deliver("a", 1, 1).failed);
        ck_assert(!deliver("b", 2, 1).failed);
        const json_t *list = offers("panel", 0);
        ck_assert_uint_eq(json_array_size(list), 1);
        ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "account")), "b");
        json_decref(accounts);
}
END_TEST

/* The event and the message's row are one commit: where one of them cannot be written, neither is. */
static const char *const spoilers[] = {
        "CREATE TRIGGER bad BEFORE INSERT ON offer BEGIN SELECT RAISE(ABORT, 'spoiled'); END",
        "CREATE TRIGGER bad BEFORE INSERT ON seen BEGIN SELECT RAISE(ABORT, 'spoiled'); END",
        "CREATE TRIGGER bad BEFORE INSERT ON cursor BEGIN SELECT RAISE(ABORT, 'spoiled'); END",
};
START_TEST(both_or_neither)
{
        ck_assert(!open_it("panel", &alice, NULL).failed);
        with_database(spoilers[_i]);
        ck_assert(deliver("in", 1, 3).failed);
        ck_assert_uint_eq(json_array_size(offers("panel", 0)), 0);
        ck_assert_int_eq(of_subscriber("panel", "pending"), 0);
        with_database("DROP TRIGGER bad");
        ck_assert(!deliver("in", 1, 3).failed);
        ck_assert_uint_eq(json_array_size(offers("panel", 0)), 3);
        ck_assert_int_eq(of_subscriber("panel", "pending"), 3);
}
END_TEST

#define FILL \
        "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < %d)" \
        " INSERT INTO offer SELECT 'gone', i, %lld, 'in', '{}' FROM n;" \
        " UPDATE subscriber SET pending = %d WHERE name = 'gone';" \
        " INSERT OR REPLACE INTO meta VALUES ('offerSeq', %d)"

static void fill(int count, time_t when)
{
        char *sql = text_of(FILL, count, (long long)when, count, count);

        with_database(sql);
        free(sql);
}

START_TEST(too_many_are_dropped_and_told)
{
        ck_assert(!open_it("gone", &alice, NULL).failed);
        fill(LIMIT_OFFERED, loop_wall());
        ck_assert(!deliver("in", 1, 3).failed);
        ck_assert_int_eq(of_subscriber("gone", "pending"), LIMIT_OFFERED);
        ck_assert_int_eq(of_subscriber("gone", "missed"), 3);
        const json_t *list = offers("gone", 0);
        ck_assert_uint_eq(json_array_size(list), 100);
        ck_assert(json_is_null(json_object_get(json_array_get(list, 0), "account")));
        ck_assert_int_eq(json_integer_value(
                                 json_object_get(json_object_get(json_array_get(list, 0), "data"), "missed")),
                         3);
        ck_assert_int_eq(seq_of(list, 0), 3);
        ck_assert_int_eq(seq_of(list, 1), 4);
        ck_assert_int_eq(seq_of(offers("gone", 3), 0), 4); /* told already on this stream */
        ck_assert(!acknowledge("gone", &alice, 2).failed);
        ck_assert_int_eq(of_subscriber("gone", "missed"), 3);
        ck_assert(!acknowledge("gone", &alice, 3).failed);
        ck_assert_int_eq(of_subscriber("gone", "missed"), 0);
        ck_assert_int_eq(seq_of(offers("gone", 0), 0), 4);
}
END_TEST

START_TEST(old_ones_are_dropped)
{
        struct answer swept = { 0 };

        ck_assert(!open_it("gone", &alice, NULL).failed);
        fill(5, loop_wall() - (LIMIT_OFFERED_DAYS * 86400 + 60));
        ck_assert(!deliver("in", 1, 2).failed);
        subscribers_sweep(answered, &swept);
        wait_well(&swept);
        ck_assert_int_eq(of_subscriber("gone", "missed"), 5);
        ck_assert_int_eq(of_subscriber("gone", "pending"), 2);
}
END_TEST

START_TEST(of_one_user)
{
        struct answer answer = { 0 };

        ck_assert(!open_it("panel", &alice, NULL).failed);
        ck_assert_int_eq(open_it("panel", &bob, NULL).cause.code, CAUSE_PERMISSION);
        ck_assert(!open_it("panel", &admin, NULL).failed);
        ck_assert(!deliver("in", 1, 1).failed);
        ck_assert_int_eq(acknowledge("panel", &bob, 1).cause.code, CAUSE_PERMISSION);
        ck_assert_int_eq(acknowledge("panel", &alice, 2).cause.code, CAUSE_INVALID);
        ck_assert_int_eq(acknowledge("other", &alice, 1).cause.code, CAUSE_NOT_FOUND);
        ck_assert(!acknowledge("panel", &admin, 1).failed);
        ck_assert(!deliver("in", 2, 1).failed);
        subscriber_forget("panel", &alice, answered, &answer);
        wait_well(&answer);
        ck_assert_uint_eq(json_array_size(offers("panel", 0)), 0);
        /* a user has a share of the places, all users leave some to those in charge */
        static const struct subscriber_asker carol = { .uid = 1002 };
        for (int i = 0; i < LIMIT_SUBSCRIBERS; i++) {
                char name[16];
                const struct subscriber_asker *asker = i < LIMIT_SUBSCRIBERS_OF_UID     ? &alice
                                                       : i < LIMIT_SUBSCRIBERS_OF_USERS ? &bob
                                                                                        : &admin;
                if (i == LIMIT_SUBSCRIBERS_OF_UID)
                        ck_assert_int_eq(open_it("more", &alice, NULL).cause.code, CAUSE_STATE);
                if (i == LIMIT_SUBSCRIBERS_OF_USERS)
                        ck_assert_int_eq(open_it("more", &carol, NULL).cause.code, CAUSE_STATE);
                (void)snprintf(name, sizeof name, "s%d", i);
                ck_assert(!open_it(name, asker, NULL).failed);
        }
        ck_assert(!open_it("s0", &alice, NULL).failed); /* it has its place */
        ck_assert_int_eq(open_it("more", &admin, NULL).cause.code, CAUSE_STATE);
}
END_TEST

static void down(void)
{
        json_decref(take(result));
        store_down();
}

int main(void)
{
        Suite *suite = suite_create("subscriber_table");
        TCase *tests = tcase_create("subscriber_table");

        tcase_add_checked_fixture(tests, store_up, down);
        tcase_set_timeout(tests, 60);
        tcase_add_test(tests, one_event_a_message);
        tcase_add_test(tests, only_the_accounts_wanted);
        tcase_add_loop_test(tests, both_or_neither, 0, (int)count_of(spoilers));
        tcase_add_test(tests, too_many_are_dropped_and_told);
        tcase_add_test(tests, old_ones_are_dropped);
        tcase_add_test(tests, of_one_user);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
