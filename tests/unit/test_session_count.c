/* SPDX-License-Identifier: MIT */
/* How many sessions an account has: a table of loads and what is begun. */
#include "daemon/outgoing/session_count.h"

#include "common/limits.h"

#include <check.h>
#include <limits.h>

/* What is left out in a load is usual. */
enum { MS = 1000 };
#define NO_PLACE UINT_MAX

static const struct {
        const char *name;
        struct sending_load load;
        unsigned begun;
} cases[] = {
#define LOAD(...) { __VA_ARGS__ }
#define FAR       .timed = 100, .message_us = 20 * MS, .setup_us = 60 * MS
#define NEAR      .timed = 100, .message_us = 300, .setup_us = 3 * MS
        { "nothing waits", LOAD(.waiting = 0), 0 },
        { "the first one goes alone", LOAD(.waiting = 5000), 1 },
        { "also where there were more before", LOAD(FAR, .waiting = 5000, .proven = 20), 1 },
        { "it waits for a place where there is none", LOAD(.waiting = 1, .places = NO_PLACE), 1 },
        { "nothing more before it is ready", LOAD(.waiting = 5000, .have = 1, .proven = 20), 0 },
        { "ready, and slow to be made: far",
          LOAD(.setup_us = 60 * MS, .waiting = 5000, .have = 1, .ready = 1), 3 },
        { "the same, and one session is enough for a hundred",
          LOAD(.setup_us = 60 * MS, .ahead = 100, .waiting = 5000, .have = 4, .ready = 4), 0 },
        { "whatever the first one took",
          LOAD(.setup_us = 60 * MS, .message_us = 20 * MS, .timed = 1, .ahead = 100, .waiting = 5000,
               .have = 4, .ready = 4),
          0 },
        { "ready at once: near", LOAD(.setup_us = 3 * MS, .waiting = 5000, .have = 1, .ready = 1), 3 },
        { "each that works brings some", LOAD(FAR, .waiting = 5000, .have = 4, .ready = 4), 12 },
        { "up to the default", LOAD(FAR, .waiting = 5000, .have = 16, .ready = 16), 4 },
        { "and no further", LOAD(FAR, .waiting = 5000, .have = 20, .ready = 20), 0 },
        { "while some are made others are", LOAD(FAR, .waiting = 5000, .have = 4, .ready = 2), 4 },
        { "what was there before comes at once",
          LOAD(FAR, .waiting = 5000, .have = 1, .ready = 1, .proven = 20), 19 },
        { "as far as it is worth it", LOAD(FAR, .waiting = 30, .have = 1, .ready = 1, .proven = 20), 4 },
        { "few messages are one session's", LOAD(FAR, .waiting = 6, .have = 1, .ready = 1), 0 },
        { "more are not", LOAD(FAR, .waiting = 7, .have = 1, .ready = 1), 1 },
        { "a slow server is worth a session for each two",
          LOAD(.timed = 100, .message_us = 900 * MS, .setup_us = 60 * MS, .waiting = 7, .have = 1,
               .ready = 1),
          3 },
        { "a near one has four", LOAD(NEAR, .waiting = 5000, .have = 4, .ready = 4), 0 },
        { "of these, those that are worth it", LOAD(NEAR, .waiting = 9, .have = 1, .ready = 1), 1 },
        { "one that hangs is not near",
          LOAD(NEAR, .silent_us = 500 * MS, .waiting = 40, .have = 4, .ready = 4), 12 },
        { "64 are 64", LOAD(.most = 64, FAR, .waiting = 5000, .have = 21, .ready = 21), 43 },
        { "one is one", LOAD(.most = 1, FAR, .waiting = 5000, .have = 1, .ready = 1), 0 },
        { "as the server bears", LOAD(.allowed = 5, FAR, .waiting = 5000, .have = 4, .ready = 4), 1 },
        { "fewer than there are", LOAD(.allowed = 2, FAR, .waiting = 5000, .have = 4, .ready = 4), 0 },
        { "as there are places", LOAD(.places = 2, FAR, .waiting = 5000, .have = 4, .ready = 4), 2 },
        { "none", LOAD(.places = NO_PLACE, FAR, .waiting = 5000, .have = 4, .ready = 4), 0 },
        { "large ones fill the wire", LOAD(FAR, .mean_size = MIB, .waiting = 5000, .have = 4, .ready = 4),
          0 },
        { "very large ones, too", LOAD(FAR, .mean_size = 50 * MIB, .waiting = 50, .have = 1, .ready = 1), 3 },
        { "middling ones less", LOAD(FAR, .mean_size = 512 * KIB, .waiting = 5000, .have = 4, .ready = 4),
          4 },
};

START_TEST(so_many_are_begun)
{
        struct sending_load load = cases[_i].load;

        load.most = load.most ? load.most : 20;
        load.allowed = load.allowed ? load.allowed : 64;
        load.places = load.places == NO_PLACE ? 0 : load.places ? load.places : 64;
        load.mean_size = load.mean_size ? load.mean_size : 4 * KIB;
        unsigned begun = sessions_to_open(&load);
        ck_assert_msg(begun == cases[_i].begun, "%s: %u", cases[_i].name, begun);
}
END_TEST

START_TEST(a_mean_follows)
{
        int64_t mean = sessions_mean(0, 0, 40);

        ck_assert_int_eq(mean, 40);
        for (int i = 0; i < 100; i++)
                mean = sessions_mean(mean, 1, 20000);
        ck_assert_int_gt(mean, 19900);
        for (int i = 0; i < 100; i++) /* a hundred at once, in one round trip: near */
                mean = sessions_mean(mean, 1, i ? 0 : 20000);
        ck_assert_int_lt(mean, 100);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("session_count");
        TCase *tc = tcase_create("all");

        tcase_add_loop_test(tc, so_many_are_begun, 0, count_of(cases));
        tcase_add_test(tc, a_mean_follows);
        suite_add_tcase(suite, tc);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
