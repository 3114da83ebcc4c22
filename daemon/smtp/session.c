/* SPDX-License-Identifier: MIT */
/*
 * The SMTP session from greeting to READY, as a table of steps: greeting, EHLO (HELO where
 * allowed), STARTTLS, EHLO again, AUTH. Up to READY every command waits for its reply, so
 * a reply that comes before its command is an attack. AUTH is in signin.c, messages in mail.c.
 */
#include "daemon/smtp/session.h"

#include "common/limits.h"
#include "daemon/sasl/repeat.h"
#include "daemon/smtp/meaning.h"
#include "daemon/smtp/pipeline.h"

#include <stdio.h>

/* "the server refuses the connection: 554 no service here" */
static int fail_quoting(struct engine *engine, enum cause_code code, const char *sentence,
                        const struct reply *reply)
{
        char words[300];

        smtp_signin_words(session_of(engine), reply, words, sizeof words);
        return engine_fail(engine, code, "%s: %s", sentence, words);
}

/* ---- greeting ---- */

static void keep_greeting(struct engine *engine, const struct reply *reply)
{
        char words[512];

        reply_words(reply, words, sizeof words);
        free(engine->greeting);
        engine->greeting = copy_text(words);
}

static int heard_greeting(struct engine *engine, const void *heard)
{
        const struct reply *reply = heard;

        if (!engine->channel.tls)
                keep_greeting(engine, reply);
        if (reply_class(reply) == 2)
                return session_of(engine)->config.lmtp ? SMTP_LHLO : SMTP_EHLO;
        if (reply_class(reply) == 4)
                return fail_quoting(engine, CAUSE_SERVER_BUSY, "the server takes no connection now", reply);
        if (reply_class(reply) == 5)
                return fail_quoting(engine, CAUSE_CONNECT, "the server refuses the connection", reply);
        return fail_quoting(engine, CAUSE_PROTOCOL, "the server's greeting is not one of SMTP", reply);
}

/* ---- EHLO ---- */

static void say_ehlo(struct engine *engine)
{
        engine_say(engine, "EHLO %s", smtp_session_our_name(session_of(engine)));
}

static int no_starttls(struct engine *engine)
{
        struct cause cause;

        cause_set(&cause, CAUSE_NO_STARTTLS, "the server does not offer STARTTLS, and useStartTls is set");
        cause_remedy(&cause, "if the server has TLS from the first byte: emailsecctl account secure NAME "
                             "ssl (port 465); if it used to offer STARTTLS, someone on the way may be "
                             "taking it out");
        return engine_fail_with(engine, &cause);
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
        struct engine *engine = &s->engine;

        if (reply_class(reply) < 4)
                return fail_quoting(engine, CAUSE_PROTOCOL, "the server answered EHLO with", reply);
        if (meaning_of(s, reply) == MEANS_OTHER_NAME && smtp_session_other_name(s))
                return SMTP_EHLO;
        if (reply_class(reply) == 4)
                return fail_quoting(engine, CAUSE_SERVER_BUSY, "the server refuses EHLO for now", reply);
        bool of_name = meaning_of(s, reply) == MEANS_OTHER_NAME;
        if (engine->wants_starttls && !engine->channel.tls)
                return of_name ? fail_quoting(engine, CAUSE_NAME_REFUSED,
                                              "the server refuses EHLO with this station's name", reply)
                               : no_starttls(engine);
        if (signin_wanted(&s->config.signin))
                return fail_quoting(engine, of_name ? CAUSE_NAME_REFUSED : CAUSE_NO_MECHANISM,
                                    "the server offers no way to sign in (it refuses EHLO)", reply);
        return SMTP_HELO;
}

enum { LATE_MOST = 5 };

/* Nothing that is said too early can be meant for TLS. */
static bool may_be_loose(const struct smtp_session *s)
{
        return s->engine.channel.tls || !s->engine.wants_starttls;
}

static int heard_ehlo(struct engine *engine, const void *heard)
{
        struct smtp_session *s = session_of(engine);
        const struct reply *reply = heard;

        if (reply->code == 220 && may_be_loose(s) && s->late++ < LATE_MOST)
                return STEP_SAME; /* one more line of the greeting */
        if (reply_class(reply) != 2)
                return without_ehlo(s, reply);
        smtp_capabilities_read(&s->can, reply);
        smtp_session_keep_to_ways(s);
        if (!engine->wants_starttls || engine->channel.tls)
                return smtp_signin_begin(s);
        return s->can.starttls ? SMTP_STARTTLS : no_starttls(engine);
}

static void say_helo(struct engine *engine)
{
        engine_say_gated(engine, "HELO %s", smtp_session_our_name(session_of(engine)));
}

static int heard_helo(struct engine *engine, const void *heard)
{
        struct smtp_session *s = session_of(engine);
        const struct reply *reply = heard;

        if (reply_class(reply) > 3 && meaning_of(s, reply) == MEANS_OTHER_NAME && smtp_session_other_name(s))
                return SMTP_HELO;
        if (reply_class(reply) == 4)
                return fail_quoting(engine, CAUSE_SERVER_BUSY, "the server refuses HELO for now", reply);
        if (reply_class(reply) != 2)
                return fail_quoting(engine, CAUSE_PROTOCOL, "the server refuses both EHLO and HELO", reply);
        return STEP_READY;
}

/* ---- LHLO ---- */

static void say_lhlo(struct engine *engine)
{
        engine_say(engine, "LHLO %s", smtp_session_our_name(session_of(engine)));
}

static int heard_lhlo(struct engine *engine, const void *heard)
{
        struct smtp_session *s = session_of(engine);
        const struct reply *reply = heard;

        if (reply_class(reply) > 3 && meaning_of(s, reply) == MEANS_OTHER_NAME && smtp_session_other_name(s))
                return SMTP_LHLO;
        if (reply_class(reply) == 4)
                return fail_quoting(engine, CAUSE_SERVER_BUSY, "the socket takes no mail now", reply);
        if (reply_class(reply) != 2)
                return fail_quoting(engine, CAUSE_PROTOCOL,
                                    "the socket does not speak LMTP: it answered LHLO with", reply);
        smtp_capabilities_read(&s->can, reply);
        smtp_session_keep_to_ways(s);
        return STEP_READY;
}

/* ---- STARTTLS ---- */

static void say_starttls(struct engine *engine)
{
        engine_say(engine, "STARTTLS");
}

static int heard_starttls(struct engine *engine, const void *heard)
{
        const struct reply *reply = heard;

        if (reply->code == 220)
                return STEP_HANDSHAKE;
        if (reply_class(reply) >= 4)
                return fail_quoting(engine, CAUSE_STARTTLS_REFUSED,
                                    "the server offers STARTTLS and refuses it", reply);
        return fail_quoting(engine, CAUSE_PROTOCOL, "the server answered STARTTLS with", reply);
}

/* ---- QUIT ---- */

static void say_quit(struct engine *engine)
{
        engine_say(engine, "QUIT");
}

static int heard_quit(struct engine *engine unused_arg, const void *heard unused_arg)
{
        return STEP_ENDED;
}

static const struct engine_step steps[SMTP_STEPS] = {
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

static void start(struct engine *engine, const struct engine_channel *channel)
{
        engine->channel = *channel;
        engine_go(engine, SMTP_GREETING);
}

/* RFC 3207 section 4.2: all knowledge from before TLS is forgotten. */
static void secured(struct engine *engine, const struct engine_channel *channel)
{
        struct smtp_session *s = session_of(engine);

        engine->channel = *channel;
        reply_reset(&s->reply);
        s->can = (struct smtp_capabilities){ 0 };
        if (!channel->tls)
                engine_fail(engine, CAUSE_INTERNAL, "a handshake without TLS");
        else
                engine_go(engine, SMTP_EHLO);
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
        while (s->engine.state == ENGINE_TALKING && s->engine.in.len >= 3 && may_be_loose(s) &&
               (memcmp(buf_bytes(&s->engine.in), code, 3) == 0 || buf_bytes(&s->engine.in)[0] == '\r'))
                if (engine_next_line(&s->engine, &line) < 0)
                        break;
}

/* Up to READY (and in QUIT) replies and commands take turns. */
static void hear_in_turn(struct smtp_session *s)
{
        struct engine *engine = &s->engine;

        if (s->reply.code == 421 && engine->step != SMTP_QUIT)
                (void)fail_quoting(engine, CAUSE_SERVER_BUSY, "the server ends the session", &s->reply);
        else
                engine_hear(engine, &s->reply);
        skip_more_of_it(s);
        /* Whoever sent this could not know the command it answers (S5). */
        if (!engine_is_over(engine) && engine->in.len && !may_be_421(&engine->in))
                engine_fail(engine, CAUSE_INJECTION, "%zu bytes of an answer came before the question",
                            engine->in.len);
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
                (void)engine_fail_with(&s->engine, &cause);
                break;
        case REPLY_DONE:
                if (s->engine.state == ENGINE_READY)
                        pipeline_heard(s, &s->reply);
                else
                        hear_in_turn(s);
                break;
        }
        return result == REPLY_DONE;
}

static void received(struct engine *engine, const uint8_t *bytes, size_t len)
{
        struct smtp_session *s = session_of(engine);
        struct cause cause = { 0 };
        const char *line;
        ssize_t line_len;
        bool whole = false; /* the last line ended a reply */

        if (engine_feed(engine, bytes, len) == 0 && engine->step == SMTP_GREETING && !s->reply.lines &&
            reply_foreign(buf_bytes(&engine->in), engine->in.len, &cause))
                (void)engine_fail_with(engine, &cause);
        while ((line_len = engine_next_line(engine, &line)) >= 0)
                whole = hear_line(s, line, (size_t)line_len);
        pipeline_run(s, whole);
}

static void closed(struct engine *engine)
{
        struct smtp_session *s = session_of(engine);

        if (engine_is_over(engine) && engine->state != ENGINE_WANTS_TLS)
                return;
        if (engine->step == SMTP_QUIT || (engine->state == ENGINE_READY && !s->mail.first))
                engine_go(engine, STEP_ENDED);  /* an idle one may be closed by the server at any time */
        else if (engine->step == SMTP_STARTTLS) /* cut off is as good as refused (security rule 2) */
                engine_fail(engine, CAUSE_STARTTLS_REFUSED,
                            "the server closed the connection instead of answering STARTTLS");
        else
                engine_fail(engine, CAUSE_CLOSED, "the server closed the connection while %s",
                            engine->phrase ? engine->phrase : "nothing was awaited");
        pipeline_run(s, true);
}

static void drained(struct engine *engine)
{
        pipeline_run(session_of(engine), true);
}

static void quit(struct engine *engine)
{
        struct smtp_session *s = session_of(engine);

        if (engine->state != ENGINE_READY)
                return;
        if (s->mail.first)
                s->mail.quitting = true; /* after what is in flight */
        else
                engine_go(engine, SMTP_QUIT);
}

static void session_free(struct engine *engine)
{
        struct smtp_session *s = engine ? session_of(engine) : NULL;
        struct cause why;

        if (!s)
                return;
        if (s->mail.first) {
                cause_set(&why, CAUSE_CLOSED, "the session was ended");
                smtp_mail_lost(engine, engine->state == ENGINE_FAILED ? engine->cause : &why);
        }
        smtp_signin_forget(s);
        free(s->hello);
        free(s->domain);
        pipeline_done(&s->mail);
        reply_done(&s->reply);
        engine_done(engine);
        free(s);
}

static const struct engine_ops class = {
        .start = start,
        .received = received,
        .secured = secured,
        .closed = closed,
        .drained = drained,
        .quit = quit,
        .free = session_free,
};

static bool repeats_secret(const struct engine *engine, const char *line, size_t len)
{
        const struct smtp_session *s = container_of(engine, struct smtp_session, engine);

        return signin_repeated(&s->config.signin, line, len) ||
               (s->answer && strlen(s->answer) >= SECRET_SHORTEST &&
                memmem(line, len, s->answer, strlen(s->answer)));
}

struct engine *smtp_session_new(const struct smtp_config *config)
{
        struct smtp_session *s = new_object(struct smtp_session);

        engine_init(&s->engine, &class, steps, LIMIT_LINE);
        s->engine.wants_starttls = config->starttls;
        s->engine.hides = repeats_secret;
        s->config = *config;
        s->config.hello = s->hello = copy_text(config->hello);
        s->config.domain = s->domain = copy_text(config->domain);
        s->known = config->ways ? config->ways : &s->own_ways;
        reply_init(&s->reply);
        return &s->engine;
}

const struct smtp_capabilities *smtp_session_capabilities(const struct engine *engine)
{
        return &container_of(engine, const struct smtp_session, engine)->can;
}
