/* SPDX-License-Identifier: MIT */
/*
 * What is in a Maildir against the rows of `inbox`. Mail readers move, flag, delete and add files at any
 * time; each such change sets the time of a folder. What was noted of those times at the last scan, and is
 * carried on over changes of our own, tells whether another scan is needed: as long as nobody else changes a
 * Maildir, it is not read again.
 */
#pragma once

#include "daemon/store/maildir_folder.h"

/* `done` when the rows are as the files are. `anew`: looks whatever the times say. Where the database takes
 * no writes, the rows stay as they were. Loop. */
void inbox_scan(const char *account, bool anew, void (*done)(void *ctx), void *ctx);
/* Rows and files of the account may differ though nobody else changed anything. Any thread. */
void inbox_doubt(const char *account);
/* Forgets all: the store closes. */
void inbox_scans_end(void);

/* Around a change of our own to the files. Any thread. */
struct inbox_change {
        struct timespec new, cur;
};
struct inbox_change inbox_change_begin(const struct maildir *maildir);
void inbox_change_end(const char *account, const struct maildir *maildir, const struct inbox_change *change);
