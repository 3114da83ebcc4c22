/* SPDX-License-Identifier: MIT */
/*
 * What mechanism.c shares with the two kinds of exchange below it: those of GNU SASL
 * (gsasl.c) and those that are ours (own_exchanges.c). Raw bytes on this side.
 */
#pragma once

#include "common/buf.h"
#include "common/json_fields.h"
#include "daemon/sasl/mechanism.h"

#define SASL_MAX_ANSWER (2 * LIMIT_SECRET) /* user, secret and a few words */

enum sasl_flags {
        SASL_AUTOMATIC = 1, /* `auto` may choose it */
        SASL_BINDS = 2,     /* needs the channel binding */
        SASL_PLAINTEXT = 4, /* the secret itself goes over the wire: rule 20 */
        SASL_CLIENT_FIRST = 8,
        SASL_PROVES_SERVER = 16,
        SASL_SECRETLESS = 32,
        SASL_SCRAM = 64,
        SASL_PROMPTS = 128, /* challenges are words for people: not decoded, not looked at */
};

struct sasl_class {
        /* Fills sasl->session; -1 with a cause. */
        int (*begin)(struct sasl *sasl, const struct signin *signin, const struct engine_channel *channel,
                     struct cause *cause);
        /* One challenge in ("" for the first of the client's own), the answer appended to `out`
         * (a secret: the caller wipes it). Sets sasl->through. -1 with a cause. */
        int (*step)(struct sasl *sasl, const uint8_t *challenge, size_t len, struct buf *out,
                    struct cause *cause);
        void (*end)(struct sasl *sasl); /* after a begin that failed, too */
        /* See sasl_calculation() and sasl_calculated(); NULL: nothing takes long. `challenge` is NUL-ended.
         */
        struct calculation *(*calculation)(const struct sasl *sasl, const char *challenge);
        int (*calculated)(struct sasl *sasl, const struct calculation *calculation, struct cause *cause);
};

struct sasl_mechanism {
        const char *name; /* IANA */
        const char *word; /* property authentication */
        const struct sasl_class *class;
        unsigned flags; /* enum sasl_flags */
};

struct sasl {
        const struct sasl_mechanism *mechanism;
        unsigned answers; /* made, the initial response among them */
        void *session;    /* the class's own */
        unsigned rounds;  /* challenges heard */
        char *awaiting;   /* the challenge, in base64, that a calculation is made for */
        bool through;     /* nothing more is expected from the server */
};

enum { SASL_MECHANISMS = 10 };
extern const struct sasl_mechanism sasl_mechanisms[SASL_MECHANISMS]; /* strongest first */

extern const struct sasl_class sasl_by_library;
extern const struct sasl_class sasl_login;
extern const struct sasl_class sasl_oauthbearer;
extern const struct sasl_class sasl_xoauth2;

/* True when SCRAM can carry this name and password: SASLprep (RFC 4013) takes them. */
bool sasl_prepares(const struct signin *signin);
/* The text by SASLprep; NULL: it is not taken. The caller wipes and frees. */
char *sasl_prepared(const char *text) must_use;
static inline bool sasl_is_automatic(const struct signin *signin)
{
        return !signin->mechanism || !signin->mechanism[0] || same_text(signin->mechanism, "auto");
}
/* Whole words parted by blanks. */
bool sasl_offers(const char *offered, const char *name);
