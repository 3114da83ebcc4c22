/* SPDX-License-Identifier: MIT */
/* The inside of a control connection: client.c has frames and the order of calls, call.c a call's answers. */
#pragma once

#include "common/frame.h"
#include "common/limits.h"
#include "daemon/control/client.h"
#include "daemon/control/usernames.h"
#include "daemon/loop.h"

struct client {
        int fd;
        struct peer peer;
        char who[80];
        struct username *username;    /* being looked up: nothing is read before */
        struct watch *watch;
        struct frame_reader reader;
        struct buf out;
        int out_fds[LIMIT_FRAME_FDS];
        size_t out_fd_count;
        struct call *call;            /* the one that is not answered yet */
        bool closing;                 /* what is in `out` still goes, then the end */
        bool more_came;               /* while `call` waits: the next ones are in the socket */
        bool dead, handling, winding_down;
        void (*gone)(void *ctx, const struct peer *peer);
        void *ctx;
        struct client *next;
};

struct call {
        struct client *client;        /* NULL: gone */
        const struct method *method;
        json_t *parameters;
        bool more, oneway;
        void (*cancel)(void *work);
        void *work;
};

/* client.c */
/* Ends the connection and cancels its call; freed at the end of this turn. */
void client_end(struct client *client);
/* Sends what the socket takes; watches for what is to come. */
void client_flush(struct client *client);
/* Puts an object (taken over) and a descriptor (taken over; -1: none) into the output. */
void client_send(struct client *client, json_t *object, int fd);
/* Ends the call: sends the object, unless oneway or gone, and lets the next call in. */
void call_end(struct call *call, json_t *object, int fd);
