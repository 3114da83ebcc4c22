/* SPDX-License-Identifier: MIT */
/* Which address of this machine a connected socket leaves by, and whether it would be the same now. */
#pragma once

#include "common/cleanup.h"

/* False when the address of this end has gone, or another way to the peer is preferred now. Sends nothing. */
bool route_is_the_same(int fd);
/* The address of this end as SMTP writes one (RFC 5321 section 4.1.3); "" where it has none. */
void route_here(int fd, char *out, size_t size);
