/* SPDX-License-Identifier: MIT */
/*
 * Commands said and which of them are in flight; what a refusal means. The gate before TLS (rule S4) and the test that
 * an answer follows its command (rule S5) have their one place here.
 */
#include "daemon/pop3/state.h"

/* ---- saying ---- */

/* The commands that may go out before TLS stands on a STARTTLS account; no other passes (rule S4). */
static bool may_say(struct pop3_session *session)
{
        int step = session->chat.step;

        return step == POP3_CAPA || step == POP3_STLS || step == POP3_QUIT || chat_may_speak(&session->chat);
}

static void command_said(struct pop3_session *session, size_t before)
{
        if (session->chat.state == CHAT_FAILED)
                return;
        session->said += session->chat.out.len - before;
        session->ends[(session->first_end + session->in_flight++) % POP3_WINDOW] = session->said;
}

void pop3_say(struct pop3_session *session, const char *format, ...)
{
        size_t before = session->chat.out.len;
        va_list args;

        if (!may_say(session))
                return;
        va_start(args, format);
        scoped(scoped_free) char *words = text_of_list(format, args);
        va_end(args);
        chat_say(&session->chat, "%s", words);
        command_said(session, before);
}

void pop3_say_secret(struct pop3_session *session, const char *traced, const char *line)
{
        size_t before = session->chat.out.len;

        chat_say_secret(&session->chat, traced, line);
        command_said(session, before);
}

void pop3_say_more_secret(struct pop3_session *session, const char *line)
{
        size_t before = session->chat.out.len;

        chat_say_secret(&session->chat, "***", line);
        if (session->chat.state == CHAT_FAILED)
                return;
        session->said += session->chat.out.len - before;
        session->ends[session->first_end] = session->said;
}
/* The oldest command is answered, or goes on: it must be there and out of our hands (rule S5). */
bool pop3_command_answered(struct pop3_session *session, const struct pop3_reply *reply)
{
        struct chat *chat = &session->chat;

        if (chat->step == POP3_GREETING)
                return true;
        if (!session->in_flight) {
                (void)chat_fail(chat, CAUSE_PROTOCOL, "the server answered a command that was not given");
                return false;
        }
        if (session->ends[session->first_end] > session->said - chat->out.len) {
                (void)chat_fail(chat, CAUSE_INJECTION, "an answer came before its command was sent");
                return false;
        }
        if (reply->status == POP3_CONTINUE) {
                if (chat->step != POP3_AUTH)
                        (void)chat_fail(chat, CAUSE_PROTOCOL,
                                        "the server asks for more where nothing was begun");
                return chat->step == POP3_AUTH;
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
                .phase = session->chat.step == POP3_GREETING ? PHASE_GREETING :
                         session->signed_in ? PHASE_MAILBOX : PHASE_SIGNIN,
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
bool pop3_echoes_secret(const struct chat *chat, const char *words, size_t len)
{
        const struct pop3_session *session = container_of(chat, struct pop3_session, chat);
        return line_signin_repeated(&session->signing, words, len);
}

enum server_kind pop3_explain(struct pop3_session *session, const struct pop3_reply *reply, enum cause_code otherwise,
                              const char *what, struct cause *cause)
{
        struct server_meaning meaning = meaning_of(session, reply->words);
        bool shown = reply->words[0] && !pop3_echoes_secret(&session->chat, reply->words, strlen(reply->words));

        if (reply->status != POP3_ERR) {
                cause_set(cause, CAUSE_PROTOCOL, "the server gave an answer that POP3 does not know (%s)", what);
                return SAID_NOTHING_KNOWN;
        }
        cause_set(cause, meaning.code != CAUSE_NONE ? meaning.code : otherwise, "the server refused %s%s%.300s", what,
                  shown ? ": " : "", shown ? reply->words : "");
        server_meaning_remedy(&meaning, cause);
        return meaning.kind;
}

int pop3_refused(struct pop3_session *session, const struct pop3_reply *reply, enum cause_code otherwise,
                 const char *what)
{
        struct cause cause;

        (void)pop3_explain(session, reply, otherwise, what, &cause);
        return chat_fail_with(&session->chat, &cause);
}
