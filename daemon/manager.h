/* SPDX-License-Identifier: MIT */
/*
 * The service manager (sd_notify): readiness, reloads, the end, the status line, the watchdog. Without one
 * all of this does nothing. Needs the loop.
 */
#pragma once

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
/* The line is other than before. Changes are gathered for a moment. Nothing while it is not open. */
void manager_status_changed(void);
