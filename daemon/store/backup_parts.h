/* SPDX-License-Identifier: MIT */
/* The inside of a backup: backup.c decides what is taken when, backup_write.c reads the state folder and
 * writes the archive. */
#pragma once

#include "common/buf.h"
#include "common/limits.h"
#include "daemon/store/backup.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

/* A small file, as it will be written. */
struct gathered {
        char *path;
        struct buf bytes;
        int64_t time;
};

struct archive {
        char *directory;
        int fd;
        bool secrets, mail, regular;
        const atomic_bool *cancelled;
        int64_t patience; /* ms for which its reader may take nothing */
        struct gathered *files;
        size_t file_count;
        uint64_t gathered; /* bytes in them */
        struct buf sums;   /* of SHA256SUMS */
        struct backup_result result;
};

void backup_archive_open(struct archive *archive, const char *directory, const struct backup_order *order,
                         const atomic_bool *cancelled);
void backup_archive_free(struct archive *archive);
/* Appends a line for each file that a moment is told by: accounts, decisions, secrets, keys. */
int backup_archive_look(struct archive *archive, struct buf *out, struct cause *cause) must_use;
/* Reads all files but the database and received mail, in place of what was read before. */
int backup_archive_gather(struct archive *archive, struct cause *cause) must_use;
/* Writes the whole archive, the database from this descriptor. */
int backup_archive_write(struct archive *archive, int database, struct cause *cause) must_use;

/* What belongs to the folder and not to the station in it: no part of a backup, and left where it is by a
 * restore. */
bool backup_stays(const char *path);

/* What the archive calls itself; the first and the last member. */
#define BACKUP_ABOUT "emailsec-backup.json"
#define BACKUP_SUMS  "SHA256SUMS"
enum { BACKUP_FORMAT = 1 };
