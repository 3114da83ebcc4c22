/* SPDX-License-Identifier: MIT */
/* Memory that is given back once the station is at rest, also while a long read goes on: no commit waits for
 * it. */
#include "daemon/loop_parts.h"
#include "daemon/store/jobs.h"
#include "daemon/store/rest.h"

#include "store_folder.h"

#include <sched.h>

static atomic_bool reads, goes_on;

static int long_read(unused_arg struct store_read *read, unused_arg struct database *db,
                     unused_arg struct cause *cause)
{
        atomic_store(&reads, true);
        while (!atomic_load(&goes_on))
                sched_yield();
        return 0;
}

static void long_read_done(unused_arg struct store_read *read, const struct cause *cause)
{
        ck_assert_ptr_null(cause);
        loop_end();
}

START_TEST(a_read_that_goes_on_is_not_waited_for)
{
        struct store_read read = { .read = long_read, .done = long_read_done };

        ck_assert(jobs_give_back());
        store_read(&read);
        while (!atomic_load(&reads))
                sched_yield();
        ck_assert(!jobs_give_back());
        atomic_store(&goes_on, true);
        loop_run();
        ck_assert(jobs_give_back());
}
END_TEST

/* ---- what is worth it ---- */

enum { LARGE = 1 * MIB };

static int write_much(unused_arg struct store_write *write, struct database *db, struct cause *cause)
{
        return db_run(db, cause, "INSERT OR REPLACE INTO meta (name, value) VALUES ('much', zeroblob(?))",
                      VALUES(v_int(LARGE)));
}

static int read_much(unused_arg struct store_read *read, struct database *db, struct cause *cause)
{
        int64_t length;

        return db_number(db, cause, &length, 0, "SELECT length(hex(value)) FROM meta WHERE name = 'much'",
                         NULL, 0);
}

static void written(unused_arg struct store_write *write, const struct cause *cause)
{
        ck_assert_ptr_null(cause);
        loop_end();
}

/* Few jobs, and each leaves more than a hundred small ones. */
START_TEST(what_few_large_ones_have_left_is_given_back)
{
        struct store_write write = { .write = write_much, .done = written };
        struct store_read read = { .read = read_much, .done = long_read_done };

        store_write(&write);
        loop_run();
        store_read(&read);
        loop_run();
        ck_assert_uint_ge(database_keeps(jobs_database()), LARGE);
        ck_assert(jobs_give_back());
        size_t left = database_keeps(jobs_database());
        ck_assert_uint_lt(left, LARGE / 8);
        ck_assert(jobs_give_back());
        ck_assert_uint_eq(database_keeps(jobs_database()), left); /* so little is left alone */
}
END_TEST

/* ---- when ---- */

static unsigned rests;

static bool nothing_reads(void)
{
        rests++;
        return true;
}

static void at_once(struct job *job)
{
        job->work(job);
        job->done(job);
}

static void asked_for(unsigned times, int64_t ms)
{
        for (unsigned i = 0; i < times; i++) {
                rest_put_off();
                loop_advance(ms);
        }
}

START_TEST(it_rests_once_after_any_work)
{
        rest_close();
        loop_freeze(1000, 0);
        int64_t others = timers_next_due();
        rest_open(at_once, nothing_reads);
        loop_advance(10000);
        ck_assert_uint_eq(rests, 1); /* the start was work */
        loop_advance(INT64_C(3600) * 1000);
        ck_assert_uint_eq(rests, 1);
        ck_assert_int_eq(timers_next_due(), others); /* and no timer runs */
        asked_for(1, 10000);
        ck_assert_uint_eq(rests, 2);
        asked_for(100, 20); /* many at a time */
        ck_assert_uint_eq(rests, 2);
        loop_advance(10000);
        ck_assert_uint_eq(rests, 3);
        asked_for(90, 1000); /* now and then, without an end */
        ck_assert_uint_ge(rests, 4);
        ck_assert_uint_le(rests, 6);
        loop_advance(10000);
        unsigned before = rests;
        asked_for(100, 100); /* much, without an end */
        ck_assert_uint_eq(rests, before);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("rest");
        TCase *tests = tcase_create("rest");

        tcase_add_checked_fixture(tests, store_up, store_down);
        tcase_add_test(tests, a_read_that_goes_on_is_not_waited_for);
        tcase_add_test(tests, what_few_large_ones_have_left_is_given_back);
        tcase_add_test(tests, it_rests_once_after_any_work);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
