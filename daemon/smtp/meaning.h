/* SPDX-License-Identifier: MIT */
/*
 * What a reply means, pure: its code says only whether it is good; whether it is about the recipient, the
 * message, the account or our way of asking is told by the command it answers, its enhanced code, its words
 * and what went before. One table decides (RFC 5321 section 4.2, RFC 3463, and what servers in the field
 * say).
 */
#pragma once

#include "daemon/wire/server_words.h"

enum smtp_command {
        SMTP_TO_EHLO = 1, /* EHLO, HELO, LHLO */
        SMTP_TO_MAIL = 2,
        SMTP_TO_RCPT = 4,
        SMTP_TO_DATA = 8,
        SMTP_TO_BDAT = 16, /* any chunk, the last one too */
        SMTP_TO_DOT = 32,
        SMTP_TO_RSET = 64,
};

enum meaning {
        MEANS_TAKEN,    /* 2yz */
        MEANS_LATER,    /* this recipient or message, later */
        MEANS_NEVER,    /* this recipient or message, not at all */
        MEANS_TOO_MANY, /* recipients: those beyond, or of the content all, at once in other transactions */
        MEANS_NO_CHUNKING,   /* the way of asking: DATA in place of BDAT */
        MEANS_NO_PARAMETERS, /* MAIL or RCPT without what is optional */
        MEANS_NO_PIPELINING, /* one command at a time */
        MEANS_NEW_SESSION,   /* the same in another session: this one has carried or waited enough */
        MEANS_OTHER_NAME,    /* another name in EHLO */
        MEANS_HELO,          /* HELO in place of EHLO */
        MEANS_SIGN_IN,       /* the account: it must sign in, or its sign-in has gone */
        MEANS_ACCOUNT_LATER, /* the account: limits, locks; all of its mail waits */
        MEANS_ENDS,          /* the session: 421 */
};

struct said {
        enum smtp_command command;
        unsigned code;
        const char *enhanced; /* "5.7.1" or "" */
        const char *words;    /* the whole reply as one line */
        /* what went before */
        bool parameters; /* the command had some that are optional */
        bool pipelined;  /* commands went out ahead of answers */
        bool accepted;   /* the transaction has recipients that were taken */
        bool carried;    /* the session has carried mail */
        bool signed_in;
        bool worked;       /* this sender's mail has gone by this account before */
        unsigned attempts; /* before this one */
};

enum meaning smtp_meaning(const struct said *said) must_use;
/* True when the server asks for less mail in all: 421, 432, x.3.2, and x.7.z unless it is about one
 * recipient. */
bool smtp_asks_for_less(const struct said *said) must_use;
