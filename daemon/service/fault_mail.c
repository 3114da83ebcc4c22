/* SPDX-License-Identifier: MIT */
/* Mail about accounts that need a person; see fault_mail.h. */
#include "daemon/service/fault_mail.h"

#include "common/buf.h"
#include "common/limits.h"
#include "common/printable.h"
#include "common/times.h"
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/quota.h"
#include "daemon/events.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/outgoing/sender_rules.h"
#include "daemon/service/heartbeat.h"
#include "daemon/service/own_message.h"
#include "daemon/settings.h"
#include "daemon/store/kept.h"

#include <stdio.h>

enum {
        GATHER_MS = 3 * 60 * 1000, /* what comes within this goes in one mail */
        AGAIN_MS = 10 * 60 * 1000, /* to the next try, where no account could carry it */
        MAILS_A_DAY = 20,
        DAY = 24 * 3600,
        ROWS_MOST = 50, /* accounts with their words, of each kind, in one mail; of the others the number */
        BODY_MOST = 128 * KIB,
        TEXT_SHOWN = 400, /* bytes of a cause */
        LIFETIME = 2 * DAY,
        BUCKETS = 1024,
        FITNESS_OK = 4, /* fitness() of an account that works and has no trouble */
};

/* What is wrong with an account, or is no more. */
enum kind { KIND_OF_STATUS, KIND_OF_HEARTBEAT, KINDS };
/* 1: told, and not yet that it is over. */
static const enum kept is_open[KINDS] = { KEPT_FAULT_MAIL_OPEN, KEPT_HEARTBEAT_MAIL_OPEN };

struct trouble {
        char *account, *code;
        enum kind kind;
        bool over;
        int64_t since;
        struct trouble *next, *previous;
        struct trouble *same_bucket; /* while it waits */
};

static struct {
        struct trouble *first;            /* waits to be told; one for each account and kind, */
        struct trouble *waiting[BUCKETS]; /* to be found by the account */
        struct trouble *told;             /* in the mail that is on its way into a queue */
        char *carrier, *to;               /* of that mail */
        struct timer *timer;
        struct subscription *subscription;
        bool complained; /* that nobody could be told */
} faults;

static const char *address(void)
{
        return settings_current()->notify_faults;
}

/* ---- what waits ---- */

static void trouble_free(struct trouble *trouble)
{
        free(trouble->account);
        free(trouble->code);
        free(trouble);
}

static struct trouble **bucket_of(const char *account)
{
        return &faults.waiting[text_hash(account) % BUCKETS];
}

static struct trouble *find(const char *account, enum kind kind)
{
        struct trouble *trouble = *bucket_of(account);

        while (trouble && (trouble->kind != kind || strcmp(trouble->account, account) != 0))
                trouble = trouble->same_bucket;
        return trouble;
}

static void forget(struct trouble *trouble)
{
        struct trouble **place = bucket_of(trouble->account);

        while (*place != trouble)
                place = &(*place)->same_bucket;
        *place = trouble->same_bucket;
        *(trouble->previous ? &trouble->previous->next : &faults.first) = trouble->next;
        if (trouble->next)
                trouble->next->previous = trouble->previous;
        trouble_free(trouble);
}

static void drop(const char *account, enum kind kind)
{
        struct trouble *trouble = find(account, kind);

        if (trouble)
                forget(trouble);
}

static void add(const char *account, enum kind kind, const char *code, bool over)
{
        struct trouble *trouble = new_object(struct trouble), **bucket = bucket_of(account);

        drop(account, kind);
        *trouble = (struct trouble){ .account = copy_text(account),
                                     .code = copy_text(code ? code : ""),
                                     .kind = kind,
                                     .over = over,
                                     .since = (int64_t)loop_wall(),
                                     .next = faults.first,
                                     .same_bucket = *bucket };
        if (faults.first)
                faults.first->previous = trouble;
        faults.first = *bucket = trouble;
        if (!timer_is_set(faults.timer))
                timer_set(faults.timer, GATHER_MS);
}

/* It is over: told where the beginning was. */
static void over(const char *account, enum kind kind)
{
        if (kept_number(account, is_open[kind]))
                add(account, kind, NULL, true);
        else
                drop(account, kind);
}

static bool needs_person(const struct account *account)
{
        return account->status == ACCOUNT_FAULT || account->status == ACCOUNT_CHALLENGE;
}

static bool told_today(const struct trouble *trouble)
{
        int64_t age = (int64_t)loop_wall() - kept_fault_told(trouble->account, trouble->code);

        return age >= 0 && age < DAY;
}

/* True when it is still so, and is to be told. */
static bool is_news(const struct trouble *trouble)
{
        const struct account *account = account_named(trouble->account);

        if (!account)
                return false;
        if (trouble->over)
                return kept_number(trouble->account, is_open[trouble->kind]) != 0;
        bool still = trouble->kind == KIND_OF_STATUS ? needs_person(account)
                                                     : !strcmp(heartbeat_state(account), "missing");
        return still && !told_today(trouble);
}

static void keep_news(void)
{
        for (struct trouble *trouble = faults.first, *next; trouble; trouble = next) {
                next = trouble->next;
                if (!is_news(trouble))
                        forget(trouble);
        }
}

/* ---- through which account ---- */

/* What the mail says of the account that may carry it; NULL: nothing. The one that is not over, of two. */
static const struct trouble *trouble_of(const char *account)
{
        const struct trouble *found = NULL;

        for (int kind = 0; kind < KINDS; kind++) {
                const struct trouble *trouble = find(account, (enum kind)kind);
                if (trouble && (!found || found->over))
                        found = trouble;
        }
        return found;
}

/* The better the higher; 0: it cannot. */
static int fitness(const struct account *account, const struct account *standard)
{
        bool sender = !account->unreadable && account_is_outgoing(account) && account_enabled(account) &&
                      account->sender;
        bool known = sender && (prop_text(&account->values, PROP_FROM)[0] ||
                                strchr(prop_text(&account->values, PROP_ACCOUNT), '@'));

        const struct trouble *own = known ? trouble_of(account->name) : NULL;
        if (!known || (own && !own->over) ||
            (account->status != ACCOUNT_OK && account->status != ACCOUNT_CONNECTING))
                return 0;
        return own ? 1 : FITNESS_OK - 2 + (account == standard) + 2 * (account->status == ACCOUNT_OK);
}

/* The first one that works is as good as all others but the standard one. */
static struct account *choose(void)
{
        struct cause ignored;
        struct account *standard = accounts_default(&ignored), *best = NULL;
        int reached = standard ? fitness(standard, standard) : 0;

        if (reached)
                best = standard;
        for (struct account *account = accounts_first(); account && reached < FITNESS_OK;
             account = account->next) {
                int own = fitness(account, standard);
                if (own > reached) {
                        reached = own;
                        best = account;
                }
        }
        return best;
}

/* ---- the mail ---- */

static void put(struct buf *out, const char *format, ...) printf_like(2, 3);
static void put(struct buf *out, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        if (buf_vappendf(out, format, args) < 0)
                abort(); /* as many rows as there may be, each of bounded length */
        va_end(args);
}

static void put_row(struct buf *out, const struct trouble *trouble)
{
        const struct account *account = account_named(trouble->account);
        bool beat = trouble->kind == KIND_OF_HEARTBEAT, challenge = account->status == ACCOUNT_CHALLENGE;
        scoped(scoped_free) char *warning = beat ? heartbeat_warning(account) : NULL;
        scoped(scoped_free) char *text = printable_text(warning ? warning : account->cause->text);
        scoped(scoped_free) char *remedy =
                beat        ? text_of("emailsecctl account heartbeat %s", account->name)
                : challenge ? text_of("emailsecctl challenge show %s", account->challenge_id)
                            : printable_text(cause_remedy_of(account->cause));
        char when[32];

        time_rfc3339((time_t)trouble->since, when);
        put(out, "\n  %s (%s, %s), since %s\n", account->name,
            account_is_outgoing(account) ? "outgoing" : "incoming",
            prop_text(&account->values, PROP_HOSTNAME), when);
        if (trouble->over)
                return;
        put(out, "    %.*s\n    what to do: %.*s\n", TEXT_SHOWN, text, TEXT_SHOWN, remedy);
}

/* Those that are over, or are not, as many as there is room for; how many there are. */
static size_t put_rows(struct buf *out, bool is_over, const char *title)
{
        size_t count = 0;

        for (const struct trouble *trouble = faults.first; trouble; trouble = trouble->next) {
                if (trouble->over != is_over)
                        continue;
                if (count++ == 0)
                        put(out, "%s\n", title);
                if (count <= ROWS_MOST)
                        put_row(out, trouble);
        }
        if (count > ROWS_MOST)
                put(out, "\n  and %zu more: emailsecctl status --problems\n", count - ROWS_MOST);
        if (count)
                put(out, "\n");
        return count;
}

static char *subject_of(size_t ill, size_t well)
{
        const char *host = settings_current()->hostname, *first = faults.first->account;

        if (ill + well == 1)
                return text_of("%s: account %s %s", host, first, ill ? "needs a person" : "works again");
        if (!ill)
                return text_of("%s: %zu accounts work again", host, well);
        return text_of("%s: %zu account%s need%s a person%s", host, ill, ill == 1 ? "" : "s",
                       ill == 1 ? "s" : "", well ? ", others work again" : "");
}

/* ---- telling ---- */

static void mark_told(const struct trouble *trouble)
{
        kept_set_number(trouble->account, is_open[trouble->kind], !trouble->over);
        if (!trouble->over)
                kept_set_fault_told(trouble->account, trouble->code, (int64_t)loop_wall());
}

static void queued(void *ctx, const char *id, const struct cause *cause)
{
        struct subject subject = { .account = faults.carrier, .queue_id = id };
        size_t count = 0;

        (void)ctx;
        if (!faults.timer)
                return; /* closed */
        bool failed = cause_happened(cause);
        while (faults.told) {
                struct trouble *trouble = faults.told;
                faults.told = trouble->next;
                if (account_named(trouble->account) && !failed)
                        mark_told(trouble);
                else if (failed)
                        add(trouble->account, trouble->kind, trouble->code, trouble->over);
                trouble_free(trouble);
                count++;
        }
        if (failed) {
                log_about(&subject, LOG_WARNING, MSG_FAULT_UNTOLD, "%s cannot be told of %zu account%s: %s",
                          faults.to, count, count == 1 ? "" : "s", cause->text);
                timer_set(faults.timer, AGAIN_MS);
        } else {
                kept_add(KEPT_OF_SERVICE, KEPT_FAULT_MAILS, 1);
                log_about(&subject, LOG_NOTICE, MSG_FAULT_TOLD,
                          "%s is told of %zu account%s by mail through account %s", faults.to, count,
                          count == 1 ? "" : "s", faults.carrier);
        }
        faults.complained = failed;
        free(take(faults.carrier));
        free(take(faults.to));
        if (faults.first && !timer_is_set(faults.timer))
                timer_set(faults.timer, GATHER_MS);
}

/* Once, until somebody can be told again. */
static void complain(const char *why)
{
        if (!faults.complained)
                log_about(NULL, LOG_WARNING, MSG_FAULT_UNTOLD, "%s is not told of what is wrong here: %s",
                          address(), why);
        faults.complained = true;
        timer_set(faults.timer, AGAIN_MS);
}

static void send_mail(struct account *carrier)
{
        struct buf body = BUF_WITH_MAX(BODY_MOST);
        struct cause cause;

        put(&body, "This is emailsecd on %s.\n\n", settings_current()->hostname);
        size_t ill = put_rows(&body, false, "These accounts need a person:");
        size_t well = put_rows(&body, true, "These work again:");
        put(&body,
            "More: emailsecctl status\n\nYou get this by NotifyFaults= in emailsecd.conf, through account "
            "%s.\n",
            carrier->name);
        scoped(scoped_free) char *text = buf_take_text(&body), *subject = subject_of(ill, well);
        const struct own_letter letter = {
                .to = address(), .subject = subject, .body = text, .what = "faults", .lifetime = LIFETIME
        };
        faults.carrier = copy_text(carrier->name);
        faults.to = copy_text(address());
        if (own_letter_send(carrier, &letter, queued, NULL, &cause) < 0) {
                free(take(faults.carrier));
                free(take(faults.to));
                complain(cause.text);
                return;
        }
        faults.told = take(faults.first);
        memset(faults.waiting, 0, sizeof faults.waiting);
}

static void tell(void *ctx)
{
        int64_t today = quota_day(loop_wall());

        (void)ctx;
        if (faults.told)
                return; /* its answer goes on */
        keep_news();
        if (!faults.first || !address())
                return;
        if (kept_number(KEPT_OF_SERVICE, KEPT_FAULT_MAIL_DAY) != today) {
                kept_set_number(KEPT_OF_SERVICE, KEPT_FAULT_MAIL_DAY, today);
                kept_set_number(KEPT_OF_SERVICE, KEPT_FAULT_MAILS, 0);
        }
        struct account *carrier = choose();
        if (kept_number(KEPT_OF_SERVICE, KEPT_FAULT_MAILS) >= MAILS_A_DAY)
                complain("there were as many mails today as a day may have");
        else if (!carrier)
                complain("no other outgoing account works");
        else
                send_mail(carrier);
}

/* ---- hearing ---- */

static void hear_status(const char *name, const json_t *data)
{
        const char *status = json_string_value(json_object_get(data, "status"));
        const char *code = json_string_value(json_object_get(json_object_get(data, "cause"), "code"));

        if (same_text(status, "fault") || same_text(status, "challenge"))
                add(name, KIND_OF_STATUS, code, false);
        else if (same_text(status, "ok"))
                over(name, KIND_OF_STATUS);
        if (!same_text(status, "disabled"))
                return; /* down heals by itself, connecting is not known yet */
        drop(name, KIND_OF_STATUS);
        kept_set_number(name, is_open[KIND_OF_STATUS], 0);
}

static void hear(void *ctx, struct event *event)
{
        enum event_kind kind = event_kind(event);
        const char *name = event_account(event);

        (void)ctx;
        if (!address() || !name || !account_named(name))
                return;
        if (kind == EVENT_ACCOUNT_STATUS)
                hear_status(name, json_object_get(event_json(event), "data"));
        else if (kind == EVENT_HEARTBEAT_MISSING)
                add(name, KIND_OF_HEARTBEAT, "Heartbeat", false);
        else if (kind == EVENT_HEARTBEAT_ARRIVED)
                over(name, KIND_OF_HEARTBEAT);
}

void fault_mail_look(void)
{
        if (!address())
                return;
        for (const struct account *account = accounts_first(); account; account = account->next)
                if (needs_person(account) && !kept_number(account->name, is_open[KIND_OF_STATUS]))
                        add(account->name, KIND_OF_STATUS, cause_kind(account->cause->code)->name, false);
}

void fault_mail_open(void)
{
        faults.timer = timer_new(tell, NULL);
        faults.subscription = events_subscribe(NULL, hear, NULL);
        fault_mail_look();
}

void fault_mail_close(void)
{
        events_unsubscribe(take(faults.subscription));
        timer_free(take(faults.timer));
        for (struct trouble **list = &faults.first; list; list = list == &faults.first ? &faults.told : NULL)
                while (*list) {
                        struct trouble *gone = *list;
                        *list = gone->next;
                        trouble_free(gone);
                }
        memset(faults.waiting, 0, sizeof faults.waiting);
        free(take(faults.carrier));
        free(take(faults.to));
}
