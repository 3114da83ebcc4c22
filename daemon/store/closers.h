/* SPDX-License-Identifier: MIT */
/*
 * Processes that close what a close may wait at: what hangs in one, hangs nobody else. They share the
 * daemon's table of descriptors, so that a number is free at once, whatever becomes of its closer; one that
 * hangs is killed, where the kernel lets it, and others go on. They begin when they are needed, and end
 * when nothing has come for a second. Any thread.
 */
#pragma once

#include <stdbool.h>

/* At the start, and when the state folder is known: what is the daemon's own. */
void closers_open(const char *state_directory);
/* Closes it, now or when a closer is free. Never waits. */
void closers_take(int fd);
/* As many closers hang as there may be: what is given to them stays open for now. Looks after them, too. */
bool closers_hang(void);
