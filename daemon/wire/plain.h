/* SPDX-License-Identifier: MIT */
/* The transport without TLS: bytes straight over the socket. For wire/ and tests. */
#pragma once

#include "daemon/wire/connection.h"

struct plain {
        struct transport transport; /* first */
        int fd;                     /* the connection's */
};
void plain_init(struct plain *plain, int fd);
