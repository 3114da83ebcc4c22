/* SPDX-License-Identifier: MIT */
/*
 * What of the messages is written when: a table of stages. With PIPELINING nothing waits for
 * an answer but the content after DATA; with CHUNKING not even that, and messages follow
 * each other (RFC 2920, RFC 3030). Writing pauses when enough waits to be sent.
 */
#include "common/limits.h"
#include "daemon/smtp/pipeline.h"

#include <inttypes.h>

#define HIGH_WATER (60 * KIB)                          /* of engine->out: no further line or piece above it */
#define PIECE_MAX  (32 * KIB)                          /* of a body, at once */
#define CHUNK_MAX  (256 * KIB)                         /* of one BDAT */
#define OUT_MOST   (HIGH_WATER + body_room(PIECE_MAX)) /* what comes of them: 128 KiB of memory */
#define RECIPIENTS_AHEAD \
        25 /* of answers: a server that takes fewer at once is not shown a hundred errors \
            */

/* Without PIPELINING a command waits until all before it are answered. */
static bool may_command(const struct smtp_session *s)
{
        return s->can.pipelining || !s->mail.awaited;
}

/*
 * The first message of a session goes alone, until the server has taken its MAIL, and the first by BDAT until
 * that works: one that refuses us altogether has then not been handed a hundred. Later ones go while few
 * bytes are unanswered, two in any case, so that the line never falls silent.
 */
static bool may_begin(const struct smtp_session *s)
{
        const struct pipeline *p = &s->mail;

        if (!p->started)
                return true;
        return p->proven && (!s->can.chunking || s->known->chunking_works) &&
               (p->started < 2 || p->started_bytes < WINDOW_BYTES);
}

static bool write_mail(struct smtp_session *s, struct smtp_mail *mail)
{
        struct pipeline *p = &s->mail;
        struct flight *f = flight_of(mail);

        if (!may_command(s) || !may_begin(s))
                return false;
        if (p->open) {
                /* The message before may have left its transaction open, or nobody knows yet:
                 * without this our recipients could become its (RFC 3030 section 2). */
                engine_say_gated(&s->engine, "RSET");
                pipeline_await(s, AWAIT_RESET, mail, 0);
                p->open = NULL;
                return true;
        }
        f->with_parameters = smtp_envelope_say_mail(s, mail);
        f->pipelined = s->can.pipelining;
        pipeline_await(s, AWAIT_MAIL, mail, 0);
        p->open = f;
        p->started++;
        p->started_bytes += mail->size;
        f->stage = STAGE_RCPT;
        return true;
}

static bool write_rcpt(struct smtp_session *s, struct smtp_mail *mail)
{
        struct flight *f = flight_of(mail);
        size_t i = smtp_recipient_from(mail, f->next_recipient);

        if (f->refused) {
                f->stage = STAGE_WRITTEN;
                return true;
        }
        if (!smtp_flight_may_ask(mail)) {
                f->chunked = s->can.chunking;
                f->stage = f->chunked ? STAGE_CHUNK : STAGE_DATA;
                return true;
        }
        if (!may_command(s) || f->recipients_due >= RECIPIENTS_AHEAD)
                return false;
        struct smtp_recipient *r = &mail->recipients[i];
        f->next_recipient = i + 1;
        f->recipients_due++;
        f->asked++;
        r->asked = true;
        r->with_parameters = smtp_envelope_say_recipient(s, r);
        pipeline_await(s, AWAIT_RCPT, mail, i);
        return true;
}

static bool write_data(struct smtp_session *s, struct smtp_mail *mail)
{
        struct flight *f = flight_of(mail);

        if (!f->refused && !may_command(s))
                return false;
        if (f->refused) {
                f->stage = STAGE_WRITTEN;
                return true;
        }
        engine_say_gated(&s->engine, "DATA");
        pipeline_await(s, AWAIT_DATA, mail, 0);
        f->stage = STAGE_GO_AHEAD;
        return true;
}

static bool write_nothing(struct smtp_session *s unused_arg, struct smtp_mail *mail unused_arg)
{
        return false;
}

/* The content cannot be what was promised: never end it, so that nothing cut is delivered. */
static void break_off(struct smtp_session *s, struct smtp_mail *mail, enum smtp_outcome outcome,
                      enum cause_code cause, const char *words)
{
        struct cause why = { 0 };
        bool disk = cause == CAUSE_STORAGE; /* no fault of ours or the server's: the session is made anew */

        smtp_outcome_for_rest(mail, outcome, cause, words);
        cause_set(&why, disk ? CAUSE_CLOSED : CAUSE_INTERNAL,
                  "the connection was dropped in the middle of a message: %s", words);
        if (disk)
                cause_remedy(&why, "look at the disk below the state folder (the kernel's log, smartctl); "
                                   "which message it was: emailsecctl queue list");
        (void)engine_fail_with(&s->engine, &why);
}

static void break_off_wrong(struct smtp_session *s, struct smtp_mail *mail, const char *words)
{
        break_off(s, mail, OUTCOME_REFUSED, CAUSE_UNSENDABLE, words);
}

/* True when f->piece has bytes or the body is over; false: later, or the session has failed. */
static bool have_piece(struct smtp_session *s, struct smtp_mail *mail)
{
        struct flight *f = flight_of(mail);

        while (!f->piece_len && !f->body_over) {
                if (f->later)
                        return false;
                switch (mail->body(mail, &f->piece, &f->piece_len)) {
                case BODY_BYTES:
                        break;
                case BODY_LATER:
                        f->piece_len = 0;
                        f->later = true;
                        break;
                case BODY_END:
                        f->piece_len = 0;
                        f->body_over = true;
                        break;
                case BODY_FAILED:
                        break_off(s, mail, OUTCOME_DEFERRED, CAUSE_STORAGE, "its content cannot be read");
                        return false;
                }
        }
        return true;
}

static void piece_taken(struct flight *f, size_t len)
{
        f->piece += len;
        f->piece_len -= len;
}

/* At once as much as waits there of a large body. */
static void make_room(struct smtp_session *s, const struct flight *f)
{
        if (f->piece_len > PIECE_MAX)
                buf_expect(&s->engine.out, OUT_MOST);
}

static size_t smaller(uint64_t a, uint64_t b)
{
        return (size_t)(a < b ? a : b);
}

static bool write_content(struct smtp_session *s, struct smtp_mail *mail)
{
        struct flight *f = flight_of(mail);

        if (!have_piece(s, mail))
                return false;
        if (!f->piece_len) {
                f->stage = STAGE_DOT;
                return true;
        }
        make_room(s, f);
        size_t len = smaller(f->piece_len, PIECE_MAX);
        if (body_stuff(&f->body, &s->engine.out, f->piece, len)) {
                break_off(s, mail, OUTCOME_DEFERRED, CAUSE_INTERNAL, "too much waits to be sent");
                return false;
        }
        piece_taken(f, len);
        return true;
}

static bool write_dot(struct smtp_session *s, struct smtp_mail *mail)
{
        struct flight *f = flight_of(mail);

        if (!f->refused && f->body.count != mail->size) {
                break_off_wrong(s, mail, "it is not as long as it was when it was accepted");
                return false;
        }
        if (body_dot(&f->body, &s->engine.out)) {
                break_off(s, mail, OUTCOME_DEFERRED, CAUSE_INTERNAL, "too much waits to be sent");
                return false;
        }
        pipeline_await(s, AWAIT_END, mail, 0);
        f->end_written = true;
        s->mail.open = NULL; /* the dot ends a transaction, whatever its reply will be */
        f->stage = STAGE_WRITTEN;
        return true;
}

static bool write_chunk(struct smtp_session *s, struct smtp_mail *mail)
{
        struct flight *f = flight_of(mail);

        if (f->refused) {
                f->stage = STAGE_WRITTEN;
                return true;
        }
        if (!may_command(s))
                return false;
        uint64_t left = mail->size - f->promised;
        f->chunk_left = left < CHUNK_MAX ? left : CHUNK_MAX;
        f->promised += f->chunk_left;
        f->last_chunk = f->promised == mail->size;
        engine_say_gated(&s->engine, "BDAT %" PRIu64 "%s", f->chunk_left, f->last_chunk ? " LAST" : "");
        pipeline_await(s, f->last_chunk ? AWAIT_END : AWAIT_CHUNK, mail, 0);
        f->end_written = !mail->size;
        f->stage = STAGE_CHUNK_CONTENT;
        return true;
}

/* All promised bytes are written; of the last chunk the body must be over as well. */
static bool end_chunk(struct smtp_session *s, struct smtp_mail *mail)
{
        struct flight *f = flight_of(mail);

        if (!f->last_chunk) {
                f->stage = STAGE_CHUNK;
                return true;
        }
        if (!have_piece(s, mail))
                return false;
        if (f->piece_len || !body_exact_complete(&f->body)) {
                break_off_wrong(s, mail, "it is longer than it was when it was accepted");
                return false;
        }
        f->stage = STAGE_WRITTEN;
        return true;
}

static bool write_chunk_content(struct smtp_session *s, struct smtp_mail *mail)
{
        struct flight *f = flight_of(mail);

        if (!f->chunk_left)
                return end_chunk(s, mail);
        if (!have_piece(s, mail))
                return false;
        if (!f->piece_len) {
                break_off_wrong(s, mail, "it is shorter than it was when it was accepted");
                return false;
        }
        make_room(s, f);
        size_t len = smaller(smaller(f->piece_len, PIECE_MAX), f->chunk_left);
        if (body_exact(&f->body, &s->engine.out, f->piece, len)) {
                break_off_wrong(s, mail, "its lines do not all end in CRLF");
                return false;
        }
        piece_taken(f, len);
        f->chunk_left -= len;
        /* From here on a lost connection leaves it open whether the server has it all. */
        f->end_written = f->last_chunk && !f->chunk_left;
        return true;
}

/* True: went on. False: waits for an answer or for the body, or the session has failed. */
static bool (*const stages[STAGES])(struct smtp_session *, struct smtp_mail *) = {
        [STAGE_MAIL] = write_mail,       [STAGE_RCPT] = write_rcpt,
        [STAGE_DATA] = write_data,       [STAGE_GO_AHEAD] = write_nothing,
        [STAGE_CONTENT] = write_content, [STAGE_DOT] = write_dot,
        [STAGE_CHUNK] = write_chunk,     [STAGE_CHUNK_CONTENT] = write_chunk_content,
        [STAGE_WRITTEN] = write_nothing,
};

bool pipeline_uploads(const struct pipeline *p)
{
        const struct flight *f = p->writing ? flight_of(p->writing) : NULL;

        return f && (f->stage == STAGE_CONTENT || f->stage == STAGE_CHUNK_CONTENT);
}

void pipeline_write(struct smtp_session *s)
{
        struct pipeline *p = &s->mail;

        while (s->engine.state == ENGINE_READY && p->writing) {
                struct smtp_mail *mail = p->writing;
                struct flight *f = flight_of(mail);
                if (f->stage == STAGE_WRITTEN) {
                        p->writing = mail->next;
                        if (!f->due)
                                pipeline_through(s, mail);
                        continue;
                }
                if (s->engine.out.len >= HIGH_WATER || !stages[f->stage](s, mail))
                        break;
        }
}
