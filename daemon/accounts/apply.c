/* SPDX-License-Identifier: MIT */
/*
 * Making the station match a document of accounts, as one transaction: while it is under way no other change
 * of accounts is. Everything is checked; identities are bound for those to be added; then all files as they
 * are to be are written into one, accounts.apply, whose presence decides. What follows, the files themselves
 * and the end of accounts.apply, is tried until it is done, by the next start if need be.
 */
#include "daemon/accounts/accounts_parts.h"

#include "common/json_fields.h"
#include "common/names.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/store/replace_file.h"
#include "daemon/store/store.h"

#include <stdio.h>

enum {
        APPLY_AGAIN_MS = 1000, /* between tries to write what was decided */
        APPLY_ON_END = 32,     /* accounts planned, or taken over, in one turn of the loop */
        APPLY_NEXT_MS = 1,
        APPLY_MOST = 256 * MIB, /* accounts.apply: a document that came in one frame, indented */
};

struct planned {
        const char *name;        /* in `requests` */
        struct account *account; /* NULL: to be added */
        char id[OWNER_ID_SIZE];
        struct property_values values;
        char *text; /* of its file */
};

struct applying {
        json_t *document;
        json_t *changes;  /* the answer */
        json_t *requests; /* [{name, kind, properties}] in step with changes */
        json_t *names;    /* of these, as an object's keys */
        size_t looked_at; /* of the document, then those taken over */
        bool dry_run;
        struct planned *planned; /* those that change */
        size_t count, next;
        size_t binding; /* identities under way */
        bool failed;
        struct timer *again, *turn;
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

/* Leaves only what differs from the account's present values. A document that changes the security says the
 * port with it, even where that stays the same number. */
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

/* What one is to be, by the rules of add and set; the caller frees `values`. */
static void check_one(struct applying *apply, const char *name, const char *kind, const json_t *wanted,
                      const struct account *account, struct property_values *values)
{
        size_t before = apply->problems.count;

        if (account) {
                properties_copy(values, &account->values);
                if (account->unreadable)
                        *causes_add(&apply->problems) = *account->cause;
        } else {
                properties_defaults(values, same_text(kind, "incoming") ? KIND_INCOMING : KIND_OUTGOING);
                free(values->of[PROP_NAME].text);
                values->of[PROP_NAME].text = copy_text(name);
                if (account_name_taken(name))
                        cause_about(causes_add(&apply->problems), CAUSE_STATE, "name",
                                    "%s is just being deleted", name);
                if (!account_name_valid(name))
                        cause_about(causes_add(&apply->problems), CAUSE_INVALID, "name",
                                    "\"%s\" is not a name", name);
                if (!same_text(kind, "incoming") && !same_text(kind, "outgoing"))
                        cause_about(causes_add(&apply->problems), CAUSE_INVALID, "kind",
                                    "\"%s\" is not outgoing or incoming", kind ? kind : "");
        }
        bool fits = properties_take(values, account ? &account->values : NULL, wanted, &apply->problems) == 0;
        for (size_t i = before; !fits && i < apply->problems.count; i++)
                cause_prefix(&apply->problems.items[i], "account %s: ", name);
}

static void plan_change(struct applying *apply, const char *name, struct account *account,
                        struct property_values *values)
{
        struct planned *planned;

        apply->planned = new_resized(apply->planned, apply->count + 1, sizeof *apply->planned);
        planned = &apply->planned[apply->count++];
        *planned = (struct planned){ .name = name, .account = account, .values = *values };
        if (account)
                (void)snprintf(planned->id, sizeof planned->id, "%s", account->id);
        else
                owner_id_new(planned->id);
        planned->text = account_file_text(&planned->values, planned->id);
        *values = (struct property_values){ .kind = planned->values.kind };
}

static void plan_one(struct applying *apply, const json_t *object)
{
        const char *name = json_string_value(json_object_get(object, "name"));
        const char *kind = json_string_value(json_object_get(object, "kind"));

        if (!name) {
                cause_about(causes_add(&apply->problems), CAUSE_INVALID, "name", "an account without a name");
                return;
        }
        if (json_object_get(apply->names, name)) {
                cause_about(causes_add(&apply->problems), CAUSE_INVALID, "name",
                            "account %s stands there twice", name);
                return;
        }
        struct account *account = account_named(name);
        json_t *wanted = properties_of(object);
        json_t *request = json_object(), *change = json_object();

        if (account && kind && !same_text(kind, prop_text(&account->values, PROP_KIND)))
                cause_about(causes_add(&apply->problems), CAUSE_INVALID, "kind",
                            "account %s is %s, and that never changes", name,
                            prop_text(&account->values, PROP_KIND));
        if (account) {
                json_t *different = differences(account, wanted);
                json_decref(wanted);
                wanted = different;
        }
        struct property_values values;
        check_one(apply, name, kind, wanted, account, &values);
        bool none = account && json_object_size(wanted) == 0;
        json_put_text(change, "account", name);
        json_put_text(change, "change", none ? "none" : account ? "set" : "add");
        json_put(change, "properties", json_incref(wanted));
        json_put(change, "differences", properties_differences(account ? &account->values : NULL, &values));
        scoped(scoped_free) char *text = text_of("%s %s",
                                                 none      ? "nothing to change for"
                                                 : account ? "change"
                                                           : "add",
                                                 name);
        json_put_text(change, "text", text);
        json_put_text(request, "name", name);
        json_put_text(request, "kind", kind);
        json_put(request, "properties", wanted);
        (void)json_array_append_new(apply->changes, change);
        (void)json_array_append_new(apply->requests, request);
        json_put(apply->names, name, json_true());
        if (!none && !apply->problems.count)
                plan_change(apply, json_string_value(json_object_get(request, "name")), account, &values);
        properties_done(&values);
}

static void count_planned(struct applying *apply)
{
        size_t fresh = 0;

        for (size_t i = 0; i < apply->count; i++)
                fresh += !apply->planned[i].account;
        if (fresh && accounts_count() + fresh > LIMIT_ACCOUNTS)
                cause_about(causes_add(&apply->problems), CAUSE_INVALID, "name",
                            "there would be more than %d accounts", LIMIT_ACCOUNTS);
}

/* Then what is under way goes on: thousands are not worked on in one turn of the loop. */
static void go_on_next_turn(struct applying *apply, void (*fire)(void *ctx))
{
        timer_free(take(apply->turn));
        apply->turn = timer_new(fire, apply);
        timer_set(apply->turn, APPLY_NEXT_MS);
}

static struct applying *present; /* the one that has the lock */

/* Every way out comes here once. `done` may begin another apply, which waits for the lock. */
static void finish(struct applying *apply)
{
        if (present == apply)
                present = NULL;
        if (apply->done)
                apply->done(apply->ctx, apply->changes, &apply->problems);
        causes_free(&apply->problems);
        for (size_t i = 0; i < apply->count; i++) {
                properties_done(&apply->planned[i].values);
                free(apply->planned[i].text);
        }
        free(apply->planned);
        timer_free(apply->again);
        timer_free(apply->turn);
        json_decref(apply->names);
        json_decref(apply->document);
        json_decref(apply->changes);
        json_decref(apply->requests);
        free(apply);
}

static void apply_end(struct applying *apply)
{
        finish(apply);
        changes_unlock();
}

/* ---- it was not to be ---- */

static void apply_unbound(void *ctx, const struct owner_rows *rows, const struct cause *cause)
{
        struct applying *apply = ctx;

        (void)rows;
        (void)cause; /* the store closes: the next start finds it without a file */
        if (--apply->binding == 0)
                apply_end(apply);
}

/* Nothing was decided: the identities that were bound for new accounts are taken back, for which nobody
 * waits. */
static void apply_give_up(struct applying *apply)
{
        if (apply->done) /* nobody waits for the clearing up */
                apply->done(apply->ctx, apply->changes, &apply->problems);
        apply->done = NULL;
        apply->binding = 1;
        for (size_t i = 0; i < apply->count; i++)
                if (!apply->planned[i].account) {
                        apply->binding++;
                        owner_renew(apply->planned[i].name, NULL, true, apply_unbound, apply);
                }
        if (--apply->binding == 0)
                apply_end(apply);
}

/* ---- the files ---- */

static char *decision_path(void)
{
        return text_of("%s/accounts.apply", store_directory());
}

/* All files are there and accounts.apply is gone: the accounts change in memory, some in each turn of the
 * loop, while the lock keeps other changes out. */
static void take_over(void *ctx)
{
        struct applying *apply = ctx;
        size_t end = apply->looked_at + APPLY_ON_END;

        for (; apply->looked_at < apply->count && apply->looked_at < end; apply->looked_at++) {
                struct planned *planned = &apply->planned[apply->looked_at];
                if (planned->account)
                        account_change_values(planned->account, &planned->values);
                else
                        (void)account_appear(&planned->values, planned->id);
        }
        if (apply->looked_at < apply->count)
                go_on_next_turn(apply, take_over);
        else
                apply_end(apply);
}

static void write_next(void *ctx);

/* Tried until the disk takes it: it is decided. Killed in here, the next start writes the rest
 * (apply_recover). */
static void file_written(void *ctx, const struct cause *cause)
{
        struct applying *apply = ctx;

        if (!cause_happened(cause) && apply->next++ == apply->count) {
                take_over(apply);
        } else if (!cause_happened(cause)) {
                write_next(apply);
        } else {
                if (!apply->again)
                        apply->again = timer_new(write_next, apply);
                timer_set(apply->again, APPLY_AGAIN_MS);
        }
}

/* One file after the other, and after the last one accounts.apply goes. */
static void write_next(void *ctx)
{
        struct applying *apply = ctx;
        const struct planned *planned = apply->next < apply->count ? &apply->planned[apply->next] : NULL;
        scoped(scoped_free) char *path = planned ? account_file_path(planned->name) : decision_path();

        replace_file_later(path, planned ? planned->text : NULL, planned ? strlen(planned->text) : 0,
                           file_written, apply);
}

/* THE point from which there is no way back: accounts.apply is on disk, whole, by one rename. */
static void decided(void *ctx, const struct cause *cause)
{
        struct applying *apply = ctx;

        if (!cause_happened(cause)) {
                write_next(apply);
                return;
        }
        *causes_add(&apply->problems) = *cause;
        apply_give_up(apply);
}

/* It holds the very texts of all files, so that the start needs nothing else to finish. */
static void decide(struct applying *apply)
{
        json_t *decision = json_object(), *files = json_array();
        scoped(scoped_free) char *path = decision_path();

        for (size_t i = 0; i < apply->count; i++) {
                json_t *file = json_object();
                json_put_text(file, "name", apply->planned[i].name);
                json_put_text(file, "text", apply->planned[i].text);
                (void)json_array_append_new(files, file);
        }
        json_put(decision, "version", json_integer(1));
        json_put(decision, "files", files);
        scoped(scoped_free) char *text = json_dumps(decision, JSON_INDENT(1));
        json_decref(decision);
        replace_file_later(path, text, strlen(text), decided, apply);
}

/* ---- identities ---- */

static void apply_all_bound(struct applying *apply)
{
        if (apply->failed)
                apply_give_up(apply);
        else
                decide(apply);
}

static void apply_bound(void *ctx, const struct owner_rows *rows, const struct cause *cause)
{
        struct applying *apply = ctx;

        (void)rows;
        if (cause && !apply->failed) {
                *causes_add(&apply->problems) = *cause;
                apply->failed = true;
        }
        if (--apply->binding == 0)
                apply_all_bound(apply);
}

/* A dry run ends here. Identities are bound before the decision: a file names the identity that its rows
 * belong to. */
static void apply_planned(struct applying *apply)
{
        count_planned(apply);
        apply->looked_at = 0;
        if (apply->dry_run || apply->problems.count || !apply->count) {
                apply_end(apply);
                return;
        }
        apply->binding = 1;
        for (size_t i = 0; i < apply->count; i++)
                if (!apply->planned[i].account) {
                        apply->binding++;
                        owner_renew(apply->planned[i].name, apply->planned[i].id, false, apply_bound, apply);
                }
        if (--apply->binding == 0)
                apply_all_bound(apply);
}

/* Each account by the rules of add and set, against the set as it is under the lock. */
static void plan_some(void *ctx)
{
        struct applying *apply = ctx;
        size_t count = json_array_size(apply->document), end = apply->looked_at + APPLY_ON_END;

        for (; apply->looked_at < count && apply->looked_at < end; apply->looked_at++)
                plan_one(apply, json_array_get(apply->document, apply->looked_at));
        if (apply->looked_at < count)
                go_on_next_turn(apply, plan_some);
        else
                apply_planned(apply);
}

static void apply_begin(void *ctx)
{
        present = ctx;
        plan_some(ctx);
}

void accounts_apply(const json_t *list, bool dry_run,
                    void (*done)(void *ctx, json_t *changes, const struct causes *problems), void *ctx)
{
        struct applying *apply = new_object(struct applying);

        *apply = (struct applying){ .done = done, .ctx = ctx, .dry_run = dry_run };
        apply->document = json_deep_copy(list);
        apply->changes = json_array();
        apply->requests = json_array();
        apply->names = json_object();
        changes_lock(apply_begin, apply);
}

void apply_close(void)
{
        if (!present)
                return;
        (void)cause_set(causes_add(&present->problems), CAUSE_CANCELLED,
                        "the daemon is ending, and makes it so when it starts again");
        finish(present);
}

/* ---- at the start ---- */

static int write_file(const json_t *file, struct cause *cause)
{
        const char *name = json_string_value(json_object_get(file, "name"));
        const char *text = json_string_value(json_object_get(file, "text"));

        if (!name || !account_name_valid(name) || !text)
                return cause_set(cause, CAUSE_STORAGE, "it names no account");
        scoped(scoped_free) char *path = account_file_path(name);
        return replace_file(path, text, strlen(text), cause);
}

/* Before any account is read. Writing a file again that was written already changes nothing. */
int apply_recover(struct cause *cause)
{
        scoped(scoped_free) char *path = decision_path();
        struct buf bytes;
        int found = read_file(path, APPLY_MOST, &bytes, cause);
        size_t index;
        json_t *file;

        json_t *decision = found > 0 ? json_loadb((const char *)buf_bytes(&bytes), bytes.len, 0, NULL) : NULL;
        buf_free(&bytes);
        if (found <= 0)
                return found;
        const json_t *files = json_object_get(decision, "files");
        int result = json_is_array(files) ? 0 : cause_set(cause, CAUSE_STORAGE, "it is damaged");
        json_array_foreach((json_t *)files, index, file)
                if (result == 0)
                        result = write_file(file, cause);
        size_t count = json_array_size(files);
        json_decref(decision);
        if (result == 0)
                result = remove_file(path, cause);
        if (result < 0) {
                cause_prefix(cause, "%s, which an apply has left: ", path);
                return -1;
        }
        log_about(NULL, LOG_NOTICE, MSG_ACCOUNT_CHANGED,
                  "an apply was under way when the daemon ended: its %zu account%s are as it says now", count,
                  count == 1 ? "" : "s");
        return 0;
}
