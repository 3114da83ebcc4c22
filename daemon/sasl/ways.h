/* SPDX-License-Identifier: MIT */
/*
 * The ways of signing in that a session has tried, and which one is next: what a server refuses as a
 * mechanism (it cannot do what it offers) has a second way, a password that it does not like has none. Pure;
 * the tries are bounded, so that no account is locked for them, and no way that follows is less safe than the
 * rules of mechanism.h allow.
 */
#pragma once

#include "daemon/sasl/mechanism.h"
#include "daemon/wire/server_words.h"

struct sasl_refusal {
        enum server_kind kind; /* of the reply; SAID_MECHANISM also where it calls the command wrong */
        bool first_sent;       /* the initial response was in the command */
        bool showed;           /* what proves the password had been sent: sasl_showed() */
};

enum sasl_again {
        SASL_NO_MORE,
        SASL_WITHOUT_FIRST, /* the same, its initial response after the go-ahead */
        SASL_NEXT,          /* sasl_choose() says which, if any */
};

/* The server refused `mechanism`, or the protocol's own login command ("LOGIN", "USER"), which has nothing
 * behind it. */
enum sasl_again sasl_refused(struct sasl_ways *ways, const struct signin *signin, const char *mechanism,
                             const struct sasl_refusal *refusal) must_use;
/* The exchange failed on our side with this cause: true when it is worth cancelling it for the next way. */
bool sasl_failed(struct sasl_ways *ways, const struct signin *signin, const struct sasl *sasl,
                 const struct cause *cause) must_use;

/* Names what else there is to set, in the remedy of a refusal by `mechanism`: `others` as of
 * sasl_other_words(). */
void signin_remedy(const struct signin *signin, const char *mechanism, const char *others,
                   struct cause *cause);

/* After a sign-in: the names of those offered that turned out not to work at this server, parted by blanks;
 * NULL: none. The caller frees. */
char *sasl_broken(const struct sasl_ways *ways, const struct signin *signin, const char *offered) must_use;
