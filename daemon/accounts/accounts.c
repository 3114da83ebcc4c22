/* SPDX-License-Identifier: MIT */
/* The set of accounts, loaded from its files; see accounts.h. What was cut off by the end of a daemon is
 * ended here. */
#include "daemon/accounts/accounts_parts.h"

#include "common/limits.h"
#include "common/names.h"
#include "daemon/accounts/index.h"
#include "daemon/accounts/secrets.h"
#include "daemon/accounts/sorted.h"
#include "daemon/messages.h"
#include "daemon/settings.h"
#include "daemon/store/queue_table.h"
#include "daemon/store/replace_file.h"
#include "daemon/store/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { BUCKETS = 4096 };

static struct sorted every, outgoing;
static struct account *by_name[BUCKETS]; /* the same, to be found */

struct account *accounts_first(void)
{
        return every.count ? every.items[0] : NULL;
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
        return every.count;
}

struct account *accounts_after(const char *name)
{
        return sorted_after(&every, name);
}

struct account *accounts_walk_on(const struct accounts_walk *walk)
{
        return walk->at[0] ? accounts_after(walk->at) : accounts_first();
}

void accounts_walk_did(struct accounts_walk *walk, const struct account *account)
{
        (void)snprintf(walk->at, sizeof walk->at, "%s", account->name);
}

struct account *accounts_first_outgoing(void)
{
        return outgoing.count ? outgoing.items[0] : NULL;
}

struct account *accounts_default(struct cause *cause)
{
        const char *wanted = settings_current()->default_account;

        if (wanted && wanted[0]) {
                struct account *account = account_named(wanted);
                if (account && account_is_outgoing(account))
                        return account;
                cause_set(cause, CAUSE_NOT_FOUND, "DefaultAccount=%s names no outgoing account", wanted);
                cause_remedy(cause, "correct DefaultAccount= in [Service] of emailsecd.conf, then: "
                                    "emailsecctl reload; or add the "
                                    "account");
                return NULL;
        }
        if (outgoing.count > 1) {
                const char *first = outgoing.items[0]->name;
                cause_about(cause, CAUSE_NOT_FOUND, "account",
                            "there are several outgoing accounts (%s, %s%s) and no DefaultAccount=", first,
                            outgoing.items[1]->name, outgoing.count > 2 ? ", ..." : "");
                cause_remedy(
                        cause,
                        "name one (emailsecctl send --account NAME), or set DefaultAccount=%s or another "
                        "in [Service] of emailsecd.conf, then: emailsecctl reload",
                        first);
                return NULL;
        }
        if (outgoing.count == 0) {
                cause_about(cause, CAUSE_NOT_FOUND, "account", "there is no outgoing account");
                cause_remedy(cause, "emailsecctl account add outgoing NAME hostname=HOST");
        }
        return accounts_first_outgoing();
}

char *accounts_default_missing(void)
{
        struct cause cause = { 0 };

        if (outgoing.count == 0 || accounts_default(&cause))
                return NULL;
        return text_of("mail that names no account (sendmail, cron) is refused, since %s, unless an account "
                       "sends for its "
                       "sender (sendsFor, from): set DefaultAccount=NAME in [Service] of emailsecd.conf, "
                       "then: emailsecctl reload",
                       cause.text);
}

void accounts_insert(struct account *account)
{
        size_t at = sorted_insert(&every, account);

        account->next = at + 1 < every.count ? every.items[at + 1] : NULL;
        if (at)
                every.items[at - 1]->next = account;
        if (account_is_outgoing(account))
                (void)sorted_insert(&outgoing, account);
        *place_of(account->name) = account;
        account_count_in(account, true);
        index_add(account);
}

void accounts_take_out(struct account *account)
{
        size_t at = sorted_remove(&every, account);

        if (at == SIZE_MAX)
                return;
        if (at)
                every.items[at - 1]->next = account->next;
        if (account_is_outgoing(account))
                (void)sorted_remove(&outgoing, account);
        index_remove(account);
        account_count_in(account, false);
        *place_of(account->name) = account->same_bucket;
        account->next = account->same_bucket = NULL;
}

/* ---- loading ---- */

/* An account whose file cannot be read: it is there, in fault, and nothing runs. */
static struct account *unreadable_account(const char *name, const struct cause *cause)
{
        struct property_values values;

        properties_defaults(&values, KIND_OUTGOING);
        prop_put_text(&values, PROP_NAME, name);
        struct account *account = account_new(&values);
        account_cannot_be_read(account, cause);
        return account;
}

void accounts_tell_leftovers(const char *name, const struct owner_rows *rows)
{
        struct subject subject = { .account = name };

        if (rows->messages || rows->received)
                log_about(&subject, LOG_WARNING, MSG_ACCOUNT_CHANGED,
                          "%llu message%s in the queue (%llu not sent) and %llu records of received mail "
                          "were of an earlier "
                          "account %s, and are removed",
                          (unsigned long long)rows->messages, rows->messages == 1 ? "" : "s",
                          (unsigned long long)rows->unsent, (unsigned long long)rows->received, name);
}

static void load_again(struct account *account); /* which may renew */

static void renewed(void *ctx, const struct owner_rows *rows, const struct cause *cause)
{
        scoped(scoped_free) char *name = ctx;

        if (cause)
                return; /* the store closes */
        accounts_tell_leftovers(name, rows);
        struct account *account = account_named(name);
        if (account && account->unreadable && !account->busy_writing)
                load_again(account);
}

/* While the files are read beside a database that was just made: no name has anything under it. */
static bool nothing_is_kept;

/* Whose the rows under the name are. A file without an identity is of before there were any, or was written
 * by hand for the account that is known here. */
static bool belongs(const char *name, char id[OWNER_ID_SIZE])
{
        const char *bound = owner_id(name);

        if (owner_is_renewed(name))
                return false;
        if (!*id && bound)
                (void)snprintf(id, OWNER_ID_SIZE, "%s", bound);
        if ((bound && strcmp(bound, id) == 0) || !*id || (!bound && nothing_is_kept)) {
                if (!bound || !owner_is_there(name) || strcmp(bound, id) != 0)
                        owner_bind(name, id, OWNER_THERE);
                return true;
        }
        owner_renew(name, id, true, renewed, copy_text(name));
        return false;
}

/* The files of a folder in the order of their names (bytes, not the locale's). */
struct file_names {
        struct dirent **of;
        int count; /* -1: it could not be read */
};

static int by_file_name(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static void file_names_read(struct file_names *names, const char *folder,
                            int (*which)(const struct dirent *entry))
{
        *names = (struct file_names){ 0 };
        names->count = scandir(folder, &names->of, which, by_file_name);
}

static void file_names_free(struct file_names *names)
{
        for (int i = 0; i < names->count; i++)
                free(names->of[i]);
        free(names->of);
        *names = (struct file_names){ 0 };
}

static int compare_name(const void *name, const void *entry)
{
        return strcmp(name, (*(struct dirent *const *)entry)->d_name);
}

static bool file_names_have(const struct file_names *names, const char *name)
{
        return names->count > 0 &&
               bsearch(name, names->of, (size_t)names->count, sizeof(struct dirent *), compare_name);
}

/* Those of the secrets, while all accounts are loaded at the start: most have none. */
static const struct file_names *secret_files;

static void load_account(const char *name)
{
        struct property_values values = { 0 };
        struct cause cause = { 0 };
        char id[OWNER_ID_SIZE] = "";
        scoped(scoped_free) char *path = account_file_path(name);

        if (account_file_read(path, name, &values, id, &cause) < 0) {
                accounts_insert(unreadable_account(name, &cause));
                return;
        }
        if (!belongs(name, id)) {
                (void)cause_set(&cause, CAUSE_STATE,
                                "what may be kept for an earlier account %s is being removed", name);
                cause_remedy(&cause, "wait a moment");
                properties_done(&values);
                accounts_insert(unreadable_account(name, &cause));
                return;
        }
        struct account *account = account_new(&values);
        (void)snprintf(account->id, sizeof account->id, "%s", id);
        accounts_insert(account);
        if (secret_files && secret_files->count >= 0 && !file_names_have(secret_files, name))
                secrets_new(name, id);
        else
                secrets_load(name, id);
}

static int is_account_file(const struct dirent *entry)
{
        size_t len = strlen(entry->d_name);

        if (len <= 5 || strcmp(entry->d_name + len - 5, ".json") != 0)
                return 0;
        scoped(scoped_free) char *name = copy_bytes(entry->d_name, len - 5);
        return account_name_valid(name);
}

struct name_list {
        bool there;
        char **of;
        size_t count;
};

/* Gathered first: what is done about one changes the table. */
static void gather(void *ctx, const char *name, enum owner_state state)
{
        struct name_list *names = ctx;

        if ((state == OWNER_THERE) != names->there)
                return;
        names->of = new_resized(names->of, names->count + 1, sizeof *names->of);
        names->of[names->count++] = copy_text(name);
}

static void unbound(void *ctx, const struct owner_rows *rows, const struct cause *cause)
{
        scoped(scoped_free) char *name = ctx;

        if (!cause)
                accounts_tell_leftovers(name, rows);
}

/* Its rows went when the store was opened. Nobody shall see a secret of it either; what cannot be removed at
 * once is tried again. */
static void resume_deletion(const char *name)
{
        scoped(scoped_free) char *file = account_file_path(name), *secrets = secrets_file_path(name);
        struct cause cause = { 0 };

        if (remove_file(file, &cause) < 0 || remove_file(secrets, &cause) < 0)
                log_about(&(struct subject){ .account = name }, LOG_WARNING, MSG_ACCOUNT_CHANGED, "%s",
                          cause.text);
        account_deletion_resume(name);
}

/* Accounts that were being deleted go on going; one that was being added, and has no file, was not. */
static void end_what_was_cut(const struct file_names *files)
{
        struct name_list names = { 0 };

        owners_each(gather, &names);
        for (size_t i = 0; i < names.count; i++) {
                scoped(scoped_free) char *name = names.of[i];
                scoped(scoped_free) char *file = account_file_name(name);
                if (owner_is_going(name))
                        resume_deletion(name);
                else if (!file_names_have(files, file))
                        owner_renew(name, NULL, true, unbound, copy_text(name));
        }
        free(names.of);
}

/* Secrets of no account, and temporary files of a daemon that was killed. */
static int is_leftover(const struct dirent *entry)
{
        const char *name = entry->d_name;

        if (name[0] == '.')
                return strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
        return account_name_valid(name) && !account_name_taken(name);
}

static int is_temporary(const struct dirent *entry)
{
        return entry->d_name[0] == '.' && is_leftover(entry);
}

static void sweep_folder(const char *folder, int (*which)(const struct dirent *entry))
{
        struct dirent **files = NULL;
        int count = scandir(folder, &files, which, NULL);

        for (int i = 0; i < count; i++) {
                scoped(scoped_free) char *path = text_of("%s/%s", folder, files[i]->d_name);
                struct cause cause = { 0 };
                struct subject subject = { .account = files[i]->d_name };
                if (remove_file(path, &cause) < 0)
                        log_about(NULL, LOG_WARNING, MSG_ACCOUNT_CHANGED, "%s", cause.text);
                else if (files[i]->d_name[0] != '.')
                        log_about(&subject, LOG_NOTICE, MSG_ACCOUNT_CHANGED,
                                  "secrets of an account %s that does not exist were left over, and are "
                                  "removed",
                                  files[i]->d_name);
                free(files[i]);
        }
        free(files);
}

/* In their order, so that each goes to the end of the list. Those that are being deleted are taken. */
static void load_all(const char *folder, const struct file_names *files)
{
        for (int i = 0; i < files->count; i++) {
                const char *file = files->of[i]->d_name;
                scoped(scoped_free) char *name = copy_bytes(file, strlen(file) - 5);
                if (accounts_count() < LIMIT_ACCOUNTS && !account_name_taken(name))
                        load_account(name);
        }
        if (files->count > LIMIT_ACCOUNTS)
                log_about(NULL, LOG_ERR, MSG_ACCOUNT_UNREADABLE,
                          "%s holds %d accounts: the last %d by name are left alone, "
                          "%d are the most",
                          folder, files->count, files->count - LIMIT_ACCOUNTS, LIMIT_ACCOUNTS);
}

/* A deletion leaves no such thing: the files were lost. The accounts are there, in fault, and what is kept
 * for them stays. */
static void load_lost(void)
{
        struct name_list names = { .there = true };

        owners_each(gather, &names);
        for (size_t i = 0; i < names.count; i++) {
                if (accounts_count() < LIMIT_ACCOUNTS && !account_name_taken(names.of[i]))
                        load_account(names.of[i]);
                free(names.of[i]);
        }
        free(names.of);
}

int accounts_open(struct cause *cause)
{
        scoped(scoped_free) char *folder = account_files_folder();
        scoped(scoped_free) char *secrets = text_of("%s/secrets", store_directory());

        if (make_folder(folder, 0700, cause) < 0 || make_folder(secrets, 0700, cause) < 0 ||
            apply_recover(cause) < 0)
                return -1;
        struct file_names scoped(file_names_free) files, scoped(file_names_free) of_secrets = { 0 };
        file_names_read(&files, folder, is_account_file);
        if (files.count < 0)
                return cause_errno(cause, errno, "cannot read %s", folder);
        file_names_read(&of_secrets, secrets, NULL);
        end_what_was_cut(&files);
        nothing_is_kept = store_is_new();
        secret_files = &of_secrets;
        load_all(folder, &files);
        nothing_is_kept = false;
        load_lost();
        secret_files = NULL;
        sweep_folder(folder, is_temporary);
        sweep_folder(secrets, files.count > LIMIT_ACCOUNTS ? is_temporary : is_leftover);
        return 0;
}

static void load_again(struct account *account)
{
        scoped(scoped_free) char *name = copy_text(account->name);

        accounts_take_out(account);
        load_account(name);
        account_tell_added(account_named(name));
        account_tell_removed(account);
}

/* Those that cannot be read, in order of name, while some of them come and go: the first one behind `at`. */
static struct account *next_unreadable(struct accounts_walk *at)
{
        struct account *account = index_next(INDEX_UNREADABLE, "", 0, at->at);

        if (account)
                accounts_walk_did(at, account);
        return account;
}

void accounts_read_again(void)
{
        struct accounts_walk walk = { 0 };

        for (struct account *account; (account = next_unreadable(&walk));)
                if (!account->busy_writing)
                        load_again(account);
}

static bool can_be_read(const char *name)
{
        struct property_values values = { 0 };
        struct cause cause = { 0 };
        char id[OWNER_ID_SIZE] = "";
        scoped(scoped_free) char *path = account_file_path(name);

        if (account_file_read(path, name, &values, id, &cause) < 0)
                return false;
        properties_done(&values);
        return true;
}

size_t accounts_try_again(void)
{
        struct accounts_walk walk = { 0 };
        size_t unreadable = 0;

        for (struct account *account; (account = next_unreadable(&walk));)
                if (account->busy_writing || owner_is_renewed(account->name) || !can_be_read(account->name))
                        unreadable++;
                else
                        load_again(account);
        return unreadable;
}

void accounts_close(void)
{
        account_changes_close();
        index_close();
        while (every.count) { /* from the end: nothing moves */
                struct account *account = every.items[every.count - 1];
                accounts_take_out(account);
                account_free(account);
        }
        secrets_close();
}
