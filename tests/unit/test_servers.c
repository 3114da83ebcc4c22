/* SPDX-License-Identifier: MIT */
/* Where mail servers are, by table, by DNS answers and by files of domains: what is taken, and what is left
 * alone. */
#include "ctl/servers.c"
#include "ctl/servers_file.c"

#include <check.h>

START_TEST(the_table)
{
        for (size_t i = 0; i < count_of(providers); i++) {
                const struct provider *p = &providers[i];
                scoped(scoped_free) char *first = copy_bytes(p->domains, strcspn(p->domains, " "));
                scoped(scoped_free) char *address = text_of("some.one@%s", first[0] ? first : "example.com");
                scoped(servers_done) struct servers found = { 0 };
                ck_assert_int_eq(servers_by_table(address, &found), first[0] != '\0');
                if (!first[0])
                        continue;
                ck_assert_ptr_eq(found.provider, p);
                ck_assert(servers_complete(&found));
                for (int n = 0; n < 2; n++) {
                        const struct mail_server *server = n ? &found.incoming : &found.outgoing;
                        scoped(scoped_free) char *host = host_normal(server->host, NULL);
                        ck_assert_str_eq(host, server->host);
                        ck_assert(server->port && (same_text(server->security, "ssl") ||
                                                   same_text(server->security, "starttls")));
                }
        }
        struct servers none = { 0 };
        ck_assert(!servers_by_table("a@example.com", &none) && !servers_by_table("a@notgmail.com", &none));
}
END_TEST

static const struct {
        const char *text, *outgoing, *incoming; /* "host port security transport user" */
} files[] = {
        { "<clientConfig version=\"1.1\"><emailProvider id=\"x\"><domain>x</domain>"
          "<incomingServer "
          "type=\"pop3\"><hostname>pop.x.example</hostname><port>995</port><socketType>SSL</"
          "socketType><username>%EMAILADDRESS%</username></incomingServer>"
          "<incomingServer type=\"imap\">\n <hostname> imap.x.example "
          "</hostname>\n<port>993</port><socketType>SSL</socketType><username>%EMAILLOCALPART%</username></"
          "incomingServer>"
          "<incomingServer "
          "type=\"imap\"><hostname>second.x.example</hostname><port>143</port><socketType>STARTTLS</"
          "socketType></incomingServer>"
          "<outgoingServer "
          "type='smtp'><hostname>SMTP.x.example</hostname><port>587</port><socketType>STARTTLS</"
          "socketType><username>x+%EMAILDOMAIN%</username></outgoingServer>",
          "smtp.x.example 587 starttls smtp x+x.example", "imap.x.example 993 ssl imap me" },
        { "<!-- <incomingServer "
          "type=\"imap\"><hostname>no.example</hostname><port>993</port><socketType>SSL</socketType></"
          "incomingServer> -->"
          "<incomingServer type = "
          "\"imap\"><hostname>yes.example</hostname><port>993</port><socketType>SSL</"
          "socketType><username>a&amp;b</username></incomingServer>",
          NULL, "yes.example 993 ssl imap a&b" },
        { "<outgoingServer "
          "type=\"smtp\"><hostname>clear.example</hostname><port>25</port><socketType>plain</socketType></"
          "outgoingServer>",
          NULL, NULL },
        { "<outgoingServer "
          "type=\"imap\"><hostname>x.example</hostname><port>465</port><socketType>SSL</socketType></"
          "outgoingServer>",
          NULL, NULL },
        { "<outgoingServer "
          "type=\"smtp\"><hostname>x.example</hostname><port>0</port><socketType>SSL</socketType></"
          "outgoingServer>",
          NULL, NULL },
        { "<outgoingServer "
          "type=\"smtp\"><hostname>x.example</hostname><port>70000</port><socketType>SSL</socketType></"
          "outgoingServer>",
          NULL, NULL },
        { "<outgoingServer type=\"smtp\"><hostname>bad "
          "host</hostname><port>465</port><socketType>SSL</socketType></outgoingServer>",
          NULL, NULL },
        { "<outgoingServer "
          "type=\"smtp\"><hostname>x.example</hostname><port>465</port><socketType>SSL</socketType>",
          NULL, NULL },
        { "<html>not found</html>", NULL, NULL },
        { "", NULL, NULL },
};

static void expect(const struct mail_server *server, const char *wanted)
{
        if (!wanted) {
                ck_assert_ptr_null(server->host);
                return;
        }
        scoped(scoped_free) char *made =
                text_of("%s %u %s %s %s", server->host, server->port, server->security, server->transport,
                        server->user ? server->user : "-");
        ck_assert_str_eq(made, wanted);
}

START_TEST(files_of_domains)
{
        scoped(servers_done) struct servers found = { 0 };

        ck_assert_int_eq(servers_by_file("me@x.example", files[_i].text, "https://x", &found),
                         files[_i].outgoing || files[_i].incoming);
        expect(&found.outgoing, files[_i].outgoing);
        expect(&found.incoming, files[_i].incoming);
}
END_TEST

/* A header, a question for x.example, and records: priority 10 and 5, and one that is none. */
#define HEAD \
        "\0\1\x81\x80\0\1\0\3\0\0\0\0" \
        "\1x\7example\0\0\41\0\1"
#define SRV(priority, weight, port, host) \
        "\300\14\0\41\0\1\0\0\0\74\0\22\0" priority "\0" weight port "\12" host "\0"

START_TEST(dns_answers)
{
        static const char answer[] = HEAD SRV("\12", "\0", "\0\31", "aaaaaaaaaa")
                SRV("\5", "\1", "\1\321", "bbbbbbbbbb") SRV("\5", "\0", "\2\113", "cccccccccc");
        char *host = NULL;
        uint16_t port = 0;

        ck_assert(answer_best((const uint8_t *)answer, sizeof answer - 1, ns_t_srv, &host, &port));
        ck_assert_str_eq(host, "bbbbbbbbbb");
        ck_assert_uint_eq(port, 465);
        free(take(host));
        ck_assert(!answer_best((const uint8_t *)answer, sizeof answer - 1, ns_t_mx, &host, &port));
        /* cut anywhere: nothing is read beyond it */
        for (size_t len = 0; len < sizeof answer - 1; len++) {
                scoped(scoped_free) uint8_t *part = (uint8_t *)copy_bytes(answer, len);
                if (answer_best(part, len, ns_t_srv, &host, &port))
                        free(take(host));
        }
        static const char none[] = "\0\1\x81\x80\0\1\0\1\0\0\0\0"
                                   "\1x\7example\0\0\41\0\1"
                                   "\300\14\0\41\0\1\0\0\0\74\0\7\0\0\0\0\0\0\0";
        ck_assert(!answer_best((const uint8_t *)none, sizeof none - 1, ns_t_srv, &host, &port));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("servers");
        TCase *tests = tcase_create("servers");

        tcase_add_test(tests, the_table);
        tcase_add_loop_test(tests, files_of_domains, 0, (int)count_of(files));
        tcase_add_test(tests, dns_answers);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
