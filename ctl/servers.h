/* SPDX-License-Identifier: MIT */
/*
 * Where the mail servers of an address are, by what is known of it before anybody has used them: a table of
 * providers, SRV records (RFC 6186, RFC 8314), the domain's autoconfig file. Only places with TLS are taken.
 * What DNS and the file say is bounded and looked at as hostile.
 */
#pragma once

#include "common/cause.h"

struct mail_server {
        const char *transport; /* smtp, imap, pop3 */
        const char *security;  /* ssl, starttls */
        char *host;            /* NULL: none is known */
        uint16_t port;
        char *user;   /* what to sign in as; NULL: the address */
        char *source; /* in words: where this was found; set by who looks in several places */
};

/* A provider, by the table. */
struct provider {
        const char *name;
        const char *domains;     /* of addresses, parted by blanks; "" none */
        const char *exchangers;  /* where the MX records of other domains that it serves point: ends of names;
                                    "" none */
        const char *smtp, *imap; /* "host port security"; "" none */
        const char *oauth;       /* oauthProvider where it takes no passwords; "" elsewhere */
        const char *left;        /* what a person has to do there; "" nothing */
        bool user_is_local;      /* it wants the part before the @ */
};

struct servers {
        struct mail_server outgoing, incoming;
        const struct provider *provider; /* or NULL */
        char *source;                    /* in words: where this was found; NULL: nothing was */
};
void servers_done(struct servers *servers);
bool servers_complete(const struct servers *servers); /* both are known */

/* By the domain of the address; false where the table has none. */
bool servers_by_table(const char *address, struct servers *out);
/* By SRV; may block for some seconds. False where there are none. */
bool servers_by_srv(const char *address, struct servers *out);
/* By the MX records: the provider that has the mail of the domain; may block. */
bool servers_by_mx(const char *address, struct servers *out);
/* Out of an autoconfig file. */
bool servers_by_file(const char *address, const char *text, const char *url, struct servers *out);

/* One SRV or MX record out of an answer of the resolver, the best: lowest priority, highest weight. False:
 * there is none, or it says that there is no such service. The caller frees *host. */
bool answer_best(const uint8_t *answer, size_t len, int type, char **host, uint16_t *port);
