/* SPDX-License-Identifier: MIT */
/* Offers to named subscribers, written by the commit that makes a message known; see subscriber_rows.h. */
#include "daemon/store/subscriber_rows.h"

#include "common/limits.h"

#include <time.h>

int subscriber_wanting_find(struct database *db, const char *account, struct wanting *wanting,
                            struct cause *cause)
{
        int more;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT name FROM subscriber WHERE accounts IS NULL"
                         " OR EXISTS (SELECT 1 FROM json_each(accounts) WHERE value = ?)",
                         VALUES(v_text(account)));

        *wanting = (struct wanting){ 0 };
        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                wanting->names = new_resized(wanting->names, wanting->count + 1, sizeof *wanting->names);
                wanting->names[wanting->count++] = db_text(rows, 0);
        }
        if (more < 0 || !wanting->count)
                return more;
        return db_number(db, cause, &wanting->seq, 0, "SELECT value FROM meta WHERE name = 'offerSeq'", NULL,
                         0);
}

int subscriber_wanting_offer(struct database *db, struct wanting *wanting, time_t now, const char *account,
                             const char *data, struct cause *cause)
{
        wanting->seq++;
        for (size_t i = 0; i < wanting->count; i++) {
                struct value name = v_text(wanting->names[i]);
                if (db_run(db, cause,
                           "INSERT INTO offer (subscriber, seq, time, account, data) VALUES (?, ?, ?, ?, ?)",
                           VALUES(name, v_int(wanting->seq), v_int(now), v_text(account), v_text(data))) <
                            0 ||
                    db_run(db, cause, "UPDATE subscriber SET pending = pending + 1 WHERE name = ?",
                           VALUES(name)) < 0)
                        return -1;
        }
        return 0;
}

int subscriber_wanting_end(struct database *db, struct wanting *wanting, time_t now, struct cause *cause)
{
        if (!wanting->count)
                return 0;
        for (size_t i = 0; i < wanting->count; i++)
                if (subscriber_offers_trim(db, wanting->names[i], 0, now, cause) < 0)
                        return -1;
        return db_run(db, cause, "INSERT OR REPLACE INTO meta (name, value) VALUES ('offerSeq', ?)",
                      VALUES(v_int(wanting->seq)));
}

void subscriber_wanting_free(struct wanting *wanting)
{
        for (size_t i = 0; i < wanting->count; i++)
                free(wanting->names[i]);
        free(take(wanting->names));
        wanting->count = 0;
}

/* The number of the last offer to be dropped; 0 when none is. */
static int last_to_drop(struct database *db, const char *subscriber, time_t before, int64_t *last,
                        struct cause *cause)
{
        int64_t over = 0, pending = 0;
        struct value name = v_text(subscriber);

        *last = 0;
        if (db_number(db, cause, &pending, 0, "SELECT pending FROM subscriber WHERE name = ?", VALUES(name)) <
            0)
                return -1;
        if (pending > LIMIT_OFFERED &&
            db_number(db, cause, &over, 0,
                      "SELECT seq FROM offer WHERE subscriber = ? ORDER BY seq LIMIT 1 OFFSET ?",
                      VALUES(name, v_int(pending - LIMIT_OFFERED - 1))) < 0)
                return -1;
        if (before &&
            db_number(db, cause, last, 0, "SELECT max(seq) FROM offer WHERE subscriber = ? AND time < ?",
                      VALUES(name, v_int(before))) < 0)
                return -1;
        if (over > *last)
                *last = over;
        return 0;
}

int subscriber_offers_trim(struct database *db, const char *subscriber, time_t before, time_t now,
                           struct cause *cause)
{
        struct value name = v_text(subscriber);
        int64_t last, dropped;

        if (last_to_drop(db, subscriber, before, &last, cause) < 0)
                return -1;
        if (!last)
                return 0;
        if (db_run(db, cause, "DELETE FROM offer WHERE subscriber = ? AND seq <= ?",
                   VALUES(name, v_int(last))) < 0)
                return -1;
        dropped = db_changes(db);
        return db_run(db, cause,
                      "UPDATE subscriber SET pending = pending - ?,"
                      " missed_since = CASE WHEN missed THEN missed_since ELSE ? END,"
                      " missed = missed + ?, missed_to = ? WHERE name = ?",
                      VALUES(v_int(dropped), v_int(now), v_int(dropped), v_int(last), name));
}
