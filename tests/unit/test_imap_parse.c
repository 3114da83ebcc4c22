/* SPDX-License-Identifier: MIT */
/* IMAP responses: cut out of the stream in any portions, read, bounded; folder names. */
#include "common/limits.h"

#include "daemon/imap/cursor.c"
#include "daemon/imap/folder.c"
#include "daemon/imap/parse.c"

#include <check.h>
#include <stdio.h>
#include <time.h>

/* ---- the parser: events written down as text ---- */

/* "R[...]" a response, "T[...]" a tail, "B5[...]" a body begins, then its bytes, "!" bad. */
static void note(struct buf *notes, enum imap_event event, const struct imap_item *item)
{
        char head[32] = "";

        switch (event) {
        case IMAP_RESPONSE:
                (void)snprintf(head, sizeof head, "%s[", item->tail ? "T" : "R");
                break;
        case IMAP_BODY:
                (void)snprintf(head, sizeof head, "%sB%llu[", item->tail ? "T" : "",
                               (unsigned long long)item->size);
                break;
        case IMAP_PIECE:
                break;
        case IMAP_BAD:
                ck_assert_int_eq(buf_append_text(notes, "!"), 0);
                return;
        case IMAP_MORE:
                return;
        }
        ck_assert_int_eq(buf_append_text(notes, head), 0);
        ck_assert_int_eq(buf_append(notes, item->text, item->len), 0);
        if (event != IMAP_PIECE)
                ck_assert_int_eq(buf_append_text(notes, "]"), 0);
}

static bool feed(struct imap_parser *parser, const char *text, size_t len, struct buf *notes)
{
        uint8_t *bytes = new_zeroed(len, 1);
        struct imap_input input = { bytes, len };
        enum imap_event event = IMAP_RESPONSE;
        struct imap_item item;
        struct cause cause;

        memcpy(bytes, text, len);
        while (event != IMAP_MORE && event != IMAP_BAD) {
                event = imap_parser_next(parser, &input, &item, &cause);
                note(notes, event, &item);
        }
        if (event == IMAP_MORE)
                ck_assert_uint_eq(input.len, 0);
        free(bytes);
        return event == IMAP_MORE;
}

/* `cut` 0 whole, SIZE_MAX byte by byte. */
static char *parse(const char *text, size_t len, size_t cut)
{
        struct buf notes = BUF_WITH_MAX(8 * MIB);
        struct imap_parser parser;
        bool going = true;

        imap_parser_init(&parser);
        if (cut == SIZE_MAX) {
                for (size_t i = 0; i < len && going; i++)
                        going = feed(&parser, text + i, 1, &notes);
        } else {
                if (cut)
                        going = feed(&parser, text, cut, &notes);
                if (going)
                        (void)feed(&parser, text + cut, len - cut, &notes);
        }
        imap_parser_done(&parser);
        return buf_take_text(&notes);
}

static const struct {
        const char *in, *out;
} streams[] = {
        { "* OK hello\r\n", "R[* OK hello]" },
        { "* OK bare\n* OK x\r\n", "R[* OK bare]R[* OK x]" },
        { "* OK words that end in {5}\r\n* 1 EXISTS\r\n", "R[* OK words that end in {5}]R[* 1 EXISTS]" },
        { "a1 NO {3}\r\na2 OK {3}\r\n", "R[a1 NO {3}]R[a2 OK {3}]" },
        { "+ {3}\r\n+\r\n", "R[+ {3}]R[+]" },
        { "* LIST () \"/\" {3}\r\na\r\n\r\n* 2 EXISTS\r\n", "R[* LIST () \"/\" {3}\r\na\r\n]R[* 2 EXISTS]" },
        { "* LIST {0}\r\n {2}\r\n{1 x\r\n", "R[* LIST {0}\r\n {2}\r\n{1 x]" },
        { "* LIST {2+}\r\nab\r\n", "R[* LIST {2+}\r\nab]" },
        { "* LIST ~{2}\r\nab\r\n", "R[* LIST ~{2}\r\nab]" },
        { "* 1 FETCH (UID 7 BODY[] {5}\r\nhello)\r\n* OK\r\n",
          "B5[* 1 FETCH (UID 7 BODY[] ]helloT[)]R[* OK]" },
        { "* 1 fetch (body[] ~{5}\r\n(\r\n){ UID 7)\r\n", "B5[* 1 fetch (body[] ](\r\n){T[ UID 7)]" },
        { "* 1 FETCH (BODY[] {0}\r\n)\r\n", "B0[* 1 FETCH (BODY[] ]T[)]" },
        { "* 1 FETCH (BODY[] {1}\r\na BODY[] {1}\r\nb)\r\n", "B1[* 1 FETCH (BODY[] ]aTB1[ BODY[] ]bT[)]" },
        { "* 1 FETCH (BODY[] {1}\r\na X {2}\r\nbc)\r\n", "B1[* 1 FETCH (BODY[] ]aT[ X {2}\r\nbc)]" },
        { "* 1 FETCH (X {2}\r\nbc BODY[] {1}\r\na)\r\n", "B1[* 1 FETCH (X {2}\r\nbc BODY[] ]aT[)]" },
        { "* 1 FETCH (BODY[TEXT] {1}\r\na)\r\n", "R[* 1 FETCH (BODY[TEXT] {1}\r\na)]" },
        { "* 1 FETCH (BODY[]{1}\r\na)\r\n", "B1[* 1 FETCH (BODY[]]aT[)]" },
        { "* 1 FETCH (UID 7 BODY[]<0.1048576> {1}\r\na)\r\n",
          "B1[* 1 FETCH (UID 7 BODY[]<0.1048576> ]aT[)]" },
        { "* 1 FETCH (RFC822 {1}\r\na)\r\n", "B1[* 1 FETCH (RFC822 ]aT[)]" },
        { "* 1 FETCH (RFC822.HEADER {1}\r\na)\r\n", "R[* 1 FETCH (RFC822.HEADER {1}\r\na)]" },
        { "* X BODY[] {1}\r\na)\r\n", "R[* X BODY[] {1}\r\na)]" },
        { "* 1 FETCH (BODY[] {18446744073709551615}\r\nabc", "B18446744073709551615[* 1 FETCH (BODY[] ]abc" },
        { "* 1 FETCH (BODY[] {5000000000}\r\nabc", "B5000000000[* 1 FETCH (BODY[] ]abc" },
        { "* 1 FETCH (BODY[] {18446744073709551616}\r\nabc", "!" },
        { "* LIST {4294967297}\r\nabc", "!" },
        { "* LIST {1048577}\r\n", "!" },
        { "* LIST {-1}\r\n", "R[* LIST {-1}]" },
        { "* LIST {}\r\n", "R[* LIST {}]" },
        { "\r\n\n", "R[]R[]" },
};

START_TEST(streams_in_every_portion)
{
        const char *in = streams[_i].in;
        size_t len = strlen(in);

        for (size_t cut = 0; cut <= len; cut++) {
                char *notes = parse(in, len, cut == len ? SIZE_MAX : cut);
                ck_assert_msg(strcmp(notes, streams[_i].out) == 0, "cut %zu of %s: %s", cut, in, notes);
                free(notes);
        }
}
END_TEST

START_TEST(nul_outside_a_message_is_refused)
{
        static const char line[] = "* OK a\0b\r\n", body[] = "* 1 FETCH (BODY[] {3}\r\na\0b)\r\n";
        char *notes = parse(line, sizeof line - 1, 0);

        ck_assert_str_eq(notes, "!");
        free(notes);
        notes = parse(body, sizeof body - 1, SIZE_MAX);
        ck_assert_mem_eq(notes, "B3[* 1 FETCH (BODY[] ]a\0bT[)]", 30);
        free(notes);
}
END_TEST

START_TEST(endless_line_is_bounded)
{
        struct imap_parser parser;
        struct buf notes = BUF_WITH_MAX(64);
        char chunk[4096];
        size_t fed = 0;

        memset(chunk, 'x', sizeof chunk);
        imap_parser_init(&parser);
        while (feed(&parser, chunk, sizeof chunk, &notes))
                fed += sizeof chunk;
        ck_assert_uint_eq(fed, LIMIT_REPLY);
        imap_parser_done(&parser);
        buf_free(&notes);
}
END_TEST

/* Twice the bytes, one at a time, must not take four times as long. */
static double seconds_for(size_t len)
{
        struct imap_parser parser;
        struct timespec from, to;

        imap_parser_init(&parser);
        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
        for (size_t i = 0; i < len; i++) {
                struct imap_input input = { (const uint8_t *)(i % 10 ? "x" : "\""), 1 };
                struct imap_item item;
                struct cause cause;
                ck_assert_int_eq((int)imap_parser_next(&parser, &input, &item, &cause), IMAP_MORE);
        }
        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
        imap_parser_done(&parser);
        return (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

/* Others use the machine meanwhile: what costs too much does so at each look. */
START_TEST(a_drip_costs_no_more_than_its_bytes)
{
        double small = 0, large = 1;

        for (int look = 0; look < 5 && large >= 12 * small + 0.05; look++) {
                small = seconds_for(LIMIT_REPLY / 4);
                large = seconds_for(LIMIT_REPLY - 8);
        }
        ck_assert_msg(large < 12 * small + 0.05, "%f against %f s", large, small);
}
END_TEST

START_TEST(random_bytes_do_no_harm)
{
        static const char *const bits[] = { "* 1 FETCH (", "BODY[] ", "{3}\r\n", "{",      "}",
                                            "~",           "\r\n",    "\n",      "(",      ")",
                                            "\"",          "\\",      "* LIST ", "UID 5 ", "abc",
                                            " ",           "NIL",     "\xff",    "[",      "]" };
        uint64_t random = 0x9e3779b97f4a7c15u;

        for (unsigned run = 0; run < 2000; run++) {
                char text[512];
                size_t len = 0;
                for (unsigned i = 0; i < 24; i++) {
                        random = random * 6364136223846793005u + 1442695040888963407u;
                        const char *bit = bits[(random >> 33) % count_of(bits)];
                        memcpy(text + len, bit, strlen(bit));
                        len += strlen(bit);
                }
                char *whole = parse(text, len, 0), *drip = parse(text, len, SIZE_MAX);
                ck_assert_msg(strcmp(whole, drip) == 0, "%.*s:\n%s\n%s", (int)len, text, whole, drip);
                free(whole);
                free(drip);
        }
}
END_TEST

/* ---- the cursor ---- */

START_TEST(values_are_skipped)
{
        static const struct {
                const char *in;
                bool good;
                const char *rest;
        } cases[] = {
                { "atom next", true, " next" },
                { "\"a \\\" b\" x", true, " x" },
                { "(a (b \"c)\") () NIL) x", true, " x" },
                { "({3}\r\n)) d) x", true, " x" },
                { "BODY[HEADER.FIELDS (A B)] x", true, " x" },
                { "~{1}\r\na x", true, " x" },
                { "\"open x", true, " x" },
                { "\"open\\", true, "" },
                { "(a \"b\"c\" \"d) x", true, " x" },
                { "(a", true, "" },
                { "(", true, "" },
                { ")", false, NULL },
                { "", false, NULL },
                { "{9}\r\nabc", true, "\r\nabc" },
                { "({9}\r\nabc) x", true, " x" },
                { "BODY[ x", true, " x" },
                { "$[x next", true, " next" },
        };
        for (size_t i = 0; i < count_of(cases); i++) {
                struct imap_cursor cursor = imap_cursor(cases[i].in, strlen(cases[i].in));
                ck_assert_msg(imap_skip(&cursor) == cases[i].good, "%s", cases[i].in);
                if (cases[i].good)
                        ck_assert_str_eq(cursor.at, cases[i].rest);
        }
}
END_TEST

START_TEST(lists_are_read_over_at_any_depth)
{
        enum { DEEP = 300000 };
        char *text = new_zeroed(2 * DEEP, 1);
        struct imap_cursor cursor = imap_cursor(text, 2 * DEEP);

        memset(text, '(', DEEP);
        memset(text + DEEP, ')', DEEP);
        ck_assert(imap_skip(&cursor));
        ck_assert_ptr_eq(cursor.at, cursor.end);
        free(text);
}
END_TEST

START_TEST(names_of_messages)
{
        static const struct {
                const char *name;
                bool is, part;
                uint64_t origin;
        } cases[] = {
                { "BODY[]", true, false, 0 },
                { "body.peek[]", true, false, 0 },
                { "RFC822", true, false, 0 },
                { "BODY[]<17>", true, true, 17 },
                { "BODY[]<0.1048576>", true, true, 0 },
                { "BODY[]<5.>", true, true, 5 },
                { "BODY[]<18446744073709551615>", true, true, UINT64_MAX },
                { "BODY[]<18446744073709551616>", false, false, 0 },
                { "BODY[]<>", false, false, 0 },
                { "BODY[]<.5>", false, false, 0 },
                { "BODY[]<5.x>", false, false, 0 },
                { "BODY[]<5", false, false, 0 },
                { "BODY[TEXT]", false, false, 0 },
                { "RFC822.SIZE", false, false, 0 },
                { "RFC822.TEXT", false, false, 0 },
                { "BODY", false, false, 0 },
        };
        for (size_t i = 0; i < count_of(cases); i++) {
                struct imap_text name = { cases[i].name, strlen(cases[i].name), IMAP_ATOM };
                uint64_t origin;
                bool part;
                ck_assert_msg(imap_names_message(&name, &part, &origin) == cases[i].is, "%s", cases[i].name);
                ck_assert_msg(part == cases[i].part, "%s", cases[i].name);
                if (part)
                        ck_assert_uint_eq(origin, cases[i].origin);
        }
}
END_TEST

START_TEST(numbers_are_checked)
{
        static const struct {
                const char *in;
                uint64_t max;
                bool good;
                uint64_t out;
        } cases[] = {
                { "0", UINT32_MAX, true, 0 },
                { "4294967295", UINT32_MAX, true, UINT32_MAX },
                { "4294967296", UINT32_MAX, false, 0 },
                { "18446744073709551615)", UINT64_MAX, true, UINT64_MAX },
                { "18446744073709551616", UINT64_MAX, false, 0 },
                { "99999999999999999999999", UINT64_MAX, false, 0 },
                { "7 ", 7, true, 7 },
                { "8", 7, false, 0 },
                { "9", 7, false, 0 },
                { "", UINT32_MAX, false, 0 },
                { "-1", UINT32_MAX, false, 0 },
                { "1x", UINT32_MAX, false, 0 },
        };
        for (size_t i = 0; i < count_of(cases); i++) {
                struct imap_cursor cursor = imap_cursor(cases[i].in, strlen(cases[i].in));
                uint64_t number = 0;
                ck_assert_msg(imap_number(&cursor, cases[i].max, &number) == cases[i].good, "%s",
                              cases[i].in);
                ck_assert_uint_eq(number, cases[i].out);
        }
}
END_TEST

START_TEST(folder_names_are_quoted)
{
        static const struct {
                const char *name, *utf7, *utf8;
        } cases[] = {
                { "INBOX", "\"INBOX\"", "\"INBOX\"" },
                { "a&b", "\"a&-b\"", "\"a&b\"" },
                { "Entw\303\274rfe", "\"Entw&APw-rfe\"", "\"Entw\303\274rfe\"" },
                { "\303\274\303\274", "\"&APwA,A-\"", "\"\303\274\303\274\"" },
                { "~peter/mail/\345\217\260\345\214\227/\346\227\245\346\234\254\350\252\236",
                  "\"~peter/mail/&U,BTFw-/&ZeVnLIqe-\"",
                  "\"~peter/mail/\345\217\260\345\214\227/\346\227\245\346\234\254\350\252\236\"" },
                { "\360\237\230\200", "\"&2D3eAA-\"", "\"\360\237\230\200\"" },
                { "q\"\\", "\"q\\\"\\\\\"", "\"q\\\"\\\\\"" },
                { "", "\"\"", "\"\"" },
                { "line\nend", "\"line&AAo-end\"", NULL },
                { "bad\xff", NULL, NULL },
        };
        for (size_t i = 0; i < count_of(cases); i++) {
                char *utf7 = imap_folder_quoted(cases[i].name, false);
                char *utf8 = imap_folder_quoted(cases[i].name, true);
                ck_assert_pstr_eq(utf7, cases[i].utf7);
                ck_assert_pstr_eq(utf8, cases[i].utf8);
                if (utf7 && utf8 && !strchr(cases[i].name, '"')) { /* and the way back */
                        char *plain = imap_folder_plain(utf7 + 1, strlen(utf7) - 2, false);
                        ck_assert_str_eq(plain, cases[i].name);
                        free(plain);
                }
                free(utf7);
                free(utf8);
        }
        static const char *const odd[][2] = {
                { "&", "&" },
                { "&bad", "&bad" },
                { "&2D0-", "&2D0-" },
                { "&3gA-x", "&3gA-x" },
                { "&AAA-", "&AAA-" },
                { "&APwA-", "&APwA-" },
                { "Entw\303\274rfe", "Entw\303\274rfe" },
                { "bad\xff", NULL },
                { "&-&--", "&&-" },
        };
        for (size_t i = 0; i < count_of(odd); i++) {
                char *plain = imap_folder_plain(odd[i][0], strlen(odd[i][0]), false);
                ck_assert_pstr_eq(plain, odd[i][1]);
                free(plain);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("imap_parse");
        TCase *all = tcase_create("all");

        tcase_add_loop_test(all, streams_in_every_portion, 0, (int)count_of(streams));
        tcase_add_test(all, nul_outside_a_message_is_refused);
        tcase_add_test(all, endless_line_is_bounded);
        tcase_add_test(all, a_drip_costs_no_more_than_its_bytes);
        tcase_add_test(all, random_bytes_do_no_harm);
        tcase_add_test(all, values_are_skipped);
        tcase_add_test(all, lists_are_read_over_at_any_depth);
        tcase_add_test(all, names_of_messages);
        tcase_add_test(all, numbers_are_checked);
        tcase_add_test(all, folder_names_are_quoted);
        suite_add_tcase(suite, all);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
