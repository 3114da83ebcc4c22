/* SPDX-License-Identifier: MIT */
/* Who has asked for a heartbeat and waits for its round trip; see heartbeat.h. Meanwhile the incoming
 * accounts that may receive it are looked at, less and less often. */
#include "daemon/service/heartbeat_parts.h"

#include "common/json_fields.h"
#include "daemon/accounts/accounts.h"
#include "daemon/incoming/receiver.h"
#include "daemon/loop.h"

enum {
        WAIT_MS = 5 * 60 * 1000, /* for the whole of it */
        LOOK_MS = 2000,          /* to the first look, then doubled */
        LOOK_ACCOUNTS = 16,      /* that are looked at */
};

struct heartbeat_watch {
        char *account;
        const struct heartbeat_user *user; /* NULL: it is over */
        void *ctx;
        struct timer *late, *look;
        /* loop_now() in milliseconds; look_ms is the wait before the next look. */
        int64_t began, look_ms;
        bool sent;
        struct heartbeat_watch *next;
};
static struct heartbeat_watch *watches;

static json_t *step_of(const struct heartbeat_watch *watch, const char *name, const char *result,
                       const char *text, const struct cause *cause)
{
        json_t *step = json_object();

        json_put_text(step, "step", name);
        json_put_text(step, "result", result);
        json_put(step, "milliseconds", json_integer(loop_now() - watch->began));
        json_put_text(step, "text", text);
        json_put(step, "cause", cause_json(cause));
        json_put(step, "details", json_null());
        return step;
}

static void drop_watch(void *ctx)
{
        struct heartbeat_watch *watch = ctx;

        timer_free(watch->late);
        timer_free(watch->look);
        free(watch->account);
        free(watch);
}

/* Freed on the loop's next turn, since the callers walk the list or stand in one of the timers. */
static void take_out(struct heartbeat_watch *watch)
{
        struct heartbeat_watch **place = &watches;

        while (*place && *place != watch)
                place = &(*place)->next;
        if (*place)
                *place = watch->next;
        watch->user = NULL;
        loop_later(drop_watch, watch);
}

/* The last word to the user: `done`, once, and nothing after it. */
static void finish(struct heartbeat_watch *watch, const char *name, const char *result, const char *text,
                   const struct cause *cause)
{
        const struct heartbeat_user *user = watch->user;
        json_t *step = step_of(watch, name, result, text, cause);

        take_out(watch);
        user->done(watch->ctx, step);
        json_decref(step);
}

/* The message itself goes on its way; only nobody waits for it any more. */
void heartbeat_cancel(struct heartbeat_watch *watch)
{
        take_out(watch);
}

static void tell(struct heartbeat_watch *watch, const char *name, const char *text)
{
        json_t *step = step_of(watch, name, "ok", text, NULL);

        watch->user->step(watch->ctx, step);
        json_decref(step);
}

/* ---- looking ---- */

static void looked(void *ctx, const struct poll_result *result)
{
        (void)ctx;
        (void)result; /* what came is told by who receives it */
}

/* An account with IDLE hears of the message by itself; the others would wait for their next poll, which may
 * be an hour away. Fewer and fewer looks, so that a message that is lost costs little. */
static void look(void *ctx)
{
        struct heartbeat_watch *watch = ctx;
        unsigned count = 0;

        for (struct account *account = accounts_first(); account && count < LOOK_ACCOUNTS;
             account = account->next)
                if (account_enabled(account) && account->receiver) {
                        receiver_poll(account->receiver, looked, NULL);
                        count++;
                }
        watch->look_ms *= 2;
        timer_set(watch->look, watch->look_ms);
}

/* What is told is the first step that has not happened: that it was not sent, with the account's own cause
 * where there is one, or that it did not come. */
static void late(void *ctx)
{
        struct heartbeat_watch *watch = ctx;
        const struct account *account = account_named(watch->account);
        struct cause cause;
        bool anybody;

        if (!watch->sent) {
                if (account && account->cause->code)
                        cause = *account->cause;
                else
                        (void)cause_set(&cause, CAUSE_TIMEOUT, "it has not been sent in %d minutes",
                                        WAIT_MS / 60000);
                finish(watch, "sent", "failed", cause.text, &cause);
        } else if (account && heartbeat_is_expected(account, &anybody)) {
                (void)cause_set(&cause, CAUSE_TIMEOUT, "it was sent and has not arrived in %d minutes",
                                WAIT_MS / 60000);
                cause_remedy(&cause,
                             "look whether the server still holds it, and into the mailbox's junk folder");
                finish(watch, "arrived", "failed", cause.text, &cause);
        } else {
                finish(watch, "arrived", "skipped", "no incoming account of this station has received it",
                       NULL);
        }
}

/* ---- what came of it ---- */

/* The first of those that wait for the account's from `at` on. */
static struct heartbeat_watch *next_of(struct heartbeat_watch *at, const char *account)
{
        while (at && strcmp(at->account, account) != 0)
                at = at->next;
        return at;
}

/* One message serves all who asked meanwhile: each of them is told. */
void heartbeat_watches_queued(const char *account, const char *id)
{
        scoped(scoped_free) char *text = text_of("in the queue as %s", id);

        for (struct heartbeat_watch *watch = watches; (watch = next_of(watch, account)); watch = watch->next)
                tell(watch, "queued", text);
}

/* `next` is read before finish() takes the watch out. */
void heartbeat_watches_sent(const char *account)
{
        const struct account *sender = account_named(account);
        bool anybody = false;

        (void)(sender && heartbeat_is_expected(sender, &anybody));
        for (struct heartbeat_watch *watch = watches, *next; (watch = next_of(watch, account));
             watch = next) {
                next = watch->next;
                watch->sent = true;
                tell(watch, "sent", "the server has taken it");
                if (anybody)
                        timer_set(watch->look, watch->look_ms);
                else
                        finish(watch, "arrived", "skipped",
                               "there is no incoming account here that could receive it", NULL);
        }
}

void heartbeat_watches_arrived(const char *account, const char *incoming)
{
        scoped(scoped_free) char *text = text_of("received by account %s", incoming);

        for (struct heartbeat_watch *watch = watches, *next; (watch = next_of(watch, account));
             watch = next) {
                next = watch->next;
                finish(watch, "arrived", "ok", text, NULL);
        }
}

void heartbeat_watches_missed(const char *account, const struct cause *cause)
{
        for (struct heartbeat_watch *watch = watches, *next; (watch = next_of(watch, account));
             watch = next) {
                next = watch->next;
                finish(watch, watch->sent ? "arrived" : "sent", "failed", cause->text, cause);
        }
}

/* Refused at once where nothing could be sent, rather than after WAIT_MS. With 0 `done` is called in the
 * end unless it is cancelled. */
int heartbeat_ask(struct account *account, const struct heartbeat_user *user, void *ctx,
                  struct heartbeat_watch **out, struct cause *cause)
{
        if (!account_is_outgoing(account) || !prop_text(&account->values, PROP_HEARTBEAT)[0]) {
                (void)cause_about(cause, CAUSE_INVALID, "heartbeat", "account %s has no heartbeat",
                                  account->name);
                cause_remedy(cause,
                             account_is_outgoing(account) ? "emailsecctl account set %s heartbeat=ADDRESS"
                                                          : "name an outgoing account, not %s",
                             account->name);
                return -1;
        }
        if (account_is_stopped(account)) {
                if (account->cause->code) {
                        *cause = *account->cause;
                } else {
                        (void)cause_set(cause, CAUSE_DISABLED, "account %s is disabled", account->name);
                        cause_remedy(cause, "emailsecctl account enable %s", account->name);
                }
                return -1;
        }
        if (heartbeat_send(account, cause) < 0)
                return -1;
        struct heartbeat_watch *watch = new_object(struct heartbeat_watch);
        *watch = (struct heartbeat_watch){ .account = copy_text(account->name),
                                           .user = user,
                                           .ctx = ctx,
                                           .began = loop_now(),
                                           .look_ms = LOOK_MS,
                                           .next = watches };
        watch->late = timer_new(late, watch);
        watch->look = timer_new(look, watch);
        timer_set(watch->late, WAIT_MS);
        watches = watch;
        *out = watch;
        return 0;
}
