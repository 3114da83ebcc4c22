/* SPDX-License-Identifier: MIT */
/*
 * Who may read received mail besides the daemon's user: the group that ReadGroup= names. Its folders are 2750
 * then (what others put there gets the group, too), its files 0640, and the state folder lets the group
 * through without showing what is in it. Where there is no such group, nobody may.
 */
#pragma once

#include "common/cause.h"

#include <stdbool.h>
#include <sys/types.h>

/* From now on, and at the next start of the store: `some` readers, in this group, or none. What is there
 * already is brought in line by the file pool. `name`: of the group, for what is told when the daemon cannot
 * give it. Loop. */
void maildir_readers(bool some, gid_t group, const char *name);
/* The store has been opened. */
void maildir_rights_open(void);

/* ---- any thread ---- */

/* Opens a folder of a Maildir as `*fd`, made where it is missing. */
int maildir_folder_make(const char *path, int *fd, struct cause *cause) must_use;
