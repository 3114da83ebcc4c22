/* SPDX-License-Identifier: MIT */
/*
 * When to claim, when to open a session, what a session's end means for the account; see sender.h. One message on
 * its way is station/sending.c's.
 */
#include "daemon/station/sender.h"

#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/smtp/session.h"
#include "daemon/station/link.h"
#include "daemon/station/outbox.h"
#include "daemon/station/secrets.h"
#include "daemon/station/sending.h"
#include "daemon/station/station.h"
#include "daemon/store/seen_table.h"

#include <stdio.h>
#include <sys/random.h>

enum {
        CLAIM_MESSAGES = 200,             /* at once */
        CLAIM_BYTES = 8 * 1024 * 1024,
        POOL_LOW = 100,                   /* claim more below this */
        MESSAGES_FOR_ONE_MORE = 8,        /* waiting messages that are worth another session */
        KEEP_IDLE_MS = 10000,             /* a session is kept this long for the next message */
        CALM_AFTER = 50,                  /* messages sent well after which one step is taken back */
        PACE_FIRST = 5, PACE_LONGEST = 600, /* seconds of a pause that the server asked for */
        PACE_STEP_MS = 1000,              /* refusals that come together are one */
        FAULT_RETRY = 3600,
        SESSIONS_MOST = 64,
};

struct session {
        struct sender *sender;
        struct link *link;
        struct signin signin;
        char *hello;
        unsigned generation;              /* of the account's properties */
        bool ready, retiring;
        struct timer *idle;
        struct session *next;
};

struct poll {
        void (*done)(void *ctx, const struct poll_result *result);
        void *ctx;
        struct poll_result result;
        struct poll *next;
};

struct sender {
        struct account *account;
        struct session *sessions;
        struct sending *pool, **pool_end; /* claimed, not given to a session */
        size_t pool_count, in_flight;
        bool claiming, claim_again, empty; /* empty: the last claim brought nothing */
        unsigned allowed_sessions;        /* lowered when the server says it is too much */
        unsigned pauses;                  /* steps beyond one session: each doubles the pause */
        int64_t slowed_at;                /* loop_now() of the last step down */
        unsigned calm;                    /* messages since then */
        unsigned failures;                /* sessions that failed in a row */
        int64_t not_before;               /* loop_now() before which nothing is tried */
        bool period_open;                 /* pollRate > 0: the queue is being emptied */
        bool winding_down;
        struct timer *timer;
        struct poll *polls;
        unsigned callbacks;               /* store answers under way: it cannot be freed before */
        bool freed;
};

static uint32_t random_number(void)
{
        uint32_t number = 0;

        (void)!getrandom(&number, sizeof number, 0);
        return number;
}

/* ---- polls ---- */

static bool nothing_left(const struct sender *sender)
{
        return sender->empty && !sender->claiming && !sender->pool_count && !sender->in_flight;
}

static void finish_polls(struct sender *sender, const struct cause *cause)
{
        while (sender->polls) {
                struct poll *poll = sender->polls;
                sender->polls = poll->next;
                if (cause)
                        poll->result.cause = *cause;
                poll->done(poll->ctx, &poll->result);
                free(poll);
        }
}

/* ---- pool ---- */

static void pool_push(struct sender *sender, struct sending *sending)
{
        sending->next = NULL;
        *sender->pool_end = sending;
        sender->pool_end = &sending->next;
        sender->pool_count++;
}

static struct sending *pool_pop(struct sender *sender)
{
        struct sending *sending = sender->pool;

        sender->pool = sending->next;
        if (!sender->pool)
                sender->pool_end = &sender->pool;
        sender->pool_count--;
        return sending;
}

/* Mail that was claimed and cannot go now. A DOWN cause defers it with the words; others leave it untouched. */
static void give_back_pool(struct sender *sender, const struct cause *cause, time_t again)
{
        while (sender->pool_count) {
                struct sending *sending = pool_pop(sender);
                if (cause && cause_class(cause) == CLASS_DOWN)
                        sending_defer(sending, cause, again);
                else
                        sending_give_back(sending);
        }
}

/* ---- sessions ---- */

static unsigned session_count(const struct sender *sender)
{
        unsigned count = 0;

        for (struct session *session = sender->sessions; session; session = session->next)
                count++;
        return count;
}

static void session_free(struct session *session)
{
        struct session **at = &session->sender->sessions;

        while (*at != session)
                at = &(*at)->next;
        *at = session->next;
        if (session->link)
                link_close(session->link);
        timer_free(session->idle);
        free((char *)session->signin.user);
        free_secret((char *)session->signin.secret);
        free((char *)session->signin.mechanism);
        free((char *)session->signin.host);
        free(session->hello);
        free(session);
}

static void arm_timer(struct sender *sender, int64_t ms)
{
        timer_set(sender->timer, ms > 0 ? ms : 0);
}

/* The account cannot send: how long to leave it alone, and what becomes of the claimed mail. */
static void account_failed(struct sender *sender, const struct cause *cause, const char *challenge_id)
{
        int64_t delay = cause_class(cause) == CLASS_DOWN ?
                                outbox_account_delay(60, sender->failures, random_number()) :
                                outbox_account_delay(FAULT_RETRY, 0, random_number());

        sender->failures++;
        sender->not_before = loop_now() + delay * 1000;
        give_back_pool(sender, cause, loop_wall() + (time_t)delay);
        fact_set_number(sender->account->name, "lastPollFailure", (int64_t)loop_wall());
        fact_set_text(sender->account->name, "lastPollFailureCause", cause->text);
        account_is_ill(sender->account, cause, challenge_id);
        arm_timer(sender, delay * 1000);
        finish_polls(sender, cause);
}

/* The server says we are too much: half the sessions each time; with one left a pause, each twice the one before. */
static void slow_down(struct sender *sender)
{
        unsigned running = session_count(sender);

        sender->calm = 0;
        if (sender->slowed_at && loop_now() < sender->slowed_at + PACE_STEP_MS)
                return;
        sender->slowed_at = loop_now();
        if (running && running < sender->allowed_sessions)
                sender->allowed_sessions = running;
        if (sender->allowed_sessions > 1) {
                sender->allowed_sessions /= 2;
                return;
        }
        int64_t pause = outbox_pause(PACE_FIRST, PACE_LONGEST, sender->pauses++, random_number());
        sender->not_before = loop_now() + pause * 1000;
        give_back_pool(sender, NULL, 0);
        arm_timer(sender, pause * 1000);
}

/* Messages go again: the steps are taken back one by one, the pauses first. */
static void speed_up(struct sender *sender)
{
        if (++sender->calm < CALM_AFTER)
                return;
        sender->calm = 0;
        if (sender->pauses)
                sender->pauses--;
        else if (sender->allowed_sessions < SESSIONS_MOST)
                sender->allowed_sessions++;
}

static void pace_reset(struct sender *sender)
{
        sender->allowed_sessions = SESSIONS_MOST;
        sender->pauses = 0;
        sender->slowed_at = 0;
}

char *sender_pace(const struct sender *sender)
{
        unsigned most = (unsigned)prop_number(&sender->account->values, PROP_MAX_CONNECTIONS);
        int64_t left = sender->not_before - loop_now();

        if (sender->pauses && left > 0)
                return text_of("the server asked for less mail: one session, and a pause of %lld more seconds",
                               (long long)((left + 999) / 1000));
        if (sender->pauses || sender->allowed_sessions < most)
                return text_of("the server asked for less mail: %u of %u sessions for now", sender->allowed_sessions,
                               most);
        return NULL;
}

static void session_ended(void *ctx, const struct cause *why, const char *challenge_id)
{
        struct session *session = ctx;
        struct sender *sender = session->sender;
        struct cause cause = *why;
        bool was_ready = session->ready, retiring = session->retiring;
        bool again = !was_ready && cause.code == CAUSE_CLOSED && link_trust_moved(session->link);
        char id[13] = "";

        (void)snprintf(id, sizeof id, "%s", challenge_id);
        if (was_ready) {
                struct cause lost = cause;
                if (!lost.code)
                        cause_set(&lost, CAUSE_CLOSED, "the server closed the connection");
                smtp_mail_lost(link_chat(session->link), &lost);
        }
        session_free(session);
        if (cause.code == CAUSE_SERVER_BUSY)
                slow_down(sender);
        /* a session that had worked and was closed by the server is no failure of the account */
        bool harmless = cause.code == CAUSE_NONE || again || (retiring && cause_class(&cause) == CLASS_DOWN) ||
                        (was_ready && (cause.code == CAUSE_CLOSED || cause.code == CAUSE_SERVER_BUSY) &&
                         sender->failures == 0);
        if (!harmless)
                account_failed(sender, &cause, id);
        else if (cause.code && !again)
                sender->failures++;
        sender_kick(sender);
}

static void hand_out(struct sender *sender);

static void session_reached(void *ctx, enum link_mark mark, const struct verdict *verdict)
{
        struct session *session = ctx;
        struct channel_info info;

        (void)verdict;
        if (mark == LINK_SECURED && link_tls_info(session->link, &info)) {
                account_set_tls(session->sender->account, &info);
                account_count_handshake(session->sender->account, &info, link_times(session->link).handshake);
        } else if (mark == LINK_CONNECTED && !prop_bool(&session->sender->account->values, PROP_USE_SSL) &&
                 !prop_bool(&session->sender->account->values, PROP_USE_STARTTLS))
                account_set_tls(session->sender->account, NULL);
}

static void session_ready(void *ctx)
{
        struct session *session = ctx;
        struct sender *sender = session->sender;

        session->ready = true;
        fact_set_number(sender->account->name, "lastPollSuccess", (int64_t)loop_wall());
        account_is_well(sender->account);
        hand_out(sender);
}

static bool session_is_idle(const struct session *session)
{
        return session->ready && smtp_mail_flying(link_chat(session->link)) == 0;
}

static void retire_idle(void *ctx)
{
        struct session *session = ctx;

        session->retiring = true;
        link_quit(session->link);
}

/* After work was done: what is idle and not wanted says good-bye, the rest is kept a moment. */
static void tend(struct session *session)
{
        if (!session_is_idle(session)) {
                timer_stop(session->idle);
                return;
        }
        if (session->retiring || session->sender->winding_down || link_contended(session->link)) {
                session->retiring = true;
                timer_set(session->idle, 0);
        } else if (!timer_is_set(session->idle)) {
                timer_set(session->idle, KEEP_IDLE_MS);
        }
}

static void session_progress(void *ctx)
{
        struct session *session = ctx;

        hand_out(session->sender);
        tend(session);
}

static const struct link_user link_user = {
        .reached = session_reached,
        .ready = session_ready,
        .progress = session_progress,
        .ended = session_ended,
};

static void open_session(struct sender *sender)
{
        const struct property_values *values = &sender->account->values;
        struct cause cause = { 0 };
        const char *secret = NULL;

        if (prop_text(values, PROP_ACCOUNT)[0] && !prop_is(values, PROP_AUTHENTICATION, "external")) {
                secret = secret_get(sender->account->name, "password", &cause);
                if (!secret) {
                        account_failed(sender, &cause, "");
                        return;
                }
        }
        struct session *session = new_object(struct session);
        struct link_plan plan;
        *session = (struct session){ .sender = sender, .generation = sender->account->generation };
        session->signin = (struct signin){
                .user = copy_text(prop_text(values, PROP_ACCOUNT)),
                .secret = copy_text(secret),
                .mechanism = copy_text(prop_text(values, PROP_AUTHENTICATION)),
                .allow_plaintext = prop_bool(values, PROP_ALLOW_PLAINTEXT),
                .service = "smtp",
                .host = copy_text(prop_text(values, PROP_HOSTNAME)),
                .port = port_in_use(values),
        };
        session->hello = copy_text(station_settings()->hostname);
        session->idle = timer_new(retire_idle, session);
        session->next = sender->sessions;
        sender->sessions = session;
        struct smtp_config config = {
                .signin = session->signin,
                .starttls = prop_bool(values, PROP_USE_STARTTLS),
                .hello = session->hello,
        };
        link_plan_of(values, &plan);
        session->link = link_open(&plan, smtp_session_new(&config), &link_user, session);
}

/* ---- the work ---- */

static bool may_send(const struct sender *sender)
{
        return !sender->winding_down && !sender->freed && account_enabled(sender->account) &&
               loop_now() >= sender->not_before;
}

/* The session that takes the next message: the one with the least in flight. */
static struct session *session_with_room(struct sender *sender)
{
        struct session *best = NULL;
        size_t least = SIZE_MAX;

        for (struct session *session = sender->sessions; session; session = session->next) {
                if (!session->ready || session->retiring || session->generation != sender->account->generation)
                        continue;
                struct chat *chat = link_chat(session->link);
                if (chat->state != CHAT_READY || smtp_mail_room(chat) == 0)
                        continue;
                size_t flying = smtp_mail_flying(chat);
                if (flying < least) {
                        least = flying;
                        best = session;
                }
        }
        return best;
}

static unsigned sessions_wanted(const struct sender *sender)
{
        unsigned most = (unsigned)prop_number(&sender->account->values, PROP_MAX_CONNECTIONS);
        size_t wanted = (sender->pool_count + MESSAGES_FOR_ONE_MORE - 1) / MESSAGES_FOR_ONE_MORE;

        if (most > sender->allowed_sessions)
                most = sender->allowed_sessions;
        return wanted < most ? (unsigned)wanted : most;
}

/* One session at first; more once it has shown that the server can be reached. */
static void open_what_is_wanted(struct sender *sender)
{
        unsigned have = session_count(sender), wanted = sessions_wanted(sender);

        if (!have && wanted) {
                open_session(sender);
                return;
        }
        for (struct session *session = sender->sessions; session; session = session->next)
                if (!session->ready)
                        return;
        if (have < wanted)
                open_session(sender);
}

static void claimed(void *ctx, struct queued_message **messages, size_t count, time_t next_due,
                    const struct cause *cause);

static void claim(struct sender *sender)
{
        uint64_t left = outbox_left_today(prop_number(&sender->account->values, PROP_MAX_SENDABLE_PER_DAY),
                                          station_sent_today(sender->account));
        uint64_t taken = sender->pool_count + sender->in_flight;

        if (sender->claiming || sender->pool_count >= POOL_LOW)
                return;
        if (left <= taken) {
                sender->empty = true;
                arm_timer(sender, outbox_until_midnight(loop_wall()) * 1000);
                return;
        }
        sender->claiming = true;
        sender->claim_again = false;
        sender->callbacks++;
        size_t max = left - taken < CLAIM_MESSAGES ? (size_t)(left - taken) : CLAIM_MESSAGES;
        queue_claim(sender->account->name, loop_wall(), max, CLAIM_BYTES, claimed, sender);
}

static void message_done(void *ctx, struct sending *sending, const struct sending_result *result)
{
        struct sender *sender = ctx;

        (void)sending;
        sender->in_flight--;
        for (struct poll *poll = sender->polls; poll; poll = poll->next) {
                poll->result.sent += result->sent;
                poll->result.failed += result->failed;
        }
        if (result->slow_down)
                slow_down(sender);
        if (!result->sent)
                return;
        sender->failures = 0;
        speed_up(sender);
}

static void hand_out(struct sender *sender)
{
        while (sender->pool_count && may_send(sender)) {
                struct session *session = session_with_room(sender);
                if (!session)
                        break;
                struct sending *sending = pool_pop(sender);
                sender->in_flight++;
                timer_stop(session->idle);
                sending_start(sending, session->link, message_done, sender);
        }
        if (may_send(sender)) {
                if (sender->pool_count)
                        open_what_is_wanted(sender);
                if (sender->pool_count < POOL_LOW && (!sender->empty || sender->claim_again))
                        claim(sender);
        }
        if (nothing_left(sender)) {
                sender->period_open = false;
                finish_polls(sender, NULL);
        }
}

static void claimed(void *ctx, struct queued_message **messages, size_t count, time_t next_due,
                    const struct cause *cause)
{
        struct sender *sender = ctx;

        sender->callbacks--;
        sender->claiming = false;
        if (cause_happened(cause)) {
                if (!sender->freed)
                        account_failed(sender, cause, "");
                return;
        }
        for (size_t i = 0; i < count; i++) {
                struct sending *sending = sending_new(sender->account, messages[i]);
                if (sender->freed || sender->winding_down)
                        sending_give_back(sending);
                else
                        pool_push(sender, sending);
        }
        if (sender->freed) {
                sender_free(sender);
                return;
        }
        sender->empty = count == 0 && !sender->claim_again;
        if (next_due && may_send(sender) && count == 0 && !prop_number(&sender->account->values, PROP_POLL_RATE)) {
                int64_t ms = ((int64_t)next_due - (int64_t)loop_wall()) * 1000;
                int64_t midnight = outbox_until_midnight(loop_wall()) * 1000;
                arm_timer(sender, ms < 500 ? 500 : ms < midnight ? ms : midnight);
        }
        if (!may_send(sender) && sender->pool_count)
                give_back_pool(sender, NULL, 0);
        hand_out(sender);
        for (struct session *session = sender->sessions; session; session = session->next)
                if (session->ready)
                        link_pump(session->link);
}

void sender_kick(struct sender *sender)
{
        int64_t rate = prop_number(&sender->account->values, PROP_POLL_RATE);

        sender->claim_again = true;
        sender->empty = false;
        if (!may_send(sender) || (rate > 0 && !sender->period_open && !sender->polls))
                return;
        hand_out(sender);
        for (struct session *session = sender->sessions; session; session = session->next)
                if (session->ready)
                        link_pump(session->link);
}

void sender_try_now(struct sender *sender)
{
        sender->not_before = 0;
        sender_kick(sender);
}

/* A pause is over, a period begins, a message comes due, a day begins. */
static void on_time(void *ctx)
{
        struct sender *sender = ctx;
        int64_t rate = prop_number(&sender->account->values, PROP_POLL_RATE);

        if (rate > 0) {
                sender->period_open = true;
                arm_timer(sender, rate * 1000);
        }
        sender_kick(sender);
}

struct sender *sender_new(struct account *account)
{
        struct sender *sender = new_object(struct sender);
        int64_t rate = prop_number(&account->values, PROP_POLL_RATE);

        sender->account = account_hold(account);
        sender->pool_end = &sender->pool;
        pace_reset(sender);
        sender->timer = timer_new(on_time, sender);
        /* at a start thousands of accounts do not begin in one instant */
        arm_timer(sender, rate > 0 ? (int64_t)(random_number() % (uint32_t)(rate * 1000 < 60000 ? rate * 1000 : 60000)) : 0);
        return sender;
}

static void retire_all(struct sender *sender)
{
        for (struct session *session = sender->sessions, *next; session; session = next) {
                next = session->next;
                session->retiring = true;
                if (!session->ready)
                        session_free(session); /* nothing in flight: an old way of connecting */
                else
                        tend(session);
        }
}

void sender_start_over(struct sender *sender)
{
        sender->not_before = 0;
        sender->failures = 0;
        pace_reset(sender);
        retire_all(sender);
        if (!account_enabled(sender->account))
                give_back_pool(sender, NULL, 0);
        arm_timer(sender, 0);
}

void sender_check_trust(struct sender *sender)
{
        struct cause cause;

        cause_set(&cause, CAUSE_CLOSED, "ended: what this session's trust rested on has gone");
        for (struct session *session = sender->sessions, *next; session; session = next) {
                next = session->next;
                if (link_still_trusted(session->link))
                        continue;
                if (session->ready)
                        smtp_mail_lost(link_chat(session->link), &cause);
                session_free(session);
        }
}

static void dued(void *ctx, size_t count, const struct cause *cause)
{
        struct sender *sender = ctx;

        (void)count;
        (void)cause; /* a disk that fails here fails the claim too, which tells */
        if (--sender->callbacks == 0 && sender->freed)
                sender_free(sender);
        else if (!sender->freed)
                sender_kick(sender);
}

void sender_due_now(struct sender *sender)
{
        sender->empty = false;
        sender->callbacks++;
        queue_due_now(sender->account->name, dued, sender);
}

void sender_poll(struct sender *sender, void (*done)(void *ctx, const struct poll_result *result), void *ctx)
{
        struct poll_result result = { 0 };

        if (!account_enabled(sender->account)) {
                cause_set(&result.cause, CAUSE_DISABLED, "account %s is disabled", sender->account->name);
                cause_remedy(&result.cause, "emailsecctl account enable %s", sender->account->name);
                done(ctx, &result);
                return;
        }
        struct poll *poll = new_object(struct poll);
        *poll = (struct poll){ .done = done, .ctx = ctx, .next = sender->polls };
        sender->polls = poll;
        sender->not_before = 0;
        sender_due_now(sender);
}

void sender_network_changed(struct sender *sender, bool stale)
{
        for (struct session *session = sender->sessions, *next; session; session = next) {
                next = session->next;
                if (!stale && link_still_routed(session->link))
                        continue;
                session->retiring = true;
                if (session->ready)
                        tend(session);
                else
                        session_free(session);
        }
        if (sender->account->status != ACCOUNT_DOWN) {
                sender_kick(sender);
                return;
        }
        sender->not_before = 0;
        sender->failures = 0;
        sender_due_now(sender);
}

void sender_wind_down(struct sender *sender)
{
        sender->winding_down = true;
        give_back_pool(sender, NULL, 0);
        timer_stop(sender->timer);
        retire_all(sender);
}

bool sender_busy(const struct sender *sender)
{
        return sender->sessions || sender->in_flight || sender->claiming;
}

void sender_free(struct sender *sender)
{
        struct cause cause;

        if (!sender)
                return;
        sender->freed = true;
        cause_set(&cause, CAUSE_CLOSED, "the account or the daemon was stopped");
        while (sender->sessions) {
                if (sender->sessions->ready)
                        smtp_mail_lost(link_chat(sender->sessions->link), &cause);
                session_free(sender->sessions);
        }
        give_back_pool(sender, NULL, 0);
        cause_set(&cause, CAUSE_CANCELLED, "the account was removed or the daemon ends");
        finish_polls(sender, &cause);
        if (sender->timer)
                timer_free(take(sender->timer));
        if (sender->callbacks)
                return; /* the last answer comes back here */
        account_release(sender->account);
        free(sender);
}
