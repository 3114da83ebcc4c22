/* SPDX-License-Identifier: MIT */
/*
 * station.db copied while the writer goes on, and a copy looked at; see database_copy.h.
 *
 * A read transaction of its own holds one moment (SQLite, WAL): the writer goes on into the log, which cannot
 * be emptied meanwhile. So the copy takes room twice, for itself and for the log that grows: look_for_room()
 * asks for it first. The copy needs no syncs: a backup that was cut off is thrown away.
 *
 * Bodies that lie in files beside the database are in the copy itself, in chunks as those of small messages:
 * so it is whole without anything beside it. No file of that moment goes before it has been read
 * (body_files_hold).
 */
#include "daemon/store/database_copy.h"

#include "common/limits.h"
#include "daemon/sha256.h"
#include "daemon/store/content_tag.h"
#include "daemon/store/queue_body.h"

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
        int64_t pages = 0, size = 0, bodies = 0;
        struct statvfs disk;

        if (number(from, "PRAGMA page_count", &pages) < 0 || number(from, "PRAGMA page_size", &size) < 0 ||
            number(from, "SELECT coalesce(sum(size), 0) FROM message JOIN body_file USING (seq)", &bodies) <
                    0)
                return fail(from, "cannot read", path, cause);
        if (statvfs(path, &disk) < 0)
                return cause_errno(cause, errno, "cannot look at the disk of %s", path);
        if (leave < (uint64_t)ROOM_LEFT * MIB)
                leave = (uint64_t)ROOM_LEFT * MIB;
        int64_t room = (int64_t)(disk.f_bavail * disk.f_frsize / MIB),
                wanted = (pages * size + bodies) / MIB + 1 + (int64_t)(leave / MIB);
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

static int given_up(const atomic_bool *stop, struct cause *cause)
{
        return cause_set(cause, CAUSE_CANCELLED,
                         atomic_load(stop) ? "the disk of the state folder was in trouble meanwhile"
                                           : "the backup was given up");
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
        return given_up(stop, cause);
}

/* ---- bodies that are files ---- */

static int insert_chunk(sqlite3_stmt *insert, int64_t place, const uint8_t *bytes, size_t len,
                        const uint8_t *digest, size_t digest_size)
{
        int result = sqlite3_bind_int64(insert, 1, place);

        if (result == SQLITE_OK)
                result = sqlite3_bind_blob64(insert, 2, bytes, len, SQLITE_STATIC);
        if (result == SQLITE_OK)
                result = sqlite3_bind_blob64(insert, 3, digest, digest_size, SQLITE_STATIC);
        if (result == SQLITE_OK && sqlite3_step(insert) != SQLITE_DONE)
                result = SQLITE_ERROR;
        return sqlite3_reset(insert) == SQLITE_OK && result == SQLITE_OK ? 0 : -1;
}

/* The row that `rows` is at: seq, name, digests, size. What is not there as it was stays a file that is
 * missing: damaged in the copy as it is here. */
static int copy_body(sqlite3 *to, sqlite3_stmt *rows, sqlite3_stmt *insert, const char *target,
                     struct cause *cause)
{
        int64_t seq = sqlite3_column_int64(rows, 0);
        const uint8_t *digests = sqlite3_column_blob(rows, 2);
        uint64_t size = (uint64_t)sqlite3_column_int64(rows, 3), number = 0;
        size_t len = (size_t)sqlite3_column_bytes(rows, 2), chunks = (size + BODY_CHUNK - 1) / BODY_CHUNK;
        size_t digest_size = len == chunks * SHA256_SIZE ? SHA256_SIZE : CONTENT_TAG_SIZE;
        bool whole = len == chunks * digest_size;
        scoped(scoped_close) int fd =
                whole ? body_file_open((const char *)sqlite3_column_text(rows, 1), size, cause) : -1;

        if (fd < 0)
                return !whole || cause->code == CAUSE_INVALID || body_files_missing() ? 0 : -1;
        scoped(scoped_free) uint8_t *chunk = new_zeroed(1, BODY_CHUNK);
        for (uint64_t at = 0; at < size; at += BODY_CHUNK, number++) {
                size_t some = size - at < BODY_CHUNK ? (size_t)(size - at) : BODY_CHUNK;
                if (body_file_read(fd, chunk, some, at, cause) < 0)
                        return cause->code == CAUSE_INVALID ? 0 : -1;
                if (insert_chunk(insert, body_place((uint64_t)seq) + (int64_t)number, chunk, some,
                                 digests + number * digest_size, digest_size) < 0)
                        return fail(to, "cannot write", target, cause);
        }
        scoped(scoped_free) char *sql = text_of("DELETE FROM body_file WHERE seq = %lld", (long long)seq);
        return sqlite3_exec(to, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
                                                                    : fail(to, "cannot write", target, cause);
}

static int copy_each_body(sqlite3 *to, sqlite3_stmt *rows, sqlite3_stmt *insert, const char *target,
                          const atomic_bool *cancelled, const atomic_bool *stop, struct cause *cause)
{
        int64_t after = 0;

        for (;;) {
                if (atomic_load(cancelled) || atomic_load(stop))
                        return given_up(stop, cause);
                if (sqlite3_reset(rows) != SQLITE_OK || sqlite3_bind_int64(rows, 1, after) != SQLITE_OK)
                        return fail(to, "cannot read", target, cause);
                int more = sqlite3_step(rows);
                if (more != SQLITE_ROW)
                        return more == SQLITE_DONE ? 0 : fail(to, "cannot read", target, cause);
                after = sqlite3_column_int64(rows, 0);
                if (copy_body(to, rows, insert, target, cause) < 0)
                        return -1;
        }
}

static int copy_bodies(sqlite3 *to, const char *target, const atomic_bool *cancelled, const atomic_bool *stop,
                       struct cause *cause)
{
        sqlite3_stmt *rows = NULL, *insert = NULL;
        int result = -1;

        if (sqlite3_exec(to, "BEGIN", NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_prepare_v2(to,
                               "SELECT f.seq, f.name, f.digests, m.size FROM body_file f"
                               " JOIN message m ON m.seq = f.seq WHERE f.seq > ? ORDER BY f.seq LIMIT 1",
                               -1, &rows, NULL) != SQLITE_OK ||
            sqlite3_prepare_v2(to, "INSERT INTO body (place, data, digest) VALUES (?, ?, ?)", -1, &insert,
                               NULL) != SQLITE_OK)
                (void)fail(to, "cannot write", target, cause);
        else
                result = copy_each_body(to, rows, insert, target, cancelled, stop, cause);
        (void)sqlite3_finalize(rows);
        (void)sqlite3_finalize(insert);
        if (result == 0 && sqlite3_exec(to, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
                result = fail(to, "cannot write", target, cause);
        return result;
}

/* ---- all of it ---- */

int database_copy(const char *path, const char *target, uint64_t leave, const atomic_bool *cancelled,
                  const atomic_bool *stop, struct cause *cause)
{
        sqlite3 *from = NULL, *to = NULL;

        body_files_hold(true); /* ahead of the moment */
        bool failed = begin_reading(path, &from, cause) < 0 || look_for_room(from, path, leave, cause) < 0 ||
                      begin_writing(target, &to, cause) < 0 ||
                      copy_pages(from, to, target, cancelled, stop, cause) < 0 ||
                      copy_bodies(to, target, cancelled, stop, cause) < 0;

        body_files_hold(false);
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
