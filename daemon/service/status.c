/* SPDX-License-Identifier: MIT */
/* What the station shows of itself: status with advice, the line for the service manager, the audit. */
#include "common/json_fields.h"
#include "common/times.h"
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/index.h"
#include "daemon/accounts/quota.h"
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
#include "daemon/store/body_file.h"
#include "daemon/store/kept.h"
#include "daemon/store/queue_table.h"
#include "daemon/store/reserve.h"
#include "daemon/tls/allowed.h"
#include "daemon/tls/trust.h"
#include "daemon/work_counts.h"

#include <stdio.h>

/* Wall clock, set by the first look at the station; main() takes one when it starts. */
static time_t started_at;

/* `account` NULL: of all together. */
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
        /* A longer sentence is cut; one that is no UTF-8 (after the cut, or from a server) is left out. */
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

/* An account that was added and not finished. */
static void advise_secret(json_t *advice, const struct account *account)
{
        const struct property_values *values = &account->values;

        if (account->status != ACCOUNT_CONNECTING || !secret_is_missing(values))
                return;
        if (!prop_fetches_tokens(values))
                advise(advice, "%s: no password is stored: emailsecctl account password %s", account->name,
                       account->name);
        else if (prop_is(values, WORD_DEVICE))
                advise(advice, "%s: nobody has agreed at its provider yet: emailsecctl account authorize %s",
                       account->name, account->name);
        else
                advise(advice,
                       "%s: no token is stored: emailsecctl account password %s --secret oauthRefreshToken",
                       account->name, account->name);
}

/* An account has one sentence about its status, and besides it those that do not depend on the status. */
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
        advise_secret(advice, account);
        advise_flood(advice, account);
        json_t *warnings = account_warnings(account);
        size_t index;
        json_t *warning;
        json_array_foreach(warnings, index, warning)
                advise(advice, "%s: %s", account->name, json_string_value(warning));
        json_decref(warnings);
}

static void advise_sentence(void *advice, const char *sentence)
{
        advise(advice, "%s", sentence);
}

/* What concerns no single account; not told when one account was asked for. */
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
        if (accounts_first_outgoing())
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

/* What may be wrong with the station itself; each gives NULL while it is not. */
static const struct cause *(*const station_faults[])(void) = { store_fault, body_files_fault, reserve_fault,
                                                               trust_fault, allowed_fault };

/* The caller owns it. */
static json_t *service_faults(void)
{
        json_t *faults = json_array();

        for (size_t i = 0; i < count_of(station_faults); i++)
                if (station_faults[i]())
                        (void)json_array_append_new(faults, cause_json(station_faults[i]()));
        return faults;
}

size_t service_fault_count(void)
{
        size_t count = 0;

        for (size_t i = 0; i < count_of(station_faults); i++)
                count += station_faults[i]() != NULL;
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

/* The properties as `account show` has them, with what only status tells. The caller owns it. */
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

/* ---- in pieces ---- */

enum {
        PICKED_ON_END = 64, /* accounts looked at for one piece, */
        LISTED_ON_END = 4,  /* and written */
};

/* Where not all accounts can be told of, those that are ill come first, the worst of them at the head. */
struct status_work {
        char *only; /* NULL: all */
        size_t most;
        bool parted;   /* not all are listed: */
        char **picked; /* those that are, by their names, for one may go between two pieces */
        size_t picked_count;
        json_t *is_picked;         /* the same as keys */
        struct accounts_walk walk; /* where the picking, or else the list has come to */
        size_t missing, kept;      /* accounts whose heartbeat is missing; whose mail nothing sends soon */
        size_t number, listed;
        bool begun; /* the list */
        enum { STATUS_LOOKS, STATUS_PICKS, STATUS_LISTS, STATUS_ADVISES } step;
        json_t *advice;
};

struct status_work *service_status_begin(const char *name, size_t most, struct cause *cause)
{
        if (name && !account_named(name)) {
                (void)cause_missing(cause, MISSING_ACCOUNT, "account", name);
                return NULL;
        }
        struct status_work *work = new_object(struct status_work);
        *work = (struct status_work){ .only = copy_text(name),
                                      .most = most,
                                      .parted = !name && accounts_count() > most,
                                      .is_picked = json_object(),
                                      .advice = json_array() };
        return work;
}

void service_status_end(void *ctx)
{
        struct status_work *work = ctx;

        for (size_t i = 0; i < work->picked_count; i++)
                free(work->picked[i]);
        free(work->picked);
        json_decref(work->is_picked);
        json_decref(work->advice);
        free(work->only);
        free(work);
}

static void pick(struct status_work *work, const struct account *account)
{
        if (work->picked_count >= work->most || json_object_get(work->is_picked, account->name))
                return;
        if (work->picked_count % PICKED_ON_END == 0)
                work->picked =
                        new_resized(work->picked, work->picked_count + PICKED_ON_END, sizeof *work->picked);
        work->picked[work->picked_count++] = copy_text(account->name);
        json_put(work->is_picked, account->name, json_true());
}

static void pick_ill(struct status_work *work, enum account_status status)
{
        for (const struct account *account = account_with_status(status, "");
             account && work->picked_count < work->most; account = account_with_status(status, account->name))
                pick(work, account);
}

static bool has_missed(const struct account *account)
{
        return account->status != ACCOUNT_DISABLED && account_is_outgoing(account) &&
               heartbeat_is_missing(account);
}

/* Those whose heartbeat is missing. */
static void look_for_missing(struct status_work *work)
{
        for (size_t i = 0; i < index_count(INDEX_HEARTBEAT); i++) {
                const struct account *account = index_item(INDEX_HEARTBEAT, i);
                if (!has_missed(account))
                        continue;
                work->missing++;
                if (work->parted)
                        pick(work, account);
        }
}

/* Mail that waits and no attempt of the station's own sends soon. That of an account that is ill does not
 * count here: that is its greater trouble. */
static bool keeps_mail(const struct account *account, uint64_t messages)
{
        struct waiting waiting;

        if (!messages || account->status == ACCOUNT_DISABLED)
                return messages != 0;
        if (quota_left(prop_number(&account->values, PROP_MAX_SENDABLE_PER_DAY), 0) == UINT64_MAX)
                return false;
        waiting_of(account, &waiting);
        return waiting.reason == WAITING_FOR_DAILY_LIMIT;
}

struct keepers {
        const struct account **accounts;
        size_t count;
};

static void look_whether_kept(void *ctx, const char *name, uint64_t messages)
{
        struct keepers *keepers = ctx;
        const struct account *account = account_named(name);

        if (!account || !account_is_outgoing(account) || !keeps_mail(account, messages))
                return;
        if (keepers->count % PICKED_ON_END == 0)
                keepers->accounts = new_resized(keepers->accounts, keepers->count + PICKED_ON_END,
                                                sizeof(struct account *));
        keepers->accounts[keepers->count++] = account;
}

static int by_name(const void *a, const void *b)
{
        return strcmp((*(const struct account *const *)a)->name, (*(const struct account *const *)b)->name);
}

static void look_for_kept(struct status_work *work)
{
        struct keepers keepers = { 0 };

        queue_each_waiting(look_whether_kept, &keepers);
        work->kept = keepers.count;
        if (work->parted && keepers.count)
                qsort(keepers.accounts, keepers.count, sizeof(struct account *), by_name);
        for (size_t i = 0; work->parted && i < keepers.count; i++)
                pick(work, keepers.accounts[i]);
        free(keepers.accounts);
}

/* At those that are ill, by what says who they are: with nothing amiss ten thousand accounts cost what ten
 * do. */
static void look(struct status_work *work)
{
        const struct account *only = account_named(work->only);

        work->step = work->parted ? STATUS_PICKS : STATUS_LISTS;
        if (only) {
                struct queue_counts counts = queue_counts(only->name);
                work->missing = has_missed(only);
                work->kept =
                        account_is_outgoing(only) &&
                        keeps_mail(only, counts.messages[QUEUE_QUEUED] + counts.messages[QUEUE_DEFERRED] +
                                                 counts.messages[QUEUE_AMBIGUOUS]);
        }
        if (work->only)
                return;
        if (work->parted) {
                pick_ill(work, ACCOUNT_FAULT);
                pick_ill(work, ACCOUNT_CHALLENGE);
        }
        look_for_missing(work);
        if (work->parted)
                pick_ill(work, ACCOUNT_DOWN);
        look_for_kept(work);
}

/* Members and no whole object: the writer puts them into the one that is under way. */
static json_t *status_head(void)
{
        json_t *head = json_object();
        const struct account *standard = accounts_default(NULL);

        if (!started_at)
                started_at = loop_wall();
        json_put_text(head, "version", VERSION);
        json_put_text(head, "hostname", settings_current()->hostname);
        json_put_text(head, "defaultAccount", standard ? standard->name : NULL);
        json_put_time(head, "started", (int64_t)started_at);
        return head;
}

static void begin_list(struct json_writer *out)
{
        json_write(out, "{\"status\":{");
        json_write_members(out, status_head());
        json_write(out, ",\"accounts\":[");
}

/* The first of the others by name. */
static void pick_some(struct status_work *work)
{
        struct account *account = accounts_walk_on(&work->walk);

        for (int i = 0; account && i < PICKED_ON_END; i++, account = account->next) {
                pick(work, account);
                accounts_walk_did(&work->walk, account);
        }
        if (!account || work->picked_count >= work->most)
                work->step = STATUS_LISTS;
}

/* The next one that is still there; NULL: that was all. */
static const struct account *next_listed(struct status_work *work)
{
        const struct account *account = NULL;

        if (work->only)
                return work->listed ? NULL : account_named(work->only);
        while (work->parted && !account && work->number < work->picked_count)
                account = account_named(work->picked[work->number++]);
        if (!work->parted && work->listed < work->most)
                account = accounts_walk_on(&work->walk);
        if (account)
                accounts_walk_did(&work->walk, account);
        return account;
}

/* How many accounts have each status. */
static json_t *totals_json(const struct account *only)
{
        json_t *totals = json_object();

        for (int status = ACCOUNT_OK; status <= ACCOUNT_CHALLENGE; status++) {
                size_t count =
                        only ? (int)only->status == status : account_count_with((enum account_status)status);
                json_put(totals, account_status_name((enum account_status)status),
                         json_integer((json_int_t)count));
        }
        return totals;
}

/* The advice of `soon` and of the station goes behind that of the accounts, which is complete by now. */
static json_t *status_tail(const struct status_work *work)
{
        const struct account *only = account_named(work->only);
        json_t *tail = json_object(), *soon = work->only ? json_array() : soon_causes(),
               *last = audit_trail_last();

        advise_soon(work->advice, soon);
        if (!work->only)
                advise_station(work->advice);
        json_put(tail, "totals", totals_json(only));
        json_put(tail, "heartbeatsMissing", json_integer((json_int_t)work->missing));
        json_put(tail, "mailKept", json_integer((json_int_t)work->kept));
        json_put(tail, "queue", queue_json(work->only));
        json_put(tail, "challenges", json_integer((json_int_t)allowed_waiting()));
        json_put(tail, "exemptions", json_integer((json_int_t)allowed_count("approved", false)));
        json_put(tail, "needless", json_integer((json_int_t)allowed_needless()));
        json_put(tail, "faults", service_faults());
        json_put(tail, "soon", soon);
        json_put(tail, "submission", submission_json());
        json_put(tail, "lastChange", last ? last : json_null());
        return tail;
}

/* Advice is collected while accounts are listed, so it is about these and no others. */
static void list_some(struct status_work *work, struct json_writer *out)
{
        const struct account *account;

        if (!work->begun)
                begin_list(out);
        work->begun = true;
        account = next_listed(work);
        for (int i = 0; account; i++) {
                if (work->listed++)
                        json_write(out, ",");
                json_write_value(out, account_entry(account));
                advise_account(work->advice, account);
                if (i == LISTED_ON_END)
                        return;
                account = next_listed(work);
        }
        json_write(out, "],");
        json_write_members(out, status_tail(work));
        json_write(out, ",\"advice\":[");
        work->step = STATUS_ADVISES;
        work->number = 0;
}

/* True while there is more. */
static bool advise_some(struct status_work *work, struct json_writer *out)
{
        for (int i = 0; i < PICKED_ON_END; i++, work->number++) {
                json_t *sentence = json_array_get(work->advice, work->number);
                if (!sentence) {
                        json_write(out, "]}}");
                        return false;
                }
                if (work->number)
                        json_write(out, ",");
                json_write_value(out, json_incref(sentence));
        }
        return true;
}

bool service_status_next(void *ctx, struct json_writer *out)
{
        struct status_work *work = ctx;

        switch (work->step) {
        case STATUS_LOOKS:
                look(work);
                return true;
        case STATUS_PICKS:
                pick_some(work);
                return true;
        case STATUS_LISTS:
                list_some(work, out);
                return true;
        case STATUS_ADVISES:
                break;
        }
        return advise_some(work, out);
}

/* The queue here is what still waits; failed messages are counted apart. */
char *service_line(void)
{
        struct queue_counts counts = queue_counts(NULL);
        uint64_t waiting = queue_waiting(NULL);
        size_t total = accounts_count(), pending = allowed_waiting(),
               ill = account_count_with(ACCOUNT_DOWN) + account_count_with(ACCOUNT_FAULT) +
                     account_count_with(ACCOUNT_CHALLENGE);

        if (!started_at)
                started_at = loop_wall();
        scoped(scoped_free) char *trouble = ill ? text_of(" (%zu not working)", ill) : copy_text("");
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

/* TLS 1.0 and 1.1 are deprecated (RFC 8996), for mail by RFC 8997 as well. */
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

/* PLAIN and LOGIN hand the password itself to the server (RFC 4616 for PLAIN): a server that is taken
 * over learns it. An account without a user name does not sign in. */
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

/* By the last session that was judged, which may be some time ago; nothing before the first. */
static void audit_certificate(json_t *findings, const struct account *account)
{
        if (!account->tls)
                return;
        bool exempt = same_text(account->tls->verified_by, "allowedHost");
        int64_t left = (int64_t)account->tls->not_after - (int64_t)loop_wall();
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
        const struct account *account = accounts_first_outgoing();
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

/* Of a disabled account nothing but an unreadable file matters: it talks to nobody. The caller owns it. */
static json_t *audit_of(const struct account *account)
{
        json_t *findings = json_array();

        if (account->unreadable)
                find(findings, account, "file", "alert", account->cause->text,
                     cause_remedy_of(account->cause));
        if (account->unreadable || !account_enabled(account))
                return findings;
        scoped(scoped_free) char *quiet = text_of("emailsecctl account set %s debug=false", account->name);
        bool debug = prop_bool(&account->values, PROP_DEBUG);
        audit_channel(findings, account);
        audit_login(findings, account);
        audit_secrets(findings, account);
        audit_certificate(findings, account);
        audit_heartbeat(findings, account);
        audit_command(findings, account);
        find(findings, account, "debug", debug ? "alert" : "ok",
             debug ? "the protocol trace is on" : "no protocol trace", debug ? quiet : NULL);
        return findings;
}

/* The audit opens no connection: it goes by properties and by the last session. */
struct audit_work {
        struct accounts_walk walk;
        bool begun, any;
};

struct audit_work *service_audit_begin(void)
{
        return new_object(struct audit_work);
}

void service_audit_end(void *work)
{
        free(work);
}

/* Takes the findings over. */
static void write_findings(struct audit_work *work, struct json_writer *out, json_t *findings)
{
        if (json_array_size(findings)) {
                if (work->any)
                        json_write(out, ",");
                work->any = true;
        }
        json_write_members(out, findings);
}

bool service_audit_next(void *ctx, struct json_writer *out)
{
        struct audit_work *work = ctx;

        if (!work->begun) {
                json_t *station = json_array();
                work->begun = true;
                audit_submission(station);
                audit_local_names(station);
                json_write(out, "{\"findings\":[");
                write_findings(work, out, station);
        }
        struct account *account = accounts_walk_on(&work->walk);
        for (int i = 0; account && i < LISTED_ON_END; account = account->next, i++) {
                write_findings(work, out, audit_of(account));
                accounts_walk_did(&work->walk, account);
        }
        if (!account)
                json_write(out, "]}");
        return account != NULL;
}
