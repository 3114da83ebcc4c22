/* SPDX-License-Identifier: MIT */
/* What is asked for at once: UID sets, the window of commands, parts of large messages; see work.h. */
#include "daemon/imap/work.h"

#include "common/order.h"
#include "daemon/imap/command.h"
#include "daemon/wire/mailbox.h"

#include <assert.h>
#include <stdio.h>

/* A command line stays below the 1000 octets that RFC 2683, 3.2.1.5 advises; a range is two numbers of ten
 * digits, a colon and a comma. */
enum { SET_SIZE = 900, RANGE_SIZE = 24 };

/* UIDs are unsigned: a difference would overflow. */
static int by_uid(const void *a, const void *b)
{
        const struct imap_wanted *one = a, *other = b;

        return one->uid < other->uid ? -1 : one->uid > other->uid;
}

void imap_work_clear(struct imap_session *session)
{
        free(session->work.items);
        session->work = (struct imap_work){ 0 };
}

/* Each UID once and ascending, which bsearch() and the ranges rest on. */
void imap_work_sort(struct imap_session *session)
{
        struct imap_work *work = &session->work;
        size_t kept = 0;

        static_assert(offsetof(struct imap_wanted, uid) == 0, "they are ordered by it");
        order_by_number(work->items, work->count, sizeof *work->items);
        for (size_t i = 0; i < work->count; i++)
                if (!kept || work->items[kept - 1].uid != work->items[i].uid)
                        work->items[kept++] = work->items[i];
        work->count = kept;
}

/* -1 beyond LIMIT_LISTED: a server cannot make us hold more, whatever it lists. What is held is told to the
 * user, who counts the memory of all accounts. */
int imap_work_add(struct imap_session *session, uint32_t uid)
{
        struct imap_work *work = &session->work;

        if (work->count >= LIMIT_LISTED)
                return -1;
        if ((work->count & (work->count - 1)) == 0) { /* full at each power of two */
                size_t size = work->count ? work->count * 2 : 1;
                work->items = new_resized(work->items, size, sizeof *work->items);
                if (session->config.user->holds)
                        session->config.user->holds(session->config.ctx, size * sizeof *work->items);
        }
        work->items[work->count++] = (struct imap_wanted){ .uid = uid };
        return 0;
}

/* A copy: the caller's list may change while commands are in flight. */
void imap_work_take(struct imap_session *session, const struct mailbox_entry *entries, size_t count)
{
        struct imap_work *work = &session->work;

        imap_work_clear(session);
        work->items = new_zeroed(count, sizeof *work->items);
        work->count = count;
        for (size_t i = 0; i < count; i++)
                work->items[i] = (struct imap_wanted){
                        .uid = entries[i].uid,
                        .seen = entries[i].seen,
                        .deleted = entries[i].deleted,
                        .missing = entries[i].missing,
                        .size = entries[i].size,
                        .from = entries[i].from,
                };
        imap_work_sort(session);
}

/* Servers answer in the order of the set: the hint makes that a comparison, and the search is for the
 * others. */
ssize_t imap_work_find(struct imap_session *session, uint32_t uid)
{
        struct imap_work *work = &session->work;
        struct imap_wanted key = { .uid = uid };

        if (work->hint < work->count && work->items[work->hint].uid == uid)
                return (ssize_t)work->hint++;
        const struct imap_wanted *found =
                work->count ? bsearch(&key, work->items, work->count, sizeof key, by_uid) : NULL;
        if (!found)
                return -1;
        work->hint = (size_t)(found - work->items) + 1;
        return found - work->items;
}

/* Appends "first:last", or "first" where that is one; how long the set is now. */
static size_t put_range(char set[SET_SIZE], size_t used, uint32_t first, uint32_t last)
{
        used += (size_t)snprintf(set + used, SET_SIZE - used, "%s%u", used ? "," : "", first);
        if (last != first)
                used += (size_t)snprintf(set + used, SET_SIZE - used, ":%u", last);
        return used;
}

/* The next range of UIDs that follow each other, as far as one command goes. */
static void next_range(struct imap_work *work, size_t *messages, uint64_t *bytes, uint32_t *out_first,
                       uint32_t *out_last)
{
        *out_first = work->items[work->next].uid;
        do {
                *out_last = work->items[work->next].uid;
                *bytes += work->items[work->next].size;
                ++*messages;
                work->next++;
        } while (work->next < work->count && work->items[work->next].uid == *out_last + 1 &&
                 !imap_in_parts(&work->items[work->next]) && *messages < IMAP_PER_COMMAND &&
                 *bytes < IMAP_BYTES_PER_COMMAND);
}

/* As many messages as one command may have, by count, by bytes and by the length of its line. One message
 * at least, however large: it would never be asked for else. False: nothing is left, or a large one is
 * next. */
static bool next_set(struct imap_work *work, char set[SET_SIZE])
{
        size_t used = 0, messages = 0;
        uint64_t bytes = 0;

        while (work->next < work->count && !imap_in_parts(&work->items[work->next]) &&
               used < SET_SIZE - RANGE_SIZE && messages < IMAP_PER_COMMAND &&
               bytes < IMAP_BYTES_PER_COMMAND) {
                uint32_t first, last;
                next_range(work, &messages, &bytes, &first, &last);
                used = put_range(set, used, first, last);
        }
        return used > 0;
}

/* The next message that has to be asked for by itself. */
static bool next_single(struct imap_work *work, char set[SET_SIZE])
{
        while (work->next < work->count && work->items[work->next].state != WANTED_AGAIN)
                work->next++;
        if (work->next == work->count)
                return false;
        work->asked = work->next++;
        work->items[work->asked].state = WANTED;
        (void)snprintf(set, SET_SIZE, "%u", work->items[work->asked].uid);
        return true;
}

/* Fills the window: the next command is on its way while the last one is answered, so that a long round
 * trip costs little. Singly there is one at a time, since the answer has to tell which message it is about.
 */
void imap_work_say(struct imap_session *session, const char *verb, const char *rest)
{
        struct imap_work *work = &session->work;
        size_t window = work->singly ? 1 : IMAP_WINDOW;
        char set[SET_SIZE];

        while (session->in_flight < window && session->engine.state != ENGINE_FAILED) {
                size_t first = work->next;
                if (!work->singly && imap_say_next_part(session))
                        continue;
                if (!(work->singly ? next_single(work, set) : next_set(work, set)))
                        return;
                imap_say(session, "UID %s %s%s", verb, set, rest);
                if (session->engine.state == ENGINE_FAILED)
                        return;
                struct imap_flight *flight = &session->flights[session->in_flight - 1];
                flight->first = work->singly ? work->asked : first;
                flight->until = work->next;
                session->asked += IMAP_BYTES_PER_COMMAND;
        }
}

/* Ranges are found as they come: those of one batch have mostly been fetched in order. */
static size_t beside_set(const struct mailbox_entry *items, size_t count, char set[SET_SIZE])
{
        size_t used = 0, taken = 0;

        while (taken < count && used < SET_SIZE - RANGE_SIZE) {
                size_t first = taken++;
                while (taken < count && items[taken].uid == items[taken - 1].uid + 1)
                        taken++;
                used = put_range(set, used, items[first].uid, items[taken - 1].uid);
        }
        return taken;
}

/* Half of the window at most: marking does not hold up fetching. */
void imap_beside_say(struct imap_session *session)
{
        char set[SET_SIZE];

        while (session->in_flight < IMAP_WINDOW / 2 && session->beside.next < session->beside.count) {
                size_t first = session->beside.next;
                session->beside.next +=
                        beside_set(session->beside.items + first, session->beside.count - first, set);
                imap_say(session, "UID STORE %s +FLAGS.SILENT (\\Seen)", set);
                if (session->engine.state == ENGINE_FAILED)
                        return;
                struct imap_flight *flight = &session->flights[session->in_flight - 1];
                flight->beside = true;
                flight->first = first;
                flight->until = session->beside.next;
        }
}

/* False when there was none left to ask about. */
bool imap_work_say_refused(struct imap_session *session, const char *rest)
{
        struct imap_work *work = &session->work;
        char set[SET_SIZE];
        size_t used = 0;

        for (; work->next < work->count && used < SET_SIZE - RANGE_SIZE; work->next++)
                if (work->items[work->next].state == WANTED_REFUSED)
                        used = put_range(set, used, work->items[work->next].uid, work->items[work->next].uid);
        if (used)
                imap_say(session, "UID FETCH %s%s", set, rest);
        return used > 0;
}

/* ---- its end ---- */

/* The memory for the list of an operation goes with it: a session may idle for a day after it. */
void imap_operation_clear(struct imap_session *session)
{
        imap_work_clear(session);
        free(take(session->beside.items));
        session->beside.count = session->beside.next = 0;
        free(session->listing.batch);
        session->listing = (struct imap_listing){ 0 };
        session->arrival = (struct imap_arrival){ 0 };
        session->unwanted = session->asked = 0;
}

int imap_operation_done(struct imap_session *session, void (*finished)(struct imap_session *))
{
        imap_operation_clear(session);
        session->finished = finished;
        return STEP_READY;
}

int imap_operation_ends(struct engine *engine, const struct imap_reply *reply, const char *what,
                        void (*finished)(struct imap_session *))
{
        struct imap_session *session = imap_session_of(engine);

        if (reply->status != IMAP_OK)
                return imap_refused(session, reply, CAUSE_SERVER_BUSY, what);
        return imap_operation_done(session, finished);
}

void imap_say_noop(struct engine *engine)
{
        imap_say(imap_session_of(engine), "NOOP");
}

/* ---- a large message part by part ---- */

bool imap_in_parts(const struct imap_wanted *item)
{
        return item->size > MAILBOX_WHOLE;
}

/* How much is asked for from there on: all that is announced, and more, since a part that is not full tells
 * the end. One is cheaper than several: for the second one Dovecot reads all of the message. */
static uint64_t part_size(const struct imap_wanted *item, uint64_t at)
{
        uint64_t rest = item->size > at ? item->size - at : 0;

        return rest < IMAP_PART_MOST - MAILBOX_WHOLE ? rest + MAILBOX_WHOLE : IMAP_PART_MOST;
}

/* A partial fetch (RFC 3501, 6.4.5): the server answers with the origin and perhaps with fewer bytes than
 * are asked for, at the end of the message with none. PEEK leaves \Seen alone. How many bytes it is. */
static uint64_t say_part(struct imap_session *session, const struct imap_wanted *item, uint64_t at)
{
        uint64_t size = part_size(item, at);

        imap_say(session, "UID FETCH %u (UID BODY.PEEK[]<%llu.%llu>)", item->uid, (unsigned long long)at,
                 (unsigned long long)size);
        session->asked += size;
        if (session->engine.state != ENGINE_FAILED)
                session->flights[session->in_flight - 1].part_of = item->uid;
        return size;
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
        parts->at += say_part(session, item, parts->at);
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
        const struct imap_wanted *item = &session->work.items[parts->item];
        bool is_short = size < part_size(item, parts->got);

        parts->got += size;
        parts->moved = true;
        if (is_short && parts->asking && session->work.next == parts->item)
                asked_for_all(&session->work); /* what else is asked for would not begin where this ended */
        return !size || (is_short && parts->got >= item->size);
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
        (void)say_part(session, &work->items[parts->item], parts->got);
}
