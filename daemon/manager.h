/* SPDX-License-Identifier: MIT */
/*
 * The service manager. What is told to it (sd_notify): readiness, reloads, the end, the status line, the
 * watchdog; it needs the loop. And the sockets that it passed on. Without a service manager all of this does
 * nothing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct manager_user {
        char *(*line)(void);        /* the status line of this moment; freed here */
        int64_t (*stuck_for)(void); /* ms for which the threads that work on the disk have made no progress */
};

/* Begins to feed the watchdog, where there is one. */
void manager_open(const struct manager_user *user);
/* Waits for what is still to be told, but for no service manager that does not listen. */
void manager_close(void);

/* READY=1: started, or reloaded. */
void manager_tell_ready(void);
/* RELOADING=1; manager_tell_ready() follows, whether the reload worked or not. */
void manager_tell_reloading(void);
void manager_tell_ending(void);
/* It does not start; before manager_open(). */
void manager_tell_refused(const char *why);
/* READY=1, and it waits before it begins; again within a second, before manager_open(). */
void manager_tell_waiting(const char *why);
/* The line is other than before. Changes are gathered for a moment. Nothing while it is not open. */
void manager_status_changed(void);

/* ---- sockets that it passed on (sd_listen_fds(3)) ---- */

/* Taken note of once, at start; each is then taken by the part of the daemon that it is for, and those that
 * nobody takes are closed. */
/* Takes the next one that is a listening stream socket, Unix or of the internet; -1: there is none left.
 * *name: as FileDescriptorName= has it; valid until listen_fds_close(). The caller owns the descriptor, which
 * does not block. */
enum listen_fds_kind { LISTEN_FDS_UNIX, LISTEN_FDS_INTERNET };
int listen_fds_take(enum listen_fds_kind kind, const char **name);
/* Closes what nobody took. How many that were. */
unsigned listen_fds_close(void);
