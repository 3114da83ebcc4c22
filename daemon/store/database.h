/* SPDX-License-Identifier: MIT */
/*
 * SQLite as this daemon uses it: a connection with its settings, schema steps, a cache of
 * prepared statements, and typed binding. A connection is used by one thread at a time.
 * Only daemon/store/ includes this.
 */
#pragma once

#include "common/cause.h"
#include "common/limits.h"

#include <sqlite3.h>

struct database;

enum { DATABASE_APPLICATION = 0x454d5344 }; /* "EMSD", in the file's header */

/* Opens station.db; the writer makes it and brings the schema up to date. A file that is not
 * ours, damaged, or of a later version is left as it is. NULL with a cause. */
struct database *database_open(const char *path, bool writer, struct cause *cause) must_use;
/* Whether there is a file with anything in it; 1, 0, or -1 with a cause. Nothing is made or changed. */
int database_holds(const char *path, struct cause *cause) must_use;
/* Closes; the last connection checkpoints. NULL is fine. */
void database_close(struct database *db);
/* Bytes of its pages that are kept in memory. */
size_t database_keeps(const struct database *db);
/* Drops them where they are `least` or more; outside a transaction. */
void database_give_back(struct database *db, size_t least);
/*
 * A checkpoint that failed may have lost what it and those before it wrote: the kernel drops pages that it
 * could not write, and SQLite does not write again what it holds for done (a checkpoint that a reader held
 * back counts as done without a sync). The log still has all of it until a checkpoint succeeds; once every
 * connection has been closed without one, it is brought into the database from its beginning.
 */
/* Why the log cannot be brought into the database at present, or NULL. Commits stand nevertheless. */
const struct cause *database_behind(const struct database *db) must_use;
/* Whether it is time to open the connections anew, or neither is open. */
bool database_doubtful(const struct database *db) must_use;
/* Closes both, without a checkpoint, and opens them. -1: neither is open, and this is to be tried again. */
int database_reopen(struct database *writing, struct database *reading, struct cause *cause) must_use;
/* -1: its file is not there any more, or is another one. What is committed now would be gone with the next
 * start. */
int database_in_place(const struct database *db, struct cause *cause) must_use;
/* Ends a transaction that failed, if there still is one. */
void database_roll_back(struct database *db);
/* Whether the last failed statement has ended the whole transaction. */
bool database_in_transaction(const struct database *db);
/* Whether the last failure, or the last checkpoint, says that the disk is full. */
bool database_full(const struct database *db);

/*
 * How large the log may be before it is brought into the database: both may need that much place then. It
 * follows the disk; any thread.
 */
#define DATABASE_LOG_MOST (16 * MIB)
void database_log_is(size_t most);
/* In a transaction: gives back up to so many pages that are not used any more, once a checkpoint has
 * followed. How many are left, or -1. */
int64_t database_shrink(struct database *db, unsigned pages, struct cause *cause) must_use;
/* Whether the last failure says that content is damaged, rather than that the disk is in trouble. */
bool database_damaged(const struct database *db);

/* A value to bind. Texts and bytes are borrowed until the statement is done. */
struct value {
        enum { VALUE_NULL, VALUE_INT, VALUE_TEXT, VALUE_BYTES } kind;
        int64_t number;
        const void *bytes;
        size_t len;
};
static inline struct value v_int(int64_t number)
{
        return (struct value){ .kind = VALUE_INT, .number = number };
}
static inline struct value v_text(const char *text) /* NULL: SQL's NULL */
{
        return (struct value){ .kind = text ? VALUE_TEXT : VALUE_NULL,
                               .bytes = text,
                               .len = text ? strlen(text) : 0 };
}
static inline struct value v_bytes(const void *bytes, size_t len)
{
        return (struct value){ .kind = VALUE_BYTES, .bytes = bytes, .len = len };
}
static inline struct value v_null(void)
{
        return (struct value){ .kind = VALUE_NULL };
}
#define VALUES(...) \
        (const struct value[]){ __VA_ARGS__ }, \
                sizeof((const struct value[]){ __VA_ARGS__ }) / sizeof(struct value)

/* Runs a statement that gives no rows. `sql` is a literal: its address is the key of the cache. */
int db_run(struct database *db, struct cause *cause, const char *sql, const struct value *values,
           size_t count) must_use;
/* A statement bound and ready; NULL with a cause. To be ended by db_end. */
sqlite3_stmt *db_query(struct database *db, struct cause *cause, const char *sql, const struct value *values,
                       size_t count) must_use;
/* 1 = a row, 0 = no more, -1 = failed. */
int db_next(struct database *db, sqlite3_stmt *rows, struct cause *cause) must_use;
/* Destructor for `scoped`. */
void db_end(sqlite3_stmt **rows);
/* One number from the first row; `fallback` when there is no row or it is NULL. */
int db_number(struct database *db, struct cause *cause, int64_t *out, int64_t fallback, const char *sql,
              const struct value *values, size_t count) must_use;
/* Writes `count` new rows, whose values lie one behind the other, and tells how many were written (fewer with
 * OR IGNORE). `many` is `one` with DB_MANY rows: to begin and to end a statement costs SQLite as much as a
 * row does. */
enum { DB_MANY = 16 };
#define DB_MANY_OF(row) DB_FOUR_OF(row) ", " DB_FOUR_OF(row) ", " DB_FOUR_OF(row) ", " DB_FOUR_OF(row)
#define DB_FOUR_OF(row) row ", " row ", " row ", " row
int db_insert(struct database *db, struct cause *cause, const char *one, const char *many,
              const struct value *values, size_t columns, size_t count, size_t *written) must_use;
/* Rows changed by the last statement; the rowid of the last insert. */
int64_t db_changes(const struct database *db);
int64_t db_last_id(const struct database *db);

/* A column's text, copied; NULL for NULL. The caller frees. */
char *db_text(sqlite3_stmt *rows, int column) must_use;

/* The steps from an empty file to the present schema (schema.c): running step N makes version N + 1. */
extern const char *const schema_steps[];
extern const size_t schema_step_count;
