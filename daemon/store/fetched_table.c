/* SPDX-License-Identifier: MIT */
/* What was fetched, and what the server was told of it; see fetched_table.h. */
#include "daemon/store/fetched_table.h"

#include "daemon/store/fetched_rows.h"
#include "daemon/store/jobs.h"
#include "daemon/store/missing_rows.h"
#include "daemon/store/missing_table.h"
#include "daemon/store/owner_rows.h"
#include "daemon/store/untold_rows.h"

enum { UIDLS_AT_ONCE = 1 << 12 }; /* then others have their turn to read */

/* ---- one object for all that is asked here ---- */

struct fetched {
        char *account, *folder;
        struct owner owner;
        uint64_t uidvalidity;
        uint32_t uid;
        uint64_t most;
        struct mailbox_entry *entries; /* given, or found */
        bool lent;                     /* they are the asker's */
        size_t count;
        bool *known, *untold; /* for each entry */
        size_t next;          /* the first that is not yet looked for */
        bool more;            /* are to be skipped before the mailbox has been looked at */
        struct fetched_cursor cursor;
        struct missing *missing; /* of the cursor */
        void (*on_cursor)(void *ctx, const struct fetched_cursor *cursor, const struct mailbox_entry *untold,
                          size_t untold_count, const struct cause *cause);
        void (*on_uidls)(void *ctx, const bool *known, const bool *untold, size_t count,
                         const struct cause *cause);
        void (*on_done)(void *ctx, const struct cause *cause);
        void *ctx;
        struct store_read read;
        struct store_write write;
};

static struct fetched *fetched_new(const char *account, const char *folder,
                                   const struct mailbox_entry *entries, size_t count)
{
        struct fetched *fetched = new_object(struct fetched);

        fetched->account = copy_text(account);
        fetched->owner = owner_of(account);
        fetched->folder = copy_text(folder);
        fetched->entries = new_zeroed(count + 1, sizeof *entries);
        if (count)
                memcpy(fetched->entries, entries, count * sizeof *entries);
        fetched->count = count;
        return fetched;
}

static void fetched_free(struct fetched *fetched)
{
        free(fetched->account);
        free(fetched->folder);
        if (!fetched->lent)
                free(fetched->entries);
        free(fetched->missing);
        free(fetched->known);
        free(fetched->untold);
        free(fetched);
}

static void write_done(struct store_write *write, const struct cause *cause)
{
        struct fetched *fetched = container_of(write, struct fetched, write);

        if (fetched->on_done)
                fetched->on_done(fetched->ctx, cause);
        fetched_free(fetched);
}

static void write_it(struct fetched *fetched,
                     int (*work)(struct store_write *write, struct database *db, struct cause *cause),
                     void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        fetched->on_done = done;
        fetched->ctx = ctx;
        fetched->write = (struct store_write){ .owner = &fetched->owner, .write = work, .done = write_done };
        store_write(&fetched->write);
}

/* ---- the cursor ---- */

/* What is read at the beginning of a poll, each kind by one query: account, folder, UIDVALIDITY, lowest UID.
 */
enum kind { UNTOLD, LEFT, ABOVE };
static const char *const entries_of[] = {
        /* by ranges, and of each range by its ends alone */
        [UNTOLD] =
                "SELECT uid, size FROM untold CROSS JOIN seen USING (place, uidvalidity) WHERE " SEEN_PLACE_IS
                " AND uidvalidity = ? AND +uid > ? AND uidl = '' AND uid BETWEEN first AND last"
                " ORDER BY first, uid",
        [LEFT] = "SELECT uid, left_size FROM seen WHERE " SEEN_PLACE_IS " AND left_size > 0"
                 " AND uidvalidity = ? AND uid > ? AND uidl = '' ORDER BY uid",
        [ABOVE] = "SELECT uid, size FROM seen WHERE " SEEN_PLACE_IS
                  " AND uidvalidity = ? AND uid > ? AND uidl = '' AND gone = 0 ORDER BY uid",
};

static int read_entries(struct fetched *fetched, struct database *db, enum kind kind, struct cause *cause)
{
        bool goes_on = fetched->cursor.uidvalidity == fetched->uidvalidity;
        uint32_t above = kind == ABOVE && goes_on ? fetched->cursor.uid : 0;
        int more;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, entries_of[kind],
                         VALUES(v_text(fetched->account), v_text(fetched->folder),
                                v_int((int64_t)fetched->uidvalidity), v_int(above)));

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                if ((fetched->count & (fetched->count - 1)) == 0)
                        fetched->entries = new_resized(fetched->entries, 2 * fetched->count + 1,
                                                       sizeof *fetched->entries);
                fetched->entries[fetched->count++] =
                        (struct mailbox_entry){ .uid = (uint32_t)sqlite3_column_int64(rows, 0),
                                                .size = (uint64_t)sqlite3_column_int64(rows, 1),
                                                .left = kind == LEFT,
                                                .here = kind == ABOVE };
        }
        return more;
}

static int read_cursor(struct fetched *fetched, struct database *db, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT uidvalidity, uid FROM cursor WHERE account = ? AND folder = ?",
                         VALUES(v_text(fetched->account), v_text(fetched->folder)));
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more > 0)
                fetched->cursor =
                        (struct fetched_cursor){ .known = true,
                                                 .uidvalidity = (uint64_t)sqlite3_column_int64(rows, 0),
                                                 .uid = (uint32_t)sqlite3_column_int64(rows, 1) };
        return more;
}

static int cursor_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct fetched *fetched = container_of(read, struct fetched, read);

        if (read_cursor(fetched, db, cause) < 0)
                return -1;
        if (!fetched->uidvalidity)
                fetched->uidvalidity = fetched->cursor.uidvalidity;
        for (enum kind kind = UNTOLD; kind <= ABOVE; kind++)
                if (read_entries(fetched, db, kind, cause) < 0)
                        return -1;
        if (missing_read(db, fetched->account, fetched->folder, fetched->uidvalidity, &fetched->missing,
                         &fetched->cursor.missing_count, cause) < 0)
                return -1;
        fetched->cursor.missing = fetched->missing;
        return 0;
}

static void cursor_done(struct store_read *read, const struct cause *cause)
{
        struct fetched *fetched = container_of(read, struct fetched, read);

        fetched->on_cursor(fetched->ctx, &fetched->cursor, fetched->entries, cause ? 0 : fetched->count,
                           cause);
        fetched_free(fetched);
}

void fetched_cursor(const char *account, const char *folder, uint64_t uidvalidity,
                    void (*done)(void *ctx, const struct fetched_cursor *cursor,
                                 const struct mailbox_entry *untold, size_t untold_count,
                                 const struct cause *cause),
                    void *ctx)
{
        struct fetched *fetched = fetched_new(account, folder, NULL, 0);

        fetched->uidvalidity = uidvalidity;
        fetched->on_cursor = done;
        fetched->ctx = ctx;
        fetched->read = (struct store_read){ .read = cursor_work, .done = cursor_done };
        store_read(&fetched->read);
}

static int set_cursor_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct fetched *fetched = container_of(write, struct fetched, write);

        return fetched_move_cursor(db, fetched->account, fetched->folder, fetched->uidvalidity, fetched->uid,
                                   cause);
}

void fetched_set_cursor(const char *account, const char *folder, uint64_t uidvalidity, uint32_t uid,
                        void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct fetched *fetched = fetched_new(account, folder, NULL, 0);

        fetched->uidvalidity = uidvalidity;
        fetched->uid = uid;
        write_it(fetched, set_cursor_work, done, ctx);
}

/* ---- UIDLs ---- */

static int by_uidl(const void *a, const void *b)
{
        return strcmp((*(const struct mailbox_entry *const *)a)->uidl,
                      (*(const struct mailbox_entry *const *)b)->uidl);
}

static int uidl_work(struct fetched *fetched, size_t index, struct database *db, struct cause *cause)
{
        struct fetched_key key = fetched_key_of(fetched->account, "", 0, &fetched->entries[index]);
        struct fetched_row row;

        if (fetched_find(db, &key, &row, cause) < 0)
                return -1;
        fetched->known[index] = row.known && (!row.left_size || row.left_size > fetched->most);
        fetched->untold[index] = row.known && !row.told;
        free(row.file);
        return 0;
}

/* A server at fault gives several messages one UIDL: they are known when as many are. Else all are fetched,
 * and their content tells which is new. */
static int doubles_work(struct fetched *fetched, struct database *db, struct cause *cause)
{
        scoped(scoped_free) const struct mailbox_entry **sorted =
                new_zeroed(fetched->count + 1, sizeof *sorted);
        size_t same;

        for (size_t i = 0; i < fetched->count; i++)
                sorted[i] = &fetched->entries[i];
        qsort(sorted, fetched->count, sizeof *sorted, by_uidl);
        for (size_t i = 0; i < fetched->count; i += same) {
                struct fetched_key key = fetched_key_of(fetched->account, "", 0, sorted[i]);
                size_t known = 0;
                for (same = 1; i + same < fetched->count && by_uidl(&sorted[i], &sorted[i + same]) == 0;
                     same++)
                        continue;
                size_t there = sorted[i]->same > same ? sorted[i]->same : same;
                if (there == 1)
                        continue;
                if (fetched_count(db, &key, &known, cause) < 0)
                        return -1;
                for (size_t k = i; k < i + same && known < there; k++)
                        fetched->known[sorted[k] - fetched->entries] =
                                fetched->untold[sorted[k] - fetched->entries] = false;
        }
        return 0;
}

static int uidls_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct fetched *fetched = container_of(read, struct fetched, read);
        size_t until = fetched->count - fetched->next < UIDLS_AT_ONCE ? fetched->count
                                                                      : fetched->next + UIDLS_AT_ONCE;
        struct fetched_range range = { 0 };

        for (size_t i = fetched->next; i < until; i++) {
                struct fetched_key key = fetched_key_of(fetched->account, "", 0, &fetched->entries[i]);
                fetched_range_add(&range, &key);
        }
        int any = fetched_range_has(db, &range, cause);
        if (any < 0)
                return -1;
        for (; any && fetched->next < until; fetched->next++)
                if (uidl_work(fetched, fetched->next, db, cause) < 0)
                        return -1;
        fetched->next = until;
        return fetched->next < fetched->count ? 0 : doubles_work(fetched, db, cause);
}

static void uidls_done(struct store_read *read, const struct cause *cause)
{
        struct fetched *fetched = container_of(read, struct fetched, read);
        struct cause closed;
        bool more = !cause && fetched->next < fetched->count;

        if (more)
                cause = store_closed(&closed);
        if (more && !cause) {
                store_read(&fetched->read);
                return;
        }
        fetched->on_uidls(fetched->ctx, fetched->known, fetched->untold, fetched->count, cause);
        fetched_free(fetched);
}

void fetched_uidls(const char *account, const struct mailbox_entry *entries, size_t count, uint64_t most,
                   void (*done)(void *ctx, const bool *known, const bool *untold, size_t count,
                                const struct cause *cause),
                   void *ctx)
{
        struct fetched *fetched = fetched_new(account, "", NULL, 0);

        free(fetched->entries);
        fetched->entries = (struct mailbox_entry *)entries;
        fetched->count = count;
        fetched->lent = true;
        fetched->most = most;
        fetched->known = new_zeroed(count + 1, sizeof *fetched->known);
        fetched->untold = new_zeroed(count + 1, sizeof *fetched->untold);
        fetched->on_uidls = done;
        fetched->ctx = ctx;
        fetched->read = (struct store_read){ .read = uidls_work, .done = uidls_done };
        store_read(&fetched->read);
}

static int skip_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct fetched *fetched = container_of(write, struct fetched, write);
        struct fetched_record nothing[DB_MANY];
        size_t count = 0;
        int64_t place = 0;

        if (fetched->count && fetched_make_place(db, fetched->account, "", &place, cause) < 0)
                return -1;
        for (size_t i = 0; i < fetched->count; i++) {
                struct fetched_key key = fetched_key_of(fetched->account, "", 0, &fetched->entries[i]);
                struct fetched_row row;
                if (fetched_find(db, &key, &row, cause) < 0)
                        return -1;
                free(row.file);
                nothing[count] = (struct fetched_record){ key,
                                                          { .generation = row.generation,
                                                            .told = SEEN_LEFT,
                                                            .how = SEEN_NOTHING,
                                                            .size = fetched->entries[i].size } };
                count += !row.known;
                if (count < DB_MANY)
                        continue;
                if (fetched_record(db, place, nothing, count, cause) < 0)
                        return -1;
                count = 0;
        }
        if (fetched_record(db, place, nothing, count, cause) < 0)
                return -1;
        return fetched->more ? 0 : fetched_move_cursor(db, fetched->account, "", 0, 0, cause);
}

void fetched_skip_uidls(const char *account, const struct mailbox_entry *entries, size_t count, bool more,
                        void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct fetched *fetched = fetched_new(account, "", entries, count);

        fetched->more = more;
        write_it(fetched, skip_work, done, ctx);
}

static int update_each(struct store_write *write, struct database *db, const char *query, struct cause *cause)
{
        struct fetched *fetched = container_of(write, struct fetched, write);

        for (size_t i = 0; i < fetched->count; i++) {
                struct fetched_key key = fetched_key_of(fetched->account, fetched->folder,
                                                        fetched->uidvalidity, &fetched->entries[i]);
                if (db_run(db, cause, query, VALUES(SEEN_KEY_VALUES(&key))) < 0)
                        return -1;
        }
        return 0;
}

/* UIDs that follow each other, from number `first` on: how many there are. */
static size_t range_of(const struct fetched *fetched, size_t first)
{
        size_t count = 1;

        while (first + count < fetched->count &&
               fetched->entries[first + count].uid == fetched->entries[first].uid + count)
                count++;
        return count;
}

static int told_by_ranges(const struct fetched *fetched, struct database *db, struct cause *cause)
{
        int64_t place;
        size_t count;

        if (fetched_place(db, fetched->account, fetched->folder, &place, cause) < 0)
                return -1;
        for (size_t i = 0; i < fetched->count; i += count) {
                uint32_t first = fetched->entries[i].uid;
                count = range_of(fetched, i);
                if (untold_end(db, place, fetched->uidvalidity, first, first + (uint32_t)(count - 1), cause) <
                    0)
                        return -1;
        }
        return 0;
}

static int told_work(struct store_write *write, struct database *db, struct cause *cause)
{
        const struct fetched *fetched = container_of(write, struct fetched, write);

        if (fetched->count && !fetched->entries[0].uidl[0])
                return told_by_ranges(fetched, db, cause);
        return update_each(write, db, "UPDATE seen SET told = 1 WHERE " SEEN_KEY_IS " AND told <> 1", cause);
}

void fetched_told(const char *account, const char *folder, uint64_t uidvalidity,
                  const struct mailbox_entry *entries, size_t count,
                  void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct fetched *fetched = fetched_new(account, folder, entries, count);

        fetched->uidvalidity = uidvalidity;
        write_it(fetched, told_work, done, ctx);
}

static int not_left_work(struct store_write *write, struct database *db, struct cause *cause)
{
        return update_each(write, db, "UPDATE seen SET left_size = 0 WHERE " SEEN_KEY_IS, cause);
}

void fetched_not_left(const char *account, const char *folder, uint64_t uidvalidity,
                      const struct mailbox_entry *entries, size_t count)
{
        struct fetched *fetched = fetched_new(account, folder, entries, count);

        fetched->uidvalidity = uidvalidity;
        write_it(fetched, not_left_work, NULL, NULL);
}

/* One that is listed and did not come yet, but is to be asked for, is still to be compared with them. */
static int look_over_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct value account = v_text(container_of(write, struct fetched, write)->account);
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

void fetched_look_over(const char *account)
{
        write_it(fetched_new(account, "", NULL, 0), look_over_work, NULL, NULL);
}
