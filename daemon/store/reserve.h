/* SPDX-License-Identifier: MIT */
/*
 * The reserve of disk (DiskReserve=). Received mail and submissions may not take the place that the queue needs to record
 * what becomes of its messages: with less than the reserve free, nothing is fetched; with less than half of it, what is
 * submitted without priority urgent is refused. And should the disk be full all the same, a file that holds place in the
 * state folder is let go, once, for what is written about messages that are here already.
 */
#pragma once

#include "common/cause.h"

struct disk_room {
        uint64_t free, reserve; /* bytes; reserve 0: none is kept, or the disk does not tell */
};

/* `reserve`: bytes, or below 0 so many percent of the disk, and then 1 GiB at most; 0: none. At start and reload. */
void reserve_set(int64_t reserve);
/* As last looked at; asks for a new look where that is long ago. Loop. */
struct disk_room reserve_room(void);
/* Why nothing is fetched at present, or NULL; valid until the next call. Loop. */
const struct cause *reserve_fault(void);

/* ---- the store's ---- */

/* Before the loop; `directory` is the state folder. */
void reserve_open(const char *directory);
void reserve_close(void);
/* Any thread but the loop's: whether a submission may come, else -1 with CAUSE_STORAGE. Urgent ones may as long as the
 * place that is held has not been let go. */
int reserve_allows(bool urgent, struct cause *cause) must_use;
/* Writer thread, when the disk was full: whether there was place to let go. */
bool reserve_let_go(void);
