/* SPDX-License-Identifier: MIT */
/*
 * What the owner of a session calls to send messages, and how they come back: each exactly
 * once, with an outcome for every recipient, also when the session fails. Nothing is
 * called back from the middle of the work: callbacks run at its end and may send more.
 *
 * A struct smtp_mail is the caller's and linked in here: in `first`..`last` while it flies (with a struct
 * flight of ours in `own`), in `done` until it was handed back. Several fly at once (RFC 2920): commands are
 * written ahead of the replies, and replies come in the order of the commands, so the oldest is always the
 * next to be through.
 *
 * AMBIGUOUS is what cannot be known: the end of the content was written and no reply came. Before that end
 * nothing has been taken (RFC 5321, 4.1.1.4), and the recipients are undecided, to be tried anew.
 */
#include "daemon/smtp/pipeline.h"

#include "common/limits.h"

#include <stdio.h>

/* How many messages are taken at once: with CHUNKING one write holds many; without it
 * only the envelope of the next can follow a final dot. */
enum { ROOM_CHUNKED = 100, ROOM_PIPELINED = 2, ROOM_SINGLE = 1 };

/* Of large ones no more than are under way (WINDOW_BYTES) and one that follows: whoever waits here is in
 * memory.
 */
enum { LARGE_ROOM = 3, LARGE_BYTES = 2 * WINDOW_BYTES };

enum {
        RECIPIENTS_AT_ONCE = 100
}; /* every server takes so many (RFC 5321 section 4.5.3.1.8), unless it says otherwise */

/* RFC 5321 section 4.5.3.2, in seconds. */
static const struct {
        unsigned wait;
        const char *phrase;
} waits[] = {
        [AWAIT_RESET] = { 300, "waiting for the answer to RSET" },
        [AWAIT_MAIL] = { 300, "waiting for the answer to MAIL" },
        [AWAIT_RCPT] = { 300, "waiting for the answer to RCPT" },
        [AWAIT_DATA] = { 120, "waiting for the answer to DATA" },
        [AWAIT_CHUNK] = { 180, "waiting for the answer to a part of a message" },
        [AWAIT_END] = { 600, "waiting for the server to take a message" },
};
static const unsigned upload_wait = 180;
static const char upload_phrase[] = "sending a message";

/* 0 too while a careful session has carried one already: such a server gets a session for each message. */
size_t smtp_mail_room(const struct engine *engine)
{
        const struct smtp_session *s = container_of(engine, const struct smtp_session, engine);
        size_t limit = s->known->careful && s->carried ? 0
                       : !s->can.pipelining            ? ROOM_SINGLE
                       : s->can.chunking               ? ROOM_CHUNKED
                                                       : ROOM_PIPELINED;

        if (s->mail.flying_bytes >= LARGE_BYTES && limit > LARGE_ROOM)
                limit = LARGE_ROOM;
        if (engine->state != ENGINE_READY || s->mail.quitting || s->mail.flying >= limit)
                return 0;
        return limit - s->mail.flying;
}

bool smtp_mail_fits(const struct engine *engine, const struct smtp_mail *mail)
{
        const struct smtp_session *s = container_of(engine, const struct smtp_session, engine);

        return smtp_envelope_fits(mail, &s->can);
}

size_t smtp_mail_flying(const struct engine *engine)
{
        return container_of(engine, const struct smtp_session, engine)->mail.flying;
}

/* ---- coming back ---- */

static void drop_flight(struct smtp_mail *mail)
{
        free(mail->own);
        mail->own = NULL;
}

static void land(struct pipeline *p, const struct smtp_mail *mail)
{
        p->flying--;
        p->flying_bytes -= mail->size;
}

/* To be called back at the end of the work, never here. */
static void hand_over(struct pipeline *p, struct smtp_mail *mail)
{
        mail->next = NULL;
        if (!p->done)
                p->done_end = &p->done;
        *p->done_end = mail;
        p->done_end = &mail->next;
}

static void append(struct pipeline *p, struct smtp_mail *mail)
{
        mail->next = NULL;
        if (p->last)
                p->last->next = mail;
        else
                p->first = mail;
        p->last = mail;
        if (!p->writing)
                p->writing = mail;
}

static void begin_flight(struct smtp_mail *mail, size_t most)
{
        struct flight *f = flight_of(mail);

        *f = (struct flight){ .most = most, .undecided = smtp_recipients_undecided(mail) };
        body_init(&f->body);
}

/* For recipients that are undecided, when another transaction can bring them further: in another way, or
 * behind those that the server takes at once. */
static bool goes_once_more(struct smtp_session *s, struct smtp_mail *mail)
{
        struct flight *f = flight_of(mail);
        size_t left = smtp_recipients_undecided(mail), most = f->full && f->accepted ? f->accepted : f->most;

        if (!left || !mail->rewind || (left == f->undecided && !f->learnt))
                return false;
        if (f->full && f->most == RECIPIENTS_AT_ONCE)
                (void)snprintf(s->known->news, sizeof s->known->news,
                               "takes %zu recipients at once: %zu more follow in groups", most, left);
        if (left < f->undecided && mail->partly)
                mail->partly(mail);
        begin_flight(mail, most);
        for (size_t i = 0; i < mail->recipient_count; i++)
                mail->recipients[i].asked = false;
        mail->rewind(mail);
        append(&s->mail, mail);
        return true;
}

/* All replies of this transaction are here. What is left undecided goes once more in another transaction of
 * the same session, where that may bring it further. */
void pipeline_through(struct smtp_session *s, struct smtp_mail *mail)
{
        struct pipeline *p = &s->mail;

        if (flight_of(mail)->leave && smtp_recipients_undecided(mail)) {
                smtp_session_begin_anew(s, "the server does not take this station's name");
                return;
        }

        /* Replies come in order: only the oldest can be through. */
        p->first = mail->next;
        if (!p->first)
                p->last = NULL;
        p->started--;
        p->started_bytes -= mail->size;
        if (goes_once_more(s, mail))
                return;
        smtp_outcome_for_rest(mail, OUTCOME_DEFERRED, CAUSE_DEFERRED,
                              "the server took it for others and not for this one");
        land(p, mail);
        drop_flight(mail);
        hand_over(p, mail);
}

/* Calls `finished` of what is through; true when there was any. */
static bool hand_back(struct pipeline *p)
{
        bool any = p->done != NULL;

        while (p->done) {
                struct smtp_mail *mail = p->done;
                p->done = mail->next;
                mail->next = NULL;
                mail->finished(mail, NULL);
        }
        return any;
}

/* The server ended a session that it had waited in, while the next message was on its way: that says nothing
 * of either. */
static bool was_kept_too_long(const struct smtp_session *s, const struct cause *why)
{
        const struct awaited *head = pipeline_awaits(&s->mail);

        return s->carried && head && (head->what == AWAIT_MAIL || head->what == AWAIT_RESET) &&
               why->code == CAUSE_CLOSED && smtp_session_is_remembered(s);
}

/* A server that falls silent or hangs up when commands come together, and never took them so, gets them one
 * by one. */
static void suspect_pipelining(struct smtp_session *s, const struct cause *why)
{
        if (s->anew || s->mail.awaited < 2 || !s->can.pipelining || s->known->pipelining_works ||
            !smtp_session_is_remembered(s) || (why->code != CAUSE_CLOSED && why->code != CAUSE_TIMEOUT))
                return;
        (void)smtp_session_learn(s, &s->known->no_pipelining,
                                 "ended the session when commands came together: one at a time from now on");
}

/* Those whose end was written may have been taken; of the others nothing is known to be decided. */
static void lose_all(struct smtp_session *s, const struct cause *why)
{
        struct pipeline *p = &s->mail;

        suspect_pipelining(s, why);
        s->anew |= was_kept_too_long(s, why);
        while (p->first) {
                struct smtp_mail *mail = p->first;
                for (size_t i = 0; flight_of(mail)->end_written && i < mail->recipient_count; i++)
                        if (mail->recipients[i].asked && mail->recipients[i].outcome == OUTCOME_NONE)
                                smtp_outcome_set(&mail->recipients[i], OUTCOME_AMBIGUOUS, why->code,
                                                 why->text);
                p->first = mail->next;
                land(p, mail);
                mail->next = NULL;
                drop_flight(mail);
                mail->finished(mail, why);
        }
        p->last = p->writing = NULL;
        p->awaited = p->started = 0;
        p->started_bytes = 0;
}

/* ---- the work ---- */

/* `waits` is counted up when the deadline begins anew: progress, or another thing that is waited for. */
static void set_wait(struct engine *engine, unsigned wait, const char *phrase, bool progress)
{
        unsigned most = session_of(engine)->config.longest_wait;

        engine_touch(engine);
        if (most && most < wait)
                wait = most;
        if (progress || engine->phrase != phrase)
                engine->waits++;
        engine->wait = wait;
        engine->phrase = phrase;
        engine->idle = phrase == NULL;
}

static void arm(struct smtp_session *s, bool progress)
{
        const struct awaited *head = pipeline_awaits(&s->mail);

        if (s->engine.state != ENGINE_READY)
                return;
        if (!s->mail.first)
                set_wait(&s->engine, 0, NULL, progress);
        else if (!head || pipeline_uploads(&s->mail))
                set_wait(&s->engine, upload_wait, upload_phrase, progress);
        else
                set_wait(&s->engine, waits[head->what].wait, waits[head->what].phrase, progress);
}

static void release_idle(struct smtp_session *s)
{
        engine_release(&s->engine);
        free(s->mail.ring);
        s->mail.ring = NULL;
        s->mail.ring_size = 0;
}

/* The one place where bytes are written and callbacks come. `busy` keeps what the callbacks call from
 * running inside it: they only leave work for the next round of the loop here. */
void pipeline_run(struct smtp_session *s, bool progress)
{
        struct pipeline *p = &s->mail;

        if (p->busy)
                return;
        p->busy = true;
        do
                pipeline_write(s);
        while (hand_back(p));
        if (s->engine.state == ENGINE_FAILED) {
                struct cause why = *s->engine.cause;
                lose_all(s, &why);
                (void)hand_back(p);
        }
        p->busy = false;
        if (p->quitting && !p->first && s->engine.state == ENGINE_READY)
                s->engine.class->quit(&s->engine);
        arm(s, progress);
        if (!p->first)
                release_idle(s);
}

void pipeline_done(struct pipeline *p)
{
        free(p->ring);
        p->ring = NULL;
}

/* ---- going ---- */

/* Refused before a byte of it was sent; comes back like all others. */
static void refuse(struct smtp_session *s, struct smtp_mail *mail, const struct cause *why)
{
        smtp_outcome_for_rest(mail, OUTCOME_REFUSED, why->code, why->text);
        hand_over(&s->mail, mail);
}

static void take_mail(struct smtp_session *s, struct smtp_mail *mail)
{
        struct pipeline *p = &s->mail;
        struct flight *f = new_object(struct flight);

        mail->own = f;
        begin_flight(mail, RECIPIENTS_AT_ONCE);
        append(p, mail);
        p->flying++;
        p->flying_bytes += mail->size;
}

static void forget_results(struct smtp_mail *mail)
{
        mail->next = NULL;
        mail->own = NULL;
        for (size_t i = 0; i < mail->recipient_count; i++) {
                struct smtp_recipient *r = &mail->recipients[i];
                r->asked = false;
                if (r->decided)
                        continue;
                r->outcome = OUTCOME_NONE;
                r->slow_down = false;
                r->code = 0;
                r->enhanced[0] = '\0';
                r->reply[0] = '\0';
                r->cause = CAUSE_NONE;
        }
}

/* A session that takes no more calls back at once: the caller must not count on it to be later. */
void smtp_mail_send(struct engine *engine, struct smtp_mail *mail)
{
        struct smtp_session *s = session_of(engine);
        struct cause why = { 0 };

        forget_results(mail);
        if (engine->state != ENGINE_READY || s->mail.quitting) {
                why = *engine->cause;
                if (engine->state != ENGINE_FAILED)
                        cause_set(&why, CAUSE_CLOSED, "the session takes no more messages");
                mail->finished(mail, &why);
                return;
        }
        if (smtp_envelope_check(mail, &s->can, &why) || smtp_recipients_undecided(mail) == 0)
                refuse(s, mail, &why);
        else
                take_mail(s, mail);
        pipeline_run(s, false);
}

/* The chunk that was BODY_LATER is here. A message that is through meanwhile has no `own`. */
void smtp_mail_continue(struct engine *engine, struct smtp_mail *mail)
{
        if (mail->own)
                flight_of(mail)->later = false;
        pipeline_run(session_of(engine), true);
}

/* All that fly come back by this cause, before it returns; or, from inside a callback, right behind it. */
void smtp_mail_lost(struct engine *engine, const struct cause *why)
{
        struct smtp_session *s = session_of(engine);
        struct cause because = *why; /* may be the engine's own */

        (void)engine_fail_with(engine, &because);
        if (s->mail.busy)
                return; /* from inside a callback: pipeline_run goes on to lose_all */
        s->mail.busy = true;
        (void)hand_back(&s->mail);
        lose_all(s, &because);
        s->mail.busy = false;
}
