/* SPDX-License-Identifier: MIT */
/*
 * One session at a simulated server: bytes of the network in, through real TLS where that stands, whole
 * pieces to the protocol's engine, replies out, at once or after a while. An engine does no I/O: it eats and
 * says. What the server is like (its oddities) is asked for by odd(), which is never true when the world is
 * honest.
 */
#pragma once

#include "common/buf.h"
#include "tests/simulator/servers.h"

struct peer;

enum { TALK_MOST = 64 << 20 };

struct talk {
        struct mail_server *server;
        struct peer *peer;
        SSL *ssl;         /* NULL: in clear */
        bool secured;     /* the handshake is through */
        bool begin_tls;   /* after what was said has left */
        bool ending;      /* closes when what was said has left */
        bool deaf;        /* eats and says nothing any more */
        bool closed;      /* the network has been told */
        unsigned number;  /* of this server's sessions */
        bool judged;      /* the witness has looked at this session */
        uint64_t resting; /* eats nothing until this event */
        uint64_t patient; /* until this event, ODD_IMPATIENT; 0: for ever */
        struct buf in, out;
        struct mailbox *user; /* signed in */
        void *state;          /* the engine's, the world's memory */
        struct talk *next;
};

struct engine { /* of one protocol; a table */
        size_t state_size;
        void (*greet)(struct talk *talk);
        /* Takes what it can of `in`; true: it took something and may take more. */
        bool (*eat)(struct talk *talk);
        /* Something has come into the mailbox. */
        void (*news)(struct talk *talk);
        /* Ends the session unasked, and says so. NULL: there is no word for that. */
        void (*leave)(struct talk *talk);
        /* Its end; what malloc() gave is gone where `killed`. */
        void (*gone)(struct talk *talk, bool killed);
};
extern const struct engine smtp_engine, imap_engine, pop3_engine, lmtp_engine, exec_engine;
void smtp_leave(struct talk *talk); /* LMTP has the same word for it (RFC 2033) */

/* A line without its end, which is taken off `in`; NULL: none yet. The caller frees. */
char *talk_line(struct talk *talk) must_use;
/* A line of a message after DATA goes to `text`, without the dot that stands before its own (RFC
 * 5321, 4.5.2); `over`: it was the one that ends it. False: none yet. */
bool talk_text(struct talk *talk, struct buf *text, bool *over);
/* A line, its end is added. */
void talk_say(struct talk *talk, const char *format, ...) printf_like(2, 3);
void talk_say_bytes(struct talk *talk, const void *bytes, size_t len);
/* What was said is held back so long, and nothing is heard meanwhile. */
void talk_rest(struct talk *talk, int64_t ms);
/* Ends at once, as a crash does; or when all was said. */
void talk_reset(struct talk *talk);
void talk_end(struct talk *talk);
/* Puts TLS behind what was said. */
void talk_start_tls(struct talk *talk);
/* The client has let us hear something that no stranger may: the witness looks whether it might. */
void talk_heard_secret(struct talk *talk, const char *what);

/* Whether this server does that now; it is told in the history. */
bool odd(struct talk *talk, enum oddity what);
/* What all engines do alike before they answer a command: slow, stalling, dropping servers. True: no answer.
 */
bool talk_is_odd(struct talk *talk);
/* Whether there are as many sessions at its server as it lets in. */
bool talk_is_too_many(struct talk *talk);

/* By servers.c. */
struct listening *talk_listen(struct mail_server *server);
void talks_reset(struct mail_server *server);
/* Their ends are told. */
void talks_leave(struct mail_server *server);
/* Nothing of them goes either way any more. */
void talks_silence(struct mail_server *server);
void talks_news(struct mail_server *server, const struct mailbox *mailbox);
