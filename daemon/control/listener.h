/* SPDX-License-Identifier: MIT */
/*
 * The control socket: made here, or taken over from the service manager (LISTEN_FDS). Accepts within the
 * budget, in all and for each user; a connection too many is told so. Pauses when descriptors run out.
 */
#pragma once

#include "common/cause.h"

/* `path` is used when no socket was passed on. A socket at which another daemon answers is an error; a dead
 * one is replaced, any other file is left and an error. Mode 0666: who may do what is decided by SO_PEERCRED.
 */
int listener_open(const char *path, struct cause *cause) must_use;
/* The same while nothing can be served yet: who comes is told the cause, until listener_open(). May be called
 * again. */
int listener_stand_in(const char *path, const struct cause *why, struct cause *cause) must_use;
/* The daemon does not start: those who wait at a socket that was passed on are told so and let go. Without a
 * loop. */
void listener_turn_away(void);
/* No new connections; those there are answered and end. */
void listener_wind_down(void);
/* Before what the calls work with is closed: the socket goes, with its file where it was made here. Calls
 * that can be given up are answered that the daemon has ended; the others are left to what closes now, and
 * mail that is handed in to the store. */
void listener_stop(void);
/* The last answers go, and the connections end. */
void listener_close(void);
