/* SPDX-License-Identifier: MIT */
/*
 * The system calls on which "safe on disk" rests, in one place: so that partial writes and
 * interrupted calls are dealt with once, and so that a test can make any of them fail.
 */
#pragma once

#include "common/cause.h"

#include <sys/types.h>

struct disk_calls {
        ssize_t (*write)(int fd, const void *bytes, size_t len);
        int (*sync)(int fd);      /* data and metadata */
        int (*sync_data)(int fd); /* data, and the metadata needed to read it */
        int (*sync_all)(int fd);  /* disk_sync_all() */
        int (*rename)(int from_folder, const char *from, int to_folder, const char *to,
                      unsigned flags); /* renameat2 */
        int (*unlink)(int folder, const char *name);
        int (*link)(int fd, int folder, const char *name);
};
/* Tests: uses these from now on; NULL goes back to the real ones. */
void disk_use(const struct disk_calls *calls);
const struct disk_calls *disk_real_calls(void);

/* 0, or -1 with errno. */
int disk_write(int fd, const void *bytes, size_t len) must_use;
int disk_sync(int fd) must_use;
int disk_sync_data(int fd) must_use;
/* All that was written to the file system of `fd`, by whomever: for many small files far less work than a
 * sync of each. 1: it is on disk, or every error since `fd` was opened has come as -1 with errno. 0: not
 * here, or not now; each file has to be synced by itself. May wait for what others write: it is worth that
 * from DISK_SYNC_TOGETHER files on. */
enum { DISK_SYNC_TOGETHER = 16 };
int disk_sync_all(int fd) must_use;
int disk_rename(int from_folder, const char *from, int to_folder, const char *to) must_use;
/* Fails with EEXIST when `to` is there already. */
int disk_rename_new(int from_folder, const char *from, int to_folder, const char *to) must_use;
/* Both must be there. EINVAL: the filesystem cannot. */
int disk_exchange(int one_folder, const char *one, int other_folder, const char *other) must_use;
int disk_unlink(int folder, const char *name);
/* Names an open file, one of O_TMPFILE too. */
int disk_link(int fd, int folder, const char *name) must_use;
