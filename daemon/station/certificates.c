/* SPDX-License-Identifier: MIT */
/* The memory of servers' certificates and the warnings before one ends; see certificates.h. */
#include "daemon/station/certificates.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/times.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/station/accounts.h"
#include "daemon/station/events.h"
#include "daemon/station/station.h"
#include "daemon/store/replace_file.h"

#include <stdio.h>

enum { A_DAY = 86400, FILE_MOST = 16 * MIB, BUCKETS = 1024 };

struct seen {
        char *host;
        uint16_t port;
        char fingerprint[65];
        time_t not_after, last_seen;
        int warned;  /* days of the last warning given; 0: none yet */
        bool in_use; /* an account names the server; see mark_in_use */
        struct seen *next;
};

static struct {
        struct seen *buckets[BUCKETS];
        size_t count;
        char *path; /* NULL: closed */
        bool saving, changed;
} memory;

/* ---- to disk --------------------------------------------------------------------------------- */

static json_t *seen_json(const struct seen *seen)
{
        json_t *object = json_object();

        json_put_text(object, "host", seen->host);
        json_put(object, "port", json_integer(seen->port));
        json_put_text(object, "fingerprintSha256", seen->fingerprint);
        json_put_time(object, "notAfter", (int64_t)seen->not_after);
        json_put_time(object, "lastSeen", (int64_t)seen->last_seen);
        json_put(object, "warned", json_integer(seen->warned));
        return object;
}

static void save(void);

static void saved(void *ctx, const struct cause *cause)
{
        (void)ctx;
        memory.saving = false;
        if (cause_happened(cause))
                log_about(NULL, LOG_WARNING, NULL, "the memory of certificates cannot be kept: %s", cause->text);
        else if (memory.changed)
                save();
}

/* One write at a time; what changes meanwhile goes with the next. */
static void save(void)
{
        memory.changed = true;
        if (memory.saving || !memory.path)
                return;
        json_t *root = json_object(), *list = json_array();
        for (size_t i = 0; i < BUCKETS; i++)
                for (const struct seen *seen = memory.buckets[i]; seen; seen = seen->next)
                        if (json_array_append_new(list, seen_json(seen)) < 0)
                                abort();
        json_put(root, "certificates", list);
        char *text = json_dumps(root, JSON_INDENT(1));
        json_decref(root);
        if (!text)
                abort();
        memory.changed = false;
        memory.saving = true;
        replace_file_later(memory.path, text, strlen(text), saved, NULL);
        free(text);
}

/* ---- the list -------------------------------------------------------------------------------- */

static void seen_free(struct seen *seen)
{
        free(seen->host);
        free(seen);
}

/* Where the server is in its bucket, or the end of that. */
static struct seen **place_of(const char *host, uint16_t port)
{
        uint32_t hash = 2166136261u ^ port; /* FNV-1a */

        for (const char *c = host; *c; c++)
                hash = (hash ^ (uint8_t)*c) * 16777619u;
        struct seen **at = &memory.buckets[hash % BUCKETS];
        while (*at && ((*at)->port != port || strcmp((*at)->host, host) != 0))
                at = &(*at)->next;
        return at;
}

/* The server's place, made when there is room. */
static struct seen *find(const char *host, uint16_t port)
{
        struct seen **at = place_of(host, port);

        if (!*at && memory.count < LIMIT_ACCOUNTS) {
                *at = new_object(struct seen);
                (*at)->host = copy_text(host);
                (*at)->port = port;
                memory.count++;
        }
        return *at;
}

struct seen_fields {
        const char *host, *fingerprint, *not_after, *last_seen;
        int64_t port, warned;
};
#define AT(member) offsetof(struct seen_fields, member)
static const struct json_field table[] = {
        { "host", JSON_FIELD_TEXT, AT(host), FIELD_REQUIRED | FIELD_CLEAN, 0, 256, 0 },
        { "port", JSON_FIELD_INT, AT(port), FIELD_REQUIRED, 1, 65535, 0 },
        { "fingerprintSha256", JSON_FIELD_TEXT, AT(fingerprint), FIELD_REQUIRED | FIELD_CLEAN, 0, 64, 0 },
        { "notAfter", JSON_FIELD_TEXT, AT(not_after), FIELD_REQUIRED, 0, 0, 0 },
        { "lastSeen", JSON_FIELD_TEXT, AT(last_seen), FIELD_REQUIRED, 0, 0, 0 },
        { "warned", JSON_FIELD_INT, AT(warned), FIELD_REQUIRED, 0, 3650, 0 },
};
#undef AT

static int take_row(const json_t *row, struct cause *cause)
{
        struct seen_fields fields = { 0 };
        struct causes problems = { 0 };
        int result = json_read_fields(row, table, count_of(table), &fields, &problems);
        time_t not_after = 0, last_seen = 0;

        if (result < 0 && problems.count)
                *cause = problems.items[0];
        causes_free(&problems);
        if (result < 0 || time_parse(fields.not_after, &not_after, cause) < 0 ||
            time_parse(fields.last_seen, &last_seen, cause) < 0)
                return -1;
        struct seen *seen = find(fields.host, (uint16_t)fields.port);
        if (!seen)
                return 0;
        (void)snprintf(seen->fingerprint, sizeof seen->fingerprint, "%s", fields.fingerprint);
        seen->not_after = not_after;
        seen->last_seen = last_seen;
        seen->warned = (int)fields.warned;
        return 0;
}

static int read_memory(struct cause *cause)
{
        struct buf bytes;
        size_t index;
        json_t *row;
        int result = read_file(memory.path, FILE_MOST, &bytes, cause);

        if (result <= 0)
                return result;
        json_t *root = json_loadb((const char *)buf_bytes(&bytes), bytes.len, JSON_REJECT_DUPLICATES, NULL);
        buf_free(&bytes);
        const json_t *list = json_object_get(root, "certificates");
        result = json_is_array(list) ? 0 : cause_set(cause, CAUSE_STORAGE, "%s is damaged", memory.path);
        json_array_foreach(list, index, row)
                if (result == 0)
                        result = take_row(row, cause);
        json_decref(root);
        return result;
}

void certificates_open(const char *state_directory)
{
        struct cause cause = { 0 };

        memory.path = text_of("%s/certificates.json", state_directory);
        if (read_memory(&cause) < 0)
                log_about(NULL, LOG_WARNING, NULL, "the memory of certificates begins anew: %s", cause.text);
}

void certificates_close(void)
{
        for (size_t i = 0; i < BUCKETS; i++)
                while (memory.buckets[i]) {
                        struct seen *next = memory.buckets[i]->next;
                        seen_free(memory.buckets[i]);
                        memory.buckets[i] = next;
                }
        memory.count = 0;
        memory.saving = memory.changed = false;
        free(take(memory.path));
}

/* ---- warnings -------------------------------------------------------------------------------- */

/* The smallest number of the setting that is not below `days`; 0: none. */
static int due_warning(int64_t days)
{
        int best = 0;

        for (const char *at = station_settings()->expiry_warnings; *at;) {
                int number = (int)strtol(at, NULL, 10);
                if (days <= number && (best == 0 || number < best))
                        best = number;
                at += strcspn(at, ",");
                at += *at == ',';
        }
        return best;
}

/* Whole days. */
static int64_t days_left(const struct seen *seen, time_t now)
{
        return ((int64_t)seen->not_after - (int64_t)now) / A_DAY;
}

static char *words_of(const struct seen *seen, time_t now)
{
        long long days = (long long)days_left(seen, now);
        char when[32];

        time_rfc3339((int64_t)seen->not_after, when);
        if (seen->not_after <= now)
                return text_of("the certificate of %s:%u ended at %s", seen->host, seen->port, when);
        return text_of("the certificate of %s:%u ends in %lld day%s, at %s", seen->host, seen->port, days,
                       days == 1 ? "" : "s", when);
}

static void warn(const struct seen *seen, time_t now)
{
        struct subject subject = { .host = seen->host, .port = seen->port, .cert_sha256 = seen->fingerprint };
        scoped(scoped_free) char *words = words_of(seen, now);
        json_t *data = json_object();

        log_about(&subject, LOG_WARNING, MSG_CERT_EXPIRES, "%s: have the server's operator renew it", words);
        json_put_text(data, "host", seen->host);
        json_put(data, "port", json_integer(seen->port));
        json_put_text(data, "fingerprintSha256", seen->fingerprint);
        json_put_time(data, "notAfter", (int64_t)seen->not_after);
        event_emit("certificate.expires", NULL, data, "%s", words);
}

/* True when a warning was due and given. */
static bool announce(struct seen *seen, time_t now)
{
        int due = due_warning(days_left(seen, now));

        if (due == 0 || (seen->warned && seen->warned <= due))
                return false;
        seen->warned = due;
        warn(seen, now);
        return true;
}

void certificates_note(const char *host, uint16_t port, const char *fingerprint, time_t not_after)
{
        struct seen *seen = memory.path ? find(host, port) : NULL;
        time_t now = loop_wall();

        if (!seen)
                return;
        if (strcmp(seen->fingerprint, fingerprint) == 0 && now - seen->last_seen < A_DAY)
                return;
        if (strcmp(seen->fingerprint, fingerprint) != 0)
                seen->warned = 0;
        (void)snprintf(seen->fingerprint, sizeof seen->fingerprint, "%s", fingerprint);
        seen->not_after = not_after;
        seen->last_seen = now;
        (void)announce(seen, now);
        save();
}

static void mark_in_use(void)
{
        for (size_t i = 0; i < BUCKETS; i++)
                for (struct seen *seen = memory.buckets[i]; seen; seen = seen->next)
                        seen->in_use = false;
        for (const struct account *account = accounts_first(); account; account = account->next) {
                if (account->unreadable)
                        continue;
                struct seen *seen = *place_of(prop_text(&account->values, PROP_HOSTNAME), port_in_use(&account->values));
                if (seen)
                        seen->in_use = true;
        }
}

static void forget_unused(struct seen **at)
{
        while (*at) {
                struct seen *seen = *at;
                if (seen->in_use) {
                        at = &seen->next;
                        continue;
                }
                *at = seen->next;
                memory.count--;
                seen_free(seen);
                save();
        }
}

void certificates_check(void)
{
        time_t now = loop_wall();

        mark_in_use();
        for (size_t i = 0; i < BUCKETS; i++) {
                forget_unused(&memory.buckets[i]);
                for (struct seen *seen = memory.buckets[i]; seen; seen = seen->next)
                        if (announce(seen, now))
                                save();
        }
}

json_t *certificates_ending(void)
{
        json_t *list = json_array();
        time_t now = loop_wall();

        mark_in_use();
        for (size_t i = 0; i < BUCKETS; i++)
                for (const struct seen *seen = memory.buckets[i]; seen; seen = seen->next) {
                        if (!seen->in_use || !due_warning(days_left(seen, now)))
                                continue;
                        scoped(scoped_free) char *words = words_of(seen, now);
                        json_t *text = json_string(words);
                        if (!text || json_array_append_new(list, text) < 0)
                                abort();
                }
        return list;
}
