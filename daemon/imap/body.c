/* SPDX-License-Identifier: MIT */
/*
 * Bodies on their way to the user; see fetch.h. Servers may answer in any order, name the UID before or behind the
 * body, and leave out what has gone. A body that comes before its UID while several are awaited, or amidst another
 * message that comes in parts, is read over, and that message asked for again by itself: no order of items can make
 * us hold a message or mix up two.
 */
#include "daemon/imap/fetch.h"

#include "daemon/imap/fetch_items.h"
#include "daemon/imap/parts.h"
#include "daemon/imap/work.h"

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

static void message_begin(struct imap_session *session, uint64_t from, uint64_t size)
{
        const struct imap_wanted *item = &session->work.items[session->arrival.item];
        struct mailbox_entry entry = {
                .uid = item->uid,
                .size = item->size,
                .seen = item->seen,
                .deleted = item->deleted,
                .from = from,
        };

        stored(session, session->config.user->message_begin(session->config.ctx, &entry, size));
}

static void message_piece(struct imap_session *session, const char *bytes, size_t len)
{
        chat_progress(&session->chat, len);
        if (len && session->chat.state != CHAT_FAILED)
                stored(session,
                       session->config.user->message_piece(session->config.ctx, (const uint8_t *)bytes, len));
}

static void message_end(struct imap_session *session)
{
        session->work.items[session->arrival.item].state = WANTED_DELIVERED;
        imap_parts_end(session, session->arrival.item);
        session->untagged = 0;
        if (session->chat.state != CHAT_FAILED)
                stored(session, session->config.user->message_end(session->config.ctx));
}

/* ---- which message it is ---- */

/* The place among those asked for; -1: it is none of them, or nobody can tell. */
static ssize_t place_of(struct imap_session *session, const struct imap_fetch_items *items)
{
        uint32_t uid = items->uid ? items->uid : items->is_part ? imap_part_awaited(session) : 0;

        if (session->chat.step != IMAP_FETCH)
                return -1;
        if (uid)
                return imap_work_find(session, uid);
        return session->work.singly ? (ssize_t)session->work.asked : -1;
}

/* A body begins: goes to the user when it is one that was asked for, and none is open but itself. */
static void body_begin(struct imap_session *session, const struct imap_fetch_items *items, uint64_t size)
{
        struct imap_parts *parts = &session->work.parts;
        struct imap_arrival *arrival = &session->arrival;
        ssize_t found = place_of(session, items);
        bool begins = true;

        *arrival = (struct imap_arrival){ .open = true, .uid = items->uid, .part = items->is_part, .size = size };
        if (found < 0 || session->work.items[found].state != WANTED)
                return;
        arrival->item = (size_t)found;
        if (items->is_part)
                arrival->wanted = imap_part_fits(session, arrival->item, items->origin, &begins);
        else
                arrival->wanted = !parts->open;
        if (arrival->wanted && begins)
                message_begin(session, items->is_part ? items->origin : 0, size);
}

static void body_end(struct imap_session *session)
{
        if (!session->arrival.part || imap_part_ends(session, session->arrival.size))
                message_end(session);
        else
                session->untagged = 0;
}

/* A body was read over because nobody could say whose it was, or amidst another message: it is asked for again by
 * itself. */
static void ask_again(struct imap_session *session, uint32_t uid)
{
        ssize_t found = session->chat.step == IMAP_FETCH ? imap_work_find(session, uid) : -1;
        const struct imap_parts *parts = &session->work.parts;

        if (found < 0 || session->work.items[found].state != WANTED || (parts->open && parts->item == (size_t)found))
                return;
        session->work.items[found].state = WANTED_AGAIN;
        session->work.again++;
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
        body_begin(session, &items, item->size);
}

void imap_body_piece(struct imap_session *session, const struct imap_item *item)
{
        if (session->arrival.wanted)
                message_piece(session, item->text, item->len);
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
                session->arrival = arrival;
                body_end(session);
                session->arrival = (struct imap_arrival){ 0 };
        } else if (items.uid) {
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
        if (items->body.form == IMAP_QUOTED)
                for (const char *c = at; c < end; c += *c == '\\' ? 2 : 1)
                        size -= *c == '\\';
        body_begin(session, items, size);
        session->arrival.open = false;
        if (!session->arrival.wanted) {
                ask_again(session, items->uid);
                return;
        }
        while (at < end) {
                const char *escape =
                        items->body.form == IMAP_QUOTED ? memchr(at, '\\', (size_t)(end - at)) : NULL;
                const char *stop = escape ? escape : end;
                message_piece(session, at, (size_t)(stop - at));
                if (escape)
                        message_piece(session, escape + 1, 1);
                at = escape ? escape + 2 : end;
        }
        body_end(session);
}

/* The header of a message that is too large to be fetched. */
static void head_heard(struct imap_session *session, const struct imap_fetch_items *items)
{
        ssize_t found = items->has_head && items->uid ? imap_work_find(session, items->uid) : -1;
        size_t len = items->head.form == IMAP_NIL ? 0 : items->head.len;

        if (found < 0 || session->work.items[found].state != WANTED)
                return;
        struct mailbox_entry entry = { .uid = items->uid };
        session->work.items[found].state = WANTED_DELIVERED;
        session->untagged = 0;
        chat_progress(&session->chat, CHAT_ITEM + len);
        stored(session, session->config.user->head(session->config.ctx, &entry, items->head.bytes,
                                                   len < LIMIT_HEAD ? len : LIMIT_HEAD));
}

void imap_fetch_heard(struct imap_session *session, struct imap_cursor *cursor)
{
        struct imap_fetch_items items = { 0 };

        if (!imap_take(cursor, '(') || !imap_fetch_items(cursor, false, &items)) {
                (void)chat_fail(&session->chat, CAUSE_PROTOCOL,
                                "the server sent a FETCH response that cannot be read");
                return;
        }
        if (session->chat.step == IMAP_HEADS)
                head_heard(session, &items);
        else if (session->chat.step == IMAP_LIST)
                imap_list_entry(session, &items);
        else if (items.has_body)
                quoted_body(session, &items);
        else if (session->chat.step == IMAP_STORE)
                chat_progress(&session->chat, CHAT_ITEM);
}
