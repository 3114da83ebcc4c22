/* SPDX-License-Identifier: MIT */
/* Who may what: the table of permissions over uids and groups. */
#include "daemon/control/permit.c"

#include <check.h>

enum { READERS = 4001, ADMINS = 4002, OTHERS = 4003 };

static void set_rules(void)
{
        memset(&rules, 0, sizeof rules);
        rules.read = READERS;
        rules.admin = ADMINS;
        rules.have_read = rules.have_admin = true;
        rules.all_submit = true;
}

static struct peer someone(uid_t uid, gid_t first, gid_t second)
{
        return (struct peer){ .uid = uid, .groups = { first, second }, .group_count = 2 };
}

START_TEST(the_table_of_permissions)
{
        static const struct {
                uid_t uid;
                gid_t group;
                bool submit, read, admin;
        } cases[] = {
                { 0, 0, true, true, true },
                { 70000, OTHERS, true, false, false },
                { 70000, READERS, true, true, false },
                { 70000, ADMINS, true, true, true },
        };
        set_rules();
        for (size_t i = 0; i < count_of(cases); i++) {
                struct peer first = someone(cases[i].uid, cases[i].group, OTHERS);
                struct peer second = someone(cases[i].uid, OTHERS, cases[i].group);
                const struct peer *peers[] = { &first, &second };
                for (size_t k = 0; k < 2; k++) {
                        ck_assert(permit(peers[k], PERMIT_NONE));
                        ck_assert_int_eq(permit(peers[k], PERMIT_SUBMIT), cases[i].submit);
                        ck_assert_int_eq(permit(peers[k], PERMIT_READ), cases[i].read);
                        ck_assert_int_eq(permit(peers[k], PERMIT_ADMIN), cases[i].admin);
                }
        }
}
END_TEST

START_TEST(the_daemons_own_user_is_admin)
{
        set_rules();
        struct peer own = someone(geteuid(), OTHERS, OTHERS);
        ck_assert(permit(&own, PERMIT_ADMIN));
}
END_TEST

START_TEST(submission_can_be_narrowed)
{
        set_rules();
        rules.all_submit = false;
        rules.users[rules.user_count++] = 70001;
        rules.groups[rules.group_count++] = 4010;
        struct peer named = someone(70001, OTHERS, OTHERS), member = someone(70002, OTHERS, 4010),
                    other = someone(70003, OTHERS, OTHERS), reader = someone(70004, READERS, OTHERS);
        ck_assert(permit(&named, PERMIT_SUBMIT));
        ck_assert(permit(&member, PERMIT_SUBMIT));
        ck_assert(!permit(&other, PERMIT_SUBMIT));
        ck_assert(permit(&reader, PERMIT_SUBMIT));
        ck_assert(!permit(&named, PERMIT_READ));
}
END_TEST

START_TEST(a_group_that_does_not_exist_gives_nothing)
{
        struct settings settings = { .read_group = (char[]){ "no-such-group-here" },
                                     .admin_group = (char[]){ "" },
                                     .allow_submit = (char[]){ "no-such-user-here" } };
        struct cause cause;
        ck_assert_int_eq(loop_open(&cause), 0);
        permit_open(&settings);
        struct peer zero_group = someone(70005, 0, 0);
        ck_assert(!permit(&zero_group, PERMIT_READ));
        ck_assert(!permit(&zero_group, PERMIT_ADMIN));
        ck_assert(!permit(&zero_group, PERMIT_SUBMIT));
        loop_close();
}
END_TEST

START_TEST(a_socket_tells_who_we_are)
{
        int pair[2];
        struct peer peer;
        struct cause cause;
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        ck_assert_int_eq(peer_of_socket(pair[0], &peer, &cause), 0);
        ck_assert_uint_eq(peer.uid, geteuid());
        ck_assert_uint_eq(peer.groups[0], getegid());
        (void)close(pair[0]);
        (void)close(pair[1]);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("permit");
        TCase *tests = tcase_create("permit");

        tcase_add_test(tests, the_table_of_permissions);
        tcase_add_test(tests, the_daemons_own_user_is_admin);
        tcase_add_test(tests, submission_can_be_narrowed);
        tcase_add_test(tests, a_group_that_does_not_exist_gives_nothing);
        tcase_add_test(tests, a_socket_tells_who_we_are);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
