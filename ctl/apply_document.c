/* SPDX-License-Identifier: MIT */
/* Documents of accounts: read, and merged for one of many stations; see apply_document.h. */
#include "ctl/apply_document.h"

#include "common/json_fields.h"
#include "common/properties.h"
#include "ctl/call.h"
#include "ctl/show.h"

#include <strings.h>

json_t *apply_document_read(const char *path, struct cause *cause)
{
        json_error_t error;
        bool input = same_text(path, "-");
        json_t *document = input ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &error)
                                 : json_load_file(path, JSON_REJECT_DUPLICATES, &error);
        if (!document) {
                (void)cause_set(cause, CAUSE_INVALID, "%s, line %d: %s", input ? "standard input" : path,
                                error.line, error.text);
                cause_remedy(cause, "it is to look like what this prints: emailsecctl account export");
        }
        return document;
}

bool apply_document_has_hosts(const json_t *document)
{
        return json_object_get(document, "hosts") != NULL;
}

json_t *apply_document_account(const json_t *account)
{
        json_t *out = json_object();
        const json_t *from = json_at(account, "properties");
        json_put_text(out, "name", json_text(account, "name"));
        json_put_text(out, "kind", json_text(account, "kind"));
        for (size_t i = 0; i < PROPERTIES; i++) {
                json_t *value = json_object_get(from, properties[i].name);
                if (value && properties[i].access == ACCESS_WRITE)
                        json_put(out, properties[i].name, json_incref(value));
        }
        return out;
}

/* An account as `export` writes it, also from the form of the socket: {name, kind, properties}. */
static json_t *flat_account(const json_t *account)
{
        return json_is_object(json_object_get(account, "properties")) ? apply_document_account(account)
                                                                      : json_deep_copy(account);
}

json_t *apply_document_accounts(const json_t *document)
{
        const json_t *list = json_is_object(document) ? json_object_get(document, "accounts") : document;
        if (!list && apply_document_has_hosts(document))
                return json_array();
        if (!json_is_array(list))
                return NULL;
        json_t *out = json_array();
        for (size_t i = 0; i < json_array_size(list); i++)
                (void)json_array_append_new(out, flat_account(json_array_get(list, i)));
        return out;
}

static json_t *account_of_name(const json_t *accounts, const char *name)
{
        for (size_t i = 0; i < json_array_size(accounts); i++)
                if (same_text(json_text(json_array_get(accounts, i), "name"), name))
                        return json_array_get(accounts, i);
        return NULL;
}

static bool is_part_of(const char *key, const char *station)
{
        scoped(scoped_free) char *host = station_host(station);
        return same_text(key, station) || strcasecmp(key, host) == 0; /* names of hosts have no case */
}

static bool is_part_of_one(const char *key, const struct stations *stations)
{
        for (size_t i = 0; i < stations->count; i++)
                if (is_part_of(key, stations->names[i]))
                        return true;
        return false;
}

json_t *apply_document_others(const json_t *document, const struct stations *stations,
                              const struct stations *more)
{
        const char *key;
        json_t *part, *others = json_array();
        json_object_foreach(json_object_get(document, "hosts"), key, part)
                if (!is_part_of_one(key, stations) && !is_part_of_one(key, more))
                        (void)json_array_append_new(others, json_string(key));
        return others;
}

static int merge(json_t *accounts, const json_t *part, const char *key, struct cause *cause)
{
        scoped(scoped_json) json_t *own = apply_document_accounts(part);
        if (!own)
                return cause_set(cause, CAUSE_INVALID, "the part of %s holds no list of accounts", key);
        for (size_t i = 0; i < json_array_size(own); i++) {
                json_t *one = json_array_get(own, i);
                json_t *common = account_of_name(accounts, json_text(one, "name"));
                if (common)
                        (void)json_object_update(common, one);
                else
                        (void)json_array_append(accounts, one);
        }
        return 0;
}

json_t *apply_document_for(const json_t *document, const char *station, struct cause *cause)
{
        json_t *accounts = apply_document_accounts(document);
        const json_t *hosts = json_object_get(document, "hosts");
        const char *key;
        json_t *part;
        bool bad = !accounts || (hosts && !json_is_object(hosts));
        if (bad)
                (void)cause_set(cause, CAUSE_INVALID,
                                "it holds no list of accounts, and no hosts that have one each");
        json_object_foreach((json_t *)(uintptr_t)hosts, key, part)
                bad = bad || (is_part_of(key, station) && merge(accounts, part, key, cause) < 0);
        if (bad) {
                cause_remedy(
                        cause,
                        "{\"accounts\": [...], \"hosts\": {\"HOST\": {\"accounts\": [...]}}}; an account "
                        "is as this prints it: emailsecctl account export");
                json_decref(accounts);
                return NULL;
        }
        return accounts;
}
