/* SPDX-License-Identifier: MIT */
/*
 * The reserve of disk (DiskReserve=). Received mail and submissions may not take the place that the queue
 * needs to record what becomes of its messages: with less than the reserve free, nothing is fetched; with
 * less than half of it, what is submitted without priority urgent is refused; and nothing is taken that would
 * not fit. Files count as bytes do. And should the disk be full all the same, a file that holds place in the
 * state folder is let go, once, for what is written about messages that are here already. How much it holds,
 * and how long the database's log may become, follow the size of the disk. While there is little room, what
 * the database does not use any more is given back to the disk.
 */
#pragma once

#include "common/cause.h"

struct disk_room {
        uint64_t free, reserve; /* bytes; reserve 0: none is kept, or the disk does not tell */
        uint64_t files,
                files_reserve; /* files that can be made yet; reserve 0: the disk has no bound of them */
        bool let_go;           /* the place that was held: nothing new comes until it is held again */
};

/* `reserve`: bytes, or below 0 so many percent of the disk, and then 1 GiB at most; 0: none. At start and
 * reload. */
void reserve_set(int64_t reserve);
/* As last looked at; asks for a new look where that is long ago. Loop. */
struct disk_room reserve_room(void);
/* Why nothing is fetched at present, or NULL; valid until the next call. Loop. */
const struct cause *reserve_fault(void);

/* ---- the store's ---- */

/* Before the database is opened: its log follows the disk. `directory` is the state folder. */
void reserve_open(const char *directory);
void reserve_close(void);
/* Loop: whether a message of that size may be fetched beside so many bytes that were asked for and have not
 * come; else with CAUSE_STORAGE -1, nothing may, or 1, this one does not fit. And what has come since, which
 * may not be on disk yet. */
int reserve_fits(uint64_t asked, uint64_t size, struct cause *cause) must_use;
void reserve_arrived(size_t bytes, bool file);
/* Any thread but the loop's: the same as reserve_fault() by a new look. */
int reserve_allows_fetching(struct cause *cause) must_use;
/* Any thread but the loop's, for each piece of a fetched message: whether it leaves submissions what is
 * theirs. */
int reserve_spares(size_t size, struct cause *cause) must_use;
/* Writer thread, before each commit: a new look. */
void reserve_begin_commit(void);
/* Writer thread: whether a submission of that size may come, else -1 with CAUSE_STORAGE. Urgent ones may as
 * long as they fit and the place that is held has not been let go. `placed`: it lies on that disk already. */
int reserve_allows(bool urgent, uint64_t size, bool placed, struct cause *cause) must_use;
/* Writer thread or before the loop, when the disk was full: whether there was place to let go. */
bool reserve_let_go(void);
/* Whether that was for want of room: it says so itself, as where a quota is full, or the disk has next to
 * nothing left. Before the loop, or the writer's thread. */
bool reserve_lacks_room(const char *directory, const struct cause *cause);
/* Any thread: whether the place is not held, so that commits should be small. */
bool reserve_is_let_go(void);
