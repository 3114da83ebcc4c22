/* SPDX-License-Identifier: MIT */
/* The store's side of owner.h: whose a write is, captured on the loop when it is asked for and held against
 * the table by the writer. */
#pragma once

#include "daemon/store/database.h"
#include "daemon/store/owner.h"

struct owner {
        bool bound; /* else the name had no identity then, and none is asked for */
        char name[LIMIT_ACCOUNT_NAME + 1], id[OWNER_ID_SIZE];
};
struct owner owner_of(const char *name);
/* Writer thread: -1 with CAUSE_NOT_FOUND when the account has been deleted meanwhile. */
int owner_holds(struct database *db, const struct owner *owner, struct cause *cause) must_use;
/* 1 = as above, 0 = deleted, -1 cause. */
int owner_still_holds(struct database *db, const struct owner *owner, struct cause *cause) must_use;

/* Before the loop. */
int owners_load(struct database *db, struct cause *cause) must_use;
void owners_free(void);
