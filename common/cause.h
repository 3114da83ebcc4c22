/* SPDX-License-Identifier: MIT */
/*
 * What went wrong, as one value that feeds the status, the journal, the event,
 * the Varlink error and the exit status: a code from the one table of errors, a
 * sentence, a remedy, and the property it is about. The code says the class
 * (what happens to the account) and whether it heals by itself.
 */
#pragma once

#include "common/cleanup.h"

enum cause_code {
        CAUSE_NONE = 0,
        /* requests */
        CAUSE_INVALID,       /* a bad value, name or field; `property` names it */
        CAUSE_PORT_REQUIRED, /* useSsl / useStartTls changed while port is a number */
        CAUSE_NOT_FOUND,
        CAUSE_EXISTS,
        CAUSE_AMBIGUOUS, /* a short id that fits several */
        CAUSE_PERMISSION,
        CAUSE_STATE, /* not possible in the thing's present state */
        CAUSE_BUSY,  /* a limit on sessions or clients; again later */
        CAUSE_TOO_LARGE,
        CAUSE_QUEUE_FULL,
        CAUSE_FINGERPRINT, /* an approval that names another certificate */
        CAUSE_CALL,        /* what came over the control socket is no call */
        CAUSE_NO_DAEMON,   /* the tool: no daemon reached */
        CAUSE_CANCELLED,
        /* this machine */
        CAUSE_STORAGE, /* disk: full, read-only, unreadable file */
        CAUSE_INTERNAL,
        CAUSE_COMMAND, /* the command of deliverTo=exec: cannot be run */
        CAUSE_DISABLED,
        /* network */
        CAUSE_RESOLVE,
        CAUSE_CONNECT,
        CAUSE_TIMEOUT,
        CAUSE_CLOSED,      /* closed, reset, or cut off where it must not be */
        CAUSE_SERVER_BUSY, /* 421, 432, 4.3.2, BYE, IN-USE, LOGIN-DELAY */
        /* channel */
        CAUSE_PROTOCOL,    /* not a legal server of this protocol, or a bound passed */
        CAUSE_NO_STARTTLS, /* not offered */
        CAUSE_STARTTLS_REFUSED,
        CAUSE_INJECTION, /* bytes beyond the STARTTLS go-ahead; reply before its command */
        CAUSE_PREAUTH,
        CAUSE_TLS,          /* handshake failed */
        CAUSE_TLS_VERSION,  /* no protocol version or cipher in common */
        CAUSE_TLS_MISMATCH, /* plain text on a TLS port, or TLS on a plain port */
        /* trust */
        CAUSE_CHALLENGE,   /* a certificate waits for a person */
        CAUSE_REJECTED,    /* a person said no to this certificate */
        CAUSE_CERTIFICATE, /* one that no exemption can heal */
        CAUSE_TRUST_STORE, /* a trust store or the Allowed Hosts cannot be read */
        /* signing in */
        CAUSE_AUTHENTICATION,   /* refused by the server */
        CAUSE_AUTH_TEMPORARY,   /* the server cannot check just now (454, TEMPFAIL) */
        CAUSE_NO_MECHANISM,     /* none that both sides have and the rules allow */
        CAUSE_PLAINTEXT_LOGIN,  /* would send a secret outside TLS */
        CAUSE_ACCOUNT_REFUSED,  /* limits and locks of the account, in the server's words */
        CAUSE_NAME_REFUSED,     /* no form of this station's name in EHLO is taken */
        CAUSE_SERVER_SIGNATURE, /* the server could not prove that it knows the password */
        CAUSE_SECRET,           /* password or credential missing or unreadable */
        /* mail */
        CAUSE_DEFERRED,   /* 4yz for a message or recipient */
        CAUSE_REFUSED,    /* 5yz for a message or recipient */
        CAUSE_UNSENDABLE, /* this server cannot carry this message */
        CAUSE_EXPIRED,    /* queueLifetime passed */
        CAUSE_MAILBOX,    /* folder missing or not selectable */
        CAUSE_CODES
};

/* What a cause does to the account it happens to. */
enum cause_class {
        CLASS_NONE,      /* nothing: it concerns the request or the message only */
        CLASS_DOWN,      /* could not be reached; tried again by itself */
        CLASS_FAULT,     /* a person must act */
        CLASS_CHALLENGE, /* a certificate waits for a decision */
};

struct cause_kind {
        const char *name; /* the word in JSON, journal (CAUSE=) and Varlink error name */
        enum cause_class class;
        int exit_status;    /* of emailsecctl: 1, 2, 3 or 4 */
        const char *remedy; /* used where the place of failure knows no better one */
};

struct cause {
        enum cause_code code;
        char property[48]; /* or "" */
        char text[512];    /* one sentence, no final full stop, no secrets */
        char remedy[384];  /* what to do about it; "" = the kind's own */
        bool no_room;      /* a disk or a quota was full */
};

/* Compact storage for objects that rarely fail: `*kept` is a heap copy of the error, which others may share
 * that keep the same, or &cause_none, as which it begins. On the loop only. */
extern const struct cause cause_none;
/* Keeps a copy in place of what was kept, which may be the same; NULL and CAUSE_NONE keep nothing. */
void cause_keep(const struct cause **kept, const struct cause *cause);

const struct cause_kind *cause_kind(enum cause_code code);
/* The code with that name; CAUSE_NONE when there is none. */
enum cause_code cause_named(const char *name);

/* Sets code and sentence (cut at the size of the field, never in the middle of a
 * UTF-8 character) and empties property and remedy. `cause` may be NULL. Control
 * bytes in the result are escaped, so that server text can be quoted by %s.
 * Returns -1, so that a function can end with `return cause_set(...)`. */
int cause_set(struct cause *cause, enum cause_code code, const char *format, ...) printf_like(3, 4);
/* As cause_set for CAUSE_INVALID and the like about one property. */
int cause_about(struct cause *cause, enum cause_code code, const char *property, const char *format, ...)
        printf_like(4, 5);
/* CAUSE_NOT_FOUND: there is none of that name or id, and where those are listed that there are. `property`:
 * the parameter that named it, or "". Returns -1. */
enum missing_thing {
        MISSING_ACCOUNT,
        MISSING_OUTGOING,
        MISSING_MESSAGE,
        MISSING_ENTRY,
        MISSING_ANCHOR,
        MISSING_KEY,
        MISSING_SUBSCRIBER,
        MISSING_KINDS
};
int cause_missing(struct cause *cause, enum missing_thing what, const char *property, const char *name);
/* Adds "what to do". NULL cause is fine. */
void cause_remedy(struct cause *cause, const char *format, ...) printf_like(2, 3);
/* CAUSE_STORAGE with "WHAT: strerror(error)". Returns -1. */
int cause_errno(struct cause *cause, int error, const char *format, ...) printf_like(3, 4);
/* Puts words before the sentence ("queue: "). */
void cause_prefix(struct cause *cause, const char *format, ...) printf_like(2, 3);

static inline void cause_clear(struct cause *cause)
{
        if (cause)
                *cause = (struct cause){ 0 };
}
/* True when something went wrong: NULL and CAUSE_NONE both mean that all is well. */
static inline bool cause_happened(const struct cause *cause)
{
        return cause && cause->code != CAUSE_NONE;
}
/* As every `done` takes it: NULL when all is well. */
static inline const struct cause *cause_or_null(const struct cause *cause)
{
        return cause_happened(cause) ? cause : NULL;
}
static inline enum cause_class cause_class(const struct cause *cause)
{
        return cause_kind(cause->code)->class;
}
/* True when waiting may heal it: the account or message is tried again by itself. */
static inline bool cause_retries(const struct cause *cause)
{
        return cause_class(cause) == CLASS_DOWN || cause->code == CAUSE_DEFERRED ||
               cause->code == CAUSE_TRUST_STORE;
}
/* The place's own remedy, else that of the kind; never NULL. */
const char *cause_remedy_of(const struct cause *cause);

/* Makes the remedy one for this account: its kind's own where it has none, and the name where that says NAME.
 */
void cause_for_account(struct cause *cause, const char *name);

/* Several problems of one request: "every bad property named at once". */
struct causes {
        struct cause *items;
        size_t count;
};
void causes_free(struct causes *causes);
/* A new item at the end, zeroed; valid until the next call. Past LIMIT_PROBLEMS the last one is used again.
 */
struct cause *causes_add(struct causes *causes);
