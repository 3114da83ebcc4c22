/* SPDX-License-Identifier: MIT */
/*
 * Signing in: which mechanism to use, and the client side of it. Choice and
 * exchange are pure: server challenge in, client response out, both as raw bytes
 * (base64 is done by sasl_feed and sasl_first). Used by smtp/, imap/ and pop3/.
 */
#pragma once

#include "common/cause.h"
#include "daemon/wire/engine.h"

struct signin {                /* what an account says; borrowed, outlives the session */
        const char *user;      /* property account; NULL or "": do not sign in */
        const char *secret;    /* password or OAuth access token; NULL: none stored */
        const char *mechanism; /* property authentication: "auto", "plain", "scram-sha-256", ... */
        bool allow_plaintext;  /* allowPlaintextAuthentication */
        const char *service;   /* "smtp", "imap", "pop" (GSS names) */
        const char *host;      /* the account's hostname */
        uint16_t port;
        const char *broken; /* mechanisms that this server offers and cannot do, parted by blanks; NULL: none
                               known */
        const char *proven; /* the one that signed in last; NULL: none did */
};

struct sasl;

/* What one session has tried so far (ways.h); all zero at first. Bits are rows of the table of mechanisms. */
struct sasl_ways {
        unsigned tried;           /* those that do not work there, not to be chosen again */
        unsigned refusals, shown; /* how many; and how many of them after the password was shown */
        bool without_first;       /* the initial response waits for the server's go-ahead */
};

/* True when there is something to sign in with. */
static inline bool signin_wanted(const struct signin *signin)
{
        return signin->user && signin->user[0];
}

/* True when a server's words repeat the secret: as it is, in base64, or inside a message of any mechanism
 * that sends it in base64 (S38). Such words go into no trace, cause or journal. */
bool signin_repeated(const struct signin *signin, const char *words, size_t len);

/*
 * Chooses from what the server offers (upper-case words separated by blanks) the
 * strongest both sides have: SCRAM-SHA-256-PLUS, SCRAM-SHA-1-PLUS (with binding),
 * SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5, PLAIN, LOGIN; OAUTHBEARER, XOAUTH2, EXTERNAL only by name.
 * Left out is what `ways` (NULL: nothing) has tried and, where another is there, what is known to be broken
 * or cannot carry this password. After a first try the secret itself goes inside TLS only, and never to a
 * server that has signed in by SCRAM before. Returns the IANA name, or NULL with a cause: CAUSE_NO_MECHANISM
 * naming what the server offers, CAUSE_PLAINTEXT_LOGIN when only a plaintext one fits and the channel is not
 * TLS (rule 20), CAUSE_SECRET when no secret is stored.
 */
const char *sasl_choose(const struct signin *signin, const struct engine_channel *channel,
                        const char *offered, const struct sasl_ways *ways, struct cause *cause);
/* The words of property authentication for what is offered, supported and untried besides `mechanism`, with
 * commas between; "" where there is none. The caller frees. */
char *sasl_other_words(const struct engine_channel *channel, const char *offered, const char *mechanism)
        must_use;

/* True when a protocol's own login command (IMAP LOGIN, POP3 USER/PASS) is allowed:
 * authentication is auto, plain or login, TLS or allow_plaintext; else -1 cause. */
int sasl_may_login_plainly(const struct signin *signin, const struct engine_channel *channel,
                           const struct sasl_ways *ways, struct cause *cause) must_use;

/* Begins an exchange; NULL with a cause. Free with sasl_free. */
struct sasl *sasl_new(const struct signin *signin, const struct engine_channel *channel,
                      const char *mechanism, struct cause *cause) must_use;
/* The initial response in base64 ("=" for an empty one) for mechanisms where the
 * client goes first; NULL when the server does. The caller frees with free_secret. */
char *sasl_first(struct sasl *sasl, struct cause *cause);
/* A challenge in base64 (may be ""): the answer in base64 (may be ""), for free_secret;
 * NULL with a cause: the exchange must be cancelled and the session ended. */
char *sasl_feed(struct sasl *sasl, const char *challenge, struct cause *cause) must_use;
/* What must be worked out off the loop before this challenge can be answered (SCRAM's rounds of hashing, as
 * many as the server likes): for the caller to have done, then sasl_calculated() answers in place of
 * sasl_feed(). NULL: nothing. */
struct calculation *sasl_calculation(struct sasl *sasl, const char *challenge);
char *sasl_calculated(struct sasl *sasl, const struct calculation *calculation, struct cause *cause) must_use;
/* Asked when the server said success: 0, or -1 with CAUSE_SERVER_SIGNATURE when the
 * mechanism is not through (SCRAM: the server's signature was not seen or is wrong).
 * `final` is data that came with the success (IMAP never, SMTP may), base64 or NULL. */
int sasl_finish(struct sasl *sasl, const char *final, struct cause *cause) must_use;
/* True once an answer has been made that shows the password or proves it. */
bool sasl_showed(const struct sasl *sasl);
void sasl_free(struct sasl *sasl);
