/* SPDX-License-Identifier: MIT */
/* Making the station match a document of accounts: everything is checked first, then applied one by one. */
#include "common/json_fields.h"
#include "common/names.h"
#include "daemon/station/accounts.h"

struct applying {
        json_t *changes;      /* the answer */
        json_t *requests;     /* [{name, kind, properties}] in step with changes */
        size_t next;
        struct causes problems;
        void (*done)(void *ctx, json_t *changes, const struct causes *problems);
        void *ctx;
};

/* The writable properties of an export: flat, or under `properties`. */
static json_t *properties_of(const json_t *object)
{
        const json_t *inner = json_object_get(object, "properties");
        json_t *all = json_copy((json_t *)(json_is_object(inner) ? inner : object));
        const char *key;
        json_t *value;
        void *following;

        json_object_foreach_safe(all, following, key, value) {
                const struct property *property = property_named(key);
                bool own_word = strcmp(key, "cause") == 0 || strcmp(key, "challenge") == 0 ||
                                strcmp(key, "warnings") == 0;
                if (own_word || (property && property->access != ACCESS_WRITE))
                        (void)json_object_del(all, key);
        }
        return all;
}

/* Leaves only what differs from the account's present values. A document that changes the security says the port with
 * it, even where that stays the same number. */
static json_t *differences(const struct account *account, const json_t *wanted)
{
        json_t *now = properties_json(&account->values, false);
        json_t *different = json_object();
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)wanted, key, value)
                if (!json_equal(json_object_get(now, key), value))
                        json_put(different, key, json_incref(value));
        json_t *port = json_object_get(wanted, "port");
        if (port && (json_object_get(different, "useSsl") || json_object_get(different, "useStartTls")))
                json_put(different, "port", json_incref(port));
        json_decref(now);
        return different;
}

/* Checks one without changing anything, by the rules of add and set. */
static void check_one(struct applying *apply, const char *name, const char *kind, const json_t *wanted,
                      const struct account *account)
{
        struct property_values values;
        size_t before = apply->problems.count;

        if (account) {
                properties_copy(&values, &account->values);
        } else {
                properties_defaults(&values, same_text(kind, "incoming") ? KIND_INCOMING : KIND_OUTGOING);
                free(values.of[PROP_NAME].text);
                values.of[PROP_NAME].text = copy_text(name);
                if (!account_name_valid(name))
                        cause_about(causes_add(&apply->problems), CAUSE_INVALID, "name", "\"%s\" is not a name", name);
                if (!same_text(kind, "incoming") && !same_text(kind, "outgoing"))
                        cause_about(causes_add(&apply->problems), CAUSE_INVALID, "kind",
                                    "\"%s\" is not outgoing or incoming", kind ? kind : "");
        }
        bool fits = properties_apply(&values, wanted, &apply->problems) == 0 &&
                    properties_check(&values, account ? &account->values : NULL, wanted, &apply->problems) == 0;
        for (size_t i = before; !fits && i < apply->problems.count; i++)
                cause_prefix(&apply->problems.items[i], "account %s: ", name);
        properties_done(&values);
}

static bool is_planned(const struct applying *apply, const char *name)
{
        size_t index;
        const json_t *request;

        json_array_foreach(apply->requests, index, request)
                if (same_text(json_string_value(json_object_get(request, "name")), name))
                        return true;
        return false;
}

static void plan_one(struct applying *apply, const json_t *object)
{
        const char *name = json_string_value(json_object_get(object, "name"));
        const char *kind = json_string_value(json_object_get(object, "kind"));

        if (!name) {
                cause_about(causes_add(&apply->problems), CAUSE_INVALID, "name", "an account without a name");
                return;
        }
        if (is_planned(apply, name)) {
                cause_about(causes_add(&apply->problems), CAUSE_INVALID, "name", "account %s stands there twice", name);
                return;
        }
        struct account *account = account_named(name);
        json_t *wanted = properties_of(object);
        json_t *request = json_object(), *change = json_object();

        if (account && kind && !same_text(kind, prop_text(&account->values, PROP_KIND)))
                cause_about(causes_add(&apply->problems), CAUSE_INVALID, "kind",
                            "account %s is %s, and that never changes", name, prop_text(&account->values, PROP_KIND));
        if (account) {
                json_t *different = differences(account, wanted);
                json_decref(wanted);
                wanted = different;
        }
        check_one(apply, name, kind, wanted, account);
        bool none = account && json_object_size(wanted) == 0;
        json_put_text(change, "account", name);
        json_put_text(change, "change", none ? "none" : account ? "set" : "add");
        json_put(change, "properties", json_incref(wanted));
        scoped(scoped_free) char *text = text_of("%s %s", none ? "nothing to change for" : account ? "change" : "add", name);
        json_put_text(change, "text", text);
        json_put_text(request, "name", name);
        json_put_text(request, "kind", kind);
        json_put(request, "properties", wanted);
        (void)json_array_append_new(apply->changes, change);
        (void)json_array_append_new(apply->requests, request);
}

static void finish(struct applying *apply)
{
        apply->done(apply->ctx, apply->changes, &apply->problems);
        causes_free(&apply->problems);
        json_decref(apply->changes);
        json_decref(apply->requests);
        free(apply);
}

static void go_on(void *ctx, struct account *account, const struct causes *problems);

static void next_one(struct applying *apply)
{
        while (apply->next < json_array_size(apply->requests)) {
                size_t index = apply->next++;
                const json_t *request = json_array_get(apply->requests, index);
                const char *what = json_string_value(json_object_get(json_array_get(apply->changes, index), "change"));
                const char *name = json_string_value(json_object_get(request, "name"));
                const json_t *wanted = json_object_get(request, "properties");
                if (strcmp(what, "none") == 0)
                        continue;
                if (strcmp(what, "add") == 0)
                        accounts_add(name, json_string_value(json_object_get(request, "kind")), wanted, go_on, apply);
                else
                        accounts_set(name, wanted, go_on, apply);
                return;
        }
        finish(apply);
}

static void go_on(void *ctx, struct account *account, const struct causes *problems)
{
        struct applying *apply = ctx;

        (void)account;
        if (problems->count) {
                for (size_t i = 0; i < problems->count; i++)
                        *causes_add(&apply->problems) = problems->items[i];
                finish(apply);
                return;
        }
        next_one(apply);
}

void accounts_apply(const json_t *list, bool dry_run,
                    void (*done)(void *ctx, json_t *changes, const struct causes *problems), void *ctx)
{
        struct applying *apply = new_object(struct applying);
        size_t index;
        json_t *object;

        *apply = (struct applying){ .done = done, .ctx = ctx };
        apply->changes = json_array();
        apply->requests = json_array();
        json_array_foreach((json_t *)list, index, object)
                plan_one(apply, object);
        if (dry_run || apply->problems.count)
                finish(apply);
        else
                next_one(apply);
}
