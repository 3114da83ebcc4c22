/* SPDX-License-Identifier: MIT */
/*
 * Which messages of a folder are new: the cursor from disk, the server's list, and what stands between the
 * two (read already, skipped, too large, begun before, under other numbers). The rounds follow
 * (fetching_batches.c).
 *
 * UIDVALIDITY and UID name a message for good (RFC 3501, 2.3.1.1); a UIDL does in POP3 (RFC 1939, 7). From
 * the cursor three cases follow: none is known (first poll), its UIDVALIDITY is the present one (only what is
 * above it is listed), it is another one (reconcile: all is listed, fetched and compared by content, so that
 * nothing is delivered twice). A server without UIDVALIDITY gets one of ours above 2^62; what servers give is
 * 32 bits.
 *
 * A mailbox of any size is looked at in windows of LISTED_AT_ONCE, lowest UIDs first: the memory for a
 * listing is bounded, whatever a server sends.
 */
#include "daemon/incoming/fetching_state.h"

#include "common/order.h"
#include "daemon/messages.h"
#include "daemon/store/partial_download.h"

#include <assert.h>

enum {
        LISTED_AT_ONCE =
                1 << 17, /* messages of a folder that are held, and as many again while they come in */
        WANTED_AT_ONCE = 1 << 15, /* and of these, that are being fetched */
};

#define OUR_UIDVALIDITY ((uint64_t)1 << 62)

/* Too large ones are fetched by header alone, for the note that stands for them in the inbox. */
void fetching_want(struct fetching *fetching, const struct mailbox_entry *entry)
{
        if (entry->size > fetching_most(fetching))
                fetching_push(&fetching->left, &fetching->left_count, &fetching->left_size, entry);
        else
                fetching_push(&fetching->wanted, &fetching->wanted_count, &fetching->wanted_size, entry);
}

/* `from` of each: how many bytes are here from an earlier session (BODY[]<from>). They are some of those
 * wanted, in their order. */
static void halves_found(void *ctx, const struct mailbox_entry *entries, size_t count)
{
        struct fetching *fetching = ctx;

        if (!fetching_answered(fetching))
                return;
        for (size_t i = 0, found = 0; i < fetching->wanted_count && found < count; i++)
                if (fetching->wanted[i].uid == entries[found].uid)
                        fetching->wanted[i].from = entries[found++].from;
        fetching_tell_server(fetching); /* those of an earlier session first; then the rounds */
}

void fetching_begin_rounds(struct fetching *fetching)
{
        struct mailbox_entry *large = NULL;
        size_t count = 0, size = 0;

        fetching_count_list(fetching); /* sorted out by now */
        free(fetching->wants);
        fetching->wants = new_zeroed(fetching->wanted_count + 1, sizeof *fetching->wants);
        for (size_t i = 0; i < fetching->wanted_count; i++)
                if (partial_is_kept(&fetching->wanted[i]))
                        fetching_push(&large, &count, &size, &fetching->wanted[i]);
        if (count) {
                fetching->answers++;
                partial_find(fetching->account->name, fetching->folder, fetching->info.uidvalidity, large,
                             count, halves_found, fetching);
        } else {
                fetching_tell_server(fetching);
        }
        free(large);
}

/* By ascending UID, each once: of a message that came in several responses each may have said something else.
 */
static void order_rows(struct fetching *fetching)
{
        struct listed_row *rows = fetching->rows;
        size_t kept = 0;

        static_assert(offsetof(struct listed_row, uid) == 0, "they are ordered by it");
        order_by_number(rows, fetching->row_count, sizeof *rows);
        for (size_t i = 0; i < fetching->row_count; i++) {
                struct listed_row *same = kept && rows[kept - 1].uid == rows[i].uid ? &rows[kept - 1] : NULL;
                if (!same) {
                        rows[kept++] = rows[i];
                        continue;
                }
                same->size = rows[i].size > same->size ? rows[i].size : same->size;
                same->seen |= rows[i].seen;
                same->deleted |= rows[i].deleted;
        }
        fetching->row_count = kept;
}

/* fetchInitially=new: what is in the mailbox at the first poll stays there, unknown here. */
bool fetching_skips_all(const struct fetching *fetching)
{
        return fetching->first_poll && prop_is(&fetching->account->values, WORD_NEW);
}

/* Of a mailbox with more messages than we hold at once the lowest UIDs are dealt with first. */
static void keep_lowest(struct fetching *fetching)
{
        order_rows(fetching);
        if (fetching->row_count <= LISTED_AT_ONCE)
                return;
        fetching->row_count = LISTED_AT_ONCE;
        fetching->more = true;
}

/* Bounded at twice a window: then sorted and cut, and what is above the cut is passed over from there on. */
static void list_row(struct fetching *fetching, const struct mailbox_entry *entry)
{
        if (fetching->more && entry->uid > fetching->rows[LISTED_AT_ONCE - 1].uid)
                return;
        if (fetching->row_count == fetching->row_size) {
                fetching->row_size = fetching->row_size ? 2 * fetching->row_size : 256;
                fetching->rows = new_resized(fetching->rows, fetching->row_size, sizeof *fetching->rows);
        }
        fetching->rows[fetching->row_count++] = (struct listed_row){
                .uid = entry->uid, .seen = entry->seen, .deleted = entry->deleted, .size = entry->size
        };
        if (fetching->row_count == 2 * LISTED_AT_ONCE)
                keep_lowest(fetching);
}

/* The engine's own memory for a listing counts as ours: all accounts share a budget (listing_share.c). */
void fetching_on_holds(void *ctx, size_t bytes)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching)
                return;
        fetching->session_holds = bytes;
        fetching_count_list(fetching);
}

void fetching_on_listed(void *ctx, const struct mailbox_entry *entries, size_t count)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        for (size_t i = 0; fetching && i < count; i++) {
                if (fetching->checking || fetching->counting) {
                        (void)fetching_sort_out(fetching, &entries[i]);
                        continue;
                }
                if (fetching->pop3) {
                        fetching_list_uidl(fetching, &entries[i]);
                        continue;
                }
                if (fetching_skips_all(fetching)) { /* how far they go is all */
                        if (entries[i].uid > fetching->highest)
                                fetching->highest = entries[i].uid;
                        continue;
                }
                list_row(fetching, &entries[i]);
        }
        if (fetching)
                fetching_count_list(fetching);
}

static int by_uid(const void *a, const void *b)
{
        const struct mailbox_entry *one = a, *two = b;

        return one->uid < two->uid ? -1 : one->uid > two->uid;
}

static bool is_known(const struct fetching *fetching, const struct mailbox_entry *entry)
{
        return fetching->known_count &&
               bsearch(entry, fetching->known, fetching->known_count, sizeof *entry, by_uid) != NULL;
}

/* The next of those that are listed, by UID: entries are large, and wanted for as long as they are fetched.
 * Deleted ones are the server's to remove; missing ones are asked for by themselves. */
static void want_rows(struct fetching *fetching)
{
        size_t first = fetching->row_next, left = fetching->row_count - first;
        size_t until = first + (left < WANTED_AT_ONCE ? left : WANTED_AT_ONCE);
        bool last = until == fetching->row_count;

        for (size_t i = first; i < until; i++) {
                const struct listed_row *row = &fetching->rows[i];
                struct mailbox_entry entry = { .uid = row->uid, .size = row->size, .seen = row->seen };
                if (row->uid > fetching->highest)
                        fetching->highest = row->uid;
                if (!row->deleted && !(fetching->unseen_only && row->seen) && !is_known(fetching, &entry) &&
                    !fetching_is_missing(fetching, &entry))
                        fetching_want(fetching, &entry);
        }
        fetching->row_next = until;
        if (last) {
                free(take(fetching->rows));
                fetching->row_count = fetching->row_size = fetching->row_next = 0;
                if (!fetching->more && fetching->up_to > fetching->highest)
                        fetching->highest = fetching->up_to;
        }
        fetching_begin_rounds(fetching);
}

/* All rows are here. */
static void listed_imap(struct fetching *fetching)
{
        keep_lowest(fetching);
        if (fetching->row_count) {
                fetching->rows = new_resized(fetching->rows, fetching->row_count, sizeof *fetching->rows);
                fetching->row_size = fetching->row_count;
        }
        if (!fetching_skips_all(fetching)) {
                fetching->up_to = fetching->highest;
                fetching->highest = fetching->after; /* so far */
        }
        for (size_t i = 0; i < fetching->back_count && !fetching->windows; i++)
                fetching_want(fetching, &fetching->back[i]);
        want_rows(fetching);
}

/* UIDNEXT as SELECT gives it says that nothing is there above the cursor: no listing. On a kept session it is
 * asked for all the same, should the server have been silent. */
static bool nothing_new(const struct fetching *fetching, uint32_t after)
{
        return fetching->just_opened && fetching->info.uidnext && fetching->info.uidnext - 1 <= after &&
               !fetching->first_poll && !fetching->reconcile;
}

static void list(struct fetching *fetching)
{
        bool all = !fetching->windows && (fetching->pop3 || fetching->first_poll || fetching->reconcile);
        uint32_t after = fetching->windows ? fetching->highest : all ? 0 : fetching->cursor.uid;

        fetching->after = after;
        fetching->more = fetching->list_over = false;
        /* what the listing does not show (unseen only) is dealt with as well; in a mailbox that is said to be
         * empty nothing is, whatever UIDNEXT says */
        bool is_all = fetching->info.exists && (fetching->first_poll || fetching->reconcile);
        fetching->highest = fetching->info.uidnext && is_all ? fetching->info.uidnext - 1 : after;
        fetching->unseen_only =
                fetching->first_poll && !fetching->pop3 && prop_is(&fetching->account->values, WORD_UNREAD);
        if (!fetching->windows && nothing_new(fetching, after)) {
                listed_imap(fetching);
                return;
        }
        fetching->ops->list(fetching_engine(fetching), after, fetching->unseen_only);
}

/* What is missing may lie below the cursor: whether it is still there has to be asked for. */
static void check_missing(struct fetching *fetching)
{
        struct mailbox_entry *entries = NULL;
        size_t count = 0, size = 0;

        bool empty = fetching->pop3 || (fetching->info.counted && !fetching->info.exists);

        for (size_t i = 0; i < fetching->missing_count && !empty; i++)
                fetching_push(&entries, &count, &size, &fetching->missing[i].entry);
        fetching->checking = count > 0;
        if (count) {
                fetching->ops->list_these(fetching_engine(fetching), entries, count);
        } else {
                fetching->all_listed = empty;
                if (!fetching->pop3)
                        fetching_end_gone(fetching);
                list(fetching);
        }
        free(entries);
}

/* A server may deny for a while what it counts all along: what it did not list is not taken for deleted
 * before it has listed as many as there are. */
static void missing_checked(struct fetching *fetching)
{
        bool counted = fetching->counting;

        fetching->checking = false;
        fetching->counting = !counted && fetching_any_unlisted(fetching);
        if (fetching->counting) {
                fetching->ops->list(fetching_engine(fetching), 0, false);
                return;
        }
        fetching->all_listed = counted && !fetching->unlisted;
        fetching_end_gone(fetching);
        fetching_note_vain(fetching, list);
}

void fetching_on_listed_all(void *ctx)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching)
                return;
        fetching->session_holds = 0;
        if (fetching->checking || fetching->counting)
                missing_checked(fetching);
        else if (fetching->pop3) {
                fetching_uidls_listed(fetching);
        } else {
                listed_imap(fetching);
        }
}

/* The next part of what is listed, or the next window of the same mailbox, above the highest UID that was
 * dealt with. */
bool fetching_list_more(struct fetching *fetching)
{
        bool listed = fetching->row_next < fetching->row_count;

        if (!listed && !fetching->more)
                return false;
        fetching->windows++;
        fetching->listed_count = fetching->wanted_count = fetching->left_count = fetching->next = 0;
        fetching->expected = fetching->round = 0;
        free(take(fetching->wanted));
        fetching->wanted_size = 0;
        fetching->heads_over = false;
        if (listed)
                want_rows(fetching);
        else
                list(fetching);
        return true;
}

static void note_new_uidvalidity(struct fetching *fetching)
{
        struct subject subject = fetching_subject(fetching);

        log_about(&subject, LOG_NOTICE, MSG_UIDVALIDITY,
                  "%s: folder %s was numbered anew by the server (UIDVALIDITY %llu, was %llu): comparing by "
                  "content, "
                  "nothing is delivered again",
                  fetching->account->name, fetching->folder, (unsigned long long)fetching->info.uidvalidity,
                  (unsigned long long)fetching->cursor.uidvalidity);
}

/* A server that gives no UIDVALIDITY: a number of ours stands for it, beyond what servers give. It is the
 * same as long as UIDs seem to go on; when they do not, the next, so that messages are compared by content.
 */
static void number_ourselves(struct fetching *fetching)
{
        const struct fetched_cursor *cursor = &fetching->cursor;
        struct subject subject = fetching_subject(fetching);
        bool ours = cursor->known && cursor->uidvalidity >= OUR_UIDVALIDITY;
        bool goes_on = !fetching->info.uidnext || fetching->info.uidnext > cursor->uid;

        fetching->info.uidvalidity = !ours ? OUR_UIDVALIDITY : cursor->uidvalidity + !goes_on;
        if (cursor->known && cursor->uidvalidity == fetching->info.uidvalidity)
                return;
        log_about(&subject, LOG_NOTICE, MSG_UIDVALIDITY,
                  "%s: the server gives no UIDVALIDITY for folder %s, or 0: when it seems to number its "
                  "messages anew, they are "
                  "compared by content, and nothing is delivered again",
                  fetching->account->name, fetching->folder);
}

/* Rows of the record that matter to this poll: here above the cursor, on disk and not told, left for their
 * size that would be taken now. */
static void cursor_known(void *ctx, const struct fetched_cursor *cursor, const struct mailbox_entry *untold,
                         size_t count, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (!fetching_answered(fetching) || fetching_stopped_by(fetching, cause))
                return;
        bool numbered = fetching->info.uidvalidity != 0;
        fetching->cursor = *cursor;
        if (!fetching->pop3 && !numbered)
                number_ourselves(fetching);
        fetching->first_poll = !cursor->known;
        fetching->reconcile = cursor->known && cursor->uidvalidity != fetching->info.uidvalidity;
        if (fetching->reconcile && fetching->info.uidvalidity < OUR_UIDVALIDITY)
                note_new_uidvalidity(fetching);
        /* what is told is of the server's present numbers, or of ours */
        bool present = numbered || !fetching->reconcile;
        if (present)
                fetching_take_missing(fetching, cursor->missing, cursor->missing_count);
        for (size_t i = 0; i < count && present; i++) {
                struct mailbox_entry entry = untold[i];
                entry.left = entry.here = false;
                if (untold[i].here)
                        fetching_push(&fetching->known, &fetching->known_count, &fetching->known_size,
                                      &entry);
                else if (!untold[i].left)
                        fetching_push(&fetching->tell, &fetching->tell_count, &fetching->tell_size, &entry);
                else if (entry.size <= fetching_most(fetching) && entry.uid <= cursor->uid)
                        fetching_push(&fetching->back, &fetching->back_count, &fetching->back_size, &entry);
        }
        check_missing(fetching);
}

void fetching_read_cursor(struct fetching *fetching)
{
        fetching->answers++;
        fetched_cursor(fetching->account->name, fetching->folder, fetching->info.uidvalidity, cursor_known,
                       fetching);
}

/* One account's folders are looked at one after the other, and not before an earlier fetching has written
 * what it had (fetching_behind_others). */
void fetching_on_opened(void *ctx, const struct mailbox_info *info)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching)
                return;
        fetching->info = *info;
        fetching_behind_others(fetching, fetching_read_cursor);
}
