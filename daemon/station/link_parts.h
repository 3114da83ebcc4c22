/* SPDX-License-Identifier: MIT */
/* What link.c (the session's life), link_calculating.c (what its chat must have worked out) and link_facts.c (looking at one)
 * share. */
#pragma once

#include "daemon/station/link.h"
#include "daemon/station/places.h"

struct link {
        struct link_plan plan;          /* texts owned */
        struct chat *chat;
        struct connection *connection;  /* NULL while waiting for a place */
        struct channel *channel;        /* NULL: no TLS (yet); belongs to the connection */
        enum verdict_kind verdict;      /* of the channel, once info is there */
        char allowed_id[13];            /* the entry that it rests on, else "" */
        struct channel_info info;
        uint64_t generation;            /* of trust, when it was judged */
        struct connection_times times;  /* once it is over */
        const struct link_user *user;
        void *ctx;
        bool counted;                   /* holds a place */
        bool over;                      /* `ended` was told */
        bool closed;                    /* link_close was called */
        bool heard;                     /* the server has said something */
        bool was_ready, paused, pumping;
        bool armed;                     /* a deadline is set, */
        unsigned armed_waits;           /* for this wait of the chat */
        struct calculating *calculating; /* for the chat; NULL: nothing is */
        struct host *host;
        struct link *previous, *next;   /* in the list of all */
};

/* Begins what link->chat->calculation wants; link_calculated() is called from the loop when it is done. */
void link_calculate(struct link *link);
void link_calculated(struct link *link, const struct calculation *calculation);
/* Nobody waits for it any more. */
void link_forget_calculation(struct link *link);
