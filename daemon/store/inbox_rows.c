/* SPDX-License-Identifier: MIT */
/* Rows of files in Maildirs; see inbox_rows.h. */
#include "daemon/store/inbox_rows.h"

void inbox_row_done(struct inbox_row *row)
{
        free(row->file);
        free(row->suffix);
        free(row->folder);
        free(row->box);
        free(row->from);
        free(row->subject);
        free(row->date);
        free(row->message_id);
        *row = (struct inbox_row){ 0 };
}

void inbox_row_take(struct inbox_row *row, sqlite3_stmt *rows)
{
        *row = (struct inbox_row){ .seq = sqlite3_column_int64(rows, 0),
                                   .file = db_text(rows, 1),
                                   .suffix = db_text(rows, 2),
                                   .in_new = sqlite3_column_int(rows, 3) != 0,
                                   .received = sqlite3_column_int64(rows, 4),
                                   .size = sqlite3_column_int64(rows, 5),
                                   .folder = db_text(rows, 6),
                                   .uid = sqlite3_column_int64(rows, 7),
                                   .from = db_text(rows, 8),
                                   .subject = db_text(rows, 9),
                                   .date = db_text(rows, 10),
                                   .message_id = db_text(rows, 11),
                                   .line_ends = (enum line_ends)sqlite3_column_int(rows, 12),
                                   .box = db_text(rows, 13) };
}

/* 48 bits of a digest may be those of two files, so the name decides. */
static int number_of(struct database *db, const char *account, const char *file, int64_t id, int64_t *seq,
                     struct cause *cause)
{
        return db_number(db, cause, seq, 0, "SELECT seq FROM inbox WHERE account = ? AND id = ? AND file = ?",
                         VALUES(v_text(account), v_int(id), v_text(file)));
}

int inbox_row_number(struct database *db, const char *account, const char *file, int64_t *seq,
                     struct cause *cause)
{
        return number_of(db, account, file, inbox_id(file), seq, cause);
}

/* ---- new ones ---- */

#define FRESH_INTO \
        "INSERT INTO inbox (account, id, file, suffix, in_new, received, size, folder, uid, sender, " \
        "subject," \
        " date, message_id, line_ends, box) VALUES "
#define FRESH_ROW "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
enum { FRESH_COLUMNS = 15 };

/* Gathered, until they are as many as one statement writes. */
struct fresh {
        const char *account;
        size_t count;
        int64_t ids[DB_MANY], *seqs[DB_MANY]; /* where their numbers go */
        struct value values[DB_MANY * FRESH_COLUMNS];
};

static bool fresh_has(const struct fresh *fresh, int64_t id)
{
        for (size_t i = 0; i < fresh->count; i++)
                if (fresh->ids[i] == id)
                        return true;
        return false;
}

static void fresh_add(struct fresh *fresh, const struct inbox_row *row, int64_t id, int64_t *seq)
{
        const struct value values[FRESH_COLUMNS] = { v_text(fresh->account),
                                                     v_int(id),
                                                     v_text(row->file),
                                                     v_text(row->suffix ? row->suffix : ""),
                                                     v_int(row->in_new),
                                                     v_int(row->received),
                                                     v_int(row->size),
                                                     v_text(row->folder ? row->folder : ""),
                                                     v_int(row->uid),
                                                     v_text(row->from),
                                                     v_text(row->subject),
                                                     v_text(row->date),
                                                     v_text(row->message_id),
                                                     v_int(row->line_ends),
                                                     v_text(row->box ? row->box : "") };

        memcpy(&fresh->values[fresh->count * FRESH_COLUMNS], values, sizeof values);
        fresh->ids[fresh->count] = id;
        fresh->seqs[fresh->count++] = seq;
}

/* AUTOINCREMENT: each has the number that follows that of the one before it. */
static int fresh_write(struct database *db, struct fresh *fresh, struct cause *cause)
{
        size_t count = fresh->count, written;

        fresh->count = 0;
        if (!count)
                return 0;
        if (db_insert(db, cause, FRESH_INTO FRESH_ROW, FRESH_INTO DB_MANY_OF(FRESH_ROW), fresh->values,
                      FRESH_COLUMNS, count, &written) < 0)
                return -1;
        int64_t last = db_last_id(db);
        for (size_t i = 0; i < count; i++)
                *fresh->seqs[i] = last - (int64_t)(count - 1 - i);
        return db_run(db, cause,
                      "INSERT INTO box VALUES (?, ?) ON CONFLICT (account) DO UPDATE SET"
                      " messages = messages + excluded.messages",
                      VALUES(v_text(fresh->account), v_int((int64_t)count)));
}

static int update(struct database *db, const struct inbox_row *row, int64_t seq, struct cause *cause)
{
        return db_run(db, cause,
                      "UPDATE inbox SET received = ?, size = ?, folder = ?, uid = ?, sender = ?, subject = ?,"
                      " date = ?, message_id = ?, line_ends = ?, box = ? WHERE seq = ?",
                      VALUES(v_int(row->received), v_int(row->size), v_text(row->folder), v_int(row->uid),
                             v_text(row->from), v_text(row->subject), v_text(row->date),
                             v_text(row->message_id), v_int(row->line_ends), v_text(row->box ? row->box : ""),
                             v_int(seq)));
}

/* What is gathered may be of the same file, so it is written before its row is looked for. */
int inbox_rows_put(struct database *db, const char *account, const struct inbox_row *rows, size_t count,
                   int64_t *seqs, struct cause *cause)
{
        struct fresh fresh = { .account = account, .count = 0 };

        for (size_t i = 0; i < count; i++) {
                int64_t id = inbox_id(rows[i].file);
                if ((fresh.count == DB_MANY || fresh_has(&fresh, id)) && fresh_write(db, &fresh, cause) < 0)
                        return -1;
                if (number_of(db, account, rows[i].file, id, &seqs[i], cause) < 0)
                        return -1;
                if (!seqs[i])
                        fresh_add(&fresh, &rows[i], id, &seqs[i]);
                else if (update(db, &rows[i], seqs[i], cause) < 0)
                        return -1;
        }
        return fresh_write(db, &fresh, cause);
}

int inbox_row_add(struct database *db, const char *account, const struct inbox_row *row, struct cause *cause)
{
        struct fresh fresh = { .account = account, .count = 0 };
        int64_t id = inbox_id(row->file), seq;

        if (number_of(db, account, row->file, id, &seq, cause) < 0)
                return -1;
        if (!seq)
                fresh_add(&fresh, row, id, &seq);
        return fresh_write(db, &fresh, cause);
}

/* ---- those that are there ---- */

int inbox_row_move(struct database *db, const struct inbox_row *row, struct cause *cause)
{
        return db_run(db, cause, "UPDATE inbox SET suffix = ?, in_new = ? WHERE seq = ?",
                      VALUES(v_text(row->suffix ? row->suffix : ""), v_int(row->in_new), v_int(row->seq)));
}

int inbox_row_end(struct database *db, int64_t seq, struct cause *cause)
{
        if (db_run(db, cause, "DELETE FROM seen WHERE inbox = ? AND gone = 1", VALUES(v_int(seq))) < 0)
                return -1;
        return db_run(db, cause, "DELETE FROM inbox WHERE seq = ?", VALUES(v_int(seq)));
}

/* Two are enough to know that the beginning of an id names several. */
int inbox_row_of_id(struct database *db, const char *account, int64_t first, int64_t last,
                    struct inbox_row *row, struct cause *cause)
{
        int more, count = 0;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT " INBOX_COLUMNS " FROM inbox WHERE account = ? AND id BETWEEN ? AND ? LIMIT 2",
                VALUES(v_text(account), v_int(first), v_int(last)));

        *row = (struct inbox_row){ 0 };
        while ((more = rows ? db_next(db, rows, cause) : -1) > 0)
                if (count++ == 0)
                        inbox_row_take(row, rows);
        if (more < 0)
                inbox_row_done(row);
        return more < 0 ? -1 : count;
}

int inbox_row_find(struct database *db, const char *account, const char *id, struct inbox_row *row,
                   struct cause *cause)
{
        int64_t first, last;
        int count = inbox_id_range(id, &first, &last) < 0
                            ? 0
                            : inbox_row_of_id(db, account, first, last, row, cause);

        if (count == 0) {
                (void)cause_set(cause, CAUSE_NOT_FOUND, "there is no message %s in the inbox of %s", id,
                                account);
                cause_remedy(cause, "emailsecctl inbox list %s", account);
                return -1;
        }
        if (count > 1)
                return cause_set(cause, CAUSE_AMBIGUOUS, "several messages of %s have ids that begin with %s",
                                 account, id);
        return count < 0 ? -1 : 0;
}

/* They are counted as they come and go: to count those of a large mailbox takes as long as to read its index.
 */
int inbox_row_count(struct database *db, const char *account, int64_t *count, struct cause *cause)
{
        return db_number(db, cause, count, 0, "SELECT messages FROM box WHERE account = ?",
                         VALUES(v_text(account)));
}
