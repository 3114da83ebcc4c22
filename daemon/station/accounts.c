/* SPDX-License-Identifier: MIT */
/*
 * The set of accounts and its files; see accounts.h. A change is computed when its turn comes, written by the file
 * pool, taken over when it is on disk, and only then answered; further changes of the same account wait in a row.
 */
#include "daemon/station/accounts.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "daemon/messages.h"
#include "daemon/station/events.h"
#include "daemon/station/secrets.h"
#include "daemon/station/station.h"
#include "daemon/store/queue_table.h"
#include "daemon/store/replace_file.h"
#include "daemon/store/seen_table.h"

#include <dirent.h>
#include <errno.h>

enum change_kind { CHANGE_ADD, CHANGE_SET, CHANGE_DELETE };

struct change {
        enum change_kind kind;
        struct account *account;       /* SET, DELETE: in the set; ADD: not yet */
        json_t *request;               /* SET */
        bool force;                    /* DELETE */
        struct property_values values; /* SET: what it will be */
        account_done done;
        void *ctx;
        struct change *next;
};

enum { BUCKETS = 4096 };

static struct account *accounts, *last;   /* in order of name; last: NULL when not known */
static struct account *by_name[BUCKETS];  /* the same, to be found */
static size_t how_many;

struct account *accounts_first(void)
{
        return accounts;
}

/* Where the account of that name hangs, or would. */
static struct account **place_of(const char *name)
{
        struct account **place = &by_name[text_hash(name) % BUCKETS];

        while (*place && strcmp((*place)->name, name) != 0)
                place = &(*place)->same_bucket;
        return place;
}

struct account *account_named(const char *name)
{
        return name ? *place_of(name) : NULL;
}

size_t accounts_count(void)
{
        return how_many;
}

struct account *accounts_default(struct cause *cause)
{
        const char *wanted = station_settings()->default_account;
        struct account *only = NULL;

        if (wanted && wanted[0]) {
                struct account *account = account_named(wanted);
                if (account && account_is_outgoing(account))
                        return account;
                cause_set(cause, CAUSE_NOT_FOUND, "DefaultAccount=%s names no outgoing account", wanted);
                cause_remedy(cause, "correct DefaultAccount= in emailsecd.conf, or add the account");
                return NULL;
        }
        for (struct account *account = accounts; account; account = account->next) {
                if (!account_is_outgoing(account))
                        continue;
                if (only) {
                        cause_about(cause, CAUSE_NOT_FOUND, "account",
                                    "there are several outgoing accounts and no DefaultAccount");
                        cause_remedy(cause, "name one (--account NAME), or set DefaultAccount= in emailsecd.conf");
                        return NULL;
                }
                only = account;
        }
        if (!only) {
                cause_about(cause, CAUSE_NOT_FOUND, "account", "there is no outgoing account");
                cause_remedy(cause, "emailsecctl account add outgoing NAME hostname=HOST");
        }
        return only;
}

static void insert_account(struct account *account)
{
        struct account **at = last && strcmp(last->name, account->name) < 0 ? &last->next : &accounts;

        while (*at && strcmp((*at)->name, account->name) < 0)
                at = &(*at)->next;
        account->next = *at;
        *at = account;
        if (!account->next)
                last = account;
        *place_of(account->name) = account;
        how_many++;
}

static void take_out(struct account *account)
{
        struct account **at = &accounts;

        while (*at && *at != account)
                at = &(*at)->next;
        if (!*at)
                return;
        *at = account->next;
        if (last == account)
                last = NULL;
        *place_of(account->name) = account->same_bucket;
        account->next = account->same_bucket = NULL;
        how_many--;
}

/* ---- files ---- */

static char *file_of(const char *name)
{
        return text_of("%s/accounts/%s.json", store_directory(), name);
}

static char *file_text(const struct property_values *values)
{
        json_t *all = properties_json(values, true);
        json_t *file = json_object();

        json_put(file, "version", json_integer(1));
        json_put_text(file, "name", prop_text(values, PROP_NAME));
        json_put_text(file, "kind", prop_text(values, PROP_KIND));
        (void)json_object_del(all, "name");
        (void)json_object_del(all, "kind");
        json_put(file, "properties", all);
        char *text = json_dumps(file, JSON_INDENT(1));
        json_decref(file);
        return text;
}

/* Fills in name and kind and the properties of a new account or a file. */
static int values_of(struct property_values *values, const char *name, const char *kind,
                     const json_t *request, struct causes *problems)
{
        bool outgoing = same_text(kind, "outgoing");

        if (!outgoing && !same_text(kind, "incoming")) {
                cause_about(causes_add(problems), CAUSE_INVALID, "kind", "\"%s\" is not outgoing or incoming",
                            kind ? kind : "");
                *values = (struct property_values){ 0 };
                return -1;
        }
        properties_defaults(values, outgoing ? KIND_OUTGOING : KIND_INCOMING);
        if (!account_name_valid(name))
                cause_about(causes_add(problems), CAUSE_INVALID, "name",
                            "\"%s\" is not a name: letters, digits, dot, dash and underscore, at most 64, "
                            "beginning with a letter or digit",
                            name ? name : "");
        free(values->of[PROP_NAME].text);
        values->of[PROP_NAME].text = copy_text(name ? name : "");
        if (properties_apply(values, request, problems) < 0 || problems->count)
                return -1;
        return properties_check(values, NULL, request, problems);
}

/* Names every problem in one sentence: for a file, where there is one status to show. */
static void problems_cause(const char *path, const struct causes *problems, struct cause *cause)
{
        struct buf words = BUF_WITH_MAX(400);

        for (size_t i = 0; i < problems->count; i++)
                if (buf_appendf(&words, "%s%s: %s", i ? "; " : "", problems->items[i].property,
                                problems->items[i].text) < 0)
                        break;
        char *text = buf_take_text(&words);
        cause_set(cause, CAUSE_STORAGE, "%s: %s", path, text);
        cause_remedy(cause, "repair the file, then: emailsecctl reload; or delete the account and add it again");
        free(text);
}

static int read_account(const char *path, const char *name, struct property_values *values, struct cause *cause)
{
        struct buf bytes;
        json_error_t error;
        struct causes problems = { 0 };
        int result = read_file(path, LIMIT_ACCOUNT_FILE, &bytes, cause);

        if (result <= 0) {
                if (result == 0)
                        cause_set(cause, CAUSE_STORAGE, "%s has gone", path);
                buf_free(&bytes);
                return -1;
        }
        json_t *file = json_loadb((const char *)buf_bytes(&bytes), bytes.len, JSON_REJECT_DUPLICATES, &error);
        buf_free(&bytes);
        if (!file) {
                cause_set(cause, CAUSE_STORAGE, "%s is damaged: line %d: %s", path, error.line, error.text);
                cause_remedy(cause, "repair the file, then: emailsecctl reload; or delete the account and add it again");
                return -1;
        }
        if (!same_text(json_string_value(json_object_get(file, "name")), name))
                cause_about(causes_add(&problems), CAUSE_INVALID, "name", "is not that of the file");
        else
                (void)values_of(values, name, json_string_value(json_object_get(file, "kind")),
                                json_object_get(file, "properties"), &problems);
        json_decref(file);
        result = problems.count ? -1 : 0;
        if (result < 0) {
                problems_cause(path, &problems, cause);
                properties_done(values);
        }
        causes_free(&problems);
        return result;
}

/* An account whose file cannot be read: it is there, in fault, and nothing runs. */
static struct account *unreadable_account(const char *name, const struct cause *cause)
{
        struct property_values values;

        properties_defaults(&values, KIND_OUTGOING);
        free(values.of[PROP_NAME].text);
        values.of[PROP_NAME].text = copy_text(name);
        struct account *account = account_new(&values);
        account_cannot_be_read(account, cause);
        return account;
}

static void load_account(const char *folder, const char *name)
{
        struct property_values values = { 0 };
        struct cause cause = { 0 };
        scoped(scoped_free) char *path = text_of("%s/%s.json", folder, name);

        if (read_account(path, name, &values, &cause) < 0) {
                insert_account(unreadable_account(name, &cause));
                return;
        }
        insert_account(account_new(&values));
        secrets_load(name);
}

static int is_account_file(const struct dirent *entry)
{
        size_t len = strlen(entry->d_name);

        if (len <= 5 || strcmp(entry->d_name + len - 5, ".json") != 0)
                return 0;
        scoped(scoped_free) char *name = copy_bytes(entry->d_name, len - 5);
        return account_name_valid(name);
}

/* In the order of the list (bytes, not the locale's), so that each goes to its end. */
static int by_file_name(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

int accounts_open(struct cause *cause)
{
        scoped(scoped_free) char *folder = text_of("%s/accounts", store_directory());
        scoped(scoped_free) char *secrets = text_of("%s/secrets", store_directory());

        if (make_folder(folder, cause) < 0 || make_folder(secrets, cause) < 0)
                return -1;
        struct dirent **files = NULL;
        int count = scandir(folder, &files, is_account_file, by_file_name);
        if (count < 0)
                return cause_errno(cause, errno, "cannot read %s", folder);
        for (int i = 0; i < count; i++) {
                scoped(scoped_free) char *name = copy_bytes(files[i]->d_name, strlen(files[i]->d_name) - 5);
                if (accounts_count() < LIMIT_ACCOUNTS)
                        load_account(folder, name);
                free(files[i]);
        }
        free(files);
        if (count > LIMIT_ACCOUNTS)
                log_about(NULL, LOG_ERR, MSG_ACCOUNT_UNREADABLE, "%s holds %d accounts: the last %d by name are left alone, "
                          "%d are the most", folder, count, count - LIMIT_ACCOUNTS, LIMIT_ACCOUNTS);
        return 0;
}

void accounts_read_again(void)
{
        scoped(scoped_free) char *folder = text_of("%s/accounts", store_directory());

        for (struct account *account = accounts, *next; account; account = next) {
                next = account->next;
                if (!account->unreadable || account->busy_writing)
                        continue;
                scoped(scoped_free) char *name = copy_text(account->name);
                take_out(account);
                load_account(folder, name);
                station_account_added(account_named(name));
                station_account_removed(account);
        }
}

void accounts_close(void)
{
        while (accounts) {
                struct account *account = accounts;
                take_out(account);
                account_free(account);
        }
        secrets_close();
}

/* ---- changes ---- */

static void change_free(struct change *change)
{
        json_decref(change->request);
        properties_done(&change->values);
        free(change);
}

static void refuse(struct change *change, const struct causes *problems)
{
        change->done(change->ctx, NULL, problems);
        change_free(change);
}

static void refuse_one(struct change *change, const struct cause *cause)
{
        struct causes problems = { 0 };

        *causes_add(&problems) = *cause;
        refuse(change, &problems);
        causes_free(&problems);
}

static void tell(const struct account *account, const char *event, const char *what)
{
        struct subject subject = account_subject(account);

        log_about(&subject, LOG_INFO, MSG_ACCOUNT_CHANGED, "account %s was %s", account->name, what);
        event_emit(event, account->name, NULL, "account %s was %s", account->name, what);
        station_status_changed();
}

static void answer(struct change *change, struct account *account)
{
        struct causes none = { 0 };

        change->done(change->ctx, account, &none);
        change_free(change);
}

static void take_values(struct account *account, struct change *change)
{
        properties_done(&account->values);
        account->values = change->values;
        change->values = (struct property_values){ .kind = account->values.kind };
        account->generation++;
}

static void begin_next(struct account *account);

static void written(void *ctx, const struct cause *cause)
{
        struct change *change = ctx;
        struct account *account = change->account;
        bool gone = change->kind == (cause_happened(cause) ? CHANGE_ADD : CHANGE_DELETE);

        account->busy_writing = false;
        if (cause_happened(cause)) {
                if (gone)
                        take_out(account);
                refuse_one(change, cause);
        } else if (change->kind == CHANGE_ADD) {
                station_account_added(account);
                tell(account, "account.added", "added");
                answer(change, account);
        } else if (change->kind == CHANGE_SET) {
                take_values(account, change);
                station_account_changed(account);
                tell(account, "account.changed", "changed");
                answer(change, account);
        } else {
                take_out(account);
                tell(account, "account.deleted", "deleted");
                secrets_forget(account->name);
                queue_sweep(0, account->name);
                seen_forget_account(account->name);
                fact_forget_account(account->name);
                answer(change, account);
        }
        begin_next(account);
        if (gone)
                station_account_removed(account);
}

static void write_change(struct change *change, const struct property_values *values)
{
        scoped(scoped_free) char *path = file_of(change->account->name);
        scoped(scoped_free) char *text = values ? file_text(values) : NULL;

        change->account->busy_writing = true;
        replace_file_later(path, text, text ? strlen(text) : 0, written, change);
}

static void begin_set(struct change *change)
{
        struct account *account = change->account;
        struct causes problems = { 0 };

        properties_copy(&change->values, &account->values);
        if (properties_apply(&change->values, change->request, &problems) < 0 ||
            properties_check(&change->values, &account->values, change->request, &problems) < 0)
                refuse(change, &problems);
        else
                write_change(change, &change->values);
        causes_free(&problems);
}

static uint64_t unsent(const char *name)
{
        struct queue_counts counts = queue_counts(name);
        uint64_t sum = 0;

        for (int state = 0; state < QUEUE_STATES; state++)
                sum += state == QUEUE_SENT ? 0 : counts.messages[state];
        return sum;
}

static void begin_delete(struct change *change)
{
        struct cause cause;
        uint64_t waiting = unsent(change->account->name);

        if (waiting && !change->force) {
                cause_set(&cause, CAUSE_STATE, "account %s has %llu messages in its queue that are not sent",
                          change->account->name, (unsigned long long)waiting);
                cause_remedy(&cause, "send them (emailsecctl account poll %s), delete them (emailsecctl queue delete), "
                                     "or repeat with --force",
                             change->account->name);
                refuse_one(change, &cause);
                return;
        }
        write_change(change, NULL);
}

static void begin(struct change *change)
{
        struct cause cause;

        if (change->account->deleted || account_named(change->account->name) != change->account) {
                cause_set(&cause, CAUSE_NOT_FOUND, "account %s has just been deleted", change->account->name);
                refuse_one(change, &cause);
        } else if (change->kind == CHANGE_DELETE) {
                begin_delete(change);
        } else if (change->account->unreadable) {
                cause = *change->account->cause;
                refuse_one(change, &cause);
        } else {
                begin_set(change);
        }
}

/* Runs waiting changes until one is being written. */
static void begin_next(struct account *account)
{
        while (!account->busy_writing && account->changes) {
                struct change *change = account->changes;
                account->changes = change->next;
                begin(change);
        }
}

static void push(struct change *change)
{
        struct change **at = &change->account->changes;

        while (*at)
                at = &(*at)->next;
        *at = change;
        begin_next(change->account);
}

static void none_of_that_name(const char *name, account_done done, void *ctx)
{
        struct causes problems = { 0 };
        struct cause *cause = causes_add(&problems);

        cause_about(cause, CAUSE_NOT_FOUND, "name", "there is no account \"%s\"", name);
        cause_remedy(cause, "emailsecctl account list");
        done(ctx, NULL, &problems);
        causes_free(&problems);
}

void accounts_set(const char *name, const json_t *properties_given, account_done done, void *ctx)
{
        struct account *account = account_named(name);

        if (!account) {
                none_of_that_name(name, done, ctx);
                return;
        }
        struct change *change = new_object(struct change);
        *change = (struct change){ .kind = CHANGE_SET, .account = account, .done = done, .ctx = ctx };
        change->request = json_deep_copy(properties_given);
        push(change);
}

void accounts_delete(const char *name, bool force, account_done done, void *ctx)
{
        struct account *account = account_named(name);

        if (!account) {
                none_of_that_name(name, done, ctx);
                return;
        }
        struct change *change = new_object(struct change);
        *change = (struct change){ .kind = CHANGE_DELETE, .account = account, .force = force, .done = done, .ctx = ctx };
        push(change);
}

void accounts_add(const char *name, const char *kind, const json_t *properties_given, account_done done, void *ctx)
{
        struct causes problems = { 0 };
        struct property_values values = { 0 };

        (void)values_of(&values, name, kind, properties_given, &problems);
        if (!problems.count && account_named(name)) {
                struct cause *cause = causes_add(&problems);
                cause_about(cause, CAUSE_EXISTS, "name", "there is already an account %s", name);
                cause_remedy(cause, "choose another name, or change it: emailsecctl account set %s PROP=VALUE", name);
        }
        if (!problems.count && accounts_count() >= LIMIT_ACCOUNTS)
                cause_about(causes_add(&problems), CAUSE_INVALID, "name", "there are %d accounts already", LIMIT_ACCOUNTS);
        if (problems.count) {
                done(ctx, NULL, &problems);
        } else {
                struct change *change = new_object(struct change);
                *change = (struct change){ .kind = CHANGE_ADD, .done = done, .ctx = ctx };
                change->account = account_new(&values);
                insert_account(change->account); /* holds the name while it is being written */
                write_change(change, &change->account->values);
        }
        properties_done(&values);
        causes_free(&problems);
}
