/* SPDX-License-Identifier: MIT */
/* Bodies as they go out: whatever comes in and however it is cut, a strict receiver sees one message. */
#include "daemon/smtp/body.c"
#include "smtp_receiver.h"

#include <check.h>

/* bytes in, the message a receiver must see (without the final CRLF that DATA may add) */
static const struct {
        const char *in, *out;
        size_t in_len;
} bodies[] = {
#define BODY(in, out) { in, out, sizeof in - 1 }
        BODY("", ""),
        BODY("a\r\n", "a\r\n"),
        BODY("a", "a\r\n"),
        BODY(".", ".\r\n"),
        BODY("..", "..\r\n"),
        BODY(".\r\n", ".\r\n"),
        BODY("a\r\n.\r\nb\r\n", "a\r\n.\r\nb\r\n"),
        BODY("a\r\n..\r\n.b\r\n.\r\n", "a\r\n..\r\n.b\r\n.\r\n"),
        BODY("\r\n\r\n", "\r\n\r\n"),
        /* bare ends */
        BODY("a\nb\n", "a\r\nb\r\n"),
        BODY("a\rb\r", "a\r\nb\r\n"),
        BODY("a\r\r\nb", "a\r\n\r\nb\r\n"),
        BODY("a\n\rb", "a\r\n\r\nb\r\n"),
        BODY("\n", "\r\n"),
        BODY("\r", "\r\n"),
        BODY("\r\r\r", "\r\n\r\n\r\n"),
        /* smuggling: what some receivers took for the end */
        BODY("a\n.\nMAIL FROM:<x@y>\n", "a\r\n.\r\nMAIL FROM:<x@y>\r\n"),
        BODY("a\n.\r\nMAIL FROM:<x@y>\r\n", "a\r\n.\r\nMAIL FROM:<x@y>\r\n"),
        BODY("a\r\n.\nMAIL FROM:<x@y>\r\n", "a\r\n.\r\nMAIL FROM:<x@y>\r\n"),
        BODY("a\r\n.\rMAIL FROM:<x@y>\r\n", "a\r\n.\r\nMAIL FROM:<x@y>\r\n"),
        BODY("a\r.\rMAIL FROM:<x@y>\r\n", "a\r\n.\r\nMAIL FROM:<x@y>\r\n"),
        BODY("a\r.\r\nMAIL FROM:<x@y>\r\n", "a\r\n.\r\nMAIL FROM:<x@y>\r\n"),
        BODY("a\r\n\0.\r\nb", "a\r\n\0.\r\nb\r\n"),
        BODY("a\r\r\n.\r\nb\r\n", "a\r\n\r\n.\r\nb\r\n"),
        BODY("a\r\n.\r\r\nb\r\n", "a\r\n.\r\n\r\nb\r\n"),
#undef BODY
};

/* `next`: where each piece ends. */
static void stuff(const char *in, size_t len, const size_t *ends, size_t pieces, struct buf *out,
                  uint64_t *count)
{
        struct body body;
        size_t at = 0;

        body_init(&body);
        for (size_t i = 0; i <= pieces; i++) {
                size_t end = i < pieces ? ends[i] : len;
                uint8_t *copy = end > at ? memcpy(malloc(end - at), in + at, end - at) : malloc(1);
                ck_assert_int_eq(body_stuff(&body, out, copy, end - at), 0);
                free(copy);
                at = end;
        }
        ck_assert_int_eq(body_dot(&body, out), 0);
        *count = body.count;
}

/* The receiver gets the message, all of the bytes, and nothing after it. */
static void check(const struct buf *out, const char *expected, size_t len, const char *in)
{
        struct receiver receiver;

        receiver_init(&receiver);
        receiver_data(&receiver);
        receiver_take(&receiver, buf_bytes(out), out->len);
        ck_assert_msg(!receiver.violation, "%s: %s", in, receiver.violation);
        ck_assert_uint_eq(receiver.messages, 1);
        ck_assert_int_eq(receiver.mode, RECEIVER_COMMAND);
        ck_assert_uint_eq(receiver.line.len, 0);
        ck_assert_msg(receiver.content.len == len &&
                              (!len || memcmp(buf_bytes(&receiver.content), expected, len) == 0),
                      "\"%s\" came as \"%.*s\"", in, (int)receiver.content.len,
                      (const char *)buf_bytes(&receiver.content));
        receiver_done(&receiver);
}

static size_t expected_len(int i)
{
        /* The texts with a NUL in them have it in both; CRLF more or less is seen from `out`. */
        return strlen(bodies[i].out) + (strlen(bodies[i].in) < bodies[i].in_len
                                                ? 1 + strlen(bodies[i].out + strlen(bodies[i].out) + 1)
                                                : 0);
}

START_TEST(test_stuffed)
{
        const char *in = bodies[_i].in;
        size_t len = bodies[_i].in_len, ends[64];
        uint64_t count;

        for (size_t a = 0; a <= len; a++)
                for (size_t b = a; b <= len; b++) {
                        struct buf out = BUF_WITH_MAX(4096);
                        ends[0] = a;
                        ends[1] = b;
                        stuff(in, len, ends, 2, &out, &count);
                        check(&out, bodies[_i].out, expected_len(_i), in);
                        buf_free(&out);
                }
        for (size_t i = 0; i < len; i++)
                ends[i] = i + 1;
        struct buf out = BUF_WITH_MAX(4096);
        stuff(in, len, ends, len, &out, &count);
        check(&out, bodies[_i].out, expected_len(_i), in);
        buf_free(&out);
}
END_TEST

/* The receiver sees what a slow rewriting gives. */
static void check_slowly(const char *in, size_t len, size_t cut)
{
        scoped(scoped_free) char *expected = new_zeroed(2 * len + 2, 1);
        struct buf out = BUF_WITH_MAX(8192);
        size_t at = 0;
        uint64_t count;

        for (size_t i = 0; i < len; i++) {
                if (in[i] == '\n' && i && in[i - 1] == '\r')
                        continue;
                bool end = in[i] == '\r' || in[i] == '\n';
                expected[at++] = end ? '\r' : in[i];
                if (end)
                        expected[at++] = '\n';
        }
        uint64_t canonical = at;
        if (expected[at - 1] != '\n') {
                expected[at++] = '\r';
                expected[at++] = '\n';
        }
        stuff(in, len, &cut, 1, &out, &count);
        ck_assert_uint_eq(count, canonical);
        check(&out, expected, at, in);
        buf_free(&out);
}

/* Every body of up to 7 of these bytes, cut in the middle. */
START_TEST(test_all_short_bodies)
{
        static const char alphabet[] = { '\r', '\n', '.', 'a' };

        for (size_t len = 1; len <= 7; len++)
                for (size_t n = 0; n < (size_t)1 << (2 * len); n++) {
                        char in[8] = "";
                        for (size_t i = 0; i < len; i++)
                                in[i] = alphabet[n >> (2 * i) & 3];
                        check_slowly(in, len, n % (len + 1));
                }
}
END_TEST

/* One byte that is wrong, where blocks that are looked at in one go end. */
START_TEST(test_blocks)
{
        static const char wrong[] = { '\r', '\n', '.', 'a' };
        char in[7 * (2 * BLOCK / 7 + 6)];

        for (size_t at = BLOCK - 10; at < sizeof in; at = at == BLOCK + 10 ? 2 * BLOCK - 10 : at + 1)
                for (size_t kind = 0; kind < count_of(wrong); kind++) {
                        struct buf out = BUF_WITH_MAX(8192);
                        struct body body;
                        for (size_t i = 0; i < sizeof in; i++)
                                in[i] = "x\r\nyz\r\n"[i % 7];
                        bool same = in[at] == wrong[kind], end = in[at] == '\r' || in[at] == '\n';
                        in[at] = wrong[kind];
                        check_slowly(in, sizeof in, kind % 2 ? sizeof in : at);
                        body_init(&body);
                        bool exact = body_exact(&body, &out, (const uint8_t *)in, sizeof in) == 0;
                        ck_assert_msg(exact == (same || (!end && kind >= 2)), "%zu at %zu", kind, at);
                        buf_free(&out);
                }
}
END_TEST

/* A piece of any length about that of blocks, with a CR alone at each place about its end. */
START_TEST(test_lengths)
{
        char in[2 * BLOCK + 8];

        for (size_t len = BLOCK - 4; len < sizeof in; len = len == BLOCK + 4 ? 2 * BLOCK - 4 : len + 1)
                for (size_t at = len < BLOCK + 8 ? 0 : len - BLOCK - 8; at < len; at++) {
                        struct buf out = BUF_WITH_MAX(8192);
                        struct body body;
                        memset(in, 'x', len);
                        body_init(&body);
                        ck_assert_int_eq(body_exact(&body, &out, (const uint8_t *)in, len), 0);
                        in[at] = '\r';
                        body_init(&body);
                        bool exact = body_exact(&body, &out, (const uint8_t *)in, len) == 0 &&
                                     body_exact_complete(&body);
                        ck_assert_msg(!exact, "a CR at %zu of %zu", at, len);
                        buf_free(&out);
                }
}
END_TEST

START_TEST(test_room)
{
        struct body body;
        struct buf out = BUF_WITH_MAX(body_room(8));

        body_init(&body);
        ck_assert_int_eq(body_stuff(&body, &out, (const uint8_t *)".\n.\n.\n.\n", 8), 0);
        ck_assert_uint_eq(out.len, 16);
        ck_assert_int_eq(body_stuff(&body, &out, (const uint8_t *)"x", 1), -1);
        buf_free(&out);
}
END_TEST

static const struct {
        const char *in;
        bool exact;
} exacts[] = {
        { "a\r\n", true },    { "a\r\nb", true },   { "", true },          { ".\r\n.\r\n", true },
        { "\r\n\r\n", true }, { "a\n", false },     { "a\rb", false },     { "a\r", false },
        { "\n", false },      { "a\r\r\n", false }, { "a\r\n\nb", false }, { "a\r\n\r", false },
        { "a\n\r\n", false },
};

START_TEST(test_exact)
{
        const char *in = exacts[_i].in;
        size_t len = strlen(in);

        for (size_t cut = 0; cut <= len; cut++) {
                struct buf out = BUF_WITH_MAX(256);
                struct body body;
                body_init(&body);
                bool fine = body_exact(&body, &out, (const uint8_t *)in, cut) == 0 &&
                            body_exact(&body, &out, (const uint8_t *)in + cut, len - cut) == 0 &&
                            body_exact_complete(&body);
                ck_assert_msg(fine == exacts[_i].exact, "\"%s\" cut at %zu", in, cut);
                if (fine)
                        ck_assert(out.len == len && (!len || memcmp(buf_bytes(&out), in, len) == 0));
                buf_free(&out);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("smtp_body");
        TCase *tc = tcase_create("body");

        tcase_set_timeout(tc, 60);
        tcase_add_loop_test(tc, test_stuffed, 0, (int)count_of(bodies));
        tcase_add_test(tc, test_all_short_bodies);
        tcase_add_test(tc, test_blocks);
        tcase_add_test(tc, test_lengths);
        tcase_add_test(tc, test_room);
        tcase_add_loop_test(tc, test_exact, 0, (int)count_of(exacts));
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
