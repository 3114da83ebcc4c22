/* SPDX-License-Identifier: MIT */
/* The station as a whole: start, end, time, trust, reload; see service.h. What it shows is in status.c. */
#include "daemon/service/service.h"

#include "common/json_fields.h"
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/devices.h"
#include "daemon/accounts/fault_grace.h"
#include "daemon/accounts/quota.h"
#include "daemon/accounts/round.h"
#include "daemon/accounts/secrets.h"
#include "daemon/backoff.h"
#include "daemon/events.h"
#include "daemon/incoming/fetching.h"
#include "daemon/incoming/receiver.h"
#include "daemon/incoming/retention.h"
#include "daemon/incoming/subscribers.h"
#include "daemon/local_names.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/netmon.h"
#include "daemon/outgoing/sender.h"
#include "daemon/service/fault_mail.h"
#include "daemon/service/heartbeat.h"
#include "daemon/service/history.h"
#include "daemon/service/reread.h"
#include "daemon/service/server_users.h"
#include "daemon/service/soon.h"
#include "daemon/service/waiting.h"
#include "daemon/session/server_certificates.h"
#include "daemon/session/session.h"
#include "daemon/session/session_limits.h"
#include "daemon/session/token.h"
#include "daemon/settings.h"
#include "daemon/store/maildir.h"
#include "daemon/store/queue_table.h"
#include "daemon/store/reserve.h"
#include "daemon/tls/allowed.h"
#include "daemon/tls/trust.h"
#include "daemon/tls/trust_watch.h"

enum {
        MINUTE_MS = 60 * 1000,
        SWEEP_EVERY = 3600, /* seconds between sweeps of what is kept for a time */
        SPREAD_FROM = 50,   /* accounts from which their first connections are spread */
        TOGETHER_MS = 1000, /* without another one, and those that come are no longer many at once */
};

static struct {
        struct timer *minute, *ending_timer;
        int64_t swept; /* wall time of the last sweep */
        bool ending, started;
        size_t came;               /* accounts, or began anew, one soon after the other; */
        int64_t last_came;         /* loop_now() */
        struct accounts_walk idle; /* at the end: those up to this one have ended */
        int64_t end_by;            /* loop_now() */
        void (*ended)(void *ctx);
        void *ended_ctx;
} station;

bool service_ending(void)
{
        return station.ending;
}

/* ---- accounts come and go ---- */

/* Milliseconds over which first connections are spread: thousands do not begin in one instant, whether they
 * are found at the start, or come or begin anew one behind the other (an apply). */
static uint32_t first_spread_ms(void)
{
        if (loop_now() - station.last_came >= TOGETHER_MS)
                station.came = 0;
        station.last_came = loop_now();
        size_t count = station.started ? ++station.came : accounts_count();
        return count < SPREAD_FROM ? 0 : backoff_stagger_ms(count);
}

/* Also for each account found at the start; then service_open() calls server_users_begin() once, after all
 * of them. */
static void account_added(struct account *account)
{
        if (station.started)
                server_users_changed();
        if (account->unreadable)
                reread_watch();
        if (account->unreadable || station.ending)
                return;
        if (account_is_outgoing(account)) {
                quota_clock_was_set(account, 0);
                account->sender = sender_new(account, first_spread_ms());
                heartbeat_account_added(account);
        } else {
                account->receiver = receiver_new(account, first_spread_ms());
        }
}

static void begin_anew(struct account *account)
{
        account_start_over(account);
        if (account->sender)
                sender_start_over(account->sender, first_spread_ms());
        if (account->receiver)
                receiver_start_over(account->receiver, first_spread_ms());
}

/* What was found out before counts no more: status, grace, tokens and sessions begin anew. */
static void account_changed(struct account *account)
{
        server_users_changed();
        fault_grace_forget(account->name);
        begin_anew(account);
        if (account->receiver)
                retention_look(account, true);
        token_forget(account->name);
}

/* Held meanwhile: what the sender and the receiver have under way may be its last users. */
static void account_removed(struct account *account)
{
        server_users_changed();
        account_hold(account);
        account->deleted = true;
        sender_free(take(account->sender));
        receiver_free(take(account->receiver));
        if (!account_named(account->name)) /* else it was read again */
                heartbeat_forget(account->name);
        token_forget(account->name);
        account_release(account);
}

static const struct account_observer observer = { account_added, account_changed, account_removed,
                                                  waiting_look };

/* ---- trust ---- */

/* What a decision changed concerns every account at that host and port, and those whose session rests on it.
 */
static void recheck_trust_of(struct account *account)
{
        /* A fault of another kind is not healed by a decision about trust. */
        enum cause_code code = account->cause->code;
        bool waits =
                account->status == ACCOUNT_CHALLENGE ||
                (account->status == ACCOUNT_FAULT && (code == CAUSE_REJECTED || code == CAUSE_CERTIFICATE ||
                                                      code == CAUSE_TRUST_STORE || code == CAUSE_SECRET));

        if (waits) {
                begin_anew(account);
                return;
        }
        if (account->sender)
                sender_check_trust(account->sender);
        if (account->receiver)
                receiver_check_trust(account->receiver);
}

static struct accounts_round trust_round = { .visit = recheck_trust_of };

/* In a later turn: whoever tells of a change may stand in a session that this ends. */
static void recheck_trust(void *ctx)
{
        (void)ctx;
        accounts_round_begin(&trust_round);
}

static void on_trust_changed(void *ctx, const char *why)
{
        (void)ctx;
        (void)why; /* journal and event are told by who asked: allowed below, imports in control/ */
        reread_note();
        loop_later(recheck_trust, NULL);
}

struct allowed_words {
        const char *what;
        enum event_kind event;
        const char *message_id, *words;
        int priority;
};
/* By the words that tls/allowed tells, but for "healed", which is found out here; the text stands behind the
 * name of the certificate. */
static const struct allowed_words allowed_words[] = {
        { "challenge", EVENT_CHALLENGE_RAISED, MSG_CHALLENGE, "waits for a decision", LOG_WARNING },
        { "approved", EVENT_ALLOWED_APPROVED, MSG_ALLOWED_DECIDED, "was approved", LOG_NOTICE },
        { "rejected", EVENT_ALLOWED_REJECTED, MSG_ALLOWED_DECIDED, "was rejected", LOG_NOTICE },
        { "unapproved", EVENT_ALLOWED_UNAPPROVED, MSG_ALLOWED_DECIDED, "is no longer approved", LOG_NOTICE },
        { "deleted", EVENT_ALLOWED_DELETED, MSG_ALLOWED_DECIDED, "was deleted", LOG_NOTICE },
        { "needless", EVENT_ALLOWED_NEEDLESS, MSG_ALLOWED_NEEDLESS,
          "is no longer needed: emailsecctl allowed prune", LOG_NOTICE },
        { "healed", EVENT_CHALLENGE_ENDED, MSG_ALLOWED_NEEDLESS, "no longer needs a decision", LOG_NOTICE },
        { "expired", EVENT_ALLOWED_EXPIRED, MSG_ALLOWED_EXPIRED, "has come to its end", LOG_NOTICE },
        { "flood", EVENT_CHALLENGE_FLOOD, MSG_CHALLENGE_FLOOD,
          "was dropped: too many certificates from one server", LOG_WARNING },
};

static const char *text_in(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));

        return text ? text : "";
}

/* True when a person asked for it. */
static bool is_decision(const char *what, const json_t *entry)
{
        if (strcmp(what, "deleted") == 0)
                return json_object_get(entry, "deletedBy") != NULL;
        return strcmp(what, "approved") == 0 || strcmp(what, "rejected") == 0 ||
               strcmp(what, "unapproved") == 0;
}

static void tell_allowed(const struct allowed_words *words, const char *id, json_t *entry)
{
        const json_t *certificate = json_object_get(entry, "certificate");
        const char *host = text_in(entry, "host");
        long long port = (long long)json_integer_value(json_object_get(entry, "port"));
        bool regression =
                strcmp(words->what, "challenge") == 0 && strcmp(text_in(entry, "class"), "regression") == 0;
        struct cause cause = { 0 };
        struct subject subject = {
                .host = host,
                .port = (uint16_t)port,
                .challenge_id = id,
                .cert_sha256 = text_in(certificate, "fingerprintSha256"),
                .key_sha256 = text_in(certificate, "publicKeySha256"),
        };

        if (strcmp(words->what, "challenge") == 0) {
                cause_set(&cause, CAUSE_CHALLENGE, "the certificate of %s:%lld is not vouched for", host,
                          port);
                cause_remedy(&cause, "emailsecctl challenge show %s", id);
                subject.cause = &cause;
        }
        if (!is_decision(words->what, entry)) /* else it is in the audit trail */
                log_about(&subject, regression ? LOG_CRIT : words->priority,
                          regression ? MSG_CERT_REGRESSION : words->message_id,
                          "certificate of %s:%lld (%s, SHA-256 %s) %s%s", host, port, id, subject.cert_sha256,
                          words->words,
                          regression ? "; this server verified without help before: this is what an attack "
                                       "looks like"
                                     : "");
        json_t *data = json_object();
        json_put_text(data, "id", id);
        json_put_text(data, "host", host);
        json_put(data, "port", json_integer(port));
        json_put_text(data, "class", text_in(entry, "class"));
        json_put_text(data, "fingerprintSha256", subject.cert_sha256);
        bool deleted = strcmp(words->what, "deleted") == 0;
        json_put_text(data, "decidedBy",
                      json_string_value(json_object_get(entry, deleted ? "deletedBy" : "decidedBy")));
        event_emit(words->event, NULL, data, "certificate of %s:%lld %s", host, port, words->words);
}

/* A challenge that verifies without help by now is told twice: as needless, and as ended. */
static void on_allowed_changed(void *ctx, const char *id, const char *what, json_t *entry)
{
        bool healed = strcmp(what, "needless") == 0 && strcmp(text_in(entry, "state"), "pending") == 0;

        (void)ctx;
        for (size_t i = 0; i < count_of(allowed_words); i++)
                if (strcmp(allowed_words[i].what, what) == 0 ||
                    (healed && strcmp(allowed_words[i].what, "healed") == 0))
                        tell_allowed(&allowed_words[i], id, entry);
        soon_check();
        if (strcmp(what, "approved") == 0)
                service_look_at_time(); /* it may end before the next look */
        manager_status_changed();
}

/* ---- time ---- */

/* A notice that an expired message left in the queue goes at once. */
static void tell_notice(const json_t *expired, const char *id, const char *name)
{
        const char *notice = json_string_value(json_object_get(expired, "notice"));
        struct account *account = account_named(name);
        struct subject subject = { .account = name, .direction = "outgoing", .queue_id = notice };

        if (!notice)
                return;
        log_about(&subject, LOG_INFO, MSG_QUEUED, "%s: notice that %s failed", notice, id);
        if (account && account->sender)
                sender_kick(account->sender);
}

/* On the loop, by queue_expire(). The account may be gone by then, so it is known by its name. */
static void tell_expired(void *ctx, json_t *expired, const struct cause *cause)
{
        size_t index;
        json_t *one;

        (void)ctx;
        if (cause_happened(cause))
                return; /* the disk's fault is told by the store; tried again in a minute */
        json_array_foreach(expired, index, one) {
                const char *id = text_in(one, "id"), *name = text_in(one, "account");
                struct subject subject = { .account = name, .queue_id = id };
                log_about(&subject, LOG_WARNING, MSG_FAILED, "%s: failed: queueLifetime of %s has passed", id,
                          name);
                account_count_failed(name, "queueLifetime has passed");
                tell_notice(one, id, name);
                json_t *data = json_object();
                json_put_text(data, "id", id);
                json_put_text(data, "cause", cause_kind(CAUSE_EXPIRED)->name);
                event_emit(EVENT_MAIL_FAILED, name, data, "%s: failed: its lifetime has passed", id);
        }
}

static void sweep_account(struct account *account)
{
        if (account_is_outgoing(account))
                return;
        maildir_sweep(account->name);
        retention_look(account, true);
}

static struct accounts_round sweep_round = { .visit = sweep_account };

/* Each hour: what is kept for a time and needs no exact end. */
static void sweep(void)
{
        station.swept = (int64_t)loop_wall();
        queue_sweep((time_t)(loop_wall() - settings_current()->keep_sent));
        subscribers_look_at_time();
        accounts_round_begin(&sweep_round);
}

static void look_each_minute(struct account *account)
{
        account_doubt_word(account);
        waiting_look(account);
        heartbeat_look(account);
        if (!account_is_outgoing(account))
                retention_look(account, false);
        if (!account_is_outgoing(account) || !queue_counts(account->name).bytes)
                return;
        struct notice_rules notice = account_notice_rules(account);
        queue_expire(account->name, account_clock(account), &notice, tell_expired, NULL);
}

static struct accounts_round minute_round = { .visit = look_each_minute };

/* Sets its own timer anew: in a minute, or sooner where an exemption ends, but never within a second. */
static void every_minute(void *ctx)
{
        (void)ctx;
        journal_tell_repeats(false);
        queue_oldest_look();
        (void)reserve_room(); /* looked at, and told of */
        netmon_look();        /* else a clock that was just set would age mail */
        accounts_round_begin(&minute_round);
        certificates_check();
        soon_check();
        reread_note();
        time_t next = allowed_expire(loop_wall());
        int64_t ms = next ? ((int64_t)next - (int64_t)loop_wall()) * 1000 : MINUTE_MS;
        if ((int64_t)loop_wall() - station.swept >= SWEEP_EVERY)
                sweep();
        timer_set(station.minute, ms < 1000 ? 1000 : ms < MINUTE_MS ? ms : MINUTE_MS);
}

void service_look_at_time(void)
{
        if (station.minute)
                timer_set(station.minute, 0);
}

/* ---- start and end ---- */

/* A poisoned store does not keep the daemon from starting: what needs it is refused until it is mended. */
static void tell_fault(const struct cause *cause)
{
        struct subject subject = { .cause = cause };

        log_about(&subject, LOG_ERR, MSG_TRUST_FAULT, "%s", cause->text);
}

void service_trust_settings(struct trust_settings *out)
{
        *out = (struct trust_settings){
                .state_directory = settings_current()->state_directory,
                .system_store = settings_current()->system_trust_store,
                .revocation_lists = settings_current()->revocation_lists,
        };
}

static void watch_trust(void);

/* The System Trust Store was changed on disk. */
static void on_trust_files(void *ctx)
{
        struct trust_settings trust;
        struct cause poisoned = { 0 };

        (void)ctx;
        service_trust_settings(&trust);
        if (trust_reload(&trust, &poisoned) < 0)
                tell_fault(&poisoned);
        else
                log_about(NULL, LOG_NOTICE, MSG_TRUST_CHANGED,
                          "the System Trust Store has changed and was read again");
        event_emit(EVENT_TRUST_RELOADED, NULL, NULL, "the System Trust Store has changed and was read again");
        manager_status_changed();
        reread_watch();
        watch_trust(); /* a folder may have been replaced by another of its name */
}

/* Its callback watches again, so one of the two must be known before. */
static void watch_trust(void)
{
        struct trust_settings trust;

        service_trust_settings(&trust);
        trust_watch(&trust, on_trust_files, NULL);
}

/* The store first, for accounts keep values in it; accounts after trust, for their sessions are
 * judged by it; the timer last. */
int service_open(const struct settings *settings, struct cause *cause)
{
        struct trust_settings trust;
        struct cause poisoned = { 0 };

        settings_put_current(settings);
        if (store_open(settings->state_directory, cause) < 0)
                return -1;
        reserve_set(settings->disk_reserve);
        events_open();
        local_names_open(settings);
        subscribers_open();
        devices_open(settings->state_directory);
        service_trust_settings(&trust);
        if (trust_open(&trust, &poisoned) < 0)
                tell_fault(&poisoned);
        if (allowed_open(settings->state_directory, &poisoned) < 0)
                tell_fault(&poisoned);
        certificates_open(settings->state_directory);
        trust_on_change(on_trust_changed, NULL);
        allowed_on_change(on_allowed_changed, NULL);
        sessions_set_limits((unsigned)settings->max_sessions, (unsigned)settings->max_sessions_per_host);
        account_observe(&observer);
        if (accounts_open(cause) < 0) {
                service_close();
                return -1;
        }
        for (struct account *account = accounts_first(); account; account = account->next)
                account_added(account);
        server_users_begin();
        heartbeats_open();
        fault_mail_open();
        history_open(settings->state_directory);
        watch_trust();
        reread_tell_lost();
        reread_watch();
        station.started = true;
        station.minute = timer_new(every_minute, NULL);
        timer_set(station.minute, 1000);
        return 0;
}

/* An unreadable one is the task of reread_watch(). */
static void start_ill_over(struct account *account)
{
        if (!account->unreadable && account->cause->code) /* it may have been this that was corrected */
                account_changed(account);
}

static struct accounts_round ill_round = { .visit = start_ill_over };

static void stop_rounds(void)
{
        accounts_round_stop(&trust_round);
        accounts_round_stop(&sweep_round);
        accounts_round_stop(&minute_round);
        accounts_round_stop(&ill_round);
        service_network_stop();
}

/* Who has ended begins nothing any more, and is not looked at again. */
static bool anything_busy(void)
{
        for (struct account *account = accounts_walk_on(&station.idle); account; account = account->next) {
                if ((account->sender && sender_busy(account->sender)) ||
                    (account->receiver && receiver_busy(account->receiver)))
                        return true;
                accounts_walk_did(&station.idle, account);
        }
        return false;
}

/* Polled: an end has a bound in time anyway, and senders and receivers need not tell. */
static void look_whether_ended(void *ctx)
{
        (void)ctx;
        if (anything_busy() && loop_now() < station.end_by) {
                timer_set(station.ending_timer, 20);
                return;
        }
        station.ended(station.ended_ctx);
}

/* No mail is begun from here on; what is in flight has `ms` milliseconds. A second call is ignored. */
void service_end(int64_t ms, void (*ended)(void *ctx), void *ctx)
{
        if (station.ending)
                return;
        station.ending = true;
        stop_rounds();
        station.idle = (struct accounts_walk){ 0 };
        station.end_by = loop_now() + ms;
        station.ended = ended;
        station.ended_ctx = ctx;
        event_emit(EVENT_STATION_ENDING, NULL, NULL, "the station ends");
        for (struct account *account = accounts_first(); account; account = account->next) {
                if (account->sender)
                        sender_wind_down(account->sender);
                if (account->receiver)
                        receiver_wind_down(account->receiver);
        }
        station.ending_timer = timer_new(look_whether_ended, NULL);
        timer_set(station.ending_timer, 0);
}

/* Also when service_open() fails at the accounts. */
void service_close(void)
{
        trust_watch_close();
        reread_close();
        stop_rounds();
        timer_free(take(station.minute));
        timer_free(take(station.ending_timer));
        waiting_close();
        for (struct account *account = accounts_first(); account; account = account->next) {
                sender_free(take(account->sender));
                receiver_free(take(account->receiver));
        }
        fetching_stop_handing_on();
        tokens_close();
        local_names_close();
        devices_close();
        history_close();
        certificates_flush();
        store_close(); /* answers what is under way: the last uses of the accounts */
        loop_turn();
        certificates_close();
        allowed_close();
        trust_close();
        accounts_close();
        subscribers_close();
        fault_mail_close();
        heartbeats_close();
        events_close();
        station.started = station.ending = false;
}

/* ---- reload ---- */

/* A trust store that cannot be read becomes a warning (`warnings` may be NULL); the rest is read all the
 * same. */
void service_reload(const struct settings *settings, json_t *warnings)
{
        struct trust_settings trust;
        struct cause poisoned = { 0 };

        settings_put_current(settings);
        reserve_set(settings->disk_reserve);
        local_names_open(settings);
        secrets_reload();
        service_trust_settings(&trust);
        watch_trust();
        if (trust_reload(&trust, &poisoned) < 0) {
                tell_fault(&poisoned);
                if (warnings)
                        (void)json_array_append_new(warnings, json_string(poisoned.text));
        }
        if (allowed_fault()) { /* someone may have repaired the file */
                allowed_close();
                if (allowed_open(settings->state_directory, &poisoned) < 0) {
                        tell_fault(&poisoned);
                        if (warnings)
                                (void)json_array_append_new(warnings, json_string(poisoned.text));
                }
                allowed_on_change(on_allowed_changed, NULL);
                server_users_begin();
        }
        sessions_set_limits((unsigned)settings->max_sessions, (unsigned)settings->max_sessions_per_host);
        sessions_start_waiting();
        accounts_read_again();
        reread_watch();
        accounts_round_begin(&ill_round);
        fault_mail_look();
        event_emit(EVENT_STATION_RELOADED, NULL, NULL,
                   "settings, credentials and system trust were read again");
        manager_status_changed();
}
