/* SPDX-License-Identifier: MIT */
/* Messages on their way out: header fields, recipients, what needs encoding and what is made of it. */
#include "common/mailboxes.h"
#include "ctl/entity.h"
#include "ctl/fields.h"
#include "ctl/mime.c"
#include "ctl/read_file.c"
#include "ctl/submit.c"
#include "ctl/view.h"

#include <check.h>

#define LONG_A(n) (memset(long_line, 'a', sizeof(long_line)), long_line[n] = 0, long_line)
static char long_line[2048];

/* ---- fields ---- */

START_TEST(fields_in_order)
{
        static const char text[] = "Subject: one\r\n two\r\nTo:a@b\n\tc@d\nX-Empty:\n\nBody: not a field\n";
        struct draft_field field;
        size_t at = 0;
        ck_assert(draft_next(text, sizeof(text) - 1, &at, &field));
        ck_assert(draft_field_is(&field, "subject"));
        char *value = draft_value(&field);
        ck_assert_str_eq(value, "one two");
        free(value);
        ck_assert(draft_next(text, sizeof(text) - 1, &at, &field));
        value = draft_value(&field);
        ck_assert_str_eq(value, "a@b\tc@d");
        free(value);
        ck_assert(draft_next(text, sizeof(text) - 1, &at, &field));
        ck_assert_uint_eq(field.value_len, 0);
        ck_assert(!draft_next(text, sizeof(text) - 1, &at, &field));
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
        ck_assert(draft_has_header(headers[_i].text, strlen(headers[_i].text)) == headers[_i].header);
}
END_TEST

/* ---- what SMTP can carry ---- */

START_TEST(info_of_a_draft)
{
        struct draft_info info;
        static const char plain[] = "To: a@b\n\nbody\n";
        draft_look(plain, sizeof(plain) - 1, &info);
        ck_assert_uint_eq(info.body, 9);
        ck_assert(info.blank_line && !draft_needs_encoding(&info));
        static const char nul[] = "To: a@b\n\none\ntw\0o\n";
        draft_look(nul, sizeof(nul) - 1, &info);
        ck_assert_uint_eq(info.nul_line, 4);
        ck_assert(draft_needs_encoding(&info));
        static const char cr[] = "To: a@b\r\n\r\none\rtwo\r\n\r\r\n";
        draft_look(cr, sizeof(cr) - 1, &info);
        ck_assert_uint_eq(info.cr_line, 3);
        ck_assert(draft_needs_encoding(&info));
        static const char eight[] = "To: a@b\n\n\xc3\xa4\n";
        draft_look(eight, sizeof(eight) - 1, &info);
        ck_assert(info.body_eight_bit && draft_needs_encoding(&info));
        static const char raw[] = "Subject: \xc3\xa4\n\nx\n";
        draft_look(raw, sizeof(raw) - 1, &info);
        ck_assert(info.header_eight_bit && draft_needs_encoding(&info));
}
END_TEST

START_TEST(long_lines_are_counted_without_their_end)
{
        struct draft_info info;
        char *text = text_of("To: a@b\n\n%s\r\nx\n", LONG_A(998));
        draft_look(text, strlen(text), &info);
        ck_assert_uint_eq(info.long_line, 0);
        free(text);
        text = text_of("To: a@b\n\nx\n%s\r\n", LONG_A(999));
        draft_look(text, strlen(text), &info);
        ck_assert_uint_eq(info.long_line, 4);
        free(text);
}
END_TEST

/* ---- addresses ---- */

static const struct {
        const char *list, *found;
        size_t bad; /* that are told of */
} lists[] = {
        { "a@b.example", "a@b.example", 0 },
        { "A <a@b.example>, c@d.example", "a@b.example c@d.example", 0 },
        { "\"Comma, Inc\" <a@b.example>", "a@b.example", 0 },
        { "a@b.example (comment, with comma)", "a@b.example", 0 },
        { "Group: a@b.example, c@d.example;", "a@b.example c@d.example", 0 },
        { "undisclosed-recipients:;", "", 0 },
        { "root", "root", 0 },
        { "root (Cron Daemon)", "root", 0 },
        { "Root <root>", "root", 0 },
        { "a@b.example, a@b.example", "a@b.example", 0 },
        { " , ,a@b.example,, ", "a@b.example", 0 },
        { "", "", 0 },
        { "a@b@c", "", 1 },
        { "two words", "", 1 },
        { "<>", "", 1 },
        /* the others get it */
        { "ops@c.example, broken@, boss@c.example", "ops@c.example boss@c.example", 1 },
        { "x y z, a@b.example, <>", "a@b.example", 2 },
        { "a..b@docomo.example, c.@d.example, .e@f.example", "a..b@docomo.example c.@d.example .e@f.example",
          0 },
        { "a@b.example c@d.example", "a@b.example c@d.example", 0 },
        { "<@relay.example,@other.example:a@b.example>", "a@b.example", 0 },
        { "a@b.example.", "a@b.example", 0 },
        { "a@b.example..", "", 1 },
        { "ops@[192.0.2.7], v6@[IPv6:2001:db8::1]", "ops@[192.0.2.7] v6@[IPv6:2001:db8::1]", 0 },
        { "\"john doe\"@c.example", "\"john doe\"@c.example", 0 },
        { "\"open <a@b.example>, c@d.example", "", 1 },
        { "A (with (nested) <x@y>) <a@b.example>", "a@b.example", 0 },
        { "u@b\xc3\xbc"
          "cher.example",
          "u@b\xc3\xbc"
          "cher.example",
          0 },
        { "\xc3\xbc@b\xc3\xbc"
          "cher.example",
          "\xc3\xbc@b\xc3\xbc"
          "cher.example",
          0 },
        { "a@b.example; c@d.example;", "a@b.example c@d.example", 0 },
};

START_TEST(address_lists)
{
        scoped(causes_free) struct causes bad = { 0 };
        json_t *found = json_array();
        mailboxes_add(lists[_i].list, found, &bad);
        ck_assert_uint_eq(bad.count, lists[_i].bad);
        scoped(scoped_free) char *joined = copy_text("");
        for (size_t i = 0; i < json_array_size(found); i++) {
                char *longer =
                        text_of("%s%s%s", joined, i ? " " : "", json_string_value(json_array_get(found, i)));
                free(joined);
                joined = longer;
        }
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
        scoped(causes_free) struct causes bad = { 0 };
        draft_recipients(text, sizeof(text) - 1, found, &bad);
        ck_assert_uint_eq(json_array_size(found), 1);
        json_array_clear(found);
        draft_recipients(usual, sizeof(usual) - 1, found, &bad);
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
        { ">From a@b\nSubject: s\n\nx", "Subject: s\n\nx" },
        { "\xef\xbb\xbfSubject: s\n\nx", "Subject: s\n\nx" },
        { "\xef\xbb\xbfjust text", "\n\xef\xbb\xbfjust text" },
        { "From the boiler: 95\n", "\nFrom the boiler: 95\n" },
        { "From now on\nBoiler: 95\n", "\nFrom now on\nBoiler: 95\n" },
        { "Subject: s\r\rone\rtwo\r", "Subject: s\n\none\ntwo\n" },
        { "one\rtwo\r", "\none\ntwo\n" },
        { "Subject: s\n\none\rtwo\n", "Subject: s\n\none\rtwo\n" },
        { "From: root (Cron Daemon)\nTo: root\n\nx", "From: root (Cron Daemon)\nTo: root\n\nx" },
        { "From:\nTo: a@b, Root <root>\n\nx", "To: a@b, Root <root>\n\nx" },
        { "Reply-To:  \nCc:\nSubject: root\n\nx", "Cc:\nSubject: root\n\nx" },
        { "", "\n" },
        { "\nbody", "\nbody" },
};

START_TEST(header_is_closed)
{
        struct tool_submission s;
        struct cause cause = { 0 };
        submission_init(&s);
        ck_assert_int_eq(buf_append_text(&s.draft, completions[_i].before), 0);
        ck_assert_int_eq(draft_mend(&s.draft, &cause), 0);
        ck_assert_uint_eq(s.draft.len, strlen(completions[_i].after));
        ck_assert_mem_eq(buf_bytes(&s.draft), completions[_i].after, s.draft.len);
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
        struct draft_info info;
        draft_look(out, strlen(out), &info);
        ck_assert_uint_eq(info.long_line, 0);
        ck_assert(!info.header_eight_bit && !info.body_eight_bit);
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
        struct mime_draft draft = { .subject = "s",
                                    .text = "see\n",
                                    .text_len = 4,
                                    .files = files,
                                    .most = 3,
                                    .open_file = open_attachment };
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

#define TEXT(t) t, sizeof(t) - 1
#define T \
        "Kessel \xc3\xbc" \
        "ber 95 Grad"
#define Q                "Kessel =C3=BCber 95 Grad"
#define PART(head, text) "--b\n" head "\n" text "\n"
static const struct {
        const char *name, *before;
        size_t len;
        const char *wanted; /* NULL = refused */
} encodings[] = {
        { "undeclared 8-bit", TEXT("To: a@b\n\n" T "\n"), Q },
        { "latin-1",
          TEXT("To: a@b\n\nGr\xfc\xdf"
               "e\n"),
          "charset=iso-8859-1" },
        { "windows quotes", TEXT("To: a@b\n\n\x93so\x94\n"), "charset=windows-1252" },
        { "NUL", TEXT("To: a@b\n\na\0b\n"), "a=00b" },
        { "CR", TEXT("To: a@b\n\na\rb\r\n"), "a=0Db\n" },
        { "CR before a line end", TEXT("To: a@b\n\na\r\r\nb\n"), "a=0D\nb" },
        { "raw subject", TEXT("Subject: \xc3\xa4\n\nx\n"), "Subject: =?utf-8?q?=C3=A4?=\n\nx" },
        { "no header", TEXT("\n" T "\n"), "MIME-Version: 1.0" },
        { "parts",
          TEXT("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" PART(
                  "Content-Type: text/plain\n", T) PART("Content-Type: text/plain\n", "fine") "--b--\n"),
          "--b\nContent-Type: text/plain\n\nfine\n--b--\n" },
        { "declared, with a raw subject",
          TEXT("Subject: \xc3\xa4\nContent-Transfer-Encoding: 8bit\nContent-Type: text/plain; "
               "charset=utf-8\n\n" T "\n"),
          "Content-Transfer-Encoding: quoted-printable\nContent-Type: text/plain; "
          "charset=utf-8\nMIME-Version: 1.0\n\n" Q "\n" },
        { "declared, hardly ASCII",
          TEXT("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "
               "8bit\n\n\xd0\x9f\xd0\xbe\n"),
          "=D0=9F=D0=BE" },
        { "a margin that is declared",
          TEXT("Content-Type: multipart/alternative; boundary=b\nContent-Transfer-Encoding: 8bit\n\n" T
               "\n" PART("", T) "--b--\n"),
          "\n\n" T "\n--b\n" },
        { "declared in a part",
          TEXT("Content-Type: multipart/mixed; boundary=b\n\n" PART(
                  "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n", T) "--b--\n"),
          "quoted-printable\n\n" Q "\n--b--\n" },
        { "no boundary", TEXT("Content-Type: multipart/mixed\n\n" PART("", T) "--b--\n"),
          "X-Original-Content-Type: multipart/mixed\n" },
        { "no boundary, the text", TEXT("Content-Type: multipart/mixed\n\n" PART("", T) "--b--\n"),
          "=2D-b\n\n" Q "\n=2D-b--\n" },
        { "wrong boundary", TEXT("Content-Type: multipart/mixed; boundary=c\n\n" PART("", T) "--b--\n"), Q },
        { "two types", TEXT("Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=c\n\n" T "\n"),
          Q },
        { "before the parts",
          TEXT("Content-Type: multipart/mixed; boundary=b\n\n" T "\n" PART("", "x") "--b--\n"),
          "\n--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "
          "quoted-printable\nContent-Disposition: "
          "inline\n\n" Q "\n--b\n\nx\n--b--\n" },
        { "behind the parts",
          TEXT("Content-Type: multipart/mixed; boundary=b\n\n" PART("", "x") "--b--\n" T "\n"),
          "inline\n\n" Q "\n\n--b--\n" },
        { "behind the parts, alternative",
          TEXT("Content-Type: multipart/alternative; boundary=b\n\n" PART("", "x") "--b--\n" T "\n"), NULL },
        { "empty type", TEXT("Content-Type:\n\n" T "\n"), "Content-Type: text/plain; charset=utf-8" },
        { "unknown encoding", TEXT("Content-Type: text/plain\nContent-Transfer-Encoding: utf-8\n\n" T "\n"),
          Q },
        { "base64 that is text",
          TEXT("Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" T "\n"), Q },
        { "us-ascii that is UTF-8",
          TEXT("Content-Type: text/plain; charset=\"us-ascii\"; format=flowed\n\n" T "\n"),
          "text/plain; charset=utf-8; format=flowed" },
        { "a message in it", TEXT("Content-Type: message/rfc822\n\nSubject: \xc3\xa4\n\n" T "\n"),
          "Content-Type: message/rfc822\n\nSubject: =?utf-8?q?=C3=A4?=\nContent-Type" },
        { "a piece of a message", TEXT("Content-Type: message/partial; id=1\n\n" T "\n"),
          "Content-Transfer-Encoding: 8bit\n" },
        { "a piece of a message with a NUL", TEXT("Content-Type: message/partial; id=1\n\na\0b\n"), NULL },
        { "binary", TEXT("Content-Type: image/png\nContent-Transfer-Encoding: binary\n\n\n\r\n\r"),
          "base64\nMIME-Version: 1.0\n\nCg0KDQ==" },
        { "UTF-16",
          TEXT("Content-Type: text/plain; charset=utf-16\n\n\xff\xfe"
               "a\0\n\0"),
          "//5hAAoA" },
        { "signed",
          TEXT("Subject: \xc3\xa4\nContent-Type: multipart/signed; boundary=b\n\n" PART("", T)
                       PART("", "s") "--b--\n"),
          PART("", T) PART("", "s") "--b--\n" },
        { "signed, with a CR",
          TEXT("Content-Type: multipart/signed; boundary=b\n\n" PART("", "a\rb") PART("", "s") "--b--\n"),
          NULL },
        { "signed within",
          TEXT("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/signed; "
               "boundary=b\n\n" PART("", "a\0b") PART("", "s") "--b--\n--a--\n"),
          NULL },
        { "NUL in the header", TEXT("Subject: a\0b\n\nx\n"), NULL },
        { "CR in the header", TEXT("Subject: a\rb\n\nx\n"), NULL },
        { "CR CR LF in the header", TEXT("Subject: a\r\r\n b\r\r\n\nx\n"), "Subject: a b\n\nx" },
        { "a domain",
          TEXT("To: u@b\xc3\xbc"
               "cher.example\n\nx\n"),
          "To: u@xn--bcher-kva.example\n" },
        { "names", TEXT("To: \"M\xc3\xbc, A\" <a@b>,J\xc3\xb6rg<c@d>, e@f (\xc3\xa4)\n\nx\n"),
          "To: =?utf-8?q?M=C3=BC=2C_A?= <a@b>, =?utf-8?q?J=C3=B6rg?= <c@d>, e@f\n (=?utf-8?q?=C3=A4?=)\n" },
        { "a file's name", TEXT("Content-Type: image/png; name=\"\xc3\xa4 b.png\"\n\nx\n"),
          "; name*=utf-8''%C3%A4%20b.png" },
        { "beside encoded words", TEXT("Subject: =?utf-8?q?a?= \xc3\xa4 =?utf-8?q?b?=\n\nx\n"),
          "Subject: =?utf-8?q?a?= =?utf-8?q?_=C3=A4_?= =?utf-8?q?b?=\n" },
};
#undef TEXT

START_TEST(encoded_anew)
{
        struct cause cause = { 0 };
        scoped(buf_free) struct buf out = BUF_WITH_MAX(1 << 20);
        int failed = encode_draft(encodings[_i].before, encodings[_i].len, BODY_ENCODED, &out, &cause);
        ck_assert_msg(failed == (encodings[_i].wanted ? 0 : -1), "%s: %s", encodings[_i].name, cause.text);
        if (failed) {
                ck_assert_int_eq(cause.code, CAUSE_UNSENDABLE);
                ck_assert_msg(strstr(cause.text, "line ") != NULL, "%s: %s", encodings[_i].name, cause.text);
                return;
        }
        scoped(scoped_free) char *text = buf_take_text(&out);
        ck_assert_msg(strstr(text, encodings[_i].wanted) != NULL, "%s:\n%s", encodings[_i].name, text);
}
END_TEST

/* What a reader decodes is what was sent: another way than that of the encoder is in
 * tests/system/test_encoding.py. */
START_TEST(the_proof_sees_a_loss)
{
        static const char before[] = "Content-Type: multipart/mixed; boundary=b\n\nfront\n" PART("", "one")
                PART("", "two") "--b--\nback\n";
        static const char *const worse[] = {
                "Content-Type: multipart/mixed; boundary=b\n\n" PART("", "one")
                        PART("", "two") "--b--\nback\n",
                "Content-Type: multipart/mixed; boundary=b\n\nfront\n" PART("", "one")
                        PART("", "two") "--b--\n",
                "Content-Type: multipart/mixed; boundary=b\n\nfront\n" PART("", "one")
                        PART("", "tow") "--b--\nback\n",
                "Content-Type: multipart/mixed; boundary=b\n\nfront\n" PART("", "one") "--b--\nback\n",
                "Content-Type: multipart/mixed; boundary=b\n\nfront\n" PART("", "two")
                        PART("", "one") "--b--\nback\n",
                "Content-Type: multipart/mixed\n\nfront\n" PART("", "one") PART("", "two") "--b--\nback\n",
        };
        static const char same[] = "Content-Type: multipart/mixed; boundary=b\n\nfront\n" PART("", "one")
                PART("Content-Transfer-Encoding: base64\n", "dHdv")
                        PART("Content-Transfer-Encoding: quoted-printable\n", "ba=63k=\n") "--b--\n";
        ck_assert(encode_proves(before, sizeof(before) - 1, before, sizeof(before) - 1));
        ck_assert(encode_proves(before, sizeof(before) - 1, same, sizeof(same) - 1));
        for (size_t i = 0; i < count_of(worse); i++)
                ck_assert(!encode_proves(before, sizeof(before) - 1, worse[i], strlen(worse[i])));
}
END_TEST

START_TEST(long_lines_are_encoded)
{
        struct cause cause = { 0 };
        struct draft_info info;
        memset(long_line, 'w', 1500);
        for (size_t i = 5; i < 1500; i += 6)
                long_line[i] = ' ';
        long_line[1500] = 0;
        const char *forms[] = { "To: a@b\nSubject: %s\n\nx\n", "Subject: s\n\n%s\n",
                                "X-Words: x\n y %s\n\nx\n", NULL };
        for (size_t i = 0; forms[i]; i++) {
                scoped(buf_free) struct buf draft = BUF_WITH_MAX(1 << 20), out = draft;
                ck_assert_int_eq(buf_append(&draft, forms[i], strcspn(forms[i], "%")), 0);
                ck_assert_int_eq(buf_append_text(&draft, long_line), 0);
                ck_assert_int_eq(buf_append_text(&draft, strchr(forms[i], '%') + 2), 0);
                ck_assert_int_eq(
                        encode_draft((const char *)buf_bytes(&draft), draft.len, BODY_ENCODED, &out, &cause),
                        0);
                draft_look((const char *)buf_bytes(&out), out.len, &info);
                ck_assert_uint_eq(info.long_line, 0);
        }
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
        struct view view;
        view_read(message, sizeof(message) - 1, emailsec_mime()->decode, false, &view);
        ck_assert_str_eq(view.from, "J\xc3\xbcrgen <j@b.example>");
        ck_assert(!view.html);
        ck_assert_str_eq(view.text, "plain");
        ck_assert_uint_eq(view.attachment_count, 1);
        ck_assert_str_eq(view.attachments[0].name, "a b.png");
        ck_assert_str_eq(view.attachments[0].type, "image/png");
        ck_assert_uint_eq(view.attachments[0].size, 3);
        view_done(&view);
}
END_TEST

#define FFFD "\xef\xbf\xbd"
static const struct {
        const char *name, *message, *text;
        const char *remark; /* a part of it; NULL = none */
} views[] = {
        { "empty", "", "", NULL },
        { "no header", "just text\n", "just text\n", NULL },
        { "empty type", "Content-Type:\n\nbody\n", "body\n", NULL },
        { "nonsense", "Content-Type: /x\n\nbody\n", "body\n", NULL },
        { "one word", "Content-Type: text\n\nbody\n", "body\n", NULL },
        { "no boundary", "Content-Type: multipart/mixed\n\n--x\n\nbody\n--x--\n", "--x\n\nbody\n--x--\n",
          NULL },
        { "boundary never seen", "Content-Type: multipart/mixed; boundary=y\n\nbody\n", "body\n", NULL },
        { "not closed", "Content-Type: multipart/mixed; boundary=x\n\n--x\n\nbody\n", "body\n", NULL },
        { "ascii that is UTF-8",
          "Content-Type: text/plain; charset=us-ascii\n\n\xc3\xbc"
          "ber\n",
          "\xc3\xbc"
          "ber\n",
          NULL },
        { "nothing said",
          "\n\xfc"
          "ber\n",
          "\xc3\xbc"
          "ber\n",
          "windows-1252" },
        { "unknown charset",
          "Content-Type: text/plain; charset=x-nope\n\n\xfc"
          "ber\n",
          "\xc3\xbc"
          "ber\n",
          "x-nope" },
        { "broken UTF-8",
          "Content-Type: text/plain; charset=utf-8\n\na\xfc"
          "b \xc3\n",
          "a" FFFD "b " FFFD "\n", "utf-8" },
        { "undefined byte",
          "Content-Type: text/plain; charset=windows-1252\n\na\x81"
          "b\n",
          "a" FFFD "b\n", "windows-1252" },
        { "called latin-1",
          "Content-Type: text/plain; charset=iso-8859-1\n\n\x93"
          "a\x94\n",
          "\xe2\x80\x9c"
          "a\xe2\x80\x9d\n",
          NULL },
        { "blanks in quotes", "Content-Type: text/plain; charset=\" utf-8 \"\n\n\xc3\xbc\n", "\xc3\xbc\n",
          NULL },
        { "base64 with rubbish", "Content-Transfer-Encoding: base64\n\nYm9k!!eSBo*ZXJl\n", "body here",
          NULL },
        { "base64 that is text", "Content-Transfer-Encoding: base64\n\nthe boiler\n", "the boiler\n", NULL },
        { "encoding unknown", "Content-Transfer-Encoding: utf8\n\nbody\n", "body\n", NULL },
        { "html only", "Content-Type: text/html\n\n<p>\n", "<p>\n", NULL },
        { "html beside an empty text",
          "Content-Type: multipart/alternative; boundary=x\n\n--x\nContent-Type: text/plain\n\n \n\n--x\n"
          "Content-Type: text/html\n\n<p>\n--x--\n",
          "<p>", NULL },
};

START_TEST(broken_ones_are_shown)
{
        struct view view;
        view_read(views[_i].message, strlen(views[_i].message), NULL, false, &view);
        ck_assert_msg(same_text(view.text ? view.text : "", views[_i].text), "%s: '%s'", views[_i].name,
                      view.text);
        ck_assert_uint_eq(view.attachment_count, 0);
        if (views[_i].remark)
                ck_assert_msg(view.remark && strstr(view.remark, views[_i].remark), "%s: %s", views[_i].name,
                              view.remark);
        else
                ck_assert_msg(!view.remark, "%s: %s", views[_i].name, view.remark);
        view_done(&view);
}
END_TEST

START_TEST(names_of_attachments)
{
        static const char *const names[][2] = {
                { "; filename=a.txt", "a.txt" },
                { "; filename*=utf-8''%C3%BC%20b.txt", "\xc3\xbc b.txt" },
                { "; filename*0=\"long \"; filename*1=name.txt", "long name.txt" },
                { "; filename*0*=utf-8''%C3%BC; filename*1*=%C3%A4", "\xc3\xbc\xc3\xa4" },
                { "; filename=\"=?utf-8?q?=C3=BC?=\"", "\xc3\xbc" },
                { "; filename=\xfc.txt", "\xc3\xbc.txt" },
        };
        for (size_t i = 0; i < count_of(names); i++) {
                struct view view;
                scoped(scoped_free) char *text = text_of(
                        "Content-Type: image/png\nContent-Disposition: attachment%s\n\nx\n", names[i][0]);
                view_read(text, strlen(text), emailsec_mime()->decode, false, &view);
                ck_assert_uint_eq(view.attachment_count, 1);
                ck_assert_str_eq(view.attachments[0].name, names[i][1]);
                view_done(&view);
        }
}
END_TEST

int main(void)
{
        (void)emailsec_mime();
        Suite *suite = suite_create("ctl_send");
        TCase *tests = tcase_create("all");
        tcase_add_test(tests, fields_in_order);
        tcase_add_loop_test(tests, header_or_text, 0, (int)count_of(headers));
        tcase_add_test(tests, info_of_a_draft);
        tcase_add_test(tests, long_lines_are_counted_without_their_end);
        tcase_add_loop_test(tests, address_lists, 0, (int)count_of(lists));
        tcase_add_test(tests, resent_recipients_win);
        tcase_add_loop_test(tests, header_is_closed, 0, (int)count_of(completions));
        tcase_add_test(tests, dot_ends_the_text);
        tcase_add_test(tests, composed_text);
        tcase_add_test(tests, attached_file);
        tcase_add_loop_test(tests, encoded_anew, 0, (int)count_of(encodings));
        tcase_add_test(tests, long_lines_are_encoded);
        tcase_add_test(tests, the_proof_sees_a_loss);
        tcase_add_test(tests, viewed_parts);
        tcase_add_loop_test(tests, broken_ones_are_shown, 0, (int)count_of(views));
        tcase_add_test(tests, names_of_attachments);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
