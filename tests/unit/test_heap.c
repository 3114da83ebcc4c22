/* SPDX-License-Identifier: MIT */
/* The heap against a list that is looked through. */
#include "daemon/heap.c"

#include <check.h>

enum { ITEMS = 200, ROUNDS = 40000 };

static struct heap_item items[ITEMS];
static bool in[ITEMS];

static struct heap_item *first_of_list(void)
{
        struct heap_item *first = NULL;

        for (size_t i = 0; i < ITEMS; i++)
                if (in[i] && (!first || items[i].key < first->key ||
                              (items[i].key == first->key && items[i].order < first->order)))
                        first = &items[i];
        return first;
}

static uint32_t next_random(void)
{
        static uint32_t state = 1;

        state = state * 1664525u + 1013904223u;
        return state >> 8;
}

/* Put in, moved, taken out from anywhere; few keys, so that many are the same. */
START_TEST(as_a_list)
{
        struct heap heap = { 0 };
        size_t count = 0;

        for (uint64_t round = 0; round < ROUNDS; round++) {
                size_t i = next_random() % ITEMS;
                if (next_random() % 100 < (round / 4000 % 2 ? 25 : 75)) {
                        items[i].key = (int64_t)(next_random() % 20) - 10;
                        items[i].order = round;
                        heap_put(&heap, &items[i]);
                        count += !in[i];
                        in[i] = true;
                } else {
                        heap_take(&heap, &items[i]);
                        count -= in[i];
                        in[i] = false;
                }
                ck_assert_uint_eq(heap.count, count);
                ck_assert_int_eq(items[i].place != 0, in[i]);
                ck_assert_ptr_eq(heap_first(&heap), first_of_list());
        }
        heap_clear(&heap);
        for (size_t i = 0; i < ITEMS; i++)
                ck_assert_uint_eq(items[i].place, 0);
}
END_TEST

START_TEST(those_that_are_the_same_come_in_order)
{
        struct heap heap = { 0 };

        for (size_t i = 0; i < ITEMS; i++) {
                items[i] = (struct heap_item){ .order = i };
                heap_put(&heap, &items[i]);
        }
        for (size_t i = 0; i < ITEMS; i++) {
                ck_assert_ptr_eq(heap_first(&heap), &items[i]);
                heap_take(&heap, &items[i]);
        }
        ck_assert_ptr_null(heap_first(&heap));
        ck_assert_ptr_null(heap.items);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("heap");
        TCase *tests = tcase_create("heap");

        tcase_add_test(tests, as_a_list);
        tcase_add_test(tests, those_that_are_the_same_come_in_order);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
