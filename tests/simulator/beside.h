/* SPDX-License-Identifier: MIT */
/*
 * Accounts that are well beside those that are not: servers of their own that are honest but for an hour or
 * so now and then, kept by nobody who changes his mind, about whose certificates nobody decides. Whatever
 * goes on around them, their mail goes on, and what the station says of them is over when it is over.
 *
 * What must have happened within a time is measured in fair time: that in which the daemon ran without a
 * break, by a right clock, on a disk that works, on a machine that was awake.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

void beside_open(void); /* while the world is built, after all other servers */
/* Whether this host is one of theirs. */
bool beside_has(const char *host);
/* ms of fair time since the history began, as of the last beside_look(). */
int64_t beside_fair(void);
/* By the inspector, every few minutes: time has passed, and what was due must have happened. */
void beside_look(void);
/* By the inspector: what the station says of an account. */
void beside_sees(const char *account, const char *status);
