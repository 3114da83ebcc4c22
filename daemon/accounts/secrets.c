/* SPDX-License-Identifier: MIT */
/*
 * Stored passwords and credentials: read, given out, set, wiped; see secrets.h.
 *
 * A secret is either a text in secrets/NAME (0600, bound to the account's identity: a file that an earlier
 * account of that name left is removed, never used) or the ID of a systemd credential, which is read anew at
 * start and reload. Texts are freed by free_secret(), which wipes them; none is logged, sent to a client or
 * put into a cause. Loop only; writes go through replace_file, one after the other for each account, and what
 * secret_get() gives is the old text until the new one is on disk.
 */
#include "daemon/accounts/secrets.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "daemon/journal.h"
#include "daemon/messages.h"
#include "daemon/store/fetched_table.h"
#include "daemon/store/owner.h"
#include "daemon/store/replace_file.h"
#include "daemon/store/store.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

struct secret {
        char *value;      /* stored, or read from the credential */
        char *credential; /* its ID; NULL: stored */
};

/* One that is to change. */
struct setting {
        char *account;
        int kind;
        struct secret secret;
        void (*done)(void *ctx, const struct cause *cause);
        void *ctx;
        struct setting *next;
};

struct keeper { /* the secrets of one account */
        char *account;
        char *id; /* its identity */
        struct secret of[SECRET_KINDS];
        char *broken;             /* why the file that is there cannot be used; NULL: it can */
        struct setting *settings; /* asked for; the first is being written */
        struct keeper *next;      /* in its bucket */
};

enum { BUCKETS = 4096 };
static struct keeper *keepers[BUCKETS]; /* by the hash of the account's name */

static int kind_index(const char *kind)
{
        for (int i = 0; i < (int)SECRET_KINDS; i++)
                if (same_text(property_secrets[i].name, kind))
                        return i;
        return -1;
}

bool secret_kind_valid(const char *kind)
{
        return kind_index(kind) >= 0;
}

/* Where the keeper of that account hangs, or would. */
static struct keeper **place_of(const char *account)
{
        struct keeper **place = &keepers[text_hash(account) % BUCKETS];

        while (*place && strcmp((*place)->account, account) != 0)
                place = &(*place)->next;
        return place;
}

static struct keeper *keeper_of(const char *account)
{
        return *place_of(account);
}

/* One for each account for as long as it is there, also without any secret. */
static struct keeper *keeper_made(const char *account)
{
        struct keeper **place = place_of(account);

        if (!*place) {
                *place = new_object(struct keeper);
                (*place)->account = copy_text(account);
                (*place)->id = copy_text(owner_id(account) ? owner_id(account) : "");
        }
        return *place;
}

static void secret_clear(struct secret *secret)
{
        free_secret(take(secret->value));
        free(take(secret->credential));
}

char *secrets_file_path(const char *account)
{
        return text_of("%s/secrets/%s", store_directory(), account);
}

static int is_visible(const struct dirent *entry)
{
        return entry->d_name[0] != '.';
}

/* There is none of that name: which there are, since those of a folder are named by the folder and their
 * file. */
static void no_credential(const char *id, const char *folder, struct cause *cause)
{
        enum { NAMES = 8 };
        struct dirent **found = NULL;
        int count = folder ? scandir(folder, &found, is_visible, alphasort) : 0;
        char *names = copy_text("");

        for (int i = 0; i < count; i++) {
                if (i < NAMES) {
                        char *more = text_of("%s%s%s", names, i ? ", " : "", found[i]->d_name);
                        free(names);
                        names = more;
                }
                free(found[i]);
        }
        free(found);
        cause_set(cause, CAUSE_SECRET, "credential %s: the service was given %s%s%s", id,
                  names[0] ? "others: " : "no credentials", names, count > NAMES ? ", ..." : "");
        cause_remedy(cause,
                     "systemctl edit emailsecd, [Service], LoadCredential=%s:FILE; then: systemctl restart "
                     "emailsecd. "
                     "Of a folder, LoadCredential=NAME:FOLDER, each file is the credential NAME_FILE",
                     id);
        free(names);
}

/* One credential of $CREDENTIALS_DIRECTORY, without what an editor put around it. */
static char *read_credential(const char *id, struct cause *cause)
{
        const char *folder = getenv("CREDENTIALS_DIRECTORY");

        if (!folder) {
                no_credential(id, NULL, cause);
                return NULL;
        }
        scoped(scoped_free) char *path = text_of("%s/%s", folder, id);
        struct buf bytes;
        struct cause why = { 0 };
        int found = read_file(path, LIMIT_SECRET, &bytes, &why);
        if (found <= 0) {
                no_credential(id, folder, cause);
                if (found < 0)
                        cause_set(cause, CAUSE_SECRET, "credential %s: %s", id, why.text);
                buf_wipe(&bytes);
                return NULL;
        }
        size_t len = bytes.len;
        const char *bare = secret_bare((const char *)buf_bytes(&bytes), &len);
        char *value = copy_bytes(bare, len);
        buf_wipe(&bytes);
        return value;
}

/* Files of before the identities have none; they belong to accounts of that time, whose identity is "". */
static bool is_of(const struct keeper *keeper, const json_t *object)
{
        const char *id = json_string_value(json_object_get(object, "account"));

        return strcmp(id ? id : "", keeper->id) == 0;
}

/* Secrets of an earlier account of that name. */
static void drop_file(const char *path, const char *account)
{
        struct cause cause = { 0 };
        struct subject subject = { .account = account };

        if (remove_file(path, &cause) < 0)
                log_about(&subject, LOG_WARNING, MSG_ACCOUNT_CHANGED, "%s", cause.text);
        else
                log_about(&subject, LOG_NOTICE, MSG_ACCOUNT_CHANGED,
                          "secrets of an earlier account %s were left over, and are removed", account);
}

/* A credential that cannot be read has its ID and no value: secret_get() tells why, when it is asked for. */
static void take_json(struct keeper *keeper, const json_t *object)
{
        for (size_t i = 0; i < SECRET_KINDS; i++) {
                const json_t *one = json_object_get(object, property_secrets[i].name);
                const char *value = json_string_value(json_object_get(one, "value"));
                const char *credential = json_string_value(json_object_get(one, "credential"));
                secret_clear(&keeper->of[i]);
                keeper->of[i].credential = copy_text(credential);
                keeper->of[i].value = credential ? read_credential(credential, NULL) : copy_text(value);
        }
}

void secrets_new(const char *account, const char *id)
{
        struct keeper *keeper = keeper_made(account);

        free(keeper->id);
        keeper->id = copy_text(id);
        free(take(keeper->broken));
        for (size_t i = 0; i < SECRET_KINDS; i++)
                secret_clear(&keeper->of[i]);
}

static void read_secrets(struct keeper *keeper)
{
        const char *account = keeper->account;
        scoped(scoped_free) char *path = secrets_file_path(account);
        struct buf bytes;
        struct cause why = { 0 };
        int found = read_file(path, LIMIT_SECRET, &bytes, &why);

        scoped(scoped_free) char *before = take(keeper->broken);
        if (found > 0) {
                json_t *object =
                        json_loadb((const char *)buf_bytes(&bytes), bytes.len, JSON_REJECT_DUPLICATES, NULL);
                if (json_is_object(object) && is_of(keeper, object))
                        take_json(keeper, object);
                else if (json_is_object(object))
                        drop_file(path, account);
                else
                        keeper->broken = text_of("%s is damaged", path);
                json_decref(object);
        } else if (found < 0) {
                keeper->broken = copy_text(why.text);
        }
        if (keeper->broken && !same_text(keeper->broken, before))
                log_about(&(struct subject){ .account = account }, LOG_ERR, MSG_ACCOUNT_UNREADABLE,
                          "the secrets of account %s cannot be read: %s", account, keeper->broken);
        buf_wipe(&bytes);
}

void secrets_load(const char *account, const char *id)
{
        struct keeper *keeper = keeper_made(account);
        char *own = copy_text(id);

        free(keeper->id);
        keeper->id = own;
        read_secrets(keeper);
}

static void keeper_reload(struct keeper *keeper)
{
        if (keeper->broken)
                read_secrets(keeper);
        for (size_t i = 0; i < SECRET_KINDS; i++)
                if (keeper->of[i].credential) {
                        free_secret(take(keeper->of[i].value));
                        keeper->of[i].value = read_credential(keeper->of[i].credential, NULL);
                }
}

void secrets_reload(void)
{
        for (size_t i = 0; i < BUCKETS; i++)
                for (struct keeper *keeper = keepers[i]; keeper; keeper = keeper->next)
                        keeper_reload(keeper);
}

size_t secrets_try_again(void (*healed)(const char *account))
{
        size_t broken = 0;

        for (size_t i = 0; i < BUCKETS; i++)
                for (struct keeper *keeper = keepers[i]; keeper; keeper = keeper->next) {
                        if (!keeper->broken)
                                continue;
                        read_secrets(keeper);
                        if (keeper->broken)
                                broken++;
                        else
                                healed(keeper->account);
                }
        return broken;
}

static void setting_free(struct setting *setting)
{
        secret_clear(&setting->secret);
        free(setting->account);
        free(setting);
}

static void keeper_free(struct keeper *keeper)
{
        for (size_t i = 0; i < SECRET_KINDS; i++)
                secret_clear(&keeper->of[i]);
        struct setting *waiting =
                keeper->settings ? keeper->settings->next : NULL; /* the first has an answer to come */
        struct cause cause;
        (void)cause_set(&cause, CAUSE_NOT_FOUND, "account %s has just been deleted", keeper->account);
        while (waiting) {
                struct setting *setting = waiting;
                waiting = setting->next;
                setting->done(setting->ctx, &cause);
                setting_free(setting);
        }
        free(keeper->account);
        free(keeper->id);
        free(keeper->broken);
        free(keeper);
}

/* Takes it out of the table, wiped. */
static void keeper_drop(struct keeper **place)
{
        struct keeper *keeper = *place;

        *place = keeper->next;
        keeper_free(keeper);
}

void secrets_close(void)
{
        for (size_t i = 0; i < BUCKETS; i++)
                while (keepers[i])
                        keeper_drop(&keepers[i]);
}

const char *secret_get(const char *account, const char *kind, struct cause *cause)
{
        struct keeper *keeper = keeper_of(account);
        int index = kind_index(kind);

        if (keeper && keeper->broken) {
                cause_set(cause, CAUSE_SECRET, "%s", keeper->broken);
                cause_remedy(cause,
                             "repair the file, which is read again every few seconds; or set it anew: "
                             "emailsecctl account password %s",
                             account);
                return NULL;
        }
        if (!keeper || index < 0 || (!keeper->of[index].value && !keeper->of[index].credential)) {
                cause_set(cause, CAUSE_SECRET, "no %s is stored for account %s", kind, account);
                cause_remedy(cause, "emailsecctl account password %s%s%s", account,
                             index > 0 ? " --secret " : "", index > 0 ? kind : "");
                return NULL;
        }
        if (!keeper->of[index].value)
                keeper->of[index].value = read_credential(keeper->of[index].credential, cause);
        return keeper->of[index].value;
}

void cause_of_account(struct cause *cause, const char *account)
{
        static const char phrase[] = "emailsecctl account password NAME";
        struct keeper *keeper = keeper_of(account);
        const char *id = keeper ? keeper->of[SECRET_PASSWORD].credential : NULL; /* the password */
        scoped(scoped_free) char *general = copy_text(cause_remedy_of(cause));
        const char *at = id ? strstr(general, phrase) : NULL, *rest = at ? at + strlen(phrase) : NULL;

        if (at && (!*rest || *rest == ';' || *rest == ','))
                cause_remedy(cause,
                             "%.*scorrect credential %s where the unit takes it from (systemctl cat "
                             "emailsecd), and: "
                             "systemctl restart emailsecd%s",
                             (int)(at - general), general, id, rest);
        cause_for_account(cause, account);
}

bool secret_is_missing(const struct property_values *values)
{
        const char *name = prop_text(values, PROP_NAME), *grant = prop_text(values, PROP_OAUTH_GRANT);
        bool token = prop_fetches_tokens(values);

        if (!prop_text(values, PROP_ACCOUNT)[0] || prop_is(values, WORD_EXTERNAL) ||
            (token && (same_text(grant, "jwtBearer") || same_text(grant, "clientCredentials"))))
                return false;
        scoped(scoped_free) char *source = secret_source(name, token ? "oauthRefreshToken" : "password");
        return same_text(source, "none");
}

char *secret_source(const char *account, const char *kind)
{
        struct keeper *keeper = keeper_of(account);
        int index = kind_index(kind);

        if (!keeper || index < 0)
                return copy_text("none");
        if (keeper->of[index].credential)
                return text_of("credential:%s", keeper->of[index].credential);
        return copy_text(keeper->of[index].value ? "stored" : "none");
}

/* ---- setting ---- */

static void put_secret(json_t *object, const char *kind, const struct secret *secret)
{
        json_t *one = json_object();

        if (secret->credential)
                json_put_text(one, "credential", secret->credential);
        else if (secret->value)
                json_put_text(one, "value", secret->value);
        if (json_object_size(one))
                json_put(object, kind, json_incref(one));
        json_decref(one);
}

/* The file's content with one set anew; NULL when it holds nothing. Wiped and freed by the caller. */
static char *keeper_text(const struct keeper *keeper, const struct setting *setting)
{
        json_t *object = json_object();

        for (int i = 0; i < (int)SECRET_KINDS; i++)
                put_secret(object, property_secrets[i].name,
                           i == setting->kind ? &setting->secret : &keeper->of[i]);
        if (json_object_size(object) && *keeper->id)
                json_put_text(object, "account", keeper->id);
        char *text = json_object_size(object) ? json_dumps(object, JSON_INDENT(1)) : NULL;
        json_decref(object);
        return text;
}

static void write_first(struct keeper *keeper);

static void setting_written(void *ctx, const struct cause *cause)
{
        struct setting *setting = ctx;
        struct keeper *keeper = keeper_of(setting->account);
        bool there = keeper && keeper->settings == setting; /* else it was forgotten meanwhile */

        if (there) {
                keeper->settings = setting->next;
                if (!cause_happened(cause)) {
                        secret_clear(&keeper->of[setting->kind]);
                        keeper->of[setting->kind] = setting->secret;
                        setting->secret = (struct secret){ 0 };
                        free(take(keeper->broken));
                }
                if (keeper->settings)
                        write_first(keeper);
        }
        setting->done(setting->ctx, cause_or_null(cause));
        setting_free(setting);
}

static void write_first(struct keeper *keeper)
{
        scoped(scoped_free) char *path = secrets_file_path(keeper->account);
        scoped(scoped_free_secret) char *text = keeper_text(keeper, keeper->settings);

        replace_file_later(path, text, text ? strlen(text) : 0, setting_written, keeper->settings);
}

void secret_set(const char *account, const char *kind, const char *value, const char *credential,
                void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct keeper *keeper = keeper_made(account);
        struct setting *setting = new_object(struct setting), **at = &keeper->settings;

        *setting = (struct setting){ .account = copy_text(account),
                                     .kind = kind_index(kind) < 0 ? 0 : kind_index(kind),
                                     .secret = { .value = copy_text(value),
                                                 .credential = copy_text(credential) },
                                     .done = done,
                                     .ctx = ctx };
        while (*at)
                at = &(*at)->next;
        *at = setting;
        if (keeper->settings == setting)
                write_first(keeper);
}

void secrets_forget(const char *account)
{
        struct keeper **place = place_of(account);

        if (*place)
                keeper_drop(place);
}
