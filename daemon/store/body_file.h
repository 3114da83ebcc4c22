/* SPDX-License-Identifier: MIT */
/*
 * Bodies of large messages as files beside the database: bodies/NAME in the state folder, 0600. The table
 * body_file says which message has which file; a file that it does not name is nothing, and goes.
 *
 * Coming: the thread that puts a message in order writes a file without a name, another one syncs it. The
 * writer names it in the transaction that has its row, and syncs the folder ahead of COMMIT. Going: the row
 * goes in a transaction, and the name after its COMMIT. So after a kill at any point a row that was committed
 * has its whole file, and a file without a row is swept at the next start. Names are random and never used
 * again: what runs twice finds its own.
 */
#pragma once

#include "common/buf.h"
#include "daemon/store/database.h"

#define BODY_CHUNK     (256 * KIB) /* what a digest is of */
#define BODY_FILE_FROM (256 * KIB) /* size of a message from which on its body is a file */
enum { BODY_FILE_NAME = 24 };

/* One that is being written; any thread. */
struct body_file {
        int fd; /* -1: nothing is in it */
        char name[BODY_FILE_NAME + 1];
        struct buf digests; /* tag of each chunk */
};
void body_file_init(struct body_file *file);
/* Closes it: without a name it has gone then. */
void body_file_done(struct body_file *file);
/* The next chunk, whole but for the last; `folder`: path of bodies/, where it is made with the first. */
int body_file_add(struct body_file *file, const char *folder, const void *bytes, size_t len,
                  struct cause *cause) must_use;
int body_file_sync(const struct body_file *file, struct cause *cause) must_use;

/* ---- the writer, inside a transaction ---- */
/* Gives it its name, for a row of this transaction. 1: this file system, or its surroundings, cannot; -1
 * cause. */
int body_file_comes(const struct body_file *file, struct cause *cause) must_use;
/* A row is taken out that has this one. */
void body_file_goes(const char *name);
/* Last thing before COMMIT: what came is on disk, and what is to go is known. */
int body_files_settle(struct database *db, struct cause *cause) must_use;
/* After COMMIT: removes files that have no row. */
void body_files_committed(void);

/* ---- any thread ---- */
/* Opens the file of a message of that size. -1: with CAUSE_INVALID it is not there as it was, or this one
 * alone cannot be read; with another cause all of them have to wait. */
int body_file_open(const char *name, uint64_t size, struct cause *cause) must_use;
/* Bytes from there on, all of them, or -1 with a cause, as above. */
int body_file_read(int fd, uint8_t *bytes, size_t len, uint64_t from, struct cause *cause) must_use;
/* No file goes as long as this is so: rows of a moment that is being copied have theirs. What was to go
 * meanwhile goes after the next COMMIT. */
void body_files_hold(bool held);

/* ---- before the loop and after it ---- */
/* Makes the folder and removes what a crash has left there; that of a database which was begun anew is set
 * aside. One that is missing, or cannot be opened, and should have files in it, is a fault, and waited for.
 */
int body_files_begin(struct database *db, const char *directory, bool anew, struct cause *cause) must_use;
void body_files_end(void);

/* ---- a folder that is missing ---- */
/* Any thread: nothing can be read of it, and nothing is put into it. */
bool body_files_missing(void);
/* Any thread: the folder in which a file is begun. */
const char *body_files_place(void);
/* With a connection that reads, never from within a transaction that writes: whether it is there again, or
 * nothing is to be in it any more; else the cause. What has no row in it stays until the next start. */
int body_files_find(struct database *db, struct cause *cause) must_use;
/* The loop's: it was found; and why it is missing, or NULL. */
void body_files_found(void);
const struct cause *body_files_fault(void);
