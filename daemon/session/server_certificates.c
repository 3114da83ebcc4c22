/* SPDX-License-Identifier: MIT */
/* The memory of servers' certificates, its file, and the warnings before one ends; see
 * server_certificates.h. */
#include "daemon/session/server_certificates.h"
#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "common/times.h"
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/index.h"
#include "daemon/events.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/settings.h"
#include "daemon/store/replace_file.h"

#include <stdio.h>

enum { A_DAY = 86400 };

enum { CERTIFICATE_BUCKETS = 1024 };

struct seen_certificate {
        char *host;
        uint16_t port;
        char fingerprint[65];
        char *subject, *issuer;
        const char *verified_by; /* static: "system", "user", "allowedHost", or "" when it was not accepted */
        time_t not_after;
        time_t last_seen, kept; /* the latter on disk: written once a day */
        int warned;             /* days of the last warning given; 0: none yet */
        bool in_use;            /* an account names the server; see mark_in_use */
        json_t *row;            /* of the list being made, and only then */
        struct seen_certificate *next;
};

struct certificate_memory {
        struct seen_certificate *buckets[CERTIFICATE_BUCKETS];
        size_t count;
        char *path; /* NULL: closed */
        bool saving, changed;
        bool seen;          /* known ones were seen again, which can wait */
        time_t saved;       /* when the last save began */
        struct timer *rest; /* set: it is too early for the next one */
        bool marked;        /* who is in use is known as of these changes of the accounts, */
        unsigned as_of;
        time_t first_end; /* none ends before that */
};

static struct certificate_memory certificate_memory;

/* ---- the list -------------------------------------------------------------------------------- */

static void seen_free(struct seen_certificate *seen)
{
        free(seen->host);
        free(seen->subject);
        free(seen->issuer);
        free(seen);
}

/* Where the server is in its bucket, or the end of that. */
static struct seen_certificate **place_of(const char *host, uint16_t port)
{
        uint32_t hash = 2166136261u ^ port; /* FNV-1a */

        for (const char *c = host; *c; c++)
                hash = (hash ^ (uint8_t)*c) * 16777619u;
        struct seen_certificate **at = &certificate_memory.buckets[hash % CERTIFICATE_BUCKETS];
        while (*at && ((*at)->port != port || strcmp((*at)->host, host) != 0))
                at = &(*at)->next;
        return at;
}

/* The server's place, made when there is room; else NULL. */
static struct seen_certificate *certificates_find(const char *host, uint16_t port)
{
        struct seen_certificate **at = place_of(host, port);

        if (!*at && certificate_memory.count < LIMIT_ACCOUNTS) {
                certificate_memory.marked = false;
                *at = new_object(struct seen_certificate);
                (*at)->host = copy_text(host);
                (*at)->port = port;
                certificate_memory.count++;
        }
        return *at;
}

/* The word as one of ours, which lives on; "" for any other. */
static const char *verifier(const char *word)
{
        static const char *const words[] = { "system", "user", "allowedHost" };

        for (size_t i = 0; i < count_of(words); i++)
                if (same_text(words[i], word))
                        return words[i];
        return "";
}

/* Says of a server what it showed and how that was taken. */
static void certificates_describe(struct seen_certificate *seen, const char *subject, const char *issuer,
                                  const char *verified_by)
{
        free(seen->subject);
        free(seen->issuer);
        seen->subject = copy_text(subject ? subject : "");
        seen->issuer = copy_text(issuer ? issuer : "");
        seen->verified_by = verifier(verified_by);
}

static void note_end(const struct seen_certificate *seen)
{
        if (seen->not_after < certificate_memory.first_end)
                certificate_memory.first_end = seen->not_after;
}

void certificates_close(void)
{
        for (size_t i = 0; i < CERTIFICATE_BUCKETS; i++)
                while (certificate_memory.buckets[i]) {
                        struct seen_certificate *next = certificate_memory.buckets[i]->next;
                        seen_free(certificate_memory.buckets[i]);
                        certificate_memory.buckets[i] = next;
                }
        certificate_memory.count = 0;
        certificate_memory.saving = certificate_memory.changed = certificate_memory.marked = false;
        timer_free(take(certificate_memory.rest));
        free(take(certificate_memory.path));
}

/* ---- the file, certificates.json: one write at a time --------------------------------------- */

enum {
        FILE_MOST = 16 * MIB,
        REST_MS = 1,            /* for each certificate, from one save to the next */
        SAVE_SEEN_EVERY = 3600, /* seconds: that known ones were seen again is saved by the hour */
};

static json_t *seen_json(const struct seen_certificate *seen)
{
        json_t *object = json_object();

        json_put_text(object, "host", seen->host);
        json_put(object, "port", json_integer(seen->port));
        json_put_text(object, "fingerprintSha256", seen->fingerprint);
        json_put_text(object, "subject", seen->subject);
        json_put_text(object, "issuer", seen->issuer);
        json_put_text(object, "verifiedBy", seen->verified_by);
        json_put_time(object, "notAfter", (int64_t)seen->not_after);
        json_put_time(object, "lastSeen", (int64_t)seen->last_seen);
        json_put(object, "warned", json_integer(seen->warned));
        return object;
}

/* Writes all of it, later; what changes meanwhile goes with the next write. */
static void certificates_save(void);

static void rested(unused_arg void *ctx)
{
        if (certificate_memory.changed)
                certificates_save();
}

static void saved(void *ctx, const struct cause *cause)
{
        (void)ctx;
        certificate_memory.saving = false;
        if (cause_happened(cause))
                log_about(NULL, LOG_WARNING, NULL, "the memory of certificates cannot be kept: %s",
                          cause->text);
        else if (certificate_memory.rest)
                timer_set(certificate_memory.rest, (int64_t)certificate_memory.count * REST_MS);
}

static void write_memory(void)
{
        if (certificate_memory.saving || !certificate_memory.path)
                return;
        json_t *root = json_object(), *list = json_array();
        for (size_t i = 0; i < CERTIFICATE_BUCKETS; i++)
                for (const struct seen_certificate *seen = certificate_memory.buckets[i]; seen;
                     seen = seen->next)
                        if (json_array_append_new(list, seen_json(seen)) < 0)
                                abort();
        json_put(root, "certificates", list);
        char *text = json_dumps(root, JSON_INDENT(1));
        json_decref(root);
        if (!text)
                abort();
        certificate_memory.changed = certificate_memory.seen = false;
        certificate_memory.saving = true;
        certificate_memory.saved = loop_wall();
        replace_file_later(certificate_memory.path, text, strlen(text), saved, NULL);
        free(text);
}

static void certificates_save(void)
{
        certificate_memory.changed = true;
        if (!certificate_memory.rest || !timer_is_set(certificate_memory.rest))
                write_memory();
}

void certificates_flush(void)
{
        if (certificate_memory.changed || certificate_memory.seen)
                write_memory();
}

struct seen_fields {
        const char *host, *fingerprint, *subject, *issuer, *verified_by, *not_after, *last_seen;
        int64_t port, warned;
};
#define AT(member) offsetof(struct seen_fields, member)
static const struct json_field table[] = {
        { "host", JSON_FIELD_TEXT, AT(host), FIELD_REQUIRED | FIELD_CLEAN, 0, 256, 0 },
        { "port", JSON_FIELD_INT, AT(port), FIELD_REQUIRED, 1, 65535, 0 },
        { "fingerprintSha256", JSON_FIELD_TEXT, AT(fingerprint), FIELD_REQUIRED | FIELD_CLEAN, 0, 64, 0 },
        { "subject", JSON_FIELD_TEXT, AT(subject), FIELD_CLEAN, 0, 0, 0 },
        { "issuer", JSON_FIELD_TEXT, AT(issuer), FIELD_CLEAN, 0, 0, 0 },
        { "verifiedBy", JSON_FIELD_TEXT, AT(verified_by), 0, 0, 0, 0 },
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
        struct seen_certificate *seen = certificates_find(fields.host, (uint16_t)fields.port);
        if (!seen)
                return 0;
        (void)snprintf(seen->fingerprint, sizeof seen->fingerprint, "%s", fields.fingerprint);
        certificates_describe(seen, fields.subject, fields.issuer, fields.verified_by);
        seen->not_after = not_after;
        note_end(seen);
        seen->last_seen = seen->kept = last_seen;
        seen->warned = (int)fields.warned;
        return 0;
}

static int read_memory(struct cause *cause)
{
        struct buf bytes;
        size_t index;
        json_t *row;
        int result = read_file(certificate_memory.path, FILE_MOST, &bytes, cause);

        if (result <= 0)
                return result;
        json_t *root = json_loadb((const char *)buf_bytes(&bytes), bytes.len, JSON_REJECT_DUPLICATES, NULL);
        buf_free(&bytes);
        const json_t *list = json_object_get(root, "certificates");
        result = json_is_array(list)
                         ? 0
                         : cause_set(cause, CAUSE_STORAGE, "%s is damaged", certificate_memory.path);
        json_array_foreach(list, index, row)
                if (result == 0)
                        result = take_row(row, cause);
        json_decref(root);
        return result;
}

void certificates_open(const char *state_directory)
{
        struct cause cause = { 0 };

        certificate_memory.path = text_of("%s/certificates.json", state_directory);
        certificate_memory.rest = timer_new(rested, NULL);
        certificate_memory.first_end = INT64_MAX;
        if (read_memory(&cause) < 0)
                log_about(NULL, LOG_WARNING, NULL, "the memory of certificates begins anew: %s", cause.text);
}

/* ---- warnings -------------------------------------------------------------------------------- */

int expiry_warning_due(int64_t days)
{
        int best = 0;

        for (const char *at = settings_current()->expiry_warnings; *at;) {
                int number = (int)strtol(at, NULL, 10);
                if (days <= number && (best == 0 || number < best))
                        best = number;
                at += strcspn(at, ",");
                at += *at == ',';
        }
        return best;
}

/* Whole days; below 0 when it has ended. */
static int64_t days_until(time_t not_after, time_t now)
{
        int64_t seconds = (int64_t)not_after - (int64_t)now;

        return (seconds < 0 ? seconds - (A_DAY - 1) : seconds) / A_DAY;
}

static int64_t days_left(const struct seen_certificate *seen, time_t now)
{
        return days_until(seen->not_after, now);
}

static char *words_of(const struct seen_certificate *seen, time_t now)
{
        long long days = (long long)days_left(seen, now);
        char when[32];

        time_rfc3339((int64_t)seen->not_after, when);
        if (seen->not_after <= now)
                return text_of("the certificate of %s:%u ended at %s", seen->host, seen->port, when);
        if (days == 0)
                return text_of("the certificate of %s:%u ends within a day, at %s", seen->host, seen->port,
                               when);
        return text_of("the certificate of %s:%u ends in %lld day%s, at %s", seen->host, seen->port, days,
                       days == 1 ? "" : "s", when);
}

static void warn(const struct seen_certificate *seen, time_t now)
{
        struct subject subject = { .host = seen->host, .port = seen->port, .cert_sha256 = seen->fingerprint };
        scoped(scoped_free) char *words = words_of(seen, now);
        json_t *data = json_object();

        log_about(&subject, LOG_WARNING, MSG_CERT_EXPIRES, "%s: have the server's operator renew it", words);
        json_put_text(data, "host", seen->host);
        json_put(data, "port", json_integer(seen->port));
        json_put_text(data, "fingerprintSha256", seen->fingerprint);
        json_put_time(data, "notAfter", (int64_t)seen->not_after);
        event_emit(EVENT_CERTIFICATE_EXPIRES, NULL, data, "%s", words);
}

/* True when a warning was due and given. */
static bool announce(struct seen_certificate *seen, time_t now)
{
        int due = expiry_warning_due(days_left(seen, now));

        if (due == 0 || (seen->warned && seen->warned <= due))
                return false;
        seen->warned = due;
        warn(seen, now);
        return true;
}

bool certificates_known(const char *host, uint16_t port, const char *fingerprint, const char *verified_by)
{
        struct seen_certificate *seen = certificate_memory.path ? *place_of(host, port) : NULL;
        time_t now = loop_wall();

        if (!seen || strcmp(seen->fingerprint, fingerprint) != 0 ||
            strcmp(seen->verified_by, verified_by) != 0 || now - seen->kept >= A_DAY)
                return false;
        seen->last_seen = now;
        return true;
}

void certificates_note(const char *host, uint16_t port, const struct certificate *leaf,
                       const char *verified_by)
{
        struct seen_certificate *seen = certificate_memory.path ? certificates_find(host, port) : NULL;
        time_t now = loop_wall();
        char fingerprint[65];

        if (!seen)
                return;
        hex_print(leaf->sha256, sizeof leaf->sha256, fingerprint);
        bool same = strcmp(seen->fingerprint, fingerprint) == 0 && same_text(seen->verified_by, verified_by);
        if (strcmp(seen->fingerprint, fingerprint) != 0)
                seen->warned = 0;
        memcpy(seen->fingerprint, fingerprint, sizeof fingerprint);
        certificates_describe(seen, leaf->subject, leaf->issuer, verified_by);
        seen->not_after = leaf->not_after;
        seen->last_seen = seen->kept = now;
        note_end(seen);
        certificate_memory.seen = true;
        if (announce(seen, now) || !same)
                certificates_save();
}

/* The server of an account, or NULL when it was not seen yet. */
static struct seen_certificate *seen_of(const struct account *account)
{
        if (account->unreadable)
                return NULL;
        return *place_of(prop_text(&account->values, PROP_HOSTNAME), port_in_use(&account->values));
}

/* A walk over all, where accounts have changed since the last one. */
static void mark_in_use(void)
{
        if (certificate_memory.marked && certificate_memory.as_of == index_changes())
                return;
        certificate_memory.marked = true;
        certificate_memory.as_of = index_changes();
        for (size_t i = 0; i < CERTIFICATE_BUCKETS; i++)
                for (struct seen_certificate *seen = certificate_memory.buckets[i]; seen; seen = seen->next)
                        seen->in_use = false;
        for (const struct account *account = accounts_first(); account; account = account->next) {
                struct seen_certificate *seen = seen_of(account);
                if (seen)
                        seen->in_use = true;
        }
}

static void forget_unused(struct seen_certificate **at)
{
        while (*at) {
                struct seen_certificate *seen = *at;
                if (seen->in_use) {
                        at = &seen->next;
                        continue;
                }
                *at = seen->next;
                certificate_memory.count--;
                seen_free(seen);
                certificates_save();
        }
}

void certificates_check(void)
{
        time_t now = loop_wall();

        mark_in_use();
        certificate_memory.first_end = INT64_MAX;
        for (size_t i = 0; i < CERTIFICATE_BUCKETS; i++) {
                forget_unused(&certificate_memory.buckets[i]);
                for (struct seen_certificate *seen = certificate_memory.buckets[i]; seen; seen = seen->next)
                        note_end(seen);
        }
        if (certificate_memory.seen && now - certificate_memory.saved >= SAVE_SEEN_EVERY)
                certificates_save();
        if (!expiry_warning_due(days_until(certificate_memory.first_end, now)))
                return;
        for (size_t i = 0; i < CERTIFICATE_BUCKETS; i++)
                for (struct seen_certificate *seen = certificate_memory.buckets[i]; seen; seen = seen->next)
                        if (announce(seen, now))
                                certificates_save();
}

/* With each status: they are looked at only where some certificate ends. */
void certificates_ending(void (*tell)(void *ctx, const char *sentence), void *ctx)
{
        time_t now = loop_wall();

        if (!expiry_warning_due(days_until(certificate_memory.first_end, now)))
                return;
        mark_in_use();
        for (size_t i = 0; i < CERTIFICATE_BUCKETS; i++)
                for (const struct seen_certificate *seen = certificate_memory.buckets[i]; seen;
                     seen = seen->next) {
                        if (!seen->in_use || !expiry_warning_due(days_left(seen, now)))
                                continue;
                        scoped(scoped_free) char *words = words_of(seen, now);
                        tell(ctx, words);
                }
}

/* ---- looking ---------------------------------------------------------------------------------- */

static json_t *row_of(struct seen_certificate *seen, time_t now)
{
        json_t *row = json_object();

        json_put_text(row, "host", seen->host);
        json_put(row, "port", json_integer(seen->port));
        json_put(row, "accounts", json_array());
        json_put_text(row, "subject", seen->subject);
        json_put_text(row, "issuer", seen->issuer);
        json_put_text(row, "fingerprintSha256", seen->fingerprint);
        json_put_time(row, "notAfter", (int64_t)seen->not_after);
        json_put(row, "daysLeft", json_integer((json_int_t)days_left(seen, now)));
        json_put_text(row, "verifiedBy", seen->verified_by[0] ? seen->verified_by : NULL);
        json_put_time(row, "lastSeen", (int64_t)seen->last_seen);
        return row;
}

static int ends_first(const void *a, const void *b)
{
        const struct seen_certificate *one = *(struct seen_certificate *const *)a,
                                      *other = *(struct seen_certificate *const *)b;

        if (one->not_after != other->not_after)
                return one->not_after < other->not_after ? -1 : 1;
        int order = strcmp(one->host, other->host);
        return order ? order : (int)one->port - (int)other->port;
}

json_t *certificates_list(void)
{
        struct seen_certificate **all =
                new_zeroed(certificate_memory.count + 1, sizeof(struct seen_certificate *));
        json_t *list = json_array();
        size_t count = 0;

        for (size_t i = 0; i < CERTIFICATE_BUCKETS; i++)
                for (struct seen_certificate *seen = certificate_memory.buckets[i]; seen; seen = seen->next)
                        all[count++] = seen;
        qsort(all, count, sizeof(struct seen_certificate *), ends_first);
        for (size_t i = 0; i < count; i++) {
                all[i]->row = row_of(all[i], loop_wall());
                if (json_array_append_new(list, all[i]->row) < 0)
                        abort();
        }
        free(all);
        for (const struct account *account = accounts_first(); account; account = account->next) {
                struct seen_certificate *seen = seen_of(account);
                json_t *name = seen ? json_string(account->name) : NULL;
                if (name && json_array_append_new(json_object_get(seen->row, "accounts"), name) < 0)
                        abort();
        }
        return list;
}
