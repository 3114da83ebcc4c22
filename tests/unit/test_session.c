/* SPDX-License-Identifier: MIT */
/*
 * A session (session.h) with an engine of a protocol made for the purpose, against sockets in the same
 * thread: what is sent without being pumped, what reaches the user and when, deadlines by progress, the
 * addresses of a host one after the other, answers of workers to links that have gone.
 */
#include "daemon/session/session_parts.h"

#include "common/limits.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

/* ---- a protocol: a greeting, HELLO, then any lines; a reply is a line of its own, "*" begins others
 * ---------------- */

enum { GREETING = ENGINE_FIRST_STEP, HELLO, WORK, QUIT, STEPS };

struct toy {
        struct engine engine;
        unsigned lines;
};
static unsigned engines_made, engines_freed;

static int heard_greeting(struct engine *engine, const void *reply)
{
        const char *line = reply;

        return line[0] == '2' ? (int)HELLO : engine_fail(engine, CAUSE_SERVER_BUSY, "greeted with %s", line);
}

static void say_hello(struct engine *engine)
{
        engine_say(engine, "HELLO");
}

static int heard_hello(struct engine *engine, const void *reply)
{
        const char *line = reply;

        return line[0] == '2' ? (int)STEP_READY
                              : engine_fail(engine, CAUSE_AUTHENTICATION, "refused: %s", line);
}

static void say_work(struct engine *engine)
{
        engine_say(engine, "WORK");
}

static int heard_work(struct engine *engine, const void *reply)
{
        const char *line = reply;

        return line[0] == '2' ? (int)STEP_READY : engine_fail(engine, CAUSE_PROTOCOL, "work: %s", line);
}

static void say_quit(struct engine *engine)
{
        engine_say(engine, "QUIT");
}

static int heard_quit(unused_arg struct engine *engine, unused_arg const void *reply)
{
        return STEP_ENDED;
}

static const struct engine_step steps[STEPS] = {
        [GREETING] = { "greeting", "waiting for the greeting", 0, NULL, heard_greeting },
        [HELLO] = { "HELLO", "waiting for the answer to HELLO", 0, say_hello, heard_hello },
        [WORK] = { "WORK", "waiting for work", 0, say_work, heard_work },
        [QUIT] = { "QUIT", "waiting for the answer to QUIT", 0, say_quit, heard_quit },
};

static void toy_start(struct engine *engine, const struct engine_channel *channel)
{
        engine->channel = *channel;
        engine_go(engine, GREETING);
}

static void toy_received(struct engine *engine, const uint8_t *bytes, size_t len)
{
        struct toy *toy = container_of(engine, struct toy, engine);
        const char *line;
        ssize_t length;

        if (engine_feed(engine, bytes, len) != 0)
                return;
        while ((length = engine_next_line(engine, &line)) >= 0) {
                toy->lines++;
                if (line[0] == '+') /* asked for */
                        engine_progress(engine, (size_t)length);
                else if (line[0] != '*')
                        engine_hear(engine, line);
        }
}

static void toy_closed(struct engine *engine)
{
        (void)engine_fail(engine, CAUSE_CLOSED, "closed while %s", engine->phrase ? engine->phrase : "idle");
}

static void toy_quit(struct engine *engine)
{
        engine_go(engine, QUIT);
}

static void toy_free(struct engine *engine)
{
        engines_freed++;
        engine_done(engine);
        free(container_of(engine, struct toy, engine));
}

static const struct engine_ops toy_class = {
        .start = toy_start,
        .received = toy_received,
        .closed = toy_closed,
        .quit = toy_quit,
        .free = toy_free,
};

static struct engine *toy_new(unused_arg void *ctx)
{
        struct toy *toy = new_object(struct toy);

        engines_made++;
        engine_init(&toy->engine, &toy_class, steps, LIMIT_LINE);
        return &toy->engine;
}

/* ---- the user
 * ------------------------------------------------------------------------------------------------- */

static struct session *the_link;
static bool in_call; /* the test is in a call of its own: nobody may be called back */
static unsigned readies, ends, connects, progresses;
static struct cause end_cause;
static void (*at_ready)(void);

static void on_reached(unused_arg void *ctx, enum session_mark mark, unused_arg const struct verdict *verdict)
{
        ck_assert(!in_call);
        connects += mark == SESSION_CONNECTED;
}

static void on_ready(unused_arg void *ctx)
{
        ck_assert(!in_call);
        readies++;
        if (at_ready)
                at_ready();
}

static void on_progress(unused_arg void *ctx)
{
        ck_assert(!in_call);
        progresses++;
}

static void on_ended(unused_arg void *ctx, const struct cause *why, unused_arg const char *challenge_id)
{
        ck_assert(!in_call);
        ends++;
        end_cause = *why;
        ck_assert_ptr_nonnull(session_engine(the_link));
        session_close(take(the_link));
}

static const struct session_user user = {
        .reached = on_reached,
        .ready = on_ready,
        .progress = on_progress,
        .again = toy_new,
        .ended = on_ended,
};

static void open_link_to(const char *host, uint16_t port, unsigned seconds)
{
        struct session_plan plan = {
                .direction = "outgoing", .host = host, .port = port, .timeout_seconds = seconds
        };

        in_call = true;
        the_link = session_open(&plan, toy_new(NULL), &user, NULL);
        in_call = false;
}

/* ---- servers
 * -------------------------------------------------------------------------------------------------- */

enum { SERVERS = 3 };
static int listeners[SERVERS], peers[SERVERS];
static unsigned accepted[SERVERS];
static uint16_t port;
static const char *scripts[SERVERS]; /* what each says on being connected to; "" nothing, NULL: closes at
                                        once, "2-": after its greeting */

static int listen_on(unsigned last_byte)
{
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_port = htons(port),
                                       .sin_addr.s_addr = htonl(0x7f000000u | last_byte) };
        socklen_t len = sizeof address;
        int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
        ck_assert_int_eq(listen(fd, 10), 0);
        ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
        port = ntohs(address.sin_port);
        return fd;
}

static void tell(int fd, const char *text)
{
        ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void serve(void)
{
        for (size_t i = 0; i < SERVERS; i++) {
                int fd = accept4(listeners[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0)
                        continue;
                accepted[i]++;
                close_fd(&peers[i]);
                peers[i] = fd;
                if (!scripts[i]) {
                        close_fd(&peers[i]);
                } else if (strcmp(scripts[i], "2-") == 0) {
                        tell(fd, "200 hello\r\n");
                        (void)shutdown(fd, SHUT_RDWR);
                } else {
                        tell(fd, scripts[i]);
                }
        }
}

static void answer(int fd)
{
        char line[256];
        ssize_t len = fd < 0 ? -1 : recv(fd, line, sizeof line - 1, 0);

        if (len <= 0)
                return;
        line[len] = '\0';
        if (strstr(line, "HELLO") || strstr(line, "QUIT"))
                tell(fd, "200 yes\r\n");
}

/* One turn of everything. */
static void turn(void)
{
        struct pollfd nothing = { .fd = -1 };

        serve();
        for (size_t i = 0; i < SERVERS; i++)
                answer(peers[i]);
        loop_turn();
        (void)poll(&nothing, 0, 1);
}

#define UNTIL(condition) \
        for (int turns_ = 0; !(condition); turns_++) { \
                ck_assert_msg(turns_ < 20000, "%s", #condition); \
                turn(); \
        }

static int resolve_to_three(unused_arg const char *host, uint16_t to, struct sockaddr_storage *out,
                            unused_arg int max, unused_arg struct cause *cause)
{
        for (unsigned i = 0; i < SERVERS; i++) {
                struct sockaddr_in address = { .sin_family = AF_INET,
                                               .sin_port = htons(to),
                                               .sin_addr.s_addr = htonl(0x7f000002u + i) };
                memset(&out[i], 0, sizeof out[i]);
                memcpy(&out[i], &address, sizeof address);
        }
        return SERVERS;
}

static void setup(void)
{
        ck_assert_int_eq(loop_open(NULL), 0);
        connection_use_resolver(resolve_to_three);
        port = 0;
        for (unsigned i = 0; i < SERVERS; i++) {
                listeners[i] = listen_on(2 + i);
                peers[i] = -1;
                scripts[i] = "200 hello\r\n";
        }
}

static void teardown(void)
{
        session_close(take(the_link));
        for (int i = 0; i < 5; i++)
                loop_turn();
        loop_close();
        ck_assert_uint_eq(engines_freed, engines_made);
        ck_assert_uint_eq(sessions_open(), 0);
        for (size_t i = 0; i < SERVERS; i++) {
                close_fd(&listeners[i]);
                close_fd(&peers[i]);
        }
}

/* ---- who is called, and when
 * ---------------------------------------------------------------------------------- */

START_TEST(what_a_engine_says_is_sent_by_itself)
{
        char line[64] = "";

        open_link_to("127.0.0.2", port, 30);
        UNTIL(readies == 1);
        in_call = true;
        engine_go(session_engine(the_link), WORK);
        in_call = false;
        for (int i = 0; i < 1000 && recv(peers[0], line, sizeof line - 1, 0) <= 0; i++)
                loop_turn();
        ck_assert_str_eq(line, "WORK\r\n");
        tell(peers[0], "200 done\r\n");
        UNTIL(session_engine(the_link)->state == ENGINE_READY);
        ck_assert_uint_eq(readies, 1);
        in_call = true;
        session_quit(the_link);
        in_call = false;
        UNTIL(ends == 1);
        ck_assert_int_eq(end_cause.code, CAUSE_NONE);
        ck_assert_uint_ge(progresses, 1);
}
END_TEST

/* RFC 5321, 4.1.1.10: whoever said QUIT waits for the reply, however often it is told to go. */
START_TEST(good_bye_is_said_once_and_its_answer_awaited)
{
        char line[64] = "";

        open_link_to("127.0.0.2", port, 30);
        UNTIL(readies == 1);
        session_quit(the_link);
        for (int i = 0; i < 1000 && recv(peers[0], line, sizeof line - 1, 0) <= 0; i++)
                loop_turn();
        ck_assert_str_eq(line, "QUIT\r\n");
        session_quit(the_link);
        for (int i = 0; i < 10; i++)
                loop_turn();
        ck_assert_uint_eq(ends, 0);
        tell(peers[0], "200 bye\r\n");
        UNTIL(ends == 1);
        ck_assert_int_eq(end_cause.code, CAUSE_NONE);
}
END_TEST

START_TEST(a_engine_that_fails_in_a_call_is_told_later)
{
        open_link_to("127.0.0.2", port, 30);
        UNTIL(readies == 1);
        in_call = true;
        (void)engine_fail(session_engine(the_link), CAUSE_STORAGE, "no room");
        session_pause(the_link, true);
        session_pause(the_link, false);
        session_quit(the_link);
        in_call = false;
        ck_assert_uint_eq(ends, 0);
        UNTIL(ends == 1);
}
END_TEST

START_TEST(quitting_before_it_is_ready)
{
        open_link_to("127.0.0.2", port, 30);
        in_call = true;
        session_quit(the_link);
        in_call = false;
        UNTIL(ends == 1);
        ck_assert_int_eq(end_cause.code, CAUSE_NONE);
        ck_assert_uint_eq(readies, 0);
}
END_TEST

static void close_link(void)
{
        session_close(take(the_link));
}

static void work_and_close(void)
{
        engine_go(session_engine(the_link), WORK);
        session_quit(the_link);
        close_link();
}

START_TEST(a_link_closed_in_its_callback_says_nothing_more)
{
        at_ready = _i ? work_and_close : close_link;
        open_link_to("127.0.0.2", port, 30);
        UNTIL(readies == 1);
        for (int i = 0; i < 50; i++)
                turn();
        ck_assert_uint_eq(ends, 0);
        at_ready = NULL;
}
END_TEST

/* ---- deadlines
 * -------------------------------------------------------------------------------------------------- */

static void dribble(const char *line, int64_t for_ms)
{
        int64_t until = loop_now() + for_ms, next = 0;

        while (loop_now() < until && !ends) {
                if (loop_now() >= next && peers[0] >= 0) {
                        tell(peers[0], line);
                        next = loop_now() + 100;
                }
                turn();
        }
}

START_TEST(noise_is_no_progress)
{
        scoped(scoped_free) char *noise = text_of("* %0600d\r\n", 0);
        bool before = _i == 0;

        scripts[0] = before ? "" : "200 hello\r\n";
        open_link_to("127.0.0.2", port, 1);
        if (before) {
                UNTIL(connects == 1);
        } else {
                UNTIL(readies == 1);
                engine_go(session_engine(the_link), WORK);
        }
        int64_t since = loop_now();
        dribble(noise, 4000);
        ck_assert_uint_eq(ends, 1);
        ck_assert_int_eq(end_cause.code, CAUSE_TIMEOUT);
        ck_assert_int_lt(loop_now() - since, 3000);
}
END_TEST

START_TEST(what_was_asked_for_is_progress)
{
        scoped(scoped_free) char *piece = text_of("+%0150d\r\n", 0);

        open_link_to("127.0.0.2", port, 1);
        UNTIL(readies == 1);
        engine_go(session_engine(the_link), WORK);
        dribble(piece, 2500);
        ck_assert_uint_eq(ends, 0);
        dribble("+1\r\n", 2500); /* too little of it */
        ck_assert_uint_eq(ends, 1);
        ck_assert_int_eq(end_cause.code, CAUSE_TIMEOUT);
}
END_TEST

/* ---- the addresses of a host
 * ------------------------------------------------------------------------------------ */

static const char *const bad_scripts[] = { NULL, "421 busy\r\n", "554 no\r\n", "", "* noise\r\n", "2-" };

START_TEST(an_address_that_does_not_serve_gives_way)
{
        scripts[0] = bad_scripts[_i];
        open_link_to("pool.test", port, 2);
        UNTIL(readies == 1);
        ck_assert_uint_eq(accepted[0], 1);
        ck_assert_uint_eq(accepted[1], 1);
        ck_assert_uint_eq(ends, 0);
        ck_assert_uint_eq(engines_made, 2);
        ck_assert_str_eq(session_address(the_link), "127.0.0.3");
        ck_assert_ptr_nonnull(strstr(session_before(the_link), "127.0.0.2"));
        session_close(take(the_link));

        scripts[0] = "200 hello\r\n"; /* it serves again; but it is tried last for a while */
        open_link_to("pool.test", port, 2);
        UNTIL(readies == 2);
        ck_assert_uint_eq(accepted[0], 1);
        ck_assert_uint_eq(accepted[1], 2);
        ck_assert_ptr_null(session_before(the_link));
}
END_TEST

START_TEST(all_addresses_are_tried_and_then_it_is_over)
{
        scripts[0] = NULL;
        scripts[1] = "421 busy\r\n";
        scripts[2] = "554 no\r\n";
        open_link_to("pool.test", port, 30);
        UNTIL(ends == 1);
        ck_assert_int_eq(end_cause.code, CAUSE_SERVER_BUSY);
        ck_assert_ptr_nonnull(strstr(end_cause.text, "554"));
        for (size_t i = 0; i < SERVERS; i++)
                ck_assert_uint_eq(accepted[i], 1);
}
END_TEST

START_TEST(what_was_asked_is_not_asked_elsewhere)
{
        scripts[0] = "200 hello\r\n500 no\r\n";
        open_link_to("pool.test", port, 30);
        UNTIL(ends == 1);
        ck_assert_int_eq(end_cause.code, CAUSE_AUTHENTICATION);
        ck_assert_uint_eq(accepted[1], 0);
}
END_TEST

START_TEST(silence_everywhere_ends_in_time)
{
        for (size_t i = 0; i < SERVERS; i++)
                scripts[i] = "";
        open_link_to("pool.test", port, 2);
        int64_t since = loop_now();
        UNTIL(ends == 1);
        ck_assert_int_eq(end_cause.code, CAUSE_TIMEOUT);
        ck_assert_int_lt(loop_now() - since, 8000);
        ck_assert_uint_eq(accepted[2], 1);
}
END_TEST

/* ---- answers of workers
 * ------------------------------------------------------------------------------------------ */

struct sum {
        struct calculation calculation;
};
static sem_t go_on;
static unsigned sums_freed, sums_told;

static void sum_work(unused_arg struct calculation *calculation)
{
        (void)sem_wait(&go_on);
}

static void sum_free(struct calculation *calculation)
{
        sums_freed++;
        free(container_of(calculation, struct sum, calculation));
}

static int sum_done(struct engine *engine, unused_arg const struct calculation *calculation)
{
        sums_told++;
        return engine->step;
}

START_TEST(a_late_answer_finds_nobody)
{
        struct sum *sum = new_object(struct sum);

        sem_init(&go_on, 0, 0);
        sum->calculation = (struct calculation){ sum_work, sum_free };
        open_link_to("127.0.0.2", port, 30);
        UNTIL(readies == 1);
        (void)engine_calculate(session_engine(the_link), &sum->calculation, sum_done);
        for (int i = 0; i < 50; i++) /* begun on its thread */
                turn();
        if (_i == 0) {
                session_close(take(the_link));
        } else if (_i == 1) {
                cause_set(&end_cause, CAUSE_CLOSED, "over");
                session_end_with(the_link, &end_cause, "");
                loop_turn();
        }
        for (int i = 0; i < 5; i++)
                turn();
        sem_post(&go_on);
        UNTIL(sums_freed == 1);
        ck_assert_uint_eq(sums_told, _i == 2);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("session");
        TCase *tests = tcase_create("session");

        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_set_timeout(tests, 60);
        tcase_add_test(tests, what_a_engine_says_is_sent_by_itself);
        tcase_add_test(tests, good_bye_is_said_once_and_its_answer_awaited);
        tcase_add_test(tests, a_engine_that_fails_in_a_call_is_told_later);
        tcase_add_test(tests, quitting_before_it_is_ready);
        tcase_add_loop_test(tests, a_link_closed_in_its_callback_says_nothing_more, 0, 2);
        tcase_add_loop_test(tests, noise_is_no_progress, 0, 2);
        tcase_add_test(tests, what_was_asked_for_is_progress);
        tcase_add_loop_test(tests, an_address_that_does_not_serve_gives_way, 0, (int)count_of(bad_scripts));
        tcase_add_test(tests, all_addresses_are_tried_and_then_it_is_over);
        tcase_add_test(tests, what_was_asked_is_not_asked_elsewhere);
        tcase_add_test(tests, silence_everywhere_ends_in_time);
        tcase_add_loop_test(tests, a_late_answer_finds_nobody, 0, 3);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
