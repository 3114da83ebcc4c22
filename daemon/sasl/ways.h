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

/* ---- a sign-in by SASL whose challenges and answers are lines of their own ---- */

/* IMAP's AUTHENTICATE (RFC 9051 section 6.2.2) and POP3's AUTH (RFC 5034). What follows a challenge, a
 * refusal, a failure on our side and the end of an exchange that was given up is the same for both; the lines
 * themselves are the protocol's. */
struct line_signin_class {
        /* The step of the best way that is left, with its `mechanism` set; STEP_FAILED with a cause when
         * there is none. */
        int (*next_way)(struct engine *engine, struct cause *cause);
        /* The mechanisms that the server offers, parted by blanks; the caller frees. */
        char *(*offered)(const struct engine *engine);
        /* Says a line that is secret. */
        void (*say)(struct engine *engine, const char *line);
        /* Calls line_signin_calculated(). */
        int (*calculated)(struct engine *engine, const struct calculation *calculation);
};

struct line_signin {
        const struct line_signin_class *class;
        struct engine *engine;
        const struct signin *signin;
        struct sasl *sasl;
        const char *mechanism; /* NULL: the protocol's own command */
        struct sasl_ways ways;
        bool first_sent;  /* the initial response went with the command */
        int after_cancel; /* the step once the server has heard that the exchange is cancelled; 0: it is not
                           */
        char *first_response; /* secret: waits for the server's go-ahead */
        char *last_said;      /* secret: the last line of the sign-in */
        unsigned rounds;      /* challenges, or what is asked for by the protocol's own command */
};

/* Wipes what an exchange left behind; what was tried is remembered. */
void line_signin_clear(struct line_signin *signin);
/* The step that signs in first; fails the engine when there is none. */
int line_signin_begin(struct line_signin *signin);
/* Begins an exchange by `mechanism`: *first is the initial response, or NULL where the server goes first, for
 * free_secret(). False: the engine has failed. */
bool line_signin_start(struct line_signin *signin, char **first) must_use;
/* Says an answer, which is taken over, and keeps it, to know it again in what the server says. Returns
 * STEP_SAME. */
int line_signin_answer(struct line_signin *signin, char *secret);
/* The next step after a challenge in base64 of `len` bytes; after the server refused the sign-in (`showed`
 * and `first_sent` of the refusal are filled in); after an answer was worked out. */
int line_signin_challenge(struct line_signin *signin, const char *challenge, size_t len);
int line_signin_refused(struct line_signin *signin, enum server_kind kind, struct cause *cause);
int line_signin_calculated(struct line_signin *signin, const struct calculation *calculation);
/* The server has confirmed that the exchange is given up: the step that was put off for that. */
int line_signin_cancelled(struct line_signin *signin);
/* True where the server's words repeat the secret or the last answer (S38). */
bool line_signin_repeated(const struct line_signin *signin, const char *words, size_t len);
