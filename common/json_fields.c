/* SPDX-License-Identifier: MIT */
/* Reading JSON objects by a table, writing causes and single values; see json_fields.h. */
#include "common/json_fields.h"

#include "common/buf.h"
#include "common/limits.h"
#include "common/names.h"
#include "common/printable.h"
#include "common/times.h"

#include <inttypes.h>
#include <sys/random.h>

void json_seed(void)
{
        uint32_t seed;

        if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed)
                json_object_seed(seed);
}

/* Sentences name the field, never its value: it may be a secret. A `max` of 0 is none but that of a
 * frame. */
static int check_text(const json_t *value, const struct json_field *field, struct causes *problems)
{
        size_t most = field->max > 0 ? (size_t)field->max : LIMIT_FRAME;

        if (json_string_length(value) > most)
                return cause_about(causes_add(problems), CAUSE_INVALID, field->name,
                                   "%s is %zu bytes long; %zu are the most", field->name,
                                   json_string_length(value), most);
        if ((field->flags & FIELD_CLEAN) && !text_is_clean(json_string_value(value)))
                return cause_about(causes_add(problems), CAUSE_INVALID, field->name, "%s has control bytes",
                                   field->name);
        return 0;
}

/* Both bounds 0: any number does. */
static int check_int(const json_t *value, const struct json_field *field, struct causes *problems)
{
        json_int_t number = json_integer_value(value);

        if ((field->min == 0 && field->max == 0) || (number >= field->min && number <= field->max))
                return 0;
        return cause_about(causes_add(problems), CAUSE_INVALID, field->name,
                           "%s must be %" PRId64 " to %" PRId64, field->name, field->min, field->max);
}

static bool all_are(const json_t *array, json_type type)
{
        size_t i;
        json_t *item;

        if (!json_is_array(array))
                return false;
        json_array_foreach(array, i, item)
                if (json_typeof(item) != type)
                        return false;
        return true;
}

/* What the kind demands, or NULL when the value fits. */
static const char *kind_fault(const json_t *value, enum json_kind kind)
{
        switch (kind) {
        case JSON_FIELD_TEXT:
                return json_is_string(value) ? NULL : "a text";
        case JSON_FIELD_BOOL:
                return json_is_boolean(value) ? NULL : "true or false";
        case JSON_FIELD_INT:
                return json_is_integer(value) ? NULL : "a whole number";
        case JSON_FIELD_OBJECT:
                return json_is_object(value) ? NULL : "an object";
        case JSON_FIELD_ARRAY:
                return json_is_array(value) ? NULL : "a list";
        case JSON_FIELD_TEXTS:
                return all_are(value, JSON_STRING) ? NULL : "a list of texts";
        case JSON_FIELD_OBJECTS:
                return all_are(value, JSON_OBJECT) ? NULL : "a list of objects";
        }
        return "of a known kind";
}

/* Texts, lists and objects are borrowed: they live as long as the object that was read. Numbers and
 * flags are copied. */
static void store(const json_t *value, const struct json_field *field, void *out)
{
        void *place = (char *)out + field->offset;

        switch (field->kind) {
        case JSON_FIELD_TEXT:
                *(const char **)place = json_string_value(value);
                break;
        case JSON_FIELD_BOOL:
                *(bool *)place = json_is_true(value);
                break;
        case JSON_FIELD_INT:
                *(int64_t *)place = json_integer_value(value);
                break;
        case JSON_FIELD_OBJECT:
        case JSON_FIELD_ARRAY:
        case JSON_FIELD_OBJECTS:
        case JSON_FIELD_TEXTS:
                memcpy(place, &value, sizeof value);
                break;
        }
        if (field->present)
                *(bool *)((char *)out + field->present) = true;
}

/* null is the same as absent, as Varlink has it for optional fields. */
static int read_field(const json_t *value, const struct json_field *field, void *out, struct causes *problems)
{
        if (!value || json_is_null(value)) {
                if (!(field->flags & FIELD_REQUIRED))
                        return 0;
                return cause_about(causes_add(problems), CAUSE_INVALID, field->name, "%s is missing",
                                   field->name);
        }
        const char *fault = kind_fault(value, field->kind);
        if (fault)
                return cause_about(causes_add(problems), CAUSE_INVALID, field->name, "%s must be %s",
                                   field->name, fault);
        if (field->kind == JSON_FIELD_TEXT && check_text(value, field, problems) < 0)
                return -1;
        if (field->kind == JSON_FIELD_INT && check_int(value, field, problems) < 0)
                return -1;
        store(value, field, out);
        return 0;
}

/* A misspelled field that was passed over would be a wish that is not met, and nobody would know. */
static int refuse_unknown(const json_t *object, const struct json_field *fields, size_t count,
                          struct causes *problems)
{
        const char *key;
        json_t *value;
        int result = 0;

        json_object_foreach((json_t *)(uintptr_t)object, key, value) {
                struct nearest nearest = { 0 };
                size_t i = 0;
                while (i < count && !same_text(fields[i].name, key))
                        i++;
                if (i < count)
                        continue;
                if (problems->count == LIMIT_PROBLEMS) /* no more are told: no more work */
                        return -1;
                for (i = 0; i < count; i++)
                        nearest_offer(&nearest, key, fields[i].name);
                struct cause *problem = causes_add(problems);
                result = cause_about(problem, CAUSE_INVALID, key, "there is no field %s", key);
                if (nearest.word)
                        cause_remedy(problem, "did you mean %s?", nearest.word);
        }
        return result;
}

int json_read_fields(const json_t *object, const struct json_field *fields, size_t count, void *out,
                     struct causes *problems)
{
        int result = 0;

        if (object && !json_is_object(object))
                return cause_set(causes_add(problems), CAUSE_INVALID, "the parameters must be an object");
        for (size_t i = 0; i < count; i++)
                if (read_field(json_object_get(object, fields[i].name), &fields[i], out, problems) < 0)
                        result = -1;
        if (object && refuse_unknown(object, fields, count, problems) < 0)
                result = -1;
        return result;
}

void json_put(json_t *object, const char *name, json_t *value)
{
        if (!value || json_object_set_new(object, name, value) < 0)
                abort(); /* out of memory: small allocations do not fail */
}

/* JSON holds UTF-8 only: other bytes are told escaped, as the journal shows them. */
void json_put_text(json_t *object, const char *name, const char *text)
{
        if (!text) {
                json_put(object, name, json_null());
        } else if (utf8_valid(text, strlen(text))) {
                json_put(object, name, json_string(text));
        } else {
                char *scoped(scoped_free) escaped = printable_text(text);
                json_put(object, name, json_string(escaped));
        }
}

void json_put_time(json_t *object, const char *name, int64_t time)
{
        char text[32];

        time_rfc3339((time_t)time, text);
        json_put_text(object, name, text[0] ? text : NULL);
}

/* What could act on a terminal or turn the direction of a line is written as an escape, beyond the
 * basic plane as a surrogate pair (RFC 8259 section 7): to a parser the value is the same. */
static void append_point(struct buf *out, const char *bytes, size_t len, uint32_t point)
{
        int failed;

        if (point < 0x7f || !is_treacherous(point)) /* JSON has no others below 0x20 but the blanks between */
                failed = buf_append(out, bytes, len);
        else if (point < 0x10000)
                failed = buf_appendf(out, "\\u%04x", point);
        else
                failed = buf_appendf(out, "\\u%04x\\u%04x", 0xd800 + ((point - 0x10000) >> 10),
                                     0xdc00 + ((point - 0x10000) & 0x3ff));
        if (failed < 0)
                abort();
}

char *json_shown(const json_t *value, size_t flags)
{
        scoped(scoped_free) char *text = json_dumps(value, flags);
        size_t len = text ? strlen(text) : 0;
        /* A DEL, one byte, takes six: the worst. */
        struct buf out = BUF_WITH_MAX(6 * len);

        for (size_t at = 0, step; at < len; at += step) {
                uint32_t point = 0;
                step = utf8_character(text + at, len - at, &point);
                if (!step)
                        step = 1; /* cannot be: jansson checks */
                append_point(&out, text + at, step, point);
        }
        return text ? buf_take_text(&out) : NULL;
}

static json_t *new_json_object(void)
{
        json_t *object = json_object();

        if (!object)
                abort();
        return object;
}

json_t *cause_json(const struct cause *cause)
{
        if (!cause || cause->code == CAUSE_NONE)
                return json_null();
        json_t *object = new_json_object();
        json_put_text(object, "code", cause_kind(cause->code)->name);
        json_put_text(object, "text", cause->text);
        json_put_text(object, "remedy", cause_remedy_of(cause));
        json_put(object, "retries", json_boolean(cause_retries(cause)));
        json_put_text(object, "property", cause->property[0] ? cause->property : NULL);
        return object;
}

json_t *problems_json(const struct causes *problems)
{
        json_t *list = json_array();

        if (!list)
                abort();
        for (size_t i = 0; i < problems->count; i++) {
                const struct cause *cause = &problems->items[i];
                json_t *object = new_json_object();
                json_put_text(object, "property", cause->property);
                json_put_text(object, "code", cause_kind(cause->code)->name);
                json_put_text(object, "text", cause->text);
                json_put_text(object, "remedy", cause_remedy_of(cause));
                if (json_array_append_new(list, object) < 0)
                        abort();
        }
        return list;
}

/* Escaped on the way in: the other end is not trusted to have done it, and the text goes to a
 * terminal. */
static void copy_field(const json_t *object, const char *name, char *to, size_t size)
{
        const char *text = json_string_value(json_object_get(object, name));

        if (text)
                printable_copy(to, size, text, strlen(text));
}

void cause_from_json(const json_t *object, struct cause *out)
{
        const char *code = json_string_value(json_object_get(object, "code"));

        cause_clear(out);
        if (!code)
                return;
        out->code = cause_named(code);
        if (out->code == CAUSE_NONE && !same_text(code, cause_kind(CAUSE_NONE)->name))
                out->code = CAUSE_INTERNAL; /* a code of a newer daemon */
        copy_field(object, "text", out->text, sizeof out->text);
        copy_field(object, "remedy", out->remedy, sizeof out->remedy);
        copy_field(object, "property", out->property, sizeof out->property);
}

/* ---- writing in pieces ---- */

/* jansson goes on when a name could not be appended whole: the fault is remembered. */
static int write_piece(const char *piece, size_t len, void *ctx)
{
        struct json_writer *writer = ctx;

        writer->failed = writer->failed || buf_append(writer->to, piece, len) < 0;
        return writer->failed ? -1 : 0;
}

void json_write(struct json_writer *writer, const char *text)
{
        (void)write_piece(text, strlen(text), writer);
}

void json_write_value(struct json_writer *writer, json_t *value)
{
        if (json_dump_callback(value, write_piece, writer, JSON_COMPACT | JSON_ENCODE_ANY) < 0)
                writer->failed = true;
        json_decref(value);
}

/* Without its first and last character. */
static void write_inside(struct json_writer *writer, json_t *value)
{
        scoped(scoped_free) char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

        json_decref(value);
        if (text)
                (void)write_piece(text + 1, strlen(text) - 2, writer);
        else
                writer->failed = true;
}

void json_write_members(struct json_writer *writer, json_t *value)
{
        write_inside(writer, value);
}

void json_write_within(struct json_writer *writer, const char *text)
{
        write_inside(writer, json_string(text));
}
