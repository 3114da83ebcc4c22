/* SPDX-License-Identifier: MIT */
/* The filter of submitted messages: whole, byte by byte, and at every split. */
#include "daemon/loop.h"
#include "daemon/store/intake.c"

#include <check.h>

#define ADDED_DATE  "Date: %s\r\n"
#define ADDED_ID    "Message-ID: <token@station.example>\r\n"
#define ADDED_FROM  "From: plant@example.com\r\n"
#define ADDED_REPLY "Reply-To: people@example.com\r\n"
#define ALL         "{D}" ADDED_ID ADDED_FROM ADDED_REPLY
#define WHOLE       "Date: d\r\nMessage-ID: <own@x>\r\nFrom: a@b\r\nReply-To: c@d\r\n"

static const struct {
        const char *in;
        size_t len;      /* 0: strlen */
        const char *out; /* {D}: the date line; NULL: refused */
        const char *id;  /* message_id, or the sentence */
        bool eight_bit, header_utf8;
} cases[] = {
        { "", 0, ALL "\r\n", "<token@station.example>", false, false },
        { "\n", 0, ALL "\r\n", "<token@station.example>", false, false },
        { "hello\n", 0, ALL "\r\nhello\r\n", "<token@station.example>", false, false },
        { "hello", 0, ALL "\r\nhello\r\n", "<token@station.example>", false, false },
        { "Subject: x\n\nbody\n", 0, "Subject: x\r\n" ALL "\r\nbody\r\n", "<token@station.example>", false,
          false },
        { "Subject: x\n", 0, "Subject: x\r\n" ALL "\r\n", "<token@station.example>", false, false },
        { "Subject: x", 0, "Subject: x\r\n" ALL "\r\n", "<token@station.example>", false, false },
        { WHOLE "\r\nbody\r\n", 0, WHOLE "\r\nbody\r\n", "<own@x>", false, false },
        { WHOLE "\r\n.\r\n..\r\nlone dots\r\n.\r\n", 0, WHOLE "\r\n.\r\n..\r\nlone dots\r\n.\r\n", "<own@x>",
          false, false },
        /* line ends */
        { WHOLE "\r\na\nb\r\n\n\nf", 0, WHOLE "\r\na\r\nb\r\n\r\n\r\nf\r\n", "<own@x>", false, false },
        { WHOLE "\r\na\r", 0, NULL, "line 6 holds a carriage return that is no end of a line", false, false },
        { WHOLE "\r\na\rb\n", 0, NULL, "line 6 holds a carriage return that is no end of a line", false,
          false },
        { WHOLE "\r\na\r\nb\r\r\n", 0, NULL, "line 7 holds a carriage return that is no end of a line", false,
          false },
        { WHOLE "\r\na\n.\r.\r\n", 0, NULL, "line 7 holds a carriage return that is no end of a line", false,
          false },
        { "Subject: a\rb\n\n", 0, NULL, "line 1 holds a carriage return that is no end of a line", false,
          false },
        { "Subject: a\r\r\n\r\n", 0, NULL, "line 1 holds a carriage return that is no end of a line", false,
          false },
        /* Bcc, with continuation, any case; a field whose name only begins so stays */
        { WHOLE "Bcc: x@y,\r\n\tz@w\r\n q@r\r\nTo: t@u\r\nbCC:v@w\r\nResent-Bcc: r@s\r\n more\r\nBcc-Not: "
                "stays\r\n\r\nBcc: body\r\n",
          0, WHOLE "To: t@u\r\nBcc-Not: stays\r\n\r\nBcc: body\r\n", "<own@x>", false, false },
        { "Bcc: x@y\n\nb\n", 0, ALL "\r\nb\r\n", "<token@station.example>", false, false },
        { WHOLE "Bcc : x@y\r\n\r\n", 0, WHOLE "\r\n", "<own@x>", false, false },
        /* names in any case, folded Message-ID */
        { "DATE: d\nmessage-id:\n <folded@x>\nfrom: a\nreply-to: b\n\n", 0,
          "DATE: d\r\nmessage-id:\r\n <folded@x>\r\nfrom: a\r\nreply-to: b\r\n\r\n", "<folded@x>", false,
          false },
        { "Date: d\nMessage-ID:  bare \nFrom: a\nReply-To: b\n\n", 0,
          "Date: d\r\nMessage-ID:  bare \r\nFrom: a\r\nReply-To: b\r\n\r\n", "bare", false, false },
        /* mbox line; a header that stops without a blank line */
        { "From someone Mon Nov 23\nSubject: x\n\nFrom here\n", 0, "Subject: x\r\n" ALL "\r\nFrom here\r\n",
          "<token@station.example>", false, false },
        { "Subject: x\nno field here\n", 0, "Subject: x\r\n" ALL "\r\nno field here\r\n",
          "<token@station.example>", false, false },
        { " indented first\n", 0, ALL "\r\n indented first\r\n", "<token@station.example>", false, false },
        { ": no name\n", 0, ALL "\r\n: no name\r\n", "<token@station.example>", false, false },
        /* 8-bit */
        { WHOLE "\r\ncaf\xc3\xa9\r\n", 0, WHOLE "\r\ncaf\xc3\xa9\r\n", "<own@x>", true, false },
        { WHOLE "Subject: \xc3\xa9\r\n\r\n", 0, WHOLE "Subject: \xc3\xa9\r\n\r\n", "<own@x>", true, true },
        { WHOLE "Bcc: \xc3\xa9@x\r\n\r\n", 0, WHOLE "\r\n", "<own@x>", false, false },
        /* refused */
        { "a\0b\n", 4, NULL, "line 1 holds a NUL byte", false, false },
        { "Subject: x\n\nb\n\0", 15, NULL, "line 4 holds a NUL byte", false, false },
};

static const struct intake_rules rules = { .hostname = "station.example",
                                           .from = "plant@example.com",
                                           .reply_to = "people@example.com",
                                           .id = "token",
                                           .now = 1795459860,
                                           .max_size = 100000 };

static char *with_date(const char *text)
{
        char date[48];
        const char *mark = strstr(text, "{D}");

        time_rfc5322(rules.now, date);
        if (!mark)
                return copy_text(text);
        return text_of("%.*sDate: %s\r\n%s", (int)(mark - text), text, date, mark + 3);
}

/* Feeds `len` bytes, cut at `split` (and everywhere when `step` is 1). */
static int run(struct intake *intake, const char *in, size_t len, size_t split, size_t step, struct buf *out,
               struct cause *cause)
{
        for (size_t at = 0; at < len;) {
                size_t part = at < split && split < len ? split - at : len - at;
                part = part < step ? part : step;
                if (intake_feed(intake, (const uint8_t *)in + at, part, out, cause) < 0)
                        return -1;
                at += part;
        }
        return intake_end(intake, out, cause);
}

static void check_case(int i, size_t split, size_t step)
{
        size_t len = cases[i].len ? cases[i].len : strlen(cases[i].in);
        struct buf out = BUF_WITH_MAX(100000);
        struct cause cause = { 0 };
        struct intake *intake = intake_new(&rules);
        int result = run(intake, cases[i].in, len, split, step, &out, &cause);

        if (cases[i].out) {
                char *want = with_date(cases[i].out);
                ck_assert_msg(result == 0, "%s", cause.text);
                ck_assert_uint_eq(intake_facts(intake)->size, out.len);
                char *text = buf_take_text(&out);
                ck_assert_str_eq(text, want);
                ck_assert_str_eq(intake_facts(intake)->message_id, cases[i].id);
                ck_assert_int_eq(intake_facts(intake)->eight_bit, cases[i].eight_bit);
                ck_assert_int_eq(intake_facts(intake)->header_utf8, cases[i].header_utf8);
                free(text);
                free(want);
        } else {
                ck_assert_int_eq(result, -1);
                ck_assert_int_eq((int)cause.code, CAUSE_UNSENDABLE);
                ck_assert_str_eq(cause.text, cases[i].id);
        }
        buf_free(&out);
        intake_free(intake);
}

START_TEST(messages)
{
        size_t len = cases[_i].len ? cases[_i].len : strlen(cases[_i].in);

        check_case(_i, len, SIZE_MAX);
        check_case(_i, len, 1);
        for (size_t split = 1; split < len; split++)
                check_case(_i, split, SIZE_MAX);
}
END_TEST

static const struct {
        size_t len; /* of line 2 */
        const char *end;
        const char *text; /* NULL: accepted */
} lines[] = {
        { 998, "\r\n", NULL },
        { 998, "\n", NULL },
        { 998, "", NULL },
        { 999, "\r\n", "line 2 is 999 bytes long; a line may have 998" },
        { 999, "", "line 2 is 999 bytes long; a line may have 998" },
        { 1204, "\n", "line 2 is 1,204 bytes long; a line may have 998" },
        { 70000, "\n", "line 2 is 70,000 bytes long; a line may have 998" },
};

START_TEST(long_lines)
{
        size_t len = lines[_i].len;
        char *text = text_of("x\r\n%*s%s", (int)len, "", lines[_i].end);
        const size_t steps[] = { SIZE_MAX, 1, 7, 997, 998, 999, 1000, 1001, 4096 };

        memset(text + 3, 'a', len);
        for (size_t i = 0; i < count_of(steps); i++) {
                struct buf out = BUF_WITH_MAX(200000);
                struct cause cause = { 0 };
                struct intake *intake = intake_new(&rules);
                int result = run(intake, text, strlen(text), SIZE_MAX, steps[i], &out, &cause);
                ck_assert_int_eq(result, lines[_i].text ? -1 : 0);
                ck_assert_str_eq(cause.text, lines[_i].text ? lines[_i].text : "");
                buf_free(&out);
                intake_free(intake);
        }
        free(text);
}
END_TEST

START_TEST(too_large)
{
        struct intake_rules small = rules;
        struct buf out = BUF_WITH_MAX(100000);
        struct cause cause = { 0 };
        char line[] = "0123456789\r\n";
        int result = 0;

        small.max_size = 1000;
        struct intake *intake = intake_new(&small);
        for (int i = 0; i < 100 && result == 0; i++)
                result = intake_feed(intake, (const uint8_t *)line, 12, &out, &cause);
        ck_assert_int_eq(result, -1);
        ck_assert_int_eq((int)cause.code, CAUSE_TOO_LARGE);
        buf_free(&out);
        intake_free(intake);
}
END_TEST

/* Local names in the header: only the fields that have them are written anew. */
static const struct {
        const char *in, *out;
} local[] = {
        { "From: root (Cron Daemon)\nTo: root\nSubject: root\n\nTo: root\n",
          "From: root@station.example (Cron Daemon)\r\nTo: ops@example.com\r\nSubject: root\r\n{D}" ADDED_ID
          "\r\nTo: root\r\n" },
        { "To:  odd@b.example ,\n  more@c.example\nCc: x@y.example,\n\troot,\n z@w.example\nfrom: "
          "a@b.example\n\n",
          "To:  odd@b.example ,\r\n  more@c.example\r\nCc: x@y.example, ops@example.com, "
          "z@w.example\r\nfrom: a@b.example\r\n{D}" ADDED_ID "\r\n" },
        { "Bcc: root\n more\nTo : root\nFrom: a@b",
          "To: ops@example.com\r\nFrom: a@b\r\n{D}" ADDED_ID "\r\n" },
        { "From: a@b\nTo: root\nno field\n",
          "From: a@b\r\nTo: ops@example.com\r\n{D}" ADDED_ID "\r\nno field\r\n" },
        { "From: a@b\nTo: root,root,root,root,root\n",
          "From: a@b\r\nTo: ops@example.com, ops@example.com, ops@example.com, ops@example.com,\r\n "
          "ops@example.com\r\n{D}" ADDED_ID "\r\n" },
        { "", "{D}" ADDED_ID "From: plant@station.example\r\n\r\n" },
};

START_TEST(local_names)
{
        struct settings settings = { .hostname = (char *)"station.example",
                                     .local_recipients = (char *)"ops@example.com" };
        struct intake_rules with = rules;
        scoped(scoped_free) char *wanted = with_date(local[_i].out);

        ck_assert_int_eq(loop_open(NULL), 0);
        local_names_open(&settings);
        with.names = local_names_hold();
        with.reply_to = NULL;
        with.from = "plant";
        for (size_t portion = 1; portion < 100; portion++) {
                struct buf out = BUF_WITH_MAX(MIB);
                struct cause cause;
                struct intake *intake = intake_new(&with);
                ck_assert_int_eq(run(intake, local[_i].in, strlen(local[_i].in), 0, portion, &out, &cause),
                                 0);
                ck_assert_uint_eq(intake_facts(intake)->size, out.len);
                scoped(scoped_free) char *text = buf_take_text(&out);
                ck_assert_str_eq(text, wanted);
                intake_free(intake);
        }
        local_names_release(with.names);
        local_names_close();
        loop_close();
}
END_TEST

START_TEST(null_sender)
{
        struct intake_rules bare = rules;
        struct buf out = BUF_WITH_MAX(10000);

        bare.from = "";
        bare.reply_to = NULL;
        struct intake *intake = intake_new(&bare);
        ck_assert_int_eq(intake_end(intake, &out, NULL), 0);
        char *text = buf_take_text(&out);
        ck_assert_ptr_null(strstr(text, "From:"));
        ck_assert_ptr_null(strstr(text, "Reply-To:"));
        free(text);
        intake_free(intake);
}
END_TEST

START_TEST(a_trace_goes_on_top)
{
        static const struct {
                const char *in, *out;
        } traced[] = {
                { WHOLE "\r\nb\r\n", "Received: x\r\n" WHOLE "\r\nb\r\n" },
                { "From someone\r\n" WHOLE "\r\nb\r\n", "Received: x\r\n" WHOLE "\r\nb\r\n" },
                { " folded\r\n",
                  "Received: x\r\n" ALL "\r\n folded\r\n" }, /* it continues no field of ours */
                { "", "Received: x\r\n" ALL "\r\n" },
        };
        struct intake_rules with = rules;

        with.trace = "Received: x\r\n";
        for (size_t i = 0; i < count_of(traced); i++) {
                struct buf out = BUF_WITH_MAX(100000);
                struct intake *intake = intake_new(&with);
                scoped(scoped_free) char *wanted = with_date(traced[i].out);
                ck_assert_int_eq(
                        intake_feed(intake, (const uint8_t *)traced[i].in, strlen(traced[i].in), &out, NULL),
                        0);
                ck_assert_int_eq(intake_end(intake, &out, NULL), 0);
                scoped(scoped_free) char *text = buf_take_text(&out);
                ck_assert_str_eq(text, wanted);
                intake_free(intake);
        }
}
END_TEST

int main(void)
{
        TCase *tests = tcase_create("intake");
        tcase_add_loop_test(tests, messages, 0, (int)count_of(cases));
        tcase_add_loop_test(tests, long_lines, 0, (int)count_of(lines));
        tcase_add_test(tests, a_trace_goes_on_top);
        tcase_add_test(tests, too_large);
        tcase_add_loop_test(tests, local_names, 0, (int)count_of(local));
        tcase_add_test(tests, null_sender);
        Suite *suite = suite_create("intake");
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
