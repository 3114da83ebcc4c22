/* SPDX-License-Identifier: MIT */
/*
 * What the Allowed Hosts remember. Of an entry, step by step, who decided what and when; the oldest steps but
 * the first go when there are too many. And which hosts and ports have verified without help, with which
 * certificate, and when last: a failure there is a regression (security rule 14a). All of it is kept in
 * allowed-hosts.json.
 */
#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "common/times.h"
#include "daemon/tls/allowed_parts.h"

static const char *const past_names[] = { "approved", "rejected", "unapproved", "expired" };

static void past_done(struct past *past)
{
        free(past->by);
        free(past->reason);
}

/* The texts are copied. The first step is kept for good: it says who let the host in. */
void allowed_history_add(struct decided *decided, const struct past *step)
{
        if (decided->past_count == LIMIT_HISTORY) {
                past_done(&decided->past[1]);
                memmove(&decided->past[1], &decided->past[2], (LIMIT_HISTORY - 2) * sizeof *decided->past);
                decided->past_count--;
        }
        decided->past = new_resized(decided->past, decided->past_count + 1, sizeof *decided->past);
        struct past *past = &decided->past[decided->past_count++];
        *past = *step;
        past->by = copy_text(step->by);
        past->reason = copy_text(step->reason);
}

/* `to` has no history of its own yet. */
void allowed_history_copy(struct decided *to, const struct decided *from)
{
        to->past = NULL;
        to->past_count = 0;
        for (size_t i = 0; i < from->past_count; i++)
                allowed_history_add(to, &from->past[i]);
}

void allowed_history_done(struct decided *decided)
{
        for (size_t i = 0; i < decided->past_count; i++)
                past_done(&decided->past[i]);
        free(take(decided->past));
        decided->past_count = 0;
}

json_t *allowed_history_json(const struct decided *decided)
{
        json_t *list = json_array();

        for (size_t i = 0; i < decided->past_count; i++) {
                const struct past *past = &decided->past[i];
                json_t *object = json_object();
                json_put_text(object, "what", past_names[past->what]);
                json_put_time(object, "time", (int64_t)past->time);
                json_put_text(object, "by", past->by);
                json_put_text(object, "reason", past->reason);
                json_put_time(object, "expires", (int64_t)past->expires);
                if (json_array_append_new(list, object) < 0)
                        abort();
        }
        return list;
}

struct past_fields {
        const char *what, *time, *by, *reason, *expires;
};
#define AT(member) offsetof(struct past_fields, member)
static const struct json_field past_fields[] = {
        { "what", JSON_FIELD_TEXT, AT(what), FIELD_REQUIRED, 0, 0, 0 },
        { "time", JSON_FIELD_TEXT, AT(time), FIELD_REQUIRED, 0, 0, 0 },
        { "by", JSON_FIELD_TEXT, AT(by), 0, 0, 0, 0 },
        { "reason", JSON_FIELD_TEXT, AT(reason), 0, 0, 0, 0 },
        { "expires", JSON_FIELD_TEXT, AT(expires), 0, 0, 0, 0 },
};
#undef AT

/* An unknown word makes the whole file damaged: exemptions of a newer version are not guessed at. */
static int read_step(struct decided *decided, const struct past_fields *fields, struct cause *cause)
{
        struct past step = { .by = (char *)(uintptr_t)fields->by,
                             .reason = (char *)(uintptr_t)fields->reason };
        unsigned what = 0;

        while (what < count_of(past_names) && strcmp(past_names[what], fields->what) != 0)
                what++;
        if (what == count_of(past_names))
                return cause_set(cause, CAUSE_STORAGE, "\"%s\" is an unknown word", fields->what);
        step.what = (enum past_what)what;
        if (time_parse(fields->time, &step.time, cause) < 0 ||
            (fields->expires && time_parse(fields->expires, &step.expires, cause) < 0))
                return -1;
        allowed_history_add(decided, &step);
        return 0;
}

int allowed_history_from_file(struct decided *decided, const json_t *list, struct cause *cause)
{
        size_t i;
        json_t *item;

        json_array_foreach(list, i, item) {
                struct past_fields fields = { 0 };
                struct causes problems = { 0 };
                int result = json_read_fields(item, past_fields, count_of(past_fields), &fields, &problems);
                if (result < 0 && cause && problems.count)
                        *cause = problems.items[0];
                causes_free(&problems);
                if (result < 0 || read_step(decided, &fields, cause) < 0)
                        return -1;
        }
        return 0;
}

/* ---- who verified without help: bounded by the number of accounts ---- */

enum { BUCKETS = 1024, A_DAY = 86400 };

struct verified {
        struct verified *next;
        char *host;
        uint16_t port;
        uint8_t sha256[32];
        time_t time;
};
/* By host and port as the settings spell them. The loop's alone. */
static struct verified *buckets[BUCKETS];
static size_t count;
/* Of all that are noted; it goes back with allowed_verified_forget_all() only. A witness that the clock was
 * at least there once. */
static time_t latest;

/* The link that points to it, or the end of its bucket. */
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

/* NULL when there are as many as accounts can be: then a regression of the others is not noticed, and
 * nothing else. */
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

/* True when the file has to be written: with another certificate, or once a day. Each connection may come
 * here. */
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
static const struct json_field verified_fields[] = {
        { "host", JSON_FIELD_TEXT, offsetof(struct verified_fields, host), FIELD_REQUIRED | FIELD_CLEAN, 0,
          256, 0 },
        { "port", JSON_FIELD_INT, offsetof(struct verified_fields, port), FIELD_REQUIRED, 1, 65535, 0 },
        { "fingerprintSha256", JSON_FIELD_TEXT, offsetof(struct verified_fields, fingerprint), FIELD_REQUIRED,
          0, 64, 0 },
        { "time", JSON_FIELD_TEXT, offsetof(struct verified_fields, time), FIELD_REQUIRED, 0, 0, 0 },
};

/* Lower case only, as hex_print() writes them; a text that is too short ends at its NUL. */
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

/* With -1 the caller treats the whole file as damaged. */
int allowed_verified_from_file(const json_t *list, struct cause *cause)
{
        size_t i;
        json_t *item;

        json_array_foreach(list, i, item) {
                struct verified_fields fields = { 0 };
                struct causes problems = { 0 };
                uint8_t sha256[32] = { 0 };
                time_t time = 0;
                int result = json_read_fields(item, verified_fields, count_of(verified_fields), &fields,
                                              &problems);
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
