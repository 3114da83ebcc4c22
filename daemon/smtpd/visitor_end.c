/* SPDX-License-Identifier: MIT */
/* How a client's session ends: its last words, and how all end at the end. Whatever ends one marks it; it is
 * freed on the loop's next turn. */
#include "daemon/smtpd/notices.h"
#include "daemon/smtpd/visitor_parts.h"

#include <unistd.h>

enum { LEAVE_MS = 2000 }; /* the last words are waited for so long */

static struct visitor *visitors;
static void (*all_over)(void); /* they are winding down */

void visitor_enlist(struct visitor *v)
{
        v->next = visitors;
        v->link = &visitors;
        if (visitors)
                visitors->link = &v->next;
        visitors = v;
        submission_counts.clients++;
        submission_counts.connections++;
}

/* ---- the end ---- */

static void visitor_free(void *object)
{
        struct visitor *v = object;

        handle_drop(&v->self);
        visitor_signin_free(v);
        esmtp_free(v->esmtp); /* which forgets the message */
        spool_free(v->spool);
        timer_free(v->timer);
        buf_wipe(&v->in);
        free(v->device);
        free(v);
}

static void look_whether_over(void)
{
        bool busy = false;

        for (const struct visitor *v = visitors; all_over && v; v = v->next)
                busy = busy || !v->leaving;
        if (all_over && !busy) {
                void (*over)(void) = take(all_over);
                over();
        }
}

/* Nothing more comes of it; the object goes on the next turn. */
void visitor_end(struct visitor *v)
{
        if (v->gone)
                return;
        v->gone = true;
        guest_leave(&v->guest);
        *v->link = v->next;
        if (v->next)
                v->next->link = v->link;
        submission_counts.clients--;
        username_cancel(take(v->naming));
        visitor_forget(v);
        timer_stop(v->timer);
        connection_close(take(v->connection));
        loop_later_to(v->self, visitor_free);
        look_whether_over();
}

/* The last words have left. A socket that is closed with bytes unread would take them from the client: these
 * are read away, for a moment. */
void visitor_said_all(struct visitor *v)
{
        if (connection_transport(v->connection))
                visitor_end(v);
        else
                (void)shutdown(connection_fd(v->connection), SHUT_WR);
}

void visitor_leave(struct visitor *v)
{
        const char *offence = esmtp_offence(v->esmtp);

        if (v->leaving || v->gone)
                return;
        if (offence && !v->ended_for) {
                v->ended_for = true;
                submission_counts.refused[REFUSED_PROTOCOL]++;
                notices_tell("SMTP client %s: %s: the session was ended", v->who, offence);
        }
        v->leaving = true;
        v->waiting = v->flushing = false;
        buf_wipe(&v->in);
        timer_set(v->timer, LEAVE_MS);
        if (connection_unsent(v->connection) == 0)
                visitor_said_all(v);
        else
                connection_pause(v->connection, false);
        look_whether_over();
}

void visitor_send_out(struct visitor *v)
{
        struct buf *out = esmtp_out(v->esmtp);

        if (out->len && v->connection)
                connection_write(v->connection, buf_bytes(out), out->len);
        buf_clear(out);
        buf_release(out);
}

void visitor_farewell(struct visitor *v, int code, const char *enhanced, const char *text)
{
        if (v->gone || v->leaving)
                return;
        esmtp_farewell(v->esmtp, &(struct esmtp_answer){ .code = code, .enhanced = enhanced, .text = text });
        visitor_send_out(v);
        visitor_leave(v);
}

void visitor_refuse(struct visitor *v, enum submission_refusal why, const struct esmtp_answer *answer)
{
        submission_counts.refused[why]++;
        notices_tell("SMTP client %s was refused: %s", v->who, answer->text);
        esmtp_answer(v->esmtp, answer);
}

/* ---- all of them ---- */

void visitors_renew(void)
{
        for (struct visitor *v = visitors, *next; v; v = next) {
                next = v->next;
                v->winding = true;
                if (!v->waiting && !esmtp_in_body(v->esmtp) && !esmtp_envelope(v->esmtp)->from)
                        visitor_farewell(v, 421, "4.3.2", "the service is ending, or begins anew");
        }
}

void visitors_wind_down(void (*over)(void))
{
        all_over = NULL;
        visitors_renew();
        all_over = over;
        look_whether_over();
}

void visitors_close(void)
{
        all_over = NULL;
        while (visitors)
                visitor_end(visitors);
}
