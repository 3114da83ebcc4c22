/* SPDX-License-Identifier: MIT */
/*
 * The places that sessions take: MaxSessions in all, MaxSessionsPerHost at one server. Only counts; who waits
 * for a place and who is next is the business of session.c.
 */
#pragma once

#include "common/cleanup.h"

struct host; /* a server by its name as configured; kept while somebody holds it */

struct host *session_host_hold(const char *name) must_use;
void session_host_release(struct host *host);

/* True when one more session may begin there. */
bool session_place_is_free(const struct host *host);
/* True when no session may begin anywhere. */
bool session_places_all_taken(void);
unsigned session_places_at_host(void); /* MaxSessionsPerHost */
/* How many sessions more may begin with the server of that name. */
unsigned session_places_left(const char *name);
void session_place_take(struct host *host);
void session_place_give_back(struct host *host);

void sessions_set_limits(unsigned all, unsigned per_host);
unsigned sessions_open(void);
