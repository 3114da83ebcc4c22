/* SPDX-License-Identifier: MIT */
/* One account: status with its cause, the clock of its mail, and how it is shown; see account.h. */
#include "daemon/accounts/account.h"

#include "common/json_fields.h"
#include "daemon/accounts/secrets.h"
#include "daemon/events.h"
#include "daemon/incoming/receiver.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/outgoing/sender.h"
#include "daemon/service/heartbeat.h"
#include "daemon/service/service.h"
#include "daemon/service/waiting.h"
#include "daemon/store/missing_table.h"
#include "daemon/store/queue_table.h"
#include "daemon/store/seen_table.h"

#include <stdio.h>

/* Durable names of the clock's two values (store/seen_table facts). */
#define FACT_PAUSED        "pausedSeconds"
#define FACT_STOPPED_SINCE "stoppedSince"

#define FACT_WORKED        "lastPollSuccess"
#define FACT_CHECKED       "lastChecked"

enum {
        HANDED_BACK_SHOWN = 7 * 24 * 60 * 60, /* seconds that a message refused by deliverTo is warned of */
        WORD_LEAST = 2 * 60 * 60,             /* seconds beyond two rounds for which "ok" stands unproven */
        WORD_WITHOUT_RATE = 2 * 24 * 60 * 60, /* and where there are none */
};

void account_free(struct account *account)
{
        if (!account)
                return;
        properties_done(&account->values);
        cause_keep(&account->cause, NULL);
        free(account->name);
        free(account);
}

struct account *account_hold(struct account *account)
{
        account->users++;
        return account;
}

void account_release(struct account *account)
{
        if (--account->users == 0 && account->deleted)
                account_free(account);
}

const char *account_status_name(enum account_status status)
{
        switch (status) {
        case ACCOUNT_OK:
                return "ok";
        case ACCOUNT_DISABLED:
                return "disabled";
        case ACCOUNT_CONNECTING:
                return "connecting";
        case ACCOUNT_DOWN:
                return "down";
        case ACCOUNT_FAULT:
                return "fault";
        case ACCOUNT_CHALLENGE:
                return "challenge";
        }
        return "fault";
}

struct subject account_subject(const struct account *account)
{
        return (struct subject){
                .account = account->name,
                .direction = account_is_outgoing(account) ? "outgoing" : "incoming",
                .host = prop_text(&account->values, PROP_HOSTNAME),
                .port = port_in_use(&account->values),
        };
}

bool account_is_stopped(const struct account *account)
{
        switch (account->status) {
        case ACCOUNT_DISABLED:
        case ACCOUNT_FAULT:
        case ACCOUNT_CHALLENGE:
                return true;
        case ACCOUNT_OK:
        case ACCOUNT_CONNECTING:
        case ACCOUNT_DOWN:
                return false;
        }
        return false;
}

int64_t account_clock(const struct account *account)
{
        int64_t now = (int64_t)loop_wall();
        int64_t since = fact_number(account->name, FACT_STOPPED_SINCE);
        int64_t standing = since && now > since ? now - since : 0;

        return now - fact_number(account->name, FACT_PAUSED) - standing;
}

void account_clock_was_set(const struct account *account, int64_t seconds)
{
        int64_t since = fact_number(account->name, FACT_STOPPED_SINCE);

        fact_add(account->name, FACT_PAUSED, seconds);
        if (since)
                fact_set_number(account->name, FACT_STOPPED_SINCE, since + seconds);
}

/* Starts or ends the standing still of the clock; kept on disk so that a restart does not age mail. */
static void set_clock_running(const struct account *account)
{
        int64_t now = (int64_t)loop_wall();
        int64_t since = fact_number(account->name, FACT_STOPPED_SINCE);
        bool stopped = account_is_stopped(account);

        if (stopped && !since) {
                fact_set_number(account->name, FACT_STOPPED_SINCE, now);
        } else if (!stopped && since && account->status != ACCOUNT_CONNECTING) {
                /* CONNECTING: not known yet whether it runs again; the clock stays as it is */
                fact_add(account->name, FACT_PAUSED, now > since ? now - since : 0);
                fact_set_number(account->name, FACT_STOPPED_SINCE, 0);
        }
}

struct account *account_new(struct property_values *values)
{
        struct account *account = new_object(struct account);

        account->cause = &cause_none;
        account->values = *values;
        *values = (struct property_values){ .kind = account->values.kind };
        account->name = copy_text(prop_text(&account->values, PROP_NAME));
        account->status = account_enabled(account) ? ACCOUNT_CONNECTING : ACCOUNT_DISABLED;
        set_clock_running(account);
        return account;
}

void account_cannot_be_read(struct account *account, const struct cause *cause)
{
        struct subject subject = { .account = account->name, .cause = cause };

        account->unreadable = true;
        account->status = ACCOUNT_FAULT;
        cause_keep(&account->cause, cause);
        set_clock_running(account);
        log_about(&subject, LOG_ERR, MSG_ACCOUNT_UNREADABLE, "account %s cannot be read: %s", account->name, cause->text);
}

static void emit_status(struct account *account)
{
        json_t *data = json_object();
        bool ill = account->cause->code != CAUSE_NONE;

        json_put_text(data, "status", account_status_name(account->status));
        json_put(data, "cause", cause_json(ill ? account->cause : NULL));
        if (account->challenge_id[0])
                json_put_text(data, "challenge", account->challenge_id);
        event_emit("account.status", account->name, data, "%s: %s%s%s", account->name,
                   account_status_name(account->status), ill ? ": " : "", ill ? account->cause->text : "");
        station_status_changed();
        waiting_look(account);
}

void account_is_well(struct account *account)
{
        enum account_status before = account->status;

        if (before == ACCOUNT_OK)
                return;
        account->status = ACCOUNT_OK;
        cause_keep(&account->cause, NULL);
        account->challenge_id[0] = '\0';
        set_clock_running(account);
        struct subject subject = account_subject(account);
        if (account->has_tls) {
                subject.tls_version = account->tls.version;
                subject.tls_cipher = account->tls.cipher;
        }
        log_about(&subject, before == ACCOUNT_CONNECTING ? LOG_INFO : LOG_NOTICE, MSG_ACCOUNT_UP,
                  "account %s works%s", account->name, before == ACCOUNT_CONNECTING ? "" : " again");
        emit_status(account);
}

void account_has_worked(struct account *account)
{
        fact_set_number(account->name, FACT_WORKED, (int64_t)loop_wall());
        account_is_well(account);
}

void account_was_checked(const struct account *account)
{
        fact_set_number(account->name, FACT_CHECKED, (int64_t)loop_wall());
}

/* Seconds after which somebody should have shown that it works. */
static int64_t word_lasts(const struct account *account)
{
        enum property_id rate = account_is_outgoing(account) ? PROP_CHECK_RATE : PROP_POLL_RATE;
        int64_t seconds = prop_number(&account->values, rate);

        return seconds ? 2 * seconds + WORD_LEAST : WORD_WITHOUT_RATE;
}

void account_doubt_word(struct account *account)
{
        int64_t age = (int64_t)loop_wall() - fact_number(account->name, FACT_WORKED);

        if (account->status != ACCOUNT_OK || age < word_lasts(account))
                return;
        account->status = ACCOUNT_CONNECTING;
        emit_status(account);
}

void account_tested(struct account *account, unsigned generation, const struct cause *why, const char *challenge_id)
{
        if (account->deleted || account->unreadable || account->generation != generation)
                return;
        if (account->sender)
                sender_tested(account->sender, why, challenge_id);
        else if (account->receiver)
                receiver_tested(account->receiver, why);
}

/* "5 minutes ago". */
static void ago(int64_t seconds, char *to, size_t size)
{
        static const struct {
                int64_t seconds;
                const char *one;
        } units[] = { { 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" } };
        size_t i = 0;

        while (i + 1 < count_of(units) && seconds < units[i].seconds)
                i++;
        int64_t number = seconds > 0 ? seconds / units[i].seconds : 0;
        (void)snprintf(to, size, "%lld %s%s ago", (long long)number, units[i].one, number == 1 ? "" : "s");
}

/* What the status rests on. */
static char *status_words(const struct account *account)
{
        int64_t worked = fact_number(account->name, FACT_WORKED);
        bool unknown = account->status == ACCOUNT_CONNECTING;
        const char *lacks = unknown && secret_is_missing(&account->values) ? "; no password or token is stored" : "";
        char when[48];

        if (!worked)
                return text_of("%s%s", unknown || account->status == ACCOUNT_DISABLED ? "not used yet" : "has not worked yet", lacks);
        ago((int64_t)loop_wall() - worked, when, sizeof when);
        return text_of("last worked %s%s", when, lacks);
}

static enum account_status status_of(const struct cause *cause)
{
        switch (cause_class(cause)) {
        case CLASS_DOWN:
                return ACCOUNT_DOWN;
        case CLASS_CHALLENGE:
                return ACCOUNT_CHALLENGE;
        case CLASS_NONE:
        case CLASS_FAULT:
                return ACCOUNT_FAULT;
        }
        return ACCOUNT_FAULT;
}

void account_is_ill(struct account *account, const struct cause *cause, const char *challenge_id)
{
        enum account_status status = status_of(cause);
        bool news = status != account->status || cause->code != account->cause->code ||
                    (challenge_id && strcmp(challenge_id, account->challenge_id) != 0);

        struct cause why = *cause;
        cause_of_account(&why, account->name);
        account->status = status;
        cause_keep(&account->cause, &why);
        (void)snprintf(account->challenge_id, sizeof account->challenge_id, "%s",
                       challenge_id ? challenge_id : "");
        set_clock_running(account);
        if (!news)
                return;
        struct subject subject = account_subject(account);
        subject.cause = account->cause;
        subject.challenge_id = account->challenge_id[0] ? account->challenge_id : NULL;
        if (status == ACCOUNT_DOWN)
                log_about(&subject, LOG_WARNING, MSG_ACCOUNT_DOWN, "account %s is down: %s", account->name,
                          cause->text);
        else if (status == ACCOUNT_FAULT && cause->code == CAUSE_SECRET && secret_is_missing(&account->values))
                log_about(&subject, LOG_NOTICE, MSG_ACCOUNT_FAULT, "account %s waits for its password or token: %s", account->name,
                          cause->text); /* as between adding it and setting that */
        else if (status == ACCOUNT_FAULT)
                log_about(&subject, LOG_ERR, MSG_ACCOUNT_FAULT, "account %s needs a person: %s", account->name,
                          cause->text);
        emit_status(account); /* a challenge has its own journal message, by service.c */
}

void account_start_over(struct account *account)
{
        enum account_status before = account->status;

        if (account->unreadable)
                return;
        account->status = account_enabled(account) ? ACCOUNT_CONNECTING : ACCOUNT_DISABLED;
        cause_keep(&account->cause, NULL);
        account->challenge_id[0] = '\0';
        set_clock_running(account);
        if (before != account->status)
                emit_status(account);
}

int account_takes_mail(const struct account *account, struct cause *cause)
{
        if (account->unreadable) {
                *cause = *account->cause;
                return -1;
        }
        if (!account_is_outgoing(account))
                return cause_about(cause, CAUSE_INVALID, "account", "account %s is incoming: it sends no mail",
                                   account->name);
        if (account_enabled(account) || prop_bool(&account->values, PROP_ALLOW_DISABLED_QUEUING))
                return 0;
        (void)cause_set(cause, CAUSE_DISABLED, "account %s is disabled and takes no mail (allowDisabledQueuing)",
                        account->name);
        cause_remedy(cause, "emailsecctl account enable %s", account->name);
        return -1;
}

struct notice_rules account_notice_rules(const struct account *account)
{
        const struct property_values *values = &account->values;

        return (struct notice_rules){
                .to = prop_text(values, PROP_NOTIFY_FAILED),
                .from = prop_text(values, PROP_FROM),
                .hostname = station_settings()->hostname,
                .server = prop_text(values, PROP_HOSTNAME),
                .lifetime = prop_number(values, PROP_QUEUE_LIFETIME),
        };
}

void account_link_reached(struct account *account, const struct link *link, enum link_mark mark)
{
        bool plain = !prop_bool(&account->values, PROP_USE_SSL) && !prop_bool(&account->values, PROP_USE_STARTTLS);
        struct channel_info info;
        int64_t ms = link_times(link).handshake;

        if (mark == LINK_CONNECTED && plain)
                account->has_tls = false;
        if (mark != LINK_SECURED || !link_tls_info(link, &info))
                return;
        account->has_tls = true;
        account->tls = info;
        account->handshakes++;
        account->handshakes_resumed += info.resumed;
        account->handshake_ms += (uint64_t)(ms > 0 ? ms : 0);
}

static json_t *tls_json(const struct account *account)
{
        if (!account->has_tls)
                return json_null();
        json_t *tls = json_object();
        json_put_text(tls, "version", account->tls.version);
        json_put_text(tls, "cipher", account->tls.cipher);
        json_put_text(tls, "fingerprintSha256", account->tls.fingerprint);
        json_put_text(tls, "verifiedBy", account->tls.verified_by);
        json_put_time(tls, "notAfter", (int64_t)account->tls.not_after);
        return tls;
}

static json_t *text_fact(const struct account *account, const char *name)
{
        const char *text = fact_text(account->name, name);

        return text ? json_string(text) : json_null();
}

/* Read-only properties that are a number or a time under their own name in the facts. */
static json_t *fact_json(const struct account *account, const struct property *property)
{
        if (property->type == TYPE_TIME) {
                json_t *holder = json_object();
                json_put_time(holder, "time", fact_number(account->name, property->name));
                json_t *time = json_incref(json_object_get(holder, "time"));
                json_decref(holder);
                return time;
        }
        return json_integer(fact_number(account->name, property->name));
}

static json_t *password_source(const struct account *account)
{
        char *source = secret_source(account->name, "password");
        json_t *text = json_string(source);

        free(source);
        return text;
}

static uint64_t queue_size(const char *account)
{
        struct queue_counts counts = queue_counts(account);
        uint64_t size = 0;

        for (int state = 0; state < QUEUE_STATES; state++)
                if (state != QUEUE_SENT && state != QUEUE_FAILED)
                        size += counts.messages[state];
        return size;
}

static json_t *read_only_json(const struct account *account, enum property_id id)
{
        const struct property *property = &properties[id];

        if (id == PROP_STATUS)
                return json_string(account_status_name(account->status));
        if (id == PROP_FAULT_CAUSE)
                return account->cause->code ? json_string(account->cause->text) : json_null();
        if (id == PROP_STATUS_TEXT) {
                scoped(scoped_free) char *words = status_words(account);
                return json_string(words);
        }
        if (id == PROP_WAITING_FOR) {
                struct waiting waiting;
                waiting_of(account, &waiting);
                return waiting_json(&waiting);
        }
        if (id == PROP_TLS)
                return tls_json(account);
        if (id == PROP_PASSWORD_SOURCE)
                return password_source(account);
        if (id == PROP_QUEUE_SIZE)
                return json_integer((json_int_t)queue_size(account->name));
        if (id == PROP_NUMBER_SENT_TODAY)
                return json_integer(station_sent_today(account));
        if (id == PROP_HEARTBEAT_STATE)
                return json_string(heartbeat_state(account));
        if (id == PROP_LAST_POLL_FAILURE_CAUSE || id == PROP_LAST_DISCARD_CAUSE)
                return text_fact(account, property->name);
        return fact_json(account, property);
}

json_t *account_json(const struct account *account)
{
        json_t *all = properties_json(&account->values, false);

        for (int id = 0; id < PROPERTIES; id++) {
                const struct property *property = &properties[id];
                if (property->access == ACCESS_READ && (property->kinds & (unsigned)account->values.kind))
                        json_put(all, property->name, read_only_json(account, (enum property_id)id));
        }
        json_put(all, "cause", cause_json(account->cause->code ? account->cause : NULL));
        if (account->challenge_id[0])
                json_put_text(all, "challenge", account->challenge_id);
        return all;
}

json_t *account_warnings(const struct account *account)
{
        json_t *warnings = account->unreadable ? json_array() : properties_warnings(&account->values);

        if (account->has_tls && same_text(account->tls.verified_by, "allowedHost") &&
            (prop_bool(&account->values, PROP_USE_SSL) || prop_bool(&account->values, PROP_USE_STARTTLS)))
                (void)json_array_append_new(
                        warnings, json_string("encrypted, identity by exemption: import the root certificate "
                                              "(emailsecctl trust import FILE), then delete the exemption"));
        if (prop_is(&account->values, WORD_DELETE) && fact_number(account->name, FACT_NO_EXPUNGE))
                (void)json_array_append_new(
                        warnings, json_string("the server has no UIDPLUS: what is deleted there is flagged as deleted and "
                                              "left, for a mail program to expunge"));
        int64_t missing = fact_number(account->name, FACT_MISSING);
        scoped(scoped_free) char *lacking =
                missing ? text_of("%lld message%s cannot be had from the server, and %s asked for again: emailsecctl inbox missing %s",
                                  (long long)missing, missing == 1 ? "" : "s", missing == 1 ? "is" : "are", account->name)
                        : NULL;
        if (lacking)
                (void)json_array_append_new(warnings, json_string(lacking));
        int64_t unnamed = fact_number(account->name, FACT_NAMELESS);
        scoped(scoped_free) char *nameless =
                unnamed ? text_of("the server %s %lld of its messages: they are left there",
                                  prop_is(&account->values, WORD_POP3) ? "gives no unique id (UIDL) for" : "does not list",
                                  (long long)unnamed)
                        : NULL;
        if (nameless)
                (void)json_array_append_new(warnings, json_string(nameless));
        int64_t back = fact_number(account->name, "lastHandedBack");
        scoped(scoped_free) char *refused =
                back && loop_wall() - back < HANDED_BACK_SHOWN
                        ? text_of("%lld received messages were refused by the socket of deliverTo so far and are in the "
                                  "inbox here: emailsecctl inbox list %s",
                                  (long long)fact_number(account->name, "handedBack"), account->name)
                        : NULL;
        if (refused)
                (void)json_array_append_new(warnings, json_string(refused));
        scoped(scoped_free) char *beat = heartbeat_warning(account);
        if (beat)
                (void)json_array_append_new(warnings, json_string(beat));
        scoped(scoped_free) char *pace = account->sender ? sender_pace(account->sender) : NULL;
        if (pace)
                (void)json_array_append_new(warnings, json_string(pace));
        if (account->receiver)
                receiver_warnings(account->receiver, warnings);
        return warnings;
}
