/* SPDX-License-Identifier: MIT */
/*
 * Restoring; see restore.h. The state folder is locked throughout, so that no daemon starts meanwhile. The
 * unpacked files lie in restoring.new; that name becomes `restoring` while they are moved, and a station does
 * not start beside that: a mixture of two stations is no station.
 */
#include "daemon/service/restore.h"

#include "common/json_fields.h"
#include "daemon/accounts/accounts_parts.h"
#include "daemon/session/token.h"
#include "daemon/store/backup_parts.h"
#include "daemon/store/database_copy.h"
#include "daemon/store/disk.h"
#include "daemon/store/replace_file.h"
#include "daemon/store/store.h"
#include "daemon/store/unpack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct restore {
        const char *directory;
        char *fresh, *moving, *aside; /* restoring.new, restoring, replaced-TIME */
        struct unpacked unpacked;
        int64_t messages;
};

static int is_visible(const struct dirent *entry)
{
        return entry->d_name[0] != '.';
}

/* How many entries the folder has; none where it is not there. */
static int entries_in(const char *directory, const char *name)
{
        scoped(scoped_free) char *path = text_of("%s/%s", directory, name);
        struct dirent **names = NULL;
        int count = scandir(path, &names, is_visible, NULL);

        for (int i = 0; i < count; i++)
                free(names[i]);
        free(names);
        return count > 0 ? count : 0;
}

static bool is_there(const char *directory, const char *name)
{
        scoped(scoped_free) char *path = text_of("%s/%s", directory, name);
        struct stat st;

        return lstat(path, &st) == 0;
}

/* A station that was just installed has nothing of its own. */
static int check_empty(const char *directory, struct cause *cause)
{
        static const char *const told_by[] = { "accounts", "devices", "trust", "keys", "secrets", "mail" };
        scoped(scoped_free) char *database = text_of("%s/station.db", directory);
        struct cause ignored = { 0 };
        int64_t messages = 0;
        bool empty = !is_there(directory, "restoring");

        for (size_t i = 0; i < count_of(told_by); i++)
                empty = empty && !entries_in(directory, told_by[i]);
        if (empty && is_there(directory, "station.db"))
                empty = database_check(database, &messages, &ignored) == 0 && !messages;
        if (empty)
                return 0;
        cause_set(cause, CAUSE_EXISTS, "there is a station in %s already", directory);
        cause_remedy(cause,
                     "--force sets its files aside in a folder beside, and puts the backup in their place");
        return -1;
}

/* ---- what was unpacked ---- */

static int check_accounts(const struct restore *restore)
{
        scoped(scoped_free) char *folder = text_of("%s/accounts", restore->fresh);
        struct dirent **names = NULL;
        int count = scandir(folder, &names, is_visible, alphasort), good = 0;

        for (int i = 0; i < count; i++) {
                size_t len = strlen(names[i]->d_name);
                if (len > 5 && strcmp(names[i]->d_name + len - 5, ".json") == 0) {
                        scoped(scoped_free) char *path = text_of("%s/%s", folder, names[i]->d_name);
                        scoped(scoped_free) char *name = copy_bytes(names[i]->d_name, len - 5);
                        struct property_values values;
                        struct cause why = { 0 };
                        char id[OWNER_ID_SIZE];
                        if (account_file_read(path, name, &values, id, &why) == 0) {
                                good++;
                                properties_done(&values);
                        } else {
                                printf("not readable, as it was backed up: account %s: %s\n", name, why.text);
                        }
                }
                free(names[i]);
        }
        free(names);
        return good;
}

static int check_unpacked(struct restore *restore, struct cause *cause)
{
        scoped(scoped_free) char *database = text_of("%s/station.db", restore->fresh);

        return database_check(database, &restore->messages, cause);
}

/* ---- moving ---- */

/* Everything of one folder to the other but what belongs to the folder itself. */
static int move_all(const char *from, const char *to, struct cause *cause)
{
        struct dirent **names = NULL;
        int count = scandir(from, &names, is_visible, alphasort), result = 0;

        if (count < 0)
                return cause_errno(cause, errno, "cannot read %s", from);
        for (int i = 0; i < count; i++) {
                scoped(scoped_free) char *old = text_of("%s/%s", from, names[i]->d_name);
                scoped(scoped_free) char *new = text_of("%s/%s", to, names[i]->d_name);
                if (!backup_stays(names[i]->d_name) && result == 0 &&
                    disk_rename(AT_FDCWD, old, AT_FDCWD, new) < 0)
                        result = cause_errno(cause, errno, "cannot move %s to %s", old, new);
                free(names[i]);
        }
        free(names);
        return result;
}

static int sync_all(const char *directory, struct cause *cause)
{
        scoped(scoped_close) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 || syncfs(fd) < 0 ? cause_errno(cause, errno, "cannot write %s to disk", directory) : 0;
}

static int put_in_place(const struct restore *restore, struct cause *cause)
{
        if (sync_all(restore->directory, cause) < 0 || remove_tree(restore->moving, cause) < 0)
                return -1;
        if (disk_rename(AT_FDCWD, restore->fresh, AT_FDCWD, restore->moving) < 0)
                return cause_errno(cause, errno, "cannot rename %s", restore->fresh);
        if (make_folder(restore->aside, 0700, cause) < 0 ||
            move_all(restore->directory, restore->aside, cause) < 0 ||
            move_all(restore->moving, restore->directory, cause) < 0)
                return -1;
        if (rmdir(restore->moving) < 0)
                return cause_errno(cause, errno, "cannot remove %s", restore->moving);
        return sync_all(restore->directory, cause);
}

/* ---- what to tell ---- */

static bool lacks_password(const struct restore *restore, const struct property_values *values)
{
        scoped(scoped_free) char *secrets = text_of("secrets/%s", prop_text(values, PROP_NAME));

        return prop_text(values, PROP_ACCOUNT)[0] && !prop_is(values, WORD_EXTERNAL) &&
               !is_there(restore->directory, secrets);
}

static void tell_command(bool *any, const char *command, const char *name, const char *more)
{
        printf("%s  emailsecctl %s %s%s\n",
               *any ? "" : "Not in the archive, to be given anew once it runs:\n", command, name, more);
        *any = true;
}

static void tell_missing_of(const struct restore *restore, const struct property_values *values, bool *any)
{
        const char *key = prop_text(values, PROP_CLIENT_CERTIFICATE), *name = prop_text(values, PROP_NAME);
        scoped(scoped_free) char *file = text_of("keys/%s.pem", key);

        if (lacks_password(restore, values))
                tell_command(any, prop_fetches_tokens(values) ? "account authorize" : "account password",
                             name, "");
        if (key[0] && !is_there(restore->directory, file))
                tell_command(any, "trust key import", key, " FILE");
}

static void tell_missing(const struct restore *restore)
{
        scoped(scoped_free) char *folder = text_of("%s/accounts", restore->directory);
        struct dirent **names = NULL;
        int count = scandir(folder, &names, is_visible, alphasort);
        bool any = false;

        for (int i = 0; i < count; i++) {
                size_t len = strlen(names[i]->d_name);
                scoped(scoped_free) char *path = text_of("%s/%s", folder, names[i]->d_name);
                scoped(scoped_free) char *name = copy_bytes(names[i]->d_name, len > 5 ? len - 5 : 0);
                struct property_values values;
                char id[OWNER_ID_SIZE];
                if (account_file_read(path, name, &values, id, NULL) == 0) {
                        tell_missing_of(restore, &values, &any);
                        properties_done(&values);
                }
                free(names[i]);
        }
        free(names);
        if (!json_is_true(json_object_get(restore->unpacked.about, "mail")))
                printf("Received mail is not in the archive.\n");
}

static void tell(const struct restore *restore, int accounts, bool kept)
{
        const json_t *about = restore->unpacked.about;
        const char *made = json_string_value(json_object_get(about, "made")),
                   *host = json_string_value(json_object_get(about, "host"));

        printf("Restored to %s: the backup of %s, made %s.\n", restore->directory,
               host && *host ? host : "a station", made ? made : "at an unknown time");
        printf("  %d account%s, %lld message%s in the queue, %d trusted certificate%s; %llu files in all, "
               "all as they were backed up.\n",
               accounts, accounts == 1 ? "" : "s", (long long)restore->messages,
               restore->messages == 1 ? "" : "s", entries_in(restore->directory, "trust"),
               entries_in(restore->directory, "trust") == 1 ? "" : "s",
               (unsigned long long)restore->unpacked.files);
        if (kept)
                printf("What was there before: %s; remove it when it is no longer needed.\n", restore->aside);
        tell_missing(restore);
        printf("Settings (/etc/emailsecd) and credentials of the unit are no part of a backup.\n"
               "The station that was backed up must no longer run: it would send the same mail.\n"
               "Next:\n  systemctl start emailsecd\n  emailsecctl status\n");
}

/* ---- all of it ---- */

static int restore_into(struct restore *restore, int fd, bool force, struct cause *cause)
{
        bool empty = check_empty(restore->directory, cause) == 0;

        if (!empty && !force)
                return -1;
        if (remove_tree(restore->fresh, cause) < 0 || make_folder(restore->fresh, 0700, cause) < 0 ||
            unpack_archive(fd, restore->fresh, &restore->unpacked, cause) < 0 ||
            check_unpacked(restore, cause) < 0) {
                if (remove_tree(restore->fresh, NULL) < 0)
                        printf("%s is left over, to be removed\n", restore->fresh);
                return -1;
        }
        int accounts = check_accounts(restore);
        if (put_in_place(restore, cause) < 0)
                return -1;
        bool kept = !empty || remove_tree(restore->aside, NULL) < 0;
        tell(restore, accounts, kept);
        return 0;
}

int restore_station(int fd, const char *directory, bool force, struct cause *cause)
{
        struct restore restore = { .directory = directory };
        char moment[32] = "";
        time_t now = time(NULL);
        struct tm utc;

        if (store_lock(directory, cause) < 0) {
                if (cause->code == CAUSE_STATE)
                        cause_remedy(cause,
                                     "stop it first: systemctl stop emailsecd.socket emailsecd.service");
                return -1;
        }
        (void)strftime(moment, sizeof moment, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &utc));
        restore.fresh = text_of("%s/restoring.new", directory);
        restore.moving = text_of("%s/restoring", directory);
        restore.aside = text_of("%s/replaced-%s", directory, moment);
        cause_clear(cause);
        int result = restore_into(&restore, fd, force, cause);
        json_decref(restore.unpacked.about);
        free(restore.fresh);
        free(restore.moving);
        free(restore.aside);
        store_unlock();
        return result;
}
