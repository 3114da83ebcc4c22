/* SPDX-License-Identifier: MIT */
/* Rows of received messages and cursors; see seen_rows.h. */
#include "daemon/store/seen_rows.h"

struct seen_key seen_key_of(const char *account, const char *folder, uint64_t uidvalidity,
                            const struct mailbox_entry *entry)
{
        bool pop3 = entry->uidl[0] != '\0';

        return (struct seen_key){ .account = account, .folder = folder, .uidvalidity = pop3 ? 0 : uidvalidity,
                                  .uid = pop3 ? 0 : entry->uid, .uidl = entry->uidl };
}

int seen_find(struct database *db, const struct seen_key *key, struct seen_row *row, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT generation, gone, told, file, left_size FROM received WHERE " SEEN_KEY_IS
                         " ORDER BY generation DESC LIMIT 1",
                         VALUES(SEEN_KEY_VALUES(key)));
        int more = rows ? db_next(db, rows, cause) : -1;

        *row = (struct seen_row){ 0 };
        if (more <= 0)
                return more;
        row->known = sqlite3_column_int(rows, 1) == 0;
        row->generation = sqlite3_column_int64(rows, 0) + !row->known;
        row->told = sqlite3_column_int(rows, 2) != 0;
        row->left_size = row->known ? (uint64_t)sqlite3_column_int64(rows, 4) : 0;
        row->file = row->known ? db_text(rows, 3) : NULL;
        return 0;
}

int seen_find_copy(struct database *db, const struct seen_key *key, const uint8_t digest[32], char **file,
                   struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT file FROM received WHERE " SEEN_KEY_IS
                         " AND gone = 0 AND (digest = ? OR digest IS NULL) LIMIT 1",
                         VALUES(SEEN_KEY_VALUES(key), v_bytes(digest, 32)));
        int more = rows ? db_next(db, rows, cause) : -1;

        *file = more > 0 ? db_text(rows, 0) : NULL;
        return more;
}

int seen_count(struct database *db, const struct seen_key *key, size_t *count, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT count(*), count(digest) FROM received WHERE " SEEN_KEY_IS " AND gone = 0",
                         VALUES(SEEN_KEY_VALUES(key)));
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more <= 0)
                return -1;
        bool skipped = sqlite3_column_int64(rows, 1) < sqlite3_column_int64(rows, 0);
        *count = skipped ? SIZE_MAX : (size_t)sqlite3_column_int64(rows, 0);
        return 0;
}

int seen_find_digest(struct database *db, const struct seen_key *key, const uint8_t digest[32], char **file,
                     struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT file FROM received WHERE digest = ? AND account = ? AND folder = ?"
                         " AND CASE WHEN uidl = '' THEN uidvalidity <> ? ELSE gone = 2 END AND file IS NOT NULL LIMIT 1",
                         VALUES(v_bytes(digest, 32), v_text(key->account), v_text(key->folder),
                                v_int((int64_t)key->uidvalidity)));
        int more = rows ? db_next(db, rows, cause) : -1;

        *file = more > 0 ? db_text(rows, 0) : NULL;
        return more < 0 ? -1 : 0;
}

int seen_record(struct database *db, const struct seen_key *key, const struct seen_message *message,
                struct cause *cause)
{
        return db_run(
                db, cause,
                "INSERT OR REPLACE INTO received (account, folder, uidvalidity, uid, uidl, generation, told,"
                " received, file, size, digest, sender, subject, date, message_id, left_size)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                VALUES(SEEN_KEY_VALUES(key), v_int(message->generation), v_int(message->told),
                       v_int(message->received), v_text(message->file), v_int((int64_t)message->size),
                       message->digest ? v_bytes(message->digest, 32) : v_null(), v_text(message->from),
                       v_text(message->subject), v_text(message->date), v_text(message->message_id),
                       v_int((int64_t)message->left_size)));
}

int seen_move_cursor(struct database *db, const char *account, const char *folder, uint64_t uidvalidity,
                     uint32_t uid, struct cause *cause)
{
        return db_run(db, cause,
                      "INSERT INTO cursor (account, folder, uidvalidity, uid) VALUES (?, ?, ?, ?)"
                      " ON CONFLICT (account, folder) DO UPDATE SET"
                      " uid = CASE WHEN uidvalidity = excluded.uidvalidity THEN max(uid, excluded.uid)"
                      " ELSE excluded.uid END, uidvalidity = excluded.uidvalidity",
                      VALUES(v_text(account), v_text(folder), v_int((int64_t)uidvalidity), v_int(uid)));
}
