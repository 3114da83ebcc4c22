/* SPDX-License-Identifier: MIT */
/*
 * Who waits for a place, and who is next: the one that was opened first, of those whose server has a place
 * left. However many wait, a place that comes free costs the looking at few of them.
 *
 * A server keeps those that wait for it in a row, in the order of their opening. The first of these, as many
 * as it has places left, are in the heap `ready` as well, which has the one that was opened first of all
 * servers at its top. So whoever waits for a server that is full is not looked at before it has a place.
 */
#include "daemon/session/session_parts.h"

static struct {
        struct session **items; /* a heap by `opened` */
        size_t count, size;
        size_t waiting; /* in the rows of all servers */
} ready;

/* ---- the heap ---- */

static void put_at(size_t index, struct session *session)
{
        ready.items[index] = session;
        session->in_line.ready = index + 1;
}

static bool before(const struct session *a, const struct session *b)
{
        return a->in_line.opened < b->in_line.opened;
}

/* Finds the place for it, from the free place `index` on. */
static void settle(size_t index, struct session *session)
{
        for (; index && before(session, ready.items[(index - 1) / 2]); index = (index - 1) / 2)
                put_at(index, ready.items[(index - 1) / 2]);
        for (;;) {
                size_t child = 2 * index + 1;
                if (child + 1 < ready.count && before(ready.items[child + 1], ready.items[child]))
                        child++;
                if (child >= ready.count || before(session, ready.items[child]))
                        break;
                put_at(index, ready.items[child]);
                index = child;
        }
        put_at(index, session);
}

static void put_in_heap(struct session *session)
{
        if (ready.count == ready.size) {
                ready.size = ready.size ? 2 * ready.size : 16;
                ready.items = new_resized(ready.items, ready.size, sizeof(struct session *));
        }
        settle(ready.count++, session);
}

static void take_from_heap(struct session *session)
{
        size_t index = session->in_line.ready - 1;
        struct session *last = ready.items[--ready.count];

        session->in_line.ready = 0;
        if (last != session)
                settle(index, last);
        if (ready.count == 0) {
                free(take(ready.items));
                ready.size = 0;
        }
}

/* ---- the rows of servers ---- */

/* As many as there are places are ready, and they are the first. */
void session_line_look(struct host *host)
{
        struct host_line *line = session_host_line(host);
        unsigned left = session_places_left_at(host);

        for (; line->parked && line->ready < left; line->ready++) {
                put_in_heap(line->parked);
                line->parked = line->parked->in_line.next;
        }
        for (; line->ready > left;
             line->ready--) { /* somebody else was faster, or the limit is another one */
                line->parked = line->parked ? line->parked->in_line.previous : line->last;
                take_from_heap(line->parked);
        }
}

static void take_out(struct session *session)
{
        struct host_line *line = session_host_line(session->host);
        struct session *ahead = session->in_line.previous, *behind = session->in_line.next;

        if (session->in_line.ready) {
                take_from_heap(session);
                line->ready--;
        } else if (line->parked == session) {
                line->parked = behind;
        }
        *(ahead ? &ahead->in_line.next : &line->first) = behind;
        *(behind ? &behind->in_line.previous : &line->last) = ahead;
        session->in_line.next = session->in_line.previous = NULL;
        line->waiting--;
        ready.waiting--;
}

/* ---- the line ---- */

void session_line_join(struct session *session)
{
        static uint64_t opened;
        struct host_line *line = session_host_line(session->host);

        session->in_line.opened = ++opened;
        session->in_line.previous = line->last;
        *(line->last ? &line->last->in_line.next : &line->first) = session;
        line->last = session;
        if (!line->parked)
                line->parked = session;
        line->waiting++;
        ready.waiting++;
        session_line_look(session->host);
}

void session_line_leave(struct session *session)
{
        take_out(session);
        session_line_look(session->host);
}

struct session *session_line_next(void)
{
        while (ready.count && !session_places_all_taken()) {
                struct session *session = ready.items[0];
                if (session_place_is_free(session->host)) {
                        take_out(session);
                        return session;
                }
                session_line_look(session->host);
        }
        return NULL;
}

bool session_line_waits(const struct session *session)
{
        return ready.waiting && (session_places_all_taken() || session_host_line(session->host)->waiting);
}

bool session_line_is_empty(void)
{
        return ready.waiting == 0;
}
