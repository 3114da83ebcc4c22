/* SPDX-License-Identifier: MIT */
/*
 * What the lists of all mailboxes together hold at once has a bound. Where it is passed, the poll with the
 * largest list ends and is tried again: so a server that lists millions keeps the place from none with less.
 */
#include "daemon/incoming/fetching_state.h"

#include "common/limits.h"

static struct {
        struct fetching *first;
        size_t held; /* bytes; without those that end */
} listings;

/* All that is as long as the server's list may be. */
static size_t held_by(const struct fetching *fetching)
{
        size_t entries = fetching->listed_size + fetching->wanted_size + fetching->left_size +
                         fetching->tell_size + fetching->known_size + fetching->back_size +
                         fetching->alone_size + fetching->not_told_size;

        return entries * sizeof(struct mailbox_entry) + fetching->row_size * sizeof *fetching->rows +
               fetching->uidls.size * sizeof *fetching->uidls.digests + fetching->session_holds;
}

static void leave(struct fetching *fetching)
{
        struct fetching **at = &listings.first;

        while (*at != fetching)
                at = &(*at)->next_listing;
        *at = fetching->next_listing;
        listings.held -= fetching->list_held;
        fetching->list_held = 0;
        handle_drop(&fetching->listing);
}

static void give_way(void *object)
{
        struct fetching *fetching = object;
        struct cause cause;

        handle_drop(&fetching->listing);
        (void)cause_set(&cause, CAUSE_BUSY,
                        "too many messages are listed at once by all servers together, and this list is the "
                        "longest: it waits");
        cause_remedy(&cause, "nothing to do if it passes by itself; else let fewer accounts have so many "
                             "messages at their server");
        fetching_finish(fetching, &cause);
}

/* From within what the session tells: it takes effect on the loop's next turn. */
static void end_largest(void)
{
        struct fetching *largest = listings.first;

        for (struct fetching *one = listings.first; one; one = one->next_listing)
                if (one->list_held > largest->list_held)
                        largest = one;
        handle_id handle = handle_new(largest);
        leave(largest);
        largest->listing = handle;
        largest->gives_way = true;
        loop_later_to(handle, give_way);
}

void fetching_count_list(struct fetching *fetching)
{
        size_t now = held_by(fetching);

        if (fetching->gives_way || now == fetching->list_held)
                return;
        if (!fetching->list_held) {
                fetching->next_listing = listings.first;
                listings.first = fetching;
        }
        listings.held += now - fetching->list_held;
        fetching->list_held = now;
        if (!now)
                leave(fetching);
        while (listings.held > LIMIT_LISTINGS)
                end_largest();
}

void fetching_forget_list(struct fetching *fetching)
{
        if (fetching->list_held)
                leave(fetching);
        handle_drop(&fetching->listing);
}
