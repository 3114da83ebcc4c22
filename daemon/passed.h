/* SPDX-License-Identifier: MIT */
/*
 * Sockets that the service manager passed on (sd_listen_fds(3)): taken note of once, at start; each is then
 * taken by the part of the daemon that it is for, and those that nobody takes are closed.
 */
#pragma once

#include <stdbool.h>

/* Takes the next one that is a listening stream socket, Unix or of the internet; -1: there is none left.
 * *name: as FileDescriptorName= has it; valid until passed_close(). The caller owns the descriptor, which
 * does not block. */
enum passed_kind { PASSED_UNIX, PASSED_INTERNET };
int passed_take(enum passed_kind kind, const char **name);
/* Closes what nobody took. How many that were. */
unsigned passed_close(void);
