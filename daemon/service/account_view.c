/* SPDX-License-Identifier: MIT */
/* An account as `account show` and `status` have it; see account_view.h. */
#include "daemon/service/account_view.h"

#include "common/json_fields.h"
#include "daemon/accounts/quota.h"
#include "daemon/accounts/secrets.h"
#include "daemon/incoming/receiver.h"
#include "daemon/loop.h"
#include "daemon/outgoing/sender.h"
#include "daemon/service/heartbeat.h"
#include "daemon/service/waiting.h"
#include "daemon/store/kept.h"
#include "daemon/store/missing_table.h"
#include "daemon/store/queue_table.h"

#include <stdio.h>

enum { HANDED_BACK_SHOWN = 7 * 24 * 60 * 60 }; /* seconds that a message refused by deliverTo is warned of */

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
        int64_t worked = kept_number(account->name, KEPT_LAST_POLL_SUCCESS);
        bool unknown = account->status == ACCOUNT_CONNECTING;
        const char *lacks =
                unknown && secret_is_missing(&account->values) ? "; no password or token is stored" : "";
        char when[48];

        if (!worked)
                return text_of("%s%s",
                               unknown || account->status == ACCOUNT_DISABLED ? "not used yet"
                                                                              : "has not worked yet",
                               lacks);
        ago((int64_t)loop_wall() - worked, when, sizeof when);
        return text_of("last worked %s%s", when, lacks);
}

/* Of the last session that had TLS; null before the first one and after one in the clear. */
static json_t *tls_json(const struct account *account)
{
        if (!account->tls)
                return json_null();
        json_t *tls = json_object();
        json_put_text(tls, "version", account->tls->version);
        json_put_text(tls, "cipher", account->tls->cipher);
        json_put_text(tls, "fingerprintSha256", account->tls->fingerprint);
        json_put_text(tls, "verifiedBy", account->tls->verified_by);
        json_put_time(tls, "notAfter", (int64_t)account->tls->not_after);
        return tls;
}

static json_t *kept_text_json(const struct account *account, enum kept value)
{
        const char *text = kept_text(account->name, value);

        return text ? json_string(text) : json_null();
}

/* Read-only properties that are a number or a time, kept under their own name. */
static json_t *kept_number_json(const struct account *account, const struct property *property)
{
        int64_t number = kept_number(account->name, kept_named(property->name));

        if (property->type == TYPE_TIME) {
                json_t *holder = json_object();
                json_put_time(holder, "time", number);
                json_t *time = json_incref(json_object_get(holder, "time"));
                json_decref(holder);
                return time;
        }
        return json_integer(number);
}

/* Where it comes from, never what it is. */
static json_t *password_source(const struct account *account)
{
        char *source = secret_source(account->name, "password");
        json_t *text = json_string(source);

        free(source);
        return text;
}

/* A read-only property that is worked out; NULL: it is kept under its own name (kept.h). */
static json_t *worked_out_json(const struct account *account, enum property_id id)
{
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
                return json_integer((json_int_t)queue_waiting(account->name));
        if (id == PROP_NUMBER_SENT_TODAY)
                return json_integer(quota_sent_today(account));
        if (id == PROP_HEARTBEAT_STATE)
                return json_string(heartbeat_state(account));
        return NULL;
}

/* Each read-only property of the table comes here. */
static json_t *read_only_json(const struct account *account, enum property_id id)
{
        const struct property *property = &properties[id];
        json_t *worked_out = worked_out_json(account, id);

        if (worked_out)
                return worked_out;
        if (id == PROP_LAST_POLL_FAILURE_CAUSE || id == PROP_LAST_DISCARD_CAUSE)
                return kept_text_json(account, kept_named(property->name));
        return kept_number_json(account, property);
}

/* The caller owns it. Nothing here waits for the disk: kept values and counts are in memory, so that a
 * status of many accounts is cheap. */
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

/* ---- warnings: sentences about what is amiss although the account works; the caller frees, NULL: it is not
 * ---- */

/* As long as the exemption is in use: it is meant to be a bridge until the anchor is imported. */
static char *warn_of_exemption(const struct account *account)
{
        bool secured =
                prop_bool(&account->values, PROP_USE_SSL) || prop_bool(&account->values, PROP_USE_STARTTLS);

        if (!account->tls || !secured || !same_text(account->tls->verified_by, "allowedHost"))
                return NULL;
        return copy_text("encrypted, identity by exemption: import the root certificate (emailsecctl trust "
                         "import FILE), then: emailsecctl allowed prune");
}

static char *warn_of_expunge(const struct account *account)
{
        if (!prop_is(&account->values, WORD_DELETE) || !kept_number(account->name, KEPT_NO_UID_EXPUNGE))
                return NULL;
        return copy_text("the server has no UIDPLUS: what is deleted there is flagged as deleted and left, "
                         "for a mail program "
                         "to expunge");
}

static char *warn_of_missing(const struct account *account)
{
        int64_t missing = kept_number(account->name, KEPT_MISSING);

        if (!missing)
                return NULL;
        return text_of("%lld message%s cannot be had from the server, and %s asked for again: emailsecctl "
                       "inbox missing %s",
                       (long long)missing, missing == 1 ? "" : "s", missing == 1 ? "is" : "are",
                       account->name);
}

static char *warn_of_nameless(const struct account *account)
{
        int64_t nameless = kept_number(account->name, KEPT_NAMELESS);

        if (!nameless)
                return NULL;
        return text_of("the server %s %lld of its messages: they are left there",
                       prop_is(&account->values, WORD_POP3) ? "gives no unique id (UIDL) for"
                                                            : "does not list",
                       (long long)nameless);
}

/* The count goes on; the warning ends a week after the last one. */
static char *warn_of_handed_back(const struct account *account)
{
        int64_t back = kept_number(account->name, KEPT_LAST_HANDED_BACK);

        if (!back || loop_wall() - back >= HANDED_BACK_SHOWN)
                return NULL;
        return text_of("%lld received messages were refused by deliverTo so far and are in the inbox here: "
                       "emailsecctl inbox list %s",
                       (long long)kept_number(account->name, KEPT_HANDED_BACK), account->name);
}

static char *warn_of_pace(const struct account *account)
{
        return account->sender ? sender_pace(account->sender) : NULL;
}

json_t *account_warnings(const struct account *account)
{
        static char *(*const kinds[])(const struct account *account) = {
                warn_of_exemption,   warn_of_expunge,   warn_of_missing, warn_of_nameless,
                warn_of_handed_back, heartbeat_warning, warn_of_pace,
        };
        json_t *warnings = account->unreadable ? json_array() : properties_warnings(&account->values);

        for (size_t i = 0; i < count_of(kinds); i++) {
                scoped(scoped_free) char *text = kinds[i](account);
                if (text)
                        (void)json_array_append_new(warnings, json_string(text));
        }
        if (account->receiver)
                receiver_warnings(account->receiver, warnings);
        return warnings;
}
