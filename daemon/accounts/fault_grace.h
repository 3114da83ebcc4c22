/* SPDX-License-Identifier: MIT */
/*
 * An account that has worked and fails oddly, or has signed in for long and is refused, is not called a fault
 * at once: the server may be the one that is wrong (a database that is away, a restore, a proxy with another
 * server behind it). It is tried again soon, a few times with growing pauses, so few that no server locks an
 * account for it.
 */
#pragma once

#include "common/cause.h"

/* A session came about, signed in where that is wanted, at this time of the wall clock. */
void fault_grace_worked(const char *account, int64_t now);
/* What it is and where has changed: it has to prove itself anew. */
void fault_grace_forget(const char *account);
/* A session failed. When the cause is a fault that is in doubt yet, it becomes one that passes, and says so:
 * returns the seconds until the next try, which failures before then do not put off. 0: it stands as it is.
 */
int64_t fault_grace_cause(const char *account, int64_t now, struct cause *cause) must_use;
