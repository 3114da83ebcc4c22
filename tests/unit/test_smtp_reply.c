/* SPDX-License-Identifier: MIT */
/* The reply parser and the capabilities, on legal, odd and hostile lines. */
#include "daemon/smtp/capabilities.c"
#include "daemon/smtp/reply.c"

#include <check.h>

static struct reply reply;
static struct cause cause;

static void setup(void)
{
        reply_init(&reply);
        cause_clear(&cause);
}

static void teardown(void)
{
        reply_done(&reply);
}

/* Feeds lines parted by '\n'; the result of the last one. */
static enum reply_result feed(const char *lines)
{
        enum reply_result result = REPLY_MORE;

        for (;;) {
                size_t len = strcspn(lines, "\n");
                /* A copy of the exact length: reading past it is an error that ASan sees. */
                char *line = len ? memcpy(malloc(len), lines, len) : malloc(1);
                result = reply_feed(&reply, line, len, &cause);
                free(line);
                if (result == REPLY_BAD || !lines[len])
                        return result;
                lines += len + 1;
        }
}

static const struct {
        const char *lines;
        enum reply_result result;
        unsigned code;
        const char *enhanced, *words;
} cases[] = {
        { "250 ok", REPLY_DONE, 250, "", "250 ok" },
        { "250", REPLY_DONE, 250, "", "250" },
        { "250 ", REPLY_DONE, 250, "", "250" },
        { "250-a\n250-b\n250 c", REPLY_DONE, 250, "", "250 a b c" },
        { "250-a", REPLY_MORE, 250, "", "250 a" },
        { "250-a\n250", REPLY_DONE, 250, "", "250 a " },
        { "550 5.1.1 User unknown", REPLY_DONE, 550, "5.1.1", "550 5.1.1 User unknown" },
        { "550-5.1.1 User\n550 5.1.1 unknown", REPLY_DONE, 550, "5.1.1", "550 5.1.1 User unknown" },
        { "550-5.1.1 User\n550 5.1.2 x", REPLY_DONE, 550, "5.1.1", "550 5.1.1 User 5.1.2 x" },
        { "250 2.0.0", REPLY_DONE, 250, "2.0.0", "250 2.0.0" },
        { "450 4.999.123 x", REPLY_DONE, 450, "4.999.123", "450 4.999.123 x" },
        { "450 4.1000.1 x", REPLY_DONE, 450, "", "450 4.1000.1 x" },
        { "550 4.1.1 class differs", REPLY_DONE, 550, "", "550 4.1.1 class differs" },
        { "250 2.0", REPLY_DONE, 250, "", "250 2.0" },
        { "250 2.0.", REPLY_DONE, 250, "", "250 2.0." },
        { "250 2.0.0x", REPLY_DONE, 250, "", "250 2.0.0x" },
        { "535 \033[2Jconnected\r250 ok", REPLY_DONE, 535, "", "535 \\x1B[2Jconnected\\x0D250 ok" },
        { "421 4.3.2 bye", REPLY_DONE, 421, "4.3.2", "421 4.3.2 bye" },
        { "250\tok", REPLY_DONE, 250, "", "250 ok" },
        { "250-a\nhello\n250 b", REPLY_DONE, 250, "", "250 a hello b" },
        { "250-a\n\n250 b", REPLY_DONE, 250, "", "250 a  b" },
        { "\n\n250 b", REPLY_DONE, 250, "", "250 b" },
        { "220-2.0.0 a\n521 5.7.1 blocked", REPLY_DONE, 521, "5.7.1", "521 5.7.1 a blocked" },
        { "550-5.1.1 a\n250 b", REPLY_DONE, 550, "5.1.1", "550 5.1.1 a b" },
        { "250-a\nhello", REPLY_MORE, 250, "", "250 a hello" },
        { "", REPLY_MORE, 0, "", "000" },
        { "25", REPLY_BAD, 0, NULL, NULL },
        { "25x ok", REPLY_BAD, 0, NULL, NULL },
        { "2500 ok", REPLY_BAD, 0, NULL, NULL },
        { "250_ok", REPLY_BAD, 0, NULL, NULL },
        { "150 ok", REPLY_BAD, 0, NULL, NULL },
        { "650 ok", REPLY_BAD, 0, NULL, NULL },
        { " 250 ok", REPLY_BAD, 0, NULL, NULL },
        { "-250 ok", REPLY_BAD, 0, NULL, NULL },
        { "\xff\xfe\xfd", REPLY_BAD, 0, NULL, NULL },
};

START_TEST(test_lines)
{
        char words[200];

        ck_assert_msg(feed(cases[_i].lines) == cases[_i].result, "\"%s\"", cases[_i].lines);
        if (cases[_i].result == REPLY_BAD) {
                ck_assert_int_eq(cause.code, CAUSE_PROTOCOL);
                return;
        }
        ck_assert_uint_eq(reply.code, cases[_i].code);
        ck_assert_str_eq(reply.enhanced, cases[_i].enhanced);
        reply_words(&reply, words, sizeof words);
        if (strcasecmp(words, cases[_i].words) != 0)
                ck_abort_msg("\"%s\": \"%s\"", cases[_i].words, words);
}
END_TEST

START_TEST(test_one_after_another)
{
        ck_assert_int_eq(feed("550-5.1.1 a\n550 b"), REPLY_DONE);
        ck_assert_int_eq(feed("250 ok"), REPLY_DONE);
        ck_assert_uint_eq(reply.code, 250);
        ck_assert_str_eq(reply.enhanced, "");
        ck_assert_uint_eq(reply.lines, 1);
        ck_assert_int_eq(feed("250-half"), REPLY_MORE);
        reply_reset(&reply);
        ck_assert_int_eq(feed("220 new"), REPLY_DONE);
}
END_TEST

START_TEST(test_bounds)
{
        enum reply_result result = REPLY_MORE;
        size_t lines = 0;

        while (result == REPLY_MORE && lines < 100000) {
                result = feed("250-more");
                lines++;
        }
        ck_assert_int_eq(result, REPLY_BAD);
        ck_assert_uint_eq(lines, LIMIT_REPLY_LINES + 1);

        reply_reset(&reply);
        static char long_line[LIMIT_LINE + 1] = "250-";
        memset(long_line + 4, 'x', LIMIT_LINE - 4);
        for (lines = 0, result = REPLY_MORE; result == REPLY_MORE; lines++)
                result = feed(long_line);
        ck_assert_int_eq(result, REPLY_BAD);
        ck_assert_uint_le(lines, 17);
        char words[64];
        reply_words(&reply, words, sizeof words);
        ck_assert_uint_lt(strlen(words), sizeof words);
}
END_TEST

static const struct {
        const char *bytes;
        enum cause_code code;
        const char *word;
} foreign[] = {
        { "\x16\x03\x01\x02", CAUSE_TLS_MISMATCH, "TLS" },
        { "\x15\x03\x03", CAUSE_TLS_MISMATCH, "TLS" },
        { "* OK IMAP4rev1 ready", CAUSE_PROTOCOL, "IMAP" },
        { "+OK POP3", CAUSE_PROTOCOL, "POP3" },
        { "SSH-2.0-x", CAUSE_PROTOCOL, "SSH" },
        { "HTTP/1.1 400", CAUSE_PROTOCOL, "web" },
        { "220 hello", CAUSE_NONE, "" },
        { "\x16", CAUSE_NONE, "" },
        { "2", CAUSE_NONE, "" },
};

START_TEST(test_foreign)
{
        int result = reply_foreign((const uint8_t *)foreign[_i].bytes, strlen(foreign[_i].bytes), &cause);

        ck_assert_int_eq(result, foreign[_i].code ? -1 : 0);
        ck_assert_int_eq(cause.code, foreign[_i].code);
        ck_assert_ptr_nonnull(strstr(cause.text, foreign[_i].word));
}
END_TEST

START_TEST(test_capabilities)
{
        struct smtp_capabilities can = { .dsn = true };

        ck_assert_int_eq(
                feed("250-mail.example greets STARTTLS\n250-PIPELINING\n250-size 1000000\n250-STARTTLS\n"
                     "250-AUTH PLAIN login  SCRAM-SHA-256-PLUS\n250-AUTH=CRAM-MD5\n250-8BITMIME\n"
                     "250-X\033EVIL\n250-CHUNKING\n250 SMTPUTF8"),
                REPLY_DONE);
        smtp_capabilities_read(&can, &reply);
        ck_assert(can.ehlo && can.starttls && can.pipelining && can.eight_bit && can.smtputf8 &&
                  can.chunking);
        ck_assert(!can.dsn && !can.enhanced && can.size_known);
        ck_assert_uint_eq(can.max_size, 1000000);
        ck_assert_str_eq(can.auth, "PLAIN LOGIN SCRAM-SHA-256-PLUS CRAM-MD5");
        ck_assert_ptr_nonnull(strstr(can.text, "PIPELINING, size 1000000, STARTTLS"));
        ck_assert_ptr_null(strchr(can.text, '\033'));
}
END_TEST

static const struct {
        const char *line;
        bool size_known;
        uint64_t size;
        const char *auth;
} odd[] = {
        { "SIZE", true, 0, "" },
        { "SIZE 0", true, 0, "" },
        { "SIZE -1", true, 0, "" },
        { "SIZE 18446744073709551615", true, UINT64_MAX, "" },
        { "SIZE 99999999999999999999999", true, 0, "" },
        { "SIZE 12x", true, 0, "" },
        { "SIZED 12", false, 0, "" },
        { "AUTH", false, 0, "" },
        { "AUTH ", false, 0, "" },
        { "AUTH PL\x01AIN LOGIN", false, 0, "LOGIN" },
        { "AUTH\tPLAIN \t LOGIN\t", false, 0, "PLAIN LOGIN" },
        { "SIZE\t12", true, 12, "" },
        { "AUTH THIS-NAME-IS-TOO-LONG-TO-BE-ONE PLAIN", false, 0, "PLAIN" },
        { "STARTTL", false, 0, "" },
        { "", false, 0, "" },
};

START_TEST(test_odd_capabilities)
{
        struct smtp_capabilities can;
        char *lines = text_of("250-me\n250 %s", odd[_i].line);

        ck_assert_int_eq(feed(lines), REPLY_DONE);
        smtp_capabilities_read(&can, &reply);
        ck_assert_int_eq(can.size_known, odd[_i].size_known);
        ck_assert_uint_eq(can.max_size, odd[_i].size == UINT64_MAX ? can.max_size : odd[_i].size);
        ck_assert_str_eq(can.auth, odd[_i].auth);
        ck_assert(!can.starttls);
        free(lines);
}
END_TEST

START_TEST(test_many_capabilities)
{
        struct smtp_capabilities can;

        for (int i = 0; i < 400; i++)
                ck_assert_int_eq(feed("250-AUTH ABCDEFGHIJKLMNOPQRST"), REPLY_MORE);
        ck_assert_int_eq(feed("250 end"), REPLY_DONE);
        smtp_capabilities_read(&can, &reply);
        ck_assert_uint_lt(strlen(can.auth), sizeof can.auth);
        ck_assert_uint_lt(strlen(can.text), sizeof can.text);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("smtp_reply");
        TCase *tc = tcase_create("reply");

        tcase_add_checked_fixture(tc, setup, teardown);
        tcase_add_loop_test(tc, test_lines, 0, (int)count_of(cases));
        tcase_add_test(tc, test_one_after_another);
        tcase_add_test(tc, test_bounds);
        tcase_add_loop_test(tc, test_foreign, 0, (int)count_of(foreign));
        tcase_add_test(tc, test_capabilities);
        tcase_add_loop_test(tc, test_odd_capabilities, 0, (int)count_of(odd));
        tcase_add_test(tc, test_many_capabilities);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
