/* SPDX-License-Identifier: MIT */
/*
 * What one outgoing account does with its mail: claims it, hands it to sessions with room; see sender.h.
 *
 * A message is in one place at any time: on disk as due; claimed (`sending` on disk) and in the pool; handed
 * to a session, when the session's engine and its struct sending have it. Whatever ends a sender gives the
 * pool back. A daemon that was killed finds such messages as claimed at its next start (queue_recover): they
 * are queued again, with the word that they may arrive twice.
 *
 * The pool holds fewer than POOL_LOW + CLAIM_MESSAGES messages, and the first chunk alone of each is in
 * memory, POOL_LOW_BYTES + CLAIM_BYTES at most: the rest is read from disk as the server takes it.
 */
#include "daemon/accounts/quota.h"
#include "daemon/backoff.h"
#include "daemon/loop.h"
#include "daemon/outgoing/sender_rules.h"
#include "daemon/outgoing/sender_state.h"
#include "daemon/session/session_limits.h"
#include "daemon/store/kept.h"

enum {
        CLAIM_MESSAGES = 200, /* at once */
        CLAIM_BYTES = 2 * 1024 * 1024,
        POOL_LOW = 100,                   /* claim more below this, */
        POOL_LOW_BYTES = 2 * 1024 * 1024, /* and this */
        QUEUE_COUNTS_FOR = 16,            /* times the pool: what is behind it may wait for something else */
};

/* ---- pool ---- */

static void pool_push(struct sender *sender, struct sending *sending)
{
        sending->next = NULL;
        *sender->pool_end = sending;
        sender->pool_end = &sending->next;
        sender->pool_count++;
        sender->pool_bytes += sending->mail.size;
        sender->pool_held += sending->message->first_len;
}

/* For one that a session gave back untouched: it goes before those that came after it. */
static void pool_push_front(struct sender *sender, struct sending *sending)
{
        sending->next = sender->pool;
        sender->pool = sending;
        if (!sending->next)
                sender->pool_end = &sending->next;
        sender->pool_count++;
        sender->pool_bytes += sending->mail.size;
        sender->pool_held += sending->message->first_len;
}

static struct sending *pool_pop(struct sender *sender)
{
        struct sending *sending = sender->pool;

        sender->pool = sending->next;
        if (!sender->pool)
                sender->pool_end = &sender->pool;
        sender->pool_count--;
        sender->pool_bytes -= sending->mail.size;
        sender->pool_held -= sending->message->first_len;
        return sending;
}

static bool pool_is_low(const struct sender *sender)
{
        return sender->pool_count < POOL_LOW && sender->pool_held < POOL_LOW_BYTES;
}

/* With a cause of the network the attempt counts and `again` is when the next one may be; without, nothing
 * was tried and nothing is counted. */
void sender_give_back(struct sender *sender, const struct cause *cause, time_t again)
{
        while (sender->pool_count) {
                struct sending *sending = pool_pop(sender);
                if (cause && cause_class(cause) == CLASS_DOWN)
                        sending_defer(sending, cause, again);
                else
                        sending_give_back(sending);
        }
}

/* ---- the work ---- */

/* False also while the sender is freed but disk jobs are still on their way back to it. */
bool sender_may_try(const struct sender *sender)
{
        return runner_may_run(&sender->runner) && !sender->freed && loop_now() >= sender->not_before;
}

bool sender_waits_for_period(const struct sender *sender)
{
        return prop_number(&sender->runner.account->values, PROP_POLL_RATE) > 0 && !sender->period_open &&
               !sender->runner.polls;
}

/* The session that takes the next message: the one with the least in flight. */
static struct sender_session *session_with_room(struct sender *sender)
{
        struct sender_session *best = NULL;
        size_t least = SIZE_MAX;

        for (struct sender_session *session = sender->sessions; session; session = session->next) {
                if (!session->ready || session->retiring ||
                    session->generation != sender->runner.account->generation)
                        continue;
                struct engine *engine = session_engine(session->session);
                if (engine->state != ENGINE_READY || smtp_mail_room(engine) == 0)
                        continue;
                size_t flying = smtp_mail_flying(engine);
                if (flying < least) {
                        least = flying;
                        best = session;
                }
        }
        return best;
}

/* Milliseconds since a session got further. */
static int64_t silence(const struct sender *sender)
{
        int64_t last = 0;

        for (const struct sender_session *session = sender->sessions; session; session = session->next)
                if (session->ready && session->since > last)
                        last = session->since;
        return last ? loop_now() - last : 0;
}

/* Messages that a session has at once. By the room that the engines offer: how much a server lets be in
 * flight is known only after its first answers. */
static size_t taken_ahead(const struct sender *sender)
{
        size_t most = 0;

        for (const struct sender_session *session = sender->sessions; session; session = session->next) {
                const struct engine *engine = session_engine(session->session);
                size_t room = session->ready ? smtp_mail_flying(engine) + smtp_mail_room(engine) : 0;
                most = room > most ? room : most;
        }
        return most;
}

/* Only with something in the pool: mean_size divides by it. How many is decided by a pure function
 * (sender_rules.c); opening may call back at once, which is why the number is worked out before. */
static void open_what_is_wanted(struct sender *sender)
{
        uint64_t behind =
                sender->empty ? 0 : queue_counts(sender->runner.account->name).messages[QUEUE_QUEUED];
        struct sending_load load = {
                .most = (unsigned)prop_number(&sender->runner.account->values, PROP_MAX_CONNECTIONS),
                .allowed = sender->pace.sessions,
                .places = session_places_left(prop_text(&sender->runner.account->values, PROP_HOSTNAME)),
                .have = sender_session_count(sender),
                .ready = sender_ready_count(sender),
                .proven = sender->proven,
                .waiting = sender->pool_count,
                .mean_size = sender->pool_bytes / sender->pool_count,
                .ahead = taken_ahead(sender),
                .message_us = sender->message_us,
                .timed = sender->timed,
                .silent_us = silence(sender) * 1000,
                .setup_us = sender->setup_us,
        };

        load.waiting += behind < QUEUE_COUNTS_FOR * load.waiting ? behind : QUEUE_COUNTS_FOR * load.waiting;
        for (unsigned more = sessions_to_open(&load); more; more--)
                sender_open_session(sender);
}

static bool nothing_left(const struct sender *sender)
{
        return sender->empty && !sender->claiming && !sender->pool_count && !sender->in_flight &&
               !sender->checking;
}

static void claimed(void *ctx, struct queued_message **messages, size_t count, time_t next_due,
                    const struct cause *cause);

/* One claim at a time, and none while enough is in the pool: what stays on disk can still be held, rerouted
 * or overtaken by urgent mail. The daily limit counts what is under way as sent. `callbacks` keeps the
 * sender in memory until claimed() has come. */
static void claim(struct sender *sender)
{
        uint64_t left = quota_left(prop_number(&sender->runner.account->values, PROP_MAX_SENDABLE_PER_DAY),
                                   quota_sent_today(sender->runner.account));
        uint64_t taken = sender->pool_count + sender->in_flight;

        if (sender->claiming || !pool_is_low(sender))
                return;
        if (left <= taken) {
                sender->empty = true;
                sender_arm(sender, quota_until_midnight(loop_wall()) * 1000);
                if (!taken)
                        account_tell_status(sender->runner.account);
                return;
        }
        sender->claiming = true;
        sender->claim_again = false;
        sender->callbacks++;
        size_t max = left - taken < CLAIM_MESSAGES ? (size_t)(left - taken) : CLAIM_MESSAGES;
        struct notice_rules notice = account_notice_rules(sender->runner.account);
        struct flood_rules flood = account_flood_rules(sender->runner.account);
        queue_claim(sender->runner.account->name, loop_wall(), max, CLAIM_BYTES, &notice, &flood, claimed,
                    sender);
}

void sender_tell_news(struct sender *sender)
{
        struct subject subject = account_subject(sender->runner.account);

        if (!sender->ways.news[0])
                return;
        log_about(&subject, LOG_NOTICE, NULL, "%s: the server %s", sender->runner.account->name,
                  sender->ways.news);
        sender->ways.news[0] = '\0';
}

/* The time since the session last got further is the message's own: a session sends one after the other, or
 * the mean of those in flight. Good news ends the account's series of failures; a refusal of one message
 * says nothing of the account. */
static void message_done(void *ctx, struct sending *sending, const struct sending_result *result)
{
        struct sender_session *session = ctx;
        struct sender *sender = session->sender;

        sender->message_us =
                sessions_mean(sender->message_us, sender->timed++, (loop_now() - session->since) * 1000);
        session->since = loop_now();
        sender->in_flight--;
        sender_tell_news(sender);
        if (result->again) {
                pool_push_front(sender, sending);
                return;
        }
        runner_count(&sender->runner, result->sent, result->failed);
        if (result->slow_down)
                sender_slow_down(sender);
        if (!result->sent)
                return;
        account_has_worked(sender->runner.account);
        sender->runner.failures = 0;
        throttle_well(&sender->pace);
}

/* Mail of this sender has gone by this account before: what is refused now may be passing. */
static bool worked(const struct sender *sender, const struct sending *sending)
{
        const char *from = sending->mail.from;

        return from[0] && same_text(from, prop_text(&sender->runner.account->values, PROP_FROM)) &&
               kept_number(sender->runner.account->name, KEPT_NUMBER_SENT) > 0;
}

/* The heart: called after every event that may have made room or work. It ends when there is no room or no
 * mail, and may be entered again from message_done(), which only ever takes messages out of the pool's front
 * or puts them there. */
void sender_hand_out(struct sender *sender)
{
        while (sender->pool_count && sender_may_try(sender)) {
                struct sender_session *session = session_with_room(sender);
                if (!session)
                        break;
                if (session->used && !smtp_mail_fits(session_engine(session->session), &sender->pool->mail)) {
                        session->retiring = true; /* only what a server says now refuses a message */
                        sender_session_tend(session);
                        continue;
                }
                struct sending *sending = pool_pop(sender);
                sender->in_flight++;
                timer_stop(session->idle);
                session->used = true;
                if (!smtp_mail_flying(session_engine(session->session)))
                        session->since = loop_now();
                sending_start(sending, session->session, worked(sender, sending), message_done, session);
                sender_session_tend(session); /* what fails without a word to the server leaves it idle */
        }
        if (sender_may_try(sender)) {
                if (sender->pool_count)
                        open_what_is_wanted(sender);
                if (pool_is_low(sender) && (!sender->empty || sender->claim_again) &&
                    !sender_waits_for_period(sender))
                        claim(sender);
        }
        if (nothing_left(sender)) {
                sender->period_open = false;
                runner_answer_polls(&sender->runner, &(struct poll_result){ 0 });
        }
}

static void notice_waits(struct account *account)
{
        if (account->sender)
                sender_kick(account->sender);
}

/* What was claimed is put behind what waits for a session, or goes back where nobody is to send it any more.
 */
static void take_over(struct sender *sender, struct queued_message **messages, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                struct sending *sending = sending_new(sender->runner.account, messages[i], notice_waits);
                if (sender->freed || sender->runner.winding_down)
                        sending_give_back(sending);
                else
                        pool_push(sender, sending);
        }
}

/* Nothing is due: when to look again. */
static void wait_for_next(struct sender *sender, time_t next_due)
{
        bool by_period = prop_number(&sender->runner.account->values, PROP_POLL_RATE) > 0;

        if (!by_period && sender_may_try(sender))
                sender_arm(sender, sender_wake_ms(next_due, loop_wall(), quota_until_midnight(loop_wall())));
}

/* On the loop, when `sending` is on disk. sender_answered() is false where the sender was freed meanwhile:
 * then what was claimed has been given back above, and nothing of the sender may be touched any more. */
static void claimed(void *ctx, struct queued_message **messages, size_t count, time_t next_due,
                    const struct cause *cause)
{
        struct sender *sender = ctx;
        bool failed = cause_happened(cause);

        sender->claiming = false;
        if (!failed)
                take_over(sender, messages, count);
        if (!sender_answered(sender))
                return;
        sender_heard_of_disk(sender, cause);
        if (failed)
                return;
        sender->empty = count == 0 && !sender->claim_again;
        if (count == 0 && next_due && backoff_too_far(next_due, loop_wall())) {
                sender_due_now(sender);
                return;
        }
        if (count == 0 && next_due)
                wait_for_next(sender, next_due);
        if (!sender_may_try(sender))
                sender_give_back(sender, NULL, 0);
        if (count)
                account_tell_status(sender->runner.account);
        sender_hand_out(sender);
}

/* Mail is on its way to disk for this account: the claim is queued behind its write, in the same commit. */
void sender_expect(struct sender *sender)
{
        if (sender_may_try(sender) && !sender_waits_for_period(sender) && !sender->pool_count)
                claim(sender);
}

/* Something may be due now: mail came, a person released it, a session ended, a timer fired. A claim under
 * way may have missed it, so that another follows it (claim_again). */
void sender_kick(struct sender *sender)
{
        sender->claim_again = true;
        sender->empty = false;
        sender_go_on_checking(sender);
        if (!sender_may_try(sender) || sender_waits_for_period(sender)) {
                account_tell_status(sender->runner.account);
                return;
        }
        sender_hand_out(sender);
}
