/* SPDX-License-Identifier: MIT */
/*
 * The places that sessions take: MaxSessions in all, MaxSessionsPerHost at one server. Only counts; who waits
 * for a place and who is next is the business of session_line.c.
 */
#pragma once

#include "common/cleanup.h"

struct host; /* a server by its name as configured; kept while somebody holds it */

struct host *session_host_hold(const char *name) must_use;
void session_host_release(struct host *host);
void session_hosts_each(void (*each)(struct host *host));

/* Those that wait for a place there, and those that rest on one; zero bytes: nobody. session_line.c's own. */
struct session;
struct host_line {
        struct session *resting;
        struct session *first, *last; /* in the order of opening */
        struct session *parked;       /* the first who may not begin yet; NULL: none */
        unsigned ready, waiting;      /* how many may, once there is a place in all; how many there are */
};
struct host_line *session_host_line(struct host *host);

/* True when one more session may begin there. */
bool session_place_is_free(const struct host *host);
/* True when no session may begin anywhere. */
bool session_places_all_taken(void);
unsigned session_places_at_host(void); /* MaxSessionsPerHost */
/* How many sessions more may begin with that server, as far as its own limit goes. */
unsigned session_places_left_at(const struct host *host);
/* How many sessions more may begin with the server of that name. */
unsigned session_places_left(const char *name);
void session_place_take(struct host *host);
void session_place_give_back(struct host *host);

void sessions_set_limits(unsigned all, unsigned per_host);
unsigned sessions_open(void);
