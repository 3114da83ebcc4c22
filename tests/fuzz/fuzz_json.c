/* SPDX-License-Identifier: MIT */
/* Parameters of calls and properties of accounts. What is accepted is written out and accepted again. */
#include "common/json_fields.h"
#include "common/properties.h"
#include "fuzz.h"

struct parameters {
        const char *text, *secret;
        int64_t number;
        json_t *object, *list, *texts;
        bool flag, present;
};
static const struct json_field fields[] = {
        { .name = "text",
          .kind = JSON_FIELD_TEXT,
          .offset = offsetof(struct parameters, text),
          .flags = FIELD_CLEAN,
          .max = 20 },
        { .name = "secret",
          .kind = JSON_FIELD_TEXT,
          .offset = offsetof(struct parameters, secret),
          .flags = FIELD_SECRET },
        { .name = "number",
          .kind = JSON_FIELD_INT,
          .offset = offsetof(struct parameters, number),
          .min = -5,
          .max = 99 },
        { .name = "object", .kind = JSON_FIELD_OBJECT, .offset = offsetof(struct parameters, object) },
        { .name = "list", .kind = JSON_FIELD_ARRAY, .offset = offsetof(struct parameters, list) },
        { .name = "texts", .kind = JSON_FIELD_TEXTS, .offset = offsetof(struct parameters, texts) },
        { .name = "flag",
          .kind = JSON_FIELD_BOOL,
          .offset = offsetof(struct parameters, flag),
          .flags = FIELD_REQUIRED,
          .present = offsetof(struct parameters, present) },
};

static void read_fields(const json_t *object)
{
        struct parameters in = { 0 };
        struct causes problems = { 0 };
        int result = json_read_fields(object, fields, count_of(fields), &in, &problems);

        fuzz_must((result < 0) == (problems.count > 0) && problems.count <= LIMIT_PROBLEMS);
        fuzz_must(result < 0 || (in.present && in.number >= -5 && in.number <= 99));
        json_decref(problems_json(&problems));
        causes_free(&problems);
        struct cause cause;
        cause_from_json(object, &cause);
        json_decref(cause_json(&cause));
}

static void read_properties(const json_t *object, enum account_kind kind)
{
        struct property_values values, again;
        struct causes problems = { 0 };

        properties_defaults(&values, kind);
        properties_defaults(&again, kind);
        bool good = properties_apply(&values, object, &problems) == 0;
        fuzz_must(good == (problems.count == 0));
        (void)!properties_check(&values, NULL, object, &problems);
        json_decref(properties_warnings(&values));
        json_t *out = properties_json(&values, true), *other;
        (void)json_object_del(out, "kind"); /* fixed */
        (void)json_object_del(out, "name");
        causes_free(&problems);
        fuzz_must(properties_apply(&again, out, &problems) == 0);
        other = properties_json(&again, true);
        (void)json_object_del(other, "kind");
        (void)json_object_del(other, "name");
        fuzz_must(json_equal(out, other));
        json_decref(out);
        json_decref(other);
        causes_free(&problems);
        properties_done(&values);
        properties_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        json_t *object = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);

        if (json_is_object(object)) {
                read_fields(object);
                read_properties(object, KIND_OUTGOING);
                read_properties(object, KIND_INCOMING);
        }
        json_decref(object);
        return 0;
}
