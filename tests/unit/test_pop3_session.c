/* SPDX-License-Identifier: MIT */
/* The POP3 session up to READY: greeting, STLS and attacks on it, signing in, refusals, good-bye. */
#include "daemon/pop3/session.c"

#include "pop3_script.h"

/* Dialogues are laid out by hand. */
/* clang-format off */

static void quit(struct engine *engine)
{
        engine->class->quit(engine);
}

#define LINES(...) .lines = (const struct line[]){ __VA_ARGS__ { .kind = END } }
#define GREETING { S, "+OK ready\r\n", NULL }, { C, "CAPA\r\n", NULL },
#define STLS_DONE                                                                         \
        GREETING { S, "+OK\r\nSTLS\r\nSASL PLAIN\r\n.\r\n", NULL }, { C, "STLS\r\n", NULL }, \
        { S, "+OK go\r\n", NULL }, { TLS, NULL, NULL }, { C, "CAPA\r\n", NULL },

static const struct script scripts[] = {
        /* ---- greeting ---- */
        { "no sign-in, no TLS", .state = ENGINE_READY, LINES(GREETING{ S, "+OK here\r\nTOP\r\nUIDL\r\n.\r\n", NULL },) },
        { "a server without CAPA", .state = ENGINE_READY, LINES(GREETING{ S, "-ERR what\r\n", NULL },) },
        { "refused at the door", .state = ENGINE_FAILED, .cause = CAUSE_SERVER_BUSY,
          LINES({ S, "-ERR too many connections\r\n", NULL },) },
        { "a greeting without a blank", .state = ENGINE_READY,
          LINES({ S, "+OK<1896.1@dbc.example>\r\n", NULL }, { C, "CAPA\r\n", NULL }, { S, "-ERR, what\r\n", NULL },) },
        { "a greeting with a comma, errors with a plus", .state = ENGINE_READY,
          LINES({ S, "+ok, ready\r\n", NULL }, { C, "CAPA\r\n", NULL }, { S, "+ERR what\r\n", NULL },) },
        { "SMTP there", .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL, LINES({ S, "220 mx ESMTP\r\n", NULL },) },
        { "IMAP there", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES({ S, "* OK IMAP4rev1\r\n", NULL },) },
        { "garbage there", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES({ S, "hello\r\n", NULL },) },
        { "TLS there", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_TLS_MISMATCH,
          LINES({ S, "\x15\x03\x01\x02", NULL },) },
        { "cut before the greeting", .state = ENGINE_FAILED, .cause = CAUSE_CLOSED, LINES({ CLOSE, NULL, NULL },) },
        /* ---- STLS ---- */
        { "STLS", .starttls = true, .state = ENGINE_READY, LINES(STLS_DONE{ S, "+OK\r\nUIDL\r\n.\r\n", NULL },) },
        { "what was offered before TLS does not hold", .starttls = true, .user = "u", .secret = "p",
          .state = ENGINE_FAILED, .cause = CAUSE_NO_MECHANISM,
          LINES(STLS_DONE{ S, "+OK\r\nSASL GSSAPI\r\n.\r\n", NULL }, { C, "", NULL },) },
        { "not offered", .starttls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED,
          .cause = CAUSE_NO_STARTTLS,
          LINES(GREETING{ S, "+OK\r\nSASL PLAIN\r\nXSTLS\r\nSTLSX\r\n.\r\n", NULL }, { C, "", NULL },) },
        { "no CAPA, no STLS", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_NO_STARTTLS,
          LINES(GREETING{ S, "-ERR what\r\n", NULL },) },
        { "refused", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_STARTTLS_REFUSED,
          LINES(GREETING{ S, "+OK\r\nSTLS\r\n.\r\n", NULL }, { C, "STLS\r\n", NULL },
                { S, "-ERR [SYS/TEMP] not now\r\n", NULL },) },
        { "cut off", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_STARTTLS_REFUSED,
          LINES(GREETING{ S, "+OK\r\nSTLS\r\n.\r\n", NULL }, { C, "STLS\r\n", NULL }, { CLOSE, NULL, NULL },) },
        /* ---- UTF8 ---- */
        { "UTF8 before the sign-in", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ S, "+OK\r\nUTF8 USER\r\nSASL PLAIN\r\n.\r\n", NULL }, { C, "UTF8\r\n", NULL },
                { S, "+OK\r\n", NULL }, { C, "AUTH PLAIN AHUAcA==\r\n", NULL }, { S, "+OK in\r\n", NULL },) },
        { "UTF8 refused", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ S, "+OK\r\nUTF8\r\nSASL PLAIN\r\n.\r\n", NULL }, { C, "UTF8\r\n", NULL },
                { S, "-ERR [UTF8] no\r\n", NULL }, { C, "AUTH PLAIN AHUAcA==\r\n", NULL },
                { S, "+OK in\r\n", NULL },) },
        { "no UTF8 outside TLS", .starttls = true, .state = ENGINE_TALKING,
          LINES(GREETING{ S, "+OK\r\nUTF8\r\nSTLS\r\n.\r\n", NULL }, { C, "STLS\r\n", NULL },) },
        /* ---- signing in ---- */
        { "PLAIN at once", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ S, "+OK\r\nsasl plain\r\n.\r\n", NULL }, { C, "AUTH PLAIN AHUAcA==\r\n", NULL },
                { S, "+OK in\r\n", NULL },) },
        { "LOGIN mechanism", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ S, "+OK\r\nSASL LOGIN\r\n.\r\n", NULL }, { C, "AUTH LOGIN\r\n", NULL },
                { S, "+ VXNlciBOYW1lAA==\r\n", NULL }, { C, "dQ==\r\n", NULL }, { S, "+ UGFzc3dvcmQA\r\n", NULL },
                { C, "cA==\r\n", NULL }, { S, "+OK\r\n", NULL },) },
        { "LOGIN, words", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ S, "+OK\r\nUSER\r\nSASL LOGIN\r\n.\r\n", NULL },
                { C, "AUTH LOGIN\r\n", NULL },
                { S, "+ please\r\n", NULL },
                { C, "dQ==\r\n", NULL },
                { S, "+\r\n", NULL },
                { C, "cA==\r\n", NULL },
                { S, "+OK\r\n", NULL },) },
        /* ---- a second way ---- */
        { "initial response refused", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ S, "+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n", NULL },
                { C, "AUTH PLAIN AHUAcA==\r\n", NULL },
                { S, "-ERR syntax error\r\n", NULL },
                { C, "AUTH PLAIN\r\n", NULL },
                { S, "+ \r\n", NULL },
                { C, "AHUAcA==\r\n", NULL },
                { S, "+OK\r\n", NULL },) },
        { "PLAIN is broken there", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ S, "+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n", NULL },
                { C, "AUTH PLAIN AHUAcA==\r\n", NULL },
                { S, "-ERR what\r\n", NULL },
                { C, "USER u\r\n", NULL },
                { S, "+OK\r\n", NULL },
                { C, "PASS p\r\n", NULL },
                { S, "+OK\r\n", NULL },) },
        { "a wrong password is tried once", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_AUTHENTICATION,
          LINES(GREETING{ S, "+OK\r\nUSER\r\nSASL PLAIN LOGIN\r\n.\r\n", NULL },
                { C, "AUTH PLAIN AHUAcA==\r\n", NULL },
                { S, "-ERR [AUTH] x\r\n", NULL },) },
        { "CRAM-MD5 is broken there", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ S, "+OK\r\nUSER\r\nSASL CRAM-MD5 PLAIN\r\n.\r\n", NULL },
                { C, "AUTH CRAM-MD5\r\n", NULL },
                { S, "+ PDEuMkB4Pg==\r\n", NULL },
                { C, "dSBjMTM1MjliMzc0Y2I3ZGZhNDU0MjY1YTE4MGE5ODQ3MA==\r\n", NULL },
                { S, "-ERR [AUTH] no\r\n", NULL },
                { C, "AUTH PLAIN AHUAcA==\r\n", NULL },
                { S, "+OK\r\n", NULL },) },
        { "CRAM-MD5 challenge is broken", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ S, "+OK\r\nUSER\r\nSASL CRAM-MD5 PLAIN\r\n.\r\n", NULL },
                { C, "AUTH CRAM-MD5\r\n", NULL },
                { S, "+ ?\r\n", NULL },
                { C, "*\r\n", NULL },
                { S, "-ERR cancelled\r\n", NULL },
                { C, "AUTH PLAIN AHUAcA==\r\n", NULL },
                { S, "+OK\r\n", NULL },) },
        { "CRAM-MD5 and the password are wrong", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_AUTHENTICATION,
          LINES(GREETING{ S, "+OK\r\nUSER\r\nSASL CRAM-MD5 PLAIN\r\n.\r\n", NULL },
                { C, "AUTH CRAM-MD5\r\n", NULL },
                { S, "+ PDEuMkB4Pg==\r\n", NULL },
                { C, "dSBjMTM1MjliMzc0Y2I3ZGZhNDU0MjY1YTE4MGE5ODQ3MA==\r\n", NULL },
                { S, "-ERR no\r\n", NULL },
                { C, "AUTH PLAIN AHUAcA==\r\n", NULL },
                { S, "-ERR no\r\n", NULL },) },
        { "APOP only", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_NO_MECHANISM,
          LINES({ S, "+OK ready <1896.697170952@dbc.example>\r\n", NULL },
                { C, "CAPA\r\n", NULL },
                { S, "+OK\r\nTOP\r\n.\r\n", NULL },
                { C, "USER u\r\n", NULL },
                { S, "-ERR unknown command\r\n", NULL },) },
        { "APOP only, no CAPA", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_NO_MECHANISM,
          LINES({ S, "+OK <1@x>\r\n", NULL },
                { C, "CAPA\r\n", NULL },
                { S, "-ERR\r\n", NULL },
                { C, "USER u\r\n", NULL },
                { S, "-ERR\r\n", NULL },) },
        { "no APOP, and no name by that", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_AUTHENTICATION,
          LINES(GREETING{ S, "-ERR\r\n", NULL },
                { C, "USER u\r\n", NULL },
                { S, "-ERR no such user\r\n", NULL },) },
        { "USER and PASS", .tls = true, .user = "u", .secret = "p q", .state = ENGINE_READY,
          LINES(GREETING{ S, "+OK\r\nUSER\r\n.\r\n", NULL }, { C, "USER u\r\n", NULL }, { S, "+OK\r\n", NULL },
                { C, "PASS p q\r\n", NULL }, { S, "+OK\r\n", NULL },) },
        { "USER and PASS without CAPA", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ S, "-ERR\r\n", NULL }, { C, "USER u\r\n", NULL }, { S, "+OK\r\n", NULL },
                { C, "PASS p\r\n", NULL }, { S, "+OK\r\n", NULL },) },
        { "never APOP", .tls = true, .user = "u", .secret = "p", .state = ENGINE_TALKING,
          LINES({ S, "+OK ready <1896.697170952@dbc.example>\r\n", NULL }, { C, "CAPA\r\n", NULL },
                { S, "-ERR\r\n", NULL }, { C, "USER u\r\n", NULL },) },
        { "no secret outside TLS", .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_PLAINTEXT_LOGIN,
          LINES(GREETING{ S, "+OK\r\nUSER\r\n.\r\n", NULL }, { C, "", NULL },) },
        { "no line break in a user", .tls = true, .user = "u\r\nDELE 1", .secret = "p", .state = ENGINE_FAILED,
          .cause = CAUSE_INTERNAL, LINES(GREETING{ S, "+OK\r\nUSER\r\n.\r\n", NULL }, { C, "", NULL },) },
        /* ---- answers that are none ---- */
        { "an answer to nothing", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES(GREETING{ S, "-ERR\r\n", NULL }, { S, "+OK\r\n", NULL },) },
        { "go on with what", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES(GREETING{ S, "+ go on\r\n", NULL },) },
        { "a word that is no status", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES(GREETING{ S, "+OKAY\r\n", NULL },) },
        /* ---- good-bye ---- */
        { "QUIT", .tls = true, .state = ENGINE_ENDED,
          LINES(GREETING{ S, "-ERR\r\n", NULL }, { DO, NULL, quit }, { C, "QUIT\r\n", NULL },
                { S, "+OK bye\r\n", NULL },) },
        { "QUIT answered by the end", .tls = true, .state = ENGINE_ENDED,
          LINES(GREETING{ S, "-ERR\r\n", NULL }, { DO, NULL, quit }, { C, "QUIT\r\n", NULL }, { CLOSE, NULL, NULL },) },
};

START_TEST(scripts_play)
{
        play_every_way(&scripts[_i]);
}
END_TEST

/* S1, S5: bytes beyond the go-ahead, and answers to what has not left yet, in one portion. */
static const struct {
        const char *name, *first, *second;
        enum cause_code cause;
} injections[] = {
        { "a line beyond", "", "+OK go\r\n+OK\r\nSASL PLAIN\r\n", CAUSE_INJECTION },
        { "one byte beyond", "", "+OK go\r\n+", CAUSE_INJECTION },
        { "only a line end beyond", "", "+OK go\r\n\n", CAUSE_INJECTION },
        { "an answer to what is not sent", "+OK go\r\n", "", CAUSE_INJECTION },
};

START_TEST(injections_end_the_session)
{
        struct script script = { .name = injections[_i].name, .starttls = true };
        struct play play = { .told = BUF_WITH_MAX(KIB), .sent = BUF_WITH_MAX(KIB) };
        char *text = text_of("+OK\r\nSTLS\r\n.\r\n%s", injections[_i].first);

        play.engine = play_new(&script, &play);
        play.engine->class->start(play.engine, &(struct engine_channel){ .tls = false });
        play_server(&play, "+OK hi\r\n", 0);
        play_server(&play, text, 0);
        play_server(&play, injections[_i].second, 0);
        ck_assert_int_eq(play.engine->state, ENGINE_FAILED);
        ck_assert_msg(play.engine->cause->code == injections[_i].cause, "%s: %s", script.name, play.engine->cause->text);
        play.engine->class->free(play.engine);
        buf_free(&play.sent);
        free(text);
}
END_TEST

static const struct {
        const char *reply;
        enum cause_code cause;
} login_refusals[] = {
        { "-ERR nope", CAUSE_AUTHENTICATION },
        { "-ERR", CAUSE_AUTHENTICATION },
        { "-ERR [AUTH] nope", CAUSE_AUTHENTICATION },
        { "-ERR [SYS/TEMP] later", CAUSE_AUTH_TEMPORARY },
        { "-ERR [SYS/PERM] no mailbox", CAUSE_MAILBOX },
        { "-ERR [in-use] later", CAUSE_SERVER_BUSY },
        { "-ERR [LOGIN-DELAY] later", CAUSE_SERVER_BUSY },
        { "-ERR maildrop already locked", CAUSE_SERVER_BUSY },
        { "ERR", CAUSE_PROTOCOL },
};

START_TEST(login_refusals_are_understood)
{
        char *reply = text_of("%s\r\n", login_refusals[_i].reply);
        struct line lines[] = {
                { S, "+OK\r\n", NULL },  { S, "-ERR\r\n", NULL }, { C, "CAPA\r\nUSER u\r\n", NULL },
                { S, "+OK\r\n", NULL },  { C, "PASS p\r\n", NULL }, { S, reply, NULL }, { END, NULL, NULL },
        };
        struct script script = { .name = reply, .tls = true, .user = "u", .secret = "p", .lines = lines,
                                 .state = ENGINE_FAILED, .cause = login_refusals[_i].cause };

        play_every_way(&script);
        free(reply);
}
END_TEST

static void keep_trace(void *ctx, char direction, const char *line, size_t len)
{
        ck_assert_int_eq(buf_appendf(ctx, "%c%.*s\n", direction, (int)len, line), 0);
}

/* S38: neither trace nor cause shows what signs in, even when the server repeats it. */
START_TEST(secrets_are_not_shown)
{
        static const struct {
                const char *offer, *between, *echo;
        } cases[] = {
                { "USER", "+OK\r\n", "canary" },
                { "SASL PLAIN", "", "AHUAY2FuYXJ5" },
                { "SASL LOGIN", "+ VXNlciBOYW1lAA==\r\n+ UGFzc3dvcmQA\r\n", "Y2FuYXJ5" },
        };
        for (size_t i = 0; i < count_of(cases); i++) {
                struct script script = { .tls = true, .user = "u", .secret = "canary" };
                struct play play = { .told = BUF_WITH_MAX(KIB), .sent = BUF_WITH_MAX(KIB) };
                struct buf trace = BUF_WITH_MAX(4 * KIB);
                char *offer = text_of("+OK\r\n%s\r\n.\r\n", cases[i].offer);
                char *refusal = text_of("-ERR I do not like %s\r\n", cases[i].echo);

                play.engine = play_new(&script, &play);
                play.engine->trace = keep_trace;
                play.engine->trace_ctx = &trace;
                play.engine->class->start(play.engine, &(struct engine_channel){ .tls = true });
                play_server(&play, "+OK\r\n", 0);
                play_server(&play, offer, 0);
                play_server(&play, cases[i].between, SIZE_MAX);
                play_server(&play, refusal, 0);
                ck_assert_msg(play.engine->cause->code == CAUSE_AUTHENTICATION, "%s", play.engine->cause->text);
                ck_assert_ptr_null(strstr(play.engine->cause->text, cases[i].echo));
                char *sent = buf_take_text(&play.sent), *traced = buf_take_text(&trace);
                ck_assert_ptr_nonnull(strstr(sent, cases[i].echo));
                ck_assert_msg(!strstr(traced, cases[i].echo), "%s", traced);
                ck_assert_ptr_nonnull(strstr(traced, "<***"));
                free(sent);
                free(traced);
                free(offer);
                free(refusal);
                play.engine->class->free(play.engine);
        }
}
END_TEST

/* RFC 5034 section 4: a command line over 255 bytes goes without its initial response. */
START_TEST(long_initial_responses_wait)
{
        char secret[400];
        struct script script = { .name = "long", .tls = true, .user = "u", .secret = secret };
        struct play play = { .told = BUF_WITH_MAX(KIB), .sent = BUF_WITH_MAX(4 * KIB) };

        memset(secret, 's', sizeof secret - 1);
        secret[sizeof secret - 1] = '\0';
        play.engine = play_new(&script, &play);
        play.engine->class->start(play.engine, &(struct engine_channel){ .tls = true });
        play_server(&play, "+OK\r\n", 0);
        play_server(&play, "+OK\r\nSASL PLAIN\r\n.\r\n", 0);
        play_client(&play, &script, "CAPA\r\nAUTH PLAIN\r\n");
        play_server(&play, "+ \r\n", 0);
        ck_assert_uint_gt(play.sent.len, 500);
        play_server(&play, "+OK\r\n", 0);
        ck_assert_int_eq(play.engine->state, ENGINE_READY);
        play.engine->class->free(play.engine);
        buf_free(&play.sent);
}
END_TEST

START_TEST(input_is_bounded)
{
        struct script script = { .tls = true };
        struct play play = { .told = BUF_WITH_MAX(KIB), .sent = BUF_WITH_MAX(KIB) };
        char *line = new_zeroed(LIMIT_LINE + 2, 1);

        memset(line, 'x', LIMIT_LINE + 1);
        play.engine = play_new(&script, &play);
        play.engine->class->start(play.engine, &(struct engine_channel){ .tls = true });
        play_server(&play, line, 1000);
        ck_assert_int_eq(play.engine->cause->code, CAUSE_PROTOCOL);
        play.engine->class->free(play.engine);
        free(line);
        play.engine = play_new(&script, &play);
        play.engine->class->start(play.engine, &(struct engine_channel){ .tls = true });
        play_server(&play, "+OK\r\n", 0);
        play_server(&play, "+OK\r\n", 0);
        for (unsigned i = 0; i <= LIMIT_CAPABILITIES; i++)
                play_server(&play, "X\r\n", 0);
        ck_assert_int_eq(play.engine->cause->code, CAUSE_PROTOCOL);
        play.engine->class->free(play.engine);
        buf_free(&play.sent);
}
END_TEST

START_TEST(every_step_has_a_row)
{
        for (int step = ENGINE_FIRST_STEP; step < POP3_STEPS; step++) {
                ck_assert_ptr_nonnull(steps[step].name);
                ck_assert_ptr_nonnull(steps[step].phrase);
                ck_assert_ptr_nonnull((const void *)(uintptr_t)steps[step].heard);
        }
}
END_TEST

START_TEST(random_servers_do_no_harm)
{
        static const char *const bits[] = { "+OK\r\n", "-ERR\r\n", ".\r\n", "SASL PLAIN LOGIN\r\n", "STLS\r\n", "+ \r\n",
                                            "..\r\n", "+", "\r", "\n", "USER\r\n", "\xff", "SASL\r\n", "+ VXNlcg==\r\n" };
        uint64_t random = 0x13198a2e03707344u;

        for (unsigned run = 0; run < 3000; run++) {
                struct script script = { .tls = run & 1, .starttls = !(run & 1), .user = "u", .secret = "p" };
                struct play play = { .told = BUF_WITH_MAX(MIB), .sent = BUF_WITH_MAX(MIB) };
                play.engine = play_new(&script, &play);
                play.engine->class->start(play.engine, &(struct engine_channel){ .tls = script.tls });
                for (unsigned i = 0; i < 16; i++) {
                        random = random * 6364136223846793005u + 1442695040888963407u;
                        play_server(&play, bits[(random >> 33) % count_of(bits)], (size_t)(random >> 40) % 8);
                }
                if (play.engine->state != ENGINE_FAILED)
                        play.engine->class->closed(play.engine);
                play.engine->class->free(play.engine);
                buf_free(&play.sent);
        }
}
END_TEST

START_TEST(every_step_has_its_row)
{
        for (int step = ENGINE_FIRST_STEP; step < POP3_STEPS; step++)
                ck_assert_msg(steps[step].name && steps[step].phrase && steps[step].heard, "%d", step);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("pop3_session");
        TCase *all = tcase_create("all");

        tcase_add_test(all, every_step_has_its_row);
        tcase_add_loop_test(all, scripts_play, 0, (int)count_of(scripts));
        tcase_add_loop_test(all, injections_end_the_session, 0, (int)count_of(injections));
        tcase_add_loop_test(all, login_refusals_are_understood, 0, (int)count_of(login_refusals));
        tcase_add_test(all, secrets_are_not_shown);
        tcase_add_test(all, long_initial_responses_wait);
        tcase_add_test(all, input_is_bounded);
        tcase_add_test(all, every_step_has_a_row);
        tcase_add_test(all, random_servers_do_no_harm);
        suite_add_tcase(suite, all);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
