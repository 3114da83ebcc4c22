/* SPDX-License-Identifier: MIT */
/* Headers of tar members: what is written is read, long names and large sizes too; what is none is refused.
 */
#include "common/tar.c"

#include <check.h>

static const struct {
        size_t name_len;
        uint64_t size;
        bool pax;
} members[] = {
        { 1, 0, false },    { 100, 511, false },     { 99, SIZE_LIMIT - 1, false },
        { 101, 512, true }, { 1, SIZE_LIMIT, true }, { 1023, UINT64_C(1) << 40, true },
};

/* The header that these bytes begin with, a pax header before it included. */
static enum tar_kind read_all(const struct buf *bytes, struct tar_member *member)
{
        const uint8_t *at = buf_bytes(bytes);
        struct cause cause = { 0 };
        enum tar_kind kind = tar_read(at, member, &cause);

        if (kind != TAR_PAX)
                return kind;
        struct tar_member said = *member;
        const char *records = (const char *)at + TAR_BLOCK;
        kind = tar_read(at + TAR_BLOCK + said.size + tar_padding(said.size), member, &cause);
        ck_assert_int_eq(tar_pax(records, (size_t)said.size, member, &cause), 0);
        return kind;
}

START_TEST(there_and_back)
{
        struct tar_member member = { .size = members[_i].size, .time = 1795459860 }, read;
        struct buf out = BUF_WITH_MAX(TAR_PAX_MAX + 4 * TAR_BLOCK);

        memset(member.name, 'n', members[_i].name_len);
        ck_assert_int_eq(tar_header(&member, &out), 0);
        ck_assert_uint_eq(out.len % TAR_BLOCK, 0);
        ck_assert_int_eq(out.len > TAR_BLOCK, members[_i].pax);
        ck_assert_int_eq(read_all(&out, &read), TAR_FILE);
        ck_assert_str_eq(read.name, member.name);
        ck_assert_uint_eq(read.size, member.size);
        ck_assert_int_eq(read.time, member.time);
        buf_free(&out);
}
END_TEST

START_TEST(each_damaged_byte_is_seen)
{
        struct tar_member member = { .name = "accounts/a.json", .size = 7 }, read;
        struct buf out = BUF_WITH_MAX(TAR_BLOCK);
        struct cause cause = { 0 };
        uint8_t block[TAR_BLOCK];

        ck_assert_int_eq(tar_header(&member, &out), 0);
        for (size_t i = 0; i < TAR_BLOCK; i++) {
                memcpy(block, buf_bytes(&out), TAR_BLOCK);
                block[i] ^= 0x15;
                bool of_sum = i >= offsetof(struct ustar, sum) + 6 &&
                              i < offsetof(struct ustar, type); /* what ends the digits */
                if (!of_sum)
                        ck_assert_int_eq(tar_read(block, &read, &cause), TAR_BAD);
        }
        memset(block, 0, sizeof block);
        ck_assert_int_eq(tar_read(block, &read, &cause), TAR_END);
        buf_free(&out);
}
END_TEST

START_TEST(records)
{
        static const char *const bad[] = { "x",     "5 a=b\n",   "99 path=a\n",    "9 path=ab",
                                           "0 =\n", "8 patha\n", "11 size=1x\n\n", "12 size=-1\n\n" };
        static const char good[] = "30 mtime=1350244992.023960108\n9 path=a\n10 size=7\n";
        struct tar_member member = { .name = "before", .size = 1 };
        struct cause cause = { 0 };

        ck_assert_int_eq(tar_pax(good, strlen(good), &member, &cause), 0);
        ck_assert_str_eq(member.name, "a");
        ck_assert_uint_eq(member.size, 7);
        for (size_t i = 0; i < count_of(bad); i++)
                ck_assert_msg(tar_pax(bad[i], strlen(bad[i]), &member, &cause) < 0, "%s", bad[i]);
}
END_TEST

START_TEST(other_kinds)
{
        static const char types[] = "1234567gLKS";
        struct buf out = BUF_WITH_MAX(TAR_BLOCK);
        struct tar_member read;
        struct cause cause = { 0 };

        for (size_t i = 0; types[i]; i++) {
                buf_clear(&out);
                ck_assert_int_eq(put_block(&out, "x", 0, 0, types[i]), 0);
                ck_assert_int_eq(tar_read(buf_bytes(&out), &read, &cause), TAR_BAD);
        }
        buf_free(&out);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("tar");
        TCase *tc = tcase_create("tar");

        tcase_add_loop_test(tc, there_and_back, 0, (int)count_of(members));
        tcase_add_test(tc, each_damaged_byte_is_seen);
        tcase_add_test(tc, records);
        tcase_add_test(tc, other_kinds);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
