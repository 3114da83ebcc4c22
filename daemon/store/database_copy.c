/* SPDX-License-Identifier: MIT */
/*
 * station.db copied while the writer goes on, and a copy looked at; see database_copy.h.
 *
 * A read transaction of its own holds one moment (SQLite, WAL): the writer goes on into the log, which cannot
 * be emptied meanwhile. So the copy takes room twice, for itself and for the log that grows: look_for_room()
 * asks for it first. The copy needs no syncs: a backup that was cut off is thrown away.
 */
#include "daemon/store/database_copy.h"

#include "common/limits.h"
#include "daemon/store/database.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
        PAGES_A_STEP = 512,
        BUSY_MS = 5000,
        ROOM_LEFT = 64, /* MiB that the disk keeps at least for mail that comes meanwhile */
};

static int fail(sqlite3 *handle, const char *what, const char *path, struct cause *cause)
{
        return cause_set(cause, CAUSE_STORAGE, "%s %s: %s", what, path, sqlite3_errmsg(handle));
}

static int number(sqlite3 *handle, const char *sql, int64_t *out)
{
        sqlite3_stmt *statement = NULL;
        bool found = sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) == SQLITE_OK &&
                     sqlite3_step(statement) == SQLITE_ROW;

        if (found)
                *out = sqlite3_column_int64(statement, 0);
        (void)sqlite3_finalize(statement);
        return found ? 0 : -1;
}

/* ---- copying ---- */

/* Holds the moment: later commits go to the log behind it. */
static int begin_reading(const char *path, sqlite3 **out, struct cause *cause)
{
        int64_t tables;

        if (sqlite3_open_v2(path, out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
            sqlite3_busy_timeout(*out, BUSY_MS) != SQLITE_OK ||
            sqlite3_db_config(*out, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) != SQLITE_OK ||
            sqlite3_exec(*out, "PRAGMA query_only = ON; BEGIN", NULL, NULL, NULL) != SQLITE_OK ||
            number(*out, "SELECT count(*) FROM sqlite_schema", &tables) < 0)
                return fail(*out, "cannot read", path, cause);
        return 0;
}

static int look_for_room(sqlite3 *from, const char *path, uint64_t leave, struct cause *cause)
{
        int64_t pages = 0, size = 0;
        struct statvfs disk;

        if (number(from, "PRAGMA page_count", &pages) < 0 || number(from, "PRAGMA page_size", &size) < 0)
                return fail(from, "cannot read", path, cause);
        if (statvfs(path, &disk) < 0)
                return cause_errno(cause, errno, "cannot look at the disk of %s", path);
        if (leave < (uint64_t)ROOM_LEFT * MIB)
                leave = (uint64_t)ROOM_LEFT * MIB;
        int64_t room = (int64_t)(disk.f_bavail * disk.f_frsize / MIB),
                wanted = pages * size / MIB + 1 + (int64_t)(leave / MIB);
        if (room >= wanted)
                return 0;
        (void)cause_set(cause, CAUSE_STORAGE,
                        "the disk of the state folder has room for %lld MiB, and a copy of station.db "
                        "needs %lld MiB there for a while, the reserve included",
                        (long long)room, (long long)wanted);
        cause_remedy(cause, "make room there; or stop emailsecd and copy the state folder");
        return -1;
}

static int begin_writing(const char *target, sqlite3 **out, struct cause *cause)
{
        if (unlink(target) < 0 && errno != ENOENT)
                return cause_errno(cause, errno, "cannot remove %s", target);
        if (sqlite3_open_v2(target, out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                            NULL) != SQLITE_OK ||
            sqlite3_exec(*out, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL, NULL) !=
                    SQLITE_OK)
                return fail(*out, "cannot write", target, cause);
        return 0;
}

/* In small steps, to end soon where the client has gone (`cancelled`) or the disk is in trouble (`stop`). */
static int copy_pages(sqlite3 *from, sqlite3 *to, const char *target, const atomic_bool *cancelled,
                      const atomic_bool *stop, struct cause *cause)
{
        sqlite3_backup *copy = sqlite3_backup_init(to, "main", from, "main");
        int result = copy ? SQLITE_OK : SQLITE_ERROR;

        while (result == SQLITE_OK && !atomic_load(cancelled) && !atomic_load(stop))
                result = sqlite3_backup_step(copy, PAGES_A_STEP);
        if (copy)
                (void)sqlite3_backup_finish(copy);
        if (result == SQLITE_DONE)
                return 0;
        if (result != SQLITE_OK)
                return fail(to, "cannot write", target, cause);
        return cause_set(cause, CAUSE_CANCELLED,
                         atomic_load(stop) ? "the disk of the state folder was in trouble meanwhile"
                                           : "the backup was given up");
}

int database_copy(const char *path, const char *target, uint64_t leave, const atomic_bool *cancelled,
                  const atomic_bool *stop, struct cause *cause)
{
        sqlite3 *from = NULL, *to = NULL;
        bool failed = begin_reading(path, &from, cause) < 0 || look_for_room(from, path, leave, cause) < 0 ||
                      begin_writing(target, &to, cause) < 0 ||
                      copy_pages(from, to, target, cancelled, stop, cause) < 0;

        (void)sqlite3_close(to);
        (void)sqlite3_close(from);
        if (failed)
                (void)unlink(target);
        return failed ? -1 : 0;
}

/* ---- looking at a copy ---- */

static int is_sound(sqlite3 *handle, const char *path, struct cause *cause)
{
        sqlite3_stmt *statement = NULL;
        int result = -1;

        if (sqlite3_prepare_v2(handle, "PRAGMA integrity_check(1)", -1, &statement, NULL) != SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_ROW)
                (void)fail(handle, "cannot read", path, cause);
        else if (!same_text((const char *)sqlite3_column_text(statement, 0), "ok"))
                (void)cause_set(cause, CAUSE_STORAGE, "%s is damaged: %s", path,
                                (const char *)sqlite3_column_text(statement, 0));
        else
                result = 0;
        (void)sqlite3_finalize(statement);
        return result;
}

/* An archive may come from anywhere: what is in it is a database, ours, not of a newer schema, and sound,
 * before anything of it is used. */
int database_check(const char *path, int64_t *messages, struct cause *cause)
{
        sqlite3 *handle = NULL;
        int64_t application = 0, version = 0;
        int result = 0;

        *messages = 0;
        if (sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
            sqlite3_exec(handle, "PRAGMA query_only = ON", NULL, NULL, NULL) != SQLITE_OK ||
            number(handle, "PRAGMA application_id", &application) < 0 ||
            number(handle, "PRAGMA user_version", &version) < 0)
                result = fail(handle, "cannot read", path, cause);
        else if (application != DATABASE_APPLICATION)
                result = cause_set(cause, CAUSE_STORAGE, "%s is not a database of emailsecd", path);
        else if (version > (int64_t)schema_step_count)
                result = cause_set(cause, CAUSE_STORAGE,
                                   "%s was written by a newer emailsecd (schema %lld, this one knows up to "
                                   "%zu): install that one first",
                                   path, (long long)version, schema_step_count);
        else if ((result = is_sound(handle, path, cause)) == 0 &&
                 number(handle, "SELECT count(*) FROM message", messages) < 0)
                result = fail(handle, "cannot read", path, cause);
        (void)sqlite3_close(handle);
        return result;
}
