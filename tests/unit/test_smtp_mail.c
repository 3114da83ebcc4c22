/* SPDX-License-Identifier: MIT */
/*
 * Messages over a session that is ready, against a strict receiver with and without PIPELINING
 * and CHUNKING: what arrives, every outcome, every way to fail, and that each message comes
 * back exactly once.
 */
#include "common/limits.h"
#include "daemon/smtp/pipeline.h"
#include "smtp_receiver.h"

#include <check.h>
#include <time.h>

enum { RECIPIENTS = 3, POSTS = 400 };

struct post {
        struct smtp_mail mail;
        struct smtp_recipient recipients[RECIPIENTS];
        const char *body;
        size_t len, at, piece;
        unsigned later; /* every n-th call says LATER; 0: never */
        unsigned calls;
        enum smtp_body at_end;
        unsigned finished;
        enum cause_code session_cause;
};

static const struct post *waiting; /* the one whose body said LATER */
static struct post posts[POSTS];
static struct engine *engine;
static struct receiver receiver;
static struct smtp_ways *ways; /* of the next session, or NULL */
static size_t feed_by;         /* bytes of reply at once; 0: all */

static const char *const servers[] = {
        "250-x\r\n250 ENHANCEDSTATUSCODES\r\n",
        "250-x\r\n250-SIZE 10000000\r\n250-DSN\r\n250 PIPELINING\r\n",
        "250-x\r\n250-8BITMIME\r\n250 CHUNKING\r\n",
        "250-x\r\n250-SIZE\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 CHUNKING\r\n",
};
enum { BARE, PIPELINED, CHUNKED, FULL };

static void say(const char *text)
{
        engine->class->received(engine, (const uint8_t *)text, strlen(text));
}

static void open_session(int server)
{
        struct smtp_config config = { .hello = "me.example",
                                      .signin = { .mechanism = "auto" },
                                      .ways = ways };
        struct engine_channel channel = { .tls = true };

        engine = smtp_session_new(&config);
        engine->class->start(engine, &channel);
        say("220 x\r\n");
        buf_clear(&engine->out);
        say(servers[server]);
        ck_assert_int_eq(engine->state, ENGINE_READY);
        receiver_init(&receiver);
}

static void close_session(void)
{
        ck_assert_msg(!receiver.violation, "%s", receiver.violation);
        engine->class->free(engine);
        receiver_done(&receiver);
        feed_by = 0;
        waiting = NULL;
}

static enum smtp_body next_piece(struct smtp_mail *mail, const uint8_t **bytes, size_t *len)
{
        struct post *post = container_of(mail, struct post, mail);

        if (post->later && ++post->calls % post->later == 0) {
                waiting = post;
                return BODY_LATER;
        }
        size_t left = post->len - post->at;
        if (!left)
                return post->at_end;
        *bytes = (const uint8_t *)post->body + post->at;
        *len = left < post->piece ? left : post->piece;
        post->at += *len;
        return BODY_BYTES;
}

static void count_finished(struct smtp_mail *mail, const struct cause *why)
{
        struct post *post = container_of(mail, struct post, mail);

        post->finished++;
        post->session_cause = why ? why->code : CAUSE_NONE;
        ck_assert_ptr_null(mail->own);
}

static struct post *write_post(size_t i, const char *body, size_t len, size_t recipients)
{
        static const char *const addresses[RECIPIENTS] = { "a@x.example", "b@x.example", "c@x.example" };
        struct post *post = &posts[i];

        *post = (struct post){ .body = body, .len = len, .piece = len ? len : 1, .at_end = BODY_END };
        post->mail = (struct smtp_mail){ .from = "me@x.example",
                                         .recipients = post->recipients,
                                         .recipient_count = recipients,
                                         .size = len,
                                         .body = next_piece,
                                         .finished = count_finished };
        for (size_t r = 0; r < recipients; r++)
                post->recipients[r].address = addresses[r];
        return post;
}

/* Client to receiver and back until nothing moves. */
static void exchange(void)
{
        for (;;) {
                if (engine->state == ENGINE_FAILED || engine->state == ENGINE_ENDED)
                        return;
                if (engine->out.len) {
                        receiver_take(&receiver, buf_bytes(&engine->out), engine->out.len);
                        buf_consume(&engine->out, engine->out.len);
                        engine->class->drained(engine);
                } else if (receiver.replies.len) {
                        size_t len = receiver.replies.len;
                        if (feed_by && feed_by < len)
                                len = feed_by;
                        uint8_t *copy = memcpy(new_zeroed(len, 1), buf_bytes(&receiver.replies), len);
                        buf_consume(&receiver.replies, len);
                        engine->class->received(engine, copy, len);
                        free(copy);
                } else if (waiting) {
                        struct post *post = container_of(&waiting->mail, struct post, mail);
                        waiting = NULL;
                        smtp_mail_continue(engine, &post->mail);
                } else {
                        return;
                }
        }
}

static void send_all(size_t count)
{
        for (size_t sent = 0; sent < count && engine->state == ENGINE_READY;) {
                if (smtp_mail_room(engine))
                        smtp_mail_send(engine, &posts[sent++].mail);
                else
                        exchange();
        }
        exchange();
}

static bool log_has(const char *words)
{
        return receiver.log.len &&
               memmem(buf_bytes(&receiver.log), receiver.log.len, words, strlen(words)) != NULL;
}

/* ---- all goes well ---- */

START_TEST(test_delivered)
{
        static const size_t lengths[] = { 0, 2, 100, 4096, 70000, 300000, 1000000, 4096, 2 };
        static const size_t feeds[] = { 0, 1, 7 };
        char *text = new_zeroed(1000001, 1);

        for (size_t i = 0; i < 1000000; i++)
                text[i] = i % 50 == 48 ? '\r' : i % 50 == 49 ? '\n' : i % 50 == 0 ? '.' : 'x';
        for (size_t f = 0; f < count_of(feeds); f++) {
                open_session(_i);
                feed_by = feeds[f];
                for (size_t i = 0; i < count_of(lengths); i++) {
                        struct post *post = write_post(i, text, lengths[i] == 2 ? 0 : lengths[i], 1 + i % 3);
                        if (lengths[i] == 2) {
                                post->body = "\r\n";
                                post->len = post->mail.size = 2;
                        }
                        post->piece = 1 + 999 * i;
                        post->later = f == 1 ? 3 : 0;
                }
                send_all(count_of(lengths));
                ck_assert_uint_eq(receiver.messages, count_of(lengths));
                for (size_t i = 0; i < count_of(lengths); i++) {
                        ck_assert_uint_eq(posts[i].finished, 1);
                        for (size_t r = 0; r < posts[i].mail.recipient_count; r++) {
                                ck_assert_int_eq(posts[i].recipients[r].outcome, OUTCOME_SENT);
                                ck_assert_str_eq(posts[i].recipients[r].reply, "250 2.0.0 taken");
                                ck_assert_str_eq(posts[i].recipients[r].enhanced, "2.0.0");
                        }
                }
                ck_assert(log_has("#1000000\n") && log_has("#300000\n") && log_has("#0\n"));
                ck_assert_int_eq(log_has("RSET"), _i == FULL);
                ck_assert_int_eq(log_has("BDAT"), _i >= CHUNKED);
                ck_assert(engine->idle && smtp_mail_flying(engine) == 0 && smtp_mail_room(engine) > 0);
                engine->class->quit(engine);
                exchange();
                ck_assert_int_eq(engine->state, ENGINE_ENDED);
                close_session();
        }
        free(text);
}
END_TEST

static void expect_out(const char *expected)
{
        ck_assert_msg(engine->out.len == strlen(expected) &&
                              memcmp(buf_bytes(&engine->out), expected, engine->out.len) == 0,
                      "expected\n%s\nhas\n%.*s", expected, (int)engine->out.len,
                      (const char *)buf_bytes(&engine->out));
        buf_clear(&engine->out);
}

/* Whoever waits in a session is in memory: of large ones it takes as many as keep the line busy. */
START_TEST(test_few_large_ones_are_taken)
{
        static const struct {
                size_t len, taken;
        } sizes[] = { { 100, 100 }, { 16 * KIB, 32 }, { 300 * KIB, 3 }, { 8 * MIB, 3 } };
        static char text[8 * MIB];

        memset(text, 'x', sizeof text);
        for (size_t i = 0; i < count_of(sizes); i++) {
                size_t taken = 0;
                open_session(FULL);
                for (; smtp_mail_room(engine); taken++) {
                        ck_assert_uint_lt(taken, POSTS);
                        write_post(taken, text, sizes[i].len, 1);
                        smtp_mail_send(engine, &posts[taken].mail);
                }
                ck_assert_uint_eq(taken, sizes[i].taken);
                exchange();
                ck_assert_uint_eq(posts[taken - 1].finished, 1);
                ck_assert_uint_eq(smtp_mail_room(engine), 100);
                close_session();
        }
}
END_TEST

START_TEST(test_groups_with_data)
{
        open_session(PIPELINED);
        write_post(0, ".a\r\n", 4, 2);
        write_post(1, "b\r\n", 3, 1);
        ck_assert_uint_eq(smtp_mail_room(engine), 2);
        smtp_mail_send(engine, &posts[0].mail);
        expect_out("MAIL FROM:<me@x.example> SIZE=4\r\nRCPT TO:<a@x.example>\r\nRCPT "
                   "TO:<b@x.example>\r\nDATA\r\n");
        ck_assert(!engine->idle && engine->wait == 300);
        smtp_mail_send(engine, &posts[1].mail);
        ck_assert_uint_eq(smtp_mail_room(engine), 0);
        say("250 ok\r\n250 ok\r\n250 ok\r\n");
        ck_assert_uint_eq(engine->wait, 120);
        say("354 go\r\n");
        /* The next envelope right behind the dot. */
        expect_out("..a\r\n.\r\nMAIL FROM:<me@x.example> SIZE=3\r\nRCPT TO:<a@x.example>\r\nDATA\r\n");
        ck_assert_uint_eq(engine->wait, 600);
        say("250 taken\r\n");
        ck_assert_uint_eq(posts[0].finished, 1);
        ck_assert_uint_eq(engine->wait, 300);
        say("250 ok\r\n250 ok\r\n354 go\r\n");
        expect_out("b\r\n.\r\n");
        engine->class->quit(engine); /* after what flies */
        expect_out("");
        ck_assert_uint_eq(smtp_mail_room(engine), 0);
        say("250 taken\r\n");
        ck_assert_uint_eq(posts[1].finished, 1);
        expect_out("QUIT\r\n");
        close_session();
}
END_TEST

START_TEST(test_shortened_waits)
{
        static const unsigned most[] = { 0, 20, 200 },
                              waits[3][3] = { { 300, 120, 600 }, { 20, 20, 20 }, { 200, 120, 200 } };

        open_session(BARE);
        session_of(engine)->config.longest_wait = most[_i];
        write_post(0, "a\r\n", 3, 1);
        smtp_mail_send(engine, &posts[0].mail);
        ck_assert_uint_eq(engine->wait, waits[_i][0]);
        say("250 ok\r\n");
        say("250 ok\r\n");
        ck_assert_uint_eq(engine->wait, waits[_i][1]);
        say("354 go\r\n");
        ck_assert_uint_eq(engine->wait, waits[_i][2]);
        buf_clear(&engine->out);
        close_session();
}
END_TEST

START_TEST(test_groups_with_bdat)
{
        open_session(FULL);
        for (size_t i = 0; i < 3; i++)
                write_post(i, ".a\r\n", 4, 1);
        posts[1].mail.eight_bit = true;
        for (size_t i = 0; i < 3; i++)
                smtp_mail_send(engine, &posts[i].mail);
        /* The first goes alone until the server has taken its sender. */
        expect_out("MAIL FROM:<me@x.example> SIZE=4\r\nRCPT TO:<a@x.example>\r\nBDAT 4 LAST\r\n.a\r\n");
        say("250 ok\r\n250 rcpt\r\n");
        expect_out(""); /* nor do others before BDAT has been seen to work */
        say("250 taken\r\n");
        expect_out(
                "MAIL FROM:<me@x.example> SIZE=4 BODY=8BITMIME\r\nRCPT TO:<a@x.example>\r\nBDAT 4 "
                "LAST\r\n.a\r\n"
                "RSET\r\nMAIL FROM:<me@x.example> SIZE=4\r\nRCPT TO:<a@x.example>\r\nBDAT 4 LAST\r\n.a\r\n");
        say("250 mail\r\n250 rcpt\r\n250 taken\r\n250 rset\r\n250 mail\r\n250 rcpt\r\n");
        ck_assert_uint_eq(engine->wait, 600);
        ck_assert_uint_eq(posts[1].finished, 1);
        say("250 taken\r\n");
        ck_assert_uint_eq(posts[2].finished, 1);
        ck_assert(engine->idle);
        /* All answered and the last one taken: nothing to reset. */
        write_post(0, "", 0, 1);
        smtp_mail_send(engine, &posts[0].mail);
        expect_out("MAIL FROM:<me@x.example> SIZE=0\r\nRCPT TO:<a@x.example>\r\nBDAT 0 LAST\r\n");
        close_session();
}
END_TEST

START_TEST(test_dsn_and_utf8)
{
        open_session(FULL);
        struct post *post = write_post(0, "a\r\n", 3, 2);
        post->mail.ret = "hdrs";
        post->mail.envid = "id=1+ \r\n";
        post->mail.utf8 = true;
        post->mail.from = "";
        post->recipients[0].notify = "SUCCESS,delay";
        post->recipients[0].orcpt = "rfc822;j+o@x";
        post->recipients[1].notify = "SUCCESS\r\nRSET";
        post->recipients[1].orcpt = "plain=<\n>@x";
        smtp_mail_send(engine, &post->mail);
        expect_out("MAIL FROM:<> SIZE=3 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=id+3D1+2B+20+0D+0A\r\n"
                   "RCPT TO:<a@x.example> NOTIFY=SUCCESS,delay ORCPT=rfc822;j+2Bo@x\r\n"
                   "RCPT TO:<b@x.example> ORCPT=rfc822;plain+3D<+0A>@x\r\n"
                   "BDAT 3 LAST\r\na\r\n");
        close_session();
        open_session(BARE); /* without DSN they stay at home */
        post->mail.utf8 = false;
        post->at = 0;
        smtp_mail_send(engine, &post->mail);
        expect_out("MAIL FROM:<>\r\n");
        close_session();
}
END_TEST

/* ---- what cannot be carried ---- */

static const struct {
        int server;
        const char *from, *to;
        uint64_t size;
        bool eight_bit, utf8, fine, to_fails;
} carried[] = {
        { PIPELINED, "a@x", "b@x", 10000000, false, false, true, false },
        { PIPELINED, "a@x", "b@x", 10000001, false, false, false, false },
        { FULL, "a@x", "b@x", 99999999999, false, false, true, false },
        { PIPELINED, "a@x", "b@x", 10, true, false, false, false },
        { FULL, "a@x", "b@x", 10, true, false, true, false },
        { CHUNKED, "a@x", "b@x", 10, false, true, false, false },
        { FULL, "a@x", "b@x", 10, false, true, true, false },
        { FULL, "a@x", "j\303\266rg@x", 10, false, false, true, false },
        { CHUNKED, "a@x", "j\303\266rg@x", 10, false, false, false, true },
        { FULL, "", "b@x", 10, false, false, true, false },
        { FULL, "a@x", "", 10, false, false, false, true },
        { FULL, "a@x>\r\nRSET", "b@x", 10, false, false, false, false },
        { FULL, "a@x\nRSET", "b@x", 10, false, false, false, false },
        { FULL, "a@x", "b@x\r\nDATA", 10, false, false, false, true },
        { FULL, "a@x", "b@x>", 10, false, false, false, true },
        { FULL, "a@x", "<b@x", 10, false, false, false, true },
        { FULL, "a@x SIZE=1", "b@x", 10, false, false, false, false },
        { FULL, "a@x", "b@x NOTIFY=NEVER", 10, false, false, false, true },
        { FULL, "a@x", "b", 10, false, false, false, true },
        { FULL, "a@x", "b\033@x", 10, false, false, false, true },
};

START_TEST(test_carried)
{
        open_session(carried[_i].server);
        struct post *post = write_post(0, "", 0, 2);
        post->mail.from = carried[_i].from;
        post->recipients[1].address = carried[_i].to;
        post->mail.size = carried[_i].size;
        post->mail.eight_bit = carried[_i].eight_bit;
        post->mail.utf8 = carried[_i].utf8;
        post->later = 1;
        smtp_mail_send(engine, &post->mail);
        bool one = carried[_i].to_fails; /* the other recipient gets it */
        ck_assert_msg((post->finished == 0) == (carried[_i].fine || one), "%d: %s", _i,
                      post->recipients[0].reply);
        ck_assert_int_eq(engine->out.len > 0, carried[_i].fine || one);
        ck_assert(!engine->out.len || (!memmem(buf_bytes(&engine->out), engine->out.len, "RSET\r", 5) &&
                                       !memmem(buf_bytes(&engine->out), engine->out.len, "NOTIFY", 6)));
        if (one) {
                ck_assert_int_eq(post->recipients[0].outcome, OUTCOME_NONE);
                ck_assert_int_eq(post->recipients[1].outcome, OUTCOME_REFUSED);
                ck_assert_int_eq(post->recipients[1].cause, CAUSE_UNSENDABLE);
        } else if (!carried[_i].fine) {
                ck_assert_int_eq(post->recipients[0].outcome, OUTCOME_REFUSED);
                ck_assert_int_eq(post->recipients[1].outcome, OUTCOME_REFUSED);
                ck_assert_int_eq(post->recipients[1].cause, CAUSE_UNSENDABLE);
                ck_assert(post->recipients[1].reply[0]);
                ck_assert_int_eq(post->session_cause, CAUSE_NONE);
                ck_assert(engine->idle && smtp_mail_room(engine));
        }
        close_session();
}
END_TEST

/* ---- refusals ---- */

/* What the server says otherwise than usual, once, to the first line that begins so. */
static struct {
        const char *line, *reply;
} otherwise[4];

static const char *answer_otherwise(struct receiver *r unused_arg, const char *line)
{
        for (size_t i = 0; i < count_of(otherwise); i++)
                if (otherwise[i].line && strncmp(line, otherwise[i].line, strlen(otherwise[i].line)) == 0) {
                        otherwise[i].line = NULL;
                        return otherwise[i].reply;
                }
        return NULL;
}

static const struct {
        const char *name;
        struct {
                const char *line, *reply;
        } says[4];
        const char *outcomes; /* of three recipients: S sent, D deferred, R refused, - nothing known */
        unsigned code;        /* of the first */
        unsigned servers;     /* bits; 0: all */
} refusals[] = {
        { "sender for ever", { { "MAIL", "550 5.7.1 no" } }, "RRR", 550, 0 },
        { "sender for now", { { "MAIL", "451 4.3.0 later" } }, "DDD", 451, 0 },
        { "432", { { "MAIL", "432 4.3.2 too many" } }, "DDD", 432, 0 },
        { "one recipient", { { "RCPT TO:<a@", "550 5.1.1 who" } }, "RSS", 550, 0 },
        { "the last recipient", { { "RCPT TO:<c@", "450 4.2.1 later" } }, "SSD", 250, 0 },
        { "two kinds",
          { { "RCPT TO:<a@", "550 5.1.1 who" }, { "RCPT TO:<b@", "452 4.5.3 many" } },
          "RDS",
          550,
          0 },
        { "552 is too many", { { "RCPT TO:<b@", "552 too many" } }, "SDS", 250, 0 },
        { "552 is a full mailbox", { { "RCPT TO:<b@", "552 5.2.2 full" } }, "SRS", 250, 0 },
        { "all recipients",
          { { "RCPT", "550 no" }, { "RCPT", "551 no" }, { "RCPT", "450 no" } },
          "RRD",
          550,
          0 },
        { "all recipients, go-ahead all the same",
          { { "RCPT", "550 no" }, { "RCPT", "551 no" }, { "RCPT", "450 no" }, { "DATA", "354 go" } },
          "RRD",
          550,
          1u << PIPELINED },
        { "sender, go-ahead all the same",
          { { "MAIL", "550 no" }, { "DATA", "354 go" } },
          "RRR",
          550,
          1u << PIPELINED },
        { "DATA", { { "DATA", "451 4.3.0 later" } }, "DDD", 451, 1u << BARE | 1u << PIPELINED },
        { "DATA for ever", { { "DATA", "554 5.7.1 no" } }, "RRR", 554, 1u << BARE | 1u << PIPELINED },
        { "the content", { { ".", "554 5.7.1 spam" } }, "RRR", 554, 0 },
        { "the content for now", { { ".", "451 4.7.1 grey" } }, "DDD", 451, 0 },
        { "one recipient and the content",
          { { "RCPT TO:<a@", "550 5.1.1 who" }, { ".", "451 4.7.1 grey" } },
          "RDD",
          550,
          0 },
        { "the first chunk", { { "+", "552 5.3.4 big" } }, "RRR", 552, 1u << CHUNKED | 1u << FULL },
};

static enum smtp_outcome outcome_of(char letter)
{
        return letter == 'S'   ? OUTCOME_SENT
               : letter == 'D' ? OUTCOME_DEFERRED
               : letter == 'R' ? OUTCOME_REFUSED
                               : OUTCOME_NONE;
}

/* Three messages, the first is refused in some way; the others must arrive, and only with their own
 * recipients. */
static void run_refusal(int i, int server, size_t len)
{
        static char text[600000];

        for (size_t at = 0; at + 1 < sizeof text; at += 2)
                memcpy(text + at, "\r\n", 2);
        open_session(server);
        memcpy(otherwise, refusals[i].says, sizeof otherwise);
        receiver.answer = answer_otherwise;
        write_post(0, text, len, 3);
        write_post(1, "b\r\n", 3, 2);
        write_post(2, "cc\r\n", 4, 1);
        posts[1].mail.from = "second@x.example";
        send_all(3);
        ck_assert_msg(engine->state == ENGINE_READY, "%s, server %d: %s", refusals[i].name, server,
                      engine->cause->text);
        for (size_t r = 0; r < 3; r++)
                ck_assert_msg(posts[0].recipients[r].outcome == outcome_of(refusals[i].outcomes[r]),
                              "%s, server %d, recipient %zu: %d %s", refusals[i].name, server, r,
                              posts[0].recipients[r].outcome, posts[0].recipients[r].reply);
        ck_assert_uint_eq(posts[0].recipients[0].code, refusals[i].code);
        for (size_t m = 0; m < 3; m++) {
                ck_assert_uint_eq(posts[m].finished, 1);
                for (size_t r = 0; m && r < posts[m].mail.recipient_count; r++)
                        ck_assert_msg(posts[m].recipients[r].outcome == OUTCOME_SENT, "%s, server %d: %s",
                                      refusals[i].name, server, posts[m].recipients[r].reply);
        }
        close_session();
}

START_TEST(test_refusals)
{
        for (int server = 0; server < (int)count_of(servers); server++) {
                if (refusals[_i].servers && !(refusals[_i].servers & 1u << server))
                        continue;
                run_refusal(_i, server, 600000);
                if (strcmp(refusals[_i].name, "the first chunk") != 0)
                        run_refusal(_i, server, 2);
        }
}
END_TEST

/* ---- sessions that fail ---- */

static const struct {
        const char *name;
        struct {
                const char *line, *reply;
        } says[4];
        enum cause_code code;
        const char *outcomes; /* of the first message */
        unsigned servers;
} breaks[] = {
        { "421 to MAIL", { { "MAIL", "421 4.3.2 down" } }, CAUSE_SERVER_BUSY, "---", 0 },
        { "421 to RCPT",
          { { "RCPT TO:<a@", "550 no" }, { "RCPT TO:<b@", "421 down" } },
          CAUSE_SERVER_BUSY,
          "R--",
          1u << BARE | 1u << PIPELINED },
        { "421 to the content", { { ".", "421 4.3.2 down" } }, CAUSE_SERVER_BUSY, "DDD", 0 },
        { "530 to MAIL",
          { { "MAIL", "530 5.7.0 sign in" } },
          CAUSE_AUTHENTICATION,
          "---",
          1u << BARE | 1u << PIPELINED },
        { "535 to RCPT",
          { { "RCPT", "535 5.7.8 sign in" } },
          CAUSE_AUTHENTICATION,
          "---",
          1u << BARE | 1u << PIPELINED },
        { "530 to the content", { { ".", "530 5.7.57 sign in" } }, CAUSE_AUTHENTICATION, "---", 0 },
        { "354 to MAIL", { { "MAIL", "354 hm" } }, CAUSE_PROTOCOL, "---", 1u << BARE | 1u << PIPELINED },
        { "334 to RCPT", { { "RCPT", "334 hm" } }, CAUSE_PROTOCOL, "---", 1u << BARE | 1u << PIPELINED },
        { "250 to DATA", { { "DATA", "250 hm" } }, CAUSE_PROTOCOL, "---", 1u << BARE | 1u << PIPELINED },
        { "354 to the content", { { ".", "354 hm" } }, CAUSE_PROTOCOL, "AAA", 0 },
        { "no reply at all", { { ".", "hello" } }, CAUSE_PROTOCOL, NULL, 0 },
        { "two replies",
          { { "MAIL", "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n250 ok" } },
          CAUSE_PROTOCOL,
          NULL,
          1u << BARE },
};

START_TEST(test_breaks)
{
        for (int server = 0; server < (int)count_of(servers); server++) {
                if (breaks[_i].servers && !(breaks[_i].servers & 1u << server))
                        continue;
                open_session(server);
                memcpy(otherwise, breaks[_i].says, sizeof otherwise);
                receiver.answer = answer_otherwise;
                write_post(0, "a\r\n", 3, 3);
                write_post(1, "b\r\n", 3, 1);
                send_all(2);
                ck_assert_msg(engine->state == ENGINE_FAILED && engine->cause->code == breaks[_i].code,
                              "%s, server %d: %s", breaks[_i].name, server, engine->cause->text);
                ck_assert_uint_eq(posts[0].finished, 1);
                ck_assert_int_eq(posts[0].session_cause, breaks[_i].code);
                for (size_t r = 0; breaks[_i].outcomes && r < 3; r++) {
                        char letter = breaks[_i].outcomes[r];
                        enum smtp_outcome outcome = letter == 'A' ? OUTCOME_AMBIGUOUS : outcome_of(letter);
                        /* With BDAT the content was on its way before MAIL was answered. */
                        if (outcome == OUTCOME_NONE && server >= CHUNKED &&
                            posts[0].recipients[r].outcome == OUTCOME_AMBIGUOUS)
                                outcome = OUTCOME_AMBIGUOUS;
                        ck_assert_msg(posts[0].recipients[r].outcome == outcome, "%s, server %d: %d",
                                      breaks[_i].name, server, posts[0].recipients[r].outcome);
                }
                ck_assert_uint_eq(smtp_mail_room(engine), 0);
                ck_assert_uint_eq(smtp_mail_flying(engine), 0);
                close_session();
        }
}
END_TEST

/* The connection breaks after each byte the server sends: everything comes back once, and only what was sent
 * to its end and not answered is ambiguous. */
START_TEST(test_cut_after_every_byte)
{
        for (size_t cut = 0; cut < 2000; cut++) {
                open_session(_i);
                for (size_t i = 0; i < 3; i++)
                        write_post(i, "a\r\n", 3, 2);
                feed_by = 1;
                size_t sent = 0, fed = 0;
                bool over = false;
                while (!over && fed < cut) {
                        while (sent < 3 && smtp_mail_room(engine))
                                smtp_mail_send(engine, &posts[sent++].mail);
                        receiver_take(&receiver, buf_bytes(&engine->out), engine->out.len);
                        buf_consume(&engine->out, engine->out.len);
                        if (receiver.replies.len) {
                                engine->class->received(engine, buf_bytes(&receiver.replies), 1);
                                buf_consume(&receiver.replies, 1);
                                fed++;
                        } else {
                                over = !engine->out.len && sent == 3;
                        }
                }
                receiver_take(&receiver, buf_bytes(&engine->out), engine->out.len);
                bool closed = cut % 2;
                struct cause why;
                cause_set(&why, CAUSE_TIMEOUT, "timed out");
                size_t messages = receiver.messages;
                if (closed)
                        engine->class->closed(engine);
                else
                        smtp_mail_lost(engine, &why);
                for (size_t i = 0; i < sent; i++) {
                        ck_assert_uint_eq(posts[i].finished, 1);
                        enum smtp_outcome outcome = posts[i].recipients[1].outcome;
                        ck_assert(outcome ==
                                  (i < messages ? posts[i].session_cause ? OUTCOME_AMBIGUOUS : OUTCOME_SENT
                                                : OUTCOME_NONE));
                }
                close_session();
                if (over)
                        return;
        }
        ck_abort_msg("never over");
}
END_TEST

static const struct {
        const char *body;
        uint64_t size;
        enum smtp_body at_end;
        enum smtp_outcome outcome;
        enum cause_code cause;
        bool fine_with_data;
} wrong_bodies[] = {
        { "a\r\nb\r\n", 6, BODY_FAILED, OUTCOME_DEFERRED, CAUSE_STORAGE, false },
        { "", 6, BODY_FAILED, OUTCOME_DEFERRED, CAUSE_STORAGE, false },
        { "a\r\nb\r\n", 7, BODY_END, OUTCOME_REFUSED, CAUSE_UNSENDABLE, false },
        { "a\r\nb\r\n", 600000, BODY_END, OUTCOME_REFUSED, CAUSE_UNSENDABLE, false },
        { "a\r\nb\r\n", 5, BODY_END, OUTCOME_REFUSED, CAUSE_UNSENDABLE, false },
        { "a\r\nb\r\n", 0, BODY_END, OUTCOME_REFUSED, CAUSE_UNSENDABLE, false },
        { "a\nb\n", 6, BODY_END, OUTCOME_REFUSED, CAUSE_UNSENDABLE, true },
        { "a\r\nb\r", 5, BODY_END, OUTCOME_REFUSED, CAUSE_UNSENDABLE, false },
};

START_TEST(test_wrong_bodies)
{
        for (int server = 0; server < (int)count_of(servers); server++) {
                open_session(server);
                struct post *post = write_post(0, wrong_bodies[_i].body, strlen(wrong_bodies[_i].body), 1);
                post->mail.size = wrong_bodies[_i].size;
                post->at_end = wrong_bodies[_i].at_end;
                write_post(1, "b\r\n", 3, 1);
                size_t before = receiver.messages;
                send_all(2);
                ck_assert_uint_eq(post->finished, 1);
                if (wrong_bodies[_i].fine_with_data && server < CHUNKED) {
                        ck_assert_int_eq(post->recipients[0].outcome, OUTCOME_SENT);
                } else {
                        ck_assert_int_eq(post->recipients[0].outcome, wrong_bodies[_i].outcome);
                        ck_assert_int_eq(post->recipients[0].cause, wrong_bodies[_i].cause);
                        bool disk = wrong_bodies[_i].cause == CAUSE_STORAGE;
                        ck_assert_int_eq(engine->cause->code, disk ? CAUSE_CLOSED : CAUSE_INTERNAL);
                        ck_assert(disk == !!strstr(cause_remedy_of(engine->cause), "disk"));
                        /* Never ended: no cut message was taken. */
                        ck_assert_uint_eq(receiver.messages, before);
                        ck_assert_uint_eq(engine->out.len, 0);
                        ck_assert(!posts[1].finished || posts[1].recipients[0].outcome == OUTCOME_NONE);
                }
                close_session();
        }
}
END_TEST

START_TEST(test_smuggling)
{
        static const char *const bodies[] = {
                "a\r\n.\r\nMAIL FROM:<evil@x>\r\nRCPT TO:<evil@x>\r\nDATA\r\nevil\r\n.\r\n",
                "a\n.\nMAIL FROM:<evil@x>\n",
                "a\n.\r\nMAIL FROM:<evil@x>\r\n",
                "a\r\n.\nMAIL FROM:<evil@x>\r\n",
                "a\r.\rMAIL FROM:<evil@x>\r",
                "a\r\n.\r\r\nMAIL FROM:<evil@x>\r\n",
                "\r\n.\r\nQUIT\r\n",
        };

        for (int server = 0; server < (int)count_of(servers); server++)
                for (size_t b = 0; b < count_of(bodies); b++)
                        for (size_t piece = 1; piece < 8; piece++) {
                                open_session(server);
                                struct post *post = write_post(0, bodies[b], strlen(bodies[b]), 1);
                                post->piece = piece;
                                struct buf canonical = BUF_WITH_MAX(4096);
                                struct body body;
                                body_init(&body);
                                ck_assert_int_eq(
                                        body_stuff(&body, &canonical, (const uint8_t *)bodies[b], post->len),
                                        0);
                                post->mail.size = body.count;
                                buf_free(&canonical);
                                send_all(1);
                                ck_assert_uint_eq(post->finished, 1);
                                ck_assert(!log_has("evil"));
                                /* One message, or (BDAT of what is not CRLF) none and no connection. */
                                ck_assert_uint_eq(receiver.messages, engine->state == ENGINE_READY);
                                ck_assert(engine->state == ENGINE_READY || server >= CHUNKED);
                                close_session();
                        }
}
END_TEST

/* ---- the owner's side ---- */

static size_t next_post, last_post;

static void send_next(struct smtp_mail *mail, const struct cause *why)
{
        count_finished(mail, why);
        while (next_post < last_post && smtp_mail_room(engine))
                smtp_mail_send(engine, &posts[next_post++].mail);
}

START_TEST(test_sending_from_finished)
{
        open_session(_i);
        for (size_t i = 0; i < POSTS; i++) {
                write_post(i, "a\r\n", 3, 1)->mail.finished = send_next;
                if (i % 3 == 0)
                        posts[i].recipients[0].address = "bad";
        }
        next_post = 1;
        last_post = POSTS;
        smtp_mail_send(engine, &posts[0].mail);
        exchange();
        for (size_t i = 0; i < POSTS; i++) {
                ck_assert_uint_eq(posts[i].finished, 1);
                ck_assert_int_eq(posts[i].recipients[0].outcome, i % 3 ? OUTCOME_SENT : OUTCOME_REFUSED);
        }
        close_session();
}
END_TEST

static void give_up(struct smtp_mail *mail, const struct cause *why)
{
        struct cause cause;

        count_finished(mail, why);
        cause_set(&cause, CAUSE_CANCELLED, "given up");
        smtp_mail_lost(engine, &cause);
}

START_TEST(test_giving_up_from_finished)
{
        open_session(_i);
        for (size_t i = 0; i < 4; i++)
                write_post(i, "a\r\n", 3, 1)->mail.finished = give_up;
        for (size_t i = 0; i < 4 && smtp_mail_room(engine); i++)
                smtp_mail_send(engine, &posts[i].mail);
        exchange();
        ck_assert_int_eq(engine->cause->code, CAUSE_CANCELLED);
        ck_assert_int_eq(posts[0].recipients[0].outcome, OUTCOME_SENT);
        for (size_t i = 1; i < 4; i++)
                ck_assert_uint_le(posts[i].finished, 1);
        close_session();
}
END_TEST

START_TEST(test_freed_in_flight)
{
        open_session(_i);
        write_post(0, "a\r\n", 3, 1);
        smtp_mail_send(engine, &posts[0].mail);
        close_session();
        ck_assert_uint_eq(posts[0].finished, 1);
        ck_assert_int_eq(posts[0].session_cause, CAUSE_CLOSED);
}
END_TEST

START_TEST(test_memory_is_bounded)
{
        static char line[1 << 20];

        memset(line, 'x', sizeof line);
        for (size_t i = 0; i + 1 < sizeof line; i += 64)
                memcpy(line + i, "\r\n", 2);
        open_session(_i);
        for (size_t i = 0; i < 2; i++)
                write_post(i, line, sizeof line, 1);
        for (size_t i = 0; i < 2 && smtp_mail_room(engine); i++)
                smtp_mail_send(engine, &posts[i].mail);
        for (int i = 0; i < 100; i++) {
                ck_assert_uint_le(engine->out.len, LIMIT_OUTPUT / 2);
                ck_assert_uint_le(engine->out.size, LIMIT_OUTPUT / 2); /* below what comes from the system */
                if (!engine->out.len && receiver.replies.len) {
                        say("250 ok\r\n");
                        buf_clear(&receiver.replies);
                }
                smtp_mail_continue(engine, &posts[0].mail); /* pushes in vain while nothing leaves */
                size_t len = engine->out.len < 1000 ? engine->out.len : 1000;
                receiver_take(&receiver, buf_bytes(&engine->out), len);
                buf_consume(&engine->out, len);
        }
        close_session();
}
END_TEST

/* Not a test of speed: prints how fast the engine is. */
START_TEST(test_throughput)
{
        enum { ROUNDS = 20 };
        char *text = new_zeroed(4097, 1);
        struct timespec begin, end;

        memset(text, 'x', 4096);
        for (size_t i = 0; i + 80 <= 4096; i += 80)
                memcpy(text + i + 78, "\r\n", 2);
        memcpy(text + 4094, "\r\n", 2);
        open_session(_i);
        clock_gettime(CLOCK_MONOTONIC, &begin);
        static const char *const said[] = {
                [AWAIT_RESET] = "250 2.0.0 Ok\r\n", [AWAIT_MAIL] = "250 2.1.0 Ok\r\n",
                [AWAIT_RCPT] = "250 2.1.5 Ok\r\n",  [AWAIT_DATA] = "354 go\r\n",
                [AWAIT_CHUNK] = "250 2.0.0 Ok\r\n", [AWAIT_END] = "250 2.0.0 Ok: queued as 4F1B22003E\r\n"
        };
        const struct pipeline *p = &session_of(engine)->mail;
        for (size_t round = 0; round < ROUNDS; round++) {
                for (size_t i = 0; i < POSTS; i++)
                        write_post(i, text, 4096, 1)->mail.finished = send_next;
                last_post = POSTS;
                next_post = 1;
                smtp_mail_send(engine, &posts[0].mail);
                while (p->first) { /* the server without its costs: answers all that is awaited */
                        struct buf replies = BUF_WITH_MAX(1 << 16);
                        for (size_t i = 0; i < p->awaited; i++)
                                (void)!buf_append_text(
                                        &replies,
                                        said[p->ring[(p->ring_first + i) & (p->ring_size - 1)].what]);
                        buf_clear(&engine->out);
                        if (replies.len)
                                engine->class->received(engine, buf_bytes(&replies), replies.len);
                        else
                                engine->class->drained(engine);
                        buf_free(&replies);
                }
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
        printf("server %d: %.0f messages/s of 4 KiB\n", _i, POSTS * ROUNDS / seconds);
        ck_assert_int_eq(posts[POSTS - 1].recipients[0].outcome, OUTCOME_SENT);
        close_session();
        free(text);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("smtp_mail");
        TCase *tc = tcase_create("mail");
        int all = (int)count_of(servers);

        tcase_set_timeout(tc, 60);
        tcase_add_loop_test(tc, test_delivered, 0, all);
        tcase_add_test(tc, test_few_large_ones_are_taken);
        tcase_add_test(tc, test_groups_with_data);
        tcase_add_loop_test(tc, test_shortened_waits, 0, 3);
        tcase_add_test(tc, test_groups_with_bdat);
        tcase_add_test(tc, test_dsn_and_utf8);
        tcase_add_loop_test(tc, test_carried, 0, (int)count_of(carried));
        tcase_add_loop_test(tc, test_refusals, 0, (int)count_of(refusals));
        tcase_add_loop_test(tc, test_breaks, 0, (int)count_of(breaks));
        tcase_add_loop_test(tc, test_cut_after_every_byte, 0, all);
        tcase_add_loop_test(tc, test_wrong_bodies, 0, (int)count_of(wrong_bodies));
        tcase_add_test(tc, test_smuggling);
        tcase_add_loop_test(tc, test_sending_from_finished, 0, all);
        tcase_add_loop_test(tc, test_giving_up_from_finished, 0, all);
        tcase_add_loop_test(tc, test_freed_in_flight, 0, all);
        tcase_add_loop_test(tc, test_memory_is_bounded, 0, all);
        tcase_add_loop_test(tc, test_throughput, 0, all);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
