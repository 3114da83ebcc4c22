/* SPDX-License-Identifier: MIT */
/*
 * Named durable values of an account: all in memory, by account and name. What changed in a turn of the loop
 * is written by the same commit as the rest of that turn, each value once.
 */
#include "daemon/store/facts.h"

#include "daemon/store/fetched_table.h"
#include "daemon/store/owner_rows.h"

#include <search.h>

struct fact {
        char *name;
        char *text; /* NULL: a number */
        int64_t number;
        bool changed; /* since it was last given to the writer */
};
struct facts {
        char *account;
        struct fact *items;
        size_t count;
        bool changed; /* is in the list of changed ones */
        struct facts *next_changed;
};

static void *tree;         /* of struct facts, by account (tsearch) */
static struct facts *last; /* looked at: questions come account by account */
static struct facts *changed;

static int compare(const void *a, const void *b)
{
        return strcmp(((const struct facts *)a)->account, ((const struct facts *)b)->account);
}

static struct facts *facts_of(const char *account)
{
        struct facts key = { .account = (char *)(uintptr_t)account };

        if (last && strcmp(last->account, account) == 0)
                return last;
        struct facts **found = tfind(&key, &tree, compare);
        if (found)
                last = *found;
        return found ? *found : NULL;
}

static struct facts *facts_or_new(const char *account)
{
        struct facts *facts = facts_of(account);

        if (facts)
                return facts;
        facts = new_object(struct facts);
        facts->account = copy_text(account);
        if (!tsearch(facts, &tree, compare))
                abort(); /* as new_object */
        return facts;
}

static struct fact *fact_in(const struct facts *facts, const char *name)
{
        for (size_t i = 0; facts && i < facts->count; i++)
                if (strcmp(facts->items[i].name, name) == 0)
                        return &facts->items[i];
        return NULL;
}

static struct fact *fact_or_new(struct facts *facts, const char *name)
{
        struct fact *fact = fact_in(facts, name);

        if (fact)
                return fact;
        facts->items = new_resized(facts->items, facts->count + 1, sizeof *facts->items);
        fact = &facts->items[facts->count++];
        *fact = (struct fact){ .name = copy_text(name) };
        return fact;
}

static void facts_clear(struct facts *facts)
{
        for (size_t i = 0; i < facts->count; i++) {
                free(facts->items[i].name);
                free(facts->items[i].text);
        }
        free(take(facts->items));
        facts->count = 0;
}

static void facts_destroy(void *object)
{
        struct facts *facts = object;

        facts_clear(facts);
        free(facts->account);
        free(facts);
}

static void note_change(struct facts *facts, struct fact *fact)
{
        fact->changed = true;
        if (!facts->changed) {
                facts->changed = true;
                facts->next_changed = changed;
                changed = facts;
        }
}

/* ---- asking and setting ---- */

int64_t fact_number(const char *account, const char *name)
{
        const struct fact *fact = fact_in(facts_of(account), name);

        return fact && !fact->text ? fact->number : 0;
}

const char *fact_text(const char *account, const char *name)
{
        const struct fact *fact = fact_in(facts_of(account), name);

        return fact ? fact->text : NULL;
}

void fact_set_number(const char *account, const char *name, int64_t value)
{
        struct facts *facts = facts_or_new(account);
        struct fact *fact = fact_or_new(facts, name);

        free(take(fact->text));
        fact->number = value;
        note_change(facts, fact);
        store_wake();
}

void fact_add(const char *account, const char *name, int64_t delta)
{
        fact_set_number(account, name, fact_number(account, name) + delta);
}

void fact_set_text(const char *account, const char *name, const char *value)
{
        struct facts *facts = facts_or_new(account);
        struct fact *fact = fact_or_new(facts, name);
        char *text = copy_text(value ? value : ""); /* before the old one goes: it may be the value */

        free(fact->text);
        fact->text = text;
        note_change(facts, fact);
        store_wake();
}

/* ---- writing ---- */

struct pair {
        char *account, *name, *text;
        int64_t number;
        struct owner owner;
};
struct facts_write {
        struct pair *pairs;
        size_t count;
        struct store_write write;
};

static int facts_write_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct facts_write *facts = container_of(write, struct facts_write, write);
        int holds = 1;

        for (size_t i = 0; i < facts->count; i++) {
                const struct pair *pair = &facts->pairs[i];
                if (i == 0 || strcmp(pair->account, pair[-1].account) != 0)
                        holds = owner_still_holds(db, &pair->owner, cause);
                if (holds < 0)
                        return -1;
                if (holds == 0)
                        continue; /* of an account that has been deleted since */
                if (db_run(db, cause, "INSERT OR REPLACE INTO fact (account, name, value) VALUES (?, ?, ?)",
                           VALUES(v_text(pair->account), v_text(pair->name),
                                  pair->text ? v_text(pair->text) : v_int(pair->number))) < 0)
                        return -1;
        }
        return 0;
}

static void facts_write_done(struct store_write *write, const struct cause *cause)
{
        struct facts_write *facts = container_of(write, struct facts_write, write);

        for (size_t i = 0; i < facts->count; i++) {
                struct pair *pair = &facts->pairs[i];
                /* Not on disk: the value of now, not the one of then, goes with the next commit. */
                struct facts *owner = cause && !store_closing() ? facts_of(pair->account) : NULL;
                struct fact *fact = fact_in(owner, pair->name);
                if (fact)
                        note_change(owner, fact);
                free(pair->account);
                free(pair->name);
                free(pair->text);
        }
        free(facts->pairs);
        free(facts);
}

struct store_write *facts_to_write(void)
{
        if (!changed)
                return NULL;
        struct facts_write *write = new_object(struct facts_write);
        write->write = (struct store_write){ .write = facts_write_work, .done = facts_write_done };
        while (changed) {
                struct facts *facts = changed;
                changed = facts->next_changed;
                facts->changed = false;
                for (size_t i = 0; i < facts->count; i++) {
                        struct fact *fact = &facts->items[i];
                        if (!fact->changed)
                                continue;
                        fact->changed = false;
                        if ((write->count & (write->count - 1)) == 0)
                                write->pairs =
                                        new_resized(write->pairs, 2 * write->count + 1, sizeof *write->pairs);
                        write->pairs[write->count++] =
                                (struct pair){ copy_text(facts->account), copy_text(fact->name),
                                               copy_text(fact->text), fact->number,
                                               owner_of(facts->account) };
                }
        }
        return &write->write;
}

/* ---- forgetting and loading ---- */

void facts_forget(const char *account)
{
        struct facts *facts = facts_of(account);

        if (facts)
                facts_clear(facts);
}

int facts_load(struct database *db, struct cause *cause)
{
        int more;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT account, name, value FROM fact", NULL, 0);

        if (!rows)
                return -1;
        while ((more = db_next(db, rows, cause)) > 0) {
                struct facts *facts = facts_or_new((const char *)sqlite3_column_text(rows, 0));
                struct fact *fact = fact_or_new(facts, (const char *)sqlite3_column_text(rows, 1));
                if (sqlite3_column_type(rows, 2) == SQLITE_INTEGER)
                        fact->number = sqlite3_column_int64(rows, 2);
                else
                        fact->text = copy_text((const char *)sqlite3_column_text(rows, 2));
        }
        return more;
}

void facts_free(void)
{
        tdestroy(tree, facts_destroy);
        tree = NULL;
        last = changed = NULL;
}
