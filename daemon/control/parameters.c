/* SPDX-License-Identifier: MIT */
/* The parameters of calls out of their JSON; see parameters.h. */
#include "daemon/control/parameters.h"

#include "common/limits.h"
#include "daemon/service/history.h"

static const struct json_field fields[PARAMETER_COUNT] = {
#define PARAMETER_FIELD(word, type, member, label, bits, least, most) \
        [PARAMETER_##word] = { .name = label, \
                               .kind = JSON_FIELD_##type, \
                               .flags = bits, \
                               .min = least, \
                               .max = most, \
                               .offset = offsetof(struct parameters, member), \
                               .present = offsetof(struct parameters, said) + PARAMETER_##word },
        PARAMETERS(PARAMETER_FIELD)
#undef PARAMETER_FIELD
};

static const struct parameters defaults = {
        .account_limit = LIMIT_ACCOUNTS,
        .inbox_limit = LIMIT_INBOX_PAGE,
        .mail = true,
        .minutes = HISTORY_MINUTES,
        .pins = "certificate",
        .queue_limit = LIMIT_QUEUE_PAGE,
        .secret = "password",
        .wait = true,
};

const char *parameter_name(enum parameter parameter)
{
        return fields[parameter].name;
}

const char *parameter_type(enum parameter parameter)
{
        switch (fields[parameter].kind) {
        case JSON_FIELD_TEXT:
                return "string";
        case JSON_FIELD_BOOL:
                return "bool";
        case JSON_FIELD_INT:
                return "int";
        case JSON_FIELD_OBJECT:
                return "object";
        case JSON_FIELD_ARRAY:
        case JSON_FIELD_OBJECTS:
                return "[]object";
        case JSON_FIELD_TEXTS:
                return "[]string";
        }
        return "";
}

int parameters_read(const json_t *object, const struct taken *taken, struct parameters *out,
                    struct causes *problems)
{
        struct json_field wanted[TAKEN_MAX];
        size_t count = 0;

        for (; count < TAKEN_MAX && taken[count].parameter != PARAMETER_NONE; count++) {
                wanted[count] = fields[taken[count].parameter];
                if (!taken[count].optional)
                        wanted[count].flags |= FIELD_REQUIRED;
        }
        *out = defaults;
        return json_read_fields(object, wanted, count, out, problems);
}
