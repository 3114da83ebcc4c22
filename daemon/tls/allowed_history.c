/* SPDX-License-Identifier: MIT */
/* What became of an entry of the Allowed Hosts, step by step: who decided what and when. The oldest steps but
 * the first go when there are too many. */
#include "common/json_fields.h"
#include "common/limits.h"
#include "common/times.h"
#include "daemon/tls/allowed_parts.h"

static const char *const past_names[] = { "approved", "rejected", "unapproved", "expired" };

static void past_done(struct past *past)
{
        free(past->by);
        free(past->reason);
}

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
static const struct json_field table[] = {
        { "what", JSON_FIELD_TEXT, AT(what), FIELD_REQUIRED, 0, 0, 0 },
        { "time", JSON_FIELD_TEXT, AT(time), FIELD_REQUIRED, 0, 0, 0 },
        { "by", JSON_FIELD_TEXT, AT(by), 0, 0, 0, 0 },
        { "reason", JSON_FIELD_TEXT, AT(reason), 0, 0, 0, 0 },
        { "expires", JSON_FIELD_TEXT, AT(expires), 0, 0, 0, 0 },
};
#undef AT

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
                int result = json_read_fields(item, table, count_of(table), &fields, &problems);
                if (result < 0 && cause && problems.count)
                        *cause = problems.items[0];
                causes_free(&problems);
                if (result < 0 || read_step(decided, &fields, cause) < 0)
                        return -1;
        }
        return 0;
}
