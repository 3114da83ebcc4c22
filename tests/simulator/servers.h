/* SPDX-License-Identifier: MIT */
/*
 * The simulated servers: where they are, what they offer, who has a mailbox there, what they are like. An
 * oddity is a row of the table in servers.c and a place in an engine that asks odd(). All of it is the
 * world's memory.
 */
#pragma once

#include "tests/simulator/certs.h"
#include "tests/simulator/letter.h"

enum oddity {
        ODD_BUSY,        /* greets with a temporary refusal */
        ODD_SLOW,        /* answers after a while */
        ODD_STALL,       /* answers nothing any more */
        ODD_DROP,        /* closes instead of an answer */
        ODD_RESET,       /* the same, abruptly */
        ODD_TEMPORARY,   /* refuses a command for now */
        ODD_PERMANENT,   /* refuses a recipient for good */
        ODD_LOST_REPLY,  /* takes a message, and goes before it says so */
        ODD_MULTILINE,   /* replies of several lines */
        ODD_SIGNIN_DOWN, /* cannot look up passwords now */
        ODD_UNREADABLE,  /* lists a message and does not hand it out */
        ODD_LYING_SIZE,  /* lists another size than the message has */
        ODD_CHATTER,     /* says what nobody asked */
        ODD_LIMIT,       /* ends a session after some messages */
        ODD_CUT_LITERAL, /* goes in the middle of a message */
        ODD_GARBAGE,     /* says what is no protocol */
        ODD_LEAVES,      /* ends a session in the middle, and says so */
        ODD_CROWDED,     /* lets in one or two sessions at a time */
        ODD_GREYLIST,    /* takes mail for a recipient some minutes after it was first asked to */
        ODD_FEW,         /* takes one or two recipients of a message */
        ODD_IMPATIENT,   /* says good-bye to a session in which nothing is asked for a while */
        ODD_KINDS
};

enum speech {
        SPEAK_SMTP,
        SPEAK_IMAP,
        SPEAK_POP3,
        PROVIDER_SPEECHES,
        SPEAK_LMTP = PROVIDER_SPEECHES,
        SPEAK_EXEC,
        SPEECHES
};

enum offer { /* bits */
             OFFER_PIPELINING = 1,
             OFFER_CHUNKING = 2,
             OFFER_8BITMIME = 4,
             OFFER_SIZE = 8,
             OFFER_CODES = 16,
             OFFER_IDLE = 32,
             OFFER_UIDPLUS = 64,
             OFFER_SASL_IR = 128,
             OFFER_ALL = 255,
};

struct mailbox { /* a user of a server */
        char user[64], password[64];
        struct letter_box box;
        int64_t deleted_until, marked_until; /* an account may delete there, or mark as seen, until then */
        struct mailbox *next;
};

struct mail_server {
        enum speech speech;
        char host[64], address[40];
        uint16_t port;
        bool starttls;   /* begins in clear; else TLS from the first byte */
        uint32_t temper; /* bits of enum oddity */
        uint32_t offers;
        unsigned turn;           /* which certificate of a kind comes next */
        const struct cert *cert; /* NULL: a local one */
        struct mailbox *mailboxes;
        struct listening *listening;
        struct talk *talks;          /* sessions that are open */
        unsigned sessions;           /* there ever were */
        struct grey *greys;          /* recipients it was asked to take, ODD_GREYLIST */
        struct mail_server *sibling; /* of the same host, with the same certificate; NULL: none */
        struct mail_server *next;
};

struct mail_server *servers_first(void);
/* A host that there is already: a sibling of its server. */
struct mail_server *server_make(enum speech speech, const char *host, const char *address, bool starttls);
/* One on this machine, at a Unix socket: no TLS, no sign-in, no name. */
struct mail_server *server_make_local(enum speech speech, const char *name, const char *path);
struct mailbox *server_user(struct mail_server *server, const char *user, const char *password);
/* NULL: nobody of that name. */
struct mailbox *server_find_user(const struct mail_server *server, const char *user);
/* The station deletes messages there, or marks them as seen: ends the history when nobody has asked for that.
 */
void server_is_told(const struct mail_server *server, const struct mailbox *mailbox, bool deletes);
/* A message for that user comes in now. */
void server_deliver(struct mail_server *server, struct mailbox *mailbox, uint32_t number);
void server_show(struct mail_server *server, enum cert_kind kind);

/* Plans the server's life: other tempers, other certificates, away and back. */
void server_live(struct mail_server *server);
/* As it should be: honest, up, with a good certificate, everything readable. */
void server_turn_honest(struct mail_server *server);

/* While the world is built. */
void servers_open(void);
const char *oddity_name(enum oddity what);
/* How often in a thousand times; 0 when the feature is off. */
unsigned oddity_permille(enum oddity what);
bool world_is_honest(void);
