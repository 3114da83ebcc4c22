/* SPDX-License-Identifier: MIT */
/*
 * The order of a POP3 session is the table at the end of this file. Around it: replies,
 * the lines and messages that follow them, and the rules before TLS stands (security rules
 * 2-4, S1-S5). See session.h; the operations are in retrieve.c.
 */
#include "daemon/pop3/session.h"

#include "daemon/pop3/retrieve.h"
#include "daemon/pop3/signin.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

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
        char *words = NULL;
        va_list args;

        if (!may_say(session))
                return;
        va_start(args, format);
        int len = vasprintf(&words, format, args);
        va_end(args);
        if (len < 0)
                abort();
        chat_say(&session->chat, "%s", words);
        free(words);
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

int pop3_operation_done(struct pop3_session *session, void (*finished)(struct pop3_session *))
{
        pop3_retrieve_clear(session);
        session->finished = finished;
        return STEP_READY;
}

/* ---- what a refusal means ---- */

static const struct {
        const char *code;
        enum cause_code signing_in, later;
} refusals[] = {
        { "[AUTH]", CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION },
        { "[SYS/TEMP]", CAUSE_AUTH_TEMPORARY, CAUSE_SERVER_BUSY },
        { "[SYS/PERM]", CAUSE_MAILBOX, CAUSE_MAILBOX },
        { "[IN-USE]", CAUSE_SERVER_BUSY, CAUSE_SERVER_BUSY },
        { "[LOGIN-DELAY]", CAUSE_SERVER_BUSY, CAUSE_SERVER_BUSY },
};

enum cause_code pop3_cause_of_code(const struct pop3_session *session, const char *words)
{
        for (size_t i = 0; i < count_of(refusals); i++)
                if (strncasecmp(words, refusals[i].code, strlen(refusals[i].code)) == 0)
                        return session->signed_in ? refusals[i].later : refusals[i].signing_in;
        /* servers older than these codes say so in words when another session holds the mailbox */
        return !session->signed_in && strcasestr(words, "lock") ? CAUSE_SERVER_BUSY : CAUSE_NONE;
}

/* True when the server's words repeat what we signed in with (S38). */
static bool echoes_secret(const struct pop3_session *session, const char *words)
{
        const char *said = session->last_said;

        return signin_repeated(&session->config.signin, words, strlen(words)) ||
               (said && said[0] && strstr(words, said));
}

int pop3_refused(struct pop3_session *session, const struct pop3_reply *reply, enum cause_code otherwise,
                 const char *what)
{
        enum cause_code code = pop3_cause_of_code(session, reply->words);
        bool shown = reply->words[0] && !echoes_secret(session, reply->words);

        if (reply->status != POP3_ERR)
                return chat_fail(&session->chat, CAUSE_PROTOCOL,
                                 "the server gave an answer that POP3 does not know (%s)", what);
        return chat_fail(&session->chat, code != CAUSE_NONE ? code : otherwise,
                         "the server refused %s%s%.300s", what, shown ? ": " : "", shown ? reply->words : "");
}

/* ---- the steps up to READY ---- */

static int capabilities_known(struct pop3_session *session)
{
        struct chat *chat = &session->chat;

        if (!chat->wants_starttls || chat->channel.tls) {
                if (signin_wanted(&session->config.signin))
                        return pop3_sign_in(session);
                session->signed_in = true;
                return STEP_READY;
        }
        if (!session->capabilities.stls)
                return chat_fail(chat, CAUSE_NO_STARTTLS, "the server does not offer STLS");
        return POP3_STLS;
}

static int greeting_heard(struct chat *chat, const void *reply)
{
        struct pop3_session *session = pop3_session_of(chat);
        const struct pop3_reply *said = reply;

        if (said->status != POP3_OK)
                return pop3_refused(session, said, CAUSE_SERVER_BUSY, "the connection");
        return POP3_CAPA;
}

static void forget_capabilities(struct pop3_session *session)
{
        free(session->capabilities.mechanisms);
        free(session->capabilities.words);
        session->capabilities = (struct pop3_capabilities){ 0 };
}

static void say_capa(struct chat *chat)
{
        struct pop3_session *session = pop3_session_of(chat);

        forget_capabilities(session);
        pop3_say(session, "CAPA");
}

static bool begins(const char *line, const char *word)
{
        size_t len = strlen(word);

        return strncasecmp(line, word, len) == 0 && (line[len] == ' ' || line[len] == '\0');
}

static void capa_line(struct pop3_session *session, const char *text, size_t len unused_arg)
{
        struct pop3_capabilities *all = &session->capabilities;

        if (++all->lines > LIMIT_CAPABILITIES ||
            (all->words && strlen(all->words) + strlen(text) > LIMIT_LINE)) {
                (void)chat_fail(&session->chat, CAUSE_PROTOCOL, "the server lists more than %d capabilities",
                                LIMIT_CAPABILITIES);
                return;
        }
        char *before = all->words;
        all->words = before ? text_of("%s %s", before, text) : copy_text(text);
        free(before);
        all->stls |= begins(text, "STLS");
        all->user |= begins(text, "USER");
        all->pipelining |= begins(text, "PIPELINING");
        if (begins(text, "SASL") && !all->mechanisms) {
                all->mechanisms = copy_text(text[4] ? text + 5 : "");
                for (char *at = all->mechanisms; *at; at++)
                        *at = (char)toupper((unsigned char)*at);
        }
}

/* A server without CAPA (RFC 1939 alone) is no fault: it has no STLS and no SASL then. */
static int capa_heard(struct chat *chat, const void *reply)
{
        struct pop3_session *session = pop3_session_of(chat);
        const struct pop3_reply *said = reply;

        if (said->status != POP3_OK)
                return capabilities_known(session);
        session->capabilities.known = true;
        session->line = capa_line;
        return STEP_SAME;
}

static void say_stls(struct chat *chat)
{
        pop3_say(pop3_session_of(chat), "STLS");
}

static int stls_heard(struct chat *chat, const void *reply)
{
        const struct pop3_reply *said = reply;

        if (said->status != POP3_OK)
                return chat_fail(chat, CAUSE_STARTTLS_REFUSED,
                                 "the server offers STLS but refuses it: %.300s", said->words);
        return STEP_HANDSHAKE;
}

static void say_quit(struct chat *chat)
{
        pop3_say(pop3_session_of(chat), "QUIT");
}

static int quit_heard(struct chat *chat, const void *reply)
{
        struct pop3_session *session = pop3_session_of(chat);
        const struct pop3_reply *said = reply;

        if (said->status != POP3_OK && session->deletes)
                return pop3_refused(session, said, CAUSE_SERVER_BUSY, "to carry out the deletions");
        return STEP_ENDED;
}

/* ---- the table ---- */

/* Deleting many messages takes a server its time, and whether it did it matters. */
enum { WAIT_QUIT = 120 };

static const struct chat_step steps[POP3_STEPS] = {
        [POP3_GREETING] = { "greeting", "waiting for the greeting", 0, NULL, greeting_heard },
        [POP3_CAPA] = { "CAPA", "waiting for the answer to CAPA", 0, say_capa, capa_heard },
        [POP3_STLS] = { "STLS", "waiting for the answer to STLS", 0, say_stls, stls_heard },
        [POP3_AUTH] = { "AUTH", "waiting for the answer to AUTH", 0, pop3_say_auth, pop3_auth_heard },
        [POP3_USER] = { "USER", "waiting for the answer to USER", 0, pop3_say_user, pop3_user_heard },
        [POP3_PASS] = { "PASS", "waiting for the answer to PASS", 0, pop3_say_pass, pop3_pass_heard },
        [POP3_STAT] = { "STAT", "waiting for the answer to STAT", 0, pop3_say_stat, pop3_stat_heard },
        [POP3_LIST] = { "LIST", "waiting for the list of messages", 0, pop3_say_list, pop3_list_heard },
        [POP3_UIDL] = { "UIDL", "waiting for the list of unique ids", 0, pop3_say_uidl, pop3_uidl_heard },
        [POP3_RETR] = { "RETR", "waiting for a message", 0, pop3_say_retr, pop3_retr_heard },
        [POP3_DELE] = { "DELE", "waiting for the answer to DELE", 0, pop3_say_dele, pop3_dele_heard },
        [POP3_NOTHING] = { "NOOP", "waiting for the answer to NOOP", 0, pop3_say_nothing,
                           pop3_nothing_heard },
        [POP3_QUIT] = { "QUIT", "waiting for the answer to QUIT", WAIT_QUIT, say_quit, quit_heard },
};

/* ---- sorting what arrives ---- */

/* The oldest command is answered, or goes on: it must be there and out of our hands (rule S5). */
static bool answers_command(struct pop3_session *session, const struct pop3_reply *reply)
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

static void foreign_line(struct pop3_session *session, const char *text)
{
        static const struct {
                const char *begin, *protocol;
        } known[] = { { "220", "an SMTP server" }, { "* ", "an IMAP server" }, { "HTTP/", "a web server" } };

        for (size_t i = 0; i < count_of(known) && session->chat.step == POP3_GREETING; i++)
                if (strncmp(text, known[i].begin, strlen(known[i].begin)) == 0) {
                        (void)chat_fail(&session->chat, CAUSE_PROTOCOL,
                                        "%s answers there, not a POP3 server: %.80s", known[i].protocol,
                                        text);
                        return;
                }
        (void)chat_fail(&session->chat, CAUSE_PROTOCOL, "the server's answer is not one of POP3: %.80s",
                        echoes_secret(session, text) ? "***" : text);
}

static void status_heard(struct pop3_session *session, const char *text)
{
        static const struct {
                const char *word;
                enum pop3_status status;
        } words[] = { { "+OK", POP3_OK }, { "-ERR", POP3_ERR }, { "+", POP3_CONTINUE } };

        for (size_t i = 0; i < count_of(words); i++) {
                size_t len = strlen(words[i].word);
                if (!begins(text, words[i].word))
                        continue;
                struct pop3_reply reply = { words[i].status, text + len + strspn(text + len, " ") };
                if (answers_command(session, &reply))
                        chat_hear(&session->chat, &reply);
                return;
        }
        foreign_line(session, text);
}

static void line_heard(struct pop3_session *session, const char *text, size_t len)
{
        if (!session->line) {
                status_heard(session, text);
        } else if (strcmp(text, ".") == 0) {
                struct pop3_reply end = { .status = POP3_END, .words = "" };
                session->line = NULL;
                chat_hear(&session->chat, &end);
        } else {
                bool stuffed = text[0] == '.';
                session->line(session, text + stuffed, len - stuffed);
        }
}

/* chat_next_line, whose trace does not repeat a secret that the server repeats. */
static ssize_t next_line(struct pop3_session *session, const char **out_text)
{
        struct chat *chat = &session->chat;
        void (*trace)(void *, char, const char *, size_t) = chat->trace;

        chat->trace = NULL;
        ssize_t len = chat_next_line(chat, out_text);
        chat->trace = trace;
        if (trace && len >= 0 && echoes_secret(session, *out_text))
                trace(chat->trace_ctx, '<', "***", 3);
        else if (trace && len >= 0)
                trace(chat->trace_ctx, '<', *out_text, (size_t)len);
        return len;
}

/* Feeds the chat one line of the input, or what there is of it. */
static void take_line(struct pop3_session *session, struct pop3_input *input)
{
        const uint8_t *end = memchr(input->bytes, '\n', input->len);
        size_t taken = end ? (size_t)(end - input->bytes) + 1 : input->len;
        const char *text;

        if (chat_feed(&session->chat, input->bytes, taken) != 0)
                return;
        input->bytes += taken;
        input->len -= taken;
        ssize_t len = next_line(session, &text);
        if (len >= 0)
                line_heard(session, text, (size_t)len);
}

static void tell_finished(struct pop3_session *session)
{
        if (session->chat.state == CHAT_READY && session->finished)
                take(session->finished)(session);
}

static void pop3_received(struct chat *chat, const uint8_t *bytes, size_t len)
{
        struct pop3_session *session = pop3_session_of(chat);
        struct pop3_input input = { bytes, len };

        if (chat->step == POP3_GREETING && !chat->in.len && len && (bytes[0] == 0x15 || bytes[0] == 0x16))
                (void)chat_fail(
                        chat, CAUSE_TLS_MISMATCH,
                        "the server speaks TLS from the first byte: it wants useSsl here, or another port");
        while (input.len && !chat_is_over(chat)) {
                if (session->body)
                        pop3_body_heard(session, &input);
                else
                        take_line(session, &input);
                tell_finished(session);
        }
        /* rule S1: whatever is left beyond the go-ahead was put there by someone else */
        if (chat->state == CHAT_WANTS_TLS && input.len)
                (void)chat_fail(chat, CAUSE_INJECTION, "%zu bytes came beyond the go-ahead for TLS",
                                input.len);
}

/* ---- the chat ---- */

/* Nothing said or heard before counts any more (rule S2). */
static void begin(struct pop3_session *session, const struct chat_channel *channel, int step)
{
        forget_capabilities(session);
        pop3_signin_clear(session);
        session->first_end = session->in_flight = 0;
        session->line = NULL;
        session->chat.channel = *channel;
        chat_go(&session->chat, step);
}

static void pop3_start(struct chat *chat, const struct chat_channel *channel)
{
        begin(pop3_session_of(chat), channel, POP3_GREETING);
}

static void pop3_secured(struct chat *chat, const struct chat_channel *channel)
{
        begin(pop3_session_of(chat), channel, POP3_CAPA);
}

static void pop3_closed(struct chat *chat)
{
        if (chat->step == POP3_QUIT && !pop3_session_of(chat)->deletes)
                chat_go(chat, STEP_ENDED);
        else if (chat->step == POP3_QUIT)
                (void)chat_fail(chat, CAUSE_SERVER_BUSY,
                                "the server closed the connection without confirming the deletions");
        else if (chat->step == POP3_STLS)
                (void)chat_fail(chat, CAUSE_STARTTLS_REFUSED,
                                "the server closed the connection when it was asked for STLS");
        else if (!chat_is_over(chat))
                (void)chat_fail(chat, CAUSE_CLOSED, "the server closed the connection while %s",
                                chat->phrase ? chat->phrase : "nothing was asked of it");
}

static void pop3_quit(struct chat *chat)
{
        chat_go(chat, POP3_QUIT);
}

static void pop3_free(struct chat *chat)
{
        if (!chat)
                return;
        struct pop3_session *session = pop3_session_of(chat);
        pop3_retrieve_clear(session);
        pop3_signin_clear(session);
        forget_capabilities(session);
        chat_done(chat);
        free(session);
}

static const struct chat_class pop3_class = {
        .start = pop3_start,
        .received = pop3_received,
        .secured = pop3_secured,
        .closed = pop3_closed,
        .quit = pop3_quit,
        .free = pop3_free,
};

const struct mailbox_class pop3_mailbox = {
        .open = pop3_open,
        .list = pop3_list,
        .fetch = pop3_fetch,
        .mark = pop3_mark,
};

struct chat *pop3_session_new(const struct pop3_config *config)
{
        struct pop3_session *session = new_object(struct pop3_session);

        chat_init(&session->chat, &pop3_class, steps, LIMIT_LINE);
        session->chat.wants_starttls = config->starttls;
        session->config = *config;
        return &session->chat;
}

const char *pop3_session_capabilities(const struct chat *chat)
{
        const struct pop3_session *session = container_of(chat, const struct pop3_session, chat);

        return session->capabilities.words ? session->capabilities.words : "";
}
