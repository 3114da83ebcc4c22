/* SPDX-License-Identifier: MIT */
/*
 * Making the station match a document of accounts, as one transaction: while it is under way no other change
 * of accounts is, but of those that it leaves alone. Everything is checked; identities are bound for those to
 * be added; then all files as they are to be are written into one, accounts.apply, whose presence decides.
 * What follows, the files themselves and the end of accounts.apply, is tried until it is done, by the next
 * start if need be. So the files need no order among them, and are synced together.
 *
 * There may be thousands of accounts, so each of these is done for some of them in a turn of the loop
 * (work_in_turns). In all of them the accounts of the document are the same, by the lock.
 */
#include "daemon/accounts/accounts_parts.h"

#include "common/json_fields.h"
#include "common/names.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/store/jobs.h"
#include "daemon/store/replace_file.h"
#include "daemon/store/replace_files.h"
#include "daemon/store/store.h"
#include "daemon/turns.h"

#include <stdio.h>

enum {
        APPLY_AGAIN_MS = 1000,  /* between tries to write what was decided */
        APPLY_ON_END = 32,      /* accounts worked on in one turn of the loop */
        APPLY_MOST = 256 * MIB, /* accounts.apply */
};

struct planned {
        const json_t *change;    /* in `changes` */
        const char *name;        /* in it */
        struct account *account; /* NULL: to be added */
        char id[OWNER_ID_SIZE];
        struct property_values values;
        char *text; /* of its file */
};

struct applying {
        json_t *document; /* what was planned is taken out of it */
        json_t *changes;  /* the answer */
        json_t *names;    /* of these, as an object's keys */
        bool dry_run;
        struct planned *planned; /* those that change */
        size_t count, size;
        struct buf decision;     /* the text of accounts.apply, as far as it is written */
        struct file_text *files; /* the same, to be written; the texts are those of `planned` */
        size_t binding;          /* identities under way */
        bool failed, is_planned, is_decided, is_written;
        struct timer *again;
        struct turns turns; /* what is done in them: */
        void (*work)(struct applying *apply, size_t index);
        size_t at, end;
        void (*then)(struct applying *apply); /* once it is done for all */
        struct causes problems;
        const struct apply_user *user; /* NULL: nobody waits any more */
        void *ctx;
};

/* ---- turns ---- */

static bool work_some(void *ctx)
{
        struct applying *apply = ctx;

        if (store_closing())
                return false; /* apply_close() follows */
        for (int i = 0; i < APPLY_ON_END && apply->at < apply->end; i++)
                apply->work(apply, apply->at++);
        if (apply->at < apply->end)
                return true;
        apply->then(apply); /* may end it */
        return false;
}

/* Does `work` for the first `count`, some in each turn, beginning with this one. */
static void work_in_turns(struct applying *apply, size_t count,
                          void (*work)(struct applying *apply, size_t index),
                          void (*then)(struct applying *apply))
{
        apply->at = 0;
        apply->end = count;
        apply->work = work;
        apply->then = then;
        turns_begin(&apply->turns);
}

/* ---- the plan ---- */

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
                prop_put_text(values, PROP_NAME, name);
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

static void plan_change(struct applying *apply, const json_t *change, struct account *account,
                        struct property_values *values)
{
        struct planned *planned;

        if (apply->count == apply->size) {
                apply->size = apply->size ? 2 * apply->size : 16;
                apply->planned = new_resized(apply->planned, apply->size, sizeof *apply->planned);
        }
        planned = &apply->planned[apply->count++];
        *planned = (struct planned){ .change = change,
                                     .name = json_string_value(json_object_get(change, "account")),
                                     .account = account,
                                     .values = *values };
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
        json_t *change = json_object();

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
        json_put(change, "properties", wanted);
        json_put(change, "differences", properties_differences(account ? &account->values : NULL, &values));
        scoped(scoped_free) char *text = text_of("%s %s",
                                                 none      ? "nothing to change for"
                                                 : account ? "change"
                                                           : "add",
                                                 name);
        json_put_text(change, "text", text);
        (void)json_array_append_new(apply->changes, change);
        json_put(apply->names, name, json_true());
        if (!none && !apply->problems.count)
                plan_change(apply, change, account, &values);
        properties_done(&values);
}

/* By the rules of add and set, against the set as it is under the lock. */
static void plan_next(struct applying *apply, size_t index)
{
        plan_one(apply, json_array_get(apply->document, index));
        (void)json_array_set_new(apply->document, index, json_null()); /* thousands go bit by bit */
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

static struct applying *present; /* the one that has the lock */

bool apply_leaves_alone(const char *name)
{
        return present && present->is_planned && !json_object_get(present->names, name);
}

/* Every way out comes here once. `done` may begin another apply, which waits for the lock. */
static void finish(struct applying *apply)
{
        if (present == apply)
                present = NULL;
        if (apply->user)
                apply->user->done(apply->ctx, apply->changes, &apply->problems);
        causes_free(&apply->problems);
        buf_free(&apply->decision);
        for (size_t i = 0; i < apply->count; i++) {
                properties_done(&apply->planned[i].values);
                free(apply->planned[i].text);
                if (apply->files)
                        free(apply->files[i].name);
        }
        free(apply->files);
        free(apply->planned);
        timer_free(apply->again);
        turns_stop(&apply->turns);
        json_decref(apply->names);
        json_decref(apply->document);
        json_decref(apply->changes);
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

static void unbind_next(struct applying *apply, size_t index)
{
        const struct planned *planned = &apply->planned[index];

        if (planned->account)
                return;
        apply->binding++;
        owner_renew(planned->name, NULL, true, apply_unbound, apply);
}

static void all_unbinding(struct applying *apply)
{
        if (--apply->binding == 0)
                apply_end(apply);
}

/* Nothing was decided: the identities that were bound for new accounts are taken back, for which nobody
 * waits. */
static void apply_give_up(struct applying *apply)
{
        if (apply->user) /* nobody waits for the clearing up */
                apply->user->done(apply->ctx, apply->changes, &apply->problems);
        apply->user = NULL;
        apply->binding = 1;
        work_in_turns(apply, apply->count, unbind_next, all_unbinding);
}

/* ---- the files ---- */

static char *decision_path(void)
{
        return text_of("%s/accounts.apply", store_directory());
}

static void tell_changed(const struct applying *apply, const struct planned *planned)
{
        if (apply->user)
                apply->user->changed(apply->ctx, planned->name, !planned->account,
                                     json_object_get(planned->change, "differences"));
}

/* All files are there and accounts.apply is gone: the accounts change in memory, while the lock keeps other
 * changes out. */
static void take_over(struct applying *apply, size_t index)
{
        struct planned *planned = &apply->planned[index];

        if (planned->account)
                account_change_values(planned->account, &planned->values);
        else
                (void)account_appear(&planned->values, planned->id);
        free(take(planned->text));
        tell_changed(apply, planned);
}

static void write_files(void *ctx);

static void write_again(struct applying *apply)
{
        if (!apply->again)
                apply->again = timer_new(write_files, apply);
        timer_set(apply->again, APPLY_AGAIN_MS);
}

static void decision_gone(void *ctx, const struct cause *cause)
{
        struct applying *apply = ctx;

        if (store_closing())
                return; /* apply_close() follows */
        apply->is_written = !cause_happened(cause);
        if (apply->is_written)
                work_in_turns(apply, apply->count, take_over, apply_end);
        else
                write_again(apply);
}

static void files_written(void *ctx, const struct cause *cause)
{
        struct applying *apply = ctx;
        scoped(scoped_free) char *path = decision_path();

        if (store_closing())
                return; /* apply_close() follows */
        if (cause_happened(cause))
                write_again(apply);
        else
                replace_file_later(path, NULL, 0, decision_gone, apply);
}

/* Tried until the disk takes it: it is decided. Killed in here, the next start writes all of it
 * (apply_recover), and so it does where the store closes meanwhile. */
static void write_files(void *ctx)
{
        struct applying *apply = ctx;
        scoped(scoped_free) char *folder = account_files_folder();

        replace_files_later(folder, apply->files, apply->count, files_written, apply);
}

/* THE point from which there is no way back: accounts.apply is on disk, whole, by one rename. */
static void decided(void *ctx, const struct cause *cause)
{
        struct applying *apply = ctx;

        if (!cause_happened(cause)) {
                apply->is_decided = true;
                write_files(apply);
                return;
        }
        *causes_add(&apply->problems) = *cause;
        apply_give_up(apply);
}

/* It holds the very texts of all files, so that the start needs nothing else to finish. */
static void decision_add(struct applying *apply, size_t index)
{
        struct json_writer out = { .to = &apply->decision, .failed = apply->failed };
        json_t *file = json_object();

        apply->files[index] = (struct file_text){ .name = account_file_name(apply->planned[index].name),
                                                  .text = apply->planned[index].text };
        json_put_text(file, "name", apply->planned[index].name);
        json_put_text(file, "text", apply->planned[index].text);
        json_write(&out, index ? ",\n" : "{\"version\":1,\"files\":[\n");
        json_write_value(&out, file);
        apply->failed = out.failed;
}

static void decide(struct applying *apply)
{
        struct json_writer out = { .to = &apply->decision, .failed = apply->failed };
        scoped(scoped_free) char *path = decision_path();

        json_write(&out, "]}\n");
        if (out.failed) {
                (void)cause_set(causes_add(&apply->problems), CAUSE_TOO_LARGE,
                                "the files of the %zu accounts that change are too large together",
                                apply->count);
                apply_give_up(apply);
                return;
        }
        replace_file_later(path, buf_bytes(&apply->decision), apply->decision.len, decided, apply);
        buf_free(&apply->decision);
}

/* ---- identities ---- */

static void apply_all_bound(struct applying *apply)
{
        apply->decision = BUF_WITH_MAX(APPLY_MOST);
        apply->files = new_zeroed(apply->count, sizeof *apply->files);
        if (apply->failed)
                apply_give_up(apply);
        else
                work_in_turns(apply, apply->count, decision_add, decide);
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

static void bind_next(struct applying *apply, size_t index)
{
        const struct planned *planned = &apply->planned[index];

        if (planned->account)
                return;
        apply->binding++;
        owner_renew(planned->name, planned->id, false, apply_bound, apply);
}

static void all_binding(struct applying *apply)
{
        if (--apply->binding == 0)
                apply_all_bound(apply);
}

/* A dry run ends here. Identities are bound before the decision: a file names the identity that its rows
 * belong to. */
static void apply_planned(struct applying *apply)
{
        count_planned(apply);
        if (apply->dry_run || apply->problems.count || !apply->count) {
                apply_end(apply);
                return;
        }
        apply->is_planned = true;
        changes_let_in();
        apply->binding = 1;
        work_in_turns(apply, apply->count, bind_next, all_binding);
}

static void apply_begin(void *ctx, const struct cause *ending)
{
        struct applying *apply = ctx;

        if (ending) {
                *causes_add(&apply->problems) = *ending;
                finish(apply);
                return;
        }
        present = apply;
        work_in_turns(apply, json_array_size(apply->document), plan_next, apply_planned);
}

void accounts_apply(json_t *list, bool dry_run, const struct apply_user *user, void *ctx)
{
        struct applying *apply = new_object(struct applying);

        *apply = (struct applying){ .user = user, .ctx = ctx, .dry_run = dry_run };
        apply->document = json_incref(list);
        apply->changes = json_array();
        apply->names = json_object();
        apply->turns = (struct turns){ .some = work_some, .ctx = apply };
        changes_lock(apply_begin, apply);
}

void apply_close(void)
{
        struct applying *apply = present;

        if (!apply)
                return;
        if (apply->is_written) { /* all is on disk, and the next start finds it like that */
                for (; apply->at < apply->count; apply->at++)
                        tell_changed(apply, &apply->planned[apply->at]);
        } else if (apply->is_decided) {
                struct cause *cause = causes_add(&apply->problems);
                (void)cause_set(cause, CAUSE_CANCELLED,
                                "the daemon is ending, and makes it so when it starts again");
                cause_remedy(cause, "look at it then: emailsecctl account list");
        } else {
                (void)cause_set(causes_add(&apply->problems), CAUSE_CANCELLED,
                                "the daemon is ending; nothing was changed");
        }
        finish(apply);
}

/* ---- at the start ---- */

/* Borrows the texts. */
static int files_of(const json_t *files, struct file_text *out, struct cause *cause)
{
        size_t index;
        json_t *file;

        json_array_foreach((json_t *)files, index, file) {
                const char *name = json_string_value(json_object_get(file, "name"));
                const char *text = json_string_value(json_object_get(file, "text"));
                if (!name || !account_name_valid(name) || !text)
                        return cause_set(cause, CAUSE_STORAGE, "it names no account");
                out[index] = (struct file_text){ .name = account_file_name(name), .text = text };
        }
        return 0;
}

static int write_decided(const json_t *files, struct cause *cause)
{
        size_t count = json_array_size(files);
        struct file_text *texts = new_zeroed(count + 1, sizeof *texts);
        scoped(scoped_free) char *folder = account_files_folder();
        int result = json_is_array(files) ? files_of(files, texts, cause)
                                          : cause_set(cause, CAUSE_STORAGE, "it is damaged");

        if (result == 0)
                result = replace_files(folder, texts, count, cause);
        for (size_t i = 0; i < count; i++)
                free(texts[i].name);
        free(texts);
        return result;
}

/* Before any account is read. Writing a file again that was written already changes nothing. */
int apply_recover(struct cause *cause)
{
        scoped(scoped_free) char *path = decision_path();
        struct buf bytes;
        int found = read_file(path, APPLY_MOST, &bytes, cause);

        json_t *decision = found > 0 ? json_loadb((const char *)buf_bytes(&bytes), bytes.len, 0, NULL) : NULL;
        buf_free(&bytes);
        if (found <= 0)
                return found;
        const json_t *files = json_object_get(decision, "files");
        size_t count = json_array_size(files);
        int result = write_decided(files, cause);
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
