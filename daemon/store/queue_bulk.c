/* SPDX-License-Identifier: MIT */
/*
 * Passes over many messages: all due now, expiry, sweeping. Each goes in bounded steps, one job of the
 * group commit after the other, so that a long queue never holds up a submission.
 */
#include "common/json_fields.h"
#include "common/times.h"
#include "daemon/store/queue_body.h"
#include "daemon/store/queue_notice.h"

#include <stdio.h>

enum { STEP = 500 };

struct pass {
        char *account;
        int64_t clock; /* expire: the account's; sweep: the wall time before which */
        time_t now;
        bool more;                  /* the step found as many as it looked for */
        size_t count;               /* changed by steps that were committed */
        size_t step_count;          /* by the present one */
        json_t *items, *step_items; /* expire: the same as [{id, account}] */
        struct notice_rules notice; /* expire */
        void (*counted)(void *ctx, size_t count, const struct cause *cause);
        void (*listed)(void *ctx, json_t *items, const struct cause *cause);
        void *ctx;
        struct store_write write;
};

static void pass_end(struct pass *pass, const struct cause *cause)
{
        if (pass->counted)
                pass->counted(pass->ctx, pass->count, cause);
        if (pass->listed)
                pass->listed(pass->ctx, pass->items, cause);
        json_decref(pass->items);
        json_decref(pass->step_items);
        notice_rules_done(&pass->notice);
        free(pass->account);
        free(pass);
}

static void step_done(struct store_write *write, const struct cause *cause)
{
        struct pass *pass = container_of(write, struct pass, write);

        if (!cause) {
                pass->count += pass->step_count;
                if (pass->items)
                        (void)json_array_extend(pass->items, pass->step_items);
        }
        if (cause || !pass->more || store_closing())
                pass_end(pass, cause);
        else
                store_write(&pass->write);
}

/* Up to STEP numbers, gathered before anything is changed: a change moves what is being read. */
static int gather(struct database *db, sqlite3_stmt *given, uint64_t seqs[STEP], struct pass *pass,
                  struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows = given;
        size_t count = 0;
        int more = rows ? 0 : -1;

        while (rows && count < STEP && (more = db_next(db, rows, cause)) > 0)
                seqs[count++] = (uint64_t)sqlite3_column_int64(rows, 0);
        pass->more = count == STEP;
        pass->step_count = count;
        return more < 0 ? -1 : 0;
}

static void forget_step(struct store_write *write)
{
        struct pass *pass = container_of(write, struct pass, write);

        pass->more = false;
        pass->step_count = 0;
        (void)json_array_clear(pass->step_items);
}

static struct pass *pass_new(const char *account, int64_t clock,
                             int (*step)(struct store_write *write, struct database *db, struct cause *cause))
{
        struct pass *pass = new_object(struct pass);

        *pass = (struct pass){ .account = copy_text(account),
                               .clock = clock,
                               .now = loop_wall(),
                               .write = { .write = step, .forget = forget_step, .done = step_done } };
        return pass;
}

/* ---- all due now ---- */

static int due_now_step(struct store_write *write, struct database *db, struct cause *cause)
{
        struct pass *pass = container_of(write, struct pass, write);

        for (int priority = 1; priority >= 0; priority--) {
                if (db_run(db, cause,
                           "UPDATE message SET due = -1 WHERE seq IN (SELECT seq FROM message"
                           " WHERE account = ? AND priority = ? AND due > 0 LIMIT ?)",
                           VALUES(v_text(pass->account), v_int(priority), v_int(STEP))) < 0)
                        return -1;
                pass->step_count += (size_t)db_changes(db);
        }
        pass->more = pass->step_count >= STEP;
        return 0;
}

void queue_due_now(const char *account, void (*done)(void *ctx, size_t count, const struct cause *cause),
                   void *ctx)
{
        struct pass *pass = pass_new(account, 0, due_now_step);

        pass->counted = done;
        pass->ctx = ctx;
        store_write(&pass->write);
}

/* ---- expiry ---- */

static int expire_one(struct pass *pass, uint64_t seq, struct database *db, struct cause *cause)
{
        struct message_row row;
        int64_t lifetime, now = pass->now;
        char words[32], id[QUEUE_ID_SIZE], notice[QUEUE_ID_SIZE];
        int found = queue_row_read(db, seq, &row, cause);

        if (found <= 0 || db_number(db, cause, &lifetime, 0, "SELECT lifetime FROM message WHERE seq = ?",
                                    VALUES(v_int((int64_t)seq))) < 0)
                return found < 0 ? -1 : found - 1;
        duration_text(lifetime, words);
        scoped(scoped_free) char *text = text_of("not delivered within %s", words);
        /* What the server last said stays readable beside why it was given up. */
        if (db_run(db, cause,
                   "UPDATE recipient SET state = " SQL_FAILED ", cause = ?, time = ?,"
                   " reply = ? || CASE WHEN reply IS NULL THEN '' ELSE '; last: ' || reply END"
                   " WHERE seq = ? AND state IN (" SQL_QUEUED ", " SQL_DEFERRED ", " SQL_HELD
                   ", " SQL_AMBIGUOUS ")", /* held ones as well, where they age */
                   VALUES(v_text(cause_kind(CAUSE_EXPIRED)->name), v_int(now), v_text(text),
                          v_int((int64_t)seq))) < 0 ||
            db_run(db, cause, "UPDATE message SET expires_clock = ? WHERE seq = ?",
                   VALUES(v_int(CLOCK_NEVER), v_int((int64_t)seq))) < 0 ||
            queue_history_add(db, seq, now, NULL, NULL, text, cause) < 0 ||
            queue_notice_add(db, seq, &pass->notice, now, notice, cause) < 0 ||
            queue_row_follow(db, &row, now, cause) < 0)
                return -1;
        json_t *item = json_object();
        queue_id_of(seq, id);
        json_put_text(item, "id", id);
        json_put_text(item, "account", row.account);
        json_put_text(item, "notice", notice[0] ? notice : NULL);
        return json_array_append_new(pass->step_items, item);
}

#define SQL_EXPIRED \
        "SELECT seq FROM message WHERE account = ? AND expires_clock <= ? AND finished IS NULL AND claimed " \
        "= 0"

static int expire_step(struct store_write *write, struct database *db, struct cause *cause)
{
        struct pass *pass = container_of(write, struct pass, write);
        uint64_t seqs[STEP];

        /* A lifetime that begins anew begins here, where the account's clock is known. */
        if (db_run(db, cause,
                   "UPDATE message SET expires_clock = ? + lifetime"
                   " WHERE account = ? AND expires_clock = -1 AND finished IS NULL",
                   VALUES(v_int(pass->clock), v_text(pass->account))) < 0)
                return -1;
        sqlite3_stmt *rows =
                db_query(db, cause,
                         body_files_missing() ? SQL_EXPIRED SQL_BODY_IS_THERE("message") " LIMIT ?"
                                              : SQL_EXPIRED " LIMIT ?",
                         VALUES(v_text(pass->account), v_int(pass->clock), v_int(STEP)));
        if (gather(db, rows, seqs, pass, cause) < 0)
                return -1;
        for (size_t i = 0; i < pass->step_count; i++)
                if (expire_one(pass, seqs[i], db, cause) < 0)
                        return -1;
        return 0;
}

void queue_expire(const char *account, int64_t account_clock, const struct notice_rules *notice,
                  void (*done)(void *ctx, json_t *expired, const struct cause *cause), void *ctx)
{
        struct pass *pass = pass_new(account, account_clock, expire_step);

        pass->notice = notice_rules_copy(notice);
        pass->items = json_array();
        pass->step_items = json_array();
        pass->listed = done;
        pass->ctx = ctx;
        store_write(&pass->write);
}

/* ---- sweeping ---- */

static int sweep_step(struct store_write *write, struct database *db, struct cause *cause)
{
        struct pass *pass = container_of(write, struct pass, write);
        struct message_row row;
        uint64_t seqs[STEP];
        sqlite3_stmt *rows = db_query(db, cause, "SELECT seq FROM message WHERE finished < ? LIMIT ?",
                                      VALUES(v_int(pass->clock), v_int(STEP)));

        if (gather(db, rows, seqs, pass, cause) < 0)
                return -1;
        for (size_t i = 0; i < pass->step_count; i++) {
                int found = queue_row_read(db, seqs[i], &row, cause);
                if (found < 0 || (found && queue_row_delete(db, &row, cause) < 0))
                        return -1;
        }
        return 0;
}

void queue_sweep(time_t before)
{
        store_write(&pass_new(NULL, before, sweep_step)->write);
}
