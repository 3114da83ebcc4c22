/* SPDX-License-Identifier: MIT */
/* What channel.c (the transport), channel_wire.c (the socket below it) and verdict.c (who is there) share. */
#pragma once

#include "daemon/tls/channel.h"
#include "daemon/tls/collect.h"
#include "daemon/tls/tickets.h"

enum { FIRST_BYTES = 48 };

struct channel {
        struct transport transport;
        SSL *ssl;
        int fd;
        char *account, *host;
        const char *alpn; /* offered: "imap", "pop3" or NULL; static */
        uint16_t port;
        uint8_t min_version;
        bool implicit, record;
        time_t server_time; /* as the policy has it */
        bool finished;      /* the handshake is done */
        bool broken;        /* nothing may be sent any more, not even close_notify */
        bool judged;
        bool at_end;    /* the socket has no more */
        bool gathers;   /* records that are written wait for others, and leave with them */
        bool flooded;   /* too many records that bring nothing */
        int number;     /* errno of the socket's last read or write; 0: it was none */
        uint8_t *ahead; /* read off the socket and not asked for yet; NULL: nothing is */
        size_t ahead_at, ahead_len;
        uint8_t *gathered; /* records that OpenSSL has written and the socket has not taken; NULL: none */
        size_t gathered_at, gathered_len;
        size_t sealed;        /* of the bytes to be written: they are in those, and not told as written */
        uint32_t records;     /* came since there was application data, */
        uint32_t records_now; /* and in this wake */
        bool asked;           /* the server asked for a client certificate, and there was none */
        uint8_t first[FIRST_BYTES]; /* what the peer said first */
        uint8_t first_len;
        const char *staple;  /* a word of staple_check */
        uint64_t generation; /* of trust, when the handshake began */
        uint8_t ticket_key[32];
        struct ticket_verdict
                verdict;      /* the decision; before it, that of the session offered for resumption */
        SSL_SESSION *session; /* a ticket that came before the verdict */
        struct collection *collected; /* NULL: no error */
        struct channel_report {       /* made for the verdict, and again when asked for */
                struct tls_evidence evidence;
                struct certificate *chain;
        } *report;
};

/* channel.c: true when the first bytes are no TLS record. */
bool channel_heard_plain_text(const struct channel *channel);

/* channel_wire.c: has the SSL read and write the socket, within the budget of a wake; -1: OpenSSL cannot. */
int channel_use_wire(struct channel *channel) must_use;
/* One more record of any length can be gathered. */
bool channel_gathers_more(const struct channel *channel);
/* Sends what has been gathered; `more`: other bytes follow at once. 0: all of it has left; else errno. */
int channel_send_gathered(struct channel *channel, bool more) must_use;
/* Without sending it. */
void channel_drop_gathered(struct channel *channel);

/* verdict.c: the callbacks of OpenSSL, and the offer to resume an earlier session. */
int channel_on_verification(int good, X509_STORE_CTX *verification);
int channel_on_new_session(SSL *ssl, SSL_SESSION *session);
void channel_offer_ticket(struct channel *channel, const struct tls_policy *policy);
/* Gives back what the verdict took to make. */
void channel_forget_evidence(struct channel *channel);
