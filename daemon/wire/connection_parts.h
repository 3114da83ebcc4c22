/* SPDX-License-Identifier: MIT */
/* What connection.c (phases) and pump.c (bytes) share; nobody else includes this. */
#pragma once

#include "daemon/loop.h"
#include "daemon/wire/connection.h"
#include "daemon/wire/dial.h"

/* The transport without TLS: bytes straight over the socket. */
struct plain {
        struct transport transport; /* first */
        int fd;                     /* the connection's */
};
void plain_init(struct plain *plain, int fd);

enum connection_phase {
        PHASE_LOOKUP,
        PHASE_CONNECT, /* also of a Unix socket, at the next run */
        PHASE_HANDSHAKE,
        PHASE_OPEN,
        PHASE_LINGER, /* closed by the owner; what is queued still goes out */
        PHASE_DEAD,   /* `ended` is told or about to be */
        PHASE_CLOSED, /* freed by the run that is scheduled */
};

/* A host with several addresses: the one connected to, and those that are left. */
struct choice {
        struct sockaddr_storage peer;
        struct addresses others;
};

/* Kept small: there may be ten thousand that idle. */
struct connection {
        const struct connection_user *user;
        void *ctx;
        enum connection_phase phase;
        uint16_t port;
        bool paused;
        bool gathers;    /* the socket keeps what comes to itself until it is worth a wake; see `again` */
        bool accepted;   /* the peer is a client */
        bool read_again; /* the transport may hold bytes that the socket does not tell of */
        struct connection *busy_next,
                **busy_link; /* among those that had more to read than their share; NULL: it is not */
        bool scheduled;      /* a run() is on its way: nothing is freed but in it */
        bool drained_owed;
        int read_needs;  /* WATCH_*: what the read or the handshake waits for */
        int write_needs; /* the same for the write; 0 = it does not wait */
        int fd;
        struct watch *watch;
        struct plain plain;
        struct transport *transport; /* the present one: &plain.transport, or one put in (owned) */
        struct buf out;              /* written, not taken by the kernel yet */
        struct timer *deadline;
        unsigned seconds; /* of the deadline that is set */
        const char *phrase;
        int64_t since; /* when the phase began */
        struct connection_times times;
        char *host;
        char *address;
        struct question *question; /* PHASE_LOOKUP */
        struct dial *dial;         /* PHASE_CONNECT */
        struct choice *choice;     /* NULL: one address, or no matter any more */
        struct timer *again;       /* PHASE_CONNECT, for a Unix socket with no room; PHASE_OPEN, for what has
                                      gathered; else       NULL */
        struct cause *failure;     /* PHASE_DEAD, until it is told */
};

/* Lets run() look at the connection after the present callback. */
void connection_schedule(struct connection *connection);
/* The end, told later; `why` NULL: in order. Without effect on a dead one. */
void connection_fail(struct connection *connection, const struct cause *why);

/* Watches for what is waited for now. */
void pump_watch(struct connection *connection);
/* Each does what can be done now; the phase may have changed when it returns. */
void pump_read(struct connection *connection);
void pump_write(struct connection *connection);
void pump_handshake(struct connection *connection);
/* It does not wait for a turn to read any more. */
void pump_stop(struct connection *connection);
/* The socket is ready: the callback of the watch. */
void pump_ready(void *ctx, int what);
