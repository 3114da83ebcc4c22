/* SPDX-License-Identifier: MIT */
/*
 * How many sessions an account has with its server, pure. RFC 2920 lets a session take one message in each
 * round trip where the server has no CHUNKING: to a server far away, or a slow one, many sessions side by
 * side are what makes mail fast. They grow with what waits and with how long the server takes for a message,
 * each session that works bringing some more; a near server is kept busy by a few.
 */
#pragma once

#include "common/cleanup.h"

struct sending_load {
        unsigned most;    /* maxConnections */
        unsigned allowed; /* by the server, as far as it has said: pace.sessions */
        unsigned places;  /* sessions more that may begin with this server */
        unsigned have;    /* sessions, those that are being made among them */
        unsigned ready;
        unsigned proven;    /* so many were ready at once before */
        size_t waiting;     /* messages that no session has */
        uint64_t mean_size; /* of these, bytes */
        size_t ahead;       /* messages that a session takes without awaiting an answer */
        int64_t message_us; /* microseconds a session is busy with a message, */
        size_t timed;       /* the mean of so many; 0: not known yet */
        int64_t silent_us;  /* no session has got further for so long */
        int64_t setup_us;   /* a session took to become ready; -1: none was yet */
};

/* How many sessions are to be begun now. */
unsigned sessions_to_open(const struct sending_load *load) must_use;

/* A mean that follows: of `count` values before, then `value` came. */
int64_t sessions_mean(int64_t mean, size_t count, int64_t value) must_use;
