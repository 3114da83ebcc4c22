/* SPDX-License-Identifier: MIT */
/*
 * Commands said and which of them are in flight; what a refusal means; the list of capabilities. The gate
 * before TLS (rule S4) and the test that an answer follows its command (rule S5) have their one place here.
 */
#include "daemon/pop3/state.h"

#include <ctype.h>
#include <strings.h>

/* ---- saying ---- */

/* The commands that may go out before TLS stands on a STARTTLS account; no other passes (rule S4). */
static bool may_say(struct pop3_session *session)
{
        int step = session->engine.step;

        return step == POP3_CAPA || step == POP3_STLS || step == POP3_QUIT ||
               engine_may_speak(&session->engine);
}

static void command_said(struct pop3_session *session, size_t before)
{
        if (session->engine.state == ENGINE_FAILED)
                return;
        session->said += session->engine.out.len - before;
        session->ends[(session->first_end + session->in_flight++) % POP3_WINDOW] = session->said;
}

void pop3_say(struct pop3_session *session, const char *format, ...)
{
        size_t before = session->engine.out.len;
        va_list args;

        if (!may_say(session))
                return;
        va_start(args, format);
        scoped(scoped_free) char *words = text_of_list(format, args);
        va_end(args);
        engine_say(&session->engine, "%s", words);
        command_said(session, before);
}

void pop3_say_secret(struct pop3_session *session, const char *traced, const char *line)
{
        size_t before = session->engine.out.len;

        engine_say_secret(&session->engine, traced, line);
        command_said(session, before);
}

void pop3_say_more_secret(struct pop3_session *session, const char *line)
{
        size_t before = session->engine.out.len;

        engine_say_secret(&session->engine, "***", line);
        if (session->engine.state == ENGINE_FAILED)
                return;
        session->said += session->engine.out.len - before;
        session->ends[session->first_end] = session->said;
}
/* The oldest command is answered, or goes on: it must be there and out of our hands (rule S5). */
bool pop3_command_answered(struct pop3_session *session, const struct pop3_reply *reply)
{
        struct engine *engine = &session->engine;

        if (engine->step == POP3_GREETING)
                return true;
        if (!session->in_flight) {
                (void)engine_fail(engine, CAUSE_PROTOCOL, "the server answered a command that was not given");
                return false;
        }
        if (session->ends[session->first_end] > session->said - engine->out.len) {
                (void)engine_fail(engine, CAUSE_INJECTION, "an answer came before its command was sent");
                return false;
        }
        if (reply->status == POP3_CONTINUE) {
                if (engine->step != POP3_AUTH)
                        (void)engine_fail(engine, CAUSE_PROTOCOL,
                                          "the server asks for more where nothing was begun");
                return engine->step == POP3_AUTH;
        }
        session->first_end = (session->first_end + 1) % POP3_WINDOW;
        session->in_flight--;
        return true;
}

/* ---- what a refusal means ---- */

static struct server_meaning meaning_of(const struct pop3_session *session, const char *words)
{
        struct server_words said = {
                .protocol = SERVER_POP3,
                .phase = session->engine.step == POP3_GREETING ? PHASE_GREETING
                         : session->signed_in                  ? PHASE_MAILBOX
                                                               : PHASE_SIGNIN,
                .words = words,
                .len = strlen(words),
        };

        return server_words_meaning(&said);
}

enum cause_code pop3_cause_of_code(const struct pop3_session *session, const char *words)
{
        return meaning_of(session, words).code;
}

/* True when the server's words repeat what we signed in with (S38). */
bool pop3_echoes_secret(const struct engine *engine, const char *words, size_t len)
{
        const struct pop3_session *session = container_of(engine, struct pop3_session, engine);
        return line_signin_repeated(&session->signing, words, len);
}

enum server_kind pop3_explain(struct pop3_session *session, const struct pop3_reply *reply,
                              enum cause_code otherwise, const char *what, struct cause *cause)
{
        struct server_meaning meaning = meaning_of(session, reply->words);
        bool shown =
                reply->words[0] && !pop3_echoes_secret(&session->engine, reply->words, strlen(reply->words));

        if (reply->status != POP3_ERR) {
                cause_set(cause, CAUSE_PROTOCOL, "the server gave an answer that POP3 does not know (%s)",
                          what);
                return SAID_NOTHING_KNOWN;
        }
        cause_set(cause, meaning.code != CAUSE_NONE ? meaning.code : otherwise,
                  "the server refused %s%s%.300s", what, shown ? ": " : "", shown ? reply->words : "");
        server_meaning_remedy(&meaning, cause);
        return meaning.kind;
}

int pop3_refused(struct pop3_session *session, const struct pop3_reply *reply, enum cause_code otherwise,
                 const char *what)
{
        struct cause cause;

        (void)pop3_explain(session, reply, otherwise, what, &cause);
        return engine_fail_with(&session->engine, &cause);
}

/* ---- the list of CAPA (RFC 2449) ---- */

void pop3_forget_capabilities(struct pop3_session *session)
{
        free(session->capabilities.mechanisms);
        free(session->capabilities.words);
        session->capabilities = (struct pop3_capabilities){ 0 };
}

bool pop3_begins(const char *line, const char *word)
{
        size_t len = strlen(word);

        return strncasecmp(line, word, len) == 0 && (line[len] == ' ' || line[len] == '\0');
}

void pop3_capa_line(struct pop3_session *session, const char *text, size_t len unused_arg)
{
        struct pop3_capabilities *all = &session->capabilities;

        if (++all->lines > LIMIT_CAPABILITIES ||
            (all->words && strlen(all->words) + strlen(text) > LIMIT_LINE)) {
                (void)engine_fail(&session->engine, CAUSE_PROTOCOL,
                                  "the server lists more than %d capabilities", LIMIT_CAPABILITIES);
                return;
        }
        char *before = all->words;
        all->words = before ? text_of("%s %s", before, text) : copy_text(text);
        free(before);
        all->stls |= pop3_begins(text, "STLS");
        all->user |= pop3_begins(text, "USER");
        all->top |= pop3_begins(text, "TOP");
        all->pipelining |= pop3_begins(text, "PIPELINING");
        all->utf8 |= pop3_begins(text, "UTF8");
        if (pop3_begins(text, "SASL") && !all->mechanisms) {
                all->mechanisms = copy_text(text[4] ? text + 5 : "");
                for (char *at = all->mechanisms; *at; at++)
                        *at = (char)toupper((unsigned char)*at);
        }
}
