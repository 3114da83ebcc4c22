/* SPDX-License-Identifier: MIT */
/* Fetching and marking; see fetch.h. What arrives meanwhile is body.c's. */
#include "daemon/imap/fetch.h"

#include "daemon/imap/command.h"
#include "daemon/imap/fetch_items.h"
#include "daemon/imap/parts.h"
#include "daemon/imap/responses.h"
#include "daemon/imap/work.h"

static const char fetch_what[] = " (UID BODY.PEEK[])";

void imap_fetch_clear(struct imap_session *session)
{
        imap_work_clear(session);
        free(session->listing.batch);
        session->listing = (struct imap_listing){ 0 };
        session->arrival = (struct imap_arrival){ 0 };
}

/* ---- the operations ---- */

static void finished_fetch(struct imap_session *session)
{
        session->config.user->fetched(session->config.ctx);
}

static void finished_mark(struct imap_session *session)
{
        session->config.user->marked(session->config.ctx);
}

void imap_fetch(struct chat *chat, const struct mailbox_entry *entries, size_t count)
{
        struct imap_session *session = imap_session_of(chat);

        imap_work_take(session, entries, count);
        session->finished = finished_fetch;
        chat_go(chat, count ? IMAP_FETCH : IMAP_NOTHING);
}

void imap_say_fetch(struct chat *chat)
{
        imap_work_say(imap_session_of(chat), "FETCH", fetch_what);
}

int imap_bodies_heard(struct chat *chat, const void *reply)
{
        struct imap_session *session = imap_session_of(chat);
        struct imap_work *work = &session->work;

        if (!imap_served(reply))
                return imap_refused(session, reply, CAUSE_SERVER_BUSY, "to hand out messages");
        imap_parts_settle(session);
        imap_work_say(session, "FETCH", fetch_what);
        if (!session->in_flight && work->again && !work->singly) {
                work->singly = true;
                work->next = 0;
                imap_work_say(session, "FETCH", fetch_what);
        }
        return session->in_flight ? (int)STEP_SAME : imap_operation_done(session, finished_fetch);
}

/* No bodies come: commands as long as they may be. */
static void take_without_sizes(struct imap_session *session, const struct mailbox_entry *entries, size_t count)
{
        imap_work_take(session, entries, count);
        for (size_t i = 0; i < session->work.count; i++)
                session->work.items[i].size = 0;
}

void imap_heads(struct chat *chat, const struct mailbox_entry *entries, size_t count)
{
        struct imap_session *session = imap_session_of(chat);

        take_without_sizes(session, entries, count);
        session->finished = finished_fetch;
        chat_go(chat, count ? IMAP_HEADS : IMAP_NOTHING);
}

void imap_say_heads(struct chat *chat)
{
        imap_work_say(imap_session_of(chat), "FETCH", " (UID BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT)])");
}

int imap_heads_heard(struct chat *chat, const void *reply)
{
        struct imap_session *session = imap_session_of(chat);

        if (!imap_served(reply))
                return imap_refused(session, reply, CAUSE_SERVER_BUSY, "to show headers");
        imap_say_heads(chat);
        return session->in_flight ? (int)STEP_SAME : imap_operation_done(session, finished_fetch);
}

void imap_mark(struct chat *chat, const struct mailbox_entry *entries, size_t count, enum mailbox_mark mark)
{
        struct imap_session *session = imap_session_of(chat);

        take_without_sizes(session, entries, count);
        session->mark = mark;
        session->finished = finished_mark;
        chat_go(chat, count ? IMAP_STORE : IMAP_NOTHING);
}

void imap_say_store(struct chat *chat)
{
        struct imap_session *session = imap_session_of(chat);

        imap_work_say(session, "STORE",
                      session->mark == MARK_SEEN ? " +FLAGS.SILENT (\\Seen)" : " +FLAGS.SILENT (\\Deleted)");
}

int imap_store_heard(struct chat *chat, const void *reply)
{
        struct imap_session *session = imap_session_of(chat);

        if (!imap_served(reply))
                return imap_refused(session, reply, CAUSE_MAILBOX, "to flag messages");
        imap_say_store(chat);
        if (session->in_flight)
                return STEP_SAME;
        if (session->mark == MARK_DELETED && session->facts.can_expunge_uid) {
                session->work.next = 0;
                return IMAP_EXPUNGE;
        }
        return imap_operation_done(session, finished_mark);
}

void imap_say_expunge(struct chat *chat)
{
        imap_work_say(imap_session_of(chat), "EXPUNGE", "");
}

int imap_expunge_heard(struct chat *chat, const void *reply)
{
        struct imap_session *session = imap_session_of(chat);

        if (!imap_served(reply))
                return imap_refused(session, reply, CAUSE_MAILBOX, "to delete messages");
        imap_say_expunge(chat);
        return session->in_flight ? (int)STEP_SAME : imap_operation_done(session, finished_mark);
}

void imap_say_nothing(struct chat *chat)
{
        imap_say(imap_session_of(chat), "NOOP");
}

int imap_nothing_heard(struct chat *chat, const void *reply)
{
        struct imap_session *session = imap_session_of(chat);
        const struct imap_reply *said = reply;

        if (said->status != IMAP_OK)
                return imap_refused(session, said, CAUSE_SERVER_BUSY, "to go on");
        return imap_operation_done(session, session->finished);
}
