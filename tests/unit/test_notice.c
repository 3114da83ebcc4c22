/* SPDX-License-Identifier: MIT */
/* The text of a notice: its parts and fields, and that whatever it is about, it is short lines of ASCII. */
#include "daemon/store/notice.c"

#include <check.h>

static const char header[] = "From: a@x\r\nSubject: s\r\n\r\nbody\r\n";

static char *write_one(const struct notice_recipient *recipients, size_t count, const char *head,
                       size_t head_len)
{
        struct buf out = BUF_WITH_MAX(1024 * 1024);
        char *message_id = NULL;
        struct notice notice = {
                .to = "postmaster@x.example",
                .from = "plant@x.example",
                .hostname = "station.example",
                .server = "mail.example",
                .account = "office",
                .id = "abc",
                .token = "TOKEN",
                .sender = "a@x",
                .message_id = "<m@x>",
                .envelope_id = "day 7",
                .submitted = 1000,
                .last_attempt = 2000,
                .now = 3000,
                .recipients = recipients,
                .recipient_count = count,
                .header = (const uint8_t *)head,
                .header_len = head_len,
        };

        ck_assert_int_eq(notice_write(&notice, &out, &message_id), 0);
        ck_assert_str_eq(message_id, "<TOKEN@station.example>");
        free(message_id);
        return buf_take_text(&out);
}

static void check_lines(const char *text)
{
        size_t column = 0;

        for (const char *at = text; *at; at++) {
                ck_assert_msg(*at == '\r' || *at == '\n' || *at == '\t' || (*at >= ' ' && *at <= '~'),
                              "byte %d", *at);
                ck_assert_int_eq(*at == '\r', at[1] == '\n');
                column = *at == '\n' ? 0 : column + 1;
                ck_assert_uint_le(column, 999);
        }
}

static void has(const char *text, const char *part)
{
        ck_assert_msg(strstr(text, part) != NULL, "no \"%s\" in\n%s", part, text);
}

START_TEST(the_form)
{
        const struct notice_recipient recipients[] = {
                { "b@x", "550 5.1.1 no such user", "5.1.1", CAUSE_REFUSED, NULL },
                { "c@x", "not delivered within 5 days; last: 450 4.2.2 full", "4.2.2", CAUSE_EXPIRED, NULL },
                { "d@x", "the message is too large", NULL, CAUSE_UNSENDABLE, "rfc822;first+d@x" },
                { "e@x", "550 no", NULL, CAUSE_REFUSED, NULL },
        };
        char *text = write_one(recipients, count_of(recipients), header, sizeof header - 1);

        check_lines(text);
        has(text, "\r\n\r\nOriginal-Recipient: rfc822;first+d@x\r\nFinal-Recipient: rfc822;d@x\r\n");
        has(text, "\r\nAuto-Submitted: auto-generated\r\n");
        has(text, "report-type=delivery-status;\r\n boundary=\"=_TOKEN\"\r\n\r\n--=_TOKEN\r\n");
        has(text,
            "Content-Type: message/delivery-status\r\n\r\nOriginal-Envelope-Id: day 7\r\nReporting-MTA: dns; "
            "station.example\r\n");
        has(text, "\r\n\r\nFinal-Recipient: rfc822;b@x\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: "
                  "dns; mail.example\r\n"
                  "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\nLast-Attempt-Date: ");
        has(text, "rfc822;c@x\r\nAction: failed\r\nStatus: 4.4.7\r\nRemote-MTA: dns; mail.example\r\n"
                  "Diagnostic-Code: smtp; 450 4.2.2 full\r\n");
        has(text, "rfc822;d@x\r\nAction: failed\r\nStatus: 5.6.0\r\nDiagnostic-Code: X-emailsecd; the "
                  "message is too large\r\n");
        has(text, "rfc822;e@x\r\nAction: failed\r\nStatus: 5.0.0\r\n");
        has(text, "Content-Type: text/rfc822-headers\r\n\r\nFrom: a@x\r\nSubject: s\r\n\r\n--=_TOKEN--\r\n");
        ck_assert_ptr_null(strstr(text, "body\r\n"));
        free(text);
}
END_TEST

START_TEST(what_is_not_ascii)
{
        static const char head[] = "Subject: caf\xc3\xa9 = 1 \r\nX: y\r\n\r\n";
        const struct notice_recipient one = { "j\xc3\xb6rg\xf0\x9f\x98\x80@x", "550 na\xefve \xc3", "5.0.0",
                                              CAUSE_REFUSED, NULL };
        char *text = write_one(&one, 1, head, sizeof head - 1);

        check_lines(text);
        has(text, "Final-Recipient: utf-8;j\\x{F6}rg\\x{1F600}@x\r\n");
        has(text, "smtp; 550 na\\x{EF}ve \\x{C3}\r\n");
        has(text,
            "Content-Transfer-Encoding: quoted-printable\r\n\r\nSubject: caf=C3=A9 =3D 1=20\r\nX: y\r\n");
        free(text);
}
END_TEST

START_TEST(long_and_missing_things)
{
        static char reply[380], head[200 * 1024];
        const struct notice_recipient one = { "b@x", reply, "", CAUSE_REFUSED, NULL };

        memset(reply, 'r', sizeof reply - 1);
        memcpy(reply, "550 ", 4);
        memset(head, 'h', sizeof head); /* one endless line: no whole one */
        char *text = write_one(&one, 1, head, sizeof head);
        check_lines(text);
        ck_assert_ptr_null(strstr(text, "rfc822-headers"));
        free(text);
        for (size_t at = 0; at + 100 <= sizeof head; at += 100)
                memcpy(head + at + 98, "\r\n", 2);
        text = write_one(&one, 1, head, sizeof head);
        check_lines(text);
        ck_assert_uint_le(strlen(text), HEADER_MOST + 4096);
        free(text);
        text = write_one(&one, 1, NULL, 0);
        ck_assert_ptr_null(strstr(text, "rfc822-headers"));
        free(text);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("notice");
        TCase *tc = tcase_create("all");

        tcase_add_test(tc, the_form);
        tcase_add_test(tc, what_is_not_ascii);
        tcase_add_test(tc, long_and_missing_things);
        suite_add_tcase(suite, tc);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
