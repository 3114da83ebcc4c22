/* SPDX-License-Identifier: MIT */
/* Varlink frames: torn apart in every way, too large, too deep, with descriptors, over a real socket. */
#include "common/frame.c"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char two_frames[] =
        "{\"method\":\"a.B\",\"parameters\":{\"x\":[1,2,{\"y\":\"{[\\\"\\u0041\"}]}}\0{}";

static void expect_two(struct frame_reader *reader, int so_far)
{
        json_t *object = NULL;
        struct cause cause = { 0 };
        int count = so_far;

        while (frame_next(reader, &object, &cause) == 1) {
                if (count == 0)
                        ck_assert_str_eq(json_string_value(json_object_get(object, "method")), "a.B");
                else
                        ck_assert_uint_eq(json_object_size(object), 0);
                json_decref(object);
                count++;
        }
        ck_assert_int_eq(count, 2);
        ck_assert_uint_eq(reader->in.len, 0);
}

START_TEST(whole_and_at_every_split)
{
        size_t len = sizeof two_frames;

        for (size_t split = 0; split <= len; split++) {
                struct frame_reader scoped(frame_reader_free) reader;
                frame_reader_init(&reader, 1000);
                json_t *object = NULL;
                int early = 0;
                ck_assert_int_eq(frame_feed(&reader, two_frames, split, NULL), 0);
                while (frame_next(&reader, &object, NULL) == 1) {
                        json_decref(object);
                        early++;
                }
                ck_assert_int_eq(frame_feed(&reader, two_frames + split, len - split, NULL), 0);
                expect_two(&reader, early);
        }
}
END_TEST

START_TEST(byte_by_byte_and_wiped)
{
        struct frame_reader scoped(frame_reader_free) reader;
        json_t *object = NULL;
        int count = 0;

        frame_reader_init(&reader, 1000);
        for (size_t i = 0; i < sizeof two_frames; i++) {
                ck_assert_int_eq(frame_feed(&reader, two_frames + i, 1, NULL), 0);
                if (frame_next(&reader, &object, NULL) == 1) {
                        json_decref(object);
                        count++;
                }
        }
        ck_assert_int_eq(count, 2);
        ck_assert_ptr_null(memmem(reader.in.memory, 100, "method", 6));
}
END_TEST

static const struct {
        const char *text;
        const char *says;
} bad_frames[] = {
        { "", "not JSON" },
        { "x", "not JSON" },
        { "[]", "not a JSON object" },
        { "{} {}", "not JSON" },
        { "{\"a\":1,\"a\":2}", "the same field twice" },
        { "{\"a\":\"\\u0000\"}", "NUL character" },
        { "{\"a\\u0000\":1}", "NUL character" },
        { "{\"a\":\"\xff\"}", "not UTF-8" },
        { "{\"a\":\"\\ud800\"}", "not JSON" },
        { "{\"a\":1e999}", "too large" },
        { "{\"a\":99999999999999999999}", "too large" },
        { "{\"password\":\"hunter2\" oops}", "not JSON" },
        { "{\"a\":NaN}", "not JSON" },
};

START_TEST(bad_frames_are_refused_and_passed)
{
        struct frame_reader scoped(frame_reader_free) reader;
        struct cause cause = { 0 };
        json_t *object = NULL;

        frame_reader_init(&reader, 1000);
        ck_assert_int_eq(frame_feed(&reader, bad_frames[_i].text, strlen(bad_frames[_i].text) + 1, NULL), 0);
        ck_assert_int_eq(frame_feed(&reader, "{\"b\":1}", 8, NULL), 0);
        ck_assert_int_eq(frame_next(&reader, &object, &cause), -1);
        ck_assert_msg(strstr(cause.text, bad_frames[_i].says) != NULL, "%s: %s", bad_frames[_i].text,
                      cause.text);
        ck_assert_ptr_null(strstr(cause.text, "hunter2"));
        ck_assert_int_eq(frame_next(&reader, &object, &cause), 1);
        ck_assert(json_is_true(json_object_get(object, "b")) ||
                  json_is_integer(json_object_get(object, "b")));
        json_decref(object);
}
END_TEST

static int next_of_depth(size_t depth, bool closed, bool in_string)
{
        struct frame_reader scoped(frame_reader_free) reader;
        json_t *object = NULL;

        frame_reader_init(&reader, 4 * MIB);
        ck_assert_int_eq(
                frame_feed(&reader, in_string ? "{\"a\\\"\":\"" : "{\"a\":", in_string ? 8 : 5, NULL), 0);
        scoped(scoped_free) char *brackets = new_zeroed(1, depth);
        memset(brackets, '[', depth);
        ck_assert_int_eq(frame_feed(&reader, brackets, depth, NULL), 0);
        memset(brackets, ']', depth);
        if (closed)
                ck_assert_int_eq(frame_feed(&reader, brackets, depth, NULL), 0);
        ck_assert_int_eq(frame_feed(&reader, in_string ? "\"}" : "}", in_string ? 3 : 2, NULL), 0);
        int result = frame_next(&reader, &object, NULL);
        if (result == 1)
                json_decref(object);
        return result;
}

/* %: the long text. */
static const char *const around_long[] = {
        "{\"method\":\"a.B\",\"parameters\":{\"from\":\"a\",\"message\":\"%\",\"key\":\"b\"}}",
        "{ \"parameters\" : { \"message\" :\n\"%\" } , \"method\" : \"a.B\" }",
        "{\"parameters\":{\"x\":[\"%\",{\"message\":\"%\"}],\"message\":\"%\",\"y\":\"%\"}}",
        "{\"parameters\":{\"x\":{\"z\":1},\"a name that does not fit\":\"%\",\"y\":\"%\"}}",
        "{\"parameters\":{\"m\\u0061il\":\"%\",\"y\":\"%\"}}",
        "{\"parameters\":{\"%\":\"%\",\"y\":\"\\\"%\\\"\",\"z\":\"%\"}}",
        "{\"parameters\":[\"message\",\"%\"],\"x\":{\"message\":\"%\"}}",
        "{\"x\":{\"parameters\":{\"message\":\"%\"}},\"parameters\":\"%\"}",
        "{\"parameters\":{\"message\":\"%\",\"message\":\"%\"}}",
        "{\"parameters\":{\"message\":\"%\"},\"parameters\":{\"message\":\"%\"}}",
        "{\"parameters\":{\"message\":\"%\"\"%\"}}",
        "{\"parameters\":{\"message\" \"%\"}}",
        "{\"parameters\":{\"message\":1,\"%\"}}",
        "{\"parameters\":{\"message\":\"%\"}",
};

static void put_in(struct buf *out, const char *around, const char *text)
{
        for (; *around; around++)
                ck_assert_int_eq(*around == '%' ? buf_append_text(out, text) : buf_append(out, around, 1), 0);
        ck_assert_int_eq(buf_append(out, "", 1), 0);
}

/* What goes around the parser comes to what it would have made of it, error and place included. */
static void parses_as_by_jansson(const char *around, const char *text, size_t portion)
{
        struct frame_reader scoped(frame_reader_free) reader;
        scoped(buf_free) struct buf frame = BUF_WITH_MAX(64 * KIB);
        json_t *found = NULL;
        json_error_t error;
        struct cause cause = { 0 };

        put_in(&frame, around, text);
        const char *bytes = (const char *)buf_bytes(&frame);
        frame_reader_init(&reader, 64 * KIB);
        for (size_t at = 0; at < frame.len; at += portion) {
                size_t len = frame.len - at < portion ? frame.len - at : portion;
                ck_assert_int_eq(frame_feed(&reader, bytes + at, len, NULL), 0);
                (void)frame_look(&reader);
        }
        int got = frame_next(&reader, &found, &cause);
        json_t *all = json_loadb(bytes, frame.len - 1, JSON_REJECT_DUPLICATES, &error);
        ck_assert_int_eq(got, all ? 1 : -1);
        if (all) {
                ck_assert(json_equal(found, all));
        } else {
                scoped(scoped_free) char *place = text_of("near byte %d", error.position);
                ck_assert_ptr_nonnull(strstr(cause.text, place));
        }
        json_decref(found);
        json_decref(all);
}

START_TEST(long_texts_go_around_the_parser)
{
        static const char *const ends[] = { "", "\\n", "\x01", "\x7f", "\xc3\xa4", "\xff", "'{}[]:, " };
        char text[FRAME_LONG + 16];

        for (size_t end = 0; end < count_of(ends); end++) {
                for (int shorter = 0; shorter < 12; shorter += 4) {
                        memset(text, 'x', sizeof text);
                        size_t len = FRAME_LONG + 3 - (size_t)shorter;
                        (void)snprintf(text + len, sizeof text - len, "%s", ends[end]);
                        for (size_t i = 0; i < count_of(around_long); i++) {
                                parses_as_by_jansson(around_long[i], text, SIZE_MAX / 2);
                                parses_as_by_jansson(around_long[i], text, 7);
                        }
                }
        }
}
END_TEST

/* And they do: else it would be slow, and nobody would see why. */
START_TEST(the_long_text_is_found)
{
        char text[FRAME_LONG + 1] = { 0 };
        scoped(buf_free) struct buf frame = BUF_WITH_MAX(64 * KIB);
        struct frame_scan scan = { 0 };

        memset(text, '=', FRAME_LONG);
        put_in(&frame, around_long[0], text);
        frame_scan_bytes(&scan, buf_bytes(&frame), frame.len - 1);
        ck_assert_uint_eq(scan.found.len, FRAME_LONG);
        ck_assert_str_eq(scan.found.name, "message");
        ck_assert_int_eq(memcmp(buf_bytes(&frame) + scan.found.from, text, FRAME_LONG), 0);
}
END_TEST

START_TEST(nesting_is_bounded)
{
        ck_assert_int_eq(next_of_depth(LIMIT_NESTING - 1, true, false), 1);
        ck_assert_int_eq(next_of_depth(LIMIT_NESTING, true, false), -1);
        ck_assert_int_eq(next_of_depth(1000000, false, false), -1);
        ck_assert_int_eq(next_of_depth(1000000, true, true), 1); /* brackets in a text do not nest */
}
END_TEST

START_TEST(size_is_bounded)
{
        struct frame_reader scoped(frame_reader_free) reader;
        struct cause cause = { 0 };
        char kilobyte[1024];

        memset(kilobyte, 'x', sizeof kilobyte);
        frame_reader_init(&reader, 10 * sizeof kilobyte);
        for (int i = 0; i < 10; i++)
                ck_assert_int_eq(frame_feed(&reader, kilobyte, sizeof kilobyte, &cause), 0);
        ck_assert_int_eq(frame_feed(&reader, kilobyte, 1, &cause), -1);
        ck_assert_int_eq((int)cause.code, CAUSE_TOO_LARGE);
        ck_assert_int_eq(frame_receive(&reader, -1, &cause), -2);
}
END_TEST

START_TEST(append_keeps_the_bound)
{
        struct buf scoped(buf_free) out = BUF_WITH_MAX(20);
        json_t *object = json_pack("{s:s}", "key", "value");

        ck_assert_int_eq(frame_append(&out, object), 0);
        ck_assert_uint_eq(out.len, 16);
        ck_assert_mem_eq(buf_bytes(&out), "{\"key\":\"value\"}", 16);
        ck_assert_int_eq(frame_append(&out, object), -1);
        ck_assert_uint_eq(out.len, 16);
        json_decref(object);
}
END_TEST

/* Whole or not at all, wherever the bound is: also in the middle of a name. */
START_TEST(append_is_whole_at_every_bound)
{
        json_t *object = json_pack("{s:{s:s}, s:[i,i]}", "a name", "another longer name", "value",
                                   "the last, which is longer than what follows it", 1, 2);
        char *text = json_dumps(object, JSON_COMPACT);

        for (size_t max = 1; max <= strlen(text) + 1; max++) {
                struct buf scoped(buf_free) out = BUF_WITH_MAX(max);
                bool fits = max == strlen(text) + 1;
                ck_assert_int_eq(frame_append(&out, object), fits ? 0 : -1);
                ck_assert_uint_eq(out.len, fits ? max : 0);
        }
        free(text);
        json_decref(object);
}
END_TEST

static size_t open_descriptors(void)
{
        size_t count = 0;

        for (int fd = 0; fd < 256; fd++)
                count += fcntl(fd, F_GETFD) >= 0;
        return count;
}

static void send_fds(int socket, size_t count)
{
        char control[CMSG_SPACE(16 * sizeof(int))] = { 0 };
        struct iovec iov = { .iov_base = (char[]){ '{' }, .iov_len = 1 };
        struct msghdr message = { .msg_iov = &iov,
                                  .msg_iovlen = 1,
                                  .msg_control = control,
                                  .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        for (size_t i = 0; i < count; i++) {
                int fd = STDERR_FILENO;
                memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
        }
        ck_assert_int_eq(sendmsg(socket, &message, 0), 1);
}

START_TEST(descriptors_travel)
{
        struct frame_reader scoped(frame_reader_free) reader;
        struct buf scoped(buf_free) out = BUF_WITH_MAX(1000);
        int pair[2], tube[2], fds[2];
        size_t count = 2;

        frame_reader_init(&reader, 1000);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        ck_assert_int_eq(pipe(tube), 0);
        fds[0] = tube[0];
        fds[1] = tube[1];
        json_t *object = json_object();
        ck_assert_int_eq(frame_append(&out, object), 0);
        ck_assert_int_eq(frame_send(pair[0], &out, fds, &count, NULL), 1);
        ck_assert_uint_eq(count, 0);
        json_decref(object);
        ck_assert_int_eq(frame_receive(&reader, pair[1], NULL), 1);
        ck_assert_int_eq(frame_next(&reader, &object, NULL), 1);
        json_decref(object);
        int end = frame_take_fd(&reader, 1);
        ck_assert_int_ge(end, 0);
        ck_assert_int_eq(fcntl(end, F_GETFD), FD_CLOEXEC);
        ck_assert_int_eq(frame_take_fd(&reader, 1), -1);
        ck_assert_int_eq(frame_take_fd(&reader, 2), -1);
        ck_assert_int_eq(write(end, "x", 1), 1);
        int left = reader.fds[0];
        frame_drop_fds(&reader);
        ck_assert_int_eq(fcntl(left, F_GETFD), -1);
        ck_assert_int_eq(frame_receive(&reader, pair[1], NULL), -1);
        close(pair[0]);
        ck_assert_int_eq(frame_receive(&reader, pair[1], NULL), 0);
        close(end);
        close(pair[1]);
        close(tube[0]);
        close(tube[1]);
}
END_TEST

START_TEST(too_many_descriptors)
{
        size_t before = open_descriptors();

        for (size_t count = LIMIT_FRAME_FDS; count <= 12; count++) {
                struct frame_reader reader;
                struct cause cause = { 0 };
                int pair[2];
                frame_reader_init(&reader, 1000);
                ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
                send_fds(pair[0], count);
                int expected = count > LIMIT_FRAME_FDS ? -2 : 1;
                ck_assert_int_eq(frame_receive(&reader, pair[1], &cause), expected);
                if (count == LIMIT_FRAME_FDS) { /* and one more with the next byte */
                        send_fds(pair[0], 1);
                        ck_assert_int_eq(frame_receive(&reader, pair[1], &cause), -2);
                }
                ck_assert_int_eq((int)cause.code, CAUSE_TOO_LARGE);
                frame_reader_free(&reader);
                close(pair[0]);
                close(pair[1]);
        }
        ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(large_through_a_small_socket)
{
        struct frame_reader scoped(frame_reader_free) reader;
        struct buf scoped(buf_free) out = BUF_WITH_MAX(4 * MIB);
        int pair[2], small = 4096;
        size_t len = 2 * MIB, stalls = 0;
        char *text = new_zeroed(len + 1, 1);

        memset(text, 'x', len);
        frame_reader_init(&reader, 4 * MIB);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        ck_assert_int_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
        json_t *object = json_pack("{s:s}", "text", text), *copy = NULL;
        ck_assert_int_eq(frame_append(&out, object), 0);
        for (int got = 0; got == 0; stalls++) {
                ck_assert_int_ge(frame_send(pair[0], &out, NULL, NULL, NULL), 0);
                ck_assert_int_eq(frame_receive(&reader, pair[1], NULL), 1);
                got = frame_next(&reader, &copy, NULL);
                ck_assert_int_ge(got, 0);
        }
        ck_assert_uint_gt(stalls, 10);
        ck_assert(json_equal(object, copy));
        ck_assert_uint_eq(out.len, 0);
        json_decref(object);
        json_decref(copy);
        close(pair[1]);
        ck_assert_int_eq(buf_append_text(&out, "x"), 0);
        struct cause cause = { 0 };
        ck_assert_int_eq(frame_send(pair[0], &out, NULL, NULL, &cause), -1); /* and no SIGPIPE */
        ck_assert_int_eq((int)cause.code, CAUSE_CLOSED);
        close(pair[0]);
        free(text);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("frame");
        TCase *tc = tcase_create("frame");

        tcase_add_test(tc, whole_and_at_every_split);
        tcase_add_test(tc, byte_by_byte_and_wiped);
        tcase_add_loop_test(tc, bad_frames_are_refused_and_passed, 0, (int)count_of(bad_frames));
        tcase_add_test(tc, long_texts_go_around_the_parser);
        tcase_add_test(tc, the_long_text_is_found);
        tcase_add_test(tc, nesting_is_bounded);
        tcase_add_test(tc, size_is_bounded);
        tcase_add_test(tc, append_keeps_the_bound);
        tcase_add_test(tc, append_is_whole_at_every_bound);
        tcase_add_test(tc, descriptors_travel);
        tcase_add_test(tc, too_many_descriptors);
        tcase_add_test(tc, large_through_a_small_socket);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
