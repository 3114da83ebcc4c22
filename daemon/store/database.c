/* SPDX-License-Identifier: MIT */
/* SQLite connections: settings, versions, statement cache, binding; see database.h. */
#include "daemon/store/database.h"

#include "common/times.h"
#include "daemon/store/inbox_id.h"
#include "daemon/store/log_writes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
        CACHE_BUCKETS = 128,
        BUSY_MS = 5000,
        PAGE = 4096,
        CHECKPOINT_AGAIN = 1, /* s after one that failed */
};

/* Bytes of the log from which on they are brought into the database. */
static atomic_size_t log_most = DATABASE_LOG_MOST;

struct cached {
        const char *sql;
        sqlite3_stmt *statement;
        struct cached *next;
};
struct database {
        sqlite3 *handle;
        char *path;
        bool writer;
        struct cached *cache[CACHE_BUCKETS];
        struct cause checkpoint; /* why the last one failed; CAUSE_NONE: it did not */
        time_t failed;           /* when; monotonic */
        bool doubtful;           /* the file was not opened anew since, and no checkpoint runs */
        bool checkpoint_full;    /* it failed because the disk was full */
        dev_t device;            /* of its file, */
        ino_t inode;
        bool shrunk; /* pages at the end are not used any more: a checkpoint gives them back */
};

/* ---- causes ---- */

static const struct {
        int code;
        const char *words, *remedy;
} troubles[] = {
        { SQLITE_FULL, "the disk is full", "make room on the disk of the state folder" },
        { SQLITE_READONLY, "it cannot be written",
          "check the rights of the state folder and whether its disk is read-only" },
        { SQLITE_CANTOPEN, "it cannot be opened", "check the rights of the state folder" },
        { SQLITE_IOERR, "the disk reports an error", "check the disk and the kernel's messages" },
        { SQLITE_CORRUPT, "it is damaged",
          "stop emailsecd, keep a copy, and restore it or repair it: RECOVERY in emailsecd(8)" },
        { SQLITE_NOTADB, "it is damaged, or not a database",
          "stop emailsecd, keep a copy, and restore it from a backup: RECOVERY in emailsecd(8)" },
        { SQLITE_BUSY, "another program keeps it locked", "end the program that has station.db open" },
};

static bool is_no_room(int error)
{
        return error == ENOSPC || error == EDQUOT;
}

/* The last error of the database's file, or of its log (`which`: SQLITE_FCNTL_FILE_POINTER or
 * _JOURNAL_POINTER). */
static int file_errno(sqlite3 *handle, int which)
{
        sqlite3_file *file = NULL;
        int error = 0;

        if (sqlite3_file_control(handle, "main", which, &file) != SQLITE_OK || !file || !file->pMethods ||
            file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &error) != SQLITE_OK)
                return 0;
        return error;
}

/* SQLite has a code of its own for ENOSPC in a write alone: not for a quota, and not where it makes a file
 * longer. */
static bool is_full(sqlite3 *handle)
{
        int code = sqlite3_errcode(handle) & 0xff;

        return code == SQLITE_FULL || ((code == SQLITE_IOERR || code == SQLITE_CANTOPEN) &&
                                       (is_no_room(sqlite3_system_errno(handle)) ||
                                        is_no_room(file_errno(handle, SQLITE_FCNTL_FILE_POINTER)) ||
                                        is_no_room(file_errno(handle, SQLITE_FCNTL_JOURNAL_POINTER))));
}

static int database_cause(const struct database *db, struct cause *cause)
{
        int code = is_full(db->handle) ? SQLITE_FULL : sqlite3_errcode(db->handle) & 0xff;

        for (size_t i = 0; i < count_of(troubles); i++) {
                if (troubles[i].code != code)
                        continue;
                (void)cause_set(cause, CAUSE_STORAGE, "%s: %s (%s)", db->path, troubles[i].words,
                                sqlite3_errmsg(db->handle));
                cause_remedy(cause, "%s", troubles[i].remedy);
                if (cause)
                        cause->no_room = code == SQLITE_FULL;
                return -1;
        }
        return cause_set(cause, CAUSE_STORAGE, "%s: %s", db->path, sqlite3_errmsg(db->handle));
}

bool database_damaged(const struct database *db)
{
        int code = sqlite3_errcode(db->handle) & 0xff;

        return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

bool database_full(const struct database *db)
{
        return db->checkpoint_full || is_full(db->handle);
}

bool database_in_transaction(const struct database *db)
{
        return !sqlite3_get_autocommit(db->handle);
}

/* ---- statements ---- */

static sqlite3_stmt *statement_for(struct database *db, const char *sql, struct cause *cause)
{
        struct cached **bucket = &db->cache[((uintptr_t)sql >> 3) % CACHE_BUCKETS];
        sqlite3_stmt *statement = NULL;

        for (struct cached *cached = *bucket; cached; cached = cached->next)
                if (cached->sql == sql)
                        return cached->statement;
        if (sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) !=
            SQLITE_OK) {
                (void)database_cause(db, cause);
                return NULL;
        }
        struct cached *cached = new_object(struct cached);
        *cached = (struct cached){ .sql = sql, .statement = statement, .next = *bucket };
        *bucket = cached;
        return statement;
}

static int bind(sqlite3_stmt *statement, int index, const struct value *value)
{
        switch (value->kind) {
        case VALUE_NULL:
                return sqlite3_bind_null(statement, index);
        case VALUE_INT:
                return sqlite3_bind_int64(statement, index, value->number);
        case VALUE_TEXT:
                return sqlite3_bind_text64(statement, index, value->bytes, value->len, SQLITE_STATIC,
                                           SQLITE_UTF8);
        case VALUE_BYTES:
                return sqlite3_bind_blob64(statement, index, value->len ? value->bytes : "", value->len,
                                           SQLITE_STATIC);
        }
        return SQLITE_MISUSE;
}

sqlite3_stmt *db_query(struct database *db, struct cause *cause, const char *sql, const struct value *values,
                       size_t count)
{
        sqlite3_stmt *statement = statement_for(db, sql, cause);

        if (!statement)
                return NULL;
        for (size_t i = 0; i < count; i++) {
                if (bind(statement, (int)i + 1, &values[i]) != SQLITE_OK) {
                        (void)database_cause(db, cause);
                        db_end(&statement);
                        return NULL;
                }
        }
        return statement;
}

int db_next(struct database *db, sqlite3_stmt *rows, struct cause *cause)
{
        int code = sqlite3_step(rows);

        if (code == SQLITE_ROW)
                return 1;
        return code == SQLITE_DONE ? 0 : database_cause(db, cause);
}

void db_end(sqlite3_stmt **rows)
{
        if (*rows) {
                (void)sqlite3_reset(*rows); /* repeats the error of the last step, which was told */
                (void)sqlite3_clear_bindings(*rows);
        }
        *rows = NULL;
}

int db_run(struct database *db, struct cause *cause, const char *sql, const struct value *values,
           size_t count)
{
        scoped(db_end) sqlite3_stmt *statement = db_query(db, cause, sql, values, count);

        return statement ? db_next(db, statement, cause) : -1;
}

int db_number(struct database *db, struct cause *cause, int64_t *out, int64_t fallback, const char *sql,
              const struct value *values, size_t count)
{
        scoped(db_end) sqlite3_stmt *rows = db_query(db, cause, sql, values, count);
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more < 0)
                return -1;
        *out = more && sqlite3_column_type(rows, 0) != SQLITE_NULL ? sqlite3_column_int64(rows, 0) : fallback;
        return 0;
}

int db_insert(struct database *db, struct cause *cause, const char *one, const char *many,
              const struct value *values, size_t columns, size_t count, size_t *written)
{
        *written = 0;
        for (size_t at = 0, rows; at < count; at += rows) {
                bool is_many = count - at >= DB_MANY;
                rows = is_many ? DB_MANY : 1;
                if (db_run(db, cause, is_many ? many : one, &values[at * columns], rows * columns) < 0)
                        return -1;
                *written += (size_t)db_changes(db);
        }
        return 0;
}

int64_t db_changes(const struct database *db)
{
        return sqlite3_changes64(db->handle);
}

int64_t db_last_id(const struct database *db)
{
        return sqlite3_last_insert_rowid(db->handle);
}

char *db_text(sqlite3_stmt *rows, int column)
{
        return copy_text((const char *)sqlite3_column_text(rows, column));
}

/* ---- opening ---- */

static int execute(struct database *db, const char *sql, struct cause *cause)
{
        if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
                return database_cause(db, cause);
        return 0;
}

void database_roll_back(struct database *db)
{
        /* Cannot fail but by there being none: SQLite has undone it by itself. */
        if (database_in_transaction(db))
                (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

static int one_number(struct database *db, const char *sql, int64_t *out, struct cause *cause)
{
        sqlite3_stmt *statement = NULL;
        int result = 0;

        if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) != SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_ROW)
                result = database_cause(db, cause);
        else
                *out = sqlite3_column_int64(statement, 0);
        (void)sqlite3_finalize(statement);
        return result;
}

/* Runs step `index` and records its version, together. */
static int run_step(struct database *db, size_t index, struct cause *cause)
{
        scoped(scoped_free) char *version =
                text_of("PRAGMA application_id = %d; PRAGMA user_version = %zu; COMMIT", DATABASE_APPLICATION,
                        index + 1);

        if (execute(db, "BEGIN IMMEDIATE", cause) == 0 && execute(db, schema_steps[index], cause) == 0 &&
            execute(db, version, cause) == 0)
                return 0;
        cause_prefix(cause, "bringing the schema to version %zu: ", index + 1);
        database_roll_back(db);
        return -1;
}

/* A later emailsecd may have changed what columns mean: its file is refused, not guessed at, and nothing in
 * it or in its log is touched. */
static int refuse_others(struct database *db, struct cause *cause)
{
        int64_t version, application, tables;

        if (one_number(db, "PRAGMA user_version", &version, cause) < 0 ||
            one_number(db, "PRAGMA application_id", &application, cause) < 0 ||
            one_number(db, "SELECT count(*) FROM sqlite_schema", &tables, cause) < 0)
                return -1;
        bool ours = !tables || application == DATABASE_APPLICATION;
        if (ours && version >= 0 && version <= (int64_t)schema_step_count)
                return 0;
        db->doubtful = true;
        if (!ours)
                return cause_set(cause, CAUSE_STORAGE, "%s is not a database of emailsecd", db->path);
        (void)cause_set(cause, CAUSE_STORAGE,
                        "%s was written by a newer emailsecd (schema %lld, this one knows up to %zu)",
                        db->path, (long long)version, schema_step_count);
        cause_remedy(cause, "install the newer emailsecd again");
        return -1;
}

static int upgrade(struct database *db, struct cause *cause)
{
        int64_t version;

        if (one_number(db, "PRAGMA user_version", &version, cause) < 0)
                return -1;
        for (size_t i = (size_t)version; i < schema_step_count; i++)
                if (run_step(db, i, cause) < 0)
                        return -1;
        return 0;
}

/* The file and what SQLite makes beside it with the same mode are ours alone. */
static int make_file(const char *path, struct cause *cause)
{
        scoped(scoped_close) int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0)
                return cause_errno(cause, errno, "cannot open %s", path);
        return 0;
}

int database_holds(const char *path, struct cause *cause)
{
        struct database look = { .path = (char *)(uintptr_t)path };
        struct stat st;
        int64_t tables = 0;

        if (stat(path, &st) < 0)
                return errno == ENOENT ? 0 : cause_errno(cause, errno, "cannot open %s", path);
        if (st.st_size == 0)
                return 0;
        /* With its log, which may be all there is of it. What cannot be read is not empty: opening it says
         * why. */
        if (sqlite3_open_v2(path, &look.handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
                    SQLITE_OK ||
            one_number(&look, "SELECT count(*) FROM sqlite_schema", &tables, NULL) < 0)
                tables = 1;
        if (look.handle) /* it is only looked at */
                (void)sqlite3_db_config(look.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_close(look.handle);
        return tables > 0;
}

/* In place of SQLite's own automatic checkpoint, which keeps a failure to itself. The commit stands either
 * way. */
static int after_commit(void *ctx, sqlite3 *handle, const char *schema, int frames)
{
        struct database *db = ctx;

        if (db->doubtful || ((size_t)frames < atomic_load(&log_most) / PAGE && !db->shrunk))
                return SQLITE_OK;
        int code = sqlite3_wal_checkpoint_v2(handle, schema, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        if (code == SQLITE_OK) {
                cause_clear(&db->checkpoint);
                db->shrunk = db->checkpoint_full = false;
        }
        if (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED)
                return SQLITE_OK;
        db->checkpoint_full = is_full(handle);
        (void)database_cause(db, &db->checkpoint);
        db->failed = time_monotonic_s();
        db->doubtful = code != SQLITE_FULL; /* a write that was refused has lost nothing */
        return SQLITE_OK;
}

void database_log_is(size_t most)
{
        atomic_store(&log_most, most);
}

int64_t database_shrink(struct database *db, unsigned pages, struct cause *cause)
{
        scoped(scoped_free) char *sql = text_of("PRAGMA incremental_vacuum(%u)", pages);
        int64_t before = 0, after = 0;

        if (one_number(db, "PRAGMA freelist_count", &before, cause) < 0 ||
            (before && execute(db, sql, cause) < 0) ||
            (before && one_number(db, "PRAGMA freelist_count", &after, cause) < 0))
                return -1;
        db->shrunk = db->shrunk || after < before;
        return after < before ? after : 0;
}

/* inbox_id(FILE): for rows that are made from others. */
static void id_of_file(sqlite3_context *context, unused_arg int count, sqlite3_value **values)
{
        const char *file = (const char *)sqlite3_value_text(values[0]);

        sqlite3_result_int64(context, file ? inbox_id(file) : 0);
}

/* Of a database that is there already it would be a change, each time. */
static int settle_new(struct database *db, struct cause *cause)
{
        int64_t pages;

        if (one_number(db, "PRAGMA page_count", &pages, cause) < 0)
                return -1;
        return pages ? 0 : execute(db, "PRAGMA auto_vacuum = INCREMENTAL", cause);
}

static int settle_in(struct database *db, bool writer, struct cause *cause)
{
        /* What a hostile or damaged schema could do is switched off; a commit waits for the disk;
         * deleted content is overwritten where that costs no further write. Pages that are not used any more
         * can be given back to the disk, of a database that was made so. */
        static const char common[] = "PRAGMA trusted_schema = OFF;"
                                     "PRAGMA cell_size_check = ON;"
                                     "PRAGMA foreign_keys = ON;"
                                     "PRAGMA temp_store = MEMORY;";
        static const char writing[] = "PRAGMA journal_mode = WAL;"
                                      "PRAGMA synchronous = FULL;"
                                      "PRAGMA secure_delete = FAST;"
                                      "PRAGMA cache_size = -16000;";
        static const char reading[] = "PRAGMA query_only = ON;"
                                      "PRAGMA cache_size = -4000;";

        (void)sqlite3_extended_result_codes(db->handle, 0);
        if (sqlite3_busy_timeout(db->handle, BUSY_MS) != SQLITE_OK ||
            sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK ||
            sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL) != SQLITE_OK ||
            sqlite3_create_function_v2(db->handle, "inbox_id", 1,
                                       SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY, NULL,
                                       id_of_file, NULL, NULL, NULL) != SQLITE_OK)
                return database_cause(db, cause);
        /* What the log has taken it keeps, and is written again: on a small disk no more of it than is meant.
         */
        size_t log = atomic_load(&log_most);
        scoped(scoped_free) char *keep =
                text_of("PRAGMA journal_size_limit = %zu", log < DATABASE_LOG_MOST ? log : 4 * log);
        if (execute(db, common, cause) < 0 ||
            (writer && (refuse_others(db, cause) < 0 || settle_new(db, cause) < 0)) ||
            execute(db, writer ? writing : reading, cause) < 0 || (writer && execute(db, keep, cause) < 0))
                return -1;
        if (writer)
                (void)sqlite3_wal_hook(db->handle, after_commit, db);
        return writer ? upgrade(db, cause) : 0;
}

int database_in_place(const struct database *db, struct cause *cause)
{
        struct stat st;

        if (stat(db->path, &st) == 0 && st.st_dev == db->device && st.st_ino == db->inode)
                return 0;
        (void)cause_set(cause, CAUSE_STORAGE, "%s was removed or replaced while emailsecd runs", db->path);
        cause_remedy(cause, "put it back; or stop emailsecd and restore it: RECOVERY in emailsecd(8)");
        return -1;
}

static void close_handle(struct database *db)
{
        for (size_t i = 0; i < CACHE_BUCKETS; i++) {
                while (db->cache[i]) {
                        struct cached *cached = db->cache[i];
                        db->cache[i] = cached->next;
                        (void)sqlite3_finalize(cached->statement);
                        free(cached);
                }
        }
        /* Where another file is there, what lies beside it is that one's. */
        if (db->handle && (db->doubtful || database_in_place(db, NULL) < 0))
                (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        (void)sqlite3_close(take(db->handle)); /* no statement is left, so it cannot refuse */
}

static int open_handle(struct database *db, struct cause *cause)
{
        /* One thread at a time uses a connection, so SQLite's own mutexes are not needed. */
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;

        struct stat st;

        if (sqlite3_open_v2(db->path, &db->handle, flags, db->writer ? log_writes_vfs() : NULL) != SQLITE_OK)
                return database_cause(db, cause);
        if (stat(db->path, &st) < 0)
                return cause_errno(cause, errno, "cannot open %s", db->path);
        db->device = st.st_dev;
        db->inode = st.st_ino;
        return settle_in(db, db->writer, cause);
}

struct database *database_open(const char *path, bool writer, struct cause *cause)
{
        struct database *db = new_object(struct database);

        db->path = copy_text(path);
        db->writer = writer;
        if ((writer && make_file(path, cause) < 0) || open_handle(db, cause) < 0) {
                database_close(db);
                return NULL;
        }
        return db;
}

const struct cause *database_behind(const struct database *db)
{
        return db->checkpoint.code == CAUSE_NONE ? NULL : &db->checkpoint;
}

bool database_doubtful(const struct database *db)
{
        return !db->handle || (db->doubtful && time_monotonic_s() - db->failed >= CHECKPOINT_AGAIN);
}

int database_reopen(struct database *writing, struct database *reading, struct cause *cause)
{
        reading->doubtful = writing->doubtful = true;
        close_handle(reading);
        close_handle(writing);
        if (open_handle(writing, cause) < 0 || open_handle(reading, cause) < 0) {
                close_handle(reading);
                close_handle(writing);
                return -1;
        }
        reading->doubtful = writing->doubtful = writing->checkpoint_full = false;
        return 0;
}

size_t database_keeps(const struct database *db)
{
        int kept = 0, most = 0;

        if (db && db->handle)
                (void)sqlite3_db_status(db->handle, SQLITE_DBSTATUS_CACHE_USED, &kept, &most, 0);
        return (size_t)kept;
}

void database_give_back(struct database *db, size_t least)
{
        if (database_keeps(db) >= least)
                (void)sqlite3_db_release_memory(db->handle); /* nothing is in use: it does not fail */
}

void database_close(struct database *db)
{
        if (!db)
                return;
        close_handle(db);
        free(db->path);
        free(db);
}
