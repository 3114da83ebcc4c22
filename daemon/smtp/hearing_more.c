/* SPDX-License-Identifier: MIT */
/*
 * What comes of a reply that is about more than its message: the account, the session, or our way of asking,
 * which is then another one for all that follows.
 */
#include "daemon/smtp/hearing.h"

#include <stdio.h>

static void heard_ending(const struct hearing *h)
{
        if (h->about.what == AWAIT_END)
                hearing_decides_rest(h); /* a 4yz for this message, whatever else it is */
        engine_fail(&h->session->engine, CAUSE_SERVER_BUSY, "the server ends the session: %s", h->words);
}

/* About the account: no message is refused for it. */
static void heard_of_account(const struct hearing *h)
{
        struct smtp_session *s = h->session;
        struct cause cause;

        if (h->meaning == MEANS_ACCOUNT_LATER) {
                cause_set(&cause, CAUSE_ACCOUNT_REFUSED,
                          "the server takes no mail of this account for now: %.300s", h->words);
        } else {
                cause_set(&cause, CAUSE_AUTHENTICATION, "the server takes no mail in this session: %.160s",
                          h->words);
                if (!s->engine.channel.tls)
                        cause_remedy(&cause, "the server may want TLS first: emailsecctl account secure NAME "
                                             "ssl|starttls");
                else if (!signin_wanted(&s->config.signin))
                        cause_remedy(&cause,
                                     "set the property account, then: emailsecctl account password NAME");
        }
        engine_fail_with(&s->engine, &cause);
}

/* What this reply refused has not been taken, whatever went out behind it: nothing is ambiguous in it. */
static void not_taken(const struct hearing *h)
{
        if (h->about.what == AWAIT_RCPT)
                h->mail->recipients[h->about.recipient].asked = false;
        else
                h->flight->end_written = false;
}

/* The transaction is not worth another byte; the message goes once more. False where it cannot. */
static bool once_more(const struct hearing *h)
{
        if (!h->mail->rewind)
                return false;
        h->flight->learnt = h->flight->refused = true;
        return true;
}

static bool without_parameters(const struct hearing *h)
{
        struct smtp_ways *ways = h->session->known;
        bool of_mail = h->about.what == AWAIT_MAIL;

        if (!h->mail->rewind)
                return false;
        (void)smtp_session_learn(
                h->session, of_mail ? &ways->no_mail_parameters : &ways->no_recipient_parameters,
                of_mail ? "offers parameters of MAIL and refuses them: it goes without them"
                        : "offers parameters of RCPT and refuses them: it goes without them");
        if (of_mail)
                return once_more(h);
        not_taken(h);
        h->flight->learnt = true;
        return true;
}

/* In a session that has carried mail already, what it says is about that. */
static bool in_a_new_session(const struct hearing *h)
{
        if (!smtp_session_is_remembered(h->session) || !h->session->carried)
                return false;
        not_taken(h);
        smtp_session_begin_anew(h->session, h->words);
        return true;
}

static bool without_pipelining(const struct hearing *h)
{
        struct smtp_session *s = h->session;

        if (!h->mail->rewind ||
            !smtp_session_learn(s, &s->known->no_pipelining, "wants one command at a time"))
                return false;
        if (h->said.pipelined)
                return once_more(h);
        smtp_session_begin_anew(s, h->words); /* it has lost its state */
        return true;
}

/* The content of BDAT may have been taken for commands: nothing more is said to it. */
static bool without_chunking(const struct hearing *h)
{
        struct smtp_session *s = h->session;

        if (!smtp_session_is_remembered(s))
                return false;
        (void)smtp_session_learn(s, &s->known->no_chunking,
                                 "offers CHUNKING and does not take BDAT: it goes by DATA");
        h->flight->end_written = false;
        smtp_session_begin_anew(s, h->words);
        return true;
}

/* The content was refused to all, because there were too many: the next transactions have as many as were
 * taken before the first one beyond, or half. */
static bool fewer_at_once(const struct hearing *h)
{
        struct flight *f = h->flight;
        size_t fewer = f->full && f->accepted < f->asked ? f->accepted : f->asked / 2;

        if (h->about.what == AWAIT_RCPT || !fewer || !once_more(h))
                return false;
        f->end_written = f->full = false;
        f->most = fewer;
        (void)snprintf(h->session->known->news, sizeof h->session->known->news,
                       "takes fewer recipients at once: %zu in a group", fewer);
        return true;
}

/* Whoever refuses our name does so for each recipient: the answers to what is on its way are heard before the
 * session ends. */
static bool by_other_name(const struct hearing *h)
{
        struct smtp_session *s = h->session;

        if (!smtp_session_is_remembered(s) || !h->mail->rewind)
                return false;
        if (!h->flight->leave && !smtp_session_other_name(s)) {
                if (reply_class(h->reply) == 4)
                        return false;
                not_taken(h);
                smtp_session_no_name(s, h->words);
                return true;
        }
        not_taken(h);
        h->flight->leave = h->flight->learnt = true;
        h->flight->refused |= h->about.what != AWAIT_RCPT;
        return true;
}

bool hearing_of_more(const struct hearing *h)
{
        switch (h->meaning) {
        case MEANS_TAKEN:
        case MEANS_LATER:
        case MEANS_NEVER:
        case MEANS_HELO:
                break;
        case MEANS_TOO_MANY:
                return fewer_at_once(h);
        case MEANS_ENDS:
                not_taken(h);
                heard_ending(h);
                return true;
        case MEANS_NEW_SESSION:
                return in_a_new_session(h);
        case MEANS_SIGN_IN:
        case MEANS_ACCOUNT_LATER:
                not_taken(h);
                heard_of_account(h);
                return true;
        case MEANS_NO_PARAMETERS:
                return without_parameters(h);
        case MEANS_NO_PIPELINING:
                return without_pipelining(h) || (h->about.what == AWAIT_MAIL && in_a_new_session(h));
        case MEANS_NO_CHUNKING:
                return without_chunking(h);
        case MEANS_OTHER_NAME:
                return by_other_name(h);
        }
        return false;
}
