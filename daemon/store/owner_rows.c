/* SPDX-License-Identifier: MIT */
/* Whether an account is still whose a write is, asked within its transaction; see owner_rows.h. Apart from
 * owner.c, for the writer asks it of each write, and owner.c writes. */
#include "daemon/store/owner_rows.h"

int owner_still_holds(struct database *db, const struct owner *owner, struct cause *cause)
{
        if (!owner->bound)
                return 1;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT 1 FROM owner WHERE name = ? AND id = ? AND state <> ?",
                         VALUES(v_text(owner->name), v_text(owner->id), v_int(OWNER_GOING)));
        return rows ? db_next(db, rows, cause) : -1;
}

int owner_holds(struct database *db, const struct owner *owner, struct cause *cause)
{
        int holds = owner_still_holds(db, owner, cause);

        if (holds)
                return holds < 0 ? -1 : 0;
        return cause_set(cause, CAUSE_NOT_FOUND, "account %s has just been deleted", owner->name);
}
