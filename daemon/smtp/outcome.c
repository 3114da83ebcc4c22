/* SPDX-License-Identifier: MIT */
/*
 * What comes of the replies to a message. Replies come in the order of the commands; each takes the oldest
 * entry off the ring; smtp/meaning says what it is about: a recipient or the message, or more
 * (hearing_more.c).
 */
#include "common/limits.h"
#include "daemon/smtp/hearing.h"

#include <stdio.h>

/* ---- what is awaited ---- */

static void ring_grow(struct pipeline *p)
{
        size_t size = p->ring_size ? 2 * p->ring_size : 32;
        struct awaited *ring = new_zeroed(size, sizeof *ring);

        for (size_t i = 0; i < p->awaited; i++)
                ring[i] = p->ring[(p->ring_first + i) & (p->ring_size - 1)];
        free(p->ring);
        p->ring = ring;
        p->ring_size = size; /* a power of two */
        p->ring_first = 0;
}

/* Called when the command is written, so that the ring has exactly the replies that are owed. */
void pipeline_await(struct smtp_session *session, enum awaited_what what, struct smtp_mail *mail,
                    size_t recipient)
{
        struct pipeline *p = &session->mail;

        if (p->awaited == p->ring_size)
                ring_grow(p);
        p->ring[(p->ring_first + p->awaited++) & (p->ring_size - 1)] =
                (struct awaited){ mail, recipient, what };
        flight_of(mail)->due++;
}

const struct awaited *pipeline_awaits(const struct pipeline *p)
{
        return p->awaited ? &p->ring[p->ring_first] : NULL;
}

static struct awaited ring_take(struct pipeline *p)
{
        struct awaited oldest = p->ring[p->ring_first];

        p->ring_first = (p->ring_first + 1) & (p->ring_size - 1);
        p->awaited--;
        return oldest;
}

/* ---- outcomes ---- */

bool smtp_flight_may_ask(const struct smtp_mail *mail)
{
        const struct flight *f = flight_of(mail);

        return !f->full && f->asked < f->most &&
               smtp_recipient_from(mail, f->next_recipient) < mail->recipient_count;
}

/* What a final reply decides for one recipient. A recipient's words are copied: the reply is gone with the
 * next line. */
static void decide(const struct hearing *h, struct smtp_recipient *r)
{
        static const struct {
                enum smtp_outcome outcome;
                enum cause_code cause;
        } forms[] = { { OUTCOME_SENT, CAUSE_NONE },
                      { OUTCOME_DEFERRED, CAUSE_DEFERRED },
                      { OUTCOME_REFUSED, CAUSE_REFUSED } };
        bool later = h->meaning == MEANS_LATER || h->meaning == MEANS_TOO_MANY;
        bool never = h->meaning == MEANS_NEVER || (reply_class(h->reply) == 5 && !later);
        size_t form = is_positive(h->reply) ? 0 : never ? 2 : 1;

        r->outcome = forms[form].outcome;
        r->cause = forms[form].cause;
        r->code = h->reply->code;
        r->slow_down = smtp_asks_for_less(&h->said);
        smtp_put_text(r->enhanced, sizeof r->enhanced, h->reply->enhanced);
        smtp_put_text(r->reply, sizeof r->reply, h->words);
}

/* Of MAIL: all recipients, also those not asked yet. Of DATA and the end: those that RCPT had accepted, the
 * others have theirs. */
void hearing_decides_rest(const struct hearing *h)
{
        struct smtp_mail *mail = h->mail;
        bool all = h->about.what == AWAIT_MAIL;

        for (size_t i = smtp_recipient_from(mail, 0); i < mail->recipient_count;
             i = smtp_recipient_from(mail, i + 1))
                if (all || mail->recipients[i].asked)
                        decide(h, &mail->recipients[i]);
        if (!is_positive(h->reply))
                h->flight->refused = true;
}

/* Commands and replies are out of step: whose reply is whose cannot be known any more, and nothing may be
 * decided by one. Once, a server is tried again without pipelining; else the session fails. */
void hearing_out_of_protocol(const struct hearing *h, const char *command)
{
        struct smtp_session *s = h->session;
        scoped(scoped_free) char *words =
                text_of("the server answered %s with \"%.160s\"", command, h->words);

        if (smtp_session_is_remembered(s) && !s->config.lmtp &&
            smtp_session_learn(s, &s->known->careful,
                               "gets commands and answers out of step: one at a time from now on"))
                smtp_session_begin_anew(s, words);
        else
                engine_fail(&s->engine, CAUSE_PROTOCOL, "%s", words);
}

/* A refused message that goes through all the same has been sent to nobody knows whom. */
static bool contradicts(const struct hearing *h)
{
        if (!h->flight->refused || !h->flight->accepted)
                return false;
        hearing_out_of_protocol(h, "the content of a message it had refused");
        return true;
}

/* ---- one function for each kind of reply ---- */

/* Without RSET the next message needs a session of its own. */
static void heard_reset(const struct hearing *h)
{
        if (is_positive(h->reply))
                return;
        if (smtp_session_is_remembered(h->session) && h->session->carried)
                smtp_session_begin_anew(h->session, "the server does not take RSET");
        else
                hearing_out_of_protocol(h, "RSET");
}

static void heard_mail(const struct hearing *h)
{
        struct pipeline *p = &h->session->mail;

        if (reply_class(h->reply) == 3) {
                hearing_out_of_protocol(h, "MAIL");
        } else if (is_positive(h->reply)) {
                p->proven = true;
        } else {
                hearing_decides_rest(h);
                if (p->open == h->flight && !h->flight->next_recipient)
                        p->open = NULL; /* nothing followed: there is no transaction */
        }
}

/* "Too many" (452, 4.5.3) decides nothing: this recipient goes in the next group. */
static void heard_rcpt(const struct hearing *h)
{
        struct smtp_recipient *r = &h->mail->recipients[h->about.recipient];
        struct flight *f = h->flight;

        if (reply_class(h->reply) == 3) {
                hearing_out_of_protocol(h, "RCPT");
                return;
        }
        if (is_positive(h->reply)) {
                f->accepted++;
        } else if (h->meaning == MEANS_TOO_MANY && h->mail->rewind) {
                r->asked = false;
                f->full = true;
        } else if (r->outcome == OUTCOME_NONE && !f->refused) {
                decide(h, r);
        }
}

/* 354 after all recipients were refused: only an end can follow, and it must not be taken for a message
 * (stage DOT). */
static void heard_data(const struct hearing *h)
{
        struct flight *f = h->flight;

        if (reply_class(h->reply) == 3) {
                if (!contradicts(h))
                        f->stage = f->refused ? STAGE_DOT : STAGE_CONTENT;
        } else if (is_positive(h->reply)) {
                hearing_out_of_protocol(h, "DATA");
        } else {
                if (!f->refused)
                        hearing_decides_rest(h);
                f->stage = STAGE_WRITTEN;
        }
}

static void heard_chunk(const struct hearing *h)
{
        if (reply_class(h->reply) == 3)
                hearing_out_of_protocol(h, "BDAT");
        else if (!is_positive(h->reply) && !h->flight->refused)
                hearing_decides_rest(h);
}

/* Taken: what this server bears is known, and whose mail goes here. */
static void note_taken(const struct hearing *h)
{
        struct smtp_session *s = h->session;

        s->known->chunking_works |= h->flight->chunked;
        s->known->pipelining_works |= h->flight->pipelined;
        s->known->sender = h->mail->from[0] ? text_hash(h->mail->from) : 0;
        if (s->mail.open == h->flight)
                s->mail.open = NULL;
}

static void heard_end(const struct hearing *h)
{
        struct flight *f = h->flight;

        if (reply_class(h->reply) == 3) {
                hearing_out_of_protocol(h, "a whole message");
                return;
        }
        f->end_written = false; /* answered: nothing ambiguous in it any more */
        h->session->carried++;
        if (is_positive(h->reply) && contradicts(h))
                return;
        if (is_positive(h->reply))
                note_taken(h);
        if (!f->refused)
                hearing_decides_rest(h);
}

static void (*const hear[])(const struct hearing *) = {
        [AWAIT_RESET] = heard_reset, [AWAIT_MAIL] = heard_mail,   [AWAIT_RCPT] = heard_rcpt,
        [AWAIT_DATA] = heard_data,   [AWAIT_CHUNK] = heard_chunk, [AWAIT_END] = heard_end,
};

/* ---- hearing ---- */

static enum smtp_command command_of(const struct hearing *h)
{
        static const enum smtp_command commands[] = {
                [AWAIT_RESET] = SMTP_TO_RSET, [AWAIT_MAIL] = SMTP_TO_MAIL,  [AWAIT_RCPT] = SMTP_TO_RCPT,
                [AWAIT_DATA] = SMTP_TO_DATA,  [AWAIT_CHUNK] = SMTP_TO_BDAT, [AWAIT_END] = SMTP_TO_DOT,
        };

        return h->about.what == AWAIT_END && h->flight->chunked ? SMTP_TO_BDAT : commands[h->about.what];
}

static void judge_reply(struct hearing *h)
{
        const struct smtp_session *s = h->session;
        const struct smtp_mail *mail = h->mail;
        const struct smtp_recipient *r = &mail->recipients[h->about.recipient];

        smtp_signin_words(s, h->reply, h->words, sizeof h->words);
        h->said = (struct said){
                .command = command_of(h),
                .code = h->reply->code,
                .enhanced = h->reply->enhanced,
                .words = h->words,
                .parameters = h->about.what == AWAIT_MAIL ? h->flight->with_parameters : r->with_parameters,
                .pipelined = h->flight->pipelined,
                .accepted = h->flight->accepted != 0,
                .carried = s->carried != 0,
                .signed_in = s->engine.signed_in_by != NULL,
                .worked = mail->worked || (mail->from[0] && s->known->sender == text_hash(mail->from)),
                .attempts = r->attempts,
        };
        h->meaning = smtp_meaning(&h->said);
        if (h->flight->refused && h->meaning != MEANS_ENDS && h->meaning != MEANS_SIGN_IN)
                h->meaning = MEANS_TAKEN; /* only follows from what was said before */
}

/* An answer to content that is still being sent decides it; the rest of it need not go. */
static void heard_early(struct smtp_session *s, struct smtp_mail *mail, const struct reply *reply)
{
        struct hearing h = { .session = s,
                             .reply = reply,
                             .mail = mail,
                             .flight = flight_of(mail),
                             .about = { mail, 0, AWAIT_END } };

        judge_reply(&h);
        if (is_positive(reply) || reply_class(reply) == 3) {
                hearing_out_of_protocol(&h, "a message that has no end yet");
        } else {
                if (!h.flight->refused)
                        hearing_decides_rest(&h);
                smtp_session_begin_anew(s, h.words);
        }
}

/* Nothing was asked. What lies about between messages ends the session, and harms nobody. */
static void heard_unasked(struct smtp_session *s, const struct reply *reply)
{
        char words[160];

        smtp_signin_words(s, reply, words, sizeof words);
        if (reply->code == 421 && !same_text(reply->enhanced, "4.4.2"))
                engine_fail(&s->engine, CAUSE_SERVER_BUSY, "the server ends the session: %s", words);
        else if (s->mail.first && s->mail.first == s->mail.writing)
                heard_early(s, s->mail.first, reply);
        else
                engine_go(&s->engine,
                          STEP_ENDED); /* 4.4.2: it was kept for the next message, and waited too long */
}

void pipeline_heard(struct smtp_session *s, const struct reply *reply)
{
        struct pipeline *p = &s->mail;

        if (!p->awaited) {
                heard_unasked(s, reply);
                return;
        }
        struct hearing h = { .session = s, .reply = reply, .about = ring_take(p) };
        h.mail = h.about.mail;
        h.flight = flight_of(h.mail);
        h.flight->due--;
        h.flight->recipients_due -= h.about.what == AWAIT_RCPT;
        judge_reply(&h);
        if (!hearing_of_more(&h))
                hear[h.about.what](&h);
        else if (h.about.what == AWAIT_DATA)
                h.flight->stage = STAGE_WRITTEN;
        if (h.about.what == AWAIT_RCPT && !h.flight->accepted && !h.flight->recipients_due &&
            !smtp_flight_may_ask(h.mail))
                h.flight->refused = true;
        if (s->engine.state == ENGINE_READY && h.flight->stage == STAGE_WRITTEN && !h.flight->due &&
            p->writing != h.mail)
                pipeline_through(s, h.mail);
}
