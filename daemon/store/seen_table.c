/* SPDX-License-Identifier: MIT */
/* What was fetched, and what the server was told of it; see seen_table.h. */
#include "daemon/store/seen_table.h"

#include "daemon/store/jobs.h"
#include "daemon/store/missing_rows.h"
#include "daemon/store/missing_table.h"
#include "daemon/store/owner_rows.h"
#include "daemon/store/seen_rows.h"

enum { UIDLS_AT_ONCE = 1 << 12 }; /* then others have their turn to read */

/* ---- one object for all that is asked here ---- */

struct seen {
        char *account, *folder;
        struct owner owner;
        uint64_t uidvalidity;
        uint32_t uid;
        uint64_t most;
        struct mailbox_entry *entries; /* given, or found */
        size_t count;
        bool *known, *untold; /* for each entry */
        size_t next;          /* the first that is not yet looked for */
        bool more;            /* are to be skipped before the mailbox has been looked at */
        struct seen_cursor cursor;
        struct missing *missing; /* of the cursor */
        void (*on_cursor)(void *ctx, const struct seen_cursor *cursor, const struct mailbox_entry *untold,
                          size_t untold_count, const struct cause *cause);
        void (*on_uidls)(void *ctx, const bool *known, const bool *untold, size_t count,
                         const struct cause *cause);
        void (*on_done)(void *ctx, const struct cause *cause);
        void *ctx;
        struct store_read read;
        int (*work)(struct store_write *write, struct database *db, struct cause *cause);
        struct store_write write;
};

static struct seen *seen_new(const char *account, const char *folder, const struct mailbox_entry *entries,
                             size_t count)
{
        struct seen *seen = new_object(struct seen);

        seen->account = copy_text(account);
        seen->owner = owner_of(account);
        seen->folder = copy_text(folder);
        seen->entries = new_zeroed(count + 1, sizeof *entries);
        if (count)
                memcpy(seen->entries, entries, count * sizeof *entries);
        seen->count = count;
        return seen;
}

static void seen_free(struct seen *seen)
{
        free(seen->account);
        free(seen->folder);
        free(seen->entries);
        free(seen->missing);
        free(seen->known);
        free(seen->untold);
        free(seen);
}

static void write_done(struct store_write *write, const struct cause *cause)
{
        struct seen *seen = container_of(write, struct seen, write);

        if (seen->on_done)
                seen->on_done(seen->ctx, cause);
        seen_free(seen);
}

/* Only while the account is the one that it was asked for. */
static int write_held(struct store_write *write, struct database *db, struct cause *cause)
{
        const struct seen *seen = container_of(write, struct seen, write);

        return owner_holds(db, &seen->owner, cause) < 0 ? -1 : seen->work(write, db, cause);
}

static void write_it(struct seen *seen,
                     int (*work)(struct store_write *write, struct database *db, struct cause *cause),
                     void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        seen->on_done = done;
        seen->ctx = ctx;
        seen->work = work;
        seen->write = (struct store_write){ .write = write_held, .done = write_done };
        store_write(&seen->write);
}

/* ---- the cursor ---- */

/* What is read at the beginning of a look, each kind by one query: account, folder, UIDVALIDITY, lowest UID.
 */
enum kind { UNTOLD, LEFT, ABOVE };
static const char *const entries_of[] = {
        [UNTOLD] = "SELECT uid, size FROM seen WHERE " SEEN_PLACE_IS " AND told = 0"
                   " AND uidvalidity = ? AND uid > ? AND uidl = '' ORDER BY uid",
        [LEFT] = "SELECT uid, left_size FROM seen WHERE " SEEN_PLACE_IS " AND left_size > 0"
                 " AND uidvalidity = ? AND uid > ? AND uidl = '' ORDER BY uid",
        [ABOVE] = "SELECT uid, size FROM seen WHERE " SEEN_PLACE_IS
                  " AND uidvalidity = ? AND uid > ? AND uidl = '' AND gone = 0 ORDER BY uid",
};

static int read_entries(struct seen *seen, struct database *db, enum kind kind, struct cause *cause)
{
        bool goes_on = seen->cursor.uidvalidity == seen->uidvalidity;
        uint32_t above = kind == ABOVE && goes_on ? seen->cursor.uid : 0;
        int more;
        scoped(db_end) sqlite3_stmt *rows = db_query(db, cause, entries_of[kind],
                                                     VALUES(v_text(seen->account), v_text(seen->folder),
                                                            v_int((int64_t)seen->uidvalidity), v_int(above)));

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                if ((seen->count & (seen->count - 1)) == 0)
                        seen->entries =
                                new_resized(seen->entries, 2 * seen->count + 1, sizeof *seen->entries);
                seen->entries[seen->count++] =
                        (struct mailbox_entry){ .uid = (uint32_t)sqlite3_column_int64(rows, 0),
                                                .size = (uint64_t)sqlite3_column_int64(rows, 1),
                                                .left = kind == LEFT,
                                                .here = kind == ABOVE };
        }
        return more;
}

static int read_cursor(struct seen *seen, struct database *db, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT uidvalidity, uid FROM cursor WHERE account = ? AND folder = ?",
                         VALUES(v_text(seen->account), v_text(seen->folder)));
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more > 0)
                seen->cursor = (struct seen_cursor){ .known = true,
                                                     .uidvalidity = (uint64_t)sqlite3_column_int64(rows, 0),
                                                     .uid = (uint32_t)sqlite3_column_int64(rows, 1) };
        return more;
}

static int cursor_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct seen *seen = container_of(read, struct seen, read);

        if (read_cursor(seen, db, cause) < 0)
                return -1;
        if (!seen->uidvalidity)
                seen->uidvalidity = seen->cursor.uidvalidity;
        for (enum kind kind = UNTOLD; kind <= ABOVE; kind++)
                if (read_entries(seen, db, kind, cause) < 0)
                        return -1;
        if (missing_read(db, seen->account, seen->folder, seen->uidvalidity, &seen->missing,
                         &seen->cursor.missing_count, cause) < 0)
                return -1;
        seen->cursor.missing = seen->missing;
        return 0;
}

static void cursor_done(struct store_read *read, const struct cause *cause)
{
        struct seen *seen = container_of(read, struct seen, read);

        seen->on_cursor(seen->ctx, &seen->cursor, seen->entries, cause ? 0 : seen->count, cause);
        seen_free(seen);
}

void seen_cursor(const char *account, const char *folder, uint64_t uidvalidity,
                 void (*done)(void *ctx, const struct seen_cursor *cursor, const struct mailbox_entry *untold,
                              size_t untold_count, const struct cause *cause),
                 void *ctx)
{
        struct seen *seen = seen_new(account, folder, NULL, 0);

        seen->uidvalidity = uidvalidity;
        seen->on_cursor = done;
        seen->ctx = ctx;
        seen->read = (struct store_read){ .read = cursor_work, .done = cursor_done };
        store_read(&seen->read);
}

static int set_cursor_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct seen *seen = container_of(write, struct seen, write);

        return seen_move_cursor(db, seen->account, seen->folder, seen->uidvalidity, seen->uid, cause);
}

void seen_set_cursor(const char *account, const char *folder, uint64_t uidvalidity, uint32_t uid,
                     void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct seen *seen = seen_new(account, folder, NULL, 0);

        seen->uidvalidity = uidvalidity;
        seen->uid = uid;
        write_it(seen, set_cursor_work, done, ctx);
}

/* ---- UIDLs ---- */

static int by_uidl(const void *a, const void *b)
{
        return strcmp((*(const struct mailbox_entry *const *)a)->uidl,
                      (*(const struct mailbox_entry *const *)b)->uidl);
}

static int uidl_work(struct seen *seen, size_t index, struct database *db, struct cause *cause)
{
        struct seen_key key = seen_key_of(seen->account, "", 0, &seen->entries[index]);
        struct seen_row row;

        if (seen_find(db, &key, &row, cause) < 0)
                return -1;
        seen->known[index] = row.known && (!row.left_size || row.left_size > seen->most);
        seen->untold[index] = row.known && !row.told;
        free(row.file);
        return 0;
}

/* A server at fault gives several messages one UIDL: they are known when as many are. Else all are fetched,
 * and their content tells which is new. */
static int doubles_work(struct seen *seen, struct database *db, struct cause *cause)
{
        scoped(scoped_free) const struct mailbox_entry **sorted = new_zeroed(seen->count + 1, sizeof *sorted);
        size_t same;

        for (size_t i = 0; i < seen->count; i++)
                sorted[i] = &seen->entries[i];
        qsort(sorted, seen->count, sizeof *sorted, by_uidl);
        for (size_t i = 0; i < seen->count; i += same) {
                struct seen_key key = seen_key_of(seen->account, "", 0, sorted[i]);
                size_t known = 0;
                for (same = 1; i + same < seen->count && by_uidl(&sorted[i], &sorted[i + same]) == 0; same++)
                        continue;
                size_t there = sorted[i]->same > same ? sorted[i]->same : same;
                if (there == 1)
                        continue;
                if (seen_count(db, &key, &known, cause) < 0)
                        return -1;
                for (size_t k = i; k < i + same && known < there; k++)
                        seen->known[sorted[k] - seen->entries] = seen->untold[sorted[k] - seen->entries] =
                                false;
        }
        return 0;
}

static int uidls_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct seen *seen = container_of(read, struct seen, read);

        size_t until = seen->count - seen->next < UIDLS_AT_ONCE ? seen->count : seen->next + UIDLS_AT_ONCE;

        for (; seen->next < until; seen->next++)
                if (uidl_work(seen, seen->next, db, cause) < 0)
                        return -1;
        return seen->next < seen->count ? 0 : doubles_work(seen, db, cause);
}

static void uidls_done(struct store_read *read, const struct cause *cause)
{
        struct seen *seen = container_of(read, struct seen, read);

        struct cause closed;

        if (!cause && seen->next < seen->count && !store_closing()) {
                store_read(&seen->read);
                return;
        }
        if (!cause && seen->next < seen->count) {
                (void)cause_set(&closed, CAUSE_STATE, "the state folder is being closed");
                cause = &closed;
        }
        seen->on_uidls(seen->ctx, seen->known, seen->untold, seen->count, cause);
        seen_free(seen);
}

void seen_uidls(const char *account, const struct mailbox_entry *entries, size_t count, uint64_t most,
                void (*done)(void *ctx, const bool *known, const bool *untold, size_t count,
                             const struct cause *cause),
                void *ctx)
{
        struct seen *seen = seen_new(account, "", entries, count);

        seen->most = most;
        seen->known = new_zeroed(count + 1, sizeof *seen->known);
        seen->untold = new_zeroed(count + 1, sizeof *seen->untold);
        seen->on_uidls = done;
        seen->ctx = ctx;
        seen->read = (struct store_read){ .read = uidls_work, .done = uidls_done };
        store_read(&seen->read);
}

static int skip_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct seen *seen = container_of(write, struct seen, write);

        for (size_t i = 0; i < seen->count; i++) {
                struct seen_key key = seen_key_of(seen->account, "", 0, &seen->entries[i]);
                struct seen_row row;
                if (seen_find(db, &key, &row, cause) < 0)
                        return -1;
                free(row.file);
                struct seen_message nothing = { .generation = row.generation,
                                                .told = true,
                                                .how = SEEN_NOTHING,
                                                .size = seen->entries[i].size };
                if (!row.known && seen_record(db, &key, &nothing, cause) < 0)
                        return -1;
        }
        return seen->more ? 0 : seen_move_cursor(db, seen->account, "", 0, 0, cause);
}

void seen_skip_uidls(const char *account, const struct mailbox_entry *entries, size_t count, bool more,
                     void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct seen *seen = seen_new(account, "", entries, count);

        seen->more = more;
        write_it(seen, skip_work, done, ctx);
}

static int update_each(struct store_write *write, struct database *db, const char *query, struct cause *cause)
{
        struct seen *seen = container_of(write, struct seen, write);

        for (size_t i = 0; i < seen->count; i++) {
                struct seen_key key =
                        seen_key_of(seen->account, seen->folder, seen->uidvalidity, &seen->entries[i]);
                if (db_run(db, cause, query, VALUES(SEEN_KEY_VALUES(&key))) < 0)
                        return -1;
        }
        return 0;
}

static int told_work(struct store_write *write, struct database *db, struct cause *cause)
{
        return update_each(write, db, "UPDATE seen SET told = 1 WHERE " SEEN_KEY_IS " AND told = 0", cause);
}

void seen_told(const char *account, const char *folder, uint64_t uidvalidity,
               const struct mailbox_entry *entries, size_t count,
               void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct seen *seen = seen_new(account, folder, entries, count);

        seen->uidvalidity = uidvalidity;
        write_it(seen, told_work, done, ctx);
}

static int not_left_work(struct store_write *write, struct database *db, struct cause *cause)
{
        return update_each(write, db, "UPDATE seen SET left_size = 0 WHERE " SEEN_KEY_IS, cause);
}

void seen_not_left(const char *account, const char *folder, uint64_t uidvalidity,
                   const struct mailbox_entry *entries, size_t count)
{
        struct seen *seen = seen_new(account, folder, entries, count);

        seen->uidvalidity = uidvalidity;
        write_it(seen, not_left_work, NULL, NULL);
}

/* One that is listed and did not come yet, but is to be asked for, is still to be compared with them. */
static int look_over_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct value account = v_text(container_of(write, struct seen, write)->account);
        int64_t outstanding = 0;

        if (db_number(db, cause, &outstanding, 0,
                      "SELECT count(*) FROM missing WHERE account = ? AND folder = '' AND state <> ?",
                      VALUES(account, v_int(MISSING_GIVEN_UP))) < 0)
                return -1;
        if (outstanding)
                return 0;
        if (db_run(db, cause,
                   "DELETE FROM seen WHERE " SEEN_PLACE_IS " AND uidvalidity = 0 AND uid = 0 AND gone = 2"
                   " AND NOT EXISTS (SELECT 1 FROM inbox WHERE seq = seen.inbox)",
                   VALUES(account, v_text(""))) < 0)
                return -1;
        return db_run(db, cause,
                      "UPDATE seen SET gone = 1 WHERE " SEEN_PLACE_IS
                      " AND uidvalidity = 0 AND uid = 0 AND gone = 2",
                      VALUES(account, v_text("")));
}

void seen_look_over(const char *account)
{
        write_it(seen_new(account, "", NULL, 0), look_over_work, NULL, NULL);
}
