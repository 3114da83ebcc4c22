/* SPDX-License-Identifier: MIT */
/*
 * One connection of the control socket; the calls that come over it (call.h) are one at a time, in order.
 * What a client does not read is bounded. One that has only ended its own side of the connection gets its
 * answers.
 */
#pragma once

#include "daemon/control/permit.h"

struct client;
struct share;

/* Takes the socket over and lives until the peer goes. */
void client_new(int fd, const struct peer *peer);
/* Ends the connection that has said nothing for the longest time, of those that have said nothing for a
 * minute, wait for nothing and are not of the people in charge; of one user, or (NULL) of all. False when
 * there is none. */
bool clients_end_idle(const struct share *of);
/* The daemon ends, in three steps. Stops reading new calls; those under way are answered, and who waits for
 * something to happen is told that the daemon has ended. */
void clients_wind_down(void);
/* Who could still begin something is told so as well, and each call whose work can be given up: but what is
 * handed in to the store, which takes it or not, and says so. */
void clients_stop(void);
/* All have been answered that will be: the others are told so too. Ends every connection at once. */
void clients_close(void);
