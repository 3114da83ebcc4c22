/* SPDX-License-Identifier: MIT */
/* The one writer and reader of small whole files: temp file, fsync, rename, fsync of the folder. */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

#include <sys/types.h>

/* Replaces PATH atomically by these bytes, mode 0600. On a cause all is as before, unless that says
 * otherwise. Blocks: worker threads, or start. */
int replace_file(const char *path, const void *bytes, size_t len, struct cause *cause) must_use;
/* That of this name in an open folder, without a sync of the one or the other. Blocks. */
int replace_file_unsynced(int folder, const char *name, const void *bytes, size_t len, struct cause *cause)
        must_use;
/* Removes and syncs the folder; a missing file is success. */
int remove_file(const char *path, struct cause *cause) must_use;
/* Reads at most `max` bytes of a regular file (O_NOFOLLOW; a larger one is an error). 1 = read, 0 = there is
 * none, -1 cause. `out` is initialised here. */
int read_file(const char *path, size_t max, struct buf *out, struct cause *cause) must_use;
/* mkdir with this mode where missing, and fsync of the parent. */
int make_folder(const char *path, mode_t mode, struct cause *cause) must_use;

/* The same on the file pool: bytes are copied (wiped after use); NULL bytes removes. `done` on the loop.
 * Calls for the same path take effect in the order they were made. With a cause all is as before: what cannot
 * be done and cannot be undone either is tried until it is done. */
void replace_file_later(const char *path, const void *bytes, size_t len,
                        void (*done)(void *ctx, const struct cause *cause), void *ctx);
/* The store closes: what is tried again is tried once more, and answered. */
void replace_files_end(void);
