/* SPDX-License-Identifier: MIT */
/* From the greeting to READY: scripts fed whole, byte by byte and cut everywhere; the attacks on STARTTLS. */
#include "daemon/smtp/session.c"
#include "smtp_script.h"

enum { TLS = 1, STARTTLS = 2, USER = 4, IN_CLEAR = 8, LMTP = 16, DOMAIN = 32 };

#define EHLO "S:220 mail.example ESMTP", "C:EHLO me.example"
#define LHLO "S:220 here LMTP", "C:LHLO me.example"
#define CRAM \
        "C:AUTH CRAM-MD5", "S:334 PDEuMkB4Pg==", "C:YW5uIDA0NzViMzQyZjVjMGQ3ZDNlYTI2OTA1NDA1MzY4NGJh", \
                "S:535 5.7.8 no"
#define PLAIN_LINE "C:AUTH PLAIN AGFubgBwZW5jaWw="

/* clang-format off */
static const struct {
        const char *name;
        unsigned how;
        const char *mechanism;
        const char *lines[SCRIPT_LINES];
        enum engine_state end;
        enum cause_code code;
        const char *word; /* in the cause's sentence */
} talks[] = {
        { "no sign-in", TLS, "auto", { EHLO, "S:250 mail.example" }, ENGINE_READY, 0, "" },
        { "greeting of lines", TLS, "auto", { "s:220-a\n220-b\n220 c\n", "C:EHLO me.example", "S:250 x" }, ENGINE_READY, 0, "" },
        { "HELO", TLS, "auto", { EHLO, "S:502 what", "C:HELO me.example", "S:250 x" }, ENGINE_READY, 0, "" },
        { "HELO in clear", 0, "auto", { EHLO, "S:500 what", "C:HELO me.example", "S:250 x" }, ENGINE_READY, 0, "" },
        { "HELO refused", TLS, "auto", { EHLO, "S:500 x", "C:HELO me.example", "S:500 y" }, ENGINE_FAILED, CAUSE_PROTOCOL, "both" },
        { "EHLO for now", TLS, "auto", { EHLO, "S:451 x" }, ENGINE_FAILED, CAUSE_SERVER_BUSY, "451 x" },
        { "HELO cannot sign in", TLS | USER, "auto", { EHLO, "S:502 what" }, ENGINE_FAILED, CAUSE_NO_MECHANISM, "sign in" },
        { "PLAIN", TLS | USER, "auto", { EHLO, "s:250-x\n250-AUTH LOGIN PLAIN\n250 SIZE\n", PLAIN_LINE, "S:235 2.7.0 in" }, ENGINE_READY, 0, "" },
        { "initial response overlooked", TLS | USER, "plain", { EHLO, "s:250-x\n250 AUTH PLAIN\n", PLAIN_LINE, "S:334 ", "C:AGFubgBwZW5jaWw=", "S:235 in" }, ENGINE_READY, 0, "" },
        { "LOGIN", TLS | USER, "login", { EHLO, "s:250-x\n250 AUTH LOGIN\n", "C:AUTH LOGIN", "S:334 VXNlcm5hbWU6", "C:YW5u",
          "S:334 UGFzc3dvcmQ6", "C:cGVuY2ls", "S:235 in" }, ENGINE_READY, 0, "" },
        { "LOGIN, words", TLS | USER, "login", { EHLO, "s:250-x\n250 AUTH LOGIN\n", "C:AUTH LOGIN", "S:334 please enter your name",
          "C:YW5u", "S:334", "C:cGVuY2ls", "S:235 in" }, ENGINE_READY, 0, "" },
        { "LOGIN asks a third time", TLS | USER, "login", { EHLO, "s:250-x\n250 AUTH LOGIN\n", "C:AUTH LOGIN", "S:334 a", "C:YW5u", "S:334 b",
          "C:cGVuY2ls", "S:334 and?", "C:*", "S:501 x" }, ENGINE_FAILED, CAUSE_PROTOCOL, "more than" },
        /* a second way */
        { "CRAM-MD5 is broken there", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH CRAM-MD5 PLAIN LOGIN\n", CRAM, PLAIN_LINE, "S:235 in" },
          ENGINE_READY, 0, "" },
        { "CRAM-MD5 and the password are wrong", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH CRAM-MD5 PLAIN LOGIN\n", CRAM, PLAIN_LINE,
          "S:535 5.7.8 wrong" }, ENGINE_FAILED, CAUSE_AUTHENTICATION, "wrong" },
        { "not in clear", USER, "auto", { EHLO, "s:250-x\n250 AUTH CRAM-MD5 PLAIN LOGIN\n", CRAM }, ENGINE_FAILED, CAUSE_AUTHENTICATION, "no" },
        { "not in clear, as wished either", USER | IN_CLEAR, "auto", { EHLO, "s:250-x\n250 AUTH CRAM-MD5 PLAIN LOGIN\n", CRAM }, ENGINE_FAILED,
          CAUSE_AUTHENTICATION, "no" },
        { "CRAM-MD5 as set, and no other", TLS | USER, "cram-md5", { EHLO, "s:250-x\n250 AUTH CRAM-MD5 PLAIN LOGIN\n", CRAM }, ENGINE_FAILED,
          CAUSE_AUTHENTICATION, "no" },
        { "CRAM-MD5 challenge is broken", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH CRAM-MD5 PLAIN\n", "C:AUTH CRAM-MD5", "S:334 ?", "C:*",
          "S:501 x", PLAIN_LINE, "S:235 in" }, ENGINE_READY, 0, "" },
        { "no initial response", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN LOGIN\n", PLAIN_LINE, "S:501 5.5.4 syntax", "C:AUTH PLAIN",
          "S:334 ", "C:AGFubgBwZW5jaWw=", "S:235 in" }, ENGINE_READY, 0, "" },
        { "no initial response, no PLAIN", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN LOGIN\n", PLAIN_LINE, "S:501 what", "C:AUTH PLAIN",
          "S:504 no", "C:AUTH LOGIN", "S:334 x", "C:YW5u", "S:334 y", "C:cGVuY2ls", "S:235 in" }, ENGINE_READY, 0, "" },
        { "nothing works", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN LOGIN\n", PLAIN_LINE, "S:501 what", "C:AUTH PLAIN", "S:504 no",
          "C:AUTH LOGIN", "S:504 no more" }, ENGINE_FAILED, CAUSE_NO_MECHANISM, "" },
        { "closed at the second", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH CRAM-MD5 PLAIN LOGIN\n", CRAM, PLAIN_LINE, "CLOSE" }, ENGINE_FAILED,
          CAUSE_AUTHENTICATION, "535 5.7.8 no" },
        { "421 at the second", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH CRAM-MD5 PLAIN LOGIN\n", CRAM, PLAIN_LINE, "S:421 4.7.0 bye" },
          ENGINE_FAILED, CAUSE_AUTHENTICATION, "535 5.7.8 no" },
        { "too many connections is no matter of the mechanism", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH CRAM-MD5 PLAIN\n", "C:AUTH CRAM-MD5",
          "S:334 PDEuMkB4Pg==", "C:YW5uIDA0NzViMzQyZjVjMGQ3ZDNlYTI2OTA1NDA1MzY4NGJh", "S:535 too many concurrent connections" }, ENGINE_FAILED,
          CAUSE_SERVER_BUSY, "many" },
        { "old AUTH=", TLS | USER, "login", { EHLO, "s:250-x\n250 AUTH=LOGIN\n", "C:AUTH LOGIN" }, ENGINE_TALKING, 0, "" },
        { "bad base64 is cancelled", TLS | USER, "cram-md5", { EHLO, "s:250-x\n250 AUTH CRAM-MD5\n", "C:AUTH CRAM-MD5", "S:334 what?", "C:*",
          "S:501 cancelled" }, ENGINE_FAILED, CAUSE_PROTOCOL, "base64" },
        { "empty XOAUTH2 answer", TLS | USER, "xoauth2", { EHLO, "s:250-x\n250 AUTH XOAUTH2\n",
          "C:AUTH XOAUTH2 dXNlcj1hbm4BYXV0aD1CZWFyZXIgcGVuY2lsAQE=", "S:334 eyJzdGF0dXMiOiI0MDAifQ==", "C:", "S:535 5.7.8 no" },
          ENGINE_FAILED, CAUSE_AUTHENTICATION, "5.7.8" },
        { "refused", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN\n", PLAIN_LINE, "S:535 5.7.8 wrong" }, ENGINE_FAILED, CAUSE_AUTHENTICATION, "535 5.7.8 wrong" },
        { "534", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN\n", PLAIN_LINE, "S:534 5.7.9 app password" }, ENGINE_FAILED, CAUSE_AUTHENTICATION, "5.7.9" },
        { "432 is for a person", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN\n", PLAIN_LINE, "S:432 4.7.12 transition" }, ENGINE_FAILED, CAUSE_AUTHENTICATION, "4.7.12" },
        { "454", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN\n", PLAIN_LINE, "S:454 4.7.0 later" }, ENGINE_FAILED, CAUSE_AUTH_TEMPORARY, "later" },
        { "421 to AUTH", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN\n", PLAIN_LINE, "S:421 4.7.0 bye" }, ENGINE_FAILED, CAUSE_SERVER_BUSY, "bye" },
        { "250 to AUTH", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN\n", PLAIN_LINE, "S:250 fine" }, ENGINE_FAILED, CAUSE_PROTOCOL, "250" },
        { "the secret comes back", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN\n", PLAIN_LINE, "S:535 pencil is wrong" }, ENGINE_FAILED, CAUSE_AUTHENTICATION, "left out" },
        { "its base64 comes back", TLS | USER, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN\n", PLAIN_LINE, "S:535 what is AGFubgBwZW5jaWw=" }, ENGINE_FAILED, CAUSE_AUTHENTICATION, "left out" },
        { "success without SCRAM's signature", TLS | USER, "scram-sha-256", { EHLO, "s:250-x\n250 AUTH SCRAM-SHA-256\n", "S:235 in" }, ENGINE_FAILED, CAUSE_SERVER_SIGNATURE, "proving" },
        { "no AUTH", TLS | USER, "auto", { EHLO, "S:250 x" }, ENGINE_FAILED, CAUSE_NO_MECHANISM, "no way" },
        { "no AUTH in clear", USER, "auto", { EHLO, "S:250 x" }, ENGINE_FAILED, CAUSE_NO_MECHANISM, "no way" },
        { "PLAIN in clear", USER, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN\n" }, ENGINE_FAILED, CAUSE_PLAINTEXT_LOGIN, "no TLS" },
        { "PLAIN in clear as wished", USER | IN_CLEAR, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN\n", PLAIN_LINE, "S:235 in" }, ENGINE_READY, 0, "" },
        { "quit", TLS, "auto", { EHLO, "S:250 x", "QUIT", "C:QUIT", "S:221 bye" }, ENGINE_ENDED, 0, "" },
        { "quit, closed without a word", TLS, "auto", { EHLO, "S:250 x", "QUIT", "C:QUIT", "CLOSE" }, ENGINE_ENDED, 0, "" },
        { "quit, 421", TLS, "auto", { EHLO, "S:250 x", "QUIT", "C:QUIT", "S:421 bye" }, ENGINE_ENDED, 0, "" },
        /* servers that are none, or not now */
        { "554 greeting", TLS, "auto", { "S:554 5.7.1 blocked" }, ENGINE_FAILED, CAUSE_CONNECT, "blocked" },
        { "421 greeting", TLS, "auto", { "S:421 too many" }, ENGINE_FAILED, CAUSE_SERVER_BUSY, "too many" },
        { "450 greeting", TLS, "auto", { "S:450 later" }, ENGINE_FAILED, CAUSE_SERVER_BUSY, "later" },
        { "250 greeting", TLS, "auto", { "S:250 hm", "C:EHLO me.example", "S:250 x" }, ENGINE_READY, 0, "" },
        { "350 greeting", TLS, "auto", { "S:350 hm" }, ENGINE_FAILED, CAUSE_PROTOCOL, "greeting" },
        { "greeting that becomes a refusal", TLS, "auto", { "s:220-x\n521 5.7.1 blocked\n" }, ENGINE_FAILED, CAUSE_CONNECT, "521 5.7.1" },
        { "greeting of two replies", TLS, "auto", { EHLO, "S:220 and more", "S:250 x" }, ENGINE_READY, 0, "" },
        { "empty lines", TLS, "auto", { "s:\n220 x\n", "C:EHLO me.example", "s:\n250-x\n\n250 SIZE\n" }, ENGINE_READY, 0, "" },
        { "our name", TLS | DOMAIN, "auto", { EHLO, "S:504 5.5.2 need fully-qualified hostname", "C:EHLO site.example", "S:250 x" }, ENGINE_READY, 0, "" },
        { "our name, then HELO", TLS | DOMAIN, "auto", { EHLO, "S:550 5.5.0 invalid", "C:EHLO site.example", "S:550 5.5.0 invalid", "C:HELO me.example",
          "S:501 x", "C:HELO site.example", "S:250 x" }, ENGINE_READY, 0, "" },
        { "no name is taken", TLS | USER | DOMAIN, "auto", { EHLO, "S:504 helo", "C:EHLO site.example", "S:504 helo" }, ENGINE_FAILED, CAUSE_NAME_REFUSED, "504" },
        { "IMAP", TLS, "auto", { "S:* OK IMAP4rev1" }, ENGINE_FAILED, CAUSE_PROTOCOL, "IMAP" },
        { "POP3", TLS, "auto", { "S:+OK ready" }, ENGINE_FAILED, CAUSE_PROTOCOL, "POP3" },
        { "TLS alert on a plain port", 0, "auto", { "s:\x15\x03\x01" }, ENGINE_FAILED, CAUSE_TLS_MISMATCH, "TLS" },
        { "garbage", TLS, "auto", { "S:hello" }, ENGINE_FAILED, CAUSE_PROTOCOL, "hello" },
        { "closed in greeting", TLS, "auto", { "CLOSE" }, ENGINE_FAILED, CAUSE_CLOSED, "greeting" },
        { "closed in EHLO", TLS, "auto", { EHLO, "s:250-x", "CLOSE" }, ENGINE_FAILED, CAUSE_CLOSED, "EHLO" },
        { "closed when idle", TLS, "auto", { EHLO, "S:250 x", "CLOSE" }, ENGINE_ENDED, 0, "" },
        { "421 when idle", TLS, "auto", { EHLO, "S:250 x", "S:421 4.3.2 going down" }, ENGINE_FAILED, CAUSE_SERVER_BUSY, "going down" },
        { "idle too long", TLS, "auto", { EHLO, "S:250 x", "S:421 4.4.2 timeout" }, ENGINE_ENDED, 0, "" },
        { "out of turn", TLS, "auto", { EHLO, "S:250 x", "S:250 and more" }, ENGINE_ENDED, 0, "" },
        /* LMTP */
        { "LMTP", LMTP, "auto", { LHLO, "s:250-here\n250-PIPELINING\n250 CHUNKING\n" }, ENGINE_READY, 0, "" },
        { "LMTP, no HELO", LMTP, "auto", { LHLO, "S:500 what" }, ENGINE_FAILED, CAUSE_PROTOCOL, "LMTP" },
        { "LMTP, 502", LMTP, "auto", { LHLO, "S:502 5.5.1 EHLO only" }, ENGINE_FAILED, CAUSE_PROTOCOL, "502" },
        { "LMTP for now", LMTP, "auto", { LHLO, "S:451 x" }, ENGINE_FAILED, CAUSE_SERVER_BUSY, "451 x" },
        { "LMTP quit", LMTP, "auto", { LHLO, "S:250 x", "QUIT", "C:QUIT", "S:221 bye" }, ENGINE_ENDED, 0, "" },
        /* STARTTLS */
        { "STARTTLS", STARTTLS, "auto", { EHLO, "s:250-x\n250 STARTTLS\n", "C:STARTTLS", "S:220 go", "TLS", "C:EHLO me.example", "S:250 x" }, ENGINE_READY, 0, "" },
        { "STARTTLS and sign-in", STARTTLS | USER, "auto", { EHLO, "s:250-x\n250-AUTH LOGIN\n250 STARTTLS\n", "C:STARTTLS", "S:220 go", "TLS",
          "C:EHLO me.example", "s:250-x\n250 AUTH PLAIN\n", PLAIN_LINE, "S:235 in" }, ENGINE_READY, 0, "" },
        { "AUTH of before TLS", STARTTLS | USER, "auto", { EHLO, "s:250-x\n250-AUTH PLAIN\n250 STARTTLS\n", "C:STARTTLS", "S:220 go", "TLS",
          "C:EHLO me.example", "S:250 x" }, ENGINE_FAILED, CAUSE_NO_MECHANISM, "no way" },
        { "stripped", STARTTLS, "auto", { EHLO, "s:250-x\n250 SIZE\n" }, ENGINE_FAILED, CAUSE_NO_STARTTLS, "STARTTLS" },
        { "stripped, sign-in", STARTTLS | USER | IN_CLEAR, "auto", { EHLO, "s:250-x\n250 AUTH PLAIN\n" }, ENGINE_FAILED, CAUSE_NO_STARTTLS, "STARTTLS" },
        { "HELO only", STARTTLS, "auto", { EHLO, "S:502 what" }, ENGINE_FAILED, CAUSE_NO_STARTTLS, "STARTTLS" },
        { "refused for now", STARTTLS, "auto", { EHLO, "s:250-x\n250 STARTTLS\n", "C:STARTTLS", "S:454 no key" }, ENGINE_FAILED, CAUSE_STARTTLS_REFUSED, "no key" },
        { "refused for ever", STARTTLS, "auto", { EHLO, "s:250-x\n250 STARTTLS\n", "C:STARTTLS", "S:502 no" }, ENGINE_FAILED, CAUSE_STARTTLS_REFUSED, "502 no" },
        { "250 in place of 220", STARTTLS, "auto", { EHLO, "s:250-x\n250 STARTTLS\n", "C:STARTTLS", "S:250 go" }, ENGINE_FAILED, CAUSE_PROTOCOL, "250 go" },
        { "cut off", STARTTLS, "auto", { EHLO, "s:250-x\n250 STARTTLS\n", "C:STARTTLS", "CLOSE" }, ENGINE_FAILED, CAUSE_STARTTLS_REFUSED, "STARTTLS" },
        { "cut off after go", STARTTLS, "auto", { EHLO, "s:250-x\n250 STARTTLS\n", "C:STARTTLS", "S:220 go", "CLOSE" }, ENGINE_FAILED, CAUSE_CLOSED, "handshake" },
        { "injected line", STARTTLS, "auto", { EHLO, "s:250-x\n250 STARTTLS\n", "C:STARTTLS", "s:220 go\n250 evil\n" }, ENGINE_FAILED, CAUSE_INJECTION, "" },
        { "injected byte", STARTTLS, "auto", { EHLO, "s:250-x\n250 STARTTLS\n", "C:STARTTLS", "s:220 go\nX" }, ENGINE_FAILED, CAUSE_INJECTION, "1 byte" },
        { "injected 421", STARTTLS, "auto", { EHLO, "s:250-x\n250 STARTTLS\n", "C:STARTTLS", "s:220 go\n421 x\n" }, ENGINE_FAILED, CAUSE_INJECTION, "" },
        { "injected later", STARTTLS, "auto", { EHLO, "s:250-x\n250 STARTTLS\n", "C:STARTTLS", "S:220 go", "s:2" }, ENGINE_FAILED, CAUSE_INJECTION, "1 byte" },
        { "bare LF go-ahead and more", STARTTLS, "auto", { EHLO, "s:250-x\n250 STARTTLS\n", "C:STARTTLS", "S:220 go\n" }, ENGINE_FAILED, CAUSE_INJECTION, "" },
};
/* clang-format on */

/* Answers that come with the greeting: only where they come in one piece is that to be seen. */
static const struct {
        const char *greeting;
        unsigned how;
        enum cause_code code;
} early[] = {
        { "s:220 x\n250 STARTTLS\n", 0, CAUSE_INJECTION },
        { "s:220 x\n250-x\n250 STARTTLS\n220 go\n", STARTTLS, CAUSE_INJECTION },
        { "s:220 x\n2", 0, CAUSE_INJECTION },
        { "s:220 x\n421 no\n", 0, CAUSE_SERVER_BUSY },
};

static struct smtp_config config_of(unsigned how, const char *mechanism)
{
        return (struct smtp_config){
                .signin = { .user = how & USER ? "ann" : NULL,
                            .secret = "pencil",
                            .mechanism = mechanism,
                            .allow_plaintext = how & IN_CLEAR,
                            .service = "smtp",
                            .host = "mail.example",
                            .port = 587 },
                .starttls = how & STARTTLS,
                .hello = "me.example",
                .domain = how & DOMAIN ? "site.example" : NULL,
                .lmtp = how & LMTP,
        };
}

static void run_talk(int i, size_t cut)
{
        struct smtp_config config = config_of(talks[i].how, talks[i].mechanism);
        struct script_run run;

        script_start(&run, talks[i].name, &config, talks[i].how & TLS, cut);
        for (size_t line = 0; talks[i].lines[line]; line++)
                script_line(&run, talks[i].lines[line]);
        ck_assert_msg(run.engine->state == talks[i].end && run.engine->cause->code == talks[i].code,
                      "%s (cut %zu): state %d, %s: %s", talks[i].name, cut, run.engine->state,
                      cause_kind(run.engine->cause->code)->name, run.engine->cause->text);
        ck_assert_msg(strstr(run.engine->cause->text, talks[i].word), "%s: %s", talks[i].name,
                      run.engine->cause->text);
        ck_assert_ptr_null(strstr(run.engine->cause->text, "pencil"));
        if (run.engine->state == ENGINE_FAILED) {
                ck_assert_uint_eq(run.engine->out.len, 0);
                /* Once failed, always failed; and nothing more is said. */
                run.engine->class->received(run.engine, (const uint8_t *)"220 x\r\n", 7);
                run.engine->class->quit(run.engine);
                run.engine->class->closed(run.engine);
                ck_assert_int_eq(run.engine->cause->code, talks[i].code);
                ck_assert_uint_eq(run.engine->out.len, 0);
        }
        if (strncmp(talks[i].name, "success without", 15) != 0)
                ck_assert_msg(run.sent.len == 0, "%s: unexpected \"%.*s\"", talks[i].name, (int)run.sent.len,
                              (const char *)buf_bytes(&run.sent));
        ck_assert_int_eq(run.engine->idle, run.engine->state == ENGINE_READY ||
                                                   run.engine->state == ENGINE_FAILED ||
                                                   run.engine->state == ENGINE_ENDED);
        script_end(&run);
}

START_TEST(test_talks)
{
        for (size_t cut = 0; cut < 64; cut++)
                run_talk(_i, cut);
}
END_TEST

/* Whatever happens: nothing but EHLO, STARTTLS and QUIT goes out before TLS stands. */
START_TEST(test_nothing_in_clear)
{
        static const char *const allowed[] = { "EHLO me.example\r\n", "STARTTLS\r\n" };

        if (!(talks[_i].how & STARTTLS))
                return;
        struct smtp_config config = config_of(talks[_i].how, talks[_i].mechanism);
        struct script_run run;
        script_start(&run, talks[_i].name, &config, false, 0);
        for (size_t line = 0; talks[_i].lines[line]; line++) {
                const char *said = talks[_i].lines[line];
                if (strcmp(said, "TLS") == 0)
                        break;
                if (said[0] == 'C' && said[1] == ':')
                        continue;
                script_line(&run, said);
        }
        for (size_t i = 0; i < count_of(allowed) && run.sent.len; i++) {
                ck_assert_uint_ge(run.sent.len, strlen(allowed[i]));
                ck_assert_mem_eq(buf_bytes(&run.sent), allowed[i], strlen(allowed[i]));
                buf_consume(&run.sent, strlen(allowed[i]));
        }
        ck_assert_uint_eq(run.sent.len, 0);
        script_end(&run);
}
END_TEST

START_TEST(test_early_answers)
{
        struct smtp_config config = config_of(early[_i].how, "auto");
        struct script_run run;

        script_start(&run, early[_i].greeting, &config, false, 0);
        script_line(&run, early[_i].greeting);
        ck_assert_int_eq(run.engine->state, ENGINE_FAILED);
        ck_assert_msg(run.engine->cause->code == early[_i].code, "%s: %s", early[_i].greeting,
                      run.engine->cause->text);
        script_end(&run);
}
END_TEST

START_TEST(test_long_initial_response)
{
        struct smtp_config config = config_of(TLS | USER, "oauthbearer");
        static char token[4000];
        struct script_run run;

        memset(token, 't', sizeof token - 1);
        config.signin.secret = token;
        script_start(&run, "long token", &config, true, 0);
        script_line(&run, "S:220 x");
        script_line(&run, "C:EHLO me.example");
        script_line(&run, "s:250-x\n250 AUTH OAUTHBEARER\n");
        script_line(&run, "C:AUTH OAUTHBEARER");
        script_line(&run, "S:334 ");
        ck_assert_uint_gt(run.sent.len, 5000);
        ck_assert_mem_eq(buf_bytes(&run.sent), "bixhPWFubiwB", 12); /* n,a=ann,^A */
        buf_clear(&run.sent);
        script_line(&run, "S:235 in");
        ck_assert_int_eq(run.engine->state, ENGINE_READY);
        script_end(&run);
}
END_TEST

static void see_no_secret(void *ctx, char direction unused_arg, const char *line, size_t len)
{
        char *text = copy_bytes(line, len);

        ck_assert_ptr_null(strstr(text, "pencil"));
        ck_assert_ptr_null(strstr(text, "cGVuY2ls"));
        ck_assert_ptr_null(strstr(text, "AGFubgBwZW5jaWw"));
        free(text);
        ++*(int *)ctx;
}

START_TEST(test_trace_has_no_secret)
{
        static const char *const mechanisms[] = { "plain", "login" };

        for (size_t i = 0; i < count_of(mechanisms); i++) {
                struct smtp_config config = config_of(TLS | USER, mechanisms[i]);
                struct script_run run;
                int lines = 0;
                script_start(&run, "trace", &config, true, 0);
                run.engine->trace = see_no_secret;
                run.engine->trace_ctx = &lines;
                script_line(&run, "S:220 x");
                script_line(&run, "s:250-x\n250 AUTH LOGIN PLAIN\n");
                script_line(&run, "S:334 ");
                script_line(&run, "S:334 ");
                script_line(&run, "S:235 in");
                ck_assert_int_gt(lines, 6);
                script_end(&run);
        }
}
END_TEST

START_TEST(test_the_hello_is_the_sessions_own)
{
        struct smtp_config config = config_of(TLS, "auto");
        struct script_run run;
        char *hello = copy_text("station.example");

        config.hello = hello;
        script_start(&run, "own hello", &config, true, 0);
        free(hello); /* settings are read anew before the greeting comes */
        script_line(&run, "S:220 x");
        ck_assert_ptr_nonnull(memmem(buf_bytes(&run.sent), run.sent.len, "EHLO station.example\r\n", 22));
        script_end(&run);
}
END_TEST

START_TEST(test_bad_hello_is_not_sent)
{
        struct smtp_config config = config_of(TLS, "auto");
        struct script_run run;

        config.hello = "me\r\nMAIL FROM:<x@y>";
        script_start(&run, "hello", &config, true, 0);
        script_line(&run, "S:220 x");
        ck_assert_int_eq(run.engine->state, ENGINE_FAILED);
        ck_assert_uint_eq(run.sent.len, 0);
        script_end(&run);
}
END_TEST

START_TEST(test_endless_line_and_reply)
{
        struct smtp_config config = config_of(TLS, "auto");
        static char many[32 * KIB];
        struct script_run run;

        memset(many, '2', sizeof many);
        script_start(&run, "endless line", &config, true, 0);
        for (int i = 0; i < 10; i++)
                script_feed(&run, many, sizeof many);
        ck_assert_int_eq(run.engine->cause->code, CAUSE_PROTOCOL);
        script_end(&run);
        script_start(&run, "endless reply", &config, true, 0);
        for (int i = 0; i < 1000; i++)
                script_line(&run, "S:220-more");
        ck_assert_int_eq(run.engine->cause->code, CAUSE_PROTOCOL);
        script_end(&run);
}
END_TEST

START_TEST(every_step_has_its_row)
{
        for (int step = ENGINE_FIRST_STEP; step < SMTP_STEPS; step++)
                ck_assert_msg(steps[step].name && steps[step].phrase && steps[step].heard, "%d", step);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("smtp_session");
        TCase *tc = tcase_create("session");

        tcase_add_test(tc, every_step_has_its_row);
        tcase_add_loop_test(tc, test_talks, 0, (int)count_of(talks));
        tcase_add_loop_test(tc, test_nothing_in_clear, 0, (int)count_of(talks));
        tcase_add_loop_test(tc, test_early_answers, 0, (int)count_of(early));
        tcase_add_test(tc, test_long_initial_response);
        tcase_add_test(tc, test_trace_has_no_secret);
        tcase_add_test(tc, test_bad_hello_is_not_sent);
        tcase_add_test(tc, test_the_hello_is_the_sessions_own);
        tcase_add_test(tc, test_endless_line_and_reply);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
