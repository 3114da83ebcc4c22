/* SPDX-License-Identifier: MIT */
/*
 * Another way where a server does not bear the first: odd servers as data, each with what it answers and what
 * must come of it. A message is given to sessions one after the other, as its owner does, until all of it is
 * decided.
 */
#include "daemon/smtp/pipeline.h"
#include "smtp_receiver.h"

#include <check.h>

enum { RECIPIENTS = 230, SAYS = 6, SESSIONS_MOST = 6, ALWAYS = -1 };

static struct {
        struct smtp_mail mail;
        struct smtp_recipient recipients[RECIPIENTS];
        char addresses[RECIPIENTS][24];
        size_t at;
        unsigned finished, partly;
        bool again;
} post;

static const char body[] = "Subject: x\r\n\r\n.text\r\n";
static struct engine *engine;
static struct receiver receiver;
static struct smtp_ways ways;
static unsigned sessions;

static struct say {
        const char *line, *reply; /* to a line that begins so; "*" before it: that holds it; reply "":
                                     nothing, and the end */
        int times;                /* ALWAYS */
} says[SAYS];
static size_t most_recipients; /* in a transaction; 0: any */
static bool all_or_none;       /* who asks for more gets none of it taken */
static size_t stray;           /* lines said after the end of a message */
static bool closed;

static const char *answer(struct receiver *r, const char *line)
{
        for (size_t i = 0; i < SAYS && says[i].line; i++) {
                const char *wanted = says[i].line;
                bool fits = wanted[0] == '*' ? strstr(line, wanted + 1) != NULL
                                             : strncmp(line, wanted, strlen(wanted)) == 0;
                if (!fits || !says[i].times)
                        continue;
                says[i].times -= says[i].times > 0;
                closed |= !says[i].reply[0];
                return says[i].reply;
        }
        static bool beyond;
        if (strncmp(line, "MAIL", 4) == 0)
                beyond = false;
        if (most_recipients && strncmp(line, "RCPT", 4) == 0 && r->recipients >= most_recipients) {
                beyond = true;
                return all_or_none ? "552 too many recipients" : "452 4.5.3 Error: too many recipients";
        }
        if (all_or_none && beyond && (strcmp(line, "DATA") == 0 || strcmp(line, ".") == 0))
                return "554 Too many recipients";
        if (stray && strcmp(line, ".") == 0)
                return "250 2.0.0 taken\r\n250 and again";
        return NULL;
}

static enum smtp_body next_piece(struct smtp_mail *mail unused_arg, const uint8_t **bytes, size_t *len)
{
        *bytes = (const uint8_t *)body + post.at;
        *len = sizeof body - 1 - post.at;
        post.at += *len;
        return *len ? BODY_BYTES : BODY_END;
}

static void rewind_body(struct smtp_mail *mail unused_arg)
{
        post.at = 0;
}

static void partly(struct smtp_mail *mail unused_arg)
{
        post.partly++;
}

static void finished(struct smtp_mail *mail, const struct cause *why)
{
        bool left = false;

        for (size_t i = 0; i < mail->recipient_count; i++) {
                left |= mail->recipients[i].outcome == OUTCOME_NONE;
                mail->recipients[i].decided = mail->recipients[i].outcome != OUTCOME_NONE;
        }
        post.again = why && left && smtp_session_anew(engine);
        post.finished += !post.again;
}

static void say(const char *text)
{
        engine->class->received(engine, (const uint8_t *)text, strlen(text));
}

static void exchange(void)
{
        while (!engine_is_over(engine) && !closed) {
                if (engine->out.len) {
                        receiver_take(&receiver, buf_bytes(&engine->out), engine->out.len);
                        buf_consume(&engine->out, engine->out.len);
                        engine->class->drained(engine);
                } else if (receiver.replies.len) {
                        size_t len = receiver.replies.len;
                        uint8_t *copy = memcpy(new_zeroed(len, 1), buf_bytes(&receiver.replies), len);
                        buf_consume(&receiver.replies, len);
                        engine->class->received(engine, copy, len);
                        free(copy);
                } else {
                        return;
                }
        }
        if (closed)
                engine->class->closed(engine);
        closed = false;
}

/* One session, until the message comes back. */
static void send_once(const char *offers)
{
        struct smtp_config config = { .hello = "me.example",
                                      .domain = "site.example",
                                      .signin = { .mechanism = "auto" },
                                      .ways = &ways };
        struct engine_channel channel = { .tls = true, .local = "[192.0.2.7]" };

        sessions++;
        receiver.mode = RECEIVER_COMMAND;
        receiver.mail = receiver.spoiled = false;
        buf_clear(&receiver.line);
        buf_clear(&receiver.replies);
        engine = smtp_session_new(&config);
        engine->class->start(engine, &channel);
        say("220 x\r\n");
        receiver_put(&receiver.log, buf_bytes(&engine->out), engine->out.len - 2);
        receiver_put(&receiver.log, "\n", 1);
        buf_clear(&engine->out);
        say(offers);
        ck_assert_int_eq(engine->state, ENGINE_READY);
        post.at = 0;
        smtp_mail_send(engine, &post.mail);
        exchange();
}

static void prepare(size_t recipients)
{
        memset(&ways, 0, sizeof ways);
        memset(&post, 0, sizeof post);
        sessions = 0;
        receiver_init(&receiver);
        receiver.answer = answer;
        post.mail = (struct smtp_mail){ .from = "me@x.example",
                                        .recipients = post.recipients,
                                        .recipient_count = recipients,
                                        .size = sizeof body - 1,
                                        .body = next_piece,
                                        .rewind = rewind_body,
                                        .partly = partly,
                                        .finished = finished };
        for (size_t i = 0; i < recipients; i++) {
                (void)snprintf(post.addresses[i], sizeof post.addresses[i], "r%u@x.example",
                               (unsigned)i % 1000);
                post.recipients[i].address = post.addresses[i];
                post.recipients[i].notify = "FAILURE";
        }
}

#define ALL   "250-x\r\n250-SIZE 100000\r\n250-8BITMIME\r\n250-DSN\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
#define PIPED "250-x\r\n250-SIZE 100000\r\n250-DSN\r\n250 PIPELINING\r\n"
#define PLAIN "250 x\r\n"

/* clang-format off */
static const struct {
        const char *name, *offers;
        struct say says[SAYS];
        enum smtp_outcome outcome;  /* of all three recipients */
        unsigned sessions;
        size_t messages;            /* taken */
        const char *last;           /* in what the last session said */
        const char *news;
        enum cause_code cause;      /* of the last session */
} odd[] = {
        { "nothing odd", ALL, { { 0 } }, OUTCOME_SENT, 1, 1, "BDAT", "", 0 },
        { "BDAT unknown", ALL, { { "BDAT", "500 what", ALWAYS }, { ".", "500 5.5.1 what", 1 } }, OUTCOME_SENT, 2, 1, "DATA\n", "BDAT", 0 },
        { "BDAT out of place", ALL, { { ".", "503 5.5.1 bad sequence", 1 } }, OUTCOME_SENT, 2, 1, "DATA\n", "BDAT", 0 },
        { "MAIL parameters", PIPED, { { "*SIZE=", "555 5.5.4 unsupported option", ALWAYS } }, OUTCOME_SENT, 1, 1, "MAIL FROM:<me@x.example>\n", "MAIL", 0 },
        { "MAIL parameters, with BDAT", ALL, { { "*SIZE=", "501 5.5.4 syntax", ALWAYS } }, OUTCOME_SENT, 1, 1, "MAIL FROM:<me@x.example>\n", "MAIL", 0 },
        { "RCPT parameters", PIPED, { { "*NOTIFY=", "555 5.5.4 not recognized", ALWAYS } }, OUTCOME_SENT, 1, 1, "RCPT TO:<r2@x.example>\n", "RCPT", 0 },
        { "both", PIPED, { { "*SIZE=", "501 x", ALWAYS }, { "*NOTIFY=", "501 x", ALWAYS } }, OUTCOME_SENT, 1, 1, "RCPT TO:<r2@x.example>\n", "", 0 },
        { "refused without parameters too", PIPED, { { "MAIL", "501 x", ALWAYS } }, OUTCOME_REFUSED, 1, 0, "MAIL FROM:<me@x.example>\n", "", 0 },
        { "RCPT out of place", PIPED, { { "RCPT", "503 5.5.1 need MAIL", 3 } }, OUTCOME_SENT, 1, 1, "RSET\nMAIL", "one command", 0 },
        { "DATA out of place", PIPED, { { "DATA", "503 5.5.0 improper use of pipelining", 1 } }, OUTCOME_SENT, 1, 1, "RSET\nMAIL", "one command", 0 },
        { "MAIL out of place", PLAIN, { { "MAIL", "503 5.5.1 say EHLO first", 1 } }, OUTCOME_SENT, 2, 1, "EHLO", "one command", 0 },
        { "hangs up on a group", PIPED, { { "RCPT", "", 1 } }, OUTCOME_NONE, 1, 0, "EHLO", "ended the session", CAUSE_CLOSED },
        { "name at RCPT", PIPED, { { "RCPT", "504 5.5.2 <me.example>: Helo command rejected", 3 } }, OUTCOME_SENT, 2, 1, "EHLO [192.0.2.7]\n", "our name", 0 },
        { "name at RCPT, the content behind it", ALL, { { "RCPT", "450 4.7.1 <me.example>: Helo command rejected: Host not found", 3 } }, OUTCOME_SENT, 2, 1,
          "EHLO [192.0.2.7]\n", "our name", 0 },
        { "name at MAIL, the content behind it", ALL, { { "MAIL", "550 5.7.1 bad HELO name", 1 } }, OUTCOME_SENT, 2, 1, "EHLO [192.0.2.7]\n", "our name", 0 },
        { "limit at MAIL, the content behind it", ALL, { { "MAIL", "550 5.4.5 Daily user sending limit exceeded", ALWAYS } }, OUTCOME_NONE, 1, 0, "EHLO", "",
          CAUSE_ACCOUNT_REFUSED },
        { "name at MAIL, twice", PLAIN, { { "MAIL", "550 5.7.1 bad HELO name", 2 } }, OUTCOME_SENT, 3, 1, "EHLO site.example\n", "our name", 0 },
        { "no name", PLAIN, { { "MAIL", "550 5.7.1 bad HELO name", ALWAYS } }, OUTCOME_NONE, 3, 0, "EHLO site.example\n", "", CAUSE_NAME_REFUSED },
        { "go-ahead to MAIL", PIPED, { { "MAIL", "354 go", 1 } }, OUTCOME_SENT, 2, 1, "EHLO", "out of step", 0 },
        { "250 to DATA", PIPED, { { "DATA", "250 ok", 1 } }, OUTCOME_SENT, 2, 1, "EHLO", "out of step", 0 },
        { "250 to DATA for ever", PIPED, { { "DATA", "250 ok", ALWAYS } }, OUTCOME_NONE, 2, 0, "EHLO", "", CAUSE_PROTOCOL },
        { "limit of the account", PIPED, { { "MAIL", "550 5.4.5 Daily user sending limit exceeded", ALWAYS } }, OUTCOME_NONE, 1, 0, "EHLO", "", CAUSE_ACCOUNT_REFUSED },
        { "limit at the end", ALL, { { ".", "550 5.4.5 Daily user sending limit exceeded", ALWAYS } }, OUTCOME_NONE, 1, 1, "EHLO", "", CAUSE_ACCOUNT_REFUSED },
};
/* clang-format on */

/* What the last session said. */
static const char *last_session(void)
{
        const char *text = (const char *)buf_bytes(&receiver.log), *at = text, *next;

        while ((next = strstr(at + 1, "EHLO ")) != NULL)
                at = next;
        return at;
}

START_TEST(odd_servers_are_sent_to_in_another_way)
{
        prepare(3);
        memcpy(says, odd[_i].says, sizeof says);
        char news[sizeof ways.news] = "";
        do {
                send_once(odd[_i].offers);
                if (ways.news[0])
                        memcpy(news, ways.news, sizeof news);
                if (post.again)
                        engine->class->free(engine);
        } while (post.again && sessions < SESSIONS_MOST);
        receiver_put(&receiver.log, "", 1);
        const char *log = last_session();
        ck_assert_msg(post.finished == 1, "%s: finished %u times", odd[_i].name, post.finished);
        ck_assert_msg(sessions == odd[_i].sessions, "%s: %u sessions, %s\n%s", odd[_i].name, sessions,
                      engine->cause->text, log);
        for (size_t i = 0; i < 3; i++)
                ck_assert_msg(post.recipients[i].outcome == odd[_i].outcome, "%s: %d %s\n%s", odd[_i].name,
                              post.recipients[i].outcome, post.recipients[i].reply, log);
        ck_assert_msg(strstr(log, odd[_i].last), "%s:\n%s", odd[_i].name, log);
        ck_assert_msg(strstr(news, odd[_i].news), "%s: %s", odd[_i].name, news);
        ck_assert_msg(engine->cause->code == odd[_i].cause, "%s: %s", odd[_i].name, engine->cause->text);
        ck_assert_msg(!receiver.violation, "%s: %s", odd[_i].name, receiver.violation);
        engine->class->free(engine);
        receiver_done(&receiver);
}
END_TEST

/* What is learnt holds for the next message. */
START_TEST(a_way_is_remembered)
{
        prepare(3);
        memcpy(says, odd[3].says, sizeof says);
        send_once(PIPED);
        buf_clear(&receiver.log);
        for (size_t i = 0; i < 3; i++)
                post.recipients[i].decided = false;
        post.at = 0;
        smtp_mail_send(engine, &post.mail);
        exchange();
        receiver_put(&receiver.log, "", 1);
        ck_assert_uint_eq(post.finished, 2);
        ck_assert_ptr_null(strstr((const char *)buf_bytes(&receiver.log), "SIZE="));
        engine->class->free(engine);
        receiver_done(&receiver);
}
END_TEST

/* A server that takes one message in a session says so at the next MAIL: that one goes in a session of its
 * own, at once, and so do those after it. */
START_TEST(one_message_in_a_session)
{
        static const char *const offers[] = { PLAIN, PIPED, ALL };
        static const char *const replies[] = { "421 closing transmission channel", "503 5.5.1 bad sequence",
                                               "451 4.7.0 too many messages in this session" };

        prepare(1);
        memset(says, 0, sizeof says);
        for (unsigned round = 0; round < 4; round++) {
                send_once(offers[_i / 3]);
                ck_assert_uint_eq(post.finished, round + 1);
                ck_assert_int_eq(post.recipients[0].outcome, OUTCOME_SENT);
                post.recipients[0] = (struct smtp_recipient){ .address = post.addresses[0] };
                post.at = 0;
                says[0] = (struct say){ "MAIL", replies[_i % 3], 2 };
                says[1] = (struct say){ "RCPT", "503 no MAIL", 2 };
                says[2] = (struct say){ "DATA", "503 no MAIL", 2 };
                says[3] = (struct say){ ".", "503 no MAIL", 2 };
                smtp_mail_send(engine, &post.mail);
                exchange();
                ck_assert_msg(post.again, "%s: %s", replies[_i % 3], post.recipients[0].reply);
                memset(says, 0, sizeof says);
                engine->class->free(engine);
        }
        receiver_done(&receiver);
}
END_TEST

static size_t count(const char *word)
{
        size_t found = 0;

        for (const char *at = (const char *)buf_bytes(&receiver.log); (at = strstr(at, word)) != NULL; at++)
                found++;
        return found;
}

/* A server takes `most` at once: all of them get the message at once, in groups of so many, each once. */
START_TEST(recipients_go_in_groups_of_what_is_taken)
{
        static const char *const offers[] = { PLAIN, PIPED, ALL };
        static const size_t limits[] = { 1, 2, 10, 99, 100, 150, 0 };

        for (size_t o = 0; o < count_of(offers); o++)
                for (size_t l = 0; l < count_of(limits); l++) {
                        size_t most = limits[l] && limits[l] < 100 ? limits[l] : 100;
                        prepare(RECIPIENTS);
                        memset(says, 0, sizeof says);
                        most_recipients = limits[l];
                        send_once(offers[o]);
                        receiver_put(&receiver.log, "", 1);
                        ck_assert_uint_eq(post.finished, 1);
                        for (size_t i = 0; i < RECIPIENTS; i++)
                                ck_assert_msg(post.recipients[i].outcome == OUTCOME_SENT, "%zu: %s", i,
                                              post.recipients[i].reply);
                        ck_assert_uint_eq(receiver.messages, (RECIPIENTS + most - 1) / most);
                        ck_assert_uint_eq(post.partly, receiver.messages - 1);
                        ck_assert_uint_le(count("RCPT"), RECIPIENTS + 26);
                        ck_assert(!receiver.violation);
                        engine->class->free(engine);
                        receiver_done(&receiver);
                }
        most_recipients = 0;
}
END_TEST

/* The same where the content is refused to all of them then. */
START_TEST(recipients_go_in_groups_where_all_are_refused)
{
        static const char *const offers[] = { PLAIN, PIPED, ALL };

        prepare(RECIPIENTS);
        memset(says, 0, sizeof says);
        most_recipients = 10;
        all_or_none = true;
        send_once(offers[_i]);
        ck_assert_uint_eq(post.finished, 1);
        for (size_t i = 0; i < RECIPIENTS; i++)
                ck_assert_msg(post.recipients[i].outcome == OUTCOME_SENT, "%zu: %s", i,
                              post.recipients[i].reply);
        ck_assert(!receiver.violation);
        engine->class->free(engine);
        receiver_done(&receiver);
        most_recipients = 0;
        all_or_none = false;
}
END_TEST

/* A line more than was asked for ends the session after the message, and harms nobody. */
START_TEST(a_stray_line_is_no_fault)
{
        prepare(1);
        memset(says, 0, sizeof says);
        stray = 1;
        send_once(PIPED);
        ck_assert_int_eq(post.recipients[0].outcome, OUTCOME_SENT);
        ck_assert_int_eq(engine->state, ENGINE_ENDED);
        engine->class->free(engine);
        receiver_done(&receiver);
        stray = 0;
}
END_TEST

/* The connection breaks in the middle of the groups: what was decided stays, what was on its way is
 * ambiguous, the rest is as it was. */
START_TEST(a_break_between_groups)
{
        prepare(30);
        memset(says, 0, sizeof says);
        most_recipients = 10;
        receiver.messages = 0;
        says[0] = (struct say){ "RCPT TO:<r15@", "", 2 };
        says[1] = (struct say){ "RCPT TO:<r14@", "250 ok", 1 };
        says[0].times = 1;
        send_once(PLAIN);
        size_t sent = 0, none = 0;
        for (size_t i = 0; i < 30; i++) {
                sent += post.recipients[i].outcome == OUTCOME_SENT;
                none += post.recipients[i].outcome == OUTCOME_NONE;
        }
        ck_assert_uint_eq(sent, 10);
        ck_assert_uint_eq(none, 20);
        engine->class->free(engine);
        receiver_done(&receiver);
        most_recipients = 0;
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("smtp_ways");
        TCase *tests = tcase_create("ways");

        tcase_add_loop_test(tests, odd_servers_are_sent_to_in_another_way, 0, count_of(odd));
        tcase_add_test(tests, a_way_is_remembered);
        tcase_add_loop_test(tests, one_message_in_a_session, 0, 9);
        tcase_add_test(tests, recipients_go_in_groups_of_what_is_taken);
        tcase_add_loop_test(tests, recipients_go_in_groups_where_all_are_refused, 0, 3);
        tcase_add_test(tests, a_stray_line_is_no_fault);
        tcase_add_test(tests, a_break_between_groups);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
