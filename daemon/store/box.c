/* SPDX-License-Identifier: MIT */
/* Entering and leaving the folders of a Maildir; see box.h. */
#include "daemon/store/box.h"

#include "daemon/store/disk.h"

#include <errno.h>

void box_drop(struct box_entered *at)
{
        maildir_close(&at->maildir);
        free(take(at->place));
        at->there = false;
}

int box_leave(struct box_entered *at, struct cause *cause)
{
        int result = 0;

        if (at->there) {
                inbox_change_end(at->place, &at->maildir, &at->change);
                if (disk_sync(at->maildir.new) < 0 || disk_sync(at->maildir.cur) < 0)
                        result = cause_errno(cause, errno, "cannot sync the Maildir of %s", at->place);
        }
        box_drop(at);
        return result;
}

int box_enter(struct box_entered *at, const char *account, const char *box, bool make, struct cause *cause)
{
        scoped(scoped_free) char *place = maildir_place(account, box);

        if (same_text(at->place, place))
                return at->there;
        if (box_leave(at, cause) < 0)
                return -1;
        at->place = take(place);
        int there = maildir_open(at->place, make, &at->maildir, cause);
        at->there = there > 0;
        if (at->there)
                at->change = inbox_change_begin(&at->maildir);
        return there;
}
