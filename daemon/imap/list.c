/* SPDX-License-Identifier: MIT */
/*
 * The mailbox listing: UID, flags and size of every message above the cursor, handed on in
 * batches while it comes in. Only unseen ones: by SEARCH first, so that a large mailbox with
 * nothing new costs one line.
 */
#include "daemon/imap/command.h"
#include "daemon/imap/fetch.h"
#include "daemon/imap/fetch_items.h"
#include "daemon/imap/responses.h"
#include "daemon/imap/work.h"

/* The answer to SEARCH is one response and has to fit LIMIT_REPLY; a larger mailbox is listed and sieved here. */
enum { SEARCHABLE = 100000 };

static const char list_what[] = " (UID FLAGS RFC822.SIZE)";

static void finished_list(struct imap_session *session)
{
        session->config.user->listed_all(session->config.ctx);
}

static void give_batch(struct imap_session *session)
{
        struct imap_listing *listing = &session->listing;
        size_t count = listing->count;

        listing->count = 0;
        if (count)
                session->config.user->listed(session->config.ctx, listing->batch, count);
}

static int list_done(struct imap_session *session)
{
        give_batch(session);
        return imap_operation_done(session, finished_list);
}

void imap_list(struct chat *chat, uint32_t after, bool unseen_only)
{
        struct imap_session *session = imap_session_of(chat);

        session->news = false;
        session->listing = (struct imap_listing){
                .after = after,
                .unseen_only = unseen_only,
                .filter_seen = unseen_only && session->facts.exists > SEARCHABLE,
                .batch = new_zeroed(IMAP_BATCH, sizeof(struct mailbox_entry)),
        };
        session->finished = finished_list;
        if (session->facts.exists == 0 || after == UINT32_MAX)
                chat_go(chat, IMAP_NOTHING); /* "1:*" is an error in an empty mailbox for some servers */
        else if (unseen_only && !session->listing.filter_seen)
                chat_go(chat, IMAP_SEARCH);
        else
                chat_go(chat, IMAP_LIST);
}

void imap_say_search(struct chat *chat)
{
        struct imap_session *session = imap_session_of(chat);

        imap_say(session, "UID SEARCH UID %u:* UNSEEN", session->listing.after + 1);
}

void imap_found(struct imap_session *session, struct imap_cursor *cursor)
{
        uint64_t uid;

        if (session->chat.step != IMAP_SEARCH)
                return;
        while (imap_blanks(cursor), imap_number(cursor, UINT32_MAX, &uid)) {
                if (uid > session->listing.after && imap_work_add(session, (uint32_t)uid) != 0) {
                        (void)chat_fail(&session->chat, CAUSE_PROTOCOL,
                                        "the server lists more than %d messages", LIMIT_LISTED);
                        return;
                }
        }
}

int imap_search_heard(struct chat *chat, const void *reply)
{
        struct imap_session *session = imap_session_of(chat);
        const struct imap_reply *said = reply;

        if (said->status != IMAP_OK)
                return imap_refused(session, said, CAUSE_SERVER_BUSY, "the search for unseen messages");
        imap_work_sort(session);
        return session->work.count ? (int)IMAP_LIST : list_done(session);
}

void imap_say_list(struct chat *chat)
{
        struct imap_session *session = imap_session_of(chat);

        if (session->work.count)
                imap_work_say(session, "FETCH", list_what);
        else
                imap_say(session, "UID FETCH %u:*%s", session->listing.after + 1, list_what);
}

void imap_list_entry(struct imap_session *session, const struct imap_fetch_items *items)
{
        struct imap_listing *listing = &session->listing;

        /* "n:*" names the last message even when its UID is below n */
        if (!items->has_size || items->uid <= listing->after || (listing->filter_seen && items->seen))
                return;
        if (++listing->total > LIMIT_LISTED) {
                (void)chat_fail(&session->chat, CAUSE_PROTOCOL, "the server lists more than %d messages",
                                LIMIT_LISTED);
                return;
        }
        session->untagged = 0;
        listing->batch[listing->count++] = (struct mailbox_entry){
                .uid = items->uid,
                .size = items->size,
                .seen = items->seen,
                .deleted = items->deleted,
        };
        if (listing->count == IMAP_BATCH)
                give_batch(session);
}

int imap_list_heard(struct chat *chat, const void *reply)
{
        struct imap_session *session = imap_session_of(chat);

        if (!imap_served(reply))
                return imap_refused(session, reply, CAUSE_SERVER_BUSY, "the list of messages");
        if (session->work.count)
                imap_work_say(session, "FETCH", list_what);
        return session->in_flight ? (int)STEP_SAME : list_done(session);
}
