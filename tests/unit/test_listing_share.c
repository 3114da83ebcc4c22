/* SPDX-License-Identifier: MIT */
/* What the lists of all mailboxes hold together: the longest gives way, once, and those with less go on. */
#include "daemon/incoming/fetching_state.h"

#include "common/limits.h"
#include "daemon/loop.h"

#undef LIMIT_LISTINGS
#define LIMIT_LISTINGS (64 * KIB)
static void seam_finish(struct fetching *fetching, const struct cause *cause);
#define fetching_finish seam_finish
#include "daemon/incoming/listing_share.c"
#undef fetching_finish

#include <check.h>
#include <stdlib.h>

static struct fetching looks[4];
static size_t finished;

static void seam_finish(struct fetching *fetching, const struct cause *cause)
{
        ck_assert_int_eq((int)cause->code, CAUSE_BUSY);
        fetching->finished = true;
        finished++;
        fetching_forget_list(fetching);
}

static void hold(size_t index, size_t digests)
{
        looks[index].uidls.size = digests;
        fetching_count_list(&looks[index]);
}

static void open_all(void)
{
        struct cause cause;

        ck_assert_int_eq(loop_open(&cause), 0);
        memset(looks, 0, sizeof looks);
        finished = 0;
}

static void close_all(void)
{
        for (size_t i = 0; i < count_of(looks); i++)
                fetching_forget_list(&looks[i]);
        ck_assert_ptr_null(listings.first);
        ck_assert_uint_eq(listings.held, 0);
        loop_close();
}

START_TEST(the_longest_gives_way)
{
        hold(0, 4096);
        hold(1, 1000);
        ck_assert_uint_eq(listings.held, 8 * 5096);
        hold(2, 3000);
        hold(2, 3200);                  /* 8 * 8296 is more than 64 KiB */
        ck_assert_uint_eq(finished, 0); /* not from within what a session tells */
        hold(0, 8192);                  /* it goes on until then, and is not counted any more */
        hold(1, 1200);
        loop_turn();
        ck_assert_uint_eq(finished, 1);
        ck_assert(looks[0].finished && !looks[1].finished && !looks[2].finished);
        ck_assert_uint_eq(listings.held, 8 * 4400);
        hold(3, 4096); /* one more, itself the longest */
        loop_turn();
        ck_assert(looks[3].finished && !looks[2].finished);
}
END_TEST

START_TEST(what_is_over_is_not_counted)
{
        for (size_t round = 0; round < 5; round++) {
                hold(0, 8000);
                hold(0, 0);
                hold(1, 8000);
                fetching_forget_list(&looks[1]);
        }
        loop_turn();
        ck_assert_uint_eq(finished, 0);
        /* One that gives way and ends by itself before. */
        hold(0, 8000);
        hold(2, 1000);
        fetching_forget_list(&looks[0]);
        loop_turn();
        ck_assert_uint_eq(finished, 0);
}
END_TEST

START_TEST(all_that_is_held_counts)
{
        struct fetching *one = &looks[0];

        one->wanted_size = one->left_size = 16;
        one->row_size = 64;
        fetching_count_list(one);
        ck_assert_uint_eq(listings.held, 32 * sizeof(struct mailbox_entry) + 64 * sizeof(struct listed_row));
        one->wanted_size = one->left_size = one->row_size = 0;
        one->session_holds = 8000;
        fetching_count_list(one);
        ck_assert_uint_eq(listings.held, 8000);
        hold(1, 8000); /* 64000 more */
        loop_turn();
        ck_assert(looks[1].finished && !one->finished);
}
END_TEST

/* One that was missing and is listed any number of times is asked for once. */
START_TEST(what_is_missing_is_held_once)
{
        struct missing rows[] = { { .entry.uid = 4, .state = MISSING_TOLD },
                                  { .entry.uid = 7, .state = MISSING_TOLD } };
        struct fetching *one = &looks[0];
        struct mailbox_entry entry = { .uid = 7 };

        one->missing = rows;
        one->missing_count = 2;
        one->try_all = true;
        for (int i = 0; i < 1000; i++) {
                entry.size = i == 1 ? 60 : 0;
                ck_assert(fetching_sort_out(one, &entry));
        }
        ck_assert_uint_eq(one->alone_count, 1);
        ck_assert_uint_eq(one->alone[0].size, 60);
        entry.uid = 5;
        ck_assert(!fetching_sort_out(one, &entry));
        (void)strcpy(rows[1].entry.uidl, "same");
        (void)strcpy(entry.uidl, "same");
        one->missing++;
        one->missing_count = 1;
        for (entry.uid = 1; entry.uid < 2 * LIMIT_MISSING; entry.uid++)
                ck_assert(fetching_sort_out(one, &entry));
        ck_assert_uint_eq(one->alone_count, LIMIT_MISSING);
        free(take(one->alone));
        one->missing = NULL;
}
END_TEST

int main(void)
{
        TCase *tests = tcase_create("listings");

        tcase_add_checked_fixture(tests, open_all, close_all);
        tcase_add_test(tests, the_longest_gives_way);
        tcase_add_test(tests, what_is_over_is_not_counted);
        tcase_add_test(tests, all_that_is_held_counts);
        tcase_add_test(tests, what_is_missing_is_held_once);
        Suite *suite = suite_create("listing_share");
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
