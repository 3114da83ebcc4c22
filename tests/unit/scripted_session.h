/* SPDX-License-Identifier: MIT */
/*
 * Sessions without sockets: what daemon/session/session.h declares, between an engine and a server that the
 * test plays, line by line. It stands in for the session*.c files, which are then not linked. What a session
 * otherwise learns of the network and of trust is set by the test, in `net` for all, or in one `struct
 * session`.
 */
#pragma once

#include "common/buf.h"
#include "common/limits.h"
#include "daemon/loop.h"
#include "daemon/session/session.h"
#include "daemon/session/session_limits.h"

#include "virtual_time.h"

#include <stdio.h>

/* The world around. */
static struct {
        enum cause_code
                fails; /* CAUSE_NONE: sessions come about; else each ends by this before its first word */
        const char *challenge_id;         /* of CAUSE_CHALLENGE */
        bool contended;                   /* others wait for a place */
        bool silent;                      /* servers say nothing any more */
        int64_t far_ms;                   /* what they say is so long on its way */
        const struct verdict *verdict;    /* on the certificate; NULL: nothing is told of TLS */
        int64_t lookup_ms;                /* that finding the address took; -1: it was not found */
        unsigned opened, open, open_most; /* sessions: ever; now; at once, at most */
        struct session *first;
} net;

struct session {
        handle_id self;
        struct session_plan plan;
        struct engine *engine;
        const struct session_user *user;
        void *ctx;
        struct buf heard, said; /* by the server: not yet a line; on its way to the engine */
        bool touched, talking, was_ready, over, paused, quitting, rests;
        bool unrouted, untrusted, trust_moved, may_verify; /* what session_still_*() tell, and such */
        struct cause why;
        char challenge_id[13];
        struct timer *deadline;
        unsigned waits; /* of the engine, for which it is set */
        int state;      /* the test's: what its server is at */
        struct session *next;
};

/* The server, by the test: a session has begun (it may greet); a line has come, without its end. */
static void server_begins(struct session *session);
static void server_hears(struct session *session, char *line);

static void script_touch(struct session *session);

/* What is on its way from a server that is far away. */
struct script_words {
        handle_id session;
        struct timer *timer;
        struct script_words *next;
        char text[4096];
};
static struct script_words *script_under_way;

static void script_words_done(struct script_words *words)
{
        struct script_words **at = &script_under_way;

        while (*at != words)
                at = &(*at)->next;
        *at = words->next;
        timer_free(words->timer);
        free(words);
}

/* At the end of a case, before the loop's. */
static inline void script_forget_words(void)
{
        while (script_under_way)
                script_words_done(script_under_way);
}

static void script_words_come(void *ctx)
{
        struct script_words *words = ctx;
        struct session *session = handle_object(words->session);

        if (session) {
                must(buf_append_text(&session->said, words->text) == 0);
                script_touch(session);
        }
        script_words_done(words);
}

/* The server says this, line ends included. */
static inline void server_says(struct session *session, const char *format, ...) printf_like(2, 3);
static inline void server_says(struct session *session, const char *format, ...)
{
        struct script_words *words = new_object(struct script_words);
        va_list args;

        va_start(args, format);
        int len = vsnprintf(words->text, sizeof words->text, format, args);
        va_end(args);
        must(len < (int)sizeof words->text);
        words->session = session->self;
        words->next = script_under_way;
        script_under_way = words;
        words->timer = timer_new(script_words_come, words);
        if (net.far_ms)
                timer_set(words->timer, net.far_ms);
        else
                script_words_come(words);
}

static void script_tell_end(void *object)
{
        struct session *session = object;

        session->user->ended(session->ctx, &session->why, session->challenge_id);
}

static inline void script_end(struct session *session, const struct cause *why, const char *challenge_id)
{
        if (session->over)
                return;
        session->over = true;
        net.open--;
        session->why = *why;
        (void)snprintf(session->challenge_id, sizeof session->challenge_id, "%s", challenge_id);
        if (why->code != CAUSE_NONE && !engine_is_over(session->engine))
                (void)engine_fail_with(session->engine, why);
        timer_stop(session->deadline);
        loop_later_to(session->self, script_tell_end);
}

/* The server closes the connection. */
static inline void server_closes(struct session *session)
{
        if (session->over)
                return;
        struct cause why = { 0 };
        if (!engine_is_over(session->engine))
                session->engine->class->closed(session->engine);
        if (session->engine->state == ENGINE_FAILED)
                why = *session->engine->cause;
        else if (session->engine->state != ENGINE_ENDED)
                cause_set(&why, CAUSE_CLOSED, "%s closed the connection", session->plan.host);
        script_end(session, &why, "");
}

/* Others wait for a place: those who rest on one are told. */
static inline void net_contends(void)
{
        net.contended = true;
        for (struct session *one = net.first; one; one = one->next)
                if (!one->over && one->rests) {
                        one->rests = false;
                        one->user->wanted(one->ctx);
                }
        settle();
}

/* The connection breaks: all sessions lose it at once where `session` is NULL. */
static inline void net_breaks(struct session *session, enum cause_code code)
{
        struct cause why;

        cause_set(&why, code, "the connection broke");
        for (struct session *one = net.first; one; one = one->next)
                if (!session || one == session)
                        script_end(one, &why, "");
}

static void script_late(void *ctx)
{
        struct session *session = ctx;
        struct cause why;

        cause_set(&why, CAUSE_TIMEOUT, "no answer: %s",
                  session->engine->phrase ? session->engine->phrase : "");
        script_end(session, &why, "");
}

static inline void script_arm(struct session *session)
{
        const struct engine *engine = session->engine;
        unsigned seconds = engine->wait ? engine->wait : session->plan.timeout_seconds;

        if (engine->idle || session->paused)
                timer_stop(session->deadline);
        else if (!timer_is_set(session->deadline) || session->waits != engine->waits)
                timer_set(session->deadline, (int64_t)seconds * 1000);
        session->waits = engine->waits;
}

/* What the engine has said goes to the server, line by line. */
static inline void script_hand_over(struct session *session)
{
        struct buf *out = &session->engine->out;

        must(!out->len || buf_append(&session->heard, buf_bytes(out), out->len) == 0);
        buf_clear(out);
        for (;;) {
                const char *bytes = session->heard.len ? (const char *)buf_bytes(&session->heard) : "";
                const char *end = session->heard.len ? memchr(bytes, '\n', session->heard.len) : NULL;
                if (!end || net.silent)
                        return;
                size_t len = (size_t)(end - bytes);
                scoped(scoped_free) char *line = copy_bytes(bytes, len && end[-1] == '\r' ? len - 1 : len);
                buf_consume(&session->heard, len + 1);
                server_hears(session, line);
        }
}

static void script_calculate(struct session *session)
{
        struct calculation *calculation = take(session->engine->calculation);

        calculation->work(calculation);
        engine_calculated(session->engine, calculation);
        calculation->free(calculation);
        script_touch(session);
}

static void script_flush(void *object)
{
        struct session *session = object;
        struct engine *engine = session->engine;
        const struct cause none = { 0 };
        bool moved = false;

        session->touched = false;
        if (session->over || !session->talking)
                return;
        bool says = engine->out.len > 0;
        if (says || session->heard.len)
                script_hand_over(session);
        if (says && !session->over && engine->class->drained && !engine_is_over(engine)) {
                engine->class->drained(engine);
                if (!session->self)
                        return;
                script_touch(session);
        }
        if (engine->calculation) {
                script_calculate(session);
        } else if (session->said.len && !session->paused && !engine_is_over(engine) && !session->over) {
                struct buf said = session->said;
                session->said = BUF_WITH_MAX(64 * MIB);
                moved = true;
                engine->class->received(engine, buf_bytes(&said), said.len);
                if (!session->self) { /* closed by its user, who was told something in there */
                        buf_free(&said);
                        return;
                }
                if (engine->class->drained && !engine->out.len && !engine_is_over(engine))
                        engine->class->drained(engine);
                buf_free(&said);
                script_touch(session);
        }
        if (session->over)
                return;
        if (engine->state == ENGINE_FAILED || engine->state == ENGINE_ENDED) {
                script_end(session, engine->state == ENGINE_FAILED ? engine->cause : &none, "");
                return;
        }
        script_arm(session);
        if (engine->state == ENGINE_READY && !session->was_ready) {
                session->was_ready = true;
                if (session->user->reached)
                        session->user->reached(session->ctx, SESSION_READY, NULL);
                session->user->ready(session->ctx);
        } else if (moved && session->was_ready && session->user->progress) {
                session->user->progress(session->ctx);
        }
}

static void script_touch(struct session *session)
{
        if (session->touched)
                return;
        session->touched = true;
        loop_later_to(session->self, script_flush);
}

static void script_due(void *owner)
{
        script_touch(owner);
}

static void script_begin(void *object)
{
        struct session *session = object;
        struct engine_channel channel = { .tls = true };
        struct cause why = { 0 };

        if (net.fails != CAUSE_NONE) {
                cause_set(&why, net.fails, "it did not come about");
                script_end(session, &why, net.fails == CAUSE_CHALLENGE ? net.challenge_id : "");
                return;
        }
        if (session->user->reached)
                session->user->reached(session->ctx, SESSION_CONNECTED, NULL);
        if (net.verdict && session->user->reached)
                session->user->reached(session->ctx, SESSION_SECURED, net.verdict);
        if (net.verdict && !verdict_is_good(net.verdict)) {
                script_end(session, &net.verdict->cause, net.challenge_id ? net.challenge_id : "");
                return;
        }
        session->talking = true;
        session->engine->class->start(session->engine, &channel);
        if (!net.silent)
                server_begins(session);
        script_touch(session);
}

/* ---- what session.h declares ---- */

void session_plan_of(const struct property_values *values, struct session_plan *plan)
{
        *plan = (struct session_plan){
                .account = prop_text(values, PROP_NAME),
                .direction = values->kind == KIND_OUTGOING ? "outgoing" : "incoming",
                .host = prop_text(values, PROP_HOSTNAME),
                .timeout_seconds = (unsigned)prop_number(values, PROP_CONNECTION_TIMEOUT),
                .record = true,
        };
}

struct session *session_open(const struct session_plan *plan, struct engine *engine,
                             const struct session_user *user, void *ctx)
{
        struct session *session = new_object(struct session);

        session->self = handle_new(session);
        session->plan = *plan;
        session->engine = engine;
        session->user = user;
        session->ctx = ctx;
        session->heard = session->said = BUF_WITH_MAX(64 * MIB);
        session->deadline = timer_new(script_late, session);
        engine->due = script_due;
        engine->owner = session;
        session->next = net.first;
        net.first = session;
        net.opened++;
        if (++net.open > net.open_most)
                net.open_most = net.open;
        loop_later_to(session->self, script_begin);
        return session;
}

static void script_free_engine(void *ctx)
{
        struct engine *engine = ctx;

        engine->class->free(engine);
}

void session_close(struct session *session)
{
        if (!session || !session->self)
                return;
        struct session **at = &net.first;
        while (*at != session)
                at = &(*at)->next;
        *at = session->next;
        net.open -= !session->over;
        handle_drop(&session->self);
        timer_free(session->deadline);
        session->engine->due = NULL;
        loop_later(script_free_engine, session->engine);
        buf_free(&session->heard);
        buf_free(&session->said);
        loop_later(free, session);
}

struct engine *session_engine(struct session *session)
{
        return session->engine;
}

handle_id session_handle(const struct session *session)
{
        return session->self;
}

void session_pause(struct session *session, bool paused)
{
        session->paused = paused;
        script_touch(session);
}

void session_quit(struct session *session)
{
        const struct cause none = { 0 };

        if (session->quitting || session->over)
                return;
        session->quitting = session->engine->state == ENGINE_READY;
        if (session->quitting)
                session->engine->class->quit(session->engine);
        else
                script_end(session, &none, "");
}

struct connection_times session_times(unused_arg const struct session *session)
{
        return (struct connection_times){ net.lookup_ms, -1, -1 };
}

const char *session_address(unused_arg const struct session *session)
{
        return "";
}

const char *session_before(unused_arg const struct session *session)
{
        return NULL;
}

bool session_tls_info(unused_arg const struct session *session, unused_arg struct channel_info *out)
{
        return false;
}

const struct tls_evidence *session_evidence(unused_arg const struct session *session)
{
        return NULL;
}

void session_rest(struct session *session, bool rests)
{
        session->rests = rests;
}

bool session_contended(unused_arg const struct session *session)
{
        return net.contended;
}

bool session_still_routed(const struct session *session)
{
        return !session->unrouted;
}

bool session_still_trusted(const struct session *session)
{
        return !session->untrusted;
}

bool session_may_verify(const struct session *session)
{
        return session->may_verify;
}

bool session_trust_moved(const struct session *session)
{
        return session->trust_moved;
}

void session_tell_account(unused_arg const struct session *session, unused_arg enum session_mark mark,
                          unused_arg struct account *account)
{
}

int64_t session_waits_ms(unused_arg const struct session *session)
{
        return -1;
}

char *session_waits_words(unused_arg const struct session *session)
{
        return NULL;
}

void sessions_start_waiting(void)
{
}
