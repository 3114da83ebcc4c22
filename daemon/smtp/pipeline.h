/* SPDX-License-Identifier: MIT */
/*
 * Inside smtp/: the session object with its steps, and the pipeline of messages that mail.c (what the owner
 * calls), envelope.c (the lines), upload.c (what is written) and outcome.c (what the
 * replies mean) work on. Commands go out in order and are answered in order: a ring of
 * awaited replies is all that ties the two sides together.
 */
#pragma once

#include "daemon/smtp/body.h"
#include "daemon/smtp/mail.h"
#include "daemon/smtp/reply.h"
#include "daemon/smtp/session.h"

#include "common/limits.h"

#define WINDOW_BYTES \
        (256 * KIB) /* of messages written and not answered: what one broken connection can make ambiguous \
                     */

enum awaited_what { AWAIT_RESET, AWAIT_MAIL, AWAIT_RCPT, AWAIT_DATA, AWAIT_CHUNK, AWAIT_END };

struct awaited {
        struct smtp_mail *mail;
        size_t recipient; /* of AWAIT_RCPT */
        enum awaited_what what;
};

/* What is written next of a message. */
enum stage {
        STAGE_MAIL,
        STAGE_RCPT,
        STAGE_DATA,
        STAGE_GO_AHEAD, /* nothing before the answer to DATA */
        STAGE_CONTENT,
        STAGE_DOT,
        STAGE_CHUNK, /* BDAT and its count */
        STAGE_CHUNK_CONTENT,
        STAGE_WRITTEN,
        STAGES
};

/* The session's side of one message: mail->own. */
struct flight {
        enum stage stage;
        size_t next_recipient; /* first one with no RCPT written */
        size_t asked;          /* recipients with RCPT written */
        size_t most;           /* at once in one transaction */
        size_t undecided;      /* recipients at its beginning */
        bool full;             /* the server takes no more at once */
        bool learnt;           /* another way, for the next transaction, */
        bool leave;            /* which is one of another session */
        bool chunked;          /* by BDAT */
        bool pipelined;        /* commands ahead of answers */
        bool with_parameters;  /* MAIL had optional ones */
        size_t recipients_due; /* answers to RCPT awaited */
        size_t accepted;       /* recipients the server took */
        size_t due;            /* answers awaited in all */
        bool refused;          /* no recipient is left: not worth another byte */
        bool end_written;      /* the dot, or all of BDAT LAST */
        bool last_chunk;
        bool later;     /* the body said LATER */
        bool body_over; /* the body said END */
        struct body body;
        const uint8_t *piece; /* of the body, not written yet */
        size_t piece_len;
        uint64_t chunk_left; /* promised by BDAT, not written yet */
        uint64_t promised;   /* by all BDAT so far */
};

struct pipeline {
        struct awaited *ring;
        size_t ring_size, ring_first, awaited;
        struct smtp_mail *first, *last; /* in flight, in order */
        struct smtp_mail *writing;      /* the first one not wholly written */
        struct smtp_mail *done, **done_end;
        size_t flying;
        uint64_t flying_bytes;
        size_t started;            /* written to, and not through */
        uint64_t started_bytes;    /* their sizes */
        const struct flight *open; /* whose transaction may be open at the server; only compared */
        bool proven;               /* the server took a MAIL: messages may follow each other unanswered */
        bool busy;                 /* pipeline_run is at work: a call from a callback only adds to it */
        bool quitting;             /* QUIT when nothing flies any more */
};

enum smtp_step {
        SMTP_GREETING = ENGINE_FIRST_STEP,
        SMTP_EHLO,
        SMTP_HELO,
        SMTP_LHLO,
        SMTP_STARTTLS,
        SMTP_AUTH,
        SMTP_CHALLENGE,
        SMTP_CANCEL,
        SMTP_QUIT,
        SMTP_STEPS
};

struct smtp_session {
        struct engine engine; /* first: the engine is the session */
        struct smtp_config config;
        char *hello, *domain; /* those of config: settings may be read anew meanwhile */
        struct reply reply;
        struct smtp_capabilities can;
        const char *mechanism;
        struct sasl *sasl;
        char *answer;      /* secret: what the present step sends, or the initial response kept back */
        bool answer_waits; /* the initial response did not fit into AUTH */
        bool first_sent;   /* it was in AUTH */
        struct sasl_ways ways;
        struct cause why; /* the exchange is cancelled for */
        struct pipeline mail;
        struct smtp_ways own_ways;
        struct smtp_ways *known; /* the owner's, or own_ways */
        size_t carried;          /* messages */
        bool anew;               /* see smtp_session_anew */
        unsigned late;           /* lines of the greeting after its end */
};

static inline struct smtp_session *session_of(struct engine *engine)
{
        return container_of(engine, struct smtp_session, engine);
}
static inline struct flight *flight_of(const struct smtp_mail *mail)
{
        return mail->own;
}

/* ---- session_ways.c ---- */
/* What the ways forbid is taken out of what the server can. */
void smtp_session_keep_to_ways(struct smtp_session *session);
/* Notes a way; true when it is new. `news` as in smtp_ways. */
bool smtp_session_learn(struct smtp_session *session, bool *way, const char *news);
/* True when its owner keeps what is learnt, so that a session made anew is another one. */
bool smtp_session_is_remembered(const struct smtp_session *session);
/* Fails the session so that it is made anew; always returns STEP_FAILED. */
int smtp_session_begin_anew(struct smtp_session *session, const char *words);
/* The form of our name that this server is greeted by. */
const char *smtp_session_our_name(const struct smtp_session *session);
/* The server refuses our name: true when there is another form of it, which the next session says. */
bool smtp_session_other_name(struct smtp_session *session);
/* Fails the session: no form of our name is taken. */
int smtp_session_no_name(struct smtp_session *session, const char *words);

/* As much of the text as has room. */
void smtp_put_text(char *to, size_t size, const char *text);
void smtp_outcome_set(struct smtp_recipient *recipient, enum smtp_outcome outcome, enum cause_code cause,
                      const char *words);
/* Every recipient without an outcome gets this one. */
void smtp_outcome_for_rest(struct smtp_mail *mail, enum smtp_outcome outcome, enum cause_code cause,
                           const char *words);
/* First recipient from `from` on that has no outcome yet; the count when there is none. */
size_t smtp_recipient_from(const struct smtp_mail *mail, size_t from);
/* How many have none yet. */
size_t smtp_recipients_undecided(const struct smtp_mail *mail);

/* ---- signin.c ---- */
/* The step after a good EHLO: READY where no sign-in is wanted, else AUTH. */
int smtp_signin_begin(struct smtp_session *session);
void smtp_signin_say(struct engine *engine);
int smtp_signin_heard(struct engine *engine, const void *reply); /* of AUTH and of every answer */
void smtp_signin_say_answer(struct engine *engine);
void smtp_signin_say_cancel(struct engine *engine);
int smtp_signin_heard_cancel(struct engine *engine, const void *reply);
/* reply_words, unless they repeat what was signed in with (S38): a server may do that at any time. */
void smtp_signin_words(const struct smtp_session *session, const struct reply *reply, char *to, size_t size);
void smtp_signin_forget(struct smtp_session *session); /* the exchange and its secrets */

/* ---- envelope.c ---- */
/* 0, or -1 with CAUSE_UNSENDABLE: this server cannot carry this message to anyone. A recipient that it cannot
 * carry it to has its outcome then, alone. */
int smtp_envelope_check(struct smtp_mail *mail, const struct smtp_capabilities *can, struct cause *cause)
        must_use;
/* True when nothing that the server offers stands against it. */
bool smtp_envelope_fits(const struct smtp_mail *mail, const struct smtp_capabilities *can);
/* True when optional parameters went along. */
bool smtp_envelope_say_mail(struct smtp_session *session, const struct smtp_mail *mail);
bool smtp_envelope_say_recipient(struct smtp_session *session, const struct smtp_recipient *recipient);

/* ---- outcome.c ---- */
void pipeline_await(struct smtp_session *session, enum awaited_what what, struct smtp_mail *mail,
                    size_t recipient);
/* NULL when nothing is awaited. */
const struct awaited *pipeline_awaits(const struct pipeline *pipeline);
/* One whole reply; calls nobody back. */
void pipeline_heard(struct smtp_session *session, const struct reply *reply);
/* True when another RCPT may follow in this transaction. */
bool smtp_flight_may_ask(const struct smtp_mail *mail);

/* ---- upload.c ---- */
/* Writes into engine->out what may go now. */
void pipeline_write(struct smtp_session *session);
/* True while the content of a message is being written. */
bool pipeline_uploads(const struct pipeline *pipeline);

/* ---- mail.c ---- */
/* All of it is written and answered: to the list of those that are handed back, or once more. */
void pipeline_through(struct smtp_session *session, struct smtp_mail *mail);
/* Writes, hands back what is through or lost, sets what is awaited. `progress`: the server
 * did something; the wait starts anew. */
void pipeline_run(struct smtp_session *session, bool progress);
void pipeline_done(struct pipeline *pipeline);
