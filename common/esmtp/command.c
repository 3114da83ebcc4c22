/* SPDX-License-Identifier: MIT */
/* The table of commands, and those that have no file of their own: AUTH among them. */
#include "common/esmtp/parts.h"
#include "common/json_fields.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

/* ---- AUTH (RFC 4954): the lines of an exchange; what is said in it is the owner's to understand ---- */

void esmtp_signin_over(struct esmtp *esmtp)
{
        if (esmtp->said)
                explicit_bzero(esmtp->said, esmtp->said_len);
        free(take(esmtp->said));
        esmtp->said_len = 0;
}

/* A word of the list, in any case. */
static bool is_offered(const struct esmtp *esmtp, const char *mechanism)
{
        size_t len = strlen(mechanism);

        for (const char *at = esmtp->mechanisms; at && *at; at += strspn(at, " ")) {
                size_t word = strcspn(at, " ");
                if (word == len && strncasecmp(at, mechanism, len) == 0)
                        return true;
                at += word;
        }
        return false;
}

/* False: it is no base64, and that was said. */
static bool take_said(struct esmtp *esmtp, const char *text)
{
        esmtp_signin_over(esmtp);
        if (base64_decode(text, strlen(text), &esmtp->said, &esmtp->said_len) == 0)
                return true;
        esmtp->state = STATE_COMMAND;
        esmtp_wrong(esmtp, 501, "5.5.2", "what came is not base64");
        return false;
}

/* False: nobody can sign in now, and that was said. */
static bool may_sign_in(struct esmtp *esmtp)
{
        if (esmtp->signed_in || esmtp->has_mail) {
                esmtp_wrong(esmtp, 503, "5.5.1",
                            esmtp->has_mail ? "not within a message" : "you have signed in already");
                return false;
        }
        if (esmtp->mechanisms && esmtp->secure)
                return true;
        if (esmtp->mechanisms)
                esmtp_wrong(esmtp, 538, "5.7.11", "a password is taken inside TLS only: say STARTTLS first");
        else
                esmtp_wrong(esmtp, 502, "5.5.1", "nobody can sign in here");
        return false;
}

void esmtp_on_auth(struct esmtp *esmtp, char *rest)
{
        size_t word = strcspn(rest, " ");
        char *initial = rest + word + strspn(rest + word, " ");

        if (!may_sign_in(esmtp))
                return;
        rest[word] = '\0';
        if (!esmtp->extended || !is_offered(esmtp, rest)) {
                esmtp_wrong(esmtp, 504, "5.5.4", "the mechanisms here are %s", esmtp->mechanisms);
                return;
        }
        (void)snprintf(esmtp->mechanism, sizeof esmtp->mechanism, "%s", rest);
        for (char *c = esmtp->mechanism; *c; c++)
                if (*c >= 'a' && *c <= 'z')
                        *c = (char)(*c - 'a' + 'A');
        esmtp->signin_first = true;
        esmtp_signin_over(esmtp);
        if (!initial[0] || take_said(esmtp, strcmp(initial, "=") == 0 ? "" : initial))
                esmtp_wish(esmtp, ESMTP_SIGNIN);
}

void esmtp_signin_line(struct esmtp *esmtp, const char *line)
{
        if (strcmp(line, "*") == 0) {
                esmtp->state = STATE_COMMAND;
                esmtp_wrong(esmtp, 501, "5.7.0", "given up");
        } else if (take_said(esmtp, line)) {
                esmtp_wish(esmtp, ESMTP_SIGNIN);
        }
}

void esmtp_signin(const struct esmtp *esmtp, struct esmtp_signin *out)
{
        *out = (struct esmtp_signin){ .mechanism = esmtp->mechanism,
                                      .first = esmtp->signin_first,
                                      .bytes = esmtp->said,
                                      .len = esmtp->said_len };
}

void esmtp_challenge(struct esmtp *esmtp, const void *bytes, size_t len)
{
        scoped(scoped_free) char *text = base64_encode(bytes, len);

        if (esmtp->state != STATE_WANTS || esmtp->want != ESMTP_SIGNIN)
                return;
        esmtp_signin_over(esmtp);
        esmtp->signin_first = false;
        esmtp->state = STATE_SIGNIN;
        if (buf_appendf(&esmtp->out, "334 %s\r\n", text) < 0)
                esmtp->state = STATE_OVER; /* ESMTP_FLUSH comes long before */
}

/* ---- commands ---- */

/* Of a domain (RFC 5321 section 4.5.3.1.2). */
enum { HELLO_MOST = 255 };

enum {
        TAKES_NOTHING = 1,
        COUNTS = 2, /* among commands without a message */
};

/* The name is what the client claims to be: it is kept, and nothing is decided by it. A greeting in
 * the midst of a transaction ends that (RFC 5321 section 4.1.4). */
static bool take_hello(struct esmtp *esmtp, const char *name)
{
        for (const char *c = name; *c; c++)
                if ((unsigned char)*c <= ' ' || *c == 127)
                        name = "";
        if (!name[0] || strlen(name) > HELLO_MOST) {
                esmtp_wrong(esmtp, 501, "5.5.4", "say who you are: a host name or an address in brackets");
                return false;
        }
        esmtp_reset(esmtp);
        free(esmtp->hello);
        esmtp->hello = copy_text(name);
        return true;
}

static void on_helo(struct esmtp *esmtp, char *rest)
{
        if (!take_hello(esmtp, rest))
                return;
        esmtp->extended = false;
        esmtp_reply(esmtp, 250, NULL, "%s", esmtp->hostname);
}

static void on_ehlo(struct esmtp *esmtp, char *rest)
{
        static const char *const always[] = { "PIPELINING",          "8BITMIME", "SMTPUTF8",
                                              "ENHANCEDSTATUSCODES", "DSN",      "CHUNKING" };

        if (!take_hello(esmtp, rest))
                return;
        esmtp->extended = true;
        int failed = buf_appendf(&esmtp->out, "250-%s\r\n", esmtp->hostname);
        for (size_t i = 0; i < count_of(always); i++)
                failed |= buf_appendf(&esmtp->out, "250-%s\r\n", always[i]);
        /* What would be refused now is not offered: STARTTLS under TLS, AUTH without it. */
        if (esmtp->offers_starttls && !esmtp->secure)
                failed |= buf_appendf(&esmtp->out, "250-STARTTLS\r\n");
        if (esmtp->mechanisms && esmtp->secure)
                failed |= buf_appendf(&esmtp->out, "250-AUTH %s\r\n", esmtp->mechanisms);
        failed |= buf_appendf(&esmtp->out, "250 SIZE %llu\r\n", (unsigned long long)esmtp->max_size);
        if (failed)
                esmtp->state = STATE_OVER; /* ESMTP_FLUSH comes long before */
}

static void on_rset(struct esmtp *esmtp, unused_arg char *rest)
{
        esmtp_reset(esmtp);
        esmtp_reply(esmtp, 250, "2.0.0", "begun anew");
}

static void on_noop(struct esmtp *esmtp, unused_arg char *rest)
{
        esmtp_reply(esmtp, 250, "2.0.0", "ok");
}

static void on_quit(struct esmtp *esmtp, unused_arg char *rest)
{
        esmtp_reply(esmtp, 221, "2.0.0", "%s says good-bye", esmtp->hostname);
        esmtp->state = STATE_OVER;
}

/* 252 neither confirms nor denies (RFC 5321 section 3.5.3): who has a mailbox is not told to
 * anybody. */
static void on_vrfy(struct esmtp *esmtp, char *rest)
{
        if (rest[0])
                esmtp_reply(esmtp, 252, "2.5.2", "send the message, and see");
        else
                esmtp_wrong(esmtp, 501, "5.5.4", "VRFY takes an address");
}

static void on_help(struct esmtp *esmtp, unused_arg char *rest)
{
        esmtp_reply(esmtp, 214, "2.0.0", "see emailsecd(8), or RFC 5321");
}

static void on_expn(struct esmtp *esmtp, unused_arg char *rest)
{
        esmtp_wrong(esmtp, 502, "5.5.1", "there are no lists here");
}

/* Bytes that came in clear behind STARTTLS would be read as if they had come under TLS: somebody on
 * the way could put in commands. That ends the session. */
static void on_starttls(struct esmtp *esmtp, unused_arg char *rest)
{
        if (esmtp->secure || !esmtp->offers_starttls) {
                esmtp_wrong(esmtp, esmtp->secure ? 503 : 502, "5.5.1",
                            esmtp->secure ? "TLS stands already" : "there is no certificate here for TLS");
        } else if (esmtp->ahead) {
                esmtp_offended(esmtp, "5.5.0", "bytes came behind STARTTLS, ahead of TLS");
        } else {
                /* What was said in clear is forgotten (RFC 3207 section 4.2). */
                esmtp_reset(esmtp);
                esmtp_reply(esmtp, 220, "2.0.0", "begin TLS");
                esmtp_wish(esmtp, ESMTP_STARTTLS);
        }
}

static const struct esmtp_command {
        const char *name;
        unsigned flags;
        void (*handle)(struct esmtp *esmtp, char *rest);
} commands[] = {
        { "MAIL", COUNTS, esmtp_on_mail },
        { "RCPT", 0, esmtp_on_rcpt },
        { "DATA", TAKES_NOTHING, esmtp_on_data },
        { "BDAT", 0, esmtp_on_bdat },
        { "EHLO", COUNTS, on_ehlo },
        { "HELO", COUNTS, on_helo },
        { "RSET", TAKES_NOTHING | COUNTS, on_rset },
        { "NOOP", COUNTS, on_noop },
        { "QUIT", TAKES_NOTHING, on_quit },
        { "STARTTLS", TAKES_NOTHING, on_starttls },
        { "AUTH", COUNTS, esmtp_on_auth },
        { "VRFY", COUNTS, on_vrfy },
        { "EXPN", 0, on_expn },
        { "HELP", COUNTS, on_help },
};

/* A browser was pointed here, or a header came where a command was due: what follows is not for SMTP. */
static bool is_another_protocol(const char *line, size_t verb)
{
        static const char *const verbs[] = { "GET",     "POST",   "PUT",   "HEAD", "OPTIONS",
                                             "CONNECT", "DELETE", "PATCH", "LHLO" };

        if (verb && line[verb - 1] == ':')
                return true;
        for (size_t i = 0; i < count_of(verbs); i++)
                if (strlen(verbs[i]) == verb && strncasecmp(line, verbs[i], verb) == 0)
                        return true;
        return false;
}

/* Verbs in any case (RFC 5321 section 2.4). */
static const struct esmtp_command *command_named(const char *line, size_t verb)
{
        for (size_t i = 0; i < count_of(commands); i++)
                if (strlen(commands[i].name) == verb && strncasecmp(commands[i].name, line, verb) == 0)
                        return &commands[i];
        return NULL;
}

void esmtp_command(struct esmtp *esmtp, char *line)
{
        size_t verb = strcspn(line, " \t"), len = strlen(line);
        const struct esmtp_command *command = command_named(line, verb);

        /* White space at the end is tolerated (RFC 5321 section 4.1.1). */
        while (len > verb && (line[len - 1] == ' ' || line[len - 1] == '\t'))
                line[--len] = '\0';
        if (is_another_protocol(line, verb)) {
                esmtp_offended(esmtp, "5.5.1", "this is SMTP");
                return;
        }
        if (!command) {
                esmtp_wrong(esmtp, 500, "5.5.2", "there is no such command");
                return;
        }
        /* Who never comes to a message would hold one of the few places for ever. */
        if ((command->flags & COUNTS) && ++esmtp->idle > ESMTP_IDLE_COMMANDS) {
                esmtp_reply(esmtp, 421, "4.7.0", "%s: too many commands without a message", esmtp->hostname);
                esmtp->offence = "too many commands without a message";
                esmtp->state = STATE_OVER;
                return;
        }
        char *rest = line + verb + strspn(line + verb, " \t");
        if ((command->flags & TAKES_NOTHING) && rest[0]) {
                esmtp_wrong(esmtp, 501, "5.5.4", "%s stands alone", command->name);
                return;
        }
        command->handle(esmtp, rest);
}
