/* SPDX-License-Identifier: MIT */
/*
 * The sessions of one outgoing account: opened, kept a moment, ended; see sender.h.
 *
 * A session is in the sender's list from sender_open_session() to sender_session_free(): when it has ended,
 * when it was retired before it was ready, when its trust has gone, when the sender goes. Messages in flight
 * do not belong to it: smtp_mail_lost() tells each of them what happened before the session is freed, and
 * the sender decides about the account only afterwards, from facts alone (sender_rules.c).
 */
#include "common/names.h"
#include "daemon/accounts/secrets.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/outgoing/sender_rules.h"
#include "daemon/outgoing/sender_state.h"
#include "daemon/session/signin.h"
#include "daemon/session/token.h"
#include "daemon/settings.h"

#include <stdio.h>

enum {
        KEEP_IDLE_MS = 10000, /* a session is kept this long for the next message */
        WAYS_KEPT_MS = 24 * 60 * 60 * 1000,
};

/* Those on their way count: they hold a place under maxConnections. */
unsigned sender_session_count(const struct sender *sender)
{
        unsigned count = 0;

        for (struct sender_session *session = sender->sessions; session; session = session->next)
                count++;
        return count;
}

unsigned sender_ready_count(const struct sender *sender)
{
        unsigned count = 0;

        for (struct sender_session *session = sender->sessions; session; session = session->next)
                count += session->ready && !session->retiring;
        return count;
}

/* NULL as soon as one has a place: then mail moves, however many others wait. */
const struct session *sender_waits_for_place(const struct sender *sender)
{
        const struct session *waiting = NULL;

        for (const struct sender_session *session = sender->sessions; session; session = session->next) {
                if (session_waits_ms(session->session) < 0)
                        return NULL;
                waiting = session->session;
        }
        return waiting;
}

/* Never with messages in flight: let_go() or smtp_mail_lost() goes before it. */
void sender_session_free(struct sender_session *session)
{
        struct sender_session **at = &session->sender->sessions;

        while (*at != session)
                at = &(*at)->next;
        *at = session->next;
        if (session->session)
                session_close(session->session);
        timer_free(session->idle);
        signin_done(&session->signin);
        free(session->hello);
        free(session->domain);
        free(session);
}

/* What was under way in a session is over, whatever becomes of the account. */
static void let_go(struct sender_session *session, const struct cause *why)
{
        struct cause lost = *why;

        if (!session->ready)
                return;
        if (lost.code == CAUSE_NONE)
                cause_set(&lost, CAUSE_CLOSED, "the server closed the connection");
        smtp_mail_lost(session_engine(session->session), &lost);
}

/* The account goes on with the sessions that it has. */
static void bear_fewer(struct sender *sender, const struct cause *why)
{
        struct subject subject = account_subject(sender->runner.account);
        unsigned before = sender->pace.sessions;

        throttle_refused(&sender->pace, loop_now(), sender_ready_count(sender));
        sender_doubt_proven(sender);
        if (sender->pace.sessions < before)
                log_about(&subject, LOG_INFO, NULL,
                          "%s: the server lets no further session in (%s): %u go on",
                          sender->runner.account->name, why->text, sender_ready_count(sender));
}

/* The order matters. The facts are taken while the session is there; its messages hear of their end before
 * the account does, so that a poll which is answered counts them; `others` is what is left without it. */
static void session_ended(void *ctx, const struct cause *why, const char *challenge_id)
{
        struct sender_session *session = ctx;
        struct sender *sender = session->sender;
        struct sender_session_end end = { .retiring = session->retiring,
                                          .quitting = session->quitting,
                                          .told = session->falls != sender->falls };
        char id[13] = "";

        (void)snprintf(id, sizeof id, "%s", challenge_id);
        runner_session_end(&sender->runner, session->session, why, session->ready, &end.session);
        let_go(session, why);
        end.anew = smtp_session_anew(session_engine(session->session));
        end.failing = session->failing && sender->runner.failures > 0;
        sender_session_free(session);
        sender_tell_news(sender);
        end.others = sender_ready_count(sender) > 0;
        if (sender_end_slows_down(&end))
                sender_slow_down(sender);
        if (sender_end_is_one_too_many(&end))
                bear_fewer(sender, &end.session.why);
        switch (sender_outcome(&end)) {
        case SENDER_GOES_ON:
                break;
        case SENDER_GOES_ON_WARILY:
                if (!sender->runner.failures)
                        sender->runner.failures = 1;
                break;
        case SENDER_FAILS:
                sender_failed(sender, &end.session.why, id);
                break;
        }
        sender_kick(sender);
}

/* Of a session that fails later, too: the account shows the last certificate that was seen. */
static void session_reached(void *ctx, enum session_mark mark, const struct verdict *verdict)
{
        struct sender_session *session = ctx;

        (void)verdict;
        session_tell_account(session->session, mark, session->sender->runner.account);
}

/* What the server let in was proven: the number is what sessions_to_open() may go back to at once after a
 * pause. A session that was opened to look at an idle account, and found no mail to send, says good-bye at
 * once. */
static void session_ready(void *ctx)
{
        struct sender_session *session = ctx;
        struct sender *sender = session->sender;

        session->ready = true;
        sender->setup_us =
                sessions_mean(sender->setup_us, sender->made++, (loop_now() - session->since) * 1000);
        session->since = loop_now();
        if (sender_ready_count(sender) > sender->proven)
                sender->proven = sender_ready_count(sender);
        token_proved(sender->runner.account->name);
        bool for_nothing = sender->checking && (sender->empty || sender_waits_for_period(sender)) &&
                           !sender->claiming && !sender->pool_count;
        sender_reaches(sender);
        sender_checked(sender);
        sender_hand_out(sender);
        if (for_nothing)
                timer_set(session->idle, 0); /* mail that has come meanwhile stops it */
}

static bool session_is_idle(const struct sender_session *session)
{
        return session->ready && smtp_mail_flying(session_engine(session->session)) == 0;
}

/* The good-bye is a command of its own: the session ends when the server has answered, or its deadline
 * passes. */
static void retire_idle(void *ctx)
{
        struct sender_session *session = ctx;

        session->retiring = session->quitting = true;
        session_quit(session->session);
}

/* Called whenever a session may have become idle or busy. An idle one is kept for the next message, but not
 * on a place that others wait for. */
void sender_session_tend(struct sender_session *session)
{
        bool idle = session_is_idle(session);

        session->retiring =
                session->retiring ||
                (idle && (session->sender->runner.winding_down || session_contended(session->session) ||
                          smtp_mail_room(session_engine(session->session)) == 0));
        session_rest(session->session, idle && !session->retiring);
        if (!idle)
                timer_stop(session->idle);
        else if (session->retiring)
                timer_set(session->idle, 0);
        else if (!timer_is_set(session->idle))
                timer_set(session->idle, KEEP_IDLE_MS);
}

static void session_progress(void *ctx)
{
        struct sender_session *session = ctx;

        sender_hand_out(session->sender);
        sender_session_tend(session);
}

/* Also for a second address of the host, in the same session: nothing of the first engine is kept but what
 * the server's ways are (struct smtp_ways, which the sender owns and every session of it reads and writes).
 */
static struct engine *new_engine(void *ctx)
{
        struct sender_session *session = ctx;
        struct smtp_config config = {
                .signin = session->signin,
                .starttls = prop_bool(&session->sender->runner.account->values, PROP_USE_STARTTLS),
                .hello = session->hello,
                .domain = session->domain,
                .longest_wait =
                        (unsigned)prop_number(&session->sender->runner.account->values, PROP_COMMAND_TIMEOUT),
                .ways = &session->sender->ways,
        };

        return smtp_session_new(&config);
}

/* Mail of another account does not wait for the end of our idleness. */
static void session_wanted(void *ctx)
{
        sender_session_tend(ctx);
}

static const struct session_user session_user = {
        .again = new_engine,
        .reached = session_reached,
        .ready = session_ready,
        .progress = session_progress,
        .wanted = session_wanted,
        .ended = session_ended,
};

/* A server may be mended: after a day its ways are learnt anew. */
static void forget_old_ways(struct sender *sender)
{
        if (sender->sessions || (sender->ways_since && loop_now() - sender->ways_since < WAYS_KEPT_MS))
                return;
        sender->ways = (struct smtp_ways){ 0 };
        sender->pace.refused = 0;
        sender->ways_since = loop_now();
}

/* Nothing opens where no token or secret is there: runner_sign_in() has then begun to wait for one, or has
 * told the failure. The secret is copied into the session, since the account's may change. */
void sender_open_session(struct sender *sender)
{
        const struct property_values *values = &sender->runner.account->values;
        struct signin signin;

        if (runner_sign_in(&sender->runner, &signin) != RUNNER_SIGNS_IN)
                return;
        struct sender_session *session = new_object(struct sender_session);
        struct session_plan plan;
        *session = (struct sender_session){ .sender = sender,
                                            .signin = signin,
                                            .failing = sender->runner.failures > 0,
                                            .falls = sender->falls,
                                            .since = loop_now(),
                                            .generation = sender->runner.account->generation };
        forget_old_ways(sender);
        session->hello = copy_text(settings_hello(settings_current()));
        const char *at = strrchr(prop_text(values, PROP_FROM), '@');
        session->domain = at ? host_normal(at + 1, NULL) : NULL;
        session->idle = timer_new(retire_idle, session);
        session->next = sender->sessions;
        sender->sessions = session;
        session_plan_of(values, &plan);
        session->session = session_open(&plan, new_engine(session), &session_user, session);
        if (session_waits_ms(session->session) >= 0)
                account_tell_status(sender->runner.account);
}

static void retire(struct sender_session *session)
{
        session->retiring = true;
        if (!session->ready)
                sender_session_free(session); /* nothing in flight: an old way of connecting */
        else
                sender_session_tend(session);
}

/* The account has changed: sessions by its old values end as soon as what they carry is done, and take
 * nothing new. Those that were still connecting carry nothing and end at once. */
void sender_retire_all(struct sender *sender)
{
        runner_forget_token(&sender->runner);
        for (struct sender_session *session = sender->sessions, *next; session; session = next) {
                next = session->next;
                retire(session);
        }
}

/* An exemption was withdrawn, an anchor deleted: what is in flight is not finished first. What may have been
 * taken by the server in that moment is AMBIGUOUS and sent again. One that another might be better than
 * finishes what it carries. */
void sender_check_trust(struct sender *sender)
{
        struct cause cause;

        cause_set(&cause, CAUSE_CLOSED, "ended: what this session's trust rested on has gone");
        sender_check_soon(sender);
        for (struct sender_session *session = sender->sessions, *next; session; session = next) {
                next = session->next;
                if (session_still_trusted(session->session)) {
                        if (session->ready && session_may_verify(session->session))
                                retire(session);
                        continue;
                }
                if (session->ready)
                        smtp_mail_lost(session_engine(session->session), &cause);
                sender_session_free(session);
        }
}
