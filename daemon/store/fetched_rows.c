/* SPDX-License-Identifier: MIT */
/* Rows of what was dealt with, and cursors; see fetched_rows.h. At the end: UIDLs that a POP3 server no
 * longer has. The rows of an account are gone through in portions, so that others have their turn between
 * them; what has gone is looked for by the reader, and written only when there is something. What stopped
 * half-way goes on with the next poll. */
#include "daemon/store/fetched_rows.h"

#include "daemon/store/fetched_table.h"
#include "daemon/store/inbox_rows.h"
#include "daemon/store/jobs.h"
#include "daemon/store/owner_rows.h"
#include "daemon/store/untold_rows.h"

#include <stdio.h>

#define SEEN_INTO \
        " INTO seen (place, uidvalidity, uid, uidl, generation, told, inbox, size, digest, left_size) " \
        "VALUES "
#define SEEN_ROW "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
enum { SEEN_COLUMNS = 10 };

#define FILE_OF "(SELECT file FROM inbox WHERE seq = seen.inbox)"

struct fetched_key fetched_key_of(const char *account, const char *folder, uint64_t uidvalidity,
                                  const struct mailbox_entry *entry)
{
        bool pop3 = entry->uidl[0] != '\0';

        return (struct fetched_key){ .account = account,
                                     .folder = folder,
                                     .uidvalidity = pop3 ? 0 : uidvalidity,
                                     .uid = pop3 ? 0 : entry->uid,
                                     .uidl = entry->uidl };
}

int fetched_find(struct database *db, const struct fetched_key *key, struct fetched_row *row,
                 struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT generation, gone, told, " FILE_OF ", left_size FROM seen WHERE " SEEN_KEY_IS
                         " ORDER BY generation DESC LIMIT 1",
                         VALUES(SEEN_KEY_VALUES(key)));
        int more = rows ? db_next(db, rows, cause) : -1;

        *row = (struct fetched_row){ 0 };
        if (more <= 0)
                return more;
        row->known = sqlite3_column_int(rows, 1) == 0;
        row->generation = sqlite3_column_int64(rows, 0) + !row->known;
        row->told = sqlite3_column_int(rows, 2) != 0;
        row->left_size = row->known ? (uint64_t)sqlite3_column_int64(rows, 4) : 0;
        row->file = row->known ? db_text(rows, 3) : NULL;
        return 0;
}

static int compare_keys(const struct fetched_key *a, const struct fetched_key *b)
{
        return a->uid != b->uid ? (a->uid > b->uid) - (a->uid < b->uid) : strcmp(a->uidl, b->uidl);
}

void fetched_range_add(struct fetched_range *range, const struct fetched_key *key)
{
        if (!range->first.account || compare_keys(key, &range->first) < 0)
                range->first = *key;
        if (!range->last.account || compare_keys(key, &range->last) > 0)
                range->last = *key;
}

bool fetched_range_go_on(struct fetched_range *range, const struct fetched_key *key)
{
        if (range->last.account && compare_keys(key, &range->last) <= 0)
                return false;
        fetched_range_add(range, key);
        return true;
}

int fetched_range_has(struct database *db, const struct fetched_range *range, struct cause *cause)
{
        const struct fetched_key *first = &range->first, *last = &range->last;
        int64_t found = 0;

        if (first->account &&
            db_number(db, cause, &found, 0,
                      "SELECT 1 FROM seen WHERE " SEEN_PLACE_IS " AND uidvalidity = ?"
                      " AND (uid, uidl) >= (?, ?) AND (uid, uidl) <= (?, ?) LIMIT 1",
                      VALUES(SEEN_KEY_VALUES(first), v_int(last->uid), v_text(last->uidl))) < 0)
                return -1;
        return found != 0;
}

int fetched_has_sha256(struct database *db, const struct fetched_key *key, struct cause *cause)
{
        int64_t has;

        if (db_number(db, cause, &has, 0, "SELECT sha256 FROM place WHERE account = ? AND folder = ?",
                      VALUES(v_text(key->account), v_text(key->folder))) < 0)
                return -1;
        return has != 0;
}

int fetched_find_copy(struct database *db, const struct fetched_key *key, struct value digest, char **file,
                      struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT " FILE_OF " FROM seen WHERE " SEEN_KEY_IS
                         " AND gone = 0 AND (digest = ? OR digest IS NULL) LIMIT 1",
                         VALUES(SEEN_KEY_VALUES(key), digest));
        int more = rows ? db_next(db, rows, cause) : -1;

        *file = more > 0 ? db_text(rows, 0) : NULL;
        return more;
}

int fetched_count(struct database *db, const struct fetched_key *key, size_t *count, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause, "SELECT count(*), count(digest) FROM seen WHERE " SEEN_KEY_IS " AND gone = 0",
                VALUES(SEEN_KEY_VALUES(key)));
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more <= 0)
                return -1;
        bool skipped = sqlite3_column_int64(rows, 1) < sqlite3_column_int64(rows, 0);
        *count = skipped ? SIZE_MAX : (size_t)sqlite3_column_int64(rows, 0);
        return 0;
}

int fetched_find_digest(struct database *db, const struct fetched_key *key, struct value digest, char **file,
                        struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT " FILE_OF " FROM seen WHERE digest = ? AND " SEEN_PLACE_IS
                         " AND CASE WHEN uidl = '' THEN uidvalidity <> ? ELSE gone = 2 OR (gone = 1 AND uidl "
                         "= ?) END AND inbox IS NOT NULL LIMIT 1",
                         VALUES(digest, v_text(key->account), v_text(key->folder),
                                v_int((int64_t)key->uidvalidity), v_text(key->uidl)));
        int more = rows ? db_next(db, rows, cause) : -1;

        *file = more > 0 ? db_text(rows, 0) : NULL;
        return more;
}

/* Those of a digest that an account which deletes has left at the server: after the look that found them gone
 * under their own UIDL alone. What it was to delete and did not answer for is none of them: it may have been
 * deleted, and what looks the same be another alarm. Rather twice than lost. */
#define LEFT_IS \
        SEEN_PLACE_IS \
        " AND digest = ? AND inbox IS NOT NULL AND told = 2 AND (gone = 2 OR (gone = 1 AND uidl = ?))"
#define LEFT_VALUES(key, digest) v_text((key)->account), v_text((key)->folder), digest, v_text((key)->uidl)

int fetched_find_left(struct database *db, const struct fetched_key *key, struct value digest, char **file,
                      struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT " FILE_OF ", count(*) OVER () FROM seen WHERE " LEFT_IS
                         " ORDER BY uidl, generation LIMIT 1",
                         VALUES(LEFT_VALUES(key, digest)));
        int more = rows ? db_next(db, rows, cause) : -1;

        *file = more > 0 ? db_text(rows, 0) : NULL;
        return more > 0 ? sqlite3_column_int(rows, 1) : more;
}

/* One that has just gone, and what was under its own UIDL: a mailbox that is numbered back has both of one
 * message, and the other one would stand for another alarm. */
int fetched_left_came(struct database *db, const struct fetched_key *key, struct value digest,
                      struct cause *cause)
{
        if (db_run(db, cause,
                   "UPDATE seen SET told = 1 WHERE (place, uidvalidity, uid, uidl, generation) ="
                   " (SELECT place, uidvalidity, uid, uidl, generation FROM seen WHERE " LEFT_IS
                   " ORDER BY gone DESC, uidl, generation LIMIT 1)",
                   VALUES(LEFT_VALUES(key, digest))) < 0)
                return -1;
        return db_run(db, cause, "UPDATE seen SET told = 1 WHERE " SEEN_KEY_IS " AND gone = 1 AND told = 2",
                      VALUES(SEEN_KEY_VALUES(key)));
}

static struct inbox_row inbox_row_of(const struct fetched_record *record)
{
        const struct fetched_message *message = &record->message;

        return (struct inbox_row){ .file = (char *)(uintptr_t)message->file,
                                   .in_new = true,
                                   .received = message->received,
                                   .size = (int64_t)message->size,
                                   .folder = (char *)(uintptr_t)record->key.folder,
                                   .uid = record->key.uid,
                                   .line_ends = message->line_ends,
                                   .box = (char *)(uintptr_t)message->box,
                                   .from = (char *)(uintptr_t)message->from,
                                   .subject = (char *)(uintptr_t)message->subject,
                                   .date = (char *)(uintptr_t)message->date,
                                   .message_id = (char *)(uintptr_t)message->message_id };
}

/* Rows in inbox of those that were placed; numbers[] as seen.inbox has them. */
static int inbox_numbers(struct database *db, const struct fetched_record *records, size_t count,
                         struct value numbers[DB_MANY], struct cause *cause)
{
        struct inbox_row rows[DB_MANY];
        int64_t seqs[DB_MANY], seq;
        size_t placed = 0;

        for (size_t i = 0; i < count; i++)
                if (records[i].message.how == SEEN_PLACED)
                        rows[placed++] = inbox_row_of(&records[i]);
        if (placed && inbox_rows_put(db, records[0].key.account, rows, placed, seqs, cause) < 0)
                return -1;
        placed = 0;
        for (size_t i = 0; i < count; i++) {
                const struct fetched_message *message = &records[i].message;
                seq = message->how == SEEN_PLACED ? seqs[placed++] : 0;
                if (message->how == SEEN_KNOWN && message->file &&
                    inbox_row_number(db, records[i].key.account, message->file, &seq, cause) < 0)
                        return -1;
                numbers[i] = message->how == SEEN_NOTHING ? v_null() : v_int(seq);
        }
        return 0;
}

int fetched_place(struct database *db, const char *account, const char *folder, int64_t *place,
                  struct cause *cause)
{
        return db_number(db, cause, place, 0, "SELECT number FROM place WHERE account = ? AND folder = ?",
                         VALUES(v_text(account), v_text(folder)));
}

int fetched_make_place(struct database *db, const char *account, const char *folder, int64_t *place,
                       struct cause *cause)
{
        if (db_run(db, cause, "INSERT OR IGNORE INTO place (account, folder) VALUES (?, ?)",
                   VALUES(v_text(account), v_text(folder))) < 0)
                return -1;
        return fetched_place(db, account, folder, place, cause);
}

static bool goes_on(const struct fetched_record *record, const struct fetched_record *next)
{
        return next->key.uid == record->key.uid + 1 && next->key.uidvalidity == record->key.uidvalidity &&
               next->message.told == record->message.told;
}

/* Of IMAP: UIDs that follow each other at once. `again`: there are rows of some of them, and perhaps told
 * otherwise. */
static int record_untold(struct database *db, int64_t place, const struct fetched_record *records,
                         size_t count, bool again, struct cause *cause)
{
        for (size_t at = 0, next; at < count && !records[0].key.uidl[0]; at = next) {
                const struct fetched_key *key = &records[at].key;
                for (next = at + 1; next < count && goes_on(&records[next - 1], &records[next]); next++)
                        continue;
                uint32_t last = records[next - 1].key.uid;
                if (again && untold_end(db, place, key->uidvalidity, key->uid, last, cause) < 0)
                        return -1;
                if (records[at].message.told == SEEN_UNTOLD &&
                    untold_add(db, place, key->uidvalidity, key->uid, last, cause) < 0)
                        return -1;
        }
        return 0;
}

/* To replace a row SQLite must be able to undo that by itself, and copies each page that it changes: for the
 * few that are there already. */
static int record_some(struct database *db, int64_t place, const struct fetched_record *records, size_t count,
                       struct cause *cause)
{
        struct value numbers[DB_MANY], values[DB_MANY * SEEN_COLUMNS];
        size_t written;

        if (inbox_numbers(db, records, count, numbers, cause) < 0)
                return -1;
        for (size_t i = 0; i < count; i++) {
                const struct fetched_message *message = &records[i].message;
                const struct value row[SEEN_COLUMNS] = { v_int(place),
                                                         v_int((int64_t)records[i].key.uidvalidity),
                                                         v_int(records[i].key.uid),
                                                         v_text(records[i].key.uidl),
                                                         v_int(message->generation),
                                                         v_int(message->told),
                                                         numbers[i],
                                                         v_int((int64_t)message->size),
                                                         message->tag ? seen_tag(message->tag) : v_null(),
                                                         v_int((int64_t)message->left_size) };
                memcpy(&values[i * SEEN_COLUMNS], row, sizeof row);
        }
        if (db_insert(db, cause, "INSERT OR IGNORE" SEEN_INTO SEEN_ROW,
                      "INSERT OR IGNORE" SEEN_INTO DB_MANY_OF(SEEN_ROW), values, SEEN_COLUMNS, count,
                      &written) < 0)
                return -1;
        for (size_t i = 0; i < count && written < count; i++)
                if (db_run(db, cause, "INSERT OR REPLACE" SEEN_INTO SEEN_ROW, &values[i * SEEN_COLUMNS],
                           SEEN_COLUMNS) < 0)
                        return -1;
        return record_untold(db, place, records, count, written < count, cause);
}

int fetched_record(struct database *db, int64_t place, const struct fetched_record *records, size_t count,
                   struct cause *cause)
{
        for (size_t at = 0, some; at < count; at += some) {
                some = count - at < DB_MANY ? count - at : DB_MANY;
                if (record_some(db, place, &records[at], some, cause) < 0)
                        return -1;
        }
        return 0;
}

int fetched_tell_now(struct database *db, int64_t place, const struct fetched_key *key, struct cause *cause)
{
        if (key->uidl[0])
                return db_run(db, cause,
                              "UPDATE seen SET told = 0 WHERE " SEEN_KEY_IS " AND told = 2 AND gone = 0",
                              VALUES(SEEN_KEY_VALUES(key)));
        if (untold_end(db, place, key->uidvalidity, key->uid, key->uid, cause) < 0)
                return -1;
        return untold_add(db, place, key->uidvalidity, key->uid, key->uid, cause);
}

int fetched_move_cursor(struct database *db, const char *account, const char *folder, uint64_t uidvalidity,
                        uint32_t uid, struct cause *cause)
{
        return db_run(db, cause,
                      "INSERT INTO cursor (account, folder, uidvalidity, uid) VALUES (?, ?, ?, ?)"
                      " ON CONFLICT (account, folder) DO UPDATE SET"
                      " uid = CASE WHEN uidvalidity = excluded.uidvalidity THEN max(uid, excluded.uid)"
                      " ELSE excluded.uid END, uidvalidity = excluded.uidvalidity",
                      VALUES(v_text(account), v_text(folder), v_int((int64_t)uidvalidity), v_int(uid)));
}

/* ---- UIDLs that a POP3 server no longer has ------------------------------------------------- */

enum { ROWS_AT_ONCE = 1 << 12, GONE_AT_ONCE = ROWS_AT_ONCE };

struct prune {
        char *account;
        struct owner owner;
        struct uidl_set *set;
        bool untold_is_open; /* a known one that the server was not told of is to be looked at */
        enum uidls_gone gone_are;
        bool more;                                             /* rows */
        char last[sizeof((struct mailbox_entry *)NULL)->uidl]; /* UIDL of the last row gone through */
        struct mailbox_entry *gone;
        size_t gone_count;
        void (*done)(void *ctx, enum uidls_gone gone, const struct cause *cause);
        void *ctx;
        struct job sorting;
        struct store_read read;
        struct store_write write;
};

static void finished(struct prune *prune, const struct cause *cause)
{
        prune->done(prune->ctx, prune->gone_are, cause);
        free(prune->account);
        free(prune->gone);
        free(prune);
}

static void go_through(struct prune *prune, sqlite3_stmt *row)
{
        bool found_before = sqlite3_column_int(row, 1) == 2; /* by a poll that was cut off */
        bool told = sqlite3_column_int(row, 2) != SEEN_UNTOLD, was_left = sqlite3_column_int64(row, 3) > 0;
        bool is_there = sqlite3_column_int(row, 2) == SEEN_LEFT || was_left;

        (void)snprintf(prune->last, sizeof prune->last, "%s", (const char *)sqlite3_column_text(row, 0));
        if (found_before || !uidl_set_has(prune->set, prune->last)) {
                enum uidls_gone gone = is_there ? LEFT_GONE : SOME_GONE;
                prune->gone_are = gone > prune->gone_are ? gone : prune->gone_are;
                if (!found_before)
                        memcpy(prune->gone[prune->gone_count++].uidl, prune->last, sizeof prune->last);
        } else if (!was_left && (told || !prune->untold_is_open)) {
                uidl_set_note_known(prune->set, prune->last);
        }
}

static int prune_look(struct store_read *read, struct database *db, struct cause *cause)
{
        struct prune *prune = container_of(read, struct prune, read);
        size_t rows_seen = 0;
        int more = 0;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT uidl, gone, told, left_size FROM seen WHERE " SEEN_PLACE_IS
                         " AND uidvalidity = 0 AND uid = 0 AND uidl > ? AND gone <> 1 ORDER BY uidl",
                         VALUES(v_text(prune->account), v_text(""), v_text(prune->last)));

        prune->gone_count = 0;
        while (rows_seen < ROWS_AT_ONCE && (more = rows ? db_next(db, rows, cause) : -1) > 0) {
                go_through(prune, rows);
                rows_seen++;
        }
        prune->more = more > 0;
        return more < 0 ? -1 : 0;
}

static void look(struct prune *prune);

/* The next portion, if there is one; not when the daemon ends. */
static void go_on(struct prune *prune)
{
        struct cause closed;
        const struct cause *end = prune->more ? store_closed(&closed) : NULL;

        if (prune->more && !end)
                look(prune);
        else
                finished(prune, end);
}

/* A message's row stays, as no longer known, as long as its file: the same UIDL may come again for another
 * message, which needs another name. */
static int prune_work(struct store_write *write, struct database *db, struct cause *cause)
{
        const struct prune *prune = container_of(write, struct prune, write);

        for (size_t i = 0; i < prune->gone_count; i++) {
                struct fetched_key key = fetched_key_of(prune->account, "", 0, &prune->gone[i]);
                if (db_run(db, cause,
                           "UPDATE seen SET gone = 2, told = CASE WHEN left_size > 0 OR told = 2 THEN 2 ELSE "
                           "1 END"
                           " WHERE " SEEN_KEY_IS " AND gone = 0",
                           VALUES(SEEN_KEY_VALUES(&key))) < 0 ||
                    db_run(db, cause, "DELETE FROM seen WHERE " SEEN_KEY_IS " AND inbox IS NULL",
                           VALUES(SEEN_KEY_VALUES(&key))) < 0)
                        return -1;
        }
        return 0;
}

static void prune_done(struct store_write *write, const struct cause *cause)
{
        struct prune *prune = container_of(write, struct prune, write);

        if (cause)
                finished(prune, cause);
        else
                go_on(prune);
}

static void prune_looked(struct store_read *read, const struct cause *cause)
{
        struct prune *prune = container_of(read, struct prune, read);

        if (cause) {
                finished(prune, cause);
        } else if (!prune->gone_count) {
                go_on(prune);
        } else {
                prune->write = (struct store_write){ .owner = &prune->owner,
                                                     .write = prune_work,
                                                     .done = prune_done };
                store_write(&prune->write);
        }
}

static void look(struct prune *prune)
{
        prune->read = (struct store_read){ .read = prune_look, .done = prune_looked };
        store_read(&prune->read);
}

static void sort(struct job *job)
{
        uidl_set_sort(container_of(job, struct prune, sorting)->set);
}

static void sorted(struct job *job)
{
        look(container_of(job, struct prune, sorting));
}

void fetched_prune_uidls(const char *account, struct uidl_set *set, bool untold_is_open,
                         void (*done)(void *ctx, enum uidls_gone gone, const struct cause *cause), void *ctx)
{
        struct prune *prune = new_object(struct prune);

        prune->account = copy_text(account);
        prune->owner = owner_of(account);
        prune->set = set;
        prune->untold_is_open = untold_is_open;
        prune->gone = new_zeroed(GONE_AT_ONCE, sizeof *prune->gone);
        prune->done = done;
        prune->ctx = ctx;
        prune->sorting = (struct job){ .work = sort, .done = sorted };
        store_run_files(&prune->sorting); /* it may take seconds, and others read */
}
