/* SPDX-License-Identifier: MIT */
/* A client's session: its bytes, its wishes, its time; see client.h. How it ends is client_end.c's. */
#include "common/limits.h"
#include "daemon/journal.h"
#include "daemon/settings.h"
#include "daemon/smtpd/client_parts.h"
#include "daemon/smtpd/slots.h"
#include "daemon/tls/channel.h"

#include <unistd.h>

enum {
        HANDSHAKE_SECONDS = 30,
        HANDSHAKES_A_SECOND = 40,
        UNTAKEN = 32 * KIB, /* said and not taken: no more is read */
        IN_MOST = 256 * KIB,
        MOST_IN_ALL = LIMIT_SMTP_NETWORK + LIMIT_SMTP_LOCAL + LIMIT_SMTP_IN_CHARGE +
                      512, /* with those who hear a last word */
};

/* ---- TLS ---- */

/* A handshake costs the loop a millisecond or more: strangers have a part of its time together, and wait for
 * it. */
static bool has_turn(const struct smtpd_client *v)
{
        static int64_t second;
        static unsigned begun;

        if (loop_now() / 1000 != second)
                begun = 0;
        second = loop_now() / 1000;
        return !v->slot.stranger || begun++ < HANDSHAKES_A_SECOND;
}

/* What came before the handshake ends the session: it could have been put there by somebody else (RFC 3207,
 * 6). Waits for a turn by the timer, whose end comes back here. */
static void begin_tls(struct smtpd_client *v)
{
        struct cause cause = { 0 };

        v->in_handshake = true;
        v->slot.evictable = v->slot.stranger; /* who dawdles in it goes first as well */
        if (!has_turn(v)) {
                v->tls_due = v->tls_later = true;
                connection_pause(v->connection, true); /* what comes is the handshake's */
                timer_set(v->timer, 1000);
                return;
        }
        const char *certificate = settings_current()->certificate;
        struct channel *channel =
                v->in.len || !certificate
                        ? NULL
                        : channel_accepting(certificate, connection_fd(v->connection), &cause);

        v->tls_due = v->tls_later = false;
        if (channel) {
                timer_stop(v->timer);
                connection_secure(v->connection, channel_transport(channel), HANDSHAKE_SECONDS);
                return;
        }
        notices_tell("SMTP client %s gets no TLS: %s", v->who,
                     cause_happened(&cause) ? cause.text : "it spoke too early");
        smtpd_client_end(v);
}

/* ---- time ---- */

/* One timer for all: the turn of a handshake, the last word of a client that leaves, and what is awaited of
 * it. */
static void time_is_up(void *ctx)
{
        struct smtpd_client *v = ctx;

        if (v->tls_later && !v->leaving) {
                begin_tls(v);
                return;
        }
        if (v->leaving) {
                smtpd_client_end(v);
                return;
        }
        submission_counts.refused[REFUSED_SLOW]++;
        notices_tell("SMTP client %s was too slow: the session was ended", v->who);
        smtpd_client_farewell(v, 421, "4.4.2", "timed out");
}

/* What is awaited now has so long. `said`: an answer was given, so the client's time begins. */
static void set_deadline(struct smtpd_client *v, bool said)
{
        int64_t ms = (v->slot.stranger ? LIMIT_SMTP_FIRST : LIMIT_SMTP_WAIT) * INT64_C(1000);

        if (v->slot.stranger) { /* in all */
                int64_t left = v->began + LIMIT_SMTP_STRANGER * INT64_C(1000) - loop_now();
                timer_set(v->timer, left < ms ? (left > 0 ? left : 0) : ms);
        } else if (esmtp_in_body(v->esmtp)) {
                int64_t left = LIMIT_SMTP_WAIT * INT64_C(1000) +
                               (int64_t)(v->body_bytes / LIMIT_SMTP_LEAST_RATE) * 1000 -
                               (loop_now() - v->body_since);
                timer_set(v->timer, left < ms ? (left > 0 ? left : 0) : ms);
        } else if (said || !timer_is_set(v->timer)) {
                timer_set(v->timer, ms);
        }
}

/* ---- wishes ---- */

/* Asked each time: a reload may bring one, or take it away. */
static bool has_certificate(void)
{
        return settings_current()->certificate != NULL;
}

static void smtpd_client_offer(struct smtpd_client *v)
{
        esmtp_offer(v->esmtp, has_certificate(), smtpd_client_mechanisms());
}

/* All that came is used. */
static void want_input(struct smtpd_client *v, bool said)
{
        buf_release(&v->in);
        if (v->winding && !esmtp_in_body(v->esmtp) && !esmtp_envelope(v->esmtp)->from) {
                smtpd_client_wound_down(v);
                return;
        }
        if (v->spool && esmtp_in_body(v->esmtp)) {
                spool_write(v->spool, false);
                v->waiting = spool_is_busy(v->spool);
        }
        set_deadline(v, said);
        v->slot.stranger = !v->slot.local && !v->device && !v->let_in;
        v->slot.evictable = !v->waiting && !esmtp_envelope(v->esmtp)->from;
        if (said)
                v->slot.since = loop_now();
}

/* False: nothing more can be done now. */
static bool see_to(struct smtpd_client *v, enum esmtp_want want, bool said)
{
        switch (want) {
        case ESMTP_INPUT:
                want_input(v, said);
                return false;
        case ESMTP_FLUSH:
                v->flushing = connection_unsent(v->connection) > 0;
                return !v->flushing;
        case ESMTP_MAIL:
                smtpd_client_on_mail(v);
                return true;
        case ESMTP_RECIPIENT:
                smtpd_client_on_recipient(v);
                return true;
        case ESMTP_DATA:
                smtpd_client_on_data(v);
                return true;
        case ESMTP_COMMIT:
                smtpd_client_on_commit(v);
                return true;
        case ESMTP_SIGNIN:
                smtpd_client_on_signin(v);
                return true;
        case ESMTP_STARTTLS:
                v->waiting = v->tls_due = true;
                return true;
        case ESMTP_END:
                smtpd_client_leave(v);
                return false;
        }
        return false;
}

static bool is_over(const struct smtpd_client *v)
{
        return v->gone || v->leaving;
}

/* Runs the engine over what has come until it needs more bytes, a thread's answer or room to send. Entered
 * again from inside by callbacks: `working` lets the outer one go on. While a thread works no time of the
 * client's runs. */
static void go_on(struct smtpd_client *v)
{
        bool more = true, said = false;

        if (v->working || is_over(v))
                return;
        v->working = true;
        v->slot.evictable = false;
        while (more && !v->waiting && !v->flushing && !is_over(v)) {
                size_t used = 0;
                enum esmtp_want want = esmtp_work(
                        v->esmtp, v->in.len ? buf_bytes(&v->in) : (const uint8_t *)"", v->in.len, &used);
                buf_consume(&v->in, used);
                said = said || esmtp_out(v->esmtp)->len;
                smtpd_client_send_out(v);
                more = see_to(v, want, said);
                if (!v->gone)
                        smtpd_client_send_out(v);
        }
        v->working = false;
        if (is_over(v))
                return;
        if (v->waiting && !v->tls_due)
                timer_stop(v->timer);
        connection_pause(v->connection,
                         v->waiting || v->flushing || connection_unsent(v->connection) > UNTAKEN);
}

/* What was waited for is there, and esmtp_answer() has been called. At the end what a command works with has
 * been closed. */
void smtpd_client_resume(struct smtpd_client *v)
{
        v->waiting = false;
        if (v->stopped)
                smtpd_client_wound_down(v);
        else
                go_on(v);
}

/* ---- the connection ---- */

static void connected(unused_arg void *ctx)
{
        /* it was from the beginning */
}

/* After STARTTLS the engine forgets all it was told (RFC 3207, 4.2); with TLS from the first byte the
 * greeting follows only now. */
static void secured(void *ctx)
{
        struct smtpd_client *v = ctx;
        bool first = v->ungreeted;

        v->ungreeted = v->in_handshake = false;
        esmtp_secured(v->esmtp);
        smtpd_client_offer(v);
        if (first) {
                esmtp_greet(v->esmtp, NULL);
                smtpd_client_send_out(v);
        }
        smtpd_client_resume(v);
}

static void received(void *ctx, const uint8_t *bytes, size_t len)
{
        struct smtpd_client *v = ctx;

        if (v->gone || v->leaving)
                return;
        if (buf_append(&v->in, bytes, len) < 0)
                smtpd_client_farewell(v, 421, "4.3.0",
                                      "more came than is read at a time"); /* reading stops long before */
        else
                go_on(v);
}

/* All that was said has left: only now may a handshake begin, since the go-ahead is the last byte in the
 * clear. */
static void drained(void *ctx)
{
        struct smtpd_client *v = ctx;

        if (v->gone)
                return;
        if (v->leaving)
                smtpd_client_said_all(v);
        else if (v->tls_due)
                begin_tls(v);
        else if (v->flushing || connection_unsent(v->connection) == 0) {
                v->flushing = false;
                go_on(v);
        }
}

static void ended(void *ctx, const struct cause *why)
{
        struct smtpd_client *v = ctx;

        if (cause_happened(why) && !v->leaving)
                log_debug(NULL, "SMTP client %s has gone: %s", v->who, why->text);
        smtpd_client_end(v);
}

static const struct connection_user user = {
        .connected = connected,
        .secured = secured,
        .received = received,
        .drained = drained,
        .ended = ended,
};

/* ---- coming and going ---- */

/* Its place is given back already. */
static void evict(void *owner)
{
        struct smtpd_client *v = owner;

        submission_counts.refused[REFUSED_BUSY]++;
        if (v->in_handshake) /* no word can be said */
                smtpd_client_end(v);
        else
                smtpd_client_farewell(v, 421, "4.7.0", "others wait for this place");
}

/* The descriptor belongs to the connection from here on. */
static struct smtpd_client *make(int fd, const struct sockaddr_storage *peer)
{
        static const struct esmtp_user engine_user = { .body = smtpd_client_body,
                                                       .forget = smtpd_client_forget };
        const struct settings *settings = settings_current();
        struct esmtp_rules rules = { .hostname = settings->hostname,
                                     .max_size = (uint64_t)settings->max_message_size };
        struct smtpd_client *v = new_object(struct smtpd_client);

        v->self = handle_new(v);
        v->slot.owner = v;
        buf_init(&v->in, IN_MOST);
        v->timer = timer_new(time_is_up, v);
        v->esmtp = esmtp_new(&rules, &engine_user, v);
        v->connection = connection_accepted(fd, peer, &user, v);
        smtpd_client_enlist(v);
        return v;
}

/* Who finds no place hears why, unless it expects TLS: then no word can be said before a handshake, which
 * would cost more than the place. */
void smtpd_client_new(int fd, const struct sockaddr_storage *peer, bool tls)
{
        if (submission_counts.clients >= MOST_IN_ALL) {
                submission_counts.refused[REFUSED_BUSY]++;
                (void)close(fd);
                return;
        }
        struct smtpd_client *v = make(fd, peer);
        static const struct esmtp_answer full = { .code = 421,
                                                  .enhanced = "4.7.0",
                                                  .text = "too many connections: try again in a while" };

        smtpd_client_identify(v, peer);
        if (!smtpd_slot_take(&v->slot, evict)) {
                submission_counts.refused[REFUSED_BUSY]++;
                notices_tell("SMTP client %s was refused: there are too many", v->who);
                if (tls) {
                        smtpd_client_end(v);
                        return;
                }
                esmtp_greet(v->esmtp, &full);
                smtpd_client_send_out(v);
                smtpd_client_leave(v);
                return;
        }
        v->began = loop_now();
        v->slot.stranger = !v->slot.local && !v->let_in;
        v->ungreeted = tls;
        if (tls) {
                v->waiting = true;
                begin_tls(v);
                return;
        }
        smtpd_client_offer(v);
        esmtp_greet(v->esmtp, NULL);
        smtpd_client_send_out(v);
        set_deadline(v, true);
        v->slot.evictable = true;
}
