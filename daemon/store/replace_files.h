/* SPDX-License-Identifier: MIT */
/*
 * Many small files of one folder, each replaced whole, and synced together. What they are to be stands on
 * disk elsewhere until this is done: with a cause some of them may be as before and others not, and all of it
 * is to be done again.
 */
#pragma once

#include "common/cause.h"

struct file_text {
        char *name; /* in the folder */
        const char *text;
};

/* Blocks: worker threads, or start. */
int replace_files(const char *folder, const struct file_text *files, size_t count, struct cause *cause)
        must_use;
/* The same on the pools, some files in each job; all is borrowed until `done`, on the loop. */
void replace_files_later(const char *folder, const struct file_text *files, size_t count,
                         void (*done)(void *ctx, const struct cause *cause), void *ctx);
