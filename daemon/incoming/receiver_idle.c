/* SPDX-License-Identifier: MIT */
/*
 * What has been learned of waiting at a server, and what the server wants a person to read, for the journal
 * and the account's warnings; the rules of waiting are poll_schedule.c's.
 */
#include "daemon/incoming/receiver_state.h"

#include "common/printable.h"
#include "common/times.h"
#include "daemon/messages.h"

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
