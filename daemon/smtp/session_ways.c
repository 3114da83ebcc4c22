/* SPDX-License-Identifier: MIT */
/*
 * What has been learnt of a server and holds for the sessions to come: ways that it does not take, the form
 * of our name that it does; and what is decided of recipients. Used by the session and by each message alike.
 */
#include "daemon/smtp/pipeline.h"

#include <stdio.h>

/* ---- ways ---- */

bool smtp_session_is_remembered(const struct smtp_session *s)
{
        return s->known != &s->own_ways;
}

void smtp_session_keep_to_ways(struct smtp_session *s)
{
        if (s->known->no_pipelining || s->known->careful)
                s->can.pipelining = false;
        if (s->known->no_chunking || s->known->careful || s->config.lmtp)
                s->can.chunking =
                        false; /* LMTP: a received message goes as it is, BDAT takes no odd line ends */
}

bool smtp_session_learn(struct smtp_session *s, bool *way, const char *news)
{
        bool is_new = !*way;

        *way = true;
        if (is_new)
                (void)snprintf(s->known->news, sizeof s->known->news, "%s", news);
        smtp_session_keep_to_ways(s);
        return is_new;
}

int smtp_session_begin_anew(struct smtp_session *s, const char *words)
{
        s->anew = s->engine.state != ENGINE_FAILED;
        return engine_fail(&s->engine, CAUSE_CLOSED, "the session is made anew in another way: %s", words);
}

bool smtp_session_anew(const struct engine *engine)
{
        return container_of(engine, const struct smtp_session, engine)->anew;
}

bool smtp_session_has_carried(const struct engine *engine)
{
        return container_of(engine, const struct smtp_session, engine)->carried != 0;
}

/* ---- our name ---- */

enum { NAMES = 3 };

/* Its form number `which`: the full name, this end's address, another name; NULL where there is none, or it
 * is an earlier one. */
static const char *name_form(const struct smtp_session *s, unsigned which)
{
        const char *literal = s->engine.channel.local[0] ? s->engine.channel.local : "[127.0.0.1]";
        const char *const forms[NAMES] = { s->config.hello, literal, s->config.domain };

        if (which >= NAMES || (which == 1 && s->config.hello && !s->engine.channel.local[0]))
                return NULL;
        return forms[which];
}

const char *smtp_session_our_name(const struct smtp_session *s)
{
        for (unsigned i = 0; i < NAMES; i++) {
                const char *name = name_form(s, (s->known->name + i) % NAMES);
                if (name)
                        return name;
        }
        return "[127.0.0.1]";
}

bool smtp_session_other_name(struct smtp_session *s)
{
        while (s->known->name + 1 < NAMES)
                if (name_form(s, ++s->known->name)) {
                        (void)snprintf(s->known->news, sizeof s->known->news,
                                       "does not take our name: it is greeted as %.60s",
                                       smtp_session_our_name(s));
                        return true;
                }
        s->known->name = 0;
        return false;
}

int smtp_session_no_name(struct smtp_session *s, const char *words)
{
        return engine_fail(&s->engine, CAUSE_NAME_REFUSED,
                           "the server takes no form of this station's name: %s", words);
}

/* ---- recipients ---- */

size_t smtp_recipient_from(const struct smtp_mail *mail, size_t from)
{
        while (from < mail->recipient_count && mail->recipients[from].outcome != OUTCOME_NONE)
                from++;
        return from;
}

size_t smtp_recipients_undecided(const struct smtp_mail *mail)
{
        size_t count = 0;

        for (size_t i = smtp_recipient_from(mail, 0); i < mail->recipient_count;
             i = smtp_recipient_from(mail, i + 1))
                count++;
        return count;
}

void smtp_put_text(char *to, size_t size, const char *text)
{
        size_t len = strnlen(text, size - 1);

        memcpy(to, text, len);
        to[len] = '\0';
}

void smtp_outcome_set(struct smtp_recipient *r, enum smtp_outcome outcome, enum cause_code cause,
                      const char *words)
{
        r->outcome = outcome;
        r->cause = cause;
        smtp_put_text(r->reply, sizeof r->reply, words);
}

void smtp_outcome_for_rest(struct smtp_mail *mail, enum smtp_outcome outcome, enum cause_code cause,
                           const char *words)
{
        for (size_t i = smtp_recipient_from(mail, 0); i < mail->recipient_count;
             i = smtp_recipient_from(mail, i + 1))
                smtp_outcome_set(&mail->recipients[i], outcome, cause, words);
}
