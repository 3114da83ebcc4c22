/* SPDX-License-Identifier: MIT */
/*
 * The state folder: opened once, locked against a second daemon, with the threads that
 * touch the disk. One writer thread owns the SQLite connection that writes: everything
 * asked for since the last commit goes into one transaction (group commit) and is
 * answered after it; a reader thread has its own connection; small pools write files, sync
 * them, and take in submissions.
 *
 * Every function below and in the tables' headers that takes a `done` returns at once and
 * answers on the loop, exactly once.
 */
#pragma once

#include "common/cause.h"
#include "daemon/loop.h"

/* Opens or makes station.db, spool and mail folders, takes the lock (a second daemon gets
 * CAUSE_STATE naming the first's pid), brings the schema up to date, reads counters. Runs
 * before the loop, may block. */
int store_open(const char *state_directory, struct cause *cause) must_use;
/* Whether that, or what follows it at the start, failed for want of room: it may do later. */
bool store_lacks_room(const char *state_directory, const struct cause *cause);
/* Before store_open: a database that is missing or empty beside accounts is begun anew; else that is refused.
 */
void store_accept_new(void);
/* Whether store_open has made the database, so that nothing is kept in it for anybody. */
bool store_is_new(void);
/* Whether that is why store_open failed. */
bool store_lost_database(void);
/* The lock alone, for work on the folder of a station that does not run; makes the folder. */
int store_lock(const char *state_directory, struct cause *cause) must_use;
void store_unlock(void);
/* Commits and answers everything that was asked, syncs, closes. */
void store_close(void);
const char *store_directory(void);

/* The pool for files (2 threads), for callers with jobs of their own. */
struct workers *store_file_workers(void);
/* For the watchdog: age in ms of the oldest unfinished job of any store thread, but those that
 * read what a client hands in: a client could make them wait. */
int64_t store_stuck_for(void);

/* `done` once everything that was asked for before, changed facts included, is on disk; or with the cause why
 * it could not be written. */
void store_settle(void (*done)(void *ctx, const struct cause *cause), void *ctx);

/* What is wrong with the disk at present (last commit failed), or NULL. */
const struct cause *store_fault(void);
