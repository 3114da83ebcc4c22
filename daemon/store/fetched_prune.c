/* SPDX-License-Identifier: MIT */
/*
 * UIDLs that a POP3 server no longer has. The rows of an account are gone through in portions, so that others
 * have their turn between them; what has gone is looked for by the reader, and written only when there is
 * something. What stopped half-way goes on with the next poll.
 */
#include "daemon/store/fetched_table.h"

#include "daemon/store/fetched_rows.h"
#include "daemon/store/jobs.h"
#include "daemon/store/owner_rows.h"

#include <stdio.h>

enum { ROWS_AT_ONCE = 1 << 12, GONE_AT_ONCE = ROWS_AT_ONCE };

struct prune {
        char *account;
        struct owner owner;
        struct uidl_set *set;
        bool untold_is_open; /* a known one that the server was not told of is to be looked at */
        bool some;           /* have gone */
        bool more;           /* rows */
        char last[sizeof((struct mailbox_entry *)NULL)->uidl]; /* UIDL of the last row gone through */
        struct mailbox_entry *gone;
        size_t gone_count;
        void (*done)(void *ctx, bool some, const struct cause *cause);
        void *ctx;
        struct job sorting;
        struct store_read read;
        struct store_write write;
};

static void finished(struct prune *prune, const struct cause *cause)
{
        prune->done(prune->ctx, prune->some, cause);
        free(prune->account);
        free(prune->gone);
        free(prune);
}

static void go_through(struct prune *prune, sqlite3_stmt *row)
{
        bool found_before = sqlite3_column_int(row, 1) == 2; /* by a poll that was cut off */

        (void)snprintf(prune->last, sizeof prune->last, "%s", (const char *)sqlite3_column_text(row, 0));
        prune->some |= found_before;
        if (found_before)
                return;
        if (!uidl_set_has(prune->set, prune->last)) {
                struct mailbox_entry *one = &prune->gone[prune->gone_count++];
                memcpy(one->uidl, prune->last, sizeof one->uidl);
                prune->some = true;
        } else if (sqlite3_column_int64(row, 3) == 0 &&
                   (sqlite3_column_int(row, 2) || !prune->untold_is_open)) {
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

        if (!prune->more) {
                finished(prune, NULL);
        } else if (!store_closing()) {
                look(prune);
        } else {
                (void)cause_set(&closed, CAUSE_STATE, "the state folder is being closed");
                finished(prune, &closed);
        }
}

/* A message's row stays, as no longer known, as long as its file: the same UIDL may come again for another
 * message, which needs another name. */
static int prune_work(struct store_write *write, struct database *db, struct cause *cause)
{
        const struct prune *prune = container_of(write, struct prune, write);

        if (owner_holds(db, &prune->owner, cause) < 0)
                return -1;
        for (size_t i = 0; i < prune->gone_count; i++) {
                struct fetched_key key = fetched_key_of(prune->account, "", 0, &prune->gone[i]);
                if (db_run(db, cause, "UPDATE seen SET gone = 2, told = 1 WHERE " SEEN_KEY_IS " AND gone = 0",
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
                prune->write = (struct store_write){ .write = prune_work, .done = prune_done };
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
                         void (*done)(void *ctx, bool some, const struct cause *cause), void *ctx)
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
