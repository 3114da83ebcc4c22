/* SPDX-License-Identifier: MIT */
/* Account names, hosts, addresses, fingerprints: what is taken, in which form, and what is refused. */
#include "common/hosts.c"
#include "common/names.c"

#include <check.h>

static char label_63[64], label_64[65], name_253[254], name_254[255], local_64[80], local_65[80];

static void make_long_names(void)
{
        memset(label_63, 'a', 63);
        memset(label_64, 'a', 64);
        for (size_t i = 0; i < 254; i++)
                name_254[i] = i % 50 == 49 ? '.' : 'b';
        memcpy(name_253, name_254 + 1, 253);
        (void)snprintf(local_64, sizeof local_64, "%s%s", label_64, "@b.example");
        (void)snprintf(local_65, sizeof local_65, "%s%s", label_64, "a@b.example");
}

START_TEST(account_names)
{
        static const char *const good[] = { "a", "0", "Gmail-out", "a.b_c-d", "A..", label_64 };
        static const char *const bad[] = { "",    ".a",       "-a",  "_a", "a/b",
                                           "a b", "\xc3\xa4", "a\n", "..", local_65 };

        for (size_t i = 0; i < count_of(good); i++)
                ck_assert_msg(account_name_valid(good[i]), "%s", good[i]);
        for (size_t i = 0; i < count_of(bad); i++)
                ck_assert_msg(!account_name_valid(bad[i]), "%s", bad[i]);
        ck_assert(!account_name_valid(NULL));
}
END_TEST

static const struct {
        const char *in, *out; /* NULL: refused */
} hosts[] = {
        { "mail.example.org", "mail.example.org" },
        { "Mail.EXAMPLE.org.", "mail.example.org" },
        { "localhost", "localhost" },
        { "under_score.example", "under_score.example" },
        { "_a.example", "_a.example" },
        { "a--b.example", "a--b.example" },
        { "b\xc3\xbc"
          "cher.example",
          "xn--bcher-kva.example" },
        { "B\xc3\x9c"
          "CHER.example",
          "xn--bcher-kva.example" },
        { "bu\xcc\x88"
          "cher.example",
          "xn--bcher-kva.example" }, /* combining diaeresis */
        { "stra\xc3\x9f"
          "e.example",
          "xn--strae-oqa.example" },                    /* nontransitional */
        { "\xe4\xbe\x8b\xe3\x80\x82jp", "xn--fsq.jp" }, /* ideographic full stop */
        { "xn--bcher-kva.example", "xn--bcher-kva.example" },
        { "192.0.2.1", "192.0.2.1" },
        { "::1", "::1" },
        { "2001:DB8:0:0:0:0:0:1", "2001:db8::1" },
        { "[2001:db8::1]", "2001:db8::1" },
        { label_63, label_63 },
        { name_253, name_253 },
        { "1.example", "1.example" },
        { "", NULL },
        { ".", NULL },
        { ".example", NULL },
        { "a..b", NULL },
        { "a.b..", NULL },
        { "a b", NULL },
        { " a", NULL },
        { "a\tb", NULL },
        { "a\nb", NULL },
        { "a\x7f", NULL },
        { "-a.example", NULL },
        { "a-.example", NULL },
        { "a/b", NULL },
        { "a@b", NULL },
        { "a:25", NULL },
        { "*.example", NULL },
        { "[192.0.2.1]", NULL },
        { "[mail.example]", NULL },
        { "[::1", NULL },
        { "192.0.2.256", NULL },
        { "1.2.3", NULL },
        { "2130706433", NULL },
        { "0x7f.1", NULL },
        { "127.0x1", NULL },
        { "\xef\xbc\x91.\xef\xbc\x92.3.4", NULL }, /* full-width digits */
        { "\xff.example", NULL },
        { "a\xc2\xa0"
          "b.example",
          NULL },
        { "fe80::1%eth0", NULL },
        { label_64, NULL },
        { name_254, NULL },
};

START_TEST(host_forms)
{
        struct cause cause = { 0 };
        char *host = host_normal(hosts[_i].in, &cause);

        if (hosts[_i].out) {
                ck_assert_str_eq(host, hosts[_i].out);
                char *again = host_normal(host, NULL);
                ck_assert_str_eq(again, host);
                free(again);
        } else {
                ck_assert_msg(!host, "%s", hosts[_i].in);
                ck_assert_int_eq((int)cause.code, CAUSE_INVALID);
                ck_assert_int_gt((int)strlen(cause.text), 0);
        }
        free(host);
}
END_TEST

START_TEST(host_too_long)
{
        char *text = new_zeroed(100001, 1);

        memset(text, 'a', 100000);
        ck_assert_ptr_null(host_normal(text, NULL));
        free(text);
        ck_assert(host_is_address("192.0.2.1"));
        ck_assert(host_is_address("::1"));
        ck_assert(!host_is_address("mail.example"));
}
END_TEST

START_TEST(host_and_port)
{
        static const struct {
                const char *in, *host;
                uint16_t port;
        } cases[] = {
                { "mail.example", "mail.example", 0 },
                { "MAIL.example:993", "mail.example", 993 },
                { "192.0.2.1:25", "192.0.2.1", 25 },
                { "[2001:db8::1]:465", "2001:db8::1", 465 },
                { "[2001:db8::1]", "2001:db8::1", 0 },
                { "2001:db8::1", "2001:db8::1", 0 },
                { "mail.example:65535", "mail.example", 65535 },
                { "mail.example:", NULL, 0 },
                { "mail.example:0", NULL, 0 },
                { "mail.example:65536", NULL, 0 },
                { "mail.example:99999999999", NULL, 0 },
                { "mail.example:+25", NULL, 0 },
                { "mail.example:25x", NULL, 0 },
                { ":25", NULL, 0 },
                { "[::1]25", NULL, 0 },
                { "[::1]:", NULL, 0 },
                { "", NULL, 0 },
        };

        for (size_t i = 0; i < count_of(cases); i++) {
                struct cause cause = { 0 };
                uint16_t port = 0;
                char *host = host_port_parse(cases[i].in, &port, &cause);
                if (cases[i].host)
                        ck_assert_str_eq(host, cases[i].host);
                else
                        ck_assert_msg(!host && cause.text[0], "%s", cases[i].in);
                ck_assert_uint_eq(port, cases[i].port);
                free(host);
        }
}
END_TEST

static const struct {
        const char *address;
        bool good;
} addresses[] = {
        { "a@b.example", true },
        { "first.last+tag@example.org", true },
        { "!#$%&'*+-/=?^_`{|}~@example.org", true },
        { "-dash@example.org", true },
        { "\"quoted local\"@example.org", true },
        { "\"a\\\"b@c\"@example.org", true },
        { "\"\"@example.org", true },
        { "user@[192.0.2.1]", true },
        { "user@[IPv6:2001:db8::1]", true },
        { "j\xc3\xb6rg@example.org", true },
        { "a@b\xc3\xbc"
          "cher.example",
          true },
        { "root@localhost", true },
        { local_64, true },
        { local_65, false },
        { "root", false },
        { "@example.org", false },
        { "a@", false },
        { "a@b@c", false },
        { ".a@b.example", true },
        { "a.@b.example", true },
        { "a..b@c.example", true },
        { "a b@c.example", false },
        { "a@b c.example", false },
        { "<a@b.example>", false },
        { "Name <a@b.example>", false },
        { "a@b.example,c@d.example", false },
        { "a(comment)@b.example", false },
        { "\"open@b.example", false },
        { "\"a\"b@c.example", false },
        { "a@b.example\r\nRCPT TO:<x@y>", false },
        { "\"a\r\nb\"@c.example", false },
        { "a\tb@c.example", false },
        { "a@b.example ", false },
        { "a@192.0.2.1", false },
        { "a@[192.0.2.300]", false },
        { "a@[2001:db8::1]", false },
        { "a@[]", false },
        { "a@-b.example", false },
        { "a@b..example", false },
        { "a@b.example.", false },
        { "a\xff@b.example", false },
        { "a\xc2\x85@b.example", false },
        { "a@b\\.example", false },
        { "a@b.example> SIZE=1", false },
};

START_TEST(address_forms)
{
        struct cause cause = { 0 };
        int result = address_check(addresses[_i].address, false, &cause);

        ck_assert_msg(result == (addresses[_i].good ? 0 : -1), "%s: %s", addresses[_i].address, cause.text);
        ck_assert_int_eq(cause.text[0] == '\0', result == 0);
}
END_TEST

START_TEST(address_bounds)
{
        char *address = new_zeroed(400, 1);

        ck_assert_int_eq(address_check("", true, NULL), 0);
        ck_assert_int_eq(address_check("", false, NULL), -1);
        (void)snprintf(address, 400, "aaa@%s", name_253);
        ck_assert_int_eq(address_check(address, false, NULL), 0);
        memset(address, 'a', 399);
        ck_assert_int_eq(address_check(address, false, NULL), -1);
        ck_assert(address_needs_utf8("j\xc3\xb6rg@example.org"));
        ck_assert(!address_needs_utf8("joerg@example.org"));
        free(address);
}
END_TEST

START_TEST(addresses_of_mailboxes)
{
        static const struct {
                const char *in, *out;
        } cases[] = {
                { "a@b.example", "a@b.example" },
                { "  a@b.example \r\n", "a@b.example" },
                { "Name <a@b.example>", "a@b.example" },
                { "\"Last, First\" <a@b.example>", "a@b.example" },
                { "\"<x@y>\" <a@b.example>", "a@b.example" },
                { "a@b.example (Name <x@y>)", "a@b.example" },
                { "(one (two) \\) three) a@b.example", "a@b.example" },
                { "Name <\"odd >local\"@b.example> (home)", "\"odd >local\"@b.example" },
                { "< a@b.example >", "a@b.example" },
                { "root", "root" },
                { "", NULL },
                { "<>", NULL },
                { "Two Words", NULL },
                { "a@b.example, c@d.example", NULL },
                { "Name <a@b.example", NULL },
                { "Name a@b.example>", NULL },
                { "Name <<a@b.example>>", NULL },
                { "\"open <a@b.example>", NULL },
                { "(open <a@b.example>", NULL },
                { "group: a@b.example;", NULL },
        };

        for (size_t i = 0; i < count_of(cases); i++) {
                char *address = address_of_mailbox(cases[i].in);
                if (cases[i].out)
                        ck_assert_str_eq(address, cases[i].out);
                else
                        ck_assert_msg(!address, "%s gives %s", cases[i].in, address);
                free(address);
        }
}
END_TEST

START_TEST(fingerprints)
{
        uint8_t digest[32];
        char hex[65];

        for (size_t i = 0; i < 32; i++)
                digest[i] = (uint8_t)(i * 8 + 7);
        hex_print(digest, 32, hex);
        ck_assert_uint_eq(strlen(hex), 64);
        ck_assert_int_eq(strncmp(hex, "070f171f", 8), 0);
        char *text = fingerprint_text(digest);
        ck_assert_uint_eq(strlen(text), 95);
        ck_assert_int_eq(strncmp(text, "07:0F:17:1F:", 12), 0);
        static const char *const before[] = { "", "sha256:", "SHA256:", "sha256 Fingerprint=",
                                              " SHA256 Fingerprint=" };
        for (size_t i = 0; i < count_of(before); i++) {
                char *whole = text_of("%s%s", before[i], text), *normal = fingerprint_normal(whole);
                ck_assert_str_eq(normal, hex);
                free(whole);
                free(normal);
        }
        char *longer = text_of("%s0", hex), *shorter = fingerprint_normal("AB cd:0");
        ck_assert_ptr_null(fingerprint_normal(longer));
        ck_assert_str_eq(shorter, "abcd0");
        static const char *const bad[] = { "", ":", "xyz", "ab-cd", "sha1:ab", "ab\n" };
        for (size_t i = 0; i < count_of(bad); i++)
                ck_assert_ptr_null(fingerprint_normal(bad[i]));
        free(longer);
        free(shorter);
        free(text);
}
END_TEST

START_TEST(clean_text)
{
        static const char *const bad[] = { "a\r", "a\n", "\t", "\x7f", "\x1b[m", "\xc2\x85", "\xff", "\xc3" };

        ck_assert(text_is_clean(""));
        ck_assert(text_is_clean("gr\xc3\xbc\xc3\x9f \\ \"dich\""));
        for (size_t i = 0; i < count_of(bad); i++)
                ck_assert(!text_is_clean(bad[i]));
}
END_TEST

START_TEST(secrets_are_read_bare)
{
        static const struct {
                const char *read, *secret;
        } cases[] = {
                { "pass\tword", "pass\tword" },
                { "\xEF\xBB\xBFpass\r\n", "pass" },
                { "pass \r\n\r\n", "pass " },
                { "pass\r", "pass" },
                { "\xEF\xBB\xBF", "" },
                { "\r\n", "" },
                { "", "" },
                { " a\rb", " a\rb" },
                { "a\xEF\xBB\xBF", "a\xEF\xBB\xBF" },
        };

        for (size_t i = 0; i < count_of(cases); i++) {
                size_t len = strlen(cases[i].read);
                const char *bare = secret_bare(cases[i].read, &len);
                ck_assert_uint_eq(len, strlen(cases[i].secret));
                ck_assert_int_eq(memcmp(bare, cases[i].secret, len), 0);
        }
        ck_assert(secret_is_clean("pass\tword"));
        ck_assert(!text_is_clean("pass\tword"));
        ck_assert(!secret_is_clean("pass\nword"));
        ck_assert(!secret_is_clean("pass\x7f"));
}
END_TEST

START_TEST(likely_spellings)
{
        static const struct {
                const char *wanted, *word;
        } cases[] = {
                { "usessl", "useSsl" }, { "useStarTls", "useStartTls" },
                { "usSsl", "useSsl" },  { "hostnmae", "hostname" },
                { "prot", "port" },     { "zebra", NULL },
                { "", NULL },           { local_65, NULL },
        };
        static const char *const words[] = { "useSsl", "useStartTls", "hostname", "port" };

        for (size_t i = 0; i < count_of(cases); i++) {
                struct nearest nearest = { 0 };
                for (size_t k = 0; k < count_of(words); k++)
                        nearest_offer(&nearest, cases[i].wanted, words[k]);
                ck_assert_pstr_eq(nearest.word, cases[i].word);
        }
}
END_TEST

int main(void)
{
        make_long_names();
        Suite *suite = suite_create("names");
        TCase *tc = tcase_create("names");

        tcase_add_test(tc, account_names);
        tcase_add_loop_test(tc, host_forms, 0, (int)count_of(hosts));
        tcase_add_test(tc, host_too_long);
        tcase_add_test(tc, host_and_port);
        tcase_add_loop_test(tc, address_forms, 0, (int)count_of(addresses));
        tcase_add_test(tc, address_bounds);
        tcase_add_test(tc, addresses_of_mailboxes);
        tcase_add_test(tc, fingerprints);
        tcase_add_test(tc, clean_text);
        tcase_add_test(tc, secrets_are_read_bare);
        tcase_add_test(tc, likely_spellings);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
