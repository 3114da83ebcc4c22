/* SPDX-License-Identifier: MIT */
/*
 * The server's side of an SMTP submission session (RFC 5321, RFC 6409): bytes in, replies and wishes out, no
 * I/O. With PIPELINING (RFC 2920), SIZE (1870), 8BITMIME (6152), SMTPUTF8 (6531), ENHANCEDSTATUSCODES (2034),
 * DSN (3461), CHUNKING (3030), STARTTLS (3207) and AUTH (4954). The daemon's listener and `sendmail -bs`
 * speak it.
 *
 * Who may send, where to and what is done with the message are the owner's to say: the engine stops with a
 * wish and goes on when it was answered. What two servers could read in two ways is refused and ends the
 * session, never repaired: a CR or an LF that is no end of a line, bytes that came ahead of a go-ahead
 * (security rule 29).
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"
#include "common/dsn.h"

struct esmtp;

struct esmtp_rules {          /* copied by esmtp_new */
        const char *hostname; /* said in greeting and EHLO */
        uint64_t max_size;    /* of a message; said by SIZE */
        bool standard_input;  /* no peer that could be read in two ways, but a file or pipe: a session whose
                               * first line  ends with a bare LF ends all lines so, and nobody waits for
                               * go-aheads */
};

struct esmtp_user {
        /* Bytes of the message, dots taken off; line ends as they came. From inside esmtp_work(). */
        void (*body)(void *ctx, const uint8_t *bytes, size_t len);
        /* The transaction is over: what is kept of its message is not wanted any more. */
        void (*forget)(void *ctx);
};

enum esmtp_want {
        ESMTP_INPUT,     /* all bytes given are used; more of them */
        ESMTP_FLUSH,     /* what is in esmtp_out() must be taken by the client before more is read */
        ESMTP_MAIL,      /* may the sender of esmtp_envelope() send here? esmtp_answer() */
        ESMTP_RECIPIENT, /* the same for the last recipient */
        ESMTP_DATA,      /* a message is about to come: its room is made now, or it is refused */
        ESMTP_COMMIT,    /* the message is whole; answered once it is on disk */
        ESMTP_STARTTLS,  /* once esmtp_out() has left: the handshake, then esmtp_secured() */
        ESMTP_SIGNIN,    /* a step of AUTH: esmtp_signin(), answered by esmtp_challenge() or esmtp_answer() */
        ESMTP_END,       /* once esmtp_out() has left: the connection ends */
};

struct esmtp_recipient {
        char *address;
        char notify[DSN_NOTIFY_SIZE]; /* as common/dsn.h gives it, or "" */
        char *original;               /* to whom it went at first, as dsn_original() has it; or NULL */
};

struct esmtp_envelope {
        char *from; /* "": the null sender */
        struct esmtp_recipient *recipients;
        size_t recipient_count;
        char ret[DSN_RETURN_SIZE]; /* or "" */
        char *envelope_id;         /* or NULL */
        uint64_t size;             /* as announced; 0: it was not */
        bool utf8;                 /* SMTPUTF8 was asked for */
};

/* What the owner says. code 0: yes. Texts may hold anything, they are cut and escaped. */
struct esmtp_answer {
        int code;             /* 0, or the reply's */
        const char *enhanced; /* "5.7.1" */
        const char *text;     /* a sentence; with code 0 of ESMTP_COMMIT it is said as well */
        const char *remedy;   /* or NULL */
        bool end;             /* and the session ends */
};

struct esmtp *esmtp_new(const struct esmtp_rules *rules, const struct esmtp_user *user, void *ctx) must_use;
void esmtp_free(struct esmtp *esmtp);
/* Says the greeting; once. `refused`: who comes is not served at all, and why (421, 554). */
void esmtp_greet(struct esmtp *esmtp, const struct esmtp_answer *refused);
/* What is offered from now on: STARTTLS, and the mechanisms of AUTH ("PLAIN LOGIN", NULL: none), which are
 * offered inside TLS only. */
void esmtp_offer(struct esmtp *esmtp, bool starttls, const char *mechanisms);

/* Works through what has come, `bytes` being all of it that was not used yet; *used: how much is done with
 * now. Not while a wish waits for its answer. */
enum esmtp_want esmtp_work(struct esmtp *esmtp, const uint8_t *bytes, size_t len, size_t *used) must_use;
/* What is to be sent, for the owner to consume. */
struct buf *esmtp_out(struct esmtp *esmtp);
/* To ESMTP_MAIL, _RECIPIENT, _DATA, _COMMIT; to _SIGNIN with code 0 when the client has signed in. */
void esmtp_answer(struct esmtp *esmtp, const struct esmtp_answer *answer);
/* TLS stands, from the first byte (before the greeting) or after ESMTP_STARTTLS: what was said before is
 * forgotten. */
void esmtp_secured(struct esmtp *esmtp);
/* A reply that no command asked for, at the end of the session (421). */
void esmtp_farewell(struct esmtp *esmtp, const struct esmtp_answer *answer);

/* ---- signing in ---- */
struct esmtp_signin {
        const char *mechanism; /* one of those offered */
        bool first;            /* the exchange begins; what went before is over */
        const uint8_t *bytes;  /* what the client says; NULL: nothing yet */
        size_t len;
};
/* Borrowed until it is answered, then wiped. */
void esmtp_signin(const struct esmtp *esmtp, struct esmtp_signin *out);
void esmtp_challenge(struct esmtp *esmtp, const void *bytes, size_t len);

/* ---- looking ---- */
const struct esmtp_envelope *esmtp_envelope(const struct esmtp *esmtp);
/* The last recipient goes to another address: an alias. */
void esmtp_redirect(struct esmtp *esmtp, const char *address);
/* What the client calls itself, when it is a name or a literal; else "". */
const char *esmtp_hello(const struct esmtp *esmtp);
/* "SMTP", "ESMTP", "ESMTPS", "ESMTPSA", "UTF8SMTP...": the protocol as Received has it (RFC 3848, RFC 6531).
 */
const char *esmtp_protocol(const struct esmtp *esmtp);
bool esmtp_is_secure(const struct esmtp *esmtp);
/* Bytes of a message are awaited. */
bool esmtp_in_body(const struct esmtp *esmtp);
/* Why the session was ended for what the client sent; NULL: it was not. */
const char *esmtp_offence(const struct esmtp *esmtp);
