/* SPDX-License-Identifier: MIT */
/*
 * A look at the folders of a session that stands, one after the other, and what comes after: IDLE, a rest, or
 * the end of the session; and what is told of waiting. The rules of waiting are receiver_rules.c's.
 */
#include "common/printable.h"
#include "common/times.h"
#include "daemon/incoming/receiver_rules.h"
#include "daemon/incoming/receiver_state.h"
#include "daemon/incoming/retention.h"
#include "daemon/messages.h"
#include "daemon/random.h"

/* ---- what has been learned of waiting at a server, and what it wants a person to read ---- */

/* Says it in the journal, and keeps it as a warning. Takes the words over. */
static void tell(struct receiver *receiver, char *words)
{
        struct subject subject = account_subject(receiver->runner.account);

        free(receiver->waits_words);
        receiver->waits_words = words;
        if (!receiver->waits.told)
                log_about(&subject, LOG_NOTICE, MSG_WAITING, "%s: %s", receiver->runner.account->name, words);
        receiver->waits.told = true;
}

static void tell_well(struct receiver *receiver)
{
        struct subject subject = account_subject(receiver->runner.account);

        if (!receiver->waits.told)
                return;
        receiver->waits.told = false;
        free(take(receiver->waits_words));
        log_about(&subject, LOG_NOTICE, MSG_WAITING, "%s: waiting for mail at the server works again",
                  receiver->runner.account->name);
}

static bool given_up(const struct receiver *receiver)
{
        return !poll_idle_may_idle(&receiver->waits, loop_now());
}

void receiver_wait_ended(struct receiver *receiver, enum waits_end end, const struct cause *cause)
{
        int64_t now = loop_now(), lasted = now - receiver->waiting_since;

        poll_idle_ended(&receiver->waits, end, lasted, now);
        if (end == WAIT_LOST && given_up(receiver))
                tell(receiver,
                     text_of("the server ends sessions that wait for mail after %lld s (%s): each poll has a "
                             "session of its own now, every %lld s",
                             (long long)(lasted / 1000), cause ? cause->text : "",
                             (long long)receiver_poll_rate(receiver)));
        else if (poll_idle_pause(&receiver->waits))
                tell(receiver,
                     copy_text("the server announces mail again and again, or ends IDLE, and there is none: "
                               "pauses between polls grow"));
        else if (!receiver->waits.again && !receiver->waits.lost)
                tell_well(receiver);
}

void receiver_idle_refused(struct receiver *receiver, const struct cause *cause)
{
        poll_idle_refused(&receiver->waits, loop_now());
        tell(receiver,
             text_of("the server offers IDLE but refuses it (%s): it is looked at every %lld s instead",
                     cause->text, (long long)receiver_poll_rate(receiver)));
}

void receiver_alerted(void *ctx, const char *words)
{
        struct receiver *receiver = container_of((struct fetching **)ctx, struct receiver, fetching);
        struct subject subject = account_subject(receiver->runner.account);
        char *printable = printable_text(words);

        if (receiver->alert &&
            same_text(receiver->alert, printable)) { /* told already, perhaps by each session */
                free(printable);
                return;
        }
        free(receiver->alert);
        receiver->alert = printable;
        log_about(&subject, LOG_NOTICE, MSG_ALERT, "%s: the server says: %s", receiver->runner.account->name,
                  printable);
}

void receiver_forget_waits(struct receiver *receiver)
{
        free(take(receiver->alert));
        receiver->waits = (struct waits){ 0 };
        receiver->wait_end = WAIT_OURS;
        free(take(receiver->waits_words));
}

void receiver_waits_warning(const struct receiver *receiver, json_t *warnings)
{
        char again[32];
        scoped(scoped_free) char *alert =
                receiver->alert ? text_of("the server says: %s", receiver->alert) : NULL;

        if (alert)
                (void)json_array_append_new(warnings, json_string(alert));
        if (!receiver->waits_words)
                return;
        time_rfc3339(loop_wall() + (receiver->waits.again - loop_now()) / 1000, again);
        scoped(scoped_free) char *text =
                given_up(receiver) ? text_of("%s; waiting is tried again at %s", receiver->waits_words, again)
                                   : copy_text(receiver->waits_words);
        (void)json_array_append_new(warnings, json_string(text));
}

enum {
        KEEP_OPEN_BELOW = 600, /* pollRate up to which an IMAP session is kept between polls */
};

static bool several_folders(const struct receiver *receiver)
{
        return receiver->folders + strlen(receiver->folders) < receiver->folders_end;
}

static void idle(struct receiver *receiver)
{
        int64_t left = receiver->whole_due - loop_now();

        receiver->phase = IDLING;
        receiver->waiting_since = loop_now();
        receiver_ops(receiver)->idle(session_engine(receiver->session));
        if (receiver->next_try && left > receiver->next_try * 1000)
                left = receiver->next_try * 1000;
        timer_set(receiver->runner.timer, left > 0 ? left : 0);
}

/* While it waits, thousands may: of the poll that is over nothing is kept. */
static void rest(struct receiver *receiver)
{
        int64_t rate = receiver_poll_rate(receiver), pause = poll_idle_pause(&receiver->waits);
        bool idles = receiver->can_idle && prop_bool(&receiver->runner.account->values, PROP_PUSH) &&
                     poll_idle_may_idle(&receiver->waits, loop_now());
        bool apart = poll_idle_apart(&receiver->waits, loop_now());

        if (receiver->again && !receiver_is_pop3(receiver)) {
                receiver->whole = true;
                receiver_begin_poll(receiver);
        } else if (receiver_is_pop3(receiver) || receiver->runner.winding_down ||
                   session_contended(receiver->session) || session_may_verify(receiver->session) || apart ||
                   (!idles && rate > KEEP_OPEN_BELOW)) {
                receiver->phase = QUITTING;
                session_quit(receiver->session);
        } else if (idles && !pause) {
                fetching_free(take(receiver->fetching));
                idle(receiver);
        } else {
                fetching_free(take(receiver->fetching));
                receiver->phase = RESTING;
                receiver->waiting_since = loop_now();
                int64_t wait = receiver_next_poll(receiver) * 1000;
                timer_set(receiver->runner.timer, idles && pause < wait ? pause : wait);
        }
}

static void poll_done(struct receiver *receiver)
{
        receiver->runner.failures = 0;
        if (receiver->wait_end == WAIT_NOTHING)
                receiver_wait_ended(receiver, receiver->received || receiver->left ? WAIT_NEWS : WAIT_NOTHING,
                                    NULL);
        receiver->wait_end = WAIT_OURS;
        account_has_worked(receiver->runner.account);
        account_was_checked(receiver->runner.account);
        if (!receiver_is_pop3(receiver) && !receiver->again) /* POP3 is through when QUIT was answered */
                receiver_answer_polls(receiver, NULL);
        rest(receiver);
}

/* The first folder comes last, so that it is the open one when IDLE begins. */
static const char *next_folder(const struct receiver *receiver)
{
        const char *end = receiver->folder + strlen(receiver->folder);

        if (receiver->folder == receiver->folders)
                return NULL;
        return end < receiver->folders_end ? end + 1 : receiver->folders;
}

static void begin_folder(struct receiver *receiver);

static void fetching_done(void *ctx, const struct fetching_result *result)
{
        struct receiver *receiver = ctx;

        receiver->received += result->received;
        if (result->received)
                retention_look(receiver->runner.account, false);
        receiver->left += result->left;
        if (result->next_try && (!receiver->next_try || result->next_try < receiver->next_try))
                receiver->next_try = result->next_try;
        bool refused = result->refused.code != CAUSE_NONE;
        struct cause cause = refused ? result->refused : result->cause;
        if (!refused && cause.code != CAUSE_NONE) {
                receiver_failed(receiver, &cause, "");
                return;
        }
        if (refused && several_folders(receiver)) {
                receiver_folder_refused(receiver, &cause);
        } else if (!refused) {
                receiver_folder_opened(receiver);
                receiver->opened++;
        }
        const char *next = next_folder(receiver);
        if (next) {
                receiver->folder = next;
                begin_folder(receiver);
                return;
        }
        receiver->folder_open = !refused;
        receiver->can_idle = receiver->fetching && fetching_can_idle(receiver->fetching);
        if (receiver->opened || receiver->partial)
                poll_done(receiver);
        else
                receiver_failed(receiver, &cause, "");
}

static void end_idle(struct receiver *receiver)
{
        receiver->phase = WAKING;
        receiver_ops(receiver)->wake(session_engine(receiver->session));
}

void receiver_wake(struct receiver *receiver)
{
        if (receiver->phase != IDLING)
                return;
        receiver_wait_ended(receiver, WAIT_OURS, NULL);
        end_idle(receiver);
}

/* The engine's `ctx` is the place of the poll, which is over. */
static struct receiver *waiting_receiver(void *ctx)
{
        struct receiver *receiver = container_of((struct fetching **)ctx, struct receiver, fetching);

        return receiver->phase == IDLING || receiver->phase == WAKING ? receiver : NULL;
}

/* What it was worth the poll will show. */
void receiver_idle_changed(void *ctx)
{
        struct receiver *receiver = waiting_receiver(ctx);

        if (!receiver || receiver->phase != IDLING)
                return;
        receiver->wait_end = WAIT_NOTHING;
        end_idle(receiver);
}

void receiver_idle_woken(void *ctx)
{
        struct receiver *receiver = waiting_receiver(ctx);

        if (!receiver)
                return;
        if (receiver->phase == IDLING) /* the server has ended it */
                receiver->wait_end = WAIT_NOTHING;
        receiver->whole |= loop_now() >= receiver->whole_due;
        if (receiver->runner.winding_down)
                rest(receiver);
        else
                receiver_begin_poll(receiver);
}

void receiver_idle_not_taken(void *ctx, const struct cause *cause)
{
        struct receiver *receiver = waiting_receiver(ctx);

        if (!receiver)
                return;
        bool wanted = receiver->phase == WAKING; /* somebody asked for a poll meanwhile */

        receiver_idle_refused(receiver, cause);
        if (wanted && !receiver->runner.winding_down)
                receiver_begin_poll(receiver);
        else
                rest(receiver);
}

static void begin_folder(struct receiver *receiver)
{
        fetching_free(take(receiver->fetching));
        receiver->fetching = fetching_new(receiver->runner.account, receiver->session, receiver_ops(receiver),
                                          receiver->folder, fetching_done, receiver);
        if (receiver->runner.polls)
                fetching_try_all(receiver->fetching);
        fetching_begin(receiver->fetching, receiver->folder_open);
}

void receiver_begin_poll(struct receiver *receiver)
{
        bool others = receiver->whole && several_folders(receiver);

        if (receiver->whole)
                receiver->whole_due =
                        loop_now() + poll_schedule_idle_ms(receiver_poll_rate(receiver),
                                                           several_folders(receiver), random_number());
        receiver->again = receiver->whole = false;
        receiver->next_try = 0;
        receiver->opened = 0;
        receiver->partial = !others && several_folders(receiver);
        receiver->phase = POLLING;
        timer_stop(receiver->runner.timer);
        receiver->folder = receiver->folders;
        if (others) {
                receiver->folder += strlen(receiver->folders) + 1;
                receiver->folder_open = false;
        }
        begin_folder(receiver);
}
