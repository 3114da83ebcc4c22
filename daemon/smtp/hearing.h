/* SPDX-License-Identifier: MIT */
/* Inside smtp/: one reply to a command of a message, between outcome.c and hearing_more.c. */
#pragma once

#include "daemon/smtp/meaning.h"
#include "daemon/smtp/pipeline.h"

/* One reply on its way to a verdict. */
struct hearing {
        struct smtp_session *session;
        const struct reply *reply;
        struct awaited about;
        struct smtp_mail *mail;
        struct flight *flight;
        struct said said;
        enum meaning meaning;
        char words[sizeof((struct smtp_recipient *)0)->reply];
};

static inline bool is_positive(const struct reply *reply)
{
        return reply_class(reply) == 2;
}

/* ---- outcome.c ---- */

/* Decides for the recipients of this transaction; before the first RCPT for all. */
void hearing_decides_rest(const struct hearing *hearing);
/* What fits to no command: once more with one command at a time and one message a session; who answers so
 * even then is no server of this protocol. */
void hearing_out_of_protocol(const struct hearing *hearing, const char *command);

/* ---- hearing_more.c ---- */

/* True when the reply is about more than the message: that has been dealt with. */
bool hearing_of_more(const struct hearing *hearing);
