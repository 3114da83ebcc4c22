/* SPDX-License-Identifier: MIT */
/*
 * The server of the control socket over socket pairs, with peers of any uid and methods of the test beside
 * the real ones: calls in any portions, streams, what is no call, who may what, peers that go, do not read or
 * take too much.
 */
#include "daemon/control/methods.h"
#include "daemon/loop.h"
#include "daemon/service/service.h"

static const struct method *seam_method(const char *name);
static bool ending;
#define method_named     seam_method
#define service_ending() ending
#include "daemon/control/budget.c"
#include "daemon/control/call.c"
#include "daemon/control/client.c"
#include "daemon/control/parse_apart.c"
#include "daemon/control/serve.c"
#undef method_named
#define refuse listener_refuse
#include "daemon/control/listener.c"
#undef refuse

#include "state_folder.h"
#include "varlink_texts.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* ---- methods of the test ---- */

static struct call *held;
static unsigned cancelled, handled;

static void on_echo(struct call *call)
{
        handled++;
        call_reply(call, json_deep_copy(call->sent));
}

static void on_who(struct call *call)
{
        json_t *reply = json_object();

        json_put_text(reply, "who", call_who(call));
        json_put(reply, "uid", json_integer(call_peer(call)->uid));
        call_reply(call, reply);
}

static void on_hold(struct call *call)
{
        ck_assert_ptr_null(held);
        held = call;
}

static void cancel(void *work)
{
        ck_assert_ptr_eq(work, &held);
        held = NULL;
        cancelled++;
}

static void on_stream(struct call *call)
{
        ck_assert(call_wants_more(call));
        on_hold(call);
        call_on_cancel(call, cancel, &held);
}

static void on_big(struct call *call)
{
        static char text[64 * KIB];
        json_t *reply = json_object();

        handled++;
        memset(text, 'x', sizeof text - 1);
        json_put_text(reply, "text", text);
        call_reply(call, reply);
}

/* Answers with the first bytes of descriptor 0, and hands it back. */
static void on_descriptor(struct call *call)
{
        int fd = call_take_fd(call, 0);
        json_t *reply = json_object();
        char text[40] = "none";

        if (fd >= 0)
                ck_assert_int_ge(pread(fd, text, sizeof text - 1, 0), 0);
        json_put_text(reply, "text", text);
        if (fd >= 0)
                call_reply_fd(call, reply, fd);
        else
                call_reply(call, reply);
}

/* Tells more than the client may leave unread, and only then says how it is stopped. */
static void on_flood(struct call *call)
{
        static char text[64 * KIB];

        memset(text, 'x', sizeof text - 1);
        for (size_t i = 0; i < 2 * LIMIT_MONITOR_BACKLOG / sizeof text; i++)
                call_reply_part(call, json_pack("{s:s}", "text", text));
        ck_assert_uint_eq(cancelled, 0); /* never from within what it says */
        on_hold(call);
        call_on_cancel(call, cancel, &held);
}

/* A method that takes 2 ms of the loop. */
static void on_work(struct call *call)
{
        for (int64_t until = time_monotonic_us() + 2000; time_monotonic_us() < until;)
                ;
        handled++;
        call_reply(call, NULL);
}

#define TEST "io.emailsec.EmailService.Test"
#define NOTHING \
        { \
                { \
                        PARAMETER_NONE, false \
                } \
        }
static const struct method test_methods[] = {
        { TEST "Echo", PERMIT_READ, LIMIT_CALL, LIMIT_CALL_VALUES, 0, on_echo, { { PARAMETER_PORT, true } } },
        { TEST "Who", PERMIT_NONE, LIMIT_CALL, LIMIT_CALL_VALUES, 0, on_who, NOTHING },
        { TEST "Hold", PERMIT_READ, LIMIT_CALL, LIMIT_CALL_VALUES, 0, on_hold, NOTHING },
        { TEST "Stream", PERMIT_READ, LIMIT_CALL, LIMIT_CALL_VALUES, METHOD_MORE | METHOD_WAITS, on_stream,
          NOTHING },
        { TEST "Store", PERMIT_READ, LIMIT_CALL, LIMIT_CALL_VALUES, METHOD_MORE | METHOD_STORED, on_stream,
          NOTHING },
        { TEST "Flood", PERMIT_READ, LIMIT_CALL, LIMIT_CALL_VALUES, METHOD_MORE, on_flood, NOTHING },
        { TEST "Work", PERMIT_NONE, LIMIT_CALL, LIMIT_CALL_VALUES, 0, on_work, NOTHING },
        { TEST "Large", PERMIT_READ, MIB, 10, 0, on_echo, { { PARAMETER_MESSAGE, true } } },
        { TEST "Big", PERMIT_READ, LIMIT_CALL, LIMIT_CALL_VALUES, 0, on_big, NOTHING },
        { TEST "Descriptor", PERMIT_READ, LIMIT_CALL, LIMIT_CALL_VALUES, 0, on_descriptor, NOTHING },
};

static const struct method *seam_method(const char *name)
{
        for (size_t i = 0; i < count_of(test_methods); i++)
                if (strcmp(test_methods[i].name, name) == 0)
                        return &test_methods[i];
        return method_named(name);
}

/* ---- the other end ---- */

struct user {
        int fd;
        struct watch *watch;
        struct frame_reader in;
        json_t *replies;
        bool closed;
        size_t wanted; /* replies; SIZE_MAX: the end of the connection */
};

static size_t opened;

static size_t gone(void)
{
        size_t there = 0;

        for (const struct client *client = clients; client; client = client->next)
                there++;
        return opened - there;
}

static void user_ready(void *ctx, int what)
{
        struct user *user = ctx;
        struct cause cause = { 0 };
        json_t *reply;

        (void)what;
        int got = frame_receive(&user->in, user->fd, &cause);
        while (frame_next(&user->in, &reply, &cause) > 0)
                ck_assert_int_eq(json_array_append_new(user->replies, reply), 0);
        if (got == 0 || got == -2) {
                user->closed = true;
                watch_for(user->watch, 0);
        }
        if (user->closed || json_array_size(user->replies) >= user->wanted)
                loop_end();
}

static void user_of(struct user *user, int fd)
{
        *user = (struct user){ .fd = fd, .replies = json_array() };
        frame_reader_init(&user->in, 64 * MIB);
        user->watch = watch_new(fd, user_ready, user);
        watch_for(user->watch, WATCH_READ);
}

static void open_user_as(struct user *user, uid_t uid)
{
        struct peer peer = { .uid = uid, .groups = { uid }, .group_count = 1 };
        int pair[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
        client_new(pair[0], &peer);
        opened++;
        user_of(user, pair[1]);
}

static void open_user(struct user *user)
{
        open_user_as(user, 0);
}

static void close_user(struct user *user)
{
        watch_free(user->watch);
        frame_reader_free(&user->in);
        json_decref(user->replies);
        close_fd(&user->fd);
}

static void say_bytes(struct user *user, const void *bytes, size_t len)
{
        ck_assert_int_eq(send(user->fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* With the NUL that ends a frame. */
static void say(struct user *user, const char *frame)
{
        say_bytes(user, frame, strlen(frame) + 1);
}

static void say_with_fds(struct user *user, const char *frame, const int *fds, size_t count)
{
        struct buf out = BUF_WITH_MAX(KIB);
        struct cause cause;

        ck_assert_int_eq(buf_append(&out, frame, strlen(frame) + 1), 0);
        ck_assert_int_eq(frame_send(user->fd, &out, fds, &count, &cause), 1);
        buf_free(&out);
}

/* The loop runs until that many replies are there, or the connection has ended; they are the caller's. */
static void await_end(struct user *user)
{
        user->wanted = SIZE_MAX;
        if (!user->closed)
                run_until_end();
        ck_assert(user->closed);
}

static void await_replies(struct user *user, size_t count)
{
        user->wanted = count;
        if (json_array_size(user->replies) < count)
                run_until_end();
        ck_assert_uint_eq(json_array_size(user->replies), count);
}

static json_t *pop(struct user *user)
{
        json_t *reply = json_incref(json_array_get(user->replies, 0));

        ck_assert_ptr_nonnull(reply);
        (void)json_array_remove(user->replies, 0);
        return reply;
}

static json_t *next_reply(struct user *user)
{
        user->wanted = 1;
        if (!json_array_size(user->replies))
                run_until_end();
        return pop(user);
}

static void settle(void)
{
        for (int i = 0; i < 5; i++)
                loop_turn();
}

/* Compares with the compact JSON text, keys sorted; frees. */
static void expect(json_t *reply, const char *text)
{
        scoped(scoped_free) char *got = json_dumps(reply, JSON_COMPACT | JSON_SORT_KEYS);

        ck_assert_str_eq(got, text);
        json_decref(reply);
}

static void expect_error(json_t *reply, const char *name)
{
        const char *error = json_string_value(json_object_get(reply, "error"));

        ck_assert_msg(same_text(error, name), "%s instead of %s", error ? error : "no error", name);
        ck_assert(json_is_object(json_object_get(reply, "parameters")));
        json_decref(reply);
}

static size_t open_descriptors(void)
{
        DIR *listing = opendir("/proc/self/fd");
        size_t count = 0;

        while (readdir(listing))
                count++;
        (void)closedir(listing);
        return count;
}

static int memory_file(const char *text)
{
        int fd = memfd_create("test", MFD_CLOEXEC);

        ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        return fd;
}

#define ECHO(number)   "{\"method\":\"" TEST "Echo\",\"parameters\":{\"port\":" #number "}}"
#define ECHOED(number) "{\"parameters\":{\"port\":" #number "}}"

static void open_all(void)
{
        struct cause cause = { 0 };
        struct settings settings = { .allow_submit = (char[]){ "all" } };

        held = NULL;
        cancelled = handled = 0;
        opened = 0;
        ending = false;
        ck_assert_msg(loop_open(&cause) == 0, "%s", cause.text);
        permit_open(&settings);
}

static void close_all(void)
{
        clients_close();
        loop_close();
}

/* ---- calls ---- */

START_TEST(a_call_is_answered)
{
        struct user user;

        open_user(&user);
        say(&user, "{\"method\":\"org.varlink.service.GetInfo\"}");
        json_t *reply = next_reply(&user), *info = json_object_get(reply, "parameters");
        ck_assert_str_eq(json_string_value(json_object_get(info, "product")), "emailsecd");
        ck_assert_uint_eq(json_array_size(json_object_get(info, "interfaces")), 3);
        json_decref(reply);
        say(&user, "{\"method\":\"" TEST "Echo\",\"parameters\":null}");
        expect(next_reply(&user), "{\"parameters\":{}}");
        close_user(&user);
        settle();
        ck_assert_uint_eq(gone(), 1);
}
END_TEST

START_TEST(calls_come_in_any_portions)
{
        static const char call[] = ECHO(1);
        struct user user;

        open_user(&user);
        for (size_t cut = 1; cut < sizeof call; cut++) {
                say_bytes(&user, call, cut);
                settle();
                ck_assert_uint_eq(json_array_size(user.replies), 0);
                say_bytes(&user, call + cut, sizeof call - cut);
                expect(next_reply(&user), ECHOED(1));
        }
        for (size_t i = 0; i < sizeof call; i++) {
                say_bytes(&user, call + i, 1);
                loop_turn();
        }
        expect(next_reply(&user), ECHOED(1));
        close_user(&user);
}
END_TEST

START_TEST(many_calls_in_one_write_are_answered_in_order)
{
        enum { CALLS = 1000 };
        struct buf calls = BUF_WITH_MAX(MIB);
        struct user user;

        for (int i = 0; i < CALLS; i++)
                ck_assert_int_eq(buf_appendf(&calls,
                                             "{\"method\":\"" TEST "Echo\",\"parameters\":{\"port\":%d}}%c",
                                             i, 0),
                                 0);
        open_user(&user);
        say_bytes(&user, buf_bytes(&calls), calls.len);
        await_replies(&user, CALLS);
        for (int i = 0; i < CALLS; i++)
                ck_assert_int_eq(
                        json_integer_value(json_object_get(
                                json_object_get(json_array_get(user.replies, (size_t)i), "parameters"),
                                "port")),
                        i);
        buf_free(&calls);
        close_user(&user);
}
END_TEST

START_TEST(calls_behind_one_that_waits_wait)
{
        struct user user;

        open_user(&user);
        say(&user, "{\"method\":\"" TEST "Hold\"}");
        say(&user, ECHO(2));
        settle();
        say(&user, ECHO(3));
        settle();
        ck_assert_uint_eq(handled, 0);
        call_reply(take(held), NULL);
        expect(next_reply(&user), "{\"parameters\":{}}");
        expect(next_reply(&user), ECHOED(2));
        expect(next_reply(&user), ECHOED(3));
        close_user(&user);
}
END_TEST

START_TEST(one_way_calls_have_no_answer)
{
        struct user user;

        open_user(&user);
        say(&user, "{\"method\":\"" TEST "Echo\",\"oneway\":true}");
        say(&user, "{\"method\":\"no.such.Method\",\"oneway\":true}");
        say(&user, "{\"method\":\"" TEST "Stream\",\"oneway\":true}");
        say(&user, "{\"method\":\"" TEST "Hold\",\"oneway\":true}");
        settle();
        ck_assert_uint_eq(handled, 1);
        call_reply(take(held), NULL);
        say(&user, ECHO(4));
        expect(next_reply(&user), ECHOED(4));
        ck_assert_uint_eq(json_array_size(user.replies), 0);
        close_user(&user);
}
END_TEST

START_TEST(a_stream_has_parts_and_an_end)
{
        struct user user;

        open_user(&user);
        say(&user, "{\"method\":\"" TEST "Stream\",\"more\":true}");
        settle();
        call_reply_part(held, json_pack("{s:i}", "n", 1));
        call_reply_part(held, NULL);
        expect(next_reply(&user), "{\"continues\":true,\"parameters\":{\"n\":1}}");
        expect(next_reply(&user), "{\"continues\":true,\"parameters\":{}}");
        call_reply(take(held), json_pack("{s:i}", "n", 2));
        expect(next_reply(&user), "{\"parameters\":{\"n\":2}}");
        ck_assert_uint_eq(cancelled, 0);
        say(&user, "{\"method\":\"" TEST "Stream\"}");
        expect_error(next_reply(&user), "org.varlink.service.ExpectedMore");
        say(&user,
            "{\"method\":\"" TEST "Echo\",\"more\":true}"); /* one answer is fine for who would take more */
        expect(next_reply(&user), "{\"parameters\":{}}");
        close_user(&user);
}
END_TEST

static const struct {
        const char *call, *reply;
} wrong_names[] = {
        { "{\"method\":\"io.emailsec.EmailService.Explode\"}",
          "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"io.emailsec."
          "EmailService.Explode\"}}" },
        { "{\"method\":\"org.varlink.service.GetInfoX\"}",
          "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"org.varlink."
          "service.GetInfoX\"}}" },
        { "{\"method\":\"\"}",
          "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"\"}}" },
        { "{\"method\":\"GetInfo\"}", "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{"
                                      "\"interface\":\"GetInfo\"}}" },
        { "{\"method\":\"org.varlink.service.GetInterfaceDescription\"}",
          "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"interface\"}"
          "}" },
        { "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":7}}",
          "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"interface\"}"
          "}" },
        { "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"a.b\"}"
          "}",
          "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"a.b\"}}" },
        { "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":"
          "{\"interface\":\"org.varlink.service\",\"x\":1}}",
          "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"x\"}}" },
};

START_TEST(what_is_not_known_is_named)
{
        struct user user;

        open_user(&user);
        say(&user, wrong_names[_i].call);
        expect(next_reply(&user), wrong_names[_i].reply);
        say(&user, ECHO(5)); /* and the connection goes on */
        expect(next_reply(&user), ECHOED(5));
        close_user(&user);
}
END_TEST

START_TEST(every_bad_parameter_is_told_at_once)
{
        struct user user;

        open_user(&user);
        say(&user,
            "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"x\":1,\"y\":2}}");
        json_t *reply = next_reply(&user);
        expect(reply, "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":"
                      "\"interface\"}}");
        say(&user, "{\"method\":\"io.emailsec.EmailService.GetAccount\",\"parameters\":{\"x\":1,\"y\":2}}");
        reply = next_reply(&user);
        ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(reply, "parameters"), "problems")),
                          3);
        expect_error(reply, "io.emailsec.EmailService.InvalidProperty");
        close_user(&user);
}
END_TEST

/* ---- what is no call ---- */

#define BYTES(text) { text, sizeof(text) }
static const struct {
        const char *bytes;
        size_t len;
} garbage[] = {
        BYTES(""),
        BYTES("GET / HTTP/1.0\r\n\r\n"),
        BYTES("\x16\x03\x01\x02"),
        BYTES("{"),
        BYTES("{}"),
        BYTES("[]"),
        BYTES("7"),
        BYTES("null"),
        BYTES("{\"method\":7}"),
        BYTES("{\"method\":null}"),
        BYTES("{\"method\":\"" TEST "Echo\",\"parameters\":[]}"),
        BYTES("{\"method\":\"" TEST "Echo\",\"parameters\":\"x\"}"),
        BYTES("{\"method\":\"" TEST "Echo\",\"method\":\"" TEST "Echo\"}"),
        BYTES("{\"method\":\"" TEST "Echo\"} {\"method\":\"" TEST "Echo\"}"),
        BYTES("{\"method\":\"\xff\"}"),
        BYTES("{\"method\":\"x\\u0000y\"}"),
        BYTES("{\"method\":\"" TEST "Echo\",\"parameters\":{\"port\":1e999}}"),
        BYTES("{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}"),
};

START_TEST(garbage_ends_the_connection)
{
        struct user user, other;

        open_user(&user);
        open_user(&other);
        say(&user, ECHO(6));
        say_bytes(&user, garbage[_i].bytes, garbage[_i].len);
        say(&user, ECHO(7)); /* whatever comes behind it is not a call */
        await_end(&user);
        expect(pop(&user), ECHOED(6));
        expect_error(pop(&user), "io.emailsec.EmailService.InvalidCall");
        ck_assert_uint_eq(json_array_size(user.replies), 0);
        ck_assert_uint_eq(handled, 1);
        say(&other, ECHO(8));
        expect(next_reply(&other), ECHOED(8));
        close_user(&user);
        settle();
        ck_assert_uint_eq(gone(), 1);
        close_user(&other);
}
END_TEST

START_TEST(a_call_without_end_is_dropped)
{
        static char text[64 * KIB];
        struct user user;
        size_t sent = 0;

        memset(text, ' ', sizeof text);
        open_user(&user);
        while (!user.closed && sent < LIMIT_FRAME + 2 * MIB) {
                ssize_t got = send(user.fd, text, sizeof text, MSG_NOSIGNAL);
                if (got < 0)
                        ck_assert_msg(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET, "%s",
                                      strerror(errno));
                sent += got > 0 ? (size_t)got : 0;
                loop_turn();
        }
        ck_assert(user.closed);
        ck_assert_uint_ge(sent, LIMIT_CALL);
        ck_assert_uint_le(sent, 2 * MIB); /* with what the kernel takes */
        expect_error(pop(&user), "io.emailsec.EmailService.TooLarge");
        close_user(&user);
        settle();
        ck_assert_uint_eq(gone(), 1);
}
END_TEST

static const struct {
        const char *call, *reply;
} flags[] = {
        { "\"more\":1",
          "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"more\"}}" },
        { "\"oneway\":\"true\"",
          "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"oneway\"}}" },
        { "\"upgrade\":[]",
          "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"upgrade\"}}" },
        { "\"upgrade\":true",
          "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"upgrade\"}}" },
        { "\"more\":null,\"oneway\":false,\"upgrade\":false", "{\"parameters\":{}}" },
};

START_TEST(what_a_call_is_beside_its_parameters)
{
        struct user user;

        open_user(&user);
        scoped(scoped_free) char *call = text_of("{\"method\":\"" TEST "Echo\",%s}", flags[_i].call);
        say(&user, call);
        expect(next_reply(&user), flags[_i].reply);
        say(&user,
            "{\"method\":\"" TEST "Stream\",\"more\":true,\"oneway\":true}");   /* nobody would hear it */
        say(&user, "{\"method\":\"" TEST "Echo\",\"more\":7,\"oneway\":true}"); /* nor of this */
        say(&user, ECHO(1));
        expect(next_reply(&user), ECHOED(1));
        close_user(&user);
}
END_TEST

/* ---- how large a call is ---- */

/* Says the beginning and then `count` pieces, until it is refused. */
static json_t *refusal_of(uid_t uid, const char *beginning, const char *piece, size_t count)
{
        struct user user;
        size_t len = strlen(piece);
        struct buf call = BUF_WITH_MAX(32 * MIB);

        ck_assert_int_eq(buf_append_text(&call, beginning), 0);
        for (size_t i = 0; i < count; i++)
                ck_assert_int_eq(buf_append(&call, piece, len), 0);
        open_user_as(&user, uid);
        while (call.len && !json_array_size(user.replies)) {
                ssize_t sent = send(user.fd, buf_bytes(&call), call.len, MSG_NOSIGNAL);
                if (sent > 0)
                        buf_consume(&call, (size_t)sent);
                loop_turn();
        }
        ck_assert_uint_le(budget.used[BUDGET_INPUT] + budget.reserve_used[BUDGET_INPUT], 2 * MIB);
        while (!user.closed)
                loop_turn();
        json_t *reply = pop(&user);
        close_user(&user);
        buf_free(&call);
        return reply;
}

START_TEST(the_size_of_a_call_is_that_of_its_method)
{
        static const struct {
                uid_t uid;
                const char *beginning, *piece;
                size_t count;
                const char *error;
        } cases[] = {
                { 0, "{\"method\":\"" TEST "Echo\",\"parameters\":{\"a\":\"", "xxxxxxxx", 16384, "TooLarge" },
                { 0, "{\"parameters\":{\"a\":\"", "xxxxxxxx", 16384, "TooLarge" },
                { 0, "{\"parameters\":{\"method\":\"" TEST "Large\",\"a\":\"", "xxxxxxxx", 16384,
                  "TooLarge" },
                { 0, "{\"method\":\"" TEST "Large\",\"parameters\":{\"a\":\"", "xxxxxxxx", 1 << 18,
                  "TooLarge" },
                { 0, "{\"method\":\"" TEST "Echo\",\"parameters\":{\"a\":[", "1,", 10000, "TooLarge" },
                { 0, "{\"method\":\"" TEST "Echo\",\"parameters\":{\"a\":[", "{},", 10000, "TooLarge" },
                { 0, "{\"method\":\"no.such.Method\",\"parameters\":{\"a\":\"", "xxxxxxxx", 16384,
                  "TooLarge" },
                { 70000, "{\"method\":\"" TEST "Large\",\"parameters\":{\"a\":\"", "xxxxxxxx", 16384,
                  "PermissionDenied" },
                { 70000, "{\"method\":\"io.emailsec.EmailService.Apply\",\"parameters\":{\"a\":[", "{},",
                  100000, "PermissionDenied" },
        };
        for (size_t i = 0; i < count_of(cases); i++) {
                scoped(scoped_free) char *error = text_of("io.emailsec.EmailService.%s", cases[i].error);
                expect_error(refusal_of(cases[i].uid, cases[i].beginning, cases[i].piece, cases[i].count),
                             error);
        }
        settle();
        ck_assert_uint_eq(gone(), count_of(cases));
        ck_assert_ptr_null(budget.shares);
}
END_TEST

/* A call of Large of so many bytes, with what follows its message. */
static char *large_call(size_t size, const char *more)
{
        scoped(scoped_free) char *text = new_zeroed(1, size + 1);

        memset(text, 'x', size);
        return text_of("{\"method\":\"" TEST "Large\",%s\"parameters\":{\"message\":\"%s\"}}", more, text);
}

/* All of it, however little the socket takes at once. */
static void pour(struct user *user, const char *bytes, size_t len)
{
        for (size_t at = 0; at < len;) {
                ssize_t sent = send(user->fd, bytes + at, len - at, MSG_NOSIGNAL);
                at += sent > 0 ? (size_t)sent : 0;
                loop_turn();
        }
}

static void expect_large(json_t *reply, size_t size)
{
        ck_assert_uint_eq(
                json_string_length(json_object_get(json_object_get(reply, "parameters"), "message")), size);
        json_decref(reply);
}

START_TEST(a_large_call_of_a_method_that_may_be_large)
{
        static const size_t sizes[] = { 100 * KIB, PARSED_HERE - 100, PARSED_HERE + 100, 512 * KIB };
        struct user user;

        open_user(&user);
        for (size_t i = 0; i < count_of(sizes); i++) {
                scoped(scoped_free) char *call = large_call(sizes[i], "");
                pour(&user, call, strlen(call) + 1);
                expect_large(next_reply(&user), sizes[i]);
                settle();
                ck_assert_uint_eq(clients->reader.in.size, 0); /* memory is given back */
                ck_assert_uint_eq(clients->out.size, 0);
                ck_assert_uint_eq(budget.used[BUDGET_INPUT] + budget.reserve_used[BUDGET_INPUT], 0);
        }
        close_user(&user);
}
END_TEST

/* A thread parses the large ones; the others wait behind them, and descriptors stay with theirs. */
START_TEST(calls_behind_a_large_one_wait_for_it)
{
        scoped(scoped_free) char *call = large_call(600 * KIB, "");
        int fd = memory_file("of the call behind");
        struct user user;

        open_user(&user);
        user.wanted = 5;
        say(&user, ECHO(1));
        pour(&user, call, strlen(call) + 1);
        say_with_fds(&user, "{\"method\":\"" TEST "Descriptor\"}", &fd, 1);
        pour(&user, call, strlen(call) + 1);
        say(&user, ECHO(2));
        ck_assert_int_eq(shutdown(user.fd, SHUT_WR), 0);
        await_replies(&user, 5);
        expect(pop(&user), ECHOED(1));
        expect_large(pop(&user), 600 * KIB);
        json_t *reply = pop(&user);
        ck_assert_str_eq(json_string_value(json_object_get(json_object_get(reply, "parameters"), "text")),
                         "of the call behind");
        json_decref(reply);
        expect_large(pop(&user), 600 * KIB);
        expect(pop(&user), ECHOED(2));
        await_end(&user);
        (void)close(fd);
        close_user(&user);
}
END_TEST

/* Until it was parsed nobody notices; what it says holds all the same. */
START_TEST(one_that_goes_after_a_large_call)
{
        scoped(scoped_free) char *call = large_call(600 * KIB, "\"oneway\":true,");
        struct user user, other;

        open_user(&user);
        pour(&user, call, strlen(call) + 1);
        close_user(&user);
        while (gone() < 1)
                loop_turn();
        ck_assert_uint_eq(handled, 1);
        /* The daemon ends meanwhile: nobody is answered, and nothing is left. */
        open_user(&other);
        pour(&other, call, strlen(call)); /* without its end */
        say_bytes(&other, "", 1);
        while (!clients->parsing && handled < 2)
                loop_turn();
        clients_close();
        ck_assert_uint_eq(budget.used[BUDGET_INPUT] + budget.reserve_used[BUDGET_INPUT], 0);
        settle();
        ck_assert_ptr_null(budget.shares);
        close_user(&other);
}
END_TEST

START_TEST(a_large_call_that_is_none)
{
        static const struct {
                const char *end, *error;
        } cases[] = {
                { "\"", "InvalidCall" },
                { "\\u0000\"}}", "InvalidProperty" },
                { "\xff\"}}", "InvalidCall" },
                { "\"}},", "InvalidCall" },
        };
        for (size_t i = 0; i < count_of(cases); i++) {
                scoped(scoped_free) char *whole = large_call(300 * KIB, "");
                scoped(scoped_free) char *error = text_of("io.emailsec.EmailService.%s", cases[i].error);
                struct user user;

                whole[strlen(whole) - 3] = '\0';
                scoped(scoped_free) char *call = text_of("%s%s", whole, cases[i].end);
                open_user(&user);
                pour(&user, call, strlen(call) + 1);
                expect_error(next_reply(&user), error);
                close_user(&user);
        }
}
END_TEST

/* ---- who may what ---- */

START_TEST(no_method_takes_what_it_does_not_know)
{
        for (size_t i = 0; i < method_count; i++) {
                struct user user;
                scoped(scoped_free) char *call =
                        text_of("{\"method\":\"%s\",\"more\":true,\"parameters\":{\"noSuchParameter\":1}}",
                                methods[i].name);
                open_user(&user);
                say(&user, call);
                json_t *reply = next_reply(&user);
                const char *error = json_string_value(json_object_get(reply, "error"));
                ck_assert_msg(
                        error && (strstr(error, ".InvalidParameter") || strstr(error, ".InvalidProperty")),
                        "%s: %s", methods[i].name, error ? error : "taken");
                json_decref(reply);
                close_user(&user);
        }
}
END_TEST

/* A value that is not of the type. */
static const char *another_type(enum parameter parameter)
{
        const char *type = parameter_type(parameter);

        return strcmp(type, "string") == 0     ? "7"
               : strcmp(type, "[]string") == 0 ? "[\"a\",1]"
               : strcmp(type, "[]object") == 0 ? "[{},[]]"
                                               : "\"text\"";
}

/* Every parameter of every method: one of another type, and one that must be there and is not, is refused by
 * its name. */
START_TEST(every_parameter_has_its_type)
{
        for (size_t i = 0; i < method_count; i++)
                for (const struct taken *taken = methods[i].takes; taken->parameter; taken++) {
                        const char *name = parameter_name(taken->parameter);
                        struct causes problems = { 0 };
                        struct parameters in;
                        scoped(scoped_free) char *text =
                                text_of("{\"%s\":%s}", name, another_type(taken->parameter));
                        json_t *wrong = json_loads(text, 0, NULL), *null = json_pack("{s:n}", name);
                        bool told = false;
                        ck_assert_int_eq(parameters_read(wrong, methods[i].takes, &in, &problems), -1);
                        for (size_t k = 0; k < problems.count; k++)
                                told = told || (same_text(problems.items[k].property, name) &&
                                                strstr(problems.items[k].text, "must be"));
                        ck_assert_msg(told, "%s takes %s", methods[i].name, text);
                        causes_free(&problems);
                        told = false;
                        (void)!parameters_read(null, methods[i].takes, &in, &problems);
                        for (size_t k = 0; k < problems.count; k++)
                                told = told || same_text(problems.items[k].property, name);
                        ck_assert_msg(told != taken->optional, "%s without %s", methods[i].name, name);
                        ck_assert(!in.said[taken->parameter]);
                        causes_free(&problems);
                        json_decref(wrong);
                        json_decref(null);
                }
}
END_TEST

START_TEST(a_stranger_may_submit_and_ask_who_we_are)
{
        for (size_t i = 0; i < method_count; i++) {
                struct user user;
                const char *name = methods[i].name;
                bool denied = methods[i].permission == PERMIT_READ || methods[i].permission == PERMIT_ADMIN;

                if (!denied && methods[i].permission != PERMIT_NONE)
                        continue; /* would do it */
                open_user_as(&user, 70000);
                scoped(scoped_free) char *call = text_of("{\"method\":\"%s\",\"more\":true}", name);
                say(&user, call);
                json_t *reply = next_reply(&user);
                if (denied) {
                        scoped(scoped_free) char *error =
                                text_of("%.*s.PermissionDenied", (int)(strrchr(name, '.') - name), name);
                        expect_error(reply, error);
                } else {
                        json_decref(reply);
                }
                close_user(&user);
                settle();
        }
        ck_assert(permit(&(struct peer){ .uid = 70000 }, PERMIT_SUBMIT));
}
END_TEST

START_TEST(who_it_is)
{
        static const struct {
                uid_t uid;
                const char *reply;
        } cases[] = {
                { 0, "{\"parameters\":{\"uid\":0,\"who\":\"root (uid 0)\"}}" },
                { 65534, "{\"parameters\":{\"uid\":65534,\"who\":\"nobody (uid 65534)\"}}" },
                { 70000, "{\"parameters\":{\"uid\":70000,\"who\":\"uid 70000\"}}" },
        };
        for (size_t i = 0; i < count_of(cases); i++) {
                struct user user;
                open_user_as(&user, cases[i].uid);
                say(&user, "{\"method\":\"" TEST "Who\"}");
                expect(next_reply(&user), cases[i].reply);
                close_user(&user);
        }
}
END_TEST

START_TEST(one_that_goes_before_its_name_is_known)
{
        struct user user;

        open_user_as(&user, 70000);
        close_user(&user);
        clients_close(); /* leaves the lookup behind */
        settle();
        ck_assert_uint_eq(gone(), 1);
}
END_TEST

/* ---- peers that go, or do not read ---- */

START_TEST(a_waiting_call_is_cancelled_when_the_client_goes)
{
        struct user user;

        open_user(&user);
        say(&user, "{\"method\":\"" TEST "Stream\",\"more\":true}");
        settle();
        ck_assert_ptr_nonnull(held);
        close_user(&user);
        settle();
        ck_assert_uint_eq(cancelled, 1);
        ck_assert_uint_eq(gone(), 1);
}
END_TEST

START_TEST(a_call_outlives_its_client)
{
        struct user user;
        struct cause cause;
        int fd = memfd_create("test", MFD_CLOEXEC);

        for (int way = 0; way < 4; way++) {
                open_user(&user);
                say(&user, "{\"method\":\"" TEST "Hold\"}");
                settle();
                close_user(&user);
                settle();
                ck_assert_str_eq(call_who(held), "root (uid 0)"); /* who did it is known all the same */
                ck_assert_uint_eq(call_peer(held)->uid, 0);
                ck_assert_int_eq(call_take_fd(held, 0), -1);
                cause_set(&cause, CAUSE_STATE, "words");
                call_reply_part(held, json_object());
                if (way == 0)
                        call_reply(take(held), json_object());
                else if (way == 1)
                        call_fail(take(held), &cause);
                else if (way == 2)
                        call_fail_varlink(take(held), "MethodNotFound", "method", "x");
                else
                        call_reply_fd(take(held), NULL, fd); /* closes it */
        }
        ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
        ck_assert_uint_eq(gone(), 4);
}
END_TEST

START_TEST(a_slow_reader_of_a_stream_is_dropped)
{
        static char text[16 * KIB];
        struct user user;
        size_t parts = 0;

        memset(text, 'x', sizeof text - 1);
        open_user(&user);
        say(&user, "{\"method\":\"" TEST "Stream\",\"more\":true}");
        settle();
        watch_for(user.watch, 0);
        for (; held && parts < 10000; parts++) {
                call_reply_part(held, json_pack("{s:s}", "text", text));
                loop_turn();
        }
        ck_assert_uint_eq(cancelled, 1);
        ck_assert_uint_eq(gone(), 1);
        ck_assert_uint_ge(parts * sizeof text, LIMIT_MONITOR_BACKLOG);
        ck_assert_uint_le(parts * sizeof text, LIMIT_MONITOR_BACKLOG + MIB);
        close_user(&user);
}
END_TEST

START_TEST(one_that_is_dropped_while_it_is_told_ends_a_turn_later)
{
        struct user user;

        open_user(&user);
        watch_for(user.watch, 0);
        say(&user, "{\"method\":\"" TEST "Flood\",\"more\":true}");
        settle();
        ck_assert_uint_eq(cancelled, 1);
        ck_assert_ptr_null(held);
        ck_assert_uint_eq(gone(), 1);
        ck_assert_ptr_null(budget.shares);
        close_user(&user);
}
END_TEST

START_TEST(one_that_ends_its_side_gets_its_answers)
{
        struct user user;

        open_user(&user);
        say(&user, "{\"method\":\"" TEST "Hold\"}");
        say(&user, ECHO(1));
        say(&user, "{\"method\":"); /* no whole call */
        ck_assert_int_eq(shutdown(user.fd, SHUT_WR), 0);
        settle();
        ck_assert_uint_eq(gone(), 0);
        call_reply(take(held), NULL);
        await_end(&user);
        expect(pop(&user), "{\"parameters\":{}}");
        expect(pop(&user), ECHOED(1));
        close_user(&user);
        settle();
        ck_assert_uint_eq(gone(), 1);
}
END_TEST

/* Also when nothing is read from it any more. */
START_TEST(one_that_goes_with_calls_unread_is_seen_to_go)
{
        int fd = memory_file("x");
        size_t before = open_descriptors();

        for (int way = 0; way < 2; way++) {
                struct user user;
                open_user(&user);
                say_with_fds(&user, "{\"method\":\"" TEST "Stream\",\"more\":true}", &fd, 1);
                settle();
                if (way == 0)
                        say_with_fds(&user, ECHO(1), &fd, 1);
                else
                        ck_assert_int_eq(shutdown(user.fd, SHUT_WR), 0);
                settle();
                close_user(&user);
                while (clients)
                        loop_turn();
        }
        settle();
        ck_assert_uint_eq(cancelled, 2);
        ck_assert_uint_eq(open_descriptors(), before);
        (void)close(fd);
}
END_TEST

START_TEST(one_that_asks_and_never_reads_is_not_served_on)
{
        enum { CALLS = 700 };
        struct user user, other;

        open_user(&user);
        watch_for(user.watch, 0);
        for (unsigned asked = 0; asked < CALLS; asked++) {
                (void)send(user.fd, "{\"method\":\"" TEST "Big\"}", sizeof "{\"method\":\"" TEST "Big\"}",
                           MSG_NOSIGNAL);
                loop_turn();
        }
        ck_assert_uint_eq(gone(), 0);
        ck_assert_uint_le(handled, LIMIT_CLIENT_UNREAD / (64 * KIB) + 10);
        ck_assert_uint_le(clients->out.len, LIMIT_CLIENT_UNREAD + 64 * KIB);
        open_user(&other);
        say(&other, ECHO(1));
        expect(next_reply(&other), ECHOED(1));
        close_user(&user);
        close_user(&other);
        settle();
        ck_assert_uint_eq(gone(), 2);
}
END_TEST

START_TEST(one_that_reads_late_gets_everything)
{
        enum { CALLS = 100 };
        struct user user;

        open_user(&user);
        watch_for(user.watch, 0);
        for (unsigned i = 0; i < CALLS; i++)
                say(&user, "{\"method\":\"" TEST "Big\"}");
        settle();
        ck_assert_uint_lt(handled, CALLS);
        watch_for(user.watch, WATCH_READ);
        await_replies(&user, CALLS);
        ck_assert_uint_eq(gone(), 0);
        close_user(&user);
}
END_TEST

/* ---- shares ---- */

static unsigned notices;
static void count_notice(int priority, const char *message_id, const char *text)
{
        (void)message_id;
        (void)text;
        notices += priority == LOG_NOTICE;
}

START_TEST(notices_about_one_user_are_few)
{
        notices = 0;
        journal_capture(count_notice);
        for (int i = 0; i < 100; i++) {
                struct user user;
                scoped(scoped_free) char *words = text_of("{\"m%*s", i, ""); /* each in other words */
                open_user_as(&user, 70000);
                say(&user, words);
                json_decref(next_reply(&user));
                close_user(&user);
        }
        ck_assert_uint_eq(notices, NOTICES);
        tell_all_more(NULL); /* the minute is over: the others are told as one */
        ck_assert_uint_le(notices, NOTICES + 2);
        ck_assert_uint_gt(notices, NOTICES);
        journal_capture(NULL);
}
END_TEST

START_TEST(who_has_had_a_share_of_the_turn_waits_for_the_next)
{
        enum { USERS = 20, CALLS = 10 };
        struct user users[USERS], root;

        for (size_t i = 0; i < USERS; i++) {
                open_user_as(&users[i], 70000);
                clients->username = NULL; /* it is not waited for */
                client_watch(clients);
                for (int n = 0; n < CALLS; n++)
                        say(&users[i], "{\"method\":\"" TEST "Work\"}");
        }
        open_user(&root);
        say(&root, ECHO(1));
        for (unsigned turns = 0, before = 0; handled < USERS * CALLS + 1; turns++, before = handled) {
                loop_turn();
                ck_assert_uint_le(handled - before,
                                  2 * TURN_SHARE_MICROS / 2000 + 3); /* by the line, and by what is ready */
                if (turns == 2)
                        ck_assert_uint_eq(json_array_size(root.replies), 1);
                ck_assert_uint_lt(turns, 1000);
        }
        settle();
        for (size_t i = 0; i < USERS; i++) {
                ck_assert_uint_eq(json_array_size(users[i].replies), CALLS);
                close_user(&users[i]);
        }
        close_user(&root);
}
END_TEST

START_TEST(who_says_nothing_makes_room)
{
        struct user idle, waits, root;

        open_user_as(&idle, 70000);
        struct client *client = clients;
        open_user_as(&waits, 70000);
        open_user(&root);
        ck_assert(!clients_end_idle(NULL)); /* all have been here for a moment only */
        for (struct client *one = clients; one; one = one->next)
                one->active = loop_now() - IDLE_MS;
        struct call call = { 0 };
        clients->next->call = &call; /* the one that waits */
        ck_assert(clients_end_idle(client->share));
        ck_assert(client->ending);
        ck_assert(!clients_end_idle(NULL)); /* not who waits for an answer, nor who is in charge */
        clients->next->call = NULL;
        await_end(&idle);
        close_user(&idle);
        close_user(&waits);
        close_user(&root);
}
END_TEST

/* ---- descriptors ---- */

#define DESCRIPTOR      "{\"method\":\"" TEST "Descriptor\"}"
#define DESCRIBED(text) "{\"parameters\":{\"text\":\"" text "\"}}"

START_TEST(descriptors_come_and_go)
{
        struct user user;
        int first = memory_file("first"), second = memory_file("second");
        size_t before = open_descriptors();

        open_user(&user);
        say_with_fds(&user, DESCRIPTOR, (int[]){ first, second }, 2); /* the second is not wanted */
        expect(next_reply(&user), DESCRIBED("first"));
        int back = frame_take_fd(&user.in, 0);
        char text[8] = "";
        ck_assert_int_eq(pread(back, text, sizeof text - 1, 0), 5);
        ck_assert_str_eq(text, "first");
        (void)close(back);
        frame_drop_fds(&user.in);
        say(&user, DESCRIPTOR); /* has none, and gets none of an earlier call */
        expect(next_reply(&user), DESCRIBED("none"));
        say_with_fds(&user, ECHO(9), &second, 1); /* does not ask for it */
        expect(next_reply(&user), ECHOED(9));
        say(&user, DESCRIPTOR);
        expect(next_reply(&user), DESCRIBED("none"));
        say_with_fds(&user, "{\"method\":", &second, 1); /* goes in the middle of a call */
        settle();
        close_user(&user);
        settle();
        ck_assert_uint_eq(open_descriptors(), before);
        (void)close(first);
        (void)close(second);
}
END_TEST

START_TEST(a_descriptor_stays_with_its_call)
{
        struct user user;
        int first = memory_file("first"), second = memory_file("second");

        open_user(&user);
        say(&user, ECHO(1)); /* all of these are there before the first is read */
        say_with_fds(&user, DESCRIPTOR, &first, 1);
        say(&user, ECHO(2));
        say_with_fds(&user, DESCRIPTOR, &second, 1);
        expect(next_reply(&user), ECHOED(1));
        expect(next_reply(&user), DESCRIBED("first"));
        expect(next_reply(&user), ECHOED(2));
        expect(next_reply(&user), DESCRIBED("second"));
        say(&user, "{\"method\":\"" TEST "Hold\"}");
        settle();
        say_with_fds(&user, DESCRIPTOR, &first, 1); /* comes while a call waits */
        say_with_fds(&user, DESCRIPTOR, &second, 1);
        settle();
        call_reply(take(held), NULL);
        expect(next_reply(&user), "{\"parameters\":{}}");
        expect(next_reply(&user), DESCRIBED("first"));
        expect(next_reply(&user), DESCRIBED("second"));
        (void)close(first);
        (void)close(second);
        close_user(&user);
}
END_TEST

START_TEST(too_many_descriptors)
{
        int fd = memory_file("x"), fds[] = { fd, fd, fd, fd, fd };
        struct user user;
        size_t before = open_descriptors();
        struct iovec iov = { .iov_base = (char[]){ "{}" }, .iov_len = 3 };
        union {
                struct cmsghdr aligned;
                char bytes[CMSG_SPACE(sizeof fds)];
        } control = { 0 };
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
        };

        control.aligned.cmsg_level = SOL_SOCKET;
        control.aligned.cmsg_type = SCM_RIGHTS;
        control.aligned.cmsg_len = CMSG_LEN(sizeof fds);
        memcpy(CMSG_DATA(&control.aligned), fds, sizeof fds);
        open_user(&user);
        ck_assert_int_eq(sendmsg(user.fd, &message, MSG_NOSIGNAL), 3);
        await_end(&user);
        expect_error(pop(&user), "io.emailsec.EmailService.TooLarge");
        close_user(&user);
        settle();
        ck_assert_uint_eq(open_descriptors(), before);
        (void)close(fd);
}
END_TEST

/* ---- the end ---- */

START_TEST(while_the_daemon_ends)
{
        struct user user;

        open_user(&user);
        ending = true;
        say(&user, ECHO(1));
        expect_error(next_reply(&user), "io.emailsec.EmailService.Busy");
        say(&user, "{\"method\":\"org.varlink.service.GetInfo\"}");
        json_t *reply = next_reply(&user);
        ck_assert_ptr_null(json_object_get(reply, "error"));
        json_decref(reply);
        close_user(&user);
}
END_TEST

START_TEST(winding_down_answers_what_was_begun)
{
        struct user idle, waits, streams, slow;

        open_user(&idle);
        open_user(&waits);
        open_user(&slow);
        say(&waits, "{\"method\":\"" TEST "Hold\"}");
        say(&waits, ECHO(1)); /* begun too late */
        settle();
        struct call *waiting = take(held);
        open_user(&streams);
        say(&streams, "{\"method\":\"" TEST "Stream\",\"more\":true}");
        watch_for(slow.watch, 0);
        for (int i = 0; i < 4; i++)
                say(&slow, "{\"method\":\"" TEST "Big\"}");
        settle();
        clients_wind_down();
        await_end(&idle);
        await_end(&streams);
        ck_assert_uint_eq(cancelled, 1);
        ck_assert(!waits.closed);
        call_reply(waiting, NULL);
        await_end(&waits);
        expect(pop(&waits), "{\"parameters\":{}}");
        ck_assert_uint_eq(json_array_size(waits.replies), 0);
        watch_for(slow.watch, WATCH_READ); /* these were answered, only not read yet */
        await_end(&slow);
        ck_assert_uint_eq(json_array_size(slow.replies), 4);
        close_user(&idle);
        close_user(&waits);
        close_user(&streams);
        close_user(&slow);
}
END_TEST

static void expect_told_of_the_end(struct user *user)
{
        expect_error(next_reply(user), "io.emailsec.EmailService.NoDaemon");
        await_end(user);
        close_user(user);
}

START_TEST(who_waits_is_told_of_the_end)
{
        struct user waits;

        open_user(&waits);
        say(&waits, "{\"method\":\"" TEST "Stream\",\"more\":true}");
        settle();
        clients_wind_down();
        expect_told_of_the_end(&waits);
        ck_assert_uint_eq(cancelled, 1);
}
END_TEST

/* Given up, being read, answered by what closes, forgotten. */
START_TEST(each_hears_of_the_end)
{
        scoped(scoped_free) char *large = large_call(600 * KIB, "");
        struct user waits, reads, answered, forgotten;

        open_user(&answered);
        say(&answered, "{\"method\":\"" TEST "Hold\"}");
        settle();
        struct call *call = take(held);
        open_user(&forgotten);
        say(&forgotten, "{\"method\":\"" TEST "Hold\"}");
        settle();
        struct call *late = take(held);
        open_user(&waits);
        say(&waits, "{\"method\":\"" TEST "Stream\",\"more\":true}");
        settle();
        open_user(&reads);
        pour(&reads, large, strlen(large)); /* without its end */
        say_bytes(&reads, "", 1);
        while (!clients->parsing)
                loop_turn();
        clients_stop();
        expect_told_of_the_end(&reads);
        expect_told_of_the_end(&waits);
        ck_assert_uint_eq(cancelled, 1);
        ck_assert(!answered.closed && !forgotten.closed);
        call_reply(call, NULL);
        expect(next_reply(&answered), "{\"parameters\":{}}");
        await_end(&answered);
        close_user(&answered);
        clients_close();
        call_reply(late, NULL);
        expect_told_of_the_end(&forgotten);
}
END_TEST

/* Mail that is on disk by then is not handed in once more for an answer that was cut off. */
START_TEST(what_the_store_settles_is_answered_by_it)
{
        struct user user, given_up;

        open_user(&given_up);
        say(&given_up, "{\"method\":\"" TEST "Store\",\"more\":true}");
        settle();
        held = NULL;
        open_user(&user);
        say(&user, "{\"method\":\"" TEST "Store\",\"more\":true}");
        settle();
        struct call *call = held;
        clients_wind_down();
        clients_stop();
        settle();
        ck_assert(!user.closed && cancelled == 0);
        call_reply(call, NULL);
        expect(next_reply(&user), "{\"parameters\":{}}");
        await_end(&user);
        close_user(&user);
        clients_close();
        ck_assert_uint_eq(cancelled, 1);
        expect_told_of_the_end(&given_up);
}
END_TEST

START_TEST(closing_cancels_what_waits)
{
        struct user user, other;

        open_user(&user);
        open_user(&other);
        say(&user, "{\"method\":\"" TEST "Stream\",\"more\":true}");
        settle();
        clients_close();
        settle();
        ck_assert_uint_eq(cancelled, 1);
        ck_assert_uint_eq(gone(), 2);
        await_end(&user);
        await_end(&other);
        close_user(&user);
        close_user(&other);
}
END_TEST

/* ---- the listening socket ---- */

static char *socket_path(void)
{
        const char *base = getenv("TMPDIR");

        (void)snprintf(state_folder, sizeof state_folder, "%s/socket.XXXXXX", base ? base : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(state_folder));
        return folder_path("socket");
}

static int dial(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
        ck_assert_int_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
        return fd;
}

static bool is_served(const char *path)
{
        struct user user;

        user_of(&user, dial(path));
        if (send(user.fd, ECHO(1), sizeof ECHO(1), MSG_NOSIGNAL) < 0)
                errno = 0; /* refused already: the end is read below */
        user.wanted = 1;
        run_until_end();
        json_t *reply = pop(&user); /* who is refused is told why */
        const char *error = json_string_value(json_object_get(reply, "error"));
        bool served = !error;
        ck_assert(served || same_text(error, "io.emailsec.EmailService.Busy"));
        json_decref(reply);
        close_user(&user);
        settle();
        return served;
}

START_TEST(the_socket_is_made_and_removed)
{
        struct cause cause = { 0 };
        struct stat st;
        scoped(scoped_free) char *path = socket_path();

        ck_assert_msg(listener_open(path, &cause) == 0, "%s", cause.text);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0666);
        ck_assert(is_served(path));
        ck_assert(is_served(path));
        ck_assert_ptr_null(clients);
        ck_assert_ptr_null(budget.shares);
        listener_close();
        ck_assert_int_eq(stat(path, &st), -1);
        ck_assert_int_eq(rmdir(state_folder), 0);
}
END_TEST

START_TEST(another_daemons_socket_is_left_alone)
{
        struct cause cause = { 0 };
        scoped(scoped_free) char *path = socket_path();
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
        ck_assert_int_eq(bind(other, (const struct sockaddr *)&address, sizeof address), 0);
        ck_assert_int_eq(listen(other, 1), 0);
        ck_assert_int_eq(listener_open(path, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_STATE);
        scoped(scoped_free) char *file = folder_path("file");
        (void)close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC,
                         0600)); /* somebody's file is no socket left over */
        ck_assert_int_eq(listener_open(file, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_EXISTS);
        ck_assert_int_eq(unlink(file), 0);
        (void)close(other); /* it dies, its file stays */
        ck_assert_msg(listener_open(path, &cause) == 0, "%s", cause.text);
        ck_assert(is_served(path));
        listener_close();
        scoped(scoped_free) char *long_path = text_of("%s/%0200d", state_folder, 0);
        ck_assert_int_eq(listener_open(long_path, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_INVALID);
        ck_assert_int_eq(rmdir(state_folder), 0);
}
END_TEST

START_TEST(places_are_bounded)
{
        struct cause cause = { 0 };
        scoped(scoped_free) char *path = socket_path();
        size_t *used = &budget.used[BUDGET_CONNECTIONS], *reserve = &budget.reserve_used[BUDGET_CONNECTIONS];

        ck_assert_int_eq(listener_open(path, &cause), 0);
        *used = table[BUDGET_CONNECTIONS].whole;
        ck_assert(is_served(path)); /* we are in charge */
        *reserve = table[BUDGET_CONNECTIONS].reserve;
        ck_assert(!is_served(path));
        *used -= 1; /* what the others leave is for us as well */
        ck_assert(is_served(path));
        *used = *reserve = 0;
        listener_close();
        ck_assert_int_eq(rmdir(state_folder), 0);
}
END_TEST

/* Who has left is no client; what it said before is done. */
START_TEST(those_that_have_left)
{
        struct cause cause = { 0 };
        scoped(scoped_free) char *path = socket_path();

        ck_assert_int_eq(listener_open(path, &cause), 0);
        handled = 0;
        for (int i = 0; i < 500; i++)
                (void)close(dial(path));
        int last = dial(path);
        ck_assert_int_eq(send(last, ECHO(1), sizeof ECHO(1), MSG_NOSIGNAL), sizeof ECHO(1));
        (void)close(last);
        while (!clients)
                ready(NULL, WATCH_READ);
        ck_assert_ptr_null(clients->next);
        while (clients)
                loop_turn();
        ck_assert_uint_eq(handled, 1);
        listener_close();
        ck_assert_int_eq(rmdir(state_folder), 0);
}
END_TEST

START_TEST(out_of_descriptors_is_a_pause)
{
        struct cause cause = { 0 };
        scoped(scoped_free) char *path = socket_path();
        struct rlimit all, few;
        int places[64];
        size_t taken = 0;

        ck_assert_int_eq(listener_open(path, &cause), 0);
        int first = dial(path), second = dial(path);
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &all), 0);
        few = all;
        few.rlim_cur = (rlim_t)second + 1;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
        while (taken < count_of(places) && (places[taken] = dup(0)) >= 0)
                taken++;
        struct user user;
        user_of(&user, first);
        await_end(&user); /* told at once, instead of hanging */
        ck_assert(timer_is_set(listener.pause));
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &all), 0);
        for (size_t i = 0; i < taken; i++)
                (void)close(places[i]);
        close_user(&user);
        user_of(&user, second);
        say(&user, ECHO(1));
        expect(next_reply(&user), ECHOED(1)); /* after the pause */
        close_user(&user);
        settle();
        listener_close();
        ck_assert_int_eq(rmdir(state_folder), 0);
}
END_TEST

/* ---- the descriptions ---- */

static const struct {
        const char *name, *text;
} described[] = {
        { "io.emailsec.EmailService", io_emailsec_EmailService_text },
        { "io.emailsec.Trust", io_emailsec_Trust_text },
};

static bool is_described(const char *text, const char *what, const char *name)
{
        scoped(scoped_free) char *with_blank = text_of("\n%s %s (", what, name);
        scoped(scoped_free) char *without = text_of("\n%s %s(", what, name);

        return strstr(text, with_blank) || strstr(text, without);
}

START_TEST(the_table_is_what_is_described)
{
        for (size_t i = 0; i < count_of(described); i++) {
                size_t in_table = 0, in_text = 0, len = strlen(described[i].name);
                for (size_t m = 0; m < method_count; m++) {
                        if (strncmp(methods[m].name, described[i].name, len) != 0 ||
                            methods[m].name[len] != '.')
                                continue;
                        in_table++;
                        ck_assert_msg(is_described(described[i].text, "method", methods[m].name + len + 1),
                                      "%s", methods[m].name);
                        ck_assert_ptr_eq(method_named(methods[m].name), &methods[m]);
                        ck_assert(interface_known(methods[m].name));
                }
                for (const char *at = described[i].text; (at = strstr(at, "\nmethod ")) != NULL; at++)
                        in_text++;
                ck_assert_uint_eq(in_table, in_text);
        }
}
END_TEST

/* "name: string, secret: ?string" of the table. */
static char *signature_of(const struct method *method)
{
        struct buf out = BUF_WITH_MAX(KIB);

        for (const struct taken *taken = method->takes; taken->parameter; taken++)
                ck_assert_int_eq(buf_appendf(&out, "%s%s: %s%s", taken == method->takes ? "" : ", ",
                                             parameter_name(taken->parameter), taken->optional ? "?" : "",
                                             parameter_type(taken->parameter)),
                                 0);
        return buf_take_text(&out);
}

/* The same of the description, blanks and line ends made one blank. */
static char *described_signature(const char *text, const char *name)
{
        struct buf out = BUF_WITH_MAX(KIB);
        scoped(scoped_free) char *head = text_of("\nmethod %s(", name);
        const char *at = strstr(text, head);

        ck_assert_msg(at != NULL, "%s", name);
        at += strlen(head);
        for (size_t len = strcspn(at, ")"); len; len--, at++) {
                bool blank = *at == ' ' || *at == '\n';
                if (!blank || (at[-1] != ' ' && at[-1] != '\n'))
                        ck_assert_int_eq(buf_append(&out, blank ? " " : at, 1), 0);
        }
        return buf_take_text(&out);
}

/* What a method takes: names, types, what must be there, and the order. */
START_TEST(parameters_are_what_is_described)
{
        for (size_t m = 0; m < method_count; m++) {
                size_t i = 0, len = 0;
                for (; i < count_of(described); i++) {
                        len = strlen(described[i].name);
                        if (strncmp(methods[m].name, described[i].name, len) == 0 &&
                            methods[m].name[len] == '.')
                                break;
                }
                if (i == count_of(described))
                        continue; /* org.varlink.service is not ours */
                scoped(scoped_free) char *own = signature_of(&methods[m]);
                scoped(scoped_free) char *wanted =
                        described_signature(described[i].text, methods[m].name + len + 1);
                ck_assert_msg(strcmp(own, wanted) == 0, "%s takes (%s), described is (%s)", methods[m].name,
                              own, wanted);
        }
}
END_TEST

START_TEST(every_parameter_is_taken)
{
        bool taken[PARAMETER_COUNT] = { [PARAMETER_NONE] = true };

        for (size_t m = 0; m < method_count; m++)
                for (const struct taken *one = methods[m].takes; one->parameter; one++)
                        taken[one->parameter] = true;
        for (int i = 0; i < PARAMETER_COUNT; i++)
                ck_assert_msg(taken[i], "no method takes %s", parameter_name((enum parameter)i));
}
END_TEST

/* Whatever goes wrong, the error is one that the interface has, and so are those that the varlink service
 * has. */
START_TEST(every_error_is_described)
{
        for (size_t i = 0; i < count_of(described); i++) {
                scoped(scoped_free) char *name = text_of("%s.X", described[i].name);
                const struct method method = { .name = name };
                struct call call = { .method = &method };
                for (int code = CAUSE_NONE + 1; code < CAUSE_CODES; code++) {
                        const char *error = error_name(&call, (enum cause_code)code);
                        ck_assert_msg(is_described(described[i].text, "error", error), "%s.%s",
                                      described[i].name, error);
                }
        }
}
END_TEST

static TCase *server_tests(void)
{
        TCase *tests = tcase_create("server");

        tcase_add_checked_fixture(tests, open_all, close_all);
        tcase_add_test(tests, a_call_is_answered);
        tcase_add_test(tests, calls_come_in_any_portions);
        tcase_add_test(tests, many_calls_in_one_write_are_answered_in_order);
        tcase_add_test(tests, calls_behind_one_that_waits_wait);
        tcase_add_test(tests, one_way_calls_have_no_answer);
        tcase_add_test(tests, a_stream_has_parts_and_an_end);
        tcase_add_loop_test(tests, what_is_not_known_is_named, 0, count_of(wrong_names));
        tcase_add_test(tests, every_bad_parameter_is_told_at_once);
        tcase_add_loop_test(tests, garbage_ends_the_connection, 0, count_of(garbage));
        tcase_add_loop_test(tests, what_a_call_is_beside_its_parameters, 0, count_of(flags));
        tcase_add_test(tests, a_call_without_end_is_dropped);
        tcase_add_test(tests, the_size_of_a_call_is_that_of_its_method);
        tcase_add_test(tests, a_large_call_of_a_method_that_may_be_large);
        tcase_add_test(tests, calls_behind_a_large_one_wait_for_it);
        tcase_add_test(tests, one_that_goes_after_a_large_call);
        tcase_add_test(tests, a_large_call_that_is_none);
        tcase_add_test(tests, no_method_takes_what_it_does_not_know);
        tcase_add_test(tests, every_parameter_has_its_type);
        tcase_add_test(tests, one_that_is_dropped_while_it_is_told_ends_a_turn_later);
        tcase_add_test(tests, one_that_ends_its_side_gets_its_answers);
        tcase_add_test(tests, one_that_goes_with_calls_unread_is_seen_to_go);
        tcase_add_test(tests, a_stranger_may_submit_and_ask_who_we_are);
        tcase_add_test(tests, who_it_is);
        tcase_add_test(tests, one_that_goes_before_its_name_is_known);
        tcase_add_test(tests, a_waiting_call_is_cancelled_when_the_client_goes);
        tcase_add_test(tests, a_call_outlives_its_client);
        tcase_add_test(tests, a_slow_reader_of_a_stream_is_dropped);
        tcase_add_test(tests, one_that_asks_and_never_reads_is_not_served_on);
        tcase_add_test(tests, one_that_reads_late_gets_everything);
        tcase_add_test(tests, notices_about_one_user_are_few);
        tcase_add_test(tests, who_has_had_a_share_of_the_turn_waits_for_the_next);
        tcase_add_test(tests, who_says_nothing_makes_room);
        tcase_add_test(tests, descriptors_come_and_go);
        tcase_add_test(tests, a_descriptor_stays_with_its_call);
        tcase_add_test(tests, too_many_descriptors);
        tcase_add_test(tests, while_the_daemon_ends);
        tcase_add_test(tests, winding_down_answers_what_was_begun);
        tcase_add_test(tests, who_waits_is_told_of_the_end);
        tcase_add_test(tests, each_hears_of_the_end);
        tcase_add_test(tests, what_the_store_settles_is_answered_by_it);
        tcase_add_test(tests, closing_cancels_what_waits);
        return tests;
}

static TCase *listener_tests(void)
{
        TCase *tests = tcase_create("listener");

        tcase_add_checked_fixture(tests, open_all, close_all);
        tcase_add_test(tests, the_socket_is_made_and_removed);
        tcase_add_test(tests, another_daemons_socket_is_left_alone);
        tcase_add_test(tests, places_are_bounded);
        tcase_add_test(tests, those_that_have_left);
        tcase_add_test(tests, out_of_descriptors_is_a_pause);
        return tests;
}

int main(void)
{
        Suite *suite = suite_create("varlink_server");
        TCase *descriptions = tcase_create("descriptions");

        suite_add_tcase(suite, server_tests());
        suite_add_tcase(suite, listener_tests());
        tcase_add_test(descriptions, the_table_is_what_is_described);
        tcase_add_test(descriptions, parameters_are_what_is_described);
        tcase_add_test(descriptions, every_parameter_is_taken);
        tcase_add_test(descriptions, every_error_is_described);
        suite_add_tcase(suite, descriptions);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
