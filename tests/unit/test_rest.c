/* SPDX-License-Identifier: MIT */
/* Memory that is given back while a long read goes on: no commit waits for it. */
#include "daemon/store/jobs.h"

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

int main(void)
{
        Suite *suite = suite_create("rest");
        TCase *tests = tcase_create("rest");

        tcase_add_checked_fixture(tests, store_up, store_down);
        tcase_add_test(tests, a_read_that_goes_on_is_not_waited_for);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
