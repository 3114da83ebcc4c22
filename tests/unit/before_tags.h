/* SPDX-License-Identifier: MIT */
/* A database of today taken back to the version ahead of the step of the schema that makes the key of tags.
 */
#pragma once

#include "common/buf.h"
#include "daemon/store/database.h"

#include <check.h>
#include <string.h>

/* What a statement says that undoes that step and those behind it; the caller frees. */
static inline char *undo_to_before_tags(void)
{
        size_t step = 0;

        while (!strstr(schema_steps[step], "contentKey"))
                step++;
        ck_assert_uint_eq(step + 2, schema_step_count); /* else what follows is to be undone as well */
        return text_of(
                "UPDATE seen SET told = NOT EXISTS (SELECT 1 FROM untold WHERE untold.place = seen.place"
                " AND untold.uidvalidity = seen.uidvalidity AND seen.uid BETWEEN first AND last)"
                " WHERE uidl = '';"
                "DROP TABLE untold; CREATE INDEX seen_untold ON seen (place) WHERE told = 0;"
                "DELETE FROM meta WHERE name = 'contentKey'; ALTER TABLE place DROP COLUMN sha256;"
                "PRAGMA user_version = %zu",
                step);
}
