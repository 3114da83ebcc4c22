/* SPDX-License-Identifier: MIT */
/*
 * The file `reserve` in the state folder, which holds place for what has to be recorded on a full disk: as
 * much as the database's log and a commit may take, which is little on a small disk. Any thread, one at a
 * time.
 */
#pragma once

#include "common/cleanup.h"
#include "daemon/store/reserve.h"

struct reserve_place {
        size_t log;    /* how long the log may become, */
        size_t commit; /* and how much one commit may take beside it */
        bool holding;
};

/* For a disk of so many bytes. */
void reserve_place_init(struct reserve_place *place, uint64_t total);
/* How large the file is, or is to be. */
size_t reserve_place_size(const struct reserve_place *place);
/* Makes the file where a reserve is wanted and there is room for it and as much again; where a quota allows
 * less, a smaller one, and the log is shorter then. What else may have that name goes, but for a folder that
 * is not empty. 0, or ENOSPC where there is no room; where it cannot be made for another reason there is
 * none. */
int reserve_place_hold(struct reserve_place *place, const char *directory, const struct disk_room *room);
/* Removes it. False where there was nothing to let go. */
bool reserve_place_let_go(struct reserve_place *place, const char *directory);
