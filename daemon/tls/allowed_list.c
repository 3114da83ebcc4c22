/* SPDX-License-Identifier: MIT */
/*
 * The list of entries in memory and allowed-hosts.json, which is written whole: one write at a time,
 * everything that changed meanwhile goes into the next. A decision changes the entry only after the file with
 * it is on disk (security rule 18), so that a failed write leaves nothing to undo. A damaged file is kept as
 * it is and poisons verdicts.
 */
#include "daemon/tls/allowed_list.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "daemon/loop.h"
#include "daemon/store/replace_file.h"
#include "daemon/tls/trust.h"

#include <stdio.h>

enum { FILE_VERSION = 1, LAZY_MS = 60 * 1000 };

static struct {
        char *path; /* NULL: closed */
        struct cause fault;
        struct entry **entries; /* oldest first */
        size_t count;
        unsigned epoch;      /* of opening: answers of writes from before a close find another one */
        bool writing, again; /* a write is under way; the list has changed since it began */
        struct timer *lazy;
        struct decision *waiting, *flying; /* not yet, and already in the write under way; in order */
        void (*changed)(void *ctx, const char *id, const char *what, json_t *entry);
        void *changed_ctx;
} list;

/* ---- entries ----------------------------------------------------------------------------------- */

struct entry **allowed_list_entries(size_t *out_count)
{
        *out_count = list.count;
        return list.entries;
}

struct entry *allowed_list_find(const char *id)
{
        for (size_t i = 0; i < list.count; i++)
                if (strcmp(list.entries[i]->id, id) == 0)
                        return list.entries[i];
        return NULL;
}

void allowed_list_add(struct entry *entry)
{
        list.entries = new_resized(list.entries, list.count + 1, sizeof *list.entries);
        list.entries[list.count++] = entry;
}

void allowed_list_remove(struct entry *entry)
{
        for (size_t i = 0; i < list.count; i++)
                if (list.entries[i] == entry) {
                        list.count--;
                        memmove(&list.entries[i], &list.entries[i + 1],
                                (list.count - i) * sizeof(struct entry *));
                        allowed_entry_free(entry);
                        return;
                }
}

static struct entry *lookup_host_port(const char *text, struct cause *cause)
{
        uint16_t port = 0;
        scoped(scoped_free) char *host = host_port_parse(text, &port, cause);
        struct entry *found = NULL;

        if (!host)
                return NULL;
        for (size_t i = 0; i < list.count; i++) {
                struct entry *entry = list.entries[i];
                if (entry->decided.state != ALLOWED_PENDING || entry->port != port ||
                    strcmp(entry->host, host) != 0 || (found && entry_is_over(entry)))
                        continue;
                if (found && !entry_is_over(found)) {
                        cause_set(cause, CAUSE_AMBIGUOUS, "several challenges wait for %s:%u", host, port);
                        return NULL;
                }
                found = entry;
        }
        if (!found) {
                cause_set(cause, CAUSE_NOT_FOUND, "no challenge waits for %s:%u", host, port);
                cause_remedy(cause, "emailsecctl challenge list; what was decided on has an id: emailsecctl "
                                    "allowed list");
        }
        return found;
}

struct entry *allowed_list_lookup(const char *text, struct cause *cause)
{
        struct entry *found = NULL;
        size_t len = strlen(text);

        if (strchr(text, ':'))
                return lookup_host_port(text, cause);
        for (size_t i = 0; len && i < list.count; i++) {
                if (strncmp(list.entries[i]->id, text, len) != 0)
                        continue;
                if (found) {
                        cause_set(cause, CAUSE_AMBIGUOUS, "several entries begin with %s", text);
                        return NULL;
                }
                found = list.entries[i];
        }
        if (!found)
                (void)cause_missing(cause, MISSING_ENTRY, "", text);
        return found;
}

/* ---- telling ----------------------------------------------------------------------------------- */

struct allowed_notice {
        char id[13];
        const char *what;
        json_t *entry; /* as it was then: a deleted one is gone when this is told */
        unsigned epoch;
};

static void tell_now(void *ctx)
{
        struct allowed_notice *notice = ctx;

        if (notice->epoch == list.epoch && list.changed)
                list.changed(list.changed_ctx, notice->id, notice->what, notice->entry);
        json_decref(notice->entry);
        free(notice);
}

void allowed_list_tell(const char *id, const char *what, const char *by)
{
        struct allowed_notice *notice = new_object(struct allowed_notice);

        (void)snprintf(notice->id, sizeof notice->id, "%s", id);
        notice->what = what;
        notice->entry = allowed_list_find(id) ? allowed_entry_json(allowed_list_find(id)) : NULL;
        if (notice->entry && by)
                json_put_text(notice->entry, "deletedBy", by);
        notice->epoch = list.epoch;
        loop_later(tell_now, notice);
}

static void trust_changes_now(void *ctx)
{
        (void)ctx;
        trust_changed("the Allowed Hosts changed");
}

void allowed_list_trust_changes(void)
{
        loop_later(trust_changes_now, NULL);
}

void allowed_on_change(void (*changed)(void *ctx, const char *id, const char *what, json_t *entry), void *ctx)
{
        list.changed = changed;
        list.changed_ctx = ctx;
}

/* ---- to disk ----------------------------------------------------------------------------------- */

/* The last of the decisions about an entry; NULL when there is none. */
static const struct decision *decision_about(const struct decision *decisions, const char *id)
{
        const struct decision *found = NULL;

        for (; decisions; decisions = decisions->next)
                if (strcmp(decisions->id, id) == 0)
                        found = decisions;
        return found;
}

/* The file's text with these decisions taken. */
static char *list_text(const struct decision *decisions)
{
        json_t *root = json_object(), *entries = json_array();

        for (size_t i = 0; i < list.count; i++) {
                const struct entry *entry = list.entries[i];
                const struct decision *decision = decision_about(decisions, entry->id);
                if (decision && decision->remove)
                        continue;
                if (json_array_append_new(entries,
                                          allowed_entry_file_json(entry, decision ? &decision->decided
                                                                                  : &entry->decided)) < 0)
                        abort();
        }
        json_put(root, "version", json_integer(FILE_VERSION));
        json_put(root, "entries", entries);
        json_put(root, "verified", allowed_verified_json());
        char *text = json_dumps(root, JSON_INDENT(1));
        json_decref(root);
        if (!text)
                abort();
        return text;
}

static void decision_free(struct decision *decision)
{
        allowed_decided_done(&decision->decided);
        json_decref(decision->ids);
        json_decref(decision->answer);
        free(decision);
}

static void apply(struct decision *decision)
{
        struct entry *entry = allowed_list_find(decision->id);

        if (!entry) {
                cause_set(&decision->cause, CAUSE_NOT_FOUND, "the entry has gone meanwhile");
                return;
        }
        if (!decision->remove) {
                allowed_decided_done(&entry->decided);
                allowed_decided_copy(&entry->decided, &decision->decided);
        }
        decision->answer = decision->ids ? json_incref(decision->ids) : allowed_entry_json(entry);
        allowed_list_tell(decision->id, decision->what, decision->remove ? decision->decided.by : NULL);
        if (decision->remove)
                allowed_list_remove(entry);
}

/* Answers and frees; a callback may decide again. */
static void answer_all(struct decision *decisions)
{
        while (decisions) {
                struct decision *decision = decisions;
                decisions = decision->next;
                if (decision->done)
                        decision->done(decision->ctx, cause_or_null(&decision->cause), decision->answer);
                decision_free(decision);
        }
}

static void on_written(void *ctx, const struct cause *cause)
{
        if ((unsigned)(uintptr_t)ctx != list.epoch)
                return;
        struct decision *decisions = take(list.flying);
        bool failed = cause && cause->code != CAUSE_NONE;
        list.writing = false;
        for (struct decision *d = decisions; d; d = d->next) {
                if (failed)
                        d->cause = *cause;
                else
                        apply(d);
        }
        if (failed)
                timer_set(list.lazy, LAZY_MS);
        else if (decisions)
                trust_changed("the Allowed Hosts changed");
        answer_all(decisions);
        if (list.again || list.waiting)
                allowed_list_save();
}

static void start_write(void)
{
        list.writing = true;
        list.again = false;
        timer_stop(list.lazy);
        list.flying = take(list.waiting);
        char *text = list_text(list.flying);
        replace_file_later(list.path, text, strlen(text), on_written, (void *)(uintptr_t)list.epoch);
        free(text);
}

void allowed_list_save(void)
{
        if (!list.path || list.fault.code != CAUSE_NONE)
                return;
        if (list.writing)
                list.again = true;
        else
                start_write();
}

void allowed_list_save_some_time(void)
{
        if (list.path && list.fault.code == CAUSE_NONE && !timer_is_set(list.lazy))
                timer_set(list.lazy, LAZY_MS);
}

static void on_lazy(void *ctx)
{
        (void)ctx;
        allowed_list_save();
}

void allowed_list_decide(struct decision *decision)
{
        struct decision **at = &list.waiting;

        while (*at)
                at = &(*at)->next;
        decision->next = NULL;
        *at = decision;
}

/* ---- opening and closing ----------------------------------------------------------------------- */

static int read_entries(const json_t *root, struct cause *cause)
{
        json_t *entries = json_object_get(root, "entries"), *verified = json_object_get(root, "verified"),
               *item;
        size_t i;

        if (json_integer_value(json_object_get(root, "version")) != FILE_VERSION)
                return cause_set(cause, CAUSE_STORAGE, "it is of another version than %d", FILE_VERSION);
        if (!json_is_array(entries) || !json_is_array(verified))
                return cause_set(cause, CAUSE_STORAGE, "it lacks its lists");
        json_array_foreach(entries, i, item) {
                struct entry *entry = allowed_entry_from_file(item, cause);
                if (!entry)
                        return -1;
                allowed_list_add(entry);
        }
        return allowed_verified_from_file(verified, cause);
}

static int read_list(struct cause *cause)
{
        struct buf bytes;
        json_error_t error;
        int found = read_file(list.path, LIMIT_ALLOWED_FILE, &bytes, cause);

        if (found <= 0)
                return found;
        json_t *root = json_loadb((const char *)buf_bytes(&bytes), bytes.len, JSON_REJECT_DUPLICATES, &error);
        buf_free(&bytes);
        int result = root ? read_entries(root, cause)
                          : cause_set(cause, CAUSE_STORAGE, "line %d: %s", error.line, error.text);
        json_decref(root);
        return result;
}

static void forget_entries(void)
{
        for (size_t i = 0; i < list.count; i++)
                allowed_entry_free(list.entries[i]);
        free(take(list.entries));
        list.count = 0;
        allowed_verified_forget_all();
}

const struct cause *allowed_fault(void)
{
        return list.fault.code == CAUSE_NONE ? NULL : &list.fault;
}

static int read_or_fault(void)
{
        struct cause why = { 0 };

        cause_clear(&list.fault);
        if (read_list(&why) == 0)
                return 0;
        forget_entries();
        (void)cause_set(&list.fault, CAUSE_TRUST_STORE, "the Allowed Hosts (%s) cannot be read: %s",
                        list.path, why.text);
        cause_remedy(
                &list.fault,
                "let the user of the state folder read it, or put it back from a backup: it is read again "
                "every few seconds; to remove it is to forget every decision");
        return -1;
}

int allowed_open(const char *state_directory, struct cause *cause)
{
        allowed_close();
        list.path = text_of("%s/allowed-hosts.json", state_directory);
        list.lazy = timer_new(on_lazy, NULL);
        if (read_or_fault() == 0)
                return 0;
        if (cause)
                *cause = list.fault;
        return -1;
}

int allowed_try_again(void)
{
        if (!allowed_fault())
                return 0;
        if (read_or_fault() < 0)
                return -1;
        trust_changed("the Allowed Hosts can be read again");
        return 1;
}

/* What is on its way gets there; whoever waits for an answer is told that it will not come. */
void allowed_close(void)
{
        if (!list.path)
                return;
        struct decision *flying = take(list.flying), *waiting = take(list.waiting);
        if (list.again || timer_is_set(list.lazy)) {
                char *text = list_text(flying);
                replace_file_later(list.path, text, strlen(text), NULL, NULL);
                free(text);
        }
        list.epoch++;
        list.writing = list.again = false;
        timer_free(take(list.lazy));
        forget_entries();
        free(take(list.path));
        cause_clear(&list.fault);
        for (struct decision *d = flying; d; d = d->next)
                cause_set(&d->cause, CAUSE_CANCELLED, "the daemon is ending");
        for (struct decision *d = waiting; d; d = d->next)
                cause_set(&d->cause, CAUSE_CANCELLED, "the daemon is ending");
        answer_all(flying);
        answer_all(waiting);
}
