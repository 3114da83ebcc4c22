/* SPDX-License-Identifier: MIT */
/* Messages that a server does not hand out: when they are told, when they are tried again, when they end. */
#include "daemon/store/missing_table.h"

#include "daemon/store/fetched_table.h"
#include "daemon/store/jobs.h"
#include "daemon/store/kept.h"
#include "store_folder.h"

struct noted {
        struct answer answer;
        struct missing rows[4];
        size_t count;
};

static void on_noted(void *ctx, const struct missing *messages, size_t count, const struct cause *cause)
{
        struct noted *noted = ctx;

        ck_assert_uint_le(count, count_of(noted->rows));
        memcpy(noted->rows, messages, count * sizeof *messages);
        noted->count = count;
        answered(&noted->answer, cause);
}

static struct missing note(uint32_t uid, enum missing_state state, bool begun)
{
        struct missing message = { .entry = { .uid = uid, .size = 9, .missing = begun },
                                   .state = state,
                                   .text = "why" };
        struct noted noted = { 0 };

        missing_note("in", "INBOX", 7, &message, 1, on_noted, &noted);
        wait_well(&noted.answer);
        ck_assert_uint_eq(noted.count, 1);
        return noted.rows[0];
}

static void on_cursor(void *ctx, const struct fetched_cursor *cursor,
                      const struct mailbox_entry *untold unused_arg, size_t count unused_arg,
                      const struct cause *cause)
{
        struct noted *noted = ctx;

        noted->count = cursor->missing_count;
        if (noted->count)
                memcpy(noted->rows, cursor->missing, noted->count * sizeof *noted->rows);
        answered(&noted->answer, cause);
}

static struct noted present(uint32_t uidvalidity)
{
        struct noted noted = { 0 };

        fetched_cursor("in", "INBOX", uidvalidity, on_cursor, &noted);
        wait_well(&noted.answer);
        return noted;
}

static void begin(uint32_t uid)
{
        struct mailbox_entry entry = { .uid = uid };
        struct answer answer = { 0 };

        missing_begin("in", "INBOX", 7, &entry, answered, &answer);
        wait_well(&answer);
}

START_TEST(a_refusal_is_told_at_once)
{
        struct missing row = note(3, MISSING_TOLD, false);

        ck_assert(row.fresh && row.tries == 1 && row.next == row.first + missing_pause(1));
        ck_assert_int_eq(kept_number("in", KEPT_MISSING), 1);
        begin(3);
        ck_assert_uint_eq(present(7).rows[0].tries, 2);
        row = note(3, MISSING_TOLD, true);
        ck_assert(!row.fresh && row.tries == 2 && row.next >= row.first + missing_pause(2));
        ck_assert_uint_eq(present(8).count, 0);
}
END_TEST

START_TEST(a_broken_session_is_told_when_it_breaks_again)
{
        struct missing row = note(3, MISSING_SUSPECTED, false);

        ck_assert(!row.fresh && row.tries == 1 && row.next <= row.first);
        ck_assert_int_eq(kept_number("in", KEPT_MISSING), 0);
        begin(3);
        row = note(3, MISSING_SUSPECTED, true);
        ck_assert(row.fresh && row.tries == 2 && row.state == MISSING_TOLD && row.next > row.first);
        ck_assert_int_eq(kept_number("in", KEPT_MISSING), 1);
}
END_TEST

START_TEST(pauses_grow_to_a_day)
{
        for (unsigned tries = 1; tries < 12; tries++)
                ck_assert_int_le(missing_pause(tries), missing_pause(tries + 1));
        ck_assert_int_eq(missing_pause(1), 60);
        ck_assert_int_eq(missing_pause(100), 24 * 3600);
}
END_TEST

static void on_listed(void *ctx, json_t *messages, const struct cause *cause)
{
        struct noted *noted = ctx;

        noted->count = json_array_size(messages);
        answered(&noted->answer, cause);
}

static void on_count(void *ctx, size_t count, const struct cause *cause)
{
        struct noted *noted = ctx;

        noted->count = count;
        answered(&noted->answer, cause);
}

static size_t listed(void)
{
        struct noted noted = { 0 };

        missing_list("in", on_listed, &noted);
        wait_well(&noted.answer);
        return noted.count;
}

static size_t forget(const char *id)
{
        struct noted noted = { 0 };

        missing_forget("in", id, on_count, &noted);
        wait_well(&noted.answer);
        return noted.count;
}

START_TEST(a_clock_that_is_set_back_does_not_put_off)
{
        const struct missing row = { .next = 1000000 + missing_pause(2), .tries = 2 };

        ck_assert(!missing_is_due(&row, 1000000) && !missing_is_due(&row, row.next - 1));
        ck_assert(missing_is_due(&row, row.next) && missing_is_due(&row, row.next + 86400));
        ck_assert(missing_is_due(&row, 1000000 - 16 * 86400));
}
END_TEST

START_TEST(what_is_forgotten_is_not_asked_for)
{
        struct mailbox_entry gone = { .uid = 4 };

        (void)note(3, MISSING_TOLD, false);
        (void)note(4, MISSING_TOLD, false);
        (void)note(5, MISSING_SUSPECTED, false);
        ck_assert_uint_eq(listed(), 2);
        ck_assert_uint_eq(forget("9"), 0);
        ck_assert_uint_eq(forget("3"), 1);
        ck_assert_uint_eq(listed(), 1);
        ck_assert_int_eq(kept_number("in", KEPT_MISSING), 1);
        ck_assert_int_eq(present(7).rows[0].state, MISSING_GIVEN_UP);
        missing_end("in", "INBOX", 7, &gone, 1);
        begin(5); /* commits are in order */
        ck_assert_uint_eq(listed(), 0);
        ck_assert_uint_eq(present(7).count, 2);
        ck_assert_int_eq(kept_number("in", KEPT_MISSING), 0);
        forget_account("in");
        ck_assert_uint_eq(present(7).count, 0);
}
END_TEST

START_TEST(one_uid_in_two_folders_is_two_messages)
{
        struct missing message = { .entry = { .uid = 3, .size = 9 }, .state = MISSING_TOLD, .text = "why" };
        struct noted noted = { 0 };

        (void)note(3, MISSING_TOLD, false);
        missing_note("in", "Work/3", 7, &message, 1, on_noted, &noted);
        wait_well(&noted.answer);
        ck_assert_uint_eq(listed(), 2);
        ck_assert_uint_eq(forget("3"), 1);
        ck_assert_int_eq(present(7).rows[0].state, MISSING_GIVEN_UP);
        ck_assert_uint_eq(forget("INBOX/3"), 0);
        ck_assert_uint_eq(forget("Work/3/3"), 1);
        ck_assert_uint_eq(listed(), 0);
}
END_TEST

/* ---- a write that runs more than once ---- */

struct finding {
        unsigned runs, found;
        struct answer answer;
        struct store_write write;
};

static void forget_found(struct store_write *write)
{
        container_of(write, struct finding, write)->found = 0;
}

static int find_one(struct store_write *write, struct database *db, struct cause *cause)
{
        struct finding *finding = container_of(write, struct finding, write);

        finding->found++;
        return db_run(db, cause, finding->runs++ ? "DELETE FROM missing" : "ROLLBACK", NULL, 0);
}

static void found(struct store_write *write, const struct cause *cause)
{
        answered(&container_of(write, struct finding, write)->answer, cause);
}

/* Its first transaction is lost; the disk takes the next. */
START_TEST(a_write_forgets_what_was_lost)
{
        struct finding finding = {
                .write = { .write = find_one, .forget = forget_found, .done = found, .stubborn = true }
        };

        store_write(&finding.write);
        wait_well(&finding.answer);
        ck_assert_uint_ge(finding.runs, 2);
        ck_assert_uint_eq(finding.found, 1);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("missing_table");
        TCase *all = tcase_create("all");
        SRunner *runner = srunner_create(suite);

        tcase_add_checked_fixture(all, store_up, store_down);
        tcase_add_test(all, a_refusal_is_told_at_once);
        tcase_add_test(all, a_broken_session_is_told_when_it_breaks_again);
        tcase_add_test(all, pauses_grow_to_a_day);
        tcase_add_test(all, a_clock_that_is_set_back_does_not_put_off);
        tcase_add_test(all, what_is_forgotten_is_not_asked_for);
        tcase_add_test(all, one_uid_in_two_folders_is_two_messages);
        tcase_add_test(all, a_write_forgets_what_was_lost);
        suite_add_tcase(suite, all);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
