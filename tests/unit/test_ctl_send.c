/* SPDX-License-Identifier: MIT */
/* Messages on their way out: header fields, recipients, what needs encoding, and what GMime makes of it. */
#include "ctl/mime.c"
#include "ctl/mime_compose.c"
#include "ctl/mime_encode.c"
#include "ctl/mime_part.c"
#include "ctl/mime_view.c"
#include "ctl/submit.c"

#include <check.h>

#define LONG_A(n) (memset(long_line, 'a', sizeof(long_line)), long_line[n] = 0, long_line)
static char long_line[2048];

/* ---- fields ---- */

START_TEST(fields_in_order)
{
        static const char text[] = "Subject: one\r\n two\r\nTo:a@b\n\tc@d\nX-Empty:\n\nBody: not a field\n";
        struct letter_field field;
        size_t at = 0;
        ck_assert(letter_next(text, sizeof(text) - 1, &at, &field));
        ck_assert(letter_field_is(&field, "subject"));
        char *value = letter_value(&field);
        ck_assert_str_eq(value, "one two");
        free(value);
        ck_assert(letter_next(text, sizeof(text) - 1, &at, &field));
        value = letter_value(&field);
        ck_assert_str_eq(value, "a@b\tc@d");
        free(value);
        ck_assert(letter_next(text, sizeof(text) - 1, &at, &field));
        ck_assert_uint_eq(field.value_len, 0);
        ck_assert(!letter_next(text, sizeof(text) - 1, &at, &field));
        ck_assert(text[at] == '\n');
}
END_TEST

static const struct {
        const char *text;
        bool header;
} headers[] = {
        { "From: a@b\nSubject: s\n\nbody", true },
        { "Subject: only a header\n", true },
        { "SUBJECT: case\r\n\r\n", true },
        { "Note: a plain text\n\nthat looks like a field", false },
        { "Subject: then\nno field\n\n", false },
        { "hello\n", false },
        { "", false },
        { "\nFrom: a@b\n", false },
        { ": no name\n\n", false },
};

START_TEST(header_or_text)
{
        ck_assert(letter_has_header(headers[_i].text, strlen(headers[_i].text)) == headers[_i].header);
}
END_TEST

/* ---- what SMTP can carry ---- */

START_TEST(facts_of_a_letter)
{
        struct letter_facts facts;
        static const char plain[] = "To: a@b\n\nbody\n";
        letter_look(plain, sizeof(plain) - 1, &facts);
        ck_assert_uint_eq(facts.body, 9);
        ck_assert(facts.blank_line && !letter_needs_encoding(&facts));
        static const char nul[] = "To: a@b\n\none\ntw\0o\n";
        letter_look(nul, sizeof(nul) - 1, &facts);
        ck_assert_uint_eq(facts.nul_line, 4);
        ck_assert(letter_needs_encoding(&facts) && !facts.header_bad);
        static const char eight[] = "To: a@b\n\n\xc3\xa4\n";
        letter_look(eight, sizeof(eight) - 1, &facts);
        ck_assert(facts.body_eight_bit && letter_needs_encoding(&facts));
        static const char declared[] = "Content-Type: text/plain; charset=utf-8\n"
                                       "Content-Transfer-Encoding: 8bit\n\n\xc3\xa4\n";
        letter_look(declared, sizeof(declared) - 1, &facts);
        ck_assert(facts.body_eight_bit && !letter_needs_encoding(&facts));
        static const char raw[] = "Subject: \xc3\xa4\n\nx\n";
        letter_look(raw, sizeof(raw) - 1, &facts);
        ck_assert(facts.header_eight_bit && letter_needs_encoding(&facts));
}
END_TEST

START_TEST(long_lines_are_counted_without_their_end)
{
        struct letter_facts facts;
        char *text = text_of("To: a@b\n\n%s\r\nx\n", LONG_A(998));
        letter_look(text, strlen(text), &facts);
        ck_assert_uint_eq(facts.long_line, 0);
        free(text);
        text = text_of("To: a@b\n\nx\n%s\r\n", LONG_A(999));
        letter_look(text, strlen(text), &facts);
        ck_assert_uint_eq(facts.long_line, 4);
        free(text);
}
END_TEST

START_TEST(sealed_letters_are_refused_by_line)
{
        struct letter_facts facts;
        struct cause cause = { 0 };
        char *text = text_of("Content-Type: multipart/signed; boundary=b\n\n%s\n", LONG_A(1200));
        letter_look(text, strlen(text), &facts);
        ck_assert(facts.sealed && !letter_needs_encoding(&facts));
        ck_assert_int_eq(letter_check_sealed(&facts, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_UNSENDABLE);
        ck_assert_ptr_nonnull(strstr(cause.text, "line 3"));
        free(text);
}
END_TEST

/* ---- addresses ---- */

static const struct {
        const char *list, *found; /* NULL = refused */
} lists[] = {
        { "a@b.example", "a@b.example" },
        { "A <a@b.example>, c@d.example", "a@b.example c@d.example" },
        { "\"Comma, Inc\" <a@b.example>", "a@b.example" },
        { "a@b.example (comment, with comma)", "a@b.example" },
        { "Group: a@b.example, c@d.example;", "a@b.example c@d.example" },
        { "undisclosed-recipients:;", "" },
        { "root", "root@station.example" },
        { "root (Cron Daemon)", "root@station.example" },
        { "Root <root>", "root@station.example" },
        { "a@b.example, a@b.example", "a@b.example" },
        { " , ,a@b.example,, ", "a@b.example" },
        { "", "" },
        { "a@b@c", NULL },
        { "two words", NULL },
        { "<>", NULL },
};

START_TEST(address_lists)
{
        struct cause cause = { 0 };
        json_t *found = json_array();
        int failed = letter_addresses(lists[_i].list, "station.example", found, &cause);
        ck_assert_msg((failed != 0) == (lists[_i].found == NULL), "%s: %s", lists[_i].list, cause.text);
        scoped(scoped_free) char *joined = copy_text("");
        for (size_t i = 0; i < json_array_size(found); i++) {
                char *longer =
                        text_of("%s%s%s", joined, i ? " " : "", json_string_value(json_array_get(found, i)));
                free(joined);
                joined = longer;
        }
        if (lists[_i].found)
                ck_assert_str_eq(joined, lists[_i].found);
        json_decref(found);
}
END_TEST

START_TEST(resent_recipients_win)
{
        static const char text[] = "To: a@b.example\nResent-To: r@s.example\nBcc: x@y.example\n\n";
        static const char usual[] =
                "To: a@b.example\nCc: c@d.example\nBcc: x@y.example\n\nTo: no@no.example\n";
        json_t *found = json_array();
        ck_assert_int_eq(letter_recipients(text, sizeof(text) - 1, "h", found, NULL), 0);
        ck_assert_uint_eq(json_array_size(found), 1);
        json_array_clear(found);
        ck_assert_int_eq(letter_recipients(usual, sizeof(usual) - 1, "h", found, NULL), 0);
        ck_assert_uint_eq(json_array_size(found), 3);
        json_decref(found);
}
END_TEST

/* ---- completing ---- */

static const struct {
        const char *before, *after;
} completions[] = {
        { "hello\n", "\nhello\n" },
        { "Subject: s\n\nbody\n", "Subject: s\n\nbody\n" },
        { "Subject: s\nbody\n", "Subject: s\n\nbody\n" },
        { "Subject: s", "Subject: s\n\n" },
        { "From a@b Mon Nov 23\nSubject: s\n\nx", "Subject: s\n\nx" },
        { "", "\n" },
        { "\nbody", "\nbody" },
};

START_TEST(header_is_closed)
{
        struct submission s;
        struct cause cause = { 0 };
        submission_init(&s);
        ck_assert_int_eq(buf_append_text(&s.letter, completions[_i].before), 0);
        ck_assert_int_eq(submission_complete(&s, &cause), 0);
        ck_assert_uint_eq(s.letter.len, strlen(completions[_i].after));
        ck_assert_mem_eq(buf_bytes(&s.letter), completions[_i].after, s.letter.len);
        submission_done(&s);
}
END_TEST

START_TEST(dot_ends_the_text)
{
        struct buf text = BUF_WITH_MAX(100);
        size_t looked = 0;
        /* Byte by byte, as a pipe may give it. */
        static const char input[] = "one\n..\n.\r\nnever\n";
        bool cut = false;
        for (size_t i = 0; i < sizeof(input) - 1 && !cut; i++) {
                ck_assert_int_eq(buf_append(&text, input + i, 1), 0);
                cut = cut_at_dot(&text, &looked);
        }
        ck_assert(cut);
        ck_assert_uint_eq(text.len, 7);
        buf_free(&text);
}
END_TEST

/* ---- MIME ---- */

static char *made(int failed, char *out, const char *error)
{
        ck_assert_msg(!failed, "%s", error);
        struct letter_facts facts;
        letter_look(out, strlen(out), &facts);
        ck_assert_uint_eq(facts.long_line, 0);
        ck_assert(!facts.header_eight_bit && !facts.body_eight_bit);
        return out;
}

/* What compose writes; -1 and nothing when it fails. */
static int composed(const struct mime_draft *draft, char **out, size_t *len, char error[256])
{
        scoped(scoped_close) int fd = memfd_create("composed", MFD_CLOEXEC);
        if (mime_compose(draft, fd, error))
                return -1;
        *len = (size_t)lseek(fd, 0, SEEK_END);
        *out = new_zeroed(1, *len + 1);
        ck_assert_int_eq((int)pread(fd, *out, *len, 0), (int)*len);
        return 0;
}

START_TEST(composed_text)
{
        static const char *const to[] = { "J\xc3\xbcrgen <j@b.example>", NULL };
        static const char *const extra[] = { "X-Alarm: h\xc3\xb6her", NULL };
        struct mime_draft draft = { .subject = "\xc3\x9c"
                                               "berlauf",
                                    .to = to,
                                    .headers = extra,
                                    .text = "Gr\xc3\xbc\xc3\x9f"
                                            "e\n",
                                    .text_len = 8 };
        char error[256] = "", *out = NULL;
        size_t len = 0;
        int failed = composed(&draft, &out, &len, error);
        char *text = made(failed, out, error);
        ck_assert_ptr_nonnull(strstr(text, "Subject: =?"));
        ck_assert_ptr_nonnull(strstr(text, "X-Alarm: =?"));
        ck_assert_ptr_nonnull(strstr(text, "<j@b.example>"));
        ck_assert_ptr_nonnull(strstr(text, "charset=utf-8"));
        ck_assert_ptr_nonnull(strstr(text, "quoted-printable"));
        ck_assert_ptr_nonnull(strstr(text, "Gr=C3=BC=C3=9Fe\n"));
        ck_assert_ptr_nonnull(strstr(text, "MIME-Version: 1.0"));
        free(text);
}
END_TEST

START_TEST(attached_file)
{
        char path[] = "attachment-XXXXXX", error[256] = "", *out = NULL;
        const char *folder = getenv("TMPDIR");
        scoped(scoped_free) char *name = text_of("%s/%s", folder ? folder : "/tmp", path);
        int fd = mkstemp(name);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq((int)write(fd, "\0\1\2", 3), 3);
        close(fd);
        const char *files[] = { name, NULL };
        struct mime_draft draft = { .subject = "s", .text = "see\n", .text_len = 4, .files = files, .most = 3 };
        size_t len = 0;
        int failed = composed(&draft, &out, &len, error);
        char *text = made(failed, out, error);
        ck_assert_ptr_nonnull(strstr(text, "multipart/mixed"));
        ck_assert_ptr_nonnull(strstr(text, "AAEC"));
        ck_assert_ptr_nonnull(strstr(text, "Content-Disposition: attachment; filename="));
        free(text);
        draft.most = 2;
        ck_assert_int_eq(composed(&draft, &out, &len, error), -1);
        ck_assert_ptr_nonnull(strstr(error, "too large"));
        ck_assert_int_eq(unlink(name), 0);
        ck_assert_int_eq(composed(&draft, &out, &len, error), -1);
        ck_assert_ptr_nonnull(strstr(error, "No such file"));
}
END_TEST

static const struct {
        const char *name, *before;
        size_t len;
        const char *wanted;
} encodings[] = {
#define TEXT(t) t, sizeof(t) - 1
        { "undeclared 8-bit",
          TEXT("To: a@b\n\nGr\xc3\xbc\xc3\x9f"
               "e\n"),
          "Gr=C3=BC=C3=9Fe" },
        { "latin-1",
          TEXT("To: a@b\n\nGr\xfc\xdf"
               "e\n"),
          "charset=iso-8859-1" },
        { "NUL", TEXT("To: a@b\n\na\0b\n"), "Content-Transfer-Encoding: base64" },
        { "raw subject", TEXT("Subject: \xc3\xa4\n\nx\n"), "Subject: =?" },
        { "no header",
          TEXT("\nGr\xc3\xbc\xc3\x9f"
               "e\n"),
          "MIME-Version: 1.0" },
        { "parts",
          TEXT("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
               "--b\nContent-Type: text/plain\n\nB\xc3\xa4r brummt\n--b\nContent-Type: "
               "text/plain\n\nfine\n--b--\n"),
          "=C3=A4" },
#undef TEXT
};

START_TEST(encoded_anew)
{
        char error[256] = "", *out = NULL;
        size_t len = 0;
        int failed = mime_encode(encodings[_i].before, encodings[_i].len, &out, &len, error);
        char *text = made(failed, out, error);
        ck_assert_msg(strstr(text, encodings[_i].wanted), "%s:\n%s", encodings[_i].name, text);
        ck_assert_uint_eq(strlen(text), len);
        free(text);
}
END_TEST

START_TEST(long_lines_are_encoded)
{
        char error[256] = "", *out = NULL;
        size_t len = 0;
        scoped(scoped_free) char *body = text_of("To: a@b\nSubject: s\n\n%s\n", LONG_A(1500));
        int failed = mime_encode(body, strlen(body), &out, &len, error);
        char *text = made(failed, out, error);
        ck_assert_ptr_nonnull(strstr(text, "quoted-printable"));
        free(text);
        memset(long_line, 'w', 1500);
        for (size_t i = 5; i < 1500; i += 6)
                long_line[i] = ' ';
        long_line[1500] = 0;
        scoped(scoped_free) char *header = text_of("To: a@b\nSubject: %s\n\nx\n", long_line);
        failed = mime_encode(header, strlen(header), &out, &len, error);
        text = made(failed, out, error);
        free(text);
}
END_TEST

START_TEST(encoding_keeps_the_text)
{
        /* What a reader decodes is what was sent. */
        static const char before[] = "To: a@b\nSubject: h\xc3\xb6rt\n\n=20 Gr\xc3\xbc\xc3\x9f"
                                     "e \nFrom here\n.\n";
        char error[256] = "", *out = NULL;
        size_t len = 0;
        ck_assert_int_eq(mime_encode(before, sizeof(before) - 1, &out, &len, error), 0);
        int fd = memfd_create("letter", MFD_CLOEXEC);
        ck_assert_int_eq(write_all(fd, (const uint8_t *)out, len), 0);
        ck_assert_int_eq((int)lseek(fd, 0, SEEK_SET), 0);
        struct mime_view view;
        ck_assert_int_eq(mime_view(fd, &view, error), 0);
        ck_assert_str_eq(view.subject, "h\xc3\xb6rt");
        ck_assert_str_eq(view.to, "a@b");
        char *text = view.text;
        char *to = text;
        for (const char *c = text; *c; c++)
                if (*c != '\r')
                        *to++ = *c;
        *to = 0;
        ck_assert_str_eq(text, "=20 Gr\xc3\xbc\xc3\x9f"
                               "e \nFrom here\n.\n");
        mime_view_done(&view);
        close(fd);
        free(out);
}
END_TEST

START_TEST(viewed_parts)
{
        static const char message[] =
                "From: =?utf-8?q?J=C3=BCrgen?= <j@b.example>\nMIME-Version: 1.0\n"
                "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; "
                "boundary=c\n\n"
                "--c\nContent-Type: text/html\n\n<p>html</p>\n--c\nContent-Type: text/plain\n\nplain\n--c--\n"
                "--b\nContent-Type: image/png\nContent-Disposition: attachment; filename=\"a b.png\"\n"
                "Content-Transfer-Encoding: base64\n\nAAEC\n--b--\n";
        char error[256] = "";
        int fd = memfd_create("letter", MFD_CLOEXEC);
        ck_assert_int_eq(write_all(fd, (const uint8_t *)message, sizeof(message) - 1), 0);
        ck_assert_int_eq((int)lseek(fd, 0, SEEK_SET), 0);
        struct mime_view view;
        ck_assert_int_eq(mime_view(fd, &view, error), 0);
        ck_assert_str_eq(view.from, "J\xc3\xbcrgen <j@b.example>");
        ck_assert_str_eq(view.text_type, "text/plain");
        ck_assert_ptr_nonnull(strstr(view.text, "plain"));
        ck_assert_uint_eq(view.attachment_count, 1);
        ck_assert_str_eq(view.attachments[0].name, "a b.png");
        ck_assert_str_eq(view.attachments[0].type, "image/png");
        ck_assert_uint_eq(view.attachments[0].size, 3);
        mime_view_done(&view);
        close(fd);
}
END_TEST

int main(void)
{
        (void)emailsec_mime();
        Suite *suite = suite_create("ctl_send");
        TCase *tests = tcase_create("all");
        tcase_add_test(tests, fields_in_order);
        tcase_add_loop_test(tests, header_or_text, 0, (int)count_of(headers));
        tcase_add_test(tests, facts_of_a_letter);
        tcase_add_test(tests, long_lines_are_counted_without_their_end);
        tcase_add_test(tests, sealed_letters_are_refused_by_line);
        tcase_add_loop_test(tests, address_lists, 0, (int)count_of(lists));
        tcase_add_test(tests, resent_recipients_win);
        tcase_add_loop_test(tests, header_is_closed, 0, (int)count_of(completions));
        tcase_add_test(tests, dot_ends_the_text);
        tcase_add_test(tests, composed_text);
        tcase_add_test(tests, attached_file);
        tcase_add_loop_test(tests, encoded_anew, 0, (int)count_of(encodings));
        tcase_add_test(tests, long_lines_are_encoded);
        tcase_add_test(tests, encoding_keeps_the_text);
        tcase_add_test(tests, viewed_parts);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
