/* SPDX-License-Identifier: MIT */
/* Asking for a large message part by part, and putting the parts in order; see parts.h. */
#include "daemon/imap/parts.h"

#include "daemon/imap/command.h"
#include "daemon/wire/mailbox.h"

bool imap_in_parts(const struct imap_wanted *item)
{
        return item->size > MAILBOX_WHOLE;
}

/* A partial fetch (RFC 3501, 6.4.5): the server answers with the origin and perhaps with fewer bytes than
 * are asked for, at the end of the message with none. PEEK leaves \Seen alone. */
static void say_part(struct imap_session *session, uint32_t uid, uint64_t from)
{
        imap_say(session, "UID FETCH %u (UID BODY.PEEK[]<%llu.%d>)", uid, (unsigned long long)from,
                 IMAP_PART);
        session->asked += IMAP_PART;
        if (session->engine.state != ENGINE_FAILED)
                session->flights[session->in_flight - 1].part_of = uid;
}

/* Nothing more of this message has to be asked for: the window goes on with the next one, while parts of
 * this one are still on their way. */
static void asked_for_all(struct imap_work *work)
{
        work->parts.asking = false;
        work->next++;
}

/* False where the next message is fetched whole. A message begun in an earlier session goes on at `from`. */
bool imap_say_next_part(struct imap_session *session)
{
        struct imap_work *work = &session->work;
        struct imap_parts *parts = &work->parts;
        const struct imap_wanted *item = &work->items[work->next];

        if (work->next == work->count || !imap_in_parts(item))
                return false;
        if (!parts->asking) {
                parts->asking = true;
                parts->at = item->from;
        }
        say_part(session, item->uid, parts->at);
        parts->at += IMAP_PART;
        if (parts->at > item->size) /* the last one is not full: it tells the end */
                asked_for_all(work);
        return true;
}

/* Answers come in the order of the commands, so the oldest command in flight is the one being answered. */
uint32_t imap_part_awaited(const struct imap_session *session)
{
        return session->in_flight ? session->flights[0].part_of : 0;
}

/* Parts of one message are put together only without a gap and in order. What a server sends unasked, twice
 * or out of order is dropped by the caller, and asked for again. */
bool imap_part_fits(struct imap_session *session, size_t item, uint64_t origin, bool *begins)
{
        struct imap_parts *parts = &session->work.parts;

        *begins = !parts->open && origin == session->work.items[item].from;
        if (*begins) {
                parts->open = true;
                parts->item = item;
                parts->got = origin;
        }
        return parts->open && parts->item == item && parts->got == origin;
}

void imap_parts_end(struct imap_session *session, size_t item)
{
        struct imap_work *work = &session->work;

        if (work->parts.asking && work->next == item)
                asked_for_all(work);
        if (work->parts.item == item)
                work->parts.open = false;
}

/* Whether the message is whole with this part. RFC822.SIZE may be wrong: an empty part is the end in any
 * case, a short one only where the size agrees, for servers may cut parts as they like. */
bool imap_part_ends(struct imap_session *session, uint64_t size)
{
        struct imap_parts *parts = &session->work.parts;

        parts->got += size;
        parts->moved = true;
        if (size < IMAP_PART && parts->asking && session->work.next == parts->item)
                asked_for_all(&session->work); /* what else is asked for would not begin where this ended */
        return !size || (size < IMAP_PART && parts->got >= session->work.items[parts->item].size);
}

/* At most IMAP_WINDOW commands: a scan costs nothing. */
static bool in_flight(const struct imap_session *session, uint32_t uid)
{
        for (size_t i = 0; i < session->in_flight; i++)
                if (session->flights[i].part_of == uid)
                        return true;
        return false;
}

bool imap_part_awaits(const struct imap_session *session, size_t item)
{
        const struct imap_work *work = &session->work;

        return (work->parts.open && work->parts.item == item) || (work->parts.asking && work->next == item) ||
               in_flight(session, work->items[item].uid);
}

/* After each answer: a message that is open, with no part of it on its way, goes on from where it stands.
 * Each round has to bring bytes, or the message is asked for whole, so this ends with every server. */
void imap_parts_settle(struct imap_session *session)
{
        struct imap_work *work = &session->work;
        struct imap_parts *parts = &work->parts;

        if (!parts->open || (parts->asking && work->next == parts->item) ||
            in_flight(session, work->items[parts->item].uid))
                return;
        if (!parts->moved) { /* it has gone, or the server cannot do parts: once more, whole */
                imap_parts_end(session, parts->item);
                work->items[parts->item].state = WANTED_AGAIN;
                work->again++;
                return;
        }
        parts->moved = false;
        say_part(session, work->items[parts->item].uid, parts->got);
}
