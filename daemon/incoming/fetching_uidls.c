/* SPDX-License-Identifier: MIT */
/*
 * Which messages of a POP3 mailbox are new: those whose UIDLs are not known. A mailbox with more of them than
 * are held at once is listed several times within its session: the first time a digest of each UIDL is kept,
 * which tells what need not be looked at; then the next ones that may be new are taken, a window at a time.
 * Where everything is to be passed over, that is done while the list comes in.
 */
#include "daemon/incoming/fetching_state.h"

enum {
        HELD = 1 << 16, /* messages */
        SKIPPED_AT_ONCE = 1 << 14,
};

/* ---- passing over ---- */

static void skip_all(struct fetching *fetching);

static void skipped(void *ctx, const struct cause *cause)
{
        struct fetching *fetching = ctx;
        bool last = fetching->skipped_last;

        fetching->skipping = false;
        if (!fetching_answered(fetching) || fetching_stopped_by(fetching, cause))
                return;
        session_pause(fetching->session, false);
        if (last)
                fetching_conclude(fetching);
        else if (fetching->list_over)
                skip_all(fetching);
}

/* What has been listed is passed over; the cursor says so at once with the last of it. */
static void skip_all(struct fetching *fetching)
{
        fetching->skipping = true;
        fetching->skipped_last = fetching->list_over;
        fetching->answers++;
        session_pause(fetching->session, true);
        fetched_skip_uidls(fetching->account->name, fetching->listed, fetching->listed_count,
                           !fetching->skipped_last, skipped, fetching);
        fetching->listed_count = 0;
}

/* ---- a list that comes in ---- */

static bool is_window(const struct fetching *fetching)
{
        return fetching->uidls.known != NULL;
}

static void hold_digests_only(struct fetching *fetching)
{
        fetching->more = true;
        for (size_t i = 0; i < fetching->listed_count; i++)
                uidl_set_add(&fetching->uidls, fetching->listed[i].uidl);
        free(take(fetching->listed));
        fetching->listed_count = fetching->listed_size = 0;
}

/* The first window also tells which of those that are missing are still there. */
static void in_window(struct fetching *fetching, const struct mailbox_entry *entry)
{
        struct mailbox_entry one = *entry;

        if (fetching->windows == 1 ? fetching_sort_out(fetching, entry)
                                   : fetching_is_missing(fetching, entry))
                return;
        if (entry->uid <= fetching->after || uidl_set_knows(&fetching->uidls, entry->uidl))
                return;
        if (fetching->listed_count == HELD) {
                fetching->more = true;
                return;
        }
        size_t same = uidl_set_has(&fetching->uidls, entry->uidl);
        one.same = same > 1 ? (uint32_t)same : 0;
        if (entry->uid > fetching->highest)
                fetching->highest = entry->uid;
        fetching_push(&fetching->listed, &fetching->listed_count, &fetching->listed_size, &one);
}

void fetching_list_uidl(struct fetching *fetching, const struct mailbox_entry *entry)
{
        if (is_window(fetching)) {
                in_window(fetching, entry);
        } else if (fetching->more) {
                uidl_set_add(&fetching->uidls, entry->uidl);
        } else {
                if (!fetching_skips_all(fetching) && fetching->listed_count == HELD) {
                        hold_digests_only(fetching);
                        uidl_set_add(&fetching->uidls, entry->uidl);
                        return;
                }
                fetching_push(&fetching->listed, &fetching->listed_count, &fetching->listed_size, entry);
                if (fetching_skips_all(fetching) && fetching->listed_count >= SKIPPED_AT_ONCE &&
                    !fetching->skipping)
                        skip_all(fetching);
        }
}

/* ---- a list that is over ---- */

static void uidls_known(void *ctx, const bool *known, const bool *untold, size_t count,
                        const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (!fetching_answered(fetching) || fetching_stopped_by(fetching, cause))
                return;
        for (size_t i = 0; i < count; i++) {
                if (!fetching->windows && fetching_sort_out(fetching, &fetching->listed[i]))
                        continue;
                if (!known[i])
                        fetching_want(fetching, &fetching->listed[i]);
                else if (untold[i] && fetching_policy_is(fetching, WORD_DELETE))
                        fetching_push(&fetching->tell, &fetching->tell_count, &fetching->tell_size,
                                      &fetching->listed[i]);
        }
        free(take(fetching->listed));
        fetching->listed_count = fetching->listed_size = 0;
        if (fetching->windows < 2)
                fetching_end_gone(fetching);
        fetching_begin_rounds(fetching);
}

static void ask_which_are_known(struct fetching *fetching)
{
        fetching->answers++;
        fetched_uidls(fetching->account->name, fetching->listed, fetching->listed_count,
                      fetching_most(fetching), uidls_known, fetching);
}

/* Going through the rows has told of most that they are here. */
static void leave_out_known(struct fetching *fetching)
{
        size_t kept = 0;

        for (size_t i = 0; i < fetching->listed_count; i++) {
                const struct mailbox_entry *entry = &fetching->listed[i];
                if (!uidl_set_knows(&fetching->uidls, entry->uidl) || fetching_is_missing(fetching, entry))
                        fetching->listed[kept++] = *entry;
        }
        fetching->listed_count = kept;
}

/* What this account itself has deleted does not come again: with that policy, what looks the same is another
 * one. What it left at the server may. */
static void pruned(void *ctx, enum uidls_gone gone, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (!fetching_answered(fetching) || fetching_stopped_by(fetching, cause))
                return;
        fetching->some_gone = gone != NONE_GONE;
        fetching->reconcile = gone >= (fetching_policy_is(fetching, WORD_DELETE) ? LEFT_GONE : SOME_GONE);
        if (fetching_list_more(fetching))
                return;
        leave_out_known(fetching);
        uidl_set_clear(&fetching->uidls);
        fetching_count_list(fetching);
        ask_which_are_known(fetching);
}

void fetching_uidls_listed(struct fetching *fetching)
{
        fetching->list_over = true;
        if (fetching->skipping)
                return;
        if (fetching_skips_all(fetching)) {
                skip_all(fetching);
        } else if (is_window(fetching)) {
                ask_which_are_known(fetching);
        } else {
                for (size_t i = 0; i < fetching->listed_count; i++)
                        uidl_set_add(&fetching->uidls, fetching->listed[i].uidl);
                fetching->answers++;
                fetched_prune_uidls(fetching->account->name, &fetching->uidls,
                                    fetching_policy_is(fetching, WORD_DELETE), pruned, fetching);
        }
}
