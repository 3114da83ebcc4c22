/* SPDX-License-Identifier: MIT */
/*
 * The submission listener: sockets that the service manager passed on, and who comes in by them. It makes no
 * socket of its own, so that the daemon needs no right to ports below 1024. Without such sockets nobody is
 * listened to.
 */
#pragma once

#include "daemon/settings.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* Takes its sockets and begins to listen. `settings` is borrowed until smtpd_listener_reload() or
 * smtpd_listener_close(). */
void smtpd_listener_open(const struct settings *settings);
/* New settings: for who comes from now on. */
void smtpd_listener_reload(const struct settings *settings);
/* Nobody more is let in; those within a message may finish it within `ms`. Then `over`, on the loop; once. */
void smtpd_listener_wind_down(int64_t ms, void (*over)(void));
/* Before what a message goes through is closed: the clients end, but for those whose message the store has.
 * They hear from it what became of that. */
void smtpd_listener_stop(void);
void smtpd_listener_close(void);
/* The daemon does not start: who waits at its sockets is told (421), and does not have it started again and
 * again. */
void smtpd_listener_turn_away(void);
