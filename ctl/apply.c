/* SPDX-License-Identifier: MIT */
/*
 * Accounts as a document: read, and merged for one of many stations, see apply.h; `account export` prints
 * one, `account apply` makes a station like it.
 */
#include "ctl/apply.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/properties.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/read_file.h"
#include "ctl/show.h"

#include <ctype.h>
#include <strings.h>

enum { DOCUMENT_MOST = 256 * MIB }; /* of a fleet: parts for thousands of hosts */

json_t *apply_document_read(const char *path, struct cause *cause)
{
        /* A name that stands twice is refused: the first of both would be lost unseen. */
        json_error_t error;
        bool input = same_text(path, "-");
        scoped(buf_free) struct buf text = BUF_WITH_MAX(DOCUMENT_MOST);
        if (read_file_whole(path, &text, cause) < 0)
                return NULL;
        json_t *document = json_loadb(text.len ? (const char *)buf_bytes(&text) : "", text.len,
                                      JSON_REJECT_DUPLICATES, &error);
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

/* What a station can be told, and no more: its state is its own. */
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

/* A bare list is a document too; one with parts for hosts may have no accounts that are common to
 * all. */
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

/* ---- parts for hosts ---- */

static char *lower_case(const char *name)
{
        char *out = copy_text(name);
        for (char *at = out; *at; at++)
                *at = (char)tolower((unsigned char)*at);
        return out;
}

/* Names that are keys here may be any bytes of a command line. */
static void put(json_t *object, const char *key, json_t *value)
{
        if (json_object_set_new_nocheck(object, key, value) < 0)
                abort(); /* out of memory: small allocations do not fail */
}

/* By the host in lower case: keys that differ by their case alone are all parts of that host. */
json_t *apply_document_parts(const json_t *document)
{
        const char *key;
        json_t *part, *parts = json_object();
        json_object_foreach(json_object_get(document, "hosts"), key, part) {
                scoped(scoped_free) char *name = lower_case(key);
                if (!json_object_get(parts, name))
                        put(parts, name, json_array());
                (void)json_array_append_new(json_object_get(parts, name), json_string(key));
        }
        return parts;
}

/* The hosts of stations, in lower case. */
static void add_hosts(json_t *hosts, const struct stations *stations)
{
        for (size_t i = 0; i < stations->count; i++) {
                scoped(scoped_free) char *host = station_host(stations->names[i]);
                scoped(scoped_free) char *lower = lower_case(host);
                put(hosts, lower, json_true());
        }
}

json_t *apply_document_others(const json_t *document, const struct stations *stations,
                              const struct stations *more)
{
        const char *key;
        json_t *part, *others = json_array();
        scoped(scoped_json) json_t *hosts = json_object();
        add_hosts(hosts, stations);
        add_hosts(hosts, more);
        json_object_foreach(json_object_get(document, "hosts"), key, part) {
                scoped(scoped_free) char *host = lower_case(key); /* names of hosts have no case */
                if (!stations_have(stations, key) && !stations_have(more, key) &&
                    !json_object_get(hosts, host))
                        (void)json_array_append_new(others, json_string(key));
        }
        return others;
}

/* ---- what one station gets ---- */

struct merging {
        json_t *accounts, *by_name;
        struct cause *cause;
};

static void note_name(struct merging *merging, json_t *account)
{
        const char *name = json_text(account, "name");
        if (!json_object_get(merging->by_name, name))
                put(merging->by_name, name, json_incref(account));
}

/* Values of the part are laid over those of the common account of that name; what has no such
 * account is added. */
static int merge(struct merging *merging, const json_t *part, const char *key)
{
        scoped(scoped_json) json_t *own = apply_document_accounts(part);
        if (!own)
                return cause_set(merging->cause, CAUSE_INVALID, "the part of %s holds no list of accounts",
                                 key);
        for (size_t i = 0; i < json_array_size(own); i++) {
                json_t *one = json_array_get(own, i);
                json_t *common = json_object_get(merging->by_name, json_text(one, "name"));
                if (common) {
                        (void)json_object_update(common, one);
                } else {
                        (void)json_array_append(merging->accounts, one);
                        note_name(merging, one);
                }
        }
        return 0;
}

/* Of the parts under `name`, those that have this very name, or all: names of hosts have no case. */
static int merge_all(struct merging *merging, const json_t *hosts, const json_t *parts, const char *name,
                     bool very)
{
        scoped(scoped_free) char *lower = lower_case(name);
        const json_t *keys = json_object_get(parts, lower);
        for (size_t i = 0; i < json_array_size(keys); i++) {
                const char *key = json_string_value(json_array_get(keys, i));
                if ((!very || same_text(key, name)) && merge(merging, json_object_get(hosts, key), key) < 0)
                        return -1;
        }
        return 0;
}

static int merge_parts(struct merging *merging, const json_t *hosts, const json_t *parts, const char *station)
{
        scoped(scoped_free) char *host = station_host(station);
        if (!json_is_object(hosts) || !json_object_size(hosts))
                return 0;
        for (size_t i = 0; i < json_array_size(merging->accounts); i++)
                note_name(merging, json_array_get(merging->accounts, i));
        /* The part of the host first, then that of the very station (USER@HOST), which is nearer
         * and wins. */
        if (merge_all(merging, hosts, parts, host, false) < 0)
                return -1;
        return strcasecmp(host, station) == 0 ? 0 : merge_all(merging, hosts, parts, station, true);
}

json_t *apply_document_for(const json_t *document, const json_t *parts, const char *station,
                           struct cause *cause)
{
        scoped(scoped_json) json_t *names = json_object();
        struct merging merging = { .accounts = apply_document_accounts(document),
                                   .by_name = names,
                                   .cause = cause };
        const json_t *hosts = json_object_get(document, "hosts");
        bool bad = !merging.accounts || (hosts && !json_is_object(hosts));
        if (bad)
                (void)cause_set(cause, CAUSE_INVALID,
                                "it holds no list of accounts, and no hosts that have one each");
        else
                bad = merge_parts(&merging, hosts, parts, station) < 0;
        if (bad) {
                cause_remedy(
                        cause,
                        "{\"accounts\": [...], \"hosts\": {\"HOST\": {\"accounts\": [...]}}}; an account "
                        "is as this prints it: emailsecctl account export");
                json_decref(merging.accounts);
                return NULL;
        }
        return merging.accounts;
}

/* ---- the commands ---- */

static bool is_wanted(const struct tool *tool, const char *name)
{
        for (size_t i = 0; i < tool->word_count; i++)
                if (same_text(tool->words[i], name))
                        return true;
        return tool->word_count == 0;
}

/* The first name that was asked for and is not there; a file that lacks it must not look complete. */
static const char *missing_name(const struct tool *tool, const json_t *exports)
{
        for (size_t i = 0; i < tool->word_count; i++) {
                bool found = false;
                for (size_t e = 0; e < json_array_size(exports); e++)
                        found = found ||
                                same_text(json_text(json_array_get(exports, e), "name"), tool->words[i]);
                if (!found)
                        return tool->words[i];
        }
        return NULL;
}

struct exporting {
        const struct tool *tool;
        json_t *exports;
};

static int export_one(void *arg, json_t *account)
{
        const struct exporting *exporting = arg;
        if (is_wanted(exporting->tool, json_text(account, "name")))
                (void)json_array_append_new(exporting->exports, apply_document_account(account));
        return EXIT_DONE;
}

int run_account_export(struct tool *tool)
{
        scoped(scoped_json) json_t *document = json_object();
        json_t *exports = json_array();
        json_put(document, "accounts", exports);
        int status = each_account(tool, NULL, export_one, &(struct exporting){ tool, exports }, NULL);
        if (status)
                return status;
        const char *missing = missing_name(tool, exports);
        if (missing) {
                struct cause cause;
                (void)cause_set(&cause, CAUSE_NOT_FOUND, "there is no account '%s'", missing);
                cause_remedy(&cause, "emailsecctl account list");
                return tell_cause(&cause);
        }
        show_json(document);
        return EXIT_DONE;
}

/* A file for several stations is refused here: its common part alone would be half of what it says. */
static json_t *read_accounts(const char *path, struct cause *cause)
{
        scoped(scoped_json) json_t *document = apply_document_read(path, cause);
        if (!document)
                return NULL;
        if (apply_document_has_hosts(document)) {
                (void)cause_set(cause, CAUSE_INVALID, "%s has parts for hosts: it is for several stations",
                                path);
                cause_remedy(cause, "name them: emailsecctl --hosts FILE account apply %s, or -H A,B,C",
                             path);
                return NULL;
        }
        json_t *accounts = apply_document_accounts(document);
        if (!accounts) {
                (void)cause_set(cause, CAUSE_INVALID, "%s holds no list of accounts", path);
                cause_remedy(cause, "it looks like what this prints: emailsecctl account export");
        }
        return accounts;
}

/* One account: what happens to it, and each value it gets. */
static bool show_change(const json_t *change)
{
        if (same_text(json_text(change, "change"), "none"))
                return false;
        const json_t *values = json_at(change, "properties");
        scoped(scoped_free) char *text = json_words(json_at(change, "text"));
        sheet_title(text);
        for (size_t i = 0; i < PROPERTIES; i++)
                sheet_value(properties[i].name, values, properties[i].name);
        return true;
}

/* One call: all of the file is applied, or nothing. */
int run_account_apply(struct tool *tool)
{
        struct cause cause = { 0 };
        json_t *accounts = read_accounts(tool_word(tool, 0), &cause);
        if (!accounts)
                return tell_cause(&cause);
        scoped(scoped_json) json_t *answer = NULL;
        json_t *parameters = json_object();
        json_put(parameters, "accounts", accounts);
        parameter_flag(parameters, "dryRun", tool_has(tool, "dry-run"));
        int status = call_daemon(tool, EMAIL("Apply"), parameters, &answer);
        if (status)
                return status;
        const json_t *changes = json_at(answer, "changes");
        if (tool->json) {
                show_json(changes);
                return status;
        }
        size_t shown = 0;
        for (size_t i = 0; i < json_array_size(changes); i++)
                shown += show_change(json_array_get(changes, i));
        if (!shown)
                show_done(tool, "nothing to change");
        return status;
}
