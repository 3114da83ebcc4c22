/* SPDX-License-Identifier: MIT */
/*
 * One session: connection, TLS with verdict, engine; see session.h. The order for useSsl is connect,
 * handshake, verdict, engine start; for useStartTls connect, engine start, go-ahead, handshake, verdict,
 * engine secured. The verdict stands between in both. Here are its place, its beginning and its end; TLS is
 * in session_tls.c, what is said in session_talk.c.
 *
 * A session waits for a place (`counted` is false), works, has ended (`end` is set: connection and place are
 * given back at once, the user is told on the next turn), is closed. Its memory and its engine's are freed a
 * turn after session_close(), since the call that closed it may have come from either.
 */
#include "daemon/journal.h"
#include "daemon/session/session_parts.h"
#include "daemon/tls/trust.h"

#include <stdio.h>

enum {
        SHARE_LEAST = 5, /* seconds for one of several addresses, where half of the timeout is not less */
        ATTEMPT_TIMEOUTS = 2, /* of these have passed, no further address is begun with */
};

struct how_ended {
        struct cause why;
        char challenge_id[13];
};

static bool sweeping;

/* ---- places ---- */

/* The three states in two fields: no place and no end. */
static bool waits(const struct session *session)
{
        return !session->counted && !session->end;
}

bool session_contended(const struct session *session)
{
        return session_line_waits(session);
}

int64_t session_waits_ms(const struct session *session)
{
        return waits(session) ? loop_now() - session->since : -1;
}

char *session_waits_words(const struct session *session)
{
        if (session_places_all_taken())
                return text_of("all %u sessions that MaxSessions allows are taken", sessions_open());
        return text_of("all %u sessions with %s that MaxSessionsPerHost allows are taken",
                       session_places_at_host(), session->plan.host);
}

static void free_link(void *ctx)
{
        struct session *session = ctx;

        free((char *)session->plan.account);
        free((char *)session->plan.host);
        free((char *)session->plan.client_certificate);
        free(session->end);
        free(session->before);
        free(session);
}

static void start_waiting(void *unused);

/* Once a turn, however many places came free in it. */
static void start_waiting_later(void)
{
        if (!sweeping)
                loop_later(start_waiting, NULL);
        sweeping = true;
}

void sessions_start_waiting(void)
{
        session_hosts_each(session_line_look);
        start_waiting_later();
}

/* At most once: an end and a close may follow each other. */
static void give_back_place(struct session *session)
{
        if (!session->counted)
                return;
        session_rest(session, false);
        session->counted = false;
        session_place_give_back(session->host);
        session_line_look(session->host);
        start_waiting_later();
}

/* ---- the end ---- */

/* It may be the engine that is talking at this moment. */
static void free_engine_later(struct engine *engine)
{
        engine->due = NULL;
        loop_later((void (*)(void *))engine->class->free, engine);
}

static void tell_end(void *object)
{
        struct session *session = object;

        session->user->ended(session->ctx, &session->end->why, session->end->challenge_id);
}

/* An orderly end closes the connection with TLS's close_notify; any other one aborts it, so that nothing
 * half said looks like a whole command. */
void session_end_with(struct session *session, const struct cause *why, const char *challenge_id)
{
        if (session->end)
                return;
        if (waits(session))
                session_line_leave(session);
        session->end = new_object(struct how_ended);
        session->end->why = *why;
        (void)snprintf(session->end->challenge_id, sizeof session->end->challenge_id, "%s", challenge_id);
        session_forget_calculation(session);
        if (session->connection) {
                session->times = connection_times(session->connection);
                if (why->code == CAUSE_NONE)
                        connection_close(take(session->connection));
                else
                        connection_abort(take(session->connection));
                session->channel = NULL;
        }
        if (why->code != CAUSE_NONE && !engine_is_over(session->engine))
                (void)engine_fail_with(session->engine, why); /* it takes no more work until the user knows */
        give_back_place(session);
        loop_later_to(session->self, tell_end);
}

void session_close(struct session *session)
{
        if (!session || !session->self)
                return;
        handle_drop(&session->self);
        if (waits(session))
                session_line_leave(session);
        session_forget_calculation(session);
        if (session->connection)
                connection_close(take(session->connection));
        session->channel = NULL;
        give_back_place(session);
        session_host_release(session->host);
        free_engine_later(take(session->engine));
        loop_later(free_link, session);
}

/* ---- what went wrong ---- */

/* A server may let a handshake without client certificate pass, and refuse all else for want of it. */
static void explain_refusal(const struct session *session, struct cause *cause)
{
        if (!session->info.asked_certificate ||
            (cause->code != CAUSE_AUTHENTICATION && cause->code != CAUSE_SERVER_BUSY))
                return;
        scoped(scoped_free) char *remedy = copy_text(cause_remedy_of(cause));
        cause_remedy(
                cause,
                "the server asks for a client certificate and this account has none: emailsecctl trust key "
                "import KEY FILE, then emailsecctl account set NAME clientCertificate=KEY; or: %s",
                remedy);
}

/* A server that waits for TLS from the first byte is as silent as one that hangs. */
static void explain_silence(const struct session *session, struct cause *cause)
{
        if (cause->code != CAUSE_TIMEOUT || session->plan.ssl || session->heard ||
            session_times(session).connect < 0)
                return;
        cause_remedy(cause,
                     "if port %u there has TLS from the first byte: emailsecctl account secure NAME ssl "
                     "--port %u; "
                     "else see whether the server answers; one that is slow to greet needs a longer "
                     "connectionTimeout",
                     session->plan.port, session->plan.port);
}

/* True when the address as such does not serve: it broke off, or refused, before it had answered anything, or
 * in the TLS handshake (RFC 5321 section 5.1). What the certificate is judged to be is not among it. */
static bool address_fails(const struct session *session, const struct cause *why)
{
        bool serves = session->engine->bound && session->engine->state != ENGINE_WANTS_TLS;

        return !serves && session_times(session).connect >= 0 && why->code != CAUSE_INJECTION &&
               why->code != CAUSE_INTERNAL && why->code != CAUSE_INVALID;
}

/* Bounded by time as well as by the number of addresses: each costs up to a timeout. */
static bool may_try_next(const struct session *session)
{
        int64_t most = (int64_t)session->plan.timeout_seconds * ATTEMPT_TIMEOUTS * 1000;

        return session->user->again && connection_others(session->connection) &&
               loop_now() - session->since < most;
}

static void open_connection(struct session *session, struct connection *after);

/* Another engine, another connection, no word of the first one kept; the place is the same. The failed
 * connection lends its list of addresses to the next before it is freed. */
static void try_next(struct session *session, const struct cause *why)
{
        struct subject subject = session_subject(session);
        struct connection *failed = session->connection;

        free(session->before);
        session->before = text_of("%s does not serve (%s)", connection_address(failed), why->text);
        log_about(&subject, LOG_NOTICE, NULL, "%s:%u: %s: trying another address", session->plan.host,
                  session->plan.port, session->before);
        session_forget_calculation(session);
        session->channel = NULL;
        session->info = (struct channel_info){ 0 };
        session->talking = session->heard = session->moved = session->drained = session->armed = false;
        free_engine_later(session->engine);
        session_use_engine(session, session->user->again(session->ctx));
        open_connection(session, failed);
        connection_abort(failed);
}

/* The one way in which a session fails on the wire: another address, or an end with the cause explained. */
void session_lose(struct session *session, const struct cause *why)
{
        struct cause cause = *why;

        if (address_fails(session, &cause)) {
                connection_blame(session->connection);
                if (may_try_next(session)) {
                        try_next(session, &cause);
                        return;
                }
        }
        explain_silence(session, &cause);
        session_explain_signin(session, &cause);
        explain_refusal(session, &cause);
        session_end_with(session, &cause, "");
}

/* Seconds for this address: several that are dead must not eat the whole timeout before one that lives. */
unsigned session_share(const struct session *session)
{
        unsigned whole = session->plan.timeout_seconds,
                 others = (unsigned)connection_others(session->connection);
        unsigned least = whole / 2 < SHARE_LEAST ? whole / 2 : SHARE_LEAST, share = whole / (others + 1);

        if (!others || !session->user->again)
                return whole;
        return share > least ? share : least > 0 ? least : 1;
}

/* ---- the connection ---- */

static void on_connected(void *ctx)
{
        struct session *session = ctx;
        struct engine_channel plain = { .tls = false };

        connection_local(session->connection, plain.local, sizeof plain.local);
        if (session->plan.ssl)
                session_begin_tls(session, true);
        else
                session_talk(session, &plain);
        if (session->connection && session->user->reached)
                session->user->reached(session->ctx, SESSION_CONNECTED, NULL);
}

static void on_secured(void *ctx)
{
        session_secured(ctx);
}

static void on_received(void *ctx, const uint8_t *bytes, size_t len)
{
        session_received(ctx, bytes, len);
}

static void on_drained(void *ctx)
{
        session_drained(ctx);
}

/* What the engine has come to counts before how the connection ended. */
static void on_ended(void *ctx, const struct cause *why)
{
        struct session *session = ctx;
        struct engine *engine = session->engine;
        struct cause cause = *why;

        if (cause.code == CAUSE_NONE && session->talking && !engine_is_over(engine))
                engine->class->closed(engine);
        if (!session->connection)
                return; /* closed in between */
        if (engine->state == ENGINE_FAILED)
                cause = *engine->cause;
        else if (engine->state == ENGINE_ENDED)
                cause = cause_none;
        else if (cause.code == CAUSE_NONE)
                cause_set(&cause, CAUSE_CLOSED, "%s closed the connection", session->plan.host);
        session_lose(session, &cause);
}

static const struct connection_user connection_user = {
        .connected = on_connected,
        .secured = on_secured,
        .received = on_received,
        .drained = on_drained,
        .ended = on_ended,
};

/* ---- opening ---- */

static void open_connection(struct session *session, struct connection *after)
{
        struct connection_request request = {
                .host = session->plan.host,
                .port = session->plan.port,
                .timeout_seconds = session->plan.timeout_seconds,
                .after = after,
        };

        session->connection = connection_open(&request, &connection_user, session);
}

static void start(struct session *session)
{
        session->counted = true;
        session_place_take(session->host);
        session->since = loop_now();
        open_connection(session, NULL);
}

static void start_waiting(void *unused)
{
        struct session *session;

        (void)unused;
        sweeping = false;
        while ((session = session_line_next()))
                start(session);
}

/* Whoever rests on a place that this one waits for is told, and rests no more: so with all that wait each is
 * told once, and none that has work is looked at. */
static void tell_wanted(void *object)
{
        const struct session *session = object;

        for (struct session *resting; waits(session) && (resting = session_line_resting(session));) {
                session_rest(resting, false);
                resting->user->wanted(resting->ctx);
        }
}

static void wait_for_place(struct session *session)
{
        session_line_join(session);
        loop_later_to(session->self, tell_wanted);
}

struct session *session_open(const struct session_plan *plan, struct engine *engine,
                             const struct session_user *user, void *ctx)
{
        struct session *session = new_object(struct session);

        session->plan = *plan;
        session->plan.account = copy_text(plan->account ? plan->account : "");
        session->plan.host = copy_text(plan->host);
        session->plan.client_certificate = copy_text(plan->client_certificate);
        session->self = handle_new(session);
        session_use_engine(session, engine);
        session->user = user;
        session->ctx = ctx;
        session->generation = trust_generation();
        session->times = (struct connection_times){ -1, -1, -1 };
        session->host = session_host_hold(session->plan.host);
        session->since = loop_now();
        if (session_place_is_free(session->host) || session->plan.host[0] == '/')
                start(session);
        else
                wait_for_place(session);
        return session;
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
        if (session->paused == paused)
                return;
        session->paused = paused;
        session_hold_reading(session);
        session_touch(session);
}

void session_quit(struct session *session)
{
        struct cause none = { 0 };

        if (session->end || session->quitting)
                return;
        session->quitting = session->engine->state == ENGINE_READY && session->connection;
        if (session->quitting)
                session->engine->class->quit(session->engine);
        else
                session_end_with(session, &none, "");
}
