/* SPDX-License-Identifier: MIT */
/*
 * The order of an IMAP session is the table at the end of this file. Around it: the
 * sorting of what arrives into replies, data and bodies, and the rules before TLS stands
 * (security rules 2-4, S1-S5). See session.h; the operations are in list.c, fetch.c, folders.c.
 */
#include "daemon/imap/session.h"

#include "daemon/imap/command.h"
#include "daemon/imap/fetch.h"
#include "daemon/imap/folders.h"
#include "daemon/imap/responses.h"
#include "daemon/imap/signin.h"
#include "daemon/imap/work.h"

/* ---- the steps up to READY ---- */

static int ready_or_sign_in(struct imap_session *session)
{
        if (session->signed_in)
                return imap_enable(session);
        if (signin_wanted(&session->config.signin))
                return imap_sign_in(session);
        session->signed_in = true;
        return STEP_READY;
}

static int capabilities_known(struct imap_session *session)
{
        struct engine *engine = &session->engine;

        if (!engine->wants_starttls || engine->channel.tls)
                return ready_or_sign_in(session);
        if (!imap_offers(session, "STARTTLS"))
                return engine_fail(engine, CAUSE_NO_STARTTLS, "the server does not offer STARTTLS");
        return IMAP_STARTTLS;
}

static int greeting_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);
        const struct imap_reply *said = reply;

        if (said->status == IMAP_PREAUTH)
                return engine_fail(engine, CAUSE_PREAUTH,
                                   "the server greets as if the account were signed in already (PREAUTH)");
        if (said->status != IMAP_OK)
                return imap_refused(session, said, CAUSE_SERVER_BUSY, "the connection");
        if (engine->channel.tls)
                imap_code_heard(session, said);
        if (engine->state == ENGINE_FAILED)
                return STEP_FAILED;
        return session->capabilities_fresh ? capabilities_known(session) : (int)IMAP_CAPABILITY;
}

static void say_capability(struct engine *engine)
{
        struct imap_session *session = imap_session_of(engine);

        session->capabilities_fresh = false;
        imap_say(session, "CAPABILITY");
}

static int capability_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);
        const struct imap_reply *said = reply;

        if (said->status != IMAP_OK && said->status != IMAP_REFUSED_AS_BAD)
                return imap_refused(session, said, CAUSE_PROTOCOL, "to list its capabilities");
        if (!session->capabilities_fresh) /* it has none to tell of: what every server can do is left */
                free(take(session->capabilities));
        return capabilities_known(session);
}

static void say_starttls(struct engine *engine)
{
        imap_say(imap_session_of(engine), "STARTTLS");
}

static int starttls_heard(struct engine *engine, const void *reply)
{
        const struct imap_reply *said = reply;

        if (said->status != IMAP_OK)
                return engine_fail(engine, CAUSE_STARTTLS_REFUSED,
                                   "the server offers STARTTLS but refuses it: %.*s",
                                   said->words.len < 300 ? (int)said->words.len : 300, said->words.bytes);
        return STEP_HANDSHAKE;
}

static void say_logout(struct engine *engine)
{
        imap_say(imap_session_of(engine), "LOGOUT");
}

/* Any answer will do; one to a command before it may come first. */
static int logout_heard(struct engine *engine, const void *reply unused_arg)
{
        return imap_session_of(engine)->in_flight ? STEP_SAME : STEP_ENDED;
}

/* ---- the table ---- */

static const struct engine_step steps[IMAP_STEPS] = {
        [IMAP_GREETING] = { "greeting", "waiting for the greeting", 0, NULL, greeting_heard },
        [IMAP_CAPABILITY] = { "CAPABILITY", "waiting for the answer to CAPABILITY", 0, say_capability,
                              capability_heard },
        [IMAP_STARTTLS] = { "STARTTLS", "waiting for the answer to STARTTLS", 0, say_starttls,
                            starttls_heard },
        [IMAP_AUTHENTICATE] = { "AUTHENTICATE", "waiting for the answer to AUTHENTICATE", 0,
                                imap_say_authenticate, imap_authenticate_heard },
        [IMAP_LOGIN] = { "LOGIN", "waiting for the answer to LOGIN", 0, imap_say_login, imap_login_heard },
        [IMAP_ENABLE] = { "ENABLE", "waiting for the answer to ENABLE and ID", 0, imap_say_enable,
                          imap_enable_heard },
        [IMAP_SELECT] = { "SELECT", "waiting for the folder to open", 0, imap_say_select, imap_select_heard },
        [IMAP_SEARCH] = { "UID SEARCH", "waiting for the list of unseen messages", 0, imap_say_search,
                          imap_search_heard },
        [IMAP_LIST] = { "UID FETCH FLAGS", "waiting for the list of messages", 0, imap_say_list,
                        imap_list_heard },
        [IMAP_FETCH] = { "UID FETCH BODY", "waiting for messages", 0, imap_say_fetch, imap_bodies_heard },
        [IMAP_HEADS] = { "UID FETCH HEADER", "waiting for headers", 0, imap_say_heads, imap_heads_heard },
        [IMAP_STORE] = { "UID STORE", "waiting for the answer to STORE", 0, imap_say_store,
                         imap_store_heard },
        [IMAP_EXPUNGE] = { "UID EXPUNGE", "waiting for the answer to EXPUNGE", 0, imap_say_expunge,
                           imap_expunge_heard },
        [IMAP_NOTHING] = { "NOOP", "waiting for the answer to NOOP", 0, imap_say_noop, imap_nothing_heard },
        [IMAP_IDLE] = { "IDLE", "waiting for the answer to IDLE", 0, imap_say_idle, imap_idle_heard },
        [IMAP_IDLING] = { "idling", "waiting for new mail", 0, imap_say_idling, imap_idling_heard },
        [IMAP_DONE] = { "DONE", "waiting for the answer to DONE", 0, imap_say_done, imap_done_heard },
        [IMAP_REFRESH] = { "NOOP", "waiting for the answer to NOOP", 0, imap_say_noop, imap_refresh_heard },
        [IMAP_FOLDERS] = { "LIST", "waiting for the list of folders", 0, imap_say_folders,
                           imap_folders_heard },
        [IMAP_LOGOUT] = { "LOGOUT", "waiting for the answer to LOGOUT", 0, say_logout, logout_heard },
};

/* ---- sorting what arrives ---- */

static void tagged_heard(struct imap_session *session, struct imap_cursor cursor)
{
        struct imap_text tag;

        if (!imap_word(&cursor, &tag)) { /* an empty line, as some servers say */
                (void)imap_leads_nowhere(session);
                return;
        }
        if (!imap_command_answered(session, &tag))
                return;
        (void)imap_blanks(&cursor);
        struct imap_reply reply = imap_reply_read(&cursor);
        session->untagged = 0;
        if (reply.status == IMAP_OK) {
                imap_code_heard(session, &reply);
                imap_alert_heard(session, &reply);
        }
        engine_hear(&session->engine, &reply);
}

/* The commands that a continuation request lets go on. At any other time it is read over: a client is
 * prepared for every response (RFC 3501, 2.2.2). */
static bool awaits_more(const struct imap_session *session)
{
        int step = session->engine.step;

        return step == IMAP_AUTHENTICATE || step == IMAP_IDLE ||
               (step == IMAP_LOGIN && imap_login_awaits_more(session));
}

static void continuation_heard(struct imap_session *session, struct imap_cursor cursor)
{
        struct imap_reply reply = IMAP_EMPTY_REPLY(IMAP_CONTINUE);

        (void)imap_blanks(&cursor);
        reply.words = (struct imap_text){ cursor.at, (size_t)(cursor.end - cursor.at), IMAP_ATOM };
        if (!awaits_more(session))
                (void)imap_leads_nowhere(session);
        else if (imap_command_continued(session))
                engine_hear(&session->engine, &reply);
}

/* Words for what answers there when it is no IMAP server. */
static void foreign_greeting(struct imap_session *session, const struct imap_item *item)
{
        static const struct {
                const char *begin, *protocol;
        } known[] = { { "220", "an SMTP server" }, { "+OK", "a POP3 server" }, { "HTTP/", "a web server" } };
        int len = item->len < 80 ? (int)item->len : 80;

        for (size_t i = 0; i < count_of(known); i++) {
                size_t begin = strlen(known[i].begin);
                if (item->len >= begin && memcmp(item->text, known[i].begin, begin) == 0) {
                        (void)engine_fail(&session->engine, CAUSE_PROTOCOL,
                                          "%s answers there, not an IMAP server: %.*s", known[i].protocol,
                                          len, item->text);
                        return;
                }
        }
        (void)engine_fail(&session->engine, CAUSE_PROTOCOL,
                          "the greeting is not that of an IMAP server: %.*s", len, item->text);
}

static void trace_heard(const struct imap_session *session, const struct imap_item *item)
{
        const struct engine *engine = &session->engine;

        if (!engine->trace)
                return;
        if (imap_echoes_secret(session, item->text, item->len))
                engine->trace(engine->trace_ctx, '<', "***", 3);
        else
                engine->trace(engine->trace_ctx, '<', item->text, item->len);
}

static void response_heard(struct imap_session *session, const struct imap_item *item)
{
        struct engine *engine = &session->engine;
        struct imap_cursor cursor = imap_cursor(item->text, item->len);

        trace_heard(session, item);
        if (item->tail) {
                imap_body_ended(session, item);
        } else if (item->len >= 2 && memcmp(item->text, "* ", 2) == 0) {
                cursor.at += 2;
                if (engine->step == IMAP_GREETING) {
                        struct imap_reply reply = imap_reply_read(&cursor);
                        engine_hear(engine, &reply);
                } else {
                        imap_untagged_heard(session, cursor);
                }
        } else if (engine->step == IMAP_GREETING) {
                foreign_greeting(session, item);
        } else if (imap_take(&cursor, '+')) {
                continuation_heard(session, cursor);
        } else {
                tagged_heard(session, cursor);
        }
}

/* The user hears of the end of an operation when the next may begin. */
static void tell_finished(struct imap_session *session)
{
        if (session->engine.state == ENGINE_READY && session->finished)
                take(session->finished)(session);
}

static void item_heard(struct imap_session *session, enum imap_event event, const struct imap_item *item,
                       const struct cause *cause)
{
        switch (event) {
        case IMAP_RESPONSE:
                response_heard(session, item);
                tell_finished(session);
                break;
        case IMAP_BODY:
                trace_heard(session, item);
                imap_body_begun(session, item);
                break;
        case IMAP_PIECE:
                imap_body_piece(session, item);
                break;
        case IMAP_BAD:
                (void)engine_fail(&session->engine, cause->code, "%s", cause->text);
                break;
        case IMAP_MORE:
                break;
        }
}

/* A TLS record where a greeting is awaited: handshake or alert, version 3. */
static bool is_tls_record(const struct imap_session *session, const struct imap_input *input)
{
        return session->engine.step == IMAP_GREETING && !session->parser.held.len && input->len &&
               (input->bytes[0] == 0x16 || input->bytes[0] == 0x15);
}

static void imap_received(struct engine *engine, const uint8_t *bytes, size_t len)
{
        struct imap_session *session = imap_session_of(engine);
        struct imap_input input = { bytes, len };
        enum imap_event event = IMAP_RESPONSE;
        struct imap_item item;
        struct cause cause;

        if (is_tls_record(session, &input))
                (void)engine_fail(
                        engine, CAUSE_TLS_MISMATCH,
                        "the server speaks TLS from the first byte: it wants useSsl here, or another port");
        while (event != IMAP_MORE && !engine_is_over(engine)) {
                event = imap_parser_next(&session->parser, &input, &item, &cause);
                item_heard(session, event, &item, &cause);
        }
        engine->coming = session->parser.state == PARSE_BODY ? session->parser.left : 0;
        /* rule S1: whatever is left beyond the go-ahead was put there by someone else */
        if (engine->state == ENGINE_WANTS_TLS && input.len)
                (void)engine_fail(engine, CAUSE_INJECTION, "%zu bytes came beyond the go-ahead for TLS",
                                  input.len);
        if (engine->idle && imap_parser_empty(&session->parser)) {
                session->parser.spent = false;
                buf_free(&session->parser.held);
        }
}

/* ---- the engine ---- */

/* Nothing said or heard before counts any more (rule S2). */
static void forget(struct imap_session *session)
{
        imap_parser_done(&session->parser);
        imap_parser_init(&session->parser);
        line_signin_clear(&session->signing);
        free(take(session->capabilities));
        session->capabilities_fresh = session->utf8 = false;
        session->info = (struct mailbox_info){ 0 };
        session->untagged = 0;
        session->news = false;
        imap_commands_forget(session);
}

static void imap_start(struct engine *engine, const struct engine_channel *channel)
{
        forget(imap_session_of(engine));
        engine->channel = *channel;
        engine_go(engine, IMAP_GREETING);
}

static void imap_secured(struct engine *engine, const struct engine_channel *channel)
{
        forget(imap_session_of(engine));
        engine->channel = *channel;
        engine_go(engine, IMAP_CAPABILITY);
}

static void imap_closed(struct engine *engine)
{
        if (engine->step == IMAP_LOGOUT)
                engine_go(engine, STEP_ENDED);
        else if (engine->step == IMAP_STARTTLS)
                (void)engine_fail(engine, CAUSE_STARTTLS_REFUSED,
                                  "the server closed the connection when it was asked for STARTTLS");
        else if (!engine_is_over(engine))
                (void)engine_fail(engine, CAUSE_CLOSED, "the server closed the connection while %s",
                                  engine->phrase ? engine->phrase : "nothing was asked of it");
}

static void imap_quit(struct engine *engine)
{
        if (engine->step == IMAP_IDLING)
                imap_say_end_of_idle(imap_session_of(engine));
        engine_go(engine, IMAP_LOGOUT);
}

static void imap_free(struct engine *engine)
{
        if (!engine)
                return;
        struct imap_session *session = imap_session_of(engine);
        imap_operation_clear(session);
        line_signin_clear(&session->signing);
        imap_parser_done(&session->parser);
        free(session->flights);
        free(session->capabilities);
        free(session->broken);
        free(session->folder);
        free(session->pattern);
        cause_keep(&session->refusal, NULL);
        engine_done(engine);
        free(session);
}

static const struct engine_ops imap_class = {
        .start = imap_start,
        .received = imap_received,
        .secured = imap_secured,
        .closed = imap_closed,
        .quit = imap_quit,
        .free = imap_free,
};

const struct mailbox_ops imap_mailbox = {
        .open = imap_open,
        .list = imap_list,
        .list_these = imap_list_these,
        .fetch = imap_fetch,
        .fetch_marking = imap_fetch_marking,
        .heads = imap_heads,
        .mark = imap_mark,
        .idle = imap_idle,
        .wake = imap_wake,
        .refresh = imap_refresh,
        .folders = imap_folders,
};

static bool hides(const struct engine *engine, const char *words, size_t len)
{
        return imap_echoes_secret(container_of(engine, struct imap_session, engine), words, len);
}

struct engine *imap_session_new(const struct imap_config *config)
{
        struct imap_session *session = new_object(struct imap_session);

        engine_init(&session->engine, &imap_class, steps, LIMIT_LINE);
        session->engine.wants_starttls = config->starttls;
        session->engine.hides = hides;
        session->config = *config;
        imap_signin_init(session);
        session->refusal = &cause_none;
        imap_parser_init(&session->parser);
        return &session->engine;
}

const char *imap_session_capabilities(const struct engine *engine)
{
        const struct imap_session *session = container_of(engine, const struct imap_session, engine);

        return session->capabilities ? session->capabilities : "";
}
