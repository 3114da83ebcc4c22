/* SPDX-License-Identifier: MIT */
/*
 * The folders of an account's Maildir, by their names on disk (Maildir++): "" is the Maildir itself,
 * ".Alarms" a folder in it. One after the other is entered, changed, and made safe when it is left. Worker
 * threads.
 */
#pragma once

#include "daemon/store/inbox_scan.h"
#include "daemon/store/maildir_folder.h"

struct box_entered {
        char *place; /* NULL: none */
        struct maildir maildir;
        struct inbox_change change;
        bool there;
};
#define BOX_NONE ((struct box_entered){ .maildir = MAILDIR_CLOSED })

/* Leaves the one before and enters this one, where that is another; `make`: it is made where it is missing. 1
 * = it is there, 0 = it is not, -1 with a cause. */
int box_enter(struct box_entered *at, const char *account, const char *box, bool make, struct cause *cause)
        must_use;
/* Syncs new/ and cur/ when there is one. */
int box_leave(struct box_entered *at, struct cause *cause) must_use;
/* Only closes it: for scoped(). */
void box_drop(struct box_entered *at);
