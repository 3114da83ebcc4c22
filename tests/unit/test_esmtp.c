/* SPDX-License-Identifier: MIT */
/* The server's side of submission: scripts of what a client says and what is answered, whole, byte by byte
 * and at each split. */
#include "common/esmtp/server.h"
#include "common/json_fields.h"
#include "common/limits.h"

#include <check.h>
#include <stdio.h>

/* ---- a plain owner ---- */

struct owner {
        struct esmtp *esmtp;
        struct buf mail, log, said; /* messages accepted; wishes in order; replies */
        unsigned signin_steps, secured;
        bool ended;
};

static void on_body(void *ctx, const uint8_t *bytes, size_t len)
{
        struct owner *owner = ctx;

        ck_assert_int_eq(buf_append(&owner->mail, bytes, len), 0);
}

static void on_forget(void *ctx)
{
        struct owner *owner = ctx;

        buf_clear(&owner->mail);
}

static const struct esmtp_user user = { .body = on_body, .forget = on_forget };

printf_like(2, 3) static void note(struct owner *owner, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        ck_assert_int_eq(buf_vappendf(&owner->log, format, args), 0);
        va_end(args);
}

static void answer_mail(struct owner *owner)
{
        const struct esmtp_envelope *envelope = esmtp_envelope(owner->esmtp);
        struct esmtp_answer answer = { 0 };

        note(owner, "mail <%s> %s %s\n", envelope->from, envelope->ret,
             envelope->envelope_id ? envelope->envelope_id : "");
        if (strcmp(envelope->from, "bad@x.example") == 0)
                answer = (struct esmtp_answer){ 550, "5.7.1", "not\r\n250 you", "ask", false };
        esmtp_answer(owner->esmtp, &answer);
}

static void answer_recipient(struct owner *owner)
{
        const struct esmtp_envelope *envelope = esmtp_envelope(owner->esmtp);
        const struct esmtp_recipient *last = &envelope->recipients[envelope->recipient_count - 1];
        struct esmtp_answer answer = { 0 };

        note(owner, "rcpt <%s> %s%s%s\n", last->address, last->notify, last->original ? " of " : "",
             last->original ? last->original : "");
        if (strncmp(last->address, "no", 2) == 0)
                answer = (struct esmtp_answer){ 550, "5.1.1", "nobody", NULL, false };
        if (strcmp(last->address, "root") == 0)
                esmtp_redirect(owner->esmtp, "root@plant.example");
        esmtp_answer(owner->esmtp, &answer);
}

static void answer_data(struct owner *owner)
{
        struct esmtp_answer answer = { 0 };

        note(owner, "data\n");
        if (esmtp_envelope(owner->esmtp)->size == 4321)
                answer = (struct esmtp_answer){ 452, "4.3.1", "full", NULL, false };
        esmtp_answer(owner->esmtp, &answer);
}

static void answer_commit(struct owner *owner)
{
        static const struct esmtp_answer yes = { .text = "queued as 1" };
        const struct esmtp_envelope *envelope = esmtp_envelope(owner->esmtp);

        note(owner, "commit %s %zu [", esmtp_protocol(owner->esmtp), envelope->recipient_count);
        ck_assert_int_eq(buf_append(&owner->log, buf_bytes(&owner->mail), owner->mail.len), 0);
        note(owner, "]\n");
        esmtp_answer(owner->esmtp, &yes);
}

static void answer_signin(struct owner *owner)
{
        struct esmtp_signin signin;
        struct esmtp_answer answer = { 0 };

        esmtp_signin(owner->esmtp, &signin);
        if (signin.first)
                owner->signin_steps = 0;
        note(owner, "auth %s %.*s\n", signin.mechanism, signin.bytes ? (int)signin.len : 2,
             signin.bytes ? (const char *)signin.bytes : "--");
        if (strcmp(signin.mechanism, "LOGIN") == 0 && owner->signin_steps++ < 2) {
                esmtp_challenge(owner->esmtp, "more", 4);
                return;
        }
        if (signin.bytes && memmem(signin.bytes, signin.len, "wrong", 5))
                answer = (struct esmtp_answer){ 535, "5.7.8", "no", NULL, false };
        esmtp_answer(owner->esmtp, &answer);
}

/* False: more input is needed, or it is over. */
static bool serve(struct owner *owner, enum esmtp_want want)
{
        struct buf *out = esmtp_out(owner->esmtp);

        ck_assert_int_eq(buf_append(&owner->said, buf_bytes(out), out->len), 0);
        buf_clear(out);
        switch (want) {
        case ESMTP_INPUT:
                return false;
        case ESMTP_FLUSH:
                break;
        case ESMTP_MAIL:
                answer_mail(owner);
                break;
        case ESMTP_RECIPIENT:
                answer_recipient(owner);
                break;
        case ESMTP_DATA:
                answer_data(owner);
                break;
        case ESMTP_COMMIT:
                answer_commit(owner);
                break;
        case ESMTP_SIGNIN:
                answer_signin(owner);
                break;
        case ESMTP_STARTTLS:
                owner->secured++;
                esmtp_secured(owner->esmtp);
                break;
        case ESMTP_END:
                owner->ended = true;
                return false;
        }
        return true;
}

static void feed(struct owner *owner, const char *text, size_t len, size_t portion)
{
        for (size_t at = 0; at < len && !owner->ended;) {
                size_t piece = len - at < portion ? len - at : portion, used = 0;
                uint8_t *bytes =
                        memcpy(new_zeroed(piece, 1), text + at, piece); /* of exactly this size, for ASan */
                size_t done = 0;
                enum esmtp_want want;
                do {
                        want = esmtp_work(owner->esmtp, bytes + done, piece - done, &used);
                        done += used;
                } while (serve(owner, want));
                ck_assert(owner->ended || done == piece);
                at += piece;
                free(bytes);
        }
}

static void begin(struct owner *owner, bool input, bool secure)
{
        struct esmtp_rules rules = { .hostname = "plant.example", .max_size = 5000, .standard_input = input };

        *owner = (struct owner){ .mail = { .max = 4 * MIB }, .log = { .max = MIB }, .said = { .max = MIB } };
        owner->esmtp = esmtp_new(&rules, &user, owner);
        esmtp_offer(owner->esmtp, !secure, "PLAIN LOGIN SCRAM-SHA-256");
        if (secure)
                esmtp_secured(owner->esmtp);
        esmtp_greet(owner->esmtp, NULL);
}

static void end(struct owner *owner)
{
        esmtp_free(owner->esmtp);
        buf_free(&owner->mail);
        buf_free(&owner->log);
        buf_free(&owner->said);
}

/* ---- scripts ---- */

#define EHLO "EHLO me.example\r\n"
#define MAIL "MAIL FROM:<a@x.example>\r\n"
#define RCPT "RCPT TO:<b@y.example>\r\n"
#define UPTO EHLO MAIL RCPT

/* The first three digits of each reply's last line. */
static void codes_of(const struct buf *said, char *out, size_t size)
{
        const char *at = (const char *)buf_bytes(said), *stop = at + said->len;
        size_t len = 0;

        out[0] = '\0';
        while (at && at < stop) {
                const char *lf = memchr(at, '\n', (size_t)(stop - at));
                ck_assert(lf && lf[-1] == '\r' && lf - at <= 511);
                ck_assert(!memchr(at, '\r', (size_t)(lf - 1 - at)));
                if (at[3] == ' ')
                        len += (size_t)snprintf(out + len, size - len, "%s%.3s", len ? " " : "", at);
                at = lf + 1;
        }
}

static const struct script {
        const char *name, *in; /* DATA waits for its go-ahead where the script has a \1 */
        const char *codes;     /* after the greeting */
        const char *log;       /* NULL: no matter */
        bool ended;
} scripts[] = {
        { "a message", UPTO "DATA\r\n\1Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n", "250 250 250 354 250 221",
          "mail <a@x.example>  \nrcpt <b@y.example> \ndata\ncommit ESMTP 1 [Subject: x\r\n\r\nhello\r\n]\n",
          true },
        { "HELO", "HELO me\r\n" MAIL RCPT "DATA\r\n\1x\r\n.\r\n", "250 250 250 354 250",
          "mail <a@x.example>  \nrcpt <b@y.example> \ndata\ncommit SMTP 1 [x\r\n]\n", false },
        { "dots", UPTO "DATA\r\n\1..\r\n...x\r\n.y\r\nz.\r\n\r\n..\r\n.\r\n", "250 250 250 354 250",
          "mail <a@x.example>  \nrcpt <b@y.example> \ndata\ncommit ESMTP 1 "
          "[.\r\n..x\r\ny\r\nz.\r\n\r\n.\r\n]\n",
          false },
        { "nothing in it", UPTO "DATA\r\n\1.\r\n", "250 250 250 354 250",
          "mail <a@x.example>  \nrcpt <b@y.example> \ndata\ncommit ESMTP 1 []\n", false },
        { "two messages", UPTO "DATA\r\n\1x\r\n.\r\n" MAIL RCPT "DATA\r\n\1y\r\n.\r\n",
          "250 250 250 354 250 250 250 354 250",
          "mail <a@x.example>  \nrcpt <b@y.example> \ndata\ncommit ESMTP 1 [x\r\n]\n"
          "mail <a@x.example>  \nrcpt <b@y.example> \ndata\ncommit ESMTP 1 [y\r\n]\n",
          false },
        /* parameters */
        { "parameters",
          EHLO "mail from:<> size=10 body=8bitmime ret=hdrs envid=a+2Bb smtputf8 auth=<>\r\n"
               "rcpt to:<\"a b\"@y.example> notify=success,failure orcpt=rfc822;x@y\r\n",
          "250 250 250", "mail <> HDRS a+b\nrcpt <\"a b\"@y.example> SUCCESS,FAILURE of rfc822;x@y\n",
          false },
        { "original recipients",
          EHLO MAIL
          "RCPT TO:<b@y.example> ORCPT=rfc822;a+2Bb+40+3D\r\nRCPT TO:<no@y.example> ORCPT=rfc822;x\r\n"
          "RCPT TO:<b@y.example> ORCPT=x@y\r\nRCPT TO:<b@y.example> ORCPT=rfc822;a+0D+0Ab\r\n"
          "RCPT TO:<b@y.example> ORCPT=rfc822;a+b\r\nRCPT TO:<b@y.example> ORCPT=\r\n"
          "RCPT TO:<b@y.example> ORCPT=utf-8;\xc3\xa4@x\r\n",
          "250 250 250 550 501 501 501 501 501",
          "mail <a@x.example>  \nrcpt <b@y.example>  of rfc822;a+b@=\nrcpt <no@y.example>  of rfc822;x\n",
          false },
        { "an original recipient in UTF-8",
          EHLO "MAIL FROM:<a@x.example> SMTPUTF8\r\nRCPT TO:<b@y.example> ORCPT=utf-8;\xc3\xa4@x\r\n"
               "RCPT TO:<b@y.example> ORCPT=utf-8;\xc3@x\r\n",
          "250 250 250 501", "mail <a@x.example>  \nrcpt <b@y.example> \n", false },
        { "without brackets", EHLO "MAIL FROM: a@x.example\r\nRCPT TO:b@y.example\r\n", "250 250 250",
          "mail <a@x.example>  \nrcpt <b@y.example> \n", false },
        { "a name of this machine", EHLO "MAIL FROM:<cron>\r\nRCPT TO:<root>\r\n", "250 250 250",
          "mail <cron>  \nrcpt <root> \n", false },
        { "letters", EHLO "MAIL FROM:<\xc3\xa4@x.example>\r\nMAIL FROM:<\xc3\xa4@x.example> SMTPUTF8\r\n",
          "250 553 250", "mail <\xc3\xa4@x.example>  \n", false },
        { "too large as announced", EHLO "MAIL FROM:<a@x.example> SIZE=5001\r\n" RCPT, "250 552 503", "",
          false },
        { "wrong parameters",
          EHLO "MAIL FROM:<a@x.example> BODY=BINARYMIME\r\nMAIL FROM:<a@x.example> XX=1\r\n"
               "MAIL FROM:<a@x.example> SIZE\r\nMAIL FROM:<a@x.example> SIZE=1 SIZE=2\r\nMAIL "
               "FROM:<a@x.example>SIZE=1\r\n"
               "MAIL FROM:<a@x.example> ENVID=a+0D+0Ab\r\n",
          "250 555 555 555 555 501 501", "", false },
        { "HELO has no parameters", "HELO me\r\nMAIL FROM:<a@x.example> SIZE=1\r\n", "250 555", "", false },
        { "wrong addresses",
          EHLO "MAIL FROM:a b@x\r\nMAIL FROM:<a@x@y>\r\nMAIL FROM:<@a,@b:c@d.example>\r\nMAIL "
               "FROM:<a@x\r\nMAIL\r\n" MAIL "RCPT TO:<>\r\nRCPT TO:<a@b c>\r\n",
          "250 555 553 553 501 501 250 553 553", NULL, false },
        { "refused by the owner", EHLO "MAIL FROM:<bad@x.example>\r\n" RCPT, "250 550 503", NULL, false },
        { "no recipient", EHLO MAIL "RCPT TO:<no@y.example>\r\nDATA\r\n", "250 250 550 554", NULL, false },
        { "one of two", EHLO MAIL "RCPT TO:<no@y.example>\r\n" RCPT "DATA\r\n\1x\r\n.\r\n",
          "250 250 550 250 354 250", NULL, false },
        { "order", MAIL EHLO RCPT "DATA\r\n\1" MAIL MAIL "RSET\r\n" RCPT, "503 250 503 503 250 503 250 503",
          NULL, false },
        { "begun anew", UPTO "EHLO you\r\n" RCPT, "250 250 250 250 503", NULL, false },
        { "small words",
          "NOOP\r\nnoop x\r\nVRFY a\r\nVRFY\r\nEXPN l\r\nHELP\r\nRSET\r\nRSET x\r\nWHAT\r\n\r\nEHLO\r\nEHLO "
          "a b\r\n",
          "250 250 252 501 502 214 250 501 500 500 501 501", NULL, false },
        { "no room", EHLO "MAIL FROM:<a@x.example> SIZE=4321\r\n" RCPT "DATA\r\n\1" RCPT,
          "250 250 250 452 503", NULL, false },
        /* what can be read in two ways */
        { "bare LF in a command", "EHLO me\nMAIL FROM:<a@x.example>\r\n", "521", "", true },
        { "bare CR in a command", "EHLO me\rMAIL FROM:<a@x.example>\r\n", "521", "", true },
        { "CR CR LF", "EHLO me\r\r\n", "521", "", true },
        { "bare LF", UPTO "DATA\r\n\1a\nb\r\n.\r\n", "250 250 250 354 521", NULL, true },
        { "bare CR", UPTO "DATA\r\n\1a\rb\r\n.\r\n", "250 250 250 354 521", NULL, true },
        { "LF . CRLF", UPTO "DATA\r\n\1a\n.\r\n" MAIL, "250 250 250 354 521", NULL, true },
        { "LF . LF", UPTO "DATA\r\n\1a\n.\n" MAIL, "250 250 250 354 521", NULL, true },
        { "CRLF . LF", UPTO "DATA\r\n\1a\r\n.\n" MAIL, "250 250 250 354 521", NULL, true },
        { "CRLF . CR", UPTO "DATA\r\n\1a\r\n.\r" MAIL, "250 250 250 354 521", NULL, true },
        { "CR . CR", UPTO "DATA\r\n\1a\r.\r" MAIL, "250 250 250 354 521", NULL, true },
        { "CR LF CR . CRLF", UPTO "DATA\r\n\1a\r\n\r.\r\n" MAIL, "250 250 250 354 521", NULL, true },
        { "CRLF . CR NUL LF", UPTO "DATA\r\n\1a\r\n.\r\2\n" MAIL, "250 250 250 354 521", NULL, true },
        { "a header for a command", "Subject: x\r\n", "521", "", true },
        { "HTTP", "POST / HTTP/1.1\r\nHost: x\r\n", "521", "", true },
        { "a line without end", "EHLO {long}\r\n", "521", "", true },
        /* BDAT */
        { "chunks", UPTO "BDAT 5\r\n\1a\r\n.\rBDAT 6 LAST\r\n\1\n.\r\n.\n", "250 250 250 250 521", NULL,
          true },
        { "a dot in a chunk", UPTO "BDAT 6 LAST\r\n\1a\r\n.\r\nNOOP\r\n", "250 250 250 250 250",
          "mail <a@x.example>  \nrcpt <b@y.example> \ndata\ncommit ESMTP 1 [a\r\n.\r\n]\n", false },
        { "two chunks", UPTO "BDAT 2\r\n\1a\rBDAT 4 LAST\r\n\1\nb\r\nNOOP\r\n", "250 250 250 250 250 250",
          "mail <a@x.example>  \nrcpt <b@y.example> \ndata\ncommit ESMTP 1 [a\r\nb\r\n]\n", false },
        { "an empty last chunk", UPTO "BDAT 3\r\n\1a\r\nBDAT 0 LAST\r\nNOOP\r\n", "250 250 250 250 250 250",
          NULL, false },
        { "bare LF in a chunk", UPTO "BDAT 4 LAST\r\n\1a\nb\n", "250 250 250 521", NULL, true },
        { "a CR at the very end", UPTO "BDAT 2 LAST\r\n\1a\r", "250 250 250 521", NULL, true },
        { "a chunk too early", EHLO MAIL "BDAT 6 LAST\r\n\1QUIT\r\nNOOP\r\n", "250 250 503 250", NULL,
          false },
        { "chunk without length", UPTO "BDAT x\r\n", "250 250 250 521", NULL, true },
        { "no other command between chunks", UPTO "BDAT 3\r\n\1a\r\nDATA\r\n\1" RCPT,
          "250 250 250 250 503 503", NULL, false },
        { "no room for a chunk",
          EHLO "MAIL FROM:<a@x.example> SIZE=4321\r\n" RCPT "BDAT 3\r\n\1a\r\nBDAT 3 LAST\r\n\1b\r\nNOOP\r\n",
          "250 250 250 452 452 250", NULL, false },
        /* signing in outside TLS */
        { "AUTH in clear", EHLO "AUTH PLAIN AGEAYg==\r\n", "250 538", "", false },
};

enum { SIZE = 20000 };

static char *text_for(const struct script *script)
{
        char *text = new_zeroed(SIZE, 1), *to = text;

        for (const char *from = script->in; *from; from++) {
                if (strncmp(from, "{long}", 6) == 0) {
                        memset(to, 'x', 5000);
                        to += 5000;
                        from += 5;
                } else {
                        *to++ = *from;
                }
        }
        return text;
}

/* Where the script waits for a go-ahead, the portion ends; a \2 is a NUL. */
static void run(const struct script *script, size_t portion, size_t split)
{
        scoped(scoped_free) char *text = text_for(script);
        struct owner owner;
        char codes[400];

        begin(&owner, false, false);
        for (char *at = text, *next; *at && !owner.ended; at = next) {
                size_t len = strcspn(at, "\1");
                bool waits = at[len] == '\1';
                next = at + len + (waits ? 1 : 0);
                for (size_t i = 0; i < len; i++)
                        if (at[i] == '\2')
                                at[i] = '\0';
                size_t first = (size_t)(at - text) < split ? split - (size_t)(at - text) : 0;
                first = first < len ? first : len;
                feed(&owner, at, first, portion);
                feed(&owner, at + first, len - first, portion);
        }
        codes_of(&owner.said, codes, sizeof codes);
        if (strncmp(codes, "220 ", 4) != 0 || strcmp(codes + 4, script->codes) != 0)
                ck_abort_msg("%s (%zu, %zu): %s", script->name, portion, split, codes);
        ck_assert_msg(owner.ended == script->ended, "%s: ended %d", script->name, owner.ended);
        scoped(scoped_free) char *log = buf_take_text(&owner.log);
        if (script->log && strcmp(log, script->log) != 0)
                ck_abort_msg("%s (%zu, %zu): %s", script->name, portion, split, log);
        end(&owner);
}

START_TEST(whole)
{
        for (size_t i = 0; i < count_of(scripts); i++)
                run(&scripts[i], SIZE, 0);
}
END_TEST

START_TEST(byte_by_byte)
{
        for (size_t i = 0; i < count_of(scripts); i++)
                run(&scripts[i], 1, 0);
}
END_TEST

START_TEST(at_every_split)
{
        for (size_t i = 0; i < count_of(scripts); i++)
                for (size_t split = 1; !strstr(scripts[i].in, "{long}") && split < strlen(scripts[i].in);
                     split++)
                        run(&scripts[i], SIZE, split);
}
END_TEST

static void said_codes(struct owner *owner, const char *wanted)
{
        char codes[2000];

        codes_of(&owner->said, codes, sizeof codes);
        ck_assert_str_eq(codes, wanted);
}

static void say(struct owner *owner, const char *text)
{
        feed(owner, text, strlen(text), SIZE);
}

START_TEST(bytes_ahead_end_the_session)
{
        static const char *const ahead[] = { (UPTO "DATA\r\nSubject: x\r\n"), (EHLO MAIL "DATA\r\n" MAIL),
                                             ("EHLO x\r\nSTARTTLS\r\n" MAIL) };

        for (size_t i = 0; i < count_of(ahead); i++) {
                struct owner owner;
                begin(&owner, false, false);
                say(&owner, ahead[i]);
                ck_assert(owner.ended && owner.secured == 0 && esmtp_offence(owner.esmtp));
                end(&owner);
        }
}
END_TEST

START_TEST(what_was_said_before_tls_is_forgotten)
{
        struct owner owner;

        begin(&owner, false, false);
        say(&owner, UPTO "RSET\r\n");
        say(&owner, "STARTTLS\r\n");
        ck_assert_uint_eq(owner.secured, 1);
        say(&owner, MAIL EHLO "STARTTLS\r\n" MAIL RCPT);
        said_codes(&owner, "220 250 250 250 250 220 503 250 503 250 250");
        end(&owner);
}
END_TEST

START_TEST(signing_in)
{
        struct owner owner;

        begin(&owner, false, true);
        say(&owner, "AUTH PLAIN AGEAYg==\r\n" EHLO "AUTH CRAM-MD5\r\nAUTH plain\r\n");
        say(&owner, "*\r\n");
        say(&owner, "AUTH LOGIN\r\n");
        say(&owner, "YQ==\r\n");
        say(&owner, "d3Jvbmc=\r\n"); /* "wrong" */
        say(&owner, "AUTH PLAIN !!\r\nAUTH PLAIN =\r\n");
        say(&owner, "AUTH PLAIN AGEAYg==\r\n" MAIL RCPT "DATA\r\n");
        say(&owner, "x\r\n.\r\n");
        said_codes(&owner, "220 504 250 504 235 500 503 500 500 503 503 503 250 250 354 250");
        end(&owner);
}
END_TEST

START_TEST(signing_in_by_steps)
{
        struct owner owner;

        begin(&owner, false, true);
        say(&owner, EHLO "AUTH LOGIN\r\n");
        say(&owner, "YQ==\r\n");
        say(&owner, "d3Jvbmc=\r\n"); /* "wrong" */
        say(&owner, "AUTH LOGIN YQ==\r\n");
        say(&owner, "*\r\n");
        say(&owner, "AUTH LOGIN\r\n");
        say(&owner, "!\r\n" MAIL);
        said_codes(&owner, "220 250 334 334 535 334 501 334 501 250");
        scoped(scoped_free) char *log = buf_take_text(&owner.log);
        ck_assert_str_eq(log, "auth LOGIN --\nauth LOGIN a\nauth LOGIN wrong\nauth LOGIN a\nauth LOGIN "
                              "--\nmail <a@x.example>  \n");
        end(&owner);
}
END_TEST

START_TEST(bounds)
{
        struct owner owner;

        begin(&owner, false, false);
        say(&owner, EHLO MAIL);
        for (int i = 0; i < LIMIT_RECIPIENTS; i++)
                say(&owner, RCPT);
        buf_clear(&owner.said);
        say(&owner, RCPT);
        said_codes(&owner, "452");
        say(&owner, "DATA\r\n");
        buf_clear(&owner.said);
        say(&owner, "ok\r\n");
        scoped(scoped_free) char *header = new_zeroed(LIMIT_HEADER + 1, 1);
        memset(header, 'x', LIMIT_HEADER);
        for (size_t i = 72; i + 1 < LIMIT_HEADER; i += 74)
                memcpy(header + i, "\r\n", 2);
        memcpy(header + LIMIT_HEADER - 2, "\r\n", 2);
        say(&owner, header);
        for (int i = 0; i < 70; i++)
                say(&owner,
                    "12345678901234567890123456789012345678901234567890123456789012345678901234567890\r\n");
        ck_assert_uint_eq(owner.mail.len, 0); /* forgotten as soon as it is too large */
        say(&owner, ".\r\nNOOP\r\n");
        said_codes(&owner, "552 250");
        say(&owner, MAIL RCPT "DATA\r\n");
        say(&owner, header);
        for (int i = 0; i < 130; i++)
                say(&owner,
                    "12345678901234567890123456789012345678901234567890123456789012345678901234567890\r\n");
        ck_assert(owner.ended);
        end(&owner);
}
END_TEST

START_TEST(too_much_of_nothing)
{
        struct owner owner;

        begin(&owner, false, false);
        for (int i = 0; i < 20; i++)
                say(&owner, "WHAT\r\n");
        ck_assert(owner.ended);
        end(&owner);
        begin(&owner, false, false);
        for (int i = 0; i < 300; i++)
                say(&owner, "NOOP\r\n");
        ck_assert(owner.ended &&
                  strcmp(esmtp_offence(owner.esmtp), "too many commands without a message") == 0);
        end(&owner);
}
END_TEST

START_TEST(replies_wait_to_be_taken)
{
        struct owner owner;
        scoped(buf_free) struct buf many = BUF_WITH_MAX(MIB);
        size_t used = 0;

        begin(&owner, false, false);
        for (int i = 0; i < 150; i++)
                ck_assert_int_eq(buf_append_text(&many, EHLO), 0);
        ck_assert_int_eq(esmtp_work(owner.esmtp, buf_bytes(&many), many.len, &used), ESMTP_FLUSH);
        ck_assert(used < many.len && esmtp_out(owner.esmtp)->len < 20 * KIB);
        end(&owner);
}
END_TEST

START_TEST(standard_input)
{
        static const struct {
                const char *in, *codes;
                bool ended;
        } cases[] = {
                { UPTO "DATA\r\nx\r\n.\r\nQUIT\r\n", "220 250 250 250 354 250 221", true },
                { "EHLO me\nMAIL FROM:<a@x.example>\nRCPT TO:<b@y.example>\nDATA\n..x\n.\nQUIT\n",
                  "220 250 250 250 354 250 221", true },
                { "EHLO me\nMAIL FROM:<a@x.example>\r\n", "220 250 521", true },
                { "EHLO me\r\nMAIL FROM:<a@x.example>\n", "220 250 521", true },
                { "EHLO me\nMAIL FROM:<a@x.example>\nRCPT TO:<b@y.example>\nDATA\nx\r\n.\r\n",
                  "220 250 250 250 354 521", true },
                { EHLO MAIL "DATA\r\nQUIT\r\n", "220 250 250 521", true },
        };

        for (size_t i = 0; i < count_of(cases); i++) {
                struct owner owner;
                begin(&owner, true, false);
                say(&owner, cases[i].in);
                said_codes(&owner, cases[i].codes);
                ck_assert(owner.ended == cases[i].ended);
                end(&owner);
        }
}
END_TEST

START_TEST(texts_of_the_owner_are_cut_and_escaped)
{
        struct owner owner;

        begin(&owner, false, false);
        say(&owner, EHLO "MAIL FROM:<bad@x.example>\r\n");
        scoped(scoped_free) char *said = buf_take_text(&owner.said);
        ck_assert(strstr(said, "550-5.7.1 not\\x0d\\x0a250 you\r\n550 5.7.1 what to do: ask\r\n"));
        end(&owner);
        begin(&owner, false, false);
        say(&owner, "EHLO a\x01");
        say(&owner, "b\r\nEHLO <x>\r\n");
        ck_assert_str_eq(esmtp_hello(owner.esmtp), ""); /* fit for no header */
        say(&owner, "EHLO [192.0.2.1]\r\n");
        ck_assert_str_eq(esmtp_hello(owner.esmtp), "[192.0.2.1]");
        say(&owner, MAIL "RCPT TO:<root>\r\n");
        ck_assert_str_eq(esmtp_envelope(owner.esmtp)->recipients[0].address, "root@plant.example");
        esmtp_farewell(owner.esmtp, &(struct esmtp_answer){ 421, "4.3.2", "ending", NULL, true });
        say(&owner, "NOOP\r\n");
        ck_assert(owner.ended);
        end(&owner);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("esmtp");
        TCase *tcase = tcase_create("esmtp");

        tcase_set_timeout(tcase, 120);
        tcase_add_test(tcase, whole);
        tcase_add_test(tcase, byte_by_byte);
        tcase_add_test(tcase, at_every_split);
        tcase_add_test(tcase, bytes_ahead_end_the_session);
        tcase_add_test(tcase, what_was_said_before_tls_is_forgotten);
        tcase_add_test(tcase, signing_in);
        tcase_add_test(tcase, signing_in_by_steps);
        tcase_add_test(tcase, bounds);
        tcase_add_test(tcase, too_much_of_nothing);
        tcase_add_test(tcase, replies_wait_to_be_taken);
        tcase_add_test(tcase, standard_input);
        tcase_add_test(tcase, texts_of_the_owner_are_cut_and_escaped);
        suite_add_tcase(suite, tcase);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
