/* SPDX-License-Identifier: MIT */
/* The devices and their files; see devices.h. A change counts once it is on disk. */
#include "daemon/accounts/devices.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "common/times.h"
#include "daemon/accounts/accounts.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/store/replace_file.h"

#include <dirent.h>
#include <errno.h>

/* ---- its file ---- */

static void put_bytes(json_t *object, const char *name, const uint8_t *bytes, size_t len)
{
        scoped(scoped_free) char *text = base64_encode(bytes, len);

        json_put_text(object, name, text);
}

/* What a file holds; the caller wipes and frees it. */
static char *device_file_text(const struct device *device)
{
        json_t *object = json_object();

        json_put_text(object, "name", device->name);
        json_put_text(object, "account", device->account);
        json_put_text(object, "from", device->from);
        json_put(object, "added", json_integer(device->added));
        json_put_text(object, "addedBy", device->added_by);
        if (device->has_keys) {
                json_t *password = json_object();
                json_put_text(password, "mechanism", "SCRAM-SHA-256");
                json_put(password, "iterations", json_integer(device->keys.rounds));
                put_bytes(password, "salt", device->keys.salt, SCRAM_SALT);
                put_bytes(password, "storedKey", device->keys.stored, SCRAM_KEY);
                put_bytes(password, "serverKey", device->keys.server, SCRAM_KEY);
                json_put(object, "password", password);
        }
        char *text = json_dumps(object, JSON_INDENT(1));
        json_decref(object);
        if (!text)
                abort();
        return text;
}

/* Exactly so many bytes: a shorter key would be compared with what was in memory before. */
static bool get_bytes(const json_t *object, const char *name, uint8_t *out, size_t size)
{
        const char *text = json_string_value(json_object_get(object, name));
        uint8_t *bytes = NULL;
        size_t len = 0;

        if (!text || base64_decode(text, strlen(text), &bytes, &len) < 0)
                return false;
        bool fits = len == size;
        if (fits)
                memcpy(out, bytes, size);
        explicit_bzero(bytes, len);
        free(bytes);
        return fits;
}

/* At least 4096 rounds (RFC 7677, 4), and no more than a thread does in a second or so: the number stands
 * in a file that somebody may have edited. */
static bool read_keys(const json_t *password, struct scram_keys *keys)
{
        json_int_t rounds = json_integer_value(json_object_get(password, "iterations"));

        keys->rounds = (unsigned)rounds;
        return rounds >= 4096 && rounds <= SCRAM_ROUNDS_MOST &&
               get_bytes(password, "salt", keys->salt, SCRAM_SALT) &&
               get_bytes(password, "storedKey", keys->stored, SCRAM_KEY) &&
               get_bytes(password, "serverKey", keys->server, SCRAM_KEY);
}

/* Fills in what the file says of the device, whose name is known. False: it is no device's file. */
static bool device_from_file(struct device *device, const json_t *object)
{
        const json_t *password = json_object_get(object, "password");
        const char *from = json_string_value(json_object_get(object, "from"));
        const char *account = json_string_value(json_object_get(object, "account"));

        if (!same_text(json_string_value(json_object_get(object, "name")), device->name) ||
            (from && address_check(from, false, NULL) < 0) || (account && !account_name_valid(account)))
                return false;
        device->account = copy_text(account);
        device->from = copy_text(from);
        device->added = (time_t)json_integer_value(json_object_get(object, "added"));
        device->added_by = copy_text(json_string_value(json_object_get(object, "addedBy")));
        device->has_keys = json_is_object(password) && read_keys(password, &device->keys);
        return !password || device->has_keys;
}

/* ---- the devices ---- */

static struct {
        char *folder; /* NULL: closed */
        struct device *first;
        /* With those that cannot be read: at most LIMIT_DEVICES. */
        size_t count;
        struct workers *hashing;
} devices;

static void device_free(struct device *device)
{
        if (!device)
                return;
        free(device->name);
        free(device->account);
        free(device->from);
        free(device->added_by);
        free(device->unreadable);
        explicit_bzero(&device->keys, sizeof device->keys);
        free(device);
}

/* What is being changed is a copy: the device signs in as before until the disk has the new one. */
static struct device *device_copy(const struct device *from)
{
        struct device *device = new_object(struct device);

        *device = *from;
        device->name = copy_text(from->name);
        device->account = copy_text(from->account);
        device->from = copy_text(from->from);
        device->added_by = copy_text(from->added_by);
        device->unreadable = NULL;
        device->next = NULL;
        return device;
}

static void unlist(const char *name)
{
        struct device **at = &devices.first;

        while (*at && strcmp((*at)->name, name) != 0)
                at = &(*at)->next;
        struct device *found = *at;
        if (!found)
                return;
        *at = found->next;
        devices.count--;
        device_free(found);
}

/* In order of name, in place of one of that name. */
static void enlist(struct device *device)
{
        struct device **at = &devices.first;

        unlist(device->name);
        while (*at && strcmp((*at)->name, device->name) < 0)
                at = &(*at)->next;
        device->next = *at;
        *at = device;
        devices.count++;
}

/* ---- reading ---- */

/* A file that cannot be read makes a device that cannot sign in: it is shown with its fault, and its name
 * stays taken. */
static void load(const char *file, size_t name_len)
{
        struct device *device = new_object(struct device);
        scoped(scoped_free) char *path = text_of("%s/%s", devices.folder, file);
        struct cause cause = { 0 };
        struct buf bytes;

        device->name = copy_bytes(file, name_len);
        int found = read_file(path, LIMIT_SECRET, &bytes, &cause);
        json_t *object = found > 0 ? json_loadb((const char *)buf_bytes(&bytes), bytes.len, 0, NULL) : NULL;
        if (found > 0 && !device_from_file(device, object))
                (void)cause_set(&cause, CAUSE_STATE, "it is no device's file");
        if (cause_happened(&cause)) {
                device->has_keys = false;
                device->unreadable = copy_text(cause.text);
                log_about(&(struct subject){ .file = path }, LOG_ERR, NULL,
                          "device %s cannot sign in: %s: %s", device->name, path, cause.text);
        }
        json_decref(object);
        buf_wipe(&bytes);
        enlist(device);
}

void devices_open(const char *state_directory)
{
        struct dirent *entry;

        devices.folder = text_of("%s/devices", state_directory);
        DIR *list = opendir(devices.folder);
        if (!list && errno != ENOENT)
                log_about(NULL, LOG_ERR, NULL, "no device can sign in: cannot read %s: %s", devices.folder,
                          strerror(errno));
        while (list && (entry = readdir(list)) != NULL) {
                size_t len = strlen(entry->d_name);
                if (entry->d_name[0] != '.' && len > 5 && len - 5 <= LIMIT_ACCOUNT_NAME &&
                    strcmp(entry->d_name + len - 5, ".json") == 0 && devices.count < LIMIT_DEVICES)
                        load(entry->d_name, len - 5);
        }
        if (list)
                (void)closedir(list);
}

/* Hashing takes milliseconds and is waited for; a change that is being written comes back later and finds
 * the folder closed. */
void devices_close(void)
{
        while (devices.first)
                unlist(devices.first->name);
        if (devices.hashing)
                workers_free(take(devices.hashing));
        free(take(devices.folder));
}

/* ---- looking ---- */

const struct device *device_named(const char *name)
{
        const struct device *device = devices.first;

        while (device && strcmp(device->name, name) != 0)
                device = device->next;
        return device;
}

const struct device *devices_first(void)
{
        return devices.first;
}

bool devices_any(void)
{
        return devices.first != NULL;
}

/* In memory alone: a file written at each sign-in would let a client wear the disk out. */
void device_signed_in(const char *name)
{
        struct device *device = devices.first;

        while (device && strcmp(device->name, name) != 0)
                device = device->next;
        if (device)
                device->signed_in = loop_wall();
}

static void put_time(json_t *object, const char *name, time_t time)
{
        char text[32];

        if (time)
                time_rfc3339(time, text);
        json_put_text(object, name, time ? text : NULL);
}

json_t *device_json(const struct device *device)
{
        json_t *object = json_object();

        json_put_text(object, "name", device->name);
        json_put_text(object, "account", device->account);
        json_put_text(object, "from", device->from);
        json_put(object, "password", json_boolean(device->has_keys));
        put_time(object, "added", device->added);
        json_put_text(object, "addedBy", device->added_by);
        put_time(object, "signedIn", device->signed_in);
        json_put_text(object, "fault", device->unreadable);
        return object;
}

/* ---- changing ---- */

struct change {
        struct job job;
        struct device *device; /* as it becomes */
        char *password;        /* to be hashed */
        bool remove;
        struct cause cause;
        device_done done;
        void *ctx;
};

static void change_over(struct change *change, const struct device *device, const struct cause *cause)
{
        change->done(change->ctx, device, cause_or_null(cause));
        free_secret(change->password);
        device_free(change->device);
        free(change);
}

static void written(void *ctx, const struct cause *cause)
{
        struct change *change = ctx;

        if (cause_happened(cause) || !devices.folder) {
                change_over(change, NULL, cause);
                return;
        }
        struct device *device = take(change->device);
        if (change->remove) {
                unlist(device->name);
                device_free(device);
                device = NULL;
        } else {
                enlist(device);
        }
        change_over(change, device, NULL);
}

static void write_later(struct change *change)
{
        scoped(scoped_free) char *path = text_of("%s/%s.json", devices.folder, change->device->name);
        scoped(scoped_free_secret) char *text = change->remove ? NULL : device_file_text(change->device);

        replace_file_later(path, text, text ? strlen(text) : 0, written, change);
}

/* Takes over `device`, which is not in the list. */
static struct change *change_new(struct device *device, device_done done, void *ctx)
{
        struct change *change = new_object(struct change);

        *change = (struct change){ .device = device, .done = done, .ctx = ctx };
        return change;
}

/* The folder is made with the first device: a station without devices has none. */
static int check_new(const char *name, const char *account, const char *from, struct cause *cause)
{
        struct cause why;

        if (!account_name_valid(name))
                return cause_about(cause, CAUSE_INVALID, "name",
                                   "\"%.80s\" is no name for a device: letters, digits, dots, hyphens, "
                                   "underscores",
                                   name);
        if (device_named(name))
                return cause_about(cause, CAUSE_EXISTS, "name", "there is a device %s already", name);
        if (devices.count >= LIMIT_DEVICES)
                return cause_set(cause, CAUSE_TOO_LARGE, "there are %d devices already", LIMIT_DEVICES);
        if (from && address_check(from, false, &why) < 0)
                return cause_about(cause, CAUSE_INVALID, "from", "%s", why.text);
        const struct account *there = account ? account_named(account) : NULL;
        if (account && (!there || there->unreadable || !account_is_outgoing(there)))
                return cause_about(cause, CAUSE_NOT_FOUND, "account",
                                   "there is no outgoing account \"%.80s\"", account);
        return make_folder(devices.folder, 0700, cause);
}

/* Without a password it cannot sign in yet; that comes with device_password(). */
void device_add(const char *name, const char *account, const char *from, const char *by, device_done done,
                void *ctx)
{
        struct cause cause = { 0 };

        if (check_new(name, account, from, &cause) < 0) {
                done(ctx, NULL, &cause);
                return;
        }
        struct device *device = new_object(struct device);
        *device = (struct device){ .name = copy_text(name),
                                   .account = copy_text(account),
                                   .from = copy_text(from),
                                   .added = loop_wall(),
                                   .added_by = copy_text(by) };
        write_later(change_new(device, done, ctx));
}

/* The device of that name; NULL, and `done` was called. */
static const struct device *existing(const char *name, device_done done, void *ctx)
{
        const struct device *device = device_named(name);
        struct cause cause;

        if (device)
                return device;
        cause_about(&cause, CAUSE_NOT_FOUND, "name", "there is no device \"%.80s\"", name);
        cause_remedy(&cause, "emailsecctl device list");
        done(ctx, NULL, &cause);
        return NULL;
}

/* In a thread: the rounds take milliseconds, which the loop has not. */
static void hash(struct job *job)
{
        struct change *change = container_of(job, struct change, job);

        change->device->has_keys =
                scram_keys_make(change->password, &change->device->keys, &change->cause) == 0;
}

/* On the loop. A device that was deleted while its password was hashed does not come back with it. */
static void hashed(struct job *job)
{
        struct change *change = container_of(job, struct change, job);

        if (!cause_happened(&change->cause) && devices.folder && device_named(change->device->name))
                write_later(change);
        else if (cause_happened(&change->cause))
                change_over(change, NULL, &change->cause);
        else
                change_over(change, NULL,
                            &(struct cause){ .code = CAUSE_CANCELLED, .text = "the device has gone" });
}

/* The password itself is kept nowhere: the file has the SCRAM keys alone (RFC 5802, 3), from which it
 * cannot be computed. */
void device_password(const char *name, const char *password, device_done done, void *ctx)
{
        const struct device *device = existing(name, done, ctx);
        struct cause cause;

        if (!device)
                return;
        if (!password[0] || strlen(password) > LIMIT_PROPERTY_TEXT || !secret_is_clean(password)) {
                cause_about(&cause, CAUSE_INVALID, "password", "this cannot be a password");
                done(ctx, NULL, &cause);
                return;
        }
        if (!devices.hashing)
                devices.hashing = workers_new("devices", 1);
        struct change *change = change_new(device_copy(device), done, ctx);
        change->job = (struct job){ .work = hash, .done = hashed };
        change->password = copy_text(password);
        workers_run(devices.hashing, &change->job);
}

/* A session that the device has open ends with its next message (client_requests.c). */
void device_delete(const char *name, device_done done, void *ctx)
{
        const struct device *device = existing(name, done, ctx);

        if (!device)
                return;
        struct change *change = change_new(device_copy(device), done, ctx);
        change->remove = true;
        write_later(change);
}
