/* SPDX-License-Identifier: MIT */
/*
 * What changes around the process: addresses and routes (rtnetlink), the wall clock being set, the machine
 * waking up. Callbacks run on the loop.
 */
#pragma once

#include "common/cause.h"

struct netmon_user {
        void (*network)(void);          /* addresses or routes of the machine are other than before */
        void (*clock)(int64_t seconds); /* the wall clock was set by so much, forward or (negative) back */
        void (*woke)(int64_t seconds);  /* the machine had been suspended for so long */
};

/* Needs the loop. -1 with a cause when the kernel gives no netlink socket or timer: nothing is watched then.
 */
int netmon_open(const struct netmon_user *user, struct cause *cause) must_use;
/* Detects a stepped wall clock now, and tells of it. */
void netmon_look(void);
void netmon_close(void);
