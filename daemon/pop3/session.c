/* SPDX-License-Identifier: MIT */
/*
 * The order of a POP3 session is the table at the end of this file. Around it: replies,
 * the lines and messages that follow them, and the rules before TLS stands (security rules
 * 2-4, S1-S5). See session.h; the operations are in list.c and retrieve.c.
 */
#include "daemon/pop3/session.h"

#include "daemon/pop3/list.h"
#include "daemon/pop3/retrieve.h"
#include "daemon/pop3/signin.h"

#include <ctype.h>
#include <strings.h>

int pop3_operation_done(struct pop3_session *session, void (*finished)(struct pop3_session *))
{
        pop3_retrieve_clear(session);
        session->finished = finished;
        return STEP_READY;
}
/* ---- the steps up to READY ---- */

static int go_in(struct pop3_session *session)
{
        if (signin_wanted(&session->config.signin))
                return pop3_sign_in(session);
        session->signed_in = true;
        return STEP_READY;
}

static int capabilities_known(struct pop3_session *session)
{
        struct engine *engine = &session->engine;

        if (!engine->wants_starttls || engine->channel.tls)
                return session->capabilities.utf8 ? POP3_UTF8 : go_in(session);
        if (!session->capabilities.stls)
                return engine_fail(engine, CAUSE_NO_STARTTLS, "the server does not offer STLS");
        return POP3_STLS;
}

static int greeting_heard(struct engine *engine, const void *reply)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct pop3_reply *said = reply;

        if (said->status != POP3_OK)
                return pop3_refused(session, said, CAUSE_SERVER_BUSY, "the connection");
        session->apop = pop3_offers_apop(said->words);
        return POP3_CAPA;
}

static void say_capa(struct engine *engine)
{
        struct pop3_session *session = pop3_session_of(engine);

        pop3_forget_capabilities(session);
        pop3_say(session, "CAPA");
}

/* A server without CAPA (RFC 1939 alone) is no fault: it has no STLS and no SASL then. */
static int capa_heard(struct engine *engine, const void *reply)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct pop3_reply *said = reply;

        if (said->status != POP3_OK)
                return capabilities_known(session);
        session->capabilities.known = true;
        session->line = pop3_capa_line;
        return STEP_SAME;
}

static void say_stls(struct engine *engine)
{
        pop3_say(pop3_session_of(engine), "STLS");
}

static int stls_heard(struct engine *engine, const void *reply)
{
        const struct pop3_reply *said = reply;

        if (said->status != POP3_OK)
                return engine_fail(engine, CAUSE_STARTTLS_REFUSED,
                                   "the server offers STLS but refuses it: %.300s", said->words);
        return STEP_HANDSHAKE;
}

/* Without it a server may give a substitute for a message with UTF-8 in its header (RFC 6856 section 2). */
static void say_utf8(struct engine *engine)
{
        pop3_say(pop3_session_of(engine), "UTF8");
}

/* Refused: what can be had without is better than nothing. */
static int utf8_heard(struct engine *engine, const void *reply)
{
        (void)reply;
        return go_in(pop3_session_of(engine));
}

static void say_quit(struct engine *engine)
{
        pop3_say(pop3_session_of(engine), "QUIT");
}

static int quit_heard(struct engine *engine, const void *reply)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct pop3_reply *said = reply;

        if (said->status != POP3_OK && session->deletes)
                return pop3_refused(session, said, CAUSE_SERVER_BUSY, "to carry out the deletions");
        return STEP_ENDED;
}

/* ---- the table ---- */

/* Deleting many messages takes a server its time, and whether it did it matters. */
enum { WAIT_QUIT = 120 };

static const struct engine_step steps[POP3_STEPS] = {
        [POP3_GREETING] = { "greeting", "waiting for the greeting", 0, NULL, greeting_heard },
        [POP3_CAPA] = { "CAPA", "waiting for the answer to CAPA", 0, say_capa, capa_heard },
        [POP3_STLS] = { "STLS", "waiting for the answer to STLS", 0, say_stls, stls_heard },
        [POP3_UTF8] = { "UTF8", "waiting for the answer to UTF8", 0, say_utf8, utf8_heard },
        [POP3_AUTH] = { "AUTH", "waiting for the answer to AUTH", 0, pop3_say_auth, pop3_auth_heard },
        [POP3_USER] = { "USER", "waiting for the answer to USER", 0, pop3_say_user, pop3_user_heard },
        [POP3_PASS] = { "PASS", "waiting for the answer to PASS", 0, pop3_say_pass, pop3_pass_heard },
        [POP3_STAT] = { "STAT", "waiting for the answer to STAT", 0, pop3_say_stat, pop3_stat_heard },
        [POP3_LIST] = { "LIST", "waiting for the list of messages", 0, pop3_say_list, pop3_list_heard },
        [POP3_UIDL] = { "UIDL", "waiting for the list of unique ids", 0, pop3_say_uidl, pop3_uidl_heard },
        [POP3_RETR] = { "RETR", "waiting for a message", 0, pop3_say_retr, pop3_retr_heard },
        [POP3_TOP] = { "TOP", "waiting for a header", 0, pop3_say_top, pop3_top_heard },
        [POP3_DELE] = { "DELE", "waiting for the answer to DELE", 0, pop3_say_dele, pop3_dele_heard },
        [POP3_NOTHING] = { "NOOP", "waiting for the answer to NOOP", 0, pop3_say_nothing,
                           pop3_nothing_heard },
        [POP3_QUIT] = { "QUIT", "waiting for the answer to QUIT", WAIT_QUIT, say_quit, quit_heard },
};

/* ---- sorting what arrives ---- */

static void foreign_line(struct pop3_session *session, const char *text)
{
        static const struct {
                const char *begin, *protocol;
        } known[] = { { "220", "an SMTP server" }, { "* ", "an IMAP server" }, { "HTTP/", "a web server" } };

        for (size_t i = 0; i < count_of(known) && session->engine.step == POP3_GREETING; i++)
                if (strncmp(text, known[i].begin, strlen(known[i].begin)) == 0) {
                        (void)engine_fail(&session->engine, CAUSE_PROTOCOL,
                                          "%s answers there, not a POP3 server: %.80s", known[i].protocol,
                                          text);
                        return;
                }
        (void)engine_fail(&session->engine, CAUSE_PROTOCOL, "the server's answer is not one of POP3: %.80s",
                          text);
}

static void status_heard(struct pop3_session *session, const char *text)
{
        static const struct {
                const char *word;
                enum pop3_status status;
        } words[] = {
                { "+OK", POP3_OK }, { "-ERR", POP3_ERR }, { "+ERR", POP3_ERR }, { "+", POP3_CONTINUE }
        };

        for (size_t i = 0; i < count_of(words); i++) {
                size_t len = strlen(words[i].word);
                if (strncasecmp(text, words[i].word, len) != 0)
                        continue;
                /* "+OK<7@host>", "+OK, ready"; but no word that only begins like it */
                if (words[i].status == POP3_CONTINUE ? text[len] && text[len] != ' '
                                                     : isalnum((unsigned char)text[len]))
                        continue;
                struct pop3_reply reply = { words[i].status, text + len + strspn(text + len, " ,\t") };
                if (pop3_command_answered(session, &reply))
                        engine_hear(&session->engine, &reply);
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
                engine_hear(&session->engine, &end);
        } else {
                bool stuffed = text[0] == '.';
                if (session->signed_in)
                        engine_progress(&session->engine, ENGINE_ITEM);
                session->line(session, text + stuffed, len - stuffed);
        }
}

/* Feeds the engine one line of the input, or what there is of it. */
static void take_line(struct pop3_session *session, struct pop3_input *input)
{
        const uint8_t *end = memchr(input->bytes, '\n', input->len);
        size_t taken = end ? (size_t)(end - input->bytes) + 1 : input->len;
        const char *text;

        if (engine_feed(&session->engine, input->bytes, taken) != 0)
                return;
        input->bytes += taken;
        input->len -= taken;
        ssize_t len = engine_next_line(&session->engine, &text);
        if (len >= 0)
                line_heard(session, text, (size_t)len);
}

static void tell_finished(struct pop3_session *session)
{
        if (session->engine.state == ENGINE_READY && session->finished)
                take(session->finished)(session);
}

static void pop3_received(struct engine *engine, const uint8_t *bytes, size_t len)
{
        struct pop3_session *session = pop3_session_of(engine);
        struct pop3_input input = { bytes, len };

        if (engine->step == POP3_GREETING && !engine->in.len && len && (bytes[0] == 0x15 || bytes[0] == 0x16))
                (void)engine_fail(
                        engine, CAUSE_TLS_MISMATCH,
                        "the server speaks TLS from the first byte: it wants useSsl here, or another port");
        while (input.len && !engine_is_over(engine)) {
                if (session->body)
                        pop3_body_heard(session, &input);
                else
                        take_line(session, &input);
                tell_finished(session);
        }
        engine->coming = session->body ? pop3_body_left(session) : 0;
        /* rule S1: whatever is left beyond the go-ahead was put there by someone else */
        if (engine->state == ENGINE_WANTS_TLS && input.len)
                (void)engine_fail(engine, CAUSE_INJECTION, "%zu bytes came beyond the go-ahead for TLS",
                                  input.len);
}

/* ---- the engine ---- */

/* Nothing said or heard before counts any more (rule S2). */
static void begin(struct pop3_session *session, const struct engine_channel *channel, int step)
{
        pop3_forget_capabilities(session);
        line_signin_clear(&session->signing);
        session->first_end = session->in_flight = 0;
        session->line = NULL;
        session->engine.channel = *channel;
        engine_go(&session->engine, step);
}

static void pop3_start(struct engine *engine, const struct engine_channel *channel)
{
        begin(pop3_session_of(engine), channel, POP3_GREETING);
}

static void pop3_secured(struct engine *engine, const struct engine_channel *channel)
{
        begin(pop3_session_of(engine), channel, POP3_CAPA);
}

static void pop3_closed(struct engine *engine)
{
        if (engine->step == POP3_QUIT && !pop3_session_of(engine)->deletes)
                engine_go(engine, STEP_ENDED);
        else if (engine->step == POP3_QUIT)
                (void)engine_fail(engine, CAUSE_SERVER_BUSY,
                                  "the server closed the connection without confirming the deletions");
        else if (engine->step == POP3_STLS)
                (void)engine_fail(engine, CAUSE_STARTTLS_REFUSED,
                                  "the server closed the connection when it was asked for STLS");
        else if (!engine_is_over(engine))
                (void)engine_fail(engine, CAUSE_CLOSED, "the server closed the connection while %s",
                                  engine->phrase ? engine->phrase : "nothing was asked of it");
}

static void pop3_quit(struct engine *engine)
{
        engine_go(engine, POP3_QUIT);
}

static void pop3_free(struct engine *engine)
{
        if (!engine)
                return;
        struct pop3_session *session = pop3_session_of(engine);
        pop3_retrieve_clear(session);
        line_signin_clear(&session->signing);
        pop3_forget_capabilities(session);
        engine_done(engine);
        free(session);
}

static const struct engine_ops pop3_class = {
        .start = pop3_start,
        .received = pop3_received,
        .secured = pop3_secured,
        .closed = pop3_closed,
        .quit = pop3_quit,
        .free = pop3_free,
};

const struct mailbox_ops pop3_mailbox = {
        .open = pop3_open,
        .list = pop3_list,
        .fetch = pop3_fetch,
        .heads = pop3_heads,
        .mark = pop3_mark,
};

struct engine *pop3_session_new(const struct pop3_config *config)
{
        struct pop3_session *session = new_object(struct pop3_session);

        engine_init(&session->engine, &pop3_class, steps, LIMIT_LINE);
        session->engine.wants_starttls = config->starttls;
        session->engine.hides = pop3_echoes_secret;
        session->config = *config;
        pop3_signin_init(session);
        buf_init(&session->head, LIMIT_HEAD);
        return &session->engine;
}

const char *pop3_session_capabilities(const struct engine *engine)
{
        const struct pop3_session *session = container_of(engine, const struct pop3_session, engine);

        return session->capabilities.words ? session->capabilities.words : "";
}
