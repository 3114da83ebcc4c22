/* SPDX-License-Identifier: MIT */
/*
 * Files of ours in new/ and cur/ that no row tells of: a daemon was killed, or a commit failed, between
 * rename and commit. Fetched again, a message finds such a file by its name, which follows from where it
 * comes from. When the server has numbered the folder anew meanwhile the names are others, and the file is
 * found by its content. One object is for one look at a mailbox, whose batches are committed one after the
 * other.
 */
#pragma once

#include "daemon/store/content_tag.h"
#include "daemon/store/maildir_folder.h"

struct unrecorded {
        struct unrecorded_file {
                char *file;                          /* without flags */
                uint8_t as_is[CONTENT_TAG_SIZE];     /* of its bytes */
                uint8_t canonical[CONTENT_TAG_SIZE]; /* the same with CRLF for each LF */
                bool taken;
        } *files;
        size_t count;
        bool read;
};

struct unrecorded *unrecorded_new(void) must_use;
/* Looks for those of the account; a Maildir that is missing has none. Costs a look at all its files and rows,
 * in portions. Loop. */
void unrecorded_look(const char *account, struct unrecorded *out,
                     void (*done)(void *ctx, const struct cause *cause), void *ctx);
/* One of content with that tag, each once; NULL: there is none. The name is borrowed. */
const char *unrecorded_take(struct unrecorded *of, const uint8_t tag[CONTENT_TAG_SIZE]);
void unrecorded_free(struct unrecorded *of);
