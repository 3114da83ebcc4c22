/* SPDX-License-Identifier: MIT */
/*
 * A session's chat: what arrives goes to it at once; what it has to say, and what it has come to, is looked
 * at once a turn, however many calls led there (session_flush). So nobody has to say that a chat was called,
 * and no user is called from inside a call of his own. What a chat must have worked out before it goes on is
 * done by threads: a server that asks for a million rounds of hashing holds up nobody but itself.
 */
#include "common/limits.h"
#include "common/printable.h"
#include "common/times.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/session/session_parts.h"
#include "daemon/tls/clock_doubt.h"

#include <stdatomic.h>

/* ---- what a chat must have worked out ---- */

enum { CALCULATING_THREADS = 2 };

struct calculating {
        struct job job;
        struct calculation *calculation;
        handle_id session;
        void (*done)(struct session *session, const struct calculation *calculation);
        atomic_bool wanted; /* for the thread: the session waits for it */
};

static struct workers *pool;

static void forget_pool(unused_arg void *ctx)
{
        workers_free(take(pool)); /* those not begun are not wanted any more */
}

static void calculate(struct job *job)
{
        struct calculating *calculating = container_of(job, struct calculating, job);

        if (atomic_load(&calculating->wanted))
                calculating->calculation->work(calculating->calculation);
}

static void calculate_done(struct job *job)
{
        struct calculating *calculating = container_of(job, struct calculating, job);
        struct session *session = handle_object(calculating->session);

        if (session && session->calculating == calculating) {
                session->calculating = NULL;
                calculating->done(session, calculating->calculation);
        }
        calculating->calculation->free(calculating->calculation);
        free(calculating);
}

static void begin_calculation(struct session *session,
                              void (*done)(struct session *session, const struct calculation *calculation))
{
        struct calculating *calculating = new_object(struct calculating);

        calculating->job = (struct job){ .work = calculate, .done = calculate_done };
        calculating->calculation = take(session->chat->calculation);
        calculating->done = done;
        calculating->session = session->self;
        atomic_init(&calculating->wanted, true);
        session->calculating = calculating;
        if (!pool) {
                pool = workers_new("calculate", CALCULATING_THREADS);
                loop_on_close(forget_pool, NULL);
        }
        workers_run(pool, &calculating->job);
}

void session_forget_calculation(struct session *session)
{
        struct calculating *calculating = take(session->calculating);

        if (calculating)
                atomic_store(&calculating->wanted, false);
}

/* ---- what is said ---- */

enum {
        CHUNK_OUT = 256 * 1024,
        PROGRESS_LEAST =
                512, /* bytes of what was asked for, within one deadline, for which the next one is given */
};

/* Moves what the chat wants to say to the connection, in bounded portions. */
static void move_out(struct session *session)
{
        struct buf *out = &session->chat->out;

        while (out->len && connection_unsent(session->connection) < CHUNK_OUT) {
                size_t len = out->len < CHUNK_OUT ? out->len : CHUNK_OUT;
                connection_write(session->connection, buf_bytes(out), len);
                buf_consume(out, len);
        }
        if (!out->len && !session->was_ready)
                buf_wipe(out); /* what signs in does not stay in memory */
        else
                buf_release(out);
        if (session->drained)
                chat_release(session->chat);
        session->drained = false;
}

/* The deadline of what is awaited. It begins anew with each thing awaited, and while enough comes of what was
 * asked for, but not with bytes of any other kind: a server that dribbles gains no time. */
static void arm(struct session *session)
{
        const struct chat *chat = session->chat;
        unsigned wait = chat->wait ? chat->wait : session->plan.timeout_seconds;
        bool anew = session->armed_waits != chat->waits ||
                    chat->progress - session->armed_progress >= PROGRESS_LEAST;

        if (chat->idle || session->paused || session->calculating) {
                connection_expect(session->connection, 0, NULL);
                session->armed = false;
        } else if (!session->armed || anew) {
                connection_expect(session->connection, chat->bound ? wait : session_share(session),
                                  chat->phrase);
                session->armed = true;
                session->armed_waits = chat->waits;
                session->armed_progress = chat->progress;
        }
}

void session_hold_reading(const struct session *session)
{
        if (session->connection && session->talking)
                connection_pause(session->connection, session->paused || session->calculating ||
                                                              session->chat->calculation ||
                                                              chat_is_over(session->chat));
}

/* A greeting that has a date shows what time it is elsewhere. */
static void note_time(const struct session *session)
{
        scoped(scoped_free) char *who = text_of("that of %.40s", session->plan.host);

        if (session->chat->greeting)
                clock_doubt_said(time_in_words(session->chat->greeting), false, who, loop_now());
}

static void became_ready(struct session *session)
{
        session->was_ready = true;
        connection_served(session->connection);
        note_time(session);
        session_note_signin(session);
        session_touch(session);
        if (session->user->reached)
                session->user->reached(session->ctx, SESSION_READY, NULL);
        if (session->connection && session->user->ready)
                session->user->ready(session->ctx);
}

static void calculated(struct session *session, const struct calculation *calculation)
{
        chat_calculated(session->chat, calculation);
        session_hold_reading(session);
        session_touch(session);
}

/* Looks at what the chat has come to. The user is called last, and may close the session. */
static void session_flush(void *object)
{
        struct session *session = object;
        const struct chat *chat = session->chat;
        struct cause none = { 0 };

        session->touched = false;
        if (!session->connection || !session->talking)
                return;
        if (chat->state == CHAT_FAILED) {
                session_lose(session, chat->cause);
                return;
        }
        move_out(session);
        if (chat->state == CHAT_ENDED) {
                session_end_with(session, &none, "");
                return;
        }
        if (chat->state == CHAT_WANTS_TLS) {
                if (!session->channel)
                        session_begin_tls(session, false);
                return;
        }
        if (chat->calculation)
                begin_calculation(session, calculated);
        session_hold_reading(session);
        arm(session);
        if (chat->state == CHAT_READY && !session->was_ready) {
                became_ready(session);
        } else if (session->moved && session->was_ready) {
                session->moved = false;
                if (session->user->progress)
                        session->user->progress(session->ctx);
        }
}

void session_touch(struct session *session)
{
        if (session->touched)
                return;
        session->touched = true;
        loop_later_to(session->self, session_flush);
}

/* ---- what happens to the chat ---- */

static void chat_is_due(void *ctx)
{
        session_touch(ctx);
}

static void trace_line(void *ctx, char direction, const char *line, size_t len)
{
        const struct session *session = ctx;
        struct subject subject = session_subject(session);
        char text[1024];

        (void)printable_copy(text, sizeof text, line, len);
        log_about(&subject, LOG_INFO, NULL, "%s: %c %s", session->plan.account, direction, text);
}

static void trace_step(void *ctx, const char *from, const char *to)
{
        const struct session *session = ctx;
        struct subject subject = session_subject(session);

        log_about(&subject, LOG_INFO, NULL, "%s: %s -> %s", session->plan.account, from, to);
}

void session_use_chat(struct session *session, struct chat *chat)
{
        session->chat = chat;
        chat->due = chat_is_due;
        chat->owner = session;
        if (session->plan.debug) {
                chat->trace = trace_line;
                chat->traced_step = trace_step;
                chat->trace_ctx = session;
        }
}

void session_talk(struct session *session, const struct chat_channel *channel)
{
        const struct chat_class *class = session->chat->class;

        if (session->talking)
                class->secured(session->chat, channel);
        else
                class->start(session->chat, channel);
        session->talking = true;
        session_hold_reading(session);
        session_touch(session);
}

void session_received(struct session *session, const uint8_t *bytes, size_t len)
{
        session->heard = session->moved = true;
        session->chat->class->received(session->chat, bytes, len);
        session_hold_reading(session);
        session_touch(session);
}

void session_drained(struct session *session)
{
        struct chat *chat = session->chat;

        session->moved = session->drained = true;
        if (session->talking && chat->class->drained && !chat->out.len)
                chat->class->drained(chat);
        session_touch(session);
}
