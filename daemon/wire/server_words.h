/* SPDX-License-Identifier: MIT */
/*
 * What a server means by a reply that refuses: the one table of codes and known words of servers and
 * providers, over SMTP, IMAP and POP3. Response codes (RFC 5530, RFC 3206) and the class of an SMTP reply
 * come first, then the words; pure, nothing is kept. The caller makes the sentence, and takes code and remedy
 * from here.
 */
#pragma once

#include "common/cause.h"

enum server_protocol { SERVER_SMTP = 1, SERVER_IMAP = 2, SERVER_POP3 = 4 };

enum server_phase {
        PHASE_GREETING = 1,
        PHASE_SIGNIN = 2,
        PHASE_MAILBOX = 4, /* IMAP, POP3: after the sign-in, BYE included */
        PHASE_MAIL = 8,    /* SMTP: from MAIL on */
};

enum server_kind {
        SAID_NOTHING_KNOWN,
        /* passes by itself */
        SAID_CONNECTIONS, /* too many at once */
        SAID_THROTTLED,   /* too much or too often */
        SAID_IN_USE,      /* another session has the mailbox */
        SAID_TEMPORARY,
        SAID_SENDING_LIMIT, /* of the day or hour */
        /* passes by itself unless the server says that it does not */
        SAID_LOCKED_OUT, /* after wrong sign-ins */
        /* a person must act */
        SAID_WRONG_PASSWORD,
        SAID_REFUSED,   /* the sign-in, and no reason is known */
        SAID_MECHANISM, /* not a word of the password: this way of signing in does not work there */
        SAID_OTHER_WAY, /* of signing in, or another password */
        SAID_WANTS_TLS,
        SAID_APP_PASSWORD,
        SAID_PASSWORD_CODE, /* "authorization code" of Chinese providers */
        SAID_WEB_LOGIN,
        SAID_WANTS_OAUTH,
        SAID_PROTOCOL_OFF, /* IMAP, POP3 or SMTP is off for this mailbox */
        SAID_ACCOUNT_OFF,
        SAID_PASSWORD_EXPIRED,
        SAID_TRANSITION, /* one sign-in by PLAIN first */
        SAID_NOT_ALLOWED,
        SAID_WANTS_SIGNIN,    /* SMTP: no mail without */
        SAID_NOT_OUR_SENDER,  /* this account may not send as that address */
        SAID_ADDRESS_BLOCKED, /* ours, on the network */
        SAID_NO_MAILBOX,
        SAID_MAILBOX_BROKEN,
        SAID_OUR_FAULT, /* the server calls our command wrong */
        SERVER_KINDS
};

struct server_words {
        enum server_protocol protocol;
        enum server_phase phase;
        unsigned status;   /* SMTP: 535; else 0 */
        const char *code;  /* IMAP "UIDNEXT 4", POP3 "SYS/TEMP", both without brackets; SMTP "5.7.8"; NULL or
                              "": none, */
        size_t code_len;   /* or in brackets at the begin of the words */
        const char *words; /* need not end with NUL; may have line feeds */
        size_t len;
};

struct server_meaning {
        enum server_kind kind;
        enum cause_code code; /* CAUSE_NONE with SAID_NOTHING_KNOWN: what the command itself stands for */
        const char *remedy;   /* NULL: that of the code fits */
};

struct server_meaning server_words_meaning(const struct server_words *said);

/* Gives the cause the meaning's remedy, if it has one. */
void server_meaning_remedy(const struct server_meaning *meaning, struct cause *cause);
