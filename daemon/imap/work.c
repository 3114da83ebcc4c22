/* SPDX-License-Identifier: MIT */
/* UID sets and the window of commands; see work.h. */
#include "daemon/imap/work.h"

#include "daemon/imap/command.h"
#include "daemon/imap/parts.h"

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

        if (work->count)
                qsort(work->items, work->count, sizeof *work->items, by_uid);
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
