/* SPDX-License-Identifier: MIT */
/* Heartbeats of outgoing accounts: when one is due, what came of the last one; see heartbeat.h. Who waits for
 * one by hand is in heartbeat_watch.c. */
#include "daemon/service/heartbeat.h"

#include "common/json_fields.h"
#include "common/times.h"
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/index.h"
#include "daemon/events.h"
#include "daemon/incoming/fetching.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/random.h"
#include "daemon/service/heartbeat_parts.h"
#include "daemon/service/own_message.h"
#include "daemon/settings.h"
#include "daemon/store/kept.h"
#include "daemon/store/own_mail.h"

#include <strings.h>

enum {
        PATIENCE = 30 * 60,        /* seconds for a round trip, */
        PATIENCE_MOST = 24 * 3600, /* and two looks of who receives it, at most this */
};

static struct subscription *subscription;

static const char *address_of(const struct account *account)
{
        return account->unreadable || !account_is_outgoing(account)
                       ? ""
                       : prop_text(&account->values, PROP_HEARTBEAT);
}

enum heartbeat_number heartbeat_number(const struct account *account)
{
        return (enum heartbeat_number)kept_number(account->name, KEPT_HEARTBEAT_STATE);
}

const char *heartbeat_state(const struct account *account)
{
        static const char *const words[] = { [HEARTBEAT_NONE] = "none",
                                             [HEARTBEAT_QUEUED] = "queued",
                                             [HEARTBEAT_SENT] = "sent",
                                             [HEARTBEAT_ARRIVED] = "arrived",
                                             [HEARTBEAT_MISSING] = "missing" };
        int64_t number = kept_number(account->name, KEPT_HEARTBEAT_STATE);

        return number >= 0 && number < (int64_t)count_of(words) ? words[number] : "none";
}

const struct account *heartbeat_next(const char *name)
{
        return index_next(INDEX_HEARTBEAT, "", 0, name);
}

bool heartbeat_is_missing(const struct account *account)
{
        return heartbeat_number(account) == HEARTBEAT_MISSING;
}

static void set_state(const struct account *account, enum heartbeat_number state)
{
        kept_set_number(account->name, KEPT_HEARTBEAT_STATE, state);
}

/* ---- who receives it ---- */

bool heartbeat_is_expected(const struct account *account, bool *anybody)
{
        const char *address = address_of(account);
        bool found = kept_number(account->name, KEPT_HEARTBEAT_RETURNS) &&
                     same_text(kept_text(account->name, KEPT_HEARTBEAT_TO), address);

        *anybody = index_count(INDEX_RECEIVES) != 0;
        return *anybody && (found || index_next(INDEX_RECEIVES, address, 0, ""));
}

/* The slowest look of those that may receive it, twice; worked out anew after accounts have changed. */
static int64_t patience(void)
{
        static int64_t slowest = -1;
        static unsigned as_of;

        if (slowest < 0 || as_of != index_changes()) {
                slowest = 0;
                for (size_t i = 0; i < index_count(INDEX_RECEIVES); i++) {
                        const struct account *other = index_item(INDEX_RECEIVES, i);
                        int64_t rate = prop_number(&other->values, PROP_POLL_RATE);
                        slowest = rate > slowest ? rate : slowest;
                }
        }
        as_of = index_changes();
        return PATIENCE + (2 * slowest < PATIENCE_MOST ? 2 * slowest : PATIENCE_MOST);
}

/* ---- telling ---- */

static json_t *data_of(const struct account *account)
{
        json_t *data = json_object();

        json_put_text(data, "to", address_of(account));
        json_put_text(data, "id", kept_text(account->name, KEPT_HEARTBEAT_ID));
        json_put_time(data, "sent", kept_number(account->name, KEPT_LAST_HEARTBEAT));
        return data;
}

char *heartbeat_warning(const struct account *account)
{
        char when[32];

        if (!address_of(account)[0] || !account_enabled(account) ||
            heartbeat_number(account) != HEARTBEAT_MISSING)
                return NULL;
        time_rfc3339((time_t)kept_number(account->name, KEPT_LAST_HEARTBEAT), when);
        return text_of("the heartbeat of %s to %s is missing: alarms may not arrive either: emailsecctl "
                       "account heartbeat %s",
                       when, address_of(account), account->name);
}

static void tell_missing(struct account *account, const char *why)
{
        struct subject subject = account_subject(account);
        struct cause cause;
        bool news = heartbeat_number(account) != HEARTBEAT_MISSING;

        set_state(account, HEARTBEAT_MISSING);
        (void)cause_set(&cause, CAUSE_TIMEOUT, "a heartbeat to %s %s", address_of(account), why);
        cause_remedy(&cause, "emailsecctl account heartbeat %s", account->name);
        heartbeat_watches_missed(account->name, &cause);
        if (!news)
                return;
        subject.cause = &cause;
        subject.queue_id = kept_text(account->name, KEPT_HEARTBEAT_ID);
        log_about(&subject, LOG_ERR, MSG_HEARTBEAT_MISSING, "%s: the heartbeat to %s %s", account->name,
                  address_of(account), why);
        json_t *data = data_of(account);
        json_put(data, "cause", cause_json(&cause));
        event_emit(EVENT_HEARTBEAT_MISSING, account->name, data, "%s: the heartbeat to %s %s", account->name,
                   address_of(account), why);
        manager_status_changed();
}

static void tell_arrived(struct account *account, const char *incoming)
{
        bool was_missing = kept_number(account->name, KEPT_HEARTBEAT_WAS_MISSING) != 0;
        int64_t seconds = kept_number(account->name, KEPT_LAST_HEARTBEAT_SECONDS);
        struct subject subject = account_subject(account);

        log_about(&subject, was_missing ? LOG_NOTICE : LOG_INFO, MSG_HEARTBEAT_ARRIVED,
                  "%s: the heartbeat to %s arrived at %s after %lld s%s", account->name, address_of(account),
                  incoming, (long long)seconds, was_missing ? "; the one before was missing" : "");
        json_t *data = data_of(account);
        json_put_text(data, "incoming", incoming);
        json_put(data, "seconds", json_integer(seconds));
        event_emit(EVENT_HEARTBEAT_ARRIVED, account->name, data,
                   "%s: the heartbeat to %s arrived after %lld s", account->name, address_of(account),
                   (long long)seconds);
        manager_status_changed();
}

/* ---- sending ---- */

struct beat {
        char *account;
        int64_t began;
};

static void queued(void *ctx, const char *id, const struct cause *cause)
{
        scoped(scoped_free) struct beat *beat = ctx;
        scoped(scoped_free) char *name = beat->account;
        struct account *account = account_named(name);
        struct subject subject = { .account = name, .cause = cause };

        if (!account || !address_of(account)[0])
                return;
        if (cause_happened(cause)) {
                log_about(&subject, LOG_WARNING, NULL, "%s: a heartbeat could not be queued: %s", name,
                          cause->text);
                tell_missing(account, "could not be queued");
                return;
        }
        kept_set_text(name, KEPT_HEARTBEAT_ID, id);
        heartbeat_watches_queued(name, id);
}

int heartbeat_send(struct account *account, struct cause *cause)
{
        const char *address = address_of(account);
        char token[OWN_MAIL_TOKEN + 1], date[48];
        int64_t now = (int64_t)loop_wall(), rate = prop_number(&account->values, PROP_HEARTBEAT_RATE);

        random_token(token, OWN_MAIL_TOKEN);
        time_rfc5322((time_t)now, date);
        scoped(scoped_free) char *subject =
                text_of("Heartbeat of %s on %s (%s)", account->name, settings_current()->hostname, token);
        scoped(scoped_free) char *message_id =
                text_of("<heartbeat.%s@%s>", token, settings_current()->hostname);
        scoped(scoped_free) char *body = text_of(
                "This is emailsecd on %s. Account %s sends mail: it sent this one at\n%s.\n\n"
                "It comes every %lld seconds, by the properties heartbeat and heartbeatRate of the account.\n"
                "That it comes shows that alarms would.\n",
                settings_current()->hostname, account->name, date, (long long)rate);
        const struct own_letter letter = { .to = address,
                                           .subject = subject,
                                           .message_id = message_id,
                                           .body = body,
                                           .what = "heartbeat",
                                           .lifetime = rate > PATIENCE ? rate : PATIENCE };
        struct beat *beat = new_object(struct beat);
        *beat = (struct beat){ .account = copy_text(account->name), .began = now };
        if (own_letter_send(account, &letter, queued, beat, cause) < 0) {
                free(beat->account);
                free(beat);
                return -1;
        }
        if (!same_text(kept_text(account->name, KEPT_HEARTBEAT_TO), address))
                kept_set_number(account->name, KEPT_HEARTBEAT_RETURNS, 0);
        kept_set_number(account->name, KEPT_HEARTBEAT_WAS_MISSING,
                        heartbeat_number(account) == HEARTBEAT_MISSING);
        kept_set_text(account->name, KEPT_HEARTBEAT_TO, address);
        kept_set_text(account->name, KEPT_HEARTBEAT_TOKEN, token);
        kept_set_text(account->name, KEPT_HEARTBEAT_ID, "");
        kept_set_number(account->name, KEPT_LAST_HEARTBEAT, now);
        own_mail_expect(account->name, token);
        if (heartbeat_number(account) != HEARTBEAT_MISSING)
                set_state(account, HEARTBEAT_QUEUED); /* a missing one is so until one arrives */
        return 0;
}

/* ---- time ---- */

/* True while one is out whose time is not over: the next one does not go before. */
static bool look_for_missing(struct account *account, int64_t age)
{
        enum heartbeat_number state = heartbeat_number(account);
        bool anybody;

        if (state != HEARTBEAT_QUEUED &&
            (state != HEARTBEAT_SENT || !heartbeat_is_expected(account, &anybody)))
                return false;
        if (age < patience())
                return true;
        tell_missing(account,
                     state == HEARTBEAT_QUEUED ? "has not been sent" : "was sent and has not arrived");
        return false;
}

static void look_at(struct account *account)
{
        int64_t now = (int64_t)loop_wall(), sent = kept_number(account->name, KEPT_LAST_HEARTBEAT);
        struct cause cause = { 0 };
        struct subject subject = account_subject(account);

        if (sent > now)
                kept_set_number(account->name, KEPT_LAST_HEARTBEAT,
                                sent = now); /* the clock was set back while nobody watched */
        bool same = same_text(kept_text(account->name, KEPT_HEARTBEAT_TO), address_of(account));
        if (!same)
                set_state(account, HEARTBEAT_NONE);
        bool early = same && now - sent < prop_number(&account->values, PROP_HEARTBEAT_RATE);
        if (look_for_missing(account, now - sent) || account_is_stopped(account) || early)
                return; /* of a stopped one its own status tells */
        if (heartbeat_send(account, &cause) < 0) {
                subject.cause = &cause;
                log_about(&subject, LOG_WARNING, NULL, "%s: no heartbeat can be sent: %s", account->name,
                          cause.text);
                kept_set_text(account->name, KEPT_HEARTBEAT_TO, address_of(account));
                kept_set_number(account->name, KEPT_LAST_HEARTBEAT, now);
                tell_missing(account, "could not be sent");
        }
}

void heartbeat_look(struct account *account)
{
        if (address_of(account)[0] && account->sender)
                look_at(account);
}

void heartbeats_clock_was_set(int64_t seconds)
{
        for (const struct account *account = heartbeat_next(""); account;
             account = heartbeat_next(account->name))
                if (kept_number(account->name, KEPT_LAST_HEARTBEAT))
                        kept_add(account->name, KEPT_LAST_HEARTBEAT, seconds);
}

/* ---- what comes of it ---- */

static bool heartbeat_received(const char *incoming, const char *message_id, const char *subject)
{
        bool newest = false;
        scoped(scoped_free) char *name = own_mail_of(message_id, subject, &newest);
        struct account *account = name ? account_named(name) : NULL;
        enum heartbeat_number state = account ? heartbeat_number(account) : HEARTBEAT_NONE;
        int64_t now = (int64_t)loop_wall();

        if (!name)
                return false;
        if (!account || !newest || state == HEARTBEAT_ARRIVED)
                return true; /* another copy, or one that another took the place of */
        kept_set_number(name, KEPT_LAST_HEARTBEAT_ARRIVED, now);
        kept_set_number(name, KEPT_LAST_HEARTBEAT_SECONDS, now - kept_number(name, KEPT_LAST_HEARTBEAT));
        kept_set_number(name, KEPT_HEARTBEAT_RETURNS, 1);
        if (state == HEARTBEAT_MISSING)
                kept_set_number(name, KEPT_HEARTBEAT_WAS_MISSING, 1);
        set_state(account, HEARTBEAT_ARRIVED);
        tell_arrived(account, incoming);
        heartbeat_watches_arrived(name, incoming);
        return true;
}

static void hear(void *ctx, struct event *event)
{
        const char *name = event_account(event);
        bool sent = event_kind(event) == EVENT_MAIL_SENT, failed = event_kind(event) == EVENT_MAIL_FAILED;
        struct account *account = sent || failed ? account_named(name) : NULL;

        (void)ctx;
        if (!account || !address_of(account)[0])
                return;
        const json_t *data = json_object_get(event_json(event), "data");
        const char *id = json_string_value(json_object_get(data, "id"));
        if (!id || !same_text(kept_text(name, KEPT_HEARTBEAT_ID), id))
                return;
        if (failed) {
                tell_missing(account, "was refused");
        } else {
                bool anybody, missing = heartbeat_number(account) == HEARTBEAT_MISSING;
                if (!missing ||
                    !heartbeat_is_expected(account, &anybody)) /* else it is so until one arrives */
                        set_state(account, HEARTBEAT_SENT);
                event_emit(EVENT_HEARTBEAT_SENT, name, data_of(account), "%s: the heartbeat to %s was sent",
                           name, address_of(account));
                heartbeat_watches_sent(name);
        }
}

/* ---- life ---- */

void heartbeat_account_added(const struct account *account)
{
        const char *token = kept_text(account->name, KEPT_HEARTBEAT_TOKEN);

        if (token && strlen(token) == OWN_MAIL_TOKEN && account_is_outgoing(account))
                own_mail_expect(account->name, token);
}

void heartbeat_forget(const char *account)
{
        struct cause gone;

        own_mail_forget(account);
        (void)cause_set(&gone, CAUSE_NOT_FOUND, "account %s has just been deleted", account);
        heartbeat_watches_missed(account, &gone);
}

void heartbeats_open(void)
{
        subscription = events_subscribe(NULL, hear, NULL);
        fetching_know_own_mail(heartbeat_received);
}

void heartbeats_close(void)
{
        fetching_know_own_mail(NULL);
        events_unsubscribe(take(subscription));
        own_mail_close();
}
