/* SPDX-License-Identifier: MIT */
/*
 * Which hosts and ports have verified without help, with which certificate, and when last: a failure there is
 * a regression (security rule 14a). Kept in allowed-hosts.json; bounded by the number of accounts.
 */
#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "common/times.h"
#include "daemon/tls/allowed_parts.h"

enum { BUCKETS = 1024, A_DAY = 86400 };

struct verified {
        struct verified *next;
        char *host;
        uint16_t port;
        uint8_t sha256[32];
        time_t time;
};
static struct verified *buckets[BUCKETS];
static size_t count;
static time_t latest;

static struct verified **place_of(const char *host, uint16_t port)
{
        uint32_t hash = 2166136261u ^ port; /* FNV-1a */

        for (const char *c = host; *c; c++)
                hash = (hash ^ (uint8_t)*c) * 16777619u;
        struct verified **at = &buckets[hash % BUCKETS];
        while (*at && ((*at)->port != port || strcmp((*at)->host, host) != 0))
                at = &(*at)->next;
        return at;
}

static struct verified *verified_add(const char *host, uint16_t port)
{
        struct verified **at = place_of(host, port);

        if (!*at && count < LIMIT_ACCOUNTS) {
                *at = new_object(struct verified);
                (*at)->host = copy_text(host);
                (*at)->port = port;
                count++;
        }
        return *at;
}

bool allowed_verified_note(const char *host, uint16_t port, const uint8_t sha256[32], time_t now)
{
        struct verified *verified = verified_add(host, port);

        if (!verified)
                return false;
        if (memcmp(verified->sha256, sha256, 32) == 0 && now - verified->time < A_DAY)
                return false;
        memcpy(verified->sha256, sha256, 32);
        verified->time = now;
        latest = now > latest ? now : latest;
        return true;
}

time_t allowed_verified_when(const char *host, uint16_t port)
{
        const struct verified *verified = *place_of(host, port);

        return verified ? verified->time : 0;
}

time_t allowed_verified_latest(void)
{
        return latest;
}

void allowed_verified_forget_all(void)
{
        for (size_t i = 0; i < BUCKETS; i++)
                while (buckets[i]) {
                        struct verified *next = buckets[i]->next;
                        free(buckets[i]->host);
                        free(buckets[i]);
                        buckets[i] = next;
                }
        count = 0;
        latest = 0;
}

json_t *allowed_verified_json(void)
{
        json_t *list = json_array();

        for (size_t i = 0; i < BUCKETS; i++)
                for (const struct verified *v = buckets[i]; v; v = v->next) {
                        json_t *object = json_object();
                        char digits[65];
                        hex_print(v->sha256, 32, digits);
                        json_put_text(object, "host", v->host);
                        json_put(object, "port", json_integer(v->port));
                        json_put_text(object, "fingerprintSha256", digits);
                        json_put_time(object, "time", v->time);
                        if (json_array_append_new(list, object) < 0)
                                abort();
                }
        return list;
}

struct verified_fields {
        const char *host, *fingerprint, *time;
        int64_t port;
};
static const struct json_field table[] = {
        { "host", JSON_FIELD_TEXT, offsetof(struct verified_fields, host), FIELD_REQUIRED | FIELD_CLEAN, 0,
          256, 0 },
        { "port", JSON_FIELD_INT, offsetof(struct verified_fields, port), FIELD_REQUIRED, 1, 65535, 0 },
        { "fingerprintSha256", JSON_FIELD_TEXT, offsetof(struct verified_fields, fingerprint), FIELD_REQUIRED,
          0, 64, 0 },
        { "time", JSON_FIELD_TEXT, offsetof(struct verified_fields, time), FIELD_REQUIRED, 0, 0, 0 },
};

static int digest_of(const char *digits, uint8_t out[32])
{
        for (size_t i = 0; i < 64; i++) {
                const char *all = "0123456789abcdef", *at = digits[i] ? strchr(all, digits[i]) : NULL;
                if (!at)
                        return -1;
                out[i / 2] = (uint8_t)(out[i / 2] << 4 | (at - all));
        }
        return 0;
}

int allowed_verified_from_file(const json_t *list, struct cause *cause)
{
        size_t i;
        json_t *item;

        json_array_foreach(list, i, item) {
                struct verified_fields fields = { 0 };
                struct causes problems = { 0 };
                uint8_t sha256[32] = { 0 };
                time_t time = 0;
                int result = json_read_fields(item, table, count_of(table), &fields, &problems);
                if (result < 0 && cause && problems.count)
                        *cause = problems.items[0];
                causes_free(&problems);
                if (result < 0 || time_parse(fields.time, &time, cause) < 0)
                        return -1;
                if (digest_of(fields.fingerprint, sha256) < 0)
                        return cause_set(cause, CAUSE_STORAGE, "\"%s\" is no fingerprint",
                                         fields.fingerprint);
                (void)allowed_verified_note(fields.host, (uint16_t)fields.port, sha256, time);
        }
        return 0;
}
