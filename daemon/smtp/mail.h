/* SPDX-License-Identifier: MIT */
/*
 * Messages over an SMTP session that is ENGINE_READY: MAIL, RCPT, DATA or BDAT, pipelined
 * within a message and (with PIPELINING and CHUNKING) across messages, with a result for
 * each recipient. The session stays ENGINE_READY; with mail in flight engine->idle is
 * false and wait/phrase say what is awaited.
 */
#pragma once

#include "common/cause.h"
#include "daemon/wire/engine.h"

enum smtp_outcome {
        OUTCOME_NONE, /* not reached: nothing is known to have been decided */
        OUTCOME_SENT,
        OUTCOME_DEFERRED,  /* 4yz */
        OUTCOME_REFUSED,   /* 5yz, or cannot be carried by this server (CAUSE_UNSENDABLE) */
        OUTCOME_AMBIGUOUS, /* the connection broke between the final dot and its reply */
};

struct smtp_recipient {
        const char *address;
        const char *notify; /* DSN NOTIFY= value, or NULL */
        const char *orcpt;  /* DSN ORCPT= value as plain text ("rfc822;a@b" or "a@b"), or NULL */
        unsigned attempts;  /* before this one */
        bool decided;       /* its outcome is one of before: nothing is done for it */
        /* result */
        enum smtp_outcome outcome;
        unsigned code;     /* reply code, 0 when none */
        char enhanced[16]; /* "4.2.2" or "" (RFC 2034) */
        char reply[400];   /* the server's words, printable, or ours */
        enum cause_code cause;
        bool slow_down; /* the reply asks for less mail in all */
        /* the session's own */
        bool asked;           /* RCPT went out in the present transaction, and was not put off for another */
        bool with_parameters; /* with optional ones */
};

enum smtp_body { BODY_BYTES, BODY_LATER, BODY_END, BODY_FAILED };

/* One message; all texts borrowed until `finished`. */
struct smtp_mail {
        const char *from; /* "" = null sender */
        struct smtp_recipient *recipients;
        size_t recipient_count;
        uint64_t size;           /* bytes of the body with CRLF line ends */
        bool eight_bit;          /* body has bytes over 127 */
        bool utf8;               /* the header needs SMTPUTF8; addresses are looked at here */
        bool worked;             /* mail of this sender has gone by this account before */
        const char *ret, *envid; /* DSN (envid as plain text), or NULL */
        /* The next piece of the body, CRLF line ends already; valid until the next call.
         * LATER: not at hand, smtp_mail_continue() will be called. */
        enum smtp_body (*body)(struct smtp_mail *mail, const uint8_t **bytes, size_t *len);
        /* The body begins anew: the message goes once more, for recipients that are undecided (in another
         * way, or in groups of what the server takes). NULL: it never does, and these wait. */
        void (*rewind)(struct smtp_mail *mail);
        /* Some recipients have their outcome, the others go on in another transaction. May be NULL. */
        void (*partly)(struct smtp_mail *mail);
        /* The message is through: every recipient has its outcome (also when the
         * session fails: then `session_cause` is set, else NULL; the session hands all of them
         * back by itself then). The mail may be freed and others sent, but not the engine freed. */
        void (*finished)(struct smtp_mail *mail, const struct cause *session_cause);
        struct smtp_mail *next; /* the session's own */
        void *own;              /* the session's own, freed before `finished` */
};

/* True when what the server offers (SIZE, 8BITMIME, SMTPUTF8) lets it be given this message. */
bool smtp_mail_fits(const struct engine *engine, const struct smtp_mail *mail);
/* How many more messages the session can take now, of those that it has few bytes of; 0 when it cannot. */
size_t smtp_mail_room(const struct engine *engine);
/* Gives a message to the session: it must have room. `finished` comes later or, when
 * the message cannot be carried, from loop-free code before this returns. */
void smtp_mail_send(struct engine *engine, struct smtp_mail *mail);
/* A body that said LATER has bytes now. */
void smtp_mail_continue(struct engine *engine, struct smtp_mail *mail);
/* The owner lost the connection or gives up: finishes every mail in flight (those after their
 * final dot as AMBIGUOUS, the others NONE) with this cause; the engine has failed then. */
void smtp_mail_lost(struct engine *engine, const struct cause *why);
/* Messages in flight. */
size_t smtp_mail_flying(const struct engine *engine);
