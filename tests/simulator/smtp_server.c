/* SPDX-License-Identifier: MIT */
/*
 * A simulated SMTP server: EHLO, STARTTLS, AUTH PLAIN and LOGIN, DATA and BDAT, with and without what it may
 * offer. What it has taken goes to the ledger as it came. Recipients are "rN-K@...": N is the number of the
 * message.
 */
#include "tests/simulator/base64.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/talk.h"
#include "tests/simulator/world.h"

#include <stdio.h>
#include <strings.h>

enum { RECIPIENTS_MOST = 100, ADDRESS_MOST = 80 };

enum stage { AT_COMMAND, AT_PLAIN, AT_LOGIN_USER, AT_LOGIN_PASSWORD, AT_DATA, AT_CHUNK };

struct smtp_state {
        enum stage stage;
        bool signed_in, in_mail, chunk_last;
        uint64_t chunk_left;
        unsigned taken; /* messages, in this session */
        size_t count;
        char user[64];
        char recipients[RECIPIENTS_MOST][ADDRESS_MOST];
        struct buf body;
};

static void say(struct talk *talk, unsigned code, const char *enhanced, const char *text)
{
        bool codes = talk->server->offers & OFFER_CODES;

        if (odd(talk, ODD_MULTILINE))
                talk_say(talk, "%u-%s%sin more words", code, codes ? enhanced : "", codes ? " " : "");
        talk_say(talk, "%u %s%s%s", code, codes ? enhanced : "", codes ? " " : "", text);
}

static void forget_mail(struct smtp_state *smtp)
{
        smtp->in_mail = false;
        smtp->count = 0;
        buf_free(&smtp->body);
        buf_init(&smtp->body, TALK_MOST);
}

static void smtp_greet(struct talk *talk)
{
        struct smtp_state *smtp = talk->state;

        forget_mail(smtp);
        if (odd(talk, ODD_BUSY)) {
                talk_say(talk, "421 too busy, come again");
                talk_end(talk);
        } else if (talk_is_too_many(talk)) {
                talk_say(talk, "421 4.7.0 too many connections from your address");
                talk_end(talk);
        } else if (odd(talk, ODD_GARBAGE)) {
                talk_say(talk, "HTTP/1.1 400 Bad Request");
                talk_end(talk);
        } else {
                talk_say(talk, "220 %s ESMTP", talk->server->host);
        }
}

/* ---- sign-in ---- */

static void sign_in(struct talk *talk, const char *user, const char *password)
{
        struct smtp_state *smtp = talk->state;

        smtp->stage = AT_COMMAND;
        if (odd(talk, ODD_SIGNIN_DOWN)) {
                say(talk, 454, "4.7.0", "cannot look that up now");
        } else if (ledger_signs_in(talk->server, user, password)) {
                smtp->signed_in = true;
                say(talk, 235, "2.7.0", "welcome");
        } else {
                say(talk, 535, "5.7.8", "user or password is wrong");
        }
}

static void heard_plain(struct talk *talk, const char *text)
{
        char plain[PLAIN_MOST];
        const char *user, *password;

        if (base64_read_plain(text, plain, &user, &password))
                sign_in(talk, user, password);
        else
                say(talk, 501, "5.5.2", "that is no PLAIN response");
}

static void heard_sign_in(struct talk *talk, const char *line)
{
        struct smtp_state *smtp = talk->state;
        char text[128] = "";

        if (strcmp(line, "*") == 0) {
                smtp->stage = AT_COMMAND;
                say(talk, 501, "5.7.0", "given up");
        } else if (smtp->stage == AT_PLAIN) {
                heard_plain(talk, line);
        } else if (smtp->stage == AT_LOGIN_USER) {
                memset(smtp->user, 0, sizeof smtp->user);
                (void)base64_read(line, smtp->user, sizeof smtp->user - 1);
                smtp->stage = AT_LOGIN_PASSWORD;
                talk_say(talk, "334 UGFzc3dvcmQ6");
        } else {
                (void)base64_read(line, text, sizeof text - 1);
                sign_in(talk, smtp->user, text);
        }
}

static void heard_auth(struct talk *talk, const char *what)
{
        struct smtp_state *smtp = talk->state;

        if (strncasecmp(what, "PLAIN ", 6) == 0) {
                heard_plain(talk, what + 6);
        } else if (strcasecmp(what, "PLAIN") == 0) {
                smtp->stage = AT_PLAIN;
                talk_say(talk, "334 ");
        } else if (strncasecmp(what, "LOGIN ", 6) == 0) {
                smtp->stage = AT_LOGIN_USER;
                heard_sign_in(talk, what + 6);
        } else if (strcasecmp(what, "LOGIN") == 0) {
                smtp->stage = AT_LOGIN_USER;
                talk_say(talk, "334 VXNlcm5hbWU6");
        } else {
                say(talk, 504, "5.5.4", "no such mechanism");
        }
}

/* ---- envelope ---- */

static void heard_ehlo(struct talk *talk)
{
        static const struct {
                enum offer offer;
                const char *line;
        } lines[] = {
                { OFFER_PIPELINING, "PIPELINING" },     { OFFER_CHUNKING, "CHUNKING" },
                { OFFER_8BITMIME, "8BITMIME" },         { OFFER_SIZE, "SIZE 40000000" },
                { OFFER_CODES, "ENHANCEDSTATUSCODES" },
        };

        forget_mail(talk->state);
        talk_say(talk, "250-%s", talk->server->host);
        for (size_t i = 0; i < count_of(lines); i++)
                if (talk->server->offers & lines[i].offer)
                        talk_say(talk, "250-%s", lines[i].line);
        talk_say(talk, talk->server->starttls && !talk->ssl ? "250 STARTTLS" : "250 AUTH PLAIN LOGIN");
}

struct grey {
        char address[ADDRESS_MOST];
        int64_t until;
        struct grey *next;
};

/* The first time it is asked to take mail for a recipient is remembered, and some minutes later it does. */
static bool is_grey(struct talk *talk, const char *address, size_t len)
{
        enum { GREY_MS = 5 * MINUTE_MS };
        struct grey *grey = talk->server->greys;

        while (grey && (strlen(grey->address) != len || memcmp(grey->address, address, len) != 0))
                grey = grey->next;
        if (!grey && odd(talk, ODD_GREYLIST)) {
                grey = world_alloc(sizeof *grey);
                (void)snprintf(grey->address, sizeof grey->address, "%.*s", (int)len, address);
                grey->until = world_now() + GREY_MS;
                grey->next = talk->server->greys;
                talk->server->greys = grey;
        }
        return grey && world_now() < grey->until;
}

static void heard_rcpt(struct talk *talk, const char *line)
{
        struct smtp_state *smtp = talk->state;
        const char *from = strchr(line, '<'), *to = from ? strchr(from, '>') : NULL;

        if (!smtp->in_mail || !to || to - from > ADDRESS_MOST) {
                say(talk, 503, "5.5.1", "not now");
        } else if (smtp->count == RECIPIENTS_MOST || (smtp->count && odd(talk, ODD_FEW))) {
                say(talk, 452, "4.5.3", "too many recipients");
        } else if (is_grey(talk, from + 1, (size_t)(to - from - 1))) {
                say(talk, 450, "4.7.1", "greylisted, come again in 5 minutes");
        } else if (odd(talk, ODD_TEMPORARY)) {
                say(talk, 451, "4.2.0", "not now");
        } else if (odd(talk, ODD_PERMANENT)) {
                scoped(scoped_free) char *address = copy_bytes(from + 1, (size_t)(to - from - 1));
                ledger_refused(address);
                say(talk, 550, "5.1.1", "nobody of that name");
        } else {
                (void)snprintf(smtp->recipients[smtp->count++], ADDRESS_MOST, "%.*s", (int)(to - from - 1),
                               from + 1);
                say(talk, 250, "2.1.5", "to them");
        }
}

/* The whole message is here. */
static void take_it(struct talk *talk)
{
        struct smtp_state *smtp = talk->state;

        smtp->stage = AT_COMMAND;
        if (odd(talk, ODD_TEMPORARY)) {
                forget_mail(smtp);
                say(talk, 451, "4.3.0", "cannot store it now");
                return;
        }
        if (odd(talk, ODD_PERMANENT)) {
                for (size_t i = 0; i < smtp->count; i++)
                        ledger_refused(smtp->recipients[i]);
                forget_mail(smtp);
                say(talk, 554, "5.7.1", "that looks like something that nobody wants");
                return;
        }
        for (size_t i = 0; i < smtp->count; i++)
                ledger_taken(talk->server, talk->number, peer_was_left(talk->peer), smtp->recipients[i],
                             (const char *)buf_bytes(&smtp->body), smtp->body.len);
        forget_mail(smtp);
        if (odd(talk, ODD_LOST_REPLY)) {
                talk_reset(talk);
                return;
        }
        say(talk, 250, "2.0.0", "taken");
        if (++smtp->taken && odd(talk, ODD_LIMIT)) {
                talk_say(talk, "421 that is enough for this session");
                talk_end(talk);
        }
}

static void heard_bdat(struct talk *talk, const char *line)
{
        struct smtp_state *smtp = talk->state;
        char *end = NULL;

        smtp->chunk_left = strtoull(line, &end, 10);
        smtp->chunk_last = strcasecmp(end, " LAST") == 0;
        smtp->stage = AT_CHUNK;
}

/* ---- commands ---- */

static bool begins(const char *line, const char *word)
{
        return strncasecmp(line, word, strlen(word)) == 0;
}

/* What a stranger may hear. */
static bool is_discovery(const char *line)
{
        static const char *const words[] = { "EHLO ", "HELO ", "STARTTLS", "QUIT", "NOOP", "RSET" };

        for (size_t i = 0; i < count_of(words); i++)
                if (begins(line, words[i]))
                        return true;
        return false;
}

static void heard_session_command(struct talk *talk, const char *line)
{
        if (begins(line, "EHLO ")) {
                heard_ehlo(talk);
        } else if (begins(line, "HELO ")) {
                talk_say(talk, "250 %s", talk->server->host);
        } else if (begins(line, "STARTTLS") && talk->server->starttls && !talk->ssl) {
                say(talk, 220, "2.0.0", "go ahead");
                talk_start_tls(talk);
        } else if (begins(line, "QUIT")) {
                ledger_session_settled(talk->server, talk->number);
                say(talk, 221, "2.0.0", "bye");
                talk_end(talk);
        } else if (begins(line, "RSET")) {
                forget_mail(talk->state);
                say(talk, 250, "2.0.0", "forgotten");
        } else {
                say(talk, begins(line, "NOOP") ? 250 : 503, begins(line, "NOOP") ? "2.0.0" : "5.5.1", "so");
        }
}

static void heard_data(struct talk *talk)
{
        struct smtp_state *smtp = talk->state;

        if (!smtp->count) {
                say(talk, 503, "5.5.1", "nobody to send it to");
                return;
        }
        smtp->stage = AT_DATA;
        talk_say(talk, "354 go on");
}

static void heard_mail_command(struct talk *talk, const char *line)
{
        struct smtp_state *smtp = talk->state;

        talk_heard_secret(talk, line);
        if (begins(line, "AUTH ")) {
                heard_auth(talk, line + 5);
        } else if (!smtp->signed_in && !begins(line, "BDAT ")) {
                say(talk, 530, "5.7.0", "sign in first");
        } else if (begins(line, "MAIL FROM:")) {
                forget_mail(smtp);
                smtp->in_mail = !odd(talk, ODD_TEMPORARY);
                say(talk, smtp->in_mail ? 250 : 451, smtp->in_mail ? "2.1.0" : "4.3.0", "from them");
        } else if (begins(line, "RCPT TO:")) {
                heard_rcpt(talk, line);
        } else if (begins(line, "DATA")) {
                heard_data(talk);
        } else if (begins(line, "BDAT ")) {
                heard_bdat(talk, line + 5);
        } else {
                say(talk, 500, "5.5.2", "what?");
        }
}

/* A piece of a BDAT that nobody is there for is taken all the same, and refused. */
static bool eat_chunk(struct talk *talk)
{
        struct smtp_state *smtp = talk->state;
        size_t len = talk->in.len < smtp->chunk_left ? talk->in.len : (size_t)smtp->chunk_left;

        if (len && buf_append(&smtp->body, buf_bytes(&talk->in), len) < 0)
                talk_reset(talk);
        buf_consume(&talk->in, len);
        smtp->chunk_left -= len;
        if (smtp->chunk_left)
                return false;
        smtp->stage = AT_COMMAND;
        if (!smtp->count)
                say(talk, 503, "5.5.1", "nobody to send it to");
        else if (smtp->chunk_last)
                take_it(talk);
        else
                say(talk, 250, "2.0.0", "go on");
        return true;
}

static bool eat_data(struct talk *talk)
{
        struct smtp_state *smtp = talk->state;
        bool over;

        if (!talk_text(talk, &smtp->body, &over))
                return false;
        if (over)
                take_it(talk);
        return true;
}

void smtp_leave(struct talk *talk)
{
        talk_say(talk, "421 4.3.2 the service is being shut down");
        talk_end(talk);
}

static bool smtp_eat(struct talk *talk)
{
        struct smtp_state *smtp = talk->state;

        if (smtp->stage == AT_DATA)
                return eat_data(talk);
        if (smtp->stage == AT_CHUNK)
                return eat_chunk(talk);
        scoped(scoped_free) char *line = talk_line(talk);
        if (!line)
                return false;
        if (smtp->stage != AT_COMMAND) {
                heard_sign_in(talk, line);
        } else if (!begins(line, "BDAT ") && odd(talk, ODD_LEAVES)) {
                smtp_leave(talk);
        } else if (begins(line, "BDAT ") || !talk_is_odd(talk)) {
                if (is_discovery(line))
                        heard_session_command(talk, line);
                else
                        heard_mail_command(talk, line);
        }
        return true;
}

static void smtp_news(struct talk *talk)
{
        (void)talk;
}

static void smtp_gone(struct talk *talk, bool killed)
{
        struct smtp_state *smtp = talk->state;

        if (!killed)
                buf_free(&smtp->body);
}

const struct engine smtp_engine = {
        sizeof(struct smtp_state), smtp_greet, smtp_eat, smtp_news, smtp_leave, smtp_gone
};
