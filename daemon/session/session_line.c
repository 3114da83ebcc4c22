/* SPDX-License-Identifier: MIT */
/*
 * Who waits for a place, who is next, and who rests on one: next is the one that was opened first, of those
 * whose server has a place left. However many wait, a place that comes free costs the looking at few of them.
 *
 * A server keeps those that wait for it in a row, in the order of their opening. The first of these, as many
 * as it has places left, are in the heap `ready` as well, which has the one that was opened first of all
 * servers at its top. So whoever waits for a server that is full is not looked at before it has a place.
 */
#include "daemon/session/session_parts.h"

static struct heap ready; /* who may begin */
static size_t in_rows;    /* in the rows of all servers */
static struct session *resting;

/* ---- the rows of servers ---- */

/* As many as there are places are ready, and they are the first. */
void session_line_look(struct host *host)
{
        struct host_line *line = session_host_line(host);
        unsigned left = session_places_left_at(host);

        for (; line->parked && line->ready < left; line->ready++) {
                heap_put(&ready, &line->parked->in_line.ready);
                line->parked = line->parked->in_line.next;
        }
        /* somebody else was faster, or the limit is another one */
        for (; line->ready > left; line->ready--) {
                line->parked = line->parked ? line->parked->in_line.previous : line->last;
                heap_take(&ready, &line->parked->in_line.ready);
        }
}

static void take_out(struct session *session)
{
        struct host_line *line = session_host_line(session->host);
        struct session *ahead = session->in_line.previous, *behind = session->in_line.next;

        if (session->in_line.ready.place) {
                heap_take(&ready, &session->in_line.ready);
                line->ready--;
        } else if (line->parked == session) {
                line->parked = behind;
        }
        *(ahead ? &ahead->in_line.next : &line->first) = behind;
        *(behind ? &behind->in_line.previous : &line->last) = ahead;
        session->in_line.next = session->in_line.previous = NULL;
        line->waiting--;
        in_rows--;
}

/* ---- the line ---- */

void session_line_join(struct session *session)
{
        static uint64_t opened;
        struct host_line *line = session_host_line(session->host);

        session->in_line.ready.order = ++opened;
        session->in_line.previous = line->last;
        *(line->last ? &line->last->in_line.next : &line->first) = session;
        line->last = session;
        if (!line->parked)
                line->parked = session;
        line->waiting++;
        in_rows++;
        session_line_look(session->host);
}

void session_line_leave(struct session *session)
{
        take_out(session);
        session_line_look(session->host);
}

struct session *session_line_next(void)
{
        for (struct heap_item *first; (first = heap_first(&ready)) && !session_places_all_taken();) {
                struct session *session = container_of(first, struct session, in_line.ready);
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
        return in_rows && (session_places_all_taken() || session_host_line(session->host)->waiting);
}

/* ---- those that rest ---- */

static void rest(struct session *session, struct session **here)
{
        session->in_line.previous = session->previous = NULL;
        session->in_line.next = *here;
        session->next = resting;
        if (*here)
                (*here)->in_line.previous = session;
        if (resting)
                resting->previous = session;
        *here = resting = session;
}

static void rest_no_more(struct session *session, struct session **here)
{
        struct session *ahead = session->in_line.previous, *behind = session->in_line.next;

        *(ahead ? &ahead->in_line.next : here) = behind;
        if (behind)
                behind->in_line.previous = ahead;
        *(session->previous ? &session->previous->next : &resting) = session->next;
        if (session->next)
                session->next->previous = session->previous;
        session->in_line.next = session->in_line.previous = session->next = session->previous = NULL;
}

/* One without a place has none to give away. */
void session_rest(struct session *session, bool rests)
{
        struct session **here = &session_host_line(session->host)->resting;

        if (session->rests == (rests && session->counted))
                return;
        session->rests = !session->rests;
        if (session->rests)
                rest(session, here);
        else
                rest_no_more(session, here);
}

struct session *session_line_resting(const struct session *waiting)
{
        return session_places_all_taken() ? resting : session_host_line(waiting->host)->resting;
}
