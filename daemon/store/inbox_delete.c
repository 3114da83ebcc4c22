/* SPDX-License-Identifier: MIT */
/*
 * Deleting from inboxes; see inbox.h. A step: the reader chooses, the file pool removes the files and syncs,
 * the writer ends the rows. A kill in between leaves rows without files, which the next scan ends.
 */
#include "daemon/store/inbox.h"

#include "common/limits.h"
#include "daemon/store/box.h"
#include "daemon/store/disk.h"
#include "daemon/store/inbox_rows.h"
#include "daemon/store/inbox_scan.h"
#include "daemon/store/jobs.h"
#include "daemon/store/owner_rows.h"

#include <errno.h>

enum { STEP = 200 };

struct chosen {
        int64_t seq;
        char *name, *box;
        bool in_new;
        bool gone; /* its file is */
};

struct deletion {
        char *account;
        struct owner owner;
        char **ids; /* NULL: by `keeping` */
        size_t id_count, next_id;
        struct inbox_keeping keeping;
        bool bounded;                /* the last place is known */
        struct inbox_place at, last; /* looked at up to here; nothing after this goes */
        struct chosen chosen[STEP];
        size_t count;           /* of them */
        bool over;              /* they are the last ones */
        bool tentative;         /* whether there is anything to do is not known yet */
        bool checked;           /* every id names one message */
        size_t deleted, missed; /* missed: not where their rows say */
        struct cause failure;
        void (*done)(void *ctx, size_t count, const struct cause *cause);
        void *ctx;
        struct store_read read;
        struct store_write write;
        struct job job;
};

static void chosen_free(struct deletion *deletion)
{
        for (size_t i = 0; i < deletion->count; i++) {
                free(deletion->chosen[i].name);
                free(deletion->chosen[i].box);
        }
        deletion->count = 0;
}

static void deletion_end(struct deletion *deletion, const struct cause *cause)
{
        chosen_free(deletion);
        if (deletion->missed)
                inbox_doubt(deletion->account);
        deletion->done(deletion->ctx, deletion->deleted, cause);
        for (size_t i = 0; i < deletion->id_count; i++)
                free(deletion->ids[i]);
        free(deletion->ids);
        free(deletion->account);
        free(deletion);
}

/* ---- choosing; reader thread ---- */

static void choose(struct deletion *deletion, const struct inbox_row *row)
{
        deletion->chosen[deletion->count++] =
                (struct chosen){ .seq = row->seq,
                                 .in_new = row->in_new,
                                 .box = copy_text(row->box),
                                 .name = text_of("%s%s", row->file, row->suffix) };
}

/* All of them are scanned for before the first one goes. */
static int check_ids(struct deletion *deletion, struct database *db, struct cause *cause)
{
        int result = 0;

        for (size_t i = 0; i < deletion->id_count && result == 0; i++) {
                struct inbox_row row = { 0 };
                result = inbox_row_find(db, deletion->account, deletion->ids[i], &row, cause);
                if (result == 0) {
                        free(deletion->ids[i]);
                        deletion->ids[i] = copy_text(row.file);
                }
                inbox_row_done(&row);
        }
        deletion->checked = true;
        return result;
}

static int choose_ids(struct deletion *deletion, struct database *db, struct cause *cause)
{
        if (!deletion->checked && check_ids(deletion, db, cause) < 0)
                return -1;
        while (deletion->count < STEP && deletion->next_id < deletion->id_count) {
                const char *file = deletion->ids[deletion->next_id++];
                struct inbox_row row = { 0 };
                int64_t id = inbox_id(file);
                int count = inbox_row_of_id(db, deletion->account, id, id, &row, cause);
                if (count == 1)
                        choose(deletion, &row);
                inbox_row_done(&row);
                if (count < 0)
                        return -1;
        }
        deletion->over = deletion->next_id == deletion->id_count;
        return 0;
}

/* The newest message that goes. */
static int find_last(struct deletion *deletion, struct database *db, struct cause *cause)
{
        const struct inbox_keeping *keeping = &deletion->keeping;
        int64_t count = 0;

        deletion->bounded = true;
        deletion->last = (struct inbox_place){ keeping->before - 1, INT64_MAX };
        if (!keeping->most || inbox_row_count(db, deletion->account, &count, cause) < 0)
                return keeping->most ? -1 : 0;
        if (count <= keeping->most)
                return 0;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT received, seq FROM inbox WHERE account = ? ORDER BY received, seq LIMIT 1 OFFSET ?",
                VALUES(v_text(deletion->account), v_int(count - keeping->most - 1)));
        int more = rows ? db_next(db, rows, cause) : -1;
        if (more > 0 && (!keeping->before || sqlite3_column_int64(rows, 0) >= keeping->before))
                deletion->last =
                        (struct inbox_place){ sqlite3_column_int64(rows, 0), sqlite3_column_int64(rows, 1) };
        return more < 0 ? -1 : 0;
}

/* What is offered to a named subscriber waits until it is acknowledged, or has been dropped by the bound of
 * offers. */
#define OLDEST \
        "SELECT " INBOX_COLUMNS " FROM inbox WHERE account = ?1 AND (received, seq) > (?2, ?3)" \
        " AND (received, seq) <= (?4, ?5)" \
        " AND printf('%012x', id) NOT IN (SELECT json_extract(data, '$.id') FROM offer WHERE account = ?1)" \
        " ORDER BY received, seq LIMIT ?6"

static int choose_oldest(struct deletion *deletion, struct database *db, struct cause *cause)
{
        int more = 0;

        if (!deletion->bounded && find_last(deletion, db, cause) < 0)
                return -1;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause, OLDEST,
                VALUES(v_text(deletion->account), v_int(deletion->at.received), v_int(deletion->at.seq),
                       v_int(deletion->last.received), v_int(deletion->last.seq), v_int(STEP)));
        while (deletion->count < STEP && (more = rows ? db_next(db, rows, cause) : -1) > 0) {
                struct inbox_row row;
                inbox_row_take(&row, rows);
                deletion->at = (struct inbox_place){ row.received, row.seq };
                choose(deletion, &row);
                inbox_row_done(&row);
        }
        deletion->over = deletion->count < STEP;
        return more < 0 ? -1 : 0;
}

static int choose_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct deletion *deletion = container_of(read, struct deletion, read);

        return deletion->ids ? choose_ids(deletion, db, cause) : choose_oldest(deletion, db, cause);
}

/* ---- the files; file pool ---- */

/* -1 with errno: the disk fails. */
static int remove_file_of(struct deletion *deletion, const struct maildir *maildir, struct chosen *one)
{
        one->gone = disk_unlink(one->in_new ? maildir->new : maildir->cur, one->name) == 0;
        if (!one->gone && errno == ENOENT)
                deletion->missed++; /* a mail reader was faster: the next scan tells where it is */
        return one->gone || errno == ENOENT ? 0 : -1;
}

static int remove_all(struct deletion *deletion, struct box_entered *at)
{
        for (size_t i = 0; i < deletion->count; i++) {
                struct chosen *one = &deletion->chosen[i];
                int there = box_enter(at, deletion->account, one->box, false, &deletion->failure);
                if (there < 0)
                        return -1;
                if (there == 0)
                        deletion->missed++;
                else if (remove_file_of(deletion, &at->maildir, one) < 0)
                        return cause_errno(&deletion->failure, errno, "cannot delete received mail of %s",
                                           deletion->account);
        }
        return box_leave(at, &deletion->failure);
}

static void remove_work(struct job *job)
{
        struct deletion *deletion = container_of(job, struct deletion, job);
        scoped(box_drop) struct box_entered at = BOX_NONE;

        (void)remove_all(deletion, &at);
        if (cause_happened(&deletion->failure))
                inbox_doubt(deletion->account);
}

/* ---- the rows ---- */

static int end_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct deletion *deletion = container_of(write, struct deletion, write);

        for (size_t i = 0; i < deletion->count; i++)
                if (deletion->chosen[i].gone && inbox_row_end(db, deletion->chosen[i].seq, cause) < 0)
                        return -1;
        return 0;
}

static void next_step(struct deletion *deletion);

static void ended(struct store_write *write, const struct cause *cause)
{
        struct deletion *deletion = container_of(write, struct deletion, write);

        for (size_t i = 0; i < deletion->count; i++)
                deletion->deleted += deletion->chosen[i].gone;
        chosen_free(deletion);
        if (cause)
                inbox_doubt(deletion->account);
        if (cause || deletion->failure.code != CAUSE_NONE)
                deletion_end(deletion, cause ? cause : &deletion->failure);
        else if (deletion->over || store_closing())
                deletion_end(deletion, NULL);
        else
                next_step(deletion);
}

static void removed(struct job *job)
{
        struct deletion *deletion = container_of(job, struct deletion, job);

        deletion->write = (struct store_write){ .owner = &deletion->owner, .write = end_work, .done = ended };
        store_write(&deletion->write);
}

static void scanned(void *ctx)
{
        next_step(ctx);
}

static void look_first(struct deletion *deletion)
{
        deletion->tentative = deletion->bounded = false;
        deletion->at = (struct inbox_place){ INT64_MIN, 0 };
        inbox_scan(deletion->account, false, scanned, deletion);
}

static void chose(struct store_read *read, const struct cause *cause)
{
        struct deletion *deletion = container_of(read, struct deletion, read);

        if (cause || deletion->count == 0) {
                deletion_end(deletion, cause);
                return;
        }
        if (deletion->tentative) {
                chosen_free(deletion);
                look_first(deletion);
                return;
        }
        deletion->job = (struct job){ .work = remove_work, .done = removed };
        store_run_files(&deletion->job);
}

static void next_step(struct deletion *deletion)
{
        deletion->read = (struct store_read){ .read = choose_work, .done = chose };
        store_read(&deletion->read);
}

static void begin(const char *account, struct deletion *deletion)
{
        deletion->account = copy_text(account);
        deletion->owner = owner_of(account);
        deletion->at = (struct inbox_place){ INT64_MIN, 0 };
        if (deletion->tentative)
                next_step(deletion);
        else
                look_first(deletion);
}

void inbox_delete(const char *account, const char *const *ids, size_t id_count,
                  void (*done)(void *ctx, size_t count, const struct cause *cause), void *ctx)
{
        struct deletion *deletion = new_object(struct deletion);

        *deletion = (struct deletion){ .ids = new_zeroed(id_count + 1, sizeof *deletion->ids),
                                       .id_count = id_count,
                                       .done = done,
                                       .ctx = ctx };
        for (size_t i = 0; i < id_count; i++)
                deletion->ids[i] = copy_text(ids[i]);
        begin(account, deletion);
}

void inbox_keep(const char *account, const struct inbox_keeping *keeping,
                void (*done)(void *ctx, size_t count, const struct cause *cause), void *ctx)
{
        struct deletion *deletion = new_object(struct deletion);

        *deletion = (struct deletion){
                .keeping = *keeping, .tentative = !keeping->look, .done = done, .ctx = ctx
        };
        begin(account, deletion);
}
