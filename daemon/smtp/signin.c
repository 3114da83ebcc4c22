/* SPDX-License-Identifier: MIT */
/*
 * AUTH (RFC 4954): the steps between a good EHLO and READY. Which mechanism, and what is in
 * its messages, is sasl/'s; here are the lines around them, and what a refusal means.
 */
#include "daemon/sasl/ways.h"
#include "daemon/smtp/pipeline.h"

#include <stdio.h>

enum { AUTH_LINE = 510 }; /* RFC 4954 section 4: AUTH is bound by the line length, 512 with CRLF */

static void forget_answer(struct smtp_session *s)
{
        free_secret(s->answer);
        s->answer = NULL;
        s->answer_waits = false;
}

void smtp_signin_forget(struct smtp_session *s)
{
        forget_answer(s);
        sasl_free(s->sasl);
        s->sasl = NULL;
}

/* The step of the best way that is left; STEP_FAILED with a cause when there is none. */
static int next_way(struct smtp_session *s, struct cause *cause)
{
        const struct signin *signin = &s->config.signin;

        smtp_signin_forget(s);
        s->mechanism = sasl_choose(signin, &s->engine.channel, s->can.auth, &s->ways, cause);
        if (s->mechanism)
                s->sasl = sasl_new(signin, &s->engine.channel, s->mechanism, cause);
        return s->sasl ? (int)SMTP_AUTH : (int)STEP_FAILED;
}

int smtp_signin_begin(struct smtp_session *s)
{
        struct cause cause = { 0 };

        if (!engine_may_speak(&s->engine))
                return STEP_FAILED;
        if (!signin_wanted(&s->config.signin))
                return STEP_READY;
        s->ways = (struct sasl_ways){ 0 };
        int step = next_way(s, &cause);
        return step != STEP_FAILED ? step : engine_fail_with(&s->engine, &cause);
}

void smtp_signin_say(struct engine *engine)
{
        struct smtp_session *s = session_of(engine);
        struct cause cause = { 0 };

        forget_answer(s);
        s->answer = sasl_first(s->sasl, &cause);
        if (cause.code) {
                (void)engine_fail_with(engine, &cause);
                return;
        }
        s->first_sent = s->answer && !s->ways.without_first &&
                        strlen("AUTH  ") + strlen(s->mechanism) + strlen(s->answer) <= AUTH_LINE;
        if (s->first_sent) {
                char *traced = text_of("AUTH %s ***", s->mechanism);
                char *line = text_of("AUTH %s %s", s->mechanism, s->answer);
                engine_say_secret(engine, traced, line);
                free_secret(line);
                free(traced);
        } else {
                s->answer_waits = s->answer != NULL;
                engine_say_gated(engine, "AUTH %s", s->mechanism);
        }
}

void smtp_signin_say_answer(struct engine *engine)
{
        engine_say_secret(engine, "***", session_of(engine)->answer);
}

static int calculated(struct engine *engine, const struct calculation *calculation)
{
        struct smtp_session *s = session_of(engine);

        s->answer = sasl_calculated(s->sasl, calculation, &s->why);
        return s->answer ? SMTP_CHALLENGE : SMTP_CANCEL;
}

static int heard_challenge(struct smtp_session *s, const struct reply *reply)
{
        if (s->answer_waits) { /* the empty challenge before a long initial response */
                s->answer_waits = false;
                if (same_text(s->answer, "="))
                        s->answer[0] = '\0';
                return SMTP_CHALLENGE;
        }
        char *challenge = copy_bytes((const char *)buf_bytes(&reply->text), reply->text.len);
        forget_answer(s);
        struct calculation *slow = sasl_calculation(s->sasl, challenge);
        if (!slow)
                s->answer = sasl_feed(s->sasl, challenge, &s->why);
        free_secret(challenge);
        if (slow)
                return engine_calculate(&s->engine, slow, calculated);
        return s->answer ? SMTP_CHALLENGE : SMTP_CANCEL;
}

static int signed_in(struct smtp_session *s)
{
        struct cause cause = { 0 };

        if (sasl_finish(s->sasl, NULL, &cause))
                return engine_fail_with(&s->engine, &cause);
        engine_signed_in(&s->engine, s->mechanism, sasl_broken(&s->ways, &s->config.signin, s->can.auth));
        smtp_signin_forget(s);
        return STEP_READY;
}

void smtp_signin_words(const struct smtp_session *s, const struct reply *reply, char *to, size_t size)
{
        const struct engine *engine = &s->engine;

        reply_words(reply, to, size);
        if (engine->hides(engine, (const char *)buf_bytes(&reply->text), reply->text.len))
                (void)snprintf(to, size, "%u (its words repeat the secret and are left out)", reply->code);
}

static struct server_meaning signin_meaning(const struct reply *reply)
{
        struct server_words said = {
                .protocol = SERVER_SMTP,
                .phase = PHASE_SIGNIN,
                .status = reply->code,
                .code = reply->enhanced,
                .code_len = strlen(reply->enhanced),
                .words = (const char *)buf_bytes(&reply->text),
                .len = reply->text.len,
        };

        return server_words_meaning(&said);
}

/* The next way where there is one, else the cause. */
static int go_on(struct smtp_session *s, bool again, struct cause *cause)
{
        struct cause unused;
        const char *refused = s->mechanism;

        if (again) {
                engine_refused(&s->engine, cause);
                int step = next_way(s, &unused);
                if (step != STEP_FAILED)
                        return step;
        }
        scoped(scoped_free) char *others = sasl_other_words(&s->engine.channel, s->can.auth, refused);
        signin_remedy(&s->config.signin, refused, others, cause);
        return engine_fail_with(&s->engine, cause);
}

static int auth_refused(struct smtp_session *s, const struct reply *reply)
{
        struct server_meaning meaning = signin_meaning(reply);
        const char *user = s->config.signin.user;
        struct cause cause = { 0 };
        char words[300];

        smtp_signin_words(s, reply, words, sizeof words);
        if (reply_class(reply) < 4)
                cause_set(&cause, CAUSE_PROTOCOL, "the server answered AUTH with: %s", words);
        else if (cause_kind(meaning.code)->class == CLASS_DOWN)
                cause_set(&cause, meaning.code, "the server cannot sign %s in just now: %s", user, words);
        else
                cause_set(&cause, meaning.code, "the server refuses to sign %s in by %s: %s", user,
                          s->mechanism, words);
        server_meaning_remedy(&meaning, &cause);
        struct sasl_refusal refusal = {
                .kind = meaning.kind,
                .first_sent = s->first_sent,
                .showed = sasl_showed(s->sasl) && !s->answer_waits,
        };
        enum sasl_again again = reply_class(reply) < 4
                                        ? SASL_NO_MORE
                                        : sasl_refused(&s->ways, &s->config.signin, s->mechanism, &refusal);
        return go_on(s, again != SASL_NO_MORE, &cause);
}

int smtp_signin_heard(struct engine *engine, const void *heard)
{
        struct smtp_session *s = session_of(engine);
        const struct reply *reply = heard;

        if (reply->code == 334)
                return heard_challenge(s, reply);
        return reply->code == 235 ? signed_in(s) : auth_refused(s, reply);
}

void smtp_signin_say_cancel(struct engine *engine)
{
        engine_say_gated(engine, "*");
}

/* Whatever the server says to it: the exchange failed on our side. */
int smtp_signin_heard_cancel(struct engine *engine, const void *heard unused_arg)
{
        struct smtp_session *s = session_of(engine);
        struct cause why = s->why;

        return go_on(s, sasl_failed(&s->ways, &s->config.signin, s->sasl, &why), &why);
}
