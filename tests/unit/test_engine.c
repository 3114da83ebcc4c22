/* SPDX-License-Identifier: MIT */
/* The step driver: steps, lines at every split, bounds, the gate before TLS, what is traced. */
#include "daemon/wire/engine.c"

#include <check.h>

/* ---- a small protocol: two steps, then STARTTLS, then a login ---- */

enum { STEP_GREETING = ENGINE_FIRST_STEP, STEP_HELLO, STEP_START, STEP_LOGIN, STEP_MUTE, STEPS };

static int greeting_heard(unused_arg struct engine *engine, unused_arg const void *reply)
{
        return STEP_HELLO;
}
static void say_hello(struct engine *engine)
{
        engine_say(engine, "HELLO %s", "there");
}
static int hello_heard(struct engine *engine, const void *reply)
{
        if (same_text(reply, "more"))
                return STEP_SAME;
        if (same_text(reply, "bad"))
                return engine_fail(engine, CAUSE_PROTOCOL, "said %s", (const char *)reply);
        if (same_text(reply, "broken"))
                return STEP_FAILED;
        return engine->wants_starttls && !engine->channel.tls ? STEP_START : STEP_LOGIN;
}
static void say_start(struct engine *engine)
{
        engine_say(engine, "STARTTLS");
}
static int start_heard(unused_arg struct engine *engine, unused_arg const void *reply)
{
        return STEP_HANDSHAKE;
}
static void say_login(struct engine *engine)
{
        engine_say_secret(engine, "LOGIN ***", "LOGIN geheim");
}
static unsigned freed;
static void calculation_free(unused_arg struct calculation *calculation)
{
        freed++;
}
static int worked_out(struct engine *engine, unused_arg const struct calculation *calculation)
{
        engine_say(engine, "RESULT");
        return STEP_SAME;
}
static int login_heard(struct engine *engine, const void *reply)
{
        static struct calculation calculation = { .free = calculation_free };

        if (same_text(reply, "work"))
                return engine_calculate(engine, &calculation, worked_out);
        return same_text(reply, "bye") ? STEP_ENDED : STEP_READY;
}

static const struct engine_step test_steps[STEPS] = {
        [STEP_GREETING] = { "greeting", "waiting for the greeting", 300, NULL, greeting_heard },
        [STEP_HELLO] = { "HELLO", "waiting for the answer to HELLO", 0, say_hello, hello_heard },
        [STEP_START] = { "STARTTLS", "waiting for the answer to STARTTLS", 0, say_start, start_heard },
        [STEP_LOGIN] = { "LOGIN", "waiting for the answer to LOGIN", 60, say_login, login_heard },
        [STEP_MUTE] = { "mute", "waiting", 0, NULL, NULL },
};
static const struct engine_ops test_class = { 0 };

static struct engine engine;
static char traced[4096];

static void trace(unused_arg void *ctx, char direction, const char *line, size_t len)
{
        size_t at = strlen(traced);

        (void)snprintf(traced + at, sizeof traced - at, "%c%.*s|", direction, (int)len, line);
}
static void trace_step(unused_arg void *ctx, const char *from, const char *to)
{
        size_t at = strlen(traced);

        (void)snprintf(traced + at, sizeof traced - at, "%s->%s|", from, to);
}

static void setup(void)
{
        traced[0] = '\0';
        engine_init(&engine, &test_class, test_steps, 100);
        engine.trace = trace;
}
static void teardown(void)
{
        engine_done(&engine);
}

static bool hides_pencil(const struct engine *of unused_arg, const char *line, size_t len)
{
        return memmem(line, len, "pencil", 6) != NULL;
}

static void feed(const char *bytes, size_t len)
{
        ck_assert_int_eq(engine_feed(&engine, (const uint8_t *)bytes, len), 0);
}

/* Hears every line that is there; each is a whole reply. */
static void hear_lines(void)
{
        const char *line;

        while (engine_next_line(&engine, &line) >= 0)
                engine_hear(&engine, line);
}

/* A byte in mid-life is never a NUL, so the text is what would be sent. */
static void expect_out(const char *text)
{
        ck_assert_uint_eq(engine.out.len, strlen(text));
        if (engine.out.len)
                ck_assert_mem_eq(buf_bytes(&engine.out), text, strlen(text));
        buf_clear(&engine.out);
}

/* ---- steps ---- */

START_TEST(steps_follow_what_heard_returns)
{
        engine.traced_step = trace_step;
        engine.trace = NULL;
        engine_go(&engine, STEP_GREETING);
        ck_assert_uint_eq(engine.wait, 300);
        ck_assert_str_eq(engine.phrase, "waiting for the greeting");
        feed("hi\r\n", 4);
        hear_lines();
        expect_out("HELLO there\r\n");
        ck_assert_uint_eq(engine.wait, 0);
        ck_assert(!engine.idle);
        unsigned waits = engine.waits;
        feed("more\r\nmore\r\n", 12);
        hear_lines();
        ck_assert_int_eq(engine.step, STEP_HELLO);
        ck_assert_uint_eq(engine.waits, waits + 2);
        feed("ok\r\nin\r\n", 8);
        hear_lines();
        expect_out("LOGIN geheim\r\n");
        ck_assert_int_eq(engine.state, ENGINE_READY);
        ck_assert(engine.idle);
        ck_assert_str_eq(traced, "start->greeting|greeting->HELLO|HELLO->LOGIN|LOGIN->ready|");
        engine_go(&engine, STEP_LOGIN);
        ck_assert_int_eq(engine.state, ENGINE_TALKING);
        feed("bye\n", 4);
        hear_lines();
        ck_assert_int_eq(engine.state, ENGINE_ENDED);
        feed("late\n", 5);
        hear_lines();
        engine_say(&engine, "NOOP");
        ck_assert_int_eq(engine.state, ENGINE_ENDED);
}
END_TEST

START_TEST(a_cause_made_elsewhere_keeps_its_remedy_and_no_secret)
{
        struct cause why;

        cause_set(&why, CAUSE_AUTHENTICATION, "refused: pencil");
        cause_remedy(&why, "another one");
        engine.hides = hides_pencil;
        ck_assert_int_eq(engine_fail_with(&engine, &why), STEP_FAILED);
        ck_assert_int_eq(engine.state, ENGINE_FAILED);
        ck_assert_int_eq(engine.cause->code, CAUSE_AUTHENTICATION);
        ck_assert_ptr_null(strstr(engine.cause->text, "pencil"));
        ck_assert_str_eq(engine.cause->remedy, "another one");
        cause_set(&why, CAUSE_TLS, "again");
        ck_assert_int_eq(engine_fail_with(&engine, &why), STEP_FAILED);
        ck_assert_int_eq(engine.cause->code, CAUSE_AUTHENTICATION);
}
END_TEST

START_TEST(the_first_failure_counts_and_empties_out)
{
        engine_go(&engine, STEP_HELLO);
        feed("bad\r\nok\r\n", 9);
        hear_lines();
        ck_assert_int_eq(engine.state, ENGINE_FAILED);
        ck_assert_int_eq(engine.cause->code, CAUSE_PROTOCOL);
        ck_assert_str_eq(engine.cause->text, "said bad");
        ck_assert_int_eq(engine_fail(&engine, CAUSE_TLS, "again"), STEP_FAILED);
        ck_assert_int_eq(engine.cause->code, CAUSE_PROTOCOL);
        engine_go(&engine, STEP_LOGIN);
        engine_say(&engine, "more");
        expect_out("");
        ck_assert_int_eq(engine.state, ENGINE_FAILED);
        ck_assert_int_eq(engine_feed(&engine, (const uint8_t *)"x", 1), -1);
}
END_TEST

START_TEST(a_step_that_fails_without_a_cause_gets_one)
{
        engine_go(&engine, STEP_HELLO);
        feed("broken\n", 7);
        hear_lines();
        ck_assert_int_eq(engine.cause->code, CAUSE_INTERNAL);
}
END_TEST

START_TEST(a_reply_that_nobody_awaits_is_a_violation)
{
        static const int steps_without_ears[] = { STEP_MUTE, STEP_READY };

        engine_go(&engine, steps_without_ears[_i]);
        feed("hm\n", 3);
        hear_lines();
        ck_assert_int_eq(engine.cause->code, CAUSE_PROTOCOL);
}
END_TEST

/* ---- STARTTLS ---- */

static void go_to_starttls(void)
{
        engine.wants_starttls = true;
        engine_go(&engine, STEP_HELLO);
        feed("ok\r\n", 4);
        hear_lines();
        expect_out("HELLO there\r\nSTARTTLS\r\n");
}

START_TEST(the_go_ahead_alone_leads_to_the_handshake)
{
        static const char *const go_aheads[] = { "go\r\n", "go\n" };

        go_to_starttls();
        feed(go_aheads[_i], strlen(go_aheads[_i]));
        hear_lines();
        ck_assert_int_eq(engine.state, ENGINE_WANTS_TLS);
        ck_assert(engine.injection_checked);
        engine.channel.tls = true;
        engine_go(&engine, STEP_HELLO);
        ck_assert_int_eq(engine.state, ENGINE_TALKING);
        feed("ok\r\n", 4);
        hear_lines();
        expect_out("HELLO there\r\nLOGIN geheim\r\n");
}
END_TEST

START_TEST(a_byte_beyond_the_go_ahead_is_an_attack)
{
        static const char *const injected[] = {
                "go\r\nX", "go\r\n\r\n", "go\r\n250 ok\r\n", "go\n\n", "go\r\n\n",
        };

        go_to_starttls();
        feed(injected[_i], strlen(injected[_i]));
        hear_lines();
        ck_assert_int_eq(engine.state, ENGINE_FAILED);
        ck_assert_int_eq(engine.cause->code, CAUSE_INJECTION);
        ck_assert(!engine.injection_checked);
        expect_out("");
}
END_TEST

START_TEST(a_byte_before_the_handshake_is_an_attack)
{
        const char *line;

        go_to_starttls();
        feed("go\r\n", 4);
        hear_lines();
        ck_assert_int_eq(engine_next_line(&engine, &line), -1);
        feed("250 ok\r\n", 8);
        ck_assert_int_eq(engine_next_line(&engine, &line), -2);
        ck_assert_int_eq(engine.cause->code, CAUSE_INJECTION);
}
END_TEST

START_TEST(nothing_is_said_between_go_ahead_and_handshake)
{
        go_to_starttls();
        feed("go\r\n", 4);
        hear_lines();
        engine_say(&engine, "NOOP");
        ck_assert_int_eq(engine.state, ENGINE_FAILED);
        expect_out("");
}
END_TEST

START_TEST(no_other_command_before_tls)
{
        engine.wants_starttls = true;
        if (_i == 0)
                engine_say_gated(&engine, "MAIL FROM:<%s>", "a@b");
        else
                engine_say_secret(&engine, "LOGIN ***", "LOGIN geheim");
        ck_assert_int_eq(engine.state, ENGINE_FAILED);
        ck_assert_int_eq(engine.cause->code, CAUSE_INTERNAL);
        ck_assert(!engine_may_speak(&engine));
        expect_out("");
        ck_assert_str_eq(traced, "");
}
END_TEST

START_TEST(without_starttls_or_inside_tls_the_gate_is_open)
{
        engine.wants_starttls = _i & 1;
        engine.channel.tls = _i > 0;
        engine_say_gated(&engine, "MAIL FROM:<%s>", "a@b");
        expect_out("MAIL FROM:<a@b>\r\n");
}
END_TEST

/* ---- saying ---- */

START_TEST(what_takes_long_is_awaited)
{
        freed = 0;
        engine_go(&engine, STEP_LOGIN);
        engine_hear(&engine, "work");
        struct calculation *calculation = take(engine.calculation);
        ck_assert_ptr_nonnull(calculation);
        if (_i == 1) {
                engine_hear(&engine, "impatient");
                ck_assert_int_eq(engine.state, ENGINE_FAILED);
        }
        size_t said = engine.out.len;
        engine_calculated(&engine, calculation);
        ck_assert_int_eq(engine.out.len > said, _i == 0);
        if (_i == 0)
                engine_hear(&engine, "work"); /* not taken by an owner: goes with the engine */
        engine_done(&engine);
        ck_assert_uint_eq(freed, _i == 0);
}
END_TEST

START_TEST(line_breaks_and_nul_are_never_sent)
{
        static const char *const bad[] = { "a\rb", "a\nRCPT", "\n", "x\r\n" };

        engine_say(&engine, "good");
        if (_i < 4)
                engine_say(&engine, "NAME %s", bad[_i]);
        else if (_i < 8)
                engine_say_secret(&engine, "PASS ***", bad[_i - 4]);
        else
                engine_say(&engine, "a%cb", '\0');
        ck_assert_int_eq(engine.state, ENGINE_FAILED);
        ck_assert_int_eq(engine.cause->code, CAUSE_INTERNAL);
        expect_out("");
        ck_assert_str_eq(traced, ">good|");
}
END_TEST

START_TEST(secrets_are_sent_but_not_traced)
{
        engine_say_secret(&engine, "PASS ***", "PASS %s geheim"); /* not a format */
        expect_out("PASS %s geheim\r\n");
        ck_assert_str_eq(traced, ">PASS ***|");
}
END_TEST

START_TEST(what_waits_to_be_sent_is_bounded)
{
        size_t lines = 0;

        while (engine.state == ENGINE_TALKING && lines < LIMIT_OUTPUT) {
                engine_say(&engine, "%01000d", 0);
                lines++;
        }
        ck_assert_int_eq(engine.cause->code, CAUSE_INTERNAL);
        ck_assert_uint_le(lines, LIMIT_OUTPUT / 1000);
}
END_TEST

/* ---- lines ---- */

static const struct {
        const char *bytes;
        size_t len;
        const char *lines; /* each ended by '|'; "!" = failed */
        size_t rest;
} line_cases[] = {
#define CASE(bytes, lines, rest) { bytes, sizeof bytes - 1, lines, rest }
        CASE("", "", 0),
        CASE("a\r\n", "a|", 0),
        CASE("a\n", "a|", 0),
        CASE("\r\n\n", "||", 0),
        CASE("a\r\nb\nc", "a|b|", 1),
        CASE("a\rb\r\n", "a\rb|", 0),
        CASE("a\r\r\n", "a\r|", 0),
        CASE("x\r", "", 2),
        CASE("good\r\nb\0d\r\n", "good|!", 0),
        CASE("\0\n", "!", 0),
#undef CASE
};

static void take_lines(char *told, size_t size)
{
        const char *line;
        ssize_t len;

        while ((len = engine_next_line(&engine, &line)) >= 0) {
                ck_assert_uint_eq(strlen(line), (size_t)len);
                (void)snprintf(told + strlen(told), size - strlen(told), "%s|", line);
        }
        if (len == -2 && !strchr(told, '!'))
                (void)snprintf(told + strlen(told), size - strlen(told), "!");
}

static void check_in_pieces(size_t i, size_t first, size_t step)
{
        char told[64] = "";
        size_t at = 0, piece = first;

        setup();
        while (at < line_cases[i].len) {
                if (piece > line_cases[i].len - at)
                        piece = line_cases[i].len - at;
                if (engine_feed(&engine, (const uint8_t *)line_cases[i].bytes + at, piece))
                        break;
                at += piece;
                take_lines(told, sizeof told);
                piece = step;
        }
        ck_assert_str_eq(told, line_cases[i].lines);
        if (engine.state == ENGINE_FAILED)
                ck_assert_int_eq(engine.cause->code, CAUSE_PROTOCOL);
        else
                ck_assert_uint_eq(engine.in.len, line_cases[i].rest);
        teardown();
}

START_TEST(lines_come_whole_however_they_are_split)
{
        size_t i = (size_t)_i;

        check_in_pieces(i, 1, 1);
        for (size_t first = 1; first <= line_cases[i].len; first++)
                check_in_pieces(i, first, line_cases[i].len);
        setup(); /* for the fixture's teardown */
}
END_TEST

static const struct {
        size_t len;
        const char *end;
        bool good;
} length_cases[] = {
        { 99, "\n", true },   { 100, "\n", true },    { 100, "\r\n", true },
        { 101, "\n", false }, { 101, "\r\n", false }, { 100, "\r\r\n", false },
        { 102, "", false },   { 5000, "\n", false },  { 101, "", false },
};

static void check_length(size_t i, bool dribbled)
{
        char bytes[6000];
        const char *line;
        ssize_t result = -1;
        size_t len = length_cases[i].len;

        setup();
        memset(bytes, 'x', len);
        memcpy(bytes + len, length_cases[i].end, strlen(length_cases[i].end));
        len += strlen(length_cases[i].end);
        size_t piece = dribbled ? 1 : len;
        for (size_t at = 0; at < len && result == -1; at += piece) {
                feed(bytes + at, piece);
                result = engine_next_line(&engine, &line);
        }
        if (length_cases[i].good) {
                ck_assert_int_eq(result, (ssize_t)length_cases[i].len);
        } else {
                ck_assert_int_eq(result, -2);
                ck_assert_int_eq(engine.cause->code, CAUSE_PROTOCOL);
                ck_assert_ptr_nonnull(strstr(engine.cause->text, "100 bytes"));
        }
        teardown();
}

START_TEST(a_line_has_a_bound)
{
        check_length((size_t)_i, false);
        check_length((size_t)_i, true);
        setup();
}
END_TEST

START_TEST(bytes_are_searched_once)
{
        const char *line;

        for (size_t i = 0; i < 90; i++) {
                feed("x", 1);
                ck_assert_int_eq(engine_next_line(&engine, &line), -1);
                ck_assert_uint_eq(engine.searched, i + 1);
        }
        engine_skip(&engine, 10);
        ck_assert_uint_eq(engine.searched, 0);
        feed("\n", 1);
        ck_assert_int_eq(engine_next_line(&engine, &line), 80);
        ck_assert_uint_eq(engine.searched, 0);
}
END_TEST

START_TEST(one_read_fits_beside_an_incomplete_line)
{
        static char bytes[ONE_READ];
        const char *line;
        size_t lines = 0;

        memset(bytes, '\n', sizeof bytes);
        memset(bytes, 'x', 100);
        feed(bytes, 100);
        ck_assert_int_eq(engine_next_line(&engine, &line), -1);
        feed(bytes + 100, sizeof bytes - 100);
        feed(bytes, 100);
        while (engine_next_line(&engine, &line) >= 0)
                lines++;
        ck_assert_uint_eq(lines, sizeof bytes - 100);
        ck_assert_int_eq(engine.state, ENGINE_TALKING);
        ck_assert_int_eq(engine_feed(&engine, (const uint8_t *)bytes, sizeof bytes), 0);
        ck_assert_int_eq(engine_feed(&engine, (const uint8_t *)bytes, sizeof bytes), -1);
        ck_assert_int_eq(engine.cause->code, CAUSE_PROTOCOL);
}
END_TEST

START_TEST(memory_goes_back_when_idle)
{
        const char *line;

        engine_say(&engine, "x");
        buf_consume(&engine.out, 3);
        feed("a\n", 2);
        ck_assert_int_eq(engine_next_line(&engine, &line), 1);
        engine_release(&engine);
        ck_assert_ptr_null(engine.in.memory);
        ck_assert_ptr_null(engine.out.memory);
}
END_TEST

START_TEST(lines_heard_are_traced)
{
        feed("* OK\r\nhalf", 10);
        hear_lines();
        ck_assert_str_eq(traced, "<* OK|");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("engine");
        TCase *tests = tcase_create("engine");

        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, steps_follow_what_heard_returns);
        tcase_add_test(tests, the_first_failure_counts_and_empties_out);
        tcase_add_test(tests, a_cause_made_elsewhere_keeps_its_remedy_and_no_secret);
        tcase_add_test(tests, a_step_that_fails_without_a_cause_gets_one);
        tcase_add_loop_test(tests, a_reply_that_nobody_awaits_is_a_violation, 0, 2);
        tcase_add_loop_test(tests, the_go_ahead_alone_leads_to_the_handshake, 0, 2);
        tcase_add_loop_test(tests, a_byte_beyond_the_go_ahead_is_an_attack, 0, 5);
        tcase_add_test(tests, a_byte_before_the_handshake_is_an_attack);
        tcase_add_test(tests, nothing_is_said_between_go_ahead_and_handshake);
        tcase_add_loop_test(tests, no_other_command_before_tls, 0, 2);
        tcase_add_loop_test(tests, without_starttls_or_inside_tls_the_gate_is_open, 0, 3);
        tcase_add_loop_test(tests, what_takes_long_is_awaited, 0, 2);
        tcase_add_loop_test(tests, line_breaks_and_nul_are_never_sent, 0, 9);
        tcase_add_test(tests, secrets_are_sent_but_not_traced);
        tcase_add_test(tests, what_waits_to_be_sent_is_bounded);
        tcase_add_loop_test(tests, lines_come_whole_however_they_are_split, 0, (int)count_of(line_cases));
        tcase_add_loop_test(tests, a_line_has_a_bound, 0, (int)count_of(length_cases));
        tcase_add_test(tests, bytes_are_searched_once);
        tcase_add_test(tests, one_read_fits_beside_an_incomplete_line);
        tcase_add_test(tests, memory_goes_back_when_idle);
        tcase_add_test(tests, lines_heard_are_traced);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
