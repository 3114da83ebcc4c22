/* SPDX-License-Identifier: MIT */
/* Lists of addresses and networks. */
#include "daemon/networks.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>

static bool has(const char *list, const char *text)
{
        struct sockaddr_storage address = { 0 };
        struct sockaddr_in *four = (struct sockaddr_in *)&address;
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;

        address.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
        ck_assert_int_eq(
                inet_pton(address.ss_family, text,
                          address.ss_family == AF_INET ? (void *)&four->sin_addr : (void *)&six->sin6_addr),
                1);
        return networks_have(list, &address);
}

START_TEST(lists)
{
        static const struct {
                const char *list, *address;
                bool has;
        } cases[] = {
                { "", "192.0.2.7", false },
                { "192.0.2.7", "192.0.2.7", true },
                { "192.0.2.7", "192.0.2.8", false },
                { "198.51.100.0/24, 192.0.2.0/25", "192.0.2.127", true },
                { "198.51.100.0/24, 192.0.2.0/25", "192.0.2.128", false },
                { "192.0.2.0/25", "::ffff:192.0.2.1", true },
                { "10.0.0.0/8", "11.0.0.1", false },
                { "128.0.0.0/8", "127.0.0.1", false },
                { "2001:db8::/32,fd00::/7", "2001:db8:1::1", true },
                { "2001:db8::/32", "2001:db9::1", false },
                { "2001:db8::/32", "32.1.13.184", false },
                { "2001:db8::7", "2001:db8::7", true },
                { "fc00::/7", "fdff::1", true },
        };

        for (size_t i = 0; i < count_of(cases); i++)
                ck_assert_msg(has(cases[i].list, cases[i].address) == cases[i].has, "%s in %s",
                              cases[i].address, cases[i].list);
}
END_TEST

START_TEST(words)
{
        static const char *const good[] = { "",
                                            " ",
                                            "192.0.2.7",
                                            "192.0.2.7,",
                                            "10.0.0.0/8 2001:db8::/32",
                                            "::1",
                                            "fc00::/7, fd00::/8, fe80::/10, 2001::/16" };
        static const char *const bad[] = { "x",
                                           "192.0.2",
                                           "192.0.2.7/33",
                                           "192.0.2.7/24",
                                           "192.0.2.0/",
                                           "192.0.2.0/x",
                                           "0.0.0.0/0",
                                           "::/0",
                                           "10.0.0.0/0",
                                           "2001:db8::/129",
                                           "2001:db8::1/64",
                                           "::ffff:192.0.2.7",
                                           "192.0.2.0/-1",
                                           "192.0.2.0/+8",
                                           "host.example",
                                           "0.0.0.0/1, 128.0.0.0/1",
                                           "10.0.0.0/7",
                                           "2000::/3",
                                           "::/1",
                                           "2000::/15",
                                           "fc00::/6",
                                           "fe80::/9" };
        struct cause cause;

        for (size_t i = 0; i < count_of(good); i++)
                ck_assert_msg(networks_check(good[i], &cause) == 0, "%s", good[i]);
        for (size_t i = 0; i < count_of(bad); i++) {
                cause_clear(&cause);
                ck_assert_msg(networks_check(bad[i], &cause) < 0 && cause.text[0], "%s", bad[i]);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("networks");
        TCase *tcase = tcase_create("networks");

        tcase_add_test(tcase, lists);
        tcase_add_test(tcase, words);
        suite_add_tcase(suite, tcase);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
