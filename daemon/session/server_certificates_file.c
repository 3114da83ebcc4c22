/* SPDX-License-Identifier: MIT */
/* The file of the memory of servers' certificates, certificates.json: one write at a time. */
#include "daemon/session/server_certificates_parts.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/times.h"
#include "daemon/journal.h"
#include "daemon/store/replace_file.h"

#include <stdio.h>

enum { FILE_MOST = 16 * MIB };

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

static void saved(void *ctx, const struct cause *cause)
{
        (void)ctx;
        certificate_memory.saving = false;
        if (cause_happened(cause))
                log_about(NULL, LOG_WARNING, NULL, "the memory of certificates cannot be kept: %s",
                          cause->text);
        else if (certificate_memory.changed)
                certificates_save();
}

void certificates_save(void)
{
        certificate_memory.changed = true;
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
        certificate_memory.changed = false;
        certificate_memory.saving = true;
        replace_file_later(certificate_memory.path, text, strlen(text), saved, NULL);
        free(text);
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
        if (read_memory(&cause) < 0)
                log_about(NULL, LOG_WARNING, NULL, "the memory of certificates begins anew: %s", cause.text);
}
