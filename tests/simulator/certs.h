/* SPDX-License-Identifier: MIT */
/*
 * The authorities of the simulation and the certificates of its servers. `root` is in the station's System
 * Trust Store from the beginning, `plant` is not, until somebody imports it. All are made while the world is
 * built, so that every life of the daemon finds the same.
 */
#pragma once

#include "common/cleanup.h"

#include <openssl/ssl.h>
#include <time.h>

enum cert_kind {
        CERT_GOOD,
        CERT_SHORT,      /* good for some days only */
        CERT_PLANT,      /* of the authority that the station does not know */
        CERT_SELF,       /* self-signed */
        CERT_EXPIRED,    /* since yesterday */
        CERT_WRONG_NAME, /* of another host */
        CERT_KINDS
};

struct cert {
        enum cert_kind kind;
        char host[64]; /* whose it is; what it names, unless CERT_WRONG_NAME */
        char fingerprint[65];
        time_t from, to;
        SSL_CTX *context; /* a server that shows it */
        struct cert *next;
};

/* Makes the authorities, and for each host one set. `wall`: the time of day. While the world is built only.
 */
void certs_open(time_t wall);
void certs_make(const char *host, time_t wall);

/* The host's certificate of that kind, another one each `turn`; of CERT_SHORT one that is good for a day yet.
 */
const struct cert *cert_of(const char *host, enum cert_kind kind, unsigned turn, time_t wall);
const char *cert_kind_name(enum cert_kind kind);

/* PEM of the authorities. */
const char *certs_root_pem(void);
const char *certs_plant_pem(void);
