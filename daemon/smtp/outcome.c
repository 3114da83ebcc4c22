/* SPDX-License-Identifier: MIT */
/*
 * What the replies to a message mean. Replies come in the order of the commands; each takes
 * the oldest entry off the ring, and decides a recipient, a message or the session.
 */
#include "common/limits.h"
#include "daemon/smtp/pipeline.h"

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

size_t recipient_from(const struct smtp_mail *mail, size_t from)
{
        while (from < mail->recipient_count && mail->recipients[from].outcome != OUTCOME_NONE)
                from++;
        return from;
}

static void put_text(char *to, size_t size, const char *text)
{
        size_t len = strnlen(text, size - 1);

        memcpy(to, text, len);
        to[len] = '\0';
}

void outcome_for_rest(struct smtp_mail *mail, enum smtp_outcome outcome, enum cause_code cause,
                      const char *words)
{
        for (size_t i = recipient_from(mail, 0); i < mail->recipient_count; i = recipient_from(mail, i + 1)) {
                mail->recipients[i].outcome = outcome;
                mail->recipients[i].cause = cause;
                put_text(mail->recipients[i].reply, sizeof mail->recipients[i].reply, words);
        }
}

static bool is_positive(const struct reply *reply)
{
        return reply_class(reply) == 2;
}

/* What a final reply of 2yz, 4yz or 5yz decides for one recipient. */
static void decide(struct smtp_recipient *r, const struct reply *reply, bool temporary, const char *words)
{
        r->outcome = is_positive(reply) ? OUTCOME_SENT : temporary ? OUTCOME_DEFERRED : OUTCOME_REFUSED;
        r->cause = is_positive(reply) ? CAUSE_NONE : temporary ? CAUSE_DEFERRED : CAUSE_REFUSED;
        r->code = reply->code;
        put_text(r->enhanced, sizeof r->enhanced, reply->enhanced);
        put_text(r->reply, sizeof r->reply, words);
}

static void decide_rest(const struct smtp_session *s, struct smtp_mail *mail, const struct reply *reply)
{
        char words[sizeof mail->recipients[0].reply];

        signin_words(s, reply, words, sizeof words);
        for (size_t i = recipient_from(mail, 0); i < mail->recipient_count; i = recipient_from(mail, i + 1))
                decide(&mail->recipients[i], reply, reply_class(reply) == 4, words);
        if (!is_positive(reply))
                flight_of(mail)->refused = true;
}

static void out_of_protocol(struct smtp_session *s, const char *command, const struct reply *reply)
{
        char words[160];

        signin_words(s, reply, words, sizeof words);
        chat_fail(&s->chat, CAUSE_PROTOCOL, "the server answered %s with \"%s\"", command, words);
}

/* A refused message that goes through all the same has been sent to nobody knows whom. */
static bool contradicts(struct smtp_session *s, const struct smtp_mail *mail, const struct reply *reply)
{
        const struct flight *f = flight_of(mail);

        if (!f->refused || !f->accepted)
                return false;
        out_of_protocol(s, "the content of a message it had refused", reply);
        return true;
}

/* ---- one function for each kind of reply ---- */

static void heard_reset(struct smtp_session *s, const struct awaited *about unused_arg,
                        const struct reply *reply)
{
        if (!is_positive(reply))
                out_of_protocol(s, "RSET", reply);
}

static void heard_mail(struct smtp_session *s, const struct awaited *about, const struct reply *reply)
{
        const struct flight *f = flight_of(about->mail);

        if (reply_class(reply) == 3) {
                out_of_protocol(s, "MAIL", reply);
        } else if (is_positive(reply)) {
                s->mail.proven = true;
        } else {
                decide_rest(s, about->mail, reply);
                if (s->mail.open == f && !f->next_recipient)
                        s->mail.open = NULL; /* nothing followed: there is no transaction */
        }
}

/* RFC 5321 section 4.5.3.1.10: 552 for RCPT may mean "too many recipients", which is temporary. */
static bool is_too_many(const struct reply *reply)
{
        return reply->code == 552 && (!reply->enhanced[0] || same_text(reply->enhanced, "5.5.3"));
}

static void heard_rcpt(struct smtp_session *s, const struct awaited *about, const struct reply *reply)
{
        struct smtp_mail *mail = about->mail;
        struct smtp_recipient *r = &mail->recipients[about->recipient];
        struct flight *f = flight_of(mail);

        f->recipients_due--;
        if (reply_class(reply) == 3) {
                out_of_protocol(s, "RCPT", reply);
                return;
        }
        if (is_positive(reply)) {
                f->accepted++;
        } else if (r->outcome == OUTCOME_NONE) {
                char words[sizeof r->reply];
                signin_words(s, reply, words, sizeof words);
                decide(r, reply, reply_class(reply) == 4 || is_too_many(reply), words);
        }
        if (!f->accepted && !f->recipients_due &&
            recipient_from(mail, f->next_recipient) == mail->recipient_count)
                f->refused = true;
}

static void heard_data(struct smtp_session *s, const struct awaited *about, const struct reply *reply)
{
        struct flight *f = flight_of(about->mail);

        if (reply->code == 354) {
                if (!contradicts(s, about->mail, reply))
                        f->stage = f->refused ? STAGE_DOT : STAGE_CONTENT;
        } else if (reply_class(reply) < 4) {
                out_of_protocol(s, "DATA", reply);
        } else {
                decide_rest(s, about->mail, reply);
                f->stage = STAGE_WRITTEN;
        }
}

static void heard_chunk(struct smtp_session *s, const struct awaited *about, const struct reply *reply)
{
        if (reply_class(reply) == 3)
                out_of_protocol(s, "BDAT", reply);
        else if (!is_positive(reply))
                decide_rest(s, about->mail, reply);
}

static void heard_end(struct smtp_session *s, const struct awaited *about, const struct reply *reply)
{
        struct flight *f = flight_of(about->mail);

        if (reply_class(reply) == 3) {
                out_of_protocol(s, "a whole message", reply);
                return;
        }
        f->end_written = false; /* answered: nothing ambiguous in it any more */
        if (is_positive(reply) && contradicts(s, about->mail, reply))
                return;
        if (is_positive(reply) && s->mail.open == f)
                s->mail.open = NULL;
        decide_rest(s, about->mail, reply);
}

static void (*const hear[])(struct smtp_session *, const struct awaited *, const struct reply *) = {
        [AWAIT_RESET] = heard_reset, [AWAIT_MAIL] = heard_mail,   [AWAIT_RCPT] = heard_rcpt,
        [AWAIT_DATA] = heard_data,   [AWAIT_CHUNK] = heard_chunk, [AWAIT_END] = heard_end,
};

/* ---- replies that are about the session ---- */

static void heard_unasked(struct smtp_session *s, const struct reply *reply)
{
        char words[160];

        signin_words(s, reply, words, sizeof words);
        if (reply->code != 421)
                chat_fail(&s->chat, CAUSE_PROTOCOL, "the server said something nobody asked for: \"%s\"",
                          words);
        else if (same_text(reply->enhanced, "4.4.2"))
                chat_go(&s->chat, STEP_ENDED); /* it was kept for the next message, and waited too long */
        else
                chat_fail(&s->chat, CAUSE_SERVER_BUSY, "the server ends the session: %s", words);
}

static void heard_ending(struct smtp_session *s, const struct awaited *about, const struct reply *reply)
{
        char words[sizeof about->mail->recipients[0].reply];

        signin_words(s, reply, words, sizeof words);
        if (about->what == AWAIT_END)
                decide_rest(s, about->mail, reply); /* a 4yz for this message, whatever else it is */
        chat_fail(&s->chat, CAUSE_SERVER_BUSY, "the server ends the session: %s", words);
}

/* The server wants a sign-in: that is about the account, no message is refused for it. */
static bool wants_signin(const struct reply *reply)
{
        return reply->code == 530 || reply->code == 534 || reply->code == 535 || reply->code == 538;
}

static void heard_wants_signin(struct smtp_session *s, const struct awaited *about, const struct reply *reply)
{
        char words[160];
        struct cause cause;

        signin_words(s, reply, words, sizeof words);
        if (about->what == AWAIT_END)
                flight_of(about->mail)->end_written = false;
        cause_set(&cause, CAUSE_AUTHENTICATION, "the server takes no mail in this session: %s", words);
        if (!s->chat.channel.tls)
                cause_remedy(&cause, "the server may want TLS first: emailsecctl account secure NAME ssl|starttls");
        else if (!signin_wanted(&s->config.signin))
                cause_remedy(&cause, "set the property account, then: emailsecctl account password NAME");
        chat_fail_with(&s->chat, &cause);
}

void pipeline_heard(struct smtp_session *s, const struct reply *reply)
{
        struct pipeline *p = &s->mail;

        if (!p->awaited) {
                heard_unasked(s, reply);
                return;
        }
        struct awaited about = ring_take(p);
        struct flight *f = flight_of(about.mail);
        f->due--;
        if (reply->code == 421) {
                heard_ending(s, &about, reply);
                return;
        }
        if (wants_signin(reply)) {
                heard_wants_signin(s, &about, reply);
                return;
        }
        hear[about.what](s, &about, reply);
        if (s->chat.state == CHAT_READY && f->stage == STAGE_WRITTEN && !f->due && p->writing != about.mail)
                pipeline_through(p, about.mail);
}
