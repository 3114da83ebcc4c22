/* SPDX-License-Identifier: MIT */
/* Messages from the spool to an LMTP socket by the SMTP engine; see hand_on.h. One message at a time over one
 * session, which is made when the first one comes. */
#include "daemon/incoming/hand_on.h"

#include "common/limits.h"
#include "daemon/loop.h"
#include "daemon/session/session.h"
#include "daemon/settings.h"
#include "daemon/smtp/mail.h"
#include "daemon/smtp/session.h"
#include "daemon/store/maildir.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE = 64 * KIB };

/* One message on its way. It outlives its end while a piece of it is being read. */
struct letter {
        struct smtp_mail mail;
        struct smtp_recipient recipient;
        struct handing *handing;
        struct delivery *delivery;
        int fd;
        bool lf; /* the file has LF where the message has CRLF */
        uint8_t *bytes, *file_bytes;
        size_t len;
        int error;
        enum { PIECE_NONE, PIECE_READING, PIECE_READY } piece;
        bool over;
        bool first; /* of its session */
        bool again; /* the session was gone before it: it begins anew in another */
        struct job job;
};

struct handing {
        struct account *account;
        char *socket, *address;
        struct session *session;
        struct smtp_ways ways;
        bool ready, quitting, stopped;
        bool used;             /* the session has carried a message */
        struct letter *letter; /* waits for the session, or is in it */
};

/* ---- the message ---- */

static void draft_free(struct letter *letter)
{
        close_fd(&letter->fd);
        free(letter->bytes);
        free(letter->file_bytes);
        free(letter);
}

static void read_work(struct job *job)
{
        struct letter *letter = container_of(job, struct letter, job);
        ssize_t got;

        do
                got = read(letter->fd, letter->file_bytes, PIECE / 2);
        while (got < 0 && errno == EINTR);
        letter->error = got < 0 ? errno : 0;
        letter->len = got < 0 ? 0 : (size_t)got;
        if (letter->lf)
                letter->len = line_ends_lengthen(letter->file_bytes, letter->len, letter->bytes);
}

static void read_done(struct job *job)
{
        struct letter *letter = container_of(job, struct letter, job);

        letter->piece = PIECE_READY;
        if (letter->over) {
                draft_free(letter);
                return;
        }
        if (letter->handing->session)
                smtp_mail_continue(session_engine(letter->handing->session), &letter->mail);
}

static enum smtp_body next_piece(struct smtp_mail *mail, const uint8_t **bytes, size_t *len)
{
        struct letter *letter = container_of(mail, struct letter, mail);

        if (letter->piece == PIECE_READY) {
                letter->piece = PIECE_NONE;
                *bytes = letter->lf ? letter->bytes : letter->file_bytes;
                *len = letter->len;
                return letter->error ? BODY_FAILED : letter->len ? BODY_BYTES : BODY_END;
        }
        if (letter->piece == PIECE_NONE) {
                letter->piece = PIECE_READING;
                letter->job = (struct job){ .work = read_work, .done = read_done };
                workers_run(store_file_workers(), &letter->job);
        }
        return BODY_LATER;
}

/* The file is at its beginning again; what cannot be read from there is not read to its end either. */
static void rewind_file(struct smtp_mail *mail)
{
        struct letter *letter = container_of(mail, struct letter, mail);

        if (letter->piece == PIECE_READY)
                letter->piece = PIECE_NONE;
        if (lseek(letter->fd, 0, SEEK_SET) < 0)
                close_fd(&letter->fd);
}

/* ---- what became of it ---- */

static void tell_refused(const struct handing *handing, const char *reply)
{
        scoped(scoped_free) char *who = text_of("the socket %s", handing->socket);

        hand_on_refused(handing->account, who, "socket", handing->socket, reply);
}

/* The sentence stands at an account, and "the server" in it would be the one that the mail comes from. */
static void name_socket(const struct handing *handing, struct cause *why)
{
        if (!strstr(why->text, handing->socket))
                cause_prefix(why, "handing mail to %s: ", handing->socket);
}

/* Ends it: the delivery goes on by itself, later. */
static void end_letter(struct handing *handing, enum handed what, const struct cause *why)
{
        struct letter *letter = take(handing->letter);
        struct delivery *delivery = letter->delivery;

        letter->over = true;
        if (letter->piece != PIECE_READING)
                draft_free(letter);
        delivery_handed(delivery, what, why);
}

/* A session that was kept may be gone when the next message comes, which says nothing about the socket. */
static bool begins_anew(struct letter *letter)
{
        bool anew = smtp_session_anew(session_engine(letter->handing->session));

        if ((letter->first && !anew) || letter->handing->stopped || letter->piece == PIECE_READING ||
            lseek(letter->fd, 0, SEEK_SET) < 0)
                return false;
        letter->again = true;
        letter->piece = PIECE_NONE;
        letter->recipient = (struct smtp_recipient){ .address = letter->handing->address };
        return true;
}

static void finished(struct smtp_mail *mail, const struct cause *session_cause)
{
        struct letter *letter = container_of(mail, struct letter, mail);
        struct handing *handing = letter->handing;
        const struct smtp_recipient *recipient = &letter->recipient;
        struct cause why = { 0 };

        if (recipient->outcome == OUTCOME_NONE && cause_happened(session_cause) && begins_anew(letter))
                return;
        switch (recipient->outcome) {
        case OUTCOME_SENT:
                end_letter(handing, HANDED_ON, NULL);
                return;
        case OUTCOME_REFUSED:
                tell_refused(handing, recipient->reply);
                end_letter(handing, HANDED_BACK, NULL);
                return;
        case OUTCOME_DEFERRED:
                cause_set(&why, CAUSE_SERVER_BUSY, "the socket %s puts mail off: %s", handing->socket,
                          recipient->reply);
                cause_remedy(&why, "nothing to do if it passes by itself: the mail waits at the server");
                break;
        case OUTCOME_NONE:
        case OUTCOME_AMBIGUOUS:
                if (cause_happened(session_cause))
                        why = *session_cause;
                else
                        cause_set(&why, CAUSE_CLOSED, "the session was ended");
                name_socket(handing, &why);
                break;
        }
        end_letter(handing, HANDED_LATER, &why);
}

static void send_letter(struct handing *handing)
{
        struct letter *letter = handing->letter;
        struct engine *engine = session_engine(handing->session);

        letter->first = !handing->used;
        letter->again = false;
        handing->used = true;
        letter->mail.eight_bit =
                smtp_session_capabilities(engine)->eight_bit; /* said where it can be; sent in any case */
        smtp_mail_send(engine, &letter->mail);
}

/* ---- the session ---- */

static void connect_now(struct handing *handing);

static void session_ready(void *ctx)
{
        struct handing *handing = ctx;

        handing->ready = true;
        if (handing->letter)
                send_letter(handing);
}

static void session_ended(void *ctx, const struct cause *why, const char *challenge_id unused_arg)
{
        struct handing *handing = ctx;
        bool expected = handing->quitting;
        struct cause cause = *why;

        if (!cause_happened(&cause))
                cause_set(&cause, CAUSE_CLOSED, "the socket %s closed the connection", handing->socket);
        if (handing->ready && smtp_mail_flying(session_engine(handing->session)))
                smtp_mail_lost(session_engine(handing->session), &cause);
        session_close(take(handing->session));
        handing->ready = handing->quitting = handing->used = false;
        if (handing->letter && (expected || handing->letter->again)) {
                connect_now(handing); /* it came while the session was at its end */
        } else if (handing->letter) {
                name_socket(handing, &cause);
                end_letter(handing, HANDED_LATER, &cause);
        }
}

static const struct session_user session_user = { .ready = session_ready, .ended = session_ended };

static void connect_now(struct handing *handing)
{
        const struct property_values *values = &handing->account->values;
        struct smtp_config config = { .hello = settings_hello(settings_current()),
                                      .lmtp = true,
                                      .ways = &handing->ways };
        struct session_plan plan = {
                .account = handing->account->name,
                .direction = "incoming",
                .host = handing->socket,
                .timeout_seconds = (unsigned)prop_number(values, PROP_CONNECTION_TIMEOUT),
                .debug = prop_bool(values, PROP_DEBUG),
        };

        handing->session = session_open(&plan, smtp_session_new(&config), &session_user, handing);
}

/* ---- from outside ---- */

static void *begin(struct account *account)
{
        const char *socket = properties_lmtp_socket(&account->values);

        if (!socket)
                return NULL;
        struct handing *handing = new_object(struct handing);
        handing->account = account;
        handing->socket = copy_text(socket);
        handing->address = copy_text(prop_text(&account->values, PROP_DELIVER_TO_ADDRESS));
        return handing;
}

static void give(void *ctx, struct delivery *delivery, const struct given *given)
{
        struct handing *handing = ctx;
        struct letter *letter = new_object(struct letter);

        *letter = (struct letter){ .handing = handing,
                                   .delivery = delivery,
                                   .fd = given->fd,
                                   .lf = given->line_ends == LINE_ENDS_LF,
                                   .bytes = new_zeroed(1, PIECE),
                                   .file_bytes = new_zeroed(1, PIECE / 2) };
        letter->recipient.address = handing->address;
        letter->mail = (struct smtp_mail){ .from = "",
                                           .recipients = &letter->recipient,
                                           .recipient_count = 1,
                                           .size = given->size,
                                           .body = next_piece,
                                           .rewind = rewind_file,
                                           .finished = finished };
        handing->letter = letter;
        if (handing->stopped) {
                struct cause why;
                cause_set(&why, CAUSE_CANCELLED, "the session was ended");
                end_letter(handing, HANDED_LATER, &why);
        } else if (!handing->session) {
                connect_now(handing);
        } else if (handing->ready && !handing->quitting) {
                send_letter(handing);
        }
}

static void rest(void *ctx)
{
        struct handing *handing = ctx;

        if (!handing->ready || handing->letter || handing->quitting)
                return;
        handing->quitting = true;
        session_quit(handing->session);
}

static void stop(void *ctx)
{
        struct handing *handing = ctx;
        struct cause why;

        if (handing->stopped)
                return;
        handing->stopped = true;
        cause_set(&why, CAUSE_CANCELLED, "the session was ended");
        if (handing->ready && smtp_mail_flying(session_engine(handing->session)))
                smtp_mail_lost(session_engine(handing->session), &why);
        if (handing->session)
                session_close(take(handing->session));
        handing->ready = false;
        if (handing->letter)
                end_letter(handing, HANDED_LATER, &why);
}

static void end(void *ctx)
{
        struct handing *handing = ctx;

        stop(handing);
        free(handing->socket);
        free(handing->address);
        free(handing);
}

const struct hand_on_way hand_on_lmtp = {
        .begin = begin, .give = give, .rest = rest, .stop = stop, .free = end
};
