/* SPDX-License-Identifier: MIT */
/*
 * How the tables of this folder get onto its threads. A write is one unit of the group commit:
 * it runs on the writer thread inside the common transaction, fails alone, and
 * is answered on the loop after the commit. A read runs on the reader thread in a snapshot.
 * The object belongs to store from the call until `done`, which frees it.
 */
#pragma once

#include "daemon/loop.h"
#include "daemon/store/database.h"

#include <stdatomic.h>

struct owner;

struct store_write {
        /* Writer thread. -1 undoes what this one did. It may run more than once: when its transaction was
         * lost, in the next one; what is built with AddressSanitizer runs each twice, to find those that
         * keep anything of the first. */
        int (*write)(struct store_write *write, struct database *db, struct cause *cause);
        /* Writer thread, ahead of each run: drops what an earlier one has found. NULL: `write` finds nothing
         * but what it sets anew. */
        void (*forget)(struct store_write *write);
        /* Loop. `cause` NULL: it is on disk. */
        void (*done)(struct store_write *write, const struct cause *cause);
        /* The fact it records cannot be had again (a message was sent): tried again until
         * the disk takes it; `done` comes then, or with the cause when the store closes. */
        bool stubborn;
        /* Of this account: while the name is not its any more, on the disk, `write` is not run, and the
         * cause is CAUSE_NOT_FOUND. NULL: of none, or it looks by itself. */
        const struct owner *owner;
        /* It brings new mail onto the disk: what lets go of the reserve is not for it. */
        bool brings;
        /* It may be run before the turn of the loop is over: from store_write() on nobody touches what
         * `write` uses. */
        bool early;

        struct store_write *next; /* store's own */
        struct cause *cause;
};
/* Those of one turn of the loop are committed together. */
void store_write(struct store_write *write);
/* Writer thread: others wait for the end of this transaction. What may take long ends at the next point where
 * it can. */
bool store_others_write(void);
/* A commit is wanted at the end of this turn: values have changed (kept.h). */
void store_wake(void);

struct store_read {
        int (*read)(struct store_read *read, struct database *db, struct cause *cause);
        void (*done)(struct store_read *read, const struct cause *cause);

        struct job job; /* store's own */
        struct cause *cause;
};
void store_read(struct store_read *read);

/* Runs a job on the file pool, or on the pool for syncs (many at once, so that the filesystem
 * merges its journal commits). While the store closes, at once. */
void store_run_files(struct job *job);
void store_run_sync(struct job *job);
/* How many sync jobs make sense at once. */
enum { STORE_SYNC_THREADS = 4 };

/* True from store_close on: chains of jobs (sweeps) stop. */
bool store_closing(void);
/* The same for a chain that tells its end: `closed`, with the sentence, or NULL while it may go on. */
const struct cause *store_closed(struct cause *closed);

/* ---- writer.c, for store.c ---- */

/* `changed`: asked at the end of a turn for what is to go into its commit; NULL: nothing is. */
void writer_open(struct database *db, struct store_write *(*changed)(void));
/* Commits all that was asked, answers it. */
void writer_close(void);
int64_t writer_stuck_for(void);
/* A job on the writer's thread, between two commits. Not once it is closed. */
void writer_run(struct job *job);
/* Writer thread, outside a transaction: opens the database anew where a checkpoint has failed. -1: it cannot
 * be opened. */
int store_make_sound(struct cause *cause) must_use;

/* A thread of its own: database_copy() of station.db, given up where that is opened anew. */
int store_copy_database(const char *target, uint64_t leave, const atomic_bool *cancelled, struct cause *cause)
        must_use;

/* ---- jobs.c, for store.c ---- */

/* The state folder; NULL: none. */
void jobs_place(const char *directory);
/* Opens the connection that writes, or the one that reads. */
int jobs_connect(const char *path, bool writing, struct cause *cause) must_use;
/* The connection that writes; NULL: there is none. */
struct database *jobs_database(void);
void jobs_disconnect(void);
void jobs_begin(void);
/* Writer thread, outside a transaction: drops what each of both connections keeps in memory, where that is
 * more than a little. False: the one that reads is in use, and keeps it. */
bool jobs_give_back(void) must_use;
/* What store_closing() says. */
void jobs_set_closing(bool closing);
/* Ends the file pool, and then the others, after what was asked of them; what is asked for afterwards is done
 * at once. */
void jobs_end_files(void);
void jobs_end(void);
/* Age in ms of the oldest unfinished job. */
int64_t jobs_stuck_for(void);
