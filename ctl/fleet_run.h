/* SPDX-License-Identifier: MIT */
/*
 * Programs run side by side, a bounded number at one time, each with a deadline and a bound on what it may
 * print, and all of them together with another: whatever one of them does, the others go on. They have no
 * terminal, so that none can ask anything.
 */
#pragma once

#include "common/buf.h"

enum fleet_end {
        FLEET_WAITS, /* its turn has not come */
        FLEET_ENDED, /* by itself; `status` */
        FLEET_TOO_SLOW,
        FLEET_TOO_LONG, /* what it printed */
        FLEET_CROWDED,  /* all together printed too much, and it was the one that held most */
        FLEET_STOPPED,  /* by a signal to this process */
        FLEET_FAILED,   /* could not be started; `status` is the errno */
};

struct fleet_task {
        const char **words; /* program and arguments, ended by NULL; borrowed */
        int input;          /* its standard input, borrowed; -1: none */
        enum fleet_end end;
        int status;          /* exit status; 128 and more: a signal */
        struct buf out, err; /* what it printed; of `err` only the beginning */
        /* of the run alone: */
        int pid, exit_fd, out_fd, err_fd;
        int64_t deadline; /* ms */
};

struct fleet_progress {
        size_t ended, running;
        size_t first; /* of those that run the one that was started first: its place in the tasks */
};

struct fleet_order {
        size_t parallel;
        int64_t timeout_ms; /* of each */
        size_t most_bytes;  /* of each one's output */
        size_t most_held;   /* bytes for all that was printed */
        /* After each end and about every second. */
        void (*tick)(void *ctx, const struct fleet_progress *now);
        void *ctx;
};

/* Returns when each has ended, or a signal asks this process to (SIGINT, SIGTERM, SIGHUP): then all have been
 * stopped and its number is returned, else 0. */
int fleet_run(const struct fleet_order *order, struct fleet_task *tasks, size_t count);
void fleet_task_done(struct fleet_task *task);
