/* SPDX-License-Identifier: MIT */
/* The table of properties told to programs that show a sheet: all of it is read off the rows. */
#include "common/json_fields.h"
#include "common/properties.h"

static void append(json_t *list, json_t *item)
{
        if (json_array_append_new(list, item) < 0)
                abort();
}

/* Words of the interface, by which programs choose how a value is put in: they stay as they are. */
static const char *type_name(enum property_type type)
{
        switch (type) {
        case TYPE_BOOL:
                return "bool";
        case TYPE_INT:
                return "int";
        case TYPE_WORD:
                return "word";
        case TYPE_TEXT:
                return "text";
        case TYPE_FOLDERS:
                return "folders";
        case TYPE_SENDERS:
                return "senders";
        case TYPE_KEPT:
                return "kept";
        case TYPE_HOST:
                return "host";
        case TYPE_PORT:
                return "port";
        case TYPE_ADDRESS:
                return "address";
        case TYPE_URL:
                return "url";
        case TYPE_OBJECT:
                return "object";
        case TYPE_TIME:
                return "time";
        }
        return "";
}

static const char *access_name(enum property_access access)
{
        return access == ACCESS_FIXED ? "fixed" : access == ACCESS_WRITE ? "write" : "read";
}

/* In the order in which a sheet shows them. */
static const struct {
        const char *name, *title;
} groups[PROPERTY_GROUPS] = {
        [GROUP_NONE] = { "", "" },
        [GROUP_ACCOUNT] = { "account", "Account" },
        [GROUP_SERVER] = { "server", "Server" },
        [GROUP_SECURITY] = { "security", "Security" },
        [GROUP_SIGN_IN] = { "signIn", "Signing in" },
        [GROUP_SENDING] = { "sending", "Sending" },
        [GROUP_RECEIVING] = { "receiving", "Receiving" },
        [GROUP_HEARTBEAT] = { "heartbeat", "Heartbeat" },
        [GROUP_OAUTH] = { "oauth", "OAuth" },
        [GROUP_STATE] = { "state", "State" },
};

/* Its bounds: of a number's value, or of a text's length. */
static void put_bounds(json_t *row, const struct property *property, enum account_kind kind)
{
        int64_t min =
                kind == KIND_INCOMING && property->min_incoming ? property->min_incoming : property->min;

        if (property->access == ACCESS_READ || !property->max)
                return;
        if (property->type == TYPE_INT || property->type == TYPE_PORT) {
                json_put(row, "min", json_integer(min));
                json_put(row, "max", json_integer(property->max));
        } else {
                json_put(row, "maxBytes", json_integer(property->max));
        }
}

/* The words that this kind can have: what sends has smtp alone. */
static void put_words(json_t *row, const struct property *property, enum account_kind kind)
{
        json_t *words = json_array();

        for (const char *const *word = property->words; *word; word++)
                if (property_word_fits(property, *word, kind))
                        append(words, json_string(*word));
        json_put(row, "words", words);
}

/* Null where it has none: what is the daemon's own, what must be given. */
static json_t *default_json(const struct property *property, const json_t *defaults)
{
        json_t *value = json_object_get(defaults, property->name);

        if (!value || (property->required && !json_string_value(value)[0]))
                return json_null();
        return json_incref(value);
}

static json_t *row_json(const struct property *property, enum account_kind kind, const json_t *defaults)
{
        json_t *row = json_object();

        json_put_text(row, "name", property->name);
        json_put_text(row, "type", type_name(property->type));
        json_put_text(row, "group", groups[property->group].name);
        json_put_text(row, "access", access_name(property->access));
        json_put(row, "required", json_boolean(property->required));
        json_put(row, "default", default_json(property, defaults));
        put_bounds(row, property, kind);
        if (property->words)
                put_words(row, property, kind);
        if (property->unit)
                json_put_text(row, "unit", property->unit == UNIT_BYTES ? "bytes" : "seconds");
        if (property->excludes)
                json_put_text(row, "excludes", properties[property->excludes].name);
        json_put_text(row, "help", property->help);
        return row;
}

json_t *properties_description(enum account_kind kind)
{
        struct property_values values;

        /* The defaults are those of a sheet that nobody has touched: what a new account begins
         * with. */
        properties_defaults(&values, kind);
        json_t *list = json_array(), *defaults = properties_json(&values, false);
        for (size_t i = 0; i < PROPERTIES; i++)
                if (properties[i].kinds & (unsigned)kind)
                        append(list, row_json(&properties[i], kind, defaults));
        json_decref(defaults);
        properties_done(&values);
        return list;
}

json_t *property_groups_description(void)
{
        json_t *list = json_array();

        for (size_t i = GROUP_NONE + 1; i < PROPERTY_GROUPS; i++) {
                json_t *group = json_object();
                json_put_text(group, "name", groups[i].name);
                json_put_text(group, "title", groups[i].title);
                append(list, group);
        }
        return list;
}

json_t *property_secrets_description(void)
{
        json_t *list = json_array();

        for (size_t i = 0; i < SECRET_KINDS; i++) {
                json_t *secret = json_object();
                json_put_text(secret, "name", property_secrets[i].name);
                json_put_text(secret, "help", property_secrets[i].help);
                append(list, secret);
        }
        return list;
}
