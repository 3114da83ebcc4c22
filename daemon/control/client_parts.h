/* SPDX-License-Identifier: MIT */
/* The inside of a control connection: client.c has its life and its output, serve.c what comes in and whose
 * turn it is, call.c a call's answers. */
#pragma once

#include "common/frame.h"
#include "common/limits.h"
#include "daemon/control/budget.h"
#include "daemon/control/client.h"
#include "daemon/control/methods.h"
#include "daemon/control/usernames.h"
#include "daemon/handle.h"
#include "daemon/loop.h"
#include "daemon/service/audit_trail.h"
#include "daemon/store/client_file.h"
#include "daemon/store/closers.h"

struct client {
        int fd;
        struct peer peer;
        char who[80];
        char login[80]; /* as `who`, of who signed in; "": nobody else */
        struct share *share;
        size_t counted[BUDGET_KINDS]; /* of its share */
        struct username *username;    /* being looked up: nothing is read before */
        struct watch *watch;
        struct frame_reader reader;
        struct buf out;
        int out_fds[LIMIT_FRAME_FDS];
        size_t out_fd_count;
        struct call *call; /* the one that is not answered yet */
        handle_id parsing; /* the next one is being parsed by a thread; else HANDLE_NONE */
        int64_t active;    /* loop_now() when something went in or out last */
        bool half_closed;  /* the peer has ended its side: what came is answered, then the end */
        bool closing;      /* what is in `out` still goes, then the end */
        bool refused;      /* what came is no call: what follows is read away, that the peer can read why */
        bool more_came;    /* while `call` waits: the next ones are in the socket */
        bool put_off;      /* in the line of those that wait for their turn */
        bool going_on;     /* frames are looked at again in a moment */
        bool ending;       /* client_end() was called */
        bool detached, handling, winding_down;
        struct client *next, *behind; /* behind: in the line */
};

struct call {
        struct client *client; /* NULL: gone */
        struct peer peer;      /* who it is of, also then */
        char who[80];
        struct actor actor;
        bool audited; /* what it changed is in the trail, or it changed nothing */
        struct share *share;
        size_t waiting; /* counted of BUDGET_WAITING */
        const struct method *method;
        json_t *sent;                 /* its parameters as they came; NULL: none */
        struct parameters parameters; /* and as they were read */
        bool more, oneway;
        void (*cancel)(void *work);
        void (*go_on)(void *work); /* the client has read enough of what was written for there to be more */
        void *work;
};

/* ---- client.c ---- */
/* Ends the connection: on the loop's next turn, never from within what is being done, since whoever produces
 * an answer goes on after it. From now on nothing is read and nothing is sent; then the call is cancelled. */
void client_end(struct client *client);
/* Sends what the socket takes; watches for what is to come. */
void client_flush(struct client *client);
/* Puts an object (taken over) and a descriptor (taken over; -1: none) into the output. */
void client_send(struct client *client, json_t *object, int fd);
/* Tells the budget what the client has now. False when that is more than before, and too much. */
bool client_count(struct client *client);
/* Watches the descriptor for what is wanted now. */
void client_watch(struct client *client);
/* Ends the call: sends the object (NULL: it was written already), unless oneway or gone, and lets the next
 * call in. */
void call_end(struct call *call, json_t *object, int fd);

/* ---- parse_apart.c ---- */
/* Has the frame that has come whole parsed by a thread; client_call_came() follows, unless the client has
 * gone. */
void client_parse_apart(struct client *client, const struct method *method);
void parse_apart_close(void);

/* ---- serve.c ---- */
/* A frame was parsed: `object` is borrowed, NULL where it was not right for that cause. Goes on with what is
 * behind it. */
void client_call_came(struct client *client, const struct method *method, const json_t *object,
                      const struct cause *cause);
/* The descriptor is ready. */
void client_ready(void *ctx, int what);
/* Takes the calls that have come and can be taken now. */
void client_take_calls(struct client *client);
/* Takes it out of the line. */
void client_leave_line(struct client *client);
/* The daemon ends before this client's call, read or not, is answered: it is told so, or (what was written of
 * an answer cannot become another one) cut off. */
void client_tell_end(struct client *client);
/* True when the peer has gone, and not only ended its side. */
bool client_hung_up(const struct client *client);
void serve_close(void);
