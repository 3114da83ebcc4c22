/* SPDX-License-Identifier: MIT */
/*
 * Who is behind the user at a socket: the login uid of the kernel's audit, which is set once when somebody
 * signs in (by a terminal, by ssh) and stays through sudo and su.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* False where the kernel does not tell, nobody signed in (a service, cron), or the process has gone. Where
 * the kernel hands out a descriptor of the peer (SO_PEERPIDFD, Linux 6.5), what is read is of that very
 * process; else of the one that has its number and its user now. The peer may have handed its socket on: it
 * is who connected. */
bool login_of_peer(int fd, pid_t pid, uid_t uid, uid_t *login);
