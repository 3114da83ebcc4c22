/* SPDX-License-Identifier: MIT */
/*
 * The SMTP session from greeting to READY, as a table of steps: greeting, EHLO (HELO where
 * allowed), STARTTLS, EHLO again, AUTH. Up to READY every command waits for its reply, so
 * a reply that comes before its command is an attack. AUTH is in signin.c, messages in mail.c.
 */
#include "daemon/smtp/session.h"

#include "common/limits.h"
#include "daemon/smtp/meaning.h"
#include "daemon/smtp/pipeline.h"

#include <stdio.h>

/* "the server refuses the connection: 554 no service here" */
static int fail_quoting(struct chat *chat, enum cause_code code, const char *sentence,
                        const struct reply *reply)
{
        char words[300];

        smtp_signin_words(session_of(chat), reply, words, sizeof words);
        return chat_fail(chat, code, "%s: %s", sentence, words);
}

/* ---- greeting ---- */

static void keep_greeting(struct chat *chat, const struct reply *reply)
{
        char words[512];

        reply_words(reply, words, sizeof words);
        free(chat->greeting);
        chat->greeting = copy_text(words);
}

static int heard_greeting(struct chat *chat, const void *heard)
{
        const struct reply *reply = heard;

        if (!chat->channel.tls)
                keep_greeting(chat, reply);
        if (reply_class(reply) == 2)
                return session_of(chat)->config.lmtp ? SMTP_LHLO : SMTP_EHLO;
        if (reply_class(reply) == 4)
                return fail_quoting(chat, CAUSE_SERVER_BUSY, "the server takes no connection now", reply);
        if (reply_class(reply) == 5)
                return fail_quoting(chat, CAUSE_CONNECT, "the server refuses the connection", reply);
        return fail_quoting(chat, CAUSE_PROTOCOL, "the server's greeting is not one of SMTP", reply);
}

/* ---- EHLO ---- */

static void say_ehlo(struct chat *chat)
{
        chat_say(chat, "EHLO %s", session_our_name(session_of(chat)));
}

static int no_starttls(struct chat *chat)
{
        struct cause cause;

        cause_set(&cause, CAUSE_NO_STARTTLS, "the server does not offer STARTTLS, and useStartTls is set");
        cause_remedy(&cause, "if the server has TLS from the first byte: emailsecctl account secure NAME "
                             "ssl (port 465); if it used to offer STARTTLS, someone on the way may be "
                             "taking it out");
        return chat_fail_with(chat, &cause);
}

static enum meaning meaning_of(const struct smtp_session *s, const struct reply *reply)
{
        char words[300];

        smtp_signin_words(s, reply, words, sizeof words);
        return smtp_meaning(&(struct said){
                .command = SMTP_TO_EHLO, .code = reply->code, .enhanced = reply->enhanced, .words = words });
}

/* EHLO is not known there: HELO will do only for an account that needs neither TLS nor AUTH. */
static int without_ehlo(struct smtp_session *s, const struct reply *reply)
{
        struct chat *chat = &s->chat;

        if (reply_class(reply) < 4)
                return fail_quoting(chat, CAUSE_PROTOCOL, "the server answered EHLO with", reply);
        if (meaning_of(s, reply) == MEANS_OTHER_NAME && session_other_name(s))
                return SMTP_EHLO;
        if (reply_class(reply) == 4)
                return fail_quoting(chat, CAUSE_SERVER_BUSY, "the server refuses EHLO for now", reply);
        bool of_name = meaning_of(s, reply) == MEANS_OTHER_NAME;
        if (chat->wants_starttls && !chat->channel.tls)
                return of_name ? fail_quoting(chat, CAUSE_NAME_REFUSED,
                                              "the server refuses EHLO with this station's name", reply)
                               : no_starttls(chat);
        if (signin_wanted(&s->config.signin))
                return fail_quoting(chat, of_name ? CAUSE_NAME_REFUSED : CAUSE_NO_MECHANISM,
                                    "the server offers no way to sign in (it refuses EHLO)", reply);
        return SMTP_HELO;
}

enum { LATE_MOST = 5 };

/* Nothing that is said too early can be meant for TLS. */
static bool may_be_loose(const struct smtp_session *s)
{
        return s->chat.channel.tls || !s->chat.wants_starttls;
}

static int heard_ehlo(struct chat *chat, const void *heard)
{
        struct smtp_session *s = session_of(chat);
        const struct reply *reply = heard;

        if (reply->code == 220 && may_be_loose(s) && s->late++ < LATE_MOST)
                return STEP_SAME; /* one more line of the greeting */
        if (reply_class(reply) != 2)
                return without_ehlo(s, reply);
        smtp_capabilities_read(&s->can, reply);
        session_keep_to_ways(s);
        if (!chat->wants_starttls || chat->channel.tls)
                return smtp_signin_begin(s);
        return s->can.starttls ? SMTP_STARTTLS : no_starttls(chat);
}

static void say_helo(struct chat *chat)
{
        chat_say_gated(chat, "HELO %s", session_our_name(session_of(chat)));
}

static int heard_helo(struct chat *chat, const void *heard)
{
        struct smtp_session *s = session_of(chat);
        const struct reply *reply = heard;

        if (reply_class(reply) > 3 && meaning_of(s, reply) == MEANS_OTHER_NAME && session_other_name(s))
                return SMTP_HELO;
        if (reply_class(reply) == 4)
                return fail_quoting(chat, CAUSE_SERVER_BUSY, "the server refuses HELO for now", reply);
        if (reply_class(reply) != 2)
                return fail_quoting(chat, CAUSE_PROTOCOL, "the server refuses both EHLO and HELO", reply);
        return STEP_READY;
}

/* ---- LHLO ---- */

static void say_lhlo(struct chat *chat)
{
        chat_say(chat, "LHLO %s", session_our_name(session_of(chat)));
}

static int heard_lhlo(struct chat *chat, const void *heard)
{
        struct smtp_session *s = session_of(chat);
        const struct reply *reply = heard;

        if (reply_class(reply) > 3 && meaning_of(s, reply) == MEANS_OTHER_NAME && session_other_name(s))
                return SMTP_LHLO;
        if (reply_class(reply) == 4)
                return fail_quoting(chat, CAUSE_SERVER_BUSY, "the socket takes no mail now", reply);
        if (reply_class(reply) != 2)
                return fail_quoting(chat, CAUSE_PROTOCOL,
                                    "the socket does not speak LMTP: it answered LHLO with", reply);
        smtp_capabilities_read(&s->can, reply);
        session_keep_to_ways(s);
        return STEP_READY;
}

/* ---- STARTTLS ---- */

static void say_starttls(struct chat *chat)
{
        chat_say(chat, "STARTTLS");
}

static int heard_starttls(struct chat *chat, const void *heard)
{
        const struct reply *reply = heard;

        if (reply->code == 220)
                return STEP_HANDSHAKE;
        if (reply_class(reply) >= 4)
                return fail_quoting(chat, CAUSE_STARTTLS_REFUSED, "the server offers STARTTLS and refuses it",
                                    reply);
        return fail_quoting(chat, CAUSE_PROTOCOL, "the server answered STARTTLS with", reply);
}

/* ---- QUIT ---- */

static void say_quit(struct chat *chat)
{
        chat_say(chat, "QUIT");
}

static int heard_quit(struct chat *chat unused_arg, const void *heard unused_arg)
{
        return STEP_ENDED;
}

static const struct chat_step steps[SMTP_STEPS] = {
        [SMTP_GREETING] = { "greeting", "waiting for the greeting", 0, NULL, heard_greeting },
        [SMTP_EHLO] = { "EHLO", "waiting for the answer to EHLO", 0, say_ehlo, heard_ehlo },
        [SMTP_HELO] = { "HELO", "waiting for the answer to HELO", 0, say_helo, heard_helo },
        [SMTP_LHLO] = { "LHLO", "waiting for the answer to LHLO", 0, say_lhlo, heard_lhlo },
        [SMTP_STARTTLS] = { "STARTTLS", "waiting for the answer to STARTTLS", 0, say_starttls,
                            heard_starttls },
        [SMTP_AUTH] = { "AUTH", "waiting for the answer to AUTH", 0, smtp_signin_say, smtp_signin_heard },
        [SMTP_CHALLENGE] = { "AUTH answer", "waiting for the server to sign us in", 0, smtp_signin_say_answer,
                             smtp_signin_heard },
        [SMTP_CANCEL] = { "AUTH cancel", "waiting for the end of AUTH", 0, smtp_signin_say_cancel,
                          smtp_signin_heard_cancel },
        [SMTP_QUIT] = { "QUIT", "waiting for the answer to QUIT", 10, say_quit, heard_quit },
};

/* ---- the class ---- */

static void start(struct chat *chat, const struct chat_channel *channel)
{
        chat->channel = *channel;
        chat_go(chat, SMTP_GREETING);
}

/* RFC 3207 section 4.2: all knowledge from before TLS is forgotten. */
static void secured(struct chat *chat, const struct chat_channel *channel)
{
        struct smtp_session *s = session_of(chat);

        chat->channel = *channel;
        reply_reset(&s->reply);
        s->can = (struct smtp_capabilities){ 0 };
        if (!channel->tls)
                chat_fail(chat, CAUSE_INTERNAL, "a handshake without TLS");
        else
                chat_go(chat, SMTP_EHLO);
}

static bool may_be_421(const struct buf *in)
{
        return memcmp(buf_bytes(in), "421", in->len < 3 ? in->len : 3) == 0;
}

/* Lines that came together with a reply and repeat its code, or are empty, are more of it by a server that
 * cannot count: they are passed over. */
static void skip_more_of_it(struct smtp_session *s)
{
        char code[8];
        const char *line;

        (void)snprintf(code, sizeof code, "%03u", s->reply.code);
        while (s->chat.state == CHAT_TALKING && s->chat.in.len >= 3 && may_be_loose(s) &&
               (memcmp(buf_bytes(&s->chat.in), code, 3) == 0 || buf_bytes(&s->chat.in)[0] == '\r'))
                if (chat_next_line(&s->chat, &line) < 0)
                        break;
}

/* Up to READY (and in QUIT) replies and commands take turns. */
static void hear_in_turn(struct smtp_session *s)
{
        struct chat *chat = &s->chat;

        if (s->reply.code == 421 && chat->step != SMTP_QUIT)
                (void)fail_quoting(chat, CAUSE_SERVER_BUSY, "the server ends the session", &s->reply);
        else
                chat_hear(chat, &s->reply);
        skip_more_of_it(s);
        /* Whoever sent this could not know the command it answers (S5). */
        if (!chat_is_over(chat) && chat->in.len && !may_be_421(&chat->in))
                chat_fail(chat, CAUSE_INJECTION, "%zu bytes of an answer came before the question",
                          chat->in.len);
}

/* True when it ended a reply. */
static bool hear_line(struct smtp_session *s, const char *line, size_t len)
{
        struct cause cause = { 0 };
        enum reply_result result = reply_feed(&s->reply, line, len, &cause);

        switch (result) {
        case REPLY_MORE:
                break;
        case REPLY_BAD:
                (void)chat_fail_with(&s->chat, &cause);
                break;
        case REPLY_DONE:
                if (s->chat.state == CHAT_READY)
                        pipeline_heard(s, &s->reply);
                else
                        hear_in_turn(s);
                break;
        }
        return result == REPLY_DONE;
}

static void received(struct chat *chat, const uint8_t *bytes, size_t len)
{
        struct smtp_session *s = session_of(chat);
        struct cause cause = { 0 };
        const char *line;
        ssize_t line_len;
        bool whole = false; /* the last line ended a reply */

        if (chat_feed(chat, bytes, len) == 0 && chat->step == SMTP_GREETING && !s->reply.lines &&
            reply_foreign(buf_bytes(&chat->in), chat->in.len, &cause))
                (void)chat_fail_with(chat, &cause);
        while ((line_len = chat_next_line(chat, &line)) >= 0)
                whole = hear_line(s, line, (size_t)line_len);
        pipeline_run(s, whole);
}

static void closed(struct chat *chat)
{
        struct smtp_session *s = session_of(chat);

        if (chat_is_over(chat) && chat->state != CHAT_WANTS_TLS)
                return;
        if (chat->step == SMTP_QUIT || (chat->state == CHAT_READY && !s->mail.first))
                chat_go(chat, STEP_ENDED);    /* an idle one may be closed by the server at any time */
        else if (chat->step == SMTP_STARTTLS) /* cut off is as good as refused (security rule 2) */
                chat_fail(chat, CAUSE_STARTTLS_REFUSED,
                          "the server closed the connection instead of answering STARTTLS");
        else
                chat_fail(chat, CAUSE_CLOSED, "the server closed the connection while %s",
                          chat->phrase ? chat->phrase : "nothing was awaited");
        pipeline_run(s, true);
}

static void drained(struct chat *chat)
{
        pipeline_run(session_of(chat), true);
}

static void quit(struct chat *chat)
{
        struct smtp_session *s = session_of(chat);

        if (chat->state != CHAT_READY)
                return;
        if (s->mail.first)
                s->mail.quitting = true; /* after what is in flight */
        else
                chat_go(chat, SMTP_QUIT);
}

static void session_free(struct chat *chat)
{
        struct smtp_session *s = chat ? session_of(chat) : NULL;
        struct cause why;

        if (!s)
                return;
        if (s->mail.first) {
                cause_set(&why, CAUSE_CLOSED, "the session was ended");
                smtp_mail_lost(chat, chat->state == CHAT_FAILED ? chat->cause : &why);
        }
        smtp_signin_forget(s);
        free(s->hello);
        free(s->domain);
        pipeline_done(&s->mail);
        reply_done(&s->reply);
        chat_done(chat);
        free(s);
}

static const struct chat_class class = {
        .start = start,
        .received = received,
        .secured = secured,
        .closed = closed,
        .drained = drained,
        .quit = quit,
        .free = session_free,
};

static bool repeats_secret(const struct chat *chat, const char *line, size_t len)
{
        const struct smtp_session *s = container_of(chat, struct smtp_session, chat);

        return signin_repeated(&s->config.signin, line, len) ||
               (s->answer && strlen(s->answer) > 3 && memmem(line, len, s->answer, strlen(s->answer)));
}

struct chat *smtp_session_new(const struct smtp_config *config)
{
        struct smtp_session *s = new_object(struct smtp_session);

        chat_init(&s->chat, &class, steps, LIMIT_LINE);
        s->chat.wants_starttls = config->starttls;
        s->chat.hides = repeats_secret;
        s->config = *config;
        s->config.hello = s->hello = copy_text(config->hello);
        s->config.domain = s->domain = copy_text(config->domain);
        s->known = config->ways ? config->ways : &s->own_ways;
        reply_init(&s->reply);
        return &s->chat;
}

const struct smtp_capabilities *smtp_session_capabilities(const struct chat *chat)
{
        return &container_of(chat, const struct smtp_session, chat)->can;
}
