/* SPDX-License-Identifier: MIT */
/* How a client's session ends: its last words, and how all end at the end. Whatever ends one marks it; it is
 * freed on the loop's next turn. */
#include "daemon/smtpd/client_parts.h"
#include "daemon/smtpd/slots.h"

#include <unistd.h>

enum {
        LEAVE_MS = 2000, /* the last words are waited for so long */
        READS_AWAY = 64, /* of one client at the end: who goes on sending is not read for ever */
};

static struct smtpd_client *clients;
static void (*all_over)(void); /* they are winding down */

void smtpd_client_enlist(struct smtpd_client *v)
{
        v->next = clients;
        v->link = &clients;
        if (clients)
                clients->link = &v->next;
        clients = v;
        submission_counts.clients++;
        submission_counts.connections++;
}

/* ---- the end ---- */

static void smtpd_client_free(void *object)
{
        struct smtpd_client *v = object;

        handle_drop(&v->self);
        smtpd_client_signin_free(v);
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

        for (const struct smtpd_client *v = clients; all_over && v; v = v->next)
                busy = busy || !v->leaving;
        if (all_over && !busy) {
                void (*over)(void) = take(all_over);
                over();
        }
}

/* Nothing more comes of it; the object goes on the next turn. */
void smtpd_client_end(struct smtpd_client *v)
{
        if (v->gone)
                return;
        v->gone = true;
        smtpd_slot_free(&v->slot);
        *v->link = v->next;
        if (v->next)
                v->next->link = v->link;
        submission_counts.clients--;
        username_cancel(take(v->naming));
        smtpd_client_forget(v);
        timer_stop(v->timer);
        connection_close(take(v->connection));
        loop_later_to(v->self, smtpd_client_free);
        look_whether_over();
}

/* The last words have left. A socket that is closed with bytes unread would take them from the client: these
 * are read away, for a moment. */
void smtpd_client_said_all(struct smtpd_client *v)
{
        if (connection_transport(v->connection))
                smtpd_client_end(v);
        else
                (void)shutdown(connection_fd(v->connection), SHUT_WR);
}

void smtpd_client_leave(struct smtpd_client *v)
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
                smtpd_client_said_all(v);
        else
                connection_pause(v->connection, false);
        look_whether_over();
}

void smtpd_client_send_out(struct smtpd_client *v)
{
        struct buf *out = esmtp_out(v->esmtp);

        if (out->len && v->connection)
                connection_write(v->connection, buf_bytes(out), out->len);
        buf_clear(out);
        buf_release(out);
}

void smtpd_client_farewell(struct smtpd_client *v, int code, const char *enhanced, const char *text)
{
        if (v->gone || v->leaving)
                return;
        esmtp_farewell(v->esmtp, &(struct esmtp_answer){ .code = code, .enhanced = enhanced, .text = text });
        smtpd_client_send_out(v);
        smtpd_client_leave(v);
}

void smtpd_client_wound_down(struct smtpd_client *v)
{
        smtpd_client_farewell(v, 421, "4.3.2", "the service is ending, or begins anew");
}

void smtpd_client_refuse(struct smtpd_client *v, enum submission_refusal why,
                         const struct esmtp_answer *answer)
{
        submission_counts.refused[why]++;
        notices_tell("SMTP client %s was refused: %s", v->who, answer->text);
        esmtp_answer(v->esmtp, answer);
}

/* ---- all of them ---- */

void smtpd_clients_renew(void)
{
        for (struct smtpd_client *v = clients, *next; v; v = next) {
                next = v->next;
                v->winding = true;
                if (!v->waiting && !esmtp_in_body(v->esmtp) && !esmtp_envelope(v->esmtp)->from)
                        smtpd_client_wound_down(v);
        }
}

/* To who expects TLS no word can be said. */
static void send_away(struct smtpd_client *v)
{
        if (v->in_handshake || v->tls_due)
                smtpd_client_end(v);
        else
                smtpd_client_wound_down(v);
}

void smtpd_clients_wind_down(void (*over)(void))
{
        all_over = NULL;
        smtpd_clients_renew();
        for (struct smtpd_client *v = clients, *next; v; v = next) {
                next = v->next;
                if (v->in_handshake) /* it brings no message that would be waited for */
                        smtpd_client_end(v);
        }
        all_over = over;
        look_whether_over();
}

/* One whose message the store has hears from the store whether it was taken: told nothing, it would hand it
 * in once more. */
void smtpd_clients_stop(void)
{
        all_over = NULL;
        for (struct smtpd_client *v = clients, *next; v; v = next) {
                next = v->next;
                v->stopped = true;
                if (!v->submitting)
                        send_away(v);
        }
}

/* A socket that is closed with bytes unread takes the last words from its peer. */
static void read_away(const struct smtpd_client *v)
{
        char bytes[4096];

        for (int i = 0; i < READS_AWAY; i++)
                if (recv(connection_fd(v->connection), bytes, sizeof bytes, MSG_DONTWAIT) <= 0)
                        return;
}

void smtpd_clients_close(void)
{
        smtpd_clients_stop();
        while (clients) {
                read_away(clients);
                smtpd_client_end(clients);
        }
}
