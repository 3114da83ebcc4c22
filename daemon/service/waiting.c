/* SPDX-License-Identifier: MIT */
/* What waits, for what and until when; see waiting.h. */
#include "daemon/service/waiting.h"

#include "common/json_fields.h"
#include "common/times.h"
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/quota.h"
#include "daemon/accounts/round.h"
#include "daemon/events.h"
#include "daemon/incoming/receiver.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/outgoing/sender.h"
#include "daemon/outgoing/sender_rules.h"
#include "daemon/session/session.h"
#include "daemon/store/body_file.h"
#include "daemon/store/store.h"

#include <stdio.h>

enum {
        STUCK_MS = 5000,        /* no disk that works keeps a job so long */
        PLACES_LEAST_MS = 1000, /* between two looks at those that wait for a place */
};

static struct timer *places; /* the next wait for a place that has to be told of */

const char *waiting_name(enum waiting_reason reason)
{
        static const char *const names[WAITING_REASONS] = {
                [WAITING_FOR_DAILY_LIMIT] = "dailyLimit",
                [WAITING_FOR_BACKOFF] = "backoff",
                [WAITING_FOR_ACCOUNT] = "account",
                [WAITING_FOR_TRUST] = "trust",
                [WAITING_FOR_THROTTLE] = "throttle",
                [WAITING_FOR_DISK] = "disk",
                [WAITING_FOR_POLL_RATE] = "pollRate",
                [WAITING_FOR_OPERATOR] = "operator",
                [WAITING_FOR_PLACE] = "place",
        };

        return names[reason];
}

/* ---- of an account ---- */

/* Wall clock, rounded up: nobody is told a time at which nothing happens yet. 0 for a negative one:
 * unknown. */
static time_t in_ms(int64_t ms)
{
        return ms < 0 ? 0 : (time_t)loop_wall() + (time_t)((ms + 999) / 1000);
}

/* When its runner does something by itself again. */
static time_t next_try(const struct account *account)
{
        if (account->sender)
                return in_ms(sender_rests_ms(account->sender));
        return account->receiver ? in_ms(receiver_rests_ms(account->receiver)) : 0;
}

/* Who can end it: a person by a decision about trust, or by room on the disk, or by mending the account; or
 * time alone. */
static enum waiting_reason reason_of_cause(const struct account *account)
{
        enum cause_code code = account->cause->code;

        if (account->status == ACCOUNT_CHALLENGE || code == CAUSE_REJECTED || code == CAUSE_CERTIFICATE ||
            code == CAUSE_TRUST_STORE)
                return WAITING_FOR_TRUST;
        if (code == CAUSE_STORAGE)
                return WAITING_FOR_DISK;
        return account->status == ACCOUNT_DOWN ? WAITING_FOR_BACKOFF : WAITING_FOR_ACCOUNT;
}

static void set(struct waiting *out, enum waiting_reason reason, time_t until, const char *format, ...)
        printf_like(4, 5);
static void set(struct waiting *out, enum waiting_reason reason, time_t until, const char *format, ...)
{
        va_list args;

        out->reason = reason;
        out->until = until;
        va_start(args, format);
        (void)vsnprintf(out->text, sizeof out->text, format, args);
        va_end(args);
}

/* `session` waits for a place, or is NULL. */
static void of_place(const struct session *session, struct waiting *out)
{
        scoped(scoped_free) char *words = session ? session_waits_words(session) : NULL;

        if (!session)
                return;
        set(out, WAITING_FOR_PLACE, 0, "%s", words);
        out->since_ms = session_waits_ms(session);
}

/* The disk threads do not come back: whatever the account's state, nothing is claimed or stored. */
static bool of_stuck_disk(struct waiting *out)
{
        int64_t stuck = store_stuck_for();

        if (stuck >= STUCK_MS)
                set(out, WAITING_FOR_DISK, 0, "the disk of the state folder has not answered for %lld s",
                    (long long)(stuck / 1000));
        return stuck >= STUCK_MS;
}

/* An account that works, or has not been used, and yet sends nothing at present. */
static void of_sender(const struct account *account, struct waiting *out)
{
        int64_t most = prop_number(&account->values, PROP_MAX_SENDABLE_PER_DAY),
                sent = quota_sent_today(account);
        int64_t rests = sender_rests_ms(account->sender);

        if (out->messages && quota_left(most, sent) == 0)
                set(out, WAITING_FOR_DAILY_LIMIT,
                    (time_t)loop_wall() + (time_t)quota_until_midnight(loop_wall()),
                    "%lld of %lld sent today (maxSendablePerDay)", (long long)sent, (long long)most);
        else if (rests >= 0 && sender_is_throttled(account->sender))
                set(out, WAITING_FOR_THROTTLE, in_ms(rests), "the server asked for less mail");
        else if (rests >= 0 && account->status == ACCOUNT_OK) /* else it begins anew just now */
                set(out, WAITING_FOR_BACKOFF, in_ms(rests), "the last try failed");
        else if (sender_waits_for_place(account->sender))
                of_place(sender_waits_for_place(account->sender), out);
        else if (out->messages && sender_period_ms(account->sender) >= 0)
                set(out, WAITING_FOR_POLL_RATE, in_ms(sender_period_ms(account->sender)),
                    "mail goes out every %lld s (pollRate)",
                    (long long)prop_number(&account->values, PROP_POLL_RATE));
}

static void of_receiver(const struct account *account, struct waiting *out)
{
        int64_t rests = receiver_rests_ms(account->receiver);

        of_place(receiver_waits_for_place(account->receiver), out);
        if (rests >= 0 && account->status == ACCOUNT_OK)
                set(out, WAITING_FOR_POLL_RATE, in_ms(rests),
                    "the mailbox is looked at every %lld s (pollRate)",
                    (long long)prop_number(&account->values, PROP_POLL_RATE));
}

void waiting_of(const struct account *account, struct waiting *out)
{
        struct queue_counts counts = { 0 };

        *out = (struct waiting){ 0 };
        if (account_is_outgoing(account))
                counts = queue_counts(account->name);
        out->messages = counts.messages[QUEUE_QUEUED] + counts.messages[QUEUE_DEFERRED] +
                        counts.messages[QUEUE_AMBIGUOUS];
        switch (account->status) {
        case ACCOUNT_DISABLED:
                set(out, WAITING_FOR_ACCOUNT, 0, "the account is disabled");
                break;
        case ACCOUNT_DOWN:
        case ACCOUNT_FAULT:
        case ACCOUNT_CHALLENGE:
                if (account->sender && !sender_is_sending(account->sender))
                        out->messages += counts.messages[QUEUE_SENDING]; /* on their way back */
                set(out, reason_of_cause(account), next_try(account), "%s", account->cause->text);
                break;
        case ACCOUNT_OK:
        case ACCOUNT_CONNECTING:
                if (of_stuck_disk(out))
                        break;
                if (account->sender && sender_waits_for_place(account->sender))
                        out->messages +=
                                counts.messages[QUEUE_SENDING]; /* claimed for the session that is to come */
                if (account->sender)
                        of_sender(account, out);
                else if (account->receiver)
                        of_receiver(account, out);
                break;
        }
}

/* Back-off, throttling and the rhythm of polls give way to a person's word; the limit of a day, the disk
 * and the number of sessions do not. */
bool waiting_all_the_same(const struct account *account, struct waiting *out)
{
        *out = (struct waiting){ 0 };
        if (!account || !account->sender)
                return false;
        waiting_of(account, out);
        bool stays = out->reason == WAITING_FOR_DAILY_LIMIT || out->reason == WAITING_FOR_DISK ||
                     out->reason == WAITING_FOR_PLACE;
        return out->reason && (stays || !sender_may_try(account->sender));
}

/* ---- in words ---- */

/* "14:05", with the date where that is another day and not its first minute. */
static void put_time(time_t until, char *to, size_t size)
{
        time_t now = (time_t)loop_wall();
        struct tm then = { 0 }, today = { 0 };
        bool told = localtime_r(&until, &then) && localtime_r(&now, &today);
        bool soon = until - now < 24 * 3600 &&
                    (then.tm_yday == today.tm_yday || (then.tm_hour == 0 && then.tm_min == 0));

        if (!told || !strftime(to, size, soon ? "%H:%M" : "%Y-%m-%d %H:%M", &then))
                (void)snprintf(to, size, "%lld", (long long)until);
}

char *waiting_words(const struct waiting *waiting)
{
        char until[32] = "", count[64] = "";
        unsigned long long messages = waiting->messages;

        if (waiting->until)
                put_time(waiting->until, until, sizeof until);
        if (messages)
                (void)snprintf(count, sizeof count, "; %llu message%s wait%s", messages,
                               messages == 1 ? "" : "s", messages == 1 ? "s" : "");
        return text_of("%s%s%s%s", waiting->text, count,
                       !until[0]  ? ""
                       : messages ? " until "
                                  : "; tried again at ",
                       until);
}

json_t *waiting_json(const struct waiting *waiting)
{
        if (waiting->reason == WAITING_FOR_NOTHING)
                return json_null();
        json_t *object = json_object();
        json_put_text(object, "reason", waiting_name(waiting->reason));
        json_put_time(object, "until", (int64_t)waiting->until);
        json_put_text(object, "text", waiting->text);
        json_put(object, "messages", json_integer((json_int_t)waiting->messages));
        return object;
}

/* ---- of a message ---- */

static const char *text_in(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));

        return text ? text : "";
}

/* Why it failed the last time, in the words of the first recipient that waits. */
static const char *last_words(const json_t *message)
{
        size_t index;
        json_t *recipient;

        json_array_foreach(json_object_get(message, "recipients"), index, recipient)
                if (same_text(text_in(recipient, "state"), text_in(message, "state")) &&
                    text_in(recipient, "reply")[0])
                        return text_in(recipient, "reply");
        return "the last try failed";
}

/* By the names that queue_state_name() gives: messages come from the store as JSON. */
static bool waits_to_go(const char *state)
{
        return same_text(state, "queued") || same_text(state, "deferred") || same_text(state, "ambiguous");
}

/* Its own reason, where its account has none. */
static void of_message(const json_t *message, struct waiting *out)
{
        const char *state = text_in(message, "state");
        time_t next = 0;

        *out = (struct waiting){ .messages = 1 };
        if (same_text(state, "held"))
                set(out, WAITING_FOR_OPERATOR, 0, "a person holds it: emailsecctl queue release %s",
                    text_in(message, "id"));
        else if ((same_text(state, "deferred") || same_text(state, "ambiguous")) &&
                 time_parse(text_in(message, "nextAttempt"), &next, NULL) == 0 && next > (time_t)loop_wall())
                set(out, WAITING_FOR_BACKOFF, next, "%s", last_words(message));
        else if (waits_to_go(state) && body_files_fault() &&
                 json_integer_value(json_object_get(message, "size")) >= (json_int_t)BODY_FILE_FROM)
                set(out, WAITING_FOR_DISK, 0, "%s", body_files_fault()->text);
}

/* What was claimed for a session that did not come about is on its way back, or waits with it for a place. */
static void show_as_given_back(json_t *message, const struct account *account)
{
        size_t index;
        json_t *recipient;

        bool placeless = account && account->sender && sender_waits_for_place(account->sender);
        if (!account || !same_text(text_in(message, "state"), "sending") ||
            (!account_is_stopped(account) && !placeless) ||
            (account->sender && (sender_may_try(account->sender) || sender_is_sending(account->sender)) &&
             !placeless))
                return;
        json_put_text(message, "state", queue_state_name(QUEUE_QUEUED));
        json_array_foreach(json_object_get(message, "recipients"), index, recipient)
                if (same_text(text_in(recipient, "state"), "sending"))
                        json_put_text(recipient, "state", queue_state_name(QUEUE_QUEUED));
}

bool waiting_show(json_t *message)
{
        const struct account *account = account_named(text_in(message, "account"));
        struct waiting own, waiting = { 0 };

        show_as_given_back(message, account);
        const char *state = text_in(message, "state");
        bool stopped = account && account_is_stopped(account) && waits_to_go(state);

        of_message(message, &own);
        if (account && waits_to_go(state))
                waiting_of(account, &waiting);
        waiting.messages = 1;
        bool general = waiting.reason && (!waiting.until || waiting.until >= own.until);
        const struct waiting *told = general ? &waiting : &own;
        json_put(message, "waitingFor", waiting_json(told));
        if (!told->reason)
                return false;
        if (told->until)
                json_put_time(message, "nextAttempt", (int64_t)told->until);
        if (general || !text_in(message, "cause")[0])
                json_put_text(message, "cause", told->text);
        if (stopped)
                json_put_time(message, "expires", 0); /* it does not age while its account is stopped */
        return stopped || told->reason == WAITING_FOR_OPERATOR;
}

/* ---- told ---- */

/* Once for each change of the reason, which is remembered in the account; the end of a wait is an event
 * without a line in the journal. */
static void tell(struct account *account, const struct waiting *waiting)
{
        scoped(scoped_free) char *words = waiting_words(waiting);
        struct subject subject = account_subject(account);
        json_t *data = waiting_json(waiting);

        account->told_waiting = waiting->reason;
        if (waiting->reason)
                log_about(&subject, waiting->reason == WAITING_FOR_POLL_RATE ? LOG_DEBUG : LOG_NOTICE,
                          MSG_MAIL_WAITS, "%s: %s", account->name, words);
        if (json_is_null(data))
                data = json_object();
        json_put_text(data, "reason", waiting_name(waiting->reason));
        event_emit(EVENT_ACCOUNT_WAITING, account->name, data, "%s: %s", account->name,
                   waiting->reason ? words : "its mail no longer waits");
}

static void look_at_place(struct account *account)
{
        if (account->sender && sender_waits_for_place(account->sender))
                waiting_look(account);
}

static struct accounts_round places_round = { .visit = look_at_place };

/* Those who wait for a place are not woken by anything while they wait. */
static void look_at_places(unused_arg void *ctx)
{
        accounts_round_begin(&places_round);
}

/* In so long somebody's wait is one to be told of. */
static void look_at_places_in(int64_t ms)
{
        if (!places)
                places = timer_new(look_at_places, NULL);
        if (!timer_is_set(places))
                timer_set(places, ms > PLACES_LEAST_MS ? ms : PLACES_LEAST_MS);
}

void waiting_close(void)
{
        accounts_round_stop(&places_round);
        timer_free(take(places));
}

void waiting_look(struct account *account)
{
        struct waiting waiting;

        if (!account_is_outgoing(account) || account->deleted)
                return;
        waiting_of(account, &waiting);
        if (!waiting.messages)
                waiting.reason = WAITING_FOR_NOTHING;
        if (waiting.reason == WAITING_FOR_PLACE && waiting.since_ms < PLACE_TOLD_MS) {
                look_at_places_in(PLACE_TOLD_MS - waiting.since_ms);
                return; /* most of these pass before */
        }
        bool trying = !waiting.reason && waiting.messages &&
                      (account->status == ACCOUNT_CONNECTING ||
                       (account->sender && sender_is_throttled(account->sender)));
        if (waiting.reason != account->told_waiting && !trying) /* between two tries the wait goes on */
                tell(account, &waiting);
}
