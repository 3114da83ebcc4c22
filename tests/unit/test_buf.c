/* SPDX-License-Identifier: MIT */
/* Growing bytes: the maximum is exact, consumed space is reused, what was forgotten is overwritten; and items
 * brought into order. */
#include "common/buf.c"
#include "common/order.c"

#include <check.h>

START_TEST(maximum_is_exact)
{
        struct buf scoped(buf_free) b = BUF_WITH_MAX(10);

        ck_assert_int_eq(buf_append_text(&b, "0123456"), 0);
        ck_assert_int_eq(buf_append_text(&b, "789a"), -1);
        ck_assert_uint_eq(b.len, 7);
        ck_assert_int_eq(buf_appendf(&b, "%d", 1234), -1);
        ck_assert_int_eq(buf_appendf(&b, "%d", 789), 0); /* the NUL of printf does not count */
        ck_assert_uint_eq(b.len, 10);
        ck_assert_mem_eq(buf_bytes(&b), "0123456789", 10);
        ck_assert_ptr_null(buf_room(&b, 1));
        ck_assert_ptr_nonnull(buf_room(&b, 0));
        ck_assert_ptr_null(buf_room(&b, SIZE_MAX));
}
END_TEST

START_TEST(content_is_handed_over_with_its_memory)
{
        struct buf scoped(buf_free) from = BUF_WITH_MAX(10), scoped(buf_free) to = BUF_WITH_MAX(20);

        ck_assert_int_eq(buf_append_text(&from, "0123456"), 0);
        buf_consume(&from, 3);
        const uint8_t *there = buf_bytes(&from);
        ck_assert_int_eq(buf_append_text(&to, "before"), 0);
        const uint8_t *spent = buf_bytes(&to);
        buf_clear(&to);
        buf_hand_over(&from, &to);
        ck_assert_uint_eq(to.len, 4);
        ck_assert_mem_eq(buf_bytes(&to), "3456", 4);
        ck_assert_ptr_eq(buf_bytes(&to), there);
        ck_assert_uint_eq(to.max, 20);
        ck_assert_uint_eq(from.len, 0);
        ck_assert_uint_eq(from.max, 10);
        ck_assert_int_eq(buf_append_text(&from, "next"), 0);
        ck_assert_ptr_eq(buf_bytes(&from), spent);
}
END_TEST

START_TEST(consumed_space_is_used_again)
{
        struct buf scoped(buf_free) b = BUF_WITH_MAX(1000);
        char expected[1000], piece[7];
        size_t held = 0;

        for (int round = 0; round < 5000; round++) {
                memset(piece, 'a' + round % 26, sizeof piece);
                if (held + sizeof piece > 100) {
                        buf_consume(&b, 33);
                        memmove(expected, expected + 33, held - 33);
                        held -= 33;
                }
                ck_assert_int_eq(buf_append(&b, piece, sizeof piece), 0);
                memcpy(expected + held, piece, sizeof piece);
                held += sizeof piece;
                ck_assert_uint_eq(b.len, held);
                ck_assert_mem_eq(buf_bytes(&b), expected, held);
        }
        ck_assert_uint_le(b.size, 512);
        buf_consume(&b, SIZE_MAX);
        ck_assert_uint_eq(b.len, 0);
}
END_TEST

static bool holds(const struct buf *b, char c)
{
        return memchr(b->memory, c, b->size) != NULL;
}

/* What is held counts, what is more than the maximum is not taken. */
START_TEST(expected_room_is_taken_once)
{
        struct buf b = BUF_WITH_MAX(10000);
        char bytes[1000] = "x";

        ck_assert_int_eq(buf_append(&b, bytes, sizeof bytes), 0);
        buf_expect(&b, 5000);
        const uint8_t *memory = b.memory;
        ck_assert_uint_ge(b.size, 5000);
        ck_assert_uint_eq(b.len, sizeof bytes);
        for (int i = 0; i < 4; i++)
                ck_assert_int_eq(buf_append(&b, bytes, sizeof bytes), 0);
        buf_expect(&b, 5000);
        buf_expect(&b, 100);
        buf_expect(&b, 10001);
        ck_assert_ptr_eq(b.memory, memory);
        ck_assert_uint_eq(b.len, 5000);
        buf_free(&b);
}
END_TEST

START_TEST(forgotten_bytes_are_overwritten)
{
        struct buf scoped(buf_free) b = BUF_WITH_MAX(1000);
        uint8_t *room = buf_room(&b, 200);

        memset(b.memory, 0, b.size);
        memset(room, 'S', 200);
        buf_grown(&b, 200);
        buf_forget(&b, 150);
        ck_assert_uint_eq(b.len, 50);
        ck_assert_ptr_nonnull(buf_room(&b, 150)); /* moves what is left to the beginning */
        ck_assert_uint_eq(b.start, 0);
        buf_forget(&b, 50);
        ck_assert(!holds(&b, 'S'));
}
END_TEST

START_TEST(text_is_taken_and_memory_given_back)
{
        struct buf b = BUF_WITH_MAX(100);
        char *empty = buf_take_text(&b);

        ck_assert_str_eq(empty, "");
        free(empty);
        ck_assert_int_eq(buf_append_text(&b, "xxhello"), 0);
        buf_consume(&b, 2);
        buf_release(&b);
        ck_assert_ptr_nonnull(b.memory);
        char *text = buf_take_text(&b);
        ck_assert_str_eq(text, "hello");
        free(text);
        ck_assert_ptr_null(b.memory);
        ck_assert_int_eq(buf_append_text(&b, "again"), 0);
        buf_clear(&b);
        buf_release(&b);
        ck_assert_ptr_null(b.memory);
        ck_assert_int_eq(buf_append_text(&b, "secret"), 0);
        buf_wipe(&b);
        ck_assert_ptr_null(buf_bytes(&b));
        ck_assert_uint_eq(b.max, 100);
}
END_TEST

/* ---- order.h ---- */

struct numbered {
        uint32_t number, place;
        char more[3];
};

/* 0: upwards, 1: downwards, 2: at random with many equal ones, 3: over all 32 bits. */
static uint32_t number_in(int kind, uint32_t i, uint32_t count)
{
        return kind == 0 ? i : kind == 1 ? count - i : kind == 2 ? i * 2654435761u % 50 : i * 2654435761u;
}

START_TEST(any_order_becomes_ascending)
{
        enum { MANY = 3000 };
        static struct numbered items[MANY];

        for (uint32_t count = 0; count <= MANY; count = count < 3 ? count + 1 : count * 10) {
                for (uint32_t i = 0; i < count; i++)
                        items[i] = (struct numbered){ number_in(_i, i, count), i, "ab" };
                order_by_number(items, count, sizeof *items);
                for (uint32_t i = 0; i < count; i++) {
                        ck_assert_uint_eq(items[i].number, number_in(_i, items[i].place, count));
                        ck_assert_str_eq(items[i].more, "ab");
                        ck_assert(!i || items[i - 1].number < items[i].number ||
                                  (items[i - 1].number == items[i].number &&
                                   items[i - 1].place < items[i].place));
                }
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("buf");
        TCase *tc = tcase_create("buf");

        tcase_add_test(tc, maximum_is_exact);
        tcase_add_test(tc, content_is_handed_over_with_its_memory);
        tcase_add_test(tc, consumed_space_is_used_again);
        tcase_add_test(tc, expected_room_is_taken_once);
        tcase_add_test(tc, forgotten_bytes_are_overwritten);
        tcase_add_test(tc, text_is_taken_and_memory_given_back);
        tcase_add_loop_test(tc, any_order_becomes_ascending, 0, 4);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
