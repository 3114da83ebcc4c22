/* SPDX-License-Identifier: MIT */
/*
 * Sockets that the service manager passed on (sd_listen_fds(3)): taken note of once, at start; each is then
 * taken by the part of the daemon that it is for, and those that nobody takes are closed.
 */
#pragma once

#include <stdbool.h>

/* Takes the next one that is a listening stream socket, Unix or of the internet; -1: there is none left.
 * *name: as FileDescriptorName= has it; valid until listen_fds_close(). The caller owns the descriptor, which
 * does not block. */
enum listen_fds_kind { LISTEN_FDS_UNIX, LISTEN_FDS_INTERNET };
int listen_fds_take(enum listen_fds_kind kind, const char **name);
/* Closes what nobody took. How many that were. */
unsigned listen_fds_close(void);
