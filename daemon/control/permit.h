/* SPDX-License-Identifier: MIT */
/* Who is at a socket (SO_PEERCRED, the peer's groups, who signed in), and who may what. */
#pragma once

#include "daemon/settings.h"

#include <stdbool.h>
#include <sys/types.h>

enum permission {
        PERMIT_NONE,   /* introspection: everyone */
        PERMIT_SUBMIT, /* mail to the default account */
        PERMIT_READ,
        PERMIT_ADMIN,
};

enum { PEER_GROUPS = 128 };
struct peer {
        uid_t uid;
        pid_t pid;   /* who connected, then */
        uid_t login; /* who signed in and is behind it, where has_login; else it is nobody else */
        bool has_login;
        gid_t groups[PEER_GROUPS]; /* the primary one first */
        size_t group_count;
};

/* Looks the names of the settings up (groups, users), at start and on reload. A group that does not exist
 * gives nobody anything. A directory that hangs is waited for a moment; then the names give nobody anything
 * until it answers. */
void permit_open(const struct settings *settings);

/* Fills in who is at the other end of a Unix socket, without the login. */
int peer_of_socket(int fd, struct peer *out, struct cause *cause) must_use;
/* And who is behind that user: the login uid of the kernel's audit, which is set once when somebody signs in
 * (by a terminal, by ssh) and stays through sudo and su. Nobody where the kernel does not tell, nobody signed
 * in (a service, cron), or the process has gone. Where the kernel hands out a descriptor of the peer
 * (SO_PEERPIDFD, Linux 6.5), what is read is of that very process; else of the one that has its number and
 * its user now. The peer may have handed its socket on: it is who connected. This reads files of /proc. */
void peer_find_login(int fd, struct peer *peer);

/* True when the peer has at least this permission. */
bool permit(const struct peer *peer, enum permission wanted);
