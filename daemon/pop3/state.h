/* SPDX-License-Identifier: MIT */
/* What the files of pop3/ share: one session's state. Nobody outside pop3/ includes this. */
#pragma once

#include "common/limits.h"
#include "daemon/pop3/session.h"
#include "daemon/pop3/unstuff.h"
#include "daemon/sasl/ways.h"
#include "daemon/wire/server_words.h"

enum pop3_step {
        POP3_GREETING = ENGINE_FIRST_STEP,
        POP3_CAPA,
        POP3_STLS,
        POP3_UTF8,
        POP3_AUTH,
        POP3_USER,
        POP3_PASS,
        POP3_STAT,
        POP3_LIST,
        POP3_UIDL,
        POP3_RETR,
        POP3_TOP,
        POP3_DELE,
        POP3_NOTHING, /* NOOP for an operation with nothing to do */
        POP3_QUIT,
        POP3_STEPS
};

enum pop3_status {
        POP3_OK,
        POP3_ERR,
        POP3_CONTINUE, /* "+ challenge" */
        POP3_END,      /* of the lines or the message that followed an +OK */
};

/* What a step hears. */
struct pop3_reply {
        enum pop3_status status;
        const char *words; /* NUL-ended, behind the status word */
};

/* Commands in flight at once where the server has PIPELINING; bytes they may bring; entries told at once. */
enum { POP3_WINDOW = 256, POP3_BYTES_AHEAD = 4 * MIB, POP3_BATCH = 64 };

struct pop3_capabilities {
        bool known; /* CAPA was answered */
        bool stls, user, pipelining, top, utf8;
        char *mechanisms; /* of SASL, parted by blanks; NULL: none */
        char *words;      /* all, as one line */
        unsigned lines;
};

/* LIST and UIDL under way. */
struct pop3_listing {
        uint32_t *sizes;             /* of LIST, by message number - 1; owned. UINT32_MAX: that or more */
        size_t count, size;          /* of it: highest number said; allocated */
        struct mailbox_entry *batch; /* owned, POP3_BATCH */
        size_t batch_count;
        unsigned lines;      /* heard in this list */
        unsigned unreadable; /* lines that were passed over */
        unsigned listed;     /* lines of LIST */
        bool uidl_said;
};

struct pop3_session {
        struct engine engine; /* first: the engine is the session */
        struct pop3_config config;
        struct pop3_capabilities capabilities;
        bool signed_in;
        struct line_signin signing;
        bool apop; /* the greeting had a timestamp (RFC 1939 section 7) */

        uint64_t said;              /* bytes ever appended to engine.out */
        uint64_t ends[POP3_WINDOW]; /* where in them the commands in flight end, a ring */
        unsigned first_end, in_flight;

        void (*line)(struct pop3_session *, const char *text,
                     size_t len); /* takes the lines after +OK; NULL: none */
        bool body;                /* a message passes */
        bool unwanted;            /* the user wants no more of it */
        uint64_t read_over;       /* bytes of such, in this operation */
        struct pop3_unstuff unstuff;
        struct buf head; /* of TOP, as far as LIMIT_HEAD goes */

        uint32_t exists; /* as STAT said */
        struct pop3_listing listing;

        struct mailbox_entry *entries; /* of RETR and DELE; owned while at it */
        size_t count, next, answered;
        uint64_t bytes_ahead;
        bool deletes;                            /* DELE was said: QUIT's answer matters */
        void (*finished)(struct pop3_session *); /* tells the user, once the engine is READY again */
};

static inline struct pop3_session *pop3_session_of(struct engine *engine)
{
        return container_of(engine, struct pop3_session, engine);
}

/* ---- command.c ---- */

/* A command; remembers it as in flight. */
void pop3_say(struct pop3_session *session, const char *format, ...) printf_like(2, 3);
void pop3_say_secret(struct pop3_session *session, const char *traced, const char *line);
/* A line that goes on with the last command. */
void pop3_say_more_secret(struct pop3_session *session, const char *line);
/* The oldest command is answered, or goes on; false when that has failed the engine. */
bool pop3_command_answered(struct pop3_session *session, const struct pop3_reply *reply) must_use;
/* Fails the engine for an -ERR: its response code (RFC 2449, 3206) decides, else `otherwise`. `what` says
 * what was refused: "the sign-in". Returns STEP_FAILED. */
int pop3_refused(struct pop3_session *session, const struct pop3_reply *reply, enum cause_code otherwise,
                 const char *what);
/* The cause of that, made for the caller; returns what kind of refusal it is. */
enum server_kind pop3_explain(struct pop3_session *session, const struct pop3_reply *reply,
                              enum cause_code otherwise, const char *what, struct cause *cause);
/* The cause of its response code; CAUSE_NONE when it has none that says something. */
enum cause_code pop3_cause_of_code(const struct pop3_session *session, const char *words);
/* True when the server's words repeat what we signed in with (S38). */
bool pop3_echoes_secret(const struct engine *engine, const char *words, size_t len);

/* ---- command.c: capabilities ---- */

void pop3_forget_capabilities(struct pop3_session *session);
/* A line of CAPA's answer. */
void pop3_capa_line(struct pop3_session *session, const char *text, size_t len);
/* True when the line begins with the word. */
bool pop3_begins(const char *line, const char *word);

/* ---- session.c ---- */

/* An operation is through. Returns STEP_READY. */
int pop3_operation_done(struct pop3_session *session, void (*finished)(struct pop3_session *));
