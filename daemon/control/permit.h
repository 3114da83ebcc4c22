/* SPDX-License-Identifier: MIT */
/* Who may what: the table of interface.md over SO_PEERCRED and the peer's groups. */
#pragma once

#include "daemon/settings.h"

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
/* And who signed in: this reads files of /proc. */
void peer_find_login(int fd, struct peer *peer);

/* True when the peer has at least this permission. */
bool permit(const struct peer *peer, enum permission wanted);
