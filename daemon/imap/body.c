/* SPDX-License-Identifier: MIT */
/*
 * Bodies on their way to the user; see fetch.h. Servers may answer in any order, name the UID before or
 * behind the body, and leave out what has gone. A body that comes before its UID while several are awaited,
 * or amidst another message that comes in parts, is read over, and that message asked for again by itself, as
 * all are of which nothing came (fetch.c): no order of items can make us hold a message or mix up two.
 */
#include "daemon/imap/fetch.h"

#include "daemon/imap/fetch_items.h"
#include "daemon/imap/work.h"

/* Bytes of a message that nobody wants are to come: a session that would bring too many is at its end. */
static void read_over(struct imap_session *session, uint64_t size)
{
        /* what was asked for may come in an order in which it cannot be taken */
        uint64_t room = MAILBOX_READ_OVER + session->asked - session->unwanted;

        if (size <= room)
                session->unwanted += size;
        else
                (void)engine_fail(&session->engine, CAUSE_PROTOCOL,
                                  "the server sends %llu bytes of messages that were not asked for, or over "
                                  "what was announced",
                                  (unsigned long long)size);
}

/* ---- one message to the user ---- */

/* What the user answers; false: nothing more is handed to it. */
static bool taken(struct imap_session *session, int answer)
{
        if (answer < 0)
                (void)engine_fail(&session->engine, CAUSE_STORAGE,
                                  "a message that arrived could not be stored");
        return answer == 0;
}

/* The user wants no more of the message that arrives. */
static void enough(struct imap_session *session, uint64_t left)
{
        struct imap_arrival *arrival = &session->arrival;

        arrival->wanted = false;
        if (session->engine.state == ENGINE_FAILED)
                return;
        session->work.items[arrival->item].state = WANTED_DELIVERED;
        imap_parts_end(session, arrival->item);
        read_over(session, left);
}

static void message_begin(struct imap_session *session, uint64_t from, uint64_t size)
{
        const struct imap_wanted *item = &session->work.items[session->arrival.item];
        struct mailbox_entry entry = {
                .uid = item->uid,
                .size = item->size,
                .seen = item->seen,
                .deleted = item->deleted,
                .missing = item->missing,
                .from = from,
        };

        if (!taken(session, session->config.user->message_begin(session->config.ctx, &entry, size)))
                enough(session, size);
}

static void message_piece(struct imap_session *session, const char *bytes, size_t len, uint64_t left)
{
        if (!len || !session->arrival.wanted || session->engine.state == ENGINE_FAILED)
                return;
        engine_progress(&session->engine, len);
        if (!taken(session,
                   session->config.user->message_piece(session->config.ctx, (const uint8_t *)bytes, len)))
                enough(session, left);
}

static void message_end(struct imap_session *session)
{
        session->work.items[session->arrival.item].state = WANTED_DELIVERED;
        imap_parts_end(session, session->arrival.item);
        session->untagged = 0;
        if (session->engine.state != ENGINE_FAILED)
                (void)taken(session, session->config.user->message_end(session->config.ctx));
}

/* ---- which message it is ---- */

/* The place among those asked for; -1: it is none of them, or nobody can tell. */
static ssize_t place_of(struct imap_session *session, const struct imap_fetch_items *items)
{
        uint32_t uid = items->uid ? items->uid : items->is_part ? imap_part_awaited(session) : 0;

        if (session->engine.step != IMAP_FETCH)
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

        *arrival = (struct imap_arrival){
                .open = true, .uid = items->uid, .part = items->is_part, .size = size
        };
        if (found >= 0 && session->work.items[found].state == WANTED) {
                arrival->item = (size_t)found;
                arrival->wanted = items->is_part
                                          ? imap_part_fits(session, arrival->item, items->origin, &begins)
                                          : !parts->open;
        }
        if (!arrival->wanted)
                read_over(session, size);
        else if (begins)
                message_begin(session, items->is_part ? items->origin : 0, size);
}

static void body_end(struct imap_session *session)
{
        if (!session->arrival.part || imap_part_ends(session, session->arrival.size))
                message_end(session);
        else
                session->untagged = 0;
}

/* ---- a body as a literal ---- */

static void note_date(const struct imap_session *session, const struct imap_fetch_items *items)
{
        if (items->date && session->config.user->dated)
                session->config.user->dated(session->config.ctx, items->date);
}

void imap_body_begun(struct imap_session *session, const struct imap_item *item)
{
        struct imap_cursor cursor = imap_cursor(item->text, item->len);
        struct imap_fetch_items items = { 0 };
        struct imap_text word;
        uint64_t number;

        if (item->tail) { /* the first one is what was asked for */
                session->arrival.second = true;
                read_over(session, item->size);
                return;
        }
        if (++session->untagged > LIMIT_UNTAGGED_IDLE) {
                (void)engine_fail(&session->engine, CAUSE_PROTOCOL,
                                  "the server sends messages again and again that nobody asked for");
                return;
        }
        session->engine.phrase = "receiving a message";
        /* the parser has seen "* N FETCH" */
        if (!imap_take(&cursor, '*') || !imap_blanks(&cursor) || !imap_number(&cursor, UINT32_MAX, &number) ||
            !imap_blanks(&cursor) || !imap_word(&cursor, &word) ||
            (imap_blanks(&cursor), !imap_take(&cursor, '(')) || !imap_fetch_items(&cursor, true, &items)) {
                session->arrival = (struct imap_arrival){ .open = true };
                read_over(session, item->size);
        } else {
                note_date(session, &items);
                body_begin(session, &items, item->size);
        }
}

void imap_body_piece(struct imap_session *session, const struct imap_item *item)
{
        if (!session->arrival.second)
                message_piece(session, item->text, item->len, session->parser.left);
}

/* True when what came is the message that it was taken for. Without any UID it is the one that was asked for
 * by itself. */
static bool is_the_one(const struct imap_session *session, const struct imap_fetch_items *items)
{
        uint32_t uid = session->work.items[session->arrival.item].uid;

        return items->uid == uid || (!items->uid && session->work.singly);
}

void imap_body_ended(struct imap_session *session, const struct imap_item *item)
{
        struct imap_cursor cursor = imap_cursor(item->text, item->len);
        struct imap_fetch_items items = { .uid = session->arrival.uid };

        session->engine.phrase = session->engine.steps[session->engine.step].phrase;
        /* what is not the one is begun anew with the user when it is asked for by itself */
        if (imap_fetch_items(&cursor, false, &items) && session->arrival.wanted &&
            is_the_one(session, &items))
                body_end(session);
        note_date(session, &items);
        session->arrival = (struct imap_arrival){ 0 };
}

/* ---- a FETCH response without a literal body ---- */

/* A small body may come as a quoted string; NIL says nothing of it. */
static void quoted_body(struct imap_session *session, const struct imap_fetch_items *items)
{
        const char *at = items->body.bytes, *end = at + items->body.len;
        uint64_t size = items->body.len;

        if (items->body.form == IMAP_NIL)
                return;
        if (items->body.form == IMAP_QUOTED)
                for (const char *c = at; c < end; c += *c == '\\' ? 2 : 1)
                        size -= *c == '\\';
        body_begin(session, items, size);
        session->arrival.open = false;
        while (at < end && session->arrival.wanted) {
                const char *escape =
                        items->body.form == IMAP_QUOTED ? memchr(at, '\\', (size_t)(end - at)) : NULL;
                const char *stop = escape ? escape : end;
                message_piece(session, at, (size_t)(stop - at), (uint64_t)(end - stop));
                if (escape)
                        message_piece(session, escape + 1, 1, (uint64_t)(end - escape - 1));
                at = escape ? escape + 2 : end;
        }
        if (session->arrival.wanted && is_the_one(session, items))
                body_end(session);
        session->arrival = (struct imap_arrival){ 0 };
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
        engine_progress(&session->engine, ENGINE_ITEM + len);
        (void)taken(session, session->config.user->head(session->config.ctx, &entry, items->head.bytes,
                                                        len < LIMIT_HEAD ? len : LIMIT_HEAD));
}

/* One that was refused is still listed. */
static void check_heard(struct imap_session *session, const struct imap_fetch_items *items)
{
        ssize_t found = items->uid ? imap_work_find(session, items->uid) : -1;

        session->work.uncertain |= !items->uid;
        if (found >= 0 && session->work.items[found].state == WANTED_REFUSED)
                session->work.items[found].state = WANTED_THERE;
}

void imap_fetch_heard(struct imap_session *session, struct imap_cursor *cursor)
{
        struct imap_fetch_items items = { 0 };

        /* one that cannot be read costs itself only: its message is asked for again by itself */
        if (!imap_take(cursor, '(') || !imap_fetch_items(cursor, false, &items)) {
                session->listing.refused |= session->engine.step == IMAP_LIST;
                session->work.uncertain |= session->work.checking;
                return;
        }
        if (session->engine.step == IMAP_HEADS)
                head_heard(session, &items);
        else if (session->engine.step == IMAP_LIST)
                imap_list_entry(session, &items);
        else if (session->work.checking)
                check_heard(session, &items);
        else if (items.has_body)
                quoted_body(session, &items);
        else if (session->engine.step == IMAP_STORE)
                engine_progress(&session->engine, ENGINE_ITEM);
}
