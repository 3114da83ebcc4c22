/* SPDX-License-Identifier: MIT */
/*
 * A session's engine: what arrives goes to it at once; what it has to say, and what it has come to, is looked
 * at once a turn, however many calls led there (session_flush). So nobody has to say that an engine was
 * called, and no user is called from inside a call of his own. What an engine must have worked out before it
 * goes on is done by threads: a server that asks for a million rounds of hashing holds up nobody but itself.
 * What was odd in a sign-in is told, and kept in the account's facts for the next one.
 */
#include "common/limits.h"
#include "common/printable.h"
#include "common/times.h"
#include "daemon/accounts/fault_grace.h"
#include "daemon/events.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/session/session_parts.h"
#include "daemon/store/kept.h"
#include "daemon/tls/clock_doubt.h"

#include <stdatomic.h>

/* ---- what is kept of a sign-in, and told ---- */

/* What a server offers and cannot do is told of once, and not tried again there (signin.c reads it). */
static void note_broken(const struct session *session)
{
        const char *broken = session->engine->signin_broken, *account = session->plan.account;
        scoped(scoped_free) char *kept =
                broken ? text_of("%s:%u %s", session->plan.host, (unsigned)session->plan.port, broken)
                       : copy_text("");

        const char *before = kept_text(account, KEPT_SIGNIN_BROKEN);
        if (same_text(before ? before : "", kept))
                return;
        if (broken) {
                struct subject subject = session_subject(session);
                log_about(
                        &subject, LOG_WARNING, MSG_SIGNIN_BROKEN,
                        "%s: %s:%u offers %s to sign in and refuses it; signed in by %s, and so from now on",
                        account, session->plan.host, (unsigned)session->plan.port, broken,
                        session->engine->signed_in_by);
        }
        kept_set_text(account, KEPT_SIGNIN_BROKEN, kept);
}

/* S39: a server that proved itself by SCRAM once and now wants the password itself is told of, once. */
static void note_weaker(const struct session *session, const char *before, const char *by)
{
        const char *account = session->plan.account;

        if (!session->plan.auto_signin || !before || strncmp(before, "SCRAM-", 6) != 0 ||
            strncmp(by, "SCRAM-", 6) == 0)
                return;
        struct subject subject = session_subject(session);
        log_about(&subject, LOG_WARNING, MSG_SIGNIN_WEAKER,
                  "%s signed in by %s before and by %s now: if the server's operator did not mean that, "
                  "someone else may be answering there",
                  account, before, by);
        event_emit(EVENT_ACCOUNT_SIGNIN_WEAKER, account, NULL, "signed in by %s before and by %s now", before,
                   by);
}

void session_note_signin(const struct session *session)
{
        const char *by = session->engine->signed_in_by, *account = session->plan.account;

        if (!session->plan.record || !account[0])
                return;
        fault_grace_worked(account, (int64_t)loop_wall());
        if (!by)
                return;
        if (session->plan.auto_signin)
                note_broken(session);
        scoped(scoped_free) char *at = text_of("%s:%u", session->plan.host, (unsigned)session->plan.port);
        if (!same_text(kept_text(account, KEPT_SIGNED_IN_AT), at))
                kept_set_text(account, KEPT_SIGNED_IN_AT, at);
        const char *before = kept_text(account, KEPT_SIGNED_IN_BY);
        if (same_text(before, by))
                return;
        note_weaker(session, before, by);
        kept_set_text(account, KEPT_SIGNED_IN_BY, by);
}

void session_explain_signin(const struct session *session, struct cause *cause)
{
        /* cut off at the second way of signing in: the first was refused for this */
        if (cause->code == CAUSE_CLOSED && session->engine && cause_happened(session->engine->refused))
                *cause = *session->engine->refused;
        bool about = cause->code == CAUSE_AUTHENTICATION || cause->code == CAUSE_NO_MECHANISM;
        const char *kept = session->plan.record && session->plan.account[0]
                                   ? kept_text(session->plan.account, KEPT_SIGNIN_BROKEN)
                                   : NULL;

        /* what was thought of this server's mechanisms is thought over when it lets nobody in */
        if (about && !session->was_ready && kept && kept[0])
                kept_set_text(session->plan.account, KEPT_SIGNIN_BROKEN, "");
}

/* ---- what an engine must have worked out ---- */

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
        calculating->calculation = take(session->engine->calculation);
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
        UNSENT_MOST = 256 * 1024, /* of a connection, to which more is added */
        PROGRESS_LEAST =
                512, /* bytes of what was asked for, within one deadline, for which the next one is given */
};

/* Moves what the engine wants to say to the connection, which has LIMIT_OUTPUT more at most then. An engine
 * whose words have all been sent, and that has no more, gives its memory back; one that goes on has that of
 * the connection, in turns. */
static void move_out(struct session *session)
{
        struct buf *out = &session->engine->out;
        bool says = out->len && connection_unsent(session->connection) < UNSENT_MOST;

        if (says)
                connection_write_all(session->connection, out);
        if (!out->len && !session->was_ready)
                buf_wipe(out); /* what signs in does not stay in memory */
        else if (session->drained && !says)
                engine_release(session->engine);
        session->drained = false;
}

/* The deadline of what is awaited. It begins anew with each thing awaited, and while enough comes of what was
 * asked for, but not with bytes of any other kind: a server that dribbles gains no time. */
static void arm(struct session *session)
{
        const struct engine *engine = session->engine;
        unsigned wait = engine->wait ? engine->wait : session->plan.timeout_seconds;
        bool anew = session->armed_waits != engine->waits ||
                    engine->progress - session->armed_progress >= PROGRESS_LEAST;

        if (engine->idle || session->paused || session->calculating) {
                connection_expect(session->connection, 0, NULL);
                session->armed = false;
        } else if (!session->armed || anew) {
                connection_expect(session->connection, engine->bound ? wait : session_share(session),
                                  engine->phrase);
                session->armed = true;
                session->armed_waits = engine->waits;
                session->armed_progress = engine->progress;
        }
}

void session_hold_reading(const struct session *session)
{
        if (session->connection && session->talking)
                connection_pause(session->connection, session->paused || session->calculating ||
                                                              session->engine->calculation ||
                                                              engine_is_over(session->engine));
}

/* A greeting that has a date shows what time it is elsewhere. */
static void note_time(const struct session *session)
{
        scoped(scoped_free) char *who = text_of("that of %.40s", session->plan.host);

        if (session->engine->greeting)
                clock_doubt_said(time_in_words(session->engine->greeting), false, who, loop_now());
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
        engine_calculated(session->engine, calculation);
        session_hold_reading(session);
        session_touch(session);
}

/* Looks at what the engine has come to. The user is called last, and may close the session. */
static void session_flush(void *object)
{
        struct session *session = object;
        const struct engine *engine = session->engine;
        struct cause none = { 0 };

        session->touched = false;
        if (!session->connection || !session->talking)
                return;
        if (engine->state == ENGINE_FAILED) {
                session_lose(session, engine->cause);
                return;
        }
        move_out(session);
        if (engine->state == ENGINE_ENDED) {
                session_end_with(session, &none, "");
                return;
        }
        if (engine->state == ENGINE_WANTS_TLS) {
                if (!session->channel)
                        session_begin_tls(session, false);
                return;
        }
        if (engine->calculation)
                begin_calculation(session, calculated);
        session_hold_reading(session);
        arm(session);
        if (engine->state == ENGINE_READY && !session->was_ready) {
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

/* ---- what happens to the engine ---- */

static void engine_is_due(void *ctx)
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

void session_use_engine(struct session *session, struct engine *engine)
{
        session->engine = engine;
        engine->due = engine_is_due;
        engine->owner = session;
        if (session->plan.debug) {
                engine->trace = trace_line;
                engine->traced_step = trace_step;
                engine->trace_ctx = session;
        }
}

void session_talk(struct session *session, const struct engine_channel *channel)
{
        const struct engine_ops *class = session->engine->class;

        if (session->talking)
                class->secured(session->engine, channel);
        else
                class->start(session->engine, channel);
        session->talking = true;
        session_hold_reading(session);
        session_touch(session);
}

void session_received(struct session *session, const uint8_t *bytes, size_t len)
{
        session->heard = session->moved = true;
        session->engine->class->received(session->engine, bytes, len);
        if (session->connection)
                connection_coming(session->connection, session->engine->coming);
        session_hold_reading(session);
        session_touch(session);
}

void session_drained(struct session *session)
{
        struct engine *engine = session->engine;

        session->moved = session->drained = true;
        if (session->talking && engine->class->drained && !engine->out.len)
                engine->class->drained(engine);
        session_touch(session);
}
