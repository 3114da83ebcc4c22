/* SPDX-License-Identifier: MIT */
/* The memory of servers' certificates and the warnings before one ends; see certificates.h. */
#include "common/json_fields.h"
#include "common/limits.h"
#include "common/times.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/station/accounts.h"
#include "daemon/station/certificates_parts.h"
#include "daemon/station/events.h"
#include "daemon/station/station.h"

#include <stdio.h>

enum { A_DAY = 86400 };

struct certificate_memory certificate_memory;

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
        struct seen **at = &certificate_memory.buckets[hash % CERTIFICATE_BUCKETS];
        while (*at && ((*at)->port != port || strcmp((*at)->host, host) != 0))
                at = &(*at)->next;
        return at;
}

struct seen *certificates_find(const char *host, uint16_t port)
{
        struct seen **at = place_of(host, port);

        if (!*at && certificate_memory.count < LIMIT_ACCOUNTS) {
                *at = new_object(struct seen);
                (*at)->host = copy_text(host);
                (*at)->port = port;
                certificate_memory.count++;
        }
        return *at;
}

void certificates_close(void)
{
        for (size_t i = 0; i < CERTIFICATE_BUCKETS; i++)
                while (certificate_memory.buckets[i]) {
                        struct seen *next = certificate_memory.buckets[i]->next;
                        seen_free(certificate_memory.buckets[i]);
                        certificate_memory.buckets[i] = next;
                }
        certificate_memory.count = 0;
        certificate_memory.saving = certificate_memory.changed = false;
        free(take(certificate_memory.path));
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
        struct seen *seen = certificate_memory.path ? certificates_find(host, port) : NULL;
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
        certificates_save();
}

static void mark_in_use(void)
{
        for (size_t i = 0; i < CERTIFICATE_BUCKETS; i++)
                for (struct seen *seen = certificate_memory.buckets[i]; seen; seen = seen->next)
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
                certificate_memory.count--;
                seen_free(seen);
                certificates_save();
        }
}

void certificates_check(void)
{
        time_t now = loop_wall();

        mark_in_use();
        for (size_t i = 0; i < CERTIFICATE_BUCKETS; i++) {
                forget_unused(&certificate_memory.buckets[i]);
                for (struct seen *seen = certificate_memory.buckets[i]; seen; seen = seen->next)
                        if (announce(seen, now))
                                certificates_save();
        }
}

json_t *certificates_ending(void)
{
        json_t *list = json_array();
        time_t now = loop_wall();

        mark_in_use();
        for (size_t i = 0; i < CERTIFICATE_BUCKETS; i++)
                for (const struct seen *seen = certificate_memory.buckets[i]; seen; seen = seen->next) {
                        if (!seen->in_use || !due_warning(days_left(seen, now)))
                                continue;
                        scoped(scoped_free) char *words = words_of(seen, now);
                        json_t *text = json_string(words);
                        if (!text || json_array_append_new(list, text) < 0)
                                abort();
                }
        return list;
}
