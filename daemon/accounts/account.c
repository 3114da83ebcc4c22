/* SPDX-License-Identifier: MIT */
/*
 * One account: status with its cause, and the clock of its mail; see account.h.
 *
 * The clock of an account is the wall clock less all seconds that it was stopped (KEPT_PAUSED_SECONDS), and
 * stands at KEPT_STOPPED_SINCE while it is. Both are on disk: a daemon that was down while an account waited
 * for a person finds it as old as it was. Lifetimes of messages are in this clock, so that nothing expires
 * because nobody decided.
 */
#include "daemon/accounts/account.h"

#include "common/json_fields.h"
#include "daemon/accounts/secrets.h"
#include "daemon/accounts/sorted.h"
#include "daemon/events.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/settings.h"
#include "daemon/store/kept.h"
#include "daemon/work_counts.h"

#include <stdio.h>

enum {
        WORD_LEAST = 2 * 60 * 60,             /* seconds beyond two rounds for which "ok" stands unproven */
        WORD_WITHOUT_RATE = 2 * 24 * 60 * 60, /* and where there are none */
};

static const struct account_observer *observer;

void account_observe(const struct account_observer *to)
{
        observer = to;
}

void account_tell_added(struct account *account)
{
        if (observer)
                observer->added(account);
}

void account_tell_changed(struct account *account)
{
        if (observer)
                observer->changed(account);
}

void account_tell_removed(struct account *account)
{
        if (observer)
                observer->removed(account);
}

void account_tell_status(struct account *account)
{
        if (observer)
                observer->status(account);
}

void account_free(struct account *account)
{
        if (!account)
                return;
        properties_done(&account->values);
        cause_keep(&account->cause, NULL);
        free(account->tls);
        free(account->name);
        free(account);
}

/* Whoever keeps a pointer beyond the present call holds it: runners, writes under way, probes. */
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

/* DOWN is not: a server that is away for longer than queueLifetime makes mail fail, as it should. */
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
        return kept_clock(account->name);
}

void account_clock_was_set(const struct account *account, int64_t seconds)
{
        int64_t since = kept_number(account->name, KEPT_STOPPED_SINCE);

        kept_add(account->name, KEPT_PAUSED_SECONDS, seconds);
        if (since)
                kept_set_number(account->name, KEPT_STOPPED_SINCE, since + seconds);
}

/* ---- those of each ---- */

static struct sorted with_status[ACCOUNT_CHALLENGE + 1];

size_t account_count_with(enum account_status status)
{
        return with_status[status].count;
}

struct account *account_with_status(enum account_status status, const char *name)
{
        return sorted_after(&with_status[status], name);
}

void account_count_in(struct account *account, bool in)
{
        if (account->counted == in)
                return;
        account->counted = in;
        if (in)
                (void)sorted_insert(&with_status[account->status], account);
        else
                (void)sorted_remove(&with_status[account->status], account);
}

static void set_status(struct account *account, enum account_status status)
{
        bool counted = account->counted;

        account_count_in(account, false);
        account->status = status;
        account_count_in(account, counted);
}

/* Starts or ends the standing still of the clock; kept on disk so that a restart does not age mail. */
static void set_clock_running(const struct account *account)
{
        int64_t now = (int64_t)loop_wall();
        int64_t since = kept_number(account->name, KEPT_STOPPED_SINCE);
        bool stopped = account_is_stopped(account);

        if (stopped && !since) {
                kept_set_number(account->name, KEPT_STOPPED_SINCE, now);
        } else if (!stopped && since && account->status != ACCOUNT_CONNECTING) {
                /* CONNECTING: not known yet whether it runs again; the clock stays as it is */
                kept_add(account->name, KEPT_PAUSED_SECONDS, now > since ? now - since : 0);
                kept_set_number(account->name, KEPT_STOPPED_SINCE, 0);
        }
}

struct account *account_new(struct property_values *values)
{
        struct account *account = new_object(struct account);

        account->cause = &cause_none;
        account->values = *values;
        *values = (struct property_values){ .kind = account->values.kind };
        account->name = copy_text(prop_text(&account->values, PROP_NAME));
        set_status(account, account_enabled(account) ? ACCOUNT_CONNECTING : ACCOUNT_DISABLED);
        set_clock_running(account);
        return account;
}

void account_cannot_be_read(struct account *account, const struct cause *cause)
{
        struct subject subject = { .account = account->name, .cause = cause };

        account->unreadable = true;
        set_status(account, ACCOUNT_FAULT);
        cause_keep(&account->cause, cause);
        set_clock_running(account);
        log_about(&subject, LOG_ERR, MSG_ACCOUNT_UNREADABLE, "account %s cannot be read: %s", account->name,
                  cause->text);
}

static void emit_status(struct account *account)
{
        json_t *data = json_object();
        bool ill = account->cause->code != CAUSE_NONE;

        json_put_text(data, "status", account_status_name(account->status));
        json_put(data, "cause", cause_json(ill ? account->cause : NULL));
        if (account->challenge_id[0])
                json_put_text(data, "challenge", account->challenge_id);
        event_emit(EVENT_ACCOUNT_STATUS, account->name, data, "%s: %s%s%s", account->name,
                   account_status_name(account->status), ill ? ": " : "", ill ? account->cause->text : "");
        manager_status_changed();
        account_tell_status(account);
}

static void report_ok(struct account *account)
{
        enum account_status before = account->status;

        if (before == ACCOUNT_OK)
                return;
        set_status(account, ACCOUNT_OK);
        cause_keep(&account->cause, NULL);
        account->challenge_id[0] = '\0';
        set_clock_running(account);
        struct subject subject = account_subject(account);
        if (account->tls) {
                subject.tls_version = account->tls->version;
                subject.tls_cipher = account->tls->cipher;
        }
        log_about(&subject, before == ACCOUNT_CONNECTING ? LOG_INFO : LOG_NOTICE, MSG_ACCOUNT_UP,
                  "account %s works%s", account->name, before == ACCOUNT_CONNECTING ? "" : " again");
        emit_status(account);
}

void account_has_worked(struct account *account)
{
        kept_set_number(account->name, KEPT_LAST_POLL_SUCCESS, (int64_t)loop_wall());
        report_ok(account);
}

void account_was_checked(const struct account *account)
{
        kept_set_number(account->name, KEPT_LAST_CHECKED, (int64_t)loop_wall());
}

void account_count_failed(const char *name, const char *why)
{
        kept_add(name, KEPT_NUMBER_DISCARDED, 1);
        work_counts.failed++;
        kept_set_number(name, KEPT_LAST_DISCARD, (int64_t)loop_wall());
        kept_set_text(name, KEPT_LAST_DISCARD_CAUSE, why);
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
        int64_t age = (int64_t)loop_wall() - kept_number(account->name, KEPT_LAST_POLL_SUCCESS);

        if (account->status != ACCOUNT_OK || age < word_lasts(account))
                return;
        set_status(account, ACCOUNT_CONNECTING);
        emit_status(account);
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

void account_report_failure(struct account *account, const struct cause *cause, const char *challenge_id)
{
        enum account_status status = status_of(cause);
        bool news = status != account->status || cause->code != account->cause->code ||
                    (challenge_id && strcmp(challenge_id, account->challenge_id) != 0);

        struct cause why = *cause;
        cause_of_account(&why, account->name);
        set_status(account, status);
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
        else if (status == ACCOUNT_FAULT && cause->code == CAUSE_SECRET &&
                 secret_is_missing(&account->values))
                log_about(&subject, LOG_NOTICE, MSG_ACCOUNT_FAULT,
                          "account %s waits for its password or token: %s", account->name,
                          cause->text); /* as between adding it and setting that */
        else if (status == ACCOUNT_FAULT)
                log_about(&subject, LOG_ERR, MSG_ACCOUNT_FAULT, "account %s needs a person: %s",
                          account->name, cause->text);
        emit_status(account); /* a challenge has its own journal message, by service.c */
}

void account_start_over(struct account *account)
{
        enum account_status before = account->status;

        if (account->unreadable)
                return;
        set_status(account, account_enabled(account) ? ACCOUNT_CONNECTING : ACCOUNT_DISABLED);
        cause_keep(&account->cause, NULL);
        account->challenge_id[0] = '\0';
        set_clock_running(account);
        if (before != account->status)
                emit_status(account);
}

/* By what is configured, not by how the account is: mail for one in fault waits for its repair. */
int account_takes_mail(const struct account *account, struct cause *cause)
{
        if (account->unreadable) {
                *cause = *account->cause;
                return -1;
        }
        if (!account_is_outgoing(account)) {
                (void)cause_about(cause, CAUSE_INVALID, "account", "account %s is incoming: it sends no mail",
                                  account->name);
                cause_remedy(cause, "name an outgoing account: emailsecctl account list");
                return -1;
        }
        if (account_enabled(account) || prop_bool(&account->values, PROP_ALLOW_DISABLED_QUEUING))
                return 0;
        (void)cause_set(cause, CAUSE_DISABLED,
                        "account %s is disabled and takes no mail (allowDisabledQueuing)", account->name);
        cause_remedy(cause, "emailsecctl account enable %s", account->name);
        return -1;
}

struct flood_rules account_flood_rules(const struct account *account)
{
        const struct property_values *values = &account->values;

        return (struct flood_rules){
                .most = prop_number(values, PROP_MAX_PER_RECIPIENT),
                .from = prop_own_address(values),
                .hostname = settings_current()->hostname,
                .lifetime = prop_number(values, PROP_QUEUE_LIFETIME),
        };
}

struct notice_rules account_notice_rules(const struct account *account)
{
        const struct property_values *values = &account->values;

        return (struct notice_rules){
                .to = prop_text(values, PROP_NOTIFY_FAILED),
                .from = prop_text(values, PROP_FROM),
                .hostname = settings_current()->hostname,
                .server = prop_text(values, PROP_HOSTNAME),
                .lifetime = prop_number(values, PROP_QUEUE_LIFETIME),
        };
}

void account_put_tls(struct account *account, const struct channel_info *info, int64_t handshake_ms)
{
        if (!info) {
                free(take(account->tls));
                return;
        }
        if (!account->tls)
                account->tls = new_object(struct channel_info);
        *account->tls = *info;
        account->handshakes++;
        account->handshakes_resumed += info->resumed;
        account->handshake_ms += (uint64_t)(handshake_ms > 0 ? handshake_ms : 0);
        work_count_handshake(handshake_ms);
}
