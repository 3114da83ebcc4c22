/* SPDX-License-Identifier: MIT */
/*
 * The files of a Maildir, found by their names, to be compared with rows. It may hold a million: it is read
 * in portions, so that what else the threads have to do gets its turn. One thread at a time.
 */
#pragma once

#include "daemon/store/maildir_folder.h"

#include <dirent.h>
#include <stdint.h>

struct maildir_set {
        struct maildir_listing listing; /* in no order */
        uint8_t *matched;               /* a byte for each */
        size_t matched_count;
        uint32_t *slots; /* by the hash of a name: number of its file, and 1 */
        size_t slot_count, size;
        DIR *directory; /* being read */
        unsigned part;  /* 0: new/, 1: cur/, 2: both are read */
};

/* Adds a portion of what is in new/, then in cur/: 1 = there may be more, 0 = that was all, -1 with errno. */
int maildir_set_read(struct maildir_set *set, const struct maildir *maildir) must_use;
/* The file of that name, whatever its flags, is matched from now on; NULL: there is none. */
const struct maildir_file *maildir_set_match(struct maildir_set *set, const char *name);
/* Leaves those that were not matched, by their names. Nothing is matched after that. */
void maildir_set_keep_unmatched(struct maildir_set *set);
/* Frees what it holds. */
void maildir_set_clear(struct maildir_set *set);
