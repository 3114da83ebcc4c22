/* SPDX-License-Identifier: MIT */
/* Ranges of UIDs, none of which overlaps another one; see untold_rows.h. */
#include "daemon/store/untold_rows.h"

#define UNTOLD_AT "place = ?1 AND uidvalidity = ?2"

/* No message is held up should one be in there all the same. */
int untold_add(struct database *db, int64_t place, uint64_t uidvalidity, uint32_t first, uint32_t last,
               struct cause *cause)
{
        return db_run(db, cause,
                      "INSERT INTO untold (place, uidvalidity, first, last) VALUES (?, ?, ?, ?)"
                      " ON CONFLICT DO UPDATE SET last = max(last, excluded.last)",
                      VALUES(v_int(place), v_int((int64_t)uidvalidity), v_int(first), v_int(last)));
}

/* What stands out above becomes a row of its own, what stands out below is cut: of one range it may be both.
 */
int untold_end(struct database *db, int64_t place, uint64_t uidvalidity, uint32_t first, uint32_t last,
               struct cause *cause)
{
        struct value at = v_int(place), within = v_int((int64_t)uidvalidity);

        if (db_run(db, cause,
                   "INSERT INTO untold SELECT place, uidvalidity, ?3 + 1, last FROM untold WHERE " UNTOLD_AT
                   " AND first = (SELECT max(first) FROM untold WHERE " UNTOLD_AT
                   " AND first <= ?3) AND last > ?3",
                   VALUES(at, within, v_int(last))) < 0 ||
            db_run(db, cause,
                   "UPDATE untold SET last = ?3 - 1 WHERE " UNTOLD_AT
                   " AND first = (SELECT max(first) FROM untold WHERE " UNTOLD_AT
                   " AND first < ?3) AND last >= ?3",
                   VALUES(at, within, v_int(first))) < 0)
                return -1;
        return db_run(db, cause, "DELETE FROM untold WHERE " UNTOLD_AT " AND first BETWEEN ?3 AND ?4",
                      VALUES(at, within, v_int(first), v_int(last)));
}
