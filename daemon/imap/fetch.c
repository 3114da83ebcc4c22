/* SPDX-License-Identifier: MIT */
/*
 * Fetching and marking; see fetch.h. Servers may answer in any order, name the UID before or
 * behind the body, and leave out what has gone. A body that comes before its UID while several
 * are awaited is read over, and that message asked for again by itself: no order of items can
 * make us hold a message or mix up two.
 */
#include "daemon/imap/fetch.h"

#include "daemon/imap/command.h"
#include "daemon/imap/fetch_items.h"
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

static void unreadable(struct imap_session *session, const char *why)
{
        (void)chat_fail(&session->chat, CAUSE_PROTOCOL, "the server sent a message %s", why);
}

/* ---- one message to the user ---- */

static void stored(struct imap_session *session, int result)
{
        if (result != 0)
                (void)chat_fail(&session->chat, CAUSE_STORAGE, "a message that arrived could not be stored");
}

static void message_begin(struct imap_session *session, uint64_t size)
{
        const struct imap_wanted *item = &session->work.items[session->arrival.item];
        struct mailbox_entry entry = {
                .uid = item->uid,
                .size = item->size,
                .seen = item->seen,
                .deleted = item->deleted,
        };

        stored(session, session->config.user->message_begin(session->config.ctx, &entry, size));
}

static void message_piece(struct imap_session *session, const char *bytes, size_t len)
{
        if (len && session->chat.state != CHAT_FAILED)
                stored(session,
                       session->config.user->message_piece(session->config.ctx, (const uint8_t *)bytes, len));
}

static void message_end(struct imap_session *session)
{
        session->work.items[session->arrival.item].state = WANTED_DELIVERED;
        session->untagged = 0;
        if (session->chat.state != CHAT_FAILED)
                stored(session, session->config.user->message_end(session->config.ctx));
}

/* Which of the messages asked for this is; sets `wanted`. */
static void identify(struct imap_session *session, uint32_t uid)
{
        struct imap_arrival *arrival = &session->arrival;
        ssize_t found = session->chat.step != IMAP_FETCH ? -1
                        : uid                            ? imap_work_find(session, uid)
                        : session->work.singly           ? (ssize_t)session->work.asked
                                                         : -1;

        *arrival = (struct imap_arrival){ .open = true, .uid = uid };
        if (found >= 0 && session->work.items[found].state == WANTED) {
                arrival->item = (size_t)found;
                arrival->wanted = true;
        }
}

/* ---- a body as a literal ---- */

void imap_body_begun(struct imap_session *session, const struct imap_item *item)
{
        struct imap_cursor cursor = imap_cursor(item->text, item->len);
        struct imap_fetch_items items = { 0 };
        struct imap_text word;
        uint64_t number;

        if (item->tail) {
                unreadable(session, "with two bodies");
                return;
        }
        /* the parser has seen "* N FETCH" */
        if (!imap_take(&cursor, '*') || !imap_blanks(&cursor) || !imap_number(&cursor, UINT32_MAX, &number) ||
            !imap_blanks(&cursor) || !imap_word(&cursor, &word) || !imap_blanks(&cursor) ||
            !imap_take(&cursor, '(') || !imap_fetch_items(&cursor, true, &items)) {
                unreadable(session, "in a response that cannot be read");
                return;
        }
        if (++session->untagged > LIMIT_UNTAGGED_IDLE) {
                unreadable(session, "again and again that nobody asked for");
                return;
        }
        session->chat.phrase = "receiving a message";
        identify(session, items.uid);
        if (session->arrival.wanted)
                message_begin(session, item->size);
}

void imap_body_piece(struct imap_session *session, const struct imap_item *item)
{
        if (session->arrival.wanted)
                message_piece(session, item->text, item->len);
}

/* A body was read over because nobody could say whose it was: that one is asked for again by itself. */
static void ask_again(struct imap_session *session, uint32_t uid)
{
        ssize_t found = session->chat.step == IMAP_FETCH ? imap_work_find(session, uid) : -1;

        if (found >= 0 && session->work.items[found].state == WANTED) {
                session->work.items[found].state = WANTED_AGAIN;
                session->work.again++;
        }
}

void imap_body_ended(struct imap_session *session, const struct imap_item *item)
{
        struct imap_cursor cursor = imap_cursor(item->text, item->len);
        struct imap_fetch_items items = { .uid = session->arrival.uid };
        struct imap_arrival arrival = session->arrival;

        session->arrival = (struct imap_arrival){ 0 };
        session->chat.phrase = session->chat.steps[session->chat.step].phrase;
        if (!imap_fetch_items(&cursor, false, &items) || items.has_body) {
                unreadable(session, "in a response that cannot be read");
        } else if (arrival.wanted && items.uid != session->work.items[arrival.item].uid) {
                unreadable(session, items.uid ? "under another UID than was asked for" : "without its UID");
        } else if (arrival.wanted) {
                session->arrival.item = arrival.item;
                message_end(session);
        } else if (!arrival.uid && items.uid) {
                ask_again(session, items.uid);
        }
}

/* ---- a FETCH response without a literal body ---- */

/* A small body may come as a quoted string; NIL says that the message has gone. */
static void quoted_body(struct imap_session *session, const struct imap_fetch_items *items)
{
        const char *at = items->body.bytes, *end = at + items->body.len;
        uint64_t size = items->body.len;

        if (!items->uid || items->body.form == IMAP_NIL)
                return;
        identify(session, items->uid);
        session->arrival.open = false;
        if (!session->arrival.wanted)
                return;
        if (items->body.form == IMAP_QUOTED)
                for (const char *c = at; c < end; c += *c == '\\' ? 2 : 1)
                        size -= *c == '\\';
        message_begin(session, size);
        while (at < end) {
                const char *escape =
                        items->body.form == IMAP_QUOTED ? memchr(at, '\\', (size_t)(end - at)) : NULL;
                const char *stop = escape ? escape : end;
                message_piece(session, at, (size_t)(stop - at));
                if (escape)
                        message_piece(session, escape + 1, 1);
                at = escape ? escape + 2 : end;
        }
        message_end(session);
}

void imap_fetch_heard(struct imap_session *session, struct imap_cursor *cursor)
{
        struct imap_fetch_items items = { 0 };

        if (!imap_take(cursor, '(') || !imap_fetch_items(cursor, false, &items)) {
                (void)chat_fail(&session->chat, CAUSE_PROTOCOL,
                                "the server sent a FETCH response that cannot be read");
                return;
        }
        if (session->chat.step == IMAP_LIST)
                imap_list_entry(session, &items);
        else if (items.has_body)
                quoted_body(session, &items);
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
        imap_work_say(session, "FETCH", fetch_what);
        if (!session->in_flight && work->again && !work->singly) {
                work->singly = true;
                work->next = 0;
                imap_work_say(session, "FETCH", fetch_what);
        }
        return session->in_flight ? (int)STEP_SAME : imap_operation_done(session, finished_fetch);
}

void imap_mark(struct chat *chat, const struct mailbox_entry *entries, size_t count, enum mailbox_mark mark)
{
        struct imap_session *session = imap_session_of(chat);

        imap_work_take(session, entries, count);
        for (size_t i = 0; i < session->work.count; i++)
                session->work.items[i].size = 0; /* no bodies come: commands as long as they may be */
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
