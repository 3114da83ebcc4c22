/* SPDX-License-Identifier: MIT */
/* The writer's side of the named values in fetched_table.h. */
#pragma once

#include "daemon/store/jobs.h"

/* Reads all facts into memory; before the loop. */
int facts_load(struct database *db, struct cause *cause) must_use;
void facts_free(void);
/* Forgets those of an account in memory: its rows have gone. */
void facts_forget(const char *account);
/* A write of every value that changed since the last call; NULL when none did. */
struct store_write *facts_to_write(void) must_use;
