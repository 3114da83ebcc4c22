/* SPDX-License-Identifier: MIT */
/*
 * Taking messages in: what a client hands in is read, put in order (intake.h) and kept in memory or in an
 * unnamed file of bodies/, by threads of their own. The file is the client's: it may be endless, slow, or on
 * a file system that never answers. So every step has a bound: bytes read (MaxMessageSize and a header), time
 * (LIMIT_INTAKE_SECONDS), memory of all under way, and threads: each user has LIMIT_INTAKES_OF_USER of them
 * and no more, whatever becomes of them; some are for those in charge alone. Who waits no longer is not
 * waited for: the answer is given, and the thread, should the kernel hold it, is left behind and does nothing
 * more when it comes back.
 */
#pragma once

#include "daemon/store/body_file.h"
#include "daemon/store/intake.h"

#include <sys/types.h>

/* What was taken in; the receiver's, until taking_free(). */
struct taking {
        struct intake *intake; /* its facts */
        struct buf out;        /* the message in order, when it is small */
        struct body_file file; /* or it is in here, not synced and without a name */
};
void taking_free(struct taking *taking);

struct taking_order {
        struct intake_rules rules; /* texts are copied; id is filled in here */
        int fd;                    /* a regular file or memfd read from offset 0: taken over; or -1 */
        const void *bytes;         /* when fd is -1; copied */
        size_t len;
        uid_t owner;    /* whose share of the threads it takes */
        bool in_charge; /* may use the reserve as well */
};
/* `done` once, on the loop: the taking, or NULL with the cause. Returns a ticket for taking_cancel(). */
uint64_t taking_begin(const struct taking_order *order,
                      void (*done)(void *ctx, struct taking *taking, const struct cause *cause), void *ctx);
/* Answers with CAUSE_CANCELLED now, where it has not been answered: else it does nothing, as with a ticket of
 * 0. */
void taking_cancel(uint64_t ticket);

void takings_open(const char *state_directory);
/* Answers all that is under way with a cause; waits a moment for the threads, and not for those that a file
 * holds. */
void takings_close(void);
/* How long, in ms, threads have made no progress by their own fault. */
int64_t takings_stuck_for(void);
