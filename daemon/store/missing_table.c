/* SPDX-License-Identifier: MIT */
/*
 * Messages that a server lists and does not hand out; see missing_table.h.
 *
 * A row is written before the cursor passes its message: a daemon that is killed does not forget it. States
 * go one way: SUSPECTED (a session broke over it, once), TOLD (certain: journal, event, status), GIVEN_UP (by
 * a person). A row ends when the message came, was no longer listed, or its account went.
 */
#include "daemon/store/missing_table.h"
#include "daemon/store/kept.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/store/jobs.h"
#include "daemon/store/missing_rows.h"
#include "daemon/store/owner_rows.h"

#include <stdio.h>

/* Servers that gather a message from elsewhere have it in a minute; one that is damaged stays so for days. */
int64_t missing_pause(unsigned tries)
{
        static const int64_t minutes[] = { 1, 5, 15, 60, 4 * 60, 24 * 60 };
        size_t last = count_of(minutes) - 1, index = tries ? tries - 1 : 0;

        return 60 * minutes[index < last ? index : last];
}

/* The second half: a clock that was set back must not make it wait for years. */
bool missing_is_due(const struct missing *message, time_t now)
{
        return message->next <= now || message->next - now > missing_pause(message->tries);
}

/* ---- rows ---- */

/* Texts are copied with their bounds: the row may be of a damaged database. */
static struct missing row_of(sqlite3_stmt *rows)
{
        struct missing one = { .entry = { .uid = (uint32_t)sqlite3_column_int64(rows, 0),
                                          .size = (uint64_t)sqlite3_column_int64(rows, 2),
                                          .missing = true },
                               .first = sqlite3_column_int64(rows, 3),
                               .next = sqlite3_column_int64(rows, 4),
                               .tries = (unsigned)sqlite3_column_int64(rows, 5),
                               .state = (enum missing_state)sqlite3_column_int(rows, 6) };

        (void)snprintf(one.entry.uidl, sizeof one.entry.uidl, "%s",
                       (const char *)sqlite3_column_text(rows, 1));
        (void)snprintf(one.text, sizeof one.text, "%s", (const char *)sqlite3_column_text(rows, 7));
        return one;
}

#define COLUMNS "uid, uidl, size, first, next, tries, state, cause"

/* By which people name one: its UIDL, its UID in INBOX, or "FOLDER/UID". */
#define ID_IS \
        "CASE WHEN uidl <> '' THEN uidl WHEN folder = 'INBOX' THEN CAST(uid AS TEXT) ELSE folder || '/' || " \
        "uid END"

int missing_read(struct database *db, const char *account, const char *folder, uint64_t uidvalidity,
                 struct missing **out_messages, size_t *out_count, struct cause *cause)
{
        int more;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT " COLUMNS " FROM missing WHERE account = ? AND folder = ? AND uidvalidity = ?"
                " ORDER BY uid, uidl",
                VALUES(v_text(account), v_text(folder), v_int((int64_t)uidvalidity)));

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                if ((*out_count & (*out_count - 1)) == 0)
                        *out_messages = new_resized(*out_messages, *out_count ? 2 * *out_count : 1,
                                                    sizeof **out_messages);
                (*out_messages)[(*out_count)++] = row_of(rows);
        }
        return more;
}

int missing_end_row(struct database *db, const struct fetched_key *key, struct cause *cause)
{
        return db_run(db, cause, "DELETE FROM missing WHERE " MISSING_KEY_IS, VALUES(SEEN_KEY_VALUES(key)));
}

/* ---- one object for all that is asked here ---- */

struct asked {
        char *account, *folder, *id;
        struct owner owner;
        uint64_t uidvalidity;
        time_t now;
        struct missing *given; /* to be noted; NULL: nothing is */
        struct missing *messages;
        size_t count;
        int64_t told; /* of the account, after the write */
        json_t *list;
        void (*on_noted)(void *ctx, const struct missing *messages, size_t count, const struct cause *cause);
        void (*on_done)(void *ctx, const struct cause *cause);
        void (*on_listed)(void *ctx, json_t *messages, const struct cause *cause);
        void (*on_forgotten)(void *ctx, size_t count, const struct cause *cause);
        void *ctx;
        struct store_read read;
        struct store_write write;
};

static struct asked *asked_new(const char *account, const char *folder, uint64_t uidvalidity, size_t count)
{
        struct asked *asked = new_object(struct asked);

        asked->account = copy_text(account);
        asked->owner = owner_of(account);
        asked->folder = copy_text(folder);
        asked->uidvalidity = uidvalidity;
        asked->now = loop_wall();
        asked->messages = new_zeroed(count + 1, sizeof *asked->messages);
        asked->count = count;
        return asked;
}

static void asked_free(struct asked *asked)
{
        free(asked->account);
        free(asked->folder);
        free(asked->id);
        free(asked->given);
        free(asked->messages);
        json_decref(asked->list);
        free(asked);
}

static struct fetched_key key_of(const struct asked *asked, const struct mailbox_entry *entry)
{
        return fetched_key_of(asked->account, asked->folder, asked->uidvalidity, entry);
}

/* In the same transaction, so that the number shown is the number of rows. */
static int count_told(struct asked *asked, struct database *db, struct cause *cause)
{
        return db_number(db, cause, &asked->told, 0,
                         "SELECT count(*) FROM missing WHERE account = ? AND state = ?",
                         VALUES(v_text(asked->account), v_int(MISSING_TOLD)));
}

static void written(struct store_write *write, const struct cause *cause)
{
        struct asked *asked = container_of(write, struct asked, write);

        if (!cause && asked->told != kept_number(asked->account, KEPT_MISSING))
                kept_set_number(asked->account, KEPT_MISSING, asked->told);
        if (asked->on_noted)
                asked->on_noted(asked->ctx, asked->messages, cause ? 0 : asked->count, cause);
        if (asked->on_done)
                asked->on_done(asked->ctx, cause);
        if (asked->on_forgotten)
                asked->on_forgotten(asked->ctx, asked->count, cause);
        asked_free(asked);
}

/* note_one() changes the messages in place: a run that is repeated begins with what was given. */
static void forget_noted(struct store_write *write)
{
        struct asked *asked = container_of(write, struct asked, write);

        if (asked->given)
                memcpy(asked->messages, asked->given, asked->count * sizeof *asked->given);
}

static void write_it(struct asked *asked,
                     int (*work)(struct store_write *write, struct database *db, struct cause *cause))
{
        asked->write = (struct store_write){
                .owner = &asked->owner, .write = work, .forget = forget_noted, .done = written
        };
        store_write(&asked->write);
}

/* 1 = the row was there, and *row is as it is; 0 = not. */
static int find(struct database *db, const struct fetched_key *key, struct missing *row, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT " COLUMNS " FROM missing WHERE " MISSING_KEY_IS,
                         VALUES(SEEN_KEY_VALUES(key)));
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more > 0)
                *row = row_of(rows);
        return more;
}

static int put(struct database *db, const struct fetched_key *key, const struct missing *row,
               struct cause *cause)
{
        return db_run(db, cause,
                      "INSERT OR REPLACE INTO missing (account, folder, uidvalidity, uid, uidl, size, first, "
                      "next, tries,"
                      " state, cause) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                      VALUES(SEEN_KEY_VALUES(key), v_int((int64_t)row->entry.size), v_int(row->first),
                             v_int(row->next), v_int(row->tries), v_int(row->state), v_text(row->text)));
}

/* ---- tries ---- */

/* A try that missing_begin has counted is not counted twice. */
static int note_one(struct asked *asked, struct missing *message, struct database *db, struct cause *cause)
{
        struct fetched_key key = key_of(asked, &message->entry);
        struct missing row;
        int found = find(db, &key, &row, cause);

        if (found < 0)
                return -1;
        enum missing_state before = found ? row.state : MISSING_SUSPECTED;
        message->first = found ? row.first : asked->now;
        message->tries = !found ? 1 : message->entry.missing ? row.tries : row.tries + 1;
        if (before > message->state)
                message->state = before;
        else if (message->tries > 1 && message->state == MISSING_SUSPECTED)
                message->state = MISSING_TOLD;
        message->fresh = message->state == MISSING_TOLD && before == MISSING_SUSPECTED;
        message->next =
                asked->now + (message->state == MISSING_SUSPECTED ? 0 : missing_pause(message->tries));
        return put(db, &key, message, cause);
}

static int note_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct asked *asked = container_of(write, struct asked, write);

        for (size_t i = 0; i < asked->count; i++)
                if (note_one(asked, &asked->messages[i], db, cause) < 0)
                        return -1;
        return count_told(asked, db, cause);
}

void missing_note(const char *account, const char *folder, uint64_t uidvalidity,
                  const struct missing *messages, size_t count,
                  void (*done)(void *ctx, const struct missing *messages, size_t count,
                               const struct cause *cause),
                  void *ctx)
{
        struct asked *asked = asked_new(account, folder, uidvalidity, count);

        asked->given = new_zeroed(count + 1, sizeof *messages);
        memcpy(asked->given, messages, count * sizeof *messages);
        asked->on_noted = done;
        asked->ctx = ctx;
        write_it(asked, note_work);
}

static int begin_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct asked *asked = container_of(write, struct asked, write);
        struct fetched_key key = key_of(asked, &asked->messages[0].entry);
        struct missing row;
        int found = find(db, &key, &row, cause);

        if (found < 0)
                return -1;
        if (found) {
                row.tries++;
                row.next = asked->now + missing_pause(row.tries);
        }
        return (found && put(db, &key, &row, cause) < 0) ? -1 : count_told(asked, db, cause);
}

void missing_begin(const char *account, const char *folder, uint64_t uidvalidity,
                   const struct mailbox_entry *entry, void (*done)(void *ctx, const struct cause *cause),
                   void *ctx)
{
        struct asked *asked = asked_new(account, folder, uidvalidity, 1);

        asked->messages[0].entry = *entry;
        asked->on_done = done;
        asked->ctx = ctx;
        write_it(asked, begin_work);
}

static int end_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct asked *asked = container_of(write, struct asked, write);

        for (size_t i = 0; i < asked->count; i++) {
                struct fetched_key key = key_of(asked, &asked->messages[i].entry);
                if (missing_end_row(db, &key, cause) < 0)
                        return -1;
        }
        /* those of a folder that was numbered anew were compared by content, or have gone */
        if (asked->uidvalidity &&
            db_run(db, cause, "DELETE FROM missing WHERE account = ? AND folder = ? AND uidvalidity <> ?",
                   VALUES(v_text(asked->account), v_text(asked->folder),
                          v_int((int64_t)asked->uidvalidity))) < 0)
                return -1;
        return count_told(asked, db, cause);
}

void missing_end(const char *account, const char *folder, uint64_t uidvalidity,
                 const struct mailbox_entry *entries, size_t count)
{
        struct asked *asked = asked_new(account, folder, uidvalidity, count);

        for (size_t i = 0; i < count; i++)
                asked->messages[i].entry = entries[i];
        write_it(asked, end_work);
}

/* ---- for people ---- */

static json_t *one_json(const struct missing *row, const char *folder, const char *id)
{
        json_t *object = json_object();

        json_put_text(object, "id", id);
        json_put_text(object, "folder", folder);
        json_put(object, "size", row->entry.size ? json_integer((json_int_t)row->entry.size) : json_null());
        json_put_time(object, "since", row->first);
        json_put(object, "tries", json_integer(row->tries));
        json_put_time(object, "next", row->next);
        json_put_text(object, "cause", row->text);
        return object;
}

static int list_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct asked *asked = container_of(read, struct asked, read);
        int more;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT " COLUMNS ", folder, " ID_IS
                         " FROM missing WHERE account = ? AND state = ? ORDER BY first, uid"
                         " LIMIT ?",
                         VALUES(v_text(asked->account), v_int(MISSING_TOLD), v_int(LIMIT_MISSING)));

        asked->list = json_array();
        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                struct missing row = row_of(rows);
                (void)json_array_append_new(asked->list,
                                            one_json(&row, (const char *)sqlite3_column_text(rows, 8),
                                                     (const char *)sqlite3_column_text(rows, 9)));
        }
        return more;
}

static void listed(struct store_read *read, const struct cause *cause)
{
        struct asked *asked = container_of(read, struct asked, read);

        asked->on_listed(asked->ctx, cause ? NULL : asked->list, cause);
        asked_free(asked);
}

void missing_list(const char *account, void (*done)(void *ctx, json_t *messages, const struct cause *cause),
                  void *ctx)
{
        struct asked *asked = asked_new(account, "", 0, 0);

        asked->on_listed = done;
        asked->ctx = ctx;
        asked->read = (struct store_read){ .read = list_work, .done = listed };
        store_read(&asked->read);
}

static int forget_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct asked *asked = container_of(write, struct asked, write);

        if (db_run(db, cause,
                   "UPDATE missing SET state = ? WHERE account = ? AND state = ? AND (? = '' OR ? = " ID_IS
                   ")",
                   VALUES(v_int(MISSING_GIVEN_UP), v_text(asked->account), v_int(MISSING_TOLD),
                          v_text(asked->id), v_text(asked->id))) < 0)
                return -1;
        asked->count = (size_t)db_changes(db);
        return count_told(asked, db, cause);
}

void missing_forget(const char *account, const char *id,
                    void (*done)(void *ctx, size_t count, const struct cause *cause), void *ctx)
{
        struct asked *asked = asked_new(account, "", 0, 0);

        asked->id = copy_text(id);
        asked->on_forgotten = done;
        asked->ctx = ctx;
        write_it(asked, forget_work);
}
