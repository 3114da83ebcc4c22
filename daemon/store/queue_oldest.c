/* SPDX-License-Identifier: MIT */
/* When the oldest message that waits was handed in, account by account: a look at all that is open, on the reader thread. */
#include "common/limits.h"
#include "daemon/loop.h"
#include "daemon/store/queue_counts.h"
#include "daemon/store/queue_rows.h"

#include <stdio.h>

enum { LOOK_EVERY_MS = 30 * 1000 };

struct oldest {
        char account[LIMIT_ACCOUNT_NAME + 1];
        time_t submitted;
};

struct look {
        struct oldest *found;
        size_t count;
        struct store_read read;
};

static struct {
        bool under_way, looked;
        int64_t last; /* loop_now() */
} state;

static int look_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct look *look = container_of(read, struct look, read);
        int more;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT account, min(submitted) FROM message WHERE finished IS NULL AND state IN " SQL_IS_UNDER_WAY
                         " GROUP BY account", NULL, 0);

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                look->found = new_resized(look->found, look->count + 1, sizeof *look->found);
                struct oldest *one = &look->found[look->count++];
                (void)snprintf(one->account, sizeof one->account, "%s", (const char *)sqlite3_column_text(rows, 0));
                one->submitted = (time_t)sqlite3_column_int64(rows, 1);
        }
        return more;
}

static void look_done(struct store_read *read, const struct cause *cause)
{
        struct look *look = container_of(read, struct look, read);

        state.under_way = false;
        for (size_t i = 0; i < look->count && !cause; i++)
                queue_oldest_set(look->found[i].account, look->found[i].submitted);
        free(look->found);
        free(look);
}

void queue_oldest_look(void)
{
        if (state.under_way || (state.looked && loop_now() < state.last + LOOK_EVERY_MS))
                return;
        struct look *look = new_object(struct look);
        state.under_way = state.looked = true;
        state.last = loop_now();
        look->read = (struct store_read){ .read = look_work, .done = look_done };
        store_read(&look->read);
}
