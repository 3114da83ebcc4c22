/* SPDX-License-Identifier: MIT */
/*
 * The places that sessions take: MaxSessions in all, MaxSessionsPerHost at one server. Only counts; who waits for a
 * place and who is next is the business of session.c.
 */
#pragma once

#include "common/cleanup.h"

struct host; /* a server by its name as configured; kept while somebody holds it */

struct host *host_hold(const char *name) must_use;
void host_release(struct host *host);

/* True when one more session may begin there. */
bool place_is_free(const struct host *host);
/* True when no session may begin anywhere. */
bool places_all_taken(void);
unsigned places_at_host(void); /* MaxSessionsPerHost */
void place_take(struct host *host);
void place_give_back(struct host *host);

void sessions_set_limits(unsigned all, unsigned per_host);
unsigned sessions_open(void);
