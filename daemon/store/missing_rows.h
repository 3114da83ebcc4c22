/* SPDX-License-Identifier: MIT */
/* Rows of `missing` for other tables' reads and writes; reader or writer thread. */
#pragma once

#include "daemon/store/fetched_rows.h"
#include "daemon/store/missing_table.h"

/* All of a folder under this UIDVALIDITY, by UID; those under another one count for nothing. The caller
 * frees. */
int missing_read(struct database *db, const char *account, const char *folder, uint64_t uidvalidity,
                 struct missing **out_messages, size_t *out_count, struct cause *cause) must_use;
/* The message is here: in the commit that says so. */
int missing_end_row(struct database *db, const struct fetched_key *key, struct cause *cause) must_use;
