/* SPDX-License-Identifier: MIT */
/* What the station shows of itself: status with advice, the line for the service manager, the audit. */
#include "common/json_fields.h"
#include "common/times.h"
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/secrets.h"
#include "daemon/incoming/subscribers.h"
#include "daemon/local_names.h"
#include "daemon/loop.h"
#include "daemon/service/account_view.h"
#include "daemon/service/audit_trail.h"
#include "daemon/service/heartbeat.h"
#include "daemon/service/service.h"
#include "daemon/service/soon.h"
#include "daemon/service/waiting.h"
#include "daemon/session/token.h"
#include "daemon/settings.h"
#include "daemon/store/kept.h"
#include "daemon/store/queue_table.h"
#include "daemon/store/reserve.h"
#include "daemon/submission_counts.h"
#include "daemon/tls/allowed.h"
#include "daemon/tls/trust.h"

#include <stdio.h>

static time_t started_at;

static json_t *queue_json(const char *account)
{
        struct queue_counts counts = queue_counts(account);
        json_t *queue = json_object();

        for (int state = 0; state < QUEUE_STATES; state++)
                json_put(queue, queue_state_name((enum queue_state)state),
                         json_integer((json_int_t)counts.messages[state]));
        json_put(queue, "bytes", json_integer((json_int_t)counts.bytes));
        return queue;
}

static void advise(json_t *advice, const char *format, ...) printf_like(2, 3);
static void advise(json_t *advice, const char *format, ...)
{
        char text[900];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof text, format, args);
        va_end(args);
        json_t *one = json_string(text);
        if (one)
                (void)json_array_append_new(advice, one);
}

/* Mail that waits although nothing is wrong with the account. */
static void advise_waiting(json_t *advice, const struct account *account)
{
        struct waiting waiting;

        waiting_of(account, &waiting);
        scoped(scoped_free) char *words = waiting_words(&waiting);
        if (waiting.messages && account->status == ACCOUNT_DISABLED)
                advise(advice, "%s: %s: emailsecctl account enable %s", account->name, words, account->name);
        else if (waiting.reason == WAITING_FOR_PLACE && waiting.since_ms >= PLACE_TOLD_MS)
                advise(advice, "%s: %s: raise it in emailsecd.conf, then: emailsecctl reload", account->name,
                       words);
        else if (waiting.reason == WAITING_FOR_DAILY_LIMIT)
                advise(advice, "%s: %s: emailsecctl account set %s maxSendablePerDay=NUMBER", account->name,
                       words, account->name);
}

/* Mail to one recipient comes, or came within the hour, faster than it is sent. */
static void advise_flood(json_t *advice, const struct account *account)
{
        int64_t most = prop_number(&account->values, PROP_MAX_PER_RECIPIENT),
                last = kept_number(account->name, KEPT_LAST_FLOOD);
        const char *recipient = kept_text(account->name, KEPT_FLOOD_RECIPIENT);

        if (!account_is_outgoing(account) || !most || !last || (int64_t)loop_wall() - last >= 3600)
                return;
        advise(advice,
               "%s: more than %lld messages an hour come for %s (maxPerRecipient) and are gathered into "
               "digests, %lld so far: see "
               "what sends them: emailsecctl queue list %s",
               account->name, (long long)most, recipient ? recipient : "one recipient",
               (long long)kept_number(account->name, KEPT_NUMBER_GATHERED), account->name);
}

static void advise_account(json_t *advice, const struct account *account)
{
        switch (account->status) {
        case ACCOUNT_CHALLENGE:
                advise(advice, "%s: a certificate waits for a decision: emailsecctl challenge show %s",
                       account->name, account->challenge_id);
                break;
        case ACCOUNT_FAULT:
        case ACCOUNT_DOWN:
                advise(advice, "%s: %s: %s", account->name, account->cause->text,
                       cause_remedy_of(account->cause));
                break;
        case ACCOUNT_OK:
        case ACCOUNT_DISABLED:
        case ACCOUNT_CONNECTING:
                advise_waiting(advice, account);
                break;
        }
        advise_flood(advice, account);
        json_t *warnings = account_warnings(account);
        size_t index;
        json_t *warning;
        json_array_foreach(warnings, index, warning)
                advise(advice, "%s: %s", account->name, json_string_value(warning));
        json_decref(warnings);
}

static void push_cause(json_t *list, const struct cause *cause)
{
        if (cause)
                (void)json_array_append_new(list, cause_json(cause));
}

static void advise_sentence(void *advice, const char *sentence)
{
        advise(advice, "%s", sentence);
}

static const struct account *any_outgoing(void)
{
        const struct account *account = accounts_first();

        while (account && !account_is_outgoing(account))
                account = account->next;
        return account;
}

static void advise_station(json_t *advice)
{
        size_t needless = allowed_count("approved", true), over = allowed_count("pending", true);
        uint64_t failed = queue_counts(NULL).messages[QUEUE_FAILED];

        if (accounts_count() == 0)
                advise(advice,
                       "there is no account yet: emailsecctl account add outgoing NAME hostname=HOST");
        scoped(scoped_free) char *no_default = accounts_default_missing();
        if (no_default)
                advise(advice, "%s", no_default);
        if (any_outgoing())
                local_names_advise(advise_sentence, advice);
        if (needless)
                advise(advice, "%zu exemption%s no longer needed: emailsecctl allowed prune", needless,
                       needless == 1 ? " is" : "s are");
        if (over)
                advise(advice, "%zu challenge%s nobody to decide any more: emailsecctl allowed prune", over,
                       over == 1 ? " needs" : "s need");
        if (failed)
                advise(advice, "%llu message%s failed: emailsecctl queue list --state failed",
                       (unsigned long long)failed, failed == 1 ? " has" : "s have");
        subscribers_advise(advise_sentence, advice);
}

/* The listener for SMTP; null: there is none. */
static json_t *submission_json(void)
{
        uint64_t refused = 0;
        json_t *object = submission_counts.sockets ? json_object() : json_null();

        for (int i = 0; i < SUBMISSION_REFUSALS; i++)
                refused += submission_counts.refused[i];
        if (!submission_counts.sockets)
                return object;
        json_put(object, "sockets", json_integer(submission_counts.sockets));
        json_put(object, "clients", json_integer(submission_counts.clients));
        json_put(object, "accepted", json_integer((json_int_t)submission_counts.accepted));
        json_put(object, "refused", json_integer((json_int_t)refused));
        return object;
}

/* What is wrong with the station itself. The caller owns it. */
static json_t *service_faults(void)
{
        json_t *faults = json_array();

        push_cause(faults, store_fault());
        push_cause(faults, reserve_fault());
        push_cause(faults, trust_fault());
        push_cause(faults, allowed_fault());
        return faults;
}

size_t service_fault_count(void)
{
        json_t *faults = service_faults();
        size_t count = json_array_size(faults);

        json_decref(faults);
        return count;
}

static void advise_soon(json_t *advice, const json_t *soon)
{
        size_t index;
        json_t *cause;

        json_array_foreach(soon, index, cause)
                advise(advice, "%s: %s", json_string_value(json_object_get(cause, "text")),
                       json_string_value(json_object_get(cause, "remedy")));
}

static json_t *account_entry(const struct account *account)
{
        json_t *entry = account_json(account);

        json_put(entry, "warnings", account_warnings(account));
        if (account_is_outgoing(account))
                json_put(entry, "default", json_boolean(account == accounts_default(NULL)));
        if (account_is_outgoing(account))
                json_put(entry, "queue", queue_json(account->name));
        return entry;
}

/* Those that are told of first where not all are. */
static bool is_ill(const struct account *account)
{
        return account->status == ACCOUNT_DOWN || account->status == ACCOUNT_FAULT ||
               account->status == ACCOUNT_CHALLENGE;
}

static void list_account(json_t *accounts, json_t *advice, const struct account *account)
{
        (void)json_array_append_new(accounts, account_entry(account));
        advise_account(advice, account);
}

/* In order of name; where there are more than may be listed, those that are ill alone go before the others.
 */
static void list_accounts(json_t *accounts, json_t *advice, size_t most)
{
        bool parted = accounts_count() > most;

        for (const struct account *account = accounts_first(); account; account = account->next)
                if ((!parted || is_ill(account)) && json_array_size(accounts) < most)
                        list_account(accounts, advice, account);
        for (const struct account *account = accounts_first(); account && parted; account = account->next) {
                if (json_array_size(accounts) >= most)
                        break;
                if (!is_ill(account))
                        list_account(accounts, advice, account);
        }
}

/* How many accounts have each status. */
static json_t *totals_json(const struct account *only)
{
        size_t counts[ACCOUNT_CHALLENGE + 1] = { 0 };
        json_t *totals = json_object();

        for (const struct account *account = only ? only : accounts_first(); account;
             account = only ? NULL : account->next)
                counts[account->status]++;
        for (int status = ACCOUNT_OK; status <= ACCOUNT_CHALLENGE; status++)
                json_put(totals, account_status_name((enum account_status)status),
                         json_integer((json_int_t)counts[status]));
        return totals;
}

json_t *service_status(const char *name, size_t most, struct cause *cause)
{
        struct account *only = name ? account_named(name) : NULL, *standard = accounts_default(NULL);

        if (name && !only) {
                (void)cause_missing(cause, MISSING_ACCOUNT, "account", name);
                return NULL;
        }
        json_t *status = json_object(), *accounts = json_array(), *advice = json_array(),
               *faults = service_faults();
        if (only)
                list_account(accounts, advice, only);
        else
                list_accounts(accounts, advice, most);
        json_t *soon = only ? json_array() : soon_causes();
        advise_soon(advice, soon);
        if (!only)
                advise_station(advice);
        if (!started_at)
                started_at = loop_wall();
        json_put_text(status, "version", VERSION);
        json_put_text(status, "hostname", settings_current()->hostname);
        json_put_text(status, "defaultAccount", standard ? standard->name : NULL);
        json_put_time(status, "started", (int64_t)started_at);
        json_put(status, "accounts", accounts);
        json_put(status, "totals", totals_json(only));
        json_put(status, "queue", queue_json(name));
        json_put(status, "challenges", json_integer((json_int_t)allowed_waiting()));
        json_put(status, "exemptions", json_integer((json_int_t)allowed_count("approved", false)));
        json_put(status, "needless", json_integer((json_int_t)allowed_needless()));
        json_put(status, "faults", faults);
        json_put(status, "soon", soon);
        json_put(status, "advice", advice);
        json_put(status, "submission", submission_json());
        json_t *last = audit_trail_last();
        json_put(status, "lastChange", last ? last : json_null());
        return status;
}

char *service_line(void)
{
        size_t total = 0, ill = 0, challenged = 0;
        struct queue_counts counts = queue_counts(NULL);
        uint64_t waiting = queue_waiting(NULL);

        if (!started_at)
                started_at = loop_wall();
        for (struct account *account = accounts_first(); account; account = account->next) {
                total++;
                ill += account->status == ACCOUNT_DOWN || account->status == ACCOUNT_FAULT;
                challenged += account->status == ACCOUNT_CHALLENGE;
        }
        size_t pending = allowed_waiting();
        scoped(scoped_free) char *trouble =
                ill + challenged ? text_of(" (%zu not working)", ill + challenged) : copy_text("");
        return text_of("%zu account%s%s; %llu in the queue, %llu failed; %zu challenge%s waiting%s", total,
                       total == 1 ? "" : "s", trouble, (unsigned long long)waiting,
                       (unsigned long long)counts.messages[QUEUE_FAILED], pending, pending == 1 ? "" : "s",
                       service_ending() ? "; ending" : "");
}

/* ---- audit ---- */

/* account NULL: of the station as a whole. */
static void find(json_t *findings, const struct account *account, const char *check, const char *verdict,
                 const char *text, const char *remedy)
{
        json_t *finding = json_object();

        json_put_text(finding, "account", account ? account->name : "");
        json_put_text(finding, "check", check);
        json_put_text(finding, "verdict", verdict);
        json_put_text(finding, "text", text);
        json_put_text(finding, "remedy", remedy);
        (void)json_array_append_new(findings, finding);
}

static void audit_channel(json_t *findings, const struct account *account)
{
        const struct property_values *values = &account->values;
        bool tls = prop_bool(values, PROP_USE_SSL) || prop_bool(values, PROP_USE_STARTTLS);
        scoped(scoped_free) char *secure = text_of("emailsecctl account secure %s ssl", account->name);
        scoped(scoped_free) char *floor =
                text_of("emailsecctl account set %s minTlsVersion=1.2", account->name);
        scoped(scoped_free) char *legacy =
                text_of("emailsecctl account set %s allowLegacyRenegotiation=false", account->name);

        find(findings, account, "tls", tls ? "ok" : "alert",
             tls ? "encrypted" : "neither useSsl nor useStartTls: everything goes in clear",
             tls ? NULL : secure);
        if (tls)
                find(findings, account, "tlsVersion", properties_min_tls(values) >= 12 ? "ok" : "alert",
                     properties_min_tls(values) >= 12 ? "TLS 1.2 or newer" : "accepts TLS below 1.2",
                     properties_min_tls(values) >= 12 ? NULL : floor);
        if (tls && prop_bool(values, PROP_ALLOW_LEGACY_RENEGOTIATION))
                find(findings, account, "renegotiation", "warning",
                     "a server without secure renegotiation (RFC 5746) is let in", legacy);
}

static void audit_login(json_t *findings, const struct account *account)
{
        const struct property_values *values = &account->values;
        bool tls = prop_bool(values, PROP_USE_SSL) || prop_bool(values, PROP_USE_STARTTLS);
        bool plain = prop_is(values, WORD_PLAIN) || prop_is(values, WORD_LOGIN);
        bool open = prop_bool(values, PROP_ALLOW_PLAINTEXT) && !tls;
        scoped(scoped_free) char *remedy =
                open ? text_of("emailsecctl account set %s allowPlaintextAuthentication=false", account->name)
                     : text_of("emailsecctl account set %s authentication=auto", account->name);

        if (!prop_text(values, PROP_ACCOUNT)[0])
                return;
        find(findings, account, "login",
             open    ? "alert"
             : plain ? "warning"
                     : "ok",
             open                          ? "the password may go in clear"
             : plain                       ? "the server is told the password itself, inside TLS"
             : prop_fetches_tokens(values) ? "by OAuth tokens of its provider"
                                           : "the strongest mechanism both sides have",
             open || plain ? remedy : NULL);
}

static void audit_secrets(json_t *findings, const struct account *account)
{
        static const struct {
                const char *kind, *what,
                        *option; /* option: of the command that names a credential; NULL: none helps */
        } secrets[] = {
                { "password", "the password", "" },
                { "oauthClientSecret", "the client's secret", " --secret oauthClientSecret" },
                { "oauthRefreshToken", "the OAuth refresh token",
                  NULL }, /* its provider's next one is written there */
        };
        bool any = false;

        if (!prop_text(&account->values, PROP_ACCOUNT)[0])
                return;
        for (size_t i = 0; i < count_of(secrets); i++) {
                scoped(scoped_free) char *source = secret_source(account->name, secrets[i].kind);
                if (strcmp(source, "stored") != 0)
                        continue;
                scoped(scoped_free) char *words =
                        text_of("%s lies in a file of the state folder (readable by the daemon only)",
                                secrets[i].what);
                scoped(scoped_free) char *remedy =
                        text_of("use a systemd credential: emailsecctl account password %s%s --credential ID",
                                account->name, secrets[i].option ? secrets[i].option : "");
                find(findings, account, "secret", "warning", words, secrets[i].option ? remedy : NULL);
                any = true;
        }
        if (!any)
                find(findings, account, "secret", "ok", "no secret lies in the state folder", NULL);
}

static void audit_certificate(json_t *findings, const struct account *account)
{
        if (!account->has_tls)
                return;
        bool exempt = same_text(account->tls.verified_by, "allowedHost");
        int64_t left = (int64_t)account->tls.not_after - (int64_t)loop_wall();
        int64_t days = (left < 0 ? -left : left) / 86400;
        bool ended = left <= 0;
        char text[400];

        find(findings, account, "identity", exempt ? "warning" : "ok",
             exempt ? "encrypted, identity by exemption" : "verified by a trust store",
             exempt ? "emailsecctl trust import FILE, then emailsecctl allowed prune" : NULL);
        (void)snprintf(text, sizeof text, "the certificate of %s %s %lld day%s%s",
                       prop_text(&account->values, PROP_HOSTNAME), ended ? "ended" : "is valid for",
                       (long long)days, days == 1 ? "" : "s", ended ? " ago" : "");
        find(findings, account, "expiry",
             ended       ? "alert"
             : days < 30 ? "warning"
                         : "ok",
             text, ended || days < 30 ? "the server's operator must renew it" : NULL);
}

static void audit_heartbeat(json_t *findings, const struct account *account)
{
        bool any = account_is_outgoing(account) && prop_text(&account->values, PROP_HEARTBEAT)[0];
        scoped(scoped_free) char *missing = any ? heartbeat_warning(account) : NULL;
        scoped(scoped_free) char *remedy = text_of("emailsecctl account heartbeat %s", account->name);

        if (any)
                find(findings, account, "heartbeat", missing ? "alert" : "ok",
                     missing ? missing : "no heartbeat is missing", missing ? remedy : NULL);
}

static void audit_command(json_t *findings, const struct account *account)
{
        const char *command =
                account_is_outgoing(account) ? NULL : properties_delivery_command(&account->values);
        char text[400];

        if (!command)
                return;
        (void)snprintf(text, sizeof text, "a command is run for each received message (deliverTo=exec:): %s",
                       command);
        find(findings, account, "command", "warning", text,
             "see that it may do no more than it needs: systemctl cat emailsec-deliver@.service");
}

static void add_sentence(void *list, const char *sentence)
{
        (void)json_array_append_new(list, json_string(sentence));
}

/* Of the station, where it sends at all. */
static void audit_local_names(json_t *findings)
{
        const struct account *account = any_outgoing();
        json_t *sentences = json_array(), *sentence;
        size_t index;

        if (account)
                local_names_advise(add_sentence, sentences);
        json_array_foreach(sentences, index, sentence)
                find(findings, NULL, "localNames", "warning", json_string_value(sentence), NULL);
        if (account && !index)
                find(findings, NULL, "localNames", "ok", "mail to root goes to an address", NULL);
        json_decref(sentences);
}

/* Who may send through this station without saying who it is. */
static void audit_submission(json_t *findings)
{
        const char *allowed = settings_current()->allow_from;
        scoped(scoped_free) char *text =
                text_of("whoever sends from %s sends in this station's name, without a password and in clear "
                        "(AllowFrom)",
                        allowed);

        if (allowed[0])
                find(findings, NULL, "allowFrom", "alert", text,
                     "give each device a password: emailsecctl device add; then take "
                     "AllowFrom= out of emailsecd.conf");
}

json_t *service_audit(void)
{
        json_t *findings = json_array();

        audit_submission(findings);
        audit_local_names(findings);
        for (struct account *account = accounts_first(); account; account = account->next) {
                if (account->unreadable) {
                        find(findings, account, "file", "alert", account->cause->text,
                             cause_remedy_of(account->cause));
                        continue;
                }
                if (!account_enabled(account))
                        continue;
                scoped(scoped_free) char *quiet =
                        text_of("emailsecctl account set %s debug=false", account->name);
                bool debug = prop_bool(&account->values, PROP_DEBUG);
                audit_channel(findings, account);
                audit_login(findings, account);
                audit_secrets(findings, account);
                audit_certificate(findings, account);
                audit_heartbeat(findings, account);
                audit_command(findings, account);
                find(findings, account, "debug", debug ? "alert" : "ok",
                     debug ? "the protocol trace is on" : "no protocol trace", debug ? quiet : NULL);
        }
        return findings;
}
